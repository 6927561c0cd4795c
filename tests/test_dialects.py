"""The media dialects as they are published: conversations of each, bad input, and audio that is cut anywhere."""

import base64
import contextlib
import itertools
import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.errors import MediaError
from vocal.transports.audiohook import NULL_UUID, AudioHook, duration, seconds
from vocal.transports.audiosocket import AUDIO, END, ERROR, KEY, UUID, AudioSocket, message
from vocal.transports.chan_websocket import ChanWebsocket
from vocal.transports.dialect import (
    Closed,
    Dialect,
    Discarded,
    Dtmf,
    Interleaved,
    Media,
    Notice,
    Opened,
    Paused,
    Reply,
    Resumed,
    Said,
)
from vocal.transports.pcm import Listen, Pcm
from vocal.transports.twilio import MOST_HELD, VARIANTS, Twilio

ORG, SESSION = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def tell(dialect: Dialect, *frames: object) -> list[Said]:
    """What it hears of them; what is no frame yet becomes JSON."""
    return [
        said
        for frame in frames
        for said in dialect.receive(frame if isinstance(frame, str | bytes) else json.dumps(frame))
    ]


def media(said: Sequence[Said], track: int = 0) -> bytes:
    return b"".join(one.payload for one in said if isinstance(one, Media) and one.track == track)


# --- Twilio and its family -------------------------------------------------------------------------------------------

START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "accountSid": "AC0",
        "streamSid": "MZ0",
        "callSid": "CA0",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"team": "t1", "notice": "true"},
    },
    "streamSid": "MZ0",
}


def audio(chunk: int, payload: bytes, track: str | None = "inbound", at_ms: int | None = None) -> dict[str, Any]:
    what = {"chunk": str(chunk), "payload": base64.b64encode(payload).decode()}
    what |= {} if track is None else {"track": track}
    what |= {"timestamp": str(20 * chunk - 20 if at_ms is None else at_ms)}
    return {"event": "media", "sequenceNumber": str(chunk + 1), "media": what, "streamSid": "MZ0"}


def test_twilio() -> None:
    said = tell(
        Twilio(VARIANTS["twilio"]),
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        START,
        audio(1, b"\x01" * 160),
        audio(1, b"\x02" * 160, "outbound"),
        audio(2, b"\x03" * 160),
        {"event": "dtmf", "streamSid": "MZ0", "sequenceNumber": "5", "dtmf": {"track": "inbound_track", "digit": "1"}},
        {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ0", "mark": {"name": "m"}},
        {"event": "stop", "sequenceNumber": "5", "streamSid": "MZ0", "stop": {"accountSid": "AC0", "callSid": "CA0"}},
    )
    assert said == [
        Opened(("inbound", "outbound"), "ulaw", 8000, "CA0", {"team": "t1", "notice": "true"}),
        Media(0, 0, 0, b"\x01" * 160),
        Media(1, 0, 0, b"\x02" * 160),
        Media(0, 1, 160, b"\x03" * 160),
        Dtmf("1"),
        Closed("hangup"),
    ]


def test_telnyx_puts_in_order() -> None:
    start = {
        "event": "start",
        "sequence_number": "1",
        "start": {
            "user_id": "u",
            "call_control_id": "v3:x",
            "from": "+13122010094",
            "to": "+13122123456",
            "client_state": "",
            "custom_parameters": [{"name": "team", "value": "t1"}],
            "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
        },
        "stream_id": "s",
    }

    def one(number: int, at_ms: int) -> dict[str, Any]:
        what = {"track": "inbound", "chunk": str(number), "timestamp": str(at_ms)}
        return {
            "event": "media",
            "sequence_number": str(number),
            "media": what | {"payload": base64.b64encode(bytes([number]) * 160).decode()},
            "stream_id": "s",
        }

    dialect = Twilio(VARIANTS["telnyx"])
    said = tell(dialect, {"event": "connected", "version": "1.0.0"}, start)
    assert said == [
        Opened(("inbound",), "alaw", 8000, "v3:x", {"team": "t1", "from": "+13122010094", "to": "+13122123456"})
    ]
    order = [2, 4, 3, 6, 7, 5, 5, 8]
    said = tell(dialect, *(one(number, 20 * number) for number in order))
    assert media(said) == b"".join(bytes([number]) * 160 for number in range(2, 9))
    assert [one.position for one in said if isinstance(one, Media)] == list(range(0, 7 * 160, 160))
    # 9 never comes: what is behind it waits, is taken, and its place stays free.
    said = tell(dialect, *(one(number, 20 * number) for number in range(10, 10 + MOST_HELD)))
    found = [one for one in said if isinstance(one, Media)]
    assert found[0].position == 8 * 160
    assert found[0].sequence == 8
    assert len(found) == MOST_HELD
    held = [one(number, 20 * number) for number in (20, 19)]
    assert tell(dialect, held[0]) == []
    said = tell(dialect, held[1], {"event": "stop", "sequence_number": "21", "stop": {}})
    assert [type(one) for one in said] == [Discarded, Media, Media, Closed]


def test_exotel_plivo_signalwire_voximplant() -> None:
    said = tell(
        Twilio(VARIANTS["exotel"]),
        {"event": "connected"},
        {
            "event": "start",
            "sequence_number": "1",
            "stream_sid": "MZ1",
            "start": {
                "stream_sid": "MZ1",
                "call_sid": "CA1",
                "account_sid": "AC1",
                "from": "+91987",
                "to": "+91804",
                "custom_parameters": {"key1": "value1"},
                "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
            },
        },
        audio(2, bytes(1600), None, 200),
    )
    assert said[0] == Opened(("inbound",), "s16le", 8000, "CA1", {"key1": "value1", "from": "+91987", "to": "+91804"})
    assert len(media(said)) == 1600
    said = tell(
        Twilio(VARIANTS["plivo"]),
        {
            "sequenceNumber": 0,
            "event": "start",
            "start": {
                "callId": "c1",
                "streamId": "s1",
                "accountId": "1",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000},
            },
            "extra_headers": '{"team": "t1"}',
        },
        # Plivo's timestamps are of the wall clock.
        {"sequenceNumber": 1, "event": "media", "media": {"track": "inbound", "timestamp": "1700000000000", "chunk": 1,
         "payload": base64.b64encode(bytes(640)).decode()}, "extra_headers": "{}"},
        {"sequenceNumber": 2, "event": "media", "media": {"track": "inbound", "timestamp": "1700000000023", "chunk": 2,
         "payload": base64.b64encode(bytes(640)).decode()}, "extra_headers": "{}"},
    )  # fmt: skip
    assert said[0] == Opened(("inbound",), "s16le", 16000, "c1", {"team": "t1"})
    assert [one.position for one in said[1:]] == [0, 320]  # type: ignore[union-attr]
    said = tell(Twilio(VARIANTS["signalwire"]), {**START, "start": {**START["start"], "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 24000}}})  # type: ignore[dict-item]  # fmt: skip  # noqa: E501
    assert said[0].rate_hz == 24000  # type: ignore[union-attr]
    voximplant = Twilio(VARIANTS["voximplant"], ("caller", "operator"))

    def begin(tag: str) -> dict[str, Any]:
        return {"event": "start", "sequenceNumber": 0, "start": {"tag": tag, "mediaFormat": {"encoding": "PCM16", "sampleRate": 16000}, "customParameters": {}}}  # fmt: skip  # noqa: E501

    said = tell(
        voximplant,
        begin("caller"),
        begin("operator"),
        {"event": "media", "sequenceNumber": 1, "media": {"tag": "operator", "chunk": 0, "timestamp": 0, "payload": "AAE="}},  # noqa: E501
        {"event": "stop", "sequenceNumber": 2, "stop": {"tag": "caller", "mediaInfo": {}}},
        {"event": "stop", "sequenceNumber": 3, "stop": {"tag": "operator", "mediaInfo": {}}},
    )  # fmt: skip
    assert said == [Opened(("caller", "operator"), "s16le", 16000), Media(1, 0, 0, b"\0\1"), Closed("hangup")]


def test_silence_that_was_left_out_moves_the_position_and_jitter_does_not() -> None:
    dialect = Twilio(VARIANTS["twilio"])
    frames = [
        audio(n, bytes(160), at_ms=at_ms) for n, at_ms in enumerate((5, 20, 47, 60, 80, 1100, 1120, 1113, 1160), 1)
    ]
    said = tell(dialect, START, *frames)
    positions = [one.position for one in said if isinstance(one, Media)]
    (gap,) = [one for one in said if isinstance(one, Discarded)]
    assert abs(gap.samples - 8 * 995) < 80
    assert np.diff(positions).tolist() == [160] * 4 + [160 + gap.samples] + [160] * 3
    # A clock that runs 300 ppm fast for half an hour leaves no hole.
    dialect = Twilio(VARIANTS["twilio"])
    tell(dialect, START)
    for n in range(0, 90_000, 10):
        said = tell(dialect, audio(n + 1, bytes(1600), at_ms=round(n * 20 * 1.0003)))
        assert [type(one) for one in said] == [Media]


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([audio(1, bytes(160))], "before start"),
        ([START, START], "start came twice"),
        ([START, audio(1, bytes(160), "sideways")], "wanted track inbound, outbound, got 'sideways'"),
        ([{**START, "start": None}], "wanted an object"),
        ([{"event": "start"}], "wanted an object"),
        ([{**START, "start": {"mediaFormat": {"encoding": "OPUS"}}}], "wanted PCMU, PCMA or linear PCM"),
        ([{**START, "start": {"mediaFormat": {"sampleRate": 11025}}}], "sample rate: wanted"),
        ([{**START, "start": {"mediaFormat": {"sampleRate": "fast"}}}], "wanted a number"),
        ([START, audio(1, b"x", None)], "wanted track inbound, outbound, got None"),
        ([{**START, "start": {"tracks": ["a", "b", "c"]}}], "wanted one or two"),
        ([START, audio(1, bytes(160)), audio(2, bytes(160), at_ms=10**12)], "more than a day"),
        ([START, {"event": "media"}], "wanted a payload"),
        ([START, {"event": "media", "media": {"payload": "a" * 3}}], "text frame"),
        ([START, {"event": "media", "media": {"payload": 7}}], "text frame"),
        (["{"], "text frame"),
        (["[" * 60_000], "text frame"),
        (["{}"], "event"),
        ([b"\0\0"], "wanted a text frame"),
        (['"' + 70_000 * "x" + '"'], "at most"),
    ],
)
def test_twilio_says_what_is_wrong(frames: list[object], what: str) -> None:
    with pytest.raises(MediaError, match=what):
        tell(Twilio(VARIANTS["twilio"]), *frames)


# --- AudioHook -------------------------------------------------------------------------------------------------------


class Client:
    """Counts as AudioHook's does."""

    def __init__(self) -> None:
        self.seq = 0

    def __call__(self, kind: str, parameters: object, serverseq: int = 0, **more: object) -> str:
        self.seq += 1
        return json.dumps(
            {
                "version": "2",
                "id": SESSION,
                "type": kind,
                "seq": self.seq,
                "serverseq": serverseq,
                "position": "PT0S",
                "parameters": parameters,
            }
            | more
        )


def opening(conversation: str = str(uuid.UUID(int=3)), **more: object) -> dict[str, Any]:
    formats = [("PCMU", ["external", "internal"]), ("PCMU", ["external"]), ("PCMU", ["internal"])]
    return {
        "organizationId": ORG,
        "conversationId": conversation,
        "participant": {"id": str(uuid.UUID(int=4)), "ani": "+49301", "aniName": "A", "dnis": "+49302"},
        "media": [{"type": "audio", "format": one, "channels": two, "rate": 8000} for one, two in formats],
        "language": "de-DE",
        "customConfig": {"team": "t1", "nested": {"notice": True}},
    } | more


def answer(said: Said) -> dict[str, Any]:
    assert isinstance(said, Reply)
    found: dict[str, Any] = json.loads(said.frame)
    return found


def test_audiohook() -> None:
    hook, client = AudioHook(ORG, SESSION), Client()
    (opened,) = tell(hook, client("open", opening()))
    assert isinstance(opened, Opened)
    assert (opened.tracks, opened.coding, opened.rate_hz) == (("external", "internal"), "ulaw", 8000)
    assert (opened.peer_call, opened.metadata.language) == (str(uuid.UUID(int=3)), "de-de")
    assert opened.parameters["team"] == "t1"
    assert opened.parameters["nested.notice"] == "true"
    (reply,) = hook.opened("x")
    assert answer(reply) == {
        "version": "2",
        "id": SESSION,
        "type": "opened",
        "seq": 1,
        "clientseq": 1,
        "parameters": {"startPaused": False, "media": [opening()["media"][0]]},
    }
    said = tell(hook, b"\x01\x02" * 800, b"\x03\x04" * 800)
    assert media(said, 0) == b"\x01" * 800 + b"\x03" * 800
    assert media(said, 1) == b"\x02" * 800 + b"\x04" * 800
    (pong,) = tell(hook, client("ping", {"rtt": "PT0.05S"}, 1))
    assert (answer(pong)["type"], answer(pong)["seq"], answer(pong)["clientseq"]) == ("pong", 2, 2)
    assert hook.position == 1600
    said = tell(hook, client("discarded", {"start": "PT0.2S", "discarded": "PT1.5S"}, 2))
    assert said == [Discarded(12_000)]
    assert tell(hook, client("paused", {}, 2)) == [Paused()]
    with pytest.raises(MediaError, match="audio came while the session was paused"):
        tell(hook, bytes(2))
    said = tell(hook, client("resumed", {"start": "PT1.7S", "discarded": "PT30.000125S"}, 2), b"\5\6")
    assert said == [Discarded(240_001), Resumed(), Media(0, 2, 253_601, b"\5"), Media(1, 2, 253_601, b"\6")]
    (updated,) = tell(hook, client("update", {"language": "en-US"}, 2))
    assert answer(updated)["type"] == "updated"
    assert tell(hook, client("error", {"code": 429, "message": "slow down", "retryAfter": "PT2S"}, 3)) == []
    assert hook.retry_after_s == 2.0
    assert tell(hook, client("close", {"reason": "end"}, 3)) == [Closed("hangup")]
    (closed,) = hook.ended("hangup")
    assert (answer(closed)["type"], answer(closed)["clientseq"]) == ("closed", client.seq)
    assert tell(hook, bytes(4)) == []  # what was under way


def test_audiohook_probe_is_no_call() -> None:
    hook, client = AudioHook(), Client()
    given = opening(NULL_UUID, participant={"id": NULL_UUID, "ani": "", "aniName": "", "dnis": ""})
    (opened,) = tell(hook, client("open", given))
    assert answer(opened)["type"] == "opened"
    closed, end = tell(hook, client("close", {"reason": "end"}, 1))
    assert (answer(closed)["type"], end) == ("closed", Closed("hangup"))


def test_audiohook_chooses_both_sides() -> None:
    two = {"type": "audio", "format": "L16", "channels": ["internal", "external"], "rate": 8000}
    one = {"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}
    odd = {"type": "audio", "format": "OPUS", "channels": ["external", "internal"], "rate": 48000}
    hook = AudioHook()
    (opened,) = tell(hook, Client()("open", opening(media=[odd, one, two])))
    assert isinstance(opened, Opened)
    assert (opened.tracks, opened.coding) == (("internal", "external"), "s16le")
    assert answer(hook.opened("x")[0])["parameters"]["media"] == [two]
    said = tell(hook, b"\1\2\3\4\5\6", b"\7\10")
    assert (media(said, 0), media(said, 1)) == (b"\1\2\5\6", b"\3\4\7\10")


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        (lambda c: [c("open", opening(), seq=5)], "seq: wanted 1, got 5"),
        (lambda c: [c("open", opening(), serverseq=1)], "serverseq: wanted at most 0, got 1"),
        (lambda c: [c("open", opening(), version="1")], "version"),
        (lambda c: [c("open", opening(), id=ORG)], "id: wanted"),
        (lambda c: [c("open", opening(organizationId=SESSION))], "organizationId"),
        (lambda c: [c("open", opening(media=[]))], "no such media"),
        (lambda c: [c("open", opening(media=[{"type": "audio"}]))], "media: "),
        (lambda c: [c("open", opening()), c("open", opening())], "open came twice"),
        (lambda c: [c("open", opening()), bytes(160)], "while the session was opening"),
        (lambda c: [bytes(160)], "audio came while the session was preparing"),
        (lambda c: [c("paused", {})], "paused came while the session was preparing"),
        (lambda c: [c("resumed", [])], "resumed came"),
        (lambda c: [c("dance", {})], "dance"),
        (lambda c: ["{}"], "version"),
        (lambda c: ["[]"], "message"),
        (lambda c: [c("open", opening(conversationId=7))], "open: "),
    ],
)
def test_audiohook_says_what_is_wrong(frames: Callable[[Client], list[str | bytes]], what: str) -> None:
    with pytest.raises(MediaError, match=what):
        tell(AudioHook(ORG, SESSION), *frames(Client()))


def test_audiohook_refuses_in_its_own_words() -> None:
    hook = AudioHook()
    tell(hook, Client()("open", opening()))
    said = answer(hook.refused("full", 5.0)[0])
    assert (said["type"], said["parameters"]) == (
        "disconnect",
        {"reason": "error", "info": "full; retry after PT5S"},
    )
    assert answer(AudioHook().ended("ended by the server")[0])["parameters"]["reason"] == "completed"


@pytest.mark.parametrize(
    "text", ["", "PT", "PTS", "PT1", "1S", "PT-1S", "PT1,5S", "PTnanS", "PT1e9S", "PT99999999S", "PT²S"]
)
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(MediaError, match="duration"):
        seconds(text)


@given(st.integers(0, 8000 * 86_400))
def test_durations_are_exact_to_the_sample(samples: int) -> None:
    assert round(seconds(duration(samples / 8000)) * 8000) == samples


# --- Raw PCM, Asterisk -----------------------------------------------------------------------------------------------


def test_jambonz_fork_and_vonage() -> None:
    first = {"callSid": "c1", "direction": "inbound", "sampleRate": 16000, "mixType": "stereo", "team": "t1"}
    said = tell(Listen(), first, b"\1\0\2\0\3\0", b"\4\0", {"event": "dtmf", "dtmf": "5", "duration": "1600"})
    opened = said[0]
    assert isinstance(opened, Opened)
    assert (opened.tracks, opened.rate_hz, opened.coding, opened.peer_call) == (
        ("caller", "callee"), 16000, "s16le", "c1",
    )  # fmt: skip
    assert opened.parameters["team"] == "t1"
    assert (media(said, 0), media(said, 1), said[-1]) == (b"\1\0\3\0", b"\2\0\4\0", Dtmf("5"))
    # Two voices in one are nobody's.
    assert tell(Listen(), {"mixType": "mixed", "caller": "customer"})[0].roles == ("unknown",)  # type: ignore[union-attr]
    # mod_audio_fork says nothing of the kind itself, and nothing at all without metadata.
    said = tell(Listen({"rate": "16000", "mix": "stereo"}), bytes(8))
    assert (said[0].rate_hz, len(said)) == (16000, 3)  # type: ignore[union-attr]
    vonage = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", "app": "x"}
    said = tell(Listen(), vonage, bytes(640), {"event": "websocket:dtmf", "digit": "#", "duration": 260})
    assert said[0] == Opened(("caller",), "s16le", 16000, "", vonage)
    assert said[1:] == [Media(0, 0, 0, bytes(640)), Dtmf("#")]
    assert tell(Listen(), {}, {"type": "notice", "given": True}, {"type": "x"})[1:] == [Notice(True)]
    for bad in ({"sampleRate": "fast"}, {"sampleRate": 11025}, {"mixType": "both"}, [], "{"):
        with pytest.raises(MediaError):
            tell(Listen(), bad)


def test_our_own() -> None:
    said = tell(Pcm(), {"channels": 2, "encoding": "alaw", "call": "c", "notice": True}, bytes(3), {"type": "end"})
    opened = said[0]
    assert isinstance(opened, Opened)
    assert (opened.roles, opened.call, opened.metadata.notice) == (("agent", "customer"), "c", True)
    assert said[1:] == [Media(0, 0, 0, b"\0"), Media(1, 0, 0, b"\0"), Closed("hangup")]
    with pytest.raises(MediaError, match="first frame"):
        tell(Pcm(), bytes(320))


def test_chan_websocket() -> None:
    text = "MEDIA_START connection_id:e226 channel:WebSocket/one/0x1 format:ulaw optimal_frame_size:160 ptime:20"
    said = tell(ChanWebsocket(), text, bytes(160), "DTMF_END digit:7", "MEDIA_XOFF", bytes(160))
    assert isinstance(said[0], Opened)
    assert (said[0].coding, said[0].rate_hz, said[0].peer_call) == ("ulaw", 8000, "e226")
    assert said[1:] == [Media(0, 0, 0, bytes(160)), Dtmf("7"), Media(0, 1, 160, bytes(160))]
    as_json = {
        "event": "MEDIA_START",
        "connection_id": "e226",
        "channel": "WebSocket/one/0x1",
        "channel_id": "1.2",
        "format": "slin16",
        "optimal_frame_size": 640,
        "ptime": 20,
        "channel_variables": {"TEAM": "t1"},
    }
    said = tell(ChanWebsocket(), as_json, bytes(640), {"event": "DTMF_END", "digit": "*"})
    assert isinstance(said[0], Opened)
    assert (said[0].coding, said[0].rate_hz, said[0].parameters["TEAM"]) == ("s16le", 16000, "t1")
    assert said[-1] == Dtmf("*")
    for frames in ([bytes(160)], [text, text], ["STATUS x:1"], [""], [text.replace("ulaw", "opus")], ["{"], ["[]"]):
        with pytest.raises(MediaError):
            tell(ChanWebsocket(), *frames)


def test_audiosocket() -> None:
    name = uuid.uuid4()
    stream = (
        message(UUID, name.bytes)
        + message(AUDIO, b"\1\0" * 160)
        + message(KEY, b"5")
        + message(0x20, b"of a later version")
        + message(AUDIO, b"\2\0" * 160)
        + message(END)
    )
    said = tell(AudioSocket(), stream)
    assert said == [
        Opened(("voice",), "s16le", 8000, str(name)),
        Media(0, 0, 0, b"\1\0" * 160),
        Dtmf("5"),
        Media(0, 1, 160, b"\2\0" * 160),
        Closed("hangup"),
    ]
    for kind, rate_hz in zip(
        range(0x10, 0x19), (8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000), strict=True
    ):
        said = tell(AudioSocket(), message(UUID, name.bytes) + message(kind, bytes(320)))
        assert said[0].rate_hz == rate_hz  # type: ignore[union-attr]
    assert tell(AudioSocket(), message(UUID, name.bytes) + message(ERROR, b"\1")) == [Closed("connection lost")]
    for frames in (
        message(AUDIO, bytes(320)),
        message(UUID, b"short"),
        b"GET / HTTP/1.1\r\n",
        message(UUID, name.bytes) * 2,
        message(UUID, name.bytes) + message(AUDIO, bytes(320)) + message(0x12, bytes(640)),
        message(UUID, name.bytes) + message(AUDIO, bytes(3)),
    ):
        with pytest.raises(MediaError):
            tell(AudioSocket(), frames)


# --- Any input -------------------------------------------------------------------------------------------------------

MAKERS: dict[str, tuple[Callable[[], Dialect], list[str | bytes]]] = {
    "twilio": (lambda: Twilio(VARIANTS["twilio"]), [json.dumps(START)]),
    "telnyx": (lambda: Twilio(VARIANTS["telnyx"]), [json.dumps(START)]),
    "voximplant": (lambda: Twilio(VARIANTS["voximplant"]), []),
    "audiohook": (AudioHook, [Client()("open", opening())]),
    "listen": (Listen, ["{}"]),
    "pcm": (Pcm, ["{}"]),
    "asterisk": (ChanWebsocket, ["MEDIA_START format:ulaw"]),
}
WORDS = st.sampled_from(
    [
        "event",
        "media",
        "start",
        "stop",
        "track",
        "payload",
        "timestamp",
        "tag",
        "parameters",
        "type",
        "open",
        "seq",
        "2",
    ]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)
VALID = st.sampled_from(
    [json.dumps(START), json.dumps(audio(1, bytes(160))), Client()("open", opening()), "MEDIA_START format:slin"]
)
CUT = st.builds(
    lambda text, at, put: text[:at] + put + text[at + len(put) :], VALID, st.integers(0, 400), st.text(max_size=3)
)


@pytest.mark.parametrize("name", MAKERS)
@given(
    frames=st.lists(st.binary(max_size=9) | ANY.map(json.dumps) | st.text(max_size=30) | CUT, max_size=6),
    is_open=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_is_heard_or_refused(name: str, frames: list[str | bytes], is_open: bool) -> None:
    make, opened = MAKERS[name]
    dialect = make()
    with contextlib.suppress(MediaError):
        for frame in (*opened, *frames) if is_open else frames:
            for said in dialect.receive(frame):
                if isinstance(said, Opened):
                    dialect.opened("x")
                assert isinstance(said, Said)


@given(st.lists(st.binary(max_size=40), max_size=8))
@settings(deadline=None)
def test_whatever_comes_over_tcp_is_heard_or_refused(parts: list[bytes]) -> None:
    socket = AudioSocket()
    tell(socket, message(UUID, bytes(16)))
    with contextlib.suppress(MediaError):
        assert all(isinstance(one, Said) for one in tell(socket, *parts))


@given(
    st.integers(1, 3),
    st.sampled_from(("ulaw", "s16le", "l16")),
    st.binary(max_size=300),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_interleaved_audio_may_be_cut_anywhere(channels: int, coding: Any, data: bytes, cuts: list[int]) -> None:
    split = Interleaved(channels, coding)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [split.push(data[first:last]) for first, last in itertools.pairwise(places)]
    found = [b"".join(part[one] for part in parts if part) for one in range(channels)]
    width = 1 if coding == "ulaw" else 2
    whole = np.frombuffer(data, np.uint8)[: len(data) - len(data) % (channels * width)].reshape(-1, channels, width)
    assert found == [whole[:, one].tobytes() for one in range(channels)]


@given(st.lists(st.binary(min_size=2, max_size=40).map(lambda one: one[: len(one) // 2 * 2]), max_size=6), st.data())
def test_audiosocket_may_be_cut_anywhere(payloads: list[bytes], data: Any) -> None:
    name = uuid.uuid4()
    stream = message(UUID, name.bytes) + b"".join(message(AUDIO, one) for one in payloads) + message(END)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    places = [0, *places, len(stream)]
    whole = tell(AudioSocket(), stream)
    cut = tell(AudioSocket(), *(stream[first:last] for first, last in itertools.pairwise(places)))
    assert cut == whole
    assert media(whole) == b"".join(payloads)


@given(st.permutations(range(2, 8)))
def test_any_order_within_the_window_is_the_same_audio(order: list[int]) -> None:
    dialect = Twilio(VARIANTS["telnyx"])
    tell(dialect, START)
    frames = [audio(number - 1, bytes([number]) * 160) for number in order]
    said = tell(dialect, *frames)
    assert media(said) == b"".join(bytes([number]) * 160 for number in range(2, 8))
