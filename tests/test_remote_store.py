"""A store in S3, with a server of it (moto): calls are filed there, read, pruned, erased, exported and verified."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.fs
import pytest
from moto.server import ThreadedMotoServer
from test_cli import vocal
from vocal.benchmarks.year import Dated, Year

from vocal.answers import Answers
from vocal.audit import Audit
from vocal.errors import StoreError
from vocal.policy import Retention
from vocal.pseudonyms import Pseudonyms
from vocal.store.erasure import asked_for, erase
from vocal.store.export import Exports
from vocal.store.files import Files
from vocal.store.reader import StoreReader
from vocal.store.retention import prune
from vocal.store.store import Store
from vocal.store.verify import verify


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """host:port of a server of S3 that has a bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    where = "{}:{}".format(*server.get_host_and_port())
    try:
        pyarrow.fs.S3FileSystem(
            access_key="key", secret_key="secret", scheme="http", endpoint_override=where, allow_bucket_creation=True
        ).create_dir("bucket")
        yield where
    finally:
        server.stop()


def url_of(s3: str, folder: str, bucket: str = "bucket") -> str:
    where = s3.replace(":", "%3A")
    return f"s3://key:secret@{bucket}/{folder}?scheme=http&endpoint_override={where}&region=us-east-1"


@pytest.fixture(scope="module")
def calls() -> list[Dated]:
    today = datetime.now(UTC).date()
    year = Year(today, calls=3_000)
    days = [day for day in (today - timedelta(days=ago) for ago in range(2, 9)) if day.weekday() < 5]
    return [call for day in days[:2] for call in list(year.of_day(day))[:3]]


def fill(url: str, spool: Path, calls: list[Dated]) -> None:
    with Store(url, spool) as store:
        for call in calls:
            store.take(call.events())


def test_the_life_of_calls_in_s3(s3: str, calls: list[Dated], tmp_path: Path) -> None:
    url, spool = url_of(s3, "life"), tmp_path / "spool"
    fill(url, spool, calls)
    files = Files(url)
    names = {entry.name.partition("/")[0] for entry in files.entries()}
    assert {"calls", "mood", "utterance"} <= names
    assert "log" not in names
    assert verify(files, Files(spool)).findings == ()

    reader = StoreReader(url, spool)
    first, second, *others = sorted(calls, key=lambda call: call.record.started_at)
    assert [record.call for record in reader.records()] == [
        call.record.call for call in sorted(calls, key=lambda call: call.record.started_at)
    ]
    assert reader.events(first.record.call) == first.events()

    Exports(files).write(str(tmp_path / "out"))
    with Store(url, spool) as store:
        asked = asked_for("call", first.record.call, Pseudonyms(), Answers())
        audit = Audit()
        proof = erase(store, asked, "somebody", audit)
        assert proof.holds
        assert proof.calls == (first.record.call,)
        assert {change.name.partition("/")[0] for change in proof.removed} >= {"calls", "mood", "utterance", ""}
        assert [entry.act for entry in audit.entries()] == ["store.erased", "store.erase"]
        asked = asked_for("source", second.record.source, Pseudonyms(), Answers())
        assert erase(store, asked, "somebody", Audit()).calls == (second.record.call,)
    left = {call.record.call for call in others}
    assert {record.call for record in reader.records()} == left
    assert verify(files, Files(spool)).findings == ()

    with Store(url, spool) as store:
        store.exclusively(lambda: prune(files, Retention(), datetime.now(UTC))).result()
    assert not files.entries("utterance")
    assert {record.call for record in reader.records()} == left
    with Store(url, spool) as store:
        store.exclusively(lambda: prune(files, Retention(), datetime.now(UTC) + timedelta(days=40))).result()
    assert {entry.name.partition("/")[0] for entry in files.entries()} == {"erasures", "exports.json"}


def test_the_commands_take_a_url(s3: str, calls: list[Dated], tmp_path: Path) -> None:
    url, spool = url_of(s3, "commands"), tmp_path / "spool"
    fill(url, spool, calls)
    settings = tmp_path / "vocal.toml"
    settings.write_text(f'[store]\nfolder = "{url}"\nspool = "{spool}"\n[privacy]\nkeys = "{tmp_path}/keys"\n', "utf-8")
    listed = vocal("store", "ls", "--config", settings, "--json")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(listed.stdout)
    assert found["store"] == "s3://bucket/commands"
    assert found["calls"] == len(calls)
    assert "secret" not in listed.stdout
    assert vocal("store", "verify", "--config", settings).returncode == 0
    assert vocal("store", "prune", "--config", settings).returncode == 0
    exported = vocal("store", "export", tmp_path / "out", "--config", settings)
    assert exported.returncode == 0, exported.stderr
    gone = calls[0].record.call
    erased = vocal("store", "erase", "--call", gone, "--yes", "--config", settings, "--json")
    assert erased.returncode == 0, erased.stderr
    assert json.loads(erased.stdout)["reread"]["found"] == 0
    assert gone not in {record.call for record in StoreReader(url, spool).records()}


def test_what_cannot_be_reached_is_told(s3: str, tmp_path: Path) -> None:
    missing = vocal("store", "ls", "--store", url_of(s3, "x", "no-such-bucket"))
    assert missing.returncode == 1
    assert "s3://no-such-bucket/x: wanted a store, and there is no such folder" in missing.stderr
    assert "secret" not in missing.stderr
    unknown = vocal("store", "ls", "--store", "ftp://somewhere/x")
    assert unknown.returncode == 1
    assert "wanted a folder or a URL that pyarrow knows" in unknown.stderr
    with pytest.raises(StoreError, match="wanted a spool"):
        Store(url_of(s3, "x"))
