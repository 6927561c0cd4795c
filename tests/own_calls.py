"""Made-up records of one agent, for the agent's own view: days of calls that say nothing but numbers."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

from vocal.record import CallRecord
from vocal.types import Moment, Satisfaction


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call_at(began: datetime, duration_s: float = 300.0, **given: Any) -> CallRecord:
    """A call of which only what is named matters."""
    ended = iso(began + timedelta(seconds=duration_s))
    change = given.pop("change", 0.5)
    start = given.pop("start", 5.5)
    end = start + (change or 0.0)
    known = change is not None
    values: dict[str, Any] = {
        "call": f"c{began:%m%d%H%M%S}",
        "started_at": iso(began),
        "ended_at": ended,
        "filed_at": ended,
        "interrupted": False,
        "reason": "hangup",
        "duration_s": duration_s,
        "transport": "test",
        "source": "",
        "queue": "Rechnung",
        "touchpoint": None,
        "team": "Nord",
        "agent": "A-000001",
        "language": "de",
        "notice": "given" if known else "none",
        "talk_share_agent": 0.5,
        "talk_agent_s": duration_s * 0.4,
        "talk_customer_s": duration_s * 0.4,
        "overlap_s": duration_s * 0.02,
        "overlaps": 2,
        "interruptions_agent": 1.0,
        "interruptions_customer": 1.0,
        "non_talk_s": 6.0,
        "monologue_agent_s": 20.0,
        "monologue_customer_s": 25.0,
        "gap_agent_s": 0.4,
        "gap_customer_s": 0.3,
        "agent_tempo_syll_s": 4.9,
        "customer_tempo_syll_s": 4.6,
        "agent_level_dbov": -26.0,
        "customer_level_dbov": -25.0,
        "agent_loud_s": 4.0,
        "agent_clarity": 0.9,
        "customer_clarity": 0.9,
        "lost_share": 0.0,
        "satisfaction": Satisfaction(
            start, end, end - start, {"start": (start - 1.0, start + 1.0), "end": (end - 1.0, end + 1.0)}
        )
        if known
        else None,
        "mood_quarters": (start, start, end, end) if known else (None,) * 4,
        "stress_s": 5.0 if known else None,
        "recovered": (start < 5.0 and end - start >= 1.5) if known else None,
        "moments": (),
        "steps": (),
        "cues": (),
        "model": "test" if known else None,
    }
    return CallRecord(**{**values, **given})


def month_of_calls(last: date, days: int = 30, calls: int = 40, seed: int = 7) -> list[CallRecord]:
    """Working days as they are: calls close upon each other before noon, some long, some hard."""
    drawn = random.Random(seed)
    found = []
    for back in range(days):
        day = last - timedelta(days=back)
        if day.weekday() > 4:
            continue
        at = datetime(day.year, day.month, day.day, 8, drawn.randrange(30), tzinfo=UTC)
        slow = 0.25 if back < 7 else 0.0
        for _ in range(calls):
            duration_s = max(60.0, drawn.lognormvariate(5.7, 0.6))
            hard = drawn.random() < 0.14
            start = drawn.uniform(2.0, 4.5) if hard else drawn.uniform(4.5, 7.0)
            change = drawn.gauss(1.6, 0.9) if hard else drawn.gauss(0.3, 0.6)
            talk_s = duration_s * drawn.uniform(0.7, 0.85)
            share = min(max(drawn.gauss(0.48, 0.07), 0.2), 0.8)
            moments = (Moment("positive", duration_s * 0.6, duration_s * 0.7, "customer_recovered"),)
            found.append(
                call_at(
                    at,
                    duration_s,
                    start=start,
                    change=max(min(change, 9.8 - start), 1.2 - start),
                    queue=drawn.choice(("Rechnung", "Lieferung", "Vertrag")),
                    talk_agent_s=talk_s * share,
                    talk_customer_s=talk_s * (1.0 - share),
                    overlap_s=duration_s * drawn.uniform(0.005, 0.04),
                    interruptions_agent=float(drawn.choice((0, 0, 0, 1, 1, 2))),
                    non_talk_s=drawn.expovariate(1 / 9.0),
                    gap_agent_s=drawn.gauss(0.42, 0.15),
                    agent_tempo_syll_s=drawn.gauss(5.05 - slow, 0.22),
                    agent_loud_s=drawn.expovariate(1 / 12.0),
                    stress_s=drawn.uniform(30.0, 110.0) if hard else drawn.uniform(0.0, 12.0),
                    moments=moments if hard and change > 1.5 else (),
                )
            )
            at += timedelta(seconds=duration_s + drawn.choice((20, 35, 45, 70, 110, 240, 420)))
            if at.hour == 12:
                at += timedelta(minutes=40)
            if at.hour >= 17:
                break
    return sorted(found, key=lambda one: one.started_at)
