"""The team report and the journey in a real browser: nobody is shut out, nothing overflows, paper is enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from serving import Served, serving
from test_team_report import NOW_MONDAY, SPAN, filled

from browser.test_pages import spread, violations
from vocal.store.store import Store

pytestmark = pytest.mark.flaky(reruns=2)

PAGES = {
    "team": f"/reports/team?{urlencode({'team': 'Nord', **SPAN})}",
    "nothing": f"/reports/team?{urlencode({'team': 'Süd', **SPAN})}",
    "choice": "/reports/team",
    "journey": f"/reports/journey?{urlencode(SPAN)}",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("house") / "store"
    filled(folder, NOW_MONDAY)
    with serving(store=Store(folder)) as running:
        yield running


@pytest.fixture
def opened(browser: Any, house: Served) -> Iterator[Any]:
    contexts: list[Any] = []
    said: list[str] = []

    def opened(path: str, scheme: str, width: int) -> Any:
        size = {"width": width, "height": 844}
        context = browser.new_context(viewport=size, color_scheme=scheme, locale="de-DE")
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.goto(house.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not said  # the policy of the pages above all


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_nobody_is_shut_out(opened: Any, page: str, scheme: str) -> None:
    """axe finds nothing on a telephone, at 200 % of the letters' size or on a desk; nothing overflows."""
    shown = opened(PAGES[page], scheme, 320)
    assert violations(shown) == []
    assert spread(shown) <= 0
    shown.set_viewport_size({"width": 640, "height": 800})
    shown.evaluate("document.documentElement.style.fontSize = '200%'")
    assert spread(shown) <= 0
    shown.evaluate("document.documentElement.style.fontSize = ''")
    shown.set_viewport_size({"width": 1280, "height": 800})
    assert violations(shown) == []
    assert spread(shown) <= 0


def test_other_days_and_other_words(opened: Any) -> None:
    page = opened(PAGES["team"], "light", 1280)
    page.get_by_label("von", exact=True).fill("2026-01-01")
    page.get_by_label("bis", exact=True).fill("2026-01-02")
    page.get_by_role("button", name="Anzeigen").click()
    assert "29. Dezember 2025 bis 4. Januar 2026" in page.locator("header").inner_text()
    page.get_by_role("link", name="English").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Team report: Nord"
    page.get_by_role("link", name="Customer journey").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Customer journey: Nord"


def test_three_pages_of_paper(opened: Any, tmp_path: Path) -> None:
    page = opened(PAGES["team"], "light", 1000)
    page.pdf(path=tmp_path / "team.pdf", prefer_css_page_size=True)
    written = (tmp_path / "team.pdf").read_bytes()
    assert written.count(b"/Type /Page\n") <= 3
