"""The clock and the composer: calls open and end, audio goes in by any cut, events come out in the order of the call.

play ─► playouts ────┐
push ─► pending PCM ─┴► bank (ticks) ─► spans ─► utterance ─► estimates ─► conversation ─► rules ─► on_event

A call whose estimates are still out waits for them, with all that comes after; the others do not.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.bank import STEPS_PER_S, Bank, Kind, Slot, Span
from vocal.config import Config
from vocal.conversation import Conversation
from vocal.emotion import EmotionModel
from vocal.errors import UsageError
from vocal.estimates import Estimates, Question
from vocal.playout import Playout
from vocal.policy import may_infer_emotion, stated
from vocal.rules import RuleBook, Rules, load_rules
from vocal.types import (
    Basis,
    Call,
    CallEnded,
    CallStarted,
    Channel,
    ChannelLevels,
    Emotion,
    Event,
    Levels,
    Mood,
    NoEstimate,
    Notice,
    Relative,
    Utterance,
)
from vocal.types import Conversation as ConversationEvent
from vocal.urgency import Urgency
from vocal.utterance import EmotionInput, Heard, Speaker

Sink = Callable[[Event], None]

LEAST_LEVEL_DBOV = -90.0
MOST_WAIT_S = 0.005
"""What a tick waits for estimates at its end: those of a small model come with the tick that asked."""

LEAST_TEMPO_S = 3.0
"""Speech in the last 10 s below which its tempo is not told."""


class _Due:
    """Something to tell a call's conversation, in the order of its time. key: of an estimate that it waits for."""

    def __init__(self, speaker: Speaker, span: Span, heard: Heard | None) -> None:
        self.known_s = span.known_step / STEPS_PER_S
        self.speaker, self.span, self.heard = speaker, span, heard
        self.key: int | None = None
        self.found: Emotion | NoEstimate | None = None


class _LiveCall:
    """One call while it lasts."""

    def __init__(
        self, number: int, call: Call, speakers: list[Speaker], opened_step: int, config: Config, book: RuleBook
    ) -> None:
        self.number = number
        self.opened_step = opened_step  # of the engine
        self.call = call
        self.speakers = speakers
        self.conversation = Conversation(config.conversation)
        self.rules = Rules(book, call.metadata)
        self.pending: list[NDArray[np.float32]] = []
        self.pending_samples = 0
        self.pushed_samples = 0
        self.lost_samples = 0  # of all channels
        self.end_reason: str | None = None
        self.second = 0
        self.seq = 0
        self.due: list[_Due] = []

    def state_notice(self, given: bool, basis: Basis) -> None:
        self.call = msgspec.structs.replace(self.call, metadata=stated(self.call.metadata, given, basis))

    @property
    def end_step(self) -> int:
        """The step at which the audio pushed so far ends, the last one rounded up."""
        return -(-self.pushed_samples // vk.HOP_SAMPLES)

    def take(self, samples: int) -> NDArray[np.float32]:
        """The next samples, (n, channels); fewer when the call has ended."""
        taken: list[NDArray[np.float32]] = []
        wanted = samples
        while wanted and self.pending:
            piece = self.pending[0]
            if len(piece) > wanted:
                piece, self.pending[0] = piece[:wanted], piece[wanted:]
            else:
                del self.pending[0]
            taken.append(piece)
            wanted -= len(piece)
        self.pending_samples -= samples - wanted
        return np.concatenate(taken) if taken else np.zeros((0, len(self.speakers)), np.float32)


def _channel_levels(channel: Channel, momentary: Sequence[float]) -> ChannelLevels:
    speech, level, f0, syllables, spoken_s = momentary
    return ChannelLevels(
        channel=channel.channel,
        role=channel.role,
        speech=round(speech, 2),
        level_dbov=round(level, 1) if level > LEAST_LEVEL_DBOV else None,
        f0_hz=round(f0, 1) if math.isfinite(f0) else None,
        tempo_syll_s=round(syllables / spoken_s, 2) if spoken_s >= LEAST_TEMPO_S else None,
    )


class Engine:
    """Many calls at once; `on_event` is called for every event, in the order of each call.

    Called from one thread. The same audio gives the same events, however it was cut and whoever else is in the bank.
    Audio is pushed, and `advance` moves the calls on; or it is pulled from playouts tick by tick, by `tick`. An engine
    does one or the other. threads: over which `tick` shares its work out; urgency: of these.
    """

    def __init__(
        self,
        on_event: Sink,
        config: Config = Config(),
        emotion: EmotionModel | None = None,
        threads: int = 1,
        urgency: Urgency | None = None,
    ) -> None:
        self._on_event = on_event
        self._config = config
        self._estimates = None if emotion is None else Estimates(emotion)
        self._wants = emotion.wants if emotion is not None else frozenset()
        self._book = load_rules(config.rules.file)
        self._bank = Bank(config.boundary, threads, urgency)
        self._calls: dict[str, _LiveCall] = {}
        self._step = 0
        self._opened = 0
        self._asked = 0
        self._awaited: dict[int, tuple[_LiveCall, _Due]] = {}  # by key
        self._is_quick = True  # an answer that was waited for came in time
        # What makes a call worth a look: spans heard of it, its next whole second, or its end. All by number.
        self._heard: dict[int, _LiveCall] = {}
        self._seconds: list[tuple[int, int, _LiveCall]] = []  # a heap: step, number
        self._closing: dict[int, tuple[_LiveCall, str]] = {}
        self._ended: dict[int, _LiveCall] = {}
        self._by_slot: dict[Slot, tuple[_LiveCall, Speaker]] = {}

    @property
    def calls(self) -> int:
        return len(self._calls)

    def open(self, call: Call) -> None:
        """Admit a call. Its channels are admitted with an emotion stage only where policy allows one."""
        if call.call in self._calls:
            raise UsageError(f"call {call.call!r} is open already")
        if not call.channels:
            raise UsageError(f"call {call.call!r}: wanted at least one channel")
        speakers = [self._speaker(call, channel, self._bank.admit()) for channel in call.channels]
        live = _LiveCall(self._opened, call, speakers, self._step, self._config, self._book)
        self._opened += 1
        self._calls[call.call] = live
        heapq.heappush(self._seconds, (self._step + STEPS_PER_S, live.number, live))
        for speaker in speakers:
            self._by_slot[speaker.slot] = (live, speaker)
        self._emit(
            live,
            CallStarted(
                call=call.call,
                at_s=0.0,
                started_at=call.started_at,
                transport=call.transport,
                source=call.source,
                channels=call.channels,
                metadata=call.metadata,
            ),
        )

    def _speaker(self, call: Call, channel: Channel, slot: Slot) -> Speaker:
        allowed = self._estimates is not None and may_infer_emotion(
            channel.role, call.metadata, self._config.privacy.basis
        )
        if allowed and "waveform" in self._wants:
            self._bank.keep_audio(slot)
        return Speaker(channel, slot, allowed, self._wants)

    def push(self, call: str, pcm: NDArray[np.float32]) -> None:
        """More audio of a call: (n, channels) float32, 8 kHz, full scale 1, any n; NaN where nothing arrived."""
        live = self._live(call)
        if pcm.ndim != 2 or pcm.shape[1] != len(live.speakers):
            raise UsageError(f"call {call!r}: wanted audio of shape (n, {len(live.speakers)}), got {pcm.shape}")
        if live.end_reason is not None:
            raise UsageError(f"call {call!r} has ended: no more audio is taken")
        if len(pcm):
            live.pending.append(pcm)
            live.pending_samples += len(pcm)
            live.pushed_samples += len(pcm)
            live.lost_samples += int(np.isnan(pcm).sum())

    def end(self, call: str, reason: str) -> None:
        """The call ends after what was pushed."""
        live = self._live(call)
        if live.end_reason is None:
            self._end(live, reason)

    def _end(self, live: _LiveCall, reason: str) -> None:
        live.end_reason = reason
        self._ended[live.number] = live
        for speaker in live.speakers:
            self._bank.end(speaker.slot, live.end_step)

    def play(self, call: str, column: int, playout: Playout) -> None:
        """From the next tick on, this is where a call's channel gets its audio. column: its place among the call's."""
        live = self._live(call)
        if live.end_reason is None:
            self._bank.play(live.speakers[column].slot, playout)

    def close(self, call: str, reason: str) -> None:
        """The call ends once its playouts, which are closed, have played what waits in them."""
        live = self._live(call)
        if live.end_reason is None:
            self._closing.setdefault(live.number, (live, reason))

    def heard_ms(self, call: str) -> float:
        """When a tick last brought audio of a call."""
        return max(self._bank.pulled(speaker.slot).heard_ms for speaker in self._live(call).speakers)

    def stop(self) -> None:
        """No `tick` comes any more."""
        if self._estimates is not None:
            self._estimates.close()

    @property
    def emotion_busy(self) -> float:
        """Share of the last 10 s in which the emotion model was at work, 0-1."""
        return 0.0 if self._estimates is None else self._estimates.busy

    @property
    def refused_estimates(self) -> int:
        """How many were not asked for, as the model was behind."""
        return 0 if self._estimates is None else self._estimates.refused

    def hold(self, call: str, is_held: bool) -> None:
        """From here on nothing comes by agreement, or something again."""
        live = self._live(call)
        live.conversation.hold(self._at_s(live), is_held)

    def withdraw_notice(self, call: str, basis: Basis = "notice") -> None:
        """The customer objects in mid-call: nothing more is inferred, and what was inferred is deleted."""
        live = self._live(call)
        live.state_notice(False, basis)
        for speaker in live.speakers:
            speaker.forget_emotion()
            self._bank.forget_audio(speaker.slot)
        self._forget_estimates(live)
        live.conversation.forget_emotion()
        self._emit(live, Notice(call=call, at_s=self._at_s(live), given=False, basis=basis))

    def _forget_estimates(self, live: _LiveCall) -> None:
        keys = [due.key for due in live.due if due.key is not None]
        if self._estimates is not None:
            self._estimates.forget(keys)
        for due in live.due:
            due.key, due.found = None, None
        for key in keys:
            del self._awaited[key]
        self._heard[live.number] = live

    def give_notice(self, call: str, basis: Basis = "notice") -> None:
        """The customer was informed in mid-call, or agreed: policy is asked anew, and emotion inferred from here on."""
        live = self._live(call)
        known = live.call.metadata
        live.state_notice(True, basis)
        if live.call.metadata == known:
            return
        for number, before in enumerate(live.speakers):
            if before.infers_emotion:
                continue
            speaker = self._speaker(live.call, before.channel, before.slot)
            speaker.carry_on(before)
            live.speakers[number] = speaker
            self._by_slot[speaker.slot] = (live, speaker)
        self._emit(live, Notice(call=call, at_s=self._at_s(live), given=True, basis=basis))

    def levels(self, calls: Iterable[str]) -> list[Levels]:
        """How each channel sounds now, of those calls whose audio has not ended."""
        lives = [live for live in map(self._calls.get, calls) if live is not None and live.end_reason is None]
        found = iter(self._bank.momentary([one.slot for live in lives for one in live.speakers]).tolist())
        return [
            Levels(
                call=live.call.call,
                seq=live.seq,
                at_s=self._at_s(live),
                channels=tuple(_channel_levels(one.channel, next(found)) for one in live.speakers),
            )
            for live in lives
        ]

    def _at_s(self, live: _LiveCall) -> float:
        return (self._step - live.opened_step) / STEPS_PER_S

    def advance(self, most_ticks: int = vk.MAX_TICKS) -> int:
        """Move all calls as far as every one of them has audio, at most `most_ticks`; returns the ticks moved.

        A call that has ended counts as having silence.
        """
        waiting = [live.pending_samples // vk.TICK_SAMPLES for live in self._calls.values() if live.end_reason is None]
        ticks = min([most_ticks, *waiting]) if self._calls else 0
        if ticks <= 0:
            return 0
        audio: dict[Slot, NDArray[np.float32]] = {}
        for live in self._calls.values():
            pcm = live.take(ticks * vk.TICK_SAMPLES)
            for column, speaker in enumerate(live.speakers):
                audio[speaker.slot] = pcm[:, column]
        for span in self._bank.advance(ticks, audio):
            self._hear([span])
        self._step += ticks * vk.HOPS
        self._settle()
        return ticks

    def tick(self, now_ms: float) -> None:
        """Move all calls on by the tick at `now_ms` of their playouts."""
        if not self._calls:
            return
        if self._estimates is not None:
            self._estimates.start()
        self._hear(self._bank.tick(now_ms))
        self._step += vk.HOPS
        for live, reason in list(self._closing.values()):
            self._play_out(live, reason)
        self._settle()

    def _play_out(self, live: _LiveCall, reason: str) -> None:
        """End a call whose playouts have nothing more; `pushed_samples` has counted from nothing until now."""
        pulled = [self._bank.pulled(speaker.slot) for speaker in live.speakers]
        most = max(one.samples for one in pulled)
        if most == vk.TICK_SAMPLES:
            return
        live.pushed_samples = (self._step - live.opened_step - vk.HOPS) * vk.HOP_SAMPLES + most
        live.lost_samples = sum(one.lost for one in pulled)
        del self._closing[live.number]
        self._end(live, reason)

    def _live(self, call: str) -> _LiveCall:
        try:
            return self._calls[call]
        except KeyError:
            raise UsageError(f"call {call!r} is not open") from None

    def _is_over(self, live: _LiveCall) -> bool:
        settled = self._step - live.opened_step - vk.SETTLE_TICKS * vk.HOPS
        return live.end_reason is not None and settled >= live.end_step

    def _hear(self, spans: Sequence[Span]) -> None:
        """Measure spans while the bank stands where they were decided."""
        said = [span for span in spans if span.kind is not Kind.BEGUN]
        found = self._bank.measure([self._by_slot[span.slot][1].stretch(span) for span in said]) if said else []
        measured = dict(zip(said, found, strict=True))
        asking = []
        for span in spans:
            live, speaker = self._by_slot[span.slot]
            of_it = measured.get(span)
            heard = None if of_it is None else speaker.hear(self._bank, span, of_it, live.call.call)
            live.due.append(_Due(speaker, span, heard))
            self._heard[live.number] = live
            if heard is not None and heard.emotion_input is not None:
                asking.append((live, live.due[-1], heard.emotion_input, heard.relative))
        if asking:
            self._ask(asking)

    def _ask(self, asking: list[tuple[_LiveCall, _Due, EmotionInput, Relative]]) -> None:
        assert self._estimates is not None
        questions = []
        for live, due, row, relative in asking:
            self._asked += 1
            due.key = self._asked
            self._awaited[due.key] = (live, due)
            questions.append(Question(due.key, row, relative))
        if not self._estimates.ask(questions):
            self._answer({one.key: "busy" for one in questions})

    def _answer(self, found: Mapping[int, Emotion | NoEstimate]) -> None:
        self._is_quick |= bool(found)
        for key, it in found.items():
            live, due = self._awaited.pop(key)
            due.key, due.found = None, it
            self._heard[live.number] = live

    def _settle(self) -> None:
        """Bring each call of which there is anything to tell up to its clock, or to an estimate it waits for."""
        for live in self._ended.values():
            if self._is_over(live):
                for speaker in live.speakers:
                    if (last := self._bank.flush(speaker.slot)) is not None:
                        self._hear([last])
        while self._seconds and self._seconds[0][0] <= self._step:
            step, number, live = heapq.heappop(self._seconds)
            if live.end_reason is None:
                self._heard[number] = live
                heapq.heappush(self._seconds, (step + STEPS_PER_S, number, live))
        if self._estimates is not None:
            self._answer(self._estimates.take())
        self._bring_up()
        if self._estimates is not None and self._awaited and self._is_quick:
            self._answer(self._estimates.take(MOST_WAIT_S))
            self._is_quick = not self._awaited
            self._bring_up()

    def _bring_up(self) -> None:
        heard, self._heard = {**self._heard, **self._ended}, {}
        for _, live in sorted(heard.items()):
            self._tell_due(live)
            if not live.due and self._is_over(live):
                self._close(live)

    def _tell_due(self, live: _LiveCall) -> None:
        """What is due of a call, up to the first that waits for its estimate."""
        # A span is known to the step: within one, channels come in their order.
        live.due.sort(key=lambda due: (due.known_s, due.speaker.channel.channel))
        told = 0
        for due in live.due:
            self._pass_seconds(live, due.known_s, before=True)
            if due.key is not None:
                break
            self._tell(live, due)
            told += 1
        del live.due[:told]
        if not live.due:
            position = self._step - live.opened_step
            until_step = position if live.end_reason is None else min(position, live.end_step)
            self._pass_seconds(live, until_step / STEPS_PER_S, before=False)

    def _tell(self, live: _LiveCall, due: _Due) -> None:
        role = due.speaker.channel.role
        heard, found = due.heard, due.found
        if heard is None:
            live.conversation.begin(role, due.span.start_step / STEPS_PER_S)
            return
        said, conversation = heard.said, live.conversation
        if conversation.is_leak(said):
            conversation.drop(role)
            return
        if isinstance(found, Emotion) and conversation.is_covered(said):
            found = "overlap"
        emotion = found if isinstance(found, Emotion) else None
        ended = isinstance(said, Utterance)
        if isinstance(said, Utterance):
            why = said.no_estimate if found is None or emotion else found
            said = msgspec.structs.replace(said, index=due.speaker.told, emotion=emotion, no_estimate=why)
            due.speaker.told += 1
            conversation.end(said, heard.tempo_syll_s)
            self._emit(live, said)
        else:
            conversation.speaking(said, heard.tempo_syll_s)
        if emotion is not None:
            point = conversation.feel(said, emotion, ended)
            self._emit(
                live,
                Mood(
                    call=live.call.call,
                    at_s=point.at_s,
                    role=role,
                    valence=point.valence,
                    arousal=point.arousal,
                    stress=point.stress,
                    trend=point.trend,
                    confidence=point.confidence,
                ),
            )

    def _pass_seconds(self, live: _LiveCall, until_s: float, before: bool) -> None:
        """Look at the call at each whole second up to `until_s`; at that second itself only once all of it is known."""
        while live.second + 1 < until_s or (live.second + 1 == until_s and not before):
            live.second += 1
            at_s = float(live.second)
            for cue in live.rules.push(live.conversation.snapshot(at_s), live.call.call):
                self._emit(live, cue)
            if live.second % self._config.conversation.report_every_s == 0:
                self._emit_totals(live, at_s)

    def _emit_totals(self, live: _LiveCall, at_s: float) -> None:
        totals = msgspec.structs.asdict(live.conversation.totals(at_s))
        self._emit(live, ConversationEvent(call=live.call.call, at_s=at_s, **totals))

    def _close(self, live: _LiveCall) -> None:
        duration_s = round(live.pushed_samples / vk.RATE_HZ, 3)
        self._emit_totals(live, duration_s)
        self._emit(
            live,
            CallEnded(
                call=live.call.call,
                at_s=duration_s,
                reason=live.end_reason or "",
                duration_s=duration_s,
                conversation=live.conversation.totals(duration_s),
                satisfaction=live.conversation.satisfaction(duration_s),
                moments=live.conversation.moments(duration_s),
                lost_share=round(live.lost_samples / max(1, live.pushed_samples * len(live.speakers)), 4),
            ),
        )
        for speaker in live.speakers:
            self._bank.release(speaker.slot)
            del self._by_slot[speaker.slot]
        del self._calls[live.call.call], self._ended[live.number]

    def _emit(self, live: _LiveCall, event: Event) -> None:
        self._on_event(msgspec.structs.replace(event, seq=live.seq))
        live.seq += 1
