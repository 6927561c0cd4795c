"""The classical peers of emotion: openSMILE's functionals and a linear support vector machine.

Class-balanced, functionals as z-scores over the training set, C chosen inside it by groups of speakers. With speaker
normalisation the z-scores are first of all that speaker's recordings: unlabelled, but more than a live engine has.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .corpora import RATE_HZ, Array, Signal
from .peers import not_installed
from .results import Skipped
from .scores import Words, uar

Indices = NDArray[np.int64]
Functionals = NDArray[np.float32]

COSTS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
INNER_FOLDS = 5


class FeatureSet(NamedTuple):
    who: str
    name: str


SETS = (FeatureSet("eGeMAPS + SVM", "eGeMAPSv02"), FeatureSet("ComParE + SVM", "ComParE_2016"))


def missing() -> list[Skipped]:
    """What there is to install; nothing where both packages are."""
    try:
        import opensmile  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError:
        return [not_installed("emotion: openSMILE + SVM", "opensmile scikit-learn")]
    return []


@cache
def _smile(name: str) -> Any:
    import opensmile

    return opensmile.Smile(getattr(opensmile.FeatureSet, name), opensmile.FeatureLevel.Functionals, num_workers=1)


def functionals(features: FeatureSet, signals: Sequence[Signal], say: Callable[[str], None]) -> Functionals:
    """(signals, functionals); lost audio is silence to it, a functional that is not there is 0."""
    rows = []
    for i, signal in enumerate(signals):
        if i % 20 == 0:
            say(f"{features.who} hears recording {i + 1} of {len(signals)}")
        # Its longest window is 60 ms.
        padded = np.pad(np.nan_to_num(signal), (0, max(0, RATE_HZ // 4 - len(signal))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows.append(_smile(features.name).process_signal(padded, RATE_HZ).to_numpy()[0])
    return np.nan_to_num(np.array(rows, np.float32), posinf=0.0, neginf=0.0)


def by_speaker(x: Functionals, speakers: Words) -> Functionals:
    """z-scores over each speaker's rows."""
    out = np.empty_like(x)
    for speaker in np.unique(speakers):
        own = speakers == speaker
        out[own] = (x[own] - x[own].mean(axis=0)) / (x[own].std(axis=0) + 1e-6)
    return out


class Machine:
    """A linear support vector machine over the rows `of` of x. Classes are words, in the order of `classes`."""

    def __init__(self, x: Functionals, of: Indices, truth: Words, speakers: Words) -> None:
        from sklearn.model_selection import GroupKFold
        from sklearn.svm import SVC

        self._x, self._of = x, of
        self._mean = x[of].mean(axis=0, dtype=np.float64)
        self._spread = x[of].std(axis=0, dtype=np.float64)
        # What never varies in training says nothing, and must not say much in the test.
        self._spread = np.where(self._spread > 1e-6 * (1 + np.abs(self._mean)), self._spread, np.inf)
        y, groups = truth[of], speakers[of]
        gram = self._kernel(x[of])
        folds = min(INNER_FOLDS, len(np.unique(groups)))
        splits = list(GroupKFold(folds).split(gram, y, groups)) if folds > 1 else []
        splits = [(a, b) for a, b in splits if len(np.unique(y[a])) == len(np.unique(y))]

        def made(cost: float, gram: Array, y: Words) -> Any:
            return SVC(kernel="precomputed", C=cost, class_weight="balanced").fit(gram, y)

        def worth(cost: float) -> float:
            guess = np.concatenate(
                [made(cost, gram[np.ix_(a, a)], y[a]).predict(gram[np.ix_(b, a)]) for a, b in splits]
            )
            return uar(np.concatenate([y[b] for _, b in splits]), guess)

        self.cost = max(COSTS, key=worth) if splits else 1e-3
        self._svc = made(self.cost, gram, y)
        self.classes = tuple(str(label) for label in self._svc.classes_)

    def _z(self, x: Functionals) -> Functionals:
        z: Functionals = ((x - self._mean) / self._spread).astype(np.float32)
        return z

    def _kernel(self, x: Functionals) -> Array:
        return (self._z(x) @ self._z(self._x[self._of]).T).astype(np.float64)

    def scores(self, x: Functionals) -> Array:
        """(rows, classes): the higher the likelier; of two classes the second's is the first's negative."""
        found = self._svc.decision_function(self._kernel(x))
        return np.stack([-found, found], axis=1) if found.ndim == 1 else np.asarray(found)
