"""The documents in the box, in Chromium: for everybody, at any width, and on paper."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from serving import Served

from browser.test_pages import spread, violations
from vocal.documents import NAMES

pytestmark = pytest.mark.flaky(reruns=2)


@pytest.fixture(params=["light", "dark"])
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(color_scheme=request.param, viewport={"width": 320, "height": 640}, locale="de-DE")
    errors: list[str] = []
    page = context.new_page()
    page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert not errors


@pytest.mark.parametrize("path", ["", "/measures", "/impact-assessment", "/works-agreement?lang=en", "/model-card"])
def test_nobody_is_shut_out(served: Served, page: Any, path: str) -> None:
    page.goto(f"{served.url}/documents{path}")
    assert violations(page) == []
    assert spread(page) <= 0
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    page.set_viewport_size({"width": 640, "height": 800})
    assert spread(page) <= 0
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert violations(page) == []


def test_one_gets_from_the_list_to_a_section_and_back(served: Served, page: Any) -> None:
    page.goto(f"{served.url}/documents")
    page.get_by_role("link", name="Betriebsvereinbarung").click()
    page.get_by_role("link", name="§ 5 Pseudonyme und ihre Auflösung").click()
    assert page.url.endswith("#s6")
    assert page.locator("h2#s6").inner_text() == "§\N{NO-BREAK SPACE}5 Pseudonyme und ihre Auflösung"
    page.get_by_role("link", name="English").click()
    assert page.locator("h1").inner_text() == "Works agreement on the use of Vocal (template)"
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as Markdown").click()
    assert download.value.suggested_filename == "vocal-works-agreement-en.md"
    page.get_by_role("link", name="All documents").click()
    assert page.locator("h1").inner_text() == "Documents"


def test_they_print_on_a_few_pages_of_a4(served: Served, page: Any) -> None:
    for name in NAMES:
        page.goto(f"{served.url}/documents/{name}?lang=de")
        made = page.pdf(prefer_css_page_size=True)
        sizes = {
            tuple(round(float(one)) for one in found.split())
            for found in re.findall(r"MediaBox \[([^]]*)\]", made.decode("latin-1"))
        }
        assert sizes <= {(0, 0, 595, 842), (0, 0, 594, 842), (0, 0, 595, 841)}
        assert 1 <= len(re.findall(r"/Type /Page\b", made.decode("latin-1"))) <= 8
