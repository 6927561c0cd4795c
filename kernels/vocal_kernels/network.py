"""Small trained networks inside a kernel: dense and gated recurrent layers over rows, 16 channels wide.

Weights come as one flat float32 array a network, handed to the kernels as an argument: Numba would copy a module's
constant into every kernel that touches it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._jit import inlined
from .lanes import exp2, load, maximum, splat, store

BLOCK = 8
"""Outputs of a dense layer that are summed side by side, each input being loaded once for all of them."""

LOG2_E = np.float32(np.log2(np.e))


def blocked_size(outputs: int, inputs: int) -> int:
    """How many numbers a dense layer takes once it is `blocked`."""
    return -(-outputs // BLOCK) * BLOCK * (1 + inputs)


def blocked(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """A dense layer, (outputs, inputs) and (outputs,), in the order in which `dense` reads it.

    For each eight outputs: their biases, then for each input its eight weights. What fills up the last eight is 0.
    """
    outputs, inputs = weight.shape
    both = np.zeros((-(-outputs // BLOCK) * BLOCK, 1 + inputs), np.float32)
    both[:outputs, 0], both[:outputs, 1:] = bias, weight
    return np.ascontiguousarray(both.reshape(-1, BLOCK, 1 + inputs).transpose(0, 2, 1)).ravel()


def load_weights(name: str, shapes: dict[str, tuple[int, int]]) -> NDArray[np.float32]:
    """The layers of weights/NAME.npz one after the other, each `blocked`.

    shapes: (outputs, inputs) of each layer, in order; the file holds LAYER.weight and LAYER.bias for each. ValueError
    where it has others: it belongs to another version of the kernels.
    """
    path = Path(__file__).parent / "weights" / f"{name}.npz"
    with np.load(path) as file:
        for layer, shape in shapes.items():
            given = file[f"{layer}.weight"].shape
            if given != shape:
                raise ValueError(f"{path}: wanted {layer} of shape {shape}, got {given}")
        return np.concatenate([blocked(file[f"{layer}.weight"], file[f"{layer}.bias"]) for layer in shapes])


@inlined
def dense(given, source, inputs, weights, first, net, target, outputs):
    """net[target:] = weights * given[source:] + bias, for a `blocked` layer that begins at weights[first].

    A multiple of eight rows is written. One multiplication a weight: at 16 lanes of AVX-512 this runs at the machine's
    rate of one such instruction a cycle.
    """
    k = first
    for o in range(target, target + outputs, BLOCK):
        a, b, c, d = splat(weights[k]), splat(weights[k + 1]), splat(weights[k + 2]), splat(weights[k + 3])
        e, f, g, h = splat(weights[k + 4]), splat(weights[k + 5]), splat(weights[k + 6]), splat(weights[k + 7])
        k += BLOCK
        for i in range(source, source + inputs):
            x = load(given, i)
            a = a + x * weights[k]
            b = b + x * weights[k + 1]
            c = c + x * weights[k + 2]
            d = d + x * weights[k + 3]
            e = e + x * weights[k + 4]
            f = f + x * weights[k + 5]
            g = g + x * weights[k + 6]
            h = h + x * weights[k + 7]
            k += BLOCK
        store(net, o, a)
        store(net, o + 1, b)
        store(net, o + 2, c)
        store(net, o + 3, d)
        store(net, o + 4, e)
        store(net, o + 5, f)
        store(net, o + 6, g)
        store(net, o + 7, h)


@inlined
def sigmoid(x):
    return splat(1.0) / (exp2(x * (-LOG2_E)) + 1.0)


@inlined
def rectify(net, first, count):
    for i in range(first, first + count):
        store(net, i, maximum(load(net, i), 0.0))


@inlined
def gated(net, source, inputs, hidden, weights, first, scratch, kept, at):
    """One step of a gated recurrent layer (Cho et al., EMNLP 2014, in PyTorch's form).

    net[source:] holds the inputs; kept[at:] the `hidden` rows of memory, which are moved on and then stand behind the
    inputs, too; net[scratch:] is overwritten, 4 * hidden rows. weights[first:]: reset and update gate together over
    inputs and memory, then the candidate's part of the inputs, then its part of the memory.
    """
    memory, fresh, old = source + inputs, scratch + 2 * hidden, scratch + 3 * hidden
    for i in range(hidden):
        store(net, memory + i, load(kept, at + i))
    dense(net, source, inputs + hidden, weights, first, net, scratch, 2 * hidden)
    first += 2 * hidden * (1 + inputs + hidden)
    dense(net, source, inputs, weights, first, net, fresh, hidden)
    first += hidden * (1 + inputs)
    dense(net, memory, hidden, weights, first, net, old, hidden)
    for i in range(hidden):
        candidate = load(net, fresh + i) + sigmoid(load(net, scratch + i)) * load(net, old + i)
        candidate = sigmoid(candidate * 2.0) * 2.0 - 1.0
        before = load(net, memory + i)
        now = candidate + (before - candidate) * sigmoid(load(net, scratch + hidden + i))
        store(net, memory + i, now)
        store(kept, at + i, now)
