"""Keeping the store: what goes after its time, what an erasure leaves, exports, and whether a store is whole."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vocal.benchmarks.year import Dated, Year

from vocal.answers import Answers
from vocal.audit import Audit, Entry
from vocal.errors import AuditError, StoreError, UsageError
from vocal.policy import Retention
from vocal.pseudonyms import Pseudonyms
from vocal.record import CallRecord
from vocal.store import log
from vocal.store.erasure import asked_for, erase
from vocal.store.export import Exports, exporting
from vocal.store.files import Files, part_name
from vocal.store.listing import listing
from vocal.store.reader import StoreReader
from vocal.store.retention import due, prune
from vocal.store.rewrite import without_calls
from vocal.store.schema import EVENTS, KINDS, kind_name, rows_of, schema_of, table_of
from vocal.store.store import Store
from vocal.store.verify import verify
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


# Is it whole?


def faults(files: Files) -> list[str]:
    return [f"{one.name}: {one.what}" for one in verify(files).faults]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocal.store.verify.AGAIN_S", 0.01)


def test_a_whole_store_is_read_through(files: Files, calls: dict[date, list[Dated]]) -> None:
    before = digests(files)
    verdict = verify(files)
    assert verdict.findings == ()
    assert verdict.calls == sum(map(len, calls.values()))
    assert verdict.files == len(before)
    assert verdict.rows == sum(len(rows(files, kind_name(kind))) for kind in KINDS)
    assert digests(files) == before


@pytest.mark.parametrize("column", ["valence", "stress", "at_s"])
def test_a_byte_that_turned_is_found(files: Files, column: str) -> None:
    name = files.parts("mood")[0].name
    group = pq.ParquetFile(files.path(name)).metadata.row_group(0)
    (chunk,) = (one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == column)
    path = Path(files.path(name))
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 3] ^= 0x10
    path.write_bytes(content)
    (fault,) = faults(files)
    assert fault.startswith(f"{name}: no whole Parquet file")


def test_half_a_file_is_told(files: Files) -> None:
    path = Path(files.path(files.parts("utterance")[0].name))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (fault,) = faults(files)
    assert fault.startswith(f"utterance/day={THURSDAY}/part.parquet: no whole Parquet file")
    listed = listing(files, files, Retention(), at(FRIDAY, 20.0))
    assert listed.unreadable == 1
    with pytest.raises(StoreError, match="see vocal store verify"):
        Exports(files).write(str(Path(files.path("")).parent / "out"))


def test_foreign_files_are_told_and_stay(files: Files) -> None:
    foreign = (
        "notes.txt",
        "calls/notes.parquet",
        f"mood/day={FRIDAY}/notes.txt",
        "log/notes.txt",
        "mood/day=x/a.parquet",
    )
    for name in foreign:
        files.write(name, b"mine")
    table = pa.table({"call": ["x"]})
    files.write_table(f"cue/day={FRIDAY}/other.parquet", table)
    found = verify(files)
    assert {one.name for one in found.faults} >= {*foreign}
    assert all("foreign" in one.what for one in found.findings if one.name in foreign)
    assert [one.what for one in found.findings if one.name.startswith(f"cue/day={FRIDAY}/other")]
    prune(files, Retention(), at(FRIDAY, 24.0) + timedelta(days=40))
    assert {entry.name for entry in files.entries()} >= {*foreign}


def test_what_is_missing_or_double_is_told(files: Files, calls: dict[date, list[Dated]]) -> None:
    some = calls[FRIDAY]
    name = part_name("calls", f"{FRIDAY}", "part")
    records = [call.record for call in some]
    files.write_table(name, table_of(CallRecord, records[1:]))
    assert any("without a record" in one and records[0].call in one for one in faults(files))
    files.write_table(name, table_of(CallRecord, [*records, records[0]]))
    assert any("more than one record" in one for one in faults(files))
    files.write_table(name, table_of(CallRecord, records))
    assert faults(files) == []
    mood = [event for call in some for event in call.events() if event.__struct_config__.tag == "mood"]
    files.write_table(part_name("mood", f"{FRIDAY}", "part"), table_of(type(mood[0]), [*mood, mood[0]]))
    assert any("twice" in one and mood[0].call in one for one in faults(files))


def test_calls_of_another_day_are_told(files: Files, calls: dict[date, list[Dated]]) -> None:
    records = [call.record for call in calls[THURSDAY]]
    files.write_table(part_name("calls", f"{FRIDAY}", "part"), table_of(CallRecord, records))
    assert any(f"calls of another day: {THURSDAY}" in one for one in faults(files))


def test_an_older_schema_is_read_and_a_newer_one_is_not(files: Files, tmp_path: Path) -> None:
    name = files.parts("calls", FRIDAY, FRIDAY)[0].name
    with files.open(name) as file:
        table = pq.ParquetFile(file).read()
    files.write_table(name, table.drop_columns(["touchpoint", "recovered"]))
    assert faults(files) == []
    assert Exports(files).write(str(tmp_path / "out")).files
    assert "touchpoint" in pq.read_schema(tmp_path / "out" / "calls.parquet").names
    newer = {**table.schema.metadata, b"vocal.v": b"99"}
    files.write_table(name, table.replace_schema_metadata(newer))
    (fault,) = faults(files)
    assert "version 99" in fault
    assert "newer Vocal" in fault


def test_a_proof_that_was_altered_and_a_call_that_is_there_again(
    tmp_path: Path, calls: dict[date, list[Dated]]
) -> None:
    folder = tmp_path / "store"
    with Store(folder) as store:
        for call in calls[FRIDAY]:
            store.take(call.events())
    gone = calls[FRIDAY][0]
    with Store(folder) as store:
        proof = erase(store, asked_for("call", gone.record.call, Pseudonyms(), Answers()), "me", Audit())
    assert proof.holds
    assert proof.reread.rows > 100
    files = Files(folder)
    assert faults(files) == []
    with Store(folder) as store:
        store.take(gone.events())
    assert {one.partition(": ")[2].partition(":")[0] for one in faults(files)} == {"calls that were erased are here"}
    (name,) = (entry.name for entry in files.entries("erasures"))
    files.write(name, files.read(name).replace(gone.record.call.encode(), b"another"))
    assert any("altered" in one for one in faults(files))


# Erasing


def keep_calls(folder: Path, some: list[Dated], running: Sequence[Dated] = ()) -> Store:
    store = Store(folder)
    for call in some:
        store.take(call.events())
    for call in running:
        store.take(call.events()[:-1])
    return store


def everything(folder: Path) -> bytes:
    """Every file's content, Parquet and Arrow as text."""
    found = b""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            found += repr(pq.ParquetFile(path).read().to_pylist()).encode()
        elif path.suffix == ".arrow":
            for batch in log.read_segment(path.read_bytes(), "").batches:
                found += repr(batch.rows.to_pylist()).encode()
        elif path.is_file():
            found += path.read_bytes()
    return found


@pytest.mark.parametrize("filed", [True, False])
def test_a_call_is_taken_out_of_log_and_parquet(tmp_path: Path, calls: dict[date, list[Dated]], filed: bool) -> None:
    some = calls[FRIDAY]
    gone = some[1].record.call
    store = keep_calls(tmp_path / "store", some, calls[THURSDAY][:1])
    if filed:
        store.exclusively(store._compact).result()
    store.flush()
    assert gone.encode() in everything(tmp_path / "store")
    proof = erase(store, asked_for("call", gone, Pseudonyms(), Answers()), "me", Audit())
    assert {change.name.startswith("log/") for change in proof.removed} == {not filed}
    assert proof.reread.found == 0
    (kept,) = (tmp_path / "store" / "erasures").iterdir()
    assert gone.encode() in kept.read_bytes()
    assert gone.encode() not in everything(tmp_path / "store").replace(kept.read_bytes(), b"")
    assert {one.call for one in store.reader().records()} == {call.record.call for call in some} - {gone}
    assert store.reader().events(calls[THURSDAY][0].record.call) == calls[THURSDAY][0].events()[:-1]
    with pytest.raises(UsageError, match=f"no call '{gone}'"):
        erase(store, asked_for("call", gone, Pseudonyms(), Answers()), "me", Audit())
    store.close()
    assert gone not in {one.call for one in StoreReader(tmp_path / "store").records()}
    assert faults(Files(tmp_path / "store")) == []


def test_a_running_call_stays(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    running = calls[THURSDAY][0]
    with keep_calls(tmp_path / "store", calls[FRIDAY], [running]) as store:
        with pytest.raises(UsageError, match="is running; wanted one that is over"):
            erase(store, asked_for("call", running.record.call, Pseudonyms(), Answers()), "me", Audit())
        proof = erase(store, asked_for("agent", running.record.agent or "", Pseudonyms(), Answers()), "me", Audit())
        assert proof.running == (running.record.call,)
        assert not proof.holds


def test_all_of_an_agents_calls_go_and_their_answers(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    """Of this week by the pseudonym, of weeks before by what the agents' own index knows."""
    pseudonyms, answers, audit = Pseudonyms(), Answers(), Audit()
    own, before, *others = [call for some in calls.values() for call in some]
    events = own.events()
    named = msgspec.structs.replace(
        events[0],
        metadata=msgspec.structs.replace(events[0].metadata, agent="anna"),  # type: ignore[union-attr]
    )
    with keep_calls(tmp_path / "store", [before, *others]) as store:
        store.take([pseudonyms.protect(named), *events[1:]])
        answers.keep_own(before.record.call, "anna")
        answers.keep_own(others[0].record.call, "ben")
        answers.reflect(before.record.call, "anna", 7, "went well")
        proof = erase(store, asked_for("agent", "anna", pseudonyms, answers), "me", audit, answers.forget_calls)
        assert set(proof.calls) == {own.record.call, before.record.call}
        assert {one.call for one in store.reader().records()} == {call.record.call for call in others}
        assert answers.own_calls("anna") == []
        assert answers.reflections("anna") == []
        assert answers.own_calls("ben") == [others[0].record.call]
        told = msgspec.json.encode(audit.entries())
        assert b"anna" not in told
        assert pseudonyms.pseudonym("anna").encode() not in told
        with pytest.raises(UsageError, match="no calls of agent 'nobody'"):
            erase(store, asked_for("agent", "nobody", pseudonyms, answers), "me", audit)


def test_all_calls_from_a_peer_go(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    pseudonyms = Pseudonyms()
    own, *others = calls[FRIDAY]
    started, *rest = own.events()
    with keep_calls(tmp_path / "store", others) as store:
        store.take([pseudonyms.protect(msgspec.structs.replace(started, source="+49301234567")), *rest])  # type: ignore[call-arg]
        proof = erase(store, asked_for("source", "+49301234567", pseudonyms, Answers()), "me", Audit())
        assert proof.calls == (own.record.call,)
        assert b"301234567" not in everything(tmp_path / "store")


def test_a_file_that_cannot_be_read_keeps_the_proof_from_holding(
    tmp_path: Path, calls: dict[date, list[Dated]]
) -> None:
    with keep_calls(tmp_path / "store", calls[FRIDAY]) as store:
        store.exclusively(store._compact).result()
        name = store.files.parts("mood")[0].name
        Path(store.files.path(name)).write_bytes(b"PAR1")
        call = calls[FRIDAY][0].record.call
        proof = erase(store, asked_for("call", call, Pseudonyms(), Answers()), "me", Audit())
        assert not proof.holds
        assert name in proof.failed[0]


def test_the_audit_log_comes_first(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    class Full(Audit):
        def append(self, who: str, act: str, subject: str = "", **detail: object) -> Entry:
            raise AuditError("the disk is full")

    with keep_calls(tmp_path / "store", calls[FRIDAY]) as store:
        call = calls[FRIDAY][0].record.call
        with pytest.raises(AuditError):
            erase(store, asked_for("call", call, Pseudonyms(), Answers()), "me", Full())
        store.flush()
        assert store.reader().record(call) is not None


def test_an_erasure_waits_for_nobody_who_exports(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    with keep_calls(tmp_path / "store", calls[FRIDAY]) as store, exporting(store.files):
        call = calls[FRIDAY][0].record.call
        with pytest.raises(StoreError, match="an export or an erasure is under way"):
            erase(store, asked_for("call", call, Pseudonyms(), Answers()), "me", Audit())


# What others read it with


def test_the_readmes_queries_run(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    fill(Files(tmp_path / "store"), calls)
    section = (ROOT / "README.md").read_text("utf-8").partition("## The store")[2].partition("\n## ")[0]
    queries = re.findall(r"```python\n(.*?)```", section, re.S)
    assert [re.findall(r"import (\w+)", query)[0] for query in queries] == ["duckdb", "polars", "pandas"]
    for query in queries:
        command = [sys.executable, "-W", "error", "-c", query]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) >= 5


def test_readers_agree(tmp_path: Path, calls: dict[date, list[Dated]]) -> None:
    """DuckDB, polars and pyarrow count and sum alike, and as the records say."""
    fill(Files(tmp_path / "store"), calls)
    records = [call.record for some in calls.values() for call in some]
    parts = f"{tmp_path}/store/calls/*/*.parquet"
    want = (len(records), sum(one.duration_s for one in records), sum(len(one.steps) for one in records))
    query = f"SELECT count(*), sum(duration_s), sum(len(steps)) FROM read_parquet('{parts}')"
    frame = pl.scan_parquet(parts).select(pl.len(), pl.col("duration_s").sum(), pl.col("steps").list.len().sum())
    table = pyarrow.dataset.dataset(tmp_path / "store" / "calls", partitioning="hive").to_table()
    with duckdb.connect() as base:
        assert base.execute(query).fetchall()[0] == pytest.approx(want)
    assert frame.collect().row(0) == pytest.approx(want)
    assert (len(table), sum(table["duration_s"].to_pylist())) == pytest.approx(want[:2])
