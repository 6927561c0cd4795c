"""`vocal store`, as its user meets it: beside a server, without one, with good input and bad."""

import json
import os
import pickle
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
from serving import Served, serving
from test_cli import is_one_line, vocal
from vocal.benchmarks.year import Dated, Year

from vocal.access import Access, Principal
from vocal.config import ServerConfig
from vocal.errors import InputError
from vocal.store.reader import StoreReader
from vocal.store.store import Store
from vocal.types import CallStarted, Mood

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def calls() -> list[Dated]:
    year = Year(TODAY, calls=3_000)
    days = [day for day in (TODAY - timedelta(days=ago) for ago in range(2, 9)) if day.weekday() < 5]
    return [call for day in days[:2] for call in list(year.of_day(day))[:3]]


@pytest.fixture
def store(tmp_path: Path, calls: list[Dated]) -> Path:
    folder = tmp_path / "store"
    with Store(folder) as opened:
        for call in calls:
            opened.take(call.events())
    return folder


def run(command: str, store: Path, *arguments: str | Path) -> Any:
    return vocal("store", command, "--store", store, *arguments)


def test_ls_says_how_much_how_old_and_what_is_due(store: Path, calls: list[Dated]) -> None:
    found = json.loads(run("ls", store, "--json").stdout)
    assert found["calls"] == len(calls)
    tables = {table["table"]: table for table in found["tables"]}
    days = sorted(call.record.started_at[:10] for call in calls)
    assert (tables["calls"]["oldest"], tables["calls"]["newest"]) == (days[0], days[-1])
    assert tables["mood"]["rows"] == sum(isinstance(event, Mood) for call in calls for event in call.events())
    assert (tables["utterance"]["due"], tables["calls"]["due"]) == (2, 0)
    assert (found["segments"], found["is_written"]) == (0, False)
    shown = run("ls", store).stdout
    assert f"{len(calls)} calls on 2 days" in shown
    assert "nobody writes to it" in shown


def test_prune_does_what_its_rehearsal_said(store: Path) -> None:
    said = run("prune", store, "--dry-run")
    assert said.returncode == 0
    assert {line.partition("/")[0] for line in said.stdout.splitlines()} == {"utterance", "conversation"}
    done = json.loads(run("prune", store, "--json").stdout)
    assert {one["name"] for one in done} == {line.partition(": ")[0] for line in said.stdout.splitlines()}
    assert all(one["after"] is None for one in done)
    assert run("prune", store, "--dry-run").stdout == ""
    audit = vocal("audit", "ls", "--store", store, "--json").stdout
    assert '"store.prune"' in audit


def test_longer_than_allowed_wants_an_agreement(store: Path, tmp_path: Path) -> None:
    settings = tmp_path / "vocal.toml"
    settings.write_text("[retention]\nutterances_h = 2000\n", "utf-8")
    assert is_one_line(run("prune", store, "--config", settings), 2)
    settings.write_text('[retention]\nutterances_h = 2000\nagreement = "BV 12/2026"\n', "utf-8")
    assert run("prune", store, "--config", settings, "--dry-run").stdout == ""


def test_erase_prints_the_proof_and_audits_it(store: Path, calls: list[Dated], tmp_path: Path) -> None:
    assert run("export", store, tmp_path / "out").returncode == 0
    gone = calls[0].record.call
    refused = run("erase", store, "--call", gone)
    assert is_one_line(refused, 2)
    assert "wanted --yes, or a terminal to ask on" in refused.stderr
    done = run("erase", store, "--call", gone, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    proof = json.loads(done.stdout)
    assert proof["calls"] == [gone]
    assert proof["reread"]["found"] == 0
    assert "5 agents and 50 calls" in proof["stays"]
    assert any(one["name"].startswith(str(tmp_path / "out")) for one in proof["removed"])
    assert gone not in {record.call for record in StoreReader(store).records()}
    assert gone not in pq.read_table(tmp_path / "out" / "calls.parquet")["call"].to_pylist()
    entries = [json.loads(line) for line in Path(f"{store}.audit.jsonl").read_text().splitlines()]
    assert [entry["act"] for entry in entries] == ["store.export", "store.erase", "store.erased"]
    assert entries[-1]["detail"]["proof"] == proof
    assert run("verify", store).returncode == 0
    again = run("erase", store, "--call", gone, "--yes")
    assert is_one_line(again, 2)
    assert f"no call '{gone}'" in again.stderr


def test_erase_asks_on_a_terminal(store: Path, calls: list[Dated]) -> None:
    for answer, code in ((b"n\n", 2), (b"y\n", 0)):
        ours, theirs = pty.openpty()
        command = [
            sys.executable,
            "-m",
            "vocal.cli",
            "store",
            "erase",
            "--store",
            store,
            "--call",
            calls[1].record.call,
        ]
        with subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parent
        ) as process:
            os.write(ours, answer)
            said, _ = process.communicate(timeout=60)
        os.close(ours)
        os.close(theirs)
        assert process.returncode == code, said
        assert b"for good?" in said
    assert calls[1].record.call not in {record.call for record in StoreReader(store).records()}


def test_unknown_names_are_refused(store: Path, tmp_path: Path) -> None:
    for option in ("--agent", "--source", "--call"):
        result = run("erase", store, option, "nobody", "--yes")
        assert is_one_line(result, 2)
        assert "'nobody'" in result.stderr
    assert is_one_line(run("erase", store, "--call", "", "--yes"), 2)
    assert is_one_line(run("erase", store, "--yes"), 2)
    for command in ("ls", "verify", "prune"):
        missing = run(command, tmp_path / "nowhere")
        assert is_one_line(missing, 1)
        assert "wanted a store, and there is no such folder" in missing.stderr
        assert not (tmp_path / "nowhere").exists()
    assert is_one_line(vocal("store", "ls"), 2)


def test_exports_that_cannot_be_are_refused(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    turned = run("export", store, out, "--from", "2026-11-20", "--to", "2026-11-19")
    assert is_one_line(turned, 2)
    assert "from 2026-11-20 to 2026-11-19" in turned.stderr
    table = run("export", store, out, "--tables", "calls,utterances")
    assert is_one_line(table, 2)
    assert "did you mean 'utterance'" in table.stderr
    day = run("export", store, out, "--from", "20.11.2026")
    assert is_one_line(day, 2)
    assert "wanted a day as 2026-11-22, got '20.11.2026'" in day.stderr
    assert not out.exists()
    assert not Path(f"{store}.audit.jsonl").exists()


def test_an_export_and_who_asked_for_names(store: Path, tmp_path: Path, calls: list[Dated]) -> None:
    last = max(call.record.started_at[:10] for call in calls)
    done = run("export", store, tmp_path / "out", "--format", "csv", "--from", last, "--to", last, "--names", "--json")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "calls.csv").read_text()
    assert {call.record.call in text for call in calls if call.record.started_at[:10] == last} == {True}
    assert {call.record.call in text for call in calls if call.record.started_at[:10] != last} == {False}
    (entry,) = (json.loads(line) for line in Path(f"{store}.audit.jsonl").read_text().splitlines())
    assert (entry["act"], entry["detail"]["names"], entry["detail"]["from"]) == ("store.export", True, last)
    again = run("export", store, tmp_path / "out")
    assert is_one_line(again, 2)


def test_verify_names_what_is_wrong_and_changes_nothing(store: Path) -> None:
    part = next(store.glob("mood/*/*.parquet"))
    part.write_bytes(part.read_bytes()[:-50])
    (store / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    result = run("verify", store)
    assert result.returncode == 1
    faults = [line for line in result.stdout.splitlines() if line.startswith("fault: ")]
    assert len(faults) == 2
    assert any(str(part.relative_to(store)) in line and "no whole Parquet file" in line for line in faults)
    assert any("notes.txt: a foreign file" in line for line in faults)
    assert "2 faults" in result.stderr
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_verify_reads_the_logs_checksums(store: Path, calls: list[Dated]) -> None:
    """Of a server that was killed: its last segment is still there, with a torn end, and a batch that turned."""
    code = f"""
import os, pickle, sys
from vocal.store.store import Store
store = Store({str(store)!r})
for call in pickle.load(sys.stdin.buffer):
    store.take(call[:-1])
    store.flush()
os.kill(os.getpid(), 9)
"""
    events = pickle.dumps([[*call.events()] for call in calls[:3]])
    subprocess.run([sys.executable, "-c", code], input=events, check=False, timeout=60)
    (segment,) = store.glob("log/*.arrow")
    assert run("verify", store).returncode == 0
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-7])
    torn = run("verify", store)
    assert torn.returncode == 0
    assert "note: log/" in torn.stdout
    assert "a torn end" in torn.stdout
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 0x20
    segment.write_bytes(turned)
    result = run("verify", store)
    assert result.returncode == 1
    assert "do not fit their checksums" in result.stdout


# Beside a server


@pytest.fixture
def served(store: Path) -> Iterator[Served]:
    access = Access()
    with serving(
        server=ServerConfig(closed=True), access=access, store=Store(store, protect=access.pseudonyms.protect)
    ) as running:
        yield running


def hand_over(served: Served, call: Dated, ends: bool = True, agent: str = "anna") -> str:
    """A call as if it had come by a door; its id."""
    started, *rest = call.events()
    assert isinstance(started, CallStarted)
    metadata = msgspec.structs.replace(started.metadata, agent=agent)
    events = [msgspec.structs.replace(started, metadata=metadata), *rest]
    served.service._hand_over(events if ends else events[:-1])
    assert served.service.store is not None
    served.wait_until(lambda: served.service.hub.started(call.record.call) is not None)
    served.service.store.flush()
    return call.record.call


@pytest.fixture(scope="module")
def fresh() -> list[Dated]:
    year = Year(TODAY, calls=3_000, seed=8)
    day = next(day for day in (TODAY - timedelta(days=ago) for ago in range(7)) if day.weekday() < 5)
    return list(year.of_day(day))[:4]


def test_a_server_has_the_store_to_itself(served: Served, store: Path, calls: list[Dated], tmp_path: Path) -> None:
    for command in (("prune",), ("erase", "--call", calls[0].record.call, "--yes")):
        result = run(command[0], store, *command[1:])
        assert is_one_line(result, 1)
        assert "another process writes to this store" in result.stderr
    assert "let the server that has it do it: --server URL" in result.stderr
    assert calls[0].record.call in {record.call for record in StoreReader(store).records()}
    # Whoever only reads may.
    assert json.loads(run("ls", store, "--json").stdout)["is_written"]
    assert run("verify", store).returncode == 0
    assert run("export", store, tmp_path / "out").returncode == 0
    assert run("prune", store, "--dry-run").returncode == 0


def test_the_server_prunes_on_start(served: Served, store: Path, calls: list[Dated]) -> None:
    served.wait_until(lambda: not list(store.glob("utterance/*/*.parquet")))
    assert {record.call for record in StoreReader(store).records()} == {call.record.call for call in calls}
    served.wait_until(lambda: served.service.audit.entries("store.prune"))


def test_the_server_erases_a_call(served: Served, store: Path, fresh: list[Dated]) -> None:
    over, running = hand_over(served, fresh[0]), hand_over(served, fresh[1], ends=False)
    operator = served.token("operator")
    arguments = ("--yes", "--server", served.url, "--token", operator)
    done = vocal("store", "erase", "--call", over, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls"] == [over]
    assert served.service.hub.events_of(over) == []
    (entry,) = served.service.audit.entries("store.erased")
    assert (entry.who, entry.subject) == ("operator-None", over)
    assert served.service.store is not None
    assert served.service.store.reader().events(over) == []
    assert served.service.store.reader().events(running)
    assert run("verify", store).returncode == 0
    busy = vocal("store", "erase", "--call", running, *arguments)
    assert is_one_line(busy, 1)
    assert "409" in busy.stderr
    assert "is running" in busy.stderr
    nothing = vocal("store", "erase", "--call", "nobody", *arguments)
    assert "404" in nothing.stderr
    served.service._hand_over(fresh[1].events()[-1:])
    served.wait_until(lambda: served.service.hub.at_s(running) is None)
    served.service.store.flush()
    assert vocal("store", "erase", "--call", running, *arguments).returncode == 0


def test_the_server_erases_an_agent_and_a_peer(served: Served, store: Path, fresh: list[Dated]) -> None:
    mine, other = hand_over(served, fresh[2]), hand_over(served, fresh[3], agent="ben/7")
    served.wait_until(lambda: served.service.answers.own_calls("anna") == [mine])
    client = served.client(served.token("operator"))
    assert client.request("DELETE", "/v1/store/agents/anna")["calls"] == [mine]
    assert served.service.answers.own_calls("anna") == []
    mark = served.service.access.pseudonyms.mark(fresh[3].record.source)
    assert client.request("DELETE", f"/v1/store/sources/{mark}")["calls"] == [other]
    with pytest.raises(InputError, match=r"404 .*no calls of agent 'anna'"):
        client.request("DELETE", "/v1/store/agents/anna")


def test_only_operators_erase(served: Served, calls: list[Dated]) -> None:
    for role, agent, team in (("agent", "anna", "t"), ("lead", None, "t"), ("ingest", None, None)):
        token = served.service.access.issue(Principal("x", role, agent, team), "token")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="403"):
            served.client(token).request("DELETE", f"/v1/store/calls/{calls[0].record.call}")
    with pytest.raises(InputError, match="401"):
        served.client().request("DELETE", f"/v1/store/calls/{calls[0].record.call}")


def test_a_server_that_keeps_nothing() -> None:
    with serving() as served, pytest.raises(InputError, match="404 this server keeps nothing"):
        served.client().request("DELETE", "/v1/store/calls/x")
