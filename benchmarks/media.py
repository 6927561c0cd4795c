"""What a message of each media dialect costs, and how many streams the endpoint carries beside bare WebSocket servers.

A server process on one core, a sender on another; CPU time of the server's process for each message, 50 a second and
stream, Twilio's (380 bytes with base64). The sender's frames are made before. aiohttp and picows where installed.
Run it by hand: python -m vocal.benchmarks.media [STREAMS]
"""

import asyncio
import base64
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vocal.demo import call_path
from vocal.replays.dialects import SENDERS, Asked, sides
from vocal.transports.audiohook import AudioHook
from vocal.transports.audiosocket import AudioSocket
from vocal.transports.chan_websocket import ChanWebsocket
from vocal.transports.dialect import Dialect, Media, Opened
from vocal.transports.files import open_call
from vocal.transports.pcm import Listen, Pcm
from vocal.transports.twilio import VARIANTS, Twilio
from vocal.types import Channel, Metadata

SERVER_CORE, SENDER_CORE = 1, 0
MEASURED_S = 8.0
BOTH = (Channel(0, "agent"), Channel(1, "customer"))
CONTENDERS = ("vocal", "vocal, no analysis", "uvicorn, decoding", "uvicorn", "aiohttp, decoding", "picows, decoding")


# A codec alone


def dialect_of(name: str) -> Dialect:
    if name in VARIANTS:
        return Twilio(VARIANTS[name])
    makers = {"pcm": Pcm, "audiohook": AudioHook, "asterisk": ChanWebsocket, "audiosocket": AudioSocket}
    return makers.get(name, Listen)()


def codec_us(name: str) -> tuple[float, float]:
    """Microseconds for a message, and for 20 ms of a channel."""
    with open_call(call_path()) as source:
        pcm = source.read(20 * 8000)
    asked = Asked(BOTH, Metadata(), "x", None)
    sender, column = sides(asked, name)[0]
    audio = pcm if column is None else pcm[:, column : column + 1]
    opening = list(sender.begin())
    pieces = (audio[at : at + sender.samples] for at in range(0, len(audio), sender.samples))
    frames = [frame for piece in pieces for frame in sender.audio(piece)]
    best = float("inf")
    for _ in range(5):
        dialect = dialect_of(name)
        for frame in opening:
            for said in dialect.receive(frame):
                if isinstance(said, Opened):
                    dialect.opened("x")
        began = time.perf_counter()
        samples = sum(len(one.payload) for frame in frames for one in dialect.receive(frame) if isinstance(one, Media))
        best = min(best, time.perf_counter() - began)
        assert samples
    spans = len(audio) / 160 * (2 if column is None else 1)
    return 1e6 * best / len(frames), 1e6 * best / spans


# The endpoint


def serve(contender: str) -> None:
    """In a process of its own, until it is killed; says its port."""
    os.sched_setaffinity(0, {SERVER_CORE})
    import uvicorn

    from vocal.running import listen, uvicorn_config

    listening = listen("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    if contender.startswith(("aiohttp", "picows")):
        _serve_other(contender, listening)
        return
    app: Any = _vocal(contender) if contender.startswith("vocal") else _bare("decoding" in contender)
    settings = uvicorn_config(app, "127.0.0.1", 0)
    if not contender.startswith("vocal"):
        settings.lifespan = "off"
    sys.setswitchinterval(0.0005)
    with asyncio.Runner(loop_factory=settings.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(settings).serve([listening]))


def _vocal(contender: str) -> Any:
    from vocal.config import Config, LiveConfig, ServerConfig
    from vocal.live import Live
    from vocal.playout import Playout
    from vocal.server import build_app
    from vocal.service import Service, load_live_emotion

    limits = ServerConfig(opens_burst=1e6, opens_per_s=1e6)
    config = Config(live=LiveConfig(most_busy=100.0), server=limits)
    service = Service(config, live=lambda sink: Live(sink, config, load_live_emotion(config)))
    if contender != "vocal":
        # Nothing is pulled, so nothing may be held back.
        service.live._move = lambda now_ms: None  # type: ignore[method-assign]
        Playout.depth_ms = property(lambda self: 0.0)  # type: ignore[method-assign,assignment]
    return build_app(service)


def _decode(text: str) -> bytes:
    return base64.b64decode(json.loads(text).get("media", {}).get("payload", ""))


def _bare(decodes: bool) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if decodes:
                _decode(message["text"])

    return app


def _serve_other(contender: str, listening: socket.socket) -> None:
    import uvloop

    async def aiohttp_() -> None:
        from aiohttp import web

        async def door(request: web.Request) -> web.WebSocketResponse:
            one = web.WebSocketResponse(compress=False)
            await one.prepare(request)
            async for message in one:
                _decode(message.data)
            return one

        app = web.Application()
        app.router.add_get("/{any:.*}", door)
        runner = web.AppRunner(app)
        await runner.setup()
        listening.listen(1024)
        await web.SockSite(runner, listening).start()
        await asyncio.Event().wait()

    async def picows_() -> None:
        from picows import WSListener, WSMsgType, ws_create_server

        class Door(WSListener):  # type: ignore[misc]
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                if frame.msg_type == WSMsgType.TEXT:
                    _decode(frame.get_payload_as_ascii_text())

        server = await ws_create_server(lambda request: Door(), sock=listening)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(aiohttp_() if contender.startswith("aiohttp") else picows_())


# The sender


def framed(text: str) -> bytes:
    """A text frame of a client's, its mask zero."""
    data = text.encode()
    assert 126 <= len(data) < 65_536 or len(data) < 126
    head = bytes((0x81, 0x80 | len(data))) if len(data) < 126 else bytes((0x81, 0xFE)) + len(data).to_bytes(2, "big")
    return head + bytes(4) + data


def _connected(port: int, name: str) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), 20.0)
    key = base64.b64encode(os.urandom(16)).decode()
    one.sendall(
        f"GET /v1/media/twilio HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += one.recv(4096)
    assert b" 101 " in answer, answer
    start = {"callSid": name, "tracks": ["inbound"], "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000}}
    one.sendall(framed(json.dumps({"event": "start", "start": start})))
    one.settimeout(None)
    return one


def _frames(count: int) -> list[bytes]:
    with open_call(call_path()) as source:
        pcm = source.read(40 * 8000)[20 * 8000 :, 1:]
    sender, _ = sides(Asked((Channel(0, "customer"),), Metadata(), "x", "mulaw"), "twilio")[0]
    texts: Iterable[str | bytes] = (one for n in range(count) for one in sender.audio(pcm[160 * n : 160 * (n + 1)]))
    return [framed(str(one)) for one in texts]


def cpu_s(process: int) -> float:
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(contender: str, streams: int) -> tuple[float, float]:
    """Microseconds of the server's CPU for a message, beyond what it takes idle; and the sender's share of a core."""
    command = [sys.executable, "-P", "-c", f"from vocal.benchmarks.media import serve; serve({contender!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            until = time.monotonic() + 120.0
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1.0).close()
                    break
                except OSError:
                    assert time.monotonic() < until
                    time.sleep(0.2)
            time.sleep(2.0)
            before, at_s = cpu_s(server.pid), time.monotonic()
            time.sleep(2.0)
            idle = (cpu_s(server.pid) - before) / (time.monotonic() - at_s)
            open_ones = [_connected(port, f"s{one}") for one in range(streams)]
            frames = _frames(int(MEASURED_S * 50))
            time.sleep(0.5)
            began, before, own = time.monotonic(), cpu_s(server.pid), time.process_time()
            for number, frame in enumerate(frames):
                for place, one in enumerate(open_ones):
                    one.sendall(frame)
                    if place % 20 == 19:  # spread over the 20 ms
                        due = began + 0.02 * (number + place / streams)
                        time.sleep(max(0.0, due - time.monotonic()))
                time.sleep(max(0.0, began + 0.02 * (number + 1) - time.monotonic()))
            own = time.process_time() - own
            time.sleep(1.0)
            passed_s = time.monotonic() - began
            used = cpu_s(server.pid) - before - idle * passed_s
            for one in open_ones:
                one.close()
        finally:
            server.kill()
    return 1e6 * used / (len(frames) * streams), own / MEASURED_S


def main(arguments: Sequence[str]) -> None:
    streams = int(arguments[0]) if arguments else 200
    np.seterr(all="raise")
    os.sched_setaffinity(0, {SENDER_CORE})
    print(f"{'dialect':12} {'us a message':>13} {'us a channel and 20 ms':>24}")
    for name in SENDERS:
        message_us, span_us = codec_us(name)
        print(f"{name:12} {message_us:13.2f} {span_us:24.2f}", flush=True)
    for contender in CONTENDERS:
        library = contender.partition(",")[0]
        if library in ("aiohttp", "picows") and importlib.util.find_spec(library) is None:
            print(f"{contender:20} is not installed")
            continue
        message_us, own = measure(contender, streams)
        print(
            f"{contender:20} {streams} streams: {message_us:5.1f} us a message, so {1e6 / 50 / message_us:.0f} streams "
            f"a core; sender {100 * own:.0f} %",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
