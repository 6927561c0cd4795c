"""What cannot be judged gets no emotion and a reason, never a confident guess."""

import numpy as np
import pytest
from numpy.typing import NDArray
from signals import RATE_HZ, line, voice

from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.types import Call, Channel, Event, Metadata, Mood, Utterance

Signal = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel()


def heard(model: EmotionModel, *channels: Signal) -> list[Event]:
    """The events of a call: the customer first, who was informed, then the agent if there is one."""
    pcm = np.stack(channels, axis=1)
    roles = (Channel(0, "customer"), Channel(1, "agent"))[: len(channels)]
    events: list[Event] = []
    engine = Engine(events.append, emotion=model)
    engine.open(Call("c", "test", "file", "2026-01-01T00:00:00+00:00", roles, Metadata(notice=True)))
    engine.push("c", pcm)
    engine.end("c", "hangup")
    while engine.advance():
        pass
    return events


def of_customer(events: list[Event]) -> list[Utterance]:
    return [event for event in events if isinstance(event, Utterance) and event.role == "customer"]


def between(signal: Signal, quiet_s: float = 1.0) -> Signal:
    """A signal with the line before and after it."""
    quiet = line(quiet_s)
    return np.concatenate([quiet, signal, quiet])


def noise(seconds: float, level_dbov: float = -26.0) -> Signal:
    return line(seconds, level_dbov)


def tone(hz: float, seconds: float) -> Signal:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def chord(seconds: float) -> Signal:
    return sum((tone(hz, seconds) for hz in (220.0, 277.2, 329.6)), np.zeros(round(seconds * RATE_HZ), np.float32))


def with_noise(snr_db: float) -> Signal:
    return between(voice(5)) + noise(7, -26.0 - snr_db)


def clipped(gain: float) -> Signal:
    return np.clip(between(voice(5)) * gain, -1, 1).astype(np.float32)


def lost(share: float) -> Signal:
    signal = between(voice(5))
    packets = np.random.default_rng(5).random(len(signal) // 160) < share
    signal[np.repeat(packets, 160)] = np.nan
    return signal


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(8 * RATE_HZ, np.float32),
        line(8),
        between(noise(5)),
        between(tone(440, 5)),
        between(chord(5)),
        np.full(8 * RATE_HZ, np.nan, np.float32),
        np.full(8 * RATE_HZ, 1.0, np.float32),
        between(voice(0.1)),
        with_noise(-5),
        lost(0.5),
        lost(1.0),
        clipped(300),
    ],
    ids=[
        "zeros",
        "line",
        "noise",
        "tone",
        "chord",
        "lost",
        "offset",
        "0.1 s",
        "-5 dB",
        "half lost",
        "all lost",
        "clipped",
    ],
)
def test_nothing_is_claimed_of(model: EmotionModel, signal: Signal) -> None:
    events = heard(model, signal)
    for utterance in of_customer(events):
        assert utterance.emotion is None
        assert utterance.no_estimate in ("too_short", "bad_line", "not_voice")
    assert not [event for event in events if isinstance(event, Mood)]


@pytest.mark.parametrize(
    ("signal", "reason"), [(with_noise(0), "bad_line"), (lost(0.4), "bad_line"), (clipped(300), "bad_line")]
)
def test_reason_of_a_bad_line(model: EmotionModel, signal: Signal, reason: str) -> None:
    assert reason in [utterance.no_estimate for utterance in of_customer(heard(model, signal))]


def test_a_short_word_is_too_short(model: EmotionModel) -> None:
    assert [u.no_estimate for u in of_customer(heard(model, between(voice(0.4))))] == ["too_short"]


def test_a_minute_is_judged_piece_by_piece(model: EmotionModel) -> None:
    utterances = of_customer(heard(model, between(voice(60))))
    assert sum(u.end_s - u.start_s for u in utterances) > 50
    assert all((u.emotion is None) != (u.no_estimate is None) for u in utterances)


def test_a_good_line_has_no_reason(model: EmotionModel) -> None:
    utterances = of_customer(heard(model, between(voice(4))))
    assert utterances
    assert all(u.emotion is not None and u.no_estimate is None for u in utterances)


def test_under_a_louder_voice_nothing_is_told(model: EmotionModel) -> None:
    agent = np.concatenate(
        [line(1), voice(4, 190.0, level_dbov=-16.0), line(1), voice(4, 190.0, level_dbov=-16.0), line(1)]
    )
    customer = np.concatenate([line(6), voice(4, level_dbov=-40.0, seed=4), line(1)])
    (utterance,) = of_customer(heard(model, customer, agent))
    assert (utterance.emotion, utterance.no_estimate) == (None, "overlap")
    alone = np.concatenate([line(1), voice(4, 190.0, level_dbov=-16.0), line(6)])
    (utterance,) = of_customer(heard(model, customer, alone))
    assert utterance.emotion is not None


def test_agents_have_neither(model: EmotionModel) -> None:
    events = heard(model, between(voice(4)), between(voice(4, 190.0)))
    agents = [event for event in events if isinstance(event, Utterance) and event.role == "agent"]
    assert agents
    assert all(u.emotion is None and u.no_estimate is None for u in agents)
