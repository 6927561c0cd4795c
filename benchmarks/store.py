"""A year in the store: what it takes on disk, and what it costs to list, verify, report, erase and prune it.

By hand: python -m vocal.benchmarks.store [--calls 100000] [--folder DIR] [--json]

Each figure is of a command in a process of its own, its start included. The days before the last two are filed as the
daily merge leaves them; the last two go through the log event by event, as from live calls. Utterances and conversation
are of these two days only: they are kept for 24 hours. Everything else is kept for the year, as under an agreement.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from vocal.benchmarks.rows import Row, show
from vocal.benchmarks.year import Dated, Year

from vocal.answers import Answers
from vocal.record import CallRecord
from vocal.store.files import Files, part_name
from vocal.store.parts import ROWS_IN_GROUP, Stem
from vocal.store.schema import EVENTS, kind_name, table_of
from vocal.store.store import Store
from vocal.types import Conversation, Event, Utterance

PART = "a year in the store"
LIVE_DAYS = 2
AGENT = 17
REPORT_S, REPORT_MB = 3.0, 500.0
SETTINGS = """
[store]
folder = "{folder}/store"
[server]
answers = "{folder}/answers.sqlite"
[retention]
calls_d = {days}
agreement = "benchmark"
"""


class Cost(NamedTuple):
    seconds: float
    cpu_s: float
    peak_mb: float
    said: str


RUN = """
import re, sys, time
from vocal.cli import main
code = main(sys.argv[1:])
sys.stdout.flush()
held = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(time.process_time(), held, file=sys.stderr)
sys.exit(code)
"""
"""A command that says in the end how long its threads worked, and how many kB it held at most."""


def command(*arguments: str | Path) -> Cost:
    """What a command takes: wall time, the processor's, and the most memory that it held."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: {done.stderr}")
    *_, cpu_s, peak_kb = done.stderr.split()
    return Cost(seconds, float(cpu_s), int(peak_kb) / 1000.0, done.stdout)


def file_day(files: Files, day: date, calls: Sequence[Dated], number: int) -> None:
    """As `Parts.merge` leaves a day that is over, and retention its utterances."""
    rows: dict[type[msgspec.Struct], list[Event | CallRecord]] = {}
    for call in calls:
        for event in call.events():
            if not isinstance(event, Utterance | Conversation):
                rows.setdefault(type(event), []).append(event)
        rows.setdefault(CallRecord, []).append(call.record)
    stem = str(Stem("00000000", (number, 0), (number, 10**6)))
    for kind in (*EVENTS, CallRecord):
        if own := rows.get(kind):
            table = table_of(kind, own).sort_by("call")
            files.write_table(part_name(kind_name(kind), day.isoformat(), stem), table, ROWS_IN_GROUP)


def fill(folder: Path, year: Year) -> Iterator[Row]:
    """The year, and of one agent which calls are theirs."""
    files = Files(folder / "store")
    files.make()
    answers = Answers(folder / "answers.sqlite", keep=timedelta(days=400))
    own = 0
    for number, day in enumerate(year.days, 1):
        calls = list(year.of_day(day))
        for call in calls:
            if call.agent == AGENT:
                answers.keep_own(call.record.call, "agent 17")
                own += 1
        if number <= len(year.days) - LIVE_DAYS:
            file_day(files, day, calls, number)
            continue
        began, events = time.perf_counter(), 0
        now = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
        with Store(folder / "store", clock=lambda now=now: now) as store:
            for call in calls:
                told = call.events()
                store.take(told)
                events += len(told)
                store.flush()
        if events:
            condition = f"{len(calls)} calls of {day:%A}"
            yield row("log and filing", condition, events / (time.perf_counter() - began), "events/s")
    yield row("calls of the agent", "", own, "calls")


def row(name: str, condition: str, value: float, unit: str, most: float | None = None) -> Row:
    return Row(PART, name, condition, "vocal", value, unit, most, "lower")


def costs(
    name: str, condition: str, cost: Cost, seconds: float | None = None, mb: float | None = None
) -> Iterator[Row]:
    yield row(f"{name}, time", condition, cost.seconds, "s", seconds)
    yield row(f"{name}, processor", condition, cost.cpu_s, "s")
    yield row(f"{name}, memory", condition, cost.peak_mb, "MB", mb)


def measure(folder: Path, year: Year) -> Iterator[Row]:
    settings = folder / "vocal.toml"
    settings.write_text(SETTINGS.format(folder=folder, days=400), "utf-8")
    with_settings = ("--config", settings)

    listed = command("store", "ls", "--json", *with_settings)
    found = json.loads(listed.said)
    calls, days = found["calls"], found["days"]
    condition = f"{calls} calls on {days} days, {sum(one['files'] for one in found['tables'])} files"
    yield from costs("ls", condition, listed)
    for table in found["tables"]:
        if table["rows"]:
            of = "the last two days" if table["table"] in ("utterance", "conversation") else "the year"
            yield row(f"{table['table']} on disk", f"{table['rows']} rows of {of}", table["bytes"] / 1e6, "MB")
    kept = {one["table"]: one for one in found["tables"]}
    short = sum(kept[name]["bytes"] for name in ("utterance", "conversation"))
    yield row("on disk, for a month", "a call", (found["bytes"] - short) / calls / 1e3, "kB")
    live = sum(len(list(year.of_day(day))) for day in year.days[-LIVE_DAYS:])
    if live:
        yield row("on disk, for a day", "a call, beside that", short / live / 1e3, "kB")
    yield from costs("verify", condition, command("store", "verify", *with_settings))

    first, last = year.days[0].isoformat(), year.days[-1].isoformat()
    report = ("report", "--team", "Team 3", "--from", first, "--to", last, *with_settings)
    out = ("--out", folder / "report.html")
    yield from costs("team report, the first", "figures of a year are summed up for it", command(*report, *out))
    yield from costs("team report", "a year, HTML", command(*report, *out), REPORT_S, REPORT_MB)

    call = next(call for day in year.days[200:] for call in year.of_day(day)).record.call
    for what, name in (("call", call), ("agent", "agent 17")):
        erased = command("store", "erase", f"--{what}", name, "--yes", "--json", *with_settings)
        proof = json.loads(erased.said)
        assert not proof["failed"]
        assert proof["reread"]["found"] == 0
        condition = (
            f"{len(proof['calls'])} calls, {len(proof['removed'])} of {proof['reread']['files']} files rewritten"
        )
        yield from costs(f"erase --{what}", condition, erased)

    pruned = command("store", "prune", "--json", *with_settings)
    yield from costs("prune", f"{len(json.loads(pruned.said))} files, as each hour", pruned)
    settings.write_text(SETTINGS.format(folder=folder, days=30), "utf-8")
    pruned = command("store", "prune", "--json", *with_settings)
    yield from costs("prune, all but a month", f"{len(json.loads(pruned.said))} files", pruned)
    yield from costs("verify, a month", "what is left", command("store", "verify", *with_settings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="that is empty; it is kept")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="vocal-year-"))
    year = Year(datetime.now(UTC).date(), given.calls)

    def rows() -> Iterator[Row]:
        yield from fill(folder, year)
        yield from measure(folder, year)

    try:
        show(rows(), given.json)
    finally:
        if given.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
