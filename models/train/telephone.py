"""The telephone condition: what a line does to a voice, with seeds: band, codec, level, room, noise, loss."""

import io
from dataclasses import dataclass

import av
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

RATE_HZ = 8000
LEVEL_DBOV = -26.0
PACKET_SAMPLES = 160


@dataclass(frozen=True)
class Line:
    """One line. low_hz 0 lets everything through below. snr_db is inside the band, over active speech; speed changes
    tempo and pitch alike. Of 20 ms packets lost_share never arrive and are NaN."""

    low_hz: float = 300.0
    high_hz: float = 3400.0
    codec: str = "alaw"
    level_dbov: float = LEVEL_DBOV
    snr_db: float = 40.0
    speed: float = 1.0
    tilt_db_per_octave: float = 0.0
    room_s: float = 0.0
    has_agc: bool = False
    lost_share: float = 0.0


CODECS = {"alaw": 0.25, "mulaw": 0.25, "opus": 0.2, "amr": 0.15, "linear": 0.15}


def random_line(rng: np.random.Generator) -> Line:
    """Half of all lines are of the fixed network; the others may have another codec, no lower edge as of voice over IP,
    gain control or loss. A third leave the tempo alone."""
    is_fixed = rng.random() < 0.5
    return Line(
        low_hz=0.0 if not is_fixed and rng.random() < 0.5 else float(rng.uniform(150, 380)),
        high_hz=float(rng.uniform(3000, 3800)),
        codec="alaw" if is_fixed else str(rng.choice(list(CODECS), p=list(CODECS.values()))),
        level_dbov=float(rng.uniform(-38, -16)),
        snr_db=float(rng.choice([10, 15, 20, 25, 30, 40, 50])),
        speed=1.0 if rng.random() < 0.33 else float(np.exp(rng.uniform(np.log(0.88), np.log(1.14)))),
        tilt_db_per_octave=float(rng.uniform(-3, 3)),
        room_s=float(rng.uniform(0.1, 0.6)) if rng.random() < 0.2 else 0.0,
        has_agc=bool(not is_fixed and rng.random() < 0.3),
        lost_share=float(rng.uniform(0.005, 0.05)) if not is_fixed and rng.random() < 0.3 else 0.0,
    )


def active_power(signal: NDArray[np.floating]) -> float:
    """Mean square of the louder half of 20 ms frames."""
    frames = signal[: len(signal) // 160 * 160].reshape(-1, 160)
    power = np.sort((frames.astype(np.float64) ** 2).mean(axis=1))
    return float(power[len(power) // 2 :].mean()) + 1e-12


def alaw(signal: NDArray[np.floating]) -> NDArray[np.float32]:
    """Through G.711 A-law and back, by the standard's segments: 13 bit, sign and seven bits kept."""
    whole = np.clip(np.floor(np.abs(signal) * 4096.0), 0, 4095).astype(np.int64)
    exponent = np.maximum(np.floor(np.log2(np.maximum(whole, 1))).astype(np.int64) - 4, 1)
    step = 1 << exponent
    heard = (whole // step) * step + step // 2
    return (np.sign(signal) * heard / 4096.0).astype(np.float32)


def mulaw(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    """Through the mu-law curve and back, eight bits."""
    squeezed = np.round(np.log1p(255 * np.abs(signal)) / np.log(256) * 127) / 127
    return np.sign(signal) * (256**squeezed - 1) / 255


def compressed(signal: NDArray[np.floating], codec: str) -> NDArray[np.float32]:
    """Through a codec that models speech and back, as long as it was: opus or amr, narrowband at 12 kbit/s."""
    form, encoder, bits_per_s = {"opus": ("ogg", "libopus", 12000), "amr": ("amr", "libopencore_amrnb", 12200)}[codec]
    pcm = np.round(np.clip(signal, -1.0, 0.9999) * 32768.0).astype(np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format=form) as out:
        stream = out.add_stream(encoder, rate=RATE_HZ, layout="mono", bit_rate=bits_per_s)
        if codec == "opus":
            stream.codec_context.options = {"application": "voip", "cutoff": "4000"}
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    file.seek(0)
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    with av.open(file) as given:
        frames = [f for frame in given.decode(audio=0) for f in resampler.resample(frame)] + resampler.resample(None)
    heard = np.concatenate([f.to_ndarray()[0] for f in frames]).astype(np.float32) / 32768.0
    return np.pad(heard, (0, max(0, len(signal) - len(heard))))[: len(signal)]


def levelled(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    """Automatic gain control: towards one level, within 20 dB, in tenths of a second down and seconds up."""
    power = np.square(signal, dtype=np.float64)
    slow = lfilter([1e-4], [1, -(1 - 1e-4)], power)
    fast = lfilter([1e-3], [1, -(1 - 1e-3)], power)
    gain = np.sqrt(10.0 ** (LEVEL_DBOV / 10.0) / (np.maximum(slow, fast) + 1e-7))
    return signal * np.clip(gain, 0.1, 10.0)


def in_a_room(signal: NDArray[np.floating], lasts_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """With an echo that dies away within `lasts_s`, 0-15 dB under it."""
    t = np.arange(int(RATE_HZ * lasts_s)) / RATE_HZ
    tail = rng.normal(size=len(t)) * 10 ** (-3 * t / lasts_s) * (t > rng.uniform(0.001, 0.02))
    tail *= 10 ** (rng.uniform(-15, 0) / 20) / np.sqrt(np.sum(tail**2))
    tail[0] += 1.0
    return fftconvolve(signal, tail)[: len(signal)]


def through(
    signal: NDArray[np.floating],
    rate_hz: int,
    line: Line,
    rng: np.random.Generator,
    sound: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """A recording (n,) at any rate as it would arrive over `line`, at 8 kHz. sound: heard with it, else white noise."""
    narrow = soxr.resample(signal, rate_hz * line.speed, RATE_HZ)
    if line.room_s:
        narrow = in_a_room(narrow, line.room_s, rng)
    if line.low_hz:
        band = butter(6, [line.low_hz, line.high_hz], "bandpass", fs=RATE_HZ, output="sos")
    else:
        band = butter(6, line.high_hz, "lowpass", fs=RATE_HZ, output="sos")
    if line.tilt_db_per_octave:
        spectrum = np.fft.rfft(narrow)
        octaves = np.log2(np.maximum(np.fft.rfftfreq(len(narrow), 1 / RATE_HZ), 50.0) / 1000.0)
        narrow = np.fft.irfft(spectrum * 10.0 ** (line.tilt_db_per_octave * octaves / 20.0), len(narrow))
    voice = sosfilt(band, narrow)
    voice *= np.sqrt(10.0 ** (line.level_dbov / 10.0) / active_power(voice))
    size = len(voice) + RATE_HZ
    given = rng.normal(size=size) if sound is None else np.resize(np.roll(sound, rng.integers(len(sound))), size)
    noise = sosfilt(band, given)[RATE_HZ:]
    noise *= np.sqrt(10.0 ** ((line.level_dbov - line.snr_db) / 10.0) / (np.mean(noise**2) + 1e-12))
    sent = levelled(voice + noise) if line.has_agc else voice + noise
    sent = np.clip(sent, -1.0, 0.9999)
    if line.codec == "linear":
        heard = sent.astype(np.float32)
    elif line.codec in ("alaw", "mulaw"):
        heard = (alaw if line.codec == "alaw" else mulaw)(sent).astype(np.float32)
    else:
        heard = compressed(sent, line.codec)
    if line.lost_share:
        lost = rng.random(-(-len(heard) // PACKET_SAMPLES)) < line.lost_share
        heard[np.repeat(lost, PACKET_SAMPLES)[: len(heard)]] = np.nan
    return heard
