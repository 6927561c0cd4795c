"""F0 and voicing of known tones, noises and silence; the twin is held against in test_frontend."""

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from scipy.signal import butter, sosfilt
from vocal_kernels.layout import PITCH_INPUTS, PITCH_LAGS

F0S_HZ = (70.0, 83.0, 95.0, 110.0, 131.0, 160.0, 187.0, 220.0, 263.0, 300.0, 349.0, 400.0, 450.0)


def sung(f0_hz: float, low_hz: float, seconds: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A voice under two formants that swings by a semitone, swelling as syllables do, over a quiet line, without what
    lies below `low_hz`; and its F0 at each step."""
    t = np.arange(round(seconds * 8000)) / 8000
    hz = f0_hz * 2 ** (np.sin(2 * np.pi * 1.3 * t) / 12)
    tone, phase = np.zeros(len(t)), 2 * np.pi * np.cumsum(hz) / 8000
    for k in range(1, int(3300 / f0_hz)):
        formants = 1 / (1 + ((k * hz - 600) / 150) ** 2) + 0.5 / (1 + ((k * hz - 1600) / 250) ** 2) + 0.02
        tone += formants * np.cos(k * phase + 1.7 * k * k)
    tone *= (0.3 + 0.7 * np.sin(np.pi * 4 * t) ** 2) * 0.05 / np.sqrt(np.mean(tone**2))
    if low_hz:
        tone = sosfilt(butter(6, [low_hz, 3400.0], "bandpass", fs=8000, output="sos"), tone)
    return tone + naive.noise(seconds, -75.0, 1), hz[40::80]


@pytest.fixture(scope="module", params=[0.0, 300.0], ids=["whole", "telephone band"])
def voices(request: pytest.FixtureRequest) -> list[tuple[np.ndarray, np.ndarray]]:
    made = [sung(hz, request.param) for hz in F0S_HZ]
    return list(zip(vk.extract([x for x, _ in made]), [hz for _, hz in made], strict=True))


@pytest.mark.parametrize("number", range(len(F0S_HZ)), ids=[f"{hz:.0f} Hz" for hz in F0S_HZ])
def test_sung_harmonics(voices: list[tuple[np.ndarray, np.ndarray]], number: int) -> None:
    """Also where the fundamental itself was taken away by the line."""
    rows, hz = voices[number]
    found = rows[15:190, vk.F0_HZ]
    voiced = found > 0
    assert voiced.mean() > 0.5
    assert (np.abs(found / hz[15:190] - 1)[voiced] < 0.01).mean() > 0.97


def test_level_does_not_matter() -> None:
    tone, _ = sung(140.0, 300.0)
    rows = vk.extract([tone * gain for gain in (1.0, 0.3, 0.1)])
    for row in rows[1:]:
        both = (row[15:190, vk.F0_HZ] > 0) & (rows[0][15:190, vk.F0_HZ] > 0)
        assert both.mean() > 0.5
        np.testing.assert_allclose(row[15:190, vk.F0_HZ][both], rows[0][15:190, vk.F0_HZ][both], rtol=5e-3)


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
    assert ((rows[:, vk.VOICED] >= 0) & (rows[:, vk.VOICED] <= 1)).all()
    assert ((voicing >= 0) & (voicing <= 1)).all()
    # A lag is an integer of 16-134 and at most half a step beside it.
    assert (f0[f0 > 0] >= 8000 / 134.5).all()
    assert (f0[f0 > 0] <= 8000 / 15.5).all()


def test_what_the_network_heard_of_both_steps_of_a_tick_is_left_for_training() -> None:
    state = vk.new_state()
    tick = np.repeat(naive.harmonics(130.0, 0.5, 300.0)[:4000, None] * 0.05, vk.LANES, axis=1).astype(np.float32)
    vk.advance(tick, np.zeros(vk.LANES, np.int64), vk.Boundary(), state)
    one, other = state.net[:PITCH_INPUTS], state.net[PITCH_INPUTS : 2 * PITCH_INPUTS]
    np.testing.assert_allclose(one[:PITCH_LAGS], other[:PITCH_LAGS], atol=0.1)  # a steady tone
    assert (one != other).any()
    assert np.abs(one[:PITCH_LAGS]).max() > 0.3
