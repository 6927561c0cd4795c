"""Names for a week: the same in it, another after it, and no way back but by two persons."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hub import mood, started

from vocal.errors import UsageError
from vocal.pseudonyms import (
    Pseudonyms,
    check_week,
    combine,
    read_share,
    release,
    split,
    week_of,
)

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


class Clock:
    def __init__(self, at: datetime = MONDAY) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at.timestamp()


def keys_in(folder: Path) -> str:
    return "".join(file.read_text() for file in folder.rglob("*") if file.is_file())


def test_a_name_lasts_an_iso_week_and_differs_between_servers() -> None:
    clock = Clock()
    names = Pseudonyms(clock=clock)
    week = set()
    for hours in range(0, 7 * 24, 5):
        clock.at = MONDAY + timedelta(hours=hours)
        week.add(names.pseudonym("ann"))
    assert len(week) == 1
    assert names.pseudonym("bob") not in week
    assert Pseudonyms(clock=clock).pseudonym("ann") not in week
    clock.at = MONDAY + timedelta(days=7)
    assert names.pseudonym("ann") not in week
    assert names.week == "2026-W03"


def test_processes_that_share_the_folder_agree_in_each_week(tmp_path: Path) -> None:
    clock = Clock()
    one, other = Pseudonyms(tmp_path, clock), Pseudonyms(tmp_path, clock)
    for _ in range(5):
        assert one.pseudonym("ann") == other.pseudonym("ann") == Pseudonyms(tmp_path, clock).pseudonym("ann")
        assert one.mark("10.0.0.1") == other.mark("10.0.0.1")
        clock.at += timedelta(days=10)
    other.renew()
    assert one.pseudonym("ann") == other.pseudonym("ann")


def test_the_folder_holds_the_present_weeks_key_alone_and_is_its_owners(tmp_path: Path) -> None:
    clock = Clock()
    names = Pseudonyms(tmp_path / "keys", clock)
    earlier = []
    for _ in range(4):
        names.pseudonym("ann")
        earlier.append(json.loads((tmp_path / "keys/pseudonyms.json").read_text())["key"])
        clock.at += timedelta(days=7)
    names.pseudonym("ann")
    held = keys_in(tmp_path)
    assert not any(key in held for key in earlier)
    for file in (tmp_path / "keys").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_store_and_server_together_cannot_give_an_earlier_weeks_names(tmp_path: Path) -> None:
    """An attacker with all that is there later: every key in the folder, moved on as far as one likes, and each agent's
    id to try. No name of an earlier week is among what that gives; the present week's is, as it must be for pages."""
    clock = Clock()
    names = Pseudonyms(tmp_path, clock)
    agents = [f"agent{number}" for number in range(50)]
    before = {names.pseudonym(agent) for agent in agents}
    clock.at += timedelta(days=7)
    now = {names.pseudonym(agent) for agent in agents}
    found = set()
    state = tmp_path / "pseudonyms.json"
    kept = state.read_bytes()
    sources = [json.loads(kept)["key"], (tmp_path / "source.key").read_text()]
    for key in sources:
        for week in ("2026-W01", "2026-W02", "2026-W03"):
            state.write_text(json.dumps({"week": week, "key": key}))
            for days in (0, 7, 14):
                then = Clock(datetime.combine(check_week(week), datetime.min.time(), UTC) + timedelta(days=days))
                found |= {Pseudonyms(tmp_path, then).pseudonym(agent) for agent in agents}
    assert now <= found
    assert not before & found


@settings(max_examples=60, deadline=None)
@given(
    st.binary(min_size=1, max_size=64),
    st.integers(2, 255),
    st.data(),
)
def test_any_two_parts_give_the_secret_and_one_says_nothing(secret: bytes, count: int, data: st.DataObject) -> None:
    parts = split(secret, count)
    two = data.draw(st.lists(st.sampled_from(parts), min_size=2, max_size=4, unique=True))
    assert combine(two) == secret
    # Whatever the secret had been, some other part would fit this one: 256 lines go through one point.
    (x, part), other = parts[0], parts[1][0]
    for byte in (0, 1, 77, 255):
        fits = [y for y in range(256) if combine([(x, part[:1]), (other, bytes([y]))]) == bytes([byte])]
        assert len(fits) == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 60), st.text(min_size=1, max_size=20), st.data())
def test_two_holders_find_who_had_a_name_from_their_week_on(
    count: int, weeks: int, agent: str, data: st.DataObject
) -> None:
    clock = Clock()
    names = Pseudonyms(clock=clock)
    shares = names.share([f"holder {number}" for number in range(count)])
    clock.at += timedelta(days=7 * weeks)
    name, week = names.pseudonym(agent), names.week
    two = data.draw(st.permutations(shares))[:2]
    two = [read_share(str(share).lower()) for share in two]
    assert release(two, name, week, ["somebody", agent]) == [agent]
    assert release(two, name, week, ["somebody", "else"]) == []
    with pytest.raises(UsageError, match="two holders"):
        release([two[0], two[0]], name, week, [agent])
    with pytest.raises(UsageError, match="not back"):
        release(two, name, "2026-W01", [agent])


def test_shares_of_other_setups_and_slips_are_told(tmp_path: Path) -> None:
    clock = Clock()
    names = Pseudonyms(tmp_path, clock)
    one, other = names.share(["Ada", "Ben"])
    assert [sharing.holders for sharing in Pseudonyms(tmp_path, clock).sharings] == [("Ada", "Ben")]
    held = keys_in(tmp_path)
    assert one.part.hex() not in held
    assert str(one) not in held
    clock.at += timedelta(days=7)
    _, third = names.share(["Ada", "Cem"])
    with pytest.raises(UsageError, match="different setups"):
        release([one, third], "A-0", "2026-W04", [])
    written = str(one)
    with pytest.raises(UsageError, match="slip"):
        read_share(written.replace(written[12], "A" if written[12] != "A" else "B", 1))
    for odd in ("", "MFRGG", "äöü", written[:-6]):
        with pytest.raises(UsageError, match="a share"):
            read_share(odd)
    with pytest.raises(UsageError, match="2026-W47"):
        release([one, other], "A-0", "2026-47", [])
    for holders in ([], ["Ada"], ["Ada", "Ada"], ["Ada", ""]):
        with pytest.raises(UsageError, match="at least two holders"):
            names.share(holders)


def test_a_new_key_leaves_shares_behind(tmp_path: Path) -> None:
    clock = Clock()
    names = Pseudonyms(tmp_path, clock)
    shares = names.share(["Ada", "Ben"])
    before = names.pseudonym("ann")
    names.renew()
    assert names.pseudonym("ann") != before
    assert [one.until for one in names.sharings] == ["2026-W02"]
    assert release(shares, before, "2026-W02", ["ann"]) == ["ann"]
    clock.at += timedelta(days=7)
    assert release(shares, names.pseudonym("ann"), names.week, ["ann"]) == []


def test_a_clock_that_was_wrong_neither_brings_names_back_nor_stops_their_turning(tmp_path: Path) -> None:
    clock = Clock()
    names = Pseudonyms(tmp_path, clock)
    first = names.pseudonym("ann")
    clock.at += timedelta(days=7)
    second = names.pseudonym("ann")
    clock.at -= timedelta(seconds=1)  # a little back, over the turn of the week
    assert names.pseudonym("ann") == second
    clock.at = MONDAY + timedelta(days=3650)
    far = names.pseudonym("ann")
    clock.at = MONDAY + timedelta(days=8)
    again = names.pseudonym("ann")
    assert len({first, second, far, again}) == 4
    assert Pseudonyms(tmp_path, clock).pseudonym("ann") == again
    clock.at += timedelta(days=7)
    assert names.pseudonym("ann") != again


def test_what_is_stored_has_neither_name_nor_address() -> None:
    names = Pseudonyms()
    event = names.protect(started())
    assert event.metadata.agent == (None if started().metadata.agent is None else names.pseudonym("ann"))
    assert names.protect(mood()) == mood()
    assert names.mark("10.0.0.7:5060") == names.mark("10.0.0.7:40112") == names.mark("10.0.0.7")
    assert names.mark("[::1]:5060") == names.mark("::1")
    assert names.mark("10.0.0.8") != names.mark("10.0.0.7")
    assert Pseudonyms().mark("10.0.0.7") != names.mark("10.0.0.7")


def test_a_broken_key_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "pseudonyms.json").write_text("{")
    with pytest.raises(UsageError, match=r"pseudonyms\.json: wanted the key"):
        Pseudonyms(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="wanted a key"):
        Pseudonyms(tmp_path / "file")


def test_weeks() -> None:
    assert week_of(date(2026, 12, 31)) == week_of(date(2027, 1, 3)) == "2026-W53"
    assert check_week("2027-W01") == date(2027, 1, 4)
    for odd in ("2027-W54", "W3", "2027-W00", ""):
        with pytest.raises(UsageError):
            check_week(odd)
