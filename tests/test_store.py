"""The store: every event comes back from Parquet as it went in."""

from pathlib import Path

import msgspec
import pyarrow.dataset
import pytest

import vocal
from vocal.analysis import Analysis
from vocal.demo import call_path
from vocal.errors import StoreError
from vocal.record import record_of
from vocal.store.reader import StoreReader
from vocal.store.schema import KINDS, schema_of, table_of
from vocal.store.store import Store
from vocal.types import Utterance


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
