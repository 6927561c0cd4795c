"""The catalogue of texts in German and English, and how numbers, times and dates are written in each.

`texts.toml` holds every text under a dotted key with both languages side by side, so neither can lack one. What
`text` returns is plain text: whoever writes it into a page escapes it there.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from vocal.types import Language

LANGUAGES: tuple[Language, ...] = ("de", "en")

_NO_BREAK = "\N{NO-BREAK SPACE}"
_UNIT = re.compile(r"(?<=\d) (?=(?:m?s|min|dB|dBov|Hz)\b|%)")  # a number and its unit stay on one line
_CATALOGUE = Path(__file__).with_name("texts.toml")


@cache
def catalogue() -> Mapping[str, Mapping[Language, str]]:
    """All texts: dotted key -> language -> text."""
    with _CATALOGUE.open("rb") as file:
        return dict(_flat(tomllib.load(file), ""))


def _flat(table: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[Language, str]]]:
    if any(isinstance(value, str) for value in table.values()):
        if set(table) != set(LANGUAGES):
            raise ValueError(f"{_CATALOGUE.name}: expected {path!r} in {', '.join(LANGUAGES)}, but got {sorted(table)}")
        return [(path, {language: _UNIT.sub(_NO_BREAK, table[language]) for language in LANGUAGES})]
    return [pair for key, value in table.items() for pair in _flat(value, f"{path}.{key}" if path else key)]


def has_text(key: str) -> bool:
    return key in catalogue()


def text(key: str, language: Language, **values: object) -> str:
    """The text of `key` with its {names} filled in. An unknown key is a KeyError: a defect of ours."""
    template = catalogue()[key][language]
    return template.format(**values) if values else template


def number(value: float | None, language: Language, decimals: int = 1, *, signed: bool = False) -> str:
    """`4,1` in German, `4.1` in English; a true minus sign; a dash for what could not be measured."""
    if value is None or not math.isfinite(value):
        return text("format.none", language)
    rounded = round(value, decimals) + 0.0  # + 0.0 turns -0.0 into 0.0
    written = f"{rounded:+.{decimals}f}" if signed and rounded else f"{rounded:.{decimals}f}"
    return written.replace("-", "\N{MINUS SIGN}").replace(".", "," if language == "de" else ".")


def quantity(value: float | None, unit: str, language: Language, decimals: int = 1, *, signed: bool = False) -> str:
    """A number with its unit (`unit.<unit>` of the catalogue), which a line break cannot part."""
    written = number(value, language, decimals, signed=signed)
    if value is None or not math.isfinite(value):
        return written
    filled = text("format.with_unit", language, value=written, unit=text(f"unit.{unit}", language))
    return filled.replace(" ", _NO_BREAK)


def per_cent(share: float | None, language: Language, decimals: int = 0) -> str:
    """A share 0-1 as per cent."""
    if share is None or not math.isfinite(share):
        return text("format.none", language)
    filled = text("format.per_cent", language, value=number(share * 100.0, language, decimals))
    return filled.replace(" ", _NO_BREAK)


def clock(seconds: float) -> str:
    """`m:ss`, in both languages."""
    whole = max(0, math.floor(seconds + 0.5)) if math.isfinite(seconds) else 0
    return f"{whole // 60}:{whole % 60:02d}"


def length(seconds: float | None, language: Language) -> str:
    """A stretch of time: `12,4 s` under a minute, `2:05 min` above."""
    if seconds is None or not math.isfinite(seconds) or abs(seconds) < 59.95:
        return quantity(seconds, "s", language)
    return text("format.minutes", language, clock=clock(seconds)).replace(" ", _NO_BREAK)


def date(started_at: str, language: Language, *, with_zone: bool = True) -> str:
    """ISO 8601 as a reader writes it, with the zone it came in; what is no date stays as it is."""
    try:
        at = datetime.fromisoformat(started_at)
    except ValueError:
        return started_at
    month = text(f"month.{at.month}", language)
    written = text("format.date", language, day=at.day, month=month, year=at.year, time=f"{at:%H:%M}")
    offset = at.utcoffset()
    return written if offset is None or not with_zone else f"{written} ({_zone(offset)})"


def _zone(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60.0)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    sign = "+" if minutes > 0 else "\N{MINUS SIGN}"
    return f"UTC{sign}{hours}" + (f":{rest:02d}" if rest else "")
