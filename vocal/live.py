"""Calls as they happen: playouts in, a tick every 20 ms, events out in one hand-over a tick.

    transports (any thread) ─► Playout ─┐
    commands (any thread) ──────────────┴─► clock thread: Engine.tick pulls all ─► on_events(list)

A transport opens a call, attaches a playout to each channel as its media come, and pushes packets onto it. Only the
clock's thread touches the engine. A running call gets exactly one tick of audio each tick, silence where nothing is
there, so none can hold up another; live equals offline. A tick looks at a running call only where it is its turn:
calls' levels and idleness are looked at in turns, by the tick at which each began.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import msgspec
import numpy as np
import vocal_kernels as vk
from vocal_kernels import _native

from vocal.config import Config
from vocal.emotion import EmotionModel
from vocal.engine import Engine
from vocal.errors import CapacityError, UsageError
from vocal.playout import Playout, PlayoutCounts
from vocal.policy import stated
from vocal.types import Basis, Call, CallEnded, LiveEvent, Metadata
from vocal.urgency import Urgency

EventsSink = Callable[[Sequence[LiveEvent]], None]
TICK_MS = 1000.0 * vk.TICK_S
LEVELS_TICKS = 10
IDLE_TICKS = 50
"""How often it is looked at whether anything comes on a call."""

MOST_THREADS = 4
MEASURED_TICKS = 500
"""Ticks over which their cost is judged: 10 s."""

KNOWN_CALLS = 20
CALL_MS = 0.05
"""What a call adds to a tick where too few run to tell: what a tick costs without any is no call's."""

LATE_RUN = 50
"""So many late ticks in a row that take longer than they last, and the clock's threads stand back for a while."""

MOST_BEHIND_TICKS = 100
"""Further behind than this, the clock does not catch up but goes on from now."""


class CallState(msgspec.Struct, frozen=True):
    """A call as it stands. waiting: opened, and no audio is due yet."""

    call: Call
    state: Literal["waiting", "running", "ending"]
    at_s: float
    playouts: tuple[PlayoutCounts | None, ...]


class LiveStats(msgspec.Struct, frozen=True):
    """How the clock keeps up; the costs are of the last 10 s. emotion_busy: share in which the model was at work.

    refused_estimates: not asked for, as the emotion model was behind. is_urgent: its threads go before all others.
    """

    calls: int
    channels: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    failed_ticks: int
    refused_calls: int
    timed_out_calls: int
    tick_mean_ms: float
    tick_p95_ms: float
    tick_p99_ms: float
    emotion_busy: float
    refused_estimates: int
    is_urgent: bool


class _Room:
    """One call between its opening and its end."""

    def __init__(self, call: Call, now_ms: float) -> None:
        self.call = call
        self.playouts: list[Playout | None] = [None] * len(call.channels)
        self.began_tick: int | None = None
        self.end_reason: str | None = None
        self.last_heard_ms = now_ms

    @property
    def begun(self) -> bool:
        return self.began_tick is not None

    @property
    def state(self) -> Literal["waiting", "running", "ending"]:
        if self.end_reason is not None:
            return "ending"
        return "running" if self.begun else "waiting"


class Live:
    """The live engine. `open`, `attach`, `detach`, `end`, `hold` and `set_notice` may be called from any thread.

    on_events is called in the clock's thread, at most once a tick. clock and sleep, in seconds, are injected in tests.
    speed: how much faster than people speak its clock runs, for trials with senders that are as fast.
    """

    def __init__(
        self,
        on_events: EventsSink,
        config: Config = Config(),
        emotion: EmotionModel | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        speed: float = 1.0,
    ) -> None:
        self._on_events = on_events
        self._config = config
        self._clock = clock if speed == 1.0 else lambda: speed * clock()
        self._sleep = sleep if speed == 1.0 else lambda wait_s: sleep(wait_s / speed)
        self.speed = speed
        self._events: list[LiveEvent] = []
        threads = config.live.threads or min(MOST_THREADS, len(os.sched_getaffinity(0)))
        self.urgency = Urgency(config.live.real_time)
        self._engine = Engine(self._events.append, config, emotion, threads, self.urgency)
        self._rooms: dict[str, _Room] = {}
        self._waiting: dict[str, _Room] = {}  # of _rooms, those that have not begun
        # Those that have, by the tick at which they did: whose turn it is.
        self._turns: list[dict[str, _Room]] = [{} for _ in range(IDLE_TICKS)]
        self._lock = threading.Lock()  # of _rooms and what they hold, but for the engine
        self._commands: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self.media_clock = _native.Clock(speed)
        """`now_ms` for native threads, which know no other clock than time.monotonic."""
        self._begin_at(self._clock())
        self.levels_of: Collection[str] | None = None
        """Calls whose levels are told; None: of all."""
        self._costs_ms: deque[float] = deque(maxlen=MEASURED_TICKS)
        self._opened: deque[float] = deque(maxlen=1000)
        self._ticks = self._late = self._skipped = self._failed = self._refused = self._timed_out = 0

    # What transports and the server call

    def now_ms(self) -> float:
        """The clock that packets' arrivals are given in."""
        return 1000.0 * (self._clock() - self._start_s)

    def open(self, call: Call) -> None:
        """Admit a call. It begins with its first audio.

        Raises CapacityError when the machine carries no more, UsageError for a call that is open already.
        """
        if not call.channels:
            raise UsageError(f"call {call.call!r}: wanted at least one channel")
        with self._lock:
            if call.call in self._rooms:
                raise UsageError(f"call {call.call!r} is open already")
            try:
                self._admit()
            except CapacityError:
                self._refused += 1
                raise
            self._rooms[call.call] = self._waiting[call.call] = _Room(call, self.now_ms())
            self._opened.append(self.now_ms())

    def attach(self, call: str, channel: int, clock_hz: int = 8000, reliable: bool = False) -> Playout:
        """A playout for a channel of an open call, in place of the one before: push packets onto it.

        Its times are `now_ms()`. clock_hz: of the timestamps; reliable: the media come over TCP.
        """
        playout = Playout(self._config.playout, clock_hz, reliable)
        with self._lock:
            room = self._room(call)
            numbers = [one.channel for one in room.call.channels]
            if channel not in numbers:
                raise UsageError(f"call {call!r}: wanted one of its channels {numbers}, got {channel}")
            if room.end_reason is not None:
                raise UsageError(f"call {call!r} is ending: no more media are taken")
            column = numbers.index(channel)
            room.playouts[column] = playout
            room.last_heard_ms = self.now_ms()
        self._commands.append(lambda: self._play(room, column))
        return playout

    def detach(self, call: str, playout: Playout) -> None:
        """A channel's media ended; what waits is played, and the call goes on."""
        playout.close()

    def touch(self, call: str) -> None:
        """The call's peer is there, though it sends no audio, as in a pause: the call is not idle."""
        with self._lock:
            room = self._rooms.get(call)
            if room is not None:
                room.last_heard_ms = self.now_ms()

    def end(self, call: str, reason: str) -> None:
        """The call ends after what was pushed has been played. A call that is not open is no mistake: it has ended."""
        with self._lock:
            room = self._rooms.get(call)
            if room is not None and room.end_reason is None:
                room.end_reason = reason
                for playout in room.playouts:
                    if playout is not None:
                        playout.close()
                self._commands.append(lambda: self._close(room))

    def hold(self, call: str, is_held: bool) -> None:
        """Nothing comes by agreement, or something again: meanwhile silence is nobody's. Whether the peer is there
        `touch` says."""
        with self._lock:
            room = self._room(call)
        self._commands.append(lambda: self._hold(room, is_held))

    def set_notice(self, call: str, given: bool, basis: Basis = "notice") -> None:
        """The customer was informed, or agreed, or objects: takes effect with the next tick."""
        with self._lock:
            room = self._room(call)
            room.call = msgspec.structs.replace(room.call, metadata=stated(room.call.metadata, given, basis))
        self._commands.append(lambda: self._tell_notice(room, given, basis))

    def join_notice(self, call: str, said: Metadata) -> None:
        """What a participant who joins a call says of it counts, too."""
        with self._lock:
            known = self._room(call).call.metadata
        if said.consent and not known.consent:
            self.set_notice(call, True, "consent")
        elif said.notice and not known.notice:
            self.set_notice(call, True)

    def calls(self) -> list[CallState]:
        with self._lock:
            return [self._state(room) for room in self._rooms.values()]

    def call(self, call: str) -> CallState | None:
        with self._lock:
            room = self._rooms.get(call)
            return None if room is None else self._state(room)

    def stats(self) -> LiveStats:
        with self._lock:
            costs = np.array(list(self._costs_ms) or [0.0])
            return LiveStats(
                calls=len(self._rooms),
                channels=sum(len(room.call.channels) for room in self._rooms.values()),
                ticks=self._ticks,
                late_ticks=self._late,
                skipped_ticks=self._skipped,
                failed_ticks=self._failed,
                refused_calls=self._refused,
                timed_out_calls=self._timed_out,
                tick_mean_ms=round(float(costs.mean()), 3),
                tick_p95_ms=round(float(np.quantile(costs, 0.95)), 3),
                tick_p99_ms=round(float(np.quantile(costs, 0.99)), 3),
                emotion_busy=round(self._engine.emotion_busy, 3),
                refused_estimates=self._engine.refused_estimates,
                is_urgent=self.urgency.is_urgent,
            )

    # The clock

    def _begin_at(self, start_s: float) -> None:
        self._start_s = start_s
        self.media_clock.set_start(start_s)

    def start(self) -> None:
        self._begin_at(self._clock())
        self._thread = threading.Thread(target=self._run, name="vocal-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End every call and the clock; what is left to say is said."""
        self._is_stopping = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for call in list(self._rooms):
            self.end(call, "shutdown")
        tick = self._ticks
        while self._rooms and self._ticks - tick < 10 * MEASURED_TICKS:
            self.tick(self._ticks * TICK_MS)
        self._engine.stop()

    def _run(self) -> None:
        _native.name_thread("vocal-clock")
        self.urgency.join()
        late_run, again_at_tick = 0, -1
        while not self._is_stopping:
            due_s = self._start_s + self._ticks * vk.TICK_S
            wait_s = due_s - self._clock()
            if wait_s > 0.0:
                self._sleep(wait_s)
            elif -wait_s > MOST_BEHIND_TICKS * vk.TICK_S:
                self._skipped += int(-wait_s / vk.TICK_S)
                self._begin_at(self._start_s + int(-wait_s / vk.TICK_S) * vk.TICK_S)
            elif -wait_s > vk.TICK_S:
                self._late += 1
            # Who goes before all others and has more to do than time would leave them nothing.
            late_run = late_run + 1 if -wait_s > vk.TICK_S else 0
            if late_run and late_run % LATE_RUN == 0 and sum(list(self._costs_ms)[-LATE_RUN:]) > LATE_RUN * TICK_MS:
                self.urgency.set(False)
                again_at_tick = self._ticks + MEASURED_TICKS
            elif self._ticks == again_at_tick:
                self.urgency.set(True)
            began = time.perf_counter()
            self.tick(self._ticks * TICK_MS)
            self._costs_ms.append(1000.0 * (time.perf_counter() - began))

    def tick(self, now_ms: float) -> None:
        """All that is due at `now_ms`."""
        self._ticks += 1
        try:
            self._move(now_ms)
        except Exception:
            # A defect of ours: it is counted and told, and the other calls go on.
            self._failed += 1
            if self._failed == 1:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        if self._events:
            events, self._events[:] = list(self._events), []
            for event in events:
                if isinstance(event, CallEnded):
                    self._forget(event.call)
            self._on_events(events)

    def _move(self, now_ms: float) -> None:
        while self._commands:
            self._commands.popleft()()
        with self._lock:
            waiting = list(self._waiting.values())
        for room in waiting:
            self._begin(room, now_ms)
        self._engine.tick(now_ms)
        for room in self._turns[self._ticks % IDLE_TICKS].values():
            self._look(room, now_ms)
        wanted = self.levels_of
        if wanted is None or wanted:
            # The first after LEVELS_TICKS of a call's ticks, so not at the tick at which it begins.
            for turn in range((self._ticks + 1) % LEVELS_TICKS, IDLE_TICKS, LEVELS_TICKS):
                calls = self._turns[turn]
                self._events += self._engine.levels(one for one in calls if wanted is None or one in wanted)

    def _look(self, room: _Room, now_ms: float) -> None:
        """Whether anything still comes on a call."""
        if room.end_reason is None:
            with self._lock:
                room.last_heard_ms = max(room.last_heard_ms, self._engine.heard_ms(room.call.call))
            if self._is_idle(room, now_ms):
                self.end(room.call.call, "media timeout")

    def _forget(self, call: str) -> None:
        with self._lock:
            room = self._rooms.pop(call, None)
        if room is not None and room.began_tick is not None:
            del self._turns[room.began_tick % IDLE_TICKS][call]

    def _begin(self, room: _Room, now_ms: float) -> None:
        """Begin a call whose first audio is due; then sides whose first packets came within a tick begin together."""
        if all(playout is None or playout.due_ms > now_ms for playout in room.playouts):
            if self._is_idle(room, now_ms):
                self.end(room.call.call, "media timeout")
            if room.end_reason is None:
                return
        with self._lock:
            playouts, call = list(room.playouts), room.call
            room.began_tick = self._ticks
            del self._waiting[call.call]
        self._engine.open(call)
        self._turns[self._ticks % IDLE_TICKS][call.call] = room
        for column, playout in enumerate(playouts):
            if playout is not None:
                if playout.due_ms <= now_ms + TICK_MS:
                    playout.begin(now_ms)
                self._engine.play(call.call, column, playout)
        if room.end_reason is not None:
            self._engine.close(call.call, room.end_reason)

    def _runs(self, room: _Room) -> bool:
        return room.begun and self._rooms.get(room.call.call) is room

    def _play(self, room: _Room, column: int) -> None:
        playout = room.playouts[column]
        if playout is not None and self._runs(room):
            self._engine.play(room.call.call, column, playout)

    def _close(self, room: _Room) -> None:
        if self._runs(room):
            self._engine.close(room.call.call, room.end_reason or "")

    def _hold(self, room: _Room, is_held: bool) -> None:
        if self._runs(room):
            self._engine.hold(room.call.call, is_held)

    def _is_idle(self, room: _Room, now_ms: float) -> bool:
        if room.end_reason is not None or now_ms - room.last_heard_ms < 1000.0 * self._config.live.idle_s:
            return False
        self._timed_out += 1
        return True

    def _tell_notice(self, room: _Room, given: bool, basis: Basis) -> None:
        # Before a call has begun its metadata say it all.
        if self._runs(room):
            if given:
                self._engine.give_notice(room.call.call, basis)
            else:
                self._engine.withdraw_notice(room.call.call, basis)

    # Admission

    def _admit(self) -> None:
        """What a tick costs now, and what calls opened in the last second will add to it, must leave room in 20 ms."""
        config = self._config.live
        if self._is_stopping:
            raise CapacityError("shutting down: no new calls are taken", 30.0)
        if len(self._rooms) >= config.most_calls:
            raise CapacityError(
                f"{len(self._rooms)} calls are open, and no more than {config.most_calls} are wanted", 10.0
            )
        busy = self._engine.emotion_busy
        if busy > config.most_busy:
            raise CapacityError(
                f"this machine is full: the emotion model is at work {busy:.0%} of the time, "
                f"wanted at most {config.most_busy:.0%}",
                5.0,
            )
        costs = np.array(list(self._costs_ms)[-MEASURED_TICKS // 2 :])
        if len(costs) < MEASURED_TICKS // 10 or not self._rooms:
            return
        now_ms = self.now_ms()
        fresh = min(len(self._rooms), sum(now_ms - at_ms < 1000.0 for at_ms in self._opened))
        known = len(self._rooms) - fresh
        share = float(costs.mean()) / known if known >= KNOWN_CALLS else CALL_MS
        expected_ms = float(np.quantile(costs, 0.95)) + share * (fresh + 1)
        if expected_ms > config.most_busy * TICK_MS:
            raise CapacityError(
                f"this machine is full: with one more call a tick would take {expected_ms:.1f} ms, "
                f"wanted at most {config.most_busy * TICK_MS:.1f} of {TICK_MS:.0f} ms",
                5.0,
            )

    def _room(self, call: str) -> _Room:
        try:
            return self._rooms[call]
        except KeyError:
            raise UsageError(f"call {call!r} is not open") from None

    def _state(self, room: _Room) -> CallState:
        counts = tuple(None if playout is None else playout.counts for playout in room.playouts)
        ticks = 0 if room.began_tick is None else self._ticks - room.began_tick + 1
        return CallState(room.call, room.state, ticks * vk.TICK_S, counts)
