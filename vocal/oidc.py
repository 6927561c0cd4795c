"""Signing in by OpenID Connect: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636), as a relying party.

    browser ─► begin: provider's page, with state, nonce and challenge
    browser ◄─ provider's page
    browser ─► finish: code ─► token endpoint ─► ID token, verified by the provider's keys ─► Principal

What a person is here (role, team, id) comes from claims of the ID token, as the settings say. Blocks on the network:
not for an event loop.
"""

import base64
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet, import_key

from vocal.access import Principal
from vocal.config import OidcConfig
from vocal.errors import ConfigError, LoginError
from vocal.urls import check_url

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Of signatures by a key that only the provider has; a token that names another, «none» above all, is refused."""

PENDING_S = 600.0
MOST_PENDING = 1000
KEPT_S = 3600.0
"""How long what a provider says of itself is not asked again; its keys are, when a token names one we do not have."""

WAIT_S = 8.0
MOST_BYTES = 1 << 20
LEEWAY_S = 60


class _Pending(msgspec.Struct, frozen=True):
    """A browser that was sent to the provider. browser: a secret that only it has, so that nobody signs others in."""

    browser: str
    nonce: str
    verifier: str
    redirect_url: str
    to: str
    until_s: float


class Provider:
    """A provider as the settings name it. Raises ConfigError for settings that cannot work."""

    def __init__(self, config: OidcConfig, clock: Callable[[], float] = time.time) -> None:
        check_url("[oidc] issuer", config.issuer)
        if config.redirect_url:
            check_url("[oidc] redirect_url", config.redirect_url)
        if not config.client_id:
            raise ConfigError("[oidc]: wanted client_id, as the provider knows this server")
        if not config.groups:
            raise ConfigError('[oidc]: wanted groups, such as {"call-centre" = "agent"}: nobody could sign in')
        self.config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._about: tuple[float, dict[str, str]] | None = None
        self._keys: KeySet | None = None
        self._client = httpx.Client(verify=ssl.create_default_context(), follow_redirects=False, timeout=WAIT_S)

    def begin(self, to: str, redirect_url: str) -> tuple[str, str]:
        """The provider's address for a browser, and the secret that the browser is to bring back."""
        about = self._discover()
        state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
        now_s = self._clock()
        with self._lock:
            self._pending = {key: one for key, one in self._pending.items() if one.until_s > now_s}
            if len(self._pending) >= MOST_PENDING:
                del self._pending[next(iter(self._pending))]
            self._pending[state] = _Pending(browser, nonce, verifier, redirect_url, to, now_s + PENDING_S)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": redirect_url,
            "scope": " ".join(dict.fromkeys(("openid", *self.config.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        start = about["authorization_endpoint"]
        return f"{start}{'&' if urlsplit(start).query else '?'}{urlencode(asked)}", browser

    def finish(self, answer: Mapping[str, str], browser: str) -> tuple[Principal, str]:
        """Who came back with the provider's answer, and where they wanted to go. Raises LoginError."""
        with self._lock:
            pending = self._pending.pop(answer.get("state", ""), None)
        if pending is None or pending.until_s <= self._clock() or not hmac.compare_digest(pending.browser, browser):
            raise LoginError("stale", "the sign-in was not begun in this browser, took too long or was used already")
        if "error" in answer:
            raise LoginError("declined", f"the provider says {answer['error'][:100]!r}")
        about = self._discover()
        if answer.get("iss", about["issuer"]) != about["issuer"]:  # RFC 9207
            raise LoginError("invalid", f"the answer is from {answer['iss'][:200]!r}, wanted {about['issuer']!r}")
        token = self._redeem(about, answer.get("code", ""), pending)
        return self.principal_of(self._verified(token, about, pending.nonce)), pending.to

    def principal_of(self, claims: Mapping[str, Any]) -> Principal:
        """What somebody is here, by their claims. Raises LoginError where they are nobody."""
        config = self.config
        groups = _listed(_claim(claims, config.groups_claim))
        role = next((role for group, role in config.groups.items() if group in groups), None)
        if role is None:
            raise LoginError("nobody", f"claim {config.groups_claim!r} is {groups}, wanted one of {[*config.groups]}")
        team = next(iter(_listed(_claim(claims, config.team_claim))), None)
        person = _claim(claims, config.id_claim)
        if role == "lead" and team is None:
            raise LoginError("nobody", f"claim {config.team_claim!r} is missing: a lead wants a team")
        if role == "agent" and not (isinstance(person, str) and person):
            raise LoginError("nobody", f"claim {config.id_claim!r} is missing: an agent wants the id that calls name")
        names = (claims.get(key) for key in ("name", "preferred_username", "email", "sub"))
        name = next(one for one in names if isinstance(one, str) and one)
        return Principal(name[:200], role, person if role == "agent" else None, team)

    def _discover(self) -> dict[str, str]:
        """The provider's own description (OpenID Connect Discovery 1.0)."""
        about = self._about
        if about is not None and about[0] > self._clock():
            return about[1]
        issuer = self.config.issuer
        found = self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != issuer:
            raise LoginError("provider", f"{issuer}: it calls itself {found.get('issuer')!r}")
        told: dict[str, str] = {"issuer": issuer}
        for key in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            value = found.get(key)
            try:
                check_url(f"[oidc] {key}", value if isinstance(value, str) else "")
            except ConfigError as error:
                raise LoginError("provider", f"{issuer}: {error}") from None
            told[key] = str(value)
        methods = _listed(found.get("token_endpoint_auth_methods_supported")) or ["client_secret_basic"]
        told["method"] = "basic" if "client_secret_basic" in methods else "post"
        self._about = (self._clock() + KEPT_S, told)
        self._keys = None
        return told

    def _redeem(self, about: Mapping[str, str], code: str, pending: _Pending) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_url,
            "code_verifier": pending.verifier,
            "client_id": self.config.client_id,
        }
        headers = {}
        if self.config.client_secret and about["method"] == "basic":
            pair = f"{quote_plus(self.config.client_id)}:{quote_plus(self.config.client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self.config.client_secret:
            form["client_secret"] = self.config.client_secret
        token = self._ask(about["token_endpoint"], urlencode(form).encode(), headers).get("id_token")
        if not isinstance(token, str):
            raise LoginError("provider", f"{about['token_endpoint']}: wanted an id_token, got none")
        return token

    def _verified(self, token: str, about: Mapping[str, str], nonce: str) -> dict[str, Any]:
        """The claims of an ID token, if it is the provider's, ours, of now and of this sign-in (Core 1.0, 3.1.3.7)."""
        wanted = jwt.JWTClaimsRegistry(
            int(self._clock()),
            LEEWAY_S,
            iss={"essential": True, "value": about["issuer"]},
            aud={"essential": True, "value": self.config.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            try:
                found = jwt.decode(token, self._known_keys(about), ALGORITHMS)
            except InvalidKeyIdError:
                self._keys = None  # the provider changes its keys now and then
                found = jwt.decode(token, self._known_keys(about), ALGORITHMS)
            wanted.validate(found.claims)
        except ExpiredTokenError:
            raise LoginError("expired", "the ID token has expired; do both clocks agree?") from None
        except (JoseError, ValueError) as error:
            raise LoginError("invalid", f"the ID token does not hold: {type(error).__name__}: {error}") from None
        claims = found.claims
        if claims.get("azp", self.config.client_id) != self.config.client_id:
            raise LoginError("invalid", f"the ID token was made for {claims['azp']!r}")
        return claims

    def _known_keys(self, about: Mapping[str, str]) -> KeySet:
        if self._keys is None:
            keys = []
            for one in _listed(self._ask(about["jwks_uri"]).get("keys"), dict):
                try:
                    keys.append(import_key(one))
                except (JoseError, ValueError, TypeError):
                    continue  # of a kind that we do not know, and so need not
            self._keys = KeySet(keys)
        return self._keys

    def _ask(self, url: str, form: bytes | None = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        headers = {"Accept": "application/json", **(headers or {})}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        text = bytearray()
        try:
            with self._client.stream("GET" if form is None else "POST", url, content=form, headers=headers) as answer:
                for part in answer.iter_bytes():
                    text += part
                    if len(text) > MOST_BYTES:
                        break
            if answer.status_code != 200:
                raise LoginError("provider", f"{url}: {answer.status_code} {text[:300].decode('utf-8', 'replace')}")
            found = json.loads(text)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise LoginError("provider", f"{url}: {error}") from None
        if not isinstance(found, dict):
            raise LoginError("provider", f"{url}: wanted a JSON object")
        return found


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by a path with dots: realm_access.roles."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _listed(value: Any, kind: type = str) -> list[Any]:
    """What a claim holds, whether it is one or a list."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, kind) and one]
