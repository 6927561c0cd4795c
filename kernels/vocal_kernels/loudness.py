"""Loudness by ITU-R BS.1770-5: K-weighting, momentary and short-term levels, the two gates of the integrated one.

The standard's filters are defined at 48 kHz and derived here for other rates (see `level.k_weighting`); on a telephone
line the number is the loudness of what the line let through.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._jit import jit
from .level import k_weighting

RATES_HZ = (8000, 16000, 48000)
PARTS_PER_S = 10
MOMENTARY_PARTS = 4  # 400 ms
SHORT_TERM_PARTS = 30  # 3 s

_OFFSET_LU = -0.691
ABSOLUTE_GATE = 10.0 ** ((-70.0 - _OFFSET_LU) / 10.0)
_RELATIVE_GATE = 10.0 ** (-10.0 / 10.0)


@jit
def gated_loudness(parts):
    """Integrated loudness in LUFS of the K-weighted mean squares of 100 ms parts; NaN where all is below the gates.

    Blocks of 400 ms, 75 % overlapping; the first gate at -70 LUFS, the second 10 LU under the level of what passed the
    first (BS.1770-5, annex 1, eq. 3 to 7). Less than 400 ms counts as one block.
    """
    n = max(1, len(parts) - MOMENTARY_PARTS + 1)
    gate = ABSOLUTE_GATE
    passed = math.nan
    for _ in range(2):
        total, count = 0.0, 0
        for first in range(n):
            block = parts[first : first + MOMENTARY_PARTS].mean() if len(parts) > 0 else 0.0
            if block > gate:
                total += block
                count += 1
        if count == 0:
            return math.nan
        passed = total / count
        gate = max(ABSOLUTE_GATE, passed * _RELATIVE_GATE)
    return _OFFSET_LU + 10.0 * math.log10(passed)


@jit
def _weighted_parts(signal, shelf, high, part_samples):
    """K-weighted mean square of each whole part."""
    parts = np.zeros(len(signal) // part_samples)
    s1 = s2 = h1 = h2 = 0.0
    for i in range(len(parts) * part_samples):
        x = float(signal[i])
        y = shelf[0] * x + s1
        s1 = shelf[1] * x - shelf[3] * y + s2
        s2 = shelf[2] * x - shelf[4] * y
        z = high[0] * y + h1
        h1 = high[1] * y - high[3] * z + h2
        h2 = high[2] * y - high[4] * z
        parts[i // part_samples] += z * z
    return parts / part_samples


class Loudness(NamedTuple):
    """LUFS. `momentary` and `short_term` have a value each 100 ms, from the first whole window on; -inf for nothing."""

    momentary_lufs: NDArray[np.float64]
    short_term_lufs: NDArray[np.float64]
    integrated_lufs: float


def _windows(parts: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    if len(parts) < length:
        return np.empty(0)
    means = np.convolve(parts, np.full(length, 1.0 / length), "valid")
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = _OFFSET_LU + 10.0 * np.log10(np.maximum(means, 0.0))
    return levels


def loudness(samples: NDArray[np.floating], rate_hz: int) -> Loudness:
    """Loudness of a recording.

    Parameters
    ----------
    samples
        `(n,)` or `(n, channels)` floating point, full scale 1; channels add up with weight 1, as left and right do.
    rate_hz
        8000, 16000 or 48000.

    Raises
    ------
    ValueError
        For another rate, or an array that is not of finite floating point samples.
    """
    if rate_hz not in RATES_HZ:
        raise ValueError(f"rate_hz: wanted one of {RATES_HZ}, got {rate_hz}")
    signal = np.asarray(samples)
    if signal.ndim not in (1, 2) or not np.issubdtype(signal.dtype, np.floating):
        raise ValueError(f"samples: wanted floats of shape (n,) or (n, channels), got {signal.dtype} {signal.shape}")
    if not np.isfinite(signal).all():
        raise ValueError(f"samples: wanted finite values, got {int((~np.isfinite(signal)).sum())} that are not")
    shelf, high = (np.array(stage) for stage in k_weighting(rate_hz))
    columns = np.ascontiguousarray(np.atleast_2d(signal.T), np.float64)
    parts = np.sum([_weighted_parts(column, shelf, high, rate_hz // PARTS_PER_S) for column in columns], axis=0)
    return Loudness(_windows(parts, MOMENTARY_PARTS), _windows(parts, SHORT_TERM_PARTS), float(gated_loudness(parts)))
