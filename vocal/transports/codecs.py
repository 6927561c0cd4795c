"""G.729 by PyAV, to audio at 8 kHz; and packets of codecs in the order they were sent."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from vocal.errors import MediaError


class G729Decoder:
    """Packets in the order they were sent -> audio at 8 kHz. Raises MediaError for what is no G.729.

    10 bytes are 10 ms. 2 bytes at the end say how the silence sounds that follows (annex B): nothing is sent.
    """

    def __init__(self) -> None:
        codec: Any = av.CodecContext.create("g729", "r")
        codec.sample_rate, codec.layout = 8000, "mono"
        self._codec = codec

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        whole = len(payload) - len(payload) % 10
        if not payload or len(payload) - whole not in (0, 2) or whole > 200:
            raise MediaError(f"G.729: wanted frames of 10 bytes, got {len(payload)}")
        if not whole:
            return np.zeros(0, np.float32)
        try:
            frames = [one.to_ndarray().reshape(-1) for one in self._codec.decode(av.Packet(payload[:whole]))]
        except (av.FFmpegError, EOFError, ValueError) as error:
            raise MediaError(f"G.729: {error}") from None
        samples: NDArray[np.float32] = np.concatenate(frames).astype(np.float32) / np.float32(32768.0)
        return samples


# In order

MOST_WAITING = 8


class Decoder(Protocol):
    def decode(self, payload: bytes) -> NDArray[np.float32]: ...


class Coded(NamedTuple):
    """A packet before it is decoded."""

    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    arrival_ms: float


class _Waiting(NamedTuple):
    packet: Coded
    until_ms: float


class InOrder:
    """Packets of a codec in which each builds on the one before, decoded in the order of sending.

    After a gap packets wait for the missing one, but only as long as they themselves can still be played in time:
    `wait_ms` from when the fastest of packets would have come. clock_hz: of the timestamps.
    """

    def __init__(
        self, decoder: Decoder, push: Callable[[Coded, NDArray[np.float32]], Any], wait_ms: float, clock_hz: int
    ) -> None:
        self._decoder, self._push = decoder, push
        self._wait_ms, self._clock_khz = wait_ms, clock_hz / 1000.0
        self._waiting: dict[int, _Waiting] = {}
        self._next: int | None = None
        # The newest packet's time at its sender, and how fast the fastest came.
        self._ssrc = self._timestamp = 0
        self._sent_ms = self._fastest_ms = self._seen_ms = 0.0
        self.undecodable = self.out_of_order = 0

    def push(self, packet: Coded) -> None:
        step = 0 if self._next is None else _signed(packet.sequence - self._next)
        if self._next is None or packet.ssrc != self._ssrc or abs(step) > 500:
            self.flush()
            self._ssrc, self._timestamp, self._next, step = packet.ssrc, packet.timestamp, packet.sequence, 0
            self._sent_ms, self._fastest_ms = 0.0, float("inf")
        behind_ms = self._behind_ms(packet.timestamp, packet.arrival_ms)
        if step < 0:
            # Too late for its turn, but not for its place: better a crackle than a hole.
            self.out_of_order += 1
            self._decode(packet)
            return
        self._waiting[packet.sequence] = _Waiting(packet, packet.arrival_ms + self._wait_ms - behind_ms)

    def release(self, now_ms: float) -> float | None:
        """Decodes whose turn it is; returns in how many ms it is the next one's, None: nothing waits."""
        while self._waiting:
            assert self._next is not None
            found = self._waiting.pop(self._next, None)
            if found is None:
                left_ms = min(one.until_ms for one in self._waiting.values()) - now_ms
                if left_ms > 0.0 and len(self._waiting) < MOST_WAITING:
                    return left_ms
                self._next = self._in_order()[0].packet.sequence
                continue
            self._next = (self._next + 1) & 0xFFFF
            self._decode(found.packet)
        return None

    def flush(self) -> None:
        for one in self._in_order():
            self._decode(one.packet)
        self._waiting.clear()

    def _behind_ms(self, timestamp: int, arrival_ms: float) -> float:
        """How much longer a packet was under way than the fastest one; the fastest ages, since clocks drift."""
        sent_ms = self._sent_ms + _signed32(timestamp - self._timestamp) / self._clock_khz
        if sent_ms > self._sent_ms:
            self._timestamp, self._sent_ms = timestamp, sent_ms
        aged_ms = self._fastest_ms + 0.0005 * (arrival_ms - self._seen_ms)
        self._seen_ms = arrival_ms
        self._fastest_ms = min(aged_ms, arrival_ms - sent_ms)
        return arrival_ms - sent_ms - self._fastest_ms

    def _in_order(self) -> list[_Waiting]:
        first = self._next or 0
        return sorted(self._waiting.values(), key=lambda one: _signed(one.packet.sequence - first))

    def _decode(self, packet: Coded) -> None:
        try:
            samples = self._decoder.decode(packet.payload)
        except MediaError:
            self.undecodable += 1
            return
        self._push(packet, samples)


def _signed(step: int) -> int:
    return (step + 0x8000 & 0xFFFF) - 0x8000


def _signed32(step: int) -> int:
    return (step + 0x80000000 & 0xFFFFFFFF) - 0x80000000
