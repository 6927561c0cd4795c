"""No audio in any file that the engine writes: real calls by every kind of door, and then every file is searched."""

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr
import vocal_kernels
from audiofinder import Finder
from numpy.typing import NDArray

from vocal.client import Client
from vocal.demo import call_path
from vocal.pseudonyms import Pseudonyms
from vocal.replays.sip import replay_sip
from vocal.replays.websocket import replay
from vocal.replays.whip import replay_whip
from vocal.store.reader import StoreReader
from vocal.transports.files import open_call
from vocal.types import Metadata

START_S, SECONDS = 32, 14
SAID = Metadata(queue="billing", team="north", agent="ann", notice=True, consent=True)
Pcm = NDArray[np.float32]


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    with open_call(call_path()) as source:
        return source.read(10_000_000)[START_S * 8000 : (START_S + SECONDS) * 8000]


@pytest.fixture(scope="module")
def finders(pcm: Pcm) -> list[Finder]:
    return [Finder(np.ascontiguousarray(pcm[:, column])) for column in (0, 1)]


def search(finders: list[Finder], folder: Path) -> dict[str, str]:
    return {file: what for finder in finders for file, what in finder.in_folder(folder).items()}


# It can fail: what is planted is found


def _s16(pcm: Pcm, kind: str = "<i2") -> bytes:
    return (pcm[:, 1] * 32767.0).astype(kind).tobytes()


def _packets(data: bytes) -> str:
    """As a log of messages might hold them."""
    media = [b64encode(data[first : first + 320]).decode() for first in range(0, len(data), 320)]
    return "\n".join(json.dumps({"event": "media", "n": number, "payload": one}) for number, one in enumerate(media))


def _write(folder: Path, what: str, pcm: Pcm) -> None:
    file, voice = folder / what.replace(" ", "-"), np.ascontiguousarray(pcm[:, 1])
    match what:
        case "wav" | "flac" | "ogg":
            soundfile.write(file, voice, 8000, format=what)
        case "stereo":
            soundfile.write(file, pcm, 8000, format="RAW", subtype="PCM_16")
        case "s16le":
            file.write_bytes(b"header, 17 bytes." + _s16(pcm))
        case "s16be":
            file.write_bytes(_s16(pcm, ">i2"))
        case "quiet float32":
            file.write_bytes((0.03 * voice + 0.2).astype("<f4").tobytes())
        case "float64":
            file.write_bytes(voice.astype("<f8").tobytes())
        case "16 kHz":
            file.write_bytes((32767 * soxr.resample(voice, 8000, 16000)).astype("<i2").tobytes())
        case "alaw" | "ulaw":
            soundfile.write(file, voice, 8000, format="RAW", subtype=what.upper())
        case "base64":
            file.write_text(_packets(_s16(pcm)))
        case "hexadecimal":
            file.write_text(f"dump: {_s16(pcm).hex()}\n")
        case "gzip":
            file.write_bytes(gzip.compress(_s16(pcm)))
        case "json":
            file.write_text(json.dumps({"samples": [round(float(one), 4) for one in voice]}))
        case "json lines":
            file.write_text(
                "\n".join(json.dumps({"at": n, "level": round(float(one), 4)}) for n, one in enumerate(voice))
            )
        case "sqlite":
            base = sqlite3.connect(file)
            base.execute("CREATE TABLE t (a INTEGER, b BLOB)")
            rows = [(n, _s16(pcm[first : first + 160])) for n, first in enumerate(range(0, len(pcm), 160))]
            base.executemany("INSERT INTO t VALUES (?, ?)", rows)
            base.commit()
            base.close()
        case "parquet":
            table = pa.table({"call": ["c"], "frames": [voice.tolist()]})
            pq.write_table(table, file, compression="zstd")
        case "arrow":
            table = pa.table({"event": [json.dumps({"raw": b64encode(_s16(pcm)).decode()})]})
            with pa.OSFile(str(file), "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
                stream.write_table(table)


PLANTED = [
    *("wav", "flac", "ogg", "s16le", "s16be", "quiet float32", "float64", "16 kHz", "alaw", "ulaw"),
    *("base64", "hexadecimal", "gzip", "json", "json lines", "sqlite", "parquet", "arrow"),
]


def _piece(pcm: Pcm, seconds: float) -> Pcm:
    """Where the customer is loudest."""
    loudest = int(np.argmax(np.convolve(pcm[:, 1] ** 2, np.ones(800), "valid")))
    first = max(0, loudest - int(4000 * seconds))
    return pcm[first : first + int(8000 * seconds)]


@pytest.mark.parametrize("what", PLANTED)
def test_planted_audio_is_found(finders: list[Finder], pcm: Pcm, tmp_path: Path, what: str) -> None:
    _write(tmp_path, what, _piece(pcm, 2.0))
    assert list(finders[1].in_folder(tmp_path)) == [what.replace(" ", "-")]


def test_half_a_second_of_it_is_enough(finders: list[Finder], pcm: Pcm, tmp_path: Path) -> None:
    (tmp_path / "piece").write_bytes(os.urandom(5001) + _s16(_piece(pcm, 0.5)) + os.urandom(3000))
    assert finders[1].in_folder(tmp_path)


def test_noise_and_another_voice_are_not_taken_for_it(finders: list[Finder], tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(os.urandom(50_000))
    with open_call(call_path()) as source:
        other = source.read(10_000_000)[60 * 8000 : 65 * 8000]
    (tmp_path / "other").write_bytes(_s16(other))
    (tmp_path / "text").write_text("\n".join(json.dumps({"at_s": n / 100, "level": n % 7}) for n in range(5000)))
    assert search(finders, tmp_path) == {}


# The engine


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, pcm: Pcm) -> Path:
    """Ours, where the engine writes nothing."""
    path = tmp_path_factory.mktemp("recording") / "call.wav"
    soundfile.write(path, pcm, 8000, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all that the engine may write lies: its working folder, home and temporary files too."""
    path = tmp_path_factory.mktemp("engine")
    for name in ("work", "home", "tmp"):
        (path / name).mkdir()
    return path


def _environment(place: Path) -> dict[str, str]:
    ours = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    # The kernels that this machine has compiled already serve there, too: CACHE/vocal/NAME.
    return {**os.environ, **ours, "NUMBA_CACHE_DIR": str(Path(vocal_kernels.CACHE_DIR).parents[1])}


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[tuple[int, str, str]]:
    """A real one: its process, and where it listens for HTTP and for SIP."""
    command = [sys.executable, "-m", "vocal.cli", "serve", "--port", "0", "--sip", "127.0.0.1:0"]
    command += ["--store", str(place / "store"), "--config", str(place / "vocal.toml")]
    # The accounts' file stays without accounts, so that whoever is on this machine may call.
    settings = f'[server]\nanswers = "{place}/answers.db"\n[sip]\njoined_by = "Vocal-Call"\n'
    (place / "vocal.toml").write_text(settings)
    log = (place / "server.log").open("w")
    with log, subprocess.Popen(command, stdout=log, stderr=log, cwd=place / "work", env=_environment(place)) as process:
        http = sip = ""
        until = time.monotonic() + 240.0
        while not (http and sip):
            assert process.poll() is None, (place / "server.log").read_text()
            assert time.monotonic() < until, (place / "server.log").read_text()
            time.sleep(0.2)
            for line in (place / "server.log").read_text().splitlines():
                http = line.rpartition(" ")[2] if line.startswith("Vocal listens on") else http
                sip = line.rpartition(" ")[2] if line.startswith("SIP over UDP on") else sip
        yield process.pid, http, sip
        process.send_signal(signal.SIGINT)
        process.wait(60.0)


def _written_elsewhere(pid: int, place: Path) -> list[str]:
    """Files that a process holds open for writing, but for those under `place`."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            file = os.readlink(link)
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split("flags:")[1].split()[0]
        except OSError:
            continue
        is_file = (
            file.startswith("/")
            and not file.startswith(vocal_kernels.CACHE_DIR)
            and not file.startswith(("/dev/", "/proc/"))
        )
        if is_file and int(flags, 8) & (os.O_WRONLY | os.O_RDWR) and not file.startswith(str(place)):
            found.append(file)
    return found


def test_no_file_holds_audio(server: tuple[int, str, str], place: Path, recording: Path, finders: list[Finder]) -> None:
    pid, http, sip = server
    elsewhere: list[str] = []

    def play(way: str) -> str:
        with open_call(recording) as source:
            if way == "sip":
                return replay_sip(source, f"sip:{sip}", SAID)[0]
            if way == "whip":
                return replay_whip(source, f"whip:{http}", SAID)[0]
            return replay(source, http, SAID, call=f"by-{way}", dialect=way)

    with ThreadPoolExecutor() as pool:
        playing = [pool.submit(play, way) for way in ("pcm", "twilio", "audiohook", "sip", "whip")]
        while not all(one.done() for one in playing):
            elsewhere += _written_elsewhere(pid, place)
            time.sleep(1.0)
    calls = [one.result() for one in playing]
    with Client(http) as client:
        client.request("POST", f"/v1/calls/{calls[0]}/reflection", {"score": 7, "text": "fine"})
        until = time.monotonic() + 60.0
        while client.request("GET", "/v1/calls") and time.monotonic() < until:
            time.sleep(0.2)
        kinds = {one["type"] for one in client.request("GET", f"/v1/calls/{calls[0]}")["events"]}
    elsewhere += _written_elsewhere(pid, place)
    assert elsewhere == []
    assert {"utterance", "call_ended"} <= kinds  # it did hear something
    analyze = [sys.executable, "-m", "vocal.cli", "analyze", str(recording), "--notice", "--json"]
    analyze += ["--store", str(place / "store-of-files"), "--report", str(place / "report.html")]
    done = subprocess.run(analyze, capture_output=True, cwd=place / "work", env=_environment(place), check=False)
    assert done.returncode == 0, done.stderr
    (place / "events.jsonl").write_bytes(done.stdout + done.stderr)
    os.kill(pid, signal.SIGINT)
    until = time.monotonic() + 60.0
    while Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX" and time.monotonic() < until:
        time.sleep(0.2)
    # Nobody else reports home either: what a server leaves behind is its own.
    assert not [file for file in (place / "home").rglob("*") if file.is_file()]
    files = [file for file in place.rglob("*") if file.is_file()]
    names = {file.suffix for file in files}
    assert {".parquet", ".db", ".log", ".jsonl", ".html"} <= names  # store, SQLite, log, audit log, report
    assert sum(file.stat().st_size for file in files) > 50_000
    assert search(finders, place) == {}
    # Once, and by the week's key: the name is the one that pages show.
    records = StoreReader(place / "store").records()
    assert len(records) == 5
    named = {one.agent for one in records if one.transport != "sip"}  # over SIP an agent is called by their number
    assert named == {Pseudonyms(place / "store.keys").pseudonym("ann")}
    assert all(one.agent is None or one.agent.startswith("A-") for one in records)
    assert all(one.source.startswith("S-") for one in records)
    assert {(one.notice, one.consent) for one in records} == {("given", "given")}
    # Of a live call neither the agent's name nor the peer's address is in the store.
    for file in (place / "store").rglob("*"):
        if file.is_file():
            for table in [pq.read_table(file)] if file.suffix == ".parquet" else []:
                assert "127.0.0.1" not in str(table.to_pylist())
                assert "'ann'" not in str(table.to_pylist())
