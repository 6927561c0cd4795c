"""What receiving a packet of RTP costs, beside asyncio and uvloop.

Each receiver runs in a process of its own, in turns, and has a socket for each stream; the native sender sends all of
them the same. asyncio and uvloop parse the header and keep the payload; the media plane's threads also decode and put
into playouts. Costs are CPU time, so that others on the machine matter little; packets that a receiver was too slow for
are not counted as received.
"""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import vocal_kernels as vk
from vocal_kernels import _native

from vocal.config import RtpConfig
from vocal.demo import call_path
from vocal.playout import Playout
from vocal.replays.rtp import RtpSender, coded_packets
from vocal.transports.files import open_call
from vocal.transports.rtp import PCMA, MediaPlane, RtpStream

from .contenders import parent_is_interrupted
from .rows import Better, Row
from .targets import target

WHO = ("vocal", "uvloop", "asyncio")
STREAMS = 400
SECONDS = 4.0
ROUNDS = 3
PACKETS_S = 50


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
    with parent_is_interrupted():
        child.start()
    theirs.close()  # so that its end is noticed here
    try:
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
    finally:
        child.terminate()
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
    return Row("capacity", name, condition, who, float(np.median(repeats)), unit, target, better, tuple(repeats))


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
    for other in ("asyncio", "uvloop"):
        ratios = [theirs / ours for theirs, ours in zip(costs[other], costs["vocal"], strict=True)]
        name = f"cheaper than {other}"
        yield _measured(name, condition, "vocal", ratios, "x", target=target("capacity", name))


def rows(quick: bool = False) -> Iterator[Row]:
    yield from receivers(sides()[0], 1 if quick else ROUNDS)
