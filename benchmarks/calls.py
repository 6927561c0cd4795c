"""Whole calls with truth: the staged ones of a folder of corpora, or else the demo call.

The shipped emotion model was trained on the voices of the staged calls. With folds (from `models/train/emotion.py
--folds`) each is judged once more by a model that never heard its customer, and only those rows say anything of mood.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

import vocal
from vocal.analysis import Analysis
from vocal.config import Config, EmotionConfig
from vocal.conversation import TURN_PAUSE_S
from vocal.demo import call_path
from vocal.errors import InputError

from .reading import AFTER_S, files, read_exactly
from .results import Skipped
from .rows import Row
from .targets import target

Truth = dict[str, Any]
Judged = tuple[Analysis, Truth]

ROLES = ("agent", "customer")
MEASURES = {
    "talk_share": "share",
    "overlap_s": "s",
    "interruptions": "count",
    "non_talk_s": "s",
    "longest_monologue_s": "s",
    "median_gap_s": "s",
}
MOST_OF_ONE = 2
"""Figures that one call gives at most, a side each: nothing to correlate."""

LEAST_CHANGE = 0.5
"""Of the truth's mood, from which on a call has a direction."""


class _Stretch(msgspec.Struct):
    start: Annotated[float, msgspec.Meta(ge=0.0)]
    end: float


class _Taken(_Stretch):
    by: Literal[0, 1]


class _Span(_Stretch):
    channel: Literal[0, 1]
    mood: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
    syllables: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Truth(msgspec.Struct):
    """What must stand in the truth of a call; mood from -1 to 1."""

    customer: str
    seconds: Annotated[float, msgspec.Meta(gt=0.0)]
    spans: Annotated[list[_Span], msgspec.Meta(min_length=2)]
    talkover: list[_Taken]
    dead_air: list[_Stretch]
    mood_start: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
    mood_end: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]


def truths(folder: Path) -> list[tuple[Path, Truth]]:
    """Recordings with their truth. Raises InputError where that cannot be right, or a recording is not there."""
    return [(file.with_suffix(".flac"), _truth(file)) for file in files(folder, "*.json")]


def _truth(file: Path) -> Truth:
    try:
        given: Truth = msgspec.json.decode(file.read_bytes())
        read = msgspec.convert(given, _Truth)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise InputError(f"{file}: wanted the truth of a call, in JSON: {error}") from None
    recording = file.with_suffix(".flac")
    if not recording.is_file():
        raise InputError(f"{file}: wanted its recording, {recording.name}, which is not there")
    samples, rate_hz = read_exactly(recording)
    seconds = len(samples) / rate_hz
    if abs(seconds - read.seconds) > AFTER_S:
        raise InputError(f"{file}: wanted {read.seconds:g} s of {recording.name}, got {seconds:.2f}")
    for what, stretches in (("span", read.spans), ("talkover", read.talkover), ("dead_air", read.dead_air)):
        for number, one in enumerate(stretches, 1):
            if not one.start < one.end <= seconds + AFTER_S:
                given_s = f"{one.start:g} to {one.end:g}"
                raise InputError(f"{file}: wanted {what} {number} within {seconds:.2f} s, got {given_s}")
    if {span.channel for span in read.spans} != {0, 1}:
        raise InputError(f"{file}: wanted spans of channels 0 and 1, got one side's only")
    return given


def mask(spans: list[tuple[float, float]], seconds: float) -> np.ndarray:
    """Which 10 ms are inside a span."""
    inside = np.zeros(int(seconds * 100) + 1, bool)
    for start, end in spans:
        inside[int(start * 100) : int(end * 100)] = True
    return inside


def boundaries(calls: list[Judged], name: str) -> Iterator[Row]:
    """The floor is who always hears speech."""
    found, false = [], []
    for analysis, truth in calls:
        for channel, role in enumerate(ROLES):
            spoken = mask([(s["start"], s["end"]) for s in truth["spans"] if s["channel"] == channel], truth["seconds"])
            heard = mask([(u.start_s, u.end_s) for u in analysis.utterances if u.role == role], truth["seconds"])
            every = np.ones(len(spoken), bool)
            found.append([(spoken & one).sum() / spoken.sum() for one in (heard, every)])
            false.append([(one & ~spoken).sum() / max(1, (~spoken).sum()) for one in (heard, every)])
    for i, who in enumerate(("vocal", "constant")):
        yield Row("boundaries", "speech time found", name, who, float(np.mean(found, axis=0)[i]), "share")
        silence = float(np.mean(false, axis=0)[i])
        yield Row("boundaries", "silence taken for speech", name, who, silence, "share", better="lower")


def _against(
    part: str, name: str, condition: str, wanted: Sequence[float], got: Sequence[float], unit: str
) -> Iterator[Row]:
    """Mean error, and correlation, where there is more than one call; the floor is their mean."""
    right, said = np.array(wanted, np.float64), np.array(got, np.float64)
    if not len(right):
        return
    is_many = len(right) > MOST_OF_ONE
    if is_many and right.std() > 0.0 and said.std() > 0.0:
        yield Row(part, name, condition, "vocal", float(np.corrcoef(right, said)[0, 1]), "r")
    yield Row(part, name, condition, "vocal", float(np.abs(right - said).mean()), f"{unit} error", better="lower")
    if is_many:
        floor = float(np.abs(right - right.mean()).mean())
        yield Row(part, name, condition, "always the mean", floor, f"{unit} error", better="lower")


def measured(truth: Truth) -> dict[str, dict[str, float]]:
    """The conversation's measures by the definitions of the report, from the truth's spans: by name and role, "" where
    they are both sides'."""
    short = {one["start"] for one in truth.get("backchannels", ())}
    spans = sorted((s["start"], s["end"], ROLES[s["channel"]]) for s in truth["spans"])
    spoken = {role: sum(end - start for start, end, own in spans if own == role) for role in ROLES}
    runs: list[tuple[float, float, str]] = []
    for start, end, role in spans:
        if start in short:
            continue
        if runs and runs[-1][2] == role and start - runs[-1][1] <= TURN_PAUSE_S:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]), role)
        else:
            runs.append((start, end, role))
    gaps: dict[str, list[float]] = {role: [] for role in ROLES}
    for before, after in itertools.pairwise(runs):
        if before[2] != after[2]:
            gaps[after[2]].append(after[0] - before[1])
    return {
        "talk_share": {role: spoken[role] / sum(spoken.values()) for role in ROLES},
        "overlap_s": {"": sum(one["end"] - one["start"] for one in truth["talkover"])},
        "interruptions": {role: sum(one["by"] == n for one in truth["talkover"]) for n, role in enumerate(ROLES)},
        "non_talk_s": {"": sum(one["end"] - one["start"] for one in truth["dead_air"])},
        "longest_monologue_s": {
            role: max((end - start for start, end, own in runs if own == role), default=0.0) for role in ROLES
        },
        "median_gap_s": {role: float(np.median(some)) for role, some in gaps.items() if some},
    }


def conversation(calls: list[Judged], condition: str) -> Iterator[Row]:
    wanted: dict[str, list[float]] = {name: [] for name in MEASURES}
    got: dict[str, list[float]] = {name: [] for name in MEASURES}
    for analysis, truth in calls:
        for name, by_role in measured(truth).items():
            for role, value in by_role.items():
                said = getattr(analysis.ended.conversation, name)
                said = getattr(said, role) if role else said
                wanted[name].append(value)
                got[name].append(0.0 if said is None else said)  # a side that was not heard
    for name, unit in MEASURES.items():
        yield from _against("conversation", name, condition, wanted[name], got[name], unit)


def tempo(calls: list[Judged], name: str) -> Iterator[Row | Skipped]:
    """Speech rate of utterances that cover one span of the truth and little more."""
    wanted, got = [], []
    for analysis, truth in calls:
        for span in truth["spans"]:
            length = span["end"] - span["start"]
            near = [
                u
                for u in analysis.utterances
                if u.channel == span["channel"]
                and min(u.end_s, span["end"]) - max(u.start_s, span["start"]) > 0.7 * length
                and u.end_s - u.start_s < 1.3 * length
            ]
            if len(near) == 1 and span.get("syllables") and near[0].speech_rate_syll_s is not None:
                wanted.append(span["syllables"] / length)
                got.append(near[0].speech_rate_syll_s)
    if not got:
        yield Skipped(f"tempo of {name}", "wanted an utterance that is one span with syllables, got none")
    yield from _against("tempo", "speech rate", f"{name}, {len(got)} spans", wanted, got, "syll/s")


def satisfaction(calls: list[Judged], condition: str) -> Iterator[Row | Skipped]:
    """At start and end. The truth's -1 to 1 stands on the journey's 1 to 10."""
    wanted, got, within, changes = [], [], [], []
    for analysis, truth in calls:
        said = analysis.ended.satisfaction
        if said is None:
            continue
        for value, (low, high), mood in (
            (said.start, said.interval["start"], truth["mood_start"]),
            (said.end, said.interval["end"], truth["mood_end"]),
        ):
            wanted.append(5.5 + 4.5 * mood)
            got.append(value)
            within.append(low <= wanted[-1] <= high)
        change = truth["mood_end"] - truth["mood_start"]
        if abs(change) > LEAST_CHANGE:
            changes.append((np.sign(change), np.sign(said.change)))
    if len(got) < 2 * len(calls):
        what = f"satisfaction of {len(calls) - len(got) // 2} of {len(calls)} calls, {condition}"
        yield Skipped(what, "nothing was inferred of the customer")
    yield from _against("satisfaction", "start and end", condition, wanted, got, "points")
    if len(got) <= MOST_OF_ONE:
        return
    aim = target("satisfaction", "in its interval")
    yield Row("satisfaction", "in its interval", condition, "vocal", float(np.mean(within)), "share", aim)
    if changes:
        right, said_so = np.array(changes).T
        usual = 1.0 if (right > 0).mean() >= 0.5 else -1.0
        told = f"{condition}, {len(changes)} calls"
        for who, answer in (("vocal", said_so), ("constant", usual)):
            share = float(np.mean(right == answer))
            yield Row("satisfaction", "direction of change", told, who, share, "share")


# --- moments ---------------------------------------------------------------------------------------------------------

Stretch = tuple[float, float]

TOLD = 3  # of each kind a call tells so many moments at most, so no more can be asked of it
SHIFTS = 49
EASED = "customer_calmed"


def inside(stretch: Stretch, others: Iterable[Stretch]) -> float:
    """Seconds of `stretch` that lie in the others."""
    return sum(max(0.0, min(stretch[1], end) - max(stretch[0], start)) for start, end in others)


class MomentTruth:
    """What a call's truth says of its moments.

    right[kind]: the customer's spans of that sign, and for pain the dead air too. ground[kind]: what could have been
    right, all spans of the customer, and for pain the dead air. stretches[kind]: the longest TOLD, each a run of spans
    of one sign with nothing between but the agent, or dead air.
    """

    def __init__(self, truth: Truth) -> None:
        self.seconds: float = truth["seconds"]
        spans = sorted((s["start"], s["end"], s["mood"]) for s in truth["spans"] if s["channel"] == 1)
        air = [(gap["start"], gap["end"]) for gap in truth["dead_air"]]
        said = [(start, end) for start, end, _ in spans]
        up = [(start, end) for start, end, mood in spans if mood > 0]
        down = [(start, end) for start, end, mood in spans if mood < 0]
        runs: dict[str, list[Stretch]] = {"positive": [], "pain": []}
        for sign, run in itertools.groupby(spans, key=lambda span: np.sign(span[2])):
            own = list(run)
            if sign:
                runs["positive" if sign > 0 else "pain"].append((own[0][0], own[-1][1]))
        self.right = {"positive": up, "pain": [*down, *air]}
        self.ground = {"positive": said, "pain": [*said, *air]}
        self.stretches = {
            kind: sorted(found, key=lambda one: one[0] - one[1])[:TOLD]
            for kind, found in (("positive", runs["positive"]), ("pain", [*runs["pain"], *air]))
        }

    def judge(self, kind: str, moments: list[Stretch], shift_s: float = 0.0) -> tuple[int, int, int, int]:
        """(moments of which at least half of what could have been right was, moments, stretches of which a second or
        half is in a moment, stretches). shift_s: all moments that much later, from the end on at the beginning."""
        placed = []
        for start, end in moments:
            late = (start + shift_s) % self.seconds
            over = late + end - start - self.seconds
            placed.append([(late, self.seconds), (0.0, over)] if over > 0 else [(late, late + end - start)])
        hits = 0
        for parts in placed:
            ground = sum(inside(part, self.ground[kind]) for part in parts)
            hits += ground > 0 and sum(inside(part, self.right[kind]) for part in parts) >= 0.5 * ground
        told = [part for parts in placed for part in parts]
        wanted = self.stretches[kind]
        found = sum(inside(one, told) >= min(1.0, 0.5 * (one[1] - one[0])) for one in wanted)
        return hits, len(placed), found, len(wanted)


def eases(truth: Truth, moment: Stretch) -> bool:
    """Whether one of the customer's two spans before was negative, and none is that lies in the moment for the most."""
    spans = sorted((s["start"], s["end"], s["mood"]) for s in truth["spans"] if s["channel"] == 1)
    within = [mood for start, end, mood in spans if inside((start, end), [moment]) > 0.5 * (end - start)]
    before = [mood for _, end, mood in spans if end <= moment[0] + 0.5][-2:]
    return bool(within) and min(within) >= 0 and any(mood < 0 for mood in before)


def moments(calls: list[Judged], condition: str) -> Iterator[Row]:
    """Precision and recall of moments; random: the same moments moved through the call, mean of SHIFTS places.

    A positive moment is right where the customer's mood is positive by the truth (1). Those that tell of a low that
    eased to neutral are judged by themselves.
    """
    eased = [
        eases(truth, (m.start_s, m.end_s))
        for analysis, truth in calls
        for m in analysis.ended.moments
        if m.why == EASED
    ]
    if eased:
        yield Row("moments", "eased: told", condition, "vocal", len(eased), "moments", better="neither")
        yield Row("moments", "eased: precision", condition, "vocal", float(np.mean(eased)), "share")
    for kind in ("positive", "pain"):
        judged, chance = np.zeros(4), np.zeros(4)
        for analysis, truth in calls:
            known = MomentTruth(truth)
            own = [(m.start_s, m.end_s) for m in analysis.ended.moments if m.kind == kind and m.why != EASED]
            judged += known.judge(kind, own)
            shifts = [truth["seconds"] * k / (SHIFTS + 1) for k in range(1, SHIFTS + 1)]
            chance += np.mean([known.judge(kind, own, shift) for shift in shifts], axis=0)
        for who, (hits, told, found, wanted) in (("vocal", judged), ("random", chance)):
            if who == "vocal":
                yield Row("moments", f"{kind}: told", condition, who, float(told), "moments", better="neither")
            if told:
                yield Row("moments", f"{kind}: precision", condition, who, float(hits / told), "share")
            if wanted:
                where = f"{condition}, {wanted:.0f} stretches"
                yield Row("moments", f"{kind}: recall", where, who, float(found / wanted), "share")


def rows(data: Path | None, folds: Path | None, model: Path | None) -> Iterator[Row | Skipped]:
    config = _with(model)
    known = truths(data / "calls" / "staged" if data else call_path().parent)
    calls = [(vocal.analyze(path, notice=True, config=config), truth) for path, truth in known]
    name = "staged" if data else "demo call"
    yield from boundaries(calls, name)
    yield from tempo(calls, name)
    yield from conversation(calls, name)
    condition = f"{name}, voices trained on" if data else name
    yield from satisfaction(calls, condition)
    yield from moments(calls, condition)
    if data is None:
        yield Skipped("calls: correlations", "one call has none: wanted --data DIR with calls/staged in it")
        return
    if folds is None:
        yield Skipped("calls: customer held out", "wanted --folds DIR, models that never heard the customer")
        return
    held = []
    for path, truth in known:
        models = list(folds.glob(f"*-{truth['customer']}"))
        if len(models) != 1:
            raise InputError(f"{folds}: wanted one model named *-{truth['customer']}, got {len(models)}")
        held.append((vocal.analyze(path, notice=True, config=_with(models[0])), truth))
    yield from satisfaction(held, f"{name}, customer held out")
    yield from moments(held, f"{name}, customer held out")


def _with(model: Path | None) -> Config:
    return msgspec.structs.replace(Config(), emotion=EmotionConfig(model=str(model) if model else ""))
