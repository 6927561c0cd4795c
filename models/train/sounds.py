"""Everyday sounds that are not speech, made from numbers, to train speech on: one kind each, `n` samples at 8 kHz.

Cries, sneezes and coughs are human but no speech: made here in their likeness, since no recording of them is used.
"""

from collections.abc import Callable, Sequence

import numpy as np
import soxr
import telephone
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt
from streams import Signal, bangs, coloured, dtmf, music, ringing, tones
from telephone import RATE_HZ

Array = NDArray[np.float64]
Random = np.random.Generator


def normal(signal: NDArray[np.floating]) -> Array:
    return np.asarray(signal, np.float64) / np.sqrt(np.mean(np.square(signal, dtype=np.float64)) + 1e-12)


def _between(rng: Random, low: float, high: float) -> float:
    """Evenly on a scale of ratios."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _wander(rng: Random, n: int, per_s: float) -> Array:
    """A smooth random line around 0, about 1 high, with so many bends a second."""
    knots = int(n / RATE_HZ * per_s) + 3
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.normal(size=knots))


def _put(out: Array, at: int, piece: Array) -> None:
    piece = piece[: max(len(out) - at, 0)]
    out[at : at + len(piece)] += piece


def _shaped(rng: Random, signal: Array, peaks: int = 3) -> Array:
    """Through resonances, as of a body or a throat."""
    out = signal
    for _ in range(peaks):
        hz, width = rng.uniform(250, 3500), rng.uniform(60, 500)
        r = np.exp(-np.pi * width / RATE_HZ)
        ring = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * hz / RATE_HZ), r * r], signal)
        out = out * rng.uniform(0.1, 0.6) + normal(ring) * np.sqrt(np.mean(signal**2))
    return out


def _hull(n: int, rise: float, fall: float) -> Array:
    """0 to 1 within the first `rise`, back within the last `fall` of it."""
    at = np.linspace(0, 1, n)
    return np.sin(np.pi / 2 * np.clip(np.minimum(at / max(rise, 1e-3), (1 - at) / max(fall, 1e-3)), 0, 1)) ** 1.5


def _voiced(rng: Random, hz: Array, slope: float) -> Array:
    """Harmonics of a pitch that moves."""
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ + rng.uniform(0, 6)
    out = np.zeros(len(hz))
    for k in range(1, min(int(3900 / max(hz.min(), 60)), 40) + 1):
        out += k**-slope * rng.uniform(0.4, 1) * np.sin(k * phase + rng.uniform(0, 6)) * (hz * k < 3900)
    return normal(out)


def _noise(rng: Random, n: int) -> Array:
    low = _between(rng, 100, 2000)
    high = min(low * _between(rng, 1.4, 12), 3900)
    band = butter(int(rng.integers(1, 4)), [low, high], "bandpass", fs=RATE_HZ, output="sos")
    return normal(sosfilt(band, rng.normal(size=n + 400))[400:])


def _hit(rng: Random) -> Array:
    """What is struck: modes that die away, and a burst of noise."""
    dull = rng.random() < 0.65
    n = int(RATE_HZ * (0.15 if dull else 1.2))
    t = np.arange(n) / RATE_HZ
    out = np.zeros(n)
    for _ in range(int(rng.integers(0, 9))):
        decay = _between(rng, 0.001, 0.03) if dull else _between(rng, 0.03, 0.5)
        out += rng.uniform(0.1, 1) * np.exp(-t / decay) * np.sin(2 * np.pi * _between(rng, 120, 3700) * t)
    burst = _noise(rng, n) * np.exp(-t / _between(rng, 0.0005, 0.05))
    out += burst * rng.uniform(0, 2)
    return out / (np.abs(out).max() + 1e-9)


def struck(rng: Random, n: int) -> Array:
    """Clock ticks, steps, knocks, typing, hammering, bells, claps: one or two timbres at even or uneven intervals."""
    out = np.zeros(n)
    hits = [_hit(rng) for _ in range(int(rng.integers(1, 4)))]
    every, uneven = _between(rng, 0.06, 1.5), rng.choice([0.0, 0.02, 0.1, 0.5])
    vary = rng.choice([0.05, 0.3, 0.8])
    at, count = rng.uniform(0, 0.5) * RATE_HZ, 0
    while at < n:
        loud = 10 ** (-rng.uniform(0, vary))
        _put(out, int(at), hits[count % len(hits)] * loud)
        at += RATE_HZ * every * max(1 + uneven * rng.normal(), 0.1)
        if rng.random() < 0.03:
            at += rng.uniform(0.3, 2) * RATE_HZ
        count += 1
    return out


def crackle(rng: Random, n: int) -> Array:
    """Fire, rain, rustling, frying, applause: many small bursts over a hiss."""
    rate = _between(rng, 3, 3000)
    sparks = (rng.random(n) < rate / RATE_HZ) * rng.choice([-1, 1], n) * rng.pareto(rng.uniform(1.2, 4), n)
    decay = np.exp(-1 / (RATE_HZ * _between(rng, 0.0003, 0.015)))
    bed = rng.normal(size=n)
    dots = sosfilt(butter(1, _between(rng, 200, 2500), "highpass", fs=RATE_HZ, output="sos"), sparks.clip(-30, 30))
    out = lfilter([1], [1, -decay], np.abs(dots)) * bed
    return normal(out) + rng.uniform(0, 0.4) * coloured(rng, n)


def animal(rng: Random, n: int) -> Array:
    """Barks, crowing, mewing, lowing, birds: calls of a gliding pitch with noise, alone or in groups."""
    out = np.zeros(n)
    base, long = _between(rng, 120, 2500), _between(rng, 0.06, 1.2)
    slope, breath, rough = rng.uniform(0.2, 2), rng.uniform(0, 0.8), rng.choice([0.0, 0.0, 0.5, 1.0])
    depth, bends = rng.uniform(0.05, 0.8), _between(rng, 1, 12)
    group = int(rng.integers(1, 6))
    state = int(rng.integers(2**31))
    at = rng.uniform(0, 0.6)
    while at * RATE_HZ < n:
        for _ in range(group):
            same = np.random.default_rng(state) if rng.random() < 0.8 else rng
            length = int(RATE_HZ * long * rng.uniform(0.7, 1.4))
            arc = np.sin(np.pi * np.linspace(same.uniform(0, 0.5), same.uniform(0.5, 1.2), length))
            hz = base * rng.uniform(0.92, 1.08) * 2 ** (depth * arc * same.choice([-1, 1]))
            hz = np.clip(hz * 2 ** (0.1 * depth * _wander(same, length, bends)), 70, 3800)
            call = _voiced(same, hz, slope) + breath * same.normal(size=length)
            if rough:
                call *= 1 + rough * np.sin(np.pi * np.cumsum(hz) / RATE_HZ * same.choice([1, 0.5]))
            call = normal(_shaped(same, call)) * _hull(length, same.uniform(0.02, 0.3), same.uniform(0.1, 0.7))
            _put(out, int(at * RATE_HZ), call * rng.uniform(0.5, 1))
            at += length / RATE_HZ + rng.uniform(0.02, 0.4)
        at += _between(rng, 0.15, 3)
    return out


def cries(rng: Random, n: int) -> Array:
    """As a baby: long high arcs with harmonics that the mouth hardly moves, breath drawn in between."""
    out = np.zeros(n)
    base, slope = _between(rng, 280, 650), rng.uniform(0, 1.2)
    state, long = int(rng.integers(2**31)), rng.uniform(0.4, 1.4)
    at = rng.uniform(0, 0.6)
    while at * RATE_HZ < n:
        same = np.random.default_rng(state)
        length = int(RATE_HZ * long * rng.uniform(0.6, 1.4))
        place = np.linspace(0, 1, length)
        near, depth = base * rng.uniform(0.9, 1.15), rng.uniform(0.1, 0.5)
        hz = near * 2 ** (depth * (np.sin(np.pi * place ** rng.uniform(0.4, 1.2)) - 0.5))
        hz = hz * (1 + rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(4, 9) * place * length / RATE_HZ))
        call = _voiced(same, np.clip(hz, 150, 1500), slope)
        if rng.random() < 0.4:  # hoarse, or an octave lower
            half = 1 + rng.uniform(0.2, 1) * np.sin(np.pi * np.cumsum(hz) / RATE_HZ)
            call = call * half + rng.uniform(0, 0.6) * rng.normal(size=length)
        call = normal(_shaped(same, call)) * _hull(length, rng.uniform(0.03, 0.3), rng.uniform(0.05, 0.4))
        _put(out, int(at * RATE_HZ), call)
        at += length / RATE_HZ + rng.uniform(0.02, 0.1)
        if rng.random() < 0.7:
            drawn = int(RATE_HZ * rng.uniform(0.1, 0.3))
            breath = _shaped(rng, _noise(rng, drawn)) * _hull(drawn, 0.5, 0.3)
            _put(out, int(at * RATE_HZ), breath * rng.uniform(0.05, 0.4))
            at += drawn / RATE_HZ
        at += rng.uniform(0.02, 0.5) if rng.random() < 0.85 else rng.uniform(0.5, 3)
    return out


def breaths(rng: Random, n: int) -> Array:
    """Breathing, blowing, snoring, coughs and sneezes: noise through a throat."""
    out = np.zeros(n)
    kind = rng.random()
    at = rng.uniform(0, 1)
    while at * RATE_HZ < n:
        if kind < 0.5:
            length = int(RATE_HZ * _between(rng, 0.15, 1.5))
            piece = _shaped(rng, _noise(rng, length)) * _hull(length, rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.7))
            if rng.random() < 0.25:  # a snore
                piece *= np.abs(np.sin(np.pi * rng.uniform(15, 50) * np.arange(length) / RATE_HZ))
            rest = rng.uniform(0.1, 2)
        else:
            # Air drawn in, a burst with some voice in it, an echo of it.
            drawn, burst = int(RATE_HZ * rng.uniform(0.05, 0.6)), int(RATE_HZ * _between(rng, 0.1, 0.5))
            inward = _shaped(rng, _noise(rng, drawn)) * _hull(drawn, 0.8, 0.1) * rng.uniform(0, 0.3)
            t = np.linspace(0, 1, burst)
            hz = _between(rng, 120, 500) * 2 ** (-rng.uniform(0, 0.8) * t)
            outward = rng.normal(size=burst) + rng.uniform(0, 0.8) * _voiced(rng, hz, 1.0) * _hull(burst, 0.1, 0.6)
            outward = _shaped(rng, outward) * np.minimum(t / 0.04, 1) * np.exp(-t * rng.uniform(1.5, 6))
            piece = np.concatenate([inward, np.zeros(int(RATE_HZ * rng.uniform(0, 0.15))), outward])
            again = int(rng.integers(1, 4)) if rng.random() < 0.5 else 1
            piece = np.concatenate([piece, *(outward * rng.uniform(0.3, 1) for _ in range(again - 1))])
            rest = _between(rng, 0.1, 4)
        _put(out, int(at * RATE_HZ), piece)
        at += len(piece) / RATE_HZ + rest
    return out


def engine(rng: Random, n: int) -> Array:
    """Motors, saws, helicopters, hair dryers: harmonics or noise at a rate that drifts or is revved."""
    t = np.arange(n) / RATE_HZ
    rate = _between(rng, 8, 250) * 2 ** (rng.choice([0.02, 0.1, 0.6]) * _wander(rng, n, _between(rng, 0.2, 3)))
    phase = 2 * np.pi * np.cumsum(rate) / RATE_HZ
    pulses = np.maximum(np.cos(phase), 0) ** _between(rng, 1, 60)
    out = pulses * (rng.uniform(0, 1) + rng.uniform(0, 1) * rng.normal(size=n))
    out = normal(_shaped(rng, out, int(rng.integers(1, 6)))) + rng.uniform(0, 1) * coloured(rng, n)
    if rng.random() < 0.3:  # revved, or switched on and off
        out *= 10 ** np.clip(rng.uniform(0.2, 1) * _wander(rng, n, _between(rng, 0.3, 4)), -2, 1)
    return out * (1 + rng.uniform(0, 0.5) * np.sin(2 * np.pi * _between(rng, 0.3, 12) * t))


def siren(rng: Random, n: int) -> Array:
    """Sirens, alarms, whistles: a pitch that swings, jumps or sounds in pulses."""
    t = np.arange(n) / RATE_HZ
    rate, base, depth = _between(rng, 0.1, 12), _between(rng, 300, 2200), rng.uniform(0.05, 1.2)
    swing = [np.sin(2 * np.pi * rate * t), 2 * ((t * rate) % 1) - 1, np.sign(np.sin(2 * np.pi * rate * t))][
        int(rng.integers(3))
    ]
    hz = np.clip(base * 2 ** (depth * swing / 2), 100, 3800)
    out = _voiced(rng, hz, rng.uniform(0.3, 3))
    if rng.random() < 0.4:
        out *= (t * _between(rng, 0.5, 12)) % 1 < rng.uniform(0.2, 0.9)
    return out


def rubbed(rng: Random, n: int) -> Array:
    """Brushing, sawing, wiping, wind, a handset being moved: noise whose strength comes and goes."""
    out = _shaped(rng, _noise(rng, n), int(rng.integers(0, 4)))
    t = np.arange(n) / RATE_HZ
    kind = rng.random()
    if kind < 0.4:
        beat = np.sin(2 * np.pi * _between(rng, 0.8, 9) * t + 0.5 * _wander(rng, n, 2))
        hull = np.maximum(beat + rng.uniform(-0.5, 0.8), 0) ** rng.uniform(0.5, 3)
    else:
        hull = 10 ** (rng.uniform(0.2, 1) * _wander(rng, n, _between(rng, 0.3, 15)))
    return out * np.clip(hull, 0, 10)


def creak(rng: Random, n: int) -> Array:
    """Doors and chairs: pulses at a rate that moves, through resonances; squeaks."""
    rate = np.clip(_between(rng, 15, 400) * 2 ** (0.7 * _wander(rng, n, _between(rng, 0.5, 5))), 8, 1500)
    phase = np.cumsum(rate) / RATE_HZ
    pulses = np.diff(np.floor(phase), prepend=0) * rng.uniform(0.3, 1, n)
    hull = np.clip(_wander(rng, n, _between(rng, 0.5, 4)) + rng.uniform(-0.5, 1), 0, 1)
    return _shaped(rng, pulses * hull, int(rng.integers(2, 6))) + 0.02 * hull * rng.normal(size=n)


def bubbles(rng: Random, n: int) -> Array:
    """Water, birds, crickets: many short chirps."""
    out = np.zeros(n)
    low, rate = _between(rng, 200, 1500), _between(rng, 1, 40)
    high = min(low * _between(rng, 1.2, 5), 3800)
    at = 0.0
    while at < n:
        length = int(RATE_HZ * _between(rng, 0.01, 0.2))
        t = np.arange(length) / RATE_HZ
        hz = np.clip(_between(rng, low, high) * 2 ** (rng.uniform(-8, 15) * t), 80, 3900)
        _put(out, int(at), np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * _hull(length, 0.1, 0.8) * rng.uniform(0.1, 1))
        at += rng.exponential(RATE_HZ / rate)
    return out + rng.uniform(0, 0.3) * np.sqrt(np.mean(out**2)) * coloured(rng, n)


def solo(rng: Random, n: int) -> Array:
    """One instrument: notes of a body of fixed resonances, some with vibrato, some tied."""
    hz, at = np.zeros(n), 0
    hull = np.zeros(n)
    root, beat = rng.uniform(48, 80), _between(rng, 0.12, 0.8)
    scale = np.array([-5, -3, -1, 0, 2, 4, 5, 7, 9, 11, 12])
    tied = rng.random() < 0.5
    decay = _between(rng, 0.1, 5)
    while at < n:
        length = int(RATE_HZ * beat * rng.choice([0.5, 1, 1, 2, 4]))
        hz[at : at + length] = 440 * 2 ** ((root + rng.choice(scale) - 69) / 12)
        piece = np.exp(-np.arange(length) / RATE_HZ / decay)
        if not tied:
            piece *= _hull(length, rng.uniform(0.01, 0.2), rng.uniform(0.05, 0.4)) * (rng.random() > 0.12)
        hull[at : at + length] = piece[: n - at]
        at += length
    slide = np.exp(-1 / (RATE_HZ * _between(rng, 0.002, 0.06)))
    hz = lfilter([1 - slide], [1, -slide], hz, zi=[slide * hz[0]])[0]
    vibrato = rng.choice([0.0, 0.005, 0.02])
    hz = hz * (1 + vibrato * np.sin(2 * np.pi * rng.uniform(4, 7) * np.arange(n) / RATE_HZ))
    out = _voiced(rng, hz, rng.uniform(0.5, 2.5)) * lfilter([0.01], [1, -0.99], hull)
    return _shaped(rng, out, int(rng.integers(0, 4))) + rng.uniform(0, 0.03) * rng.normal(size=n)


def dialled(rng: Random, n: int) -> Array:
    """Keys by hand or by machine, one tone louder than the other; numbers with a wait between."""
    out, at = np.zeros(n), 0
    by_hand, twist = rng.random() < 0.6, 10 ** (rng.uniform(-6, 6) / 20)
    while at < n:
        on = rng.uniform(0.08, 0.7) if by_hand else rng.uniform(0.05, 0.12)
        off = rng.uniform(0.05, 0.8) if by_hand else on * rng.uniform(0.7, 1.3)
        t = np.arange(int(on * RATE_HZ)) / RATE_HZ
        row, column = rng.choice([697, 770, 852, 941]), rng.choice([1209, 1336, 1477, 1633])
        _put(out, at, np.sin(2 * np.pi * row * t) + twist * np.sin(2 * np.pi * column * t))
        at += int((on + off) * RATE_HZ)
        if rng.random() < 0.08:
            at += int(rng.uniform(0.5, 4) * RATE_HZ)
    return out


def data_tones(rng: Random, n: int) -> Array:
    """Fax and modem: answer tones, shift keying, scrambled carriers."""
    t = np.arange(n) / RATE_HZ
    kind = rng.random()
    if kind < 0.3:
        hz = rng.choice([1100, 1300, 2100, 2225])
        turns = np.where((t * rng.choice([0.0, 2.22])) % 2 < 1, 1, -1)
        on, off = rng.choice([0.5, 3.3, 9.0]), rng.choice([0.0, 0.5, 3.0])
        return np.sin(2 * np.pi * hz * t) * turns * (t % (on + off) < on)
    baud = rng.choice([75, 110, 300, 600, 1200, 2400])
    bits = rng.integers(0, 4, int(n * baud / RATE_HZ) + 2)[(t * baud).astype(int)]
    if kind < 0.65:
        low, high = [(980, 1180), (1650, 1850), (1270, 1070), (1300, 2100)][int(rng.integers(4))]
        return np.sin(2 * np.pi * np.cumsum(np.where(bits > 1, low, high)) / RATE_HZ)
    return np.sin(2 * np.pi * rng.choice([1200, 1700, 1800, 2400]) * t + np.pi / 2 * bits)


def recorded(rng: Random, n: int, sounds: Sequence[Signal]) -> Array:
    """A recording at another speed, or a part of it at random intervals."""
    sound = sounds[int(rng.integers(len(sounds)))]
    if rng.random() < 0.75:
        sound = soxr.resample(sound, RATE_HZ * _between(rng, 0.65, 1.5), RATE_HZ)
    if rng.random() < 0.25:
        length = min(int(RATE_HZ * rng.uniform(0.3, 2)), len(sound))
        first = int(rng.integers(0, len(sound) - length + 1))
        part, out, at = sound[first : first + length] * _hull(length, 0.05, 0.1), np.zeros(n), rng.uniform(0, RATE_HZ)
        while at < n:
            _put(out, int(at), part * rng.uniform(0.4, 1))
            at += length + rng.exponential(0.7) * RATE_HZ
        return out
    first = 0 if rng.random() < 0.5 else int(rng.integers(0, len(sound)))
    return np.resize(np.roll(sound, -first), n).astype(np.float64)


MADE: dict[Callable[[Random, int], Array], float] = {
    struck: 0.14,
    crackle: 0.07,
    animal: 0.13,
    cries: 0.09,
    breaths: 0.12,
    engine: 0.06,
    siren: 0.04,
    rubbed: 0.07,
    creak: 0.04,
    bubbles: 0.04,
    solo: 0.07,
    dialled: 0.03,
    data_tones: 0.03,
    bangs: 0.04,
    music: 0.06,
    dtmf: 0.01,
    ringing: 0.02,
    tones: 0.02,
}
RECORDED = 0.3


def everyday(rng: Random, n: int, sounds: Sequence[Signal]) -> Array:
    """`n` samples of one sound, its loud parts at 1."""
    if rng.random() < RECORDED:
        out = recorded(rng, n, sounds)
    else:
        kinds, shares = list(MADE), np.array(list(MADE.values()))
        out = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))](rng, n)
    if rng.random() < 0.3:
        out = in_a_room(rng, out)
    power = np.sort(np.mean(out[: n // 80 * 80].reshape(-1, 80) ** 2, axis=1))
    return out / np.sqrt(power[-max(len(power) // 5, 1) :].mean() + 1e-12)


def in_a_room(rng: Random, signal: NDArray[np.floating]) -> Array:
    """With an echo of 0.1 to 0.7 s."""
    return telephone.in_a_room(signal, _between(rng, 0.1, 0.7), rng)
