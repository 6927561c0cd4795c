"""What SIP transactions and dialogs are (RFC 3261, 12 and 17): values, and how messages find them and their way."""

import secrets
from typing import Literal, NamedTuple

from vocal.transports.sip_message import Message, Request, Response, parse_address, parse_uri, parse_via, tag_of

T1_S, T2_S, T4_S = 0.5, 4.0, 5.0
"""Round trip, longest wait between copies, longest life of a message in the network (RFC 3261, 17.1.1.1)."""

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


def server_key(request: Request) -> tuple[str, str, str]:
    """What makes two requests copies of one (RFC 3261, 17.2.3)."""
    via = parse_via(request.get("via"))
    branch = via.parameters.get("branch", "")
    method = "INVITE" if request.method == "ACK" else request.method
    if not branch.startswith("z9hG4bK"):
        branch = f"{branch}|{request.get('call-id')}|{tag_of(request.get('from'))}|{request.cseq[0]}"
    return branch, f"{via.host}:{via.port}".lower(), method


def mark_source(request: Request, flow: Flow) -> None:
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


def uri_or(value: str, default: str) -> str:
    try:
        return parse_address(value).uri
    except ValueError:
        return default
