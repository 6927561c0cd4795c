"""The main table of saved runs in Markdown: what was aimed at, what was found, and what a peer had in the same run."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from .machine import BUSY_SHARE
from .results import Run
from .rows import Row

MOST_LISTED = 6
"""Conditions of a figure that are listed one by one."""

NO_PEERS = ("vocal", "random", "constant", "truth", "machine", "load generator", "the kernel alone", "energy")
_LIMITS = r"tick p99(, worst minute)?|packets lost by us|packets sent that never came|packets missed beyond.*"


class Line(NamedTuple):
    """title: what it is called; part, name: patterns of the rows that are in it."""

    title: str
    part: str
    name: str


LINES = (
    Line("Front end, on one core", "front end", ".*"),
    Line("Recordings, from end to end", "end to end", ".*"),
    Line("Live calls, the load generator beside them", "capacity", "calls carried"),
    Line("What they are kept within", "capacity", _LIMITS),
    Line("Cost of a channel", "capacity", "cost of a channel|memory of a channel"),
    Line("End of speech to mood or cue", "latency", ".*"),
    Line("F0, telephone band", "pitch", "FFE"),
    Line("Speech detection, telephone band", "speech", "AUC.*"),
    Line("Tempo, telephone band", "tempo", ".*"),
    Line("Level and loudness", "level", ".*"),
    Line("Emotion", "emotion: correctness", ".*"),
)


def markdown(run: Run) -> str:
    """Figures with a target only, in the order of `LINES`; those that stand in none of them are counted below."""
    aimed = [row for row in run.rows if row.target is not None and _is_last(row, run.rows)]
    told: list[Row] = []
    lines = ["| what | measured | target | best peer, same run | |", "|---|---|---|---|---|"]
    for line in LINES:
        some = [row for row in aimed if re.fullmatch(line.part, row.part) and re.fullmatch(line.name, row.name)]
        names = dict.fromkeys((row.name, row.unit, row.who if row.who in _peers(run.rows) else "") for row in some)
        for name, unit, who in names:
            its = [row for row in some if (row.name, row.unit) == (name, unit) and (not who or row.who == who)]
            its = [row for row in its if row not in told]
            lines += _listed(line.title, its, run.rows)
            told += its
    rest = [row for row in run.rows if row.target is not None and row not in told]
    met = sum(bool(row.reached) for row in rest)
    busy = [f"{part} {100.0 * share:.0f} %" for part, share in run.others.items() if share > BUSY_SHARE]
    said = f"Measured {run.started_at[:10]} on {run.machine.told}; commit {run.commit or 'not known'}."
    said += f" Others used of the machine meanwhile: {', '.join(busy)}." if busy else ""
    said += "".join(f" Doubt: {why}." for why in run.doubts)
    said += f" Of {len(rest)} further targets {met} are reached." if rest else ""
    return "\n".join([*lines, "", said, ""])


def _is_last(row: Row, rows: Sequence[Row]) -> bool:
    """Not of a count of calls that was only tried on the way to the one that is carried."""
    tried = re.match(r"(\d+) calls by (.*)", row.condition)
    if row.part != "capacity" or tried is None:
        return True
    return any(
        one.name == "calls carried" and one.condition == f"by {tried[2]}" and one.value == float(tried[1])
        for one in rows
    )


def _peers(rows: Sequence[Row]) -> set[str]:
    return {row.who for row in rows if row.who not in NO_PEERS}


def _listed(title: str, rows: Sequence[Row], every: Sequence[Row]) -> list[str]:
    """One line each; or one for all, where they are many."""
    if len(rows) <= MOST_LISTED:
        return [
            f"| {title}: {row.name}{f' ({row.who})' if row.who in _peers(every) else ''}, {row.condition} "
            f"| {_value(row)} | {_aim(row)} | {_peer(row, every)} | {'✓' if row.reached else '✗'} |"
            for row in rows
        ]
    values, targets = sorted(row.value for row in rows), sorted(row.target or 0.0 for row in rows)
    met, unit = sum(bool(row.reached) for row in rows), f" {rows[0].unit}" if rows[0].unit else ""
    sign = "≥" if rows[0].better == "higher" else "≤"
    return [
        f"| {title}: {rows[0].name}, {len(rows)} conditions | {values[0]:.4g} to {values[-1]:.4g}{unit} "
        f"| {sign} {targets[0]:.4g} to {targets[-1]:.4g}, one for each | "
        f"| {'✓' if met == len(rows) else '✗'} {met} of {len(rows)} |"
    ]


def _value(row: Row) -> str:
    apart = "" if row.interval is None else f" ±{row.interval[1] - row.value:.2g}"
    return f"{row.value:.4g}{apart} {row.unit}".strip()


def _aim(row: Row) -> str:
    return f"{'≥' if row.better == 'higher' else '≤'} {row.target:.4g}"


def _peer(row: Row, every: Sequence[Row]) -> str:
    same = [
        one
        for one in every
        if (one.part, one.name, one.condition, one.unit) == (row.part, row.name, row.condition, row.unit)
        and one.who in _peers(every)
        and one.who != row.who
    ]
    if not same:
        return ""
    best = (max if row.better == "higher" else min)(same, key=lambda one: one.value)
    return f"{best.who} {best.value:.4g}"
