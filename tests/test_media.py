"""The media dialects over real sockets, each by a client that speaks it as it is published."""

import base64
import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly
from serving import Served, serving
from test_server import closed_with, http_, listen, ws
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from vocal.analysis import analyze
from vocal.cli import main
from vocal.config import LiveConfig, MediaConfig, PlayoutConfig, ServerConfig
from vocal.demo import call_path
from vocal.errors import InputError
from vocal.playout import Playout
from vocal.replays.dialects import SENDERS, Asked, AudioHookSender, TwilioSender, encoded, encodings_of
from vocal.replays.websocket import send_call
from vocal.transports.audiosocket import AUDIO, UUID, message
from vocal.transports.files import open_call
from vocal.transports.pcm import table
from vocal.types import CallEnded, CallStarted, Channel, Metadata, Utterance

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

BOTH = (Channel(0, "agent"), Channel(1, "customer"))
ONE_STREAM = [name for name, kind in SENDERS.items() if not kind.is_side]
SIDES = [name for name, kind in SENDERS.items() if kind.is_side]
FAST = 6.0
KEY, SECRET = "the key", base64.b64encode(b"the client secret").decode()
AUTH_TOKEN = "12345"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def pcm() -> NDArray[np.float32]:
    with open_call(call_path()) as source:
        return source.read(39 * 4000)


@pytest.fixture(scope="module")
def fast() -> Iterator[Served]:
    with serving(FAST, media=MediaConfig(audiosocket=f"127.0.0.1:{free_port()}")) as served:
        yield served


@pytest.fixture(scope="module")
def closed() -> Iterator[Served]:
    media = MediaConfig(
        audiosocket=f"127.0.0.1:{free_port()}", audiohook_keys={KEY: SECRET}, twilio_tokens=(AUTH_TOKEN,)
    )
    with serving(FAST, ServerConfig(closed=True), media=media) as served:
        yield served


def audiosocket(served: Served) -> str:
    return served.service.config.media.audiosocket


def heard(codes: bytes, dialect: str) -> NDArray[np.float32]:
    """What the receiver hears of what the wire has, (n,)."""
    encoding = encodings_of(dialect)[0]
    if encoding == "pcm_s16le":
        return np.frombuffer(codes, "<i2").astype(np.float32) / np.float32(32768.0)
    return table(encoding)[np.frombuffer(codes, np.uint8)]


def on_the_wire(pcm: NDArray[np.float32], dialect: str) -> NDArray[np.float32]:
    sides = [heard(encoded(pcm[:, one : one + 1], encodings_of(dialect)[0]), dialect) for one in range(pcm.shape[1])]
    return np.stack(sides, axis=1)


def comparable(event: Any) -> Any:
    return msgspec.structs.replace(event, call="")


@pytest.mark.parametrize("dialect", ONE_STREAM)
def test_live_equals_offline(fast: Served, pcm: NDArray[np.float32], tmp_path: Path, dialect: str) -> None:
    file = tmp_path / "call.wav"
    codes = np.round(on_the_wire(pcm, dialect) * 32768.0).astype(np.int16)
    soundfile.write(file, codes, 8000)
    offline = analyze(file, notice=True)
    with fast.client() as client:
        call = f"{dialect}-{uuid.uuid4().hex}"
        found: list[Any] = []
        listener = threading.Thread(target=lambda: found.extend(listen(fast.client(), call, since=0)))
        listener.start()
        sent = send_call(client, BOTH, Metadata(team="t1", notice=True), call, dialect=dialect)
        sent.push(pcm)
        sent.end()
        listener.join(60.0)
    started, ended = found[0], found[-1]
    assert isinstance(started, CallStarted)
    assert isinstance(ended, CallEnded)
    assert {one.role for one in started.channels} == {"agent", "customer"}
    assert (started.metadata.team, started.metadata.notice, ended.reason) == ("t1", True, "hangup")
    assert started.transport == ("websocket" if dialect == "pcm" else dialect)
    if started.channels == offline.events[0].channels:  # type: ignore[union-attr]
        assert [comparable(one) for one in found[1:-1]] == [comparable(one) for one in offline.events[1:-1]]
    of_customer, wanted = (
        [
            msgspec.structs.replace(one, call="", seq=0, channel=0)
            for one in events
            if isinstance(one, Utterance) and one.role == "customer"
        ]
        for events in (found, offline.events)
    )
    assert of_customer == wanted
    assert any(one.emotion for one in wanted)


@pytest.mark.parametrize("dialect", SIDES)
def test_two_connections_are_one_call(fast: Served, pcm: NDArray[np.float32], dialect: str) -> None:
    with fast.client() as client:
        sent = send_call(client, BOTH, Metadata(notice=True), None, dialect=dialect, audiosocket=audiosocket(fast))
        sent.push(pcm[: 10 * 8000])
        sent.end()
        found = listen(client, sent.call, since=0)
    started, ended = found[0], found[-1]
    assert isinstance(started, CallStarted)
    assert isinstance(ended, CallEnded)
    assert started.channels == BOTH
    assert started.metadata.notice
    utterances = [one for one in found if isinstance(one, Utterance)]
    assert {one.role for one in utterances} == {"agent", "customer"}
    assert all(one.emotion is None for one in utterances if one.role == "agent")
    assert ended.lost_share == 0.0


def collected(served: Served, run: Any) -> list[NDArray[np.float32]]:
    """What the playouts give of what `run` sends, each channel's from its first sample on."""
    live, playouts = served.service.live, []
    attach = live.attach

    def listening(call: str, channel: int, clock_hz: int = 8000, reliable: bool = False) -> Playout:
        playouts.append(Playout(PlayoutConfig(), clock_hz, reliable))
        return playouts[-1]

    live.attach = listening  # type: ignore[method-assign]
    try:
        run()
    finally:
        live.attach = attach  # type: ignore[method-assign]
    found = []
    for playout in playouts:
        playout.close()
        out, parts, samples = np.zeros((160, 1), np.float32), [], 160
        now_ms = playout.due_ms
        while samples:
            _, samples = playout.pull(now_ms, out, 0)
            parts.append(out[:samples, 0].copy())
            now_ms += 20.0
        found.append(np.concatenate(parts))
    return found


@pytest.mark.parametrize("dialect", SENDERS)
def test_every_sample_arrives_at_its_place(fast: Served, dialect: str) -> None:
    """Noise with an impulse in each channel, and a last message that is shorter than the others."""
    pcm = (0.05 * np.random.default_rng(1).standard_normal((12_345, 2))).astype(np.float32)
    pcm[7777, 0] = pcm[5555, 1] = 0.9

    def run() -> None:
        with fast.client() as client:
            sent = send_call(client, BOTH, dialect=dialect, audiosocket=audiosocket(fast))
            sent.push(pcm)
            sent.end()
            fast.wait_until(lambda: fast.service.live.call(sent.call) is None)

    found = collected(fast, run)
    wanted = on_the_wire(pcm, dialect)
    order = sorted(found, key=lambda one: int(np.argmax(np.abs(one))), reverse=True)
    assert [int(np.argmax(np.abs(one))) for one in order] == [7777, 5555]
    for one, two in zip(order, wanted.T, strict=True):
        np.testing.assert_array_equal(one, two)


def test_audio_at_16_khz_lies_where_it_was(fast: Served) -> None:
    """An impulse at 16 kHz, and a pause behind which the position goes on."""
    samples = np.zeros(16_000, np.int16)
    samples[8000] = samples[15_998] = 30_000

    def run() -> None:
        with ws(fast, "/v1/media/twilio") as one:
            form = {"encoding": "audio/x-l16", "sampleRate": 16000}
            one.send(json.dumps({"event": "start", "start": {"callSid": "c16", "mediaFormat": form}}))
            for first in range(0, 16_000, 320):
                at_ms = first // 16 + (500 if first >= 9600 else 0)
                payload = base64.b64encode(samples[first : first + 320].tobytes()).decode()
                one.send(json.dumps({"event": "media", "media": {"timestamp": at_ms, "payload": payload}}))
            one.send(json.dumps({"event": "stop"}))
            closed_with(one)

    (found,) = collected(fast, run)
    assert len(found) == 8000 + 4000
    halves = found[:8000], found[8000:]
    assert [int(np.argmax(np.abs(one))) for one in halves] == [4000, 7999 + 4000 - 8000]
    assert np.abs(found[4900:8700]).max() < 1e-3


def test_a_call_at_16_khz_has_the_measures_of_its_recording(fast: Served, tmp_path: Path) -> None:
    with open_call(call_path()) as source:
        wide = resample_poly(source.read(15 * 8000), 2, 1, axis=0)
    codes = np.clip(np.round(wide * 32768.0), -32768, 32767).astype("<i2")
    soundfile.write(tmp_path / "wide.wav", codes, 16_000)
    offline = [one for one in analyze(tmp_path / "wide.wav", notice=True).events if isinstance(one, Utterance)]
    call = uuid.uuid4().hex
    with ws(fast, "/v1/media/jambonz?caller=agent&callee=customer&notice=yes") as one:
        one.send(json.dumps({"callSid": call, "sampleRate": 16000, "mixType": "stereo"}))
        for first in range(0, len(codes), 320):
            one.send(codes[first : first + 320].tobytes())
    found = [one for one in listen(fast.client(), call, since=0) if isinstance(one, Utterance)]
    assert len(found) == len(offline) > 4
    for live, file in zip(found, offline, strict=True):
        assert (live.channel, live.role) == (file.channel, file.role)
        assert abs(live.start_s - file.start_s) <= 0.03
        assert abs(live.end_s - file.end_s) <= 0.03
        for name, most in (("level_dbov", 0.2), ("f0_median_hz", 1.5), ("snr_db", 2.0)):
            assert abs(getattr(live, name) - getattr(file, name)) <= most, name
        assert (live.emotion is None) == (file.emotion is None)
        if live.emotion is not None and file.emotion is not None:
            assert abs(live.emotion.valence - file.emotion.valence) < 0.1


# --- AudioHook -----------------------------------------------------------------------------------------------------


def hook(served: Served, call: str = "", secret: str | None = None, **headers: str) -> tuple[Any, AudioHookSender]:
    sender = AudioHookSender(Asked(BOTH, Metadata(notice=True), call, None, KEY if secret else None, secret))
    url = served.url.replace("http", "ws") + sender.path()
    return connect(url, additional_headers={**sender.headers(url), **headers}, compression=None), sender


def told(one: Any, sender: AudioHookSender) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(one.recv(timeout=10))
    sender.is_answer(found, "begin")
    return found


def test_audiohook_pause_is_not_lost(fast: Served, pcm: NDArray[np.float32]) -> None:
    half = encoded(pcm[: 4 * 8000], "mulaw")
    call = uuid.uuid4().hex
    one, sender = hook(fast, call)
    with one:
        for frame in sender.begin():
            one.send(frame)
        assert told(one, sender)["type"] == "opened"
        one.send(sender.text("ping", {}))
        assert told(one, sender)["type"] == "pong"
        for first in range(0, len(half), 1600):
            one.send(half[first : first + 1600])
        one.send(sender.text("paused", {}))
        time.sleep(30.0 / FAST)
        one.send(sender.text("resumed", {"start": "PT4S", "discarded": "PT30S"}))
        for first in range(0, len(half), 1600):
            one.send(half[first : first + 1600])
        for frame in sender.end():
            one.send(frame)
        assert told(one, sender)["type"] == "closed"
        assert closed_with(one) == 1000
    with fast.client() as client:
        found = listen(client, call, since=0)
    ended = found[-1]
    assert isinstance(ended, CallEnded)
    assert ended.lost_share == 0.0
    assert ended.duration_s == 38.0
    assert any(one.start_s >= 34.0 for one in found if isinstance(one, Utterance))
    assert not any(4.5 < one.start_s < 33.9 for one in found if isinstance(one, Utterance))


def test_a_pause_may_last_while_the_peer_is_there() -> None:
    with serving(live=LiveConfig(idle_s=1.5)) as served:
        one, sender = hook(served, "long")
        with one:
            for frame in sender.begin():
                one.send(frame)
            told(one, sender)
            one.send(bytes(3200))
            one.send(sender.text("paused", {}))
            for _ in range(8):
                time.sleep(0.5)
                one.send(sender.text("ping", {}))
                assert told(one, sender)["type"] == "pong"
            assert served.service.live.call("long") is not None
            # And then it says nothing more.
            answer = told(one, sender)
            assert (answer["type"], answer["parameters"]["reason"]) == ("disconnect", "completed")
            assert closed_with(one) == 1000
        assert listen(served.client(), "long", since=0)[-1].reason == "media timeout"  # type: ignore[union-attr]


def test_audiohook_probe_and_nonsense(fast: Served) -> None:
    open_before = len(fast.service.live.calls())
    one, sender = hook(fast)
    null = "00000000-0000-0000-0000-000000000000"
    with one:
        (text,) = sender.begin()
        given = json.loads(text)
        given["parameters"] |= {"conversationId": null}
        one.send(json.dumps(given))
        assert told(one, sender)["type"] == "opened"
        assert len(fast.service.live.calls()) == open_before
        for frame in sender.end():
            one.send(frame)
        assert told(one, sender)["type"] == "closed"
        assert closed_with(one) == 1000
    for frames in (["{}"], [bytes(160)], [text, text], ["x" * 40_000], [text.replace('"seq": 1', '"seq": 2')]):
        one, sender = hook(fast)
        with one:
            for frame in frames:
                one.send(frame)
            while (answer := told(one, sender))["type"] == "opened":
                pass
            assert (answer["type"], answer["parameters"]["reason"]) == ("disconnect", "error")
            assert closed_with(one) == 1003


def test_audiohook_shows_who_it_is(closed: Served) -> None:
    call = uuid.uuid4().hex
    one, sender = hook(closed, call, SECRET)
    with one:
        for frame in sender.begin():
            one.send(frame)
        assert told(one, sender)["type"] == "opened"
        closed.wait_until(lambda: closed.service.live.call(call) is not None)
    headers = dict(sender.headers(closed.url.replace("http", "ws") + sender.path()))
    for case, extra in (
        ("unsigned", {"x-api-key": KEY}),
        ("nothing", {}),
        ("wrong key", {**headers, "x-api-key": "another"}),
        ("changed", {**headers, "audiohook-session-id": str(uuid.uuid4())}),
        ("no correlation", {name: value for name, value in headers.items() if "correlation" not in name}),
        ("a token does not help", {"authorization": f"Bearer {closed.token('ingest')}"}),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(closed.url.replace("http", "ws") + "/v1/media/audiohook", additional_headers=extra)
        assert refused.value.response.status_code == 401, case
    url = closed.url.replace("http", "ws") + "/v1/media/audiohook"
    fresh = sender.headers(url)
    with connect(url, additional_headers=fresh):
        pass
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers=fresh)
    assert refused.value.response.status_code == 401
    assert b"used already" in (refused.value.response.body or b"")


# --- Who may ---------------------------------------------------------------------------------------------------------


def test_tokens_and_twilio_signatures(closed: Served, pcm: NDArray[np.float32]) -> None:
    with closed.client() as client:
        sent = send_call(client, BOTH, dialect="twilio", secret=AUTH_TOKEN)
        sent.push(pcm[:800])
        sent.end()
        with pytest.raises(InputError, match="401"):
            send_call(client, BOTH, dialect="twilio", secret="wrong")
        with pytest.raises(InputError, match="401"):
            send_call(client, BOTH, dialect="twilio")
        with pytest.raises(InputError, match="401"):
            send_call(client, BOTH, dialect="jambonz")
    ingest, lead = closed.token("ingest"), closed.token("lead", team="t1")
    basic = base64.b64encode(f"anybody:{ingest}".encode()).decode()
    for path, headers in (
        (f"/v1/media/twilio?token={ingest}", {}),
        (f"/v1/media/jambonz?token={ingest}", {}),
        ("/v1/media/jambonz", {"Authorization": f"Bearer {ingest}"}),
        ("/v1/media/fork", {"Authorization": f"Basic {basic}"}),
    ):
        with ws(closed, path, **headers):
            pass
    for path, headers in (
        ("/v1/media/jambonz?token=x", {}),
        ("/v1/media/jambonz", {"Authorization": "Basic x"}),
        ("/v1/media/jambonz", {"Authorization": "Basic " + base64.b64encode(b"x:y").decode()}),
        ("/v1/media/exotel", {}),
    ):
        with pytest.raises(InvalidStatus) as refused:
            ws(closed, path, **headers)
        assert refused.value.response.status_code == 401
    with ws(closed, f"/v1/media/jambonz?token={lead}") as one:
        one.send("{}")
        assert closed_with(one) == 1008
    with pytest.raises(InvalidStatus) as refused:
        ws(closed, f"/v1/media/twillio?token={ingest}")
    assert refused.value.response.status_code == 404
    assert b"did you mean 'twilio'" in (refused.value.response.body or b"")


def test_audiosocket_streams_are_announced(closed: Served) -> None:
    host, _, port = audiosocket(closed).partition(":")

    def stream(name: uuid.UUID) -> bytes:
        with socket.create_connection((host, int(port)), 5.0) as one:
            one.sendall(message(UUID, name.bytes) + message(AUDIO, bytes(320)))
            one.settimeout(1.0)
            try:
                return one.recv(10)
            except TimeoutError:
                return b"open"

    assert stream(uuid.uuid4()) == b""
    name, call = uuid.uuid4(), uuid.uuid4().hex
    token = {"Authorization": f"Bearer {closed.token('ingest')}"}
    given = {"uuid": str(name), "call": call, "role": "customer", "notice": True, "team": "t1"}
    assert http_(closed, "POST", "/v1/media/audiosocket", given)[0] == 401
    lead = {"Authorization": f"Bearer {closed.token('lead', team='t1')}"}
    assert http_(closed, "POST", "/v1/media/audiosocket", given, **lead)[0] == 403
    assert http_(closed, "POST", "/v1/media/audiosocket", {**given, "uuid": "x"}, **token)[0] == 422
    assert http_(closed, "POST", "/v1/media/audiosocket", given, **token)[0] == 201
    assert stream(name) == b"open"
    assert stream(name) == b""  # once
    metadata = closed.service.metadata_of(call)
    assert metadata is not None
    assert (metadata.team, metadata.notice) == ("t1", True)


# --- Whose voice -----------------------------------------------------------------------------------------------------


def test_roles_are_unknown_unless_somebody_says_so(pcm: NDArray[np.float32]) -> None:
    start = {"event": "start", "start": {"callSid": "c1", "tracks": ["inbound", "outbound"]}}
    informed = {"customParameters": {"informed": "Yes", "agentId": "ann"}}

    def roles(served: Served, path: str, **more: object) -> tuple[list[str], Metadata]:
        before = {state.call.call for state in served.service.live.calls()}
        with ws(served, path) as one:
            one.send(json.dumps({**start, "start": {**start["start"], **more}}))  # type: ignore[dict-item]
            new: list[Any] = []

            def there() -> bool:
                new[:] = [state.call for state in served.service.live.calls() if state.call.call not in before]
                return bool(new)

            served.wait_until(there)
        return [one.role for one in new[0].channels], new[0].metadata

    with serving() as served:
        assert roles(served, "/v1/media/twilio")[0] == ["unknown", "unknown"]
        assert roles(served, "/v1/media/twilio?inbound=customer")[0] == ["customer", "unknown"]
        named = {"customParameters": {"inbound": "agent", "outbound": "customer"}}
        assert roles(served, "/v1/media/twilio", **named)[0] == ["agent", "customer"]
        assert roles(served, "/v1/media/twilio", **informed)[1] == Metadata()
        with ws(served, "/v1/media/twilio?inbound=customer&outbound=customer") as one:
            one.send(json.dumps(start))
            assert closed_with(one) == 1003
    media = MediaConfig(
        tracks={"twilio": {"inbound": "customer", "outbound": "agent"}},
        names={"notice": "informed", "agent": "agentId"},
    )
    with serving(media=media) as served:
        assert roles(served, "/v1/media/twilio")[0] == ["customer", "agent"]
        assert roles(served, "/v1/media/telnyx")[0] == ["unknown", "unknown"]
        found = roles(served, "/v1/media/twilio", **informed)
        assert found == (["customer", "agent"], Metadata(agent="ann", notice=True))


def test_who_is_unknown_is_measured_and_no_more(fast: Served, pcm: NDArray[np.float32]) -> None:
    """Even where the customer was informed: it may be the agent."""
    sender = TwilioSender(Asked(BOTH, Metadata(notice=True), uuid.uuid4().hex, "mulaw"))
    with ws(fast, "/v1/media/signalwire") as one:
        for frame in sender.begin():
            one.send(str(frame).replace('"agent"', '"x"').replace('"customer"', '"y"'))
        for first in range(0, 10 * 8000, 160):
            for frame in sender.audio(pcm[first : first + 160]):
                one.send(frame)
        for frame in sender.end():
            one.send(frame)
        assert closed_with(one) == 1000
    found = listen(fast.client(), sender._asked.call, since=0)
    started = found[0]
    assert isinstance(started, CallStarted)
    assert started.metadata.notice
    assert [one.role for one in started.channels] == ["unknown", "unknown"]
    utterances = [one for one in found if isinstance(one, Utterance)]
    assert {one.channel for one in utterances} == {0, 1}
    assert not any(one.emotion for one in utterances)
    assert not any(type(one).__name__ == "Mood" for one in found)


# --- Bad peers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", [name for name in SENDERS if name not in ("audiosocket", "pcm", "audiohook")])
def test_bad_frames_close_with_a_reason_and_hurt_nobody(fast: Served, pcm: NDArray[np.float32], dialect: str) -> None:
    with fast.client() as client:
        bystander = send_call(client, BOTH, call="by-" + uuid.uuid4().hex)
        bystander.push(pcm[: 4 * 8000])
        for frames in (["["], ['{"event": "start", "start": 7}', "{"], ["[" * 10_000], ["\0"]):
            with ws(fast, f"/v1/media/{dialect}") as one:
                with contextlib.suppress(ConnectionClosed):
                    for frame in frames:
                        one.send(frame)
                assert closed_with(one) == 1003
                assert one.close_reason
        with ws(fast, f"/v1/media/{dialect}") as one:
            one.send("x" * 100_000)
            assert closed_with(one) == 1009
        bystander.push(pcm[4 * 8000 : 8 * 8000])
        bystander.end()
        ended = listen(client, bystander.call, since=0)[-1]
    assert isinstance(ended, CallEnded)
    assert ended.reason == "hangup"
    metrics = http_(fast, "GET", "/metrics")[2].decode()
    assert f'vocal_media_total{{dialect="{dialect}",what="refused"}}' in metrics


def test_half_open_and_slow_peers_are_let_go() -> None:
    with serving(server=ServerConfig(hello_s=0.5), media=MediaConfig(audiosocket=f"127.0.0.1:{free_port()}")) as served:
        with ws(served, "/v1/media/twilio") as one:
            began = time.monotonic()
            assert closed_with(one) == 1008
            assert time.monotonic() - began < 3.0
        # Who says something again and again, but not what comes, has no longer.
        with ws(served, "/v1/media/twilio") as one:
            began = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                while time.monotonic() - began < 4.0:
                    one.send('{"event": "connected"}')
                    time.sleep(0.1)
            assert closed_with(one) == 1008
            assert time.monotonic() - began < 3.0
        host, _, port = audiosocket(served).partition(":")
        for begin in (b"", b"\1", message(UUID, bytes(16))):
            with socket.create_connection((host, int(port)), 5.0) as raw:
                raw.sendall(begin)
                raw.settimeout(5.0)
                assert raw.recv(10) == b""
        with socket.create_connection((host, int(port)), 5.0) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.settimeout(5.0)
            with contextlib.suppress(ConnectionResetError):
                assert raw.recv(10) == b""
        assert served.service.live.calls() == []


def test_ten_thousand_bogus_connections(pcm: NDArray[np.float32]) -> None:
    """From one address: some are heard, the others are told when to come again, and a call goes on."""
    limits = ServerConfig(opens_burst=50.0, opens_per_s=5.0)
    with serving(server=limits, media=MediaConfig(audiosocket=f"127.0.0.1:{free_port()}")) as served:
        client = served.client()
        bystander = send_call(client, BOTH, call="by")
        bystander.push(pcm[: 2 * 8000])
        key = base64.b64encode(bytes(16)).decode()
        asked = (
            f"GET /v1/media/twilio HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
        port = int(served.url.rpartition(":")[2])
        answers: list[bytes] = []

        def many(count: int) -> None:
            for _ in range(count):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 10.0) as one:
                    one.sendall(asked)
                    answers.append(one.recv(200)[9:12])

        threads = [threading.Thread(target=many, args=(2500,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) > 9900
        assert answers.count(b"429") > 9000
        bystander.push(pcm[2 * 8000 : 4 * 8000])
        bystander.end()
        ended = listen(client, "by", since=0)[-1]
        assert isinstance(ended, CallEnded)
        assert ended.reason == "hangup"
        assert served.service.live.calls() == []


def test_a_stream_that_begins_anew_is_another_call(fast: Served) -> None:
    with fast.client() as client:
        call = uuid.uuid4().hex
        first = send_call(client, BOTH, call=call, dialect="twilio")
        first.push(np.zeros((800, 2), np.float32))
        first.end()
        second = send_call(client, BOTH, call=call, dialect="twilio")
        second.push(np.zeros((800, 2), np.float32))
        second.end()
        fast.wait_until(lambda: fast.service.live.call(call) is None)
    assert first.call == second.call == call


def test_replay(fast: Served, tmp_path: Path, pcm: NDArray[np.float32], capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "call.wav"
    soundfile.write(file, pcm[: 3 * 8000], 8000)
    common = ["replay", str(file), "--to", fast.url.replace("http", "ws"), "--speed", "100"]
    for dialect in ("twilio", "audiohook", "asterisk"):
        assert main([*common, "--dialect", dialect, "--notice", "--call", (call := uuid.uuid4().hex)]) == 0
        assert f"call: {call}" in capsys.readouterr().err
    assert main([*common, "--dialect", "audiosocket", "--audiosocket", audiosocket(fast), "--loss", "0.5"]) == 0
    capsys.readouterr()
    assert main([*common, "--dialect", "twillio"]) == 2
    assert "did you mean 'twilio'" in capsys.readouterr().err
    assert main([*common, "--dialect", "twilio", "--encoding", "alaw"]) == 2
    assert "wanted mulaw for twilio" in capsys.readouterr().err
    assert main([*common, "--dialect", "audiosocket"]) == 2
    assert "wanted HOST:PORT" in capsys.readouterr().err
    assert main(["replay", str(file), "--to", "whip:http://x", "--dialect", "twilio"]) == 2


def test_settings_that_cannot_be_followed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for where, what in (
            (f"127.0.0.1:{port}", "in use"),
            ("9019", "HOST:PORT"),
            ("127.0.0.1:99999", "HOST:PORT"),
        ):
            assert main(["serve", "--port", "0", "--audiosocket", where]) == 2
            assert what in capsys.readouterr().err
    for name, value, what in (
        ("TRACKS", '{"twillio": {"inbound": "agent"}}', "did you mean 'twilio'"),
        ("TRACKS", '{"twilio": {"inbound": "boss"}}', "boss"),
        ("TRACKS", '{"twilio"', "wanted JSON"),
        ("AUDIOHOOK_KEYS", '{"key": "!"}', "base64"),
    ):
        monkeypatch.setenv(f"VOCAL_MEDIA_{name}", value)
        assert main(["serve", "--port", "0"]) == 2
        assert what in capsys.readouterr().err
        monkeypatch.delenv(f"VOCAL_MEDIA_{name}")
