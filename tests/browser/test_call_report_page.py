"""The served report of a call in real Chromium: its style is allowed, its form works, nobody is shut out."""

from collections.abc import Iterator
from typing import Any

import pytest
from serving import Served, serving
from test_call_reports import kept_call

from vocal.config import ServerConfig
from vocal.store.store import Store
from vocal.texts import text

from .test_pages import spread, violations


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = Store(tmp_path_factory.mktemp("store"))
    with serving(server=ServerConfig(closed=True), store=store) as running:
        for call in ("one", "two"):
            for event in kept_call(call):
                store(event)
            running.service.answers.keep_own(call, "lena")
        store.flush()
        yield running


@pytest.fixture
def opened(browser: Any, closed: Served) -> Iterator[Any]:
    """opened(call, width, scheme): the page as its agent sees it; every error of the page fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def open_page(call: str, width: int = 390, scheme: str = "light") -> Any:
        size = {"width": width, "height": 800}
        context = browser.new_context(viewport=size, color_scheme=scheme, locale="de-DE")
        contexts.append(context)
        context.set_extra_http_headers({"Authorization": f"Bearer {closed.token('agent', 'lena', 'Nord')}"})
        page = context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{closed.url}/reports/calls/{call}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def test_the_form_keeps_the_answer(opened: Any) -> None:
    page = opened("one")
    page.get_by_role("radio", name="8", exact=True).check()
    page.get_by_label(text("report.reflection.words", "de")).fill("Ruhig <geblieben>.")
    page.get_by_role("button", name=text("report.reflection.keep", "de")).click()
    page.locator("blockquote").wait_for()
    assert page.locator("blockquote").inner_text() == "Ruhig <geblieben>."
    assert page.locator(".own-score b").inner_text() == "8"
    assert page.locator("line.own").count() > 0
    page.get_by_text(text("report.reflection.change", "de")).click()
    page.get_by_role("radio", name="3", exact=True).check()
    page.get_by_role("button", name=text("report.reflection.keep", "de")).click()
    page.locator(".own-score b").get_by_text("3", exact=True).wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(opened: Any, scheme: str) -> None:
    page = opened("two", 320, scheme)
    assert page.evaluate("getComputedStyle(document.querySelector('.reflection')).borderTopStyle") == "solid"
    assert spread(page) <= 0
    for width in (320, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert violations(page) == []
        assert spread(page) <= 0
