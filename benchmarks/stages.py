"""Where the front end's time goes: each stage of `vocal_kernels.advance` alone, over a block that has heard speech.

Operations and bytes are counted from the sizes in `vocal_kernels.layout`: additions and multiplications of float32, and
rows read or written, per frame of 10 ms and channel. The machine's limits are measured beside them: multiplications and
additions in registers, of float32 and, where it has them, of pairs of bfloat16, as the networks use them; and reads and
writes of an array as big as a block's working set (it stays in the cache).
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import vocal_kernels as vk
from numba import njit
from vocal_kernels import layout
from vocal_kernels.frontend import _advance as whole_kernel
from vocal_kernels.lanes import TAKES_PAIRS, add_products, load, splat, store
from vocal_kernels.level import read_samples
from vocal_kernels.network import BLOCK
from vocal_kernels.pitch import FIRST_BIN, LAST_BIN, track
from vocal_kernels.quality import voice_quality
from vocal_kernels.seen import see
from vocal_kernels.spectrum import MEL_FIRST, MEL_LAST, mel_levels, two_autocorrelations, two_spectra
from vocal_kernels.speech import boundaries, noise_floor, score
from vocal_kernels.tempo import syllables

from .clock import Timed, cpu_s, timed_cpu
from .rows import Row, timed

ROW_BYTES = 4
REPEATS = 3000
PLACES = 3
FEATURES, HOPS, BINS = layout.FEATURES, layout.HOPS, layout.BINS
STEP = 8  # any, whose row has been written
VOICED_STEP = 40  # one whose F0 no other stage writes
VOICED_SHARE = 0.5


@njit(nogil=True)
def _samples(pcm, state, count):
    fresh = layout.HISTORY_SAMPLES - layout.TICK_SAMPLES
    for tick in range(count):
        moved = tick % layout.HISTORY_TICKS * layout.TICK_SAMPLES
        if moved == 0:
            for n in range(fresh):
                store(state.history, n, load(state.history, n + layout.HISTORY_TICKS * layout.TICK_SAMPLES))
        for hop in range(HOPS):
            at = hop * layout.HOP_SAMPLES
            read_samples(pcm, at, STEP + hop, state.history, moved + fresh + at, state.rows, state.features)


@njit(nogil=True)
def _spectra(pcm, state, count):
    for _ in range(count):
        two_spectra(state.history, 240, 80, state.real, state.imag, state.power)


@njit(nogil=True)
def _correlations(pcm, state, count):
    for _ in range(count):
        two_autocorrelations(state.power, FIRST_BIN, LAST_BIN, state.real, state.imag)


@njit(nogil=True)
def _mel(pcm, state, count):
    for _ in range(count):
        for hop in range(HOPS):
            mel_levels(state.power, hop * BINS, state.features, (STEP + hop) * FEATURES + layout.MEL)


@njit(nogil=True)
def _pitch(pcm, state, count):
    for _ in range(count):
        for hop in range(HOPS):
            track(state.real if hop == 0 else state.imag, hop, STEP + hop, state)


@njit(nogil=True)
def _quality(pcm, state, count):
    for _ in range(count // 2):  # it has its turn each 40 ms
        state.rows[layout.AGE] = 0.0
        voice_quality(state.history, state.features, VOICED_STEP * FEATURES, state.rows, state.window, state.cycles)


@njit(nogil=True)
def _seen(pcm, state, count):
    for _ in range(count):
        for hop in range(HOPS):
            at = layout.SEEN + hop * layout.SEEN_PER_STEP
            see(state.features, (STEP + hop) * FEATURES, state.rows, state.net, at)


@njit(nogil=True)
def _syllables(pcm, state, count):
    for _ in range(count):
        syllables(state, STEP // HOPS, STEP * FEATURES, (STEP + 1) * FEATURES)


@njit(nogil=True)
def _score(pcm, state, count):
    for _ in range(count):
        score(state, STEP * FEATURES, (STEP + 1) * FEATURES)
        for hop in range(HOPS):
            noise_floor(state.features, (STEP + hop) * FEATURES, state.rows)


@njit(nogil=True)
def _boundaries(state, boundary, until, count):
    for _ in range(count):
        for hop in range(HOPS):
            boundaries(state.features, STEP + hop, boundary, state.counts, until, state.records, 0)


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def _multiply(count, out):
    """Twenty chains in registers, each a multiplication and an addition a turn."""
    factor, a, b, c, d = splat(1.0000001), splat(0.1), splat(0.2), splat(0.3), splat(0.4)
    e, f, g, h, i = splat(0.5), splat(0.6), splat(0.7), splat(0.8), splat(0.9)
    for _ in range(count):
        a, b, c, d, e = a * factor + d, b * factor + e, c * factor + a, d * factor + b, e * factor + c
        f, g, h, i = f * factor + a, g * factor + b, h * factor + c, i * factor + d
    store(out, 0, a + b + c + d + e + f + g + h + i)


@njit(nogil=True)
def _multiply_pairs(count, weights, out):
    """Nine chains in registers, each two multiplications and additions a turn."""
    x, a, b, c, d = splat(0.0), splat(0.1), splat(0.2), splat(0.3), splat(0.4)
    e, f, g, h, i = splat(0.5), splat(0.6), splat(0.7), splat(0.8), splat(0.9)
    for _ in range(count):
        a, b, c = add_products(a, x, weights, 0), add_products(b, x, weights, 1), add_products(c, x, weights, 2)
        d, e, f = add_products(d, x, weights, 3), add_products(e, x, weights, 4), add_products(f, x, weights, 5)
        g, h, i = add_products(g, x, weights, 6), add_products(h, x, weights, 7), add_products(i, x, weights, 8)
    store(out, 0, a + b + c + d + e + f + g + h + i)


@njit(nogil=True)
def _copy(count, source, target):
    for _ in range(count):
        for n in range(len(source)):
            store(target, n, load(source, n) + 1.0)
        source, target = target, source


def weights_of(layers: dict[str, tuple[int, int]]) -> int:
    return sum(outputs * inputs for outputs, inputs in layers.values())


class Stage(NamedTuple):
    """operations, rows, products: per frame and channel; products: operations of networks, which come in pairs where
    the machine has that."""

    name: str
    kernel: Callable[..., Any]
    operations: float
    rows: float
    products: float = 0.0


def stages() -> list[Stage]:
    transform = 5 * layout.FFT_SIZE * np.log2(layout.FFT_SIZE) / HOPS
    passes = 4.5 * 2 * 2 * layout.FFT_SIZE / HOPS
    pitch, tempo, speech = map(weights_of, (layout.PITCH_LAYERS, layout.TEMPO_LAYERS, layout.SPEECH_LAYERS))
    at_once = 2 * BLOCK if TAKES_PAIRS else BLOCK  # products that a row read once takes part in
    lags = layout.LAG_ROWS
    return [
        Stage("samples: levels, loudness", _samples, 29 * layout.HOP_SAMPLES, 9 * layout.HOP_SAMPLES),
        Stage("spectra", _spectra, transform + 400 + 6 * BINS, passes + 3 * 400 + 3 * BINS),
        Stage("autocorrelations", _correlations, transform + 4 * BINS, passes + 5 * BINS),
        Stage("mel bands", _mel, 2 * float((MEL_LAST - MEL_FIRST + 1).sum()), float((MEL_LAST - MEL_FIRST + 1).sum())),
        Stage(
            "F0 and voicing", _pitch, 40 * lags + 14 * 128 + 39 * 16, pitch / at_once + 8 * lags + 8 * 300, 2 * pitch
        ),
        # A cycle of n samples is compared at 0.12 n lags over 2/3 n, twice n for n lags: 0.16 n a sample of 50 ms.
        Stage("voice quality", _quality, VOICED_SHARE * 0.16 * 60 * 400 / HOPS / 2, VOICED_SHARE * 400 / HOPS / 2),
        Stage("what networks see", _seen, 14 * layout.MEL_BANDS, 6 * layout.MEL_BANDS),
        Stage("syllables", _syllables, 0.0, (tempo / at_once + 2 * 800) / HOPS, 2 * tempo / HOPS),
        Stage("speech score", _score, 0.0, (speech / at_once + 6 * 64) / HOPS, 2 * speech / HOPS),
    ]


class Limits(NamedTuple):
    """Of one core, a second. products: of networks."""

    operations: float
    products: float
    bytes: float


def limits() -> Limits:
    out = np.zeros((1, vk.LANES), np.float32)
    _multiply(10, out)
    operations = products = 9 * 2 * vk.LANES * 1_000_000 / cpu_s(lambda: _multiply(1_000_000, out))
    if TAKES_PAIRS:
        weights = np.zeros(9, np.float32)
        _multiply_pairs(10, weights, out)
        products = 9 * 4 * vk.LANES * 1_000_000 / cpu_s(lambda: _multiply_pairs(1_000_000, weights, out))
    source, target = (np.zeros((4000, vk.LANES), np.float32) for _ in range(2))  # 512 kB together
    _copy(1, source, target)
    return Limits(operations, products, 2 * source.nbytes * 500 / cpu_s(lambda: _copy(500, source, target)))


def _make_typical(state: vk.State) -> None:
    """On half of the lanes a voice is heard at VOICED_STEP."""
    for lane in range(vk.LANES):
        heard = state.kept[lane, :, layout.F0_HZ]
        state.features[VOICED_STEP * FEATURES + layout.F0_HZ, lane] = np.median(heard[heard > 0]) if lane % 2 else 0.0


def rows(speech: np.ndarray) -> Iterator[Row]:
    """speech: (n,) of a call; each lane of the block hears it from another second on."""
    second = vk.RATE_HZ
    pcm = np.stack([np.roll(speech, -lane * second)[: 20 * second] for lane in range(vk.LANES)], axis=1)
    pcm = np.ascontiguousarray(pcm, np.float32)
    state, boundary, nobody = vk.new_state(), vk.Boundary(), np.zeros(vk.LANES, np.int64)
    for first in range(0, len(pcm), vk.MAX_TICKS * vk.TICK_SAMPLES):
        vk.advance(pcm[first : first + vk.MAX_TICKS * vk.TICK_SAMPLES], nobody, boundary, state)
    _make_typical(state)
    frames = REPEATS * HOPS * vk.LANES
    of_core = limits()
    told = [("multiply and add", of_core.operations, "GFLOP/s"), ("read and write, 512 kB", of_core.bytes, "GB/s")]
    if TAKES_PAIRS:
        told.insert(1, ("multiply and add, pairs of bfloat16", of_core.products, "GFLOP/s"))
    for what, a_second, unit in told:
        rate = a_second / 1e9
        yield Row("cost by stage", "limit of a core", what, "machine", rate, unit, None, "neither", (rate,))

    def cost(name: str, found: Timed, count: float) -> Row:
        per = "a frame of 10 ms"
        return timed("cost by stage", name, per, "vocal", found, lambda s: 1e9 * s / count, "ns", None, "lower")

    every_s: list[tuple[float, ...]] = []
    paces: list[float] = []
    tick = pcm[: vk.TICK_SAMPLES]
    seconds = len(pcm) // vk.RATE_HZ
    no_scores = np.zeros((0, vk.LANES), np.float32)

    def all_of_it() -> None:
        for first in range(0, len(pcm), vk.RATE_HZ):
            whole_kernel(pcm[first : first + vk.RATE_HZ], nobody, boundary, state, no_scores)

    whole, whole_frames = timed_cpu(all_of_it), seconds * vk.LANES / vk.HOP_S
    states = [vk.State(*(part.copy() for part in state)) for _ in range(PLACES)]
    every = [*stages(), Stage("boundaries", lambda _, s, n: _boundaries(s, boundary, nobody + 10**9, n), 0, 2)]
    for stage in every:
        stage.kernel(tick, state, 1)
        # Each time in another place of memory, as every process has its own.
        turns = itertools.cycle(states)
        found = timed_cpu(lambda stage=stage, turns=turns: stage.kernel(tick, next(turns), REPEATS))
        spent = found.least_s / frames
        every_s.append(found.times_s)
        paces.append(found.pace)
        needed_s = stage.operations / of_core.operations + stage.products / of_core.products
        possible = max(needed_s, stage.rows * ROW_BYTES / of_core.bytes)
        yield cost(stage.name, found, frames)
        yield Row(
            "cost by stage",
            stage.name,
            "operations a frame",
            "vocal",
            stage.operations + stage.products,
            "FLOP",
            None,
            "neither",
        )
        yield Row(
            "cost by stage", stage.name, "bytes moved a frame", "vocal", stage.rows * ROW_BYTES, "B", None, "neither"
        )
        share = 100.0 * possible / spent
        yield Row("cost by stage", stage.name, "of the machine's limit", "vocal", share, "%", None, "neither", (share,))
    summed = Timed(tuple(map(sum, zip(*every_s, strict=True))), float(np.median(paces)))
    yield cost("sum of the stages", summed, frames)
    yield cost("all in one kernel", whole, whole_frames)
