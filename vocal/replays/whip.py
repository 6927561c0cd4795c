"""Plays recordings as calls by WHIP: `vocal replay --to whip:...`, and the senders of tests and benchmarks."""

import asyncio
import contextlib
import heapq
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from vocal.errors import InputError, UsageError, VocalError
from vocal.replays.dialects import encoded
from vocal.replays.pace import PACKET_SAMPLES, Faults, Recording
from vocal.transports.offers import CODINGS, Coding
from vocal.transports.opus import DTX_BYTES, OpusEncoder
from vocal.transports.webrtc import Peer
from vocal.types import Metadata

PACKET_S = 0.02
CONNECT_S = 20.0
LATE_PACKETS = 1.5
"""How many packets' time a reordered packet is held back."""


class Encoder:
    """One side's packets of 20 ms at 8 kHz, coded. dtx: Opus makes packets of a byte or two where nothing is said."""

    def __init__(self, coding: Coding, dtx: bool = False) -> None:
        self._coding = coding
        self._opus = OpusEncoder(dtx=dtx) if coding == "opus" else None

    def push(self, pcm: NDArray[np.float32]) -> list[bytes]:
        """Audio (160, 1)."""
        if self._opus is None:
            return [encoded(pcm, "alaw" if self._coding == "pcma" else "mulaw")]
        padded = np.zeros(PACKET_SAMPLES, np.float32)
        padded[: len(pcm)] = pcm[:, 0]
        return [self._opus.encode(padded)]

    def flush(self) -> list[bytes]:
        """What the encoder still holds of what was said: 6.5 ms."""
        return [] if self._opus is None else [self._opus.encode(np.zeros(PACKET_SAMPLES, np.float32))]


class WhipConnection:
    """One WHIP session, from its client's side."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._states: asyncio.Queue[str] = asyncio.Queue()
        self.peer = Peer(on_state=self._states.put_nowait)
        self.call = ""
        self.location = ""
        self.etag = ""

    async def open(self, coding: Coding, tracks: int, query: dict[str, str]) -> None:
        """Raises InputError where the server refuses, or the connection does not come to stand."""
        offer = await self.peer.offer([coding], tracks)
        url = f"{self._url}?{urlencode(query)}" if query else self._url
        status, headers, body = await self.request("POST", url, offer, "application/sdp")
        if status != 201:
            raise InputError(f"{self._url}: {status} {_detail(body)}")
        self.location = urljoin(self._url, headers.get("Location", ""))
        self.call, self.etag = headers.get("Vocal-Call", ""), headers.get("ETag", "")
        await self.peer.accept(body.decode())
        try:
            state = ""
            while state != "connected":
                state = await asyncio.wait_for(self._states.get(), CONNECT_S)
                if state in ("failed", "closed"):
                    raise InputError(f"{self._url}: the connection {state}")
            # The server is ready a moment later, and what comes before is lost.
            await asyncio.sleep(0.1)
        except TimeoutError:
            raise InputError(f"{self._url}: not connected within {CONNECT_S:.0f} s") from None

    async def close(self) -> None:
        """Ends the session as RFC 9725 wants it."""
        with contextlib.suppress(InputError):
            if self.location:
                await self.request("DELETE", self.location)
        await self.peer.close()

    async def request(self, method: str, url: str, body: str = "", kind: str = "") -> tuple[int, Any, bytes]:
        headers = {**self._headers, **({"Content-Type": kind} if kind else {})}
        verify = ssl.create_default_context() if url.startswith("https:") else False
        try:
            async with httpx.AsyncClient(timeout=30.0, verify=verify) as client:
                answer = await client.request(method, url, content=body.encode() if body else None, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise InputError(f"{url}: cannot be reached: {error}") from None
        return answer.status_code, answer.headers, answer.content


def whip_url(given: str) -> str:
    """The endpoint that `whip:http://HOST:PORT` means; without a path our own."""
    parts = urlsplit(given.removeprefix("whip:"))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"{given}: wanted whip:http://HOST:PORT/v1/whip")
    path = parts.path if parts.path not in ("", "/") else "/v1/whip"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def replay_whip(
    source: Recording,
    url: str,
    metadata: Metadata = Metadata(),
    *,
    call: str | None = None,
    coding: Coding = "opus",
    connections: int = 1,
    speed: float = 1.0,
    faults: Faults = Faults(),
    dtx: bool = False,
    token: str | None = None,
    on_progress: Callable[[float], None] = lambda done_s: None,
    seed: int = 0,
) -> tuple[str, int]:
    """Plays a recording to a WHIP server as a call that happens now; returns the call's id and how many packets of it
    were lost on purpose. connections: 2 for each side in a connection of its own. dtx: as browsers do where that was
    agreed on, nothing is sent while nothing is said.

    Raises InputError where the server refuses it, UsageError for a URL that is none.
    """
    if not speed > 0.0:
        raise UsageError(f"--speed: wanted more than 0, got {speed}")
    if connections > len(source.channels):
        raise UsageError(f"wanted as many channels as connections, got {len(source.channels)} for {connections}")
    roles = [one.role for one in source.channels]
    if "unknown" in roles:
        raise UsageError("WHIP: wanted --role agent or customer")
    if dtx and coding != "opus":
        raise UsageError(f"DTX: wanted opus, got {coding}")

    def play(routes: Sequence[tuple[WhipConnection, int]]) -> Awaitable[int]:
        return send(source, routes, coding, speed, faults, on_progress, seed, dtx)

    return asyncio.run(_replay(play, roles, whip_url(url), metadata, call, coding, connections, token))


async def _replay(
    play: Callable[[Sequence[tuple[WhipConnection, int]]], Awaitable[int]],
    roles: Sequence[str],
    url: str,
    metadata: Metadata,
    call: str | None,
    coding: Coding,
    connections: int,
    token: str | None,
) -> tuple[str, int]:
    open_ones: list[WhipConnection] = []
    routes: list[tuple[WhipConnection, int]] = []
    try:
        for number in range(connections):
            its = roles if connections == 1 else [roles[number]]
            query = _query(metadata, call, its)
            one = WhipConnection(url, token)
            open_ones.append(one)
            await one.open(coding, len(its), query)
            call = one.call or call
            routes += [(one, track) for track in range(len(its))]
        lost = await play(routes)
        await asyncio.sleep(0.1)
    finally:
        for one in open_ones:
            await one.close()
    return call or "", lost


def _query(metadata: Metadata, call: str | None, roles: Sequence[str]) -> dict[str, str]:
    said = {name: getattr(metadata, name) for name in ("queue", "touchpoint", "team", "agent", "language")}
    found = {name: str(value) for name, value in said.items() if value}
    found |= {"call": call} if call else {}
    found |= {name: "true" for name in ("notice", "consent") if getattr(metadata, name)}
    return found | ({"role": roles[0]} if len(roles) == 1 else {"roles": ",".join(roles)})


async def send(
    source: Recording,
    routes: Sequence[tuple[WhipConnection, int]],
    coding: Coding,
    speed: float = 1.0,
    faults: Faults = Faults(),
    on_progress: Callable[[float], None] = lambda done_s: None,
    seed: int = 0,
    dtx: bool = False,
) -> int:
    """Sends a recording's channels over the tracks of connections that stand; returns how many packets got lost."""
    chance = random.Random(seed)
    encoders = [Encoder(coding, dtx) for _ in routes]
    step = CODINGS[coding] // 50
    starts = [(chance.randrange(32768), chance.randrange(2**32)) for _ in routes]
    counts, numbers = [0] * len(routes), [0] * len(routes)  # of what was encoded, and of what of it is sent
    is_quiet = [False] * len(routes)
    lost = 0
    waiting: list[tuple[float, int, int, int, int, bytes]] = []  # due, order, track, number, place, payload

    def put(track: int, payloads: list[bytes], sent_s: float) -> None:
        nonlocal lost
        for payload in payloads:
            counts[track] += 1
            was_quiet, is_quiet[track] = is_quiet[track], dtx and len(payload) <= DTX_BYTES
            if was_quiet and is_quiet[track]:
                continue  # the first one said so
            numbers[track] += 1
            if chance.random() < faults.loss:
                lost += 1
                continue
            due_s = sent_s + chance.uniform(0.0, faults.jitter_ms) / 1000.0
            due_s += LATE_PACKETS * PACKET_S if chance.random() < faults.reorder else 0.0
            heapq.heappush(waiting, (due_s, number, track, numbers[track] - 1, counts[track] - 1, payload))

    async def release(until_s: float) -> None:
        while waiting and waiting[0][0] <= until_s:
            due_s, _, track, count, at, payload = heapq.heappop(waiting)
            if (wait_s := began + due_s / speed - time.monotonic()) > 0.0:
                await asyncio.sleep(wait_s)
            connection, place = routes[track]
            sequence, timestamp = starts[track]
            done = connection.peer.senders[place].push(
                coding, sequence + count, timestamp + at * step, payload, int(count == 0)
            )
            if not done:
                raise InputError("the server ended the connection")

    began = time.monotonic()
    number = 0
    while len(pcm := source.read(PACKET_SAMPLES)):
        sent_s = number * PACKET_S / (1.0 + faults.drift_ppm * 1e-6)
        for track, encoder in enumerate(encoders):
            put(track, encoder.push(pcm[:, track : track + 1]), sent_s)
        await release(sent_s)
        number += 1
        if number % 25 == 0:
            on_progress(number * PACKET_S)
    for track, encoder in enumerate(encoders):
        put(track, encoder.flush(), number * PACKET_S)
    await release(float("inf"))
    return lost


def _detail(body: bytes) -> str:
    try:
        found = msgspec.json.decode(body)
        return str(found.get("detail", found)) if isinstance(found, dict) else str(found)
    except (msgspec.DecodeError, VocalError):
        return body[:200].decode(errors="replace")
