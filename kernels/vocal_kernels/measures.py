"""An utterance in numbers: what is measured over the feature rows from its first step to its last."""

import math

import numpy as np

from ._jit import jit
from .layout import (
    CLIPPED,
    ENVELOPE,
    F0_HZ,
    FEATURES,
    FLOOR_DB,
    HOP_S,
    K_POWER,
    NUCLEUS,
    POWER_DB,
    RING_ROWS,
    SPEECH,
    VOICING,
)
from .level import active_level_db

# Columns of `measure`
SYLLABLES = 0
SPEECH_S = 1  # without pauses over 200 ms
LEVEL_DBOV = 2
LOUDNESS_LUFS = 3
F0_MEDIAN_HZ = 4
F0_RANGE_ST = 5
F0_SLOPE_ST_S = 6
VOICED_SHARE = 7
SNR_DB = 8
CLIPPED_SHARE = 9
VOICING_CONTRAST = 10  # mean VOICING of voiced steps
MEASURES = 11

PAUSE_STEPS = round(0.2 / HOP_S)
SPEECH_FROM = 0.35
LUFS_OFFSET = -0.691


@jit
def _percentile(ordered, share):
    """Linear interpolation between ranks, as numpy.percentile."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@jit
def measure(features, lane, start, end, out):
    """Measures of steps start..end-1 of a lane into out (MEASURES,), NaN where there is nothing to measure.

    features: the ring of a block, (RING_ROWS * FEATURES, 16). Level is P.56 method B; loudness is the mean K-weighted
    power above the absolute gate, -0.691 + 10 log10 (BS.1770, eq. 2); F0 range is 5-95 % in semitones, slope a straight
    line through it by least squares; SNR is the level over the noise floor under it.
    """
    steps = end - start
    power = np.empty(steps)
    envelope = np.empty(steps)
    f0 = np.empty(steps)
    at = np.empty(steps)
    out[:] = np.nan
    syllables, voiced, clipped, pause, paused = 0, 0, 0.0, 0, 0
    weighted, weighed, voicing, floor = 0.0, 0, 0.0, 0.0
    for i in range(steps):
        row = ((start + i) % RING_ROWS) * FEATURES
        power[i] = 10.0 ** (features[row + POWER_DB, lane] * 0.1)
        envelope[i] = features[row + ENVELOPE, lane]
        clipped += features[row + CLIPPED, lane]
        floor += 10.0 ** (features[row + FLOOR_DB, lane] * 0.1)
        if features[row + NUCLEUS, lane] > 0.0:
            syllables += 1
        if features[row + K_POWER, lane] > 1.1724653e-7:  # -70 LUFS, the absolute gate
            weighted += features[row + K_POWER, lane]
            weighed += 1
        if features[row + F0_HZ, lane] > 0.0:
            f0[voiced] = 12.0 * math.log2(features[row + F0_HZ, lane])
            at[voiced] = i * HOP_S
            voicing += features[row + VOICING, lane]
            voiced += 1
        if features[row + SPEECH, lane] >= SPEECH_FROM:
            if pause > PAUSE_STEPS:
                paused += pause
            pause = 0
        else:
            pause += 1
    if pause > PAUSE_STEPS:
        paused += pause
    out[SYLLABLES] = syllables
    out[SPEECH_S] = (steps - paused) * HOP_S
    if steps == 0:
        return
    out[LEVEL_DBOV] = active_level_db(power, envelope)
    if weighed > 0:
        out[LOUDNESS_LUFS] = LUFS_OFFSET + 10.0 * math.log10(weighted / weighed)
    out[VOICED_SHARE] = voiced / steps
    out[SNR_DB] = out[LEVEL_DBOV] - 10.0 * math.log10(floor / steps)
    out[CLIPPED_SHARE] = clipped / steps
    if voiced < 3:
        return
    out[VOICING_CONTRAST] = voicing / voiced
    mean_f0, mean_at = f0[:voiced].mean(), at[:voiced].mean()
    rise, spread = 0.0, 0.0
    for i in range(voiced):
        rise += (f0[i] - mean_f0) * (at[i] - mean_at)
        spread += (at[i] - mean_at) ** 2
    if spread > 0.0:
        out[F0_SLOPE_ST_S] = rise / spread
    ordered = np.sort(f0[:voiced])
    out[F0_MEDIAN_HZ] = 2.0 ** (_percentile(ordered, 0.5) / 12.0)
    out[F0_RANGE_ST] = _percentile(ordered, 0.95) - _percentile(ordered, 0.05)


@jit
def tempo_window(features, lane, start, end):
    """Syllable nuclei and speech steps among steps start..end-1 of a lane."""
    syllables, steps = 0, 0
    for i in range(start, end):
        row = (i % RING_ROWS) * FEATURES
        if features[row + SPEECH, lane] >= SPEECH_FROM:
            steps += 1
        if features[row + NUCLEUS, lane] > 0.0:
            syllables += 1
    return syllables, steps
