"""Calls over WebSockets, bare ASGI: one endpoint for all dialects.

a connection ─► who is it? ─► what comes ─► a call ─► its frames into the playouts ─► until either side ends it
"""

import asyncio
import contextlib
from typing import Any, Protocol

import msgspec
import numpy as np

from vocal.access import Principal
from vocal.calling import Host
from vocal.errors import AccessError, CapacityError, MediaError, UsageError, unknown
from vocal.guard import Receive, Scope, Send, address
from vocal.transports.pcm import Decoder, End, Hello, parse_control, parse_hello
from vocal.types import Call

MEDIA = "/v1/media/"
MOST_WAITING_MS = 2000.0
"""Audio over TCP that may wait to be played before no more is read."""


class Door(Host, Protocol):
    """What of the server's service is needed here."""

    def principal(self, scope: Scope) -> Principal: ...

    def count(self, what: str) -> None: ...


async def media_door(service: Door, scope: Scope, receive: Receive, send: Send) -> None:
    """WS /v1/media/pcm: see `vocal.transports.pcm` for what goes over it.

    Closes with 1008 for who may not, 1003 for what it does not understand, 1013 where the machine is full.
    """
    await receive()
    await send({"type": "websocket.accept"})

    async def close(code: int, reason: str, retry_after_s: float | None = None) -> None:
        service.count("media")
        answer: dict[str, Any] = {"type": "error", "error": reason}
        if retry_after_s is not None:
            answer["retry_after_s"] = retry_after_s
        with contextlib.suppress(Exception):
            await send({"type": "websocket.send", "text": msgspec.json.encode(answer).decode()})
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})

    if scope["path"] != f"{MEDIA}pcm":
        await close(1008, f"{scope['path']}: {unknown('dialect', scope['path'].removeprefix(MEDIA), ('pcm',))}")
        return
    try:
        principal = service.principal(scope)
        if service.opens.wait_s(address(scope)) > 0.0:
            await close(1013, "too many connections; try again later", 1.0)
            return
        message = await asyncio.wait_for(receive(), service.config.server.hello_s)
        if message["type"] == "websocket.disconnect":
            return
        hello = parse_hello(message.get("text") or "")
        source = f"{address(scope)}:{(scope.get('client') or ('', 0))[1]}"
        call = service.open_call(
            principal, "websocket", source, hello.opened_channels, hello.opened_metadata, hello.call
        )
    except TimeoutError:
        await close(1008, "wanted a first frame that says what comes")
        return
    except CapacityError as error:
        await close(1013, str(error), error.retry_after_s)
        return
    except (AccessError, UsageError) as error:
        await close(1008, str(error))
        return
    except MediaError as error:
        await close(1003, str(error))
        return
    await send({"type": "websocket.send", "text": msgspec.json.encode({"type": "opened", "call": call.call}).decode()})
    await _PcmCall(service, call, hello, receive, send).run()


class _PcmCall:
    """A call over one WebSocket, until either side ends it."""

    def __init__(self, service: Door, call: Call, hello: Hello, receive: Receive, send: Send) -> None:
        self._service, self._call, self._receive, self._send = service, call, receive, send
        self._live = service.live
        self._decoder = Decoder(hello)
        self._playouts = [self._live.attach(call.call, one.channel, reliable=True) for one in call.channels]
        self._number = self._samples = 0
        self._ended = asyncio.Event()
        service.on_end(call.call, lambda reason: self._ended.set())

    async def run(self) -> None:
        reading = asyncio.create_task(self._read())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((reading, ended), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await self._close(1000, {"type": "ended", "reason": "ended by the server"})
                return
            reason, code, answer = reading.result()
            self._live.end(self._call.call, reason)
            if answer is not None:
                if code == 1000:
                    # What was sent is played first, so that the client knows that all of it was heard.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._ended.wait(), 60.0)
                await self._close(code, answer)
        finally:
            reading.cancel()
            ended.cancel()
            self._live.end(self._call.call, "connection lost")

    async def _read(self) -> tuple[str, int, dict[str, Any] | None]:
        """Until the client is done: why the call ends, and how to close (None: it is closed)."""
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    reasons = {1000: "hangup", 1001: "hangup", 1012: "shutdown"}
                    return reasons.get(message.get("code", 1006), "connection lost"), 1000, None
                if (text := message.get("text")) is not None:
                    control = parse_control(text)
                    if isinstance(control, End):
                        return "hangup", 1000, {"type": "ended", "reason": "hangup"}
                    self._live.set_notice(self._call.call, control.given)
                elif (frame := message.get("bytes")) is not None:
                    await self._push(frame)
        except MediaError as error:
            self._service.count("media")
            return "bad media", 1003, {"type": "error", "error": str(error)}
        except UsageError as error:  # the call ended meanwhile
            return "ended", 1000, {"type": "ended", "reason": str(error)}

    async def _push(self, frame: bytes) -> None:
        pcm = self._decoder.push(frame)
        if not len(pcm):
            return
        now_ms = self._live.now_ms()
        for column, playout in enumerate(self._playouts):
            playout.push(self._number, self._samples, np.ascontiguousarray(pcm[:, column]), now_ms)
        self._number += 1
        self._samples += len(pcm)
        # Who sends faster than people speak waits, and what they sent waits in the network.
        while (ahead_ms := self._playouts[0].depth_ms - MOST_WAITING_MS) > 0.0:
            await asyncio.sleep(min(0.5, max(0.005, ahead_ms / 1000.0 / self._live.speed)))
            if self._ended.is_set():
                return

    async def _close(self, code: int, answer: dict[str, Any]) -> None:
        with contextlib.suppress(Exception):
            await self._send({"type": "websocket.send", "text": msgspec.json.encode(answer).decode()})
            await self._send({"type": "websocket.close", "code": code})
