"""The engine alone: what a tick costs, and what of it is the kernel, for few calls and many.

Every call is the demo call from another place on, two channels of G.711 in packets of 20 ms, with emotion. Only the
clock's work is timed, not the packets' sender. Ticks follow each other at once; p50 and p99 are of their wall time.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import vocal_kernels as vk

from vocal.config import Config, LiveConfig
from vocal.demo import call_path
from vocal.emotion import EmotionModel
from vocal.live import TICK_MS, Live
from vocal.playout import Playout
from vocal.transports.files import open_call
from vocal.types import Call, Channel, LiveEvent, Metadata

from .rows import Row
from .targets import target

CALLS = (10, 100, 400, 1000)
QUICK_CALLS = (10, 200)
OPENING_TICKS = 50
"""Calls open spread over a second, so that their seconds do not fall on one tick."""

WARM_TICKS, MEASURED_TICKS = 150, 400
PARTS = 5
TURN_MS = 1.0
"""For which a tick may wait while something else has its turn."""

BOTH = (Channel(0, "agent"), Channel(1, "customer"))


class Measured(NamedTuple):
    """Each of some parts of the ticks. cpu_us, kernel_us: for each call and tick. events_s: in a second of the calls'
    time, all together."""

    cpu_us: list[float]
    kernel_us: list[float]
    events_s: float
    p50_ms: list[float]
    p99_ms: list[float]


def packets() -> list[list[bytes]]:
    """The demo call's channels as they go over the line, 16 bits a sample; for each, its packets."""
    with open_call(call_path()) as source:
        pcm = source.read(10_000_000)
    codes = np.rint(32767.0 * np.clip(pcm, -1.0, 1.0)).astype("<i2")
    count = len(codes) // vk.TICK_SAMPLES
    return [
        [
            np.ascontiguousarray(codes[n * vk.TICK_SAMPLES : (n + 1) * vk.TICK_SAMPLES, side]).tobytes()
            for n in range(count)
        ]
        for side in range(len(BOTH))
    ]


class Sender:
    """Calls that begin one after the other within a second, and go on."""

    def __init__(self, live: Live, sides: Sequence[Sequence[bytes]], calls: int) -> None:
        self._live, self._sides, self._calls = live, sides, calls
        self._lines: list[tuple[int, int, list[Playout]]] = []

    def send(self, tick: int) -> None:
        """What comes in the 20 ms up to a tick."""
        for number in range(tick, self._calls if tick < OPENING_TICKS else 0, OPENING_TICKS):
            name = f"call-{number}"
            self._live.open(Call(name, "bench", "bench", "2026-01-01T00:00:00+00:00", BOTH, Metadata(notice=True)))
            place = 977 * number % len(self._sides[0])
            self._lines.append((tick, place, [self._live.attach(name, side.channel) for side in BOTH]))
        at_ms = TICK_MS * tick - 5.0
        for began, place, playouts in self._lines:
            n = tick - began
            for side, playout in zip(self._sides, playouts, strict=True):
                playout.push_coded(n, vk.TICK_SAMPLES * n, side[(place + n) % len(side)], "s16le", at_ms)


def kernel_us(calls: int, sides: Sequence[Sequence[bytes]]) -> list[float]:
    """Of the kernel alone, for a call and tick, tick by tick over as many blocks; in parts."""
    block_count = -(-len(BOTH) * calls // vk.LANES)
    first = vk.new_state()
    blocks = [first, *(vk.new_state(first) for _ in range(1, block_count))]
    boundary, nobody = vk.Boundary(), np.zeros(vk.LANES, np.int64)
    ticks = 50 if block_count > 20 else 200
    pcm = np.zeros((ticks, vk.TICK_SAMPLES, vk.LANES), np.float32)
    for lane in range(vk.LANES):
        said = b"".join(sides[lane % 2][1000 + 200 * lane : 1000 + 200 * lane + ticks])
        pcm[:, :, lane] = (np.frombuffer(said, "<i2") / np.float32(32768.0)).reshape(ticks, -1)
    crew, table, heard = vk.Crew(), vk.Table(), np.zeros((vk.TICK_SAMPLES, vk.LANES), np.float32)
    for state in blocks:
        table.append(state, heard, nobody)
    table.wanted[:] = True
    found = []
    for part in np.array_split(pcm, PARTS + 1):  # of which the first is to warm up
        begun = time.process_time()
        for tick in part:
            heard[:] = tick
            crew.advance(table, boundary)
        found.append(1e6 * (time.process_time() - begun) / len(part) / calls)
    return found[1:]


def measure(calls: int, model: EmotionModel | None, sides: Sequence[Sequence[bytes]]) -> Measured:
    told = 0

    def count(events: Sequence[LiveEvent]) -> None:
        nonlocal told
        told += len(events)

    live = Live(count, Config(live=LiveConfig(most_calls=calls)), model, clock=lambda: 0.0)
    sender = Sender(live, sides, calls)
    walls, cpus, told_before = [], [], 0
    for tick in range(WARM_TICKS + MEASURED_TICKS):
        sender.send(tick)
        if tick == WARM_TICKS:
            walls, cpus, told_before = [], [], told
        wall, cpu = time.perf_counter(), time.process_time()
        live.tick(TICK_MS * tick)
        cpus.append(1e6 * (time.process_time() - cpu) / calls)
        walls.append(1000.0 * (time.perf_counter() - wall))
    assert live.stats().failed_ticks == 0
    assert live.stats().calls == calls
    live.stop()
    p50, p99 = ([float(np.quantile(part, share)) for part in np.array_split(walls, PARTS)] for share in (0.5, 0.99))
    cpu_us = [float(part.mean()) for part in np.array_split(cpus, PARTS)]
    return Measured(cpu_us, kernel_us(calls, sides), (told - told_before) / (MEASURED_TICKS * vk.TICK_S), p50, p99)


def _row(
    name: str, condition: str, repeats: Sequence[float], unit: str, who: str = "vocal", target: float | None = None
) -> Row:
    return Row(
        "capacity",
        name,
        condition,
        who,
        float(np.median(repeats)),
        unit,
        target,
        "lower",
        tuple(repeats),
        grain=TURN_MS if unit == "ms" else 0.0,
    )


def rows(quick: bool = False) -> Iterator[Row]:
    sides, model = packets(), EmotionModel()
    for calls in QUICK_CALLS if quick else CALLS:
        found = measure(calls, model, sides)
        condition = f"{calls} calls, the engine alone"
        kernel = float(np.median(found.kernel_us))
        yield _row("CPU of a call and tick", condition, found.cpu_us, "us")
        yield _row("CPU of a call and tick", condition, found.kernel_us, "us", who="the kernel alone")
        yield _row("CPU to the kernel's", condition, [one / kernel for one in found.cpu_us], "ratio")
        yield Row("capacity", "events", condition, "vocal", found.events_s, "1/s", None, "neither")
        yield _row("tick p50", condition, found.p50_ms, "ms")
        yield _row("tick p99", condition, found.p99_ms, "ms", target=target("capacity", "tick p99"))
