"""What a WebRTC channel costs the server, beside aiortc's own receive path in the same run.

A server process on one core, senders on another: CPU time of the server's process for each channel, by channels.
Run it by hand: python -m vocal.benchmarks.webrtc [CHANNELS ...]
"""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vocal.client import Client
from vocal.demo import call_path
from vocal.errors import InputError
from vocal.transports.files import open_call
from vocal.transports.webrtc import CODINGS, Coding
from vocal.types import Utterance
from vocal.whip import Encoder, WhipConnection

SERVER_CORE, SENDER_CORE = 1, 0
MEASURED_S = 12.0
CONTENDERS = ("vocal", "vocal, no analysis", "aiortc")


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


def serve(contender: str) -> None:
    """In a process of its own, until it is killed; says its port."""
    import uvicorn

    from vocal.config import Config, LiveConfig
    from vocal.live import Live
    from vocal.running import listen, uvicorn_config
    from vocal.server import build_app
    from vocal.service import Service, load_live_emotion

    os.sched_setaffinity(0, {SERVER_CORE})
    sys.setswitchinterval(0.0005)
    config = Config(live=LiveConfig(most_busy=1.0))
    if contender == "aiortc":
        app = stock_app()
    else:
        service = Service(config, live=lambda sink: Live(sink, config, load_live_emotion(config)))
        if contender != "vocal":
            service.live._move = lambda now_ms: None  # type: ignore[method-assign]
        app = build_app(service)
    listening = listen("127.0.0.1", 0)
    settings = uvicorn_config(app, "127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(settings).serve([listening]))


def cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    began, before, own_before = time.monotonic(), cpu_s(server), time.process_time()
    for number in range(int(MEASURED_S / 0.02)):
        for place, one in enumerate(open_ones):
            # Each somewhere else in the recording.
            await one.peer.senders[0].push(coding, number, number * step, coded[(number + 37 * place) % len(coded)])
            if place % 10 == 9:
                await asyncio.sleep(0)
        await asyncio.sleep(max(0.0, began + 0.02 * (number + 1) - time.monotonic()))
    own = time.process_time() - own_before
    # On a machine that others use, too, what was sent may wait: what it costs is counted to its end.
    seen = 0.0
    while (now := cpu_s(server)) - seen > 0.5 * max(idle, 0.02) + 0.1 * (now - before) / MEASURED_S:
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


def measure(contender: str, channels: int, coding: Coding = "opus") -> tuple[float, float, float]:
    """The server's share of a core for so many channels, its share without any, and the sender's."""
    command = [sys.executable, "-c", f"from vocal.benchmarks.webrtc import serve; serve({contender!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            url = f"http://127.0.0.1:{port}/v1/whip"
            _wait_for(port)
            time.sleep(3.0)
            before, at_s = cpu_s(server.pid), time.monotonic()
            time.sleep(2.0)
            idle = (cpu_s(server.pid) - before) / (time.monotonic() - at_s)
            used, sender = asyncio.run(_load(url, server.pid, idle, channels, coding, payloads(coding)))
        finally:
            server.kill()
    return used, idle, sender


def latency(url: str, turns: int = 1) -> list[float]:
    """From the sending of the last packet of an utterance to its event at a WebSocket client, in ms.

    Part of it is by design: the playout's lag of 60 ms and the end of speech that is waited for, 300 ms.
    """
    import threading

    from vocal.whip import send, whip_url

    with open_call(call_path()) as source:
        whole = source.read(89 * 8000)
    found: list[tuple[float, Utterance]] = []
    began = [0.0]

    class Source:
        def __init__(self) -> None:
            self.at = 0
            with open_call(call_path()) as source:
                self.channels = source.channels

        def read(self, samples: int) -> Any:
            if not self.at:
                began[0] = time.monotonic()
            self.at += samples
            return whole[self.at - samples : self.at]

    def listen() -> None:
        for _, event in Client(url).events(types=("utterance", "call_ended")):
            if not isinstance(event, Utterance):
                return
            found.append((time.monotonic(), event))

    async def run() -> None:
        one = WhipConnection(whip_url(f"whip:{url}"))
        await one.open("opus", 2, {"notice": "true"})
        await send(Source(), [(one, 0), (one, 1)], "opus")
        await one.close()

    taken = []
    for _ in range(turns):
        found.clear()
        thread = threading.Thread(target=listen)
        thread.start()
        time.sleep(0.5)
        asyncio.run(run())
        thread.join(10.0)
        taken += [1000.0 * (at_s - began[0] - event.end_s) for at_s, event in found if event.end_s < 85.0]
    return taken


def main(counts: Sequence[int]) -> None:
    os.sched_setaffinity(0, {SENDER_CORE})
    for contender in CONTENDERS:
        for channels in counts:
            used, idle, sender = measure(contender, channels)
            each = 100.0 * used / channels
            print(
                f"{contender:20} {channels:4} channels: {100 * used:5.1f} % of a core (and {100 * idle:.1f} idle), "
                f"{each:.2f} % each, so {100 / each:.0f} a core; sender {100 * sender:.0f} %",
                flush=True,
            )


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or [1, 20, 50, 100])
