"""What every benchmark prints: one row a figure, as JSON lines or as a table."""

import json
import sys
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Row(NamedTuple):
    part: str
    name: str
    condition: str
    who: str
    value: float
    unit: str


def show(rows: list[Row], as_json: bool) -> None:
    if as_json:
        for row in rows:
            sys.stdout.write(json.dumps(row._asdict()) + "\n")
        return
    table = Table(*Row._fields)
    for row in rows:
        table.add_row(row.part, row.name, row.condition, row.who, f"{row.value:.4g}", row.unit)
    Console().print(table)
