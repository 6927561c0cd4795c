"""What is read off the samples themselves: level, P.56 envelope, K-weighted power, clipping, in one pass."""

import cmath
import math

import numpy as np

from ._jit import inlined, jit
from .lanes import absolute, load, log2, maximum, splat, store, where_greater
from .layout import (
    CLIPPED,
    DC_IN,
    DC_OUT,
    ENVELOPE,
    ENVELOPE_1,
    ENVELOPE_2,
    FEATURES,
    FRESH_ROWS,
    HIGH_1,
    HIGH_2,
    HOP_S,
    HOP_SAMPLES,
    K_POWER,
    POWER_DB,
    RATE_HZ,
    SHELF_1,
    SHELF_2,
)
from .spectrum import TINY

# High-pass against offset and hum, -3 dB at 6 Hz: it must leave the level of speech alone.
_DC_POLE = np.float32(0.995)
_DC_GAIN = np.float32(0.9975)  # so that what is far above passes as it is

# A sample this close to overload was cut off: the highest codes of A-law and mu-law stand at 0.984 and 0.980.
CLIP_AT = 0.975

# ITU-T P.56 (2011) 7.1: time constant of 30 ms, twice; hangover of 200 ms; margin of 15.9 dB.
_SMOOTHING = np.float32(math.exp(-1.0 / (RATE_HZ * 0.03)))
HANGOVER_STEPS = round(0.2 / HOP_S)
MARGIN_DB = 15.9


# The standard's shelf at other rates: fitted to its response at 48 kHz from 20 Hz to 0.49 of the rate, by least squares
# in dB. The largest error is 0.02 dB at 8 kHz and 0.002 dB at 16 kHz; the bilinear transform alone is off by 0.5, 0.15.
_FITTED_SHELVES = {
    8000: (1.31213844139, -0.92608493732, 0.29667533151, -0.46784895618, 0.15053571028),
    16000: (1.44039860531, -1.85031490601, 0.68537686235, -1.11748945892, 0.39294881156),
}


def k_weighting(rate_hz: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The two filters of ITU-R BS.1770 as (b0, b1, b2, a1, a2), for 8000, 16000 or 48000 Hz.

    The standard gives coefficients at 48 kHz only (annex 1, tables 1 and 2). Elsewhere the shelf is fitted to it, and
    the high-pass is the bilinear transform of its prototype (38.135 Hz, Q 0.50033), scaled to the same gain at 1 kHz.
    """
    standard = (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
    if rate_hz not in (48000, *_FITTED_SHELVES):
        raise ValueError(f"rate_hz: wanted 8000, 16000 or 48000, got {rate_hz}")
    if rate_hz == 48000:
        return standard, (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621)
    k = math.tan(math.pi * 38.13547087602444 / rate_hz)
    q = 0.5003270373238773
    a0 = 1.0 + k / q + k * k
    a1, a2 = 2.0 * (k * k - 1.0) / a0, (1.0 - k / q + k * k) / a0
    gain = _gain_at(1000.0, 48000, -1.99004745483398, 0.99007225036621) / _gain_at(1000.0, rate_hz, a1, a2)
    return _FITTED_SHELVES[rate_hz], (gain, -2.0 * gain, gain, a1, a2)


def _gain_at(frequency_hz: float, rate_hz: int, a1: float, a2: float) -> float:
    """Of the high-pass (1 - z^-1)^2 / (1 + a1 z^-1 + a2 z^-2)."""
    turn = cmath.exp(-2j * math.pi * frequency_hz / rate_hz)
    return abs((1.0 - turn) ** 2 / (1.0 + a1 * turn + a2 * turn**2))


_SHELF, _HIGH = (tuple(np.float32(c) for c in stage) for stage in k_weighting(RATE_HZ))
_S0, _S1, _S2, _SA1, _SA2 = _SHELF
_H0, _H1, _H2, _HA1, _HA2 = _HIGH
_DB_PER_LOG2 = np.float32(10.0 * np.log10(2.0))
_EACH = np.float32(1.0 / HOP_SAMPLES)


@inlined
def read_samples(pcm, first, step, history, at, rows, features):
    """One 10 ms step of `pcm` (rows first..first+79): its level features, and the cleaned samples into history[at:].

    A sample far beyond overload counts as 0: one bad peer must not poison the lane for good.
    """
    base = (step % FRESH_ROWS) * FEATURES
    x1, y1 = load(rows, DC_IN), load(rows, DC_OUT)
    s1, s2 = load(rows, SHELF_1), load(rows, SHELF_2)
    h1, h2 = load(rows, HIGH_1), load(rows, HIGH_2)
    e1, e2 = load(rows, ENVELOPE_1), load(rows, ENVELOPE_2)
    energy, weighted, clipped = splat(0.0), splat(0.0), splat(0.0)
    for n in range(HOP_SAMPLES):
        x = load(pcm, first + n)
        size = absolute(x)
        x = where_greater(8.0, size, x, 0.0)
        clipped = clipped + where_greater(size, CLIP_AT, 1.0, 0.0)
        y = (x - x1) * _DC_GAIN + y1 * _DC_POLE + 1e-12
        x1, y1 = x, y
        store(history, at + n, y)
        energy = energy + y * y
        e1 = absolute(y) * (1.0 - _SMOOTHING) + e1 * _SMOOTHING
        e2 = e1 * (1.0 - _SMOOTHING) + e2 * _SMOOTHING
        z = y * _S0 + s1
        s1 = y * _S1 - z * _SA1 + s2
        s2 = y * _S2 - z * _SA2
        k = z * _H0 + h1
        h1 = z * _H1 - k * _HA1 + h2
        h2 = z * _H2 - k * _HA2
        weighted = weighted + k * k
    store(rows, DC_IN, x1)
    store(rows, DC_OUT, y1)
    store(rows, SHELF_1, s1)
    store(rows, SHELF_2, s2)
    store(rows, HIGH_1, h1)
    store(rows, HIGH_2, h2)
    store(rows, ENVELOPE_1, e1)
    store(rows, ENVELOPE_2, e2)
    store(features, base + POWER_DB, log2(maximum(energy * _EACH, TINY)) * _DB_PER_LOG2)
    store(features, base + ENVELOPE, e2)
    store(features, base + K_POWER, weighted * _EACH)
    store(features, base + CLIPPED, clipped * _EACH)


@jit
def active_level_db(power, envelope):
    """Active speech level of a stretch, ITU-T P.56 (2011) method B, in dBov.

    power: mean square of each 10 ms step, linear; envelope: the P.56 envelope at each step's end (two one-pole filters
    of 30 ms over the rectified signal). The standard counts activity at every sample; counting each 10 ms of an
    envelope that moves in 30 ms keeps the result within 0.1 dB. NaN where nothing is active.
    """
    steps = len(power)
    total = 0.0
    for i in range(steps):
        total += power[i]
    if steps == 0 or total <= 0.0:
        return np.nan
    # Thresholds 2^-15 ... 2^-1: at each, the share of time the envelope was above it no more than 200 ms ago.
    last_level, last_distance = 0.0, 0.0
    for j in range(1, 16):
        threshold = 2.0 ** (j - 16)
        active = 0
        since = HANGOVER_STEPS + 1
        for i in range(steps):
            since = 0 if envelope[i] >= threshold else since + 1
            if since <= HANGOVER_STEPS:
                active += 1
        if active == 0:
            if j == 1:
                return np.nan
            return last_level
        level = 10.0 * math.log10(total / active)
        distance = level - 20.0 * math.log10(threshold) - MARGIN_DB
        if distance <= 0.0:
            if j == 1:
                return level
            share = last_distance / (last_distance - distance)
            return last_level + share * (level - last_level)
        last_level, last_distance = level, distance
    return last_level
