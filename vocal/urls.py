"""Addresses that settings name: what is a safe one, and templates of them with fields to fill in."""

import string
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

from vocal.errors import ConfigError, unknown
from vocal.guard import LOOPBACK

MOST_VALUE = 200
"""Characters of a field that go into a link."""


def check_url(what: str, url: str, insecure: bool = False) -> None:
    """https, or http to this machine; insecure: to any. Raises ConfigError that begins with `what`."""
    try:
        parts = urlsplit(url)
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError:
        scheme, host = "", None
    if host is None or not (scheme == "https" or (scheme == "http" and (insecure or host in LOOPBACK))):
        raise ConfigError(f"{what}: wanted https://HOST..., got {url!r}")


def check_template(what: str, template: str, names: Iterable[str]) -> None:
    """An address with {names} behind its host. Raises ConfigError that begins with `what`."""
    names = tuple(names)
    try:
        fields = [(name, form, how) for _, name, form, how in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{what}: wanted fields as {{queue}}, got {template!r}: {error}") from None
    for name, form, how in fields:
        if name not in names:
            raise ConfigError(f"{what}: {unknown('field', name, names)}")
        if form or how:
            raise ConfigError(f"{what}: wanted {{{name}}} alone, got {template!r}")
    # Whatever is filled in may not choose the host: that ends before the first field.
    fixed, field, _ = template.partition("{")
    try:
        check_url(what, fixed)
        place = urlsplit(fixed)
        is_good = "@" not in place.netloc and bool(not field or place.path or place.query or place.fragment)
    except ConfigError:
        is_good = False
    if not is_good:
        raise ConfigError(f"{what}: wanted https://HOST/..., fields behind the host and no password, got {template!r}")


def filled(template: str, values: Mapping[str, str | None]) -> str:
    """The address, with each value as its own characters only: percent-encoded, and empty where there is none."""
    return template.format(**{name: _safe(value) for name, value in values.items()})


def _safe(value: str | None) -> str:
    value = (value or "")[:MOST_VALUE]
    # Browsers go up a folder for these, encoded or not.
    return "" if value in (".", "..") else quote(value.encode("utf-8", "replace"), safe="")
