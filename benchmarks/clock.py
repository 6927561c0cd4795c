"""How speed is measured: CPU time of this process, the best of some repeats, on one core."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

REPEATS = 5


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least CPU time of some runs: what else the machine does can only slow a run down."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


@contextmanager
def one_core() -> Iterator[None]:
    """This process on the last of the cores it may use, and no other, for as long as this lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
