"""What the networks behind syllables and speech see of a step: each mel band under the running peak of all bands, and
over the band's own running floor. So gain drops out, and steady noise nearly so."""

from ._jit import inlined
from .lanes import load, maximum, minimum, store, where_greater
from .layout import AGE, FIRST_FLOOR_DB, FLOORS, MEL, MEL_BANDS, PEAK

# The peak of all bands rises within 30 ms, falls by 3 dB a second; a floor falls within 50 ms, rises by 2 dB a second.
PEAK_RISE = 0.3
PEAK_FALL_DB = 0.03
LEAST_PEAK_DB = -75.0
FLOOR_FALL = 0.2
FLOOR_RISE_DB = 0.02
FIRST_STEPS = 7
"""Steps until a floor is believed, from the first window, two steps before the channel's first sample."""

PER_20_DB = 0.05


@inlined
def see(features, row, rows, net, at):
    """What is seen of the step whose feature rows begin at `row`, into net[at : at + SEEN_PER_STEP], in 20 dB."""
    age = load(rows, AGE)
    store(rows, AGE, age + 1.0)
    top = load(features, row + MEL)
    for band in range(1, MEL_BANDS):
        top = maximum(top, load(features, row + MEL + band))
    peak = load(rows, PEAK)
    peak = where_greater(top, peak, peak + (top - peak) * PEAK_RISE, peak - PEAK_FALL_DB)
    peak = maximum(peak, LEAST_PEAK_DB)
    store(rows, PEAK, peak)
    for band in range(MEL_BANDS):
        level = load(features, row + MEL + band)
        floor = load(rows, FLOORS + band)
        moved = where_greater(floor, level, floor + (level - floor) * FLOOR_FALL, minimum(level, floor + FLOOR_RISE_DB))
        floor = where_greater(FIRST_STEPS, age, minimum(level, FIRST_FLOOR_DB), moved)
        store(rows, FLOORS + band, floor)
        under = minimum(maximum((level - peak) * PER_20_DB, -3.0), 0.5)
        store(net, at + band, under + 1.0)
        store(net, at + MEL_BANDS + band, minimum((level - floor) * PER_20_DB, 2.0))
