"""Calls on disk as Parquet, one file a call and kind, by day:

    FOLDER/utterance/day=2026-11-22/CALL.parquet

Written once a call has ended, each file whole or not at all. Never audio.
"""

import os
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.record import CallRecord, record_of
from vocal.store.schema import EVENTS, kind_name, table_of
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
        if isinstance(event, Notice) and not event.given:
            events[:] = [kept for held in events if (kept := without_inferred(held)) is not None]
        events.append(event)
        if isinstance(event, CallEnded):
            self._write(self._open.pop(event.call))

    def _write(self, events: list[Event]) -> None:
        started = next(event for event in events if isinstance(event, CallStarted))
        day = started.started_at[:10]
        for kind in EVENTS:
            self._write_rows(kind, [event for event in events if isinstance(event, kind)], day, started.call)
        self._write_rows(CallRecord, [record_of(events)], day, started.call)

    def _write_rows(
        self, kind: type[msgspec.Struct], rows: list[Event] | list[CallRecord], day: str, name: str
    ) -> None:
        if not rows:
            return
        folder = self.folder / kind_name(kind) / f"day={day}"
        final = folder / f"{name}.parquet"
        half = final.with_suffix(".half")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(table_of(kind, rows), half, compression="zstd")
            os.replace(half, final)
        except OSError as error:
            raise StoreError(f"{final}: cannot be written: {error.strerror or error}") from None
