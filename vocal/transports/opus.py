"""Opus packets <-> audio at 8 kHz, by the libopus that comes with PyAV.

libopus decodes at 8 kHz for half of what 48 kHz and a filter behind it cost, and without that filter's delay; FFmpeg's
wrapper of it knows 48 kHz only and no DTX, and FFmpeg's own decoder makes packets longer and shorter where a sender
changes its mode.
"""

import ctypes
import ctypes.util
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vocal.errors import MediaError

RATE_HZ = 8000
MOST_SAMPLES = 960
"""Of a packet: 120 ms."""

DTX_BYTES = 2
"""A packet that is no longer holds nothing but a header: its sender may leave out those behind it (opus_encode)."""

_SILENCE = bytes((0xF8, 0xFF, 0xFE))


@cache
def _library() -> Any:
    """Raises MediaError where there is none."""
    folder = Path(av.__file__).parent
    beside = [folder.parent / "av.libs", folder / ".dylibs"]  # where wheels keep theirs, on Linux and on macOS
    found = [str(one) for place in beside for one in sorted(place.glob("*opus*"))]
    if not found and (system := ctypes.util.find_library("opus")) is not None:
        found = [system]
    if not found:
        raise MediaError("libopus: not found; pip install --force-reinstall av, or apt-get install libopus0")
    library = ctypes.CDLL(found[0])
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = [ctypes.c_int32, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode_float.restype = ctypes.c_int
    library.opus_decode_float.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    library.opus_encoder_create.restype = ctypes.c_void_p
    library.opus_encoder_create.argtypes = [
        ctypes.c_int32,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_int),
    ]
    library.opus_encoder_destroy.restype = None
    library.opus_encoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_encoder_ctl.restype = ctypes.c_int
    library.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]  # and one of any kind
    library.opus_encode_float.restype = ctypes.c_int32
    library.opus_encode_float.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int32,
    ]
    return library


class OpusDecoder:
    """Packets in the order they were sent -> audio at 8 kHz; nothing for one that says that nothing follows (DTX).

    Raises MediaError for what is no Opus.
    """

    def __init__(self) -> None:
        library = _library()
        fault = ctypes.c_int()
        self._state = library.opus_decoder_create(RATE_HZ, 1, ctypes.byref(fault))
        if not self._state:
            raise MemoryError(f"opus_decoder_create: {fault.value}")
        weakref.finalize(self, library.opus_decoder_destroy, self._state)
        self._decode = library.opus_decode_float
        self._audio = np.empty(MOST_SAMPLES, np.float32)
        self._place = self._audio.ctypes.data

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        if not payload:
            raise MediaError("Opus: wanted a packet, got nothing")  # would be taken for a lost one
        count = self._decode(self._state, payload, len(payload), self._place, MOST_SAMPLES, 0)
        if count < 0:
            raise MediaError(f"Opus: wanted a packet of at most 120 ms, got {len(payload)} bytes: error {count}")
        return self._audio[: count if len(payload) > DTX_BYTES else 0].copy()


_AUDIO, _SET_BITRATE, _SET_DTX = 2049, 4002, 4016  # opus_defines.h
MOST_BYTES = 1275


class OpusEncoder:
    """Audio at 8 kHz, 20 ms at a time -> packets. dtx: packets of a byte or two where nothing is said."""

    def __init__(self, bits_s: int = 40_000, dtx: bool = False) -> None:
        library = _library()
        fault = ctypes.c_int()
        self._state = library.opus_encoder_create(RATE_HZ, 1, _AUDIO, ctypes.byref(fault))
        if not self._state:
            raise MemoryError(f"opus_encoder_create: {fault.value}")
        weakref.finalize(self, library.opus_encoder_destroy, self._state)
        library.opus_encoder_ctl(self._state, _SET_BITRATE, ctypes.c_int32(bits_s))
        library.opus_encoder_ctl(self._state, _SET_DTX, ctypes.c_int32(dtx))
        self._encode = library.opus_encode_float
        self._packet = ctypes.create_string_buffer(MOST_BYTES)

    def encode(self, pcm: NDArray[np.float32]) -> bytes:
        """Audio (160,)."""
        pcm = np.ascontiguousarray(pcm, np.float32)
        count = self._encode(self._state, pcm.ctypes.data, len(pcm), self._packet, MOST_BYTES)
        if count < 0:
            raise MediaError(f"Opus: wanted 160 samples, got {len(pcm)}: error {count}")
        return self._packet.raw[:count]


def warm_up() -> None:
    """The first decoder takes some time to be there; no call is to wait for it."""
    OpusDecoder().decode(_SILENCE)
