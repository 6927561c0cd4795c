"""What agents answered: whether a cue helped, and how a call felt to them. In memory or SQLite, never with a name."""

import os
import sqlite3
import threading

_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (call TEXT, seq INTEGER, cue TEXT, helpful INTEGER, PRIMARY KEY (call, seq));
CREATE TABLE IF NOT EXISTS reflections (call TEXT PRIMARY KEY, score INTEGER, text TEXT);
"""


class Answers:
    """The newest answer counts."""

    def __init__(self, path: str | os.PathLike[str] = ":memory:") -> None:
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.executescript(_SCHEMA)

    def feedback(self, call: str, seq: int, cue: str, helpful: bool) -> None:
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?)", (call, seq, cue, helpful))

    def counts(self) -> dict[tuple[str, bool], int]:
        """How often each rule's cues were said to help, and not to."""
        with self._lock:
            rows = self._base.execute("SELECT cue, helpful, count(*) FROM feedback GROUP BY cue, helpful").fetchall()
        return {(cue, bool(helpful)): count for cue, helpful, count in rows}

    def reflect(self, call: str, score: int, text: str) -> None:
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO reflections VALUES (?, ?, ?)", (call, score, text))

    def reflection(self, call: str) -> tuple[int, str] | None:
        with self._lock:
            row = self._base.execute("SELECT score, text FROM reflections WHERE call = ?", (call,)).fetchone()
        return None if row is None else (row[0], row[1])
