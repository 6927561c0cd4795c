"""What agents answered: whether a cue helped, and how a call felt to them. In SQLite, without a name.

A reflection carries a keyed mark of its agent, by which they find it again and nobody else does. Both are kept as long
as calls are (`policy.RETENTION`); how often each rule's cues helped outlasts that as a bare count.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from vocal.errors import StoreError, UsageError
from vocal.policy import RETENTION

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (
    call TEXT, seq INTEGER, cue TEXT, helpful INTEGER, at_s REAL, PRIMARY KEY (call, seq));
CREATE TABLE IF NOT EXISTS feedback_before (cue TEXT, helpful INTEGER, count INTEGER, PRIMARY KEY (cue, helpful));
CREATE TABLE IF NOT EXISTS reflections (call TEXT PRIMARY KEY, owner TEXT, score INTEGER, text TEXT, at_s REAL);
"""


class Reflection(msgspec.Struct, frozen=True):
    """How a call felt, 1-10. at: when that was said, ISO 8601."""

    call: str
    score: int
    text: str
    at: str


class Answers:
    """The newest answer counts. path: of the SQLite file; by default in memory, for as long as the process lives."""

    def __init__(self, path: str | os.PathLike[str] = ":memory:", clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
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
        with self._lock:
            rows = self._base.execute("SELECT seq, helpful FROM feedback WHERE call = ?", (call,)).fetchall()
        return {seq: bool(helpful) for seq, helpful in rows}

    def counts(self) -> dict[tuple[str, bool], int]:
        """How often each rule's cues were said to help, and not to."""
        with self._lock:
            rows = self._base.execute(
                "SELECT cue, helpful, sum(n) FROM (SELECT cue, helpful, 1 AS n FROM feedback "
                "UNION ALL SELECT cue, helpful, count AS n FROM feedback_before) GROUP BY cue, helpful"
            ).fetchall()
        return {(cue, bool(helpful)): count for cue, helpful, count in rows}

    def reflect(self, call: str, agent: str | None, score: int, text: str) -> None:
        self.forget_old()
        row = (call, self._mark(agent), score, text, self._now_s)
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO reflections VALUES (?, ?, ?, ?, ?)", row)

    def reflections(self, agent: str | None) -> list[Reflection]:
        """An agent's own, the newest first."""
        with self._lock:
            rows = self._base.execute(
                "SELECT call, score, text, at_s FROM reflections WHERE owner = ? ORDER BY at_s DESC",
                (self._mark(agent),),
            ).fetchall()
        return [
            Reflection(call, score, text, datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds"))
            for call, score, text, at_s in rows
        ]

    def take_back(self, call: str, agent: str | None) -> bool:
        """An agent's own reflection, deleted; whether there was one."""
        with self._writing() as base:
            given = (call, self._mark(agent))
            return base.execute("DELETE FROM reflections WHERE call = ? AND owner = ?", given).rowcount > 0

    def forget_old(self) -> None:
        least_s = self._now_s - RETENTION.calls.total_seconds()
        with self._writing() as base:
            base.execute(
                "INSERT INTO feedback_before SELECT cue, helpful, count(*) FROM feedback WHERE at_s < ? "
                "GROUP BY cue, helpful ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (least_s,),
            )
            base.execute("DELETE FROM feedback WHERE at_s < ?", (least_s,))
            base.execute("DELETE FROM reflections WHERE at_s < ?", (least_s,))

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
