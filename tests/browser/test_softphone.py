"""Calls between browsers: a recording is each one's microphone."""

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Served, serving

from vocal.config import WebrtcConfig
from vocal.types import Mood, Utterance

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


def test_two_people_call_each_other(phones: Served, open_page: Open) -> None:
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
    spoken = [event for event in phones.service.hub.events_of(code) if isinstance(event, Utterance)]
    levels = [event.level_dbov for event in spoken if event.level_dbov is not None]
    assert levels
    # A browser that has too little of the processor leaves gaps in single utterances.
    assert -32.0 < statistics.median(levels) < -22.0


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
