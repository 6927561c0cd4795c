"""Calls come and go for minutes over real sockets: what a server's process holds over time, and what of it is left.

    vocal serve, a process of its own  ◄── calls by WebRTC and by WebSocket, half of each ── this process
            └── events ─► a WebSocket client that reads them all

By hand: python -m vocal.benchmarks.soak [--minutes 30] [--calls 10] [--out FOLDER] writes soak.json and soak.svg.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from websockets.asyncio.client import connect

from vocal.demo import call_path
from vocal.errors import InputError
from vocal.replays.dialects import encoded
from vocal.replays.whip import Encoder, WhipConnection
from vocal.transports.files import open_call
from vocal.transports.offers import CODINGS, Coding
from vocal.transports.pcm import Hello, hello_text
from vocal.types import Metadata

from .server import Server, serving

EVERY_S = 10.0
SETTLED_SHARE = 0.4
"""Of the time, after which memory is expected to stay: the server keeps ended calls' events for ten minutes."""

DRAIN_S = 100.0
"""Until the server has missed who vanished (25 s), and forgotten their sessions, too (60 s)."""

WARM_S = 3.0
BOTH = ("agent", "customer")


# Its load


class Audio:
    """The staged call, coded beforehand: raw PCM of both sides, and each side's packets by coding."""

    def __init__(self) -> None:
        with open_call(call_path()) as source:
            pcm = source.read(10_000_000)
        frames = np.split(pcm, range(160, len(pcm), 160))[:-1]
        self.raw = [encoded(frame, "pcm_s16le") for frame in frames]
        self.coded: dict[Coding, list[list[bytes]]] = {}
        for coding in ("opus", "pcma"):
            sides = []
            for column in range(len(BOTH)):
                encoder = Encoder(coding)
                sides.append([one for frame in frames for one in encoder.push(frame[:, column : column + 1])])
            self.coded[coding] = sides


async def call_by_socket(url: str, audio: Audio, chance: random.Random, seconds: float) -> str:
    """One in five is cut off instead of ended."""
    loop = asyncio.get_running_loop()
    async with connect(f"{url.replace('http', 'ws')}/v1/media/pcm", compression=None) as socket:
        notice = chance.random() < 0.7
        hello = Hello(encoding="pcm_s16le", channels=2, roles=BOTH, notice=notice, metadata=Metadata(notice=notice))
        await socket.send(hello_text(hello))
        if msgspec.json.decode(await socket.recv())["type"] != "opened":
            return "refused"
        place, began = chance.randrange(len(audio.raw)), loop.time()
        for number in range(round(50 * seconds)):
            await asyncio.sleep(max(0.0, began + 0.02 * number - loop.time()))
            await socket.send(audio.raw[(place + number) % len(audio.raw)])
        if chance.random() < 0.2:
            socket.transport.abort()
            return "cut off"
        await socket.send('{"type": "end"}')
        while msgspec.json.decode(await socket.recv())["type"] != "ended":
            pass
    return "ended"


async def call_by_webrtc(url: str, audio: Audio, chance: random.Random, seconds: float) -> str:
    """Both sides in one connection or in two; one in six vanishes without a word, one in six never connects."""
    coding: Coding = chance.choice(("opus", "opus", "pcma"))
    fate = chance.randrange(6)
    ones: list[WhipConnection] = []
    routes: list[tuple[WhipConnection, int]] = []
    loop = asyncio.get_running_loop()
    try:
        if fate == 0:
            one = WhipConnection(f"{url}/v1/whip")
            ones.append(one)
            status, _, _ = await one.request(
                "POST", f"{url}/v1/whip", await one.peer.offer([coding], 1), "application/sdp"
            )
            return "never connected" if status == 201 else "refused"
        query = {"notice": "true"} if chance.random() < 0.7 else {}
        for roles in [BOTH] if chance.random() < 0.5 else [BOTH[:1], BOTH[1:]]:
            one = WhipConnection(f"{url}/v1/whip")
            ones.append(one)
            said = {"role": roles[0]} if len(roles) == 1 else {"roles": ",".join(roles)}
            await one.open(coding, len(roles), {**query, **said})
            query["call"] = one.call
            routes += [(one, track) for track in range(len(roles))]
        place, began, step = chance.randrange(len(audio.raw)), loop.time(), CODINGS[coding] // 50
        for number in range(round(50 * seconds)):
            await asyncio.sleep(max(0.0, began + 0.02 * number - loop.time()))
            for side, (one, track) in zip(audio.coded[coding], routes, strict=True):
                if chance.random() > 0.01:
                    payload = side[(place + number) % len(side)]
                    one.peer.senders[track].push(coding, number, number * step, payload)
        if fate == 1:
            for one in ones:
                await one.peer.vanish()
                one.location = ""
            return "vanished"
        return "ended"
    except InputError:
        return "refused"
    finally:
        for one in ones:
            await one.close()


class Watcher:
    """The client that reads all events."""

    def __init__(self, url: str) -> None:
        self.events = self.lost = self.closed = 0
        self._url = f"{url.replace('http', 'ws')}/v1/live"

    async def run(self) -> None:
        while True:
            async with connect(self._url, compression=None, max_queue=None) as socket:
                async for text in socket:
                    frame = msgspec.json.decode(text)
                    self.events += "event" in frame
                    if "lost" in frame:
                        self.lost = sum(frame["lost"].values())
            self.closed += 1


async def load(
    server: Server, audio: Audio, minutes: float, calls: int, samples: list[dict[str, Any]]
) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    until = began + 60.0 * minutes
    outcomes: Counter[str] = Counter()
    watcher = Watcher(server.url)

    async def line(number: int) -> None:
        chance = random.Random(number)
        by = call_by_webrtc if number % 2 else call_by_socket
        await asyncio.sleep(chance.uniform(0.0, 5.0))
        while loop.time() < until:
            outcome = await by(server.url, audio, chance, min(until - loop.time(), chance.uniform(2.0, 60.0)) + 0.1)
            outcomes[f"{'webrtc' if number % 2 else 'ws'} {outcome}"] += 1
            await asyncio.sleep(chance.uniform(0.0, 2.0))

    watching = asyncio.create_task(watcher.run())
    lines = [asyncio.create_task(line(number)) for number in range(calls)]
    while loop.time() < until:
        await asyncio.sleep(min(EVERY_S, 6.0 * minutes))
        found = await asyncio.to_thread(server.sample)
        samples.append({"at_s": round(loop.time() - began, 1), "load": os.getloadavg()[0], **found})
        sys.stderr.write(json.dumps(samples[-1]) + "\n")
        for one in (watching, *lines):
            if one.done():
                one.result()
    await asyncio.gather(*lines)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return {
        "outcomes": dict(outcomes),
        "watched": {"events": watcher.events, "lost": watcher.lost, "closed": watcher.closed},
    }


def soak(minutes: float, calls: int, kept_s: float = 600.0) -> dict[str, Any]:
    """before, after: what the server's process held when no call was open. samples: what it held while calls ran."""
    audio = Audio()
    with serving(kept_s) as server:
        # A first call of each kind: what is made once is there before anything is compared.
        asyncio.run(_first(server.url, audio))
        time.sleep(DRAIN_S)
        before = server.sample(with_objects=True)
        samples: list[dict[str, Any]] = []
        said = asyncio.run(load(server, audio, minutes, calls, samples))
        time.sleep(DRAIN_S)
        after = server.sample(with_objects=True)
    settled = [one["rss_mb"] for one in samples[int(SETTLED_SHARE * len(samples)) :]]
    at_min = [one["at_s"] / 60.0 for one in samples[int(SETTLED_SHARE * len(samples)) :]]
    slope = float(np.polyfit(at_min, settled, 1)[0]) if len(settled) > 1 else 0.0
    return {
        "minutes": minutes,
        "calls": calls,
        **said,
        "rss_settled_mb": settled[0],
        "rss_last_mb": settled[-1],
        "rss_slope_mb_per_h": round(60.0 * slope, 2),
        "before": before,
        "after": after,
        "samples": samples,
    }


async def _first(url: str, audio: Audio) -> None:
    chance = random.Random(3)  # this one speaks, and ends
    await call_by_socket(url, audio, chance, WARM_S)
    while await call_by_webrtc(url, audio, chance, WARM_S) != "ended":
        pass


# What it shows

_ROWS = (
    ("rss_mb", "memory, MB"),
    ("calls", "open calls"),
    ("sockets", "open sockets"),
    ("tasks", "tasks"),
    ("threads", "threads"),
)


def drawing(found: dict[str, Any]) -> str:
    """A line for each thing that a process holds, over the minutes."""
    samples = found["samples"]
    width, height, left = 900, 90, 130
    last_s = samples[-1]["at_s"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(_ROWS) + 40}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for place, (name, title) in enumerate(_ROWS):
        values = [one[name] for one in samples]
        top, most = height * place + 15, max(values) or 1.0
        across = [left + (width - left - 20) * one["at_s"] / last_s for one in samples]
        down = [top + (height - 20) * (1.0 - value / most) for value in values]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
        parts.append(
            f'<text x="10" y="{top + 20}">{title}</text><text x="10" y="{top + 40}" fill="#666">most {most:g}</text>'
            f'<line x1="{left}" x2="{width - 20}" y1="{top + height - 20}" y2="{top + height - 20}" stroke="#ccc"/>'
            f'<polyline points="{points}" fill="none" stroke="#2b5f8a" stroke-width="1.5"/>'
        )
    parts.append(f'<text x="{left}" y="{height * len(_ROWS) + 30}">0</text>')
    parts.append(
        f'<text x="{width - 20}" y="{height * len(_ROWS) + 30}" text-anchor="end">{last_s / 60:.0f} min</text></svg>'
    )
    return "".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="default %(default)s")
    parser.add_argument("--calls", type=int, default=10, help="at once, default %(default)s")
    parser.add_argument("--kept", type=float, default=600.0, metavar="S", help="events of ended calls are kept so long")
    parser.add_argument("--out", metavar="FOLDER", default=".", help="where soak.json and soak.svg go")
    given = parser.parse_args(arguments)
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    found = soak(given.minutes, given.calls, given.kept)
    (folder / "soak.json").write_text(json.dumps(found, indent=1))
    (folder / "soak.svg").write_text(drawing(found))
    print(json.dumps({name: value for name, value in found.items() if name != "samples"}, indent=1))


if __name__ == "__main__":
    main()
