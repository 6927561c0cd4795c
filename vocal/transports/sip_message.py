"""SIP messages (RFC 3261): bytes to values and back, framing over streams, digest. No I/O, no time of its own.

Header names are lower case and long here, one value each for headers that are lists; what goes out has the usual names.
Nothing is trusted: whoever parses gets a message with its parts in bounds, or ValueError.
"""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import NamedTuple

import msgspec

MOST_HEAD = 32_768
MOST_BODY = 262_144
MOST_HEADERS = 256
MOST_PARTS = 16

_COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
_LISTS = {"via", "route", "record-route", "contact", "require", "supported", "allow", "p-asserted-identity"}
_SHOWN = {"call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate", "min-se": "Min-SE"}
_NAME = re.compile(r"[A-Za-z0-9!%*_+`'~.-]+")
_TOKEN = r"[A-Za-z0-9!%*_+`'~.-]+"
_REQUEST = re.compile(rf"({_TOKEN}) (\S+) SIP/2\.0", re.I)
_RESPONSE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.I)
_CSEQ = re.compile(rf"(\d{{1,10}})\s+({_TOKEN})")
_REASONS = {
    401: "Unauthorized",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    503: "Service Unavailable",
    513: "Message Too Large",
}


class Message(msgspec.Struct):
    headers: list[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def set(self, name: str, value: str) -> None:
        """In the place of the first of that name, or at the end."""
        for number, (key, _) in enumerate(self.headers):
            if key == name:
                self.headers[number] = (name, value)
                return
        self.headers.append((name, value))

    def number(self, name: str) -> int | None:
        """A header that is a number, perhaps with parameters; None: it is not there. Raises ValueError."""
        value = self.get(name)
        if not value:
            return None
        digits = value.split(";")[0].strip()
        if not digits.isascii() or not digits.isdigit() or len(digits) > 10:
            raise ValueError(f"{name}: wanted a number, got {value[:80]!r}")
        return int(digits)

    @property
    def cseq(self) -> tuple[int, str]:
        found = _CSEQ.fullmatch(self.get("cseq"))
        if found is None or int(found[1]) >= 1 << 31:
            raise ValueError(f"CSeq: wanted a number and a method, got {self.get('cseq')[:80]!r}")
        return int(found[1]), found[2].upper()

    @property
    def branch(self) -> str:
        return parse_via(self.get("via")).parameters.get("branch", "")

    @property
    def content_type(self) -> str:
        return self.get("content-type").split(";")[0].strip().lower()

    def _first_line(self) -> str:
        raise NotImplementedError

    def serialize(self) -> bytes:
        lines = [self._first_line()]
        lines += [f"{shown(name)}: {value}" for name, value in self.headers if name != "content-length"]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


class Request(Message):
    method: str = ""
    uri: str = ""

    def _first_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


class Response(Message):
    status: int = 0
    reason: str = ""

    def _first_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def shown(name: str) -> str:
    return _SHOWN.get(name) or "-".join(part.capitalize() for part in name.split("-"))


def reason_of(status: int) -> str:
    if status in _REASONS:
        return _REASONS[status]
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def parse_message(data: bytes) -> Request | Response:
    """A whole datagram, or a frame. Raises ValueError for what is no SIP."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        head, found, body = data.partition(b"\n\n")
    if not found or len(head) > MOST_HEAD:
        raise ValueError("wanted SIP: headers, an empty line, a body")
    message = parse_head(head)
    length = message.number("content-length")
    if length is not None and length > len(body):
        raise ValueError(f"Content-Length: {length}, got {len(body)} bytes")
    if length is not None:
        body = body[:length]
    if len(body) > MOST_BODY:
        raise ValueError(f"wanted a body of at most {MOST_BODY} bytes, got {len(body)}")
    message.body = body
    return message


def parse_head(head: bytes) -> Request | Response:
    text = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").lstrip("\n")
    if "\0" in text or "\r" in text:
        raise ValueError("wanted lines, got control characters")
    first, *lines = re.sub(r"\n[ \t]+", " ", text).split("\n")
    if len(lines) > MOST_HEADERS:
        raise ValueError(f"wanted at most {MOST_HEADERS} headers, got {len(lines)}")
    headers: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not _NAME.fullmatch(name):
            raise ValueError(f"wanted a header, got {line[:80]!r}")
        name = _COMPACT.get(name, name)
        values = split_list(value) if name in _LISTS and "," in value else [value.strip()]
        headers += [(name, one) for one in values]
        if len(headers) > 2 * MOST_HEADERS:
            raise ValueError(f"wanted at most {2 * MOST_HEADERS} values")
    if found := _RESPONSE.fullmatch(first):
        return Response(headers, b"", int(found[1]), found[2] or "")
    if found := _REQUEST.fullmatch(first):
        return Request(headers, b"", found[1].upper(), found[2])
    raise ValueError(f"wanted a SIP request or response, got {first[:80]!r}")


def fault_of(request: Request) -> str | None:
    """What is wrong with a request that can be parsed: a 400. None: it can be answered as it wants."""
    try:
        for name in ("via", "from", "to", "call-id", "cseq"):
            if not request.get(name):
                return f"Missing {shown(name)}"
        if request.cseq[1] != request.method:
            return "CSeq method differs"
        parse_via(request.get("via"))
        for name in ("from", "to"):
            parse_address(request.get(name))
        for contact in request.all("contact"):
            if contact != "*":
                parse_address(contact)
        parse_uri(request.uri)
        for route in request.all("record-route"):
            parse_uri(parse_address(route).uri)
        forwards = request.number("max-forwards")
        if forwards is not None and forwards > 255:
            return "Bad Max-Forwards"
        for name in ("session-expires", "min-se"):
            request.number(name)
    except ValueError as error:
        return str(error).replace("\n", " ")[:120]
    return None


def split_list(value: str) -> list[str]:
    """At commas that stand outside quotes and angle brackets."""
    if '"' not in value and "<" not in value:
        return [part.strip() for part in value.split(",") if part.strip()]
    parts, start, quoted, angled, escaped = [], 0, False, False, False
    for place, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            angled = char == "<"
        elif char == "," and not angled:
            parts.append(value[start:place].strip())
            start = place + 1
    parts.append(value[start:].strip())
    return [part for part in parts if part]


def parameters_of(text: str) -> dict[str, str]:
    """`;a=1;b` as a mapping, names in lower case."""
    found = {}
    for part in text.split(";"):
        name, _, value = part.partition("=")
        if name.strip():
            found[name.strip().lower()] = value.strip().strip('"')
    return found


class Via(NamedTuple):
    transport: str
    host: str
    port: int | None
    parameters: dict[str, str]


_VIA = re.compile(r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9]+)\s+([^;\s]+)\s*((?:;.*)?)", re.I)


def parse_via(value: str) -> Via:
    found = _VIA.fullmatch(value)
    if found is None:
        raise ValueError(f"Via: wanted SIP/2.0/UDP HOST:PORT;branch=..., got {value[:80]!r}")
    host, port = split_host(found[2])
    return Via(found[1].lower(), host, port, parameters_of(found[3]))


def split_host(text: str) -> tuple[str, int | None]:
    """`host:5060`, `[::1]:5060` or `host`."""
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?", text.strip())
    if found is None or (found[2] and int(found[2]) > 65535):
        raise ValueError(f"wanted HOST:PORT, got {text[:80]!r}")
    return found[1].strip("[]"), int(found[2]) if found[2] else None


def join_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Uri(NamedTuple):
    scheme: str
    user: str
    host: str
    port: int | None
    parameters: dict[str, str]


_URI = re.compile(
    r"(sips?):(?:([^@]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?((?:;[^?]*)?)(?:\?.*)?", re.I
)


def parse_uri(text: str) -> Uri:
    """A sip:, sips: or tel: URI. Raises ValueError."""
    if text[:4].lower() == "tel:":
        number, _, rest = text[4:].partition(";")
        return Uri("tel", number, "", None, parameters_of(rest))
    found = _URI.fullmatch(text)
    if found is None or (found[4] and int(found[4]) > 65535):
        raise ValueError(f"wanted a SIP URI, got {text[:80]!r}")
    user = (found[2] or "").partition(":")[0]
    port = int(found[4]) if found[4] else None
    return Uri(found[1].lower(), user, found[3].strip("[]"), port, parameters_of(found[5]))


class Address(NamedTuple):
    """What From, To, Contact and Route hold. uri: as written."""

    name: str
    uri: str
    parameters: dict[str, str]


_ANGLED = re.compile(r'(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<([^<>]+)>\s*((?:;.*)?)', re.S)


def parse_address(value: str) -> Address:
    found = _ANGLED.fullmatch(value.strip())
    if found is not None:
        name, uri, rest = found[1] or (found[2] or "").strip(), found[3].strip(), found[4]
    else:
        name, (uri, _, rest) = "", value.strip().partition(";")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>]+$", uri) is None:
        raise ValueError(f"wanted an address such as <sip:user@host>, got {value[:80]!r}")
    return Address(name, uri, parameters_of(rest))


def tag_of(value: str) -> str:
    """A From's or To's tag; empty: it has none."""
    try:
        return parse_address(value).parameters.get("tag", "")
    except ValueError:
        return ""


# Bodies


class Part(NamedTuple):
    """One part of a body. is_required: whoever does not know it must refuse the whole (RFC 5621)."""

    kind: str
    body: bytes
    is_required: bool


def parts_of(message: Message) -> list[Part]:
    """A message's body, a multi-part one as its parts. Raises ValueError for a body that is not what it says."""
    if not message.body:
        return []
    disposition = message.get("content-disposition").lower()
    kind = message.content_type
    if not kind.startswith("multipart/"):
        return [Part(kind, message.body, "handling=optional" not in disposition.replace(" ", ""))]
    head = f"Content-Type: {message.get('content-type')}\r\n\r\n".encode("utf-8", "surrogateescape")
    try:
        whole = BytesParser(policy=HTTP).parsebytes(head + message.body)
        found = []
        for part in whole.iter_parts():
            said = str(part.get("content-disposition", "")).lower().replace(" ", "")
            body = part.get_payload(decode=True)
            if not isinstance(body, bytes):
                raise ValueError("wanted a flat multi-part body")
            its = str(part.get("content-type", "text/plain")).split(";")[0].strip().lower()
            found.append(Part(its, body, "handling=optional" not in said))
    except (LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"multi-part body: {error}") from None
    if not found or len(found) > MOST_PARTS:
        raise ValueError(f"multi-part body: wanted 1 to {MOST_PARTS} parts, got {len(found)}")
    return found


# Streams


class TooLarge(ValueError):
    """A message over the bounds; head: as far as it is known, so that it can be answered."""

    def __init__(self, head: bytes) -> None:
        super().__init__(f"wanted at most {MOST_HEAD} bytes of headers and {MOST_BODY} of body")
        self.head = head


class Framer:
    """Cuts a stream into messages by Content-Length (RFC 3261, 18.3)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0
        self.pings = 0
        """Keepalives (RFC 5626, 3.5.1) that want a pong."""

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._buffer)

    def push(self, data: bytes) -> list[bytes]:
        """Raises ValueError where no message can follow any more."""
        self._buffer += data
        found = []
        while self._buffer:
            if not self._wanted and not self._begin():
                break
            if len(self._buffer) < self._wanted:
                break
            found.append(bytes(self._buffer[: self._wanted]))
            del self._buffer[: self._wanted]
            self._wanted = 0
        return found

    def _begin(self) -> bool:
        while self._buffer.startswith(b"\r\n"):
            if self._buffer.startswith(b"\r\n\r\n"):
                self.pings += 1
                del self._buffer[:2]
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, MOST_HEAD + 4)
        if end < 0:
            if len(self._buffer) > MOST_HEAD:
                raise TooLarge(b"")
            return False
        head = bytes(self._buffer[:end])
        length = parse_head(head).number("content-length")
        if length is None:
            raise ValueError("wanted a Content-Length")
        if length > MOST_BODY:
            raise TooLarge(head)
        self._wanted = end + 4 + length
        return True


# Digest (RFC 7616, as RFC 8760 has it for SIP)

_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
NONCE_S = 300.0
MOST_NONCES = 10_000


def digest_fields(value: str) -> dict[str, str]:
    """The fields of a Digest challenge or answer; empty for another scheme."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "digest":
        return {}
    found = re.findall(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', rest)
    return {name.lower(): quoted or bare for name, quoted, bare in found}


def digest_response(fields: Mapping[str, str], user: str, password: str, method: str) -> str:
    """What proves the password. Raises ValueError for an algorithm that we do not know."""
    hashing = _HASHES.get(fields.get("algorithm", "MD5").upper())
    if hashing is None:
        raise ValueError(f"digest: wanted SHA-256 or MD5, got {fields.get('algorithm')!r}")

    def h(text: str) -> str:
        return hashing(text.encode("utf-8", "surrogateescape")).hexdigest()

    secret = h(f"{user}:{fields.get('realm', '')}:{password}")
    asked = h(f"{method}:{fields.get('uri', '')}")
    count = f"{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields['qop']}:" if fields.get("qop") else ""
    return h(f"{secret}:{fields.get('nonce', '')}:{count}{asked}")


def digest_answer(challenges: Iterable[str], user: str, password: str, method: str, uri: str) -> str | None:
    """The Authorization header for the first challenge that we can answer."""
    for challenge in challenges:
        given = digest_fields(challenge)
        if not given or given.get("algorithm", "MD5").upper() not in _HASHES:
            continue
        kept = ("realm", "nonce", "algorithm", "opaque")
        fields: dict[str, str] = {name: value for name, value in given.items() if name in kept}
        fields["uri"] = uri
        if "auth" in [one.strip() for one in given.get("qop", "").split(",")]:
            fields |= {"qop": "auth", "nc": "00000001", "cnonce": secrets.token_hex(8)}
        proof = digest_response(fields, user, password, method)
        bare = ("algorithm", "qop", "nc")
        shown = [f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in fields.items()]
        return f'Digest username="{user}", {", ".join(shown)}, response="{proof}"'
    return None


class Digest:
    """Asks for passwords and checks them. users: name to password."""

    def __init__(self, realm: str, users: Mapping[str, str]) -> None:
        self._realm, self._users = realm, users
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[str, int] = OrderedDict()

    def challenges(self, now_s: float, is_stale: bool = False) -> list[tuple[str, str]]:
        stale = ", stale=true" if is_stale else ""
        made = f"{int(now_s * 1000):x}.{secrets.token_hex(8)}"
        nonce = f"{made}.{self._sign(made)}"
        return [
            (
                "www-authenticate",
                f'Digest realm="{self._realm}", nonce="{nonce}", algorithm={name}, qop="auth"{stale}',
            )
            for name in _HASHES
        ]

    def check(self, request: Request, now_s: float) -> tuple[str | None, bool]:
        """Whose request it is, or None; and whether only its nonce was too old."""
        for value in request.all("authorization"):
            fields = digest_fields(value)
            if fields.get("realm") == self._realm and fields.get("username") in self._users:
                user = fields["username"]
                try:
                    wanted = digest_response(fields, user, self._users[user], request.method)
                except ValueError:
                    continue
                proof = fields.get("response", "").lower()
                if fields.get("qop") == "auth" and hmac.compare_digest(proof.encode(), wanted.encode()):
                    return (user, False) if self._is_fresh(fields, now_s) else (None, True)
        return None, False

    def _is_fresh(self, fields: Mapping[str, str], now_s: float) -> bool:
        """A nonce of ours, not too old, with a count that it did not have before."""
        nonce = fields.get("nonce", "")
        made, _, signature = nonce.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(made).encode()):
            return False
        count = fields.get("nc", "")
        if re.fullmatch(r"[0-9a-fA-F]{8}", count) is None or now_s - int(made.split(".")[0], 16) / 1000 > NONCE_S:
            return False
        if int(count, 16) <= self._used.get(nonce, 0):
            return False
        self._used[nonce] = int(count, 16)
        self._used.move_to_end(nonce)
        if len(self._used) > MOST_NONCES:
            self._used.popitem(last=False)
        return True

    def _sign(self, made: str) -> str:
        return hmac.new(self._key, made.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:24]
