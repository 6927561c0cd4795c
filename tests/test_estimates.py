"""Estimates beside the clock: a slow model holds up the calls that asked, never the tick, and loses nothing."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import vocal_kernels as vk
from numpy.typing import NDArray
from signals import line, voice

from vocal import estimates
from vocal.config import Config
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.estimates import Estimates, Question
from vocal.playout import Playout
from vocal.types import (
    Call,
    CallEnded,
    Channel,
    Emotion,
    Event,
    Metadata,
    Mood,
    NoEstimate,
    Notice,
    Relative,
    Utterance,
)
from vocal.utterance import EmotionInput


class Held(EmotionModel):
    """The model that ships; it answers only while its gate is open, and fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.fails = False

    def estimate(self, inputs: Sequence[EmotionInput], relatives: Sequence[Relative]) -> list[Emotion | NoEstimate]:
        self.begun.set()
        assert self.gate.wait(30.0)
        if self.fails:
            raise RuntimeError("wanted to fail")
        return super().estimate(inputs, relatives)


@pytest.fixture
def model() -> Iterator[Held]:
    held = Held()
    yield held
    held.gate.set()


def customer(seed: int) -> NDArray[np.float32]:
    said = [piece for n in range(4) for piece in (line(0.6, seed=seed + n), voice(2.2, seed=seed + n))]
    return np.concatenate([*said, line(1.5, seed=seed)])


def a_call(name: str) -> Call:
    return Call(name, "test", "test", "2026-01-01T00:00:00+00:00", (Channel(0, "customer"),), Metadata(notice=True))


def recorded(pcm: NDArray[np.float32], name: str) -> list[Event]:
    events: list[Event] = []
    engine = Engine(events.append, emotion=EmotionModel())
    engine.open(a_call(name))
    engine.push(name, pcm[:, None])
    engine.end(name, "hangup")
    while engine.advance():
        pass
    return events


class Stage:
    """Calls of one customer each, tick by tick."""

    def __init__(self, model: EmotionModel, *calls: tuple[str, NDArray[np.float32]]) -> None:
        self.events: list[Event] = []
        self.engine = Engine(self.events.append, Config(), model)
        self.now_ms = 0.0
        self._lines = [(name, pcm, Playout()) for name, pcm in calls]
        for name, _, playout in self._lines:
            self.engine.open(a_call(name))
            self.engine.play(name, 0, playout)

    def run(self, until_s: float) -> None:
        while self.now_ms < 1000.0 * until_s and self.engine.calls:
            at = round(8.0 * self.now_ms)
            for name, pcm, playout in self._lines:
                if at < len(pcm):
                    playout.push(at // 160, at, np.ascontiguousarray(pcm[at : at + 160]), self.now_ms)
                if len(pcm) - 160 <= at < len(pcm):
                    playout.close()
                    self.engine.close(name, "hangup")
            self.engine.tick(self.now_ms + 60.0)
            self.now_ms += 20.0

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event.call == name]


def test_a_held_call_tells_the_same_later_and_the_others_go_on(model: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MOST_BEHIND_S", 60.0)
    asking, other = customer(1), line(13.0)
    stage = Stage(model, ("asking", asking), ("other", other))
    stage.run(2.0)
    model.gate.clear()
    stage.run(8.0)
    stood = stage.of("asking")[-1].at_s
    assert stood < 4.0
    assert stage.of("other")[-1].at_s == 5.0  # its totals come every 5 s
    assert not [event for event in stage.events if isinstance(event, CallEnded)]
    model.gate.set()
    stage.run(60.0)
    assert stage.of("asking") == recorded(asking, "asking")
    assert [event for event in stage.of("asking") if isinstance(event, Mood)]
    assert stage.of("other") == recorded(other, "other")


def test_a_call_that_ended_waits_for_its_last_estimate(model: Held) -> None:
    pcm = customer(5)[: round(2.4 * 8000)]
    model.gate.clear()
    stage = Stage(model, ("c", pcm))
    stage.run(5.0)
    assert stage.engine.calls == 1
    model.gate.set()
    stage.run(60.0)
    assert stage.events == recorded(pcm, "c")


def test_notice_withdrawn_drops_what_is_being_estimated(model: Held) -> None:
    stage = Stage(model, ("c", customer(9)))
    model.gate.clear()
    stage.run(4.0)
    assert model.begun.wait(10.0)
    stage.engine.withdraw_notice("c")
    stage.run(8.0)
    told = [event for event in stage.events if isinstance(event, Utterance)]
    assert len(told) >= 2  # nothing is waited for any more
    model.gate.set()
    stage.run(60.0)
    assert [event.given for event in stage.events if isinstance(event, Notice)] == [False]
    assert not [event for event in stage.events if isinstance(event, Mood)]
    assert not [event for event in stage.events if isinstance(event, Utterance) and event.emotion]


def test_a_model_that_is_behind_is_asked_no_more(model: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "MOST_BEHIND_S", 0.0)
    model.gate.clear()
    stage = Stage(model, ("c", customer(20)))
    stage.run(30.0)
    assert stage.engine.refused_estimates > 0
    model.gate.set()
    stage.run(60.0)
    reasons = [event.no_estimate for event in stage.events if isinstance(event, Utterance)]
    assert set(reasons[1:]) == {"busy"}
    assert stage.engine.calls == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_model_that_fails_costs_estimates_not_calls(model: Held) -> None:
    model.fails = True
    stage = Stage(model, ("c", customer(30)))
    stage.run(60.0)
    told = [event.no_estimate for event in stage.events if isinstance(event, Utterance)]
    assert told.count("model") >= 4
    assert set(told) <= {"model", "too_short"}
    assert isinstance(stage.events[-1], CallEnded)


def test_how_busy_the_model_is(model: Held) -> None:
    now_s = 100.0
    asked = Estimates(model, clock=lambda: now_s)
    row = EmotionInput(np.zeros(model.contract.inputs["functionals"].size), np.zeros(0), 0.0, 3.0)
    assert asked.busy == 0.0
    asked.start()
    model.gate.clear()
    assert asked.ask([Question(1, row, Relative())])
    assert model.begun.wait(10.0)
    assert asked.take(0.01) == {}
    now_s = 104.0
    assert not asked.ask([Question(2, row, Relative())])
    assert asked.refused == 1
    model.gate.set()
    assert set(asked.take(10.0)) == {1}
    assert asked.busy == pytest.approx(0.4)
    now_s = 115.0
    assert asked.busy == 0.0
    asked.close()


def test_a_quick_model_is_asked_where_its_answer_is_wanted_and_a_slow_one_beside(
    model: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimates, "QUICK_S", 10.0)
    asked_in: list[str] = []
    original = EmotionModel.estimate

    def noting(self: EmotionModel, *given: Sequence[object]) -> list[Emotion | NoEstimate]:
        asked_in.append(threading.current_thread().name)
        return original(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(EmotionModel, "estimate", noting)
    found = Estimates(model)
    found.start()
    shown = EmotionInput(np.zeros(vk.FUNCTIONALS), np.zeros(vk.FUNCTIONALS), 0.0, 3.0)
    for key in range(estimates.COSTS_SEEN + 5):
        assert found.ask([Question(key, shown, Relative())])
        assert list(found.take(30.0)) == [key]
    here = threading.current_thread().name
    assert asked_in == ["vocal-emotion"] * estimates.COSTS_SEEN + [here] * 5
    monkeypatch.setattr(estimates, "QUICK_S", 0.0)
    found.ask([Question(99, shown, Relative())])
    assert list(found.take(30.0)) == [99]
    assert asked_in[-1] == "vocal-emotion"
    found.close()
