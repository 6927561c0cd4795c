"""The pictures of a benchmark's page: SVG in the reports' look, without a script."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from vocal import charts
from vocal.charts import Words

from .drawings import Confusion, Course, Curve
from .emotional import PLAIN
from .rows import Row

ORDER = ("vocal", "eGeMAPS + SVM", "ComParE + SVM", "random", "pauses alone")

LABEL = 40.0  # per cent of a chart's width for the names at its left


def contenders(rows: Sequence[Row]) -> list[str]:
    found = list(dict.fromkeys(row.who for row in rows))
    return sorted(found, key=lambda who: ORDER.index(who) if who in ORDER else len(ORDER))


def _index(who: str) -> int:
    return ORDER.index(who) if who in ORDER else len(ORDER) - 1


def _legend(whose: Sequence[str]) -> str:
    items = "".join(
        '<li><svg class="key" width="14" height="14" aria-hidden="true">'
        f'<use href="#w{_index(who)}" x="7" y="7"/></svg>'
        f"<span>{escape(who)}</span></li>"
        for who in whose
    )
    return f'<ul class="legend">{items}</ul>'


def figure(title: str, whose: Sequence[str], drawn: str, caption: str) -> str:
    return f'<figure><p class="chart-title">{escape(title)}</p>{_legend(whose) if len(whose) > 1 else ""}{drawn}' + (
        f"<figcaption><p>{escape(caption)}</p></figcaption></figure>" if caption else "</figure>"
    )


def _svg(words: Words, height: float, parts: Sequence[str]) -> str:
    name = escape(words.id)
    return (
        f'<svg class="chart" role="img" aria-labelledby="{name}-t {name}-d" width="100%" height="{height:.0f}">'
        f'<title id="{name}-t">{escape(words.title)}</title><desc id="{name}-d">{escape(words.text)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def whose_curves(curves: Sequence[Curve]) -> list[str]:
    return sorted({curve.who for curve in curves}, key=_index)


def by_title(curves: Sequence[Curve]) -> list[list[Curve]]:
    return [[c for c in curves if c.title == title] for title in dict.fromkeys(c.title for c in curves)]


def grid(drawn: Sequence[str], kind: str = "") -> str:
    return f'<div class="small {kind}">{"".join(f"<div>{one}</div>" for one in drawn)}</div>'


def bars(name: str, rows: Sequence[Row]) -> str:
    whose, parts, y = contenders(rows), [], 0.0
    corpora = list(dict.fromkeys(row.condition for row in rows))
    width = 100.0 - LABEL - 12.0
    top = 0.0
    for corpus in corpora:
        own = [row for who in whose for row in rows if row.condition == corpus and row.who == who]
        y += 22
        parts.append(f'<text class="strong" x="0" y="{y:.0f}">{escape(corpus)}</text>')
        y += 8
        for row in own:
            length = max(min(row.value, 1.0), 0.0) * width
            parts.append(
                f'<text x="{LABEL}%" dx="-8" y="{y + 11:.0f}" text-anchor="end">{escape(row.who)}</text>'
                f'<rect class="w{_index(row.who)}" x="{LABEL}%" width="{length:.2f}%" y="{y:.0f}" height="14" rx="2"/>'
                f'<text x="{LABEL + length:.2f}%" dx="6" y="{y + 11:.0f}">{row.value:.3f}</text>'
            )
            y += 18
        y += 6
    told = "; ".join(f"{row.condition}, {row.who}: {row.value:.3f}" for row in rows)
    chart = _svg(Words(f"bars-{'-'.join(name.replace(',', '').split())}", name, told), y + top, parts)
    explained = {
        "UAR, 4 classes": "Mean share found of anger, happiness, neutral and sadness; a coin of four sides has 0.25.",
        "anger AUC": "How often angry speech scores above other speech; chance has 0.5.",
        "arousal AUC": "How often aroused speech (anger, fear, joy) scores above calm speech; chance has 0.5.",
    }
    return figure(f"{name}, by corpus", [], chart, explained.get(name, ""))


def dots(title: str, rows: Sequence[Row]) -> str:
    whose = contenders(rows)
    low = min(0.5, *(row.value for row in rows))
    low = int(low * 5) / 5 if low < 0.5 else 0.5

    def x(value: float) -> float:
        return LABEL + (value - low) / (1.0 - low) * (98.0 - LABEL)

    names = list(dict.fromkeys(row.condition.split(", ", 1)[1] for row in rows))
    bottom = 8 + 20 * len(names)
    parts = []
    ticks = [low + i * (0.1 if low == 0.5 else 0.2) for i in range(6)]
    for tick in (tick for tick in ticks if tick <= 1.001):
        parts.append(f'<line class="grid" x1="{x(tick):.2f}%" x2="{x(tick):.2f}%" y1="0" y2="{bottom}"/>')
        parts.append(f'<text x="{x(tick):.2f}%" y="{bottom + 15}" text-anchor="middle">{tick:.1f}</text>')
    for number, name in enumerate(names):
        y = 14 + 20 * number
        own = [row for row in rows if row.condition.split(", ", 1)[1] == name]
        parts.append(f'<text x="{LABEL}%" dx="-8" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        edge = sorted(x(row.value) for row in own)
        parts.append(f'<line class="grid" x1="{edge[0]:.2f}%" x2="{edge[-1]:.2f}%" y1="{y}" y2="{y}"/>')
        parts += [_point(row.who, x(row.value), y) for row in sorted(own, key=lambda row: -_index(row.who))]
    told = "; ".join(f"{row.condition.split(', ', 1)[1]}, {row.who}: {row.value:.3f}" for row in rows)
    chart = _svg(Words("dots-" + "-".join(title.replace(",", "").split()), title, told), bottom + 22, parts)
    learnt = f"The peers learnt the plain line, {PLAIN}; Vocal learnt simulated lines of other kinds."
    return figure(title, whose, chart, learnt if len(whose) > 1 else "")


SIDE = 180.0


def _point(who: str, x: float, y: float) -> str:
    return f'<use href="#w{_index(who)}" x="{x:.2f}%" y="{y:.1f}"/>'


def square(curves: Sequence[Curve]) -> str:
    """Curves of one corpus over the unit square."""
    top, left, right = 26.0, 12.0, 98.0
    parts = [f'<text class="strong" x="{left}%" y="14">{escape(curves[0].title)}</text>']
    for tick in (0.0, 0.5, 1.0):
        y, x = top + SIDE * (1 - tick), left + tick * (right - left)
        parts += [
            f'<line class="grid" x1="{left}%" x2="{right}%" y1="{y:.1f}" y2="{y:.1f}"/>',
            f'<line class="grid" x1="{x:.1f}%" x2="{x:.1f}%" y1="{top}" y2="{top + SIDE}"/>',
            f'<text x="{left}%" dx="-5" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>',
            f'<text x="{x:.1f}%" y="{top + SIDE + 15}" text-anchor="middle">{tick:g}</text>',
        ]
    paths = ['<path class="zero" d="M0 1000L1000 0"/>']
    for curve in sorted(curves, key=lambda curve: -_index(curve.who)):
        step = max(1, len(curve.points) // 120)
        kept = [*curve.points[::step], curve.points[-1]]
        drawn = "L".join(f"{px * 1000:.0f} {1000 - py * 1000:.0f}" for px, py in kept)
        paths.append(f'<path class="stroke w{_index(curve.who)}" d="M{drawn}"/>')
    parts.append(
        f'<svg x="{left}%" y="{top}" width="{right - left}%" height="{SIDE}" viewBox="0 0 1000 1000" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )
    for curve in curves:
        if curve.kind == "reliability":
            parts += [_point(curve.who, left + px * (right - left), top + SIDE * (1 - py)) for px, py in curve.points]
    told = f"{curves[0].kind} curves of " + ", ".join(curve.who for curve in curves)
    return _svg(Words(f"{curves[0].kind}-{curves[0].title}", curves[0].title, told), top + SIDE + 22, parts)


def rates(words: Words, rows: Sequence[Row]) -> str:
    """Bars of which each unit of length is ten times more: some lie a thousandfold apart."""
    most = max(log10(max(row.value, 1.0)) for row in rows)
    parts, y = [], 4.0
    for row in rows:
        length = (86.0 - LABEL) * max(0.02, log10(max(row.value, 1.0)) / max(most, 1e-9))
        kind = 0 if row.who == "vocal" else 3
        parts.append(
            f'<text x="{LABEL}%" dx="-8" y="{y + 12:.0f}" text-anchor="end">{escape(row.who)}</text>'
            f'<rect class="w{kind}" x="{LABEL}%" width="{length:.2f}%" y="{y:.0f}" height="16" rx="2"/>'
            f'<text x="{LABEL + length:.2f}%" dx="6" y="{y + 12:.0f}">{row.value:,.0f}</text>'
        )
        y += 24.0
    return _svg(words, y + 4.0, parts)


def costs(words: Words, rows: Sequence[Row], shares: dict[str, float]) -> str:
    """Bars of what each stage costs; shares: of the machine's limit that each stage reaches, in per cent."""
    most = max(row.value for row in rows)
    parts, y = [], 4.0
    for row in rows:
        length = (80.0 - LABEL) * row.value / most
        share = shares.get(row.name)
        told = f"{row.value:,.0f} {row.unit}" + (f", {share:.0f} %" if share is not None else "")
        parts.append(
            f'<text x="{LABEL}%" dx="-8" y="{y + 12:.0f}" text-anchor="end">{escape(row.name)}</text>'
            f'<rect class="w0" x="{LABEL}%" width="{max(length, 0.3):.2f}%" y="{y:.0f}" height="16" rx="2"/>'
            f'<text x="{LABEL + length:.2f}%" dx="6" y="{y + 12:.0f}">{told}</text>'
        )
        y += 24.0
    return _svg(words, y + 4.0, parts)


def scatter(words: Words, points: Sequence[tuple[str, float, float]], across: str, up: str) -> str:
    """who, how many channels a core (drawn by powers of ten), and how right."""
    top, left, right = 26.0, 12.0, 90.0
    low, high = floor(log10(min(x for _, x, _ in points))), ceil(log10(max(x for _, x, _ in points)))
    ticks = charts.value_ticks(min(y for *_, y in points), max(y for *_, y in points), least=0.01)

    def place(x: float, y: float) -> tuple[float, float]:
        across_share = (log10(x) - low) / max(1, high - low)
        return left + (right - left) * across_share, top + SIDE * (ticks[-1] - y) / max(ticks[-1] - ticks[0], 1e-9)

    parts = [f'<text x="0" y="14">{escape(up)}</text>']
    for tick in ticks:
        _, y = place(10.0**low, tick)
        parts.append(f'<line class="grid" x1="{left}%" x2="{right}%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left}%" dx="-5" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for power in range(low, high + 1):
        x, _ = place(10.0**power, ticks[0])
        parts.append(f'<text x="{x:.1f}%" y="{top + SIDE + 15}" text-anchor="middle">{10**power:,}</text>')
    for who, x_value, y_value in points:
        x, y = place(x_value, y_value)
        anchor, dx = ("end", -9) if x > 60.0 else ("start", 9)
        parts.append(
            f'<use href="#w{0 if who == "vocal" else 3}" x="{x:.2f}%" y="{y:.1f}"/>'
            f'<text x="{x:.2f}%" dx="{dx}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(who)}</text>'
        )
    parts.append(f'<text x="{right}%" y="{top + SIDE + 36}" text-anchor="end">{escape(across)}</text>')
    return _svg(words, top + SIDE + 44, parts)


def course(one: Course) -> str:
    top, left, right = 30.0, 14.0, 96.0
    xs = [x for points in one.lines.values() for x, _ in points]
    ys = [y for points in one.lines.values() for _, y in points]
    y_ticks = charts.value_ticks(min(0.0, *ys), max(*ys, 1e-9), least=0.01)
    low, high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / max(xs), top + SIDE * (high - y) / (high - low)

    parts = [
        f'<text class="strong" x="0" y="14">{escape(one.title)}, {escape(one.unit)}</text>',
        f'<text x="{right}%" y="{top + SIDE + 40:.1f}" text-anchor="end">{escape(one.done)}</text>',
    ]
    for tick in y_ticks:
        _, y = place(0.0, tick)
        parts.append(f'<line class="grid" x1="{left}%" x2="{right}%" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left}%" dx="-5" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in (one for one in charts.value_ticks(0.0, max(xs)) if one <= max(xs)):
        x, _ = place(tick, 0.0)
        parts.append(f'<text x="{x:.1f}%" y="{top + SIDE + 15}" text-anchor="middle">{tick:g}</text>')
    for number, (name, points) in enumerate(one.lines.items()):
        at = [place(x, y) for x, y in points]
        drawn = "L".join(f"{(x - left) / (right - left) * 1000:.0f} {(y - top) / SIDE * 1000:.0f}" for x, y in at)
        parts.append(
            f'<svg x="{left}%" y="{top}" width="{right - left}%" height="{SIDE}" viewBox="0 0 1000 1000" '
            f'preserveAspectRatio="none"><path class="stroke w{2 * number}" d="M{drawn}"/></svg>'
        )
        parts += [f'<use href="#w{2 * number}" x="{x:.2f}%" y="{y:.1f}"/>' for x, y in at]
        parts.append(
            f'<use href="#w{2 * number}" x="{left + 32 * number + 2}%" y="{top + SIDE + 36:.1f}"/>'
            f'<text x="{left + 32 * number + 2}%" dx="10" y="{top + SIDE + 40:.1f}">{escape(name)}</text>'
        )
    told = "; ".join(
        f"{name}: " + ", ".join(f"{y:.3g} at {x:g} {one.done}" for x, y in points) for name, points in one.lines.items()
    )
    key = "course-" + "-".join(one.title.replace(",", "").split())
    return _svg(Words(key, f"{one.title}, {one.unit} against {one.done}", told), top + SIDE + 46, parts)


def confusion(one: Confusion) -> str:
    heads = "".join(
        f'<th scope="col"><abbr title="{escape(label)}">{escape(label[:3])}</abbr></th>' for label in one.labels
    )
    body = "".join(
        f"<tr><th scope='row'>{escape(label)}</th>"
        + "".join(f'<td style="--s:{100 * share:.0f}%">{100 * share:.0f}</td>' for share in shares)
        + "</tr>"
        for label, shares in zip(one.labels, one.shares, strict=True)
    )
    return (
        f"<h3>{escape(one.title)}</h3>"
        f'<table class="confusion"><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


SYMBOLS = (
    '<svg class="symbols" width="0" height="0" aria-hidden="true"><defs>'
    '<circle id="w0" class="point w0" r="4.6"/>'
    '<path id="w1" class="point w1" d="M0-5 5 0 0 5-5 0Z"/>'
    '<path id="w2" class="point w2" d="M-4.6 4 0-4.6 4.6 4Z"/>'
    '<rect id="w3" class="point w3" x="-3.4" y="-3.4" width="6.8" height="6.8"/>'
    '<rect id="w4" class="point w3" x="-3.4" y="-3.4" width="6.8" height="6.8"/>'
    "</defs></svg>"
)

STYLE = """
figure+figure{margin-top:3rem}
.chart .w0{fill:var(--blue)}.chart .w1{fill:var(--slate)}.chart .w2{fill:var(--amber)}
.chart .w3,.chart .w4{fill:var(--soft)}
.point{stroke:var(--paper);stroke-width:1.4}
.point.w0{fill:var(--blue)}.point.w1{fill:var(--slate)}.point.w2{fill:var(--amber)}.point.w3{fill:var(--soft)}
.chart .stroke{fill:none;stroke-width:2;stroke-linejoin:round}
.stroke.w0{stroke:var(--blue);stroke-width:2.6}.stroke.w1{stroke:var(--slate);stroke-dasharray:6 4}
.stroke.w2{stroke:var(--amber);stroke-dasharray:2 3}.stroke.w3{stroke:var(--soft)}
.small{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:1.5rem}
.small.pair{grid-template-columns:repeat(auto-fit,minmax(20rem,1fr))}
.small>div{min-width:0}
.small h3{margin:0 0 .4rem}
.figures{font-size:.92rem;font-variant-numeric:tabular-nums}
.figures td,.figures thead th+th{text-align:right;padding-left:1rem;white-space:nowrap}
.figures td,.figures tbody th{border-top:1px solid var(--rule);padding-top:.35rem;padding-bottom:.35rem}
.figures .group{font-weight:650;border-top:0;padding-top:1.6rem}
.figures tbody th{min-width:11rem}
.told{margin-top:1rem;padding-left:.9rem;border-left:3px solid var(--amber)}
.figures small{color:var(--muted)}
.yes{color:var(--blue)}.no{color:var(--amber);font-weight:600}
.confusion{font-size:.82rem;font-variant-numeric:tabular-nums;table-layout:fixed}
.confusion th,.confusion td{padding:.3rem .15rem;text-align:center}
.confusion thead td,.confusion th[scope=row]{text-align:left;width:5rem}
.confusion td[style]{background:color-mix(in srgb,var(--blue) calc(var(--s)*.5),var(--paper))}
.confusion abbr{text-decoration:none}
@media (max-width:34rem){
.small.pair{grid-template-columns:1fr}
.confusion{font-size:.76rem}
.confusion th[scope=row],.confusion thead td{width:4.4rem}
.figures tbody th{min-width:9rem}
}
"""
