"""How late an event is: from the last packet of an utterance to its event, to the mood, and to the pixel.

    sender, a process of its own ─► vocal serve, a process of its own ─┬─► a WebSocket client here
       (writes down when it handed each packet to its socket)          └─► the agent's page in headless Chromium

All on one machine, so on one clock; sender, browser and server share its cores. Part of each figure is by design: an
utterance has ended once nothing more was said for 300 ms (endpointing), the speech score looks 80 ms ahead, and packets
wait 60 ms to be put in order.
"""

import asyncio
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vocal.analysis import analyze
from vocal.client import Client
from vocal.config import BoundaryConfig, PlayoutConfig
from vocal.demo import call_path
from vocal.errors import InputError
from vocal.replays.whip import PACKET_S, Encoder, WhipConnection
from vocal.transports.files import open_call
from vocal.transports.offers import CODINGS, Coding
from vocal.types import Cue, Mood, Utterance

from .live import is_busy
from .rows import Row
from .soak import serving

CHANNELS = (1, 50, 0)
"""0: as many as the machine carries."""

QUICK_CHANNELS = (1,)
MEASURED_S, QUICK_S = 60.0, 20.0
MOST_CHANNELS = 400
AT_ONCE = 10
MOST_LATE_S = 0.02
"""Where the sender itself is mostly later than this, it can do no more."""

TARGET_P95_MS = 450.0
QUANTILES = ((50, 0.5), (95, 0.95), (99, 0.99))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


# The sender


class _Line(NamedTuple):
    """sent_s: when each packet was handed to the socket."""

    connection: WhipConnection
    sent_s: list[float]


def send(url: str, channels: int, seconds: float, out: str) -> None:
    """So many customers' channels, 0: until one is refused, or this process can do no more. In a process of its own."""
    asyncio.run(_send(f"{url}/v1/whip", channels, seconds, Path(out)))


def _speech(coding: Coding) -> list[bytes]:
    """The staged call's customer, with pauses of 0.8 s: something ends every few seconds."""
    own = [one for one in analyze(call_path()).utterances if one.role == "customer"]
    with open_call(call_path()) as source:
        pcm = source.read(10_000_000)[:, 1:]
    encoder, coded, pause = Encoder(coding), [], np.zeros((6400, 1), np.float32)
    for one in own:
        said = pcm[round((one.start_s - 0.1) * 8000) : round((one.end_s + 0.1) * 8000)]
        padded = np.concatenate([said, pause])[: (len(said) + len(pause)) // 160 * 160]
        coded += [packet for at in range(0, len(padded), 160) for packet in encoder.push(padded[at : at + 160])]
    return coded


async def _send(url: str, channels: int, seconds: float, out: Path) -> None:
    coding: Coding = "opus"
    coded, step = _speech(coding), CODINGS[coding] // 50
    lines: list[_Line] = []
    late_s: deque[float] = deque(maxlen=100)

    async def run() -> None:
        tick, began = 0, time.monotonic()
        while True:
            await asyncio.sleep(max(0.0, began + tick * PACKET_S - time.monotonic()))
            late_s.append(time.monotonic() - began - tick * PACKET_S)
            for place, (connection, sent_s) in enumerate(lines):
                number = len(sent_s)
                payload = coded[(number + 37 * place) % len(coded)]
                sent_s.append(time.monotonic())
                connection.peer.senders[0].push(coding, number, number * step, payload)
                if place % AT_ONCE == AT_ONCE - 1:
                    await asyncio.sleep(0)
            tick += 1

    async def open_one() -> bool:
        connection = WhipConnection(url)
        try:
            await connection.open(coding, 1, {"role": "customer", "notice": "true"})
        except InputError:
            await connection.peer.close()
            return False
        lines.append(_Line(connection, []))
        if len(lines) == 1:
            print(json.dumps({"call": connection.call}), flush=True)
        return True

    running = asyncio.create_task(run())
    why = "as wanted"
    wanted = channels or MOST_CHANNELS
    while len(lines) < wanted:
        opened = await asyncio.gather(*(open_one() for _ in range(min(AT_ONCE if lines else 1, wanted - len(lines)))))
        await asyncio.sleep(1.0)
        if not all(opened):
            why = "the server takes no more"
            break
        if not channels and np.median(late_s) > MOST_LATE_S:
            why = "the sender can do no more"
            break
    await asyncio.sleep(3.0)
    from_s = time.monotonic()
    print(json.dumps({"channels": len(lines), "why": why}), flush=True)
    await asyncio.sleep(seconds)
    until_s = time.monotonic()
    running.cancel()
    said = {one.connection.call: one.sent_s for one in lines}
    out.write_text(json.dumps({"from_s": from_s, "until_s": until_s, "sent_s": said}))
    await asyncio.gather(*(one.connection.close() for one in lines))


# Who hears it


class _Heard(NamedTuple):
    at_s: float
    event: Utterance | Mood | Cue


class _Listener:
    def __init__(self, url: str) -> None:
        self.heard: list[_Heard] = []
        self._client = Client(url)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(InputError):
            for _, event in self._client.events(types=("utterance", "mood", "cue"), comes_back=False):
                if isinstance(event, (Utterance, Mood, Cue)):
                    self.heard.append(_Heard(time.monotonic(), event))

    def close(self) -> None:
        self._client.close()
        self._thread.join(10.0)


class _Drawn(NamedTuple):
    """A mood on the agent's page. at_s: the call's time; drawn_s: when its frame was made, by this machine's clock."""

    call: str
    at_s: float
    drawn_s: float


# Runs before the page does. What a message changed on the page is seen behind it; then the next frame is waited for.
_WATCH = """
(() => {
  const drawn = (window.drawn = []);
  let told = null;
  const look = () => {
    const root = document.querySelector("vocal-agent")?.shadowRoot;
    if (!root) return setTimeout(look, 50);
    new MutationObserver((changes) => {
      if (!told || !changes.some((one) => (one.target.parentElement ?? one.target).closest?.(".mood"))) return;
      const { call, at_s } = told;
      told = null;
      const note = () => drawn.push({ call, at_s, ms: performance.timeOrigin + performance.now() });
      requestAnimationFrame(() => setTimeout(note));
    }).observe(root, { subtree: true, childList: true, attributes: true, characterData: true });
  };
  const Plain = WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => {
        const { event } = JSON.parse(data);
        if (event?.type !== "mood") return;
        told = event;
        setTimeout(() => (told = null)); // it changed nothing
      });
    }
  };
  look();
})();
"""


@contextlib.contextmanager
def _page(url: str, call: str) -> Iterator[Callable[[], list[_Drawn]]]:
    """The agent's page of a call, in Chromium; gives what it drew. Nothing, where there is no Chromium."""
    program = _chromium()
    if program is None:
        yield list
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.add_init_script(_WATCH)
        page.goto(f"{url}/agent?call={call}")
        page.locator("[data-ready]").first.wait_for()

        def ahead_s() -> float:
            """How far the page's clock is ahead of ours: the least uncertain of some looks at it."""
            looks = []
            for _ in range(20):
                before = time.monotonic()
                its_s = page.evaluate("performance.timeOrigin + performance.now()") / 1000.0
                after = time.monotonic()
                looks.append((after - before, its_s - (before + after) / 2.0))
            return min(looks)[1]

        def drawn() -> list[_Drawn]:
            shift_s = ahead_s()
            return [_Drawn(one["call"], one["at_s"], one["ms"] / 1000.0 - shift_s) for one in page.evaluate("drawn")]

        yield drawn
        browser.close()


def _chromium() -> str | None:
    import importlib.util

    if importlib.util.find_spec("playwright") is None:
        return None
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


# One run


class Measured(NamedTuple):
    """Each in ms, behind the last packet of an utterance. endpointing: of them, what is waited for by design."""

    channels: int
    why: str
    event: list[float]
    mood: list[float]
    pixel: list[float]
    endpointing: list[float]
    busy: bool


def measure(channels: int, seconds: float = MEASURED_S) -> Measured:
    """channels: 0 for as many as the machine carries."""
    # What is asked for is measured, whether the server would take it or not.
    settings = {"VOCAL_LIVE_MOST_BUSY": "1000"} if channels else {}
    with tempfile.TemporaryDirectory() as folder, serving(600.0, settings) as server:
        out = Path(folder) / "sent.json"
        busy = is_busy()
        listener = _Listener(server.url)
        time.sleep(0.5)
        code = f"from vocal.benchmarks.latency import send; send({server.url!r}, {channels}, {seconds}, {str(out)!r})"
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdout is not None
            call = json.loads(sender.stdout.readline())["call"]
            with _page(server.url, call) as drawn:
                said = json.loads(sender.stdout.readline())
                sender.wait(seconds + 120.0)
                on_page = drawn()
        listener.close()
        sent = json.loads(out.read_text())
    event, mood, pixel, endpointing = [], [], [], []
    for number, (at_s, one) in enumerate(listener.heard):
        if not isinstance(one, Utterance) or one.call not in sent["sent_s"]:
            continue
        last = math.ceil(one.end_s / PACKET_S - 1e-6) - 1
        times = sent["sent_s"][one.call]
        if not 0 <= last < len(times) or not sent["from_s"] <= times[last] <= sent["until_s"] - 1.0:
            continue
        event.append(1000.0 * (at_s - times[last]))
        endpointing.append(1000.0 * (one.detected_s - one.end_s))
        for later_s, other in listener.heard[number:]:
            if other.call == one.call and isinstance(other, (Mood, Cue)) and other.at_s >= one.detected_s:
                # Some have no emotion; the next mood is another utterance's.
                if other.at_s < one.detected_s + 0.5:
                    mood.append(1000.0 * (later_s - times[last]))
                break
        pixel += [
            1000.0 * (seen.drawn_s - times[last])
            for seen in on_page
            if seen.call == one.call and one.detected_s <= seen.at_s < one.detected_s + 0.02
        ][:1]
    return Measured(said["channels"], said["why"], event, mood, pixel, endpointing, busy or is_busy())


def rows(say: Callable[[str], None], quick: bool = False) -> Iterator[Row]:
    if _chromium() is None:
        sys.stderr.write("No latency to the pixel: that wants Chromium and playwright (pip install 'vocal[test]').\n")
    cores = len(os.sched_getaffinity(0))
    for wanted in QUICK_CHANNELS if quick else CHANNELS:
        say(f"{wanted or 'as many as it carries'} WebRTC channels")
        found = measure(wanted, QUICK_S if quick else MEASURED_S)
        count = f"{found.channels} WebRTC channel{'s' if found.channels > 1 else ''}"
        limit = "" if wanted else f" ({found.why})"
        condition = f"{count}{limit}, sender on the same {cores} cores{', busy machine' if found.busy else ''}"
        for name, some, target in (
            ("last packet to utterance", found.event, None),
            ("last packet to mood or cue", found.mood, TARGET_P95_MS),
            ("last packet to the pixel", found.pixel, TARGET_P95_MS),
        ):
            if some:
                yield Row("latency", f"{name}, seen", condition, "vocal", len(some), "times", None, "neither")
            for shown, quantile in QUANTILES if some else ():
                value = float(np.quantile(some, quantile))
                its = target if shown == 95 else None
                yield Row("latency", f"{name}, p{shown}", condition, "vocal", value, "ms", its, "lower")
        if found.event:
            decided, hangover = float(np.median(found.endpointing)), float(BoundaryConfig().hangover_ms)
            terms = {
                "endpointing: silence waited for": hangover,
                "what the speech score sees ahead": decided - hangover,
                "the playout's lag": PlayoutConfig().lag_ms,
            }
            terms["all else, p50"] = float(np.median(found.event)) - sum(terms.values())
            for name, value in terms.items():
                yield Row(
                    "latency", f"last packet to utterance, of it {name}", condition, "vocal", value, "ms", None, "lower"
                )
