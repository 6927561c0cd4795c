"""Spectra, autocorrelations and mel bands against NumPy's transform, librosa's filters, and known powers."""

import librosa
import naive
import numpy as np
import pytest
import vocal_kernels as vk
from vocal_kernels import spectrum
from vocal_kernels.layout import BINS, FFT_SIZE, HISTORY_SAMPLES, HOP_SAMPLES, WINDOW_SAMPLES

LANES = vk.LANES


@pytest.fixture(scope="module")
def history() -> np.ndarray:
    """Sixteen kinds of sound of very different levels."""
    rng = np.random.default_rng(10)
    n = np.arange(HISTORY_SAMPLES)[:, None]
    tones = np.sin(2 * np.pi * rng.uniform(50, 3900, LANES) * n / 8000) + rng.normal(0, 0.1, (HISTORY_SAMPLES, LANES))
    return (tones * 10.0 ** rng.uniform(-4, 0, LANES)).astype(np.float32)


@pytest.fixture(scope="module")
def power(history: np.ndarray) -> np.ndarray:
    real, imag = np.empty((2, FFT_SIZE, LANES), np.float32)
    out = np.empty((2 * BINS, LANES), np.float32)
    spectrum.two_spectra(history, 0, HOP_SAMPLES, real, imag, out)
    return out


def test_mel_filters_are_librosas() -> None:
    wanted = librosa.filters.mel(sr=8000, n_fft=512, n_mels=24, fmin=150, fmax=3700, htk=True, norm=None)
    np.testing.assert_allclose(vk.mel_filters(), wanted, atol=1e-5)
    np.testing.assert_allclose(naive.mel_filters(), wanted, atol=1e-5)


def test_filters_are_kept_from_first_to_last_weight() -> None:
    for band, weights in enumerate(vk.mel_filters()):
        kept = np.arange(BINS)
        kept = (kept >= spectrum.MEL_FIRST[band]) & (kept <= spectrum.MEL_LAST[band])
        assert (weights[~kept] == 0.0).all()
        assert (weights[kept] > 0.0).all()


def test_window_keeps_power() -> None:
    np.testing.assert_allclose(spectrum.WINDOW, naive.hann(), rtol=1e-5)
    # Parseval: both halves of a spectrum sum to the mean square, here of white noise over many windows.
    x = np.random.default_rng(11).normal(0, 0.1, (2000, WINDOW_SAMPLES))
    both_halves = np.abs(np.fft.fft(x * spectrum.WINDOW, FFT_SIZE)) ** 2
    assert both_halves.sum(axis=1).mean() == pytest.approx(0.01, rel=0.01)


def test_transform() -> None:
    rng = np.random.default_rng(12)
    z = rng.normal(size=(FFT_SIZE, LANES)) + 1j * rng.normal(size=(FFT_SIZE, LANES))
    real = z.real.astype(np.float32)[spectrum.REVERSED].copy()
    imag = z.imag.astype(np.float32)[spectrum.REVERSED].copy()
    for part in (real, imag):  # the first pass, which is left to who fills the rows
        part[::2], part[1::2] = part[::2] + part[1::2], part[::2] - part[1::2]
    spectrum.transform(real, imag)
    # Nine stages of float32: the error is a few roundings of the largest bins, which are about 50.
    np.testing.assert_allclose(real + 1j * imag, np.fft.fft(z, axis=0), atol=1e-4)


def test_two_spectra(history: np.ndarray, power: np.ndarray) -> None:
    for first, found in ((0, power[:BINS]), (HOP_SAMPLES, power[BINS:])):
        cut = history[first : first + WINDOW_SAMPLES].astype(np.float64) * naive.hann()[:, None]
        wanted = np.abs(np.fft.rfft(cut, FFT_SIZE, axis=0)) ** 2
        # Relative to the lane's loudest bin: one spectrum's roundings fall into the other, which is as loud.
        np.testing.assert_allclose(found / wanted.max(0), wanted / wanted.max(0), rtol=1e-3, atol=1e-9)


def test_two_autocorrelations(power: np.ndarray) -> None:
    real, imag = np.empty((2, FFT_SIZE, LANES), np.float32)
    spectrum.two_autocorrelations(power, 4, 222, real, imag)
    for found, given in ((real, power[:BINS]), (imag, power[BINS:])):
        wanted = naive.autocorrelations(given.T.astype(np.float64)).T
        np.testing.assert_allclose(found[:BINS] / wanted[0], wanted / wanted[0], atol=2e-6)


def test_mel_levels(power: np.ndarray) -> None:
    features = np.zeros((60, LANES), np.float32)
    spectrum.mel_levels(power, BINS, features, 7)
    wanted = naive.mel_levels_db(power[BINS:].T.astype(np.float64)).T
    np.testing.assert_allclose(features[7 : 7 + vk.MEL_BANDS], wanted, atol=1e-4)
    assert (features[:7] == 0).all()
    assert (features[7 + vk.MEL_BANDS :] == 0).all()


@pytest.mark.parametrize("band", [2, 9, 16, 22])
def test_a_tone_stands_in_its_band_at_its_level(band: int) -> None:
    weights = vk.mel_filters()[band]
    hz = float(np.argmax(weights)) * 8000 / FFT_SIZE
    rows = vk.extract([naive.sine(hz, 0.5, 0.1)])[0][10:40]
    levels = rows[:, vk.MEL :].mean(axis=0)
    assert int(np.argmax(levels)) == band
    # A tone's line is as wide as the window's main lobe, so in a narrow band some of it lies beyond.
    assert -5.0 < levels[band] + 23.01 < 0.1


def test_silence_has_the_least_level() -> None:
    rows = vk.extract([np.zeros(1600)])[0]
    np.testing.assert_allclose(rows[:, vk.MEL :], -100.0, atol=1e-4)
    np.testing.assert_allclose(rows[:, vk.POWER_DB], -100.0, atol=1e-4)
