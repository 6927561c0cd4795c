"""Tempo: syllables a second of speech, over a telephone line.

EMO-DB by its syllable labels: two speakers whom the shipped network never heard, saying ten texts, of which it never
heard two. TIMIT by its vowels and syllabic consonants: nothing was trained on it. Each utterance has half a second of
the line before and after it; clean is white noise at 40 dB, so that this is not digital silence, which is a condition
of its own.

Articulation rate: as `vocal_kernels.speech_tempo` finds it, against syllables over the labelled span less its pauses of
over 200 ms. Over the labelled span: syllables found there, divided by its length with pauses, for who is told where the
utterance is. r: Pearson over utterances. Error: mean absolute.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import vocal_kernels as vk

from . import peers as others
from .corpora import (
    HELD_OUT,
    STEPS_PER_S,
    Array,
    Condition,
    Utterance,
    babble,
    emodb,
    generator,
    narrow,
    telephone,
    timit,
)
from .results import Skipped
from .rows import Better, Row
from .targets import target

CONDITIONS = (
    Condition("clean", "white", 40.0),
    Condition("digital silence around", "none", 0.0),
    Condition("white 10 dB", "white", 10.0),
    Condition("babble 10 dB", "babble", 10.0),
)
AROUND_S = 0.5
PEER, FLOOR = "de Jong & Wempe", "always the mean"
ARTICULATION, SPAN = "articulation rate", "over the labelled span"


def rows(data: Path, peers: bool) -> Iterator[Row | Skipped]:
    # The method stands on Praat: where that answers, so does it.
    theirs, missing = others.installed([others.PRAAT._replace(who=PEER)] if peers else [], "tempo")
    yield from missing
    unheard = [u for u in emodb(data) if u.speaker in HELD_OUT]
    for corpus, labelled in (("EMO-DB, two speakers held out", unheard), ("TIMIT", timit(data))):
        utterances = [u for u in labelled if u.syllables]
        true = {
            ARTICULATION: np.array([u.syllables / (u.end_s - u.start_s - u.pauses_s) for u in utterances]),
            SPAN: np.array([u.syllables / (u.end_s - u.start_s) for u in utterances]),
        }
        for condition in CONDITIONS:
            lines = [
                telephone(
                    narrow(u.wide, u.rate_hz),
                    condition,
                    babble(data),
                    generator(f"{u.name} {condition.name}"),
                    AROUND_S,
                )
                for u in utterances
            ]
            found = {"vocal": _ours(lines, utterances)}
            if theirs:
                found[PEER] = _theirs(lines, utterances)
            for name, wanted in true.items():
                where = f"{corpus}, {condition.name}"
                r = {who: float(np.corrcoef(wanted, answers[name])[0, 1]) for who, answers in found.items()}
                error = {who: float(np.abs(wanted - answers[name]).mean()) for who, answers in found.items()}
                error[FLOOR] = float(np.abs(wanted - wanted.mean()).mean())
                figures: tuple[tuple[str, dict[str, float], str, Better], ...] = (
                    ("r", r, "r", "higher"),
                    ("error", error, "syll/s", "lower"),
                )
                for what, values, unit, better in figures:
                    aim = target("tempo", f"{name}, {what}", where)
                    for who, value in values.items():
                        own = (values.get(PEER) if aim is None else aim) if who == "vocal" else None
                        yield Row("tempo", f"{name}, {what}", where, who, value, unit, own, better)


def _ours(lines: list[np.ndarray], utterances: list[Utterance]) -> dict[str, Array]:
    spans = []
    for feature_rows, u in zip(vk.extract(lines), utterances, strict=True):
        # A nucleus is spread over some steps: 50 ms beyond the labels belong to the first and the last.
        first, last = (round((at + AROUND_S) * STEPS_PER_S) for at in (u.start_s - 0.05, u.end_s + 0.05))
        spans.append(float(feature_rows[max(0, first) : last, vk.NUCLEUS].sum()) / (u.end_s - u.start_s))
    rates = [vk.speech_tempo(line).articulation_rate_syll_s for line in lines]
    return {ARTICULATION: np.nan_to_num(np.array(rates)), SPAN: np.array(spans)}


def _theirs(lines: list[np.ndarray], utterances: list[Utterance]) -> dict[str, Array]:
    rates, spans = [], []
    for line, u in zip(lines, utterances, strict=True):
        found = others.de_jong_wempe(line)
        assert found is not None
        at_s = found.times_s - AROUND_S
        inside = (at_s > u.start_s - 0.05) & (at_s < u.end_s + 0.05)
        spans.append(float(inside.sum()) / (u.end_s - u.start_s))
        rates.append(len(at_s) / found.speech_s if found.speech_s else 0.0)
    return {ARTICULATION: np.array(rates), SPAN: np.array(spans)}
