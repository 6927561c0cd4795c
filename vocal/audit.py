"""The audit log: who saw what and what was changed, as lines of JSON in a chain that tells of each alteration.

    {"seq":4,"at":"2026-11-22T14:03:09.120Z","who":"lea","act":"report.team","subject":"t1","detail":{},
     "previous":"9f…","hash":"51…"}

`hash` is HMAC-SHA256 over the line with an empty `hash`, `previous` is the hash of the entry before. The key and the
head (number and hash of the newest entry) lie apart from the log: who has the file alone can neither rewrite it nor cut
off its end unnoticed. Each entry is on disk (fsync) before `append` returns; what a killed process left half written is
cut off, and that is an entry itself. Several processes may write to one log.

Entries are kept for two years. Where the oldest are taken out, an anchor takes their place, and the chain goes on from
there.
"""

import contextlib
import hashlib
import hmac
import io
import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from vocal.errors import AuditError
from vocal.keys import locked, write_whole

LOG = logging.getLogger("vocal")
NOTHING = "0" * 64
"""What the first entry of all has before it."""

ANCHOR = "audit.anchor"
MOST_WAITING = 10_000
AGAIN_S = 1.0
_BLOCK = 65_536


class Entry(msgspec.Struct, frozen=True):
    """who: an account, `local` for this machine's user, `vocal` for the program. subject: what it was done to, such as
    a call. An anchor stands for the entries up to `seq`, whose last had the hash `previous`."""

    seq: int
    at: str
    who: str
    act: str
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str = ""

    @property
    def link(self) -> "Head":
        return Head(self.seq, self.previous if self.act == ANCHOR else self.hash)


class Head(msgspec.Struct, frozen=True):
    """An entry by number and hash. Noted on paper, it proves later that the log up to there is still the same."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


class Broken(msgspec.Struct, frozen=True):
    """The first place where the chain does not hold. line: from 1; seq: as the line says; None where it says none."""

    line: int
    seq: int | None
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """What `verify` found, and when. notes: what is no break of the chain and yet worth knowing."""

    at: str
    entries: int
    head: Head | None
    broken: Broken | None
    notes: tuple[str, ...] = ()


class Audit:
    """path: of the log; keys: the folder of its key and head, which is not the log's. Without, in memory only.

    Raises AuditError where they cannot be read or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        keys: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._disk: _Memory | _Disk = _Memory() if path is None or keys is None else _Disk(Path(path), Path(keys))
        self._clock = clock
        self._lock = threading.RLock()
        self._waiting: deque[tuple[str, str, str, dict[str, Any]]] = deque()
        self._wakes = threading.Condition()
        self._writer: threading.Thread | None = None
        self._is_closing = self._is_writing = False
        self.lost = 0
        """Notes that were not written, as the log could not be for too long."""
        with self._held():
            self._key = self._disk.key()

    @property
    def path(self) -> Path | None:
        return self._disk.path

    def append(self, who: str, act: str, subject: str = "", **detail: Any) -> Entry:
        """One more entry, on disk when this returns: some milliseconds."""
        with self._held():
            return self._append(who, act, subject, detail)

    def note(self, who: str, act: str, subject: str = "", **detail: Any) -> None:
        """The same soon, by a thread of its own, which tries again while the disk is full: for what must go on."""
        with self._wakes:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append((who, act, subject, detail))
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="vocal-audit", daemon=True)
                self._writer.start()
            self._wakes.notify_all()

    def flush(self, seconds: float = 5.0) -> bool:
        """Waits until what was noted is written; whether it is."""
        with self._wakes:
            return self._wakes.wait_for(lambda: not (self._waiting or self._is_writing), seconds)

    def close(self) -> None:
        self.flush()
        with self._wakes:
            self._is_closing = True
            self._wakes.notify_all()
        if self._writer is not None:
            self._writer.join(2.0 * AGAIN_S)
        self._writer, self._is_closing, self._is_writing = None, False, False

    def entries(
        self,
        act: str = "",
        who: str = "",
        subject: str = "",
        first: str = "",
        last: str = "",
        most: int = 200,
    ) -> list[Entry]:
        """The newest that fit, the newest first. act: or the part before a dot; first, last: dates, both included."""

        def fits(entry: Entry) -> bool:
            return (
                (not act or entry.act == act or entry.act.startswith(f"{act}."))
                and (not who or entry.who == who)
                and (not subject or entry.subject == subject)
                and (not first or entry.at[: len(first)] >= first)
                and (not last or entry.at[: len(last)] <= last)
            )

        found: deque[Entry] = deque(maxlen=most)
        with self._opened() as (file, size, _):
            for line in _lines(file, size):
                with contextlib.suppress(msgspec.DecodeError):
                    entry = msgspec.json.decode(line, type=Entry)
                    if fits(entry):
                        found.append(entry)
        return list(reversed(found))

    def verify(self, witness: Head | None = None) -> Verdict:
        """Whether every entry stands as it was written. witness: a head noted earlier, which must be among them."""
        with self._opened() as (file, size, head):
            return self._verify(file, size, head, witness)

    def prune(self, days: float) -> int:
        """Takes out the oldest entries, older than `days`; how many. An entry younger than its successors stays, and
        all after it."""
        least = _iso(self._clock() - 86_400.0 * days)
        with self._held():
            with self._disk.reading() as (file, size):
                removed, previous, kept = 0, None, list[bytes]()
                for line in _lines(file, size):
                    if not kept:
                        try:
                            entry = msgspec.json.decode(line, type=Entry)
                        except msgspec.DecodeError:
                            return 0  # a broken log stays as it is: it is evidence
                        if entry.act == ANCHOR or entry.at < least:
                            removed += entry.act != ANCHOR
                            previous = entry
                            continue
                    kept.append(line)
            if not removed or previous is None:
                return 0
            detail = {"removed": removed, "before": least}
            link = previous.link
            anchor = self._signed(Entry(link.seq, _iso(self._clock()), "vocal", ANCHOR, "", detail, link.hash))
            self._disk.replace(b"".join((_line(anchor), *kept)))
            self._append("vocal", "audit.pruned", "", {**detail, "up_to": link.seq})
        return removed

    # Writing

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            try:
                with self._disk.locked():
                    yield
            except OSError as error:
                raise AuditError(f"{self.path}: the audit log cannot be written: {error.strerror or error}") from None

    def _append(self, who: str, act: str, subject: str, detail: dict[str, Any]) -> Entry:
        torn = self._disk.cut_torn()
        end, faults = self._end()
        if torn:
            faults.append(("audit.torn", {"bytes": torn}))
        now = _iso(self._clock())
        last = self._disk.last()
        with contextlib.suppress(msgspec.DecodeError):
            if last and (before := msgspec.json.decode(last, type=Entry).at) > now:
                faults.append(("clock.back", {"from": before, "to": now}))
        lines = []
        for one in (*(("vocal", fault, "", about) for fault, about in faults), (who, act, subject, detail)):
            entry = self._signed(Entry(end.seq + 1, now, one[0], one[1], one[2], _plain(one[3]), end.hash))
            lines.append(_line(entry))
            end = entry.link
        self._disk.append(b"".join(lines), end)
        return entry

    def _end(self) -> tuple[Head, list[tuple[str, dict[str, Any]]]]:
        """Where the chain goes on, and what was done to it. Where the log's end is not what the head says, the head is
        believed, so that `verify` finds the place for ever."""
        head, line = self._disk.head(), self._disk.last()
        try:
            last = None if line is None else msgspec.json.decode(line, type=Entry)
        except msgspec.DecodeError:
            return head or Head(-1, NOTHING), [("audit.altered", {})]
        if last is not None and not self._is_ours(last):
            return head or last.link, [("audit.altered", {"seq": last.seq})]
        if head is None:
            if last is None:
                return Head(-1, NOTHING), []
            return last.link, [] if last.seq == 0 else [("audit.head_lost", {})]
        if last is None or last.seq < head.seq:
            return head, [("audit.cut_off", {"from": 0 if last is None else last.seq + 1, "to": head.seq})]
        if last.seq == head.seq and last.link != head:
            return head, [("audit.altered", {"seq": last.seq})]
        # Past the head: a process was killed after it had written its entry, and before the head.
        return last.link, []

    def _write(self) -> None:
        while True:
            with self._wakes:
                self._wakes.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                who, act, subject, detail = self._waiting.popleft()
                self._is_writing = True
            while not self._written(who, act, subject, detail):
                with self._wakes:
                    if self._is_closing or self._wakes.wait_for(lambda: self._is_closing, AGAIN_S):
                        return
            with self._wakes:
                self._is_writing = False
                self._wakes.notify_all()

    def _written(self, who: str, act: str, subject: str, detail: dict[str, Any]) -> bool:
        try:
            if lost := self.lost:
                self.append("vocal", "audit.lost", entries=lost)
                with self._wakes:
                    self.lost -= lost
            self.append(who, act, subject, **detail)
        except AuditError as error:
            LOG.error("%s", error)
            return False
        return True

    def _signed(self, entry: Entry) -> Entry:
        return msgspec.structs.replace(entry, hash=self._mac(entry))

    def _mac(self, entry: Entry) -> str:
        bare = msgspec.json.encode(msgspec.structs.replace(entry, hash=""), order="sorted")
        return hmac.new(self._key, bare, hashlib.sha256).hexdigest()

    def _is_ours(self, entry: Entry) -> bool:
        return hmac.compare_digest(entry.hash, self._mac(entry))

    # Reading

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, int, Head | None]]:
        """The log as it stands now: others may go on writing behind that."""
        try:
            with contextlib.ExitStack() as stack:
                with self._lock, self._disk.locked():
                    file, size = stack.enter_context(self._disk.reading())
                    head = self._disk.head()
                yield file, size, head
        except OSError as error:
            raise AuditError(f"{self.path}: the audit log cannot be read: {error.strerror or error}") from None

    def _verify(self, file: BinaryIO, size: int, head: Head | None, witness: Head | None) -> Verdict:
        end, entries, torn = Head(-1, NOTHING), 0, 0
        notes: list[str] = []
        before = ""

        def verdict(why: str | None = None, line: int = 0, seq: int | None = None) -> Verdict:
            broken = None if why is None else Broken(line, seq, why)
            return Verdict(_iso(self._clock()), entries, None if end.seq < 0 else end, broken, tuple(notes))

        for number, line in enumerate(_lines(file, size, with_torn=True), 1):
            if not line.endswith(b"\n"):
                torn = len(line)
                break
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError:
                return verdict("the line is no entry", number)
            if _line(entry) != line or not self._is_ours(entry):
                return verdict("the entry was altered, or was not written with this key", number, entry.seq)
            if number == 1 and entry.act == ANCHOR:
                notes.append(f"entries up to {entry.seq} were taken out after their time, on {entry.at[:10]}")
                end = entry.link
                if witness is not None and witness.seq < end.seq:
                    return verdict(f"entry {witness.seq} has been taken out after its time", number, entry.seq)
            elif entry.act == ANCHOR:
                return verdict("an anchor stands amid the log", number, entry.seq)
            elif (entry.seq, entry.previous) != (end.seq + 1, end.hash):
                missing = entry.seq - end.seq - 1
                why = f"{missing} entries before it are missing" if missing > 0 else "it does not follow the one before"
                return verdict(why, number, entry.seq)
            else:
                end = entry.link
                entries += 1
                if entry.at < before:
                    notes.append(f"entry {entry.seq}: the clock went back from {before} to {entry.at}")
                before = entry.at
            if witness is not None and end.seq == witness.seq and end.hash != witness.hash:
                return verdict("it is not the entry that was noted", number, entry.seq)
        if torn:
            notes.append(
                f"{torn} bytes of an entry were being written when a process ended; the next entry cuts them off"
            )
        line_after = entries + 1
        if head is None and end.seq > 0:
            return verdict("the head, which says where the log ends, is gone", line_after)
        if head is not None and head.seq > end.seq:
            return verdict(f"the log ends at entry {end.seq}, and the head says {head.seq}", line_after)
        if head is not None and head.seq == end.seq and head.hash != end.hash:
            return verdict("the last entry is not the one that the head says", line_after - 1, end.seq)
        if witness is not None and witness.seq > end.seq:
            return verdict(f"the log ends at entry {end.seq}, before the one that was noted", line_after)
        return verdict()


class _Disk:
    """The files of a log. All but `reading` while `locked`."""

    def __init__(self, path: Path, keys: Path) -> None:
        self.path = path
        self._keys = keys
        self._head = keys / "audit.head"

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self._keys / "audit.lock")

    def key(self) -> bytes:
        file = self._keys / "audit.key"
        try:
            return bytes.fromhex(file.read_text("ascii"))
        except FileNotFoundError:
            if self.path.exists() and self.path.stat().st_size:
                raise AuditError(
                    f"{file}: wanted the key of {self.path}, and it is not there; bring it back, or move the log away: "
                    "then a new one begins"
                ) from None
        except ValueError:
            raise AuditError(f"{file}: wanted 64 hexadecimal digits") from None
        key = secrets.token_bytes(32)
        write_whole(file, key.hex().encode())
        return key

    def head(self) -> Head | None:
        try:
            return msgspec.json.decode(self._head.read_bytes(), type=Head)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[BinaryIO, int]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(self.path, os.O_CREAT | os.O_RDONLY, 0o600), "rb") as file:
            yield file, os.fstat(file.fileno()).st_size

    def cut_torn(self) -> int:
        """Takes off what stands behind the last whole line; how many bytes."""
        with self.reading() as (file, size):
            whole = _last_newline(file, size) + 1
        if whole < size:
            os.truncate(self.path, whole)
        return size - whole

    def last(self) -> bytes | None:
        """The last line, where all are whole."""
        with self.reading() as (file, size):
            if not size:
                return None
            file.seek(_last_newline(file, size - 1) + 1)
            return file.read(size)

    def append(self, lines: bytes, head: Head) -> None:
        writing = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            size = os.fstat(writing).st_size
            try:
                written = os.write(writing, lines)
                if written < len(lines):
                    os.write(writing, lines[written:])  # says why the rest does not go
                os.fsync(writing)
                write_whole(self._head, msgspec.json.encode(head))
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(writing, size)
                raise
        finally:
            os.close(writing)

    def replace(self, whole: bytes) -> None:
        write_whole(self.path, whole)


class _Memory:
    """A log of a server that keeps nothing."""

    path: Path | None = None

    def __init__(self) -> None:
        self._log = b""
        self._end: Head | None = None

    def locked(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def key(self) -> bytes:
        return secrets.token_bytes(32)

    def head(self) -> Head | None:
        return self._end

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[BinaryIO, int]]:
        yield io.BytesIO(self._log), len(self._log)

    def cut_torn(self) -> int:
        return 0

    def last(self) -> bytes | None:
        return self._log[self._log.rfind(b"\n", 0, -1) + 1 :] or None

    def append(self, lines: bytes, head: Head) -> None:
        self._log += lines
        self._end = head

    def replace(self, whole: bytes) -> None:
        self._log = whole


def _line(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _lines(file: BinaryIO, size: int, with_torn: bool = False) -> Iterator[bytes]:
    left = size
    for line in file:
        line = line[:left]
        left -= len(line)
        if line and (with_torn or line.endswith(b"\n")):
            yield line
        if left <= 0:
            return


def _last_newline(file: BinaryIO, size: int) -> int:
    """Where the last newline of the first `size` bytes stands; -1: there is none."""
    while size > 0:
        start = max(0, size - _BLOCK)
        file.seek(start)
        found = file.read(size - start).rfind(b"\n")
        if found >= 0:
            return start + found
        size = start
    return -1


def _plain(detail: dict[str, Any]) -> dict[str, Any]:
    """As it will be read again."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(detail, order="sorted"))
    return plain


def _iso(at_s: float) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
