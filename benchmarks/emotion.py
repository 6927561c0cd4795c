"""Emotion: is it right, on whom, over which line, how sure, and how often for nothing.

Vocal is measured as a product: each recording goes as a customer's channel through the whole engine, so finding the
speech counts, and so does every refusal. A corpus that the shipped model was trained on is judged by models that never
heard the speaker (`folds`), or not at all. Conditions of a corpus NAME:

    NAME                        each recording a call of its own; the peers without adaptation
    NAME, in call               a speaker's recordings as one call in random order, each after those before it
    NAME, speaker-normalised    that call again, after all of them; the peers with z-scores over all of a speaker
    NAME, trained on the others by those that heard every other corpus and nothing of this one

The peers are trained on what the shipped model was trained on, leave-one-speaker-out there. "random" draws labels as
frequent as in training. UAR is the unweighted average recall. Every number comes from a seed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vocal.types import Emotion

from . import emotion_limits
from .asked import Asked
from .corpora import generator
from .drawings import Confusion, Curve, Drawing
from .emotion_peers import SETS, by_speaker, functionals, missing
from .emotional import FOUR, HIGH, LOW, Item, plain, read_table, voice
from .hearing import Answers, Models, answers, by_span, emotions, judge, running, tell
from .judging import (
    KNOWABLE,
    Material,
    PeerSaid,
    Said,
    VocalSaid,
    joined,
    of_answers,
    random_answers,
    said_by,
    train_peer,
)
from .results import Skipped
from .rows import Row
from .scores import Flags, Words, auc, ccc, f1, rank_correlation, recalls, roc, uar
from .targets import target

PART = "emotion: correctness"
FIXED = ("UAR, own classes", "UAR, 4 classes")
"""What has a number to reach on some corpora; elsewhere the better peer is the target."""

LEAST = 2
"""Recordings of a kind that a figure needs on each side."""


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


# --- all of it -------------------------------------------------------------------------------------------------------


def prepare(data: Path, items: list[Item], models: Models, say: Callable[[str], None]) -> Material:
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
    m: Material, corpus: str, condition: str, who: str, said: Said, targets: Mapping[str, float] = MappingProxyType({})
) -> Iterator[Row]:
    for name, value, unit in measures(m.of(m.corpora[corpus]), said):
        yield Row(PART, name, condition, who, value, unit, targets.get(name))


def _fixed(condition: str) -> dict[str, float]:
    found = {name: target(PART, name, condition) for name in FIXED}
    return {name: value for name, value in found.items() if value is not None}


def _better(m: Material, corpus: str, peers: Sequence[Said]) -> dict[str, float]:
    """Of each figure the better peer's."""
    found: dict[str, float] = {}
    for said in peers:
        for name, value, _ in measures(m.of(m.corpora[corpus]), said):
            found[name] = max(value, found.get(name, value))
    found.pop("answered", None)
    return found


def rows(data: Path, asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row | Skipped]:
    """data: a folder with emotion.csv."""
    items, left_out = read_table(data)
    yield from left_out
    m = prepare(data, items, Models(asked.folds, asked.model), say)
    for folder in ("noise", "kerstin_de", "timit_nltk", "fda_ue"):
        if not (data / folder).is_dir():
            yield Skipped(f"emotion: what {folder} tells", f"{data}: missing in it: {folder}")
    for corpus, indices in m.corpora.items():
        for name, count in (("recordings", len(indices)), ("speakers", len(np.unique(m.speakers[indices])))):
            yield Row("emotion: corpora", name, corpus, "truth", count, "")
    lacking = missing() if asked.with_peers else []
    yield from lacking
    peers = hear_peers(m) if asked.with_peers and not lacking else []
    vocal = hear_vocal(m)
    shares = np.concatenate([m.truth[m.corpora[corpus]] for corpus in (m.heard or m.corpora)])
    labels = [label for label in sorted(KNOWABLE) if label in shares]
    priors = {label: float(np.mean(shares[np.isin(shares, labels)] == label)) for label in labels}
    for corpus in m.corpora:
        chance = random_answers(len(m.corpora[corpus]), priors, generator(f"random {corpus}"))
        yield from _single(m, corpus, vocal.get(corpus), chance, peers, drawings)
        yield from _adapted(m, corpus, vocal.get(corpus), peers)
        yield from _across(m, corpus, peers)
    yield from emotion_limits.rows(m, vocal, peers, drawings)


def _single(
    m: Material,
    corpus: str,
    vocal: VocalSaid | None,
    chance: Answers,
    peers: Sequence[PeerSaid],
    drawings: list[Drawing],
) -> Iterator[Row | Skipped]:
    """Each recording by itself."""
    items, classes = m.of(m.corpora[corpus]), m.classes(corpus)
    said = {peer.who: peer.plain[corpus] for peer in peers if corpus in peer.plain}
    if vocal is None:
        why = "it was trained on that: wanted --folds DIR, models that never heard the speaker"
        yield Skipped(f"emotion: vocal on {corpus}", why)
    else:
        own = of_answers(vocal.plain, classes)
        targets = _better(m, corpus, list(said.values())) | _fixed(corpus)
        yield from _rows_of(m, corpus, corpus, "vocal", own, targets)
        for name, value, unit in dimensions(items, vocal.plain):
            yield Row(PART, name, corpus, "vocal", value, unit)
        _draw(drawings, corpus, "vocal", items, own, classes)
    for who, one in said.items():
        yield from _rows_of(m, corpus, corpus, who, one)
        _draw(drawings, corpus, who, items, one, classes)
    yield from _rows_of(m, corpus, corpus, "random", of_answers(chance, classes))
    for name, value, unit in dimensions(items, chance):
        yield Row(PART, name, corpus, "random", value, unit)


def _adapted(m: Material, corpus: str, vocal: VocalSaid | None, peers: Sequence[PeerSaid]) -> Iterator[Row]:
    """After others of the same speaker."""
    classes, norm = m.classes(corpus), f"{corpus}, speaker-normalised"
    if vocal is not None:
        yield from _rows_of(m, corpus, f"{corpus}, in call", "vocal", of_answers(vocal.in_call, classes))
        yield from _rows_of(m, corpus, norm, "vocal", of_answers(vocal.normalised, classes), _fixed(norm))
    for peer in peers:
        if corpus in peer.normalised:
            yield from _rows_of(m, corpus, norm, peer.who, peer.normalised[corpus])


def _across(m: Material, corpus: str, peers: Sequence[PeerSaid]) -> Iterator[Row]:
    """By who learnt from all other corpora."""
    condition = f"{corpus}, trained on the others"
    said = {peer.who: peer.others[corpus] for peer in peers if corpus in peer.others}
    model = m.models.without(corpus)
    if model is not None:
        m.say(f"vocal without {corpus} hears {corpus}")
        told = tell([plain(m.voices[i]) for i in m.corpora[corpus]], model)
        own = of_answers(answers([emotions(one) for one in told]), m.classes(corpus))
        yield from _rows_of(m, corpus, condition, "vocal", own, _better(m, corpus, list(said.values())))
    for who, one in said.items():
        yield from _rows_of(m, corpus, condition, who, one)


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
