"""What callers say: the demo call, or recordings of calls, and pieces of it put together to measure by."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soxr
import vocal_kernels as vk
from numpy.typing import NDArray
from vocal_kernels import RATE_HZ

from vocal.analysis import analyze
from vocal.demo import call_path, truth
from vocal.transports.files import open_call

PACKET_SAMPLES = 160
Audio = Literal["call", "pauses", "moods"]
"""What is said: the demo call, or the staged ones that were named; the customer's utterances with pauses of 0.8 s; the
customer angry, then the same slowed and dull, in turns."""

SPEAKS_FROM = 0.5
LEAD_PACKETS, HANGOVER_PACKETS = 3, 10
"""Of a talkspurt, before and behind its speech: 60 and 200 ms."""

MOOD_S = 10.0
"""Of each manner in turn, in `moods`."""


def said(audio: Audio, calls: Sequence[str] = ()) -> list[list[NDArray[np.float32]]]:
    """Recordings, each of both sides, (n,) at 8 kHz."""
    if audio == "call":
        return [_both(Path(one)) for one in calls] or [_both(call_path())]
    agent, customer = _both(call_path())
    own = _with_pauses(customer) if audio == "pauses" else _in_moods(customer)
    return [[np.resize(agent, len(own)), own]]


def _both(path: Path) -> list[NDArray[np.float32]]:
    with open_call(path) as source:
        pcm = source.read(10_000_000)
    whole = len(pcm) // PACKET_SAMPLES * PACKET_SAMPLES
    return [np.ascontiguousarray(pcm[:whole, side]) for side in (0, 1)]


def _with_pauses(customer: NDArray[np.float32]) -> NDArray[np.float32]:
    pieces: list[NDArray[np.float32]] = []
    for one in analyze(call_path()).utterances:
        if one.role == "customer":
            spoken = customer[round((one.start_s - 0.1) * RATE_HZ) : round((one.end_s + 0.1) * RATE_HZ)]
            pieces += [spoken, np.zeros(6400 + -len(spoken) % PACKET_SAMPLES, np.float32)]
    return np.concatenate(pieces)


def _in_moods(customer: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two stretches that the model takes for two moods, MOOD_S each."""
    spans: Any = truth()["spans"]
    pieces: list[NDArray[np.float32]] = []
    for span in spans:
        if span["channel"] == 1 and span["emotion"] == "anger":
            spoken = customer[round((span["start"] - 0.1) * RATE_HZ) : round((span["end"] + 0.1) * RATE_HZ)]
            pieces += [spoken, np.zeros(4800, np.float32)]
    samples = round(MOOD_S * RATE_HZ)
    angry = np.concatenate(pieces)[:samples]
    slow = soxr.resample(angry, RATE_HZ, 1.3 * RATE_HZ)[:samples].astype(np.float32)
    dull, before = np.empty_like(slow), np.float32(0.0)
    for n, sample in enumerate(slow):
        before = dull[n] = np.float32(0.8) * before + np.float32(0.12) * sample
    return np.concatenate([dull, angry])


def talkspurts(side: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Of each packet, whether it is sent by who sends while somebody speaks."""
    score = vk.speech_score(side)
    speaks = np.zeros(len(side) // PACKET_SAMPLES, bool)
    hops = PACKET_SAMPLES // vk.HOP_SAMPLES
    for packet in np.unique(np.flatnonzero(score >= SPEAKS_FROM) // hops):
        speaks[max(0, packet - LEAD_PACKETS) : packet + HANGOVER_PACKETS + 1] = True
    return speaks
