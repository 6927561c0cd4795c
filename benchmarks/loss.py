"""What loss, jitter, disorder and drift on the way do to tempo, F0 and mood.

Whole calls with truth, as G.711 packets of 20 ms through the live engine: its playouts, its clock, as fast as it can.
Lost one by one or in bursts of three in the mean; jitter is each packet's own delay, even from 0 on; drift is of the
sender's clock. "from the undisturbed": against the same calls with nothing on the way. "lost, told": what share of the
calls the events call lost, less the share that was dropped; "constant" tells of none.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import vocal_kernels as vk

from vocal.analysis import Analysis
from vocal.config import Config, LiveConfig
from vocal.demo import call_path
from vocal.emotion import EmotionModel
from vocal.live import TICK_MS, Live
from vocal.playout import Playout
from vocal.transports.files import open_call
from vocal.types import Call, CallStarted, Channel, Event, Levels, LiveEvent, Metadata, Utterance

from . import calls
from .corpora import Array, Signal, alaw, generator
from .drawings import Course, Drawing
from .rows import Row

LOST_PCT = (0, 1, 2, 5, 10, 20)
JITTER_MS = (20, 50, 100, 200)
BURST_PACKETS = 3.0
BOTH = (Channel(0, "agent"), Channel(1, "customer"))


class Way(NamedTuple):
    """What a call's packets go through. burst: mean length of a loss in packets."""

    name: str
    lost: float = 0.0
    burst: float = 1.0
    jitter_ms: float = 0.0
    drift_ppm: float = 0.0


class Travelled(NamedTuple):
    """A call after its way, and the share of its packets that were dropped there."""

    analysis: Analysis
    dropped: float


UNDISTURBED = Way("undisturbed")
LOSSES = [Way(f"{pct} % lost", pct / 100) for pct in LOST_PCT[1:]]
BURSTS = [Way(f"{pct} % lost in bursts", pct / 100, BURST_PACKETS) for pct in LOST_PCT[1:]]
OTHERS = [
    *(Way(f"jitter {ms} ms", jitter_ms=ms) for ms in JITTER_MS),
    Way("drift 300 ppm", drift_ppm=300.0),
    Way("5 % lost, jitter 50 ms, drift 300 ppm", 0.05, 1.0, 50.0, 300.0),
]


def rows(data: Path | None, drawings: list[Drawing], folder: Path | None) -> Iterator[Row]:
    """folder: of the emotion model; None: the one that ships."""
    files = calls.truths(data / "calls" / "staged" if data else call_path().parent)
    signals = [_signal(path) for path, _ in files]
    truths = [truth for _, truth in files]
    model = EmotionModel(folder)
    plain = travel(signals, UNDISTURBED, model)
    figures = {UNDISTURBED: list(_figures(UNDISTURBED, plain, plain, truths))}
    yield from figures[UNDISTURBED]
    for way in (*LOSSES, *BURSTS, *OTHERS):
        figures[way] = list(_figures(way, travel(signals, way, model), plain, truths))
        yield from figures[way]
    for name in dict.fromkeys(row.name for some in figures.values() for row in some):
        if any(name not in [row.name for row in some] for some in figures.values()):
            continue
        unit = next(row.unit for row in figures[UNDISTURBED] if row.name == name)
        lines = {
            who: [(100 * way.lost, _value(figures[way], name)) for way in (UNDISTURBED, *ways)]
            for who, ways in (("one by one", LOSSES), ("in bursts", BURSTS))
        }
        drawings.append(Course(name, unit, "% lost", lines))


def _value(rows: Sequence[Row], name: str) -> float:
    return next(row.value for row in rows if row.name == name)


def _signal(path: Path) -> Signal:
    with open_call(path) as source:
        return alaw(source.read(10_000_000))


def travel(signals: Sequence[Signal], way: Way, model: EmotionModel) -> list[Travelled]:
    """All calls at once through a live engine, in its own time."""
    events: list[LiveEvent] = []
    live = Live(events.extend, Config(live=LiveConfig(most_calls=len(signals))), model, clock=lambda: 0.0)
    arrivals: list[tuple[float, int, int, Playout, int]] = []
    dropped = []
    for number, signal in enumerate(signals):
        name = f"call-{number}"
        live.open(Call(name, "bench", "bench", "2026-01-01T00:00:00+00:00", BOTH, Metadata(notice=True)))
        lost_packets = 0
        for side in BOTH:
            playout = live.attach(name, side.channel)
            rng = generator(f"{way.name} {number} {side.channel}")
            count = len(signal) // vk.TICK_SAMPLES
            kept = _kept(count, way, rng)
            lost_packets += int((~kept).sum())
            sent_ms = TICK_MS * (1.0 + way.drift_ppm * 1e-6) * np.arange(count)
            for n in np.flatnonzero(kept).tolist():
                at_ms = float(sent_ms[n] + rng.uniform(0.0, way.jitter_ms))
                arrivals.append((at_ms, n, side.channel, playout, number))
        dropped.append(lost_packets / (2 * count))
    arrivals.sort(key=lambda one: one[:3])
    last_ms = {number: at_ms for at_ms, _, _, _, number in arrivals}
    tick, at = 0, 0
    while live.calls():
        while at < len(arrivals) and arrivals[at][0] <= TICK_MS * tick:
            at_ms, n, column, playout, number = arrivals[at]
            piece = signals[number][n * vk.TICK_SAMPLES : (n + 1) * vk.TICK_SAMPLES, column]
            playout.push(n, n * vk.TICK_SAMPLES, np.ascontiguousarray(piece), at_ms)
            at += 1
        for number in [number for number, at_ms in last_ms.items() if at_ms < TICK_MS * tick]:
            live.end(f"call-{number}", "end")
            del last_ms[number]
        live.tick(TICK_MS * tick)
        tick += 1
    assert live.stats().failed_ticks == 0
    live.stop()
    of_calls: dict[str, list[Event]] = {}
    for event in events:
        if not isinstance(event, Levels):
            of_calls.setdefault(event.call, []).append(event)
    assert all(isinstance(some[0], CallStarted) for some in of_calls.values())
    return [Travelled(Analysis(of_calls[f"call-{n}"]), share) for n, share in enumerate(dropped)]


def _kept(count: int, way: Way, rng: np.random.Generator) -> Array:
    """Which packets arrive: two states, as in Gilbert (Bell System Technical Journal 39, 1960). The first does."""
    leave = 1.0 / way.burst
    enter = way.lost * leave / (1.0 - way.lost)
    is_lost, kept = False, np.ones(count, bool)
    draws = rng.random(count)
    for n in range(1, count):
        is_lost = draws[n] >= leave if is_lost else draws[n] < enter
        kept[n] = not is_lost
    return kept


def _figures(
    way: Way, got: Sequence[Travelled], plain: Sequence[Travelled], truths: Sequence[calls.Truth]
) -> Iterator[Row]:
    judged = [(one.analysis, truth) for one, truth in zip(got, truths, strict=True)]
    for name, known, found in (
        ("speech time found", "speech time found", calls.boundaries(judged, way.name)),
        ("tempo, {} to the truth", "speech rate", calls.tempo(judged, way.name)),
        ("mood, {} to the truth", "start and end", calls.satisfaction(judged, way.name)),
    ):
        for row in found:
            if isinstance(row, Row) and row.name == known:
                what = name.format("r" if row.unit == "r" else "error")
                unit = row.unit.removesuffix(" error")
                yield msgspec.structs.replace(row, part="loss", name=what, condition=way.name, unit=unit)
    pairs = [pair for one, other in zip(got, plain, strict=True) for pair in _pairs(one.analysis, other.analysis)]
    f0 = [
        (12.0 * np.log2(a.f0_median_hz), 12.0 * np.log2(b.f0_median_hz))
        for a, b in pairs
        if a.f0_median_hz and b.f0_median_hz
    ]
    tempo = [
        (a.articulation_rate_syll_s, b.articulation_rate_syll_s)
        for a, b in pairs
        if a.articulation_rate_syll_s and b.articulation_rate_syll_s
    ]
    moods = [
        (getattr(mine, end), getattr(theirs, end))
        for one, other in zip(got, plain, strict=True)
        if (mine := one.analysis.ended.satisfaction) and (theirs := other.analysis.ended.satisfaction)
        for end in ("start", "end")
    ]
    for what, both, unit in (("F0", f0, "st"), ("tempo", tempo, "syll/s"), ("mood", moods, "of 1-10")):
        if both:
            mine, theirs = np.array(both).T
            for who, value in (("vocal", mine), ("always the mean", theirs.mean())):
                apart = float(np.abs(value - theirs).mean())
                yield Row("loss", f"{what}, from the undisturbed", way.name, who, apart, unit, better="lower")
    dropped = np.array([one.dropped for one in got])
    said = np.array([one.analysis.ended.lost_share for one in got])
    for who, share in (("vocal", said), ("constant", np.zeros(len(got)))):
        yield Row("loss", "lost, told", way.name, who, float(100 * np.mean(share - dropped)), "points")


def _pairs(one: Analysis, other: Analysis) -> Iterator[tuple[Utterance, Utterance]]:
    """Utterances of the same stretch of speech."""
    for mine in one.utterances:
        for theirs in other.utterances:
            if (
                mine.channel == theirs.channel
                and abs(mine.start_s - theirs.start_s) < 0.3
                and abs(mine.end_s - theirs.end_s) < 0.3
            ):
                yield mine, theirs
