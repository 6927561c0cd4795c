"""What agents answered, which calls are theirs, and which of these they shared. In SQLite, without a name.

A call, a reflection and a share carry a keyed mark of their agent, by which they find it again and nobody else does.
All are kept as long as calls are (`policy.RETENTION`); how often each rule's cues helped outlasts that as a bare count.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from vocal.errors import StoreError, UsageError
from vocal.policy import RETENTION

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (
    call TEXT, seq INTEGER, cue TEXT, helpful INTEGER, at_s REAL, PRIMARY KEY (call, seq));
CREATE TABLE IF NOT EXISTS feedback_before (cue TEXT, helpful INTEGER, count INTEGER, PRIMARY KEY (cue, helpful));
CREATE TABLE IF NOT EXISTS reflections (call TEXT PRIMARY KEY, owner TEXT, score INTEGER, text TEXT, at_s REAL);
CREATE TABLE IF NOT EXISTS own_calls (call TEXT PRIMARY KEY, owner TEXT, at_s REAL);
CREATE INDEX IF NOT EXISTS own_calls_owner ON own_calls (owner);
CREATE TABLE IF NOT EXISTS shares (call TEXT PRIMARY KEY, note TEXT, with_reflection INTEGER, at_s REAL);
"""
_OF_CALLS = ("feedback", "reflections", "own_calls", "shares")


class Reflection(msgspec.Struct, frozen=True):
    """How a call felt, 1-10. at: when that was said, ISO 8601."""

    call: str
    score: int
    text: str
    at: str


class Share(msgspec.Struct, frozen=True):
    """That a call's agent shows it to the coach of their team. note: what they say to it; with_reflection: how the call
    felt is shown, too. at: since when, ISO 8601."""

    call: str
    note: str
    with_reflection: bool
    at: str


class Answers:
    """The newest answer counts. path: of the SQLite file; by default in memory, for as long as the process lives.

    keep: as long as calls are.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = ":memory:",
        clock: Callable[[], float] = time.time,
        keep: timedelta = RETENTION.calls,
    ) -> None:
        self._path, self._clock, self._keep_s = path, clock, keep.total_seconds()
        self._lock = threading.Lock()
        try:
            if str(path) != ":memory:":
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.executescript(_SCHEMA)
            self._base.execute("INSERT OR IGNORE INTO secrets VALUES ('answers', ?)", (secrets.token_bytes(32),))
            (self._key,) = self._base.execute("SELECT value FROM secrets WHERE name = 'answers'").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{path}: cannot be used for answers: {error}") from None
        self.forget_old()

    def close(self) -> None:
        self._base.close()

    def feedback(self, call: str, seq: int, cue: str, helpful: bool) -> None:
        self.forget_old()
        with self._writing() as base:
            base.execute(
                "INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?)", (call, seq, cue, helpful, self._now_s)
            )

    def feedback_of(self, call: str) -> dict[int, bool]:
        """What was said of a call's cues, by their `seq`."""
        rows = self._rows("SELECT seq, helpful FROM feedback WHERE call = ?", call)
        return {seq: bool(helpful) for seq, helpful in rows}

    def feedback_by_cue(self) -> dict[tuple[str, int], bool]:
        """What was said of every cue that is still kept, by its call and `seq`."""
        return {
            (call, seq): bool(helpful) for call, seq, helpful in self._rows("SELECT call, seq, helpful FROM feedback")
        }

    def counts(self) -> dict[tuple[str, bool], int]:
        """How often each rule's cues were said to help, and not to."""
        rows = self._rows(
            "SELECT cue, helpful, sum(n) FROM (SELECT cue, helpful, 1 AS n FROM feedback "
            "UNION ALL SELECT cue, helpful, count AS n FROM feedback_before) GROUP BY cue, helpful"
        )
        return {(cue, bool(helpful)): count for cue, helpful, count in rows}

    def reflect(self, call: str, agent: str | None, score: int, text: str) -> None:
        self.forget_old()
        row = (call, self._mark(agent), score, text, self._now_s)
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO reflections VALUES (?, ?, ?, ?, ?)", row)

    def reflections(self, agent: str | None) -> list[Reflection]:
        """An agent's own, the newest first."""
        query = "SELECT call, score, text, at_s FROM reflections WHERE owner = ? ORDER BY at_s DESC"
        rows = self._rows(query, self._mark(agent))
        return [Reflection(call, score, text, _iso(at_s)) for call, score, text, at_s in rows]

    def take_back(self, call: str, agent: str | None) -> bool:
        """An agent's own reflection, deleted; whether there was one."""
        with self._writing() as base:
            given = (call, self._mark(agent))
            return base.execute("DELETE FROM reflections WHERE call = ? AND owner = ?", given).rowcount > 0

    # Whose calls they are

    def keep_own(self, call: str, agent: str) -> None:
        """A call has begun, and is this agent's. The first who is named stays."""
        with self._writing() as base:
            base.execute("INSERT OR IGNORE INTO own_calls VALUES (?, ?, ?)", (call, self._mark(agent), self._now_s))

    def owns(self, call: str, agent: str | None) -> bool:
        if not agent:
            return False
        found = self._rows("SELECT owner FROM own_calls WHERE call = ? AND at_s >= ?", call, self._least_s)
        return bool(found) and hmac.compare_digest(found[0][0], self._mark(agent))

    def own_calls(self, agent: str | None) -> list[str]:
        """An agent's own, the newest first."""
        if not agent:
            return []
        order = "SELECT call FROM own_calls WHERE owner = ? AND at_s >= ? ORDER BY at_s DESC, rowid DESC"
        return [call for (call,) in self._rows(order, self._mark(agent), self._least_s)]

    # What they share

    def share(self, call: str, agent: str, note: str = "", with_reflection: bool = False) -> bool:
        """An agent shows an own call to the coach; False: it is not theirs."""
        self.forget_old()
        if not self.owns(call, agent):
            return False
        with self._writing() as base:
            row = (call, note, with_reflection, self._now_s)
            base.execute("INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?)", row)
        return True

    def unshare(self, call: str, agent: str) -> bool:
        """Whether it was shared, by this agent."""
        if not self.owns(call, agent):
            return False
        with self._writing() as base:
            return base.execute("DELETE FROM shares WHERE call = ?", (call,)).rowcount > 0

    def is_shared(self, call: str) -> bool:
        return self.share_of(call) is not None

    def share_of(self, call: str) -> Share | None:
        return self.shares().get(call)

    def shares(self) -> dict[str, Share]:
        """All that is shared, by call."""
        rows = self._rows(
            "SELECT call, note, with_reflection, shares.at_s FROM shares JOIN own_calls USING (call) "
            "WHERE own_calls.at_s >= ?",
            self._least_s,
        )
        return {call: Share(call, note, bool(reflected), _iso(at_s)) for call, note, reflected, at_s in rows}

    def shared_reflection(self, call: str) -> Reflection | None:
        """How a call felt, where its agent shared that, too."""
        rows = self._rows(
            "SELECT reflections.call, score, text, reflections.at_s FROM reflections "
            "JOIN shares USING (call) JOIN own_calls USING (call, owner) WHERE call = ? AND with_reflection",
            call,
        )
        return next((Reflection(one, score, text, _iso(at_s)) for one, score, text, at_s in rows), None)

    # Going

    def forget_calls(self, calls: Collection[str]) -> int:
        """All that is kept of these calls, deleted; how many rows that were. Of feedback the bare counts stay."""
        return self._forget("call IN (SELECT value FROM json_each(?))", json.dumps(list(calls)))

    def forget_agent(self, agent: str) -> int:
        """All that makes calls an agent's, deleted: the calls themselves stay, as nobody's."""
        mark = self._mark(agent)
        query = "SELECT call FROM own_calls WHERE owner = ? UNION SELECT call FROM reflections WHERE owner = ?"
        return self.forget_calls([call for (call,) in self._rows(query, mark, mark)])

    def forget_old(self) -> None:
        self._forget("at_s < ?", self._least_s)

    def _forget(self, which: str, *values: object) -> int:
        with self._writing() as base:
            base.execute(
                f"INSERT INTO feedback_before SELECT cue, helpful, count(*) FROM feedback WHERE {which} "
                "GROUP BY cue, helpful ON CONFLICT DO UPDATE SET count = count + excluded.count",
                values,
            )
            return sum(base.execute(f"DELETE FROM {table} WHERE {which}", values).rowcount for table in _OF_CALLS)

    @property
    def _least_s(self) -> float:
        return self._now_s - self._keep_s

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._base.execute(query, values).fetchall()

    @property
    def _now_s(self) -> float:
        return self._clock()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield self._base
                self._base.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self._base.execute("ROLLBACK")
                raise StoreError(f"{self._path}: an answer could not be kept: {error}") from None

    def _mark(self, agent: str | None) -> str:
        return hmac.new(self._key, (agent or "").encode(), hashlib.sha256).hexdigest()


def _iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")
