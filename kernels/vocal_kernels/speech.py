"""How likely a step is speech, and when speech begins and ends, 16 channels at a time.

The score comes from a small recurrent network that has seen 60 ms beyond the step, trained by models/train/speech.py.
"""

from ._jit import inlined
from .lanes import LANES, load, minimum, store, where_greater
from .layout import (
    ABOVE,
    AGE,
    BEGUN,
    BELOW,
    ENDED,
    FEATURES,
    FLOOR_DB,
    FRESH_ROWS,
    HOPS,
    LAST_STEP,
    LEVEL_FLOOR,
    PHASE,
    POWER_DB,
    QUIET,
    RECORD_END,
    RECORD_KIND,
    RECORD_LANE,
    RECORD_START,
    RECORD_STEP,
    RISEN,
    SECOND,
    SECONDS,
    SEEN,
    SEEN_ROWS,
    SPEAKING,
    SPEECH,
    SPEECH_DELAY,
    SPEECH_FIRST,
    SPEECH_HEARD,
    SPEECH_HIDDEN,
    SPEECH_LAYERS,
    SPEECH_MEMORY,
    SPEECH_SCRATCH,
    SPEECH_WEIGHTS,
    START_STEP,
)
from .network import blocked_size, dense, gated, rectify, sigmoid

# The noise floor falls to a quieter step within 50 ms and rises by 3 dB a second, by 0.5 while somebody speaks.
FALL = 0.2
RISE_DB = 0.03
RISE_IN_SPEECH_DB = 0.005
STEPS_PER_SECOND = 100
REACH_STEPS = 50
"""How far back from where it was sure the machine looks for where speech began."""

_MEMORY_WEIGHTS = SPEECH_WEIGHTS + blocked_size(*SPEECH_LAYERS["first"])
_LAST_WEIGHTS = _MEMORY_WEIGHTS + sum(blocked_size(*SPEECH_LAYERS[name]) for name in ("gates", "fresh", "old"))


@inlined
def score(state, row, next_row):
    """Move on by the tick whose two steps are at SEEN; SPEECH of the two steps known by now."""
    net, weights, kept, taken, hidden = state.net, state.weights, state.memory, state.taken, SPEECH_HIDDEN
    dense(net, SEEN, SEEN_ROWS, weights, SPEECH_WEIGHTS, net, SPEECH_HEARD, SPEECH_FIRST, taken)
    rectify(net, SPEECH_HEARD, SPEECH_FIRST)
    at, memory = SPEECH_MEMORY, _MEMORY_WEIGHTS
    gated(net, SPEECH_HEARD, SPEECH_FIRST, hidden, weights, memory, SPEECH_SCRATCH, kept, at, taken)
    dense(kept, SPEECH_MEMORY, hidden, weights, _LAST_WEIGHTS, net, SPEECH_SCRATCH, HOPS, taken)
    store(state.features, row + SPEECH, sigmoid(load(net, SPEECH_SCRATCH)))
    store(state.features, next_row + SPEECH, sigmoid(load(net, SPEECH_SCRATCH + 1)))


@inlined
def noise_floor(features, row, rows):
    """FLOOR_DB of a step whose score is known."""
    level, floor = load(features, row + POWER_DB), load(rows, LEVEL_FLOOR)
    rise = where_greater(load(features, row + SPEECH), 0.5, RISE_IN_SPEECH_DB, RISE_DB)
    moved = where_greater(floor, level, floor + (level - floor) * FALL, minimum(level, floor + rise))
    # Not by the steps before the channel's first, which the score's delay reaches back to.
    floor = where_greater(load(rows, AGE), SPEECH_DELAY + 1.0, moved, floor)
    store(rows, LEVEL_FLOOR, floor)
    store(features, row + FLOOR_DB, floor)


@inlined
def boundaries(features, step, boundary, counts, until, records, n_records):
    """Move the boundary machine of each lane to `step`; writes records, returns how many there are now.

    Speech begins once the score has stood above the onset threshold for `onset_steps`, and reaches back to where
    the score rose above the offset threshold, REACH_STEPS at most, less the pre-roll; it ends once the score has stood
    below the offset threshold for `hangover_steps`, at the last step above it. In between a record is written each
    second, and at `longest_steps` the utterance is cut.
    """
    row = (step % FRESH_ROWS) * FEATURES
    for lane in range(LANES):
        # Nor before the channel began, which the score's delay reaches back to.
        if step >= until[lane] or step < counts[LAST_STEP, lane]:
            continue
        value = features[row + SPEECH, lane]
        kind = -1
        if counts[PHASE, lane] == QUIET:
            counts[ABOVE, lane] = counts[ABOVE, lane] + 1 if value >= boundary.onset_score else 0
            counts[RISEN, lane] = counts[RISEN, lane] + 1 if value >= boundary.offset_score else 0
            if counts[ABOVE, lane] >= boundary.onset_steps:
                counts[PHASE, lane] = SPEAKING
                risen = max(min(counts[RISEN, lane], REACH_STEPS), boundary.onset_steps)
                start = step + 1 - risen - boundary.pre_roll_steps
                # Not into the utterance before.
                counts[START_STEP, lane] = max(start, counts[LAST_STEP, lane])
                counts[BELOW, lane] = 0
                counts[SECONDS, lane] = 0
                counts[LAST_STEP, lane] = step + 1
                kind = BEGUN
        else:
            if value >= boundary.offset_score:
                counts[BELOW, lane] = 0
                counts[LAST_STEP, lane] = step + 1
            else:
                counts[BELOW, lane] += 1
            heard = step + 1 - counts[START_STEP, lane]
            if counts[BELOW, lane] >= boundary.hangover_steps or heard >= boundary.longest_steps:
                counts[PHASE, lane] = QUIET
                counts[ABOVE, lane] = counts[RISEN, lane] = 0
                kind = ENDED
            elif heard >= (counts[SECONDS, lane] + 1) * STEPS_PER_SECOND:
                counts[SECONDS, lane] += 1
                kind = SECOND
        if kind >= 0:
            records[n_records, RECORD_LANE] = lane
            records[n_records, RECORD_KIND] = kind
            records[n_records, RECORD_STEP] = step
            records[n_records, RECORD_START] = counts[START_STEP, lane]
            records[n_records, RECORD_END] = counts[LAST_STEP, lane]
            n_records += 1
    return n_records
