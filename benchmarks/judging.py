"""What somebody says of recordings: Vocal's answers, a peer's machines and a random model in one form."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .corpora import Array, Signal
from .emotion_peers import Functionals, Indices, Machine
from .emotional import FOUR, HIGH, LOW, Item
from .hearing import Answers, Models, Told
from .scores import Flags, Words

KNOWABLE = frozenset(("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"))
"""What is asked for: a corpus's own classes are those of its labels that are among these."""


class Material(NamedTuple):
    """The recordings, what the plain line makes of them, and who may judge them."""

    data: Path
    items: list[Item]
    voices: list[Signal]
    truth: Words
    speakers: Words
    corpora: dict[str, Indices]
    heard: list[str]
    models: Models
    say: Callable[[str], None]

    def of(self, rows: Indices) -> list[Item]:
        return [self.items[i] for i in rows]

    def classes(self, corpus: str) -> list[str]:
        return sorted(set(self.truth[self.corpora[corpus]].tolist()) & KNOWABLE)


class Said(NamedTuple):
    """What somebody says of some recordings; "" and NaN where nothing was said.

    own: the best of the corpus's own classes; four: the best of FOUR. anger, arousal: the higher the likelier, with
    angry and high as what is decided of them.
    """

    own: Words
    four: Words
    anger: Array
    angry: Flags
    arousal: Array
    high: Flags


def of_answers(given: Answers, classes: Sequence[str]) -> Said:
    known = ~np.isnan(given.sure)

    def best(of: Sequence[str]) -> Words:
        columns = [given.labels.index(label) for label in of if label in given.labels]
        if not columns:
            return np.full(len(known), "", "<U16")
        names = np.array([given.labels[column] for column in columns], "<U16")
        return np.where(known, names[np.nan_to_num(given.p[:, columns]).argmax(axis=1)], "")

    anger = given.p[:, given.labels.index("anger")] if "anger" in given.labels else np.full(len(known), np.nan)
    own = best(classes)
    return Said(own, best(FOUR), anger, own == "anger", given.arousal, np.nan_to_num(given.arousal) >= 0.5)


def random_answers(n: int, priors: dict[str, float], rng: np.random.Generator) -> Answers:
    """As many of each label as in training, with a confidence, arousal and valence that mean nothing."""
    labels = tuple(priors)
    drawn = rng.choice(len(labels), n, p=np.array(list(priors.values())))
    p = rng.dirichlet(np.ones(len(labels)), n)
    top = p.argmax(axis=1)
    rows = np.arange(n)
    p[rows, top], p[rows, drawn] = p[rows, drawn], p[rows, top]
    return Answers(labels, p, p.max(axis=1), rng.random(n), rng.random(n))


# --- the peers -------------------------------------------------------------------------------------------------------


class Trained(NamedTuple):
    """A peer's machines, trained on the same recordings; None where these had one class only."""

    own: Machine | None
    four: Machine | None
    anger: Machine | None
    arousal: Machine | None


def train_peer(x: Functionals, of: Indices, truth: Words, speakers: Words) -> Trained:
    def machine(rows: Indices, labels: Words) -> Machine | None:
        return Machine(x, rows, labels, speakers) if len(np.unique(labels[rows])) > 1 else None

    return Trained(
        machine(of[np.isin(truth[of], sorted(KNOWABLE))], truth),
        machine(of[np.isin(truth[of], FOUR)], truth),
        machine(of, np.where(truth == "anger", "anger", "other")),
        machine(of[np.isin(truth[of], (*LOW, *HIGH))], np.where(np.isin(truth, HIGH), "high", "low")),
    )


def said_by(peer: Trained, x: Functionals, classes: Sequence[str]) -> Said:
    def best(machine: Machine | None, of: Sequence[str]) -> Words:
        columns = [i for i, label in enumerate(machine.classes) if label in of] if machine else []
        if machine is None or not columns:
            return np.full(len(x), "", "<U16")
        names: Words = np.array([machine.classes[i] for i in columns], "<U16")
        return np.asarray(names[machine.scores(x)[:, columns].argmax(axis=1)])

    def score(machine: Machine | None, of: str) -> Array:
        return machine.scores(x)[:, machine.classes.index(of)] if machine else np.full(len(x), np.nan)

    anger, arousal = score(peer.anger, "anger"), score(peer.arousal, "high")
    return Said(best(peer.own, classes), best(peer.four, FOUR), anger, anger > 0, arousal, arousal > 0)


def joined(parts: Sequence[tuple[Indices, Said]], n: int) -> Said:
    """Of parts of `n` recordings, all of them."""
    out = Said(
        np.full(n, "", "<U16"),
        np.full(n, "", "<U16"),
        np.full(n, np.nan),
        np.zeros(n, bool),
        np.full(n, np.nan),
        np.zeros(n, bool),
    )
    for rows, said in parts:
        for whole, part in zip(out, said, strict=True):
            whole[rows] = part
    return out


class PeerSaid(NamedTuple):
    """Of each corpus, without and with speaker normalisation, and trained on the other corpora."""

    who: str
    plain: dict[str, Said]
    normalised: dict[str, Said]
    others: dict[str, Said]
    held_out: dict[str, Trained]
    whole: Trained | None


class VocalSaid(NamedTuple):
    """Of a corpus: the answers to single recordings, in a call, and after everything else of the speaker."""

    told: list[Told]
    plain: Answers
    in_call: Answers
    normalised: Answers
