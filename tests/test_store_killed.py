"""`kill -9` at any moment costs no more than the last second, and the store can be read before, while and after."""

from pathlib import Path

import pytest
from storing import KillAgain

from vocal.store.files import Files
from vocal.store.reader import StoreReader

LAST_S = 1.0


def kill(folder: Path, times: int) -> KillAgain:
    killer = KillAgain(folder)
    with killer.reading():
        for number in range(times):
            killer.once(f"run{number}")
    killer.finish()
    print(
        f"{times} kills: {killer.given} events given, {killer.missing} missing, the oldest {max(killer.lost_s):.2f} s; "
        f"{killer.calls} calls, {killer.interrupted} interrupted; read {killer.reads} times meanwhile"
    )
    assert max(killer.lost_s) <= LAST_S
    assert killer.calls > killer.interrupted > 0
    assert {record.interrupted for record in StoreReader(folder).records()} == {True, False}
    assert not [entry for entry in Files(folder).entries() if entry.name.endswith(".half")]
    return killer


def test_killed_a_few_times(tmp_path: Path) -> None:
    kill(tmp_path / "store", 8)


@pytest.mark.long
def test_killed_two_hundred_times(tmp_path: Path) -> None:
    kill(tmp_path / "store", 200)
