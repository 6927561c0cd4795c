"""Vocal listens to telephone calls while they happen: tempo, loudness, pitch, overlaps, and the customer's mood."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocal.analysis import Analysis as Analysis
    from vocal.analysis import analyze as analyze
    from vocal.engine import Engine as Engine

__version__ = "0.1.0"

_LAZY = {"Analysis": "vocal.analysis", "analyze": "vocal.analysis", "Engine": "vocal.engine"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'vocal' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
