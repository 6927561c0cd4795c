"""Offers of telephones and recorders, and what we answer."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.errors import MediaError
from vocal.transports.sdp import Coding, Origin, answer_media, choose, offer_media, parse_sdp

ALL: tuple[Coding, ...] = ("pcma", "pcmu", "g722", "l16", "opus", "g729")
KEY = "A" * 40
OFFER = f"""v=0
o=- 20 1 IN IP4 192.0.2.9
s=-
c=IN IP4 192.0.2.9
t=0 0
m=audio 4000 RTP/AVP 96 3 9 8 101 13
a=rtpmap:96 opus/48000/2
a=rtpmap:3 GSM/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:30
a=label:a_leg
a=sendonly
a=rtcp-mux
m=video 4004 RTP/AVP 99
a=rtpmap:99 H264/90000
m=audio 4006 RTP/SAVP 8
c=IN IP4 192.0.2.10
a=crypto:1 F8_128_HMAC_SHA1_80 inline:{KEY}
a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31
a=inactive
m=audio 0 RTP/AVP 0
m=audio 4008 UDP/TLS/RTP/SAVP 0
""".replace("\n", "\r\n").encode()


def test_every_line_is_answered_in_order() -> None:
    media = parse_sdp(OFFER).media
    chosen = [choose(one, ALL) for one in media]
    answer = Origin("192.0.2.1").sdp(
        "".join(answer_media(one, its, 6000) for one, its in zip(media, chosen, strict=True))
    )
    lines = answer.decode().split("\r\n")
    assert [line for line in lines if line.startswith("m=")] == [
        "m=audio 6000 RTP/AVP 96",  # telephone-event has another clock
        "m=video 0 RTP/AVP 99",
        "m=audio 6000 RTP/SAVP 8",
        "m=audio 0 RTP/AVP 0",
        "m=audio 0 UDP/TLS/RTP/SAVP 0",
    ]
    first = answer.decode().split("m=")[1]
    for wanted in ("a=rtpmap:96 opus/48000/2", "a=ptime:30", "a=recvonly", "a=rtcp-mux", "a=label:a_leg"):
        assert wanted in first
    secure = answer.decode().split("m=")[3]
    assert "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:" in secure
    assert KEY not in secure  # our own
    assert "a=inactive" in secure
    assert parse_sdp(answer).media[2].crypto[0].suite == "AES_CM_128_HMAC_SHA1_32"


def test_the_offerers_first_codec_that_we_take_with_keys_and_comfort_noise() -> None:
    media = parse_sdp(OFFER).media[0]
    chosen = choose(media, ("pcma", "g722"))
    assert chosen is not None
    assert [(one.payload, one.coding) for one in chosen.codecs] == [(9, "g722"), (101, "telephone-event"), (13, "cn")]
    assert "a=fmtp:101 0-15" in answer_media(media, chosen, 6000)
    assert choose(media, ("l16",)) is None


def test_hold_and_addresses() -> None:
    held = parse_sdp(OFFER.replace(b"c=IN IP4 192.0.2.9", b"c=IN IP4 0.0.0.0")).media[0]
    assert (held.is_held, held.remote) == (True, None)
    first, _, third, gone, _ = parse_sdp(OFFER).media
    assert (first.is_held, first.remote) == (False, ("192.0.2.9", 4000))
    assert (third.is_held, third.remote) == (True, ("192.0.2.10", 4006))
    assert choose(gone, ALL) is None
    six = parse_sdp(b"v=0\r\nc=IN IP6 2001:db8::1\r\nm=audio 4000 RTP/AVP 8\r\n").media[0]
    assert six.remote == ("2001:db8::1", 4000)


def test_versions_grow_only_with_what_is_said() -> None:
    origin = Origin("192.0.2.1")
    first, again, other = origin.sdp("m=audio 1 RTP/AVP 8\r\n"), origin.sdp("m=audio 1 RTP/AVP 8\r\n"), origin.sdp("")
    assert first == again
    versions = [int(parse_sdp(one).origin.split()[2]) for one in (first, other)]
    assert versions == [1, 2]


def test_our_own_offer_is_one_that_we_would_take() -> None:
    media = parse_sdp(b"v=0\r\nc=IN IP4 192.0.2.1\r\n" + offer_media(5000, ("pcma", "opus"), "sendonly", "1").encode())
    chosen = choose(media.media[0], ALL)
    assert chosen is not None
    assert [one.coding for one in chosen.codecs] == ["pcma", "telephone-event"]
    assert media.media[0].label == "1"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"hello",
        b"v=0\r\nnot a line",
        b"v=0\r\nm=audio x RTP/AVP 8",
        b"v=0\r\nm=audio 99999 RTP/AVP 8",
        b"v=0\r\n" * 20_000,
    ],
)
def test_what_is_no_sdp_is_refused(text: bytes) -> None:
    with pytest.raises(MediaError):
        parse_sdp(text)


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_mutated_offers_are_answered_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(OFFER)
    for _ in range(chance.randrange(1, 10)):
        where = chance.randrange(len(data))
        if chance.random() < 0.5:
            data[where] = chance.randrange(256)
        else:
            del data[where : where + chance.randrange(1, 40)]
    try:
        media = parse_sdp(bytes(data)).media
    except MediaError:
        return
    answer = Origin("192.0.2.1").sdp("".join(answer_media(one, choose(one, ALL), 6000) for one in media))
    assert len(parse_sdp(answer).media) == len(media)
