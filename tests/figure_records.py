"""Records of calls for tests of figures, and the slow, obvious way from them to cells."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from vocal.figures import BINS, Cell, Family, week_of
from vocal.record import CallRecord, CueGiven
from vocal.types import Moment, Satisfaction

DAY = datetime.fromisoformat("2026-09-02T09:00:00+00:00")
"""A Wednesday, in 2026-W36, the first week of September as weeks make it."""


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def satisfied(start: float, end: float) -> Satisfaction:
    return Satisfaction(start, end, end - start, {"start": (start, start), "end": (end, end)})


def cue_given(
    cue: str = "tempo_high",
    seq: int = 7,
    tempo: float | None = -0.5,
    mood: float | None = None,
    audience: str = "agent",
) -> CueGiven:
    return CueGiven(seq, cue, "tempo", audience, "hint", 60.0, tempo, mood)  # type: ignore[arg-type]


def record(call: str, at: datetime = DAY, **given: Any) -> CallRecord:
    """A call of five minutes, filed at its end."""
    satisfaction = given.get("satisfaction")
    recovered = None if satisfaction is None else satisfaction.start < 5.0 and satisfaction.change >= 1.5
    values: dict[str, Any] = {
        "call": call,
        "started_at": iso(at),
        "ended_at": iso(at + timedelta(seconds=300)),
        "filed_at": iso(at + timedelta(seconds=301)),
        "interrupted": False,
        "reason": "hangup",
        "duration_s": 300.0,
        "transport": "sip",
        "source": "S-1",
        "queue": "Rechnung",
        "touchpoint": None,
        "team": "Nord",
        "agent": "A-1",
        "language": "de",
        "notice": "given",
        "talk_share_agent": 0.5,
        "talk_agent_s": 120.0,
        "talk_customer_s": 120.0,
        "overlap_s": 6.0,
        "overlaps": 2,
        "interruptions_agent": 1.0,
        "interruptions_customer": 0.0,
        "non_talk_s": 30.0,
        "monologue_agent_s": 20.0,
        "monologue_customer_s": 20.0,
        "gap_agent_s": 0.4,
        "gap_customer_s": 0.3,
        "agent_tempo_syll_s": 5.0,
        "customer_tempo_syll_s": 4.5,
        "agent_level_dbov": -25.0,
        "customer_level_dbov": -26.0,
        "agent_loud_s": 0.0,
        "agent_clarity": 0.9,
        "customer_clarity": 0.8,
        "lost_share": 0.0,
        "satisfaction": None,
        "mood_quarters": (None, None, None, None),
        "stress_s": None,
        "recovered": recovered,
        "moments": (),
        "steps": (),
        "cues": (),
        "model": None,
    }
    return CallRecord(**(values | given))


def crowd(count: int, agents: int, at: datetime = DAY, first: int = 0, **given: Any) -> list[CallRecord]:
    """Calls shared out evenly among so many agents, a minute apart."""
    return [
        record(
            f"c{first + index:05d}",
            at + timedelta(minutes=index),
            **({"agent": f"A-{index % agents}", "satisfaction": satisfied(4.0, 6.0)} | given),
        )
        for index in range(count)
    ]


def slow_cells(records: Iterable[CallRecord], said: Mapping[tuple[str, int], bool]) -> list[Cell]:
    """What `store.figures.cells_of` does, a call at a time."""
    calls: dict[tuple[Any, ...], int] = defaultdict(int)
    agents: dict[tuple[Any, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sums: dict[tuple[Any, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    squares: dict[tuple[Any, ...], dict[str, float]] = defaultdict(lambda: defaultdict(float))

    for one in records:
        began, filed = datetime.fromisoformat(one.started_at), datetime.fromisoformat(one.filed_at)
        where = (week_of(filed.date()), one.team, one.queue, one.touchpoint)
        monday = datetime.combine(began.date() - timedelta(days=began.weekday()), time(), UTC)
        into_s = (began - monday).total_seconds()

        is_named = one.agent is not None and 300.0 <= math.floor(into_s) <= 7 * 86400 - 300
        agent = f"{week_of(began.date())}/{one.agent}" if is_named else None

        def count(
            family: Family,
            values: Mapping[str, float],
            what: str = "",
            spread: Iterable[str] = (),
            bins: Iterable[str] = (),
            where: tuple[str | None, ...] = where,
            agent: str | None = agent,
        ) -> None:
            key = (family, what, *where)
            calls[key] += 1
            if agent is not None:
                agents[key][agent] += 1
            for name, value in values.items():
                sums[key][name] += value
                if name in spread:
                    squares[key][name] += value * value
            for name in bins:
                low, width, most = BINS[name]
                sums[key][f"{name}.{min(max(math.floor((values[name] - low) / width), 0), most - 1)}"] += 1

        met = set()
        for moment in one.moments:
            q = min(int((moment.start_s + moment.end_s) / 2 / one.duration_s * 4), 3) + 1
            met.add(f"{moment.kind}.{moment.why}.q{q}")
            if moment.kind == "positive" and one.satisfaction is not None:
                ends = (one.satisfaction.start, one.satisfaction.end)
                before, after = ((value >= 4.0) + (value >= 7.0) for value in ends)
                met.add(f"story.{moment.why}.q{q}.{before}.{after}")
        flags = dict.fromkeys(met, 1.0) | {f"notice.{one.notice}": 1.0, "lost_share": one.lost_share}
        flags |= {"interrupted": float(one.interrupted), "judged": float(one.satisfaction is not None)}
        count("calls", flags | ({f"model.{one.model}": 1.0} if one.model else {}))
        voice = {
            "agent_tempo": one.agent_tempo_syll_s,
            "customer_tempo": one.customer_tempo_syll_s,
            "overlap_share": one.overlap_s / one.duration_s if one.duration_s else None,
            "non_talk_share": one.non_talk_s / one.duration_s if one.duration_s else None,
            "talk_share": one.talk_share_agent,
            "interruptions": one.interruptions_agent,
        }
        known = {name: value for name, value in voice.items() if value is not None}
        if len(known) == len(voice):
            count("voice", known, spread=known, bins=known)
        if one.satisfaction is not None:
            start, end = one.satisfaction.start, one.satisfaction.end
            ends_of = {"start": start, "end": end, "change": end - start}
            flags = {"began_low": float(start < 5.0), "recovered": float(one.recovered or False)}
            count("customer", ends_of | flags, spread=ends_of, bins=("start", "end"))
        quarters = [mood for mood in one.mood_quarters if mood is not None]
        if len(quarters) == 4:
            moods = {f"q{n + 1}": mood for n, mood in enumerate(quarters)}
            moods |= {f"step{n + 1}": quarters[n + 1] - quarters[n] for n in range(3)}
            fell = {f"fell{n + 1}": float(quarters[n + 1] - quarters[n] <= -1.0) for n in range(3)}
            count("mood", moods | fell, spread=moods)
        for rule in {cue.cue for cue in one.cues if cue.audience == "agent"}:
            own = [cue for cue in one.cues if cue.cue == rule and cue.audience == "agent"]
            count("cue", {"cues": len(own)}, rule, spread=("cues",))
            answers = [said[one.call, cue.seq] for cue in own if (one.call, cue.seq) in said]
            for family, name, values in (
                ("cue_tempo", "change", [c.tempo_change_syll_s for c in own if c.tempo_change_syll_s is not None]),
                ("cue_mood", "change", [c.mood_change for c in own if c.mood_change is not None]),
                ("cue_answer", "does_not_fit", [float(not helpful) for helpful in answers]),
            ):
                if values:
                    count(family, {name: sum(values) / len(values)}, rule, spread=(name,))  # type: ignore[arg-type]
    return [
        Cell(
            family=key[0],
            what=key[1],
            week=key[2],
            team=key[3],
            queue=key[4],
            touchpoint=key[5],
            calls=many,
            agents=dict(agents[key]),
            sums={name: value for name, value in sums[key].items() if value},
            squares={name: value for name, value in squares[key].items() if value},
        )
        for key, many in calls.items()
    ]


def moment(kind: str, why: str, start_s: float, end_s: float) -> Moment:
    return Moment(kind, start_s, end_s, why)  # type: ignore[arg-type]
