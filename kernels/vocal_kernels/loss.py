"""What did not arrive: samples that are NaN. Each is filled with the one a cycle of the voice before, ever softer.

After ITU-T G.711 appendix I: the cycle is found by cross-correlation over what came last, 66 to 200 Hz; here it dies
away by 4.3 dB in 12.5 ms from the first sample on, gone after 60 ms as there.
"""

import math

from ._jit import inlined
from .lanes import LANES, load, splat, store
from .layout import (
    CYCLE,
    DC_IN,
    DC_OUT,
    FEATURES,
    FRESH_ROWS,
    HISTORY_SAMPLES,
    HOP_SAMPLES,
    HOPS,
    LOST,
    TICK_SAMPLES,
)

SHORTEST, LONGEST = 40, 121
COMPARED = 160
DECAY_SAMPLES = 200.0


@inlined
def _cycle(history, lane):
    """The lag at which the last 20 ms are most like what was before them."""
    best, best_likeness = LONGEST, 0.0
    end = HISTORY_SAMPLES - TICK_SAMPLES
    for lag in range(SHORTEST, LONGEST):
        both, energy = 0.0, 1e-12
        for i in range(end - COMPARED, end):
            both += history[i, lane] * history[i - lag, lane]
            energy += history[i - lag, lane] * history[i - lag, lane]
        likeness = both / math.sqrt(energy)
        if likeness > best_likeness:
            best, best_likeness = lag, likeness
    return best


@inlined
def all_arrived(pcm, first, filled):
    """Whether all samples of the tick that begins at row `first` are numbers, on every lane."""
    total = splat(0.0)
    for n in range(first, first + TICK_SAMPLES):
        total = total + load(pcm, n) * 0.0  # NaN where one is NaN, or beyond all bounds
    store(filled, 0, total)
    whole = True
    for lane in range(LANES):
        whole &= filled[0, lane] == 0.0
    return whole


@inlined
def conceal(pcm, first, step, history, state):
    """The tick's samples into state.filled with what is lost filled in, and LOST of its steps.

    The newest samples of the channel are the last in `history` but a tick, less the line's offset.
    """
    before = HISTORY_SAMPLES - TICK_SAMPLES
    for n in range(TICK_SAMPLES):
        store(state.filled, n, load(pcm, first + n))
    for lane in range(LANES):
        offset = state.rows[DC_IN, lane] - state.rows[DC_OUT, lane]
        cycle = state.counts[CYCLE, lane]
        for hop in range(HOPS):
            lost = 0
            for n in range(hop * HOP_SAMPLES, (hop + 1) * HOP_SAMPLES):
                if not math.isnan(pcm[first + n, lane]):
                    cycle = 0
                    continue
                lost += 1
                if cycle == 0:
                    cycle = _cycle(history, lane)
                past = state.filled[n - cycle, lane] - offset if n >= cycle else history[before + n - cycle, lane]
                past = past if abs(past) < 8.0 else 0.0  # what `read_samples` takes for a fault
                state.filled[n, lane] = past * math.exp(-cycle / DECAY_SAMPLES) + offset
            state.features[((step + hop) % FRESH_ROWS) * FEATURES + LOST, lane] = lost / HOP_SAMPLES
        state.counts[CYCLE, lane] = cycle
