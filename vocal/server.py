"""The API, the live events and the media doors over the live engine, and what `vocal serve` runs.

media doors ─► Live ─► (one hand-over a tick) ─► Hub ─► WS /v1/live
                                              └► Store
"""

import asyncio
import contextlib
import importlib.metadata
import inspect
import logging
import re
import socket
import ssl
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import fastapi
import msgspec
import numpy as np
import uvicorn
import vocal_kernels as vk
from fastapi import Depends, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from vocal import __version__
from vocal.access import LOCAL, SESSION_S, Access, AccountRole, Principal, may_handle, may_see, metadata_for, seen_by
from vocal.answers import Answers
from vocal.calling import Calling, add_routes
from vocal.config import Config
from vocal.contract import read_contract
from vocal.emotion import EmotionModel, find_models
from vocal.errors import AccessError, CapacityError, MediaError, UsageError, VocalError
from vocal.guard import LOOPBACK, App, Guard, RateLimit, Receive, Scope, Send, address, header
from vocal.live import CallState, Live
from vocal.rules import load_rules
from vocal.sinks.hub import Hub, encode
from vocal.telephony import Telephony
from vocal.texts import catalogue
from vocal.transports.pcm import Decoder, End, Hello, parse_control, parse_hello
from vocal.types import Call, CallEnded, Channel, Cue, HelpOffered, Language, LiveEvent, Metadata, Role

LOG = logging.getLogger("vocal")
COOKIE = "vocal_session"
API = "/v1"
CALL_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_WAITING_MS = 2000.0
"""Audio over TCP that may wait to be played before no more is read."""

MOST_FRAME = 65_536
BEAT_S = 5.0
"""A reader of live events hears at least this often that the connection stands."""


class Service:
    """What the server's parts share: the live engine, who listens to it, who may. One event loop owns it."""

    def __init__(
        self,
        config: Config = Config(),
        access: Access | None = None,
        live: Callable[[Callable[[Sequence[LiveEvent]], None]], Live] | None = None,
        store: Callable[[Any], None] | None = None,
        is_tls: bool = False,
        is_local: bool = True,
    ) -> None:
        self.config = config
        self.access = access or Access()
        self.answers = Answers()
        self.hub = Hub()
        self.is_tls = is_tls
        self.is_local = is_local
        self.is_ready = False
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closers: dict[str, list[Callable[[str], None]]] = {}
        make = live or (lambda sink: Live(sink, config, load_live_emotion(config)))
        self.live = make(self._hand_over)
        self.logins = RateLimit(config.server.logins_burst, config.server.logins_per_s)
        self.opens = RateLimit(config.server.opens_burst, config.server.opens_per_s)
        self.refused: dict[str, int] = {}
        self.listening: dict[str, str] = {}
        """Where else than for HTTP, by what is spoken there."""

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        vk.warmup()
        self.live.start()
        self.is_ready = True

    async def stop(self) -> None:
        self.is_ready = False
        await asyncio.to_thread(self.live.stop)
        await asyncio.sleep(0)  # the last hand-over
        self.hub.close()

    def _hand_over(self, events: Sequence[LiveEvent]) -> None:
        """In the clock's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, events)

    def take(self, events: Sequence[LiveEvent]) -> None:
        self.hub.take(events)
        self.live.wants_levels = self.hub.wants_levels
        for event in events:
            if self._store is not None and event.__struct_config__.tag not in ("levels", "help_offered"):
                try:
                    self._store(event)
                except VocalError as error:
                    self.count("store")
                    LOG.error("%s", error)
            if isinstance(event, CallEnded):
                for close in self._closers.pop(event.call, []):
                    close(event.reason)

    def on_end(self, call: str, close: Callable[[str], None]) -> None:
        """`close(reason)` is called on the loop when a call has ended, whoever ended it."""
        self._closers.setdefault(call, []).append(close)

    def count(self, what: str) -> None:
        self.refused[what] = self.refused.get(what, 0) + 1

    # Who is it?

    def principal(self, scope: Scope) -> Principal:
        """Whoever a request is from. Raises AccessError."""
        given = header(scope, b"authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer":
                raise AccessError("authorization: wanted a bearer token")
            return self.access.check(token.strip())
        cookie = _cookie(scope)
        if cookie is not None:
            try:
                return self.access.check(cookie, ("session",))
            except AccessError:
                if not self.is_open:
                    raise
        if self.is_open:
            return LOCAL
        raise AccessError("not logged in")

    @property
    def is_open(self) -> bool:
        """Without accounts this machine's user may do everything; such a server listens on this machine only."""
        return not self.config.server.closed and not self.access.has_accounts

    # Calls

    def open_call(
        self,
        principal: Principal,
        transport: str,
        source: str,
        channels: tuple[Channel, ...],
        metadata: Metadata,
        call: str | None = None,
    ) -> Call:
        """A new call, as a transport asks for it on somebody's behalf. Agents open calls of their own only.

        Raises AccessError, CapacityError, UsageError.
        """
        if principal.role not in ("local", "ingest", "agent"):
            raise AccessError(f"{principal.role}: may not open calls")
        if principal.role == "agent":
            metadata = msgspec.structs.replace(metadata, agent=principal.agent, team=principal.team)
        if call is not None and self.hub.started(call) is not None:
            raise UsageError(f"call {call!r} was there already")
        started = datetime.now(UTC).isoformat(timespec="milliseconds")
        opened = Call(call or uuid.uuid4().hex, source, transport, started, channels, metadata)
        self.live.open(opened)
        return opened

    def metadata_of(self, call: str) -> Metadata | None:
        """What was said of a call that is open or ended lately."""
        state = self.live.call(call)
        if state is not None:
            return state.call.metadata
        started = self.hub.started(call)
        return None if started is None else started.metadata

    def view(self, principal: Principal, as_coach: bool = False) -> Callable[[LiveEvent], LiveEvent | None]:
        """What somebody may see. as_coach: this machine's user, who may see all, sees no more than a coach would."""

        def view(event: LiveEvent) -> LiveEvent | None:
            started = self.hub.started(event.call)
            if started is None:
                return None
            viewer = principal
            if as_coach and principal.role == "local":
                viewer = Principal("coach", "lead", team=started.metadata.team or "")
                if started.metadata.team is None:
                    started = msgspec.structs.replace(
                        started, metadata=msgspec.structs.replace(started.metadata, team="")
                    )
            return seen_by(viewer, event, started.metadata, self.access)

        return view


def load_live_emotion(config: Config) -> EmotionModel:
    return EmotionModel(Path(config.emotion.model) if config.emotion.model else None, config.emotion.threads)


def _cookie(scope: Scope) -> str | None:
    for pair in (header(scope, b"cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            return value
    return None


# What comes in and goes out over HTTP


class LoginIn(BaseModel):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class PrincipalOut(BaseModel):
    name: str
    role: str
    agent: str | None
    team: str | None


class TokenIn(BaseModel):
    name: str = Field(max_length=200)
    role: Literal["agent", "lead", "operator", "ingest"]
    agent: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    days: float = Field(default=90, gt=0, le=3650)


class TokenOut(BaseModel):
    token: str


class MetadataIn(BaseModel):
    queue: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    language: str | None = Field(default=None, max_length=35)
    notice: bool = False


class CallIn(BaseModel):
    call: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    roles: tuple[Role, ...] = Field(default=("agent", "customer"), min_length=1, max_length=2)
    metadata: MetadataIn = MetadataIn()


class EndIn(BaseModel):
    reason: str = Field(default="ended", max_length=200)


class FeedbackIn(BaseModel):
    helpful: bool


class NoticeIn(BaseModel):
    given: bool


class ReflectionIn(BaseModel):
    score: int = Field(ge=1, le=10)
    text: str = Field(default="", max_length=2000)


class HelpIn(BaseModel):
    text: str = Field(default="", max_length=500)


def build_app(service: Service) -> App:
    """The whole ASGI application; its lifespan starts and stops the live engine."""

    calling = Calling(service)
    telephony = Telephony(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        service.start()
        calling.start()
        await telephony.start()
        yield
        await telephony.stop()
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

    @api.exception_handler(VocalError)
    async def on_error(_: Request, error: VocalError) -> JSONResponse:
        status = {AccessError: 403, CapacityError: 503, UsageError: 409, MediaError: 400}.get(type(error), 500)
        headers = {"Retry-After": f"{error.retry_after_s:.0f}"} if isinstance(error, CapacityError) else None
        return JSONResponse({"detail": str(error)}, status, headers)

    def who(request: Request) -> Principal:
        try:
            return service.principal(request.scope)
        except AccessError as error:
            service.count("token")
            raise HTTPException(401, str(error), {"WWW-Authenticate": "Bearer"}) from None

    def one_of(*roles: AccountRole) -> Callable[[Request], Principal]:
        def allowed(request: Request) -> Principal:
            principal = who(request)
            if principal.role not in (*roles, "local"):
                raise HTTPException(403, f"{principal.role}: wanted {' or '.join(roles)}")
            return principal

        return allowed

    known = Depends(who)
    operator = Depends(one_of("operator"))
    agent = Depends(one_of("agent"))
    lead = Depends(one_of("lead"))

    def limit(rate: RateLimit, request: Request) -> None:
        if (wait_s := rate.wait_s(address(request.scope))) > 0.0:
            service.count("rate")
            raise HTTPException(429, "too many; try again later", {"Retry-After": f"{max(1.0, wait_s):.0f}"})

    def metadata_or_404(call: str, principal: Principal, test: Callable[[Principal, Metadata], bool]) -> Metadata:
        """A call that is not somebody's to know of is not there for them."""
        metadata = service.metadata_of(call)
        if metadata is None or not (may_see(principal, metadata) or test(principal, metadata)):
            raise HTTPException(404, f"no call {call!r}")
        if not test(principal, metadata):
            raise HTTPException(403, f"{principal.role}: may not do this")
        return metadata

    # Who

    @api.post(f"{API}/login", tags=["access"])
    async def login(given: LoginIn, request: Request, response: Response) -> PrincipalOut:
        """Sets the session's cookie."""
        limit(service.logins, request)
        try:
            principal = await asyncio.to_thread(service.access.login, given.name, given.password)
        except AccessError as error:
            service.count("login")
            raise HTTPException(401, str(error)) from None
        set_cookie(response, principal)
        return _principal_out(principal)

    @api.get("/login/{code}", include_in_schema=False)
    async def login_link(code: str, request: Request, to: str = "/") -> Response:
        """A one-time link: a session, and on to a page of ours."""
        limit(service.logins, request)
        try:
            principal = service.access.redeem(code)
        except AccessError:
            service.count("login")
            return HTMLResponse("<!doctype html><title>Vocal</title><p>This link was used or has expired.", 403)
        local = to if re.fullmatch(r"/[A-Za-z0-9._~/?&=%-]*", to) and not to.startswith("//") else "/"
        response = RedirectResponse(local, 303)
        set_cookie(response, principal)
        return response

    def set_cookie(response: Response, principal: Principal) -> None:
        token = service.access.issue(principal)
        response.set_cookie(
            COOKIE, token, max_age=int(SESSION_S), httponly=True, samesite="lax", secure=service.is_tls, path="/"
        )

    @api.post(f"{API}/logout", tags=["access"], status_code=204)
    async def logout(request: Request) -> Response:
        if (cookie := _cookie(request.scope)) is not None:
            service.access.revoke(cookie)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/")
        return response

    @api.get(f"{API}/me", tags=["access"])
    async def me(principal: Principal = known) -> PrincipalOut:
        return _principal_out(principal)

    @api.post(f"{API}/tokens", tags=["access"])
    async def new_token(given: TokenIn, _: Principal = operator) -> TokenOut:
        """An API token; it is shown this once."""
        principal = Principal(given.name, given.role, given.agent, given.team)
        try:
            return TokenOut(token=service.access.issue(principal, "token", given.days * 86400.0))
        except UsageError as error:
            raise HTTPException(422, str(error)) from None

    # Calls

    @api.get(f"{API}/calls", tags=["calls"])
    async def calls(principal: Principal = known) -> list[dict[str, Any]]:
        """Open calls that are yours to know of."""
        return [
            _call_out(state, principal, service.access)
            for state in service.live.calls()
            if may_see(principal, state.call.metadata)
        ]

    @api.post(f"{API}/calls", tags=["calls"], status_code=201)
    async def new_call(given: CallIn, request: Request, principal: Principal = known) -> dict[str, Any]:
        """Opens a call whose media come by other ways, one for each channel."""
        limit(service.opens, request)
        channels = tuple(Channel(number, role) for number, role in enumerate(given.roles))
        metadata = Metadata(**given.metadata.model_dump())
        opened = service.open_call(principal, "api", address(request.scope), channels, metadata, given.call)
        state = service.live.call(opened.call)
        assert state is not None
        return _call_out(state, principal, service.access)

    @api.get(f"{API}/calls/{{call}}", tags=["calls"])
    async def one_call(call: str, principal: Principal = known) -> dict[str, Any]:
        """A call that is open or ended within ten minutes, with its events as far as they are kept."""
        metadata = metadata_or_404(call, principal, may_see)
        state = service.live.call(call)
        view = service.view(principal)
        events = [seen for event in service.hub.events_of(call) if (seen := view(event)) is not None]
        found: dict[str, Any] = {"call": call, "state": "ended"}
        found["metadata"] = msgspec.to_builtins(metadata_for(principal, metadata, service.access))
        if state is not None:
            found = _call_out(state, principal, service.access)
        return {**found, "events": msgspec.to_builtins(events)}

    @api.post(f"{API}/calls/{{call}}/end", tags=["calls"], status_code=202)
    async def end_call(call: str, given: EndIn | None = None, principal: Principal = known) -> dict[str, str]:
        metadata_or_404(call, principal, may_handle)
        service.live.end(call, (given or EndIn()).reason)
        return {"call": call, "state": "ending"}

    @api.post(f"{API}/calls/{{call}}/notice", tags=["calls"], status_code=202)
    async def notice(call: str, given: NoticeIn, principal: Principal = known) -> dict[str, Any]:
        """The customer was informed, or objects: then nothing more is inferred, and what was is deleted at once."""
        metadata_or_404(call, principal, may_handle)
        service.live.set_notice(call, given.given)
        return {"call": call, "given": given.given}

    @api.post(f"{API}/calls/{{call}}/cues/{{seq}}/feedback", tags=["calls"])
    async def feedback(call: str, seq: int, given: FeedbackIn, principal: Principal = agent) -> dict[str, Any]:
        """Whether a cue (by its `seq`) helped: «hilfreich» or «passt nicht»."""
        metadata_or_404(call, principal, may_see)
        cue = next((cue for cue in service.hub.cues_of(call) if cue.seq == seq and _is_for(principal, cue)), None)
        if cue is None:
            raise HTTPException(404, f"call {call!r} has no cue {seq}")
        service.answers.feedback(call, seq, cue.cue, given.helpful)
        return {"call": call, "seq": seq, "cue": cue.cue, "helpful": given.helpful}

    @api.post(f"{API}/calls/{{call}}/reflection", tags=["calls"])
    async def reflection(call: str, given: ReflectionIn, principal: Principal = agent) -> dict[str, Any]:
        """How the call felt to its agent, 1 to 10. It is the agent's own: only they can read it."""
        metadata_or_404(call, principal, may_see)
        service.answers.reflect(call, given.score, given.text)
        return {"call": call, "score": given.score}

    @api.get(f"{API}/calls/{{call}}/reflection", tags=["calls"])
    async def own_reflection(call: str, principal: Principal = agent) -> dict[str, Any]:
        metadata_or_404(call, principal, may_see)
        found = service.answers.reflection(call)
        if found is None:
            raise HTTPException(404, f"call {call!r} has no reflection")
        return {"call": call, "score": found[0], "text": found[1]}

    @api.post(f"{API}/calls/{{call}}/help", tags=["calls"], status_code=202)
    async def offer_help(call: str, given: HelpIn, principal: Principal = lead) -> dict[str, str]:
        """A coach offers help: the agent's page shows it, and the coach does not learn who that is."""
        metadata_or_404(call, principal, may_see)
        state = service.live.call(call)
        if state is None:
            raise HTTPException(409, f"call {call!r} has ended")
        service.take([HelpOffered(call=call, at_s=round(state.at_s, 2), text=given.text)])
        return {"call": call}

    add_routes(api, calling, service, who, limit)

    # The rest

    @api.get(f"{API}/models", tags=["models"])
    async def models(_: Principal = known) -> list[dict[str, Any]]:
        contracts = [read_contract(folder) for folder in find_models()]
        return [{key: getattr(one, key) for key in ("name", "version", "date", "training")} for one in contracts]

    @api.get(f"{API}/texts/{{language}}", tags=["pages"])
    async def page_texts(language: Language, request: Request) -> Response:
        """The pages' texts by dotted key, from the one catalogue."""
        return _tagged(
            msgspec.json.encode({key: both[language] for key, both in catalogue().items()}), ".json", request
        )

    @api.get(f"{API}/rules", tags=["events"])
    async def rules() -> dict[str, Any]:
        """What makes a cue or an alert: conditions, thresholds and the budget. No secret to those it is about."""
        built: dict[str, Any] = msgspec.to_builtins(load_rules(service.config.rules.file))
        return built

    @api.get(f"{API}/schema", tags=["events"])
    async def schema() -> dict[str, Any]:
        """JSON Schema of the events."""
        return event_schema()

    @api.get(f"{API}/asyncapi", tags=["events"])
    async def asyncapi() -> dict[str, Any]:
        """What WS /v1/live and WS /v1/media/pcm speak, as AsyncAPI 3."""
        return asyncapi_document()

    registry = CollectorRegistry()
    registry.register(_Figures(service, calling))
    registry.register(telephony)

    @api.get("/metrics", tags=["operation"])
    async def metrics(_: Principal = operator) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @api.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        return {"status": "alive", "version": __version__}

    @api.get("/readyz", tags=["operation"])
    async def readyz() -> JSONResponse:
        return JSONResponse({"status": "ready" if service.is_ready else "starting"}, 200 if service.is_ready else 503)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_docs_page(api.openapi()))

    @api.websocket(f"{API}/live")
    async def live(socket: WebSocket) -> None:
        await _live_socket(service, socket)

    @api.get("/{path:path}", include_in_schema=False)
    async def pages(path: str, request: Request) -> Response:
        return _page(path, request)

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == f"{API}/media/pcm":
            await pcm_door(service, scope, receive, send)
        else:
            await api(scope, receive, send)

    server = service.config.server
    hosts = server.hosts or (LOOPBACK if service.is_local else ())
    return Guard(dispatch, server.origins, server.frame_ancestors, hosts, server.most_body, service.is_tls)


def _is_for(principal: Principal, cue: Cue) -> bool:
    return principal.role == "local" or cue.audience == "agent"


def _principal_out(principal: Principal) -> PrincipalOut:
    return PrincipalOut(**msgspec.structs.asdict(principal))


def _call_out(state: CallState, principal: Principal, access: Access) -> dict[str, Any]:
    call = state.call
    own = principal.role != "lead"
    return {
        "call": call.call,
        "state": state.state,
        "at_s": round(state.at_s, 2),
        "started_at": call.started_at,
        "transport": call.transport,
        "source": call.source if own else "",
        "channels": msgspec.to_builtins(call.channels),
        "metadata": msgspec.to_builtins(metadata_for(principal, call.metadata, access)),
        "playouts": msgspec.to_builtins(state.playouts) if own else [],
    }


# Live events


async def _live_socket(service: Service, socket: WebSocket) -> None:
    """Events as they come, each as {"cursor": n, "event": {...}}; first {"hello": {...}}.

    ?call=ID one call only; ?types=cue,mood these only; ?since=CURSOR also what was kept behind it (0: all of it);
    ?as=coach for this machine's user: what a coach would see.
    A reader that is too slow is told what it lost, {"lost": {"levels": n, "mood": n}}, and if that is not enough closed
    with 1013: it comes back with its last cursor. When nothing happens it is told {"beat": n} every five seconds, so
    that a page can tell a quiet line from a dead one.
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
    await socket.accept()
    wanted = frozenset(kinds.split(",")) if kinds else None
    view = service.view(principal, socket.query_params.get("as") == "coach")
    reader = service.hub.join(view, call, wanted, None if since is None else int(since))
    hello = {"v": 1, "role": principal.role, "cursor": service.hub.cursor, "gaps": reader.gaps, "version": __version__}
    leaving = asyncio.create_task(_until_gone(socket))
    leaving.add_done_callback(lambda _: reader.close())
    told = (0, 0)
    try:
        await socket.send_text(msgspec.json.encode({"hello": hello}).decode())
        while not leaving.done():
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


# Raw PCM


async def pcm_door(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """WS /v1/media/pcm, bare ASGI: see `vocal.transports.pcm` for what goes over it.

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

    def __init__(self, service: Service, call: Call, hello: Hello, receive: Receive, send: Send) -> None:
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


# Documents


def event_schema() -> dict[str, Any]:
    """JSON Schema of everything that WS /v1/live tells of a call."""
    (schema,), components = msgspec.json.schema_components([LiveEvent], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of Vocal, version 1",
        **schema,
        "$defs": components,
    }


def asyncapi_document() -> dict[str, Any]:
    (event, hello), components = msgspec.json.schema_components(
        [LiveEvent, Hello], ref_template="#/components/schemas/{name}"
    )
    components["Message"] = {
        "type": "object",
        "required": ["cursor", "event"],
        "properties": {"cursor": {"type": "integer"}, "event": event},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Vocal", "version": __version__},
        "channels": {
            "live": {
                "address": f"{API}/live",
                "description": inspect.cleandoc(_live_socket.__doc__ or ""),
                "messages": {"event": {"payload": {"$ref": "#/components/schemas/Message"}}},
            },
            "pcm": {
                "address": f"{API}/media/pcm",
                "description": inspect.cleandoc(pcm_door.__doc__ or ""),
                "messages": {"hello": {"payload": hello}},
            },
        },
        "operations": {
            "listen": {"action": "send", "channel": {"$ref": "#/channels/live"}},
            "sendAudio": {"action": "receive", "channel": {"$ref": "#/channels/pcm"}},
        },
        "components": {"schemas": components},
    }


def _docs_page(openapi: dict[str, Any]) -> str:
    """The API at a glance, without a script: what Swagger would fetch from elsewhere."""
    rows = []
    for path, methods in openapi["paths"].items():
        for method, about in methods.items():
            text = about.get("description") or about.get("summary", "")
            rows.append(f"<tr><td><code>{method.upper()}</code><td><code>{escape(path)}</code><td>{escape(text)}")
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Vocal API</title>"
        "<link rel=stylesheet href=/style.css><h1>Vocal API</h1>"
        f"<p>{escape(openapi['info']['description'])} "
        f"<a href={API}/openapi.json>OpenAPI</a> · <a href={API}/schema>JSON Schema of the events</a> · "
        f"<a href={API}/asyncapi>AsyncAPI</a><table>{''.join(rows)}</table></html>"
    )


MIME = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wav": "audio/wav",
}


def _page(path: str, request: Request) -> Response:
    """A file of web/; `agent` stands for agent.html. Browsers ask again each time and get 304 where it is the same."""
    parts = path.split("/") if path else ["index.html"]
    if any(part.startswith(".") or not re.fullmatch(r"[A-Za-z0-9._-]+", part) for part in parts):
        raise HTTPException(404, "no such page")
    file = files("vocal").joinpath("web", *parts)
    if not file.is_file():
        file = files("vocal").joinpath("web", *parts[:-1], f"{parts[-1]}.html")
    if Path(file.name).suffix not in MIME or not file.is_file():
        raise HTTPException(404, "no such page")
    return _tagged(file.read_bytes(), Path(file.name).suffix, request)


def _tagged(body: bytes, suffix: str, request: Request) -> Response:
    tag = f'"{hash_of(body)}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MIME[suffix], headers=headers)


def hash_of(body: bytes) -> str:
    import hashlib

    return hashlib.sha256(body).hexdigest()[:20]


class _Figures:
    """What /metrics tells, read when it is asked."""

    def __init__(self, service: Service, calling: Calling) -> None:
        self._service = service
        self._calling = calling

    def collect(self) -> list[Metric]:
        service = self._service
        stats, hub = service.live.stats(), service.hub.stats
        gauges = {
            "vocal_calls": ("Open calls", stats.calls),
            "vocal_channels": ("Channels of open calls", stats.channels),
            "vocal_tick_mean_ms": ("Cost of a tick of 20 ms, mean of the last 10 s", stats.tick_mean_ms),
            "vocal_tick_p99_ms": ("Cost of a tick of 20 ms, 99th percentile of the last 10 s", stats.tick_p99_ms),
            "vocal_readers": ("Connections to the live events", hub.readers),
        }
        counters = {
            "vocal_ticks": ("Ticks of 20 ms", stats.ticks),
            "vocal_late_ticks": ("Ticks that came a tick or more late, and were caught up", stats.late_ticks),
            "vocal_skipped_ticks": ("Ticks that were not caught up", stats.skipped_ticks),
            "vocal_failed_ticks": ("Ticks that a defect cut short", stats.failed_ticks),
            "vocal_refused_calls": ("Calls that the machine did not carry", stats.refused_calls),
            "vocal_timed_out_calls": ("Calls on which nothing came any more", stats.timed_out_calls),
            "vocal_events": ("Events told", hub.events),
            "vocal_too_slow_readers": ("Readers that were too slow and had to come back", hub.too_slow),
        }
        found: list[Metric] = [GaugeMetricFamily(name, text, value=value) for name, (text, value) in gauges.items()]
        found += [CounterMetricFamily(name, text, value=value) for name, (text, value) in counters.items()]
        lost = CounterMetricFamily("vocal_lost_events", "Events that slow readers were not told", labels=["kind"])
        lost.add_metric(["levels"], hub.lost_levels)
        lost.add_metric(["mood"], hub.lost_mood)
        refused = CounterMetricFamily("vocal_refused", "Requests and connections refused, by why", labels=["why"])
        for why, count in sorted(service.refused.items()):
            refused.add_metric([why], count)
        cues = CounterMetricFamily("vocal_cue_feedback", "What agents said of cues", labels=["cue", "answer"])
        for (cue, helpful), count in service.answers.counts().items():
            cues.add_metric([cue, "helpful" if helpful else "does_not_fit"], count)
        return [*found, lost, refused, cues, *self._webrtc(), *self._playouts()]

    def _webrtc(self) -> list[Metric]:
        now = GaugeMetricFamily("vocal_webrtc_sessions", "WebRTC connections, by state", labels=["state"])
        for state, count in self._calling.states().items():
            now.add_metric([state], count)
        since = CounterMetricFamily("vocal_webrtc", "What became of WebRTC connections and packets", labels=["what"])
        for what, count in self._calling.counts.items():
            since.add_metric([what], count)
        return [now, since]

    def _playouts(self) -> list[Metric]:
        sums = dict.fromkeys(("received", "lost", "late", "duplicate", "reordered"), 0)
        for state in self._service.live.calls():
            for counts in state.playouts:
                for name in sums:
                    sums[name] += getattr(counts, name) if counts is not None else 0
        packets = GaugeMetricFamily("vocal_packets", "Packets of the calls that are open", labels=["what"])
        for name, count in sums.items():
            packets.add_metric([name], count)
        return [packets]


# Running


def check_exposure(host: str, has_accounts: bool, has_tls: bool, insecure: bool) -> None:
    """Raises UsageError for a server that strangers could reach and use or listen to."""
    if host in LOOPBACK or insecure:
        return
    missing = [what for what, there in (("accounts (vocal accounts add)", has_accounts), ("TLS", has_tls)) if not there]
    if missing:
        raise UsageError(
            f"--host {host}: others could reach this server; wanted {' and '.join(missing)}, or --insecure"
        )


def uvicorn_config(
    app: App, host: str, port: int, certificate: str | None = None, key: str | None = None
) -> uvicorn.Config:
    loop: Literal["uvloop", "asyncio"] = "asyncio"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("uvloop")
        loop = "uvloop"
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        loop=loop,
        ws="websockets-sansio",
        ws_max_size=MOST_FRAME,
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
    )


def run(
    service: Service, host: str, port: int, certificate: str | None, key: str | None, on_ready: Callable[[int], None]
) -> None:
    """Serve until interrupted. `on_ready` is told the port."""
    try:
        listening = listen(host, port)
        bound = int(listening.getsockname()[1])
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    config = uvicorn_config(build_app(service), host, port, certificate, key)
    server = uvicorn.Server(config)

    async def serve() -> None:
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.02)
        if server.started:
            on_ready(bound)
        await serving

    # The clock's thread waits for the interpreter no longer than this.
    sys.setswitchinterval(0.0005)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening
