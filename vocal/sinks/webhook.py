"""Events to other systems over HTTP, signed (Standard Webhooks), as CloudEvents 1.0 in JSON.

    Service.take ─► Webhooks.take ─► (its thread) ─► Outbox ─► one sender an endpoint ─► POST

Nothing of it holds up a call: `take` puts events aside, all else is done in a thread. Each endpoint gets its events in
their order, each at least once and under one id; one that hangs keeps no other waiting. Redirects are not followed.
"""

import asyncio
import contextlib
import logging
import random
import sqlite3
import ssl
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import NamedTuple, get_args

import httpx
import msgspec

from vocal.config import WebhookEndpoint, WebhooksConfig
from vocal.errors import ConfigError
from vocal.policy import RETENTION, for_others
from vocal.signatures import webhook_key, webhook_signature
from vocal.sinks.outbox import CloudEvent, Outbox, Told, Waiting, without_inferred_in
from vocal.types import CallEnded, CallStarted, Cue, Event, LiveEvent, Notice, Severity
from vocal.urls import check_url

LOG = logging.getLogger("vocal")
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
PREFIX = "vocal."
"""Of event types: `vocal.cue`. A name in reverse DNS would claim a domain that is not ours."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MOST_TAKEN = 100_000
MOST_ANSWER = 65_536
MOST_ASKED_WAIT_S = 86_400.0
LOOK_S = 1.0
PRUNE_S = 3600.0
STOP_S = 5.0
GONE = 410


class Outcome(NamedTuple):
    """Of a try. why: in words, where it was not taken; wait_s: how long the endpoint asks to be left alone."""

    status: int | None
    why: str = ""
    wait_s: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Status(msgspec.Struct, frozen=True):
    """An endpoint now. waiting: events; last: what became of the newest try."""

    name: str
    url: str
    events: tuple[str, ...]
    audience: tuple[str, ...]
    queues: tuple[str, ...]
    inferred: bool
    state: str
    waiting: int
    last: str


class _Taken(NamedTuple):
    """An event, with how its call began and when it happened."""

    event: Event
    started: CallStarted
    at_s: float


class Sender:
    """One endpoint: what it wants, and how it is asked. Raises ConfigError for settings that cannot work."""

    def __init__(self, endpoint: WebhookEndpoint, place: int, answer_s: float, clock: Callable[[], float]) -> None:
        what = f"[webhooks] endpoint {endpoint.name or place + 1}"
        check_url(f"{what}: url", endpoint.url, endpoint.insecure)
        if not endpoint.secrets:
            raise ConfigError(f"{what}: wanted secrets, at least one: receivers know our events by their signature")
        self.endpoint = endpoint
        self.name = endpoint.name or str(httpx.URL(endpoint.url).host)
        self._keys = [webhook_key(f"{what}: secrets", secret) for secret in endpoint.secrets]
        self._answer_s, self._clock = answer_s, clock
        try:
            self._context = ssl.create_default_context()
            if endpoint.ca:
                self._context.load_verify_locations(endpoint.ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{what}: ca: wanted a PEM file of certificates, got {endpoint.ca!r}: {error}") from None

    def wants(self, event: Event, started: CallStarted) -> Event | None:
        """What this endpoint is told of an event; None: nothing.

        An objection is told to all that get inferred values, whatever they want.
        """
        endpoint = self.endpoint
        kind = str(event.__struct_config__.tag)
        is_objection = isinstance(event, Notice) and endpoint.inferred
        if kind not in endpoint.events and not is_objection:
            return None
        if endpoint.queues and started.metadata.queue not in endpoint.queues:
            return None
        if isinstance(event, Cue) and SEVERITIES.index(event.severity) < SEVERITIES.index(endpoint.severity):
            return None
        return for_others(event, endpoint.audience, endpoint.inferred)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(verify=self._context, follow_redirects=False, timeout=self._answer_s) as client:
            yield client

    async def post(self, client: httpx.AsyncClient, message: str, body: bytes) -> Outcome:
        """One try. What the other side answers is not kept: it may say anything."""
        timestamp = int(self._clock())
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": "vocal",
            "webhook-id": message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": webhook_signature(self._keys, message, timestamp, body),
        }
        try:
            async with (
                asyncio.timeout(self._answer_s),
                client.stream("POST", self.endpoint.url, content=body, headers=headers) as answer,
            ):
                read = 0
                async for part in answer.aiter_raw():
                    read += len(part)
                    if read > MOST_ANSWER:
                        break
        except TimeoutError:
            return Outcome(None, f"no answer within {self._answer_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            return Outcome(None, f"{type(error).__name__}: {error}".strip(" :")[:200])
        status = answer.status_code
        if 200 <= status < 300:
            return Outcome(status)
        why = f"{status} {answer.reason_phrase}".strip()
        return Outcome(
            status,
            f"{why}: redirects are not followed" if 300 <= status < 400 else why,
            _asked_wait_s(answer.headers.get("retry-after"), self._clock()),
        )


def _asked_wait_s(given: str | None, now_s: float) -> float:
    """Retry-After (RFC 9110, 10.2.3): seconds or a date; 0 where it says neither."""
    if given is None:
        return 0.0
    try:
        wait_s = float(int(given))
    except ValueError:
        try:
            wait_s = parsedate_to_datetime(given).timestamp() - now_s
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(0.0, wait_s), MOST_ASKED_WAIT_S)


def senders(config: WebhooksConfig, clock: Callable[[], float] = time.time) -> list[Sender]:
    """One for each endpoint. Raises ConfigError."""
    made = [Sender(one, place, config.answer_s, clock) for place, one in enumerate(config.endpoints)]
    for name, count in Counter(one.name for one in made).items():
        if count > 1:
            raise ConfigError(f"[webhooks]: wanted a name of its own for each endpoint, got {name!r} {count} times")
    if made and not config.folder:
        raise ConfigError("[webhooks]: wanted folder, in which waits what other systems have not got yet")
    return made


def cloud_event(source: str, kind: str, happened: str, call: str | None, told: Told | None) -> CloudEvent:
    return CloudEvent("1.0", uuid.uuid4().hex, source, kind, happened, "application/json", call, told)


def trial_event(source: str) -> CloudEvent:
    """What `vocal webhooks test` sends: no call, no data."""
    return cloud_event(source, f"{PREFIX}test", datetime.now(UTC).isoformat(timespec="milliseconds"), None, None)


class _Line:
    """An endpoint's events on their way. more: there are some; again: try at once, or stop."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self.name = sender, sender.name
        self.more, self.again = asyncio.Event(), asyncio.Event()
        self.waiting = 0
        self.is_gone = False
        self.last = ""


class Webhooks:
    """Give it every event on one event loop (`take`). protect: an event as it may leave us, without an agent's name."""

    def __init__(
        self,
        config: WebhooksConfig,
        protect: Callable[[Event], Event],
        keep: timedelta = RETENTION.calls,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._protect, self._keep, self._clock = config, protect, keep, clock
        self._lines = {one.name: _Line(one) for one in senders(config, clock)}
        self._outbox = Outbox(config.folder, clock) if self._lines else None
        self._kinds = {kind for one in config.endpoints for kind in one.events} | {"notice"}
        self._calls: dict[str, CallStarted] = {}
        self._taken: deque[_Taken] = deque()
        self._unsaved: list[tuple[str, CloudEvent]] = []
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self.counts: Counter[tuple[str, str]] = Counter()
        """What became of events and tries, by endpoint: delivered, failed_tries, dead, gone; disk and lost by none."""

    def start(self) -> None:
        if self._outbox is None:
            return
        is_up = threading.Event()
        run = partial(self._run, self._outbox, is_up)
        self._thread = threading.Thread(target=lambda: asyncio.run(run()), name="webhooks", daemon=True)
        self._thread.start()
        is_up.wait(10.0)

    def stop(self) -> None:
        """What is on its way may end; the rest waits in the outbox."""
        self._is_stopping = True
        self._poke()
        if self._thread is not None:
            self._thread.join(2.0 * STOP_S)
        if self._outbox is not None and (self._thread is None or not self._thread.is_alive()):
            self._outbox.close()

    def take(self, events: Sequence[LiveEvent]) -> None:
        if not self._lines:
            return
        for event in events:
            if not isinstance(event, Event):
                continue
            if isinstance(event, CallStarted):
                event = self._protect(event)
                assert isinstance(event, CallStarted)
                # Even a mark would tell that the same person has called before.
                event = self._calls[event.call] = msgspec.structs.replace(event, source="")
            started = self._calls.get(event.call)
            if isinstance(event, CallEnded):
                self._calls.pop(event.call, None)
            if started is None or event.__struct_config__.tag not in self._kinds:
                continue
            if len(self._taken) >= MOST_TAKEN:
                self.counts["", "lost"] += 1
                continue
            self._taken.append(_Taken(event, started, self._clock()))
        if self._taken:
            self._poke()

    def status(self) -> list[Status]:
        return [
            Status(
                **{name: getattr(line.sender.endpoint, name) for name in ("url", "events", "audience", "queues")},
                name=line.name,
                inferred=line.sender.endpoint.inferred,
                state="gone" if line.is_gone else "open",
                waiting=line.waiting,
                last=line.last,
            )
            for line in self._lines.values()
        ]

    def _poke(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed already
                self._loop.call_soon_threadsafe(self._wake.set)

    # In the thread

    async def _run(self, outbox: Outbox, is_up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        with self._disk():
            for name in outbox.sizes().keys() - self._lines.keys():
                self.counts[name, "dead"] += outbox.bury_all(name, "the settings name no such endpoint any more")
        self._look(outbox)
        sending = [asyncio.create_task(self._send(outbox, line)) for line in self._lines.values()]
        is_up.set()
        version, pruned_s = 0, float("-inf")
        while not self._is_stopping:
            if not 0.0 <= self._clock() - pruned_s < PRUNE_S:
                pruned_s = self._clock()
                with self._disk():
                    outbox.prune(self._keep)
            self._save(outbox)
            with self._disk():
                before, version = version, outbox.version
                if version != before:  # another process has sent something again
                    self._look(outbox)
                    for line in self._lines.values():
                        line.again.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
        self._save(outbox)
        for line in self._lines.values():
            line.again.set()
        _, late = await asyncio.wait(sending, timeout=STOP_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """A full disk, or a file that somebody holds, is counted; whoever needs it tries again."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.counts["", "disk"] += 1
            LOG.error("webhooks: %s: %s", self._config.folder, error)

    def erase(self, calls: Collection[str]) -> int:
        """What waits or is dead of calls that are over; how many events that were. From any thread."""
        if not self._lines:
            return 0
        outbox = Outbox(self._config.folder, self._clock)
        try:
            return sum(map(outbox.erase, calls))
        finally:
            outbox.close()

    def _look(self, outbox: Outbox) -> None:
        with self._disk():
            sizes, gone = outbox.sizes(), outbox.gone()
            for line in self._lines.values():
                line.waiting, line.is_gone = sizes.get(line.name, 0), line.name in gone
                if line.waiting:
                    line.more.set()

    def _save(self, outbox: Outbox) -> None:
        """What was taken is put where it outlasts us."""
        while self._taken:
            taken = self._taken.popleft()
            if isinstance(taken.event, Notice) and not taken.event.given:
                self._withdraw(outbox, taken.event.call)
            self._unsaved += self._told(taken)
        self._put(outbox)

    def _withdraw(self, outbox: Outbox, call: str) -> None:
        self._put(outbox)
        kept = [(name, one if one.subject != call else without_inferred_in(one)) for name, one in self._unsaved]
        self._unsaved = [(name, one) for name, one in kept if one is not None]
        with self._disk():
            outbox.withdraw(call)
        self._look(outbox)

    def _told(self, taken: _Taken) -> Iterator[tuple[str, CloudEvent]]:
        """An event for each endpoint that is to have it, and as much of it."""
        event, started, at_s = taken
        happened = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
        for line in self._lines.values():
            seen = line.sender.wants(event, started)
            if seen is not None and line.is_gone:
                self.counts[line.name, "gone"] += 1
            elif seen is not None:
                kind = f"{PREFIX}{seen.__struct_config__.tag}"
                told = Told(seen, started.started_at, started.metadata)
                yield line.name, cloud_event(self._config.source, kind, happened, seen.call, told)

    def _put(self, outbox: Outbox) -> None:
        fits: list[tuple[str, CloudEvent]] = []
        more: list[tuple[str, CloudEvent]] = []
        room = {name: self._config.most_waiting - line.waiting for name, line in self._lines.items()}
        for row in self._unsaved:
            room[row[0]] -= 1
            (fits if room[row[0]] >= 0 else more).append(row)
        with self._disk():
            if fits:
                outbox.put(fits)
                for name, count in Counter(name for name, _ in fits).items():
                    self._lines[name].waiting += count
                    self._lines[name].more.set()
                fits = []
            if more:
                outbox.bury_new(more, f"{self._config.most_waiting} events were waiting already")
                self.counts.update((name, "dead") for name, _ in more)
                more = []
        # On a full disk they wait here, as many as one outbox holds.
        unsaved = fits + more
        self._unsaved = unsaved[-self._config.most_waiting :]
        self.counts["", "lost"] += len(unsaved) - len(self._unsaved)

    async def _send(self, outbox: Outbox, line: _Line) -> None:
        """An endpoint's events, one after the other: behind one that is not taken all others wait."""
        failures = 0
        async with line.sender.open() as client:
            while not self._is_stopping:
                line.more.clear()
                line.again.clear()
                head = None
                with self._disk():
                    head = outbox.head(line.name)
                if head is None:
                    await _first_of(line.more, line.again, LOOK_S * 60)
                    continue
                outcome = await line.sender.post(client, head.id, head.body.encode())
                line.last = outcome.why or f"{outcome.status}"
                is_settled = False
                with self._disk():
                    self._settle(outbox, line, head, outcome)
                    is_settled = True
                if outcome.is_taken and is_settled:
                    failures = 0
                    continue
                failures += 1
                wait_s = min(self._config.most_wait_s, self._config.first_wait_s * 2.0 ** min(failures - 1, 60))
                await _first_of(line.again, None, max(wait_s * random.uniform(0.5, 1.0), outcome.wait_s))

    def _settle(self, outbox: Outbox, line: _Line, head: Waiting, outcome: Outcome) -> None:
        """What becomes of an event after a try."""
        if outcome.is_taken:
            outbox.done(head.number)
            self.counts[line.name, "delivered"] += 1
            line.waiting = max(0, line.waiting - 1)
            return
        self.counts[line.name, "failed_tries"] += 1
        outbox.tried(head.number)
        head = msgspec.structs.replace(head, tries=head.tries + 1)
        if outcome.status == GONE:
            self.counts[line.name, "dead"] += outbox.leave(line.name, outcome.why)
            line.is_gone, line.waiting = True, 0
            LOG.warning("webhooks: %s wants no more events: %s", line.name, outcome.why)
        elif head.tries >= self._config.tries:
            outbox.bury(head, outcome.why)
            self.counts[line.name, "dead"] += 1
            line.waiting = max(0, line.waiting - 1)


async def _first_of(one: asyncio.Event, other: asyncio.Event | None, wait_s: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (one, other) if event is not None]
    await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
