"""What the emotion model is shown of an utterance: how its features are spread and how they move, as numbers.

All of it is about the shape of the voice, not about the line: band levels count against the utterance's own mean level,
so gain drops out, and steps without speech are left out, so that silence tells nothing. The choice follows ComParE
(Schuller et al., Interspeech 2013): many descriptors, many statistics of each, a strongly regularised model behind.
"""

import math

import numpy as np

from ._jit import inlined, jit
from .lanes import LANES, exp2, load, store
from .layout import (
    F0_HZ,
    HNR_DB,
    HOP_S,
    JITTER,
    LN_A_DB,
    MEL,
    MEL_BANDS,
    NUCLEUS,
    POWER_DB,
    SHIMMER,
    SPEECH,
    SPEECH_FROM,
    VOICED,
    VOICING,
)
from .spectrum import mel_centres_hz

COEFFICIENTS = 16
"""Cepstral coefficients, of a cosine transform of the band levels."""

# Tracks over steps of speech: the coefficients, the band levels, then these; the last is over voiced steps.
LEVEL_TRACK = COEFFICIENTS + MEL_BANDS
VOICING_TRACK, VOICED_TRACK, NUCLEUS_TRACK = LEVEL_TRACK + 1, LEVEL_TRACK + 2, LEVEL_TRACK + 3
CENTROID, WIDTH, SLOPE, ALPHA, PEAKS, FLUX = (LEVEL_TRACK + 4 + i for i in range(6))
F0_TRACK = LEVEL_TRACK + 10
TRACKS = F0_TRACK + 1

SHAPE = 10  # mean, spread, skewness, kurtosis, 5, 25, 50, 75 and 95 %, slope over the utterance
VOICED_SHAPE = 4  # the first four again, over voiced steps alone
CHANGES = 8  # in 20 ms: mean size, spread, largest size, 5, 25, 75, 95 %, share that rises
LATER = 3  # in 80 ms: mean size, spread, largest size
PER_TRACK = SHAPE + VOICED_SHAPE + CHANGES + LATER
QUALITIES = (JITTER, SHIMMER, HNR_DB)  # their SHAPE, where measured
EXTRA = (
    7  # syllables/s, share voiced, mean length of voiced stretches, its spread, how many a second, log2 s, share said
)
FUNCTIONALS = TRACKS * PER_TRACK + len(QUALITIES) * SHAPE + EXTRA
LEAST_STEPS = 60
LOG2_SECONDS = FUNCTIONALS - 2
"""Which of them is the length of speech, as log2 of seconds."""
LEVEL_5_PCT, LEVEL_95_PCT = LEVEL_TRACK * PER_TRACK + 4, LEVEL_TRACK * PER_TRACK + 8
"""Quantiles of the level within the utterance, in dB over its mean."""

IS_POSITION = np.zeros(FUNCTIONALS, np.bool_)
"""Which functionals say where a track stands (means and quantiles), which tells of the voice and the line; the others
say how it is spread and how it moves."""
IS_POSITION[(np.arange(TRACKS)[:, None] * PER_TRACK + np.array([0, 4, 5, 6, 7, 8, SHAPE])).ravel()] = True
FLOOR_UNDER_MEAN_DB = 35.0
LOG2_A_DB = LN_A_DB / math.log(2.0)
SHORT, LONG = 2, 8
CELLS = 256
"""Quantiles are read off a histogram of so many cells between the least and the largest value."""

_BAND = np.arange(MEL_BANDS)
COSINES = np.cos(np.pi / MEL_BANDS * np.outer(np.arange(COEFFICIENTS), _BAND + 0.5)) * math.sqrt(2.0 / MEL_BANDS)
_COSINES_BY_BAND = np.ascontiguousarray(COSINES.T)
OCTAVES = np.log2(mel_centres_hz())
_AWAY = OCTAVES - OCTAVES.mean()
_AWAY_SQUARE = float((_AWAY**2).sum())
_OVER_1_KHZ, _OVER_2_KHZ = math.log2(1000.0), math.log2(2000.0)


@inlined
def _quantiles(values, n, cells, out, at, first, second, third, fourth, fifth):
    """Five quantiles of values[:n] into out[at:], the middles of their cells."""
    low, high = values[0], values[0]
    for i in range(n):
        low, high = min(low, values[i]), max(high, values[i])
    cells[:] = 0
    scale = CELLS / (high - low) if high > low else 0.0
    for i in range(n):
        cells[min(int((values[i] - low) * scale), CELLS - 1)] += 1
    wanted = (first, second, third, fourth, fifth)
    seen, cell = 0, -1
    for q in range(5):
        while seen <= wanted[q] * (n - 1) and cell < CELLS - 1:
            cell += 1
            seen += cells[cell]
        out[at + q] = low + (cell + 0.5) / scale if scale > 0.0 else low


@inlined
def _moments(values, n, out, at):
    """Mean, spread, skewness and kurtosis of values[:n] into out[at:]."""
    mean = 0.0
    for i in range(n):
        mean += values[i]
    mean /= n
    second, third, fourth = 0.0, 0.0, 0.0
    for i in range(n):
        away = values[i] - mean
        square = away * away
        second += square
        third += square * away
        fourth += square * square
    spread = math.sqrt(second / n) + 1e-9
    out[at], out[at + 1] = mean, spread
    out[at + 2], out[at + 3] = third / n / spread**3, fourth / n / spread**4


@inlined
def _shape(values, n, cells, out, at):
    if n < 5:
        return
    _moments(values, n, out, at)
    _quantiles(values, n, cells, out, at + 4, 0.05, 0.25, 0.5, 0.75, 0.95)
    rise, square = 0.0, 0.0
    for i in range(n):
        x = 2.0 * i / (n - 1) - 1.0
        rise += x * values[i]
        square += x * x
    out[at + 9] = rise / square


@inlined
def _steps_where(counts, lag, chosen):
    """Steps that count and that one `lag` before does, too, into chosen; returns how many."""
    n = 0
    for i in range(lag, len(counts)):
        chosen[n] = i
        n += counts[i] and counts[i - lag]
    return n


@inlined
def _differences(values, chosen, m, lag, picked):
    """Of a track between the chosen steps and those `lag` before, into picked."""
    for i in range(m):
        picked[i] = values[chosen[i]] - values[chosen[i] - lag]


@inlined
def _changes(picked, m, out, at):
    """Mean size, spread and largest size of picked[:m] into out[at:]; returns the share that rises."""
    size, total, square, largest, rising = 0.0, 0.0, 0.0, 0.0, 0
    for i in range(m):
        value = picked[i]
        size += abs(value)
        total += value
        square += value * value
        largest = max(largest, abs(value))
        rising += value > 0.0
    out[at] = size / m
    out[at + 1] = math.sqrt(max(square / m - (total / m) ** 2, 0.0))
    out[at + 2] = largest
    return rising / m


@inlined
def _track(values, chosen, many, picked, cells, out, at):
    """One track's PER_TRACK numbers. chosen, many: the steps that count, those of them with a voice, and those that
    count as did the one SHORT, or LONG, before; and how many each."""
    n = many[0]
    for i in range(n):
        picked[i] = values[chosen[0, i]]
    _shape(picked, n, cells, out, at)
    n = many[1]
    if n >= 5:
        for i in range(n):
            picked[i] = values[chosen[1, i]]
        _moments(picked, n, out, at + SHAPE)
    at += SHAPE + VOICED_SHAPE
    m = many[2]
    if m >= 5:
        _differences(values, chosen[2], m, SHORT, picked)
        rising = _changes(picked, m, out, at)
        _quantiles(picked, m, cells, out, at + 3, 0.05, 0.25, 0.75, 0.95, 0.95)
        out[at + 7] = rising  # in place of the fifth quantile
    m = many[3]
    if m >= 5:
        _differences(values, chosen[3], m, LONG, picked)
        _changes(picked, m, out, at + CHANGES)


@inlined
def _choose(counts, spoken, chosen, many):
    many[0] = _steps_where(counts, 0, chosen[0])
    many[1] = _steps_where(spoken, 0, chosen[1])
    many[2] = _steps_where(counts, SHORT, chosen[2])
    many[3] = _steps_where(counts, LONG, chosen[3])


@inlined
def _describe_step(row, mean_db, levels, powers, cepstrum, tracks, i):
    """All tracks but F0 at one step. row: its features; levels, powers: (2, 16), worked in, the step before's levels in
    it; cepstrum: (COEFFICIENTS,), worked in."""
    flux = 0.0
    cepstrum[:] = 0.0
    for b in range(MEL_BANDS):
        level = max(row[MEL + b] - mean_db, -FLOOR_UNDER_MEAN_DB)
        flux += abs(level - levels[b // LANES, b % LANES])
        levels[b // LANES, b % LANES] = level
        tracks[COEFFICIENTS + b, i] = level
        for c in range(COEFFICIENTS):
            cepstrum[c] += _COSINES_BY_BAND[b, c] * level
    for half in range(2):
        store(powers, half, exp2(load(levels, half) * LOG2_A_DB))
    total, weighted, squared, slope, below, above = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    low_peak, high_peak = -99.0, -99.0
    for b in range(MEL_BANDS):
        level, power = levels[b // LANES, b % LANES], powers[b // LANES, b % LANES]
        total += power
        weighted += power * OCTAVES[b]
        squared += power * OCTAVES[b] * OCTAVES[b]
        slope += level * _AWAY[b]
        if OCTAVES[b] > _OVER_1_KHZ:
            above += power
        else:
            below += power
        if OCTAVES[b] < _OVER_2_KHZ:
            low_peak = max(low_peak, level)
        else:
            high_peak = max(high_peak, level)
    for c in range(COEFFICIENTS):
        tracks[c, i] = cepstrum[c]
    tracks[LEVEL_TRACK, i] = max(row[POWER_DB] - mean_db, -FLOOR_UNDER_MEAN_DB)
    tracks[VOICING_TRACK, i] = row[VOICING]
    tracks[VOICED_TRACK, i] = row[VOICED]
    tracks[NUCLEUS_TRACK, i] = 10.0 * row[NUCLEUS]
    centroid = weighted / total
    tracks[CENTROID, i] = centroid
    tracks[WIDTH, i] = math.sqrt(max(squared / total - centroid * centroid, 0.0))
    tracks[SLOPE, i] = slope / _AWAY_SQUARE
    tracks[ALPHA, i] = 10.0 * math.log10(above / below)
    tracks[PEAKS, i] = low_peak - high_peak
    tracks[FLUX, i] = flux / MEL_BANDS if i > 0 else 0.0


@jit
def functionals(rows, out):
    """Functionals of some steps' feature rows (steps, FEATURES) into out (FUNCTIONALS,); returns the count of speech
    steps.

    With fewer than LEAST_STEPS speech steps nothing is written: there is too little to tell from.
    """
    n, total = 0, 0.0
    first, last = len(rows), 0
    for i in range(len(rows)):
        if rows[i, SPEECH] >= SPEECH_FROM:
            total += math.exp(rows[i, POWER_DB] * LN_A_DB)
            n += 1
            first, last = min(first, i), i + 1
    if n < LEAST_STEPS:
        return n
    mean_db = 10.0 * math.log10(total / n + 1e-12)
    steps = last - first
    tracks = np.empty((TRACKS, steps))
    said, voiced, spoken = np.empty(steps, np.bool_), np.empty(steps, np.bool_), np.empty(steps, np.bool_)
    picked, cells = np.empty(steps), np.empty(CELLS, np.int64)
    levels, powers, cepstrum = (
        np.zeros((2, LANES), np.float32),
        np.zeros((2, LANES), np.float32),
        np.empty(COEFFICIENTS),
    )
    chosen, many = np.empty((4, steps), np.int64), np.empty(4, np.int64)
    syllables, with_f0 = 0.0, 0
    runs, run, run_sum, run_square = 0, 0, 0.0, 0.0
    for i in range(steps):
        row = rows[first + i]
        _describe_step(row, mean_db, levels, powers, cepstrum, tracks, i)
        f0_hz = row[F0_HZ]
        said[i] = row[SPEECH] >= SPEECH_FROM
        voiced[i] = f0_hz > 0.0
        spoken[i] = said[i] and voiced[i]
        with_f0 += spoken[i]
        tracks[F0_TRACK, i] = 12.0 * math.log2(f0_hz / 100.0) if f0_hz > 0.0 else 0.0
        syllables += row[NUCLEUS]
        if voiced[i]:
            run += 1
        if run > 0 and (not voiced[i] or i == steps - 1):
            runs += 1
            run_sum += run
            run_square += run * run
            run = 0
    out[:] = 0.0
    _choose(said, spoken, chosen, many)
    for t in range(F0_TRACK):
        _track(tracks[t], chosen, many, picked, cells, out, t * PER_TRACK)
    _choose(voiced, spoken, chosen, many)
    _track(tracks[F0_TRACK], chosen, many, picked, cells, out, F0_TRACK * PER_TRACK)
    at = TRACKS * PER_TRACK
    for quality in QUALITIES:
        m = 0
        for i in range(steps):
            value = rows[first + i, quality]
            if math.isfinite(value):
                picked[m] = value
                m += 1
        _shape(picked, m, cells, out, at)
        at += SHAPE
    seconds = n * HOP_S
    out[at] = syllables / seconds
    out[at + 1] = with_f0 / n
    out[at + 2] = run_sum / max(runs, 1) * HOP_S
    out[at + 3] = math.sqrt(max(run_square / max(runs, 1) - (run_sum / max(runs, 1)) ** 2, 0.0)) * HOP_S
    out[at + 4] = runs / seconds
    out[at + 5] = math.log2(seconds)
    out[at + 6] = n / steps
    return n
