"""Loudness against the standard's own numbers and signals."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import freqz, lfilter
from vocal_kernels import gated_loudness, k_weighting, loudness


def sine(rate_hz: int, seconds: float = 5.0, level_db: float = 0.0, frequency_hz: float = 997.0) -> np.ndarray:
    return 10 ** (level_db / 20) * np.sin(2 * np.pi * frequency_hz * np.arange(round(rate_hz * seconds)) / rate_hz)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_a_full_scale_sine_is_minus_3_01(rate_hz: int) -> None:
    assert loudness(sine(rate_hz), rate_hz).integrated_lufs == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(("rate_hz", "tolerance_db"), [(16000, 0.01), (8000, 0.03)])
def test_the_weighting_is_the_standards_at_other_rates(rate_hz: int, tolerance_db: float) -> None:
    frequency = np.geomspace(30, 0.45 * rate_hz, 60)

    def response(rate: int) -> np.ndarray:
        stages = k_weighting(rate)
        gains = [np.abs(freqz(s[:3], [1, *s[3:]], worN=2 * np.pi * frequency / rate)[1]) for s in stages]
        return 20 * np.log10(gains[0] * gains[1])

    assert np.abs(response(rate_hz) - response(48000)).max() < tolerance_db


def test_two_channels_add_up() -> None:
    one = sine(48000, level_db=-20)
    both = np.stack([one, one], axis=1)
    assert loudness(both, 48000).integrated_lufs - loudness(one, 48000).integrated_lufs == pytest.approx(3.01, abs=0.01)


def test_momentary_and_short_term_follow_the_signal() -> None:
    signal = np.concatenate([sine(8000, 4.0, -30), sine(8000, 4.0, -20)])
    found = loudness(signal, 8000)
    assert found.momentary_lufs[0] == pytest.approx(-33.0, abs=0.1)
    assert found.momentary_lufs[-1] == pytest.approx(-23.0, abs=0.1)
    assert len(found.momentary_lufs) == 80 - 3
    assert found.short_term_lufs[-1] == pytest.approx(-23.0, abs=0.1)
    assert len(found.short_term_lufs) == 80 - 29


def test_gates_leave_silence_and_murmur_out() -> None:
    loud = sine(8000, 4.0, -20)
    quiet = np.zeros(8000 * 10)
    murmur = sine(8000, 10.0, -45)
    assert loudness(np.concatenate([loud, quiet]), 8000).integrated_lufs == pytest.approx(-23.0, abs=0.35)
    assert loudness(np.concatenate([loud, murmur]), 8000).integrated_lufs == pytest.approx(-23.0, abs=0.35)


def test_gating_equals_its_definition() -> None:
    """A slow twin of BS.1770-5, annex 1, over random parts."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        parts = 10 ** rng.uniform(-9, -1, rng.integers(4, 60))
        blocks = np.array([parts[i : i + 4].mean() for i in range(len(parts) - 3)])
        levels = -0.691 + 10 * np.log10(blocks)
        first = blocks[levels > -70]
        relative = -0.691 + 10 * np.log10(first.mean()) - 10
        wanted = -0.691 + 10 * np.log10(blocks[(levels > -70) & (levels > relative)].mean())
        assert gated_loudness(parts) == pytest.approx(wanted, abs=1e-9)


def test_filtering_equals_scipy() -> None:
    rng = np.random.default_rng(5)
    signal = rng.normal(size=48000 * 2) * 0.1
    shelf, high = k_weighting(48000)
    weighted = lfilter(high[:3], [1, *high[3:]], lfilter(shelf[:3], [1, *shelf[3:]], signal))
    wanted = -0.691 + 10 * np.log10(np.mean(weighted[-19200:] ** 2))
    assert loudness(signal, 48000).momentary_lufs[-1] == pytest.approx(wanted, abs=1e-6)


def test_nothing_is_nan() -> None:
    assert np.isnan(loudness(np.zeros(8000), 8000).integrated_lufs)
    assert np.isnan(loudness(np.zeros(0), 8000).integrated_lufs)
    assert len(loudness(np.zeros(100), 8000).momentary_lufs) == 0


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message"),
    [
        (np.zeros(8000), 44100, r"wanted one of \(8000, 16000, 48000\), got 44100"),
        (np.zeros(8000, np.int16), 8000, "wanted floats.*int16"),
        (np.zeros((2, 2, 2)), 8000, "wanted floats"),
        (np.array([0.0, np.nan]), 8000, "got 1 that are not"),
    ],
)
def test_wrong_use(samples: np.ndarray, rate_hz: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loudness(samples, rate_hz)


def test_the_standards_signals(shared_data: Path) -> None:
    folder = shared_data / "loudness" / "pyloudnorm"
    for name, wanted in (("RelGateTest", -10.0), ("AbsGateTest", -69.5)):
        samples, rate_hz = soundfile.read(folder / f"1770-2_Comp_{name}.wav")
        assert loudness(samples, rate_hz).integrated_lufs == pytest.approx(wanted, abs=0.1)
    folder = shared_data / "itu_stl" / "src" / "bs1770demo" / "test_data"
    for name, wanted in (("sine997_0dBFS.pcm", -3.01), ("sine997_0dBFS.26LKFS.pcm", -26.0)):
        samples = np.fromfile(folder / name, "<i2").reshape(-1, 6)[:, 0] / 32768
        assert loudness(samples, 48000).integrated_lufs == pytest.approx(wanted, abs=0.02)
