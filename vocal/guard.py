"""What stands before the API: headers, origins, sizes and rates. Plain ASGI, knows nothing of calls."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "::1")
MOST_ADDRESSES = 10_000


class RateLimit:
    """So many at once for each address, and so many a second from then on."""

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_s, self._clock = burst, per_s, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Take one: 0, or the seconds after which it may be tried again."""
        now_s = self._clock()
        left, at_s = self._left.pop(address, (self._burst, now_s))
        left = min(self._burst, left + (now_s - at_s) * self._per_s)
        taken = left >= 1.0
        self._left[address] = (left - 1.0 if taken else left, now_s)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return 0.0 if taken else (1.0 - left) / self._per_s


def header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def is_same_origin(scope: Scope, origins: Iterable[str]) -> bool:
    """Whether a request comes from our own pages, from one of `origins`, or from no page at all."""
    origin = header(scope, b"origin")
    if origin is None or origin in origins:
        return True
    return urlsplit(origin).netloc == header(scope, b"host") and origin != "null"


class Guard:
    """Wraps an application.

    origins: of pages elsewhere that may call and connect. frame_ancestors: pages that may embed ours. hosts: names this
    server goes by; empty: any. count: told why a request was refused.
    """

    def __init__(
        self,
        app: App,
        origins: Sequence[str] = (),
        frame_ancestors: Sequence[str] = ("'self'",),
        hosts: Sequence[str] = (),
        most_bytes: int = 65_536,
        is_tls: bool = False,
        styles: Sequence[str] = (),
        count: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._app = app
        self._count = count
        self._origins = tuple(origins)
        self._hosts = frozenset(hosts)
        self._most_bytes = most_bytes
        own_styles = " ".join(("'self'", *(f"'{one}'" for one in styles)))
        policy = (
            f"default-src 'none'; script-src 'self'; style-src {own_styles}; img-src 'self' data:; connect-src 'self'; "
            "media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
            f"frame-ancestors {' '.join(frame_ancestors)}"
        )
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (
                b"referrer-policy",
                b"same-origin",
            ),  # of no-referrer browsers make an origin of "null" when a form is sent
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"permissions-policy", b"microphone=(self), camera=(), geolocation=()"),
        ]
        if is_tls:
            self._headers.append((b"strict-transport-security", b"max-age=31536000"))
        self._cors = {
            origin: [
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-allow-methods", b"GET, POST, DELETE"),
                (b"access-control-allow-headers", b"authorization, content-type"),
                (b"access-control-max-age", b"600"),
                (b"vary", b"origin"),
            ]
            for origin in origins
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is not None:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
                return
            await self._app(scope, receive, send)
            return
        if refusal is not None:
            await self._answer(send, *refusal)
            return
        if scope["method"] == "OPTIONS" and header(scope, b"origin") in self._cors:
            await self._with_headers(scope, send)({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, self._limited(receive), self._with_headers(scope, send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if self._hosts:
            name = urlsplit(f"//{header(scope, b'host') or ''}").hostname or ""
            if name not in self._hosts:
                self._count("host")
                return 421, "this server does not go by that name"
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and not is_same_origin(scope, self._origins):
            self._count("origin")
            return 403, "pages of that origin may not connect"
        if scope["type"] == "http":
            length = header(scope, b"content-length") or "0"
            if not length.isdigit() or int(length) > self._most_bytes:
                self._count("body")
                return 413, f"wanted a body of at most {self._most_bytes} bytes"
        return None

    async def _answer(self, send: Send, status: int, detail: str) -> None:
        body = b'{"detail": "' + detail.encode() + b'"}'
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers + self._headers})
        await send({"type": "http.response.body", "body": body})

    def _limited(self, receive: Receive) -> Receive:
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._most_bytes:
                # A body without a length that grows too long: as if the client had gone.
                self._count("body")
                return {"type": "http.disconnect"}
            return message

        return limited

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        more = self._headers + self._cors.get(header(scope, b"origin") or "", [])

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        return sending
