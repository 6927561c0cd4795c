"""The coach's wall, in Chromium."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from serving import Served

from browser.stage import Staged, silent_call
from vocal.access import Principal

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

Open = Callable[..., Any]
PROOF = {"customer_stress": 0.62, "confidence": 0.9}
LINK = "https://wissen.example/eskalation"


@pytest.fixture
def wall(served: Served, open_page: Open, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page and a maker of calls of its team."""
    team = request.node.name
    link = served.service.access.issue(Principal("lead", "lead", team=team), "link")
    page = open_page("/coach", link=link, width=1280, height=800)
    made: list[Staged] = []

    def call(agent: str, **more: Any) -> Staged:
        made.append(Staged(served, agent, team, **more))
        return made[-1]

    yield page, call
    for one in made:
        one.end(99.0)


def names(page: Any) -> list[str]:
    return [str(one) for one in page.locator(".call h2").all_inner_texts()]


def test_what_needs_help_now_is_on_top_under_pseudonyms(served: Served, wall: Any) -> None:
    page, call = wall
    page.get_by_text("Gerade läuft kein Gespräch").wait_for()
    shown = {agent: served.service.access.pseudonym(agent) for agent in ("calm", "tense", "alarmed")}
    calm, tense, alarmed = (call(agent) for agent in shown)
    calm.mood(10.0, 0.7)
    tense.mood(10.0, 0.2, 0.6)
    alarmed.mood(10.0, 0.3, 0.4)
    alarmed.cue(12.0, "Hilfe anbieten.", "coach", "alert", evidence=PROOF, link=LINK)
    wanted = [shown["alarmed"], shown["tense"], shown["calm"]]
    for _ in range(60):
        if names(page) == wanted:
            break
        page.wait_for_timeout(100)
    assert names(page) == wanted
    assert "Anspannung der Kundenseite (0–1) 0,62" in page.locator(".alert").first.inner_text()
    link = page.get_by_role("link", name="Mehr dazu: wissen.example (öffnet einen neuen Tab)")
    assert (link.get_attribute("href"), link.get_attribute("rel")) == (LINK, "noopener noreferrer")
    assert not set(shown) & set(page.locator("vocal-coach").inner_text().split())


def test_acknowledge_and_mute_hold_on_every_wall_of_the_team(
    served: Served, wall: Any, open_page: Open, request: pytest.FixtureRequest
) -> None:
    page, call = wall
    link = served.service.access.issue(Principal("Lea", "lead", team=request.node.name), "link")
    other = open_page("/coach", link=link, width=1280, height=800)
    staged = call("one")
    staged.cue(12.0, "Hilfe anbieten.", "coach", "alert")
    page.get_by_text("mit Alarm: 1").wait_for()
    other.get_by_role("button", name="Gesehen").click()
    page.get_by_text("mit Alarm: 0").wait_for()
    page.get_by_text("(gesehen von Lea)").wait_for()
    page.reload()
    page.get_by_text("(gesehen von Lea)").wait_for()
    other.get_by_role("button", name="5 min stumm").click()
    page.get_by_text(", von Lea").wait_for()
    staged.cue(200.0, "Noch ein Alarm.", "coach", "alert")
    page.get_by_text("3:20 Alarm").wait_for()
    assert page.locator(".alert").is_hidden()
    page.reload()
    page.get_by_text(", von Lea").wait_for()
    assert page.locator(".alert").is_hidden()
    page.get_by_role("button", name="Wieder melden").click()
    page.get_by_text("Noch ein Alarm.").first.wait_for()
    other.get_by_text("Noch ein Alarm.").first.wait_for()
    other.locator(".alert").wait_for()


def test_help_goes_out_and_the_agent_stays_unknown(served: Served, wall: Any, request: pytest.FixtureRequest) -> None:
    page, _ = wall
    with silent_call(served, agent="known-only-to-the-server", team=request.node.name) as call:
        page.get_by_role("button", name="Hilfe anbieten").click()
        page.get_by_label("Kurze Nachricht").fill("Ich höre zu.")
        page.get_by_role("button", name="Senden").click()
        page.get_by_text("Hilfe angeboten bei").wait_for()
        offered = [one for one in served.service.hub.events_of(call) if one.__struct_config__.tag == "help_offered"]
        assert [one.text for one in offered] == ["Ich höre zu."]
        token = served.service.access.issue(Principal("k", "agent", "known-only-to-the-server"), "token")
        with served.client(token) as agent:
            agent.request("POST", f"/v1/calls/{call}/help/answer", {"wanted": False})
            page.get_by_text("Antwort: Nein danke").wait_for()
            agent.request("POST", f"/v1/calls/{call}/help/answer", {"wanted": True})
        page.get_by_text("Möchte Hilfe").wait_for()
        page.reload()
        page.get_by_text("Möchte Hilfe").wait_for()
        assert "known-only-to-the-server" not in page.locator("vocal-coach").evaluate("one => one.shadowRoot.innerHTML")
    page.get_by_text("Gerade läuft kein Gespräch").wait_for()


def test_the_agents_side_is_not_told(wall: Any) -> None:
    page, call = wall
    staged = call("one")
    staged.levels(10.0, own=7.7)
    staged.cue(20.0, "Tempo 7,7 Silben/s.")
    staged.conversation(21.0)
    page.get_by_text("Redeanteil Kundenseite 40").wait_for()
    assert "7,7" not in page.locator("vocal-coach").inner_text()


def test_a_lost_line_shows(served: Served, wall: Any) -> None:
    page, call = wall
    call("one").mood(10.0, 0.5)
    page.get_by_text("neutral").first.wait_for()
    page.context.set_offline(True)
    served.service._loop.call_soon_threadsafe(served.service.hub.close)  # type: ignore[union-attr]
    page.get_by_text("Verbindung unterbrochen").wait_for()
    assert page.locator(".call").count() == 1
    page.context.set_offline(False)
    page.locator(".wall[data-line=live]").wait_for()


def test_thresholds_are_there_to_read(wall: Any) -> None:
    page, _ = wall
    page.get_by_text("Wann kommt ein Alarm?").click()
    page.get_by_text("Anspannung der Kundenseite (0–1) über 0,55, 6 s lang, bei einer Konfidenz ab 0,55").wait_for()
