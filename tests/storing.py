"""A process that keeps calls in a store under load until it is killed, and whoever kills it. The process tells by a
pipe what it gave to the store and when; `KillAgain` holds the store against that.

    python tests/storing.py FOLDER NAME
"""

import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from stored import BEGAN, event_of, events_of

from vocal.store import log, parts, store
from vocal.store.files import Files
from vocal.store.reader import StoreReader
from vocal.store.schema import EVENTS
from vocal.store.store import Store

OPEN_CALLS = 120
TICK_S = 0.02
PER_TICK = 20
_TOLD = struct.Struct("<dII")


def call_name(name: str, number: int) -> str:
    return f"{name}-{number}"


def length_of(number: int) -> int:
    return 12 + number * 7 % 40


def keep_calls(folder: str, name: str) -> None:
    """1,000 events a second of 120 calls at once; parts are made and merged far more often than in earnest."""
    store.SEGMENT_S, parts.SMALL_PARTS = 0.3, 4
    kept = Store(folder)
    chosen = random.Random(name)
    calls = dict.fromkeys(range(OPEN_CALLS), 0)
    following = OPEN_CALLS
    due = time.monotonic()
    while True:
        events, told = [], []
        for _ in range(PER_TICK):
            number = chosen.choice(list(calls))
            seq = calls[number]
            began = BEGAN + timedelta(minutes=number % 3)
            events.append(event_of(call_name(name, number), seq, length_of(number), began))
            told.append((number, seq))
            calls[number] += 1
            if calls[number] == length_of(number):
                del calls[number]
                calls[following] = 0
                following += 1
        kept.take(events)
        now = time.monotonic()
        os.write(1, b"".join(_TOLD.pack(now, *one) for one in told))
        due += TICK_S
        time.sleep(max(0.0, due - time.monotonic()))


class KillAgain:
    """Kills such a process again and again over one store. `lost_s`: how old the oldest was of what is missing."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.chosen = random.Random(seed)
        self.lost_s: list[float] = []
        self.given = self.missing = self.calls = self.interrupted = self.reads = 0
        self.told: dict[str, dict[int, int]] = {}

    def once(self, name: str) -> None:
        command = [sys.executable, __file__, str(self.folder), name]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent)
        assert child.stdout is not None
        told = bytearray()
        if self.chosen.random() < 0.8:
            told += child.stdout.read(1)  # else it is killed while it starts, or files what the last one left
        reading = threading.Thread(target=lambda: told.extend(child.stdout.read()))  # type: ignore[union-attr]
        reading.start()
        time.sleep(self.chosen.uniform(0.1, 2.5))
        killed = time.monotonic()
        child.kill()
        child.wait()
        reading.join()
        child.stdout.close()
        self.check(name, killed, bytes(told[: len(told) // _TOLD.size * _TOLD.size]))

    def check(self, name: str, killed: float, told: bytes) -> None:
        given: dict[int, list[float]] = {}
        for at, number, seq in _TOLD.iter_unpack(told):
            assert seq == len(given.setdefault(number, []))
            given[number].append(at)
        if not self.folder.is_dir():
            assert not given
            return
        names = [call_name(name, number) for number in given]
        held = held_in(StoreReader(self.folder), names)
        oldest = killed
        for number, times in given.items():
            seqs = held.get(call_name(name, number), [])
            assert seqs == list(range(len(seqs))), f"call {number} has gaps, or doubles: {seqs}"
            self.given += len(times)
            if len(seqs) < len(times):
                self.missing += len(times) - len(seqs)
                oldest = min(oldest, times[len(seqs)])
        self.lost_s.append(killed - oldest)
        records = {record.call: record for record in StoreReader(self.folder).records(calls=names)}
        for number in given:
            seqs = held.get(call_name(name, number), [])
            if seqs:
                is_whole = len(seqs) == length_of(number)
                assert records[call_name(name, number)].interrupted != is_whole
                self.calls += 1
                self.interrupted += not is_whole
        self.told[name] = {number: len(held.get(call_name(name, number), [])) for number in given}
        for number in self.chosen.sample(sorted(given), min(2, len(given))):
            call = call_name(name, number)
            whole = events_of(call, length_of(number), BEGAN + timedelta(minutes=number % 3))
            assert StoreReader(self.folder).events(call) == whole[: self.told[name][number]]

    def finish(self) -> None:
        """After the last recovery all is in parts, as it was after each kill."""
        Store(self.folder).close()
        assert log.segments(Files(self.folder)) == []
        reader = StoreReader(self.folder)
        held = held_in(reader, None)
        for name, calls in self.told.items():
            for number, count in calls.items():
                assert held.get(call_name(name, number), []) == list(range(count))
        assert reader.problems == []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Somebody reads all the while; what was there once stays there."""
        failed: list[BaseException] = []
        done = threading.Event()

        def read() -> None:
            seen: set[str] = set()
            while not done.wait(0.05):
                try:
                    if self.folder.is_dir():
                        found = StoreReader(self.folder).table(parts.KINDS[-1], columns=("call",))["call"].to_pylist()
                        assert len(found) == len(set(found))
                        assert seen <= set(found), f"{len(seen - set(found))} calls are gone"
                        seen = set(found)
                        self.reads += 1
                except BaseException as error:
                    failed.append(error)
                    return

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        if failed:
            raise failed[0]


def held_in(reader: StoreReader, calls: list[str] | None) -> dict[str, list[int]]:
    """The numbers of the events that the store has of each call, in order."""
    found: dict[str, list[int]] = {}
    for kind in EVENTS:
        table = reader.table(kind, columns=("call", "seq"), calls=calls)
        for call, seq in zip(table["call"].to_pylist(), table["seq"].to_pylist(), strict=True):
            found.setdefault(call, []).append(seq)
    return {call: sorted(seqs) for call, seqs in found.items()}


if __name__ == "__main__":
    keep_calls(*sys.argv[1:])
