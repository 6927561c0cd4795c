"""The media dialects from the other side: what each platform's client sends, to try a connection with. No I/O here.

Written from the published formats; knows nothing of the codecs that hear it.
"""

import base64
import json
import secrets
import uuid
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from vocal.errors import UsageError, unknown
from vocal.signatures import SignedRequest, signed, twilio_signature
from vocal.transports.audiosocket import AUDIO, END, UUID, message
from vocal.transports.pcm import Encoding, Hello, hello_text, table
from vocal.types import Channel, Metadata

PACKET_SAMPLES = 160


class Asked(msgspec.Struct, frozen=True):
    """A call to be sent. secret: AudioHook's client secret, or Twilio's auth token."""

    channels: tuple[Channel, ...]
    metadata: Metadata
    call: str
    encoding: Encoding | None = None
    api_key: str | None = None
    secret: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        given = msgspec.to_builtins(self.metadata)
        return {name: "true" if value is True else str(value) for name, value in given.items() if value}


class Sender:
    """One connection. Audio is (n, channels) at 8 kHz, whole packets but for the last."""

    samples = PACKET_SAMPLES
    """Of a message."""

    encodings: tuple[Encoding, ...] = ("pcm_s16le",)

    is_side = False
    """A connection for each channel."""

    answers = False
    """The other side says when the call is open, and when all of it was heard."""

    subprotocol: str | None = None

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def path(self) -> str:
        raise NotImplementedError

    def headers(self, url: str) -> Mapping[str, str]:
        return {}

    def begin(self) -> Iterable[str | bytes]:
        return ()

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        return (encoded(pcm, self._asked.encoding or "pcm_s16le"),)

    def end(self) -> Iterable[str | bytes]:
        return ()

    def is_answer(self, message: Mapping[str, object], to: str) -> bool:
        """Whether this is the answer to `begin` or `end`."""
        return True


class PcmSender(Sender):
    answers = True
    encodings: tuple[Encoding, ...] = ("pcm_s16le", "alaw", "mulaw")

    def path(self) -> str:
        return "/v1/media/pcm"

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        hello = Hello(
            encoding=asked.encoding or "pcm_s16le",
            channels=2 if len(asked.channels) == 2 else 1,
            roles=tuple(one.role for one in asked.channels),
            call=asked.call or None,
            notice=asked.metadata.notice,
            consent=asked.metadata.consent,
            metadata=asked.metadata,
        )
        return (hello_text(hello),)

    def end(self) -> Iterable[str | bytes]:
        return ('{"type": "end"}',)

    def is_answer(self, message: Mapping[str, object], to: str) -> bool:
        return message.get("type") == {"begin": "opened", "end": "ended"}[to]


class TwilioSender(Sender):
    """And its family. A stream of two tracks; their roles go as custom parameters."""

    name = "twilio"
    names: Mapping[Encoding, str] = {"mulaw": "audio/x-mulaw"}
    encodings: tuple[Encoding, ...] = ("mulaw",)

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._encoding: Encoding = asked.encoding or self.encodings[0]
        two = ["outbound" if one.role == "agent" else "inbound" for one in asked.channels]
        self._tracks = two if len(set(two)) == len(two) else ["inbound", "outbound"]
        self._roles = {track: one.role for track, one in zip(self._tracks, asked.channels, strict=True)}
        self._sequence = self._chunk = self._position = 0
        self._stream = "MZ" + secrets.token_hex(16)

    def path(self) -> str:
        return f"/v1/media/{self.name}"

    def headers(self, url: str) -> Mapping[str, str]:
        return {"X-Twilio-Signature": twilio_signature(self._asked.secret, url)} if self._asked.secret else {}

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        yield json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        start = {
            "accountSid": "AC" + "0" * 32,
            "streamSid": self._stream,
            "callSid": asked.call,
            "tracks": self._tracks,
            "mediaFormat": {"encoding": self.names[self._encoding], "sampleRate": 8000, "channels": 1},
            "customParameters": {**asked.parameters, **self._roles},
        }
        yield self._event("start", start)

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        self._chunk += 1
        for column, track in enumerate(self._tracks):
            payload = base64.b64encode(encoded(pcm[:, column : column + 1], self._encoding)).decode()
            media = {
                "track": track,
                "chunk": str(self._chunk),
                "timestamp": str(self._position // 8),
                "payload": payload,
            }
            yield self._event("media", media)
        self._position += len(pcm)

    def end(self) -> Iterable[str | bytes]:
        yield self._event("stop", {"callSid": self._asked.call})

    def _event(self, event: str, what: object) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, "sequenceNumber": str(self._sequence), event: what, "streamSid": self._stream}
        )


class SignalwireSender(TwilioSender):
    name = "signalwire"
    names: Mapping[Encoding, str] = {"mulaw": "audio/x-mulaw", "pcm_s16le": "audio/x-l16"}
    encodings: tuple[Encoding, ...] = ("mulaw", "pcm_s16le")


class TelnyxSender(TwilioSender):
    name = "telnyx"
    names: Mapping[Encoding, str] = {"mulaw": "PCMU", "alaw": "PCMA"}
    encodings: tuple[Encoding, ...] = ("mulaw", "alaw")

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        yield json.dumps({"event": "connected", "version": "1.0.0"})
        start = {
            "call_control_id": asked.call,
            "custom_parameters": {**asked.parameters, **self._roles},
            "media_format": {"encoding": self.names[self._encoding], "sample_rate": 8000, "channels": 1},
            "tracks": self._tracks,
        }
        yield self._event("start", start)

    def _event(self, event: str, what: object) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, "sequence_number": str(self._sequence), event: what, "stream_id": self._stream}
        )


class PlivoSender(TwilioSender):
    name = "plivo"
    names: Mapping[Encoding, str] = {"mulaw": "audio/x-mulaw", "pcm_s16le": "audio/x-l16"}
    encodings: tuple[Encoding, ...] = ("mulaw", "pcm_s16le")

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        start = {
            "callId": asked.call,
            "streamId": self._stream,
            "tracks": self._tracks,
            "mediaFormat": {"encoding": self.names[self._encoding], "sampleRate": 8000},
        }
        extra = json.dumps({**asked.parameters, **self._roles})
        yield json.dumps({"sequenceNumber": 0, "event": "start", "start": start, "extra_headers": extra})


class ExotelSender(TwilioSender):
    """One side a stream, 100 ms a message."""

    name = "exotel"
    is_side = True
    samples = 5 * PACKET_SAMPLES
    names: Mapping[Encoding, str] = {"pcm_s16le": "audio/x-raw"}
    encodings: tuple[Encoding, ...] = ("pcm_s16le",)

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        yield json.dumps({"event": "connected"})
        start = {
            "stream_sid": self._stream,
            "call_sid": asked.call,
            "custom_parameters": {**asked.parameters, "role": asked.channels[0].role, "call": asked.call},
            "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
        }
        self._sequence += 1
        yield json.dumps({"event": "start", "sequence_number": "1", "start": start, "stream_sid": self._stream})

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        self._chunk += 1
        self._sequence += 1
        payload = base64.b64encode(encoded(pcm[:, :1], "pcm_s16le")).decode()
        media = {"chunk": str(self._chunk), "timestamp": str(self._position // 8), "payload": payload}
        self._position += len(pcm)
        yield json.dumps({"event": "media", "sequence_number": str(self._sequence), "media": media})


class VoximplantSender(TwilioSender):
    """One side a stream."""

    name = "voximplant"
    is_side = True
    names: Mapping[Encoding, str] = {"pcm_s16le": "PCM8", "mulaw": "ULAW", "alaw": "ALAW"}
    encodings: tuple[Encoding, ...] = ("pcm_s16le", "mulaw", "alaw")

    def begin(self) -> Iterable[str | bytes]:
        form = {"encoding": self.names[self._encoding], "sampleRate": 8000}
        parameters = {**self._asked.parameters, "role": self._asked.channels[0].role, "call": self._asked.call}
        start = {"mediaFormat": form, "customParameters": parameters}
        yield json.dumps({"event": "start", "sequenceNumber": 0, "start": start})

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        self._sequence += 1
        payload = base64.b64encode(encoded(pcm[:, :1], self._encoding)).decode()
        media = {"chunk": self._chunk, "timestamp": self._position // 8, "payload": payload}
        self._chunk += 1
        self._position += len(pcm)
        yield json.dumps({"event": "media", "sequenceNumber": self._sequence, "media": media})

    def end(self) -> Iterable[str | bytes]:
        yield json.dumps({"event": "stop", "sequenceNumber": self._sequence + 1, "stop": {"mediaInfo": {}}})


class AudioHookSender(Sender):
    answers = True
    encodings: tuple[Encoding, ...] = ("mulaw",)
    samples = 5 * PACKET_SAMPLES

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self._id, self._organization = str(uuid.uuid4()), str(uuid.uuid4())
        self._heard = self._sent = self._position = 0
        self._encoding: Encoding = "mulaw"
        names = ["internal" if one.role == "agent" else "external" for one in asked.channels]
        self._names = names if len(set(names)) == len(names) else ["external", "internal"]

    def path(self) -> str:
        return "/v1/media/audiohook"

    def headers(self, url: str) -> Mapping[str, str]:
        headers = {
            "audiohook-organization-id": self._organization,
            "audiohook-session-id": self._id,
            "audiohook-correlation-id": str(uuid.uuid4()),
        }
        if self._asked.api_key is None:
            return headers
        headers["x-api-key"] = self._asked.api_key
        if not self._asked.secret:
            return headers
        request = SignedRequest(url, headers)
        return signed(request, self._asked.api_key, self._asked.secret, secrets.token_urlsafe(24)).headers

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        media = [
            {"type": "audio", "format": "PCMU", "channels": names, "rate": 8000}
            for names in ([self._names] if len(self._names) == 1 else [self._names, ["external"], ["internal"]])
        ]
        participant = {"id": str(uuid.uuid4()), "ani": "+4930123456", "aniName": "", "dnis": "+4930654321"}
        config = asked.parameters | {"call": asked.call}
        parameters = {
            "organizationId": self._organization,
            "conversationId": str(uuid.uuid4()),
            "participant": participant,
            "media": media,
            "customConfig": config,
        }
        yield self.text("open", parameters)

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        self._position += len(pcm)
        yield encoded(pcm, self._encoding)

    def end(self) -> Iterable[str | bytes]:
        yield self.text("close", {"reason": "end"})

    def text(self, kind: str, parameters: Mapping[str, object]) -> str:
        self._sent += 1
        return json.dumps(
            {
                "version": "2",
                "id": self._id,
                "type": kind,
                "seq": self._sent,
                "serverseq": self._heard,
                "position": f"PT{self._position / 8000:g}S",
                "parameters": parameters,
            }
        )

    def is_answer(self, message: Mapping[str, object], to: str) -> bool:
        self._heard = int(str(message.get("seq", self._heard)))
        return message.get("type") == {"begin": "opened", "end": "closed"}[to]


class JambonzSender(Sender):
    """`listen` with mixType stereo, or mono of one channel."""

    name = "jambonz"
    subprotocol = "audio.jambonz.org"

    def path(self) -> str:
        return f"/v1/media/{self.name}"

    def begin(self) -> Iterable[str | bytes]:
        asked = self._asked
        roles = dict(zip(("caller", "callee"), (one.role for one in asked.channels), strict=False))
        mix = "stereo" if len(asked.channels) == 2 else "mono"
        metadata = {**asked.parameters, **roles}
        yield json.dumps({"callSid": asked.call, "sampleRate": 8000, "mixType": mix, "metadata": metadata})


class ForkSender(JambonzSender):
    """FreeSWITCH's mod_audio_fork and mod_audio_stream: rate and mix stand in the URL, metadata are one's own."""

    name = "fork"
    subprotocol = "audio.drachtio.org"

    def path(self) -> str:
        mix = "stereo" if len(self._asked.channels) == 2 else "mono"
        return f"/v1/media/fork?{urlencode({'rate': 8000, 'mix': mix})}"

    def begin(self) -> Iterable[str | bytes]:
        roles = dict(zip(("caller", "callee"), (one.role for one in self._asked.channels), strict=False))
        yield json.dumps({**self._asked.parameters, **roles, "call": self._asked.call})


class VonageSender(Sender):
    """One side a connection; its headers come in the first frame."""

    is_side = True

    def path(self) -> str:
        return "/v1/media/vonage"

    def begin(self) -> Iterable[str | bytes]:
        headers = {**self._asked.parameters, "role": self._asked.channels[0].role, "call": self._asked.call}
        yield json.dumps({"event": "websocket:connected", "content-type": "audio/l16;rate=8000", **headers})

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        yield encoded(pcm[:, :1], "pcm_s16le")


class AsteriskSender(Sender):
    """chan_websocket: a connection for each channel, whose side stands in the URL."""

    is_side = True
    encodings: tuple[Encoding, ...] = ("mulaw", "alaw", "pcm_s16le")
    subprotocol = "media"

    def path(self) -> str:
        query = {**self._asked.parameters, "call": self._asked.call, "role": self._asked.channels[0].role}
        return f"/v1/media/asterisk?{urlencode(query)}"

    def begin(self) -> Iterable[str | bytes]:
        name = {"mulaw": "ulaw", "alaw": "alaw", "pcm_s16le": "slin"}[self._asked.encoding or "mulaw"]
        size = 320 if name == "slin" else 160
        yield (
            f"MEDIA_START connection_id:{uuid.uuid4()} channel:WebSocket/vocal/0x1 format:{name} "
            f"optimal_frame_size:{size} ptime:20"
        )

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        yield encoded(pcm, self._asked.encoding or "mulaw")


class AudioSocketSender(Sender):
    """Over TCP: a socket for each channel, announced before under its UUID."""

    is_side = True

    def __init__(self, asked: Asked) -> None:
        super().__init__(asked)
        self.uuid = uuid.uuid4()

    def announcement(self) -> dict[str, object]:
        asked = self._asked
        given = {name: value for name, value in msgspec.to_builtins(asked.metadata).items() if value is not None}
        return {"uuid": str(self.uuid), "call": asked.call, "role": asked.channels[0].role, **given}

    def begin(self) -> Iterable[str | bytes]:
        yield message(UUID, self.uuid.bytes)

    def audio(self, pcm: NDArray[np.float32]) -> Iterable[str | bytes]:
        yield message(AUDIO, encoded(pcm, "pcm_s16le"))

    def end(self) -> Iterable[str | bytes]:
        yield message(END)


SENDERS: Mapping[str, type[Sender]] = {
    "pcm": PcmSender,
    "twilio": TwilioSender,
    "signalwire": SignalwireSender,
    "telnyx": TelnyxSender,
    "plivo": PlivoSender,
    "exotel": ExotelSender,
    "voximplant": VoximplantSender,
    "audiohook": AudioHookSender,
    "jambonz": JambonzSender,
    "fork": ForkSender,
    "vonage": VonageSender,
    "asterisk": AsteriskSender,
    "audiosocket": AudioSocketSender,
}


def encodings_of(dialect: str) -> tuple[Encoding, ...]:
    """What a dialect carries, the usual first. Raises UsageError for one that is none."""
    if dialect not in SENDERS:
        raise UsageError(f"--dialect: {unknown('dialect', dialect, SENDERS)}")
    return SENDERS[dialect].encodings


def sides(asked: Asked, dialect: str) -> Sequence[tuple[Sender, int | None]]:
    """The connections of a call, and which channel goes over each; None: all."""
    kind = SENDERS[dialect]
    if not kind.is_side:
        return [(kind(asked), None)]
    return [
        (kind(msgspec.structs.replace(asked, channels=(one,))), column) for column, one in enumerate(asked.channels)
    ]


def public_url(url: str, path: str) -> str:
    """As the other side sees it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{path}"


def encoded(pcm: NDArray[np.float32], encoding: Encoding) -> bytes:
    """Audio (n, channels) as the wire has it."""
    codes = np.clip(np.round(np.nan_to_num(pcm) * 32768.0), -32768, 32767).astype("<i2")
    if encoding == "pcm_s16le":
        return codes.tobytes()
    return _companded(codes, encoding).tobytes()


def _companded(codes: NDArray[np.int16], encoding: Encoding) -> NDArray[np.uint8]:
    """The code whose value is nearest, by the decoder's own table."""
    values = table(encoding)
    order = np.argsort(values)
    ranked = values[order]
    wanted = codes.astype(np.float32) / np.float32(32768.0)
    place = np.clip(np.searchsorted(ranked, wanted), 1, len(ranked) - 1)
    below = wanted - ranked[place - 1] <= ranked[place] - wanted
    nearest: NDArray[np.uint8] = order[place - below].astype(np.uint8)
    return nearest
