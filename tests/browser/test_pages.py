"""What holds for every page: who gets in, nobody is shut out, nothing overflows, one language at a time."""

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from provider import CLIENT, SECRET, open_id_provider
from serving import Served, serving

from browser.stage import Staged
from vocal.access import Access, Principal
from vocal.api.pages import PAGES
from vocal.config import OidcConfig
from vocal.policy import INFERRED_MEASURES
from vocal.texts import catalogue

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

Open = Callable[..., Any]
PATHS = tuple(f"/{path}" for path in PAGES)
WEB = Path(str(files("vocal").joinpath("web")))


@pytest.fixture(scope="module")
def running(served: Served) -> Iterator[Staged]:
    staged = Staged(served, agent="seen")
    for second in range(10, 40):
        staged.mood(float(second), 0.5 - second / 100, second / 60)
    staged.levels(40.0, own=5.9)
    staged.conversation(40.0)
    staged.cue(40.0, "Tempo 5,9 Silben/s. Eine kurze Pause hilft.", stands_s=1000.0)
    staged.cue(40.0, "Kundenseite: Anspannung 0,6 von 1. Hilfe anbieten.", "coach", "alert")
    yield staged
    staged.end(99.0)


def violations(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install '.[test]'")
    found = axe.Axe().run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    )
    return [f"{one['id']}: {node['html'][:120]}" for one in found.response["violations"] for node in one["nodes"]]


def spread(page: Any) -> int:
    """How far a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_shut_out(open_page: Open, running: Staged, path: str, scheme: str) -> None:
    """axe finds nothing with a call on, at 320 px, nor at 200 % of the letters' size; nothing overflows."""
    page = open_page(f"{path}?call={running.call}", scheme=scheme, width=320, height=640)
    if path in ("/agent", "/coach"):
        page.locator(".sign.tense, .sign.very_tense").first.wait_for()
    assert violations(page) == []
    assert spread(page) <= 0
    page.set_viewport_size({"width": 640, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert spread(page) <= 0
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert violations(page) == []
    assert spread(page) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_opens_shuts_nobody_out(served: Served, open_page: Open, scheme: str) -> None:
    staged = Staged(served, agent="opened")
    page = open_page(f"/agent?call={staged.call}", scheme=scheme)
    page.get_by_role("button", name="Was wird gemessen?").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    staged.mood(10.0, 0.4)
    staged.mood(12.0, 0.5)
    staged.cue(20.0, "Tempo")
    staged.end(60.0)
    page.get_by_role("button", name="Ohne Antwort weiter").wait_for()
    assert violations(page) == []
    page.get_by_role("button", name="Ohne Antwort weiter").click()
    page.get_by_text("So lief das Gespräch").wait_for()
    assert violations(page) == []
    assert spread(page) <= 0


def test_forced_colours_and_less_motion(open_page: Open, running: Staged) -> None:
    page = open_page(f"/agent?call={running.call}", forced_colors="active", reduced_motion="reduce")
    page.locator(".sign.tense, .sign.very_tense").first.wait_for()
    shape, ground = page.evaluate(
        "(() => { const root = document.querySelector('vocal-agent').shadowRoot;"
        "const shape = getComputedStyle(root.querySelector('.shape'));"
        "return [shape.stroke, getComputedStyle(document.body).backgroundColor] })()"
    )
    assert shape != ground
    assert page.locator(".own-mark").first.evaluate("one => getComputedStyle(one).transitionDuration") == "0s"


def test_the_keyboard_reaches_everything(open_page: Open, running: Staged) -> None:
    page = open_page(f"/agent?call={running.call}")
    page.get_by_role("button", name="hilfreich").wait_for()
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.shadowRoot?.activeElement?.textContent"))
    assert {"hilfreich", "passt nicht", "Widerspruch eintragen", "Was wird gemessen?"} <= set(reached)


@pytest.mark.parametrize(
    ("lang", "title"), [("de-AT", "Mein Gespräch · Vocal"), ("en-GB", "My call · Vocal"), ("fr-FR", "My call · Vocal")]
)
def test_the_language_is_the_browsers(open_page: Open, lang: str, title: str) -> None:
    page = open_page("/agent", lang=lang)
    assert page.title() == title
    assert page.locator("html").get_attribute("lang") == title[:2].lower().replace("me", "de").replace("my", "en")


def test_the_language_can_be_chosen(open_page: Open) -> None:
    page = open_page("/", lang="de-DE")
    page.get_by_role("link", name="English").click()
    page.get_by_text("Listens to telephone calls").wait_for()


def test_who_has_an_account_signs_in_and_is_led_on(open_page: Open) -> None:
    access = Access()
    access.add(Principal("Ada", "agent", "a1"), "a long password")
    with serving(access=access) as closed:
        page = open_page("/", url=closed.url)
        page.get_by_label("Name").fill("Ada")
        page.get_by_label("Passwort").fill("wrong")
        page.get_by_role("button", name="Anmelden").click()
        page.get_by_text("Name oder Passwort stimmt nicht.").wait_for()
        assert violations(page) == []
        page.get_by_label("Passwort").fill("a long password")
        page.keyboard.press("Enter")
        page.get_by_text("Angemeldet: Ada").wait_for()
        assert not page.get_by_role("link", name="Laufende Gespräche").count()
        page.get_by_role("link", name="Mein Gespräch").click()
        page.get_by_text("Kein Gespräch").wait_for()
        page.goto(closed.url)
        page.get_by_role("button", name="Abmelden").click()
        page.get_by_role("button", name="Anmelden").wait_for()
        page.goto(closed.url + "/agent")
        page.get_by_role("link", name="Zur Anmeldung").click()
        page.get_by_label("Name").wait_for()


def test_who_is_known_to_a_provider_signs_in_there(open_page: Open) -> None:
    with open_id_provider() as idp:
        oidc = OidcConfig(idp.issuer, CLIENT, SECRET, name="Hausdienst", groups={"cc-agents": "agent"})
        with serving(oidc=oidc) as closed:
            page = open_page("/?to=/agent", url=closed.url)
            assert not page.get_by_label("Passwort").count()
            idp.claims["groups"] = ["others"]
            page.get_by_role("link", name="Anmelden mit Hausdienst").click()
            page.get_by_text("haben hier aber keine Rolle").wait_for()
            assert violations(page) == []
            idp.claims["groups"] = ["cc-agents"]
            page.goto(f"{closed.url}/?to=/agent")
            page.get_by_role("link", name="Anmelden mit Hausdienst").press("Enter")
            page.get_by_text("Kein Gespräch").wait_for()
            assert urlsplit(page.url).path == "/agent"


# Without a browser


def test_every_text_a_page_asks_for_is_there_and_none_is_left_over() -> None:
    scripts = "".join(one.read_text("utf-8") for one in WEB.glob("*.js")) + " ".join(
        f'"{title}"' for _, title in PAGES.values()
    )
    asked = set(re.findall(r"[\"'`]((?:web|report|unit|format|role|severity)\.[a-z_.]+)[\"'`]", scripts))
    built = {
        match.rstrip(".") for match in re.findall(r"`((?:web|report|unit|moment|severity)\.[a-z_.]*)\$\{", scripts)
    }
    known = set(catalogue())
    assert asked <= known, asked - known
    unused = [
        key
        for key in known
        if key.startswith("web.") and key not in asked and not any(key.startswith(f"{one}.") for one in built)
    ]
    assert not unused


def test_what_goes_with_the_notice_is_what_the_policy_says() -> None:
    listed = re.search(r"INFERRED = \[(.*?)\]", (WEB / "calls.js").read_text("utf-8"), re.DOTALL)
    assert listed is not None
    assert set(re.findall(r"\w+", listed[1])) == INFERRED_MEASURES


def test_pages_ask_nobody_else() -> None:
    for one in WEB.iterdir():
        found = re.findall(r"https?://[^\s\"'`)]+", one.read_text("utf-8"))
        assert [url for url in found if url != "http://www.w3.org/2000/svg"] == [], one.name


def test_no_style_and_no_script_in_the_pages() -> None:
    for one in WEB.glob("*.html"):
        page = one.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|<script>|\son\w+=", page), one.name
