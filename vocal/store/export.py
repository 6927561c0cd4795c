"""Tables out of the store, for others to work on: Parquet or CSV, a file a table, in a folder of this machine.

The store remembers where they went (`exports.json`), so that an erasure finds them. What an agent is called in their
week, and the mark of a peer, stay out unless asked for. In CSV what a column nests stands in columns with a dot, lists
and maps as JSON.
"""

import contextlib
import csv
import io
import json
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from vocal.errors import StoreError, UsageError, unknown
from vocal.store.files import HALF, Files, GoneError, Lock, day_of
from vocal.store.parts import read_part, valid_parts
from vocal.store.rewrite import Changed, without_calls
from vocal.store.schema import KINDS, kind_name, schema_of

Format = Literal["parquet", "csv"]
REGISTER, LOCK = "exports.json", "exports.lock"
TABLES = {kind_name(kind): kind for kind in KINDS}
_ROWS = 5_000
TRIES = 5


@contextlib.contextmanager
def exporting(spool: Files) -> Iterator[None]:
    """For whoever exports or erases: one at a time. Raises StoreError."""
    if not spool.is_local:
        yield  # exported from another machine than the server's: an erasure says that it cannot reach it
        return
    try:
        lock = Lock(spool.folder, LOCK)
    except StoreError:
        raise StoreError(f"{spool.where}: an export or an erasure is under way; wanted one at a time") from None
    try:
        yield
    finally:
        lock.release()


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """Tables that went to a folder of a host. first, last: of which days; names: with agents' pseudonyms and peers'
    marks; files: SHA-256 by name; done: False: it is being written, or whoever wrote it was killed."""

    folder: str
    host: str
    at: str
    format: Format
    first: str | None
    last: str | None
    tables: tuple[str, ...]
    names: bool
    files: dict[str, str] = {}
    rows: int = 0
    done: bool = False


class Erased(msgspec.Struct):
    """What an erasure did to exports. gone: was not there any more; failed: could not be rewritten, and why."""

    changed: list[Changed] = []
    gone: list[str] = []
    failed: list[str] = []


class Exports:
    """What was exported from a store. One process at a time may export or erase. Raises StoreError."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def all(self) -> list[Export]:
        try:
            return msgspec.json.decode(self._files.read(REGISTER), type=list[Export])
        except GoneError:
            return []
        except msgspec.DecodeError as error:
            raise StoreError(f"{self._files.where}/{REGISTER}: wanted the list of exports: {error}") from None

    def check(self, out: str, tables: Sequence[str] = (), first: date | None = None, last: date | None = None) -> None:
        """Raises UsageError for an export that cannot be."""
        for table in tables:
            if table not in TABLES:
                raise UsageError(f"{unknown('table', table, TABLES)}; there are {', '.join(TABLES)}")
        if first is not None and last is not None and first > last:
            raise UsageError(f"wanted days in their order, got from {first} to {last}")
        folder = Path(out)
        if "://" in out or (folder.exists() and not folder.is_dir()) or (folder.is_dir() and any(folder.iterdir())):
            raise UsageError(f"{out}: wanted a folder of this machine that is empty, or not there yet")

    def write(
        self,
        out: str,
        form: Format = "parquet",
        tables: Sequence[str] = (),
        first: date | None = None,
        last: date | None = None,
        names: bool = False,
        on_progress: Callable[[str, int, int], None] = lambda table, done, whole: None,
    ) -> Export:
        """Exports tables (none: all) of the calls that began from day `first` to `last`, both in it (UTC)."""
        self.check(out, tables, first, last)
        folder = Path(out).absolute()
        kinds = {table: kind for table, kind in TABLES.items() if not tables or table in tables}
        own = Files(folder)
        own.make()
        export = Export(
            folder=str(folder),
            host=socket.gethostname(),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            format=form,
            first=first.isoformat() if first else None,
            last=last.isoformat() if last else None,
            tables=tuple(kinds),
            names=names,
        )
        # Known before the first row is out: an erasure finds what a killed process left, too.
        self._keep(export)
        files, rows = {}, 0
        for table, kind in kinds.items():
            days = sorted({day for entry in self._files.parts(table, first, last) if (day := day_of(entry.name))})
            if not days:
                continue
            name = f"{table}.{form}"
            parts = self._days(kind, days, names, partial(on_progress, table))
            rows += _write_parquet(own, name, parts) if form == "parquet" else _write_csv(own, name, parts)
            files[name] = own.digest(name)
        export = msgspec.structs.replace(export, files=files, rows=rows, done=True)
        self._keep(export)
        return export

    def without(self, calls: Collection[str]) -> Erased:
        """Takes calls out of every export."""
        exports = self.all()
        erased = Erased()
        kept = [self._without(one, calls, erased) for one in exports]
        if kept != exports:
            self._save([one for one in kept if one is not None])
        return erased

    def _without(self, export: Export, calls: Collection[str], erased: Erased) -> Export | None:
        own = Files(export.folder)
        if not own.is_there:
            if export.host == socket.gethostname():
                erased.gone.append(export.folder)
            else:
                erased.failed.append(f"{export.folder}: is on {export.host}: delete it there")
            return export
        if not export.done:
            # Nobody was told of these files, and they may be of any call.
            half = {f"{table}.{export.format}" for table in export.tables}
            for entry in own.entries():
                if entry.name.removesuffix(HALF) in half:
                    erased.changed.append(Changed(f"{export.folder}/{entry.name}", 0, own.digest(entry.name), None))
                    own.delete(entry.name)
            return None
        files: dict[str, str] = {}
        take_out = without_calls if export.format == "parquet" else _csv_without
        for name, digest in export.files.items():
            try:
                change = take_out(own, name, calls)
            except GoneError:
                erased.gone.append(f"{export.folder}/{name}")
                continue
            except (StoreError, ValueError) as error:
                erased.failed.append(f"{export.folder}/{name}: {error}")
                change = None
            if change is not None:
                erased.changed.append(msgspec.structs.replace(change, name=f"{export.folder}/{name}"))
            if change is None or change.after is not None:
                files[name] = digest if change is None else str(change.after)
        return msgspec.structs.replace(export, files=files)

    def _days(
        self, kind: type[msgspec.Struct], days: Sequence[date], names: bool, on_progress: Callable[[int, int], None]
    ) -> Iterator[Any]:
        for done, day in enumerate(days):
            on_progress(done, len(days))
            table = self._day(kind, day)
            yield table if names else without_names(table)
        on_progress(len(days), len(days))

    def _day(self, kind: type[msgspec.Struct], day: date) -> Any:
        """From the beginning, where a part has gone into another meanwhile."""
        for _ in range(TRIES):
            try:
                parts, _ = valid_parts(self._files, kind_name(kind), day, day)
                tables = [read_part(self._files, kind, entry.name) for entry in parts]
            except GoneError:
                continue
            except ValueError as error:
                raise StoreError(
                    f"{self._files.where}, {kind_name(kind)} of {day}: {error}; see vocal store verify"
                ) from None
            return pa.concat_tables([schema_of(kind).empty_table(), *tables])
        raise StoreError(f"{self._files.where}: it changes faster than it can be read")

    def _keep(self, export: Export) -> None:
        self._save([one for one in self.all() if one.folder != export.folder] + [export])

    def _save(self, exports: Sequence[Export]) -> None:
        self._files.write(REGISTER, msgspec.json.format(msgspec.json.encode(exports), indent=1))


def without_names(table: Any) -> Any:
    """A table without what agents are called, and without the marks of peers."""
    if "metadata" in table.column_names:
        column = table["metadata"].combine_chunks()
        fields = list(table.schema.field("metadata").type)
        parts = [pa.nulls(len(table), f.type) if f.name == "agent" else column.field(f.name) for f in fields]
        table = _with(table, "metadata", pa.StructArray.from_arrays(parts, fields=fields))
    if "agent" in table.column_names:
        table = _with(table, "agent", pa.nulls(len(table), pa.string()))
    if "source" in table.column_names:
        table = _with(table, "source", pa.array([""] * len(table), pa.string()))
    return table


def _with(table: Any, name: str, column: Any) -> Any:
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(index), column)


def _write_parquet(files: Files, name: str, tables: Iterator[Any]) -> int:
    rows = 0
    first = next(tables)
    with (
        files.writing(name) as stream,
        pq.ParquetWriter(stream, first.schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in (first, *tables):
            writer.write_table(table)
            rows += len(table)
    return rows


# CSV


def _write_csv(files: Files, name: str, tables: Iterator[Any]) -> int:
    rows = 0
    first = _flat(next(tables))
    with files.writing(name) as stream, pyarrow.csv.CSVWriter(stream, first.schema) as writer:
        writer.write_table(first)
        rows += len(first)
        for table in tables:
            writer.write_table(_flat(table))
            rows += len(table)
    return rows


def _flat(table: Any) -> Any:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    for index, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            values = table.select([index]).to_pylist(maps_as_pydicts="strict")
            texts = [
                None if row[field.name] is None else json.dumps(row[field.name], ensure_ascii=False) for row in values
            ]
            table = table.set_column(index, field.name, pa.array(texts, pa.string()))
    return table


def _csv_without(files: Files, name: str, calls: Collection[str]) -> Changed | None:
    def rows() -> Iterator[list[str]]:
        with open(files.path(name), newline="", encoding="utf-8") as file:
            yield from csv.reader(file)

    try:
        column = next(rows()).index("call")
        hits = sum(row[column] in calls for row in rows())
    except FileNotFoundError:
        raise GoneError(f"{files.where}/{name}: is not there any more") from None
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, IndexError, StopIteration) as error:
        raise ValueError(f"wanted CSV with a column `call`: {error}") from None
    if not hits:
        return None
    before = files.digest(name)
    with files.writing(name) as stream:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for number, row in enumerate(rows(), 1):
            if row[column] not in calls:
                writer.writerow(row)
            if number % _ROWS == 0:
                stream.write(text.getvalue().encode())
                text.seek(0)
                text.truncate()
        stream.write(text.getvalue().encode())
    return Changed(name, hits, before, files.digest(name))
