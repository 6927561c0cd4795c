"""Recordings and labels off the disk. What cannot be right is an InputError that names the file, and the line where it
has lines, what was wanted and what is there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocal.errors import InputError

AFTER_S = 0.05
"""So far behind the end of its recording a label may lie: labels are rounded."""


def files(folder: Path, pattern: str) -> list[Path]:
    """In order; there must be one."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: wanted recordings, {pattern}, got none")
    return found


def read(path: Path) -> tuple[NDArray[np.float32], int]:
    """Its channels' mean, and its rate."""
    samples, rate_hz = _opened(path, "float32")
    return samples.mean(axis=1), rate_hz


def read_exactly(path: Path) -> tuple[NDArray[np.float64], int]:
    """(n,) or (n, channels), and its rate."""
    samples, rate_hz = _opened(path, "float64")
    return (samples[:, 0] if samples.shape[1] == 1 else samples).astype(np.float64), rate_hz


def _opened(path: Path, dtype: str) -> tuple[NDArray[np.floating], int]:
    try:
        samples, rate_hz = soundfile.read(path, dtype=dtype, always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path}: wanted a recording: {error}") from None
    if not len(samples):
        raise InputError(f"{path}: wanted a recording, got no samples")
    return samples, int(rate_hz)


def pcm(path: Path, channels: int = 1) -> NDArray[np.float64]:
    """16 bits without a header: (n,), or (n, channels)."""
    try:
        codes = np.fromfile(path, "<i2")
    except OSError as error:
        raise InputError(f"{path}: wanted a recording of 16 bits: {error.strerror}") from None
    if not len(codes) or len(codes) % channels:
        raise InputError(f"{path}: wanted samples of 16 bits, {channels} at a time, got {len(codes)} of them")
    return (codes if channels == 1 else codes.reshape(-1, channels)) / 32768


def text(path: Path) -> str:
    try:
        return path.read_text("latin-1")
    except OSError as error:
        raise InputError(f"{path}: wanted labels: {error.strerror}") from None


def fields(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """(file and line, its words) of each line that has any; each must have as many as are wanted."""
    for number, line in enumerate(text(path).splitlines(), 1):
        words, where = line.split(), f"{path}, line {number}"
        if words:
            if len(words) != len(wanted):
                raise InputError(f"{where}: wanted {' '.join(wanted)}, got {line.strip()!r}")
            yield where, words


def number(where: str, what: str, given: str, least: float, most: float) -> float:
    try:
        found = float(given)
    except ValueError:
        found = np.nan
    if not least <= found <= most:
        raise InputError(f"{where}: wanted {what} from {least:g} to {most:g}, got {given!r}")
    return found


def one_of(where: str, what: str, given: str, known: frozenset[str]) -> str:
    if given not in known:
        raise InputError(f"{where}: wanted {what} of {', '.join(sorted(known))}; got {given!r}")
    return given
