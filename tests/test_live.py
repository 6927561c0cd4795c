"""The live engine: packets of a recorded call give its events; notice, admission, a clock that keeps up."""

import time
from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
import pytest
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.config import Config, LiveConfig
from vocal.demo import call_path
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.errors import CapacityError, UsageError
from vocal.live import Live
from vocal.playout import Playout
from vocal.transports.files import open_call
from vocal.types import (
    Call,
    CallEnded,
    CallStarted,
    Channel,
    Cue,
    Event,
    Levels,
    LiveEvent,
    Metadata,
    Mood,
    Notice,
    Utterance,
)

T = TypeVar("T")


def a_call(name: str = "c", notice: bool = True) -> Call:
    channels = (Channel(0, "agent"), Channel(1, "customer"))
    return Call(name, "test", "test", "2026-01-01T00:00:00+00:00", channels, Metadata(notice=notice))


def of_kind(events: Sequence[LiveEvent], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def told_of(call: str, events: Sequence[LiveEvent]) -> tuple[list[LiveEvent], list[LiveEvent]]:
    """A call's events, and its levels. When an estimate came in real time says between which events these stand."""
    own = [event for event in events if event.call == call]
    levels = of_kind(own, Levels)
    return (
        [event for event in own if not isinstance(event, Levels)],
        [msgspec.structs.replace(one, seq=0) for one in levels],
    )


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel()


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.float32]:
    with open_call(call_path()) as source:
        return source.read(10_000_000)


def offline(pcm: NDArray[np.float32], model: EmotionModel | None, call: Call) -> list[Event]:
    events: list[Event] = []
    engine = Engine(events.append, emotion=model)
    engine.open(call)
    engine.push(call.call, pcm)
    engine.end(call.call, "hangup")
    while engine.advance():
        pass
    return events


class Stage:
    """A live engine whose time is a number: packets go in at their time, ticks come every 20 ms."""

    def __init__(self, model: EmotionModel | None = None, config: Config = Config()) -> None:
        self.events: list[LiveEvent] = []
        self.now_s = 0.0
        self.live = Live(self.events.extend, config, model, clock=lambda: self.now_s)
        self.tick_number = 0

    def tick(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_s = 0.02 * self.tick_number
            self.live.tick(20.0 * self.tick_number)
            self.tick_number += 1

    def play(
        self,
        call: str,
        pcm: NDArray[np.float32],
        playouts: Sequence[Playout],
        delays: NDArray[np.float64] | None = None,
    ) -> None:
        """20 ms packets, each `delays` ms late; NaN: lost."""
        count = -(-len(pcm) // 160)
        start_ms = 20.0 * self.tick_number + 3.0
        late = np.zeros((count, len(playouts))) if delays is None else delays
        due = sorted(
            (start_ms + 20.0 * n + late[n, column], n, column)
            for n in range(count)
            for column in range(len(playouts))
            if not np.isnan(late[n, column])
        )
        for at_ms, n, column in due:
            while 20.0 * self.tick_number <= at_ms:
                self.tick()
            samples = np.ascontiguousarray(pcm[160 * n : 160 * (n + 1), column])
            playouts[column].push(n, 160 * n, samples, at_ms)

    def finish(self) -> None:
        for _ in range(1000):
            if not self.live.calls():
                return
            self.tick()
        raise AssertionError("a call did not end")


def test_packets_give_the_events_of_the_recording(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    stage = Stage(model)
    stage.tick(7)
    stage.live.open(a_call())
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    rng = np.random.default_rng(4)
    stage.play("c", pcm, playouts, rng.uniform(0.0, 40.0, (-(-len(pcm) // 160), 2)))
    stage.live.end("c", "hangup")
    stage.finish()
    live = [event for event in stage.events if not isinstance(event, Levels)]
    assert live == offline(pcm, model, a_call())
    levels = of_kind(stage.events, Levels)
    assert len(levels) == pytest.approx(5 * len(pcm) / 8000, abs=2)
    assert any(one.channels[0].tempo_syll_s for one in levels)
    assert any(one.channels[1].f0_hz for one in levels)
    assert b"NaN" not in msgspec.json.encode(levels)


def test_threads_and_neighbours_do_not_matter(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    pcm = np.concatenate([pcm[-5 * 8000 - 77 :], pcm[: 9 * 8000]])
    stages = [Stage(model, Config(live=LiveConfig(threads=threads))) for threads in (1, 3)]
    for stage in stages:
        names = [f"call {n}" for n in range(30)]  # four blocks
        for name in names:
            stage.live.open(a_call(name))
        playouts = [stage.live.attach(name, channel) for name in names for channel in (0, 1)]
        loudness = np.repeat(np.linspace(0.5, 1.0, len(names), dtype=np.float32), 2)
        stage.play("all", np.tile(pcm, (1, len(names))) * loudness, playouts)
        for name in names:
            stage.live.end(name, "hangup")
        stage.finish()
    for name in names:
        assert told_of(name, stages[0].events) == told_of(name, stages[1].events)
    ours = [event for event in stages[1].events if event.call == "call 29" and not isinstance(event, Levels)]
    assert ours == offline(pcm, model, a_call("call 29"))


def test_loss_costs_the_calls_that_lose_and_no_others(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    pcm = pcm[: 30 * vk.RATE_HZ]
    stage = Stage(model)
    rng = np.random.default_rng(5)
    delays = rng.uniform(0.0, 30.0, (len(pcm) // 160, 2))
    lossy = np.where(rng.uniform(size=delays.shape) < 0.05, np.nan, delays)
    lossy[0] = delays[0]
    for name in ("clean", "lossy"):
        stage.live.open(a_call(name))
    clean, holes = ([stage.live.attach(name, channel) for channel in (0, 1)] for name in ("clean", "lossy"))
    stage.play("both", np.concatenate([pcm, pcm], axis=1), [*clean, *holes], np.concatenate([delays, lossy], axis=1))
    for name in ("clean", "lossy"):
        stage.live.end(name, "hangup")
    stage.finish()
    ours = [event for event in stage.events if event.call == "clean" and not isinstance(event, Levels)]
    assert ours == offline(pcm, model, a_call("clean"))
    ended = next(event for event in of_kind(stage.events, CallEnded) if event.call == "lossy")
    assert ended.lost_share == pytest.approx(np.isnan(lossy).mean(), abs=0.003)
    assert ended.duration_s == 30.0


def test_a_hold_brings_no_cue_of_dead_air(pcm: NDArray[np.float32]) -> None:
    said = pcm[: 25 * vk.RATE_HZ]
    quiet = np.zeros((30 * vk.RATE_HZ, 2), np.float32)
    found = []
    for is_held in (False, True):
        stage = Stage()
        stage.live.open(a_call(notice=False))
        playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
        stage.play("c", said, playouts)
        if is_held:
            stage.live.hold("c", True)
        stage.tick(len(quiet) // 160)
        stage.live.end("c", "hangup")
        stage.finish()
        (ended,) = of_kind(stage.events, CallEnded)
        dead_air = [cue.kind for cue in of_kind(stage.events, Cue) if cue.kind == "silence"]
        found.append((bool(dead_air), ended.conversation.non_talk_s > 20.0))
    assert found == [(True, True), (False, False)]


def test_a_call_on_which_nothing_comes_holds_up_no_other(pcm: NDArray[np.float32]) -> None:
    stage = Stage(config=Config(live=LiveConfig(idle_s=5.0)))
    for name in ("dumb", "half", "c"):
        stage.live.open(a_call(name))
    stage.live.attach("dumb", 0)
    half = stage.live.attach("half", 1)
    half.push(0, 0, pcm[:160, 1].copy(), 0.0)
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    stage.play("c", pcm[: 20 * 8000], playouts)
    assert of_kind([e for e in stage.events if e.call == "c"], Utterance)
    ended = of_kind(stage.events, CallEnded)
    assert sorted((one.call, one.reason) for one in ended) == [("dumb", "media timeout"), ("half", "media timeout")]
    assert {state.call.call for state in stage.live.calls()} == {"c"}
    assert stage.live.stats().timed_out_calls == 2


def test_a_side_that_comes_later_and_one_that_comes_back(pcm: NDArray[np.float32]) -> None:
    stage = Stage()
    stage.live.open(a_call())
    agent = stage.live.attach("c", 0)
    stage.play("c", pcm[: 4 * 8000, :1], [agent])
    stage.live.detach("c", agent)
    customer = stage.live.attach("c", 1, clock_hz=48000)
    stage.play("c", pcm[10 * 8000 : 14 * 8000, 1:], [customer])  # at 8000 a second of 48000: the first packets only
    again = stage.live.attach("c", 0)
    stage.play("c", pcm[4 * 8000 : 8 * 8000, :1], [again])
    stage.live.end("c", "hangup")
    stage.finish()
    roles = {utterance.role for utterance in of_kind(stage.events, Utterance)}
    assert "agent" in roles
    assert of_kind(stage.events, CallEnded)[0].duration_s == pytest.approx(12.0, abs=0.2)


def test_notice_in_mid_call_and_withdrawn_again(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    stage = Stage(model)
    stage.live.open(a_call(notice=False))
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    third = 28 * 8000
    stage.play("c", pcm[:third], playouts)
    assert not of_kind(stage.events, Mood)
    stage.live.set_notice("c", True)
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    stage.play("c", pcm[third : 2 * third], playouts)
    assert of_kind(stage.events, Mood)
    stage.live.set_notice("c", False)
    stage.tick()
    before = len(stage.events)
    assert stage.events[-1] == of_kind(stage.events, Notice)[-1] or isinstance(stage.events[-1], Levels)
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    stage.play("c", pcm[2 * third :], playouts)
    stage.live.end("c", "hangup")
    stage.finish()
    assert not of_kind(stage.events[before:], Mood)
    assert [event.given for event in of_kind(stage.events, Notice)] == [True, False]
    assert of_kind(stage.events, CallEnded)[0].satisfaction is None
    utterances = of_kind(stage.events, Utterance)
    assert [u.index for u in utterances if u.role == "agent"] == list(range(sum(u.role == "agent" for u in utterances)))
    assert all(u.emotion is None for u in utterances if u.role == "agent")
    # The baseline of tempo, level and F0 goes on.
    assert all(u.relative.level_db is not None for u in utterances[-3:])


def test_notice_before_the_first_audio_counts(pcm: NDArray[np.float32], model: EmotionModel) -> None:
    stage = Stage(model)
    stage.live.open(a_call(notice=False))
    stage.live.set_notice("c", True)
    playouts = [stage.live.attach("c", channel) for channel in (0, 1)]
    stage.play("c", pcm[: 12 * 8000], playouts)
    stage.live.end("c", "hangup")
    stage.finish()
    assert of_kind(stage.events, CallStarted)[0].metadata.notice
    assert not of_kind(stage.events, Notice)
    assert of_kind(stage.events, Mood)


def test_a_call_without_audio_begins_and_ends_all_the_same() -> None:
    stage = Stage()
    stage.live.open(a_call())
    stage.live.end("c", "hangup")
    stage.finish()
    assert of_kind(stage.events, CallStarted)
    assert [(one.reason, one.duration_s) for one in of_kind(stage.events, CallEnded)] == [("hangup", 0.0)]


def test_no_more_calls_than_wanted() -> None:
    stage = Stage(config=Config(live=LiveConfig(most_calls=2)))
    stage.live.open(a_call("a"))
    stage.live.open(a_call("b"))
    with pytest.raises(CapacityError, match="2 calls are open") as refused:
        stage.live.open(a_call("c"))
    assert refused.value.retry_after_s > 0
    assert stage.live.stats().refused_calls == 1
    stage.live.end("a", "hangup")
    stage.tick(60)
    stage.live.open(a_call("c"))


def test_a_busy_machine_takes_no_more_calls() -> None:
    stage = Stage()
    stage.live.open(a_call("a"))
    stage.live._costs_ms.extend([16.0] * 100)
    with pytest.raises(CapacityError, match=r"this machine is full: .* of 20 ms"):
        stage.live.open(a_call("b"))
    stage.live._costs_ms.extend([2.0] * 500)
    stage.live.open(a_call("b"))


def test_wrong_use_is_said_at_once() -> None:
    live = Stage().live
    live.open(a_call())
    with pytest.raises(UsageError, match="open already"):
        live.open(a_call())
    with pytest.raises(UsageError, match=r"wanted one of its channels \[0, 1\], got 2"):
        live.attach("c", 2)
    with pytest.raises(UsageError, match="'x' is not open"):
        live.attach("x", 0)
    with pytest.raises(UsageError, match="'x' is not open"):
        live.set_notice("x", True)
    live.end("c", "hangup")
    with pytest.raises(UsageError, match="is ending"):
        live.attach("c", 0)


def test_the_clock_runs_in_real_time_and_stops_cleanly(pcm: NDArray[np.float32]) -> None:
    events: list[LiveEvent] = []
    live = Live(events.extend)
    live.start()
    live.open(a_call())
    playouts = [live.attach("c", channel) for channel in (0, 1)]
    began = time.monotonic()
    for n in range(50):
        for column, playout in enumerate(playouts):
            playout.push(n, 160 * n, pcm[160 * n : 160 * (n + 1), column].copy(), live.now_ms())
        time.sleep(max(0.0, began + 0.02 * (n + 1) - time.monotonic()))
    stats = live.stats()
    live.stop()
    assert 45 <= stats.ticks <= 60
    assert stats.failed_ticks == 0
    ended = of_kind(events, CallEnded)[0]
    assert ended.reason == "shutdown"
    assert ended.duration_s == pytest.approx(1.0, abs=0.25)
    with pytest.raises(CapacityError, match="shutting down"):
        live.open(a_call("d"))


def test_a_clock_that_fell_behind_catches_up_and_counts() -> None:
    now = [0.0]
    naps: list[float] = []

    def sleep(wait_s: float) -> None:
        naps.append(wait_s)
        now[0] += wait_s + (0.5 if len(naps) == 10 else 0.0) + (9.0 if len(naps) == 20 else 0.0)
        if len(naps) == 40:
            live._is_stopping = True

    live = Live(lambda events: None, clock=lambda: now[0], sleep=sleep)
    live._run()
    stats = live.stats()
    assert stats.late_ticks == pytest.approx(24, abs=2)
    assert stats.skipped_ticks == pytest.approx(450, abs=3)
    assert stats.ticks == pytest.approx((now[0] - 9.0) / 0.02, abs=3)
