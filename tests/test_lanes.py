"""Rows of 16 do what NumPy does to each of their lanes."""

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray
from vocal_kernels import lanes
from vocal_kernels.lanes import LANES, absolute, exp2, load, log2, maximum, minimum, splat, sqrt, store, where_greater

Block = NDArray[np.float32]

# One rounding each; a division may go by way of the reciprocal (flag arcp), which costs one more.
ULP = float(np.finfo(np.float32).eps)


@njit
def arithmetic(a, b, number, out):
    n = len(a)
    for i in range(n):
        x, y = load(a, i), load(b, i)
        store(out, i, x + y)
        store(out, n + i, x - y)
        store(out, 2 * n + i, x * y)
        store(out, 3 * n + i, x / y)
        store(out, 4 * n + i, x + number)
        store(out, 5 * n + i, number - x)
        store(out, 6 * n + i, number * x)
        store(out, 7 * n + i, x / number)
        store(out, 8 * n + i, number / x)


@njit
def functions(a, out):
    n = len(a)
    for i in range(n):
        x = load(a, i)
        store(out, i, absolute(x))
        store(out, n + i, sqrt(absolute(x)))
        store(out, 2 * n + i, log2(x))
        store(out, 3 * n + i, exp2(x))


@njit
def choices(a, b, c, d, out):
    n = len(a)
    for i in range(n):
        p, q, x, y = load(a, i), load(b, i), load(c, i), load(d, i)
        store(out, i, maximum(p, q))
        store(out, n + i, minimum(p, q))
        store(out, 2 * n + i, where_greater(p, q, x, y))
        store(out, 3 * n + i, where_greater(p, 0.5, x, 0.0))
        store(out, 4 * n + i, splat(2.5))


@njit
def copy_row(source, i, target, j):
    store(target, j, load(source, i))


def block(rng: np.random.Generator, n: int = 40) -> Block:
    return (rng.normal(size=(n, LANES)) * 10.0 ** rng.uniform(-6, 6, (n, LANES))).astype(np.float32)


@pytest.mark.parametrize("number", [0.3, np.float32(0.3), 7], ids=["float", "float32", "int"])
def test_arithmetic(number: float) -> None:
    rng = np.random.default_rng(1)
    a, b = block(rng), block(rng)
    out = np.empty((9 * len(a), LANES), np.float32)
    arithmetic(a, b, number, out)
    f = np.float32(number)
    wanted = [a + b, a - b, a * b, a / b, a + f, f - a, f * a, a / f, f / a]
    np.testing.assert_allclose(out.reshape(9, *a.shape), wanted, rtol=2 * ULP)


def test_log2_is_within_its_bound() -> None:
    # The polynomial by itself; with the roundings of its terms, which are up to 4, over every 97th mantissa; over all
    # octaves, where half a unit of a result of up to 128 is added.
    m = np.linspace(1, 2, 100_001)
    assert np.abs((m - 1) * np.polyval(lanes.LOG2, m) - np.log2(m)).max() < 2e-6
    mantissas = np.arange(1 << 23, 1 << 24, 97, dtype=np.uint32)[: 86_000 // LANES * LANES] / np.float32(1 << 23)
    octaves = np.exp2(np.random.default_rng(2).uniform(-126, 126, 16_000)).astype(np.float32)
    for x, roundings in ((mantissas.astype(np.float32), 4 * ULP), (octaves, 4 * ULP + 128 * ULP / 2)):
        rows = np.ascontiguousarray(x.reshape(-1, LANES))
        out = np.empty((4 * len(rows), LANES), np.float32)
        functions(rows, out)
        error = np.abs(out[2 * len(rows) : 3 * len(rows)] - np.log2(rows.astype(np.float64)))
        assert error.max() < 2e-6 + roundings
        assert error.max() > 0.0


def test_log2_of_powers_of_two_is_exact() -> None:
    rows = np.exp2(np.arange(-120, 120, dtype=np.float64)).astype(np.float32).reshape(-1, LANES)
    out = np.empty((4 * len(rows), LANES), np.float32)
    functions(rows, out)
    np.testing.assert_array_equal(out[2 * len(rows) : 3 * len(rows)], np.arange(-120, 120).reshape(-1, LANES))


def test_exp2_is_within_its_bound() -> None:
    x = np.random.default_rng(3).uniform(-126, 126, (4000, LANES)).astype(np.float32)
    x[:1000] = np.linspace(-0.5, 0.5, 16_000, dtype=np.float32).reshape(1000, LANES)
    out = np.empty((4 * len(x), LANES), np.float32)
    functions(x, out)
    relative = out[3 * len(x) :] / np.exp2(x.astype(np.float64)) - 1.0
    f = np.linspace(-0.5, 0.5, 100_001)
    assert np.abs(np.polyval(lanes.EXP2, f) / np.exp2(f) - 1.0).max() < 2e-7
    # That, and the roundings on its way.
    assert np.abs(relative).max() < 2e-7 + 2.5 * ULP


def test_exp2_holds_its_argument_and_sqrt_and_absolute_are_exact() -> None:
    x = np.resize(np.array([-1000.0, -126.0, 126.0, 1000.0, -0.0, 2.25], np.float32), (3, LANES)).copy()
    out = np.empty((12, LANES), np.float32)
    functions(x, out)
    np.testing.assert_allclose(out[9:], np.exp2(np.clip(x, -126, 126)), rtol=1e-6)
    np.testing.assert_array_equal(out[:3], np.abs(x))
    np.testing.assert_array_equal(out[3:6], np.sqrt(np.abs(x)))


def test_choices_also_where_a_lane_is_no_number() -> None:
    rng = np.random.default_rng(4)
    a, b, c, d = (block(rng) for _ in range(4))
    b[::3] = a[::3]  # equal is not greater
    for odd in (a, b, c, d):
        odd[rng.random(odd.shape) < 0.1] = np.nan
        odd[rng.random(odd.shape) < 0.05] = np.inf
    out = np.empty((5 * len(a), LANES), np.float32)
    choices(a, b, c, d, out)
    wanted = [
        np.where(a > b, a, b),
        np.where(a < b, a, b),
        np.where(a > b, c, d),
        np.where(a > 0.5, c, np.float32(0)),
        np.full_like(a, 2.5),
    ]
    np.testing.assert_array_equal(out.reshape(5, *a.shape), wanted)


def test_load_and_store_touch_one_row() -> None:
    source = np.arange(5 * LANES, dtype=np.float32).reshape(5, LANES)
    for i in range(5):
        target = np.full((5, LANES), -1.0, np.float32)
        copy_row(source, i, target, 4 - i)
        np.testing.assert_array_equal(target[4 - i], source[i])
        assert (np.delete(target, 4 - i, axis=0) == -1.0).all()


def test_rows_are_sixteen_wide() -> None:
    assert LANES == lanes.LANES == 16
