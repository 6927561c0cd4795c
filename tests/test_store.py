"""The store: every event comes back from Parquet as it went in."""

from pathlib import Path

import msgspec
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import vocal
from vocal.analysis import Analysis
from vocal.demo import call_path
from vocal.errors import StoreError
from vocal.sinks.schema import KINDS, kind_name, schema_of, table_of
from vocal.sinks.store import Store
from vocal.types import Event, Utterance


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return vocal.analyze(call_path(), notice=True)


def test_every_kind_has_a_schema_with_every_field() -> None:
    for kind in KINDS:
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert set(schema_of(kind).names) == fields


def test_what_went_in_comes_out(analysis: Analysis, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for event in analysis.events:
        store(event)
    back: list[Event] = []
    for kind in KINDS:
        folder = tmp_path / kind_name(kind)
        if not folder.exists():
            continue
        (file,) = folder.rglob("*.parquet")
        assert file.parent.name == f"day={analysis.started.started_at[:10]}"
        rows = pq.ParquetFile(file).read().to_pylist(maps_as_pydicts="strict")
        back += [msgspec.convert({**row, "type": kind_name(kind)}, kind) for row in rows]
    assert sorted(back, key=lambda event: event.seq) == analysis.events


def test_any_reader_finds_the_day(analysis: Analysis, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for event in analysis.events:
        store(event)
    table = pyarrow.dataset.dataset(tmp_path / "utterance", partitioning="hive").to_table()
    assert table.num_rows == len(analysis.utterances)
    assert set(table["day"].to_pylist()) == {analysis.started.started_at[:10]}


def test_no_half_file_is_left(analysis: Analysis, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for event in analysis.events:
        store(event)
    assert not list(tmp_path.rglob("*.half"))


def test_an_unfinished_call_is_not_written(analysis: Analysis, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for event in analysis.events[:-1]:
        store(event)
    assert not list(tmp_path.rglob("*.parquet"))


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
