"""The whole application: media in, events out, the API and the pages.

media doors ─► Live ─► (one hand-over a tick) ─► Hub ─► WS /v1/live
                                              └► Store
"""

import contextlib
from collections.abc import AsyncIterator

import fastapi
from fastapi import Request
from fastapi.responses import JSONResponse

from vocal import __version__
from vocal.api import (
    API,
    call_reports,
    calls,
    documents,
    feed,
    figures,
    login,
    own,
    pages,
    papers,
    privacy,
    store,
    team,
    webhooks,
)
from vocal.api.gate import Gate
from vocal.doors.sip import Telephony
from vocal.doors.webrtc import Calling, add_routes
from vocal.doors.websocket import MEDIA, MediaDoors, add_media_routes
from vocal.errors import AccessError, AuditError, CapacityError, MediaError, UsageError, VocalError
from vocal.guard import LOOPBACK, App, Guard, Message, Receive, Scope, Send
from vocal.reports.page import STYLE_HASH
from vocal.service import Service

AGAIN_S = 10.0
"""When to come back where the audit log cannot be written."""


def build_app(service: Service) -> App:
    """The whole ASGI application; its lifespan starts and stops the live engine."""

    calling = Calling(service)
    media = MediaDoors(service)
    telephony = Telephony(service)
    gate = Gate(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        service.start()
        calling.start()
        await media.start()
        await telephony.start()
        yield
        await telephony.stop()
        await media.stop()
        await calling.stop()
        await service.stop()

    api = fastapi.FastAPI(
        title="Vocal",
        version=__version__,
        description="Live calls: their events, cues and what may be done to them. Events: WS /v1/live, /v1/schema.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
    )
    api.state.service = service
    api.state.calling = calling
    api.state.media = media

    @api.exception_handler(VocalError)
    async def on_error(_: Request, error: VocalError) -> JSONResponse:
        known = {AccessError: 403, CapacityError: 503, AuditError: 503, UsageError: 409, MediaError: 400}
        status = known.get(type(error), 500)
        wait_s = error.retry_after_s if isinstance(error, CapacityError) else AGAIN_S
        headers = {"Retry-After": f"{wait_s:.0f}"} if status == 503 else None
        return JSONResponse({"detail": str(error)}, status, headers)

    login.add_routes(api, service, gate)
    calls.add_routes(api, service, gate)
    add_routes(api, calling, service, gate.who, gate.limit)
    add_media_routes(api, media, gate.who, gate.limit)
    feed.add_routes(api, service)
    documents.add_routes(api, service, gate)
    own.add_routes(api, service, gate)
    call_reports.add_routes(api, service, gate)
    team.add_routes(api, service, gate)
    figures.add_routes(api, service, calling, media, telephony, gate)
    privacy.add_routes(api, service, gate)
    store.add_routes(api, service, gate)
    webhooks.add_routes(api, service, gate)
    papers.add_routes(api, service, gate)
    pages.add_routes(api)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            receive = _watching(service, receive)
        if scope["type"] == "websocket" and scope["path"].startswith(MEDIA):
            await media(scope, receive, send)
        else:
            await api(scope, receive, send)

    server = service.config.server
    hosts = server.hosts or (LOOPBACK if service.is_local else ())
    return Guard(
        dispatch,
        server.origins,
        server.frame_ancestors,
        hosts,
        server.most_body,
        service.is_tls,
        (STYLE_HASH,),
        service.count,
    )


def _watching(service: Service, receive: Receive) -> Receive:
    """Counts the frames for which a WebSocket was closed: broken, of no text, or too large (RFC 6455, 7.4.1)."""

    async def watched() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect" and message.get("code") in (1002, 1007, 1009):
            service.count("frame")
        return message

    return watched
