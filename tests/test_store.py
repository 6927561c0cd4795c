"""The store: every event comes back from Parquet as it went in."""

import urllib.request
from pathlib import Path

import msgspec
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import serving
from stored import events_of

import vocal
from vocal.analysis import Analysis
from vocal.client import Client
from vocal.demo import call_path
from vocal.errors import StoreError
from vocal.record import CallRecord, CueGiven, record_of
from vocal.store.files import Files
from vocal.store.reader import StoreReader
from vocal.store.schema import KINDS, rows_of, schema_of, table_of
from vocal.store.store import Store
from vocal.types import Satisfaction, Utterance


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return vocal.analyze(call_path(), notice=True)


def test_every_kind_has_a_schema_with_every_field() -> None:
    for kind in KINDS:
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert set(schema_of(kind).names) == fields


def test_what_went_in_comes_out(analysis: Analysis, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(analysis.events)
    reader = StoreReader(tmp_path)
    assert reader.events(analysis.started.call) == analysis.events
    record = reader.record(analysis.started.call)
    assert record is not None
    assert msgspec.structs.replace(record, filed_at=record.ended_at) == record_of(analysis.events)
    assert not list(tmp_path.rglob("*.arrow"))
    assert {path.parent.name for path in tmp_path.rglob("*.parquet")} == {f"day={analysis.started.started_at[:10]}"}


def test_a_record_says_what_the_call_did(analysis: Analysis) -> None:
    record = record_of(analysis.events)
    assert record.satisfaction == analysis.ended.satisfaction
    assert record.notice == "given"
    assert not record.interrupted
    assert len(record.steps) == 24
    talk_s = sum(step.agent_talk_s for step in record.steps)
    assert talk_s == pytest.approx(record.talk_agent_s, rel=0.1)
    unfinished = record_of(analysis.events[:-1])
    assert unfinished.interrupted
    assert unfinished.satisfaction is None
    assert unfinished.talk_agent_s == record.talk_agent_s


def test_any_reader_finds_the_day(analysis: Analysis, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(analysis.events)
    table = pyarrow.dataset.dataset(tmp_path / "utterance", partitioning="hive").to_table()
    assert table.num_rows == len(analysis.utterances)
    assert set(map(str, table["day"].to_pylist())) == {analysis.started.started_at[:10]}


def test_no_half_file_is_left(analysis: Analysis, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(analysis.events)
    assert not list(tmp_path.rglob("*.half"))


def test_an_unfinished_call_is_interrupted(analysis: Analysis, tmp_path: Path) -> None:
    call = analysis.started.call
    with Store(tmp_path) as store:
        store.take(analysis.events[:-1])
        store.flush()
        assert store.reader().record(call) is None
        assert store.reader().events(call) == analysis.events[:-1]
    assert not list(tmp_path.rglob("*.parquet"))
    before = StoreReader(tmp_path).record(call)
    assert before is not None
    assert before.interrupted
    Store(tmp_path).close()
    assert not list(tmp_path.rglob("*.arrow"))
    assert StoreReader(tmp_path).record(call) == before
    assert StoreReader(tmp_path).events(call) == analysis.events[:-1]


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="wanted a folder for the store"):
        Store(tmp_path / "file" / "store")


def test_tables_of_an_analysis(analysis: Analysis) -> None:
    table = analysis.table()
    assert table.num_rows == len(analysis.utterances)
    assert table.schema == schema_of(Utterance)
    assert table_of(Utterance, []).num_rows == 0
    assert "<svg" in analysis.report("en")
    assert "srcdoc" in analysis._repr_html_()


def test_a_part_of_an_older_vocal_is_read_with_defaults(analysis: Analysis, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(analysis.events)
    files = Files(tmp_path)
    (part,) = files.parts("calls")
    with files.open(part.name) as file:
        table = pyarrow.parquet.read_table(file)
    older = table.drop_columns(["touchpoint", "overlaps", "lost_share", "steps"])
    cues = pyarrow.array([[{"seq": 3, "cue": "x"}]], pyarrow.list_(pyarrow.struct({"seq": "int64", "cue": "string"})))
    older = older.set_column(older.column_names.index("cues"), "cues", cues)
    older = older.append_column("of_old", pyarrow.array([1]))
    files.write_table(part.name, older)
    reader = StoreReader(tmp_path)
    record = reader.record(analysis.started.call)
    assert record is not None
    assert (record.touchpoint, record.overlaps, record.lost_share, record.steps) == (None, 0, 0.0, ())
    assert record.cues == (CueGiven(3, "x", "", "", "", 0.0, None, None),)  # type: ignore[arg-type]
    assert record.satisfaction == analysis.ended.satisfaction
    assert reader.table(CallRecord, columns=("call", "overlaps")).column_names == ["call", "overlaps"]


def test_a_part_of_a_newer_vocal_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(analysis.events)
    files = Files(tmp_path)
    (part,) = files.parts("calls")
    with files.open(part.name) as file:
        table = pyarrow.parquet.read_table(file)
    files.write_table(part.name, table.replace_schema_metadata({"vocal.kind": "calls", "vocal.v": "2"}))
    with pytest.raises(StoreError, match=r"calls/day=.*: written in version 2 of the store's schema.*reads up to 1"):
        StoreReader(tmp_path).records()


@given(
    st.lists(
        st.builds(
            CueGiven,
            st.integers(0, 99), st.text(max_size=3), st.just("k"), st.just("agent"), st.just("hint"),
            st.floats(0, 9), st.none() | st.floats(0, 9), st.none() | st.floats(0, 9),
        ),
        max_size=3,
    ).map(tuple),
    st.none() | st.builds(Satisfaction, st.floats(1, 9), st.floats(1, 9), st.floats(1, 9), st.just({}), st.just({})),
)  # fmt: skip
def test_rows_become_columns_and_rows_again(
    analysis: Analysis, cues: tuple[CueGiven, ...], satisfaction: Satisfaction | None
) -> None:
    record = msgspec.structs.replace(record_of(analysis.events), cues=cues, satisfaction=satisfaction, recovered=None)
    rows = [record, record_of(analysis.events), record]
    table = table_of(CallRecord, rows)
    table.validate(full=True)
    assert rows_of(CallRecord, table) == rows
    assert rows_of(CallRecord, table.slice(1, 2)) == rows[1:]
    assert rows_of(CallRecord, table.slice(0, 0)) == []


def test_the_server_says_how_its_store_fares(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store, serving(store=store) as served, Client(served.url) as client:
        assert client.request("GET", "/readyz")["store"] == {"status": "kept", "behind_s": 0.0, "waiting": 0, "lost": 0}
        store.take(events_of("a"))
        assert store.flush()
        with urllib.request.urlopen(f"{served.url}/metrics") as answer:
            text = answer.read().decode()
        assert "vocal_store_events_total 40.0" in text
        assert "vocal_store_failing 0.0" in text
