"""Calls by SIP over real sockets, by hand: what real programs do not say, and what strangers and broken ones do."""

import re
import socket
import struct
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
import soundfile
from serving import Served, serving

from vocal.analysis import analyze
from vocal.config import LiveConfig, PlayoutConfig, RtpConfig, SipConfig
from vocal.demo import call_path
from vocal.errors import InputError, UsageError
from vocal.replays.sip import replay_sip, target_of
from vocal.transports.files import open_call
from vocal.transports.sdp import parse_sdp
from vocal.transports.sip_message import Request, Response, digest_answer, parse_message
from vocal.types import CallEnded, CallStarted, Metadata, Utterance

pytestmark = pytest.mark.flaky(reruns=2)
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
METADATA = """<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>{mode}</datamode>
<participant participant_id="p1"><nameID aor="sip:{first}@pbx"/></participant>
<participant participant_id="p2"><nameID aor="sip:{second}@pstn"/></participant>
<stream stream_id="m1"><label>1</label></stream><stream stream_id="m2"><label>2</label></stream>
<participantstreamassoc participant_id="p1"><send>m1</send></participantstreamassoc>
<participantstreamassoc participant_id="p2"><send>m2</send></participantstreamassoc></recording>"""
LIVE = LiveConfig(most_busy=100.0, idle_s=3.0)
SIP = SipConfig(
    listen="127.0.0.1:0",
    internal=("73??",),
    informed_by="X-Notice",
    joined_by="X-Call",
    side_by="X-Side",
    most_call_s=4.0,
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(live=LIVE, sip=SIP) as one:
        yield one


def place(served: Served, kind: str = "UDP") -> tuple[str, int]:
    host, _, port = served.service.listening[f"SIP over {kind}"].rpartition(":")
    return host, int(port)


class Phone:
    """Speaks SIP over UDP, a message at a time."""

    all: ClassVar[list["Phone"]] = []

    def __init__(self, served: Served) -> None:
        Phone.all.append(self)
        self.call = f"call{len(Phone.all)}-{time.monotonic_ns()}"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(2.0)
        self.socket.connect(place(served))
        self.port = self.socket.getsockname()[1]
        self.to = ""
        self.cseq = 0

    def say(self, method: str, body: str = "", kind: str = "application/sdp", more: tuple[str, ...] = ()) -> None:
        self.cseq += method != "ACK"
        lines = [
            f"{method} sip:vocal@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{self.call}{method}{self.cseq}",
            f"From: <sip:0301234@127.0.0.1>;tag=t{self.port}",
            f"To: <sip:vocal@127.0.0.1>{self.to}",
            f"Call-ID: {self.call}",
            f"CSeq: {self.cseq} {method}",
            f"Contact: <sip:me@127.0.0.1:{self.port}>",
            *more,
        ]
        if body:
            lines.append(f"Content-Type: {kind}")
        data = body.encode()
        self.socket.send("\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data)

    def hear(self) -> Request | Response:
        return parse_message(self.socket.recv(65_536))

    def ask(self, method: str, *args: Any, **more: Any) -> Response:
        """Says it until it is answered, as over UDP one must."""
        self.say(method, *args, **more)
        for _ in range(40):
            try:
                heard = self.hear()
            except TimeoutError:
                self.cseq -= 1
                self.say(method, *args, **more)
                continue
            if isinstance(heard, Response) and heard.cseq == (self.cseq, method):
                break
        assert isinstance(heard, Response)
        if heard.status < 300 and method == "INVITE":
            self.to = re.findall(r";tag=\w+", heard.get("to"))[0]
            self.say("ACK")
        return heard

    def record(self, first: str = "7301", second: str = "0301234", more: tuple[str, ...] = ()) -> Response:
        return self.ask("INVITE", both(first, second), "multipart/mixed;boundary=b", more=("Require: siprec", *more))

    def tell(self, first: str, second: str) -> Response:
        """Who speaks now."""
        metadata = METADATA.format(mode="complete", first=first, second=second)
        return self.ask("UPDATE", metadata, "application/rs-metadata")


def both(first: str, second: str, mode: str = "complete", held: str = "") -> str:
    media = "".join(
        f"m=audio {port} RTP/AVP 8\r\na=label:{label}\r\na={'inactive' if held == label else 'sendonly'}\r\n"
        for port, label in ((40000, "1"), (40002, "2"))
    )
    sdp = SDP.partition("m=")[0] + media
    metadata = METADATA.format(mode=mode, first=first, second=second)
    return (
        f"--b\r\nContent-Type: application/sdp\r\n\r\n{sdp}\r\n--b\r\nContent-Type: application/rs-metadata\r\n"
        f"Content-Disposition: recording-session\r\n\r\n{metadata}\r\n--b--\r\n"
    )


def state(served: Served, answer: Response) -> Any:
    found = served.service.live.call(answer.get("vocal-call"))
    assert found is not None
    return found


def count(served: Served, what: str) -> float:
    text = urllib.request.urlopen(f"{served.url}/metrics").read().decode()
    found = re.search(rf'vocal_sip_total{{what="{what}"}} (\S+)', text)
    assert found is not None, what
    return float(found[1])


@pytest.fixture(autouse=True)
def put_down() -> Iterator[None]:
    yield
    for phone in Phone.all:
        phone.socket.close()
    Phone.all.clear()


# Real recorders


@pytest.mark.parametrize(
    ("file", "roles"),
    [
        ("cisco-siprec-offer", ["agent", "agent"]),
        ("sonus-siprec-offer", ["unknown", "unknown"]),
        ("connectel-offer", ["unknown", "unknown"]),
        ("connectel-offer2", ["unknown", "unknown"]),
    ],
)
def test_real_recorders_are_heard(served: Served, shared_data: Path, file: str, roles: list[str]) -> None:
    body = "\r\n".join((shared_data / "siprec" / f"{file}.txt").read_text().strip().splitlines())
    boundary = body.split("\r\n")[0][2:]
    phone = Phone(served)
    answer = phone.ask("INVITE", f"{body}\r\n", f"multipart/mixed;boundary={boundary}", more=("Require: siprec",))
    assert answer.status == 200
    said = body[body.index("v=0") :].partition("\r\n--")[0]
    offered, answered = parse_sdp(f"{said}\r\n".encode()), parse_sdp(answer.body)
    assert [one.label for one in answered.media] == [one.label for one in offered.media] == ["1", "2"]
    assert all(one.direction == "recvonly" for one in answered.media)
    assert [one.role for one in state(served, answer).call.channels] == roles
    for n in range(25):
        for line in answered.media:
            head = struct.pack("!BBHII", 0x80, line.codecs[0].payload, n, 160 * n, 7)
            phone.socket.sendto(head + bytes((n,)) * 160, ("127.0.0.1", line.port))
        time.sleep(0.02)
    served.wait_until(lambda: [one.received for one in state(served, answer).playouts if one] == [25, 25])
    assert phone.ask("BYE").status == 200


# Roles


def test_roles_come_from_patterns_alone(served: Served) -> None:
    for first, second, roles in (
        ("7301", "0301234", ["agent", "customer"]),
        ("0301234", "7301", ["agent", "customer"]),
        ("0301234", "0305678", ["unknown", "unknown"]),
        ("7301", "7302", ["agent", "agent"]),
    ):
        phone = Phone(served)
        answer = phone.record(first, second, ("X-Notice: yes",))
        assert answer.status == 200
        call = state(served, answer).call
        assert [one.role for one in call.channels] == roles
        assert call.metadata.notice
        assert phone.ask("BYE").status == 200


def test_a_transfer_to_a_colleague_takes_the_customers_stream_away(served: Served) -> None:
    """Whoever speaks on the customer's stream now is no customer: nothing of it is taken."""
    phone = Phone(served)
    phone.record()
    before = count(served, "away")
    assert (
        phone.ask(
            "UPDATE", METADATA.format(mode="complete", first="7301", second="7302"), "application/rs-metadata"
        ).status
        == 200
    )
    assert count(served, "away") == before + 1
    assert (
        phone.ask(
            "UPDATE", METADATA.format(mode="complete", first="7301", second="0301234"), "application/rs-metadata"
        ).status
        == 200
    )
    assert count(served, "away") == before + 1
    # A colleague takes over from the agent: nothing changes for the customer.
    assert (
        phone.ask(
            "UPDATE", METADATA.format(mode="complete", first="7399", second="0301234"), "application/rs-metadata"
        ).status
        == 200
    )
    assert count(served, "away") == before + 1
    phone.ask("BYE")


def test_notice_is_withdrawn_and_given_by_a_header(served: Served) -> None:
    phone = Phone(served)
    answer = phone.record()
    assert not state(served, answer).call.metadata.notice
    for value, given in (("yes", True), ("no", False)):
        assert phone.ask("UPDATE", more=(f"X-Notice: {value}",)).status == 200
        assert state(served, answer).call.metadata.notice is given
    phone.ask("BYE")


def test_two_legs_are_one_call(served: Served) -> None:
    first, second, third = Phone(served), Phone(served), Phone(served)
    one = first.ask("INVITE", SDP, more=(f"X-Call: {first.call}", "X-Side: internal"))
    other = second.ask("INVITE", SDP, more=(f"X-Call: {first.call}", "X-Side: external"))
    assert one.get("vocal-call") == other.get("vocal-call")
    assert [channel.role for channel in state(served, one).call.channels] == ["agent", "customer"]
    assert third.ask("INVITE", SDP, more=(f"X-Call: {first.call}", "X-Side: external")).status == 486
    assert third.ask("INVITE", SDP, more=(f"X-Call: {third.call}",)).status == 488
    assert first.ask("BYE").status == 200
    assert state(served, one).state != "ending"
    assert second.ask("BYE").status == 200
    served.wait_until(lambda: served.service.live.call(one.get("vocal-call")) is None)


def test_holds_do_not_end_a_call_and_silence_does(served: Served) -> None:
    held, silent = Phone(served), Phone(served)
    answer = held.record()
    assert (
        held.ask("INVITE", SDP.partition("m=")[0] + "m=audio 40000 RTP/AVP 8\r\na=label:1\r\na=inactive\r\n").status
        == 200
    )
    other = silent.ask("INVITE", SDP)
    served.wait_until(lambda: served.service.live.call(other.get("vocal-call")) is None, 8.0)
    heard = silent.hear()
    assert isinstance(heard, Request)
    assert (heard.method, "media timeout" in heard.get("reason")) == ("BYE", True)
    assert served.service.live.call(answer.get("vocal-call")) is not None
    # But no call is longer than the longest.
    served.wait_until(lambda: served.service.live.call(answer.get("vocal-call")) is None, 8.0)


def test_the_api_ends_a_call_and_the_peer_hears_of_it(served: Served) -> None:
    phone = Phone(served)
    call = phone.ask("INVITE", SDP).get("vocal-call")
    served.client().request("POST", f"/v1/calls/{call}/end", {"reason": "enough"})
    heard = phone.hear()
    assert isinstance(heard, Request)
    assert (heard.method, heard.get("reason")) == ("BYE", 'SIP;cause=200;text="enough"')
    assert served.service.hub.events_of(call)[-1].reason == "enough"
    assert isinstance(served.service.hub.events_of(call)[-1], CallEnded)


def test_an_invite_without_an_offer_gets_ours(served: Served) -> None:
    phone = Phone(served)
    answer = phone.ask("INVITE")
    assert answer.status == 200
    assert b"a=rtpmap:8 PCMA/8000" in answer.body
    assert b"a=recvonly" in answer.body
    # The ACK has no answer: the call cannot go on.
    heard = phone.hear()
    assert isinstance(heard, Request)
    assert heard.method == "BYE"


# Refusals


@pytest.mark.parametrize(
    ("body", "kind", "more", "status"),
    [
        ("hello", "text/plain", (), 415),
        (SDP, "application/sdp", ("Content-Encoding: gzip",), 415),
        (SDP.replace("RTP/AVP 8", "RTP/AVP 3"), "application/sdp", (), 488),
        (SDP.replace("m=audio 40000", "m=audio 0"), "application/sdp", (), 488),
        (SDP.replace("RTP/AVP 8", "UDP/TLS/RTP/SAVP 8"), "application/sdp", (), 488),
        ("v=1", "application/sdp", (), 400),
        ("no parts", "multipart/mixed;boundary=b", (), 400),
        (SDP, "application/sdp", ("Require: replaces",), 420),
        (SDP, "application/sdp", ("Session-Expires: 20",), 422),
        (both("7301", "0").replace("</recording>", ""), "multipart/mixed;boundary=b", (), 400),
        ("", "application/sdp", ("Require: siprec",), 488),
    ],
)
def test_refusals_say_why(served: Served, body: str, kind: str, more: tuple[str, ...], status: int) -> None:
    calls = served.service.live.stats().calls
    assert Phone(served).ask("INVITE", body, kind, more=more).status == status
    assert served.service.live.stats().calls == calls


def test_a_machine_that_is_full_says_when_to_come_again() -> None:
    with serving(live=LiveConfig(most_calls=1), sip=SIP) as one:
        phones = [Phone(one), Phone(one)]
        answers = [phone.ask("INVITE", SDP) for phone in phones]
        assert [answer.status for answer in answers] == [200, 503]
        assert int(answers[1].get("retry-after")) >= 1


def test_without_ports_nothing_is_left_behind() -> None:
    """Of two voices one got a port: it is given back, and the next call has it."""
    with serving(live=LIVE, sip=SIP, rtp=RtpConfig(first_port=41_000, last_port=41_001)) as one:
        for _ in range(3):
            answer = Phone(one).record()
            assert answer.status == 503
            assert int(answer.get("retry-after")) >= 1
        one.wait_until(lambda: one.service.live.stats().calls == 0)
        assert Phone(one).ask("INVITE", SDP).status == 200


def test_addresses_that_media_cannot_come_from(served: Served) -> None:
    phone = Phone(served)
    assert phone.ask("INVITE", SDP.replace("IP4 127.0.0.1\r\nt=", "IP4 somewhere.invalid\r\nt=")).status == 200
    assert phone.ask("INVITE", SDP.replace("IN IP4 127.0.0.1\r\nt=", "IN IP6 2001:db8::1\r\nt=")).status in (200, 488)
    assert phone.ask("INVITE", SDP).status == 200
    assert phone.ask("BYE").status == 200


def test_who_calls_must_know_a_password() -> None:
    sip = msgspec.structs.replace(SIP, passwords={"sbc": "tell nobody"})
    with serving(live=LIVE, sip=sip) as one:
        phone = Phone(one)
        asked = phone.ask("INVITE", SDP)
        assert asked.status == 401
        challenges = asked.all("www-authenticate")
        assert [re.findall(r"algorithm=([\w-]+)", line)[0] for line in challenges] == ["SHA-256", "MD5"]
        for index in (0, 1):
            phone = Phone(one)
            proof = digest_answer(challenges[index:], "sbc", "tell nobody", "INVITE", "sip:vocal@127.0.0.1")
            assert phone.ask("INVITE", SDP, more=(f"Authorization: {proof}",)).status == 200
            # Heard on the way and said again: the count was used.
            assert Phone(one).ask("INVITE", SDP, more=(f"Authorization: {proof}",)).status == 401
            challenges = Phone(one).ask("INVITE", SDP).all("www-authenticate")
        wrong = digest_answer(challenges, "sbc", "tell everybody", "INVITE", "sip:vocal@127.0.0.1")
        assert Phone(one).ask("INVITE", SDP, more=(f"Authorization: {wrong}",)).status == 401
        assert count(one, "failed_logins") >= 1


# Recordings as calls


@pytest.mark.parametrize("to", ["siprec:{};transport=tcp", "sip:{}"])
def test_a_recording_is_played_to_the_server(to: str, tmp_path: Path) -> None:
    """Both of its sides, with their roles and the notice; what arrives has the measures of the recording."""
    with open_call(call_path()) as source:
        source.read(6 * 8000)
        pcm = source.read(10 * 8000)
    path = tmp_path / "call.wav"
    soundfile.write(path, pcm, 8000, subtype="ALAW")
    expected = [one for one in analyze(path, notice=True).events if isinstance(one, Utterance)]
    patient = PlayoutConfig(lag_ms=400.0, most_lag_ms=1000.0)
    with serving(playout=patient, live=LiveConfig(most_busy=100.0), sip=SipConfig(listen="127.0.0.1:0")) as one:
        host, port = place(one)
        with open_call(path) as source:
            call, lost = replay_sip(source, to.format(f"{host}:{port}"), Metadata(notice=True, agent="7301"))
        hub = one.service.hub
        one.wait_until(lambda: any(isinstance(event, CallEnded) for event in hub.events_of(call)))
        events = hub.events_of(call)
    assert lost == 0
    started = next(event for event in events if isinstance(event, CallStarted))
    assert [channel.role for channel in started.channels] == ["agent", "customer"]
    assert started.metadata.notice
    found = [event for event in events if isinstance(event, Utterance)]
    assert [one.role for one in found] == [one.role for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.level_dbov == pytest.approx(other.level_dbov, abs=0.3)
        assert one.end_s - one.start_s == pytest.approx(other.end_s - other.start_s, abs=0.1)


def test_a_replay_that_is_refused_says_why() -> None:
    sip = SipConfig(listen="127.0.0.1:0", passwords={"sbc": "tell nobody"})
    with serving(live=LIVE, sip=sip) as one:
        host, port = place(one)
        for login, status in (("", "401"), ("sbc:wrong@", "401")):
            with open_call(call_path()) as source, pytest.raises(InputError, match=status):
                replay_sip(source, f"siprec:{login}{host}:{port}")
    for bad in ("sip:", "sip:h:x", "sip:h;transport=sctp"):
        with pytest.raises(UsageError):
            target_of(bad)


# Strangers, floods and broken ones


def test_strangers_are_told_a_little_and_get_nothing() -> None:
    sip = msgspec.structs.replace(SIP, networks=("192.0.2.0/24",))
    with serving(live=LIVE, sip=sip) as one:
        phone = Phone(one)
        assert phone.ask("INVITE", SDP).status == 403
        for _ in range(2000):
            phone.say("INVITE", SDP)
        one.wait_until(lambda: count(one, "strangers") >= 500)
        assert one.service.live.stats().calls == 0
        assert count(one, "sent") < 20
        with socket.create_connection(place(one, "TCP"), 5.0) as stream:
            stream.settimeout(5.0)
            assert _is_cut(stream)


def _is_cut(stream: socket.socket) -> bool:
    try:
        return stream.recv(1000) == b""
    except ConnectionError:
        return True


def test_streams_that_are_no_sip_are_cut(served: Served) -> None:
    head = b"INVITE sip:v@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:v@h>\r\n"
    head += b"Call-ID: huge\r\nCSeq: 1 INVITE\r\n"
    with socket.create_connection(place(served, "TCP"), 5.0) as stream:
        stream.sendall(head + b"Content-Length: 104857600\r\n\r\n")
        assert stream.recv(1000).startswith(b"SIP/2.0 413 ")
        assert _is_cut(stream)
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"x" * 100_000, head + b"\r\n"):
        with socket.create_connection(place(served, "TCP"), 5.0) as stream:
            stream.settimeout(5.0)
            stream.sendall(data)
            assert _is_cut(stream)


def test_slow_and_silent_connections_hold_nobody_up(served: Served) -> None:
    streams = [socket.create_connection(place(served, "TCP"), 5.0) for _ in range(50)]
    for stream in streams:
        stream.sendall(b"INVITE sip:v@h SIP/2.0\r\nVia:")
    with socket.create_connection(place(served, "TCP"), 5.0) as stream:
        stream.sendall(b"\r\n\r\n")
        assert stream.recv(10) == b"\r\n"
        text = b"OPTIONS sip:v@h SIP/2.0\r\nv: SIP/2.0/TCP h;branch=z9hG4bKo\r\nf: <sip:a@b>;tag=1\r\nt: <sip:v@h>\r\n"
        text += b"i: o\r\nCSeq: 1 OPTIONS\r\nl: 0\r\n\r\n"
        for byte in text:
            stream.send(bytes([byte]))
        assert stream.recv(2000).startswith(b"SIP/2.0 200 OK")
    for stream in streams[:5]:
        stream.settimeout(20.0)
        assert _is_cut(stream)
    for stream in streams:
        stream.close()


def test_broken_datagrams_are_counted_and_others_go_on(served: Served) -> None:
    before = count(served, "malformed")
    phone = Phone(served)
    for data in (
        b"\0" * 2000,
        b"SIP/2.0 200 OK\r\n\r\n",
        b"INVITE\r\n\r\n" * 10,
        b"INVITE sip:a@b SIP/2.0\r\n\r\n",
        b"\xff" * 60_000,
    ):
        phone.socket.send(data)
    assert phone.ask("OPTIONS").status == 200
    assert count(served, "malformed") >= before + 4


@pytest.mark.parametrize("calls", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_many_calls_torn_down_at_once(calls: int) -> None:
    """Whoever hangs up on all calls in one go gets as many answers, and nothing is left of them."""
    sip = msgspec.structs.replace(SIP, most_call_s=600.0)
    with serving(live=LiveConfig(most_calls=calls, most_busy=100.0, idle_s=600.0), sip=sip) as one:
        phones = [Phone(one) for _ in range(calls)]
        with ThreadPoolExecutor(20) as threads:
            begun = list(threads.map(lambda phone: phone.ask("INVITE", SDP), phones))
            ended = list(threads.map(lambda phone: phone.ask("BYE"), phones))
        assert {answer.status for answer in begun + ended} == {200}
        one.wait_until(lambda: one.service.live.stats().calls == 0, 60.0)
        assert count(one, "calls") == calls
