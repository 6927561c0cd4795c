"""The hub: what a late reader gets, what a slow one loses, and that nobody loses a cue."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.policy import without_inferred
from vocal.sinks import hub as hubs
from vocal.sinks import kept
from vocal.sinks.hub import Hub, Reader, encode
from vocal.sinks.kept import Numbered
from vocal.types import (
    ByRole,
    CallEnded,
    CallStarted,
    Conversation,
    Cue,
    Emotion,
    Levels,
    LiveEvent,
    Metadata,
    Mood,
    Notice,
    Relative,
    Totals,
    Utterance,
)

NONE = ByRole()


def started(call: str = "c") -> CallStarted:
    return CallStarted(call=call, at_s=0.0, started_at="", transport="", source="", channels=(), metadata=Metadata())


def ended(call: str = "c") -> CallEnded:
    totals = Totals(NONE, NONE, 0.0, 0, NONE, 0.0, NONE, NONE)
    return CallEnded(
        call=call,
        at_s=9.0,
        reason="",
        duration_s=9.0,
        conversation=totals,
        satisfaction=None,
        moments=(),
        lost_share=0.0,
    )


def mood(at_s: float = 1.0, call: str = "c") -> Mood:
    return Mood(call=call, at_s=at_s, role="customer", valence=0.4, arousal=0.5, stress=0.1, trend=0.0, confidence=0.8)


def levels(call: str = "c") -> Levels:
    return Levels(call=call, at_s=1.0, channels=())


def conversation() -> Conversation:
    return Conversation(
        call="c",
        at_s=5.0,
        talk_share=NONE,
        talk_s=NONE,
        overlap_s=0.0,
        overlaps=0,
        interruptions=NONE,
        non_talk_s=0.0,
        longest_monologue_s=NONE,
        median_gap_s=NONE,
    )


def cue(measure: str = "silence_s", call: str = "c") -> Cue:
    return Cue(
        call=call,
        at_s=1.0,
        cue="x",
        audience="agent",
        kind="x",
        severity="hint",
        evidence={measure: 1.0},
        text_key="",
        text={},
        expires_s=2.0,
    )


def utterance(call: str = "c") -> Utterance:
    emotion = Emotion(0.5, 0.5, 0.0, {}, 0.0, {}, 0.9, "m")
    values = {
        name: None
        for name in Utterance.__struct_fields__
        if name.endswith(("_syll_s", "_dbov", "_lufs", "_hz", "_st", "_st_s", "_pct", "_db"))
    }
    return Utterance(
        call=call,
        at_s=1.0,
        channel=1,
        role="customer",
        index=0,
        start_s=0.0,
        end_s=1.0,
        detected_s=1.3,
        syllables=4,
        voiced_share=0.5,
        relative=Relative(),
        lost_s=0.0,
        clipped_share=0.0,
        clarity=1.0,
        clarity_terms={},
        emotion=emotion,
        **values,  # type: ignore[arg-type]
    )


def waiting(reader: Reader) -> list[LiveEvent]:
    reader._something.set()
    return [one.event for one in asyncio.run(reader.take())]


def test_cursors_grow_over_all_calls_and_over_restarts() -> None:
    hub = Hub()
    reader = hub.join()
    hub.take([started("a"), started("b"), mood(call="a")])
    taken = asyncio.run(reader.take())
    assert [one.cursor for one in taken] == [hub.cursor - 2, hub.cursor - 1, hub.cursor]
    assert Hub().cursor < 2**53
    message = msgspec.json.decode(encode(taken[2]))
    assert message["cursor"] == hub.cursor
    assert message["event"]["type"] == "mood"


def test_who_comes_back_gets_what_was_kept_behind_its_cursor() -> None:
    hub = Hub()
    hub.take([started(), cue(), mood(), levels()])
    cursor = hub.cursor
    hub.take([mood(2.0), cue(), levels(), ended()])
    reader = hub.join(since=cursor)
    assert [type(event) for event in waiting(reader)] == [Mood, Cue, CallEnded]
    assert not reader.gaps
    assert [type(event) for event in waiting(hub.join(since=0))] == [CallStarted, Cue, Mood, Mood, Cue, CallEnded]
    assert waiting(hub.join()) == []


def test_of_mood_and_utterances_the_newest_are_kept_and_gaps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "PACK", 3)
    monkeypatch.setattr(kept, "MOST_PACKS", 2)
    hub = Hub()
    hub.take([started(), cue()])
    cursor = hub.cursor
    told: list[LiveEvent] = [mood(float(n)) if n % 4 else utterance() for n in range(20)]
    hub.take([*told, mood(call="other")])
    reader = hub.join(since=cursor, call="c")
    assert waiting(reader) == told[12:]
    assert reader.gaps
    behind_the_first_pack = hub.cursor - 1 - 8 + 1
    again = hub.join(since=behind_the_first_pack, call="c")
    assert (waiting(again), again.gaps) == (told[13:], False)
    assert not hub.join(since=cursor, call="other").gaps


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["mood", "utterance", "cue", "conversation", "levels", "withdrawn"]), max_size=60))
def test_who_comes_late_gets_what_a_simple_list_would_have_kept(kinds: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "PACK", 4)
        make = {
            "mood": mood,
            "utterance": utterance,
            "cue": cue,
            "conversation": conversation,
            "levels": levels,
            "withdrawn": lambda: Notice(call="c", at_s=2.0, given=False),
        }
        hub, simple = Hub(), []
        for kind in kinds:
            event = make[kind]()
            hub.take([event])
            if kind == "withdrawn":
                simple = [one for one in map(without_inferred, simple) if one is not None]
            if kind == "conversation":
                simple = [one for one in simple if not isinstance(one, Conversation)]
            if kind != "levels":
                simple.append(event)
        assert hub.events_of("c") == simple


def test_one_call_and_some_kinds_only() -> None:
    hub = Hub()
    reader = hub.join(call="a", kinds=frozenset(("cue", "mood")))
    hub.take([started("a"), cue(call="a"), cue(call="b"), mood(call="a"), levels("a")])
    assert [type(event) for event in waiting(reader)] == [Cue, Mood]


def test_a_slow_reader_loses_levels_then_mood_and_never_a_cue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "QUEUE", 20)
    hub = Hub()
    reader = hub.join()
    hub.take([started(), *[levels()] * 15, cue(), mood(1.0), mood(2.0)])
    hub.take([mood(3.0), cue()])
    assert (reader.lost.levels, reader.lost.mood) == (15, 0)
    hub.take([mood(float(n)) for n in range(4, 20)])
    assert reader.lost.mood > 0
    hub.take([cue()] * 8)
    stats = hub.stats
    events = waiting(reader)
    assert sum(isinstance(event, Cue) for event in events) == 10
    moods = [event.at_s for event in events if isinstance(event, Mood)]
    assert moods == sorted(moods)
    assert moods[-1] == 19.0
    assert len(events) <= 20
    assert (stats.lost_levels, stats.lost_mood) == (reader.lost.levels, reader.lost.mood)


def test_a_hopeless_reader_has_to_come_back_and_then_misses_no_cue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "QUEUE", 10)
    hub = Hub()
    reader = hub.join()
    cursor = hub.cursor
    hub.take([started(), *[cue() for _ in range(40)]])
    assert reader.is_too_slow
    assert reader.is_closed
    hub.leave(reader)
    monkeypatch.setattr(hubs, "QUEUE", 1000)
    again = hub.join(since=cursor)
    assert sum(isinstance(event, Cue) for event in waiting(again)) == 40
    assert hub.stats.too_slow == 1


def test_a_withdrawn_notice_deletes_what_waits_and_what_is_kept() -> None:
    hub = Hub()
    reader = hub.join()
    hub.take([started(), utterance(), mood(), cue("customer_stress"), cue(), mood(call="other")])
    hub.take([Notice(call="c", at_s=2.0, given=False)])
    for events in (waiting(reader), waiting(hub.join(since=0))):
        own = [event for event in events if event.call == "c"]
        assert [type(event) for event in own] == [CallStarted, Utterance, Cue, Notice]
        assert own[1].emotion is None  # type: ignore[union-attr]
        assert any(isinstance(event, Mood) for event in events)


def test_ended_calls_are_forgotten() -> None:
    now = [0.0]
    hub = Hub(clock=lambda: now[0])
    hub.take([started("a"), ended("a")])
    now[0] = 700.0
    hub.take([started("b")])
    assert hub.started("a") is None
    assert hub.started("b") is not None


def test_a_view_narrows_what_is_told() -> None:
    hub = Hub()
    reader = hub.join(view=lambda event: None if isinstance(event, Mood) else event)
    hub.take([mood(), cue()])
    assert [type(event) for event in waiting(reader)] == [Cue]
    assert isinstance(Numbered(1, cue()).event, Cue)


def test_levels_are_wanted_of_the_calls_that_somebody_looks_at() -> None:
    hub = Hub()
    assert hub.levels_of == frozenset()
    one, other = hub.join(call="a"), hub.join(call="b", kinds=frozenset({"levels", "cue"}))
    hub.join(call="c", kinds=frozenset({"mood"}))
    everybody = hub.join(kinds=frozenset({"cue"}))
    assert hub.levels_of == {"a", "b"}
    hub.leave(one)
    assert hub.levels_of == {"b"}
    hub.leave(everybody)
    wall = hub.join()
    assert hub.levels_of is None
    hub.leave(wall)
    hub.leave(other)
    assert hub.levels_of == frozenset()
    assert hub.stats.readers == 1


def test_a_reader_is_told_of_its_call_and_one_for_all_of_every() -> None:
    hub = Hub()
    readers = {call: hub.join(call=call) for call in ("a", "b", None)}
    hub.take([mood(call="a"), mood(call="b"), mood(call="a")])
    told = {call: [one.event.call for one in reader._waiting] for call, reader in readers.items()}
    assert told == {"a": ["a", "a"], "b": ["b"], None: ["a", "b", "a"]}
