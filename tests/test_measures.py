"""What is measured over feature rows: the twin on any rows, anywhere in the ring, and known utterances."""

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from signals import voice
from vocal_kernels.layout import FRESH_ROWS, KEPT_PER_DB
from vocal_kernels.measures import tempo_window


def random_rows(rng: np.random.Generator, steps: int) -> np.ndarray:
    """Rows as a front end could have made them, though of no sound in particular."""
    rows = np.zeros((steps, vk.FEATURES), np.float32)
    slow = np.repeat(rng.random(steps // 7 + 1), 7)[:steps]
    rows[:, vk.POWER_DB] = -80 + 70 * slow + rng.normal(0, 3, steps)
    rows[:, vk.ENVELOPE] = 10 ** (rows[:, vk.POWER_DB] / 20) * 0.8
    rows[:, vk.K_POWER] = 10 ** (rows[:, vk.POWER_DB] / 10) * rng.uniform(0.5, 2, steps)
    rows[:, vk.CLIPPED] = np.where(rng.random(steps) < 0.1, rng.random(steps), 0)
    rows[:, vk.VOICING] = np.repeat(rng.random(steps // 9 + 1), 9)[:steps]
    rows[:, vk.F0_HZ] = np.where(rows[:, vk.VOICING] > 0.4, rng.uniform(60, 500, steps), 0)
    cycles = rng.random((steps, 3)) * (0.1, 0.3, 20)
    rows[:, [vk.JITTER, vk.SHIMMER, vk.HNR_DB]] = np.where(rng.random((steps, 1)) < 0.5, cycles, np.nan)
    rows[:, vk.SPEECH] = np.repeat(rng.random(steps // 25 + 1), 25)[:steps]
    rows[:, vk.FLOOR_DB] = rng.uniform(-80, -50, steps)
    rows[:, vk.NUCLEUS] = rng.random(steps) < 0.05
    rows[:, vk.MEL :] = on_grid(rows[:, vk.POWER_DB, None] - rng.uniform(5, 30, (steps, vk.MEL_BANDS)))
    return rows


def on_grid(levels: np.ndarray) -> np.ndarray:
    """Band levels as they are kept."""
    return np.rint(levels * KEPT_PER_DB) / KEPT_PER_DB


def in_ring(rows: np.ndarray, lane: int, start: int, clock: int) -> np.ndarray:
    """`rows` at steps start.. of one lane of a block that stands at step `clock`, as they are read out of it again;
    other numbers stand everywhere else."""
    rng, state = np.random.default_rng(99), vk.new_state()
    state.clock[0] = clock
    state.features[:] = rng.uniform(0.4, 500, state.features.shape)
    state.kept[:] = rng.uniform(0.4, 500, state.kept.shape)
    state.kept_mel[:] = rng.integers(-30_000, 30_000, state.kept_mel.shape)
    for step, row in enumerate(rows, start):
        if step < clock - vk.TEMPO_DELAY:
            state.kept[lane, step % vk.RING_ROWS] = row[: vk.MEL]
            state.kept_mel[lane, step % vk.RING_ROWS] = row[vk.MEL :] * KEPT_PER_DB
        else:
            state.features.reshape(FRESH_ROWS, vk.FEATURES, vk.LANES)[step % FRESH_ROWS, :, lane] = row
    found = vk.rows_of(state, lane, start, start + len(rows))
    np.testing.assert_array_equal(found, rows)
    return found


def measured(rows: np.ndarray, lane: int = 5, start: int = 0, newest: int = 0) -> np.ndarray:
    """newest: how many of the rows are not final yet."""
    out = np.empty(vk.MEASURES)
    vk.measure(in_ring(rows, lane, start, start + len(rows) + vk.TEMPO_DELAY - newest), out)
    return out


@pytest.mark.parametrize("seed", range(12))
def test_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, int(rng.integers(1, 1500)))
    newest = int(rng.integers(vk.TEMPO_DELAY - vk.SPEECH_DELAY + 1))
    found = measured(rows, int(rng.integers(vk.LANES)), int(rng.choice([0, 700, 1631, 50_000])), newest)
    # Both in float64 from the same float32 rows, but for log2 of F0, which is float32 in the kernel.
    np.testing.assert_allclose(found, naive.measure(rows.astype(np.float64)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("voiced", [0, 1, 2, 3])
def test_few_voiced_steps(voiced: int) -> None:
    rows = random_rows(np.random.default_rng(3), 60)
    rows[:, vk.F0_HZ] = 0
    rows[10 : 10 + voiced, vk.F0_HZ] = 100
    found = measured(rows)
    np.testing.assert_allclose(found, naive.measure(rows.astype(np.float64)), rtol=1e-6, atol=1e-6)
    assert np.isnan(found[vk.F0_MEDIAN_HZ]) == (voiced < 3)


def test_nothing_at_all() -> None:
    found = measured(np.zeros((0, vk.FEATURES), np.float32))
    assert found[vk.SYLLABLES] == found[vk.SPEECH_S] == 0
    assert np.isnan(np.delete(found, [vk.SYLLABLES, vk.SPEECH_S])).all()


def test_silence() -> None:
    found = measured(vk.extract([np.zeros(8000)])[0])
    assert np.isnan(found[[vk.LEVEL_DBOV, vk.LOUDNESS_LUFS, vk.F0_MEDIAN_HZ, vk.SNR_DB]]).all()
    assert found[vk.VOICED_SHARE] == found[vk.CLIPPED_SHARE] == 0
    assert found[vk.SYLLABLES] < 0.1


def test_pauses_over_200_ms_are_no_speech() -> None:
    rows = random_rows(np.random.default_rng(4), 300)
    rows[:, vk.SPEECH] = 1
    rows[100:120, vk.SPEECH] = 0  # 200 ms: not over
    assert measured(rows)[vk.SPEECH_S] == pytest.approx(3.0)
    rows[100:121, vk.SPEECH] = 0
    assert measured(rows)[vk.SPEECH_S] == pytest.approx(3.0 - 0.21)
    rows[270:, vk.SPEECH] = 0
    assert measured(rows)[vk.SPEECH_S] == pytest.approx(3.0 - 0.21 - 0.30)


def test_known_utterance() -> None:
    """A voice of a known pitch and level, 34 dB over the line's noise, and what was said of it."""
    line = naive.noise(7.0, -60.0, 7)
    line[24000:48000] += voice(3.0, 150.0, 4.0, -26.0, seed=3)
    found = measured(vk.extract([line])[0][300:600], start=300)
    assert found[vk.SPEECH_S] == pytest.approx(3.0, abs=0.35)
    assert found[vk.SYLLABLES] == pytest.approx(12, abs=2)
    assert found[vk.LEVEL_DBOV] == pytest.approx(naive.p56_level_db(line[24000:48000]), abs=0.1)
    assert found[vk.F0_MEDIAN_HZ] == pytest.approx(150.0, rel=0.05)
    assert 0.0 < found[vk.F0_RANGE_ST] < 6.0
    assert found[vk.SNR_DB] == pytest.approx(60 - 26, abs=4)
    assert found[vk.CLIPPED_SHARE] == 0
    assert 2500.0 < found[vk.BANDWIDTH_HZ] < 3700.0
    assert found[vk.VOICED_SHARE] > 0.6


@pytest.mark.parametrize("start", [0, 1600, 4000])
def test_tempo_window(start: int) -> None:
    rng = np.random.default_rng(5)
    rows = random_rows(rng, 800)
    # Runs as of words and pauses, some of these just under and over 200 ms.
    rows[:, vk.SPEECH] = np.repeat(np.tile([0.9, 0.1], 30), rng.integers(5, 36, 60))[:800]
    ring = np.random.default_rng(99).uniform(0.4, 500, (vk.RING_ROWS, vk.MEL)).astype(np.float32)
    ring[(start + np.arange(800)) % vk.RING_ROWS] = rows[:, : vk.MEL]
    found = tempo_window(ring, start, start + 800)
    speech = rows[:, vk.SPEECH] >= np.float32(0.6)
    said = np.flatnonzero(speech)
    pauses = [gap - 1 for gap in np.diff(said) if gap > 1]
    assert 20 in pauses or min(pauses) < 20 < max(pauses)
    assert found == (rows[:, vk.NUCLEUS].sum(), len(said) + sum(pause for pause in pauses if pause <= 20))
