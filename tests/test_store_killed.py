"""`kill -9` at any moment costs no more than the last second, and the store can be read before, while and after."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from storing import KillAgain

from vocal.client import Client
from vocal.demo import call_path
from vocal.errors import VocalError
from vocal.replays.websocket import replay
from vocal.store.files import Files
from vocal.store.reader import StoreReader
from vocal.store.schema import EVENTS
from vocal.store.store import Store
from vocal.transports.files import open_call
from vocal.types import CallStarted, Event, LiveEvent, Metadata

LAST_S = 1.0


def kill(folder: Path, times: int) -> None:
    killer = KillAgain(folder)
    with killer.reading():
        for number in range(times):
            killer.once(f"run{number}")
            print(killer, flush=True)
    killer.finish()
    assert max(killer.lost_s) <= LAST_S
    assert killer.calls > killer.interrupted > 0
    assert {record.interrupted for record in StoreReader(folder).records()} == {True, False}
    assert not [entry for entry in Files(folder).entries() if entry.name.endswith(".half")]


def test_killed_a_few_times(tmp_path: Path) -> None:
    kill(tmp_path / "store", 8)


@pytest.mark.long
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    kill(tmp_path / "store", 200)


def without_source(event: Event) -> Event:
    """What is kept of a peer's address is a mark."""
    return msgspec.structs.replace(event, source="") if isinstance(event, CallStarted) else event


def test_a_server_killed_in_mid_call(tmp_path: Path) -> None:
    vocal = Path(sys.executable).with_name("vocal")
    command = [vocal, "serve", "--port", "0", "--store", tmp_path / "store"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    heard: list[tuple[float, LiveEvent]] = []
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]

        def listen() -> None:
            with contextlib.suppress(VocalError), Client(url) as client:
                for _, event in client.events(comes_back=False):
                    heard.append((time.monotonic(), event))

        def play() -> None:
            with contextlib.suppress(VocalError, OSError), open_call(call_path()) as source:
                replay(source, url, Metadata(notice=True, team="blue"))

        threads = [threading.Thread(target=work, daemon=True) for work in (listen, play, play, play)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60.0
        while sum(not isinstance(event, CallStarted) for _, event in list(heard)) < 30:
            assert time.monotonic() < until, "the calls tell nothing"
            time.sleep(0.05)
        killed = time.monotonic()
    finally:
        server.kill()
        server.wait()
    server.stdout.close()
    told = [event for at, event in list(heard) if isinstance(event, EVENTS) and at < killed - LAST_S]
    assert len({event.call for event in told}) == 3
    for is_recovered in (False, True):
        reader = StoreReader(tmp_path / "store")
        kept = {event.call: reader.events(event.call) for event in told}
        assert all(without_source(event) in map(without_source, kept[event.call]) for event in told)
        records = reader.records()
        assert [record.interrupted for record in records] == [True] * 3
        assert {record.team for record in records} == {"blue"}
        if not is_recovered:
            Store(tmp_path / "store").close()
    assert not list(tmp_path.rglob("*.arrow"))
