"""Blocks of figures -> the team report, as values: what the page, the JSON and the CSV tell.

Nothing of it is about one person. Every number is a sum of whole blocks (`figures`) or was divided out of two, and is
rounded. The order is the report's: what went well, the customers' journey, where mood falls, the voices, the cues, a
question, and what the figures are worth.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from vocal.figures import BINS, Block, Family, Limits, Total, month_of, shown, span_of, total_of, week_of
from vocal.record import QUARTERS

Level = Literal["low", "middle", "high"]
LEVELS: tuple[Level, ...] = ("low", "middle", "high")
STORIES = 3
LEAST_ALIKE = 5
"""Calls with a moment like it: one that was the only one of its kind is nobody's example."""

FALLS = -0.3
"""Points of mood from one quarter to the next that are worth a word."""

NO_FIT = 0.4
PAINS = ("customer_mood_low", "customer_escalated", "dead_air")
_FLOORS = (5, 10, 20, 50, 100)


class Story(msgspec.Struct, frozen=True):
    """A good moment as it occurred in `calls` calls: why, in which quarter, and where satisfaction began and ended."""

    why: str
    quarter: int
    before: Level
    after: Level
    calls: int


class Journey(msgspec.Struct, frozen=True):
    """Satisfaction 1-10; change with half of its interval. recovered: of those that began low. Counts by whole points,
    from 1."""

    calls: int
    start: float
    end: float
    change: float
    change_margin: float
    began_low: int
    recovered: int
    start_counts: tuple[int, ...]
    end_counts: tuple[int, ...]


class Fall(msgspec.Struct, frozen=True):
    """Mood 1-10 of each quarter, the step to the next, and the share of calls that fell there by a point or more.

    over: what these calls were joined over; then queue or touchpoint is None because they differ.
    """

    queue: str | None
    touchpoint: str | None
    over: Literal["", "touchpoints", "queues", "all"]
    calls: int
    quarters: tuple[float, ...]
    steps: tuple[float, ...]
    fell: tuple[float, ...]


class Pain(msgspec.Struct, frozen=True):
    """In how many calls a turning point of a kind lay in each quarter."""

    why: str
    calls: tuple[int, ...]


class Voice(msgspec.Struct, frozen=True):
    """How a measure is spread over the calls: counts from `low` in steps of `width`; the last is of all above."""

    measure: str
    mean: float
    low: float
    width: float
    counts: tuple[int, ...]


class CueEffect(msgspec.Struct, frozen=True):
    """What changed from the 20 s before a rule's cue to the 20 s after, each with half of its interval; None: too few.

    does_not_fit: share of those that were answered.
    """

    rule: str
    calls: int
    tempo_change_syll_s: float | None
    tempo_margin: float | None
    mood_change: float | None
    mood_margin: float | None
    answered: int
    does_not_fit: float | None


class Question(msgspec.Struct, frozen=True):
    """`team.question.KIND` of the texts, with what is filled in."""

    kind: str
    values: dict[str, str | int | float | None] = {}


class Quality(msgspec.Struct, frozen=True):
    """cells: of a queue and a touchpoint in a week; hidden: at most so many of them are in no figure of the team's.
    waits: months that are not over, or not asked for as a whole; small cells of theirs are not in it yet."""

    calls: int
    without_notice: float
    withdrawn: float
    judged: float
    interrupted: int
    lost_share: float
    cells: int
    hidden: int
    waits: tuple[str, ...]
    models: dict[str, int]


class TeamReport(msgspec.Struct, frozen=True):
    """first, last: of the whole weeks that were asked for. calls 0: nothing may be shown."""

    team: str
    first: str
    last: str
    limits: Limits
    calls: int
    agents_at_least: int
    good: tuple[Story, ...]
    journey: Journey | None
    falls: tuple[Fall, ...]
    pains: tuple[Pain, ...]
    voice_calls: int
    voices: tuple[Voice, ...]
    cues: tuple[CueEffect, ...]
    question: Question
    quality: Quality
    v: int = 1


class Asked(NamedTuple):
    """Whole weeks, from a Monday to a Sunday."""

    first: date
    last: date

    @property
    def weeks(self) -> tuple[str, str]:
        return week_of(self.first), week_of(self.last)


def asked_for(first: date | None, last: date | None, today: date) -> Asked:
    """The days that were asked for, widened to whole weeks. By default the months, as weeks make them, of today and the
    two before."""
    if first is None:
        month = month_of(week_of(last or today))
        for _ in range(2):
            month = month_of(week_of(span_of(month)[0] - timedelta(days=1)))
        first = span_of(month)[0]
    week = span_of(week_of(last or today))
    return Asked(span_of(week_of(first))[0], week[1])


def team_report(blocks: Sequence[Block], team: str, asked: Asked, limits: Limits) -> TeamReport:
    """blocks: of the house; the report takes the team's own that lie in the weeks asked for."""
    own = shown(blocks, limits, asked.first, asked.last, team)
    of: dict[Family, list[Block]] = defaultdict(list)
    for block in own:
        of[block.family].append(block)
    calls, voice = total_of(of["calls"]), total_of(of["voice"])
    good = stories_of(calls)
    falls = falls_of(of["mood"])
    cues = _cues(of)
    return TeamReport(
        team=team,
        first=asked.first.isoformat(),
        last=asked.last.isoformat(),
        limits=limits,
        calls=calls.calls,
        agents_at_least=floor_of(calls.agents),
        good=good,
        journey=journey_of(total_of(of["customer"])),
        falls=falls,
        pains=_pains(calls),
        voice_calls=voice.calls,
        voices=_voices(voice),
        cues=cues,
        question=_question(falls, cues, good),
        quality=_quality(calls, of["cells"], asked),
    )


def floor_of(agents: int) -> int:
    """At least so many, in steps: the number itself would count who was away."""
    return max((floor for floor in _FLOORS if floor <= agents), default=0)


def stories_of(calls: Total) -> tuple[Story, ...]:
    """Three kinds of good moments that at least five calls had: the widest ways up first, each reason once as long as
    there are others."""
    found = []
    for name, count in calls.sums.items():
        if name.startswith("story.") and count >= LEAST_ALIKE:
            why, quarter, before, after = name.split(".")[1:]
            found.append(Story(why, int(quarter[1:]), LEVELS[int(before)], LEVELS[int(after)], round(count)))
    found.sort(key=lambda one: (LEVELS.index(one.before) - LEVELS.index(one.after), -one.calls, one.why, one.quarter))
    chosen: list[Story] = []
    for one in found:
        if one.why not in {other.why for other in chosen}:
            chosen.append(one)
    return tuple((chosen + [one for one in found if one not in chosen])[:STORIES])


def journey_of(customer: Total) -> Journey | None:
    start, end, change = (customer.mean(name) for name in ("start", "end", "change"))
    if start is None or end is None or change is None:
        return None
    return Journey(
        calls=customer.calls,
        start=round(start, 2),
        end=round(end, 2),
        change=round(change, 2),
        change_margin=round(customer.spread("change"), 2),
        began_low=round(customer.sums.get("began_low", 0.0)),
        recovered=round(customer.sums.get("recovered", 0.0)),
        start_counts=_whole(customer.bins("start")),
        end_counts=_whole(customer.bins("end")),
    )


def _whole(counts: Iterable[float]) -> tuple[int, ...]:
    return tuple(round(count) for count in counts)


Place = tuple[str | None, str | None, Literal["", "touchpoints", "queues", "all"]]


def place_of(block: Block) -> Place:
    """Queue and touchpoint of a block, and what it was joined over."""
    match block.scope:
        case "cell":
            return block.queue, block.touchpoint, ""
        case "queue" | "house_queue":
            return block.queue, None, "touchpoints"
    return None, None, "queues"


def falls_of(mood: Sequence[Block]) -> tuple[Fall, ...]:
    """All together first, then each queue and touchpoint, the deepest fall first."""
    if not mood:
        return ()
    places: dict[Place, list[Block]] = defaultdict(list)
    for block in mood:
        places[place_of(block)].append(block)
    found = [_fall(place, total_of(own)) for place, own in places.items()]
    found.sort(key=lambda fall: (min(fall.steps), fall.queue or "", fall.touchpoint or ""))
    return (_fall((None, None, "all"), total_of(mood)), *(found if len(found) > 1 else ()))


def _fall(place: Place, total: Total) -> Fall:
    def means(name: str, count: int) -> tuple[float, ...]:
        return tuple(round(total.mean(f"{name}{index + 1}") or 0.0, 2) for index in range(count))

    return Fall(*place, total.calls, means("q", QUARTERS), means("step", QUARTERS - 1), means("fell", QUARTERS - 1))


def _pains(calls: Total) -> tuple[Pain, ...]:
    found = (
        Pain(why, tuple(round(calls.sums.get(f"pain.{why}.q{q + 1}", 0.0)) for q in range(QUARTERS))) for why in PAINS
    )
    return tuple(one for one in found if any(one.calls))


def _voices(voice: Total) -> tuple[Voice, ...]:
    measures = ("agent_tempo", "customer_tempo", "overlap_share", "non_talk_share", "talk_share", "interruptions")
    if not voice.calls:
        return ()
    return tuple(
        Voice(name, round(voice.mean(name) or 0.0, 3), *BINS[name][:2], _whole(voice.bins(name))) for name in measures
    )


def _cues(of: dict[Family, list[Block]]) -> tuple[CueEffect, ...]:
    totals: dict[tuple[str, Family], Total] = {}
    families: tuple[Family, ...] = ("cue", "cue_tempo", "cue_mood", "cue_answer")
    for family in families:
        rules: dict[str, list[Block]] = defaultdict(list)
        for block in of[family]:
            rules[block.what].append(block)
        totals.update({(rule, family): total_of(own) for rule, own in rules.items()})

    def change(rule: str, family: Family) -> tuple[float | None, float | None]:
        total = totals.get((rule, family))
        if total is None:
            return None, None
        return round(total.mean("change") or 0.0, 2), round(total.spread("change"), 2)

    found = []
    for rule in sorted({rule for rule, _ in totals}):
        shown_in, answers = totals.get((rule, "cue")), totals.get((rule, "cue_answer"))
        no_fit = answers.mean("does_not_fit") if answers else None
        found.append(
            CueEffect(
                rule,
                shown_in.calls if shown_in else 0,
                *change(rule, "cue_tempo"),
                *change(rule, "cue_mood"),
                answers.calls if answers else 0,
                None if no_fit is None else round(no_fit, 2),
            )
        )
    return tuple(found)


def _question(falls: Sequence[Fall], cues: Sequence[CueEffect], good: Sequence[Story]) -> Question:
    """From the process first, then from the cues, then from what went well."""
    for fall in falls[1:] or falls:
        step = min(fall.steps)
        if step <= FALLS:
            at = fall.steps.index(step) + 1
            return Question(
                "falls" if fall.queue else "falls_anywhere",
                {"queue": fall.queue, "touchpoint": fall.touchpoint, "from": at, "to": at + 1, "points": -step},
            )
    unfit = max(
        (cue for cue in cues if cue.does_not_fit is not None), key=lambda cue: cue.does_not_fit or 0.0, default=None
    )
    if unfit is not None and (unfit.does_not_fit or 0.0) >= NO_FIT:
        return Question("cue", {"rule": unfit.rule, "share": unfit.does_not_fit})
    return Question("good", {"quarter": good[0].quarter}) if good else Question("any")


def _quality(calls: Total, cells: Sequence[Block], asked: Asked) -> Quality:
    counts = total_of(cells).sums
    many = calls.calls or 1
    weeks = [asked.first + timedelta(days=7 * n) for n in range((asked.last - asked.first).days // 7 + 1)]
    closed = {block.period for block in cells if "W" not in block.period}
    months = dict.fromkeys(month_of(week_of(monday)) for monday in weeks)
    return Quality(
        calls=calls.calls,
        without_notice=round(1.0 - calls.sums.get("notice.given", 0.0) / many, 3) if calls.calls else 0.0,
        withdrawn=round(calls.sums.get("notice.withdrawn", 0.0) / many, 3),
        judged=round(calls.sums.get("judged", 0.0) / many, 3),
        interrupted=round(calls.sums.get("interrupted", 0.0)),
        lost_share=round(calls.mean("lost_share") or 0.0, 4),
        cells=in_fives(counts.get("all", 0.0)),
        hidden=in_fives(counts.get("hidden", 0.0)),
        waits=tuple(
            month
            for month in months
            if month not in closed and not (asked.first <= span_of(month)[0] and span_of(month)[1] <= asked.last)
        ),
        models={name.removeprefix("model."): round(n) for name, n in calls.sums.items() if name.startswith("model.")},
    )


def in_fives(count: float) -> int:
    """At most so many."""
    return -int(-count // 5) * 5


COLUMNS = ("section", "what", "queue", "touchpoint", "joined_over", "measure", "value", "margin", "calls")


def team_rows(report: TeamReport) -> list[dict[str, Any]]:
    """The report as rows of `COLUMNS`, for tables; docs/team-report.md says what they hold."""
    rows: list[dict[str, Any]] = []

    def row(section: str, measure: str, value: object, calls: int, **more: object) -> None:
        rows.append(
            {**dict.fromkeys(COLUMNS), "section": section, "measure": measure, "value": value, "calls": calls, **more}
        )

    for story in report.good:
        row(
            "good",
            "calls",
            story.calls,
            report.calls,
            what=f"{story.why} q{story.quarter} {story.before}-{story.after}",
        )
    if journey := report.journey:
        for name in ("start", "end", "began_low", "recovered"):
            row("journey", name, getattr(journey, name), journey.calls)
        row("journey", "change", journey.change, journey.calls, margin=journey.change_margin)
        for name, counts in (("start", journey.start_counts), ("end", journey.end_counts)):
            for point, count in enumerate(counts, 1):
                row("journey", f"{name}_from_{point}", count, journey.calls)
    for fall in report.falls:
        where = {"queue": fall.queue, "touchpoint": fall.touchpoint, "joined_over": fall.over}
        for name, values in (("mood_q", fall.quarters), ("step_from_q", fall.steps), ("fell_share_from_q", fall.fell)):
            for index, value in enumerate(values, 1):
                row("falls", f"{name}{index}", value, fall.calls, **where)
    for pain in report.pains:
        for quarter, count in enumerate(pain.calls, 1):
            row("falls", f"calls_q{quarter}", count, report.calls, what=pain.why)
    for voice in report.voices:
        row("voices", "mean", voice.mean, report.voice_calls, what=voice.measure)
        for index, count in enumerate(voice.counts):
            row("voices", f"from_{voice.low + index * voice.width:g}", count, report.voice_calls, what=voice.measure)
    for cue in report.cues:
        for measure, change, margin, calls in (
            ("tempo_change_syll_s", cue.tempo_change_syll_s, cue.tempo_margin, cue.calls),
            ("mood_change", cue.mood_change, cue.mood_margin, cue.calls),
            ("does_not_fit", cue.does_not_fit, None, cue.answered),
        ):
            if change is not None:
                row("cues", measure, change, calls, what=cue.rule, margin=margin)
    for name, figure in msgspec.structs.asdict(report.quality).items():
        if isinstance(figure, int | float):
            row("quality", name, figure, report.calls)
    for model, calls in report.quality.models.items():
        row("quality", "model_calls", calls, report.calls, what=model)
    return rows
