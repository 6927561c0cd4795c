"""Level and loudness against the standards: ITU-T P.56 and ITU-R BS.1770.

Active level: over the ITU's own recording, against what its tool reported (it ran at 16 kHz, whatever the recording
is), and through the front end at 8 kHz against P.56 counted sample by sample at 8 kHz: voice.nrm is then -29.7 dBov,
since -30 belongs to the other clock. Loudness: the standard's signals against their stated figures, and telephone
speech at 8 kHz against the standard's filter at 48 kHz. Errors in dB and LU, without sign. "always the mean" is of
all that is asked for.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import vocal_kernels as vk
from numpy.typing import NDArray

from . import peers as others
from .corpora import RATE_HZ, Array, Condition, Signal, emodb, generator, narrow, telephone
from .reading import pcm, read_exactly
from .results import Skipped
from .rows import Row
from .targets import target

Measure = Callable[[NDArray[np.floating], int], float]

TOOL_HZ = 16000
TOOL = {"voice.src": -25.329, "voice.nrm": -30.0}
"""dBov, from the log of the ITU's sv56demo."""

GATES = {"1770-2_Comp_RelGateTest.wav": -10.0, "1770-2_Comp_AbsGateTest.wav": -69.5}
SINES = {"sine997_0dBFS.pcm": -3.01, "sine997_0dBFS.26LKFS.pcm": -26.0}

# ITU-R BS.1770-5, tables 1 and 2: b0, b1, b2, a1, a2 at 48 kHz
WEIGHTING = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, -1.99004745483398, 0.99007225036621),
)


def envelope(samples: Array, rate_hz: int) -> Array:
    """P.56's: rectified and smoothed twice over 30 ms."""
    g = math.exp(-1 / (rate_hz * 0.03))
    out, p, q = np.empty(len(samples)), 0.0, 0.0
    for i, size in enumerate(np.abs(samples).tolist()):
        p = g * p + (1 - g) * size
        q = g * q + (1 - g) * p
        out[i] = q
    return out


def p56(samples: Array, rate_hz: int) -> float:
    """Active speech level, method B, sample by sample, 16 bits, margin 15.9 dB, hangover 0.2 s, in dBov."""
    energy, smooth = float((samples**2).sum()), envelope(samples, rate_hz)
    excess, levels = [], []
    for exponent in range(-15, 0):
        above = np.flatnonzero(smooth >= 2.0**exponent)
        if not len(above):
            break
        # Active: each sample above, and the hangover after it as far as the next, or the end, is away.
        reach = np.minimum(np.diff(above, append=len(samples)), round(0.2 * rate_hz) + 1)
        levels.append(10 * math.log10(energy / float(reach.sum())))
        excess.append(levels[-1] - 20 * exponent * math.log10(2) - 15.9)
    if not levels:
        return math.nan
    j = next((j for j, value in enumerate(excess) if value <= 0), 0)
    return float(np.interp(0.0, excess[j - 1 : j + 1][::-1], levels[j - 1 : j + 1][::-1])) if j else levels[-1]


def bs1770(samples: Array) -> float:
    """Integrated loudness of one channel at 48 kHz with the standard's own coefficients, in LUFS."""
    rate_hz = 48000
    n = len(samples) + rate_hz
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(n))
    response = np.ones(len(z), complex)
    for b0, b1, b2, a1, a2 in WEIGHTING:
        response *= (b0 + b1 * z + b2 * z * z) / (1 + a1 * z + a2 * z * z)
    weighted = np.fft.irfft(np.fft.rfft(samples, n) * response, n)[: len(samples)]
    parts = (weighted[: len(samples) // 4800 * 4800].reshape(-1, 4800) ** 2).mean(axis=1)
    blocks = np.convolve(parts, np.full(4, 0.25), "valid")
    blocks = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
    blocks = blocks[blocks > blocks.mean() / 10]
    return float(-0.691 + 10 * np.log10(blocks.mean()))


class Asked(NamedTuple):
    """In one condition: what is right, and what each says; the worst of them counts."""

    condition: str
    right: list[float]
    said: dict[str, list[float]]


def rows(data: Path, peers: bool) -> Iterator[Row | Skipped]:
    lines = _speech(data)
    methods: dict[str, Measure] = {"vocal": lambda samples, rate_hz: vk.loudness(samples, rate_hz).integrated_lufs}
    if peers:
        try:
            methods["pyloudnorm"] = _pyloudnorm()
        except ImportError:
            yield others.not_installed("level: pyloudnorm", "pyloudnorm")
    yield from _rows("active level, error", list(_levels(data, lines)), "dB")
    yield from _rows("loudness, error", list(_loudness(data, lines, methods)), "LU")


def _rows(name: str, asked: Sequence[Asked], unit: str) -> Iterator[Row]:
    mean = float(np.mean([value for one in asked for value in one.right]))
    for condition, right, said in asked:
        for who, values in {**said, "always the mean": [mean] * len(right)}.items():
            worst = float(np.max(np.abs(np.subtract(values, right))))
            aim = target("level", name) if who == "vocal" else None
            yield Row("level", name, condition, who, worst, unit, aim, "lower")


def _speech(data: Path) -> list[Signal]:
    """Twenty utterances over the telephone, at 8 kHz."""
    clean = Condition("clean", "none", 0.0)
    none = np.zeros(1)
    return [telephone(narrow(u.wide, u.rate_hz), clean, none, generator(u.name)) for u in emodb(data)[::27]]


def _levels(data: Path, lines: list[Signal]) -> Iterator[Asked]:
    folder = data / "itu_stl" / "src" / "sv56" / "test_data"
    for name, level_dbov in TOOL.items():
        voice = pcm(folder / name)
        step = TOOL_HZ // 100
        whole = len(voice) // step * step
        power = (voice[:whole].reshape(-1, step) ** 2).mean(axis=1)
        found = vk.active_level_db(power, envelope(voice, TOOL_HZ)[step - 1 : whole : step].copy())
        said = {"vocal": [found], "P.56 by samples, the reference": [p56(voice, TOOL_HZ)]}
        yield Asked(f"{name}, the ITU's tool", [level_dbov], said)
    for name in ("voice.src", "voice.nrm", "voice.ltl"):
        voice = pcm(folder / name)
        right = [p56(voice, RATE_HZ)]
        yield Asked(f"{name} at 8 kHz, P.56 by samples", right, {"vocal": [vk.active_level(voice)]})
    for gain_db in (0, -12, -24):
        scaled = [line.astype(np.float64) * 10 ** (gain_db / 20) for line in lines]
        condition = f"telephone speech at {-26 + gain_db} dBov, worst of {len(lines)}"
        right = [p56(line, RATE_HZ) for line in scaled]
        yield Asked(condition, right, {"vocal": [vk.active_level(line) for line in scaled]})


def _pyloudnorm() -> Measure:
    import pyloudnorm

    return lambda samples, rate_hz: float(pyloudnorm.Meter(rate_hz).integrated_loudness(samples))


def _loudness(data: Path, lines: list[Signal], methods: dict[str, Measure]) -> Iterator[Asked]:
    signals: dict[str, tuple[Array, int, float]] = {}
    for name, lufs in GATES.items():
        signals[name] = (*read_exactly(data / "loudness" / "pyloudnorm" / name), lufs)
    for name, lufs in SINES.items():
        path = data / "itu_stl" / "src" / "bs1770demo" / "test_data" / name
        signals[name] = (pcm(path, 6)[:, 0].copy(), 48000, lufs)
    for name, (samples, rate_hz, lufs) in signals.items():
        yield Asked(name, [lufs], {who: [measure(samples, rate_hz)] for who, measure in methods.items()})
    wanted = [bs1770(soxr.resample(line.astype(np.float64), RATE_HZ, 48000)) for line in lines]
    said = {who: [measure(line.astype(np.float64), RATE_HZ) for line in lines] for who, measure in methods.items()}
    yield Asked(f"telephone speech at 8 kHz, worst of {len(lines)}", wanted, said)
