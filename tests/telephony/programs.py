"""What the tests with real programs share: where they are, how they are run, and what a call has to show."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import Served

from vocal.config import PlayoutConfig, SipConfig
from vocal.types import CallEnded, CallStarted, Utterance

HERE = Path(__file__).parent
EXCERPT_S = 12
SIP = SipConfig(
    listen="127.0.0.1:0",
    internal=("7300-7399", "2249888500"),
    one_leg="customer",
    informed_by="X-Notice",
    queue_by="X-Queue",
    touchpoint_by="X-Touchpoint",
    joined_by="X-Call",
    side_by="",
)
# Its lag outlasts the breaks of a busy machine.
PATIENT = PlayoutConfig(lag_ms=400.0, most_lag_ms=1000.0)


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} on this machine: tests/run installs it")
    return found


def sip_port(served: Served, kind: str = "UDP") -> int:
    return int(served.service.listening[f"SIP over {kind}"].rpartition(":")[2])


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ended_calls(told: list[Any], count: int, since: int = 0, seconds: float = 30.0) -> list[list[Any]]:
    """The events of each of so many calls, in the order in which they began, once they have ended."""
    until(lambda: sum(isinstance(one, CallEnded) for one in told[since:]) >= count, seconds)
    events = told[since:]
    began = [one.call for one in events if isinstance(one, CallStarted)]
    return [[one for one in events if one.call == call] for call in began]


def utterances(events: list[Any], role: str | None = None) -> list[Utterance]:
    return [one for one in events if isinstance(one, Utterance) and role in (None, one.role)]


def same_measures(found: list[Utterance], expected: list[Utterance], shift_s: float = 0.3) -> None:
    """The utterances of the recording, but for a moment's shift and what that does to frames."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one.start_s - other.start_s) <= shift_s
        assert abs((one.end_s - one.start_s) - (other.end_s - other.start_s)) <= 0.1
        assert one.level_dbov is not None
        assert other.level_dbov is not None
        assert abs(one.level_dbov - other.level_dbov) <= 0.3
        assert one.lost_s == 0.0
        if one.f0_median_hz and other.f0_median_hz:
            assert abs(one.f0_median_hz - other.f0_median_hz) <= 0.03 * other.f0_median_hz


class Sipp:
    """sipp as a caller. Its scenarios lie beside this file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        need("sipp")

    def __call__(
        self,
        target: int,
        scenario: str,
        *options: str,
        calls: int = 1,
        rate: float = 10.0,
        keys: dict[str, str] | None = None,
        seconds: float = 60.0,
        code: int = 0,
    ) -> str:
        text = (HERE / f"{scenario}.xml").read_text("utf-8")
        for key, value in (keys or {}).items():
            text = text.replace(f"@{key}@", value)
        path = self._folder / f"{scenario}-{time.monotonic_ns()}.xml"
        path.write_text(text, "utf-8")
        asked = ["sipp", f"127.0.0.1:{target}", "-sf", str(path), "-i", "127.0.0.1", "-mi", "127.0.0.1"]
        asked += ["-p", str(free_port()), "-m", str(calls), "-r", str(rate), "-l", str(calls)]
        asked += ["-nostdin", "-trace_err", "-error_file", str(path.with_suffix(".err")), *options]
        ran = subprocess.run(asked, capture_output=True, text=True, timeout=seconds, cwd=self._folder)
        errors = path.with_suffix(".err")
        told = errors.read_text("utf-8", "replace") if errors.exists() else ran.stdout[-2000:]
        assert ran.returncode == code, told[-3000:]
        return ran.stdout


@contextmanager
def running(command: list[str], cwd: Path, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A program beside the test; ended with it."""
    with open(cwd / "out.txt", "w", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, text=True, **more)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


def until(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found
