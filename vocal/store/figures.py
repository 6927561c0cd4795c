"""Figures in the store: records are added by the day, closed by week and month, and read by reports.

    FOLDER/held/cells.parquet     what waits for its week or month; in its metadata the last day that was added
    FOLDER/figures/2026-W47.parquet, figures/2026-11.parquet     blocks; written once, never again

A figures file comes first and the held cells after it: killed between the two, the next run finds the period closed and
takes what it holds out of what waits. So a run may be repeated, cut short, or done by two processes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vocal.errors import StoreError
from vocal.figures import BINS, Block, Cell, Family, Limits, close, span_of, week_of
from vocal.record import QUARTERS, RECOVERED_BELOW, CallRecord
from vocal.store.files import PART, Files, GoneError, day_of
from vocal.store.reader import StoreReader
from vocal.store.schema import kind_name, rows_of, table_of

HELD = "held/cells.parquet"
FIGURES = "figures"
STRETCH = timedelta(days=31)
GRACE = timedelta(hours=1)
"""Until a day's calls are all filed."""

TURN_S = 300.0
"""Of a week: calls that begin so close to it may be under either week's pseudonym, and count as nobody's."""

COLUMNS = (
    *("call", "started_at", "filed_at", "queue", "touchpoint", "team", "agent", "notice", "interrupted", "duration_s"),
    *("talk_share_agent", "overlap_s", "interruptions_agent", "non_talk_s", "agent_tempo_syll_s"),
    *("customer_tempo_syll_s", "lost_share", "satisfaction", "mood_quarters", "recovered", "moments", "cues", "model"),
)

Said = Mapping[tuple[str, int], bool]
"""What was said of cues, by call and `seq`: whether they helped."""

FELL_POINTS = 1.0
LEVELS = (4.0, 7.0)
"""Of satisfaction: low below the first, high from the second on."""

_UNTIL = b"vocal.until"


def roll(reader: StoreReader, now: datetime, said: Said, limits: Limits) -> None:
    """Add the calls of the days that are over, and close the weeks and months that are. To be done before records are
    pruned. Raises StoreError."""
    files = reader.files
    until = (now - GRACE).astimezone(UTC).date() - timedelta(days=1)
    cells, added = _held(files)
    if added is not None and added >= until:
        return
    newest: list[date] = []
    for first, last in _stretches(files):
        table = _records(reader, added, until, first, last)
        if table.num_rows:
            newest.append(date.fromisoformat(pc.max(_days(table)).as_py()))
            cells += cells_of(table, said)
    # No further than calls reach: a clock that was far ahead for a while costs none that are filed after it.
    added = max(newest, default=added)
    closed = close(cells, until, limits, _published(files, {cell.week for cell in cells}))
    for period, blocks in sorted(closed.periods.items()):
        files.write_table(f"{FIGURES}/{period}{PART}", table_of(Block, blocks))
    if added is not None and (newest or closed.periods):
        _hold(files, closed.held, added)


def blocks_in(files: Files, first: date | None = None, last: date | None = None) -> list[Block]:
    """Of the periods that lie in `first` to `last`; all that are kept, where they are not given."""
    found: list[Block] = []
    for period, name in _periods(files).items():
        begins, ends = span_of(period)
        if (first is None or begins >= first) and (last is None or ends <= last):
            try:
                found += rows_of(Block, _read(files, name))
            except GoneError:
                continue
    return found


def prune(files: Files, before: date) -> list[str]:
    """Delete the figures of periods that ended before a day; their names."""
    gone = [name for period, name in _periods(files).items() if span_of(period)[1] < before]
    for name in gone:
        files.delete(name)
    return gone


def forget(files: Files, calls: Iterable[tuple[str, str | None, str | None, str | None]]) -> int:
    """Drop the held cells that calls (filed_at, team, queue, touchpoint) may be in, whole: sums do not tell whose part
    is whose. How many there were. Blocks stay: they lead to nobody."""
    held, until = _held(files)
    keys = {(week_of(_day(filed)), *key) for filed, *key in calls}
    kept = [cell for cell in held if (cell.week, cell.team, cell.queue, cell.touchpoint) not in keys]
    if until is not None and len(kept) < len(held):
        _hold(files, kept, until)
    return len(held) - len(kept)


def _day(at: str) -> date:
    return datetime.fromisoformat(at).astimezone(UTC).date()


def _periods(files: Files) -> dict[str, str]:
    """Files of figures by their period; foreign ones are left out."""
    found = {}
    for entry in files.entries(FIGURES):
        period = entry.name.rpartition("/")[2].removesuffix(PART)
        try:
            span_of(period)
        except ValueError:
            continue
        if entry.name == f"{FIGURES}/{period}{PART}":
            found[period] = entry.name
    return found


def _held(files: Files) -> tuple[list[Cell], date | None]:
    try:
        table = _read(files, HELD)
    except GoneError:
        return [], None
    try:
        return rows_of(Cell, table), date.fromisoformat((table.schema.metadata or {})[_UNTIL].decode())
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise StoreError(f"{files.where}/{HELD}: wanted cells of figures: {error}") from None


def _hold(files: Files, cells: list[Cell], until: date) -> None:
    table = table_of(Cell, cells)
    stamped = {**(table.schema.metadata or {}), _UNTIL: until.isoformat().encode()}
    files.write_table(HELD, table.replace_schema_metadata(stamped))


def _published(files: Files, weeks: Iterable[str]) -> dict[str, set[tuple[Any, ...]]]:
    """The keys of the blocks of each period that is closed; of weeks that nobody asks for none."""
    wanted, found = set(weeks), {}
    for period, name in _periods(files).items():
        blocks = rows_of(Block, _read(files, name)) if period in wanted else []
        found[period] = {block.key for block in blocks if block.family != "cells"}
    return found


def _read(files: Files, name: str) -> Any:
    try:
        with files.open(name) as file:
            return pq.read_table(file)
    except pa.ArrowException as error:
        raise StoreError(f"{files.where}/{name}: wanted Parquet: {error}") from None


# Records -> cells


def _stretches(files: Files) -> list[tuple[date | None, date | None]]:
    """Days on which calls began, a month at a time: a year of records would take much memory. The first has no
    beginning and the last no end."""
    days = [day for entry in files.parts(kind_name(CallRecord)) if (day := day_of(entry.name)) is not None]
    ends = list(_each(min(days), max(days))) if days else []
    return list(zip([None, *ends], [*(end - timedelta(days=1) for end in ends), None], strict=True))


def _each(first: date, last: date) -> Iterator[date]:
    while (first := first + STRETCH) <= last:
        yield first


def _records(reader: StoreReader, after: date | None, until: date, first: date | None, last: date | None) -> Any:
    """The columns of the records that were filed after the one day and until the other, of calls that began from
    `first` to `last`, each call once."""
    table = reader.table(CallRecord, first, last, columns=COLUMNS)
    day = _days(table)
    wanted = pc.less_equal(day, until.isoformat())
    if after is not None:
        wanted = pc.and_(wanted, pc.greater(day, after.isoformat()))
    table = table.filter(wanted)
    names = pc.binary_join_element_wise(table["call"], table["started_at"], "/")
    _, once = np.unique(names.to_numpy(zero_copy_only=False).astype(str), return_index=True)
    return table.take(pa.array(np.sort(once))) if len(once) < table.num_rows else table


def _days(table: Any) -> Any:
    return pc.utf8_slice_codeunits(table["filed_at"], 0, 10)


class _Population:
    """One family's calls: rows of the table, and what is summed over them."""

    def __init__(self, groups: "_Groups", family: Family, what: str, rows: Any) -> None:
        self.family, self.what, self.rows = family, what, rows
        self.group = groups.group[rows]
        self._groups = groups
        self._count = len(groups.keys)
        self._sums: dict[int, dict[str, float]] = defaultdict(dict)
        self._squares: dict[int, dict[str, float]] = defaultdict(dict)

    def add(self, name: str, values: Any, spread: bool = False) -> None:
        """values: of each of `rows`."""
        self._fill(self._sums, name, np.bincount(self.group, values, self._count))
        if spread:
            self._fill(self._squares, name, np.bincount(self.group, values * values, self._count))

    def count(self, names: list[str], which: Any, rows: Any | None = None) -> None:
        """which: for each of `rows` (of all) the name that it counts for."""
        group = self.group if rows is None else self._groups.group[rows]
        many = np.bincount(group * len(names) + which, None, self._count * len(names))
        for index in np.flatnonzero(many).tolist():
            self._sums[index // len(names)][names[index % len(names)]] = float(many[index])

    def bins(self, name: str, values: Any) -> None:
        low, width, count = BINS[name]
        where = np.clip(np.floor((values - low) / width), 0, count - 1).astype(np.int64)
        self.count([f"{name}.{index}" for index in range(count)], where)

    @staticmethod
    def _fill(into: dict[int, dict[str, float]], name: str, values: Any) -> None:
        for index in np.flatnonzero(values).tolist():
            into[index][name] = float(values[index])

    def cells(self) -> list[Cell]:
        groups = self._groups
        calls = np.bincount(self.group, None, self._count)
        agents: dict[int, dict[str, int]] = defaultdict(dict)
        agent = groups.agent[self.rows]
        known = agent >= 0
        pairs, many = np.unique(self.group[known] * len(groups.agents) + agent[known], return_counts=True)
        for pair, own in zip(pairs.tolist(), many.tolist(), strict=True):
            agents[pair // len(groups.agents)][groups.agents[pair % len(groups.agents)]] = own
        return [
            Cell(
                family=self.family,
                what=self.what,
                week=groups.keys[index][0],
                team=groups.keys[index][1],
                queue=groups.keys[index][2],
                touchpoint=groups.keys[index][3],
                calls=int(calls[index]),
                agents=agents[index],
                sums=self._sums[index],
                squares=self._squares[index],
            )
            for index in np.flatnonzero(calls).tolist()
        ]


class _Groups(NamedTuple):
    """Of each row its week, team, queue and touchpoint as an index into `keys`, and its agent into `agents` or -1."""

    group: Any
    keys: list[tuple[str, str | None, str | None, str | None]]
    agent: Any
    agents: list[str]


def _groups(table: Any) -> _Groups:
    days, day = _coded(_days(table))
    weeks = [week_of(date.fromisoformat(one or "")) for one in days]
    names = sorted(set(weeks))
    columns = [np.array([names.index(week) for week in weeks])[day]]
    texts: list[list[str | None]] = [list(names)]
    for name in ("team", "queue", "touchpoint"):
        values, codes = _coded(table[name])
        texts.append(values)
        columns.append(codes)
    sizes = tuple(len(one) for one in texts)
    found, group = np.unique(np.ravel_multi_index(columns, sizes), return_inverse=True)
    keys: list[Any] = [
        tuple(own[int(code)] for own, code in zip(texts, codes, strict=True))
        for codes in zip(*np.unravel_index(found, sizes), strict=True)
    ]
    agents, agent = _agents(table)
    return _Groups(group, keys, agent, agents)


def _agents(table: Any) -> tuple[list[str], Any]:
    """The week in which the call began, and the pseudonym of that week."""
    began = pc.assume_timezone(
        pc.strptime(pc.utf8_slice_codeunits(table["started_at"], 0, 19), "%Y-%m-%dT%H:%M:%S", "s"), "UTC"
    )
    seconds = began.cast(pa.int64()).to_numpy().astype(np.int64) + 3 * 86400  # 1970-01-01 was a Thursday
    week, into_s = np.divmod(seconds, 7 * 86400)
    names, code = _coded(table["agent"])
    unsure = np.minimum(into_s, 7 * 86400 - into_s) < TURN_S
    known = np.array([name is not None for name in names])[code] & ~unsure
    found, index = np.unique(week[known] * len(names) + code[known], return_inverse=True)
    agent = np.full(len(code), -1, np.int64)
    agent[known] = index
    written = [
        f"{week_of(date(1970, 1, 1) + timedelta(days=7 * (one // len(names)) - 3))}/{names[one % len(names)]}"
        for one in found.tolist()
    ]
    return written, agent


def _coded(column: Any) -> tuple[list[str | None], Any]:
    """A text column as its values (None among them) and the index of each row's."""
    encoded = pc.dictionary_encode(column, null_encoding="encode")
    encoded = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def cells_of(table: Any, said: Said) -> list[Cell]:
    """Records, as a table of `COLUMNS`, as cells of every family."""
    if not table.num_rows:
        return []
    groups = _groups(table)
    number = {name: _numbers(table[name]) for name in COLUMNS if _is_number(table[name].type)}
    everyone = np.arange(table.num_rows)
    found = [_calls(table, groups, number, everyone), _voice(groups, number)]
    customer, start, end = _customer(table, groups)
    found += [customer, _mood(table, groups)]
    found[0].add("judged", np.isin(everyone, customer.rows).astype(float))
    _moments(table, groups, found[0], start, end)
    return [cell for one in (*found, *_cues(table, groups, said)) for cell in one.cells()]


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _numbers(column: Any) -> Any:
    """NaN where nothing is known."""
    return pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()


def _calls(table: Any, groups: _Groups, number: Mapping[str, Any], everyone: Any) -> _Population:
    calls = _Population(groups, "calls", "", everyone)
    notices, notice = _coded(table["notice"])
    calls.count([f"notice.{state}" for state in notices], notice)
    calls.add("interrupted", number["interrupted"])
    calls.add("lost_share", number["lost_share"])
    models, model = _coded(table["model"])
    named = np.array([one is not None for one in models])[model]
    calls.count([f"model.{one}" for one in models], model[named], everyone[named])
    return calls


def _voice(groups: _Groups, number: Mapping[str, Any]) -> _Population:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {
            "agent_tempo": number["agent_tempo_syll_s"],
            "customer_tempo": number["customer_tempo_syll_s"],
            "overlap_share": number["overlap_s"] / number["duration_s"],
            "non_talk_share": number["non_talk_s"] / number["duration_s"],
            "talk_share": number["talk_share_agent"],
            "interruptions": number["interruptions_agent"],
        }
    rows = np.flatnonzero(np.isfinite(np.stack(list(values.values()))).all(axis=0))
    voice = _Population(groups, "voice", "", rows)
    for name, value in values.items():
        voice.add(name, value[rows], spread=True)
        voice.bins(name, value[rows])
    return voice


def _customer(table: Any, groups: _Groups) -> tuple[_Population, Any, Any]:
    satisfaction = table["satisfaction"].combine_chunks()
    start, end = (_numbers(pc.struct_field(satisfaction, name)) for name in ("start", "end"))
    rows = np.flatnonzero(np.isfinite(start) & np.isfinite(end))
    customer = _Population(groups, "customer", "", rows)
    for name, value in (("start", start), ("end", end), ("change", end - start)):
        customer.add(name, value[rows], spread=True)
    customer.bins("start", start[rows])
    customer.bins("end", end[rows])
    recovered = np.nan_to_num(_numbers(table["recovered"]))[rows]
    customer.add("began_low", (start[rows] < RECOVERED_BELOW).astype(float))
    customer.add("recovered", recovered)
    return customer, start, end


def _mood(table: Any, groups: _Groups) -> _Population:
    """Of calls whose four quarters are all known, so that the steps between them are of the same calls."""
    column = table["mood_quarters"].combine_chunks()
    lengths = _numbers(pc.list_value_length(column))
    whole = np.flatnonzero(lengths == QUARTERS)
    quarters = _numbers(pc.list_flatten(column.take(pa.array(whole)))).reshape(-1, QUARTERS)
    known = np.isfinite(quarters).all(axis=1)
    rows, quarters = whole[known], quarters[known]
    mood = _Population(groups, "mood", "", rows)
    for index in range(QUARTERS):
        mood.add(f"q{index + 1}", quarters[:, index], spread=True)
    steps = np.diff(quarters, axis=1)
    for index in range(QUARTERS - 1):
        mood.add(f"step{index + 1}", steps[:, index], spread=True)
        mood.add(f"fell{index + 1}", (steps[:, index] <= -FELL_POINTS).astype(float))
    return mood


def _moments(table: Any, groups: _Groups, calls: _Population, start: Any, end: Any) -> None:
    """How many calls had a moment of a kind and reason in a quarter, and how the good ones went from start to end.

    Counted over all calls: of a moment is told how many of the block's calls had one like it, and nothing else.
    """
    column = table["moments"].combine_chunks()
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    if not len(rows):
        return
    flat = pc.list_flatten(column)
    duration = _numbers(table["duration_s"])[rows]
    middle = (_numbers(pc.struct_field(flat, "start_s")) + _numbers(pc.struct_field(flat, "end_s"))) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        quarter = np.clip(np.nan_to_num(middle / duration) * QUARTERS, 0, QUARTERS - 1).astype(np.int64)
    kinds, kind = _coded(pc.struct_field(flat, "kind"))
    whys, why = _coded(pc.struct_field(flat, "why"))
    names = [f"{one}.{reason}.q{q + 1}" for one in kinds for reason in whys for q in range(QUARTERS)]
    which = (kind * len(whys) + why) * QUARTERS + quarter
    each = np.unique(np.stack([rows, which]), axis=1)  # a call counts once
    calls.count(names, each[1], each[0])
    good = np.array([one == "positive" for one in kinds])[kind] & np.isfinite(start[rows]) & np.isfinite(end[rows])
    levels = len(LEVELS) + 1
    went = np.digitize(start[rows][good], LEVELS) * levels + np.digitize(end[rows][good], LEVELS)
    stories = [
        f"story.{reason}.q{q + 1}.{before}.{after}"
        for reason in whys
        for q in range(QUARTERS)
        for before in range(levels)
        for after in range(levels)
    ]
    which = ((why * QUARTERS + quarter)[good]) * levels * levels + went
    each = np.unique(np.stack([rows[good], which]), axis=1)
    calls.count(stories, each[1], each[0])


def _cues(table: Any, groups: _Groups, said: Said) -> list[_Population]:
    """Of each rule's cues to agents: calls with one, and where they are known what changed and what was said of it. A
    call counts once, with the mean over its cues."""
    column = table["cues"].combine_chunks()
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    if not len(rows):
        return []
    flat = pc.list_flatten(column)
    own = pc.equal(pc.struct_field(flat, "audience"), "agent").to_numpy(zero_copy_only=False)
    names = table["call"].to_pylist() if said else []
    seqs = _numbers(pc.struct_field(flat, "seq")).astype(np.int64).tolist()
    answers = [said.get((names[row], seq)) for row, seq in zip(rows.tolist(), seqs, strict=True)] if said else []
    values = {
        "cue": np.ones(len(rows)),
        "cue_tempo": _numbers(pc.struct_field(flat, "tempo_change_syll_s")),
        "cue_mood": _numbers(pc.struct_field(flat, "mood_change")),
        "cue_answer": np.array([np.nan if one is None else float(not one) for one in answers]),
    }
    rules, rule = _coded(pc.struct_field(flat, "cue"))
    found = []
    for index, name in enumerate(rules):
        for family, value in values.items():
            if len(value) == len(rows):
                which = own & (rule == index) & np.isfinite(value)
                calls, at = np.unique(rows[which], return_inverse=True)
                many = np.bincount(at)
                population = _Population(groups, family, name or "", calls)  # type: ignore[arg-type]
                mean = np.bincount(at, value[which]) / many
                population.add(_VALUE[family], many.astype(float) if family == "cue" else mean, spread=True)
                found.append(population)
    return found


_VALUE = {"cue": "cues", "cue_tempo": "change", "cue_mood": "change", "cue_answer": "does_not_fit"}
