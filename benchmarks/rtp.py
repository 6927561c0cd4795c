"""RTP: what receiving a packet costs, beside asyncio and uvloop; and 2,000 streams into the bank with the front end.

Each receiver runs in a process of its own, in turns, and has a socket for each stream; the native sender sends all of
them the same. asyncio and uvloop parse the header and keep the payload; the media plane's threads also decode and put
into playouts. Costs are CPU time, so that others on the machine matter little; packets that a receiver was too slow for
are not counted as received.
"""

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import vocal_kernels as vk
from vocal_kernels import _native

from vocal.config import Config, LiveConfig, RtpConfig
from vocal.demo import call_path
from vocal.live import Live
from vocal.playout import Playout
from vocal.replays.rtp import RtpSender, coded_packets
from vocal.transports.files import open_call
from vocal.transports.rtp import PCMA, MediaPlane, RtpStream
from vocal.types import Call, Channel, Metadata

from .live import is_busy
from .rows import Better, Row

WHO = ("vocal", "uvloop", "asyncio")
STREAMS = 400
SECONDS = 4.0
ROUNDS = 3
PACKETS_S = 50
IN_BANK = 2000
BANK_SECONDS = 12.0
WARM_S = 5.0
TARGET_RATIO = 5.0


def sides() -> list[list[bytes]]:
    with open_call(call_path()) as source:
        pcm = source.read(10_000_000)
    return [coded_packets(np.ascontiguousarray(pcm[:, column]), PCMA) for column in range(pcm.shape[1])]


class _Keeping(asyncio.DatagramProtocol):
    received = 0

    def __init__(self) -> None:
        self.kept: list[tuple[int, int, bytes]] = []

    def datagram_received(self, data: bytes, address: Any) -> None:
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        sequence, timestamp = int.from_bytes(data[2:4]), int.from_bytes(data[4:8])
        self.kept.append((sequence, timestamp, data[12:]))
        if len(self.kept) == 50:
            self.kept.clear()
        _Keeping.received += 1


async def _keep(streams: int, pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    ports = []
    for _ in range(streams):
        transport, _ = await loop.create_datagram_endpoint(_Keeping, ("127.0.0.1", 0))
        ports.append(transport.get_extra_info("sockname")[1])
    pipe.send(ports)
    told = 0
    is_done = asyncio.Event()

    def tell() -> None:
        nonlocal told
        pipe.recv()
        pipe.send((_Keeping.received, time.process_time()))
        told += 1
        if told == 2:
            is_done.set()

    loop.add_reader(pipe.fileno(), tell)
    await is_done.wait()


def _receive(who: str, streams: int, pipe: Connection) -> None:
    """In a process of its own: tells its ports, and then twice, when asked, what came and what it cost."""
    if who == "asyncio":
        asyncio.run(_keep(streams, pipe))
    elif who == "uvloop":
        import uvloop

        uvloop.run(_keep(streams, pipe))
    else:
        clock = _native.Clock(1.0)
        plane = MediaPlane(RtpConfig(first_port=0, threads=1), clock)
        opened = [plane.open(Playout(), {8: PCMA}, host="127.0.0.1", mux=True) for _ in range(streams)]
        pipe.send([one.port for one in opened])
        is_done = threading.Event()
        puller = threading.Thread(target=_pull, args=(opened, clock, is_done))
        puller.start()
        for _ in range(2):
            pipe.recv()
            pipe.send((sum(one.counts.packets for one in opened), plane.cpu_s))
        is_done.set()
        puller.join()
        plane.close()


def _pull(streams: Sequence[RtpStream], clock: Any, is_done: threading.Event) -> None:
    """As the live engine's clock does: its cost is not the media plane's."""
    out = np.zeros((vk.TICK_SAMPLES, 1), np.float32)
    while not is_done.wait(vk.TICK_S):
        for one in streams:
            one.playout.pull(clock.now_ms(), out, 0)


def cost_us(who: str, coded: list[bytes]) -> tuple[float, float]:
    """CPU for a packet, and the share of packets that came."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_receive, args=(who, STREAMS, theirs), daemon=True)
    child.start()
    theirs.close()  # so that its end is noticed here
    ports = ours.recv()
    sender = RtpSender("127.0.0.1", own_ports=False, report_s=0.0)
    count = int(PACKETS_S * (2.0 * SECONDS + 2.0))  # a receiver that is behind answers late
    for n, port in enumerate(ports):
        start_ms = 20.0 * n / len(ports)
        sender.add(coded, ("127.0.0.1", port), 8, first_packet=37 * n, count=count, start_ms=start_ms, seed=n + 1)
    sender.start()
    time.sleep(0.5)
    found = []
    for _ in range(2):
        ours.send("now")
        found.append(ours.recv())
        if len(found) == 1:
            sent = sender.counts.packets
            time.sleep(SECONDS)
            sent = sender.counts.packets - sent
    sender.stop()
    child.join(10.0)
    (before, before_s), (after, after_s) = found
    return 1e6 * (after_s - before_s) / max(1, after - before), (after - before) / max(1, sent)


def _measured(
    name: str,
    condition: str,
    who: str,
    repeats: Sequence[float],
    unit: str,
    better: Better = "higher",
    target: float | None = None,
) -> Row:
    """The median of what was measured, each of it kept."""
    return Row("rtp", name, condition, who, float(np.median(repeats)), unit, target, better, tuple(repeats))


def receivers(coded: list[bytes], rounds: int) -> Iterator[Row]:
    costs: dict[str, list[float]] = {who: [] for who in WHO}
    came: dict[str, list[float]] = {who: [] for who in WHO}
    for _ in range(rounds):
        for who in WHO:
            us, share = cost_us(who, coded)
            costs[who].append(us)
            came[who].append(share)
    condition = f"{STREAMS} streams of G.711, 20 ms"
    for who in WHO:
        yield _measured("packet received", condition, who, costs[who], "µs CPU", "lower")
        yield _measured("packets a second and core", condition, who, [1e6 / us for us in costs[who]], "1/s")
        seconds = [PACKETS_S * us for us in costs[who]]
        yield _measured("second of a stream", condition, who, seconds, "µs CPU", "lower")
        yield _measured("packets that came", condition, who, came[who], "share")
    for other, target in (("asyncio", TARGET_RATIO), ("uvloop", 1.0)):
        ratios = [theirs / ours for theirs, ours in zip(costs[other], costs["vocal"], strict=True)]
        yield _measured(f"cheaper than {other}", condition, "vocal", ratios, "x", target=target)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def into_the_bank(both: list[list[bytes]]) -> Iterator[Row]:
    """Two streams a call, without emotion, from sockets to the bank, as fast as people speak."""
    vk.warmup()
    calls = IN_BANK // 2
    live = Live(lambda events: None, Config(live=LiveConfig(most_calls=calls, most_busy=100.0)))
    live.wants_levels = False
    plane = MediaPlane(RtpConfig(first_port=0), live.media_clock)
    channels = (Channel(0, "agent"), Channel(1, "customer"))
    live.start()
    before_bytes = _resident_bytes()
    sender = RtpSender("127.0.0.1", own_ports=False)
    packets = int(PACKETS_S * BANK_SECONDS)
    for number in range(calls):
        name = f"call-{number}"
        live.open(Call(name, "bench", "bench", "2026-01-01T00:00:00+00:00", channels, Metadata()))
        for side in (0, 1):
            stream = plane.open(live.attach(name, side), {8: PCMA}, host="127.0.0.1")
            place, start_ms = 977 * number % len(both[side]), 1000.0 * number / calls
            to = ("127.0.0.1", stream.port)
            sender.add(
                both[side], to, 8, first_packet=place, count=packets, start_ms=start_ms, seed=2 * number + side + 1
            )
    busy = is_busy()
    sender.start()
    time.sleep(WARM_S)
    wall_s, cpu_s, plane_s, sender_s = time.monotonic(), time.process_time(), plane.cpu_s, sender.counts.cpu_s
    packets_before, ticks = sender.counts.packets, live.stats().ticks
    time.sleep(BANK_SECONDS - WARM_S - 1.0)
    wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
    plane_s, sender_s = plane.cpu_s - plane_s, sender.counts.cpu_s - sender_s
    sent, ticks = sender.counts.packets - packets_before, live.stats().ticks - ticks
    stats = live.stats()
    resident_kb = (_resident_bytes() - before_bytes) / 1024.0 / IN_BANK
    sender.wait()
    time.sleep(0.3)
    taken = sum(one.counts.packets for one in plane.streams)
    late = sum(one.playout.counts.late for one in plane.streams)
    all_sent = sender.counts.packets
    for stream in plane.streams:
        stream.close()
    live.stop()
    plane.close()
    condition = f"{IN_BANK} streams, {calls} calls" + (", others use the machine" if busy else "")
    yield _measured("front end included", condition, "vocal", [(cpu_s - sender_s) / wall_s], "cores", "lower")
    yield _measured("media plane alone", condition, "vocal", [plane_s / wall_s], "cores", "lower")
    yield _measured("packet, media plane", condition, "vocal", [1e6 * plane_s / max(1, sent)], "µs CPU", "lower")
    yield _measured("load generator", condition, "vocal", [sender_s / wall_s], "cores", "lower")
    yield _measured("tick p99", condition, "vocal", [stats.tick_p99_ms], "ms", "lower", 20.0)
    yield _measured("ticks on time", condition, "vocal", [ticks / (wall_s / vk.TICK_S)], "share", "higher", target=0.99)
    yield _measured("memory of a stream", condition, "vocal", [resident_kb], "kB", "lower", 300.0)
    yield _measured("packets taken", condition, "vocal", [taken / all_sent], "share", "higher", target=1.0)
    yield _measured("packets late", condition, "vocal", [late / all_sent], "share", "lower")


def rows(quick: bool = False) -> Iterator[Row]:
    """quick: the receivers alone, once."""
    both = sides()
    yield from receivers(both[0], 1 if quick else ROUNDS)
    if not quick:
        yield from into_the_bank(both)
