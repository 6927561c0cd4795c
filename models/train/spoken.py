"""Synthetic speech to train syllables on: many voices that say spoken.txt, and the time of each vowel as it was made.

espeak-ng (its library, with phoneme events) has many voices and languages, flite (its program) few that sound human.
Both are made once into a folder. German with no variant and with f3 is left out: demo and tests speak with those.
"""

import ctypes
import re
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from streams import Clip, Signal, by_level, read
from telephone import RATE_HZ

VARIANTS = re.findall(
    r"\w+",
    """m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 klatt6 Alicia Andrea Andy Annie Denis
Diogo Gene Jacky Lee Marco Michael Mike adam anika antonio aunty belinda benjamin boris caleb david ed edward grandma
grandpa iven john kaukovalta linda max michel norbert pablo paul pedro quincy rob robert sandro shelby steph travis
victor whisperf zac""",
)
UNHEARD = ("f3",)
LANGUAGES = {
    "de": ["de"],
    "en": ["en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029"],
    **{name: [name] for name in ("pl", "es", "fr", "tr", "it", "nl")},
}
SHARES = {"de": 0.5, "en": 0.24, "pl": 0.05, "es": 0.05, "fr": 0.04, "tr": 0.04, "it": 0.04, "nl": 0.04}
ESPEAK_SPEAKERS, ESPEAK_EACH = 160, 9
FLITE_VOICES = ("slt", "rms", "awb", "kal16")
FLITE_EACH = 170

VOWELS = "aɐɑɒæʌəɘɚɛɜɝeɪiɨɯoɔøœɶɵuʊʉyʏɤɞᵻ"
IPA_SYLLABIC, UNNAMED = "\u0329", "??"
"""What espeak-ng calls a German short u before r."""
TWO = re.compile(r"(aɪ|aʊ|ɔɪ|ɔø)[əɚɐɜ]")
"""Diphthongs that espeak-ng joins with the vowel behind them."""
FLITE_VOWELS = set(re.findall(r"\w+", "aa ae ah ao aw ax axr ay eh el em en er ey ih iy ow oy uh uw"))


def texts() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("spoken.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            found[line.strip("[]")] = lines = []
        elif line:
            lines.append(line)
    return found


def said(rng: np.random.Generator, lines: list[str]) -> str:
    """A sentence, two, or words in a row from anywhere."""
    kind = rng.random()
    if kind < 0.45:
        return str(rng.choice(lines))
    if kind < 0.55:
        return " ".join(rng.choice(lines, 2))
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", " ".join(rng.choice(lines, 12)))
    return " ".join(rng.choice(words, int(rng.integers(3, 13)))) + str(rng.choice([".", ".", "?", "!"]))


def clip(samples: Signal, nuclei: list[float], speaker: str) -> Clip:
    samples = samples.astype(np.float32)
    noisy = samples + 1e-5 * np.random.default_rng(len(samples)).normal(size=len(samples)).astype(np.float32)
    return Clip(noisy, by_level(noisy), np.array(nuclei), speaker, "spoken")


# --- espeak-ng ------------------------------------------------------------------------------------------------------


class _Id(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        *((name, ctypes.c_uint) for name in ("identifier", "position", "length", "audio_ms", "sample")),
        ("user", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_RETRIEVE, _PHONEMES_IN_IPA, _PHONEME, _UTF8 = 1, 3, 7, 1
_WORDS_A_MINUTE, _PITCH, _RANGE = 1, 3, 4


def vowel_times(phones: list[tuple[float, str]]) -> list[float]:
    """Seconds of the nuclei; phones: (start in s, IPA), the last one's end behind them."""
    found = []
    for (start, phone), (end, _) in pairwise(phones):
        if TWO.match(phone):
            found += [start + 0.25 * (end - start), start + 0.8 * (end - start)]
        elif phone == UNNAMED or (phone and phone[0] in VOWELS) or IPA_SYLLABIC in phone:
            found.append(start + max((end - start) / 2, 0.02))
    return found


def espeak(seed: int) -> list[Clip]:
    library = ctypes.CDLL("libespeak-ng.so.1")
    rate = library.espeak_Initialize(_RETRIEVE, 0, None, _PHONEMES_IN_IPA)
    pieces: list[NDArray[np.int16]] = []
    phones: list[tuple[float, str]] = []

    @_CALLBACK
    def take(wave, count: int, events) -> int:  # type: ignore[no-untyped-def]
        if wave:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while events[i].type:
            if events[i].type == _PHONEME:
                phones.append((events[i].audio_ms / 1000, events[i].id.string.decode("utf-8", "ignore")))
            i += 1
        return 0

    library.espeak_SetSynthCallback(take)
    rng = np.random.default_rng(seed)
    lines = texts()
    clips = []
    for speaker in range(ESPEAK_SPEAKERS):
        language = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        variants = [name for name in VARIANTS if language != "de" or name not in UNHEARD]
        voice = f"{rng.choice(LANGUAGES[language])}+{variants[(speaker * 7) % len(variants)]}"
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"espeak-ng has no voice {voice}")
        pitch = int(rng.integers(20, 80))
        for _ in range(ESPEAK_EACH):
            pieces.clear()
            phones.clear()
            library.espeak_SetParameter(_WORDS_A_MINUTE, int(np.exp(rng.uniform(np.log(95), np.log(290)))), 0)
            library.espeak_SetParameter(_PITCH, int(np.clip(pitch + rng.integers(-12, 13), 0, 99)), 0)
            library.espeak_SetParameter(_RANGE, int(rng.integers(10, 95)), 0)
            text = said(rng, lines[language]).encode()
            library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
            library.espeak_Synchronize()
            wave = np.concatenate(pieces).astype(np.float32) / 32768
            samples = soxr.resample(wave, rate, RATE_HZ)
            clips.append(clip(samples, vowel_times([*phones, (len(wave) / rate, "")]), voice))
    library.espeak_Terminate()
    return clips


# --- flite ----------------------------------------------------------------------------------------------------------


def flite(seed: int) -> list[Clip]:
    rng = np.random.default_rng(seed)
    lines = texts()["en"]
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.wav"
        for voice in FLITE_VOICES:
            for _ in range(FLITE_EACH):
                stretch = np.exp(rng.uniform(-0.4, 0.35))
                command = ["flite", "-voice", voice, "-psdur", "--setf", f"duration_stretch={stretch:.2f}"]
                done = subprocess.run(
                    [*command, "-t", said(rng, lines), "-o", str(file)], capture_output=True, text=True, check=True
                )
                phones = [(name, float(end)) for name, end in re.findall(r"(\S+?):([\d.]+)", done.stdout)]
                starts = [0.0, *(end for _, end in phones)]
                nuclei = [(a + b) / 2 for a, (name, b) in zip(starts, phones, strict=False) if name in FLITE_VOWELS]
                clips.append(clip(read(file), nuclei, f"flite {voice}"))
    return clips


def spoken(kind: str, folder: Path, seed: int = 1) -> list[Clip]:
    """Clips of "espeak" or "flite", made once and kept in `folder`."""
    file = folder / f"{kind}.npz"
    if not file.exists():
        made = {"espeak": espeak, "flite": flite}[kind](seed)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file,
            samples=np.concatenate([(one.samples * 32767).clip(-32767, 32767).astype(np.int16) for one in made]),
            lengths=[len(one.samples) for one in made],
            nuclei=np.concatenate([one.nuclei for one in made]),
            counts=[len(one.nuclei) for one in made],
            speakers=[one.speaker for one in made],
        )
    with np.load(file) as kept:
        samples = np.split(kept["samples"] / np.float32(32767), np.cumsum(kept["lengths"])[:-1])
        nuclei = np.split(kept["nuclei"], np.cumsum(kept["counts"])[:-1])
        return [clip(*one) for one in zip(samples, nuclei, kept["speakers"].tolist(), strict=True)]
