"""Who gets a call's report over HTTP and at the command line: its agent, the lead once it is shared, nobody else."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
import pytest
from serving import Served, serving
from test_cli import vocal
from test_report import recovering_call

from vocal.answers import Answers
from vocal.config import ServerConfig
from vocal.reports.call_export import CallReport
from vocal.store.store import Store
from vocal.texts import text
from vocal.types import CallStarted, Cue, Event, Metadata

WORDS = "Ab der Gutschrift ging es gut. <b>"


def kept_call(call: str, team: str | None = "Nord") -> list[Event]:
    """The recovering call as a live one of agent lena."""
    events: list[Event] = []
    for seq, event in enumerate(recovering_call()):
        changed: dict[str, object] = {"call": call, "seq": seq}
        if isinstance(event, CallStarted):
            metadata = Metadata("Rechnung", team, "lena", "de", notice=True, touchpoint="Mahnung")
            changed |= {"transport": "sip", "source": "sip:+4930123456@example.org", "metadata": metadata}
        events.append(msgspec.structs.replace(event, **changed))
    return events


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = Store(tmp_path_factory.mktemp("store"))
    with serving(server=ServerConfig(closed=True), store=store) as running:
        for call, team in (("one", "Nord"), ("two", "Nord"), ("none", None)):
            for event in kept_call(call, team):
                store(event)
            running.service.answers.keep_own(call, "lena")
        store.flush()
        first = next(event.seq for event in kept_call("one") if isinstance(event, Cue))
        running.service.answers.feedback("one", first, "tempo", True)
        yield running


class Got(NamedTuple):
    status: int
    kind: str
    text: str
    location: str


def ask(served: Served, path: str, token: str | None = None, form: dict[str, str] | None = None) -> Got:
    url = urlsplit(served.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = None
    if form is not None:
        headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": served.url}
        body = urlencode(form)
    connection.request("GET" if form is None else "POST", path, body, headers)
    response = connection.getresponse()
    said = response.read().decode()
    connection.close()
    found = response.getheader
    return Got(response.status, found("content-type") or "", said, found("location") or "")


def test_an_agent_reads_the_own_call_in_three_forms(closed: Served) -> None:
    lena = closed.token("agent", "lena", "Nord")
    page = ask(closed, "/reports/calls/one?lang=de", lena)
    assert (page.status, page.kind) == (200, "text/html; charset=utf-8")
    assert text("report.title", "de") in page.text
    assert "hilfreich" in page.text
    assert "4930123456" not in page.text
    as_json = ask(closed, "/v1/reports/calls/one", lena)
    assert as_json.kind == "application/json"
    report = msgspec.json.decode(as_json.text, type=CallReport)
    assert (report.call, report.kept, report.record.queue) == ("one", "all", "Rechnung")
    rows = ask(closed, "/v1/reports/calls/one?format=csv", lena)
    assert rows.kind.startswith("text/csv")
    assert len(rows.text.splitlines()) == 1 + len(report.record.steps)
    assert ask(closed, "/v1/reports/calls/one?format=xml", lena).status == 422
    assert ask(closed, "/reports/calls/one?lang=fr", lena).status == 422
    assert "Call report" in ask(closed, "/v1/reports/calls/one?format=html&lang=en", lena).text


def test_for_all_others_there_is_no_such_call(closed: Served) -> None:
    unknown = ask(closed, "/v1/reports/calls/nowhere", closed.token("agent", "lena", "Nord"))
    assert unknown.status == 404
    wanted = json.loads(unknown.text)["detail"].replace("nowhere", "two")
    tokens = [
        closed.token("agent", "jan", "Nord"),
        closed.token("lead", team="Nord"),  # not shared
        closed.token("lead", team="Süd"),
        closed.token("operator", team="x"),
        closed.token("ingest", team="x"),
    ]
    for token in tokens:
        for path in ("/v1/reports/calls/two", "/reports/calls/two"):
            got = ask(closed, path, token)
            assert (got.status, json.loads(got.text)["detail"]) == (404, wanted)
        assert ask(closed, "/reports/calls/two/reflection", token, {"score": "5"}).status == 404
    assert ask(closed, "/v1/reports/calls/two").status == 401
    sign_in = ask(closed, "/reports/calls/two?lang=de")
    assert (sign_in.status, sign_in.location) == (303, "/?to=%2Freports%2Fcalls%2Ftwo%3Flang%3Dde")


def test_how_it_felt_is_said_on_the_page_and_stays_the_agents(closed: Served) -> None:
    lena, lead = closed.token("agent", "lena", "Nord"), closed.token("lead", team="Nord")
    asked = ask(closed, "/reports/calls/one?lang=de", lena).text
    action = re.search(r'<form method="post" action="([^"]+)"', asked)
    assert action
    sent = ask(closed, action[1], lena, {"score": "7", "text": WORDS})
    assert (sent.status, sent.location) == (303, "/reports/calls/one?lang=de")
    page = ask(closed, sent.location, lena).text
    assert "Ab der Gutschrift ging es gut. &lt;b&gt;" in page
    assert text("report.reflection.change", "de") in page
    for wrong in ({"score": "11"}, {"score": "x"}, {}):
        assert ask(closed, action[1], lena, wrong).status == 422
    answers = closed.service.answers
    assert answers.share("one", "lena", "Bitte ab 0:47.")
    shown = ask(closed, "/reports/calls/one?lang=de", lead)
    assert shown.status == 200
    assert "Bitte ab 0:47." in shown.text
    assert "Gutschrift" not in shown.text
    assert "<form" not in shown.text
    told = json.loads(ask(closed, "/v1/reports/calls/one", lead).text)
    assert told["reflection"] is None
    assert told["record"]["source"] == ""
    assert answers.share("one", "lena", "", with_reflection=True)
    shown = ask(closed, "/reports/calls/one?lang=de", lead)
    assert "Gutschrift" in shown.text
    assert text("report.reflection.title_shared", "de") in shown.text
    assert ask(closed, "/reports/calls/one?lang=de", closed.token("lead", team="Süd")).status == 404
    assert ask(closed, "/reports/calls/one/reflection", lead, {"score": "5"}).status == 404
    assert answers.unshare("one", "lena")
    assert ask(closed, "/reports/calls/one?lang=de", lead).status == 404


def test_a_call_without_a_team_is_no_leads(closed: Served) -> None:
    assert closed.service.answers.share("none", "lena")
    refused = closed.service.refused.get("team", 0)
    assert ask(closed, "/v1/reports/calls/none", closed.token("lead", team="Nord")).status == 404
    assert closed.service.refused["team"] == refused + 1


def test_whoever_reads_is_written_down_first(closed: Served) -> None:
    ask(closed, "/v1/reports/calls/two?format=csv", closed.token("agent", "lena", "Nord"))
    entry = closed.service.audit.entries("report.call", most=1)[-1]
    assert (entry.who, entry.subject, entry.detail) == ("agent-lena", "two", {"format": "csv"})


def test_this_machines_user_reads_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for event in kept_call("mine"):
        store(event)
    store.flush()
    with serving(store=store) as local:
        page = ask(local, "/reports/calls/mine?lang=en")
        assert page.status == 200
        sent = ask(local, "/reports/calls/mine/reflection?lang=en", None, {"score": "4", "text": "Well."})
        assert sent.status == 303
        assert "Well." in ask(local, sent.location).text
        assert ask(local, "/reports/calls/other").status == 404


def test_without_a_store_nothing_is_kept() -> None:
    with serving(answers=Answers()) as bare:
        got = ask(bare, "/v1/reports/calls/one")
        assert got.status == 404
        assert "store" in got.text


# ---- at the command line


def test_report_call(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for event in kept_call("one"):
        store(event)
    store.close()
    folder = str(tmp_path / "store")
    told = vocal("report", "--call", "one", "--store", folder, "--format", "json")
    assert told.returncode == 0
    assert msgspec.json.decode(told.stdout, type=CallReport).call == "one"
    out = tmp_path / "one.html"
    made = vocal("report", "--call", "one", "--store", folder, "--out", str(out), "--lang", "en")
    assert made.returncode == 0
    assert "html: " in made.stderr
    assert "Call report" in out.read_text("utf-8")
    assert vocal("report", "--call", "one", "--store", folder, "--format", "csv").stdout.startswith(
        "start_s,end_s,mood"
    )
    for given, said in (
        (("--call", "two", "--store", folder), "the store has no such call"),
        (("--call", "one", "--store", folder, "--team", "Nord"), "without --team"),
        (("--call", "one", "--store", str(tmp_path / "nowhere")), "no such folder"),
        (("--store", folder), "wanted --call ID"),
    ):
        wrong = vocal("report", *given)
        assert wrong.returncode in (1, 2)
        assert said in wrong.stderr
