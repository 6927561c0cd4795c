"""RTP: the Python face of the native media plane. Packets go from sockets into playouts without Python.

plane = MediaPlane(config.rtp, live.media_clock)
stream = plane.open(live.attach(call, 0), {8: PCMA, 101: KEYS}, host="0.0.0.0", remote=("192.0.2.1", 4000))
... stream.port into the SDP; a few times a second plane.take_events(); at the end stream.close()
"""

import math
import os
import resource
import threading
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from vocal_kernels import _native

from vocal.config import PlayoutConfig, RtpConfig
from vocal.errors import CapacityError, UsageError
from vocal.playout import Playout
from vocal.transports.codecs import Coded, Decoder, G729Decoder, InOrder
from vocal.transports.opus import OpusDecoder
from vocal.transports.srtp import SrtpKeys, new_session

CodingName = Literal["pcmu", "pcma", "l16", "g722", "cn", "telephone-event", "opus", "g729"]


class Coding(msgspec.Struct, frozen=True):
    """What a payload type carries, by its SDP name in small letters. clock_hz: of its timestamps."""

    name: CodingName
    clock_hz: int = 8000


PCMU, PCMA, G722, G729 = Coding("pcmu"), Coding("pcma"), Coding("g722"), Coding("g729")
OPUS = Coding("opus", 48000)
COMFORT_NOISE, KEYS = Coding("cn"), Coding("telephone-event")
STATIC_PAYLOADS: Mapping[int, Coding] = {0: PCMU, 8: PCMA, 9: G722, 13: COMFORT_NOISE, 18: G729}
"""Payload types that need no rtpmap (RFC 3551, 6)."""

_CLOCKS = {
    "pcmu": (8000,),
    "pcma": (8000,),
    "g722": (8000,),
    "g729": (8000,),
    "opus": (48000,),
    "l16": (8000, 16000),
    "cn": (8000, 16000, 48000),
    "telephone-event": (8000, 16000, 48000),
}


_ASIDE: Mapping[CodingName, Callable[[], Decoder]] = {"opus": OpusDecoder, "g729": G729Decoder}
DECODE_EVERY_S = 0.01


def coding_of(name: str, clock_hz: int, channels: int = 1) -> Coding | None:
    """The coding that an rtpmap names; None for one that we do not take."""
    name = name.lower()
    if clock_hz not in _CLOCKS.get(name, ()) or (channels != 1 and name != "opus"):
        return None
    return Coding(name, clock_hz)  # type: ignore[arg-type]


class StreamCounts(msgspec.Struct, frozen=True):
    """What came to a stream's port. The playout's own counts say what of it was lost, late or a duplicate.

    strays: from an address that is not the stream's. other_source: of a second SSRC while the first one sends.
    masked: audio while a key sounded. transit_ms: from the sender's wall clock, by its reports, to ours, NaN where it
    says nothing; its difference is how far two legs of one sender are apart. source: HOST:PORT that packets come from.
    """

    packets: int = 0
    octets: int = 0
    lost: int = 0
    jitter_ms: float = 0.0
    malformed: int = 0
    unknown_payload: int = 0
    strays: int = 0
    unauthenticated: int = 0
    other_source: int = 0
    sources: int = 0
    payload_changes: int = 0
    comfort_noise: int = 0
    keys: int = 0
    masked: int = 0
    held: int = 0
    aside_dropped: int = 0
    rtcp: int = 0
    rtcp_malformed: int = 0
    sender_reports: int = 0
    reports_sent: int = 0
    transit_ms: float = math.nan
    stun: int = 0
    ssrc: int = 0
    source: str = ""


EventKind = Literal["key", "timeout", "resumed", "ssrc", "moved", "bye"]
_KINDS: tuple[EventKind, ...] = ("key", "timeout", "resumed", "ssrc", "moved", "bye")


class MediaEvent(msgspec.Struct, frozen=True):
    """Something that happened on a stream.

    key: a key was pressed, `key` and its `duration_ms`. timeout: nothing came for a while; resumed: it does again.
    ssrc: another source speaks. moved: packets come from another address, `detail`. bye: the sender said goodbye.
    """

    stream: "RtpStream"
    kind: EventKind
    at_ms: float
    key: str = ""
    duration_ms: float = 0.0
    detail: str = ""


class RtpStream:
    """One stream that is received; `MediaPlane.open` makes it. port, rtcp_port: where it is to be sent."""

    def __init__(
        self,
        native: _native.Stream,
        plane: "MediaPlane",
        playout: Playout,
        payloads: Mapping[int, Coding],
        keys: SrtpKeys | None,
    ) -> None:
        self._native = native
        self._plane = plane
        self._payloads = dict(payloads)
        self._keys = keys
        self._orders: dict[CodingName, InOrder] = {}
        self.playout = playout
        self.number: int = native.number
        self.port: int = native.port
        self.rtcp_port: int = native.rtcp_port

    def update(
        self,
        remote: tuple[str, int] | None = None,
        payloads: Mapping[int, Coding] | None = None,
        keys: SrtpKeys | None = None,
        is_held: bool | None = None,
    ) -> None:
        """What a new offer says; None: as before. remote: the source is learnt anew. is_held: what comes is music."""
        if remote is not None:
            self._native.set_remote(remote)
        if payloads is not None:
            self._native.set_payloads(_given(payloads))
            self._payloads = dict(payloads)
            self._plane.look_aside(self)
        if keys is not None and keys != self._keys:
            # The same keys again go on as they are: their packets' count is part of the cipher.
            self._native.set_keys(_sessions(keys))
            self._keys = keys
        if is_held is not None:
            self._native.set_held(is_held)

    @property
    def counts(self) -> StreamCounts:
        return StreamCounts(**self._native.counts())

    @property
    def is_aside(self) -> bool:
        """Whether some of it is decoded here, not in the native part."""
        return any(coding.name in _ASIDE for coding in self._payloads.values())

    @property
    def undecodable(self) -> int:
        return sum(one.undecodable for one in list(self._orders.values()))

    def decode(self, now_ms: float) -> None:
        """What was set aside for PyAV since the last time."""
        for payload_type, sequence, timestamp, ssrc, arrival_ms, payload in self._native.take_aside():
            coding = self._payloads.get(payload_type)
            if coding is None or coding.name not in _ASIDE:
                continue
            if coding.name not in self._orders:
                decoder = _ASIDE[coding.name]()
                self._orders[coding.name] = InOrder(decoder, self._play, self._plane.wait_ms, 8000)
            self._orders[coding.name].push(Coded(sequence, timestamp, ssrc, payload, arrival_ms))
        for order in self._orders.values():
            order.release(now_ms)

    def _play(self, packet: Coded, samples: NDArray[np.float32]) -> None:
        self.playout.push(packet.sequence, packet.timestamp, samples, packet.arrival_ms, packet.ssrc)

    def close(self) -> None:
        """Its ports are free again, and its playout is closed: what waits is played."""
        self._plane.forget(self)
        self._native.close()
        self.playout.close()


class MediaPlane:
    """The receiving threads. All calls may come from any thread. clock: `Live.media_clock`; playout: of its playouts.

    Opus and G.729 are decoded in a thread of Python's, 10 ms late at most; all else is native.
    """

    def __init__(self, config: RtpConfig, clock: _native.Clock, playout: PlayoutConfig = PlayoutConfig()) -> None:
        self._config = config
        _want_sockets(2 * (config.last_port - config.first_port))
        threads = config.threads or min(4, len(os.sched_getaffinity(0)))
        self._native = _native.Plane(clock, threads, config.first_port, config.last_port, config.receive_bytes)
        self._name = f"vocal-{os.urandom(6).hex()}"
        self._clock = clock
        self.wait_ms = max(0.0, playout.lag_ms - 25.0)  # for a missing packet, before decoding
        self._streams: dict[int, RtpStream] = {}
        self._aside: dict[int, RtpStream] = {}
        self._decoding: threading.Thread | None = None
        self._closed = threading.Event()

    @property
    def numbers(self) -> list[int]:
        """The system's, of the native threads."""
        found: list[int] = self._native.numbers
        return found

    def open(
        self,
        playout: Playout,
        payloads: Mapping[int, Coding],
        *,
        host: str,
        remote: tuple[str, int] | None = None,
        keys: SrtpKeys | None = None,
        mux: bool = False,
    ) -> RtpStream:
        """A port on `host`, an address of ours, whose packets go into `playout`, which has a clock of 8000 Hz.

        remote: where they are said to come from; None, or behind a NAT: the first valid source is followed. mux: RTCP
        on the same port (RFC 5761). Raises CapacityError where no port is left, UsageError for a host that is not ours.
        """
        try:
            native = self._native.open(
                playout.native,
                _given(payloads),
                host,
                remote or ("", 0),
                _sessions(keys),
                mux,
                1000.0 * self._config.timeout_s,
                1000.0 * self._config.report_s,
                self._name,
                self._config.latches,
            )
        except ValueError as error:
            raise UsageError(f"RTP on {host}: {error}") from None
        except RuntimeError as error:
            # The system's own bounds: of open files, or of memory.
            raise CapacityError(f"RTP on {host}: {error}", 10.0) from None
        if native is None:
            ports = f"{self._config.first_port}-{self._config.last_port}"
            raise CapacityError(f"no RTP port is left of {ports} (settings [rtp])", 10.0)
        stream = RtpStream(native, self, playout, payloads, keys)
        self._streams[stream.number] = stream
        self.look_aside(stream)
        return stream

    def take_events(self) -> list[MediaEvent]:
        """What happened since the last time; to be called a few times a second."""
        return [
            MediaEvent(self._streams[number], _KINDS[kind], *rest)
            for number, kind, *rest in self._native.take_events()
            if number in self._streams
        ]

    @property
    def streams(self) -> list[RtpStream]:
        return list(self._streams.values())

    @property
    def cpu_s(self) -> float:
        """CPU time of the receiving threads."""
        return float(self._native.cpu_s)

    def look_aside(self, stream: RtpStream) -> None:
        if stream.is_aside:
            self._aside[stream.number] = stream
            if self._decoding is None:
                self._decoding = threading.Thread(target=self._decode, name="vocal-decode", daemon=True)
                self._decoding.start()

    def _decode(self) -> None:
        _native.name_thread("vocal-decode")
        while not self._closed.wait(DECODE_EVERY_S):
            now_ms = self._clock.now_ms()
            for stream in list(self._aside.values()):
                stream.decode(now_ms)

    def forget(self, stream: RtpStream) -> None:
        self._streams.pop(stream.number, None)
        self._aside.pop(stream.number, None)

    def close(self) -> None:
        """Every stream, and the threads."""
        for stream in self.streams:
            stream.close()
        self._closed.set()
        if self._decoding is not None:
            self._decoding.join()
        self._native.close()


def _want_sockets(count: int) -> None:
    """As many open files as the system gives, up to this: 1,024 are usual, and are 500 streams."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1000 if most == resource.RLIM_INFINITY else min(count + 1000, most)
    if least != resource.RLIM_INFINITY and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _given(payloads: Mapping[int, Coding]) -> list[tuple[int, str, int]]:
    return [(number, coding.name, coding.clock_hz) for number, coding in payloads.items()]


def _sessions(keys: SrtpKeys | None) -> tuple[int, int]:
    if keys is None:
        return 0, 0
    theirs = new_session(keys.theirs, keys.suite, is_inbound=True)
    return theirs, new_session(keys.ours, keys.suite, is_inbound=False) if keys.ours is not None else 0
