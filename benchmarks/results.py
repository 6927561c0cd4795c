"""A run on disk: what was measured, where, with what, and every repeat. Written again with each row, so that a run
that is interrupted keeps what was done."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from vocal.errors import InputError

from .machine import Machine
from .rows import Row

FORMAT = 1


class Skipped(msgspec.Struct, frozen=True):
    """What was asked for and not measured."""

    what: str
    why: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """settings: as asked on the command line. data: checksum of each file that was heard, by its path in the folder.

    others: by part, the share of all cores that others used meanwhile; is_whole: it came to its end.
    """

    format: int = FORMAT
    started_at: str
    machine: Machine
    versions: dict[str, str]
    commit: str
    settings: dict[str, str]
    data: dict[str, str] = {}
    others: dict[str, float] = {}
    skipped: tuple[Skipped, ...] = ()
    rows: tuple[Row, ...] = ()
    is_whole: bool = False


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write(run: Run, path: Path) -> None:
    """Whole or not at all."""
    whole = {**msgspec.structs.asdict(run), "rows": [row.as_dict() for row in run.rows]}
    text = msgspec.json.format(msgspec.json.encode(whole, enc_hook=float), indent=1)  # numpy's numbers
    half = path.with_name(f"{path.name}.half")
    try:
        half.write_bytes(text + b"\n")
        os.replace(half, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def read(path: Path) -> Run:
    """Raises InputError for a file that no run wrote."""
    try:
        given = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        version = msgspec.json.decode(given, type=_Format).format
        if version != FORMAT:
            raise InputError(f"{path}: wanted a run in format {FORMAT}, got {version}; measure it again")
        return msgspec.json.decode(given, type=Run)
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: wanted what `vocal bench --save` wrote: {error}") from None


class _Format(msgspec.Struct):
    format: int


def checksums(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its path in `folder`."""
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in sorted(files)}
