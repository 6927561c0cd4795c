"""Contenders on the same audio: each in a process of its own, all on one core, in turns, so that what the machine does
meanwhile falls on all of them alike. Each turn has a new process: where in memory one lies is luck, and stays so for as
long as it lives."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from .clock import Timed, pace

ANSWER_S = 300.0


class Contest(NamedTuple):
    """found: by who. missing: why, by who."""

    found: dict[str, Timed]
    missing: dict[str, str]


@contextlib.contextmanager
def parent_is_interrupted() -> Iterator[None]:
    """Processes that are started meanwhile leave Ctrl-C to this one, which ends them, and hears of it then."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def contest(names: Sequence[str], audio: np.ndarray, repeats: int) -> Contest:
    """names: `vocal`, or peers of F0 and speech; audio: (n,) at 8 kHz. In each round everybody has a turn."""
    core = max(os.sched_getaffinity(0))
    missing: dict[str, str] = {}
    times: dict[str, list[float]] = {}
    paces: dict[str, list[float]] = {}
    for _ in range(repeats):
        for who in names:
            if who in missing:
                continue
            answer = _turn(who, audio, core)
            if isinstance(answer, str):
                missing[who] = answer
                continue
            time_s, its_pace = answer
            times.setdefault(who, []).append(time_s)
            paces.setdefault(who, []).append(its_pace)
    found = {who: Timed(tuple(times[who]), max(paces[who])) for who in times if who not in missing}
    return Contest(found, missing)


def _turn(who: str, audio: np.ndarray, core: int) -> str | tuple[float, float]:
    """CPU seconds and the core's pace meanwhile; or why there is none."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_work, args=(who, audio, core, theirs), daemon=True)
    with parent_is_interrupted():
        child.start()
    theirs.close()
    try:
        return _answer(ours)
    finally:
        child.terminate()
        child.join()
        ours.close()  # not before: who finds nobody there complains


def _answer(pipe: Connection) -> str | tuple[float, float]:
    try:
        if not pipe.poll(ANSWER_S):
            return f"no answer within {ANSWER_S:.0f} s"
        answer: str | tuple[float, float] = pipe.recv()
        return answer
    except (EOFError, OSError):
        return "its process ended"


def _work(who: str, audio: np.ndarray, core: int, pipe: Connection) -> None:
    """In the process: one turn's CPU time, and the core's pace."""
    os.sched_setaffinity(0, {core})
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    import vocal_kernels as vk

    from . import peers

    if who == "vocal":

        def hear(samples: np.ndarray) -> object:
            return vk.extract([samples] * vk.LANES)

    else:
        peer = next(one for one in (*peers.F0, *peers.SPEECH) if one.who == who)
        hear = peer.hear
        if hear(np.zeros(vk.RATE_HZ, np.float32)) is None:
            pipe.send(f"not installed: pip install {peer.install}")
            return
    hear(audio[: 5 * vk.RATE_HZ])
    before = pace()
    begun = time.process_time()
    hear(audio)
    spent_s = time.process_time() - begun
    pipe.send((spent_s, max(before, pace())))
