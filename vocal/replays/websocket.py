"""A recording played over WebSockets, in the dialect of any platform, or over AudioSocket."""

import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from socket import SHUT_RDWR, create_connection
from socket import socket as Socket
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidHandshake, InvalidStatus

from vocal.client import Client, detail
from vocal.errors import InputError, UsageError, unknown
from vocal.replays.dialects import SENDERS, Asked, AudioSocketSender, PcmSender, Sender, sides
from vocal.replays.pace import PACKET_SAMPLES, RATE_HZ, Faults, Recording
from vocal.transports.pcm import Encoding
from vocal.types import Channel, Metadata


def send_call(
    client: Client,
    channels: tuple[Channel, ...],
    metadata: Metadata = Metadata(),
    call: str | None = None,
    encoding: Encoding | None = None,
    dialect: str = "pcm",
    api_key: str | None = None,
    secret: str | None = None,
    audiosocket: str | None = None,
) -> "SentCall":
    """Opens a call as the client of a dialect does, 8 kHz. Raises InputError where the server refuses it.

    api_key, secret: by which AudioHook's or Twilio's client shows who it is. audiosocket: HOST:PORT of the server.
    """
    if dialect not in SENDERS:
        raise UsageError(unknown("dialect", dialect, SENDERS))
    name = call or ("" if dialect == "pcm" else uuid.uuid4().hex)
    asked = Asked(channels, metadata, name, encoding, api_key, secret)
    stack = ExitStack()
    try:
        wires = [
            (_wire(client, sender, stack, audiosocket), sender, column) for sender, column in sides(asked, dialect)
        ]
    except (OSError, InvalidHandshake) as error:
        stack.close()
        raise InputError(f"{client.socket_url}: {_refusal(error)}") from None
    except BaseException:
        stack.close()
        raise
    return SentCall(wires, stack, name)


def _wire(client: Client, sender: Sender, stack: ExitStack, audiosocket: str | None) -> "_Wire":
    if isinstance(sender, AudioSocketSender):
        host, _, port = (audiosocket or "").rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"audiosocket: wanted HOST:PORT, got {audiosocket!r}")
        client.request("POST", "/v1/media/audiosocket", sender.announcement())
        return _Tcp(stack.enter_context(create_connection((host, int(port)), 10.0)))
    headers = sender.headers(client.socket_url + sender.path())
    return stack.enter_context(client.connect(sender.path(), sender.subprotocol or "", headers))


class _Wire(Protocol):
    def send(self, message: str | bytes) -> None: ...

    def recv(self, timeout: float | None = None) -> str | bytes: ...

    def close(self) -> None: ...

    @property
    def socket(self) -> Socket: ...


class _Tcp:
    def __init__(self, socket: Socket) -> None:
        self.socket = socket

    def send(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        self.socket.sendall(message)

    def recv(self, timeout: float | None = None) -> str | bytes:
        self.socket.settimeout(timeout)
        if data := self.socket.recv(4096):
            return data
        raise ConnectionClosedOK(None, None)

    def close(self) -> None:
        self.socket.close()


class SentCall:
    """A call that we send. `end` waits until all of it was heard, where its dialect tells."""

    def __init__(self, wires: Sequence[tuple[_Wire, Sender, int | None]], stack: ExitStack, call: str) -> None:
        self._wires, self._stack = wires, stack
        self._rest: NDArray[np.float32] | None = None
        self.call = call
        for wire, sender, _ in wires:
            self._send(wire, sender.begin())
            if sender.answers:
                answer = self._answer(wire, sender, "begin")
                self.call = str(answer.get("call") or call)

    def push(self, pcm: NDArray[np.float32]) -> None:
        """Audio (n, channels)."""
        size = self._wires[0][1].samples
        pcm = pcm if self._rest is None else np.concatenate([self._rest, pcm])
        whole = len(pcm) - len(pcm) % size
        for first in range(0, whole, size):
            self._audio(pcm[first : first + size])
        self._rest = pcm[whole:]

    def set_notice(self, given: bool) -> None:
        wire, sender, _ = self._wires[0]
        if not isinstance(sender, PcmSender):
            raise UsageError("notice in mid-call: over our own dialect, pcm, or POST /v1/calls/ID/notice")
        self._send(wire, [msgspec.json.encode({"type": "notice", "given": given}).decode()])

    def end(self) -> None:
        if self._rest is not None and len(self._rest):
            self._audio(self._rest)
        for wire, sender, _ in self._wires:
            frames = list(sender.end())
            self._send(wire, frames)
            if sender.answers:
                self._answer(wire, sender, "end")
            elif frames:
                self._until_closed(wire)
        for wire, _, _ in self._wires:
            wire.close()
        self._stack.close()

    def drop(self) -> None:
        """As if the cable had been pulled."""
        for wire, _, _ in self._wires:
            wire.socket.shutdown(SHUT_RDWR)

    def _audio(self, pcm: NDArray[np.float32]) -> None:
        for wire, sender, column in self._wires:
            self._send(wire, sender.audio(pcm if column is None else pcm[:, column : column + 1]))

    def _send(self, wire: _Wire, frames: Iterable[str | bytes]) -> None:
        try:
            for frame in frames:
                wire.send(frame)
        except (ConnectionClosed, OSError) as error:
            raise InputError(f"the server closed the call: {_reason(error)}") from None

    def _answer(self, wire: _Wire, sender: Sender, to: str) -> dict[str, Any]:
        try:
            while True:
                answer: dict[str, Any] = msgspec.json.decode(wire.recv(timeout=90.0))
                if sender.is_answer(answer, to):
                    return answer
                if answer.get("type") in ("error", "disconnect"):
                    raise InputError(f"the server takes no call: {answer.get('error') or answer.get('parameters')}")
        except (ConnectionClosed, OSError, TimeoutError) as error:
            raise InputError(f"the server closed the call: {_reason(error)}") from None

    def _until_closed(self, wire: _Wire) -> None:
        try:
            while True:
                wire.recv(timeout=90.0)
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code != 1000:
                raise InputError(f"the server closed the call: {error.rcvd.reason}") from None
        except OSError as error:
            raise InputError(f"the server closed the call: {error}") from None


def _reason(error: Exception) -> str:
    closed = error.rcvd if isinstance(error, ConnectionClosed) else None
    return closed.reason or str(closed.code) if closed else str(error)


def _refusal(error: Exception) -> str:
    """With what the server says of why."""
    if isinstance(error, InvalidStatus):
        return f"{error.response.status_code} {detail(bytes(error.response.body or b''))}"
    return str(error) or "cannot be reached"


def replay(
    source: Recording,
    url: str,
    metadata: Metadata = Metadata(),
    *,
    call: str | None = None,
    encoding: Encoding | None = None,
    dialect: str = "pcm",
    api_key: str | None = None,
    secret: str | None = None,
    audiosocket: str | None = None,
    speed: float = 1.0,
    faults: Faults = Faults(),
    token: str | None = None,
    on_progress: Callable[[float], None] = lambda done_s: None,
    seed: int = 0,
) -> str:
    """Plays a recording to a server as a call that happens now, 20 ms at a time; returns the call's id.

    Raises InputError where the server refuses it, UsageError for a URL that is none.
    """
    if not speed > 0.0:
        raise UsageError(f"--speed: wanted more than 0, got {speed}")
    chance = random.Random(seed)
    with Client(url, token) as client:
        sent = send_call(client, source.channels, metadata, call, encoding, dialect, api_key, secret, audiosocket)
        began = time.monotonic()
        number = 0
        while len(pcm := source.read(PACKET_SAMPLES)):
            due_s = number * PACKET_SAMPLES / RATE_HZ / (1.0 + faults.drift_ppm * 1e-6)
            due_s += chance.uniform(0.0, faults.jitter_ms) / 1000.0
            if (wait_s := began + due_s / speed - time.monotonic()) > 0.0:
                time.sleep(wait_s)
            if faults.loss and chance.random() < faults.loss:
                pcm = np.zeros_like(pcm)
            sent.push(pcm)
            number += 1
            if number % 25 == 0:
                on_progress(number * PACKET_SAMPLES / RATE_HZ)
        sent.end()
    return sent.call
