"""Events on disk as Parquet, one file a call and kind, by day:

    FOLDER/utterance/day=2026-11-22/CALL.parquet

Written once a call has ended, each file whole or not at all. Never audio.
"""

import os
from pathlib import Path

import pyarrow.parquet as pq

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.sinks.schema import KINDS, kind_name, table_of
from vocal.types import CallEnded, CallStarted, Event, Notice


class Store:
    """A sink: give it every event; it writes a call when the call has ended."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._open: dict[str, list[Event]] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{folder}: wanted a folder for the store: {error.strerror}") from None

    def __call__(self, event: Event) -> None:
        events = self._open.setdefault(event.call, [])
        if isinstance(event, Notice):
            if not event.given:
                events[:] = [kept for held in events if (kept := without_inferred(held)) is not None]
            return
        events.append(event)
        if isinstance(event, CallEnded):
            self._write(self._open.pop(event.call))

    def _write(self, events: list[Event]) -> None:
        started = next(event for event in events if isinstance(event, CallStarted))
        day = started.started_at[:10]
        for kind in KINDS:
            rows = [event for event in events if isinstance(event, kind)]
            if not rows:
                continue
            folder = self.folder / kind_name(kind) / f"day={day}"
            final = folder / f"{started.call}.parquet"
            half = final.with_suffix(".half")
            try:
                folder.mkdir(parents=True, exist_ok=True)
                pq.write_table(table_of(kind, rows), half, compression="zstd")
                os.replace(half, final)
            except OSError as error:
                raise StoreError(f"{final}: cannot be written: {error.strerror or error}") from None
