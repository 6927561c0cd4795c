"""F0 and voicing from an autocorrelation, 16 channels wide, one 10 ms step at a time.

Of all local maxima the best is taken by height, less a small price for low pitch (an octave below is always as good)
and a price for leaping away from the step before, as strong as that step was sure. No look-ahead.
"""

import numpy as np

from ._jit import inlined
from .lanes import absolute, load, log2, maximum, splat, store, where_greater
from .layout import F0_HZ, FFT_SIZE, LOG_LAG, RATE_HZ, TRUST, VOICING
from .spectrum import WINDOW

LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
FIRST_LAG = int(RATE_HZ / HIGHEST_HZ)
LAST_LAG = int(np.ceil(RATE_HZ / LOWEST_HZ))

FIRST_BIN, LAST_BIN = 4, 222
"""60 Hz to 3470 Hz: what lies outside the telephone band is noise."""

OCTAVE_PRICE = 0.02
LEAP_PRICE = 0.08
VOICED_FROM = 0.38

# What the window alone does to the autocorrelation of a steady tone (Boersma, IFA Proceedings 17, 1993, eq. 9),
# here of the spectrum raised to 3/4: divided out, a periodic sound reaches 1 at every period.
_SPECTRUM = np.abs(np.fft.fft(WINDOW.astype(np.float64), FFT_SIZE)) ** 1.5
_TAPER = np.fft.ifft(_SPECTRUM).real
CORRECTION = (_TAPER[0] / np.maximum(_TAPER[: LAST_LAG + 3], 0.12 * _TAPER[0])).astype(np.float32)
LOG_OF_LAG = np.log2(np.maximum(np.arange(LAST_LAG + 3), 1)).astype(np.float32)


@inlined
def track(correlation, features, row, rows):
    """F0_HZ and VOICING of the step whose feature rows begin at `row`; `rows` keeps the last lag and its trust."""
    whole = load(correlation, 0)
    scale = splat(1.0) / maximum(whole, 1e-9)
    last_log, trust = load(rows, LOG_LAG), load(rows, TRUST)
    best, height, place = splat(-9.0), splat(0.0), splat(float(FIRST_LAG))
    before = load(correlation, FIRST_LAG - 1) * (scale * CORRECTION[FIRST_LAG - 1])
    here = load(correlation, FIRST_LAG) * (scale * CORRECTION[FIRST_LAG])
    for lag in range(FIRST_LAG, LAST_LAG + 1):
        after = load(correlation, lag + 1) * (scale * CORRECTION[lag + 1])
        # The parabola through the three: its top, and how far from the middle it is.
        slope = (after - before) * 0.5
        bend = maximum(here + here - before - after, 1e-6)
        top = here + slope * slope / (bend + bend)
        log_lag = splat(LOG_OF_LAG[lag])
        worth = top - log_lag * OCTAVE_PRICE - absolute(log_lag - last_log) * trust * LEAP_PRICE
        worth = where_greater(before, here, -9.0, worth)
        worth = where_greater(after, here, -9.0, worth)
        place = where_greater(worth, best, slope / bend + float(lag), place)
        height = where_greater(worth, best, top, height)
        best = maximum(worth, best)
        before = here
        here = after
    height = where_greater(height, 1.0, 1.0, maximum(height, 0.0))
    voiced = where_greater(height, VOICED_FROM, 1.0, 0.0)
    store(features, row + VOICING, height)
    store(features, row + F0_HZ, voiced * float(RATE_HZ) / maximum(place, 1.0))
    store(rows, LOG_LAG, where_greater(voiced, 0.5, log2(place), last_log))
    store(rows, TRUST, where_greater(voiced, 0.5, height, trust * 0.7))
