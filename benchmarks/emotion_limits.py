"""Emotion beyond the corpora's plain figures: other lines, unlike people, how sure, for nothing, and what it costs."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from vocal.rules import load_rules

from .corpora import RATE_HZ, Array, Signal, alaw, at_level, band, generator, sounds
from .drawings import Curve, Drawing
from .emotion_peers import SETS, Functionals, Indices, functionals
from .emotional import FOUR, Line, babbles, lines, plain, voice
from .hearing import Told, answers, emotions, judge, running, tell
from .judging import Material, PeerSaid, Said, VocalSaid, joined, of_answers, said_by
from .results import Skipped
from .rows import Row
from .scores import Words, auc, calibration_error, reliability, uar

EVERY = 3
"""Over other lines each so many recordings are heard: the peers take their time."""

SPEAKING = 0.45
"""Share of its time that a channel speaks; while it does there is an estimate each second, and one at its end."""

LEAST_SPEAKER = 10
"""Recordings that a speaker needs to be best or worst."""

ANGRY = (0.5, 0.7)
STRESSED = 0.6


def rows(
    m: Material, vocal: dict[str, VocalSaid], peers: Sequence[PeerSaid], drawings: list[Drawing]
) -> Iterator[Row | Skipped]:
    yield from over_lines(m, vocal, peers)
    yield from fairness(m, vocal, peers)
    yield from calibration(m, vocal, drawings)
    yield from false_alarms(m, vocal)
    yield from not_speech(m)
    yield from silence(m)
    yield from cost(m)


def _anger_auc(truth: Words, score: Array) -> float | None:
    known = ~np.isnan(score)
    is_anger = truth[known] == "anger"
    return auc(is_anger, score[known]) if 0 < is_anger.sum() < len(is_anger) else None


def _four(truth: Words, said: Words) -> float | None:
    """Of four classes; no answer is wrong."""
    of = np.isin(truth, FOUR)
    return uar(truth[of], said[of]) if len(np.unique(truth[of])) > 1 else None


# --- lines -----------------------------------------------------------------------------------------------------------


def over_lines(m: Material, vocal: dict[str, VocalSaid], peers: Sequence[PeerSaid]) -> Iterator[Row | Skipped]:
    """The peers learnt the plain line only; Vocal hears of lost audio, the peers hear silence instead."""
    esc = sounds(m.data)["ESC-10, trained on"] if (m.data / "noise").is_dir() else []
    usable = lines(esc)
    yield from usable.missing
    for corpus in _chosen(m, vocal):
        four = m.corpora[corpus][np.isin(m.truth[m.corpora[corpus]], FOUR)]
        rows = np.sort(generator(f"lines {corpus}").permutation(four)[::EVERY])
        items, truth = m.of(rows), m.truth[rows]
        models = m.models.held_out(items)
        if models is None or len(np.unique(truth)) < 2:
            continue
        noise = babbles(m.items, m.voices)
        among = Line("babble 10 dB", lambda x, rng: x)
        for line in (*usable.kept, among):
            m.say(f"{corpus} over {line.name}")
            signals = []
            for i, item in zip(rows, items, strict=True):
                rng = generator(f"{line.name} {item.path.name}")
                if line is among:
                    signals.append(_among(m.voices[i], noise[item.speaker], rng))
                else:
                    signals.append(line.send(m.voices[i], rng))
            said = {"vocal": of_answers(answers([emotions(t) for t in judge(signals, models, m.say)]), FOUR)}
            for features, peer in zip(SETS, peers, strict=False):
                said[peer.who] = _by_peer(peer, functionals(features, signals, m.say), m.speakers[rows])
            values = {who: (_four(truth, one.four), _anger_auc(truth, one.anger)) for who, one in said.items()}
            for at, name in enumerate(("UAR, 4 classes", "anger AUC")):
                best = [value[at] for who, value in values.items() if who != "vocal" and value[at] is not None]
                for who, value in values.items():
                    target = max(b for b in best if b is not None) if who == "vocal" and best else None
                    if (figure := value[at]) is not None:
                        yield Row("emotion: lines", name, f"{corpus}, {line.name}", who, figure, "share", target)


def _chosen(m: Material, vocal: dict[str, VocalSaid]) -> list[str]:
    """What the model was trained on, by held-out speakers, and the largest corpus it never heard."""
    sizes = {corpus: int(np.isin(m.truth[rows], FOUR).sum()) for corpus, rows in m.corpora.items()}
    new = sorted((c for c in sizes if c not in m.heard and sizes[c]), key=lambda c: -sizes[c])
    return [c for c in m.heard if c in vocal] + new[:1]


def _among(signal: Signal, others: Array, rng: np.random.Generator) -> Signal:
    noise = np.roll(others, int(rng.integers(len(others))))
    noise = np.resize(noise, len(signal))
    return alaw(signal + noise * 10 ** ((-26.0 - 10.0) / 20) / np.sqrt(np.mean(noise**2) + 1e-12))


def _by_peer(peer: PeerSaid, x: Functionals, speakers: Words) -> Said:
    parts = []
    for speaker in np.unique(speakers):
        own: Indices = np.flatnonzero(speakers == speaker)
        trained = peer.held_out.get(speaker, peer.whole)
        if trained is not None:
            parts.append((own, said_by(trained, x[own], FOUR)))
    return joined(parts, len(x))


# --- people ----------------------------------------------------------------------------------------------------------


def fairness(m: Material, vocal: dict[str, VocalSaid], peers: Sequence[PeerSaid]) -> Iterator[Row]:
    part = "emotion: fairness"
    by_language: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for corpus, rows in m.corpora.items():
        said: dict[str, Said] = {}
        if corpus in vocal:
            said["vocal"] = of_answers(vocal[corpus].plain, m.classes(corpus))
        said |= {peer.who: peer.plain[corpus] for peer in peers if corpus in peer.plain}
        items, truth = m.of(rows), m.truth[rows]
        for who, one in said.items():
            words = by_language.setdefault((items[0].language, who), ([], []))
            words[0].extend(truth.tolist())
            words[1].extend(one.four.tolist())
            found: dict[str, list[float]] = {}
            for sex, word in (("f", "women"), ("m", "men")):
                own = np.array([item.gender == sex for item in items])
                for name, value in (
                    ("UAR, 4 classes", _four(truth[own], one.four[own])),
                    ("anger AUC", _anger_auc(truth[own], one.anger[own])),
                ):
                    if value is not None:
                        found.setdefault(name, []).append(value)
                        yield Row(part, name, f"{corpus}, {word}", who, value, "share")
            for name, values in found.items():
                if len(values) == 2:
                    yield Row(part, f"{name}, women less men", corpus, who, values[0] - values[1], "share")
            recalled = {}
            for speaker in np.unique(m.speakers[rows]):
                own = (m.speakers[rows] == speaker) & np.isin(truth, FOUR)
                if own.sum() >= LEAST_SPEAKER and len(np.unique(truth[own])) >= 3:
                    recalled[speaker] = uar(truth[own], one.four[own])
            if len(recalled) > 1:
                for word, pick in (("worst speaker", min), ("best speaker", max)):
                    speaker = pick(recalled, key=lambda s: recalled[s])
                    told = f"{corpus}, {word} of {len(recalled)}"
                    yield Row(part, "UAR, 4 classes", told, who, recalled[speaker], "share")
    for (language, who), (truths, guesses) in by_language.items():
        value = _four(np.array(truths), np.array(guesses))
        if value is not None:
            yield Row(part, "UAR, 4 classes", f"language {language}", who, value, "share")


# --- how sure --------------------------------------------------------------------------------------------------------


def calibration(m: Material, vocal: dict[str, VocalSaid], drawings: list[Drawing]) -> Iterator[Row]:
    """Is an answer given with confidence 0.7 right seven times in ten? Of labels the model can say."""
    part = "emotion: calibration"
    for corpus, said in vocal.items():
        truth = m.truth[m.corpora[corpus]]
        for condition, given in ((corpus, said.plain), (f"{corpus}, in call", said.in_call)):
            asked = ~np.isnan(given.sure) & np.isin(truth, given.labels)
            if not asked.any():
                continue
            right = np.array(given.labels)[given.p[asked].argmax(axis=1)] == truth[asked]
            bins = reliability(given.sure[asked], right)
            yield Row(part, "calibration error", condition, "vocal", calibration_error(bins), "share", better="lower")
            if given is said.plain:
                drawings.append(Curve("reliability", corpus, "vocal", [(b.sure, b.right) for b in bins]))
                for b in bins:
                    told = f"{corpus}, {b.answers} answers of mean confidence {b.sure:.2f}"
                    yield Row(part, "right", told, "vocal", b.right, "share")


# --- for nothing -----------------------------------------------------------------------------------------------------


def neutral(m: Material, vocal: dict[str, VocalSaid]) -> Iterator[tuple[str, list[Signal], Words, Indices | None]]:
    """(name, voices, speakers, rows of the table): calm speech, read or acted."""
    for corpus in vocal:
        rows = m.corpora[corpus][m.truth[m.corpora[corpus]] == "neutral"]
        if len(rows):
            yield corpus, [m.voices[i] for i in rows], m.speakers[rows], rows
    for folder, pattern in (("kerstin_de", "*.flac"), ("timit_nltk", "*/*.flac"), ("fda_ue", "*.flac")):
        files = sorted((m.data / folder).glob(pattern))
        if files:
            who = [f.parent.name if "/" in pattern else f.stem[:2] for f in files]
            trained = ", heard in training" if m.models.has_heard(folder) else ""
            yield f"{folder}{trained}", [voice(f) for f in files], np.array(who), None


def false_alarms(m: Material, vocal: dict[str, VocalSaid]) -> Iterator[Row]:
    """Per hour of neutral speech, each recording a call of its own; "running": all of a speaker's as one call, where
    the rules may fire as they would in a call."""
    part = "emotion: false alarms"
    rules = {
        rule.id: condition.above
        for rule in load_rules().rule
        for condition in rule.when
        if condition.measure == "customer_stress" and condition.above is not None
    }
    for name, voices, speakers, indices in neutral(m, vocal):
        m.say(f"neutral speech of {name}")
        models = m.models.held_out(m.of(indices)) if indices is not None else [m.models.judged] * len(voices)
        if models is None:
            continue
        single = judge([plain(x) for x in voices], models, m.say)
        calls, of_call = [], []
        for speaker in np.unique(speakers):
            own = np.flatnonzero(speakers == speaker)
            calls.append(running([voices[i] for i in own])[0])
            of_call.append(models[own[0]])
        joined = judge(calls, of_call, m.say)
        for kind, told in ((name, single), (f"{name}, running", joined)):
            hours = sum(u.end_s - u.start_s for t in told for u in t.utterances) / 3600
            if not hours:
                continue
            found = [e for t in told for e in emotions(t)]
            counts = {
                f"angry, confidence >= {least}": sum(
                    max(e.categories, key=lambda c: e.categories[c]) == "anger" and e.confidence >= least for e in found
                )
                for least in ANGRY
            }
            counts[f"stressed, >= {STRESSED}"] = sum(e.stress >= STRESSED for e in found)
            for rule, above in rules.items():
                counts[f"stress > {above}, as of {rule}"] = sum(e.stress > above for e in found)
            if told is joined:
                counts["cues and alerts of stress"] = sum(
                    c.kind in ("stress", "escalation") for t in told for c in t.cues
                )
            for alarm, count in counts.items():
                yield Row(part, alarm, kind, "vocal", count / hours, "per hour", better="lower")


def made_sounds() -> dict[str, list[Signal]]:
    """Silence, tones and music from numbers, 6 s each."""
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    rng = generator("made sounds")
    silent = [np.zeros(len(t)), *(band(rng.normal(size=len(t))) * 10 ** (dbov / 20) for dbov in (-70, -60, -50))]
    tones = [np.sin(2 * np.pi * hz * t) * 0.1 for hz in (200, 425, 800, 1000, 2000)]
    tones += [(np.sin(2 * np.pi * a * t) + np.sin(2 * np.pi * b * t)) * 0.05 for a, b in ((697, 1209), (941, 1477))]
    tones += [np.sin(2 * np.pi * 425 * t) * 0.1 * ((t % 1.0) < 0.48)]
    music = []
    for _ in range(12):
        root, piece = rng.uniform(110, 330), np.zeros(len(t))
        for bar in range(6):
            on = (t >= bar) & (t < bar + 1)
            for step in rng.choice([0, 2, 4, 5, 7, 9, 12], 3, replace=False):
                hz = root * 2 ** ((step + rng.choice([0, 5, 7])) / 12)
                piece += on * np.exp(-2 * (t - bar)) * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 7))
        music.append(at_level(band(piece), -26.0))
    made = {"silence": silent, "tones": tones, "music": music}
    return {kind: [alaw(np.asarray(x)) for x in some] for kind, some in made.items()}


def not_speech(m: Material) -> Iterator[Row]:
    """Of how many clips an emotion is claimed, and how surely, where nobody speaks."""
    kinds = made_sounds()
    if (m.data / "noise").is_dir():
        kinds = {kind: [plain(_line_level(x)) for x in some] for kind, some in sounds(m.data).items() if some} | kinds
    for kind, signals in kinds.items():
        m.say(f"{len(signals)} clips of {kind}")
        told = tell(signals, m.models.judged)
        claimed = [e for t in told for e in emotions(t)]
        condition = f"{kind}, {len(signals)} clips"
        share = float(np.mean([bool(emotions(t)) for t in told]))
        part = "emotion: not speech"
        yield Row(part, "an emotion is claimed", condition, "vocal", share, "share", better="lower")
        most = max((e.confidence for e in claimed), default=0.0)
        yield Row(part, "highest confidence", condition, "vocal", most, "", better="lower")


def _line_level(x: Signal) -> Signal:
    return np.clip(at_level(band(x)), -1, 1).astype(np.float32) if np.any(x) else x


# --- what the channel tells ------------------------------------------------------------------------------------------

STEP = 80
QUIET_DB = 30.0
LEAST_STEPS = 10


def _quiet_spectrum(signal: Signal) -> Array | None:
    """Mean log power in 16 bands, and its level, of the 10 ms at least QUIET_DB under the speech."""
    frames = signal[: len(signal) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    quiet = frames[10 * np.log10((frames**2).mean(axis=1) + 1e-12) < -26.0 - QUIET_DB]
    if len(quiet) < LEAST_STEPS:
        return None
    power = (np.abs(np.fft.rfft(quiet * np.hanning(STEP), axis=1)) ** 2).mean(axis=0)[1:]
    bands = np.array([one.sum() for one in np.array_split(power, 16)])
    return np.append(np.log(bands + 1e-9), np.log((quiet**2).mean() + 1e-12))


def silence(m: Material) -> Iterator[Row]:
    """A linear classifier that hears the pauses only, of speakers it was not trained on; 0.25 is chance.

    What it finds above chance is what a corpus's recording conditions give away, for every other figure to be read by.
    """
    for corpus, rows in m.corpora.items():
        found = [(i, x) for i in rows if (x := _quiet_spectrum(plain(m.voices[i]))) is not None and m.truth[i] in FOUR]
        if not found:
            continue
        kept, x = np.array([i for i, _ in found]), np.array([x for _, x in found])
        truth, speakers = m.truth[kept], m.speakers[kept]
        if len(np.unique(truth)) < len(FOUR) or len(np.unique(speakers)) < 2 or len(kept) < 40:
            continue
        guess = np.full(len(kept), "", "<U16")
        for speaker in np.unique(speakers):
            out = speakers == speaker
            guess[out] = _least_squares(x[~out], truth[~out], x[out])
        condition = f"{corpus}, {len(kept)} recordings with pauses"
        yield Row("emotion: what pauses tell", "UAR, 4 classes", condition, "pauses alone", uar(truth, guess), "share")


def _least_squares(x: Array, truth: Words, asked: Array) -> Words:
    """One against the rest, each class with the same weight, a little ridge."""
    labels = np.unique(truth)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    weight = np.array([1 / np.sum(truth == label) for label in truth])
    target = (truth[:, None] == labels) * 2.0 - 1.0
    normal = z.T @ (z * weight[:, None]) + 0.03 * np.eye(z.shape[1])
    solved = np.linalg.solve(normal, z.T @ (target * weight[:, None]))
    best = (np.column_stack([(asked - mean) / spread, np.ones(len(asked))]) @ solved).argmax(axis=1)
    return np.asarray(labels[best])


# --- cost ------------------------------------------------------------------------------------------------------------


def cost(m: Material) -> Iterator[Row]:
    """By the difference that notice makes to the same calls, the least of some runs."""
    part = "emotion: cost"
    folder = m.models.judged.folder
    size_mb = sum(file.stat().st_size for file in folder.glob("*.onnx")) / 1e6
    yield Row(part, "size of the model", "on disk", "vocal", size_mb, "MB", better="lower")
    signals = [plain(x) for x in m.voices[:: max(1, len(m.voices) // 96)]]
    least: dict[bool, float] = {}
    estimates = 0
    for _ in range(3):
        for notice in (True, False):
            begun = time.process_time()
            told: list[Told] = tell(signals, m.models.judged, notice)
            least[notice] = min(least.get(notice, np.inf), time.process_time() - begun)
            estimates = max(estimates, sum(one.estimates for one in told))
    if not estimates:
        return
    each_ms = max(least[True] - least[False], 0.0) * 1000 / estimates
    yield Row(
        part, "an estimate", f"{estimates} estimates, their share of a block", "vocal", each_ms, "ms", better="lower"
    )
    live = f"1,000 live channels that speak {SPEAKING:.0%} of the time"
    yield Row(part, "share of a core", live, "vocal", each_ms * SPEAKING, "cores", better="lower")
