"""The benchmark of what loss on the way does: it drops what it says, and what is told of it is that."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from signals import line, voice
from test_bench_compare import a_run
from vocal.benchmarks import loss
from vocal.benchmarks.drawings import Course
from vocal.benchmarks.page import page
from vocal.benchmarks.rows import Row

from vocal.emotion import EmotionModel

LOST = loss.Way("a tenth lost in bursts", 0.1, 3.0)


def test_packets_are_lost_as_often_and_as_long_as_asked() -> None:
    kept = loss._kept(200_000, LOST, np.random.default_rng(1))
    lost = ~kept
    bursts = int((lost[1:] & ~lost[:-1]).sum())
    assert lost.mean() == pytest.approx(0.1, abs=0.005)
    assert lost.sum() / bursts == pytest.approx(3.0, abs=0.1)
    assert kept[0]


def test_what_is_told_is_what_was_dropped() -> None:
    agent = np.concatenate([line(0.5), voice(3.0, seed=1), line(4.5)])
    customer = np.concatenate([line(4.0), voice(3.0, seed=2), line(1.0)])
    signal = np.stack([agent, customer], axis=1)
    model = EmotionModel()
    (plain,) = loss.travel([signal], loss.UNDISTURBED, model)
    (lossy,) = loss.travel([signal], LOST, model)
    assert (plain.dropped, plain.analysis.ended.lost_share) == (0.0, 0.0)
    assert lossy.dropped > 0.03
    assert lossy.analysis.ended.lost_share == pytest.approx(lossy.dropped, abs=0.005)
    assert {one.role for one in lossy.analysis.utterances} == {"agent", "customer"}


def test_what_is_told_of_a_way_is_called_what_it_is(shared_data: Path) -> None:
    known = loss.calls.truths(shared_data / "calls" / "staged")[:3]
    model = EmotionModel()
    plain = loss.travel([loss._signal(path) for path, _ in known], loss.UNDISTURBED, model)
    found = {
        (row.name, row.who, row.unit): row.value
        for row in loss._figures(loss.UNDISTURBED, plain, plain, [truth for _, truth in known])
    }
    assert found["mood, r to the truth", "vocal", "r"] > 0.8
    assert 0.0 < found["mood, error to the truth", "vocal", "points"] < 2.0
    assert found["mood, error to the truth", "always the mean", "points"] > 1.0
    assert found["tempo, r to the truth", "vocal", "r"] > 0.8
    assert found["F0, from the undisturbed", "vocal", "st"] == 0.0
    assert found["F0, from the undisturbed", "always the mean", "st"] > 1.0


def test_the_page_draws_its_course() -> None:
    course = Course("F0, from the undisturbed", "st", "% lost", {"one by one": [(0.0, 0.0), (5.0, 0.12)]})
    run = a_run(Row("loss", "F0", "5 % lost", "vocal", 0.12, "st"))
    shown = page(msgspec.structs.replace(run, drawings=(course,)))
    assert "F0, from the undisturbed, st against % lost" in shown
    assert "one by one: 0 at 0 % lost, 0.12 at 5 % lost" in shown
