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
    TEMPO_3,
    TEMPO_4,
    TEMPO_FIRST,
    TEMPO_LAYERS,
    TEMPO_SECOND,
    TEMPO_SLOTS,
    TEMPO_SPAN,
    TEMPO_STRIDE,
    TEMPO_TAKEN,
    TEMPO_THIRD,
    TEMPO_WEIGHTS,
)
from .network import blocked_size, dense, rectify, sigmoid, take, weigh

_SECOND_WEIGHTS = TEMPO_WEIGHTS + blocked_size(*TEMPO_LAYERS["first"])
_THIRD_WEIGHTS = _SECOND_WEIGHTS + blocked_size(*TEMPO_LAYERS["second"])
_LAST_WEIGHTS = _THIRD_WEIGHTS + blocked_size(*TEMPO_LAYERS["third"])


@inlined
def syllables(state, tick, row, next_row):
    """Move on by the tick whose two steps are at SEEN; NUCLEUS of the two steps known by now, 18 steps before those."""
    net, weights, kept, taken = state.net, state.weights, state.memory, state.taken
    slot = TEMPO_1 + (tick % TEMPO_SPAN) * TEMPO_FIRST
    dense(net, SEEN, SEEN_ROWS, weights, TEMPO_WEIGHTS, kept, slot, TEMPO_FIRST, taken)
    rectify(kept, slot, TEMPO_FIRST)
    end = 0
    for place in range(TEMPO_SPAN):
        slot = TEMPO_1 + ((tick + 1 + place) % TEMPO_SPAN) * TEMPO_FIRST
        end = take(kept, slot, TEMPO_FIRST, taken, end)
    slot = TEMPO_2 + (tick % TEMPO_SLOTS) * TEMPO_SECOND
    weigh(taken, 0, end, weights, _SECOND_WEIGHTS, kept, slot, TEMPO_SECOND)
    rectify(kept, slot, TEMPO_SECOND)
    end = 0
    for place in range(TEMPO_TAKEN):
        slot = TEMPO_2 + ((tick + 1 + place * TEMPO_STRIDE) % TEMPO_SLOTS) * TEMPO_SECOND
        end = take(kept, slot, TEMPO_SECOND, taken, end)
    weigh(taken, 0, end, weights, _THIRD_WEIGHTS, net, TEMPO_3, TEMPO_THIRD)
    rectify(net, TEMPO_3, TEMPO_THIRD)
    dense(net, TEMPO_3, TEMPO_THIRD, weights, _LAST_WEIGHTS, net, TEMPO_4, HOPS, taken)
    store(state.features, row + NUCLEUS, sigmoid(load(net, TEMPO_4)))
    store(state.features, next_row + NUCLEUS, sigmoid(load(net, TEMPO_4 + 1)))
