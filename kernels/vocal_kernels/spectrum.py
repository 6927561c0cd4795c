"""Two 50 ms windows at once into power spectra, autocorrelations and mel bands, 16 channels wide.

Two real windows travel as the real and the imaginary part of one complex transform; their spectra come apart by
symmetry. The same transform, fed with two power spectra, gives their two autocorrelations.
"""

import numpy as np
from numpy.typing import NDArray

from ._jit import inlined
from .lanes import load, log2, splat, sqrt, store
from .layout import BINS, FFT_SIZE, MEL_BANDS, RATE_HZ, WINDOW_SAMPLES

_STAGES = FFT_SIZE.bit_length() - 1
REVERSED: NDArray[np.int64] = np.array([int(f"{i:0{_STAGES}b}"[::-1], 2) for i in range(FFT_SIZE)], np.int64)
_TURN = np.exp(-2j * np.pi * np.arange(FFT_SIZE) / FFT_SIZE)
_COS = _TURN.real.astype(np.float32)
_SIN = _TURN.imag.astype(np.float32)

WINDOW = np.hanning(WINDOW_SAMPLES + 2)[1:-1].astype(np.float32)
WINDOW /= np.float32(np.sqrt(np.sum(WINDOW.astype(np.float64) ** 2) * FFT_SIZE))
"""Hann, scaled so that the power spectrum (both halves) sums to the window's mean square."""


def mel_edges_hz(bands: int = MEL_BANDS, low_hz: float = 150.0, high_hz: float = 3700.0) -> NDArray[np.float64]:
    """Foot, peak and other foot of band i of `mel_filters` are entries i, i + 1 and i + 2, (bands + 2,)."""
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (low_hz, high_hz))
    edges: NDArray[np.float64] = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    return edges


def mel_centres_hz(bands: int = MEL_BANDS, low_hz: float = 150.0, high_hz: float = 3700.0) -> NDArray[np.float64]:
    """Where each band of `mel_filters` has its peak, (bands,)."""
    return mel_edges_hz(bands, low_hz, high_hz)[1:-1]


def mel_filters(bands: int = MEL_BANDS, low_hz: float = 150.0, high_hz: float = 3700.0) -> NDArray[np.float32]:
    """Triangles of equal width on the mel scale (2595 log10(1 + f / 700), O'Shaughnessy), (bands, 257).

    Each band's peak is 1, as with `librosa.filters.mel(htk=True, norm=None)`.
    """
    edges = mel_edges_hz(bands, low_hz, high_hz)
    frequency = np.arange(BINS) * RATE_HZ / FFT_SIZE
    up = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    filters: NDArray[np.float32] = np.maximum(0.0, np.minimum(up, down)).astype(np.float32)
    return filters


_FILTERS = mel_filters()
MEL_FIRST = np.array([int(np.flatnonzero(row)[0]) for row in _FILTERS], np.int64)
MEL_LAST = np.array([int(np.flatnonzero(row)[-1]) for row in _FILTERS], np.int64)
MEL_WEIGHTS = np.ascontiguousarray(_FILTERS)

_DB_PER_LOG2 = np.float32(10.0 * np.log10(2.0))
TINY = np.float32(1e-10)


@inlined
def _pair(rows, n, a, b):
    """What the first pass of `transform` makes of values n and n + 256, side by side in bit-reversed order."""
    store(rows, REVERSED[n], a + b)
    store(rows, REVERSED[n] + 1, a - b)


@inlined
def transform(real, imag):
    """Complex transform of 512 rows in bit-reversed order, in place, from the second pass on: four double passes. The
    first is done where the rows are filled, with `_pair`: they are twice as large as the nearest cache."""
    m = 2
    while m < FFT_SIZE:
        for j in range(m):
            first = j * (FFT_SIZE // (2 * m))
            second = j * (FFT_SIZE // (4 * m))
            ur, ui = splat(_COS[first]), splat(_SIN[first])
            vr, vi = splat(_COS[second]), splat(_SIN[second])
            for i in range(j, FFT_SIZE, 4 * m):
                ar, ai = load(real, i), load(imag, i)
                br, bi = load(real, i + m), load(imag, i + m)
                cr, ci = load(real, i + 2 * m), load(imag, i + 2 * m)
                dr, di = load(real, i + 3 * m), load(imag, i + 3 * m)
                xr, xi = ur * br - ui * bi, ur * bi + ui * br
                yr, yi = ur * dr - ui * di, ur * di + ui * dr
                br, bi, ar, ai = ar - xr, ai - xi, ar + xr, ai + xi
                dr, di, cr, ci = cr - yr, ci - yi, cr + yr, ci + yi
                xr, xi = vr * cr - vi * ci, vr * ci + vi * cr
                yr, yi = vr * dr - vi * di, vr * di + vi * dr
                store(real, i, ar + xr)
                store(imag, i, ai + xi)
                store(real, i + 2 * m, ar - xr)
                store(imag, i + 2 * m, ai - xi)
                store(real, i + m, br + yi)
                store(imag, i + m, bi - yr)
                store(real, i + 3 * m, br - yi)
                store(imag, i + 3 * m, bi + yr)
        m *= 4


@inlined
def two_spectra(history, first, hop, real, imag, power):
    """Power spectra of the windows that begin at history[first:] and `hop` later, into power[:257] and power[257:]."""
    half = FFT_SIZE // 2
    for n in range(half):
        taper = splat(WINDOW[n])
        a, b = load(history, first + n) * taper, load(history, first + n + hop) * taper
        c, d = splat(0.0), splat(0.0)
        if n + half < WINDOW_SAMPLES:
            taper = splat(WINDOW[n + half])
            c, d = load(history, first + n + half) * taper, load(history, first + n + half + hop) * taper
        _pair(real, n, a, c)
        _pair(imag, n, b, d)
    transform(real, imag)
    for k in range(BINS):
        mirror = (FFT_SIZE - k) % FFT_SIZE
        zr, zi = load(real, k), load(imag, k)
        yr, yi = load(real, mirror), load(imag, mirror)
        ar, ai = zr + yr, zi - yi
        br, bi = zi + yi, yr - zr
        store(power, k, (ar * ar + ai * ai) * 0.25)
        store(power, BINS + k, (br * br + bi * bi) * 0.25)


@inlined
def _three_quarters(power):
    root = sqrt(power)
    return root * sqrt(root)


@inlined
def two_autocorrelations(power, first_bin, last_bin, real, imag):
    """Autocorrelations of two power spectra raised to 3/4, lags 0-256, into `real` and `imag`.

    The root (generalised autocorrelation, Indefrey, Hess and Seeser, ICASSP 1985) flattens formants, so that a
    fundamental that the telephone took away is found from its harmonics; 1/2 flattens more but drowns in noise.
    Bins outside first_bin..last_bin count as zero.
    """
    half = FFT_SIZE // 2
    for k in range(half // 2 + 1):
        a, b = splat(0.0), splat(0.0)
        if first_bin <= k <= last_bin:
            a, b = _three_quarters(load(power, k)), _three_quarters(load(power, BINS + k))
        # Bin k + 256 of a real signal is bin 256 - k.
        c, d = splat(0.0), splat(0.0)
        if first_bin <= half - k <= last_bin:
            c, d = _three_quarters(load(power, half - k)), _three_quarters(load(power, BINS + half - k))
        _pair(real, k, a, c)
        _pair(imag, k, b, d)
        if 0 < k < half // 2:
            _pair(real, half - k, c, a)
            _pair(imag, half - k, d, b)
    transform(real, imag)


@inlined
def mel_levels(power, offset, features, row):
    """Level of each mel band in dBov, from power[offset:], into features[row:]."""
    for band in range(MEL_BANDS):
        total = splat(0.0)
        for k in range(MEL_FIRST[band], MEL_LAST[band] + 1):
            total = total + load(power, offset + k) * splat(MEL_WEIGHTS[band, k])
        store(features, row + band, log2(total * 2.0 + TINY) * _DB_PER_LOG2)
