"""What lies where: the clock, the rows of features and of state. One place, so that no kernel counts for itself.

A block is 16 channels side by side. Every 10 ms a channel gains one feature row; row `j` describes the audio of
[10 j, 10 j + 10) ms since the channel began. Spectral features of a row come from a 50 ms window around its middle, so
a row is complete 20 ms after its time.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lanes import LANES
from .network import BLOCK, blocked_size, load_weights

RATE_HZ = 8000
TICK_SAMPLES = 160
HOP_SAMPLES = 80
HOPS = TICK_SAMPLES // HOP_SAMPLES
HOP_S = HOP_SAMPLES / RATE_HZ
TICK_S = TICK_SAMPLES / RATE_HZ
WINDOW_SAMPLES = 400
FFT_SIZE = 512
BINS = FFT_SIZE // 2 + 1
SPECTRAL_DELAY = 2  # steps from a row to the one whose samples complete its window
PITCH_DELAY = 3  # steps more until its F0 is known: 50 ms behind the last sample
SPEECH_DELAY = SPECTRAL_DELAY + 6  # steps until its speech score is known, and boundaries are decided
TEMPO_DELAY = SPECTRAL_DELAY + 18  # steps until its share of a syllable is known
SETTLE_TICKS = TEMPO_DELAY // HOPS + 1
"""Ticks after a sample until the last feature row that it touches is final."""

HISTORY_SAMPLES = WINDOW_SAMPLES + (1 + PITCH_DELAY) * HOP_SAMPLES  # back to the window of the newest known F0
HISTORY_TICKS = 4
"""Ticks for which it moves on in State.history before it is moved back to the beginning."""

HISTORY_ROWS = HISTORY_SAMPLES + (HISTORY_TICKS - 1) * TICK_SAMPLES
MAX_TICKS = 50
"""Most ticks in one call of `advance`: one second."""

MEL_BANDS = 24
LONGEST_S = 15.0
"""Longest utterance; a longer one is cut in two."""

# Feature rows of a 10 ms step
POWER_DB = 0  # mean square of the step, dBov
ENVELOPE = 1  # P.56 envelope at its end, linear, 1 = overload
K_POWER = 2  # K-weighted mean square
CLIPPED = 3  # share of samples at the codec's limit
F0_HZ = 4  # 0 where unvoiced, and until it is known
VOICING = 5  # height of the autocorrelation's highest peak, 0-1
SPEECH = 6  # speech score, 0-1
SPEECH_FROM = 0.6  # where a step counts as speech: there the labelled ends of utterances are met within 10 ms
FLOOR_DB = 7  # noise floor, dBov, as POWER_DB
NUCLEUS = 8  # share of a syllable; they sum to the syllables
JITTER = 9  # mean step between the lengths of neighbouring cycles over their mean; NaN where not measured
SHIMMER = 10  # the same of their sizes
HNR_DB = 11  # harmonics to noise
VOICED = 12  # how likely the step is a voice on the pitch that F0_HZ names, 0-1; PITCH_DELAY steps late, as F0_HZ
LOST = 13  # share of samples that did not arrive
MEL = 14  # first of MEL_BANDS band levels, dBov
FEATURES = MEL + MEL_BANDS

FRESH_ROWS = 64
"""Feature rows of a block in which something may still change, or which are looked at each tick."""

RING_ROWS = 1632
"""Feature rows kept of each channel: the longest utterance and 1.3 s around it."""

KEPT_PER_DB = 256.0
"""Band levels are kept in so many steps of a dB: half the memory, and finer than any line."""

# Rows of State.rows
DC_IN, DC_OUT = 0, 1
SHELF_1, SHELF_2, HIGH_1, HIGH_2 = 2, 3, 4, 5
ENVELOPE_1, ENVELOPE_2 = 6, 7
LOUDEST, QUIETEST = 8, 9
LEVEL_FLOOR, PEAK, AGE = 10, 11, 12
FLOORS = 13
ROWS = FLOORS + MEL_BANDS

# The network behind F0: what it hears of a step, its sizes, and the rows of State.net
PITCH_LAGS, PITCH_BANDS = 139, 128
PITCH_INPUTS = PITCH_LAGS + MEL_BANDS + 2 + PITCH_BANDS
PITCH_FIRST, PITCH_HIDDEN, PITCH_CLASSES = 48, 48, 39
PITCH_LAYERS = {
    "heard": (PITCH_FIRST, PITCH_INPUTS),
    "gates": (2 * PITCH_HIDDEN, PITCH_FIRST + PITCH_HIDDEN),
    "fresh": (PITCH_HIDDEN, PITCH_FIRST),
    "old": (PITCH_HIDDEN, PITCH_HIDDEN),
    "classes": (PITCH_CLASSES, PITCH_HIDDEN),
}
PITCH_HEARD = HOPS * PITCH_INPUTS  # behind the inputs of either step: the first layer
PITCH_SCRATCH = PITCH_HEARD + PITCH_FIRST
PITCH_ROWS = PITCH_SCRATCH + 4 * PITCH_HIDDEN
LAG_ROWS = 128
"""Rows of State.lags for each of the last PITCH_DELAY + 1 steps: its autocorrelation from 60 to 500 Hz."""

# What the networks behind syllables and speech see of a tick, their sizes, and their rows of State.net: of the one its
# third layer and its last; of the other its first, then what it overwrites.
SEEN_PER_STEP = 2 * MEL_BANDS
SEEN_ROWS = HOPS * SEEN_PER_STEP
TEMPO_FIRST, TEMPO_SECOND, TEMPO_THIRD = 40, 64, 56
TEMPO_SPAN = 7  # ticks of the first layer that the second takes
TEMPO_TAKEN, TEMPO_STRIDE = 5, 3  # outputs of the second layer that the third takes, and the ticks between them
TEMPO_LAYERS = {
    "first": (TEMPO_FIRST, SEEN_ROWS),
    "second": (TEMPO_SECOND, TEMPO_SPAN * TEMPO_FIRST),
    "third": (TEMPO_THIRD, TEMPO_TAKEN * TEMPO_SECOND),
    "last": (HOPS, TEMPO_THIRD),
}
SPEECH_FIRST, SPEECH_HIDDEN = 56, 72
SPEECH_LAYERS = {
    "first": (SPEECH_FIRST, SEEN_ROWS),
    "gates": (2 * SPEECH_HIDDEN, SPEECH_FIRST + SPEECH_HIDDEN),
    "fresh": (SPEECH_HIDDEN, SPEECH_FIRST),
    "old": (SPEECH_HIDDEN, SPEECH_HIDDEN),
    "last": (HOPS, SPEECH_HIDDEN),
}
SEEN = PITCH_ROWS
TEMPO_3 = SEEN + SEEN_ROWS
TEMPO_4 = TEMPO_3 + TEMPO_THIRD
SPEECH_HEARD = TEMPO_4 + BLOCK
SPEECH_SCRATCH = SPEECH_HEARD + SPEECH_FIRST
NET_ROWS = SPEECH_SCRATCH + 4 * SPEECH_HIDDEN

MOST_TAKEN = TEMPO_TAKEN * TEMPO_SECOND
"""Inputs of the layer that has most."""

# Rows of State.memory: what the networks keep from tick to tick; of the one behind syllables the last outputs of its
# first layer in TEMPO_SPAN slots by turns, and of its second in TEMPO_SLOTS.
PITCH_MEMORY = 0
SPEECH_MEMORY = PITCH_MEMORY + PITCH_HIDDEN
TEMPO_1 = SPEECH_MEMORY + SPEECH_HIDDEN
TEMPO_2 = TEMPO_1 + TEMPO_SPAN * TEMPO_FIRST
TEMPO_SLOTS = (TEMPO_TAKEN - 1) * TEMPO_STRIDE + 1
MEMORY_ROWS = TEMPO_2 + TEMPO_SLOTS * TEMPO_SECOND

# Rows of State.counts, int64; steps are the block's, counted since it was made
PHASE = 0  # QUIET or SPEAKING
ABOVE, BELOW = 1, 2  # steps in a row that the score stood above the onset, below the offset threshold
START_STEP, LAST_STEP, SECONDS = 3, 4, 5  # of the utterance: its first step, the step after its last, seconds reported
CYCLE = 6  # samples, of the voice that is carried on while nothing arrives; 0 when it does
RISEN = 7  # steps in a row that the score stood above the offset threshold before speech began
COUNTS = 8

QUIET, SPEAKING = 0, 1

MOST_CYCLES = 24
"""Cycles of the voice in a window: 50 ms of 480 Hz."""

# Columns of a boundary record
RECORD_LANE, RECORD_KIND, RECORD_STEP, RECORD_START, RECORD_END = range(5)
RECORD_COLUMNS = 5
BEGUN, SECOND, ENDED = 0, 1, 2
MAX_RECORDS = LANES * HOPS


class Boundary(NamedTuple):
    """When speech begins and ends; scores 0-1, times in 10 ms steps."""

    onset_score: float = 0.7
    offset_score: float = 0.4
    onset_steps: int = 8
    hangover_steps: int = 30
    pre_roll_steps: int = 3
    longest_steps: int = int(LONGEST_S / HOP_S)


class State(NamedTuple):
    """Everything a block remembers between two calls of `advance`, 187 kB a channel, nearly all of it kept rows; then
    what `advance` works in, which blocks may share.

    features: the newest rows of all channels side by side, by step; kept, kept_mel: rows that are final, channel by
    channel, so that what is measured over an utterance lies together. `rows_of` knows them all.
    """

    history: NDArray[np.float32]
    rows: NDArray[np.float32]
    counts: NDArray[np.int64]
    features: NDArray[np.float32]
    kept: NDArray[np.float32]
    kept_mel: NDArray[np.int16]
    lags: NDArray[np.float32]
    memory: NDArray[np.float32]
    records: NDArray[np.int64]
    clock: NDArray[np.int64]
    weights: NDArray[np.float32]
    real: NDArray[np.float32]
    imag: NDArray[np.float32]
    power: NDArray[np.float32]
    net: NDArray[np.float32]
    taken: NDArray[np.float32]
    filled: NDArray[np.float32]
    window: NDArray[np.float32]
    cycles: NDArray[np.float64]


WORKED_IN = ("real", "imag", "power", "net", "taken", "filled", "window", "cycles")
"""The arrays of a State that hold nothing between two calls."""


_LAYERS = {"pitch": PITCH_LAYERS, "tempo": TEMPO_LAYERS, "speech": SPEECH_LAYERS}
WEIGHTS = np.concatenate([load_weights(name, layers) for name, layers in _LAYERS.items()])
WEIGHTS_SHAPE = WEIGHTS.shape
PITCH_WEIGHTS = 0  # where each network's begin
TEMPO_WEIGHTS = sum(blocked_size(*shape) for shape in PITCH_LAYERS.values())
SPEECH_WEIGHTS = TEMPO_WEIGHTS + sum(blocked_size(*shape) for shape in TEMPO_LAYERS.values())


def new_state(beside: State | None = None) -> State:
    """A block of 16 silent channels.

    beside: a block that is never moved on at the same time, as by another thread. The new one works in its arrays, so
    that they stay in the processor's cache from block to block.
    """
    state = State(
        history=np.zeros((HISTORY_ROWS, LANES), np.float32),
        rows=np.zeros((ROWS, LANES), np.float32),
        counts=np.zeros((COUNTS, LANES), np.int64),
        features=np.zeros((FRESH_ROWS * FEATURES, LANES), np.float32),
        kept=np.zeros((LANES, RING_ROWS, MEL), np.float32),
        kept_mel=np.zeros((LANES, RING_ROWS, MEL_BANDS), np.int16),
        lags=np.zeros(((PITCH_DELAY + 1) * LAG_ROWS, LANES), np.float32),
        memory=np.zeros((MEMORY_ROWS, LANES), np.float32),
        records=np.zeros((MAX_RECORDS, RECORD_COLUMNS), np.int64),
        clock=np.zeros(1, np.int64),
        weights=WEIGHTS,
        real=np.zeros((FFT_SIZE, LANES), np.float32),
        imag=np.zeros((FFT_SIZE, LANES), np.float32),
        power=np.zeros((2 * BINS, LANES), np.float32),
        net=np.zeros((NET_ROWS, LANES), np.float32),
        taken=np.zeros((MOST_TAKEN, LANES), np.float32),
        filled=np.zeros((TICK_SAMPLES, LANES), np.float32),
        window=np.zeros(WINDOW_SAMPLES, np.float32),
        cycles=np.zeros((2, MOST_CYCLES)),
    )
    if beside is not None:
        state = state._replace(**{name: getattr(beside, name) for name in WORKED_IN})
    for lane in range(LANES):
        reset_lane(state, lane)
    return state


LN_A_DB = math.log(10.0) / 10.0
"""A dB in the natural logarithm of power: exp() costs a third of a power of ten."""

FIRST_FLOOR_DB = -55.0
"""A line louder than this when a call opens may be speech already; below it, it is believed to be the floor."""

FIRST_PEAK_DB = -50.0


def reset_lane(state: State, lane: int) -> None:
    """Forget all that was heard on a lane, for the channel that takes it at the block's present step."""
    state.history[:, lane] = 0.0
    state.rows[:, lane] = 0.0
    state.memory[:, lane] = 0.0
    state.lags[:, lane] = 0.0
    # The first windows and decisions reach back to steps before the channel: what a lane heard there was another's.
    for back in range(1, SPEECH_DELAY + 1):
        row = ((int(state.clock[0]) - back) % FRESH_ROWS) * FEATURES
        state.features[row : row + FEATURES, lane] = 0.0
    state.rows[PEAK, lane] = FIRST_PEAK_DB
    state.rows[LEVEL_FLOOR, lane] = FIRST_FLOOR_DB
    state.counts[:, lane] = 0
    state.counts[START_STEP, lane] = state.counts[LAST_STEP, lane] = state.clock[0]
