"""Signals with known truth, for tests: voices, lines, calls."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000


# First three formants of eight vowels in Hz (Peterson and Barney, JASA 24, 1952, men).
VOWELS = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (270, 2290, 3010),
    (570, 840, 2410),
    (300, 870, 2240),
    (640, 1190, 2390),
    (440, 1020, 2240),
    (390, 1990, 2550),
)


def voice(
    seconds: float, f0_hz: float = 120.0, syllables_per_s: float = 4.0, level_dbov: float = -26.0, seed: int = 1
) -> NDArray[np.float32]:
    """Syllables of a hiss, a burst or a hum and then a vowel, on a pitch that moves about `f0_hz` by a semitone or so;
    mean power `level_dbov`. Like enough to speech that a network trained on people takes it for it."""
    n = round(seconds * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    rng = np.random.default_rng(seed)
    count = max(1, round(seconds * syllables_per_s))
    edges = np.append(0.0, np.cumsum(rng.uniform(0.75, 1.25, count)))
    edges *= seconds / edges[-1]
    knots = np.linspace(0, seconds, 2 * count + 1)
    glide = f0_hz * 2.0 ** (np.interp(t, knots, rng.normal(0, 0.9, len(knots))) / 12.0)
    shaky = np.linspace(0, seconds, int(seconds * 80) + 2)
    cycles = np.cumsum(glide) / RATE_HZ + np.interp(t, shaky, rng.normal(0, 0.003, len(shaky)))
    vowels = np.array([VOWELS[i] for i in rng.integers(0, len(VOWELS), count)], float)
    # From one vowel's middle to the next the formants glide.
    held = np.repeat((edges[:-1] + edges[1:]) / 2, 2) + np.tile([-0.04, 0.04], count)
    formants = [np.interp(t, held, np.repeat(vowels[:, i], 2)) for i in range(3)]
    sound = np.zeros(n)
    for k in range(1, int(3700 / f0_hz) + 1):
        hz = k * glide
        shape = sum(
            gain / (1 + ((hz - formant) / width) ** 2)
            for formant, gain, width in zip(formants, (1.0, 0.5, 0.25), (70.0, 100.0, 140.0), strict=True)
        )
        sound += np.where(hz < 3800, shape / np.sqrt(k) * np.cos(2 * np.pi * k * cycles + rng.uniform(0, 2 * np.pi)), 0)
    swell, noise, hiss = np.zeros(n), np.zeros(n), np.diff(rng.normal(size=n + 1))
    for start_s, end_s in pairwise(edges):
        onset_s = start_s + 0.28 * (end_s - start_s)
        vowel = np.clip((t - onset_s) / 0.025, 0, 1) * np.clip((end_s - t) / 0.03, 0, 1)
        swell = np.maximum(swell, vowel * rng.uniform(0.6, 1))
        consonant = (t > start_s) & (t < onset_s)
        match rng.integers(3):
            case 0:
                rise = np.clip((t - start_s) / (onset_s - start_s), 0, 1)
                noise += 0.25 * hiss * consonant * np.sin(np.pi * rise)
            case 1:
                noise += 0.6 * hiss * consonant * (t > onset_s - 0.015)
            case _:
                swell = np.maximum(swell, 0.25 * consonant)
    sound = sound / np.sqrt((sound**2).mean()) * swell + noise * rng.uniform(0.5, 1)
    sound *= 10 ** (level_dbov / 20) / np.sqrt((sound**2).mean())
    return sound.astype(np.float32)


def line(seconds: float, level_dbov: float = -65.0, seed: int = 2) -> NDArray[np.float32]:
    """A line with nobody on it: white noise."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=round(seconds * RATE_HZ)) * 10 ** (level_dbov / 20)).astype(np.float32)


def call(
    seconds: float, agent: list[tuple[float, float]], customer: list[tuple[float, float]], seed: int = 3
) -> NDArray[np.float32]:
    """Two channels (n, 2) in which each side speaks from and to the given seconds."""
    pcm = np.stack([line(seconds, seed=seed), line(seconds, seed=seed + 1)], axis=1)
    for channel, (spans, f0_hz) in enumerate(((agent, 190.0), (customer, 110.0))):
        for number, (start_s, end_s) in enumerate(spans):
            spoken = voice(end_s - start_s, f0_hz, seed=seed + 10 * channel + number)
            first = round(start_s * RATE_HZ)
            pcm[first : first + len(spoken), channel] += spoken
    return pcm
