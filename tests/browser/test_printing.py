"""Reports on paper, by real Chromium: a call's is two pages of A4, whatever the call."""

import re
from typing import Any

import msgspec
import pytest
from test_report import CALL, CALLS, LANGUAGES, cue, ended, recovering_call, started, totals, utterance

from vocal.answers import Reflection
from vocal.record import record_of
from vocal.reports.call import Served, call_report
from vocal.reports.call_view import Said
from vocal.types import ByRole, CallEnded, Event, Metadata, Moment, Mood, Notice

A4 = (595, 842)  # in points
FELT = Reflection(CALL, 3, "Ein langer Gedanke über das Gespräch, der nicht aufhört. " * 35, "2026-11-20T15:00:00Z")


def forty_minutes() -> list[Event]:
    """Everything at once: three moments of each kind, twelve cues, a poor line, dead air."""
    events: list[Event] = [started(metadata=Metadata("Technik", language="de", notice=True, touchpoint="Störung"))]
    at_s, number = 0.0, 0
    while at_s < 2390.0:
        role, length_s = ("agent", 6.0) if number % 2 else ("customer", 4.5)
        end_s = at_s + length_s
        rate = 6.2 - at_s / 2000.0 if number % 2 else 4.6
        events.append(utterance(number, role, at_s, end_s, rate, (number % 7) - 3.0))  # type: ignore[arg-type]
        for second in range(int(at_s) + 1, int(end_s)) if role == "customer" else ():
            mood = {"valence": 0.3 + at_s / 6000.0, "arousal": 0.5, "stress": 0.2, "trend": 0.0, "confidence": 0.8}
            events.append(Mood(call=CALL, at_s=float(second), role="customer", **mood))
        at_s, number = end_s + 0.6, number + 1
    for k in range(12):
        said = ("Tempo 5,8 Silben/s. Eine kurze Pause hilft.", "Tempo 5.8 syllables/s. A short pause helps.")
        one = cue(180.0 * k + 60.0, "coach" if k % 3 else "agent", "hint", said, {"agent_tempo_syll_s": 5.8})
        events.append(msgspec.structs.replace(one, seq=k))
    moments = [Moment("positive", 1200.0 + 60.0 * k, 1240.0 + 60.0 * k, "customer_recovered") for k in range(3)]
    moments += [Moment("pain", 200.0 + 300.0 * k, 260.0 + 300.0 * k, "customer_escalated") for k in range(3)]
    talk = msgspec.structs.replace(totals(), talk_s=ByRole(1200.0, 950.0), non_talk_s=84.0)
    return [*events, ended(duration_s=at_s, moments=tuple(moments), conversation=talk, lost_share=0.034)]


def withdrawn() -> list[Event]:
    *events, end = recovering_call()
    return [*events, Notice(call=CALL, at_s=70.0, given=False), end]


def hostile() -> list[Event]:
    metadata = Metadata("Q" * 200, touchpoint="</dd>" + "T " * 90, notice=True)
    return [started("/tmp/" + "<script>" * 40 + "x" * 200 + ".wav", metadata=metadata), *recovering_call()[1:]]


PAPER: dict[str, list[Event]] = {
    **CALLS,
    "forty_minutes": forty_minutes(),
    "withdrawn": withdrawn(),
    "hostile": hostile(),
    "interrupted": [event for event in recovering_call() if not isinstance(event, CallEnded)],
}


def sheets(browser: Any, html: str) -> list[tuple[int, int]]:
    """The size of each page that Chromium prints."""
    page = browser.new_page()
    try:
        page.set_content(html)
        pdf: bytes = page.pdf(prefer_css_page_size=True)
    finally:
        page.close()
    boxes = re.findall(rb"/MediaBox\s*\[\s*0\s+0\s+([\d.]+)\s+([\d.]+)\s*\]", pdf)
    assert len(boxes) == len(re.findall(rb"/Type\s*/Page\b", pdf))
    return [(round(float(width)), round(float(height))) for width, height in boxes]


@pytest.mark.parametrize("name", PAPER)
def test_a_call_prints_to_two_pages(browser: Any, name: str) -> None:
    """In German, which is longer; with all that can be said of a call, and a day later."""
    events, everything = PAPER[name], Said({0: True, 1: False}, FELT)
    assert sheets(browser, call_report(events, "de", said=everything)) == [A4, A4]
    assert sheets(browser, call_report([], "de", record_of(events), everything)) == [A4, A4]


@pytest.mark.parametrize("name", ["recovering", "silent", "forty_minutes"])
def test_a_call_that_nobody_said_anything_of_prints_to_two_pages(browser: Any, name: str) -> None:
    for language in LANGUAGES:
        assert sheets(browser, call_report(PAPER[name], language)) == [A4, A4], language


def test_a_served_page_prints_without_its_forms(browser: Any) -> None:
    for served in (Served("/r", True, False), Served("/r", False, True, "Bitte ab 1:12 ansehen. " * 20)):
        assert sheets(browser, call_report(PAPER["forty_minutes"], "de", served=served)) == [A4, A4]


@pytest.mark.parametrize("width", [320, 390, 1200])
@pytest.mark.parametrize("name", ["forty_minutes", "hostile", "unknown"])
def test_nothing_is_wider_than_the_screen(browser: Any, name: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.set_content(call_report(PAPER[name], "de", said=Said({}, FELT)))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
