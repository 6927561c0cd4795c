"""baresip, a telephone: over UDP, TCP and TLS, with and without SRTP, in each codec that it has."""

import datetime
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import soxr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from numpy.typing import NDArray
from serving import Served, serving

from telephony.programs import PATIENT, SIP, ended_calls, free_port, need, running, sip_port, until, utterances
from vocal.config import LiveConfig
from vocal.types import CallStarted, Utterance

pytestmark = pytest.mark.flaky(reruns=2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def served(told: list[Any], certificate: tuple[Path, Path]) -> Iterator[Served]:
    tls = {"tls_listen": "127.0.0.1:0", "certificate": str(certificate[0]), "key": str(certificate[1])}
    sip = msgspec.structs.replace(SIP, **tls)
    with serving(playout=PATIENT, live=LiveConfig(most_busy=100.0), sip=sip, store=told.append) as one:
        yield one


def call(
    served: Served, folder: Path, pcm: NDArray[np.float32], transport: str, codec: str, rate: int, srtp: str
) -> None:
    """Dials, plays and hangs up."""
    seconds = len(pcm) / 8000
    wav = folder / "voice.wav"
    voice = soxr.resample(pcm, 8000, rate) if rate != 8000 else pcm
    soundfile.write(wav, np.stack([voice] * int(codec[-1]), axis=1), rate, subtype="PCM_16")
    port = free_port()
    modules = ("g711", "g722", "opus", "aufile", "srtp", "account", "stdio")
    lines = [f"sip_listen 127.0.0.1:{port}", "sip_verify_server no", "module_path /usr/lib/baresip/modules"]
    lines += [f"module {one}.so" for one in modules]
    lines += ["module_app menu.so", "module_tmp uuid.so", f"audio_source aufile,{wav}", "audio_player aufile,/dev/null"]
    (folder / "config").write_text("\n".join([*lines, ""]), "utf-8")
    account = f"<sip:bob@127.0.0.1:{port};transport={transport}>;regint=0;audio_codecs={codec}"
    account += f";mediaenc={srtp}" if srtp else ""
    (folder / "accounts").write_text(account + "\n", "utf-8")
    (folder / "contacts").touch()
    kind = transport.upper()
    target = f"sip:vocal@127.0.0.1:{sip_port(served, kind)};transport={transport}"
    command = [need("baresip"), "-4", "-f", str(folder), "-e", f"/dial {target}", "-t", str(round(seconds + 1.5))]
    with running(command, folder, stdin=subprocess.PIPE) as process:
        until(lambda: process.poll() is not None, seconds + 20.0)


@pytest.mark.parametrize(
    ("transport", "codec", "rate", "srtp"),
    [
        ("udp", "PCMU/8000/1", 8000, ""),
        ("tcp", "G722/16000/1", 16000, ""),
        ("tls", "PCMA/8000/1", 8000, "srtp-mand"),
        ("udp", "opus/48000/2", 48000, "srtp"),
    ],
)
def test_what_is_said_arrives(
    served: Served,
    told: list[Any],
    expected: list[list[Utterance]],
    pcm: NDArray[np.float32],
    tmp_path: Path,
    transport: str,
    codec: str,
    rate: int,
    srtp: str,
) -> None:
    since = len(told)
    wanted = expected[1][0]
    call(served, tmp_path, pcm[: round(8000 * (wanted.end_s + 1.0)), 1], transport, codec, rate, srtp)
    (events,) = ended_calls(told, 1, since)
    started = next(one for one in events if isinstance(one, CallStarted))
    assert started.source.startswith("S-")  # as it is kept
    heard = served.service.hub.started(started.call)
    assert heard is not None
    assert heard.source.startswith(f"{transport}:127.0.0.1:")
    assert events[-1].reason == "hangup"
    found = utterances(events)[0]
    assert found.level_dbov is not None
    assert wanted.level_dbov is not None
    assert wanted.f0_median_hz is not None
    assert abs(found.level_dbov - wanted.level_dbov) < (0.5 if rate == 8000 else 1.5)
    assert abs((found.end_s - found.start_s) - (wanted.end_s - wanted.start_s)) < 0.3
    assert found.f0_median_hz == pytest.approx(wanted.f0_median_hz, rel=0.04)
    assert found.lost_s == 0.0
