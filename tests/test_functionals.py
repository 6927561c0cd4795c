"""Functionals: the twin on any rows, anywhere in the ring; what they must not see."""

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from test_measures import in_ring, random_rows
from vocal_kernels.functionals import F0_TRACK, PER_TRACK


def found_of(rows: np.ndarray, lane: int = 5, start: int = 0) -> tuple[int, np.ndarray]:
    out = np.full(vk.FUNCTIONALS, -77.0)
    return vk.functionals(in_ring(rows, lane, start, start + len(rows) + vk.TEMPO_DELAY), out), out


def assert_twins(found: np.ndarray, wanted: np.ndarray) -> None:
    """A quantile at the edge of two cells may fall into either, by the last digit of a sum."""
    alike = np.isclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert alike.mean() > 0.98, np.flatnonzero(~alike)
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=1.0)


@pytest.mark.parametrize("seed", range(12))
def test_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, int(rng.integers(60, 1500)))
    count, found = found_of(rows, int(rng.integers(vk.LANES)), int(rng.choice([0, 700, 1631, 50_000])))
    assert count == (rows[:, vk.SPEECH] >= np.float32(0.6)).sum()
    wanted = naive.functionals(rows.astype(np.float64))
    assert wanted is not None
    assert_twins(found, wanted)


def test_twin_on_speech() -> None:
    for seed, rows in enumerate(vk.extract([naive.talk(5.0, seed) for seed in range(4)])):
        _, found = found_of(rows, seed)
        wanted = naive.functionals(rows.astype(np.float64))
        assert wanted is not None
        assert_twins(found, wanted)


@pytest.mark.parametrize("voiced", [0, 1, 2, 3])
def test_few_voiced_steps(voiced: int) -> None:
    rows = random_rows(np.random.default_rng(3), 60)
    rows[:, vk.SPEECH] = 1
    rows[:, vk.F0_HZ] = 0
    rows[57 : 57 + voiced, vk.F0_HZ] = (90, 100, 120)[:voiced]
    _, found = found_of(rows)
    wanted = naive.functionals(rows.astype(np.float64))
    assert wanted is not None
    assert_twins(found, wanted)


def test_too_little_speech_writes_nothing() -> None:
    rows = random_rows(np.random.default_rng(4), 100)
    rows[:, vk.SPEECH] = 0
    for speech, written in ((0, False), (59, False), (60, True)):
        rows[:speech, vk.SPEECH] = 1
        count, found = found_of(rows)
        assert count == speech
        assert (found != -77.0).any() == written
        assert vk.LEAST_STEPS == 60


def test_gain_and_silence_drop_out() -> None:
    x = naive.talk(5.0, 6, level_db=-30.0, noise_db=-75.0)
    rows = vk.extract([x])[0]
    _, found = found_of(rows)
    louder = rows.copy()
    louder[:, [vk.POWER_DB, *range(vk.MEL, vk.FEATURES)]] += 12.0
    np.testing.assert_allclose(found_of(louder)[1], found, atol=1e-4)
    silent = np.zeros((50, vk.FEATURES), np.float32)
    silent[:, [vk.POWER_DB, *range(vk.MEL, vk.FEATURES)]] = -100.0
    np.testing.assert_allclose(found_of(np.concatenate([silent, rows, silent]))[1], found, atol=1e-9)


def test_how_often_and_how_long() -> None:
    rows = random_rows(np.random.default_rng(5), 200)
    rows[:, vk.SPEECH], rows[:, vk.F0_HZ], rows[:, vk.NUCLEUS] = 1, 0, 0
    rows[10:40, vk.F0_HZ] = rows[100:150, vk.F0_HZ] = rows[199:, vk.F0_HZ] = 200
    rows[[20, 120], vk.NUCLEUS] = 1
    _, found = found_of(rows)
    lengths = np.array([0.3, 0.5, 0.01])
    np.testing.assert_allclose(found[-7:], [1.0, 81 / 200, lengths.mean(), lengths.std(), 1.5, 1.0, 1.0])
    assert found[F0_TRACK * PER_TRACK] == pytest.approx(12.0)  # F0: an octave above 100 Hz
