"""A small client: live events that come back after a break, recordings played as live calls, and the API.

with Client("http://127.0.0.1:8765") as vocal:
    for cursor, event in vocal.events(types=("cue", "mood")):
        ...
"""

import random
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from socket import SHUT_RDWR, create_connection
from socket import socket as Socket
from types import TracebackType
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from vocal.errors import InputError, UsageError, unknown
from vocal.replays.dialects import SENDERS, Asked, AudioSocketSender, PcmSender, Sender, sides
from vocal.transports.pcm import Encoding
from vocal.types import Channel, LiveEvent, Metadata

PACKET_SAMPLES = 160
RATE_HZ = 8000
LONGEST_WAIT_S = 10.0


class _Message(msgspec.Struct):
    cursor: int
    event: LiveEvent


class _Frame(msgspec.Struct):
    """Whatever comes over WS /v1/live."""

    cursor: int = 0
    event: msgspec.Raw = msgspec.Raw()
    hello: dict[str, Any] | None = None
    lost: dict[str, int] | None = None


class Client:
    """A server's API and events. url: http:// or https://; token: an API token."""

    def __init__(self, url: str, token: str | None = None, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
            raise UsageError(f"{url}: wanted http://HOST:PORT")
        is_tls = parts.scheme in ("https", "wss")
        self._http = urlunsplit(("https" if is_tls else "http", parts.netloc, "", "", ""))
        self._ws = urlunsplit(("wss" if is_tls else "ws", parts.netloc, "", "", ""))
        self._context = context if context is not None or not is_tls else ssl.create_default_context()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._socket: ClientConnection | None = None
        self.cursor: int | None = None
        self.lost: Mapping[str, int] = {}
        self.hello: Mapping[str, Any] = {}

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The API: `request("POST", "/v1/calls/x/notice", {"given": False})`. Raises InputError for a refusal."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {**self._headers, "Content-Type": "application/json"}
        asked = urllib.request.Request(self._http + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=30.0, context=self._context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise InputError(f"{method} {path}: {error.code} {_detail(error.read())}") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{self._http}: cannot be reached: {getattr(error, 'reason', error)}") from None
        return msgspec.json.decode(text) if text else None

    def events(
        self,
        call: str | None = None,
        types: Sequence[str] = (),
        since: int | None = None,
        comes_back: bool = True,
    ) -> Iterator[tuple[int, LiveEvent]]:
        """Events with their cursors, for ever. After a break it comes back and misses nothing that the server kept.

        since: a cursor, 0 for all that is kept; None: from now on. Raises InputError where the server refuses, or
        where it is gone and `comes_back` is False.
        """
        self.cursor = since
        waited_s = 0.0
        while True:
            try:
                for cursor, event in self._listen(call, types):
                    waited_s = 0.0
                    self.cursor = cursor
                    yield cursor, event
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code in (1008, 4401):
                    raise InputError(f"{self._ws}: {error.rcvd.reason}") from None
                if not comes_back:
                    raise InputError(f"{self._ws}: {error or 'cannot be reached'}") from None
            waited_s = min(LONGEST_WAIT_S, 2.0 * waited_s + 0.1)
            time.sleep(waited_s * random.uniform(0.5, 1.0))

    def _listen(self, call: str | None, types: Sequence[str]) -> Iterator[tuple[int, LiveEvent]]:
        asked = {"call": call, "types": ",".join(types) or None, "since": self.cursor}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        with connect(
            f"{self._ws}/v1/live?{query}",
            additional_headers=self._headers,
            ssl=self._context,
            compression=None,
            max_size=2**20,
        ) as socket:
            self._socket = socket
            for text in socket:
                frame = msgspec.json.decode(text, type=_Frame)
                if frame.hello is not None:
                    self.hello = frame.hello
                    if self.cursor is None:
                        self.cursor = int(frame.hello["cursor"])
                elif frame.lost is not None:
                    self.lost = frame.lost
                elif len(memoryview(frame.event)):
                    yield frame.cursor, msgspec.json.decode(frame.event, type=LiveEvent)

    def send_call(
        self,
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
                (self._wire(sender, stack, audiosocket), sender, column) for sender, column in sides(asked, dialect)
            ]
        except (OSError, InvalidHandshake) as error:
            stack.close()
            raise InputError(f"{self._ws}: {_refusal(error)}") from None
        except BaseException:
            stack.close()
            raise
        return SentCall(wires, stack, name)

    def _wire(self, sender: Sender, stack: ExitStack, audiosocket: str | None) -> "_Wire":
        if isinstance(sender, AudioSocketSender):
            host, _, port = (audiosocket or "").rpartition(":")
            if not host or not port.isdecimal():
                raise UsageError(f"audiosocket: wanted HOST:PORT, got {audiosocket!r}")
            self.request("POST", "/v1/media/audiosocket", sender.announcement())
            return _Tcp(stack.enter_context(create_connection((host, int(port)), 10.0)))
        url = self._ws + sender.path()
        return stack.enter_context(
            connect(
                url,
                additional_headers={**self._headers, **sender.headers(url)},
                subprotocols=[Subprotocol(sender.subprotocol)] if sender.subprotocol else None,
                ssl=self._context,
                compression=None,
            )
        )


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
        return f"{error.response.status_code} {_detail(bytes(error.response.body or b''))}"
    return str(error) or "cannot be reached"


class Faults(NamedTuple):
    """What goes wrong on the way. Over TCP a lost packet is one that its sender left out, and so silence.

    loss, reorder: shares of packets, 0-1. A reordered packet comes after the one behind it; over TCP none does.
    """

    jitter_ms: float = 0.0
    loss: float = 0.0
    drift_ppm: float = 0.0
    reorder: float = 0.0


class Recording(Protocol):
    """A recording of a call, as `vocal.transports.files` opens it."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    def read(self, samples: int) -> NDArray[np.float32]: ...


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
        sent = client.send_call(source.channels, metadata, call, encoding, dialect, api_key, secret, audiosocket)
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


def call_path(call: str) -> str:
    """Where the API has a call."""
    return f"/v1/calls/{quote(call, safe='')}"


def _detail(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
        return str(found.get("detail", found)) if isinstance(found, dict) else str(found)
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
