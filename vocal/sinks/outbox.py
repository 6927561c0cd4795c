"""What waits to be told to other systems, on disk: a killed process loses nothing that it had taken.

    FOLDER/outbox.sqlite    events in the order of each endpoint, gone from it once they were taken there
    FOLDER/dead.jsonl       events that nobody took, one a line: to look at, and to send again

Several processes may use both. Nothing stays longer than calls do; what was inferred goes with the notice.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.types import Event, Metadata

_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, id TEXT NOT NULL, call TEXT NOT NULL,
    body TEXT NOT NULL, taken_s REAL NOT NULL, tries INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS by_endpoint ON waiting (endpoint, number);
CREATE INDEX IF NOT EXISTS by_call ON waiting (call);
CREATE TABLE IF NOT EXISTS gone (endpoint TEXT PRIMARY KEY);
"""


class Told(msgspec.Struct, frozen=True):
    """What an event says, with what was known of its call: no receiver has to remember how a call began."""

    event: Event
    started_at: str
    metadata: Metadata


class CloudEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """CloudEvents 1.0. subject: the call. An event without data is a test."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    datacontenttype: str
    subject: str | None = None
    data: Told | None = None


class Waiting(msgspec.Struct, frozen=True):
    number: int
    endpoint: str
    id: str
    call: str
    body: str
    taken_s: float
    tries: int


class Dead(msgspec.Struct, frozen=True):
    """An event that an endpoint did not take, and why. at: ISO 8601, when it was given up."""

    at: str
    endpoint: str
    why: str
    tries: int
    id: str
    call: str
    event: CloudEvent


_decode = msgspec.json.Decoder(CloudEvent).decode
_decode_dead = msgspec.json.Decoder(Dead).decode
_COLUMNS = "number, endpoint, id, call, body, taken_s, tries"


class Outbox:
    """One thread owns it. Raises StoreError where the folder cannot be used; sqlite3.Error, OSError of a full disk."""

    def __init__(self, folder: str | os.PathLike[str], clock: Callable[[], float]) -> None:
        self.folder, self._clock = Path(folder), clock
        self._dead = self.folder / "dead.jsonl"
        path = self.folder / "outbox.sqlite"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("PRAGMA secure_delete = ON")
            self._base.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{folder}: wanted a folder for webhooks: {error}") from None

    def close(self) -> None:
        self._base.close()

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """All of it or nothing, and nobody else meanwhile: not in the file of the dead either."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    # What waits

    def put(self, rows: Iterable[tuple[str, CloudEvent]]) -> None:
        """Events with the endpoint of each; they are on the disk when this returns."""
        now_s = self._clock()
        made = [(where, one.id, one.subject or "", msgspec.json.encode(one).decode(), now_s) for where, one in rows]
        with self._whole():
            self._base.executemany(
                "INSERT INTO waiting (endpoint, id, call, body, taken_s) VALUES (?, ?, ?, ?, ?)", made
            )

    def head(self, endpoint: str) -> Waiting | None:
        found = self._base.execute(
            f"SELECT {_COLUMNS} FROM waiting WHERE endpoint = ? ORDER BY number LIMIT 1", (endpoint,)
        ).fetchone()
        return None if found is None else Waiting(*found)

    def sizes(self) -> dict[str, int]:
        """How many events wait for each endpoint."""
        return dict(self._base.execute("SELECT endpoint, count(*) FROM waiting GROUP BY endpoint").fetchall())

    def done(self, number: int) -> None:
        self._base.execute("DELETE FROM waiting WHERE number = ?", (number,))

    def tried(self, number: int) -> None:
        self._base.execute("UPDATE waiting SET tries = tries + 1 WHERE number = ?", (number,))

    @property
    def version(self) -> int:
        """Changes when another process has written."""
        return int(self._base.execute("PRAGMA data_version").fetchone()[0])

    # Endpoints that want nothing more

    def gone(self) -> set[str]:
        return {name for (name,) in self._base.execute("SELECT endpoint FROM gone")}

    def leave(self, endpoint: str, why: str) -> int:
        """The endpoint gets nothing more, and what waits for it is dead; how much that was."""
        self._base.execute("INSERT OR IGNORE INTO gone VALUES (?)", (endpoint,))
        return self.bury_all(endpoint, why)

    def come_back(self, endpoint: str) -> None:
        self._base.execute("DELETE FROM gone WHERE endpoint = ?", (endpoint,))

    # The dead

    def bury(self, one: Waiting, why: str) -> None:
        with self._whole():
            self._append([self._as_dead(one, why)])
            self._base.execute("DELETE FROM waiting WHERE number = ?", (one.number,))

    def bury_all(self, endpoint: str, why: str) -> int:
        """All that waits for an endpoint; how much that was."""
        with self._whole():
            rows = self._base.execute(
                f"SELECT {_COLUMNS} FROM waiting WHERE endpoint = ? ORDER BY number", (endpoint,)
            ).fetchall()
            self._append([self._as_dead(Waiting(*row), why) for row in rows])
            self._base.execute("DELETE FROM waiting WHERE endpoint = ?", (endpoint,))
        return len(rows)

    def bury_new(self, rows: Iterable[tuple[str, CloudEvent]], why: str) -> None:
        """Events that there is no room for."""
        with self._whole():
            self._append([Dead(self._now(), where, why, 0, one.id, one.subject or "", one) for where, one in rows])

    def dead(self) -> list[Dead]:
        return list(self._read())

    def replay(self, is_wanted: Callable[[Dead], bool]) -> int:
        """Dead events that are wanted wait again, behind what waits; how many."""
        with self._whole():
            back = [one for one in self._read() if is_wanted(one)]
            now_s = self._clock()
            self._base.executemany(
                "INSERT INTO waiting (endpoint, id, call, body, taken_s) VALUES (?, ?, ?, ?, ?)",
                [(one.endpoint, one.id, one.call, msgspec.json.encode(one.event).decode(), now_s) for one in back],
            )
            self._base.executemany("DELETE FROM gone WHERE endpoint = ?", [(one.endpoint,) for one in back])
        if back:  # only now: killed in between, it would rather be sent twice
            again = {(one.id, one.at) for one in back}
            with self._whole():
                self._rewrite([one for one in self._read() if (one.id, one.at) not in again])
        return len(back)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")

    def _as_dead(self, one: Waiting, why: str) -> Dead:
        return Dead(self._now(), one.endpoint, why, one.tries, one.id, one.call, _decode(one.body))

    def _read(self) -> Iterator[Dead]:
        """A line that is none, such as a killed process's last, is left out."""
        if not self._dead.exists():
            return
        with self._dead.open("rb") as lines:
            for line in lines:
                try:
                    yield _decode_dead(line)
                except msgspec.DecodeError:
                    continue

    def _append(self, dead: Iterable[Dead]) -> None:
        lines = b"".join(msgspec.json.encode(one) + b"\n" for one in dead)
        if not lines:
            return
        file = os.open(self._dead, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        with open(file, "r+b", buffering=0) as out:
            size = out.seek(0, os.SEEK_END)
            is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            out.write(b"\n" * is_torn + lines)
            os.fsync(file)

    def _rewrite(self, dead: Iterable[Dead]) -> None:
        half = self._dead.with_suffix(".half")
        half.unlink(missing_ok=True)
        with open(os.open(half, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as out:
            out.writelines(msgspec.json.encode(one) + b"\n" for one in dead)
            out.flush()
            os.fsync(out.fileno())
        os.replace(half, self._dead)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    # What may not stay

    def withdraw(self, call: str) -> None:
        """The customer objects: what was inferred of them goes from what waits and from the dead."""
        with self._whole():
            for number, body in self._base.execute(
                "SELECT number, body FROM waiting WHERE call = ?", (call,)
            ).fetchall():
                event = without_inferred_in(_decode(body))
                if event is None:
                    self._base.execute("DELETE FROM waiting WHERE number = ?", (number,))
                else:
                    changed = msgspec.json.encode(event).decode()
                    self._base.execute("UPDATE waiting SET body = ? WHERE number = ?", (changed, number))
            self._change_dead(call, without_inferred_in)
        self._shred()

    def erase(self, call: str) -> int:
        """A call, from what waits and from the dead; how many events that were."""
        with self._whole():
            erased = self._base.execute("DELETE FROM waiting WHERE call = ?", (call,)).rowcount
            erased += self._change_dead(call, lambda _: None)
        self._shred()
        return erased

    def prune(self, keep: timedelta) -> int:
        """What is older than may be kept."""
        before_s = self._clock() - keep.total_seconds()
        before = datetime.fromtimestamp(before_s, UTC)
        with self._whole():
            pruned = self._base.execute("DELETE FROM waiting WHERE taken_s < ?", (before_s,)).rowcount
            every = list(self._read())
            kept = [one for one in every if datetime.fromisoformat(one.event.time) >= before]
            if len(kept) < len(every):
                self._rewrite(kept)
        self._shred()
        return pruned + len(every) - len(kept)

    def _change_dead(self, call: str, change: Callable[[CloudEvent], CloudEvent | None]) -> int:
        every = list(self._read())
        if not any(one.call == call for one in every):
            return 0
        changed = [
            one if one.call != call else msgspec.structs.replace(one, event=event)
            for one in every
            if one.call != call or (event := change(one.event)) is not None
        ]
        self._rewrite(changed)
        return len(every) - len(changed)

    def _shred(self) -> None:
        """Out of the write-ahead log too."""
        self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def without_inferred_in(one: CloudEvent) -> CloudEvent | None:
    """What is left of it once the notice is withdrawn; None: nothing."""
    if one.data is None:
        return one
    event = without_inferred(one.data.event)
    return None if event is None else msgspec.structs.replace(one, data=msgspec.structs.replace(one.data, event=event))
