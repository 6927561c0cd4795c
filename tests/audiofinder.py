"""Finds a voice in files, however it is written: looks for its samples in every reading of every byte.

A piece of known audio (a template) is correlated with the bytes read as 8, 16 and 32 bit integers, floats of both
sizes, A-law and mu-law, at 8 and 16 kHz; gain, offset and coarse coding do not hide it. Looked into are also what is
packed (gzip, zlib, zstd, Parquet, Arrow), SQLite's values, base64 and hexadecimal in texts, and the numbers of JSON.
"""

import base64
import binascii
import gzip
import io
import json
import re
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import oaconvolve

MAGIC = {b"fLaC": "FLAC", b"OggS": "Ogg", b"\x1aE\xdf\xa3": "Matroska", b"ID3": "MP3", b"#!AMR": "AMR", b"caff": "CAF"}
TEMPLATE_S, TEMPLATES = 0.1, 2
SURE = 0.6
"""Correlation from which on it is that voice: what is not stays under 0.45 here, what is reaches 0.9."""

Floats = NDArray[np.float64]


class Finder:
    """pcm: one channel, 8 kHz."""

    def __init__(self, pcm: NDArray[np.float32]) -> None:
        self._templates = []
        for rate_hz in (8000, 16000):
            voice = np.asarray(soxr.resample(pcm, 8000, rate_hz), np.float64)
            size = int(TEMPLATE_S * rate_hz)
            loud = np.convolve(voice**2, np.ones(size), "valid")
            for _ in range(TEMPLATES):  # the loudest stretches, apart from each other
                place = int(np.argmax(loud))
                loud[max(0, place - 2 * size) : place + 2 * size] = 0.0
                template = voice[place : place + size] - voice[place : place + size].mean()
                self._templates.append(template / np.linalg.norm(template))

    def sureness(self, samples: Floats) -> float:
        """The best correlation anywhere, 0-1."""
        best, last = 0.0, 0
        samples = np.where(np.isfinite(samples) & (np.abs(samples) < 1e6), samples, 0.0)
        if not samples.size or not np.ptp(samples):
            return 0.0
        for template in self._templates:
            size = len(template)
            if len(samples) < size:
                continue
            found = oaconvolve(samples, template[::-1], "valid")
            if size != last:
                power = _sums(samples**2, size) - _sums(samples, size) ** 2 / size
                power = np.sqrt(np.maximum(power, 1e-9 * float(np.max(samples**2)) * size + 1e-30))
                last = size
            best = max(best, float(np.max(np.abs(found) / power)))
            if best > SURE:
                break
        return best

    def in_bytes(self, data: bytes) -> float:
        best = 0.0
        for read in _readings(data):
            best = max(best, self.sureness(read))
            if best > SURE:
                break
        return best

    def in_folder(self, folder: Path) -> dict[str, str]:
        """File -> what was found in it, for all files in a folder and in those in it."""
        found = {}
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink() and (what := self.in_file(file)):
                found[str(file.relative_to(folder))] = what
        return found

    def in_file(self, file: Path) -> str:
        data = file.read_bytes()
        for magic, name in MAGIC.items():
            if data.startswith(magic) or (name in ("FLAC", "Ogg") and magic in data):
                return f"{name} file"
        if re.search(rb"RIFF.{4}WAVE|FORM.{4}AIF|\.snd\x00", data, re.DOTALL):
            return "WAV file, or the like"
        for what, piece in pieces(data):
            sureness = self.sureness(piece) if isinstance(piece, np.ndarray) else self.in_bytes(piece)
            if sureness > SURE:
                return f"voice in {what}, {sureness:.2f}"
        return ""


def _sums(samples: Floats, size: int) -> Floats:
    """Of each `size` samples in a row."""
    whole = np.concatenate([[0.0], np.cumsum(samples)])
    return whole[size:] - whole[:-size]


def _readings(data: bytes) -> Iterator[Floats]:
    codes = np.frombuffer(data, np.uint8)
    if codes.size < 8000 * TEMPLATE_S:
        return
    yield codes.astype(np.float64)
    yield codes.view(np.int8).astype(np.float64)
    for law in ("ALAW", "ULAW"):
        yield soundfile.read(io.BytesIO(data), channels=1, samplerate=8000, format="RAW", subtype=law)[0]
    for kind in ("<i2", ">i2", "<f4", "<i4", "<f8"):
        size = np.dtype(kind).itemsize
        for offset in range(size):
            whole = (len(data) - offset) // size
            if whole:
                with np.errstate(invalid="ignore"):
                    yield np.frombuffer(data, kind, whole, offset).astype(np.float64)


def pieces(data: bytes) -> Iterator[tuple[str, bytes | Floats]]:
    """What there is to look into in a file, unpacked."""
    yield "its bytes", data
    for magic, unpack in ((b"\x1f\x8b", gzip.decompress), (b"x", zlib.decompress), (b"\x28\xb5\x2f\xfd", _zstd)):
        if data.startswith(magic):
            with suppress(OSError, zlib.error, EOFError, pa.ArrowException):
                yield "what is packed", unpack(data)
    if data.startswith(b"SQLite format 3"):
        yield from _of_sqlite(data)
    elif data[:4] == b"PAR1":
        yield from _of_table(pq.read_table(io.BytesIO(data)))
    elif data[:6] == b"ARROW1" or data[:4] == b"\xff\xff\xff\xff":
        with suppress(pa.ArrowException):
            opened = pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream
            yield from _of_table(opened(io.BytesIO(data)).read_all())
    else:
        with suppress(UnicodeDecodeError):
            yield from _of_text(data.decode("utf-8"))


def _zstd(data: bytes) -> bytes:
    return pa.input_stream(pa.CompressedInputStream(io.BytesIO(data), "zstd")).read()


def _of_sqlite(data: bytes) -> Iterator[tuple[str, bytes | Floats]]:
    with closing(sqlite3.connect(":memory:")) as base:
        base.deserialize(data)
        for (table,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = base.execute(f'SELECT * FROM "{table}"').fetchall()
            for number, column in enumerate(zip(*rows, strict=True)):
                yield from _of_values(f"{table}, column {number}", column)


def _of_table(table: Any) -> Iterator[tuple[str, bytes | Floats]]:
    for name, column in zip(table.column_names, table.columns, strict=True):
        yield from _of_values(f"column {name}", column.to_pylist())
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                if buffer is not None:
                    yield f"a buffer of column {name}", buffer.to_pybytes()


def _of_values(what: str, values: Any) -> Iterator[tuple[str, bytes | Floats]]:
    """A column: its bytes, its texts, its numbers, each joined in order."""
    raw = b"".join(one for one in values if isinstance(one, bytes))
    if raw:
        yield what, raw
    words = "\n".join(one for one in values if isinstance(one, str))
    if words:
        yield from ((f"{what}, {kind}", piece) for kind, piece in _of_text(words))
    yield from ((f"{what} {path}", numbers) for path, numbers in _numbers(list(values)))


def _of_text(text: str) -> Iterator[tuple[str, bytes | Floats]]:
    runs = re.findall(r"[A-Za-z0-9+/_-]{60,}={0,2}", text)
    decoded = b""
    for run in runs:
        with suppress(binascii.Error, ValueError):
            decoded += base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_").rstrip("=") + "==")
    if decoded:
        yield "base64", decoded
    if digits := "".join(run for run in re.findall(r"(?:[0-9a-fA-F]{2}){40,}", text)):
        yield "hexadecimal", bytes.fromhex(digits)
    parsed = []
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            parsed.append(json.loads(line))
    with suppress(ValueError, RecursionError):
        parsed.append(json.loads(text))
    yield from ((f"JSON {path}", numbers) for path, numbers in _numbers(parsed))
    plain = np.array([float(one) for one in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)[:2_000_000]])
    yield "its numbers", plain


def _numbers(values: list[Any]) -> Iterator[tuple[str, Floats]]:
    """The numbers under each path, in order."""
    found: dict[str, list[float]] = defaultdict(list)
    waiting: list[tuple[str, Any]] = [("", one) for one in reversed(values)]
    while waiting:
        path, one = waiting.pop()
        if isinstance(one, dict):
            waiting += [(f"{path}.{key}", value) for key, value in one.items()]
        elif isinstance(one, (list, tuple)):
            waiting += [(path, value) for value in reversed(one)]
        elif isinstance(one, (int, float)) and not isinstance(one, bool):
            found[path].append(float(one))
    for path, numbers in found.items():
        yield path, np.array(numbers)
