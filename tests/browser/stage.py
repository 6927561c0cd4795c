"""Calls for pages to show: made of nothing but events, as the engine would tell them, or real ones that say nothing."""

import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
from serving import Served

from vocal.replays.websocket import send_call
from vocal.types import (
    ByRole,
    CallEnded,
    CallStarted,
    Channel,
    ChannelLevels,
    Conversation,
    Cue,
    Levels,
    LiveEvent,
    Metadata,
    Moment,
    Mood,
    Notice,
    Satisfaction,
    Severity,
    Totals,
)

TOTALS = Totals(
    talk_share=ByRole(agent=0.6, customer=0.4),
    talk_s=ByRole(agent=36.0, customer=24.0),
    overlap_s=1.0,
    overlaps=0,
    interruptions=ByRole(agent=1.0, customer=0.0),
    non_talk_s=3.0,
    longest_monologue_s=ByRole(agent=12.0, customer=8.0),
    median_gap_s=ByRole(agent=0.4, customer=0.3),
)


@contextmanager
def silent_call(served: Served, **metadata: Any) -> Iterator[str]:
    """A call that the engine itself runs."""
    with served.client() as client:
        channels = (Channel(0, "agent"), Channel(1, "customer"))
        sent = send_call(client, channels, Metadata(**metadata))
        sent.push(np.zeros((1600, 2), np.float32))
        served.wait_until(lambda: served.service.hub.started(sent.call))
        yield sent.call
        sent.end()


class Staged:
    """A call that says what a test wants said."""

    def __init__(self, served: Served, agent: str = "a17", team: str = "Nord", notice: bool = True) -> None:
        self.served = served
        self.call = uuid.uuid4().hex
        self.at_s = 0.0
        self._seq = itertools.count()
        self.tell(
            CallStarted(
                **self._next(),
                started_at=datetime.now(UTC).isoformat(),
                transport="test",
                source="",
                channels=(Channel(0, "agent"), Channel(1, "customer")),
                metadata=Metadata(queue="Rechnung", team=team, agent=agent, notice=notice),
            )
        )

    def _next(self, at_s: float | None = None) -> dict[str, Any]:
        self.at_s = self.at_s if at_s is None else at_s
        return {"call": self.call, "seq": next(self._seq), "at_s": self.at_s}

    def tell(self, *events: LiveEvent) -> None:
        service = self.served.service
        assert service._loop is not None
        service._loop.call_soon_threadsafe(service.take, events)

    def mood(
        self, at_s: float, valence: float, stress: float = 0.1, trend: float = 0.0, confidence: float = 0.9
    ) -> None:
        self.tell(
            Mood(
                **self._next(at_s),
                role="customer",
                valence=valence,
                arousal=0.6,
                stress=stress,
                trend=trend,
                confidence=confidence,
            )
        )

    def levels(self, at_s: float, own: float = 4.8, theirs: float = 4.1) -> None:
        self.tell(
            Levels(
                **self._next(at_s),
                channels=(
                    ChannelLevels(0, "agent", 0.9, -26.0, 180.0, own),
                    ChannelLevels(1, "customer", 0.1, -24.0, 120.0, theirs),
                ),
            )
        )

    def cue(
        self,
        at_s: float,
        text: str,
        audience: str = "agent",
        severity: Severity = "hint",
        stands_s: float = 8.0,
        evidence: dict[str, float] | None = None,
        link: str | None = None,
    ) -> int:
        told = Cue(
            **self._next(at_s),
            cue="tempo_high" if audience == "agent" else "customer_escalating",
            audience=audience,
            kind="tempo" if audience == "agent" else "escalation",
            severity=severity,
            evidence=evidence or {"agent_tempo_syll_s": 6.05},
            text_key="",
            text={"de": text, "en": text},
            expires_s=at_s + stands_s,
            link=link,
        )
        self.tell(told)
        return told.seq

    def conversation(self, at_s: float) -> None:
        fields = {name: getattr(TOTALS, name) for name in TOTALS.__struct_fields__}
        self.tell(Conversation(**self._next(at_s), **fields))

    def notice(self, given: bool) -> None:
        self.tell(Notice(**self._next(), given=given))

    def end(self, at_s: float, moments: Sequence[Moment] = ()) -> None:
        self.tell(
            CallEnded(
                **self._next(at_s),
                reason="hangup",
                duration_s=at_s,
                conversation=TOTALS,
                satisfaction=Satisfaction(3.0, 6.0, 3.0, {"start": (2.0, 4.0), "end": (5.0, 7.0)}),
                moments=tuple(moments),
                lost_share=0.0,
            )
        )
