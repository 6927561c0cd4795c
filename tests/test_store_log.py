"""The log: whatever a kill, a power cut or a bad disk leaves of a segment, what is read of it was written."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import events_of

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.store import log
from vocal.store.files import Files
from vocal.store.log import Appender, Row, Segment, read_segment
from vocal.store.schema import kind_name
from vocal.types import Event

SEGMENT = Segment(1, 1, "0123abcd")


def rows(events: list[Event], start: int = 1) -> list[Row]:
    return [
        Row(cursor, event.call, kind_name(type(event)), event.at_s, msgspec.json.encode(event))
        for cursor, event in enumerate(events, start)
    ]


def written(folder: Path, batches: list[list[Row]], is_closed: bool = True, segment: Segment = SEGMENT) -> bytes:
    (folder / "log").mkdir(exist_ok=True)
    path = folder / segment.name
    path.unlink(missing_ok=True)
    appender = Appender(path)
    for number, batch in enumerate(batches):
        appender.append(batch, f"2026-11-22T10:00:{number:02d}.000Z")
    assert appender.content() == path.read_bytes()
    if is_closed:
        appender.close()
    return path.read_bytes()


ROWS = rows(events_of("a", 60) + events_of("b", 20))
BATCHES = [ROWS[:7], ROWS[7:8], ROWS[8:41], ROWS[41:80]]


@pytest.fixture(scope="module")
def segment(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return written(tmp_path_factory.mktemp("log"), BATCHES)


def held(data: bytes) -> list[list[Row]]:
    return [
        [Row(**{**row, "event": row["event"].encode()}) for row in batch.rows.to_pylist()]
        for batch in read_segment(data, "").batches
    ]


def test_any_reader_of_arrow_reads_a_segment(segment: bytes) -> None:
    table = pa.ipc.open_stream(segment).read_all()
    assert table.column_names == ["cursor", "call", "kind", "at_s", "event"]
    assert table["cursor"].to_pylist() == [row.cursor for row in ROWS]
    assert held(segment) == BATCHES
    assert read_segment(segment, "").table()["written_at"].to_pylist()[7] == "2026-11-22T10:00:01.000Z"


@given(st.integers(0, 1 << 20))
@settings(max_examples=400)
def test_a_cut_at_any_byte_leaves_a_beginning(segment: bytes, at: int) -> None:
    cut = segment[: at % (len(segment) + 1)]
    read = read_segment(cut, "")
    found = held(cut)
    assert found == BATCHES[: len(found)]
    assert read.whole_bytes + read.damage.bytes == len(cut) or len(cut) - read.whole_bytes == 8  # the end's mark
    assert read.damage.batches == 0
    if len(cut) == len(segment):
        assert len(found) == len(BATCHES)


@given(st.integers(0, 1 << 20), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_byte_that_changed_invents_nothing(segment: bytes, at: int, mask: int) -> None:
    bad = bytearray(segment)
    bad[at % len(bad)] ^= mask
    try:
        read = read_segment(bytes(bad), "")
    except (StoreError, ValueError):
        return  # the head says that it is of another kind
    found = held(bytes(bad))
    assert all(batch in BATCHES for batch in found)
    assert len(found) == len(BATCHES) or any(read.damage) or at % len(bad) >= read.whole_bytes


@pytest.mark.parametrize("length", [0, 1, 100])
def test_bytes_of_others_are_no_events(length: int) -> None:
    assert read_segment(b"x" * length, "").batches == []


def test_a_stream_of_others_is_said_to_be(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])):
        pass
    with pytest.raises(ValueError, match="not of this store"):
        read_segment(sink.getvalue().to_pybytes(), "")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, log.SCHEMA.with_metadata({"vocal.log": "7"})):
        pass
    with pytest.raises(StoreError, match="here: a log of version 7, and this Vocal reads up to 1"):
        read_segment(sink.getvalue().to_pybytes(), "here")


def test_a_segment_that_is_not_closed_is_read(tmp_path: Path) -> None:
    assert held(written(tmp_path, BATCHES, is_closed=False)) == BATCHES


def test_rewriting_takes_out_what_is_to_go(tmp_path: Path) -> None:
    written(tmp_path, BATCHES)
    files = Files(tmp_path)
    assert log.segments(files) == [SEGMENT]
    assert log.rewrite(files, SEGMENT, lambda batch: batch) == 0
    assert log.rewrite(files, SEGMENT, lambda batch: batch.filter(pc.not_equal(batch["call"], "b"))) == 20
    assert [row for batch in held(files.read(SEGMENT.name)) for row in batch] == ROWS[:60]
    assert log.rewrite(files, SEGMENT, lambda batch: None) == 60
    assert log.segments(files) == []
    assert log.rewrite(files, SEGMENT, lambda batch: None) == 0


def test_withdrawing_leaves_measures_alone(tmp_path: Path) -> None:
    events = events_of("a", 60, withdrawn_at=50) + events_of("b", 20)
    written(tmp_path, [rows(events)[:30], rows(events)[30:]])
    files = Files(tmp_path)
    log.rewrite(files, SEGMENT, log.withdrawn("a", 51))
    kept = [msgspec.json.decode(row.event, type=Event) for batch in held(files.read(SEGMENT.name)) for row in batch]
    assert kept == [left for event in events[:50] if (left := without_inferred(event))] + events[50:]
    text = files.read(SEGMENT.name)
    table = pa.ipc.open_stream(text).read_all().filter(pc.field("cursor") <= 50)
    assert not any('"valence"' in event for event in table["event"].to_pylist())


def test_calls_are_told_apart() -> None:
    index = pa.table(
        {
            "cursor": [1, 2, 3, 4, 5, 6, 7],
            "call": ["a", "b", "a", "a", "c", "b", "a"],
            "kind": ["call_started", "call_started", "call_ended", "call_started", "mood", "mood", "mood"],
        }
    )
    assert log.spans(index, is_over=False) == [("a", 0, 3, 3)]
    far = log.INTERRUPTED
    assert log.spans(index, is_over=True) == [
        ("a", 0, 3, 3), ("c", 0, 5, far + 5), ("b", 0, 6, far + 6), ("a", 3, 7, far + 7),
    ]  # fmt: skip
