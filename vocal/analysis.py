"""Recordings through the engine, as fast as the machine can: what `vocal analyze` and `vocal.analyze` stand on."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.config import Config
from vocal.emotion import EmotionModel
from vocal.engine import Engine, Sink
from vocal.errors import InputError, VocalError
from vocal.policy import may_infer_of_customer
from vocal.transports.files import CallSource, open_call, open_pair
from vocal.types import Call, CallEnded, CallStarted, Event, Language, Metadata, Role, Utterance

if TYPE_CHECKING:
    import pyarrow

CHANNELS_AT_ONCE = vk.LANES
"""Channels that run side by side: one block full."""

CHUNK_SAMPLES = vk.MAX_TICKS * vk.TICK_SAMPLES

Opener = Callable[[], CallSource]
Failure = tuple[str, VocalError]


def load_emotion(config: Config, metadata: Metadata) -> EmotionModel | None:
    """The emotion model, only where somebody was informed, or agreed."""
    if not may_infer_of_customer(metadata, config.privacy.basis):
        return None
    return EmotionModel(Path(config.emotion.model) if config.emotion.model else None, config.emotion.threads)


def run(
    openers: Iterable[tuple[str, Opener]],
    on_event: Sink,
    config: Config,
    metadata: Metadata,
    on_progress: Callable[[str, float, float | None], None] = lambda name, done_s, whole_s: None,
    on_note: Callable[[str, str], None] = lambda name, note: None,
) -> list[Failure]:
    """Analyse recordings side by side; the ones that cannot be read are returned, the others run on.

    openers: (name, how to open it). on_progress(name, seconds done, seconds in all or None). on_note(name, oddity).
    """
    engine = Engine(on_event, config, load_emotion(config, metadata))
    waiting = iter(openers)
    failures: list[Failure] = []
    running: list[_Running] = []
    more = True
    with ExitStack() as stack:
        while more or engine.calls:
            while more and sum(len(one.source.channels) for one in running) <= CHANNELS_AT_ONCE - 2:
                name, opener = next(waiting, (None, None))
                if name is None or opener is None:
                    more = False
                    break
                try:
                    source = stack.enter_context(opener())
                    # A recording that cannot be read from its beginning is no call.
                    first = source.read(CHUNK_SAMPLES)
                except VocalError as error:
                    failures.append((name, error))
                    continue
                one = _Running(uuid.uuid4().hex, name, source, first)
                started = datetime.now(UTC).isoformat(timespec="milliseconds")
                engine.open(Call(one.call, source.source, "file", started, source.channels, metadata))
                running.append(one)
            for one in running:
                engine.push(one.call, one.pcm)
                one.done_s += len(one.pcm) / vk.RATE_HZ
                on_progress(one.name, one.done_s, one.source.duration_s)
                reason = "" if len(one.pcm) == CHUNK_SAMPLES else "end of recording"
                if not reason:
                    try:
                        one.pcm = one.source.read(CHUNK_SAMPLES)
                    except InputError as error:
                        failures.append((one.name, error))
                        reason = "unreadable"
                if reason:
                    engine.end(one.call, reason)
                    one.is_over = True
                    for oddity in _oddities(one.source):
                        on_note(one.name, oddity)
                    one.source.close()
            running = [one for one in running if not one.is_over]
            while engine.advance():
                pass
    return failures


@dataclass
class _Running:
    """A recording on its way through the engine; `pcm` is its next second."""

    call: str
    name: str
    source: CallSource
    pcm: NDArray[np.float32]
    done_s: float = 0.0
    is_over: bool = False


def _oddities(source: CallSource) -> Iterator[str]:
    if source.truncated:
        yield "the recording is cut off or damaged; analysed as far as it goes"
    if source.bad_samples:
        yield f"{source.bad_samples} samples were no numbers and count as silence"


class Analysis:
    """What one recording gave: its events, and tables of them.

    `events` in the order of the call; `utterances()` and the other tables as Arrow; in a notebook it shows its report.
    """

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    @property
    def started(self) -> CallStarted:
        return next(event for event in self.events if isinstance(event, CallStarted))

    @property
    def ended(self) -> CallEnded:
        return next(event for event in self.events if isinstance(event, CallEnded))

    @property
    def utterances(self) -> list[Utterance]:
        return [event for event in self.events if isinstance(event, Utterance)]

    def table(self, kind: type[Event] = Utterance) -> "pyarrow.Table":
        """Events of one kind as an Arrow table; `.to_pandas()` and `.to_pylist()` go on from there."""
        from vocal.store.schema import table_of

        return table_of(kind, [event for event in self.events if isinstance(event, kind)])

    def report(self, language: Language = "de") -> str:
        """The coaching report, one HTML page."""
        from vocal.reports.call import call_report

        return call_report(self.events, language)

    def _repr_html_(self) -> str:
        import html

        return f'<iframe style="width:100%;height:60em;border:0" srcdoc="{html.escape(self.report())}"></iframe>'


def analyze(
    path: str | PathLike[str] | None = None,
    *,
    agent: str | PathLike[str] | None = None,
    customer: str | PathLike[str] | None = None,
    agent_channel: int = 0,
    role: Role | None = None,
    notice: bool = False,
    consent: bool = False,
    config: Config = Config(),
) -> Analysis:
    """Analyse one recorded call.

    path: a two-channel recording (agent on `agent_channel`), or a mono one with its `role`; or one file a side as
    `agent` and `customer`. notice: the customer was informed, so their emotion may be inferred; consent: they
    agreed as well, as the setting `privacy.basis` may want.

    Raises vocal.errors.VocalError, one line, for a recording that cannot be read as a call.
    """
    events: list[Event] = []
    metadata = Metadata(notice=notice, consent=consent)
    if agent is not None and customer is not None and path is None:
        pair = agent, customer
        failures = run([("call", lambda: open_pair(*pair))], events.append, config, metadata)
    elif path is not None and agent is None and customer is None:
        one = path
        opener = ("call", lambda: open_call(one, agent_channel, role))
        failures = run([opener], events.append, config, metadata)
    else:
        raise InputError("wanted one recording, or one file a side as agent= and customer=")
    if failures:
        raise failures[0][1]
    return Analysis(events)
