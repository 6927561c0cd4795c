"""How speed is measured: CPU time of this process, the best of some repeats, on one core."""

import os
import time
from collections.abc import Callable

REPEATS = 5


def cpu_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Least CPU time of some runs: what else the machine does can only slow a run down."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def pin() -> None:
    """This process to the last of the cores it may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
