"""Transactions and dialogs, with time and the wire in the test's hands."""

import random
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.transports.sip import GIVE_UP_S, Acked, Answered, Asked, Cancelled, Dialog, Ended, Endpoint, Flow
from vocal.transports.sip_message import Request, Response, parse_message

UDP = Flow("udp", ("192.0.2.9", 5070), ("192.0.2.1", 5060))
TCP = UDP._replace(transport="tcp", connection=1)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
CONTACT = "<sip:vocal@192.0.2.1:5060>"


def text(method: str = "INVITE", cseq: int = 1, to: str = "", branch: str = "b1", more: Sequence[str] = ()) -> bytes:
    lines = [
        f"{method} sip:vocal@192.0.2.1 SIP/2.0",
        f"Via: SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bK{branch};rport",
        "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKfirst",
        "Record-Route: <sip:10.0.0.1:5080;lr>, <sip:10.0.0.2;lr>",
        "Max-Forwards: 70",
        "From: <sip:alice@10.0.0.2>;tag=a1",
        f"To: <sip:vocal@192.0.2.1>{to}",
        "Call-ID: c1",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:alice@192.0.2.9:5070>",
        *more,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


class Peer:
    """Speaks with an endpoint, and keeps what was said."""

    def __init__(self, flow: Flow = UDP) -> None:
        self.endpoint = Endpoint()
        self.flow = flow
        self.now_s = 100.0
        self.sent: list[tuple[Flow, Request | Response]] = []
        self.events: list[object] = []

    def say(self, data: bytes) -> None:
        self.endpoint.receive(data, self.flow, self.now_s)
        self.take()

    def take(self) -> None:
        out, events = self.endpoint.take()
        self.sent += [(flow, parse_message(data)) for flow, data in out]
        self.events += events

    def wait(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.endpoint.due_s <= until_s:
            self.now_s = max(self.now_s, self.endpoint.due_s)
            self.endpoint.tick(self.now_s)
            self.take()
        self.now_s = until_s

    def respond(self, status: int = 200, **more: object) -> Dialog | None:
        asked = next(one for one in reversed(self.events) if isinstance(one, Asked))
        dialog = self.endpoint.respond(asked.transaction, status, self.now_s, contact=CONTACT, **more)  # type: ignore[arg-type]
        self.take()
        return dialog

    @property
    def last(self) -> Request | Response:
        return self.sent[-1][1]

    @property
    def statuses(self) -> list[int]:
        return [one.status for _, one in self.sent if isinstance(one, Response)]


def called(flow: Flow = UDP, more: Sequence[str] = (), acked: bool = True) -> tuple[Peer, Dialog, str]:
    """A call that stands, and what its To says."""
    peer = Peer(flow)
    peer.say(text(more=more))
    dialog = peer.respond(body=SDP)
    assert dialog is not None
    tag = re.search(r";tag=(\w+)", peer.last.get("to"))
    assert tag is not None
    if acked:
        peer.say(text("ACK", to=tag[0], branch="ack"))
    return peer, dialog, tag[0]


def test_the_answer_copies_what_routes_need() -> None:
    peer, _, tag = called()
    answer = next(one for _, one in peer.sent if isinstance(one, Response))
    assert answer.all("via") == [
        "SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bKb1;received=192.0.2.9;rport=5070",
        "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKfirst",
    ]
    assert answer.all("record-route") == ["<sip:10.0.0.1:5080;lr>", "<sip:10.0.0.2;lr>"]
    assert answer.get("to").endswith(tag)
    assert (answer.get("contact"), answer.get("call-id"), answer.get("cseq")) == (CONTACT, "c1", "1 INVITE")
    assert answer.body == SDP
    assert peer.sent[0][0].peer == ("192.0.2.9", 5070)
    assert [type(one) for one in peer.events] == [Asked, Acked]


def test_without_rport_the_answer_goes_to_the_port_that_via_names() -> None:
    peer = Peer()
    peer.say(text("OPTIONS").replace(b";rport", b""))
    assert peer.sent[0][0].peer == ("192.0.2.9", 5080)
    assert "received=192.0.2.9" in peer.last.all("via")[0]


def test_copies_of_an_invite_get_the_same_answer_and_are_told_once() -> None:
    peer, _, _ = called(acked=False)
    first = peer.last
    peer.say(text())
    peer.say(text())
    assert [type(one) for one in peer.events] == [Asked]
    assert peer.statuses == [200, 200, 200]
    assert peer.last.serialize() == first.serialize()


def test_a_200_is_repeated_until_its_ack() -> None:
    peer, _, tag = called(acked=False)
    peer.wait(4.0)
    assert peer.statuses == [200] * 4  # after 0.5, 1.5, 3.5 s
    peer.say(text("ACK", to=tag, branch="ack"))
    peer.wait(40.0)
    assert peer.statuses == [200] * 4


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_a_200_without_ack_ends_in_a_bye(flow: Flow) -> None:
    peer, dialog, _ = called(flow, acked=False)
    peer.wait(GIVE_UP_S + 1.0)
    bye = next(one for _, one in peer.sent if isinstance(one, Request))
    assert (bye.method, bye.uri) == ("BYE", "sip:alice@192.0.2.9:5070")
    assert Ended(dialog, "no ack") in peer.events
    assert dialog.state == "ended"
    assert not peer.endpoint.dialogs


def test_no_is_repeated_over_udp_until_its_ack_and_not_over_tcp() -> None:
    for flow, expected in ((UDP, 3), (TCP, 1)):
        peer = Peer(flow)
        peer.say(text())
        peer.respond(488)
        peer.wait(2.0)
        assert peer.statuses == [488] * expected
        peer.say(text("ACK", to=";tag=x"))
        peer.wait(60.0)
        assert peer.statuses == [488] * expected
        assert not peer.endpoint._servers


def test_a_cancelled_call_is_terminated() -> None:
    peer = Peer()
    peer.say(text())
    peer.respond(180)
    peer.say(text("CANCEL"))
    assert peer.statuses == [180, 200, 487]
    assert isinstance(peer.events[-1], Cancelled)
    peer.say(text("ACK", to=";tag=x"))
    assert peer.respond(200) is None  # too late
    assert not peer.endpoint.dialogs


def test_a_cancel_after_the_answer_changes_nothing_and_one_for_nothing_is_481() -> None:
    peer, dialog, _ = called()
    peer.say(text("CANCEL"))
    assert peer.statuses[-1] == 200
    assert dialog.state == "confirmed"
    peer.say(text("CANCEL", branch="unknown"))
    assert peer.statuses[-1] == 481


def test_bye_from_either_side() -> None:
    peer, dialog, tag = called()
    peer.say(text("BYE", 2, tag, "bye"))
    peer.say(text("BYE", 2, tag, "bye"))  # a copy
    assert peer.statuses[-2:] == [200, 200]
    assert [one for one in peer.events if isinstance(one, Ended)] == [Ended(dialog, "bye")]
    peer.say(text("BYE", 3, tag, "again"))
    assert peer.statuses[-1] == 481

    peer, dialog, tag = called()
    peer.endpoint.hang_up(dialog, "hangup", peer.now_s)
    peer.take()
    bye = peer.last
    assert isinstance(bye, Request)
    assert (bye.method, bye.uri) == ("BYE", "sip:alice@192.0.2.9:5070")
    assert bye.all("route") == ["<sip:10.0.0.1:5080;lr>", "<sip:10.0.0.2;lr>"]
    assert (bye.get("from"), bye.get("to")) == (f"<sip:vocal@192.0.2.1>{tag}", "<sip:alice@10.0.0.2>;tag=a1")
    assert peer.sent[-1][0].peer == ("10.0.0.1", 5080)
    peer.wait(3.0)
    assert sum(isinstance(one, Request) for _, one in peer.sent) == 3  # repeated: nobody answers
    answer = Response([(n, v) for n, v in bye.headers if n in ("via", "from", "to", "call-id", "cseq")], b"", 200, "OK")
    peer.say(answer.serialize())
    peer.wait(60.0)
    assert sum(isinstance(one, Request) for _, one in peer.sent) == 3
    assert not peer.endpoint._clients


def test_what_is_not_taken_says_what_is() -> None:
    peer = Peer()
    peer.say(text("REGISTER"))
    assert (peer.last.status, "INVITE" in peer.last.get("allow")) == (405, True)  # type: ignore[union-attr]
    peer.say(text(branch="b2", more=["Require: siprec, 100rel"]))
    assert (peer.last.status, peer.last.get("unsupported")) == (420, "100rel")  # type: ignore[union-attr]
    peer.say(text(branch="b3", cseq=2, more=["Session-Expires: 30", "Supported: timer"]))
    assert (peer.last.status, peer.last.get("min-se")) == (422, "90")  # type: ignore[union-attr]
    peer.say(text("BYE", 4, ";tag=nobody", "b4"))
    assert peer.statuses[-1] == 481
    peer.say(text("OPTIONS", 5, branch="b5"))
    assert (peer.statuses[-1], "application/sdp" in peer.last.get("accept")) == (200, True)
    peer.say(text(cseq=6, branch="b6"))
    peer.say(text(cseq=6, branch="b7"))  # the same by another way
    assert peer.statuses[-1] == 482


def test_order_in_a_dialog() -> None:
    peer, _, tag = called()
    peer.say(text("INVITE", 5, tag, "r1"))
    peer.say(text("UPDATE", 6, tag, "r2"))  # while the first is not answered
    assert (peer.statuses[-1], peer.last.get("retry-after")) == (500, "5")
    peer.say(text("INFO", 4, tag, "r3"))
    assert peer.statuses[-1] == 500
    peer.respond(200, body=SDP)
    assert peer.statuses[-1] == 200


def test_a_session_that_nobody_refreshes_ends() -> None:
    peer, dialog, tag = called(more=["Session-Expires: 120;refresher=uac", "Supported: timer"])
    answer = next(one for _, one in peer.sent if isinstance(one, Response))
    assert (answer.get("session-expires"), answer.get("require")) == ("120;refresher=uac", "timer")
    peer.wait(60.0)
    peer.say(text("UPDATE", 2, tag, "u1", ["Session-Expires: 120;refresher=uac", "Supported: timer"]))
    peer.respond(200)
    peer.wait(80.0)
    assert dialog.state == "confirmed"
    peer.wait(10.0)
    assert Ended(dialog, "not refreshed") in peer.events
    assert isinstance(peer.last, Request)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_we_refresh_where_the_peer_wants_it(method: str) -> None:
    more = ["Session-Expires: 120;refresher=uas", "Supported: timer", f"Allow: INVITE, ACK, BYE, {method}"]
    peer, dialog, tag = called(more=more)
    peer.wait(61.0)
    asked = next(one for _, one in peer.sent if isinstance(one, Request))
    assert (asked.method, asked.get("session-expires")) == (method, "120;refresher=uac")
    assert asked.body == (SDP if method == "INVITE" else b"")
    kept = [(n, v) for n, v in asked.headers if n in ("via", "from", "to", "call-id", "cseq", "session-expires")]
    peer.say(text("INVITE", 2, tag, "glare"))
    assert peer.statuses[-1] == 491
    peer.say(Response([*kept, ("contact", "<sip:alice@192.0.2.9:5071>")], b"", 200, "OK").serialize())
    assert any(isinstance(one, Answered) and one.method == method for one in peer.events)
    assert dialog.target == "sip:alice@192.0.2.9:5071"
    peer.wait(55.0)
    assert dialog.state == "confirmed"
    peer.wait(130.0)
    assert dialog.state == "ended"


def test_two_endpoints_call_each_other() -> None:
    """Our caller against our called: INVITE, its loss, 200, ACK, a re-INVITE, BYE."""
    caller, callee = Endpoint(), Endpoint()
    there = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.9", 5070))
    dialog = caller.invite(there, "sip:vocal@192.0.2.1", "<sip:a@192.0.2.9>", 0.0, "<sip:a@192.0.2.9:5070>", SDP)
    lost = {0}
    heard: list[object] = []
    asked_for = 0
    now_s = 0.0
    number = 0
    for _ in range(200):
        out, events = caller.take()
        heard += events
        for _, data in out:
            if number not in lost:
                callee.receive(data, UDP, now_s)
            number += 1
        out, events = callee.take()
        for event in events:
            heard.append(event)
            if isinstance(event, Asked):
                asked_for += 1
                callee.respond(event.transaction, 200, now_s, body=SDP, contact=CONTACT)
        more, _ = callee.take()
        for _, data in out + more:
            caller.receive(data, there, now_s)
        if any(isinstance(one, Answered) for one in heard) and asked_for == 1:
            caller.request(dialog, "INVITE", now_s, body=SDP, kind="application/sdp")
        if asked_for == 2 and now_s > 5.0:
            caller.hang_up(dialog, "done", now_s)
        now_s += 0.25
        caller.tick(now_s)
        callee.tick(now_s)
    assert asked_for == 2
    assert sum(isinstance(one, Acked) for one in heard) == 2
    assert [one.reason for one in heard if isinstance(one, Ended)] == ["done", "bye"]
    assert not caller.dialogs
    assert not callee.dialogs


def test_bounds() -> None:
    peer = Peer()
    peer.endpoint = Endpoint(most=10)
    for number in range(30):
        peer.say(text("OPTIONS", branch=f"n{number}"))
    assert peer.statuses == [200] * 10 + [503] * 20
    assert peer.endpoint.counts["overflow"] == 20
    peer.wait(60.0)
    assert not peer.endpoint._servers
    assert peer.endpoint.due_s == float("inf")


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_mutated_requests_never_break_it(seed: int) -> None:
    chance = random.Random(seed)
    peer = Peer(chance.choice([UDP, TCP]))
    for number in range(6):
        method = chance.choice(["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "FOO"])
        data = bytearray(text(method, number, chance.choice(["", ";tag=x"]), chance.choice("abc")))
        for _ in range(chance.randrange(8)):
            where = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[where] = chance.randrange(256)
            elif kind == 1:
                del data[where : where + chance.randrange(1, 30)]
            elif kind == 2:
                data[where:where] = data[chance.randrange(len(data)) :][: chance.randrange(60)]
            else:
                data[where:where] = chance.choice(
                    [b"\r\n", b"\0", b";", b'"', b"<", b",", b"\xff", b"%s", b"99999999999"]
                )
        peer.endpoint.receive(bytes(data), peer.flow, peer.now_s)
        out, events = peer.endpoint.take()
        for event in events:
            if isinstance(event, Asked):
                peer.endpoint.respond(event.transaction, chance.choice([180, 200, 488]), peer.now_s, contact=CONTACT)
        for _, sent in out:
            parse_message(sent)
        peer.wait(chance.random() * 3.0)
    for server in list(peer.endpoint._servers.values()):
        peer.endpoint.respond(server, 480, peer.now_s)
    peer.wait(300.0)
    assert not peer.endpoint._servers
    assert not peer.endpoint.dialogs
