"""Speed on one core: recordings from end to end, and the front end alone.

    python benchmarks/speed.py [--data DATA] [--peers] [--json]

CPU seconds, not wall seconds; the process is pinned to one core, kernels are compiled before the clock starts. Each
figure is the best of five: what else the machine does can only slow it down.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import vocal_kernels as vk
from rows import Row, show

from vocal.analysis import run
from vocal.config import Config
from vocal.demo import call_path
from vocal.transports.files import open_call
from vocal.types import Event, Metadata

REPEATS = 5


def cpu_s(work: Callable[[], object]) -> float:
    """Least CPU time of REPEATS runs."""
    times = []
    for _ in range(REPEATS):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def recordings(paths: list[Path], notice: bool) -> None:
    events: list[Event] = []
    failures = run([(str(p), partial(open_call, p)) for p in paths], events.append, Config(), Metadata(notice=notice))
    assert not failures, failures


def seconds_of(paths: list[Path]) -> float:
    total = 0.0
    for path in paths:
        with open_call(path) as source:
            total += source.duration_s or 0.0
    return total


def end_to_end(folder: Path | None) -> list[Row]:
    sets = [("one call", [call_path()])]
    if folder is not None:
        paths = sorted(folder.glob("*.flac"))
        sets += [("one call, real voices", paths[:1]), (f"{len(paths)} calls at once", paths)]
    rows = []
    for name, paths in sets:
        audio_s = seconds_of(paths)
        for notice in (True, False):
            condition = f"{name}, {'with' if notice else 'without'} emotion"
            value = audio_s / cpu_s(partial(recordings, paths, notice))
            rows.append(Row("end to end", "two-channel recordings", condition, "vocal", value, "x real time"))
    return rows


def front_end() -> list[Row]:
    """A block of 16 channels of speech-like noise, in calls of one tick as live, and of a second as offline."""
    rng = np.random.default_rng(1)
    seconds = 20
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(seconds * vk.RATE_HZ) / vk.RATE_HZ)
    pcm = (rng.normal(size=(seconds * vk.RATE_HZ, vk.LANES)) * 0.05 * swell[:, None]).astype(np.float32)
    state, boundary, until = vk.new_state(), vk.Boundary(), np.zeros(vk.LANES, np.int64)
    rows = []
    for name, samples in (("a tick", vk.TICK_SAMPLES), ("a second", vk.MAX_TICKS * vk.TICK_SAMPLES)):

        def work(samples: int = samples) -> None:
            for first in range(0, len(pcm), samples):
                vk.advance(pcm[first : first + samples], until, boundary, state)

        value = vk.LANES * seconds / cpu_s(work)
        rows.append(Row("front end", "channels a core", f"{name} in each call", "vocal", value, "channels"))
    return rows


def peers() -> list[Row]:
    """Peers' descriptors of the same minute of telephone speech, one channel; a peer that is not installed is named."""
    with open_call(call_path()) as source:
        minute = source.read(60 * vk.RATE_HZ)[:, 0].copy()
    rows = []
    channels = [minute] * vk.LANES
    vocal_s = cpu_s(lambda: vk.extract(channels))
    vocal_channels = vk.LANES * 60 / vocal_s
    rows.append(Row("front end", "channels a core", "a minute of speech", "vocal", vocal_channels, "channels"))
    try:
        import opensmile

        smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
        channels_a_core = 60 / cpu_s(lambda: smile.process_signal(minute, vk.RATE_HZ))
        name = "openSMILE eGeMAPSv02 descriptors"
        rows.append(Row("front end", "channels a core", "a minute of speech", name, channels_a_core, "channels"))
        rows.append(Row("front end", "ratio", f"vocal to {name}", "vocal", vocal_channels / channels_a_core, "x"))
    except ImportError:
        print("opensmile is not installed: pip install opensmile (research licence)", file=sys.stderr)
    try:
        import webrtcvad

        detector = webrtcvad.Vad(2)
        pcm = (minute * 32767).astype(np.int16).tobytes()
        frames = [pcm[i : i + 320] for i in range(0, len(pcm) - 319, 320)]
        value = 60 / cpu_s(lambda: [detector.is_speech(frame, vk.RATE_HZ) for frame in frames])
        rows.append(Row("front end", "channels a core", "a minute of speech", "webrtcvad alone", value, "channels"))
    except ImportError:
        print("webrtcvad is not installed: pip install webrtcvad-wheels", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with calls/staged")
    parser.add_argument("--peers", action="store_true", help="measure what peers are installed beside us")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    recordings([call_path()], True)
    rows = front_end() + (peers() if arguments.peers else [])
    rows += end_to_end(arguments.data / "calls" / "staged" if arguments.data else None)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(Row("memory", "peak of this process", "all of the above", "vocal", peak_mb, "MB"))
    show(rows, arguments.json)


if __name__ == "__main__":
    main()
