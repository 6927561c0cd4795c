"""Accuracy by topic: F0, speech, tempo, level, clarity, emotion on corpora with truth, peers beside; whole calls."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vocal.errors import InputError, UsageError

from . import calls, clarity, emotion, level, loss, pitch, speech, tempo
from .asked import Asked
from .drawings import Drawing
from .results import Skipped
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
OF_THE_DEMO = ("calls", "loss")
"""Without corpora these have the demo call."""


def check(topics: Sequence[str]) -> None:
    for topic in topics:
        if topic not in NEEDS:
            raise UsageError(f"{topic}: wanted a topic of {', '.join(TOPICS)}")


def lacking(topic: str, data: Path | None) -> str:
    """What a topic needs and has not; empty where it can be measured."""
    needed = ", ".join(NEEDS[topic])
    if data is None:
        return "" if topic in OF_THE_DEMO else f"wanted --data DIR, a folder of corpora with {needed} in it"
    missing = ", ".join(name for name in NEEDS[topic] if not (data / name).exists())
    return f"{data}: wanted a folder of corpora with {needed}; missing in it: {missing}" if missing else ""


def rows(asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row | Skipped]:
    """say: what is being done, for a reader who waits. drawings: filled for a page.

    A topic whose data cannot be measured is skipped, and says why; the others go on.
    """
    for topic in asked.topics or TOPICS:
        if why := lacking(topic, asked.data):
            yield Skipped(f"accuracy {topic}", why)
            continue
        has_begun = False
        try:
            for row in _topic(topic, asked, say, drawings):
                has_begun = has_begun or isinstance(row, Row)
                yield row
        except (InputError, OSError) as error:
            yield Skipped(f"{'rest of ' * has_begun}accuracy {topic}", str(error))


def _topic(topic: str, asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row | Skipped]:
    data = asked.data
    if topic == "calls":
        yield from calls.rows(data, asked.folds, asked.model)
    elif topic == "loss":
        yield from loss.rows(data, drawings, asked.model)
    elif data is None:
        raise AssertionError(topic)
    elif topic == "emotion":
        yield from emotion.rows(data, asked, say, drawings)
    else:
        yield from PARTS[topic](data, asked.with_peers)


PARTS: dict[str, Callable[[Path, bool], Iterator[Row | Skipped]]] = {
    "pitch": pitch.rows,
    "speech": speech.rows,
    "tempo": tempo.rows,
    "level": level.rows,
    "clarity": clarity.rows,
}
