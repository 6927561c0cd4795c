"""Train the syllable network of `vocal_kernels.tempo` and judge it on speakers, and on texts, that it has not heard.

    python models/train/tempo.py --data DATA --spoken SPOKEN --out kernels/vocal_kernels/weights/tempo.npz [--judge]

DATA holds emodb (syllable and phone labels), kerstin_de (kerstin_syllables.csv: counts of 119 sentences, by their text)
and ESC-10; all may train shipped weights. SPOKEN is a folder for synthetic speech, made there by espeak-ng and flite,
which must be installed. The shipped network never hears UNHEARD_SPEAKERS and UNHEARD_TEXTS, as the one behind F0 does
not; --judge prints how it does on them. Every number comes from a seed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import vocal_kernels as vk
from networks import SEEN, STEPS_PER_TICK, Plan, Pool, fit, joined, make_pool, outputs, save
from numpy.typing import NDArray
from spoken import spoken
from streams import Clip, babble, emodb, other_sounds, readers
from telephone import Line, through
from torch import nn

DELAY_TICKS = 9
FIRST, SECOND, THIRD = 40, 64, 56
SECOND_TICKS = 7
THIRD_TAKEN, THIRD_STRIDE = 5, 3
DROPPED = 0.1
STREAMS, SPOKEN_STREAMS = 960, {"flite": 90, "espeak": 90}
PLAN = Plan(
    "density", DELAY_TICKS, rounds=20000, batch=32, segment_ticks=300, counting=0.3, is_quick=True, stretch=0.15
)

UNHEARD_SPEAKERS, UNHEARD_TEXTS = ("03", "08"), ("a01", "b01")


class Tempo(nn.Module):
    """Share of a syllable in both steps of the tick DELAY_TICKS before; `mean`, `scale` end up in the first layer."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        sample = pool.seen[::7].astype(np.float32).reshape(-1, SEEN)
        self.mean = torch.tensor(np.tile(sample.mean(axis=0), STEPS_PER_TICK))
        self.scale = torch.tensor(np.tile(1.0 / sample.std(axis=0), STEPS_PER_TICK))
        self.first = nn.Linear(STEPS_PER_TICK * SEEN, FIRST)
        self.second = nn.Linear(SECOND_TICKS * FIRST, SECOND)
        self.third = nn.Linear(THIRD_TAKEN * SECOND, THIRD)
        self.last = nn.Linear(THIRD, STEPS_PER_TICK)
        self.drop = nn.Dropout(DROPPED)
        nn.init.constant_(self.last.bias, -3.0)

    @staticmethod
    def _beside(x: torch.Tensor, count: int, stride: int) -> torch.Tensor:
        """Each tick with those before it, oldest first; nothing before the first."""
        before = (count - 1) * stride
        padded = nn.functional.pad(x, (0, 0, before, 0))
        return torch.cat([padded[:, i * stride : i * stride + x.shape[1]] for i in range(count)], -1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self._rectified(self.first((x - self.mean) * self.scale))
        y = self._rectified(self.second(self._beside(y, SECOND_TICKS, 1)))
        return self.last(self._rectified(self.third(self._beside(y, THIRD_TAKEN, THIRD_STRIDE))))

    def _rectified(self, y: torch.Tensor) -> torch.Tensor:
        """Without DROPPED of the outputs while it is trained, the same ones over all of a segment."""
        y = torch.relu(y)
        return y * self.drop(torch.ones(len(y), 1, y.shape[2])) if self.training else y

    def layers(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        weight = self.first.weight * self.scale
        stored = {"first": (weight, self.first.bias - weight @ self.mean)}
        stored |= {name: (getattr(self, name).weight, getattr(self, name).bias) for name in ("second", "third", "last")}
        return stored


def synthetic(data: Path, folder: Path, seed: int) -> Pool:
    sounds = other_sounds(data)
    return joined(
        [make_pool(seed + 1, count, spoken(kind, folder), sounds, True) for kind, count in SPOKEN_STREAMS.items()]
    )


def train(clips: list[Clip], made: Pool, data: Path, seed: int) -> Tempo:
    """made: streams of synthetic speech."""
    counted = [clip for clip in readers(data) if clip.text.startswith("count")]
    pool = joined([make_pool(seed, STREAMS, [*clips, *counted], other_sounds(data), is_dense=True), made])
    return fit(Tempo(pool), pool, PLAN, seed)


def rates(network: Tempo, clips: list[Clip], snr_db: float, noise: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """(utterances, 2): syllables a second as found and labelled, over the labelled utterance, at 300-3400 Hz, A-law."""
    rng = np.random.default_rng(1)
    lead = np.zeros(8000, np.float32)
    lines = [through(np.concatenate([lead, c.samples, lead]), 8000, Line(snr_db=snr_db), rng, noise) for c in clips]
    found = []
    for clip, rows in zip(clips, vk.extract(lines), strict=True):
        density = outputs(network, rows, DELAY_TICKS)
        first, last = 95 + int(clip.start * 100), 106 + int(clip.end * 100)
        seconds = clip.end - clip.start
        found.append((density[first:last].sum() / seconds, len(clip.nuclei) / seconds))
    return np.array(found)


def judge(network: Tempo, heard: list[Clip], left: list[Clip], seed: int) -> None:
    """On all of the speakers that were left out, and on their texts that nobody said in training."""
    others = babble(np.random.default_rng(seed), 8000 * 60, heard, 12)
    unheard = np.array([clip.text not in {other.text for other in heard} for clip in left])
    for name, snr_db, noise in (("clean", 40.0, None), ("white 10 dB", 10.0, None), ("babble 10 dB", 10.0, others)):
        pairs = rates(network, left, snr_db, noise)
        for what, some in (("speakers", pairs), ("speakers and texts", pairs[unheard])):
            found, true = some.T
            error = np.abs(found - true).mean()
            print(f"{name}, unheard {what}: r {np.corrcoef(found, true)[0, 1]:.3f}, mean error {error:.3f} syll/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--spoken", type=Path, required=True, help="folder of the synthetic speech; made if missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", action="store_true", help="print how it does on what it never heard")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = emodb(arguments.data)
    heard = [clip for clip in clips if clip.speaker not in UNHEARD_SPEAKERS and clip.text not in UNHEARD_TEXTS]
    made = synthetic(arguments.data, arguments.spoken, arguments.seed)
    network = train(heard, made, arguments.data, arguments.seed)
    save(arguments.out, network.layers())
    if arguments.judge:
        judge(network, heard, [clip for clip in clips if clip.speaker in UNHEARD_SPEAKERS], arguments.seed)


if __name__ == "__main__":
    main()
