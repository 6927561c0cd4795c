"""The small networks in the kernel say what their twins say, in every lane, however the sound is cut."""

import naive_speech as naive
import numpy as np
import pytest
import vocal_kernels as vk

SECONDS = 4


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    """(samples, LANES): hissing syllables of a buzz, another tempo, pitch and level in each lane."""
    rng = np.random.default_rng(3)
    t = np.arange(SECONDS * vk.RATE_HZ) / vk.RATE_HZ
    lanes = []
    for lane in range(vk.LANES):
        buzz = sum(np.sin(2 * np.pi * (100 + 12 * lane) * k * t) / k for k in range(3, 25))
        syllable = np.maximum(np.sin(2 * np.pi * (2 + lane / 4) * t), 0) * (t % 2 < 1.4)
        lanes.append(10 ** (-1 - lane / 12) * buzz * syllable + 0.001 * rng.normal(size=len(t)))
    return np.stack(lanes, axis=1).astype(np.float32)


def run(pcm: np.ndarray, ticks: list[int], state: vk.State | None = None) -> np.ndarray:
    """(steps from two before the first, FEATURES, LANES) after `advance` over pieces of so many ticks."""
    state = state or vk.new_state()
    until, at, start = np.zeros(vk.LANES, np.int64), 0, int(state.clock[0])
    while at < len(pcm):
        piece = pcm[at : at + ticks[0] * vk.TICK_SAMPLES]
        ticks = ticks[1:] + ticks[:1]
        at += vk.advance(piece, until, vk.Boundary(), state)[0] * vk.TICK_SAMPLES
    steps = start - vk.SPECTRAL_DELAY, int(state.clock[0]) - vk.SPECTRAL_DELAY
    return np.stack([vk.rows_of(state, lane, *steps) for lane in range(vk.LANES)], axis=2)


@pytest.mark.parametrize(
    ("feature", "twin", "delay"),
    [(vk.SPEECH, naive.speech, vk.SPEECH_DELAY), (vk.NUCLEUS, naive.syllables, vk.TEMPO_DELAY)],
)
def test_networks_are_their_twins(pcm: np.ndarray, feature: int, twin: object, delay: int) -> None:
    rows = run(pcm, [50]).astype(np.float64)
    known = len(rows) - (delay - vk.SPECTRAL_DELAY)
    for lane in range(vk.LANES):
        expected = twin(rows[:, vk.MEL : vk.MEL + vk.MEL_BANDS, lane])[:known]
        np.testing.assert_allclose(rows[:known, feature, lane], expected, atol=2e-4)


def test_cutting_changes_nothing(pcm: np.ndarray) -> None:
    np.testing.assert_array_equal(run(pcm, [50]), run(pcm, [1, 7, 3]))


def test_lane_and_predecessor_change_nothing(pcm: np.ndarray) -> None:
    state = vk.new_state()
    run(pcm[::-1].copy(), [50], state)
    for lane in range(vk.LANES):
        vk.reset_lane(state, lane)
    turned = run(np.ascontiguousarray(pcm[:, ::-1]), [50], state)
    plain = run(pcm, [50])
    for feature in (vk.SPEECH, vk.NUCLEUS, vk.FLOOR_DB):
        known = len(plain) - (vk.TEMPO_DELAY - vk.SPECTRAL_DELAY)
        np.testing.assert_array_equal(turned[2:known, feature, ::-1], plain[2:known, feature])


def test_no_number_poisons_no_one(pcm: np.ndarray) -> None:
    bad = pcm.copy()
    bad[8000:16000, 3] = np.nan
    bad[100, 3] = np.inf
    rows, plain = run(bad, [50]), run(pcm, [50])
    assert np.isfinite(rows[:, [vk.SPEECH, vk.NUCLEUS, vk.FLOOR_DB]]).all()
    others = np.arange(vk.LANES) != 3
    np.testing.assert_array_equal(rows[:, :, others], plain[:, :, others])


def test_nothing_is_decided_before_a_channel_begins(pcm: np.ndarray) -> None:
    rows = vk.extract([pcm[2400:, 0] / np.abs(pcm[:, 0]).max()])[0]
    assert rows[-20:, vk.POWER_DB].max() < 0.0  # nothing stopped it before the end
    state = vk.new_state()
    steady = np.full(vk.LANES, 10**9)
    _, count = vk.advance(np.ascontiguousarray(pcm[: vk.RATE_HZ]), steady, vk.Boundary(onset_score=0.0), state)
    assert count == vk.LANES
    assert (state.records[:count, 2] == vk.Boundary().onset_steps - 1).all()
