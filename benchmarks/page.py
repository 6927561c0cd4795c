"""A benchmark's rows as one HTML page in the reports' look: no script, nothing from outside, light and dark."""

import os
import platform
from collections.abc import Sequence
from datetime import date
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vocal import charts
from vocal.charts import Words
from vocal.reports.page import PAGE_STYLE

from .drawings import Confusion, Course, Curve, Drawing
from .emotional import PLAIN
from .rows import Row

PACKAGES = ("vocal", "numpy", "numba", "onnxruntime", "soxr", "av")
PEERS = ("opensmile", "scikit-learn", "praat-parselmouth", "librosa", "silero-vad", "swift-f0")
ORDER = ("vocal", "eGeMAPS + SVM", "ComParE + SVM", "random", "pauses alone")

LABEL = 40.0  # per cent of a chart's width for the names at its left
OPEN_ROWS = 24

DOUBTS = (
    "The corpora are acted or read. Callers do not act: field reports lie far below such figures.",
    "Speakers are few (see the corpora's table). Figures of a corpus with four to ten speakers move by several points "
    "with each speaker; differences of two points mean nothing.",
    "Most corpora repeat the same few sentences over all speakers, so words are no riddle here as they are in a call.",
    "What pauses alone tell about the emotion is above chance where recording conditions differ between emotions; "
    "every other figure of that corpus has this in it.",
    "A speaker held out is judged by a model trained for that, not by the one that ships; its confidence may be less "
    "well set.",
    "The lines are simulated, and each is heard with every third recording only, so a point or three there is chance.",
    "Over unlike lines the peers have learnt the plain one only, at one level; a lead there is in part that Vocal was "
    "shown more lines.",
    "The peers choose their C inside the training speakers; what they are on other features or other machines is open.",
    "Recipes were chosen while looking at some of these corpora. The last word have recordings that nobody here knows.",
)


def page(rows: Sequence[Row], drawings: Sequence[Drawing], with_peers: bool, with_folds: bool) -> str:
    """with_peers, with_folds: what was asked for, as the page says it."""
    parts = list(dict.fromkeys(row.part for row in rows))
    is_emotion = any(part.startswith("emotion") for part in parts)
    sections = [_header(rows, with_peers, with_folds), _targets(rows)]
    if is_emotion:
        sections.append(_emotion(rows, drawings))
    if courses := [one for one in drawings if isinstance(one, Course)]:
        sections.append(_section("courses", "On the way", _grid([_course(one) for one in courses])))
    sections += [_table(part, [row for row in rows if row.part == part]) for part in parts]
    if is_emotion:
        doubts = "".join(f"<li>{escape(doubt)}</li>" for doubt in DOUBTS)
        sections.append(_section("doubt", "Reasons for doubt", f'<ul class="plain">{doubts}</ul>'))
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Vocal, measured</title><style>{PAGE_STYLE}{charts.CHART_STYLE}{STYLE}</style></head>"
        f"<body>{SYMBOLS}<main>{''.join(sections)}</main>"
        "<footer><h2>How it was measured</h2><p>All methods heard the same signals in one run on one core. Every "
        "random number comes from a seed that is the name of what is measured: the same data gives the same figures. "
        "The data stays where it is: nothing of it is in this page.</p></footer></body></html>\n"
    )


# --- words -----------------------------------------------------------------------------------------------------------


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, one of {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _versions(names: Sequence[str]) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _header(rows: Sequence[Row], with_peers: bool, with_folds: bool) -> str:
    facts = [
        ("Machine", _machine()),
        ("Date", date.today().isoformat()),
        ("Figures", str(len(rows))),
        ("Peers", "measured in the same run" if with_peers else "not asked for"),
        ("Held-out models", "given" if with_folds else "not given"),
        ("Versions", _versions(PACKAGES + (PEERS if with_peers else ()))),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<header><h1>Vocal, measured</h1><dl class="facts">{items}</dl></header>'


def _section(name: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{body}</section>'


def _number(value: float, unit: str) -> str:
    return f"{value:.3f}" if unit in ("share", "ccc", "rank r", "r") else f"{value:.4g}"


def _aim(row: Row) -> str:
    if row.target is None:
        return ""
    return f"{'≥' if row.better == 'higher' else '≤'} {_number(row.target, row.unit)}"


def _reached(row: Row) -> str:
    if row.reached is None:
        return ""
    return f'<span class="{"yes" if row.reached else "no"}">{"✓ reached" if row.reached else "✗ not reached"}</span>'


def _opened(lines: int) -> str:
    return ' open=""' if lines <= OPEN_ROWS else ""


def _targets(rows: Sequence[Row]) -> str:
    aimed = [row for row in rows if row.target is not None]
    if not aimed:
        return ""
    met = sum(bool(row.reached) for row in aimed)
    missed = [row for row in aimed if not row.reached]
    lines = "".join(
        f"<tr><th scope='row'>{escape(row.name)}<br/><span class='note'>{escape(row.condition)}</span></th>"
        f"<td>{_number(row.value, row.unit)}</td><td>{_aim(row)}</td></tr>"
        for row in missed
    )
    table = (
        f"<details{_opened(len(missed))}><summary>{len(missed)} not reached</summary>"
        f'<div class="wide"><table class="figures"><thead><tr><th>figure</th><th>found</th><th>target</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></details>"
        if missed
        else ""
    )
    said = (
        f"{met} of {len(aimed)} targets are reached. A target is what the better peer of this run has, or a fixed aim."
    )
    return _section("targets", "Targets", f"<p>{said}</p>{table}")


def _who(rows: Sequence[Row]) -> list[str]:
    found = list(dict.fromkeys(row.who for row in rows))
    return sorted(found, key=lambda who: ORDER.index(who) if who in ORDER else len(ORDER))


def _table(part: str, rows: Sequence[Row]) -> str:
    """One line a figure and condition, one column a method; grouped by what there is less of."""
    by_name = len({row.name for row in rows}) <= len({row.condition for row in rows})
    whose = _who(rows)
    is_aimed = any(row.target is not None for row in rows)
    groups: dict[str, dict[tuple[str, str], dict[str, Row]]] = {}
    for row in rows:
        group, line = (row.name, row.condition) if by_name else (row.condition, row.name)
        groups.setdefault(group, {}).setdefault((line, row.unit), {})[row.who] = row
    columns = len(whose) + 1 + 2 * is_aimed
    body = []
    for group, lines in groups.items():
        units = {unit for _, unit in lines}
        unit = f", {units.pop()}" if len(units) == 1 and units != {""} else ""
        body.append(f"<tr><th class='group' colspan='{columns}'>{escape(group)}{escape(unit)}</th></tr>")
        for (line, own), cells in lines.items():
            name = escape(line) + ("" if unit or not own else f" <span class='note'>{escape(own)}</span>")
            values = "".join(f"<td>{_number(cells[w].value, own) if w in cells else ''}</td>" for w in whose)
            aimed = next((row for row in cells.values() if row.target is not None), None)
            if is_aimed:
                values += f"<td>{_aim(aimed) if aimed else ''}</td><td>{_reached(aimed) if aimed else ''}</td>"
            body.append(f"<tr><th scope='row'>{name}</th>{values}</tr>")
    heads = "".join(f"<th>{escape(who)}</th>" for who in whose) + ("<th>target</th><th></th>" if is_aimed else "")
    title = part[:1].upper() + part[1:]
    return _section(
        f"part-{'-'.join(part.replace(':', '').split())}",
        title,
        f"<details{_opened(len(body))}><summary>{len(rows)} figures</summary>"
        f'<div class="wide"><table class="figures"><thead><tr><th></th>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div></details>",
    )


# --- plots -----------------------------------------------------------------------------------------------------------


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


def _figure(title: str, whose: Sequence[str], drawn: str, caption: str) -> str:
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


def _emotion(rows: Sequence[Row], drawings: Sequence[Drawing]) -> str:
    plain = [row for row in rows if row.part == "emotion: correctness" and "," not in row.condition]
    figures = [
        _bars(name, [row for row in plain if row.name == name])
        for name in ("UAR, 4 classes", "anger AUC", "arousal AUC")
        if any(row.name == name for row in plain)
    ]
    curves = [one for one in drawings if isinstance(one, Curve)]
    if rocs := [one for one in curves if one.kind == "roc"]:
        caption = "Up: anger that was found. Right: other speech taken for anger. The diagonal is chance."
        figures.append(_figure("Anger against the rest", _whose(rocs), _grid([_square(c) for c in _by(rocs)]), caption))
    if trusted := [one for one in curves if one.kind == "reliability"]:
        caption = (
            "Up: share of answers that were right. Right: the confidence they came with. On the diagonal, it is true."
        )
        drawn = _grid([_square(c) for c in _by(trusted)])
        figures.append(_figure("Is the confidence true?", _whose(trusted), drawn, caption))
    lines = [row for row in rows if row.part == "emotion: lines"]
    for name in ("UAR, 4 classes", "anger AUC"):
        for corpus in dict.fromkeys(row.condition.split(", ")[0] for row in lines):
            some = [row for row in lines if row.name == name and row.condition.split(", ")[0] == corpus]
            if some:
                figures.append(_dots(f"{name} over other lines, {corpus}", some))
    if tables := [one for one in drawings if isinstance(one, Confusion)]:
        caption = "Each row is what was acted, each column what Vocal took it for, in %; the rest was not answered."
        drawn = _grid([_confusion(one) for one in tables], "pair")
        figures.append(_figure("What is taken for what", ["vocal"], drawn, caption))
    return _section("emotion", "Emotion", "".join(figures))


def _whose(curves: Sequence[Curve]) -> list[str]:
    return sorted({curve.who for curve in curves}, key=_index)


def _by(curves: Sequence[Curve]) -> list[list[Curve]]:
    return [[c for c in curves if c.title == title] for title in dict.fromkeys(c.title for c in curves)]


def _grid(drawn: Sequence[str], kind: str = "") -> str:
    return f'<div class="small {kind}">{"".join(f"<div>{one}</div>" for one in drawn)}</div>'


def _bars(name: str, rows: Sequence[Row]) -> str:
    whose, parts, y = _who(rows), [], 0.0
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
    return _figure(f"{name}, by corpus", [], chart, explained.get(name, ""))


def _dots(title: str, rows: Sequence[Row]) -> str:
    whose = _who(rows)
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
    return _figure(title, whose, chart, learnt if len(whose) > 1 else "")


SIDE = 180.0


def _point(who: str, x: float, y: float) -> str:
    return f'<use href="#w{_index(who)}" x="{x:.2f}%" y="{y:.1f}"/>'


def _square(curves: Sequence[Curve]) -> str:
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


def _course(one: Course) -> str:
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
    for tick in charts.value_ticks(0.0, max(xs)):
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


def _confusion(one: Confusion) -> str:
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
