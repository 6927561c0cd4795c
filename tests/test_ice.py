"""Where media come in: addresses, port ranges, an address translation, and a relay (coturn)."""

import asyncio
import ipaddress
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving import Served, serving
from test_webrtc import an_offer, ask, ended, post

from vocal.config import Config, WebrtcConfig
from vocal.errors import ConfigError
from vocal.replays.whip import WhipConnection
from vocal.server import build_app
from vocal.service import Service
from vocal.transports.ice import Ways, passing_credentials

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)


class Told(NamedTuple):
    host: str
    port: int
    kind: str


def candidates(sdp: str) -> list[Told]:
    found = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)", sdp)
    return [Told(host, int(port), kind) for host, port, kind in found]


def free_ports(count: int) -> tuple[int, int]:
    """The first and last of some UDP ports in a row that nobody uses on loopback."""
    for first in range(42_000, 60_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first, first + count - 1
    raise AssertionError("no free ports")


def test_a_server_on_loopback_offers_loopback_alone() -> None:
    with serving() as served:
        told = candidates(post(served, an_offer())[2])
    assert told
    assert all(ipaddress.ip_address(one.host).is_loopback for one in told)


def test_ports_are_of_the_range_and_when_they_are_used_up_callers_are_told_so() -> None:
    first, last = free_ports(3)
    settings = WebrtcConfig(addresses=("127.0.0.1",), ports=(first, last))
    with serving(webrtc=settings) as served:
        used = []
        for _ in range(3):
            status, headers, answer = post(served, an_offer())
            assert status == 201
            used += [one.port for one in candidates(answer)]
        assert sorted(used) == list(range(first, last + 1))
        status, told, text = post(served, an_offer())
        assert (status, "retry-after" in told) == (503, True)
        assert f"no free UDP ports {first} to {last}" in text
        served.wait_until(lambda: len(served.service.live.calls()) == 3)
        assert ask(served, "DELETE", headers["location"])[0] == 200
        served.wait_until(lambda: post(served, an_offer())[0] == 201)


def test_behind_an_address_translation_the_public_address_is_offered_too() -> None:
    with serving(webrtc=WebrtcConfig(addresses=("127.0.0.1",), public="203.0.113.7")) as served:
        own, seen = sorted(candidates(post(served, an_offer())[2]), key=lambda one: one.kind)
    assert own[::2] == ("127.0.0.1", "host")
    assert seen == ("203.0.113.7", own.port, "srflx")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"addresses": ("localhost",)}, "addresses: wanted an IP address, got 'localhost'"),
        ({"public": "example.org"}, "public: wanted an IP address"),
        ({"ports": (50_000, 40_000)}, "ports: wanted first and last"),
        ({"stun": ("HOST:3478",)}, "stun: wanted a URL such as stun:HOST:3478"),
        ({"turn": ("turn:h",)}, "turn: wanted turn_user and turn_password, or turn_secret"),
        ({"turn": ("stun:h",), "turn_secret": "s"}, "turn: wanted a URL such as turn:HOST:3478"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        build_app(Service(Config(webrtc=WebrtcConfig(**settings))))


def test_passing_credentials_are_what_coturn_computes() -> None:
    """By the draft that coturn follows (draft-uberti-behave-turn-rest): base64 of HMAC-SHA1; here by OpenSSL."""
    name, password = passing_credentials("north", "anna b", 1_000.0)
    assert name == "87400:anna_b"
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl")
    made = subprocess.run(
        [openssl, "dgst", "-sha1", "-hmac", "north", "-binary"], input=name.encode(), capture_output=True, check=True
    )
    import base64

    assert password == base64.b64encode(made.stdout).decode()


@pytest.fixture
def coturn(tmp_path: Path) -> Iterator[str]:
    """A TURN server on loopback, which shares a secret with us; its URL."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no TURN server: apt-get install coturn")
    port, _ = free_ports(1)
    own = ["--listening-ip=127.0.0.1", f"--listening-port={port}", "--relay-ip=127.0.0.1", "--allow-loopback-peers"]
    secret = ["--use-auth-secret", "--static-auth-secret=north", "--realm=vocal"]
    plain = ["-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file=stdout", f"--pidfile={tmp_path}/pid"]
    with subprocess.Popen([program, *plain, *own, *secret], cwd=tmp_path, stdout=subprocess.DEVNULL) as running:
        time.sleep(1.0)
        assert running.poll() is None
        yield f"turn:127.0.0.1:{port}?transport=udp"
        running.terminate()


def relayed(sdp: str) -> str:
    """Without any other candidate."""
    return "".join(line for line in sdp.splitlines(keepends=True) if "a=candidate" not in line or "typ relay" in line)


def test_audio_goes_through_a_relay(coturn: str) -> None:
    settings = WebrtcConfig(addresses=("127.0.0.1",), turn=(coturn,), turn_secret="north")

    async def run(served: Served) -> str:
        url = served.url
        one = WhipConnection(f"{url}/v1/whip")
        name, password = passing_credentials("north", "sender", time.time())
        one.peer = type(one.peer)(ways=Ways(("127.0.0.1",), turn=(coturn,), username=name, password=password))
        offer = relayed(await one.peer.offer(["pcma"], 1))
        assert candidates(offer)
        status, headers, body = await one.request("POST", f"{url}/v1/whip", offer, "application/sdp")
        assert status == 201
        links = headers.get_list("Link")
        assert any(coturn in link and 'rel="ice-server"' in link and "credential=" in link for link in links)
        answer = relayed(body.decode())
        assert [told.kind for told in candidates(answer)] == ["relay"]
        await one.peer.accept(answer)
        until = time.monotonic() + 20.0
        while one.peer.state != "connected":
            assert time.monotonic() < until, one.peer.state
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        pair: Any = one.peer._connection.getTransceivers()[0].receiver.transport.transport._connection._nominated[1]
        assert "relay" in (pair.local_candidate.type, pair.remote_candidate.type)
        for number in range(100):
            assert one.peer.senders[0].push("pcma", number, 160 * number, bytes(160))
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        state = served.service.live.call(headers["Vocal-Call"])
        assert state is not None
        assert state.playouts[0] is not None
        assert state.playouts[0].received >= 95
        one.location = str(headers["Location"]) if "://" in headers["Location"] else url + headers["Location"]
        await one.close()
        return str(headers["Vocal-Call"])

    with serving(webrtc=settings) as served:
        events = ended(served, asyncio.run(run(served)))
        assert events[-1].reason == "hangup"
        status, _, text = ask(served, "GET", "/v1/softphone/ice")
        assert status == 200
        assert coturn in text
        assert ask(served, "GET", "/v1/softphone/ice?invite=gone")[0] == 403
