"""Threads that go before all others of the machine, as media servers have them, where the system permits it: those of
the clock, then those that receive.

A tick has 20 ms, and is woken several times in them; a thread like any other waits each time until whoever is at work
has had its share. Permitted to root, with CAP_SYS_NICE, or by a limit on real-time priority (systemd: LimitRTPRIO=10).
Children of these threads do not inherit it.
"""

import os
import threading
from collections.abc import Iterable

PRIORITY, RECEIVING = 5, 3
"""Of 1 to 99: the kernel's own threads stand at 50 and more. Packets may wait for a tick, but for no other program."""


class Urgency:
    """Those that `join`, and whether they are urgent now. is_wanted: never, if it is not."""

    def __init__(self, is_wanted: bool) -> None:
        self.is_urgent = is_wanted and hasattr(os, "sched_setscheduler")
        self._is_permitted = self.is_urgent
        self._threads: dict[int, int] = {}  # their priorities

    def join(self) -> None:
        """The thread that calls is one of them."""
        self.take_in([threading.get_native_id()])

    def take_in(self, threads: Iterable[int], priority: int = PRIORITY) -> None:
        """Threads by the system's numbers."""
        self._threads |= dict.fromkeys(threads, priority)
        self.set(self.is_urgent)

    def forget(self, threads: Iterable[int]) -> None:
        """Before they end: their numbers will be those of others."""
        for thread in threads:
            self._threads.pop(thread, None)

    def set(self, is_urgent: bool) -> None:
        """All of them, from now on; where the system does not permit it, none ever."""
        if not self._is_permitted:
            return
        policy = os.SCHED_RR if is_urgent else os.SCHED_OTHER
        self.is_urgent = is_urgent
        for thread, priority in list(self._threads.items()):
            its = os.sched_param(priority if is_urgent else 0)
            try:
                os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, its)
            except ProcessLookupError:
                continue
            except OSError:
                self.is_urgent = self._is_permitted = False
                return
