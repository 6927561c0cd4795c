"""Clarity: does it fall as a line gets worse?

The same telephone speech (EMO-DB, every tenth utterance, ten to a call, 0.4-4 s between) with white noise or babble,
with clipping at the codec's limit or before the line, and with lost packets of 20 ms. Clarity is the
mean over the utterances that Vocal hears, weighted by their length. "falls": the share of the steps, each worse than
the one before, at which it falls; all of them should. "fall in all": from the first to the last. "random" knows nothing
of the line; the mean of DRAWS of it.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import vocal_kernels as vk

from vocal.bank import Bank, Kind
from vocal.types import Channel, Utterance
from vocal.utterance import Speaker

from .corpora import Array, Condition, Signal, alaw, babble, emodb, generator, heard, stream
from .rows import Row
from .targets import target

QUIET = Condition("white 40 dB", "white", 40.0)
SNRS_DB = (40, 30, 25, 20, 15, 10, 5, 0)
DRIVES_DB = (0, 8, 12, 16, 20, 24)
LOST_PCT = (0, 1, 2, 5, 10, 20)
PER_CALL = 10
DRAWS = 1000


def rows(data: Path, peers: bool) -> Iterator[Row]:
    del peers  # nobody else measures it
    chosen = emodb(data)[::10]
    voices = [
        stream(chosen[i : i + PER_CALL], 0.0, generator(f"call {i}")).voice for i in range(0, len(chosen), PER_CALL)
    ]
    calls = [heard(voice, QUIET, babble(data), generator("line")) for voice in voices]
    for noise in ("white", "babble"):
        steps = {
            f"{noise} {snr_db} dB": [
                heard(voice, Condition("", noise, float(snr_db)), babble(data), generator("line")) for voice in voices
            ]
            for snr_db in SNRS_DB
        }
        yield from _fall(f"{noise} noise", steps)
    gains = {drive_db: 10 ** (drive_db / 20) for drive_db in DRIVES_DB}
    driven = {
        f"{drive_db} dB into the codec": [alaw(call * gain) for call in calls] for drive_db, gain in gains.items()
    }
    yield from _fall("clipping at the codec", driven)
    # A headset or gateway that clips, and turns the level back.
    before = {
        f"{drive_db} dB before the line": [alaw(_clipped(call, gain)) for call in calls]
        for drive_db, gain in gains.items()
    }
    yield from _fall("clipping before the line", before)
    yield from _fall("loss", {f"{lost} % lost": [_with_loss(call, lost) for call in calls] for lost in LOST_PCT})


def _clipped(call: Signal, gain: float) -> Array:
    """Driven into a limit, and again as loud as it was."""
    clipped = np.clip(call * gain, -1.0, 1.0).astype(np.float64)
    return np.asarray(clipped * math.sqrt(np.mean(call.astype(np.float64) ** 2) / np.mean(clipped**2)))


def _with_loss(call: Signal, lost_pct: int) -> Signal:
    packets = -(-len(call) // vk.TICK_SAMPLES)
    kept = generator("loss").random(packets) >= lost_pct / 100
    return np.where(np.repeat(kept, vk.TICK_SAMPLES)[: len(call)], call, np.float32(np.nan))


def hear(calls: Sequence[Signal]) -> list[Utterance]:
    """All utterances of calls with one channel each."""
    bank, found = Bank(), []
    speakers = {}
    for call in calls:
        speaker = Speaker(Channel(0, "unknown"), bank.admit(), infers_emotion=False)
        bank.end(speaker.slot, len(call) // vk.HOP_SAMPLES)
        speakers[speaker.slot] = (speaker, call)
    ticks = max(len(call) for call in calls) // vk.TICK_SAMPLES + vk.SETTLE_TICKS + 1
    for tick in range(0, ticks, vk.MAX_TICKS):
        first, until = tick * vk.TICK_SAMPLES, (tick + vk.MAX_TICKS) * vk.TICK_SAMPLES
        for span in bank.advance(vk.MAX_TICKS, {slot: call[first:until] for slot, (_, call) in speakers.items()}):
            if span.kind is Kind.ENDED:
                speaker, _ = speakers[span.slot]
                (measured,) = bank.measure([speaker.stretch(span)])
                found.append(speaker.hear(bank, span, measured, "call").said)
    return found


def _fall(fault: str, steps: dict[str, list[Signal]]) -> Iterator[Row]:
    means = []
    for name, calls in steps.items():
        utterances = hear(calls)
        lengths = [u.end_s - u.start_s for u in utterances]
        means.append(float(np.average([u.clarity for u in utterances], weights=lengths)) if lengths else 0.0)
        yield Row("clarity", "clarity", name, "vocal", means[-1], "")
        for term in utterances[0].clarity_terms if utterances else ():
            value = float(np.average([u.clarity_terms[term] for u in utterances], weights=lengths))
            yield Row("clarity", f"its {term} term", name, "vocal", value, "")
    falls = (np.diff(means) < 0) | (np.array(means[1:]) == 0.0)  # from nothing there is no further fall
    drawn = generator(f"random clarity {fault}").random((DRAWS, len(means)))
    yield Row("clarity", "falls", fault, "vocal", float(falls.mean()), "share", target("clarity", "falls"))
    yield Row("clarity", "falls", fault, "random", float((np.diff(drawn) < 0).mean()), "share")
    yield Row("clarity", "fall in all", fault, "vocal", means[0] - means[-1], "")
    yield Row("clarity", "fall in all", fault, "random", float((drawn[:, 0] - drawn[:, -1]).mean()), "")
