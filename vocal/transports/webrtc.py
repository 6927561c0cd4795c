"""WebRTC: offers and answers, packets in and out. aiortc does ICE, DTLS and SRTP.

    aiortc: UDP ─► ICE ─► DTLS ─► SRTP ─► router ─► PacketReceiver ─► Inlet ─► Playout
                                                         └─► PacketSender of the other side

Packets leave aiortc before its jitter buffer, which stalls 280 ms on a lost packet, and before its decoder's thread.
What of aiortc is not public and used here stands in `_swap` and in the two classes that take its places.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket, RtpPacket
from aiortc.sdp import candidate_from_sdp
from numpy.typing import NDArray

from vocal.errors import MediaError
from vocal.playout import Playout
from vocal.transports.codecs import Coded, InOrder, OpusDecoder

Coding = Literal["opus", "pcmu", "pcma"]
CODINGS: dict[str, int] = {"opus": 48000, "pcmu": 8000, "pcma": 8000}
"""What we take, and the clock of its timestamps."""

_STATIC = {"0": "pcmu", "8": "pcma"}
_G711 = {"pcmu": "ulaw", "pcma": "alaw"}
MOST_SDP = 32_768
MOST_SECTIONS = 16
MOST_SOURCES = 16
"""SSRCs of one connection that are listened to."""


class RefusedOffer(MediaError):
    """An offer that we do not take; status: what HTTP calls it."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


# Offers


class _Section(NamedTuple):
    """A media section of an SDP."""

    lines: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.lines[0][2:].split(" ")[0]

    def value(self, name: str) -> str | None:
        return next((line[len(name) + 3 :] for line in self.lines if line.startswith(f"a={name}:")), None)

    def has(self, line: str) -> bool:
        return line in self.lines

    @property
    def sends(self) -> bool:
        return not (self.has("a=recvonly") or self.has("a=inactive"))

    @property
    def codings(self) -> tuple[str, ...]:
        """Of the codecs offered, those that we take, in the offerer's order."""
        names = {}
        for line in self.lines:
            if found := re.fullmatch(r"a=rtpmap:(\d+) ([^/ ]+)/(\d+).*", line):
                name = found[2].lower()
                names[found[1]] = name if CODINGS.get(name) == int(found[3]) else ""
        offered = [names.get(number, _STATIC.get(number, "")) for number in self.lines[0].split(" ")[3:]]
        return tuple(dict.fromkeys(name for name in offered if name in CODINGS))


class Offer(NamedTuple):
    """An offer as aiortc is to see it: audio only, and we the DTLS server.

    codings: of each audio section, in the offerer's order. rejected: sections that the answer refuses, by place.
    """

    sdp: str
    codings: tuple[tuple[str, ...], ...]
    rejected: tuple[tuple[int, _Section], ...]


def parse_offer(text: str, most_tracks: int = 2, wanted: Sequence[str] = tuple(CODINGS)) -> Offer:
    """Reads an offer of audio. Sections of another kind are refused in the answer, as broadcasting programs have them.

    Raises RefusedOffer: 400 for what is no SDP, 406 for unknown codecs, 422 for what WebRTC wants and it lacks.
    """
    if len(text) > MOST_SDP:
        raise RefusedOffer(f"SDP: wanted at most {MOST_SDP} characters, got {len(text)}", 413)
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if not lines or lines[0] != "v=0" or not all(re.match(r"[a-z]=", line) for line in lines):
        raise RefusedOffer("wanted an SDP offer, with lines such as «v=0» and «m=audio ...»", 400)
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not starts or len(starts) > MOST_SECTIONS:
        raise RefusedOffer(f"SDP: wanted 1 to {MOST_SECTIONS} media sections, got {len(starts)}")
    session = _Section(tuple(lines[: starts[0]]))
    sections = [_Section(tuple(lines[a:b])) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    if any(not re.fullmatch(r"m=[a-z]+ \d{1,5} [A-Z/]+( [^ ]+)+", one.lines[0]) for one in sections):
        raise RefusedOffer("SDP: wanted media lines such as «m=audio 9 UDP/TLS/RTP/SAVPF 111»", 400)
    kept = [one for one in sections if one.kind == "audio" and one.sends]
    if not 1 <= len(kept) <= most_tracks:
        raise RefusedOffer(f"SDP: wanted 1 to {most_tracks} audio sections that send, got {len(kept)}")
    codings = tuple(tuple(name for name in one.codings if name in wanted) for one in kept)
    if not all(codings):
        raise RefusedOffer(f"SDP: wanted one of {', '.join(wanted)} in each audio section", 406)
    lender = _bundle_head(session, sections)
    first = next(number for number, one in enumerate(sections) if one in kept)
    sections[first] = _with_transport(sections[first], lender)
    kept = [one for one in sections if one.kind == "audio" and one.sends]
    for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if session.value(name) is None and any(one.value(name) is None for one in kept):
            raise RefusedOffer(f"SDP: wanted a={name}")
    if not all(one.has("a=rtcp-mux") for one in kept):
        raise RefusedOffer("SDP: wanted a=rtcp-mux")
    mids = {one.value("mid") for one in kept}
    if len(mids) < len(kept) or any(sum(line.startswith("a=mid:") for line in one.lines) > 1 for one in kept):
        raise RefusedOffer("SDP: wanted sections with a name each, a=mid")
    group = [line for line in session.lines if not line.startswith("a=group:")]
    group += [
        " ".join(["a=group:BUNDLE", *(mid for mid in line.split(" ")[1:] if mid in mids)])
        for line in session.lines
        if line.startswith("a=group:BUNDLE ")
    ]
    shown = [*group, *(line for one in kept for line in one.lines)]
    shown = ["a=setup:active" if line == "a=setup:actpass" else line for line in shown]
    rejected = tuple((number, one) for number, one in enumerate(sections) if one not in kept)
    return Offer("\r\n".join([*shown, ""]), codings, rejected)


def _bundle_head(session: _Section, sections: Sequence[_Section]) -> _Section:
    """The section whose ICE and DTLS a bundle uses: others may leave theirs out."""
    for line in session.lines:
        if line.startswith("a=group:BUNDLE "):
            head = line.split(" ")[1]
            return next((one for one in sections if one.value("mid") == head), sections[0])
    return sections[0]


_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate")


def _with_transport(section: _Section, lender: _Section) -> _Section:
    lent = [
        line
        for name in _TRANSPORT
        if section.value(name) is None
        for line in lender.lines
        if line.startswith(f"a={name}:")
    ]
    return _Section((*section.lines, *lent))


def _with_rejected(answer: str, rejected: Sequence[tuple[int, _Section]]) -> str:
    parts = re.split(r"(?m)^(?=m=)", answer)
    for number, section in rejected:
        kind, _, protocol, code, *_ = section.lines[0][2:].split(" ")
        lines = [f"m={kind} 0 {protocol} {code}", "c=IN IP4 0.0.0.0", "a=inactive"]
        if (mid := section.value("mid")) is not None:
            lines.append(f"a=mid:{mid}")
        parts.insert(number + 1, "\r\n".join([*lines, ""]))
    return "".join(parts)


class Fragment(NamedTuple):
    """Trickled candidates (RFC 8840). ufrag: whose they are. candidates: with the section each belongs to."""

    ufrag: str | None
    candidates: tuple[tuple[str, str | None], ...]
    is_end: bool


def parse_fragment(text: str) -> Fragment:
    """Raises RefusedOffer for what is no fragment."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(text) > MOST_SDP or not lines or not all(re.match(r"[a-z]=", line) for line in lines):
        raise RefusedOffer("wanted an SDP fragment of ICE candidates", 400)
    whole = _Section(tuple(lines))
    mid: str | None = None
    candidates = []
    for line in lines:
        if line.startswith("a=mid:"):
            mid = line[6:]
        elif line.startswith("a=candidate:"):
            candidates.append((line[12:], mid))
    return Fragment(whole.value("ice-ufrag"), tuple(candidates), whole.has("a=end-of-candidates"))


# Packets

Packet = RtpPacket
OnPacket = Callable[[int, Coding, Packet], Awaitable[None] | None]


class PacketReceiver:
    """Stands where aiortc has its receiver, and hands each packet on as it came. Reports to the sender (RFC 3550)."""

    def __init__(self, replaced: RTCRtpReceiver, ssrc: int, track: int, on_packet: OnPacket) -> None:
        self.transport: RTCDtlsTransport = replaced.transport
        self.track = self._track = replaced.track
        self._ssrc = ssrc
        self._number = track
        self._on_packet = on_packet
        self._codings: dict[int, Coding] = {}
        self._sources: dict[int, StreamStatistics] = {}
        self._reported: dict[int, tuple[int, float]] = {}
        self.heard_s = time.monotonic()
        self.packets = self.unknown = 0

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        if not self._codings:
            for codec in parameters.codecs:
                if (name := codec.name.lower()) in CODINGS:
                    self._codings[int(codec.payloadType or 0)] = name  # type: ignore[assignment]
            self.transport._register_rtp_receiver(self, parameters)
            self.heard_s = time.monotonic()

    async def stop(self) -> None:
        self.transport._unregister_rtp_receiver(self)

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._ssrc = ssrc

    def _handle_disconnect(self) -> None:
        pass

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.ssrc in self._sources:
            self.heard_s = time.monotonic()
            self._reported[packet.ssrc] = ((packet.sender_info.ntp_timestamp >> 16) & 0xFFFFFFFF, self.heard_s)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        coding = self._codings.get(packet.payload_type)
        if coding is None:
            self.unknown += 1
            return
        source = self._sources.get(packet.ssrc)
        if source is None:
            if len(self._sources) >= MOST_SOURCES:
                self.unknown += 1
                return
            source = self._sources[packet.ssrc] = StreamStatistics(CODINGS[coding])
        source.add(packet)
        self.packets += 1
        self.heard_s = time.monotonic()
        handed = self._on_packet(self._number, coding, packet)
        if handed is not None:
            await handed

    async def report(self) -> None:
        """Tells the sender how its packets arrive."""
        now_s = time.monotonic()
        reports = []
        for ssrc, source in self._sources.items():
            lsr, at_s = self._reported.get(ssrc, (0, now_s))
            reports.append(
                RtcpReceiverInfo(
                    ssrc=ssrc,
                    fraction_lost=source.fraction_lost,
                    packets_lost=source.packets_lost,
                    highest_sequence=(source.max_seq or 0) + source.cycles,
                    jitter=source.jitter,
                    lsr=lsr,
                    dlsr=int(65536 * min(now_s - at_s, 65535.0)) if lsr else 0,
                )
            )
        if reports:
            with contextlib.suppress(ConnectionError):
                await self.transport._send_rtp(bytes(RtcpRrPacket(ssrc=self._ssrc, reports=reports)))


class PacketSender:
    """Stands where aiortc has its sender, and sends packets as they are given."""

    def __init__(self, replaced: Any) -> None:
        self.transport: RTCDtlsTransport = replaced.transport
        self.track = None
        self._ssrc, self._rtx_ssrc = replaced._ssrc, replaced._rtx_ssrc
        self._stream_id, self._track_id = replaced._stream_id, replaced._track_id
        self.payload_types: dict[str, int] = {}
        self.reports = 0
        self.packets = 0
        self._source: int | None = None
        self._sequence_shift = self._timestamp_shift = 0
        self._sequence, self._timestamp, self._sent_s = 0, 0, time.monotonic()

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        if not self.payload_types:
            self.payload_types = {codec.name.lower(): int(codec.payloadType or 0) for codec in parameters.codecs}
            self.transport._register_rtp_sender(self, parameters)

    async def stop(self) -> None:
        self.transport._unregister_rtp_sender(self)

    def setTransport(self, transport: RTCDtlsTransport) -> None:
        self.transport = transport

    async def _handle_rtcp_packet(self, packet: Any) -> None:
        if isinstance(packet, RtcpRrPacket):
            self.reports += 1

    async def push(self, coding: str, sequence: int, timestamp: int, payload: bytes, marker: int = 0) -> bool:
        """A packet out; False where nobody is connected or the coding was not agreed on."""
        code = self.payload_types.get(coding)
        if code is None:
            return False
        packet = RtpPacket(code, marker, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._ssrc, payload)
        try:
            await self.transport._send_rtp(packet.serialize())
        except ConnectionError:
            return False
        self.packets += 1
        return True

    async def forward(self, coding: str, packet: RtpPacket) -> bool:
        """Another's packet, as part of one stream of ours: what was lost or put out of order on the way stays so."""
        if packet.ssrc != self._source:
            # The first of its stream: follow on what was sent before.
            passed = int((time.monotonic() - self._sent_s) * CODINGS[coding])
            self._source = packet.ssrc
            self._sequence_shift = self._sequence + 1 - packet.sequence_number
            self._timestamp_shift = self._timestamp + passed - packet.timestamp
        self._sequence = (packet.sequence_number + self._sequence_shift) & 0xFFFF
        self._timestamp = (packet.timestamp + self._timestamp_shift) & 0xFFFFFFFF
        self._sent_s = time.monotonic()
        return await self.push(coding, self._sequence, self._timestamp, packet.payload, packet.marker)


class _Router(RtpRouter):
    """Also knows packets by their section's name (RFC 8843, 9.2), where an offer does not name their SSRCs."""

    def route_rtp(self, packet: RtpPacket) -> Any:
        if packet.ssrc not in self.ssrc_table:
            if len(self.ssrc_table) >= MOST_SOURCES:
                return None
            named = self.mid_table.get(packet.extensions.mid or "")
            if named is not None:
                self.ssrc_table[packet.ssrc] = named
        return super().route_rtp(packet)


def _swap(transceiver: RTCRtpTransceiver, track: int, on_packet: OnPacket) -> tuple[PacketReceiver, PacketSender]:
    """Our receiver and sender instead of aiortc's, before they start: the one place that knows where they are."""
    receiver = PacketReceiver(transceiver.receiver, transceiver.sender._ssrc, track, on_packet)
    sender = PacketSender(transceiver.sender)
    vars(transceiver)["_RTCRtpTransceiver__receiver"] = receiver
    vars(transceiver)["_RTCRtpTransceiver__sender"] = sender
    assert transceiver.receiver is receiver  # type: ignore[comparison-overlap]
    assert transceiver.sender is sender  # type: ignore[comparison-overlap]
    return receiver, sender


async def _nothing(track: int, coding: Coding, packet: RtpPacket) -> None:
    pass


class Peer:
    """One WebRTC connection. on_state: "connected", "failed" or "closed" as they come."""

    def __init__(
        self,
        on_packet: OnPacket = _nothing,
        on_state: Callable[[str], None] = lambda state: None,
        stun: Sequence[str] = (),
    ) -> None:
        servers = [RTCIceServer(url) for url in stun]
        # Each section has its own transport until the offer says that they are bundled.
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_COMPAT)
        )
        self._on_packet = on_packet
        self._connection.on("connectionstatechange", lambda: on_state(self._connection.connectionState))
        self.receivers: list[PacketReceiver] = []
        self.senders: list[PacketSender] = []
        self._transports: list[RTCDtlsTransport] = []

    @property
    def state(self) -> str:
        return self._connection.connectionState

    @property
    def heard_s(self) -> float:
        """When something came last, in `time.monotonic()`."""
        return max((one.heard_s for one in self.receivers), default=0.0)

    def _add(self, direction: str, codings: Sequence[str]) -> None:
        transceiver = self._connection.addTransceiver("audio", direction)
        capabilities = RTCRtpReceiver.getCapabilities("audio")
        known = {one.name.lower(): one for one in capabilities.codecs} if capabilities else {}
        transceiver.setCodecPreferences([known[name] for name in codings])
        receiver, sender = _swap(transceiver, len(self.receivers), self._on_packet)
        self._transports.append(receiver.transport)
        self.receivers.append(receiver)
        self.senders.append(sender)

    async def answer(self, offer: Offer, sends: bool = False) -> str:
        """Takes an offer; returns the answer, with all our candidates. sends: we have audio for them, too.

        Raises RefusedOffer.
        """
        for codings in offer.codings:
            self._add("sendrecv" if sends else "recvonly", codings)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            for transceiver in self._connection.getTransceivers():
                if not isinstance(transceiver.receiver.transport._rtp_router, _Router):
                    transceiver.receiver.transport._rtp_router = _Router()
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:
            # aiortc has no error of its own for what it cannot read: all of them come from what was offered.
            raise RefusedOffer(f"SDP: {' '.join(str(error).split()) or type(error).__name__}"[:200]) from None
        return _with_rejected(self._connection.localDescription.sdp, offer.rejected)

    async def offer(self, codings: Sequence[str], tracks: int) -> str:
        """An offer of so many tracks that we send."""
        for _ in range(tracks):
            self._add("sendonly", codings)
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except Exception as error:
            raise RefusedOffer(f"SDP: {error or type(error).__name__}") from None

    @property
    def remote_ufrag(self) -> str:
        found = re.search(r"(?m)^a=ice-ufrag:(\S+)", self._connection.remoteDescription.sdp)
        return found[1] if found else ""

    async def add_candidates(self, fragment: Fragment) -> None:
        """Raises RefusedOffer for a candidate that is none."""
        first = self._connection.getTransceivers()[0].mid
        for text, mid in fragment.candidates[:64]:
            try:
                candidate = candidate_from_sdp(text)
                candidate.sdpMid = mid or first
                await self._connection.addIceCandidate(candidate)
            except (ValueError, IndexError, AssertionError) as error:
                raise RefusedOffer(f"candidate: {error or 'cannot be read'}", 400) from None
        if fragment.is_end:
            with contextlib.suppress(ValueError):  # a second end
                await self._connection.addIceCandidate(None)

    async def report(self) -> None:
        for receiver in self.receivers:
            await receiver.report()

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, ConnectionError):
            try:
                await asyncio.wait_for(self._connection.close(), 5.0)
            except AttributeError:
                # An offer was refused half-way, and aiortc does not know its own parts: their sockets are closed here.
                for one in self._transports:
                    await one.stop()
                    await one.transport.stop()


# Into a playout


class Inlet:
    """One track's packets into playouts. `attach(clock_hz)` gives a playout for the channel when audio comes.

    wait_ms: how long Opus waits for a missing packet. call_later(seconds, function) is the event loop's.
    """

    def __init__(
        self,
        attach: Callable[[int], Playout],
        now_ms: Callable[[], float],
        wait_ms: float,
        call_later: Callable[[float, Callable[[], None]], Any],
    ) -> None:
        self._attach, self._now_ms, self._wait_ms = attach, now_ms, wait_ms
        self._call_later = call_later
        self._playout: Playout | None = None
        self._clock_hz = 0
        self._order: InOrder | None = None
        self._timer: Any = None
        self._is_closed = False

    @property
    def playout(self) -> Playout | None:
        return self._playout

    @property
    def undecodable(self) -> int:
        return self._order.undecodable if self._order is not None else 0

    @property
    def out_of_order(self) -> int:
        return self._order.out_of_order if self._order is not None else 0

    def push(self, coding: Coding, packet: RtpPacket) -> None:
        if self._is_closed:
            return
        arrival_ms = self._now_ms()
        if self._clock_hz != CODINGS[coding]:
            self._flush()
            if self._playout is not None:
                self._playout.close()
            self._clock_hz = CODINGS[coding]
            self._playout = self._attach(self._clock_hz)
        assert self._playout is not None
        if coding != "opus":
            if packet.payload:
                self._playout.push_coded(
                    packet.sequence_number, packet.timestamp, packet.payload, _G711[coding], arrival_ms, packet.ssrc
                )
            return
        if self._order is None:
            self._order = InOrder(OpusDecoder(), self._play, self._wait_ms, CODINGS["opus"])
        self._order.push(Coded(packet.sequence_number, packet.timestamp, packet.ssrc, packet.payload, arrival_ms))
        self._release(arrival_ms)

    def close(self) -> None:
        """What waits is played, and nothing more is taken."""
        self._flush()
        self._is_closed = True
        if self._playout is not None:
            self._playout.close()

    def _play(self, packet: Coded, samples: NDArray[np.float32]) -> None:
        assert self._playout is not None
        self._playout.push(packet.sequence, packet.timestamp, samples, packet.arrival_ms, packet.ssrc)

    def _release(self, now_ms: float) -> None:
        assert self._order is not None
        left_ms = self._order.release(now_ms)
        if left_ms is None:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self._call_later(left_ms / 1000.0, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        self._release(self._now_ms())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._stop_timer()
        if self._order is not None:
            self._order.flush()
