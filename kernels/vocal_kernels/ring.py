"""Feature rows of one channel: those that are final from where they lie together, the newest from those of all."""

import numpy as np
from numpy.typing import NDArray

from ._jit import inlined, jit
from .lanes import LANES
from .layout import FEATURES, FRESH_ROWS, HOPS, RING_ROWS, TEMPO_DELAY, State


@inlined
def keep(features, step, kept):
    """Rows that the tick at `step` made final."""
    for known in range(step - TEMPO_DELAY, step - TEMPO_DELAY + HOPS):
        row, place = (known % FRESH_ROWS) * FEATURES, known % RING_ROWS
        for lane in range(LANES):
            for column in range(FEATURES):
                kept[lane, place, column] = features[row + column, lane]


@jit
def gather(features, kept, clock, lane, start, end):
    """Rows of steps start..end-1 of a lane, (end - start, FEATURES), of a block whose next step is `clock`."""
    rows = np.empty((end - start, FEATURES), np.float32)
    final = clock - TEMPO_DELAY
    for i in range(end - start):
        step = start + i
        if step < final:
            rows[i] = kept[lane, step % RING_ROWS]
        else:
            row = (step % FRESH_ROWS) * FEATURES
            for column in range(FEATURES):
                rows[i, column] = features[row + column, lane]
    return rows


def rows_of(state: State, lane: int, start: int, end: int) -> NDArray[np.float32]:
    """Feature rows of steps start..end-1 of the block on a lane, (end - start, FEATURES), at most RING_ROWS back.

    The newest may still change; see the columns of `vocal_kernels.layout`.
    """
    rows: NDArray[np.float32] = gather(state.features, state.kept, int(state.clock[0]), lane, start, end)
    return rows
