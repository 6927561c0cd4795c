"""Twilio Media Streams and its family: JSON text frames, audio in base64. No I/O here.

-> {"event": "connected", ...}
-> {"event": "start", "start": {"callSid": ..., "tracks": [...], "mediaFormat": {...}, "customParameters": {...}}}
-> {"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": "..."}}
-> {"event": "dtmf", ...}   {"event": "mark", ...}   {"event": "stop", ...}

Its members write names in their own way, and agree in what they mean. What an event is that we do not know does not
matter: it is passed over. `inbound` and `outbound` are the platform's view and say nothing of who is the agent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from vocal.errors import MediaError
from vocal.transports.dialect import (
    WIDTH,
    Closed,
    Coding,
    Dialect,
    Discarded,
    Dtmf,
    Media,
    Opened,
    Said,
    check_format,
    flat,
    text_of,
)

SLACK_MS = 30.0
"""Timestamps that differ less from what the samples before them say are rounded; more, and something was left out."""

LOST_SLACK_MS = 5.0
"""The same where a message did not come."""

MOST_SKIPPED_MS = 86_400_000
MOST_HELD = 8
"""Messages that wait for one that is missing, where they may come out of order: 160 ms of one track."""


class Variant(msgspec.Struct, frozen=True):
    """What a member of the family does where its messages do not say. tags: several streams come over one connection,
    each with a tag in place of a track."""

    coding: Coding = "ulaw"
    rate_hz: int = 8000
    is_ordered: bool = True
    tags: bool = False


VARIANTS: Mapping[str, Variant] = {
    "twilio": Variant(),
    "signalwire": Variant(),
    "plivo": Variant(),
    "telnyx": Variant(is_ordered=False),
    "exotel": Variant("s16le"),
    "yeastar": Variant("s16le"),
    "voximplant": Variant("s16le", 16_000, tags=True),
}

_CODINGS: Mapping[str, Coding] = {
    "audio/x-mulaw": "ulaw",
    "audio/x-alaw": "alaw",
    "audio/x-l16": "s16le",
    "audio/x-raw": "s16le",
    "base64": "s16le",  # Exotel's older messages name the wrapping
    "pcmu": "ulaw",
    "ulaw": "ulaw",
    "mulaw": "ulaw",
    "pcma": "alaw",
    "alaw": "alaw",
    "l16": "s16le",
    "pcm": "s16le",
    "pcm8": "s16le",  # Voximplant's name for 8 kHz
    "pcm16": "s16le",
    "linear16": "s16le",
}


class _Media(msgspec.Struct, gc=False):
    payload: bytes  # base64, decoded on the way
    track: str | None = None
    tag: str | None = None
    timestamp: int | None = None


class _Message(msgspec.Struct):
    """Both spellings of the family's fields."""

    event: str
    media: _Media | None = None
    sequenceNumber: int | None = None
    sequence_number: int | None = None
    start: msgspec.Raw = msgspec.Raw()
    stop: msgspec.Raw = msgspec.Raw()
    dtmf: dict[str, Any] | None = None
    extra_headers: str | None = None


class _Track:
    def __init__(self) -> None:
        self.sequence = self.position = 0
        self.slack_ms = SLACK_MS
        self.anchor_ms: float | None = None
        """Where the first sample stands in the sender's time; follows it slowly, for clocks drift."""


_decode = msgspec.json.Decoder(_Message, strict=False).decode


class Twilio(Dialect):
    """names: of tracks, where the start does not list them. coding: of a peer whose messages mislead."""

    def __init__(self, variant: Variant, names: Sequence[str] = (), coding: Coding | None = None) -> None:
        self._variant, self._names, self._forced = variant, tuple(names), coding
        self._numbers: dict[str, int] = {}
        self._tracks: list[_Track] = []
        self._tags: set[str] = set()
        self._width = self._rate_hz = 1
        self._next: int | None = None
        self._held: dict[int, _Message] = {}

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        try:
            message = _decode(text_of(frame))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MediaError(f"text frame: {error}") from None
        if self._variant.is_ordered:
            return self._take(message)
        return [said for one in self._in_order(message) for said in self._take(one)]

    def _in_order(self, message: _Message) -> list[_Message]:
        """Those that can be taken now. A number that does not come is given up when enough have come behind it."""
        number = message.sequence_number if message.sequence_number is not None else message.sequenceNumber
        if number is None or message.event == "connected":
            return [message]
        if self._next is None:
            self._next = number
        if number < self._next:
            return []  # given up, or there already
        self._held[number] = message
        ready: list[_Message] = []
        while self._held:
            first = min(self._held)
            if first != self._next and len(self._held) < MOST_HELD and message.event != "stop":
                break
            if first != self._next:
                for track in self._tracks:
                    track.sequence += 1  # lost, on whichever
                    track.slack_ms = LOST_SLACK_MS
            ready.append(self._held.pop(first))
            self._next = first + 1
        return ready

    def _take(self, message: _Message) -> Sequence[Said]:
        match message.event:
            case "media":
                if message.media is None:
                    raise MediaError("media: wanted a payload")
                return self._media(message.media)
            case "start":
                return self._start(message)
            case "stop":
                return self._stop(message)
            case "dtmf":
                given = message.dtmf or {}
                return (Dtmf(str(given.get("digit", ""))[:1]),)
        return ()

    def _media(self, media: _Media) -> Sequence[Said]:
        if not self._tracks:
            raise MediaError("media came before start")
        name = (media.tag or "") if self._variant.tags else media.track
        number = 0 if name is None and len(self._tracks) == 1 else self._numbers.get(name or "")
        if number is None:
            raise MediaError(f"media: wanted track {', '.join(self._numbers)}, got {name!r}")
        if len(media.payload) % self._width:
            raise MediaError(f"media: wanted whole samples of 16 bits, got {len(media.payload)} bytes")
        samples = len(media.payload) // self._width
        if not samples:
            return ()
        track, skipped = self._tracks[number], 0
        if media.timestamp is not None:
            heard_ms = media.timestamp - 1000.0 * track.position / self._rate_hz
            if track.anchor_ms is None:
                track.anchor_ms = heard_ms
            ahead_ms = heard_ms - track.anchor_ms
            if ahead_ms > MOST_SKIPPED_MS:
                raise MediaError(f"media: timestamp {media.timestamp} is more than a day ahead of the one before")
            if ahead_ms > track.slack_ms:
                skipped = round(ahead_ms * self._rate_hz / 1000.0)
                track.position += skipped
            elif ahead_ms < -SLACK_MS:
                track.anchor_ms = heard_ms
            else:
                track.anchor_ms += 0.02 * ahead_ms
            track.slack_ms = SLACK_MS
        said = Media(number, track.sequence, track.position, media.payload)
        track.sequence += 1
        track.position += samples
        return (Discarded(skipped), said) if skipped else (said,)

    def _start(self, message: _Message) -> Sequence[Said]:
        given = _object(message.start, "start")
        tag = str(given.get("tag", "")) if self._variant.tags else ""
        if self._tracks:
            if not self._variant.tags or tag in self._tags or tag not in self._numbers:
                raise MediaError("start came twice" if tag in self._tags else f"start: no track {tag!r} in this call")
            self._tags.add(tag)
            return ()
        said = self._opened(given, message.extra_headers, tag)
        self._numbers = {name: number for number, name in enumerate(said.tracks)}
        self._tracks = [_Track() for _ in said.tracks]
        self._tags = {tag}
        self._width, self._rate_hz = WIDTH[said.coding], said.rate_hz
        return (said,)

    def _opened(self, given: dict[str, Any], extra_headers: str | None, tag: str) -> Opened:
        form = given.get("mediaFormat") or given.get("media_format") or {}
        if not isinstance(form, dict):
            raise MediaError(f"mediaFormat: wanted an object, got {form!r}")
        encoding = form.get("encoding")
        try:
            rate_hz = int(form.get("sampleRate") or form.get("sample_rate") or self._variant.rate_hz)
        except (TypeError, ValueError):
            raise MediaError(f"sample rate: wanted a number, got {form}") from None
        known = self._variant.coding if not encoding else _CODINGS.get(str(encoding).lower())
        coding = check_format(self._forced or known, encoding, rate_hz)
        listed = given.get("tracks")
        names = tuple(dict.fromkeys(str(one) for one in listed)) if isinstance(listed, list) else ()
        names = names or self._names or ((tag,) if self._variant.tags else ("inbound",))
        if self._variant.tags and tag not in names:
            raise MediaError(f"start: wanted tag {', '.join(names)}, got {tag!r}")
        if len(names) > 2:
            raise MediaError(f"tracks: wanted one or two, got {', '.join(names)}")
        parameters = _headers(extra_headers)
        for one in ("customParameters", "custom_parameters"):
            parameters |= _named(given.get(one))
        for one in ("from", "to"):
            if isinstance(given.get(one), str):
                parameters.setdefault(one, given[one])
        ids = ("callSid", "call_sid", "callId", "call_id", "call_session_id", "call_control_id")
        peer_call = next((str(given[one]) for one in ids if given.get(one)), "")
        return Opened(names, coding, rate_hz, peer_call, parameters)

    def _stop(self, message: _Message) -> Sequence[Said]:
        if self._variant.tags and len(memoryview(message.stop)):
            self._tags.discard(str(_object(message.stop, "stop").get("tag", "")))
            if self._tags:
                return ()
        return (Closed("hangup"),)


def _object(raw: msgspec.Raw, what: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(raw) if len(memoryview(raw)) else None
    except (msgspec.DecodeError, RecursionError) as error:
        raise MediaError(f"{what}: {error}") from None
    if not isinstance(found, dict):
        raise MediaError(f"{what}: wanted an object that says what comes")
    return found


def _named(given: Any) -> dict[str, str]:
    """Parameters as an object, or as a list of names and values."""
    if isinstance(given, list):
        return {str(one["name"]): str(one.get("value", "")) for one in given if isinstance(one, dict) and "name" in one}
    return flat(given)


def _headers(text: str | None) -> dict[str, str]:
    """Plivo's extra headers: an object in a string, or name=value pairs."""
    if not text:
        return {}
    try:
        return flat(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        pairs = (pair.partition("=") for pair in text.strip("{} ").replace(",", ";").split(";"))
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
