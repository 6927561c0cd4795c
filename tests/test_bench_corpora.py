"""Corpora with wrong labels, missing peers, one core, an interrupted run: a clear word, and the rest goes on."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_corpora
from test_cli import vocal
from vocal.benchmarks import accuracy, calls, corpora, emotional, level, results
from vocal.benchmarks.asked import Asked
from vocal.benchmarks.results import Run, Skipped
from vocal.benchmarks.rows import Row

from vocal.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpora.write(tmp_path_factory.mktemp("corpora"))


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """Corpora that a test may break."""
    return Path(shutil.copytree(whole, tmp_path / "data"))


def line_of(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def column(path: Path, name: str, value: str | None) -> None:
    """In the table's second line."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if value is None:
        del rows[0][name]
    else:
        rows[0][name] = value
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[1]))
        writer.writeheader()
        writer.writerows(rows)


def truth(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def span(path: Path, **changes: object) -> None:
    given = json.loads(path.read_text())
    given["spans"][1].update(changes)
    path.write_text(json.dumps(given))


def no_words(path: Path) -> None:
    path.write_text("")


def staged(data: Path) -> object:
    return calls.truths(data / "calls" / "staged")


def levels(data: Path) -> object:
    return list(level.rows(data, False))


PHN, F0, LAB = "timit_nltk/dr1-fabc0/sa1.phn", "fda_ue/rl1.f0ref", "upc_vad/a/b.lab"
LAUT, SILB = "emodb/lablaut/03a01Xaxx.lablaut", "emodb/silb/03a01Xa.silb"
JSON, TABLE = "calls/staged/call-001.json", "emotion.csv"
GATE = "loudness/pyloudnorm/1770-2_Comp_RelGateTest.wav"
VOICE = "itu_stl/src/sv56/test_data/voice.nrm"

WRONG: list[tuple[str, Callable[[Path], object], Callable[[Path], object], str]] = [
    # the file, what becomes of it, who reads it, what is said
    (PHN, lambda p: line_of(p, 2, "2000 4000"), corpora.timit, "line 2: wanted FIRST LAST PHONE, got '2000 4000'"),
    (
        PHN,
        lambda p: line_of(p, 2, "x 4000 l"),
        corpora.timit,
        "line 2: wanted its first sample from 0 to 20000, got 'x'",
    ),
    (PHN, lambda p: line_of(p, 3, "4000 3000 l"), corpora.timit, "line 3: wanted its last sample from 4000 to 20400"),
    (PHN, lambda p: line_of(p, 3, "4000 90000 l"), corpora.timit, "from 4000 to 20400, got '90000'"),
    (PHN, lambda p: line_of(p, 3, "4000 5000 ö"), corpora.timit, "line 3: wanted a phone of aa, ae, "),
    (PHN, no_words, corpora.timit, "wanted phones that are spoken, got none"),
    (PHN, Path.unlink, corpora.timit, "wanted labels: No such file"),
    ("timit_nltk/dr1-fabc0/sa1.flac", lambda p: p.write_text("no"), corpora.timit, "wanted a recording: "),
    ("timit_nltk/dr1-fabc0", shutil.rmtree, corpora.timit, "timit_nltk: wanted recordings, */*.flac, got none"),
    (F0, lambda p: line_of(p, 20, "much"), corpora.laryngograph, "line 20: wanted Hz from 0 to 1000, got 'much'"),
    (F0, lambda p: line_of(p, 20, "-3"), corpora.laryngograph, "line 20: wanted Hz from 0 to 1000, got '-3'"),
    (
        F0,
        lambda p: p.write_text("100\n" * 500),
        corpora.laryngograph,
        "wanted F0 each 15 ms of 2.50 s, got 500 of them",
    ),
    (F0, Path.unlink, corpora.laryngograph, "wanted labels: No such file"),
    (
        LAB,
        lambda p: line_of(p, 2, "0.25 2.25 X"),
        corpora.hand_labelled,
        "line 2: wanted voice or silence of S, V; got 'X'",
    ),
    (
        LAB,
        lambda p: line_of(p, 2, "0.25 9.0 V"),
        corpora.hand_labelled,
        "line 2: wanted its end in seconds from 0.25 to",
    ),
    (LAUT, lambda p: line_of(p, 4, "soon -1 a"), corpora.emodb, "line 4: wanted SECONDS and a label, got 'soon -1 a'"),
    (LAUT, lambda p: line_of(p, 4, "    9.000000   -1 a"), corpora.emodb, "line 4: wanted seconds from 0 to 2.55, got"),
    (
        SILB,
        lambda p: line_of(p, 4, "9.000000\tla"),
        corpora.emodb,
        "line 4: wanted seconds from 0 to 2.55, got '9.000000'",
    ),
    ("emodb/silb", shutil.rmtree, corpora.emodb, "wanted labels of the recordings in emodb/wav, got none"),
    (GATE, lambda p: soundfile.write(p, np.zeros(0), 8000), levels, "wanted a recording, got no samples"),
    (JSON, lambda p: p.write_text("{"), staged, "wanted the truth of a call, in JSON: "),
    (JSON, lambda p: truth(p, mood_end=2.0), staged, "`float` <= 1.0 - at `$.mood_end`"),
    (JSON, lambda p: truth(p, spans=[]), staged, "`$.spans`"),
    (JSON, lambda p: truth(p, seconds=90.0), staged, "wanted 90 s of call-001.flac, got 24.00"),
    (JSON, lambda p: span(p, channel=2), staged, "`$.spans[1].channel`"),
    (JSON, lambda p: span(p, end=30.0), staged, "wanted span 2 within 24.00 s, got 4 to 30"),
    (JSON, lambda p: span(p, end=1.0), staged, "wanted span 2 within 24.00 s, got 4 to 1"),
    (JSON, lambda p: span(p, mood="glad"), staged, "got `str` - at `$.spans[1].mood`"),
    ("calls/staged/call-001.flac", Path.unlink, staged, "wanted its recording, call-001.flac, which is not there"),
    (
        TABLE,
        lambda p: column(p, "arousal", "1.5"),
        emotional.read_table,
        "line 2: wanted arousal from -1 to 1, got '1.5'",
    ),
    (
        TABLE,
        lambda p: column(p, "valence", "sad"),
        emotional.read_table,
        "line 2: wanted valence from -1 to 1, got 'sad'",
    ),
    (
        TABLE,
        lambda p: column(p, "path", "emodb/wav/gone.flac"),
        emotional.read_table,
        "1 of 12 recordings are not there",
    ),
    (TABLE, lambda p: line_of(p, 2, "emodb,de"), emotional.read_table, "line 2: wanted corpus, language, path"),
    (TABLE, lambda p: p.write_bytes(p.read_bytes() + b"\xff\xfe"), emotional.read_table, "wanted a table with commas"),
    (VOICE, Path.unlink, levels, "wanted a recording of 16 bits: No such file"),
    (VOICE, lambda p: p.write_bytes(b""), levels, "wanted samples of 16 bits, 1 at a time, got 0"),
]


@pytest.mark.parametrize(("name", "breaks", "read", "said"), WRONG, ids=[f"{w[0]}: {w[3]}" for w in WRONG])
def test_what_cannot_be_right_is_named(
    data: Path, name: str, breaks: Callable[[Path], object], read: Callable[[Path], object], said: str
) -> None:
    read(data)  # it is the change that is wrong
    corpora.emodb.cache_clear()
    corpora.timit.cache_clear()
    breaks(data / name)
    with pytest.raises(InputError) as raised:
        read(data)
    assert said in str(raised.value)
    assert str(data) in str(raised.value)


def test_a_topic_with_wrong_labels_is_told_and_the_others_go_on(data: Path, tmp_path: Path) -> None:
    line_of(data / PHN, 3, "4000 90000 l")
    column(data / TABLE, "emotion", "hangry")
    (data / "calls/staged/call-001.flac").unlink()
    saved, page = tmp_path / "run.json", tmp_path / "run.html"
    topics = ("tempo", "calls", "level", "emotion")
    result = vocal("bench", "accuracy", *topics, "--data", data, "--json", "--save", saved, "--html", page)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    parts = {json.loads(line)["part"] for line in result.stdout.splitlines()}
    assert {"level", "emotion: correctness"} <= parts
    assert not {"tempo", "boundaries"} & parts
    run = results.read(saved)
    assert run.is_whole
    why = {one.what: one.why for one in run.skipped}
    assert why["accuracy tempo"] == f"{data / PHN}, line 3: wanted its last sample from 4000 to 20400, got '90000'"
    assert why["accuracy calls"].endswith("call-001.json: wanted its recording, call-001.flac, which is not there")
    assert why["emotion: 1 recordings"].endswith("sadness, surprise; got hangry (1)")
    for one in run.skipped:
        assert f"not measured: {one.what}: {one.why}" in result.stderr
        assert one.what in page.read_text("utf-8")


def test_what_was_measured_before_a_defect_in_the_data_is_kept(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(data: Path, with_peers: bool) -> object:
        yield Row("level", "a", "b", "vocal", 1.0, "dB")
        raise InputError("x: wanted y, got z")

    monkeypatch.setitem(accuracy.PARTS, "level", half)
    asked = Asked(("accuracy",), ("level", "clarity"), whole, False, None)
    found = list(accuracy.rows(asked, lambda _: None, []))
    assert isinstance(found[0], Row)
    assert found[1] == Skipped("rest of accuracy level", "x: wanted y, got z")
    assert {row.part for row in found[2:] if isinstance(row, Row)} == {"clarity"}


HIDDEN = ("parselmouth", "pyloudnorm", "opensmile", "swift_f0", "pysptk", "librosa", "silero_vad")


def test_peers_that_are_not_installed_are_named(whole: Path, tmp_path: Path) -> None:
    for name in HIDDEN:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError({name!r})")
    topics = ("pitch", "tempo", "level", "emotion")
    result = vocal("bench", "accuracy", *topics, "--data", whole, "--peers", "--json", PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    for said in (
        "pitch: swift-f0: not installed: pip install swift-f0",
        "pitch: RAPT: not installed: pip install pysptk 'setuptools<81'",
        "pitch: EMO-DB, whose reference is Praat's: not installed: pip install praat-parselmouth",
        "tempo: de Jong & Wempe: not installed: pip install praat-parselmouth",
        "level: pyloudnorm: not installed: pip install pyloudnorm",
        "emotion: openSMILE + SVM: not installed: pip install opensmile scikit-learn",
    ):
        assert f"not measured: {said}" in result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["who"] for row in rows if row["part"] in ("pitch", "tempo")} == {"vocal", "constant", "always the mean"}


def read_when(path: Path, is_so: Callable[[Run], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 240.0
    while time.monotonic() < until:
        assert process.poll() is None
        if path.exists() and path.stat().st_size and is_so(results.read(path)):
            return
        time.sleep(0.05)
    raise AssertionError("it did not come so far")


@pytest.mark.parametrize("to_all", [False, True], ids=["one process", "its group, as a terminal does"])
def test_an_interrupted_run_keeps_what_was_done(whole: Path, tmp_path: Path, to_all: bool) -> None:
    saved, page = tmp_path / "run.json", tmp_path / "run.html"
    command = [sys.executable, "-m", "vocal.cli", "bench", "accuracy", "level", "speech", "calls", "--data", str(whole)]
    with subprocess.Popen(
        [*command, "--save", str(saved), "--html", str(page)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
    ) as process:  # fmt: skip
        read_when(saved, lambda run: any(row.part == "speech" for row in run.rows), process)
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60.0)
    assert process.returncode == 130, stderr
    assert "not measured: rest of accuracy: interrupted" in stderr
    assert f"run: {saved}" in stderr
    assert "vocal: interrupted" in stderr
    assert "Traceback" not in stderr
    run = results.read(saved)
    assert not run.is_whole
    assert {row.part for row in run.rows} == {"level", "speech"}
    assert "active level, error" in stdout  # the table of what there is
    assert "The run did not come to its end" in page.read_text("utf-8")
    assert not list(tmp_path.glob("*.half"))


def test_contenders_leave_an_interrupt_to_the_run(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from vocal.benchmarks.contenders import contest\n"
        "if __name__ == '__main__':\n"
        "    print('begun', flush=True)\n"
        "    contest(('vocal', 'webrtcvad'), np.zeros(80_000, np.float32), 100_000)\n"
    )
    (tmp_path / "contest.py").write_text(code)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "contest.py")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(4.0)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60.0)
    assert stderr.count("Traceback") == 1, stderr  # the run's own
    assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_one_core_is_enough_and_is_said(tmp_path: Path) -> None:
    saved, page = tmp_path / "run.json", tmp_path / "run.html"
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "-c", core, sys.executable, "-m", "vocal.cli", "bench", "accuracy", "calls", "--quick"]
    result = subprocess.run(
        [*command, "--save", saved, "--html", page],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert results.read(saved).machine.cores == 1
    assert ", one core, " in page.read_text("utf-8")
