"""A small client: the API, and live events that come back after a break.

with Client("http://127.0.0.1:8765") as vocal:
    for cursor, event in vocal.events(types=("cue", "mood")):
        ...
"""

import random
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from vocal.errors import InputError, UsageError
from vocal.types import LiveEvent

LONGEST_WAIT_S = 10.0


class _Frame(msgspec.Struct):
    """Whatever comes over WS /v1/live."""

    cursor: int = 0
    event: msgspec.Raw = msgspec.Raw()
    hello: dict[str, Any] | None = None
    lost: dict[str, int] | None = None


class Client:
    """A server's API and events. url: http:// or https://; token: an API token. socket_url: the same as ws://."""

    def __init__(self, url: str, token: str | None = None, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.netloc:
            raise UsageError(f"{url}: wanted http://HOST:PORT")
        is_tls = parts.scheme in ("https", "wss")
        self._http = urlunsplit(("https" if is_tls else "http", parts.netloc, "", "", ""))
        self.socket_url = urlunsplit(("wss" if is_tls else "ws", parts.netloc, "", "", ""))
        self._context = context if context is not None or not is_tls else ssl.create_default_context()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._socket: ClientConnection | None = None
        self._is_closed = False
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
        self._is_closed = True
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, method: str, path: str, body: object = None, timeout_s: float = 30.0) -> Any:
        """The API: `request("POST", "/v1/calls/x/notice", {"given": False})`. Raises InputError for a refusal."""
        data = None if body is None else msgspec.json.encode(body)
        url, headers = self._http + path, {**self._headers, "Content-Type": "application/json"}
        verify: ssl.SSLContext | bool = self._context or False
        try:
            answer = httpx.request(method, url, content=data, headers=headers, timeout=timeout_s, verify=verify)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise InputError(f"{self._http}: cannot be reached: {error}") from None
        if not answer.is_success:
            raise InputError(f"{method} {path}: {answer.status_code} {detail(answer.content)}")
        return msgspec.json.decode(answer.content) if answer.content else None

    def connect(self, path: str, subprotocol: str = "", headers: Mapping[str, str] | None = None) -> ClientConnection:
        """A WebSocket to the server. headers: beside the token's, or in their place."""
        return connect(
            self.socket_url + path,
            additional_headers={**self._headers, **(headers or {})},
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            ssl=self._context,
            compression=None,
            max_size=2**20,
        )

    def events(
        self,
        call: str | None = None,
        types: Sequence[str] = (),
        since: int | None = None,
        comes_back: bool = True,
    ) -> Iterator[tuple[int, LiveEvent]]:
        """Events with their cursors, for ever. After a break it comes back and misses nothing that the server kept.

        since: a cursor, 0 for all that is kept; None: from now on. Raises InputError where the server refuses, or
        where it is gone and `comes_back` is False. Ends when the client is closed.
        """
        self.cursor, self._is_closed = since, False
        waited_s = 0.0
        while True:
            try:
                for cursor, event in self._listen(call, types):
                    waited_s = 0.0
                    self.cursor = cursor
                    yield cursor, event
            except (OSError, InvalidHandshake, ConnectionClosed) as error:
                if isinstance(error, ConnectionClosed) and error.rcvd is not None and error.rcvd.code in (1008, 4401):
                    raise InputError(f"{self.socket_url}: {error.rcvd.reason}") from None
                if not comes_back and not self._is_closed:
                    raise InputError(f"{self.socket_url}: {error or 'cannot be reached'}") from None
            if self._is_closed:
                return
            if not comes_back:
                raise InputError(f"{self.socket_url}: the server ended the connection")
            waited_s = min(LONGEST_WAIT_S, 2.0 * waited_s + 0.1)
            time.sleep(waited_s * random.uniform(0.5, 1.0))

    def _listen(self, call: str | None, types: Sequence[str]) -> Iterator[tuple[int, LiveEvent]]:
        asked = {"call": call, "types": ",".join(types) or None, "since": self.cursor}
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        with self.connect(f"/v1/live?{query}") as socket:
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


def call_path(call: str) -> str:
    """Where the API has a call."""
    return f"/v1/calls/{quote(call, safe='')}"


def detail(body: bytes) -> str:
    """What a refusal says."""
    try:
        found = msgspec.json.decode(body)
        return str(found.get("detail", found)) if isinstance(found, dict) else str(found)
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
