"""What `vocal bench` was asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Asked(NamedTuple):
    """What is to be measured.

    topics: of the part, where one is asked for; none is all. data: a folder of corpora with truth; without it, what
    Vocal makes itself. folds: of models that never heard a speaker, or a corpus. model: a folder; None: the one that
    ships. quick: less of everything, two minutes in all. budget_s: no part of the work is begun after it, None: no such
    limit.
    calls, minutes: of capacity, so many for so long, in place of a search; 0: a search. loss: of its packets, 0-1,
    jitter_ms: of their times, with_talkspurts: only while somebody speaks. targets: a file with others.
    """

    parts: Sequence[str]
    topics: Sequence[str]
    data: Path | None
    with_peers: bool
    folds: Path | None
    model: Path | None = None
    quick: bool = False
    budget_s: float | None = None
    calls: int = 0
    minutes: float = 10.0
    loss: float = 0.0
    jitter_ms: float = 0.0
    with_talkspurts: bool = False
    targets: Path | None = None

    @property
    def has_faults(self) -> bool:
        return bool(self.loss or self.jitter_ms or self.with_talkspurts)

    def settings(self) -> dict[str, str]:
        """As a run keeps them; no folder's name, which differs from machine to machine."""
        return {
            "parts": " ".join(self.parts),
            "topics": " ".join(self.topics),
            "data": "given" if self.data else "none",
            "peers": "yes" if self.with_peers else "no",
            "folds": "given" if self.folds else "none",
            "model": self.model.name if self.model else "shipped",
            "quick": "yes" if self.quick else "no",
            "budget_s": "none" if self.budget_s is None else f"{self.budget_s:g}",
            "targets": self.targets.name if self.targets else "shipped",
            "calls": f"{self.calls} for {self.minutes:g} min" if self.calls else "searched",
            "loss": f"{100.0 * self.loss:g} %" if self.loss else "none",
            "jitter": f"{self.jitter_ms:g} ms" if self.jitter_ms else "none",
            "talkspurts": "yes" if self.with_talkspurts else "none",
        }
