"""What a WebRTC channel costs the server, beside aiortc's own receive path in the same run, and where it goes.

A server process on one core, senders on another: CPU time of the server's process for each channel; then, with clocks
around each stage, of each packet.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vocal.client import Client
from vocal.demo import call_path
from vocal.errors import InputError
from vocal.replays.whip import Encoder, WhipConnection
from vocal.transports.files import open_call
from vocal.transports.offers import CODINGS, Coding

from .results import Skipped
from .rows import Row
from .server import end_with_parent, spent

CHANNELS = 50
MEASURED_S = 12.0
CONTENDERS = ("vocal", "vocal, no analysis", "aiortc")
STAGED = "vocal, by stage"


def stock_app() -> Any:
    """aiortc as it comes: its decoder's frames are taken from its tracks, and nothing is done with them."""
    import fastapi
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    app = fastapi.FastAPI()
    kept: list[Any] = []

    async def take(track: Any) -> None:
        while True:
            await track.recv()

    @app.post("/v1/whip")
    async def whip(request: fastapi.Request) -> fastapi.Response:
        connection = RTCPeerConnection(RTCConfiguration([]))
        connection.on("track", lambda track: kept.append(asyncio.ensure_future(take(track))))
        kept.append(connection)
        await connection.setRemoteDescription(RTCSessionDescription((await request.body()).decode(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return fastapi.Response(connection.localDescription.sdp, 201, {"Location": "/x"}, "application/sdp")

    return app


def _stages() -> dict[str, float]:
    """CPU time of each stage alone, counted from now on: without that of the stages within it."""
    import pylibsrtp

    from vocal.emotion import EmotionModel
    from vocal.live import Live
    from vocal.playout import Playout
    from vocal.service import Service
    from vocal.transports.opus import OpusDecoder
    from vocal.transports.webrtc import Inlet, PacketReceiver, _Intake

    spent: dict[str, float] = {}
    inner = threading.local()

    def watch(owner: Any, name: str, stage: str) -> None:
        plain = getattr(owner, name)
        spent[stage] = 0.0

        def watched(*given: Any, **named: Any) -> Any:
            outer = getattr(inner, "spent_s", 0.0)
            inner.spent_s = 0.0
            began = time.thread_time()
            try:
                return plain(*given, **named)
            finally:
                took = time.thread_time() - began
                spent[stage] += took - inner.spent_s
                inner.spent_s = outer + took

        setattr(owner, name, watched)

    watch(pylibsrtp.Session, "unprotect", "SRTP")
    watch(_Intake, "_take", "header, routing")
    watch(PacketReceiver, "take", "reports' statistics")
    watch(Inlet, "push", "order")
    watch(OpusDecoder, "decode", "Opus")
    watch(Playout, "push", "playout")
    watch(Live, "tick", "tick: kernels, utterances, conversation, rules")
    watch(EmotionModel, "estimate", "emotion")
    watch(Service, "take", "hub")
    return spent


def serve(contender: str, core: int) -> None:
    """In a process of its own, until it is killed; says its port."""
    import uvicorn

    from vocal.config import Config, LiveConfig
    from vocal.live import Live
    from vocal.running import listen, uvicorn_config
    from vocal.server import build_app
    from vocal.service import Service, load_live_emotion

    os.sched_setaffinity(0, {core})
    end_with_parent(signal.SIGKILL)
    sys.setswitchinterval(0.0005)
    config = Config(live=LiveConfig(most_busy=1000.0))
    if contender == STAGED:
        spent = _stages()
        signal.signal(signal.SIGUSR1, lambda *_: print(json.dumps(spent), flush=True))
    if contender == "aiortc":
        app = stock_app()
    else:
        service = Service(config, live=lambda sink: Live(sink, config, load_live_emotion(config)))
        if contender not in ("vocal", STAGED):
            service.live._move = lambda now_ms: None  # type: ignore[method-assign]
        app = build_app(service)
    listening = listen("127.0.0.1", 0)
    settings = uvicorn_config(app, "127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(settings).serve([listening]))


def payloads(coding: Coding) -> list[bytes]:
    """20 s of the staged call's customer."""
    with open_call(call_path()) as source:
        pcm = source.read(40 * 8000)[20 * 8000 :, 1:]
    encoder = Encoder(coding)
    return [one for at in range(0, len(pcm), 160) for one in encoder.push(np.ascontiguousarray(pcm[at : at + 160]))]


async def _check(url: str, channels: int, sent: int) -> None:
    """That all of it was heard: else a cost would say nothing."""
    try:
        calls = await asyncio.to_thread(Client(url).request, "GET", "/v1/calls")
    except InputError:
        return  # aiortc's own has no such thing
    heard = sum(one["received"] for call in calls for one in call["playouts"] if one)
    if heard < 0.98 * channels * sent:
        print(f"only {heard} of {channels * sent} packets were heard", file=sys.stderr)


async def _load(
    url: str, server: int, idle: float, channels: int, coding: Coding, coded: Sequence[bytes]
) -> tuple[float, float]:
    """The server's share of a core beyond what it takes idle, and the sender's."""
    open_ones = [WhipConnection(url) for _ in range(channels)]
    for at in range(0, channels, 10):
        query = {"role": "customer", "notice": "true"}
        await asyncio.gather(*(one.open(coding, 1, query) for one in open_ones[at : at + 10]))
    step = CODINGS[coding] // 50
    began, before, own_before = time.monotonic(), spent(server).all_s, time.process_time()
    for number in range(int(MEASURED_S / 0.02)):
        for place, one in enumerate(open_ones):
            # Each somewhere else in the recording.
            one.peer.senders[0].push(coding, number, number * step, coded[(number + 37 * place) % len(coded)])
            if place % 10 == 9:
                await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - time.monotonic()))
    own = time.process_time() - own_before
    # On a machine that others use, too, what was sent may wait: what it costs is counted to its end.
    seen = 0.0
    while (now := spent(server).all_s) - seen > 0.5 * max(idle, 0.02) + 0.1 * (now - before) / MEASURED_S:
        seen = now
        await asyncio.sleep(0.5)
    passed_s = time.monotonic() - began
    await _check(url, channels, int(MEASURED_S / 0.02))
    await asyncio.gather(*(one.peer.close() for one in open_ones))
    return (now - before - idle * passed_s) / MEASURED_S, own / MEASURED_S


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


class Measured(NamedTuple):
    """Shares of a core: the server's for the channels, without any, and the sender's. stages_s: CPU time of each."""

    used: float
    idle: float
    sender: float
    stages_s: dict[str, float]


def measure(contender: str, channels: int, core: int, coding: Coding = "opus") -> Measured:
    command = [sys.executable, "-P", "-c", f"from vocal.benchmarks.webrtc import serve; serve({contender!r}, {core})"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            url = f"http://127.0.0.1:{port}/v1/whip"
            _wait_for(port)
            time.sleep(3.0)
            before, at_s = spent(server.pid).all_s, time.monotonic()
            time.sleep(2.0)
            idle = (spent(server.pid).all_s - before) / (time.monotonic() - at_s)
            used, sender = asyncio.run(_load(url, server.pid, idle, channels, coding, payloads(coding)))
            stages_s = {}
            if contender == STAGED:
                server.send_signal(signal.SIGUSR1)
                stages_s = json.loads(server.stdout.readline())
        finally:
            server.kill()
    return Measured(used, idle, sender, stages_s)


def rows(channels: int = CHANNELS) -> Iterator[Row | Skipped]:
    """Each contender in a process of its own, on one core; the sender on another, where there is one."""
    if len(os.sched_getaffinity(0)) < 2:
        yield Skipped("capacity: CPU of a WebRTC channel", "wanted two cores, one for the sender")
        return
    condition = f"{channels} WebRTC channels in Opus, on one core"
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        for contender in CONTENDERS:
            found = measure(contender, channels, max(before))
            us_s = 1e6 * found.used / channels
            yield Row("capacity", "CPU of a channel", condition, contender, us_s, "µs/s", None, "lower", (us_s,))
        found = measure(STAGED, channels, max(before))
    finally:
        os.sched_setaffinity(0, before)
    yield Row("capacity", "CPU", condition, "sender", found.sender, "cores", None, "lower", (found.sender,))
    whole_s = found.used * MEASURED_S
    stages_s = {**found.stages_s, "socket, ICE, event loop, and these clocks": whole_s - sum(found.stages_s.values())}
    for stage, spent_s in sorted(stages_s.items(), key=lambda one: -one[1]):
        packet_us = 1e6 * spent_s / (channels * MEASURED_S * 50.0)
        yield Row("capacity", f"packet: {stage}", condition, "vocal", packet_us, "µs", None, "lower", (packet_us,))
