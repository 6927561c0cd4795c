"""Streams to train speech on, harder than those of `streams`: everyday sounds as loud as a voice, rooms, silence."""

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray
from sounds import Array, everyday, in_a_room
from streams import STEP, Clip, Signal, Stream, babble, carried, coloured, music, stream
from telephone import RATE_HZ, active_power

PLAIN, WORDLESS = 0.42, 0.26
"""Shares of streams as `streams` makes them, and of those without a word; the rest has both words and sounds."""


def hard_stream(
    rng: np.random.Generator, seconds: float, voices: Sequence[Sequence[Clip]], sounds: Sequence[Signal]
) -> Stream:
    """voices: kinds of speakers, each with its clips; half of all streams take the first kind, the others share."""
    kind = 0 if rng.random() < 0.5 or len(voices) == 1 else int(rng.integers(1, len(voices)))
    clips = voices[kind]
    which = rng.random()
    if which < PLAIN:
        return stream(rng, seconds, clips, sounds)
    n = int(seconds * RATE_HZ) // STEP * STEP
    wordless = which < PLAIN + WORDLESS
    voice, speech = (np.zeros(n), np.zeros(n // STEP, np.float32)) if wordless else _talk(rng, n, clips)
    heard = voice
    for first, last in _rests(rng, speech) if wordless or rng.random() < 0.8 else []:
        length = (last - first) * STEP
        gain = 10 ** (rng.uniform(-18, 8) / 20)
        heard[first * STEP : last * STEP] += everyday(rng, length, sounds) * _edges(rng, length) * gain
    if not wordless and rng.random() < 0.3:  # beneath the voice, too
        heard = heard + everyday(rng, n, sounds) * 10 ** (rng.uniform(-30, -8) / 20)
    noise = coloured(rng, n)
    chance = rng.random()
    if chance < 0.35:
        noise = babble(rng, n, voices[0], int(rng.choice([4, 6, 8, 12, 16])))
    elif chance < 0.42:
        noise = music(rng, n)
    snr_db = rng.uniform(-2 if chance < 0.35 else 3, 20) if rng.random() < 0.5 else rng.uniform(20, 55)
    mixed = heard + noise * 10 ** (-snr_db / 20)
    return Stream(carried(rng, mixed, _gate(rng, heard)), speech, np.full(n // STEP, np.nan, np.float32), [])


def _talk(rng: np.random.Generator, n: int, clips: Sequence[Clip]) -> tuple[Array, NDArray[np.float32]]:
    """Utterances of one voice or two, active speech near 1."""
    voice, speech = np.zeros(n), np.zeros(n // STEP, np.float32)
    chosen = rng.choice(sorted({clip.speaker for clip in clips}), 2)
    mine = [clip for clip in clips if clip.speaker in chosen]
    jump_db, longest_gap = rng.choice([0.0, 3.0, 12.0]), rng.choice([1.0, 3.0, 8.0])
    at = int(rng.uniform(0.0, 4.0) * 100)
    while at < len(speech):
        clip = mine[int(rng.integers(len(mine)))]
        speed = float(rng.uniform(0.85, 1.2)) if rng.random() < 0.7 else 1.0
        x = soxr.resample(clip.samples, RATE_HZ * speed, RATE_HZ) if speed != 1.0 else clip.samples
        steps = min(len(x) // STEP, len(speech) - at)
        x = x / np.sqrt(active_power(x)) * 10 ** (rng.uniform(-1, 1) * jump_db / 20)
        voice[at * STEP : (at + steps) * STEP] = x[: steps * STEP]
        of = np.minimum(((np.arange(steps) + 0.5) * speed).astype(int), len(clip.speech) - 1)
        speech[at : at + steps] = clip.speech[of]
        at += steps + int(rng.uniform(0.1, longest_gap) * 100)
    return in_a_room(rng, voice) if rng.random() < 0.35 else voice, speech


def _rests(rng: np.random.Generator, speech: NDArray[np.float32]) -> list[tuple[int, int]]:
    """Where sounds go, as steps: in stretches of at least 0.4 s without a word, most of them."""
    busy = np.flatnonzero(speech != 0)
    edges = np.concatenate([[-1], busy, [len(speech)]])
    found = []
    for i in np.flatnonzero(np.diff(edges) > 40):
        at, last = edges[i] + 6 + int(rng.uniform(0, 100) if i else 0), edges[i + 1] - 6
        while last - at > 20:
            length = min(int(100 * np.exp(rng.uniform(np.log(0.3), np.log(12)))), last - at)
            if rng.random() < 0.85:
                found.append((at, at + length))
            at += length + int(rng.uniform(0.0, 250))
    return found


def _edges(rng: np.random.Generator, n: int) -> Array:
    ramp = max(int(rng.choice([0.002, 0.02, 0.2]) * RATE_HZ), 1)
    return np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / ramp, 0, 1)


def _gate(rng: np.random.Generator, heard: Array) -> Array | None:
    """On an eighth of lines 0 where nothing is heard: they send digital silence then."""
    if rng.random() > 0.125:
        return None
    power = np.mean(heard.reshape(-1, STEP) ** 2, axis=1) > 10 ** (rng.uniform(-5.5, -4))
    before, after = int(rng.integers(0, 8)), int(rng.integers(1, 40))
    held = np.convolve(power, np.ones(before + after + 1))[before:][: len(power)] > 0.5
    return np.repeat(held.astype(float), STEP)
