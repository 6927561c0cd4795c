"""Calls by WebRTC: WHIP (RFC 9725) for systems that send audio, the softphone for people who talk to each other.

POST an offer ─► Session (one connection, one or two tracks) ─► an Inlet and a playout for each channel
                    └── the softphone: what the others say goes back to each

A call has an agent's and a customer's channel. Its participants may come one by one, in connections of their own; until
the other comes their channel is silent. One task looks after all connections.
"""

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Literal

import fastapi
import msgspec
from fastapi import HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vocal.access import Principal, may_handle
from vocal.config import WebrtcConfig
from vocal.errors import AccessError, CapacityError, ConfigError, UsageError
from vocal.guard import RateLimit, address
from vocal.playout import Playout
from vocal.service import Service
from vocal.transports.ice import LOOPBACK, Ways, passing_credentials
from vocal.transports.offers import Coding, Offer, RefusedOffer, parse_fragment, parse_offer
from vocal.transports.opus import warm_up
from vocal.transports.webrtc import Inlet, Packet, Peer
from vocal.types import Basis, Channel, Metadata, Role

WHIP = "/v1/whip"
SOFTPHONE = "/v1/softphone"
CHANNELS = (Channel(0, "agent"), Channel(1, "customer"))
CALL = r"^[A-Za-z0-9._-]{1,64}$"
KEPT_S = 60.0
"""How long an ended session can still be asked for."""

LOOK_S = 0.25
REPORT_S = 1.0
RELEASE_MS = 25.0
"""Before a packet is due it must have been decoded."""

MOST_INVITES = 10_000

State = Literal["connecting", "connected", "lost", "ended"]
Who = Callable[[Request], Principal]
Limit = Callable[[RateLimit, Request], None]


class Session:
    """One participant's connection, or both participants' in one. roles: of its tracks, in order."""

    def __init__(self, call: str, roles: tuple[Role, ...], principal: Principal | None, is_softphone: bool) -> None:
        self.id = secrets.token_urlsafe(18)
        self.etag = f'"{secrets.token_hex(8)}"'
        self.call, self.roles, self.principal, self.is_softphone = call, roles, principal, is_softphone
        self.state: State = "connecting"
        self.reason: str | None = None
        self.since_s = time.monotonic()
        self.peer: Peer | None = None
        self.inlets: list[Inlet] = []
        self.hearers: list[Session] = []
        """Those to whom this one's audio goes."""

    def go(self, state: State, reason: str | None = None) -> None:
        self.state, self.reason, self.since_s = state, reason or self.reason, time.monotonic()

    @property
    def is_here(self) -> bool:
        return self.state in ("connecting", "connected")


class Invite(msgspec.Struct, frozen=True):
    """Whoever has it may be the customer of a call."""

    call: str
    metadata: Metadata
    inviter: Principal
    until_s: float


class WhipQuery(BaseModel):
    """What a WHIP client says beside its offer, in the URL."""

    model_config = ConfigDict(extra="forbid")

    call: str | None = Field(default=None, pattern=CALL)
    role: Literal["agent", "customer"] | None = None
    roles: str | None = Field(default=None, pattern=r"^(agent,customer|customer,agent)$")
    notice: bool = False
    consent: bool = False
    queue: str | None = Field(default=None, max_length=200)
    touchpoint: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    language: str | None = Field(default=None, max_length=35)

    @property
    def metadata(self) -> Metadata:
        said = (self.queue, self.team, self.agent, self.language, self.notice, self.touchpoint)
        return Metadata(*said, consent=self.consent)


class OfferIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sdp: str = Field(max_length=32_768)
    role: Literal["agent", "customer"] = "agent"
    call: str | None = Field(default=None, pattern=CALL)
    notice: bool = False
    consent: bool = False
    language: str | None = Field(default=None, max_length=35)
    queue: str | None = Field(default=None, max_length=200)
    touchpoint: str | None = Field(default=None, max_length=200)
    team: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=200)
    invite: str | None = Field(default=None, max_length=100)
    replaces: str | None = Field(default=None, max_length=100)


class AnswerOut(BaseModel):
    type: Literal["answer"] = "answer"
    sdp: str
    call: str
    role: str
    session: str
    url: str
    others: list[str]
    notice: bool


class InviteIn(BaseModel):
    call: str | None = Field(default=None, pattern=CALL)


class InviteOut(BaseModel):
    invite: str
    call: str
    path: str
    expires_s: float


class GivenIn(BaseModel):
    given: bool
    basis: Basis = "notice"


class Calling:
    """All WebRTC connections of a server. Its event loop owns it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._live = service.live
        self._config = service.config.webrtc
        _check_ways(self._config)
        self._sessions: dict[str, Session] = {}
        self._invites: dict[str, Invite] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None
        names = ("opened", "connected", "not_connected", "failed", "lost", "ended", "refused")
        self.counts = dict.fromkeys((*names, "unknown_packets", "undecodable_packets", "late_decoded_packets"), 0)

    # Its life

    def start(self) -> None:
        warm_up()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        for session in list(self._sessions.values()):
            self._end(session, "shutdown")
        while self._tasks:
            await asyncio.wait(self._tasks)

    def states(self) -> dict[State, int]:
        found: dict[State, int] = {"connecting": 0, "connected": 0, "lost": 0}
        for session in self._sessions.values():
            if session.state in found:
                found[session.state] += 1
        return found

    async def _watch(self) -> None:
        reported_s = 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = time.monotonic()
            try:
                for session in list(self._sessions.values()):
                    self._look(session, now_s)
                if now_s - reported_s >= REPORT_S:
                    reported_s = now_s
                    for session in list(self._sessions.values()):
                        if session.peer is not None and session.state == "connected":
                            await session.peer.report()
                    for code in [code for code, one in self._invites.items() if one.until_s < now_s]:
                        del self._invites[code]
            except Exception:
                # A defect of ours with one connection must not leave all others unwatched.
                asyncio.get_running_loop().call_exception_handler({"message": "watching WebRTC connections"})

    def _look(self, session: Session, now_s: float) -> None:
        passed_s = now_s - session.since_s
        if session.state == "ended":
            if passed_s > KEPT_S:
                del self._sessions[session.id]
        elif self._live.call(session.call) is None:
            self._end(session, "ended")
        elif session.state == "connecting" and passed_s > self._config.connect_s:
            self.counts["not_connected"] += 1
            self._leave(session, "not connected")
        elif session.state == "connected" and session.peer is not None:
            if now_s - session.peer.heard_s > self._config.gone_s:
                self._lose(session)
        elif session.state == "lost" and passed_s > self._config.grace_s:
            self._leave(session, "connection lost")

    # Begin

    async def begin(
        self,
        offer: Offer,
        roles: tuple[Role, ...],
        metadata: Metadata,
        call: str | None,
        principal: Principal | None,
        source: str,
        invite: Invite | None = None,
        replaces: str | None = None,
        is_softphone: bool = False,
    ) -> tuple[Session, str]:
        """A participant, or both, of a call that is there already or begins thereby; with the answer.

        Raises RefusedOffer, AccessError, CapacityError, UsageError.
        """
        if self.states()["connecting"] >= self._config.most_connecting:
            raise CapacityError(f"{self._config.most_connecting} connections are being made already", 2.0)
        state = None if call is None else self._live.call(call)
        if call is None or state is None:
            opener = principal if invite is None else invite.inviter
            assert opener is not None
            opened = self._service.open_call(opener, "webrtc", source, CHANNELS, metadata, call)
            call, is_new = opened.call, True
            self._service.on_end(call, lambda reason: self._call_ended(opened.call, reason))
        else:
            self._may_join(state.call.metadata, principal, invite, call)
            if state.call.transport not in ("webrtc", "api") or state.state == "ending":
                raise UsageError(f"call {call!r} takes no more participants")
            numbers = {one.role for one in state.call.channels}
            if not set(roles) <= numbers:
                raise UsageError(f"call {call!r} has no {' or '.join(set(roles) - numbers)}")
            if state.call.transport == "api" and not self._of(call):
                self._service.on_end(call, lambda reason: self._call_ended(str(call), reason))
            self._make_room(call, roles, replaces)
            self._live.join_notice(call, metadata)
            is_new = False
        session = Session(call, roles, principal, is_softphone)
        self._sessions[session.id] = session
        session.peer = Peer(
            lambda track, coding, packet: self._take(session, track, coding, packet),
            lambda state: self._changed(session, state),
            self._ways("vocal"),
        )
        loop = asyncio.get_running_loop()
        wait_ms = self._service.config.playout.lag_ms - RELEASE_MS
        for role in roles:
            attach = self._attacher(call, role)
            session.inlets.append(Inlet(attach, self._live.now_ms, wait_ms, loop.call_later))
        try:
            answer = await session.peer.answer(offer, is_softphone)
        except BaseException:
            del self._sessions[session.id]
            self._run(session.peer.close())
            if is_new:
                self._live.end(call, "not connected")
            raise
        self.counts["opened"] += 1
        self._introduce(call)
        return session, answer

    def _may_join(self, metadata: Metadata, principal: Principal | None, invite: Invite | None, call: str) -> None:
        if invite is not None and invite.call == call:
            return
        if principal is None or not may_handle(principal, metadata):
            raise AccessError(f"call {call!r} is not yours to join")

    def _make_room(self, call: str, roles: tuple[Role, ...], replaces: str | None) -> None:
        """One at a time in each role; who was lost, or says that it was them, makes way."""
        for other in self._of(call):
            if set(other.roles) & set(roles):
                if other.is_here and other.id != replaces:
                    raise UsageError(f"call {call!r} has its {' and '.join(other.roles)} already")
                self._end(other, "replaced")

    def _attacher(self, call: str, role: Role) -> Callable[[int], Playout]:
        def attach(clock_hz: int) -> Playout:
            state = self._live.call(call)
            if state is None:
                raise UsageError(f"call {call!r} is not open")
            channel = next(one.channel for one in state.call.channels if one.role == role)
            return self._live.attach(call, channel, clock_hz)

        return attach

    def _of(self, call: str) -> list[Session]:
        return [one for one in self._sessions.values() if one.call == call and one.state != "ended"]

    def _introduce(self, call: str) -> None:
        here = [one for one in self._of(call) if one.is_here]
        for one in here:
            one.hearers = [other for other in here if other is not one and other.is_softphone]

    def _ways(self, who: str) -> Ways:
        """How one connection may be reached; who: whose credentials at a relay."""
        config = self._config
        credentials = (config.turn_user, config.turn_password)
        if config.turn_secret:
            credentials = passing_credentials(config.turn_secret, who, time.time())
        addresses = config.addresses or (LOOPBACK if self._service.is_local else ())
        return Ways(addresses, config.ports, config.public, config.stun, config.turn, *credentials)

    def ice_servers(self, who: str) -> list[dict[str, str]]:
        """What an RTCPeerConnection wants to know of STUN and TURN servers."""
        ways = self._ways(who)
        relay = {"username": ways.username, "credential": ways.password}
        return [{"urls": url} for url in ways.stun] + [{"urls": url, **relay} for url in ways.turn]

    # While it runs

    def _take(self, session: Session, track: int, coding: Coding, packet: Packet) -> None:
        if not session.inlets:
            return
        try:
            session.inlets[track].push(coding, packet)
        except UsageError:  # the call is ending
            return
        for one in session.hearers:
            if one.peer is not None and one.state == "connected":
                one.peer.senders[0].forward(coding, packet)

    def _changed(self, session: Session, state: str) -> None:
        """Its connection has another state."""
        if state == "connected" and session.state == "connecting":
            self.counts["connected"] += 1
            session.go("connected")
        elif state in ("failed", "closed") and session.state == "connecting":
            self.counts["failed"] += 1
            self._leave(session, "connection failed")
        elif state in ("failed", "closed") and session.state == "connected":
            self._lose(session)

    # End

    def _lose(self, session: Session) -> None:
        """It may come back, in another connection."""
        self.counts["lost"] += 1
        session.go("lost")
        self._disconnect(session)

    def _leave(self, session: Session, reason: str) -> None:
        """A participant is gone for good; the last one's going ends the call."""
        self._end(session, reason)
        if not self._of(session.call):
            self._live.end(session.call, reason)

    def hang_up(self, session: Session) -> None:
        """As the participant wants it. Where people talk to each other the call is over for both."""
        if session.is_softphone:
            self._live.end(session.call, "hangup")
            for one in self._of(session.call):
                self._end(one, "hangup")
        elif session.state != "ended":
            self._leave(session, "hangup")

    def _call_ended(self, call: str, reason: str) -> None:
        for session in self._of(call):
            self._end(session, reason)

    def _end(self, session: Session, reason: str) -> None:
        if session.state != "ended":
            self.counts["ended"] += 1
            session.go("ended", reason)
            self._disconnect(session)

    def _disconnect(self, session: Session) -> None:
        for inlet in session.inlets:
            inlet.close()
            self.counts["undecodable_packets"] += inlet.undecodable
            self.counts["late_decoded_packets"] += inlet.out_of_order
        session.inlets = []
        peer, session.peer = session.peer, None
        session.hearers = []
        if peer is not None:
            self.counts["unknown_packets"] += sum(one.unknown for one in peer.receivers)
            self._run(peer.close())
        self._introduce(session.call)

    def _run(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Sessions and invitations as HTTP has them

    def session(self, number: str, is_softphone: bool) -> Session:
        """Raises HTTPException."""
        session = self._sessions.get(number)
        if session is None or session.is_softphone != is_softphone:
            raise HTTPException(404, "no such session")
        return session

    def session_out(self, session: Session) -> dict[str, Any]:
        state = self._live.call(session.call)
        playouts = [one.playout.counts for one in session.inlets if one.playout is not None]
        packets = {name: sum(getattr(one, name) for one in playouts) for name in ("received", "lost", "late")}
        return {
            "call": session.call,
            "role": session.roles[0],
            "state": session.state,
            "reason": session.reason,
            "others": self.others(session),
            "notice": state is not None and state.call.metadata.notice,
            "packets": packets,
            "lag_ms": max((one.lag_ms for one in playouts), default=0.0),
        }

    def others(self, session: Session) -> list[str]:
        return [
            role
            for one in self._of(session.call)
            if one is not session and one.state == "connected"
            for role in one.roles
        ]

    def invite(self, principal: Principal, call: str | None) -> tuple[str, Invite]:
        if principal.role not in ("local", "ingest", "agent"):
            raise AccessError(f"{principal.role}: may not open calls")
        if len(self._invites) >= MOST_INVITES:
            raise CapacityError("too many invitations are open", 60.0)
        metadata = Metadata(agent=principal.agent, team=principal.team)
        if call is not None and (there := self._service.metadata_of(call)) is not None:
            self._may_join(there, principal, None, call)
        code = secrets.token_urlsafe(18)
        call = call or secrets.token_hex(16)
        self._invites[code] = Invite(call, metadata, principal, time.monotonic() + self._config.invite_s)
        return code, self._invites[code]

    def invited(self, code: str) -> Invite | None:
        invite = self._invites.get(code)
        return invite if invite is not None and invite.until_s > time.monotonic() else None


_SERVER = re.compile(r"(stun|turns?):(\[[0-9a-fA-F:]+\]|[^?:/\s]+)(:\d{1,5})?(\?transport=(udp|tcp))?")


def _check_ways(config: WebrtcConfig) -> None:
    """Raises ConfigError for settings by which no connection could be made."""
    for name, addresses in (("addresses", config.addresses), ("public", tuple(filter(None, (config.public,))))):
        for one in addresses:
            try:
                ipaddress.ip_address(one)
            except ValueError:
                raise ConfigError(f"[webrtc] {name}: wanted an IP address, got {one!r}") from None
    if config.ports is not None and not 1 <= config.ports[0] <= config.ports[1] <= 65535:
        raise ConfigError(f"[webrtc] ports: wanted first and last, such as [40000, 40999], got {list(config.ports)}")
    for kind, urls in (("stun", config.stun), ("turn", config.turn)):
        for url in urls:
            if not _SERVER.fullmatch(url) or not url.startswith(kind):
                raise ConfigError(f"[webrtc] {kind}: wanted a URL such as {kind}:HOST:3478, got {url!r}")
    if config.turn and not (config.turn_secret or (config.turn_user and config.turn_password)):
        raise ConfigError("[webrtc] turn: wanted turn_user and turn_password, or turn_secret")


# HTTP


def add_routes(api: fastapi.FastAPI, calling: Calling, service: Service, who: Who, limit: Limit) -> None:
    """WHIP and the softphone, over the API's own ways to know who asks and how often."""

    def taken(kind: str, request: Request) -> None:
        given = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if given != kind:
            refuse(415, f"content type: wanted {kind}, got {given or 'none'}")

    def refuse(status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        calling.counts["refused"] += 1
        raise HTTPException(status, detail, headers)

    async def sdp_of(request: Request) -> str:
        try:
            return (await request.body()).decode()
        except UnicodeDecodeError:
            raise RefusedOffer("SDP: wanted UTF-8", 400) from None

    @api.exception_handler(RefusedOffer)
    async def on_refused(_: Request, error: RefusedOffer) -> Response:
        calling.counts["refused"] += 1
        body = msgspec.json.encode({"detail": str(error)})
        return Response(body, error.status, media_type="application/json")

    def own(request: Request, session: Session) -> None:
        """A WHIP session is whose that may handle its call."""
        principal = who(request)
        metadata = service.metadata_of(session.call)
        if metadata is not None and not may_handle(principal, metadata):
            raise HTTPException(404, "no such session")

    @api.post(WHIP, tags=["webrtc"], status_code=201)
    async def whip(request: Request) -> Response:
        """WHIP (RFC 9725): an SDP offer of one or two audio tracks.

        ?call=ID joins or begins it; ?role=agent|customer of one track (default agent), ?roles=agent,customer of two;
        ?notice=true where the customer was informed, ?consent=true where they agreed; ?agent, ?team, ?queue,
        ?touchpoint, ?language.
        """
        principal = who(request)
        limit(service.opens, request)
        taken("application/sdp", request)
        try:
            query = WhipQuery(**dict(request.query_params))  # type: ignore[arg-type]
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise RefusedOffer(f"query: {wrong}") from None
        offer = parse_offer(await sdp_of(request))
        roles: tuple[Role, ...] = (query.role or "agent",)
        if len(offer.codings) == 2:
            if query.role is not None:
                raise RefusedOffer("query: role is for one track; two have roles=agent,customer")
            roles = ("customer", "agent") if query.roles == "customer,agent" else ("agent", "customer")
        source = address(request.scope)
        session, answer = await calling.begin(offer, roles, query.metadata, query.call, principal, source)
        headers = {
            "Location": f"{WHIP}/{session.id}",
            "ETag": session.etag,
            "Vocal-Call": session.call,
            "Access-Control-Expose-Headers": "Location, ETag, Link, Vocal-Call",
        }
        response = Response(answer, 201, headers, "application/sdp")
        for one in calling.ice_servers(principal.name):
            named = "".join(f'; {name}="{one[name]}"' for name in ("username", "credential") if name in one)
            kind = '; credential-type="password"' if named else ""
            response.headers.append("Link", f'<{one["urls"]}>; rel="ice-server"{named}{kind}')
        return response

    @api.options(WHIP, include_in_schema=False)
    @api.options(f"{WHIP}/{{session}}", include_in_schema=False)
    async def whip_options() -> Response:
        allowed = {
            "Accept-Post": "application/sdp",
            "Access-Control-Allow-Methods": "POST, PATCH, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        }
        return Response(status_code=204, headers=allowed)

    @api.api_route(WHIP, methods=["GET", "HEAD", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def whip_not() -> Response:
        raise HTTPException(405, "wanted POST", {"Allow": "POST, OPTIONS"})

    @api.api_route(f"{WHIP}/{{session}}", methods=["GET", "HEAD", "PUT", "POST"], include_in_schema=False)
    async def whip_session_not(session: str) -> Response:
        raise HTTPException(405, "wanted PATCH or DELETE", {"Allow": "PATCH, DELETE, OPTIONS"})

    @api.patch(f"{WHIP}/{{session}}", tags=["webrtc"], status_code=204)
    async def whip_candidates(session: str, request: Request) -> Response:
        """Trickled ICE candidates (RFC 8840). ICE is not restarted: a lost connection is made anew by POST."""
        found = calling.session(session, is_softphone=False)
        own(request, found)
        taken("application/trickle-ice-sdpfrag", request)
        given = request.headers.get("if-match")
        if given is None:
            raise HTTPException(428, "wanted If-Match with the session's ETag")
        fragment = parse_fragment(await sdp_of(request))
        if found.peer is None:
            raise HTTPException(409, "the session has ended")
        if fragment.ufrag not in (None, found.peer.remote_ufrag):
            raise RefusedOffer("ICE is not restarted here: make the connection anew")
        if given not in (found.etag, "*"):
            raise HTTPException(412, "If-Match: the ETag is another")
        await found.peer.add_candidates(fragment)
        return Response(status_code=204)

    @api.delete(f"{WHIP}/{{session}}", tags=["webrtc"])
    async def whip_end(session: str, request: Request) -> Response:
        """Its participant leaves; the last one's going ends the call."""
        found = calling.session(session, is_softphone=False)
        own(request, found)
        calling.hang_up(found)
        return Response(status_code=200)

    @api.post(f"{SOFTPHONE}/offer", tags=["webrtc"], status_code=201)
    async def softphone(given: OfferIn, request: Request) -> AnswerOut:
        """The softphone's offer, see docs/softphone-protocol.md: the answer, with the other side's audio to come."""
        invite = None if given.invite is None else calling.invited(given.invite)
        if given.invite is not None and invite is None:
            refuse(403, "the invitation is unknown or has expired")
        principal = None if invite is not None else who(request)
        limit(service.opens, request)
        role: Role = "customer" if invite is not None else given.role
        whose = (given.queue, given.team, given.agent, given.language, given.notice, given.touchpoint)
        metadata = Metadata(*whose, consent=given.consent)
        call = given.call
        if invite is not None:
            call = invite.call
            said = {"notice": given.notice, "consent": given.consent, "language": given.language}
            metadata = msgspec.structs.replace(invite.metadata, **said)
        offer = parse_offer(given.sdp, most_tracks=1, wanted=("opus",))
        source = address(request.scope)
        session, answer = await calling.begin(
            offer, (role,), metadata, call, principal, source, invite, given.replaces, is_softphone=True
        )
        told = calling.session_out(session)
        return AnswerOut(
            sdp=answer,
            call=session.call,
            role=role,
            session=session.id,
            url=f"{SOFTPHONE}/{session.id}",
            others=told["others"],
            notice=told["notice"],
        )

    @api.post(f"{SOFTPHONE}/invites", tags=["webrtc"], status_code=201)
    async def new_invite(request: Request, given: InviteIn | None = None) -> InviteOut:
        """A link by which somebody without a login may be the customer of a call."""
        principal = who(request)
        limit(service.opens, request)
        code, invite = calling.invite(principal, None if given is None else given.call)
        path = f"/softphone?invite={code}"
        return InviteOut(
            invite=code, call=invite.call, path=path, expires_s=round(invite.until_s - time.monotonic(), 1)
        )

    @api.get(f"{SOFTPHONE}/invites/{{code}}", tags=["webrtc"])
    async def one_invite(code: str) -> dict[str, Any]:
        invite = calling.invited(code)
        if invite is None:
            raise HTTPException(404, "the invitation is unknown or has expired")
        return {"call": invite.call, "expires_s": round(invite.until_s - time.monotonic(), 1)}

    @api.get(f"{SOFTPHONE}/ice", tags=["webrtc"])
    async def ice(request: Request, invite: str | None = None) -> dict[str, Any]:
        """STUN and TURN servers for a connection to us; none where none are set."""
        if invite is not None and calling.invited(invite) is None:
            refuse(403, "the invitation is unknown or has expired")
        name = "invited" if invite is not None else who(request).name
        return {"iceServers": calling.ice_servers(name)}

    @api.get(f"{SOFTPHONE}/{{session}}", tags=["webrtc"])
    async def softphone_state(session: str) -> dict[str, Any]:
        return calling.session_out(calling.session(session, is_softphone=True))

    @api.post(f"{SOFTPHONE}/{{session}}/notice", tags=["webrtc"], status_code=202)
    async def softphone_notice(session: str, given: GivenIn) -> dict[str, Any]:
        found = calling.session(session, is_softphone=True)
        if found.state == "ended":
            raise HTTPException(409, "the session has ended")
        service.live.set_notice(found.call, given.given, given.basis)
        return {"call": found.call, "given": given.given}

    @api.delete(f"{SOFTPHONE}/{{session}}", tags=["webrtc"], status_code=204)
    async def softphone_end(session: str) -> Response:
        """Hang up, for both."""
        calling.hang_up(calling.session(session, is_softphone=True))
        return Response(status_code=204)
