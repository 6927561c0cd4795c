"""Session descriptions (RFC 4566) of telephone calls: offers parsed, answers made (RFC 3264, 4568, 5761). No I/O.

Every media line of an offer is answered, in order. Of its codecs we take the first that we know, with telephone-event
and comfort noise beside it; labels, names and packet times are echoed. We only ever receive.
"""

import ipaddress
import re
import secrets
from collections.abc import Sequence
from typing import Literal, NamedTuple

from vocal.errors import MediaError
from vocal.transports.srtp import SUITES, Suite, inline, new_key, parse_inline

MOST_SDP = 65_536
MOST_MEDIA = 32
Coding = Literal["pcma", "pcmu", "g722", "l16", "opus", "g729", "cn", "telephone-event"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]


class Codec(NamedTuple):
    """A payload type. clock_hz: of its timestamps, which for G.722 is 8000 while its audio is 16 kHz (RFC 3551)."""

    payload: int
    coding: Coding
    clock_hz: int
    parameters: str = ""


_STATIC: dict[int, tuple[str, int, int]] = {
    0: ("pcmu", 8000, 1),
    8: ("pcma", 8000, 1),
    9: ("g722", 8000, 1),
    11: ("l16", 44100, 1),
    13: ("cn", 8000, 1),
    18: ("g729", 8000, 1),
}
KNOWN: dict[tuple[str, int, int], Coding] = {
    ("pcma", 8000, 1): "pcma",
    ("pcmu", 8000, 1): "pcmu",
    ("g722", 8000, 1): "g722",
    ("l16", 8000, 1): "l16",
    ("l16", 16000, 1): "l16",
    ("opus", 48000, 2): "opus",
    ("g729", 8000, 1): "g729",
    ("cn", 8000, 1): "cn",
}
_NAMES = {"pcma": "PCMA", "pcmu": "PCMU", "g722": "G722", "l16": "L16", "g729": "G729", "cn": "CN"}


class Crypto(NamedTuple):
    """One a=crypto line. key: with its salt."""

    tag: int
    suite: Suite
    key: bytes

    @property
    def line(self) -> str:
        return f"a=crypto:{self.tag} {self.suite} {inline(self.key)}"


class Media(NamedTuple):
    """A media line with what belongs to it. codecs: those that we know, in the offerer's order."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    codecs: tuple[Codec, ...]
    host: str
    direction: Direction
    label: str | None = None
    mid: str | None = None
    ptime_ms: int | None = None
    rtcp_port: int | None = None
    is_muxed: bool = False
    crypto: tuple[Crypto, ...] = ()

    @property
    def is_secure(self) -> bool:
        return "SAVP" in self.protocol

    @property
    def remote(self) -> tuple[str, int] | None:
        """Where its packets come from; None where that is not said, as on hold (RFC 3264, 8.4), or by name only."""
        try:
            is_somewhere = not ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return None
        return (self.host, self.port) if is_somewhere and self.port else None

    @property
    def is_held(self) -> bool:
        return self.direction in ("recvonly", "inactive") or self.host in ("0.0.0.0", "::")


class Description(NamedTuple):
    """origin: the o= line; who has it again says the same again."""

    origin: str
    media: tuple[Media, ...]


def parse_sdp(body: bytes) -> Description:
    """Raises MediaError, one line, for what is no session description."""
    if len(body) > MOST_SDP:
        raise MediaError(f"SDP: wanted at most {MOST_SDP} bytes, got {len(body)}")
    lines = [line.rstrip() for line in body.decode("utf-8", "replace").split("\n") if line.strip()]
    if not lines or lines[0] != "v=0" or not all(re.match(r"[a-z]=", line) for line in lines):
        raise MediaError("wanted SDP, with lines such as «v=0» and «m=audio ...»")
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MOST_MEDIA:
        raise MediaError(f"SDP: wanted at most {MOST_MEDIA} media lines, got {len(starts)}")
    session = lines[: starts[0]] if starts else lines
    origin = next((line[2:] for line in session if line.startswith("o=")), "")
    ends = [*starts[1:], len(lines)][: len(starts)]
    return Description(origin, tuple(_media(lines[a:b], session) for a, b in zip(starts, ends, strict=True)))


_M = re.compile(r"m=([a-z]+) (\d{1,5})(?:/\d+)? ([A-Za-z0-9/]+)((?: [^ ]+)*)")


def _media(lines: list[str], session: list[str]) -> Media:
    found = _M.fullmatch(lines[0])
    if found is None or int(found[2]) > 65535:
        raise MediaError(f"SDP: wanted a media line such as «m=audio 4000 RTP/AVP 8», got {lines[0][:80]!r}")
    formats = tuple(found[4].split())

    def value(name: str) -> str | None:
        for line in (*lines, *session):
            if line.startswith(f"a={name}:"):
                return line[len(name) + 3 :].strip()
        return None

    host = _host(lines) or _host(session)
    order: tuple[Direction, ...] = ("sendonly", "recvonly", "inactive", "sendrecv")
    direction: Direction = next((one for part in (lines, session) for one in order if f"a={one}" in part), "sendrecv")
    rtcp = value("rtcp")
    ptime = value("ptime")
    return Media(
        found[1],
        int(found[2]),
        found[3].upper(),
        formats,
        _codecs(formats, lines) if found[1] == "audio" else (),
        host,
        direction,
        _word(value("label")),
        _word(value("mid")),
        _number(ptime, 1, 200),
        _number(rtcp.split(" ")[0], 1, 65535) if rtcp else None,
        "a=rtcp-mux" in lines,
        tuple(one for line in lines if (one := _crypto(line)) is not None),
    )


def _host(lines: Sequence[str]) -> str:
    for line in lines:
        if line.startswith("c=IN "):
            parts = line[5:].split()
            if len(parts) == 2:
                return parts[1].partition("/")[0]
    return ""


def _word(value: str | None) -> str | None:
    return value if value is None or re.fullmatch(r"[^\s]{1,256}", value) else None


def _number(value: str | None, least: int, most: int) -> int | None:
    if value is None or re.fullmatch(r"[0-9]{1,6}", value.strip()) is None or not least <= int(value) <= most:
        return None
    return int(value)


def _codecs(formats: Sequence[str], lines: Sequence[str]) -> tuple[Codec, ...]:
    named: dict[int, tuple[str, int, int]] = dict(_STATIC)
    parameters: dict[int, str] = {}
    for line in lines:
        if found := re.fullmatch(r"a=rtpmap:(\d{1,3})\s+([^/\s]+)/(\d{1,6})(?:/(\d{1,2}))?", line):
            named[int(found[1])] = (found[2].lower(), int(found[3]), int(found[4] or 1))
        elif found := re.fullmatch(r"a=fmtp:(\d{1,3})\s+(.{1,256})", line):
            parameters[int(found[1])] = found[2]
    codecs = []
    for one in dict.fromkeys(formats):
        if not one.isascii() or not one.isdigit() or len(one) > 3 or int(one) > 127 or int(one) not in named:
            continue
        name, clock_hz, channels = named[int(one)]
        coding = "telephone-event" if name == "telephone-event" else KNOWN.get((name, clock_hz, channels))
        if coding is not None:
            codecs.append(Codec(int(one), coding, clock_hz, parameters.get(int(one), "")))
    return tuple(codecs)


def _crypto(line: str) -> Crypto | None:
    """A line that we can use; one with parameters that weaken it, with several keys or another suite is none."""
    found = re.fullmatch(r"a=crypto:(\d{1,9})\s+(\S+)\s+(\S+)(?:\s+(.*))?", line)
    suite = next((one for one in SUITES if found is not None and one == found[2]), None)
    if found is None or suite is None or re.search(r"UNENCRYPTED|UNAUTHENTICATED", found[4] or ""):
        return None
    try:
        return Crypto(int(found[1]), suite, parse_inline(found[3]))
    except MediaError:
        return None


class Chosen(NamedTuple):
    """What we take of a media line: an audio codec, with telephone-event and comfort noise of the same clock."""

    codecs: tuple[Codec, ...]
    crypto: Crypto | None
    """Theirs, with which they send."""

    ours: Crypto | None

    @property
    def audio(self) -> Codec:
        return self.codecs[0]


def choose(media: Media, wanted: Sequence[Coding]) -> Chosen | None:
    """What we take of a line; None: it is refused."""
    if media.kind != "audio" or not media.port:
        return None
    if media.protocol not in ("RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"):
        return None
    audio = next(
        (one for one in media.codecs if one.coding in wanted and one.coding not in ("cn", "telephone-event")), None
    )
    crypto = media.crypto[0] if media.crypto else None
    if audio is None or (media.is_secure and crypto is None):
        return None
    beside = [one for one in media.codecs if one.coding in ("telephone-event", "cn") and one.clock_hz == audio.clock_hz]
    ours = None if crypto is None else Crypto(crypto.tag, crypto.suite, new_key())
    return Chosen((audio, *beside), crypto, ours)


class Origin:
    """Our o= line (RFC 3264, 8): its version grows by one each time when what we say is not what we said before."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._id = secrets.randbelow(1 << 31)
        self._version = 0
        self._said = ""

    def sdp(self, media: str) -> bytes:
        if media != self._said:
            self._version += 1
            self._said = media
        kind = "IP6" if ":" in self._host else "IP4"
        head = f"v=0\r\no=vocal {self._id} {self._version} IN {kind} {self._host}\r\ns=-\r\n"
        return (f"{head}c=IN {kind} {self._host}\r\nt=0 0\r\n" + media).encode()


def answer_media(offered: Media, chosen: Chosen | None, port: int) -> str:
    """Our media section for theirs."""
    if chosen is None:
        formats = " ".join(offered.formats) or "0"
        lines = [f"m={offered.kind} 0 {offered.protocol} {formats}", "a=inactive"]
    else:
        payloads = " ".join(str(one.payload) for one in chosen.codecs)
        lines = [f"m=audio {port} {offered.protocol} {payloads}"]
        lines += [_rtpmap(one) for one in chosen.codecs]
        lines += [f"a=fmtp:{one.payload} 0-15" for one in chosen.codecs if one.coding == "telephone-event"]
        lines += [f"a=ptime:{offered.ptime_ms}"] if offered.ptime_ms else []
        lines += [chosen.ours.line] if chosen.ours else []
        lines.append("a=recvonly" if offered.direction in ("sendrecv", "sendonly") else "a=inactive")
        lines += ["a=rtcp-mux"] if offered.is_muxed else []
    lines += [f"a=label:{offered.label}"] if offered.label else []
    lines += [f"a=mid:{offered.mid}"] if offered.mid else []
    return "\r\n".join([*lines, ""])


def _rtpmap(codec: Codec) -> str:
    if codec.coding == "opus":
        return f"a=rtpmap:{codec.payload} opus/48000/2"
    return f"a=rtpmap:{codec.payload} {_NAMES.get(codec.coding, codec.coding)}/{codec.clock_hz}"


OFFERED: dict[Coding, Codec] = {
    "pcma": Codec(8, "pcma", 8000),
    "pcmu": Codec(0, "pcmu", 8000),
    "g722": Codec(9, "g722", 8000),
    "opus": Codec(96, "opus", 48000),
    "l16": Codec(97, "l16", 8000),
    "g729": Codec(18, "g729", 8000),
    "cn": Codec(13, "cn", 8000),
}
_EVENTS = Codec(101, "telephone-event", 8000, "0-15")


def offer_media(
    port: int,
    codings: Sequence[Coding],
    direction: Direction = "recvonly",
    label: str | None = None,
    crypto: Crypto | None = None,
) -> str:
    """A media section of our own. crypto: with which we send."""
    codecs = [*(OFFERED[one] for one in codings), _EVENTS]
    protocol = "RTP/SAVP" if crypto else "RTP/AVP"
    lines = [f"m=audio {port} {protocol} {' '.join(str(one.payload) for one in codecs)}"]
    lines += [_rtpmap(one) for one in codecs]
    lines += [f"a=fmtp:{_EVENTS.payload} 0-15", "a=ptime:20", f"a={direction}"]
    lines += [crypto.line] if crypto else []
    lines += [f"a=label:{label}"] if label else []
    return "\r\n".join([*lines, ""])
