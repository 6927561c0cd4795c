"""sipp as caller and as recorder: calls with media, many at once, over TCP, and SIPREC with two voices."""

from pathlib import Path
from typing import Any

import pytest
from serving import Served

from telephony.programs import EXCERPT_S, Sipp, ended_calls, same_measures, sip_port, utterances
from vocal.types import CallStarted, Utterance

pytestmark = pytest.mark.flaky(reruns=2)
PLAY_MS = 1000 * EXCERPT_S + 300


def test_a_call_with_hold_and_keys_has_the_measures_of_its_recording(
    served: Served, told: list[Any], sipp: Sipp, alaw: tuple[Path, Path], expected: list[list[Utterance]]
) -> None:
    since = len(told)
    sipp(sip_port(served), "call", keys={"RECORDING": str(alaw[1]), "PLAY_MS": str(PLAY_MS), "AFTER_MS": "300"})
    (events,) = ended_calls(told, 1, since)
    started = next(one for one in events if isinstance(one, CallStarted))
    assert [one.role for one in started.channels] == ["customer"]
    assert (started.transport, started.metadata.notice, started.metadata.queue) == ("sip", True, "billing")
    assert len(expected[1]) >= 2
    same_measures(utterances(events), expected[1])
    assert events[-1].reason == "hangup"
