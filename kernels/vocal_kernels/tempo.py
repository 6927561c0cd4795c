"""Syllables: a small convolution network gives each 10 ms step its share of a syllable; over an utterance they sum to
the count. It sees 430 ms around the step: a long vowel, but not a sentence. Trained by models/train/tempo.py.
"""

from ._jit import inlined
from .lanes import load, store
from .layout import (
    HOPS,
    NUCLEUS,
    SEEN,
    SEEN_ROWS,
    TEMPO_1,
    TEMPO_2,
    TEMPO_2_ROWS,
    TEMPO_2_TAKEN,
    TEMPO_3,
    TEMPO_4,
    TEMPO_FIRST,
    TEMPO_LAYERS,
    TEMPO_SECOND,
    TEMPO_SPAN,
    TEMPO_STRIDE,
    TEMPO_TAKEN,
    TEMPO_THIRD,
    TEMPO_WEIGHTS,
)
from .network import blocked_size, dense, rectify, sigmoid

_SECOND_WEIGHTS = TEMPO_WEIGHTS + blocked_size(*TEMPO_LAYERS["first"])
_THIRD_WEIGHTS = _SECOND_WEIGHTS + blocked_size(*TEMPO_LAYERS["second"])
_LAST_WEIGHTS = _THIRD_WEIGHTS + blocked_size(*TEMPO_LAYERS["third"])


@inlined
def _shift(net, at, count, by):
    """Move net[at + by : at + count] to net[at:]."""
    for i in range(at, at + count - by):
        store(net, i, load(net, i + by))


@inlined
def syllables(weights, net, features, row, next_row):
    """Move on by the tick whose two steps are at SEEN; NUCLEUS of the two steps known by now, 18 steps before those."""
    span = TEMPO_SPAN * TEMPO_FIRST
    _shift(net, TEMPO_1, span, TEMPO_FIRST)
    dense(net, SEEN, SEEN_ROWS, weights, TEMPO_WEIGHTS, TEMPO_2 - TEMPO_FIRST, TEMPO_FIRST)
    rectify(net, TEMPO_2 - TEMPO_FIRST, TEMPO_FIRST)
    _shift(net, TEMPO_2, TEMPO_2_ROWS, TEMPO_SECOND)
    dense(net, TEMPO_1, span, weights, _SECOND_WEIGHTS, TEMPO_2_TAKEN - TEMPO_SECOND, TEMPO_SECOND)
    rectify(net, TEMPO_2_TAKEN - TEMPO_SECOND, TEMPO_SECOND)
    for tick in range(TEMPO_TAKEN):
        for i in range(TEMPO_SECOND):
            value = load(net, TEMPO_2 + tick * TEMPO_STRIDE * TEMPO_SECOND + i)
            store(net, TEMPO_2_TAKEN + tick * TEMPO_SECOND + i, value)
    dense(net, TEMPO_2_TAKEN, TEMPO_TAKEN * TEMPO_SECOND, weights, _THIRD_WEIGHTS, TEMPO_3, TEMPO_THIRD)
    rectify(net, TEMPO_3, TEMPO_THIRD)
    dense(net, TEMPO_3, TEMPO_THIRD, weights, _LAST_WEIGHTS, TEMPO_4, HOPS)
    store(features, row + NUCLEUS, sigmoid(load(net, TEMPO_4)))
    store(features, next_row + NUCLEUS, sigmoid(load(net, TEMPO_4 + 1)))
