"""Who may do what: local accounts, sessions, API tokens and one-time links, in SQLite.

Passwords are kept as argon2 hashes, tokens as SHA-256: who reads the file can use neither. A token carries a keyed
signature, so a forged one is refused before the file is asked. Where identities come from elsewhere, as by OpenID
Connect, `issue` makes the session for whoever was recognised there.
"""

import hashlib
import hmac
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Literal, get_args

import argon2
import msgspec

from vocal.errors import AccessError, UsageError
from vocal.pseudonyms import Pseudonyms
from vocal.types import (
    AlertsMuted,
    AlertsSeen,
    CallStarted,
    Cue,
    Levels,
    LiveEvent,
    Metadata,
    PersonRole,
    Utterance,
)

AccountRole = PersonRole | Literal["ingest", "local"]
ACCOUNT_ROLES: tuple[AccountRole, ...] = (*get_args(PersonRole), "ingest", "local")
Kind = Literal["session", "token", "link"]

SESSION_S = 12 * 3600.0
LINK_S = 15 * 60.0
TOKEN_S = 90 * 86400.0
LEAST_PASSWORD = 10

_SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL, agent TEXT, team TEXT);
CREATE TABLE IF NOT EXISTS tokens (
    hash TEXT PRIMARY KEY, kind TEXT NOT NULL, expires_s REAL NOT NULL,
    name TEXT NOT NULL, role TEXT NOT NULL, agent TEXT, team TEXT);
"""


class Principal(msgspec.Struct, frozen=True):
    """Somebody we know. agent: the agent's id in the metadata of calls; team: whose calls a lead sees.

    local: this machine's user, where there are no accounts yet; may do everything.
    """

    name: str
    role: AccountRole
    agent: str | None = None
    team: str | None = None


LOCAL = Principal("local", "local")


class Access:
    """Accounts and tokens. path: of the SQLite file; by default in memory, for as long as the process lives, and so are
    the keys of `pseudonyms`."""

    def __init__(
        self,
        path: str | os.PathLike[str] = ":memory:",
        clock: Callable[[], float] = time.time,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.pseudonyms = pseudonyms or Pseudonyms(clock=clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._hasher = argon2.PasswordHasher()
        try:
            if str(path) != ":memory:":
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._base.executescript(_SCHEMA)
            self._base.execute("INSERT OR IGNORE INTO secrets VALUES ('key', ?)", (secrets.token_bytes(32),))
            (self._key,) = self._base.execute("SELECT value FROM secrets WHERE name = 'key'").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{path}: cannot be used for accounts: {error}") from None
        # An unknown name takes as long as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    def close(self) -> None:
        self._base.close()

    @property
    def has_accounts(self) -> bool:
        with self._lock:
            return self._base.execute("SELECT 1 FROM accounts LIMIT 1").fetchone() is not None

    def add(self, principal: Principal, password: str) -> None:
        """An account, or an account's new password and role; then its sessions are over."""
        self.check_new(principal, password)
        row = (principal.name, self._hasher.hash(password), principal.role, principal.agent, principal.team)
        with self._lock:
            self._base.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", row)
            self._base.execute("DELETE FROM tokens WHERE name = ?", (principal.name,))

    def check_new(self, principal: Principal, password: str | None = None) -> None:
        """Raises UsageError for an account, or a token, that cannot be."""
        if password is not None and len(password) < LEAST_PASSWORD:
            raise UsageError(f"password: wanted at least {LEAST_PASSWORD} characters, got {len(password)}")
        _check(principal)

    def remove(self, name: str) -> None:
        with self._lock:
            self._base.execute("DELETE FROM accounts WHERE name = ?", (name,))
            self._base.execute("DELETE FROM tokens WHERE name = ?", (name,))

    def accounts(self) -> list[Principal]:
        with self._lock:
            rows = self._base.execute("SELECT name, role, agent, team FROM accounts ORDER BY name").fetchall()
        return [Principal(*row) for row in rows]

    def login(self, name: str, password: str) -> Principal:
        """Takes some 50 ms by design: not on an event loop."""
        with self._lock:
            row = self._base.execute(
                "SELECT password, name, role, agent, team FROM accounts WHERE name = ?", (name,)
            ).fetchone()
        try:
            self._hasher.verify(row[0] if row else self._nobody, password)
        except argon2.exceptions.VerificationError:
            raise AccessError("name or password is wrong") from None
        if row is None:
            raise AccessError("name or password is wrong")
        return Principal(*row[1:])

    def issue(self, principal: Principal, kind: Kind = "session", lasts_s: float = SESSION_S) -> str:
        """A token for somebody; shown once, never again."""
        _check(principal)
        secret = f"v{kind[0]}_{secrets.token_urlsafe(24)}"
        token = f"{secret}.{self._sign(secret)}"
        now_s = self._clock()
        row = (_hash(token), kind, now_s + lasts_s, principal.name, principal.role, principal.agent, principal.team)
        with self._lock:
            self._base.execute("DELETE FROM tokens WHERE expires_s < ?", (now_s,))
            self._base.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return token

    def check(self, token: str, kinds: tuple[Kind, ...] = ("session", "token")) -> Principal:
        """Whose token it is. Raises AccessError for one that is forged, expired, revoked or of another kind."""
        row = self._row(token)
        if row is None or row[0] not in kinds or row[1] <= self._clock():
            raise AccessError("the token is unknown or has expired")
        return Principal(*row[2:])

    def redeem(self, token: str) -> Principal:
        """A one-time link's token, which thereby is used up."""
        principal = self.check(token, ("link",))
        if not self.revoke(token):
            raise AccessError("the token is unknown or has expired")
        return principal

    def revoke(self, token: str) -> bool:
        with self._lock:
            return self._base.execute("DELETE FROM tokens WHERE hash = ?", (_hash(token),)).rowcount > 0

    def pseudonym(self, agent: str) -> str:
        """What an agent is called before others, this week."""
        return self.pseudonyms.pseudonym(agent)

    def _row(self, token: str) -> tuple[str, float, str, AccountRole, str | None, str | None] | None:
        secret, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(secret).encode()):
            return None
        with self._lock:
            found = self._base.execute(
                "SELECT kind, expires_s, name, role, agent, team FROM tokens WHERE hash = ?", (_hash(token),)
            ).fetchone()
        return found if found is None else tuple(found)

    def _sign(self, secret: str) -> str:
        return hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:32]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _check(principal: Principal) -> None:
    if principal.role == "agent" and not principal.agent:
        raise UsageError(f"account {principal.name!r}: an agent wants the agent's id, as calls name it")
    if principal.role == "lead" and not principal.team:
        raise UsageError(f"account {principal.name!r}: a lead wants a team")


# What each role may see; auditors see no call


def may_see(principal: Principal, call: Metadata) -> bool:
    """Whether a call is somebody's to know of: agents their own, leads their team's."""
    if principal.role == "agent":
        return principal.agent is not None and call.agent == principal.agent
    if principal.role == "lead":
        return principal.team is not None and call.team == principal.team
    return principal.role in ("local", "operator")


def may_handle(principal: Principal, call: Metadata) -> bool:
    """Whether somebody may end a call, or state the notice on it: its agent, and the systems it came by."""
    return principal.role in ("local", "operator", "ingest") or (principal.role == "agent" and may_see(principal, call))


def metadata_for(principal: Principal, metadata: Metadata, access: Access) -> Metadata:
    """What is said of a call: to all but its agent, the agent has a pseudonym."""
    if metadata.agent is None or principal.role == "local" or principal.agent == metadata.agent:
        return metadata
    return msgspec.structs.replace(metadata, agent=access.pseudonym(metadata.agent))


def seen_by(principal: Principal, event: LiveEvent, call: Metadata, access: Access) -> LiveEvent | None:
    """An event as somebody may see it.

    Agents see all of their own calls but what is for the coach. Leads see the customer's side, the conversation and
    what is for the coach: the agent's own measures and cues are the agent's. Operators see that calls begin and end.
    """
    if not may_see(principal, call):
        return None
    if principal.role == "local":
        return event
    if principal.role == "agent":
        is_coachs = isinstance(event, AlertsSeen | AlertsMuted) or (
            isinstance(event, Cue) and event.audience == "coach"
        )
        return None if is_coachs else event
    if isinstance(event, CallStarted):
        return msgspec.structs.replace(event, source="", metadata=metadata_for(principal, event.metadata, access))
    if principal.role == "operator":
        return event if event.__struct_config__.tag == "call_ended" else None
    if isinstance(event, Cue):
        return event if event.audience == "coach" else None
    if isinstance(event, Utterance):
        return event if event.role == "customer" else None
    if isinstance(event, Levels):
        return msgspec.structs.replace(event, channels=tuple(one for one in event.channels if one.role == "customer"))
    return event
