"""Signatures against the published examples: AudioHook's documentation, RFC 9421, Twilio's scheme by another way."""

import base64
import hashlib
import hmac
import time

import pytest
from http_message_signatures import HTTPMessageVerifier, algorithms

from vocal.errors import AccessError, ConfigError
from vocal.signatures import MessageSignatures, SignedRequest, _Keys, check_twilio, signed, twilio_signature

# Genesys' example of its documentation.
API_KEY = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh"
SECRET = "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
URL = "wss://audiohook.example.com/api/v1/voicebiometrics/ws"
HEADERS = {
    "host": "audiohook.example.com",
    "audiohook-organization-id": "d7934305-0972-4844-938e-9060eef73d05",
    "audiohook-session-id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
    "audiohook-correlation-id": "e160e428-53e2-487c-977d-96989bf5c99d",
    "x-api-key": API_KEY,
    "signature": "sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:",
    "signature-input": 'sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" '
    '"audiohook-correlation-id" "x-api-key");keyid="SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh";'
    'nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";created=1641013200;expires=3282026430',
}
OURS = {name: value for name, value in HEADERS.items() if not name.startswith("signature")}


def fresh(url: str = URL, secret: str = SECRET, nonce: str = "n" * 24, **more: str) -> SignedRequest:
    return signed(SignedRequest(url, OURS | more), API_KEY, secret, nonce)


def test_the_published_example() -> None:
    keys = MessageSignatures({API_KEY: SECRET})
    keys.check(SignedRequest(URL, HEADERS), is_fresh=False)
    with pytest.raises(AccessError, match="age"):
        keys.check(SignedRequest(URL, HEADERS))
    for name, value in HEADERS.items():
        if name == "host":
            continue  # the authority is the URL's
        changed = value[:-3] + ("x" if value[-3] != "x" else "y") + value[-2:]
        fewer = {one: two for one, two in HEADERS.items() if one != name}
        for headers in (HEADERS | {name: changed}, fewer):
            with pytest.raises(AccessError):
                MessageSignatures({API_KEY: SECRET}).check(SignedRequest(URL, headers), is_fresh=False)
    for url in (URL + "/", URL + "?x=1", URL.replace("/ws", "/wt"), URL.replace("audiohook.", "other.")):
        with pytest.raises(AccessError):
            MessageSignatures({API_KEY: SECRET}).check(SignedRequest(url, HEADERS), is_fresh=False)


def test_the_example_of_rfc_9421() -> None:
    """Section 2.4 and appendix B.2.5: HMAC with test-shared-secret, computed here from the base that the RFC prints."""
    key = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
    base = (
        '"date": Tue, 20 Apr 2021 02:07:55 GMT\n"@authority": example.com\n"content-type": application/json\n'
        '"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    )
    printed = "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8="
    assert base64.b64encode(hmac.new(key, base.encode(), hashlib.sha256).digest()).decode() == printed
    request = SignedRequest(
        "https://example.com/foo",
        {
            "date": "Tue, 20 Apr 2021 02:07:55 GMT",
            "content-type": "application/json",
            "signature-input": 'sig-b25=("date" "@authority" "content-type");'
            'created=1618884473;keyid="test-shared-secret"',
            "signature": f"sig-b25=:{printed}:",
        },
    )
    keys = _Keys({"test-shared-secret": key})
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)
    assert verifier.verify(request, max_age=None)


def test_a_signature_serves_once_and_not_for_long() -> None:
    now_s = [0.0]
    keys = MessageSignatures({API_KEY: SECRET}, clock=lambda: now_s[0])
    request = fresh()
    keys.check(request)
    with pytest.raises(AccessError, match="used already"):
        keys.check(request)
    keys.check(fresh(nonce="m" * 24))
    now_s[0] = 17.0
    keys.check(fresh(nonce="k" * 24))
    assert len(keys._nonces) == 1  # the others could not come again anyway
    with pytest.raises(AccessError, match="nonce of at least 22"):
        keys.check(fresh(nonce="short"))
    with pytest.raises(AccessError):
        keys.check(fresh(secret=base64.b64encode(b"another").decode()))
    late = fresh(nonce="l" * 24)
    late.headers["Signature-Input"] = late.headers["Signature-Input"].replace(
        f"created={int(time.time())}", f"created={int(time.time()) + 60}"
    )
    with pytest.raises(AccessError):
        keys.check(late)


def test_who_does_not_sign_though_it_must_or_must_not() -> None:
    keys = MessageSignatures({API_KEY: SECRET, "plain": ""})
    with pytest.raises(AccessError):
        keys.check(SignedRequest(URL, OURS))
    keys.check(SignedRequest(URL, {"x-api-key": "plain"}))
    with pytest.raises(AccessError, match="no client secret"):
        keys.check(SignedRequest(URL, HEADERS | {"x-api-key": "plain"}))
    for unknown in ({}, {"x-api-key": "unknown"}, HEADERS | {"x-api-key": "unknown"}):
        with pytest.raises(AccessError, match="unknown"):
            keys.check(SignedRequest(URL, unknown))
    for broken in (
        "",
        "sig1=",
        'sig1=("',
        "sig1=?1",
        'sig1=("@status");created=1',
        "x" * 9000,
        "sig1=();" * 400,
        "\xff",
    ):
        with pytest.raises(AccessError):
            keys.check(SignedRequest(URL, HEADERS | {"signature-input": broken}))
        with pytest.raises(AccessError):
            keys.check(SignedRequest(URL, HEADERS | {"signature": broken}))
    with pytest.raises(ConfigError, match="base64"):
        MessageSignatures({API_KEY: "not base64!"})


def test_twilio() -> None:
    url = "wss://calls.example.com/v1/media/twilio"
    # The example of Twilio's documentation, whose form parameters stand behind the URL, in order.
    form = "CallSidCA1234567890ABCDECaller+14158675309Digits1234From+14158675309To+18005551212"
    printed = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert twilio_signature("12345", f"https://mycompany.com/myapp.php?foo=1&bar=2{form}") == printed
    check_twilio(("other", "12345"), url, twilio_signature("12345", url))
    check_twilio(("12345",), url, twilio_signature("12345", url + "/"))
    check_twilio(("12345",), url + "/", twilio_signature("12345", url))
    for given in (None, "", "x", twilio_signature("1234", url), twilio_signature("12345", url + "?x"), "ä"):
        with pytest.raises(AccessError):
            check_twilio(("12345",), url, given)
