"""How many calls this machine carries, by each door, and what they cost: real calls over loopback, doubled until one of
the limits is passed, then halved in between. The load generator runs on the same cores.

The limits (targets.yaml): a tick's p99; no packet lost by us, of those sent; utterances told within 600 ms of their
last packet (p95), 440 of which are by design; no call refused. The engine's own ticks and packets are measured apart.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vocal.errors import InputError, UsageError, unknown

from .asked import Asked
from .latency import HALF_A_TICK_MS, Listener, late, parts_of
from .load import DOORS, Door, Fault, Opened, Settings
from .results import Skipped
from .rows import Better, Row
from .running import IDLE_S, Ended, Running, Window, ceiling, running
from .search import Search
from .server import TICK_S
from .targets import limit, target

TOPICS = ("tick", "packets", *DOORS)
QUICK_TOPICS = ("tick", "sip", "websocket")
MOST_LOSS, MOST_JITTER_MS = 0.5, 500.0
BY_DESIGN_MS = 440.0
"""Of an utterance's way to its event: endpointing, what the speech score sees ahead, the playout's lag."""


SURELY_HEARD_S = 100.0
"""Of all channels together, within which an utterance must have been told."""

FEW_CALLS = 100
OPENED_AT_ONCE, BETWEEN_OPENED_S = 20, 0.8
FIXED_DOORS: tuple[Door, ...] = ("sip", "websocket", "twilio")


class Effort(NamedTuple):
    """first, most: calls tried first, and at most. tries: of a count that fails."""

    first: int
    most: int
    step: float
    grain: int
    tries: int
    seconds: float


EFFORTS: dict[Door, Effort] = {
    "sip": Effort(FEW_CALLS, 3200, 0.05, 25, 2, 12.0),
    "websocket": Effort(FEW_CALLS, 3200, 0.05, 25, 2, 12.0),
    "twilio": Effort(FEW_CALLS, 3200, 0.05, 25, 2, 12.0),
    "webrtc": Effort(20, 640, 0.1, 10, 2, 12.0),
}
QUICK_EFFORTS: dict[Door, Effort] = {
    "sip": Effort(50, FEW_CALLS, 1.0, 25, 2, 5.0),
    "websocket": Effort(FEW_CALLS, FEW_CALLS, 1.0, 25, 2, 5.0),
    "twilio": Effort(FEW_CALLS, FEW_CALLS, 1.0, 25, 2, 5.0),
    "webrtc": Effort(20, 20, 1.0, 10, 2, 5.0),
}
"""What so few calls cost; how many are carried is not looked for."""

_NEVER: dict[Fault, str] = {
    "loss": "nothing gets lost on the way there: over TCP what is lost is sent again",
    "jitter": "its packets have no times of their own there",
    "talkspurts": "silence is sent there, too",
}


def check(topics: Sequence[str], loss: float = 0.0, jitter_ms: float = 0.0, with_talkspurts: bool = False) -> None:
    """Raises UsageError for a topic that there is not, a fault out of its range, and one that a door cannot have."""
    for topic in topics:
        if topic not in TOPICS:
            raise UsageError(unknown("topic", topic, TOPICS))
    if not 0.0 <= loss <= MOST_LOSS:
        raise UsageError(f"--loss: wanted 0 to {100.0 * MOST_LOSS:g} %, got {100.0 * loss:g}")
    if not 0.0 <= jitter_ms <= MOST_JITTER_MS:
        raise UsageError(f"--jitter: wanted 0 to {MOST_JITTER_MS:g} ms, got {jitter_ms:g}")
    wanted: dict[Fault, bool] = {"loss": loss > 0.0, "jitter": jitter_ms > 0.0, "talkspurts": with_talkspurts}
    for fault in (one for one, is_wanted in wanted.items() if is_wanted):
        able = [door for door, kind in DOORS.items() if fault in kind.faults]
        for topic in topics:
            if topic not in able:
                why = f": {_NEVER[fault]}" if topic in DOORS else ""
                raise UsageError(f"--{fault}: wanted {' or '.join(able)}, got {topic}{why}")


class Limit(NamedTuple):
    name: str
    value: float
    unit: str
    most: float

    @property
    def is_kept(self) -> bool:
        return self.value <= self.most


def _limit(name: str, value: float, unit: str) -> Limit:
    return Limit(name, value, unit, limit("capacity", name))


class Trial(NamedTuple):
    """So many calls for a while. opened: what of those that were asked for was not taken; window: None where calls were
    refused. late_ms: of utterances; late_parts: the same by the window's parts."""

    wanted: int
    opened: Opened
    window: Window | None
    late_ms: list[float]
    late_parts: Sequence[list[float]] = ()

    @property
    def limits(self) -> list[Limit]:
        found = [_limit("calls refused", self.opened.refused, "calls")]
        if (window := self.window) is not None:
            late_share, sent_late = window.late / max(1, window.sent), window.sent_late / max(1, window.sent)
            found += [
                _limit("tick p99", window.tick_p99_ms, "ms"),
                _limit("packets lost by us", window.lost, "packets"),
                _limit("packets too late", 100.0 * late_share, "%"),
                _limit("packets sent late", 100.0 * sent_late, "%"),
            ]
            if self.late_ms or window.channels * (window.ended_s - window.begun_s) > SURELY_HEARD_S:
                worst = float(np.quantile(self.late_ms, 0.95)) if self.late_ms else float("inf")
                found.append(_limit("last packet to utterance, p95", worst, "ms"))
            if window.closed:
                found.append(_limit("calls ended by the server", window.closed, "calls"))
        return found

    @property
    def why_not(self) -> str:
        """Empty where all limits are kept."""
        broken = [f"{one.name} {one.value:.4g} {one.unit}" for one in self.limits if not one.is_kept]
        why = self.opened.why or (self.window.why if self.window is not None else "")
        return ", ".join(broken) + (f" ({why})" if why and broken else "")


def attempt(found: Running, listener: Listener, calls: int, seconds: float) -> Trial:
    opened = found.open(calls)
    if opened.refused:
        return Trial(calls, opened, None, [])
    window = found.measure(seconds)
    begun = found.load.begun()
    heard = list(listener.heard)
    parts = [late(heard, (), begun, *part).event for part in parts_of(window)]
    return Trial(calls, opened, window, late(heard, (), begun, window.begun_s, window.ended_s).event, parts)


def _row(
    name: str,
    condition: str,
    value: float,
    unit: str,
    target: float | None = None,
    better: Better = "lower",
    who: str = "vocal",
    repeats: Sequence[float] = (),
    grain: float = 0.0,
    waited: float = 0.0,
) -> Row:
    """repeats: what it was in the parts of its window, where that is known."""
    return Row(
        "capacity",
        name,
        condition,
        who,
        value,
        unit,
        target,
        better,
        tuple(repeats) or (value,),
        grain=grain,
        waited=waited,
    )


_GRAINS = {"packets too late": 0.1, "packets sent late": 0.5, "tick p99": 2.0}
"""By chance: in %, and in ms, for which a tick waits while another has its turn."""


def _quantiles(trial: Trial, quantile: float) -> list[float]:
    return [float(np.quantile(some, quantile)) for some in trial.late_parts if some]


def trial_rows(trial: Trial, settings: Settings) -> Iterator[Row]:
    """What was tried, limit by limit, and what it cost."""
    condition = f"{trial.wanted} calls by {settings.way}"
    for one in trial.limits:
        who = "load generator" if one.name == "packets sent late" else "vocal"
        is_told = "utterance" in one.name
        repeats, waited = (_quantiles(trial, 0.95), BY_DESIGN_MS) if is_told else ((), 0.0)
        if np.isfinite(one.value):
            grain = HALF_A_TICK_MS if is_told else _GRAINS.get(one.name, 0.0)
            yield _row(one.name, condition, one.value, one.unit, one.most, "lower", who, repeats, grain, waited)
    if (window := trial.window) is not None:
        parts = window.parts
        grain = TICK_S / (window.ended_s - window.begun_s)
        yield _row("CPU", condition, window.cores, "cores", repeats=[one.cores for one in parts], grain=grain)
        sender = [one.sender_cores for one in parts]
        yield _row("CPU", condition, window.sender_cores, "cores", who="load generator", repeats=sender, grain=grain)
        each = [window.channel_us(one.cores) for one in parts]
        its_grain = 2e6 * grain / window.channels
        yield _row("CPU of a channel", condition, window.channel_us_s, "µs/s", repeats=each, grain=its_grain)
        if settings.talkspurts:
            share = 100.0 * window.silent / max(1, window.silent + window.sent)
            yield _row("not sent, as nobody spoke", condition, share, "%", better="neither", who="load generator")


def detail_rows(trial: Trial, settings: Settings) -> Iterator[Row]:
    """Where the time goes, and what is held."""
    window = trial.window
    if window is None:
        return
    condition = f"{trial.wanted} calls by {settings.way}"
    seconds, parts = window.ended_s - window.begun_s, window.parts
    grain = 200.0 * TICK_S / seconds / max(TICK_S, window.cores)
    for name, cores in sorted(window.threads.items(), key=lambda one: -one[1]):
        shares = [100.0 * one.threads.get(name, 0.0) / max(1e-9, one.cores) for one in parts]
        share = 100.0 * cores / max(1e-9, window.cores)
        yield _row(f"CPU, of it {name}", condition, share, "%", better="neither", repeats=shares, grain=grain)
    yield _row("CPU without calls", condition, window.idle_cores, "cores", grain=2.0 * TICK_S / IDLE_S)
    channels = DOORS[settings.door].channels
    each = [channels * window.channel_us(one.cores) for one in parts]
    its_grain = 2e6 * TICK_S / seconds / trial.wanted
    yield _row("CPU of a call", condition, channels * window.channel_us_s, "µs/s", repeats=each, grain=its_grain)
    yield _row("context switches", condition, window.switches_s, "1/s", repeats=[one.switches_s for one in parts])
    memory_kb = 1024.0 * (window.rss_mb - window.idle_mb) / window.channels
    yield _row(
        "memory of a channel",
        condition,
        memory_kb,
        "kB",
        limit("capacity", "memory of a channel"),
        grain=2048.0 / window.channels,
    )
    yield _row("late ticks", condition, 100.0 * window.late_ticks, "%", grain=1.0)
    yield _row("emotion model at work", condition, 100.0 * window.emotion_busy, "%", grain=2.0)
    for name, quantile in (("p50", 0.5), ("worst", 1.0)) if trial.late_ms else ():
        value, each = float(np.quantile(trial.late_ms, quantile)), _quantiles(trial, quantile)
        waited = BY_DESIGN_MS if name == "p50" else 0.0
        yield _row(
            f"last packet to utterance, {name}",
            condition,
            value,
            "ms",
            repeats=each,
            grain=HALF_A_TICK_MS,
            waited=waited,
        )


def end_rows(ended: Ended, condition: str) -> Iterator[Row]:
    name = "packets sent that never came"
    yield _row(name, condition, ended.missing, "packets", limit("capacity", name))
    yield _row("packets that came too late", condition, ended.late, "packets", grain=1e-3 * ended.received)
    if ended.left_out:
        yield _row(
            "packets left out on purpose", condition, ended.left_out, "packets", None, "neither", "load generator"
        )
        beyond = ended.lost - ended.left_out
        name = "packets missed beyond those left out"
        yield _row(name, condition, beyond, "packets", limit("capacity", name))


@contextlib.contextmanager
def _carrying(settings: Settings, takes_all: bool = False) -> Iterator[tuple[Running, Listener]]:
    with running(settings, takes_all) as found:
        listener = Listener(found.server.url, ("utterance",))
        try:
            yield found, listener
        finally:
            listener.close()


def _settings(door: Door, asked: Asked) -> Settings:
    calls = staged(asked.data)
    return Settings(door, calls=calls, loss=asked.loss, jitter_ms=asked.jitter_ms, talkspurts=asked.with_talkspurts)


def by_door(door: Door, asked: Asked, effort: Effort, say: Callable[[str], None]) -> Iterator[Row | Skipped]:
    """Calls are added to the same server for as long as it carries them; after that each count has a server anew."""
    most = ceiling(door, effort.most)
    search = Search(effort.first, most, effort.step, effort.grain, effort.tries)
    settings = _settings(door, asked)
    way = settings.way
    trials: dict[int, Trial] = {}
    failed: Trial | None = None
    ended: Ended | None = None
    why = ""
    while search.next is not None:
        with _carrying(settings) as (found, listener):
            before = search.next
            while search.next is not None and search.next >= max(before, found.calls):
                wanted = before = search.next
                say(f"{wanted} calls by {way}")
                trial = attempt(found, listener, wanted, effort.seconds)
                is_carried = not trial.why_not
                search.tell(is_carried)
                yield from trial_rows(trial, settings)
                if not is_carried:
                    failed, why = trial, f"{wanted} calls: {trial.why_not}"
                    break
                trials[wanted] = trial
            if found.calls:
                ended = found.end()
    if failed is None:
        files = "" if most == effort.most else ", for which the system gives open files"
        why = f"no more than {most} were tried{files}"
    yield Skipped(f"capacity: more than {search.carried} calls by {way}", why)
    where = f"by {way}"
    aim = target("capacity", "calls carried", where)
    if aim is not None and effort.most < aim:
        aim = None  # so many were not tried
    grain = (search.failed or search.carried) - search.carried
    yield _row("calls carried", where, search.carried, "calls", aim, "higher", grain=grain)
    if search.carried:
        yield from detail_rows(trials[search.carried], settings)
        yield from _against_few(trials, settings)
    elif failed is not None:
        yield from detail_rows(failed, settings)
    if ended is not None:
        yield from end_rows(ended, f"by {way}, after the last of them")


def _against_few(trials: dict[int, Trial], settings: Settings) -> Iterator[Row]:
    """What a channel costs among many, to what it costs among few."""
    few, many = min(trials), max(trials)
    some = [trials[count].window for count in (few, many)]
    if few < many and some[0] is not None and some[1] is not None and some[0].channel_us_s:
        condition = f"{some[1].channels} channels against {some[0].channels}, by {settings.way}"
        ratio = some[1].channel_us_s / some[0].channel_us_s
        each = [some[1].channel_us(one.cores) / some[0].channel_us_s for one in some[1].parts]
        # What the few cost is known no better than to the system's hundredths of a second.
        grain = ratio * 2.0 * TICK_S / (some[0].ended_s - some[0].begun_s) / max(TICK_S, some[0].cores)
        yield _row(
            "cost of a channel",
            condition,
            ratio,
            "ratio",
            limit("capacity", "cost of a channel"),
            repeats=each,
            grain=grain,
        )


def fixed(door: Door, calls: int, minutes: float, asked: Asked, say: Callable[[str], None]) -> Iterator[Row | Skipped]:
    """So many calls for so long: does all stay as it was? A window a minute.

    The limits judge, not the server's admission, which keeps a reserve; so they are opened at the pace of a busy
    minute, not all at once.
    """
    settings = _settings(door, asked)
    condition = f"{calls} calls for {minutes:g} min by {settings.way}"
    if ceiling(door, calls) < calls:
        raise InputError(f"{calls} calls want more open files than this system gives (ulimit -Hn)")
    windows: list[Window] = []
    trials: dict[int, Trial] = {}
    with _carrying(settings, takes_all=True) as (found, listener):
        for count in sorted({min(FEW_CALLS, calls), calls}):
            say(f"{count} calls by {settings.way}")
            while found.calls + OPENED_AT_ONCE < count and not found.open(found.calls + OPENED_AT_ONCE).refused:
                time.sleep(BETWEEN_OPENED_S)
            trials[count] = trial = attempt(found, listener, count, 20.0 if count < calls else 10.0)
            yield from trial_rows(trial, settings)
            if trial.window is None:
                yield Skipped(f"capacity: {condition}", trial.why_not)
                return
        late_parts: list[list[float]] = []
        for minute in range(max(1, round(minutes))):
            say(f"{condition}, minute {minute + 1}")
            listener.heard.clear()
            window = found.measure(min(60.0, 60.0 * minutes) - 1.0)
            windows.append(window)
            some = late(list(listener.heard), (), found.load.begun(), window.begun_s, window.ended_s).event
            late_parts.append(some)
            its = f"{condition}, minute {minute + 1}"
            yield _row("tick p99", its, window.tick_p99_ms, "ms", limit("capacity", "tick p99"))
            yield _row("packets lost by us", its, window.lost, "packets", limit("capacity", "packets lost by us"))
            yield _row("memory", its, window.rss_mb, "MB")
            yield _row("CPU", its, window.cores, "cores")
        ended = found.end()
    worst_ms = max(one.tick_p99_ms for one in windows)
    yield _row("tick p99, worst minute", condition, worst_ms, "ms", limit("capacity", "tick p99, worst minute"))
    yield _row("late ticks", condition, 100.0 * float(np.mean([one.late_ticks for one in windows])), "%")
    skipped = sum(one.skipped_ticks for one in windows)
    yield _row("skipped ticks", condition, skipped, "ticks", limit("capacity", "skipped ticks"))
    yield from end_rows(ended, condition)
    yield _row("packets sent late", condition, sum(one.sent_late for one in windows), "packets", who="load generator")
    if len(windows) > 1:
        settled = windows[len(windows) // 2 :]
        growth_mb = (settled[-1].rss_mb - settled[0].rss_mb) / max(1, len(settled) - 1)
        yield _row("memory, growth in the second half", condition, growth_mb, "MB/min")
    last = trials[calls]._replace(
        window=windows[-1], late_ms=[one for some in late_parts for one in some], late_parts=late_parts
    )
    if last.late_ms:
        p95, each = float(np.quantile(last.late_ms, 0.95)), _quantiles(last, 0.95)
        yield _row(
            "last packet to utterance, p95",
            condition,
            p95,
            "ms",
            limit("capacity", "last packet to utterance, p95"),
            repeats=each,
            grain=10.0,
            waited=BY_DESIGN_MS,
        )
    yield from detail_rows(last, settings)
    yield _row("CPU", f"{condition}, last minute", windows[-1].sender_cores, "cores", who="load generator")
    yield from _against_few({**trials, calls: last}, settings)


def staged(data: Path | None) -> tuple[str, ...]:
    """Recordings of two-party calls in a folder of corpora; none: the demo call serves."""
    return () if data is None else tuple(str(one) for one in sorted((data / "calls" / "staged").glob("*.flac"))[:8])


def rows(asked: Asked, topics: Sequence[str], say: Callable[[str], None]) -> Iterator[Row | Skipped]:
    efforts = QUICK_EFFORTS if asked.quick else EFFORTS
    wanted = tuple(topics) or (QUICK_TOPICS if asked.quick else TOPICS)
    if asked.calls or asked.has_faults:
        wanted = tuple(topics) or ("sip",)
    elif not topics and asked.quick:
        for topic in TOPICS:
            if topic not in QUICK_TOPICS:
                yield Skipped(f"capacity {topic}", "not with --quick; ask for it by name")
    for topic in wanted:
        say(topic)
        try:
            if asked.calls and topic in FIXED_DOORS:
                yield from fixed(topic, asked.calls, asked.minutes, asked, say)  # type: ignore[arg-type]
            elif topic == "tick":
                from . import tick

                yield from tick.rows(asked.quick)
            elif topic == "packets":
                from . import packets

                yield from packets.rows(asked.quick)
            else:
                yield from by_door(topic, asked, efforts[topic], say)  # type: ignore[arg-type,index]
                if topic == "webrtc" and not asked.quick:
                    from . import webrtc

                    yield from webrtc.rows()
        except (InputError, OSError) as error:
            yield Skipped(f"capacity {topic}", str(error))
