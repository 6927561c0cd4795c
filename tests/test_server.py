"""The server over real sockets: live equals offline, resumption, who may see what, refusals, and ends of all kinds."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import vocal_kernels as vk
from numpy.typing import NDArray
from serving import PATIENT, Served, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from vocal.access import Access, Principal
from vocal.analysis import analyze
from vocal.client import Client
from vocal.config import LiveConfig, PlayoutConfig, ServerConfig
from vocal.demo import call_path
from vocal.errors import InputError, UsageError
from vocal.replays.websocket import replay, send_call
from vocal.running import check_exposure
from vocal.transports.files import open_call
from vocal.types import (
    AlertsMuted,
    AlertsSeen,
    CallEnded,
    CallStarted,
    Channel,
    Cue,
    Event,
    HelpAnswered,
    HelpOffered,
    Levels,
    LiveEvent,
    Metadata,
    Mood,
    Notice,
    Utterance,
)

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

T = TypeVar("T")
BOTH = (Channel(0, "agent"), Channel(1, "customer"))
FAST = 25.0
CLOSED = ServerConfig(closed=True)


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.float32]:
    with open_call(call_path()) as source:
        return source.read(10_000_000)


@pytest.fixture(scope="module")
def fast() -> Iterator[Served]:
    with serving(FAST) as served:
        yield served


@pytest.fixture(scope="module")
def closed() -> Iterator[Served]:
    with serving(server=CLOSED) as served:
        yield served


def of_kind(events: list[Any], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def listen(client: Client, call: str, **more: Any) -> list[LiveEvent]:
    """A call's events to its end, levels left out."""
    found: list[LiveEvent] = []
    for _, event in client.events(call, **more):
        if not isinstance(event, Levels):
            found.append(event)
        if isinstance(event, CallEnded):
            return found
    raise AssertionError


def http_(
    served: Served, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, {"Content-Type": "application/json", **names})
    answer = connection.getresponse()
    found = answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def ws(served: Served, path: str, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return connect(served.url.replace("http", "ws") + path, additional_headers=names, compression=None)


def closed_with(socket: Any) -> int:
    """The code with which the server closes a connection, whatever it says before."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=5)
    return int(socket.close_code)


def test_a_replayed_recording_gives_the_events_of_the_recording(fast: Served) -> None:
    offline = analyze(call_path(), notice=True)
    with fast.client() as client, open_call(call_path()) as source:
        found: list[LiveEvent] = []
        listener = threading.Thread(target=lambda: found.extend(listen(client, "same", since=0)))
        listener.start()
        call = replay(source, fast.url, Metadata(notice=True), call="same", speed=1000.0)
        listener.join(60.0)
    assert call == "same"

    def comparable(event: LiveEvent) -> Any:
        return msgspec.structs.replace(event, call="")

    live = [comparable(event) for event in found[1:-1]]
    assert live == [comparable(event) for event in offline.events[1:-1]]
    ended, wanted = found[-1], offline.ended
    assert isinstance(ended, CallEnded)
    assert (ended.conversation, ended.satisfaction, ended.moments) == (
        wanted.conversation,
        wanted.satisfaction,
        wanted.moments,
    )
    assert ended.reason == "hangup"
    assert [event.seq for event in found if not isinstance(event, HelpOffered)] == list(range(len(found)))


def test_alaw_too(fast: Served, pcm: NDArray[np.float32]) -> None:
    with fast.client() as client:
        sent = send_call(client, BOTH, Metadata(notice=True), encoding="alaw")
        sent.push(pcm[: 3 * 8000])
        sent.push(pcm[3 * 8000 : 8 * 8000])
        sent.end()
        assert of_kind(listen(client, sent.call, since=0), Utterance)


def test_a_reader_that_comes_back_misses_nothing(fast: Served, pcm: NDArray[np.float32]) -> None:
    """Cut off again and again, it still hears every event once and in order."""
    found: list[tuple[int, LiveEvent]] = []

    def hear() -> None:
        with fast.client() as client:
            for cursor, event in client.events("cut", since=0):
                if not isinstance(event, Levels):
                    found.append((cursor, event))
                if isinstance(event, CallEnded):
                    return
                if len(found) % 7 == 3 and client._socket is not None and not isinstance(event, Levels):
                    client._socket.socket.shutdown(2)

    listener = threading.Thread(target=hear)
    listener.start()
    with fast.client() as client:
        sent = send_call(client, BOTH, Metadata(notice=True), call="cut")
        for second in range(60):
            sent.push(pcm[second * 8000 : (second + 1) * 8000])
        sent.end()
    listener.join(60.0)
    assert [event.seq for _, event in found] == list(range(len(found)))
    cursors = [cursor for cursor, _ in found]
    assert cursors == sorted(set(cursors))
    assert of_kind([event for _, event in found], Cue)


def test_a_killed_client_ends_its_call(fast: Served, pcm: NDArray[np.float32]) -> None:
    with fast.client() as client:
        sent = send_call(client, BOTH, call="killed")
        sent.push(pcm[: 2 * 8000])
        sent.drop()
        events = listen(client, "killed", since=0)
    assert events[-1].reason == "connection lost"  # type: ignore[union-attr]
    fast.wait_until(lambda: "killed" not in {state.call.call for state in fast.service.live.calls()})


def test_notice_withdrawn_deletes_what_was_inferred_everywhere(pcm: NDArray[np.float32]) -> None:
    kept: list[Event] = []
    with serving(FAST, store=kept.append) as served, served.client() as client:
        sent = send_call(client, BOTH, Metadata(notice=True), call="w")
        for second in range(35):
            sent.push(pcm[second * 8000 : (second + 1) * 8000])
        served.wait_until(lambda: of_kind(served.service.hub.events_of("w"), Mood))
        client.request("POST", "/v1/calls/w/notice", {"given": False})
        served.wait_until(lambda: of_kind(served.service.hub.events_of("w"), Notice))
        for second in range(35, 60):
            sent.push(pcm[second * 8000 : (second + 1) * 8000])
        sent.end()
        late = listen(client, "w", since=0)
        told = client.request("GET", "/v1/calls/w")["events"]
    assert of_kind(late, Utterance)
    assert not of_kind(late, Mood)
    assert all(u.emotion is None for u in of_kind(late, Utterance))
    assert not [cue for cue in of_kind(late, Cue) if "customer_stress" in cue.evidence]
    assert late[-1].satisfaction is None  # type: ignore[union-attr]
    assert not [event for event in told if event["type"] == "mood" or event.get("emotion")]
    place = next(n for n, event in enumerate(kept) if isinstance(event, Notice))
    assert of_kind(kept[:place], Mood)
    assert not of_kind(kept[place:], Mood)


def test_no_more_calls_than_the_machine_carries(pcm: NDArray[np.float32]) -> None:
    with serving(live=LiveConfig(most_calls=1)) as served, served.client() as client:
        sent = send_call(client, BOTH)
        with pytest.raises(InputError, match="1 calls are open"):
            send_call(client, BOTH)
        status, headers, body = http_(served, "POST", "/v1/calls", {"roles": ["customer"]})
        assert (status, headers["retry-after"]) == (503, "10")
        assert b"1 calls are open" in body
        sent.push(pcm[:8000])
        sent.end()
        send_call(client, BOTH).end()


def test_agents_see_their_own_calls_and_leads_their_teams_without_names(
    closed: Served, pcm: NDArray[np.float32]
) -> None:
    ingest = closed.client(closed.token("ingest"))
    tokens = {
        "ann": closed.token("agent", "ann", "t1"),
        "bob": closed.token("agent", "bob", "t1"),
        "lead": closed.token("lead", team="t1"),
        "other": closed.token("lead", team="t2"),
        "operator": closed.token("operator"),
    }
    clients = {name: closed.client(token) for name, token in tokens.items()}
    sent = send_call(ingest, BOTH, Metadata(team="t1", agent="ann", notice=True), call="anns")
    sent.push(pcm[: 8000 // 4])
    closed.wait_until(lambda: closed.service.hub.started("anns"))
    seen = {name: client.request("GET", "/v1/calls") for name, client in clients.items()}
    assert {name: len(calls) for name, calls in seen.items()} == {
        "ann": 1,
        "bob": 0,
        "lead": 1,
        "other": 0,
        "operator": 1,
    }
    assert seen["ann"][0]["metadata"]["agent"] == "ann"
    alias = seen["lead"][0]["metadata"]["agent"]
    assert alias.startswith("A-")
    assert b'"ann' not in msgspec.json.encode({**seen["lead"][0], "call": ""})
    counted = {why: closed.service.refused.get(why, 0) for why in ("call", "role")}
    for name in ("bob", "other"):
        for method, path, body in (
            ("GET", "/v1/calls/anns", None),
            ("POST", "/v1/calls/anns/notice", {"given": False}),
            ("POST", "/v1/calls/anns/end", {}),
        ):
            with pytest.raises(InputError, match="404 no call 'anns'"):
                clients[name].request(method, path, body)
    with pytest.raises(InputError, match="404"):
        clients["bob"].request("POST", "/v1/calls/anns/reflection", {"score": 7})
    with pytest.raises(InputError, match="403"):
        clients["lead"].request("POST", "/v1/calls/anns/end", {})
    with pytest.raises(InputError, match="403"):
        clients["lead"].request("GET", "/v1/calls/anns/reflection")
    assert closed.service.refused["call"] == counted["call"] + 7
    assert closed.service.refused["role"] == counted["role"] + 2
    clients["ann"].request("POST", "/v1/calls/anns/reflection", {"score": 7, "text": "ging gut"})
    assert clients["ann"].request("GET", "/v1/calls/anns/reflection")["score"] == 7
    clients["lead"].request("POST", "/v1/calls/anns/help", {"text": "Soll ich übernehmen?"})
    clients["ann"].request("POST", "/v1/calls/anns/end", {"reason": "hangup"})
    anns, leads = listen(clients["ann"], "anns", since=0), listen(clients["lead"], "anns", since=0)
    assert of_kind(anns, HelpOffered)
    assert of_kind(leads, CallStarted)[0].metadata.agent == alias
    assert of_kind(leads, CallStarted)[0].source == ""
    for query in ("since=0", "since=0&call=anns", "since=0&call=anns&as=coach"):
        with ws(closed, f"/v1/live?{query}", Authorization=f"Bearer {tokens['bob']}") as socket:
            assert "hello" in socket.recv()
            with pytest.raises(TimeoutError):
                socket.recv(timeout=0.3)
    assert b"vocal_calls" in http_(closed, "GET", "/metrics", Authorization=f"Bearer {tokens['operator']}")[2]
    assert http_(closed, "GET", "/metrics", Authorization=f"Bearer {tokens['ann']}")[0] == 403


def test_alerts_are_acknowledged_and_muted_for_the_whole_team(closed: Served, pcm: NDArray[np.float32]) -> None:
    """What one lead does, the other lead of the team is told, at once and after coming back; nobody else is."""
    ingest = closed.client(closed.token("ingest"))
    lea, leo = (Principal(name, "lead", None, "t1") for name in ("Lea", "Leo"))
    leads = [closed.client(closed.service.access.issue(one, "token")) for one in (lea, leo)]
    ann = closed.client(closed.token("agent", "ann", "t1"))
    others = {"other": closed.client(closed.token("lead", team="t2")), "ann": ann}
    sent = send_call(ingest, BOTH, Metadata(team="t1", agent="ann", notice=True), call="alerted")
    sent.push(pcm[:2000])
    closed.wait_until(lambda: closed.service.hub.started("alerted"))
    texts = {"de": "Hilfe anbieten.", "en": "Offer help."}
    told = {"call": "alerted", "at_s": 1.0, "evidence": {}, "text_key": "", "text": texts, "expires_s": 9.0}
    cues = [
        Cue(**told, seq=seq, cue="x", kind="x", severity="alert", audience=audience)  # type: ignore[arg-type]
        for seq, audience in ((101, "coach"), (102, "agent"), (103, "coach"))
    ]
    assert closed.service._loop is not None
    closed.service._loop.call_soon_threadsafe(closed.service.take, cues)
    closed.wait_until(lambda: len(closed.service.hub.cues_of("alerted")) == 3)
    path = "/v1/calls/alerted"
    assert leads[0].request("POST", f"{path}/cues/103/seen") == {"call": "alerted", "last": 103}
    assert leads[1].request("POST", f"{path}/cues/101/seen") == {"call": "alerted", "last": 103}
    leads[1].request("POST", f"{path}/mute", {"seconds": 60})
    for number in (102, 104):
        with pytest.raises(InputError, match=f"404 call 'alerted' has no alert {number}"):
            leads[0].request("POST", f"{path}/cues/{number}/seen")
    for name, status in (("other", "404"), ("ann", "403")):
        for way in ("/cues/103/seen", "/mute", "/help"):
            with pytest.raises(InputError, match=status):
                others[name].request("POST", path + way, {} if way == "/help" else None)
    with pytest.raises(InputError, match="422"):
        leads[0].request("POST", f"{path}/mute", {"seconds": -1})
    # The agent's answer to an offer.
    with pytest.raises(InputError, match="409 call 'alerted' was offered no help"):
        ann.request("POST", f"{path}/help/answer", {"wanted": True})
    with pytest.raises(InputError, match="403"):
        leads[0].request("POST", f"{path}/help/answer", {"wanted": True})
    leads[0].request("POST", f"{path}/help", {"text": "Soll ich?"})
    ann.request("POST", f"{path}/help/answer", {"wanted": True})
    ingest.request("POST", f"{path}/end", {"reason": "hangup"})
    heard = [listen(one, "alerted", since=0) for one in leads]
    for events in heard:
        assert [(one.last, one.by) for one in of_kind(events, AlertsSeen)] == [(103, "Lea")]
        assert [(one.until_s - one.at_s, one.by) for one in of_kind(events, AlertsMuted)] == [(60.0, "Leo")]
        assert [one.wanted for one in of_kind(events, HelpAnswered)] == [True]
        assert b'"ann"' not in msgspec.json.encode(events)
    anns = listen(ann, "alerted", since=0)
    assert not of_kind(anns, AlertsSeen)
    assert not of_kind(anns, AlertsMuted)
    with pytest.raises(InputError, match="409 call 'alerted' has ended"):
        leads[0].request("POST", f"{path}/mute")


def test_forged_expired_and_missing_tokens(closed: Served) -> None:
    good = closed.token("agent", "ann")
    principal = Principal("ann", "agent", "ann")
    expired = closed.service.access.issue(principal, "token", -1.0)
    foreign = Access().issue(principal, "token")
    counted = closed.service.refused.get("token", 0)
    for token in (
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        expired,
        foreign,
        "",
        "x",
        "ä".encode().decode("latin-1"),
    ):
        assert http_(closed, "GET", "/v1/me", Authorization=f"Bearer {token}")[0] == 401
        with ws(closed, "/v1/live", Authorization=f"Bearer {token}") as socket:
            assert closed_with(socket) == 1008
        with pytest.raises(InvalidStatus) as refused:
            ws(closed, "/v1/media/pcm", Authorization=f"Bearer {token}")
        assert refused.value.response.status_code == 401
    for headers in ({}, {"Authorization": "Basic abc"}, {"Cookie": "vocal_session=x.y"}):
        status, answer, _ = http_(closed, "GET", "/v1/calls", **headers)
        assert (status, answer["www-authenticate"]) == (401, "Bearer")
    assert closed.service.refused["token"] == counted + 6 * 3 + 3
    assert http_(closed, "GET", "/v1/me", Authorization=f"Bearer {good}")[0] == 200
    with pytest.raises(InputError, match="expired"):
        next(closed.client(expired).events())


def test_login_sessions_and_links(closed: Served) -> None:
    access = closed.service.access
    access.add(Principal("ann", "agent", "ann", "t1"), "correct horse battery")
    try:
        assert http_(closed, "POST", "/v1/login", {"name": "ann", "password": "wrong"})[0] == 401
        assert http_(closed, "POST", "/v1/login", {"name": "nobody", "password": "wrong"})[0] == 401
        status, headers, body = http_(closed, "POST", "/v1/login", {"name": "ann", "password": "correct horse battery"})
        assert (status, json.loads(body)["role"]) == (200, "agent")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        session = cookie.partition(";")[0]
        assert http_(closed, "GET", "/v1/me", Cookie=session)[0] == 200
        with ws(closed, "/v1/live", Cookie=session) as socket:
            assert json.loads(socket.recv())["hello"]["role"] == "agent"
        # A page elsewhere cannot use it.
        counted = closed.service.refused.get("origin", 0)
        assert http_(closed, "POST", "/v1/logout", Cookie=session, Origin="https://evil.example")[0] == 403
        with (
            pytest.raises(InvalidStatus, match="403"),
            ws(closed, "/v1/live", Cookie=session, Origin="https://evil.example"),
        ):
            pass
        assert closed.service.refused["origin"] == counted + 2
        assert http_(closed, "POST", "/v1/logout", Cookie=session, Origin=closed.url)[0] == 204
        assert http_(closed, "GET", "/v1/me", Cookie=session)[0] == 401
        code = access.issue(Principal("demo", "lead", None, "t1"), "link", 60.0)
        status, headers, _ = http_(closed, "GET", f"/login/{code}?to=/coach")
        assert (status, headers["location"]) == (303, "/coach")
        status, again, _ = http_(closed, "GET", f"/login/{code}")
        assert (status, again["location"]) == (303, "/?failed=link")
        assert "set-cookie" not in again
        assert closed.service.refused["login_link"] == 1
        assert http_(closed, "GET", "/v1/me", Cookie=headers["set-cookie"].partition(";")[0])[0] == 200
        code = access.issue(Principal("demo", "lead", None, "t1"), "link", 60.0)
        assert http_(closed, "GET", f"/login/{code}?to=//evil.example")[1]["location"] == "/"
        for _ in range(12):
            status, headers, _ = http_(closed, "POST", "/v1/login", {"name": "ann", "password": "wrong"})
        assert status == 429
        assert int(headers["retry-after"]) >= 1
    finally:
        access.remove("ann")
        closed.service.logins._left.clear()


def test_oversized_and_malformed_frames_and_bodies(fast: Served, pcm: NDArray[np.float32]) -> None:
    with fast.client() as client:
        bystander = send_call(client, BOTH, call="bystander")
        bystander.push(pcm[:8000])
        for first in (
            "",
            "{",
            "[]",
            '{"sample_rate": 44100}',
            '{"roles": ["boss"]}',
            '{"roles": ["agent", "agent"]}',
            '{"call": "../etc"}',
            '{"channels": 3}',
            "[" * 10_000,
            b"\0\0",
        ):
            with ws(fast, "/v1/media/pcm") as socket:
                socket.send(first)
                answer = json.loads(socket.recv(timeout=5))
                assert answer["type"] == "error"
                with pytest.raises(ConnectionClosed) as gone:
                    socket.recv(timeout=5)
            assert gone.value.rcvd is not None
            assert gone.value.rcvd.code == 1003
        with ws(fast, "/v1/media/pcm") as socket:
            socket.send("{}")
            opened = json.loads(socket.recv(timeout=5))["call"]
            socket.send(bytes(3))  # a sample and a half
            socket.send(bytes(100_000))
            with pytest.raises(ConnectionClosed) as gone:
                socket.recv(timeout=5)
            assert gone.value.rcvd is not None
            assert gone.value.rcvd.code == 1009
        assert listen(client, opened, since=0)[-1].reason == "connection lost"  # type: ignore[union-attr]
        assert http_(fast, "POST", "/v1/calls", b"x" * 100_000)[0] == 413
        assert fast.service.refused["body"] == 1
        assert http_(fast, "POST", "/v1/calls", b"{")[0] == 422
        assert http_(fast, "POST", "/v1/calls", {"roles": []})[0] == 422
        assert http_(fast, "GET", "/v1/calls/none")[0] == 404
        assert http_(fast, "GET", "/../vocal/cli.py")[0] == 404
        assert http_(fast, "GET", "/%2e%2e/cli.py")[0] == 404
        assert http_(fast, "GET", "/v1/me", Host="evil.example")[0] == 421
        assert fast.service.refused["host"] == 1
        for query in ("since=x", "since=-1"):
            with ws(fast, f"/v1/live?{query}") as socket, pytest.raises(ConnectionClosed):
                socket.recv(timeout=5)
        bystander.end()
        assert len(of_kind(listen(client, "bystander", since=0), CallEnded)) == 1
        assert fast.service.refused["media"] >= 10


BROKEN = {
    "a reserved opcode": (b"\x83\x80\0\0\0\0", 1002),
    "no mask": (b"\x81\x01a", 1002),
    "reserved bits": (b"\xf1\x80\0\0\0\0", 1002),
    "a ping of 200 bytes": (b"\x89\xfe\0\xc8" + bytes(204), 1002),
    "the middle of nothing": (b"\x80\x80\0\0\0\0", 1002),
    "no UTF-8": (b"\x81\x82\0\0\0\0\xff\xfe", 1007),
    "too large": (b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4), 1009),
    "many parts, too large together": (b"\x02\xff" + (60_000).to_bytes(8, "big") + bytes(60_004)
        + b"\x80\xff" + (60_000).to_bytes(8, "big") + bytes(60_004), 1009),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/live", "/v1/media/pcm"])
@pytest.mark.parametrize("what", BROKEN)
def test_broken_frames_close_their_own_connection_only(fast: Served, path: str, what: str) -> None:
    frame, code = BROKEN[what]
    counted = fast.service.refused.get("frame", 0)
    with ws(fast, "/v1/live") as bystander:
        assert "hello" in bystander.recv(timeout=5)
        with ws(fast, path) as socket:
            if path == "/v1/media/pcm":
                socket.send("{}")
                assert json.loads(socket.recv(timeout=5))["type"] == "opened"
            socket.socket.sendall(frame)
            assert closed_with(socket) == code
        fast.wait_until(lambda: fast.service.refused.get("frame", 0) == counted + 1)
        with fast.client() as client:
            sent = send_call(client, (Channel(0, "agent"),))
            sent.push(np.zeros((8000, 1), np.float32))
            sent.end()
            while sent.call not in bystander.recv(timeout=5):
                pass
    assert f'vocal_refused_total{{why="frame"}} {counted + 1}.0' in http_(fast, "GET", "/metrics")[2].decode()


def test_what_a_reader_says_is_not_listened_to(fast: Served) -> None:
    with ws(fast, "/v1/live") as socket:
        for said in ("{", "[]", '{"type": "end"}', b"\0" * 1000, ""):
            socket.send(said)
        assert "hello" in socket.recv(timeout=5)


def test_a_sign_in_that_ends_closes_what_is_open(closed: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a page that is left open over night: by its age, and by signing out elsewhere."""
    monkeypatch.setattr("vocal.api.feed.BEAT_S", 0.1)
    access, counted = closed.service.access, closed.service.refused.get("expired", 0)
    ann = Principal("ann", "agent", "ann")
    short, session = access.issue(ann, "token", 1.0), access.issue(ann)
    with (
        ws(closed, "/v1/live", Authorization=f"Bearer {short}") as aged,
        ws(closed, "/v1/live", Cookie=f"vocal_session={session}") as left,
        ws(closed, "/v1/live", Authorization=f"Bearer {closed.token('agent', 'ann')}") as stays,
    ):
        assert "hello" in left.recv(timeout=5)
        assert http_(closed, "POST", "/v1/logout", Cookie=f"vocal_session={session}")[0] == 204
        for socket in (aged, left):
            assert closed_with(socket) == 4401
            assert "sign in again" in socket.close_reason
        assert "hello" in stays.recv(timeout=5)
        assert "beat" in stays.recv(timeout=5)
    assert closed.service.refused["expired"] == counted + 2
    short = access.issue(ann, "token", 0.5)
    with pytest.raises(InputError, match="sign in again"):
        list(closed.client(short).events())


def test_pages_elsewhere_sign_in_by_code_or_token(closed: Served) -> None:
    operator, agent = (f"Bearer {closed.token(*given)}" for given in (("operator",), ("agent", "ann")))
    wanted = {"name": "Ada", "role": "agent", "agent": "a1"}
    assert http_(closed, "POST", "/v1/codes", wanted, Authorization=agent)[0] == 403
    assert http_(closed, "POST", "/v1/codes", {"name": "Ada", "role": "agent"}, Authorization=operator)[0] == 422
    assert http_(closed, "POST", "/v1/codes", {**wanted, "role": "operator"}, Authorization=operator)[0] == 422
    code = json.loads(http_(closed, "POST", "/v1/codes", wanted, Authorization=operator)[2])["code"]
    assert http_(closed, "GET", "/v1/me", Authorization=f"Bearer {code}")[0] == 401
    token = json.loads(http_(closed, "POST", "/v1/login/code", {"code": code})[2])["token"]
    assert http_(closed, "POST", "/v1/login/code", {"code": code})[0] == 401
    assert json.loads(http_(closed, "GET", "/v1/me", Authorization=f"Bearer {token}")[2])["agent"] == "a1"
    url = closed.url.replace("http", "ws") + "/v1/live"
    with connect(url, subprotocols=["vocal", f"vocal.token.{token}"]) as socket:  # type: ignore[list-item]
        assert json.loads(socket.recv())["hello"]["role"] == "agent"
        assert socket.subprotocol == "vocal"
    with connect(url, subprotocols=["vocal", f"vocal.token.{token}x"]) as socket:  # type: ignore[list-item]
        assert closed_with(socket) == 1008


@pytest.mark.parametrize(
    ("is_tls", "ancestors", "wanted"),
    [
        (False, ("'self'",), "SameSite=Lax"),
        (True, ("'self'",), "SameSite=Lax; Secure"),
        (False, ("'self'", "https://crm.example"), "SameSite=Lax"),
        (True, ("'none'",), "SameSite=Lax; Secure"),
        (True, ("'self'", "https://crm.example"), "SameSite=None; Secure; Partitioned"),
    ],
)
def test_where_a_session_holds(is_tls: bool, ancestors: tuple[str, ...], wanted: str) -> None:
    with serving(server=ServerConfig(closed=True, frame_ancestors=ancestors)) as served:
        served.service.is_tls = is_tls
        code = served.service.access.issue(Principal("lea", "lead", None, "t1"), "link")
        cookie = http_(served, "GET", f"/login/{code}")[1]["set-cookie"]
        assert cookie.endswith(f"; HttpOnly; Max-Age=43200; Path=/; {wanted}")
        status, headers, _ = http_(served, "POST", "/v1/logout", Cookie=cookie.partition(";")[0])
        assert status == 204
        assert headers["set-cookie"] == f"vocal_session=; HttpOnly; Max-Age=0; Path=/; {wanted}"


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
def test_a_proxy_is_believed_where_it_is_named(proxies: tuple[str, ...]) -> None:
    server = ServerConfig(closed=True, logins_burst=1.0, logins_per_s=1e-6, proxies=proxies)
    with serving(server=server) as served:
        told = {"X_Forwarded_Proto": "https"}
        tried = [
            http_(served, "POST", "/v1/login", {"name": "x", "password": "y"}, X_Forwarded_For=client, **told)[0]
            for client in ("192.0.2.1", "192.0.2.2", "192.0.2.2")
        ]
        # Each client behind the proxy has its own rate; without one, all are who connects.
        assert tried == ([401, 401, 429] if proxies else [401, 429, 429])
        code = served.service.access.issue(Principal("lea", "lead", None, "t1"), "link")
        if proxies:
            assert (
                "Secure" in http_(served, "GET", f"/login/{code}", X_Forwarded_For="192.0.2.3", **told)[1]["set-cookie"]
            )


def test_feedback_on_a_cue(fast: Served) -> None:
    with fast.client() as client, open_call(call_path()) as source:
        call = replay(source, fast.url, Metadata(notice=True), speed=1000.0)
        cue = next(cue for cue in of_kind(listen(client, call, since=0), Cue) if cue.audience == "agent")
        client.request("POST", f"/v1/calls/{call}/cues/{cue.seq}/feedback", {"helpful": True})
        client.request("POST", f"/v1/calls/{call}/cues/{cue.seq}/feedback", {"helpful": False})
        with pytest.raises(InputError, match="404"):
            client.request("POST", f"/v1/calls/{call}/cues/0/feedback", {"helpful": True})
    metrics = http_(fast, "GET", "/metrics")[2].decode()
    assert f'vocal_cue_feedback_total{{answer="does_not_fit",cue="{cue.cue}"}} 1.0' in metrics


def test_documents_and_pages(fast: Served) -> None:
    status, headers, _ = http_(fast, "GET", "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert http_(fast, "GET", "/", If_None_Match=headers["etag"])[0] == 304
    for path in ("/agent", "/coach", "/softphone", "/style.css", "/agent.js", "/icon.svg"):
        assert http_(fast, "GET", path)[0] == 200
        assert b"$" not in http_(fast, "GET", path)[2].partition(b"//")[0]
    for path in ("/page.html", "/page", "/agent.html", "/agent/", "/web/agent.js", "/.git/config", "/AGENT"):
        assert http_(fast, "GET", path)[0] == 404
    schema = json.loads(http_(fast, "GET", "/v1/schema")[2])
    kinds = {
        one["properties"]["type"]["enum"][0] for one in schema["$defs"].values() if "type" in one.get("properties", {})
    }
    assert {"call_started", "levels", "utterance", "mood", "conversation", "cue", "notice", "call_ended"} <= kinds
    assert json.loads(http_(fast, "GET", "/v1/asyncapi")[2])["channels"]["live"]["address"] == "/v1/live"
    assert "/v1/calls/{call}/notice" in json.loads(http_(fast, "GET", "/v1/openapi.json")[2])["paths"]
    docs = http_(fast, "GET", "/docs")[2].decode()
    assert "/v1/calls" in docs
    assert "https://" not in docs.replace("https://json-schema", "")
    assert json.loads(http_(fast, "GET", "/v1/models")[2])[0]["name"]
    assert json.loads(http_(fast, "GET", "/healthz")[2])["status"] == "alive"
    assert http_(fast, "GET", "/readyz")[0] == 200


def test_a_call_opened_over_the_api_takes_media_from_elsewhere(fast: Served, pcm: NDArray[np.float32]) -> None:
    """As WHIP does it: the call first, then a playout for each participant."""
    with fast.client() as client:
        opened = client.request("POST", "/v1/calls", {"roles": ["agent", "customer"], "metadata": {"notice": True}})
        assert opened["state"] == "waiting"
        live = fast.service.live
        playouts = [live.attach(opened["call"], channel) for channel in (0, 1)]
        for n in range(200):
            for column, playout in enumerate(playouts):
                playout.push(n, 160 * n, pcm[160 * n : 160 * (n + 1), column].copy(), live.now_ms())
            time.sleep(0.02 / FAST)
        client.request("POST", f"/v1/calls/{opened['call']}/end", {"reason": "hangup"})
        assert listen(client, opened["call"], since=0)[-1].reason == "hangup"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("host", "has_accounts", "has_tls", "insecure", "is_refused"),
    [
        ("127.0.0.1", False, False, False, False),
        ("localhost", False, False, False, False),
        ("0.0.0.0", False, False, False, True),
        ("0.0.0.0", True, False, False, True),
        ("0.0.0.0", False, True, False, True),
        ("::", True, True, False, False),
        ("0.0.0.0", False, False, True, False),
    ],
)
def test_exposure(host: str, has_accounts: bool, has_tls: bool, insecure: bool, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(UsageError, match="--insecure"):
            check_exposure(host, has_accounts, has_tls, insecure)
    else:
        check_exposure(host, has_accounts, has_tls, insecure)


def test_replay_to_nowhere_says_so() -> None:
    with open_call(call_path()) as source, pytest.raises(InputError, match="refused"):
        replay(source, "ws://127.0.0.1:9")
    with pytest.raises(UsageError, match="wanted http://HOST:PORT"):
        Client("ftp://x")


def test_it_stops_with_calls_open(pcm: NDArray[np.float32]) -> None:
    kept: list[Event] = []
    with serving(store=kept.append, playout=PlayoutConfig()) as served:
        client = served.client()
        sent = send_call(client, BOTH)
        sent.push(pcm[:16000])
        served.wait_until(lambda: served.service.hub.started(sent.call))
    assert kept[-1].reason == "shutdown"  # type: ignore[union-attr]
    assert kept[-1].duration_s == pytest.approx(2.0, abs=0.01)  # type: ignore[union-attr]
    assert vk.RATE_HZ == 8000
    assert PATIENT.stream_lag_ms > PlayoutConfig().stream_lag_ms
