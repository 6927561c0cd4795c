"""Level, loudness and clipping: the standards' numbers, the standards' own recordings, and known tones."""

from pathlib import Path

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from scipy.signal import freqz

STL = Path(__file__).parents[2] / "shared/data/itu_stl/src"
needs_stl = pytest.mark.skipif(not STL.exists(), reason="the ITU's test data (shared/data/itu_stl) are not here")

# ITU-R BS.1770-5, tables 1 and 2: b0, b1, b2, a1, a2 at 48 kHz
SHELF = (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585)
HIGH_PASS = (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621)


def voice(name: str) -> np.ndarray:
    return np.fromfile(STL / "sv56/test_data" / name, "<i2") / 32768.0


def steps_of(x: np.ndarray, rate_hz: int = 8000) -> tuple[np.ndarray, np.ndarray]:
    """Power and P.56 envelope of each 10 ms, without our own front end."""
    step = rate_hz // 100
    n = len(x) // step
    power = (x[: n * step].reshape(n, step) ** 2).mean(axis=1)
    return power, naive.p56_envelope(x, rate_hz)[step - 1 :: step][:n].copy()


def k_response_db(rate_hz: int, hz: np.ndarray) -> np.ndarray:
    total = np.zeros(len(hz))
    for b0, b1, b2, a1, a2 in vk.k_weighting(rate_hz):
        total += 20 * np.log10(np.abs(freqz([b0, b1, b2], [1, a1, a2], hz, fs=rate_hz)[1]))
    return total


# --- level ---


@pytest.mark.parametrize("hz", [100.0, 440.0, 997.0, 2500.0])
@pytest.mark.parametrize("peak", [1.0, 0.1, 0.001])
def test_a_sine_has_its_level(hz: float, peak: float) -> None:
    rows = vk.extract([naive.sine(hz, 1.0, peak)])[0][30:]
    # The offset filter takes 0.02 dB off at 100 Hz and adds as much far above it.
    assert 10 * np.log10((10 ** (rows[:, vk.POWER_DB] / 10)).mean()) == pytest.approx(
        20 * np.log10(peak) - 3.01, abs=0.03
    )


def test_an_offset_is_not_level() -> None:
    x = naive.sine(440, 2.0, 0.01)
    rows, lifted = vk.extract([x, x + 0.5])
    np.testing.assert_allclose(lifted[100:, vk.POWER_DB], rows[100:, vk.POWER_DB], atol=0.1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("peak", [0.976, 32124 / 32768, 32256 / 32768, 1.0, -0.98, -1.0])
def test_clipped_share(share: float, peak: float) -> None:
    x = np.full(80, 0.97)
    x[: round(80 * share)] = peak
    rows = vk.extract([np.tile(x, 20)])[0]
    np.testing.assert_allclose(rows[:, vk.CLIPPED], share, atol=1e-6)


# --- ITU-T P.56 ---


@needs_stl
def test_twin_agrees_with_the_itus_own_tool() -> None:
    """sv56demo ran over these at its default of 16 kHz (its log of voice.src: -25.478 and -25.329 dBov), whatever the
    recordings are; it stops interpolating within 0.5 dB of the crossing, so it is no closer than some 0.05 dB."""
    assert naive.p56_level_db(voice("voice.src"), 16000) == pytest.approx(-25.329, abs=0.02)
    assert naive.p56_level_db(voice("voice.nrm"), 16000) == pytest.approx(-30.0, abs=0.05)
    assert 10 * np.log10((voice("voice.src") ** 2).mean()) == pytest.approx(-25.478, abs=0.001)
    assert 10 * np.log10((voice("voice.ltl") ** 2).mean()) == pytest.approx(-30.0, abs=0.005)


@needs_stl
def test_active_level_of_the_itus_recording() -> None:
    assert vk.active_level_db(*steps_of(voice("voice.nrm"), 16000)) == pytest.approx(-30.0, abs=0.1)


@needs_stl
@pytest.mark.parametrize("name", ["voice.src", "voice.nrm", "voice.ltl"])
def test_active_level_of_a_recording_through_the_front_end(name: str) -> None:
    rows = vk.extract([voice(name)])[0].astype(np.float64)
    found = vk.active_level_db(10 ** (rows[:, vk.POWER_DB] / 10), rows[:, vk.ENVELOPE])
    assert found == pytest.approx(naive.p56_level_db(voice(name)), abs=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_active_level_counted_by_steps_and_by_samples(seed: int) -> None:
    x = naive.talk(6.0, seed, level_db=-15.0 - 5.0 * seed, noise_db=-75.0)
    power, envelope = steps_of(x)
    found = vk.active_level_db(power, envelope)
    assert found == pytest.approx(naive.p56_level_of_steps_db(power, envelope), abs=1e-6)
    assert found == pytest.approx(naive.p56_level_db(x), abs=0.1)


def test_pauses_do_not_lower_the_active_level() -> None:
    tone = naive.sine(300, 4.0, 0.1)
    with_pause = np.concatenate([np.zeros(16000), tone, np.zeros(32000)])
    # The hangover of 0.2 s counts as activity: 10 log10(4.2 / 4) = 0.21 dB.
    assert vk.active_level_db(*steps_of(tone)) == pytest.approx(-23.01, abs=0.1)
    assert vk.active_level_db(*steps_of(with_pause)) == pytest.approx(-23.01 - 0.21, abs=0.1)


def test_active_level_of_hardly_anything() -> None:
    assert np.isnan(vk.active_level_db(np.zeros(100), np.zeros(100)))
    assert np.isnan(vk.active_level_db(np.zeros(0), np.zeros(0)))
    assert np.isnan(vk.active_level_db(np.full(100, 1e-10), np.full(100, 1e-6)))  # below one step of 16 bits


@pytest.mark.parametrize("seed", range(8))
def test_active_level_of_any_power_and_envelope(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    power = 10 ** rng.uniform(-9, 0, n)
    envelope = np.sqrt(power) * rng.uniform(0.05, 1.0, n)
    wanted = naive.p56_level_of_steps_db(power, envelope)
    assert vk.active_level_db(power, envelope) == pytest.approx(wanted, abs=1e-6, nan_ok=True)


# --- ITU-R BS.1770 ---


def test_k_weighting_is_the_standards_at_48_khz() -> None:
    shelf, high = vk.k_weighting(48000)
    np.testing.assert_allclose(shelf, SHELF, atol=1e-10)
    np.testing.assert_allclose(high, HIGH_PASS, atol=1e-10)


def test_k_weighting_of_the_standards_tone() -> None:
    """997 Hz at 0 dBFS in one channel of 48 kHz reads -3.01 LUFS."""
    x = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)
    power = (naive.k_weighted(x, 48000)[4800:] ** 2).mean()
    assert -0.691 + 10 * np.log10(power) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_k_weighting_at_other_rates_responds_as_at_48_khz(rate_hz: int) -> None:
    hz = np.linspace(60, min(3800, 0.45 * rate_hz), 100)
    np.testing.assert_allclose(k_response_db(rate_hz, hz), k_response_db(48000, hz), atol=0.1)


@pytest.mark.parametrize("hz", [100, 300, 997, 2000, 3000])
def test_loudness_of_a_sine(hz: float) -> None:
    """Design section 11: within 0.1 LU of what the standard's filter gives at 48 kHz."""
    rows = vk.extract([naive.sine(hz, 2.0, 0.1)])[0][50:150].astype(np.float64)
    found = -0.691 + 10 * np.log10(rows[:, vk.K_POWER].mean())
    wanted = -0.691 - 23.01 + k_response_db(48000, np.array([float(hz)]))[0]
    assert found == pytest.approx(wanted, abs=0.1)
