"""Speech score and boundary machine: the machine against its twin on any scores, the score on known sound."""

from itertools import pairwise

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from signals import voice
from vocal_kernels.layout import COUNTS, FRESH_ROWS, MAX_RECORDS, RECORD_COLUMNS
from vocal_kernels.speech import boundaries

ENDLESS = np.full(vk.LANES, np.iinfo(np.int64).max)


@njit
def run_boundaries(scores, first, boundary, counts, until, log):
    """All steps of (steps, 16) scores; every record into log; returns how many."""
    features = np.zeros((FRESH_ROWS * vk.FEATURES, 16), np.float32)
    records = np.zeros((MAX_RECORDS, RECORD_COLUMNS), np.int64)
    total = 0
    for i in range(len(scores)):
        step = first + i
        features[(step % FRESH_ROWS) * vk.FEATURES + vk.SPEECH] = scores[i]
        count = boundaries(features, step, boundary, counts, until, records, 0)
        for k in range(count):
            log[total] = records[k]
            total += 1
    return total


def machine(scores: np.ndarray, boundary: vk.Boundary, until: np.ndarray, first: int = 0) -> list[list[naive.Record]]:
    """The records of each lane; `first` is the block's step at which all lanes begin."""
    counts = np.zeros((COUNTS, vk.LANES), np.int64)
    counts[vk.START_STEP] = counts[vk.LAST_STEP] = first
    log = np.zeros((scores.size, RECORD_COLUMNS), np.int64)
    total = run_boundaries(scores, first, boundary, counts, until, log)
    found: list[list[naive.Record]] = [[] for _ in range(vk.LANES)]
    for lane, kind, step, start, end in log[:total].tolist():
        found[lane].append(naive.Record(kind, step - first, start - first, end - first))
    return found


def random_scores(rng: np.random.Generator, steps: int, mean_run: float) -> np.ndarray:
    """Runs of high, middle and low, with values right on the thresholds among them."""
    values = np.array([0.0, 0.2, 0.35, 0.36, 0.5, 0.6, 0.61, 1.0], np.float32)
    column = np.empty(steps, np.float32)
    at = 0
    while at < steps:
        run = 1 + int(rng.exponential(mean_run))
        column[at : at + run] = rng.choice(values)
        at += run
    return column


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    onset=st.integers(1, 20),
    hangover=st.integers(1, 40),
    pre_roll=st.integers(0, 12),
    longest=st.integers(40, 500),
    first=st.sampled_from([0, 5, 1630, 123_456]),
)
def test_machine_against_twin(seed: int, onset: int, hangover: int, pre_roll: int, longest: int, first: int) -> None:
    rng = np.random.default_rng(seed)
    boundary = vk.Boundary(0.6, 0.35, onset, hangover, pre_roll, longest)
    runs = 10 ** rng.uniform(0, 2.3, vk.LANES)
    scores = np.stack([random_scores(rng, 600, run) for run in runs], axis=1)
    found = machine(scores, boundary, ENDLESS, first)
    for lane in range(vk.LANES):
        # A score is float32, a threshold float64: 0.6 as float32 is above 0.6, 0.35 below 0.35.
        wanted = naive.boundaries(scores[:, lane].astype(np.float64).tolist(), boundary)
        assert found[lane] == wanted


def test_machine_by_hand() -> None:
    scores = [0.1] * 20 + [0.9] * 60 + [0.1] * 10 + [0.9] * 50 + [0.1] * 60
    found = machine(np.tile(np.array(scores, np.float32), (vk.LANES, 1)).T.copy(), vk.Boundary(), ENDLESS)
    assert all(
        records
        == [
            (vk.BEGUN, 27, 17, 28),  # 8 steps after 20, reaching back to it and 3 before
            (vk.SECOND, 116, 17, 117),  # a pause of 10 steps is shorter than the hangover
            (vk.ENDED, 169, 17, 140),  # 30 steps after 140
        ]
        for records in found
    )


def test_longest_utterance_is_cut_and_goes_on() -> None:
    found = machine(np.ones((1000, vk.LANES), np.float32), vk.Boundary(longest_steps=300), ENDLESS)[3]
    ends = [(r.start, r.end) for r in found if r.kind == vk.ENDED]
    assert ends == [(0, 300), (300, 600), (600, 900)]
    assert [r.step for r in found if r.kind == vk.SECOND][:4] == [99, 199, 399, 499]  # at 299 it ends


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_is_decided_past_until(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.stack([random_scores(rng, 500, 40.0) for _ in range(vk.LANES)], axis=1)
    boundary = vk.Boundary()
    free = machine(scores, boundary, ENDLESS, 100)
    until = rng.integers(100, 620, vk.LANES)
    until[0] = 0
    held = machine(scores, boundary, until, 100)
    for lane in range(vk.LANES):
        assert held[lane] == [r for r in free[lane] if r.step < until[lane] - 100]
    assert sum(map(len, held)) < sum(map(len, free))


def test_utterances_of_a_lane_are_apart_and_in_order() -> None:
    rng = np.random.default_rng(8)
    scores = np.stack([random_scores(rng, 6000, 30.0) for _ in range(vk.LANES)], axis=1)
    for records in machine(scores, vk.Boundary(), ENDLESS):
        ended = [r for r in records if r.kind == vk.ENDED]
        assert len(ended) > 5
        assert all(r.start < r.end <= r.step + 1 for r in ended)
        assert all(a.end <= b.start for a, b in pairwise(ended))


# --- score ---


@pytest.mark.parametrize("noise_db", [-70.0, -50.0, -40.0])
def test_speech_scores_high_and_noise_low(noise_db: float) -> None:
    lines = [naive.noise(10.0, noise_db, seed) for seed in range(8)]
    for seed, line in enumerate(lines[1:]):
        line[24000:56000] += voice(4.0, 90.0 + 20.0 * seed, level_dbov=-22.0, seed=seed)
    quiet, *talking = vk.extract(lines)
    assert (quiet[100:, vk.SPEECH] < 0.35).mean() > 0.98
    spoken = np.stack([rows[:, vk.SPEECH] for rows in talking])
    # The first syllable of these voices may be taken for a noise.
    assert (spoken[:, 350:690] > 0.6).mean() > 0.9
    assert (spoken[:, 730:] < 0.35).mean() > 0.95


def test_floor_finds_the_noise() -> None:
    for level_db in (-70.0, -60.0, -50.0):
        floor = vk.extract([naive.noise(8.0, level_db, 9)])[0][600:, vk.FLOOR_DB]
        # A floor: below the mean power, by no more than its scatter over steps of 80 samples.
        assert level_db - 3.0 < floor.mean() < level_db


def test_floor_falls_fast_and_rises_slowly() -> None:
    loud, soft = naive.noise(3.0, -40.0, 1), naive.noise(3.0, -60.0, 2)
    floor = vk.extract([np.concatenate([loud, soft, loud])])[0][:, vk.FLOOR_DB]
    # It opens at -55 at most and climbs by 3 dB a second towards a line of -40,
    assert floor[0] == pytest.approx(-55.0 + 0.03, abs=1e-3)
    assert floor[250] == pytest.approx(-55.0 + 2.45 * 3.0, abs=0.3)
    # falls by a fifth of the way each step, to 0.2 dB over it within 200 ms,
    assert floor[320] < -59.5
    # and climbs as before: a line that jumps by 20 dB is not taken for speech.
    assert floor[880] - floor[620] == pytest.approx(2.6 * 3.0, abs=0.3)
    assert (np.diff(floor) <= 0.03 + 1e-4).all()
