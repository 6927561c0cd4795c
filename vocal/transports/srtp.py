"""SRTP keys by SDES (RFC 4568) and libsrtp's sessions for the native media plane.

The library is the one that pylibsrtp brings along: its functions' addresses go to the native part once, and packets
never pass through Python. What of pylibsrtp is not public and used here stands in `_library`.
"""

import base64
import binascii
import os
from functools import cache
from typing import Any, Literal

import msgspec
from vocal_kernels import _native

from vocal.errors import MediaError, UsageError

Suite = Literal["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"]
SUITES: tuple[Suite, ...] = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
KEY_BYTES = 30
"""16 of the master key, 14 of its salt."""


class SrtpKeys(msgspec.Struct, frozen=True):
    """The keys of a stream, 30 bytes each. theirs: of what they send; ours: of what we send, which is reports."""

    theirs: bytes
    ours: bytes | None = None
    suite: Suite = "AES_CM_128_HMAC_SHA1_80"


def parse_inline(text: str) -> bytes:
    """The key of an `a=crypto` line's `inline:...`. Raises MediaError; of a master key index none but one byte is read.

    Lifetimes are not looked at: a call does not live for 2^31 packets.
    """
    method, _, rest = text.strip().partition(":")
    key, *parameters = rest.split("|")
    if method.lower() != "inline":
        raise MediaError(f"crypto: wanted inline:KEY, got {method[:20]!r}:...")
    if any(":" in one for one in parameters):
        raise MediaError("crypto: master key indices (MKI) are not supported")
    try:
        found = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("crypto: the key is no base64") from None
    if len(found) != KEY_BYTES:
        raise MediaError(f"crypto: wanted a key of {KEY_BYTES} bytes, got {len(found)}")
    return found


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def inline(key: bytes) -> str:
    return "inline:" + base64.b64encode(key).decode("ascii")


@cache
def _library() -> tuple[Any, Any]:
    try:
        from pylibsrtp import Policy
        from pylibsrtp._binding import ffi, lib

        functions = [
            ffi.addressof(lib, name)
            for name in ("srtp_unprotect", "srtp_unprotect_rtcp", "srtp_protect", "srtp_protect_rtcp", "srtp_dealloc")
        ]
    except (ImportError, AttributeError) as error:
        raise UsageError(f"SRTP: wanted the package pylibsrtp with libsrtp 2: {error}") from None
    if any("void *, int *)" not in str(ffi.typeof(one)) for one in functions[:4]):
        raise UsageError("SRTP: this version of pylibsrtp has another libsrtp than 2: pip install 'pylibsrtp<2'")
    _native.set_srtp(*(int(ffi.cast("uintptr_t", one)) for one in functions))
    return Policy, (ffi, lib)


def new_session(key: bytes, suite: Suite, is_inbound: bool) -> int:
    """A session of libsrtp, as the address that the native part takes over."""
    if len(key) != KEY_BYTES:
        raise UsageError(f"SRTP key: wanted {KEY_BYTES} bytes, got {len(key)}")
    policy_of, (ffi, lib) = _library()
    profile = (
        policy_of.SRTP_PROFILE_AES128_CM_SHA1_80
        if suite == "AES_CM_128_HMAC_SHA1_80"
        else policy_of.SRTP_PROFILE_AES128_CM_SHA1_32
    )
    direction = policy_of.SSRC_ANY_INBOUND if is_inbound else policy_of.SSRC_ANY_OUTBOUND
    policy = policy_of(key, direction, 0, profile)
    session = ffi.new("srtp_t *")
    if lib.srtp_create(session, policy._policy) != lib.srtp_err_status_ok:
        raise UsageError("SRTP: libsrtp takes no such keys")
    return int(ffi.cast("uintptr_t", session[0]))
