"""The telephone condition: what a line does to a voice, with seeds. 300-3400 Hz, G.711, level, noise, speed."""

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

RATE_HZ = 8000
LEVEL_DBOV = -26.0


@dataclass(frozen=True)
class Line:
    """One line. snr_db is inside the band, over the active speech; speed changes tempo and pitch alike."""

    low_hz: float = 300.0
    high_hz: float = 3400.0
    level_dbov: float = LEVEL_DBOV
    snr_db: float = 40.0
    speed: float = 1.0
    tilt_db_per_octave: float = 0.0


def random_line(rng: np.random.Generator) -> Line:
    return Line(
        low_hz=float(rng.uniform(200, 350)),
        high_hz=float(rng.uniform(3200, 3600)),
        level_dbov=float(rng.uniform(-34, -18)),
        snr_db=float(rng.choice([15, 20, 25, 30, 40, 50])),
        speed=float(rng.uniform(0.95, 1.05)),
        tilt_db_per_octave=float(rng.uniform(-2, 2)),
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


def through(
    signal: NDArray[np.floating],
    rate_hz: int,
    line: Line,
    rng: np.random.Generator,
    sound: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """A recording (n,) at any rate as it would arrive over `line`, at 8 kHz. sound: heard with it, else white noise."""
    narrow = soxr.resample(signal, rate_hz * line.speed, RATE_HZ)
    band = butter(6, [line.low_hz, line.high_hz], "bandpass", fs=RATE_HZ, output="sos")
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
    return alaw(np.clip(voice + noise, -1.0, 0.9999))
