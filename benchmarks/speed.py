"""Speed on one core: the front end alone, stage by stage, for few channels and many; recordings from end to end."""

import resource
from collections.abc import Iterator, Sequence
from functools import partial
from operator import truediv
from pathlib import Path

import numpy as np
import vocal_kernels as vk

from vocal.analysis import run
from vocal.config import Config
from vocal.demo import call_path
from vocal.transports.files import open_call
from vocal.types import Event, Metadata

from . import peers, stages
from .clock import REPEATS, timed_cpu
from .contenders import contest
from .results import Skipped
from .rows import Row, timed
from .targets import target

CHANNELS = (208, 1008, 2000, 4000)
QUICK_CHANNELS = (208, 2000)
QUICK_REPEATS = 3
LIVE_TICKS = 25
ALLOCATED_MB = 50.0
"""What threads' allocators hold in reserve, now more, now less."""


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


def end_to_end(folder: Path | None, quick: bool) -> Iterator[Row | Skipped]:
    sets = [("one call", [call_path()])]
    paths = sorted(folder.glob("*.flac")) if folder is not None else []
    if not paths:
        yield Skipped("speed: recordings of real voices", "wanted --data DIR, with calls/staged in it")
    else:
        sets += [("one call, real voices", paths[:1]), (f"{len(paths)} calls, at once", paths)][: 1 if quick else 2]
    for name, paths in sets:
        rate = partial(truediv, seconds_of(paths))
        for notice in (True, False):
            condition = f"{name}, {'with' if notice else 'without'} emotion"
            found = timed_cpu(partial(recordings, paths, notice), QUICK_REPEATS if quick else REPEATS)
            aim = target("end to end", "two-channel recordings", condition)
            yield timed("end to end", "two-channel recordings", condition, "vocal", found, rate, "x real time", aim)


def many_channels(speech: np.ndarray, counts: Sequence[int]) -> Iterator[Row]:
    """As live: all blocks are moved on by one tick, half a second of ticks."""
    boundary, nobody = vk.Boundary(), np.zeros(vk.LANES, np.int64)
    lanes = [np.roll(speech, -lane * vk.RATE_HZ)[: LIVE_TICKS * vk.TICK_SAMPLES] for lane in range(vk.LANES)]
    pcm = np.ascontiguousarray(np.stack(lanes, axis=1), np.float32)

    crew, heard = vk.Crew(), np.zeros((vk.TICK_SAMPLES, vk.LANES), np.float32)

    def move(table: vk.Table) -> None:
        for first in range(0, len(pcm), vk.TICK_SAMPLES):
            heard[:] = pcm[first : first + vk.TICK_SAMPLES]
            crew.advance(table, boundary)

    each: list[list[float]] = []
    for channels in counts:
        blocks = [vk.new_state()]
        blocks += [vk.new_state(blocks[0]) for _ in range(1, channels // vk.LANES)]
        table = vk.Table()
        for state in blocks:
            table.append(state, heard, nobody)
        table.wanted[:] = True
        move(table)  # pages are touched
        found = timed_cpu(partial(move, table))
        audio_s = LIVE_TICKS * vk.TICK_S * channels
        each.append([time_s / audio_s for time_s in found.times_s])
        condition, rate = f"{channels} channels, tick by tick", partial(truediv, audio_s)
        aim = target("front end", "channels a core", condition)
        yield timed("front end", "channels a core", condition, "vocal", found, rate, "channels", aim)
    condition = f"{counts[-1]} channels against {counts[0]}"
    ratio = min(each[-1]) / min(each[0])
    ratios = tuple(many / few for many, few in zip(each[-1], each[0], strict=True))
    most = target("front end", "cost of a channel")
    yield Row("front end", "cost of a channel", condition, "vocal", ratio, "ratio", most, "lower", ratios)
    size_kb = sum(getattr(blocks[0], name).nbytes for name in blocks[0]._fields if name != "weights") / vk.LANES / 1e3
    most = target("front end", "memory of a channel")
    yield Row("front end", "memory of a channel", "its share of a block", "vocal", size_kb, "kB", most, "lower")


def beside_peers(speech: np.ndarray, with_peers: bool, repeats: int = REPEATS) -> Iterator[Row | Skipped]:
    """A minute of the demo call, each contender in a process of its own on the same core, in turns; Vocal takes sixteen
    such channels in one go, a peer one."""
    minute = np.ascontiguousarray(speech[: 60 * vk.RATE_HZ])
    others = (*peers.F0, *peers.SPEECH) if with_peers else ()
    found, missing = contest(("vocal", *(one.who for one in others)), minute, repeats)
    condition = "a minute of speech"
    ours = found.get("vocal")
    rate, own = partial(truediv, vk.LANES * 60.0), partial(truediv, 60.0)
    if ours is not None:
        yield timed("front end", "channels a core", f"{condition}, all features kept", "vocal", ours, rate, "channels")
    for who, why in missing.items():
        yield Skipped(f"speed: {who}, {condition}", why)
    for peer in others:
        if (theirs := found.get(peer.who)) is None:
            continue
        yield timed("front end", "channels a core", condition, f"{peer.who} alone", theirs, own, "channels")
        if ours is None:
            continue
        ratio = rate(ours.least_s) / own(theirs.least_s)
        # Of one round: what slowed one down slowed both.
        ratios = tuple(rate(mine) / own(time_s) for mine, time_s in zip(ours.times_s, theirs.times_s, strict=True))
        name = "vocal's channels to theirs"
        aim = target("front end", name, peer.who)
        yield Row("front end", name, condition, peer.who, ratio, "ratio", aim, repeats=ratios)


def rows(data: Path | None, with_peers: bool, quick: bool = False) -> Iterator[Row | Skipped]:
    """data: a folder with calls/staged, or None for the demo call alone."""
    recordings([call_path()], True)
    with open_call(call_path()) as source:
        speech = source.read(80 * vk.RATE_HZ)[:, 0].copy()
    yield from beside_peers(speech, with_peers, QUICK_REPEATS if quick else REPEATS)
    yield from many_channels(speech, QUICK_CHANNELS if quick else CHANNELS)
    yield from stages.rows(speech)
    yield from end_to_end(data / "calls" / "staged" if data else None, quick)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Row(
        "memory",
        "peak of this process",
        "all of the above",
        "vocal",
        peak_mb,
        "MB",
        None,
        "neither",
        (peak_mb,),
        grain=ALLOCATED_MB,
    )
