"""Both channels into one picture: turns, gaps, overlaps, interruptions, talk share; the customer's mood and its trend.

Time is the call's own. Utterances arrive by the moment their end was known; sums are made anew from the spans of speech
since both sides were last silent, so it does not matter in which order the two sides' utterances ended.
"""

import bisect
import itertools
import math
import statistics
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from vocal.config import ConversationConfig
from vocal.types import ByRole, Emotion, Moment, Role, Satisfaction, Totals, Utterance

# A side keeps the floor over a pause this long, unless the other side speaks in it.
TURN_PAUSE_S = 3.0
# An overlap shorter than this is the touch of two turns, not an interruption.
INTERRUPTION_S = 0.3

NEUTRAL = 0.5
# Speech in seconds that the neutral mood counts for before the customer has been heard.
PRIOR_S = 1.0
# The journey scale runs from 1 to 10; an estimate of one utterance is off by about this much (models/emotion/CARD.md).
JOURNEY_LOW, JOURNEY_HIGH = 1.0, 10.0
UTTERANCE_ERROR = 4.5
LEAST_ERROR = 1.2
# Points that a minute of dead air takes off the end, and as many that ten interruptions by the agent take.
MOST_TAKEN, DEAD_AIR_S, INTERRUPTIONS = 0.5, 60.0, 10.0

MOMENT_HIGH, MOMENT_LOW = 0.62, 0.32
MOMENT_EVEN = 0.45  # from here on a mood is not low any more
MOMENTS_KEPT = 3
# A high must weigh this much: 2 s at a confidence of 0.9, or several that follow each other. Below it a voice that the
# model never heard sounds glad by nature more often than by mood (`vocal bench accuracy calls --folds`).
LEAST_HIGH = 0.4
# Silence this long weighs like the clearest second of a low.
DEAD_AIR_AS_LOW_S = 20.0
ROSE = 0.25  # of what a full term of stress takes: 1.3 semitones or 2 dB over the own baseline


# What is heard on a side's channel this far below the other side, who is speaking, and below the side's own level, is
# the other side's voice, come over by echo.
LEAK_UNDER_OTHER_DB = 25.0
LEAK_UNDER_OWN_DB = 15.0
# What is this far below it may still be the own voice, but nothing is inferred of it.
COVERED_UNDER_OTHER_DB = 15.0
LEVEL_FALL_DB = 1.0  # an utterance


ROLES: tuple[Role, ...] = ("agent", "customer", "unknown")
SIDES: tuple[Role, ...] = ("agent", "customer")

# Overlaps so old are looked at by the rules.
RECENT_S = 2.0
# Speech is told of once it has lasted for a moment: what began earlier than this is known.
UNHEARD_S = RECENT_S + 1.0


# So far back an utterance may have begun that ends now.
LOOKED_BACK_S = 30.0


class Speech(msgspec.Struct, frozen=True, order=True, gc=False):
    start_s: float
    end_s: float


class MoodPoint(msgspec.Struct, frozen=True, gc=False):
    at_s: float
    valence: float
    arousal: float
    stress: float
    trend: float
    confidence: float


class Judged(NamedTuple):
    """A customer's utterance, and of what was inferred of it as much as the end of the call wants to know.

    f0_rise, level_rise: terms of its stress.
    """

    start_s: float
    end_s: float
    valence: float
    confidence: float
    f0_rise: float
    level_rise: float

    @property
    def weight(self) -> float:
        return self.confidence * math.sqrt(self.end_s - self.start_s)


class Said(Protocol):
    """What is asked of an utterance, ended or not."""

    @property
    def role(self) -> Role: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def detected_s(self) -> float: ...
    @property
    def level_dbov(self) -> float | None: ...


class Snapshot(NamedTuple):
    """What the rules look at, at one second of the call. None: cannot be said now."""

    at_s: float
    values: dict[str, float]
    agent_speaks: bool


def overlap_s(a: Speech, b: Speech) -> float:
    return max(0.0, min(a.end_s, b.end_s) - max(a.start_s, b.start_s))


def union(spans: Sequence[Speech]) -> list[Speech]:
    """Spans that touch or overlap made one, in order."""
    merged: list[Speech] = []
    for span in sorted(spans):
        if merged and span.start_s <= merged[-1].end_s:
            merged[-1] = Speech(merged[-1].start_s, max(merged[-1].end_s, span.end_s))
        else:
            merged.append(span)
    return merged


class Turn(msgspec.Struct, frozen=True, gc=False):
    role: Role
    start_s: float
    end_s: float


Spans = Mapping[Role, Sequence[Speech]]


def without_backchannels(spans: Spans, backchannel_s: float) -> dict[Role, list[Speech]]:
    """Speech of each side, less the short words that left the floor with the other."""
    kept: dict[Role, list[Speech]] = {}
    for role in spans:
        others = union([span for other in spans if other != role for span in spans[other]])
        ends = [span.end_s for span in others]
        kept[role] = []
        for span in spans[role]:
            place = bisect.bisect_right(ends, span.start_s)
            covered = place < len(others) and overlap_s(span, others[place]) > 0.5 * (span.end_s - span.start_s)
            if not (covered and span.end_s - span.start_s < backchannel_s):
                kept[role].append(span)
    return kept


def overlaps_of(kept: Spans) -> list[tuple[Speech, Role | None]]:
    """Stretches in which both speak, and who took the floor in it, if anybody did."""
    found: list[tuple[Speech, Role | None]] = []
    customers = sorted(kept["customer"])
    first = 0
    for a in sorted(kept["agent"]):
        while first < len(customers) and customers[first].end_s <= a.start_s:
            first += 1
        for c in customers[first:]:
            if c.start_s >= a.end_s:
                break
            both = Speech(max(a.start_s, c.start_s), min(a.end_s, c.end_s))
            later: Role = "agent" if a.start_s > c.start_s else "customer"
            outlasts = (a.end_s > c.end_s) == (later == "agent")
            taken = outlasts and both.end_s - both.start_s >= INTERRUPTION_S
            found.append((both, later if taken else None))
    return found


def turns_of(kept: Spans, before: Turn | None = None) -> list[Turn]:
    """Who had the floor from when to when, from the turn `before` on; backchannels leave it where it was."""
    spans = sorted((span.start_s, span.end_s, role) for role in kept for span in kept[role])
    turns = [] if before is None else [before]
    for start_s, end_s, role in spans:
        if turns and turns[-1].role == role and start_s - turns[-1].end_s <= TURN_PAUSE_S:
            turns[-1] = Turn(role, turns[-1].start_s, max(end_s, turns[-1].end_s))
        else:
            turns.append(Turn(role, start_s, end_s))
    return turns


class _Sums:
    """What `totals` says, over the call's beginning up to `until_s`.

    They go on from a moment at which nobody speaks, so that what a second costs does not grow with the call.
    """

    def __init__(self, config: ConversationConfig) -> None:
        self._config = config
        self.until_s = 0.0
        self.spoken_s: dict[Role, float] = dict.fromkeys(ROLES, 0.0)
        self.overlap_s = 0.0
        self.overlaps = 0
        self.interruptions: dict[Role, int] = dict.fromkeys(ROLES, 0)
        self.quiet: list[Speech] = []  # stretches over `non_talk_s` in which nobody speaks; holds left out
        self.gaps_s: dict[Role, list[float]] = {side: [] for side in SIDES}
        self.longest_s: dict[Role, float] = {}
        self.turn: Turn | None = None  # the last one

    def copy(self) -> "_Sums":
        other = _Sums(self._config)
        other.until_s, other.turn = self.until_s, self.turn
        other.overlap_s, other.overlaps = self.overlap_s, self.overlaps
        other.spoken_s, other.interruptions = dict(self.spoken_s), dict(self.interruptions)
        other.longest_s, other.quiet = dict(self.longest_s), list(self.quiet)
        other.gaps_s = {side: list(values) for side, values in self.gaps_s.items()}
        return other

    def add(self, spans: Spans, holds: Sequence[Speech], until_s: float) -> None:
        """What was said between `self.until_s` and `until_s`; holds: all that began before `until_s`."""
        for role in spans:
            self.spoken_s[role] += sum(span.end_s - span.start_s for span in spans[role])
        kept = without_backchannels(spans, self._config.backchannel_s)
        for both, by in overlaps_of(kept):
            self.overlap_s += both.end_s - both.start_s
            self.overlaps += both.end_s - both.start_s >= self._config.overlap_counted_s
            if by is not None:
                self.interruptions[by] += 1
        turns = turns_of(kept, self.turn)
        for before, after in itertools.pairwise(turns):
            was_held = any(before.end_s <= one.start_s < after.start_s for one in holds)
            if before.role != after.role and after.role in self.gaps_s and not was_held:
                self.gaps_s[after.role].append(after.start_s - before.end_s)
        for turn in turns:
            self.longest_s[turn.role] = max(self.longest_s.get(turn.role, 0.0), turn.end_s - turn.start_s)
        self.turn = turns[-1] if turns else None
        busy = union([*itertools.chain.from_iterable(spans.values()), *holds])
        at_s = self.until_s
        for one in (*busy, Speech(until_s, until_s)):
            if one.start_s - at_s > self._config.non_talk_s:
                self.quiet.append(Speech(at_s, one.start_s))
            at_s = max(at_s, one.end_s)
        self.until_s = until_s


def journey(valence: float) -> float:
    """Valence 0-1 on the 1-10 scale."""
    return JOURNEY_LOW + (JOURNEY_HIGH - JOURNEY_LOW) * valence


class Mood:
    """The customer's mood: utterances' valence and arousal smoothed over speech, surer utterances counting more."""

    def __init__(self, config: ConversationConfig) -> None:
        self._memory_s = config.mood_memory_s
        self._trend_s = config.trend_s
        self._settled = np.array([NEUTRAL, NEUTRAL, 0.0, 0.0])  # valence, arousal, stress, confidence
        self.history: list[MoodPoint] = []  # as far back as anybody looks: one point before the last `trend_s`
        self.lowest = NEUTRAL

    def update(self, at_s: float, speech_s: float, emotion: Emotion, ended: bool) -> MoodPoint:
        """Take in an estimate over `speech_s` seconds; one that has not ended is replaced by the next."""
        share = 1.0 - math.exp(-speech_s * emotion.confidence / self._memory_s)
        seen = np.array([emotion.valence, emotion.arousal, emotion.stress, emotion.confidence])
        now = self._settled + share * (seen - self._settled)
        if ended:
            self._settled = now
        valence, arousal, stress, confidence = (round(float(value), 3) for value in now)
        point = MoodPoint(at_s, valence, arousal, stress, self._trend(at_s, valence), confidence)
        self.history.append(point)
        before = bisect.bisect_right(self.history, at_s - self._trend_s, key=lambda point: point.at_s)
        del self.history[: max(0, before - 1)]
        self.lowest = min(self.lowest, valence)
        return point

    def _trend(self, at_s: float, valence: float) -> float:
        """Slope of valence over the last `trend_s` by least squares, as change per `trend_s`."""
        first = bisect.bisect_left(self.history, at_s - self._trend_s, key=lambda point: point.at_s)
        recent = [(point.at_s, point.valence) for point in self.history[first:]] + [(at_s, valence)]
        if len(recent) < 3 or recent[-1][0] - recent[0][0] < self._trend_s / 6:
            return 0.0
        at, values = np.array(recent).T
        at = at - at.mean()
        return round(float(self._trend_s * (at @ values) / (at @ at)), 3)

    def before(self, at_s: float) -> float | None:
        """Valence as it last was at or before `at_s`."""
        place = bisect.bisect_right(self.history, at_s, key=lambda point: point.at_s)
        return self.history[place - 1].valence if place else None


class Conversation:
    """One call's two sides. Feed it `begin`, `speaking`, `end` and `feel`; read everything else at any time."""

    def __init__(self, config: ConversationConfig = ConversationConfig()) -> None:
        self._config = config
        self._speech: dict[Role, list[Speech]] = {role: [] for role in ROLES}
        self._open: dict[Role, float | None] = dict.fromkeys(ROLES)
        self._tempo: dict[Role, tuple[float, float] | None] = dict.fromkeys(ROLES)
        self._line: dict[Role, tuple[float, float]] = {}
        self._level_dbov: dict[Role, float] = {}
        self._holds: list[Speech] = []  # the last one without an end while it lasts
        self._settled = _Sums(config)  # to which nothing is added any more
        self.mood = Mood(config)
        self._judged = array("d")  # one after the other, as floats: of a long call there are many

    def begin(self, role: Role, start_s: float) -> None:
        """Speech began."""
        self._open[role] = start_s

    def is_leak(self, said: Said) -> bool:
        """Whether this, so far or ended, is the other side's voice and not this side's."""
        own_dbov = self._level_dbov.get(said.role, math.inf)
        quiet = said.level_dbov is not None and said.level_dbov < own_dbov - LEAK_UNDER_OWN_DB
        return quiet and self._is_under(said, LEAK_UNDER_OTHER_DB)

    def is_covered(self, said: Said) -> bool:
        """Whether the other side speaks in most of it and so loudly that what is heard here may be theirs by echo."""
        return self._is_under(said, COVERED_UNDER_OTHER_DB)

    def _is_under(self, said: Said, least_db: float) -> bool:
        """Whether the other side speaks in more than half of it, and usually `least_db` louder."""
        others = [role for role in ROLES if role != said.role]
        levels = [self._level_dbov[role] for role in others if role in self._level_dbov]
        if said.level_dbov is None or not levels or said.level_dbov >= max(levels) - least_db:
            return False
        heard = union([span for role in others for span in self._spans(role, said.detected_s, said.start_s)])
        speech = Speech(said.start_s, said.end_s)
        covered_s = sum(overlap_s(speech, span) for span in heard)
        return covered_s > 0.5 * (speech.end_s - speech.start_s)

    def speaking(self, said: Said, tempo_syll_s: float | None) -> None:
        """Still speaking, a second older; tempo over the last 10 s."""
        role = said.role
        self._tempo[role] = None if tempo_syll_s is None else (said.detected_s, tempo_syll_s)
        self._hear_level(said)

    def end(self, utterance: Utterance, tempo_syll_s: float | None) -> None:
        """An utterance ended."""
        role = utterance.role
        speech = Speech(utterance.start_s, utterance.end_s)
        self._speech[role].append(speech)
        self._open[role] = None
        self._tempo[role] = None if tempo_syll_s is None else (utterance.detected_s, tempo_syll_s)
        self._hear_level(utterance)
        if utterance.snr_db is not None:
            self._line[role] = (utterance.snr_db, utterance.clipped_share)

    def drop(self, role: Role) -> None:
        """What began was not this side's."""
        self._open[role] = None

    def _hear_level(self, said: Said) -> None:
        """A side's level is that of its louder utterances: one faint word does not make a faint speaker."""
        if said.level_dbov is not None:
            before = self._level_dbov.get(said.role, -math.inf)
            self._level_dbov[said.role] = max(said.level_dbov, before - LEVEL_FALL_DB)

    @property
    def judged(self) -> list[Judged]:
        """The customer's utterances of which something was inferred."""
        size = len(Judged._fields)
        return [Judged(*self._judged[at : at + size]) for at in range(0, len(self._judged), size)]

    def feel(self, said: Said, emotion: Emotion, ended: bool) -> MoodPoint:
        """What was inferred of what the customer said, so far or at its end."""
        if ended:
            terms = emotion.stress_terms
            rises = terms["f0_rise"], terms["level_rise"]
            self._judged.extend((said.start_s, said.end_s, emotion.valence, emotion.confidence, *rises))
        return self.mood.update(said.detected_s, said.end_s - said.start_s, emotion, ended)

    def hold(self, at_s: float, is_held: bool) -> None:
        """From here on nothing comes by agreement, or something again: what is quiet meanwhile is nobody's silence."""
        lasts = bool(self._holds) and self._holds[-1].end_s == math.inf
        if is_held and not lasts:
            self._holds.append(Speech(at_s, math.inf))
        elif lasts and not is_held:
            self._holds[-1] = Speech(self._holds[-1].start_s, at_s)

    def _holds_until(self, at_s: float) -> list[Speech]:
        return [Speech(one.start_s, min(one.end_s, at_s)) for one in self._holds if one.start_s < at_s]

    def forget_emotion(self) -> None:
        """The notice was withdrawn: what was inferred is deleted."""
        self.mood = Mood(self._config)
        self._judged = array("d")

    def _spans(self, role: Role, at_s: float, since_s: float = 0.0) -> list[Speech]:
        """The side's speech that ended after `since_s`, with what is being said."""
        first = bisect.bisect_right(self._speech[role], since_s, key=lambda speech: speech.end_s)
        start_s = self._open[role]
        talking = [Speech(start_s, at_s)] if start_s is not None and start_s < at_s else []
        return self._speech[role][first:] + talking

    def _since_settled(self, at_s: float) -> Spans:
        """Each side's speech behind what is settled; first, all is settled that can be."""
        settled = self._settled
        spans = {role: self._spans(role, at_s, settled.until_s) for role in ROLES}
        latest_s = min([at_s - UNHEARD_S, *(start_s for start_s in self._open.values() if start_s is not None)])
        if latest_s <= settled.until_s:
            return spans
        busy = union([*itertools.chain.from_iterable(spans.values()), *self._holds_until(at_s)])
        ends = [one.end_s for one in busy if settled.until_s < one.end_s <= latest_s]
        if not ends:
            return spans
        until_s = ends[-1]
        before = {role: [one for one in spans[role] if one.end_s <= until_s] for role in ROLES}
        settled.add(before, self._holds_until(until_s), until_s)
        for spans_of in self._speech.values():
            # An utterance that ends now may still be held against what was said meanwhile.
            old = bisect.bisect_right(spans_of, until_s - LOOKED_BACK_S, key=lambda speech: speech.end_s)
            del spans_of[: min(old, len(spans_of) - 1)]
        return {role: [one for one in spans[role] if one.end_s > until_s] for role in ROLES}

    def _sums(self, at_s: float) -> "_Sums":
        """Everything up to `at_s`."""
        spans = self._since_settled(at_s)
        sums = self._settled.copy()
        sums.add(spans, self._holds_until(at_s), at_s)
        return sums

    def totals(self, at_s: float) -> Totals:
        """Everything up to `at_s`, which grows from call to call."""
        sums = self._sums(at_s)
        all_spoken = sum(sums.spoken_s.values())
        sides = [side for side in SIDES if self._speech[side] or self._open[side] is not None]

        def each(values: Mapping[Role, float]) -> ByRole:
            return ByRole(**{role: round(value, 3) for role, value in values.items() if role in sides})

        return Totals(
            talk_share=each({role: sums.spoken_s[role] / all_spoken for role in sides if all_spoken > 0.0}),
            talk_s=each({role: sums.spoken_s[role] for role in sides}),
            overlap_s=round(sums.overlap_s, 3),
            overlaps=sums.overlaps,
            interruptions=each({role: float(sums.interruptions[role]) for role in sides}),
            non_talk_s=round(sum(quiet.end_s - quiet.start_s for quiet in sums.quiet), 3),
            longest_monologue_s=each(sums.longest_s),
            median_gap_s=each({role: statistics.median(values) for role, values in sums.gaps_s.items() if values}),
        )

    def snapshot(self, at_s: float) -> Snapshot:
        """What the rules look at now; only what can be said now stands in it."""
        values: dict[str, float] = {}
        for role in SIDES:
            tempo = self._tempo[role]
            if tempo is not None and at_s - tempo[0] <= 1.5:
                values[f"{role}_tempo_syll_s"] = tempo[1]
        # The other side's tempo holds for the comparison as long as it was heard at all.
        if "agent_tempo_syll_s" in values and (theirs := self._tempo["customer"]) is not None:
            values["tempo_difference_syll_s"] = values["agent_tempo_syll_s"] - theirs[1]
        kept = without_backchannels(self._since_settled(at_s), self._config.backchannel_s)
        turns = turns_of(kept, self._settled.turn)
        if turns and turns[-1].role == "agent":
            values["agent_monologue_s"] = at_s - turns[-1].start_s
        if all(start_s is None for start_s in self._open.values()):
            ends = [spans[-1].end_s for spans in (*self._speech.values(), self._holds_until(at_s)) if spans]
            values["silence_s"] = at_s - max(ends, default=0.0)
        recent = [span for span, _ in overlaps_of(kept) if at_s - span.end_s <= RECENT_S]
        if recent:
            values["overlap_s"] = max(span.end_s - span.start_s for span in recent)
        for role, (snr_db, clipped) in self._line.items():
            if role != "unknown":
                values[f"{role}_snr_db"] = snr_db
                values[f"{role}_clipped_share"] = clipped
        values |= self._mood_values(at_s)
        return Snapshot(at_s, values, self._open["agent"] is not None)

    def _mood_values(self, at_s: float) -> dict[str, float]:
        if not self.mood.history or at_s - self.mood.history[-1].at_s > 10.0:
            return {}
        point = self.mood.history[-1]
        values = {
            "customer_valence": point.valence,
            "customer_stress": point.stress,
            "mood_trend": point.trend,
            "mood_confidence": point.confidence,
        }
        if (earlier := self.mood.before(at_s - self._config.trend_s)) is not None:
            values["mood_change"] = round(point.valence - earlier, 3)
            values["mood_recovery"] = round(point.valence - self.mood.lowest, 3)
        return values

    def satisfaction(self, at_s: float) -> Satisfaction | None:
        """Start and end on the 1-10 scale: the mood of the first and the last third of the customer's utterances; what
        dead air and being interrupted take off the end is plausible (field reports), not validated, and so is small."""
        all_judged = self.judged
        if len(all_judged) < 2:
            return None
        third = max(1, len(all_judged) // 3)
        ends = {"start": all_judged[:third], "end": all_judged[-third:]}
        levels, intervals = {}, {}
        for name, part in ends.items():
            weights = np.array([j.weight for j in part])
            values = np.array([journey(j.valence) for j in part])
            level = float(values @ weights / weights.sum())
            error = max(LEAST_ERROR, UTTERANCE_ERROR / math.sqrt(len(part)))
            levels[name] = round(level, 1)
            low, high = max(JOURNEY_LOW, level - error), min(JOURNEY_HIGH, level + error)
            intervals[name] = (round(low, 1), round(high, 1))
        totals = self.totals(at_s)
        taken = {
            "dead_air": MOST_TAKEN * min(1.0, totals.non_talk_s / DEAD_AIR_S),
            "interrupted": MOST_TAKEN * min(1.0, (totals.interruptions.agent or 0.0) / INTERRUPTIONS),
        }
        terms = {"mood_start": levels["start"], "mood_end": levels["end"]}
        terms |= {name: round(-points, 2) for name, points in taken.items()}
        start, end = levels["start"], round(max(JOURNEY_LOW, levels["end"] - sum(taken.values())), 1)
        low, high = (round(max(JOURNEY_LOW, edge - sum(taken.values())), 1) for edge in intervals["end"])
        return Satisfaction(start, end, round(end - start, 1), {"start": intervals["start"], "end": (low, high)}, terms)

    def moments(self, at_s: float) -> tuple[Moment, ...]:
        """Stretches worth hearing again, positive first: where the customer's mood rose or fell, was high or low;
        for a conversation without notice, dead air only."""
        rated = self._rated_moments()
        for quiet in self._sums(at_s).quiet:
            weight = (quiet.end_s - quiet.start_s) / DEAD_AIR_AS_LOW_S
            rated.append((weight, Moment("pain", quiet.start_s, quiet.end_s, "dead_air")))
        found: list[Moment] = []
        for kind in ("positive", "pain"):
            best = sorted((m for m in rated if m[1].kind == kind), key=lambda m: -m[0])[:MOMENTS_KEPT]
            found += sorted((moment for _, moment in best), key=lambda moment: moment.start_s)
        return tuple(found)

    def _rated_moments(self) -> list[tuple[float, Moment]]:
        """Utterances that stand out, neighbours of one reason made one, each with its weight."""
        marks: list[tuple[float, Moment]] = []
        was_low, all_judged = False, self.judged
        for number, judged in enumerate(all_judged):
            weight = abs(judged.valence - NEUTRAL) * judged.weight
            if judged.valence >= MOMENT_HIGH:
                found = Moment(
                    "positive", judged.start_s, judged.end_s, "customer_recovered" if was_low else "customer_mood_high"
                )
            elif _calms(all_judged, number):
                found = Moment("positive", judged.start_s, all_judged[number + 1].end_s, "customer_calmed")
                weight = LEAST_HIGH
            elif judged.valence <= MOMENT_LOW:
                rose = max(judged.f0_rise, judged.level_rise) >= ROSE
                found = Moment(
                    "pain", judged.start_s, judged.end_s, "customer_escalated" if rose else "customer_mood_low"
                )
            else:
                continue
            was_low = was_low or judged.valence < MOMENT_LOW
            last = marks[-1] if marks else None
            if last is not None and last[1].why == found.why and last[1].end_s == all_judged[number - 1].end_s:
                found = msgspec.structs.replace(last[1], end_s=found.end_s)
                marks[-1] = (last[0] + weight, found)
            else:
                marks.append((weight, found))
        return [(weight, one) for weight, one in marks if one.kind == "pain" or weight >= LEAST_HIGH]


def _calms(all_judged: Sequence[Judged], number: int) -> bool:
    """Whether a low of two utterances ends here, and stays ended for two."""
    near = [judged.valence for judged in all_judged[max(0, number - 2) : number + 2]]
    if number < 2 or len(near) < 4:
        return False
    was_low, is_even = near[:2], near[2:]
    has_been_low = was_low[0] < MOMENT_EVEN and was_low[1] < MOMENT_LOW
    return has_been_low and min(is_even) > MOMENT_EVEN and max(is_even) < MOMENT_HIGH
