"""Clarity falls as noise, clipping or loss are added to known speech, and says which of them it was."""

from collections.abc import Callable

import numpy as np
import pytest

from vocal.config import BoundaryConfig, Config
from vocal.demo import call_path
from vocal.engine import Engine
from vocal.transports.files import open_call
from vocal.types import Call, Channel, Event, Metadata, Utterance

RATE_HZ = 8000
Change = Callable[[np.ndarray, float], np.ndarray]


def utterances(pcm: np.ndarray, config: Config = Config()) -> list[Utterance]:
    """Of a mono customer."""
    events: list[Event] = []
    engine = Engine(events.append, config)
    engine.open(Call("c", "", "test", "test", (Channel(0, "customer"),), Metadata()))
    engine.push("c", pcm[:, None].astype(np.float32))
    engine.end("c", "over")
    while engine.calls:
        engine.advance()
    return [event for event in events if isinstance(event, Utterance)]


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """40 s of the demo call's customer."""
    with open_call(call_path()) as source:
        return np.ascontiguousarray(source.read(40 * RATE_HZ)[:, 1])


def noisy(x: np.ndarray, snr_db: float) -> np.ndarray:
    loud = np.sort(x**2)[-len(x) // 3 :].mean()
    return x + np.random.default_rng(1).normal(size=len(x)) * np.sqrt(loud * 10 ** (-snr_db / 10))


def clipped(x: np.ndarray, drive_db: float) -> np.ndarray:
    peak = np.quantile(np.abs(x), 0.9999)
    return np.clip(x / peak * 10 ** (drive_db / 20), -1.0, 1.0)


def lossy(x: np.ndarray, share: float) -> np.ndarray:
    out = x.copy()
    out[np.repeat(np.random.default_rng(2).random(len(x) // 160 + 1) < share, 160)[: len(x)]] = np.nan
    return out


@pytest.mark.parametrize(
    ("change", "amounts", "term"),
    [
        (noisy, (45.0, 30.0, 20.0, 12.0, 6.0), "line"),
        (clipped, (0.0, 6.0, 12.0, 18.0, 24.0), "clipping"),
        (lossy, (0.0, 0.02, 0.05, 0.1, 0.2), "loss"),
    ],
    ids=["noise", "clipping", "loss"],
)
def test_clarity_falls(speech: np.ndarray, change: Change, amounts: tuple[float, ...], term: str) -> None:
    clarity, terms = [], []
    for amount in amounts:
        heard = utterances(change(speech, amount))
        weights = [u.end_s - u.start_s for u in heard]
        clarity.append(float(np.average([u.clarity for u in heard], weights=weights)))
        terms.append(float(np.average([u.clarity_terms[term] for u in heard], weights=weights)))
    assert (np.diff(clarity) < -0.005).all(), clarity
    assert (np.diff(terms) <= 0.0).all(), terms
    assert clarity[0] - clarity[-1] > 0.15


def test_lost_seconds_stand_in_the_utterance(speech: np.ndarray) -> None:
    whole = utterances(speech)
    assert all(u.lost_s == 0.0 for u in whole)
    longest = max(whole, key=lambda u: u.end_s - u.start_s)
    spoilt = speech.copy()
    first = round((longest.start_s + 1.0) * RATE_HZ)
    spoilt[first : first + 480] = np.nan
    assert sum(u.lost_s for u in utterances(spoilt)) == pytest.approx(0.06, abs=1e-3)


def test_webrtcvad_stands_in_for_the_network(speech: np.ndarray) -> None:
    plain = Config(boundary=BoundaryConfig(detector="webrtcvad"))
    own, theirs = utterances(speech), utterances(speech, plain)
    assert own != theirs
    steps = np.zeros((2, 4100), bool)
    for row, heard in zip(steps, (own, theirs), strict=True):
        for u in heard:
            row[round(u.start_s * 100) : round(u.end_s * 100)] = True
    assert (steps[0] & steps[1]).sum() > 0.9 * (steps[0] | steps[1]).sum()


def test_webrtcvad_decides_the_same_however_the_sound_comes(speech: np.ndarray) -> None:
    events: list[list[Event]] = [[], []]
    for found, piece in zip(events, (len(speech), 1237), strict=True):
        engine = Engine(found.append, Config(boundary=BoundaryConfig(detector="webrtcvad", webrtcvad_mode=3)))
        engine.open(Call("c", "", "test", "test", (Channel(0, "customer"),), Metadata()))
        for first in range(0, len(speech), piece):
            engine.push("c", speech[first : first + piece, None])
            while engine.advance():
                pass
        engine.end("c", "over")
        while engine.calls:
            engine.advance()
    assert events[0] == events[1]
