"""Emotional speech as rows to train on: over simulated lines, in windows, against the speaker's own centre."""

import csv
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import vocal_kernels as vk
from numpy.typing import NDArray
from streams import other_sounds
from telephone import RATE_HZ, Line, random_line, through

from vocal.emotion import PLANE

SHIPPABLE = {"emodb": "EMO-DB (Burkhardt et al. 2005), CC0"}
"""Corpora whose licence lets weights be given away, and how to name them."""

PLAIN = (Line(), Line(low_hz=0.0, high_hz=3900.0, codec="linear"))
"""The first lines: as telephony has it, and as voice over IP may."""

WINDOWS = 3
WINDOW_SHARES = (0.6, 0.2, 0.2)
LEAST_WINDOW_S, RECENT_S = 1.0, 3.0
MOST_EARLIER = 8


@dataclass
class Corpus:
    """functionals: (lines, windows, utterances, FUNCTIONALS) float32, first PLAIN lines, first the whole.

    seconds: of speech; labels: into `categories`; the others a name for each utterance, all (utterances,).
    """

    categories: list[str]
    functionals: NDArray[np.float32]
    seconds: NDArray[np.float64]
    labels: NDArray[np.int64]
    speakers: NDArray[np.str_]
    corpora: NDArray[np.str_]

    @property
    def size(self) -> int:
        return len(self.labels)

    def earlier(self, row: int, rng: np.random.Generator, most: int, one_mood: bool = False) -> NDArray[np.int64]:
        """Other utterances of the speaker, as might have come before in a call; one_mood: all of one category."""
        own = np.flatnonzero((self.speakers == self.speakers[row]) & (np.arange(self.size) != row))
        if one_mood and len(own):
            own = own[self.labels[own] == rng.choice(self.labels[own])]
        return rng.choice(own, min(most, len(own)), replace=False)

    def centre(self, line: int, earlier: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        """The speaker's running centre after those utterances, (FUNCTIONALS,), and its trust."""
        baseline = vk.Baseline(vk.FUNCTIONALS, np.inf)
        for row in earlier:
            baseline.update(self.functionals[line, 0, row], self.seconds[row])
        return baseline.centre, baseline.trust


def read_table(manifest: Path, wanted: Collection[str] | None) -> list[dict[str, str]]:
    """Lines of a CSV with the columns path, speaker, emotion and, if it likes, corpus; paths count from its folder.

    wanted: only these corpora. Lines of other emotions than those of PLANE are left out, and their number said.
    """
    with manifest.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"path", "speaker", "emotion"} - set(reader.fieldnames or [])
        if missing:
            sys.exit(f"{manifest}: wanted columns path, speaker, emotion; missing: {', '.join(sorted(missing))}")
        table = [{"corpus": "own", **row} for row in reader]
    table = [row for row in table if wanted is None or row["corpus"] in wanted]
    known = [row for row in table if row["emotion"] in PLANE]
    if len(known) < len(table):
        print(f"{len(table) - len(known)} lines of other emotions than {', '.join(PLANE)} left out", file=sys.stderr)
    gone = [row["path"] for row in known if not (manifest.parent / row["path"]).is_file()]
    if gone or not known:
        sys.exit(f"{manifest}: wanted recordings, got {len(known)} lines, {len(gone)} without a file: {gone[:3]}")
    return known


def windows(steps: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """The whole, its beginning as a live engine would have heard it, and at most the last 3 s of a beginning."""
    least = min(steps, round(LEAST_WINDOW_S / vk.HOP_S))
    yield 0, steps
    yield 0, int(rng.integers(least, steps + 1))
    length = int(rng.integers(least, min(steps, round(RECENT_S / vk.HOP_S)) + 1))
    start = int(rng.integers(0, steps - length + 1))
    yield start, start + length


def read_corpus(
    folder: Path, table: list[dict[str, str]], sounds: Path | None, lines: int, categories: list[str], seed: int
) -> Corpus:
    """Every utterance of the table over `lines` telephone lines. sounds: a folder of them, for an office behind."""
    recordings = []
    for row in table:
        signal, rate_hz = soundfile.read(folder / row["path"], dtype="float32", always_2d=True)
        recordings.append((signal[:, 0], rate_hz))
    rng = np.random.default_rng(seed)
    office = other_sounds(sounds) if sounds is not None else []
    found = np.zeros((lines, WINDOWS, len(table), vk.FUNCTIONALS), np.float32)
    kept = np.ones(len(table), np.bool_)
    for number in range(lines):
        signals = []
        for signal, rate_hz in recordings:
            behind = (
                office[rng.integers(len(office))] if office and number >= len(PLAIN) and rng.random() < 0.1 else None
            )
            line = PLAIN[number] if number < len(PLAIN) else random_line(rng)
            signals.append(through(signal, rate_hz, line, rng, behind))
        for i, rows in enumerate(vk.extract(signals)):
            kept[i] &= _measure(rows, found[: number + 1, :, i], rng) or number > 0
        print(f"line {number + 1} of {lines}: {len(table)} utterances", file=sys.stderr)
    if not kept.all():
        print(f"{np.sum(~kept)} utterances with too little speech left out", file=sys.stderr)
    used = np.flatnonzero(kept)
    rows = [table[i] for i in used]
    return Corpus(
        categories,
        found[:, :, used],
        np.exp2(found[0, 0, used, vk.LOG2_SECONDS].astype(np.float64)),
        np.array([categories.index(row["emotion"]) for row in rows]),
        np.array([row["speaker"] for row in rows]),
        np.array([row["corpus"] for row in rows]),
    )


def _measure(rows: NDArray[np.float32], out: NDArray[np.float32], rng: np.random.Generator) -> bool:
    """Functionals over the windows of an utterance into out[-1]; of what is too short or not heard, those of the whole
    or of the plain line. Returns whether there was enough speech in the whole."""
    found = np.zeros(vk.FUNCTIONALS)
    enough = False
    for window, (start, end) in enumerate(windows(min(len(rows), vk.RING_ROWS), rng)):
        if vk.functionals(rows[start:end], found) >= vk.LEAST_STEPS:
            out[-1, window] = found
            enough |= window == 0
        else:
            out[-1, window] = out[-1, 0] if window else out[0, 0]
    return enough


def rows(
    corpus: Corpus, among: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Of the utterances `among`, one row each on every line: functionals, centre (n, FUNCTIONALS), trust (n, 1), and
    which utterance. Half of them have no earlier utterance; of a third of the others all earlier were of one mood."""
    x, centre, trust, which = [], [], [], []
    for line in range(len(corpus.functionals)):
        window = rng.choice(WINDOWS, len(among), p=WINDOW_SHARES)
        x.append(corpus.functionals[line, window, among])
        for row in among:
            earlier = np.zeros(0, np.int64)
            if rng.random() < 0.5:
                earlier = corpus.earlier(row, rng, int(rng.integers(1, MOST_EARLIER + 1)), rng.random() < 0.3)
            found = corpus.centre(line, earlier)
            centre.append(found[0])
            trust.append(found[1])
        which.append(among)
    return np.concatenate(x).astype(np.float64), np.array(centre), np.array(trust)[:, None], np.concatenate(which)


__all__ = ["PLANE", "RATE_HZ", "SHIPPABLE", "Corpus", "read_corpus", "read_table", "rows"]
