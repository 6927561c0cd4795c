"""How many calls are carried: the search on made-up machines, the load's frames, and real calls through real doors.

Nothing here is timed: what a machine carries depends on who else is at work on it.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import vocal
from test_conversation import utterance
from vocal.benchmarks import capacity, latency, load, voices
from vocal.benchmarks import running as running_of
from vocal.benchmarks.asked import Asked
from vocal.benchmarks.contenders import contest
from vocal.benchmarks.load import Begun, Counts, Opened, Settings, framed, opened_frame
from vocal.benchmarks.running import Ended, Window, ceiling, running
from vocal.benchmarks.search import Search
from vocal_kernels import _native
from websockets.frames import Frame
from websockets.streams import StreamReader

from vocal.errors import InputError
from vocal.replays.rtp import RtpSender
from vocal.types import ChannelLevels, Levels, Mood

# The search


@given(
    st.integers(0, 4000),
    st.integers(1, 300),
    st.integers(300, 3200),
    st.sampled_from([0.02, 0.05, 0.5]),
    st.sampled_from([1, 10, 25]),
)
def test_the_search_finds_what_a_machine_carries(carries: int, first: int, most: int, step: float, grain: int) -> None:
    search = Search(first, most, step, grain)
    while search.next is not None:
        assert 1 <= search.next <= most
        assert search.next not in [one.count for one in search.tried]
        search.tell(search.next <= carries)
    assert search.carried <= carries
    if search.failed is None:
        assert search.carried == most
    else:
        assert search.failed > carries
        assert search.failed - search.carried <= max(grain, step * search.carried) or search.failed == 1
    assert (search.carried == 0) == (carries == 0)
    assert len(search.tried) < 30


@given(st.integers(1, 2000), st.integers(0, 10**6), st.floats(0.0, 0.4))
def test_noise_never_makes_it_more(carries: int, seed: int, fails: float) -> None:
    """Others on the machine make a count fail that is carried, and never one be carried that is not."""
    chance = np.random.default_rng(seed)
    search, once = Search(100, 3200, 0.05, 25, tries=2), Search(100, 3200, 0.05, 25)
    for one in (search, once):
        while one.next is not None:
            one.tell(one.next <= carries and chance.random() >= fails)
        assert one.carried <= carries
        assert len(one.tried) < 60
    counts = [one.count for one in search.tried]
    assert max(counts.count(count) for count in counts) <= 2


def test_a_second_try_saves_a_count() -> None:
    search = Search(100, 200, 0.05, 25, tries=2)
    for is_carried in (False, True, True):
        search.tell(is_carried)
    assert (search.carried, search.failed, search.next) == (200, None, None)


# What is judged


def window(**changes: object) -> Window:
    plain: dict[str, object] = dict.fromkeys(Window._fields, 0.0)
    plain.update(calls=10, channels=20, threads={"clock": 0.1}, cores=0.5, idle_cores=0.1, sent=1000, sent_late=0)
    return Window(**{**plain, **changes})  # type: ignore[arg-type]


def test_each_limit_is_named_where_it_is_passed() -> None:
    taken = Opened(10, 0)
    assert capacity.Trial(10, taken, window(), [450.0]).why_not == ""
    for changes, said in (
        ({"tick_p99_ms": 21.0}, "tick p99 21 ms"),
        ({"lost": 1}, "packets lost by us 1 packets"),
        ({"late": 2}, "packets too late 0.2 %"),
        ({"sent_late": 11}, "packets sent late 1.1 %"),
        ({"closed": 3, "why": "1013 full"}, "calls ended by the server 3 calls (1013 full)"),
    ):
        assert capacity.Trial(10, taken, window(**changes), [450.0]).why_not == said
    assert "p95 700 ms" in capacity.Trial(10, taken, window(), [700.0]).why_not
    assert "p95 inf" in capacity.Trial(10, taken, window(ended_s=6.0), []).why_not
    assert capacity.Trial(10, taken, window(ended_s=4.0), []).why_not == ""
    assert capacity.Trial(10, Opened(9, 1, "503 full"), None, []).why_not == "calls refused 1 calls (503 full)"
    assert window().channel_us_s == pytest.approx(20_000.0)
    assert Ended(100, 97, 1).missing == 3


def test_what_is_heard_is_measured_from_its_packet() -> None:
    begun = [Begun("c", 100.0, 0)]
    said = utterance("customer", 1.0, 2.5)  # its last packet is number 124, its first 50
    sides = (ChannelLevels(0, "agent", 0.0, None, None, None), ChannelLevels(1, "customer", 0.9, None, None, None))
    levels = [latency.Heard(101.0 + at_s, Levels(call="c", at_s=1.0 + at_s, channels=sides)) for at_s in (-0.1, 0.3)]
    mood = Mood(call="c", at_s=2.9, role="customer", valence=0.5, arousal=0.5, stress=0.0, trend=0.0, confidence=1.0)
    heard = [latency.Heard(102.93, said), latency.Heard(102.95, mood)]
    found = latency.late(heard, levels, begun, 100.0, 110.0)
    assert found.event == pytest.approx([450.0])
    assert found.mood == pytest.approx([470.0])
    assert found.levels == pytest.approx([300.0])
    assert found.endpointing == pytest.approx([300.0])
    assert latency.late(heard, levels, begun, 103.0, 110.0).event == []
    assert latency.late(heard, levels, [], 100.0, 110.0).event == []


def test_a_change_of_mood_is_measured_from_its_first_word() -> None:
    first, second = latency.onsets()
    assert 0 <= first < 50 <= 500 <= second < 550
    begun = [Begun("c", 0.0, 0)]
    heard = []
    for at_s in np.arange(0.5, 60.0, 0.5).tolist():
        manner = 1 if (at_s - 2.0) % 20.0 >= 10.0 else 0  # told two seconds behind
        mood = Mood(
            call="c", at_s=at_s, role="customer", valence=0.2 if manner else 0.7, arousal=0.5, stress=0.0, trend=0.0,
            confidence=1.0,
        )  # fmt: skip
        heard.append(latency.Heard(at_s, mood))
    changes = latency.changes(heard, begun, 5.0, 55.0)
    expected = [2000.0 - 20.0 * second, 2000.0 - 20.0 * first]
    assert len(changes) >= 3
    assert all(min(abs(one - want % 10_000.0) for want in expected) <= 520.0 for one in changes)
    flat = [one._replace(event=mood) for one in heard]
    assert latency.changes(flat, begun, 5.0, 55.0) == []


# The load's frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 320, 1300])
@pytest.mark.parametrize("is_text", [False, True])
def test_frames_are_what_a_second_reader_reads(size: int, is_text: bool) -> None:
    payload = np.random.default_rng(size).integers(32, 127, size, np.uint8).tobytes()
    reader = StreamReader()
    reader.feed_data(framed(payload, is_text))
    parsing = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    frame = done.value.value
    assert (frame.data, int(frame.opcode), frame.fin) == (payload, 1 if is_text else 2, True)


def test_an_answer_is_read_when_all_of_it_is_here() -> None:
    for size in (5, 125, 126, 1000):
        text = b"x" * size
        answer = bytes((0x81, size)) + text if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big") + text
        assert all(opened_frame(answer[:cut]) is None for cut in range(len(answer)))
        assert opened_frame(answer + b"more") == text


@contextlib.contextmanager
def sending(frames: list[bytes], count: int, every_ms: float) -> Iterator[tuple[socket.socket, object]]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    theirs.setblocking(False)
    sender = _native.FrameSender(every_ms)
    sender.add(_native.Recording(frames), theirs.detach(), 0, count, 0.0)
    sender.start()
    try:
        ours.settimeout(10.0)
        yield ours, sender
    finally:
        sender.stop()
        ours.close()


def received(ours: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += ours.recv(1000)
    return data


def test_a_socket_that_takes_little_gets_every_frame_in_order() -> None:
    frames = [framed(bytes((n,)) * 1300) for n in range(40)]
    with sending(frames, 120, 0.5) as (ours, sender):
        time.sleep(0.3)  # its buffer is full
        assert received(ours, 3 * len(b"".join(frames))) == 3 * b"".join(frames)
        time.sleep(0.05)
        counts = sender.counts()  # type: ignore[attr-defined]
    assert (counts["frames"], counts["octets"]) == (120, 3 * len(b"".join(frames)))
    assert counts["blocked"] > 0
    assert counts["closed"] == 0


def next_frame(reader: StreamReader, ours: socket.socket) -> Frame:
    parsing = Frame.parse(reader.read_exact, mask=True)
    while True:
        try:
            next(parsing)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        reader.feed_data(ours.recv(1500))


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_numbers_in_frames_go_on(begins: int, step: int, mask: int) -> None:
    """Under any mask, and whatever the others say: two frames of one recording, sent twice."""
    load_mask, load.MASK = load.MASK, mask.to_bytes(4, "big")
    try:
        frames = [framed(b'{"n": "00000000", "x": "%d"}' % n, is_text=True) for n in (1, 2)]
    finally:
        load.MASK = load_mask
    ours, theirs = socket.socketpair()
    sender = _native.FrameSender(0.1)
    sender.add(_native.Recording(frames), theirs.detach(), 1, 4, 0.0, [(6 + 7, 8, begins, step)])
    sender.start()
    try:
        ours.settimeout(10.0)
        reader = StreamReader()
        heard = [next_frame(reader, ours).data for _ in range(4)]
    finally:
        sender.stop()
        ours.close()
    wanted = [b'{"n": "%08d", "x": "%d"}' % (begins + step * n, (n + 1) % 2 + 1) for n in range(4)]
    assert heard == wanted


def test_numbers_have_their_place_in_each_frame() -> None:
    sender = _native.FrameSender(1.0)
    with pytest.raises(ValueError, match="stamps: wanted digits within each of the frames"):
        sender.add(_native.Recording([b"x" * 10, b"x" * 5]), 0, 0, 1, 0.0, [(3, 3, 0, 1)])


def test_why_a_peer_goes_is_told() -> None:
    ours, theirs = socket.socketpair()
    sender = _native.FrameSender(1.0)
    sender.add(_native.Recording([b"x"]), theirs.detach(), 0, 10**6, 0.0)
    ours.sendall(b"\x88\x06\x03\xf5full")
    sender.start()
    until = time.monotonic() + 10.0
    while sender.counts()["closed"] == 0:
        assert time.monotonic() < until
        time.sleep(0.01)
    sender.stop()
    ours.close()
    assert sender.counts()["why"] == "1013 full"


def test_a_ping_is_answered_between_two_frames() -> None:
    frames = [framed(bytes((n,)) * 1000) for n in range(50)]
    with sending(frames, 200, 10.0) as (ours, sender):
        ours.sendall(b"\x81\x05hello\x89")
        ours.sendall(b"\x03abc")
        reader, seen = StreamReader(), []
        while 0xA not in seen:
            frame = next_frame(reader, ours)
            seen.append(int(frame.opcode))
            assert len(frame.data) == (3 if frame.opcode == 0xA else 1000)
        assert frame.data == b"abc"
        assert sender.counts()["pongs"] == 1  # type: ignore[attr-defined]


def test_a_peer_that_goes_is_counted_and_the_others_go_on() -> None:
    frames = [framed(b"x" * 320)]
    one, gone = socket.socketpair(), socket.socketpair()
    sender = _native.FrameSender(2.0)
    recording = _native.Recording(frames)
    for _, theirs in (one, gone):
        sender.add(recording, theirs.detach(), 0, 10**6, 0.0)
    sender.start()
    gone[0].close()
    until = time.monotonic() + 10.0
    while sender.counts()["closed"] == 0:
        assert time.monotonic() < until
        time.sleep(0.01)
    before = sender.counts()["frames"]
    one[0].settimeout(10.0)
    received(one[0], 50 * len(frames[0]))
    assert sender.counts()["frames"] > before
    sender.stop()
    one[0].close()
    assert sender.counts()["closed"] == 1


def test_streams_are_added_while_others_are_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            one.settimeout(10.0)
        sender = RtpSender("127.0.0.1", own_ports=False, stays=True)
        sender.start()
        packets = [b"\xd5" * 160] * 5
        for one in (first, second):
            sender.add(packets, ("127.0.0.1", one.getsockname()[1]), 8, start_ms=sender.now_ms())
            assert [len(one.recv(2000)) for _ in packets] == [172] * 5
        sender.stop()
        assert sender.counts.packets == 10


# Contenders


def test_contenders_have_processes_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A peer that is not installed, and one that crashes, are named; the others are measured as often as asked."""
    (tmp_path / "pysptk.py").write_text("raise ImportError")
    (tmp_path / "librosa.py").write_text("import os; os._exit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    speech = np.random.default_rng(1).normal(0.0, 0.05, 6 * 8000).astype(np.float32)
    found, missing = contest(("vocal", "RAPT", "librosa pYIN", "webrtcvad"), speech, 2)
    assert {who: len(one.times_s) for who, one in found.items()} == {"vocal": 2, "webrtcvad": 2}
    assert all(time_s > 0.0 for one in found.values() for time_s in one.times_s)
    assert missing == {"RAPT": "not installed: pip install pysptk 'setuptools<81'", "librosa pYIN": "its process ended"}
    assert multiprocessing.active_children() == []


# Real calls


@pytest.mark.parametrize("door", ["sip", "websocket", "twilio"])
def test_real_calls_are_carried_and_counted(door: load.Door) -> None:
    with running(Settings(door), takes_all=True) as found:
        listener = latency.Listener(found.server.url, ("utterance",))
        for calls in (2, 5):
            opened = found.open(calls)
            assert (opened.refused, found.calls) == (0, calls), opened.why
        seen = found.measure(3.0)
        begun = found.load.begun()
        ended = found.end()
        listener.close()
    assert len({one.call for one in begun}) == 5
    assert (seen.calls, seen.channels) == (5, 10)
    assert ended.missing == 0
    assert ended.sent > 10 * 50 * 3
    assert {"event loop", "clock", "emotion"} <= set(seen.threads)
    assert ("media plane" in seen.threads) == (door == "sip")
    assert 0.0 < seen.cores < os.cpu_count()  # type: ignore[operator]
    assert seen.rss_mb > 50.0
    assert seen.switches_s > 0.0
    assert {one.event.call for one in listener.heard} <= {one.call for one in begun}
    assert (seen.closed, seen.why, seen.silent) == (0, "", 0)
    trial = capacity.Trial(5, Opened(5, 0), seen, [450.0])
    rows = list(capacity.trial_rows(trial, Settings(door)))
    assert {"tick p99", "packets lost by us", "CPU of a channel"} < {row.name for row in rows}
    (cost,) = [row for row in rows if row.name == "CPU of a channel"]
    assert len(cost.repeats) == 5
    assert np.mean(cost.repeats) == pytest.approx(cost.value, rel=0.1, abs=cost.grain)


@pytest.mark.parametrize(
    "asked",
    [
        Settings("sip", loss=0.05),
        Settings("sip", talkspurts=True),
        Settings("sip", loss=0.05, jitter_ms=30.0, talkspurts=True),
        Settings("webrtc", loss=0.05),
    ],
    ids=lambda one: one.way,
)
def test_what_happens_on_the_way_is_not_lost_by_us(asked: Settings) -> None:
    """What is left out is what the server misses, packet by packet; silence that is not sent it does not."""
    with running(asked, takes_all=True) as found:
        listener = latency.Listener(found.server.url, ("utterance",))
        found.open(4)
        seen = found.measure(5.0)
        begun = found.load.begun()
        counts: Counts = found.load.counts()
        ended = found.end()
        listener.close()
    lost, silent = asked.loss > 0.0, asked.talkspurts
    assert seen.lost == 0
    assert ended.missing == 0
    assert ended.lost == ended.left_out
    assert (ended.left_out > 0) == lost
    assert (counts.silent > 0.1 * counts.packets) == silent
    if lost:
        assert 0.01 < counts.left_out / (counts.packets + counts.left_out) < 0.12
    if asked.door == "sip":  # its words are told at their times, whatever was not sent
        late_ms = latency.late(list(listener.heard), (), begun, seen.begun_s, seen.ended_s).event
        assert late_ms
        assert min(late_ms) > 350.0


def test_what_chance_makes_of_a_windows_ends_is_no_loss() -> None:
    assert running_of._beyond(0, 0, 10.0) == 0
    assert running_of._beyond(3, 0, 10.0) == 3
    assert running_of._beyond(50_100, 50_000, 10.0) == 0
    assert running_of._beyond(50_500, 50_000, 10.0) > 300


def test_talkspurts_are_where_somebody_speaks() -> None:
    (both,) = voices.said("call")
    customer = both[1]
    spurts = voices.talkspurts(customer)
    assert len(spurts) == len(customer) // 160
    level = np.sqrt((customer.reshape(-1, 160) ** 2).mean(axis=1))
    assert 0.05 < spurts.mean() < 0.9
    assert (level[~spurts] ** 2).sum() < 0.02 * (level**2).sum()
    assert not voices.talkspurts(np.zeros(16_000, np.float32)).any()


def test_nothing_outlives_the_run() -> None:
    code = (
        "from vocal.benchmarks.running import *; import time\n"
        "with running(Settings('sip')) as found:\n"
        "    print(found.server.pid, found.load.pid, flush=True)\n"
        "    time.sleep(100.0)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd="/") as run:
        assert run.stdout is not None
        children = [int(one) for one in run.stdout.readline().split()]
        assert len(children) == 2
        run.send_signal(signal.SIGKILL)
    until = time.monotonic() + 40.0
    while any(os.path.exists(f"/proc/{one}") for one in children):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_too_few_open_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocal.benchmarks.running.raise_file_limit", lambda: 1024)
    assert ceiling("sip", 3200) == 181
    assert ceiling("sip", 100) == 100
    monkeypatch.setattr("vocal.benchmarks.running.raise_file_limit", lambda: 256)
    with pytest.raises(InputError, match="too few open files: wanted 304, this system gives 256"):
        ceiling("sip", 3200)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("capacity", "sipp"), "did you mean 'sip'"),
        (("speed", "sip"), "topics are of accuracy and capacity"),
        (("speed", "--calls", "5"), "wanted vocal bench capacity sip --calls N"),
        (("capacity", "sip", "--calls", "0"), "wanted vocal bench capacity sip --calls N"),
        (("capacity", "--minutes", "0"), "--minutes: wanted more than 0"),
        (("live",), "invalid choice"),
        (("capacity", "sip", "--loss", "70"), "--loss: wanted 0 to 50 %, got 70"),
        (("capacity", "sip", "--jitter", "-1"), "--jitter: wanted 0 to 500 ms, got -1"),
        (("capacity", "websocket", "--loss", "5"), "wanted sip or webrtc, got websocket: nothing gets lost on the way"),
        (("capacity", "twilio", "--loss", "5"), "over TCP what is lost is sent again"),
        (("capacity", "webrtc", "--talkspurts"), "--talkspurts: wanted sip, got webrtc"),
        (("capacity", "tick", "--loss", "5"), "--loss: wanted sip or webrtc, got tick"),
        (("latency", "--loss", "5"), "wanted vocal bench capacity sip"),
    ],
)
def test_wrong_use_is_named(asked: tuple[str, ...], said: str) -> None:
    result = vocal("bench", *asked)
    assert result.returncode == 2
    assert said in result.stderr


def test_what_was_asked_is_kept_and_said() -> None:
    asked = Asked(("capacity",), ("sip",), None, False, None, loss=0.05, jitter_ms=20.0, with_talkspurts=True)
    kept = asked.settings()
    assert (kept["loss"], kept["jitter"], kept["talkspurts"]) == ("5 %", "20 ms", "yes")
    assert asked.has_faults
    assert not Asked(("capacity",), (), None, False, None).has_faults
    way = capacity._settings("sip", asked).way
    assert way == "SIP, two G.711 streams, 5 % loss, 20 ms jitter, talkspurts"
    assert Settings("twilio").way == load.DOORS["twilio"].title
