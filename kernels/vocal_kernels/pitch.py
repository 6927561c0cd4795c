"""F0 and voicing, 16 channels wide, one 10 ms step at a time.

A small trained network hears each step's spectrum, its autocorrelation and its level, remembers what went before, and
says three steps later which semitone the voice was on, or that there was none: enough to bridge a fundamental that the
telephone took away, and a noise. The nearest peak of that step's autocorrelation then gives the frequency itself.
"""

import numpy as np

from ._jit import inlined
from .lanes import absolute, exp2, load, log2, maximum, minimum, splat, store, where_greater
from .layout import (
    BINS,
    F0_HZ,
    FEATURES,
    FFT_SIZE,
    FRESH_ROWS,
    LAG_ROWS,
    LOUDEST,
    MEL,
    MEL_BANDS,
    PITCH_BANDS,
    PITCH_CLASSES,
    PITCH_DELAY,
    PITCH_FIRST,
    PITCH_HEARD,
    PITCH_HIDDEN,
    PITCH_INPUTS,
    PITCH_LAGS,
    PITCH_LAYERS,
    PITCH_MEMORY,
    PITCH_SCRATCH,
    PITCH_WEIGHTS,
    POWER_DB,
    QUIETEST,
    RATE_HZ,
    VOICED,
    VOICING,
)
from .network import LOG2_E, blocked_size, dense, gated, rectify
from .spectrum import TINY, WINDOW

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
FIRST_LAG = int(RATE_HZ / HIGHEST_HZ)
LAST_LAG = int(np.ceil(RATE_HZ / LOWEST_HZ))

FIRST_BIN, LAST_BIN = 4, 222
"""60 Hz to 3470 Hz: what lies outside the telephone band is noise."""

# The class k < UNVOICED is the semitone around 60 Hz * 2^(k / 12); a pitch is as likely as it and its two neighbours on
# either side together.
UNVOICED = PITCH_CLASSES - 1
REACH = 2

# The autocorrelation's peak is looked for this far from the network's pitch (octaves), at a price per squared octave:
# what the network knows to some 30 cents holds where noise has flattened the peak. Then again this near to twice that
# lag, where the same error of a peak's place is half the error of the pitch.
NEAR, NEARER = 0.12, 0.04
DISTANCE_PRICE = 10.0

# A lane's loudest level sinks by 3 dB/s until something is louder, its quietest rises by as much.
FOLLOW, DRIFT_DB = 0.25, 0.03
NO_LEVEL_DB = -100.0

# Where noise alone, white over the telephone's band, is taken for a voice in under 2 % of steps; at 0.5 in 4 %.
VOICED_FROM = 0.6

# What lies 30 dB below the mean of the spectrum is as good as nothing.
FLOOR = 0.001 / PITCH_BANDS

# What the window alone does to the autocorrelation of a steady tone (Boersma, IFA Proceedings 17, 1993, eq. 9),
# here of the spectrum raised to 3/4: divided out, a periodic sound reaches 1 at every period.
_SPECTRUM = np.abs(np.fft.fft(WINDOW.astype(np.float64), FFT_SIZE)) ** 1.5
_TAPER = np.fft.ifft(_SPECTRUM).real
CORRECTION = (_TAPER[0] / np.maximum(_TAPER[: LAST_LAG + 3], 0.12 * _TAPER[0])).astype(np.float32)
LOG_OF_LAG = np.log2(np.maximum(np.arange(LAST_LAG + 3), 1)).astype(np.float32)
_LOG_LONGEST = np.float32(np.log2(RATE_HZ / LOWEST_HZ))

_MEMORY_WEIGHTS = PITCH_WEIGHTS + blocked_size(*PITCH_LAYERS["heard"])
_CLASSES_WEIGHTS = _MEMORY_WEIGHTS + sum(blocked_size(*PITCH_LAYERS[name]) for name in ("gates", "fresh", "old"))


@inlined
def inputs(correlation, power, offset, features, row, rows, net, at):
    """What the network hears of a step into net[at:]: PITCH_LAGS lags over lag 0; band levels and level against the
    loudest, level against the quietest, in 20 dB; and PITCH_BANDS bins of the spectrum against their mean, in 12 dB."""
    scale = splat(1.0) / maximum(load(correlation, 0), 1e-9)
    for lag in range(1, PITCH_LAGS + 1):
        store(net, at + lag - 1, load(correlation, lag) * scale)
    at += PITCH_LAGS
    level = load(features, row + POWER_DB)
    loudest = load(rows, LOUDEST) + NO_LEVEL_DB
    quietest = load(rows, QUIETEST)
    loudest = where_greater(level, loudest, loudest + (level - loudest) * FOLLOW, loudest - DRIFT_DB)
    quietest = where_greater(quietest, level, quietest + (level - quietest) * FOLLOW, quietest + DRIFT_DB)
    store(rows, LOUDEST, loudest - NO_LEVEL_DB)
    store(rows, QUIETEST, quietest)
    for band in range(MEL_BANDS):
        store(net, at + band, maximum(minimum((load(features, row + MEL + band) - loudest) * 0.05, 1.0), -3.0))
    store(net, at + MEL_BANDS, maximum(minimum((level - loudest) * 0.05, 1.0), -3.0))
    store(net, at + MEL_BANDS + 1, minimum(maximum((level - quietest) * 0.05, 0.0), 3.0))
    at += MEL_BANDS + 2
    total = splat(TINY)
    for k in range(PITCH_BANDS):
        total = total + load(power, offset + FIRST_BIN + k)
    floor = total * FLOOR
    total = splat(0.0)
    for k in range(PITCH_BANDS):
        value = log2(load(power, offset + FIRST_BIN + k) + floor) * 0.25
        store(net, at + k, value)
        total = total + value
    mean = total * (1.0 / PITCH_BANDS)
    for k in range(PITCH_BANDS):
        store(net, at + k, load(net, at + k) - mean)


@inlined
def height(correlation, lags, slot):
    """The highest peak of an autocorrelation, 0-1; what is needed of it is kept in lags[slot:] for `refined`."""
    scale = splat(1.0) / maximum(load(correlation, 0), 1e-9)
    best, slope, bend = splat(0.0), splat(0.0), splat(1.0)
    before = load(correlation, FIRST_LAG - 1) * (scale * CORRECTION[FIRST_LAG - 1])
    here = load(correlation, FIRST_LAG) * (scale * CORRECTION[FIRST_LAG])
    store(lags, slot, before)
    store(lags, slot + 1, here)
    for lag in range(FIRST_LAG, LAST_LAG + 1):
        after = load(correlation, lag + 1) * (scale * CORRECTION[lag + 1])
        store(lags, slot + lag - FIRST_LAG + 2, after)
        peak = where_greater(before, here, 0.0, where_greater(after, here, 0.0, here))
        slope = where_greater(peak, best, after - before, slope)
        bend = where_greater(peak, best, here + here - before - after, bend)
        best = maximum(peak, best)
        before = here
        here = after
    # The top of the parabola through the three.
    best = best + slope * slope / (maximum(bend, 1e-6) * 8.0)
    return where_greater(best, 1.0, 1.0, best)


@inlined
def _worth(lags, slot, lag, log_lag):
    far = log_lag - LOG_OF_LAG[lag]
    return load(lags, slot + lag - FIRST_LAG + 1) - far * far * DISTANCE_PRICE


@inlined
def refined(lags, slot, log_lag, reach):
    """The lag near 2^log_lag at which the autocorrelation that `height` kept, less the price of the distance, peaks."""
    best, place, slope, bend = splat(-9.0), exp2(log_lag), splat(0.0), splat(1.0)
    before, here = _worth(lags, slot, FIRST_LAG - 1, log_lag), _worth(lags, slot, FIRST_LAG, log_lag)
    for lag in range(FIRST_LAG, LAST_LAG + 1):
        after = _worth(lags, slot, lag + 1, log_lag)
        peak = where_greater(before, here, -9.0, where_greater(after, here, -9.0, here))
        peak = where_greater(absolute(log_lag - LOG_OF_LAG[lag]), reach, -9.0, peak)
        place = where_greater(peak, best, float(lag), place)
        slope = where_greater(peak, best, after - before, slope)
        bend = where_greater(peak, best, here + here - before - after, bend)
        best = maximum(peak, best)
        before = here
        here = after
    # The top of the parabola through the three.
    return place + slope / (maximum(bend, 1e-6) * 2.0)


@inlined
def answer(net):
    """What the network says: how likely the best pitch is, how likely no voice is, and the log2 of the pitch's lag."""
    highest = load(net, PITCH_SCRATCH)
    for k in range(1, PITCH_CLASSES):
        highest = maximum(load(net, PITCH_SCRATCH + k), highest)
    total = splat(0.0)
    for k in range(PITCH_CLASSES):
        chance = exp2((load(net, PITCH_SCRATCH + k) - highest) * LOG2_E)
        store(net, PITCH_SCRATCH + k, chance)
        total = total + chance
    best, place = splat(1e-30), splat(0.0)
    for k in range(UNVOICED):
        chance, weighed = splat(0.0), splat(0.0)
        for j in range(max(k - REACH, 0), min(k + REACH + 1, UNVOICED)):
            here = load(net, PITCH_SCRATCH + j)
            chance = chance + here
            weighed = weighed + here * float(j)
        place = where_greater(chance, best, weighed, place)
        best = maximum(chance, best)
    one = splat(1.0) / total
    return best * one, load(net, PITCH_SCRATCH + UNVOICED) * one, splat(_LOG_LONGEST) - place / (best * 12.0)


@inlined
def track(correlation, hop, now, state):
    """VOICING of step `now`; F0_HZ and VOICED of the step PITCH_DELAY before, until then 0."""
    features, net, weights, taken = state.features, state.net, state.weights, state.taken
    row = ((now + FRESH_ROWS) % FRESH_ROWS) * FEATURES
    late = ((now - PITCH_DELAY + FRESH_ROWS) % FRESH_ROWS) * FEATURES
    slots = PITCH_DELAY + 1
    store(features, row + VOICING, height(correlation, state.lags, ((now + slots) % slots) * LAG_ROWS))
    store(features, row + F0_HZ, splat(0.0))
    store(features, row + VOICED, splat(0.0))
    heard = hop * PITCH_INPUTS
    inputs(correlation, state.power, hop * BINS, features, row, state.rows, net, heard)
    dense(net, heard, PITCH_INPUTS, weights, PITCH_WEIGHTS, net, PITCH_HEARD, PITCH_FIRST, taken)
    rectify(net, PITCH_HEARD, PITCH_FIRST)
    kept, at, memory = state.memory, PITCH_MEMORY, _MEMORY_WEIGHTS
    gated(net, PITCH_HEARD, PITCH_FIRST, PITCH_HIDDEN, weights, memory, PITCH_SCRATCH, kept, at, taken)
    dense(kept, PITCH_MEMORY, PITCH_HIDDEN, weights, _CLASSES_WEIGHTS, net, PITCH_SCRATCH, PITCH_CLASSES, taken)
    voiced, unvoiced, log_lag = answer(net)
    slot = ((now - PITCH_DELAY + slots) % slots) * LAG_ROWS
    lag = refined(state.lags, slot, log_lag, NEAR)
    periods = where_greater(float(LAST_LAG - 2), lag + lag, 2.0, 1.0)
    lag = refined(state.lags, slot, log2(lag * periods), NEARER) / periods
    store(features, late + VOICED, voiced)
    sure = maximum(unvoiced, VOICED_FROM)
    store(features, late + F0_HZ, where_greater(voiced, sure, splat(float(RATE_HZ)) / maximum(lag, 1.0), 0.0))
