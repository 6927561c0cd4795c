"""Notice and consent: what must be so before anything is inferred of a customer, by whichever door a call comes."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from serving import Served, serving
from test_engine import a_call, of_kind
from test_telephony import Phone, state
from test_webrtc import an_offer, post

from vocal.analysis import analyze
from vocal.config import Config, PrivacyConfig, SipConfig, load_config
from vocal.demo import call_path
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.errors import ConfigError
from vocal.policy import may_infer_of_customer, stated
from vocal.record import record_of
from vocal.replays.websocket import send_call
from vocal.transports.files import open_call
from vocal.types import Call, Channel, Event, Metadata, Mood, Notice, Utterance

BOTH = (Channel(0, "agent"), Channel(1, "customer"))
CONSENT = PrivacyConfig(basis="consent")
RATE = 8000


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.float32]:
    with open_call(call_path()) as source:
        return source.read(10_000_000)


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel()


class Stage:
    """A call of the engine, in which somebody says something every ten seconds."""

    def __init__(self, model: EmotionModel, metadata: Metadata, basis: str) -> None:
        self.events: list[Event] = []
        self.engine = Engine(self.events.append, Config(privacy=PrivacyConfig(basis=basis)), model)  # type: ignore[arg-type]
        self.engine.open(Call("c", "test", "test", "2026-01-01T00:00:00+00:00", BOTH, metadata))

    def play(self, pcm: NDArray[np.float32]) -> list[Event]:
        before = len(self.events)
        self.engine.push("c", pcm)
        while self.engine.advance():
            pass
        return self.events[before:]

    def end(self) -> list[Event]:
        self.engine.end("c", "hangup")
        while self.engine.advance():
            pass
        return self.events


def inferred(events: list[Event]) -> bool:
    return bool(of_kind(events, Mood)) or any(one.emotion for one in of_kind(events, Utterance))


@pytest.mark.parametrize(
    ("basis", "said", "is_inferred"),
    [
        ("notice", Metadata(), False),
        ("notice", Metadata(notice=True), True),
        ("notice", Metadata(consent=True), True),
        ("consent", Metadata(), False),
        ("consent", Metadata(notice=True), False),
        ("consent", Metadata(notice=True, consent=True), True),
        ("consent", Metadata(consent=True), True),
    ],
)
def test_the_engine_infers_only_what_the_basis_allows(
    pcm: NDArray[np.float32], model: EmotionModel, basis: str, said: Metadata, is_inferred: bool
) -> None:
    stage = Stage(model, said, basis)
    stage.play(pcm[: 30 * RATE])
    assert inferred(stage.end()) == is_inferred
    assert may_infer_of_customer(said, basis) == is_inferred  # type: ignore[arg-type]


def test_consent_in_mid_call_and_withdrawn_again(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    stage = Stage(model, Metadata(), "consent")
    stage.engine.give_notice("c")
    assert not inferred(stage.play(pcm[: 20 * RATE]))
    stage.engine.give_notice("c", "consent")
    stage.engine.give_notice("c", "consent")  # said twice is said once
    assert inferred(stage.play(pcm[20 * RATE : 50 * RATE]))
    stage.engine.withdraw_notice("c", "consent")
    assert not inferred(stage.play(pcm[50 * RATE :]))
    events = stage.end()
    assert [(one.given, one.basis) for one in of_kind(events, Notice)] == [
        (True, "notice"),
        (True, "consent"),
        (False, "consent"),
    ]
    record = record_of(events)
    assert (record.notice, record.consent) == ("withdrawn", "withdrawn")
    assert record.satisfaction is None
    assert record.model is None
    assert not [step for step in record.steps if step.mood is not None]


def test_consent_that_comes_after_a_notice_that_was_enough_changes_nothing(
    pcm: NDArray[np.float32], model: EmotionModel
) -> None:
    plain, more = Stage(model, Metadata(notice=True), "notice"), Stage(model, Metadata(notice=True), "notice")
    for stage in (plain, more):
        stage.play(pcm[: 30 * RATE])
    more.engine.give_notice("c", "consent")
    for stage in (plain, more):
        stage.play(pcm[30 * RATE :])
    moods = [[(one.at_s, one.valence) for one in of_kind(stage.end(), Mood)] for stage in (plain, more)]
    assert moods[0] == moods[1]
    assert record_of(more.events).consent == "given"


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["notice", "consent"])), max_size=8), st.booleans())
def test_whatever_was_said_last_of_an_objection_holds(said: list[tuple[bool, str]], at_first: bool) -> None:
    metadata = Metadata(notice=at_first)
    for is_given, basis in said:
        metadata = stated(metadata, is_given, basis)  # type: ignore[arg-type]
        if not is_given:
            assert not may_infer_of_customer(metadata, "notice")
        elif basis == "consent":
            assert may_infer_of_customer(metadata, "consent")
    assert metadata.notice or not metadata.consent


# The doors


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    sip = SipConfig(
        listen="127.0.0.1:0", internal=("73??",), informed_by="X-Notice", agreed_by="X-Consent", joined_by="X-Call"
    )
    with serving(20.0, sip=sip, privacy=CONSENT) as one:
        yield one


@pytest.mark.parametrize(
    "dialect", ["pcm", "twilio", "telnyx", "audiohook", "jambonz", "fork", "vonage", "asterisk", "voximplant"]
)
@pytest.mark.parametrize("consent", [False, True])
def test_consent_comes_by_every_dialect(served: Served, pcm: NDArray[np.float32], dialect: str, consent: bool) -> None:
    with served.client() as client:
        name = uuid.uuid4().hex
        sent = send_call(client, BOTH, Metadata(notice=True, consent=consent), name, dialect=dialect)
        sent.push(pcm[: 20 * RATE])
        sent.end()
        served.wait_until(lambda: served.service.hub.events_of(name)[-1:] and served.service.live.call(name) is None)
        events = list(served.service.hub.events_of(name))
    started = events[0]
    assert (started.metadata.notice, started.metadata.consent) == (True, consent)  # type: ignore[union-attr]
    assert inferred(events) == consent  # type: ignore[arg-type]


def test_consent_comes_by_the_api_by_whip_and_by_the_softphone(served: Served) -> None:
    with served.client() as client:
        opened = client.request("POST", "/v1/calls", {"metadata": {"notice": True, "consent": True}})
        assert opened["metadata"]["consent"]
        call = f"/v1/calls/{opened['call']}"
        assert client.request("POST", f"{call}/notice", {"given": False})["basis"] == "notice"
        metadata = client.request("GET", call)["metadata"]
        assert (metadata["notice"], metadata["consent"]) == (False, False)
        client.request("POST", f"{call}/notice", {"given": True, "basis": "consent"})
        metadata = client.request("GET", call)["metadata"]
        assert (metadata["notice"], metadata["consent"]) == (True, True)
        status, headers, _ = post(served, an_offer(), "?consent=true")
        assert status == 201
        assert client.request("GET", f"/v1/calls/{headers['vocal-call']}")["metadata"]["consent"]
        # One who joins may say so as well.
        first = client.request("POST", "/v1/calls", {"metadata": {"notice": True}})["call"]
        status, _, _ = post(served, an_offer(), f"?consent=true&role=customer&call={first}")
        assert status == 201
        assert client.request("GET", f"/v1/calls/{first}")["metadata"]["consent"]
        answer = client.request("POST", "/v1/softphone/offer", {"sdp": an_offer(), "notice": True, "consent": True})
        assert client.request("GET", f"/v1/calls/{answer['call']}")["metadata"]["consent"]
        client.request("POST", f"{answer['url']}/notice", {"given": False, "basis": "consent"})
        assert not client.request("GET", f"/v1/calls/{answer['call']}")["metadata"]["notice"]


def test_consent_comes_and_goes_by_a_header(served: Served) -> None:
    phone = Phone(served)
    answer = phone.record(more=("X-Notice: yes",))
    assert not state(served, answer).call.metadata.consent
    for value, is_given in (("yes", True), ("no", False)):
        assert phone.ask("UPDATE", more=(f"X-Consent: {value}",)).status == 200
        assert state(served, answer).call.metadata.consent is is_given
    assert not state(served, answer).call.metadata.notice  # whoever takes consent back objects
    phone.ask("BYE")


# Recordings and records


def test_recordings_too_want_consent_where_the_settings_do() -> None:
    config = Config(privacy=CONSENT)
    assert not inferred(analyze(call_path(), notice=True, config=config).events)
    agreed = analyze(call_path(), consent=True, config=config)
    assert inferred(agreed.events)
    assert inferred(analyze(call_path(), notice=True).events)
    record = record_of(agreed.events)
    assert (record.notice, record.consent) == ("given", "given")
    assert record.model is not None


@pytest.mark.parametrize(
    ("metadata", "notices", "states"),
    [
        (Metadata(), [], ("none", "none")),
        (Metadata(notice=True), [], ("given", "none")),
        (Metadata(consent=True), [], ("given", "given")),
        (Metadata(), [(True, "notice")], ("given", "none")),
        (Metadata(), [(True, "consent")], ("given", "given")),
        (Metadata(notice=True), [(False, "notice")], ("withdrawn", "none")),
        (Metadata(notice=True), [(False, "consent")], ("withdrawn", "withdrawn")),
        (Metadata(consent=True), [(False, "notice"), (True, "notice")], ("given", "withdrawn")),
    ],
)
def test_a_record_says_what_stood_at_the_end(
    metadata: Metadata, notices: list[tuple[bool, str]], states: tuple[str, str]
) -> None:
    events: list[Event] = []
    engine = Engine(events.append)
    call = a_call()
    engine.open(Call(call.call, call.source, call.transport, call.started_at, call.channels, metadata))
    told = [Notice(call="c", at_s=1.0, given=is_given, basis=basis) for is_given, basis in notices]  # type: ignore[arg-type]
    record = record_of([*events, *told])
    assert (record.notice, record.consent) == states


# Settings


def test_retention_is_shorter_freely_and_longer_by_agreement_alone(tmp_path: Path) -> None:
    file = tmp_path / "vocal.toml"

    def times(text: str) -> Config:
        file.write_text(f"[retention]\n{text}")
        return load_config(file, {})

    assert times("calls_d = 14\nutterances_h = 0.5").retention.times.calls.days == 14
    with pytest.raises(ConfigError, match=r"\[retention\] calls_d: wanted at most 30, got 31; longer wants"):
        times("calls_d = 31")
    with pytest.raises(ConfigError, match="audit_d: wanted at most 731"):
        times('audit_d = 800\nagreement = " "')
    assert times('calls_d = 60\nagreement = "BV 12/2026"').retention.times.calls.days == 60
    for odd in ("calls_d = 0", "figures_d = -1", "audit_d = nan", 'calls_d = 1e300\nagreement = "BV"', "calls_d = 'x'"):
        with pytest.raises(ConfigError):
            times(odd)
    assert load_config(None, {"VOCAL_RETENTION_CALLS_D": "7"}).retention.times.calls.days == 7
    with pytest.raises(ConfigError, match="basis"):
        load_config(None, {"VOCAL_PRIVACY_BASIS": "none"})


def test_keys_lie_beside_the_store_and_never_in_it(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert PrivacyConfig().places("", "") is None
    assert PrivacyConfig().places(store, "a.db") == (Path(f"{store}.keys"), Path(f"{store}.audit.jsonl"))
    assert PrivacyConfig().places(f"file://{store}", "") == PrivacyConfig().places(f"{store}/", "")
    assert PrivacyConfig().places("", "a.db") == (Path("a.db.keys"), Path("a.db.audit.jsonl"))
    assert PrivacyConfig(keys="/k").places("", "") == (Path("/k"), Path("/audit.jsonl"))
    assert PrivacyConfig(keys="/k", audit="/a").places("s3://b/c", "") == (Path("/k"), Path("/a"))
    with pytest.raises(ConfigError, match="keys: wanted a folder of this machine"):
        PrivacyConfig().places("s3://b/c", "")
    for inside in (PrivacyConfig(keys=f"{store}/keys"), PrivacyConfig(audit=f"{store}/audit.jsonl")):
        with pytest.raises(ConfigError, match="outside the store"):
            inside.places(store, "")
