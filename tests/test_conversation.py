"""Turns, overlaps, gaps and mood from spans whose truth is plain."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocal import conversation as room
from vocal.config import ConversationConfig
from vocal.conversation import Conversation, journey
from vocal.types import Emotion, Relative, Role, Utterance


def utterance(role: Role, start_s: float, end_s: float) -> Utterance:
    return Utterance(
        call="c",
        at_s=end_s + 0.3,
        channel=0 if role == "agent" else 1,
        role=role,
        index=0,
        start_s=start_s,
        end_s=end_s,
        detected_s=end_s + 0.3,
        syllables=10,
        articulation_rate_syll_s=5.0,
        speech_rate_syll_s=5.0,
        level_dbov=-26.0,
        loudness_lufs=-26.0,
        f0_median_hz=120.0,
        f0_range_st=5.0,
        f0_slope_st_s=0.0,
        voiced_share=0.6,
        jitter_pct=1.0,
        shimmer_pct=5.0,
        hnr_db=12.0,
        alpha_ratio_db=-4.0,
        relative=Relative(),
        lost_s=0.0,
        bandwidth_hz=3100.0,
        snr_db=30.0,
        clipped_share=0.0,
        clarity=1.0,
        clarity_terms={},
    )


def emotion(valence: float, arousal: float = 0.5, confidence: float = 0.8, f0_rise: float = 0.0) -> Emotion:
    terms = {"arousal_negative": 0.0, "f0_rise": f0_rise, "level_rise": 0.0, "tempo_rise": 0.0}
    return Emotion(valence, arousal, 0.0, terms, 2 * valence - 1, {}, confidence, "test")


def of(*spans: tuple[Role, float, float]) -> Conversation:
    conversation = Conversation()
    for role, start_s, end_s in sorted(spans, key=lambda span: span[2]):
        conversation.begin(role, start_s)
        conversation.end(utterance(role, start_s, end_s), None)
    return conversation


def test_talk_share_and_time() -> None:
    totals = of(("agent", 0, 6), ("customer", 7, 9)).totals(10)
    assert totals.talk_s.agent == 6
    assert totals.talk_s.customer == 2
    assert totals.talk_share.agent == 0.75


def test_an_interruption_takes_the_floor() -> None:
    totals = of(("agent", 0, 5), ("customer", 4, 8)).totals(10)
    assert totals.overlap_s == 1.0
    assert totals.overlaps == 1
    assert (totals.interruptions.customer, totals.interruptions.agent) == (1, 0)


def test_talking_into_a_turn_without_taking_it_is_no_interruption() -> None:
    totals = of(("agent", 0, 8), ("customer", 3, 4.5)).totals(10)
    assert totals.overlap_s == 1.5
    assert (totals.interruptions.customer, totals.interruptions.agent) == (0, 0)


def test_a_backchannel_is_neither_overlap_nor_turn() -> None:
    totals = of(("agent", 0, 8), ("customer", 3, 3.5), ("customer", 9, 12)).totals(12)
    assert totals.overlap_s == 0.0
    assert totals.longest_monologue_s.agent == 8
    assert totals.median_gap_s.customer == 1.0
    assert totals.talk_s.customer == 3.5


def test_a_short_touch_is_no_interruption() -> None:
    totals = of(("agent", 0, 5), ("customer", 4.8, 8)).totals(10)
    assert totals.overlap_s == pytest.approx(0.2)
    assert totals.overlaps == 0
    assert totals.interruptions.customer == 0


def test_gaps_count_for_the_side_that_answers() -> None:
    totals = of(("agent", 0, 2), ("customer", 2.4, 4), ("agent", 5, 6), ("customer", 6.8, 8)).totals(8)
    assert totals.median_gap_s.customer == pytest.approx(0.6)
    assert totals.median_gap_s.agent == 1.0


def test_a_hold_is_nobodys_silence() -> None:
    conversation = of(("agent", 0, 6))
    conversation.hold(8.0, True)
    conversation.hold(9.0, True)  # said again
    assert conversation.snapshot(7.5).values["silence_s"] == 1.5
    assert conversation.snapshot(60.0).values["silence_s"] == 0.0
    conversation.hold(75.0, False)
    conversation.hold(75.5, False)
    assert conversation.snapshot(77.0).values["silence_s"] == 2.0
    conversation.begin("customer", 80.0)
    conversation.end(utterance("customer", 80.0, 90.0), None)
    totals = conversation.totals(95.0)
    # 2 s before the hold and 5 s behind it; only the second is long enough. Then 5 s at the end.
    assert totals.non_talk_s == 5.0 + 5.0
    assert totals.median_gap_s.customer is None
    assert [moment.end_s - moment.start_s for moment in conversation.moments(95.0)] == [5.0, 5.0]


def test_non_talk_counts_stretches_over_three_seconds_whole() -> None:
    totals = of(("agent", 0, 2), ("customer", 4.5, 6), ("agent", 10, 11)).totals(18)
    assert totals.non_talk_s == 4.0 + 7.0


def test_monologue_reaches_over_pauses_and_ends_with_the_other() -> None:
    totals = of(("agent", 0, 4), ("agent", 5, 9), ("customer", 9.5, 11), ("agent", 12, 13)).totals(13)
    assert totals.longest_monologue_s.agent == 9


def test_order_of_arrival_does_not_matter() -> None:
    spans: list[tuple[Role, float, float]] = [("agent", 0, 9), ("customer", 3, 5), ("customer", 8, 12)]
    assert of(*spans).totals(12) == of(*reversed(spans)).totals(12)


SPANS = st.lists(st.tuples(st.sampled_from(["agent", "customer"]), st.integers(0, 80), st.integers(3, 60)), max_size=40)


def heard_by_second(spans: list[tuple[Role, float, float]], hold: tuple[float, float] | None) -> list[object]:
    """What is told each second of a call in which these follow each other, each side by itself."""
    found = Conversation()
    happenings = [(start_s + 0.125, 0, role, start_s, 0.0) for role, start_s, _ in spans]
    happenings += [(end_s + 0.25, 1, role, start_s, end_s) for role, start_s, end_s in spans]
    happenings += [] if hold is None else [(hold[0], 2, "agent", 0.0, 0.0), (hold[1], 3, "agent", 0.0, 0.0)]
    told: list[object] = []
    end_s = max((one[0] for one in happenings), default=0.0) + 8.0
    for second in range(1, math.ceil(end_s) + 1):
        for at_s, kind, role, start_s, stop_s in sorted(one for one in happenings if second - 1 < one[0] <= second):
            if kind == 0:
                found.begin(role, start_s)
            elif kind == 1:
                found.end(utterance(role, start_s, stop_s), None)
            else:
                found.hold(at_s, kind == 2)
        told.append((found.totals(float(second)), found.snapshot(float(second)).values))
    return told


@given(SPANS, st.none() | st.tuples(st.integers(1, 60), st.integers(1, 40)))
def test_what_is_settled_changes_nothing_that_is_told(pieces: list[tuple[Role, int, int]], hold: None) -> None:
    ends_s = dict.fromkeys(("agent", "customer"), 0.0)
    spans: list[tuple[Role, float, float]] = []
    for role, pause, length in pieces:
        # In eighths, so that every sum is exact, whatever its order.
        start_s = ends_s[role] + 0.375 + pause / 8.0
        ends_s[role] = start_s + length / 8.0
        spans.append((role, start_s, ends_s[role]))
    held = None if hold is None else (float(hold[0]), float(hold[0] + hold[1]))
    told = heard_by_second(spans, held)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "UNHEARD_S", math.inf)
        assert told == heard_by_second(spans, held)


def test_open_speech_counts_up_to_now() -> None:
    conversation = of(("agent", 0, 2))
    conversation.begin("customer", 3.0)
    assert conversation.totals(7.0).talk_s.customer == 4.0
    assert "silence_s" not in conversation.snapshot(7.0).values


def test_snapshot_says_only_what_can_be_said() -> None:
    conversation = of(("agent", 0, 2))
    values = conversation.snapshot(9.0).values
    assert values["silence_s"] == 7.0
    assert "customer_stress" not in values
    assert "agent_tempo_syll_s" not in values


def test_mood_moves_towards_sure_estimates_and_not_past_them() -> None:
    conversation = Conversation()
    valences = []
    for number in range(8):
        spoken = utterance("customer", 4.0 * number, 4.0 * number + 3)
        valences.append(conversation.feel(spoken, emotion(0.1), ended=True).valence)
    assert valences == sorted(valences, reverse=True)
    assert 0.1 < valences[-1] < 0.2
    assert conversation.mood.history[-1].trend < -0.05


def test_an_unfinished_estimate_is_replaced() -> None:
    once, twice = Conversation(), Conversation()
    spoken = utterance("customer", 0, 3)
    for second in (1.0, 2.0):
        twice.feel(utterance("customer", 0, second), emotion(0.9), ended=False)
    one, two = (it.feel(spoken, emotion(0.2), True) for it in (once, twice))
    assert (one.valence, one.arousal, one.stress) == (two.valence, two.arousal, two.stress)


def test_unsure_estimates_weigh_less() -> None:
    sure, unsure = Conversation(), Conversation()
    spoken = utterance("customer", 0, 3)
    assert sure.feel(spoken, emotion(0.1, confidence=0.9), True).valence < 0.4
    assert unsure.feel(spoken, emotion(0.1, confidence=0.2), True).valence > 0.42


def test_satisfaction_is_first_and_last_third() -> None:
    conversation = Conversation()
    for number, valence in enumerate([0.1, 0.1, 0.5, 0.5, 0.9, 0.9]):
        conversation.feel(utterance("customer", 4.0 * number, 4.0 * number + 3), emotion(valence), ended=True)
    satisfaction = conversation.satisfaction(1.0)
    assert satisfaction is not None
    assert satisfaction.start == pytest.approx(journey(0.1), abs=0.05)
    assert satisfaction.end == pytest.approx(journey(0.9), abs=0.05)
    assert satisfaction.change == pytest.approx(7.2, abs=0.1)
    low, high = satisfaction.interval["start"]
    assert 1.0 <= low <= satisfaction.start <= high <= 10.0


def test_one_utterance_is_too_little_for_satisfaction() -> None:
    conversation = Conversation()
    conversation.feel(utterance("customer", 0, 3), emotion(0.9), ended=True)
    assert conversation.satisfaction(1.0) is None


def test_moments_name_recovery_and_dead_air_positive_first() -> None:
    conversation = Conversation()
    for number, valence in enumerate([0.1, 0.15, 0.5, 0.8]):
        spoken = utterance("customer", 10.0 * number, 10.0 * number + 3)
        conversation.begin("customer", spoken.start_s)
        conversation.end(spoken, None)
        conversation.feel(spoken, emotion(valence, f0_rise=0.6), ended=True)
    moments = conversation.moments(40.0)
    assert [(m.kind, m.why, m.start_s) for m in moments][:1] == [("positive", "customer_recovered", 30.0)]
    pains = {m.why: m for m in moments if m.kind == "pain"}
    assert (pains["customer_escalated"].start_s, pains["customer_escalated"].end_s) == (0.0, 13.0)
    assert "dead_air" in pains


def felt(*heard: tuple[float, float, float]) -> Conversation:
    """A customer's utterances: seconds long, valence, confidence; each a second after the other."""
    conversation = Conversation()
    at_s = 0.0
    for seconds, valence, confidence in heard:
        spoken = utterance("customer", at_s, at_s + seconds)
        conversation.feel(spoken, emotion(valence, confidence=confidence), ended=True)
        at_s += seconds + 1.0
    return conversation


def told(conversation: Conversation) -> list[tuple[str, float, float]]:
    return [(one.why, one.start_s, one.end_s) for one in conversation.moments(1.0)]


def test_a_faint_high_is_no_moment_but_several_in_a_row_are() -> None:
    faint = (1.5, 0.75, 0.7)
    assert told(felt(faint, (2.0, 0.5, 0.9))) == []
    assert told(felt(faint, faint, faint, (2.0, 0.5, 0.9))) == [("customer_mood_high", 0.0, 6.5)]
    assert told(felt((2.0, 0.9, 0.9), (2.0, 0.5, 0.9))) == [("customer_mood_high", 0.0, 2.0)]


def test_a_low_has_eased_only_when_it_stays_so() -> None:
    low, even = (3.0, 0.2, 0.9), (3.0, 0.5, 0.9)
    assert [why for why, _, _ in told(felt(low, low, even, low, low))] == ["customer_mood_low", "customer_mood_low"]
    assert told(felt(low, low, even, even, even))[0] == ("customer_calmed", 8.0, 15.0)
    assert [why for why, _, _ in told(felt(even, low, even, even))] == ["customer_mood_low"]


def test_a_long_call_costs_no_more_a_second_than_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sides: tuple[Role, Role] = ("agent", "customer")
    conversation = of(*[(sides[number % 2], 4.0 * number, 4.0 * number + 3) for number in range(2000)])
    conversation.snapshot(8000.0)
    seen: list[int] = []
    original = room.turns_of

    def counting(kept: room.Spans, before: room.Turn | None = None) -> list[room.Turn]:
        seen.append(sum(map(len, kept.values())))
        return original(kept, before)

    monkeypatch.setattr(room, "turns_of", counting)
    conversation.end(utterance("agent", 8000.5, 8003.0), None)
    conversation.snapshot(8004.0)
    conversation.totals(8010.0)
    assert seen
    assert max(seen) <= 2


def test_definitions_are_settings() -> None:
    conversation = Conversation(ConversationConfig(overlap_counted_s=0.5, backchannel_s=0.2, non_talk_s=0.9))
    for role, start_s, end_s in (("agent", 0, 5), ("customer", 4.4, 6), ("agent", 7, 8)):
        conversation.end(utterance(role, start_s, end_s), None)  # type: ignore[arg-type]
    totals = conversation.totals(8)
    assert totals.overlaps == 1
    assert totals.non_talk_s == 1.0


def at_level(role: Role, start_s: float, end_s: float, level_dbov: float) -> Utterance:
    return msgspec.structs.replace(utterance(role, start_s, end_s), level_dbov=level_dbov)


def test_an_echo_of_the_other_side_is_a_leak() -> None:
    conversation = Conversation()
    conversation.begin("agent", 0.0)
    conversation.speaking(at_level("agent", 0.0, 3.0, -18.0), None)
    assert conversation.is_leak(at_level("customer", 1.0, 2.0, -50.0))
    # Loud enough to be a voice of its own; after the other; alone on the line.
    assert not conversation.is_leak(at_level("customer", 1.0, 2.0, -40.0))
    conversation.end(at_level("agent", 0.0, 3.0, -18.0), None)
    assert not conversation.is_leak(at_level("customer", 4.0, 5.0, -50.0))
    assert not Conversation().is_leak(at_level("customer", 1.0, 2.0, -50.0))


def test_a_soft_customer_may_talk_over_a_loud_agent() -> None:
    conversation = Conversation()
    conversation.end(at_level("customer", 0.0, 2.0, -46.0), None)
    conversation.end(at_level("agent", 2.0, 9.0, -18.0), None)
    assert not conversation.is_leak(at_level("customer", 4.0, 6.0, -48.0))
    assert conversation.is_leak(at_level("customer", 4.0, 6.0, -63.0))
