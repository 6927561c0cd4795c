"""Feature rows of one channel: those that are final from where they lie together, the newest from those of all."""

import numpy as np
from numpy.typing import NDArray

from ._jit import inlined, jit
from .lanes import LANES
from .layout import FEATURES, FRESH_ROWS, HOPS, KEPT_PER_DB, MEL, MEL_BANDS, RING_ROWS, TEMPO_DELAY, State

_MOST = 32767.0


@inlined
def keep(features, step, kept, kept_mel):
    """Rows that the tick at `step` made final."""
    for known in range(step - TEMPO_DELAY, step - TEMPO_DELAY + HOPS):
        row, place = (known % FRESH_ROWS) * FEATURES, known % RING_ROWS
        for lane in range(LANES):
            for column in range(MEL):
                kept[lane, place, column] = features[row + column, lane]
            for band in range(MEL_BANDS):
                level = features[row + MEL + band, lane] * np.float32(KEPT_PER_DB)
                kept_mel[lane, place, band] = np.int16(np.rint(min(max(level, np.float32(-_MOST)), np.float32(_MOST))))


@jit
def gather(features, kept, kept_mel, clock, lane, start, end):
    """Rows of steps start..end-1 of a lane, (end - start, FEATURES), of a block whose next step is `clock`."""
    rows = np.empty((end - start, FEATURES), np.float32)
    final = clock - TEMPO_DELAY
    for i in range(end - start):
        step = start + i
        if step < final:
            place = step % RING_ROWS
            for column in range(MEL):
                rows[i, column] = kept[lane, place, column]
            for band in range(MEL_BANDS):
                rows[i, MEL + band] = np.float32(kept_mel[lane, place, band]) * np.float32(1.0 / KEPT_PER_DB)
        else:
            row = (step % FRESH_ROWS) * FEATURES
            for column in range(FEATURES):
                rows[i, column] = features[row + column, lane]
    return rows


def rows_of(state: State, lane: int, start: int, end: int) -> NDArray[np.float32]:
    """Feature rows of steps start..end-1 of the block on a lane, (end - start, FEATURES), at most RING_ROWS back.

    The newest may still change; see the columns of `vocal_kernels.layout`.
    """
    rows: NDArray[np.float32] = gather(
        state.features, state.kept, state.kept_mel, int(state.clock[0]), lane, start, end
    )
    return rows
