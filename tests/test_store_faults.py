"""A disk that is full, read-only or away, a clock that goes back, another server: calls go on, the loss is counted."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from stored import BEGAN, event_of, events_of
from storing import held_in

from vocal.errors import StoreError
from vocal.store import store as room
from vocal.store.files import Files, part_name
from vocal.store.log import State, save_state
from vocal.store.reader import StoreReader
from vocal.store.store import Store
from vocal.types import Event


def wait_until(what: Callable[[], object], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Mounts memory on a folder, as root alone may; unmounted in the end, the last one first."""
    done: list[Path] = []

    def mount(folder: Path, options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        found = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
        if found.returncode != 0:
            pytest.skip(f"this machine does not let us mount: {found.stderr.strip()}")
        done.append(folder)

    try:
        yield mount
    finally:
        for folder in reversed(done):
            subprocess.run(["umount", "-l", folder], check=False, capture_output=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BEAT_S", 0.02)
    monkeypatch.setattr(room, "RETRY_S", 0.1)


def give(store: Store, calls: range, count: int = 40) -> None:
    for number in calls:
        store.take(events_of(f"call{number}", count))


def whole_calls(folder: Path, count: int = 40) -> int:
    return sum(seqs == list(range(count)) for seqs in held_in(StoreReader(folder), None).values())


def test_a_full_disk(tmp_path: Path, mounted: Callable[[Path, str], None], caplog: pytest.LogCaptureFixture) -> None:
    disk = tmp_path / "disk"
    mounted(disk, "size=2m")
    ballast = disk / "ballast"
    with Store(disk / "store") as store:
        give(store, range(5))
        assert store.flush()
        fill(ballast)
        give(store, range(5, 30))
        wait_until(lambda: store.state().error)
        state = store.state()
        assert state.error == "No space left on device"
        assert 0 < state.waiting <= 25 * 40
        time.sleep(0.3)
        assert store.state().behind_s > 0.2
        assert len(store.reader().records()) >= 5  # what was written is read
        ballast.unlink()
        wait_until(lambda: not store.state().waiting)
        assert store.state().error is None
        assert store.state().lost == {}
    assert whole_calls(disk / "store") == 30
    assert [record.levelname for record in caplog.records if "its log" in record.message] == ["ERROR", "WARNING"]


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_disk_that_stays_full_costs_the_newest(
    tmp_path: Path, mounted: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_WAITING", 400)
    monkeypatch.setattr(room, "ROWS_IN_BATCH", 100)
    disk = tmp_path / "disk"
    mounted(disk, "size=1m")
    with Store(disk / "store") as store:
        ballast = disk / "ballast"
        fill(ballast)
        for number in range(40):
            for event in events_of(f"call{number}"):
                store(event)
            time.sleep(0.01)
        wait_until(lambda: store.state().lost)
        state = store.state()
        assert state.waiting <= 400 + 2 * 40 + 100
        assert state.lost.keys() <= {"utterance", "mood", "cue", "conversation"}
        assert sum(state.lost.values()) + state.waiting + state.written == 40 * 40
        ballast.unlink()
        wait_until(lambda: not store.state().waiting)
        give(store, range(100, 105))
        assert store.flush()
        assert store.state().lost == state.lost
        lost = state.lost
        with pytest.raises(StoreError, match=rf"{sum(lost.values())} events could not be written"):
            store.close()
    reader = StoreReader(disk / "store")
    assert len(reader.records()) == 45  # every call, with its beginning and its end
    assert not any(record.interrupted for record in reader.records())
    assert sum(map(len, held_in(reader, None).values())) + sum(lost.values()) == 45 * 40


def test_a_full_disk_when_calls_are_filed(tmp_path: Path, mounted: Callable[[Path, str], None]) -> None:
    disk = tmp_path / "disk"
    mounted(disk, "size=2m")
    store = Store(disk / "store")
    give(store, range(20))
    assert store.flush()
    fill(disk / "ballast")
    with pytest.raises(StoreError, match=r"calls that ended could not be written: .*No space left on device"):
        store.close()
    assert whole_calls(disk / "store") == 20
    # The next server begins with the disk still full, and recovers once it is not.
    store = Store(disk / "store")
    wait_until(lambda: store.state().error)
    assert whole_calls(disk / "store") == 20
    (disk / "ballast").unlink()
    wait_until(lambda: store.state().calls == 20)
    store.close()
    assert whole_calls(disk / "store") == 20
    assert not list(disk.rglob("*.arrow"))


def test_a_disk_that_is_read_only(tmp_path: Path, mounted: Callable[[Path, str], None]) -> None:
    disk = tmp_path / "disk"
    mounted(disk, "size=4m")
    store = Store(disk / "store")
    give(store, range(3))
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    store = Store(disk / "store")
    give(store, range(3, 6))
    wait_until(lambda: store.state().error)
    assert store.state().error is not None
    assert "Read-only" in store.state().error
    assert whole_calls(disk / "store") == 3
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    wait_until(lambda: not store.state().waiting)
    with pytest.raises(StoreError, match="another process writes to this store"):
        Store(disk / "store")
    store.close()
    assert whole_calls(disk / "store") == 6


def test_a_disk_that_turns_read_only(tmp_path: Path, mounted: Callable[[Path, str], None]) -> None:
    folder = tmp_path / "store"
    with Store(folder) as store:
        give(store, range(3))
        assert store.flush()
        mounted(folder, "ro")  # over what was there
        give(store, range(3, 6))
        wait_until(lambda: store.state().error)
        assert store.state().waiting == 3 * 40
        subprocess.run(["umount", folder], check=True)
        wait_until(lambda: not store.state().waiting)
    assert whole_calls(folder) == 6


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_folder_that_vanishes(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "store"
    with Store(folder) as store:
        give(store, range(3))
        store.take(events_of("half")[:20])
        assert store.flush()
        if how == "deleted":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "elsewhere")
        give(store, range(3, 6))
        store.take(events_of("half")[20:])
        assert store.flush()
        with pytest.raises(StoreError, match="another process writes to this store"):
            Store(folder)
    assert whole_calls(folder) == 7


@pytest.mark.parametrize("failing", ["fsync", "pwrite", "ftruncate"])
def test_a_disk_with_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    real = {name: getattr(os, name) for name in ("fsync", "pwrite", "ftruncate")}
    left = {"fsync": 3, "pwrite": 3, "ftruncate": 3}

    def fails(name: str) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if left[name] > 0:
                left[name] -= 1
                if name == "pwrite":
                    real["pwrite"](arguments[0], bytes(arguments[1])[:100], arguments[2])  # type: ignore[call-overload]
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real[name](*arguments)

        return call

    with Store(tmp_path / "store") as store:
        give(store, range(3))
        assert store.flush()
        for name in {failing, "pwrite"} if failing == "ftruncate" else {failing}:
            monkeypatch.setattr(os, name, fails(name))
        give(store, range(3, 6))
        wait_until(lambda: store.state().failures >= 3)
        assert store.flush()
        assert store.state().written == 6 * 40
        wait_until(lambda: store.state().error is None)  # filing tries again by itself, too
    assert whole_calls(tmp_path / "store") == 6


def test_a_clock_that_goes_back(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 22, 12, 0, tzinfo=UTC)]
    for number in range(4):
        with Store(tmp_path, clock=lambda: now[0]) as store:
            store.take(events_of(f"a{number}", 30, now[0]))
            assert store.flush()
            now[0] -= timedelta(days=1, hours=number)
            store.take(events_of(f"b{number}", 30, now[0]))
    reader = StoreReader(tmp_path)
    assert len(reader.records()) == 8
    for number in range(4):
        assert [event.seq for event in reader.events(f"a{number}")] == list(range(30))
        assert [event.seq for event in reader.events(f"b{number}")] == list(range(30))
    filed = {record.call: record.filed_at for record in reader.records()}
    assert filed["b0"] < filed["a0"]


def test_two_servers_on_one_store(tmp_path: Path) -> None:
    program = "import sys; from vocal.store.store import Store; Store(sys.argv[1])"
    with Store(tmp_path) as store:
        store.take(events_of("a"))
        second = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, cwd="/")
        assert "another process writes to this store (process " in second.stderr
        assert f"process {os.getpid()} on " in second.stderr
    assert subprocess.run([sys.executable, "-c", program, tmp_path], cwd="/").returncode == 0
    assert len(StoreReader(tmp_path).records()) == 1


def test_a_withdrawn_notice_takes_what_was_inferred_off_the_disk(tmp_path: Path) -> None:
    events = events_of("a", 60, withdrawn_at=50)
    with Store(tmp_path) as store:
        for event in events[:50]:
            store(event)
            if event.seq % 10 == 0:
                store.exclusively(lambda: None).result(10.0)  # a segment each
        assert len(store.closed_segments()) == 5
        assert valence(tmp_path)
        assert not any(event_has_mood(event) for event in store.reader().events("other"))
        store(events[50])
        wait_until(lambda: not valence(tmp_path))
        for event in events[51:]:
            store(event)
    kept = StoreReader(tmp_path).events("a")
    assert [event.seq for event in kept if event.seq >= 50] == list(range(50, 60))
    assert not any(event_has_mood(event) for event in kept if event.seq < 50)


def valence(folder: Path) -> bool:
    found = []
    for path in sorted((folder / "log").glob("*.arrow")):
        try:
            with pa.ipc.open_stream(path.read_bytes()) as stream:
                found += stream.read_all()["event"].to_pylist()
        except pa.ArrowInvalid:
            continue
    return any('"valence"' in text for text in found)


def event_has_mood(event: Event) -> bool:
    return hasattr(event, "valence") or getattr(event, "emotion", None) is not None


def test_work_is_done_beside_the_log(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        hours: list[float] = []
        store.hourly(lambda: hours.append(time.monotonic()))
        store.take(events_of("a")[:20])
        names = store.exclusively(lambda: [segment.name for segment in store.closed_segments()]).result(10.0)
        assert len(names) == 1
        wait_until(lambda: hours)

        def fail() -> None:
            raise StoreError("no")

        with pytest.raises(StoreError, match="no"):
            store.exclusively(fail).result(10.0)
        assert store.state().error is None


def test_files_of_others_are_passed_over_and_told(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(events_of("a"))
    files = Files(tmp_path)
    (part,) = files.parts("calls")
    whole = files.read(part.name)
    bad = {
        part_name("calls", "2026-11-22", "half"): whole[: len(whole) // 2],
        part_name("mood", "2026-11-22", part.name.split("/")[2].removesuffix(".parquet") + "x"): b"",
        "calls/notes.txt": b"hello",
        "calls/day=2026-11-22/x.parquet.half": b"",
        "log/notes.txt": b"hello",
        "log/0123abcd-00001-000001.arrow.half": b"",
        part_name("calls", "2026-11-22", "mine"): files.read(files.parts("mood")[0].name),
        "log/0123abcd-00001-000001.arrow": b"no segment",
    }
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    reader = StoreReader(tmp_path)
    assert [record.call for record in reader.records()] == ["a"]
    assert reader.events("a") == events_of("a")
    told = dict(reader.problems)
    assert told[part_name("calls", "2026-11-22", "half")].startswith("no whole Parquet file")
    assert told[part_name("calls", "2026-11-22", "mine")] == "wanted calls, and it holds mood"
    assert told["calls/notes.txt"] == "not of this store"
    assert told["calls/day=2026-11-22/x.parquet.half"] == "half written"
    assert told["log/notes.txt"] == "not of this store"
    Store(tmp_path).close()
    assert not list(tmp_path.rglob("*.half"))
    assert [record.call for record in StoreReader(tmp_path).records()] == ["a"]


def test_a_store_without_a_state_is_a_store(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.take(events_of("a"))
        store.take(events_of("b")[:20])
    (tmp_path / "log" / "state.json").write_text("{")
    Store(tmp_path).close()
    reader = StoreReader(tmp_path)
    assert [(record.call, record.interrupted) for record in reader.records()] == [("a", False), ("b", True)]
    save_state(Files(tmp_path), State("0123abcd", v=9))
    with pytest.raises(StoreError, match=r"state\.json: version 9, and this Vocal reads up to 1"):
        Store(tmp_path)


def test_no_spool_for_a_store_elsewhere() -> None:
    with pytest.raises(StoreError, match=r"s3://bucket/store: wanted a spool, a folder of this machine for the log"):
        Store("s3://bucket/store?region=eu-central-1")


def test_what_is_protected_is_all_that_is_kept(tmp_path: Path) -> None:
    def protect(event: Event) -> Event:
        return msgspec.structs.replace(event, source="-") if event.seq == 0 else event  # type: ignore[call-arg]

    with Store(tmp_path, protect=protect) as store:
        store.take([event_of("a", 0, 40, BEGAN)])
        store.flush()
        assert "here" not in str(store.reader().events("a"))


def test_a_defect_costs_what_brought_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Store(tmp_path) as store:
        give(store, range(2))
        assert store.flush()
        append = room.Appender.append
        monkeypatch.setattr(room.Appender, "append", lambda *_: 1 / 0)
        store.take(events_of("bad"))
        assert store.flush()
        monkeypatch.setattr(room.Appender, "append", append)
        give(store, range(2, 4))
        assert store.flush()
        assert store.state().lost == {"defect": 40}
        with pytest.raises(StoreError, match="40 events could not be written"):
            store.close()
    assert whole_calls(tmp_path) == 4
    assert "ZeroDivisionError" in caplog.text
