"""What is aimed at: the numbers of targets.yaml, and of a file that has others in their place.

PART:
  FIGURE: NUMBER
  FIGURE: {CONDITION: NUMBER}
"""

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from vocal.errors import ConfigError, unknown

Aim = float | dict[str, float]
Targets = dict[str, dict[str, Aim]]

SHIPPED = Path(__file__).with_name("targets.yaml")

_others: Targets = {}


def target(part: str, figure: str, condition: str = "") -> float | None:
    """The number for a figure; None where its condition has none. condition: as in the table; of those in the file that
    it is, or ends with, the longest."""
    aim = (_others or shipped())[part][figure]
    if not isinstance(aim, dict):
        return aim
    fitting = [name for name in aim if condition == name or condition.endswith(f", {name}")]
    return aim[max(fitting, key=len)] if fitting else None


def limit(part: str, figure: str) -> float:
    """The number for a figure that has one in all conditions."""
    found = target(part, figure)
    assert found is not None
    return found


def use(path: Path | None) -> None:
    """From now on a file's numbers in place of the shipped ones; None: the shipped ones alone.

    Raises ConfigError for a file that cannot be read, and for what the shipped one does not have.
    """
    _others.clear()
    if path is not None:
        _others.update(_read(path))


@cache
def shipped() -> Targets:
    return msgspec.yaml.decode(SHIPPED.read_bytes(), type=Targets)


def _read(path: Path) -> Targets:
    """The shipped targets, with a file's numbers where it has some."""
    try:
        given = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: targets cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: wanted YAML: {' '.join(str(error).split())}") from None
    found = {part: dict(figures) for part, figures in shipped().items()}
    for part, figures in _items(given, "part", found, str(path)):
        for figure, aim in _items(figures, "figure", found[part], f"{path}: {part}"):
            where = f"{path}: {part}: {figure}"
            own = found[part][figure]
            if isinstance(own, dict):
                found[part][figure] = own | {
                    name: _number(one, where) for name, one in _items(aim, "condition", own, where)
                }
            else:
                found[part][figure] = _number(aim, where)
    return found


def _items(given: object, what: str, known: Iterable[str], where: str) -> list[tuple[str, object]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: wanted {what}: ..., of {', '.join(known)}; got {given!r}")
    for name in given:
        if name not in known:
            raise ConfigError(f"{where}: {unknown(what, str(name), known)}")
    return list(given.items())


def _number(given: object, where: str) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise ConfigError(f"{where}: wanted a number, got {given!r}")
    return float(given)
