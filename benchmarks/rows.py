"""What every benchmark gives: one row a figure, as JSON lines or as a table."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from .clock import Timed

Better = Literal["higher", "lower", "neither"]

FLOORS = ("constant", "random", "always the mean")
"""Who knows nothing of a signal and answers all the same: what a figure is worth is how far it is from theirs."""

LEAST_REPEATS = 3
LEAST_APART = 0.1
"""Of a figure that depends on time, the share by which two runs may differ whatever their repeats say."""

FELT = 0.5
"""Of what others use of the machine, the share that CPU time feels: by caches, and by a core's other thread."""

SURELY = 3.0
"""Standard deviations."""

WIDE = 150
"""Columns of a table that goes into a file."""

NORMAL_MAD = 1.4826
"""Of a normal distribution, its standard deviation to its median absolute deviation."""

FEW_MAD = {3: 1.495, 4: 1.363, 5: 1.206, 6: 1.2, 7: 1.14, 8: 1.129, 9: 1.107}
"""By how much the deviation of so few is found too small (Croux and Rousseeuw 1992, table 1)."""


class Row(msgspec.Struct, frozen=True):
    """One figure. target: what it should reach, None where nothing is aimed at.

    repeats: every single measurement that `value` was made of, in its unit, be it one; none where the same data always
    gives the same. pace: how fast the machine was meanwhile, 1 on the one that `clock.pace` calls usual; None where
    that does not matter. grain: the least difference that can be read off. others: the share of all cores that others
    used while it was measured; waited: of the value, what is so by design, which they cannot change.
    """

    part: str
    name: str
    condition: str
    who: str
    value: float
    unit: str
    target: float | None = None
    better: Better = "higher"
    repeats: tuple[float, ...] = ()
    pace: float | None = None
    grain: float = 0.0
    others: float = 0.0
    waited: float = 0.0

    @property
    def key(self) -> tuple[str, ...]:
        return self.part, self.name, self.condition, self.who, self.unit

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target

    @property
    def spread(self) -> float:
        """How far the repeats lie apart: what another run may differ by for that reason, in the figure's unit."""
        if len(self.repeats) < LEAST_REPEATS:
            return 0.0
        away = float(np.median(np.abs(np.array(self.repeats) - np.median(self.repeats))))
        return SURELY * NORMAL_MAD * FEW_MAD.get(len(self.repeats), 1.0) * away

    @property
    def moving(self) -> float:
        """The size of what another run may find otherwise."""
        return abs(self.value - self.waited)

    @property
    def disturbed(self) -> float:
        """What others' work may have made of it, in the figure's unit."""
        return self.others * self.moving * (1.0 if self.pace is None else FELT)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where another run on this machine would find the figure; None where it would find the same."""
        if not self.repeats:
            return None
        apart = max(self.spread, LEAST_APART * self.moving) + self.disturbed + self.grain
        return self.value - apart, self.value + apart

    def as_dict(self) -> dict[str, object]:
        fields = msgspec.structs.asdict(self)
        return {**fields, "reached": self.reached, "interval": self.interval}

    def as_json(self) -> str:
        """On one line, without what only a comparison needs."""
        shown = ("part", "name", "condition", "who", "value", "unit", "target", "reached")
        fields = self.as_dict()
        return json.dumps({name: fields[name] for name in shown})


def timed(
    part: str,
    name: str,
    condition: str,
    who: str,
    found: Timed,
    value: Callable[[float], float],
    unit: str,
    target: float | None = None,
    better: Better = "higher",
) -> Row:
    """A row out of timed repeats. value: of the figure, given CPU seconds. What else the machine does can only slow a
    repeat down, so the best of them counts."""
    repeats = tuple(value(time_s) for time_s in found.times_s)
    return Row(part, name, condition, who, value(found.least_s), unit, target, better, repeats, found.pace)


def show(rows: Iterable[Row], as_json: bool) -> None:
    """JSON lines as they come; or, at the end, a table for each part."""
    if as_json:
        for row in rows:
            sys.stdout.write(row.as_json() + "\n")
            sys.stdout.flush()
        return
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.part, []).append(row)
    for part, some in parts.items():
        table = Table("what", "condition", "who", "value", "", "unit", "target", "", title=part, title_justify="left")
        for column in (3, 4, 6):
            table.columns[column].justify = "right"
        for row in some:
            target = "" if row.target is None else f"{'≥' if row.better == 'higher' else '≤'} {row.target:.4g}"
            sign = {None: "", True: "[green]reached[/]", False: "[red]not reached[/]"}[row.reached]
            apart = "" if row.interval is None else f"±{(row.interval[1] - row.value):.2g}"
            table.add_row(row.name, row.condition, row.who, f"{row.value:.4g}", apart, row.unit, target, sign)
        console = Console()
        if not console.is_terminal:
            console.width = WIDE
        console.print(table)
