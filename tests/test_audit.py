"""The audit log: what was written stands, and whatever is done to it is noticed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vocal.audit import ANCHOR, NOTHING, Audit, Head
from vocal.errors import AuditError

NOW_S = 1_795_000_000.0
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.at_s = NOW_S

    def __call__(self) -> float:
        return self.at_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def opened(log: Path, clock: Clock | None = None) -> Audit:
    return Audit(log, log.parent / "keys", clock or time.time)


def filled(log: Path, count: int = 6, clock: Clock | None = None) -> Audit:
    audit = opened(log, clock)
    for number in range(count):
        audit.append("lea", "report.call", f"c{number}", as_="html")
    return audit


def lines_of(log: Path) -> list[bytes]:
    return log.read_bytes().splitlines(keepends=True)


def test_entries_stand_as_they_were_written_and_the_newest_come_first(log: Path, clock: Clock) -> None:
    audit = filled(log, clock=clock)
    audit.append("vocal", "settings.changed", "", retention={"calls_d": [30, 14]}, share=0.1)
    found = audit.entries()
    assert [entry.seq for entry in found] == [6, 5, 4, 3, 2, 1, 0]
    assert found[0].detail == {"retention": {"calls_d": [30, 14]}, "share": 0.1}
    assert found[-1].previous == NOTHING
    assert [entry.subject for entry in audit.entries("report", subject="c3")] == ["c3"]
    assert [entry.act for entry in audit.entries(who="vocal")] == ["settings.changed"]
    assert audit.entries("rep") == []
    assert len(audit.entries(first="2026-11-18", last="2026-11-18")) == 7
    assert audit.entries(last="2026-11-17") == audit.entries(first="2026-11-19") == []
    assert len(audit.entries(most=2)) == 2
    verdict = audit.verify()
    assert (verdict.entries, verdict.broken, verdict.notes) == (7, None, ())
    assert verdict.head == Head(6, found[0].hash)
    assert opened(log).verify().broken is None  # another process's view


def test_a_log_in_memory_is_the_same_without_files(clock: Clock) -> None:
    audit = Audit(clock=clock)
    for number in range(5):
        audit.append("lea", "report.call", f"c{number}")
        clock.at_s += DAY_S
    assert audit.verify().entries == 5
    assert audit.prune(3.5) == 2
    assert [entry.act for entry in audit.entries()] == ["audit.pruned", *["report.call"] * 3, ANCHOR]
    assert audit.verify().broken is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whoever_has_the_file_alone_changes_nothing_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = tmp_path_factory.mktemp("a") / "audit.jsonl"
    audit = filled(log, 5)
    lines = lines_of(log)
    place = data.draw(st.integers(0, 4))
    way = data.draw(st.sampled_from(["byte", "field", "swap", "drop", "double", "cut", "forge", "empty", "space"]))
    if way == "byte":
        whole = bytearray(b"".join(lines))
        at = data.draw(st.integers(0, len(whole) - 2))
        whole[at] ^= 1 << data.draw(st.integers(0, 6))
        lines = bytes(whole).splitlines(keepends=True)
    elif way == "field":
        entry = json.loads(lines[place])
        field = data.draw(st.sampled_from(["at", "who", "act", "subject", "hash", "previous"]))
        entry[field] += "0"
        lines[place] = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
    elif way == "swap":
        other = (place + 1) % 5
        lines[place], lines[other] = lines[other], lines[place]
    elif way == "drop":
        del lines[place]
    elif way == "double":
        lines.insert(place, lines[place])
    elif way == "cut":
        del lines[place:]
    elif way == "forge":
        # A whole new chain with a key of one's own.
        forged = log.with_name("forged.jsonl")
        Audit(forged, log.parent / "mine")
        other_log = Audit(forged, log.parent / "mine")
        for _ in range(5):
            other_log.append("lea", "nothing.seen")
        lines = lines_of(forged)
    elif way == "empty":
        lines = []
    else:
        lines[place] = lines[place].replace(b":", b": ", 1)
    log.write_bytes(b"".join(lines))
    verdict = audit.verify()
    assert verdict.broken is not None or lines == []
    if lines == []:
        assert verdict.broken is not None
    # And it stays noticed when the log goes on.
    audit.append("lea", "report.call", "later")
    assert opened(log).verify().broken is not None


@pytest.mark.parametrize(("place", "seq"), [(0, 0), (3, 3), (5, 5)])
def test_the_first_broken_place_is_named(log: Path, place: int, seq: int) -> None:
    audit = filled(log)
    lines = lines_of(log)
    lines[place] = lines[place].replace(b'"who":"lea"', b'"who":"leo"')
    log.write_bytes(b"".join(lines))
    broken = audit.verify().broken
    assert broken is not None
    assert (broken.line, broken.seq) == (place + 1, seq)
    assert "altered" in broken.why


def test_a_cut_off_end_is_noticed_now_and_after_the_log_went_on(log: Path) -> None:
    audit = filled(log)
    log.write_bytes(b"".join(lines_of(log)[:3]))
    assert "ends at entry 2, and the head says 5" in str(audit.verify().broken)
    audit.append("lea", "report.call", "c9")
    assert [entry.act for entry in audit.entries(most=2)] == ["report.call", "audit.cut_off"]
    broken = audit.verify().broken
    assert broken is not None
    assert (broken.line, broken.seq) == (4, 6)
    assert "3 entries before it are missing" in broken.why


def test_an_older_copy_of_log_and_head_is_noticed_by_a_noted_head(log: Path) -> None:
    """Who has the keys' folder too can bring back an older state, but not what somebody has written down since."""
    audit = filled(log, 3)
    head = log.parent / "keys/audit.head"
    before = log.read_bytes(), head.read_bytes()
    audit.append("lea", "report.team", "t1")
    noted = audit.verify().head
    assert noted is not None
    log.write_bytes(before[0])
    head.write_bytes(before[1])
    assert audit.verify().broken is None
    assert "before the one that was noted" in str(audit.verify(noted).broken)
    audit.append("lea", "report.team", "another")
    assert "not the entry that was noted" in str(audit.verify(noted).broken)


def test_a_torn_last_line_is_cut_off_and_that_is_logged(log: Path) -> None:
    audit = filled(log)
    with log.open("ab") as file:
        file.write(b'{"seq":6,"at":"2026-')
    verdict = audit.verify()
    assert verdict.broken is None
    assert "20 bytes" in verdict.notes[0]
    audit.append("lea", "report.call", "next")
    assert [(one.act, one.detail) for one in audit.entries(most=2)][1] == ("audit.torn", {"bytes": 20})
    assert audit.verify().broken is None


def test_killed_between_the_entry_and_the_head_nothing_is_broken(log: Path) -> None:
    audit = filled(log, 3)
    head = log.parent / "keys/audit.head"
    before = head.read_bytes()
    audit.append("lea", "report.call", "c3")
    head.write_bytes(before)
    assert audit.verify().broken is None
    audit.append("lea", "report.call", "c4")
    assert audit.verify().entries == 5
    head.unlink()
    assert "head" in str(audit.verify().broken)
    audit.append("lea", "report.call", "c5")
    assert [entry.act for entry in audit.entries(most=2)] == ["report.call", "audit.head_lost"]


def test_without_its_key_a_log_is_not_gone_on_with(log: Path) -> None:
    filled(log)
    (log.parent / "keys/audit.key").unlink()
    with pytest.raises(AuditError, match=r"audit\.key: wanted the key"):
        opened(log)
    (log.parent / "keys/audit.key").write_text("no key")
    with pytest.raises(AuditError, match="64 hexadecimal"):
        opened(log)


def test_the_clock_going_back_is_logged_and_breaks_nothing(log: Path, clock: Clock) -> None:
    audit = filled(log, 2, clock)
    clock.at_s -= 3600.0
    audit.append("lea", "report.call", "earlier")
    assert [entry.act for entry in audit.entries(most=2)] == ["report.call", "clock.back"]
    assert audit.verify().broken is None
    clock.at_s += 7200.0
    audit.append("lea", "report.call", "later")
    assert audit.entries(most=2)[1].act == "report.call"


def test_old_entries_go_and_the_chain_still_holds(log: Path, clock: Clock) -> None:
    audit = opened(log, clock)
    for number in range(10):
        audit.append("lea", "report.call", f"c{number}")
        clock.at_s += DAY_S
    noted = audit.entries()[-2].link, audit.entries()[0].link  # of the second and of the tenth
    assert audit.prune(731) == 0
    assert audit.prune(5.5) == 5
    verdict = audit.verify()
    assert verdict.broken is None
    assert verdict.entries == 6  # five and `audit.pruned`
    assert "up to 4" in verdict.notes[0]
    assert audit.verify(noted[1]).broken is None
    assert "taken out after its time" in str(audit.verify(noted[0]).broken)
    clock.at_s += DAY_S
    assert audit.prune(5.5) == 1
    assert opened(log).verify().broken is None
    clock.at_s += 1000 * DAY_S
    assert audit.prune(731) == 6
    assert [entry.act for entry in audit.entries()] == ["audit.pruned", ANCHOR]
    audit.append("lea", "report.call", "new")
    assert audit.verify().broken is None
    # The anchor is signed as well, and one amid the log is none.
    lines = lines_of(log)
    log.write_bytes(b"".join((lines[0].replace(b'"removed":6', b'"removed":5'), *lines[1:])))
    assert audit.verify().broken is not None
    log.write_bytes(b"".join((*lines, lines[0])))
    assert "amid" in str(audit.verify().broken)


def test_without_room_on_the_disk_nothing_is_half_written_and_notes_wait(log: Path, tmp_path: Path) -> None:
    """A real one: the limit of a process on the size of its files, as small as the log."""
    filled(log, 3)
    size = log.stat().st_size
    script = f"""
import resource, signal, sys, time
from vocal.audit import Audit
from vocal.errors import AuditError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = Audit({str(log)!r}, {str(log.parent / "keys")!r})
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, ({size} + 100, hard))
try:
    audit.append("lea", "report.call", "refused")
    sys.exit("written")
except AuditError as error:
    print(error)
audit.note("vocal", "notice.withdrawn", "c1")
assert not audit.flush(0.3)
assert audit.verify().broken is None
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert audit.flush(5.0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "cannot be written: File too large" in done.stdout
    audit = opened(log)
    assert [entry.act for entry in audit.entries(most=2)] == ["notice.withdrawn", "report.call"]
    assert "refused" not in log.read_text()
    assert audit.verify().broken is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError, match="cannot be written"):
        Audit(tmp_path / "log.jsonl", tmp_path / "file/keys")


def test_notes_are_written_in_order_and_the_oldest_lost_are_counted(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = opened(log)
    with audit._held():  # the writer cannot
        monkeypatch.setattr("vocal.audit.MOST_WAITING", 5)
        for number in range(8):
            audit.note("vocal", "notice.given", f"c{number}")
    assert audit.flush()
    audit.close()
    subjects = [entry.subject for entry in reversed(audit.entries("notice"))]
    assert subjects[-5:] == [f"c{number}" for number in range(3, 8)]
    assert sum(entry.detail["entries"] for entry in audit.entries("audit.lost")) + len(subjects) == 8
    assert audit.verify().broken is None


def test_the_files_are_their_owners_alone(log: Path) -> None:
    filled(log, 1)
    for file in (log, *(log.parent / "keys").iterdir()):
        assert file.stat().st_mode & 0o077 == 0, file


WRITER = """
import sys
from vocal.audit import Audit
audit = Audit(sys.argv[1], sys.argv[2])
print("ready", flush=True)
number = 0
while True:
    entry = audit.append(sys.argv[3], "report.call", f"{sys.argv[3]}-{number}", about="x" * 200)
    print(entry.seq, entry.hash, flush=True)
    number += 1
"""


def test_killed_at_any_moment_by_two_processes_nothing_that_was_acknowledged_is_missing(log: Path) -> None:
    """Two real processes write to one log, and are killed (SIGKILL) at moments that differ each time."""
    acknowledged: set[tuple[int, str]] = set()
    for turn in range(12):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(log), str(log.parent / "keys"), f"p{turn}{which}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for which in "ab"
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        time.sleep(0.02 + 0.0173 * turn)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
        for writer in writers:
            assert writer.stdout is not None
            with writer:
                said = writer.stdout.read()
            whole = said[: said.rfind("\n") + 1].splitlines()
            acknowledged |= {(int(seq), mac) for seq, _, mac in (line.partition(" ") for line in whole)}
        audit = opened(log)
        verdict = audit.verify()
        assert verdict.broken is None, verdict
    audit.append("vocal", "end")
    assert audit.verify().broken is None
    kept = {(entry.seq, entry.hash) for entry in audit.entries(most=1_000_000)}
    assert len(acknowledged) > 50
    assert acknowledged <= kept


def test_threads_of_one_process_share_it(log: Path) -> None:
    audit = opened(log)
    threads = [
        threading.Thread(target=lambda who=who: [audit.append(who, "report.call") for _ in range(10)]) for who in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert audit.verify().entries == 40
