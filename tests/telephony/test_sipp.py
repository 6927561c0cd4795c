"""sipp as caller and as recorder: calls with media, many at once, over TCP, and SIPREC with two voices."""

import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from telephony.programs import EXCERPT_S, Sipp, ended_calls, need, same_measures, sip_port, until, utterances
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
    assert (started.transport, started.metadata.notice) == ("sip", True)
    assert (started.metadata.queue, started.metadata.touchpoint) == ("billing", "claim")
    assert len(expected[1]) >= 2
    same_measures(utterances(events), expected[1])
    assert events[-1].reason == "hangup"


def test_keys_in_the_media_are_told(served: Served, told: list[Any], sipp: Sipp) -> None:
    since, before = len(told), keys_told(served)
    sipp(sip_port(served), "keys")
    ended_calls(told, 1, since)
    until(lambda: keys_told(served) == before + 2)


def keys_told(served: Served) -> float:
    text = urllib.request.urlopen(f"{served.url}/metrics").read().decode()
    return sum(float(count) for count in re.findall(r'vocal_sip_total{what="keys"} (\S+)', text))


def test_many_calls_with_media(
    served: Served, told: list[Any], sipp: Sipp, alaw: tuple[Path, Path], tmp_path: Path
) -> None:
    """100 calls at 25 a second, each with its voice, hold, keys and BYE."""
    since, short = len(told), tmp_path / "short.al"
    short.write_bytes(alaw[1].read_bytes()[: 3 * 8000])
    keys = {"RECORDING": str(short), "PLAY_MS": "3200", "AFTER_MS": "100"}
    sipp(sip_port(served), "call", calls=100, rate=25.0, keys=keys)
    found = ended_calls(told, 100, since)
    assert len(found) == 100
    assert {events[-1].reason for events in found} == {"hangup"}
    assert min(events[-1].duration_s for events in found) > 2.5


def test_signalling_at_200_calls_a_second(served: Served, told: list[Any], sipp: Sipp) -> None:
    since = len(told)
    before = served.service.live.stats().refused_calls
    sipp(sip_port(served), "signalling", calls=400, rate=200.0)
    until(lambda: served.service.live.stats().calls == 0, 60.0)
    assert served.service.live.stats().refused_calls == before
    assert len(told) >= since


@pytest.mark.parametrize("transport", ["t1", "tn"])
def test_over_tcp(served: Served, told: list[Any], sipp: Sipp, alaw: tuple[Path, Path], transport: str) -> None:
    """One connection for all calls, and one for each."""
    since = len(told)
    keys = {"RECORDING": str(alaw[1]), "PLAY_MS": "2000", "AFTER_MS": "100"}
    sipp(sip_port(served, "TCP"), "call", "-t", transport, "-max_socket", "100", calls=5, keys=keys)
    assert len(ended_calls(told, 5, since)) == 5


def test_a_recorder_with_two_voices(
    served: Served,
    told: list[Any],
    sipp: Sipp,
    alaw: tuple[Path, Path],
    together: list[Utterance],
    tmp_path: Path,
) -> None:
    """The caller's voice by sipp, the agent's by GStreamer: each has its recording's measures, and its role."""
    since = len(told)
    second = tmp_path / "second.sh"
    source = f"filesrc location={alaw[0].with_suffix('.wav')} ! wavparse"
    packets = "rtppcmapay min-ptime=20000000 max-ptime=20000000 ! udpsink host=127.0.0.1 port=$1"
    second.write_text(f"#!/bin/sh\nexec {need('gst-launch-1.0')} -q {source} ! {packets} >{tmp_path}/gst.txt 2>&1\n")
    second.chmod(0o755)
    keys = {"RECORDING": str(alaw[1]), "PLAY_MS": str(PLAY_MS), "SECOND": str(second)}
    sipp(sip_port(served), "siprec", keys=keys)
    (events,) = ended_calls(told, 1, since)
    started = next(one for one in events if isinstance(one, CallStarted))
    assert [one.role for one in started.channels] == ["agent", "customer"]
    assert (started.transport, started.metadata.agent, started.metadata.notice) == (
        "siprec",
        served.service.access.pseudonym("7301"),
        True,
    )
    assert started.metadata.touchpoint == "renewal"
    for role in ("agent", "customer"):
        same_measures(utterances(events, role), [one for one in together if one.role == role], shift_s=1.5)
    assert all(one.emotion is None for one in utterances(events, "agent"))
