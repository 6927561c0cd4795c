"""What is kept of calls, for reports: read beside whoever writes, without a lock.

The log first, then the parts: a call that goes from one to the other meanwhile is in both, and counts once.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any, NamedTuple, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vocal.errors import StoreError, VocalError
from vocal.record import CallRecord, record_of
from vocal.store import log
from vocal.store.files import HALF, LOG, PART, Entry, Files, GoneError, Lock, day_of
from vocal.store.parts import NAMES, read_part, valid_parts
from vocal.store.schema import EVENTS, kind_name, rows_of, schema_of, table_of
from vocal.types import Event

R = TypeVar("R")
READING = 4
"""Parts that are read at once."""

TRIES = 5


class Problem(NamedTuple):
    """A file that was passed over, and why."""

    name: str
    why: str


class StoreReader:
    """Reads what is sound; `problems` tells what is not. Raises StoreError where there is no store, or a newer one.

    folder: or a URL; then `spool` holds the log. Days are those, in UTC, on which calls began.
    """

    def __init__(self, folder: str | os.PathLike[str] | Files, spool: str | os.PathLike[str] | Files = "") -> None:
        self.files = folder if isinstance(folder, Files) else Files(folder)
        log_files = spool if isinstance(spool, Files) else Files(spool) if spool else self.files
        self.log_files = log_files if log_files.is_local else None
        self._problems: dict[str, str] = {}
        if not self.files.is_there:
            raise StoreError(f"{self.files.where}: wanted a store, and there is no such folder")

    @property
    def problems(self) -> list[Problem]:
        """Files that are none of the store's, or damaged: those met so far, and all that their names give away."""
        for kind in NAMES:
            for entry in self.files.entries(kind):
                if entry.name.endswith(HALF):
                    self._problems[entry.name] = "half written"
                elif not entry.name.endswith(PART) or day_of(entry.name) is None:
                    self._problems[entry.name] = "not of this store"
        for entry in self.log_files.entries(LOG) if self.log_files is not None else ():
            if entry.name.endswith(HALF):
                self._problems[entry.name] = "half written"
            elif not log.is_of_log(entry.name):
                self._problems[entry.name] = "not of this store"
        return [Problem(*one) for one in sorted(self._problems.items())]

    def record(self, call: str) -> CallRecord | None:
        """A call's record, None: not kept, not known, or still running."""
        found = self.records(calls=(call,))
        return found[-1] if found else None

    def records(
        self, first: date | None = None, last: date | None = None, calls: Collection[str] | None = None
    ) -> list[CallRecord]:
        """Of calls that began from day `first` to day `last`, both in it; of `calls` alone where they are named.
        In the order in which they began."""
        found = rows_of(CallRecord, self.table(CallRecord, first, last, calls=calls))
        return sorted(found, key=lambda one: one.started_at)

    def table(
        self,
        kind: type[msgspec.Struct],
        first: date | None = None,
        last: date | None = None,
        columns: Sequence[str] | None = None,
        calls: Collection[str] | None = None,
    ) -> Any:
        """Records, or events of one kind, as an Arrow table in the order of nothing; of calls that are over.

        columns: those wanted; all. calls: as in `records`.
        """
        told = [one for one in self._told(calls) if one.record is not None and _is_in(one.record, first, last)]
        names = [one.events[0].call for one in told]

        def read(parts: Sequence[Entry], filed: Sequence[Entry]) -> tuple[set[tuple[str, str]], Any]:
            ids = self._rows(CallRecord, filed, ("call", "started_at"), names) if names else None
            known = zip(*(ids[name].to_pylist() for name in ids.column_names), strict=True) if ids is not None else ()
            return set(known), self._rows(kind, parts, columns, calls)

        known, table = self._at_once(kind, first, last, read)
        tables = [table]
        for one in told:
            assert one.record is not None
            if (one.record.call, one.record.started_at) not in known:
                rows = [one.record] if kind is CallRecord else [row for row in one.events if isinstance(row, kind)]
                table = table_of(kind, rows)
                tables.append((table if columns is None else table.select(columns)).replace_schema_metadata(None))
        return pa.concat_tables(tables)

    def events(self, call: str) -> list[Event]:
        """What is still kept of a call's events, in its order; also of one that is still running."""
        told = list(self._told((call,)))
        days = [day for entry in self._having(call) if (day := day_of(entry.name)) is not None]
        if not days:
            return told[-1].events if told else []
        found: list[Event] = []
        for kind in EVENTS:

            def read(parts: Sequence[Entry], _: Sequence[Entry], kind: type[Event] = kind) -> list[Event]:
                return list(_last_call(rows_of(kind, self._rows(kind, parts, None, (call,)))))

            found += self._at_once(kind, days[-1], days[-1], read)
        return sorted(found, key=lambda event: event.seq)

    # Parts

    def _at_once(
        self,
        kind: type[msgspec.Struct],
        first: date | None,
        last: date | None,
        read: Callable[[Sequence[Entry], Sequence[Entry]], R],
    ) -> R:
        """What `read` makes of the parts of a kind and of those of the records; anew, where some went meanwhile."""
        for _ in range(TRIES):
            try:
                return read(*valid_parts(self.files, kind_name(kind), first, last))
            except GoneError:
                continue
        raise StoreError(f"{self.files.where}: it changes faster than it can be read")

    def _rows(
        self,
        kind: type[msgspec.Struct],
        parts: Sequence[Entry],
        columns: Sequence[str] | None,
        calls: Collection[str] | None,
    ) -> Any:
        names = schema_of(kind).names if columns is None else list(columns)
        schema = pa.schema([schema_of(kind).field(name) for name in names])
        tables = self._each(parts, lambda part: read_part(self.files, kind, part.name, columns, calls))
        return pa.concat_tables([schema.empty_table(), *(table.replace_schema_metadata(None) for table in tables)])

    def _each(self, parts: Sequence[Entry], read: Callable[[Entry], R]) -> list[R]:
        """What `read` makes of each part that is sound."""

        def sound(part: Entry) -> R | None:
            try:
                return read(part)
            except ValueError as error:
                self._problems[part.name] = str(error)
                return None

        if len(parts) <= READING:
            found = [sound(part) for part in parts]
        else:
            with ThreadPoolExecutor(READING) as readers:
                found = list(readers.map(sound, parts))
        return [one for one in found if one is not None]

    def _having(self, call: str) -> list[Entry]:
        """The parts of records that have this call."""

        def read(_: Sequence[Entry], filed: Sequence[Entry]) -> list[Entry]:
            found = self._each(
                filed, lambda part: (part, len(read_part(self.files, CallRecord, part.name, ("call",), (call,))))
            )
            return [part for part, count in found if count]

        return self._at_once(CallRecord, None, None, read)

    # The log

    def _told(self, calls: Collection[str] | None) -> "Iterator[_Told]":
        """The calls that the log holds; those without a record are running."""
        if self.log_files is None:
            return
        folder = self.log_files.folder / LOG
        there = log.segments(self.log_files)
        for run in sorted({(segment.log, segment.run) for segment in there}):
            tables = [self._read(segment) for segment in there if (segment.log, segment.run) == run]
            rows = pa.concat_tables([log.NO_ROWS, *(table for table in tables if table is not None)])
            if calls is not None:
                rows = rows.filter(pc.is_in(rows["call"], pa.array(calls, pa.string())))
            is_over = not Lock.is_running(folder, run[1])
            ended = log.spans(rows, is_over=False)
            for span, events, written_at in log.told(rows, log.spans(rows, is_over=True)):
                has_ended = is_over or span in ended
                yield _Told(events, _record(events, written_at) if has_ended else None)

    def _read(self, segment: log.Segment) -> Any:
        assert self.log_files is not None
        try:
            held = log.read(self.log_files, segment)
        except GoneError:
            return None  # filed meanwhile
        except ValueError as error:
            self._problems[segment.name] = str(error)
            return None
        if held.damage.batches:
            self._problems[segment.name] = f"{held.damage.batches} batches are damaged"
        return held.table()


class _Told(NamedTuple):
    events: list[Event]
    record: CallRecord | None


def _record(events: Sequence[Event], written_at: str) -> CallRecord | None:
    try:
        return record_of(events, written_at)
    except (VocalError, ValueError):
        return None  # its beginning is lost


def _is_in(record: CallRecord, first: date | None, last: date | None) -> bool:
    day = date.fromisoformat(record.started_at[:10])
    return (first is None or day >= first) and (last is None or day <= last)


def _last_call(events: Sequence[Event]) -> Sequence[Event]:
    """Where a name came again, the last call that had it."""
    start = max((at for at in range(1, len(events)) if events[at].seq <= events[at - 1].seq), default=0)
    return events[start:]
