"""Calls over WebSockets and AudioSocket: one endpoint for all dialects, bare ASGI.

a connection ─► who is it? ─► Dialect.receive ─► a call ─► its audio into the playouts ─► until either side ends it
"""

import asyncio
import base64
import contextlib
import logging
import re
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

import fastapi
import msgspec
import numpy as np
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from vocal_kernels import RATE_HZ

from vocal.access import Principal, may_handle
from vocal.config import MediaConfig
from vocal.errors import AccessError, CapacityError, ConfigError, MediaError, UsageError, VocalError, unknown
from vocal.guard import RateLimit, Receive, Scope, Send, address, header
from vocal.playout import Playout
from vocal.service import Service
from vocal.signatures import MessageSignatures, SignedRequest, check_twilio
from vocal.transports.audiohook import AudioHook
from vocal.transports.audiosocket import AudioSocket
from vocal.transports.chan_websocket import ChanWebsocket
from vocal.transports.dialect import (
    CALL,
    WIDTH,
    YES,
    Closed,
    Dialect,
    Discarded,
    Dtmf,
    Media,
    Notice,
    Opened,
    Paused,
    Reply,
    Resumed,
    Said,
)
from vocal.transports.pcm import Decoder, Listen, Pcm
from vocal.transports.twilio import VARIANTS, Twilio
from vocal.types import Channel, Metadata, Role

MEDIA = "/v1/media/"
DIALECTS = ("pcm", *VARIANTS, "audiohook", "jambonz", "fork", "vonage", "asterisk")
SUBPROTOCOLS = ("audio.jambonz.org", "audio.drachtio.org", "media")
KNOWN_TRACKS: Mapping[str, Mapping[str, Role]] = {"audiohook": {"external": "customer", "internal": "agent"}}
"""Dialects that say themselves who is the agent."""

MOST_WAITING_MS = 2000.0
"""Audio over TCP that may wait to be played before no more is read."""

MOST_AHEAD_MS = 20_000.0
"""How far ahead of the clock silence may be that a peer says it left out; further, it is waited for."""

MOST_ANNOUNCED = 10_000
READ_BYTES = 16_384
CLOSE_S = 60.0


def _is_fault(record: logging.LogRecord) -> bool:
    """uvicorn's WebSockets take an answer over HTTP, such as 401, for none, and log an error for each."""
    return "without completing handshake" not in record.getMessage()


_NOTHING = np.zeros(0, np.float32)


class _Feed:
    """One track's way into its playout."""

    def __init__(self, playout: Playout, said: Opened) -> None:
        self.playout = playout
        self._coding, self._rate_hz = said.coding, said.rate_hz
        self._decoder = None if said.rate_hz == RATE_HZ else Decoder(said.coding, said.rate_hz)
        self._width = WIDTH[said.coding]
        self._number = self._samples = self._next = self._sequence = self._quiet = 0

    def push(self, media: Media, now_ms: float) -> None:
        if self._decoder is None:
            self._number, self._samples = media.sequence + self._quiet, media.position
            self.playout.native.push_coded(
                self._number & 0xFFFF, self._samples & 0xFFFFFFFF, 0, media.payload, self._coding, now_ms
            )
            self._number += 1
            self._samples += len(media.payload) // self._width
            return
        if media.position != self._next or media.sequence != self._sequence:
            self.flush(now_ms)
            self._samples = round(media.position * RATE_HZ / self._rate_hz)
            self._number += max(0, media.sequence - self._sequence)
        self._next = media.position + len(media.payload) // self._width
        self._sequence = media.sequence + 1
        self._take(self._decoder.push(media.payload), now_ms)

    def quiet(self, now_ms: float) -> None:
        """Nothing follows for a while, and so nothing is lost."""
        self.flush(now_ms)
        self.playout.push(self._number, self._samples, _NOTHING, now_ms)
        self._number += 1
        self._quiet += 1

    def flush(self, now_ms: float) -> None:
        if self._decoder is not None:
            self._take(self._decoder.flush(), now_ms)

    def _take(self, pcm: Any, now_ms: float) -> None:
        if len(pcm):
            self.playout.push(self._number, self._samples, np.ascontiguousarray(pcm), now_ms)
            self._number += 1
            self._samples += len(pcm)


class _Announced(msgspec.Struct, frozen=True):
    """An AudioSocket stream that somebody said would come."""

    principal: Principal
    parameters: Mapping[str, str]
    until_s: float


class AudioSocketIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    uuid: str = Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
    call: str | None = Field(default=None, pattern=CALL)
    role: Literal["agent", "customer", "unknown"] = "unknown"
    notice: bool = False
    consent: bool = False
    queue: str | None = Field(default=None, max_length=200)
    touchpoint: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    language: str | None = Field(default=None, max_length=35)


class MediaDoors:
    """All media connections of a server but WebRTC's. Its event loop owns it; it is an ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.config: MediaConfig = service.config.media
        for name in (*self.config.tracks, *self.config.codings):
            if name not in (*DIALECTS, "audiosocket"):
                raise ConfigError(f"[media]: {unknown('dialect', name, (*DIALECTS, 'audiosocket'))}")
        self.counts: Counter[tuple[str, str]] = Counter()
        """What became of connections and messages, by dialect."""

        self.shared: Counter[str] = Counter()
        """Calls whose sides come over connections of their own, and how many there are now."""

        self._signatures = MessageSignatures(self.config.audiohook_keys, self.config.signature_age_s)
        self._announced: dict[str, _Announced] = {}
        self._bound = _listening(self.config.audiosocket) if self.config.audiosocket else None
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # AudioSocket

    async def start(self) -> None:
        logging.getLogger("uvicorn.error").addFilter(_is_fault)
        if self._bound is not None:
            self._listener = await asyncio.start_server(self._tcp, sock=self._bound, limit=READ_BYTES)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def announce(self, principal: Principal, given: AudioSocketIn) -> None:
        """The stream of this UUID may come within `webrtc.invite_s`. Raises AccessError, CapacityError."""
        if principal.role not in ("local", "ingest", "agent"):
            raise AccessError(f"{principal.role}: may not open calls")
        now_s = time.monotonic()
        for name in [name for name, one in self._announced.items() if one.until_s < now_s]:
            del self._announced[name]
        if len(self._announced) >= MOST_ANNOUNCED:
            raise CapacityError(f"{MOST_ANNOUNCED} streams are announced already", 10.0)
        fields = given.model_dump(exclude_none=True)
        parameters = {name: str(value).lower() if value is True else str(value) for name, value in fields.items()}
        until_s = now_s + self.service.config.webrtc.invite_s
        self._announced[given.uuid.lower()] = _Announced(principal, parameters, until_s)

    def expected(self, name: str) -> tuple[Principal, Mapping[str, str]]:
        """Whose stream it is, once. Where there are no accounts any may come. Raises AccessError."""
        one = self._announced.pop(name, None)
        if one is not None and one.until_s >= time.monotonic():
            return one.principal, one.parameters
        try:
            return self.service.principal({"type": "tcp", "headers": []}), {}
        except AccessError:
            raise AccessError(f"{name}: nobody announced this stream (POST {MEDIA}audiosocket)") from None

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            host, port = writer.get_extra_info("peername")[:2]
            if self.service.opens.wait_s(host) > 0.0:
                self.counts["audiosocket", "refused"] += 1
                return

            async def read() -> bytes | str:
                return await reader.read(READ_BYTES) or "connection lost"

            async def write(frame: str | bytes) -> None:
                if isinstance(frame, bytes):
                    writer.write(frame)
                    await writer.drain()

            await _Connection(self, "audiosocket", AudioSocket(), None, f"{host}:{port}", {}, read, write).run()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    # WebSockets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].removeprefix(MEDIA)
        service = self.service
        await receive()
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        try:
            if name not in DIALECTS:
                raise UsageError(f"{scope['path']}: {unknown('dialect', name, DIALECTS)}")
            principal = self._peer(name, scope, query.pop("token", None))
            if (wait_s := service.opens.wait_s(address(scope))) > 0.0:
                raise CapacityError("too many connections; try again later", max(1.0, wait_s))
        except VocalError as error:
            self.counts[name if name in DIALECTS else "unknown", "refused"] += 1
            service.count("media" if not isinstance(error, AccessError) else "token")
            await _turn_away(scope, send, error)
            return
        offered = scope.get("subprotocols") or ()
        chosen = next((one for one in SUBPROTOCOLS if one in offered), None)
        await send({"type": "websocket.accept", "subprotocol": chosen})

        async def read() -> str | bytes:
            message = await receive()
            if (frame := message.get("bytes")) is not None or (frame := message.get("text")) is not None:
                return cast(str | bytes, frame)
            raise _Gone(message.get("code", 1006))

        async def write(frame: str | bytes) -> None:
            await send({"type": "websocket.send", "text" if isinstance(frame, str) else "bytes": frame})

        source = f"{address(scope)}:{(scope.get('client') or ('', 0))[1]}"
        dialect = self._dialect(name, scope, query)
        code, reason = await _Connection(self, name, dialect, principal, source, query, read, write).run()
        with contextlib.suppress(Exception):
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})

    def _dialect(self, name: str, scope: Scope, query: Mapping[str, str]) -> Dialect:
        coding = self.config.codings.get(name)
        if name in VARIANTS:
            return Twilio(VARIANTS[name], tuple(self.config.tracks.get(name, ())), coding)
        if name == "audiohook":
            return AudioHook(header(scope, b"audiohook-organization-id"), header(scope, b"audiohook-session-id"))
        if name == "asterisk":
            return ChanWebsocket()
        return Pcm() if name == "pcm" else Listen(query, coding)

    # Who is it?

    def _peer(self, name: str, scope: Scope, token: str | None) -> Principal:
        """Whoever a connection is from: by its dialect's signature, or by a token of ours. Raises AccessError."""
        service = self.service
        api_key = header(scope, b"x-api-key")
        if name == "audiohook" and (self.config.audiohook_keys or api_key is not None):
            if api_key is None:
                raise AccessError("wanted X-API-KEY")
            if self._signatures.knows(api_key) or self.config.audiohook_keys:
                headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
                self._signatures.check(SignedRequest(self._url(scope), headers))
                return Principal("audiohook", "ingest")
            return service.access.check(api_key, ("token",))
        if name == "twilio" and self.config.twilio_tokens:
            given = header(scope, b"x-twilio-signature")
            if given is not None or token is None:
                check_twilio(self.config.twilio_tokens, self._url(scope), given)
                return Principal("twilio", "ingest")
        if token is not None:
            return service.access.check(token, ("token",))
        scheme, _, credentials = (header(scope, b"authorization") or "").partition(" ")
        if scheme.lower() == "basic":
            return service.access.check(_password(credentials), ("token",))
        return service.principal(scope)

    def _url(self, scope: Scope) -> str:
        """As the peer called it."""
        scheme = "wss" if self.service.is_tls else "ws"
        base = self.config.url.rstrip("/") or f"{scheme}://{header(scope, b'host') or ''}"
        query = scope.get("query_string", b"").decode("latin-1")
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        return f"{base}{path}" + (f"?{query}" if query else "")

    # Calls

    def channels(self, name: str, said: Opened, parameters: Mapping[str, str]) -> tuple[Channel, ...]:
        """Whose voice each track is: as the peer says, as is configured, as the dialect says; else unknown."""
        roles = said.roles or tuple(self._role(name, track, said, parameters) for track in said.tracks)
        if len(set(roles)) < len(roles) and roles[0] != "unknown":
            raise MediaError(f"tracks {' and '.join(said.tracks)}: both would be the {roles[0]}'s")
        return tuple(Channel(number, role) for number, role in enumerate(roles))

    def _role(self, name: str, track: str, said: Opened, parameters: Mapping[str, str]) -> Role:
        given = parameters.get(track) or (parameters.get("role") if len(said.tracks) == 1 else None)
        if given in ("agent", "customer", "unknown"):
            return cast(Role, given)
        configured = self.config.tracks.get(name, {}).get(track)
        return configured or KNOWN_TRACKS.get(name, {}).get(track, "unknown")

    def metadata(self, said: Opened, parameters: Mapping[str, str]) -> Metadata:
        def named(what: str) -> str | None:
            if what not in self.config.names and what in self.config.names.values():
                return None  # that word is another thing's here
            return (parameters.get(self.config.names.get(what, what)) or "")[:200] or None

        own = said.metadata
        return Metadata(
            named("queue") or own.queue,
            named("team") or own.team,
            named("agent") or own.agent,
            named("language") or own.language,
            own.notice or (named("notice") or "").lower() in YES,
            named("touchpoint") or own.touchpoint,
            consent=own.consent or (named("consent") or "").lower() in YES,
        )


class _Gone(Exception):
    """The peer closed its WebSocket."""

    def __init__(self, code: int) -> None:
        self.code = code


class _Connection:
    """One peer's connection, from what it says first until either side ends it."""

    def __init__(
        self,
        doors: MediaDoors,
        name: str,
        dialect: Dialect,
        principal: Principal | None,
        source: str,
        query: Mapping[str, str],
        read: Callable[[], Awaitable[str | bytes]],
        write: Callable[[str | bytes], Awaitable[None]],
    ) -> None:
        self._doors, self._name, self._dialect = doors, name, dialect
        self._principal, self._source, self._query = principal, source, query
        self._read, self._write = read, write
        self._live = doors.service.live
        self._call: str | None = None
        self._feeds: list[_Feed] = []
        self._rate_hz = RATE_HZ
        self._last_ms = self._depth_ms = 0.0
        self._ended = asyncio.Event()

    async def run(self) -> tuple[int, str]:
        """How to close, and why."""
        try:
            async with asyncio.timeout(self._doors.service.config.server.hello_s):
                closed = await self._until_opened()
            if closed is not None:
                return 1000, closed
            return await self._heard()
        except _Gone:
            return 1000, ""
        except TimeoutError:
            return await self._refuse(1008, "wanted a first frame that says what comes")
        except CapacityError as error:
            return await self._refuse(1013, str(error), error.retry_after_s)
        except (AccessError, UsageError) as error:
            return await self._refuse(1008, str(error))
        except MediaError as error:
            return await self._refuse(1003, str(error))
        finally:
            self._leave("connection lost")

    async def _until_opened(self) -> str | None:
        """None once the call is open; else why there is none."""
        while self._call is None:
            if (closed := await self._take(await self._read())) is not None:
                self._count("probes")
                return closed
        return None

    async def _heard(self) -> tuple[int, str]:
        reading = asyncio.create_task(self._listen())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._reply(self._dialect.ended("ended by the server"))
                return 1000, "ended by the server"
            reason, is_gone = reading.result()
            self._flush()
            self._leave(reason)
            if not is_gone:
                # What was sent is played first, so that the peer knows that all of it was heard.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), CLOSE_S)
                await self._reply(self._dialect.ended("hangup"))
            return 1000, ""
        except MediaError as error:
            self._leave("bad media")
            return await self._refuse(1003, str(error))
        except UsageError as error:  # the call ended meanwhile
            await self._reply(self._dialect.ended(str(error)))
            return 1000, str(error)
        finally:
            reading.cancel()
            ended.cancel()

    async def _listen(self) -> tuple[str, bool]:
        """Until the peer is done: why the call ends, and whether the peer is gone already."""
        while True:
            try:
                frame = await self._read()
            except _Gone as gone:
                return {1000: "hangup", 1001: "hangup", 1012: "shutdown"}.get(gone.code, "connection lost"), True
            if (closed := await self._take(frame)) is not None:
                return closed, False

    async def _take(self, frame: str | bytes) -> str | None:
        """What one frame says; the reason, where it is the last."""
        if self._name == "audiosocket" and isinstance(frame, str):
            return frame  # the socket is closed
        feed, now_ms = None, self._live.now_ms()
        for said in self._dialect.receive(frame):
            if type(said) is Media:
                feed = self._feeds[said.track]
                feed.push(said, now_ms)
            elif (closed := await self._follow(said)) is not None:
                return closed
        if feed is not None:
            self._last_ms, self._depth_ms = now_ms, feed.playout.depth_ms
            if self._depth_ms > MOST_WAITING_MS:
                await self._hold_back(feed)
        elif self._call is not None:
            self._live.touch(self._call)
        return None

    async def _follow(self, said: Said) -> str | None:
        """What is no audio; the reason, where it is the last."""
        match said:
            case Reply():
                await self._write(said.frame)
            case Opened():
                await self._open(said)
            case Notice() if self._call is not None:
                self._live.set_notice(self._call, said.given, said.basis)
            case Discarded():
                self._count("discarded")
                await self._wait_for(1000.0 * said.samples / self._rate_hz)
            case Closed():
                return said.reason
            case Dtmf():
                self._count("dtmf")
            case Paused():
                self._count("paused")
                for feed in self._feeds:
                    feed.quiet(self._live.now_ms())
                self._hold(True)
            case Resumed():
                self._count("resumed")
                self._hold(False)
        return None

    def _hold(self, is_held: bool) -> None:
        if self._call is not None:
            with contextlib.suppress(UsageError):  # it ended meanwhile
                self._live.hold(self._call, is_held)

    async def _hold_back(self, feed: _Feed) -> None:
        """Who sends faster than people speak waits, and what they sent waits in the network."""
        while (ahead_ms := self._depth_ms - MOST_WAITING_MS) > 0.0 and not self._ended.is_set():
            await asyncio.sleep(min(0.5, max(0.005, ahead_ms / 1000.0 / self._live.speed)))
            self._last_ms, self._depth_ms = self._live.now_ms(), feed.playout.depth_ms

    async def _wait_for(self, skipped_ms: float) -> None:
        """Silence that the clock has not come to."""
        until_ms = self._last_ms + self._depth_ms + skipped_ms - MOST_AHEAD_MS
        while (ahead_ms := until_ms - self._live.now_ms()) > 0.0 and not self._ended.is_set():
            await asyncio.sleep(min(0.5, max(0.005, ahead_ms / 1000.0 / self._live.speed)))

    # The call

    async def _open(self, said: Opened) -> None:
        doors, service = self._doors, self._doors.service
        parameters = {**said.parameters, **self._query}
        principal = self._principal
        if principal is None:
            principal, announced = doors.expected(said.peer_call)
            parameters |= announced
        channels = doors.channels(self._name, said, parameters)
        metadata = doors.metadata(said, parameters)
        wanted = said.call or parameters.get(doors.config.names.get("call", "call"))
        if wanted is not None and not re.fullmatch(CALL, wanted):
            raise MediaError(f"call: wanted at most 64 letters, digits, dots and dashes, got {wanted[:80]!r}")
        call, numbers = self._opened(principal, channels, metadata, wanted, said.peer_call)
        self._call, self._rate_hz = call, said.rate_hz
        service.on_end(call, self._over)
        self._feeds = [_Feed(self._live.attach(call, number, reliable=True), said) for number in numbers]
        self._count("opened")
        await self._reply(self._dialect.opened(call))

    def _opened(
        self,
        principal: Principal,
        channels: tuple[Channel, ...],
        metadata: Metadata,
        wanted: str | None,
        peer_call: str,
    ) -> tuple[str, list[int]]:
        """The call and, in it, the channel of each track. A side of a call that is named joins the other side."""
        doors, service = self._doors, self._doors.service
        transport = "websocket" if self._name == "pcm" else self._name
        is_side = wanted is not None and len(channels) == 1 and channels[0].role != "unknown" and self._name != "pcm"
        if wanted is not None and is_side:
            both: tuple[Channel, ...] = (Channel(0, "agent"), Channel(1, "customer"))
            state = self._live.call(wanted)
            number = 0 if channels[0].role == "agent" else 1
            if state is None:
                service.open_call(principal, transport, self._source, both, metadata, wanted)
                doors.shared[wanted] = 0
            else:
                if not may_handle(principal, state.call.metadata):
                    raise AccessError(f"{principal.role}: may not join call {wanted!r}")
                if state.call.channels != both or state.call.transport not in (transport, "api"):
                    raise UsageError(f"call {wanted!r} takes no more participants")
                if state.playouts[number] is not None:
                    raise UsageError(f"call {wanted!r} has its {channels[0].role} already")
                self._live.join_notice(wanted, metadata)
            doors.shared[wanted] += 1
            return wanted, [number]
        numbers = [one.channel for one in channels]
        own = peer_call if re.fullmatch(CALL, peer_call) else None
        if wanted is None and own is not None:
            # A stream that was stopped and started anew in the same call is another one of ours.
            with contextlib.suppress(UsageError):
                return service.open_call(principal, transport, self._source, channels, metadata, own).call, numbers
        return service.open_call(principal, transport, self._source, channels, metadata, wanted).call, numbers

    def _over(self, reason: str) -> None:
        self._ended.set()

    def _flush(self) -> None:
        for feed in self._feeds:
            feed.flush(self._live.now_ms())

    def _leave(self, reason: str) -> None:
        """The call ends with its last connection."""
        call, self._call = self._call, None
        if call is None:
            return
        shared = self._doors.shared
        if call in shared:
            for feed in self._feeds:
                self._live.detach(call, feed.playout)
            shared[call] -= 1
            if shared[call] > 0:
                self._ended.set()
                return
            del shared[call]
        self._live.end(call, reason)

    # Answers

    async def _reply(self, replies: Sequence[Reply]) -> None:
        with contextlib.suppress(Exception):
            for one in replies:
                await self._write(one.frame)

    async def _refuse(self, code: int, reason: str, retry_after_s: float | None = None) -> tuple[int, str]:
        self._count("refused" if not self._feeds else "bad_media")
        self._doors.service.count("media")
        await self._reply(self._dialect.refused(reason, retry_after_s))
        return code, reason

    def _count(self, what: str) -> None:
        self._doors.counts[self._name, what] += 1


def _listening(where: str) -> socket.socket:
    """Raises UsageError where AudioSocket cannot be listened for."""
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(f"audiosocket: wanted HOST:PORT, got {where!r}")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(f"cannot listen on {where} for AudioSocket: {error}") from None


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        raise AccessError("authorization: wanted name and token in base64") from None


async def _turn_away(scope: Scope, send: Send, error: VocalError) -> None:
    """Before the WebSocket is accepted, with a status of HTTP."""
    status = {AccessError: 401, CapacityError: 429, UsageError: 404}.get(type(error), 400)
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
        return
    headers = [(b"content-type", b"application/json")]
    if isinstance(error, CapacityError):
        headers.append((b"retry-after", f"{error.retry_after_s:.0f}".encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": msgspec.json.encode({"detail": str(error)})})


def add_media_routes(
    api: fastapi.FastAPI,
    doors: MediaDoors,
    who: Callable[[Request], Principal],
    limit: Callable[[RateLimit, Request], None],
) -> None:
    @api.post(f"{MEDIA}audiosocket", tags=["media"], status_code=201)
    async def announce(given: AudioSocketIn, request: Request) -> dict[str, Any]:
        """An AudioSocket stream of this UUID will come: of which call, and whose voice. A UUID serves once."""
        principal = who(request)
        limit(doors.service.opens, request)
        doors.announce(principal, given)
        return {"uuid": given.uuid.lower(), "expires_s": doors.service.config.webrtc.invite_s}
