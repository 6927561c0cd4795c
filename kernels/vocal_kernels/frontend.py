"""The whole front end of a block as one kernel: `advance` moves 16 channels forward by some ticks of 20 ms."""

import math
from functools import cache

import numpy as np
from numba import carray
from numpy.typing import NDArray

from . import _native
from ._jit import address_of, inlined, jit
from .lanes import LANES, load, pointer, splat, store
from .layout import (
    BINS,
    COUNTS,
    FEATURES,
    FFT_SIZE,
    FRESH_ROWS,
    HISTORY_ROWS,
    HISTORY_SAMPLES,
    HISTORY_TICKS,
    HNR_DB,
    HOP_SAMPLES,
    HOPS,
    JITTER,
    LAG_ROWS,
    LOST,
    MAX_RECORDS,
    MAX_TICKS,
    MEL,
    MEL_BANDS,
    MEMORY_ROWS,
    MOST_CYCLES,
    MOST_TAKEN,
    NET_ROWS,
    NUCLEUS,
    PITCH_DELAY,
    RECORD_COLUMNS,
    RING_ROWS,
    ROWS,
    SEEN,
    SEEN_PER_STEP,
    SHIMMER,
    SPECTRAL_DELAY,
    SPEECH,
    SPEECH_DELAY,
    TEMPO_DELAY,
    TICK_SAMPLES,
    WEIGHTS_SHAPE,
    WINDOW_SAMPLES,
    Boundary,
    State,
)
from .level import read_samples
from .loss import all_arrived, conceal
from .pitch import FIRST_BIN, LAST_BIN, track
from .quality import voice_quality
from .ring import keep
from .seen import see
from .spectrum import mel_levels, two_autocorrelations, two_spectra
from .speech import boundaries, noise_floor, score
from .tempo import syllables

_OWN_SCORES = np.zeros((0, LANES), np.float32)
ADVANCE_CONTEXT = 10


def advance(
    pcm: NDArray[np.float32],
    until: NDArray[np.int64],
    boundary: Boundary,
    state: State,
    scores: NDArray[np.float32] | None = None,
) -> tuple[int, int]:
    """Move a block forward; every lane by as much.

    pcm: (ticks * 160, 16) float32 at 8 kHz, full scale 1, at most MAX_TICKS ticks; NaN where nothing arrived.
    until: (16,) int64, the step of the block at which each lane's channel ends as far as that is known; from there on
    nothing is decided on that lane.
    scores: speech scores of another detector, (ticks * 2, 16) float32, in place of the network's.
    Returns (ticks moved, boundary records now in state.records). It stops after a tick that has records, so that what
    is measured over them is the same however many ticks were asked for. Raises ValueError for another shape or type.
    """
    if pcm.dtype != np.float32 or pcm.ndim != 2 or pcm.shape[1] != LANES or not pcm.flags.c_contiguous:
        raise ValueError(f"pcm: wanted C-contiguous float32 (n, {LANES}), got {pcm.dtype} {pcm.shape}")
    if len(pcm) > MAX_TICKS * TICK_SAMPLES:
        raise ValueError(f"pcm: wanted at most {MAX_TICKS} ticks of {TICK_SAMPLES} samples, got {len(pcm)} samples")
    if until.dtype != np.int64 or until.shape != (LANES,) or not until.flags.c_contiguous:
        raise ValueError(f"until: wanted C-contiguous int64 ({LANES},), got {until.dtype} {until.shape}")
    if scores is not None and (
        scores.dtype != np.float32
        or scores.shape != (len(pcm) // TICK_SAMPLES * HOPS, LANES)
        or not scores.flags.c_contiguous
    ):
        wanted = f"C-contiguous float32 ({len(pcm) // TICK_SAMPLES * HOPS}, {LANES})"
        raise ValueError(f"scores: wanted {wanted}, got {scores.dtype} {scores.shape}")
    given = _OWN_SCORES if scores is None else scores
    places = np.array([[one.ctypes.data for one in (*state, pcm, until)]], np.int64)
    settings, told = np.array(boundary, np.float64), np.array([1, 0, 0], np.int64)  # wanted, records, moved
    at_wanted, at_records, at_moved = (told.ctypes.data + 8 * n for n in range(3))
    context = [places.ctypes.data, *places.shape, at_wanted, at_records, settings.ctypes.data, len(pcm)]
    context += [given.ctypes.data, len(given), at_moved]
    _native.run_piece(advance_address(), np.array(context, np.int64))
    return int(told[2]), int(told[1])


class Table:
    """Blocks that stand at one clock's tick, to be moved on by a `Crew`.

    A row for each block: where its arrays lie. It keeps them alive.
    """

    def __init__(self) -> None:
        self.places = np.zeros((0, len(State._fields) + 2), np.int64)
        self._kept: list[tuple[State, NDArray[np.float32], NDArray[np.int64]]] = []
        self.wanted = np.zeros(0, np.bool_)
        self.records = np.zeros(0, np.int64)
        self.moved = np.zeros(0, np.int64)

    def append(self, state: State, pcm: NDArray[np.float32], until: NDArray[np.int64]) -> None:
        """A block; its `pcm` is (160, 16), written anew before each tick. ValueError for another shape or type."""
        if pcm.dtype != np.float32 or pcm.shape != (TICK_SAMPLES, LANES) or not pcm.flags.c_contiguous:
            raise ValueError(f"pcm: wanted C-contiguous float32 ({TICK_SAMPLES}, {LANES}), got {pcm.dtype} {pcm.shape}")
        if until.dtype != np.int64 or until.shape != (LANES,) or not until.flags.c_contiguous:
            raise ValueError(f"until: wanted C-contiguous int64 ({LANES},), got {until.dtype} {until.shape}")
        self._kept.append((state, pcm, until))
        places = [array.ctypes.data for array in (*state, pcm, until)]
        self.places = np.concatenate([self.places, np.array([places], np.int64)])
        self.wanted = np.append(self.wanted, False)
        self.records = np.append(self.records, 0)
        self.moved = np.append(self.moved, 0)

    def __len__(self) -> int:
        return len(self._kept)


@jit
def rings(places, block):
    """A block's features, what it keeps, its band levels, and its clock. places: of a `Table`."""
    features = carray(pointer(places[block, 3]), (FRESH_ROWS * FEATURES, LANES), np.float32)
    kept = carray(pointer(places[block, 4]), (LANES, RING_ROWS, MEL), np.float32)
    kept_mel = carray(pointer(places[block, 5]), (LANES, RING_ROWS, MEL_BANDS), np.int16)
    return features, kept, kept_mel, carray(pointer(places[block, 9]), (1,), np.int64)[0]


def _advance_piece(context, block, worker):
    """Move a block forward, working in what block `worker` works in.

    context: places of blocks, how many, and their columns; by block wanted (a byte), records and ticks moved; the
    boundary's settings; rows of pcm; the scores of another detector and how many.
    """
    told = carray(context, (ADVANCE_CONTEXT,), np.int64)
    places = carray(pointer(told[0]), (told[1], told[2]), np.int64)
    if not carray(pointer(told[3]), (told[1],), np.bool_)[block]:
        carray(pointer(told[4]), (told[1],), np.int64)[block] = 0
        return
    given = carray(pointer(told[5]), (6,), np.float64)
    boundary = Boundary(given[0], given[1], int(given[2]), int(given[3]), int(given[4]), int(given[5]))
    at, own = places[block], places[worker]
    state = State(
        carray(pointer(at[0]), (HISTORY_ROWS, LANES), np.float32),
        carray(pointer(at[1]), (ROWS, LANES), np.float32),
        carray(pointer(at[2]), (COUNTS, LANES), np.int64),
        carray(pointer(at[3]), (FRESH_ROWS * FEATURES, LANES), np.float32),
        carray(pointer(at[4]), (LANES, RING_ROWS, MEL), np.float32),
        carray(pointer(at[5]), (LANES, RING_ROWS, MEL_BANDS), np.int16),
        carray(pointer(at[6]), ((PITCH_DELAY + 1) * LAG_ROWS, LANES), np.float32),
        carray(pointer(at[7]), (MEMORY_ROWS, LANES), np.float32),
        carray(pointer(at[8]), (MAX_RECORDS, RECORD_COLUMNS), np.int64),
        carray(pointer(at[9]), (1,), np.int64),
        carray(pointer(at[10]), WEIGHTS_SHAPE, np.float32),
        carray(pointer(own[11]), (FFT_SIZE, LANES), np.float32),
        carray(pointer(own[12]), (FFT_SIZE, LANES), np.float32),
        carray(pointer(own[13]), (2 * BINS, LANES), np.float32),
        carray(pointer(own[14]), (NET_ROWS, LANES), np.float32),
        carray(pointer(own[15]), (MOST_TAKEN, LANES), np.float32),
        carray(pointer(own[16]), (TICK_SAMPLES, LANES), np.float32),
        carray(pointer(own[17]), (WINDOW_SAMPLES,), np.float32),
        carray(pointer(own[18]), (2, MOST_CYCLES), np.float64),
    )
    pcm = carray(pointer(at[19]), (told[6], LANES), np.float32)
    until = carray(pointer(at[20]), (LANES,), np.int64)
    scores = carray(pointer(told[7]), (told[8], LANES), np.float32)
    moved, records = _advance(pcm, until, boundary, state, scores)
    carray(pointer(told[4]), (told[1],), np.int64)[block] = records
    carray(pointer(told[9]), (told[1],), np.int64)[block] = moved


@cache
def advance_address() -> int:
    """Of the one compiled kernel that moves blocks, for live and offline alike: two that were compiled apart would
    differ in last digits."""
    return address_of(_advance_piece)


@inlined
def _advance(pcm, until, boundary, state, scores):
    n_records, tick = 0, 0
    while n_records == 0 and (tick + 1) * TICK_SAMPLES <= len(pcm):
        step = state.clock[0]
        moved = (step // HOPS) % HISTORY_TICKS * TICK_SAMPLES
        if moved == 0:
            for n in range(HISTORY_SAMPLES - TICK_SAMPLES):
                store(state.history, n, load(state.history, n + HISTORY_TICKS * TICK_SAMPLES))
        history = state.history[moved : moved + HISTORY_SAMPLES]
        source, first = pcm, tick * TICK_SAMPLES
        for hop in range(HOPS):
            store(state.features, ((step + hop) % FRESH_ROWS) * FEATURES + LOST, splat(0.0))
        if not all_arrived(pcm, first, state.filled):
            conceal(pcm, first, step, history, state)
            source, first = state.filled, 0
        for hop in range(HOPS):
            at = hop * HOP_SAMPLES
            fresh = HISTORY_SAMPLES - TICK_SAMPLES + at
            read_samples(source, first + at, step + hop, history, fresh, state.rows, state.features)
        two_spectra(history, PITCH_DELAY * HOP_SAMPLES, HOP_SAMPLES, state.real, state.imag, state.power)
        two_autocorrelations(state.power, FIRST_BIN, LAST_BIN, state.real, state.imag)
        for hop in range(HOPS):
            now = step + hop - SPECTRAL_DELAY
            row = ((now + FRESH_ROWS) % FRESH_ROWS) * FEATURES
            store(state.features, row + NUCLEUS, splat(0.0))
            mel_levels(state.power, hop * BINS, state.features, row + MEL)
            track(state.real if hop == 0 else state.imag, hop, now, state)
            late = ((now - PITCH_DELAY + FRESH_ROWS) % FRESH_ROWS) * FEATURES
            if hop == 0:
                # The history reaches back to the window of that step.
                voice_quality(history, state.features, late, state.rows, state.window, state.cycles)
            else:
                for measure in (JITTER, SHIMMER, HNR_DB):
                    store(state.features, late + measure, splat(math.nan))
            see(state.features, row, state.rows, state.net, SEEN + hop * SEEN_PER_STEP)
        known = (step - TEMPO_DELAY + FRESH_ROWS) % FRESH_ROWS
        syllables(state, step // HOPS, known * FEATURES, (known + 1) % FRESH_ROWS * FEATURES)
        known = (step - SPEECH_DELAY + FRESH_ROWS) % FRESH_ROWS
        next_known = (known + 1) % FRESH_ROWS
        if len(scores) == 0:
            score(state, known * FEATURES, next_known * FEATURES)
        else:
            for hop in range(HOPS):
                given = load(scores, tick * HOPS + hop)
                store(state.features, ((step + hop) % FRESH_ROWS) * FEATURES + SPEECH, given)
        noise_floor(state.features, known * FEATURES, state.rows)
        noise_floor(state.features, next_known * FEATURES, state.rows)
        for now in range(step - SPEECH_DELAY, step - SPEECH_DELAY + HOPS):
            n_records = boundaries(state.features, now, boundary, state.counts, until, state.records, n_records)
        keep(state.features, step, state.kept, state.kept_mel)
        state.clock[0] = step + HOPS
        tick += 1
    return tick, n_records
