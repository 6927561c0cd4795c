"""What a classifier is worth, each figure by its definition. Labels are arrays of words; "" is no answer."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .corpora import Array

Words = NDArray[np.str_]
Flags = NDArray[np.bool_]

BINS = 10


class Bin(NamedTuple):
    """Of so many answers whose mean confidence was `sure`, the share `right` was right."""

    sure: float
    right: float
    answers: int


def uar(truth: Words, guess: Words) -> float:
    """Unweighted average recall: the mean over the classes of the share found of each."""
    return float(np.mean([np.mean(guess[truth == label] == label) for label in np.unique(truth)]))


def recalls(truth: Words, guess: Words, classes: tuple[str, ...]) -> Array:
    """(classes, classes): of each true class, a row, what share was taken for which."""
    counts = np.array([[np.sum((truth == t) & (guess == g)) for g in classes] for t in classes], np.float64)
    shares: Array = counts / np.maximum([[np.sum(truth == t)] for t in classes], 1)
    return shares


def f1(truth: Flags, guess: Flags) -> float:
    """2 TP / (2 TP + FP + FN)."""
    wrong = int((truth != guess).sum())
    hits = int((truth & guess).sum())
    return 2 * hits / (2 * hits + wrong) if hits + wrong else 1.0


def ranks(values: Array) -> Array:
    """From 1; equal values share the mean of their ranks."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[index]


def auc(truth: Flags, score: Array) -> float:
    """Area under the ROC curve: how often one that is scores above one that is not; half where they tie."""
    n = int(truth.sum())
    return float((ranks(score)[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def roc(truth: Flags, score: Array) -> list[tuple[float, float]]:
    """(share of false alarms, share of hits) at each threshold from the strictest on."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    hits, alarms = np.cumsum(truth[order]), np.cumsum(~truth[order])
    x, y = alarms[last] / max(int(alarms[-1]), 1), hits[last] / max(int(hits[-1]), 1)
    return [(0.0, 0.0), *zip(x.tolist(), y.tolist(), strict=True)]


def ccc(truth: Array, guess: Array) -> float:
    """Lin's concordance correlation coefficient."""
    shared = float(np.mean((truth - truth.mean()) * (guess - guess.mean())))
    return 2 * shared / float(truth.var() + guess.var() + (truth.mean() - guess.mean()) ** 2)


def rank_correlation(a: Array, b: Array) -> float:
    """Spearman's."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def reliability(sure: Array, right: Flags) -> list[Bin]:
    """Answers by their confidence in BINS equal bins; empty ones are left out."""
    bins = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    return [
        Bin(float(sure[bins == b].mean()), float(right[bins == b].mean()), int((bins == b).sum()))
        for b in np.unique(bins)
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: how far confidence and share right are apart, over all answers."""
    return sum(abs(b.sure - b.right) * b.answers for b in bins) / sum(b.answers for b in bins)
