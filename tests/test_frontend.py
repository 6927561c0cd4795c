"""The whole front end: every column against its twin; lanes, neighbours, cuts and the hour make no difference."""

from collections.abc import Sequence

import naive
import numpy as np
import pytest
import vocal_kernels as vk
from hypothesis import given, settings
from hypothesis import strategies as st
from vocal_kernels.layout import FRESH_ROWS, KEPT_PER_DB, WORKED_IN

FOREVER = np.iinfo(np.int64).max
TICK = vk.TICK_SAMPLES
FLUSH_TICKS = vk.SETTLE_TICKS


def garbage(seed: int) -> np.ndarray:
    """Speech in which some samples are no numbers, or beyond all bounds, or next to nothing."""
    x = naive.talk(4.0, seed).astype(np.float32)
    rng = np.random.default_rng(seed)
    for value in (np.nan, np.inf, -np.inf, 1e30, 9.0, -8.0, 7.9, 1e-40, -1e-45):
        x[rng.integers(0, len(x), 12)] = value
    x[9000:9200] = np.nan
    return x


def bursts() -> np.ndarray:
    x = naive.noise(3.0, -65.0, 20)
    for at in range(2000, 24000, 2900):
        x[at : at + 30] += np.random.default_rng(at).normal(0, 0.4, 30)
    return x


SIGNALS = {
    "talk, quiet line": naive.talk(6.0, 1, -24.0, -70.0),
    "talk, noisy line": naive.talk(6.0, 2, -34.0, -45.0),
    "talk, faint": naive.talk(5.0, 3, -55.0, -80.0),
    "talk, clipped": np.clip(naive.talk(5.0, 4, -8.0), -0.98, 0.98),
    "syllables": naive.syllables(4.0, 4.0),
    "harmonics": 0.05 * naive.harmonics(90.0, 2.0, 300.0),
    "sine": naive.sine(203.0, 2.0),  # at 200 Hz two samples stand equally high, and either may begin a cycle
    "noise": naive.noise(3.0, -30.0, 3),
    "loud noise": np.clip(naive.noise(3.0, 0.0, 3), -1, 1),
    "bursts": bursts(),
    "silence": np.zeros(8000),
    "offset": 0.3 + naive.noise(2.0, -60.0, 8),
    "garbage": garbage(5),
    "denormal": np.full(8000, 1e-41, np.float32),
    "one step": naive.talk(1.0, 6)[4000:4080],
    "odd length": naive.talk(2.0, 7)[:12_345],
    "shorter than a step": naive.talk(1.0, 6)[4000:4079],
}


@pytest.fixture(scope="module")
def extracted() -> dict[str, np.ndarray]:
    # Each alone, so that all end with the same silence.
    return {name: vk.extract([signal])[0] for name, signal in SIGNALS.items()}


# Float32 against float64. dB columns: float32 keeps 0.00001 of a hundred, the polynomial of log2 as much; recursions
# (envelope, K, floor) add up hundreds of roundings, and after a burst hear those of the burst, 0.02 dB at most; bands
# far below the loudest bin see that bin's roundings. The largest differences found are a tenth to a third of these.
TOLERANCE = {
    "POWER_DB": (0.005, 0.0),
    "ENVELOPE": (1e-7, 5e-4),
    "K_POWER": (1e-11, 5e-3),
    "CLIPPED": (1e-6, 0.0),
    "LOST": (1e-6, 0.0),
    "VOICING": (1e-3, 0.0),
    "SPEECH": (5e-3, 0.0),
    "FLOOR_DB": (0.01, 0.0),
    "NUCLEUS": (5e-3, 0.0),
}
"""Of the networks' outputs: a last digit may let an input fall to the other side when it is rounded to bfloat16; the
layers themselves are exact (test_networks)."""

MEL_DB = 0.02
# What stands on a choice between nearly equal pitches may turn out otherwise in float32: of F0 and what is read off its
# cycles nearly all, not all.
ALIKE = {
    "VOICED": (5e-3, 0.0),
    "F0_HZ": (0.0, 2e-3),
    "JITTER": (1e-3, 1e-3),
    "SHIMMER": (1e-3, 1e-3),
    "HNR_DB": (0.05, 0.0),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_twin(extracted: dict[str, np.ndarray], name: str) -> None:
    found, wanted = extracted[name], naive.features(SIGNALS[name])
    assert found.shape == wanted.shape == (len(SIGNALS[name]) // vk.HOP_SAMPLES, vk.FEATURES)
    assert found.dtype == np.float32
    for column, (absolute, relative) in TOLERANCE.items():
        at = getattr(vk, column)
        np.testing.assert_allclose(found[:, at], wanted[:, at], rtol=relative, atol=absolute, err_msg=column)
    np.testing.assert_allclose(found[:, vk.MEL :], wanted[:, vk.MEL :], atol=MEL_DB, err_msg="MEL")
    for column, (absolute, relative) in ALIKE.items():
        at = getattr(vk, column)
        alike = np.isclose(found[:, at], wanted[:, at], rtol=relative, atol=absolute, equal_nan=True)
        assert len(alike) == 0 or alike.mean() > 0.98, f"{column}: {np.flatnonzero(~alike)[:10]}"


def test_signals_say_something(extracted: dict[str, np.ndarray]) -> None:
    """The comparison is worth something only where both answers of a decision occur."""
    rows = np.concatenate([extracted[name] for name in SIGNALS if name.startswith("talk")])
    assert 0.2 < (rows[:, vk.F0_HZ] > 0).mean() < 0.8
    assert 0.2 < (rows[:, vk.SPEECH] > 0.5).mean() < 0.95
    assert rows[:, vk.NUCLEUS].sum() > 40
    assert 0 < (rows[:, vk.CLIPPED] > 0).mean() < 0.5
    assert naive.boundaries(extracted["talk, quiet line"][:, vk.SPEECH].tolist())


@pytest.mark.parametrize("name", SIGNALS)
def test_every_feature_is_a_number_in_its_range(extracted: dict[str, np.ndarray], name: str) -> None:
    rows = extracted[name]
    cycled = np.isfinite(rows[:, vk.HNR_DB])
    assert not (cycled & (rows[:, vk.F0_HZ] == 0)).any()
    assert np.isfinite(rows[cycled]).all()
    assert np.isfinite(np.delete(rows, [vk.JITTER, vk.SHIMMER, vk.HNR_DB], axis=1)).all()
    for column in ("VOICING", "SPEECH", "CLIPPED", "LOST", "NUCLEUS"):
        assert ((rows[:, getattr(vk, column)] >= 0) & (rows[:, getattr(vk, column)] <= 1)).all()
    assert (rows[:, vk.MEL :] >= -100.001).all()


def test_garbage_does_not_last() -> None:
    x = naive.talk(3.0, 9).astype(np.float32)
    spoilt = x.copy()
    spoilt[4000:4400:7] = [np.nan, np.inf, -1e38] * 19 + [np.nan]
    clean, found = vk.extract([x, spoilt])
    assert np.isfinite(found[:, [vk.POWER_DB, vk.ENVELOPE, vk.K_POWER, vk.SPEECH]]).all()
    # The offset filter rings for some 100 ms.
    np.testing.assert_allclose(found[100:200, vk.MEL :], clean[100:200, vk.MEL :], atol=0.5)


def test_extract_takes_what_there_is() -> None:
    assert vk.extract([]) == []
    assert vk.extract([np.zeros(0)])[0].shape == (0, vk.FEATURES)
    tones = [naive.sine(100.0 + 20 * i, 0.2 + 0.01 * i) for i in range(37)]  # three blocks
    found = vk.extract(tones)
    assert [len(rows) for rows in found] == [len(tone) // 80 for tone in tones]
    for i in (0, 15, 16, 36):
        np.testing.assert_array_equal(found[i], vk.extract([tones[i].astype(np.float32)])[0])


@pytest.mark.parametrize("wrong", [np.zeros((80, 2)), np.zeros(80, np.int16), np.array(0.5), np.zeros(80, complex)])
def test_extract_says_what_it_wanted(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="samples: wanted"):
        vk.extract([wrong])


def test_extract_takes_float64_beyond_float32() -> None:
    assert not np.isinf(vk.extract([np.full(800, 1e300)])[0]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((160, 16)),
        np.zeros((160, 16), np.float32, "F"),
        np.zeros((160, 8), np.float32),
        np.zeros((320, 16), np.float32)[::2],
    ],
    ids=["float64", "columns first", "eight lanes", "every other row"],
)
def test_advance_refuses_other_arrays(wrong: np.ndarray) -> None:
    if wrong.dtype == np.float32 and wrong.shape[1] == 8:
        wrong = np.zeros((320, 16), np.float32)[:, :8]  # so that what is read beside it is at least ours
    with pytest.raises(ValueError, match="wanted C-contiguous float32"):
        vk.advance(wrong, np.zeros(16, np.int64), vk.Boundary(), vk.new_state())


def test_long_signals_are_the_same_as_their_beginning() -> None:
    """Longer than the ring: rows are taken out of it before they are written over."""
    x = np.concatenate([naive.talk(13.0, 30), naive.talk(9.0, 31)])
    whole, half = vk.extract([x])[0], vk.extract([x[: 13 * 8000]])[0]
    np.testing.assert_array_equal(whole[:1280], half[:1280])
    np.testing.assert_allclose(whole[:, vk.POWER_DB], naive.features(x)[:, vk.POWER_DB], atol=0.005)
    assert whole[1640:, vk.NUCLEUS].sum() > 5


# --- a block that runs -----------------------------------------------------------------------------------------------

Records = list[tuple[int, int, int, int, int]]


def drive(state: vk.State, pcm: np.ndarray, until: np.ndarray, cuts: Sequence[int], boundary: vk.Boundary) -> Records:
    """Move a block through all of `pcm`, cut into pieces of `cuts` ticks in turn; all records, with the lane."""
    records: Records = []
    at, turn = 0, 0
    while at < len(pcm):
        piece = pcm[at : at + cuts[turn % len(cuts)] * TICK]
        turn += 1
        done = 0
        while done < len(piece):
            before = int(state.clock[0])
            ticks, count = vk.advance(piece[done:], until, boundary, state)
            assert int(state.clock[0]) == before + ticks * vk.HOPS
            assert ticks > 0
            records += [tuple(row) for row in state.records[:count].tolist()]
            done += ticks * TICK
        at += done
    return records


def side_by_side(signals: Sequence[np.ndarray], ticks: int) -> np.ndarray:
    pcm = np.zeros((ticks * TICK, vk.LANES), np.float32)
    for lane, signal in enumerate(signals):
        pcm[: len(signal), lane] = signal
    return pcm


def rows_of(state: vk.State, lane: int, first: int, steps: int) -> bytes:
    return vk.rows_of(state, lane, first, first + steps).tobytes()


def neighbours(seed: int, samples: int) -> np.ndarray:
    """Sixteen lanes of the worst: no numbers, full scale, next to nothing, speech."""
    rng = np.random.default_rng(seed)
    pcm = rng.normal(0, 1, (samples, vk.LANES)).astype(np.float32)
    for lane in range(vk.LANES):
        kind = rng.integers(6)
        if kind == 0:
            pcm[:, lane] = np.nan
        elif kind == 1:
            pcm[rng.random(samples) < 0.3, lane] = np.inf
        elif kind == 2:
            pcm[:, lane] *= np.float32(1e-41)
        elif kind == 3:
            pcm[:, lane] = np.where(rng.random(samples) < 0.5, 1, -1)
        elif kind == 4:
            pcm[:, lane] = naive.talk(samples / 8000, int(rng.integers(1000)))
    return pcm


BOUNDARY = vk.Boundary(hangover_steps=12, longest_steps=150)  # many decisions in few seconds


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    lane=st.integers(0, vk.LANES - 1),
    began=st.sampled_from([0, 1, 7, 90, 811, 815, 1632]),
    kind=st.sampled_from(["talk", "at once", "syllables", "noise", "garbage"]),
)
def test_a_channel_is_alone_in_its_lane(seed: int, lane: int, began: int, kind: str) -> None:
    """Bitwise the same rows and records in lane 0 of a fresh block beside silence, and anywhere in a running one."""
    signal = {
        "talk": lambda: naive.talk(3.0, seed % 1000),
        "at once": lambda: naive.talk(4.0, seed % 1000)[2700:26700],
        "syllables": lambda: naive.syllables(3.0 + seed % 3, 3.0),
        "noise": lambda: naive.noise(3.0, -30.0, seed),
        "garbage": lambda: garbage(seed % 1000)[:24000],
    }[kind]()
    ticks = 150 + FLUSH_TICKS
    steps = 300  # as far as rows are settled
    until = np.full(vk.LANES, FOREVER)

    alone = vk.new_state()
    wanted_records = drive(alone, side_by_side([signal], ticks), until, [vk.MAX_TICKS], BOUNDARY)
    wanted = [record[1:] for record in wanted_records if record[0] == 0]

    state = vk.new_state()
    if began:
        # A whole ring of it would take long: the clock is set on, then the lanes are filled with something.
        state.clock[0] = max(0, began - 30) * vk.HOPS
        drive(state, neighbours(seed, min(began, 30) * TICK), until, [vk.MAX_TICKS], BOUNDARY)
    vk.reset_lane(state, lane)
    first = int(state.clock[0])
    assert first == began * vk.HOPS
    pcm = neighbours(seed + 1, ticks * TICK)
    pcm[:, lane] = 0.0
    pcm[: len(signal), lane] = signal
    records = drive(state, pcm, until, [vk.MAX_TICKS], BOUNDARY)
    found = [
        (kind, step - first, start - first, end - first) for where, kind, step, start, end in records if where == lane
    ]

    assert rows_of(state, lane, first, steps) == rows_of(alone, 0, 0, steps)
    assert found == wanted


def test_final_rows_are_the_newest_with_band_levels_to_the_step() -> None:
    state, ticks = vk.new_state(), 100
    drive(
        state, side_by_side([garbage(1)[:16000], naive.talk(2.0, 2)], ticks), np.full(vk.LANES, FOREVER), [7], BOUNDARY
    )
    last = ticks * vk.HOPS - vk.TEMPO_DELAY
    steps = np.arange(last - (FRESH_ROWS - vk.TEMPO_DELAY), last)
    for lane in range(2):
        newest = state.features.reshape(FRESH_ROWS, vk.FEATURES, vk.LANES)[steps % FRESH_ROWS, :, lane]
        found = vk.rows_of(state, lane, int(steps[0]), last)
        np.testing.assert_array_equal(found[:, : vk.MEL], newest[:, : vk.MEL])
        assert np.abs(found[:, vk.MEL :] - newest[:, vk.MEL :]).max() <= 0.5 / KEPT_PER_DB
        assert np.ptp(newest[:, vk.MEL :]) > 1.0


def test_reset_lane_forgets_everything_but_the_hour() -> None:
    state, new = vk.new_state(), vk.new_state()
    drive(state, neighbours(4, 100 * TICK), np.full(vk.LANES, FOREVER), [vk.MAX_TICKS], BOUNDARY)
    for lane in range(vk.LANES):
        others = {
            name: np.delete(getattr(state, name), lane, axis=-1) for name in ("history", "rows", "counts", "memory")
        }
        vk.reset_lane(state, lane)
        for name, kept in others.items():
            np.testing.assert_array_equal(np.delete(getattr(state, name), lane, axis=-1), kept)
    new.counts[[vk.START_STEP, vk.LAST_STEP]] = 200
    for name in ("history", "rows", "counts", "memory"):
        np.testing.assert_array_equal(getattr(state, name), getattr(new, name))


def test_extract_of_one_is_extract_of_many() -> None:
    signals = [naive.talk(1.5 + 0.1 * seed, seed) for seed in range(12)]
    together = vk.extract([*signals, np.full(30000, np.nan), naive.noise(3.0, 0.0, 1)])
    for signal, rows in zip(signals, together, strict=False):
        np.testing.assert_array_equal(rows, vk.extract([signal])[0])


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, vk.MAX_TICKS), min_size=1, max_size=6))
def test_cuts_make_no_difference(seed: int, cuts: list[int]) -> None:
    """The whole state, bit for bit, after the same audio cut into pieces of 50, of 1, of 3 ticks, and anyhow."""
    pcm = neighbours(seed, 150 * TICK)
    until = np.random.default_rng(seed).integers(50, 400, vk.LANES)
    runs = []
    for pieces in ([vk.MAX_TICKS], [1], [3], cuts):
        state = vk.new_state()
        records = drive(state, pcm, until, pieces, BOUNDARY)
        kept = [name for name in state._fields if name != "records" and name not in WORKED_IN]
        runs.append((records, {name: getattr(state, name).tobytes() for name in kept}))
    assert runs[0][0]
    for records, kept in runs[1:]:
        assert records == runs[0][0]
        assert kept == runs[0][1]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_is_decided_past_until(seed: int) -> None:
    pcm = neighbours(seed, 150 * TICK)
    until = np.random.default_rng(seed).integers(0, 320, vk.LANES)
    free, held = vk.new_state(), vk.new_state()
    every = drive(free, pcm, np.full(vk.LANES, FOREVER), [vk.MAX_TICKS], BOUNDARY)
    some = drive(held, pcm, until, [vk.MAX_TICKS], BOUNDARY)
    assert some == [record for record in every if record[2] < until[record[0]]]
    assert held.features.tobytes() == free.features.tobytes()
    assert held.kept.tobytes() == free.kept.tobytes()


def test_records_are_the_twins() -> None:
    """Of the scores in the ring, from the channel's first step on."""
    signals = [naive.talk(5.0, seed) for seed in range(vk.LANES)]
    state = vk.new_state()
    records = drive(state, side_by_side(signals, 250 + FLUSH_TICKS), np.full(vk.LANES, FOREVER), [7], BOUNDARY)
    last = int(state.clock[0]) - vk.SPEECH_DELAY
    for lane in range(vk.LANES):
        wanted = naive.boundaries(vk.rows_of(state, lane, 0, last)[:, vk.SPEECH].tolist(), BOUNDARY)
        assert [record[1:] for record in records if record[0] == lane] == [tuple(record) for record in wanted]
        assert len(wanted) > 2


def test_advance_stops_at_the_tick_that_has_records() -> None:
    pcm = side_by_side([naive.syllables(4.0, 1.0)] * 2, 50)
    state = vk.new_state()
    ticks, count = vk.advance(pcm, np.full(vk.LANES, FOREVER), vk.Boundary(), state)
    assert ticks < 50
    assert count >= 1
    decided = state.records[:count, 2]
    assert (decided >= (ticks - 1) * vk.HOPS - vk.SPEECH_DELAY).all()
    assert (decided < ticks * vk.HOPS - vk.SPEECH_DELAY).all()


def test_half_a_tick_waits() -> None:
    state = vk.new_state()
    pcm = np.zeros((TICK + 80, vk.LANES), np.float32)
    assert vk.advance(pcm[:159], np.zeros(16, np.int64), vk.Boundary(), state) == (0, 0)
    assert vk.advance(pcm, np.zeros(16, np.int64), vk.Boundary(), state) == (1, 0)
    assert state.clock[0] == vk.HOPS


def test_blocks_that_share_their_working_arrays_are_as_alone() -> None:
    pcm = [neighbours(seed, 100 * TICK) for seed in (1, 2)]
    until = np.full(vk.LANES, FOREVER)
    alone = [vk.new_state(), vk.new_state()]
    beside = [vk.new_state()]
    beside.append(vk.new_state(beside[0]))
    wanted = [drive(state, one, until, [1], BOUNDARY) for state, one in zip(alone, pcm, strict=True)]
    found: list[Records] = [[], []]
    for first in range(0, 100 * TICK, TICK):
        for one in (0, 1):
            found[one] += drive(beside[one], pcm[one][first : first + TICK], until, [1], BOUNDARY)
    assert found == wanted
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one.features, other.features)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_table_of_blocks_is_as_each_alone(threads: int) -> None:
    crew, table, boundary, until = vk.Crew(threads), vk.Table(), BOUNDARY, np.full(vk.LANES, FOREVER)
    pcms = [np.zeros((vk.TICK_SAMPLES, vk.LANES), np.float32) for _ in range(4)]
    first, second, third = (vk.new_state() for _ in range(3))
    states = [first, second, third, vk.new_state(second)]
    alone = [vk.new_state() for _ in range(4)]
    for state, pcm in zip(states, pcms, strict=True):
        table.append(state, pcm, until)
    table.wanted[:] = [True, True, False, True]
    speech = [neighbours(seed, 100 * TICK).reshape(100, TICK, vk.LANES) for seed in range(4)]
    seen = 0
    for tick in range(100):
        for block, pcm in enumerate(pcms):
            pcm[:] = speech[block][tick]
        crew.advance(table, boundary)
        for block in (0, 1, 3):
            _, count = vk.advance(pcms[block], until, boundary, alone[block])
            assert table.records[block] == count
            np.testing.assert_array_equal(states[block].records[:count], alone[block].records[:count])
            seen += count
    assert seen > 0
    assert states[2].clock[0] == 0
    for block in (0, 1, 3):
        for name in ("features", "counts", "memory", "clock"):
            np.testing.assert_array_equal(getattr(states[block], name), getattr(alone[block], name))


def test_a_table_refuses_other_arrays() -> None:
    pcm, until = np.zeros((vk.TICK_SAMPLES, vk.LANES), np.float32), np.zeros(vk.LANES, np.int64)
    for wrong in (pcm[:80], pcm.astype(np.float64), np.zeros((vk.LANES, vk.TICK_SAMPLES), np.float32).T):
        with pytest.raises(ValueError, match=r"pcm: wanted C-contiguous float32 \(160, 16\), got"):
            vk.Table().append(vk.new_state(), wrong, until)
    with pytest.raises(ValueError, match=r"until: wanted C-contiguous int64 \(16,\), got int32"):
        vk.Table().append(vk.new_state(), pcm, until.astype(np.int32))


def test_threads_make_no_difference() -> None:
    signals = [naive.talk(1.0 + 0.05 * seed, seed) for seed in range(40)]  # three blocks
    alone = vk.extract(signals)
    for threads in (2, 3):
        for one, other in zip(alone, vk.extract(signals, threads), strict=True):
            np.testing.assert_array_equal(one, other)


def test_half_an_hour_at_the_end_of_a_day_is_as_its_first_minute() -> None:
    """Float32 throughout, and nothing that adds up: the same minute again and again gives the same rows."""
    minute = side_by_side([naive.talk(60.0, lane, -20.0 - 2 * lane) for lane in range(vk.LANES)], 3000)
    state = vk.new_state()
    state.clock[0] = 8 * 3600 * 100
    kept: list[np.ndarray] = []
    for repeat in range(30):
        drive(state, minute[: 2992 * TICK], np.zeros(vk.LANES, np.int64), [44], vk.Boundary())
        if repeat in (1, 29):
            last = int(state.clock[0]) - vk.TEMPO_DELAY - 4
            kept.append(np.stack([vk.rows_of(state, lane, last - 1500, last) for lane in range(vk.LANES)]))
    of_networks = [vk.SPEECH, vk.NUCLEUS, vk.VOICED]
    others = [column for column in range(vk.MEL) if column not in of_networks]
    one, other = kept
    np.testing.assert_allclose(other[..., others], one[..., others], rtol=1e-4, atol=1e-4, equal_nan=True)
    np.testing.assert_allclose(other[..., vk.MEL :], one[..., vk.MEL :], atol=1.0 / KEPT_PER_DB)
    np.testing.assert_allclose(other[..., of_networks], one[..., of_networks], atol=5e-3)
