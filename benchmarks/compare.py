"""Two runs side by side: what became better, what worse, and what only the machine's mood can explain.

Figures that always come out the same on the same data are compared as they are. Speeds first have the machine's pace
taken out; then they have to differ by more than both runs' repeats lie apart, at least by LEAST_APART, with what others
used of the machine meanwhile on top.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from .results import Run, differences
from .rows import LEAST_APART, WIDE, Row

Verdict = Literal["better", "worse", "same", "gone", "new", "other"]

LEAST_EXACT = 0.002
"""Least difference of a figure that does not depend on time, as a share of the older one, or by itself below 1."""


class Change(NamedTuple):
    """ratio: new to old, without the machine's pace. noise: what it has to differ by. gone, new: only one run has it;
    other: it differs, and neither way is better."""

    old: Row | None
    new: Row | None
    ratio: float
    noise: float
    verdict: Verdict


def compare(old: Run, new: Run) -> list[Change]:
    """In the order of the new run; what is gone at the end."""
    before = {row.key: row for row in old.rows}
    after = {row.key: row for row in new.rows}
    found = [
        _change(before[key], row) if key in before else Change(None, row, 1.0, 0.0, "new") for key, row in after.items()
    ]
    return found + [Change(row, None, 1.0, 0.0, "gone") for key, row in before.items() if key not in after]


def _change(old: Row, new: Row) -> Change:
    before, after = (row.value * _unpaced(row) for row in (old, new))
    ratio = after / before if before else (1.0 if not after else float("inf"))
    known = _known(old, new)
    noise = known / abs(before) if before else 0.0
    if abs(after - before) <= known or old.value == new.value:
        return Change(old, new, ratio, noise, "same")
    if new.better == "neither":
        return Change(old, new, ratio, noise, "other")
    is_better = (new.value > old.value) if new.pace is None else (ratio > 1.0)
    if new.better == "lower":
        is_better = not is_better
    return Change(old, new, ratio, noise, "better" if is_better else "worse")


def _unpaced(row: Row) -> float:
    """What takes the machine's pace out of a row's figures."""
    if row.pace is None:
        return 1.0
    return 1.0 / row.pace if row.better == "higher" else row.pace


def _known(old: Row, new: Row) -> float:
    """By how much two runs may differ though nothing has changed."""
    if not old.repeats or not new.repeats:
        return LEAST_EXACT * max(1.0, abs(old.value))
    both = [(row, _unpaced(row)) for row in (old, new)]
    spread = sum((row.spread * pace) ** 2 for row, pace in both) ** 0.5
    least = max(LEAST_APART * row.moving * pace for row, pace in both)
    return max(spread, least) + sum(row.disturbed * pace for row, pace in both) + max(old.grain, new.grain)


def doubts(old: Run, new: Run) -> list[str]:
    """Why the two runs may differ for other reasons than the code's."""
    found = differences(old, new)
    for run, which in ((old, "old"), (new, "new")):
        if not run.is_whole:
            found.append(f"the {which} run did not come to its end")
        found += [f"the {which} run's {why}" for why in run.doubts]
    for name, asked in old.settings.items():
        if new.settings.get(name) != asked:
            found.append(f"asked for differently: {name} {asked} -> {new.settings.get(name)}")
    return found


def show(changes: Sequence[Change], why: Sequence[str], console: Console) -> None:
    """What changed, worst first; one line for all that did not."""
    table = Table(
        "", "what", "condition", "who", "old", "new", "unit", "change", "noise", title="compared", title_justify="left"
    )
    order: tuple[Verdict, ...] = ("worse", "gone", "other", "better", "new")
    colours = {"worse": "red", "gone": "red", "better": "green", "other": "yellow", "new": "cyan"}
    for change in sorted((one for one in changes if one.verdict != "same"), key=lambda one: order.index(one.verdict)):
        row = change.new or change.old
        assert row is not None
        both = change.old is not None and change.new is not None
        table.add_row(
            f"[{colours[change.verdict]}]{change.verdict}[/]",
            f"{row.part}: {row.name}",
            row.condition,
            row.who,
            f"{change.old.value:.4g}" if change.old else "",
            f"{change.new.value:.4g}" if change.new else "",
            row.unit,
            f"{100.0 * (change.ratio - 1.0):+.1f} %" if both else "",
            f"±{100.0 * change.noise:.1f} %" if both else "",
        )
    if table.row_count:
        if not console.is_terminal:
            console.width = WIDE
        console.print(table)
    for doubt in why:
        console.print(f"doubt: {doubt}", markup=False, soft_wrap=True)
    same = sum(one.verdict == "same" for one in changes)
    console.print(f"{same} of {len(changes)} figures are the same within what the runs can tell.")
