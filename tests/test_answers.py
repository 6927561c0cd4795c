"""What agents answered, beyond a restart and without a name."""

import stat
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from serving import serving

from vocal.access import Access, Principal
from vocal.answers import Answers
from vocal.client import Client
from vocal.config import ServerConfig
from vocal.errors import InputError, StoreError, UsageError
from vocal.policy import RETENTION
from vocal.replays.websocket import send_call
from vocal.types import Channel, Cue, Metadata

DAY_S = 86400.0


def test_answers_outlast_the_process_and_stay_their_agents(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    first = Answers(path)
    first.feedback("c", 3, "tempo_high", True)
    first.feedback("c", 3, "tempo_high", False)
    first.reflect("c", "ann", 4, "zäh")
    first.reflect("c", "ann", 7, "doch gut")
    first.reflect("d", "bob", 2, "")
    first.close()
    again = Answers(path)
    assert again.counts() == {("tempo_high", False): 1}
    assert again.feedback_of("c") == {3: False}
    assert [(one.call, one.score, one.text) for one in again.reflections("ann")] == [("c", 7, "doch gut")]
    assert not again.take_back("c", "bob")
    assert again.take_back("c", "ann")
    assert again.reflections("ann") == []
    assert len(again.reflections("bob")) == 1
    again.close()
    raw = path.read_bytes()
    assert b"bob" not in raw
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_they_go_when_calls_go_and_the_counts_stay(tmp_path: Path) -> None:
    now = [1_000_000.0]
    answers = Answers(tmp_path / "answers.db", clock=lambda: now[0])
    for call in ("a", "b"):
        answers.feedback(call, 1, "dead_air", True)
        answers.reflect(call, "ann", 5, "")
    now[0] += RETENTION.calls.total_seconds() - DAY_S
    answers.feedback("c", 1, "dead_air", True)
    answers.reflect("c", "ann", 6, "")
    assert len(answers.reflections("ann")) == 3
    now[0] += 2 * DAY_S
    answers.forget_old()
    assert [one.call for one in answers.reflections("ann")] == ["c"]
    assert answers.feedback_of("a") == {}
    assert answers.counts() == {("dead_air", True): 3}
    answers.close()


def test_a_file_that_cannot_serve_is_named(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("no database at all, but a text of some length")
    with pytest.raises(UsageError, match="cannot be used for answers"):
        Answers(tmp_path / "no.db")
    answers = Answers(tmp_path / "answers.db")
    answers._base.execute("DROP TABLE reflections")
    with pytest.raises(StoreError, match="could not be kept"):
        answers.reflect("c", "ann", 5, "")


@pytest.mark.flaky(reruns=2)
def test_beside_the_accounts_through_a_servers_restart(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    closed = ServerConfig(closed=True)

    def tokens(access: Access) -> dict[str, str]:
        return {name: access.issue(Principal(name, "agent", name), "token") for name in ("ann", "bob")}

    with serving(server=closed, access=Access(path), answers=Answers(path)) as served:
        known = tokens(served.service.access)
        with served.client(served.token("ingest")) as ingest, Client(served.url, known["ann"]) as ann:
            sent = send_call(ingest, (Channel(0, "agent"),), Metadata(agent="ann"), call="felt")
            sent.push(np.zeros((800, 1), np.float32))
            served.wait_until(lambda: served.service.hub.started("felt"))
            cue = Cue(
                call="felt",
                seq=50,
                at_s=1.0,
                expires_s=9.0,
                evidence={},  # type: ignore[arg-type]
                cue="tempo_high",
                kind="tempo",
                severity="hint",
                audience="agent",  # type: ignore[arg-type]
                text_key="",
                text={"de": "", "en": ""},
            )
            assert served.service._loop is not None
            served.service._loop.call_soon_threadsafe(served.service.take, [cue])
            served.wait_until(lambda: served.service.hub.cues_of("felt"))
            ann.request("POST", "/v1/calls/felt/cues/50/feedback", {"helpful": True})
            assert ann.request("GET", "/v1/calls/felt")["feedback"] == {"50": True}
            ann.request("POST", "/v1/calls/felt/reflection", {"score": 8, "text": "ging gut"})
            sent.end()
    with serving(server=closed, access=Access(path), answers=Answers(path)) as served:
        with Client(served.url, known["ann"]) as ann:
            assert ann.request("GET", "/v1/calls/felt/reflection")["text"] == "ging gut"
            assert [one["score"] for one in ann.request("GET", "/v1/reflections")] == [8]
        with Client(served.url, known["bob"]) as bob:
            assert bob.request("GET", "/v1/reflections") == []
            for method in ("GET", "DELETE"):
                with pytest.raises(InputError, match="404 call 'felt' has no reflection"):
                    bob.request(method, "/v1/calls/felt/reflection")
        with served.client(served.token("operator")) as operator, pytest.raises(InputError, match="403"):
            operator.request("GET", "/v1/reflections")
        with Client(served.url, known["ann"]) as ann:
            ann.request("DELETE", "/v1/calls/felt/reflection")
            assert ann.request("GET", "/v1/reflections") == []
        assert served.service.answers.counts() == {("tempo_high", True): 1}


def test_whose_a_call_is_is_known_to_its_agent_alone(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    answers = Answers(path)
    for call in ("a", "b"):
        answers.keep_own(call, "ann")
    answers.keep_own("c", "bob")
    answers.keep_own("c", "ann")
    assert answers.own_calls("ann") == ["b", "a"]
    assert answers.own_calls("bob") == ["c"]
    assert answers.own_calls(None) == answers.own_calls("") == []
    assert answers.owns("a", "ann")
    assert not any(answers.owns(*pair) for pair in (("a", "bob"), ("a", None), ("a", ""), ("x", "ann"), ("c", "ann")))
    answers.close()
    assert b"ann" not in path.read_bytes()


def test_sharing_is_the_agents_act_and_can_be_undone() -> None:
    answers = Answers()
    answers.keep_own("a", "ann")
    assert not answers.share("a", "bob")
    assert not answers.share("x", "ann")
    assert not answers.is_shared("a")
    assert answers.share("a", "ann", "ab Minute 4", with_reflection=True)
    answers.reflect("a", "bob", 2, "nicht mein Gespräch")
    assert answers.shared_reflection("a") is None
    answers.reflect("a", "ann", 7, "gut")
    assert answers.is_shared("a")
    share, felt = answers.share_of("a"), answers.shared_reflection("a")
    assert share is not None
    assert (share.note, share.with_reflection) == ("ab Minute 4", True)
    assert felt is not None
    assert (felt.score, felt.text) == (7, "gut")
    assert answers.share("a", "ann")
    assert answers.shared_reflection("a") is None
    assert not answers.unshare("a", "bob")
    assert answers.unshare("a", "ann")
    assert not answers.unshare("a", "ann")
    assert answers.shares() == {}


def test_what_is_an_agents_goes_when_they_say_so_and_nothing_else() -> None:
    answers = Answers()
    for call, agent in (("a", "ann"), ("b", "ann"), ("c", "bob")):
        answers.keep_own(call, agent)
        answers.feedback(call, 1, "dead_air", True)
        answers.reflect(call, agent, 5, "")
        answers.share(call, agent)
    assert answers.forget_calls(["b"]) == 4
    assert answers.own_calls("ann") == ["a"]
    assert answers.forget_agent("ann") == 4
    assert answers.forget_agent("ann") == 0
    assert (answers.own_calls("ann"), answers.reflections("ann"), answers.feedback_of("a")) == ([], [], {})
    assert list(answers.shares()) == ["c"]
    assert answers.counts() == {("dead_air", True): 3}


def test_own_calls_and_shares_go_when_calls_go() -> None:
    now = [1_000_000.0]
    answers = Answers(clock=lambda: now[0], keep=timedelta(days=7))
    answers.keep_own("a", "ann")
    assert answers.share("a", "ann")
    now[0] += 7 * DAY_S + 1.0
    assert answers.own_calls("ann") == []
    assert not answers.owns("a", "ann")
    assert not answers.is_shared("a")
    assert answers.forget_calls(["a"]) == 2
