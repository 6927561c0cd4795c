"""Voice quality of a voiced step, from its own 50 ms: jitter, shimmer and harmonics-to-noise ratio, a lane at a time.

Cycles are found by matching each with the one before (Boersma and Weenink's «cross-correlation» method; Milenkovic,
JSHR 30, 1987): the next cycle lies where the waveform looks most like this one, to a fraction of a sample.
"""

import math

import numpy as np

from ._jit import inlined
from .layout import WINDOW_SAMPLES

MOST_CYCLES = 24
_SEARCH = 0.12
"""A cycle may be this much longer or shorter than F0 says."""


@inlined
def _likeness(signal, first, second, length):
    """Normalised cross-correlation of two stretches."""
    both, one, other = 0.0, 0.0, 0.0
    for i in range(length):
        a, b = signal[first + i], signal[second + i]
        both += a * b
        one += a * a
        other += b * b
    return both / math.sqrt(one * other + 1e-20)


@inlined
def cycles(signal, f0_hz, rate_hz, periods, sizes):
    """Periods (samples) and sizes (RMS) of the cycles of `signal`, and their mean likeness to the next; returns
    (count, likeness). `periods` and `sizes` hold MOST_CYCLES."""
    length = int(rate_hz / f0_hz + 0.5)
    reach = max(2, int(_SEARCH * length))
    start, count, likeness = 0, 0, 0.0
    while count < MOST_CYCLES and start + 2 * length + reach + 1 < len(signal):
        best, place = -2.0, length
        for lag in range(length - reach, length + reach + 1):
            value = _likeness(signal, start, start + lag, length)
            if value > best:
                best, place = value, lag
        before = _likeness(signal, start, start + place - 1, length)
        after = _likeness(signal, start, start + place + 1, length)
        bend = 2.0 * best - before - after
        shift = 0.5 * (after - before) / bend if bend > 1e-9 else 0.0
        size = 0.0
        for i in range(length):
            size += signal[start + i] ** 2
        periods[count] = place + min(0.5, max(-0.5, shift))
        sizes[count] = math.sqrt(size / length)
        likeness += best
        count += 1
        start += place
    return count, likeness / max(count, 1)


@inlined
def spread(values, count):
    """Mean step from one value to the next over their mean: «local» jitter and shimmer."""
    if count < 2:
        return 0.0
    steps, total = 0.0, values[0]
    for i in range(1, count):
        steps += abs(values[i] - values[i - 1])
        total += values[i]
    return (steps / (count - 1)) / (total / count + 1e-20)


@inlined
def harmonics_to_noise_db(likeness):
    """HNR of a likeness r between neighbouring cycles: 10 log10(r / (1 - r)) (Boersma 1993, eq. 4), held in +-40 dB."""
    held = min(0.9999, max(0.0001, likeness))
    return 10.0 * math.log10(held / (1.0 - held))


def new_scratch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Room for one lane's window, its periods and its sizes."""
    return np.zeros(WINDOW_SAMPLES, np.float32), np.zeros(MOST_CYCLES), np.zeros(MOST_CYCLES)
