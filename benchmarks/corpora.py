"""What the accuracy benchmarks hear: corpora with labels, and the line they are heard over.

The telephone condition: 8 kHz, Butterworth 300-3400 Hz, active speech at -26 dBov, noise so many dB below it inside the
band, A-law. Every number comes from a seed. Times are in seconds, steps are 10 ms. Labels that cannot be right raise
InputError.
"""

import math
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from vocal.errors import InputError

from .reading import AFTER_S, fields, files, number, one_of, read, text

Signal = NDArray[np.float32]
Array = NDArray[np.float64]

RATE_HZ = 8000
STEP_SAMPLES = 80
STEPS_PER_S = 100
LEVEL_DBOV = -26.0
TALKERS = 12
HELD_OUT = ("03", "08")
"""EMO-DB speakers, a man and a woman, that the shipped networks behind F0 and syllables never heard."""

PAUSE_S = 0.2
PHONES = frozenset(
    [
        "aa",
        "ae",
        "ah",
        "ao",
        "aw",
        "ax",
        "ax-h",
        "axr",
        "ay",
        "b",
        "bcl",
        "ch",
        "d",
        "dcl",
        "dh",
        "dx",
        "eh",
        "el",
        "em",
        "en",
        "eng",
        "epi",
        "er",
        "ey",
        "f",
        "g",
        "gcl",
        "h#",
        "hh",
        "hv",
        "ih",
        "ix",
        "iy",
        "jh",
        "k",
        "kcl",
        "l",
        "m",
        "n",
        "ng",
        "nx",
        "ow",
        "oy",
        "p",
        "pau",
        "pcl",
        "q",
        "r",
        "s",
        "sh",
        "t",
        "tcl",
        "th",
        "uh",
        "uw",
        "ux",
        "v",
        "w",
        "y",
        "z",
        "zh",
    ]
)
"""TIMIT's."""

MOST_HZ = 1000.0
"""Of a voice's F0."""


class Utterance(NamedTuple):
    """A labelled recording. speech: per step 1, 0, or NaN where it is not judged; empty where nobody labelled.

    syllables are counted from start_s to end_s; pauses_s is the sum of the pauses over 200 ms in between.
    """

    name: str
    speaker: str
    wide: Signal
    rate_hz: int
    speech: Signal
    syllables: int
    start_s: float
    end_s: float
    pauses_s: float


class Tracked(NamedTuple):
    """A recording with its F0 in Hz, 0 where unvoiced, at times_s."""

    name: str
    wide: Signal
    rate_hz: int
    times_s: Array
    f0_hz: Array


class Condition(NamedTuple):
    """noise: "none", "white" or "babble"."""

    name: str
    noise: str
    snr_db: float


# --- corpora ---------------------------------------------------------------------------------------------------------


def narrow(wide: Signal, rate_hz: int) -> Signal:
    """At 8 kHz."""
    return wide if rate_hz == RATE_HZ else soxr.resample(wide, rate_hz, RATE_HZ).astype(np.float32)


def _labels(path: Path, pattern: str, most_s: float) -> list[tuple[float, str]]:
    """(start, label) of each line that matches; before a line of # there is a header. None where there is no file."""
    if not path.exists():
        return []
    lines = text(path).splitlines()
    head = next((at + 1 for at, line in enumerate(lines) if line.strip() == "#"), 0)
    found = []
    for at, line in enumerate(lines[head:], head + 1):
        if line.strip() and not re.match(r"\s*\d+[.,]\d+\s", line):
            raise InputError(f"{path}, line {at}: wanted SECONDS and a label, got {line.strip()!r}")
        if (m := re.match(pattern, line)) is not None:
            start_s = number(f"{path}, line {at}", "seconds", m[1].replace(",", "."), 0.0, most_s + AFTER_S)
            found.append((start_s, m[2]))
    return sorted(found, key=lambda pair: pair[0])


def _per_step(labels: Iterable[tuple[float, float]], n: int, rate_hz: int) -> Signal:
    """The value that holds in the middle of each step; before the first label it is 0."""
    starts, values = (np.array(column) for column in zip(*labels, strict=True))
    middles = (np.arange(n * STEPS_PER_S // rate_hz) + 0.5) / STEPS_PER_S
    return np.concatenate([[0.0], values])[np.searchsorted(starts, middles, "right")].astype(np.float32)


@cache
def emodb(data: Path) -> list[Utterance]:
    """535 German utterances with phones (speech) and syllables; labels tell where something starts."""
    found = []
    for path in files(data / "emodb" / "wav", "*"):
        wide, rate_hz = read(path)
        most_s = len(wide) / rate_hz
        phones = _labels(
            data / "emodb" / "lablaut" / f"{path.stem}xx.lablaut", r"\s*(\d+[.,]\d+)\s+-?\d+ (\S*)", most_s
        )
        values = []
        for start, label in phones:
            # A breath, a filled pause and the closure before the first burst are neither speech nor silence.
            unclear = label.startswith(("(gef", "_"))
            values.append((start, np.nan if unclear else float(not label.startswith((".", "(")))))
        speech = _per_step(values, len(wide), rate_hz) if len(phones) >= 5 else np.empty(0, np.float32)
        syllables = _labels(data / "emodb" / "silb" / f"{path.stem}.silb", r"\s*(\d+[.,]\d+)\s+(\S+)", most_s)
        counted = [start for start, label in syllables if not label.startswith((".", "("))]
        starts = [start for start, _ in syllables]
        pauses = [
            b - a for a, b, (_, label) in zip(starts, starts[1:], syllables, strict=False) if label.startswith("(")
        ]
        end_s = next((start for start, label in syllables if label == "."), len(wide) / rate_hz)
        first_s = counted[0] if counted else 0.0
        paused_s = sum(pause for pause in pauses if pause > PAUSE_S)
        found.append(Utterance(path.stem, path.stem[:2], wide, rate_hz, speech, len(counted), first_s, end_s, paused_s))
    for folder, labels in (("lablaut", [u.speech for u in found]), ("silb", [u.syllables for u in found])):
        if not any(np.size(one) and np.any(one) for one in labels):
            raise InputError(f"{data / 'emodb' / folder}: wanted labels of the recordings in emodb/wav, got none")
    return found


@cache
def timit(data: Path) -> list[Utterance]:
    """80 English sentences; syllables are the vowels and syllabic consonants among the phones. Nothing learnt of it."""
    found = []
    for path in files(data / "timit_nltk", "*/*.flac"):
        wide, rate_hz = read(path)
        phones = []
        for where, (first, last, phone) in fields(path.with_suffix(".phn"), ("FIRST", "LAST", "PHONE")):
            start = number(where, "its first sample", first, 0, len(wide))
            end = number(where, "its last sample", last, start, len(wide) + AFTER_S * rate_hz)
            phones.append((start / rate_hz, end / rate_hz, one_of(where, "a phone", phone, PHONES)))
        spoken = [phone for phone in phones if phone[2] != "h#"]
        if not spoken:
            raise InputError(f"{path.with_suffix('.phn')}: wanted phones that are spoken, got none")
        unclear = {"h#": 0.0, "pau": 0.0, "epi": np.nan}
        speech = _per_step([(start, unclear.get(phone, 1.0)) for start, _, phone in phones], len(wide), rate_hz)
        pauses = [end - start for start, end, phone in spoken if phone in ("pau", "epi") and end - start > PAUSE_S]
        syllables = sum(phone[0] in "aeiou" and phone != "epi" for _, _, phone in spoken)
        name = f"{path.parent.name}-{path.stem}"
        found.append(
            Utterance(
                name, path.parent.name, wide, rate_hz, speech, syllables, spoken[0][0], spoken[-1][1], sum(pauses)
            )
        )
    return found


def laryngograph(data: Path) -> list[Tracked]:
    """50 English sentences of a man and a woman; F0 each 15 ms from the laryngograph, not from the recording."""
    found = []
    for path in files(data / "fda_ue", "*.flac"):
        wide, rate_hz = read(path)
        track = path.with_suffix(".f0ref")
        f0_hz = np.array([number(where, "Hz", f0, 0.0, MOST_HZ) for where, (f0,) in fields(track, ("HZ",))])
        times_s = 0.015 * np.arange(len(f0_hz), dtype=np.float64)
        if len(f0_hz) < 2 or times_s[-1] > len(wide) / rate_hz + AFTER_S:
            raise InputError(f"{track}: wanted F0 each 15 ms of {len(wide) / rate_hz:.2f} s, got {len(f0_hz)} of them")
        found.append(Tracked(path.stem, wide, rate_hz, times_s, f0_hz))
    if not any(one.f0_hz.any() for one in found):
        raise InputError(f"{data / 'fda_ue'}: wanted F0 of voices, got none above 0")
    return found


def hand_labelled(data: Path) -> list[tuple[Signal, Signal]]:
    """26 Spanish and Catalan recordings at 8 kHz, speech and silence by hand; per step 1, 0, NaN after the last."""
    found = []
    for path in files(data / "upc_vad", "**/*.flac"):
        wide, rate_hz = read(path)
        most_s, values, end_s = len(wide) / rate_hz + AFTER_S, [], 0.0
        for where, (first, last, kind) in fields(path.with_suffix(".lab"), ("START", "END", "V-OR-S")):
            start_s = number(where, "its start in seconds", first, 0.0, most_s)
            end_s = number(where, "its end in seconds", last, start_s, most_s)
            values.append((start_s, float(one_of(where, "voice or silence", kind, frozenset("VS")) == "V")))
        values.append((end_s, np.nan))
        found.append((narrow(wide, rate_hz), _per_step(values, len(wide), rate_hz)))
    return found


def sounds(data: Path) -> dict[str, list[Signal]]:
    """What is not speech, at 8 kHz, by origin; the speech network was trained with eight of ESC-10's ten classes."""
    voices = ("004", "006")
    clips: dict[str, list[Signal]] = {"ESC-10, trained on": [], "ESC-10, baby and sneeze": [], "Hu, non-speech": []}
    for path in files(data / "noise", "**/*.flac"):
        if path.parent.parent.name == "esc10":
            kind = "ESC-10, baby and sneeze" if path.parent.name.startswith(voices) else "ESC-10, trained on"
        elif path.parent.name == "Nonspeech":
            kind = "Hu, non-speech"
        else:
            continue
        clips[kind].append(narrow(*read(path)))
    return clips


# --- the line --------------------------------------------------------------------------------------------------------


def band(signal: NDArray[np.floating]) -> Array:
    """300-3400 Hz, Butterworth of order 4 at 8 kHz, as the digital filter would, by its response."""
    order, edges = 4, 2 * RATE_HZ * np.tan(np.pi * np.array([300.0, 3400.0]) / RATE_HZ)
    n = -(-(len(signal) + RATE_HZ) // RATE_HZ) * RATE_HZ
    hz = np.fft.rfftfreq(n, 1 / RATE_HZ)[1:-1]
    s = 2j * RATE_HZ * np.tan(np.pi * hz / RATE_HZ)
    low_pass = (s * s + edges[0] * edges[1]) / ((edges[1] - edges[0]) * s)
    poles = np.exp(1j * np.pi * (2 * np.arange(order) + order + 1) / (2 * order))
    response = np.zeros(len(hz) + 2, complex)
    response[1:-1] = 1 / np.prod([low_pass - pole for pole in poles], axis=0)
    return np.fft.irfft(np.fft.rfft(signal, n) * response, n)[: len(signal)]


def active_power(signal: NDArray[np.floating]) -> float:
    """Energy over active time as in P.56, in 20 ms frames: those less than 15.9 dB under it, and 200 ms after each."""
    frames = np.asarray(signal[: len(signal) // 160 * 160], np.float64).reshape(-1, 160)
    power = (frames**2).mean(axis=1)
    found = float(power.mean())
    for _ in range(20):
        active = np.convolve(power >= found * 10**-1.59, np.ones(11))[: len(power)] > 0.5
        found = float(power.sum() / active.sum())
    return found + 1e-15


def at_level(signal: NDArray[np.floating], level_dbov: float = LEVEL_DBOV) -> Array:
    """With its active speech at `level_dbov`."""
    gain = math.sqrt(10 ** (level_dbov / 10) / active_power(signal))
    return np.asarray(signal, np.float64) * gain


def alaw(signal: NDArray[np.floating]) -> Signal:
    """Through G.711 A-law and back."""
    # The standard's negative numbers are one's complements: -1 has the size 0.
    whole = np.clip(np.where(signal < 0, np.ceil(-signal * 4096) - 1, np.floor(signal * 4096)), 0, 4095)
    step = 2.0 ** np.maximum(np.frexp(whole)[1] - 5, 1)
    size: Array = (np.floor(whole / step) + 0.5) * step / 4096
    coded: Signal = np.copysign(size, signal).astype(np.float32)
    return coded


def generator(seed: str) -> np.random.Generator:
    """Its own for each name, so that no figure depends on what was measured before."""
    return np.random.default_rng(list(seed.encode()))


@cache
def babble(data: Path, seconds: int = 60) -> Array:
    """TALKERS speakers of EMO-DB at once, each as loud, inside the band."""
    rng = np.random.default_rng(12)
    speakers = sorted({u.speaker for u in emodb(data)})
    total = np.zeros(seconds * RATE_HZ)
    for talker in range(TALKERS):
        own = [u for u in emodb(data) if u.speaker == speakers[talker % len(speakers)]]
        parts = [at_level(narrow(own[i].wide, own[i].rate_hz)) for i in rng.permutation(len(own))]
        total += np.roll(np.resize(np.concatenate(parts), len(total)), int(rng.integers(len(total))))
    return band(total)


def noise_of(condition: Condition, n: int, babbling: Array, rng: np.random.Generator) -> Array:
    """(n,) of noise inside the band, so many dB under LEVEL_DBOV."""
    if condition.noise == "none":
        return np.zeros(n)
    if condition.noise == "babble":
        noise = np.resize(np.roll(babbling, -int(rng.integers(len(babbling)))), n)
    else:
        noise = band(rng.normal(size=n + RATE_HZ))[RATE_HZ:]
    return noise * (10 ** ((LEVEL_DBOV - condition.snr_db) / 20) / math.sqrt(np.mean(noise**2)))


def heard(voice: Array, condition: Condition, babbling: Array, rng: np.random.Generator) -> Signal:
    """A voice, already inside the band and at its level, as it arrives."""
    return alaw(voice + noise_of(condition, len(voice), babbling, rng))


def telephone(
    signal: Signal, condition: Condition, babbling: Array, rng: np.random.Generator, around_s: float = 0.0
) -> Signal:
    """A recording at 8 kHz as it arrives, with `around_s` of the line before and after it."""
    around = np.zeros(round(around_s * RATE_HZ))
    return heard(np.concatenate([around, at_level(band(signal)), around]), condition, babbling, rng)


class Stream(NamedTuple):
    """voice: utterances with gaps, inside the band, at their levels; speech per step."""

    voice: Array
    speech: Signal


def stream(utterances: Sequence[Utterance], vary_db: float, rng: np.random.Generator) -> Stream:
    """Utterances one after the other with 0.4-4 s of nothing between, their levels within `vary_db` of each other."""
    voices, speech = [], []
    for i in rng.permutation(len(utterances)):
        u = utterances[i]
        if not len(u.speech):
            continue
        gap = int(rng.uniform(0.4, 4.0) * STEPS_PER_S)
        level_dbov = LEVEL_DBOV + vary_db * rng.uniform(-0.5, 0.5)
        voice = at_level(band(narrow(u.wide, u.rate_hz)), level_dbov)
        steps = min(len(u.speech), len(voice) // STEP_SAMPLES)
        voices += [np.zeros(gap * STEP_SAMPLES), voice[: steps * STEP_SAMPLES]]
        speech += [np.zeros(gap, np.float32), u.speech[:steps]]
    return Stream(np.concatenate(voices), np.concatenate(speech))
