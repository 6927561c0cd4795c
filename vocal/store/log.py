"""The log: events as they came, in segments that only ever grow at their end.

    log/3fa9c21e-00007-000012.arrow     log, run of the server, segment: an Arrow IPC stream
    log/state.json                      which run writes, and how far the calls of each have become Parquet

Columns: cursor (counts the rows of a run from 1), call, kind, at_s, event (JSON as on the wire). Each batch says when
it was written and what its CRC-32 is, so that a tail that a power cut or a kill has torn is known as such.
"""

import contextlib
import io
import os
import re
import secrets
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.store.files import LOG, Files, GoneError, sync
from vocal.types import Event, Notice

VERSION = 1
SCHEMA = pa.schema(
    [
        pa.field("cursor", pa.int64(), False),
        pa.field("call", pa.string(), False),
        pa.field("kind", pa.string(), False),
        pa.field("at_s", pa.float64(), False),
        pa.field("event", pa.string(), False),
    ],
    metadata={"vocal.log": str(VERSION)},
)
INDEX = SCHEMA.names[:3]
NO_ROWS = SCHEMA.append(pa.field("written_at", pa.string(), False)).empty_table()
INFERRED = ("mood", "cue", "utterance")
"""Kinds in which `policy.without_inferred` may find something."""

_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")
_CHECK, _AT = b"crc32", b"at"
_SEGMENT = re.compile(r"([0-9a-f]{8})-(\d{5,})-(\d{6,})\.arrow")
_DECODER = msgspec.json.Decoder(Event)
STATE = f"{LOG}/state.json"


class Row(NamedTuple):
    """An event as the log holds it; `event` is its JSON."""

    cursor: int
    call: str
    kind: str
    at_s: float
    event: bytes


class Segment(NamedTuple):
    """One file of the log, by its name; sorts in the order of writing."""

    run: int
    number: int
    log: str

    @property
    def name(self) -> str:
        return f"{LOG}/{self.log}-{self.run:05d}-{self.number:06d}.arrow"


class Damage(NamedTuple):
    """What a segment no longer tells: batches whose checksum does not fit, bytes of a torn tail."""

    batches: int
    bytes: int


# Writing


class Appender:
    """The segment that is written now. A row is on the disk when `append` returns.

    After an OSError nothing of what was to be appended stands in the file, or `is_broken` says that it must be left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_broken = False
        self.size = 0
        self._held = _Held()
        self._writer = pa.ipc.new_stream(self._held, SCHEMA, options=_OPTIONS)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            sync(path.parent)
        except OSError:
            self.is_broken = True
            raise

    def append(self, rows: Sequence[Row], at: str) -> None:
        """at: the time of day, ISO 8601."""
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)]
        self.append_batch(Batch(pa.record_batch(columns, schema=SCHEMA), at))

    def append_batch(self, batch: "Batch") -> None:
        _write_batch(self._writer, batch)
        self._write(self._held.taken())

    def _write(self, data: bytes) -> None:
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(self._file, memoryview(data)[done:], self.size + done)
        except OSError:
            # The stream's head goes with the first batch, and only once.
            self.is_broken = self.size == 0
            try:
                os.ftruncate(self._file, self.size)
            except OSError:
                self.is_broken = True
            raise
        try:
            os.fsync(self._file)
        except OSError:
            # What the kernel could not write it has forgotten by the next try.
            self.is_broken = True
            raise
        self.size += len(data)

    @property
    def is_gone(self) -> bool:
        """Whether the file's name leads elsewhere or nowhere, as after its folder was moved or deleted."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._file))
        except OSError:
            return True

    def content(self) -> bytes:
        """All that was written, wherever its name is."""
        return os.pread(self._file, self.size, 0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self.size and not self.is_broken:
                self._writer.close()
                self._write(self._held.taken())
            elif not self.size and not self.is_gone:
                self.path.unlink()
        os.close(self._file)


class _Held(io.RawIOBase):
    """Bytes of the stream until they go to the file in one piece."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def taken(self) -> bytes:
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


def _write_batch(writer: Any, batch: "Batch") -> None:
    writer.write_batch(batch.rows, custom_metadata={_CHECK: str(_checksum(batch.rows)), _AT: batch.at})


def _checksum(rows: Any) -> int:
    return zlib.crc32(rows.serialize())


# Reading


class Batch(NamedTuple):
    """Rows that were written at once, an Arrow record batch of `SCHEMA`."""

    rows: Any
    at: str


class Read(NamedTuple):
    """What a segment holds; `whole_bytes` of it are sound from its beginning on."""

    batches: list[Batch]
    whole_bytes: int
    damage: Damage

    def table(self) -> Any:
        """The rows, and in `written_at` when each was written."""
        schema = NO_ROWS.schema
        return pa.Table.from_batches(
            [
                pa.record_batch([*rows.columns, pa.repeat(pa.scalar(at), len(rows))], schema=schema)
                for rows, at in self.batches
            ],
            schema,
        )


def read_segment(data: bytes, where: str) -> Read:
    """Everything that is sound in a segment. Raises StoreError for a newer log, ValueError for what is no segment."""
    source = pa.BufferReader(data)
    try:
        reader = pa.ipc.open_stream(source)
    except (pa.ArrowException, OSError, EOFError):
        return Read([], 0, Damage(0, len(data)))
    version = (reader.schema.metadata or {}).get(b"vocal.log", b"").decode(errors="replace")
    if version.isdigit() and int(version) > VERSION:
        raise StoreError(
            f"{where}: a log of version {version}, and this Vocal reads up to {VERSION}: wanted a newer Vocal"
        )
    if version != str(VERSION) or not reader.schema.equals(SCHEMA):
        raise ValueError("an Arrow stream, but not of this store")
    batches, whole, damaged = [], source.tell(), 0
    while True:
        start = source.tell()
        try:
            rows, metadata = reader.read_next_batch_with_custom_metadata()
            rows.validate(full=True)
            if int(metadata[_CHECK]) != _checksum(rows):
                raise ValueError
            batches.append(Batch(rows, metadata[_AT].decode()))
        except StopIteration:
            return Read(batches, whole, Damage(damaged, 0))
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError):
            if source.tell() in (start, len(data)):
                return Read(batches, whole, Damage(damaged, len(data) - start))
            damaged += 1
            continue
        if not damaged:
            whole = source.tell()


def segments(files: Files) -> list[Segment]:
    """Those that are there, in the order of writing."""
    found = (_SEGMENT.fullmatch(entry.name.removeprefix(f"{LOG}/")) for entry in files.entries(LOG))
    return sorted(Segment(int(one[2]), int(one[3]), one[1]) for one in found if one is not None)


def is_of_log(name: str) -> bool:
    """Whether a file in the log's folder is one of ours."""
    return name in (STATE, f"{LOG}/lock") or _SEGMENT.fullmatch(name.removeprefix(f"{LOG}/")) is not None


def read(files: Files, segment: Segment) -> Read:
    """As `read_segment`; raises GoneError where it is gone."""
    return read_segment(files.read(segment.name), f"{files.where}/{segment.name}")


def rewrite(files: Files, segment: Segment, change: Callable[[Any], Any]) -> int:
    """Puts another segment in its place, whole or not at all: of each batch of rows what `change` leaves of it, None:
    nothing. Returns how many rows went; a segment without any is deleted. Not for the one that is written now."""
    try:
        held = read(files, segment)
    except GoneError:
        return 0
    kept = [Batch(rows, at) for rows, at in ((change(rows), at) for rows, at in held.batches) if rows is not None]
    kept = [batch for batch in kept if len(batch.rows)]
    if [id(batch.rows) for batch in kept] == [id(batch.rows) for batch in held.batches]:
        return 0
    if kept:
        stream = _Held()
        with pa.ipc.new_stream(stream, SCHEMA, options=_OPTIONS) as writer:
            for batch in kept:
                _write_batch(writer, batch)
        files.write(segment.name, stream.taken())
    else:
        files.delete(segment.name)
    return sum(len(rows) for rows, _ in held.batches) - sum(len(rows) for rows, _ in kept)


# Calls in it

INTERRUPTED = 10**11
"""Where calls without an end are put: behind whatever ended."""


class Span(NamedTuple):
    """A call's rows: its own from after `after` up to `last`. `end`: where it is in the order in which calls ended."""

    call: str
    after: int
    last: int
    end: int


def spans(index: Any, is_over: bool) -> list[Span]:
    """The calls of one run that ended, in the order of their ends; those that did not as well once the run `is_over`.

    index: the columns `INDEX` of the run's rows. A call's name may come again: then it is another call.
    """
    found: list[Span] = []
    since: dict[str, int] = {}
    ends = index.filter(pc.equal(index["kind"], "call_ended")).sort_by("cursor")
    for cursor, call in zip(ends["cursor"].to_pylist(), ends["call"].to_pylist(), strict=True):
        if cursor > since.get(call, 0):
            found.append(Span(call, since.get(call, 0), cursor, cursor))
            since[call] = cursor
    if is_over:
        lasts = index.group_by("call").aggregate([("cursor", "max")])
        left = zip(lasts["call"].to_pylist(), lasts["cursor_max"].to_pylist(), strict=True)
        open_spans = [
            Span(call, since.get(call, 0), last, INTERRUPTED + last) for call, last in left if last > since.get(call, 0)
        ]
        found += sorted(open_spans, key=lambda span: span.end)
    return found


def told(rows: Any, wanted: Sequence[Span]) -> Iterator[tuple[Span, list[Event], str]]:
    """Calls out of the rows of a run, in the order of their names: the events, and when the last was written. What was
    inferred before a notice was withdrawn is not among them, nor is what this Vocal does not know."""
    rows = rows.sort_by([("call", "ascending"), ("cursor", "ascending")])
    names = rows["call"].to_pylist()
    for span in sorted(wanted):
        start, end = bisect_left(names, span.call), bisect_right(names, span.call)
        own = rows.slice(start, end - start)
        own = own.filter(pc.and_(pc.greater(own["cursor"], span.after), pc.less_equal(own["cursor"], span.last)))
        if len(own):
            yield span, _events(own), own["written_at"][-1].as_py()


def _events(rows: Any) -> list[Event]:
    found: dict[int, Event] = {}  # by cursor: a row that was written again after a failure is the same
    for cursor, text in zip(rows["cursor"].to_pylist(), rows["event"].to_pylist(), strict=True):
        with contextlib.suppress(msgspec.DecodeError):
            event = _DECODER.decode(text)
            if isinstance(event, Notice) and not event.given:
                found = {at: kept for at, held in found.items() if (kept := without_inferred(held)) is not None}
            found[cursor] = event
    return list(found.values())


def withdrawn(call: str, before: int) -> Callable[[Any], Any]:
    """For `rewrite`: what is left of rows once a call's notice, at cursor `before`, was withdrawn."""

    def change(rows: Any) -> Any:
        touched = pc.and_(pc.equal(rows["call"], call), pc.less(rows["cursor"], before))
        touched = pc.and_(touched, pc.is_in(rows["kind"], pa.array(INFERRED)))
        if not pc.any(touched).as_py():
            return rows
        texts: list[str | None] = rows["event"].to_pylist()
        for index, is_touched in enumerate(touched.to_pylist()):
            if is_touched:
                left = without_inferred(_DECODER.decode(texts[index] or ""))
                texts[index] = None if left is None else msgspec.json.encode(left).decode()
        kept = pa.array([text is not None for text in texts])
        columns = [column.filter(kept) for column in rows.columns[:-1]]
        return pa.record_batch([*columns, pa.array([text for text in texts if text is not None])], schema=SCHEMA)

    return change


# Which run writes


class State(msgspec.Struct):
    """`run` is the one that writes or wrote last. `done`: of runs whose segments are not all gone, the `Span.end` up to
    which calls are in Parquet parts."""

    log: str
    run: int = 0
    done: dict[int, int] = {}
    v: int = VERSION


def load_state(files: Files) -> State | None:
    """None: there is none, or none that can be read."""
    try:
        state = msgspec.json.decode(files.read(STATE), type=State)
    except (GoneError, msgspec.DecodeError):
        return None
    if state.v > VERSION:
        raise StoreError(
            f"{files.where}/{STATE}: version {state.v}, and this Vocal reads up to {VERSION}: wanted a newer Vocal"
        )
    return state


def new_log() -> State:
    return State(secrets.token_hex(4))


def save_state(files: Files, state: State) -> None:
    files.write(STATE, msgspec.json.encode(state))
