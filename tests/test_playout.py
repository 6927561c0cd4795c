"""Playout: what is heard at each tick, against a slow twin; loss, jitter, disorder, drift, silence, wrap, restarts."""

from collections.abc import Sequence

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import Sent
from numpy.typing import NDArray

from vocal.config import PlayoutConfig
from vocal.playout import Arrival, Played, Playout

LAG_MS = 60.0


def audio(packets: int, seed: int = 1, loud: float = 0.5) -> NDArray[np.float32]:
    """No two samples alike, so that each tells where it came from."""
    return np.random.default_rng(seed).uniform(0.1, loud, 160 * packets).astype(np.float32)


def sent(
    pcm: NDArray[np.float32],
    arrivals_ms: Sequence[float | None],
    positions: Sequence[int] | None = None,
    first_sequence: int = 0,
) -> list[Sent]:
    """20 ms packets; None never arrives."""
    return sorted(
        Sent(at_ms, first_sequence + n, positions[n] if positions else 160 * n, pcm[160 * n : 160 * (n + 1)])
        for n, at_ms in enumerate(arrivals_ms)
        if at_ms is not None
    )


def run(
    playout: Playout, packets: list[Sent], ticks: int, first_timestamp: int = 0, scale: int = 1
) -> tuple[NDArray[np.float32], list[Played]]:
    """Everything that came before a tick is pushed before it is pulled."""
    out = np.zeros((ticks, 160, 1), np.float32)
    states = []
    waiting = list(packets)
    for k in range(ticks):
        while waiting and waiting[0].arrival_ms < 20.0 * k:
            packet = waiting.pop(0)
            playout.push(packet.number, first_timestamp + scale * packet.position, packet.samples, packet.arrival_ms)
        states.append(playout.pull(20.0 * k, out[k], 0)[0])
    return out.reshape(-1), states


def heard(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the first sample that is none of the zeros before."""
    return samples[int(np.argmax(samples != 0.0)) :]


def test_without_loss_it_is_the_recording_from_its_first_sample() -> None:
    pcm = audio(50)
    out, states = run(Playout(), sent(pcm, [20.0 * n + 3.0 for n in range(50)]), 70)
    np.testing.assert_array_equal(heard(out)[: len(pcm)], pcm)
    assert states[:4] == [Played.WAITING] * 4
    assert states[4:54] == [Played.AUDIO] * 50


def test_a_lost_packet_costs_what_it_held_and_no_lag() -> None:
    pcm = audio(50)
    arrivals: list[float | None] = [20.0 * n for n in range(50)]
    arrivals[20] = arrivals[30] = arrivals[31] = None
    playout = Playout()
    out, states = run(playout, sent(pcm, arrivals), 60)
    wanted = pcm.copy()
    for n in (20, 30, 31):
        wanted[160 * n : 160 * (n + 1)] = np.nan
    np.testing.assert_array_equal(heard(out)[: len(pcm)], wanted)
    assert states.count(Played.LOST) - (60 - 3 - 50) == 3  # behind the last packet it counts as lost for a while
    assert playout.counts.lost == 3
    assert playout.counts.received == 47


def test_disorder_within_the_lag_is_mended_and_counted() -> None:
    pcm = audio(20)
    arrivals = [20.0 * n for n in range(20)]
    arrivals[5], arrivals[7] = arrivals[7] + 1, arrivals[5] + 1
    playout = Playout()
    out, _ = run(playout, sent(pcm, arrivals), 30)
    np.testing.assert_array_equal(heard(out)[: len(pcm)], pcm)
    assert playout.counts.reordered == 2
    assert playout.counts.lost == playout.counts.late == 0


def test_what_comes_before_the_first_packet_is_played_too() -> None:
    pcm = audio(10)
    arrivals = [20.0 * n for n in range(10)]
    arrivals[0], arrivals[1] = 25.0, 1.0
    out, _ = run(Playout(), sent(pcm, arrivals), 20)
    np.testing.assert_array_equal(heard(out)[: len(pcm)], pcm)


def test_duplicates_and_late_packets_are_dropped_and_counted() -> None:
    pcm = audio(30)
    packets = sent(pcm, [20.0 * n for n in range(30)])
    packets.append(packets[4]._replace(arrival_ms=100.0))
    packets[10] = packets[10]._replace(arrival_ms=packets[10].arrival_ms + 110.0)
    playout = Playout()
    out, _ = run(playout, sorted(packets), 40)
    wanted = pcm.copy()
    wanted[1600:1760] = np.nan
    np.testing.assert_array_equal(heard(out)[: len(pcm)], wanted)
    counts = playout.counts
    assert (counts.duplicate, counts.late, counts.lost, counts.received) == (1, 1, 0, 31)


def test_nothing_sent_is_silence_and_not_loss() -> None:
    pcm = audio(20)
    positions = [160 * n + (8000 if n >= 10 else 0) for n in range(20)]
    arrivals = [positions[n] / 8 for n in range(20)]
    packets = sent(pcm, arrivals, positions)
    # Comfort noise says that nothing follows: it takes a sequence number and no time.
    quiet = Sent(arrivals[9] + 20.0, 10, 1600, np.zeros(0, np.float32))
    packets = [p if p.number < 10 else p._replace(number=p.number + 1) for p in packets]
    playout = Playout()
    out, states = run(playout, sorted([*packets, quiet]), 75)
    wanted = np.concatenate([pcm[:1600], np.zeros(8000, np.float32), pcm[1600:]])
    np.testing.assert_array_equal(heard(out)[: len(wanted)], wanted)
    assert playout.counts.lost == 0
    assert playout.counts.dtx == 1
    assert states.count(Played.SILENT) >= 50


def test_where_packets_stop_it_counts_as_lost_for_a_while_only() -> None:
    pcm = audio(10)
    out, states = run(Playout(), sent(pcm, [20.0 * n for n in range(10)]), 60)
    tail = heard(out)[1600:]
    assert np.isnan(tail[:1600]).all()
    assert (tail[1600:] == 0.0).all()
    assert states[-1] is Played.SILENT


def test_sequence_and_timestamp_wrap() -> None:
    pcm = audio(40)
    playout = Playout(clock_hz=48000)
    packets = sent(pcm, [20.0 * n for n in range(40)], first_sequence=65520)
    out, _ = run(playout, packets, 50, first_timestamp=2**32 - 10_000, scale=6)
    np.testing.assert_array_equal(heard(out)[: len(pcm)], pcm)
    assert playout.counts.lost == playout.counts.refused == playout.counts.restarts == 0


@pytest.mark.parametrize("how", ["ssrc", "sequence", "timestamp"])
def test_a_sender_that_begins_anew_is_followed(how: str) -> None:
    pcm = audio(60)
    playout = Playout()
    out = np.zeros((80, 160, 1), np.float32)
    for k in range(80):
        if k < 60:
            new = k >= 30
            playout.push(
                k + (20_000 if new and how == "sequence" else 0),
                160 * k + (123_456_789 if new and how in ("ssrc", "timestamp") else 0),
                pcm[160 * k : 160 * (k + 1)],
                20.0 * k - 1.0,
                ssrc=7 if new and how == "ssrc" else 3,
            )
        playout.pull(20.0 * k, out[k], 0)
    found = heard(out.reshape(-1))
    np.testing.assert_array_equal(found[: 160 * 30], pcm[: 160 * 30])
    tail = pcm[160 * (31 if how == "sequence" else 30) :]
    start = int(np.argmax(found == tail[0]))
    assert start <= 160 * 32
    np.testing.assert_array_equal(found[start : start + len(tail)], tail)
    assert playout.counts.restarts == 1


def test_one_stray_packet_changes_nothing() -> None:
    pcm = audio(30)
    packets = sent(pcm, [20.0 * n for n in range(30)])
    packets.append(Sent(205.0, 30_000, 99_999_999, pcm[:160]))
    playout = Playout()
    out, _ = run(playout, sorted(packets), 40)
    np.testing.assert_array_equal(heard(out)[: len(pcm)], pcm)
    assert playout.counts.refused == 1


def test_late_packets_make_the_lag_longer_in_a_silence_and_only_to_its_bound() -> None:
    rng = np.random.default_rng(3)
    pcm = audio(2000)
    for n in range(20, 2000, 40):  # speech of 600 ms, silence of 200 ms
        pcm[160 * n : 160 * (n + 12)] = 0.0
    delays = rng.choice([0.0, 110.0], 2000, p=[0.9, 0.1])
    playout = Playout()
    run(playout, sent(pcm, [20.0 * n + delays[n] for n in range(2000)]), 2100)
    counts = playout.counts
    assert 60.0 < counts.lag_ms <= 200.0
    assert counts.late < 40  # of about 200 that came late for the lag at first
    assert counts.restarts == 0


def test_a_path_that_grew_longer_is_followed() -> None:
    pcm = audio(200)
    arrivals = [20.0 * n + (150.0 if n >= 50 else 0.0) for n in range(200)]
    playout = Playout()
    out, _ = run(playout, sent(pcm, arrivals), 220)
    assert playout.counts.late <= 15
    tail = pcm[160 * 70 :]
    start = int(np.argmax(out == tail[0]))
    np.testing.assert_array_equal(out[start : start + len(tail)], tail)


@pytest.mark.parametrize("ppm", [-300, -100, 0, 100, 300])
def test_drift_of_clocks_is_absorbed(ppm: int) -> None:
    """Half an hour: 300 ppm are half a second, many times the lag."""
    count = 90_000
    rng = np.random.default_rng(abs(ppm))
    arrivals = 20.0 * np.arange(count) / (1.0 + ppm * 1e-6) + rng.uniform(0.0, 25.0, count)
    order = np.argsort(arrivals)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)).astype(np.float32)
    still = np.zeros(160, np.float32)
    playout = Playout()
    out = np.zeros((160, 1), np.float32)
    at, depths, seen = 0, [], []
    for k in range(int(arrivals[-1] // 20)):
        while at < count and arrivals[order[at]] < 20.0 * k:
            n = int(order[at])
            playout.push(n, 160 * n, tone if n % 100 < 60 else still, float(arrivals[n]))
            at += 1
        seen.append(playout.pull(20.0 * k, out, 0)[0])
        if k % 50 == 0:
            depths.append(playout.depth_ms)
    counts = playout.counts
    assert counts.lost == counts.late == 0
    assert set(seen[10:]) <= {Played.AUDIO}
    assert np.ptp(depths[10:]) < 70.0  # jitter of 25 ms, a tick, and what drifts before it is mended
    assert counts.drift_ppm == pytest.approx(ppm, abs=20)
    assert counts.adjusted_samples == pytest.approx(ppm * 1e-6 * 160 * count, abs=100)


def test_a_closed_channel_plays_what_waits_to_the_last_sample() -> None:
    pcm = audio(10)[:-37]
    playout = Playout()
    for n in range(10):
        playout.push(n, 160 * n, pcm[160 * n : 160 * (n + 1)], 20.0 * n)
    playout.close()
    out = np.zeros((160, 1), np.float32)
    got = []
    for k in range(12):
        played, samples = playout.pull(200.0 + 20 * k, out, 0)
        if played is Played.CLOSED:
            break
        got.append(out[:samples, 0].copy())
    np.testing.assert_array_equal(np.concatenate(got), pcm)
    assert played is Played.CLOSED
    assert playout.push(10, 1600, pcm[:160], 400.0) is Arrival.REFUSED


def test_over_tcp_a_stall_is_a_gap_and_nothing_is_lost() -> None:
    pcm = audio(100)
    arrivals = [20.0 * n if n < 50 else max(20.0 * n, 1500.0 + 0.01 * n) for n in range(100)]
    playout = Playout(reliable=True)
    out, _ = run(playout, sent(pcm, arrivals), 160)
    kept = out[~np.isnan(out) & (out != 0.0)]
    np.testing.assert_array_equal(kept, pcm)
    assert playout.counts.lost == playout.counts.late == 0


@pytest.mark.parametrize("coding", ["alaw", "ulaw", "l16", "s16le"])
def test_payloads_are_decoded(coding: str) -> None:
    payload = bytes(range(160)) * (2 if coding in ("l16", "s16le") else 1)
    playout = Playout(PlayoutConfig(lag_ms=0.0))
    assert playout.push_coded(0, 0, payload, coding, 0.0) is Arrival.TAKEN
    out = np.zeros((160, 2), np.float32)
    assert playout.pull(0.0, out, 1) == (Played.AUDIO, 160)
    if coding == "l16":
        wanted = np.frombuffer(payload, ">i2") / 32768
    elif coding == "s16le":
        wanted = np.frombuffer(payload, "<i2") / 32768
    else:
        twin = naive.alaw if coding == "alaw" else naive.ulaw
        wanted = np.array([twin(code) for code in payload]) / 32768
    np.testing.assert_array_equal(out[:, 1], wanted.astype(np.float32))
    assert not out[:, 0].any()


def test_wrong_use_is_said_at_once() -> None:
    playout = Playout()
    with pytest.raises(ValueError, match="coding: wanted alaw, ulaw, l16 or s16le, got mp3"):
        playout.push_coded(0, 0, b"", "mp3", 0.0)
    with pytest.raises(ValueError, match="whole samples"):
        playout.push_coded(0, 0, b"abc", "l16", 0.0)
    with pytest.raises(ValueError, match=r"wanted \(160, channels\)"):
        playout.pull(0.0, np.zeros((80, 1), np.float32), 0)
    with pytest.raises(TypeError):
        playout.push(0, 0, np.zeros(160), 0.0)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_like_the_twin(data: st.DataObject) -> None:
    """Loss, jitter up to and over the lag, disorder, pauses in sending: sample by sample."""
    count = 24
    gaps = data.draw(st.lists(st.sampled_from([0, 0, 0, 0, 0, 480, 1280]), min_size=count, max_size=count))
    lost = data.draw(st.lists(st.sampled_from([False] * 6 + [True]), min_size=count, max_size=count))
    jitter = data.draw(st.lists(st.integers(0, 75), min_size=count, max_size=count))
    positions = [160 * n + gap for n, gap in enumerate(np.cumsum([0, *gaps[1:]]).tolist())]
    arrivals: list[float | None] = [
        None if lost[n] and n else positions[n] / 8 + jitter[n] * (n > 0) + 0.5 for n in range(count)
    ]
    pcm = audio(count, seed=count)
    packets = sent(pcm, arrivals, positions)
    ticks = int(positions[-1] / 160) + 12
    # The lag stays as it is: the twin does not follow.
    playout = Playout(PlayoutConfig(lag_ms=LAG_MS, most_lag_ms=LAG_MS))
    out, _ = run(playout, packets, ticks)
    np.testing.assert_array_equal(out, naive.playout(packets, ticks, LAG_MS, 200.0).astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 400), st.floats(0, 60)
        ),
        max_size=80,
    ),
    st.booleans(),
)
def test_no_packet_however_odd_breaks_it(packets: list[tuple[int, int, int, int, float]], reliable: bool) -> None:
    playout = Playout(reliable=reliable)
    out = np.zeros((160, 1), np.float32)
    now_ms = 0.0
    for sequence, timestamp, ssrc, samples, wait_ms in packets:
        playout.push(sequence, timestamp, np.full(samples, 0.5, np.float32), now_ms, ssrc)
        now_ms += wait_ms
        count = playout.pull(now_ms, out, 0)[1]
        assert count in (0, 160)
        assert np.isin(out[~np.isnan(out)], [0.0, 0.5]).all()
    counts = playout.counts
    assert counts.received == len(packets)
    assert min(counts.lost, counts.late, counts.duplicate, counts.refused) >= 0
