"""Records of calls -> blocks of figures that show no one: what teams and houses may see for longer than calls are kept.

A call counts in the week (UTC, ISO) in which it was filed. Of each family of figures it belongs to one cell:

    cell (team, queue, touchpoint, week) ── passes ─► block, frozen with the week
       └─ held until the month is over, then joined with what else was held, at the first of these that passes:
            (team, queue) ─► (team, any queue) ─► (any team, queue) ─► (any team, any queue) ─► dropped

A cell passes with at least 5 agents and 50 calls, none of the agents with more than half of the calls. What is shown is
a block, or a sum of whole blocks. So whoever subtracts reports of any ranges, teams and queues from one another is left
with whole blocks, and a block is at least 5 people and 50 calls. It holds because

- each family is a population of its own (calls with satisfaction, with a tempo on both sides, with one rule's cue) and
  passes by its own numbers: no mean of three calls hides in a block of fifty. All sums of a family are over all of it.
- blocks are disjoint and never change. A late call counts in the week in which it comes; who is erased later stays in
  sums that no longer lead to anybody. A stricter limit hides whole blocks, a laxer one than at the time cannot split.
- pseudonyms change each week, so agents are counted by the best week in which calls began, and the one with most calls
  could be the same each week: the share of one is the sum of each week's largest. Calls that do not say whose they are
  add nobody, and could all be that one's. In whatever teams somebody works, they are one.
- a block joined over teams is in no team's report. A call without a team or a queue is in a cell without one.
- in a distribution no bar is of fewer than 5 calls: thin ends are folded inwards, so nobody is the fastest.
- of what was dropped only the number of cells is told, in fives, and never a number of calls.

It does not hide that a cell was too small, nor what the agents of a block know of their own calls: five of them who put
theirs together know the sixth's mean. Half of the calls is the limit for one agent as then the mean of a block is as
much the others' as theirs, and a team of five may still be as uneven as part-time work makes it.
"""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from math import sqrt
from typing import Literal, NamedTuple, TypeVar

import msgspec

from vocal.policy import LEAST_AGENTS, LEAST_CALLS

N = TypeVar("N", int, float)

Family = Literal["calls", "voice", "customer", "mood", "cue", "cue_tempo", "cue_mood", "cue_answer", "cells"]
Scope = Literal["cell", "queue", "team", "house_queue", "house"]

FAMILIES: tuple[Family, ...] = ("calls", "voice", "customer", "mood", "cue", "cue_tempo", "cue_mood", "cue_answer")
OWN: tuple[Scope, ...] = ("cell", "queue", "team")
"""Of one team alone; the others are joined over teams."""

MOST_OF_ONE = 0.5
LEAST_IN_BIN = 5

BINS: dict[str, tuple[float, float, int]] = {
    "agent_tempo": (3.0, 0.25, 16),
    "customer_tempo": (3.0, 0.25, 16),
    "overlap_share": (0.0, 0.02, 10),
    "non_talk_share": (0.0, 0.05, 10),
    "talk_share": (0.0, 0.1, 10),
    "interruptions": (0.0, 1.0, 8),
    "start": (1.0, 1.0, 9),
    "end": (1.0, 1.0, 9),
}
"""From where, how wide, how many; what lies outside counts in the first or the last. Shares 0-1, tempo in syll/s."""


class Limits(msgspec.Struct, frozen=True):
    """How many a block is of, at least."""

    agents: int = LEAST_AGENTS
    calls: int = LEAST_CALLS


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A week's calls of one family, team, queue and touchpoint. what: of cues the rule. agents: of those that say one,
    calls by the week in which they began and the pseudonym that was then theirs, `2026-W47/A-0815`. sums, squares: of
    each value over all of the calls; none is 0."""

    family: Family
    what: str = ""
    week: str
    team: str | None
    queue: str | None
    touchpoint: str | None
    calls: int
    agents: dict[str, int]
    sums: dict[str, float]
    squares: dict[str, float] = {}

    @property
    def key(self) -> tuple[Hashable, ...]:
        return (self.family, self.what, self.team, self.queue, self.touchpoint)


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over at least `Limits` of agents and calls. period: `2026-W47` or `2026-11`. agents: at least so many.

    scope: what it was joined over: `cell` nothing, `queue` touchpoints, `team` queues too, `house_queue` and `house`
    teams. A value that it was joined over is None; else None is: not known. Family `cells` has no calls: it counts a
    team's cells of a week (`all`), and of a month those that are in no block of the team's own (`hidden`).
    """

    family: Family
    what: str = ""
    period: str
    scope: Scope
    team: str | None
    queue: str | None
    touchpoint: str | None
    calls: int
    agents: int
    sums: dict[str, float]
    squares: dict[str, float] = {}

    @property
    def key(self) -> tuple[Hashable, ...]:
        return (self.family, self.what, self.team, self.queue, self.touchpoint)


# Weeks and months


def week_of(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def month_of(week: str) -> str:
    """A week is of the month that its Thursday is in."""
    return f"{span_of(week)[0] + timedelta(days=3):%Y-%m}"


def span_of(period: str) -> tuple[date, date]:
    """First and last day of a week, or of a month's weeks."""
    if "W" in period:
        first = date.fromisocalendar(int(period[:4]), int(period[6:]), 1)
        return first, first + timedelta(days=6)
    year, month = int(period[:4]), int(period[5:])
    after = date(year + month // 12, month % 12 + 1, 1)
    return _monday(date(year, month, 1)), _monday(after) - timedelta(days=1)


def _monday(first: date) -> date:
    """Of the week with the first Thursday from `first` on."""
    return first + timedelta(days=(3 - first.weekday()) % 7 - 3)


# Cells -> blocks


class Heads(NamedTuple):
    """How many calls, of how many agents at least, and how many of them could be one's."""

    calls: int
    agents: int
    of_one: int


def passes(cells: Sequence[Cell], limits: Limits) -> bool:
    """Whether these calls together may be told of."""
    if sum(cell.calls for cell in cells) < limits.calls:
        return False
    heads = heads_of(cells)
    return heads.agents >= limits.agents and heads.of_one <= MOST_OF_ONE * heads.calls


def heads_of(cells: Iterable[Cell]) -> Heads:
    weeks: dict[str, dict[str, int]] = {}
    calls = 0
    for cell in cells:
        calls += cell.calls
        for agent, own in cell.agents.items():
            week = weeks.setdefault(agent.partition("/")[0], {})
            week[agent] = week.get(agent, 0) + own
    known = sum(sum(week.values()) for week in weeks.values())
    return Heads(
        calls,
        max((len(week) for week in weeks.values()), default=0),
        sum(max(week.values(), default=0) for week in weeks.values()) + calls - known,
    )


def joined(cells: Iterable[Cell]) -> list[Cell]:
    """Cells of the same key and week as one: days to weeks."""
    found: dict[tuple[Hashable, ...], Cell] = {}
    for cell in cells:
        key = (cell.week, *cell.key)
        one = found.get(key)
        found[key] = cell if one is None else _plus(one, cell)
    return list(found.values())


def _plus(one: Cell, other: Cell) -> Cell:
    return msgspec.structs.replace(
        one,
        calls=one.calls + other.calls,
        agents=_added((one.agents, other.agents)),
        sums=_added((one.sums, other.sums)),
        squares=_added((one.squares, other.squares)),
    )


def _added(parts: Iterable[Mapping[str, N]]) -> dict[str, N]:
    total: dict[str, N] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


class Closed(NamedTuple):
    """The blocks of each period that came to its end, and the cells that go on waiting."""

    periods: dict[str, list[Block]]
    held: list[Cell]


def close(
    cells: Iterable[Cell], until: date, limits: Limits, published: Mapping[str, Collection[tuple[Hashable, ...]]]
) -> Closed:
    """What may be told of the periods that are over on day `until`.

    published: of each period that was closed before, the keys of its blocks. Such a period is never added to: its cells
    are in these blocks, wait for their month, or are dropped.
    """
    periods: dict[str, list[Block]] = {}
    weeks: dict[str, list[Cell]] = defaultdict(list)
    for cell in joined(cells):
        weeks[cell.week].append(cell)
    months: dict[str, list[Cell]] = defaultdict(list)
    held: list[Cell] = []
    for week, own in sorted(weeks.items()):
        if span_of(week)[1] > until:
            held += own
        elif week in published:
            months[month_of(week)] += [cell for cell in own if cell.key not in published[week]]
        else:
            passing = {cell.key for cell in own if passes([cell], limits)}
            periods[week] = [_block([cell], week, "cell") for cell in own if cell.key in passing]
            periods[week] += _counts(own, week, "all")
            months[month_of(week)] += [cell for cell in own if cell.key not in passing]
    for month, rest in sorted(months.items()):
        if span_of(month)[1] > until:
            held += rest
        elif month not in published:
            periods[month] = _month(rest, month, limits)
    return Closed(periods, held)


_JOINS: tuple[tuple[Scope, tuple[str, ...]], ...] = (
    ("queue", ("team", "queue")),
    ("team", ("team",)),
    ("house_queue", ("queue",)),
    ("house", ()),
)


def _month(rest: list[Cell], month: str, limits: Limits) -> list[Block]:
    blocks: list[Block] = []
    hidden: list[Cell] = []
    for scope, kept in _JOINS:
        if scope == "house_queue":
            hidden = rest
        groups: dict[tuple[Hashable, ...], list[Cell]] = defaultdict(list)
        for cell in rest:
            groups[(cell.family, cell.what, *(getattr(cell, name) for name in kept))].append(cell)
        rest = []
        for group in groups.values():
            if passes(group, limits):
                blocks.append(_block(group, month, scope))
            else:
                rest += group
    return blocks + _counts(hidden, month, "hidden")


def _block(cells: Sequence[Cell], period: str, scope: Scope) -> Block:
    first, heads = cells[0], heads_of(cells)
    sums = _added(cell.sums for cell in cells)
    for name in BINS:
        _fold(sums, name)
    return Block(
        family=first.family,
        what=first.what,
        period=period,
        scope=scope,
        team=first.team if scope in OWN else None,
        queue=first.queue if scope in ("cell", "queue", "house_queue") else None,
        touchpoint=first.touchpoint if scope == "cell" else None,
        calls=heads.calls,
        agents=heads.agents,
        sums=sums,
        squares=_added(cell.squares for cell in cells),
    )


def _fold(sums: dict[str, float], name: str) -> None:
    """Thin ends of a distribution go into what lies next to them towards its middle."""
    names = [f"{name}.{index}" for index in range(BINS[name][2])]
    counts = [sums.pop(one, 0) for one in names]
    middle = counts.index(max(counts))
    for way in (range(middle), range(len(counts) - 1, middle, -1)):
        for index in way:
            if counts[index] < LEAST_IN_BIN:
                counts[index + way.step] += counts[index]
                counts[index] = 0
    sums.update({one: count for one, count in zip(names, counts, strict=True) if count})


def _counts(cells: Iterable[Cell], period: str, name: str) -> list[Block]:
    counts: dict[str | None, int] = defaultdict(int)
    for cell in cells:
        counts[cell.team] += cell.family == "calls"
    return [
        Block(
            family="cells",
            period=period,
            scope="team",
            team=team,
            queue=None,
            touchpoint=None,
            calls=0,
            agents=0,
            sums={name: count},
        )
        for team, count in counts.items()
        if count
    ]


# Blocks -> what a report shows


class Total(NamedTuple):
    """A sum of whole blocks. agents: at least so many."""

    calls: int
    agents: int
    sums: dict[str, float]
    squares: dict[str, float]

    def mean(self, name: str) -> float | None:
        return self.sums.get(name, 0.0) / self.calls if self.calls else None

    def spread(self, name: str) -> float:
        """Half of the interval in which the mean lies 19 times of 20, were the calls drawn by chance."""
        if self.calls < 2:
            return 0.0
        total = self.sums.get(name, 0.0)
        variance = max(0.0, self.squares.get(name, 0.0) - total * total / self.calls) / (self.calls - 1)
        return 1.96 * sqrt(variance / self.calls)

    def bins(self, name: str) -> list[float]:
        return [self.sums.get(f"{name}.{index}", 0.0) for index in range(BINS[name][2])]


NOTHING = Total(0, 0, {}, {})


def total_of(blocks: Iterable[Block]) -> Total:
    """Of blocks of one family."""
    found = list(blocks)
    return Total(
        sum(block.calls for block in found),
        max((block.agents for block in found), default=0),
        _added(block.sums for block in found),
        _added(block.squares for block in found),
    )


def shown(
    blocks: Iterable[Block],
    limits: Limits,
    first: date,
    last: date,
    team: str | None = None,
) -> list[Block]:
    """Of periods that lie in `first` to `last`, of at least `limits`; of one team, its own alone."""
    spans = {period: span_of(period) for period in {block.period for block in blocks}}
    return [
        block
        for block in blocks
        if spans[block.period][0] >= first
        and spans[block.period][1] <= last
        and (team is None or (block.scope in OWN and block.team == team))
        and (block.family == "cells" or (block.calls >= limits.calls and block.agents >= limits.agents))
    ]
