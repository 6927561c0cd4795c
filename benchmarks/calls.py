"""Whole calls with truth: the staged ones of a folder of corpora, or else the demo call.

The shipped emotion model was trained on the voices of the staged calls. With folds (from `models/train/emotion.py
--folds`) each is judged once more by a model that never heard its customer, and only those rows say anything of mood.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import vocal
from vocal.analysis import Analysis
from vocal.config import Config, EmotionConfig
from vocal.demo import call_path
from vocal.errors import InputError

from .rows import Row

Truth = dict[str, Any]
Judged = tuple[Analysis, Truth]

ROLES = ("agent", "customer")


def truths(folder: Path) -> list[tuple[Path, Truth]]:
    return [(file.with_suffix(".flac"), json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))]


def mask(spans: list[tuple[float, float]], seconds: float) -> np.ndarray:
    """Which 10 ms are inside a span."""
    inside = np.zeros(int(seconds * 100) + 1, bool)
    for start, end in spans:
        inside[int(start * 100) : int(end * 100)] = True
    return inside


def boundaries(calls: list[Judged], name: str) -> list[Row]:
    found, false = [], []
    for analysis, truth in calls:
        for channel, role in enumerate(ROLES):
            spoken = mask([(s["start"], s["end"]) for s in truth["spans"] if s["channel"] == channel], truth["seconds"])
            heard = mask([(u.start_s, u.end_s) for u in analysis.utterances if u.role == role], truth["seconds"])
            found.append((spoken & heard).sum() / spoken.sum())
            false.append((heard & ~spoken).sum() / (~spoken).sum())
    return [
        Row("boundaries", "speech time found", name, "vocal", float(np.mean(found)), "share"),
        Row("boundaries", "silence taken for speech", name, "vocal", float(np.mean(false)), "share", better="lower"),
    ]


def turns(calls: list[Judged], call: str) -> list[Row]:
    rows = []
    for name, key in (("overlap_s", "talkover"), ("non_talk_s", "dead_air")):
        wanted = np.array([sum(o["end"] - o["start"] for o in truth[key]) for _, truth in calls])
        got = np.array([getattr(analysis.ended.conversation, name) for analysis, _ in calls])
        rows.append(Row("conversation", name, call, "vocal", float(np.corrcoef(wanted, got)[0, 1]), "r"))
        rows.append(
            Row("conversation", name, call, "vocal", float(np.abs(wanted - got).mean()), "s error", better="lower")
        )
    return rows


def tempo(calls: list[Judged], name: str) -> list[Row]:
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
    error = float(np.abs(np.array(wanted) - np.array(got)).mean())
    return [
        Row("tempo", "speech rate", f"{name}, {len(got)} spans", "vocal", float(np.corrcoef(wanted, got)[0, 1]), "r"),
        Row("tempo", "speech rate", f"{name}, {len(got)} spans", "vocal", error, "syll/s error", better="lower"),
    ]


def mood(calls: list[Judged], condition: str) -> list[Row]:
    wanted, got, right = [], [], []
    for analysis, truth in calls:
        satisfaction = analysis.ended.satisfaction
        if satisfaction is None:
            continue
        wanted += [truth["mood_start"], truth["mood_end"]]
        got += [satisfaction.start, satisfaction.end]
        change = truth["mood_end"] - truth["mood_start"]
        if abs(change) > 0.5:
            right.append(np.sign(satisfaction.change) == np.sign(change))
    # The truth's -1 to 1 on the journey's 1 to 10.
    error = float(np.abs(5.5 + 4.5 * np.array(wanted) - np.array(got)).mean())
    rows = [Row("mood", "start and end", condition, "vocal", error, "points error", better="lower")]
    if len(calls) <= 2:
        return rows
    return [
        *rows,
        Row("mood", "start and end", condition, "vocal", float(np.corrcoef(wanted, got)[0, 1]), "r"),
        Row("mood", "direction of change", f"{condition}, {len(right)} calls", "vocal", float(np.mean(right)), "share"),
    ]


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


def rows(data: Path | None, folds: Path | None, model: Path | None) -> Iterator[Row]:
    config = _with(model)
    files = truths(data / "calls" / "staged" if data else call_path().parent)
    calls = [(vocal.analyze(path, notice=True, config=config), truth) for path, truth in files]
    name = "staged" if data else "demo call"
    yield from boundaries(calls, name)
    yield from tempo(calls, name)
    if len(calls) > 2:
        yield from turns(calls, name)
    condition = f"{name}, voices trained on" if data else name
    yield from mood(calls, condition)
    yield from moments(calls, condition)
    if folds is None or data is None:
        return
    held = []
    for path, truth in files:
        models = list(folds.glob(f"*-{truth['customer']}"))
        if len(models) != 1:
            raise InputError(f"{folds}: wanted one model named *-{truth['customer']}, got {len(models)}")
        held.append((vocal.analyze(path, notice=True, config=_with(models[0])), truth))
    yield from mood(held, f"{name}, customer held out")
    yield from moments(held, f"{name}, customer held out")


def _with(model: Path | None) -> Config:
    return msgspec.structs.replace(Config(), emotion=EmotionConfig(model=str(model) if model else ""))
