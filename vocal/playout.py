"""The Python face of the native playout: packets of one channel in, in any order; 20 ms of audio a tick out.

The lag is constant, and a packet that is not there by its deadline costs the 20 ms it held. It grows only where packets
come late, in a silence, and only to its bound. What a tick brought is one of `Played`; audio that was lost is NaN.
"""

from enum import IntEnum

import msgspec
import numpy as np
from numpy.typing import NDArray
from vocal_kernels import _native

from vocal.config import PlayoutConfig


class Arrival(IntEnum):
    """What became of a packet."""

    TAKEN = 0
    LATE = 1
    DUPLICATE = 2
    REFUSED = 3


class Played(IntEnum):
    """What a tick brought. WAITING: no packet is due yet. SILENT: nothing was sent. LOST: some of it is NaN."""

    WAITING = 0
    AUDIO = 1
    LOST = 2
    SILENT = 3
    CLOSED = 4


class PlayoutCounts(msgspec.Struct, frozen=True):
    """What became of a channel's packets. dtx: gaps in which nothing was sent. restarts: of the sender."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    refused: int = 0
    dtx: int = 0
    restarts: int = 0
    adjusted_samples: int = 0
    drift_ppm: float = 0.0
    lag_ms: float = 0.0


class Playout:
    """One channel's playout. One thread may push while another pulls; times are the clock's, in ms, injected.

    clock_hz: of the timestamps; 48000 for Opus. reliable: over TCP, where late audio is still played.
    """

    def __init__(self, config: PlayoutConfig = PlayoutConfig(), clock_hz: int = 8000, reliable: bool = False) -> None:
        lag_ms = config.stream_lag_ms if reliable else config.lag_ms
        most_lag_ms = max(lag_ms, config.most_lag_ms)
        self.native = _native.Playout(clock_hz, lag_ms, most_lag_ms, config.hold_ms, reliable)

    def push(
        self, sequence: int, timestamp: int, samples: NDArray[np.float32], arrival_ms: float, ssrc: int = 0
    ) -> Arrival:
        """A packet: samples at 8 kHz float32, full scale 1. No samples: nothing follows, as comfort noise says."""
        return Arrival(self.native.push(sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, samples, arrival_ms))

    def push_coded(
        self, sequence: int, timestamp: int, payload: bytes, coding: str, arrival_ms: float, ssrc: int = 0
    ) -> Arrival:
        """A packet as it came at 8 kHz: `alaw`, `ulaw`, `l16` (big-endian) or `s16le`."""
        return Arrival(
            self.native.push_coded(sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc, payload, coding, arrival_ms)
        )

    def pull(self, now_ms: float, out: NDArray[np.float32], column: int) -> tuple[Played, int]:
        """The tick at `now_ms` into a column of (160, channels). Returns what it brought, and its samples: 160, fewer
        in the last tick of a closed channel."""
        played, samples = self.native.pull(now_ms, out, column)
        return Played(played), samples

    @property
    def due_ms(self) -> float:
        """When the first packet is to be played; infinite until one came."""
        return float(self.native.due_ms())

    @property
    def depth_ms(self) -> float:
        """Audio that waits."""
        return float(self.native.depth_ms())

    def begin(self, now_ms: float) -> None:
        """Begin at `now_ms` if a packet has come at all: both sides of a call begin together."""
        self.native.begin(now_ms)

    def close(self) -> None:
        """Nothing more is taken; what waits is played."""
        self.native.close()

    @property
    def counts(self) -> PlayoutCounts:
        return PlayoutCounts(**self.native.counts())
