"""Live events to readers: what each may see, what one who comes late or back still gets, and what a slow one loses.

Every event gets a `cursor`, which grows over all calls; a reader that comes back says the last one it saw (`since`) and
gets what was kept of what followed. Kept of each call, until ten minutes after its end: its beginning and end, notices
and all cues; the newest of the rest (`vocal.sinks.kept`). Levels are not kept.

A reader that does not keep up loses levels first, then old mood; then it is told to come back, so that it never loses
a cue. All of this belongs to one event loop and is not to be called from elsewhere.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from vocal.sinks.kept import Kept, Numbered, withdrawn
from vocal.types import CallEnded, CallStarted, Cue, Levels, LiveEvent, Mood, Notice

KEPT_S = 600.0
QUEUE = 2000
"""Events that may wait for a reader before it loses some; at twice as many it has to come back."""

View = Callable[[LiveEvent], LiveEvent | None]
"""What a reader may see of an event, None: nothing."""

_encode = msgspec.json.Encoder().encode


class Lost(msgspec.Struct):
    """What a slow reader was not told, by kind."""

    levels: int = 0
    mood: int = 0


class Reader:
    """One who listens: `take` waits for what there is to tell. `lost` counts, `gaps` says whether `since` reached back
    further than what was kept; `is_too_slow`: it was cut off and has to come back with its last cursor."""

    def __init__(self, view: View, call: str | None, kinds: frozenset[str] | None) -> None:
        self._view = view
        self.call = call
        self.wants_levels = kinds is None or "levels" in kinds
        self._kinds = kinds
        self._waiting: deque[Numbered] = deque()
        self._something = asyncio.Event()
        self.lost = Lost()
        self.gaps = False
        self.is_too_slow = False
        self.is_closed = False

    def tell(self, one: Numbered) -> None:
        if self.call is not None and one.event.call != self.call:
            return
        if self._kinds is not None and _kind(one.event) not in self._kinds:
            return
        seen = self._view(one.event)
        if seen is None:
            return
        if isinstance(seen, Notice) and not seen.given:
            self._waiting = deque(
                kept
                for waiting in self._waiting
                for kept in ([waiting] if waiting.event.call != seen.call else withdrawn([waiting]))
            )
        if len(self._waiting) >= QUEUE:
            self._make_room()
        self._waiting.append(Numbered(one.cursor, seen))
        self._something.set()

    def _make_room(self) -> None:
        before = len(self._waiting)
        self._waiting = deque(one for one in self._waiting if not isinstance(one.event, Levels))
        self.lost.levels += before - len(self._waiting)
        if len(self._waiting) < QUEUE:
            return
        moods = sum(isinstance(one.event, Mood) for one in self._waiting)
        self.lost.mood += (dropped := moods - moods // 2)
        kept: deque[Numbered] = deque()
        for one in self._waiting:
            if dropped and isinstance(one.event, Mood):
                dropped -= 1
            else:
                kept.append(one)
        self._waiting = kept
        if len(kept) >= 2 * QUEUE:
            # It will come back with its last cursor and get them from what is kept.
            self.is_too_slow = True
            self._waiting.clear()
            self.close()

    async def take(self) -> list[Numbered]:
        """What waits, at least one event; nothing once it is closed."""
        await self._something.wait()
        self._something.clear()
        taken, self._waiting = list(self._waiting), deque()
        return taken

    def close(self) -> None:
        self.is_closed = True
        self._something.set()


class HubStats(msgspec.Struct):
    readers: int = 0
    events: int = 0
    lost_levels: int = 0
    lost_mood: int = 0
    too_slow: int = 0


class Hub:
    """Give it every batch of events (`take`); `join` makes a reader."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # By the time of day, so that a cursor of an earlier process is older than all of this one's.
        self.cursor = int(time.time() * 1000.0) * 1000
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._readers: dict[str | None, set[Reader]] = {}  # by the call they are for; None: those for all
        self._levels_of: frozenset[str] | None = frozenset()
        self._stats = HubStats()

    @property
    def levels_of(self) -> Collection[str] | None:
        """Calls of which somebody wants to be told levels; None: of all."""
        return self._levels_of

    def take(self, events: Sequence[LiveEvent]) -> None:
        self._stats.events += len(events)
        for event in events:
            self.cursor += 1
            one = Numbered(self.cursor, event)
            if not isinstance(event, Levels):
                self._keep(one)
            if (kept := self._kept.get(event.call)) is not None:
                kept.at_s = max(kept.at_s, event.at_s)
            for reader in self._readers.get(None, ()):
                reader.tell(one)
            for reader in self._readers.get(event.call, ()):
                reader.tell(one)

    def _keep(self, one: Numbered) -> None:
        event = one.event
        if (kept := self._kept.get(event.call)) is None:
            kept = self._kept[event.call] = Kept()
        kept.add(one)
        if isinstance(event, CallEnded):
            kept.ended_s = self._clock()
        if isinstance(event, CallStarted):
            self._forget_old()

    def _forget_old(self) -> None:
        now_s = self._clock()
        for call, kept in list(self._kept.items()):
            if kept.ended_s is not None and now_s - kept.ended_s > KEPT_S:
                del self._kept[call]

    def forget(self, calls: Iterable[str]) -> None:
        """Calls that were erased: nobody who comes late gets anything of them."""
        for call in calls:
            self._kept.pop(call, None)

    def events_of(self, call: str) -> list[LiveEvent]:
        """What is kept of a call, in its order."""
        kept = self._kept.get(call)
        return [] if kept is None else [one.event for one in sorted(kept.since(0), key=lambda one: one.cursor)]

    def cues_of(self, call: str) -> list[Cue]:
        return [event for event in self.events_of(call) if isinstance(event, Cue)]

    def started(self, call: str) -> CallStarted | None:
        """How a call began that runs or ended within ten minutes."""
        kept = self._kept.get(call)
        return None if kept is None else next((e.event for e in kept.lasting if isinstance(e.event, CallStarted)), None)

    def at_s(self, call: str) -> float | None:
        """How far the clock of an open call is, as it was told; None: it has ended, or is not known."""
        kept = self._kept.get(call)
        return None if kept is None or kept.ended_s is not None else kept.at_s

    def join(
        self,
        view: View = lambda event: event,
        call: str | None = None,
        kinds: frozenset[str] | None = None,
        since: int | None = None,
    ) -> Reader:
        """A reader of what comes from now on; with `since`, first of what was kept behind that cursor."""
        reader = Reader(view, call, kinds)
        if since is not None:
            asked = [kept for name, kept in self._kept.items() if call is None or name == call]
            past = [one for kept in asked for one in kept.since(since)]
            for one in sorted(past, key=lambda one: one.cursor):
                reader.tell(one)
            reader.gaps = since > 0 and any(kept.forgotten > since for kept in asked)
        self._readers.setdefault(call, set()).add(reader)
        self._note_levels()
        return reader

    def _note_levels(self) -> None:
        wanted = [call for call, readers in self._readers.items() if any(one.wants_levels for one in readers)]
        self._levels_of = None if None in wanted else frozenset(call for call in wanted if call is not None)

    def leave(self, reader: Reader) -> None:
        readers = self._readers.get(reader.call, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(reader.call, None)
        self._note_levels()
        self._stats.lost_levels += reader.lost.levels
        self._stats.lost_mood += reader.lost.mood
        self._stats.too_slow += reader.is_too_slow

    def close(self) -> None:
        for reader in self._all():
            reader.close()

    def _all(self) -> Iterator[Reader]:
        return itertools.chain.from_iterable(self._readers.values())

    @property
    def stats(self) -> HubStats:
        return msgspec.structs.replace(
            self._stats,
            readers=sum(1 for _ in self._all()),
            lost_levels=self._stats.lost_levels + sum(reader.lost.levels for reader in self._all()),
            lost_mood=self._stats.lost_mood + sum(reader.lost.mood for reader in self._all()),
        )


def _kind(event: LiveEvent) -> str:
    return str(event.__struct_config__.tag)


def encode(one: Numbered) -> bytes:
    """An event as it goes over the wire: {"cursor": n, "event": {...}}."""
    return _encode(one)
