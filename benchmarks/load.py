"""Calls for a server to carry, through one of its doors: a process of its own places them, and sends their media.

    here ── open 100, counts, stop ─► the process ── SIP, or a WebSocket's handshake, or WHIP ─► the server
                                          └── native sender: RTP, or frames of WebSockets ────► (WebRTC: Python)

Media go out at their times, whatever the answers: what a call's packet n says was due at `begin_s` + 20 ms * n. Each
call is somewhere else in the recording. The process ends with the one that started it.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from vocal_kernels import _native

from vocal.errors import InputError
from vocal.replays.dialects import Asked, TwilioSender, encoded
from vocal.replays.pace import Faults
from vocal.replays.rtp import RtpSender, coded_packets
from vocal.replays.sip import Caller, Placed, place, target_of
from vocal.replays.whip import Encoder, WhipConnection
from vocal.transports.offers import CODINGS, Coding
from vocal.transports.pcm import Hello, hello_text
from vocal.transports.rtp import PCMA
from vocal.types import Channel, Metadata, Role
from vocal.urgency import RECEIVING

from .voices import MOOD_S, PACKET_SAMPLES, Audio, said, talkspurts

Door = Literal["sip", "websocket", "twilio", "webrtc"]
Fault = Literal["loss", "jitter", "talkspurts"]


class Kind(NamedTuple):
    """A door. files: open ones that a call takes, of the server or of the sender, whichever takes more. faults: what
    can happen on the way to it."""

    title: str
    channels: int
    files: int
    opens_per_s: float
    faults: tuple[Fault, ...] = ()


DOORS: dict[Door, Kind] = {
    "sip": Kind("SIP, two G.711 streams", 2, 4, 100.0, ("loss", "jitter", "talkspurts")),
    "websocket": Kind("WebSocket, two channels of G.711", 2, 1, 100.0),
    "twilio": Kind("WebSocket, Twilio's messages of two tracks", 2, 1, 100.0),
    "webrtc": Kind("WebRTC, the customer's channel in Opus", 1, 2, 10.0, ("loss",)),
}
PACKET_MS = 20.0
LATE_MS = 20.0
ENDLESS = 1 << 40
BOTH: tuple[Role, ...] = ("agent", "customer")
COMFORT_NOISE = 13
NOUGHTS, LEAST_NUMBER = "000000000", 100_000_000
"""Where a number stands in a message, and the least that has so many digits."""

MASK = bytes((0x5A, 0xC3, 0x96, 0x0F))
"""Of all frames: they are made before, and a mask is to hide nothing here."""


class Settings(msgspec.Struct, frozen=True):
    """url: of the server; sip: where it listens for SIP. calls: recordings to send in place of the demo call.

    loss: share of packets, 0-1. talkspurts: nothing is sent while nobody speaks (RFC 3551, 4.1), but one packet of
    comfort noise.
    """

    door: Door
    url: str = ""
    sip: str = ""
    audio: Audio = "call"
    calls: tuple[str, ...] = ()
    loss: float = 0.0
    jitter_ms: float = 0.0
    talkspurts: bool = False

    @property
    def way(self) -> str:
        """The door, and what happens on the way to it."""
        said = [DOORS[self.door].title]
        said += [f"{100.0 * self.loss:g} % loss"] if self.loss else []
        said += [f"{self.jitter_ms:g} ms jitter"] if self.jitter_ms else []
        said += ["talkspurts"] if self.talkspurts else []
        return ", ".join(said)


class Counts(msgspec.Struct, frozen=True):
    """packets: 20 ms of one channel that were handed to the system; refused: by the system. left_out: on purpose, and
    something was sent behind it, so that the server can know. silent: not sent, as nobody spoke.

    late: handed over more than 20 ms behind their time, most_late_ms: the worst. closed: connections that the server
    ended, why: the first of them. cpu_s: of the process.
    """

    packets: int = 0
    left_out: int = 0
    silent: int = 0
    refused: int = 0
    late: int = 0
    most_late_ms: float = 0.0
    closed: int = 0
    why: str = ""
    cpu_s: float = 0.0


class Opened(msgspec.Struct, frozen=True):
    """How many calls were taken, and how many not, with why the first of them was not."""

    taken: int
    refused: int
    why: str = ""


class Begun(msgspec.Struct, frozen=True):
    """begin_s: of time.monotonic, when its first packet was due; place: of that packet in the recording."""

    call: str
    begin_s: float
    place: int


# The doors


class _Way(Protocol):
    async def start(self) -> None: ...
    async def place(self, number: int) -> Begun: ...
    def counts(self) -> Counts: ...
    def stop(self) -> None: ...
    async def close(self) -> None: ...


def _start(settings: Settings, number: int, sides: Sequence[object]) -> tuple[int, float]:
    """Where in its recording a call begins, and its part of the 20 ms."""
    chance = random.Random(number)
    if settings.audio == "moods":
        return chance.randrange(round(2.0 * MOOD_S * 50.0)), chance.uniform(0.0, PACKET_MS)
    return 977 * number % len(sides), chance.uniform(0.0, PACKET_MS)


class _Sip:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._coded = [[self._packets(side) for side in both] for both in said(settings.audio, settings.calls)]
        self._caller = Caller(target_of(f"sip:{settings.sip}"))
        self._sender = RtpSender("127.0.0.1", own_ports=False, stays=True)
        self._placed: list[Placed] = []

    async def start(self) -> None:
        self._host = await self._caller.open()
        with _on_time():
            self._sender.start()

    async def place(self, number: int) -> Begun:
        noise = COMFORT_NOISE if self._settings.talkspurts else None
        placed = await place(
            self._caller, self._host, BOTH, Metadata(notice=True), "pcma", comfort_noise=noise is not None
        )
        self._placed.append(placed)
        coded = self._coded[number % len(self._coded)]
        first, shift_ms = _start(self._settings, number, coded[0])
        start_ms = self._sender.now_ms() + PACKET_MS + shift_ms
        faults = Faults(jitter_ms=self._settings.jitter_ms, loss=self._settings.loss)
        for side, line in enumerate(placed.media):
            assert line.remote is not None
            self._sender.add(
                coded[side], line.remote, 8, faults=faults, first_packet=first, count=ENDLESS, start_ms=start_ms,
                seed=2 * number + side + 1, noise_payload_type=noise,
            )  # fmt: skip
        return Begun(placed.call, self._sender.start_s + start_ms / 1000.0, first)

    def _packets(self, side: NDArray[np.float32]) -> list[bytes]:
        coded = coded_packets(side, PCMA)
        if not self._settings.talkspurts:
            return coded
        return [packet if speaks else b"" for packet, speaks in zip(coded, talkspurts(side), strict=True)]

    def counts(self) -> Counts:
        found = self._sender.counts
        return Counts(found.packets, found.missed, found.silent, found.refused, found.late, found.most_late_ms)

    def stop(self) -> None:
        self._sender.stop()

    async def close(self) -> None:
        await self._caller.hang_up(*(dialog for one in self._placed for dialog in one.dialogs))
        await self._caller.close()


def framed(payload: bytes, is_text: bool = False) -> bytes:
    """A frame as a client sends it (RFC 6455, 5.2)."""
    head = bytes((0x81 if is_text else 0x82,))
    size = len(payload)
    head += bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    mask = np.resize(np.frombuffer(MASK, np.uint8), size)
    return head + MASK + (np.frombuffer(payload, np.uint8) ^ mask).tobytes()


def opened_frame(heard: bytes) -> bytes | None:
    """The first frame that a server said, without its head; None: not all of it is here."""
    if len(heard) < 4:
        return None
    front, size = (4, int.from_bytes(heard[2:4])) if heard[1] == 126 else (2, heard[1])
    return heard[front : front + size] if len(heard) >= front + size else None


class _WebSocket:
    """Our own dialect, both channels in a frame."""

    dialect = "pcm"
    stamps: Sequence[tuple[int, int, int, int]] = ()
    """Numbers in the frames that go on with each (`FrameSender.add`)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._frames = []
        for both in said(settings.audio, settings.calls):
            frames = self._framed(np.stack(both, axis=1))
            self._frames.append((_native.Recording(frames), frames))
        self._sender = _native.FrameSender(PACKET_MS)
        host, _, port = settings.url.partition("//")[2].partition(":")
        self._to = host, int(port)

    def _framed(self, pcm: NDArray[np.float32]) -> list[bytes]:
        """Audio (n, 2) as what is sent each 20 ms."""
        codes = encoded(pcm, "alaw")
        step = len(BOTH) * PACKET_SAMPLES
        return [framed(codes[at : at + step]) for at in range(0, len(codes), step)]

    def _hello(self, number: int) -> tuple[list[str], str | None]:
        """What is said first, and the call's name where the server does not answer."""
        return [hello_text(Hello(encoding="alaw", channels=2, roles=BOTH, notice=True))], None

    async def start(self) -> None:
        with _on_time():
            self._sender.start()

    async def place(self, number: int) -> Begun:
        connection = socket.socket()
        try:
            call = await self._handshake(connection, number)
        except BaseException:
            connection.close()
            raise
        recording, frames = self._frames[number % len(self._frames)]
        first, shift_ms = _start(self._settings, number, frames)
        start_ms = self._sender.now_ms() + PACKET_MS + shift_ms
        self._sender.add(recording, connection.detach(), first, ENDLESS, start_ms, self.stamps)
        return Begun(call, self._sender.start_s + start_ms / 1000.0, first)

    async def _handshake(self, connection: socket.socket, number: int) -> str:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(connection, self._to)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = (
            f"GET /v1/media/{self.dialect} HTTP/1.1\r\nHost: {self._to[0]}:{self._to[1]}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        hello, name = self._hello(number)
        await loop.sock_sendall(connection, asked.encode())
        answer, is_told = b"", False
        while True:
            if not (more := await loop.sock_recv(connection, 4096)):
                raise InputError("the server closed the connection")
            answer += more
            head, ended, rest = answer.partition(b"\r\n\r\n")
            status = head.partition(b"\r\n")[0]
            if ended and b" 101 " not in status:
                raise InputError(f"{status.decode()}: {rest.decode(errors='replace')[:200]}")
            if ended and not is_told:
                await loop.sock_sendall(connection, b"".join(framed(one.encode(), is_text=True) for one in hello))
                is_told = True
                if name is not None:
                    return name
            if ended and (frame := opened_frame(rest)) is not None:
                told = msgspec.json.decode(frame)
                if told.get("type") != "opened":
                    raise InputError(str(told.get("error", told)))
                return str(told["call"])

    def counts(self) -> Counts:
        found = self._sender.counts()
        both = len(BOTH)
        return Counts(
            packets=both * found["frames"],
            late=both * found["late"],
            most_late_ms=found["most_late_ms"],
            closed=found["closed"],
            why=found["why"],
        )

    def stop(self) -> None:
        self._sender.stop()

    async def close(self) -> None:
        del self._sender  # it closes its connections


class _Twilio(_WebSocket):
    """A message for each track; a server that takes no more says so by closing."""

    dialect = "twilio"

    def _framed(self, pcm: NDArray[np.float32]) -> list[bytes]:
        sender = TwilioSender(self._asked(0))
        frames, texts = [], [""]
        for at in range(0, len(pcm), PACKET_SAMPLES):
            texts = [self._template(str(text)) for text in sender.audio(pcm[at : at + PACKET_SAMPLES])]
            frames.append(b"".join(framed(text.encode(), is_text=True) for text in texts))
        steps = {"sequenceNumber": len(texts), "chunk": 1, "timestamp": round(PACKET_MS)}
        stamps, begins = [], 0
        for track, text in enumerate(texts):
            begins += len(framed(text.encode(), is_text=True)) - len(text)
            for name, step in steps.items():
                number = LEAST_NUMBER + (track if name == "sequenceNumber" else 0)
                stamps.append(
                    (begins + text.index(f'"{name}": "{NOUGHTS}') + len(f'"{name}": "'), len(NOUGHTS), number, step)
                )
            begins += len(text)
        self.stamps = stamps
        return frames

    def _template(self, text: str) -> str:
        message = json.loads(text)
        message["sequenceNumber"] = message["media"]["chunk"] = message["media"]["timestamp"] = NOUGHTS
        return json.dumps(message)

    def _asked(self, number: int) -> Asked:
        channels = tuple(Channel(side, role) for side, role in enumerate(BOTH))
        return Asked(channels, Metadata(notice=True), f"CA{number:032x}")

    def _hello(self, number: int) -> tuple[list[str], str | None]:
        asked = self._asked(number)
        return [str(text) for text in TwilioSender(asked).begin()], asked.call


class _WebRtc:
    """The customer's channel alone; Python encrypts and sends."""

    coding: Coding = "opus"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        encoder = Encoder(self.coding)
        customer = said(settings.audio, settings.calls)[0][1]
        pieces = customer.reshape(-1, PACKET_SAMPLES, 1)
        self._coded = [packet for piece in pieces for packet in encoder.push(np.ascontiguousarray(piece))]
        self._lines: list[tuple[WhipConnection, int, list[int]]] = []
        self._opened: list[WhipConnection] = []
        self._sending: asyncio.Task[None] | None = None
        self._chance = random.Random(1)
        self._packets = self._left_out = self._late = 0
        self._most_late_ms = 0.0

    async def start(self) -> None:
        self._began_s = time.monotonic()
        self._tick = 0
        self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        step = CODINGS[self.coding] // 50
        while True:
            due_s = self._began_s + self._tick * PACKET_MS / 1000.0
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            for line, (connection, first, sent) in enumerate(self._lines):
                number, left_out = sent
                if number and self._chance.random() < self._settings.loss:
                    sent[:] = number + 1, left_out + 1
                    continue
                connection.peer.senders[0].push(
                    self.coding, number, number * step, self._coded[(first + number) % len(self._coded)]
                )
                sent[:] = number + 1, 0
                self._left_out += left_out
                late_ms = 1000.0 * (time.monotonic() - due_s)
                self._packets += 1
                self._late += late_ms > LATE_MS
                self._most_late_ms = max(self._most_late_ms, late_ms)
                if line % 10 == 9:
                    await asyncio.sleep(0)
            self._tick += 1

    async def place(self, number: int) -> Begun:
        connection = WhipConnection(f"{self._settings.url}/v1/whip")
        try:
            await connection.open(self.coding, 1, {"role": "customer", "notice": "true"})
        except InputError:
            await connection.peer.close()
            raise
        first, _ = _start(self._settings, number, self._coded)
        # It joins at the tick after the one that may be at work now.
        self._opened.append(connection)
        tick = self._tick + 1
        while self._tick < tick and self._sending is not None and not self._sending.done():
            await asyncio.sleep(0.002)
        if self._sending is not None and self._sending.done():
            self._sending.result()
        self._lines.append((connection, first, [0, 0]))
        return Begun(connection.call, self._began_s + tick * PACKET_MS / 1000.0, first)

    def counts(self) -> Counts:
        return Counts(self._packets, self._left_out, late=self._late, most_late_ms=self._most_late_ms)

    def stop(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self._opened), return_exceptions=True)


WAYS: dict[Door, type[_Way]] = {"sip": _Sip, "websocket": _WebSocket, "twilio": _Twilio, "webrtc": _WebRtc}


# In the process


def raise_file_limit() -> int:
    """To what the system gives at most; returns it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = 1 << 20 if most == resource.RLIM_INFINITY else most
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@contextmanager
def _on_time() -> Iterator[None]:
    """Threads that begin meanwhile go before all but the server's clock, where the system permits it: calls come from
    other machines, which do not wait for this one."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RECEIVING))
    except (AttributeError, OSError):
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main() -> None:
    settings = msgspec.json.decode(sys.stdin.readline(), type=Settings)
    raise_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(settings))


async def _follow(settings: Settings) -> None:
    way = WAYS[settings.door](settings)
    await way.start()
    begun: list[Begun] = []
    print("{}", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        match line.split():
            case ["open", count]:
                answer: Any = await _open(way, int(count), DOORS[settings.door].opens_per_s, begun)
            case ["begun"]:
                answer = begun
            case ["stop"]:
                way.stop()
                answer = way.counts()
            case _:
                answer = msgspec.structs.replace(way.counts(), cpu_s=time.process_time())
        print(msgspec.json.encode(answer).decode(), flush=True)
    # Whoever asked is done, or gone.
    threading.Timer(10.0, os._exit, (1,)).start()
    way.stop()
    await way.close()
    os._exit(0)


async def _open(way: _Way, count: int, per_s: float, begun: list[Begun]) -> Opened:
    """One after the other, at the door's pace; once one is refused, no more are placed."""
    before, first = len(begun), len(begun)
    refused: list[str] = []

    async def one(number: int) -> None:
        try:
            begun.append(await way.place(number))
        except (InputError, OSError) as error:
            refused.append(str(error))

    began, tasks = time.monotonic(), []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / per_s - time.monotonic()))
        if refused:
            break
        tasks.append(asyncio.create_task(one(first + number)))
    await asyncio.gather(*tasks)
    return Opened(len(begun) - before, len(refused), refused[0] if refused else "")


# Here


class Load:
    """The process. Raises InputError where it ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self._errors: deque[str] = deque(maxlen=20)
        assert process.stderr is not None
        threading.Thread(target=self._errors.extend, args=(process.stderr,), daemon=True).start()

    def ask(self, what: str, kind: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            time.sleep(0.1)
            raise InputError(f"the load generator ended: {''.join(self._errors).strip()[-500:]}")
        return msgspec.json.decode(answer, type=kind)

    def open(self, calls: int) -> Opened:
        """So many calls more."""
        found: Opened = self.ask(f"open {calls}", Opened)
        return found

    def counts(self) -> Counts:
        found: Counts = self.ask("counts", Counts)
        return found

    def begun(self) -> list[Begun]:
        found: list[Begun] = self.ask("begun", list[Begun])
        return found

    def stop(self) -> Counts:
        """No more is sent; the calls stay open."""
        found: Counts = self.ask("stop", Counts)
        return found


@contextmanager
def loading(settings: Settings) -> Iterator[Load]:
    command = [sys.executable, "-P", "-c", "from vocal.benchmarks.load import main; main()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            load = Load(process)
            load.ask(msgspec.json.encode(settings).decode(), dict[str, Any])
            yield load
            assert process.stdin is not None
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15.0)
        finally:
            if process.poll() is None:
                process.kill()
