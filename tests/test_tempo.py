"""Syllable nuclei: known rhythms, and the twin on any run of levels."""

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from numba import njit
from vocal_kernels.layout import COUNTS, EXTREMES, HIGHEST, RISING
from vocal_kernels.tempo import nuclei


@njit
def run_nuclei(levels, features, counts, extremes):
    for step in range(len(levels)):
        features[(step % vk.RING_ROWS) * vk.FEATURES + vk.SONORITY] = levels[step]
        nuclei(features, step, counts, extremes)


@pytest.mark.parametrize("rate", [2.0, 3.0, 4.0, 5.0, 6.0])
@pytest.mark.parametrize("f0_hz", [100.0, 210.0])
def test_syllables_are_counted(rate: float, f0_hz: float) -> None:
    rows = vk.extract([naive.syllables(rate, 6.0, f0_hz)])[0]
    # From the trough at 1 s to the one at 5 s.
    assert rows[100:500, vk.NUCLEUS].sum() == pytest.approx(4 * rate, abs=0)


def test_nuclei_stand_at_the_peaks() -> None:
    rows = vk.extract([naive.syllables(4.0, 5.0)])[0]
    places = np.flatnonzero(rows[:, vk.NUCLEUS])
    # The loudest moments are at 0.125 s and each 0.25 s after it.
    np.testing.assert_allclose(places, 12 + 25 * np.arange(len(places)), atol=2)
    assert len(places) == 20


def test_what_is_not_voiced_is_no_syllable() -> None:
    swing = 10 ** (-25 / 20 * (0.5 + 0.5 * np.cos(2 * np.pi * 4 * np.arange(40000) / 8000)))
    rows = vk.extract([naive.noise(5.0, -26.0, 3) * swing + naive.noise(5.0, -75.0, 4)])[0]
    assert rows[:, vk.NUCLEUS].sum() <= 1
    assert vk.extract([np.zeros(16000)])[0][:, vk.NUCLEUS].sum() == 0


def test_a_swing_under_half_a_decibel_is_no_syllable() -> None:
    tone = 0.05 * naive.harmonics(130.0, 4.0, 300.0)
    ripple = np.cos(2 * np.pi * 4 * np.arange(32000) / 8000)
    steady, swinging = (vk.extract([tone * 10 ** (depth / 40 * ripple)])[0] for depth in (0.3, 3.0))
    assert steady[:, vk.NUCLEUS].sum() <= 1  # the whole tone
    assert swinging[50:350, vk.NUCLEUS].sum() == 12


@pytest.mark.parametrize("seed", range(4))
def test_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = 1200
    walks = rng.normal(0, 0.4, (steps, vk.LANES)).cumsum(axis=0) * rng.uniform(0.1, 2.0, vk.LANES) - 60
    levels = np.round(walks, 1 if seed % 2 else 6).astype(np.float32)  # rounded: ties
    features = np.zeros((vk.RING_ROWS * vk.FEATURES, vk.LANES), np.float32)
    by_row = features.reshape(vk.RING_ROWS, vk.FEATURES, vk.LANES)
    by_row[:, vk.F0_HZ] = np.where(rng.random((vk.RING_ROWS, vk.LANES)) < 0.7, 120.0, 0.0)
    by_row[:, vk.SPEECH] = rng.random((vk.RING_ROWS, vk.LANES))
    by_row[:, vk.VOICING] = rng.random((vk.RING_ROWS, vk.LANES))
    counts, extremes = np.zeros((COUNTS, vk.LANES), np.int64), np.zeros((EXTREMES, vk.LANES))
    counts[RISING], extremes[HIGHEST] = 1, -100.0
    run_nuclei(levels, features, counts, extremes)
    believed = (by_row[:, vk.F0_HZ] > 0) & (by_row[:, vk.VOICING] > 0.38) & (by_row[:, vk.SPEECH] > 0.4)
    marked = 0
    for lane in range(vk.LANES):
        wanted = [p for p in naive.peaks(levels[:, lane].astype(np.float64).tolist()) if believed[p, lane]]
        assert np.flatnonzero(by_row[:, vk.NUCLEUS, lane]).tolist() == wanted
        marked += len(wanted)
    assert marked > 50


def test_a_tone_longer_than_the_ring_marks_no_other_row() -> None:
    tone = 0.05 * naive.harmonics(150.0, 19.0, 300.0)
    tone[16000:17600] *= 1.03
    x = np.concatenate([tone, np.zeros(4000)]) + naive.noise(19.5, -75.0, 1)
    places = np.flatnonzero(vk.extract([x])[0][:, vk.NUCLEUS])
    assert all(abs(place - 210) < 15 for place in places)
