"""What every benchmark gives: one row a figure, as JSON lines or as a table."""

import json
import sys
from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    """One figure. target: what it should reach, None where nothing is aimed at; better: "higher" or "lower"."""

    part: str
    name: str
    condition: str
    who: str
    value: float
    unit: str
    target: float | None = None
    better: str = "higher"

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target

    def as_json(self) -> str:
        fields = self._asdict()
        del fields["better"]
        return json.dumps({**fields, "reached": self.reached})


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
        table = Table("what", "condition", "who", "value", "unit", "target", "", title=part, title_justify="left")
        for column in (3, 5):
            table.columns[column].justify = "right"
        for row in some:
            target = "" if row.target is None else f"{'≥' if row.better == 'higher' else '≤'} {row.target:.4g}"
            sign = {None: "", True: "[green]reached[/]", False: "[red]not reached[/]"}[row.reached]
            table.add_row(row.name, row.condition, row.who, f"{row.value:.4g}", row.unit, target, sign)
        Console().print(table)
