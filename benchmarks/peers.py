"""The peers: each a function from one channel at 8 kHz to its answer each 10 ms, or None where it is not installed.

Their packages are imported when first asked for. None of them is part of Vocal: openSMILE's licence is for research and
education only, Praat's is GPL.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray

from .corpora import RATE_HZ, STEP_SAMPLES, STEPS_PER_S, Array, Signal
from .results import Skipped


class Peer(NamedTuple):
    """hear: F0 in Hz, 0 where unvoiced, or a speech score 0-1, each (steps,). install: for pip."""

    who: str
    hear: Callable[[Signal], Array | None]
    install: str


class Installed(NamedTuple):
    answering: list[Peer]
    missing: list[Skipped]


def installed(peers: Iterable[Peer], topic: str) -> Installed:
    """Those that answer; and of each other what to install."""
    found = Installed([], [])
    for peer in peers:
        if peer.hear(np.zeros(RATE_HZ, np.float32)) is None:
            found.missing.append(not_installed(f"{topic}: {peer.who}", peer.install))
        else:
            found.answering.append(peer)
    return found


def not_installed(what: str, install: str) -> Skipped:
    return Skipped(what, f"not installed: pip install {install}")


def _middles(steps: int) -> Array:
    return (np.arange(steps) + 0.5) / STEPS_PER_S


def _nearest(times_s: NDArray[np.floating], values: NDArray[np.floating], at_s: Array) -> Array:
    """The value whose time is nearest; 0 where there is none."""
    if not len(times_s):
        return np.zeros(len(at_s))
    edges = (times_s[1:] + times_s[:-1]) / 2
    found = np.asarray(values, np.float64)[np.searchsorted(edges, at_s)]
    return np.where(np.isfinite(found), found, 0.0)


# --- F0 --------------------------------------------------------------------------------------------------------------


def praat_f0(samples: Signal, rate_hz: int = RATE_HZ, every_s: float = 0.01, at_s: Array | None = None) -> Array | None:
    """Praat's autocorrelation method, 75-500 Hz; also the reference, on the clean wide recording."""
    try:
        import parselmouth
    except ImportError:
        return None
    steps = len(samples) * STEPS_PER_S // rate_hz
    sound = parselmouth.Sound(np.asarray(samples, np.float64), rate_hz)
    pitch = sound.to_pitch_ac(time_step=every_s, pitch_floor=75.0, pitch_ceiling=500.0)
    return _nearest(pitch.xs(), pitch.selected_array["frequency"], _middles(steps) if at_s is None else at_s)


@cache
def _swift() -> Any:
    import swift_f0

    return swift_f0.SwiftF0(threads=1, spin=False)


def swift_f0(samples: Signal) -> Array | None:
    """60-500 Hz; it upsamples by itself."""
    try:
        found = _swift().detect(samples, RATE_HZ, fmin=60.0, fmax=500.0)
    except ImportError:
        return None
    f0_hz = np.where(found.confidence >= 0.5, found.pitch_hz, 0.0)
    return _nearest(found.timestamps, f0_hz, _middles(len(samples) // STEP_SAMPLES))


def rapt(samples: Signal) -> Array | None:
    """SPTK's, 60-500 Hz."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports pkg_resources, which says that it is going
            import pysptk
    except ImportError:
        return None
    given = np.asarray(samples, np.float32) * 32768
    f0_hz = pysptk.rapt(given, fs=RATE_HZ, hopsize=STEP_SAMPLES, min=60, max=500, otype="f0")
    steps = len(samples) // STEP_SAMPLES
    return _nearest(np.arange(len(f0_hz)) / STEPS_PER_S, f0_hz, _middles(steps))


@cache
def _egemaps() -> Any:
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors, num_workers=1)


def egemaps_f0(samples: Signal) -> Array | None:
    """openSMILE's eGeMAPS, semitones over 27.5 Hz; its steps have their times where their windows begin."""
    try:
        table = _egemaps().process_signal(samples, RATE_HZ)
    except ImportError:
        return None
    semitones = table["F0semitoneFrom27.5Hz_sma3nz"].to_numpy()
    times_s = table.index.get_level_values("start").total_seconds().to_numpy()
    f0_hz = np.where(semitones > 0, 27.5 * 2 ** (semitones / 12), 0.0)
    return _nearest(times_s, f0_hz, _middles(len(samples) // STEP_SAMPLES))


def pyin(samples: Signal) -> Array | None:
    """librosa's, 60-500 Hz."""
    try:
        import librosa
    except ImportError:
        return None
    # Its windows of 64 ms are longer than any cycle, at 10 ms hops.
    f0_hz, voiced, _ = librosa.pyin(
        samples, sr=RATE_HZ, fmin=60.0, fmax=500.0, frame_length=512, hop_length=STEP_SAMPLES, fill_na=0.0
    )
    steps = len(samples) // STEP_SAMPLES
    return _nearest(np.arange(len(f0_hz)) / STEPS_PER_S, np.where(voiced, f0_hz, 0.0), _middles(steps))


PRAAT = Peer("Praat AC", praat_f0, "praat-parselmouth")
F0 = (
    Peer("swift-f0", swift_f0, "swift-f0"),
    PRAAT,
    Peer("RAPT", rapt, "pysptk 'setuptools<81'"),
    Peer("openSMILE eGeMAPS", egemaps_f0, "opensmile"),
    Peer("librosa pYIN", pyin, "librosa"),
)


# --- speech ----------------------------------------------------------------------------------------------------------


def energy(samples: Signal) -> Array:
    """What level alone tells, no peer: in dB, smoothed over 50 ms."""
    power = (samples[: len(samples) // STEP_SAMPLES * STEP_SAMPLES].reshape(-1, STEP_SAMPLES).astype(np.float64)) ** 2
    return 10 * np.log10(np.convolve(power.mean(axis=1), np.full(5, 0.2), "same") + 1e-10)


@cache
def _silero() -> Any:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in vocal/emotion.py
    import onnxruntime

    # The package itself would import torch.
    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("silero_vad")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"), options, ["CPUExecutionProvider"]
    )


def silero(samples: Signal) -> Array | None:
    """silero VAD on the line upsampled to 16 kHz, where it is better than at 8; a score each 32 ms."""
    try:
        session = _silero()
    except ImportError:
        return None
    rate_hz, window, context = 16000, 512, 64
    wide = soxr.resample(samples, RATE_HZ, rate_hz).astype(np.float32)
    blocks = -(-len(wide) // window)
    padded = np.zeros(context + blocks * window, np.float32)
    padded[context : context + len(wide)] = wide
    state, rate = np.zeros((2, 1, 128), np.float32), np.array(rate_hz, np.int64)
    scores = np.empty(blocks)
    for i in range(blocks):
        given = padded[None, i * window : (i + 1) * window + context]
        score, state = session.run(None, {"input": given, "state": state, "sr": rate})
        scores[i] = score[0, 0]
    found: Array = scores[(_middles(len(samples) // STEP_SAMPLES) * rate_hz / window).astype(int)]
    return found


def webrtc(samples: Signal) -> Array | None:
    """webrtcvad each 10 ms; it has no score: the share of its four modes that say speech."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import webrtcvad
    except ImportError:
        return None
    whole = (np.clip(samples, -1, 32767 / 32768) * 32768).astype("<i2")
    steps = len(whole) // STEP_SAMPLES
    pieces = [whole[i * STEP_SAMPLES : (i + 1) * STEP_SAMPLES].tobytes() for i in range(steps)]
    says = np.zeros(steps)
    for mode in range(4):
        vad = webrtcvad.Vad(mode)
        says += [vad.is_speech(piece, RATE_HZ) for piece in pieces]
    return says / 4


SPEECH = (Peer("silero", silero, "silero-vad"), Peer("webrtcvad", webrtc, "webrtcvad-wheels"))


# --- tempo -----------------------------------------------------------------------------------------------------------


class Nuclei(NamedTuple):
    times_s: Array
    speech_s: float


def de_jong_wempe(samples: Signal, threshold_db: float = -25.0, dip_db: float = 2.0) -> Nuclei | None:
    """Syllable nuclei as de Jong & Wempe (2009) find them, on Praat's intensity and voicing.

    A nucleus is a peak of intensity above the 99 % quantile less 25 dB, followed by a dip of at least 2 dB before the
    next, and voiced. Speech is what lies above that threshold with pauses under 0.3 s closed.
    """
    try:
        import parselmouth
    except ImportError:
        return None
    sound = parselmouth.Sound(np.asarray(samples, np.float64), RATE_HZ)
    intensity = sound.to_intensity(minimum_pitch=50.0, subtract_mean=True)
    level, times_s = intensity.values[0], intensity.xs()
    lowest = max(float(level.min()), float(np.quantile(level, 0.99)) + threshold_db)
    rising, falling = np.diff(level[:-1]) > 0, np.diff(level[1:]) <= 0
    peaks = np.flatnonzero(rising & falling) + 1
    peaks = peaks[level[peaks] > lowest]
    kept = [
        peak for peak, following in pairwise([*peaks, len(level)]) if level[peak] - level[peak:following].min() > dip_db
    ]
    pitch = sound.to_pitch_ac(time_step=0.02, pitch_floor=30.0, pitch_ceiling=450.0, voicing_threshold=0.25)
    found = times_s[np.array(kept, int)]
    voiced = _nearest(pitch.xs(), pitch.selected_array["frequency"], found) > 0
    return Nuclei(found[voiced], _sounding_s(level > lowest, intensity.dx))


def _sounding_s(above: NDArray[np.bool_], step_s: float) -> float:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], above, [True]]).astype(np.int8)))
    pauses = (edges[1::2] - edges[::2]) * step_s
    return float(len(above) * step_s - pauses[pauses > 0.3].sum())


# --- targets ---------------------------------------------------------------------------------------------------------


def best(found: Sequence[float], stored: float | None, better: str) -> float | None:
    """What is to be beaten: the best peer of this run; without one, what was measured before."""
    if not found:
        return stored
    return max(found) if better == "higher" else min(found)
