"""The whole front end of a block as one kernel: `advance` moves 16 channels forward by some ticks of 20 ms."""

import math

import numpy as np
from numba import carray
from numpy.typing import NDArray

from ._jit import jit
from .functionals import functionals
from .lanes import LANES, load, pointer, splat, store
from .layout import (
    BINS,
    COUNTS,
    FEATURES,
    FFT_SIZE,
    FRESH_ROWS,
    HISTORY_SAMPLES,
    HNR_DB,
    HOP_SAMPLES,
    HOPS,
    JITTER,
    LAG_ROWS,
    LOST,
    MAX_RECORDS,
    MAX_TICKS,
    MEL,
    MEMORY_ROWS,
    MOST_CYCLES,
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
    WINDOW_SAMPLES,
    Boundary,
    State,
)
from .level import read_samples
from .loss import all_arrived, conceal
from .measures import measure, momentary, tempo_window
from .pitch import FIRST_BIN, LAST_BIN, track
from .quality import voice_quality
from .ring import gather, keep
from .seen import see
from .spectrum import mel_levels, two_autocorrelations, two_spectra
from .speech import boundaries, noise_floor, score
from .tempo import syllables

_OWN_SCORES = np.zeros((0, LANES), np.float32)


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
    if until.dtype != np.int64 or until.shape != (LANES,):
        raise ValueError(f"until: wanted int64 ({LANES},), got {until.dtype} {until.shape}")
    if scores is not None and (
        scores.dtype != np.float32
        or scores.shape != (len(pcm) // TICK_SAMPLES * HOPS, LANES)
        or not scores.flags.c_contiguous
    ):
        wanted = f"C-contiguous float32 ({len(pcm) // TICK_SAMPLES * HOPS}, {LANES})"
        raise ValueError(f"scores: wanted {wanted}, got {scores.dtype} {scores.shape}")
    moved, records = _advance(pcm, until, boundary, state, _OWN_SCORES if scores is None else scores)
    return moved, records


class Table:
    """Blocks that stand at one clock's tick, to be moved on in one call a thread; see `advance_blocks`.

    A row for each block: where its arrays lie. It keeps them alive.
    """

    def __init__(self) -> None:
        self._places = np.zeros((0, len(State._fields) + 2), np.int64)
        self._kept: list[tuple[State, NDArray[np.float32], NDArray[np.int64]]] = []
        self.wanted = np.zeros(0, np.bool_)
        self.records = np.zeros(0, np.int64)

    def append(self, state: State, pcm: NDArray[np.float32], until: NDArray[np.int64]) -> None:
        """A block; its `pcm` is (160, 16), written anew before each tick. ValueError for another shape or type."""
        if pcm.dtype != np.float32 or pcm.shape != (TICK_SAMPLES, LANES) or not pcm.flags.c_contiguous:
            raise ValueError(f"pcm: wanted C-contiguous float32 ({TICK_SAMPLES}, {LANES}), got {pcm.dtype} {pcm.shape}")
        if until.dtype != np.int64 or until.shape != (LANES,):
            raise ValueError(f"until: wanted int64 ({LANES},), got {until.dtype} {until.shape}")
        self._kept.append((state, pcm, until))
        places = [array.ctypes.data for array in (*state, pcm, until)]
        self._places = np.concatenate([self._places, np.array([places], np.int64)])
        self.wanted = np.append(self.wanted, False)
        self.records = np.append(self.records, 0)

    def __len__(self) -> int:
        return len(self._kept)


def advance_blocks(table: Table, first: int, stride: int, boundary: Boundary) -> None:
    """Move every `stride`-th block from `first` on, where `table.wanted`, forward by the tick in its pcm.

    How many boundary records are then in a block's state.records stands in `table.records`. Blocks that share what
    they work in (`new_state(beside)`) belong to one call; different calls may run at once.
    """
    if len(table):
        weights, scores = table._kept[0][0].weights, _OWN_SCORES
        _advance_blocks(table._places, table.wanted, table.records, first, stride, boundary, weights, scores)


def measure_stretches(
    table: Table,
    stretches: NDArray[np.int64],
    first: int,
    stride: int,
    measures: NDArray[np.float64],
    of_voice: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> None:
    """`measure`, `functionals` and `tempo_window` of every `stride`-th of some stretches, from `first` on.

    stretches: (n, 7) int64: block, lane, first step and the step after the last, the first step for the functionals,
    -1 where none are wanted, and first step and the step after the last for the tempo; steps of the block. measures:
    (n, MEASURES), of_voice: (n, FUNCTIONALS). counts: (n, 3), what `functionals` returns, then what `tempo_window`
    does. Different calls may run at once, none while a block is moved on.
    """
    _measure_stretches(table._places, stretches, first, stride, measures, of_voice, counts)


@jit
def _rings(places, block):
    """A block's features, what it keeps, and its clock."""
    features = carray(pointer(places[block, 3]), (FRESH_ROWS * FEATURES, LANES), np.float32)
    kept = carray(pointer(places[block, 4]), (LANES, RING_ROWS, FEATURES), np.float32)
    return features, kept, carray(pointer(places[block, 8]), (1,), np.int64)[0]


@jit
def _measure_stretches(places, stretches, first, stride, measures, of_voice, counts):
    for n in range(first, len(stretches), stride):
        block, lane, start, end, since, tempo_start, tempo_end = stretches[n]
        features, kept, clock = _rings(places, block)
        earliest = start if since < 0 else min(start, since)
        rows = gather(features, kept, clock, lane, earliest, end)
        measure(rows[start - earliest :], measures[n])
        if since >= 0:
            counts[n, 0] = functionals(rows[since - earliest :], of_voice[n])
        counts[n, 1], counts[n, 2] = tempo_window(kept[lane], tempo_start, tempo_end)


def measure_now(table: Table, channels: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """`momentary` of some channels as they stand, into out (n, MOMENTARY).

    channels: (n, 3) int64: block, lane, and the step of the block at which the channel began. Not while a block is
    moved on.
    """
    _measure_now(table._places, channels, out)


@jit
def _measure_now(places, channels, out):
    for n in range(len(channels)):
        block, lane, origin = channels[n]
        features, kept, now = _rings(places, block)
        momentary(features, kept[lane], lane, now, now - origin, out[n])


@jit
def _advance_blocks(places, wanted, records, first, stride, boundary, weights, scores):
    for n in range(first, len(places), stride):
        records[n] = 0
        if not wanted[n]:
            continue
        at = places[n]
        state = State(
            carray(pointer(at[0]), (HISTORY_SAMPLES, LANES), np.float32),
            carray(pointer(at[1]), (ROWS, LANES), np.float32),
            carray(pointer(at[2]), (COUNTS, LANES), np.int64),
            carray(pointer(at[3]), (FRESH_ROWS * FEATURES, LANES), np.float32),
            carray(pointer(at[4]), (LANES, RING_ROWS, FEATURES), np.float32),
            carray(pointer(at[5]), ((PITCH_DELAY + 1) * LAG_ROWS, LANES), np.float32),
            carray(pointer(at[6]), (MEMORY_ROWS, LANES), np.float32),
            carray(pointer(at[7]), (MAX_RECORDS, RECORD_COLUMNS), np.int64),
            carray(pointer(at[8]), (1,), np.int64),
            weights,
            carray(pointer(at[10]), (FFT_SIZE, LANES), np.float32),
            carray(pointer(at[11]), (FFT_SIZE, LANES), np.float32),
            carray(pointer(at[12]), (2 * BINS, LANES), np.float32),
            carray(pointer(at[13]), (NET_ROWS, LANES), np.float32),
            carray(pointer(at[14]), (TICK_SAMPLES, LANES), np.float32),
            carray(pointer(at[15]), (WINDOW_SAMPLES,), np.float32),
            carray(pointer(at[16]), (2, MOST_CYCLES), np.float64),
        )
        pcm = carray(pointer(at[17]), (TICK_SAMPLES, LANES), np.float32)
        until = carray(pointer(at[18]), (LANES,), np.int64)
        _, records[n] = _advance(pcm, until, boundary, state, scores)


@jit
def _advance(pcm, until, boundary, state, scores):
    n_records, tick = 0, 0
    while n_records == 0 and (tick + 1) * TICK_SAMPLES <= len(pcm):
        step = state.clock[0]
        for n in range(HISTORY_SAMPLES - TICK_SAMPLES):
            store(state.history, n, load(state.history, n + TICK_SAMPLES))
        source, first = pcm, tick * TICK_SAMPLES
        for hop in range(HOPS):
            store(state.features, ((step + hop) % FRESH_ROWS) * FEATURES + LOST, splat(0.0))
        if not all_arrived(pcm, first, state.filled):
            conceal(pcm, first, step, state)
            source, first = state.filled, 0
        for hop in range(HOPS):
            at = hop * HOP_SAMPLES
            fresh = HISTORY_SAMPLES - TICK_SAMPLES + at
            read_samples(source, first + at, step + hop, state.history, fresh, state.rows, state.features)
        two_spectra(state.history, PITCH_DELAY * HOP_SAMPLES, HOP_SAMPLES, state.real, state.imag, state.power)
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
                voice_quality(state.history, state.features, late, state.rows, state.window, state.cycles)
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
        keep(state.features, step, state.kept)
        state.clock[0] = step + HOPS
        tick += 1
    return tick, n_records
