"""RTP packets of a stream into its playout, over made-up time: headers, faults, silence, keys, hold, codings."""

import struct
from typing import Any

import av
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vocal_kernels import _native

from vocal.config import PlayoutConfig
from vocal.playout import Playout
from vocal.replays.pace import Faults
from vocal.replays.rtp import coded_packets, flow_settings
from vocal.transports.rtp import (
    COMFORT_NOISE,
    G722,
    G729,
    KEYS,
    OPUS,
    PCMA,
    PCMU,
    STATIC_PAYLOADS,
    Coding,
    coding_of,
)

L16 = Coding("l16")
WIDE = Coding("l16", 16000)
PAYLOADS = {0: PCMU, 8: PCMA, 9: G722, 11: L16, 12: WIDE, 13: COMFORT_NOISE, 101: KEYS, 111: OPUS}
PAYLOADS |= {14: Coding("cn", 48000), 102: Coding("telephone-event", 48000)}
GIVEN = [(number, one.name, one.clock_hz) for number, one in PAYLOADS.items()]


def packet(
    sequence: int,
    timestamp: int,
    payload: bytes,
    payload_type: int = 8,
    ssrc: int = 7,
    sources: tuple[int, ...] = (),
    extension: bytes = b"",
    padding: int = 0,
) -> bytes:
    first = 0x80 | len(sources) | (0x10 if extension else 0) | (0x20 if padding else 0)
    head = struct.pack("!BBHII", first, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    head += b"".join(struct.pack("!I", one) for one in sources)
    if extension:
        head += struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    return head + payload + tail


def key_event(code: int, is_end: bool, duration: int) -> bytes:
    return struct.pack("!BBH", code, 0x8A if is_end else 0x0A, duration)


def noise(packets: int, seed: int = 1, samples: int = 160) -> bytes:
    """A-law codes, no two packets alike, and none of them silent."""
    return np.random.default_rng(seed).integers(0, 64, packets * samples).astype(np.uint8).tobytes()


ALAW = np.zeros((256, 16), np.float32)
_native.decode_alaw(bytes(range(256)), ALAW, 0)


def alaw(coded: bytes) -> NDArray[np.float32]:
    return ALAW[np.frombuffer(coded, np.uint8), 0]


class Line:
    """A receiver and its playout, over made-up time."""

    def __init__(self, config: PlayoutConfig = PlayoutConfig()) -> None:
        self.playout = Playout(config)
        self.receiver = _native.Receiver(self.playout.native, GIVEN)
        self.keys: list[tuple[str, float, float]] = []

    def run(self, packets: list[tuple[float, bytes]], ticks: int) -> NDArray[np.float32]:
        """Everything that came before a tick is taken before it is played."""
        out = np.zeros((ticks, 160, 1), np.float32)
        waiting = iter([*packets, (np.inf, b"")])
        at_ms, data = next(waiting)
        for k in range(ticks):
            while at_ms < 20.0 * k:
                self.receiver.push(data, at_ms)
                at_ms, data = next(waiting)
            self.playout.pull(20.0 * k, out[k], 0)
            if k % 5 == 0:
                self.keys += self.receiver.take_keys(20.0 * k)
        return out.reshape(-1)

    @property
    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.receiver.counts()
        return found


def heard(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    return samples[int(np.argmax(samples != 0.0)) :]


def flow(recording: list[bytes], payload_type: int = 8, coding: Coding = PCMA, **more: Any) -> Any:
    """What is sent: [(at_ms, packet)], and the packets left out."""
    return _native.flow_packets(_native.Recording(recording), flow_settings(payload_type, coding, **more))


def split(coded: bytes, size: int = 160) -> list[bytes]:
    return [coded[at : at + size] for at in range(0, len(coded), size)]


# Packets


@pytest.mark.parametrize("sources", [(), (1, 2, 3)])
@pytest.mark.parametrize("extension", [b"", bytes(8)])
@pytest.mark.parametrize("padding", [0, 1, 9])
def test_headers_are_read_around_the_payload(sources: tuple[int, ...], extension: bytes, padding: int) -> None:
    coded = noise(5)
    line = Line()
    packets = [
        (20.0 * n, packet(n, 160 * n, one, 8, 7, sources, extension, padding)) for n, one in enumerate(split(coded))
    ]
    np.testing.assert_array_equal(heard(line.run(packets, 9))[:800], alaw(coded))
    assert line.counts["octets"] == 800


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        packet(0, 0, b"")[:11],
        b"\x40" + packet(0, 0, bytes(160))[1:],
        packet(0, 0, b"", sources=(1, 2))[:16],
        packet(0, 0, b"", extension=bytes(8))[:14],
        packet(0, 0, b"", extension=bytes(8))[:-1],
        packet(0, 0, bytes(3), padding=4)[:-1] + b"\x09",
        packet(0, 0, bytes(3), padding=4)[:-1] + b"\x00",
    ],
)
def test_what_is_no_rtp_is_counted_and_dropped(data: bytes) -> None:
    line = Line()
    assert line.receiver.push(data, 0.0) is False
    assert line.counts["malformed"] == 1
    assert line.playout.counts.received == 0


def test_unknown_payload_types_and_payloads_that_cannot_be() -> None:
    line = Line()
    assert not line.receiver.push(packet(0, 0, bytes(160), payload_type=77), 0.0)
    line.receiver.push(packet(0, 0, bytes(1400), payload_type=12), 0.0)
    line.receiver.push(packet(1, 0, bytes(161), payload_type=11), 0.0)
    line.receiver.push(packet(2, 0, bytes(1601)), 0.0)
    line.receiver.push(packet(3, 0, b""), 0.0)
    line.receiver.push(packet(4, 0, bytes(3), payload_type=101), 0.0)
    counts = line.counts
    assert counts["unknown_payload"] == 1
    assert counts["malformed"] == 4
    assert line.playout.counts.received == 1  # 1,400 bytes of L16 at 16 kHz are 44 ms


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=64), st.binary(min_size=12, max_size=40).map(lambda b: b"\x80\x08" + b))))
def test_anything_may_come(datagrams: list[bytes]) -> None:
    line = Line()
    line.run([(5.0 * n, data) for n, data in enumerate(datagrams)], 20)
    counts = line.counts
    assert counts["packets"] + counts["malformed"] + counts["unknown_payload"] + counts["other_source"] <= 2 * len(
        datagrams
    )


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_any_length_of_packets(ptime_ms: int) -> None:
    coded = noise(60)
    packets, _ = flow(split(coded, 8 * ptime_ms), ptime_ms=ptime_ms)
    line = Line()
    np.testing.assert_array_equal(heard(line.run(packets, 66))[: len(coded)], alaw(coded))
    assert line.playout.counts.lost == 0


# Faults


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.2])
@pytest.mark.parametrize(("jitter_ms", "reorder"), [(0.0, 0.0), (40.0, 0.0), (0.0, 0.1)])
def test_what_is_marked_lost_is_what_was_dropped(loss: float, jitter_ms: float, reorder: float) -> None:
    coded = noise(3000)
    packets, lost = flow(split(coded), faults=Faults(jitter_ms, loss, 0.0, reorder), duplicates=0.05, seed=11)
    line = Line()
    out = line.run(packets, 3010)
    wanted = alaw(coded).copy()
    for n in lost:
        wanted[160 * n : 160 * (n + 1)] = np.nan
    first = next(n for n in range(3000) if n not in lost)
    begin = int(np.argmax(out != 0.0))
    whole = out[begin : begin + len(wanted) - 160 * first]
    assert 0.5 * loss < len(lost) / 3000 < 1.6 * loss
    np.testing.assert_array_equal(whole, wanted[160 * first :])
    counts = line.playout.counts
    assert counts.lost == pytest.approx(len(lost), abs=first + 2)  # what is lost at either end nobody knows of
    assert counts.late == counts.refused == counts.restarts == 0
    assert counts.duplicate > 0
    assert counts.lag_ms == 60.0
    assert line.counts["lost"] + counts.duplicate == pytest.approx(len(lost), abs=first + 2)


@pytest.mark.parametrize("seed", range(5))
def test_jitter_beyond_the_lag_makes_it_grow_in_silence_to_its_bound(seed: int) -> None:
    """200 ms, so that hardly a packet is in order."""
    quiet = b"\xd5" * 160
    recording = [quiet if n % 50 < 15 else one for n, one in enumerate(split(noise(3000)))]
    line = Line()
    out = line.run(flow(recording, faults=Faults(jitter_ms=200.0), seed=seed)[0], 3000)
    counts = line.playout.counts
    assert 60.0 < counts.lag_ms <= 200.0
    assert counts.reordered > 1000
    assert counts.late + counts.lost < 30
    assert counts.restarts == 0
    assert not np.isnan(out[len(out) // 2 :]).any()


@pytest.mark.parametrize("ppm", [300.0, -300.0])
def test_half_an_hour_of_drift(ppm: float) -> None:
    """300 ppm are 0.54 s in half an hour: none of it becomes lag, and nothing is lost."""
    recording = split(noise(500))
    packets, _ = flow(recording, faults=Faults(jitter_ms=20.0, drift_ppm=ppm), count=90_000)
    line = Line()
    depths = []
    out = np.zeros((160, 1), np.float32)
    waiting = iter([*packets, (np.inf, b"")])
    at_ms, data = next(waiting)
    lost = 0
    for k in range(89_900):
        while at_ms < 20.0 * k:
            line.receiver.push(data, at_ms)
            at_ms, data = next(waiting)
        line.playout.pull(20.0 * k, out, 0)
        lost += np.isnan(out).any()
        if k > 500:
            depths.append(line.playout.depth_ms)
    assert lost == 0
    assert max(depths) - min(depths) < 60.0  # 20 of jitter, 20 of a packet, the rest of drift before it is mended
    counts = line.playout.counts
    assert counts.drift_ppm == pytest.approx(ppm, abs=40.0)
    assert counts.adjusted_samples == pytest.approx(ppm * 1e-6 * 8000 * 1798, abs=200)
    assert counts.restarts == counts.late == 0


def test_another_source_is_followed_and_nothing_is_lost() -> None:
    coded = noise(100)
    line = Line()
    packets, _ = flow(split(coded), change_source_at=50)
    out = heard(line.run(packets, 110))
    np.testing.assert_array_equal(out[: 160 * 50], alaw(coded)[: 160 * 50])
    later = out[160 * 50 :]
    gap = int(np.argmax(later == alaw(coded)[160 * 50]))
    assert gap <= 160  # an arrival's rounding
    np.testing.assert_array_equal(later[gap : gap + 160 * 50], alaw(coded)[160 * 50 :])
    assert line.counts["sources"] == 2
    assert line.playout.counts.restarts == 1
    assert line.playout.counts.lost == 0


def test_a_second_source_beside_the_first_is_not_listened_to() -> None:
    coded = noise(100)
    packets = []
    for n, one in enumerate(split(coded)):
        packets.append((20.0 * n, packet(n, 160 * n, one)))
        if n > 10:
            packets.append((20.0 * n + 9.0, packet(500 + n, 99 + 160 * n, bytes(160), ssrc=9)))
    line = Line()
    np.testing.assert_array_equal(heard(line.run(packets, 106))[: len(coded)], alaw(coded))
    assert line.counts["sources"] == 1
    assert line.counts["other_source"] == 88


def test_another_coding_in_mid_stream() -> None:
    coded = noise(90)
    packets = []
    for n, one in enumerate(split(coded)):
        if n < 30:
            packets.append((20.0 * n, packet(n, 160 * n, one)))
        elif n < 60:
            samples = (32768 * alaw(one)).astype(">i2").tobytes()
            packets.append((20.0 * n, packet(n, 160 * n, samples, payload_type=11)))
        else:
            packets.append((20.0 * n, packet(n, 160 * n, one)))
    line = Line()
    np.testing.assert_array_equal(heard(line.run(packets, 96))[: len(coded)], alaw(coded))
    assert line.counts["payload_changes"] == 2
    assert line.playout.counts.restarts == 0


def test_another_clock_in_mid_stream_begins_anew_in_place() -> None:
    coded = noise(60)
    packets = []
    for n, one in enumerate(split(coded)):
        if n < 30:
            packets.append((20.0 * n, packet(n, 160 * n, one)))
        else:
            wide = np.repeat((32768 * alaw(one)).astype(">i2"), 2).tobytes()
            packets.append((20.0 * n, packet(n, 12345 + 320 * n, wide, payload_type=12)))
    line = Line()
    out = heard(line.run(packets, 66))
    np.testing.assert_array_equal(out[: 160 * 30], alaw(coded)[: 160 * 30])
    assert np.abs(out[160 * 30 + 60 : 160 * 59]).mean() > 0.05
    assert not np.isnan(out[: 160 * 59]).any()
    assert line.playout.counts.restarts == 1


# Silence


def test_silence_suppression_and_comfort_noise_are_silence() -> None:
    coded = split(noise(100))
    recording = [b"" if 20 <= n < 60 or 80 <= n < 90 else one for n, one in enumerate(coded)]
    packets, _ = flow(recording)
    sequence, timestamp, ssrc = struct.unpack("!xxHII", packets[19][1][:12])
    # Comfort noise at the first pause: it takes a sequence number.
    packets.insert(20, (400.0, packet(sequence + 1, timestamp + 160, b"\x40", 13, ssrc)))
    packets[21:] = [
        (at, data[:2] + struct.pack("!H", sequence + 2 + n & 0xFFFF) + data[4:])
        for n, (at, data) in enumerate(packets[21:])
    ]
    line = Line()
    out = heard(line.run(packets, 106))
    wanted = np.concatenate([alaw(one) if one else np.zeros(160, np.float32) for one in recording])
    np.testing.assert_array_equal(out[: 160 * 80], wanted[: 160 * 80])
    # Without comfort noise nobody knows for 200 ms that it is not lost.
    assert np.isnan(out[160 * 80 : 160 * 90]).sum() <= 1600
    assert line.counts["comfort_noise"] == 1
    assert line.playout.counts.lost == 0
    assert line.playout.counts.dtx == 2


@given(st.lists(st.booleans(), min_size=3, max_size=120), st.integers(1, 10**6))
def test_a_flow_of_talkspurts_begins_each_silence_with_comfort_noise(speaks: list[bool], seed: int) -> None:
    coded = split(noise(len(speaks)))
    recording = [one if is_said else b"" for one, is_said in zip(coded, speaks, strict=True)]
    packets, lost = flow(recording, noise_payload_type=13, seed=seed)
    sent = [n for n in range(len(speaks)) if speaks[n] or n == 0 or speaks[n - 1]]
    heads = [struct.unpack("!xBHI", data[:8]) for _, data in packets]
    assert [head[0] & 0x7F for head in heads] == [8 if speaks[n] else 13 for n in sent]
    assert [bool(head[0] & 0x80) for head in heads] == [speaks[n] and (n == 0 or not speaks[n - 1]) for n in sent]
    assert {(head[1] - heads[0][1]) & 0xFFFF for head in heads} == set(range(len(sent)))
    assert [(head[2] - heads[0][2]) & 0xFFFFFFFF for head in heads] == [160 * n for n in sent]
    assert [at_ms for at_ms, _ in packets] == [20.0 * n for n in sent]
    assert lost == []
    line = Line()
    out = line.run(packets, len(speaks) + 10)
    wanted = np.concatenate([alaw(one) if one else np.zeros(160, np.float32) for one in recording])
    spoken = 160 * max((n + 1 for n in range(len(speaks)) if speaks[n]), default=0)
    place = int(np.argmax(out != 0.0)) - int(np.argmax(wanted != 0.0)) if spoken else 0
    np.testing.assert_array_equal(out[place : place + spoken], wanted[:spoken])
    assert line.playout.counts.lost == 0
    assert line.counts["comfort_noise"] == sum(not speaks[n] for n in sent)


# Keys


def test_keys_are_told_once_and_their_time_is_silence() -> None:
    coded = noise(100)
    pressed = [(10, "1"), (30, "#"), (40, "#"), (60, "D")]
    packets, _ = flow(split(coded), keys=pressed)
    line = Line()
    out = heard(line.run(packets, 106))
    wanted = alaw(coded).copy()
    for at, _ in pressed:
        wanted[160 * at : 160 * (at + 5)] = 0.0
    np.testing.assert_array_equal(out[: len(wanted)], wanted)
    assert [key for key, _, _ in line.keys] == ["1", "#", "#", "D"]
    assert [duration_ms for _, _, duration_ms in line.keys] == [100.0] * 4
    assert [at_ms for _, at_ms, _ in line.keys] == [20.0 * at for at, _ in pressed]
    assert line.playout.counts.lost == 0
    assert line.playout.counts.restarts == 0


@pytest.mark.parametrize("lost", [{0}, {2}, {0, 1, 2, 3}, {4, 5, 6}, {3, 4, 5}])
def test_keys_survive_loss(lost: set[int]) -> None:
    coded = split(noise(40))
    packets, _ = flow(coded, keys=[(10, "7")])
    events = [n for n, (_, data) in enumerate(packets) if data[1] & 0x7F == 101]
    assert len(events) == 7
    kept = [one for n, one in enumerate(packets) if n - events[0] not in lost]
    line = Line()
    out = heard(line.run(kept, 46))
    assert [key for key, _, _ in line.keys] == ["7"]
    np.testing.assert_array_equal(out[: 160 * 10], alaw(b"".join(coded[:10])))
    # Where its end is lost, it is taken to sound for 50 ms more.
    behind = 17 if lost >= {4, 5, 6} else 15
    np.testing.assert_array_equal(out[160 * behind : 160 * 40], alaw(b"".join(coded[behind:])))
    assert not np.nan_to_num(out[160 * 10 : 160 * 15]).any()


def test_audio_beside_keys_is_masked() -> None:
    """As gateways send that leave the tone in: audio and events interleaved, of one source."""
    coded = split(noise(40))
    packets, sequence = [], 0
    for n, one in enumerate(coded):
        if 10 <= n < 15:
            payload = key_event(5, n == 14, 160 * (n - 9))
            packets.append((20.0 * n, packet(sequence, 1600, payload, 101)))
            sequence += 1
        packets.append((20.0 * n + 1.0, packet(sequence, 160 * n, one)))
        sequence += 1
    line = Line()
    out = heard(line.run(packets, 46))
    assert not out[160 * 10 : 160 * 15].any()
    np.testing.assert_array_equal(out[160 * 15 : 160 * 40], alaw(b"".join(coded[15:])))
    assert line.counts["masked"] == 5
    assert line.playout.counts.lost == 0


def test_keys_of_a_source_of_their_own_do_not_disturb_the_audio() -> None:
    """As sipp plays them: another SSRC, sequence and timestamps."""
    coded = split(noise(40))
    packets = [(20.0 * n, packet(n, 160 * n, one)) for n, one in enumerate(coded)]
    packets += [
        (20.0 * n - 1.0, packet(900 + n, 77_000, key_event(9, n == 14, 160 * (n - 9)), 101, ssrc=99))
        for n in range(10, 15)
    ]
    line = Line()
    out = heard(line.run(sorted(packets), 46))
    assert [key for key, _, _ in line.keys] == ["9"]
    assert not out[160 * 10 : 160 * 14].any()  # masked while it sounds
    np.testing.assert_array_equal(out[160 * 15 : 160 * 40], alaw(b"".join(coded[15:])))
    assert line.playout.counts.restarts == 0


@pytest.mark.parametrize("payload_type", [102, 14])
def test_what_claims_another_clock_than_the_audio_moves_nothing(payload_type: int) -> None:
    """Keys and comfort noise at 48 kHz beside PCMA, as some SDP says them."""
    coded = split(noise(60))
    packets = []
    for n, one in enumerate(coded):
        if 10 <= n < 15 and payload_type == 102:
            event = key_event(5, n == 14, 960 * (n - 9))
            packets.append((20.0 * n, packet(n, 0x7000_0000, event, payload_type)))
        elif 10 <= n < 15:
            packets.append((20.0 * n, packet(n, 160 * n, b"", payload_type)))
        else:
            packets.append((20.0 * n, packet(n, 160 * n, one)))
    line = Line()
    out = heard(line.run(packets, 66))
    wanted = alaw(b"".join(coded)).copy()
    wanted[1600:2400] = 0.0
    np.testing.assert_array_equal(out[: len(wanted)], wanted)
    assert [key for key, _, _ in line.keys] == (["5"] if payload_type == 102 else [])
    counts = line.playout.counts
    assert counts.restarts == counts.lost == 0
    assert counts.lag_ms == 60.0


# Hold


def test_on_hold_there_is_silence_and_nothing_is_lost() -> None:
    coded = split(noise(200))
    packets, _ = flow(coded)
    for sends_music in (True, False):
        line = Line()
        out = np.zeros((206, 160, 1), np.float32)
        waiting = [one for one in packets if sends_music or not 1000.0 <= one[0] < 2000.0]
        for k in range(206):
            if k in (50, 100):
                line.receiver.set_held(k == 50)
            while waiting and waiting[0][0] < 20.0 * k:
                at_ms, data = waiting.pop(0)
                line.receiver.push(data, at_ms)
            line.playout.pull(20.0 * k, out[k], 0)
        samples = heard(out.reshape(-1))
        np.testing.assert_array_equal(samples[: 160 * 49], alaw(b"".join(coded[:49])))
        assert not samples[160 * 50 : 160 * 99].any()
        np.testing.assert_array_equal(samples[160 * 101 : 160 * 200], alaw(b"".join(coded[101:])))


# Codings


def tone(seconds: float = 2.0) -> NDArray[np.float32]:
    at = np.arange(int(8000 * seconds)) / 8000.0
    swept = scipy.signal.chirp(at, 200.0, seconds, 3300.0)
    return (0.3 * swept).astype(np.float32)


def aligned(out: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[int, float]:
    """How many samples later, and how far apart in dB below the wanted."""
    middle = wanted[2000:12000]
    found = int(np.argmax(np.correlate(np.nan_to_num(out[: len(wanted)]), middle, "valid"))) - 2000
    gap = out[found + 2000 : found + 12000] - middle
    return found, float(10 * np.log10(np.mean(gap**2) / np.mean(middle**2)))


def test_g722_is_the_other_decoders_to_the_bit() -> None:
    """Against FFmpeg's, which passes the ITU's test sequences."""
    rng = np.random.default_rng(3)
    speech = b"".join(coded_packets(tone(), G722))
    for coded in (rng.integers(0, 256, 32_000).astype(np.uint8).tobytes(), bytes(8000) + b"\xff" * 8000, speech):
        codec: Any = av.CodecContext.create("g722", "r")
        codec.sample_rate, codec.layout = 16000, "mono"
        frames = [*codec.decode(av.Packet(coded)), *codec.decode(None)]
        wanted = np.concatenate([one.to_ndarray().reshape(-1) for one in frames])
        np.testing.assert_array_equal(_native.decode_g722(coded) * 32768, wanted)


def test_halving_keeps_the_telephone_band_and_folds_nothing_into_it() -> None:
    at = np.arange(32_000) / 16000.0
    for hz, least, most in [
        (50, -0.01, 0.01),
        (3400, -0.01, 0.01),
        (3600, -0.1, 0.1),
        (4400, -200, -60),
        (7000, -200, -70),
    ]:
        out = _native.halve(np.sin(2 * np.pi * hz * at).astype(np.float32))[1000:]
        assert least <= 10 * np.log10(2 * np.mean(out.astype(float) ** 2) + 1e-20) <= most, hz


@pytest.mark.parametrize("reorder", [0.0, 0.2])
def test_g722_in_any_order_is_g722_in_order(reorder: float) -> None:
    recording = coded_packets(tone(), G722)
    line, straight = Line(), Line()
    packets, _ = flow(recording, 9, G722, faults=Faults(reorder=reorder, jitter_ms=25.0))
    out = heard(line.run(packets, 108))
    ordered = heard(straight.run(flow(recording, 9, G722)[0], 108))
    np.testing.assert_array_equal(out[:15_900], ordered[:15_900])
    late, error_db = aligned(out, tone())
    assert 15 < late < 60
    assert error_db < -25.0
    assert (line.playout.counts.reordered > 0) == (reorder > 0 or line.playout.counts.reordered > 0)


def test_wide_l16() -> None:
    wide = scipy.signal.resample_poly(tone(), 2, 1)
    codes = np.clip(np.round(wide * 32768), -32768, 32767).astype(">i2").tobytes()
    packets, _ = flow(split(codes, 640), 12, WIDE)
    line = Line()
    late, error_db = aligned(heard(line.run(packets, 108)), tone())
    assert 20 <= late <= 24  # 46 at 16 kHz
    assert error_db < -45.0


@pytest.mark.parametrize(
    ("name", "clock_hz", "channels"), [("L16", 44100, 1), ("PCMU", 16000, 1), ("L16", 8000, 2), ("iLBC", 8000, 1)]
)
def test_codings_that_we_do_not_take(name: str, clock_hz: int, channels: int) -> None:
    assert coding_of(name, clock_hz, channels) is None


def test_codings_that_we_take() -> None:
    assert coding_of("PCMA", 8000) == PCMA
    assert coding_of("opus", 48000, 2) == OPUS
    assert coding_of("G722", 8000) == G722 == STATIC_PAYLOADS[9]
    assert coding_of("telephone-event", 8000) == KEYS
    assert STATIC_PAYLOADS[18] == G729
