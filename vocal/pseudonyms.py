"""What agents are called before others: a name for a week, from a key that is then gone.

The key of a week makes the next week's, `K' = HMAC-SHA256(K, "next")`, and never the other way round. The server holds
the present week's key alone, outside the store: store and server together cannot give an earlier week's names. Unless
somebody wants it otherwise nobody can, ever. `share` splits the present key among two or more persons, any two of whom
can together find out who had a name in a week from then on (`release`); nobody alone can.

A live call's source, such as an address, becomes a mark. Marks do not change, so that somebody's calls can be found and
erased; they have a key of their own.
"""

import base64
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from vocal.errors import UsageError
from vocal.keys import locked, write_whole
from vocal.types import CallStarted, EventBase

E = TypeVar("E", bound=EventBase)
KEY_BYTES = 32
DIGITS = 8
"""Of a name: among 200 agents two get the same one in a week out of 200,000."""


class Sharing(msgspec.Struct, frozen=True):
    """Whom the key was split among. week, until: the first whose names their shares lead to, and the last, where
    another key came then. id: stands on each share."""

    id: str
    week: str
    holders: tuple[str, ...]
    until: str | None = None


class _State(msgspec.Struct, frozen=True):
    week: str
    key: str
    sharings: tuple[Sharing, ...] = ()


class Share(msgspec.Struct, frozen=True):
    """One holder's part of a week's key, by Shamir's scheme over GF(256): `number` is where the line was taken."""

    id: str
    week: str
    number: int
    part: bytes

    def __str__(self) -> str:
        """As it is written down: groups of letters and digits, with a check against slips."""
        year, week = self.week.split("-W")
        raw = bytes([1, int(year) - 2000, int(week), self.number]) + bytes.fromhex(self.id) + self.part
        code = base64.b32encode(raw + _check(raw)).decode().rstrip("=")
        return "-".join(code[start : start + 5] for start in range(0, len(code), 5))


def read_share(written: str) -> Share:
    """What `str(share)` wrote. Raises UsageError."""
    code = "".join(written.split()).replace("-", "").upper()
    try:
        raw = base64.b32decode(code + "=" * (-len(code) % 8))
        body, check = raw[:-4], raw[-4:]
    except ValueError:
        body, check = b"", b""
    if len(body) != 4 + 8 + KEY_BYTES or body[0] != 1 or not hmac.compare_digest(check, _check(body)):
        raise UsageError("a share: wanted the whole of it as it was given out, got something else, or with a slip")
    return Share(body[4:12].hex(), f"{2000 + body[1]}-W{body[2]:02d}", body[3], body[12:])


class Pseudonyms:
    """folder: of the keys; without, in memory for as long as the process lives. Raises UsageError for one that cannot
    be used."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, clock: Callable[[], float] = time.time) -> None:
        self.folder = None if folder is None else Path(folder)
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = 0
        self._state = _State("", "")
        with self._lock:
            self._source_key = self._read_source_key()
            self._turn()

    def pseudonym(self, agent: str) -> str:
        """Somebody's name of this week."""
        with self._lock:
            self._turn()
            return _name(bytes.fromhex(self._state.key), agent)

    @property
    def week(self) -> str:
        """The present one, ISO: `2026-W47`."""
        with self._lock:
            self._turn()
            return self._state.week

    @property
    def sharings(self) -> tuple[Sharing, ...]:
        with self._lock:
            self._turn()
            return self._state.sharings

    def mark(self, source: str) -> str:
        """Of a live call's peer; its port is left out, as it differs from call to call."""
        host = source.rpartition(":")[0] if source.count(":") == 1 or source.startswith("[") else source
        digest = hmac.new(self._source_key, host.strip("[]").encode(), hashlib.sha256).hexdigest()
        return f"S-{digest[:16]}"

    def protect(self, event: E) -> E:
        """An event as it may be stored: the agent's name of the week, and a live source's mark."""
        if not isinstance(event, CallStarted):
            return event
        metadata = event.metadata
        if metadata.agent is not None:
            metadata = msgspec.structs.replace(metadata, agent=self.pseudonym(metadata.agent))
        source = event.source if event.transport == "file" else self.mark(event.source)
        return msgspec.structs.replace(event, metadata=metadata, source=source)

    # The two persons

    def share(self, holders: Sequence[str]) -> list[Share]:
        """Splits the present week's key: a share for each, never to be had again."""
        if len(holders) < 2 or len(set(holders)) < len(holders) or not all(holders) or len(holders) > 255:
            raise UsageError(f"wanted at least two holders with names of their own, got {', '.join(holders) or 'none'}")
        with self._lock:
            self._turn()
            key = bytes.fromhex(self._state.key)
            sharing = Sharing(_id(key), self._state.week, tuple(holders))
            self._keep(msgspec.structs.replace(self._state, sharings=(*self._state.sharings, sharing)))
        parts = split(key, len(holders))
        return [Share(sharing.id, sharing.week, number, part) for number, part in parts]

    def renew(self) -> None:
        """A new key from now on, that no share leads to; this week's names change at once."""
        with self._lock:
            self._turn()
            self._keep(_anew(self._state, self._state.week))

    # The key

    def _turn(self) -> None:
        """Moves the key on to the present week, and forgets the one before."""
        week = week_of(datetime.fromtimestamp(self._clock(), UTC).date())
        if self.folder is None:
            self._state = _on(self._state, week)
            return
        file = self.folder / "pseudonyms.json"
        try:
            seen = file.stat().st_mtime_ns if file.exists() else 0
            if self._state.key and week == self._state.week and seen == self._seen:
                return
            with locked(self.folder / "pseudonyms.lock"):
                kept = _read(file)
                self._state = _on(kept, week)
                if self._state != kept:
                    write_whole(file, msgspec.json.encode(self._state))
            self._seen = file.stat().st_mtime_ns
        except OSError as error:
            if self._state.key:
                self._state = _on(self._state, week)  # the disk is full: the next turn writes it
                return
            raise UsageError(f"{self.folder}: cannot be used for keys: {error.strerror or error}") from None

    def _keep(self, state: _State) -> None:
        if self.folder is not None:
            file = self.folder / "pseudonyms.json"
            try:
                with locked(self.folder / "pseudonyms.lock"):
                    write_whole(file, msgspec.json.encode(state))
                self._seen = file.stat().st_mtime_ns
            except OSError as error:
                raise UsageError(f"{file}: cannot be written: {error.strerror or error}") from None
        self._state = state

    def _read_source_key(self) -> bytes:
        if self.folder is None:
            return secrets.token_bytes(KEY_BYTES)
        file = self.folder / "source.key"
        try:
            with locked(self.folder / "pseudonyms.lock"):
                if not file.exists():
                    write_whole(file, secrets.token_hex(KEY_BYTES).encode())
                return bytes.fromhex(file.read_text("ascii"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: wanted a key, 64 hexadecimal digits: {error}") from None


def release(shares: Sequence[Share], pseudonym: str, week: str, candidates: Iterable[str]) -> list[str]:
    """Who of `candidates` had a name in a week: two shares of one setup give its key. Raises UsageError."""
    check_week(week)
    if len({share.number for share in shares}) < 2:
        raise UsageError(f"wanted the shares of two holders, got {len({share.number for share in shares})}")
    if len({(share.id, share.week) for share in shares}) > 1:
        raise UsageError("the shares are of different setups; wanted two of the same")
    first = shares[0]
    key = combine([(share.number, share.part) for share in shares])
    if _id(key) != first.id:
        raise UsageError("the shares do not fit together")
    if week < first.week:
        raise UsageError(f"week {week}: these shares lead to the names from {first.week} on, and not back")
    key = bytes.fromhex(_on(_State(first.week, key.hex()), week).key)
    return [one for one in candidates if hmac.compare_digest(_name(key, one).encode(), pseudonym.encode())]


def week_of(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def check_week(week: str) -> date:
    """The Monday of an ISO week. Raises UsageError."""
    try:
        year, number = week.split("-W")
        return date.fromisocalendar(int(year), int(number), 1)
    except ValueError:
        raise UsageError(f"wanted an ISO week such as 2026-W47, got {week!r}") from None


def _on(state: _State, week: str) -> _State:
    """Where the clock was a little fast the key stays; where it was weeks ahead, a new one takes its place, as the old
    one cannot come back."""
    if not state.key or check_week(state.week) - check_week(week) > timedelta(days=7):
        return _anew(state, week)
    key, monday = bytes.fromhex(state.key), check_week(state.week)
    while week_of(monday) < week:
        key = hmac.new(key, b"next", hashlib.sha256).digest()
        monday += timedelta(days=7)
    return msgspec.structs.replace(state, week=week_of(monday), key=key.hex())


def _anew(state: _State, week: str) -> _State:
    over = tuple(msgspec.structs.replace(one, until=one.until or state.week) for one in state.sharings)
    return _State(week, secrets.token_hex(KEY_BYTES), over)


def _read(file: Path) -> _State:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_State)
    except FileNotFoundError:
        return _State("", "")
    except msgspec.DecodeError as error:
        raise UsageError(f"{file}: wanted the key of pseudonyms: {error}") from None


def _name(key: bytes, agent: str) -> str:
    return f"A-{hmac.new(key, b'agent:' + agent.encode(), hashlib.sha256).hexdigest()[:DIGITS]}"


def _id(key: bytes) -> str:
    return hmac.new(key, b"id", hashlib.sha256).hexdigest()[:16]


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:4]


# Shamir, "How to share a secret", CACM 22 (1979), with lines over GF(256) for each byte; the field is AES's (FIPS 197).


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


_PRODUCT = [[_times(a, b) for b in range(256)] for a in range(256)]
_INVERSE = [0] + [row.index(1) for row in _PRODUCT[1:]]


def split(secret: bytes, count: int) -> list[tuple[int, bytes]]:
    """A part for each of `count`: any two give the secret, one alone says nothing of it."""
    slopes = secrets.token_bytes(len(secret))
    return [
        (x, bytes(byte ^ _PRODUCT[slope][x] for byte, slope in zip(secret, slopes, strict=True)))
        for x in range(1, count + 1)
    ]


def combine(parts: Sequence[tuple[int, bytes]]) -> bytes:
    """The secret, from the first two that differ in their number."""
    (x, first), (y, second) = sorted(dict(parts).items())[:2]
    scale = _INVERSE[x ^ y]
    return bytes(a ^ _PRODUCT[_PRODUCT[a ^ b][scale]][x] for a, b in zip(first, second, strict=True))
