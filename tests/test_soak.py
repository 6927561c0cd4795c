"""Calls come and go for minutes, over real sockets, in real time: memory stays, no tick is missed, nothing is left.

Not in the default run: `pytest -m long tests/test_soak.py`. VOCAL_SOAK_MINUTES (5) and VOCAL_SOAK_CALLS (40, at once).
"""

import asyncio
import gc
import os
import random
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from serving import Served, serving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from vocal.config import PlayoutConfig, ServerConfig
from vocal.demo import call_path
from vocal.senders import encoded
from vocal.sinks import hub
from vocal.transports.files import open_call
from vocal.transports.pcm import Hello, hello_text
from vocal.types import Metadata

MINUTES = float(os.environ.get("VOCAL_SOAK_MINUTES", "5"))
CALLS = int(os.environ.get("VOCAL_SOAK_CALLS", "40"))
SETTLED_SHARE = 0.3
"""Of the time, after which memory is expected to stay."""

KEPT_S = 20.0
"""Events of an ended call are kept for so long, not for ten minutes: memory must settle well before the end."""

MOST_GROWTH_MB = 25.0


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def sockets() -> int:
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


def is_busy() -> bool:
    return os.getloadavg()[0] > 0.75 * len(os.sched_getaffinity(0)) + 1.0


async def one_call(url: str, packets: list[bytes], chance: random.Random) -> bool:
    """Up to 30 s of a call from anywhere in it; one in five is cut off instead of ended. False: it was not taken."""
    loop = asyncio.get_running_loop()
    async with connect(f"{url.replace('http', 'ws')}/v1/media/pcm", compression=None) as socket:
        metadata = Metadata(notice=chance.random() < 0.7)
        hello = Hello(encoding="pcm_s16le", channels=2, roles=("agent", "customer"), metadata=metadata)
        await socket.send(hello_text(msgspec.structs.replace(hello, notice=metadata.notice)))
        if msgspec.json.decode(await socket.recv())["type"] != "opened":
            return False
        place, count = chance.randrange(len(packets)), round(50 * chance.uniform(1.0, 30.0))
        began = loop.time()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + 0.02 * number - loop.time()))
            await socket.send(packets[(place + number) % len(packets)])
        if chance.random() < 0.2:
            socket.transport.abort()
            return True
        await socket.send('{"type": "end"}')
        while msgspec.json.decode(await socket.recv())["type"] != "ended":
            pass
    return True


async def listen(url: str) -> None:
    async with connect(f"{url.replace('http', 'ws')}/v1/live", compression=None, max_queue=None) as socket:
        async for _ in socket:
            pass


async def soak(served: Served, packets: list[bytes]) -> list[float]:
    """Resident memory, each tenth of the time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + 60.0 * MINUTES
    sent = 0

    async def line(number: int) -> None:
        nonlocal sent
        chance = random.Random(number)
        await asyncio.sleep(chance.uniform(0.0, 5.0))
        while loop.time() < until:
            try:
                taken = await one_call(served.url, packets, chance)
            except ConnectionClosed as error:
                raise AssertionError(f"the server closed a call: {error}") from error
            sent += taken
            await asyncio.sleep(0.0 if taken else 5.0)

    listening = asyncio.create_task(listen(served.url))
    lines = [asyncio.create_task(line(number)) for number in range(CALLS)]
    memory = []
    for part in range(10):
        await asyncio.sleep(max(0.0, until - 6.0 * MINUTES * (9 - part) - loop.time()))
        memory.append(rss_mb())
        stats = served.service.live.stats()
        sys.stderr.write(
            f"{part + 1}/10: {memory[-1]:.1f} MB, {sockets()} sockets, {sent} calls sent, {stats.calls} open, "
            f"tick p95 {stats.tick_p95_ms} p99 {stats.tick_p99_ms} ms, "
            f"refused {stats.refused_calls}, late {stats.late_ticks}, skipped {stats.skipped_ticks} of {stats.ticks}"
            f"{', busy machine' if is_busy() else ''}\n"
        )
        for one in lines:
            if one.done():
                one.result()
    await asyncio.gather(*lines)
    assert sent >= CALLS
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    return memory


@pytest.mark.long
def test_calls_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "KEPT_S", KEPT_S)
    with open_call(call_path()) as source:
        pcm = source.read(10_000_000)
    packets = [encoded(piece, "pcm_s16le") for piece in np.split(pcm, range(160, len(pcm), 160))[:-1]]
    generous = ServerConfig(opens_burst=1e6, opens_per_s=1e6, logins_burst=1e6)
    before = sockets()
    with serving(server=generous, playout=PlayoutConfig()) as served:
        quiet = sockets()
        tasks = asyncio.run_coroutine_threadsafe(count_tasks(), served.service._loop)  # type: ignore[arg-type]
        quiet_tasks = tasks.result(5.0)
        memory = asyncio.run(soak(served, packets))
        served.wait_until(lambda: not served.service.live.calls(), 30.0)
        served.wait_until(lambda: sockets() <= quiet, 30.0)
        gc.collect()
        tasks = asyncio.run_coroutine_threadsafe(count_tasks(), served.service._loop)  # type: ignore[arg-type]
        assert tasks.result(5.0) <= quiet_tasks
        stats = served.service.live.stats()
    assert sockets() <= before
    assert stats.failed_ticks == 0
    settled = memory[int(SETTLED_SHARE * len(memory))]
    assert memory[-1] - settled < MOST_GROWTH_MB, f"memory grew: {memory} MB"
    if not is_busy():
        assert stats.refused_calls == 0
        assert stats.skipped_ticks == 0
        assert stats.late_ticks < 0.001 * stats.ticks


async def count_tasks() -> int:
    return len(asyncio.all_tasks())
