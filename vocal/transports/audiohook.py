"""Genesys AudioHook, protocol version 2. No I/O here.

-> open {media: [...], conversationId, participant}   <- opened {media: [the one we chose]}
-> binary: samples, channels interleaved as in `media`; external is the customer, internal the agent
-> ping, paused, resumed, discarded, update, error    <- pong, updated, disconnect
-> close                                              <- closed

Every message counts: `seq` goes up by one, and the peer says how far it has heard us. A conversation with the null UUID
is a probe: it is answered, and is no call.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from vocal.errors import MediaError
from vocal.transports.dialect import (
    Closed,
    Coding,
    Dialect,
    Discarded,
    Opened,
    Paused,
    Reply,
    Resumed,
    Said,
    Tracks,
    flat,
    text_of,
)
from vocal.types import Metadata

NULL_UUID = "00000000-0000-0000-0000-000000000000"
VERSION = "2"
MOST_DISCARDED_S = 86_400.0
_CODINGS: dict[str, Coding] = {"PCMU": "ulaw", "L16": "s16le"}  # as the reference implementation reads L16

State = Literal["preparing", "probing", "opening", "active", "paused", "closed"]


class _Medium(msgspec.Struct):
    type: str
    format: str
    channels: tuple[str, ...]
    rate: int


class _Participant(msgspec.Struct):
    id: str = ""
    ani: str = ""
    aniName: str = ""
    dnis: str = ""


class _Open(msgspec.Struct):
    organizationId: str
    conversationId: str
    participant: _Participant
    media: tuple[msgspec.Raw, ...]
    language: str | None = None
    customConfig: Any = None


class _Skipped(msgspec.Struct):
    discarded: str
    start: str = "PT0S"


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    retryAfter: str | None = None


class _Update(msgspec.Struct):
    language: str = ""


class _Message(msgspec.Struct):
    version: str
    id: str
    type: str
    seq: int
    serverseq: int
    position: str
    parameters: msgspec.Raw


_decode = msgspec.json.Decoder(_Message).decode


class AudioHook(Dialect):
    """organization: of the request's headers, which that of `open` must be."""

    def __init__(self, organization: str | None = None, session: str | None = None) -> None:
        self._organization, self._id = organization, session
        self._state: State = "preparing"
        self._sent = self._heard = 0
        self._chosen: msgspec.Raw | None = None
        self._tracks: Tracks | None = None
        self._rate_hz = 8000
        self.retry_after_s = 0.0
        """How long the peer wants to hear nothing from us."""

    @property
    def position(self) -> int:
        """Samples that came, and that the peer said it left out."""
        return self._tracks.position if self._tracks is not None else 0

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        if isinstance(frame, bytes):
            if self._state == "closed":
                return ()
            if self._state == "paused" or self._tracks is None or self._state != "active":
                raise MediaError(f"audio came while the session was {self._state}")
            return self._tracks.push(frame)
        message = _parsed(frame, _Message, "message")
        if message.version != VERSION:
            raise MediaError(f"version: wanted {VERSION!r}, got {message.version!r}")
        if message.seq != self._heard + 1:
            raise MediaError(f"seq: wanted {self._heard + 1}, got {message.seq}")
        self._heard = message.seq
        if not 0 <= message.serverseq <= self._sent:
            raise MediaError(f"serverseq: wanted at most {self._sent}, got {message.serverseq}")
        if self._id in (None, NULL_UUID):
            self._id = message.id
        elif message.id != self._id:
            raise MediaError(f"id: wanted the session's, {self._id}, got {message.id}")
        return self._take(message)

    def _take(self, message: _Message) -> Sequence[Said]:
        kind = message.type
        if kind == "open":
            return self._open(_parsed(message.parameters, _Open, "open"))
        if kind == "ping":
            return (self._reply("pong", {}),)
        if kind == "close":
            given = _parsed(message.parameters, dict[str, Any], "close")
            if self._state in ("preparing", "probing", "opening"):
                return (*self.ended("probe"), Closed("hangup"))
            self._state = "closed"
            return (Closed("hangup" if given.get("reason") == "end" else str(given.get("reason", "hangup"))[:60]),)
        if kind == "error":
            given = _parsed(message.parameters, _Error, "error")
            if given.code == 429 and given.retryAfter:
                self.retry_after_s = seconds(given.retryAfter)
            return ()
        if self._state not in ("active", "paused"):
            raise MediaError(f"{kind} came while the session was {self._state}")
        if kind == "paused":
            self._state = "paused"
            return (Paused(),)
        if kind == "resumed":
            self._state = "active"
            return (*self._skip(_parsed(message.parameters, _Skipped, kind)), Resumed())
        if kind == "discarded":
            return self._skip(_parsed(message.parameters, _Skipped, kind))
        if kind == "update":
            _parsed(message.parameters, _Update, kind)
            return (self._reply("updated", {}),)
        if kind in ("dtmf", "playback_started", "playback_completed"):
            return ()  # of the bot connector, which shares the protocol
        raise MediaError(f"wanted open, close, ping, paused, resumed, discarded, update or error, got {kind!r}")

    def _open(self, given: _Open) -> Sequence[Said]:
        if self._state != "preparing":
            raise MediaError("open came twice")
        if self._organization is not None and given.organizationId != self._organization:
            raise MediaError("open: organizationId is not that of the request")
        media = [(raw, _parsed(raw, _Medium, "media")) for raw in given.media]
        fit = [
            (raw, one)
            for raw, one in media
            if one.type == "audio" and one.format in _CODINGS and one.rate == 8000 and _is_known(one.channels)
        ]
        if given.conversationId == NULL_UUID or given.participant.id == NULL_UUID:
            self._state = "probing"
            self._chosen = fit[0][0] if fit else None
            return self.opened("")
        if not fit:
            raise MediaError("open: wanted PCMU or L16 at 8000 Hz with external, internal or both, got no such media")
        # Both sides if they may be had, in the coding that is shortest.
        self._chosen, medium = max(fit, key=lambda one: (len(one[1].channels), one[1].format == "PCMU"))
        coding = _CODINGS[medium.format]
        self._tracks = Tracks(len(medium.channels), coding)
        self._rate_hz = medium.rate
        self._state = "opening"
        person = given.participant
        parameters = {"participant": person.id, "ani": person.ani, "dnis": person.dnis, **flat(given.customConfig)}
        metadata = Metadata(language=given.language.lower() if given.language else None)
        return (Opened(medium.channels, coding, medium.rate, given.conversationId, parameters, metadata=metadata),)

    def opened(self, call: str) -> Sequence[Reply]:
        if self._state == "opening":
            self._state = "active"
        media = [] if self._chosen is None else [self._chosen]
        return (self._reply("opened", {"startPaused": False, "media": media}),)

    def refused(self, reason: str, retry_after_s: float | None = None) -> Sequence[Reply]:
        self._state = "closed"
        wait = "" if retry_after_s is None else f"; retry after PT{retry_after_s:g}S"
        return (self._reply("disconnect", {"reason": "error", "info": f"{reason}{wait}"}),)

    def ended(self, reason: str) -> Sequence[Reply]:
        """After the peer's close, ours; else it is asked to."""
        self._state = "closed"
        if reason in ("hangup", "probe"):
            return (self._reply("closed", {}),)
        return (self._reply("disconnect", {"reason": "completed", "info": reason}),)

    def _skip(self, given: _Skipped) -> Sequence[Said]:
        assert self._tracks is not None
        samples = round(seconds(given.discarded) * self._rate_hz)
        self._tracks.skip(samples)
        return (Discarded(samples),)

    def _reply(self, kind: str, parameters: dict[str, Any]) -> Reply:
        self._sent += 1
        message = {
            "version": VERSION,
            "id": self._id or NULL_UUID,
            "type": kind,
            "seq": self._sent,
            "clientseq": self._heard,
            "parameters": parameters,
        }
        return Reply(msgspec.json.encode(message).decode())


def _is_known(channels: tuple[str, ...]) -> bool:
    return 0 < len(channels) <= 2 and set(channels) <= {"external", "internal"} and len(set(channels)) == len(channels)


def _parsed(text: Any, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(text_of(text) if isinstance(text, str) else text, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MediaError(f"{what}: {error}") from None


def seconds(duration: str) -> float:
    """PT12.3S, the one form of an ISO 8601 duration that the protocol has. Raises MediaError."""
    if duration.startswith("PT") and duration.endswith("S"):
        number = duration[2:-1]
        if number.replace(".", "", 1).isdecimal() and number.isascii() and float(number) <= MOST_DISCARDED_S:
            return float(number)
    raise MediaError(f"duration: wanted PT<seconds>S, at most a day, got {duration[:40]!r}")


def duration(position_s: float) -> str:
    """The same, the other way."""
    return f"PT{position_s:.6f}".rstrip("0").rstrip(".") + "S"
