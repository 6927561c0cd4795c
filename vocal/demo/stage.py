"""Make the bundled demo call: a double invoice, an angry customer, a solution, a pleased customer. In German.

    python -m vocal.demo.stage OUT_DIR

writes OUT_DIR/call.flac (8 kHz, channel 0 the agent, channel 1 the customer, G.711 A-law, 300-3400 Hz) and
OUT_DIR/call.json (the truth). Both voices are the program espeak-ng (`apt install espeak-ng`); names and story are
invented. The same version of espeak-ng gives the same call, bit for bit.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from vocal.errors import UsageError, VocalError

Samples = npt.NDArray[np.float64]

RATE_HZ = 8000
FRAME_SAMPLES = 80
LEAD_S = 0.8
TAIL_S = 0.8
SPEECH_DBOV = -26.0
NOISE_DBOV = (-65.5, -64.5)
SEED = 1
AGENT, CUSTOMER = 0, 1
VOICES = ("de+f3", "de")

# One match is one syllable of a German word, once «qu» is read as a consonant.
NUCLEUS = re.compile(r"aa|ee|oo|ie|ei|ai|eu|äu|au|[aeiouyäöü]")
ACCENT = re.compile(r"\*(.+?)\*")


@dataclass(frozen=True)
class Manner:
    """How a turn is spoken, on espeak-ng's scales; `accent_pct` raises the pitch of accented words."""

    emotion: str
    mood: float
    words_per_min: int
    pitch: int
    range_pct: int
    accent_pct: int
    gain_db: float
    tilt_db_per_octave: float


PLAIN = Manner("neutral", 0.0, 168, 45, 80, 0, 0.0, 0.0)
HASTY = Manner("neutral", 0.0, 232, 47, 80, 0, 0.0, 0.0)
SLOW = Manner("neutral", 0.0, 136, 43, 80, 0, 0.0, 0.0)
ANGRY = Manner("anger", -1.0, 205, 32, 210, 30, 6.0, 2.5)
ANNOYED = Manner("anger", -0.6, 188, 46, 150, 20, 4.0, 1.5)
CALM = Manner("neutral", 0.0, 162, 42, 80, 0, 0.0, 0.0)
RELIEVED = Manner("happiness", 0.6, 176, 59, 170, 30, 2.0, 1.0)
HAPPY = Manner("happiness", 1.0, 182, 49, 200, 40, 3.0, 1.5)


@dataclass(frozen=True)
class Turn:
    """One turn; it begins `gap_s` after the floor falls free, or before that if negative; *words* are accented."""

    channel: int
    manner: Manner
    gap_s: float
    text: str
    takes_floor: bool = True


STORY = (
    Turn(AGENT, PLAIN, 0.0, "Kundendienst, Frau Sommer, guten Tag. Wie kann ich Ihnen helfen?"),
    Turn(CUSTOMER, ANGRY, 0.4, "Na *endlich*! Zum *dritten* Mal schicken Sie mir eine *falsche* Rechnung! "
         "*Zwei* Kaffeemaschinen, und ich habe nur *eine* bestellt!"),
    Turn(AGENT, PLAIN, 0.5, "Das tut mir leid. Dann müsste ich zunächst einmal Ihre Kundennummer haben, und danach"),
    Turn(CUSTOMER, ANGRY, -1.5, "Nein! Die habe ich schon *zweimal* durchgegeben! "
         "Jedes Mal *dieselbe* Frage, und *nichts* passiert!"),
    Turn(AGENT, PLAIN, 0.6, "Ich verstehe. Dann über den Namen: Wie heißen Sie bitte?"),
    Turn(CUSTOMER, ANGRY, 0.4, "*Wagner*, Thomas *Wagner*! Und ich warte seit *drei* Wochen!"),
    Turn(AGENT, PLAIN, 0.5, "Danke, Herr Wagner. Einen Moment, ich öffne die Rechnung."),
    Turn(AGENT, HASTY, 6.2, "So, also hier sehe ich, dass die Bestellung am vierten März einmal angelegt und dann vom "
         "System ein zweites Mal übernommen wurde, deswegen stehen zwei Maschinen auf der Rechnung, und die Mahnung "
         "ist automatisch herausgegangen, weil die Buchhaltung von der doppelten Bestellung noch gar nichts gewusst "
         "hat."),
    Turn(CUSTOMER, ANNOYED, 0.5, "Moment, *langsam*! Das war mir *viel* zu schnell. Was heißt das jetzt für mich?"),
    Turn(AGENT, SLOW, 0.7, "Gern, in Ruhe. Sie haben eine Maschine bestellt, und Sie bezahlen auch nur eine. "
         "Die Mahnung ist damit erledigt."),
    Turn(CUSTOMER, CALM, -2.2, "Ja.", takes_floor=False),
    Turn(CUSTOMER, CALM, 0.6, "Gut. Und muss ich dafür noch etwas tun?"),
    Turn(AGENT, PLAIN, 0.4, "Nein, gar nichts. Die neue Rechnung kommt heute, mit zehn Euro Gutschrift."),
    Turn(CUSTOMER, RELIEVED, 0.4, "Ach, das ist aber *nett*! Damit hatte ich *gar* nicht gerechnet."),
    Turn(AGENT, PLAIN, 0.4, "Sehr gern. Kann ich sonst noch etwas für Sie tun?"),
    Turn(CUSTOMER, HAPPY, 0.4, "Nein, *wunderbar*! Sie haben mir *wirklich* sehr geholfen, vielen *herzlichen* Dank!"),
    Turn(AGENT, PLAIN, 0.4, "Danke für Ihren Anruf, Herr Wagner. Auf Wiederhören!"),
    Turn(CUSTOMER, HAPPY, 0.3, "Auf *Wiederhören*, und einen *schönen* Tag noch!"),
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """A turn as it was placed in the call; `speech_s` leaves out pauses over 200 ms."""

    channel: int
    start: float
    end: float
    speaker: str
    emotion: str
    mood: float
    text: str
    syllables: int
    speech_s: float


def syllables(text: str) -> int:
    """Syllables of a German text, by its vowel groups; numbers must be spelled out."""
    return len(NUCLEUS.findall(text.lower().replace("qu", "q")))


def speak(turn: Turn) -> Samples:
    """The bare voice at `RATE_HZ`, without silence around it."""
    manner = turn.manner
    accented = ACCENT.sub(rf'<prosody pitch="+{manner.accent_pct}%">\1</prosody>', escape(turn.text))
    ssml = f'<speak><prosody range="{manner.range_pct}%">{accented}</prosody></speak>'
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "turn.wav"
        command = ["espeak-ng", "-v", VOICES[turn.channel], "-s", str(manner.words_per_min), "-p", str(manner.pitch)]
        try:
            subprocess.run([*command, "-m", "-w", str(wav), ssml], check=True, capture_output=True)
        except FileNotFoundError:
            raise VocalError("staging needs the program espeak-ng, not found here: apt install espeak-ng") from None
        except subprocess.CalledProcessError as error:
            raise VocalError(f"espeak-ng failed: {error.stderr.decode(errors='replace').strip()}") from None
        voice, rate_hz = soundfile.read(wav, dtype="float64")
    return trim(soxr.resample(voice, rate_hz, RATE_HZ, quality="VHQ"))


def frame_db(x: Samples) -> Samples:
    """Level of each whole frame of 10 ms, in dBov."""
    frames = x[: len(x) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return np.asarray(10 * np.log10((frames**2).mean(axis=1) + 1e-12), dtype=np.float64)


def trim(x: Samples) -> Samples:
    """Without the quiet at both ends, 40 dB and more below the loudest frame."""
    level = frame_db(x)
    loud = np.flatnonzero(level > level.max() - 40)
    return x[loud[0] * FRAME_SAMPLES : (loud[-1] + 1) * FRAME_SAMPLES]


def speech_s(x: Samples) -> float:
    """Duration without pauses over 200 ms; a pause is 35 dB and more below the loudest frame."""
    level = frame_db(x)
    loud = np.flatnonzero(level > level.max() - 35)
    gaps = np.diff(loud) - 1
    return float((len(level) - gaps[gaps > 20].sum()) * FRAME_SAMPLES / RATE_HZ)


def telephone(x: Samples, tilt_db_per_octave: float = 0.0) -> Samples:
    """The telephone band, 300 to 3400 Hz with soft edges, and a spectral tilt that turns about 1 kHz."""
    padded = len(x) + RATE_HZ // 10
    f_hz = np.fft.rfftfreq(padded, 1 / RATE_HZ)
    edge = np.clip(np.minimum((f_hz - 230) / 140, (3550 - f_hz) / 300), 0, 1)
    octaves = np.log2(np.clip(f_hz, 200, 3600) / 1000)
    gain = np.sin(edge * np.pi / 2) ** 2 * 10 ** (tilt_db_per_octave * octaves / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(x, padded) * gain, padded)[: len(x)], dtype=np.float64)


def at_level(x: Samples, dbov: float) -> Samples:
    """`x` with the mean power of its active frames (within 30 dB of the loudest) at `dbov`."""
    level = frame_db(x)
    active = level[level > level.max() - 30]
    gain_db = dbov - 10 * float(np.log10((10 ** (active / 10)).mean()))
    return np.asarray(x * 10 ** (gain_db / 20), dtype=np.float64)


def alaw(x: Samples) -> Samples:
    """G.711 A-law and back: 16 uniform steps in each octave of a magnitude of 12 bits, none of them zero."""
    magnitude = np.clip(np.abs(x) * 4096, 0, 4095)
    step = 2.0 ** np.maximum(1, np.floor(np.log2(np.maximum(magnitude, 1))) - 4)
    decoded: Samples = np.where(x < 0, -1.0, 1.0) * (np.floor(magnitude / step) + 0.5) * step / 4096
    return decoded


def stage(story: tuple[Turn, ...] = STORY) -> tuple[Samples, dict[str, object]]:
    """The call, samples by channels, and the truth about it."""
    pieces: list[Samples] = []
    spans: list[Span] = []
    talkover: list[dict[str, float]] = []
    dead_air: list[dict[str, float]] = []
    backchannels: list[dict[str, float]] = []
    floor_end = LEAD_S
    for turn in story:
        manner = turn.manner
        voice = speak(turn)
        piece = trim(at_level(telephone(voice, manner.tilt_db_per_octave), SPEECH_DBOV + manner.gain_db))
        start = round(floor_end + turn.gap_s, 3)
        end = round(start + len(piece) / RATE_HZ, 3)
        if not turn.takes_floor:
            backchannels.append({"by": turn.channel, "start": start, "end": end})
        elif turn.gap_s < 0:
            talkover.append({"by": turn.channel, "start": start, "end": floor_end})
        elif turn.gap_s > 3:
            dead_air.append({"start": floor_end, "end": start})
        speaker = VOICES[turn.channel]
        text = ACCENT.sub(r"\1", turn.text)
        count = syllables(text)
        spans.append(Span(turn.channel, start, end, speaker, manner.emotion, manner.mood, text, count,
                          round(speech_s(piece), 3)))  # fmt: skip
        pieces.append(piece)
        floor_end = max(floor_end, end)

    samples = round((floor_end + TAIL_S) * RATE_HZ)
    call = np.zeros((samples, 2))
    for span, piece in zip(spans, pieces, strict=True):
        begin = round(span.start * RATE_HZ)
        call[begin : begin + len(piece), span.channel] += piece
    rng = np.random.default_rng(SEED)
    for channel, noise_dbov in enumerate(NOISE_DBOV):
        noise = telephone(rng.standard_normal(samples))
        call[:, channel] += noise * 10 ** (noise_dbov / 20) / noise.std()

    moods = [span.mood for span in spans if span.channel == CUSTOMER]
    third = max(1, len(moods) // 3)
    truth: dict[str, object] = {
        "story": "recovering",
        "agent": VOICES[AGENT],
        "customer": VOICES[CUSTOMER],
        "seconds": round(samples / RATE_HZ, 3),
        "spans": [asdict(span) for span in sorted(spans, key=lambda span: span.start)],
        "talkover": talkover,
        "dead_air": dead_air,
        "backchannels": backchannels,
        "mood_start": round(sum(moods[:third]) / third, 3),
        "mood_end": round(sum(moods[-third:]) / third, 3),
    }
    return alaw(call), truth


def main(arguments: list[str]) -> int:
    try:
        if len(arguments) != 1:
            raise UsageError("usage: python -m vocal.demo.stage OUT_DIR")
        out = Path(arguments[0])
        call, truth = stage()
        out.mkdir(parents=True, exist_ok=True)
        soundfile.write(out / "call.flac", call, RATE_HZ, subtype="PCM_16")
        (out / "call.json").write_text(json.dumps(truth, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except VocalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
