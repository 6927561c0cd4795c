"""The agent's own pages in a real browser: their style and forms pass the policy, nobody is shut out."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from own_calls import month_of_calls
from serving import Served, serving

from browser.stage import TOTALS, Staged
from browser.test_pages import spread, violations
from vocal.access import Principal
from vocal.config import ServerConfig
from vocal.store.store import Store
from vocal.types import CallEnded, CallStarted, Channel, Metadata, Satisfaction

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

Read = Callable[..., Any]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two weeks of an agent's calls, by their events."""
    server = ServerConfig(closed=True, logins_burst=1000.0)
    with serving(server=server, store=Store(tmp_path_factory.mktemp("store"))) as running:
        service = running.service
        records = month_of_calls(datetime.now(UTC).date(), 14, 12)
        events: list[Any] = []
        for one in records:
            assert one.satisfaction is not None
            channels = (Channel(0, "agent"), Channel(1, "customer"))
            events += [
                CallStarted(
                    call=one.call,
                    seq=0,
                    at_s=0.0,
                    started_at=one.started_at,
                    transport="test",
                    source="",
                    channels=channels,
                    metadata=Metadata(one.queue, "Nord", "q17z", "de", notice=True),
                ),
                CallEnded(
                    call=one.call,
                    seq=1,
                    at_s=one.duration_s,
                    reason="hangup",
                    duration_s=one.duration_s,
                    conversation=TOTALS,
                    satisfaction=Satisfaction(
                        one.satisfaction.start, one.satisfaction.end, one.satisfaction.change, one.satisfaction.interval
                    ),
                    moments=one.moments,
                    lost_share=0.0,
                ),
            ]
        assert service._loop is not None
        service._loop.call_soon_threadsafe(service.take, events)
        last = records[-1].call
        running.wait_until(lambda: service.answers.owns(last, "q17z"), 30.0)
        running.wait_until(lambda: service.reader is not None and service.reader.record(last) is not None, 30.0)
        for one in records[::7]:
            service.answers.reflect(one.call, "q17z", 6, "")
        yield running


@pytest.fixture
def read(browser: Any, kept: Served) -> Iterator[Read]:
    """read("/reports/own", role="agent"): a page for somebody who is signed in; every error on it fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def read(path: str, role: str = "agent", *, scheme: str = "light", width: int = 390, lang: str = "de-DE") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, locale=lang)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        who = Principal(role, role, "q17z" if role == "agent" else None, "Nord")  # type: ignore[arg-type]
        page.goto(f"{kept.url}/login/{kept.service.access.issue(who, 'link')}?to=/icon.svg")
        page.goto(kept.url + path)
        return page

    yield read
    for context in contexts:
        context.close()
    assert not errors


def newest(kept: Served) -> str:
    return kept.service.answers.own_calls("q17z")[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/reports", "/reports/own?voice=yes", "/reports/calls/{call}/share"])
def test_nobody_is_shut_out(kept: Served, read: Read, path: str, scheme: str) -> None:
    page = read(path.format(call=newest(kept)), scheme=scheme, width=320)
    assert violations(page) == []
    assert spread(page) <= 0
    page.set_viewport_size({"width": 640, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert spread(page) <= 0
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert violations(page) == []
    assert spread(page) <= 0


def test_the_pages_style_passes_the_policy(read: Read) -> None:
    page = read("/reports/own", width=1280)
    assert page.evaluate("getComputedStyle(document.querySelector('main')).maxWidth") == "736px"
    assert page.locator(".strip").first.bounding_box()["height"] == 24
    assert page.locator("script").count() == 0


def test_the_days_can_be_chosen_and_wrong_ones_are_named(read: Read) -> None:
    page = read("/reports/own", lang="en-GB", width=1280)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.get_by_text("Speaking time of the voice").count() == 0
    page.get_by_text("Other days").click()
    today = datetime.now(UTC).date()
    page.get_by_label("From", exact=True).fill(str(today - timedelta(days=6)))
    page.get_by_label("Also show what the voice was asked to do").check()
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Speaking time of the voice").first.wait_for()
    page.get_by_label("From", exact=True).fill(str(today))
    page.get_by_label("To", exact=True).fill(str(today - timedelta(days=3)))
    page.get_by_role("button", name="Show").click()
    assert "wanted from before to" in page.get_by_role("alert").text_content()
    assert violations(page) == []


def test_an_agent_shares_a_call_and_takes_it_back(kept: Served, read: Read) -> None:
    """Real forms, with the Origin that a real browser sends."""
    call = newest(kept)
    kept.service.answers.unshare(call, "q17z")
    coach = read("/reports", "lead")
    coach.get_by_text("In Ihrem Team ist gerade kein Gespräch geteilt.").wait_for()
    page = read("/reports")
    page.get_by_role("link", name="Teilen").first.click()
    page.get_by_text("Das sieht der Coach nicht").wait_for()
    page.get_by_label("Notiz an den Coach (freiwillig)").fill("ab Minute 2, <b>bitte</b>")
    page.get_by_role("button", name="Teilen").click()
    page.get_by_role("status").get_by_text("Geteilt seit").wait_for()
    assert violations(page) == []
    assert kept.service.answers.is_shared(call)
    coach.reload()
    coach.get_by_text("ab Minute 2, <b>bitte</b>").wait_for()
    assert "q17z" not in coach.content()
    assert violations(coach) == []
    page.get_by_role("button", name="Nicht mehr teilen").click()
    page.get_by_role("button", name="Teilen", exact=True).wait_for()
    assert not kept.service.answers.is_shared(call)


def test_who_signs_in_comes_back_to_the_page(kept: Served, browser: Any) -> None:
    with browser.new_context(locale="de-DE") as context:
        page = context.new_page()
        page.goto(f"{kept.url}/reports/own?from={datetime.now(UTC).date()}")
        page.wait_for_url("**/?to=*")
        assert "to=%2Freports%2Fown%3Ffrom%3D" in page.url


def test_pages_lead_on_to_the_reports(kept: Served, read: Read) -> None:
    """Where calls are kept: from home, from the agent's page before and after a call, and from the coach's wall."""
    assert read("/").get_by_role("link", name="Berichte").get_attribute("href") == "/reports"
    read("/coach", "lead").get_by_role("link", name="Berichte").wait_for()
    idle = read("/agent?call=none-such")
    assert idle.get_by_role("link", name="Meine Berichte").get_attribute("href").endswith("/reports?lang=de")
    staged = Staged(kept, agent="q17z")
    page = read(f"/agent?call={staged.call}")
    page.locator("[data-phase=live]").wait_for()
    staged.end(60.0)
    page.get_by_role("button", name="Ohne Antwort weiter").click()
    reader = kept.service.reader
    assert reader is not None
    kept.wait_until(lambda: reader.record(staged.call) is not None)
    page.get_by_role("link", name="Zum Bericht").click()
    page.wait_for_url(f"**/reports/calls/{staged.call}?lang=de")
    page.get_by_role("link", name="Alle Berichte").wait_for()


def test_everything_can_be_read_by_keyboard_alone(read: Read) -> None:
    page = read("/reports/own", width=1280)
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert {"7 Tage", "Andere Tage", "Alles als ZIP", "confirm", "Löschen", "Die Tage in Zahlen"} <= seen


def test_it_prints_on_paper(read: Read) -> None:
    page = read("/reports/own", width=1280)
    page.emulate_media(media="print")
    assert not page.locator("form").first.is_visible()
    assert page.locator(".strip").first.is_visible()
    assert page.pdf(format="A4", prefer_css_page_size=True).count(b"/Type /Page\n") <= 6


def test_deleting_wants_a_yes_and_is_done(kept: Served, read: Read) -> None:
    page = read("/reports/own")
    page.get_by_role("button", name="Löschen").click()
    assert kept.service.answers.own_calls("q17z")  # the box was not ticked
    page.get_by_label("Ja, alles löschen.").check()
    page.get_by_role("button", name="Löschen").click()
    page.get_by_role("status").get_by_text("Gelöscht.").wait_for()
    assert kept.service.answers.own_calls("q17z") == []
    page.get_by_text("In diesen Tagen gibt es noch kein Gespräch.").wait_for()
    assert violations(page) == []
