"""Files of the store: whole or not at all, here or elsewhere."""

import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from vocal.errors import StoreError
from vocal.store.files import Entry, Files, GoneError, Lock, day_of, part_name

TABLE = pa.table({"call": ["a", "b"], "at_s": [1.0, 2.0]})


@pytest.fixture(params=["path", "url", "objects elsewhere"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "path":
        return Files(tmp_path / "new" / "store")
    if request.param == "url":
        return Files(f"file://{tmp_path}/new/store")
    return Files("new/store", pyarrow.fs._MockFileSystem())


def test_what_was_written_is_read(files: Files) -> None:
    assert files.entries() == []
    assert not files.is_there
    files.make()
    assert files.is_there
    name = part_name("calls", "2026-11-22", "one")
    files.write_table(name, TABLE)
    files.write_table(name, TABLE)
    files.write("log/a.arrow", b"abc")
    assert pq.read_table(files.open(name)) == TABLE
    assert files.read("log/a.arrow") == b"abc"
    assert files.digest("log/a.arrow").startswith("ba7816bf")
    assert [entry.name for entry in files.entries()] == ["calls/day=2026-11-22/one.parquet", "log/a.arrow"]
    assert files.entries("log") == [Entry("log/a.arrow", 3)]
    files.delete(name)
    files.delete(name)
    assert files.parts("calls") == []
    with pytest.raises(GoneError, match="there is no calls/"):
        files.read(name)


def test_parts_are_found_by_day(files: Files) -> None:
    for day in ("2026-11-20", "2026-11-21", "2026-11-22", "someday"):
        files.write_table(part_name("mood", day, "x"), TABLE)
    files.write("mood/day=2026-11-21/x.txt", b"")
    files.write("mood/x.parquet", b"")
    days = [day_of(entry.name) for entry in files.parts("mood", date(2026, 11, 21), date(2026, 11, 22))]
    assert days == [date(2026, 11, 21), date(2026, 11, 22)]
    assert len(files.parts("mood")) == 3


def test_nothing_is_left_of_a_file_that_failed(files: Files) -> None:
    files.write("a/x", b"before")

    def fail() -> None:
        with files.writing("a/x") as stream:
            stream.write(b"after")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert files.read("a/x") == b"before"
    assert [entry.name for entry in files.entries()] == ["a/x"]


def test_an_empty_day_goes(tmp_path: Path) -> None:
    files = Files(tmp_path)
    name = part_name("calls", "2026-11-22", "one")
    files.write_table(name, TABLE)
    files.delete(name)
    assert list(tmp_path.iterdir()) == [tmp_path / "calls"]
    assert not list((tmp_path / "calls").iterdir())


def test_a_url_nobody_knows() -> None:
    with pytest.raises(StoreError, match=r"ftp://there/x: wanted a folder or a URL that pyarrow knows"):
        Files("ftp://me:secret@there/x")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.parquet"))).write_bytes(b"")
    assert len(Files(tmp_path).entries()) == 1


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first = Lock(tmp_path)
    with pytest.raises(StoreError, match=rf"another process writes to this store \(process {os.getpid()} on "):
        Lock(tmp_path)
    first.release()
    Lock(tmp_path).release()
