"""WS /v1/live: events to who may see them, as they come."""

import asyncio
import contextlib
import re
import time

import fastapi
import msgspec
from fastapi import WebSocket, WebSocketDisconnect

from vocal import __version__
from vocal.api import API
from vocal.errors import AccessError, MediaError
from vocal.service import PROTOCOL, Service
from vocal.sinks.hub import encode

EXPIRED = 4401
BEAT_S = 5.0
"""A reader of live events hears at least this often that the connection stands."""


def add_routes(api: fastapi.FastAPI, service: Service) -> None:
    @api.websocket(f"{API}/live")
    async def live(socket: WebSocket) -> None:
        await live_feed(service, socket)


async def live_feed(service: Service, socket: WebSocket) -> None:
    """Events as they come, each as {"cursor": n, "event": {...}}; first {"hello": {...}}.

    ?call=ID one call only; ?types=cue,mood these only; ?since=CURSOR also what was kept behind it (0: all of it);
    ?as=coach for this machine's user: what a coach would see.
    A reader that is too slow is told what it lost, {"lost": {"levels": n, "mood": n}}, and if that is not enough closed
    with 1013: it comes back with its last cursor. When nothing happens it is told {"beat": n} every five seconds, so
    that a page can tell a quiet line from a dead one. Who may not listen is closed with 1008, and with 4401 who may no
    more. A page elsewhere, whose browser sends no header, offers the protocols "vocal" and "vocal.token.TOKEN".
    """
    try:
        principal = service.principal(socket.scope)
        call = socket.query_params.get("call")
        kinds = socket.query_params.get("types")
        since = socket.query_params.get("since")
        if since is not None and not re.fullmatch(r"\d{1,18}", since):
            raise MediaError("since: wanted a cursor, a whole number")
    except AccessError as error:
        service.count("token")
        await _refuse(socket, 1008, str(error))
        return
    except MediaError as error:
        await _refuse(socket, 1008, str(error))
        return
    await socket.accept(PROTOCOL if PROTOCOL in socket.scope["subprotocols"] else None)
    wanted = frozenset(kinds.split(",")) if kinds else None
    view = service.view(principal, socket.query_params.get("as") == "coach")
    reader = service.hub.join(view, call, wanted, None if since is None else int(since))
    hello = {"v": 1, "role": principal.role, "cursor": service.hub.cursor, "gaps": reader.gaps, "version": __version__}
    hello["basis"] = service.config.privacy.basis
    leaving = asyncio.create_task(_until_gone(socket))
    leaving.add_done_callback(lambda _: reader.close())
    told = (0, 0)
    checked_s = time.monotonic()
    try:
        await socket.send_text(msgspec.json.encode({"hello": hello}).decode())
        while not leaving.done():
            if time.monotonic() - checked_s > BEAT_S:
                checked_s = time.monotonic()
                try:
                    service.principal(socket.scope)
                except AccessError:
                    service.count("expired")
                    await socket.close(EXPIRED, "the sign-in has expired: sign in again, and come back with since")
                    return
            try:
                async with asyncio.timeout(BEAT_S):
                    batch = await reader.take()
            except TimeoutError:
                await socket.send_text(f'{{"beat":{service.hub.cursor}}}')
                continue
            for one in batch:
                await socket.send_text(encode(one).decode())
            if (lost := (reader.lost.levels, reader.lost.mood)) != told:
                told = lost
                await socket.send_text(msgspec.json.encode({"lost": reader.lost}).decode())
            if reader.is_closed and not leaving.done():
                code, reason = (1013, "too slow: come back with since") if reader.is_too_slow else (1001, "going away")
                await socket.close(code, reason)
                return
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass  # the reader is gone
    finally:
        service.hub.leave(reader)
        leaving.cancel()


async def _until_gone(socket: WebSocket) -> None:
    """What a reader says is not listened to."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, KeyError):
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass


async def _refuse(socket: WebSocket, code: int, reason: str) -> None:
    await socket.accept()
    await socket.close(code, reason[:120])
