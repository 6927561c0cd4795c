"""Speed on one core: the front end alone, stage by stage, for few channels and many; recordings from end to end."""

import resource
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import vocal_kernels as vk

from vocal.analysis import run
from vocal.config import Config
from vocal.demo import call_path
from vocal.transports.files import open_call
from vocal.types import Event, Metadata

from . import peers, stages
from .clock import cpu_s
from .rows import Row

TARGET_CHANNELS = 3500.0
TARGET_RATIO = 50.0
CHANNELS = (208, 1008, 2000, 4000)
LIVE_TICKS = 25


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


def end_to_end(folder: Path | None) -> Iterator[Row]:
    sets = [("one call", [call_path()])]
    if folder is not None:
        paths = sorted(folder.glob("*.flac"))
        sets += [("one call, real voices", paths[:1]), (f"{len(paths)} calls at once", paths)]
    for name, paths in sets:
        audio_s = seconds_of(paths)
        for notice in (True, False):
            condition = f"{name}, {'with' if notice else 'without'} emotion"
            value = audio_s / cpu_s(partial(recordings, paths, notice))
            yield Row("end to end", "two-channel recordings", condition, "vocal", value, "x real time")


def many_channels(speech: np.ndarray) -> Iterator[Row]:
    """As live: block after block is moved on by one tick, half a second of ticks, until each has had its turn."""
    boundary, nobody = vk.Boundary(), np.zeros(vk.LANES, np.int64)
    lanes = [np.roll(speech, -lane * vk.RATE_HZ)[: LIVE_TICKS * vk.TICK_SAMPLES] for lane in range(vk.LANES)]
    pcm = np.ascontiguousarray(np.stack(lanes, axis=1), np.float32)

    def move(blocks: list[vk.State]) -> None:
        for first in range(0, len(pcm), vk.TICK_SAMPLES):
            tick = pcm[first : first + vk.TICK_SAMPLES]
            for state in blocks:
                vk.advance(tick, nobody, boundary, state)

    each = []
    for channels in CHANNELS:
        blocks = [vk.new_state()]
        blocks += [vk.new_state(blocks[0]) for _ in range(1, channels // vk.LANES)]
        move(blocks)  # pages are touched
        each.append(cpu_s(partial(move, blocks)) / (LIVE_TICKS * vk.TICK_S * channels))
        condition = f"{channels} channels, tick by tick"
        yield Row("front end", "channels a core", condition, "vocal", 1 / each[-1], "channels", TARGET_CHANNELS)
    condition = f"{CHANNELS[-1]} channels against {CHANNELS[0]}"
    yield Row("front end", "cost of a channel", condition, "vocal", each[-1] / each[0], "ratio", 1.1, "lower")
    size_kb = sum(getattr(blocks[0], name).nbytes for name in blocks[0]._fields if name != "weights") / vk.LANES / 1e3
    yield Row("front end", "memory of a channel", "its share of a block", "vocal", size_kb, "kB", 300.0, "lower")


def beside_peers(speech: np.ndarray, with_peers: bool) -> Iterator[Row]:
    """A minute of the demo call; Vocal takes sixteen such channels in one go, a peer one."""
    minute = np.ascontiguousarray(speech[: 60 * vk.RATE_HZ])
    channels = [minute] * vk.LANES
    ours = vk.LANES * 60 / cpu_s(lambda: vk.extract(channels))
    condition = "a minute of speech"
    yield Row("front end", "channels a core", f"{condition}, all features kept", "vocal", ours, "channels")
    if not with_peers:
        return
    for peer in peers.installed((*peers.F0, *peers.SPEECH)):
        theirs = 60 / cpu_s(partial(peer.hear, minute), 2)
        yield Row("front end", "channels a core", condition, f"{peer.who} alone", theirs, "channels")
        target = TARGET_RATIO if peer.hear is peers.egemaps_f0 else None
        yield Row("front end", "vocal's channels to theirs", condition, peer.who, ours / theirs, "ratio", target)


def rows(data: Path | None, with_peers: bool) -> Iterator[Row]:
    """data: a folder with calls/staged, or None for the demo call alone."""
    recordings([call_path()], True)
    with open_call(call_path()) as source:
        speech = source.read(80 * vk.RATE_HZ)[:, 0].copy()
    yield from beside_peers(speech, with_peers)
    yield from many_channels(speech)
    yield from stages.rows(speech)
    yield from end_to_end(data / "calls" / "staged" if data else None)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Row("memory", "peak of this process", "all of the above", "vocal", peak_mb, "MB")
