"""Parquet parts by day, made of the log and merged as they become many.

    calls/day=2026-11-22/3fa9c21e-00007.000000000120-00007.000000004711.parquet

A part's name says out of which stretch of the log it was made: log, then run and cursor, from (not in it) and to. So
work that was killed half way is known and done again without doubles: a part that another covers is superseded, and a
part of events counts only where a part of `calls`, which is written last, covers it.
"""

import logging
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vocal.errors import StoreError
from vocal.record import CallRecord, record_of
from vocal.store import log
from vocal.store.files import HALF, PART, Entry, Files, part_name
from vocal.store.files import LOG as FOLDER
from vocal.store.log import Segment, Span, State
from vocal.store.schema import KINDS, as_now, check_schema, kind_name, schema_of, table_of
from vocal.types import Event

LOG = logging.getLogger("vocal")
ROWS_IN_PART = 100_000
EVENTS_AT_ONCE = 2_000
ROWS_IN_GROUP = 10_000
"""A reader who looks for one call reads a group at a time; parts are sorted by call."""

SMALL_PARTS, SMALL_BYTES, MERGED_BYTES = 12, 1 << 20, 4 << 20
"""So many parts of `calls` under so many bytes become one, of at most so many; its events are ten times as much."""

DAY_IS_OVER_S = 86_400 + 7_200
NAMES = tuple(kind_name(kind) for kind in KINDS)
_STEM = re.compile(r"([0-9a-f]{8})-(\d{5,})\.(\d{12})-(\d{5,})\.(\d{12})")


class Stem(NamedTuple):
    """A stretch of a log: positions are run and cursor."""

    log: str
    first: tuple[int, int]
    last: tuple[int, int]

    def __str__(self) -> str:
        return "-".join((self.log, *(f"{run:05d}.{cursor:012d}" for run, cursor in (self.first, self.last))))

    def covers(self, other: "Stem") -> bool:
        return self.log == other.log and self.first <= other.first and other.last <= self.last


@cache
def stem_of(name: str) -> Stem | None:
    """Of a part's name; None: it was not made of a log."""
    found = _STEM.fullmatch(name.rpartition("/")[2].removesuffix(PART))
    if found is None:
        return None
    return Stem(found[1], (int(found[2]), int(found[3])), (int(found[4]), int(found[5])))


def covers(one: str, other: str) -> bool:
    """Whether a part was made of all that another was made of, by their names."""
    ours, theirs = stem_of(one), stem_of(other)
    if ours is None or theirs is None:
        return one.rpartition("/")[2] == other.rpartition("/")[2]
    return ours.covers(theirs)


def _by_day(parts: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for part in parts:
        found.setdefault(part.name.split("/")[1].removeprefix("day="), []).append(part)
    return found


def valid_parts(
    files: Files, kind: str, first: date | None = None, last: date | None = None
) -> tuple[list[Entry], list[Entry]]:
    """The parts of one kind that count, of the days from `first` to `last`, in the order of day and log; and the parts
    of `calls` beside them, which have the very same calls."""
    # A part that came while others went is in no listing for sure; two that are alike left nothing out.
    before = None
    while before != (now := (files.parts(kind, first, last), files.parts("calls", first, last))):
        before = now
    filed = _not_superseded(now[1])
    of_day = _by_day(filed)
    valid = [
        part
        for day, parts in _by_day(_not_superseded(now[0])).items()
        for part in parts
        if any(covers(one.name, part.name) for one in of_day.get(day, ()))
    ]
    return valid, filed


def _not_superseded(parts: Iterable[Entry]) -> list[Entry]:
    return [
        part
        for own in _by_day(parts).values()
        for part in own
        if not any(part.name != other.name and covers(other.name, part.name) for other in own)
    ]


def read_part(
    files: Files,
    kind: type[msgspec.Struct],
    name: str,
    columns: Sequence[str] | None = None,
    calls: Collection[str] | None = None,
) -> Any:
    """A part's rows as of now's schema; of `calls` alone where they are named.

    Raises ValueError for what is no part of ours, StoreError for a newer one, GoneError.
    """
    with files.open(name) as file:
        try:
            part = pq.ParquetFile(file)  # its columns one by one: parts are read side by side already
            why = check_schema(kind, part.schema_arrow, f"{files.where}/{name}")
            if why is not None:
                raise ValueError(why)
            wanted = schema_of(kind).names if columns is None else list(columns)
            held = set(part.schema_arrow.names)
            taken = [column for column in wanted if column in held]
            if calls is None:
                return as_now(kind, part.read(taken, use_threads=False), wanted)
            groups = _groups_with(part.metadata, sorted(calls))
            table = part.read_row_groups(groups, list(dict.fromkeys(("call", *taken))), use_threads=False)
            found = table.filter(pc.is_in(table["call"], pa.array(calls, pa.string())))
            return as_now(kind, found.select(taken), wanted)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"no whole Parquet file: {str(error).partition(chr(10))[0]}") from None


def _groups_with(metadata: Any, calls: Sequence[str]) -> list[int]:
    """Row groups in which one of `calls`, in order, may be."""
    found = []
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        column = next(rows.column(i) for i in range(rows.num_columns) if rows.column(i).path_in_schema == "call")
        bounds = column.statistics
        if bounds is None or not bounds.has_min_max:
            found.append(group)
            continue
        first = bisect_left(calls, bounds.min)
        if first < len(calls) and calls[first] <= bounds.max:
            found.append(group)
    return found


class Parts:
    """Makes parts of the log, and one of many. One thread owns it."""

    def __init__(self, files: Files, log_files: Files, state: State) -> None:
        self.files, self.log_files, self.state = files, log_files, state
        self.calls = self.interrupted = self.unreadable = 0
        self.damage = log.Damage(0, 0)
        self._is_tidy = False

    def tidy(self) -> None:
        """Takes away what was half done when its writer was killed, or the disk failed."""
        # First it must be sure what was done: what the disk said of the last try may be wrong either way.
        log.save_state(self.log_files, self.state)
        for folder in (FOLDER, *NAMES):
            for files in {self.files, self.log_files}:
                for entry in files.entries(folder) if files.is_local else ():
                    if entry.name.endswith(HALF):
                        files.delete(entry.name)
        for name in reversed(NAMES):  # `calls` first: what they do not cover does not count
            for entry in self.files.parts(name):
                stem = stem_of(entry.name)
                if stem is not None and stem.log == self.state.log:
                    run, cursor = stem.last
                    if cursor > self.state.done.get(run, cursor):
                        self.files.delete(entry.name)
        self._is_tidy = True

    def compact(self, closed: Sequence[Segment]) -> None:
        """Every call that ended in these segments, or whose run is over, becomes rows of parts, and leaves the log."""
        if not self._is_tidy:
            self.tidy()
        self._is_tidy = False  # until this has gone well
        for run in sorted(set(self.state.done) - {self.state.run} | {self.state.run}):
            own = [segment for segment in closed if (segment.log, segment.run) == (self.state.log, run)]
            self._compact_run(run, own, run < self.state.run)
        self._is_tidy = True

    def _compact_run(self, run: int, own: Sequence[Segment], is_over: bool) -> None:
        index, damaged = [], []
        for segment in own:
            held = log.read(self.log_files, segment)
            index.append(held.table().select(log.INDEX))
            damaged.append((segment, held.damage))
        if index:
            rows = pa.concat_tables(index)
            found = log.spans(rows, is_over)
            counts = rows.group_by("call").aggregate([("cursor", "count")])
            sizes = dict(zip(counts["call"].to_pylist(), counts["cursor_count"].to_pylist(), strict=True))
            chunk: list[Span] = []
            for span in found:
                if span.end > self.state.done.get(run, 0):
                    chunk.append(span)
                    if sum(sizes[one.call] for one in chunk) >= ROWS_IN_PART:
                        self._file(run, own, chunk)
                        chunk = []
            if chunk:
                self._file(run, own, chunk)
            # In the order of writing: a call's end goes last, so that what is left of it never looks unfinished.
            filed = {span.call: span.last for span in found}
            for segment in own:
                if is_over:
                    self.log_files.delete(segment.name)
                else:
                    log.rewrite(self.log_files, segment, _without(filed))
        if is_over:
            self.state.done.pop(run, None)
            log.save_state(self.log_files, self.state)
            for segment, damage in damaged:
                self._tell_of_damage(segment, damage)

    def _tell_of_damage(self, segment: Segment, damage: log.Damage) -> None:
        self.damage = log.Damage(self.damage.batches + damage.batches, self.damage.bytes + damage.bytes)
        if any(damage):
            LOG.warning("%s: %d damaged batches, %d bytes of a torn end", segment.name, *damage)

    def _file(self, run: int, own: Sequence[Segment], chunk: Sequence[Span]) -> None:
        """Writes one part of each day and kind, and says in the log that these calls are in them."""
        names = pa.array({span.call for span in chunk}, pa.string())
        held = (log.read(self.log_files, segment).table() for segment in own)
        rows = pa.concat_tables([table.filter(pc.is_in(table["call"], names)) for table in held])
        made = _Tables()
        calls = interrupted = unreadable = 0
        for span, events, written_at in log.told(rows, chunk):
            try:
                record = record_of(events, written_at)
                made.add(record.started_at[:10], events, record)
            except Exception:  # a defect in one call must not hold up the others
                unreadable += 1
                LOG.exception("call %s: cannot be filed, its %d events are lost", span.call, len(events))
                continue
            calls += 1
            interrupted += span.end >= log.INTERRUPTED
        stem = str(Stem(self.state.log, (run, self.state.done.get(run, 0)), (run, chunk[-1].end)))
        for day, tables in sorted(made.days().items()):
            for kind in KINDS:
                if kind in tables:
                    table = pa.concat_tables(tables[kind])
                    self.files.write_table(part_name(kind_name(kind), day, stem), table, ROWS_IN_GROUP)
        before = self.state.done.get(run, 0)
        self.state.done[run] = chunk[-1].end
        try:
            log.save_state(self.log_files, self.state)
        except StoreError:
            self.state.done[run] = before
            raise
        self.calls += calls
        self.interrupted += interrupted
        self.unreadable += unreadable

    # One of many

    def merge(self, now: datetime) -> None:
        """Small parts of a day become one: as they become many, and once the day is over."""
        held = {kind: _by_day(self.files.parts(kind_name(kind))) for kind in KINDS}
        for day, parts in held[CallRecord].items():
            midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
            is_over = (now - midnight).total_seconds() > DAY_IS_OVER_S
            for stem in self._stems(parts, is_over):
                for kind in reversed(KINDS):  # `calls` first: it covers the others before they are merged and after
                    names = [part.name for part in held[kind].get(day, ())]
                    try:
                        self._merge(kind, part_name(kind_name(kind), day, stem), names)
                    except ValueError as error:
                        LOG.warning("%s of %s stays in small parts: %s", kind_name(kind), day, error)

    def _stems(self, parts: Sequence[Entry], is_over: bool) -> list[str]:
        """What a day's parts are to be called, once those are merged that are to be."""
        found = []
        for group in _groups([part for part in parts if part.name.split("/")[2].startswith(self.state.log)], is_over):
            first, last = stem_of(group[0].name), max(filter(None, (stem_of(part.name) for part in group)), key=_end)
            if first is not None:
                found.append(str(Stem(first.log, first.first, last.last)))
        return found

    def _merge(self, kind: type[msgspec.Struct], name: str, names: Sequence[str]) -> None:
        inputs = [one for one in names if covers(name, one)]
        whole = [one for one in inputs if not any(one != other and covers(other, one) for other in inputs)]
        if whole and whole != [name]:
            table = pa.concat_tables([read_part(self.files, kind, one) for one in whole])
            self.files.write_table(name, table.sort_by("call"), ROWS_IN_GROUP)
        for one in inputs:
            if one != name:
                self.files.delete(one)


def _end(stem: Stem) -> tuple[int, int]:
    return stem.last


def _groups(parts: Sequence[Entry], is_over: bool) -> list[list[Entry]]:
    """Neighbours in the log that are to become one; also one alone, whose events may not be merged yet."""
    if not is_over and sum(part.size < SMALL_BYTES for part in parts) < SMALL_PARTS:
        return [[part] for part in parts]
    groups: list[list[Entry]] = []
    for part in parts:
        fits = groups and sum(one.size for one in (*groups[-1], part)) <= MERGED_BYTES
        if groups and fits and (is_over or max(groups[-1][-1].size, part.size) < SMALL_BYTES):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _without(filed: Mapping[str, int]) -> Callable[[Any], Any]:
    """For `log.rewrite`: rows of calls that are not in parts."""
    names, lasts = pa.array(filed.keys(), pa.string()), pa.array(filed.values(), pa.int64())

    def change(rows: Any) -> Any:
        last = lasts.take(pc.index_in(rows["call"], names))
        is_filed = pc.fill_null(pc.less_equal(rows["cursor"], last), False)
        return rows.filter(pc.invert(is_filed)) if pc.any(is_filed).as_py() else rows

    return change


class _Tables:
    """Calls as tables by day and kind. Events become columns soon: as many objects they would hold up the collector."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, type[msgspec.Struct]], list[msgspec.Struct]] = {}
        self._tables: dict[str, dict[type[msgspec.Struct], list[Any]]] = {}
        self._count = 0

    def add(self, day: str, events: Sequence[Event], record: CallRecord) -> None:
        for row in (*events, record):
            self._rows.setdefault((day, type(row)), []).append(row)
        self._count += len(events)
        if self._count >= EVENTS_AT_ONCE:
            self._turn()

    def _turn(self) -> None:
        for (day, kind), rows in self._rows.items():
            self._tables.setdefault(day, {}).setdefault(kind, []).append(table_of(kind, rows))
        self._rows.clear()
        self._count = 0

    def days(self) -> dict[str, dict[type[msgspec.Struct], list[Any]]]:
        self._turn()
        return self._tables
