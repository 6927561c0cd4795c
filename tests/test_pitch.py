"""F0 and voicing: known tones, and the twin on spectra of every kind."""

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from numba import njit
from vocal_kernels.layout import ROWS
from vocal_kernels.pitch import track

F0S_HZ = (70.0, 83.0, 95.0, 110.0, 131.0, 160.0, 187.0, 220.0, 263.0, 300.0, 349.0, 400.0, 450.0)


@njit
def track_steps(correlations, features, rows):
    for step in range(len(correlations)):
        track(correlations[step], features, step * vk.FEATURES, rows)


@pytest.fixture(scope="module", params=[0.0, 300.0], ids=["whole", "telephone band"])
def tones(request: pytest.FixtureRequest) -> list[np.ndarray]:
    return vk.extract([0.05 * naive.harmonics(hz, 1.0, request.param) for hz in F0S_HZ])


@pytest.mark.parametrize("number", range(len(F0S_HZ)), ids=[f"{hz:.0f} Hz" for hz in F0S_HZ])
def test_harmonic_tone(tones: list[np.ndarray], number: int) -> None:
    """Also where the fundamental itself was taken away by the line."""
    rows = tones[number][5:95]
    np.testing.assert_allclose(rows[:, vk.F0_HZ], F0S_HZ[number], rtol=0.01)
    assert (rows[:, vk.VOICING] > 0.95).all()


@pytest.mark.parametrize("hz", [100.0, 200.0, 440.0])
def test_sine(hz: float) -> None:
    np.testing.assert_allclose(vk.extract([naive.sine(hz, 0.5, 0.05)])[0][5:45, vk.F0_HZ], hz, rtol=0.01)


def test_glide_is_followed() -> None:
    hz = np.linspace(100, 200, 16000)
    found = vk.extract([0.05 * naive.harmonics(hz, 2.0, 300.0)])[0][5:195, vk.F0_HZ]
    np.testing.assert_allclose(found, hz[5 * 80 + 40 : 195 * 80 : 80], rtol=0.01)


def test_level_does_not_matter() -> None:
    tone = naive.harmonics(140.0, 0.5, 300.0)
    rows = vk.extract([tone * gain for gain in (0.2, 0.02, 0.002)])
    for row in rows[1:]:
        np.testing.assert_allclose(row[5:45, vk.F0_HZ], rows[0][5:45, vk.F0_HZ], rtol=1e-3)
        np.testing.assert_allclose(row[5:45, vk.VOICING], rows[0][5:45, vk.VOICING], atol=1e-3)


def test_white_noise_is_mostly_unvoiced() -> None:
    rows = np.concatenate(vk.extract([naive.noise(4.0, -30.0, seed) for seed in range(16)]))
    assert (rows[:, vk.F0_HZ] > 0).mean() < 0.01
    assert np.median(rows[:, vk.VOICING]) < 0.3


def test_silence_is_unvoiced() -> None:
    rows = vk.extract([np.zeros(8000)])[0]
    assert (rows[:, vk.F0_HZ] == 0).all()
    assert (rows[:, vk.VOICING] < 0.01).all()


def test_f0_and_voicing_agree_everywhere() -> None:
    rows = np.concatenate(vk.extract([naive.talk(4.0, seed) for seed in range(8)]))
    f0, voicing = rows[:, vk.F0_HZ], rows[:, vk.VOICING]
    assert ((f0 > 0) == (voicing > 0.38)).all()
    assert ((voicing >= 0) & (voicing <= 1)).all()
    # A lag is an integer of 16-134 and at most half a step beside it.
    assert (f0[f0 > 0] >= 8000 / 134.5).all()
    assert (f0[f0 > 0] <= 8000 / 15.5).all()


@pytest.mark.parametrize("seed", range(4))
def test_twin(seed: int) -> None:
    """Sixteen lanes of forty steps: peaky spectra of wandering pitch, so that leaps, octaves and trust all matter."""
    rng = np.random.default_rng(seed)
    steps, bins = 40, np.arange(257)
    period = 512 * rng.uniform(70, 450, (vk.LANES, 1, 1)) / 8000 * 2 ** rng.normal(0, 0.2, (vk.LANES, steps, 1))
    comb = np.exp(rng.uniform(0, 4, (vk.LANES, 1, 1)) * np.cos(2 * np.pi * bins / period))
    power = comb * rng.gamma(1.0, 1.0, (vk.LANES, steps, 257)) + 3 * rng.random((vk.LANES, steps, 1))
    power *= 10 ** rng.uniform(-12, 0, (vk.LANES, 1, 1))
    correlations = naive.autocorrelations(power)
    given = np.ascontiguousarray(correlations.transpose(1, 2, 0).astype(np.float32))
    features = np.zeros((steps * vk.FEATURES, vk.LANES), np.float32)
    track_steps(given, features, np.zeros((ROWS, vk.LANES), np.float32))
    found = features.reshape(steps, vk.FEATURES, vk.LANES)
    voiced = 0
    for lane in range(vk.LANES):
        f0, voicing = naive.pitch(given[:, :, lane].astype(np.float64))
        # float32 against float64; a peak no sharper than its rounding may be placed elsewhere on its top.
        np.testing.assert_allclose(found[:, vk.VOICING, lane], voicing, atol=1e-4)
        np.testing.assert_allclose(found[:, vk.F0_HZ, lane], f0, rtol=1e-3)
        voiced += int((f0 > 0).sum())
    assert 0.2 < voiced / (steps * vk.LANES) < 0.9
