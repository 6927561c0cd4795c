"""Accuracy: F0, speech, tempo, level, clarity on corpora with truth, peers beside; then whole calls."""

from collections.abc import Iterator
from pathlib import Path

from vocal.errors import InputError

from . import calls, clarity, level, pitch, speech, tempo
from .rows import Row

CORPORA = ("emodb", "timit_nltk", "fda_ue", "upc_vad", "noise", "itu_stl", "loudness", "calls/staged")


def rows(data: Path | None, with_peers: bool, folds: Path | None) -> Iterator[Row]:
    """data: a folder of corpora, or None for what can be said of the demo call; folds: see `calls`.

    Raises InputError for a folder that lacks one of CORPORA: no row may be missing silently.
    """
    if data is not None:
        missing = [corpus for corpus in CORPORA if not (data / corpus).is_dir()]
        if missing:
            raise InputError(f"{data}: wanted a folder of corpora, missing in it: {', '.join(missing)}")
        for part in (pitch, speech, tempo, level, clarity):
            yield from part.rows(data, with_peers)
    yield from calls.rows(data, folds)
