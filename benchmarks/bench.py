"""`vocal bench`: parts that give rows, in order, each with a bar on a terminal while it runs.

What was measured is kept with every row, so that an interrupted run, or one whose time was up, says what it has and
what it has not.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from . import machine, results, targets
from .asked import Asked
from .drawings import Drawing
from .results import Run, Skipped
from .rows import Row, show

PARTS = ("speed", "capacity", "latency", "accuracy")
MACHINE = ("capacity", "latency")
"""Parts that are measured on all cores."""

SPENT, INTERRUPTED = "the budget was spent", "interrupted"


def check(part: str, topics: Sequence[str], others: Path | None, *faults: Any) -> None:
    """Raises before anything is measured, where a part has no such topic, a file no such targets, or what is to happen
    on the way (`capacity.check`) cannot."""
    targets.use(others)
    if part == "capacity":
        from . import capacity

        capacity.check(topics, *faults)
    elif topics:
        from . import accuracy

        accuracy.check(topics)


def _rows(part: str, asked: Asked, say: Callable[[str], None], drawings: list[Drawing]) -> Iterator[Row | Skipped]:
    if part == "speed":
        from . import speed

        yield from speed.rows(asked.data, asked.with_peers, asked.quick)
    elif part == "capacity":
        from . import capacity

        yield from capacity.rows(asked, asked.topics, say)
    elif part == "latency":
        from . import latency

        yield from latency.rows(say, asked.quick)
    else:
        from . import accuracy

        yield from accuracy.rows(asked, say, drawings)


def _heard(asked: Asked) -> list[Path]:
    """Files of the corpora that the asked parts may read."""
    from . import accuracy

    assert asked.data is not None
    topics = asked.topics or accuracy.TOPICS
    wanted = {"calls/staged"}
    if "accuracy" in asked.parts:
        wanted = {corpus for topic in topics for corpus in accuracy.NEEDS[topic]}
    places = [asked.data / corpus for corpus in wanted]
    return [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]


class _Keeper:
    """A run as it grows; on disk too, where it is to be saved."""

    def __init__(self, asked: Asked, path: Path | None) -> None:
        self._path = path
        self._is_cut = False
        self.is_interrupted = False
        self.run = Run(
            started_at=results.now(),
            machine=machine.machine(),
            versions=machine.versions(),
            commit=machine.commit(),
            settings=asked.settings(),
            data=results.checksums(asked.data, _heard(asked)) if asked.data else {},
        )

    def keep(self, **changes: object) -> None:
        self.run = msgspec.structs.replace(self.run, **changes)
        if self._path is not None:
            results.write(self.run, self._path)

    def skip(self, one: Skipped) -> None:
        self.keep(skipped=(*self.run.skipped, one))

    def cut(self, what: str, why: str) -> None:
        self._is_cut = True
        self.skip(Skipped(what, why))

    def end(self) -> None:
        self.keep(is_whole=not self._is_cut)


def run(asked: Asked, as_json: bool, html: Path | None, save: Path | None = None) -> Run:
    """Measure and show. html: where the page goes; save: where the run goes, row by row.

    Raises KeyboardInterrupt where it was interrupted, once all that was measured till then is kept and shown.
    """
    from .clock import one_core

    targets.use(asked.targets)

    keeper = _Keeper(asked, save)
    drawings: list[Drawing] = []
    console = Console(stderr=True)
    until_s = None if asked.budget_s is None else time.monotonic() + asked.budget_s

    def keeping(progress: Progress) -> Iterator[Row]:
        whole = progress.add_task("vocal bench", total=len(asked.parts))
        for number, part in enumerate(asked.parts):
            if keeper.is_interrupted:
                keeper.cut(part, INTERRUPTED)
                continue
            if until_s is not None and time.monotonic() > until_s:
                keeper.cut(part, SPENT)
                continue

            def say(what: str, part: str = part) -> None:
                progress.update(whole, description=f"vocal bench {part}: {what}")

            say("begins")
            with one_core() if part not in MACHINE else contextlib.nullcontext(), machine.Others() as others:
                part_s = began_s = time.monotonic()
                share, shares = 0.0, dict[str, float]()
                try:
                    for count, row in enumerate(_rows(part, asked, say, drawings), 1):
                        if (now_s := time.monotonic()) > began_s + machine.LOOK_S:  # else measured with the one before
                            began_s, share = now_s, others.share_since(began_s)
                        if isinstance(row, Skipped):
                            keeper.skip(row)
                        else:
                            say(f"{count} figures, last: {row.name}, {row.condition}, {row.who}")
                            if row.repeats:
                                # What comes later of a condition may have been measured with what came first.
                                shares[row.condition] = max(share, shares.get(row.condition, 0.0))
                                row = msgspec.structs.replace(row, others=round(shares[row.condition], 3))
                            keeper.keep(rows=(*keeper.run.rows, row))
                            yield row
                        if until_s is not None and time.monotonic() > until_s:
                            keeper.cut(f"rest of {part}", SPENT)
                            break
                except KeyboardInterrupt:
                    keeper.is_interrupted = True
                    keeper.cut(f"rest of {part}", INTERRUPTED)
            others_by = {**keeper.run.others, part: round(others.share, 4)}
            keeper.keep(others=others_by, took_s={**keeper.run.took_s, part: round(time.monotonic() - part_s, 1)})
            if others.stood_s > machine.STOOD_S:
                why = f"{part}: this machine stood still for {others.stood_s:.0f} s"
                keeper.keep(doubts=(*keeper.run.doubts, why))
            progress.update(whole, completed=number + 1)
        keeper.end()

    columns = (BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}"))
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    try:
        with bar as progress:
            show(keeping(progress), as_json)
    finally:
        keeper.keep(drawings=tuple(drawings))
        if html is not None:
            from .page import page

            html.write_text(page(keeper.run), "utf-8")
    for one in keeper.run.skipped:
        console.print(f"not measured: {one.what}: {one.why}", markup=False, soft_wrap=True)
    for why in keeper.run.doubts:
        console.print(f"doubt: {why}", markup=False, soft_wrap=True)
    for part, share in keeper.run.others.items():
        if share > machine.BUSY_SHARE:
            console.print(f"{part}: others used {100.0 * share:.0f} % of this machine meanwhile; trust ratios only")
    if keeper.is_interrupted:
        raise KeyboardInterrupt
    return keeper.run
