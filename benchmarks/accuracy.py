"""Accuracy by topic: F0, speech, tempo, level, clarity, emotion on corpora with truth, peers beside; whole calls."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vocal.errors import InputError, UsageError

from . import calls, clarity, emotion, level, loss, pitch, speech, tempo
from .asked import Asked
from .drawings import Drawing
from .rows import Row

NEEDS = {
    "pitch": ("emodb", "fda_ue"),
    "speech": ("emodb", "timit_nltk", "upc_vad", "noise"),
    "tempo": ("emodb", "timit_nltk"),
    "level": ("emodb", "itu_stl", "loudness"),
    "clarity": ("emodb",),
    "emotion": ("emotion.csv",),
    "calls": ("calls/staged",),
    "loss": ("calls/staged",),
}
TOPICS = tuple(NEEDS)

CORPORA = ("emodb", "timit_nltk", "fda_ue", "upc_vad", "noise", "itu_stl", "loudness", "calls/staged", "emotion.csv")


def check(topics: Sequence[str], data: Path | None) -> None:
    """Raises UsageError for a topic that there is not, and InputError for one whose corpora are not there: no row may
    be missing silently."""
    for topic in topics:
        if topic not in NEEDS:
            raise UsageError(f"{topic}: wanted a topic of {', '.join(TOPICS)}")
        if data is None and topic not in ("calls", "loss"):
            wanted = " with emotion.csv" if topic == "emotion" else ""
            raise InputError(f"{topic} needs --data DIR, a folder of corpora{wanted}")
    if data is not None:
        needed = {corpus for topic in topics or TOPICS for corpus in NEEDS[topic]}
        missing = [corpus for corpus in CORPORA if corpus in needed and not (data / corpus).exists()]
        if missing:
            raise InputError(f"{data}: wanted a folder of corpora, missing in it: {', '.join(missing)}")


def rows(asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row]:
    """say: what is being done, for a reader who waits. drawings: filled for a page."""
    data = asked.data
    check(asked.topics, data)
    parts = {"pitch": pitch, "speech": speech, "tempo": tempo, "level": level, "clarity": clarity}
    for topic in asked.topics or TOPICS:
        if topic == "calls":
            yield from calls.rows(data, asked.folds, asked.model)
        elif topic == "loss":
            yield from loss.rows(data, drawings, asked.model)
        elif data is None:
            continue
        elif topic == "emotion":
            yield from emotion.rows(data, asked, say, drawings)
        else:
            yield from parts[topic].rows(data, asked.with_peers)
