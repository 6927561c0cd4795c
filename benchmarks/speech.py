"""Speech or not, each 10 ms of a telephone line, and utterances that nobody spoke.

Streams of labelled utterances with 0.4-4 s of nothing between, noise so many dB under -26 dBov over everything; all at
the same level, or within 30 dB of each other. EMO-DB and TIMIT by their phones: pauses are no speech; breaths, filled
pauses and the closure at the beginning are not judged. upc_vad is judged as it is labelled by hand. No smoothing, no
hangover, nobody's delay is taken back. AUC: how often a step of speech scores above one without; best F1 over all
thresholds. "constant" says speech always. False utterances: what the boundary machine, with its defaults, makes of an
hour without speech; the peers' scores go through the same machine.

The shipped network was trained on all speakers of EMO-DB, the two of the smaller stream too, and on eight classes of
ESC-10: `models/train/speech.py --judge` has the figures on speakers left out. TIMIT, upc_vad and Hu's sounds are new to
it; Hu's may have voices among them.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.bank import Bank, Kind

from . import peers as others
from .corpora import (
    HELD_OUT,
    LEVEL_DBOV,
    RATE_HZ,
    STEP_SAMPLES,
    Array,
    Condition,
    Signal,
    Stream,
    alaw,
    at_level,
    babble,
    band,
    emodb,
    generator,
    hand_labelled,
    heard,
    sounds,
    stream,
    timit,
)
from .results import Skipped
from .rows import Row
from .targets import target

CONDITIONS = (
    Condition("clean40", "white", 40.0),
    *(Condition(f"white{snr_db}", "white", float(snr_db)) for snr_db in (20, 10, 5, 0)),
    *(Condition(f"babble{snr_db}", "babble", float(snr_db)) for snr_db in (20, 10, 5, 0)),
)
HAND_CONDITIONS = (
    Condition("as recorded", "none", 0.0),
    Condition("white10", "white", 10.0),
    Condition("babble10", "babble", 10.0),
)
ALL = "EMO-DB, all speakers"
VARIED_DB = 30.0
BOUNDARY = vk.Boundary()


class Told(NamedTuple):
    auc: float
    best_f1: float


def tell(speech: NDArray[np.floating], score: NDArray[np.floating]) -> Told:
    """How well a score tells speech (1) from the rest (0); steps that are NaN are left out."""
    judged = np.isfinite(speech)
    is_speech, score = speech[judged] > 0.5, score[judged]
    levels, level = np.unique(score, return_inverse=True)
    hits = np.bincount(level[is_speech], minlength=len(levels))[::-1].cumsum()
    alarms = np.bincount(level[~is_speech], minlength=len(levels))[::-1].cumsum()
    found, false = np.append(0, hits) / hits[-1], np.append(0, alarms) / alarms[-1]
    return Told(float(np.trapezoid(found, false)), float((2 * hits / (hits + alarms + hits[-1])).max()))


def rows(data: Path, peers: bool) -> Iterator[Row | Skipped]:
    methods, missing = others.installed(others.SPEECH if peers else (), "speech")
    yield from missing
    yield from _scores(data, methods)
    yield from _false_utterances(data, methods)


def _scores(data: Path, methods: Sequence[others.Peer]) -> Iterator[Row]:
    corpora = {
        ALL: emodb(data)[::5],
        "EMO-DB, speakers 03 and 08": [u for u in emodb(data) if u.speaker in HELD_OUT][::2],
        "TIMIT": timit(data)[::2],
    }
    for corpus, utterances in corpora.items():
        for vary_db in (0.0, VARIED_DB):
            made = stream(utterances, vary_db, generator(f"{corpus} {vary_db}"))
            name = f"{corpus}, levels within {vary_db:.0f} dB" if vary_db else corpus
            yield from _judge(name, made, CONDITIONS, babble(data), methods)
    voices, labels = [], []
    for samples, speech in hand_labelled(data):
        steps = min(len(speech), len(samples) // STEP_SAMPLES)
        voices.append(at_level(band(samples))[: steps * STEP_SAMPLES])
        labels.append(speech[:steps])
    together = Stream(np.concatenate(voices), np.concatenate(labels))
    yield from _judge("upc_vad, by hand", together, HAND_CONDITIONS, babble(data), methods)


def _judge(
    name: str, made: Stream, conditions: Sequence[Condition], babbling: Array, methods: Sequence[others.Peer]
) -> Iterator[Row]:
    lines = [heard(made.voice, condition, babbling, generator(f"{name} {condition.name}")) for condition in conditions]
    ours = [found[:, vk.SPEECH] for found in vk.extract(lines)]
    for condition, line, score in zip(conditions, lines, ours, strict=True):
        told = {"vocal": tell(made.speech, score)}
        for peer in methods:
            if (answer := peer.hear(line)) is not None:
                told[peer.who] = tell(made.speech, answer)
        best = [max((told[peer.who][i] for peer in methods), default=None) for i in range(2)]
        told["energy alone"] = tell(made.speech, others.energy(line))
        told["constant"] = tell(made.speech, np.ones(len(made.speech)))
        where = f"{name}, {condition.name}"
        for who, figures in told.items():
            for i, (what, value) in enumerate(zip(("AUC", "best F1"), figures, strict=True)):
                aim = target("speech", what, where) if best[i] is None else best[i]
                yield Row("speech", what, where, who, value, "", aim if who == "vocal" else None)


# --- what nobody said ------------------------------------------------------------------------------------------------


def _steady(signal: Array, level_dbov: float) -> Array:
    return signal * (10 ** (level_dbov / 20) / math.sqrt(np.mean(signal[signal != 0] ** 2)))


def hold_music(rng: np.random.Generator, seconds: int) -> Array:
    """Plucked strings (Karplus-Strong) over an organ, a chord each bar, in minor and major keys, three tempos."""
    out = np.zeros(seconds * RATE_HZ)
    piece = 30 * RATE_HZ
    for begin in range(0, len(out), piece):
        bar = int(RATE_HZ * rng.choice([1.6, 2.0, 2.6]))
        third, key = int(rng.choice([3, 4])), float(rng.uniform(45, 57))
        for at in range(begin, min(begin + piece, len(out)), bar):
            chord = key + rng.choice([0, 5, 7, -3]) + np.array([0, third, 7, 12])
            t = np.arange(min(bar, len(out) - at)) / RATE_HZ
            for note in chord[:3]:
                hz = 440 * 2 ** ((note - 69) / 12)
                organ = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3, 4, 6, 8) if hz * k < 3800)
                out[at : at + len(t)] += 0.15 * organ * np.minimum(1, np.minimum(t, t[-1] - t) / 0.05)
            for i, note in enumerate(chord[rng.integers(0, 4, 8)] + 12):
                first = at + i * bar // 8
                string = _plucked(rng, 440 * 2 ** ((note - 69) / 12))[: max(0, len(out) - first)]
                out[first : first + len(string)] += 0.6 * string
    return out


def _plucked(rng: np.random.Generator, hz: float, seconds: float = 1.2) -> Array:
    period = round(RATE_HZ / hz)
    cycle = rng.uniform(-1, 1, period)
    cycles = []
    for _ in range(int(seconds * hz)):
        cycles.append(cycle)
        cycle = 0.498 * (cycle + np.roll(cycle, 1))
    return np.concatenate(cycles)


def dialling(rng: np.random.Generator, seconds: int) -> Array:
    """Numbers of 11 digits by a dialler (70 ms on, 70 ms off) and by hand (0.15-0.6 s), twist up to 4 dB."""
    out, at = np.zeros(seconds * RATE_HZ), RATE_HZ
    while at < len(out) - 20 * RATE_HZ:
        by_hand, twist = rng.random() < 0.5, 10 ** (rng.uniform(-4, 4) / 20)
        for _ in range(11):
            on, off = (rng.uniform(0.15, 0.6), rng.uniform(0.1, 0.7)) if by_hand else (0.07, 0.07)
            t = np.arange(int(on * RATE_HZ)) / RATE_HZ
            row, column = rng.choice([697, 770, 852, 941]), rng.choice([1209, 1336, 1477])
            out[at : at + len(t)] = np.sin(2 * np.pi * row * t) + twist * np.sin(2 * np.pi * column * t)
            at += int((on + off) * RATE_HZ)
        at += int(rng.uniform(1, 5) * RATE_HZ)
    return out


def ringing(rng: np.random.Generator, seconds: int) -> Array:
    """A minute each of the ringing, busy and information tones of six countries that training did not make."""
    plans = (
        # frequencies summed, what modulates them, seconds on and off
        ((400.0,), 16.0, (1.0, 2.0)),  # Japan, ringing
        ((440.0,), 0.0, (1.5, 3.5)),  # France, ringing
        ((400.0,), 25.0, (0.4, 0.2, 0.4, 2.0)),  # Australia, ringing
        ((450.0,), 0.0, (0.35, 0.35)),  # China, busy
        ((425.0,), 0.0, (0.6, 1.0)),  # Brazil and Italy, ringing back
        ((950.0, 1400.0, 1800.0), -1.0, (1.0, 1.0)),  # special information, one after the other
    )
    out = np.zeros(seconds * RATE_HZ)
    for begin, (hz, modulated, cadence) in zip(range(0, len(out), 60 * RATE_HZ), plans * 10, strict=False):
        t = np.arange(min(60 * RATE_HZ, len(out) - begin)) / RATE_HZ
        phase = (t + rng.uniform(0, sum(cadence))) % sum(cadence)
        edges = np.cumsum([0.0, *cadence])
        on = sum(((phase >= a) & (phase < b)).astype(float) for a, b in list(pairwise(edges))[::2])
        if modulated < 0:
            tone = np.sin(2 * np.pi * np.array(hz)[np.minimum(phase * 3, 2).astype(int)] * t)
        else:
            tone = sum(np.sin(2 * np.pi * f * t) for f in hz) * (1 + 0.8 * np.sin(2 * np.pi * modulated * t)) / 2
        out[begin : begin + len(t)] = tone * on
    return out


def quiet_lines(data: Path) -> dict[str, list[Signal]]:
    """Lines without a word: sounds at -26 dBov over noise at -65 dBov, and white noise alone."""
    rng = generator("quiet lines")
    made = {
        "hold music": [hold_music(rng, 300) for _ in range(2)],
        "dialling": [dialling(rng, 300)],
        "ringing and busy tones": [ringing(rng, 360)],
    }
    pad = np.zeros(RATE_HZ)
    for kind, clips in sounds(data).items():
        made[kind] = [np.concatenate([pad, clip, pad]) for clip in clips]
    lines = {
        kind: [
            alaw(_steady(band(signal), LEVEL_DBOV) + _steady(band(rng.normal(size=len(signal))), -65.0))
            for signal in signals
        ]
        for kind, signals in made.items()
    }
    for level_dbov in (-30, -50):
        lines[f"white noise at {level_dbov} dBov"] = [alaw(_steady(band(rng.normal(size=300 * RATE_HZ)), level_dbov))]
    return lines


def count(lines: Sequence[Signal]) -> int:
    """Utterances that Vocal hears on lines."""
    bank, found = Bank(), 0
    ends = {bank.admit(): line for line in lines}
    for slot, line in ends.items():
        bank.end(slot, len(line) // vk.HOP_SAMPLES)
    ticks = max(len(line) for line in lines) // vk.TICK_SAMPLES + vk.SETTLE_TICKS + 1
    for tick in range(0, ticks, vk.MAX_TICKS):
        until = (tick + vk.MAX_TICKS) * vk.TICK_SAMPLES
        audio = {slot: line[tick * vk.TICK_SAMPLES : until] for slot, line in ends.items()}
        found += sum(span.kind is Kind.ENDED for span in bank.advance(vk.MAX_TICKS, audio))
    return found + sum(bank.flush(slot) is not None for slot in ends)


def utterances(score: NDArray[np.floating], boundary: vk.Boundary = BOUNDARY) -> int:
    """The same machine, step by step, over anybody's score."""
    found = above = below = start = last = 0
    speaking = False
    for step, value in enumerate(score.tolist()):
        if speaking:
            below = 0 if value >= boundary.offset_score else below + 1
            last = step + 1 if below == 0 else last
            if below >= boundary.hangover_steps or step + 1 - start >= boundary.longest_steps:
                speaking, above = False, 0
        else:
            above = above + 1 if value >= boundary.onset_score else 0
            if above >= boundary.onset_steps:
                speaking, below, found = True, 0, found + 1
                start = max(step + 1 - boundary.onset_steps - boundary.pre_roll_steps, last)
                last = step + 1
    return found


def _false_utterances(data: Path, methods: Sequence[others.Peer]) -> Iterator[Row | Skipped]:
    for kind, lines in quiet_lines(data).items():
        if not lines:
            yield Skipped(f"speech: false utterances, {kind}", f"{data / 'noise'} has none")
            continue
        hours = sum(len(line) for line in lines) / RATE_HZ / 3600
        found = {"vocal": count(lines)}
        for peer in methods:
            scores = [score for line in lines if (score := peer.hear(line)) is not None]
            found[peer.who] = sum(utterances(score) for score in scores)
        found["constant"] = sum(utterances(np.ones(len(line) // STEP_SAMPLES)) for line in lines)
        best = [found[peer.who] / hours for peer in methods]
        for who, number in found.items():
            aim = others.best(best, None, "lower") if who == "vocal" else None
            yield Row("speech", "false utterances", kind, who, number / hours, "1/h", aim, "lower")
