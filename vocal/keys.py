"""Small files that are their owner's alone: whole or not at all, and one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds `file` against other processes, and makes its folder. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def write_whole(file: Path, content: bytes) -> None:
    """Puts `content` in the place of a file, on disk when this returns; what the file held before is overwritten with
    zeros, as far as the disk lets us. Raises OSError."""
    half = file.with_name(f"{file.name}.{os.getpid()}.half")
    try:
        with open(os.open(half, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        before = os.open(file, os.O_WRONLY) if file.exists() else None
        os.replace(half, file)
    except OSError:
        half.unlink(missing_ok=True)
        raise
    if before is not None:
        with contextlib.suppress(OSError), open(before, "wb", buffering=0) as old:
            old.write(bytes(os.fstat(before).st_size))
            os.fsync(before)
    sync_folder(file.parent)


def sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
