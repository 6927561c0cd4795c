"""`vocal serve` in a process of its own, and what it spends: CPU by thread, memory, context switches.

It ends with the process that started it, however that ends.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vocal.errors import InputError

START_S = 300.0
"""Where its kernels are not compiled yet, and others are at work, too."""
COUNTED = (
    "Playout",
    "Session",
    "Peer",
    "RTCPeerConnection",
    "RTCDtlsTransport",
    "Connection",
    "Inlet",
    "_Feed",
    "_Connection",
    "_Room",
)
"""Classes of which nothing may be left when no call is open."""

GENEROUS = {"VOCAL_SERVER_OPENS_BURST": "1e9", "VOCAL_SERVER_OPENS_PER_S": "1e9"}
THREADS = {
    "vocal-rtp": "media plane",
    "vocal-clock": "clock",
    "vocal-bank": "clock's helpers",
    "vocal-emotion": "emotion",
    "vocal-decode": "decoding",
}
"""By the system's name of a thread, what it does; the process's first one is the event loop."""

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


# In the server's process


def serve(kept_s: float) -> None:
    """`vocal serve`, which also counts its tasks when it is sent SIGUSR1, and its objects at SIGUSR2."""
    from vocal.cli import main
    from vocal.sinks import hub

    hub.KEPT_S = kept_s
    end_with_parent(signal.SIGTERM)

    def count(number: int, _: object) -> None:
        found: dict[str, Any] = {"tasks": 0}
        with contextlib.suppress(RuntimeError):
            found["tasks"] = len(asyncio.all_tasks())
        if number == signal.SIGUSR2:
            gc.collect()
            names = Counter(type(one).__name__ for one in gc.get_objects() if type(one).__module__ != "builtins")
            found["objects"] = {name: names[name] for name in COUNTED}
        os.write(1, (json.dumps(found) + "\n").encode())

    for wanted in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(wanted, count)
    sys.exit(main(["serve", "--port", "0"]))


def end_with_parent(how: int) -> None:
    """This process is sent `how` once the other end of its standard input is closed."""

    def wait() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), how)

    threading.Thread(target=wait, daemon=True).start()


# What a process spends


class Spent(NamedTuple):
    """Of a process, from its beginning. cpu_s: by what its threads do; switches: of context."""

    at_s: float
    cpu_s: Mapping[str, float]
    switches: int
    rss_mb: float

    @property
    def all_s(self) -> float:
        return sum(self.cpu_s.values())


def spent(process: int) -> Spent:
    """Raises OSError where there is no such process."""
    folder = Path(f"/proc/{process}")
    found: dict[str, float] = {}
    switches = 0
    for entry in (folder / "task").iterdir():
        # A thread may end meanwhile; what it spent is not seen then.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            head, _, rest = (entry / "stat").read_text().rpartition(")")
            fields = rest.split()
            name = "event loop" if entry.name == str(process) else THREADS.get(head.partition("(")[2], "other threads")
            try:
                cpu_s = 1e-9 * int((entry / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ValueError, IndexError):  # a system that counts hundredths of a second only
                cpu_s = TICK_S * (int(fields[11]) + int(fields[12]))
            found[name] = found.get(name, 0.0) + cpu_s
            status = _status(entry)
            switches += int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])
    return Spent(time.monotonic(), found, switches, int(_status(folder)["VmRSS"].split()[0]) / 1024.0)


def _status(folder: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line)


# Here


class Server:
    """The process, and what it holds."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid
        self._lines: list[str] = []
        self._errors: deque[str] = deque(maxlen=20)
        threading.Thread(target=self._read, daemon=True).start()
        if process.stderr is not None:
            threading.Thread(target=self._errors.extend, args=(process.stderr,), daemon=True).start()
        self.url = self._wait("Vocal listens on ", START_S).split(" ")[-1].strip()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    def _wait(self, beginning: str, seconds: float) -> str:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in list(self._lines):
                if line.startswith(beginning):
                    self._lines.remove(line)
                    return line
            if self._process.poll() is not None:
                time.sleep(0.1)
                raise InputError(
                    f"the server ended: {''.join(self._errors).strip()[-500:] or self._process.returncode}"
                )
            time.sleep(0.02)
        raise InputError(f"the server did not say «{beginning.strip()}» within {seconds:.0f} s")

    def sip(self) -> str:
        """HOST:PORT, where it listens for SIP."""
        return self._wait("SIP over UDP on ", 5.0).split(" ")[-1].strip()

    def spent(self) -> Spent:
        try:
            return spent(self.pid)
        except (OSError, KeyError):
            raise InputError(f"the server ended: {''.join(self._errors).strip()[-500:]}") from None

    def figures(self) -> dict[str, Any]:
        """What it says of itself."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30.0) as answer:
            said = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
        plain = ("calls", "channels", "tick_mean_ms", "tick_p99_ms", "emotion_busy")
        sums = ("ticks", "late_ticks", "skipped_ticks", "failed_ticks", "refused_calls", "events")
        found: dict[str, Any] = {name: float(said[f"vocal_{name}"]) for name in plain}
        found |= {name: int(float(said[f"vocal_{name}_total"])) for name in sums}
        states = ("connecting", "connected", "lost")
        found["webrtc_sessions"] = int(sum(float(said[f'vocal_webrtc_sessions{{state="{one}"}}']) for one in states))
        whats = ("opened", "connected", "lost", "ended", "failed", "not_connected", "refused")
        found["webrtc"] = {what: int(float(said[f'vocal_webrtc_total{{what="{what}"}}'])) for what in whats}
        packets = ("received", "lost", "late", "duplicate", "reordered")
        found["packets"] = {what: int(float(said[f'vocal_packets{{what="{what}"}}'])) for what in packets}
        return found

    def sample(self, with_objects: bool = False) -> dict[str, Any]:
        """What it holds now. It answers late where the machine is busy."""
        folder = Path(f"/proc/{self.pid}")
        targets = []
        for entry in (folder / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(entry))
        self._process.send_signal(signal.SIGUSR2 if with_objects else signal.SIGUSR1)
        found = json.loads(self._wait("{", 30.0))
        return {
            "rss_mb": round(self.spent().rss_mb, 1),
            "threads": int(_status(folder)["Threads"]),
            "files": len(targets),
            "sockets": sum(one.startswith("socket:") for one in targets),
            **found,
            **self.figures(),
        }


@contextmanager
def serving(kept_s: float, settings: Mapping[str, str] = {}) -> Iterator[Server]:
    """A server's process with settings of the environment. Raises InputError where it does not start."""
    command = [sys.executable, "-P", "-c", f"from vocal.benchmarks.server import serve; serve({kept_s})"]
    pipe = subprocess.PIPE
    environment = {**os.environ, **GENEROUS, **settings}
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            yield Server(process)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30.0)
        finally:
            if process.poll() is None:
                process.kill()
