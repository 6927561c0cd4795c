"""The store: events into the log at once, calls that have ended into Parquet parts by day. Never audio.

    take(event) ─► waiting ─► log thread: a batch to the disk every 0.25 s ─► log/*.arrow
                              house thread: calls that ended ─► KIND/day=2026-11-22/*.parquet, small parts ─► one

Whoever gives events never waits. Where the disk is full, read-only or away, events wait in memory, the newest are lost
when there are too many, and what is lost is counted; each second it is tried again.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from vocal.errors import StoreError
from vocal.policy import without_inferred
from vocal.store import log
from vocal.store.files import LOG as FOLDER
from vocal.store.files import Files, Lock, make_folder
from vocal.store.log import Appender, Row, Segment, State
from vocal.store.parts import Parts, stem_of
from vocal.store.reader import StoreReader
from vocal.store.schema import EVENTS, kind_name
from vocal.types import CallEnded, CallStarted, Event, LiveEvent, Notice

LOG = logging.getLogger("vocal")
T = TypeVar("T")
BEAT_S = 0.25
RETRY_S = 1.0
CLOSE_S = 10.0
SEGMENT_S, SEGMENT_BYTES = 300.0, 8 << 20
HOUR_S = 3600.0
MOST_WAITING = 100_000
"""Events that wait for the disk: a minute and a half of 1,000 calls."""

ROWS_IN_BATCH = 4096
_ENCODER = msgspec.json.Encoder()
_NAMES = {kind: kind_name(kind) for kind in EVENTS}
_FRAME = (CallStarted, Notice, CallEnded)
"""Without these the others mean nothing, and they are few: they go last."""


class StoreState(msgspec.Struct, frozen=True):
    """How the store fares. behind_s: age of the oldest event that is not on the disk. error: of the last try; None: it
    went well. lost: events, by kind. cut_bytes: of torn ends found at the start. interrupted: calls whose server ended
    before they did."""

    written: int
    waiting: int
    lost: dict[str, int]
    behind_s: float
    error: str | None
    failures: int
    calls: int
    interrupted: int
    unreadable: int
    cut_bytes: int
    damaged_batches: int


class _Withdrawal(NamedTuple):
    call: str
    before: int


class Store:
    """A sink: give it every event. One thread at a time may; it is closed once.

    folder: or a URL that pyarrow knows; then `spool` is the folder of this machine that holds the log. protect: what is
    kept of an event. clock: the time of day, for `filed_at` and for which days are over. Raises StoreError where there
    can be no store, or another process writes to it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        spool: str | os.PathLike[str] = "",
        protect: Callable[[Event], Event] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.files = Files(folder)
        if not (self.files.is_local or spool):
            raise StoreError(f"{self.files.where}: wanted a spool, a folder of this machine for the log")
        self.log_files = Files(spool) if spool else self.files
        self.protect, self._clock = protect, clock
        self._lock = Lock(self.log_files.folder / FOLDER)
        try:
            if not self.files.is_there:
                self.files.make()
            self._state = self._next_run()
            self._lock.run(self._state.run)
        except StoreError:
            self._lock.release()
            raise
        self._parts = Parts(self.files, self.log_files, self._state)
        # What waits: filled by whoever takes, emptied by the log's thread.
        self._waiting: deque[tuple[float, list[Event]]] = deque()
        self._taken = self._drained = 0
        self._lost: dict[str, int] = {}
        # Of the log's thread.
        self._unwritten: list[Row] = []
        self._oldest: float | None = None
        self._cursor = self._written = self._failures = 0
        self._number = 0
        self._open: Segment | None = None  # set before the file is there, so that nobody takes it for closed
        self._appender: Appender | None = None
        self._opened = 0.0
        self._errors: dict[str, str] = {}
        self._withdrawn: list[_Withdrawal] = []
        self._wake, self._idle = threading.Event(), threading.Condition()
        self._rotates = self._is_stopping = self._is_closed = False
        # Of the house's thread.
        self._work: list[Callable[[], object]] = []
        self._work_lock = threading.Lock()
        self._hourly: list[Callable[[], object]] = []
        self._has_work = threading.Event()
        self._house_stops = False
        self._threads = [
            threading.Thread(target=self._write_on, name="vocal-log", daemon=True),
            threading.Thread(target=self._keep_house, name="vocal-house", daemon=True),
        ]
        self._do(self._compact)
        for thread in self._threads:
            thread.start()

    def _next_run(self) -> State:
        there = log.segments(self.log_files)
        state = log.load_state(self.log_files)
        if state is None:
            state = State(there[-1].log) if there else log.new_log()
            # What has become of these runs' calls the names of parts tell.
            for stem in filter(None, (stem_of(part.name) for part in self.files.parts("calls") if there)):
                run, cursor = stem.last
                if stem.log == state.log and any(run == one.run for one in there):
                    state.done[run] = max(state.done.get(run, 0), cursor)
        for segment in there:
            if segment.log == state.log:
                state.run = max(state.run, segment.run)
                state.done.setdefault(segment.run, 0)
                # A newer log is told now, not when the first call has ended.
                with contextlib.suppress(ValueError):
                    log.read(self.log_files, segment)
        state.run += 1
        state.done[state.run] = 0
        return state

    # Whoever gives events

    def __call__(self, event: Event) -> None:
        self.take((event,))

    def take(self, events: Sequence[LiveEvent]) -> None:
        """Never waits, never fails; what is not for the store is passed over."""
        kept = [event for event in events if isinstance(event, EVENTS)]
        if self.protect is not None:
            kept = [self.protect(event) for event in kept]
        waiting = self._taken - self._drained
        if waiting + len(kept) > MOST_WAITING:
            kept = self._fewer(kept, waiting)
        if kept:
            self._waiting.append((time.monotonic(), kept))
            self._taken += len(kept)

    def _fewer(self, events: Sequence[Event], waiting: int) -> list[Event]:
        kept: list[Event] = []
        for event in events:
            if isinstance(event, _FRAME) and waiting < 2 * MOST_WAITING:
                kept.append(event)
            else:
                name = _NAMES[type(event)]
                self._lost[name] = self._lost.get(name, 0) + 1
        return kept

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Waits until what was taken is on the disk; False: it is not yet."""
        wanted = self._taken
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: self._drained - len(self._unwritten) >= wanted, timeout_s)

    def close(self) -> None:
        """Files what has ended. Raises StoreError where events could not be written."""
        if self._is_closed:
            return
        self._is_closed = True
        self.flush()
        self._is_stopping = True
        self._wake.set()
        self._threads[0].join(CLOSE_S)
        self._do(self._compact)
        self._house_stops = True
        self._has_work.set()
        self._threads[1].join()
        self._lock.release()
        state = self.state()
        missing = state.waiting + sum(state.lost.values())
        if missing or state.error:
            raise StoreError(
                f"{self.files.where}: {f'{missing} events' if missing else 'calls that ended'} could not be written"
                f"{f': {state.error}' if state.error else ''}"
            )

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def state(self) -> StoreState:
        oldest = self._oldest
        if oldest is None:
            with contextlib.suppress(IndexError):
                oldest = self._waiting[0][0]
        return StoreState(
            written=self._written,
            waiting=self._taken - self._drained + len(self._unwritten),
            lost=dict(self._lost),
            behind_s=0.0 if oldest is None else time.monotonic() - oldest,
            error=next(iter(self._errors.values()), None),
            failures=self._failures,
            calls=self._parts.calls,
            interrupted=self._parts.interrupted,
            unreadable=self._parts.unreadable,
            cut_bytes=self._parts.damage.bytes,
            damaged_batches=self._parts.damage.batches,
        )

    def reader(self) -> StoreReader:
        return StoreReader(self.files, self.log_files)

    # Whoever looks after what is kept. The house's thread alone changes parts, and segments that are closed.

    def exclusively(self, work: Callable[[], T]) -> Future[T]:
        """`work` in the house's thread, once all that was taken before stands in closed segments."""
        done: Future[T] = Future()

        def run() -> None:
            try:
                self._close_log()
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        self._do(run)
        return done

    def _close_log(self) -> None:
        """In the house's thread: waits until all that was taken stands in closed segments."""
        if self._threads[0].is_alive():
            written = self.flush()
            self._rotates = True
            self._wake.set()
            with self._idle:
                written = self._idle.wait_for(lambda: not self._rotates, CLOSE_S) and written
            if not written:
                raise StoreError(f"{self.files.where}: the log cannot be written: {self.state().error}")

    def hourly(self, work: Callable[[], object]) -> None:
        """`work` in the house's thread, now and each hour; where it fails with a StoreError, again in a second."""
        self._hourly.append(work)
        self._do(work)

    def closed_segments(self) -> list[Segment]:
        """Of the log; all but the one that is written now."""
        there = log.segments(self.log_files)
        now = self._open
        return [segment for segment in there if segment != now]

    def _do(self, work: Callable[[], object]) -> None:
        with self._work_lock:
            if work not in self._work:
                self._work.append(work)
        self._has_work.set()

    def _keep_house(self) -> None:
        hour = time.monotonic() + HOUR_S
        is_last = False
        while not is_last:
            self._has_work.wait(RETRY_S)
            self._has_work.clear()
            is_last = self._house_stops
            if time.monotonic() >= hour:
                hour += HOUR_S
                for work in (self._compact, *self._hourly):
                    self._do(work)
            with self._work_lock:
                todo, self._work = self._work, []
            for at, work in enumerate(todo):
                try:
                    work()
                except StoreError as error:
                    # The others would most likely fail as well; in a second they go first.
                    self._failed("parts", error)
                    with self._work_lock:
                        self._work += [*todo[at + 1 :], work]
                    break
                except Exception:
                    LOG.exception("the store's house-keeping failed")
                else:
                    self._went_well("parts")

    def _compact(self) -> None:
        self._parts.compact(self.closed_segments())
        self._parts.merge(self._clock())

    # The log's thread

    def _write_on(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(RETRY_S if self._unwritten else BEAT_S)
            self._wake.clear()
            is_last = self._is_stopping
            try:
                self._gather()
                while self._unwritten:
                    self._write()
                    self._gather()
            except (OSError, StoreError) as error:
                self._failed("log", error)
            except Exception:
                LOG.exception("the store's log failed")
            else:
                self._went_well("log")
            self._turn()
            with self._idle:
                self._idle.notify_all()
        if self._appender is not None:
            self._appender.close()
        self._open = None

    def _gather(self) -> None:
        """Events that wait become rows, so long as none are waiting for the disk."""
        if self._unwritten or not self._waiting:
            return
        oldest = None
        events: list[Event | None] = []
        while self._waiting and len(events) < ROWS_IN_BATCH:
            at, some = self._waiting.popleft()
            oldest = at if oldest is None else oldest
            events += some
        for index, event in enumerate(events):
            if isinstance(event, Notice) and not event.given:
                for i, held in enumerate(events[:index]):
                    if held is not None and held.call == event.call:
                        events[i] = without_inferred(held)
                self._withdrawn.append(_Withdrawal(event.call, self._cursor + index + 1))
        self._unwritten = [
            Row(self._cursor + at, event.call, _NAMES[type(event)], event.at_s, _ENCODER.encode(event))
            for at, event in enumerate(events, 1)
            if event is not None
        ]
        self._oldest = oldest
        self._cursor += len(events)
        self._drained += len(events)

    def _write(self) -> None:
        if not self._lock.is_whole:
            self._lock.take()
        if self._appender is not None and self._appender.is_broken:
            self._close_segment()
        if self._appender is None:
            self._appender = self._new_segment()
        elif self._appender.is_gone:
            # The folder was moved or deleted. What it held of this segment can still be read, and goes with us.
            self._lock.take()
            gone, fresh = self._appender, self._new_segment()
            for batch in log.read_segment(gone.content(), "").batches:
                fresh.append_batch(batch)
            gone.close()
            self._appender = fresh
        self._appender.append(self._unwritten, self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"))
        self._written += len(self._unwritten)
        self._unwritten, self._oldest = [], None

    def _new_segment(self) -> Appender:
        self._number += 1
        self._open = Segment(self._state.run, self._number, self._state.log)
        path = Path(self.log_files.path(self._open.name))
        make_folder(path.parent)
        self._opened = time.monotonic()
        return Appender(path)

    def _turn(self) -> None:
        """Closes the segment once it is long or old, or somebody wants to change what it holds."""
        withdrawn = [] if self._unwritten else self._withdrawn
        is_old = self._appender is not None and (
            time.monotonic() - self._opened > SEGMENT_S or self._appender.size > SEGMENT_BYTES
        )
        if self._rotates or withdrawn or is_old:
            self._close_segment()
            self._rotates = False
        if withdrawn:
            self._withdrawn = []
            self._do(lambda: self._withdraw(withdrawn))
        if is_old:
            self._do(self._compact)

    def _close_segment(self) -> None:
        if self._appender is not None:
            self._appender.close()
        self._appender = self._open = None

    def _withdraw(self, withdrawn: Sequence[_Withdrawal]) -> None:
        for segment in self.closed_segments():
            if segment.run == self._state.run:
                for call, before in withdrawn:
                    log.rewrite(self.log_files, segment, log.withdrawn(call, before))

    # What does not work

    def _failed(self, where: str, error: Exception) -> None:
        self._failures += 1
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        if where not in self._errors:
            LOG.error("%s: its %s cannot be written, it is tried each second: %s", self.files.where, where, why)
        self._errors[where] = why

    def _went_well(self, where: str) -> None:
        if self._errors.pop(where, None) is not None:
            LOG.warning(
                "%s: its %s can be written again; events lost: %s", self.files.where, where, self._lost or "none"
            )
