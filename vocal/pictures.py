"""Pictures of figures as inline SVG and tables: distributions, journeys of many, steps and changes.

Beside `charts`, whose charts are of one call over its time. Here drawings have a fixed ratio and scale with their
column, a table is a real one with its numbers in it, and nothing is told by colour alone: shape, side or sign say it
too. Classes carry all style, as the policy of the pages allows no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from vocal.charts import Words

PICTURE_STYLE = """
.pic{display:block;width:100%;height:auto;overflow:visible;font-size:12px;font-variant-numeric:tabular-nums}
.pic text{fill:var(--muted)}
.pic .strong{fill:var(--ink);font-weight:650}
.pic .big-number{fill:var(--ink);font-size:21px;font-weight:600;letter-spacing:-.01em}
.pic .bar{fill:var(--blue)}
.pic .bar.start{fill:var(--soft)}
.pic .bar.customer{fill:var(--slate);fill-opacity:.55}
.pic .guide{stroke:var(--rule)}
.pic .mid{stroke:var(--muted);stroke-dasharray:2 3}
.pic .mean{stroke:var(--ink);stroke-width:1.6}
.pic .mean-mark{fill:var(--ink)}
.pic .way{fill:none;stroke:var(--blue);stroke-width:3.4;stroke-linecap:round;stroke-linejoin:round}
.pic .way.down{stroke:var(--amber)}
.pic .tip{fill:var(--blue)}
.pic .tip.down{fill:var(--amber)}
.pic .wash{fill:var(--blue-wash)}
.pic .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
.pic .whisker{fill:none;stroke:var(--ink);stroke-width:1.3}
.pic .bar.pain{fill:var(--soft-amber)}
.pic .yes{fill:var(--blue)}
.pic .no{fill:none;stroke:var(--soft);stroke-width:1.6}
.cards{list-style:none;display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr))}
.cards li{border:1px solid var(--rule);border-radius:.75rem;padding:1rem 1.1rem 1.1rem}
.cards p{margin-top:.6rem;line-height:1.45}
.cards .note{margin-top:.4rem}
.pair{display:grid;gap:1.5rem 2.5rem;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));align-items:start}
.panels{display:grid;gap:1.75rem 2.25rem;grid-template-columns:repeat(3,1fr)}
.panels figure{display:grid;grid-template-rows:1fr auto}
.panels .double{grid-column:span 2}
.panels h3{margin:0 0 .15rem}
.panels .note{margin-bottom:.5rem}
.effects .pic{max-width:12rem}
.heat{border-collapse:separate;border-spacing:3px;font-variant-numeric:tabular-nums}
.heat th{vertical-align:middle;padding:.3rem .5rem .3rem 0}
.heat tbody th{min-width:7rem;overflow-wrap:break-word}
.broad .heat tbody th{position:sticky;left:0;background:var(--paper)}
main:has(.broad){max-width:62rem}
.heat thead th{text-align:center;padding:0 .2rem .35rem;vertical-align:bottom;line-height:1.3}
.heat thead th:first-child{text-align:left}
.heat tbody th small{display:block;color:var(--muted);font-size:.86rem}
.heat td{text-align:center;vertical-align:middle;border-radius:.4rem;background:var(--track);padding:.5rem .25rem;
min-width:3.9rem;line-height:1.25}
.heat td small{display:block;font-size:.78rem;color:var(--muted)}
.heat td.spark{background:none;padding:0;min-width:6rem;width:7.5rem}
.heat td.empty{background:none;color:var(--muted);border:1px dashed var(--rule)}
.heat td.up1,.heat td.up2,.heat td.up3{background:var(--blue-wash)}
.heat td.down1,.heat td.down2,.heat td.down3{background:var(--amber-wash)}
.heat td.up2{box-shadow:inset 0 -3px var(--soft-blue)}
.heat td.up3{box-shadow:inset 0 -5px var(--blue)}
.heat td.down2{box-shadow:inset 0 -3px var(--soft-amber)}
.heat td.down3{box-shadow:inset 0 -5px var(--amber)}
.heat td.worst b{font-size:1.12em}
.heat .all th,.heat .all td{font-weight:600}
.heat td b{font-weight:650}
.scroll{overflow-x:auto;margin:0 -3px}
.note.after{margin-top:.9rem}
.lead{margin-bottom:1.25rem;max-width:40rem}
.large{font-size:2.6rem;font-weight:600;letter-spacing:-.02em;line-height:1.15;margin-bottom:.6rem}
.recovered h3{margin-top:0}
.recovered .pic{max-width:18rem;margin-bottom:.9rem}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.facts.team div:nth-child(n+2),.facts.quality div:nth-child(n){grid-column:auto}
.facts.quality{grid-template-columns:repeat(auto-fit,minmax(13rem,1fr))}
.effects td,.effects th{padding:.7rem .9rem .7rem 0;border-top:1px solid var(--rule);vertical-align:middle}
.effects thead th{border-top:0;padding-bottom:.3rem}
.effects td{min-width:8.5rem}
.effects tbody th{min-width:9rem}
.effects th small{display:block;color:var(--muted);font-size:.86rem}
.multiples{display:grid;gap:1.5rem 2rem;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr))}
.multiples figure{min-width:0}
.plain-no{border:1px solid var(--rule);border-radius:.75rem;padding:1.5rem}
.plain-no h2{margin-bottom:.6rem}
.plain-no ul{margin-top:1rem}
.plain-no ul+.note{margin-top:1.1rem}
.ask{font-size:1.35rem;line-height:1.45;max-width:40rem}
.choose{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:end;margin-top:1.25rem;font-size:.92rem}
.choose label{display:grid;gap:.2rem;color:var(--muted)}
.choose input,.choose select,.choose button{font:inherit;color:var(--ink);background:var(--paper);
border:1px solid var(--soft);border-radius:.5rem;padding:.45rem .6rem;min-height:2.75rem}
.choose button{background:var(--blue);color:var(--paper);border-color:var(--blue);font-weight:600;cursor:pointer}
.choose a,.also a{color:var(--blue)}
.also{margin-top:.75rem;font-size:.92rem}
:root{--soft-blue:#8fb4d8;--soft-amber:#d9ab52}
@media screen and (prefers-color-scheme:dark){:root{--soft-blue:#44698f;--soft-amber:#8f6c2a}}
@media (max-width:44rem){.panels{grid-template-columns:repeat(auto-fit,minmax(13rem,1fr))}
.panels .double{grid-column:auto}}
@media (max-width:34rem){.heat td{min-width:3.4rem;padding:.4rem .1rem}.heat .spark,.heat .course{display:none}
.heat tbody th{hyphens:auto;overflow-wrap:break-word;font-size:.95rem}
.effects,.effects tbody,.effects tr,.effects td,.effects th{display:block}.effects thead{display:none}
.effects td::before{content:attr(data-label);display:block;font-size:.86rem;color:var(--muted)}
.effects tbody th,.effects td{border:0;padding:.3rem 0}.effects tr{border-top:1px solid var(--rule);padding:.7rem 0}}
@media print{.cards li,.panels>*,.multiples figure,.plain-no,.heat tr,.effects tr,.pair>*{break-inside:avoid}
.cards{grid-template-columns:repeat(3,1fr)}.panels{gap:4mm 7mm}
.pair{grid-template-columns:1.15fr 1fr}.multiples{grid-template-columns:repeat(2,1fr)}.choose,.also{display:none}
.scroll{overflow:visible}}
"""

Write = Callable[[float], str]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def picture(words: Words, width: float, height: float, parts: Sequence[str]) -> str:
    name = escape(words.id)
    return (
        f'<svg class="pic" role="img" aria-labelledby="{name}-t {name}-d" viewBox="0 0 {_n(width)} {_n(height)}">'
        f'<title id="{name}-t">{escape(words.title)}</title><desc id="{name}-d">{escape(words.text)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def story(words: Words, quarter: int, before: float, after: float, quarters: Sequence[str]) -> str:
    """A moment in a call of four quarters: the mood's way from one level (0-1) to another, with its turn."""
    width, top, bottom = 240.0, 12.0, 84.0
    step = width / 4.0

    def y(level: float) -> float:
        return bottom - level * (bottom - top)

    turn = step * (quarter - 0.5)
    parts = [f'<rect class="wash" x="{_n(step * (quarter - 1))}" y="4" width="{_n(step)}" height="88" rx="4"/>']
    parts.append(f'<line class="mid" x1="0" x2="{_n(width)}" y1="{_n(y(0.5))}" y2="{_n(y(0.5))}"/>')
    parts.append(
        f'<path class="way" d="M6 {_n(y(before))}H{_n(max(turn - step * 0.6, 6.0))}C{_n(turn)} {_n(y(before))} '
        f'{_n(turn)} {_n(y(after))} {_n(min(turn + step * 0.6, width - 8.0))} {_n(y(after))}H{_n(width - 8.0)}"/>'
    )
    parts.append(f'<circle class="tip" cx="{_n(width - 8.0)}" cy="{_n(y(after))}" r="5"/>')
    parts += [
        f'<text x="{_n(step * (index + 0.5))}" y="106" text-anchor="middle"'
        f"{' class=' + chr(34) + 'strong' + chr(34) if index + 1 == quarter else ''}>{escape(label)}</text>"
        for index, label in enumerate(quarters)
    ]
    return picture(words, width, 110.0, parts)


def journey(
    words: Words,
    start: tuple[float, Sequence[int]],
    end: tuple[float, Sequence[int]],
    names: tuple[str, str],
    write: Write,
) -> str:
    """How many calls began and ended at each point 1-10: start to the left, end to the right, the means joined."""
    width, top, row = 420.0, 46.0, 21.0
    left, right = 170.0, 250.0
    bottom = top + row * 9.0
    most = max(*start[1], *end[1], 1)
    scale = 150.0 * sum(start[1]) / most / max(sum(start[1]), 1)
    parts = []

    def y(value: float) -> float:
        return bottom - (value - 1.0) * row

    for value in (1, 4, 7, 10):
        parts.append(f'<line class="guide" x1="20" x2="{_n(width - 20)}" y1="{_n(y(value))}" y2="{_n(y(value))}"/>')
        parts.append(f'<text x="210" y="{_n(y(value) + 4)}" text-anchor="middle">{write(float(value))}</text>')
    for index, (began, ended) in enumerate(zip(start[1], end[1], strict=True)):
        at = y(index + 2.0) + 1.5
        for count, style, x in ((began, "start", left - began * scale), (ended, "end", right)):
            if count:
                parts.append(
                    f'<rect class="bar {style}" x="{_n(x)}" y="{_n(at)}" width="{_n(count * scale)}" '
                    f'height="{_n(row - 3.0)}" rx="2"/>'
                )
    first, last = y(start[0]), y(end[0])
    down = " down" if end[0] < start[0] else ""
    parts.append(f'<path class="way{down}" d="M{_n(left)} {_n(first)}L{_n(right - 9)} {_n(last)}"/>')
    parts.append(f'<circle class="tip{down}" cx="{_n(left)}" cy="{_n(first)}" r="5"/>')
    parts.append(f'<path class="tip{down}" d="M{_n(right)} {_n(last)}l-13 -7v14z"/>')
    for x, name, mean, anchor in ((left, names[0], start[0], "end"), (right, names[1], end[0], "start")):
        parts.append(f'<text x="{_n(x)}" y="12" text-anchor="{anchor}">{escape(name)}</text>')
        parts.append(f'<text class="big-number" x="{_n(x)}" y="34" text-anchor="{anchor}">{write(mean)}</text>')
    return picture(words, width, bottom + 6.0, parts)


def dots(words: Words, filled: int, of: int = 20) -> str:
    """A share as dots: filled and hollow, in rows of ten."""
    parts = [
        f'<circle class="{"yes" if index < filled else "no"}" cx="{16 + 29 * (index % 10)}" '
        f'cy="{16 + 29 * (index // 10)}" r="10.5"/>'
        for index in range(of)
    ]
    return picture(words, 293.0, 32.0 + 29.0 * ((of - 1) // 10), parts)


@dataclass(frozen=True)
class Bars:
    """Counts from `low` in steps of `width`; style: agent or customer, who hang below the axis."""

    counts: Sequence[int]
    mean: float
    label: str
    style: str = "agent"


def histogram(
    words: Words,
    low: float,
    step: float,
    bars: Sequence[Bars],
    write: Write,
    *,
    band: tuple[float, float] | None = None,
    labels: int = 4,
    width: float = 240.0,
) -> str:
    """How a measure is spread over the calls, with its mean; a second side hangs below the axis."""
    height = 84.0
    count = len(bars[0].counts)
    column = width / count
    most = max(max(one.counts) for one in bars) or 1
    top = 22.0
    axis = top + height
    both = len(bars) > 1
    bottom = axis + (18.0 + height * 0.8 if both else 0.0)
    parts = []

    def x(value: float) -> float:
        return min(max((value - low) / step * column, 0.0), width)

    if band is not None:
        parts.append(
            f'<rect class="wash" x="{_n(x(band[0]))}" y="{_n(top - 4)}" width="{_n(x(band[1]) - x(band[0]))}" '
            f'height="{_n(bottom - top + 8)}"/>'
        )
    for index, one in enumerate(bars):
        for place, value in enumerate(one.counts):
            tall = value / most * height * (0.8 if index else 1.0)
            if value:
                y = axis + 18.0 if index else axis - tall
                parts.append(
                    f'<rect class="bar {one.style}" x="{_n(column * place + 1)}" y="{_n(y)}" '
                    f'width="{_n(column - 2)}" height="{_n(tall)}" rx="1.5"/>'
                )
        at = x(one.mean)
        ends = (axis + 18.0, bottom) if index else (top - 4.0, axis)
        anchor = "end" if at > width * 0.6 else "start"
        shift = -6 if anchor == "end" else 6
        parts.append(f'<line class="mean" x1="{_n(at)}" x2="{_n(at)}" y1="{_n(ends[0])}" y2="{_n(ends[1])}"/>')
        y = bottom + 1.0 if index else top - 8.0
        parts.append(
            f'<text class="strong halo" x="{_n(at + shift)}" y="{_n(y)}" text-anchor="{anchor}">'
            f"{escape(one.label)}</text>"
        )
    parts.append(f'<line class="guide" x1="0" x2="{_n(width)}" y1="{_n(axis)}" y2="{_n(axis)}"/>')
    every = max(1, round(count / labels))
    for index in range(0, count + 1, every):
        anchor = "start" if index == 0 else "end" if index == count else "middle"
        label = escape(write(low + index * step))
        parts.append(f'<text x="{_n(column * index)}" y="{_n(axis + 13)}" text-anchor="{anchor}">{label}</text>')
    return picture(words, width, bottom + (6.0 if both else 18.0), parts)


def columns(words: Words, counts: Sequence[int], labels: Sequence[str]) -> str:
    """A few counts side by side, each with its number."""
    width, top, bottom = 240.0, 18.0, 74.0
    column, most = width / len(counts), max(counts) or 1
    parts = [f'<line class="guide" x1="0" x2="{_n(width)}" y1="{_n(bottom)}" y2="{_n(bottom)}"/>']
    for index, (count, label) in enumerate(zip(counts, labels, strict=True)):
        x, tall = column * (index + 0.5), count / most * (bottom - top)
        parts.append(
            f'<rect class="bar pain" x="{_n(x - column * 0.32)}" y="{_n(bottom - tall)}" '
            f'width="{_n(column * 0.64)}" height="{_n(tall)}" rx="2"/>'
            f'<text class="strong" x="{_n(x)}" y="{_n(bottom - tall - 5)}" text-anchor="middle">{count}</text>'
            f'<text x="{_n(x)}" y="{_n(bottom + 15)}" text-anchor="middle">{escape(label)}</text>'
        )
    return picture(words, width, bottom + 20.0, parts)


def spark(values: Sequence[float], reach: tuple[float, float], falls: int | None) -> str:
    """Mood of the quarters as a small curve between two values that all rows share, its deepest fall (the step's
    number, from 0) marked. Its numbers stand beside it, so readers who do not see it miss nothing."""
    low, high = reach
    xs = [8.0 + 38.0 * index for index in range(len(values))]
    ys = [46.0 - (value - low) / max(high - low, 0.1) * 38.0 for value in values]
    curve = "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in zip(xs, ys, strict=True))
    marked = ""
    if falls is not None:
        marked = (
            f'<path class="way down" d="M{_n(xs[falls])} {_n(ys[falls])}L{_n(xs[falls + 1])} {_n(ys[falls + 1])}"/>'
            f'<circle class="tip down" cx="{_n(xs[falls + 1])}" cy="{_n(ys[falls + 1])}" r="4.5"/>'
        )
    return f'<svg class="pic" viewBox="0 0 130 54" aria-hidden="true"><path class="way" d="{curve}"/>{marked}</svg>'


def change(value: float, margin: float, reach: float, label: str) -> str:
    """A change from nought with its interval, to a scale that all rows share; the number is part of it."""

    def x(at: float) -> str:
        return _n(80.0 + min(max(at / reach, -1.0), 1.0) * 66.0)

    return (
        f'<svg class="pic" viewBox="0 0 160 40" role="img" aria-label="{escape(label)}">'
        '<line class="guide" x1="4" x2="156" y1="28" y2="28"/><line class="mid" x1="80" x2="80" y1="18" y2="38"/>'
        f'<path class="way" d="M80 28H{x(value)}"/>'
        f'<path class="whisker" d="M{x(value - margin)} 24v8m0 -4H{x(value + margin)}m0 -4v8"/>'
        f'<circle class="tip" cx="{x(value)}" cy="28" r="4.5"/>'
        f'<text class="strong" x="{x(value)}" y="13" text-anchor="middle">{escape(label)}</text></svg>'
    )


def share(value: float, label: str) -> str:
    """A share as a bar in a frame."""
    return (
        f'<svg class="pic" viewBox="0 0 160 40" role="img" aria-label="{escape(label)}">'
        f'<rect class="no" x="1" y="21" width="158" height="14" rx="3"/>'
        f'<rect class="bar start" x="1" y="21" width="{_n(158 * min(max(value, 0.0), 1.0))}" height="14" rx="3"/>'
        f'<text class="strong" x="1" y="14">{escape(label)}</text></svg>'
    )


def months(
    words: Words,
    points: Sequence[tuple[str, str, float | None, float | None]],
    reach: tuple[int, int],
    write: Write,
) -> str:
    """Of each month (its name, and a year where one is due) where calls began and ended: an arrow from start to end.
    None: nothing may be shown. reach: the scale's ends, which all pictures share."""
    width, top, bottom, left = 420.0, 12.0, 152.0, 24.0
    column = (width - left) / max(len(points), 1)

    def y(value: float) -> float:
        return bottom - (value - reach[0]) / (reach[1] - reach[0]) * (bottom - top)

    parts = []
    for value in range(reach[0], reach[1] + 1):
        parts.append(f'<line class="guide" x1="{_n(left)}" x2="{_n(width)}" y1="{_n(y(value))}" y2="{_n(y(value))}"/>')
        parts.append(f'<text x="{_n(left - 7)}" y="{_n(y(value) + 4)}" text-anchor="end">{write(float(value))}</text>')
    for index, (month, year, start, end) in enumerate(points):
        x = left + column * (index + 0.5)
        parts.append(f'<text x="{_n(x)}" y="{_n(bottom + 19)}" text-anchor="middle">{escape(month)}</text>')
        parts.append(f'<text x="{_n(x)}" y="{_n(bottom + 34)}" text-anchor="middle">{escape(year)}</text>')
        if start is None or end is None:
            parts.append(f'<text x="{_n(x)}" y="{_n((top + bottom) / 2.0)}" text-anchor="middle">–</text>')
            continue
        way = y(end) - y(start)
        down = " down" if way > 0.0 else ""
        head = min(abs(way), 12.0) * (1.0 if way > 0.0 else -1.0)
        parts.append(f'<path class="way{down}" d="M{_n(x)} {_n(y(start))}V{_n(y(end) - head * 0.7)}"/>')
        parts.append(f'<circle class="tip{down}" cx="{_n(x)}" cy="{_n(y(start))}" r="3.6"/>')
        parts.append(f'<path class="tip{down}" d="M{_n(x)} {_n(y(end))}l-7 {_n(-head)}h14z"/>')
    return picture(words, width, bottom + 38.0, parts)
