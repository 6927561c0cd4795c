"""Threads that go before all others of the machine, as media servers have them, where the system permits it.

A tick has 20 ms, and is woken several times in them; a thread like any other waits each time until whoever is at work
has had its share. Permitted to root, with CAP_SYS_NICE, or by a limit on real-time priority (systemd: LimitRTPRIO=10).
Children of these threads do not inherit it.
"""

import os
import threading
from collections.abc import Sequence

PRIORITY = 5
"""Of 1 to 99: the kernel's own threads stand at 50 and more."""


class Urgency:
    """Those that `join`, and whether they are urgent now. is_wanted: never, if it is not."""

    def __init__(self, is_wanted: bool) -> None:
        self.is_urgent = is_wanted and hasattr(os, "sched_setscheduler")
        self._is_permitted = self.is_urgent
        self._threads: list[int] = []

    def join(self) -> None:
        """The thread that calls is one of them."""
        self.take_in([threading.get_native_id()])

    def take_in(self, threads: Sequence[int]) -> None:
        """Threads by the system's numbers."""
        self._threads += threads
        self.set(self.is_urgent)

    def set(self, is_urgent: bool) -> None:
        """All of them, from now on; where the system does not permit it, none ever."""
        if not self._is_permitted:
            return
        policy, priority = (os.SCHED_RR, PRIORITY) if is_urgent else (os.SCHED_OTHER, 0)
        self.is_urgent = is_urgent
        for thread in self._threads:
            try:
                os.sched_setscheduler(thread, policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
            except ProcessLookupError:
                continue
            except OSError:
                self.is_urgent = self._is_permitted = False
                return
