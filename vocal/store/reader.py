"""What is kept of calls, for reports: read beside whoever writes, without a lock."""

import os
from collections.abc import Collection, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vocal.errors import StoreError
from vocal.record import CallRecord
from vocal.store.files import Files
from vocal.store.schema import EVENTS, kind_name, rows_of, schema_of
from vocal.types import Event


class StoreReader:
    """Raises StoreError where there is no store."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.files = Files(folder)
        if not self.folder.is_dir():
            raise StoreError(f"{folder}: wanted a store, and there is no such folder")

    def record(self, call: str) -> CallRecord | None:
        """A call's record, None: not kept, or not known."""
        found = self.records(calls=(call,))
        return found[0] if found else None

    def records(
        self, first: date | None = None, last: date | None = None, calls: Collection[str] | None = None
    ) -> list[CallRecord]:
        """Of calls that began (UTC) from day `first` to day `last`, both in it; of `calls` alone where they are named.
        In the order in which they began."""
        found: list[CallRecord] = []
        for file in sorted((self.folder / "calls").glob("day=*/*.parquet")):
            day = date.fromisoformat(file.parent.name.removeprefix("day="))
            if (first is None or day >= first) and (last is None or day <= last):
                found += rows_of(CallRecord, pq.ParquetFile(file).read())
        kept = [one for one in found if calls is None or one.call in calls]
        return sorted(kept, key=lambda one: one.started_at)

    def table(
        self,
        kind: type[msgspec.Struct],
        first: date | None = None,
        last: date | None = None,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """Records, or events of one kind, as an Arrow table; columns: those wanted, or all."""
        names = list(columns) if columns is not None else schema_of(kind).names
        tables = [pa.schema([schema_of(kind).field(name) for name in names]).empty_table()]
        for entry in self.files.parts(kind_name(kind), first, last):
            with self.files.open(entry.name) as file:
                tables.append(pq.read_table(file, columns=names).replace_schema_metadata(None))
        return pa.concat_tables(tables)

    def events(self, call: str) -> list[Event]:
        """What is still kept of a call's events, in its order."""
        found: list[Event] = []
        for kind in EVENTS:
            for file in (self.folder / kind_name(kind)).glob(f"day=*/{call}.parquet"):
                found += rows_of(kind, pq.ParquetFile(file).read())
        return sorted(found, key=lambda event: event.seq)
