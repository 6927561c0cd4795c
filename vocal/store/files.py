"""Files that are there whole or not at all: in a folder of this machine, or where pyarrow gets by URL.

    Files("calls")   Files("file:///var/lib/vocal")   Files("s3://bucket/vocal?region=eu-central-1")

Names are relative to it, with `/` between: `utterance/day=2026-11-22/NAME.parquet`. Here a file is written beside its
name (`.half`), flushed to the disk, and renamed; an object store takes it in one piece.
"""

import contextlib
import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from vocal.errors import StoreError

HALF = ".half"
PART = ".parquet"
LOG = "log"
_DAY = "day="
_OBJECTS = ("s3", "gcs", "abfs")
"""File systems on which a name shows nothing until all of its bytes are there."""


class GoneError(StoreError):
    """A file that is not there: another process may have merged, pruned or erased it just now."""


class Entry(NamedTuple):
    """A file, and its size in bytes."""

    name: str
    size: int


class Files:
    """Raises StoreError for whatever cannot be done, GoneError for a file that is not there."""

    def __init__(self, where: str | os.PathLike[str], filesystem: Any = None) -> None:
        """filesystem: pyarrow's, where `where` is a path in it."""
        self.where = os.fspath(where)
        self._fs, self._root = filesystem, self.where
        if filesystem is None and "://" in self.where:
            try:
                self._fs, self._root = pyarrow.fs.FileSystem.from_uri(self.where)
            except (pa.ArrowException, OSError, ValueError) as error:
                why = str(error).partition("\n")[0].replace(self.where, _shown(self.where))
                raise StoreError(f"{_shown(self.where)}: wanted a folder or a URL that pyarrow knows: {why}") from None
            self.where = _shown(self.where)
        self.is_local = self._fs is None or self._fs.type_name == "local"
        if self.is_local:
            self._fs = None

    @property
    def folder(self) -> Path:
        """Of this machine; what is elsewhere has none."""
        if not self.is_local:
            raise StoreError(f"{self.where}: wanted a folder of this machine")
        return Path(self._root)

    @property
    def is_there(self) -> bool:
        if self.is_local:
            return self.folder.is_dir()
        with self._telling(""):
            # Where there are objects only, an empty bucket's folder is as good as one that was made.
            return self._fs.type_name in _OBJECTS or self._fs.get_file_info(self._root).type.name == "Directory"

    def make(self) -> None:
        """The folder itself, and those it stands in."""
        with self._telling(""):
            if self.is_local:
                _make_folder(self.folder)
            elif self._fs.type_name not in _OBJECTS:
                self._fs.create_dir(self._root, recursive=True)

    def path(self, name: str) -> str:
        """For whoever opens files on their own: a path of this machine, or one in `filesystem`."""
        return f"{self._root.rstrip('/')}/{name}" if name else self._root

    @property
    def filesystem(self) -> Any:
        """pyarrow's; None: this machine's own."""
        return self._fs

    # What is there

    def entries(self, folder: str = "") -> list[Entry]:
        """Every file in a folder and in the folders in it, in order of names; none where there is no such folder."""
        with self._telling(folder):
            return sorted(self._local_entries(folder) if self.is_local else self._remote_entries(folder))

    def parts(self, kind: str, first: date | None = None, last: date | None = None) -> list[Entry]:
        """The Parquet files of one kind of the days from `first` to `last`, both in it."""
        dated = ((entry, day_of(entry.name)) for entry in self.entries(kind) if entry.name.endswith(PART))
        return [
            entry
            for entry, day in dated
            if day is not None and (first is None or day >= first) and (last is None or day <= last)
        ]

    def _local_entries(self, folder: str) -> Iterator[Entry]:
        top = self.path("")
        for here, _, names in os.walk(self.path(folder)):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    path = os.path.join(here, name)
                    yield Entry(os.path.relpath(path, top), os.stat(path).st_size)

    def _remote_entries(self, folder: str) -> Iterator[Entry]:
        chosen = pyarrow.fs.FileSelector(self.path(folder), allow_not_found=True, recursive=True)
        for info in self._fs.get_file_info(chosen):
            if info.type == pyarrow.fs.FileType.File:
                yield Entry(info.path[len(self._root.rstrip("/")) + 1 :], info.size)

    # Reading

    def open(self, name: str) -> Any:
        """A pyarrow file to read from anywhere in it."""
        with self._telling(name):
            return pa.OSFile(self.path(name)) if self.is_local else self._fs.open_input_file(self.path(name))

    def read(self, name: str) -> bytes:
        with self._telling(name), self.open(name) as file:
            return bytes(file.read())

    def digest(self, name: str) -> str:
        """SHA-256 of a file, as hex."""
        found = hashlib.sha256()
        with self._telling(name), self.open(name) as file:
            while block := file.read(1 << 20):
                found.update(block)
        return found.hexdigest()

    # Writing

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Any]:
        """A pyarrow stream; what was written to it is there under its name once the block is left without an error."""
        with self._telling(name, "written"):
            if self.is_local:
                with self._writing_here(Path(self.path(name))) as stream:
                    yield stream
            else:
                held = pa.BufferOutputStream()
                yield held
                self._put(self.path(name), held.getvalue())

    @contextlib.contextmanager
    def _writing_here(self, final: Path) -> Iterator[Any]:
        half = final.with_name(final.name + HALF)
        _make_folder(final.parent)
        try:
            with pa.OSFile(str(half), "wb") as stream:
                yield stream
            sync(half)
            os.replace(half, final)
        except BaseException:
            with contextlib.suppress(OSError):
                half.unlink()
            raise
        sync(final.parent)

    def _put(self, path: str, data: Any) -> None:
        if self._fs.type_name in _OBJECTS:
            with self._fs.open_output_stream(path) as stream:
                stream.write(data)
            return
        self._fs.create_dir(path.rpartition("/")[0], recursive=True)
        with self._fs.open_output_stream(path + HALF) as stream:
            stream.write(data)
        if self._fs.get_file_info(path).type == pyarrow.fs.FileType.File:
            self._fs.delete_file(path)  # HDFS does not rename onto a file
        self._fs.move(path + HALF, path)

    def write(self, name: str, data: bytes) -> None:
        with self.writing(name) as stream:
            stream.write(data)

    def write_table(self, name: str, table: Any, rows_in_group: int | None = None) -> None:
        """An Arrow table as Parquet, compressed."""
        with self.writing(name) as stream:
            pq.write_table(table, stream, compression="zstd", row_group_size=rows_in_group)

    def delete(self, name: str) -> None:
        """A file that is gone already is no error. A day's folder that is empty then goes with it."""
        with self._telling(name, "deleted"):
            if not self.is_local:
                if self._fs.get_file_info(self.path(name)).type == pyarrow.fs.FileType.File:
                    self._fs.delete_file(self.path(name))
                return
            path = Path(self.path(name))
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                sync(path.parent)
                if path.parent.name.startswith(_DAY):
                    path.parent.rmdir()

    @contextlib.contextmanager
    def _telling(self, name: str, done: str = "read") -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise GoneError(f"{self.where}: there is no {name or 'such folder'}") from None
        except OSError as error:
            # pyarrow's own messages run over lines
            why = os.strerror(error.errno) if error.errno else str(error).partition("\n")[0]
            raise StoreError(f"{self.where}/{name}: cannot be {done}: {why}") from error


class Lock:
    """One writer at a time, held until `release` or the end of the process. Raises StoreError."""

    def __init__(self, folder: Path, name: str = "lock") -> None:
        path = folder / name
        try:
            _make_folder(folder)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            # On a disk that is full or read-only a lock from before does as well.
            try:
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                raise StoreError(f"{folder}: wanted a folder for the store: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 200, 0).decode(errors="replace").strip()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"{path}: cannot be locked: {error.strerror}") from None
            raise StoreError(
                f"{folder}: another process writes to this store ({holder or 'it does not say which'}); "
                "wanted one writer: stop it, or give this one a folder of its own"
            ) from None
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def part_name(kind: str, day: str, name: str) -> str:
    """Where a part lies: kind and day as DuckDB, polars and Spark expect them."""
    return f"{kind}/{_DAY}{day}/{name}{PART}"


def day_of(name: str) -> date | None:
    """The day of a part's name; None: it is no part's."""
    pieces = name.split("/")
    if len(pieces) != 3 or not pieces[1].startswith(_DAY):
        return None
    try:
        return date.fromisoformat(pieces[1].removeprefix(_DAY))
    except ValueError:
        return None


def sync(path: str | os.PathLike[str]) -> None:
    """What was written to a file, or done to the names in a folder, is on the disk when this returns."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _make_folder(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        for one in missing:
            sync(one.parent)


def _shown(url: str) -> str:
    """Without a password, and without the settings of the connection."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"
