"""Compaction: what went into the log comes out of the parts once, wherever the work was killed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import BEGAN, events_of, later
from test_store_log import rows, written

from vocal.policy import without_inferred
from vocal.store import log, parts
from vocal.store.files import Files
from vocal.store.log import Segment, State
from vocal.store.parts import Parts, Stem, read_part, stem_of, valid_parts
from vocal.store.reader import StoreReader
from vocal.store.schema import KINDS, kind_name, schema_of
from vocal.types import CallStarted, Event, Notice

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


class KillError(BaseException):
    """The process is gone."""


class Killed(Files):
    """Files of a process that is killed before it does its n-th write or deletion."""

    def __init__(self, where: Path, steps: int) -> None:
        super().__init__(where)
        self.steps = steps

    def _step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise KillError

    def writing(self, name: str) -> Any:
        self._step()
        return super().writing(name)

    def delete(self, name: str) -> None:
        self._step()
        super().delete(name)


def expected(events: list[Event]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        if isinstance(event, Notice) and not event.given:
            found = [kept for held in found if (kept := without_inferred(held)) is not None]
        found.append(event)
    return found


CALLS = {
    "a": events_of("a", 40),
    "b": events_of("b", 30, later(2.0)),  # begins on the next day
    "c": events_of("c", 50, later(0.1), withdrawn_at=44),
    "d": events_of("d", 60)[:50],  # interrupted
    "e": events_of("e", 9, later(3.0))[:-1],
}


def interleaved() -> list[Event]:
    """All calls at once, a turn each."""
    found, waiting = [], [list(events) for events in CALLS.values()]
    while any(waiting):
        found += [events.pop(0) for events in waiting if events]
    return found


def logged(folder: Path, sizes: list[int], run: int = 1) -> list[Segment]:
    """All calls in segments of so many rows each, two batches a segment."""
    left, made = rows(interleaved()), []
    while left:
        size = sizes[len(made) % len(sizes)]
        segment = Segment(run, len(made) + 1, "0123abcd")
        some, left = left[:size], left[size:]
        written(folder, [batch for batch in (some[: size // 2], some[size // 2 :]) if batch], segment=segment)
        made.append(segment)
    return made


def check(folder: Path, calls: str = "abcde") -> None:
    """Every call is read, once; those of `calls` are as they went in."""
    reader = StoreReader(folder)
    found = {record.call: record for record in reader.records()}
    assert len(reader.records()) == len(CALLS)
    assert {call for call, record in found.items() if record.interrupted} == {"d", "e"}
    for call in calls:
        assert reader.events(call) == expected(CALLS[call])
        assert reader.record(call) == found[call]
    for kind in KINDS[:-1]:
        told = [event for events in CALLS.values() for event in expected(events) if isinstance(event, kind)]
        assert reader.table(kind, columns=("call",)).num_rows == len(told), kind_name(kind)
    assert reader.problems == []


@given(st.lists(st.integers(12, 90), min_size=1, max_size=4))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_went_in_comes_out(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("store")
    segments = logged(folder, sizes)
    check(folder)
    files = Files(folder)
    state = State("0123abcd", 1, {1: 0})
    made = Parts(files, files, state)
    # As a server does that runs: a few segments at a time, then the rest after its end.
    for count in range(0, len(segments), 3):
        made.compact([segment for segment in segments[:count] if segment in log.segments(files)])
        check(folder)
    state.run, state.done[2] = 2, 0
    made.compact(log.segments(files))
    assert log.segments(files) == []
    assert (made.calls, made.interrupted, made.unreadable) == (5, 2, 0)
    check(folder)
    made.merge(NOW + timedelta(days=2))
    check(folder)
    assert [len(files.parts(kind_name(kind))) for kind in KINDS] == [2, 2, 2, 2, 2, 1, 2, 2]


def killed_at_each_step(folder: Path, files: Files | None = None) -> Iterator[int]:
    """Compaction and merging, killed before each of their steps, and begun anew by the next process."""
    steps = 0
    while True:
        at = folder / str(steps)
        at.mkdir()
        segments = logged(at, [70])
        state = State("0123abcd", 1, {1: 0})
        try:
            mortal = Killed(at, steps)
            made = Parts(files or mortal, mortal, state)
            made.compact(segments[:2])
            state.run, state.done[2] = 2, 0
            made.compact(log.segments(mortal))
            made.merge(NOW + timedelta(days=2))
        except KillError:
            yield steps
            steps += 1
        else:
            return


def test_killed_before_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ROWS_IN_PART", 120)
    count = 0
    for steps in killed_at_each_step(tmp_path):
        count += 1
        folder = tmp_path / str(steps)
        check(folder, "c")
        files = Files(folder)
        state = log.load_state(files) or State("0123abcd", 1, {1: 0})
        state.run += 1
        state.done[state.run] = 0
        made = Parts(files, files, state)
        made.compact(log.segments(files))
        made.merge(NOW + timedelta(days=2))
        check(folder, "cd")
        assert log.segments(files) == []
        for kind in KINDS:
            days = [part.name.split("/")[1] for part in files.parts(kind_name(kind))]
            assert len(days) == len(set(days)), f"two parts of a day are left of {kind_name(kind)}"
            assert {part.name for part in valid_parts(files, kind_name(kind))[0]} == {
                part.name for part in files.parts(kind_name(kind))
            }
    assert count > 50


def test_many_small_parts_become_one_before_the_day_is_over(tmp_path: Path) -> None:
    files = Files(tmp_path)
    state = State("0123abcd", 1, {1: 0})
    made = Parts(files, files, state)
    cursor = 1
    for number in range(1, 13):
        segment = Segment(1, number, "0123abcd")
        events = events_of(f"call{number}", 20)
        written(tmp_path, [rows(events, cursor)], segment=segment)
        cursor += len(events)
        made.compact([segment])
        made.merge(BEGAN)
        assert len(files.parts("calls")) == (number if number < parts.SMALL_PARTS else 1)
    reader = StoreReader(tmp_path)
    assert len(reader.records()) == 12
    assert reader.events("call7") == events_of("call7", 20)
    (part,) = files.parts("mood")
    table = read_part(files, KINDS[2], part.name)
    assert table["call"].to_pylist() == sorted(table["call"].to_pylist())


def test_parts_elsewhere(tmp_path: Path) -> None:
    elsewhere = Files("bucket/store", pyarrow.fs._MockFileSystem())
    spool = Files(tmp_path)
    segments = logged(tmp_path, [100])
    elsewhere.make()
    check_elsewhere = StoreReader(elsewhere, spool)
    assert len(check_elsewhere.records()) == 5
    made = Parts(elsewhere, spool, State("0123abcd", 2, {1: 0, 2: 0}))
    made.compact(segments)
    made.merge(NOW + timedelta(days=2))
    assert log.segments(spool) == []
    assert len(check_elsewhere.records()) == 5
    assert check_elsewhere.events("c") == expected(CALLS["c"])


def test_a_name_that_comes_again_is_another_call(tmp_path: Path) -> None:
    first, second = events_of("a", 20), events_of("a", 12, later(5.0))
    written(tmp_path, [rows(first + second)])
    files = Files(tmp_path)
    for _ in range(2):
        reader = StoreReader(tmp_path)
        assert [record.duration_s for record in reader.records()] == [9.5, 5.5]
        assert reader.events("a") == second
        last = reader.record("a")
        assert last is not None
        assert last.duration_s == 5.5
        Parts(files, files, State("0123abcd", 2, {1: 0, 2: 0})).compact(log.segments(files))


def test_a_call_without_its_beginning_holds_up_no_other(tmp_path: Path) -> None:
    written(tmp_path, [rows(events_of("lost", 20)[3:] + events_of("a", 20))])
    files = Files(tmp_path)
    assert [record.call for record in StoreReader(tmp_path).records()] == ["a"]
    made = Parts(files, files, State("0123abcd", 2, {1: 0, 2: 0}))
    made.compact(log.segments(files))
    assert (made.calls, made.unreadable) == (1, 1)
    assert [record.call for record in StoreReader(tmp_path).records()] == ["a"]


def test_a_parts_name_says_of_what_it_was_made() -> None:
    stem = Stem("0123abcd", (1, 0), (12, 10**11 + 5))
    assert stem_of(f"calls/day=2026-11-22/{stem}.parquet") == stem
    assert stem.covers(Stem("0123abcd", (1, 7), (2, 3)))
    assert not stem.covers(Stem("0123abcd", (1, 7), (12, 10**11 + 6)))
    assert not stem.covers(Stem("0123abce", (1, 7), (2, 3)))
    assert stem_of("calls/day=2026-11-22/mine.parquet") is None


def test_other_readers_see_the_same(tmp_path: Path) -> None:
    segments = logged(tmp_path, [100])
    files = Files(tmp_path)
    Parts(files, files, State("0123abcd", 2, {1: 0, 2: 0})).compact(segments)
    table = pyarrow.dataset.dataset(tmp_path / "call_started", partitioning="hive").to_table()
    assert table.drop_columns("day").schema.equals(schema_of(CallStarted))
    assert sorted(map(str, table["day"].to_pylist())) == 3 * ["2026-11-22"] + 2 * ["2026-11-23"]
    days = StoreReader(tmp_path).records(date(2026, 11, 23), date(2026, 11, 23))
    assert [record.call for record in days] == ["b", "e"]
    assert isinstance(table, pa.Table)
    assert all(msgspec.json.encode(record) for record in days)
