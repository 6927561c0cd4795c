"""RTP out: recordings as streams of packets, one or thousands, with what goes wrong on the way. Native threads send.

sender = RtpSender("127.0.0.1")
flow = sender.add(coded_packets(pcm[:, 0], PCMA), ("127.0.0.1", 20000), 8, PCMA, faults=Faults(loss=0.05))
sender.start(); sender.wait(); sender.counts
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import av
import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray
from vocal_kernels import RATE_HZ, _native

from vocal.errors import InputError, UsageError
from vocal.replays.dialects import encoded
from vocal.replays.pace import Faults, Recording
from vocal.transports.rtp import PCMA, STATIC_PAYLOADS, Coding
from vocal.transports.srtp import SrtpKeys, new_session

PTIME_MS = 20
KEY_CODES = "0123456789*#ABCD"


class SenderCounts(msgspec.Struct, frozen=True):
    """lost: left out on purpose; missed: of them, those that a receiver knows of by what came behind. silent: not
    sent, as nothing was said. refused: by the system. late: more than 20 ms after their time; most_late_ms: the worst.
    reports: that came."""

    packets: int = 0
    octets: int = 0
    lost: int = 0
    missed: int = 0
    silent: int = 0
    refused: int = 0
    late: int = 0
    most_late_ms: float = 0.0
    reports: int = 0
    cpu_s: float = 0.0


def coded_packets(pcm: NDArray[np.float32], coding: Coding, ptime_ms: int = PTIME_MS) -> list[bytes]:
    """Audio (n,) at 8 kHz as payloads of `ptime_ms`; the last one is filled up with silence."""
    samples = RATE_HZ * ptime_ms // 1000
    whole = np.zeros((-(-len(pcm) // samples) * samples, 1), np.float32)
    whole[: len(pcm), 0] = pcm
    if coding.name in ("pcma", "pcmu"):
        coded, size = encoded(whole, "alaw" if coding.name == "pcma" else "mulaw"), samples
    elif coding.name == "l16" and coding.clock_hz == RATE_HZ:
        little = np.frombuffer(encoded(whole, "pcm_s16le"), "<i2")
        coded, size = little.astype(">i2").tobytes(), 2 * samples
    elif coding.name == "g722":
        coded, size = _g722(whole[:, 0]), samples
    else:
        raise UsageError(f"coding: wanted pcma, pcmu, l16 at 8 kHz or g722, got {coding.name} at {coding.clock_hz} Hz")
    return [coded[at : at + size] for at in range(0, len(coded), size)]


def _g722(pcm: NDArray[np.float32]) -> bytes:
    wide = soxr.resample(pcm, RATE_HZ, 16000, "VHQ")
    codec: Any = av.CodecContext.create("g722", "w")
    codec.sample_rate, codec.layout, codec.format = 16000, "mono", "s16"
    codes = np.clip(np.round(wide * 32768.0), -32768, 32767).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(codes, "s16", "mono")
    frame.sample_rate = 16000
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


class RtpSender:
    """Streams from `host`. own_ports: each from a port of its own, as telephones have. report_s: 0: no reports. stays:
    streams may be added while it sends, and it sends until it is stopped."""

    def __init__(self, host: str, own_ports: bool = True, report_s: float = 5.0, stays: bool = False) -> None:
        self._native = _native.Sender(host, own_ports, 1000.0 * report_s, stays)
        self._recordings: dict[int, tuple[Sequence[bytes], Any]] = {}

    def add(
        self,
        packets: Sequence[bytes],
        to: tuple[str, int],
        payload_type: int,
        coding: Coding = PCMA,
        *,
        srtp: SrtpKeys | None = None,
        **flow: Any,
    ) -> int:
        """A stream; returns its number. An empty packet is not sent, and the next begins a talkspurt.

        flow: as of `flow_settings`. srtp: its `ours` is what it is sent under. All are added before `start`, unless it
        stays.
        """
        if id(packets) not in self._recordings:
            self._recordings[id(packets)] = packets, _native.Recording(list(packets))
        session = 0
        if srtp is not None:
            if srtp.ours is None:
                raise UsageError("SRTP: wanted a key of ours to send under")
            session = new_session(srtp.ours, srtp.suite, is_inbound=False)
        settings = flow_settings(payload_type, coding, **flow)
        return int(self._native.add(self._recordings[id(packets)][1], to, session, settings))

    def port(self, flow: int) -> int:
        return int(self._native.port(flow))

    def start(self) -> None:
        self._native.start()

    @property
    def start_s(self) -> float:
        """Of time.monotonic, when its times began."""
        return float(self._native.start_s)

    def now_ms(self) -> float:
        return float(self._native.now_ms())

    def wait(self, on_progress: Callable[[], None] = lambda: None) -> None:
        """Until all is sent."""
        while not self._native.is_done:
            time.sleep(0.02)
            on_progress()

    def stop(self) -> None:
        self._native.stop()

    def lost(self, flow: int) -> list[int]:
        """The packets of a stream that were left out, by their number from its beginning."""
        return list(self._native.lost(flow))

    @property
    def counts(self) -> SenderCounts:
        return SenderCounts(**self._native.counts())


def flow_settings(
    payload_type: int,
    coding: Coding,
    *,
    ptime_ms: int = PTIME_MS,
    faults: Faults = Faults(),
    duplicates: float = 0.0,
    first_packet: int = 0,
    count: int = 0,
    start_ms: float = 0.0,
    change_source_at: int = 0,
    keys: Sequence[tuple[int, str]] = (),
    key_payload_type: int = 101,
    noise_payload_type: int | None = None,
    seed: int = 1,
) -> _native.FlowSettings:
    """How a stream is sent.

    duplicates: share of packets that are sent twice. first_packet, count: where it begins, and how many it sends, over
    and over; 0: all of them once. change_source_at: the packet from which another SSRC sends; 0: none. keys: (packet,
    key), which sounds for 100 ms in place of audio. noise_payload_type: of comfort noise, which is sent once where
    packets begin to be empty; None: nothing is.
    """
    settings = _native.FlowSettings()
    settings.payload_type, settings.clock_hz = payload_type, coding.clock_hz
    settings.timestamps = coding.clock_hz * ptime_ms // 1000
    settings.jitter_ms, settings.loss, settings.drift_ppm, settings.reorder = faults
    settings.duplicates = duplicates
    settings.first_packet, settings.packets, settings.start_ms = first_packet, count, start_ms
    settings.change_source_at = change_source_at
    settings.keys = [(at, KEY_CODES.index(key)) for at, key in sorted(keys)]
    settings.key_payload_type = key_payload_type
    settings.noise_payload_type = -1 if noise_payload_type is None else noise_payload_type
    settings.seed = seed
    return settings


def replay_rtp(
    source: Recording,
    url: str,
    *,
    coding: Literal["pcma", "pcmu", "g722"] = "pcma",
    faults: Faults = Faults(),
    on_progress: Callable[[float], None] = lambda done_s: None,
    seed: int | None = None,
) -> SenderCounts:
    """Plays a recording to rtp:HOST:PORT as it happens, each channel to a port of its own, two above the one before.

    seed: of what goes wrong and of the sources' names; None: another each time, so that one replay is no duplicate of
    the one before. Raises UsageError for a URL that is none.
    """
    seed = int.from_bytes(os.urandom(3), "big") if seed is None else seed
    parts = urlsplit(url.replace("rtp:", "rtp://", 1) if not url.startswith("rtp://") else url)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port is None:
        raise UsageError(f"{url}: wanted rtp:HOST:PORT")
    payload_type, coded = next((number, one) for number, one in STATIC_PAYLOADS.items() if one.name == coding)
    pcm = whole(source)
    sender = RtpSender("0.0.0.0" if ":" not in host else "::")
    try:
        for column in range(pcm.shape[1]):
            packets = coded_packets(pcm[:, column], coded)
            to = resolved(host), port + 2 * column
            sender.add(packets, to, payload_type, coded, faults=faults, seed=seed + column)
        began = time.monotonic()
        sender.start()
        sender.wait(lambda: on_progress(min(time.monotonic() - began, len(pcm) / RATE_HZ)))
    finally:
        sender.stop()
    return sender.counts


def whole(source: Recording) -> NDArray[np.float32]:
    blocks = []
    while len(block := source.read(10 * RATE_HZ)):
        blocks.append(block)
    if not blocks:
        raise InputError("the recording is empty")
    return np.concatenate(blocks)


def resolved(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except OSError as error:
        raise InputError(f"{host}: {error}") from None
