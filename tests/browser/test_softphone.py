"""Calls between browsers: a recording is each one's microphone."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from serving import Served, serving

from vocal.analysis import analyze
from vocal.config import WebrtcConfig
from vocal.types import CallEnded, Mood, Utterance

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def phones() -> Iterator[Served]:
    """In real time: people speak no faster."""
    with serving() as running:
        yield running


def state(page: Any, text: str) -> None:
    page.locator(".phone-state").get_by_text(text).wait_for()


def until(page: Any, where: str, what: str) -> None:
    for _ in range(100):
        if page.locator(where).first.evaluate(what):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{where}: never {what}")


def test_alone_one_sees_the_own_voice(phones: Served, open_page: Open) -> None:
    page = open_page("/softphone?processing=off", url=phones.url, width=1280, height=800)
    page.get_by_role("button", name="Mikrofon prüfen").click()
    until(page, "progress", "one => one.value > 0.2")
    page.get_by_role("button", name="Anrufen").click()
    state(page, "Verbunden, noch allein")
    page.locator("vocal-agent .row .value").first.get_by_text(",").wait_for()
    page.get_by_role("button", name="Auflegen").click()
    state(page, "Gespräch beendet")


def said_again(phones: Served, call: str, microphone: Path) -> int:
    """Each whole utterance has the recording's level, F0 and tempo, however often that was played; how many there are.
    Not whole are those that a reload, a hang-up, or a browser that had too little of the processor, cut into."""
    pcm, rate_hz = soundfile.read(microphone, dtype="float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        soundfile.write(path, soxr.resample(np.concatenate([pcm, pcm]), rate_hz, 8000), 8000)
        said = analyze(path, role="agent").utterances[0]
    events = phones.service.hub.events_of(call)
    spoken = [event for event in events if isinstance(event, Utterance) and event.end_s - event.start_s >= 3.0]
    whole = [event for event in spoken if event.lost_s < 0.02 * (event.end_s - event.start_s)]
    for event in whole:
        assert event.level_dbov == pytest.approx(said.level_dbov, abs=1.0), event
        assert event.f0_median_hz == pytest.approx(said.f0_median_hz, rel=0.1), event
        assert event.articulation_rate_syll_s == pytest.approx(said.articulation_rate_syll_s, rel=0.2), event
    return len(whole)


def test_what_arrives_is_what_was_said(phones: Served, open_page: Open, microphone: Path) -> None:
    page = open_page("/softphone?processing=off", url=phones.url)
    page.get_by_role("button", name="Anrufen").click()
    state(page, "Verbunden, noch allein")
    page.wait_for_timeout(16_000)
    code = page.locator("code").inner_text()
    page.get_by_role("button", name="Auflegen").click()
    state(page, "Gespräch beendet")
    phones.wait_until(lambda: any(isinstance(one, CallEnded) for one in phones.service.hub.events_of(code)))
    assert said_again(phones, code, microphone) >= 1


def test_two_people_call_each_other(phones: Served, open_page: Open, microphone: Path) -> None:
    agent = open_page("/softphone?processing=off", url=phones.url)
    agent.get_by_role("switch", name="Kundenseite ist informiert").check()
    agent.get_by_role("button", name="Anrufen").click()
    state(agent, "Verbunden, noch allein")
    code = agent.locator("code").inner_text()
    other = f"/softphone?processing=off&role=customer&call={code}"
    customer = open_page(other, url=phones.url)
    customer.get_by_role("switch").check()
    customer.get_by_role("button", name="Anrufen").click()
    state(customer, "Verbunden mit der anderen Seite")
    state(agent, "Verbunden mit der anderen Seite")
    third = open_page(other, url=phones.url)
    third.get_by_role("button", name="Anrufen").click()
    third.get_by_text("schon besetzt").wait_for()

    agent.locator("vocal-agent .sign:not(.none)").wait_for()
    customer.get_by_role("switch").uncheck()
    agent.get_by_text("Die Kundenseite ist nicht informiert.").wait_for()
    assert not [event for event in phones.service.hub.events_of(code) if isinstance(event, Mood)]

    customer.reload()
    state(customer, "Verbunden mit der anderen Seite")
    until(customer, "audio", "one => one.currentTime > 0.5")
    agent.get_by_role("button", name="Auflegen").click()
    state(customer, "Gespräch beendet")
    said_again(phones, code, microphone)


def test_an_invitation_needs_no_account(phones: Served, open_page: Open) -> None:
    agent = open_page("/softphone", url=phones.url, permissions=["clipboard-read", "clipboard-write"])
    agent.get_by_role("button", name="Anrufen").click()
    agent.get_by_role("button", name="Einladung kopieren").click()
    agent.get_by_text("Kopiert.").wait_for()
    link = agent.evaluate("navigator.clipboard.readText()")
    customer = open_page(link.removeprefix(phones.url), url=phones.url)
    customer.get_by_text("Sie sind zu einem Gespräch eingeladen").wait_for()
    customer.get_by_role("button", name="Gespräch beginnen").click()
    state(agent, "Verbunden mit der anderen Seite")
    assert not customer.locator("vocal-agent").count()
    customer.get_by_role("button", name="Auflegen").click()
    state(agent, "Gespräch beendet")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("NotAllowedError", "Das Mikrofon ist gesperrt."),
        ("NotFoundError", "Kein Mikrofon gefunden."),
        ("NotReadableError", "von einem anderen Programm benutzt"),
    ],
)
def test_what_is_wrong_with_the_microphone_is_said(open_page: Open, name: str, text: str) -> None:
    page = open_page("/softphone")
    page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)) }", name
    )
    page.get_by_role("button", name="Anrufen").click()
    page.get_by_text(text).wait_for()
    assert page.get_by_role("button", name="Anrufen").is_enabled()


def test_a_connection_that_cannot_be_made_is_explained(open_page: Open) -> None:
    """What a firewall does: offer and answer pass, media do not."""
    with serving(webrtc=WebrtcConfig(connect_s=3.0)) as walled:
        page = open_page("/softphone?processing=off", url=walled.url)
        page.evaluate(
            """() => {
              const plain = RTCPeerConnection.prototype.setRemoteDescription;
              RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
                return plain.call(this, { type, sdp: sdp.replace(/a=ice-pwd:.{4}/g, "a=ice-pwd:none") });
              };
            }"""
        )
        page.get_by_role("button", name="Anrufen").click()
        page.get_by_text("Die Tonverbindung kam nicht zustande. Meist sperrt eine Firewall UDP").wait_for()
        assert page.get_by_role("button", name="Anrufen").is_enabled()
        walled.wait_until(lambda: not walled.service.live.calls())


def test_a_code_that_cannot_be_one(open_page: Open) -> None:
    page = open_page("/softphone")
    page.get_by_label("Gesprächscode").fill("so nicht!")
    page.get_by_role("button", name="Anrufen").click()
    page.get_by_text("Der Code darf").wait_for()


def test_an_invitation_that_is_over(open_page: Open) -> None:
    page = open_page("/softphone?invite=gone")
    page.get_by_text("Diese Einladung gilt nicht mehr.").wait_for()
