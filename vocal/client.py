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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec
import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from vocal.errors import InputError, UsageError
from vocal.transports.pcm import Encoding, Hello, hello_text
from vocal.types import Channel, LiveEvent, Metadata

PACKET_SAMPLES = 160
RATE_HZ = 8000
MOST_FRAME = 32_000
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
        encoding: Encoding = "pcm_s16le",
    ) -> "SentCall":
        """Opens a call over a raw PCM WebSocket, 8 kHz. Raises InputError where the server refuses it."""
        hello = Hello(
            encoding=encoding,
            channels=2 if len(channels) == 2 else 1,
            roles=tuple(one.role for one in channels),
            call=call,
            notice=metadata.notice,
            metadata=metadata,
        )
        stack = ExitStack()
        try:
            socket = stack.enter_context(
                connect(
                    f"{self._ws}/v1/media/pcm",
                    additional_headers=self._headers,
                    ssl=self._context,
                    compression=None,
                )
            )
        except (OSError, InvalidHandshake) as error:
            raise InputError(f"{self._ws}: {error or 'cannot be reached'}") from None
        return SentCall(socket, stack, hello)


class SentCall:
    """A call that we send. `end` waits until all of it was heard."""

    def __init__(self, socket: ClientConnection, stack: ExitStack, hello: Hello) -> None:
        self._socket = socket
        self._stack = stack
        self._encoding = hello.encoding
        self._send(hello_text(hello))
        answer = self._receive()
        if answer.get("type") != "opened":
            raise InputError(f"the server takes no call: {answer.get('error', answer)}")
        self.call = str(answer["call"])

    def push(self, pcm: NDArray[np.float32]) -> None:
        """Audio (n, channels)."""
        frames = encoded(pcm, self._encoding)
        for first in range(0, len(frames), MOST_FRAME):
            self._send(frames[first : first + MOST_FRAME])

    def set_notice(self, given: bool) -> None:
        self._send(msgspec.json.encode({"type": "notice", "given": given}).decode())

    def end(self) -> None:
        self._send('{"type": "end"}')
        while self._receive().get("type") != "ended":
            pass
        self._stack.close()

    def drop(self) -> None:
        """As if the cable had been pulled."""
        self._socket.socket.shutdown(SHUT_RDWR)

    def _send(self, frame: str | bytes) -> None:
        try:
            self._socket.send(frame)
        except ConnectionClosed as error:
            raise InputError(f"the server closed the call: {error.rcvd.reason if error.rcvd else error}") from None

    def _receive(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = msgspec.json.decode(self._socket.recv(timeout=90.0))
        except (ConnectionClosed, TimeoutError) as error:
            raise InputError(f"the server closed the call: {error}") from None
        return answer


def encoded(pcm: NDArray[np.float32], encoding: Encoding) -> bytes:
    """Audio (n, channels) as the wire has it."""
    codes = np.clip(np.round(np.nan_to_num(pcm) * 32768.0), -32768, 32767).astype("<i2")
    if encoding == "pcm_s16le":
        return codes.tobytes()
    return _companded(codes, encoding).tobytes()


def _companded(codes: NDArray[np.int16], encoding: Encoding) -> NDArray[np.uint8]:
    """The code whose value is nearest, by the decoder's own table."""
    from vocal.transports.pcm import table

    values = table(encoding)
    order = np.argsort(values)
    ranked = values[order]
    wanted = codes.astype(np.float32) / np.float32(32768.0)
    place = np.clip(np.searchsorted(ranked, wanted), 1, len(ranked) - 1)
    below = wanted - ranked[place - 1] <= ranked[place] - wanted
    nearest: NDArray[np.uint8] = order[place - below].astype(np.uint8)
    return nearest


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
    encoding: Encoding = "pcm_s16le",
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
        sent = client.send_call(source.channels, metadata, call, encoding)
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
