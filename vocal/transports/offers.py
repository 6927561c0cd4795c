"""What a WebRTC peer offers and trickles: SDP in, an offer as aiortc is to see it out. No I/O."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from vocal.errors import MediaError

Coding = Literal["opus", "pcmu", "pcma"]
CODINGS: dict[str, int] = {"opus": 48000, "pcmu": 8000, "pcma": 8000}
"""What we take, and the clock of its timestamps."""

_STATIC = {"0": "pcmu", "8": "pcma"}
_HEX = "[0-9A-Fa-f]{2}"
_DIGESTS = "|".join(
    f"{name} {_HEX}(:{_HEX}){{{size - 1}}}"
    for name, size in (("sha-1", 20), ("sha-224", 28), ("sha-256", 32), ("sha-384", 48), ("sha-512", 64))
)
# RFC 8839, 5.4; RFC 8122, 5; RFC 4145, 4.
_FORMS = {
    "ice-ufrag": "[A-Za-z0-9+/]{4,256}",
    "ice-pwd": "[A-Za-z0-9+/]{22,256}",
    "fingerprint": f"(?i:{_DIGESTS})",
    "setup": "actpass|active|passive",
}
"""What a connection cannot be made without."""

MOST_SDP = 32_768
MOST_SECTIONS = 16


class RefusedOffer(MediaError):
    """An offer that we do not take; status: what HTTP calls it."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class _Section(NamedTuple):
    """A media section of an SDP."""

    lines: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.lines[0][2:].split(" ")[0]

    def values(self, name: str) -> list[str]:
        return [line[len(name) + 3 :] for line in self.lines if line.startswith(f"a={name}:")]

    def value(self, name: str) -> str | None:
        return next(iter(self.values(name)), None)

    def has(self, line: str) -> bool:
        return line in self.lines

    @property
    def sends(self) -> bool:
        return not (self.has("a=recvonly") or self.has("a=inactive"))

    @property
    def codings(self) -> tuple[str, ...]:
        """Of the codecs offered, those that we take, in the offerer's order."""
        names = {}
        for line in self.lines:
            if found := re.fullmatch(r"a=rtpmap:(\d+) ([^/ ]+)/(\d+).*", line):
                name = found[2].lower()
                names[found[1]] = name if CODINGS.get(name) == int(found[3]) else ""
        offered = [names.get(number, _STATIC.get(number, "")) for number in self.lines[0].split(" ")[3:]]
        return tuple(dict.fromkeys(name for name in offered if name in CODINGS))


class Offer(NamedTuple):
    """An offer as aiortc is to see it: audio only, and we the DTLS server.

    codings: of each audio section, in the offerer's order. rejected: sections that the answer refuses, by place.
    """

    sdp: str
    codings: tuple[tuple[str, ...], ...]
    rejected: tuple[tuple[int, _Section], ...]


def parse_offer(text: str, most_tracks: int = 2, wanted: Sequence[str] = tuple(CODINGS)) -> Offer:
    """Reads an offer of audio. Sections of another kind are refused in the answer, as broadcasting programs have them.

    Raises RefusedOffer: 400 for what is no SDP, 406 for unknown codecs, 422 for what WebRTC wants and it lacks.
    """
    if len(text) > MOST_SDP:
        raise RefusedOffer(f"SDP: wanted at most {MOST_SDP} characters, got {len(text)}", 413)
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if not lines or lines[0] != "v=0" or not all(re.match(r"[a-z]=", line) for line in lines):
        raise RefusedOffer("wanted an SDP offer, with lines such as «v=0» and «m=audio ...»", 400)
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not starts or len(starts) > MOST_SECTIONS:
        raise RefusedOffer(f"SDP: wanted 1 to {MOST_SECTIONS} media sections, got {len(starts)}")
    session = _Section(tuple(lines[: starts[0]]))
    sections = [_Section(tuple(lines[a:b])) for a, b in zip(starts, [*starts[1:], len(lines)], strict=True)]
    if any(not re.fullmatch(r"m=[a-z]+ \d{1,5} [A-Z/]+( [^ ]+)+", one.lines[0]) for one in sections):
        raise RefusedOffer("SDP: wanted media lines such as «m=audio 9 UDP/TLS/RTP/SAVPF 111»", 400)
    kept = [one for one in sections if one.kind == "audio" and one.sends]
    if not 1 <= len(kept) <= most_tracks:
        raise RefusedOffer(f"SDP: wanted 1 to {most_tracks} audio sections that send, got {len(kept)}")
    codings = tuple(tuple(name for name in one.codings if name in wanted) for one in kept)
    if not all(codings):
        raise RefusedOffer(f"SDP: wanted one of {', '.join(wanted)} in each audio section", 406)
    lender = _bundle_head(session, sections)
    first = next(number for number, one in enumerate(sections) if one in kept)
    sections[first] = _with_transport(sections[first], lender)
    kept = [one for one in sections if one.kind == "audio" and one.sends]
    for name, form in _FORMS.items():
        for one in kept:
            values = one.values(name) or session.values(name)
            if not values or not all(re.fullmatch(form, value) for value in values):
                raise RefusedOffer(f"SDP: wanted a={name}" + (f", got {values[0][:60]!r}" if values else ""))
    if not all(one.has("a=rtcp-mux") for one in kept):
        raise RefusedOffer("SDP: wanted a=rtcp-mux")
    mids = {one.value("mid") for one in kept}
    if len(mids) < len(kept) or any(sum(line.startswith("a=mid:") for line in one.lines) > 1 for one in kept):
        raise RefusedOffer("SDP: wanted sections with a name each, a=mid")
    group = [line for line in session.lines if not line.startswith("a=group:")]
    group += [
        " ".join(["a=group:BUNDLE", *(mid for mid in line.split(" ")[1:] if mid in mids)])
        for line in session.lines
        if line.startswith("a=group:BUNDLE ")
    ]
    shown = [*group, *(line for one in kept for line in one.lines)]
    shown = ["a=setup:active" if line == "a=setup:actpass" else line for line in shown]
    rejected = tuple((number, one) for number, one in enumerate(sections) if one not in kept)
    return Offer("\r\n".join([*shown, ""]), codings, rejected)


def _bundle_head(session: _Section, sections: Sequence[_Section]) -> _Section:
    """The section whose ICE and DTLS a bundle uses: others may leave theirs out."""
    for line in session.lines:
        if line.startswith("a=group:BUNDLE "):
            head = line.split(" ")[1]
            return next((one for one in sections if one.value("mid") == head), sections[0])
    return sections[0]


_TRANSPORT = ("ice-ufrag", "ice-pwd", "fingerprint", "setup", "candidate")


def _with_transport(section: _Section, lender: _Section) -> _Section:
    lent = [
        line
        for name in _TRANSPORT
        if section.value(name) is None
        for line in lender.lines
        if line.startswith(f"a={name}:")
    ]
    return _Section((*section.lines, *lent))


def with_rejected(answer: str, rejected: Sequence[tuple[int, _Section]]) -> str:
    parts = re.split(r"(?m)^(?=m=)", answer)
    for number, section in rejected:
        kind, _, protocol, code, *_ = section.lines[0][2:].split(" ")
        lines = [f"m={kind} 0 {protocol} {code}", "c=IN IP4 0.0.0.0", "a=inactive"]
        if (mid := section.value("mid")) is not None:
            lines.append(f"a=mid:{mid}")
        parts.insert(number + 1, "\r\n".join([*lines, ""]))
    return "".join(parts)


class Fragment(NamedTuple):
    """Trickled candidates (RFC 8840). ufrag: whose they are. candidates: with the section each belongs to."""

    ufrag: str | None
    candidates: tuple[tuple[str, str | None], ...]
    is_end: bool


def parse_fragment(text: str) -> Fragment:
    """Raises RefusedOffer for what is no fragment."""
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if len(text) > MOST_SDP or not lines or not all(re.match(r"[a-z]=", line) for line in lines):
        raise RefusedOffer("wanted an SDP fragment of ICE candidates", 400)
    whole = _Section(tuple(lines))
    mid: str | None = None
    candidates = []
    for line in lines:
        if line.startswith("a=mid:"):
            mid = line[6:]
        elif line.startswith("a=candidate:"):
            candidates.append((line[12:], mid))
    return Fragment(whole.value("ice-ufrag"), tuple(candidates), whole.has("a=end-of-candidates"))
