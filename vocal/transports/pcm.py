"""Raw PCM over a WebSocket: one text frame that says what comes, then binary frames. No I/O here.

-> {"sample_rate": 8000, "encoding": "pcm_s16le", "channels": 2, "roles": ["agent", "customer"], "notice": true}
<- {"type": "opened", "call": "..."}
-> binary: samples, channels interleaved, cut anywhere
-> {"type": "notice", "given": false}     at any time
-> {"type": "end"}                        or just close
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import soxr
from numpy.typing import NDArray
from vocal_kernels import RATE_HZ, _native

from vocal.errors import MediaError
from vocal.types import Channel, Metadata, Role

Encoding = Literal["pcm_s16le", "alaw", "mulaw"]
MOST_TEXT = 16_384


class Hello(msgspec.Struct, frozen=True):
    """The first frame. roles: of each channel, in order; without it the agent is first of two, and one is unknown."""

    sample_rate: Literal[8000, 16000] = 8000
    encoding: Encoding = "pcm_s16le"
    channels: Literal[1, 2] = 1
    roles: tuple[Role, ...] = ()
    call: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    notice: bool = False
    metadata: Metadata = Metadata()

    @property
    def opened_channels(self) -> tuple[Channel, ...]:
        default: tuple[Role, ...] = ("agent", "customer") if self.channels == 2 else ("unknown",)
        return tuple(Channel(number, role) for number, role in enumerate(self.roles or default))

    @property
    def opened_metadata(self) -> Metadata:
        return msgspec.structs.replace(self.metadata, notice=self.notice or self.metadata.notice)


class NoticeGiven(msgspec.Struct, frozen=True, tag="notice"):
    given: bool


class End(msgspec.Struct, frozen=True, tag="end"):
    pass


def parse_hello(text: str) -> Hello:
    """Raises MediaError, one line, for anything but a first frame."""
    hello: Hello = _parse(text, Hello)
    if hello.roles and len(hello.roles) != hello.channels:
        raise MediaError(f"roles: wanted {hello.channels}, one a channel, got {len(hello.roles)}")
    return hello


def parse_control(text: str) -> NoticeGiven | End:
    control: NoticeGiven | End = _parse(text, NoticeGiven | End)
    return control


def _parse(text: str, kind: Any) -> Any:
    if len(text) > MOST_TEXT:
        raise MediaError(f"text frame: wanted at most {MOST_TEXT} characters, got {len(text)}")
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MediaError(f"text frame: {error}") from None


class Decoder:
    """Binary frames, cut anywhere, into audio (n, channels) at 8 kHz."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self._bytes = hello.channels * (2 if hello.encoding == "pcm_s16le" else 1)
        self._rest = b""
        self._resamplers = [
            soxr.ResampleStream(hello.sample_rate, RATE_HZ, 1, "float32") if hello.sample_rate != RATE_HZ else None
            for _ in range(hello.channels)
        ]

    def push(self, frame: bytes) -> NDArray[np.float32]:
        data = self._rest + frame if self._rest else frame
        whole = len(data) - len(data) % self._bytes
        self._rest = data[whole:]
        if not whole:
            return np.zeros((0, self._hello.channels), np.float32)
        if self._hello.encoding == "pcm_s16le":
            samples = np.frombuffer(data, "<i2", whole // 2).astype(np.float32) / np.float32(32768.0)
        else:
            samples = _TABLES[self._hello.encoding][np.frombuffer(data, np.uint8, whole)]
        pcm = samples.reshape(-1, self._hello.channels)
        if self._hello.sample_rate == RATE_HZ:
            return pcm
        sides = [
            one.resample_chunk(np.ascontiguousarray(pcm[:, column]))
            for column, one in enumerate(self._resamplers)
            if one is not None
        ]
        return np.stack(sides, axis=1)


def _table(decode: Any) -> NDArray[np.float32]:
    block = np.zeros((256, 16), np.float32)
    decode(bytes(range(256)), block, 0)
    return np.ascontiguousarray(block[:, 0])


_TABLES: Mapping[str, NDArray[np.float32]] = {
    "alaw": _table(_native.decode_alaw),
    "mulaw": _table(_native.decode_ulaw),
}


def table(encoding: Encoding) -> NDArray[np.float32]:
    """The value of each of the 256 codes of G.711, full scale 1."""
    return _TABLES[encoding]


def hello_text(hello: Hello) -> str:
    return json.dumps(msgspec.to_builtins(hello))
