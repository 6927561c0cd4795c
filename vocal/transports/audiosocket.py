"""Asterisk's AudioSocket over TCP: messages of a type, a length and a payload. No I/O here.

type (1 byte), length of the payload (2 bytes, big-endian), payload:
  00 the end · 01 the UUID of the stream, 16 bytes · 03 a key · 10..18 audio, 16 bits little-endian mono · ff an error

A socket is one channel of Asterisk's, and the UUID is all it says of itself.
"""

import uuid
from collections.abc import Sequence

from vocal.errors import MediaError
from vocal.transports.dialect import RATES_HZ, Closed, Dialect, Dtmf, Opened, Said, Tracks

END, UUID, KEY, AUDIO, ERROR = 0x00, 0x01, 0x03, 0x10, 0xFF


class AudioSocket(Dialect):
    """What comes may be cut anywhere. The call is opened with the first audio, whose type tells its rate."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._uuid: str | None = None
        self._kind: int | None = None
        self._tracks: Tracks | None = None

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        assert isinstance(frame, bytes)
        data = self._data
        data += frame
        said: list[Said] = []
        at = 0
        while len(data) - at >= 3:
            size = data[at + 1] << 8 | data[at + 2]
            if self._uuid is None and (data[at], size) not in ((UUID, 16), (END, 0)):
                raise MediaError(f"wanted the UUID first, type 01 of 16 bytes, got type {data[at]:02x} of {size}")
            if len(data) - at < 3 + size:
                break
            said += self._take(data[at], bytes(data[at + 3 : at + 3 + size]))
            at += 3 + size
        del data[:at]
        return said

    def _take(self, kind: int, payload: bytes) -> Sequence[Said]:
        if kind == END:
            return (Closed("hangup"),)
        if kind == ERROR:
            return (Closed("connection lost"),)
        if kind == KEY:
            return (Dtmf(payload[:1].decode("ascii", "replace")),)
        if kind == UUID:
            if self._uuid is not None:
                raise MediaError("the UUID came twice")
            self._uuid = str(uuid.UUID(bytes=payload))
            return ()
        if not AUDIO <= kind < AUDIO + len(RATES_HZ):
            return ()  # of a later version
        if self._kind is not None and kind != self._kind:
            raise MediaError(f"audio: wanted type {self._kind:02x} as before, got {kind:02x}")
        if len(payload) % 2:
            raise MediaError(f"audio: wanted whole samples of 16 bits, got {len(payload)} bytes")
        if self._tracks is None:
            self._kind, self._tracks = kind, Tracks(1, "s16le")
            opened = Opened(("voice",), "s16le", RATES_HZ[kind - AUDIO], str(self._uuid))
            return (opened, *self._tracks.push(payload))
        return self._tracks.push(payload)


def message(kind: int, payload: bytes = b"") -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload
