"""Raw PCM over a WebSocket: one text frame that says what comes, then binary frames. No I/O here.

Ours (`Pcm`):
-> {"sample_rate": 8000, "encoding": "pcm_s16le", "channels": 2, "roles": ["agent", "customer"], "notice": true}
<- {"type": "opened", "call": "..."}
-> binary: samples, channels interleaved, cut anywhere
-> {"type": "notice", "given": false}     at any time; "basis": "consent" with it where the customer agreed
-> {"type": "end"}                        or just close

Others' (`Listen`: jambonz, FreeSWITCH's mod_audio_fork and mod_audio_stream, Vonage):
-> {"callSid": ..., "sampleRate": 8000, "mixType": "stereo", ...}    {"event": "websocket:connected", ...}
-> binary: L16, little-endian, mono or stereo
-> {"event": "dtmf", "dtmf": "5"}   {"event": "websocket:dtmf", "digit": "5"}
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray
from vocal_kernels import RATE_HZ, _native

from vocal.errors import MediaError
from vocal.transports.dialect import (
    Closed,
    Coding,
    Dialect,
    Dtmf,
    Notice,
    Opened,
    Reply,
    Said,
    Tracks,
    check_format,
    flat,
    text_of,
)
from vocal.types import Basis, Channel, Metadata, Role

Encoding = Literal["pcm_s16le", "alaw", "mulaw"]
MOST_TEXT = 16_384
DELAY_SAMPLES = 2
_CODINGS: Mapping[Encoding, Coding] = {"pcm_s16le": "s16le", "alaw": "alaw", "mulaw": "ulaw"}


class Hello(msgspec.Struct, frozen=True):
    """The first frame. roles: of each channel, in order; without it the agent is first of two, and one is unknown."""

    sample_rate: Literal[8000, 16000] = 8000
    encoding: Encoding = "pcm_s16le"
    channels: Literal[1, 2] = 1
    roles: tuple[Role, ...] = ()
    call: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    notice: bool = False
    metadata: Metadata = Metadata()
    consent: bool = False

    @property
    def opened_channels(self) -> tuple[Channel, ...]:
        default: tuple[Role, ...] = ("agent", "customer") if self.channels == 2 else ("unknown",)
        return tuple(Channel(number, role) for number, role in enumerate(self.roles or default))

    @property
    def opened_metadata(self) -> Metadata:
        said = self.metadata
        return msgspec.structs.replace(said, notice=self.notice or said.notice, consent=self.consent or said.consent)


class NoticeGiven(msgspec.Struct, frozen=True, tag="notice"):
    given: bool
    basis: Basis = "notice"


class End(msgspec.Struct, frozen=True, tag="end"):
    pass


class Pcm(Dialect):
    """Our own."""

    def __init__(self) -> None:
        self._tracks: Tracks | None = None

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        if isinstance(frame, bytes):
            if self._tracks is None:
                raise MediaError("text frame: wanted a first frame that says what comes, got audio")
            return self._tracks.push(frame)
        if self._tracks is None:
            hello = parse_hello(frame)
            coding = _CODINGS[hello.encoding]
            self._tracks = Tracks(hello.channels, coding)
            channels = hello.opened_channels
            return (
                Opened(
                    tuple(str(one.channel) for one in channels),
                    coding,
                    hello.sample_rate,
                    roles=tuple(one.role for one in channels),
                    call=hello.call,
                    metadata=hello.opened_metadata,
                ),
            )
        control: NoticeGiven | End = _parse(frame, NoticeGiven | End)
        return (Closed("hangup") if isinstance(control, End) else Notice(control.given, control.basis),)

    def opened(self, call: str) -> Sequence[Reply]:
        return (_reply({"type": "opened", "call": call}),)

    def refused(self, reason: str, retry_after_s: float | None = None) -> Sequence[Reply]:
        more = {} if retry_after_s is None else {"retry_after_s": retry_after_s}
        return (_reply({"type": "error", "error": reason, **more}),)

    def ended(self, reason: str) -> Sequence[Reply]:
        return (_reply({"type": "ended", "reason": reason}),)


class Listen(Dialect):
    """asked: what the URL says, for those whose first frame does not: rate, mix (mono, mixed, stereo).

    In stereo the caller is first. Two voices mixed into one are nobody's: their role stays unknown.
    """

    def __init__(self, asked: Mapping[str, str] = {}, coding: Coding | None = None) -> None:
        self._asked, self._coding = asked, coding or "s16le"
        self._tracks: Tracks | None = None

    def receive(self, frame: str | bytes) -> Sequence[Said]:
        if isinstance(frame, bytes):
            if self._tracks is None:  # mod_audio_fork without metadata
                return (self._open({}), *self.receive(frame))
            return self._tracks.push(frame)
        try:
            given = msgspec.json.decode(text_of(frame))
        except (msgspec.DecodeError, RecursionError) as error:
            raise MediaError(f"text frame: {error}") from None
        if not isinstance(given, dict):
            raise MediaError(f"text frame: wanted an object, got {frame[:40]!r}")
        if self._tracks is None:
            return (self._open(given),)
        if str(given.get("event", "")).endswith("dtmf"):
            return (Dtmf(str(given.get("digit") or given.get("dtmf") or "")[:1]),)
        if given.get("type") == "notice" and isinstance(given.get("given"), bool):
            return (Notice(given["given"], "consent" if given.get("basis") == "consent" else "notice"),)
        return ()

    def _open(self, given: dict[str, Any]) -> Opened:
        rate = given.get("sampleRate") or _rate(given.get("content-type")) or self._asked.get("rate") or RATE_HZ
        mix = str(given.get("mixType") or self._asked.get("mix") or "mono")
        try:
            rate_hz = int(rate)
        except (TypeError, ValueError):
            raise MediaError(f"sample rate: wanted a number, got {rate!r}") from None
        if mix not in ("mono", "mixed", "stereo"):
            raise MediaError(f"mixType: wanted mono, mixed or stereo, got {mix!r}")
        check_format(self._coding, self._coding, rate_hz)
        names = {"mono": ("caller",), "mixed": ("mixed",), "stereo": ("caller", "callee")}[mix]
        self._tracks = Tracks(len(names), self._coding)
        peer_call = str(given.get("callSid") or given.get("call_sid") or given.get("uuid") or "")
        roles: tuple[Role, ...] = ("unknown",) if mix == "mixed" else ()
        parameters = flat(given.get("metadata")) | flat(given)
        return Opened(names, self._coding, rate_hz, peer_call, parameters, roles)


def _rate(content_type: Any) -> str | None:
    """Of audio/l16;rate=16000."""
    found = str(content_type or "").partition("rate=")[2]
    return found.partition(";")[0].strip() or None


def parse_hello(text: str) -> Hello:
    """Raises MediaError, one line, for anything but a first frame."""
    hello: Hello = _parse(text, Hello)
    if hello.roles and len(hello.roles) != hello.channels:
        raise MediaError(f"roles: wanted {hello.channels}, one a channel, got {len(hello.roles)}")
    return hello


def _parse(text: str, kind: Any) -> Any:
    if len(text) > MOST_TEXT:
        raise MediaError(f"text frame: wanted at most {MOST_TEXT} characters, got {len(text)}")
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MediaError(f"text frame: {error}") from None


def _reply(message: dict[str, Any]) -> Reply:
    return Reply(msgspec.json.encode(message).decode())


class Decoder:
    """One track's audio at its own rate into 8 kHz, some 15 ms behind; what the filter holds back comes with `flush`.

    soxr's filter for rates that vary, since its other one gives blocks of 100 ms. Its delay, 2 samples up to 2 kHz, is
    taken off.
    """

    def __init__(self, coding: Coding, rate_hz: int) -> None:
        self._coding, self._rate_hz = coding, rate_hz
        self._begin()

    def _begin(self) -> None:
        self._resampler = soxr.ResampleStream(self._rate_hz, RATE_HZ, 1, "float32", vr=True)
        self._early = DELAY_SAMPLES

    def push(self, payload: bytes) -> NDArray[np.float32]:
        if self._coding in ("alaw", "ulaw"):
            samples = _TABLES[self._coding][np.frombuffer(payload, np.uint8)]
        else:
            kind = "<i2" if self._coding == "s16le" else ">i2"
            samples = np.frombuffer(payload, kind).astype(np.float32) / np.float32(32768.0)
        return self._on_time(self._resampler.resample_chunk(samples))

    def flush(self) -> NDArray[np.float32]:
        more = np.zeros(DELAY_SAMPLES * self._rate_hz // RATE_HZ, np.float32)
        pcm = self._on_time(self._resampler.resample_chunk(more, last=True))
        self._begin()
        return pcm

    def _on_time(self, pcm: NDArray[np.float32]) -> NDArray[np.float32]:
        early = min(self._early, len(pcm))
        self._early -= early
        return pcm[early:]


def _table(decode: Any) -> NDArray[np.float32]:
    block = np.zeros((256, 16), np.float32)
    decode(bytes(range(256)), block, 0)
    return np.ascontiguousarray(block[:, 0])


_TABLES: Mapping[str, NDArray[np.float32]] = {
    "alaw": _table(_native.decode_alaw),
    "ulaw": _table(_native.decode_ulaw),
}


def table(encoding: Encoding) -> NDArray[np.float32]:
    """The value of each of the 256 codes of G.711, full scale 1."""
    return _TABLES[_CODINGS[encoding]]


def hello_text(hello: Hello) -> str:
    return json.dumps(msgspec.to_builtins(hello))
