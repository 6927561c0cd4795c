"""SIP transactions and dialogs (RFC 3261, 6026, 3581, 4028) as one state machine without I/O.

    bytes and time in ─► Endpoint.receive, .tick ─► .take(): bytes to send, and events for whoever answers calls

A copy of a request is answered as the first was; a 200 is repeated until its ACK; a call ends by BYE from either side,
when its session is not refreshed, or when its ACK never comes. OPTIONS, BYE and CANCEL are answered here; INVITE,
UPDATE and INFO are told as `Asked` and answered with `respond`. The same machine places calls: `invite`.
"""

import heapq
import secrets
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from vocal.transports.sip_message import (
    Message,
    Request,
    Response,
    fault_of,
    join_host,
    parse_address,
    parse_head,
    parse_message,
    parse_uri,
    parse_via,
    reason_of,
    tag_of,
)

T1_S, T2_S, T4_S = 0.5, 4.0, 5.0
"""Round trip, longest wait between copies, longest life of a message in the network (RFC 3261, 17.1.1.1)."""

GIVE_UP_S = 64 * T1_S
ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO"
EXTENSIONS = ("siprec", "timer")
ACCEPT = "application/sdp, application/rs-metadata+xml, application/rs-metadata, multipart/mixed"
LEAST_SESSION_S = 90
NAME = "Vocal"

Header = tuple[str, str]


class Flow(NamedTuple):
    """Which way a message came, or goes. connection: of a stream; 0: UDP. local: our address as the peer sees it."""

    transport: Literal["udp", "tcp", "tls"]
    peer: tuple[str, int]
    local: tuple[str, int]
    connection: int = 0

    @property
    def is_reliable(self) -> bool:
        return self.transport != "udp"


class Dialog:
    """One call leg, between the two ends (RFC 3261, 12)."""

    def __init__(self, call_id: str, local: str, remote: str, flow: Flow) -> None:
        self.call_id = call_id
        self.local, self.remote = local, remote
        """From and To of what we send, with tags."""
        self.flow = flow
        self.target = ""
        self.contact = ""
        self.route: list[str] = []
        self.cseq = secrets.randbelow(1 << 16) + 1
        self.remote_cseq = -1
        self.state: Literal["early", "confirmed", "ended"] = "early"
        self.takes_update = False
        self.session_s: float | None = None
        self.we_refresh = False
        self.refresh_s = self.expires_s = float("inf")
        self.body: tuple[str, bytes] = ("", b"")
        """The last description that we sent: a refresh repeats it."""
        self.pending: Client | Server | None = None
        self.unacked: bytes | None = None
        self.unacked_cseq = 0

    @property
    def key(self) -> tuple[str, str, str]:
        return self.call_id, tag_of(self.local), tag_of(self.remote)


class Server:
    """A request from the peer, until copies of it can come no more."""

    def __init__(self, request: Request, flow: Flow, key: tuple[str, str, str]) -> None:
        self.request, self.came, self.key = request, flow, key
        self.flow = reply_flow(request, flow)
        self.state: Literal["proceeding", "accepted", "completed", "confirmed", "ended"] = "proceeding"
        self.sent: bytes | None = None
        self.dialog: Dialog | None = None
        self.tag = secrets.token_hex(6)
        self.wait_s = T1_S


class Client:
    """A request of ours, until it is answered or given up."""

    def __init__(self, request: Request, flow: Flow, dialog: Dialog) -> None:
        self.request, self.flow, self.dialog = request, flow, dialog
        self.state: Literal["calling", "proceeding", "completed", "ended"] = "calling"
        self.data = request.serialize()
        self.wait_s = T1_S
        self.ack: bytes | None = None


class Asked(NamedTuple):
    """Wants `respond`. dialog: None for a new call."""

    transaction: Server
    dialog: Dialog | None

    @property
    def request(self) -> Request:
        return self.transaction.request


class Acked(NamedTuple):
    """The answer to an INVITE has arrived. body: an answer to what we offered."""

    dialog: Dialog
    request: Request


class Cancelled(NamedTuple):
    transaction: Server


class Answered(NamedTuple):
    """What a request of ours got; 408 where nothing came."""

    dialog: Dialog
    method: str
    response: Response


class Ended(NamedTuple):
    """A dialog is over. reason: `bye`, `no ack`, `not refreshed`, or what ended it on our side."""

    dialog: Dialog
    reason: str


Event = Asked | Acked | Cancelled | Answered | Ended


class Endpoint:
    """All transactions and dialogs of one user agent. Times are seconds of any one clock.

    most: transactions at a time; over it requests get 503 without being remembered.
    """

    def __init__(self, most: int = 50_000, name: str = NAME) -> None:
        self._most, self._name = most, name
        self._servers: dict[tuple[str, str, str], Server] = {}
        self._clients: dict[tuple[str, str], Client] = {}
        self.dialogs: dict[tuple[str, str, str], Dialog] = {}
        self._begun: dict[tuple[str, str, int], Server] = {}
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._out: list[tuple[Flow, bytes]] = []
        self._events: list[Event] = []
        names = ("received", "sent", "malformed", "copies", "stray", "overflow", "given_up", "not_refreshed")
        self.counts = dict.fromkeys(names, 0)

    def take(self) -> tuple[list[tuple[Flow, bytes]], list[Event]]:
        """What is to be sent, in order, and what happened, since the last time."""
        out, events, self._out, self._events = self._out, self._events, [], []
        return out, events

    # Time

    @property
    def due_s(self) -> float:
        """When `tick` wants to be called next."""
        return self._timers[0][0] if self._timers else float("inf")

    def tick(self, now_s: float) -> None:
        while self._timers and self._timers[0][0] <= now_s:
            heapq.heappop(self._timers)[2](now_s)

    def _at(self, due_s: float, what: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._timers, (due_s, self._number, what))

    def _send(self, flow: Flow, data: bytes) -> None:
        self.counts["sent"] += 1
        self._out.append((flow, data))

    # In

    def receive(self, data: bytes, flow: Flow, now_s: float) -> None:
        self.counts["received"] += 1
        try:
            message = parse_message(data)
        except ValueError as error:
            self._malformed(data, flow, str(error))
            return
        if isinstance(message, Response):
            self._response(message, flow, now_s)
            return
        fault = fault_of(message)
        if fault is not None:
            self.counts["malformed"] += 1
            self.refuse(message, flow, 400, fault)
            return
        _mark_source(message, flow)
        if message.method == "ACK":
            self._ack(message, now_s)
            return
        key = _server_key(message)
        if (known := self._servers.get(key)) is not None:
            self.counts["copies"] += 1
            if known.sent is not None and known.state != "confirmed":
                self._send(known.flow, known.sent)
            return
        if len(self._servers) >= self._most:
            self.counts["overflow"] += 1
            self.refuse(message, flow, 503, headers=[("retry-after", "10")])
            return
        server = self._servers[key] = Server(message, flow, key)
        self._route(server, now_s)

    def _malformed(self, data: bytes, flow: Flow, why: str) -> None:
        """What cannot be parsed whole is told so, where its head can."""
        self.counts["malformed"] += 1
        try:
            head = parse_head(data.partition(b"\r\n\r\n")[0])
            if isinstance(head, Request) and head.get("via"):
                self.refuse(head, flow, 400, why)
        except ValueError:
            pass

    def refuse(
        self, request: Request, flow: Flow, status: int, reason: str | None = None, headers: Sequence[Header] = ()
    ) -> None:
        """An answer without a transaction: a copy of the request gets it again."""
        if request.method == "ACK":
            return
        try:
            _mark_source(request, flow)
        except ValueError:
            return
        response = self._answer(request, secrets.token_hex(6), status, reason)
        response.headers += headers
        self._send(reply_flow(request, flow), response.serialize())

    def refuse_bytes(self, data: bytes, flow: Flow, status: int) -> None:
        """The same for what was not parsed yet: who may not come here does not cost more than this."""
        try:
            head = parse_head(data.partition(b"\r\n\r\n")[0])
        except ValueError:
            return
        if isinstance(head, Request) and head.get("via"):
            self.refuse(head, flow, status)

    def _route(self, server: Server, now_s: float) -> None:
        request = server.request
        method, tag = request.method, tag_of(request.get("to"))
        if method == "CANCEL":
            self._cancel(server, now_s)
            return
        if method not in ALLOW.split(", "):
            self.respond(server, 405, now_s)
            return
        unknown = [one for one in request.all("require") if one.lower() not in EXTENSIONS]
        if unknown:
            self.respond(server, 420, now_s, headers=[("unsupported", ", ".join(unknown))])
            return
        if tag:
            self._inside(server, tag, now_s)
        elif method == "OPTIONS":
            self.respond(server, 200, now_s)
        elif method == "INVITE":
            # The same request by two ways (RFC 3261, 8.2.2.2).
            path = (request.get("call-id"), tag_of(request.get("from")), request.cseq[0])
            if path in self._begun:
                self.respond(server, 482, now_s)
                return
            self._begun[path] = server
            if not self._takes_session(server, now_s):
                return
            self._events.append(Asked(server, None))
        else:
            self.respond(server, 481, now_s)

    def _inside(self, server: Server, tag: str, now_s: float) -> None:
        """A request within a dialog."""
        request = server.request
        dialog = self.dialogs.get((request.get("call-id"), tag, tag_of(request.get("from"))))
        if dialog is None or dialog.state == "ended":
            self.respond(server, 200 if request.method == "OPTIONS" else 481, now_s)
            return
        server.dialog = dialog
        if request.cseq[0] <= dialog.remote_cseq:
            self.respond(server, 500, now_s, "CSeq Too Low")
            return
        dialog.remote_cseq = request.cseq[0]
        dialog.flow = server.came
        if request.method == "BYE":
            self.respond(server, 200, now_s)
            if isinstance(dialog.pending, Server):
                self.respond(dialog.pending, 487, now_s)
            self._over(dialog, "bye")
        elif request.method == "OPTIONS":
            self.respond(server, 200, now_s)
        elif request.method == "INFO":
            self._events.append(Asked(server, dialog))
        elif dialog.pending is not None:
            if isinstance(dialog.pending, Client):
                self.respond(server, 491, now_s)
            else:
                self.respond(server, 500, now_s, headers=[("retry-after", "5")])
        elif self._takes_session(server, now_s):
            if request.get("contact"):
                dialog.target = parse_address(request.get("contact")).uri
            dialog.pending = server
            self._events.append(Asked(server, dialog))

    def _takes_session(self, server: Server, now_s: float) -> bool:
        wanted = server.request.number("session-expires")
        if wanted is not None and wanted < LEAST_SESSION_S:
            self.respond(server, 422, now_s, headers=[("min-se", str(LEAST_SESSION_S))])
            return False
        return True

    def _cancel(self, server: Server, now_s: float) -> None:
        branch, sent_by, _ = server.key
        invited = self._servers.get((branch, sent_by, "INVITE"))
        if invited is None:
            self.respond(server, 481, now_s)
            return
        server.tag = invited.tag
        self.respond(server, 200, now_s)
        if invited.state == "proceeding":
            self._events.append(Cancelled(invited))
            self.respond(invited, 487, now_s)

    def _ack(self, request: Request, now_s: float) -> None:
        server = self._servers.get(_server_key(request))
        if server is not None and server.state == "completed":
            server.state = "confirmed"
            self._at(now_s + (0.0 if server.flow.is_reliable else T4_S), lambda _: self._forget(server))
            return
        to, from_ = tag_of(request.get("to")), tag_of(request.get("from"))
        dialog = self.dialogs.get((request.get("call-id"), to, from_))
        if dialog is None:
            self.counts["stray"] += 1
        elif dialog.unacked is not None and request.cseq[0] == dialog.unacked_cseq:
            dialog.unacked = None
            self._events.append(Acked(dialog, request))

    # Answers

    def respond(
        self,
        server: Server,
        status: int,
        now_s: float,
        reason: str | None = None,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        kind: str = "application/sdp",
        contact: str = "",
    ) -> Dialog | None:
        """Answers a request; with 2xx to a new INVITE there is a dialog. contact: our address, as a header holds it."""
        if server.state != "proceeding":
            return server.dialog
        request = server.request
        response = self._answer(request, server.tag, status, reason)
        is_invite, is_final, is_yes = request.method == "INVITE", status >= 200, 200 <= status < 300
        if (is_invite and status > 100 and status < 300) or (is_yes and request.method == "UPDATE"):
            response.headers += [("record-route", one) for one in request.all("record-route")]
            response.headers += [("contact", contact)] if contact else []
        if is_yes and request.method in ("INVITE", "OPTIONS"):
            response.headers += [("allow", ALLOW), ("supported", ", ".join(EXTENSIONS)), ("accept", ACCEPT)]
        elif status == 405:
            response.headers.append(("allow", ALLOW))
        elif status == 415:
            response.headers += [("accept", ACCEPT), ("accept-encoding", "identity")]
        response.headers += headers
        dialog = server.dialog
        if is_invite and is_yes and dialog is None:
            dialog = server.dialog = self._begin(server, contact)
        if is_yes and dialog is not None and request.method in ("INVITE", "UPDATE"):
            self._settle_session(dialog, request, response, now_s)
            if body:
                dialog.body = (kind, body)
        if body:
            response.headers.append(("content-type", kind))
            response.body = body
        server.sent = response.serialize()
        self._send(server.flow, server.sent)
        if not is_final:
            return dialog
        request.body = b""
        if dialog is not None and dialog.pending is server:
            dialog.pending = None
        if is_invite and is_yes and dialog is not None:
            # All copies of this INVITE get the same 200 (RFC 6026), and it is repeated until the ACK.
            server.state = "accepted"
            dialog.unacked, dialog.unacked_cseq = server.sent, request.cseq[0]
            self._repeat_ok(dialog, server, now_s)
            self._at(now_s + GIVE_UP_S, lambda _: self._forget(server))
        elif is_invite:
            server.state = "completed"
            if not server.flow.is_reliable:
                self._at(now_s + T1_S, lambda at_s: self._repeat_no(server, at_s))
            self._at(now_s + GIVE_UP_S, lambda _: self._forget(server))
        else:
            server.state = "completed"
            self._at(now_s + (T4_S if server.flow.is_reliable else GIVE_UP_S), lambda _: self._forget(server))
        return dialog

    def _answer(self, request: Request, tag: str, status: int, reason: str | None) -> Response:
        headers = [(name, value) for name, value in request.headers if name == "via"]
        to = request.get("to")
        if status > 100 and not tag_of(to):
            to += f";tag={tag}"
        headers += [("from", request.get("from")), ("to", to), ("call-id", request.get("call-id"))]
        headers += [("cseq", request.get("cseq")), ("server", self._name)]
        said = (reason or reason_of(status)).replace("\r", " ").replace("\n", " ")
        return Response(headers, b"", status, said)

    def _begin(self, server: Server, contact: str) -> Dialog:
        request = server.request
        local = request.get("to") if tag_of(request.get("to")) else f"{request.get('to')};tag={server.tag}"
        dialog = Dialog(request.get("call-id"), local, request.get("from"), server.came)
        dialog.state = "confirmed"
        dialog.contact, dialog.remote_cseq = contact, request.cseq[0]
        dialog.target = parse_address(request.get("contact") or request.get("from")).uri
        dialog.route = request.all("record-route")
        dialog.takes_update = "UPDATE" in [one.upper() for one in request.all("allow")]
        self.dialogs[dialog.key] = dialog
        return dialog

    def _settle_session(self, dialog: Dialog, request: Request, response: Response, now_s: float) -> None:
        """Session timers (RFC 4028): whoever refreshes, a session that nobody refreshes ends."""
        wanted = request.number("session-expires")
        if wanted is None:
            dialog.session_s, dialog.refresh_s, dialog.expires_s = None, float("inf"), float("inf")
            return
        peer_can = "timer" in [one.lower() for one in request.all("supported")]
        value = request.get("session-expires").lower().replace(" ", "")
        dialog.we_refresh = "refresher=uas" in value or not peer_can
        who = "uas" if dialog.we_refresh else "uac"
        response.headers.append(("session-expires", f"{wanted};refresher={who}"))
        if peer_can and not dialog.we_refresh:
            response.headers.append(("require", "timer"))
        self._watch_session(dialog, float(wanted), now_s)

    def _watch_session(self, dialog: Dialog, session_s: float, now_s: float) -> None:
        dialog.session_s = session_s
        dialog.refresh_s = now_s + session_s / 2 if dialog.we_refresh else float("inf")
        dialog.expires_s = now_s + session_s - min(32.0, session_s / 3)
        self._at(min(dialog.refresh_s, dialog.expires_s), lambda at_s: self._look(dialog, at_s))

    def _look(self, dialog: Dialog, now_s: float) -> None:
        if dialog.state == "ended" or dialog.session_s is None:
            return
        if now_s >= dialog.expires_s:
            self.counts["not_refreshed"] += 1
            self.hang_up(dialog, "not refreshed", now_s)
        elif now_s >= dialog.refresh_s:
            dialog.refresh_s = float("inf")
            self._at(dialog.expires_s, lambda at_s: self._look(dialog, at_s))
            if dialog.pending is None and dialog.unacked is None:
                self._refresh(dialog, now_s)

    def _refresh(self, dialog: Dialog, now_s: float) -> None:
        headers = [("session-expires", f"{int(dialog.session_s or 0)};refresher=uac"), ("supported", "timer")]
        if dialog.takes_update:
            dialog.pending = self._request(dialog, "UPDATE", now_s, headers)
        else:
            kind, body = dialog.body
            dialog.pending = self._request(dialog, "INVITE", now_s, headers, body, kind)

    # Copies

    def _repeat_ok(self, dialog: Dialog, server: Server, now_s: float) -> None:
        """Over streams too: a proxy between may have UDP on its other side (RFC 3261, 13.3.1.4)."""
        sent = server.sent
        server.wait_s = T1_S

        def is_open() -> bool:
            return dialog.unacked is sent and dialog.state != "ended"

        def again(at_s: float) -> None:
            if is_open():
                self._send(server.flow, sent or b"")
                server.wait_s = min(2 * server.wait_s, T2_S)
                self._at(at_s + server.wait_s, again)

        def give_up(at_s: float) -> None:
            if is_open():
                self.counts["given_up"] += 1
                self.hang_up(dialog, "no ack", at_s)

        self._at(now_s + T1_S, again)
        self._at(now_s + GIVE_UP_S, give_up)

    def _repeat_no(self, server: Server, now_s: float) -> None:
        if server.state == "completed" and server.sent is not None:
            self._send(server.flow, server.sent)
            server.wait_s = min(2 * server.wait_s, T2_S)
            self._at(now_s + server.wait_s, lambda at_s: self._repeat_no(server, at_s))

    def _forget(self, server: Server) -> None:
        server.state = "ended"
        self._servers.pop(server.key, None)
        request = server.request
        if request.method == "INVITE":
            path = (request.get("call-id"), tag_of(request.get("from")), request.cseq[0])
            if self._begun.get(path) is server:
                del self._begun[path]

    # Out

    def hang_up(self, dialog: Dialog, reason: str, now_s: float) -> None:
        """BYE. What the peer says to it does not matter any more."""
        if dialog.state == "ended":
            return
        self._request(dialog, "BYE", now_s, [("reason", 'SIP;cause=200;text="' + reason.replace('"', "") + '"')])
        self._over(dialog, reason)

    def _over(self, dialog: Dialog, reason: str) -> None:
        if dialog.state != "ended":
            dialog.state = "ended"
            dialog.unacked, dialog.session_s = None, None
            self.dialogs.pop(dialog.key, None)
            self._events.append(Ended(dialog, reason))

    def drop(self, dialog: Dialog, reason: str) -> None:
        """The way to the peer is gone: nothing can be sent."""
        self._over(dialog, reason)

    def invite(
        self,
        flow: Flow,
        uri: str,
        local: str,
        now_s: float,
        contact: str,
        body: bytes,
        kind: str = "application/sdp",
        headers: Sequence[Header] = (),
        dialog: Dialog | None = None,
    ) -> Dialog:
        """Places a call; `Answered` tells what came of it. dialog: of an attempt before, to try again with more."""
        if dialog is None:
            dialog = Dialog(f"{secrets.token_hex(12)}", f"{local};tag={secrets.token_hex(6)}", f"<{uri}>", flow)
        dialog.target, dialog.contact, dialog.body, dialog.state = uri, contact, (kind, body), "early"
        self.dialogs[dialog.key] = dialog
        dialog.pending = self._request(dialog, "INVITE", now_s, headers, body, kind)
        return dialog

    def request(
        self,
        dialog: Dialog,
        method: str,
        now_s: float,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        kind: str = "",
    ) -> None:
        """INVITE, UPDATE or INFO in a dialog that stands; `Answered` tells what came of it."""
        client = self._request(dialog, method, now_s, headers, body, kind)
        if method in ("INVITE", "UPDATE"):
            dialog.pending = client
            if body:
                dialog.body = (kind, body)

    def _request(
        self,
        dialog: Dialog,
        method: str,
        now_s: float,
        headers: Sequence[Header] = (),
        body: bytes = b"",
        kind: str = "",
    ) -> Client:
        dialog.cseq += 1
        flow = next_hop(dialog)
        request = self._made(dialog, method, dialog.cseq, flow)
        if method in ("INVITE", "UPDATE"):
            request.headers += [("contact", dialog.contact), ("allow", ALLOW)]
        request.headers += headers
        if body:
            request.headers.append(("content-type", kind))
            request.body = body
        client = Client(request, flow, dialog)
        self._clients[request.branch, method] = client
        self._send(flow, client.data)
        if not flow.is_reliable:
            self._at(now_s + T1_S, lambda at_s: self._repeat(client, at_s))
        self._at(now_s + GIVE_UP_S, lambda at_s: self._give_up(client, at_s))
        return client

    def _made(self, dialog: Dialog, method: str, cseq: int, flow: Flow) -> Request:
        branch = f"z9hG4bK{secrets.token_hex(10)}"
        via = f"SIP/2.0/{flow.transport.upper()} {join_host(*flow.local)};branch={branch};rport"
        uri, route = dialog.target, dialog.route
        if route and "lr" not in parse_uri(parse_address(route[0]).uri).parameters:
            # A strict router wants its own address in the first line (RFC 3261, 12.2.1.1).
            uri, route = parse_address(route[0]).uri, [*route[1:], f"<{dialog.target}>"]
        headers = [("via", via), ("max-forwards", "70"), *(("route", one) for one in route)]
        headers += [("from", dialog.local), ("to", dialog.remote), ("call-id", dialog.call_id)]
        headers += [("cseq", f"{cseq} {method}"), ("user-agent", self._name)]
        return Request(headers, b"", method, uri)

    def _repeat(self, client: Client, now_s: float) -> None:
        is_invite = client.request.method == "INVITE"
        if client.state == "calling" or (client.state == "proceeding" and not is_invite):
            self._send(client.flow, client.data)
            client.wait_s = 2 * client.wait_s if is_invite else min(2 * client.wait_s, T2_S)
            self._at(now_s + client.wait_s, lambda at_s: self._repeat(client, at_s))

    def _give_up(self, client: Client, now_s: float) -> None:
        waits = client.request.method == "INVITE" and client.state == "proceeding"
        if client.state in ("calling", "proceeding") and not waits:
            self._final(client, Response([], b"", 408, reason_of(408)), now_s)
        if client.state != "proceeding":
            self._clients.pop((client.request.branch, client.request.method), None)

    def _response(self, response: Response, flow: Flow, now_s: float) -> None:
        try:
            client = self._clients.get((response.branch, response.cseq[1]))
        except ValueError:
            self.counts["malformed"] += 1
            return
        if client is None:
            self.counts["stray"] += 1
        elif client.state == "completed":
            if client.ack is not None:
                self._send(client.flow, client.ack)
        elif response.status < 200:
            client.state = "proceeding"
        else:
            client.dialog.flow = flow
            self._final(client, response, now_s)

    def _final(self, client: Client, response: Response, now_s: float) -> None:
        dialog, method = client.dialog, client.request.method
        client.state = "completed"
        if dialog.pending is client:
            dialog.pending = None
        if method == "INVITE" and response.headers:
            self._acknowledge(client, response)
        self._at(now_s + GIVE_UP_S, lambda at_s: self._give_up(client, at_s))
        if dialog.state == "ended":
            return
        is_yes = 200 <= response.status < 300
        if is_yes and method in ("INVITE", "UPDATE"):
            if response.get("contact"):
                dialog.target = _uri_or(response.get("contact"), dialog.target)
            dialog.state = "confirmed"
            self._keep_session(client, response, now_s)
        self._events.append(Answered(dialog, method, response))
        if dialog.state == "confirmed" and not is_yes and response.status in (408, 481):
            self.hang_up(dialog, f"{method} got {response.status}", now_s)
        elif dialog.state == "early" and not is_yes:
            self.dialogs.pop(dialog.key, None)

    def _keep_session(self, client: Client, response: Response, now_s: float) -> None:
        try:
            session_s = response.number("session-expires")
        except ValueError:
            session_s = None
        if session_s is not None and session_s >= LEAST_SESSION_S:
            client.dialog.we_refresh = "refresher=uas" not in response.get("session-expires").lower().replace(" ", "")
            self._watch_session(client.dialog, float(session_s), now_s)

    def _acknowledge(self, client: Client, response: Response) -> None:
        dialog = client.dialog
        if 200 <= response.status < 300:
            if dialog.state == "early":
                self.dialogs.pop(dialog.key, None)
                dialog.remote = response.get("to")
                dialog.route = response.all("record-route")[::-1]
                dialog.target = _uri_or(response.get("contact"), dialog.target)
                dialog.takes_update = "UPDATE" in [one.upper() for one in response.all("allow")]
                self.dialogs[dialog.key] = dialog
            flow = next_hop(dialog)
            ack = self._made(dialog, "ACK", client.request.cseq[0], flow)
        else:
            # Goes the INVITE's own way (RFC 3261, 17.1.1.3).
            flow = client.flow
            kept = [one for one in client.request.headers if one[0] in ("from", "call-id", "max-forwards", "route")]
            headers = [("via", client.request.get("via")), *kept, ("to", response.get("to"))]
            headers.append(("cseq", f"{client.request.cseq[0]} ACK"))
            ack = Request(headers, b"", "ACK", client.request.uri)
        client.ack = ack.serialize()
        self._send(flow, client.ack)


def next_hop(dialog: Dialog) -> Flow:
    """Which way a request in a dialog goes: to its first route or its target; over the stream that it came by."""
    flow = dialog.flow
    if flow.is_reliable:
        return flow
    try:
        uri = parse_uri(parse_address(dialog.route[0]).uri if dialog.route else dialog.target)
    except ValueError:
        return flow
    # A name would have to be asked for elsewhere: the address that the peer came from serves.
    is_address = uri.host.replace(".", "").isdigit() or ":" in uri.host
    return flow._replace(peer=(uri.host, uri.port or 5060)) if is_address else flow


def _server_key(request: Request) -> tuple[str, str, str]:
    """What makes two requests copies of one (RFC 3261, 17.2.3)."""
    via = parse_via(request.get("via"))
    branch = via.parameters.get("branch", "")
    method = "INVITE" if request.method == "ACK" else request.method
    if not branch.startswith("z9hG4bK"):
        branch = f"{branch}|{request.get('call-id')}|{tag_of(request.get('from'))}|{request.cseq[0]}"
    return branch, f"{via.host}:{via.port}".lower(), method


def _mark_source(request: Request, flow: Flow) -> None:
    """Where the answer goes: `received` and `rport` (RFC 3261, 18.2.1; RFC 3581)."""
    value = request.get("via")
    via = parse_via(value)
    host, port = flow.peer
    if via.parameters.get("rport") == "" and "rport" in via.parameters:
        base = ";".join(part for part in value.split(";") if part.strip().lower() not in ("rport", "rport="))
        request.set("via", f"{base};received={host};rport={port}")
    elif via.host != host and "received" not in via.parameters:
        request.set("via", f"{value};received={host}")


def reply_flow(request: Message, flow: Flow) -> Flow:
    """Over UDP an answer goes to the port that the peer names, unless it asks for its own by `rport`."""
    via = parse_via(request.get("via"))
    if flow.is_reliable or "rport" in via.parameters:
        return flow
    return flow._replace(peer=(flow.peer[0], via.port or 5060))


def _uri_or(value: str, default: str) -> str:
    try:
        return parse_address(value).uri
    except ValueError:
        return default
