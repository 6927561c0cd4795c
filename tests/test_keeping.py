"""Keeping the store: what goes after its time, what an erasure leaves, exports, and whether a store is whole."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vocal.benchmarks.year import Dated, Year

from vocal.errors import UsageError
from vocal.policy import Retention
from vocal.record import CallRecord
from vocal.store.export import Exports
from vocal.store.files import Files, part_name
from vocal.store.retention import due, prune
from vocal.store.rewrite import without_calls
from vocal.store.schema import EVENTS, KINDS, kind_name, rows_of, schema_of, table_of
from vocal.types import Conversation, Utterance

ROOT = Path(__file__).parents[1]
FRIDAY = date(2026, 11, 20)
THURSDAY = FRIDAY - timedelta(days=1)


@pytest.fixture(scope="module")
def calls() -> dict[date, list[Dated]]:
    year = Year(date(2026, 11, 22), calls=2_000)
    return {day: list(year.of_day(day))[:5] for day in (THURSDAY, FRIDAY)}


def fill(files: Files, calls: dict[date, list[Dated]]) -> Files:
    """One part a day and kind."""
    files.make()
    for day, some in calls.items():
        events = [event for call in some for event in call.events()]
        for kind in EVENTS:
            own = [event for event in events if isinstance(event, kind)]
            if own:
                files.write_table(part_name(kind_name(kind), f"{day}", "part"), table_of(kind, own))
        files.write_table(part_name("calls", f"{day}", "part"), table_of(CallRecord, [call.record for call in some]))
    return files


@pytest.fixture
def files(tmp_path: Path, calls: dict[date, list[Dated]]) -> Files:
    return fill(Files(tmp_path / "store"), calls)


def rows(files: Files, table: str) -> list[dict[str, object]]:
    found = []
    for entry in files.parts(table):
        found += pq.ParquetFile(files.path(entry.name)).read().to_pylist()
    return found


def digests(files: Files) -> dict[str, str]:
    return {entry.name: files.digest(entry.name) for entry in files.entries()}


def calls_in(files: Files, table: str) -> set[object]:
    return {row["call"] for row in rows(files, table)}


def at(day: date, hour: float = 0.0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


# What goes after its time


def test_utterances_go_after_a_day_and_calls_after_a_month(files: Files, calls: dict[date, list[Dated]]) -> None:
    now = datetime.fromisoformat(calls[FRIDAY][2].record.started_at) + timedelta(hours=24)
    prune(files, Retention(), now)
    young = {call.record.call for call in calls[FRIDAY][3:]}
    for table in ("utterance", "conversation"):
        assert calls_in(files, table) == young
    everything = {call.record.call for some in calls.values() for call in some}
    assert calls_in(files, "calls") == calls_in(files, "mood") == everything
    prune(files, Retention(), at(THURSDAY, 24.0) + timedelta(days=30))
    assert calls_in(files, "calls") == calls_in(files, "mood") == {call.record.call for call in calls[FRIDAY]}
    prune(files, Retention(), at(FRIDAY, 24.0) + timedelta(days=30))
    assert files.entries() == []


@given(hours=st.floats(0.0, 80.0), utterances_h=st.floats(0.5, 40.0), calls_h=st.floats(0.5, 40.0))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_kept_longer_and_nothing_goes_before(
    hours: float,
    utterances_h: float,
    calls_h: float,
    calls: dict[date, list[Dated]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    files = fill(Files(tmp_path_factory.mktemp("store")), calls)
    kept = Retention(timedelta(hours=utterances_h), timedelta(hours=calls_h))
    now = at(THURSDAY, hours)
    began = {
        call.record.call: datetime.fromisoformat(call.record.started_at) for some in calls.values() for call in some
    }
    prune(files, kept, now)
    for kind in KINDS:
        limit = kept.utterances if kind in (Utterance, Conversation) else kept.calls
        left = calls_in(files, kind_name(kind)) if files.parts(kind_name(kind)) else set()
        # Without its record nobody knows when a call began, and the day decides.
        young = {call for call, when in began.items() if when + limit > now}
        assert left >= {call for call in young if began[call] + kept.calls > now} & calls_with(kind, calls)
        assert not {call for call in left - young if at(began[str(call)].date(), 24.0) + limit <= now}
        if kept.utterances <= kept.calls:
            assert left <= young


def calls_with(kind: type[msgspec.Struct], calls: dict[date, list[Dated]]) -> set[str]:
    dated = [call for some in calls.values() for call in some]
    if kind is CallRecord:
        return {call.record.call for call in dated}
    return {call.record.call for call in dated if any(isinstance(event, kind) for event in call.events())}


def test_a_rehearsal_changes_nothing(files: Files) -> None:
    before = digests(files)
    found = due(files, Retention(), at(FRIDAY, 34.0))
    assert {one.name.partition("/")[0] for one in found} == {"utterance", "conversation"}
    assert digests(files) == before


def test_what_cannot_be_read_goes_with_its_day(files: Files) -> None:
    name = files.parts("calls", FRIDAY, FRIDAY)[0].name
    Path(files.path(name)).write_bytes(b"PAR1 half of it")
    prune(files, Retention(), at(FRIDAY, 40.0))
    assert files.parts("utterance", FRIDAY)
    prune(files, Retention(), at(FRIDAY, 48.0))
    assert not files.parts("utterance", FRIDAY)
    prune(files, Retention(), at(FRIDAY, 24.0 + 30 * 24.0))
    assert not files.entries()


# Without some calls


def test_only_a_calls_rows_go(files: Files, calls: dict[date, list[Dated]]) -> None:
    gone = calls[FRIDAY][1].record.call
    before = {table: rows(files, table) for table in map(kind_name, KINDS)}
    for kind in KINDS:
        for entry in files.parts(kind_name(kind)):
            change = without_calls(files, entry.name, [gone])
            assert (change is not None) == (
                any(row["call"] == gone for row in before[kind_name(kind)]) and f"{FRIDAY}" in entry.name
            )
    for table, some in before.items():
        assert rows(files, table) == [row for row in some if row["call"] != gone]
    assert not list(Path(files.path("")).rglob("*.half"))
    part = files.parts("calls", FRIDAY, FRIDAY)[0].name
    with files.open(part) as file:
        assert rows_of(CallRecord, pq.ParquetFile(file).read()) == [
            call.record for call in calls[FRIDAY] if call.record.call != gone
        ]


def test_a_part_of_several_row_groups_keeps_the_others(tmp_path: Path) -> None:
    files = Files(tmp_path)
    table = pa.table({"call": [f"c{number % 7}" for number in range(100)], "seq": list(range(100))})
    files.write_table("x.parquet", table, rows_in_group=9)
    change = without_calls(files, "x.parquet", ["c3", "none"])
    assert change is not None
    assert change.rows == 14
    assert change.before != change.after == files.digest("x.parquet")
    left = pq.ParquetFile(files.path("x.parquet")).read()
    assert left["seq"].to_pylist() == [number for number in range(100) if number % 7 != 3]
    assert without_calls(files, "x.parquet", ["c3"]) is None
    whole = without_calls(files, "x.parquet", [f"c{number}" for number in range(7)])
    assert whole is not None
    assert whole.after is None
    assert files.entries() == []


# Exports


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_export_has_every_row_and_no_names(files: Files, tmp_path: Path, form: str) -> None:
    export = Exports(files).write(str(tmp_path / "out"), form, ("calls", "utterance", "call_started"))  # type: ignore[arg-type]
    assert set(export.files) == {f"calls.{form}", f"utterance.{form}", f"call_started.{form}"}
    assert Exports(files).all() == [export]
    assert export.rows == sum(len(rows(files, table)) for table in ("calls", "utterance", "call_started"))
    text = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    pseudonyms = {str(row["agent"]) for row in rows(files, "calls")}
    sources = {str(row["source"]) for row in rows(files, "calls")}
    assert len(pseudonyms) > 1
    assert not [name for name in pseudonyms | sources if name.encode() in text]
    if form == "parquet":
        table = pq.read_table(tmp_path / "out" / "calls.parquet")
        assert table.schema.equals(schema_of(CallRecord))
        assert set(table["agent"].to_pylist()) == {None}
        assert [row["call"] for row in table.to_pylist()] == [row["call"] for row in rows(files, "calls")]
        return
    with (tmp_path / "out" / "calls.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    for one, row in zip(found, rows(files, "calls"), strict=True):
        assert one["call"] == row["call"]
        assert float(one["satisfaction.change"]) == row["satisfaction"]["change"]  # type: ignore[index]
        assert len(json.loads(one["steps"])) == 24


def test_names_when_asked_for(files: Files, tmp_path: Path) -> None:
    Exports(files).write(str(tmp_path / "out"), tables=("calls",), names=True)
    table = pq.read_table(tmp_path / "out" / "calls.parquet")
    assert table["agent"].to_pylist() == [row["agent"] for row in rows(files, "calls")]


def test_days_of_an_export(files: Files, tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    Exports(files).write(str(tmp_path / "out"), tables=("calls",), first=FRIDAY, last=FRIDAY)
    table = pq.read_table(tmp_path / "out" / "calls.parquet")
    assert set(table["call"].to_pylist()) == {call.record.call for call in calls[FRIDAY]}


def test_an_export_that_cannot_be(files: Files, tmp_path: Path) -> None:
    exports = Exports(files)
    with pytest.raises(UsageError, match="unknown table 'cals'; did you mean 'calls'"):
        exports.write(str(tmp_path / "out"), tables=("cals",))
    with pytest.raises(UsageError, match="from 2026-11-20 to 2026-11-19"):
        exports.write(str(tmp_path / "out"), first=FRIDAY, last=THURSDAY)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    for out in (tmp_path / "full", tmp_path / "full" / "x", "s3://bucket/x"):
        with pytest.raises(UsageError, match="wanted a folder of this machine that is empty"):
            exports.write(str(out))
    assert exports.all() == []


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_erasure_reaches_exports(files: Files, tmp_path: Path, calls: dict[date, list[Dated]], form: str) -> None:
    gone = calls[FRIDAY][0].record.call
    exports = Exports(files)
    exports.write(str(tmp_path / "out"), form)  # type: ignore[arg-type]
    (tmp_path / "out" / f"cue.{form}").unlink()
    exports.write(str(tmp_path / "other"), form, ("calls",))  # type: ignore[arg-type]
    (tmp_path / "other" / f"calls.{form}").write_bytes(b"something else altogether")
    erased = exports.without([gone])
    assert erased.gone == [f"{tmp_path}/out/cue.{form}"]
    assert len(erased.failed) == 1
    assert "other/calls" in erased.failed[0]
    assert {change.name for change in erased.changed} >= {f"{tmp_path}/out/{t}.{form}" for t in ("calls", "utterance")}
    for path in (tmp_path / "out").iterdir():
        assert gone.encode() not in path.read_bytes()
    left = {one.folder: one.files for one in exports.all()}[str(tmp_path / "out")]
    assert left == {path.name: Files(tmp_path / "out").digest(path.name) for path in (tmp_path / "out").iterdir()}


def test_what_a_killed_export_left_goes_with_the_first_erasure(files: Files, tmp_path: Path) -> None:
    exports = Exports(files)
    done = exports.write(str(tmp_path / "out"), tables=("calls", "mood"))
    exports._save([msgspec.structs.replace(done, files={}, done=False)])
    (tmp_path / "out" / "mood.parquet").rename(tmp_path / "out" / "mood.parquet.half")
    (tmp_path / "out" / "mine.txt").write_text("notes")
    exports.without(["some other call"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert exports.all() == []
