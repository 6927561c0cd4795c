"""How two speakers adapt to each other over a call, in tempo and in loudness.

Both measures are those of Levitan & Hirschberg, «Measuring acoustic-prosodic entrainment with respect to multiple
levels and dimensions», Interspeech 2011. *Convergence*: the distance of both sides falls with time (correlation of the
absolute difference with time). *Synchrony*: both rise and fall together (correlation of the values), taken here of the
changes from one pair to the next, so that two sides that both slow down are not yet one that follows the other.
These are measures of the pair, and of neither person.

A correlation counts only where chance shows one so far from 0 in at most ALPHA of all calls (two-sided, Fisher's z),
over as many pairs as are independent: neighbours that resemble each other count for less (Bayley & Hammersley 1946).
Two correlations of two measures are looked at, so of calls in which nobody adapts about one in twenty shows something.
"""

from collections.abc import Sequence
from math import atanh, erfc, sqrt
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from vocal.record import Step

ALPHA = 0.0125
LEAST_PAIRS = 8
LEAST_S = 2.0  # of speech of each side in a pair

Verdict = Literal["closer", "apart", "together", "opposed", "unclear"]
Array = NDArray[np.float64]


class Pair(msgspec.Struct, frozen=True):
    """A stretch in which both spoke for at least 2 s, with the value of each side, weighted by speech."""

    start_s: float
    end_s: float
    agent: float
    customer: float

    @property
    def distance(self) -> float:
        return abs(self.agent - self.customer)


class Adaptation(msgspec.Struct, frozen=True):
    """One measure of both sides over the call. unclear: too few pairs, or no more than chance would show.

    convergence: correlation of the distance with time, negative where both come closer; synchrony: correlation of both
    sides' changes. `_p`: how often chance alone shows as much. distance_start, distance_end: mean distance of the
    first and the last third of the pairs, and likewise the values of each side.
    """

    verdict: Verdict
    pairs: tuple[Pair, ...]
    convergence: float | None = None
    convergence_p: float | None = None
    synchrony: float | None = None
    synchrony_p: float | None = None
    distance_start: float | None = None
    distance_end: float | None = None
    agent_start: float | None = None
    agent_end: float | None = None
    customer_start: float | None = None
    customer_end: float | None = None


def tempo_adaptation(steps: Sequence[Step], duration_s: float) -> Adaptation:
    """Of both sides' articulation rates, in syllables per second."""
    return adaptation(
        pairs_of(
            [(one.agent_tempo_syll_s, one.agent_talk_s) for one in steps],
            [(one.customer_tempo_syll_s, one.customer_talk_s) for one in steps],
            _edges(steps, duration_s),
        )
    )


def level_adaptation(steps: Sequence[Step], duration_s: float) -> Adaptation:
    """Of both sides' levels, each against the own baseline in the call, in dB."""
    return adaptation(
        pairs_of(
            [(one.agent_level_db, one.agent_talk_s) for one in steps],
            [(one.customer_level_db, one.customer_talk_s) for one in steps],
            _edges(steps, duration_s),
        )
    )


def _edges(steps: Sequence[Step], duration_s: float) -> list[float]:
    return [*(one.start_s for one in steps), duration_s]


Spoken = tuple[float | None, float]
"""A value, and the seconds of speech it is of."""


def pairs_of(agent: Sequence[Spoken], customer: Sequence[Spoken], edges: Sequence[float]) -> list[Pair]:
    """Steps joined until both sides have spoken long enough; what is left at the end is left out."""
    pairs: list[Pair] = []
    held: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    start_s = edges[0] if edges else 0.0
    for both, end_s in zip(zip(agent, customer, strict=True), edges[1:], strict=True):
        for own, (value, talk_s) in zip(held, both, strict=True):
            if value is not None and talk_s > 0.0:
                own.append((value, talk_s))
        if all(sum(talk_s for _, talk_s in own) >= LEAST_S for own in held):
            values = [sum(value * talk_s for value, talk_s in own) / sum(talk_s for _, talk_s in own) for own in held]
            pairs.append(Pair(start_s, end_s, values[0], values[1]))
            held, start_s = ([], []), end_s
    return pairs


def adaptation(pairs: Sequence[Pair]) -> Adaptation:
    if len(pairs) < LEAST_PAIRS:
        return Adaptation("unclear", tuple(pairs))
    at_s = np.array([(one.start_s + one.end_s) / 2.0 for one in pairs])
    agent, customer = np.array([[one.agent, one.customer] for one in pairs]).T
    distance = np.abs(agent - customer)
    apart = _without_trend(distance, at_s)
    convergence = _correlation(distance, at_s)
    alike = min(max(_neighbour(apart), 0.0), 0.95)
    convergence_p = _chance(convergence, len(pairs) * (1.0 - alike) / (1.0 + alike))
    own, other = np.diff(agent), np.diff(customer)
    synchrony = _correlation(own, other)
    alike = max(_neighbour(own) * _neighbour(other), 0.0)  # a change shares a value with the next one alone
    synchrony_p = _chance(synchrony, (len(pairs) - 1) / (1.0 + 2.0 * alike))
    verdict: Verdict = "unclear"
    if convergence_p <= ALPHA:
        verdict = "closer" if convergence < 0.0 else "apart"
    elif synchrony_p <= ALPHA:
        verdict = "together" if synchrony > 0.0 else "opposed"
    third = max(2, len(pairs) // 3)
    return Adaptation(
        verdict,
        tuple(pairs),
        convergence,
        convergence_p,
        synchrony,
        synchrony_p,
        *(float(part.mean()) for values in (distance, agent, customer) for part in (values[:third], values[-third:])),
    )


def _without_trend(values: Array, at_s: Array) -> Array:
    """What a straight line by least squares leaves."""
    at = at_s - at_s.mean()
    square = float(at @ at)
    slope = float(at @ values) / square if square > 0.0 else 0.0
    left: Array = values - values.mean() - slope * at
    return left


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = sqrt(float(a @ a) * float(b @ b))
    return min(1.0, max(-1.0, float(a @ b) / size)) if size > 1e-12 else 0.0


def _neighbour(values: Array) -> float:
    """Correlation of each value with the next."""
    return _correlation(values[:-1], values[1:])


def _chance(correlation: float, independent: float) -> float:
    """How often chance shows a correlation so far from 0 among so many independent pairs."""
    freedom = independent - 3.0
    if freedom <= 1.0:
        return 1.0
    return erfc(atanh(min(abs(correlation), 1.0 - 1e-9)) * sqrt(freedom) / sqrt(2.0))
