"""Charts as inline SVG that need no script: the drawing helpers of the reports.

A chart has a fixed height and takes the width it is given. Positions along time are per cent, texts and markers are
pixels, and curves lie in a nested `<svg preserveAspectRatio="none">` whose strokes do not scale. So letters are as
large on a telephone as on paper, nothing is drawn twice, and colours come from CSS (`CHART_STYLE`), dark mode included.

    0 %      7 %                                        97 %
    | labels |  time 0 ......................... duration  |

Callers hand in finished texts; everything is escaped here. The symbols are in `CHART_SYMBOLS`, once per page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

LEFT, RIGHT = 7.0, 97.0
NARROWEST_PX = 288.0  # the chart's width on a telephone of 320 px; labels must not collide there
CHAR_PX = 6.7  # mean width of a letter at 12 px, on the generous side

_MOST_ROWS = 4  # of moments above the journey

Style = Literal["agent", "customer", "third", "fourth"]
MarkKind = Literal["positive", "pain"]

CHART_SYMBOLS = (
    '<svg class="symbols" width="0" height="0" aria-hidden="true"><defs>'
    '<circle id="m-agent" class="dot agent" r="3.6"/>'
    '<path id="m-customer" class="dot customer" d="M0-5 5 0 0 5-5 0Z"/>'
    '<rect id="m-third" class="dot third" x="-3.2" y="-3.2" width="6.4" height="6.4"/>'
    '<path id="m-fourth" class="dot fourth" d="M-4 3.5 0-4 4 3.5Z"/>'
    '<path id="m-positive" class="mark positive" d="M-5 4 0-5 5 4Z"/>'
    '<path id="m-pain" class="mark pain" d="M-5-4 0 5 5-4Z"/>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-ground" width="6" height="6"/><path class="hatch-line" d="M0 0V6"/></pattern>'
    '<pattern id="weave" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">'
    '<rect class="weave-ground" width="5" height="5"/><path class="weave-line" d="M0 0V5"/></pattern>'
    "</defs></svg>"
)

CHART_STYLE = """
.symbols{position:absolute}
.chart{display:block;width:100%;overflow:visible;font-size:12px;font-variant-numeric:tabular-nums}
.chart text{fill:var(--muted)}
.chart .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.chart .strong{fill:var(--ink);font-weight:600}
.chart path,.chart line{vector-effect:non-scaling-stroke}
.grid{stroke:var(--rule);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.zero{stroke:var(--muted);stroke-width:1;stroke-dasharray:3 3}
.reference{fill:var(--blue-wash)}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.agent{stroke:var(--blue)}
.line.customer{stroke:var(--slate);stroke-dasharray:6 5}
.line.third,.line.fourth{stroke:var(--muted);stroke-dasharray:1 5}
.dot{stroke-width:1.6}
.dot.agent{fill:var(--blue);stroke:var(--paper)}
.dot.customer{fill:var(--paper);stroke:var(--slate)}
.dot.third{fill:var(--muted);stroke:var(--paper)}
.dot.fourth{fill:var(--paper);stroke:var(--muted)}
.mood{fill:none;stroke:var(--slate);stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}
.held{fill:none;stroke:var(--slate);stroke-width:1.2;stroke-dasharray:2 4}
.lone{fill:var(--slate)}
.band{fill:var(--slate);fill-opacity:.16}
.beam{fill:none;stroke:var(--ink);stroke-width:1.6}
.stretch.positive{fill:var(--blue-wash)}
.stretch.pain{fill:var(--amber-wash)}
.mark{stroke:none}
.mark.positive,.chart text.positive{fill:var(--blue)}
.mark.pain,.chart text.pain{fill:var(--amber)}
.chart text.positive,.chart text.pain{font-weight:600}
.track{fill:var(--track)}
.span.agent{fill:var(--blue)}
.span.customer{fill:var(--slate)}
.span.third,.span.fourth{fill:var(--muted)}
.silence{fill:url(#hatch);stroke:var(--soft);stroke-width:1}
.hatch-ground{fill:var(--paper)}
.hatch-line{stroke:var(--soft);stroke-width:2.4}
.both{fill:url(#weave);stroke:var(--amber);stroke-width:1.2}
.weave-ground{fill:var(--amber-wash)}
.weave-line{stroke:var(--amber);stroke-width:2.2}
"""


@dataclass(frozen=True)
class Words:
    """A chart's name and what it shows in a sentence, for readers who do not see it. `id` is unique on the page."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class MoodPoint:
    at_s: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Mark:
    """A moment in the journey: a stretch with an icon, its number in the report's list, and a short label."""

    kind: MarkKind
    start_s: float
    end_s: float
    label: str
    number: int


@dataclass(frozen=True)
class Beam:
    """A value with its interval and its written form."""

    value: float
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Lane:
    label: str
    style: Style
    spans: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Series:
    style: Style
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Scale:
    """From values to pixels: `low` lies at `bottom`, `high` at `top`."""

    low: float
    high: float
    top: float
    bottom: float

    def y(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return self.bottom - (inside - self.low) / (self.high - self.low) * (self.bottom - self.top)


@dataclass(frozen=True)
class Timeline:
    """From seconds to per cent of the chart's width."""

    duration_s: float

    def x(self, at_s: float) -> float:
        share = min(max(at_s / self.duration_s, 0.0), 1.0) if self.duration_s > 0.0 else 0.0
        return LEFT + share * (RIGHT - LEFT)


def time_ticks(duration_s: float) -> list[float]:
    """At most seven round times from 0."""
    steps = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
    step = next((step for step in steps if duration_s / step <= 6.0), duration_s / 6.0)
    return [index * step for index in range(int(duration_s / step) + 1)] if step > 0.0 else [0.0]


def value_ticks(low: float, high: float, wanted: int = 4, least: float = 0.5) -> list[float]:
    """About `wanted` round values that enclose `low` and `high`, at least `least` apart."""
    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 6.0, 10.0)
    tens = (digit * 10.0**power for power in range(1, 12) for digit in (2.0, 5.0, 10.0))
    step = next(step for step in (*steps, *tens) if step >= least and (high - low) / step <= wanted)
    first, last = int(low // step), -int(-high // step)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


def journey_chart(
    words: Words,
    timeline: Timeline,
    points: Sequence[MoodPoint],
    marks: Sequence[Mark],
    start: Beam | None,
    end: Beam | None,
    write: Callable[[float], str],
    clock: Callable[[float], str],
) -> str:
    """The customer's mood on the 1-10 scale with its band; moments above it, satisfaction at both edges.

    Points further apart than `_pause_s` are joined by a dashed line: there the customer did not speak.
    """
    placed, rows = _place(marks, timeline)
    top = 14.0 + 19.0 * rows
    scale = Scale(1.0, 10.0, top + 12.0, top + 212.0)
    parts = [_stretch(mark, timeline, scale) for mark in marks]
    parts += [_grid_line(scale.y(value), write(value)) for value in (1.0, 4.0, 7.0, 10.0)]
    parts.append(_zero_line(scale.y(5.5)))
    parts.append(_curves(scale.bottom + 30.0, _mood_paths(points, timeline, scale)))
    parts += [
        f'<circle class="lone" cx="{_n(timeline.x(run[0].at_s))}%" cy="{_n(scale.y(run[0].value))}" r="2.2"/>'
        for run in _runs(points)
        if len(run) == 1
    ]
    parts += [_beam(beam, x, scale, clash) for beam, x, clash in ((start, LEFT, False), (end, RIGHT, True)) if beam]
    parts += placed
    parts += _time_axis(timeline, scale.bottom, clock)
    return _chart(words, scale.bottom + 24.0, parts)


def lanes_chart(
    words: Words,
    timeline: Timeline,
    lanes: Sequence[Lane],
    overlaps: Sequence[tuple[float, float]],
    silences: Sequence[tuple[float, float]],
    clock: Callable[[float], str],
) -> str:
    """A lane for each side with its utterances; overlaps between them, stretches without speech hatched across."""
    lane_px, step_px, first_px = 26.0, 62.0, 22.0
    bottom = first_px + step_px * (len(lanes) - 1) + lane_px
    parts = []
    for index, lane in enumerate(lanes):
        y = first_px + step_px * index
        parts.append(f'<text class="strong" x="{LEFT}%" y="{_n(y - 7)}">{escape(lane.label)}</text>')
        parts.append(_bar("track", timeline, 0.0, timeline.duration_s, y, lane_px))
        parts += [
            _bar(f"span {lane.style}", timeline, start, end, y, lane_px)
            for start, end in _merged(lane.spans, timeline.duration_s / 700.0)
        ]
    parts += [
        _bar("silence", timeline, start, end, first_px + step_px * index, lane_px)
        for start, end in silences
        for index in range(len(lanes))
    ]
    between_px = step_px - lane_px  # the strip between two lanes, less the lower lane's name
    parts += [
        _bar("both", timeline, start, end, first_px + lane_px + step_px * index + 3.0, between_px * 0.28)
        for start, end in overlaps
        for index in range(len(lanes) - 1)
    ]
    parts += _time_axis(timeline, bottom + 8.0, clock)
    return _chart(words, bottom + 32.0, parts)


def lines_chart(
    words: Words,
    timeline: Timeline,
    series: Sequence[Series],
    ticks: Sequence[float],
    write: Callable[[float], str],
    clock: Callable[[float], str],
    *,
    reference: tuple[float, float] | None = None,
    zero: float | None = None,
) -> str:
    """Measures of each side over time: a line style and a marker of its own per side, so that colour adds nothing."""
    scale = Scale(ticks[0], ticks[-1], 16.0, 176.0)
    parts = []
    if reference is not None:
        upper, lower = scale.y(reference[1]), scale.y(reference[0])
        parts.append(_bar("reference", timeline, 0.0, timeline.duration_s, upper, lower - upper, radius=0.0))
    parts += [_grid_line(scale.y(value), write(value)) for value in ticks]
    if zero is not None:
        parts.append(_zero_line(scale.y(zero)))
    paths = []
    for line in series:
        if len(line.points) > 1:
            curve = _path([(timeline.x(at_s), scale.y(value)) for at_s, value in line.points])
            paths.append(f'<path class="line {line.style}" d="{curve}"/>')
    parts.append(_curves(scale.bottom + 30.0, paths))
    parts += [
        f'<use href="#m-{line.style}" x="{_n(timeline.x(at))}%" y="{_n(scale.y(value))}"/>'
        for line in series
        for at, value in line.points
    ]
    parts += _time_axis(timeline, scale.bottom, clock)
    return _chart(words, scale.bottom + 24.0, parts)


def key(kind: str) -> str:
    """A small picture for a legend: a side's line with its marker, a block, a band or a line."""
    if kind in ("agent", "customer", "third", "fourth"):
        shape = f'<path class="line {kind}" d="M1 7H33"/><use href="#m-{kind}" x="17" y="7"/>'
    elif kind in ("mood", "held"):
        shape = f'<path class="{kind}" d="M1 7H33"/>'
    elif kind == "zero":
        shape = '<line class="zero" x1="1" x2="33" y1="7" y2="7"/>'
    else:
        shape = f'<rect class="{escape(kind)}" x="1" y="1" width="32" height="12"/>'
    return f'<svg class="key" width="34" height="14" aria-hidden="true">{shape}</svg>'


def icon(kind: MarkKind) -> str:
    return f'<svg class="key" width="12" height="12" aria-hidden="true"><use href="#m-{kind}" x="6" y="6"/></svg>'


def thinned(points: Sequence[tuple[float, float, float]], most: int, duration_s: float) -> list[tuple[float, float]]:
    """(time, value, weight) -> at most `most` (time, value): weighted means over equal stretches of the call."""
    if len(points) <= most or duration_s <= 0.0:
        return [(at, value) for at, value, _ in points]
    bins: dict[int, list[tuple[float, float, float]]] = {}
    for point in points:
        bins.setdefault(min(int(point[0] / duration_s * most), most - 1), []).append(point)
    means = []
    for _, group in sorted(bins.items()):
        weight = sum(w for _, _, w in group)
        means.append((sum(at * w for at, _, w in group) / weight, sum(v * w for _, v, w in group) / weight))
    return means


def _chart(words: Words, height: float, parts: Sequence[str]) -> str:
    name = escape(words.id)
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-t {name}-d" width="100%" height="{_n(height)}">'
        f'<title id="{name}-t">{escape(words.title)}</title><desc id="{name}-d">{escape(words.text)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _curves(height: float, paths: Sequence[str]) -> str:
    """Curves whose x is per mille of the width. The box is stretched, the strokes are not."""
    return (
        f'<svg x="0" y="0" width="100%" height="{_n(height)}" viewBox="0 0 1000 {_n(height)}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x * 10.0)} {_n(y)}" for x, y in points)


def _pause_s(points: Sequence[MoodPoint]) -> float:
    steps = sorted(after.at_s - before.at_s for before, after in pairwise(points))
    return max(2.5, 2.5 * steps[len(steps) // 4]) if steps else 2.5


def _runs(points: Sequence[MoodPoint]) -> list[list[MoodPoint]]:
    longest = _pause_s(points)
    runs: list[list[MoodPoint]] = []
    for point in points:
        if runs and point.at_s - runs[-1][-1].at_s <= longest:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _mood_paths(points: Sequence[MoodPoint], timeline: Timeline, scale: Scale) -> list[str]:
    if not points:
        return []
    upper = [(timeline.x(point.at_s), scale.y(point.high)) for point in points]
    lower = [(timeline.x(point.at_s), scale.y(point.low)) for point in reversed(points)]
    curve = [(timeline.x(point.at_s), scale.y(point.value)) for point in points]
    paths = [f'<path class="band" d="{_path(upper + lower)}Z"/>', f'<path class="held" d="{_path(curve)}"/>']
    for run in _runs(points):
        if len(run) > 1:
            solid = [(timeline.x(point.at_s), scale.y(point.value)) for point in run]
            paths.append(f'<path class="mood" d="{_path(solid)}"/>')
    return paths


def _place(marks: Sequence[Mark], timeline: Timeline) -> tuple[list[str], int]:
    """The moments' icons above the journey: with labels where these fit, else with numbers, else alone."""
    ordered = sorted(marks, key=lambda mark: mark.start_s)
    for labels in ([f"{mark.number} {mark.label}" for mark in ordered], [f"{mark.number}" for mark in ordered]):
        placed, rows = _rows(ordered, labels, timeline)
        if rows <= _MOST_ROWS:
            return placed, rows
    return [_icon(mark, _middle(mark, timeline), 12.0) for mark in ordered], 1


def _rows(marks: Sequence[Mark], labels: Sequence[str], timeline: Timeline) -> tuple[list[str], int]:
    """Rows such that no label touches another on a telephone."""
    rows: list[list[tuple[float, float]]] = []
    placed = []
    for mark, label in zip(marks, labels, strict=True):
        x = _middle(mark, timeline)
        at_px = x / 100.0 * NARROWEST_PX
        width = 22.0 + CHAR_PX * len(label)
        to_right = at_px + width <= NARROWEST_PX + 8.0
        taken = (at_px - 8.0, at_px + width) if to_right else (at_px - width, at_px + 8.0)
        free = (i for i, used in enumerate(rows) if all(taken[0] > b or taken[1] < a for a, b in used))
        row = next(free, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(taken)
        y = 12.0 + 19.0 * row
        anchor = 'dx="10"' if to_right else 'dx="-10" text-anchor="end"'
        placed.append(
            _icon(mark, x, y)
            + f'<text class="halo {mark.kind}" x="{_n(x)}%" y="{_n(y)}" {anchor}>{escape(label)}</text>'
        )
    return placed, len(rows)


def _middle(mark: Mark, timeline: Timeline) -> float:
    return (timeline.x(mark.start_s) + timeline.x(mark.end_s)) / 2.0


def _icon(mark: Mark, x: float, y: float) -> str:
    return f'<use href="#m-{mark.kind}" x="{_n(x)}%" y="{_n(y - 4.0)}"/>'


def _stretch(mark: Mark, timeline: Timeline, scale: Scale) -> str:
    top = scale.top - 12.0
    return _bar(f"stretch {mark.kind}", timeline, mark.start_s, mark.end_s, top, scale.bottom - top, radius=0.0)


def _beam(beam: Beam, x: float, scale: Scale, at_end: bool) -> str:
    high, low, middle = scale.y(beam.high), scale.y(beam.low), scale.y(beam.value)
    anchor = "end" if at_end else "start"
    shift = 5 if at_end else -5
    return (
        f'<svg x="{_n(x)}%" y="0" width="1" height="1" overflow="visible">'
        f'<path class="beam" d="M0 {_n(high)}V{_n(low)}M-5 {_n(high)}H5M-5 {_n(low)}H5"/>'
        f'<use href="#m-customer" x="0" y="{_n(middle)}"/>'
        f'<text class="halo strong" x="{shift}" y="{_n(high - 6)}" text-anchor="{anchor}">'
        f"{escape(beam.label)}</text></svg>"
    )


def _bar(
    style: str, timeline: Timeline, start_s: float, end_s: float, y: float, height: float, radius: float = 2.0
) -> str:
    x = timeline.x(start_s)
    width = max(timeline.x(end_s) - x, 0.25)
    rounded = f' rx="{_n(radius)}"' if radius else ""
    return f'<rect class="{style}" x="{_n(x)}%" width="{_n(width)}%" y="{_n(y)}" height="{_n(height)}"{rounded}/>'


def _merged(spans: Sequence[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """Spans joined where the gap between them is too small to be seen."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start - merged[-1][1] <= gap_s:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _grid_line(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}%" x2="{RIGHT}%" y1="{_n(y)}" y2="{_n(y)}"/>'
        f'<text x="{LEFT}%" dx="-6" y="{_n(y + 4)}" text-anchor="end">{escape(label)}</text>'
    )


def _zero_line(y: float) -> str:
    return f'<line class="zero" x1="{LEFT}%" x2="{RIGHT}%" y1="{_n(y)}" y2="{_n(y)}"/>'


def _time_axis(timeline: Timeline, y: float, clock: Callable[[float], str]) -> list[str]:
    parts = [f'<line class="axis" x1="{LEFT}%" x2="{RIGHT}%" y1="{_n(y)}" y2="{_n(y)}"/>']
    for at_s in time_ticks(timeline.duration_s):
        x = _n(timeline.x(at_s))
        parts.append(f'<line class="axis" x1="{x}%" x2="{x}%" y1="{_n(y)}" y2="{_n(y + 4)}"/>')
        parts.append(f'<text x="{x}%" y="{_n(y + 18)}" text-anchor="middle">{escape(clock(at_s))}</text>')
    return parts


def _n(value: float) -> str:
    """A coordinate in as few letters as a hundredth needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
