"""Streams to train speech and tempo on: utterances with gaps over simulated lines, with what else a line carries.

Truth comes with them, per 10 ms step: speech (1, 0, or NaN where it is not judged) and syllable density, whose sum over
an utterance is its syllable count (NaN where nobody counted). Only corpora that may train shipped weights are read.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt
from telephone import RATE_HZ, active_power, alaw, mulaw

Signal = NDArray[np.float32]
STEP = RATE_HZ // 100
VOWEL = re.compile(r"[aeiouyAEIOUY29@64]")
PAUSES, NOT_JUDGED = ("(",), ("(gef", "_")
BUMP_S = 0.03
"""Spread of a nucleus: hand labels of vowels are no better."""

ESC10_NOT_VOICES = ("001", "002", "003", "005", "007", "008", "009", "010")


@dataclass
class Clip:
    """An utterance at 8 kHz; `speech` per step; `nuclei` in seconds, None where nobody counted."""

    samples: Signal
    speech: NDArray[np.float32]
    nuclei: NDArray[np.float64] | None
    speaker: str
    text: str
    start: float = 0.0
    end: float = 0.0


def _labels(path: Path) -> list[tuple[float, str]]:
    """(start in s, label) of an ESPS xlabel or silb file."""
    found = []
    for line in path.read_text("latin-1").splitlines():
        parts = line.replace(",", ".", 1).split()
        if parts and re.fullmatch(r"\d+\.\d+", parts[0]):
            rest = parts[2:] if len(parts) > 1 and parts[1] == "-1" else parts[1:]
            label = rest[0] if rest and line.split("-1")[-1][1:2] != "\t" else ""
            found.append((float(parts[0]), label))
    return sorted(found, key=lambda pair: pair[0])


def read(path: Path) -> Signal:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return soxr.resample(mono, rate, RATE_HZ).astype(np.float32) if rate != RATE_HZ else mono


def emodb(data: Path) -> list[Clip]:
    """EMO-DB with its phone labels (speech) and syllable labels (nuclei at the vowels)."""
    clips = []
    for row in csv.DictReader((data / "emodb/corpus.csv").open()):
        name = Path(row["path"]).stem
        samples = read(data / "emodb" / row["path"])
        phones_file = data / "emodb/lablaut" / f"{name}xx.lablaut"
        syllables = _labels(data / "emodb/silb" / f"{name}.silb")
        phones = _labels(phones_file) if phones_file.exists() else []
        if len(phones) < 5 or len(syllables) < 2:
            continue
        speech = np.zeros(len(samples) // STEP, np.float32)
        ends = [start for start, _ in phones[1:]] + [len(samples) / RATE_HZ]
        for (start, label), end in zip(phones, ends, strict=True):
            value = 1.0
            if label == "." or label in PAUSES:
                value = 0.0
            elif label.startswith(NOT_JUDGED):
                value = np.nan
            speech[round(start * 100) : round(end * 100)] = value
        nuclei = []
        for (start, label), (end, _) in pairwise(syllables):
            if label in (".", "(") or label.startswith("(g"):
                continue
            vowels = [
                (max(a, start), min(b, end))
                for (a, phone), b in zip(phones, ends, strict=True)
                if VOWEL.match(phone) and min(b, end) - max(a, start) > 0.01
            ]
            if vowels:
                a, b = max(vowels, key=lambda span: span[1] - span[0])
            else:
                a, b = start, end
            nuclei.append((a + b) / 2)
        last = [start for start, label in syllables if label == "."]
        end = last[0] if last else len(samples) / RATE_HZ
        clips.append(Clip(samples, speech, np.array(nuclei), name[:2], name[2:5], syllables[0][0], end))
    return clips


def by_level(samples: Signal) -> NDArray[np.float32]:
    """Speech per step of a clean recording: within 32 dB of its loud steps, gaps under 80 ms closed, edges left out."""
    power = (samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64) ** 2).mean(axis=1)
    smooth = 10 * np.log10(np.convolve(power, np.full(5, 0.2), "same") + 1e-12)
    loud = np.percentile(smooth, 95)
    speech = (smooth > loud - 32).astype(np.float32)
    for i in np.flatnonzero(np.diff(speech) < 0):
        following = np.flatnonzero(speech[i + 1 : i + 10])
        if len(following):
            speech[i + 1 : i + 1 + following[0]] = 1.0
    speech[(smooth <= loud - 27) & (smooth > loud - 38)] = np.nan
    return speech


def readers(data: Path) -> list[Clip]:
    """Kerstin and Thorsten: German sentences, syllables from the text where it is known."""
    counts = {}
    table = Path(__file__).with_name("kerstin_syllables.csv")
    if table.exists():
        counts = {row["file"]: int(row["syllables"]) for row in csv.DictReader(table.open())}
    clips = []
    for folder in ("kerstin_de", "thorsten_samples"):
        for path in sorted((data / folder).glob("*.flac")):
            if path.stem == "whisper":
                continue
            samples = read(path)
            clip = Clip(samples, by_level(samples), None, folder[:7], path.stem)
            if path.stem in counts:
                clip.text = f"count {counts[path.stem]}"
            clips.append(clip)
    return clips


def other_sounds(data: Path) -> list[Signal]:
    """ESC-10 without baby and sneeze."""
    return [
        read(path)
        for folder in sorted((data / "noise/esc10").iterdir())
        if folder.name[:3] in ESC10_NOT_VOICES
        for path in sorted(folder.glob("*.flac"))
    ]


# --- what is not speech -------------------------------------------------------------------------------------------


def _normal(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(signal, np.float64) / np.sqrt(np.mean(np.square(signal, dtype=np.float64)) + 1e-12)


def coloured(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Noise with a random slope, white in a third of all cases."""
    white = rng.normal(size=n)
    if rng.random() < 0.33:
        return white
    spectrum = np.fft.rfft(white)
    f = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 60.0)
    spectrum *= (f / 1000.0) ** rng.uniform(-1.2, 0.5)
    if rng.random() < 0.4:  # a broad hump, as of fans and cars
        spectrum *= 1 + 5 * np.exp(-0.5 * (np.log2(f / rng.uniform(200, 2500)) / rng.uniform(0.15, 0.6)) ** 2)
    return _normal(np.fft.irfft(spectrum, n))


def _note(
    rng: np.random.Generator, hz: float, n: int, harmonics: NDArray[np.float64], vibrato: float
) -> NDArray[np.float64]:
    t = np.arange(n) / RATE_HZ
    phase = 2 * np.pi * hz * (t - vibrato * np.cos(2 * np.pi * rng.uniform(4, 7) * t) / 30)
    return sum(a * np.sin((k + 1) * phase + rng.uniform(0, 6)) for k, a in enumerate(harmonics) if hz * (k + 1) < 3900)


def music(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Chord sequences with a melody, a bass and sometimes drums, of random timbres."""
    beat = int(RATE_HZ * 60 / rng.uniform(60, 160))
    out = np.zeros(n + 8 * beat)
    root = rng.uniform(36, 50)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21, 23, 24])
    tracks = int(rng.integers(1, 4))
    for track in range(tracks):
        harmonics = rng.uniform(0.1, 1, 8) * np.arange(1, 9) ** -rng.uniform(0.5, 2.5)
        attack, decay = rng.uniform(0.003, 0.15), rng.uniform(0.1, 2.0)
        vibrato = rng.choice([0, 0, 0.002, 0.01])
        octave = 12 * (track + int(rng.integers(0, 2)))
        lengths = [0.5, 1, 2, 4] if track else [2, 4]
        at = 0
        level = rng.uniform(0.3, 1)
        while at < n:
            length = int(beat * rng.choice(lengths))
            t = np.arange(length + beat // 2) / RATE_HZ
            envelope = np.minimum(t / attack, 1) * np.exp(-t / decay)
            envelope *= np.clip((len(t) - np.arange(len(t))) / 400, 0, 1)
            base = int(rng.integers(0, 7))
            for degree in (base, base + 2, base + 4) if rng.random() < 0.5 else (base,):
                hz = 440 * 2 ** ((root + octave + scale[degree % 15] - 69) / 12)
                out[at : at + len(t)] += level * envelope * _note(rng, hz, len(t), harmonics, vibrato)
            at += length
    if rng.random() < 0.5:
        hit = lfilter([1, -0.9], [1], rng.normal(size=800)) * np.exp(-np.arange(800) / rng.uniform(60, 300))
        drums = np.zeros(n + 8 * beat)
        for at in range(0, n, max(beat // int(rng.choice([1, 2])), 1)):
            drums[at : at + 800] += hit * rng.uniform(0.2, 1)
        out = _normal(out) + _normal(drums) * rng.uniform(0.1, 0.6)
    return _normal(out[:n])


def dtmf(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    out, at = np.zeros(n), 0
    while at < n:
        on, off = int(rng.uniform(0.05, 0.25) * RATE_HZ), int(rng.uniform(0.04, 0.5) * RATE_HZ)
        t = np.arange(min(on, n - at)) / RATE_HZ
        low, high = rng.choice([697, 770, 852, 941]), rng.choice([1209, 1336, 1477, 1633])
        out[at : at + len(t)] = np.sin(2 * np.pi * low * t) + rng.uniform(0.7, 1.3) * np.sin(2 * np.pi * high * t)
        at += on + off
    return _normal(out)


def ringing(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Call progress tones: one or two frequencies, a cadence."""
    t = np.arange(n) / RATE_HZ
    pairs = [(425, 0), (425, 0), (440, 480), (400, 450), (480, 620), (350, 440), (950, 1400)]
    a, b = pairs[int(rng.integers(len(pairs)))]
    on, off = [(1, 4), (2, 4), (0.4, 0.2), (0.5, 0.5), (0.25, 0.25), (0.2, 0.2), (9, 0.1)][int(rng.integers(7))]
    gate = ((t + rng.uniform(0, on)) % (on + off)) < on
    tone = np.sin(2 * np.pi * a * t) + (np.sin(2 * np.pi * b * t) if b else 0)
    return _normal(tone * gate + 1e-4 * rng.normal(size=n))


def tones(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Steady tones, beeps, sweeps, hum, modem-like warbles."""
    t = np.arange(n) / RATE_HZ
    kind = int(rng.integers(5))
    hz = 2 ** rng.uniform(np.log2(200), np.log2(3300))
    if kind == 0:
        out = np.sin(2 * np.pi * hz * t)
    elif kind == 1:
        out = np.sin(2 * np.pi * hz * t) * ((t * rng.uniform(0.5, 5)) % 1 < rng.uniform(0.1, 0.9))
    elif kind == 2:
        rate = rng.uniform(0.2, 4)
        out = np.sin(np.cumsum(2 * np.pi * (hz * 2 ** (rng.uniform(0.3, 1.5) * ((t * rate) % 1))) / RATE_HZ))
    elif kind == 3:
        base = rng.choice([50, 60, 100, 120])
        out = sum(rng.uniform(0.1, 1) * np.sin(2 * np.pi * base * k * t) for k in range(1, 30))
    else:
        deep = rng.uniform(0.02, 0.3)
        warble = 1 + deep * np.sign(np.sin(2 * np.pi * rng.uniform(2, 60) * t))
        out = np.sin(np.cumsum(2 * np.pi * hz * warble / RATE_HZ))
    return _normal(out + 1e-4 * rng.normal(size=n))


def bangs(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Clicks, knocks, bursts of noise, rustle."""
    out = 1e-4 * rng.normal(size=n)
    for at in rng.integers(0, n, int(rng.integers(1, 3 + n // 3000))):
        length = int(RATE_HZ * 10 ** rng.uniform(-2.7, -0.3))
        burst = rng.normal(size=length) * np.exp(-np.arange(length) / (length * rng.uniform(0.1, 0.6)))
        if rng.random() < 0.5:
            burst = lfilter([1], [1, -1.6 * rng.random(), 0.8], burst)
        out[at : at + length] += (_normal(burst) * 10 ** rng.uniform(-1, 0))[: n - at]
    return _normal(out)


def not_speech(rng: np.random.Generator, n: int, sounds: Sequence[Signal]) -> NDArray[np.float64]:
    kind = rng.choice(6, p=[0.35, 0.1, 0.1, 0.13, 0.1, 0.22])
    if kind == 5:
        sound = sounds[int(rng.integers(len(sounds)))]
        sound = np.tile(sound, 1 + n // len(sound))
        at = int(rng.integers(0, len(sound) - n + 1))
        return _normal(sound[at : at + n])
    return (music, dtmf, ringing, tones, bangs)[kind](rng, n)


def babble(rng: np.random.Generator, n: int, clips: Sequence[Clip], talkers: int) -> NDArray[np.float64]:
    out = np.zeros(n)
    for _ in range(talkers):
        at = -int(rng.integers(0, 2 * RATE_HZ))
        level = 10 ** (rng.uniform(-4, 4) / 20)
        while at < n:
            x = _normal(clips[int(rng.integers(len(clips)))].samples) * level
            first = max(0, -at)
            piece = x[first : first + n - max(at, 0)]
            out[max(at, 0) : max(at, 0) + len(piece)] += piece
            at += len(x) + int(rng.integers(0, RATE_HZ // 2))
    return _normal(out)


# --- streams --------------------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """samples (n,) at 8 kHz; speech and density (n / 80,) float32; spans: (first step, end step, syllables) counted."""

    samples: Signal
    speech: NDArray[np.float32]
    density: NDArray[np.float32]
    spans: list[tuple[int, int, float]]


def bumps(nuclei: NDArray[np.float64], steps: int) -> NDArray[np.float32]:
    """Density of syllables per step; each nucleus sums to 1."""
    middle = (np.arange(steps) + 0.5) / 100
    out = np.zeros(steps)
    for at in nuclei:
        bump = np.exp(-0.5 * ((middle - at) / BUMP_S) ** 2)
        out += bump / max(bump.sum(), 1e-6)
    return out.astype(np.float32)


def stream(
    rng: np.random.Generator, seconds: float, clips: Sequence[Clip], sounds: Sequence[Signal], is_dense: bool = False
) -> Stream:
    """One random stream; one in seven has no speech. is_dense: more speech, less noise: to learn syllables by."""
    n = int(seconds * RATE_HZ) // STEP * STEP
    steps = n // STEP
    voice, events = np.zeros(n), np.zeros(n)
    speech, density = np.zeros(steps, np.float32), np.zeros(steps, np.float32)
    spans: list[tuple[int, int, float]] = []
    has_speech, has_events = rng.random() > (0.08 if is_dense else 0.14), rng.random() < (0.1 if is_dense else 0.3)
    jump_db = rng.choice([0.0, 0.0, 3.0, 12.0])
    at = int(rng.uniform(-0.8, 2.0) * RATE_HZ) // STEP * STEP if has_speech else n
    longest_gap = rng.choice([0.3, 0.6, 1.5] if is_dense else [0.3, 1.5, 4.0, 8.0])
    if not has_speech:
        here = 0
        while here < n:
            length = min(int(rng.uniform(1, 10) * RATE_HZ), n - here)
            if rng.random() < 0.85 and length > 800:
                events[here : here + length] = not_speech(rng, length, sounds) * 10 ** (rng.uniform(-25, 6) / 20)
            here += length
    # One voice or two alternate on a stream.
    speakers = sorted({clip.speaker for clip in clips})
    chosen = rng.choice(speakers, 2)
    mine = [clip for clip in clips if clip.speaker in chosen]
    while at < n:
        clip = mine[int(rng.integers(len(mine)))]
        speed = float(rng.uniform(0.85, 1.2)) if rng.random() < 0.7 else 1.0
        x = soxr.resample(clip.samples, RATE_HZ * speed, RATE_HZ) if speed != 1.0 else clip.samples
        x = x[: len(x) // STEP * STEP]
        x = x / np.sqrt(active_power(x)) * 10 ** (rng.uniform(-1, 1) * jump_db / 20)
        its = len(x) // STEP
        heard = clip.speech[np.minimum((np.arange(its) * speed + 0.5 * speed).astype(int), len(clip.speech) - 1)]
        counted = bumps(clip.nuclei / speed, its) if clip.nuclei is not None else np.full(its, np.nan, np.float32)
        first, step = max(0, -at), at // STEP
        length = min(len(x) - first, n - max(at, 0))
        voice[max(at, 0) : max(at, 0) + length] += x[first : first + length]
        a, b, skip = max(step, 0), max(step, 0) + length // STEP, first // STEP
        speech[a:b] = heard[skip : skip + b - a]
        density[a:b] = counted[skip : skip + b - a]
        if first == 0 and b - a == its:
            if clip.nuclei is not None:
                spans.append((a, b, float(len(clip.nuclei))))
            elif clip.text.startswith("count "):
                spans.append((a, b, float(clip.text[6:])))
        gap = int(rng.uniform(0.0, longest_gap) * RATE_HZ) // STEP * STEP
        at += len(x)
        if has_events and gap > RATE_HZ // 2 and at < n and rng.random() < 0.6:
            piece = not_speech(rng, min(gap, n - at), sounds)
            events[at : at + len(piece)] += piece * 10 ** (rng.uniform(-20, 6) / 20)
        at += gap
    snr_db = float(rng.uniform(2 if is_dense else -3, 30)) if rng.random() < 0.72 else float(rng.uniform(30, 50))
    shares = [0.55, 0.25, 0.14, 0.06] if is_dense else [0.38, 0.44, 0.12, 0.06]
    kind = rng.choice(["coloured", "babble", "sound", "music"], p=shares)
    if kind == "babble":
        noise = babble(rng, n, clips, int(rng.choice([4, 6, 8, 12, 16])))
        snr_db = max(snr_db, float(rng.uniform(-1, 8))) if is_dense else float(rng.uniform(-1, 24))
    elif kind == "coloured":
        noise = coloured(rng, n)
    else:
        noise = not_speech(rng, n, sounds) if kind == "sound" else music(rng, n)
        snr_db = max(snr_db, 5.0)
    if rng.random() < 0.25:  # noise that comes and goes
        turns = np.cumsum(rng.uniform(1, 8, 40))
        level = np.interp(np.arange(n) / RATE_HZ, np.repeat(turns, 2)[1:], np.repeat(rng.uniform(-10, 2, 40), 2)[:-1])
        noise = noise * 10 ** (level / 20)
    mixed = voice + events + noise * 10 ** (-snr_db / 20)
    return Stream(carried(rng, mixed), speech, density, spans)


def carried(rng: np.random.Generator, mixed: NDArray[np.float64], gate: NDArray[np.float64] | None = None) -> Signal:
    """Over a random line: tilt, band, level, noise, codec. gate: 0 where it sends zeros or quiet noise instead."""
    n = len(mixed)
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(mixed)
        octaves = np.log2(np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 50.0) / 1000.0)
        mixed = np.fft.irfft(spectrum * 10 ** (rng.uniform(-3, 3) * octaves / 20), n)
    edges = [rng.uniform(150, 380), rng.uniform(3100, 3700)]
    if rng.random() < 0.9:
        mixed = sosfilt(butter(int(rng.integers(2, 8)), edges, "bandpass", fs=RATE_HZ, output="sos"), mixed)
    mixed = mixed * 10 ** (rng.uniform(-45, -12) / 20) + rng.normal(size=n) * 10 ** (rng.uniform(-90, -60) / 20)
    if gate is not None:
        comfort = 10 ** (rng.uniform(-80, -55) / 20) if rng.random() < 0.4 else 0.0
        mixed = mixed * gate + comfort * (1 - gate) * rng.normal(size=n)
    coded = mixed.clip(-1, 0.9999)
    codec = rng.random()
    if codec < 0.6:
        coded = alaw(coded)
    elif codec < 0.85:
        coded = mulaw(coded)
    return coded.astype(np.float32)
