"""A run on disk: what was measured, where, with what, and every repeat. Written again with each row, so that a run
that is interrupted keeps what was done."""

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from vocal.errors import InputError

from .drawings import Drawing
from .machine import Machine
from .rows import Row

FORMAT = 1


class Skipped(msgspec.Struct, frozen=True):
    """What was asked for and not measured."""

    what: str
    why: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """settings: as asked on the command line. data: checksum of each file that was heard, by its path in the folder.

    others: by part, the share of all cores that others used meanwhile; took_s: by part. is_whole: it came to its end.
    doubts: why its rows may be wrong, or not belong together.
    """

    format: int = FORMAT
    started_at: str
    machine: Machine
    versions: dict[str, str]
    commit: str
    settings: dict[str, str]
    data: dict[str, str] = {}
    others: dict[str, float] = {}
    took_s: dict[str, float] = {}
    skipped: tuple[Skipped, ...] = ()
    rows: tuple[Row, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    doubts: tuple[str, ...] = ()
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


def merged(runs: Sequence[Run]) -> Run:
    """Runs whose parts were measured one after the other, as one. What several of them measured is the last one's."""
    first = min(runs, key=lambda run: run.started_at)
    rows = {row.key: row for run in runs for row in run.rows}
    drawn = {_name(one): one for run in runs for one in run.drawings}
    doubts = [why for run in runs for why in run.doubts]
    for run in runs:
        when = f"{run.settings.get('parts', '')}, {run.started_at}"
        doubts += [f"{when}: {why}" for why in differences(first, run)]
        if run.commit != first.commit:
            doubts.append(f"{when}: commit {first.commit or 'not known'} -> {run.commit or 'not known'}")
        if not run.is_whole:
            doubts.append(f"{when}: it did not come to its end")
    twice = sum(len(run.rows) for run in runs) - len(rows)
    if twice:
        doubts.append(f"{twice} figures were measured more than once: the last run's are shown")
    return Run(
        started_at=first.started_at,
        machine=first.machine,
        versions={name: version for run in runs for name, version in run.versions.items()},
        commit=", ".join(dict.fromkeys(run.commit for run in runs if run.commit)),
        settings={
            name: "; ".join(dict.fromkeys(run.settings[name] for run in runs if name in run.settings))
            for name in dict.fromkeys(name for run in runs for name in run.settings)
        },
        data={name: digest for run in runs for name, digest in run.data.items()},
        others={name: max(run.others.get(name, 0.0) for run in runs) for run in runs for name in run.others},
        took_s={name: took_s for run in runs for name, took_s in run.took_s.items()},
        skipped=tuple(dict.fromkeys(one for run in runs for one in run.skipped)),
        rows=tuple(rows.values()),
        drawings=tuple(drawn.values()),
        doubts=tuple(dict.fromkeys(doubts)),
        is_whole=all(run.is_whole for run in runs),
    )


def _name(drawing: Drawing) -> tuple[str, ...]:
    own = (getattr(drawing, name, "") for name in ("kind", "title", "who"))
    return type(drawing).__name__, *own


def differences(old: Run, new: Run) -> list[str]:
    """What two runs were measured on and with, where that is not the same."""
    found: list[str] = []
    if old.machine != new.machine:
        found.append(f"another machine: {old.machine.told}; {new.machine.told}")
    for name in sorted({*old.versions, *new.versions} - {"vocal"}):
        before, after = old.versions.get(name, "none"), new.versions.get(name, "none")
        if before != after:
            found.append(f"{name} {before} -> {after}")
    changed = [name for name, digest in old.data.items() if new.data.get(name, digest) != digest]
    if changed:
        found.append(f"{len(changed)} recordings are not the same, such as {changed[0]}")
    return found


class _Format(msgspec.Struct):
    format: int


def checksums(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file, by its path in `folder`."""
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in sorted(files)}
