"""Corpora as `vocal bench accuracy` reads them, in small: made voices whose truth is known."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from signals import RATE_HZ, call, line, voice

SPEAKERS = {"03": 110.0, "08": 190.0, "09": 120.0}
EMOTIONS = ("anger", "happiness", "neutral", "sadness")
SECONDS = 2.0
AROUND_S = 0.25


def write(folder: Path) -> Path:
    """All that the topics need, a few seconds of each."""
    _emodb(folder / "emodb", folder / "emotion.csv")
    _timit(folder / "timit_nltk" / "dr1-fabc0")
    _laryngograph(folder / "fda_ue")
    _hand_labelled(folder / "upc_vad")
    for kind in ("esc10/001 - Dog bark", "esc10/004 - Baby cry", "speechdnn/Nonspeech"):
        _sound(folder / "noise" / kind / "a.flac", np.concatenate([line(0.5), line(1.0, -30.0, 5), line(0.5)]))
    _levels(folder)
    _calls(folder / "calls" / "staged")
    return folder


def _sound(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ)


def _spoken(f0_hz: float, syllables: int, seed: int) -> np.ndarray:
    around = line(AROUND_S, seed=seed)
    return np.concatenate([around, voice(SECONDS, f0_hz, syllables / SECONDS, seed=seed), around])


def _edges(syllables: int) -> np.ndarray:
    return np.linspace(AROUND_S, AROUND_S + SECONDS, syllables + 1)


def _emodb(folder: Path, table: Path) -> None:
    rows = []
    for speaker, f0_hz in SPEAKERS.items():
        for number, emotion in enumerate(EMOTIONS):
            name = f"{speaker}a{number:02}Xa"
            _sound(folder / "wav" / f"{name}.flac", _spoken(f0_hz * (1.0 + 0.1 * number), 6 + number, number + 1))
            starts = _edges(6 + number)
            labels = [f"{start:12.6f}   -1 {'a' if at % 2 else 'l'}" for at, start in enumerate(starts[:-1])]
            phones = ["signal made", "#", "    0.000000   -1 .", *labels, f"{starts[-1]:12.6f}   -1 ."]
            syllables = [f"{start:f}\tla" for start in starts[:-1]] + [f"{starts[-1]:f}\t."]
            for place, lines in ((f"lablaut/{name}xx.lablaut", phones), (f"silb/{name}.silb", syllables)):
                (folder / place).parent.mkdir(exist_ok=True)
                (folder / place).write_text("\n".join(lines) + "\n")
            sex = "f" if f0_hz > 150.0 else "m"
            rows.append(("emodb", "de", f"emodb/wav/{name}.flac", f"emodb/{speaker}", sex, emotion, "0.5", "-0.5"))
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("corpus", "language", "path", "speaker", "gender", "emotion", "arousal", "valence"))
        writer.writerows(rows)


def _timit(folder: Path) -> None:
    for number in range(4):
        _sound(folder / f"sa{number}.flac", _spoken(150.0, 6 + number, number + 20))
        edges = np.round(_edges(6 + number) * RATE_HZ).astype(int)
        pairs = enumerate(pairwise(edges))
        phones = [f"{first} {last} {'ae' if at % 2 else 'l'}" for at, (first, last) in pairs]
        phones = [f"0 {edges[0]} h#", *phones, f"{edges[-1]} {edges[-1] + 1000} h#"]
        (folder / f"sa{number}.phn").write_text("\n".join(phones) + "\n")


def _laryngograph(folder: Path) -> None:
    for number, f0_hz in enumerate((110.0, 200.0)):
        _sound(folder / f"rl{number}.flac", _spoken(f0_hz, 8, number + 30))
        times_s = 0.015 * np.arange(int((SECONDS + 2 * AROUND_S) / 0.015))
        is_voiced = (times_s > AROUND_S) & (times_s < AROUND_S + SECONDS)
        (folder / f"rl{number}.f0ref").write_text("\n".join(f"{f0_hz}" if one else "0" for one in is_voiced) + "\n")


def _hand_labelled(folder: Path) -> None:
    _sound(folder / "a" / "b.flac", _spoken(130.0, 8, 40))
    end_s = AROUND_S + SECONDS
    spans = ((0.0, AROUND_S, "S"), (AROUND_S, end_s, "V"), (end_s, end_s + AROUND_S, "S"))
    (folder / "a" / "b.lab").write_text("".join(f"{start} {end} {kind}\n" for start, end, kind in spans))


def _levels(folder: Path) -> None:
    speech = folder / "itu_stl" / "src" / "sv56" / "test_data"
    speech.mkdir(parents=True)
    for number, name in enumerate(("voice.src", "voice.nrm", "voice.ltl")):
        (32768 * voice(4.0, seed=50 + number)).astype("<i2").tofile(speech / name)
    sines = folder / "itu_stl" / "src" / "bs1770demo" / "test_data"
    sines.mkdir(parents=True)
    tone = np.sin(2 * np.pi * 997 * np.arange(2 * 48000) / 48000)
    for name, gain in (("sine997_0dBFS.pcm", 1.0), ("sine997_0dBFS.26LKFS.pcm", 10 ** (-22.99 / 20))):
        six = np.zeros((len(tone), 6))
        six[:, 0] = gain * tone * 32767
        six.astype("<i2").tofile(sines / name)
    gates = folder / "loudness" / "pyloudnorm"
    gates.mkdir(parents=True)
    for name in ("1770-2_Comp_RelGateTest.wav", "1770-2_Comp_AbsGateTest.wav"):
        soundfile.write(gates / name, 0.5 * tone, 48000)


SIDES = (
    ([(0.5, 3.0), (7.0, 9.5), (13.0, 15.0)], [(3.5, 6.5), (9.0, 12.5), (19.5, 22.5)]),
    ([(1.0, 3.5), (8.0, 10.0)], [(4.0, 7.5), (11.0, 14.0), (16.0, 18.5), (19.0, 21.0)]),
    ([(0.5, 2.5), (6.0, 9.0), (15.0, 17.0)], [(3.0, 5.5), (9.5, 13.0), (16.5, 20.0)]),
)


def _calls(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number, sides in enumerate(SIDES):
        moods = (1.0, 0.0, -1.0, -1.0) if number % 2 else (-1.0, -0.5, 1.0, 1.0)
        spans = [
            {"channel": channel, "start": start, "end": end, "mood": moods[at], "syllables": int(4 * (end - start))}
            for channel, side in enumerate(sides)
            for at, (start, end) in enumerate(side)
        ]
        truth = {
            "customer": list(SPEAKERS)[number],
            "seconds": 24.0,
            "spans": sorted(spans, key=lambda one: one["start"]),
            "talkover": [{"by": 1, "start": 9.0, "end": 9.5}] if number == 0 else [],
            "dead_air": [{"start": 15.0, "end": 19.5}] if number == 0 else [],
            "mood_start": moods[0],
            "mood_end": moods[2],
        }
        name = f"call-{number:03}"
        soundfile.write(folder / f"{name}.flac", call(24.0, *sides, seed=60 + number), RATE_HZ)
        (folder / f"{name}.json").write_text(json.dumps(truth))
