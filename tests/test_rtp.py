"""The media plane over real sockets: ports, latching, reports, SRTP, floods; and live equals offline."""

import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import scipy.signal
from pylibsrtp import Policy, Session
from test_receiver import PAYLOADS, alaw, noise, packet, split, tone
from vocal_kernels import _native

from vocal.config import Config, PlayoutConfig, RtpConfig
from vocal.demo import call_path
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.errors import CapacityError, MediaError, UsageError
from vocal.live import Live
from vocal.playout import Played, Playout
from vocal.replays.pace import Faults
from vocal.replays.rtp import RtpSender, coded_packets
from vocal.transports.files import open_call
from vocal.transports.opus import DTX_BYTES, OpusEncoder
from vocal.transports.rtp import G729, OPUS, PCMA, MediaEvent, MediaPlane, RtpStream
from vocal.transports.srtp import SUITES, SrtpKeys, Suite, inline, new_key, parse_inline
from vocal.types import Call, CallEnded, Channel, Event, Levels, LiveEvent, Metadata

pytestmark = pytest.mark.flaky(reruns=2)


@pytest.fixture
def plane() -> Iterator[MediaPlane]:
    made = MediaPlane(RtpConfig(first_port=0, threads=1, timeout_s=0.4, report_s=0.3), _native.Clock(1.0))
    yield made
    made.close()


def until(what: Callable[[], Any], most_s: float = 10.0) -> Any:
    end = time.monotonic() + most_s
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def opened(plane: MediaPlane, **more: Any) -> RtpStream:
    return plane.open(Playout(), PAYLOADS, **{"host": "127.0.0.1", **more})


class Telephone:
    """A socket that sends to a stream."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(5.0)
        self.address = self.socket.getsockname()[:2]
        self.number = 0

    def send(self, stream: RtpStream, count: int = 1, **more: Any) -> None:
        for _ in range(count):
            self.raw(packet(self.number, 160 * self.number, noise(1, self.number), **more), stream.port)
            self.number += 1

    def raw(self, data: bytes, port: int) -> None:
        self.socket.sendto(data, (self.address[0], port))


@pytest.fixture
def telephones() -> Iterator[Callable[..., Telephone]]:
    made: list[Telephone] = []

    def make(host: str = "127.0.0.1") -> Telephone:
        made.append(Telephone(host))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


Telephones = Callable[..., Telephone]


def test_ports_are_even_and_rtcps_is_the_next(plane: MediaPlane) -> None:
    streams = [opened(plane) for _ in range(5)]
    assert all(one.port % 2 == 0 and one.rtcp_port == one.port + 1 for one in streams)
    muxed = opened(plane, mux=True)
    assert muxed.rtcp_port == muxed.port
    assert len({one.port for one in plane.streams}) == 6


def test_ports_run_out_and_come_back() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        first = min(probe.getsockname()[1] & ~1, 65000)
    plane = MediaPlane(RtpConfig(first_port=first, last_port=first + 39, threads=1), _native.Clock(1.0))
    streams: list[RtpStream] = []

    def open_all() -> None:
        while len(streams) < 21:
            streams.append(opened(plane))

    with pytest.raises(CapacityError, match=rf"no RTP port is left of {first}-{first + 39}") as caught:
        open_all()
    assert caught.value.retry_after_s > 0
    assert len(streams) >= 10
    streams[3].close()
    assert opened(plane).port == streams[3].port
    plane.close()


def test_a_host_that_is_not_ours(plane: MediaPlane) -> None:
    for host in ("192.0.2.1", "localhost.example"):
        with pytest.raises(UsageError, match="RTP on"):
            opened(plane, host=host)


def test_files_run_out(plane: MediaPlane) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 11, before[1]))
    streams: list[RtpStream] = []

    def open_all() -> None:
        while len(streams) < 21:
            streams.append(opened(plane))

    try:
        with pytest.raises(CapacityError, match="open files"):
            open_all()
        streams[0].close()
        opened(plane)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(streams) >= 4


def test_the_first_source_is_followed_and_strays_are_refused(plane: MediaPlane, telephones: Telephones) -> None:
    stream = opened(plane)
    one, other = telephones(), telephones()
    one.raw(b"\x80junk", stream.port)
    one.send(stream, payload_type=77)
    other.raw(packet(0, 0, bytes(160), payload_type=76), stream.port)  # nobody is followed for that
    one.send(stream, 3)
    until(lambda: stream.counts.packets == 3)
    other.send(stream, 4, ssrc=8)
    until(lambda: stream.counts.strays == 4)
    assert stream.counts.packets == 3
    assert stream.counts.source == f"127.0.0.1:{one.address[1]}"
    # A new offer: it is learnt anew.
    stream.update(remote=other.address)
    other.send(stream, 2, ssrc=8)
    until(lambda: stream.counts.packets >= 4)
    one.send(stream, 2)
    until(lambda: stream.counts.strays == 6)


def test_whom_signalling_named_comes_before_all_others(plane: MediaPlane, telephones: Telephones) -> None:
    named, other = telephones(), telephones()
    stream = opened(plane, remote=named.address)
    other.send(stream, 2, ssrc=8)
    until(lambda: stream.counts.packets == 2)  # as from behind a NAT
    named.number = 500
    named.send(stream, 3)
    until(lambda: stream.counts.source.endswith(str(named.address[1])))
    other.send(stream, 3, ssrc=8)
    until(lambda: stream.counts.strays == 3)
    assert [event.kind for event in plane.take_events() if event.kind == "moved"] == ["moved"]


def test_nobody_but_who_was_named() -> None:
    plane = MediaPlane(RtpConfig(first_port=0, threads=1, latches=False), _native.Clock(1.0))
    named, other = Telephone(), Telephone()
    stream = opened(plane, remote=named.address)
    other.send(stream, 3)
    named.send(stream, 2)
    until(lambda: stream.counts.packets == 2)
    assert stream.counts.strays == 3
    plane.close()
    for one in (named, other):
        one.socket.close()


def test_ipv6(plane: MediaPlane, telephones: Telephones) -> None:
    try:
        telephone = telephones("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    stream = opened(plane, host="::1", remote=("::1", telephone.address[1]))
    telephone.send(stream, 3)
    until(lambda: stream.counts.packets == 3)


def test_silence_is_told_and_so_is_its_end(plane: MediaPlane, telephones: Telephones) -> None:
    stream, held, telephone = opened(plane), opened(plane), telephones()
    held.update(is_held=True)
    telephone.send(stream, 2)
    events: list[MediaEvent] = []
    until(lambda: events.extend(plane.take_events()) or events)
    assert [(one.kind, one.stream) for one in events] == [("timeout", stream)]
    telephone.send(stream, 1)
    until(lambda: events.extend(plane.take_events()) or len(events) > 1)
    assert events[1].kind == "resumed"


def sender_report(ssrc: int, ntp_s: float, timestamp: int) -> bytes:
    ntp = int((ntp_s + 2_208_988_800) * 2**32)
    return struct.pack("!BBHIQIII", 0x80, 200, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, 0, 0)


def test_reports_both_ways(plane: MediaPlane, telephones: Telephones) -> None:
    stream, telephone = opened(plane), telephones()
    for n in range(20):
        if n not in (5, 6):
            telephone.raw(packet(n, 160 * n, bytes(160)), stream.port)
        time.sleep(0.005)
    until(lambda: stream.counts.packets == 18)
    sent_s = time.time()
    telephone.raw(sender_report(7, sent_s, 160 * 19), stream.rtcp_port)
    telephone.raw(b"\x80\xc8\x00\x06" + bytes(10), stream.rtcp_port)
    until(lambda: stream.counts.sender_reports == 1 and stream.counts.rtcp_malformed == 1)
    # It was said to be sent now, and came when it came.
    assert -200.0 < stream.counts.transit_ms < 200.0
    data = b""
    while len(data) < 32 or data[24:28] == bytes(4):  # until one knows of our report
        data = telephone.socket.recv(2000)
    assert data[:2] == b"\x81\xc9"
    about, lost, highest, jitter, last, delay = struct.unpack("!IIIIII", data[8:32])
    assert about == 7
    assert lost & 0xFFFFFF == 2
    assert highest == 19
    assert jitter > 0
    assert last == (int((sent_s + 2_208_988_800) * 2**32) >> 16) & 0xFFFFFFFF
    assert 0 < delay < 65536 * 5
    assert b"vocal-" in data[32:]
    telephone.raw(sender_report(7, sent_s, 0) + struct.pack("!BBHI", 0x81, 203, 1, 7), stream.rtcp_port)
    until(lambda: any(event.kind == "bye" for event in plane.take_events()))


def test_strangers_reports_are_refused(plane: MediaPlane, telephones: Telephones) -> None:
    stream, stranger = opened(plane), telephones("127.0.0.2")
    telephones().send(stream, 1)
    until(lambda: stream.counts.packets == 1)
    stranger.socket.sendto(sender_report(7, 0.0, 0), ("127.0.0.1", stream.rtcp_port))
    until(lambda: stream.counts.strays == 1)
    assert stream.counts.rtcp == 0


def test_stun_and_other_things_at_the_port(plane: MediaPlane, telephones: Telephones) -> None:
    stream, telephone = opened(plane), telephones()
    telephone.raw(struct.pack("!HHI12s", 1, 0, 0x2112A442, bytes(12)), stream.port)
    telephone.raw(b"OPTIONS sip:x SIP/2.0\r\n\r\n", stream.port)
    telephone.raw(b"", stream.port)
    telephone.raw(packet(0, 0, bytes(3000)), stream.port)
    until(lambda: stream.counts.stun == 1 and stream.counts.malformed == 3)


def test_what_came_at_once_is_taken_to_the_last_packet(plane: MediaPlane, telephones: Telephones) -> None:
    """More than a turn takes, and nothing behind it that would tell of the rest."""
    stream, sender = opened(plane), telephones()
    for number in range(80):
        sender.raw(packet(number, number * 160, bytes(160)), stream.port)
    until(lambda: stream.counts.packets == 80)


def test_a_flood_at_one_port_does_not_hold_up_another(plane: MediaPlane, telephones: Telephones) -> None:
    flooded, other = opened(plane), opened(plane)
    owner, stranger, telephone = telephones(), telephones(), telephones()
    owner.send(flooded, 1)
    until(lambda: flooded.counts.packets == 1)
    for n in range(20):
        for _ in range(300):
            stranger.raw(packet(n, n, bytes(160)), flooded.port)
        telephone.send(other, 1)
    until(lambda: other.counts.packets == 20)
    assert flooded.counts.packets == 1


def test_a_closed_streams_port_is_free_and_its_playout_closed(plane: MediaPlane, telephones: Telephones) -> None:
    stream = opened(plane)
    telephones().send(stream, 1)
    until(lambda: stream.counts.packets == 1)
    stream.close()
    stream.close()
    assert stream.counts.packets == 1
    stream.update(remote=("127.0.0.1", 9), is_held=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", stream.port))
    assert plane.streams == []


def test_many_are_torn_down_at_once(plane: MediaPlane) -> None:
    for _ in range(3):
        streams = [opened(plane, mux=True) for _ in range(300)]
        sender = RtpSender("127.0.0.1", own_ports=False)
        recording = split(noise(20))
        for stream in streams:
            sender.add(recording, ("127.0.0.1", stream.port), 8)
        sender.start()
        time.sleep(0.1)
        for stream in streams:
            stream.close()
        sender.stop()
    assert plane.streams == []


@pytest.mark.parametrize("suite", SUITES)
def test_srtp(plane: MediaPlane, telephones: Telephones, suite: Suite) -> None:
    """Against pylibsrtp's own sessions."""
    theirs, ours = new_key(), new_key()
    profile = getattr(Policy, f"SRTP_PROFILE_AES128_CM_SHA1_{suite[-2:]}")
    out = Session(Policy(theirs, Policy.SSRC_ANY_OUTBOUND, 0, profile))
    back = Session(Policy(ours, Policy.SSRC_ANY_INBOUND, 0, profile))
    stream, telephone, stranger = opened(plane, keys=SrtpKeys(theirs, ours, suite)), telephones(), telephones()
    for n in range(5):
        telephone.raw(out.protect(packet(n, 160 * n, noise(1, n))), stream.port)
    until(lambda: stream.counts.packets == 5)
    replayed = out.protect(packet(5, 800, noise(1)))
    for data in (replayed, replayed, packet(6, 960, bytes(160)), b"\x80\x08" + bytes(8)):
        stranger.raw(data, stream.port)
    until(lambda: stream.counts.unauthenticated == 3)
    assert stream.counts.packets == 6
    # The same keys again: their packets' count goes on.
    stream.update(keys=SrtpKeys(theirs, ours, suite))
    telephone.raw(replayed, stream.port)
    until(lambda: stream.counts.unauthenticated == 4)
    telephone.raw(out.protect_rtcp(sender_report(7, time.time(), 0)), stream.rtcp_port)
    telephone.raw(sender_report(7, time.time(), 0), stream.rtcp_port)
    until(lambda: stream.counts.sender_reports == 1 and stream.counts.unauthenticated == 5)
    data = telephone.socket.recv(2000)
    assert back.unprotect_rtcp(data)[:2] == b"\x81\xc9"
    other = new_key()
    stream.update(keys=SrtpKeys(other, None, suite))
    again = Session(Policy(other, Policy.SSRC_ANY_OUTBOUND, 0, profile))
    telephone.raw(again.protect(packet(9, 1440, noise(1))), stream.port)
    until(lambda: stream.counts.packets == 7)


def test_keys_of_sdes() -> None:
    key = bytes(range(30))
    assert parse_inline(inline(key)) == key
    assert parse_inline(f"{inline(key)}|2^20") == key
    for wrong in ("", "inline:", "inline:AAAA", "inline:####", f"other:{inline(key)[7:]}", f"{inline(key)}|2^20|1:4"):
        with pytest.raises(MediaError, match="crypto"):
            parse_inline(wrong)
    with pytest.raises(UsageError, match="wanted 30 bytes, got 16"):
        MediaPlane(RtpConfig(first_port=0, threads=1), _native.Clock(1.0)).open(
            Playout(), PAYLOADS, host="127.0.0.1", keys=SrtpKeys(bytes(16))
        )


@pytest.mark.parametrize("name", ["opus", "g729"])
def test_what_pyav_decodes(plane: MediaPlane, telephones: Telephones, name: str) -> None:
    if name == "opus":
        codec: Any = av.CodecContext.create("libopus", "w")
        codec.sample_rate, codec.layout, codec.format = 48000, "mono", "s16"
        wide = scipy.signal.resample_poly(tone(), 6, 1)
        frame = av.AudioFrame.from_ndarray((wide * 32767).astype(np.int16).reshape(1, -1), "s16", "mono")
        frame.sample_rate = 48000
        payloads, step, number = [bytes(one) for one in codec.encode(frame)], 960, 111
    else:
        payloads, step, number = [bytes(range(20))] * 50, 160, 18
    stream, telephone = plane.open(Playout(), {111: OPUS, 18: G729}, host="127.0.0.1"), telephones()
    order = list(range(50))
    order[20], order[21] = 21, 20
    out = np.zeros((75, 160, 1), np.float32)
    clock = _native.Clock(1.0)
    for k in range(75):
        if k < 50:
            telephone.raw(packet(order[k], step * order[k], payloads[order[k]], number), stream.port)
        time.sleep(0.02)
        stream.playout.pull(clock.now_ms(), out[k], 0)
    counts = stream.playout.counts
    assert counts.received == 50
    assert counts.lost == 0
    assert stream.undecodable == 0
    if name == "opus":
        assert np.sqrt(np.nanmean(out[10:45] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)
    telephone.raw(packet(50, step * 50, b"\xff" * 7, number), stream.port)
    until(lambda: stream.undecodable == 1)


def test_the_sender_sends_what_it_says(plane: MediaPlane) -> None:
    streams = [opened(plane) for _ in range(3)]
    theirs = new_key()
    streams[2].update(keys=SrtpKeys(theirs))
    sender = RtpSender("127.0.0.1", report_s=0.5)
    recording = split(noise(50))
    for n, stream in enumerate(streams):
        srtp = SrtpKeys(new_key(), theirs) if n == 2 else None
        to = ("127.0.0.1", stream.port)
        sender.add(recording, to, 8, faults=Faults(loss=0.1 * n), keys=[(10, "4")], seed=n + 1, srtp=srtp)
    sender.start()
    sender.wait()
    counts = sender.counts
    until(lambda: sum(one.counts.packets for one in streams) == counts.packets)
    assert len(sender.lost(0)) == 0 < len(sender.lost(1)) < 15
    assert counts.lost == sum(len(sender.lost(n)) for n in range(3))
    assert counts.packets == 3 * 52 - counts.lost
    assert {event.key for event in plane.take_events() if event.kind == "key"} == {"4"}
    assert all(one.counts.sender_reports > 0 for one in streams)
    assert counts.reports > 0
    transits = [one.counts.transit_ms for one in streams]
    assert np.ptp(transits) < 15.0  # the legs of one sender are together


# The line


def test_rtp_of_a_recording_gives_the_events_of_the_recording() -> None:
    """G.711 through real sockets, against the line of `vocal analyze`."""
    with open_call(call_path()) as source:
        pcm = source.read(14 * 8000)
    model = EmotionModel()
    channels = (Channel(0, "agent"), Channel(1, "customer"))
    call = Call("c", "test", "test", "2026-01-01T00:00:00+00:00", channels, Metadata(notice=True))
    coded = [coded_packets(pcm[:, column], PCMA) for column in (0, 1)]
    offline: list[Event] = []
    engine = Engine(offline.append, emotion=model)
    engine.open(call)
    engine.push("c", np.stack([alaw(b"".join(one)) for one in coded], axis=1))
    engine.end("c", "hangup")
    while engine.advance():
        pass

    events: list[LiveEvent] = []
    live = Live(events.extend, Config(playout=PlayoutConfig(lag_ms=400.0)), model)  # this machine has much to do
    plane = MediaPlane(RtpConfig(first_port=0, threads=1), live.media_clock)
    live.start()
    try:
        live.open(call)
        streams = [plane.open(live.attach("c", channel), {8: PCMA}, host="127.0.0.1") for channel in (0, 1)]
        sender = RtpSender("127.0.0.1")
        for column, stream in enumerate(streams):
            sender.add(coded[column], ("127.0.0.1", stream.port), 8, faults=Faults(jitter_ms=40.0), seed=column + 1)
        sender.start()
        sender.wait()
        until(lambda: all(stream.counts.packets == len(coded[0]) for stream in streams))
        assert sum(stream.playout.counts.lost + stream.playout.counts.late for stream in streams) == 0
        live.end("c", "hangup")
        until(lambda: events and isinstance(events[-1], CallEnded), 60.0)
    finally:
        plane.close()
        live.stop()
    assert [event for event in events if not isinstance(event, Levels)] == offline


def test_opus_that_leaves_out_silence_loses_nothing(plane: MediaPlane, telephones: Telephones) -> None:
    encoder = OpusEncoder(dtx=True)
    said = np.concatenate([tone()[: 40 * 160], np.zeros(60 * 160, np.float32), tone()[: 20 * 160]])
    payloads = [encoder.encode(piece) for piece in said.reshape(-1, 160)]
    stream, telephone = plane.open(Playout(), {111: OPUS}, host="127.0.0.1"), telephones()
    clock, out, played, number = _native.Clock(1.0), np.zeros((160, 1), np.float32), [], 0
    for k, payload in enumerate(payloads):
        # As senders do: of a silence its first packet, and then one now and again.
        if len(payload) > DTX_BYTES or len(payloads[k - 1]) > DTX_BYTES or k % 20 == 0:
            telephone.raw(packet(number, 960 * k, payload, 111), stream.port)
            number += 1
        time.sleep(0.02)
        played.append(stream.playout.pull(clock.now_ms(), out, 0)[0])
    counts = stream.playout.counts
    assert counts.lost == 0
    assert counts.dtx >= 1
    assert played.count(Played.SILENT) > 20
