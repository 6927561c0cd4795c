"""What Vocal says of many recordings: each through the whole engine as a customer's channel with notice."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import vocal_kernels as vk

from vocal.analysis import load_emotion
from vocal.config import Config, EmotionConfig
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.errors import InputError
from vocal.types import Call, CallEnded, Channel, Cue, Emotion, Event, Metadata, Mood, Utterance

from .corpora import RATE_HZ, Array, Signal, alaw
from .emotional import Item

GAP_S = 1.0


class Told(NamedTuple):
    """Of one call: its utterances, how many estimates were made in it, and its cues."""

    utterances: list[Utterance]
    estimates: int
    cues: list[Cue]


class Answers(NamedTuple):
    """Means over a recording's utterances, a row a recording, NaN where nothing was inferred. p: (rows, labels)."""

    labels: tuple[str, ...]
    p: Array
    sure: Array
    arousal: Array
    valence: Array


def load(folder: Path | None) -> EmotionModel:
    """A model as the product loads it; None: the one that ships."""
    config = msgspec.structs.replace(Config(), emotion=EmotionConfig(model=str(folder) if folder else ""))
    model = load_emotion(config, Metadata(notice=True))
    assert model is not None
    return model


def tell(signals: Sequence[Signal], model: EmotionModel, notice: bool = True) -> list[Told]:
    """Each signal a call of its own, one block of channels at a time."""
    found = [Told([], 0, []) for _ in signals]

    def on_event(event: Event) -> None:
        at = int(event.call)
        if isinstance(event, Utterance):
            found[at].utterances.append(event)
        elif isinstance(event, Mood):
            found[at] = found[at]._replace(estimates=found[at].estimates + 1)
        elif isinstance(event, Cue):
            found[at].cues.append(event)
        elif isinstance(event, CallEnded):
            over.append(at)

    order = sorted(range(len(signals)), key=lambda i: len(signals[i]))
    started = datetime.now(UTC).isoformat(timespec="seconds")
    channels = (Channel(0, "customer"),)
    for first in range(0, len(order), vk.LANES):
        engine = Engine(on_event, Config(), model)
        over: list[int] = []
        for i in order[first : first + vk.LANES]:
            engine.open(Call(str(i), "bench", "file", started, channels, Metadata(notice=notice)))
            engine.push(str(i), np.ascontiguousarray(signals[i], np.float32)[:, None])
            engine.end(str(i), "end of recording")
        while engine.calls:
            engine.advance()
        assert len(over) == len(order[first : first + vk.LANES])
    return found


def answers(inferred: Sequence[Sequence[Emotion]]) -> Answers:
    labels = tuple(next((e.categories for one in inferred for e in one), {}))
    p = np.full((len(inferred), len(labels)), np.nan)
    sure, arousal, valence = (np.full(len(inferred), np.nan) for _ in range(3))
    for i, one in enumerate(inferred):
        if one:
            p[i] = np.mean([[e.categories.get(label, 0.0) for label in labels] for e in one], axis=0)
            sure[i] = np.mean([e.confidence for e in one])
            arousal[i], valence[i] = np.mean([e.arousal for e in one]), np.mean([e.valence for e in one])
    return Answers(labels, p, sure, arousal, valence)


def emotions(told: Told) -> list[Emotion]:
    return [u.emotion for u in told.utterances if u.emotion is not None]


def running(voices: Sequence[Signal]) -> tuple[Signal, list[tuple[float, float]]]:
    """One call of all of them, with a second of the line before each; and from when to when each is in it."""
    gap = np.zeros(round(GAP_S * RATE_HZ), np.float32)
    pieces, spans, at = [], [], 0
    for voice in voices:
        pieces += [gap, voice]
        spans.append(((at + len(gap)) / RATE_HZ, (at + len(gap) + len(voice)) / RATE_HZ))
        at += len(gap) + len(voice)
    return alaw(np.concatenate(pieces)), spans


def by_span(told: Told, spans: Sequence[tuple[float, float]]) -> list[list[Emotion]]:
    """A call's emotions by the recording each utterance lies in for the most part."""
    found: list[list[Emotion]] = [[] for _ in spans]
    for u in told.utterances:
        shared = [min(u.end_s, end) - max(u.start_s, start) for start, end in spans]
        best = int(np.argmax(shared))
        if u.emotion is not None and shared[best] > 0:
            found[best].append(u.emotion)
    return found


# --- which model may judge which recording ---------------------------------------------------------------------------


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


class Models:
    """The model that is judged, and those of a folder `folds` that never heard a speaker, or a whole corpus.

    FOLDS/<corpus>-<speaker> never heard that speaker, FOLDS/all-but-<corpus> never heard that corpus.
    """

    def __init__(self, folds: Path | None, model: Path | None) -> None:
        self.judged = load(model)
        self._folds = folds
        self._loaded: dict[Path, EmotionModel] = {}
        self._heard = [_letters(name) for name in self.judged.contract.training.get("corpora", [])]

    def has_heard(self, corpus: str) -> bool:
        """Whether the judged model was trained on it, as its contract says."""
        return any(_letters(corpus.split("_")[0]) in name for name in self._heard)

    def held_out(self, items: Sequence[Item]) -> list[EmotionModel] | None:
        """For each a model that never heard its speaker; None: there is none without folds."""
        if not any(self.has_heard(item.corpus) for item in items):
            return [self.judged] * len(items)
        if self._folds is None:
            return None
        return [self._load(self._folds / item.speaker.replace("/", "-")) for item in items]

    def without(self, corpus: str) -> EmotionModel | None:
        folder = self._folds / f"all-but-{corpus}" if self._folds else None
        return self._load(folder) if folder is not None and folder.is_dir() else None

    def _load(self, folder: Path) -> EmotionModel:
        if not folder.is_dir():
            raise InputError(f"{folder.parent}: wanted a model that never heard {folder.name}, got none")
        if folder not in self._loaded:
            self._loaded[folder] = load(folder)
        return self._loaded[folder]


def judge(signals: Sequence[Signal], models: Sequence[EmotionModel], say: Callable[[str], None]) -> list[Told]:
    """Each signal by its own model."""
    found: list[Told | None] = [None] * len(signals)
    for model in {id(model): model for model in models}.values():
        own = [i for i, one in enumerate(models) if one is model]
        say(f"vocal hears {len(own)} recordings")
        for i, told in zip(own, tell([signals[i] for i in own], model), strict=True):
            found[i] = told
    return [told for told in found if told is not None]
