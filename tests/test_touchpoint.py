"""Queue and touchpoint arrive with a call by whatever door it comes."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from serving import Served, serving
from test_media import free_port
from test_server import http_
from test_webrtc import offer_softphone

from vocal.cli import main
from vocal.config import MediaConfig, SipConfig
from vocal.replays.dialects import SENDERS
from vocal.replays.websocket import send_call
from vocal.transports.webrtc import Peer
from vocal.types import Channel, Metadata

pytestmark = pytest.mark.flaky(reruns=2)
SAID = Metadata(queue="Rechnung", touchpoint="Schadenfall")
TOLD = {"queue": SAID.queue, "touchpoint": SAID.touchpoint}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    media = MediaConfig(audiosocket=f"127.0.0.1:{free_port()}")
    with serving(media=media, sip=SipConfig(listen="127.0.0.1:0")) as one:
        yield one


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("touchpoint") / "short.wav"
    soundfile.write(path, np.zeros((4000, 2), np.float32), 8000)
    return path


def said(served: Served, call: str) -> dict[str, str | None]:
    served.wait_until(lambda: served.service.metadata_of(call) is not None)
    metadata = served.service.metadata_of(call)
    assert metadata is not None
    return {"queue": metadata.queue, "touchpoint": metadata.touchpoint}


def test_the_api_takes_them_within_bounds(served: Served) -> None:
    status, _, body = http_(served, "POST", "/v1/calls", {"metadata": TOLD})
    assert status == 201
    assert said(served, json.loads(body)["call"]) == TOLD
    assert json.loads(body)["metadata"]["touchpoint"] == SAID.touchpoint
    assert http_(served, "POST", "/v1/calls", {"metadata": {"touchpoint": "x" * 201}})[0] == 422


@pytest.mark.parametrize("dialect", SENDERS)
def test_every_dialect_takes_them(served: Served, dialect: str) -> None:
    call = str(uuid.uuid4())
    channels = (Channel(0, "agent"), Channel(1, "customer"))
    with served.client() as client:
        socket = served.service.config.media.audiosocket
        sent = send_call(client, channels, SAID, call, dialect=dialect, audiosocket=socket)
        sent.push(np.zeros((1600, 2), np.float32))
        assert said(served, call) == TOLD
        sent.end()


def test_a_platform_may_call_the_touchpoint_something_else() -> None:
    with serving(media=MediaConfig(names={"touchpoint": "journeyStep"})) as served, served.client() as client:
        body = {"uuid": str(uuid.uuid4()), "call": "named"}
        assert http_(served, "POST", "/v1/media/audiosocket", {**body, "journeyStep": "x"})[0] == 422
        path = "/v1/media/twilio?journeyStep=renewal&touchpoint=ignored"
        with client.connect(path) as one:
            start = {"event": "start", "start": {"callSid": "named", "tracks": ["inbound"]}}
            one.send(json.dumps(start))
            assert said(served, "named") == {"queue": None, "touchpoint": "renewal"}


@pytest.mark.parametrize("scheme", ["sip", "siprec", "whip", "ws"])
def test_a_replay_says_them(served: Served, short: Path, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    sip = served.service.listening["SIP over UDP"].rpartition(" ")[2]
    to = {
        "sip": f"sip:{sip}",
        "siprec": f"siprec:{sip}",
        "whip": f"whip:{served.url}",
        "ws": served.url.replace("http", "ws"),
    }
    given = ["replay", str(short), "--to", to[scheme], "--queue", str(SAID.queue), "--touchpoint", str(SAID.touchpoint)]
    assert main(given) == 0
    assert said(served, capsys.readouterr().err.rpartition("call: ")[2].strip()) == TOLD


def test_the_softphone_says_them(served: Served) -> None:
    async def ring() -> str:
        peer = Peer()
        status, answer = await offer_softphone(served, peer, **TOLD)
        assert status == 201
        found = said(served, answer["call"])
        await peer.close()
        assert found == TOLD
        return str(answer["call"])

    asyncio.run(ring())
