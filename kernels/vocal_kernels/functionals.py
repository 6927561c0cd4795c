"""What the emotion model is shown of an utterance: how its features are spread, not how they run.

All of it is about the shape of the voice, not about the line: band levels count against the utterance's own mean level,
so gain drops out, and steps without speech are left out, so that silence tells nothing.
"""

import math

import numpy as np

from ._jit import jit
from .layout import F0_HZ, FEATURES, HOP_S, MEL, MEL_BANDS, NUCLEUS, POWER_DB, RING_ROWS, SPEECH, SPEECH_FROM, VOICING

COEFFICIENTS = 13
"""Cepstral coefficients, of a cosine transform of the band levels."""

TRACKS = COEFFICIENTS + 3
"""Coefficients 0-12, F0 in semitones (voiced steps), voicing, level."""

PER_TRACK = 6  # mean, spread, 10 %, 90 %, mean size of the change in 20 ms, spread of the change
EXTRA = 6  # syllables/s, share voiced, mean length of voiced stretches, its spread, how many a second, log2 seconds
FUNCTIONALS = TRACKS * PER_TRACK + EXTRA
LEAST_STEPS = 60
FLOOR_UNDER_MEAN_DB = 35.0

_BAND = np.arange(MEL_BANDS)
COSINES = np.cos(np.pi / MEL_BANDS * np.outer(np.arange(COEFFICIENTS), _BAND + 0.5)) * math.sqrt(2.0 / MEL_BANDS)
COSINES[0] /= math.sqrt(2.0)
CHANGE_STEPS = 2


@jit
def functionals(features, lane, start, end, out):
    """Functionals of steps start..end-1 of a lane into out (FUNCTIONALS,); returns the count of speech steps.

    With fewer than LEAST_STEPS speech steps nothing is written: there is too little to tell from.
    """
    steps = end - start
    tracks = np.empty((TRACKS, steps))
    has_f0 = np.zeros(steps, np.bool_)
    when = np.empty(steps, np.int64)
    n = 0
    total = 0.0
    for i in range(steps):
        row = ((start + i) % RING_ROWS) * FEATURES
        if features[row + SPEECH, lane] >= SPEECH_FROM:
            total += 10.0 ** (features[row + POWER_DB, lane] * 0.1)
            n += 1
    if n < LEAST_STEPS:
        return n
    mean_db = 10.0 * math.log10(total / n + 1e-12)
    n, syllables, voiced = 0, 0.0, 0
    bands = np.empty(MEL_BANDS)
    runs, run, run_sum, run_square = 0, 0, 0.0, 0.0
    for i in range(steps):
        row = ((start + i) % RING_ROWS) * FEATURES
        syllables += features[row + NUCLEUS, lane]
        f0 = features[row + F0_HZ, lane]
        if features[row + SPEECH, lane] >= SPEECH_FROM:
            for b in range(MEL_BANDS):
                bands[b] = max(features[row + MEL + b, lane] - mean_db, -FLOOR_UNDER_MEAN_DB)
            for c in range(COEFFICIENTS):
                value = 0.0
                for b in range(MEL_BANDS):
                    value += COSINES[c, b] * bands[b]
                tracks[c, n] = value
            has_f0[n] = f0 > 0.0
            tracks[COEFFICIENTS, n] = 12.0 * math.log2(f0 / 100.0) if f0 > 0.0 else 0.0
            tracks[COEFFICIENTS + 1, n] = features[row + VOICING, lane]
            tracks[COEFFICIENTS + 2, n] = max(features[row + POWER_DB, lane] - mean_db, -FLOOR_UNDER_MEAN_DB)
            when[n] = i
            if f0 > 0.0:
                voiced += 1
            n += 1
        if f0 > 0.0:
            run += 1
        if run > 0 and (f0 <= 0.0 or i == steps - 1):
            runs += 1
            run_sum += run
            run_square += run * run
            run = 0
    picked = np.empty(n)
    for t in range(TRACKS):
        m = 0
        changes, change_sum, change_square = 0, 0.0, 0.0
        for i in range(n):
            if t != COEFFICIENTS or has_f0[i]:
                picked[m] = tracks[t, i]
                m += 1
                j = i - CHANGE_STEPS
                if j >= 0 and when[i] - when[j] == CHANGE_STEPS and (t != COEFFICIENTS or has_f0[j]):
                    change = abs(tracks[t, i] - tracks[t, j])
                    change_sum += change
                    change_square += change * change
                    changes += 1
        base = t * PER_TRACK
        if m < 3:
            out[base : base + PER_TRACK] = 0.0
            continue
        ordered = np.sort(picked[:m])
        mean = picked[:m].mean()
        square = 0.0
        for i in range(m):
            square += (picked[i] - mean) ** 2
        out[base] = mean
        out[base + 1] = math.sqrt(square / m)
        out[base + 2] = ordered[int(0.1 * (m - 1))]
        out[base + 3] = ordered[int(0.9 * (m - 1))]
        out[base + 4] = change_sum / max(changes, 1)
        out[base + 5] = math.sqrt(max(change_square / max(changes, 1) - out[base + 4] ** 2, 0.0))
    seconds = n * HOP_S
    base = TRACKS * PER_TRACK
    out[base] = syllables / seconds
    out[base + 1] = voiced / n
    out[base + 2] = run_sum / max(runs, 1) * HOP_S
    out[base + 3] = math.sqrt(max(run_square / max(runs, 1) - (run_sum / max(runs, 1)) ** 2, 0.0)) * HOP_S
    out[base + 4] = runs / seconds
    out[base + 5] = math.log2(seconds)
    return n
