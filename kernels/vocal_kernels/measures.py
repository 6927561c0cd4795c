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
    FRESH_ROWS,
    HNR_DB,
    HOP_S,
    HOPS,
    JITTER,
    K_POWER,
    LN_A_DB,
    LOST,
    MEL,
    MEL_BANDS,
    NUCLEUS,
    PITCH_DELAY,
    POWER_DB,
    RING_ROWS,
    SHIMMER,
    SPECTRAL_DELAY,
    SPEECH,
    SPEECH_DELAY,
    SPEECH_FROM,
    TEMPO_DELAY,
    VOICING,
)
from .level import active_level_db
from .loudness import gated_loudness
from .spectrum import mel_centres_hz, mel_edges_hz

# Columns of `measure`
SYLLABLES = 0  # not rounded: rates are of this
SPEECH_S = 1  # from the first step of speech to the last, without pauses over 200 ms
LEVEL_DBOV = 2
LOUDNESS_LUFS = 3
F0_MEDIAN_HZ = 4
F0_RANGE_ST = 5
F0_SLOPE_ST_S = 6
VOICED_SHARE = 7
SNR_DB = 8
CLIPPED_SHARE = 9
VOICING_CONTRAST = 10  # mean VOICING of voiced steps
JITTER_PCT = 11
SHIMMER_PCT = 12
MEAN_HNR_DB = 13
ALPHA_RATIO_DB = 14  # level above 1 kHz less level below, of voiced steps
SLOPE_DB_OCTAVE = 15  # of a straight line through their band levels
LOST_SHARE = 16
BANDWIDTH_HZ = 17  # from the lowest to the highest band that carries speech
MEASURES = 18

# Columns of `momentary`
NOW_SPEECH = 0  # mean speech score of the last 200 ms that are known
NOW_LEVEL_DBOV = 1  # mean square of the last 400 ms
NOW_F0_HZ = 2  # of the voiced steps in the last 200 ms that are known; NaN where there are none
NOW_SYLLABLES = 3  # of the last 10 s that are known, not rounded
NOW_SPEECH_S = 4  # seconds of speech among them
MOMENTARY = 5

PAUSE_STEPS = round(0.2 / HOP_S)
PART_STEPS = round(0.1 / HOP_S)

# A band carries speech if its mean level, in dB, stands no further under the strongest band's.
BAND_RANGE_DB = 25.0
_EDGES_HZ = mel_edges_hz()

MEL_OCTAVES = np.log2(mel_centres_hz())
MEAN_OCTAVES = float(MEL_OCTAVES.mean())
ALPHA_SPLIT_OCTAVES = math.log2(1000.0)


@jit
def _percentile(ordered, share):
    """Linear interpolation between ranks, as numpy.percentile."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@jit
def measure(rows, out):
    """Measures of some steps' feature rows into out (MEASURES,), NaN where there is nothing to measure.

    rows: (steps, FEATURES). Level is P.56 method B; loudness is integrated with both gates of BS.1770; F0 range is
    5-95 % in semitones, slope a straight line through it by least squares; SNR is the level over the noise floor under
    it; bandwidth that of the bands whose mean level over speech stands within 25 dB of the strongest band's.
    """
    steps = len(rows)
    power = np.empty(steps)
    envelope = np.empty(steps)
    f0 = np.empty(steps)
    at = np.empty(steps)
    out[:] = np.nan
    syllables, voiced, clipped, pause, paused = 0.0, 0, 0.0, 0, 0
    voicing, floor, lost = 0.0, 0.0, 0.0
    parts = np.zeros(steps // PART_STEPS + 1)
    quality = np.zeros(3)
    cycled, said = 0, 0
    bands, carried = np.zeros(MEL_BANDS), np.zeros(MEL_BANDS)
    for i in range(steps):
        power[i] = math.exp(rows[i, POWER_DB] * LN_A_DB)
        envelope[i] = rows[i, ENVELOPE]
        clipped += rows[i, CLIPPED]
        lost += rows[i, LOST]
        floor += math.exp(rows[i, FLOOR_DB] * LN_A_DB)
        syllables += rows[i, NUCLEUS]
        parts[min(i // PART_STEPS, len(parts) - 1)] += rows[i, K_POWER] / PART_STEPS
        if rows[i, F0_HZ] > 0.0:
            f0[voiced] = 12.0 * math.log2(rows[i, F0_HZ])
            at[voiced] = i * HOP_S
            voicing += rows[i, VOICING]
            voiced += 1
            for band in range(MEL_BANDS):
                bands[band] += math.exp(rows[i, MEL + band] * LN_A_DB)
            if math.isfinite(rows[i, HNR_DB]):
                quality[0] += rows[i, JITTER]
                quality[1] += rows[i, SHIMMER]
                quality[2] += rows[i, HNR_DB]
                cycled += 1
        if rows[i, SPEECH] >= SPEECH_FROM:
            said += 1
            for band in range(MEL_BANDS):
                carried[band] += rows[i, MEL + band]
            if pause > PAUSE_STEPS or said == 1:
                paused += pause
            pause = 0
        else:
            pause += 1
    paused += pause
    out[SYLLABLES] = syllables
    out[SPEECH_S] = (steps - paused) * HOP_S
    if steps == 0:
        return
    out[LEVEL_DBOV] = active_level_db(power, envelope)
    # The last part is not whole: it counts only when there is no other.
    whole = steps // PART_STEPS
    if whole == 0:
        parts[0] *= PART_STEPS / steps
    out[LOUDNESS_LUFS] = gated_loudness(parts[: max(1, whole)])
    out[VOICED_SHARE] = voiced / steps
    out[SNR_DB] = out[LEVEL_DBOV] - 10.0 * math.log10(floor / steps)
    out[CLIPPED_SHARE] = clipped / steps
    out[LOST_SHARE] = lost / steps
    if said > 0:
        least = carried.max() - BAND_RANGE_DB * said
        lowest, highest = 0, MEL_BANDS - 1
        while carried[lowest] < least:
            lowest += 1
        while carried[highest] < least:
            highest -= 1
        out[BANDWIDTH_HZ] = _EDGES_HZ[highest + 2] - _EDGES_HZ[lowest]
    if voiced < 3:
        return
    out[VOICING_CONTRAST] = voicing / voiced
    if cycled > 0:
        out[JITTER_PCT] = 100.0 * quality[0] / cycled
        out[SHIMMER_PCT] = 100.0 * quality[1] / cycled
        out[MEAN_HNR_DB] = quality[2] / cycled
    below, above, rise, spread = 0.0, 0.0, 0.0, 0.0
    for band in range(MEL_BANDS):
        if MEL_OCTAVES[band] < ALPHA_SPLIT_OCTAVES:
            below += bands[band]
        else:
            above += bands[band]
        away = MEL_OCTAVES[band] - MEAN_OCTAVES
        rise += away * 10.0 * math.log10(bands[band] / voiced + 1e-12)
        spread += away * away
    out[ALPHA_RATIO_DB] = 10.0 * math.log10((above + 1e-12) / (below + 1e-12))
    out[SLOPE_DB_OCTAVE] = rise / spread
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
def tempo_window(ring, start, end):
    """Syllables (not rounded) and steps of speech among steps start..end-1, with pauses up to 200 ms.

    ring: a channel's final rows, (RING_ROWS, FEATURES), by step.
    """
    syllables, steps, pause = 0.0, 0, end - start
    for i in range(start, end):
        row = i % RING_ROWS
        if ring[row, SPEECH] >= SPEECH_FROM:
            steps += 1 + (pause if pause <= PAUSE_STEPS else 0)
            pause = 0
        else:
            pause += 1
        syllables += ring[row, NUCLEUS]
    return syllables, steps


@jit
def momentary(features, ring, lane, now, steps, out):
    """What a lane sounds like at step `now`, `steps` after its channel began, into out (MOMENTARY,).

    features: of the block; ring: the channel's final rows.
    """
    power, speech, f0, voiced = 0.0, 0.0, 0.0, 0
    recent = min(40, steps)
    for i in range(now - recent, now):
        power += math.exp(LN_A_DB * features[(i % FRESH_ROWS) * FEATURES + POWER_DB, lane])
    out[NOW_LEVEL_DBOV] = 10.0 * math.log10(power / recent) if power > 0.0 else math.nan
    known = min(20, steps - SPEECH_DELAY)
    end = now - SPEECH_DELAY
    for i in range(end - known, end):
        speech += features[(i % FRESH_ROWS) * FEATURES + SPEECH, lane]
    out[NOW_SPEECH] = speech / known if known > 0 else 0.0
    known = min(20, steps - SPECTRAL_DELAY - PITCH_DELAY - HOPS)
    end = now - SPECTRAL_DELAY - PITCH_DELAY - HOPS
    for i in range(end - known, end):
        hz = features[(i % FRESH_ROWS) * FEATURES + F0_HZ, lane]
        if hz > 0.0:
            f0 += math.log(hz)
            voiced += 1
    out[NOW_F0_HZ] = math.exp(f0 / voiced) if voiced > 3 else math.nan
    known = max(0, min(1000, steps - TEMPO_DELAY))
    end = now - TEMPO_DELAY
    syllables, spoken = tempo_window(ring, end - known, end)
    out[NOW_SYLLABLES] = syllables
    out[NOW_SPEECH_S] = spoken * HOP_S
