"""Syllable nuclei: peaks of the vowel bands' level with a dip on either side (Mermelstein, JASA 58, 1975; de Jong and
Wempe, Behavior Research Methods 41, 2009), found as the sound goes by, 16 channels at a time."""

import numpy as np

from ._jit import inlined
from .lanes import LANES, exp2, load, log2, splat, store
from .layout import (
    F0_HZ,
    FEATURES,
    HIGHEST,
    LOWEST,
    MEL,
    NUCLEUS,
    PEAK_STEP,
    RAW_SONORITY,
    RING_ROWS,
    RISING,
    SONORITY,
    SONORITY_TAPS,
    SPEECH,
    VOICING,
)

FIRST_BAND, LAST_BAND = 1, 12
"""About 220 to 1700 Hz: where vowels are strong and the telephone passes them."""

# A Gaussian of 15 ms: the 50 ms window has smoothed already.
_TAPS = np.exp(-0.5 * ((np.arange(SONORITY_TAPS) - SONORITY_TAPS // 2) / 1.5) ** 2)
SMOOTHING = (_TAPS / _TAPS.sum()).astype(np.float32)
DB_PER_DOUBLING = 6.0206  # of an amplitude
DELAY_STEPS = SONORITY_TAPS // 2
NEWER_ROWS = 10  # of the ring, that stand after the step looked at or will within this call
DIP_DB = 0.5
SPEECH_FROM = 0.4
VOICING_FROM = 0.38  # noise that swells as syllables do may have an F0, but no such peak


@inlined
def sonority(features, row, delayed_row, rows):
    """Summed amplitude of the vowel bands at `row` in dB, smoothed, into SONORITY three steps before, `delayed_row`."""
    total = splat(0.0)
    for band in range(FIRST_BAND, LAST_BAND + 1):
        total = total + exp2(load(features, row + MEL + band) * (1.0 / DB_PER_DOUBLING))
    newest = log2(total) * DB_PER_DOUBLING
    smooth = newest * SMOOTHING[SONORITY_TAPS - 1]
    for tap in range(SONORITY_TAPS - 1):
        value = load(rows, RAW_SONORITY + tap + 1)
        store(rows, RAW_SONORITY + tap, value)
        smooth = smooth + value * SMOOTHING[tap]
    store(rows, RAW_SONORITY + SONORITY_TAPS - 1, newest)
    store(features, delayed_row + SONORITY, smooth)


@inlined
def nuclei(features, step, counts, extremes):
    """Follow SONORITY of `step`; a peak is marked at its own row once the level has dipped by DIP_DB after it."""
    row = (step % RING_ROWS) * FEATURES
    for lane in range(LANES):
        level = features[row + SONORITY, lane]
        if counts[RISING, lane]:
            if level > extremes[HIGHEST, lane]:
                extremes[HIGHEST, lane] = level
                counts[PEAK_STEP, lane] = step
            elif level < extremes[HIGHEST, lane] - DIP_DB:
                peak = (counts[PEAK_STEP, lane] % RING_ROWS) * FEATURES
                is_kept = step - counts[PEAK_STEP, lane] < RING_ROWS - NEWER_ROWS
                is_voiced = features[peak + F0_HZ, lane] > 0.0 and features[peak + VOICING, lane] > VOICING_FROM
                if is_kept and is_voiced and features[peak + SPEECH, lane] > SPEECH_FROM:
                    features[peak + NUCLEUS, lane] = 1.0
                counts[RISING, lane] = 0
                extremes[LOWEST, lane] = level
        elif level < extremes[LOWEST, lane]:
            extremes[LOWEST, lane] = level
        elif level > extremes[LOWEST, lane] + DIP_DB:
            counts[RISING, lane] = 1
            extremes[HIGHEST, lane] = level
            counts[PEAK_STEP, lane] = step
