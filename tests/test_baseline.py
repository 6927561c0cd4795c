"""A speaker's running centre and spread against the weighted mean and deviation of all that was taken in."""

import math

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from hypothesis import given, settings
from hypothesis import strategies as st

VALUE = st.one_of(st.just(math.nan), st.integers(-80, 80), st.integers(-8000, 8000)).map(lambda n: n / 8)
UPDATES = st.lists(st.tuples(VALUE, VALUE, st.floats(0.05, 15)), max_size=25)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(UPDATES)
def test_twin(updates: list[tuple[float, float, float]]) -> None:
    baseline = vk.Baseline(2, 1.5)
    for a, b, seconds in updates:
        baseline.update(np.array([a, b]), seconds)
    for column in range(2):
        centre, spread = naive.baseline([(u[column], u[2]) for u in updates], 1.5)
        # Weighted squares up to 1e6: about eight digits of a spread are left where values nearly agree.
        assert baseline.centre[column] == pytest.approx(centre, rel=1e-9, abs=1e-9)
        assert baseline.spread[column] == pytest.approx(spread, rel=1e-6, abs=1e-4)
    heard = sum(u[2] for u in updates)
    assert baseline.heard_s == pytest.approx(heard)
    assert baseline.trust == pytest.approx(heard / (heard + 4.0))


def test_ready_after_five_seconds() -> None:
    baseline = vk.Baseline(1, 1.0)
    baseline.update(np.array([1.0]), 4.9)
    assert not baseline.is_ready
    baseline.update(np.array([1.0]), 0.1)
    assert baseline.is_ready
    assert vk.READY_S == 5.0


def test_settles_on_the_speaker() -> None:
    rng = np.random.default_rng(1)
    baseline = vk.Baseline(1, 1.0)
    for value in rng.normal(-26.0, 2.0, 400):
        baseline.update(np.array([value]), 2.0)
    # Of 2 s each, 120 s remembered: about 120 values count.
    assert baseline.centre[0] == pytest.approx(-26.0, abs=0.6)
    assert baseline.spread[0] == pytest.approx(2.0, rel=0.25)


def test_an_outlier_moves_it_no_more_than_three_spreads_would() -> None:
    known = [(value, 2.0) for value in (-27.0, -25.0, -26.0, -24.0, -28.0)]
    calm, wild = vk.Baseline(1, 1.0), vk.Baseline(1, 1.0)
    for value, seconds in known:
        calm.update(np.array([value]), seconds)
        wild.update(np.array([value]), seconds)
    calm.update(calm.centre + 3 * calm.spread, 2.0)
    wild.update(np.array([1e6]), 2.0)
    np.testing.assert_allclose(wild.centre, calm.centre)
    np.testing.assert_allclose(wild.spread, calm.spread)


def test_forgets() -> None:
    baseline = vk.Baseline(1, 1.0)
    for value in [10.0] * 60 + [20.0] * 400:
        baseline.update(np.array([value]), 2.0)
    assert baseline.centre[0] == pytest.approx(20.0, abs=0.1)


def test_a_measure_that_is_unknown_is_left() -> None:
    baseline = vk.Baseline(2, 1.5)
    baseline.update(np.array([1.0, 5.0]), 3.0)
    baseline.update(np.array([np.nan, 7.0]), 3.0)
    assert baseline.centre[0] == 1.0
    assert baseline.centre[1] == pytest.approx(6.0, abs=0.1)
    assert np.isfinite(baseline.spread).all()


def test_two_values_alike_do_not_hold_it_back() -> None:
    baseline = vk.Baseline(1, 1.0)
    for value in (-26.0, -26.01, *np.random.default_rng(1).normal(-20.0, 1.0, 12)):
        baseline.update(np.array([value]), 3.0)
    assert baseline.centre[0] > -23.0
