"""Calls by SIP: recordings as SIPREC has them (RFC 7866), and plain calls. What they send goes to the media plane.

    sockets ─► Endpoint (transactions, dialogs) ─► Leg ─► a call, a playout and an RTP stream for each voice
                                                    └── who is of the house, by configured patterns; else nobody knows

A SIPREC session is one call, its voices on two channels. A plain call has one voice, or two legs that a header joins.
Where somebody else comes to speak on a customer's stream, that stream is not taken until the customer is back.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import msgspec

from vocal.access import Principal
from vocal.config import SipConfig
from vocal.doors.voices import Leg, Refused, Voices
from vocal.errors import CapacityError, ConfigError, MediaError, UsageError, VocalError
from vocal.guard import RateLimit
from vocal.service import Service
from vocal.transports.sdp import (
    Media,
    Origin,
    choose,
    parse_sdp,
)
from vocal.transports.sip import Endpoint
from vocal.transports.sip_dialog import Acked, Asked, Dialog, Ended, Flow, Server
from vocal.transports.sip_message import Digest, Request, join_host, parse_address, parts_of, split_host
from vocal.transports.sip_net import Doors, Network
from vocal.transports.siprec import (
    KINDS,
    Participant,
    Recording,
    bare_address,
    is_given,
    matches_any,
    merged,
    parse_metadata,
)
from vocal.types import Basis, Channel, Metadata, Role

LOOK_S = 0.5
STRANGERS_BURST, STRANGERS_PER_S = 5.0, 0.5
"""Answers to each address that may not come; more is not said to it."""

MOST_CHANNELS = 2
_DTMF = ("application/dtmf-relay", "application/dtmf")


class _Content(NamedTuple):
    """What of a request's body concerns us."""

    media: tuple[Media, ...] | None
    recording: Recording | None


class Telephony:
    """All SIP of a server. Its event loop owns it."""

    def __init__(self, service: Service) -> None:
        self._service, self._live = service, service.live
        self._config: SipConfig = service.config.sip
        self._endpoint = Endpoint()
        self._digest = Digest(self._config.realm, self._config.passwords) if self._config.passwords else None
        self._told = RateLimit(STRANGERS_BURST, STRANGERS_PER_S)
        self._legs: dict[Dialog, Leg] = {}
        self._joined: dict[str, str] = {}
        self._voices = Voices(service, self._of)
        self._due: asyncio.TimerHandle | None = None
        self._due_s = float("inf")
        self._watching: asyncio.Task[None] | None = None
        self.doors = Doors(
            Network(self._config.networks),
            self._config.address,
            self._config.most_connections,
            self._take,
            self._turn_away,
            self._too_large,
        )
        kinds = (
            "calls",
            "recordings",
            "refused",
            "challenged",
            "failed_logins",
            "metadata",
            "key_messages",
            "timed_out",
        )
        self.counts = dict.fromkeys((*kinds, "key_messages", "timed_out"), 0)

    @property
    def is_on(self) -> bool:
        return bool(self._config.listen or self._config.tls_listen)

    # Its life

    async def start(self) -> None:
        """Raises UsageError, ConfigError."""
        if not self.is_on:
            return
        self._voices.start()
        if self._config.listen:
            host, port = _place(self._config.listen, "listen")
            await _listening(self._config.listen, self.doors.listen(host, port))
        if self._config.tls_listen:
            host, port = _place(self._config.tls_listen, "tls_listen")
            context = _tls(self._config)
            await _listening(self._config.tls_listen, self.doors.listen_tls(host, port, context))
        for kind, bound in self.doors.bound.items():
            self._service.listening[f"SIP over {kind.upper()}"] = join_host(*bound)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is None:
            return
        self._watching.cancel()
        for leg in list(self._legs.values()):
            self._hang_up(leg, "shutdown")
        self._pump()
        await asyncio.sleep(0)
        self.doors.close()
        if self._due is not None:
            self._due.cancel()
        self._voices.stop()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self._look(time.monotonic())
            except Exception:
                # A defect of ours with one call must not leave all others unwatched.
                asyncio.get_running_loop().call_exception_handler({"message": "watching SIP calls"})

    def _look(self, now_s: float) -> None:
        self.doors.look(now_s)
        self._voices.look()
        for leg in [one for one in self._legs.values() if now_s - one.since_s > self._config.most_call_s]:
            self.counts["timed_out"] += 1
            self._hang_up(leg, "too long")
        self._pump()

    # What comes

    def _take(self, data: bytes, flow: Flow) -> None:
        self._endpoint.receive(data, flow, time.monotonic())
        self._pump()

    def _turn_away(self, data: bytes, flow: Flow) -> None:
        if self._told.wait_s(flow.peer[0]) == 0.0:
            self._endpoint.refuse_bytes(data, flow, 403)
            self._pump()

    def _too_large(self, head: bytes, flow: Flow) -> None:
        self._endpoint.refuse_bytes(head, flow, 413)
        self._pump()

    def _pump(self) -> None:
        """Whatever happened is answered and sent, and the next timer is set."""
        endpoint = self._endpoint
        while True:
            out, events = endpoint.take()
            for flow, data in out:
                self.doors.send(flow, data)
            for event in events:
                if isinstance(event, Asked):
                    self._answer(event)
                elif isinstance(event, Acked):
                    self._acked(event)
                elif isinstance(event, Ended):
                    self._ended(event)
            if not out and not events:
                break
        due_s = endpoint.due_s
        if self._due is not None and (self._due.cancelled() or self._due_s != due_s):
            self._due.cancel()
            self._due = None
        if self._due is None and due_s < float("inf"):
            self._due_s = due_s
            wait_s = max(0.0, due_s - time.monotonic())
            self._due = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._due = None
        self._endpoint.tick(time.monotonic())
        self._pump()

    def _answer(self, asked: Asked) -> None:
        server, now_s = asked.transaction, time.monotonic()
        try:
            if asked.request.method == "INFO":
                self._info(asked)
            elif asked.dialog is None:
                self._invited(server, now_s)
            else:
                self._changed(asked, asked.dialog, now_s)
            return
        except Refused as error:
            refused = error
        except CapacityError as error:
            refused = Refused(
                503, None, [("retry-after", f"{max(1.0, error.retry_after_s):.0f}"), _warning(str(error))]
            )
        except MediaError as error:
            refused = Refused(400, str(error)[:120])
        except UsageError as error:
            refused = Refused(488, None, [_warning(str(error))])
        except VocalError as error:
            refused = Refused(500, None, [_warning(str(error))])
        except Exception:
            # A defect of ours: this call is refused, the others go on.
            asyncio.get_running_loop().call_exception_handler({"message": "answering a SIP request"})
            refused = Refused(500)
        self.counts["refused"] += refused.status not in (401, 407)
        self._endpoint.respond(server, refused.status, now_s, refused.reason, refused.headers)

    def _info(self, asked: Asked) -> None:
        kind = asked.request.content_type
        if asked.request.body and kind not in (*_DTMF, "application/media_control+xml"):
            raise Refused(415)
        if kind in _DTMF:
            self.counts["key_messages"] += 1
        self._endpoint.respond(asked.transaction, 200, time.monotonic())

    # A new call

    def _invited(self, server: Server, now_s: float) -> None:
        request = server.request
        principal = self._caller(request, now_s)
        content = _content(request)
        contact = request.get("contact")
        is_recording = (
            content.recording is not None
            or "siprec" in [one.lower() for one in request.all("require")]
            or "+sip.src" in contact.lower()
        )
        flow = server.came
        leg = Leg("", is_recording, Origin(flow.local[0]))
        if is_recording:
            if content.media is None:
                raise Refused(488, None, [_warning("a recording wants an SDP offer")])
            leg.recording = content.recording or Recording()
            self._open_recording(leg, request, content.media, principal, flow)
        else:
            self._open_plain(leg, request, content.media, principal, flow)
        try:
            body = self._voices.negotiate(leg, content.media, flow)
        except BaseException:
            self._voices.close(leg)
            self._leave(leg, "not answered")
            raise
        transport = "" if flow.transport == "udp" else f";transport={flow.transport}"
        contact = f"<sip:vocal@{join_host(*flow.local)}{transport}>" + (";+sip.srs" if is_recording else "")
        headers = [("vocal-call", leg.call)]
        dialog = self._endpoint.respond(server, 200, now_s, None, headers, body, contact=contact)
        assert dialog is not None
        leg.dialog = dialog
        self._legs[dialog] = leg
        self.counts["recordings" if is_recording else "calls"] += 1

    def _caller(self, request: Request, now_s: float) -> Principal:
        """On whose behalf the call is opened. Raises Refused."""
        if self._digest is None:
            return Principal("sip", "ingest")
        name, is_stale = self._digest.check(request, now_s)
        if name is None:
            given = bool(request.get("authorization"))
            self.counts["failed_logins" if given and not is_stale else "challenged"] += 1
            raise Refused(401, None, self._digest.challenges(now_s, is_stale))
        return Principal(name, "ingest")

    def _open_recording(
        self, leg: Leg, request: Request, media: Sequence[Media], principal: Principal, flow: Flow
    ) -> None:
        """The call of a SIPREC session: a channel for each of two voices."""
        wanted = [one for one in media if choose(one, self._config.codecs) is not None]
        if not wanted:
            raise Refused(488)
        roles = self._voices.roles(leg, wanted)
        # Of more than two voices those whose roles are known; the agent's first.
        order = sorted(range(len(wanted)), key=lambda place: (roles[place] == "unknown", place))
        kept = sorted(order[:MOST_CHANNELS], key=lambda place: (roles[place] != "agent", place))
        channels = tuple(Channel(number, roles[place]) for number, place in enumerate(kept))
        senders = [self._voices.sender(leg, one) for one in wanted]
        agents = [one.user for one, role in zip(senders, roles, strict=True) if role == "agent" and one is not None]
        metadata = self._metadata({**leg.recording.fields, **_fields(request)}, agents[0] if agents else None)
        leg.call = self._service.open_call(principal, "siprec", _source(flow), channels, metadata).call
        self._service.on_end(leg.call, lambda reason: self._call_ended(leg.call, reason))

    def _open_plain(
        self, leg: Leg, request: Request, media: Sequence[Media] | None, principal: Principal, flow: Flow
    ) -> None:
        """The call of one leg, or one that another leg has begun."""
        if media is not None and not any(choose(one, self._config.codecs) for one in media):
            raise Refused(488)
        config, fields = self._config, _fields(request)
        leg.party = _party(request, fields)
        is_ours = matches_any(config.internal, leg.party.aor, fields)
        role: Role = config.one_leg
        if config.side_by and (said := fields.get(config.side_by.lower())) is not None:
            role = _SIDES.get(said.lower(), "unknown")
        role = "agent" if is_ours else role
        metadata = self._metadata(fields, leg.party.user if role == "agent" else None)
        join = fields.get(config.joined_by.lower()) if config.joined_by else None
        if join is None:
            channels = (Channel(0, role),)
            leg.call = self._service.open_call(principal, "sip", _source(flow), channels, metadata).call
            self._service.on_end(leg.call, lambda reason: self._call_ended(leg.call, reason))
            return
        if role == "unknown":
            raise Refused(488, None, [_warning("one of two legs must say its side")])
        call = self._joined.get(join)
        state = None if call is None else self._live.call(call)
        if call is None or state is None or state.state == "ending":
            both = (Channel(0, "agent"), Channel(1, "customer"))
            call = self._service.open_call(principal, "sip", _source(flow), both, metadata).call
            self._joined[join] = call
            self._service.on_end(call, partial(self._call_ended, call))
        elif any(voice.role == role for one in self._of(call) for voice in one.voices if voice):
            raise Refused(486, None, [_warning(f"the call has its {role} already")])
        else:
            self._live.join_notice(call, metadata)
        leg.call = call
        leg.party = msgspec.structs.replace(leg.party, id=role)

    def _metadata(self, fields: Mapping[str, str], agent: str | None) -> Metadata:
        config = self._config

        def said(name: str) -> str | None:
            return fields.get(name.lower()) if name else None

        queue, language, touchpoint = said(config.queue_by), said(config.language_by), said(config.touchpoint_by)
        return Metadata(
            queue=queue[:200] if queue else None,
            agent=agent or None,
            language=language[:35] if language else None,
            notice=is_given(said(config.informed_by)),
            touchpoint=touchpoint[:200] if touchpoint else None,
            consent=is_given(said(config.agreed_by)),
        )

    # While it runs

    def _changed(self, asked: Asked, dialog: Dialog, now_s: float) -> None:
        """A re-INVITE or an UPDATE: hold, another address, another codec, other participants, or only a refresh."""
        leg, request = self._legs.get(dialog), asked.request
        if leg is None:
            raise Refused(481)
        content = _content(request)
        if content.recording is not None:
            self.counts["metadata"] += 1
            leg.recording = merged(leg.recording, content.recording)
        self._hear_notice(leg, request, content)
        body = b""
        if content.media is not None or request.method == "INVITE":
            body = self._voices.negotiate(leg, content.media, asked.transaction.came)
        else:
            self._voices.check(leg)
        self._endpoint.respond(asked.transaction, 200, now_s, body=body, contact=dialog.contact)

    def _hear_notice(self, leg: Leg, request: Request, content: _Content) -> None:
        fields = {**(content.recording.fields if content.recording else {}), **_fields(request)}
        for basis, header in (("notice", self._config.informed_by), ("consent", self._config.agreed_by)):
            said, state = fields.get(header.lower()), self._live.call(leg.call)
            if said is not None and state is not None and is_given(said) != getattr(state.call.metadata, basis):
                self._live.set_notice(leg.call, is_given(said), cast(Basis, basis))

    def _acked(self, acked: Acked) -> None:
        leg = self._legs.get(acked.dialog)
        if leg is None or not leg.awaits_answer:
            return
        leg.awaits_answer = False
        try:
            answered = _content(acked.request).media or ()
            if not answered:
                raise MediaError("wanted an answer in the ACK")
            self._voices.answered(leg, answered)
        except (MediaError, Refused):
            self._hang_up(leg, "no answer in the ACK")

    # End

    def _of(self, call: str) -> list[Leg]:
        return [one for one in self._legs.values() if one.call == call]

    def _hang_up(self, leg: Leg, reason: str) -> None:
        if leg.dialog is not None:
            self._endpoint.hang_up(leg.dialog, reason, time.monotonic())

    def _ended(self, ended: Ended) -> None:
        leg = self._legs.pop(ended.dialog, None)
        if leg is not None:
            self._voices.close(leg)
            self._leave(leg, "hangup" if ended.reason == "bye" else ended.reason)

    def _leave(self, leg: Leg, reason: str) -> None:
        """The last leg's going ends the call."""
        if leg.call and not self._of(leg.call):
            self._live.end(leg.call, reason)

    def _call_ended(self, call: str, reason: str) -> None:
        for join in [join for join, its in self._joined.items() if its == call]:
            del self._joined[join]
        for leg in self._of(call):
            self._hang_up(leg, reason)
        self._pump()

    # Figures

    def now(self) -> dict[str, int]:
        """What there is of SIP at the moment."""
        dialogs, connections = len(self._endpoint.dialogs), self.doors.connections
        return {"legs": len(self._legs), "dialogs": dialogs, "connections": connections}

    def since(self) -> dict[str, int]:
        """What became of messages and calls."""
        return {**self.counts, **self._voices.counts, **self._endpoint.counts, **self.doors.counts}


_SIDES: dict[str, Role] = {"internal": "agent", "external": "customer"}


def _place(value: str, name: str) -> tuple[str, int]:
    try:
        host, port = split_host(value)
    except ValueError as error:
        raise ConfigError(f"[sip] {name}: {error}") from None
    if port is None:
        port = 5060 if name == "listen" else 5061
    return host, port


async def _listening(where: str, work: Awaitable[None]) -> None:
    try:
        await work
    except OSError as error:
        raise UsageError(f"cannot listen for SIP on {where}: {error.strerror or error}") from None


def check_sip(config: SipConfig) -> None:
    """Before anything is started: whether these settings can be followed here. Raises UsageError, ConfigError."""
    try:
        Network(config.networks)
    except ValueError as error:
        raise ConfigError(f"[sip] networks: {error}") from None
    for value, name in ((config.listen, "listen"), (config.tls_listen, "tls_listen")):
        if value:
            host, port = _place(value, name)
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)[: 1 if name == "tls_listen" else 2]:
                with socket.socket(family, kind) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
                    try:
                        probe.bind((host, port))
                    except OSError as error:
                        raise UsageError(f"cannot listen for SIP on {value}: {error.strerror or error}") from None
    if config.tls_listen:
        _tls(config)


def _tls(config: SipConfig) -> ssl.SSLContext:
    if not config.certificate or not config.key:
        raise ConfigError("[sip] tls_listen: wanted a certificate and its key, too")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.certificate, config.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[sip] {config.certificate}, {config.key}: {error}") from None
    return context


def _content(request: Request) -> _Content:
    """Raises Refused, MediaError."""
    if request.get("content-encoding").lower() not in ("", "identity"):
        raise Refused(415)
    try:
        parts = parts_of(request)
    except ValueError as error:
        raise MediaError(str(error)) from None
    media: tuple[Media, ...] | None = None
    recording: Recording | None = None
    for part in parts:
        if part.kind == "application/sdp":
            media = parse_sdp(part.body).media
        elif part.kind in KINDS:
            recording = parse_metadata(part.body)
        elif part.is_required and (len(parts) == 1 or not _is_known_extra(part.kind)):
            raise Refused(415)
    return _Content(media, recording)


def _is_known_extra(kind: str) -> bool:
    """What recorders add without saying that it may be left aside."""
    return kind.startswith("text/") or kind in ("application/gtd", "application/isup", "application/qsig")


def _fields(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers:
        found.setdefault(name, value)
    return found


def _party(request: Request, fields: Mapping[str, str]) -> Participant:
    """Who calls: as the network asserts it, else as they say."""
    said = request.get("p-asserted-identity") or request.get("from")
    return Participant("", bare_address(said), parse_address(request.get("from")).name, fields)


def _source(flow: Flow) -> str:
    return f"{flow.transport}:{join_host(*flow.peer)}"


def _warning(text: str) -> tuple[str, str]:
    said = text.replace('"', "'").replace("\r", " ").replace("\n", " ")[:200]
    return "warning", f'399 vocal "{said}"'
