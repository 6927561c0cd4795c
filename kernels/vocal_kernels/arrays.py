"""The front end for whole signals in memory: for training, for tests, and for those who have arrays, not calls."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .crew import STRETCH_COLUMNS, Crew, measure_now
from .frontend import Table, advance
from .functionals import FUNCTIONALS, functionals
from .lanes import LANES
from .layout import (
    ENVELOPE,
    F0_HZ,
    FEATURES,
    HOP_S,
    HOP_SAMPLES,
    HOPS,
    MAX_TICKS,
    NUCLEUS,
    POWER_DB,
    RATE_HZ,
    SETTLE_TICKS,
    SPEECH,
    SPEECH_FROM,
    TEMPO_DELAY,
    TICK_SAMPLES,
    VOICING,
    Boundary,
    new_state,
)
from .level import active_level_db
from .loudness import loudness
from .measures import MEASURES, MOMENTARY, PAUSE_STEPS, measure
from .ring import rows_of

_NO_DECISIONS = np.zeros(LANES, np.int64)


def as_signal(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """One channel as float32 `(n,)`; ValueError names what was wanted and given."""
    signal = np.asarray(samples)
    if signal.ndim != 1:
        raise ValueError(f"samples: wanted one channel, shape (n,), got shape {signal.shape}")
    if not np.issubdtype(signal.dtype, np.floating):
        raise ValueError(f"samples: wanted floating point with full scale 1, got {signal.dtype}")
    with np.errstate(over="ignore"):  # the kernel takes an infinity for silence
        return signal.astype(np.float32, copy=False)


def extract(signals: Sequence[NDArray[np.floating]], threads: int = 1) -> list[NDArray[np.float32]]:
    """Feature rows of signals at 8 kHz, sixteen at a time.

    Parameters
    ----------
    signals
        Each `(n,)` floating point, 8 kHz, full scale 1; NaN where nothing arrived.
    threads
        How many sixteens are worked on at once. The rows are the same, bit for bit, whatever the number.

    Returns
    -------
    list of (steps, FEATURES) float32
        One row for each whole 10 ms; the columns are those of `vocal_kernels.layout` (`F0_HZ`, `SPEECH`, `MEL`, ...).

    Raises
    ------
    ValueError
        For an array that is not one channel of floating point samples.
    """
    checked = [as_signal(signal) for signal in signals]
    blocks = [checked[first : first + LANES] for first in range(0, len(checked), LANES)]
    with ThreadPoolExecutor(threads) as pool:
        return list(itertools.chain.from_iterable(pool.map(_extract_block, blocks)))


def warmup() -> None:
    """Compile every kernel, or load what an earlier process compiled: some 15 s once, then well under a second."""
    rows = extract([np.zeros(RATE_HZ, np.float32)])[0]
    table = Table()
    table.append(new_state(), np.zeros((TICK_SAMPLES, LANES), np.float32), _NO_DECISIONS)
    crew = Crew()
    crew.advance(table, Boundary())
    crew.measure(table, np.zeros((1, STRETCH_COLUMNS), np.int64))
    measure_now(table, np.zeros((1, 3), np.int64), np.empty((1, MOMENTARY)))
    measure(rows, np.empty(MEASURES))
    functionals(rows, np.empty(FUNCTIONALS))
    rows_of(new_state(), 0, 0, 1)
    active_level_db(np.zeros(1), np.zeros(1))
    loudness(np.zeros(RATE_HZ), RATE_HZ)


def _extract_block(signals: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    state, boundary = new_state(), Boundary()
    longest = max(len(signal) for signal in signals)
    ticks = -(-longest // TICK_SAMPLES) + SETTLE_TICKS
    table = np.empty((len(signals), ticks * HOPS, FEATURES), np.float32)
    pcm = np.zeros((MAX_TICKS * TICK_SAMPLES, LANES), np.float32)
    final = 0
    for tick in range(0, ticks, MAX_TICKS):
        count = min(MAX_TICKS, ticks - tick)
        pcm[:] = 0.0
        for lane, signal in enumerate(signals):
            piece = signal[tick * TICK_SAMPLES : (tick + count) * TICK_SAMPLES]
            pcm[: len(piece), lane] = piece
        # Nothing is decided on any lane, so nothing stops it before the end.
        advance(pcm[: count * TICK_SAMPLES], _NO_DECISIONS, boundary, state)
        upto = max(0, (tick + count) * HOPS - TEMPO_DELAY)
        for lane in range(len(signals)):
            table[lane, final:upto] = rows_of(state, lane, final, upto)
        final = upto
    return [np.ascontiguousarray(table[lane, : len(s) // HOP_SAMPLES]) for lane, s in enumerate(signals)]


class Pitch(NamedTuple):
    """One value each 10 ms. f0_hz: 60-500, NaN where unvoiced; voicing: 0-1."""

    f0_hz: NDArray[np.float32]
    voicing: NDArray[np.float32]


class Tempo(NamedTuple):
    """syllables; speech_s: speech without pauses over 200 ms; and their quotient, NaN without speech."""

    syllables: int
    speech_s: float
    articulation_rate_syll_s: float


def f0(samples: NDArray[np.floating]) -> Pitch:
    """F0 and voicing of a signal `(n,)` at 8 kHz. Tones that do not move, as of a ringing line, are no voice."""
    rows = extract([samples])[0]
    f0_hz = rows[:, F0_HZ].copy()
    f0_hz[f0_hz <= 0.0] = np.nan
    return Pitch(f0_hz, rows[:, VOICING].copy())


def active_level(samples: NDArray[np.floating]) -> float:
    """Active speech level of a signal `(n,)` at 8 kHz, ITU-T P.56 method B, in dBov; NaN without activity."""
    rows = extract([samples])[0].astype(np.float64)
    return float(active_level_db(10.0 ** (rows[:, POWER_DB] / 10.0), rows[:, ENVELOPE].copy()))


def speech_score(samples: NDArray[np.floating]) -> NDArray[np.float32]:
    """How likely each 10 ms of a signal `(n,)` at 8 kHz is speech, 0-1."""
    return extract([samples])[0][:, SPEECH].copy()


def speech_tempo(samples: NDArray[np.floating]) -> Tempo:
    """Tempo of a signal `(n,)` at 8 kHz, of any length."""
    rows = extract([samples])[0]
    speaks = rows[:, SPEECH] >= SPEECH_FROM
    edges = np.flatnonzero(np.diff(np.concatenate([[True], speaks, [True]]).astype(np.int8)))
    pauses = edges[1::2] - edges[::2]
    spoken = len(rows) - int(pauses[pauses > PAUSE_STEPS].sum())
    syllables = float(rows[speaks, NUCLEUS].sum())
    rate = syllables / (spoken * HOP_S) if spoken else float("nan")
    return Tempo(round(syllables), spoken * HOP_S, rate)
