"""What a page draws beside the rows: curves and confusions that a part of the benchmark hands over."""

from typing import Literal

import msgspec


class Curve(msgspec.Struct, frozen=True, tag=True):
    """roc: (share of false alarms, share of hits). reliability: (confidence, share right)."""

    kind: Literal["roc", "reliability"]
    title: str
    who: str
    points: list[tuple[float, float]]


class Confusion(msgspec.Struct, frozen=True, tag=True):
    """shares: of each true label, a row, what was taken for which, a column."""

    title: str
    who: str
    labels: tuple[str, ...]
    shares: list[list[float]]


class Course(msgspec.Struct, frozen=True, tag=True):
    """How a figure goes with what is done to it. lines: by name, (what is done, the figure) in order of the first."""

    title: str
    unit: str
    done: str
    lines: dict[str, list[tuple[float, float]]]


Drawing = Curve | Confusion | Course
