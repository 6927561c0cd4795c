"""Calls taken out of all that the store knows of: log, Parquet, exports. With a proof.

Sums over teams stay: they are of at least 5 agents and 50 calls, and lead to nobody (figures.py). The proof says what
was done to which file; it is kept as `erasures/SHA-256.json`, and `verify` looks whether it still holds. It names calls
by their ids, which mean nothing where the calls are gone.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from vocal.answers import Answers
from vocal.audit import Audit
from vocal.errors import StoreError, UsageError
from vocal.pseudonyms import Pseudonyms
from vocal.record import CallRecord
from vocal.store import log
from vocal.store.export import Exports, exporting
from vocal.store.figures import forget
from vocal.store.files import Files, GoneError
from vocal.store.log import Segment
from vocal.store.rewrite import Changed, reading, without_calls
from vocal.store.schema import KINDS, kind_name
from vocal.store.store import Store
from vocal.types import CallStarted

PROOFS = "erasures"
STAYS = "sums over at least 5 agents and 50 calls, which lead to nobody"
What = Literal["call", "agent", "source"]
Progress = Callable[[str, int, int], None]


class NothingKeptError(UsageError):
    """Nothing is kept of whom an erasure was asked for."""


class Asked(NamedTuple):
    """Whose calls: one `call`, an `agent`'s or a `source`'s. name: as it was given; names: any by which the store may
    know them; calls: known to be theirs from elsewhere."""

    what: What
    name: str
    names: frozenset[str]
    calls: frozenset[str] = frozenset()


class Reread(msgspec.Struct, frozen=True):
    """Every file read again afterwards: how many, their rows, and how many of these are of erased calls."""

    files: int
    rows: int
    found: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure did. removed: from which files, exports among them; gone: exports that are not there any more;
    failed: what could not be rewritten, and why; running: calls of theirs that were not over, and stay.
    held: sums of too few that they may have been in, dropped whole. elsewhere: rows of what agents answered, and of
    what waited for webhooks."""

    v: int = 1
    at: str
    by: str
    asked: What
    calls: tuple[str, ...]
    removed: tuple[Changed, ...]
    gone: tuple[str, ...]
    failed: tuple[str, ...]
    running: tuple[str, ...]
    held: int
    elsewhere: int = 0
    reread: Reread
    stays: str = STAYS

    @property
    def holds(self) -> bool:
        return not (self.failed or self.running or self.reread.found)


def asked_for(what: What, name: str, pseudonyms: Pseudonyms, answers: Answers) -> Asked:
    """An agent goes by the pseudonym of this week; which calls of earlier weeks are theirs, `answers` know."""
    match what:
        case "agent":
            names = frozenset((name, pseudonyms.pseudonym(name)))
            return Asked(what, name, names, frozenset(answers.own_calls(name)))
        case "source":
            return Asked(what, name, frozenset((name, pseudonyms.mark(name))))
    return Asked(what, name, frozenset((name,)))


def erase(
    store: Store,
    asked: Asked,
    by: str,
    audit: Audit,
    also: Callable[[Collection[str]], int] = lambda calls: 0,
    on_progress: Progress = lambda what, done, whole: None,
) -> Proof:
    """Erases, in the store's own thread, so that nothing is written meanwhile of what is read; returns when it is done.

    also(calls): takes out what else there is of them, and says how many rows that were. Raises UsageError where there
    is no such call, or it is running.
    """
    # Whose calls they were is not to be kept by the audit log.
    subject = asked.name if asked.what == "call" else ""
    audit.append(by, "store.erase", subject, asked=asked.what)
    proof = store.exclusively(lambda: _erase(store, asked, by, also, on_progress)).result()
    audit.append(by, "store.erased", subject, proof=msgspec.to_builtins(proof))
    return proof


def _erase(store: Store, asked: Asked, by: str, also: Callable[[Collection[str]], int], on_progress: Progress) -> Proof:
    files, log_files = store.files, store.log_files
    with exporting(log_files):
        segments = store.closed_segments()
        running, wanted = _in_log(log_files, segments, asked)
        wanted |= _in_parts(files, asked, partial(on_progress, "search")) | asked.calls
        if asked.what == "call" and wanted & running:
            raise UsageError(f"call {asked.name!r} is running; wanted one that is over")
        if not wanted:
            raise NothingKeptError(f"{files.where}: no calls of {asked.what} {asked.name!r}")
        calls = wanted - running
        elsewhere = also(calls)
        held = _from_held(store, calls)
        # Exports first and records last: an erasure that was broken off finds the same calls when it is asked again.
        exports = Exports(files).without(calls)
        removed = [*exports.changed, *_from_log(log_files, segments, calls)]
        failed = list(exports.failed)
        parts = _parts(files)
        for done, name in enumerate(parts):
            on_progress("erase", done, len(parts))
            try:
                change = without_calls(files, name, calls)
            except (StoreError, ValueError) as error:
                failed.append(f"{name}: {error}")
            else:
                removed += [change] if change is not None else []
        on_progress("erase", len(parts), len(parts))
        if asked.what == "call" and not (removed or failed):
            raise NothingKeptError(f"{files.where}: no call {asked.name!r}")
        proof = Proof(
            at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            by=by,
            asked=asked.what,
            calls=tuple(sorted(calls)),
            removed=tuple(removed),
            gone=tuple(exports.gone),
            failed=tuple(failed),
            running=tuple(sorted(wanted & running)),
            held=held,
            elsewhere=elsewhere,
            reread=_reread(files, log_files, calls, exports.changed, partial(on_progress, "read again")),
        )
        content = msgspec.json.encode(proof)
        files.write(f"{PROOFS}/{hashlib.sha256(content).hexdigest()}.json", content)
        return proof


def _parts(files: Files) -> list[str]:
    return [entry.name for kind in KINDS for entry in files.parts(kind_name(kind))]


# Whose calls


def _in_log(files: Files, segments: Collection[Segment], asked: Asked) -> tuple[set[str], set[str]]:
    """Calls that are not over, and those that are asked for."""
    tables = [log.read(files, segment).table() for segment in segments]
    if not tables:
        return set(), set()
    rows = pa.concat_tables(tables)
    over = {span.call for span in log.spans(rows, is_over=False)}
    begun = rows.filter(pc.equal(rows["kind"], "call_started"))
    theirs: set[str] = set()
    for text in begun["event"].to_pylist():
        event = msgspec.json.decode(text, type=CallStarted)
        name = {"call": event.call, "agent": event.metadata.agent, "source": event.source}[asked.what]
        theirs |= {event.call} if name in asked.names else set()
    return set(rows["call"].to_pylist()) - over, theirs


def _in_parts(files: Files, asked: Asked, on_progress: Callable[[int, int], None]) -> set[str]:
    if asked.what == "call":
        return set(asked.names)
    found: set[str] = set()
    given = pa.array(sorted(asked.names), pa.string())
    entries = files.parts("calls")
    for done, entry in enumerate(entries):
        on_progress(done, len(entries))
        try:
            with reading(files, entry.name) as parquet:
                table = parquet.read(["call", asked.what])
        except (GoneError, ValueError):
            continue  # said of it when it is to be rewritten
        found.update(table.filter(pc.is_in(table[asked.what], given))["call"].to_pylist())
    on_progress(len(entries), len(entries))
    return found


# Figures and log


def _from_held(store: Store, calls: Collection[str]) -> int:
    """Before their records go, which say in which sums they are."""
    columns = ("filed_at", "team", "queue", "touchpoint")
    table = store.reader().table(CallRecord, columns=columns, calls=sorted(calls))
    return forget(store.files, zip(*(table[column].to_pylist() for column in columns), strict=True))


def _from_log(files: Files, segments: Collection[Segment], calls: Collection[str]) -> Iterator[Changed]:
    given = pa.array(sorted(calls), pa.string())

    def change(rows: Any) -> Any:
        hit = pc.is_in(rows["call"], given)
        return rows.filter(pc.invert(hit)) if pc.any(hit).as_py() else rows

    for segment in sorted(segments, reverse=True):  # where it began goes last
        try:
            before = files.digest(segment.name)
            rows = log.rewrite(files, segment, change)
        except (GoneError, ValueError):
            continue  # filed already, or none of ours
        if rows:
            try:
                yield Changed(segment.name, rows, before, files.digest(segment.name))
            except GoneError:
                yield Changed(segment.name, rows, before, None)


# Is it gone?


def _reread(
    files: Files,
    log_files: Files,
    calls: Collection[str],
    exports: Collection[Changed],
    on_progress: Callable[[int, int], None],
) -> Reread:
    given = pa.array(sorted(calls), pa.string())
    read = rows = found = 0
    columns: list[Callable[[], Any]] = [*_log_columns(log_files)]
    columns += [partial(_column, files, name) for name in _parts(files)]
    columns += [partial(_export_column, change.name) for change in exports if change.after is not None]
    for done, column in enumerate(columns):
        on_progress(done, len(columns))
        try:
            values = column()
        except (StoreError, ValueError):
            continue  # among what failed
        read, rows = read + 1, rows + len(values)
        found += int(pc.sum(pc.is_in(values, given)).as_py() or 0)
    on_progress(len(columns), len(columns))
    return Reread(read, rows, found)


def _log_columns(files: Files) -> Iterator[Callable[[], Any]]:
    for segment in log.segments(files):
        yield partial(_log_column, files, segment)


def _log_column(files: Files, segment: Segment) -> Any:
    return log.read(files, segment).table()["call"]


def _column(files: Files, name: str) -> Any:
    with reading(files, name) as parquet:
        return parquet.read(["call"])["call"]


def _export_column(path: str) -> Any:
    folder, _, name = path.rpartition("/")
    if name.endswith(".parquet"):
        return _column(Files(folder), name)
    return pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(include_columns=["call"]))["call"]
