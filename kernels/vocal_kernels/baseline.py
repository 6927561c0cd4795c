"""A speaker's own normal in this call: running centre and spread of any set of measures, robust and causal."""

import numpy as np
from numpy.typing import NDArray

READY_S = 5.0
"""Speech after which the baseline may be spoken of."""

FORGET_S = 120.0
"""Speech after which an utterance counts 1/e of what it did."""

PRIOR_S = 4.0
"""Speech at which trust in the centre reaches one half."""

OUTLIER_SPREADS = 3.0


class Baseline:
    """Weighted running centre and spread; a value far out is pulled in before it counts (Huber's winsorising).

    `width` measures are followed at once. A measure that is NaN in an update is left as it was. `least_spread`, one for
    all or one for each, is what a measure may always vary by: two values that happen to agree must not make an outlier
    of the third.
    """

    def __init__(self, width: int, least_spread: float | NDArray[np.float64]) -> None:
        self._least_spread = least_spread
        self.centre: NDArray[np.float64] = np.zeros(width)
        self.heard_s = 0.0
        self._square: NDArray[np.float64] = np.zeros(width)
        self._weight: NDArray[np.float64] = np.zeros(width)

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation about the centre; 0 until two updates differ."""
        return np.sqrt(self._square)

    @property
    def is_ready(self) -> bool:
        return self.heard_s >= READY_S

    @property
    def trust(self) -> float:
        """How far the centre may be believed, 0 (nothing heard) to 1."""
        return self.heard_s / (self.heard_s + PRIOR_S)

    def update(self, values: NDArray[np.float64], speech_s: float) -> None:
        """Take in one utterance's values; `speech_s` is its weight."""
        known = np.isfinite(values)
        forget = float(np.exp(-speech_s / FORGET_S))
        weight = np.where(known, self._weight * forget + speech_s, self._weight)
        share = np.divide(speech_s, weight, out=np.zeros_like(weight), where=known & (weight > 0.0))
        step = np.where(known, values - self.centre, 0.0)
        limit = OUTLIER_SPREADS * np.maximum(self.spread, self._least_spread)
        step = np.where(self.is_ready, np.clip(step, -limit, limit), step)
        self.centre = self.centre + share * step
        self._square = (1.0 - share) * (self._square + share * step * step)
        self._weight = weight
        self.heard_s += speech_s
