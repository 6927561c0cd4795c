"""A call's events -> its record: one row that reports, tables and other programs read.

A record outlives the utterances it was made of (`policy.RETENTION`). It holds measures of both voices, and of the
customer alone what was inferred.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import log10
from statistics import median
from typing import Literal

import msgspec

from vocal.errors import UsageError
from vocal.types import (
    Audience,
    ByRole,
    CallEnded,
    CallStarted,
    Conversation,
    Cue,
    Event,
    Moment,
    Mood,
    Notice,
    Role,
    Satisfaction,
    Severity,
    Totals,
    Utterance,
)

NoticeState = Literal["none", "given", "withdrawn"]

SIDES: tuple[Role, ...] = ("agent", "customer")
STEPS = 24
"""Equal stretches of the call in which its course is kept."""

QUARTERS = 4
LOUD_DB = 3.0
STRESSED = 0.6
CUE_LOOKS_S = 20.0
RECOVERED_BELOW, RECOVERED_POINTS = 5.0, 1.5
_NOTHING = Totals(ByRole(), ByRole(), 0.0, 0, ByRole(), 0.0, ByRole(), ByRole())


class Step(msgspec.Struct, frozen=True):
    """A stretch of the call from `start_s` on; None where nobody spoke. mood: on the journey's scale 1-10. Levels are
    against the speaker's own baseline in the call."""

    start_s: float
    mood: float | None
    stress: float | None
    agent_tempo_syll_s: float | None
    customer_tempo_syll_s: float | None
    agent_level_db: float | None
    customer_level_db: float | None
    agent_talk_s: float
    customer_talk_s: float


class CueGiven(msgspec.Struct, frozen=True):
    """A cue or an alert, and what changed from the 20 s before it to the 20 s after: the agent's tempo, and the
    customer's mood in points of the journey."""

    seq: int
    cue: str
    kind: str
    audience: Audience
    severity: Severity
    at_s: float
    tempo_change_syll_s: float | None
    mood_change: float | None


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call. Times of day are ISO 8601 in UTC; `filed_at` is when it came into the store.

    agent: a pseudonym that rotates; source: a keyed mark of the peer, or a file's name. notice: of the analysis, and
    consent to it, as they stood at the end. interrupted: the server ended before the call did. mood_quarters: mean mood
    of each quarter of the call, 1-10. stress_s: of the customer's speech with stress over 0.6. agent_loud_s: of the
    agent's speech over 3 dB above the own baseline. recovered: the customer began under 5 of 10 and ended at least 1.5
    points higher; None where satisfaction is not known.
    """

    v: int = 1
    call: str
    started_at: str
    ended_at: str
    filed_at: str
    interrupted: bool
    reason: str
    duration_s: float
    transport: str
    source: str
    queue: str | None
    touchpoint: str | None
    team: str | None
    agent: str | None
    language: str | None
    notice: NoticeState
    talk_share_agent: float | None
    talk_agent_s: float | None
    talk_customer_s: float | None
    overlap_s: float
    overlaps: int
    interruptions_agent: float | None
    interruptions_customer: float | None
    non_talk_s: float
    monologue_agent_s: float | None
    monologue_customer_s: float | None
    gap_agent_s: float | None
    gap_customer_s: float | None
    agent_tempo_syll_s: float | None
    customer_tempo_syll_s: float | None
    agent_level_dbov: float | None
    customer_level_dbov: float | None
    agent_loud_s: float
    agent_clarity: float | None
    customer_clarity: float | None
    lost_share: float
    satisfaction: Satisfaction | None
    mood_quarters: tuple[float | None, ...]
    stress_s: float | None
    recovered: bool | None
    moments: tuple[Moment, ...]
    steps: tuple[Step, ...]
    cues: tuple[CueGiven, ...]
    model: str | None
    consent: NoticeState = "none"


def record_of(events: Sequence[Event], filed_at: str | None = None) -> CallRecord:
    """The record of one call's events; without `call_ended` among them the call was interrupted.

    Raises UsageError where `call_started` is missing.
    """
    started = next((event for event in events if isinstance(event, CallStarted)), None)
    if started is None:
        raise UsageError(f"Expected a call's events with call_started among them, but got {len(events)} without")
    ended = next((event for event in events if isinstance(event, CallEnded)), None)
    said = [event for event in events if isinstance(event, Utterance)]
    duration_s = ended.duration_s if ended else max(event.at_s for event in events)
    notice, consent = _notice(started, events)
    moods = [event for event in events if isinstance(event, Mood) and event.role == "customer" and notice == "given"]
    totals = ended.conversation if ended else _totals(events)
    satisfaction = ended.satisfaction if ended and notice == "given" else None
    sides: dict[Role, list[Utterance]] = {role: [one for one in said if one.role == role] for role in SIDES}
    began = datetime.fromisoformat(started.started_at).astimezone(UTC)
    ended_at = began + timedelta(seconds=duration_s)
    meta = started.metadata
    return CallRecord(
        call=started.call,
        started_at=_iso(began),
        ended_at=_iso(ended_at),
        filed_at=filed_at or _iso(ended_at),
        interrupted=ended is None,
        reason=ended.reason if ended else "interrupted",
        duration_s=duration_s,
        transport=started.transport,
        source=started.source,
        queue=meta.queue,
        touchpoint=meta.touchpoint,
        team=meta.team,
        agent=meta.agent,
        language=meta.language,
        notice=notice,
        talk_share_agent=totals.talk_share.agent,
        talk_agent_s=totals.talk_s.agent,
        talk_customer_s=totals.talk_s.customer,
        overlap_s=totals.overlap_s,
        overlaps=totals.overlaps,
        interruptions_agent=totals.interruptions.agent,
        interruptions_customer=totals.interruptions.customer,
        non_talk_s=totals.non_talk_s,
        monologue_agent_s=totals.longest_monologue_s.agent,
        monologue_customer_s=totals.longest_monologue_s.customer,
        gap_agent_s=totals.median_gap_s.agent,
        gap_customer_s=totals.median_gap_s.customer,
        agent_tempo_syll_s=tempo_of(sides["agent"]),
        customer_tempo_syll_s=tempo_of(sides["customer"]),
        agent_level_dbov=level_of(sides["agent"]),
        customer_level_dbov=level_of(sides["customer"]),
        agent_loud_s=sum(u.end_s - u.start_s for u in sides["agent"] if (u.relative.level_db or 0.0) > LOUD_DB),
        agent_clarity=mean_by_length(sides["agent"], lambda one: one.clarity),
        customer_clarity=mean_by_length(sides["customer"], lambda one: one.clarity),
        lost_share=ended.lost_share if ended else 0.0,
        satisfaction=satisfaction,
        mood_quarters=tuple(_mood_in(moods, start, end) for start, end in pairwise(_edges(duration_s, QUARTERS))),
        stress_s=_stressed_s(moods) if moods else None,
        recovered=_recovered(satisfaction),
        moments=ended.moments if ended else (),
        steps=tuple(_step(sides, moods, start, end) for start, end in pairwise(_edges(duration_s, STEPS))),
        cues=tuple(_cue(event, sides["agent"], moods) for event in events if isinstance(event, Cue)),
        model=next((one.emotion.model for one in sides["customer"] if one.emotion and notice == "given"), None),
        consent=consent,
    )


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _notice(started: CallStarted, events: Iterable[Event]) -> tuple[NoticeState, NoticeState]:
    """Of the notice and of the consent. Who agreed was informed; whoever objects ends both."""
    consent: NoticeState = "given" if started.metadata.consent else "none"
    notice: NoticeState = "given" if started.metadata.notice or consent == "given" else "none"
    for event in events:
        if isinstance(event, Notice):
            if not event.given:
                consent = "withdrawn" if consent == "given" or event.basis == "consent" else consent
            elif event.basis == "consent":
                consent = "given"
            notice = "given" if event.given else "withdrawn"
    return notice, consent


def _totals(events: Iterable[Event]) -> Totals:
    last = max((e for e in events if isinstance(e, Conversation)), key=lambda event: event.at_s, default=None)
    if last is None:
        return _NOTHING
    return Totals(**{name: getattr(last, name) for name in Totals.__struct_fields__})


def _edges(duration_s: float, count: int) -> list[float]:
    return [duration_s * step / count for step in range(count + 1)]


def _mood_in(moods: Iterable[Mood], start_s: float, end_s: float) -> float | None:
    return mean_of(journey_point(mood.valence) for mood in moods if start_s < mood.at_s <= end_s)


def _stressed_s(moods: Sequence[Mood]) -> float:
    """Each mood stands for the second of speech before it."""
    return float(sum(mood.stress > STRESSED for mood in moods))


def _recovered(satisfaction: Satisfaction | None) -> bool | None:
    if satisfaction is None:
        return None
    return satisfaction.start < RECOVERED_BELOW and satisfaction.change >= RECOVERED_POINTS


def _step(sides: dict[Role, list[Utterance]], moods: Sequence[Mood], start_s: float, end_s: float) -> Step:
    own = {
        role: [one for one in said if start_s < (one.start_s + one.end_s) / 2.0 <= end_s]
        for role, said in sides.items()
    }
    talk_s = {
        role: sum(max(0.0, min(one.end_s, end_s) - max(one.start_s, start_s)) for one in said)
        for role, said in sides.items()
    }
    return Step(
        start_s=start_s,
        mood=_mood_in(moods, start_s, end_s),
        stress=mean_of(mood.stress for mood in moods if start_s < mood.at_s <= end_s),
        agent_tempo_syll_s=tempo_of(own["agent"]),
        customer_tempo_syll_s=tempo_of(own["customer"]),
        agent_level_db=_relative_level(own["agent"]),
        customer_level_db=_relative_level(own["customer"]),
        agent_talk_s=talk_s["agent"],
        customer_talk_s=talk_s["customer"],
    )


def _relative_level(utterances: Iterable[Utterance]) -> float | None:
    heard = [one for one in utterances if one.relative.level_db is not None]
    return mean_by_length(heard, lambda one: one.relative.level_db or 0.0)


def _cue(cue: Cue, agent: Sequence[Utterance], moods: Sequence[Mood]) -> CueGiven:
    def change(before: float | None, after: float | None) -> float | None:
        return None if before is None or after is None else after - before

    start_s, end_s = cue.at_s - CUE_LOOKS_S, cue.at_s + CUE_LOOKS_S
    middles = [(one, (one.start_s + one.end_s) / 2.0) for one in agent]
    return CueGiven(
        seq=cue.seq,
        cue=cue.cue,
        kind=cue.kind,
        audience=cue.audience,
        severity=cue.severity,
        at_s=cue.at_s,
        tempo_change_syll_s=change(
            tempo_of(one for one, at_s in middles if start_s < at_s <= cue.at_s),
            tempo_of(one for one, at_s in middles if cue.at_s < at_s <= end_s),
        ),
        mood_change=change(_mood_in(moods, start_s, cue.at_s), _mood_in(moods, cue.at_s, end_s)),
    )


# Measures of a side over the call


def tempo_of(utterances: Iterable[Utterance]) -> float | None:
    """Articulation rate over all: syllables per second of speech, so long utterances count for more than short."""
    rated = [(one.syllables, one.articulation_rate_syll_s) for one in utterances if one.articulation_rate_syll_s]
    speech_s = sum(syllables / rate for syllables, rate in rated if rate)
    return sum(syllables for syllables, _ in rated) / speech_s if speech_s > 0.0 else None


def level_of(utterances: Iterable[Utterance]) -> float | None:
    """Mean power of the utterances, weighted by their length, in dBov."""
    levelled = [(one.end_s - one.start_s, one.level_dbov) for one in utterances if one.level_dbov is not None]
    power = sum(own_s * 10.0 ** (level / 10.0) for own_s, level in levelled)
    total_s = sum(own_s for own_s, _ in levelled)
    return 10.0 * log10(power / total_s) if power > 0.0 and total_s > 0.0 else None


def median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def mean_of(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def mean_by_length(utterances: Iterable[Utterance], value: Callable[[Utterance], float]) -> float | None:
    weighed = [(one.end_s - one.start_s, value(one)) for one in utterances]
    total_s = sum(own_s for own_s, _ in weighed)
    return sum(own_s * v for own_s, v in weighed) / total_s if total_s > 0.0 else None


def journey_point(valence: float) -> float:
    """Valence 0-1 on the journey's scale 1-10."""
    return 1.0 + 9.0 * min(max(valence, 0.0), 1.0)
