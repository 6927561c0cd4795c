"""Asterisk's chan_websocket: a text frame that says what comes, then binary frames of the codec. No I/O here.

-> MEDIA_START connection_id:... channel:WebSocket/... format:ulaw optimal_frame_size:160     or the same as JSON
-> binary: 20 ms of the codec
-> DTMF_END digit:5

One connection is one channel of Asterisk's: whose voice it is, and of which call, stands in the URL, as by
v(call=...,role=...) of the dial string.
"""

from collections.abc import Mapping, Sequence

import msgspec

from vocal.errors import MediaError
from vocal.transports.dialect import Coding, Dialect, Dtmf, Opened, Said, Tracks, check_format, flat, text_of

FORMATS: Mapping[str, tuple[Coding, int]] = {
    "ulaw": ("ulaw", 8000),
    "alaw": ("alaw", 8000),
    "slin": ("s16le", 8000),
    **{f"slin{khz}": ("s16le", 44_100 if khz == 44 else 1000 * khz) for khz in (8, 12, 16, 24, 32, 44, 48, 96, 192)},
}


class ChanWebsocket(Dialect):
    def __init__(self) -> None:
        self._tracks: Tracks | None = None

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        if isinstance(frame, bytes):
            if self._tracks is None:
                raise MediaError("audio came before MEDIA_START")
            return self._tracks.push(frame)
        what, fields = _parsed(text_of(frame))
        if what == "MEDIA_START":
            if self._tracks is not None:
                raise MediaError("MEDIA_START came twice")
            return (self._start(fields),)
        if what == "DTMF_END":
            return (Dtmf(fields.get("digit", "")[:1]),)
        if self._tracks is None:
            raise MediaError(f"wanted MEDIA_START first, got {what[:40]!r}")
        return ()  # the state of its own queue

    def _start(self, fields: dict[str, str]) -> Opened:
        name = fields.get("format", "")
        coding, rate_hz = FORMATS.get(name, (None, 8000))
        if coding is None:
            raise MediaError(f"format: wanted {', '.join(FORMATS)} (as in c(ulaw) of the dial string), got {name!r}")
        self._tracks = Tracks(1, check_format(coding, name, rate_hz))
        # The channel's name is new with each; the connection's is its configuration's.
        peer_call = fields.get("connection_id", "")
        return Opened(("voice",), coding, rate_hz, peer_call, fields)


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """A control message, its fields by name; of either format."""
    if text.startswith("{"):
        try:
            fields = flat(msgspec.json.decode(text))
        except (msgspec.DecodeError, RecursionError) as error:
            raise MediaError(f"text frame: {error}") from None
        return fields.get("event", ""), {name.removeprefix("channel_variables."): one for name, one in fields.items()}
    what, *pairs = text.split()[:100] or [""]
    return what, {name: value for name, _, value in (pair.partition(":") for pair in pairs)}
