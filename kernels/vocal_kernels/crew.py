"""Many blocks by many threads: a tick of all, and what stretches of them sound like, each in one call.

Crew.advance ─► a block each: its playouts' tick, then its samples ─┐
Crew.measure ─► a stretch each ─────────────────────────────────────┴─ whoever is done takes the next
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import carray
from numpy.typing import NDArray

from . import _native
from ._jit import address_of, jit
from .frontend import Table, advance_address, rings
from .functionals import FUNCTIONALS, functionals
from .lanes import pointer
from .layout import TICK_SAMPLES, Boundary
from .measures import MEASURES, measure, momentary, tempo_window
from .ring import gather

STRETCH_COLUMNS, COUNT_COLUMNS = 7, 3


def _measure_piece(context, n, worker):
    """context: places of the table and its columns; stretches, and where what is measured goes."""
    told = carray(context, (8,), np.int64)
    places = carray(pointer(told[0]), (told[1], told[2]), np.int64)
    stretches = carray(pointer(told[4]), (told[3], STRETCH_COLUMNS), np.int64)
    measures = carray(pointer(told[5]), (told[3], MEASURES), np.float64)
    of_voice = carray(pointer(told[6]), (told[3], FUNCTIONALS), np.float64)
    counts = carray(pointer(told[7]), (told[3], COUNT_COLUMNS), np.float64)
    block, lane, start, end, since, tempo_start, tempo_end = stretches[n]
    features, kept, kept_mel, clock = rings(places, block)
    earliest = start if since < 0 else min(start, since)
    rows = gather(features, kept, kept_mel, clock, lane, earliest, end)
    measure(rows[start - earliest :], measures[n])
    if since >= 0:
        counts[n, 0] = functionals(rows[since - earliest :], of_voice[n])
    counts[n, 1], counts[n, 2] = tempo_window(kept[lane], tempo_start, tempo_end)


@cache
def _measure_address() -> int:
    return address_of(_measure_piece)


class Crew:
    """So many threads, the one that calls among them; from one thread at a time.

    numbers: the system's, of its own threads.
    """

    def __init__(self, threads: int = 1, name: str = "vocal-crew") -> None:
        self._native = _native.Crew(threads, name)
        self.numbers: list[int] = self._native.numbers()

    def advance(
        self, table: Table, boundary: Boundary, playouts: Sequence[_native.Lanes] = (), now_ms: float = 0.0
    ) -> None:
        """Move every block, where `table.wanted`, forward by the tick in its pcm.

        How many boundary records are then in a block's state.records stands in `table.records`. playouts: one for each
        block, whose tick at `now_ms` becomes its pcm first. Each thread works in what one of the first blocks works in:
        as many of them as there are threads must not share that (`new_state(beside)`).
        """
        settings, places = np.array(boundary, np.float64), table.places
        at, wanted, records, moved = (one.ctypes.data for one in (places, table.wanted, table.records, table.moved))
        context = [at, *places.shape, wanted, records, settings.ctypes.data, TICK_SAMPLES, 0, 0, moved]
        self._native.run(advance_address(), np.array(context, np.int64), len(table), list(playouts), now_ms)

    def measure(
        self, table: Table, stretches: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """`measure`, `functionals` and the tempo of stretches; not while a block is moved on.

        stretches: (n, 7) int64: block, lane, first step and the step after the last, the first step for the
        functionals, -1 where none are wanted, and first step and the step after the last for the tempo; steps of the
        block. Returns measures (n, MEASURES), functionals (n, FUNCTIONALS), and counts (n, 3): what `functionals`
        returns, then syllables (not rounded) and steps spoken for the tempo.
        """
        count = len(stretches)
        if (
            stretches.dtype != np.int64
            or stretches.shape != (count, STRETCH_COLUMNS)
            or not stretches.flags.c_contiguous
        ):
            raise ValueError(f"stretches: wanted C-contiguous int64 (n, 7), got {stretches.dtype} {stretches.shape}")
        measures, of_voice = np.empty((count, MEASURES)), np.empty((count, FUNCTIONALS))
        counts = np.zeros((count, COUNT_COLUMNS))
        places = table.places
        where = [one.ctypes.data for one in (stretches, measures, of_voice, counts)]
        context = np.array([places.ctypes.data, *places.shape, count, *where], np.int64)
        self._native.run(_measure_address(), context, count, [], 0.0)
        return measures, of_voice, counts


def measure_now(table: Table, channels: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """`momentary` of some channels as they stand, into out (n, MOMENTARY).

    channels: (n, 3) int64: block, lane, and the step of the block at which the channel began. Not while a block is
    moved on.
    """
    _measure_now(table.places, channels, out)


@jit
def _measure_now(places, channels, out):
    for n in range(len(channels)):
        block, lane, origin = channels[n]
        features, kept, _, now = rings(places, block)
        momentary(features, kept[lane], lane, now, now - origin, out[n])
