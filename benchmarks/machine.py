"""The machine that was measured on, what ran there, and what else it did meanwhile."""

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, version
from itertools import pairwise
from pathlib import Path

import msgspec

from vocal import __version__

PACKAGES = ("numpy", "numba", "onnxruntime", "soxr", "av", "pyarrow")
PEERS = (
    "opensmile",
    "scikit-learn",
    "praat-parselmouth",
    "pysptk",
    "librosa",
    "silero-vad",
    "swift-f0",
    "torch",
    "uvloop",
    "webrtcvad-wheels",
)
LOOK_S = 0.5
STOOD_S = 2.0
BUSY_SHARE = 0.1
"""Of all cores, from which on others' work, or what the host takes away, is said beside the figures."""


class Machine(msgspec.Struct, frozen=True):
    processor: str
    cores: int
    memory_gb: float
    system: str
    python: str

    @property
    def told(self) -> str:
        cores = "one core" if self.cores == 1 else f"{self.cores} cores"
        return f"{self.processor}, {cores}, {self.memory_gb:g} GB"


def machine() -> Machine:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return Machine(
        name, cores, round(memory_gb, 1), f"{platform.system()} {platform.release()}", platform.python_version()
    )


def versions() -> dict[str, str]:
    """Of Vocal, what it stands on, and the peers that are here."""
    found = {"vocal": __version__}
    for name in PACKAGES + PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Of the clone that Vocal was installed from, with + where files have changed since; empty where there is none."""
    told = distribution("vocal").read_text("direct_url.json") or "{}"
    folder = json.loads(told).get("url", "").removeprefix("file://")
    if not folder:
        return ""
    try:
        found = subprocess.run(
            ("git", "describe", "--always", "--dirty=+", "--abbrev=12"), cwd=folder, capture_output=True, text=True
        )
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


class Others(threading.Thread):
    """Looks at what the machine does beside this process and its children, until stopped.

    share: of all cores, the mean; stolen: of it, what the host gave to other machines.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True, name="others")
        self._is_over = threading.Event()
        self._looks: list[tuple[float, float, float]] = []

    def run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            self._looks.append(_spent())

    def __enter__(self) -> "Others":
        self._looks.append(_spent())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()
        self._looks.append(_spent())

    @property
    def share(self) -> float:
        return self._between(self._looks, 1)

    @property
    def stolen(self) -> float:
        return self._between(self._looks, 2)

    @property
    def stood_s(self) -> float:
        """The longest time in which not even this thread had its turn: the machine was halted, or far too busy."""
        return max((two[0] - one[0] for one, two in pairwise(self._looks)), default=0.0) - LOOK_S

    def share_since(self, at_s: float) -> float:
        """Of time.monotonic, from the last look before it on."""
        looks = [*self._looks, _spent()]
        first = max((n for n, one in enumerate(looks) if one[0] <= at_s), default=0)
        return self._between(looks[first:], 1)

    def _between(self, looks: Sequence[tuple[float, float, float]], column: int) -> float:
        (first, *rest) = looks
        if not rest:
            return 0.0
        whole_s = (rest[-1][0] - first[0]) * (os.cpu_count() or 1)
        return max(0.0, rest[-1][column] - first[column]) / whole_s if whole_s > 0.0 else 0.0


def _spent() -> tuple[float, float, float]:
    """Now; CPU seconds of all cores that neither this process nor its children used; and those that were stolen."""
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    try:
        fields = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return time.monotonic(), 0.0, 0.0
    user, nice, system, _, _, irq, soft, steal = fields
    return time.monotonic(), tick_s * (user + nice + system + irq + soft + steal) - _own_s(), tick_s * steal


def _own_s() -> float:
    """CPU seconds of this process and all that it started, ended ones among them."""
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        spent[int(entry.name)] = tick_s * sum(map(int, fields[11:15]))  # own, and of children that were waited for
    own, total = os.getpid(), 0.0
    for number, seconds in spent.items():
        above: int | None = number
        while above and above != own:
            above = parents.get(above)
        if above == own:
            total += seconds
    return total
