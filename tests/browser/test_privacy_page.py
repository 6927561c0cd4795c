"""The page on privacy in a real browser: it shuts nobody out, and its filter finds entries."""

from typing import Any

import pytest
from serving import Served

from .test_pages import spread, violations


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_privacy_page(served: Served, browser: Any, scheme: str) -> None:
    """Axe finds nothing; nothing is wider than the window, at 320 px and at 200 % of the letters' size."""
    served.service.audit.append("lea", "report.call", "c1")
    served.service.notices.update({"notice": 3, "none": 1})
    page = browser.new_page(color_scheme=scheme, viewport={"width": 320, "height": 640})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{served.url}/privacy?lang=en")
    assert page.get_by_role("heading", level=1).inner_text() == "What is kept here, and for how long"
    assert violations(page) == []
    assert spread(page) <= 0
    page.set_viewport_size({"width": 640, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert spread(page) <= 0
    page.evaluate("document.documentElement.style.fontSize = ''")
    page.locator("select[name=act]").select_option("report")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/privacy?*act=report*")
    acts = page.locator(".entries li b").all_inner_texts()
    assert acts
    assert set(acts) == {"Call report read"}
    assert violations(page) == []
    assert said == []
    page.close()
