"""Who gets at what after the call: agents at their own, leads at what is shared with them, nobody else at anything."""

import csv
import http.client
import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from browser.stage import TOTALS
from serving import Served, serving

from vocal.config import ServerConfig
from vocal.store.store import Store
from vocal.types import CallEnded, CallStarted, Channel, Cue, Metadata, Moment, Mood, Satisfaction


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = Store(tmp_path_factory.mktemp("store"))
    with serving(server=ServerConfig(closed=True), store=store) as running:
        yield running


NUMBERS = itertools.count()


def held_call(served: Served, agent: str | None, team: str | None = "Nord", back_s: float = 3600.0) -> str:
    """A call that has ended and is kept."""
    call = f"own-{next(NUMBERS)}"
    seq = itertools.count()
    began = datetime.now(UTC) - timedelta(seconds=back_s)
    channels = (Channel(0, "agent"), Channel(1, "customer"))
    metadata = Metadata("Rechnung", team, agent, "de", notice=True)
    started = CallStarted(
        call=call,
        seq=next(seq),
        at_s=0.0,
        started_at=began.isoformat(timespec="milliseconds"),
        transport="test",
        source="sip:+4930123456@example.org",
        channels=channels,
        metadata=metadata,
    )
    moods = [
        Mood(
            call=call,
            seq=next(seq),
            at_s=float(second),
            role="customer",
            valence=0.2 + second / 100,
            arousal=0.6,
            stress=0.7,
            trend=0.0,
            confidence=0.9,
        )
        for second in range(5, 45)
    ]
    cue = Cue(
        call=call,
        seq=next(seq),
        at_s=50.0,
        cue="tempo_high",
        audience="agent",
        kind="tempo",
        severity="hint",
        evidence={"agent_tempo_syll_s": 6.0},
        text_key="",
        text={"de": "", "en": ""},
        expires_s=58.0,
    )
    ended = CallEnded(
        call=call,
        seq=next(seq),
        at_s=300.0,
        reason="hangup",
        duration_s=300.0,
        conversation=TOTALS,
        satisfaction=Satisfaction(3.0, 6.0, 3.0, {"start": (2.0, 4.0), "end": (5.0, 7.0)}),
        moments=(Moment("positive", 100.0, 120.0, "customer_recovered"),),
        lost_share=0.0,
    )
    service = served.service
    assert service._loop is not None
    service._loop.call_soon_threadsafe(service.take, [started, *moods, cue, ended])
    served.wait_until(lambda: service.reader is not None and service.reader.record(call) is not None)
    served.wait_until(lambda: agent is None or service.answers.owns(call, agent))
    return call


def asked(
    served: Served, method: str, path: str, token: str | None = None, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """body: a dict is sent as JSON, a str as a form."""
    url = urlsplit(served.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    data = None
    if isinstance(body, dict):
        data, sent["Content-Type"] = json.dumps(body), "application/json"
    elif body is not None:
        data, sent["Content-Type"] = body, "application/x-www-form-urlencoded"
    connection.request(method, path, data, sent)
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def calls_of(served: Served, token: str) -> list[dict[str, Any]]:
    status, _, body = asked(served, "GET", "/v1/reports/calls?size=1000", token)
    assert status == 200
    listed: list[dict[str, Any]] = json.loads(body)
    return listed


def test_agents_list_their_own_calls(closed: Served) -> None:
    ann, bob = (closed.token("agent", name, "Nord") for name in ("ann", "bob"))
    first = held_call(closed, "ann", back_s=7200.0)
    second = held_call(closed, "ann")
    others = held_call(closed, "bob")
    assert [one["call"] for one in calls_of(closed, ann)] == [second, first]
    assert [one["call"] for one in calls_of(closed, bob)] == [others]
    one = calls_of(closed, ann)[0]
    assert (one["duration_s"], one["queue"], one["shared"], one["reflected"], one["agent"]) == (
        *(300.0, "Rechnung", False, False),
        None,
    )
    closed.service.answers.reflect(second, "ann", 8, "ging gut")
    assert [one["reflected"] for one in calls_of(closed, ann)] == [True, False]
    body = asked(closed, "GET", "/v1/reports/calls?page=1&size=1", ann)[2]
    assert [one["call"] for one in json.loads(body)] == [first]
    assert calls_of(closed, closed.token("agent", "new", "Nord")) == []


def test_a_lead_sees_a_call_once_it_is_shared_and_by_its_own_team(closed: Served) -> None:
    cat = closed.token("agent", "cat", "West")
    west, nord = closed.token("lead", team="West"), closed.token("lead", team="Nord")
    call = held_call(closed, "cat", "West")
    held_call(closed, "cat", "West")
    assert calls_of(closed, west) == []
    share = f"/v1/reports/calls/{call}/share"
    assert asked(closed, "POST", share, cat, {"shared": True, "note": " ab Minute 2 "})[0] == 200
    (seen,) = calls_of(closed, west)
    assert (seen["call"], seen["note"], seen["shared"], seen["reflected"]) == (call, "ab Minute 2", True, None)
    assert seen["agent"].startswith("A-")
    assert "cat" not in json.dumps(seen)
    assert not [one for one in calls_of(closed, nord) if one["call"] == call]
    assert asked(closed, "POST", share, cat, {"shared": False})[0] == 200
    assert calls_of(closed, west) == []
    acts = [(one.act, one.subject) for one in closed.service.audit.entries() if one.subject == call]
    assert acts == [("call.unshare", call), ("call.share", call)]


def test_a_foreign_call_and_an_unknown_one_are_the_same(closed: Served) -> None:
    ann = closed.token("agent", "ann", "Nord")
    foreign = held_call(closed, "bob")
    nobodys = held_call(closed, None)
    for method, body in (("POST", {"shared": True}), ("GET", None)):
        way = "/v1/reports/calls/{}/share" if method == "POST" else "/reports/calls/{}/share"
        answers = [asked(closed, method, way.format(call), ann, body) for call in (foreign, nobodys, "x-1")]
        assert {status for status, _, _ in answers} == {404}
        said = {body.decode().replace(foreign, "?").replace(nobodys, "?").replace("x-1", "?") for _, _, body in answers}
        assert said == {'{"detail":"no call \'?\'"}'}
    assert not closed.service.answers.is_shared(foreign)


@pytest.mark.parametrize("role", ["lead", "operator", "ingest"])
def test_the_own_view_is_closed_to_everybody_else(closed: Served, role: str) -> None:
    token = closed.token(role, team="Nord")
    ways = [
        *(("GET", path) for path in ("/v1/reports/own", "/v1/reports/own?format=html", "/v1/reports/own/export")),
        *(("GET", "/reports/own"), ("DELETE", "/v1/reports/own?confirm=yes"), ("POST", "/reports/own/delete")),
        ("GET", "/reports/own?agent=ann"),
    ]
    for method, path in ways:
        assert asked(closed, method, path, token, "confirm=yes" if method == "POST" else None)[0] == 403, path
    if role != "lead":
        assert asked(closed, "GET", "/v1/reports/calls", token)[0] == 403
    for method, path in ways:
        status, headers, _ = asked(closed, method, path)
        assert (status, path.startswith("/v1")) in ((401, True), (303, False))
        assert "set-cookie" not in headers


def test_who_is_not_signed_in_is_led_there_and_back(closed: Served) -> None:
    status, headers, _ = asked(closed, "GET", "/reports/own?from=2026-11-01")
    assert status == 303
    assert headers["location"] == "/?to=%2Freports%2Fown%3Ffrom%3D2026-11-01"
    assert asked(closed, "GET", "/reports")[1]["location"] == "/?to=%2Freports"


def test_the_own_view_in_three_forms(closed: Served) -> None:
    dan = closed.token("agent", "dan", "Nord")
    for _ in range(3):
        held_call(closed, "dan")
    held_call(closed, "bob")
    status, headers, body = asked(closed, "GET", "/v1/reports/own", dan)
    assert status == 200
    assert headers["cache-control"] == "no-store"
    view = json.loads(body)
    assert (view["calls"], view["recovered"], view["days"][-1]["load"]["demanding"]) == (3, 3, 3)
    assert view["days"][-1]["load"]["loud_s"] is None
    assert json.loads(asked(closed, "GET", "/v1/reports/own?voice=yes", dan)[2])["days"][-1]["load"]["loud_s"] == 0.0
    rows = list(csv.DictReader(io.StringIO(asked(closed, "GET", "/v1/reports/own?format=csv", dan)[2].decode())))
    assert sum(int(row["calls"]) for row in rows) == 3
    for lang, title in (("de", "Mein Rückblick"), ("en", "My own view")):
        status, headers, body = asked(closed, "GET", f"/reports/own?lang={lang}", dan)
        assert status == 200
        assert title in body.decode()
        assert headers["cache-control"] == "no-store"
    assert "My own view" in asked(closed, "GET", "/reports/own", dan, Accept_Language="en-GB,de")[2].decode()
    who = closed.service.audit.entries()
    assert next(one.who for one in who if one.act == "report.own") == "agent-dan"


def test_what_is_asked_wrongly_is_named(closed: Served) -> None:
    ann = closed.token("agent", "ann", "Nord")
    wrong = "?from=2026-11-20&to=2026-11-01"
    status, _, body = asked(closed, "GET", f"/v1/reports/own{wrong}", ann)
    assert status == 422
    assert "2026-11-20" in body.decode()
    assert "2026-11-01" in body.decode()
    status, _, body = asked(closed, "GET", f"/reports/own{wrong}", ann)
    assert status == 422
    assert 'role="alert">wanted from before to, got from 2026-11-20 and to 2026-11-01' in body.decode()
    for query, words in (
        ("?from=2026-01-01&to=2026-11-01", "at most 31 days"),
        ("?zone=Mars/Olympus", "wanted one such as Europe/Berlin"),
        ("?zone=../../etc/passwd", "wanted one such as Europe/Berlin"),
        ("?from=yesterday", "from"),
        ("?format=pdf", "csv"),
        ("?format=html&lang=fr", "wanted de or en"),
    ):
        status, _, body = asked(closed, "GET", f"/v1/reports/own{query}", ann)
        assert status == 422, query
        assert words in body.decode()
    assert asked(closed, "GET", "/v1/reports/own?zone=Europe/Berlin", ann)[0] == 200
    for body in ({"shared": True, "note": "x" * 501}, {}):
        assert asked(closed, "POST", "/v1/reports/calls/x/share", ann, body)[0] == 422
    assert asked(closed, "GET", "/v1/reports/calls?size=0", ann)[0] == 422


def test_an_agent_takes_everything_along_and_ends_it(closed: Served) -> None:
    eve = closed.token("agent", "eve", "Nord")
    call, other = held_call(closed, "eve"), held_call(closed, "bob")
    answers = closed.service.answers
    answers.reflect(call, "eve", 9, "lief")
    answers.feedback(call, 45, "tempo_high", True)
    answers.share(call, "eve", "bitte ansehen")
    answers.share(other, "bob")
    status, headers, body = asked(closed, "GET", "/v1/reports/own/export", eve)
    assert status == 200
    assert headers["content-disposition"].startswith('attachment; filename="vocal-')
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        assert packed.testzip() is None
        held = {name: packed.read(name).decode() for name in packed.namelist()}
    assert [one["call"] for one in json.loads(held["calls.json"])] == [call]
    assert [row["call"] for row in csv.DictReader(io.StringIO(held["calls.csv"]))] == [call]
    assert [one["text"] for one in json.loads(held["reflections.json"])] == ["lief"]
    assert json.loads(held["cue-answers.json"]) == {call: {"45": True}}
    assert [one["note"] for one in json.loads(held["shared.json"])] == ["bitte ansehen"]
    assert held["days.html"].startswith("<!DOCTYPE html>")
    assert other not in "".join(held.values())
    counts = answers.counts()
    assert asked(closed, "DELETE", "/v1/reports/own", eve)[0] == 422
    assert asked(closed, "POST", "/reports/own/delete", eve, "")[0] == 422
    assert calls_of(closed, eve)
    status, _, body = asked(closed, "DELETE", "/v1/reports/own?confirm=yes", eve)
    assert (status, json.loads(body)) == (200, {"deleted": 4})
    assert calls_of(closed, eve) == []
    assert not answers.is_shared(call)
    assert answers.is_shared(other)
    assert answers.reflections("eve") == []
    assert answers.counts() == counts
    assert closed.service.reader is not None
    assert closed.service.reader.record(call) is not None
    assert [one.act for one in closed.service.audit.entries() if one.who == "agent-eve"][1] == "own.delete"


def test_forms_come_from_our_own_pages_only(closed: Served) -> None:
    fay = closed.token("agent", "fay", "Nord")
    call = held_call(closed, "fay")
    sent = urlencode({"shared": "yes", "note": "schön", "with_reflection": "yes"})
    page = f"/reports/calls/{call}/share"
    for origin in ("https://evil.example", "null"):
        assert asked(closed, "POST", page, fay, sent, Origin=origin)[0] == 403
        assert asked(closed, "POST", "/reports/own/delete", fay, "confirm=yes", Origin=origin)[0] == 403
    assert not closed.service.answers.is_shared(call)
    assert asked(closed, "POST", page, fay, {"shared": "yes"}, Origin=closed.url)[0] == 415
    status, headers, _ = asked(closed, "POST", page, fay, sent, Origin=closed.url)
    assert (status, headers["location"].partition("?")[0]) == (303, page)
    share = closed.service.answers.share_of(call)
    assert share is not None
    assert (share.note, share.with_reflection) == ("schön", True)
    assert "schön" in asked(closed, "GET", page, fay)[2].decode()
    assert asked(closed, "POST", page, fay, "shared=no", Origin=closed.url)[0] == 303
    assert not closed.service.answers.is_shared(call)


def test_each_role_begins_where_it_works(closed: Served) -> None:
    held_call(closed, "ann")
    lists = {"agent": "Ihre Gespräche", "lead": "Freigegebene Gespräche", "operator": None}
    rooms = {
        "agent": {"/reports/own", "/documents"},
        "lead": {"/reports/team", "/reports/journey", "/documents"},
        "operator": {"/privacy", "/documents"},
    }
    for role, title in lists.items():
        token = closed.token(role, "ann" if role == "agent" else None, "Nord")
        status, _, body = asked(closed, "GET", "/reports?lang=de", token)
        assert status == 200
        page = body.decode()
        assert title is None or title in page
        assert all((f'href="{room}?' in page) == (room in rooms[role]) for room in set().union(*rooms.values()))
    assert asked(closed, "GET", "/reports", closed.token("ingest"))[0] == 403


def test_without_a_store_it_is_said(tmp_path: Path) -> None:
    with serving(server=ServerConfig(closed=True)) as served:
        ann = served.token("agent", "ann", "Nord")
        for path in ("/reports?lang=en", "/reports/own?lang=en"):
            status, _, body = asked(served, "GET", path, ann)
            assert status == 200
            assert "vocal serve --store" in body.decode()
        status, _, body = asked(served, "GET", "/v1/reports/calls", ann)
        assert status == 404
        assert "vocal serve --store" in body.decode()


def test_this_machines_user_sees_all_and_owns_nothing(tmp_path: Path) -> None:
    with serving(store=Store(tmp_path / "store")) as served:
        first, second = held_call(served, "ann", back_s=7200.0), held_call(served, None)
        status, _, body = asked(served, "GET", "/v1/reports/calls")
        assert status == 200
        assert [one["call"] for one in json.loads(body)] == [second, first]
        assert json.loads(asked(served, "GET", "/v1/reports/own")[2])["calls"] == 2
        assert asked(served, "DELETE", "/v1/reports/own?confirm=yes")[0] == 403
        assert asked(served, "POST", f"/v1/reports/calls/{first}/share", None, {"shared": True})[0] == 404
        page = asked(served, "GET", "/reports/own?lang=de")[2].decode()
        assert "Wer an diesem Rechner arbeitet, sieht alles." in page
