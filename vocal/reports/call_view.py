"""A call as its report needs it: from its record alone, and from whatever events are still kept beside it.

Utterances are kept a day, moods, cues and the call's beginning and end as long as the record: what a page draws comes
from the record wherever the record has it, so a page changes as little as can be when the rest has gone. This is also
the second place where the policy holds: whatever came in, nothing that was inferred gets out without notice.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from vocal import charts
from vocal.adaptation import Adaptation, level_adaptation, tempo_adaptation
from vocal.answers import Reflection
from vocal.charts import MoodPoint, Style
from vocal.errors import UsageError
from vocal.policy import INFERRED_MEASURES
from vocal.record import STEPS, CallRecord, CueGiven, is_inferred, journey_point, level_of, record_of, tempo_of
from vocal.types import ByRole, CallStarted, Cue, Event, Language, Moment, Mood, Role, Satisfaction, Totals, Utterance

NON_TALK_S = 3.0  # nobody speaks for longer than this
OVERLAP_S = 1.0  # overlaps of at least this length are counted and marked

MOST_MOODS = 240  # points drawn, however long the call is
MOST_MOMENTS = 3  # of each kind

Kept = Literal["all", "record"]


@dataclass(frozen=True)
class Stretch:
    """What one side did in a stretch of the call; None: not said. level_db: against the own baseline."""

    start_s: float
    end_s: float
    tempo_syll_s: float | None
    level_db: float | None
    talk_s: float


@dataclass(frozen=True)
class Side:
    """One participant. Channels of the same role are one side; each unknown channel is its own."""

    role: Role
    channel: int
    style: Style
    utterances: tuple[Utterance, ...]
    course: tuple[Stretch, ...]
    talk_s: float
    tempo_syll_s: float | None
    level_dbov: float | None


@dataclass(frozen=True)
class CueShown:
    """A cue, what became of it, and how the agent rated it (None: not at all). `said` is empty where its text is not
    kept any more. link: where one can read more; https alone, or http to this machine (`urls`)."""

    given: CueGiven
    said: Mapping[Language, str]
    evidence: Mapping[str, float]
    helpful: bool | None
    link: str | None = None


@dataclass(frozen=True)
class CallView:
    """Without notice there is no mood and no satisfaction in it. shared: who reads got it from the call's agent."""

    record: CallRecord
    kept: Kept
    started_at: str
    sides: tuple[Side, ...]
    points: tuple[MoodPoint, ...]
    confidence: float | None
    totals: Totals
    satisfaction: Satisfaction | None
    good: tuple[Moment, ...]
    pain: tuple[Moment, ...]
    cues: tuple[CueShown, ...]
    overlaps: tuple[tuple[float, float], ...]
    silences: tuple[tuple[float, float], ...]
    tempo: Adaptation
    level: Adaptation
    reflection: Reflection | None = None

    @property
    def notice(self) -> bool:
        return self.record.notice == "given"

    @property
    def is_file(self) -> bool:
        return self.record.transport.startswith("file")

    @property
    def spoken(self) -> bool:
        return any(side.talk_s > 0.0 for side in self.sides)

    def side(self, role: Role) -> Side | None:
        return next((side for side in self.sides if side.role == role), None)


@dataclass(frozen=True)
class Said:
    """What agents answered to a call: by `seq` whether a cue helped, and how the call felt."""

    feedback: Mapping[int, bool] = field(default_factory=dict)
    reflection: Reflection | None = None


NOTHING_SAID = Said()


def view_of(events: Sequence[Event], record: CallRecord | None = None, said: Said = NOTHING_SAID) -> CallView:
    """record: as it was filed; without it, it is made of the events, which then must have `call_started`.

    Raises UsageError where that is not so, and for events of several calls.
    """
    record = record or record_of(events)
    others = {event.call for event in events} - {record.call}
    if others:
        raise UsageError(f"Expected the events of call {record.call} alone, but got also {', '.join(sorted(others))}")
    started = next((event for event in events if isinstance(event, CallStarted)), None)
    utterances = sorted((event for event in events if isinstance(event, Utterance)), key=lambda event: event.start_s)
    sides = _sides(record, started, utterances)
    may_tell = record.notice == "given" and any(side.role == "customer" for side in sides)
    moods = [event for event in events if isinstance(event, Mood) and event.role == "customer"] if may_tell else []
    moods.sort(key=lambda mood: mood.at_s)
    moments = [one for one in record.moments if may_tell or not is_inferred(one)]
    spans = [[(one.start_s, one.end_s) for one in side.utterances] for side in sides]
    both = len(sides) > 1 and bool(utterances)
    return CallView(
        record=record,
        kept="all" if utterances or not any(side.talk_s for side in sides) else "record",
        started_at=started.started_at if started else record.started_at,
        sides=sides,
        points=tuple(_points(moods, record) if may_tell else ()),
        confidence=sum(mood.confidence for mood in moods) / len(moods) if moods else None,
        totals=_totals(record),
        satisfaction=record.satisfaction if may_tell else None,
        good=_first(moments, "positive"),
        pain=_first(moments, "pain"),
        cues=tuple(_cues(record, events, said.feedback)),
        overlaps=tuple(_overlaps(spans)) if both else (),
        silences=tuple(_silences(spans, record.duration_s)) if both else (),
        tempo=tempo_adaptation(record.steps, record.duration_s),
        level=level_adaptation(record.steps, record.duration_s),
        reflection=said.reflection,
    )


def _sides(record: CallRecord, started: CallStarted | None, utterances: Iterable[Utterance]) -> tuple[Side, ...]:
    said: dict[tuple[Role, int], list[Utterance]] = {}
    declared: list[tuple[Role, int]] = [(one.role, one.channel) for one in started.channels] if started else []
    if not declared:
        declared += [("agent", 0)] if record.talk_agent_s is not None else []
        declared += [("customer", 1)] if record.talk_customer_s is not None else []
    for role, channel in sorted(declared, key=lambda one: (("agent", "customer", "unknown").index(one[0]), one[1])):
        said.setdefault((role, channel if role == "unknown" else -1), [])
    for one in utterances:
        said.setdefault((one.role, one.channel if one.role == "unknown" else -1), []).append(one)
    sides: list[Side] = []
    unknown: tuple[Style, Style] = ("third", "fourth")
    for (role, channel), own in said.items():
        style: Style = unknown[sum(side.role == "unknown" for side in sides) % 2] if role == "unknown" else role
        sides.append(_side(record, role, channel, style, tuple(own)))
    return tuple(sides)


def _side(record: CallRecord, role: Role, channel: int, style: Style, own: tuple[Utterance, ...]) -> Side:
    edges = [*(step.start_s for step in record.steps), record.duration_s]
    if role == "unknown":  # of whom a record says nothing
        edges = [record.duration_s * step / STEPS for step in range(STEPS + 1)]
        course = [_stretch(own, start, end) for start, end in pairwise(edges)]
        talk_s = sum(one.end_s - one.start_s for one in own)
        return Side(role, channel, style, own, tuple(course), talk_s, tempo_of(own), level_of(own))
    is_agent = role == "agent"
    course = [
        Stretch(start, end, step.agent_tempo_syll_s, step.agent_level_db, step.agent_talk_s)
        if is_agent
        else Stretch(start, end, step.customer_tempo_syll_s, step.customer_level_db, step.customer_talk_s)
        for step, (start, end) in zip(record.steps, pairwise(edges), strict=True)
    ]
    talk_s = (record.talk_agent_s if is_agent else record.talk_customer_s) or sum(one.talk_s for one in course)
    tempo = record.agent_tempo_syll_s if is_agent else record.customer_tempo_syll_s
    level = record.agent_level_dbov if is_agent else record.customer_level_dbov
    return Side(role, channel, style, own, tuple(course), talk_s, tempo, level)


def _stretch(utterances: Sequence[Utterance], start_s: float, end_s: float) -> Stretch:
    own = [one for one in utterances if start_s < (one.start_s + one.end_s) / 2.0 <= end_s]
    levels = [one.relative.level_db for one in own if one.relative.level_db is not None]
    talk_s = sum(max(0.0, min(one.end_s, end_s) - max(one.start_s, start_s)) for one in utterances)
    return Stretch(start_s, end_s, tempo_of(own), sum(levels) / len(levels) if levels else None, talk_s)


def _points(moods: Sequence[Mood], record: CallRecord) -> list[MoodPoint]:
    """The curve with its band: half a width of 4.5 points at no confidence, none at full confidence. Of steps alone no
    band can be told."""
    if not moods:
        known = [(step.start_s + record.duration_s / len(record.steps) / 2.0, step.mood) for step in record.steps]
        return [MoodPoint(at_s, mood, mood, mood) for at_s, mood in known if mood is not None]
    values = charts.thinned([(m.at_s, journey_point(m.valence), 1.0) for m in moods], MOST_MOODS, record.duration_s)
    widths = charts.thinned([(m.at_s, 4.5 * (1.0 - m.confidence), 1.0) for m in moods], MOST_MOODS, record.duration_s)
    return [
        MoodPoint(at, value, max(1.0, value - half), min(10.0, value + half))
        for (at, value), (_, half) in zip(values, widths, strict=True)
    ]


def _totals(record: CallRecord) -> Totals:
    share = record.talk_share_agent
    theirs = None
    if record.talk_customer_s:
        theirs = 1.0 if share is None else 1.0 - share
    return Totals(
        talk_share=ByRole(share, theirs),
        talk_s=ByRole(record.talk_agent_s, record.talk_customer_s),
        overlap_s=record.overlap_s,
        overlaps=record.overlaps,
        interruptions=ByRole(record.interruptions_agent, record.interruptions_customer),
        non_talk_s=record.non_talk_s,
        longest_monologue_s=ByRole(record.monologue_agent_s, record.monologue_customer_s),
        median_gap_s=ByRole(record.gap_agent_s, record.gap_customer_s),
    )


def _first(moments: Iterable[Moment], kind: str) -> tuple[Moment, ...]:
    own = sorted((moment for moment in moments if moment.kind == kind), key=lambda moment: moment.start_s)
    return tuple(own[:MOST_MOMENTS])


def _cues(record: CallRecord, events: Sequence[Event], feedback: Mapping[int, bool]) -> list[CueShown]:
    """What was inferred of a customer who was not informed makes no cue that is shown."""
    texts = {(event.seq, event.at_s): event for event in events if isinstance(event, Cue)}
    shown = []
    for given in sorted(record.cues, key=lambda one: one.at_s):
        cue = texts.get((given.seq, given.at_s))
        evidence = cue.evidence if cue else {}
        if record.notice != "given" and not INFERRED_MEASURES.isdisjoint(evidence):
            continue
        said: Mapping[Language, str] = cue.text if cue else {}
        shown.append(CueShown(given, said, evidence, feedback.get(given.seq), cue.link if cue else None))
    return shown


def _overlaps(spans: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Stretches of at least OVERLAP_S in which two sides speak."""
    found = []
    for index, ours in enumerate(spans):
        for theirs in spans[index + 1 :]:
            first = 0
            for start, end in ours:
                while first < len(theirs) and theirs[first][1] <= start:
                    first += 1
                for other_start, other_end in theirs[first:]:
                    if other_start >= end:
                        break
                    if min(end, other_end) - max(start, other_start) >= OVERLAP_S:
                        found.append((max(start, other_start), min(end, other_end)))
    return sorted(found)


def _silences(spans: Sequence[Sequence[tuple[float, float]]], duration_s: float) -> list[tuple[float, float]]:
    """Stretches over NON_TALK_S in which no side speaks."""
    edges = [(0.0, 0.0), *sorted(span for own in spans for span in own), (duration_s, duration_s)]
    found, spoken_until = [], 0.0
    for start, end in edges:
        if start - spoken_until > NON_TALK_S:
            found.append((spoken_until, start))
        spoken_until = max(spoken_until, end)
    return found
