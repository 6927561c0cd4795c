"""Estimates beside the clock: a thread asks the model, in batches, for whatever waits.

    ask ─► waiting ─► EmotionModel.estimate (in the thread, or in `take` where it is quick) ─► take

A model that takes its time holds up the calls that asked, never the tick; one that takes less time than to wait for a
thread is asked at once. When it falls behind, nothing more is asked.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from vocal_kernels import _native

from vocal.emotion import EmotionModel
from vocal.types import Emotion, NoEstimate, Relative
from vocal.utterance import EmotionInput

MOST_BEHIND_S = 1.0
"""What waits longer than this tells that the model cannot keep up."""

BUSY_OVER_S = 10.0
QUICK_S = 0.003
"""What a batch takes of a model that is asked at once."""

COSTS_SEEN = 20
"""Batches after which it is known what one takes."""


class Question(NamedTuple):
    """key: by which the answer is known. asked_s: when, set by `ask`."""

    key: int
    row: EmotionInput
    relative: Relative
    asked_s: float = 0.0


class Estimates:
    """One model's estimates, in the order in which they were asked for."""

    def __init__(self, model: EmotionModel, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._clock = clock
        self._waiting: deque[Question] = deque()
        self._at_work: list[Question] = []
        self._found: dict[int, Emotion | NoEstimate] = {}
        self._costs: deque[tuple[float, float]] = deque()  # when it ended, and what it took, in s
        self._changed = threading.Condition()
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._failed = 0
        self._seen = 0
        self._mean_s = 0.0  # of a batch, of late
        self.refused = 0
        """How many were not asked for, as the model was behind."""

    def start(self) -> None:
        """From now on a thread does the work."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vocal-emotion", daemon=True)
            self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def ask(self, questions: Sequence[Question]) -> bool:
        """False: the model is behind, and these will not be answered."""
        now_s = self._clock()
        with self._changed:
            oldest = self._at_work or self._waiting
            if self._thread is not None and oldest and now_s - oldest[0].asked_s > MOST_BEHIND_S:
                self.refused += len(questions)
                return False
            self._waiting += [one._replace(asked_s=now_s) for one in questions]
            if not self._is_quick:
                self._changed.notify_all()
            return True

    @property
    def _is_quick(self) -> bool:
        return self._seen >= COSTS_SEEN and self._mean_s <= QUICK_S and not self._at_work

    def take(self, wait_s: float = 0.0) -> dict[int, Emotion | NoEstimate]:
        """What was found since, by key. Waits until nothing is asked any more, or for `wait_s`."""
        if self._thread is None:
            while self._waiting:
                self._work()
        elif self._is_quick:
            self._work_now()
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._at_work, wait_s)
            found, self._found = self._found, {}
        return found

    def _work_now(self) -> None:
        """In the thread that asks; what is left where it takes longer than it did is the other's."""
        while self._waiting and self._is_quick:
            self._try_to_work()
        with self._changed:
            if self._waiting:
                self._changed.notify_all()

    def forget(self, keys: Collection[int]) -> None:
        """Those are not wanted any more: what was shown and what was found of them is dropped."""
        with self._changed:
            self._waiting = deque(one for one in self._waiting if one.key not in keys)
            self._at_work = [one for one in self._at_work if one.key not in keys]
            for key in keys:
                self._found.pop(key, None)

    @property
    def busy(self) -> float:
        """Share of the last 10 s in which the model was at work, 0-1."""
        with self._changed:
            self._forget_costs(self._clock())
            return min(1.0, sum(cost_s for _, cost_s in self._costs) / BUSY_OVER_S)

    def _forget_costs(self, now_s: float) -> None:
        while self._costs and self._costs[0][0] < now_s - BUSY_OVER_S:
            self._costs.popleft()

    def _run(self) -> None:
        _native.name_thread("vocal-emotion")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_stopping)
                if self._is_stopping:
                    return
            self._try_to_work()

    def _try_to_work(self) -> None:
        try:
            self._work()
        except Exception:
            # A defect of ours: it is told once, the calls go on without.
            self._failed += 1
            if self._failed == 1:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

    def _work(self) -> None:
        with self._working:
            self._estimate()

    def _estimate(self) -> None:
        with self._changed:
            count = min(len(self._waiting), self._model.batch)
            if count == 0:
                return
            asked = self._at_work = [self._waiting.popleft() for _ in range(count)]
        began_s = self._clock()
        found: Sequence[Emotion | NoEstimate] = ["model"] * count
        try:
            found = self._model.estimate([one.row for one in asked], [one.relative for one in asked])
        finally:
            now_s = self._clock()
            with self._changed:
                wanted = {one.key for one in self._at_work}
                self._found |= {one.key: it for one, it in zip(asked, found, strict=True) if one.key in wanted}
                self._at_work = []
                self._costs.append((now_s, now_s - began_s))
                self._forget_costs(now_s)
                self._seen += 1
                self._mean_s += 0.1 * (now_s - began_s - self._mean_s)
                if threading.current_thread() is self._thread:
                    self._changed.notify_all()
