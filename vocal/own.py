"""An agent's own records -> what these show that agent: trends against the own past, and what the days asked (load).

Nobody is compared with anybody else, there is no score, and nothing is said of how the agent is. Load is read off the
customers' side and the calls' times; what the voice was asked is added only where the agent wishes.

    first day ........................ the past ........................ the last RECENT_DAYS days
              own usual range: the middle half of the days' values        the value now
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from itertools import accumulate
from statistics import median, quantiles
from typing import Literal

import msgspec

from vocal.errors import UsageError
from vocal.record import RECOVERED_BELOW, CallRecord

RECENT_DAYS = 7
LEAST_DAYS = 5  # of the past, for a usual range
LEAST_CALLS = 5  # now, to be read against it
MOST_DAYS = 31
MOST_MOMENTS = 6
MOST_REFLECTED = 12

Verdict = Literal["usual", "higher", "lower"]
Asked = Literal["after_demanding", "unbroken", "demanding_day", "long_calls", "loud"]


class LoadLimits(msgspec.Struct, frozen=True):
    """From where on a term of load is named. Our proposals, no norm; a day under all of them may have asked a lot, too.

    demanding_call_s: customer's speech with stress over 0.6, in one call; demanding_day_s: in a day. close_s: the next
    call begins within so long. pause_s: what counts as a pause; unbroken_s: calls without one. long_call_s, and
    long_calls of them in a day. loud_day_s: of the agent's speech over 3 dB above the own baseline.
    """

    demanding_call_s: float = 30.0
    demanding_day_s: float = 300.0
    close_s: float = 60.0
    pause_s: float = 300.0
    unbroken_s: float = 3600.0
    long_call_s: float = 900.0
    long_calls: int = 3
    loud_day_s: float = 600.0


LIMITS = LoadLimits()


class Unbroken(msgspec.Struct, frozen=True):
    """Calls without a pause between them; from and to: ISO 8601 in the agent's zone."""

    start: str
    end: str
    calls: int
    length_s: float


class Load(msgspec.Struct, frozen=True):
    """What a day asked. stress_s: of customers' speech; None: it was not estimated in any call, for want of notice.
    close: calls that began within `close_s` after the one before; after_demanding: those after a demanding call.
    speaking_s, loud_s: of the agent's own voice; None unless asked for."""

    calls: int
    calls_s: float
    stress_s: float | None
    demanding: int
    long: int
    close: int
    after_demanding: int
    unbroken: Unbroken | None
    speaking_s: float | None
    loud_s: float | None


class Span(msgspec.Struct, frozen=True):
    """A call in its day, in seconds since midnight."""

    call: str
    start_s: float
    end_s: float
    demanding: bool


class OwnDay(msgspec.Struct, frozen=True):
    """A day with calls. measures: by name, as in `MEASURES`."""

    day: date
    load: Load
    measures: Mapping[str, float | None]
    spans: tuple[Span, ...]


class Trend(msgspec.Struct, frozen=True):
    """A measure now, and its usual range in the own past; None: too little was heard."""

    measure: str
    now: float | None
    low: float | None
    high: float | None
    verdict: Verdict | None


class OwnMoment(msgspec.Struct, frozen=True):
    """A positive moment of a call; started_at in the agent's zone."""

    call: str
    started_at: str
    queue: str | None
    start_s: float
    end_s: float
    why: str


class Felt(msgspec.Struct, frozen=True):
    """How a call felt to its agent, and the customer's satisfaction at its end as it was estimated; both 1-10."""

    call: str
    started_at: str
    own: int
    measured: float | None


class Suggestion(msgspec.Struct, frozen=True):
    """A reason for a break. days: on how many it was so. Of the day on which it was most so: the date, how many calls
    or how long, and between which times."""

    kind: Asked
    days: int
    day: date
    count: int | None = None
    length_s: float | None = None
    start: str | None = None
    end: str | None = None


class OwnView(msgspec.Struct, frozen=True):
    """Everything that the page shows. busiest_hour: of the day, in which most time went by in calls."""

    v: int
    first: date
    last: date
    zone: str
    calls: int
    calls_s: float
    began_low: int
    recovered: int
    good: tuple[OwnMoment, ...]
    felt: tuple[Felt, ...]
    trends: tuple[Trend, ...]
    suggestions: tuple[Suggestion, ...]
    busiest_hour: int | None
    days: tuple[OwnDay, ...]
    limits: LoadLimits


def _mean_tempo(records: Sequence[CallRecord]) -> float | None:
    """Weighed by the time spoken, as articulation rates are."""
    heard = [(one.agent_tempo_syll_s, one.talk_agent_s or 0.0) for one in records]
    return _ratio([(tempo * talk_s, talk_s) for tempo, talk_s in heard if tempo is not None])


def _talk_share(records: Sequence[CallRecord]) -> float | None:
    heard = [(one.talk_agent_s, one.talk_customer_s) for one in records]
    return _ratio([(own, own + theirs) for own, theirs in heard if own is not None and theirs is not None])


def _per_ten_minutes(of: Callable[[CallRecord], float | None]) -> Callable[[Sequence[CallRecord]], float | None]:
    def rate(records: Sequence[CallRecord]) -> float | None:
        return _ratio([(600.0 * value, one.duration_s) for one in records if (value := of(one)) is not None])

    return rate


def _median_gap(records: Sequence[CallRecord]) -> float | None:
    gaps = [one.gap_agent_s for one in records if one.gap_agent_s is not None]
    return median(gaps) if gaps else None


def _journey(records: Sequence[CallRecord]) -> float | None:
    return _ratio([(one.satisfaction.change, 1.0) for one in records if one.satisfaction is not None])


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    whole = sum(weight for _, weight in pairs)
    return sum(part for part, _ in pairs) / whole if whole > 0.0 else None


MEASURES: dict[str, Callable[[Sequence[CallRecord]], float | None]] = {
    "journey": _journey,
    "tempo": _mean_tempo,
    "talk_share": _talk_share,
    "gap": _median_gap,
    "overlap": _per_ten_minutes(lambda one: one.overlap_s),
    "interruptions": _per_ten_minutes(lambda one: one.interruptions_agent),
    "non_talk": _per_ten_minutes(lambda one: one.non_talk_s),
}
"""Each over any number of calls. Points 1-10; syllables a second; share 0-1; s; then s, number and s in ten minutes."""


def own_view(
    records: Sequence[CallRecord],
    first: date,
    last: date,
    zone: tzinfo | None = None,
    felt: Mapping[str, int] = {},
    voice: bool = False,
    limits: LoadLimits = LIMITS,
) -> OwnView:
    """One agent's records of the days `first` to `last` in a zone, both in it; by default this machine's.

    felt: how their calls felt to them, 1-10, by call. voice: count what was asked of the voice, too.
    """
    check_days(first, last)
    mine = sorted(
        (one for one in records if first <= _local(one.started_at, zone).date() <= last), key=lambda one: one.started_at
    )
    by_day: dict[date, list[CallRecord]] = {}
    for one in mine:
        by_day.setdefault(_local(one.started_at, zone).date(), []).append(one)
    days = tuple(_day(day, own, zone, voice, limits) for day, own in sorted(by_day.items()))
    recent = last - timedelta(days=RECENT_DAYS)
    now = [one for one in mine if _local(one.started_at, zone).date() > recent]
    known = [one for one in mine if one.satisfaction is not None]
    recovered = [one for one in known if one.recovered]
    return OwnView(
        v=1,
        first=first,
        last=last,
        zone=zone_name(zone),
        calls=len(mine),
        calls_s=sum(one.duration_s for one in mine),
        began_low=sum(one.satisfaction is not None and one.satisfaction.start < RECOVERED_BELOW for one in known),
        recovered=len(recovered),
        good=_good(mine, zone),
        felt=_felt(mine, felt, zone),
        trends=tuple(_trend(name, now, [one for one in days if one.day <= recent]) for name in MEASURES),
        suggestions=_suggestions([one for one in days if one.day > recent], limits),
        busiest_hour=_busiest_hour(days),
        days=days,
        limits=limits,
    )


def check_days(first: date, last: date) -> None:
    """Raises UsageError for days the wrong way round, or more than are kept."""
    if first > last:
        raise UsageError(f"wanted from before to, got from {first} and to {last}")
    if (last - first).days >= MOST_DAYS:
        raise UsageError(f"wanted at most {MOST_DAYS} days, got {(last - first).days + 1}: from {first} to {last}")


def zone_name(zone: tzinfo | None) -> str:
    return str(zone or datetime.now().astimezone().tzname())


def _local(at: str, zone: tzinfo | None) -> datetime:
    return datetime.fromisoformat(at).astimezone(zone)


def _clock(record: CallRecord, zone: tzinfo | None) -> str:
    return _local(record.started_at, zone).isoformat(timespec="seconds")


def _day(day: date, calls: Sequence[CallRecord], zone: tzinfo | None, voice: bool, limits: LoadLimits) -> OwnDay:
    stress = [one.stress_s for one in calls if one.stress_s is not None]
    demanding = [_is_demanding(one, limits) for one in calls]
    ends = accumulate((one.ended_at for one in calls), max)
    close = [_seconds(end, after.started_at) < limits.close_s for end, after in zip(ends, calls[1:], strict=False)]
    load = Load(
        calls=len(calls),
        calls_s=sum(one.duration_s for one in calls),
        stress_s=sum(stress) if stress else None,
        demanding=sum(demanding),
        long=sum(one.duration_s >= limits.long_call_s for one in calls),
        close=sum(close),
        after_demanding=sum(is_close and was for is_close, was in zip(close, demanding, strict=False)),
        unbroken=_longest_unbroken(calls, zone, limits),
        speaking_s=sum(one.talk_agent_s or 0.0 for one in calls) if voice else None,
        loud_s=sum(one.agent_loud_s for one in calls) if voice else None,
    )
    spans = tuple(_span(one, zone, was) for one, was in zip(calls, demanding, strict=True))
    return OwnDay(day, load, {name: of(calls) for name, of in MEASURES.items()}, spans)


def _is_demanding(record: CallRecord, limits: LoadLimits) -> bool:
    return (record.stress_s or 0.0) >= limits.demanding_call_s


def _span(record: CallRecord, zone: tzinfo | None, demanding: bool) -> Span:
    """By the clock on the wall, so that a strip of the day reads as a day; the night cuts it off."""
    start = _local(record.started_at, zone)
    start_s = start.hour * 3600.0 + start.minute * 60.0 + start.second
    return Span(record.call, start_s, min(start_s + record.duration_s, 86400.0), demanding)


def _longest_unbroken(calls: Sequence[CallRecord], zone: tzinfo | None, limits: LoadLimits) -> Unbroken | None:
    """The longest run of two calls or more without a pause between them."""
    runs: list[list[CallRecord]] = []
    ended = ""
    for one in calls:
        if runs and _seconds(ended, one.started_at) < limits.pause_s:
            runs[-1].append(one)
            ended = max(ended, one.ended_at)
        else:
            runs.append([one])
            ended = one.ended_at
    found = [_run(run, zone) for run in runs if len(run) > 1]
    return max(found, key=lambda one: one.length_s, default=None)


def _run(calls: Sequence[CallRecord], zone: tzinfo | None) -> Unbroken:
    last = max(one.ended_at for one in calls)
    start, end = (_local(at, zone).isoformat(timespec="seconds") for at in (calls[0].started_at, last))
    return Unbroken(start, end, len(calls), _seconds(calls[0].started_at, last))


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _trend(name: str, now: Sequence[CallRecord], past: Sequence[OwnDay]) -> Trend:
    value = MEASURES[name](now)
    before = [known for day in past if (known := day.measures[name]) is not None]
    if len(before) < LEAST_DAYS:
        return Trend(name, value, None, None, None)
    low, _, high = quantiles(before, n=4, method="inclusive")
    if value is None or len(now) < LEAST_CALLS:
        return Trend(name, value, low, high, None)
    verdict: Verdict = "lower" if value < low else "higher" if value > high else "usual"
    return Trend(name, value, low, high, verdict)


def _good(records: Sequence[CallRecord], zone: tzinfo | None) -> tuple[OwnMoment, ...]:
    """The newest positive moments, one a call."""
    found = []
    for one in reversed(records):
        first = next((moment for moment in one.moments if moment.kind == "positive"), None)
        if first is not None:
            found.append(OwnMoment(one.call, _clock(one, zone), one.queue, first.start_s, first.end_s, first.why))
    return tuple(found[:MOST_MOMENTS])


def _felt(records: Sequence[CallRecord], felt: Mapping[str, int], zone: tzinfo | None) -> tuple[Felt, ...]:
    """The newest calls that were reflected on."""
    found = [
        Felt(one.call, _clock(one, zone), felt[one.call], one.satisfaction.end if one.satisfaction else None)
        for one in reversed(records)
        if one.call in felt
    ]
    return tuple(found[:MOST_REFLECTED])


def _suggestions(days: Sequence[OwnDay], limits: LoadLimits) -> tuple[Suggestion, ...]:
    """The reasons for breaks in some days, each with the day on which it was most so."""
    found: list[Suggestion] = []

    def top(most: Callable[[Load], float], least: float) -> tuple[int, OwnDay] | None:
        over = [one for one in days if most(one.load) >= least]
        return (len(over), max(over, key=lambda one: most(one.load))) if over else None

    if said := top(lambda load: load.after_demanding, 1):
        found.append(Suggestion("after_demanding", said[0], said[1].day, count=said[1].load.after_demanding))
    if (said := top(_unbroken_s, limits.unbroken_s)) and (run := said[1].load.unbroken):
        found.append(Suggestion("unbroken", said[0], said[1].day, run.calls, run.length_s, run.start, run.end))
    if said := top(lambda load: load.stress_s or 0.0, limits.demanding_day_s):
        found.append(Suggestion("demanding_day", said[0], said[1].day, length_s=said[1].load.stress_s))
    if said := top(lambda load: load.long, limits.long_calls):
        found.append(Suggestion("long_calls", said[0], said[1].day, count=said[1].load.long))
    if said := top(lambda load: load.loud_s or 0.0, limits.loud_day_s):
        found.append(Suggestion("loud", said[0], said[1].day, length_s=said[1].load.loud_s))
    return tuple(found)


def _unbroken_s(load: Load) -> float:
    return load.unbroken.length_s if load.unbroken else 0.0


def _busiest_hour(days: Sequence[OwnDay]) -> int | None:
    """None where the calls are spread too thinly to say."""
    hours = [0.0] * 24
    for day in days:
        for span in day.spans:
            for hour in range(int(span.start_s // 3600), min(int(span.end_s // 3600), 23) + 1):
                hours[hour] += max(0.0, min(span.end_s, (hour + 1) * 3600.0) - max(span.start_s, hour * 3600.0))
    return hours.index(max(hours)) if sum(map(len, (day.spans for day in days))) >= 2 * LEAST_CALLS else None
