"""A year of a call centre that never was: 200 agents in 20 teams, 8 queues, about 400 calls on a working day.

A call is one of a stock of whole calls, dated and named anew: event by event as the engine would tell it, mood, tempo
and silence as its queue has them. So every event has real fields and the record is made by `record_of`, and 100,000
calls take no hour to make.
"""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np

from vocal.record import CallRecord, record_of
from vocal.types import (
    ByRole,
    CallEnded,
    CallStarted,
    Channel,
    Conversation,
    Cue,
    Emotion,
    Event,
    Metadata,
    Moment,
    Mood,
    Relative,
    Role,
    Satisfaction,
    Totals,
    Utterance,
)

AGENTS, TEAMS = 200, 20
QUEUES = {
    "Rechnung": -0.04,
    "Kündigung": -0.14,
    "Technik": -0.10,
    "Bestellung": 0.06,
    "Beratung": 0.09,
    "Lieferung": -0.06,
    "Vertrag": 0.02,
    "Allgemein": 0.0,
}
"""What a queue adds to the valence of its calls."""

TOUCHPOINTS = ("Angebot", "Abschluss", "Nutzung", "Störung", "Verlängerung")
STOCK = 24
"""Whole calls in stock for each queue."""

_SHARES = (0.02, 0.05, 0.10, 0.14, 0.14, 0.10, 0.10, 0.12, 0.11, 0.08, 0.04)
"""Of a day's calls in each hour from 8 to 19, local."""

_OF_WEEK = (1.0, 1.0, 1.0, 1.0, 1.0, 0.35, 0.0)

_CHANNELS = (Channel(0, "agent"), Channel(1, "customer"))
_MODEL = "emo 1.0"


class Dated(NamedTuple):
    """One call of the year; its events are made when they are asked for."""

    record: CallRecord
    whole: Sequence[Event]

    def events(self) -> list[Event]:
        started, *rest = self.whole
        assert isinstance(started, CallStarted)
        one = self.record
        metadata = Metadata(one.queue, one.team, one.agent, one.language, True, one.touchpoint)
        named: list[Event] = [
            msgspec.structs.replace(
                started, call=one.call, started_at=one.started_at, source=one.source, metadata=metadata
            )
        ]
        return named + [msgspec.structs.replace(event, call=one.call) for event in rest]


class Year:
    """So many calls, over the 365 days up to `last`, both in it."""

    def __init__(self, last: date, calls: int = 100_000, seed: int = 7) -> None:
        self.days = [last - timedelta(days=ago) for ago in range(364, -1, -1)]
        self._seed = seed
        rng = np.random.default_rng(seed)
        weights = np.array([_OF_WEEK[day.weekday()] for day in self.days])
        counts = rng.multinomial(calls, weights / weights.sum())
        self._counts = dict(zip(self.days, map(int, counts), strict=True))
        self._stock: dict[str, list[tuple[CallRecord, list[Event]]]] = {}
        for queue, shift in QUEUES.items():
            whole = [_whole_call(rng, shift) for _ in range(STOCK)]
            self._stock[queue] = [(record_of(events), events) for events in whole]

    def of_day(self, day: date) -> Iterator[Dated]:
        """The day's calls, in the order in which they began."""
        rng = np.random.default_rng((self._seed, day.toordinal()))
        count = self._counts[day]
        hours = rng.choice(len(_SHARES), count, p=np.array(_SHARES) / sum(_SHARES))
        at_s = np.sort((7 + hours) * 3600.0 + rng.uniform(0.0, 3600.0, count))
        week = day.isocalendar()
        for offset_s in at_s:
            agent = int(rng.integers(AGENTS))
            queue = list(QUEUES)[int(rng.integers(len(QUEUES)))]
            record, events = self._stock[queue][int(rng.integers(STOCK))]
            began = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=float(offset_s))
            ended = began + timedelta(seconds=record.duration_s)
            named = msgspec.structs.replace(
                record,
                call=uuid.UUID(bytes=rng.bytes(16), version=4).hex,
                started_at=_iso(began),
                ended_at=_iso(ended),
                filed_at=_iso(ended),
                transport="sip",
                source=f"S-{rng.bytes(8).hex()}",
                queue=queue,
                touchpoint=TOUCHPOINTS[int(rng.integers(len(TOUCHPOINTS)))],
                team=f"Team {agent * TEAMS // AGENTS + 1}",
                agent=pseudonym(agent, week.year, week.week),
                language="de",
            )
            yield Dated(named, events)


def pseudonym(agent: int, year: int, week: int) -> str:
    """What stands for one of the agents in a week."""
    return f"A-{uuid.uuid5(uuid.NAMESPACE_OID, f'{agent} {year} {week}').hex[:10]}"


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _whole_call(rng: np.random.Generator, shift: float) -> list[Event]:
    """Turns of both sides with measures spread as in calls, a mood that wanders, and what is told at the end."""
    length_s = float(np.clip(rng.lognormal(5.4, 0.6), 40.0, 1500.0))
    told: list[Event] = []
    at_s, valence, side = 0.6, 0.5 + shift + rng.normal(0.0, 0.06), 0
    drift = rng.normal(0.02, 0.08) / length_s
    talk_s = [0.0, 0.0]
    index = [0, 0]
    next_report_s = 5.0
    moods: list[float] = []

    def totals() -> dict[str, object]:
        whole_s = sum(talk_s) or 1.0
        return {
            "talk_share": ByRole(talk_s[0] / whole_s, talk_s[1] / whole_s),
            "talk_s": ByRole(*talk_s),
            "overlap_s": 0.02 * whole_s,
            "overlaps": int(whole_s / 60.0),
            "interruptions": ByRole(float(int(whole_s / 120.0)), float(int(whole_s / 90.0))),
            "non_talk_s": max(0.0, 0.1 * at_s),
            "longest_monologue_s": ByRole(12.4, 17.9),
            "median_gap_s": ByRole(0.31, 0.44),
        }

    while at_s < length_s:
        speech_s = float(rng.gamma(2.2, 1.3)) + 0.4
        role: Role = _CHANNELS[side].role
        if side == 1:
            for second in range(1, int(speech_s) + 1):
                valence = float(np.clip(valence + drift + rng.normal(0.0, 0.012), 0.02, 0.98))
                arousal = float(np.clip(0.55 - 0.4 * (valence - 0.5) + rng.normal(0.0, 0.03), 0.0, 1.0))
                stress = float(np.clip(0.9 - valence + rng.normal(0.0, 0.05), 0.0, 1.0))
                moods.append(valence)
                told.append(
                    Mood(
                        call="",
                        at_s=at_s + second,
                        role="customer",
                        valence=valence,
                        arousal=arousal,
                        stress=stress,
                        trend=drift * 30.0,
                        confidence=float(rng.uniform(0.4, 0.9)),
                    )
                )
        told.append(_utterance(rng, side, role, index[side], at_s, at_s + speech_s, valence))
        index[side] += 1
        talk_s[side] += speech_s
        at_s += speech_s + float(abs(rng.normal(0.5, 0.7)))
        while next_report_s < at_s:
            told.append(Conversation(call="", at_s=next_report_s, **totals()))  # type: ignore[arg-type]
            next_report_s += 5.0
        side = side if rng.random() < 0.25 else 1 - side
    told += [_cue(rng, 25.0 + number * at_s / 4.0) for number in range(int(rng.integers(0, 4)))]
    told.sort(key=lambda event: event.at_s)
    start, end = (1.0 + 9.0 * float(np.mean(part or [valence])) for part in (moods[:20], moods[-20:]))
    kind, why = ("positive", "customer_recovered") if end > start else ("pain", "customer_stressed")
    started = CallStarted(
        call="", at_s=0.0, started_at="2026-01-01T00:00:00Z", transport="sip", source="", channels=_CHANNELS,
        metadata=Metadata(notice=True),
    )  # fmt: skip
    ended = CallEnded(
        call="",
        at_s=at_s,
        reason="hang-up",
        duration_s=at_s,
        conversation=Totals(**totals()),  # type: ignore[arg-type]
        satisfaction=Satisfaction(
            start,
            end,
            end - start,
            {"start": _around(start), "end": _around(end)},
            {"mood_start": start, "mood_end": end, "dead_air": 0.0, "interruptions": 0.0},
        ),
        moments=(Moment(kind, at_s * 0.4, at_s * 0.4 + 8.0, why),),  # type: ignore[arg-type]
        lost_share=float(rng.exponential(0.002)),
    )
    return [msgspec.structs.replace(event, seq=seq) for seq, event in enumerate((started, *told, ended))]


def _around(point: float) -> tuple[float, float]:
    return max(1.0, point - 1.2), min(10.0, point + 1.2)


def _utterance(
    rng: np.random.Generator, channel: int, role: Role, index: int, start_s: float, end_s: float, valence: float
) -> Utterance:
    tempo = float(np.clip(rng.normal(4.9, 0.7), 2.0, 8.5))
    stress = float(np.clip(0.9 - valence, 0.0, 1.0))
    emotion = Emotion(
        valence,
        0.55,
        stress,
        {"arousal": 0.5, "f0": float(rng.random()), "level": float(rng.random()), "tempo": float(rng.random())},
        2.0 * valence - 1.0,
        {"anger": 0.2 * stress, "happiness": 0.1, "neutral": 0.9 - 0.2 * stress - 0.05, "sadness": 0.05},
        float(rng.uniform(0.4, 0.9)),
        _MODEL,
    )
    return Utterance(
        call="",
        at_s=end_s + 0.3,
        channel=channel,
        role=role,
        index=index,
        start_s=start_s,
        end_s=end_s,
        detected_s=end_s + 0.3,
        syllables=max(1, round(tempo * (end_s - start_s))),
        articulation_rate_syll_s=tempo,
        speech_rate_syll_s=0.9 * tempo,
        level_dbov=float(rng.normal(-24.0, 3.0)),
        loudness_lufs=float(rng.normal(-22.0, 3.0)),
        f0_median_hz=float(rng.normal(160.0, 40.0)),
        f0_range_st=float(rng.gamma(4.0, 1.5)),
        f0_slope_st_s=float(rng.normal(0.0, 2.0)),
        voiced_share=float(rng.uniform(0.4, 0.7)),
        jitter_pct=float(rng.gamma(2.0, 0.5)),
        shimmer_pct=float(rng.gamma(4.0, 1.2)),
        hnr_db=float(rng.normal(12.0, 3.0)),
        alpha_ratio_db=float(rng.normal(-12.0, 3.0)),
        relative=Relative(float(rng.normal(0.0, 2.0)), float(rng.normal(0.0, 1.5)), float(rng.normal(0.0, 10.0))),
        lost_s=0.0,
        bandwidth_hz=3400.0,
        snr_db=float(rng.normal(28.0, 5.0)),
        clipped_share=0.0,
        clarity=float(rng.uniform(0.5, 0.95)),
        clarity_terms={"line": float(rng.random()), "level": float(rng.random()), "tempo": float(rng.random())},
        emotion=emotion if role == "customer" else None,
    )


def _cue(rng: np.random.Generator, at_s: float) -> Cue:
    tempo = float(rng.normal(6.1, 0.3))
    text = f"{tempo:.1f} Silben/s. Eine kurze Pause hilft."
    return Cue(
        call="",
        at_s=at_s,
        cue="agent_tempo",
        audience="agent",
        kind="tempo",
        severity="hint",
        evidence={"agent_tempo_syll_s": tempo},
        text_key="cue.agent_tempo",
        text={"de": text, "en": f"{tempo:.1f} syllables/s. A short pause helps."},
        expires_s=at_s + 8.0,
    )
