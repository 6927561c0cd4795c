"""Lanes: admit a channel, advance all of them together, hand out boundaries and measures.

Channels stand side by side in blocks of 16; one kernel call moves a block. A lane's own time begins when its channel is
admitted, so a channel's results do not depend on who its neighbours are, or when they came.

Audio is not kept, with one exception: of a channel for which `keep_audio` was called, as its emotion model listens to
the waveform, the last 16 s stand in memory, in no file and no log, until the channel is released or `forget_audio`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import vocal_kernels as vk
import webrtcvad
from numpy.typing import NDArray
from vocal_kernels import _native
from vocal_kernels.layout import SPEECH_FROM

from vocal.config import BoundaryConfig
from vocal.playout import Played, Playout
from vocal.urgency import Urgency

STEPS_PER_S = round(1.0 / vk.HOP_S)
KEPT_SAMPLES = vk.RING_ROWS * vk.HOP_SAMPLES
"""Of a channel that keeps audio: as far back as its features reach, 16.3 s, 255 kB."""

TEMPO_WINDOW_S = 10.0

_NEVER = np.iinfo(np.int64).max
_FULL_SCALE = 32768.0


class Kind(IntEnum):
    BEGUN = vk.BEGUN
    SECOND = vk.SECOND
    ENDED = vk.ENDED


class Slot(NamedTuple):
    """A channel's place; `origin` is the block's step at which it came."""

    block: int
    lane: int
    origin: int


class Span(NamedTuple):
    """A boundary on a channel: what happened, when it was known, and the speech it is about. Steps of the channel."""

    slot: Slot
    kind: Kind
    known_step: int
    start_step: int
    end_step: int


class _Block:
    """Sixteen lanes and what their kernel works on."""

    def __init__(self, beside: "_Block | None") -> None:
        self.state: vk.State = vk.new_state(beside.state if beside else None)
        self.until = np.zeros(vk.LANES, np.int64)
        self.slots: list[Slot | None] = [None] * vk.LANES
        self.pcm = np.zeros((vk.MAX_TICKS * vk.TICK_SAMPLES, vk.LANES), np.float32)
        self.tick_pcm = self.pcm[: vk.TICK_SAMPLES]
        self.scores = np.zeros((vk.MAX_TICKS * vk.HOPS, vk.LANES), np.float32)
        # Of the playouts behind the lanes: what the last tick brought, and since the channel came.
        self.played = np.full(vk.LANES, Played.CLOSED, np.int32)
        self.samples = np.zeros(vk.LANES, np.int32)
        self.lost = np.zeros(vk.LANES, np.int64)
        self.heard_ms = np.full(vk.LANES, -math.inf)
        self.playouts = _native.Lanes(self.tick_pcm, self.played, self.samples, self.lost, self.heard_ms)


def _boundary(config: BoundaryConfig) -> vk.Boundary:
    return vk.Boundary(
        onset_score=config.onset_score,
        offset_score=config.offset_score,
        onset_steps=max(1, config.onset_ms // 10),
        hangover_steps=max(1, config.hangover_ms // 10),
        pre_roll_steps=config.pre_roll_ms // 10,
        longest_steps=min(round(config.longest_s * STEPS_PER_S), round(vk.LONGEST_S * STEPS_PER_S)),
    )


class Pulled(NamedTuple):
    """What a channel's playout has brought. samples: in the last tick; lost: samples in all; heard_ms: when last."""

    played: Played
    samples: int
    lost: int
    heard_ms: float


class Stretch(NamedTuple):
    """What is to be measured of a channel, in its steps. since: from where on `functionals` are; None: not."""

    slot: Slot
    start_step: int
    end_step: int
    since_step: int | None


class Measured(NamedTuple):
    """What a stretch sounds like: its `vocal_kernels.measure`, and `functionals` where there is enough speech.

    syllables (not rounded) and spoken_s: of the channel's last 10 s, up to where they are known.
    """

    measures: list[float]
    functionals: NDArray[np.float64] | None
    syllables: float
    spoken_s: float


class Bank:
    """Audio comes in by `advance`, which is given it, or by `tick`, which pulls it from the channels' playouts.

    threads: how many `tick` shares the blocks out to; urgency: which the others join.
    """

    def __init__(
        self, config: BoundaryConfig = BoundaryConfig(), threads: int = 1, urgency: Urgency | None = None
    ) -> None:
        self._config = config
        self._threads = threads
        self._crew = vk.Crew(threads, "vocal-bank")
        if urgency is not None:
            urgency.take_in(self._crew.numbers)
        self._table = vk.Table()
        self._playouts: list[_native.Lanes] = []
        self._boundary = _boundary(config)
        self._detectors: dict[Slot, webrtcvad.Vad] = {}
        self._blocks: list[_Block] = []
        self._audio: dict[Slot, NDArray[np.int16]] = {}

    @property
    def channels(self) -> int:
        return sum(slot is not None for block in self._blocks for slot in block.slots)

    def admit(self) -> Slot:
        """A free lane, in a new block if all are taken."""
        number = next((n for n, block in enumerate(self._blocks) if None in block.slots), len(self._blocks))
        if number == len(self._blocks):
            # A thread works in what one of the first blocks works in; the others need nothing of their own.
            block = _Block(self._blocks[number % self._threads] if number >= self._threads else None)
            self._blocks.append(block)
            self._playouts.append(block.playouts)
            self._table.append(block.state, block.tick_pcm, block.until)
        block = self._blocks[number]
        lane = block.slots.index(None)
        vk.reset_lane(block.state, lane)
        slot = Slot(number, lane, int(block.state.clock[0]))
        block.slots[lane] = slot
        if self._config.detector == "webrtcvad":
            self._detectors[slot] = webrtcvad.Vad(self._config.webrtcvad_mode)
        block.until[lane] = _NEVER
        block.lost[lane], block.heard_ms[lane] = 0, -math.inf
        self._table.wanted[number] = True
        return slot

    def end(self, slot: Slot, steps: int) -> None:
        """The channel ends `steps` after it began: nothing is decided beyond."""
        self._blocks[slot.block].until[slot.lane] = slot.origin + steps

    def release(self, slot: Slot) -> None:
        block = self._blocks[slot.block]
        self._detectors.pop(slot, None)
        self.forget_audio(slot)
        block.playouts.set(slot.lane, None)
        block.slots[slot.lane] = None
        block.until[slot.lane] = 0
        self._table.wanted[slot.block] = any(block.slots)

    def play(self, slot: Slot, playout: Playout) -> None:
        """From the next tick on, a channel's audio is this playout's."""
        self._blocks[slot.block].playouts.set(slot.lane, playout.native)

    def pulled(self, slot: Slot) -> Pulled:
        block, lane = self._blocks[slot.block], slot.lane
        return Pulled(
            Played(block.played[lane]), int(block.samples[lane]), int(block.lost[lane]), float(block.heard_ms[lane])
        )

    def keep_audio(self, slot: Slot) -> None:
        """From here on for `audio`, of the customer's channel only."""
        self._audio[slot] = np.zeros(KEPT_SAMPLES, np.int16)

    def keeps_audio(self, slot: Slot) -> bool:
        return slot in self._audio

    def forget_audio(self, slot: Slot) -> None:
        """Wipe what was kept of a channel's audio, and keep no more of it."""
        kept = self._audio.pop(slot, None)
        if kept is not None:
            kept[:] = 0

    def position(self, slot: Slot) -> int:
        """Steps since the channel began."""
        return int(self._blocks[slot.block].state.clock[0]) - slot.origin

    def advance(self, ticks: int, audio: Mapping[Slot, NDArray[np.float32]]) -> Iterator[Span]:
        """Move every block by `ticks`, 1 to MAX_TICKS. audio: at most ticks * 160 samples a slot, silence where fewer.

        A span is handed out while its block stands at the tick that decided it: measure it before asking for the next.
        """
        samples = ticks * vk.TICK_SAMPLES
        for block in self._blocks:
            if not any(block.slots):
                continue
            block.pcm[:samples] = 0.0
            for slot in block.slots:
                if slot is not None and (given := audio.get(slot)) is not None:
                    block.pcm[: len(given), slot.lane] = given
            if self._detectors:
                self._detect(block, samples)
            done = 0
            while done < samples:
                pcm = block.pcm[done:samples]
                steps = slice(done // vk.HOP_SAMPLES, samples // vk.HOP_SAMPLES)
                scores = block.scores[steps] if self._detectors else None
                before = int(block.state.clock[0])
                moved, count = vk.advance(pcm, block.until, self._boundary, block.state, scores)
                if self._audio:
                    # Only so far as the features: what is heard over them is the same however the audio was cut.
                    self._keep(block, before, pcm[: moved * vk.TICK_SAMPLES])
                done += moved * vk.TICK_SAMPLES
                yield from self._spans(block, count)

    def tick(self, now_ms: float) -> list[Span]:
        """Move every block by the tick at `now_ms` of its playouts; a channel without one is silent.

        The spans are handed out together: measure them before the next tick.
        """
        if self._detectors:
            for block in self._blocks:
                block.playouts.pull(now_ms)
            audio = {slot: self._blocks[slot.block].tick_pcm[:, slot.lane].copy() for slot in self._detectors}
            return list(self.advance(1, audio))
        self._crew.advance(self._table, self._boundary, self._playouts, now_ms)
        if self._audio:
            for number in np.flatnonzero(self._table.wanted).tolist():
                block = self._blocks[number]
                self._keep(block, int(block.state.clock[0]) - vk.HOPS, block.tick_pcm)
        spans: list[Span] = []
        for number in np.flatnonzero(self._table.records).tolist():
            spans += self._spans(self._blocks[number], int(self._table.records[number]))
        return spans

    def measure(self, stretches: Sequence[Stretch]) -> list[Measured]:
        """What some stretches sound like, by all threads at once; while the bank stands where they were decided."""
        rows = np.array([self._row(stretch) for stretch in stretches], np.int64).reshape(-1, 7)
        measures, of_voice, counts = self._crew.measure(self._table, rows)
        return [
            # A copy: speakers learn from it, and must not keep everybody's.
            Measured(of_it, voice.copy() if steps >= vk.LEAST_STEPS else None, syllables, spoken / STEPS_PER_S)
            for of_it, voice, (steps, syllables, spoken) in zip(
                measures.tolist(), of_voice, counts.tolist(), strict=True
            )
        ]

    def _row(self, stretch: Stretch) -> tuple[int, ...]:
        slot, start, end, since = stretch
        origin = slot.origin
        # The tempo is that of the last seconds, up to where syllables are known.
        tempo_end = min(end, self.position(slot) - vk.TEMPO_DELAY)
        tempo_start = max(0, tempo_end - round(TEMPO_WINDOW_S * STEPS_PER_S))
        since = -1 if since is None else origin + since
        return slot.block, slot.lane, origin + start, origin + end, since, origin + tempo_start, origin + tempo_end

    def _spans(self, block: _Block, records: int) -> Iterator[Span]:
        for lane, kind, step, start, end in block.state.records[:records].tolist():
            slot = block.slots[lane]
            if slot is not None:
                known = step + 1 + vk.SPEECH_DELAY - slot.origin
                yield Span(slot, Kind(kind), known, start - slot.origin, end - slot.origin)

    def _keep(self, block: _Block, step: int, pcm: NDArray[np.float32]) -> None:
        for slot in block.slots:
            if slot is None or (kept := self._audio.get(slot)) is None:
                continue
            arrived = np.nan_to_num(pcm[:, slot.lane] * _FULL_SCALE, nan=0.0, posinf=0.0, neginf=0.0)
            at = (step - slot.origin) * vk.HOP_SAMPLES + np.arange(len(pcm))
            kept[at % KEPT_SAMPLES] = np.rint(arrived).clip(-32768, 32767)

    def _detect(self, block: _Block, samples: int) -> None:
        """Scores of webrtcvad, 0 or 1 each step, channel by channel and so in Python."""
        for slot in block.slots:
            if slot is None:
                continue
            codes = np.nan_to_num(block.pcm[:samples, slot.lane] * 32768.0, nan=0.0, posinf=0.0, neginf=0.0)
            pcm = codes.clip(-32768, 32767).astype("<i2").tobytes()
            for step in range(samples // vk.HOP_SAMPLES):
                frame = pcm[2 * vk.HOP_SAMPLES * step : 2 * vk.HOP_SAMPLES * (step + 1)]
                block.scores[step, slot.lane] = self._detectors[slot].is_speech(frame, vk.RATE_HZ)

    def flush(self, slot: Slot) -> Span | None:
        """The utterance that was still open when its channel ended."""
        block = self._blocks[slot.block]
        counts = block.state.counts[:, slot.lane]
        if counts[vk.PHASE] != vk.SPEAKING:
            return None
        counts[vk.PHASE] = vk.QUIET
        known = int(block.until[slot.lane]) - slot.origin
        start, end = int(counts[vk.START_STEP]) - slot.origin, int(counts[vk.LAST_STEP]) - slot.origin
        return Span(slot, Kind.ENDED, known, start, end)

    def mel(self, slot: Slot, start_step: int, end_step: int) -> tuple[NDArray[np.float32], float]:
        """Band levels over steps of the channel, (steps, MEL_BANDS) in dBov, and the mean level of its speech, dBov."""
        origin = slot.origin
        heard = vk.rows_of(self._blocks[slot.block].state, slot.lane, origin + start_step, origin + end_step)
        power = 10.0 ** (heard[heard[:, vk.SPEECH] >= SPEECH_FROM, vk.POWER_DB].astype(np.float64) / 10.0)
        mean_db = 10.0 * np.log10((power.mean() if len(power) else 0.0) + 1e-12)
        return np.ascontiguousarray(heard[:, vk.MEL : vk.MEL + vk.MEL_BANDS]), float(mean_db)

    def audio(self, slot: Slot, start_step: int, end_step: int) -> NDArray[np.float32]:
        """Samples over steps of a channel that keeps audio, (n,) at 8 kHz, full scale 1, 0 where nothing arrived."""
        at = np.arange(start_step * vk.HOP_SAMPLES, end_step * vk.HOP_SAMPLES)
        return (self._audio[slot][at % KEPT_SAMPLES] / _FULL_SCALE).astype(np.float32)

    def momentary(self, slots: Sequence[Slot]) -> NDArray[np.float64]:
        """`vocal_kernels.momentary` of channels as they stand, (n, MOMENTARY)."""
        out = np.empty((len(slots), vk.MOMENTARY))
        vk.measure_now(self._table, np.array(slots, np.int64).reshape(-1, 3), out)
        return out
