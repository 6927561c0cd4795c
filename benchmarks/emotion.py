"""Emotion: is it right, on whom, over which line, how sure, and how often for nothing.

Vocal is measured as a product: each recording goes as a customer's channel through the whole engine, so finding the
speech counts, and so does every refusal. A corpus that the shipped model was trained on is judged by models that never
heard the speaker (`folds`), or not at all. Conditions of a corpus NAME:

    NAME                        each recording a call of its own; the peers without adaptation
    NAME, in call               a speaker's recordings as one call in random order, each after those before it
    NAME, speaker-normalised    that call again, after all of them; the peers with z-scores over all of a speaker
    NAME, trained on the others by models that heard every other corpus, none of this one

The peers are trained on what the shipped model was trained on, leave-one-speaker-out there. "random" draws labels as
frequent as in training. UAR is the unweighted average recall. Every number comes from a seed.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vocal.types import Emotion

from . import emotion_limits
from .corpora import Array, Signal, generator
from .drawings import Confusion, Curve, Drawing
from .emotion_peers import SETS, Functionals, Indices, Machine, by_speaker, functionals, installed
from .emotional import FOUR, HIGH, LOW, Item, plain, read_table, voice
from .hearing import Answers, Models, Told, answers, by_span, emotions, judge, running, tell
from .rows import Row
from .scores import Flags, Words, auc, ccc, f1, rank_correlation, recalls, roc, uar

PART = "emotion: correctness"
FIXED = {
    ("emodb", "UAR, own classes"): 0.82,
    ("emodb", "UAR, 4 classes"): 0.90,
    ("emodb, speaker-normalised", "UAR, own classes"): 0.88,
    ("emodb, speaker-normalised", "UAR, 4 classes"): 0.95,
}
"""What was aimed at before any peer was measured; elsewhere the better peer is the target."""

KNOWABLE = frozenset(("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness"))
"""What is asked for: a corpus's own classes are those of its labels that are among these."""

LEAST = 2
"""Recordings of a kind that a figure needs on each side."""


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


def measures(items: Sequence[Item], said: Said) -> Iterator[tuple[str, float, str]]:
    """(name, value, unit) of each figure that these recordings allow."""
    truth: Words = np.array([item.emotion for item in items])
    known: Flags = said.own != ""
    yield "answered", float(known.mean()), "share"
    own = np.isin(truth, sorted(KNOWABLE))
    for name, of, guess in (("UAR, own classes", own, said.own), ("UAR, 4 classes", np.isin(truth, FOUR), said.four)):
        asked = of & known
        if len(np.unique(truth[asked])) > 1:
            yield name, uar(truth[asked], guess[asked]), "share"
    of = np.isin(truth, FOUR)
    if len(np.unique(truth[of])) > 1:
        yield "UAR, 4 classes, no answer is wrong", uar(truth[of], said.four[of]), "share"
    anger: Flags = truth == "anger"
    if _both(anger[known]):
        yield "anger F1", f1(anger[known], said.angry[known]), "share"
        yield "anger AUC", auc(anger[known], said.anger[known]), "share"
    asked = known & np.isin(truth, (*LOW, *HIGH))
    high = np.isin(truth, HIGH)
    if _both(high[asked]):
        yield "arousal AUC", auc(high[asked], said.arousal[asked]), "share"
        side = np.where(high, "high", "low")
        yield "arousal UAR", uar(side[asked], np.where(said.high, "high", "low")[asked]), "share"


def _both(flags: Flags) -> bool:
    return bool(flags.sum() >= LEAST and (~flags).sum() >= LEAST)


def dimensions(items: Sequence[Item], given: Answers) -> Iterator[tuple[str, float, str]]:
    """Against judged arousal and valence, and how strongly an emotion was acted."""
    for name, truth, guess in (
        ("arousal", np.array([item.arousal for item in items]), given.arousal),
        ("valence", np.array([item.valence for item in items]), given.valence),
    ):
        asked = ~np.isnan(truth) & ~np.isnan(guess)
        if asked.sum() >= 10 and truth[asked].std() > 0:
            yield f"{name} CCC, {asked.sum()} judged", ccc(truth[asked], guess[asked]), "ccc"
    strong = np.array([{"normal": 0.0, "strong": 1.0}.get(item.intensity, np.nan) for item in items])
    strong[np.array([item.emotion for item in items]) == "neutral"] = np.nan
    asked = ~np.isnan(strong) & ~np.isnan(given.arousal)
    if asked.sum() >= 10 and strong[asked].std() > 0 and given.arousal[asked].std() > 0:
        yield "arousal with acted intensity", rank_correlation(strong[asked], given.arousal[asked]), "rank r"


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


# --- all of it -------------------------------------------------------------------------------------------------------


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


def prepare(data: Path, folds: Path | None, say: Callable[[str], None]) -> Material:
    items = read_table(data)
    models = Models(folds)
    voices = []
    for i, item in enumerate(items):
        if i % 50 == 0:
            say(f"recording {i + 1} of {len(items)}")
        voices.append(voice(item.path))
    names = np.array([item.corpus for item in items])
    corpora = {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(names.tolist())}
    heard = [corpus for corpus in corpora if models.has_heard(corpus)]
    truth, speakers = np.array([item.emotion for item in items]), np.array([item.speaker for item in items])
    return Material(data, items, voices, truth, speakers, corpora, heard, models, say)


class PeerSaid(NamedTuple):
    """Of each corpus, without and with speaker normalisation, and trained on the other corpora."""

    who: str
    plain: dict[str, Said]
    normalised: dict[str, Said]
    others: dict[str, Said]
    held_out: dict[str, Trained]
    whole: Trained | None


def hear_peers(m: Material) -> list[PeerSaid]:
    found = []
    training = np.concatenate([m.corpora[corpus] for corpus in m.heard]) if m.heard else np.empty(0, np.int64)
    signals = [plain(one) for one in m.voices]
    for features in SETS:
        x = functionals(features, signals, m.say)
        said = PeerSaid(features.who, {}, {}, {}, {}, train_peer(x, training, m.truth, m.speakers) if m.heard else None)
        for space, into in ((x, said.plain), (by_speaker(x, m.speakers), said.normalised)):
            whole = said.whole if space is x or not m.heard else train_peer(space, training, m.truth, m.speakers)
            for corpus, rows in m.corpora.items():
                m.say(f"{features.who} learns and judges {corpus}")
                if corpus not in m.heard:
                    if whole is not None:
                        into[corpus] = said_by(whole, space[rows], m.classes(corpus))
                    continue
                parts = []
                for speaker in np.unique(m.speakers[rows]):
                    own = np.flatnonzero(m.speakers[rows] == speaker)
                    trained = train_peer(space, training[m.speakers[training] != speaker], m.truth, m.speakers)
                    if space is x:
                        said.held_out[speaker] = trained
                    parts.append((own, said_by(trained, space[rows[own]], m.classes(corpus))))
                into[corpus] = joined(parts, len(rows))
        for corpus, rows in m.corpora.items() if len(m.corpora) > 1 else ():
            m.say(f"{features.who} learns all but {corpus}")
            rest = np.setdiff1d(np.arange(len(m.items)), rows)
            said.others[corpus] = said_by(train_peer(x, rest, m.truth, m.speakers), x[rows], m.classes(corpus))
        found.append(said)
    return found


class VocalSaid(NamedTuple):
    """Of a corpus: the answers to single recordings, in a call, and after everything else of the speaker."""

    told: list[Told]
    plain: Answers
    in_call: Answers
    normalised: Answers


def hear_vocal(m: Material) -> dict[str, VocalSaid]:
    found = {}
    for corpus, rows in m.corpora.items():
        models = m.models.held_out(m.of(rows))
        if models is None:
            continue
        told = judge([plain(m.voices[i]) for i in rows], models, m.say)
        first: list[list[Emotion]] = [[] for _ in rows]
        again: list[list[Emotion]] = [[] for _ in rows]
        calls, owners, spans, of_call = [], [], [], []
        for speaker in np.unique(m.speakers[rows]):
            own = generator(f"order {speaker}").permutation(np.flatnonzero(m.speakers[rows] == speaker))
            signal, where = running([m.voices[rows[i]] for i in (*own, *own)])
            calls.append(signal)
            owners.append(own)
            spans.append(where)
            of_call.append(models[own[0]])
        m.say(f"vocal hears {len(calls)} speakers of {corpus}, each in one call")
        for own, where, one in zip(owners, spans, judge(calls, of_call, m.say), strict=True):
            for place, inferred in enumerate(by_span(one, where)):
                (first if place < len(own) else again)[own[place % len(own)]] = inferred
        single = answers([emotions(one) for one in told])
        found[corpus] = VocalSaid(told, single, answers(first), answers(again))
    return found


def _rows_of(
    m: Material, corpus: str, condition: str, who: str, said: Said, targets: dict[str, float]
) -> Iterator[Row]:
    for name, value, unit in measures(m.of(m.corpora[corpus]), said):
        yield Row(PART, name, condition, who, value, unit, targets.get(name))


def _better(m: Material, corpus: str, peers: Sequence[Said]) -> dict[str, float]:
    """Of each figure the better peer's."""
    found: dict[str, float] = {}
    for said in peers:
        for name, value, _ in measures(m.of(m.corpora[corpus]), said):
            found[name] = max(value, found.get(name, value))
    found.pop("answered", None)
    return found


def rows(
    data: Path, with_peers: bool, folds: Path | None, say: Callable[[str], None], drawings: list[Drawing]
) -> Iterator[Row]:
    """data: a folder with emotion.csv; folds: see `Models`."""
    m = prepare(data, folds, say)
    lacking = [folder for folder in ("noise", "kerstin_de", "timit_nltk", "fda_ue") if not (data / folder).is_dir()]
    if lacking:
        print(f"emotion: {data} lacks {', '.join(lacking)}; no figures of these", file=sys.stderr)
    for corpus, indices in m.corpora.items():
        for name, count in (("recordings", len(indices)), ("speakers", len(np.unique(m.speakers[indices])))):
            yield Row("emotion: corpora", name, corpus, "truth", count, "")
    peers = hear_peers(m) if with_peers and installed() else []
    vocal = hear_vocal(m)
    shares = np.concatenate([m.truth[m.corpora[corpus]] for corpus in (m.heard or m.corpora)])
    labels = [label for label in sorted(KNOWABLE) if label in shares]
    priors = {label: float(np.mean(shares[np.isin(shares, labels)] == label)) for label in labels}
    for corpus, indices in m.corpora.items():
        items, classes = m.of(indices), m.classes(corpus)
        if corpus not in vocal:
            print(f"emotion: {corpus} was trained on; Vocal is judged on it only with --folds DIR", file=sys.stderr)
        judged = {peer.who: peer.plain[corpus] for peer in peers if corpus in peer.plain}
        if corpus in vocal:
            targets = _better(m, corpus, list(judged.values()))
            targets |= {name: value for (condition, name), value in FIXED.items() if condition == corpus}
            given = vocal[corpus].plain
            own = of_answers(given, classes)
            yield from _rows_of(m, corpus, corpus, "vocal", own, targets)
            for name, value, unit in dimensions(items, given):
                yield Row(PART, name, corpus, "vocal", value, unit)
            judged = {"vocal": own, **judged}
        for who, said in judged.items():
            if who != "vocal":
                yield from _rows_of(m, corpus, corpus, who, said, {})
            _draw(drawings, corpus, who, items, said, classes)
        chance = of_answers(random_answers(len(items), priors, generator(f"random {corpus}")), classes)
        yield from _rows_of(m, corpus, corpus, "random", chance, {})
        if corpus in vocal:
            call = f"{corpus}, in call"
            yield from _rows_of(m, corpus, call, "vocal", of_answers(vocal[corpus].in_call, classes), {})
            norm = f"{corpus}, speaker-normalised"
            fixed = {name: value for (condition, name), value in FIXED.items() if condition == norm}
            yield from _rows_of(m, corpus, norm, "vocal", of_answers(vocal[corpus].normalised, classes), fixed)
        for peer in peers:
            if corpus in peer.normalised:
                yield from _rows_of(m, corpus, f"{corpus}, speaker-normalised", peer.who, peer.normalised[corpus], {})
        others = f"{corpus}, trained on the others"
        trained = [peer.others[corpus] for peer in peers if corpus in peer.others]
        model = m.models.without(corpus)
        if model is not None:
            signals = [plain(m.voices[i]) for i in indices]
            said = of_answers(answers([emotions(one) for one in tell(signals, model)]), classes)
            yield from _rows_of(m, corpus, others, "vocal", said, _better(m, corpus, trained))
        for peer in peers:
            if corpus in peer.others:
                yield from _rows_of(m, corpus, others, peer.who, peer.others[corpus], {})
    yield from emotion_limits.rows(m, vocal, peers, drawings)


def _draw(
    drawings: list[Drawing], corpus: str, who: str, items: Sequence[Item], said: Said, classes: Sequence[str]
) -> None:
    truth: Words = np.array([item.emotion for item in items])
    known = ~np.isnan(said.anger)
    if _both(truth[known] == "anger"):
        drawings.append(Curve("roc", corpus, who, roc(truth[known] == "anger", said.anger[known])))
    if who == "vocal":
        shares = recalls(truth, said.own, tuple(classes))
        drawings.append(Confusion(corpus, who, tuple(classes), shares.tolist()))
