"""SIPREC metadata (RFC 7865, and the drafts before it): who sends which stream of a recorded call. No I/O.

Both dialects, with or without the namespace's `:1`: elements are known by their own names, ids by `session_id` or `id`.
Elements of other namespaces and of session or group are kept as `fields`. There is no DTD in what recorders say, so one
is refused, and with it entities; size, depth and number of elements are bounded.
"""

import fnmatch
import re
import xml.parsers.expat
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from vocal.errors import MediaError
from vocal.transports.sip_message import Address, Uri, parse_address, parse_uri

KINDS = ("application/rs-metadata+xml", "application/rs-metadata")
MOST_XML = 262_144
MOST_ELEMENTS = 5_000
MOST_DEPTH = 32
MOST_TEXT = 1_000


class Participant(msgspec.Struct, frozen=True):
    """aor: address of record, as `user@host`. fields: extension elements in it, by their own names in lower case."""

    id: str
    aor: str = ""
    name: str = ""
    fields: Mapping[str, str] = {}

    @property
    def user(self) -> str:
        return self.aor.partition("@")[0]


class Recording(msgspec.Struct, frozen=True):
    """What metadata say. labels: of each stream by its id; sends: streams of each participant, by ids.

    gone: participants that have left. is_complete: nothing of before counts.
    """

    is_complete: bool = True
    session: str = ""
    participants: Mapping[str, Participant] = {}
    labels: Mapping[str, str] = {}
    sends: Mapping[str, tuple[str, ...]] = {}
    gone: frozenset[str] = frozenset()
    fields: Mapping[str, str] = {}

    def sender(self, label: str, in_order: bool = False) -> Participant | None:
        """Who is heard on the stream of a label; None where nobody or more than one is.

        in_order: where no sender is named at all, the first participant sends the first stream, and so on.
        """
        streams = [stream for stream, its in self.labels.items() if its == label]
        if not self.sends and in_order and len(self.participants) == len(self.labels) and streams:
            place = list(self.labels).index(streams[0])
            return list(self.participants.values())[place]
        found = [
            self.participants[one]
            for one, sent in self.sends.items()
            if one in self.participants and one not in self.gone and set(sent) & set(streams)
        ]
        return found[0] if len(found) == 1 else None


class _Element:
    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name, self.attributes = name, attributes
        self.text = ""
        self.children: list[_Element] = []

    def attribute(self, *names: str) -> str:
        return next((self.attributes[name].strip() for name in names if name in self.attributes), "")

    def all(self, name: str) -> "list[_Element]":
        return [one for one in self.children if one.name == name]

    def child(self, name: str) -> str:
        return next((one.text.strip() for one in self.children if one.name == name), "")


def parse_metadata(body: bytes) -> Recording:
    """Raises MediaError, one line, for what is no metadata."""
    root = _parse(body)
    if root.name != "recording":
        raise MediaError(f"metadata: wanted <recording>, got <{root.name[:40]}>")
    participants, sends, labels, gone = {}, dict[str, tuple[str, ...]](), {}, set()
    for one in root.all("participant"):
        number = one.attribute("participant_id", "id")
        if number:
            participants[number] = _participant(number, one)
            _add(sends, number, one)
    for one in root.all("participantstreamassoc"):
        _add(sends, one.attribute("participant_id", "participant", "id"), one)
    for one in root.all("participantsessionassoc"):
        if one.child("disassociate-time"):
            gone.add(one.attribute("participant_id", "participant", "id"))
    for one in root.all("stream"):
        number, label = one.attribute("stream_id", "id"), one.child("label") or one.attribute("label")
        if number and label:
            labels[number] = label
    fields: dict[str, str] = {}
    for one in root.children:
        if one.name not in ("participant", "stream"):
            _fields(one, fields)
    session = next((one.attribute("session_id", "id") for one in root.all("session")), "")
    complete = root.child("datamode").lower() != "partial"
    return Recording(complete, session, participants, labels, sends, frozenset(gone), fields)


def _participant(number: str, element: _Element) -> Participant:
    named = next(iter(element.all("nameID")), None)
    aor = named.attribute("aor") if named is not None else element.child("aor")
    name = named.child("name") if named is not None else ""
    fields: dict[str, str] = {}
    for one in element.children:
        if one.name not in ("nameID", "send", "recv", "aor"):
            _fields(one, fields)
    return Participant(number, bare_address(aor), name, fields)


def _add(sends: dict[str, tuple[str, ...]], participant: str, element: _Element) -> None:
    sent = tuple(one.text.strip() for one in element.all("send") if one.text.strip())
    if participant and sent:
        sends[participant] = (*sends.get(participant, ()), *sent)


def _fields(element: _Element, fields: dict[str, str]) -> None:
    if element.children:
        for one in element.children:
            _fields(one, fields)
    elif element.text.strip():
        fields.setdefault(element.name.lower(), element.text.strip())


def merged(before: Recording, now: Recording) -> Recording:
    """What is known after an update: a partial one changes and adds, a complete one says it all."""
    if now.is_complete:
        return now
    back = {one for one in now.participants if one not in now.gone}
    return Recording(
        True,
        now.session or before.session,
        {**before.participants, **now.participants},
        {**before.labels, **now.labels},
        {**before.sends, **now.sends},
        (before.gone - back) | now.gone,
        {**before.fields, **now.fields},
    )


def _parse(body: bytes) -> _Element:
    if len(body) > MOST_XML:
        raise MediaError(f"metadata: wanted at most {MOST_XML} bytes, got {len(body)}")
    top = _Element("", {})
    open_ones = [top]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > MOST_ELEMENTS or len(open_ones) > MOST_DEPTH:
            raise MediaError(f"metadata: wanted at most {MOST_ELEMENTS} elements and {MOST_DEPTH} levels")
        bare = {key.rpartition(":")[2]: value[:MOST_TEXT] for key, value in attributes.items()}
        element = _Element(name.rpartition(":")[2], bare)
        open_ones[-1].children.append(element)
        open_ones.append(element)

    def end(name: str) -> None:
        open_ones.pop()

    def text(data: str) -> None:
        element = open_ones[-1]
        if len(element.text) < MOST_TEXT:
            element.text += data[: MOST_TEXT - len(element.text)]

    def doctype(*_: object) -> None:
        raise MediaError("metadata: wanted XML without a DTD")

    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    try:
        parser.Parse(body.strip(), True)
    except xml.parsers.expat.ExpatError as error:
        raise MediaError(f"metadata: {error}") from None
    except (LookupError, ValueError) as error:  # an encoding that there is not
        raise MediaError(f"metadata: {error}") from None
    return top.children[0]


# Whose voice is it?


def bare_address(value: str) -> str:
    """`user@host` of an address of record in any of its forms: with sip:, tel:, angle brackets or none of them."""
    text = value.strip()
    try:
        found: Address = parse_address(text)
        uri: Uri = parse_uri(found.uri)
    except ValueError:
        return text[:256]
    user = uri.user.partition(";")[0]
    return (f"{user}@{uri.host}" if uri.host else user)[:256]


def matches(pattern: str, address: str, fields: Mapping[str, str]) -> bool:
    """Whether somebody is meant by a pattern.

    `7000-7999`: a user part in that range, of as many digits. `NAME=GLOB`: a header or metadata element of that name.
    Anything else is a glob for `user@host`, or without an @ for the user part.
    """
    user = address.partition("@")[0]
    if found := re.fullmatch(r"(\d{1,15})-(\d{1,15})", pattern):
        low, high = found[1], found[2]
        return (
            user.isascii()
            and user.isdigit()
            and len(low) <= len(user) <= len(high)
            and int(low) <= int(user) <= int(high)
        )
    name, is_field, glob = pattern.partition("=")
    if is_field:
        value = fields.get(name.strip().lower())
        return value is not None and fnmatch.fnmatchcase(value.strip().lower(), glob.strip().lower())
    return fnmatch.fnmatchcase((address if "@" in pattern else user).lower(), pattern.lower())


def matches_any(patterns: Iterable[str], address: str, fields: Mapping[str, str]) -> bool:
    return bool(address or fields) and any(matches(one, address, fields) for one in patterns)


def sides(
    senders: Sequence[Participant | None], internal: Sequence[str], external: Sequence[str]
) -> tuple[bool | None, ...]:
    """Of each stream, whether its sender is one of the house (True), a caller (False), or not known (None).

    A caller is known only where somebody of the house was found in the same call: else no pattern fits this call, and
    the voice of one of the house could pass for a caller's.
    """
    ours = [None if one is None else matches_any(internal, one.aor, one.fields) for one in senders]
    if True not in ours:
        return (None,) * len(senders)
    return tuple(
        True if is_ours else False if one is not None and matches_any(external, one.aor, one.fields) else None
        for one, is_ours in zip(senders, ours, strict=True)
    )


def is_given(value: str | None) -> bool:
    """What a header or element says of a notice: given only if plainly so."""
    return value is not None and value.strip().lower() in ("yes", "true", "1", "given", "ja")
