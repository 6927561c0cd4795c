"""What the training of `tempo` and `speech` shares: pools of streams, what the networks see, augmentation, the loop."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import vocal_kernels as vk
from numpy.typing import NDArray
from streams import Clip, Signal, Stream, stream
from torch import nn

STEPS_PER_TICK = 2
BANDS = vk.MEL_BANDS
SEEN = 2 * BANDS
STREAM_S = 24.0
RATE = 5e-3
AVERAGE = 0.99
"""The shipped weights are a running mean of those that are trained."""


def seen(mel_db: NDArray[np.floating]) -> NDArray[np.float32]:
    """What the networks see, (streams, steps, SEEN), of band levels (streams, steps, BANDS); vocal_kernels.seen."""
    count, steps, bands = mel_db.shape
    out = np.empty((count, steps, 2 * bands), np.float32)
    peak = np.full(count, -50.0)
    floor = np.zeros((count, bands))
    for t in range(steps):
        level = mel_db[:, t].astype(np.float64)
        top = level.max(axis=1)
        peak = np.maximum(np.where(top > peak, peak + 0.3 * (top - peak), peak - 0.03), -75.0)
        moved = np.where(floor > level, floor + 0.2 * (level - floor), np.minimum(level, floor + 0.02))
        floor = np.minimum(level, -55.0) if t < 5 else moved
        out[:, t, :bands] = np.clip((level - peak[:, None]) / 20.0, -3.0, 0.5) + 1.0
        out[:, t, bands:] = np.minimum((level - floor) / 20.0, 2.0)
    return out


@dataclass
class Pool:
    """seen (streams, steps, SEEN) float16; speech, density (streams, steps); spans: counted utterances of a stream."""

    seen: NDArray[np.float16]
    speech: NDArray[np.float32]
    density: NDArray[np.float32]
    spans: list[list[tuple[int, int, float]]]


def make_pool(seed: int, count: int, clips: Sequence[Clip], sounds: Sequence[Signal], is_dense: bool = False) -> Pool:
    rng = np.random.default_rng(seed)
    return pooled([stream(rng, STREAM_S, clips, sounds, is_dense) for _ in range(count)])


def pooled(made: Sequence[Stream]) -> Pool:
    rows = vk.extract([one.samples for one in made])
    mel_db = np.stack([table[:, vk.MEL : vk.MEL + BANDS] for table in rows])
    return Pool(
        seen(mel_db).astype(np.float16),
        np.stack([one.speech for one in made]),
        np.stack([one.density for one in made]),
        [one.spans for one in made],
    )


def joined(pools: Sequence[Pool]) -> Pool:
    return Pool(
        np.concatenate([pool.seen for pool in pools]),
        np.concatenate([pool.speech for pool in pools]),
        np.concatenate([pool.density for pool in pools]),
        [spans for pool in pools for spans in pool.spans],
    )


def by_tick(table: NDArray[np.floating]) -> NDArray[np.floating]:
    """(streams, steps, values) -> (streams, ticks, STEPS_PER_TICK * values)."""
    count, steps, values = table.shape
    ticks = steps // STEPS_PER_TICK
    return table[:, : ticks * STEPS_PER_TICK].reshape(count, ticks, STEPS_PER_TICK * values)


def warped(
    rng: np.random.Generator, x: NDArray[np.float32], y: NDArray[np.float32], steps: int, is_density: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """x (n, SEEN) and y (n,) at another tempo, which may drift, with formants moved: `steps` steps, and their places.

    A density keeps its sum over any stretch.
    """
    tempo = np.exp(rng.uniform(-0.4, 0.4)) if rng.random() < 0.8 else 1.0
    drift = np.ones(steps)
    if rng.random() < 0.5:
        knots = np.linspace(0, steps, steps // 100 + 2)
        drift = np.clip(1 + 0.15 * np.interp(np.arange(steps), knots, rng.normal(size=len(knots))), 0.7, 1.4)
    place = np.cumsum(tempo * drift) - tempo * drift[0]
    place *= min(1.0, (len(x) - 2) / place[-1])
    i = place.astype(np.int64)
    part = (place - i)[:, None].astype(np.float32)
    moved = x[i] * (1 - part) + x[i + 1] * part
    truth = y[i]
    if is_density:
        total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(y))])
        edges = np.append(place, 2 * place[-1] - place[-2])
        share = np.diff(np.interp(edges, np.arange(len(total)), total)).astype(np.float32)
        truth = np.where(np.isnan(truth), truth, share)
    band = np.arange(BANDS) * np.exp(rng.uniform(-0.1, 0.1)) + rng.uniform(-0.7, 0.7)
    band = np.clip(band, 0, BANDS - 1.001)
    j = band.astype(np.int64)
    share = (band - j).astype(np.float32)
    moved = moved.reshape(steps, 2, BANDS)
    moved = (moved[:, :, j] * (1 - share) + moved[:, :, j + 1] * share).reshape(steps, SEEN)
    return moved, truth, place


def disturbed(rng: np.random.Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x (streams, steps, SEEN) with another frequency response each, and in a fifth some bands missing."""
    knots = rng.normal(size=(len(x), 5)) * 0.2
    at = np.linspace(0, 4, BANDS)
    x[:, :, :BANDS] += np.stack([np.interp(at, np.arange(5), k) for k in knots]).astype(np.float32)[:, None]
    for one in np.flatnonzero(rng.random(len(x)) < 0.2):
        first, count = rng.integers(0, BANDS - 2), rng.integers(1, 4)
        x[one, :, first : min(first + count, BANDS)] = -1.5
        x[one, :, BANDS + first : min(BANDS + first + count, SEEN)] = 0.0
    return x


def counting_loss(
    logits: torch.Tensor,
    places: list[NDArray[np.float64]],
    spans: list[list[tuple[int, int, float]]],
    first: NDArray[np.int64],
) -> torch.Tensor:
    """Mean squared error of the syllables of whole utterances over their number; logits (streams, steps)."""
    total = torch.cat([torch.zeros(len(logits), 1), torch.sigmoid(logits).cumsum(1)], 1)
    found: list[tuple[int, int, int, float]] = []
    for one, (place, inside) in enumerate(zip(places, spans, strict=True)):
        for start, end, syllables in inside:
            a, b = start - first[one], end - first[one]
            if a >= 0 and b <= place[-1] and (last := int(np.searchsorted(place, b))) < total.shape[1]:
                found.append((one, int(np.searchsorted(place, a)), last, syllables))
    if not found:
        return torch.zeros(())
    one, a, b, syllables = zip(*found, strict=True)
    wanted = torch.tensor(syllables)
    counted = total[list(one), list(b)] - total[list(one), list(a)]
    return ((counted - wanted) ** 2 / (wanted + 2)).mean()


@dataclass(frozen=True)
class Plan:
    """truth: "speech" or "density"; the output at a tick is about the tick `delay_ticks` before. counting: weight of
    the error in whole utterances' syllables; rest: that of errors 0.2 s and more from any speech. is_quick: multiplies
    bfloat16. stretch: the levels under the peak are stretched or squeezed by up to this part."""

    truth: str
    delay_ticks: int
    rounds: int
    batch: int
    segment_ticks: int
    counting: float = 0.0
    rest: float = 1.0
    is_quick: bool = False
    stretch: float = 0.0


def near_speech(wanted: torch.Tensor) -> torch.Tensor:
    """Which ticks of (streams, ticks, STEPS_PER_TICK) are within 0.2 s of what may be speech."""
    spoken = (torch.nan_to_num(wanted, 1.0) > 0).any(dim=2).float()
    return nn.functional.max_pool1d(spoken[:, None], 21, stride=1, padding=10)[:, 0, :, None] > 0


def fit(network: nn.Module, pool: Pool, plan: Plan, seed: int) -> nn.Module:
    """Train on random segments of the pool; returns the running mean of the weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=plan.rounds, pct_start=0.1)
    table = getattr(pool, plan.truth)
    streams, length, _ = pool.seen.shape
    steps = plan.segment_ticks * STEPS_PER_TICK
    taken = min(round(steps * 1.5), length)
    network.train()
    for done in range(plan.rounds):
        which = rng.integers(0, streams, plan.batch)
        first = rng.integers(0, (length - taken) // STEPS_PER_TICK + 1, plan.batch) * STEPS_PER_TICK
        is_density = plan.truth == "density"
        pieces = [
            warped(rng, pool.seen[i, a : a + taken].astype(np.float32), table[i, a : a + taken], steps, is_density)
            for i, a in zip(which, first, strict=True)
        ]
        x = disturbed(rng, np.stack([piece[0] for piece in pieces]))
        if plan.stretch:
            factor = np.exp(rng.uniform(-plan.stretch, plan.stretch, (len(x), 1, 1))).astype(np.float32)
            x[:, :, :BANDS] = (x[:, :, :BANDS] - 1.0) * factor + 1.0
        y = by_tick(np.stack([piece[1] for piece in pieces])[:, :, None])
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.is_quick):
            logits = network(torch.tensor(by_tick(x)))[:, plan.delay_ticks :].float()
        wanted = torch.tensor(y[:, : plan.segment_ticks - plan.delay_ticks])
        judged = ~torch.isnan(wanted)
        judged[:, : 2 * plan.delay_ticks] = False
        errors = nn.functional.binary_cross_entropy_with_logits(
            logits, torch.nan_to_num(wanted).clamp(0, 1), reduction="none"
        )
        weight = judged.float()
        if plan.rest != 1.0:
            weight = weight * torch.where(near_speech(wanted), 1.0, plan.rest)
        loss = (errors * weight).sum() / weight.sum()
        if plan.counting:
            spans = [pool.spans[i] for i in which]
            loss = loss + plan.counting * counting_loss(logits.flatten(1), [piece[2] for piece in pieces], spans, first)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        keep = min(AVERAGE, (done + 1) / (done + 20))
        with torch.no_grad():
            for old, new in zip(mean.parameters(), network.parameters(), strict=True):
                old.mul_(keep).add_(new, alpha=1 - keep)
    return mean


def outputs(network: nn.Module, rows: NDArray[np.float32], delay_ticks: int) -> NDArray[np.float32]:
    """The network's output, 0-1, for each step of feature rows (steps, FEATURES)."""
    mel_db = rows[:, vk.MEL : vk.MEL + BANDS]
    more = np.repeat(mel_db[-1:], STEPS_PER_TICK * (delay_ticks + 1), axis=0)
    with torch.no_grad():
        logits = network(torch.tensor(by_tick(seen(np.concatenate([mel_db, more])[None]))))
    return torch.sigmoid(logits[0, delay_ticks:].flatten()[: len(rows)]).numpy()


def save(file: Path, layers: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Weights as `vocal_kernels.network` reads them: NAME.weight (outputs, inputs) and NAME.bias, float32."""
    arrays = {}
    for name, (weight, bias) in layers.items():
        arrays[f"{name}.weight"] = weight.detach().numpy().astype(np.float32)
        arrays[f"{name}.bias"] = bias.detach().numpy().astype(np.float32)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
