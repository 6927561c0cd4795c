"""Slow, obvious twins of the kernels: one channel, float64, whole signals, from the definitions.

Not for use, only for comparison. Nothing here is shared with `vocal_kernels` but the column numbers of its tables, the
K-weighting coefficients (`test_level` holds those against the standard).
The second half makes test signals: everything is seeded.
"""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import naive_speech
import numpy as np
import vocal_kernels as vk
from naive_pitch import naive_pitch
from numpy.typing import NDArray
from scipy.signal import lfilter
from signals import voice

Array = NDArray[np.float64]

RATE_HZ = 8000
STEP = 80  # samples
WINDOW = 400  # samples
FFT = 512
FLUSH_STEPS = 22  # silence that `extract` feeds after the longest signal
BEFORE = 2  # steps before the channel began that the spectral kernels are shown, all or mostly silence


# --- samples -------------------------------------------------------------------------------------------------------


def cleaned(signal: NDArray[np.floating]) -> Array:
    """What is far beyond overload counts as 0; what is lost, NaN, carries on the voice before it."""
    x = np.asarray(signal, np.float32).astype(np.float64)
    x[np.abs(x) >= 8.0] = 0.0
    lost = np.isnan(x)
    cycle = 0
    for tick in range(0, len(x), 2 * STEP) if lost.any() else ():
        if not lost[tick : tick + 2 * STEP].any():
            cycle = 0
            continue
        known = np.concatenate([np.zeros(560), x[:tick]])
        before = without_offset(known)[-560:]
        offset = known[-1] - before[-1]
        for n in range(tick, min(tick + 2 * STEP, len(x))):
            if not lost[n]:
                cycle = 0
                continue
            if cycle == 0:
                cycle = most_like(before)
            past = x[n - cycle] - offset if n - cycle >= tick else before[560 + n - cycle - tick]
            x[n] = past * math.exp(-cycle / 200) + offset
    return x


def most_like(before: Array) -> int:
    """The lag, 40-120, at which the last 160 samples have the highest correlation with those before them; else 121."""
    likeness = {121: 0.0}
    for lag in range(40, 121):
        past = before[-160 - lag : -lag]
        likeness[lag] = float(before[-160:] @ past) / math.sqrt(float(past @ past) + 1e-12)
    return max(likeness, key=lambda lag: likeness[lag])


def without_offset(x: Array) -> Array:
    return lfilter([0.9975, -0.9975], [1.0, -0.995], x)


def p56_envelope(x: Array, rate_hz: int = RATE_HZ) -> Array:
    g = math.exp(-1.0 / (rate_hz * 0.03))
    once = lfilter([1.0 - g], [1.0, -g], np.abs(x))
    return lfilter([1.0 - g], [1.0, -g], once)


def k_weighted(x: Array, rate_hz: int = RATE_HZ) -> Array:
    for b0, b1, b2, a1, a2 in vk.k_weighting(rate_hz):
        x = lfilter([b0, b1, b2], [1.0, a1, a2], x)
    return x


def p56_level_db(x: Array, rate_hz: int = RATE_HZ) -> float:
    """ITU-T P.56 (2011), method B, sample by sample, full scale 1, 16 bits, in dBov."""
    envelope = p56_envelope(x, rate_hz)
    hangover = round(0.2 * rate_hz)
    thresholds = [2.0**j for j in range(-15, 0)]
    counts = [0] * len(thresholds)
    hang = [hangover] * len(thresholds)
    for q in envelope.tolist():
        for j, threshold in enumerate(thresholds):
            if q >= threshold:
                counts[j] += 1
                hang[j] = 0
            elif hang[j] < hangover:
                counts[j] += 1
                hang[j] += 1
    return _p56_crossing(float((x**2).sum()), counts, thresholds)


def p56_level_of_steps_db(power: Array, envelope: Array, hangover: int = 21) -> float:
    """The same with one count each 10 ms: active where the envelope stood above now or up to 20 steps before."""
    thresholds = [2.0**j for j in range(-15, 0)]
    counts = [
        sum(bool((envelope[max(0, i - hangover + 1) : i + 1] >= c).any()) for i in range(len(envelope)))
        for c in thresholds
    ]
    return _p56_crossing(float(power.sum()), counts, thresholds)


def _p56_crossing(energy: float, counts: Sequence[int], thresholds: Sequence[float]) -> float:
    """Where active level A_j and threshold C_j, as lines between the thresholds in dB, are 15.9 dB apart."""
    active = [(10 * math.log10(energy / n), 20 * math.log10(c)) for n, c in zip(counts, thresholds, strict=True) if n]
    if energy <= 0.0 or not active:
        return math.nan
    levels = np.array([a for a, _ in active])
    excess = np.array([a - c - 15.9 for a, c in active])
    if (excess > 0.0).all():
        return float(levels[-1])
    j = int(np.argmax(excess <= 0.0))
    if j == 0:
        return float(levels[0])
    return float(np.interp(0.0, [excess[j], excess[j - 1]], [levels[j], levels[j - 1]]))


# --- spectrum ------------------------------------------------------------------------------------------------------


def hann() -> Array:
    """Hann without its zeros, scaled so that a spectrum's power is the window's mean square."""
    w = np.sin(np.pi * np.arange(1, WINDOW + 1) / (WINDOW + 1)) ** 2
    return w / math.sqrt((w**2).sum() * FFT)


def windows(y: Array, steps: int) -> Array:
    """The 50 ms around the middle of each step, from BEFORE steps before the first; silence outside."""
    padded = np.concatenate([np.zeros(WINDOW), y, np.zeros(WINDOW)])
    middles = [j * STEP + STEP // 2 for j in range(-BEFORE, steps)]
    return np.array([padded[WINDOW + m - WINDOW // 2 : WINDOW + m + WINDOW // 2] for m in middles])


def power_spectra(y: Array, steps: int) -> Array:
    return np.abs(np.fft.rfft(windows(y, steps) * hann(), FFT)) ** 2


def mel_edges(bands: int = 24, low_hz: float = 150.0, high_hz: float = 3700.0) -> list[float]:
    def mel(hz: float) -> float:
        return 2595.0 * math.log10(1.0 + hz / 700.0)

    return [700.0 * (10 ** (m / 2595.0) - 1.0) for m in np.linspace(mel(low_hz), mel(high_hz), bands + 2)]


def mel_filters() -> Array:
    edges = mel_edges()
    bins_hz = np.arange(FFT // 2 + 1) * RATE_HZ / FFT
    return np.array([np.interp(bins_hz, edges[b : b + 3], [0.0, 1.0, 0.0]) for b in range(len(edges) - 2)])


def mel_levels_db(power: Array) -> Array:
    """Both halves of the spectrum count."""
    return 10.0 * np.log10(2.0 * power @ mel_filters().T + 1e-10)


def autocorrelations(power: Array) -> Array:
    """Of the spectrum of 60-3470 Hz raised to 3/4, lags 0-256, as 512 times the inverse transform."""
    bins = np.arange(power.shape[-1])
    return np.fft.irfft(np.where((bins >= 4) & (bins <= 222), power**0.75, 0.0), FFT)[..., : FFT // 2 + 1] * FFT


# --- pitch ---------------------------------------------------------------------------------------------------------


def lag_window() -> Array:
    taper = np.fft.irfft(np.abs(np.fft.rfft(hann(), FFT)) ** 1.5, FFT)
    return np.maximum(taper / taper[0], 0.12)


def voicing(correlations: Array) -> Array:
    """Height of the highest peak of each step's autocorrelation, 0-1."""
    found = np.zeros(len(correlations))
    for step, r in enumerate(correlations):
        # Taper first: the lag window is known to lag 136 only.
        r = r[:137] / max(r[0], 1e-9) / lag_window()[:137]
        peaks_at = [lag for lag in range(16, 135) if r[lag - 1] <= r[lag] >= r[lag + 1] and r[lag] > 0.0]
        if peaks_at:
            lag = max(peaks_at, key=lambda lag: r[lag])
            slope = (r[lag + 1] - r[lag - 1]) / 2
            bend = max(2 * r[lag] - r[lag - 1] - r[lag + 1], 1e-6)
            found[step] = r[lag] + slope**2 / (2 * bend)
    return np.clip(found, 0.0, 1.0)


# --- speech --------------------------------------------------------------------------------------------------------


def noise_floor(power_db: Array, scores: Array) -> Array:
    """Of steps in a row: falls to a quieter step, rises slowly, more slowly still while the score says speech."""
    floors, floor = np.zeros(len(scores)), -55.0
    for step, (level, score) in enumerate(zip(power_db, scores, strict=False)):
        rise = 0.005 if score > 0.5 else 0.03
        floor = floor + 0.2 * (level - floor) if level < floor else min(level, floor + rise)
        floors[step] = floor
    return floors


DEFAULT = vk.Boundary()


class Record(NamedTuple):
    kind: int
    step: int
    start: int
    end: int


def boundaries(scores: Sequence[float], boundary: vk.Boundary = DEFAULT, first: int = 0) -> list[Record]:
    """What the boundary machine says of the scores of steps first, first + 1, ... of a channel."""
    b = boundary
    records: list[Record] = []
    speaking, start, end, seconds = False, 0, 0, 0  # end: the step after the last that was speech
    above, below, risen = 0, 0, 0
    for step, score in enumerate(scores, first):
        above = above + 1 if score >= b.onset_score and not speaking else 0
        below = below + 1 if score < b.offset_score and speaking else 0
        risen = risen + 1 if score >= b.offset_score and not speaking else 0
        if not speaking:
            if above >= b.onset_steps:
                first_above = step + 1 - max(min(risen, 50), b.onset_steps)
                start = max(first_above - b.pre_roll_steps, end)
                speaking, end, seconds = True, step + 1, 0
                records.append(Record(vk.BEGUN, step, start, end))
            continue
        if below == 0:
            end = step + 1
        length = step + 1 - start
        if below >= b.hangover_steps or length >= b.longest_steps:
            speaking, above, below = False, 0, 0
            records.append(Record(vk.ENDED, step, start, end))
        elif length >= 100 * (seconds + 1):
            seconds += 1
            records.append(Record(vk.SECOND, step, start, end))
    return records


# --- voice quality ---------------------------------------------------------------------------------------------------


def voice_quality(window: Array, f0_hz: float) -> tuple[float, float, float]:
    """Jitter, shimmer and HNR in dB of 50 ms of voice: each cycle is followed by the piece that is most like it."""
    length = int(RATE_HZ / f0_hz + 0.5)
    reach, part = max(2, int(0.06 * length)), max(8, 2 * length // 3)
    start = max(0, int(np.argmax(np.abs(window[:length]))) - length // 8)
    lengths: list[float] = []
    sizes: list[float] = []
    likenesses: list[float] = []
    while len(lengths) < 24 and start + length + reach + 1 + part <= len(window):
        here = window[start : start + part]

        def likeness(lag: int, here: Array = here, start: int = start) -> float:
            return float(here @ window[start + lag : start + lag + part])

        place = max(range(length - reach, length + reach + 1), key=likeness)
        best, before, after = likeness(place), likeness(place - 1), likeness(place + 1)
        bend = 2 * best - before - after
        shift = (after - before) / 2 / bend if bend > 0 else 0.0
        other = window[start + place : start + place + part]
        lengths.append(place + min(0.5, max(-0.5, shift)))
        sizes.append(math.sqrt(float((here**2).mean())))
        likenesses.append(best / math.sqrt(float((here**2).sum() * (other**2).sum()) + 1e-20))
        start += place
    if len(lengths) < 2:
        return math.nan, math.nan, math.nan
    jitter, shimmer = (float(np.abs(np.diff(x)).mean() / (np.mean(x) + 1e-20)) for x in (lengths, sizes))
    r = min(0.9999, max(0.0001, float(np.mean(likenesses))))
    return jitter, shimmer, 10 * math.log10(r / (1 - r))


# --- the whole front end -------------------------------------------------------------------------------------------


def features(signal: NDArray[np.floating]) -> Array:
    """(steps, FEATURES): the rows that `vocal_kernels.extract` gives for this signal."""
    steps = len(signal) // STEP
    ticks = -(-len(signal) // (2 * STEP))
    total = 2 * ticks + FLUSH_STEPS
    raw = np.zeros(total * STEP)
    raw[: len(signal)] = np.asarray(signal, np.float32)
    x = cleaned(raw)
    y = without_offset(x)

    rows = np.zeros((BEFORE + total - 2, vk.FEATURES))  # the last two windows never fill
    now = rows[BEFORE:]
    n = len(now)
    with np.errstate(divide="ignore"):
        by_step = y[: n * STEP].reshape(n, STEP)
        now[:, vk.POWER_DB] = 10.0 * np.log10(np.maximum((by_step**2).mean(axis=1), 1e-10))
    now[:, vk.ENVELOPE] = p56_envelope(y)[STEP - 1 :: STEP][:n]
    now[:, vk.K_POWER] = (k_weighted(y)[: n * STEP].reshape(n, STEP) ** 2).mean(axis=1)
    now[:, vk.LOST] = np.isnan(raw[: n * STEP].reshape(n, STEP)).mean(axis=1)
    now[:, vk.CLIPPED] = (np.abs(np.where(np.isnan(raw), x, raw)[: n * STEP].reshape(n, STEP)) > 0.975).mean(axis=1)

    power = power_spectra(y, n)
    mel_db = mel_levels_db(power)
    rows[:, vk.MEL :] = mel_db
    rows[:, vk.VOICING] = voicing(autocorrelations(power))
    f0_hz, voiced = naive_pitch(x)
    now[: len(f0_hz), vk.F0_HZ], now[: len(f0_hz), vk.VOICED] = f0_hz[:n], voiced[:n]
    scores, shares = naive_speech.speech(mel_db), naive_speech.syllables(mel_db)
    rows[: len(scores), vk.SPEECH], rows[: len(shares), vk.NUCLEUS] = scores, shares
    now[: len(scores) - BEFORE, vk.FLOOR_DB] = noise_floor(now[:, vk.POWER_DB], scores[BEFORE:])
    rows[:, [vk.JITTER, vk.SHIMMER, vk.HNR_DB]] = np.nan
    for row, window in enumerate(windows(y, n)):
        if row % 4 == 1 and rows[row, vk.F0_HZ] > 0.0:
            rows[row, [vk.JITTER, vk.SHIMMER, vk.HNR_DB]] = voice_quality(window, rows[row, vk.F0_HZ])
    return now[:steps]


# --- what is measured over feature rows ----------------------------------------------------------------------------


def measure(rows: Array) -> Array:
    """MEASURES of an utterance's feature rows."""
    out = np.full(vk.MEASURES, np.nan)
    steps = len(rows)
    speaking = rows[:, vk.SPEECH] >= np.float32(0.6)
    runs = [(said, len(list(run))) for said, run in groupby(speaking)]
    pauses = [length for i, (said, length) in enumerate(runs) if not said and (length > 20 or i in (0, len(runs) - 1))]
    out[vk.SYLLABLES] = rows[:, vk.NUCLEUS].sum()
    out[vk.SPEECH_S] = (steps - sum(pauses)) * 0.01
    if steps == 0:
        return out
    out[vk.LEVEL_DBOV] = p56_level_of_steps_db(10 ** (rows[:, vk.POWER_DB] / 10), rows[:, vk.ENVELOPE])
    whole = steps // 10 * 10
    k_power = rows[:, vk.K_POWER]
    out[vk.LOUDNESS_LUFS] = gated_loudness(
        k_power[:whole].reshape(-1, 10).mean(axis=1) if whole else k_power.mean(keepdims=True)
    )
    out[vk.SNR_DB] = out[vk.LEVEL_DBOV] - 10 * np.log10((10 ** (rows[:, vk.FLOOR_DB] / 10)).mean())
    out[vk.CLIPPED_SHARE] = rows[:, vk.CLIPPED].mean()
    out[vk.LOST_SHARE] = rows[:, vk.LOST].mean()
    if speaking.any():
        levels = rows[speaking, vk.MEL :].mean(axis=0)
        carrying = np.flatnonzero(levels >= levels.max() - 25.0)
        edges = mel_edges(rows.shape[1] - vk.MEL)
        out[vk.BANDWIDTH_HZ] = edges[carrying[-1] + 2] - edges[carrying[0]]
    voiced = rows[:, vk.F0_HZ] > 0
    out[vk.VOICED_SHARE] = voiced.mean()
    if voiced.sum() >= 3:
        f0 = rows[voiced, vk.F0_HZ]
        semitones = 12 * np.log2(f0)
        out[vk.VOICING_CONTRAST] = rows[voiced, vk.VOICING].mean()
        cycled = rows[voiced & np.isfinite(rows[:, vk.HNR_DB])]
        if len(cycled):
            out[vk.JITTER_PCT] = 100 * cycled[:, vk.JITTER].mean()
            out[vk.SHIMMER_PCT] = 100 * cycled[:, vk.SHIMMER].mean()
            out[vk.MEAN_HNR_DB] = cycled[:, vk.HNR_DB].mean()
        bands = (10 ** (rows[voiced, vk.MEL :] / 10)).mean(axis=0)
        centres_hz = np.array(mel_edges()[1:-1])
        out[vk.ALPHA_RATIO_DB] = 10 * np.log10(bands[centres_hz >= 1000].sum() / bands[centres_hz < 1000].sum())
        out[vk.SLOPE_DB_OCTAVE] = np.polyfit(np.log2(centres_hz), 10 * np.log10(bands + 1e-12), 1)[0]
        out[vk.F0_MEDIAN_HZ] = 2 ** (np.median(semitones) / 12)
        out[vk.F0_RANGE_ST] = np.subtract(*np.percentile(semitones, [95, 5]))
        out[vk.F0_SLOPE_ST_S] = np.polyfit(np.flatnonzero(voiced) * 0.01, semitones, 1)[0]
    return out


def gated_loudness(parts: Array) -> float:
    """Integrated loudness of the mean squares of 100 ms each: blocks of 400 ms, -70 LUFS, then 10 LU under the rest."""
    blocks = np.array([parts[i : i + 4].mean() for i in range(max(1, len(parts) - 3))])
    for gate_lufs in (-70.0, None):
        if gate_lufs is None:
            gate_lufs = -0.691 + 10 * math.log10(blocks.mean()) - 10.0
        blocks = blocks[blocks > 10 ** ((gate_lufs + 0.691) / 10)]
        if not len(blocks):
            return math.nan
    return float(-0.691 + 10 * math.log10(blocks.mean()))


def mid_cell(values: Array, share: float) -> float:
    """The order statistic at that share, to the middle of its cell of 256 between the least and the largest."""
    low, high = float(values.min()), float(values.max())
    if high == low:
        return low
    value = float(np.sort(values)[int(share * (len(values) - 1))])
    cell = min(int((value - low) * (256 / (high - low))), 255)
    return low + (cell + 0.5) * (high - low) / 256


def moments(values: Array) -> list[float]:
    mean, spread = values.mean(), values.std() + 1e-9
    z = (values - mean) / spread
    return [mean, spread, float((z**3).mean()), float((z**4).mean())]


def shape(values: Array) -> list[float]:
    if len(values) < 5:
        return [0.0] * 10
    x = np.linspace(-1.0, 1.0, len(values))
    quantiles = [mid_cell(values, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
    return [*moments(values), *quantiles, float(x @ values / (x @ x))]


def changes(track: Array, counts: NDArray[np.bool_], lag: int, all_of_it: bool) -> list[float]:
    differences = np.array([track[i] - track[i - lag] for i in range(lag, len(track)) if counts[i] and counts[i - lag]])
    if len(differences) < 5:
        return [0.0] * (8 if all_of_it else 3)
    sizes = np.abs(differences)
    found = [sizes.mean(), differences.std(), sizes.max()]
    if all_of_it:
        found += [mid_cell(differences, share) for share in (0.05, 0.25, 0.75, 0.95)] + [(differences > 0).mean()]
    return [float(value) for value in found]


def functionals(rows: Array) -> Array | None:
    """FUNCTIONALS of an utterance's feature rows; None with fewer than 60 steps of speech."""
    said = rows[:, vk.SPEECH] >= np.float32(0.6)
    count = int(said.sum())
    if count < 60:
        return None
    mean_db = 10 * np.log10((10 ** (rows[said, vk.POWER_DB] / 10)).mean() + 1e-12)
    first, last = np.flatnonzero(said)[[0, -1]]
    rows, said = rows[first : last + 1], said[first : last + 1]
    voiced = rows[:, vk.F0_HZ] > 0
    levels = np.maximum(rows[:, vk.MEL :] - mean_db, -35.0)
    n = levels.shape[1]
    octaves = np.log2(mel_edges(n)[1:-1])
    away, log2_khz = octaves - octaves.mean(), math.log2(1000)
    cosines = np.array(
        [[math.sqrt(2 / n) * math.cos(math.pi * c * (b + 0.5) / n) for b in range(n)] for c in range(16)]
    )
    power = 10 ** (levels / 10)
    centroid = power @ octaves / power.sum(axis=1)
    tracks = [
        *(levels @ cosines.T).T,
        *levels.T,
        np.maximum(rows[:, vk.POWER_DB] - mean_db, -35.0),
        rows[:, vk.VOICING],
        rows[:, vk.VOICED],
        10 * rows[:, vk.NUCLEUS],
        centroid,
        np.sqrt(np.maximum(power @ octaves**2 / power.sum(axis=1) - centroid**2, 0.0)),
        levels @ away / (away @ away),
        10
        * np.log10(power[:, octaves > math.log2(1000)].sum(axis=1) / power[:, octaves <= math.log2(1000)].sum(axis=1)),
        levels[:, octaves < log2_khz + 1].max(axis=1) - levels[:, octaves >= log2_khz + 1].max(axis=1),
        np.append(0.0, np.abs(np.diff(levels, axis=0)).mean(axis=1)),
        np.array([12 * math.log2(hz / 100) if hz > 0 else 0.0 for hz in rows[:, vk.F0_HZ]]),
    ]
    found: list[float] = []
    for number, track in enumerate(tracks):
        counts = voiced if number == len(tracks) - 1 else said
        spoken = track[counts & said & voiced]
        found += shape(track[counts]) + (moments(spoken) if len(spoken) >= 5 else [0.0] * 4)
        found += changes(track, counts, 2, True) + changes(track, counts, 8, False)
    for column in (vk.JITTER, vk.SHIMMER, vk.HNR_DB):
        values = rows[:, column]
        found += shape(values[np.isfinite(values)])
    seconds = count * 0.01
    runs = [len(list(run)) * 0.01 for is_voiced, run in groupby(voiced) if is_voiced]
    found += [
        rows[:, vk.NUCLEUS].sum() / seconds,
        (said & voiced).sum() / count,
        float(np.mean(runs or [0.0])),
        float(np.std(runs or [0.0])),
        len(runs) / seconds,
        math.log2(seconds),
        count / len(rows),
    ]
    return np.array(found)


def baseline(updates: Sequence[tuple[float, float]], least_spread: float) -> tuple[float, float]:
    """Centre and spread of one measure after (value, seconds of speech) updates: a weighted mean and deviation.

    What was taken in s seconds of speech ago counts exp(-s / 120) of what it did; after 5 s a value beyond 3 spreads,
    or least spreads, is taken in as that. Values that are NaN are passed over.
    """
    taken: list[tuple[float, float]] = []
    centre, spread, heard = 0.0, 0.0, 0.0
    for value, seconds in updates:
        if math.isfinite(value):
            if heard >= 5.0:
                far = 3 * max(spread, least_spread)
                value = min(max(value, centre - far), centre + far)
            taken = [(v, weight * math.exp(-seconds / 120.0)) for v, weight in taken]
            taken.append((value, seconds))
            values, weights = np.array(taken).T
            # From the first, so that equal values spread by exactly nothing.
            centre = float(values[0] + np.average(values - values[0], weights=weights))
            spread = math.sqrt(float(np.average((values - centre) ** 2, weights=weights)))
        heard += seconds
    return centre, spread


# --- G.711 ---------------------------------------------------------------------------------------------------------


def alaw(code: int) -> int:
    """ITU-T G.711 table 1a: 13 bits as 16. Segment and interval of the magnitude, bit 1 the sign (1 positive)."""
    code ^= 0b01010101
    sign = 1 if code & 0x80 else -1
    segment, interval = divmod(code & 0x7F, 16)
    magnitude = 2 * interval + 1 if segment == 0 else (2 * interval + 33) * 2 ** (segment - 1)
    return sign * magnitude * 8


def ulaw(code: int) -> int:
    """ITU-T G.711 table 2a: 14 bits as 16; all bits travel inverted."""
    code ^= 0xFF
    segment, interval = divmod(code & 0x7F, 16)
    magnitude = (2 * interval + 33) * 2**segment - 33
    return (-1 if code & 0x80 else 1) * magnitude * 4


# --- signals -------------------------------------------------------------------------------------------------------


def sine(hz: float, seconds: float, peak: float = 0.5) -> Array:
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def noise(seconds: float, level_db: float, seed: int) -> Array:
    return np.random.default_rng(seed).normal(0.0, 10 ** (level_db / 20), round(seconds * RATE_HZ))


def harmonics(f0_hz: float | Array, seconds: float, low_hz: float = 0.0, high_hz: float = 3400.0) -> Array:
    """Partials of a fundamental within a band, 6 dB down an octave with two formants, mean square 1."""
    n = round(seconds * RATE_HZ)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, n)) / RATE_HZ
    mean_hz = float(np.mean(f0_hz))
    total = np.zeros(n)
    for k in range(1, int(high_hz / mean_hz) + 1):
        hz = k * mean_hz
        if hz >= low_hz:
            formants = sum(gain / (1 + ((hz - centre) / width) ** 2) for centre, width, gain in FORMANTS)
            total += (0.05 + formants) / k**0.5 * np.cos(k * phase + k * k)
    return total / math.sqrt((total**2).mean())


FORMANTS = ((550.0, 130.0, 1.0), (1500.0, 200.0, 0.5), (2500.0, 250.0, 0.25))


def syllables(per_s: float, seconds: float, f0_hz: float = 120.0, level_db: float = -26.0) -> Array:
    """A harmonic tone whose loudness swings by 25 dB as often as syllables do, over a quiet line."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    swing = 10 ** (-25.0 / 20 * (0.5 + 0.5 * np.cos(2 * np.pi * per_s * t)))
    tone = harmonics(f0_hz, seconds, 300.0) * swing
    return tone * 10 ** (level_db / 20) + noise(seconds, -75.0, 5)


def talk(seconds: float, seed: int, level_db: float = -24.0, noise_db: float = -60.0) -> Array:
    """Phrases and pauses of a voice over noise."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    out = np.zeros(n)
    at_s, base_hz = 0.3, rng.uniform(85.0, 240.0)
    while at_s < seconds - 0.1:
        length_s = rng.uniform(0.8, 2.2)
        phrase = voice(length_s, base_hz, rng.uniform(3.0, 6.0), level_db, int(rng.integers(1 << 30)))
        first = round(at_s * RATE_HZ)
        out[first : first + len(phrase)] += phrase[: n - first]
        at_s += length_s + rng.uniform(0.25, 0.9)
    return out + rng.normal(0.0, 10 ** (noise_db / 20), n)


# --- playout ---------------------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """A packet as it arrived: its samples belong at `position`, in the sender's order it is `number`."""

    arrival_ms: float
    number: int
    position: int
    samples: NDArray[np.float32]


def playout(packets: list[Sent], ticks: int, lag_ms: float, hold_ms: float) -> NDArray[np.float32]:
    """What should be heard at ticks 0, 20, 40 ms...: sample by sample, looking at all that had come by then.

    Zeros before the beginning and where nothing was sent, NaN where a packet was lost or too late.
    """
    out = np.zeros(160 * ticks, np.float32)
    due_ms = packets[0].arrival_ms + lag_ms
    begin = next(k for k in range(ticks + 1) if 20 * k >= due_ms - 1e-6)
    origin = min(packet.position for packet in packets if packet.arrival_ms < 20 * begin)
    for k in range(begin, ticks):
        here = sorted((p for p in packets if p.arrival_ms < 20 * k), key=lambda p: p.number)
        for i in range(160):
            at = origin + 160 * (k - begin) + i
            out[160 * k + i] = _heard(here, at, hold_ms)
    return out


def _heard(here: list[Sent], at: int, hold_ms: float) -> float:
    for packet in here:
        if packet.position <= at < packet.position + len(packet.samples):
            return float(packet.samples[at - packet.position])
    before = [packet for packet in here if packet.position <= at]
    after = [packet for packet in here if packet.position > at]
    last = before[-1]
    into_gap = at - (last.position + len(last.samples))
    if not after:
        return math.nan if len(last.samples) and into_gap < 8 * hold_ms else 0.0
    missing = after[0].number - last.number - 1
    usual = len(last.samples) or len(after[0].samples)
    return math.nan if into_gap < missing * usual else 0.0
