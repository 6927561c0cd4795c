"""What keeping a call costs: on the event loop, in the log's thread, when it is filed, and on the disk. By hand:

    python -m benchmarks.log [--calls 300] [FOLDER]

The events are those of the demo call, over and over under other names. The figures are this machine's and its disk's.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

import vocal
from vocal.demo import call_path
from vocal.record import CallRecord
from vocal.store.files import LOG, Files
from vocal.store.log import Appender, Row, Segment
from vocal.store.parts import NAMES
from vocal.store.reader import StoreReader
from vocal.store.schema import kind_name
from vocal.store.store import Store
from vocal.types import Event


def calls_of(events: Sequence[Event], count: int) -> list[list[Event]]:
    """Each with a name, and with numbers of its own: else the second call would cost the disk next to nothing."""
    chosen = random.Random(7)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    found = []
    for _ in range(count):
        plain = [{**_like(msgspec.to_builtins(event), chosen), "at_s": event.at_s} for event in events]
        name = {"call": f"{chosen.getrandbits(128):032x}"}
        found.append([msgspec.convert({**one, **name, **_began(one, now)}, Event) for one in plain])
    return found


def _began(event: dict[str, Any], now: str) -> dict[str, str]:
    return {"started_at": now} if event["type"] == "call_started" else {}


def _like(value: Any, chosen: random.Random) -> Any:
    if isinstance(value, float):
        return value * chosen.uniform(0.8, 1.2)
    if isinstance(value, dict):
        return {key: _like(item, chosen) for key, item in value.items()}
    return [_like(item, chosen) for item in value] if isinstance(value, (list, tuple)) else value


def appending(events: Sequence[Event], at_once: int, folder: Path) -> float:
    """Seconds an event in the log's thread, where so many come a beat; the disk's sync is in it."""
    (folder / "log").mkdir(parents=True)
    appender = Appender(folder / Segment(1, 1, "0123abcd").name)
    began, done = time.perf_counter(), 0
    for start in range(0, len(events) - at_once + 1, at_once):
        rows = [
            Row(start, event.call, kind_name(type(event)), event.at_s, msgspec.json.encode(event))
            for event in events[start : start + at_once]
        ]
        appender.append(rows, "2026-11-22T10:00:00.000Z")
        done += at_once
        if done > 20_000:
            break
    spent = time.perf_counter() - began
    appender.close()
    return spent / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where the store is made; anew in the temporary folder")
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    demo = vocal.analyze(call_path(), notice=True).events
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        folder = Path(made)
        calls = calls_of(demo, given.calls)
        # As live: the events of all calls at once, some at each tick.
        flat = [call[at] for at in range(len(demo)) for call in calls]
        seconds_s = demo[-1].at_s
        print(f"{given.calls} calls of {seconds_s:.0f} s with {len(demo)} events, {len(flat)} in all")
        for at_once in (10, 100, 300):
            spent = appending(flat, at_once, folder / str(at_once))
            print(f"log, {at_once} events a batch: {spent * 1e6:.1f} us an event, its sync to the disk in it")
        store = Store(folder / "store")
        began = time.perf_counter()
        for start in range(0, len(flat), 20):
            store.take(flat[start : start + 20])
        print(f"event loop: {(time.perf_counter() - began) / len(flat) * 1e6:.2f} us an event, 20 a tick")
        store.flush(60.0)
        size = sum(entry.size for entry in Files(folder / "store").entries(LOG))
        print(f"log: {size / given.calls / 1e3:.1f} kB a call, {size / len(flat):.0f} B an event")
        began = time.process_time()
        store.close()
        spent = time.process_time() - began
        print(f"filing: {spent / given.calls * 1e3:.2f} ms of CPU a call, {spent / len(flat) * 1e6:.1f} us an event")
        files = Files(folder / "store")
        for name in NAMES:
            size = sum(entry.size for entry in files.parts(name))
            print(f"parts: {name:<13}{size / given.calls / 1e3:8.2f} kB a call")
        reader = StoreReader(folder / "store")
        for what, read in {
            "a call's record": lambda: reader.record(calls[7][0].call),
            "a call's events": lambda: reader.events(calls[7][0].call),
            "all records": lambda: reader.records(),
            "all records, five columns as Arrow": lambda: reader.table(
                CallRecord, columns=("call", "team", "queue", "agent", "duration_s")
            ),
        }.items():
            began = time.perf_counter()
            read()
            print(f"read {what}: {(time.perf_counter() - began) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
