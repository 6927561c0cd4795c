"""Whether a request is from whom it says: Twilio's signature, AudioHook's HTTP message signatures (RFC 9421), and ours
under webhooks, as Standard Webhooks has it.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)

from vocal.errors import AccessError, ConfigError

COVERED = (
    "@request-target",
    "@authority",
    "audiohook-organization-id",
    "audiohook-session-id",
    "audiohook-correlation-id",
    "x-api-key",
)
LEAST_NONCE = 22
MOST_NONCES = 100_000


class SignedRequest:
    """As much of a request as a signature can cover. url: whole, as the peer called it."""

    method = "GET"

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        self.headers = dict(headers)


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys

    def resolve_public_key(self, key_id: str) -> bytes | None:
        return self._keys.get(key_id)

    def resolve_private_key(self, key_id: str) -> bytes:
        return self._keys[key_id]


class _Verifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(seconds=3)


class MessageSignatures:
    """keys: the client secret of each API key, in base64; empty for a client that does not sign.

    age_s: of a signature at most; within it no nonce is taken twice. Raises ConfigError for a secret that is none.
    """

    def __init__(
        self, keys: Mapping[str, str], age_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            self._keys = {name: base64.b64decode(secret, validate=True) for name, secret in keys.items()}
        except binascii.Error as error:
            raise ConfigError(f"[media] audiohook_keys: wanted each client secret in base64: {error}") from None
        self._age_s, self._clock = age_s, clock
        self._verifier = _Verifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=_Keys(self._keys))
        self._nonces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def knows(self, api_key: str) -> bool:
        return api_key in self._keys

    def check(self, request: SignedRequest, covered: Sequence[str] = COVERED, is_fresh: bool = True) -> None:
        """Raises AccessError for a request that is not signed with the secret of its API key, lately, for this."""
        api_key = request.headers.get("x-api-key", "")
        if api_key not in self._keys:
            raise AccessError("X-API-KEY: unknown")
        is_signed = "signature" in request.headers or "signature-input" in request.headers
        if not self._keys[api_key]:
            if is_signed:
                raise AccessError("signature: this API key has no client secret here")
            return
        try:
            age = timedelta(seconds=self._age_s) if is_fresh else None
            (found,) = self._verifier.verify(request, max_age=age, require_components=covered)
        except InvalidSignature as error:
            raise AccessError(f"signature: {error or 'it does not fit'}") from None
        except Exception as error:  # whatever else a stranger's header leads the library to
            raise AccessError(f"signature: {type(error).__name__}") from None
        if found.parameters["keyid"] != api_key:
            raise AccessError("signature: keyid is not the API key")
        self._check_nonce(api_key, found.nonce)

    def _check_nonce(self, api_key: str, nonce: str | None) -> None:
        if nonce is None or len(nonce) < LEAST_NONCE:
            raise AccessError(f"signature: wanted a nonce of at least {LEAST_NONCE} characters")
        now_s = self._clock()
        while self._nonces and next(iter(self._nonces.values())) < now_s:
            self._nonces.popitem(last=False)
        if (api_key, nonce) in self._nonces:
            raise AccessError("signature: it was used already")
        self._nonces[api_key, nonce] = now_s + self._age_s + 2.0 * _Verifier.max_clock_skew.total_seconds()
        if len(self._nonces) > MOST_NONCES:
            self._nonces.popitem(last=False)


def signed(request: SignedRequest, api_key: str, secret: str, nonce: str) -> SignedRequest:
    """The request with the two headers by which AudioHook's client shows who it is."""
    keys = _Keys({api_key: base64.b64decode(secret)})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    signer.sign(request, key_id=api_key, nonce=nonce, label="sig1", covered_component_ids=COVERED)
    return request


def twilio_signature(token: str, url: str) -> str:
    """X-Twilio-Signature of a request without a body: HMAC-SHA1 of the URL, by the account's auth token."""
    return base64.b64encode(hmac.new(token.encode(), url.encode(), hashlib.sha1).digest()).decode()


def check_twilio(tokens: Sequence[str], url: str, given: str | None) -> None:
    """Raises AccessError. Twilio signs some addresses with a slash at the end, whether or not they were given so."""
    if given is None:
        raise AccessError("wanted X-Twilio-Signature")
    fits = False
    for token in tokens:
        for one in (url.rstrip("/"), url.rstrip("/") + "/"):
            fits |= hmac.compare_digest(twilio_signature(token, one).encode(), given.encode())
    if not fits:
        raise AccessError("X-Twilio-Signature: it does not fit")


LEAST_KEY, MOST_KEY = 24, 64


def webhook_key(what: str, secret: str) -> bytes:
    """The key in a secret of Standard Webhooks: `whsec_` and base64. Raises ConfigError, which does not tell it."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_KEY <= len(key) <= MOST_KEY:
        raise ConfigError(
            f"{what}: wanted whsec_ and {LEAST_KEY} to {MOST_KEY} bytes in base64; one is made by: "
            f"python -c 'import base64, os; print(\"whsec_\" + base64.b64encode(os.urandom(32)).decode())'"
        )
    return key


def webhook_signature(keys: Sequence[bytes], message: str, timestamp: int, body: bytes) -> str:
    """webhook-signature: one for each key, so that receivers may change theirs at leisure."""
    signed = f"{message}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
