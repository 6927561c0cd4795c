"""A call's report for other programs: all of it as JSON, its course as CSV."""

import csv
import io
from collections.abc import Mapping

import msgspec

from vocal.adaptation import Adaptation
from vocal.answers import Reflection
from vocal.record import CallRecord, Step
from vocal.reports.call import question
from vocal.reports.call_view import CallView, Kept
from vocal.texts import LANGUAGES
from vocal.types import Audience, Language, Severity


class MoodOut(msgspec.Struct, frozen=True):
    """The customer's mood on the journey's scale 1-10, and the band that it lies in."""

    at_s: float
    value: float
    low: float
    high: float


class CueOut(msgspec.Struct, frozen=True):
    """A cue or an alert. text: empty where it is not kept any more. helpful: as the agent rated it, None: not at all.
    The changes are from the 20 s before to the 20 s after."""

    seq: int
    at_s: float
    cue: str
    kind: str
    audience: Audience
    severity: Severity
    text: dict[Language, str]
    evidence: dict[str, float]
    helpful: bool | None
    tempo_change_syll_s: float | None
    mood_change: float | None


class AdaptationOut(msgspec.Struct, frozen=True):
    """How both sides adapted to each other: tempo in syllables per second, level in dB against the own baselines."""

    tempo: Adaptation
    level: Adaptation


class CallReport(msgspec.Struct, frozen=True, kw_only=True):
    """kept: `all`, or `record` where the single utterances are deleted already. record: as the store keeps it, with
    totals, satisfaction, moments and the course in 24 steps. moods: as they are drawn. reflection: only for those whom
    the agent lets see it. question: the one to take along."""

    v: int = 1
    call: str
    kept: Kept
    record: CallRecord
    moods: tuple[MoodOut, ...]
    adaptation: AdaptationOut
    cues: tuple[CueOut, ...]
    reflection: Reflection | None
    question: Mapping[Language, str]


def report_of(view: CallView) -> CallReport:
    return CallReport(
        call=view.record.call,
        kept=view.kept,
        record=view.record,
        moods=tuple(MoodOut(one.at_s, one.value, one.low, one.high) for one in view.points),
        adaptation=AdaptationOut(view.tempo, view.level),
        cues=tuple(
            CueOut(
                one.given.seq,
                one.given.at_s,
                one.given.cue,
                one.given.kind,
                one.given.audience,
                one.given.severity,
                dict(one.said),
                dict(one.evidence),
                one.helpful,
                one.given.tempo_change_syll_s,
                one.given.mood_change,
            )
            for one in view.cues
        ),
        reflection=view.reflection,
        question={language: question(view, language) for language in LANGUAGES},
    )


def as_json(view: CallView) -> str:
    """`CallReport`, indented."""
    return msgspec.json.format(msgspec.json.encode(report_of(view)), indent=2).decode() + "\n"


def steps_csv(view: CallView) -> str:
    """The call's course, a row for each of its steps: numbers alone, empty where nothing can be said."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    names = Step.__struct_fields__
    table.writerow(("start_s", "end_s", *names[1:]))
    steps = view.record.steps
    ends = [*(step.start_s for step in steps[1:]), view.record.duration_s]
    for step, end_s in zip(steps, ends, strict=True):
        rest = (getattr(step, name) for name in names[1:])
        table.writerow("" if value is None else f"{value:.3f}" for value in (step.start_s, end_s, *rest))
    return out.getvalue()
