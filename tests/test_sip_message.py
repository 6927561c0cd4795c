"""SIP on the wire: what may be written in many ways, where a stream is cut, bodies in parts, passwords."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.transports.sip_message import (
    MOST_BODY,
    MOST_HEAD,
    Digest,
    Framer,
    Request,
    Response,
    TooLarge,
    digest_answer,
    digest_response,
    fault_of,
    parse_address,
    parse_message,
    parse_uri,
    parse_via,
    parts_of,
)

ODD = (
    b"\r\nINVITE sip:vocal@[2001:db8::1]:5060;transport=tcp SIP/2.0\r\n"
    b"v:SIP / 2.0 / TCP  10.0.0.1:5060 ;branch=z9hG4bK1 , SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK2;rport\r\n"
    b'f: "Quoted, \\"Joe\\" <x>" <sip:joe@h;user=phone>;tag=a;x="y"\r\n'
    b"TO :\r\n sip:vocal@h\r\n"
    b"i: 1\r\nCSEQ: 00007   INVITE\r\nMax-forwards: 70\r\n"
    b"k: timer\r\nSupported: a , siprec\r\nX-Umlaut: M\xc3\xbcller\r\nX-Raw: \xff\r\nl: 3\r\n\r\nabcd"
)


def test_what_may_be_written_in_many_ways() -> None:
    found = parse_message(ODD[2:])
    assert isinstance(found, Request)
    assert fault_of(found) is None
    assert (found.method, found.cseq, found.body) == ("INVITE", (7, "INVITE"), b"abc")
    assert found.all("supported") == ["timer", "a", "siprec"]
    vias = [parse_via(value) for value in found.all("via")]
    assert [(via.host, via.port, via.parameters["branch"]) for via in vias] == [
        ("10.0.0.1", 5060, "z9hG4bK1"),
        ("2001:db8::9", None, "z9hG4bK2"),
    ]
    said = parse_address(found.get("from"))
    assert (said.name, said.uri, said.parameters) == (
        'Quoted, \\"Joe\\" <x>',
        "sip:joe@h;user=phone",
        {"tag": "a", "x": "y"},
    )
    assert parse_address(found.get("to")).uri == "sip:vocal@h"
    uri = parse_uri(found.uri)
    assert (uri.user, uri.host, uri.port, uri.parameters) == ("vocal", "2001:db8::1", 5060, {"transport": "tcp"})
    again = parse_message(found.serialize())
    assert again == found
    assert b"\xff" in found.serialize()


@pytest.mark.parametrize(
    "line",
    [
        b"Max-Forwards: 300",
        b"Session-Expires: soon",
        b"CSeq: 7 BYE",
        b"CSeq: 99999999999 INVITE",
        b"Via: nonsense",
        b"Contact: <sip:a b>",
        b"Record-Route: <tel:%>, <sip:h:port>",
    ],
)
def test_requests_that_cannot_be_answered_as_they_want(line: bytes) -> None:
    name = line.partition(b":")[0]
    short = {b"Max-Forwards": b"Max-forwards", b"CSeq": b"CSEQ", b"Via": b"v"}.get(name, name)
    kept = [one for one in ODD[2:].replace(b"\r\n ", b" ").split(b"\r\n") if not one.startswith(short + b":")]
    request = parse_message(b"\r\n".join([kept[0], line, *kept[1:]]))
    assert isinstance(request, Request)
    assert fault_of(request)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"INVITE sip:a@b SIP/3.0\r\n\r\n",
        b"SIP/2.0 999 x\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nno colon\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 9\r\n\r\nabc",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\nabc",
        b"INVITE sip:a@b SIP/2.0\r\nX: \0\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nVia: " + b"a," * 5000 + b"\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nX: " + b"y" * MOST_HEAD + b"\r\n\r\n",
    ],
)
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_message(data)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_streams_may_be_cut_anywhere(seed: int) -> None:
    chance = random.Random(seed)
    messages = [
        Request([("call-id", str(number))], chance.randbytes(chance.randrange(50)), "INFO", "sip:a@b").serialize()
        for number in range(5)
    ]
    stream = b"".join(chance.choice([b"", b"\r\n", b"\r\n\r\n"]) + one for one in messages) + b"\r\n\r\n"
    whole, cut = Framer(), Framer()
    assert whole.push(stream) == messages
    found = []
    at = 0
    while at < len(stream):
        step = chance.randrange(1, 40)
        found += cut.push(stream[at : at + step])
        at += step
    assert found == messages
    assert cut.pings == whole.pings
    assert not cut.is_amid


def test_streams_are_bounded() -> None:
    head = b"INFO sip:a@b SIP/2.0\r\nContent-Length: %d\r\n\r\n" % (MOST_BODY + 1)
    with pytest.raises(TooLarge) as caught:
        Framer().push(head)
    assert caught.value.head.startswith(b"INFO")
    with pytest.raises(TooLarge):
        Framer().push(b"x" * (MOST_HEAD + 1))
    with pytest.raises(ValueError):
        Framer().push(b"INFO sip:a@b SIP/2.0\r\n\r\n")


def test_bodies_in_parts() -> None:
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\nContent-Type: application/gtd\r\n"
    body += b"Content-Disposition: signal; handling=OPTIONAL\r\n\r\nIAM,\r\n--b--\r\n"
    message = Response([("content-type", 'multipart/mixed; boundary="b"')], body, 200, "OK")
    assert [(part.kind, part.is_required) for part in parts_of(message)] == [
        ("application/sdp", True),
        ("application/gtd", False),
    ]
    for bad in (b"nothing", b"--b\r\n\r\nx\r\n" * 20 + b"--b--"):
        with pytest.raises(ValueError):
            parts_of(Response([("content-type", "multipart/mixed;boundary=b")], bad, 200, "OK"))


def test_digest_as_the_standard_has_it() -> None:
    """RFC 7616, 3.9.1."""
    fields = {
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    for algorithm, wanted in (
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ):
        given = {**fields, "algorithm": algorithm}
        assert digest_response(given, "Mufasa", "Circle of Life", "GET") == wanted


def test_nonces_are_ours_young_and_used_once() -> None:
    digest = Digest("vocal", {"sbc": "secret"})
    challenges = [value for _, value in digest.challenges(1000.0)]

    def ask(proof: str | None, now_s: float) -> tuple[str | None, bool]:
        return digest.check(Request([("authorization", proof or "")], b"", "INVITE", "sip:v@h"), now_s)

    proof = digest_answer(challenges, "sbc", "secret", "INVITE", "sip:v@h")
    assert ask(proof, 1001.0) == ("sbc", False)
    assert ask(proof, 1002.0) == (None, True)
    assert ask(digest_answer(challenges[1:], "sbc", "secret", "INVITE", "sip:v@h"), 2000.0) == (None, True)
    forged = [value.replace('nonce="', 'nonce="f') for value in challenges]
    assert ask(digest_answer(forged, "sbc", "secret", "INVITE", "sip:v@h"), 1001.0) == (None, True)
    for user, password, method in (
        ("sbc", "wrong", "INVITE"),
        ("nobody", "secret", "INVITE"),
        ("sbc", "secret", "BYE"),
    ):
        fresh = [value for _, value in digest.challenges(1000.0)]
        assert ask(digest_answer(fresh, user, password, method, "sip:v@h"), 1001.0) == (None, False)
