"""A server that carries calls, more and more of them, and what that costs: `vocal serve` and its load, two processes.

running(...) ─► .open(100) ─► .measure(10.0) ─► .open(900) ─► .measure(10.0) ─► .end()
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import msgspec
import vocal_kernels as vk

from vocal.errors import InputError

from .load import DOORS, Counts, Door, Load, Opened, Settings, loading, raise_file_limit
from .server import Server, Spent, serving, spent

SPARE_FILES = 300
SETTLE_S = 1.0
IDLE_S = 2.0
DRAIN_S = 0.5
PARTS = 5
"""Of a window; what each of them cost tells how sure the whole is."""

ON_THE_WAY_S = 0.1
"""For so long a packet that was left out is not missed yet."""


class Part(NamedTuple):
    """A part of a window, as the whole of it."""

    begun_s: float
    ended_s: float
    cores: float
    threads: Mapping[str, float]
    sender_cores: float
    switches_s: float


class Window(NamedTuple):
    """Some seconds with so many calls.

    cores: of the server, idle_cores: of it without calls, threads: of it by what they do; sender_cores: of the load
    generator. rss_mb: at the end; idle_mb: without calls. tick_p99_ms: of the last 10 s. lost: packets that never came
    and were sent; late: that came too late to be played. sent, sent_late: packets handed over, and of them those
    handed over late; silent: not sent, as nobody spoke. closed: calls that the server has ended up to now, why: the
    first of them. begun_s, ended_s: of time.monotonic.
    """

    calls: int
    channels: int
    begun_s: float
    ended_s: float
    cores: float
    idle_cores: float
    threads: Mapping[str, float]
    sender_cores: float
    switches_s: float
    rss_mb: float
    idle_mb: float
    tick_p99_ms: float
    late_ticks: float
    skipped_ticks: int
    emotion_busy: float
    lost: int
    late: int
    sent: int
    sent_late: int
    silent: int
    closed: int
    why: str
    parts: tuple[Part, ...] = ()

    @property
    def channel_us_s(self) -> float:
        """CPU of a channel, beyond what the server takes idle: microseconds a second."""
        return self.channel_us(self.cores)

    def channel_us(self, cores: float) -> float:
        return 1e6 * max(0.0, cores - self.idle_cores) / max(1, self.channels)


class Ended(NamedTuple):
    """All packets of a load against what the server says of them. missing: of those sent; late: of those received.

    left_out: on purpose, lost: what the server missed.
    """

    sent: int
    received: int
    late: int
    left_out: int = 0
    lost: int = 0

    @property
    def missing(self) -> int:
        return self.sent - self.received


class Running:
    def __init__(self, server: Server, load: Load, settings: Settings, idle: tuple[float, float]) -> None:
        self.server, self.load, self.settings = server, load, settings
        self.calls = 0
        self._idle_cores, self._idle_mb = idle

    def open(self, calls: int) -> Opened:
        """Up to so many in all. Raises InputError where a process ended."""
        opened = self.load.open(calls - self.calls)
        self.calls += opened.taken
        return opened

    def measure(self, seconds: float) -> Window:
        """From a moment on in which the calls have settled."""
        time.sleep(SETTLE_S)
        one, one_sender, one_count, one_said = self._look()
        spends = [(self.server.spent(), spent(self.load.pid))]
        for number in range(1, PARTS + 1):
            time.sleep(max(0.0, spends[0][0].at_s + number * seconds / PARTS - time.monotonic()))
            spends.append((self.server.spent(), spent(self.load.pid)))
        two, two_sender, two_count, two_said = self._look()
        passed_s = two.at_s - one.at_s
        packets, packets_before = two_said["packets"], one_said["packets"]
        ticks = max(1, two_said["ticks"] - one_said["ticks"])
        left_out = two_count.left_out - one_count.left_out
        return Window(
            self.calls,
            self.calls * DOORS[self.settings.door].channels,
            one.at_s,
            two.at_s,
            (two.all_s - one.all_s) / passed_s,
            self._idle_cores,
            {name: (cpu_s - one.cpu_s.get(name, 0.0)) / passed_s for name, cpu_s in two.cpu_s.items()},
            (two_sender.all_s - one_sender.all_s) / (two_sender.at_s - one_sender.at_s),
            (two.switches - one.switches) / passed_s,
            two.rss_mb,
            self._idle_mb,
            two_said["tick_p99_ms"],
            (two_said["late_ticks"] - one_said["late_ticks"]) / ticks,
            two_said["skipped_ticks"] - one_said["skipped_ticks"],
            two_said["emotion_busy"],
            _beyond(packets["lost"] - packets_before["lost"], left_out, passed_s),
            packets["late"] - packets_before["late"],
            two_count.packets - one_count.packets,
            two_count.late - one_count.late,
            two_count.silent - one_count.silent,
            two_count.closed,
            two_count.why,
            tuple(_part(*ones, *others) for ones, others in pairwise(spends)),
        )

    def _look(self) -> tuple[Spent, Spent, Counts, dict[str, dict[str, int]]]:
        # Its own answer costs the server something, so that is asked for outside of what is measured.
        found = self.server.spent(), spent(self.load.pid), self.load.counts()
        try:
            return *found, self.server.figures()
        except OSError as error:
            raise InputError(f"the server does not answer: {error}") from None

    def end(self) -> Ended:
        """No more is sent, and all that was sent has come, or never will."""
        sent = self.load.stop()
        time.sleep(DRAIN_S)
        packets = self.server.figures()["packets"]
        return Ended(sent.packets, packets["received"], packets["late"], sent.left_out, packets["lost"])


def _beyond(lost: int, left_out: int, passed_s: float) -> int:
    """Packets lost beyond those left out. Which of these the server has missed yet is chance at both ends of a window:
    so much of it, four times its deviation, is nobody's loss."""
    chance = 4.0 * math.sqrt(2.0 * left_out / passed_s * ON_THE_WAY_S)
    return max(0, lost - left_out - round(chance))


def _part(one: Spent, one_sender: Spent, two: Spent, two_sender: Spent) -> Part:
    passed_s = two.at_s - one.at_s
    return Part(
        one.at_s,
        two.at_s,
        (two.all_s - one.all_s) / passed_s,
        {name: (cpu_s - one.cpu_s.get(name, 0.0)) / passed_s for name, cpu_s in two.cpu_s.items()},
        (two_sender.all_s - one_sender.all_s) / (two_sender.at_s - one_sender.at_s),
        (two.switches - one.switches) / passed_s,
    )


def ceiling(door: Door, wanted: int) -> int:
    """So many calls at most can be opened here. Raises InputError where the system gives too few files for one."""
    files = raise_file_limit()
    its = DOORS[door].files
    most = (files - SPARE_FILES) // its
    if most < 1:
        raise InputError(f"too few open files: wanted {SPARE_FILES + its}, this system gives {files} (ulimit -Hn)")
    return min(wanted, most)


@contextmanager
def running(settings: Settings, takes_all: bool = False) -> Iterator[Running]:
    """settings: without the server's addresses. takes_all: calls are taken whether the machine can carry them or not.

    Raises InputError where the server or the load does not start.
    """
    vk.warmup()  # else the server would compile
    raise_file_limit()
    environment = {"VOCAL_LIVE_MOST_CALLS": "1000000"}
    if takes_all:
        environment["VOCAL_LIVE_MOST_BUSY"] = "1000"
    if settings.door == "sip":
        environment |= {"VOCAL_SIP_LISTEN": "127.0.0.1:0", "VOCAL_RTP_FIRST_PORT": "0"}
    with serving(600.0, environment) as server:
        sip = server.sip() if settings.door == "sip" else ""
        said = msgspec.structs.replace(settings, url=server.url, sip=sip)
        with loading(said) as load:
            time.sleep(SETTLE_S)
            before = server.spent()
            time.sleep(IDLE_S)
            after = server.spent()
            idle_cores = (after.all_s - before.all_s) / (after.at_s - before.at_s)
            yield Running(server, load, said, (idle_cores, after.rss_mb))
