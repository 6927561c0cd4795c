"""Calls made of their name and numbers alone, for tests of the store: whoever knows both knows every event."""

from datetime import UTC, datetime, timedelta

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
    Mood,
    Notice,
    Relative,
    Satisfaction,
    Totals,
    Utterance,
)

BEGAN = datetime(2026, 11, 22, 23, 59, 0, tzinfo=UTC)
TOTALS = Totals(
    ByRole(0.5, 0.5), ByRole(10.0, 10.0), 1.5, 1, ByRole(0.0, 1.0), 4.0, ByRole(5.0, 6.0), ByRole(0.2, None)
)
CHANNELS = (Channel(0, "agent"), Channel(1, "customer"))


def event_of(call: str, seq: int, count: int, began: datetime = BEGAN, withdrawn_at: int = -1) -> Event:
    """The event number `seq` of a call that has `count` of them."""
    at_s = 0.5 * seq
    if seq == 0:
        started = began.isoformat(timespec="milliseconds")
        meta = Metadata("billing", "blue", "anna", "de", notice=True, touchpoint="claim")
        return CallStarted(
            call=call, at_s=0.0, started_at=started, transport="test", source="here", channels=CHANNELS, metadata=meta
        )
    if seq == count - 1:
        satisfaction = Satisfaction(4.0, 6.5, 2.5, {"start": (3.0, 5.0), "end": (5.5, 7.5)}, {"mood_end": 6.5})
        return CallEnded(
            call=call, seq=seq, at_s=at_s, reason="bye", duration_s=at_s, conversation=TOTALS,
            satisfaction=satisfaction if withdrawn_at < 0 else None, moments=(), lost_share=0.0,
        )  # fmt: skip
    if seq == withdrawn_at:
        return Notice(call=call, seq=seq, at_s=at_s, given=False)
    share = (seq * 37 % 100) / 100.0
    if seq % 4 == 1:
        return _utterance(call, seq, at_s, "customer" if seq % 8 == 1 else "agent", share)
    if seq % 16 == 2:
        return Cue(
            call=call, seq=seq, at_s=at_s, cue="calm", audience="agent", kind="tempo", severity="hint",
            evidence={"customer_stress": share} if seq % 32 == 2 else {"agent_tempo": 5.9},
            text_key="cue.calm", text={"de": "Ruhig.", "en": "Calm."}, expires_s=at_s + 8.0,
        )  # fmt: skip
    if seq % 8 == 3:
        return Conversation(
            call=call, seq=seq, at_s=at_s, **{name: getattr(TOTALS, name) for name in Totals.__struct_fields__}
        )
    return Mood(
        call=call, seq=seq, at_s=at_s, role="customer", valence=share, arousal=0.5, stress=1 - share, trend=0.0,
        confidence=0.9,
    )  # fmt: skip


def _utterance(call: str, seq: int, at_s: float, role: str, share: float) -> Utterance:
    emotion = Emotion(share, 0.5, 0.2, {"level": 0.1}, 0.0, {"anger": 0.2, "neutral": 0.8}, 0.9, "test 1")
    return Utterance(
        call=call, seq=seq, at_s=at_s, channel=int(role == "customer"), role=role, index=seq // 8,  # type: ignore[arg-type]
        start_s=at_s - 0.4, end_s=at_s, detected_s=at_s + 0.3, syllables=2, articulation_rate_syll_s=5.0 + share,
        speech_rate_syll_s=4.5, level_dbov=-25.0, loudness_lufs=-27.0, f0_median_hz=None, f0_range_st=None,
        f0_slope_st_s=None, voiced_share=0.6, jitter_pct=None, shimmer_pct=None, hnr_db=None, alpha_ratio_db=None,
        relative=Relative(share, None, 3.0), lost_s=0.0, bandwidth_hz=3400.0, snr_db=30.0, clipped_share=0.0,
        clarity=0.8, clarity_terms={"level": 0.9, "tempo": 0.7}, emotion=emotion if role == "customer" else None,
    )  # fmt: skip


def events_of(call: str, count: int = 40, began: datetime = BEGAN, withdrawn_at: int = -1) -> list[Event]:
    """All events of a call, in their order."""
    return [event_of(call, seq, count, began, withdrawn_at) for seq in range(count)]


def later(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)
