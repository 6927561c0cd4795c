"""What the media dialects have in common. No I/O here.

a frame, text or binary ─► Dialect.receive ─► what it said: Opened, Media, Dtmf, Notice, Paused, ... ─► the endpoint
                                                                           Reply ─► back to the peer

The endpoint knows only these values, and a dialect only its own frames. Positions are samples at the rate of the track
since its first: what was not sent (hold, a pause, silence left out) moves them on, and is not lost.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np

from vocal.errors import MediaError
from vocal.types import Basis, Metadata, Role

Coding = Literal["ulaw", "alaw", "s16le", "l16"]
"""As `Playout.push_coded` names them; l16 is big-endian."""

WIDTH: Mapping[Coding, int] = {"ulaw": 1, "alaw": 1, "s16le": 2, "l16": 2}
RATES_HZ = (8000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
MOST_TEXT = 65_535
CALL = r"^[A-Za-z0-9._-]{1,64}$"
YES = frozenset(("true", "yes", "1", "y", "on", "given", "ja"))


class Opened(msgspec.Struct, frozen=True):
    """A call is to be opened. peer_call: the platform's id of it. roles: empty where configuration says whose voice
    each track is. parameters: what the peer said beside, by name."""

    tracks: tuple[str, ...]
    coding: Coding = "ulaw"
    rate_hz: int = 8000
    peer_call: str = ""
    parameters: Mapping[str, str] = {}
    roles: tuple[Role, ...] = ()
    call: str | None = None
    metadata: Metadata = Metadata()


class Media(msgspec.Struct, frozen=True, gc=False):
    """Audio of a track, by its place in `Opened.tracks`. A number that is left out in `sequence`: some was lost."""

    track: int
    sequence: int
    position: int
    payload: bytes


class Dtmf(msgspec.Struct, frozen=True):
    digit: str


class Notice(msgspec.Struct, frozen=True):
    given: bool
    basis: Basis = "notice"


class Paused(msgspec.Struct, frozen=True):
    pass


class Resumed(msgspec.Struct, frozen=True):
    pass


class Discarded(msgspec.Struct, frozen=True):
    """Audio that the peer did not send, in samples; what follows stands behind it."""

    samples: int


class Closed(msgspec.Struct, frozen=True):
    reason: str = "hangup"


class Reply(msgspec.Struct, frozen=True):
    frame: str | bytes


Said = Opened | Media | Dtmf | Notice | Paused | Resumed | Discarded | Closed | Reply


class Dialect:
    """One connection's side of a dialect. `receive` raises MediaError for what the dialect does not know."""

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        raise NotImplementedError

    def opened(self, call: str) -> Sequence[Reply]:
        """The call is open."""
        return ()

    def refused(self, reason: str, retry_after_s: float | None = None) -> Sequence[Reply]:
        """It is not, or no longer: something is wrong."""
        return ()

    def ended(self, reason: str) -> Sequence[Reply]:
        """All of it was heard."""
        return ()


class Interleaved:
    """Binary audio, cut anywhere, into the bytes of each channel: whole samples, the rest waits."""

    def __init__(self, channels: int, coding: Coding) -> None:
        self._channels, self._width = channels, WIDTH[coding]
        self._rest = b""

    def push(self, frame: bytes) -> list[bytes]:
        """One for each channel; empty where no sample is whole yet."""
        data = self._rest + frame if self._rest else frame
        size = self._channels * self._width
        if left := len(data) % size:
            data, self._rest = data[:-left], data[-left:]
        else:
            self._rest = b""
        if not data:
            return []
        if self._channels == 1:
            return [data]
        if self._width == 1:
            return [data[channel :: self._channels] for channel in range(self._channels)]
        samples = np.frombuffer(data, np.int16).reshape(-1, self._channels)
        return [samples[:, channel].tobytes() for channel in range(self._channels)]


class Tracks:
    """Numbers and positions of tracks whose audio follows on itself."""

    def __init__(self, count: int, coding: Coding) -> None:
        self._split = Interleaved(count, coding)
        self._width = WIDTH[coding]
        self._sequence = 0
        self.position = 0

    def push(self, frame: bytes) -> list[Media]:
        parts = self._split.push(frame)
        if not parts:
            return []
        found = [Media(track, self._sequence, self.position, part) for track, part in enumerate(parts)]
        self._sequence += 1
        self.position += len(parts[0]) // self._width
        return found

    def skip(self, samples: int) -> None:
        self.position += max(0, samples)


def text_of(frame: str | bytes) -> str:
    """A text frame within bounds. Raises MediaError."""
    if isinstance(frame, bytes):
        raise MediaError(f"wanted a text frame first, got {len(frame)} bytes of binary")
    if len(frame) > MOST_TEXT:
        raise MediaError(f"text frame: wanted at most {MOST_TEXT} characters, got {len(frame)}")
    return frame


def check_format(coding: Coding | None, given: object, rate_hz: int, rates_hz: Sequence[int] = RATES_HZ) -> Coding:
    """Raises MediaError for a coding or a rate that is not followed, with what may be had instead."""
    if coding is None:
        raise MediaError(f"media format: wanted PCMU, PCMA or linear PCM of 16 bits, got {given!r}")
    if rate_hz not in rates_hz:
        raise MediaError(f"sample rate: wanted one of {', '.join(map(str, rates_hz))} Hz, got {rate_hz}")
    return coding


def flat(parameters: object, prefix: str = "", depth: int = 3) -> dict[str, str]:
    """Names and plain values of an object; an object inside it gives a.b."""
    found: dict[str, str] = {}
    if isinstance(parameters, dict) and depth:
        for name, value in parameters.items():
            if isinstance(value, dict):
                found |= flat(value, f"{prefix}{name}.", depth - 1)
            elif isinstance(value, bool):
                found[f"{prefix}{name}"] = "true" if value else "false"
            elif isinstance(value, (str, int, float)):
                found[f"{prefix}{name}"] = str(value)
    return found
