"""Who speaks on which stream, as recorders of several makers say it."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.errors import MediaError
from vocal.transports.sdp import parse_sdp
from vocal.transports.sip_message import parse_message, parts_of
from vocal.transports.siprec import (
    KINDS,
    MOST_XML,
    Participant,
    Recording,
    bare_address,
    is_given,
    matches,
    merged,
    parse_metadata,
    sides,
)

FINAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<recording xmlns="urn:ietf:params:xml:ns:recording:1" xmlns:x="urn:example:x">
  <datamode>complete</datamode>
  <session session_id="s1"><x:Notice>yes</x:Notice></session>
  <participant participant_id="p1"><nameID aor="sip:7301@pbx.example;user=phone"><name>Anna</name></nameID>
  </participant>
  <participant participant_id="p2"><nameID aor="&lt;tel:+4930123&gt;"/></participant>
  <stream stream_id="m1" session_id="s1"><label>1</label></stream>
  <stream stream_id="m2" session_id="s1"><label>2</label></stream>
  <participantstreamassoc participant_id="p1"><send>m2</send><recv>m1</recv></participantstreamassoc>
  <participantstreamassoc participant_id="p2"><send>m1</send><recv>m2</recv></participantstreamassoc>
</recording>"""

DRAFT = b"""<?xml version='1.0'?>
<recording xmlns='urn:ietf:params:xml:ns:recording' xmlns:v='http://vendor.example/siprec'>
  <datamode>complete</datamode>
  <session id="s1"><associate-time>2010-12-16T23:41:07</associate-time></session>
  <participant id="p1" session="s1">
    <nameID aor="sip:8001@sbc.example"><name>8001</name></nameID>
    <send>m1</send><v:callingParty>false</v:callingParty>
  </participant>
  <participant id="p2" session="s1">
    <nameID aor="sip:0301234@sbc.example"/><send>m2</send><v:callingParty>true</v:callingParty>
  </participant>
  <stream id="m1" session="s1"><label>184549377</label><mode>separate</mode></stream>
  <stream id="m2" session="s1"><label>184549378</label><mode>separate</mode></stream>
</recording>"""


def test_the_final_schema() -> None:
    found = parse_metadata(FINAL)
    assert [found.sender(label) for label in ("1", "2")] == [
        Participant("p2", "+4930123"),
        Participant("p1", "7301@pbx.example", "Anna"),
    ]
    assert found.fields["notice"] == "yes"
    assert found.sender("3") is None


def test_the_drafts_before_it() -> None:
    found = parse_metadata(DRAFT)
    first, second = found.sender("184549377"), found.sender("184549378")
    assert first is not None
    assert second is not None
    assert (first.aor, second.aor) == ("8001@sbc.example", "0301234@sbc.example")
    assert sides([first, second], ["callingParty=false"], ["*"]) == (True, False)


def test_who_is_not_said_is_not_known() -> None:
    bare = FINAL[: FINAL.index(b"<participantstreamassoc")] + b"</recording>"
    found = parse_metadata(bare)
    assert found.sender("1") is None
    first = found.sender("1", in_order=True)
    assert first is not None
    assert first.id == "p1"
    both = FINAL.replace(b"<send>m2</send>", b"<send>m1</send>")
    assert parse_metadata(both).sender("1") is None  # two speak on it


def test_updates_change_what_they_name() -> None:
    before = parse_metadata(FINAL)
    left = b"""<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>partial</datamode>
      <participantsessionassoc participant_id="p1" session_id="s1">
        <disassociate-time>2026-11-22T12:00:00Z</disassociate-time></participantsessionassoc></recording>"""
    gone = merged(before, parse_metadata(left))
    assert gone.sender("2") is None
    assert gone.sender("1") == before.sender("1")
    other = b"""<recording xmlns="urn:ietf:params:xml:ns:recording:1"><datamode>partial</datamode>
      <participant participant_id="p3"><nameID aor="sip:7302@pbx.example"/></participant>
      <participantstreamassoc participant_id="p3"><send>m2</send></participantstreamassoc></recording>"""
    found = merged(gone, parse_metadata(other)).sender("2")
    assert found is not None
    assert found.aor == "7302@pbx.example"
    assert merged(gone, before) == before  # complete: says it all


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("7000-7999", "7301@x", True),
        ("7000-7999", "07301@x", False),
        ("7000-7999", "8301@x", False),
        ("730?", "7301@x", True),
        ("730?", "73011@x", False),
        ("*@pbx.example", "anna@PBX.example", True),
        ("*@pbx.example", "anna@other.example", False),
        ("x-side=AGENT", "anything", True),
        ("x-side=customer", "anything", False),
        ("x-none=*", "anything", False),
    ],
)
def test_patterns(pattern: str, address: str, fits: bool) -> None:
    assert matches(pattern, address, {"x-side": "agent"}) is fits


def test_nobody_is_a_caller_where_nobody_is_of_the_house() -> None:
    """Else a pattern that was forgotten would make an agent a customer."""
    anna, bert, caller = Participant("1", "7301@x"), Participant("2", "9999@x"), Participant("3", "0301@x")
    assert sides([anna, caller], ["73??"], ["*"]) == (True, False)
    assert sides([bert, caller], ["73??"], ["*"]) == (None, None)
    assert sides([anna, caller], [], ["*"]) == (None, None)
    assert sides([anna, anna], ["73??"], ["*"]) == (True, True)
    assert sides([anna, bert], ["73??"], ["0*"]) == (True, None)
    assert sides([anna, None], ["73??"], ["*"]) == (True, None)


def test_addresses_and_notices() -> None:
    for said in ("sip:7301@h", "<sip:7301@h>", '"Anna" <sip:7301@h;user=phone>;tag=1', "7301@h", "sips:7301:pw@h:5061"):
        assert bare_address(said) == "7301@h", said
    assert [is_given(one) for one in ("yes", " TRUE ", "1", "no", "", None, "maybe")] == [True] * 3 + [False] * 4


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<recording",
        b"<other/>",
        b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><recording>&b;</recording>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><recording/>',
        b"<recording>" + b"<a>" * 100 + b"</a>" * 100 + b"</recording>",
        b"<recording>" + b"<a/>" * 10_000 + b"</recording>",
        b"<recording>" + b" " * MOST_XML + b"</recording>",
        b'<?xml version="1.0" encoding="klingon"?><recording/>',
        b"<recording>&undefined;</recording>",
        b"\xff\xfe<",
    ],
)
def test_what_is_no_metadata_is_refused(text: bytes) -> None:
    with pytest.raises(MediaError):
        parse_metadata(text)


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_mutated_metadata_are_read_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(chance.choice([FINAL, DRAFT]))
    for _ in range(chance.randrange(1, 8)):
        where = chance.randrange(len(data))
        if chance.random() < 0.5:
            data[where] = chance.randrange(256)
        else:
            del data[where : where + chance.randrange(1, 40)]
    try:
        found = parse_metadata(bytes(data))
    except MediaError:
        return
    assert isinstance(found, Recording)
    for label in found.labels.values():
        found.sender(label)


# Bodies as recorders of four makers send them


def _invite(body: bytes) -> bytes:
    boundary = body.strip().split(b"\r\n" if b"\r\n" in body else b"\n")[0][2:].decode()
    body = body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f"INVITE sip:srs@127.0.0.1 SIP/2.0\r\nContent-Type: multipart/mixed;boundary={boundary}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("file", "labels", "senders"),
    [
        ("cisco-siprec-offer", ["1", "2"], ["7301@35.162.237.204", "7300@35.162.237.204"]),
        ("sonus-siprec-offer", ["1", "2"], ["2249888012@172.16.195.72", "2249888500@172.16.198.55"]),
        ("connectel-offer", ["1", "2"], [None, None]),
        ("connectel-offer2", ["1", "2"], [None, None]),
    ],
)
def test_offers_of_real_recorders(file: str, labels: list[str], senders: list[str | None], shared_data: Path) -> None:
    parts = parts_of(parse_message(_invite((shared_data / "siprec" / f"{file}.txt").read_bytes())))
    sdp = next(parse_sdp(part.body) for part in parts if part.kind == "application/sdp")
    assert [one.label for one in sdp.media] == labels
    assert all(one.codecs[0].coding in ("pcmu", "pcma") for one in sdp.media)
    assert all(one.direction == "sendonly" for one in sdp.media)
    found = next(parse_metadata(part.body) for part in parts if part.kind in KINDS)
    named = [found.sender(label) for label in labels]
    assert [None if one is None else one.aor for one in named] == senders
