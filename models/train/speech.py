"""Train the network of `vocal_kernels.speech` and judge it on speakers that it has not heard.

    python models/train/speech.py --data DATA --spoken FOLDER --out kernels/vocal_kernels/weights/speech.npz [--judge]

DATA holds emodb (phone labels), kerstin_de and thorsten_samples (speech by level; both clean) and ESC-10; all may train
shipped weights. FOLDER keeps the synthetic speech. What else a line carries is made here: noise, babble, music, tones,
everyday sounds. Numbers come from a seed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import vocal_kernels as vk
from lines import hard_stream
from networks import SEEN, STEPS_PER_TICK, STREAM_S, Plan, Pool, fit, outputs, pooled, save
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt
from sklearn.metrics import roc_auc_score
from spoken import spoken
from streams import Clip, babble, emodb, other_sounds, readers
from telephone import RATE_HZ, active_power, alaw
from torch import nn

DELAY_TICKS = 3
FIRST, HELD = 56, 72
STREAMS = 2000
PLAN = Plan("speech", DELAY_TICKS, rounds=2000, batch=84, segment_ticks=300, rest=1.5)
PAIRS = [("03", "08"), ("10", "09"), ("11", "13"), ("12", "14"), ("15", "16")]
CONDITIONS = [f"white {snr}" for snr in (40, 20, 10, 5, 0)] + [f"babble {snr}" for snr in (20, 10, 5, 0)]


class Speech(nn.Module):
    """Speech in both steps of the tick DELAY_TICKS before; `mean` and `scale` end up in the first layer."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        sample = pool.seen[::7].astype(np.float32).reshape(-1, SEEN)
        self.mean = torch.tensor(np.tile(sample.mean(axis=0), STEPS_PER_TICK))
        self.scale = torch.tensor(np.tile(1.0 / sample.std(axis=0), STEPS_PER_TICK))
        self.first = nn.Linear(STEPS_PER_TICK * SEEN, FIRST)
        self.cell = nn.GRU(FIRST, HELD, batch_first=True)
        self.last = nn.Linear(HELD, STEPS_PER_TICK)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(torch.relu(self.first((x - self.mean) * self.scale)))
        y, _ = self.cell(y)
        return self.last(self.drop(y))

    def layers(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        weight = self.first.weight * self.scale
        given, own = self.cell.weight_ih_l0, self.cell.weight_hh_l0
        given_bias, own_bias = self.cell.bias_ih_l0, self.cell.bias_hh_l0
        return {
            "first": (weight, self.first.bias - weight @ self.mean),
            "gates": (torch.cat([given[: 2 * HELD], own[: 2 * HELD]], 1), (given_bias + own_bias)[: 2 * HELD]),
            "fresh": (given[2 * HELD :], given_bias[2 * HELD :]),
            "old": (own[2 * HELD :], own_bias[2 * HELD :]),
            "last": (self.last.weight, self.last.bias),
        }


def synthetic(folder: Path) -> list[list[Clip]]:
    return [[clip for clip in spoken(kind, folder) if len(clip.samples) > RATE_HZ] for kind in ("espeak", "flite")]


def train(clips: list[Clip], made: list[list[Clip]], data: Path, seed: int) -> Speech:
    """made: synthetic speech."""
    rng = np.random.default_rng(seed)
    voices, sounds = [[*clips, *readers(data)], *made], other_sounds(data)
    pool = pooled([hard_stream(rng, STREAM_S, voices, sounds) for _ in range(STREAMS)])
    return fit(Speech(pool), pool, PLAN, seed)


def line(clips: list[Clip], vary_db: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Utterances at -26 dBov, give or take half of `vary_db`, with 0.4-4 s of nothing between; speech per step."""
    rng = np.random.default_rng(seed)
    band = butter(6, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    samples, speech = [], []
    for i in rng.permutation(len(clips)):
        clip, gap = clips[i], int(rng.uniform(0.4, 4) * 100)
        level_db = -26 + rng.uniform(-vary_db / 2, vary_db / 2)
        x = clip.samples[: len(clip.speech) * 80]
        gain = np.sqrt(10 ** (level_db / 10) / active_power(sosfilt(band, x)))
        samples += [np.zeros(gap * 80), x * gain]
        speech += [np.zeros(gap, np.float32), clip.speech]
    return sosfilt(band, np.concatenate(samples)), np.concatenate(speech)


def noisy(voice: NDArray[np.float64], condition: str, babbling: NDArray[np.float64], seed: int) -> NDArray[np.float32]:
    """With white noise or babble so many dB under -26 dBov over everything, A-law."""
    kind, snr_db = condition.split()
    rng = np.random.default_rng(seed)
    band = butter(6, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    noise = sosfilt(band, np.resize(babbling, len(voice)) if kind == "babble" else rng.normal(size=len(voice)))
    noise *= 10 ** ((-26 - float(snr_db)) / 20) / np.sqrt(np.mean(noise**2))
    return alaw(np.clip(voice + noise, -1, 0.9999))


def judge(clips: list[Clip], made: list[list[Clip]], data: Path, seed: int) -> None:
    """Two speakers are left out at a time; mean area under the curve over the five streams."""
    table: dict[tuple[str, float], list[float]] = {}
    for pair in PAIRS:
        heard = [clip for clip in clips if clip.speaker not in pair]
        left = [clip for clip in clips if clip.speaker in pair]
        network = train(heard, made, data, seed)
        babbling = babble(np.random.default_rng(seed), RATE_HZ * 60, heard, 12)
        for vary_db in (0.0, 30.0):
            voice, speech = line(left, vary_db, seed)
            judged = ~np.isnan(speech)
            for condition in CONDITIONS:
                rows = vk.extract([noisy(voice, condition, babbling, seed)])[0]
                score = outputs(network, rows, DELAY_TICKS)
                table.setdefault((condition, vary_db), []).append(roc_auc_score(speech[judged], score[judged]))
    for (condition, vary_db), found in table.items():
        print(f"{condition} dB, levels within {vary_db:.0f} dB: AUC {np.mean(found):.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--spoken", type=Path, required=True, help="folder of the synthetic speech; made if missing")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", action="store_true", help="also leave speakers out, five times")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    clips, made = emodb(arguments.data), synthetic(arguments.spoken)
    save(arguments.out, train(clips, made, arguments.data, arguments.seed).layers())
    if arguments.judge:
        judge(clips, made, arguments.data, arguments.seed)


if __name__ == "__main__":
    main()
