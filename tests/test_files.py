"""Recordings as 8 kHz PCM: known signals, every way of cutting them, and every bad input."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vocal.errors import InputError, UsageError
from vocal.transports.files import CallSource, Recording, find_recordings, open_call, open_pair, open_recording
from vocal.types import Channel

ROOT = Path(__file__).parents[1]
Pcm = NDArray[np.float32]


def tone(hz: float, rate_hz: int, duration_s: float, amplitude: float = 0.5) -> Pcm:
    t = np.arange(round(rate_hz * duration_s)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def noise(n: int, channels: int = 1) -> Pcm:
    return np.random.default_rng(7).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def encode(path: Path, codec: str | None, rate_hz: int, pcm: Pcm, video: bool = False) -> None:
    """What only FFmpeg writes. `pcm` is (n, channels)."""
    layout = {1: "mono", 2: "stereo"}[pcm.shape[1]]
    with av.open(str(path), "w") as container:
        if video:
            picture: Any = container.add_stream("mpeg4", rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        if codec:
            stream: Any = container.add_stream(codec, rate=rate_hz, layout=layout)
            if codec == "wmav2":
                stream.bit_rate = 96_000
            context = stream.codec_context
            resampler = av.AudioResampler(context.format.name, layout, rate_hz, context.frame_size or 1024)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T), "fltp", layout)
            frame.sample_rate = rate_hz
            for part in [*resampler.resample(frame), *resampler.resample(None), None]:
                container.mux(stream.encode(part))
        if video:
            for pts in range(10):
                image = av.VideoFrame(64, 48, "yuv420p")
                image.pts = pts
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))


def read_all(source: Recording | CallSource, n_samples: int = 4_000) -> Pcm:
    pieces = []
    while len(piece := source.read(n_samples)):
        pieces.append(piece)
    return np.concatenate(pieces) if pieces else source.read(0)


def read_file(path: Path, n_samples: int = 4_000) -> Pcm:
    with open_recording(path) as recording:
        return read_all(recording, n_samples)


def peak_hz_and_amplitude(pcm: Pcm) -> tuple[float, float]:
    """Of a lone sine, from the middle of the signal: encoders and filters fade at the ends."""
    middle = pcm[len(pcm) // 4 : len(pcm) // 4 + 8_000].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(np.argmax(spectrum) * 8_000 / len(middle)), float(np.sqrt(2 * np.mean(middle**2)))


# --- what comes out of a good recording -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.au", "a.w64", "a.rf64", "a.caf"])
def test_8_khz_passes_bit_exact(tmp_path: Path, name: str) -> None:
    counts = np.random.default_rng(1).integers(-32768, 32768, (20_001, 2), dtype=np.int16)
    soundfile.write(tmp_path / name, counts, 8_000, subtype="PCM_16")
    with open_recording(tmp_path / name) as recording:
        pcm = read_all(recording)
        assert (recording.channels, recording.source_rate_hz, recording.duration_s) == (2, 8_000, 20_001 / 8_000)
        assert not recording.truncated
        assert recording.bad_samples == 0
    np.testing.assert_array_equal(pcm, counts / np.float32(32768))
    assert pcm.dtype == np.float32
    assert pcm.flags.c_contiguous


@pytest.mark.parametrize(("subtype", "tolerance"), [("ALAW", 0.02), ("ULAW", 0.02), ("PCM_24", 1e-6), ("FLOAT", 0)])
def test_wav_codings(tmp_path: Path, subtype: str, tolerance: float) -> None:
    wanted = tone(440, 8_000, 1)
    soundfile.write(tmp_path / "a.wav", wanted, 8_000, subtype=subtype)
    with open_recording(tmp_path / "a.wav") as recording:
        assert recording.codec == f"wav {subtype.lower()}"
        np.testing.assert_allclose(read_all(recording)[:, 0], wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 11_025, 16_000, 22_051, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_resampling_keeps_a_sine(tmp_path: Path, rate_hz: int, channels: int) -> None:
    n = rate_hz * 3 + 17
    pcm = np.stack([tone(440 * (c + 1), rate_hz, n / rate_hz, 0.5 / (c + 1)) for c in range(channels)], axis=1)
    soundfile.write(tmp_path / "a.wav", pcm, rate_hz, subtype="FLOAT")
    got = read_file(tmp_path / "a.wav")
    assert abs(len(got) - round(n / rate_hz * 8_000)) <= 1
    for c in range(channels):
        hz, amplitude = peak_hz_and_amplitude(got[:, c])
        assert hz == pytest.approx(440 * (c + 1), abs=1)
        assert amplitude == pytest.approx(0.5 / (c + 1), rel=1e-3)
    # No shift in time either: the sine stands where it stood.
    np.testing.assert_allclose(got[2_000:-2_000, 0], tone(440, 8_000, 4)[2_000 : len(got) - 2_000], rtol=0, atol=1e-3)


def test_resampling_removes_what_8_khz_cannot_hold(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(6_000, 44_100, 3), 44_100, subtype="FLOAT")
    assert peak_hz_and_amplitude(read_file(tmp_path / "a.wav")[:, 0])[1] < 1e-4


def test_blocks_join_without_a_seam(tmp_path: Path) -> None:
    pcm = noise(44_100 * 2)
    soundfile.write(tmp_path / "a.wav", pcm, 44_100, subtype="FLOAT")
    np.testing.assert_allclose(
        read_file(tmp_path / "a.wav"), soxr.resample(pcm, 44_100, 8_000, quality="HQ"), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels", "spoken"),
    [
        ("a.m4a", "aac", 44_100, 1, "mov aac"),
        ("a.m4a", "aac", 48_000, 2, "mov aac"),
        ("a.amr", "libopencore_amrnb", 8_000, 1, "amr amr_nb"),
        ("a.webm", "libopus", 48_000, 2, "matroska opus"),
        ("a.wma", "wmav2", 44_100, 2, "asf wmav2"),
        ("a.mp3", "libmp3lame", 44_100, 2, "mp3 mp3"),
        ("a.mkv", "pcm_s16le", 16_000, 2, "matroska pcm_s16le"),
    ],
)
def test_ffmpeg_formats(tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int, spoken: str) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    encode(tmp_path / name, codec, rate_hz, np.repeat(tone(440, rate_hz, 3)[:, None], channels, axis=1))
    with open_recording(tmp_path / name) as recording:
        pcm = read_all(recording)
        assert (recording.codec, recording.source_rate_hz, recording.channels) == (spoken, rate_hz, channels)
        assert recording.duration_s == pytest.approx(3, abs=0.1)
        assert not recording.truncated
    assert len(pcm) == pytest.approx(24_000, abs=600)
    for c in range(channels):
        hz, amplitude = peak_hz_and_amplitude(pcm[:, c])
        assert hz == pytest.approx(440, abs=1)
        assert amplitude == pytest.approx(0.5, rel=0.15)


def test_sound_of_a_video(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", "aac", 44_100, tone(440, 44_100, 3)[:, None], video=True)
    assert peak_hz_and_amplitude(read_file(tmp_path / "a.mp4")[:, 0])[0] == pytest.approx(440, abs=1)


def test_many_channels_in_ffmpeg(tmp_path: Path) -> None:
    """More planes than FFmpeg's frame has room for in its first table; a cut CAF is none of libsndfile's."""
    pcm = np.arange(1, 18, dtype=np.float32) / 32 * np.ones((4_000, 1), np.float32)
    soundfile.write(tmp_path / "a.caf", pcm, 8_000, subtype="PCM_16")
    (tmp_path / "a.caf").write_bytes((tmp_path / "a.caf").read_bytes()[:-34_000])
    with open_recording(tmp_path / "a.caf") as recording:
        assert recording.codec == "caf pcm_s16be"
        np.testing.assert_array_equal(read_all(recording), pcm[:3_000])


@pytest.mark.parametrize(("suffix", "silence", "loudest"), [(".al", 0xD5, 0xAA), (".pcmu", 0xFF, 0x80)])
def test_headerless_g711(tmp_path: Path, suffix: str, silence: int, loudest: int) -> None:
    pytest.importorskip("vocal_kernels._native")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(bytes([silence]) * 9_000 + bytes([loudest]) * 1_001)
    with open_recording(path) as recording:
        assert (recording.channels, recording.source_rate_hz) == (1, 8_000)
        assert recording.duration_s == 10_001 / 8_000
        pcm = read_all(recording)
    assert pcm.shape == (10_001, 1)
    np.testing.assert_allclose(pcm[:9_000], 0, atol=0.001)
    np.testing.assert_allclose(pcm[9_000:], 0.98, atol=0.01)


@pytest.mark.parametrize("coding", ["alaw", "ulaw"])
def test_headerless_g711_equals_the_same_bytes_in_a_wav(tmp_path: Path, coding: str) -> None:
    pytest.importorskip("vocal_kernels._native")
    payload = np.random.default_rng(3).integers(0, 256, 9_999, dtype=np.uint8).tobytes()
    (tmp_path / f"a.{coding}").write_bytes(payload)
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8_000, 1, subtype=coding.upper()) as wav:
        wav.write(np.zeros(len(payload), np.float32))
    whole = bytearray((tmp_path / "a.wav").read_bytes())
    at = whole.index(b"data") + 8
    whole[at : at + len(payload)] = payload
    (tmp_path / "a.wav").write_bytes(whole)
    np.testing.assert_allclose(read_file(tmp_path / f"a.{coding}"), read_file(tmp_path / "a.wav"), atol=1e-4)


@pytest.fixture(scope="module")
def any_rate(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, Pcm]]:
    made = {}
    for rate_hz in (8_000, 16_000, 44_100):
        path = tmp_path_factory.mktemp("rates") / f"{rate_hz}.wav"
        soundfile.write(path, noise(rate_hz * 2 + 3, 2), rate_hz, subtype="FLOAT")
        made[rate_hz] = (path, read_file(path, 1_000_000))
    return made


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 9_000), min_size=1, max_size=30))
def test_any_cut_gives_the_same_samples(any_rate: dict[int, tuple[Path, Pcm]], rate_hz: int, sizes: list[int]) -> None:
    path, whole = any_rate[rate_hz]
    at = 0
    with open_recording(path) as recording:
        for size in [*sizes, 1_000_000, 5]:
            piece = recording.read(size)
            assert piece.shape == (min(size, len(whole) - at), 2)
            assert piece.flags.c_contiguous
            np.testing.assert_array_equal(piece, whole[at : at + size])
            at += len(piece)
    assert at == len(whole)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg"])
def test_packet_formats_in_ticks_equal_one_read(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, noise(20_000), 16_000)
    whole = read_file(tmp_path / name, 1_000_000)
    assert len(whole) == pytest.approx(10_000, abs=1)
    np.testing.assert_array_equal(read_file(tmp_path / name, 160), whole)


def test_what_read_returns_is_the_readers_own(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(8_000), 8_000, subtype="FLOAT")
    with open_recording(tmp_path / "a.wav") as recording:
        recording.read(100)[:] = 9.0
        rest = recording.read(8_000)
    np.testing.assert_array_equal(rest, noise(8_000)[100:])


@pytest.mark.parametrize("name", ["hour.wav", "hour.flac"])
def test_an_hour_in_bounded_memory(tmp_path: Path, name: str) -> None:
    minute = np.stack([tone(440, 8_000, 60), tone(220, 8_000, 60)], axis=1)
    with soundfile.SoundFile(tmp_path / name, "w", 8_000, 2, subtype="PCM_16") as sound:
        for _ in range(60):
            sound.write(minute)
    # In a process of its own: the highest memory of this one was set by other tests.
    script = """
import resource, sys
from vocal.transports.files import open_recording
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_recording(sys.argv[1]) as recording:
    n = len(recording.read(8000))
    before = peak()
    while m := len(recording.read(8000)):
        n += m
print(n, recording.duration_s, peak() - before)
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
    command = [sys.executable, "-c", script, str(tmp_path / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    n, duration_s, grown_kib = done.stdout.split()
    assert int(n) == 3_600 * 8_000
    assert float(duration_s) == 3_600
    assert int(grown_kib) < 50 * 1024  # the samples alone are 220 MiB
    assert done.stderr == ""


# --- bad recordings --------------------------------------------------------------------------------------------------


def text(path: Path) -> None:
    path.write_text("Sehr geehrte Damen und Herren,\n" * 50)


def playlist(path: Path) -> None:
    secret = path.with_name("secret.aac")
    encode(secret, "aac", 44_100, tone(440, 44_100, 1)[:, None])
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")


def bare_header(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), 8_000)


def header_of_five_seconds(path: Path) -> None:
    encode(path, "libopus", 48_000, tone(440, 48_000, 5)[:, None])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75") + 12])  # Matroska: into the first cluster


def random_flac_frames(path: Path) -> None:
    soundfile.write(path, noise(20_000), 8_000)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + np.random.default_rng(0).bytes(len(whole) - 100))


def headless_m4a(path: Path) -> None:
    encode(path, "aac", 44_100, tone(440, 44_100, 3)[:, None])
    path.write_bytes(path.read_bytes()[:10_000])


def at_rate(rate_hz: int) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, noise(20_000), rate_hz)


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing.wav", lambda path: None, "wanted a recording, found no such file"),
    ("folder.wav", Path.mkdir, "wanted a recording, got a folder"),
    ("pipe.wav", os.mkfifo, "wanted a recording, got a pipe, socket or device"),
    ("empty.wav", Path.touch, "wanted a recording, got an empty file"),
    ("empty.al", Path.touch, "wanted a recording, got an empty file"),
    ("text.wav", text, "wanted a recording, got 1550 bytes that do not decode as audio"),
    ("text.mp3", text, "wanted a recording, got 1550 bytes that do not decode as audio"),
    ("text.raw", text, "wanted a recording, got 1550 bytes that do not decode as audio"),
    ("list.m3u8", playlist, "that do not decode as audio"),
    ("header.wav", bare_header, "got 44 bytes that do not decode as audio: not one sample is there"),
    ("header.webm", header_of_five_seconds, "that do not decode as audio"),
    ("frames.flac", random_flac_frames, "that do not decode as audio"),
    ("headless.m4a", headless_m4a, "got 10000 bytes that do not decode as audio"),
    ("slow.wav", at_rate(1), "sample rate is 1 Hz, wanted 4000 to 192000 Hz"),
    ("slow.au", at_rate(3_999), "sample rate is 3999 Hz, wanted 4000 to 192000 Hz"),
    ("fast.wav", at_rate(384_000), "sample rate is 384000 Hz, wanted 4000 to 192000 Hz"),
    ("silent.mp4", lambda p: encode(p, None, 0, noise(1), video=True), "wanted an audio stream, got video"),
]


@pytest.mark.parametrize(("name", "make", "message"), BAD, ids=[name for name, _, _ in BAD])
def test_bad_input_says_what_was_wanted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError) as caught:
        open_recording(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_the_playlist_would_open_another_file(tmp_path: Path) -> None:
    """What keeps «list.m3u8» above out is our list of formats: left alone, FFmpeg follows it."""
    playlist(tmp_path / "list.m3u8")
    with av.open(str(tmp_path / "list.m3u8")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 40_000


@pytest.mark.parametrize("name", ["two\nlines.wav", "null\0.wav", "a/b\n.wav"])
def test_odd_names_stay_on_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_recording(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    for name in (b"\xff.wav", b"\xff.mp3"):
        path = tmp_path / os.fsdecode(name)
        with path.open("wb") as file:
            soundfile.write(file, noise(8_000), 8_000, format=path.suffix[1:].upper())
        assert len(read_file(path)) == 8_000


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_forbidden_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch(0)
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match="Permission denied"):
        open_recording(tmp_path / "a.wav")


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.wav")
        with pytest.raises(InputError, match=r"^s\.wav: wanted a recording, got a pipe, socket or device$"):
            open_recording("s.wav")


CUT = ["a.wav", "a.aiff", "a.au", "a.w64", "a.rf64", "a.flac", "a.ogg", "a.mp3", "a.webm", "a.amr", "a.wma"]


def write_any(path: Path) -> int:
    """Five seconds of noise; returns the number of samples at 8 kHz."""
    codec = {".webm": "libopus", ".m4a": "aac", ".amr": "libopencore_amrnb", ".wma": "wmav2"}.get(path.suffix)
    if codec is None:
        soundfile.write(path, noise(40_000), 8_000)
    elif codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    else:
        rate_hz = {".webm": 48_000, ".m4a": 44_100, ".amr": 8_000, ".wma": 44_100}[path.suffix]
        encode(path, codec, rate_hz, noise(rate_hz * 5, 2 if codec == "wmav2" else 1))
    return 40_000


@pytest.mark.parametrize("name", CUT)
def test_a_cut_file_gives_what_is_there(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / name
    n = write_any(path)
    with open_recording(path) as recording:
        whole = read_all(recording)
        assert not recording.truncated
    assert len(whole) == pytest.approx(n, abs=700)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with open_recording(path) as recording:
        part = read_all(recording)
        assert recording.truncated
    assert 0.3 * n < len(part) < 0.7 * n
    # What a resampler or a decoder fades at the cut is not compared.
    np.testing.assert_allclose(part[:-2_000], whole[: len(part) - 2_000], rtol=0, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test_an_ogg_that_libsndfile_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opus before libsndfile 1.0.29, Speex in any: FFmpeg knows them, and where they are cut."""
    path = tmp_path / "a.opus"
    soundfile.write(path, noise(40_000), 8_000, format="OGG", subtype="OPUS")

    def unknown(name: bytes) -> None:
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile, "SoundFile", unknown)
    with open_recording(path) as recording:
        assert recording.codec == "ogg opus"
        assert len(read_all(recording)) == pytest.approx(40_000, abs=1)
        assert not recording.truncated
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with open_recording(path) as recording:
        assert 12_000 < len(read_all(recording)) < 28_000
        assert recording.truncated


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg", "a.webm", "a.amr"])
def test_a_file_that_turns_into_garbage(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / name
    n = write_any(path)
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(whole[:half] + np.random.default_rng(0).bytes(len(whole) - half))
    with open_recording(path) as recording:
        part = read_all(recording)
        assert recording.truncated
    assert 0.2 * n < len(part) < 0.7 * n
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
def test_a_wav_whose_length_was_never_filled_in_is_whole(tmp_path: Path, length: bytes) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(8_000), 8_000)
    whole = bytearray(path.read_bytes())
    whole[4:8] = whole[40:44] = length
    path.write_bytes(whole)
    with open_recording(path) as recording:
        assert len(read_all(recording)) == 8_000
        assert not recording.truncated


def test_a_flac_of_unknown_length_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(10_000), 8_000)
    whole = bytearray(path.read_bytes())
    whole[21] &= 0xF0  # STREAMINFO: 36 bits, total samples
    whole[22:26] = bytes(4)
    path.write_bytes(whole)
    with open_recording(path) as recording:
        assert recording.duration_s is None
        np.testing.assert_allclose(read_all(recording), noise(10_000), rtol=0, atol=1 / 32768)
        assert not recording.truncated


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.webm", "a.amr", "a.wma", "a.aiff", "a.m4a"])
def test_flipped_bytes_raise_only_our_own_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    path = tmp_path / name
    write_any(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(30):
        broken = bytearray(whole)
        for at in rng.integers(0, min(len(whole), int(rng.choice([64, 400, len(whole)]))), 6):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(InputError):
            pcm = read_file(path)
            assert np.isfinite(pcm).all()
            assert np.abs(pcm).max(initial=0) <= 1
    assert capfd.readouterr() == ("", "")


# --- bad samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 16_000])
def test_samples_that_are_not_finite_become_zero(tmp_path: Path, rate_hz: int) -> None:
    pcm = noise(rate_hz, 2)
    soundfile.write(tmp_path / "good.wav", np.where(np.arange(rate_hz)[:, None] % 1_000, pcm, 0), rate_hz, "FLOAT")
    pcm[::1_000] = (np.nan, np.inf)
    pcm[1_000, 0] = -np.inf
    soundfile.write(tmp_path / "bad.wav", pcm, rate_hz, subtype="FLOAT")
    with open_recording(tmp_path / "bad.wav") as recording:
        got = read_all(recording)
        assert recording.bad_samples == 2 * rate_hz // 1_000
    np.testing.assert_array_equal(got, read_file(tmp_path / "good.wav"))


def test_not_one_finite_sample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full((30_000, 2), np.nan, np.float32), 8_000, subtype="FLOAT")
    with (
        open_recording(tmp_path / "a.wav") as recording,
        pytest.raises(InputError, match=r"a\.wav: wanted finite samples, got only NaN or infinity"),
    ):
        recording.read(160)


def test_one_finite_sample_late_is_enough(tmp_path: Path) -> None:
    pcm = np.full((30_000, 1), np.nan, np.float32)
    pcm[-1] = 0.25
    soundfile.write(tmp_path / "a.wav", pcm, 8_000, subtype="FLOAT")
    with open_recording(tmp_path / "a.wav") as recording:
        got = read_all(recording)
        assert recording.bad_samples == 29_999
    assert got[-1] == 0.25
    assert not got[:-1].any()


def test_too_loud_samples_are_clipped(tmp_path: Path) -> None:
    pcm = tone(440, 8_000, 1, amplitude=3.0)
    soundfile.write(tmp_path / "a.wav", pcm, 8_000, subtype="FLOAT")
    np.testing.assert_array_equal(read_file(tmp_path / "a.wav")[:, 0], np.clip(pcm, -1, 1))
    # A square wave overshoots in the resampler.
    soundfile.write(tmp_path / "b.wav", np.sign(tone(440, 44_100, 1)), 44_100, subtype="FLOAT")
    assert np.abs(read_file(tmp_path / "b.wav")).max() == 1


def test_reading_needs_an_open_recording(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(800), 8_000)
    recording = open_recording(tmp_path / "a.wav")
    assert recording.read(0).shape == (0, 1)
    with pytest.raises(ValueError, match="n_samples >= 0 but got -1"):
        recording.read(-1)
    recording.close()
    recording.close()
    with pytest.raises(ValueError, match="closed"):
        recording.read(1)


# --- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("agent_channel", "roles"), [(0, ("agent", "customer")), (1, ("customer", "agent"))])
def test_two_channels_are_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent_channel: int, roles: tuple[Any, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("call.wav", noise(8_001, 2), 8_000, subtype="FLOAT")
    with open_call("./call.wav", agent_channel=agent_channel) as call:
        assert call.source == "./call.wav"
        assert call.channels == (Channel(0, roles[0]), Channel(1, roles[1]))
        assert call.duration_s == 8_001 / 8_000
        np.testing.assert_array_equal(read_all(call, 160), noise(8_001, 2))
        assert not call.truncated
        assert call.bad_samples == 0


@pytest.mark.parametrize("role", ["agent", "customer"])
def test_one_channel_with_a_role_is_a_call(tmp_path: Path, role: Any) -> None:
    soundfile.write(tmp_path / "call.wav", noise(8_001), 8_000, subtype="FLOAT")
    with open_call(tmp_path / "call.wav", role=role) as call:
        assert call.source == str(tmp_path / "call.wav")
        assert call.channels == (Channel(0, role),)
        np.testing.assert_array_equal(read_all(call, 160), noise(8_001))


@pytest.mark.parametrize("longer", [0, 1])
def test_two_files_are_a_call_as_long_as_the_longer(tmp_path: Path, longer: int) -> None:
    lengths = [8_000, 8_000]
    lengths[longer] = 12_345
    paths = [tmp_path / "agent.wav", tmp_path / "customer.flac"]
    for path, n in zip(paths, lengths, strict=True):
        soundfile.write(path, noise(n), 8_000, subtype="PCM_16")
    with open_pair(*paths) as call:
        assert call.source == f"{paths[0]} + {paths[1]}"
        assert call.channels == (Channel(0, "agent"), Channel(1, "customer"))
        assert call.duration_s == 12_345 / 8_000
        pcm = read_all(call, 160)
    assert pcm.shape == (12_345, 2)
    for side, path in enumerate(paths):
        np.testing.assert_array_equal(pcm[: lengths[side], side], read_file(path)[:, 0])
    assert not pcm[8_000:, 1 - longer].any()


def test_two_files_of_different_rates_stay_in_step(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(440, 44_100, 2), 44_100, subtype="FLOAT")
    soundfile.write(tmp_path / "c.wav", tone(440, 8_000, 2), 8_000, subtype="FLOAT")
    with open_pair(tmp_path / "a.wav", tmp_path / "c.wav") as call:
        pcm = read_all(call, 160)
    np.testing.assert_allclose(pcm[1_000:15_000, 0], pcm[1_000:15_000, 1], rtol=0, atol=1e-3)


def test_a_call_says_what_was_wrong_on_either_side(tmp_path: Path) -> None:
    bad = noise(8_000)
    bad[:3] = np.nan
    soundfile.write(tmp_path / "a.wav", noise(8_000), 8_000)
    soundfile.write(tmp_path / "c.wav", bad, 8_000, subtype="FLOAT")
    (tmp_path / "c.wav").write_bytes((tmp_path / "c.wav").read_bytes()[:-4_000])
    with open_pair(tmp_path / "a.wav", tmp_path / "c.wav") as call:
        assert len(read_all(call)) == 8_000
        assert call.truncated
        assert call.bad_samples == 3


def test_wrong_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for channels, name in ((1, "one.wav"), (2, "two.wav"), (17, "many.wav")):
        soundfile.write(name, noise(8_000, channels), 8_000)
    nobody: Any = "nobody"
    wrongs: tuple[tuple[type[Exception], Callable[[], CallSource], str], ...] = (
        (UsageError, lambda: open_call("one.wav"), "one.wav has one channel: say whose it is with --role agent or"),
        (UsageError, lambda: open_call("two.wav", role="agent"), "two.wav has two channels: --role is for mono files"),
        (UsageError, lambda: open_call("two.wav", agent_channel=2), "agent channel: wanted 0 or 1, got 2"),
        (UsageError, lambda: open_call("one.wav", role=nobody), "role: wanted agent or customer, got 'nobody'"),
        (InputError, lambda: open_call("many.wav"), "many.wav: wanted 1 or 2 channels, got 17"),
        (UsageError, lambda: open_pair("one.wav", "two.wav"), "two.wav has two channels: --agent and --customer want"),
        (UsageError, lambda: open_pair("two.wav", "one.wav"), "two.wav has two channels: --agent and --customer want"),
        (InputError, lambda: open_pair("one.wav", "many.wav"), "many.wav: wanted 1 channel, got 17"),
        (InputError, lambda: open_pair("one.wav", "none.wav"), "none.wav: wanted a recording, found no such file"),
    )
    for kind, wrong, message in wrongs:
        with pytest.raises(kind) as caught:
            wrong()
        assert str(caught.value).startswith(message)
        assert "\n" not in str(caught.value)


def test_no_file_stays_open(tmp_path: Path) -> None:
    for name in ("one.wav", "one.mp3", "one.flac"):
        soundfile.write(tmp_path / name, noise(20_000), 8_000)
    text(tmp_path / "text.wav")
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("needs /proc")
    for name in ("one.wav", "one.mp3", "one.flac", "text.wav"):
        for _ in range(3):
            with pytest.raises((UsageError, InputError)):
                open_call(tmp_path / name)
            with pytest.raises(InputError):
                open_pair(tmp_path / "one.mp3", tmp_path / "none.wav")
    with open_call(tmp_path / "one.mp3", role="agent") as call:
        call.read(10)
    assert len(os.listdir("/proc/self/fd")) == before


# --- folders ---------------------------------------------------------------------------------------------------------


def test_find_recordings(tmp_path: Path) -> None:
    wanted = ["A.WAV", "b.flac", "deep/d.al", "deep/er/c.mp3", "z.m4a"]
    for name in [*wanted, "notes.txt", ".hidden.wav", ".trash/e.wav", "deep/._c.mp3", "wav"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_recordings(tmp_path) == [tmp_path / name for name in wanted]
    assert find_recordings(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]
    with pytest.raises(InputError, match=r"no such file"):
        find_recordings(tmp_path / "nowhere")


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError) as caught:
        find_recordings(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert ".flac" in str(caught.value)
    assert ".wav" in str(caught.value)
