"""Recordings as 8 kHz float32 PCM, read forwards in bounded memory.

    path ─► libsndfile ┐
            PyAV       ├─► blocks at the source rate ─► finite, within ±1 ─► soxr ─► read(n_samples)
            G.711      ┘

A `Recording` is one file; a `CallSource` is a call out of one or two of them. A block is float32 `(n, channels)`,
C-contiguous. The size of the source's blocks never depends on how `read` is called: that is what makes every way of
cutting a recording give the same samples. Nothing here seeks, writes, or prints.
"""

import os
import re
import stat
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from vocal.errors import InputError, UsageError
from vocal.types import Channel, Role

RATE_HZ = 8_000
SUPPORTED_RATES_HZ = (4_000, 192_000)

# Headerless telephony: 8 kHz mono, one byte a sample.
G711_SUFFIXES = {
    ".al": "alaw",
    ".alaw": "alaw",
    ".pcma": "alaw",
    ".ul": "ulaw",
    ".ulaw": "ulaw",
    ".pcmu": "ulaw",
}
MPEG_SUFFIXES = {".mp1", ".mp2", ".mp3", ".mpeg", ".mpg"}
SUFFIXES = tuple(
    sorted(
        {".3gp", ".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".avi", ".caf", ".flac", ".gsm", ".m4a", ".mka"}
        | {".mkv", ".mov", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64", ".wav", ".wave"}
        | {".webm", ".wma"}
        | G711_SUFFIXES.keys()
    )
)

BLOCK_SAMPLES = 16_384
LANES = 16  # the width of the native decoder's blocks

# Playlists, scripts and session descriptions make FFmpeg open other files and hosts: only media itself is let in.
AV_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,g722,g723_1,g729,gsm,loas,"
    "m4a,matroska,mov,mp3,mp4,mpeg,mpegts,ogg,rm,tta,w64,wav,webm,wv",
}
# Before PyAV 19 titles in another encoding than UTF-8 made a file unreadable unless they are let pass.
AV_TOLERANT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
# Containers whose header states the length of the audio; elsewhere FFmpeg estimates it from the bit rate.
AV_FORMATS_WITH_LENGTH = {"matroska", "webm", "asf", "flac", "wav"}

# Writers that cannot go back to fill in the length leave a number around 2^31 or 2^32 in the header.
UNKNOWN_LENGTH = 0x7FFF_0000
# libsndfile shortens a length that the file does not reach, and says so in its log only.
# Not the RIFF line of a plain WAV: many writers miscount there, and the audio is all there.
SHORTENED = re.compile(r"^\s*(?:data|SSND|Data Size|Riff size|riff)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)

Block = NDArray[np.float32]
Blocks = Generator[Block, None, None]


class _UndecodableError(Exception):
    """The decoder can go no further: what came before it is all there is. Never leaves this file."""


@dataclass
class _Decoded:
    """What a library makes of a file. `first` has been taken out of `blocks`, so that the file is known to decode."""

    codec: str
    rate_hz: int
    channels: int
    duration_s: float | None
    truncated: bool
    first: Block
    blocks: Blocks


class Recording:
    """One file, handed out as 8 kHz float32.

    Attributes
    ----------
    path : Path
    channels : int
        As in the file; never mixed down.
    source_rate_hz : int
    duration_s : float or None
        By the header, for showing progress; None where the header does not say.
    codec : str
        Container and coding, ``"wav alaw"`` for example.
    truncated : bool
        The file ends before its header says, or stops decoding on the way. Final once everything has been read.
    bad_samples : int
        Samples so far that were not finite; they were replaced by 0.
    """

    def __init__(self, path: Path, decoded: _Decoded) -> None:
        self.path = path
        self.channels = decoded.channels
        self.source_rate_hz = decoded.rate_hz
        self.duration_s = decoded.duration_s
        self.codec = decoded.codec
        self.truncated = decoded.truncated
        self.bad_samples = 0
        self._decoded = decoded
        self._resampled = self._resample()
        self._block: Block = np.zeros((0, self.channels), np.float32)
        self._closed = False

    def read(self, n_samples: int) -> Block:
        """The next `n_samples` of every channel.

        Returns
        -------
        ndarray, shape (m, channels), float32, C-contiguous, within ±1
            `m` is `n_samples` until the recording ends, then what is left, then 0.

        Raises
        ------
        InputError
            At the first call, where not one sample of the file is finite.
        """
        if n_samples < 0:
            raise ValueError(f"Expected n_samples >= 0 but got {n_samples!r}")
        if self._closed:
            raise ValueError(f"Expected an open recording but {_shown(self.path)} is closed")
        pieces = []
        missing = n_samples
        while missing:
            if not len(self._block):
                block = next(self._resampled, None)
                if block is None:
                    break
                self._block = block
            piece, self._block = self._block[:missing], self._block[missing:]
            pieces.append(piece)
            missing -= len(piece)
        return np.concatenate(pieces) if pieces else np.zeros((0, self.channels), np.float32)

    def close(self) -> None:
        self._closed = True
        self._resampled.close()
        self._decoded.blocks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _resample(self) -> Blocks:
        if self.source_rate_hz == RATE_HZ:
            yield from self._clean()
            return
        stream = soxr.ResampleStream(self.source_rate_hz, RATE_HZ, self.channels, dtype="float32", quality="HQ")
        for block in self._clean():
            yield _clipped(stream.resample_chunk(block))
        yield _clipped(stream.resample_chunk(np.zeros((0, self.channels), np.float32), last=True))

    def _clean(self) -> Blocks:
        block = self._decoded.first
        if not np.isfinite(block).any() and not _any_finite(self.path):
            raise InputError(f"{_shown(self.path)}: wanted finite samples, got only NaN or infinity")
        while True:
            bad = ~np.isfinite(block)
            if bad.any():
                self.bad_samples += int(np.count_nonzero(bad))
                block[bad] = 0.0
            yield _clipped(block)
            try:
                block = next(self._decoded.blocks)
            except StopIteration:
                return
            except _UndecodableError:
                self.truncated = True
                return


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Open a recording of any format that libsndfile or FFmpeg decode, or headerless G.711.

    Raises
    ------
    InputError
        In one line, what was wanted and what was given: no such file, a folder, no audio in it, a rate outside
        `SUPPORTED_RATES_HZ`.
    """
    path = Path(path)
    decoded = _decode(path)
    low, high = SUPPORTED_RATES_HZ
    if not low <= decoded.rate_hz <= high:
        decoded.blocks.close()
        raise InputError(f"{_shown(path)}: sample rate is {decoded.rate_hz} Hz, wanted {low} to {high} Hz")
    return Recording(path, decoded)


class CallSource:
    """A call out of recordings: every channel has a role.

    Attributes
    ----------
    source : str
        The path as the user gave it; ``"A + C"`` for two files.
    channels : tuple of Channel
        In the order of the columns that `read` returns.
    duration_s : float or None
        Of the longer side, by its header.
    truncated, bad_samples
        As in `Recording`, over both sides.
    """

    def __init__(self, source: str, channels: tuple[Channel, ...], recordings: tuple[Recording, ...]) -> None:
        self.source = source
        self.channels = channels
        self.recordings = recordings
        durations_s = [recording.duration_s for recording in recordings]
        known_s = [duration_s for duration_s in durations_s if duration_s is not None]
        self.duration_s = max(known_s) if len(known_s) == len(durations_s) else None

    @property
    def truncated(self) -> bool:
        return any(recording.truncated for recording in self.recordings)

    @property
    def bad_samples(self) -> int:
        return sum(recording.bad_samples for recording in self.recordings)

    def read(self, n_samples: int) -> Block:
        """As `Recording.read`, one column a channel; a side that ends first is silent until the other ends too."""
        sides = [recording.read(n_samples) for recording in self.recordings]
        if len(sides) == 1:
            return sides[0]
        pcm = np.zeros((max(map(len, sides)), len(sides)), np.float32)
        for column, side in enumerate(sides):
            pcm[: len(side), column] = side[:, 0]
        return pcm

    def close(self) -> None:
        for recording in self.recordings:
            recording.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_call(path: str | os.PathLike[str], agent_channel: int = 0, role: Role | None = None) -> CallSource:
    """A call from one file: two channels, or one whose speaker's `role` is given.

    Raises
    ------
    UsageError
        A role missing for one channel or given for two.
    InputError
        A file that is no such recording.
    """
    if agent_channel not in (0, 1):
        raise UsageError(f"agent channel: wanted 0 or 1, got {agent_channel!r}")
    if role is not None and role not in get_args(Role):
        raise UsageError(f"role: wanted agent or customer, got {role!r}")
    source = os.fspath(path)
    name = _shown(path)
    recording = open_recording(path)
    try:
        if recording.channels > 2:
            raise InputError(f"{name}: wanted 1 or 2 channels, got {recording.channels}")
        if recording.channels == 2 and role is not None:
            raise UsageError(
                f"{name} has two channels: --role is for mono files, use --agent-channel 0 or --agent-channel 1"
            )
        if recording.channels == 1 and role is None:
            raise UsageError(f"{name} has one channel: say whose it is with --role agent or --role customer")
    except (InputError, UsageError):
        recording.close()
        raise
    if role is not None:
        return CallSource(source, (Channel(0, role),), (recording,))
    other_channel = 1 - agent_channel
    by_channel = {agent_channel: Channel(agent_channel, "agent"), other_channel: Channel(other_channel, "customer")}
    return CallSource(source, (by_channel[0], by_channel[1]), (recording,))


def open_pair(agent_path: str | os.PathLike[str], customer_path: str | os.PathLike[str]) -> CallSource:
    """A call from two mono files that begin at the same moment; the agent is channel 0.

    Raises
    ------
    UsageError
        A file with two channels, which is a call by itself.
    InputError
        A file that is no such recording.
    """
    recordings: list[Recording] = []
    try:
        for path in (agent_path, customer_path):
            recordings.append(recording := open_recording(path))
            if recording.channels == 2:
                raise UsageError(
                    f"{_shown(path)} has two channels: --agent and --customer want one each; give it alone instead"
                )
            if recording.channels != 1:
                raise InputError(f"{_shown(path)}: wanted 1 channel, got {recording.channels}")
    except (InputError, UsageError):
        for recording in recordings:
            recording.close()
        raise
    return CallSource(
        f"{os.fspath(agent_path)} + {os.fspath(customer_path)}",
        (Channel(0, "agent"), Channel(1, "customer")),
        tuple(recordings),
    )


def find_recordings(path: str | os.PathLike[str]) -> list[Path]:
    """The recordings that `path` stands for: itself, or those in the folder and below, sorted, without hidden ones."""
    path = Path(path)
    if not stat.S_ISDIR(_status(path).st_mode):
        return [path]
    found = []
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
        ]
    if not found:
        raise InputError(f"{_shown(path)}: wanted a folder with recordings ({' '.join(SUFFIXES)}), found none")
    return sorted(found)


def _shown(path: str | os.PathLike[str]) -> str:
    """A path for a message: always one printable line."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def _clipped(block: Block) -> Block:
    return np.clip(block, -1.0, 1.0, out=block)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        raise InputError(f"{_shown(path)}: wanted a recording, found no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(f"{_shown(path)}: wanted a recording, got a path that fails: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")


def _any_finite(path: Path) -> bool:
    """Whether one finite sample is in the file: a second pass beside the first, so that nothing is held."""
    decoded = _decode(path)
    try:
        return any(np.isfinite(block).any() for block in decoded.blocks)
    except _UndecodableError:
        return False
    finally:
        decoded.blocks.close()


def _decode(path: Path) -> _Decoded:
    status = _status(path)
    name = _shown(path)
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{name}: wanted a recording, got a folder")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{name}: wanted a recording, got a pipe, socket or device")
    if not status.st_size:
        raise InputError(f"{name}: wanted a recording, got an empty file")
    try:
        with path.open("rb") as file:
            head = file.read(3)
        if coding := G711_SUFFIXES.get(path.suffix.lower()):
            return _decode_g711(path, coding, status.st_size)
        return _decode_with_libraries(path, head)
    except OSError as error:
        raise InputError(f"{name}: wanted a recording, got a file that fails: {_reason(error)}") from None
    except _UndecodableError as error:
        raise InputError(
            f"{name}: wanted a recording, got {status.st_size} bytes that do not decode as audio: {error}"
        ) from None


def _decode_with_libraries(path: Path, head: bytes) -> _Decoded:
    # libsndfile hands MPEG, which it also knows by the suffix, to a library that writes its warnings to stderr.
    mpeg = head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")
    if mpeg or path.suffix.lower() in MPEG_SUFFIXES:
        return _decode_av(path)
    reason = ""
    try:
        sound = soundfile.SoundFile(os.fsencode(path))
    except (RuntimeError, TypeError, ValueError) as error:  # TypeError: .raw, of which it wants to be told the rate
        reason = _reason(error)
    else:
        # A stream of unknown length counts as 2^63 - 1 samples, and its last block is lost in soundfile's seek.
        if not sound.subtype.startswith("MPEG") and sound.frames < 1 << 62:
            try:
                return _decode_sndfile(path, sound)
            except _UndecodableError as error:
                reason = str(error)
        sound.close()
    try:
        return _decode_av(path)
    except _UndecodableError as error:
        raise _UndecodableError(reason or str(error)) from None


def _decode_sndfile(path: Path, sound: Any) -> _Decoded:
    blocks = _sndfile_blocks(sound)
    first = _first(blocks)
    return _Decoded(
        codec=f"{sound.format} {sound.subtype}".lower(),
        rate_hz=sound.samplerate,
        channels=sound.channels,
        duration_s=sound.frames / sound.samplerate,
        truncated=_shortened(sound.extra_info) or (sound.format == "OGG" and _ogg_is_cut(path)),
        first=first,
        blocks=blocks,
    )


def _shortened(log: str) -> bool:
    """Whether libsndfile found less audio than the header says."""
    return any(int(actual) < int(stated) < UNKNOWN_LENGTH for stated, actual in SHORTENED.findall(log))


def _ogg_is_cut(path: Path) -> bool:
    """Whether the last page is missing: RFC 3533, section 6, bit 0x04 of the header type."""
    page_bytes = 27 + 255 + 255 * 255
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - page_bytes))
        tail = file.read(page_bytes)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page.startswith(b"OggS") or not page[5] & 0x04:
        return True
    segments = page[27 : 27 + page[26]]
    return len(page) < 27 + page[26] + sum(segments)


def _sndfile_blocks(sound: Any) -> Blocks:
    n = 0
    with sound:
        while True:
            try:
                block = sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
            except (RuntimeError, ValueError) as error:
                raise _UndecodableError(_reason(error)) from None
            if not len(block):
                break
            n += len(block)
            yield block
    if 0 < n < sound.frames:
        raise _UndecodableError(f"{n} of {sound.frames} samples are there")


def _decode_av(path: Path) -> _Decoded:
    try:
        container = av.open(f"file:{path.absolute()}", "r", options=AV_OPTIONS, **AV_TOLERANT)
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        raise _UndecodableError(_reason(error)) from None
    if not container.streams.audio:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
        container.close()
        raise InputError(f"{_shown(path)}: wanted an audio stream, got {kinds}")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        container.close()
        raise _UndecodableError("its audio coding is unknown")
    if stream.codec_context.name == "flac":
        # Left alone, FFmpeg plays frames whose checksum is wrong: noise at full scale.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    formats = set(container.format.name.split(","))
    duration_s = None
    if stream.duration is not None and stream.time_base is not None:
        duration_s = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration_s = container.duration / av.time_base
    # In other formats, and beside a longer video, the length is not that of the audio.
    stated = (
        "mov" in formats
        or (len(container.streams) == 1 and formats & AV_FORMATS_WITH_LENGTH)
        or ("mp3" in formats and _mp3_states_length(path))
    )
    blocks = _av_blocks(container, stream, duration_s if stated else None)
    first = _first(blocks)
    return _Decoded(
        codec=f"{min(formats, key=container.format.name.index)} {stream.codec_context.codec.canonical_name}",
        rate_hz=stream.codec_context.sample_rate or 0,
        channels=first.shape[1],
        duration_s=duration_s,
        truncated="ogg" in formats and _ogg_is_cut(path),
        first=first,
        blocks=blocks,
    )


def _mp3_states_length(path: Path) -> bool:
    """Whether the first MPEG frame is the one that counts the others."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return b"Xing" in head or b"Info" in head


def _av_blocks(container: Any, stream: Any, stated_s: float | None) -> Blocks:
    """Float blocks in the first frame's layout and rate, whatever the frames after it come in."""
    n = 0
    first: Any = None
    shape: Any = None
    try:
        for frame in container.decode(stream):
            if first is None:
                first = frame
            if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
                # Interleaved: from the ninth plane on, PyAV 18 reads beyond its table of planes and crashes.
                resampler = av.AudioResampler("flt", first.layout, first.sample_rate)
            for interleaved in resampler.resample(frame):
                n += interleaved.samples
                yield interleaved.to_ndarray().reshape(interleaved.samples, -1).astype(np.float32)
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        raise _UndecodableError(_reason(error)) from None
    finally:
        container.close()
    if stated_s is not None and first is not None and n < (stated_s - 0.25) * first.sample_rate:
        raise _UndecodableError(f"{n / first.sample_rate:.1f} of {stated_s:.1f} s are there")


def _decode_g711(path: Path, coding: str, size_bytes: int) -> _Decoded:
    blocks = _g711_blocks(path, coding)
    return _Decoded(
        codec=f"raw {coding}",
        rate_hz=8_000,
        channels=1,
        duration_s=size_bytes / 8_000,
        truncated=False,
        first=_first(blocks),
        blocks=blocks,
    )


def _g711_blocks(path: Path, coding: str) -> Blocks:
    from vocal_kernels._native import decode_alaw, decode_ulaw

    decode = decode_alaw if coding == "alaw" else decode_ulaw
    lanes = np.zeros((BLOCK_SAMPLES, LANES), np.float32)
    with path.open("rb") as file:
        while payload := file.read(BLOCK_SAMPLES):
            n = decode(payload, lanes, 0)
            yield lanes[:n, :1].copy()


def _first(blocks: Blocks) -> Block:
    block = next(blocks, None)
    if block is None:
        raise _UndecodableError("not one sample is there")
    return block
