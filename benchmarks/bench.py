"""`vocal bench`: parts that give rows, in order, each with a word on a terminal while it runs."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console

from .rows import Row, show

PARTS = ("speed", "accuracy")


def _rows(part: str, data: Path | None, with_peers: bool, folds: Path | None) -> Iterator[Row]:
    if part == "speed":
        from . import speed

        yield from speed.rows(data, with_peers)
    else:
        from . import accuracy

        yield from accuracy.rows(data, with_peers, folds)


def _told(part: str, rows: Iterable[Row]) -> Iterator[Row]:
    with Console(stderr=True).status(f"vocal bench {part}: begins") as status:
        for number, row in enumerate(rows, 1):
            status.update(f"vocal bench {part}: {number} figures, last: {row.name}, {row.condition}, {row.who}")
            yield row


def run(parts: Iterable[str], data: Path | None, with_peers: bool, folds: Path | None, as_json: bool) -> None:
    """Measure and show. data: a folder of corpora with truth; without it, what Vocal makes itself."""
    from .clock import pin

    pin()
    show((row for part in parts for row in _told(part, _rows(part, data, with_peers, folds))), as_json)
