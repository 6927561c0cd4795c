"""The small networks in the kernel say what their twins say, in every lane, however the sound is cut."""

import os
import subprocess
import sys
from pathlib import Path

import naive_speech as naive
import numpy as np
import pytest
import vocal_kernels as vk
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from vocal_kernels import lanes, network

SECONDS = 4


@njit
def _dense(x, weights, outputs, out, taken):
    return network.dense(x, 0, len(x), weights, 0, out, 0, outputs, taken)


@njit
def _gated(net, inputs, hidden, weights, kept, taken):
    network.gated(net, 0, inputs, hidden, weights, 0, inputs, kept, 0, taken)


@settings(max_examples=40, deadline=None)
@given(inputs=st.integers(1, 40), outputs=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_a_dense_layer_is_that_of_rounded_inputs_and_weights(inputs: int, outputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias = (
        rng.normal(0, 3, shape).astype(np.float32) for shape in ((inputs, 16), (outputs, inputs), outputs)
    )
    weights = network.blocked(weight, bias)
    assert len(weights) == network.blocked_size(outputs, inputs)
    out = np.full((outputs + 8, vk.LANES), 7.0, np.float32)
    assert _dense(x, weights, outputs, out, np.full((40, vk.LANES), np.nan, np.float32)) == len(weights)
    wanted = naive.bfloat16(weight.astype(np.float64)) @ naive.bfloat16(x.astype(np.float64)) + bias[:, None]
    np.testing.assert_allclose(out[:outputs], wanted, rtol=1e-5, atol=1e-4)
    assert (out[-(-outputs // 8) * 8 :] == 7.0).all()


def test_a_gated_layer_is_that_of_rounded_inputs_memory_and_weights() -> None:
    rng, inputs, hidden = np.random.default_rng(1), 10, 8
    shapes = {"gates": (2 * hidden, inputs + hidden), "fresh": (hidden, inputs), "old": (hidden, hidden)}
    layers = {
        name: (rng.normal(size=s).astype(np.float32), rng.normal(size=s[0]).astype(np.float32))
        for name, s in shapes.items()
    }
    weights = np.concatenate([network.blocked(*layer) for layer in layers.values()])
    x, memory = rng.normal(size=(inputs, 16)).astype(np.float32), rng.normal(size=(hidden, 16)).astype(np.float32)
    net, kept = np.concatenate([x, np.zeros((4 * hidden, 16), np.float32)]), memory.copy()
    _gated(net, inputs, hidden, weights, kept, np.zeros((inputs + hidden, 16), np.float32))

    def layer(name: str, given: np.ndarray) -> np.ndarray:
        weight, bias = (one.astype(np.float64) for one in layers[name])
        return naive.bfloat16(weight) @ naive.bfloat16(given.astype(np.float64)) + bias[:, None]

    gates = naive.sigmoid(layer("gates", np.concatenate([x, memory])))
    candidate = np.tanh(layer("fresh", x) + gates[:hidden] * layer("old", memory))
    wanted = candidate + gates[hidden:] * (memory - candidate)
    np.testing.assert_allclose(kept, wanted, atol=1e-5)


@pytest.mark.skipif(not lanes.TAKES_PAIRS, reason="this machine has not the instruction")
def test_a_machine_without_the_instruction_hears_the_same(pcm: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "pcm.npy", pcm)
    told = (
        "import numpy as np, sys, vocal_kernels as vk\n"
        "from vocal_kernels import lanes\n"
        "assert not lanes.TAKES_PAIRS\n"
        "pcm = np.load(sys.argv[1] + '/pcm.npy')\n"
        "np.save(sys.argv[1] + '/rows.npy', vk.extract([np.ascontiguousarray(x) for x in pcm.T]))\n"
    )
    environment = os.environ | {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
    subprocess.run([sys.executable, "-c", told, str(tmp_path)], check=True, env=environment)
    there, here = np.load(tmp_path / "rows.npy"), np.stack(vk.extract([np.ascontiguousarray(x) for x in pcm.T]))
    for column in (vk.SPEECH, vk.NUCLEUS):
        np.testing.assert_allclose(there[..., column], here[..., column], atol=5e-3)
    alike = np.isclose(there[..., vk.F0_HZ], here[..., vk.F0_HZ], rtol=2e-3)
    assert alike.mean() > 0.98
    assert (here[..., vk.F0_HZ] > 0).mean() > 0.1


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
        # What the network sees is kept to 1/256 dB, and may fall to the other side when it is rounded.
        np.testing.assert_allclose(rows[:known, feature, lane], expected, atol=5e-3)


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
