"""Small trained networks inside a kernel: dense and gated recurrent layers over rows, 16 channels wide.

Weights come as one flat float32 array a network, handed to the kernels as an argument: Numba would copy a module's
constant into every kernel that touches it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._jit import inlined
from .lanes import TAKES_PAIRS, add_products, exp2, load, maximum, pair, rounded, splat, store

BLOCK = 8
"""Outputs of a dense layer that are summed side by side, each input being loaded once for all of them."""

LOG2_E = np.float32(np.log2(np.e))


def blocked_size(outputs: int, inputs: int) -> int:
    """How many numbers a dense layer takes once it is `blocked`."""
    return -(-outputs // BLOCK) * BLOCK * (1 + _taken(inputs))


def _taken(inputs: int) -> int:
    """Steps in which `dense` takes so many inputs."""
    return -(-inputs // 2) if TAKES_PAIRS else inputs


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to the nearest number of bfloat16, which has 8 significant bits, to the even one of two."""
    bits = values.view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return kept.astype(np.uint32).view(np.float32)


def blocked(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """A dense layer, (outputs, inputs) and (outputs,), in the order in which `dense` reads it, weights as bfloat16.

    For each eight outputs: their biases, then for each input, or pair of inputs, its eight weights, or pairs of them.
    What fills up the last eight is 0, and what the last of an odd number of inputs is paired with.
    """
    outputs, inputs = weight.shape
    rows, taken = -(-outputs // BLOCK) * BLOCK, _taken(inputs)
    both = np.zeros((rows, 1 + taken), np.float32)
    both[:outputs, 0] = bias
    if TAKES_PAIRS:
        halves = np.zeros((rows, 2 * taken), np.float32)
        halves[:outputs, :inputs] = to_bfloat16(np.ascontiguousarray(weight))
        upper = halves.view(np.uint32) >> 16
        both.view(np.uint32)[:, 1:] = upper[:, 0::2] | upper[:, 1::2] << 16
    else:
        both[:outputs, 1:] = to_bfloat16(np.ascontiguousarray(weight))
    return np.ascontiguousarray(both.reshape(-1, BLOCK, 1 + taken).transpose(0, 2, 1)).ravel()


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
def _add(total, given, weights, k):
    return total + given * weights[k]


_product = add_products if TAKES_PAIRS else _add


@inlined
def _take_pairs(given, source, inputs, taken, at):
    for i in range(inputs // 2):
        store(taken, at + i, pair(load(given, source + 2 * i), load(given, source + 2 * i + 1)))
    if inputs % 2:
        store(taken, at + inputs // 2, pair(load(given, source + inputs - 1), splat(0.0)))
    return at + (inputs + 1) // 2


@inlined
def _take_rows(given, source, inputs, taken, at):
    for i in range(inputs):
        store(taken, at + i, rounded(load(given, source + i)))
    return at + inputs


take = _take_pairs if TAKES_PAIRS else _take_rows
"""take(given, source, inputs, taken, at): given[source:] as bfloat16 into taken[at:], and where that ends. What a layer
takes may come in several parts, each but the last an even number of rows."""


@inlined
def weigh(taken, begin, end, weights, first, net, target, outputs):
    """net[target:] = weights * taken[begin:end] + bias, for a `blocked` layer that begins at weights[first].

    A multiple of eight rows is written. Returns where the weights of the next layer begin. Inputs and weights are those
    of bfloat16, their products summed as float32: two multiplications of 16 channels in one instruction of
    AVX512-BF16, and the same numbers to the last digits without it.
    """
    k = first
    for o in range(target, target + outputs, BLOCK):
        a, b, c, d = splat(weights[k]), splat(weights[k + 1]), splat(weights[k + 2]), splat(weights[k + 3])
        e, f, g, h = splat(weights[k + 4]), splat(weights[k + 5]), splat(weights[k + 6]), splat(weights[k + 7])
        k += BLOCK
        for i in range(begin, end):
            x = load(taken, i)
            a = _product(a, x, weights, k)
            b = _product(b, x, weights, k + 1)
            c = _product(c, x, weights, k + 2)
            d = _product(d, x, weights, k + 3)
            e = _product(e, x, weights, k + 4)
            f = _product(f, x, weights, k + 5)
            g = _product(g, x, weights, k + 6)
            h = _product(h, x, weights, k + 7)
            k += BLOCK
        store(net, o, a)
        store(net, o + 1, b)
        store(net, o + 2, c)
        store(net, o + 3, d)
        store(net, o + 4, e)
        store(net, o + 5, f)
        store(net, o + 6, g)
        store(net, o + 7, h)
    return k


@inlined
def dense(given, source, inputs, weights, first, net, target, outputs, taken):
    """net[target:] = weights * given[source:] + bias; see `weigh`. `taken` is overwritten."""
    return weigh(taken, 0, take(given, source, inputs, taken, 0), weights, first, net, target, outputs)


@inlined
def sigmoid(x):
    return splat(1.0) / (exp2(x * (-LOG2_E)) + 1.0)


@inlined
def rectify(net, first, count):
    for i in range(first, first + count):
        store(net, i, maximum(load(net, i), 0.0))


@inlined
def gated(net, source, inputs, hidden, weights, first, scratch, kept, at, taken):
    """One step of a gated recurrent layer (Cho et al., EMNLP 2014, in PyTorch's form).

    net[source:] holds the inputs; kept[at:] the `hidden` rows of memory, which are moved on; net[scratch:] is
    overwritten, 4 * hidden rows, and `taken`. weights[first:]: reset and update gate together over inputs and memory,
    then the candidate's part of the inputs, then its part of the memory.
    """
    fresh, old = scratch + 2 * hidden, scratch + 3 * hidden
    between = take(net, source, inputs, taken, 0)
    end = take(kept, at, hidden, taken, between)
    first = weigh(taken, 0, end, weights, first, net, scratch, 2 * hidden)
    first = weigh(taken, 0, between, weights, first, net, fresh, hidden)
    weigh(taken, between, end, weights, first, net, old, hidden)
    for i in range(hidden):
        candidate = load(net, fresh + i) + sigmoid(load(net, scratch + i)) * load(net, old + i)
        candidate = sigmoid(candidate * 2.0) * 2.0 - 1.0
        before = load(kept, at + i)
        store(kept, at + i, candidate + (before - candidate) * sigmoid(load(net, scratch + hidden + i)))
