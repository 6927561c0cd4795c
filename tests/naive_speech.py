"""Slow, obvious twins of the small networks in vocal_kernels: what they see, the syllables, the speech score."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray
from vocal_kernels.layout import SPEECH_HIDDEN

Array = NDArray[np.float64]
FOLDER = Path(vk.__file__).parent / "weights"


def bfloat16(x: Array) -> Array:
    """The nearest numbers of eight significant bits, the even one of two."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


def layers(name: str) -> Callable[[str, Array], Array]:
    """`layer(which, x)`: a dense layer over the last axis of x, of inputs and weights as bfloat16."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        kept = {key: stored[key].astype(np.float64) for key in stored.files}
    rounded = {key: bfloat16(value) if key.endswith(".weight") else value for key, value in kept.items()}
    return lambda which, x: bfloat16(x) @ rounded[f"{which}.weight"].T + rounded[f"{which}.bias"]


def seen(mel_db: Array) -> Array:
    """(ticks, 4 * bands): each step's bands under the running peak and over their floors in 20 dB, two steps a tick."""
    peak, floor = -50.0, np.zeros(mel_db.shape[1])
    steps = []
    for age, level in enumerate(mel_db):
        top = level.max()
        peak = max(peak + 0.3 * (top - peak) if top > peak else peak - 0.03, -75.0)
        falling = floor + 0.2 * (level - floor)
        rising = np.minimum(level, floor + 0.02)
        floor = np.minimum(level, -55.0) if age < 7 else np.where(floor > level, falling, rising)
        steps.append(np.concatenate([np.clip((level - peak) / 20, -3, 0.5) + 1, np.minimum((level - floor) / 20, 2)]))
    return np.array(steps).reshape(len(mel_db) // 2, -1)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def syllables(mel_db: Array) -> Array:
    """Share of a syllable of each step; that of a tick's steps is told nine ticks later."""
    layer = layers("tempo")

    def beside(x: Array, count: int, stride: int) -> Array:
        before = np.zeros(((count - 1) * stride, x.shape[1]))
        padded = np.concatenate([before, x])
        return np.concatenate([padded[i * stride : i * stride + len(x)] for i in range(count)], axis=1)

    first = np.maximum(layer("first", seen(mel_db)), 0)
    second = np.maximum(layer("second", beside(first, 7, 1)), 0)
    third = np.maximum(layer("third", beside(second, 5, 3)), 0)
    return sigmoid(layer("last", third))[9:].reshape(-1)


def speech(mel_db: Array) -> Array:
    """Score of each step; that of a tick's steps is told three ticks later."""
    layer, size = layers("speech"), SPEECH_HIDDEN
    held = np.zeros(size)
    told = []
    for x in seen(mel_db):
        first = np.maximum(layer("first", x), 0)
        gates = sigmoid(layer("gates", np.concatenate([first, held])))
        new = np.tanh(layer("fresh", first) + gates[:size] * layer("old", held))
        held = new + gates[size:] * (held - new)
        told.append(sigmoid(layer("last", held)))
    return np.array(told[3:]).reshape(-1)
