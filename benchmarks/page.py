"""A run of the benchmark as one HTML page in the reports' look: no script, nothing from outside, light and dark."""

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import msgspec

from vocal import charts
from vocal.charts import Words
from vocal.reports.page import PAGE_STYLE

from .drawings import Confusion, Course, Curve, Drawing
from .machine import BUSY_SHARE
from .plots import (
    STYLE,
    SYMBOLS,
    bars,
    by_title,
    confusion,
    contenders,
    costs,
    course,
    dots,
    figure,
    grid,
    rates,
    scatter,
    square,
    whose_curves,
)
from .results import Run
from .rows import LEAST_APART, Row

OPEN_ROWS = 24

DOUBTS_OF_SPEED = (
    "A virtual machine's cores are shared with others: they are now faster, now slower, by a fifth. What was measured "
    "in one run, in turns, can be compared; times of two machines cannot.",
    "Senders and servers of live calls share the cores here. In a call centre the network lies between them.",
    "The recordings are few and are played again and again, so caches of code are warm, as they are after an hour.",
    "Peers are called as their documentation shows. Somebody who knows them better may get more out of them.",
)

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


def page(run: Run) -> str:
    rows, drawings = run.rows, run.drawings
    parts = list(dict.fromkeys(row.part for row in rows))
    is_emotion = any(part.startswith("emotion") for part in parts)
    sections = [_header(run), _targets(rows), _figures(rows)]
    if is_emotion:
        sections.append(_emotion(rows, drawings))
    if courses := [one for one in drawings if isinstance(one, Course)]:
        sections.append(_section("courses", "On the way", grid([course(one) for one in courses])))
    sections += [_table(part, [row for row in rows if row.part == part]) for part in parts]
    sections.append(_doubt(run, is_emotion))
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Vocal, measured</title><style>{PAGE_STYLE}{charts.CHART_STYLE}{STYLE}</style></head>"
        f"<body>{SYMBOLS}<main>{''.join(sections)}</main>"
        "<footer><h2>How it was measured</h2><p>All methods heard the same signals in one run. Speeds are the best of "
        "the repeats, what live calls cost and how late they are told is the whole of some windows. ± says where "
        "another run of the same commit on this machine is expected, with the machine's pace taken out: three standard "
        f"deviations of the repeats, at least {100 * LEAST_APART:.0f} %, and as much more as others used of the "
        "machine meanwhile. Every random number comes from a seed that is the name of what "
        "is measured: the same data gives the same figures. The data stays where it is: "
        "nothing of it is in this page.</p></footer></body></html>\n"
    )


# --- words -----------------------------------------------------------------------------------------------------------


LONG, LONG_FACTS = ' style="grid-column:1/-1"', ("Asked for", "Versions")


def _header(run: Run) -> str:
    machine = run.machine
    facts = [
        ("Machine", f"{machine.told}, {machine.system}"),
        ("Date", run.started_at[:10]),
        ("Commit", run.commit or "not known"),
        ("Figures", str(len(run.rows))),
        ("Took", ", ".join(f"{part} {took_s:.0f} s" for part, took_s in run.took_s.items()) or "not known"),
        (
            "Asked for",
            ", ".join(f"{name} {value}" for name, value in run.settings.items() if value not in ("", "none")),
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
    ]
    if run.data:
        facts.append(("Data", f"{len(run.data)} files, their checksums in the saved run"))
    items = "".join(
        f"<div{LONG if name in LONG_FACTS else ''}><dt>{name}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts
    )
    said = [f"Not measured: {one.what}: {one.why}." for one in run.skipped]
    said += [
        f"{part}: others used {100.0 * share:.0f} % of the machine meanwhile. Trust ratios, not times."
        for part, share in run.others.items()
        if share > BUSY_SHARE
    ]
    if run.doubts:
        said.append(f"Of this page's own there are {len(run.doubts)} reasons for doubt, below.")
    if not run.is_whole:
        said.append("The run did not come to its end; what was measured until then is here.")
    notes = "".join(f'<p class="told">{escape(one)}</p>' for one in said)
    return f'<header><h1>Vocal, measured</h1><dl class="facts">{items}</dl>{notes}</header>'


def _doubt(run: Run, is_emotion: bool) -> str:
    doubts = [*run.doubts, *(DOUBTS_OF_SPEED if run.others else ()), *(DOUBTS if is_emotion else ())]
    if not doubts:
        return ""
    listed = "".join(f"<li>{escape(doubt)}</li>" for doubt in doubts)
    return _section("doubt", "Reasons for doubt", f'<ul class="plain">{listed}</ul>')


def _section(name: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>{body}</section>'


def _number(value: float, unit: str) -> str:
    return f"{value:.3f}" if unit in ("share", "ccc", "rank r", "r") else f"{value:.4g}"


def _value(row: Row) -> str:
    apart = "" if row.interval is None else f" <small>±{row.interval[1] - row.value:.2g}</small>"
    return _number(row.value, row.unit) + apart


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
        f"{met} of {len(aimed)} targets are reached. A target is what the better peer of this run has, or a number of "
        "targets.yaml."
    )
    return _section("targets", "Targets", f"<p>{said}</p>{table}")


def _table(part: str, rows: Sequence[Row]) -> str:
    """One line a figure and condition, one column a method; grouped by what there is less of."""
    by_name = len({row.name for row in rows}) <= len({row.condition for row in rows})
    whose = contenders(rows)
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
            values = "".join(f"<td>{_value(cells[w]) if w in cells else ''}</td>" for w in whose)
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


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(rows: Sequence[Row]) -> str:
    """What there is to be drawn of speed, latency, and what accuracy costs."""
    found = []
    spoken = [row for row in rows if row.name == "channels a core" and row.condition.startswith("a minute of speech")]
    if len(spoken) > 1:
        own = [msgspec.structs.replace(row, who=row.who.removesuffix(" alone")) for row in spoken]
        words = Words("throughput", "Channels a core", _told(own))
        caption = "Each step to the right is ten times more. Vocal measures all of it at once, a peer one thing alone."
        found.append(figure(words.title, [], rates(words, sorted(own, key=lambda row: -row.value)), caption))
    stages = [row for row in rows if row.part == "cost by stage" and row.unit == "ns" and row.repeats]
    stages = [row for row in stages if row.name not in ("sum of the stages", "all in one kernel")]
    if stages:
        shares = {row.name: row.value for row in rows if row.condition == "of the machine's limit"}
        words = Words(
            "stages", "Where the front end's time goes", "; ".join(f"{r.name}: {r.value:.0f} ns" for r in stages)
        )
        caption = "Nanoseconds for 10 ms of one channel, and the share of what this core could do at most."
        drawn = costs(words, sorted(stages, key=lambda row: -row.value), shares)
        found.append(figure(words.title, [], drawn, caption))
    latencies = (
        "last packet to utterance",
        "last packet to mood or cue",
        "last packet to the pixel",
        "onset to first levels",
        "emotion's change to mood's",
    )
    wanted = [("Front end", "channels a core", ("channels a core",), COUNTED[0])]
    wanted += [
        (
            f"{name.capitalize()}, {counted.what}",
            "ms",
            tuple(f"{name}, p{quantile}" for quantile in (50, 95, 99)),
            counted,
        )
        for name in latencies
        for counted in COUNTED[:2]
    ]
    wanted += [("CPU of a channel, by SIP", "µs a second", ("CPU of a channel",), COUNTED[2])]
    courses = [_by_count(rows, title, counted, unit, names) for title, unit, names, counted in wanted]
    drawn_courses = [course(one) for one in courses if one is not None]
    if drawn_courses:
        found.append(figure("With how many channels at once", [], grid(drawn_courses), ""))
    found += [_worth(rows, *one) for one in WORTH]
    drawn_all = "".join(one for one in found if one)
    return _section("figures", "At a glance", drawn_all) if drawn_all else ""


WORTH = (
    ("pitch", "FFE", "F0: frames wrong against what it costs", "frames wrong, %"),
    ("speech", "AUC", "Speech detection against what it costs", "AUC"),
)
"""part, how the accuracy's name begins, title, what goes up."""


def _worth(rows: Sequence[Row], part: str, name: str, title: str, up: str) -> str:
    """Accuracy against throughput, over the conditions that all contenders heard."""
    speeds = {
        row.who.removesuffix(" alone"): row.value
        for row in rows
        if row.name == "channels a core" and row.condition.startswith("a minute of speech")
    }
    right: dict[str, list[float]] = {}
    for row in rows:
        if row.part == part and row.name.startswith(name):
            right.setdefault(row.who, []).append(row.value)
    most = max((len(values) for values in right.values()), default=0)
    points = [
        (who, speeds[who], sum(values) / len(values))
        for who, values in right.items()
        if who in speeds and len(values) == most
    ]
    if len(points) < 2:
        return ""
    words = Words(f"worth-{part}", title, "; ".join(f"{who}: {x:,.0f} channels, {y:.3g}" for who, x, y in points))
    caption = f"Each point is one method, over {most} conditions. Right: channels a core."
    return figure(title, [], scatter(words, points, "channels a core", up), caption)


class Counted(NamedTuple):
    """How a condition begins that says how many there were."""

    what: str
    begins: str


COUNTED = (
    Counted("channels", r"(\d+) (?:\w+ )?channels?\b"),
    Counted("calls", r"(\d+) calls? by RTP"),
    Counted("calls", r"(\d+) calls? by SIP"),
)


def _by_count(rows: Sequence[Row], title: str, counted: Counted, unit: str, names: Sequence[str]) -> Course | None:
    """A figure against the number that its condition begins with."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        count = re.match(counted.begins, row.condition)
        if row.name in names and count is not None:
            lines.setdefault(row.name.rpartition(", ")[2], []).append((float(count[1]), row.value))
    if max(map(len, lines.values()), default=0) < 2:
        return None
    return Course(title, unit, counted.what, {name: sorted(points) for name, points in lines.items()})


def _told(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row.who}: {row.value:,.0f} {row.unit}" for row in rows)


def _emotion(rows: Sequence[Row], drawings: Sequence[Drawing]) -> str:
    plain = [row for row in rows if row.part == "emotion: correctness" and "," not in row.condition]
    figures = [
        bars(name, [row for row in plain if row.name == name])
        for name in ("UAR, 4 classes", "anger AUC", "arousal AUC")
        if any(row.name == name for row in plain)
    ]
    curves = [one for one in drawings if isinstance(one, Curve)]
    if rocs := [one for one in curves if one.kind == "roc"]:
        caption = "Up: anger that was found. Right: other speech taken for anger. The diagonal is chance."
        figures.append(
            figure("Anger against the rest", whose_curves(rocs), grid([square(c) for c in by_title(rocs)]), caption)
        )
    if trusted := [one for one in curves if one.kind == "reliability"]:
        caption = (
            "Up: share of answers that were right. Right: the confidence they came with. On the diagonal, it is true."
        )
        drawn = grid([square(c) for c in by_title(trusted)])
        figures.append(figure("Is the confidence true?", whose_curves(trusted), drawn, caption))
    lines = [row for row in rows if row.part == "emotion: lines"]
    for name in ("UAR, 4 classes", "anger AUC"):
        for corpus in dict.fromkeys(row.condition.split(", ")[0] for row in lines):
            some = [row for row in lines if row.name == name and row.condition.split(", ")[0] == corpus]
            if some:
                figures.append(dots(f"{name} over other lines, {corpus}", some))
    if tables := [one for one in drawings if isinstance(one, Confusion)]:
        caption = "Each row is what was acted, each column what Vocal took it for, in %; the rest was not answered."
        drawn = grid([confusion(one) for one in tables], "pair")
        figures.append(figure("What is taken for what", ["vocal"], drawn, caption))
    return _section("emotion", "Emotion", "".join(figures))
