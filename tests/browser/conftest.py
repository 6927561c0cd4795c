"""Real headless Chromium on real pages."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import soxr
from serving import Served, serving

from vocal.demo import call_path

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
Page = Any
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every browser's microphone hears, over and over: the agent of the staged call."""
    pcm, _ = soundfile.read(call_path(), dtype="float32")
    path = tmp_path_factory.mktemp("microphone") / "agent.wav"
    soundfile.write(path, soxr.resample(pcm[36 * 8000 : 48 * 8000, 0], 8000, 48000), 48000, "PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Any]:
    """A module's own: while it runs, no other event loop may in its thread."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install '.[test]'")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """Four times as fast as people speak: a cue of eight seconds stands for two."""
    with serving(4.0) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, served: Served) -> Iterator[Open]:
    """open_page("/agent", lang="de", scheme="light", width=390): a page in a context of its own, whose every error
    fails the test."""
    contexts: list[Any] = []
    errors: list[str] = []

    def open_page(
        path: str,
        *,
        lang: str = "de-DE",
        scheme: str = "light",
        width: int = 390,
        height: int = 844,
        url: str = "",
        link: str = "",
        **more: Any,
    ) -> Page:
        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=scheme, locale=lang, **more)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.goto((url or served.url) + (f"/login/{link}?to={path}" if link else path))
        page.locator("[data-ready]").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
