"""WHIP clients of others: FFmpeg by PyAV, and GStreamer. What arrives is what the file holds."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiortc
import av
import pytest
import soundfile
import soxr
from aioice.ice import get_host_addresses
from cryptography.hazmat.primitives import serialization
from serving import Served, serving

from vocal.analysis import analyze
from vocal.config import PlayoutConfig, WebrtcConfig
from vocal.demo import call_path
from vocal.transports.files import open_call
from vocal.types import CallEnded, Role, Utterance

# Real sockets in real time: a machine that stands still for a moment is not what is tested.
pytestmark = pytest.mark.flaky(reruns=2)

EXCERPT_S = 8
SILENCE_S = 1
"""Behind it: who closes takes what is still under way with it."""


PATIENT = PlayoutConfig(lag_ms=400.0, most_lag_ms=1000.0)
"""Outlasts the breaks of a busy machine."""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(playout=PATIENT) as one:
        yield one


@pytest.fixture(scope="module")
def reachable() -> Iterator[Served]:
    """libnice, GStreamer's ICE, talks to no loopback address."""
    addresses = tuple(get_host_addresses(True, False)[:1])
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    with serving(playout=PATIENT, webrtc=WebrtcConfig(addresses=addresses)) as one:
        yield one


def excerpt(folder: Path, role: Role) -> tuple[Path, list[Utterance]]:
    """One side of the staged call at 48 kHz, and what is said in it."""
    with open_call(call_path()) as source:
        pcm = source.read(EXCERPT_S * 8000)[:, 0 if role == "agent" else 1]
    narrow, wide = folder / "narrow.wav", folder / "wide.wav"
    soundfile.write(narrow, pcm, 8000)
    silence = [0.0] * (SILENCE_S * 48000)
    soundfile.write(wide, [*soxr.resample(pcm, 8000, 48000), *silence], 48000)
    said = [one for one in analyze(narrow, role=role).events if isinstance(one, Utterance)]
    assert said
    return wide, said


def heard(served: Served, call: str) -> list[Utterance]:
    served.wait_until(lambda: any(isinstance(one, CallEnded) for one in served.service.hub.events_of(call)), 20.0)
    return [one for one in served.service.hub.events_of(call) if isinstance(one, Utterance)]


def assert_same(found: Sequence[Utterance], said: Sequence[Utterance]) -> None:
    """Each utterance within 30 ms, 0.5 dB, 5 % of F0 and a syllable; the last may be cut off in the file."""
    assert [one.role for one in found] == [one.role for one in said]
    shift_s = found[0].start_s - said[0].start_s
    for one, other in zip(found, said, strict=True):
        assert one.start_s - shift_s == pytest.approx(other.start_s, abs=0.03)
        assert one.end_s - shift_s == pytest.approx(other.end_s, abs=0.03 if other is not said[-1] else 0.1)
        assert one.level_dbov == pytest.approx(other.level_dbov, abs=0.5)
        assert one.f0_median_hz == pytest.approx(other.f0_median_hz, rel=0.05)
        assert one.syllables == pytest.approx(other.syllables, abs=1.0)


# FFmpeg

FFMPEG = """
import sys, time
import av, soundfile
import numpy as np
path, url, *options = sys.argv[1:]
out = av.open(url, "w", format="whip", options=dict(one.split("=", 1) for one in options))
stream = out.add_stream("libopus", rate=48000, layout="stereo", options={"frame_duration": "20"})
stream.bit_rate = 64000
began, position = time.monotonic(), 0
mono = np.round(soundfile.read(path, dtype="float64")[0] * 32767).astype(np.int16)
for start in range(0, len(mono) - 959, 960):
    both = np.repeat(mono[start : start + 960], 2).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
    frame.sample_rate, frame.pts = 48000, start
    time.sleep(max(0.0, began + start / 48000 - time.monotonic()))
    for packet in stream.encode(frame):
        out.mux(packet)
out.close()
"""


def certificate(folder: Path) -> tuple[Path, Path]:
    """The one that FFmpeg makes itself, aiortc does not take."""
    made: Any = aiortc.RTCCertificate.generateCertificate()
    found, key = folder / "certificate.pem", folder / "key.pem"
    found.write_bytes(made._cert.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(made._key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return found, key


@pytest.mark.parametrize(("role", "flags"), [("agent", ()), ("customer", ("whip_flags=dtls_active",))])
def test_ffmpeg(served: Served, tmp_path: Path, role: Role, flags: Sequence[str]) -> None:
    """As DTLS server and as client."""
    if "whip" not in av.formats_available:
        pytest.skip("PyAV's FFmpeg has no WHIP here")
    path, said = excerpt(tmp_path, role)
    call = f"ffmpeg-{role}-{time.monotonic_ns()}"
    url = f"{served.url}/v1/whip?role={role}&call={call}"
    pair = certificate(tmp_path)
    run = subprocess.run(
        [sys.executable, "-c", FFMPEG, str(path), url, f"cert_file={pair[0]}", f"key_file={pair[1]}", *flags],
        capture_output=True,
        text=True,
        timeout=60.0,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert_same(heard(served, call), said)


# GStreamer

IGD = """
extern void *g_object_new(unsigned long type, const char *first, ...);
unsigned long gupnp_simple_igd_get_type(void) { return 80; }
void *gupnp_simple_igd_thread_new(void) { return g_object_new(80, 0); }
void gupnp_simple_igd_add_port(void) {}
void gupnp_simple_igd_remove_port_local(void) {}
"""
NO_IGD = "libgupnp-igd-1.0.so.4"
PIPELINE = (
    "filesrc location={} ! wavparse ! audioconvert ! audioresample ! queue ! opusenc ! rtpopuspay pt=100 ssrc=1 "
    "! queue ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
)


@pytest.fixture(scope="module")
def gstreamer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Debian's whip-client runs: as packaged it loads libsoup 2 and, by way of the UPnP that
    libnice would use, libsoup 3, and ends itself. So it gets an UPnP library that does nothing."""
    if shutil.which("whip-client") is None or shutil.which("gcc") is None:
        pytest.skip("no GStreamer WHIP client: apt-get install simple-whip-client gstreamer1.0-nice gcc")
    folder = tmp_path_factory.mktemp("gstreamer")
    (folder / "igd.c").write_text(IGD)
    command = ["gcc", "-shared", "-fPIC", "-o", NO_IGD, "igd.c", "-l:libgobject-2.0.so.0", f"-Wl,-soname,{NO_IGD}"]
    subprocess.run(command, cwd=folder, check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder), "GST_REGISTRY": str(folder / "registry")}


@pytest.mark.parametrize("options", [("-n",), ()], ids=["whole", "trickled"])
def test_gstreamer(reachable: Served, tmp_path: Path, gstreamer: dict[str, str], options: Sequence[str]) -> None:
    """Its candidates in the offer, and one by one in PATCH requests behind it."""
    served = reachable
    path, said = excerpt(tmp_path, "customer")
    call = f"gstreamer-{time.monotonic_ns()}"
    url = f"{served.url}/v1/whip?role=customer&call={call}"
    command = ["whip-client", "-u", url, *options, "-o", "-A", PIPELINE.format(path)]
    with subprocess.Popen(
        command, env=gstreamer, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        try:
            served.wait_until(lambda: len(served.service.hub.events_of(call)) > 0, 30.0)
            time.sleep(EXCERPT_S + SILENCE_S + 1.0)
            client.send_signal(signal.SIGTERM)  # it ends its session: DELETE
            assert client.wait(10.0) == 0
        finally:
            client.kill()
            log = client.stdout.read() if client.stdout is not None else ""
    assert "PeerConnection connected" in log
    assert_same(heard(served, call), said)
