"""What is kept of calls for readers who come late: the newest events as they are, older moods and utterances packed.

Of a thousand calls these are hundreds of thousands, which hardly anybody asks for: packed they take a tenth.
"""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from vocal.policy import without_inferred
from vocal.types import (
    AlertsMuted,
    AlertsSeen,
    Conversation,
    HelpAnswered,
    HelpOffered,
    LiveEvent,
    Mood,
    Notice,
    Utterance,
)

KEPT: dict[type[LiveEvent], int] = {
    Conversation: 1,
    HelpOffered: 10,
    HelpAnswered: 10,
    AlertsSeen: 1,
    AlertsMuted: 1,
}
"""Newest events kept of each call. Kinds that are neither here nor packed are all kept, levels not at all."""

PACKED = (Mood, Utterance)
PACK, MOST_PACKS = 32, 9
"""Events in a pack, and packs kept of a call: five minutes of talk by both sides; the pages show the last three."""


class Numbered(msgspec.Struct, frozen=True, gc=False):
    cursor: int
    event: LiveEvent


class _Pack(NamedTuple):
    """Events in order, the cursor of the last, and their JSON, deflated."""

    last: int
    packed: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Numbered]).decode


def _pack(events: list[Numbered]) -> _Pack:
    return _Pack(events[-1].cursor, zlib.compress(_encode(events)))


class Kept:
    """One call's events that a late reader still gets. forgotten: the newest cursor that is not kept any more."""

    def __init__(self) -> None:
        self.lasting: list[Numbered] = []
        self.forgotten = 0
        self.at_s = 0.0
        self.ended_s: float | None = None
        self._newest: dict[type[LiveEvent], deque[Numbered]] = {}
        self._unpacked: list[Numbered] = []
        self._packs: deque[_Pack] = deque()

    def add(self, one: Numbered) -> None:
        event = one.event
        if isinstance(event, Notice) and not event.given:
            self._withdraw()
        if isinstance(event, PACKED):
            self._unpacked.append(one)
            if len(self._unpacked) >= PACK:
                self._packs.append(_pack(self._unpacked))
                self._unpacked.clear()
                if len(self._packs) > MOST_PACKS:
                    self.forgotten = max(self.forgotten, self._packs.popleft().last)
        elif (most := KEPT.get(type(event))) is not None:
            newest = self._newest.setdefault(type(event), deque(maxlen=most))
            if len(newest) == most:
                self.forgotten = max(self.forgotten, newest[0].cursor)
            newest.append(one)
        else:
            self.lasting.append(one)

    def since(self, cursor: int) -> Iterator[Numbered]:
        """Those behind a cursor, in no order."""
        for pack in self._packs:
            if pack.last > cursor:
                yield from _behind(cursor, _decode(zlib.decompress(pack.packed)))
        for kept in (self.lasting, self._unpacked, *self._newest.values()):
            yield from _behind(cursor, kept)

    def _withdraw(self) -> None:
        self.lasting = withdrawn(self.lasting)
        self._unpacked = withdrawn(self._unpacked)
        for kind, kept in self._newest.items():
            self._newest[kind] = deque(withdrawn(kept), kept.maxlen)
        left = (withdrawn(_decode(zlib.decompress(pack.packed))) for pack in self._packs)
        self._packs = deque(_pack(some) for some in left if some)


def _behind(cursor: int, kept: Iterable[Numbered]) -> Iterator[Numbered]:
    return (one for one in kept if one.cursor > cursor)


def withdrawn(kept: Iterable[Numbered]) -> list[Numbered]:
    """What is left of events where nothing may be inferred any more."""
    return [Numbered(one.cursor, event) for one in kept if (event := without_inferred(one.event)) is not None]
