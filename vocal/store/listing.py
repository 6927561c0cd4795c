"""What is in the store: of each table how much, how old, and what of it is due."""

from datetime import datetime

import msgspec

from vocal.errors import StoreError
from vocal.policy import Retention
from vocal.store import log
from vocal.store.erasure import PROOFS
from vocal.store.export import Export, Exports
from vocal.store.files import LOG, Files, GoneError, Lock, day_of
from vocal.store.parts import valid_parts
from vocal.store.retention import due
from vocal.store.rewrite import reading
from vocal.store.schema import KINDS, kind_name


class Table(msgspec.Struct, frozen=True):
    """oldest, newest: days on which calls began. due: files of which something is to go."""

    table: str
    files: int
    rows: int
    bytes: int
    oldest: str | None
    newest: str | None
    due: int


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """calls: that have a record. days: with calls. unreadable: files that `verify` has more to say of. segments,
    log_bytes, log_calls: of the log, which holds what is not filed yet. is_written: a process writes to it now."""

    store: str
    calls: int
    days: int
    bytes: int
    tables: tuple[Table, ...]
    segments: int
    log_bytes: int
    log_calls: int
    is_written: bool
    figures_bytes: int
    erasures: int
    exports: tuple[Export, ...]
    unreadable: int


def listing(files: Files, log_files: Files, retention: Retention, now: datetime) -> Listing:
    """Raises StoreError where there is no store."""
    if not files.is_there:
        raise StoreError(f"{files.where}: wanted a store, and there is no such folder")
    dues = {one.name for one in due(files, retention, now)}
    tables: list[Table] = []
    unreadable = 0
    days = set()
    for kind in KINDS:
        table = kind_name(kind)
        entries, _ = valid_parts(files, table)
        rows = 0
        for entry in entries:
            try:
                with reading(files, entry.name) as parquet:
                    rows += parquet.metadata.num_rows
            except GoneError:
                continue
            except ValueError:
                unreadable += 1
        own = sorted(str(day_of(entry.name)) for entry in entries)
        days.update(own)
        tables.append(
            Table(
                table,
                len(entries),
                rows,
                sum(entry.size for entry in entries),
                own[0] if own else None,
                own[-1] if own else None,
                sum(entry.name in dues for entry in entries),
            )
        )
    there = log.segments(log_files) if log_files.is_local else []
    sizes = {entry.name: entry.size for entry in (log_files.entries(LOG) if there else ())}
    state = log.load_state(log_files) if log_files.is_local else None
    waiting: set[str] = set()
    for segment in there:
        try:
            waiting.update(log.read(log_files, segment).table()["call"].unique().to_pylist())
        except GoneError:
            continue
        except ValueError:
            unreadable += 1
    figures = [entry for folder in ("figures", "held") for entry in files.entries(folder)]
    return Listing(
        store=files.where,
        calls=tables[-1].rows,
        days=len(days),
        bytes=sum(one.bytes for one in tables),
        tables=tuple(tables),
        segments=len(there),
        log_bytes=sum(sizes.get(segment.name, 0) for segment in there),
        log_calls=len(waiting),
        is_written=state is not None and Lock.is_running(log_files.folder / LOG, state.run),
        figures_bytes=sum(entry.size for entry in figures),
        erasures=len(files.entries(PROOFS)),
        exports=tuple(Exports(files).all()),
        unreadable=unreadable,
    )
