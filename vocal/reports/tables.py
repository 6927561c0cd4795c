"""Rows as CSV that spreadsheets and BI tools open as they are."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence


def as_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """With a line of column names; what is not known stays empty. A text that a spreadsheet would run as a formula gets
    an apostrophe in front."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow([_plain(row.get(name)) for name in columns])
    return written.getvalue()


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
