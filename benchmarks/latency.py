"""How late an event is: from a packet to what it brought about, at a WebSocket client and on the page.

    load generator, a process ─► vocal serve, a process ─┬─► WebSocket clients here
       (a packet's time is when it was due to be sent)   └─► the agent's page in headless Chromium

All on one machine, so on one clock; sender, browser and server share its cores. Part of each figure is by design: an
utterance has ended once nothing more was said for 300 ms (endpointing), the speech score looks 80 ms ahead, packets
wait 60 ms to be put in order, levels are told each 200 ms, and a mood remembers 3 s.
"""

import contextlib
import importlib.util
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vocal.client import Client
from vocal.config import BoundaryConfig, PlayoutConfig
from vocal.errors import InputError
from vocal.types import Cue, Levels, LiveEvent, Mood, Utterance

from .load import PACKET_MS, Begun, Settings
from .results import Skipped
from .rows import Row
from .running import PARTS, Running, Window, running
from .targets import limit
from .voices import MOOD_S, PACKET_SAMPLES, said

RTP_CALLS = (1, 100, 500, 1000)
QUICK_RTP_CALLS = (50,)
WEBRTC_CHANNELS = (1, 50, 0)
"""0: as many as the machine carries."""

QUICK_WEBRTC_CHANNELS = (1,)
MEASURED_S, QUICK_S = 60.0, 14.0
OPENED_S = 2.0
"""Until calls have begun to speak."""

HEARD_S = 1.0
"""Within which what was said is told, or it is not counted."""

HALF_A_TICK_MS = 10.0
MOST_WEBRTC = 400
AT_ONCE = 10
MOST_LATE = 0.5
"""Share of packets; where the sender itself is late with more, it can do no more."""

LEVELS_OF = 5
"""Calls whose levels are listened to."""

HEARD_SPEECH = 0.5
LEAST_MOODS_APART = 0.15
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("worst", 1.0))
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
PACKET_S = PACKET_MS / 1000.0


# Who hears it


class Heard(NamedTuple):
    at_s: float
    event: LiveEvent


class Listener:
    """A client that writes down when it heard what."""

    def __init__(self, url: str, types: Sequence[str], call: str | None = None) -> None:
        self.heard: list[Heard] = []
        self._client = Client(url)
        self._types, self._call = types, call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(InputError):
            for _, event in self._client.events(self._call, self._types, comes_back=False):
                self.heard.append(Heard(time.monotonic(), event))

    def close(self) -> None:
        self._client.close()
        self._thread.join(10.0)


class Drawn(NamedTuple):
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
def page_of(url: str, call: str) -> Iterator[Callable[[], list[Drawn]]]:
    """The agent's page of a call, in Chromium; gives what it drew. Nothing, where there is no Chromium."""
    program = chromium()
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

        def drawn() -> list[Drawn]:
            shift_s = ahead_s()
            return [Drawn(one["call"], one["at_s"], one["ms"] / 1000.0 - shift_s) for one in page.evaluate("drawn")]

        yield drawn
        browser.close()


def chromium() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return None
    return next((found for name in CHROMIUM if (found := shutil.which(name))), None)


# What is in it


class Late(NamedTuple):
    """Each in ms. event, mood: behind the last packet of an utterance; endpointing: of it, what is so by design.
    levels: behind the first packet of speech; change: of the mood, behind the first packet in another manner."""

    event: list[float]
    mood: list[float]
    endpointing: list[float]
    levels: list[float]
    change: list[float]


def late(
    heard: Sequence[Heard], levels: Sequence[Heard], begun: Sequence[Begun], from_s: float, until_s: float
) -> Late:
    """Of what was sent between the two moments. levels: heard of some calls."""
    calls = {one.call: one for one in begun}
    by_call: dict[str, list[Heard]] = {}
    for one in heard:
        by_call.setdefault(one.event.call, []).append(one)
    levels_of: dict[str, list[tuple[float, Levels]]] = {}
    for at_s, event in levels:
        if isinstance(event, Levels):
            levels_of.setdefault(event.call, []).append((at_s, event))
    found = Late([], [], [], [], [])
    for call, its in by_call.items():
        if call not in calls:
            continue
        begin_s = calls[call].begin_s
        for number, (at_s, event) in enumerate(its):
            if not isinstance(event, Utterance):
                continue
            sent_s = begin_s + PACKET_S * (math.ceil(event.end_s / PACKET_S - 1e-6) - 1)
            if not from_s <= sent_s <= until_s - HEARD_S:
                continue
            found.event.append(1000.0 * (at_s - sent_s))
            found.endpointing.append(1000.0 * (event.detected_s - event.end_s))
            found.mood.extend(_mood_after(event, sent_s, its[number:]))
            onset_s = begin_s + PACKET_S * math.floor(event.start_s / PACKET_S)
            found.levels.extend(_levels_after(event, onset_s, levels_of.get(call, ())))
    return found


def parts_of(window: Window) -> list[tuple[float, float]]:
    """From when and until when, for `late`, so that what was said in a window is in one of them."""
    edges = np.linspace(window.begun_s, max(window.begun_s, window.ended_s - HEARD_S), PARTS + 1).tolist()
    return [(begun_s, ended_s + HEARD_S) for begun_s, ended_s in pairwise(edges)]


def _mood_after(said: Utterance, sent_s: float, heard: Sequence[Heard]) -> list[float]:
    """Of the customer's, the mood or cue that it brought; some have no emotion, and the next mood is another's."""
    for at_s, other in heard:
        if isinstance(other, (Mood, Cue)) and other.at_s >= said.detected_s:
            is_its = said.role == "customer" and other.at_s < said.detected_s + 0.5
            return [1000.0 * (at_s - sent_s)] if is_its else []
    return []


def _levels_after(said: Utterance, onset_s: float, levels: Sequence[tuple[float, Levels]]) -> list[float]:
    for at_s, one in levels:
        if one.at_s >= said.start_s and any(
            side.channel == said.channel and side.speech >= HEARD_SPEECH for side in one.channels
        ):
            return [1000.0 * (at_s - onset_s)] if one.at_s < said.end_s + 0.5 else []
    return []


def onsets() -> list[int]:
    """The packets of `moods` with which the customer begins to speak in another manner."""
    customer = said("moods")[0][1]
    level = np.sqrt((customer.reshape(-1, PACKET_SAMPLES) ** 2).mean(axis=1))
    loud = np.flatnonzero(level > 0.01)
    half = round(MOOD_S * 1000.0 / PACKET_MS)
    return [int(loud[loud >= start][0]) for start in (0, half)]


def changes(heard: Sequence[Heard], begun: Sequence[Begun], from_s: float, until_s: float) -> list[float]:
    """Between the two manners of `moods`: from the first packet in another until the mood has come half the way."""
    starts = onsets()
    whole = round(2.0 * MOOD_S * 1000.0 / PACKET_MS)
    moods: dict[str, list[tuple[float, float, Mood]]] = {}
    places = {one.call: one for one in begun}
    for at_s, event in heard:
        if isinstance(event, Mood) and event.call in places and from_s <= at_s <= until_s:
            one = places[event.call]
            moods.setdefault(event.call, []).append((at_s, (one.place + event.at_s / PACKET_S) % whole, event))
    half = whole // 2
    settled = [
        [
            event.valence
            for its in moods.values()
            for _, place, event in its
            if half * (side + 0.6) < place < half * (side + 1)
        ]
        for side in (0, 1)
    ]
    if not all(settled):
        return []
    ends = [float(np.median(some)) for some in settled]
    middle, apart = sum(ends) / 2.0, ends[0] - ends[1]
    if abs(apart) < LEAST_MOODS_APART:
        return []
    found = []
    for call, its in moods.items():
        one = places[call]
        for side, start in enumerate(starts):
            sign = math.copysign(1.0, apart) * (1.0 if side == 0 else -1.0)  # the way that the mood is to go
            number = (start - one.place) % whole
            while (change_s := one.begin_s + PACKET_S * number) < until_s - MOOD_S:
                number += whole
                before = [event for at_s, _, event in its if at_s < change_s]
                if change_s < from_s or not before or sign * (before[-1].valence - middle) > 0.0:
                    continue
                after = [at_s for at_s, _, event in its if at_s > change_s and sign * (event.valence - middle) > 0.0]
                if after and after[0] < change_s + MOOD_S:
                    found.append(1000.0 * (after[0] - change_s))
    return found


# Runs


def _told(
    name: str,
    some: Sequence[float],
    parts: Sequence[Sequence[float]],
    condition: str,
    target: float | None = None,
    waited: float = 0.0,
) -> Iterator[Row]:
    """Its quantiles, and those of its parts. waited: what of it is by design; in the tails all is chance."""
    if not some:
        return
    count = float(len(some))
    yield Row(
        "latency", f"{name}, seen", condition, "vocal", count, "times", None, "neither", (count,),
        grain=3.0 * math.sqrt(count),
    )  # fmt: skip
    for shown, quantile in QUANTILES:
        repeats = tuple(float(np.quantile(part, quantile)) for part in parts if len(part))
        yield Row(
            "latency", f"{name}, {shown}", condition, "vocal", float(np.quantile(some, quantile)), "ms",
            target if shown == "p95" else None, "lower", repeats, grain=HALF_A_TICK_MS,
            waited=waited if shown in ("p50", "p95") else 0.0,
        )  # fmt: skip


def by_rtp(counts: Sequence[int], seconds: float, say: Callable[[str], None]) -> Iterator[Row | Skipped]:
    """Two-party calls by SIP and RTP, more and more of them; the customer's manner changes each 10 s."""
    with running(Settings("sip", audio="moods"), takes_all=True) as found, contextlib.ExitStack() as closing:
        listener = Listener(found.server.url, ("utterance", "mood", "cue"))
        closing.callback(listener.close)
        of_levels: list[Listener] = []
        for calls in counts:
            condition = f"{calls} call{'s' if calls > 1 else ''} by RTP"
            say(condition)
            opened = found.open(calls)
            if opened.refused:
                yield Skipped(f"latency: {condition}", f"{opened.refused} calls were not taken: {opened.why}")
                return
            for one in found.load.begun()[len(of_levels) : LEVELS_OF]:
                of_levels.append(Listener(found.server.url, ("levels",), one.call))
                closing.callback(of_levels[-1].close)
            time.sleep(OPENED_S)
            window = found.measure(seconds)
            heard, levels = list(listener.heard), [each for one in of_levels for each in list(one.heard)]
            yield from _rtp_rows(heard, levels, found.load.begun(), window, condition)


def _rtp_rows(
    heard: Sequence[Heard], levels: Sequence[Heard], begun: Sequence[Begun], window: Window, condition: str
) -> Iterator[Row | Skipped]:
    some = late(heard, levels, begun, window.begun_s, window.ended_s)
    parts = [late(heard, levels, begun, *part) for part in parts_of(window)]
    change = changes(heard, begun, window.begun_s, window.ended_s)
    by_design = sum(_by_design(some).values())
    yield from _told("last packet to utterance", some.event, [one.event for one in parts], condition, waited=by_design)
    its = [one.mood for one in parts]
    yield from _told(
        "last packet to mood or cue",
        some.mood,
        its,
        condition,
        limit("latency", "last packet to mood or cue, p95"),
        by_design,
    )
    yield from _told("onset to first levels", some.levels, [one.levels for one in parts], condition)
    # Too rare for parts of the time: by the calls.
    its_parts = np.array_split(change, PARTS)
    yield from _told("emotion's change to mood's", change, its_parts, condition)  # type: ignore[arg-type]
    for what, told in (("utterances", some.event), ("levels", some.levels), ("changes of mood", change)):
        if not told:
            yield Skipped(
                f"latency: {what}, {condition}", f"none were heard within {window.ended_s - window.begun_s:.0f} s"
            )
    yield from _terms(some, parts, condition)


def _by_design(some: Late) -> dict[str, float]:
    """What is waited for between the last packet of an utterance and its event, ms."""
    decided, hangover = float(np.median(some.endpointing or [0.0])), float(BoundaryConfig().hangover_ms)
    return {
        "endpointing: silence waited for": hangover,
        "what the speech score sees ahead": decided - hangover,
        "the playout's lag": PlayoutConfig().lag_ms,
    }


def _terms(some: Late, parts: Sequence[Late], condition: str) -> Iterator[Row]:
    """Of the way to the utterance's event, what is waited for by design."""
    if not some.event:
        return
    terms = _by_design(some)
    by_design = sum(terms.values())
    repeats = tuple(float(np.median(one.event)) - by_design for one in parts if one.event)
    terms["all else, p50"] = float(np.median(some.event)) - by_design
    for name, value in terms.items():
        yield Row(
            "latency", f"last packet to utterance, of it {name}", condition, "vocal", value, "ms", None, "lower",
            repeats if name.startswith("all else") else (value,), grain=HALF_A_TICK_MS,
        )  # fmt: skip


def by_webrtc(wanted: int, seconds: float) -> Iterator[Row | Skipped]:
    """Customers' channels, and the agent's page of one of them. wanted: 0 for as many as the machine carries."""
    # What is asked for is measured, whether the server would take it or not.
    with running(Settings("webrtc", audio="pauses"), takes_all=bool(wanted)) as found:
        listener = Listener(found.server.url, ("utterance", "mood", "cue"))
        opened = found.open(1)
        if opened.refused:
            yield Skipped("latency: WebRTC", opened.why)
            return
        with page_of(found.server.url, found.load.begun()[0].call) as drawn:
            why = _open_all(found, wanted)
            time.sleep(OPENED_S)
            window = found.measure(seconds)
            begun = found.load.begun()
            on_page = drawn()
        listener.close()
    heard = list(listener.heard)
    spans = parts_of(window)
    some = late(heard, (), begun, window.begun_s, window.ended_s)
    parts = [late(heard, (), begun, *span) for span in spans]
    pixel = _to_the_page(heard, on_page, begun, window.begun_s, window.ended_s)
    pixel_parts = [_to_the_page(heard, on_page, begun, *span) for span in spans]
    count = f"{found.calls} WebRTC channel{'s' if found.calls > 1 else ''}" if wanted else f"all it carries ({why})"
    condition = f"{count}, sender in Python"
    if not wanted:
        yield Row("latency", "WebRTC channels", condition, "vocal", found.calls, "channels", repeats=(found.calls,))
    by_design = sum(_by_design(some).values())
    yield from _told("last packet to utterance", some.event, [one.event for one in parts], condition, waited=by_design)
    its = [one.mood for one in parts]
    yield from _told(
        "last packet to mood or cue",
        some.mood,
        its,
        condition,
        limit("latency", "last packet to mood or cue, p95"),
        by_design,
    )
    yield from _told(
        "last packet to the pixel",
        pixel,
        pixel_parts,
        condition,
        limit("latency", "last packet to the pixel, p95"),
        by_design,
    )
    yield from _terms(some, parts, condition)


def _open_all(found: Running, wanted: int) -> str:
    """Returns why no more."""
    most = wanted or MOST_WEBRTC
    while found.calls < most:
        before = found.load.counts()
        opened = found.open(min(most, found.calls + AT_ONCE))
        time.sleep(1.0)
        after = found.load.counts()
        if opened.refused:
            return "the server takes no more"
        if not wanted and after.late - before.late > MOST_LATE * (after.packets - before.packets):
            return "the sender can do no more"
    return "as wanted"


def _to_the_page(
    heard: Sequence[Heard], on_page: Sequence[Drawn], begun: Sequence[Begun], from_s: float, until_s: float
) -> list[float]:
    calls = {one.call: one.begin_s for one in begun}
    found: list[float] = []
    for _, event in heard:
        if isinstance(event, Utterance) and event.call in calls:
            sent_s = calls[event.call] + PACKET_S * (math.ceil(event.end_s / PACKET_S - 1e-6) - 1)
            if from_s <= sent_s <= until_s - HEARD_S:
                found += [
                    1000.0 * (seen.drawn_s - sent_s)
                    for seen in on_page
                    if seen.call == event.call and event.detected_s <= seen.at_s < event.detected_s + 0.02
                ][:1]
    return found


def rows(say: Callable[[str], None], quick: bool = False) -> Iterator[Row | Skipped]:
    seconds = QUICK_S if quick else MEASURED_S
    try:
        yield from by_rtp(QUICK_RTP_CALLS if quick else RTP_CALLS, seconds, say)
    except InputError as error:
        yield Skipped("latency: calls by RTP", str(error))
    if chromium() is None:
        yield Skipped("latency: to the pixel", "wanted Chromium and playwright: pip install 'vocal[test]'")
    for wanted in QUICK_WEBRTC_CHANNELS if quick else WEBRTC_CHANNELS:
        say(f"{wanted or 'as many as it carries'} WebRTC channels")
        try:
            yield from by_webrtc(wanted, seconds)
        except InputError as error:
            yield Skipped(f"latency: {wanted or 'all'} WebRTC channels", str(error))
