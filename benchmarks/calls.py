"""Whole calls with truth: the staged ones of a folder of corpora, or else the demo call.

The shipped emotion model was trained on the voices of the staged calls. With folds (from `models/train/emotion.py
--folds`) each is judged once more by a model that never heard its customer, and only those rows say anything of mood.
"""

import json
from collections.abc import Iterator
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


def rows(data: Path | None, folds: Path | None, model: Path | None) -> Iterator[Row]:
    config = _with(model)
    files = truths(data / "calls" / "staged" if data else call_path().parent)
    calls = [(vocal.analyze(path, notice=True, config=config), truth) for path, truth in files]
    name = "staged" if data else "demo call"
    yield from boundaries(calls, name)
    yield from tempo(calls, name)
    if len(calls) > 2:
        yield from turns(calls, name)
    yield from mood(calls, f"{name}, voices trained on" if data else name)
    if folds is None or data is None:
        return
    held = []
    for path, truth in files:
        models = list(folds.glob(f"*-{truth['customer']}"))
        if len(models) != 1:
            raise InputError(f"{folds}: wanted one model named *-{truth['customer']}, got {len(models)}")
        held.append((vocal.analyze(path, notice=True, config=_with(models[0])), truth))
    yield from mood(held, f"{name}, customer held out")


def _with(model: Path | None) -> Config:
    return msgspec.structs.replace(Config(), emotion=EmotionConfig(model=str(model) if model else ""))
