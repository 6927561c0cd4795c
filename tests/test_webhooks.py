"""Webhooks to real receivers: signatures, order, retries, what a kill leaves, and what nobody is told."""

import base64
import http.server
import itertools
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from browser.stage import TOTALS
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st
from serving import serving
from standardwebhooks import Webhook
from test_media import free_port

from vocal.cli import main
from vocal.client import Client
from vocal.config import WebhookEndpoint, WebhooksConfig, load_config
from vocal.demo import call_path
from vocal.errors import ConfigError
from vocal.policy import INFERRED_MEASURES, OWN_MEASURES, RETENTION, for_others
from vocal.replays.websocket import replay, send_call
from vocal.rules import load_rules
from vocal.sinks.outbox import Outbox
from vocal.sinks.webhook import Webhooks, _asked_wait_s, cloud_event, senders
from vocal.transports.files import open_call
from vocal.types import (
    CallEnded,
    CallStarted,
    Channel,
    Conversation,
    Cue,
    Event,
    Metadata,
    Moment,
    Mood,
    Notice,
    Satisfaction,
    Totals,
    Utterance,
)

pytestmark = pytest.mark.flaky(reruns=2)
SECRET, NEXT = (f"whsec_{base64.b64encode(bytes([n] * 32)).decode()}" for n in (1, 2))
BOTH = (Channel(0, "agent"), Channel(1, "customer"))


class Receiver:
    """A system that is told. answers: what it says to each try, in turn, then 200; headers go with a status."""

    def __init__(self, answers: Sequence[Any] = (), certificate: tuple[str, str] | None = None, port: int = 0) -> None:
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.times: list[float] = []
        self.answers = list(answers)
        self.hangs = threading.Event()
        self.hangs.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.times.append(time.monotonic())
                receiver.hangs.wait(20.0)
                answer = receiver.answers.pop(0) if receiver.answers else 200
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                if status < 300:
                    receiver.told.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that hung up

        self.server = Server(("127.0.0.1", port), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.hangs.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.told]

    def wait_for(self, count: int, seconds: float = 10.0) -> list[dict[str, Any]]:
        until(lambda: len(self.told) >= count, seconds)
        return self.events


def until(what: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def receive(*answers: Any, **more: Any) -> Receiver:
        made.append(Receiver(answers, **more))
        return made[-1]

    yield receive
    for one in made:
        one.close()


def endpoint(receiver: Receiver, **more: Any) -> WebhookEndpoint:
    given: dict[str, Any] = {"events": ("call_started", "cue", "call_ended"), "name": "crm", **more}
    return (
        WebhookEndpoint(receiver.url, (SECRET,), **given)
        if "secrets" not in given
        else WebhookEndpoint(receiver.url, **given)
    )


def settings(folder: Path, *endpoints: WebhookEndpoint, **more: Any) -> WebhooksConfig:
    quick: dict[str, Any] = {"first_wait_s": 0.02, "most_wait_s": 0.05, "answer_s": 5.0, **more}
    return WebhooksConfig(str(folder / "hooks"), "/vocal", endpoints, **quick)


def hidden(event: Event) -> Event:
    """As the service hides who an agent is."""
    if not isinstance(event, CallStarted):
        return event
    return msgspec.structs.replace(event, metadata=msgspec.structs.replace(event.metadata, agent="A-123456"), source="")


@contextmanager
def telling(config: WebhooksConfig) -> Iterator[Webhooks]:
    hooks = Webhooks(config, hidden)
    hooks.start()
    try:
        yield hooks
    finally:
        hooks.stop()


class Told:
    """A call's events, as the engine would tell them."""

    def __init__(self, call: str = "call-1", **metadata: Any) -> None:
        self.call = call
        self._seq = itertools.count()
        given: dict[str, Any] = {"queue": "Rechnung", "agent": "Ann Example", "notice": True, **metadata}
        self.metadata = Metadata(**given)

    def base(self, at_s: float = 1.0) -> dict[str, Any]:
        return {"call": self.call, "seq": next(self._seq), "at_s": at_s}

    def started(self) -> CallStarted:
        at = "2026-11-22T10:00:00.000+00:00"
        said = {"started_at": at, "transport": "sip", "source": "sip:ann@10.1.2.3"}
        return CallStarted(**self.base(0.0), **said, channels=BOTH, metadata=self.metadata)

    def cue(self, audience: Any = "coach", severity: Any = "warning", **evidence: float) -> Cue:
        said: dict[str, Any] = {"cue": "r", "kind": "k", "text_key": "cue.r", "text": {"de": "x", "en": "x"}}
        evidence = evidence or {"silence_s": 15.0}
        return Cue(**self.base(), **said, audience=audience, severity=severity, evidence=evidence, expires_s=9.0)

    def mood(self) -> Mood:
        said = {"valence": 0.2, "arousal": 0.7, "stress": 0.6, "trend": -0.1, "confidence": 0.9}
        return Mood(**self.base(), role="customer", **said)

    def ended(self) -> CallEnded:
        satisfaction = Satisfaction(3.0, 6.0, 3.0, {"start": (2.0, 4.0), "end": (5.0, 7.0)})
        moments = (Moment("pain", 1.0, 2.0, "customer_mood_low"), Moment("pain", 3.0, 9.0, "dead_air"))
        said: dict[str, Any] = {"reason": "hangup", "duration_s": 60.0, "satisfaction": satisfaction}
        return CallEnded(**self.base(60.0), **said, conversation=TOTALS, moments=moments, lost_share=0.0)


# What arrives


def test_events_arrive_in_order_signed_by_each_secret_as_cloudevents(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(), Told()
    with telling(settings(tmp_path, endpoint(receiver, secrets=(NEXT, SECRET), inferred=True))) as hooks:
        hooks.take([said.started(), *[said.cue() for _ in range(20)], said.ended()])
        events = receiver.wait_for(22)
        until(lambda: hooks.status()[0].waiting == 0)
        assert hooks.counts == {("crm", "delivered"): 22, ("", "lost"): 0}
    assert [one["data"]["event"]["seq"] for one in events] == list(range(22))
    for headers, body in receiver.told:
        for secret in (SECRET, NEXT):
            assert Webhook(secret).verify(body, headers) == json.loads(body)
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(SECRET).verify(body.replace(b"call-1", b"call-2"), headers)
        assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        found = from_http_event(HTTPMessage(headers, body), JSONFormat())
        assert (found.get_specversion(), found.get_source(), found.get_subject()) == ("1.0", "/vocal", "call-1")
        assert found.get_id() == headers["webhook-id"]
        happened = found.get_time()
        assert happened is not None
        assert abs(happened - datetime.now(UTC)) < timedelta(minutes=1)
    assert {one["type"] for one in events} == {"vocal.call_started", "vocal.cue", "vocal.call_ended"}
    assert len({one["id"] for one in events}) == 22
    assert events[5]["data"]["metadata"]["queue"] == "Rechnung"


def test_a_failure_is_tried_again_under_its_id_before_what_follows(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(500, 503, 200, 429), Told()
    with telling(settings(tmp_path, endpoint(receiver))) as hooks:
        hooks.take([said.started(), said.cue(), said.ended()])
        events = receiver.wait_for(3)
        assert [one["data"]["event"]["seq"] for one in events] == [0, 1, 2]
        assert hooks.counts["crm", "failed_tries"] == 3


def test_one_that_hangs_holds_up_neither_calls_nor_others(receive: Any, tmp_path: Path) -> None:
    slow, quick, said = receive(), receive(), Told()
    slow.hangs.clear()
    config = settings(tmp_path, endpoint(slow, name="slow"), endpoint(quick, name="quick"), answer_s=0.5)
    with telling(config) as hooks:
        began_s = time.monotonic()
        hooks.take([said.started(), *[said.cue() for _ in range(500)]])
        assert time.monotonic() - began_s < 0.5
        quick.wait_for(501, 30.0)
        until(lambda: "no answer within 0.5 s" in hooks.status()[0].last)
        assert hooks.status()[0].waiting == 501
        slow.hangs.set()
        slow.wait_for(501, 30.0)
    assert [one["data"]["event"]["seq"] for one in quick.events] == list(range(501))


def test_retry_after_is_honoured(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive((503, {"Retry-After": "1"})), Told()
    with telling(settings(tmp_path, endpoint(receiver))) as hooks:
        hooks.take([said.started()])
        receiver.wait_for(1)
    first, second = receiver.times
    assert 0.95 <= second - first < 3.0


@given(st.text(max_size=40))
def test_whatever_retry_after_says_the_wait_is_bounded(text: str) -> None:
    assert 0.0 <= _asked_wait_s(text, 0.0) <= 86_400.0


def test_retry_after_in_both_forms() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert _asked_wait_s("120", now.timestamp()) == 120.0
    assert _asked_wait_s(format_datetime(now + timedelta(seconds=90), usegmt=True), now.timestamp()) == 90.0
    assert [_asked_wait_s(one, 0.0) for one in (None, "soon", "-5", "9" * 30)] == [0.0, 0.0, 0.0, 86_400.0]


def test_back_off_grows_and_spreads(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(*[500] * 5), Told()
    with telling(settings(tmp_path, endpoint(receiver), first_wait_s=0.1, most_wait_s=0.8)) as hooks:
        hooks.take([said.started()])
        receiver.wait_for(1, 20.0)
    gaps = [after - before for before, after in itertools.pairwise(receiver.times)]
    for gap, whole in zip(gaps, (0.1, 0.2, 0.4, 0.8, 0.8), strict=True):
        assert 0.5 * whole <= gap < whole + 0.5


def test_redirects_are_not_followed(receive: Any, tmp_path: Path) -> None:
    elsewhere, said = receive(), Told()
    receiver = receive(*[(307, {"Location": elsewhere.url})] * 3)
    with telling(settings(tmp_path, endpoint(receiver), tries=2)) as hooks:
        hooks.take([said.started()])
        until(lambda: hooks.counts["crm", "dead"])
        assert "redirects are not followed" in hooks.status()[0].last
    assert not elsewhere.told


def test_tls_wants_a_certificate_that_holds(receive: Any, tmp_path: Path, certificate: tuple[str, str]) -> None:
    receiver, said = receive(certificate=certificate), Told()
    known = endpoint(receiver, name="known", ca=certificate[0])
    with telling(settings(tmp_path, endpoint(receiver, name="stranger"), known, tries=1)) as hooks:
        hooks.take([said.started()])
        receiver.wait_for(1)
        until(lambda: hooks.counts["stranger", "dead"])
        until(lambda: hooks.counts["known", "delivered"] == 1)
        assert "CERTIFICATE_VERIFY_FAILED" in next(one.last for one in hooks.status() if one.name == "stranger")


# What is given up, and sent again


def dead_event(call: str) -> Any:
    return cloud_event("/vocal", "vocal.cue", datetime.now(UTC).isoformat(), call, None)


def written(tmp_path: Path, receiver: Receiver, **more: Any) -> str:
    """A settings file for the commands."""
    said = "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
    path = tmp_path / "vocal.toml"
    path.write_text(
        f'[webhooks]\nfolder = "{tmp_path / "hooks"}"\nfirst_wait_s = 0.02\nmost_wait_s = 0.05\n{said}'
        f'[[webhooks.endpoints]]\nname = "crm"\nurl = "{receiver.url}"\nsecrets = ["{SECRET}"]\n'
        'events = ["call_started", "cue", "call_ended"]\n'
    )
    return str(path)


def test_what_nobody_takes_is_dead_and_can_be_sent_again(
    receive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver, said = receive(*[500] * 6), Told()
    file = written(tmp_path, receiver, tries=3)
    with telling(load_config(file, {}).webhooks) as hooks:
        hooks.take([said.started(), said.cue(), said.ended()])
        receiver.wait_for(1)
        assert main(["webhooks", "dead", "--config", file, "--json"]) == 0
        dead = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["event"]["data"]["event"]["seq"], one["tries"]) for one in dead] == [(0, 3), (1, 3)]
        assert dead[0]["why"] == "500 Internal Server Error"
        assert main(["webhooks", "dead", "crm", "--config", file]) == 0
        assert dead[0]["id"][:8] in capsys.readouterr().out.replace("\n", "")
        assert main(["webhooks", "replay", "--config", file, "--id", dead[1]["id"]]) == 0
        receiver.wait_for(2)
        assert main(["webhooks", "replay", "crm", "--config", file]) == 0
        events = receiver.wait_for(3)
        assert capsys.readouterr().out.splitlines() == ["events that wait again: 1"] * 2
        assert main(["webhooks", "replay", "--config", file, "--id", "none"]) == 1
        Outbox(tmp_path / "hooks", time.time).bury_new([("crm", dead_event("call-9"))], "full")
        assert main(["webhooks", "erase", "call-9", "--config", file]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "events erased: 1"
    assert [one["data"]["event"]["seq"] for one in events] == [2, 1, 0]
    assert [one["id"] for one in events[1:]] == [dead[1]["id"], dead[0]["id"]]
    assert (tmp_path / "hooks/dead.jsonl").read_bytes() == b""


def test_410_stops_until_somebody_asks_again(receive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receiver, said = receive(410), Told()
    file = written(tmp_path, receiver)
    with telling(load_config(file, {}).webhooks) as hooks:
        hooks.take([said.started()])
        until(lambda: hooks.status()[0].state == "gone")
        hooks.take([said.cue()])
        until(lambda: hooks.counts["crm", "gone"])
        assert len(receiver.times) == 1
        assert main(["webhooks", "ls", "--config", file]) == 0
        assert "gone" in capsys.readouterr().out
        assert main(["webhooks", "replay", "crm", "--config", file]) == 0
        receiver.wait_for(1)
        until(lambda: hooks.status()[0].state == "open")
        hooks.take([said.cue()])
        assert [one["data"]["event"]["seq"] for one in receiver.wait_for(2)] == [0, 2]


def test_test_says_whether_an_endpoint_takes(receive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receiver = receive(200, 500)
    file = written(tmp_path, receiver)
    assert main(["webhooks", "test", "--config", file]) == 0
    assert main(["webhooks", "test", "crm", "--config", file]) == 1
    assert main(["webhooks", "test", "crn", "--config", file]) == 2
    told = capsys.readouterr()
    assert "crm: 200, taken" in told.out
    assert "500 Internal Server Error" in told.err
    assert "did you mean 'crm'" in told.err
    (one,) = receiver.events
    assert (one["type"], "data" in one, "subject" in one) == ("vocal.test", False, False)
    Webhook(SECRET).verify(receiver.told[0][1], receiver.told[0][0])


def test_no_more_wait_than_there_is_room_for(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(), Told()
    receiver.hangs.clear()
    with telling(settings(tmp_path, endpoint(receiver), most_waiting=5)) as hooks:
        hooks.take([said.started(), *[said.cue() for _ in range(9)]])
        until(lambda: hooks.counts["crm", "dead"] == 5)
        receiver.hangs.set()
        receiver.wait_for(5)
    dead = Outbox(tmp_path / "hooks", time.time).dead()
    assert [one.event.data.event.seq for one in dead if one.event.data] == [5, 6, 7, 8, 9]
    assert "5 events were waiting already" in dead[0].why


def test_a_full_disk_is_counted_and_loses_nothing_that_fits(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(), Told()
    with telling(settings(tmp_path, endpoint(receiver))) as hooks:
        outbox = hooks._outbox
        assert outbox is not None
        hooks.take([said.started()])
        receiver.wait_for(1)
        (pages,) = outbox._base.execute("PRAGMA page_count").fetchone()
        outbox._base.execute(f"PRAGMA max_page_count = {pages}")
        hooks.take([said.cue() for _ in range(50)])
        until(lambda: hooks.counts["", "disk"])
        outbox._base.execute("PRAGMA max_page_count = 100000")
        events = receiver.wait_for(51)
        assert hooks.counts["", "lost"] == 0
    assert [one["data"]["event"]["seq"] for one in events] == list(range(51))


# A killed server


def serve(file: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "vocal.cli", "serve", "--port", "0", "--config", file]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/")
    assert running.stdout is not None
    line = running.stdout.readline()
    found = re.search(r"http://\S+", line)
    assert found, line
    return running, found[0]


def test_a_kill_loses_nothing_that_was_taken(receive: Any, tmp_path: Path) -> None:
    receiver = receive(*[503] * 100_000)
    file = written(tmp_path, receiver, tries=1_000_000)
    running, url = serve(file)
    try:
        with Client(url) as client:
            for number in range(6):
                sent = send_call(client, BOTH, Metadata(agent="Ann Example"), f"call-{number}")
                sent.push(np.zeros((1600, 2), np.float32))
                sent.end()
            until(lambda: client.request("GET", "/v1/webhooks")[0]["waiting"] == 12)
            figures = urllib.request.urlopen(f"{url}/metrics").read().decode()
        assert 'vocal_webhooks_waiting{endpoint="crm"} 12.0' in figures
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert running.stdout is not None
        running.stdout.close()
    assert not receiver.told
    receiver.answers.clear()
    running, _ = serve(file)
    try:
        events = receiver.wait_for(12)
        time.sleep(0.5)
    finally:
        running.terminate()
        running.wait()
        assert running.stdout is not None
        running.stdout.close()
    assert len(receiver.events) == 12
    calls = [(one["subject"], one["type"]) for one in events]
    assert sorted(calls) == sorted(
        (f"call-{number}", f"vocal.call_{what}") for number in range(6) for what in ("started", "ended")
    )
    for number in range(6):
        assert calls.index((f"call-{number}", "vocal.call_started")) < calls.index(
            (f"call-{number}", "vocal.call_ended")
        )
    assert b"Ann" not in b"".join(body for _, body in receiver.told)


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_webhooks import Told, endpoint, settings, hidden, WebhookEndpoint, SECRET
from vocal.sinks.webhook import Webhooks
where = WebhookEndpoint({url!r}, (SECRET,), name="crm", events=("call_started", "cue"))
hooks = Webhooks(settings(Path({folder!r}), where), hidden)
hooks.start()
said = Told()
hooks.take([said.started()])
while True:
    hooks.take([said.cue()])
    print(hooks.counts["crm", "delivered"], hooks.status()[0].waiting, flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("after_s", [0.1, 0.35, 0.6])
def test_killed_while_it_sends(receive: Any, tmp_path: Path, after_s: float) -> None:
    """What it had said to hold is told, each in its order; twice at most what was on its way just then."""
    receiver = receive()
    code = KILLED.format(tests=str(Path(__file__).parent), url=receiver.url, folder=str(tmp_path))
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(after_s)
    running.kill()
    lines = running.stdout.read().splitlines()
    running.wait()
    running.stdout.close()
    held = sum(map(int, lines[-1].split())) if lines else 0
    config = settings(tmp_path, endpoint(receiver, events=("call_started", "cue")))
    with telling(config) as hooks:
        until(lambda: hooks.status()[0].waiting == 0)
        until(lambda: len(receiver.told) >= held)
    seqs = [one["data"]["event"]["seq"] for one in receiver.events]
    assert sorted(set(seqs)) == list(range(max(seqs) + 1))
    assert seqs == sorted(seqs)
    assert len(seqs) - len(set(seqs)) <= 1
    assert max(seqs) + 1 >= held


# What nobody is told


def test_agents_are_pseudonyms_and_their_own_measures_stay(receive: Any, tmp_path: Path) -> None:
    others, own, said = receive(), receive(), Told()
    every = ("call_started", "utterance", "mood", "conversation", "cue", "notice", "call_ended")
    config = settings(
        tmp_path,
        endpoint(others, name="others", events=every),
        endpoint(own, name="own", events=every, audience=("agent", "coach"), inferred=True),
    )
    totals = {name: getattr(TOTALS, name) for name in Totals.__struct_fields__}
    cues = [
        said.cue("agent", agent_tempo_syll_s=6.2),
        said.cue("coach", customer_stress=0.7),
        said.cue("coach", agent_monologue_s=50.0),
        said.cue("coach", silence_s=15.0),
    ]
    with telling(config) as hooks:
        hooks.take([said.started(), *cues, said.mood(), Conversation(**said.base(), **totals), said.ended()])
        own.wait_for(8)
        others.wait_for(3)
    started, cue, ended = (one["data"]["event"] for one in others.events)
    assert (started["metadata"]["agent"], started["source"]) == ("A-123456", "")
    assert cue["evidence"] == {"silence_s": 15.0}
    assert (ended["satisfaction"], [one["why"] for one in ended["moments"]]) == (None, ["dead_air"])
    assert ended["conversation"]["talk_share"] == {"agent": None, "customer": None}
    assert ended["conversation"]["non_talk_s"] == 3.0
    whole = own.events[-1]["data"]["event"]
    assert (whole["satisfaction"]["end"], whole["conversation"]["talk_share"]["agent"]) == (6.0, 0.6)
    for receiver in (others, own):
        assert b"Ann" not in b"".join(body for _, body in receiver.told)
        assert b"10.1.2.3" not in b"".join(body for _, body in receiver.told)


EVIDENCE = sorted(INFERRED_MEASURES | OWN_MEASURES | {"silence_s", "overlap_s", "agent_snr_db", "customer_snr_db"})


@given(
    st.sampled_from(["agent", "coach"]),
    st.dictionaries(st.sampled_from(EVIDENCE), st.floats(0.0, 9.0), min_size=1),
    st.sampled_from([("agent",), ("coach",), ("agent", "coach")]),
    st.booleans(),
)
def test_a_cue_tells_no_more_than_it_may(audience: Any, evidence: Any, audiences: Any, inferred: bool) -> None:
    seen = for_others(Told().cue(audience, **evidence), audiences, inferred)
    may = audience in audiences
    may = may and (inferred or INFERRED_MEASURES.isdisjoint(evidence))
    may = may and ("agent" in audiences or OWN_MEASURES.isdisjoint(evidence))
    assert (seen is not None) == may


@pytest.mark.parametrize("role", ["agent", "unknown", "customer"])
def test_only_the_customers_utterances_are_told(role: Any) -> None:
    pcm = analyzed()
    told = [for_others(msgspec.structs.replace(one, role=role), ("coach",), False) for one in pcm]
    assert all((one is not None) == (role == "customer") for one in told)
    assert all(one.emotion is None for one in told if isinstance(one, Utterance))


def analyzed() -> list[Utterance]:
    from vocal.analysis import analyze

    found = [one for one in analyze(call_path(), notice=True).events if isinstance(one, Utterance)]
    assert any(one.emotion is not None for one in found)
    return found


def test_an_objection_takes_back_what_waits_and_is_told(receive: Any, tmp_path: Path) -> None:
    receiver, said = receive(), Told()
    receiver.hangs.clear()
    with telling(
        settings(tmp_path, endpoint(receiver, events=("call_started", "cue", "mood"), inferred=True))
    ) as hooks:
        hooks.take([said.started(), said.mood(), said.cue(customer_stress=0.8), said.cue(silence_s=20.0)])
        until(lambda: hooks.status()[0].waiting == 4)
        hooks.take([Notice(**said.base(), given=False)])
        until(lambda: hooks.status()[0].waiting == 3)
        receiver.hangs.set()
        events = receiver.wait_for(3)
    assert [one["type"] for one in events] == ["vocal.call_started", "vocal.cue", "vocal.notice"]
    for file in (tmp_path / "hooks").iterdir():
        assert b"customer_stress" not in file.read_bytes()


def test_a_call_can_be_erased_and_nothing_outstays_its_time(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    outbox = Outbox(tmp_path, lambda: now[0])

    def one(call: str) -> Any:
        happened = datetime.fromtimestamp(now[0], UTC).isoformat()
        return ("crm", cloud_event("/vocal", "vocal.cue", happened, call, None))

    outbox.put([one("a"), one("b"), one("c")])
    outbox.bury_new([one("a"), one("b")], "full")
    with (tmp_path / "dead.jsonl").open("ab") as file:
        file.write(b'{"at": "half a li')
    outbox.bury_new([one("c")], "full")
    assert [dead.call for dead in outbox.dead()] == ["a", "b", "c"]
    assert outbox.erase("b") == 2
    assert outbox.erase("b") == 0
    assert b'"b"' not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    now[0] += 86_400.0
    outbox.put([one("d")])
    assert outbox.prune(timedelta(hours=23)) == 4
    assert (outbox.sizes(), outbox.dead()) == ({"crm": 1}, [])
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}
    outbox.close()


def test_an_erased_call_does_not_go_out_any_more(receive: Any, tmp_path: Path) -> None:
    receiver = receive()
    receiver.hangs.clear()
    first, second = Told("call-1"), Told("call-2")
    with telling(settings(tmp_path, endpoint(receiver))) as hooks:
        hooks.take([first.started(), second.started(), first.cue(), first.ended(), second.ended()])
        until(lambda: hooks.status()[0].waiting == 5)
        assert hooks.erase(["call-1"]) == 3
        assert hooks.erase(["call-1", "call-3"]) == 0
        receiver.hangs.set()
        until(lambda: hooks.status()[0].waiting == 0)
    assert [one["subject"] for one in receiver.events][-2:] == ["call-2", "call-2"]


def test_an_endpoint_that_is_not_in_the_settings_any_more_gets_nothing(receive: Any, tmp_path: Path) -> None:
    receiver = receive()
    outbox = Outbox(tmp_path / "hooks", time.time)
    outbox.put([("old", cloud_event("/vocal", "vocal.cue", datetime.now(UTC).isoformat(), "a", None))])
    with telling(settings(tmp_path, endpoint(receiver))):
        until(lambda: len(outbox.dead()) == 1)
    assert outbox.dead()[0].why == "the settings name no such endpoint any more"
    outbox.close()


# The line


def test_a_live_call_tells_what_the_hub_tells(receive: Any, tmp_path: Path) -> None:
    receiver = receive()
    every = ("call_started", "cue", "mood", "call_ended")
    config = settings(tmp_path, endpoint(receiver, events=every, inferred=True, severity="hint"))
    with serving(25.0, webhooks=config) as served, open_call(call_path()) as source:
        metadata = Metadata(queue="Rechnung", agent="Ann Example", notice=True)
        call = replay(source, served.url, metadata, speed=25.0)
        served.wait_until(lambda: served.service.hub.at_s(call) is None, 30.0)
        hub = [one for one in served.service.hub.events_of(call) if isinstance(one, Cue | CallEnded | Mood)]
        wanted = [one for one in hub if not isinstance(one, Cue) or (one.audience, one.severity) != ("coach", "info")]
        wanted = [one for one in wanted if not isinstance(one, Cue) or one.audience == "coach"]
        receiver.wait_for(len(wanted) + 1, 20.0)
        with served.client() as client:
            (status,) = client.request("GET", "/v1/webhooks")
    found = [one["data"]["event"] for one in receiver.events]
    assert [one["seq"] for one in found[1:]] == [one.seq for one in wanted]
    assert any(isinstance(one, Cue) for one in wanted)
    assert b"Ann" not in b"".join(body for _, body in receiver.told)
    assert SECRET not in json.dumps(status)
    assert status["name"] == "crm"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"url": "http://crm.example/hook"}, "wanted https://HOST"),
        ({"url": "ftp://crm.example"}, "wanted https://HOST"),
        ({"secrets": ()}, "wanted secrets"),
        ({"secrets": ("tooshort",)}, "whsec_ and 24 to 64 bytes"),
        ({"ca": "nowhere.pem"}, "wanted a PEM file"),
    ],
)
def test_bad_settings_say_what_is_wanted_and_no_secret(tmp_path: Path, changes: Any, why: str) -> None:
    given = {"url": "https://crm.example/hook", "secrets": (SECRET,), "name": "crm", **changes}
    with pytest.raises(ConfigError, match=r"\[webhooks\] endpoint crm: ") as told:
        senders(WebhooksConfig(str(tmp_path), endpoints=(WebhookEndpoint(**given),)))
    assert why in str(told.value)
    assert "tooshort" not in str(told.value)


def test_bad_settings_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = WebhookEndpoint("https://crm.example/hook", (SECRET,))
    with pytest.raises(ConfigError, match="wanted folder"):
        senders(WebhooksConfig(endpoints=(one,)))
    with pytest.raises(ConfigError, match=r"'crm\.example' 2 times"):
        senders(WebhooksConfig(str(tmp_path), endpoints=(one, one)))
    path = tmp_path / "vocal.toml"
    path.write_text('[[webhooks.endpoints]]\nurl = "https://x.example"\nsecrets = []\nevents = ["cues"]\n')
    assert main(["webhooks", "ls", "--config", str(path)]) == 2
    path.write_text("")
    assert main(["webhooks", "ls", "--config", str(path)]) == 2
    assert "no endpoints in the settings" in capsys.readouterr().err
    senders(
        WebhooksConfig(str(tmp_path), endpoints=(WebhookEndpoint("http://crm.intern/x", (SECRET,), insecure=True),))
    )


# docs/webhooks.md


GUIDE = (Path(__file__).parents[1] / "docs/webhooks.md").read_text("utf-8")
EXAMPLES = {block.split(".py")[0]: block for block in re.findall(r"```python\n# (.*?)```", GUIDE, re.S)}


@contextmanager
def example(name: str, folder: Path) -> Iterator[str]:
    """A receiver of the guide, as a program of its own."""
    port = free_port()
    code = f"# {EXAMPLES[name]}"
    assert len(code.splitlines()) < 40
    environment = {**os.environ, "SECRET": SECRET, "PORT": str(port)}
    running = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        yield url
    finally:
        running.kill()
        running.wait()


def told_to(name: str, folder: Path, told: Sequence[Event], **more: Any) -> Any:
    with example(name, folder) as url:
        config = settings(folder, WebhookEndpoint(url, (SECRET,), **more), first_wait_s=0.1, most_wait_s=0.2)
        with telling(config) as hooks:
            hooks.take(told)
            until(lambda: hooks.status()[0].waiting == 0 and hooks.counts["127.0.0.1", "delivered"])
        forged = httpx.post(url, content=b"{}", headers={"webhook-id": "x"})
        assert forged.status_code == 401
        return httpx.get(f"{url}/call-1").json() if name == "knowledge" else None


def test_the_guides_receivers_do_what_they_say(tmp_path: Path) -> None:
    assert set(EXAMPLES) == {"crm", "acd", "knowledge"}
    bad, good = Told("bad"), Told("good")
    ended = bad.ended()
    assert ended.satisfaction is not None
    ended = msgspec.structs.replace(ended, satisfaction=msgspec.structs.replace(ended.satisfaction, end=2.5))
    told_to(
        "crm", tmp_path, [bad.started(), ended, good.started(), good.ended()], events=("call_ended",), inferred=True
    )
    (ticket,) = (tmp_path / "tickets.jsonl").read_text().splitlines()
    assert json.loads(ticket) == {"title": "Please call back: Rechnung, ended at 2.5 of 10", "call": "bad"}
    line = msgspec.structs.replace(bad.cue(customer_snr_db=8.0), kind="line")
    told_to("acd", tmp_path, [bad.started(), line, ended, good.started(), good.ended()])
    (entry,) = (tmp_path / "callbacks.jsonl").read_text().splitlines()
    assert json.loads(entry)["call"] == "bad"
    said = Told()
    hint = msgspec.structs.replace(said.cue("agent", "hint", silence_s=6.0), kind="silence")
    found = told_to("knowledge", tmp_path, [said.started(), hint], events=("cue",), audience=("agent",))
    assert found == {"article": "What to say while the invoice loads"}


def test_the_guides_settings_can_be_followed(tmp_path: Path) -> None:
    first, rule = re.findall(r"```toml\n(.*?)```", GUIDE, re.S)
    path = tmp_path / "vocal.toml"
    path.write_text(first)
    config = load_config(path, {}).webhooks
    with pytest.raises(ConfigError, match=r"house-ca\.pem"):
        senders(config)
    senders(msgspec.structs.replace(config, endpoints=config.endpoints[:1]))
    path.write_text(rule)
    assert load_rules(path).rule[0].link
    defaults = WebhooksConfig()
    assert f"after {defaults.tries} tries (`tries`" in GUIDE
    assert f"within {defaults.answer_s:g} s, `answer_s`" in GUIDE
    assert f"longer than calls do ({RETENTION.calls.days} days)" in GUIDE
