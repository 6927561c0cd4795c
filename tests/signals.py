"""Signals with known truth, for tests: voices of harmonics with syllables, lines, calls."""

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000


def voice(
    seconds: float, f0_hz: float = 120.0, syllables_per_s: float = 4.0, level_dbov: float = -26.0, seed: int = 1
) -> NDArray[np.float32]:
    """Harmonics of `f0_hz` under two formants, swelling once a syllable; mean power `level_dbov` while it sounds."""
    n = round(seconds * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    rng = np.random.default_rng(seed)
    glide = f0_hz * 2.0 ** (np.interp(t, np.linspace(0, seconds, 8), rng.normal(0, 1.2, 8)) / 12.0)
    phase = 2 * np.pi * np.cumsum(glide) / RATE_HZ
    signal = np.zeros(n)
    for k in range(1, int(3400 / f0_hz)):
        f = k * glide
        formants = 1 / (1 + ((f - 600) / 120) ** 2) + 0.5 / (1 + ((f - 1500) / 200) ** 2) + 0.02
        signal += formants * np.cos(k * phase + rng.uniform(0, 2 * np.pi))
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * syllables_per_s * t)
    signal *= 0.02 + swell**1.5
    signal *= 10 ** (level_dbov / 20) / np.sqrt(np.mean(signal**2))
    return signal.astype(np.float32)


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
