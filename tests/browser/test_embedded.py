"""Pages of ours in pages of others: as a frame and as an element, on the same site and on another.

127.0.0.1 and localhost are two sites to a browser: between them no cookie goes that is not made for it.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from serving import Certificate, Served, serving

from browser.stage import Staged, silent_call
from vocal.access import Access, Principal
from vocal.config import ServerConfig

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)


@pytest.fixture
def elsewhere() -> Iterator[ThreadingHTTPServer]:
    """A page of somebody else's, which holds whatever is its `body`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<!doctype html><title>CRM</title><h1>CRM</h1>{self.server.body}".encode()  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


def test_embedded_in_another_page(browser: Any, elsewhere: ThreadingHTTPServer) -> None:
    """As a frame and as an element, with a notice that goes back to the server."""
    crm = f"http://127.0.0.1:{elsewhere.server_port}"
    with serving(server=ServerConfig(origins=(crm,), frame_ancestors=(crm,))) as served:
        elsewhere.body = (  # type: ignore[attr-defined]
            "<style>p { color: red !important; display: none }</style>"
            f"<iframe src={served.url}/agent?lang=en title=Vocal width=320 height=600></iframe>"
            f"<vocal-agent lang=de></vocal-agent><script type=module src={served.url}/agent.js></script>"
        )
        with browser.new_context(locale="fr-FR") as context:
            page = context.new_page()
            page.goto(crm)
            page.frame_locator("iframe").get_by_text("No call").wait_for()
            page.get_by_text("Kein Gespräch").wait_for()
            assert page.locator("vocal-agent .idle p").is_visible()
            with silent_call(served, notice=True):
                page.locator("vocal-agent").get_by_role("button", name="Widerspruch eintragen").click()
                page.locator("vocal-agent").get_by_role("button", name="Noch einmal drücken").click()
                page.get_by_text("Kundenseite ist nicht informiert", exact=True).wait_for()


def test_a_page_of_strangers_may_neither_frame_nor_listen(
    browser: Any, served: Served, elsewhere: ThreadingHTTPServer
) -> None:
    elsewhere.body = f"<iframe src={served.url}/agent title=Vocal></iframe>"  # type: ignore[attr-defined]
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{elsewhere.server_port}")
        assert page.frame_locator("iframe").locator("vocal-agent").count() == 0
        closed = page.evaluate(
            "url => new Promise(done => { new WebSocket(url).onclose = event => done(event.code) })",
            served.url.replace("http", "ws") + "/v1/live",
        )
        assert closed in (1006, 1008)


def test_a_frame_on_another_site_signs_in_within_itself(
    browser: Any, elsewhere: ThreadingHTTPServer, certificate: Certificate
) -> None:
    crm = f"http://localhost:{elsewhere.server_port}"
    access = Access()
    access.add(Principal("Ada", "agent", "a1"), "a long password")
    settings = ServerConfig(frame_ancestors=("'self'", crm))
    with serving(server=settings, access=access, certificate=certificate) as served:
        elsewhere.body = f"<iframe src={served.url}/agent?lang=de title=Vocal width=390 height=700></iframe>"  # type: ignore[attr-defined]
        with browser.new_context(ignore_https_errors=True) as context:
            page = context.new_page()
            page.goto(crm)
            frame = page.frame_locator("iframe")
            frame.get_by_role("link", name="Zur Anmeldung").click()
            frame.get_by_label("Name").fill("Ada")
            frame.get_by_label("Passwort").fill("a long password")
            frame.get_by_role("button", name="Anmelden").click()
            frame.get_by_text("Kein Gespräch").wait_for()
            (cookie,) = context.cookies(served.url)
            assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
            page.reload()
            frame.get_by_text("Kein Gespräch").wait_for()
            staged = Staged(served, agent="a1")
            frame.locator("[data-phase=live]").wait_for()
            staged.end(9.0)
            # On another site, as on ours, it is another session.
            alone = context.new_page()
            alone.goto(f"{served.url}/agent?lang=de")
            alone.get_by_text("Nicht angemeldet").wait_for()


def test_an_element_on_another_site_signs_in_by_code(
    browser: Any, elsewhere: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page asks its own server for a code; no cookie is needed, and when the session ends it is told so."""
    monkeypatch.setattr("vocal.api.feed.BEAT_S", 0.1)
    crm = f"http://localhost:{elsewhere.server_port}"
    with serving(server=ServerConfig(closed=True, origins=(crm,))) as served:
        operator = served.client(served.token("operator"))

        def code() -> str:
            return str(operator.request("POST", "/v1/codes", {"name": "Ada", "role": "agent", "agent": "a1"})["code"])

        elsewhere.body = (  # type: ignore[attr-defined]
            f"<vocal-agent lang=de code={code()}></vocal-agent><script type=module src={served.url}/agent.js></script>"
        )
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(crm)
            page.get_by_text("Kein Gespräch").wait_for()
            assert page.locator("vocal-agent").get_attribute("code") is None
            assert context.cookies() == []
            foreign = Staged(served, agent="another")
            own = Staged(served, agent="a1")
            cue = own.cue(20.0, "Eine kurze Pause hilft.", stands_s=1000.0)
            page.get_by_role("button", name="hilfreich").click()
            page.get_by_text("Danke.").wait_for()
            assert served.service.answers.feedback_of(own.call) == {cue: True}
            page.evaluate(
                "document.addEventListener('vocal-signed-out', event => { document.title = event.detail.state })"
            )
            with served.service.access._lock:
                served.service.access._base.execute("DELETE FROM tokens WHERE kind = 'session'")
            page.get_by_text("Ihre Anmeldung ist abgelaufen").wait_for()
            assert page.title() == "expired"
            assert page.get_by_role("link", name="Zur Anmeldung").get_attribute("href") == f"{served.url}/?to=/agent"
            page.locator("vocal-agent").evaluate("(one, code) => one.setAttribute('code', code)", code())
            page.locator("[data-line=live]").wait_for()
            own.end(30.0)
            foreign.end(30.0)
            # A code that was used says so, and a long-lived token serves as well.
            used = code()
            operator.request("POST", "/v1/login/code", {"code": used})
            elsewhere.body = elsewhere.body.replace("<vocal-agent", f"<vocal-agent code={used}", 1)  # type: ignore[attr-defined]
            page.goto(crm)
            page.get_by_text("Nicht angemeldet").wait_for()
            page.locator("vocal-agent").evaluate(
                "(one, token) => one.setAttribute('token', token)", served.token("agent", "a1")
            )
            page.locator("[data-line=live]").wait_for()
