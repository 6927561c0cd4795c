"""What can go wrong, as one small tree.

    VocalError
    ├── UsageError        the caller asked for something that cannot be: exit code 2
    │   └── ConfigError   a settings file or variable that cannot be followed
    ├── InputError        a recording that cannot be read as a call
    ├── ModelError        a model that does not keep its contract
    ├── StoreError        a store that cannot be read or written
    ├── AuditError        an audit log that cannot be: what wants an entry first is refused
    ├── AccessError       somebody who may not do this, or whom we do not know
    │   └── LoginError    a sign-in elsewhere that did not work out; `why` is a text key
    ├── MediaError        a peer that does not speak as its transport wants
    └── CapacityError     a call that the machine does not carry any more: try again later

Each message names what was wanted and what was given, in one line.
"""

import difflib
from collections.abc import Iterable


def unknown(what: str, given: str, wanted: Iterable[str]) -> str:
    """The words for a name that nobody knows, with its nearest neighbour."""
    near = difflib.get_close_matches(given, list(wanted), 1, 0.0)
    return f"unknown {what} {given!r}" + (f"; did you mean {near[0]!r}?" if near else "")


class VocalError(Exception):
    """The root: what a user can mend. Anything else is a defect of ours."""

    exit_code = 1


class UsageError(VocalError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class InputError(VocalError):
    pass


class ModelError(VocalError):
    pass


class StoreError(VocalError):
    pass


class AuditError(VocalError):
    pass


class AccessError(VocalError):
    pass


class LoginError(AccessError):
    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


class MediaError(VocalError):
    pass


class CapacityError(VocalError):
    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
