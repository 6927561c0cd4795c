"""How likely a step is speech, and when speech begins and ends, 16 channels at a time."""

import numpy as np

from ._jit import inlined
from .lanes import LANES, exp2, load, maximum, minimum, splat, store, where_greater
from .layout import (
    ABOVE,
    AGE,
    BEGUN,
    BELOW,
    ENDED,
    FEATURES,
    FLOOR_DB,
    FLOORS,
    LAST_STEP,
    LEVEL_FLOOR,
    MEL,
    MEL_BANDS,
    PHASE,
    POWER_DB,
    QUIET,
    RECORD_END,
    RECORD_KIND,
    RECORD_LANE,
    RECORD_START,
    RECORD_STEP,
    RING_ROWS,
    SCORE,
    SECOND,
    SECONDS,
    SPEAKING,
    SPEECH,
    START_STEP,
    VOICING,
)

# The floor of a band falls to a quieter step within 50 ms and rises by 3 dB a second, by 0.5 while somebody speaks.
FALL = 0.2
RISE_DB = 0.03
RISE_IN_SPEECH_DB = 0.005
STEPS_PER_SECOND = 100

# What is quieter in a band than this is nothing, whatever the floor: crosstalk over a line that is digitally silent.
LEAST_BAND_DB = -72.0

# A line louder than this when a call opens may be speech already; below it, it is believed to be the floor.
FIRST_FLOOR_DB = -55.0
FIRST_STEPS = 5

# Logistic weights of mean band SNR (dB, each band held within 0-30), voicing and level over the quietest speech.
WEIGHT_SNR = 0.48
WEIGHT_VOICING = 5.5
WEIGHT_BIAS = -4.4
SMOOTHING = 0.35
_LOG2_E = np.float32(np.log2(np.e))


@inlined
def _follow(floor, level, rise, age):
    moved = where_greater(floor, level, floor + (level - floor) * FALL, minimum(level, floor + rise))
    return where_greater(FIRST_STEPS, age, minimum(level, FIRST_FLOOR_DB), moved)


@inlined
def score(features, row, rows):
    """SPEECH and FLOOR_DB of the step whose feature rows begin at `row`, from its band levels and its voicing."""
    last, age = load(rows, SCORE), load(rows, AGE)
    rise = where_greater(last, 0.5, RISE_IN_SPEECH_DB, RISE_DB)
    total = splat(0.0)
    for band in range(MEL_BANDS):
        level = load(features, row + MEL + band)
        floor = load(rows, FLOORS + band)
        floor = _follow(floor, level, rise, age)
        store(rows, FLOORS + band, floor)
        total = total + minimum(maximum(level, LEAST_BAND_DB) - maximum(floor, LEAST_BAND_DB), 30.0)
    snr = total * (1.0 / MEL_BANDS)
    sureness = snr * WEIGHT_SNR + load(features, row + VOICING) * WEIGHT_VOICING + WEIGHT_BIAS
    value = splat(1.0) / (exp2(sureness * (-_LOG2_E)) + 1.0)
    value = last + (value - last) * SMOOTHING
    store(rows, SCORE, value)
    store(features, row + SPEECH, value)

    level = load(features, row + POWER_DB)
    floor = load(rows, LEVEL_FLOOR)
    floor = _follow(floor, level, rise, age)
    store(rows, LEVEL_FLOOR, floor)
    store(rows, AGE, age + 1.0)
    store(features, row + FLOOR_DB, floor)


@inlined
def boundaries(features, step, boundary, counts, until, records, n_records):
    """Move the boundary machine of each lane to `step`; writes records, returns how many there are now.

    Speech begins once the score has stood above the onset threshold for `onset_steps`, and reaches back to the first
    of them less the pre-roll; it ends once the score has stood below the offset threshold for `hangover_steps`, at
    the last step above it. In between a record is written each second, and at `longest_steps` the utterance is cut.
    """
    row = (step % RING_ROWS) * FEATURES
    for lane in range(LANES):
        if step >= until[lane]:
            continue
        value = features[row + SPEECH, lane]
        kind = -1
        if counts[PHASE, lane] == QUIET:
            counts[ABOVE, lane] = counts[ABOVE, lane] + 1 if value >= boundary.onset_score else 0
            if counts[ABOVE, lane] >= boundary.onset_steps:
                counts[PHASE, lane] = SPEAKING
                start = step + 1 - boundary.onset_steps - boundary.pre_roll_steps
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
                counts[ABOVE, lane] = 0
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
