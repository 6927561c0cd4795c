"""WebRTC: connections, packets in and out. aiortc makes the connection: ICE, DTLS, keys; packets of media pass it by.

    UDP ─► _Intake ─┬─ media ─► SRTP ─► PacketReceiver ─► Inlet ─► Playout
                    │                        └─► PacketSender of the other side
                    └─ the rest ─► aiortc: STUN, DTLS, RTCP

What comes from a socket is in its playout in one step. aiortc's own way costs each packet a queue, a task's turn and a
header made into objects; its jitter buffer stalls 280 ms on a lost one, and each track has a thread. What of aiortc is
not public and used here stands in `_swap`, in `_Intake`, and in the two classes that take its places.
"""

import asyncio
import contextlib
import re
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pylibsrtp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpRouter, State
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters, RTCRtpSendParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtcrtptransceiver import RTCRtpTransceiver
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket, RtpPacket
from aiortc.sdp import candidate_from_sdp
from numpy.typing import NDArray

from vocal.errors import CapacityError
from vocal.playout import Playout
from vocal.transports.codecs import Coded, InOrder
from vocal.transports.ice import Ways, prepare
from vocal.transports.offers import CODINGS, Coding, Fragment, Offer, RefusedOffer, with_rejected
from vocal.transports.opus import OpusDecoder

_G711 = {"pcmu": "ulaw", "pcma": "alaw"}
LEAST_DATAGRAM, MOST_DATAGRAM = 8, 1500
"""In bytes. Outside of it nothing is meant for us, and aiortc would end the connection."""

MOST_SOURCES = 16
"""SSRCs of one connection that are listened to."""


# Packets


class Packet(msgspec.Struct):
    """What of an RTP packet (RFC 3550) is used behind the socket."""

    payload_type: int
    marker: int
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


OnPacket = Callable[[int, Coding, Packet], None]
_HEADER = struct.Struct("!BBHLL")


def payload_of(data: bytes) -> bytes:
    """Of an RTP packet, behind whatever header it has. Raises ValueError."""
    first = data[0]
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + 4:
            raise ValueError("RTP: its header extension is cut off")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if end < start or (first & 0x20 and not data[-1]):
        raise ValueError("RTP: it is shorter than its header says")
    return data[start:end]


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

    async def _handle_rtp_packet(self, packet: Any, arrival_time_ms: int) -> None:
        self.take(packet)

    def take(self, packet: Packet) -> None:
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
        source.add(packet)  # type: ignore[arg-type]
        self.packets += 1
        self.heard_s = time.monotonic()
        self._on_packet(self._number, coding, packet)

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

    def push(self, coding: str, sequence: int, timestamp: int, payload: bytes, marker: int = 0) -> bool:
        """A packet out; False where nobody is connected or the coding was not agreed on."""
        code = self.payload_types.get(coding)
        pair = self.transport.transport._connection._nominated.get(1)
        if code is None or pair is None or self.transport._state is not State.CONNECTED:
            return False
        header = _HEADER.pack(0x80, marker << 7 | code, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, self._ssrc)
        pair.protocol.transport.sendto(self.transport._tx_srtp.protect(header + payload), pair.remote_addr)
        self.packets += 1
        return True

    def forward(self, coding: str, packet: Packet) -> bool:
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
        return self.push(coding, self._sequence, self._timestamp, packet.payload, packet.marker)


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


class _Intake:
    """Stands before aiortc where one connection's datagrams come in, and takes those with media."""

    def __init__(self, transport: RTCDtlsTransport) -> None:
        self._transport = transport
        self._receivers: dict[int, PacketReceiver] = {}
        for protocol in transport.transport._connection._protocols:
            vars(protocol)["datagram_received"] = self._before(protocol.datagram_received)

    def _before(self, others: Callable[[bytes, Any], None]) -> Callable[[bytes, Any], None]:
        def datagram_received(data: bytes, address: Any) -> None:
            if not LEAST_DATAGRAM <= len(data) <= MOST_DATAGRAM:
                return
            # RFC 7983: 128 to 191 is RTP or RTCP; RFC 5761, 4: which of them, by the payload type.
            if 128 <= data[0] < 192 and not 64 <= data[1] & 0x7F < 96:
                self._take(data)
            else:
                others(data, address)

        return datagram_received

    def _take(self, data: bytes) -> None:
        session = self._transport._rx_srtp
        if session is None or self._transport._state is not State.CONNECTED:
            return
        try:
            plain = session.unprotect(data)
            first, marked, sequence, timestamp, ssrc = _HEADER.unpack_from(plain)
            payload = plain[12:] if first == 0x80 else payload_of(plain)
            receiver = self._receivers.get(ssrc) or self._route(plain, ssrc)
        except (pylibsrtp.Error, ValueError, struct.error):
            return  # forged, replayed or cut off
        if receiver is not None:
            receiver.take(Packet(marked & 0x7F, marked >> 7, sequence, timestamp, ssrc, payload))

    def _route(self, plain: bytes, ssrc: int) -> PacketReceiver | None:
        """A source that is new: whose it is may stand in its header's extension."""
        packet = RtpPacket.parse(plain, self._transport._rtp_header_extensions_map)
        found: Any = self._transport._rtp_router.route_rtp(packet)
        if found is not None:
            self._receivers[ssrc] = found
        return found  # type: ignore[no-any-return]


def _swap(transceiver: RTCRtpTransceiver, track: int, on_packet: OnPacket) -> tuple[PacketReceiver, PacketSender]:
    """Our receiver and sender instead of aiortc's, before they start: the one place that knows where they are."""
    receiver = PacketReceiver(transceiver.receiver, transceiver.sender._ssrc, track, on_packet)
    sender = PacketSender(transceiver.sender)
    vars(transceiver)["_RTCRtpTransceiver__receiver"] = receiver
    vars(transceiver)["_RTCRtpTransceiver__sender"] = sender
    assert transceiver.receiver is receiver  # type: ignore[comparison-overlap]
    assert transceiver.sender is sender  # type: ignore[comparison-overlap]
    return receiver, sender


def _nothing(track: int, coding: Coding, packet: Packet) -> None:
    pass


class Peer:
    """One WebRTC connection. on_state: "connected", "failed" or "closed" as they come."""

    def __init__(
        self,
        on_packet: OnPacket = _nothing,
        on_state: Callable[[str], None] = lambda state: None,
        ways: Ways = Ways(),
    ) -> None:
        self._ways = ways
        # Each section has its own transport until the offer says that they are bundled.
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=ways.servers, bundlePolicy=RTCBundlePolicy.MAX_COMPAT)
        )
        self._on_packet = on_packet
        self._on_state = on_state
        self._connection.on("connectionstatechange", self._changed)
        self.receivers: list[PacketReceiver] = []
        self.senders: list[PacketSender] = []
        self._transports: list[RTCDtlsTransport] = []
        self._intakes: list[_Intake] = []

    def _changed(self) -> None:
        if self.state in ("connecting", "connected") and not self._intakes:
            self._intakes = [_Intake(one) for one in {one.transport for one in self.receivers}]
        self._on_state(self.state)

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
        if not self._ways.are_plain:
            prepare(receiver.transport.transport._connection, self._ways)
        self.receivers.append(receiver)
        self.senders.append(sender)

    async def answer(self, offer: Offer, sends: bool = False) -> str:
        """Takes an offer; returns the answer, with all our candidates. sends: we have audio for them, too.

        Raises RefusedOffer, CapacityError where no port is free.
        """
        for codings in offer.codings:
            self._add("sendrecv" if sends else "recvonly", codings)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
            for transceiver in self._connection.getTransceivers():
                if not isinstance(transceiver.receiver.transport._rtp_router, _Router):
                    transceiver.receiver.transport._rtp_router = _Router()
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except CapacityError:
            raise
        except Exception as error:
            # aiortc has no error of its own for what it cannot read: all of them come from what was offered.
            raise RefusedOffer(f"SDP: {' '.join(str(error).split()) or type(error).__name__}"[:200]) from None
        return with_rejected(self._connection.localDescription.sdp, offer.rejected)

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

    async def vanish(self) -> None:
        """As if the cable had been pulled: no word of farewell."""
        for one in self._transports:
            await one.transport.stop()

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

    def push(self, coding: Coding, packet: Packet) -> None:
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
