"""Recordings with an emotion for truth, and the lines they are heard over.

emotion.csv in the folder of corpora is the table: corpus, language, path, speaker, gender, emotion, and where somebody
judged them intensity, arousal and valence (-1..1). The plain line is 8 kHz, 300-3400 Hz, -26 dBov, A-law.
"""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vocal.errors import InputError

from .corpora import RATE_HZ, Array, Condition, Signal, alaw, at_level, band, generator, narrow, noise_of
from .reading import number, read
from .results import Skipped

LOW, HIGH = ("boredom", "neutral", "sadness", "calm"), ("anger", "fear", "happiness", "surprise")
FOUR = ("anger", "happiness", "neutral", "sadness")
KNOWN = frozenset((*LOW, *HIGH, "disgust"))
NEEDED = ("corpus", "language", "path", "speaker", "gender", "emotion")
TALKERS = 8
PACKET_SAMPLES = 160
PLAIN = "A-law"


class Item(NamedTuple):
    """A recording and what is known of it. arousal, valence: 0-1, NaN where nobody judged them."""

    corpus: str
    language: str
    path: Path
    speaker: str
    gender: str
    emotion: str
    intensity: str
    arousal: float
    valence: float


class Table(NamedTuple):
    """left_out: lines with a label of no known meaning."""

    items: list[Item]
    left_out: list[Skipped]


def read_table(data: Path) -> Table:
    """Raises InputError where there is no table, where columns lack, for what cannot be right in a line, and for lines
    whose recordings are not there."""
    path = data / "emotion.csv"
    if not path.is_file():
        raise InputError(f"{data}: emotion needs emotion.csv in it: {', '.join(NEEDED)}, ...")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            lines = [(f"{path}, line {reader.line_num}", line) for line in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: wanted a table with commas, in UTF-8: {error}") from None
    lacking = [name for name in NEEDED if name not in columns]
    if lacking:
        raise InputError(f"{path}: wanted columns {', '.join(NEEDED)}; missing: {', '.join(lacking)}")

    def plane(where: str, line: dict[str, str], what: str) -> float:
        given = line.get(what)
        return (number(where, what, given, -1.0, 1.0) + 1.0) / 2.0 if given else np.nan

    items = []
    for where, line in lines:
        lacking = [name for name in NEEDED if line.get(name) is None]
        if lacking:
            raise InputError(f"{where}: wanted {', '.join(NEEDED)}; missing: {', '.join(lacking)}")
        known, judged = [line[name] for name in NEEDED], [plane(where, line, what) for what in ("arousal", "valence")]
        corpus, language, name, speaker, gender, emotion = known
        intensity = line.get("intensity") or ""
        items.append(Item(corpus, language, data / name, speaker, gender, emotion, intensity, *judged))
    gone = [item.path for item in items if not item.path.is_file()]
    if gone:
        some = ", ".join(str(one.relative_to(data)) for one in gone[:5])
        raise InputError(
            f"{path}: {len(gone)} of {len(items)} recordings are not there: {some}{', ...' * (len(gone) > 5)}"
        )
    wanted = f"{path}: wanted an emotion of {', '.join(sorted(KNOWN))}; got"
    unknown = Counter(item.emotion for item in items if item.emotion not in KNOWN)
    told = ", ".join(f"{label or 'none'} ({count})" for label, count in unknown.most_common())
    items = [item for item in items if item.emotion in KNOWN]
    if not items:
        raise InputError(f"{wanted} {told or 'no line'}")
    what = f"emotion: {unknown.total()} recordings"
    return Table(items, [Skipped(what, f"{wanted} {told}")] if unknown else [])


def voice(path: Path) -> Signal:
    """A recording at 8 kHz inside the telephone's band, its active speech at -26 dBov."""
    return at_level(band(narrow(*read(path)))).astype(np.float32)


# --- lines -----------------------------------------------------------------------------------------------------------

Send = Callable[[Signal, np.random.Generator], Signal]


class Line(NamedTuple):
    """send: a voice inside the band and at its level, as it arrives; NaN where nothing did."""

    name: str
    send: Send


def mulaw(signal: NDArray[np.floating]) -> Signal:
    """Through G.711 mu-law and back."""
    size = np.minimum(np.abs(signal) * 8192.0, 8158.0) + 33.0
    step = 2.0 ** (np.frexp(size)[1] - 5)
    back = ((np.floor(size / step) + 0.5) * step - 33.0) / 8192.0
    heard: Signal = np.copysign(back, signal).astype(np.float32)
    return heard


def coded(signal: NDArray[np.floating], codec: str, bit_rate: int) -> Signal:
    """Through an encoder of FFmpeg and its decoder, 20 ms at a time; the coder's delay is taken off again.

    Raises LookupError where this build of FFmpeg has no such encoder.
    """
    import av

    encoder_name, decoder_name = {"opus": ("libopus", "libopus"), "amr": ("libopencore_amrnb", "amrnb")}[codec]
    try:
        encoder: Any = av.CodecContext.create(encoder_name, "w")
        decoder: Any = av.CodecContext.create(decoder_name, "r")
    except ValueError as error:  # what PyAV raises for an unknown codec is one
        raise LookupError(encoder_name) from error
    encoder.sample_rate, encoder.format, encoder.layout, encoder.bit_rate = RATE_HZ, "s16", "mono", bit_rate
    decoder.sample_rate, decoder.layout = RATE_HZ, "mono"
    n, most = len(signal), RATE_HZ // 5
    whole = np.concatenate([np.clip(signal, -1, 32767 / 32768) * 32768, np.zeros(most + PACKET_SAMPLES)])
    packets = []
    for first in range(0, n + most, PACKET_SAMPLES):
        given = whole[None, first : first + PACKET_SAMPLES].astype(np.int16)
        frame = av.AudioFrame.from_ndarray(given, format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, first
        packets += encoder.encode(frame)
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    pieces = [
        frame.to_ndarray()[0].astype(np.float32) / (32768 if "s16" in frame.format.name else 1) for frame in frames
    ]
    heard = narrow(np.concatenate(pieces), frames[0].sample_rate)
    size = 1 << (len(heard) + n).bit_length()
    match = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(signal, size)), size)
    delay = int(np.argmax(match[:most]))
    return np.pad(heard[delay : delay + n], (0, max(0, n - len(heard) + delay))).astype(np.float32)


def with_agc(signal: NDArray[np.floating]) -> Array:
    """A gateway's automatic gain: down to -20 dBov at once, back up within seconds, by 30 dB at most, in pauses too."""
    frames = -(-len(signal) // PACKET_SAMPLES)
    padded = np.pad(signal, (0, frames * PACKET_SAMPLES - len(signal)))
    power = (padded.reshape(-1, PACKET_SAMPLES) ** 2).mean(axis=1) + 1e-12
    gains, gain_db = np.empty(frames), 0.0
    for i, level_db in enumerate(10 * np.log10(power)):
        wanted = min(-20.0 - level_db, 30.0)
        gain_db = wanted if wanted < gain_db else min(wanted, gain_db + 0.3)
        gains[i] = gain_db
    at = np.arange(len(signal)) / PACKET_SAMPLES
    return np.asarray(signal * 10 ** (np.interp(at, np.arange(frames) + 0.5, gains) / 20))


def _clipped(signal: NDArray[np.floating], drive_db: float) -> Array:
    """Driven that far into a limit, and again as loud as it was."""
    clipped = np.clip(signal * 10 ** (drive_db / 20) / 10 ** (-11.0 / 20), -1.0, 1.0)
    return at_level(clipped)


def _lost(signal: Signal, share: float, rng: np.random.Generator) -> Signal:
    kept = rng.random(-(-len(signal) // PACKET_SAMPLES)) >= share
    return np.where(np.repeat(kept, PACKET_SAMPLES)[: len(signal)], signal, np.float32(np.nan))


def _mixed(signal: NDArray[np.floating], noise: Array, snr_db: float) -> Signal:
    gain = 10 ** ((-26.0 - snr_db) / 20) / np.sqrt(np.mean(noise**2) + 1e-12)
    return alaw(signal + noise * gain)


def babbles(items: Sequence[Item], voices: Sequence[Signal], seconds: int = 30) -> dict[str, Array]:
    """For each speaker TALKERS others at once, each as loud."""
    by_speaker: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        by_speaker.setdefault(item.speaker, []).append(i)
    found = {}
    for speaker in by_speaker:
        rng = generator(f"babble {speaker}")
        others = [other for other in by_speaker if other != speaker] or [speaker]
        total = np.zeros(seconds * RATE_HZ)
        for talker in rng.permutation(len(others))[:TALKERS]:
            own = rng.permutation(by_speaker[others[talker]])[:12]
            total += np.resize(np.concatenate([voices[i] for i in own]), len(total))
        found[speaker] = total
    return found


def plain(signal: Signal, rng: np.random.Generator | None = None) -> Signal:
    del rng
    return alaw(signal)


class Lines(NamedTuple):
    kept: list[Line]
    missing: list[Skipped]


def lines(everyday: Sequence[Signal]) -> Lines:
    """The plain line first. everyday: noises; without them their line is missing, as is a codec that is not there."""

    def noisy(snr_db: float) -> Send:
        return lambda x, rng: alaw(x + noise_of(Condition("", "white", snr_db), len(x), np.zeros(1), rng))

    def lossy(share: float) -> Send:
        return lambda x, rng: _lost(alaw(x), share, rng)

    def levelled(level_dbov: float) -> Send:
        return lambda x, rng: alaw(np.clip(at_level(x, level_dbov), -1, 1))

    def through(codec: str, bit_rate: int) -> Send:
        return lambda x, rng: coded(x, codec, bit_rate)

    def heard_in(x: Signal, rng: np.random.Generator) -> Signal:
        noise = np.roll(everyday[int(rng.integers(len(everyday)))], int(rng.integers(RATE_HZ)))
        return _mixed(x, band(np.resize(noise, len(x) + RATE_HZ))[: len(x)], 10.0)

    found = [
        Line(PLAIN, plain),
        Line("no codec", lambda x, rng: x),
        Line("mu-law", lambda x, rng: mulaw(x)),
        Line("Opus 12 kbit/s", through("opus", 12000)),
        Line("Opus 8 kbit/s", through("opus", 8000)),
        Line("AMR 7.95 kbit/s", through("amr", 7950)),
        Line("1 % lost", lossy(0.01)),
        Line("3 % lost", lossy(0.03)),
        Line("10 % lost", lossy(0.1)),
        Line("white 20 dB", noisy(20.0)),
        Line("white 10 dB", noisy(10.0)),
        Line("white 5 dB", noisy(5.0)),
        Line("everyday 10 dB", heard_in),
        Line("gain control", lambda x, rng: alaw(np.clip(with_agc(x), -1, 1))),
        Line("level -12 dBov", levelled(-12.0)),
        Line("level -40 dBov", levelled(-40.0)),
        Line("clipped by 12 dB", lambda x, rng: alaw(_clipped(x, 12.0))),
    ]
    if not everyday:
        found = [line for line in found if line.send is not heard_in]
    usable = Lines([], [])
    for line in found:
        try:
            line.send(np.zeros(RATE_HZ, np.float32) + 1e-3, np.random.default_rng(0))
            usable.kept.append(line)
        except LookupError as error:
            usable.missing.append(Skipped(f"emotion: lines, {line.name}", f"FFmpeg has no {error} here"))
    return usable
