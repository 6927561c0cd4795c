"""What vocal_kernels.pitch does, slowly: one channel, float64, numpy's FFT, one step after the other."""

import numpy as np
from naive_speech import layers
from numpy.typing import NDArray
from vocal_kernels import mel_filters
from vocal_kernels.layout import PITCH_BANDS, PITCH_DELAY, PITCH_HIDDEN, PITCH_LAGS, RATE_HZ
from vocal_kernels.pitch import (
    DISTANCE_PRICE,
    DRIFT_DB,
    FIRST_BIN,
    FIRST_LAG,
    FLOOR,
    FOLLOW,
    LAST_BIN,
    LAST_LAG,
    NEAR,
    NEARER,
    VOICED_FROM,
)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))


def _peak(curve: NDArray[np.float64], around: float, reach: float) -> float:
    """The lag at which the curve, less the price of the distance from `around`, has its best local maximum."""
    lags = np.arange(len(curve))
    far = np.log2(around / np.maximum(lags, 1))
    worth = curve - DISTANCE_PRICE * far**2
    best, place = -9.0, around
    for lag in range(FIRST_LAG, LAST_LAG + 1):
        before, here, after = worth[lag - 1 : lag + 2]
        if abs(far[lag]) <= reach and here >= before and here >= after and here > best:
            best, place = here, lag + (after - before) / 2 / max(2 * here - before - after, 1e-6)
    return place


def naive_pitch(signal: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """F0 in Hz (0 where unvoiced) and the chance of a voice, of each whole 10 ms of a signal at 8 kHz."""
    layer = layers("pitch")
    steps = len(signal) // 80
    padded = np.concatenate([signal[: steps * 80], np.zeros(80 * (PITCH_DELAY + 2))]).astype(np.float64)
    clean = np.zeros(len(padded))
    x1 = y1 = 0.0
    for n, x in enumerate(padded):
        y1 = clean[n] = 0.9975 * (x - x1) + 0.995 * y1 + 1e-12
        x1 = x
    power_db = 10 * np.log10(np.maximum((clean.reshape(-1, 80) ** 2).mean(axis=1), 1e-10))
    around = np.concatenate([np.zeros(160), clean, np.zeros(400)])
    window = np.hanning(402)[1:-1]
    window /= np.sqrt((window**2).sum() * 512)
    taper = np.fft.irfft(np.abs(np.fft.rfft(window, 512)) ** 1.5)
    bins = slice(FIRST_BIN, LAST_BIN + 1)

    loudest, quietest = -100.0, 0.0
    memory, curves = np.zeros(PITCH_HIDDEN), []
    f0, voiced = np.zeros(steps), np.zeros(steps)
    # The kernel's first two rows lie before the channel's first sample: they move the levels and the memory as well.
    for step in range(-2, steps + PITCH_DELAY):
        start = step * 80
        piece = np.concatenate([np.zeros(max(-start, 0)), around[max(start, 0) :]])[:400]
        power = np.abs(np.fft.rfft(piece * window, 512)) ** 2
        compressed = np.zeros(257)
        compressed[bins] = power[bins] ** 0.75
        correlation = np.fft.irfft(compressed) * 512
        correlation /= max(correlation[0], 1e-9)
        curves.append(correlation[: LAST_LAG + 3] * taper[0] / np.maximum(taper[: LAST_LAG + 3], 0.12 * taper[0]))
        mel_db = 10 * np.log10(2 * (mel_filters() @ power) + 1e-10)
        level = power_db[step] if step >= 0 else 0.0
        loudest = loudest + FOLLOW * (level - loudest) if level > loudest else loudest - DRIFT_DB
        quietest = quietest + FOLLOW * (level - quietest) if level < quietest else quietest + DRIFT_DB
        low = power[FIRST_BIN : FIRST_BIN + PITCH_BANDS]
        spectrum = np.log2(low + FLOOR * (low.sum() + 1e-10)) / 4
        heard = [
            correlation[1 : PITCH_LAGS + 1],
            np.clip((mel_db - loudest) / 20, -3, 1),
            [np.clip((level - loudest) / 20, -3, 1), np.clip((level - quietest) / 20, 0, 3)],
            spectrum - spectrum.mean(),
        ]
        first = np.maximum(layer("heard", np.concatenate(heard)), 0)
        reset, kept = _sigmoid(layer("gates", np.concatenate([first, memory]))).reshape(2, -1)
        candidate = np.tanh(layer("fresh", first) + reset * layer("old", memory))
        memory = kept * memory + (1 - kept) * candidate
        chance = np.exp(layer("classes", memory))
        chance /= chance.sum()
        if step < PITCH_DELAY:
            continue
        late = step - PITCH_DELAY
        together = np.convolve(chance[:-1], np.ones(5), "same")
        best = int(together.argmax())
        near = np.arange(max(best - 2, 0), min(best + 3, len(chance) - 1))
        lag = RATE_HZ / 60 * 2 ** (-(chance[near] @ near) / together[best] / 12)
        lag = _peak(curves[-1 - PITCH_DELAY], lag, NEAR)
        periods = 2 if 2 * lag < LAST_LAG - 2 else 1
        lag = _peak(curves[-1 - PITCH_DELAY], lag * periods, NEARER) / periods
        voiced[late] = together[best]
        f0[late] = RATE_HZ / lag if together[best] > max(chance[-1], VOICED_FROM) else 0.0
    return f0, voiced
