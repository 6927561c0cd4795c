"""Accuracy: F0, speech, tempo, level, clarity on corpora with truth, peers beside; then whole calls."""

from collections.abc import Iterator
from pathlib import Path

from . import calls, clarity, level, pitch, speech, tempo
from .rows import Row


def rows(data: Path | None, with_peers: bool, folds: Path | None) -> Iterator[Row]:
    """data: a folder of corpora, or None for what can be said of the demo call; folds: see `calls`."""
    if data is not None:
        for part in (pitch, speech, tempo, level, clarity):
            yield from part.rows(data, with_peers)
    yield from calls.rows(data, folds)
