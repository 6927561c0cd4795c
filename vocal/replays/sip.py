"""Places calls by SIP and SIPREC and plays recordings into them: `vocal replay --to sip:...`, `siprec:...`.

The same machine as the server's, from the other side; the media go out natively.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from vocal.errors import InputError, UsageError
from vocal.replays.pace import Faults, Recording
from vocal.replays.rtp import RtpSender, coded_packets, resolved, whole
from vocal.transports.rtp import STATIC_PAYLOADS
from vocal.transports.sdp import Coding, Media, Origin, offer_media, parse_sdp
from vocal.transports.sip import Endpoint
from vocal.transports.sip_dialog import Answered, Asked, Dialog, Flow
from vocal.transports.sip_message import Response, Uri, digest_answer, join_host, parse_uri
from vocal.transports.sip_net import Doors, Network
from vocal.types import Metadata, Role

ANSWER_S = 40.0
SIDES: dict[Role, str] = {"agent": "internal", "customer": "external", "unknown": ""}


class Target(NamedTuple):
    """Whom to call. uri: as SIP has it."""

    is_recording: bool
    transport: Literal["udp", "tcp", "tls"]
    peer: tuple[str, int]
    uri: str
    user: str
    password: str


def target_of(given: str) -> Target:
    """`sip:HOST:PORT`, `sip:NAME:PASSWORD@HOST:PORT;transport=tcp`; the same with `siprec:`. Raises UsageError."""
    scheme, _, rest = given.partition(":")
    login, _, place = rest.rpartition("@")
    try:
        uri: Uri = parse_uri(f"sip:{place}")
    except ValueError:
        raise UsageError(f"{given}: wanted {scheme}:HOST:PORT, perhaps with ;transport=tcp or tls") from None
    transport = uri.parameters.get("transport", "udp").lower()
    if transport not in ("udp", "tcp", "tls") or scheme not in ("sip", "siprec"):
        raise UsageError(f"{given}: wanted ;transport=udp, tcp or tls, got {transport}")
    user, _, password = login.partition(":")
    port = uri.port or (5061 if transport == "tls" else 5060)
    more = "" if transport == "udp" else f";transport={transport}"
    to = f"sip:{'srs' if scheme == 'siprec' else 'vocal'}@{join_host(uri.host, port)}{more}"
    return Target(scheme == "siprec", transport, (resolved(uri.host), port), to, user, password)  # type: ignore[arg-type]


class Caller:
    """A user agent that calls one place, as often as wanted."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._endpoint = Endpoint(name="Vocal replay")
        self._doors = Doors(Network(("0.0.0.0/0", "::/0")), "", 10, self._take)
        self._flow: Flow | None = None
        self._answers: dict[Dialog, asyncio.Future[Response]] = {}
        self._ticking: asyncio.Task[None] | None = None
        self.contact = ""

    async def open(self) -> str:
        """Returns our address as the other side sees it. Raises InputError."""
        host, port = self.target.peer
        try:
            if self.target.transport == "udp":
                await self._doors.listen("::" if ":" in host else "0.0.0.0", 0)
                self._flow = self._doors.udp_flow(self.target.peer)
            else:
                context = None
                if self.target.transport == "tls":
                    # Whom we call is on the command line, and most recorders' certificates are their own.
                    context = ssl.create_default_context()
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                self._flow = await self._doors.connect(self.target.transport, self.target.peer, context)
        except OSError as error:
            raise InputError(f"{host}:{port}: cannot be reached: {error.strerror or error}") from None
        more = "" if self.target.transport == "udp" else f";transport={self.target.transport}"
        self.contact = f"<sip:replay@{join_host(*self._flow.local)}{more}>"
        self._ticking = asyncio.create_task(self._tick())
        return self._flow.local[0]

    async def close(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        self._doors.close()
        await asyncio.sleep(0)

    async def call(self, body: bytes, kind: str, headers: Sequence[tuple[str, str]]) -> tuple[Dialog, Response]:
        """Raises InputError where the call is not taken."""
        assert self._flow is not None
        contact = self.contact + (";+sip.src" if self.target.is_recording else "")
        local = f"<sip:{self.target.user or 'replay'}@{self._flow.local[0]}>"
        dialog: Dialog | None = None
        more = list(headers)
        for _ in range(2):
            now_s = time.monotonic()
            dialog = self._endpoint.invite(self._flow, self.target.uri, local, now_s, contact, body, kind, more, dialog)
            answer = await self._answer_to(dialog)
            proof = self._proof(answer)
            if answer.status != 401 or proof is None:
                break
            more = [*headers, ("authorization", proof)]
        if not 200 <= answer.status < 300:
            why = answer.get("warning") or answer.get("retry-after")
            raise InputError(f"{self.target.uri}: {answer.status} {answer.reason}{': ' + why if why else ''}")
        return dialog, answer  # type: ignore[return-value]

    def _proof(self, answer: Response) -> str | None:
        if not self.target.password:
            return None
        challenges = answer.all("www-authenticate")
        return digest_answer(challenges, self.target.user, self.target.password, "INVITE", self.target.uri)

    async def hang_up(self, *dialogs: Dialog) -> None:
        for dialog in dialogs:
            self._endpoint.hang_up(dialog, "played", time.monotonic())
            self._pump()
        await asyncio.sleep(0.2)

    async def _answer_to(self, dialog: Dialog) -> Response:
        answer = self._answers[dialog] = asyncio.get_running_loop().create_future()
        self._pump()
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            raise InputError(f"{self.target.uri}: no answer within {ANSWER_S:.0f} s") from None
        finally:
            del self._answers[dialog]

    @property
    def is_over(self) -> bool:
        """Whether the other side has hung up."""
        return not self._endpoint.dialogs

    def _take(self, data: bytes, flow: Flow) -> None:
        self._endpoint.receive(data, flow, time.monotonic())
        self._pump()

    def _pump(self) -> None:
        out, events = self._endpoint.take()
        for event in events:
            if isinstance(event, Asked):
                self._endpoint.respond(event.transaction, 488, time.monotonic())
            elif isinstance(event, Answered) and event.method == "INVITE":
                answer = self._answers.get(event.dialog)
                if answer is not None and not answer.done():
                    answer.set_result(event.response)
        for flow, data in [*out, *self._endpoint.take()[0]]:
            self._doors.send(flow, data)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self._endpoint.tick(time.monotonic())
            self._pump()


class Placed(NamedTuple):
    """A call that was taken. media: where each channel's stream goes, in order."""

    call: str
    dialogs: list[Dialog]
    media: list[Media]


async def place(
    caller: Caller,
    host: str,
    roles: Sequence[Role],
    metadata: Metadata,
    coding: Literal["pcma", "pcmu", "g722"],
    comfort_noise: bool = False,
) -> Placed:
    """Sets a call up from our address `host`: each channel as a leg, or all in one recording session. comfort_noise:
    offered beside the coding.

    Raises InputError where it is not taken.
    """
    placed = Placed("", [], [])
    headers = _headers(metadata)
    codings: tuple[Coding, ...] = (coding, "cn") if comfort_noise else (coding,)
    try:
        if caller.target.is_recording:
            lines = [offer_media(9 + 2 * n, codings, "sendonly", str(n + 1)) for n in range(len(roles))]
            body, kind = _session(Origin(host).sdp("".join(lines)), roles, metadata)
            dialog, answer = await caller.call(body, kind, [*headers, ("require", "siprec")])
            return Placed(answer.get("vocal-call"), [dialog], list(parse_sdp(answer.body).media))
        joined = secrets.token_hex(8)
        for role in roles:
            more = [("vocal-side", SIDES[role])] if SIDES[role] else []
            more += [("vocal-call", joined)] if len(roles) > 1 else []
            offer = Origin(host).sdp(offer_media(9, codings, "sendonly"))
            dialog, answer = await caller.call(offer, "application/sdp", [*headers, *more])
            placed.dialogs.append(dialog)
            placed.media.extend(parse_sdp(answer.body).media[:1])
            placed = placed._replace(call=answer.get("vocal-call"))
        return placed
    except BaseException:
        await caller.hang_up(*placed.dialogs)
        raise


def replay_sip(
    source: Recording,
    url: str,
    metadata: Metadata = Metadata(),
    *,
    coding: Literal["pcma", "pcmu", "g722"] = "pcma",
    faults: Faults = Faults(),
    on_progress: Callable[[float], None] = lambda done_s: None,
    seed: int = 1,
) -> tuple[str, int]:
    """Plays a recording to sip:HOST:PORT, each channel as a leg of the call, or to siprec:HOST:PORT, as a session of
    its channels; returns the call's id and how many packets were left out.

    Raises InputError where it is refused, UsageError for a URL that is none.
    """
    return asyncio.run(_replay(source, target_of(url), metadata, coding, faults, on_progress, seed))


async def _replay(
    source: Recording,
    target: Target,
    metadata: Metadata,
    coding: Literal["pcma", "pcmu", "g722"],
    faults: Faults,
    on_progress: Callable[[float], None],
    seed: int,
) -> tuple[str, int]:
    pcm = whole(source)
    roles = [one.role for one in source.channels]
    caller = Caller(target)
    host = await caller.open()
    sender = RtpSender("::" if ":" in target.peer[0] else "0.0.0.0")
    placed = Placed("", [], [])
    try:
        placed = await place(caller, host, roles, metadata, coding)
        payload_type, coded = next((number, one) for number, one in STATIC_PAYLOADS.items() if one.name == coding)
        for column, line in enumerate(placed.media[: pcm.shape[1]]):
            if line.remote is not None:
                packets = coded_packets(pcm[:, column], coded)
                sender.add(packets, line.remote, payload_type, coded, faults=faults, seed=seed + column)
        began = time.monotonic()
        sender.start()
        playing = asyncio.create_task(asyncio.to_thread(sender.wait))
        while not playing.done():
            await asyncio.wait([playing], timeout=0.2)
            on_progress(min(time.monotonic() - began, len(pcm) / 8000))
            if caller.is_over:
                raise InputError(f"{target.uri}: the server ended the call")
        await asyncio.sleep(0.2)
    finally:
        sender.stop()
        await caller.hang_up(*placed.dialogs)
        await caller.close()
    return placed.call, sender.counts.lost


def _headers(metadata: Metadata) -> list[tuple[str, str]]:
    said: dict[str, Any] = {"vocal-notice": "yes" if metadata.notice else None, "vocal-queue": metadata.queue}
    said |= {"vocal-touchpoint": metadata.touchpoint, "vocal-language": metadata.language}
    said["vocal-consent"] = "yes" if metadata.consent else None
    return [(name, str(value)) for name, value in said.items() if value]


def _session(sdp: bytes, roles: Sequence[Role], metadata: Metadata) -> tuple[bytes, str]:
    """The body of a SIPREC INVITE (RFC 7866), and its kind."""
    people = []
    for number, role in enumerate(roles, 1):
        name = metadata.agent if role == "agent" and metadata.agent else role
        side = f"<v:vocal-side>{escape(SIDES[role])}</v:vocal-side>" if SIDES[role] else ""
        people.append(
            f'<participant participant_id="p{number}"><nameID aor={quoteattr(f"sip:{name}@replay.invalid")}/>{side}'
            f'</participant><stream stream_id="m{number}" session_id="s"><label>{number}</label></stream>'
            f'<participantstreamassoc participant_id="p{number}"><send>m{number}</send></participantstreamassoc>'
        )
    metadata_xml = (
        '<?xml version="1.0" encoding="UTF-8"?><recording xmlns="urn:ietf:params:xml:ns:recording:1" '
        'xmlns:v="urn:vocal:siprec"><datamode>complete</datamode><session session_id="s"/>'
        f"{''.join(people)}</recording>"
    )
    boundary = secrets.token_hex(12)
    parts = [
        (b"application/sdp", b"session;handling=required", sdp),
        (b"application/rs-metadata+xml", b"recording-session", metadata_xml.encode()),
    ]
    lines = b"".join(
        b"--%s\r\nContent-Type: %s\r\nContent-Disposition: %s\r\n\r\n%s\r\n" % (boundary.encode(), kind, how, part)
        for kind, how, part in parts
    )
    return lines + b"--%s--\r\n" % boundary.encode(), f"multipart/mixed;boundary={boundary}"
