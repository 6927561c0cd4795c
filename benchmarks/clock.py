"""How speed is measured: CPU time of this process, in repeats, on one core, beside how fast the core was meanwhile.

A virtual core is now faster, now slower. `pace` is measured between the repeats with work that is always the same, so
that two runs can be compared though the machine has changed its pace between them.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

REPEATS = 5
USUAL_PACE_MS = 4.0
"""CPU time of the pace's work on the machine that has pace 1."""

_ROWS, _TURNS = 128, 6500


class Timed(NamedTuple):
    """CPU seconds of each repeat, in order; pace: of the core meanwhile, higher is faster, and the best as the best of
    the repeats is what counts."""

    times_s: tuple[float, ...]
    pace: float

    @property
    def least_s(self) -> float:
        return min(self.times_s)


@cache
def _work() -> Callable[[], float]:
    """Additions and multiplications over 16 kB, which stay in the first cache: over more, a process is faster or slower
    by where in memory it lies, though its core is not."""
    room = np.zeros(2 * 16 * _ROWS + 16, np.float32)
    aligned = room[-room.ctypes.data % 64 // 4 :]
    one, other = aligned[: 16 * _ROWS], aligned[16 * _ROWS : 2 * 16 * _ROWS]
    one[:], other[:] = np.linspace(0.0, 1.0, 16 * _ROWS), 1.0

    @njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})  # type: ignore[untyped-decorator]
    def turns(one, other, count):  # type: ignore[no-untyped-def]
        total = np.float32(0.0)
        for _ in range(count):
            for n in range(len(one)):
                other[n] = other[n] * np.float32(0.999) + one[n]
            total += other[0]
        return total

    def work() -> float:
        return float(turns(one, other, _TURNS))

    work()
    return work


def pace() -> float:
    """How fast this core is now."""
    work = _work()
    begun = time.process_time()
    work()
    return USUAL_PACE_MS / (1000.0 * max(1e-9, time.process_time() - begun))


def timed_cpu(work: Callable[[], object], repeats: int = REPEATS) -> Timed:
    """CPU time of some runs, each between two looks at the pace."""
    times, paces = [], [pace()]
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
        paces.append(pace())
    return Timed(tuple(times), max(paces))


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least CPU time of some runs: what else the machine does can only slow a run down."""
    return timed_cpu(work, repeats).least_s


@contextmanager
def one_core() -> Iterator[None]:
    """This process on the last of the cores it may use, and no other, for as long as this lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
