"""`vocal bench`: parts that give rows, in order, each with a word on a terminal while it runs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from .drawings import Drawing
from .rows import Row, show

PARTS = ("speed", "live", "latency", "rtp", "accuracy")
MACHINE = ("live", "latency", "rtp")
"""Parts that are measured on all cores."""


class Asked(NamedTuple):
    """data: a folder of corpora with truth; without it, what Vocal makes itself. topics: of accuracy; none is all."""

    parts: Sequence[str]
    topics: Sequence[str]
    data: Path | None
    with_peers: bool
    folds: Path | None


def check(topics: Sequence[str], data: Path | None) -> None:
    """Raises before anything is measured, where a topic of accuracy is unknown or lacks its data."""
    if topics:
        from . import accuracy

        accuracy.check(topics, data)


def _rows(part: str, asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row]:
    if part == "speed":
        from . import speed

        yield from speed.rows(asked.data, asked.with_peers)
    elif part == "live":
        from . import live

        yield from live.rows()
    elif part == "latency":
        from . import latency

        yield from latency.rows(say)
    elif part == "rtp":
        from . import rtp

        yield from rtp.rows()
    else:
        from . import accuracy

        yield from accuracy.rows(asked.data, asked.with_peers, asked.folds, asked.topics, say, drawings)


def _told(part: str, asked: Asked, drawings: list[Drawing]) -> Iterator[Row]:
    with Console(stderr=True).status(f"vocal bench {part}: begins") as status:

        def say(what: str) -> None:
            status.update(f"vocal bench {part}: {what}")

        for number, row in enumerate(_rows(part, asked, say, drawings), 1):
            say(f"{number} figures, last: {row.name}, {row.condition}, {row.who}")
            yield row


def run(asked: Asked, as_json: bool, html: Path | None) -> None:
    """Measure and show; html: where the page goes."""
    from .clock import one_core

    kept: list[Row] = []
    drawings: list[Drawing] = []

    def keeping() -> Iterator[Row]:
        for part in asked.parts:
            with one_core() if part not in MACHINE else contextlib.nullcontext():
                for row in _told(part, asked, drawings):
                    kept.append(row)
                    yield row

    show(keeping(), as_json)
    if html is not None:
        from .page import page

        html.write_text(page(kept, drawings, asked.with_peers, asked.folds is not None), "utf-8")
