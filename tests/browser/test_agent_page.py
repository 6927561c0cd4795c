"""The page beside the call, in Chromium."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from serving import Served

from browser.stage import Staged, silent_call
from vocal.access import Principal
from vocal.demo import call_path
from vocal.replays.pace import Recording
from vocal.replays.websocket import replay
from vocal.transports.files import open_call
from vocal.types import HelpAnswered, Metadata, Moment

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

Open = Callable[..., Any]


@pytest.fixture
def staged(served: Served, request: pytest.FixtureRequest) -> Any:
    call = Staged(served, agent=request.node.name)
    yield call
    call.end(99.0)


class Beginning:
    """A recording that is broken off."""

    def __init__(self, source: Recording, length_s: float) -> None:
        self._source = source
        self._left = round(length_s * 8000)
        self.channels = source.channels

    def read(self, samples: int) -> NDArray[np.float32]:
        pcm = self._source.read(min(samples, self._left))
        self._left -= len(pcm)
        return pcm


def as_agent(served: Served, agent: str) -> str:
    return served.service.access.issue(Principal(agent, "agent", agent), "link")


def text(page: Any, where: str) -> str:
    return str(page.locator(where).first.inner_text()).replace("\N{NO-BREAK SPACE}", " ")


def test_a_replayed_call_shows_mood_tempo_and_a_cue_and_takes_feedback(served: Served, open_page: Open) -> None:
    page = open_page("/agent", link=as_agent(served, "replayed"))
    assert text(page, "h1") == "Kein Gespräch"

    def play() -> None:
        with open_call(call_path()) as source:
            beginning = Beginning(source, 40.0)
            replay(beginning, served.url, Metadata(agent="replayed", notice=True), call="replayed", speed=4.0)

    playing = threading.Thread(target=play)
    playing.start()
    cue = page.locator(".cue-text:not(:empty)")
    cue.wait_for()
    assert "Silben/s" in cue.inner_text()
    page.get_by_role("button", name="hilfreich").click()
    page.get_by_text("Danke.").wait_for()
    assert served.service.answers.counts() == {("tempo_high", True): 1}
    assert text(page, ".word") in ("angespannt", "sehr angespannt")
    assert "sicher" in text(page, ".certainty")
    assert 2.0 < float(text(page, ".row .value").replace(",", ".")) < 10.0
    cue.wait_for(state="detached", timeout=8000)
    playing.join()
    page.get_by_role("group", name="Wie haben Sie das Gespräch empfunden?").wait_for()
    assert not page.get_by_text("Die Kundenseite, gemessen").count()
    page.get_by_label("7", exact=True).check()
    page.get_by_role("button", name="Speichern und weiter").click()
    page.get_by_text("Die Kundenseite, gemessen").wait_for()
    assert [(one.call, one.score) for one in served.service.answers.reflections("replayed")] == [("replayed", 7)]
    assert "7 von 10" in text(page, ".felt")


@pytest.mark.parametrize(
    ("valence", "stress", "word", "shape"),
    [
        (0.8, 0.1, "gut", "good"),
        (0.5, 0.2, "neutral", "neutral"),
        (0.3, 0.2, "gedrückt", "low"),
        (0.2, 0.5, "angespannt", "tense"),
        (0.1, 0.7, "sehr angespannt", "very_tense"),
    ],
)
def test_each_mood_has_a_word_and_a_shape_of_its_own(
    open_page: Open, staged: Staged, valence: float, stress: float, word: str, shape: str
) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.mood(10.0, valence, stress)
    page.locator(f".sign.{shape}.sure").wait_for()
    assert text(page, ".word") == word


def test_a_mood_that_is_not_sure_says_so(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}", lang="en-GB")
    page.get_by_text("too early").wait_for()
    staged.mood(10.0, 0.2, 0.5, trend=-0.4, confidence=0.4)
    page.locator(".sign.unsure").wait_for()
    assert (text(page, ".word"), text(page, ".trend"), text(page, ".certainty")) == (
        "tense",
        "getting worse",
        "uncertain",
    )


def test_a_withdrawn_notice_empties_the_mood_at_once(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.mood(10.0, 0.2, 0.6)
    staged.cue(20.0, "angespannter als zuvor", evidence={"customer_stress": 0.6})
    page.get_by_text("angespannter als zuvor").wait_for()
    staged.notice(False)
    page.get_by_text("Die Kundenseite ist nicht informiert.").wait_for()
    assert text(page, ".word") == "nicht geschätzt"
    assert page.locator(".mood-chart").is_hidden()
    assert not page.get_by_text("angespannter als zuvor").count()


def test_the_agent_records_an_objection(served: Served, open_page: Open) -> None:
    with silent_call(served, notice=True) as call:
        page = open_page(f"/agent?call={call}")
        page.get_by_role("button", name="Widerspruch eintragen").click()
        page.get_by_role("button", name="Noch einmal drücken").click()
        page.get_by_text("Kundenseite ist nicht informiert", exact=True).wait_for()


def test_one_cue_at_a_time_and_none_longer_than_it_should(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.cue(20.0, "der erste")
    page.get_by_text("der erste").wait_for()
    staged.cue(21.0, "der zweite")
    page.get_by_text("der zweite").wait_for()
    assert page.locator(".cue-text").count() == 1
    staged.levels(29.5)
    page.locator(".cue-idle").wait_for()
    assert text(page, ".cue-live") == ""


def test_a_link_opens_beside_the_call_and_outlasts_its_cue(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}", lang="en-GB")
    staged.cue(20.0, "the first", link="https://wissen.example/Rechnung?zu=tempo", evidence={"customer_stress": 0.6})
    link = page.get_by_role("link", name="More on this: wissen.example (opens a new tab)")
    link.wait_for()
    assert link.get_attribute("href") == "https://wissen.example/Rechnung?zu=tempo"
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer")
    for _ in range(12):
        page.keyboard.press("Tab")
        if link.evaluate("one => one.matches(':focus-visible')"):
            break
    staged.levels(29.5)
    page.locator(".cue-idle").wait_for()
    assert link.evaluate("one => one.matches(':focus-visible')")
    staged.notice(False)
    link.wait_for(state="detached")
    staged.cue(80.0, "the second", link="javascript:alert(1)")
    page.get_by_text("the second").wait_for()
    assert not page.locator(".more").count()


def test_a_reload_shows_the_cue_that_stands(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.mood(19.0, 0.2, 0.6)
    staged.cue(20.0, "bleibt stehen")
    page.get_by_text("bleibt stehen").wait_for()
    page.reload()
    page.get_by_text("bleibt stehen").wait_for()
    assert text(page, ".word") == "sehr angespannt"


def test_a_lost_network_loses_no_cue(served: Served, open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.levels(10.0)
    page.get_by_text("4,8").wait_for()
    page.context.set_offline(True)
    served.service._loop.call_soon_threadsafe(served.service.hub.close)  # type: ignore[union-attr]
    page.get_by_text("Verbindung unterbrochen").wait_for()
    staged.cue(20.0, "kam im Dunkeln")
    staged.levels(21.0)
    page.context.set_offline(False)
    page.get_by_text("kam im Dunkeln").wait_for()
    page.locator(".status:empty").wait_for(state="attached")


def test_what_is_no_longer_new_says_so(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.levels(10.0)
    page.get_by_text("keine neuen Daten").wait_for()
    staged.levels(15.0)
    page.locator("[data-line=live]").wait_for()


def test_feedback_survives_a_reload(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    staged.cue(20.0, "Eine kurze Pause hilft.", stands_s=1000.0)
    page.get_by_role("button", name="passt nicht").click()
    page.get_by_text("Danke.").wait_for()
    page.reload()
    page.locator("[aria-pressed=true]").get_by_text("passt nicht").wait_for()
    assert page.get_by_role("button", name="hilfreich").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize(("answer", "wanted"), [("Ja, bitte", True), ("Nein danke", False)])
def test_help_arrives_without_saying_who_offers_it(served: Served, open_page: Open, answer: str, wanted: bool) -> None:
    with silent_call(served, agent="helped") as call, served.client() as client:
        page = open_page(f"/agent?call={call}")
        client.request("POST", f"/v1/calls/{call}/help", {"text": "Ich bin im Chat."})
        page.get_by_text("Ein Coach bietet Hilfe an").wait_for()
        page.get_by_text("«Ich bin im Chat.»").wait_for()
        page.reload()
        page.get_by_role("button", name=answer).click()
        page.get_by_text(f"Gesendet: {answer}").wait_for()
        answers = [one for one in served.service.hub.events_of(call) if isinstance(one, HelpAnswered)]
        assert [one.wanted for one in answers] == [wanted]
        page.locator(".help").wait_for(state="hidden")
        page.reload()
        page.locator("[data-phase=live]").wait_for()
        # What was told before the reload comes event by event: the offer, then its answer.
        page.locator(".help").wait_for(state="hidden")
        page.wait_for_timeout(500)
        assert page.locator(".help").is_hidden()


def test_what_is_measured_is_a_click_away_and_says_what_is_not(open_page: Open) -> None:
    page = open_page("/agent")
    page.get_by_role("button", name="Was wird gemessen?").press("Enter")
    dialog = page.get_by_role("dialog", name="Was wird gemessen?")
    assert "Gefühle auf der Agentenseite werden nie analysiert." in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_the_summary_names_what_went_well_first(open_page: Open, served: Served) -> None:
    staged = Staged(served, agent="summed")
    page = open_page(f"/agent?call={staged.call}")
    for second in range(10, 60, 2):
        staged.mood(float(second), second / 60)
    staged.end(
        60.0, [Moment("pain", 5.0, 9.0, "customer_mood_low"), Moment("positive", 50.0, 58.0, "customer_recovered")]
    )
    page.get_by_role("button", name="Ohne Antwort weiter").click()
    page.get_by_text("Wendepunkte").wait_for()
    found = [one.inner_text() for one in page.locator("h2").all()]
    assert found.index("Was gut lief") < found.index("Wendepunkte")
    assert "Nach einem Tief" in text(page, ".moments.positive")
    page.get_by_role("button", name="Fertig").click()
    page.get_by_text("Kein Gespräch").wait_for()


def test_a_page_left_open_stays_small(open_page: Open, staged: Staged) -> None:
    page = open_page(f"/agent?call={staged.call}")
    for second in range(2000):
        staged.mood(float(second), 0.5)
    page.get_by_text("33:2").wait_for()
    points = page.locator(".mood-line").get_attribute("d").count("L")
    assert points <= 182
