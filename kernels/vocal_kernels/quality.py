"""Voice quality of a voiced step, from its own 50 ms: jitter, shimmer and harmonics-to-noise ratio, a lane at a time.

Cycles are found by matching each with the one before (Boersma and Weenink's «cross-correlation» method; Milenkovic,
JSHR 30, 1987): the next cycle lies where the waveform looks most like this one, to a fraction of a sample.
"""

import math

import numpy as np

from ._jit import inlined
from .lanes import LANES
from .layout import AGE, F0_HZ, HNR_DB, JITTER, MOST_CYCLES, RATE_HZ, SHIMMER, WINDOW_SAMPLES

EVERY_STEPS = 4

_SEARCH = 0.06
"""A cycle may be this much longer or shorter than F0 says."""


@inlined
def _product(signal, first, second, length):
    total = np.float32(0.0)
    for i in range(length):
        total += signal[first + i] * signal[second + i]
    return total


@inlined
def cycles(signal, f0_hz, cycle):
    """Lengths (samples) and sizes (RMS) of the voice's cycles in `signal` into cycle[0] and cycle[1]; returns how many
    there are and their mean likeness to the next.

    A cycle is compared over two thirds of its length from a little before its highest point on, where the glottis has
    just closed: there the wave is its own and not the ring of the cycle before.
    """
    length = int(RATE_HZ / f0_hz + 0.5)
    reach = max(2, int(_SEARCH * length))
    part = max(8, 2 * length // 3)
    peak = 0
    for i in range(min(length, len(signal))):
        if abs(signal[i]) > abs(signal[peak]):
            peak = i
    start, count, likeness = max(0, peak - length // 8), 0, 0.0
    while count < MOST_CYCLES and start + length + reach + 1 + part <= len(signal):
        energy = _product(signal, start, start, part)
        best, place = np.float32(-1e30), length
        for lag in range(length - reach, length + reach + 1):
            value = _product(signal, start, start + lag, part)
            if value > best:
                best, place = value, lag
        before = _product(signal, start, start + place - 1, part)
        after = _product(signal, start, start + place + 1, part)
        bend = 2.0 * best - before - after
        shift = 0.5 * (after - before) / bend if bend > 0.0 else 0.0
        other = _product(signal, start + place, start + place, part)
        cycle[0, count] = place + min(0.5, max(-0.5, shift))
        cycle[1, count] = math.sqrt(energy / part)
        likeness += float(best) / math.sqrt(energy * other + 1e-20)
        count += 1
        start += place
    return count, likeness / max(count, 1)


@inlined
def spread(values, count):
    """Mean step from one value to the next over their mean: «local» jitter and shimmer. For two values and more."""
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


@inlined
def voice_quality(history, features, row, rows, window, cycle):
    """JITTER, SHIMMER and HNR_DB of the step whose feature rows begin at `row`; its window begins at history[0:].

    Each 40 ms of a channel's own time: its cost is a lane's own, and windows of 50 ms then still overlap.
    """
    for lane in range(LANES):
        f0_hz = features[row + F0_HZ, lane]
        jitter, shimmer, hnr_db = math.nan, math.nan, math.nan
        if f0_hz > 0.0 and int(rows[AGE, lane]) % EVERY_STEPS == 0:
            for n in range(WINDOW_SAMPLES):
                window[n] = history[n, lane]
            count, likeness = cycles(window, f0_hz, cycle)
            if count > 1:
                jitter, shimmer = spread(cycle[0], count), spread(cycle[1], count)
                hnr_db = harmonics_to_noise_db(likeness)
        features[row + JITTER, lane] = jitter
        features[row + SHIMMER, lane] = shimmer
        features[row + HNR_DB, lane] = hnr_db
