"""A kernel machine in closed form: every two categories told apart by least squares over kernels, then a vote.

    z = (x - mean) / spread, of positions trust * (x - centre) / spread, within 5 of 0
    k = exp(-WIDTH |z - landmark|^2 / d)      to each of the landmarks, rows of the training data (Nystroem's method)
    f = tanh(STEEP k A)                       one column for each pair of categories, +1 the first, -1 the second
    votes = f V                               for each category over its pairs

Where a track of the voice stands says more of the voice and the line than of the mood, so positions count only against
the speaker's own centre, as far as that is trusted; how it is spread and moves counts as it is. A is the ridge
regression of each pair, both categories weighing alike (Suykens & Vandewalle 1999; Williams & Seeger 2001). Nothing is
descended and nothing depends on a start: every speaker can be left out in turn within a minute.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

WIDTH = 0.45
RIDGE = 5e-4
STEEP = 2.0
FAR = 5.0

Array = NDArray[np.float64]


@dataclass
class Machine:
    """mean, scale: (FUNCTIONALS,); landmarks: (m, FUNCTIONALS) in halves of precision; mixing: (m, pairs), A above;
    voting: (pairs, categories), V above; sharp: what the votes are multiplied by before the softmax."""

    mean: Array
    scale: Array
    landmarks: NDArray[np.float16]
    mixing: Array
    voting: Array
    sharp: float = 1.0

    def standing(self, x: Array, centre: Array, trust: Array) -> NDArray[np.float32]:
        own = np.where(vk.IS_POSITION, trust * (x - centre), x - self.mean) * self.scale
        return np.clip(own, -FAR, FAR).astype(np.float32)

    def votes(self, x: Array, centre: Array, trust: Array) -> tuple[Array, Array]:
        """Votes (n, categories), and how near each row lies to the landmarks, 0-1 (n,)."""
        k = kernel(self.standing(x, centre, trust), self.landmarks.astype(np.float32))
        return np.tanh(STEEP * (k @ self.mixing)) @ self.voting, k.mean(1)

    def probabilities(self, x: Array, centre: Array, trust: Array) -> Array:
        return softmax(self.sharp * self.votes(x, centre, trust)[0])


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def kernel(z: NDArray[np.float32], landmarks: NDArray[np.float32]) -> Array:
    """(n, m), 1 where a row is the landmark."""
    square = (z * z).sum(1)[:, None] + (landmarks * landmarks).sum(1)[None] - 2.0 * z @ landmarks.T
    return np.exp(-WIDTH / z.shape[1] * np.maximum(square, 0.0).astype(np.float64))


def fit(
    x: Array,
    centre: Array,
    trust: Array,
    labels: NDArray[np.int64],
    weight: Array,
    categories: int,
    landmarks: int,
    rng: np.random.Generator,
) -> Machine:
    """x, centre: (n, FUNCTIONALS); trust: (n, 1); labels, weight: (n,), of a row within its category."""
    away = np.where(vk.IS_POSITION, trust * (x - centre), x)
    known = trust[:, 0] > 0
    mean = np.where(vk.IS_POSITION, 0.0, away.mean(0))
    spread = np.where(vk.IS_POSITION, away[known].std(0) if known.any() else 1.0, away.std(0))
    machine = Machine(mean, 1.0 / (spread + 1e-6), np.zeros((0, 0), np.float16), np.zeros(0), np.zeros(0))
    z = machine.standing(x, centre, trust)
    machine.landmarks = z[rng.choice(len(z), min(landmarks, len(z)), replace=False)].astype(np.float16)
    chosen = machine.landmarks.astype(np.float32)
    among = RIDGE * kernel(chosen, chosen)
    among[np.diag_indices_from(among)] += 1e-8
    grams, sums = [], []
    for category in range(categories):
        of = labels == category
        k = kernel(z[of], chosen)
        share = weight[of] / weight[of].sum()
        grams.append((k * share[:, None]).T @ k)
        sums.append(share @ k)
    pairs = list(itertools.combinations(range(categories), 2))
    machine.mixing, machine.voting = np.zeros((len(chosen), len(pairs))), np.zeros((len(pairs), categories))
    for p, (i, j) in enumerate(pairs):
        machine.mixing[:, p] = cho_solve(cho_factor(grams[i] + grams[j] + among, overwrite_a=True), sums[i] - sums[j])
        machine.voting[p, [i, j]] = 1.0, -1.0
    return machine
