"""Level and loudness against the standards: ITU-T P.56 and ITU-R BS.1770.

Active level: over the ITU's own recording, against what its tool reported (it ran at 16 kHz, whatever the recording
is), and through the front end at 8 kHz against P.56 counted sample by sample at 8 kHz: voice.nrm is then -29.7 dBov,
since -30 belongs to the other clock. Loudness: the standard's signals against their stated figures, and telephone
speech at 8 kHz against the standard's filter at 48 kHz. Errors in dB and LU, without sign.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import vocal_kernels as vk
from numpy.typing import NDArray

from . import peers as others
from .corpora import RATE_HZ, Array, Condition, Signal, emodb, generator, narrow, telephone
from .rows import Row

TOOL_HZ = 16000
TOOL = {"voice.src": -25.329, "voice.nrm": -30.0}
"""dBov, from the log of the ITU's sv56demo."""

GATES = {"1770-2_Comp_RelGateTest.wav": -10.0, "1770-2_Comp_AbsGateTest.wav": -69.5}
SINES = {"sine997_0dBFS.pcm": -3.01, "sine997_0dBFS.26LKFS.pcm": -26.0}
LIMIT = 0.1

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


def rows(data: Path, peers: bool) -> Iterator[Row]:
    lines = _speech(data)
    yield from _levels(data, lines)
    yield from _loudness(data, lines, _pyloudnorm() if peers else None)


def _row(name: str, condition: str, who: str, errors: list[float], unit: str) -> Row:
    worst = float(np.max(np.abs(errors)))
    return Row("level", name, condition, who, worst, unit, LIMIT if who == "vocal" else None, "lower")


def _speech(data: Path) -> list[Signal]:
    """Twenty utterances over the telephone, at 8 kHz."""
    clean = Condition("clean", "none", 0.0)
    none = np.zeros(1)
    return [telephone(narrow(u.wide, u.rate_hz), clean, none, generator(u.name)) for u in emodb(data)[::27]]


def _levels(data: Path, lines: list[Signal]) -> Iterator[Row]:
    folder = data / "itu_stl" / "src" / "sv56" / "test_data"
    for name, level_dbov in TOOL.items():
        voice = np.fromfile(folder / name, "<i2") / 32768
        step = TOOL_HZ // 100
        whole = len(voice) // step * step
        power = (voice[:whole].reshape(-1, step) ** 2).mean(axis=1)
        found = vk.active_level_db(power, envelope(voice, TOOL_HZ)[step - 1 : whole : step].copy())
        tool = f"{name}, the ITU's tool"
        yield _row("active level, error", tool, "vocal", [found - level_dbov], "dB")
        twin = p56(voice, TOOL_HZ) - level_dbov
        yield _row("active level, error", tool, "P.56 by samples, the reference", [twin], "dB")
    for name in ("voice.src", "voice.nrm", "voice.ltl"):
        voice = np.fromfile(folder / name, "<i2") / 32768
        error = vk.active_level(voice) - p56(voice, RATE_HZ)
        yield _row("active level, error", f"{name} at 8 kHz, P.56 by samples", "vocal", [error], "dB")
    for gain_db in (0, -12, -24):
        scaled = [line.astype(np.float64) * 10 ** (gain_db / 20) for line in lines]
        errors = [vk.active_level(line) - p56(line, RATE_HZ) for line in scaled]
        condition = f"telephone speech at {-26 + gain_db} dBov, worst of {len(lines)}"
        yield _row("active level, error", condition, "vocal", errors, "dB")


def _pyloudnorm() -> Callable[[NDArray[np.floating], int], float] | None:
    try:
        import pyloudnorm
    except ImportError:
        others.installed([others.Peer("pyloudnorm", lambda _: None, "pyloudnorm")])
        return None
    return lambda samples, rate_hz: float(pyloudnorm.Meter(rate_hz).integrated_loudness(samples))


def _loudness(
    data: Path, lines: list[Signal], peer: Callable[[NDArray[np.floating], int], float] | None
) -> Iterator[Row]:
    def ours(samples: NDArray[np.floating], rate_hz: int) -> float:
        return vk.loudness(samples, rate_hz).integrated_lufs

    methods = {"vocal": ours} | ({"pyloudnorm": peer} if peer else {})
    signals = {}
    for name, lufs in GATES.items():
        signals[name] = (*soundfile.read(data / "loudness" / "pyloudnorm" / name), lufs)
    for name, lufs in SINES.items():
        path = data / "itu_stl" / "src" / "bs1770demo" / "test_data" / name
        signals[name] = (np.fromfile(path, "<i2").reshape(-1, 6)[:, 0] / 32768, 48000, lufs)
    for name, (samples, rate_hz, lufs) in signals.items():
        for who, measure in methods.items():
            yield _row("loudness, error", name, who, [measure(samples, rate_hz) - lufs], "LU")
    wanted = [bs1770(soxr.resample(line.astype(np.float64), RATE_HZ, 48000)) for line in lines]
    for who, measure in methods.items():
        errors = [measure(line.astype(np.float64), RATE_HZ) - lufs for line, lufs in zip(lines, wanted, strict=True)]
        yield _row("loudness, error", f"telephone speech at 8 kHz, worst of {len(lines)}", who, errors, "LU")
