"""Train the network behind F0 and voicing and write its weights for the kernels.

    python models/train/pitch.py --data DATA --out kernels/vocal_kernels/weights/pitch.npz

DATA is the folder of corpora; only those in SHIPPABLE are read: their licence lets weights be given away. Every number
comes from --seed. The target on real voices is Praat's autocorrelation tracker (Boersma 1993) on the recording as it
is, wide band and clean; the network hears the same voice over a line: another speed, tilt, band, level and codec, with
noise or other talkers. A quarter are synthetic voices and tones, whose pitch is known and fills 60-500 Hz evenly.

`--hold-out 03,08` leaves EMO-DB speakers out, as targets and as babble, so that they can be used to judge.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import parselmouth
import soundfile
import soxr
import torch
import vocal_kernels as vk
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt
from telephone import RATE_HZ, active_power, alaw
from vocal_kernels.layout import PITCH_CLASSES, PITCH_DELAY, PITCH_FIRST, PITCH_HIDDEN, PITCH_INPUTS
from vocal_kernels.pitch import HIGHEST_HZ, LOWEST_HZ, UNVOICED

SHIPPABLE = {
    "emodb": "EMO-DB (Burkhardt et al. 2005), CC0",
    "kerstin_de": "Kerstin (Rhasspy), CC0",
    "thorsten_samples": "Thorsten-Voice samples, CC0",
    "noise/esc10": "ESC-10 (Piczak 2015), CC BY / CC0, as noise only",
    "ami_pyannote": "AMI Meeting Corpus, CC BY 4.0, as noise only",
}
WIDE_HZ = 16000
SEQUENCE_S = 4.0
SEQUENCES = 3008
EPOCHS = 2
BATCH = 32
RATE = 4e-3
DROPOUT = 0.1

Signal = NDArray[np.floating]


@dataclass(frozen=True)
class Voice:
    """A recording and its F0 (Hz, 0 unvoiced), one value each `every_s` from `first_s` on."""

    speaker: str
    samples: Signal
    rate_hz: int
    f0: NDArray[np.float32]
    first_s: float = 0.00125
    every_s: float = 0.0025


def read_voices(data: Path, held_out: set[str]) -> list[Voice]:
    with (data / "emodb" / "corpus.csv").open() as file:
        emodb = [Path(row["path"]) for row in csv.DictReader(file)]
    files = [(data / "emodb" / path, path.name[:2]) for path in emodb if path.name[:2] not in held_out]
    for corpus in ("kerstin_de", "thorsten_samples"):
        files += [(path, corpus) for path in sorted((data / corpus).glob("*.flac")) if "whisper" not in path.name]
    voices = []
    for path, speaker in files:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        pitch = parselmouth.Sound(samples.astype(np.float64), rate_hz).to_pitch_ac(
            time_step=0.0025, pitch_floor=75, pitch_ceiling=500
        )
        f0 = pitch.selected_array["frequency"].astype(np.float32)
        voices.append(Voice(speaker, samples, rate_hz, f0, float(pitch.xs()[0])))
    return voices


def _vowel(f0: Signal, rng: np.random.Generator, manner: dict[str, float]) -> Signal:
    """Glottal cycles (a raised cosine that opens, a quarter cosine that closes; derived) through four resonances."""
    n = len(f0)
    phase = np.cumsum(f0) / WIDE_HZ + rng.random()
    cycles = np.arange(int(phase[-1]) + 2)
    phase = phase + np.interp(phase, cycles, np.cumsum(rng.normal(size=len(cycles)) * manner["jitter"]))
    cycle = np.floor(phase).astype(int)
    at = (phase - cycle) / np.clip(manner["open"] + 0.05 * rng.normal(), 0.3, 0.95)
    opening, closing = 0.5 - 0.5 * np.cos(np.pi * at / 0.67), np.cos(np.pi / 2 * (at - 0.67) / 0.33)
    flow = np.where(at < 0.67, opening, np.where(at < 1.0, closing, 0.0))
    size = 1.0 + manner["shimmer"] * rng.normal(size=np.ptp(cycle) + 1)
    flow = flow * size[cycle - cycle.min()]
    sound = np.diff(flow, prepend=flow[0])
    sound = sound / (np.abs(sound).max() + 1e-9) + manner["breath"] * rng.normal(size=n) * (0.3 + flow)
    sound = lfilter([1.0], [1.0, -manner["tilt"]], sound)
    middles = np.array(
        [rng.uniform(250, 850), rng.uniform(750, 2400), rng.uniform(2200, 3000), rng.uniform(3100, 4000)]
    )
    for middle, width in zip(
        middles * manner["tract"], (rng.uniform(50, 130), rng.uniform(60, 160), 150, 200), strict=True
    ):
        radius, turn = np.exp(-np.pi * width / WIDE_HZ), 2.0 * np.pi * middle / WIDE_HZ
        poles = [1.0, -2.0 * radius * np.cos(turn), radius * radius]
        sound = lfilter([sum(poles)], poles, sound)
    return sound


def synthetic(rng: np.random.Generator) -> Voice:
    """Vowels, tones, hisses and pauses at random; one register of 60-500 Hz a voice."""
    n = int(rng.uniform(1.0, 4.0) * WIDE_HZ)
    register, spread = np.log2(LOWEST_HZ) + rng.uniform(0.0, np.log2(HIGHEST_HZ / LOWEST_HZ)), rng.uniform(0.05, 0.35)
    manner = {
        "jitter": 10.0 ** rng.uniform(-3.0, -1.7),
        "shimmer": rng.uniform(0.0, 0.15),
        "open": rng.uniform(0.4, 0.85),
        "tilt": rng.uniform(0.0, 0.85),
        "breath": 0.3 * 10.0 ** (-rng.uniform(12, 40) / 20),
        "tract": rng.uniform(0.85, 1.25),
    }
    sound, f0 = np.zeros(n), np.zeros(n)
    at = int(rng.uniform(0.0, 0.3) * WIDE_HZ)
    while at < n - 800:
        kind = rng.random()
        still = kind < 0.12
        length = min(int(rng.uniform(0.06, 3.0 if still else 0.5) * WIDE_HZ), n - at)
        here = slice(at, at + length)
        time = np.arange(length) / WIDE_HZ
        if kind < 0.66:
            corners = max(2, length // 1600 + 2)
            points = register + (0.0 if still else spread) * rng.normal(size=corners)
            course = np.interp(time, np.linspace(0.0, time[-1], corners), points)
            if rng.random() < 0.3 and not still:
                course += rng.uniform(0.01, 0.06) * np.sin(2 * np.pi * rng.uniform(4, 7) * time + rng.uniform(0, 6))
            hertz = 2.0 ** np.clip(course, np.log2(LOWEST_HZ), np.log2(HIGHEST_HZ))
            if still:
                turn = 2.0 * np.pi * np.cumsum(hertz) / WIDE_HZ
                most = min(int(rng.choice([1, 2, 4, 60])), int(3800.0 / hertz.max()))
                piece = sum(rng.uniform(0.2, 1.0) * np.sin(h * turn) for h in range(1, most + 1))
            else:
                piece = _vowel(hertz, rng, manner)
            rise, fall = rng.uniform(0.01, 0.04), rng.uniform(0.01, 0.06)
            shape = np.minimum(1.0, np.minimum(time / rise, time[::-1] / fall)) ** 1.5
            sound[here] += piece * shape * 10.0 ** (rng.uniform(-12, 0) / 20) / (np.sqrt(np.mean(piece**2)) + 1e-9)
            f0[here] = np.where(shape > 0.12, hertz, 0.0)
        elif kind < 0.82:
            low = rng.uniform(500, 3000)
            band = butter(2, [low, min(low * rng.uniform(1.5, 4.0), 7500.0)], "bandpass", fs=WIDE_HZ, output="sos")
            hiss = sosfilt(band, rng.normal(size=length) * np.hanning(length))
            sound[here] += hiss * 10.0 ** (-rng.uniform(3, 25) / 20) / (np.sqrt(np.mean(hiss**2)) + 1e-9)
        at += length
    return Voice("synthetic", sound.astype(np.float32), WIDE_HZ, f0[20::40].astype(np.float32))


class Noises:
    """White noise, babble, meetings, ESC-10, hum and coloured noise, at 8 kHz."""

    def __init__(self, data: Path, voices: list[Voice]) -> None:
        self.voices = voices
        self.clips = [
            soundfile.read(p, dtype="float32")[0] for p in sorted((data / "noise" / "esc10").glob("*/*.flac"))
        ]
        self.meetings = []
        for path in sorted((data / "ami_pyannote").rglob("*.flac")):
            samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
            if len(samples) > rate_hz:
                self.meetings.append(soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ))

    def draw(self, n: int, rng: np.random.Generator) -> Signal:
        kind = rng.random()
        if kind < 0.34:
            return rng.normal(size=n)
        if kind < 0.76:
            total = np.zeros(n)
            for _ in range(int(rng.choice([3, 6, 10, 12, 12, 16]))):
                voice = self.voices[rng.integers(len(self.voices))]
                talk = soxr.resample(voice.samples, voice.rate_hz * rng.choice([0.9, 1.0, 1.1]), RATE_HZ, quality="LQ")
                total += np.roll(np.resize(talk / (np.sqrt(np.mean(talk**2)) + 1e-9), n), rng.integers(n))
            return total
        if kind < 0.92:
            clips = self.meetings if kind < 0.82 else self.clips
            return np.roll(np.resize(clips[rng.integers(len(clips))], n), rng.integers(n))
        total = lfilter([1.0], [1.0, -rng.uniform(0.5, 0.98)], rng.normal(size=n))
        total /= np.sqrt(np.mean(total**2))
        hum, time = rng.choice([50.0, 60.0, 100.0, 120.0]), np.arange(n) / RATE_HZ
        for h in range(1, 12):
            total += rng.uniform(0.0, 0.5) / h * np.sin(2 * np.pi * hum * h * time + rng.uniform(0, 6))
        return total


def _coloured(signal: Signal, rng: np.random.Generator) -> Signal:
    """Another microphone, and a speaker who comes and goes: gains at random, octave by octave and moment by moment."""
    corners = 125.0 * 2.0 ** np.arange(6)
    gain_db = rng.choice([0.0, 3.0, 6.0]) * rng.normal(size=6) + rng.uniform(-6.0, 4.0) * np.arange(6)
    spectrum = np.fft.rfft(signal)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(signal), 1 / RATE_HZ), corners[0]))
    signal = np.fft.irfft(spectrum * 10.0 ** (np.interp(octaves, np.log2(corners), gain_db) / 20), len(signal))
    times = np.arange(0, len(signal) + RATE_HZ, int(rng.uniform(0.2, 0.8) * RATE_HZ))
    gain_db = rng.choice([0.0, 0.0, 4.0, 8.0]) * rng.normal(size=len(times))
    return signal * 10.0 ** (np.interp(np.arange(len(signal)), times, gain_db) / 20)


def _coded(signal: Signal, rng: np.random.Generator) -> Signal:
    kind, held = rng.random(), np.clip(signal, -1.0, 0.9999)
    if kind < 0.7:
        return alaw(held)
    if kind < 0.9:
        code = np.round(np.log1p(255.0 * np.abs(held)) / np.log(256.0) * 127.0) / 127.0
        return np.sign(held) * np.expm1(code * np.log(256.0)) / 255.0
    return held


def sequence(voices: list[Voice], noises: Noises, rng: np.random.Generator) -> tuple[Signal, NDArray[np.float32]]:
    """One line of SEQUENCE_S at 8 kHz with one voice on it, and its F0 in the middle of each 10 ms."""
    n = int(SEQUENCE_S * RATE_HZ)
    steps = n // vk.HOP_SAMPLES
    line, f0 = np.zeros(n), np.zeros(steps, np.float32)
    made = rng.random() < 0.28
    speed = 1.0 if rng.random() < 0.45 else 2.0 ** rng.uniform(-0.5, 0.4)
    speaker = "synthetic"
    while not made and (speaker == "synthetic" or (speaker == "kerstin_de" and rng.random() < 0.6)):
        speaker = voices[rng.integers(len(voices))].speaker
    own = [voice for voice in voices if voice.speaker == speaker]
    at = int(rng.choice([0.0, 0.0, rng.uniform(0.0, 0.8)]) * RATE_HZ)
    while at < n - 1600:
        spoken = synthetic(rng) if made else own[rng.integers(len(own))]
        faster = 1.0 if made else speed
        talk = soxr.resample(spoken.samples, spoken.rate_hz * faster, RATE_HZ)
        talk = talk / np.sqrt(active_power(talk))
        length = min(len(talk), n - at)
        line[at : at + length] += talk[:length]
        step = np.arange(-(-at // vk.HOP_SAMPLES), min((at + length) // vk.HOP_SAMPLES, steps))
        seconds = (step * vk.HOP_SAMPLES + vk.HOP_SAMPLES // 2 - at) / RATE_HZ * faster
        source = np.round((seconds - spoken.first_s) / spoken.every_s).astype(int)
        there = (source >= 0) & (source < len(spoken.f0))
        f0[step[there]] = spoken.f0[source[there]] * faster
        at += length + int(rng.choice([0.0, rng.uniform(0.0, 0.6)]) * RATE_HZ)
    line = _coloured(line, rng)
    kind = rng.random()
    order, low, high = 6, 300.0, 3400.0
    if kind > 0.9:
        order, low, high = 2, rng.uniform(50, 120), 3800.0
    elif kind > 0.45:
        order, low, high = int(rng.integers(2, 8)), rng.uniform(150, 400), rng.uniform(3000, 3700)
    band = butter(order, [low, high], "bandpass", fs=RATE_HZ, output="sos")
    voice = sosfilt(band, line)
    voice /= np.sqrt(active_power(voice))
    quiet = rng.random() < 0.25
    snr_db = rng.uniform(30, 55) if quiet else rng.uniform(0, 25)
    noise = rng.normal(size=n + 800) if quiet else noises.draw(n + 800, rng)
    noise = sosfilt(band, noise)[800:]
    noise *= 10.0 ** (-snr_db / 20) / (np.sqrt(np.mean(noise**2)) + 1e-6)
    level = 10.0 ** (rng.uniform(-40, -16) / 20)
    bare = rng.random() < 0.05
    if rng.random() < 0.02:
        voice[:], noise[:], f0[:] = 0.0, 0.0, 0.0
    heard = voice * level if bare else _coded((voice + noise) * level, rng)
    return heard.astype(np.float32), np.where(f0 < LOWEST_HZ * 0.95, 0.0, f0).astype(np.float32)


def hear(lines: list[Signal]) -> NDArray[np.float16]:
    """What the network hears of sixteen lines, (16, steps, PITCH_INPUTS), from the kernels themselves."""
    state, boundary, until = vk.new_state(), vk.Boundary(), np.zeros(vk.LANES, np.int64)
    pcm = np.ascontiguousarray(np.stack(lines, axis=1), np.float32)
    steps = len(pcm) // vk.HOP_SAMPLES
    heard = np.zeros((steps, PITCH_INPUTS, vk.LANES), np.float16)
    for step in range(0, steps, vk.HOPS):
        vk.advance(pcm[step * vk.HOP_SAMPLES :][: vk.TICK_SAMPLES], until, boundary, state)
        for hop in range(vk.HOPS):
            if step + hop >= vk.SPECTRAL_DELAY:
                heard[step + hop - vk.SPECTRAL_DELAY] = state.net[hop * PITCH_INPUTS : (hop + 1) * PITCH_INPUTS]
    return np.ascontiguousarray(heard.transpose(2, 0, 1))


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heard = torch.nn.Linear(PITCH_INPUTS, PITCH_FIRST)
        self.memory = torch.nn.GRU(PITCH_FIRST, PITCH_HIDDEN, batch_first=True)
        self.classes = torch.nn.Linear(PITCH_HIDDEN, PITCH_CLASSES)

    def forward(self, heard: torch.Tensor) -> torch.Tensor:
        heard = torch.nn.functional.dropout(heard, DROPOUT, self.training)
        return self.classes(self.memory(torch.relu(self.heard(heard)))[0])

    def layers(self) -> dict[str, NDArray[np.float32]]:
        """As the kernels want them: the reset and update gates over inputs and memory at once."""
        weight_in, weight_old, bias_in, bias_old = (p.detach().numpy() for p in self.memory.parameters())
        gates = 2 * PITCH_HIDDEN
        return {
            "heard.weight": self.heard.weight.detach().numpy(),
            "heard.bias": self.heard.bias.detach().numpy(),
            "gates.weight": np.concatenate([weight_in, weight_old], axis=1)[:gates],
            "gates.bias": (bias_in + bias_old)[:gates],
            "fresh.weight": weight_in[gates:],
            "fresh.bias": bias_in[gates:],
            "old.weight": weight_old[gates:],
            "old.bias": bias_old[gates:],
            "classes.weight": self.classes.weight.detach().numpy(),
            "classes.bias": self.classes.bias.detach().numpy(),
        }


def target(f0: torch.Tensor) -> torch.Tensor:
    """(..., PITCH_CLASSES): a pitch is shared between the two semitones around it."""
    place = (12.0 * torch.log2(f0.clamp(min=LOWEST_HZ) / LOWEST_HZ)).clamp(max=UNVOICED - 1.001)
    below, voiced = place.floor().long(), (f0 > 0).float()
    share = torch.zeros(*f0.shape, PITCH_CLASSES)
    share.scatter_(-1, below[..., None], ((1.0 - place + below) * voiced)[..., None])
    share.scatter_(-1, below[..., None] + 1, ((place - below) * voiced)[..., None])
    share[..., UNVOICED] = 1.0 - voiced
    return share


def train(voices: list[Voice], noises: Noises, rounds: int, seed: int) -> Network:
    """Each round draws new lines and goes over them EPOCHS times."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = Network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    steps = rounds * EPOCHS * (SEQUENCES // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    for number in range(rounds):
        heard, f0, total = [], [], 0.0
        for _ in range(SEQUENCES // vk.LANES):
            lines = [sequence(voices, noises, rng) for _ in range(vk.LANES)]
            heard.append(hear([line for line, _ in lines]))
            f0 += [pitch for _, pitch in lines]
        inputs, truth = torch.from_numpy(np.concatenate(heard)), torch.from_numpy(np.stack(f0))
        for chosen in (part for _ in range(EPOCHS) for part in torch.randperm(SEQUENCES).split(BATCH)):
            said = torch.log_softmax(network(inputs[chosen].float())[:, PITCH_DELAY:], dim=-1)
            loss = -(target(truth[chosen][:, :-PITCH_DELAY]) * said).sum(dim=-1).mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"round {number + 1} of {rounds}: loss {total / (EPOCHS * (SEQUENCES // BATCH)):.4f}", flush=True)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hold-out", default="", help="EMO-DB speakers to leave out, e.g. 03,08")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    voices = read_voices(wanted.data, set(wanted.hold_out.split(",")))
    network = train(voices, Noises(wanted.data, voices), wanted.rounds, wanted.seed)
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(wanted.out, **network.layers())


if __name__ == "__main__":
    main()
