"""F0 on a telephone line: how many frames are wrong.

EMO-DB against Praat AC 75-500 Hz on the clean recording at 16 kHz, and fda_ue against its laryngograph, each 10 ms.
FFE: voicing errors and gross errors over all frames, which nobody wins by leaving hard frames out. GPE20: over 20 %
wrong, of the frames that both call voiced. Cents: median over those that are not gross. Miss and false voiced: of the
voiced and of the unvoiced frames. Each method has one constant offset in time, fitted on the clean line. "constant":
voiced always, at the median of the corpus.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import vocal_kernels as vk

from . import peers as others
from .corpora import (
    HELD_OUT,
    STEPS_PER_S,
    Array,
    Condition,
    Signal,
    Tracked,
    babble,
    emodb,
    generator,
    laryngograph,
    narrow,
    telephone,
)
from .results import Skipped
from .rows import FLOORS, Row
from .targets import target

CONDITIONS = (
    Condition("clean", "none", 0.0),
    Condition("white 10 dB", "white", 10.0),
    Condition("white 5 dB", "white", 5.0),
    Condition("babble 10 dB", "babble", 10.0),
    Condition("babble 5 dB", "babble", 5.0),
)
OFFSETS_S = np.arange(-6, 7) * 0.005
THIRD, PAIR = "EMO-DB, every third file", "EMO-DB, two speakers held out"
SLOW = {"librosa pYIN": ("fda_ue", ["clean", "white 10 dB", "babble 10 dB"])}
"""pYIN takes two minutes of CPU time for a quarter of an hour: only there."""


class Wrong(NamedTuple):
    """In % but for cents."""

    ffe: float
    gpe20: float
    cents: float
    miss: float
    false_voiced: float


NAMES = ("FFE", "GPE20", "cents", "miss", "false voiced")


def compare(reference: Array, found: Array) -> Wrong:
    """Both (frames,) in Hz, 0 where unvoiced."""
    voiced, called = reference > 0, found > 0
    both = voiced & called
    ratio = found[both] / reference[both]
    gross = np.abs(ratio - 1) > 0.2
    return Wrong(
        100 * float((voiced != called).sum() + gross.sum()) / len(reference),
        100 * float(gross.mean()) if len(gross) else float("nan"),
        float(np.median(np.abs(1200 * np.log2(ratio[~gross])))) if (~gross).any() else float("nan"),
        100 * float((voiced & ~called).sum() / max(1, voiced.sum())),
        100 * float((called & ~voiced).sum() / max(1, (~voiced).sum())),
    )


def ours(lines: Sequence[Signal]) -> list[Array]:
    return [rows[:, vk.F0_HZ].astype(np.float64) for rows in vk.extract(lines)]


def references(data: Path) -> list[Tracked]:
    """EMO-DB: every third file and all of the two held-out speakers, F0 each 5 ms. Nothing without Praat."""
    found = []
    for i, u in enumerate(emodb(data)):
        if i % 3 and u.speaker not in HELD_OUT:
            continue
        times_s = np.arange(len(u.wide) * 200 // u.rate_hz) / 200
        f0_hz = others.praat_f0(u.wide, u.rate_hz, 0.005, times_s)
        if f0_hz is None:
            return []
        found.append(Tracked(u.name, u.wide, u.rate_hz, times_s, f0_hz))
    return found


def at_steps(tracked: Tracked, steps: int, offset_s: float) -> Array:
    """The reference nearest to the middle of each step; NaN beyond its ends."""
    at_s = (np.arange(steps) + 0.5) / STEPS_PER_S + offset_s
    every_s = tracked.times_s[1] - tracked.times_s[0]
    nearest = np.round(at_s / every_s).astype(int)
    inside = (nearest >= 0) & (nearest < len(tracked.f0_hz))
    return np.where(inside, tracked.f0_hz[np.clip(nearest, 0, len(tracked.f0_hz) - 1)], np.nan)


def judge(tracked: Sequence[Tracked], found: Sequence[Array], offset_s: float) -> Wrong:
    wanted = np.concatenate([at_steps(t, len(f), offset_s) for t, f in zip(tracked, found, strict=True)])
    there = np.isfinite(wanted)
    return compare(wanted[there], np.concatenate(found)[there])


def rows(data: Path, peers: bool) -> Iterator[Row | Skipped]:
    methods, missing = others.installed(others.F0 if peers else (), "pitch")
    yield from missing
    corpora = {"fda_ue": laryngograph(data)}
    if emotional := references(data):
        corpora = {"EMO-DB": emotional} | corpora
    else:
        yield others.not_installed("pitch: EMO-DB, whose reference is Praat's", others.PRAAT.install)
    for corpus, tracked in corpora.items():
        subsets = {corpus: list(range(len(tracked)))}
        if corpus == "EMO-DB":
            third = {u.name for u in emodb(data)[::3]}
            subsets = {
                THIRD: [i for i, t in enumerate(tracked) if t.name in third],
                PAIR: [i for i, t in enumerate(tracked) if t.name.startswith(HELD_OUT)],
            }
        clean = [narrow(t.wide, t.rate_hz) for t in tracked]
        usual_hz = float(np.median(np.concatenate([t.f0_hz[t.f0_hz > 0] for t in tracked])))
        offsets: dict[str, float] = {}
        for condition in CONDITIONS:
            lines = [
                telephone(x, condition, babble(data), generator(f"{t.name} {condition.name}"))
                for t, x in zip(tracked, clean, strict=True)
            ]
            answers = {"vocal": ours(lines)}
            answers["constant"] = [np.full(len(found), usual_hz) for found in answers["vocal"]]
            for peer in methods:
                where, when = SLOW.get(peer.who, (corpus, [condition.name]))
                if corpus == where and condition.name in when:
                    answers[peer.who] = [answer for line in lines if (answer := peer.hear(line)) is not None]
            for who, found in answers.items():
                if who not in offsets:
                    errors = [judge(tracked, found, offset_s).ffe for offset_s in OFFSETS_S]
                    offsets[who] = float(OFFSETS_S[np.argmin(errors)])
            for subset, chosen in subsets.items():
                judged = {
                    who: judge([tracked[i] for i in chosen], [found[i] for i in chosen], offsets[who])
                    for who, found in answers.items()
                }
                yield from _rows(f"{subset}, {condition.name}", judged)


def _rows(condition: str, judged: dict[str, Wrong]) -> Iterator[Row | Skipped]:
    for who, wrong in judged.items():
        for i, (name, value) in enumerate(zip(NAMES, wrong, strict=True)):
            peers = [other[i] for peer, other in judged.items() if peer not in ("vocal", *FLOORS)]
            aim = others.best(peers, target("pitch", name, condition) if name == "FFE" else None, "lower")
            unit = "cents" if name == "cents" else "%"
            if math.isnan(value):
                yield Skipped(f"pitch: {name}, {condition}, {who}", "no step that both call voiced and nearly alike")
                continue
            yield Row("pitch", name, condition, who, value, unit, aim if who == "vocal" else None, "lower")
