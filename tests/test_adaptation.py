"""Whether two sides adapt to each other: made-up courses whose truth is known, and chance."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocal.adaptation import ALPHA, LEAST_PAIRS, LEAST_S, Pair, Spoken, adaptation, level_adaptation, pairs_of
from vocal.record import Step

Course = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def both_move(t: np.ndarray, rng: np.random.Generator, against: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    shared = rng.normal(0.0, 0.6, len(t))
    return 5.0 + shared, 4.8 + against * shared


COURSES: dict[str, Course] = {
    "closer": lambda t, rng: (6.2 - 1.5 * t, 4.3 + 0.2 * t),
    "apart": lambda t, rng: (4.6 + 1.7 * t, 4.5 - 0.2 * t),
    "together": both_move,
    "opposed": lambda t, rng: both_move(t, rng, -1.0),
    "unclear": lambda t, rng: (5.0 + 0.0 * t, 4.8 + 0.0 * t),
}


def verdicts(course: Course, count: int, noise: float, memory: float = 0.0, calls: int = 300) -> Counter[str]:
    """Of so many calls, with measuring noise that resembles itself from one pair to the next by `memory`."""
    rng = np.random.default_rng(5)
    found: Counter[str] = Counter()
    for _ in range(calls):
        errors = rng.normal(0.0, noise, (2, count))
        for k in range(1, count):
            errors[:, k] = memory * errors[:, k - 1] + np.sqrt(1.0 - memory**2) * errors[:, k]
        values = np.array(course(np.linspace(0.0, 1.0, count), rng)) + errors
        pairs = [Pair(10.0 * k, 10.0 * k + 10.0, *values[:, k].tolist()) for k in range(count)]
        found[adaptation(pairs).verdict] += 1
    return found


@pytest.mark.parametrize("truth", [name for name in COURSES if name != "unclear"])
def test_what_is_there_is_found(truth: str) -> None:
    assert verdicts(COURSES[truth], 20, 0.2)[truth] >= 0.95 * 300


@pytest.mark.parametrize("count", [8, 12, 24])
@pytest.mark.parametrize("memory", [0.0, 0.4])
def test_chance_is_not_taken_for_it(count: int, memory: float) -> None:
    """Two correlations are looked at, each at ALPHA; noise that remembers itself may double that."""
    found = verdicts(COURSES["unclear"], count, 0.5, memory, calls=2000)
    assert 2000 - found["unclear"] <= 2000 * 2 * ALPHA * (2.0 if memory else 1.3)


def test_both_slowing_down_is_not_following_each_other() -> None:
    found = verdicts(lambda t, rng: (5.5 - 1.2 * t, 5.3 - 1.2 * t), 20, 0.2)
    assert found["unclear"] >= 0.95 * 300


def test_slow_waves_that_go_together_are_found_and_others_are_not() -> None:
    def waves(t: np.ndarray, rng: np.random.Generator, late: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        return 2.0 * np.sin(4 * np.pi * t), 2.0 * np.sin(4 * np.pi * (t - late))

    assert verdicts(waves, 24, 0.3)["together"] >= 0.9 * 300
    apart = verdicts(lambda t, rng: (waves(t, rng)[0], 0.0 * t), 24, 0.3)
    assert apart["together"] + apart["opposed"] <= 0.03 * 300


def test_figures_are_those_of_the_definition() -> None:
    t = np.arange(12.0)
    found = adaptation([Pair(10 * k, 10 * k + 10, 6.0 - 0.1 * k, 4.0 + 0.05 * k) for k in t.tolist()])
    assert found.verdict == "closer"
    assert found.convergence == pytest.approx(-1.0)
    assert found.distance_start == pytest.approx(np.mean(2.0 - 0.15 * t[:4]))
    assert found.distance_end == pytest.approx(np.mean(2.0 - 0.15 * t[-4:]))
    assert (found.agent_start, found.agent_end) == (pytest.approx(5.85), pytest.approx(5.05))
    assert (found.customer_start, found.customer_end) == (pytest.approx(4.075), pytest.approx(4.475))


def test_a_constant_says_nothing() -> None:
    found = adaptation([Pair(10.0 * k, 10.0 * k + 10.0, 5.0, 4.0) for k in range(20)])
    assert (found.verdict, found.convergence, found.synchrony) == ("unclear", 0.0, 0.0)


def test_too_few_pairs_say_nothing() -> None:
    pairs = [Pair(10.0 * k, 10.0 * k + 10.0, 6.0 - k, 4.0) for k in range(LEAST_PAIRS - 1)]
    found = adaptation(pairs)
    assert (found.verdict, found.convergence) == ("unclear", None)
    assert len(found.pairs) == LEAST_PAIRS - 1


def test_steps_are_joined_until_both_have_spoken() -> None:
    agent: list[Spoken] = [(5.0, 1.5), (None, 0.0), (6.0, 1.5), (4.0, 3.0)]
    customer: list[Spoken] = [(None, 0.0), (4.0, 2.0), (None, 0.0), (3.0, 1.0)]
    (pair,) = pairs_of(agent, customer, [0.0, 10.0, 20.0, 30.0, 40.0])
    assert (pair.start_s, pair.end_s, pair.agent, pair.customer) == (0.0, 30.0, 5.5, 4.0)


spoken = st.tuples(st.one_of(st.none(), st.floats(-20.0, 20.0)), st.floats(0.0, 10.0))


@given(st.lists(st.tuples(spoken, spoken), max_size=24))
def test_every_pair_has_speech_of_both_and_follows_the_one_before(steps: list[tuple[Spoken, Spoken]]) -> None:
    edges = [10.0 * k for k in range(len(steps) + 1)]
    agent, customer = [one for one, _ in steps], [other for _, other in steps]
    pairs = pairs_of(agent, customer, edges)
    at_s = 0.0
    for pair in pairs:
        assert pair.start_s == at_s < pair.end_s
        at_s = pair.end_s
        for side in (agent, customer):
            part = side[round(pair.start_s / 10) : round(pair.end_s / 10)]
            assert sum(talk_s for value, talk_s in part if value is not None) >= LEAST_S
    found = adaptation(pairs)
    for value in (found.convergence, found.synchrony):
        assert value is None or -1.0 <= value <= 1.0
    for value in (found.convergence_p, found.synchrony_p):
        assert value is None or 0.0 <= value <= 1.0


def test_a_call_without_steps_or_with_one_side() -> None:
    assert level_adaptation((), 0.0).verdict == "unclear"
    alone = [Step(10.0 * k, None, None, 5.0, None, 0.5, None, 8.0, 0.0) for k in range(24)]
    assert level_adaptation(alone, 240.0).pairs == ()
