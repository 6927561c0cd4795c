"""The commands as their user meets them: in a process of their own, with good input and bad."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser.stage import TOTALS
from signals import call, voice

from vocal.access import Access, Principal
from vocal.answers import Answers
from vocal.demo import call_path
from vocal.store.store import Store
from vocal.types import CallEnded, CallStarted, Channel, Metadata

RATE = 8000


def vocal(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vocal.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "LANG": "C", "COLUMNS": "160", **environment},
        cwd=Path(__file__).parent,
    )


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calls") / "call.wav"
    soundfile.write(path, call(10.0, [(0.5, 3.0), (7.0, 9.0)], [(3.5, 6.5)]), RATE)
    return path


def is_one_line(result: subprocess.CompletedProcess[str], code: int) -> bool:
    lines = [line for line in result.stderr.splitlines() if not line.startswith("Compiling")]
    return result.returncode == code and len(lines) == 1 and lines[0].startswith("vocal: ")


def events_of(result: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_table_on_the_terminal(recording: Path) -> None:
    result = vocal("analyze", recording, "--lang", "en")
    assert result.returncode == 0
    assert "talk share" in result.stdout
    assert "\x1b" not in result.stdout
    german = vocal("analyze", recording, "--lang", "de").stdout
    assert "Redeanteil" in german


def test_json_is_events_and_nothing_else(recording: Path) -> None:
    result = vocal("analyze", recording, "--notice", "--json")
    assert result.returncode == 0
    events = events_of(result)
    assert events[0]["type"] == "call_started"
    assert events[-1]["type"] == "call_ended"
    assert events[0]["source"] == str(recording)
    assert events[0]["channels"] == [{"channel": 0, "role": "agent"}, {"channel": 1, "role": "customer"}]
    assert {event["v"] for event in events} == {1}
    utterances = [event for event in events if event["type"] == "utterance"]
    assert [u["role"] for u in utterances] == ["agent", "customer", "agent"]
    assert utterances[1]["emotion"] is not None
    assert utterances[0]["emotion"] is None


def test_agent_channel_turns_the_roles(recording: Path) -> None:
    events = events_of(vocal("analyze", recording, "--agent-channel", "1", "--notice", "--json"))
    utterances = [event for event in events if event["type"] == "utterance"]
    assert [u["role"] for u in utterances] == ["customer", "agent", "customer"]
    assert all((u["emotion"] is not None) == (u["role"] == "customer") for u in utterances)


def test_one_file_a_side_equals_two_channels(recording: Path, tmp_path: Path) -> None:
    pcm, _ = soundfile.read(recording)
    for name, channel in (("a.wav", 0), ("c.wav", 1)):
        soundfile.write(tmp_path / name, pcm[:, channel], RATE, subtype="PCM_16")
    pair = events_of(vocal("analyze", "--agent", tmp_path / "a.wav", "--customer", tmp_path / "c.wav", "--json"))
    both = events_of(vocal("analyze", recording, "--json"))
    drop = {"call", "source", "started_at"}
    assert [{k: v for k, v in e.items() if k not in drop} for e in pair] == [
        {k: v for k, v in e.items() if k not in drop} for e in both
    ]


def test_report_and_store(recording: Path, tmp_path: Path) -> None:
    page, store = tmp_path / "new" / "call.html", tmp_path / "store"
    result = vocal("analyze", recording, "--notice", "--report", page, "--store", store, "--lang", "en")
    assert result.returncode == 0
    assert f"report: {page}" in result.stderr
    assert "<svg" in page.read_text("utf-8")
    assert list(store.rglob("utterance/day=*/*.parquet"))


def test_a_folder_runs_on_past_what_fails(recording: Path, tmp_path: Path) -> None:
    pcm, _ = soundfile.read(recording)
    for name in ("b.wav", "d.flac"):
        soundfile.write(tmp_path / name, pcm, RATE)
    (tmp_path / "a.wav").write_text("this is no audio")
    (tmp_path / "c.wav").write_bytes(b"")
    soundfile.write(tmp_path / "e.wav", pcm[:, 0], RATE)
    result = vocal("analyze", tmp_path, "--json")
    assert result.returncode == 2  # e.wav has one channel and no role
    ended = [event for event in events_of(result) if event["type"] == "call_ended"]
    assert len(ended) == 2
    for name in ("a.wav", "c.wav", "e.wav"):
        assert name in result.stderr
    assert "3 of 5 failed" in result.stderr
    assert "Traceback" not in result.stderr
    reports = vocal("analyze", tmp_path / "b.wav", tmp_path / "d.flac", "--report", tmp_path / "out", "--lang", "en")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["b.html", "d.html"]
    assert "recording" in reports.stdout


@pytest.mark.parametrize(
    ("make", "wanted", "code"),
    [
        (lambda p: None, "no such file", 1),
        (lambda p: p.write_bytes(b""), "", 1),
        (lambda p: p.write_text("hello\n" * 100), "", 1),
        (lambda p: p.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt "), "", 1),
        (lambda p: soundfile.write(p, np.full((8000, 2), np.nan), RATE, subtype="FLOAT"), "", 1),
        (lambda p: soundfile.write(p, np.zeros((100, 2)), 1), "1 Hz", 1),
        (lambda p: soundfile.write(p, np.zeros((10000, 2)), 384_000), "384000 Hz", 1),
        (lambda p: soundfile.write(p, np.zeros((8000, 17)), RATE), "17", 1),
        (lambda p: soundfile.write(p, np.zeros(8000), RATE), "--role", 2),
        (lambda p: p.mkdir(), "", 1),
    ],
    ids=["missing", "empty", "text", "truncated", "nan", "1 Hz", "384 kHz", "17 channels", "mono", "empty folder"],
)
def test_bad_input_is_one_line(tmp_path: Path, make: object, wanted: str, code: int) -> None:
    path = tmp_path / "bad.wav"
    make(path)  # type: ignore[operator]
    result = vocal("analyze", path)
    assert is_one_line(result, code), result
    assert wanted.lower() in result.stderr.lower()
    assert "bad.wav" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["analyse"],
        ["analyze"],
        ["analyze", "--agent", "a.wav"],
        ["analyze", "--bogus", "x.wav"],
        ["analyze", "x.wav", "--agent", "a.wav", "--customer", "c.wav"],
        ["analyze", "x.wav", "y.wav", "--report", "one.html"],
        ["analyze", "x.wav", "--config", "nowhere.toml"],
        ["analyze", "x.wav", "--agent-channel", "2"],
    ],
    ids=lambda arguments: " ".join(arguments) or "nothing",
)
def test_wrong_use_is_one_line_and_exit_code_2(arguments: list[str]) -> None:
    assert is_one_line(vocal(*arguments), 2)


@pytest.mark.parametrize("kind", ["silence", "tone", "noise"])
def test_calls_without_speech_have_a_report_that_says_so(tmp_path: Path, kind: str) -> None:
    t = np.arange(RATE * 12) / RATE
    mono = {
        "silence": np.zeros(len(t)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "noise": np.random.default_rng(1).uniform(-1, 1, len(t)),
    }[kind]
    path, page = tmp_path / f"{kind}.wav", tmp_path / "page.html"
    soundfile.write(path, np.stack([mono, mono], 1), RATE)
    result = vocal("analyze", path, "--notice", "--report", page, "--lang", "en")
    assert result.returncode == 0
    assert page.is_file()
    if kind == "silence":
        assert "No speech was found" in result.stdout
        assert "no speech" in page.read_text("utf-8").lower()


def test_a_model_that_breaks_its_contract_stops_at_the_start(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("name = 'x'\n")
    result = vocal("analyze", recording, "--notice", VOCAL_EMOTION_MODEL=str(tmp_path))
    assert is_one_line(result, 1)
    without = vocal("analyze", recording, VOCAL_EMOTION_MODEL=str(tmp_path))
    assert without.returncode == 0  # without notice no model is asked


def test_a_truncated_recording_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    buffer = io.BytesIO()
    soundfile.write(buffer, call(10.0, [(0.5, 4.0)], [(5.0, 9.0)]), RATE, format="WAV")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 6 // 10])
    result = vocal("analyze", path, "--json")
    assert result.returncode == 0
    assert "cut off" in result.stderr
    assert events_of(result)[-1]["duration_s"] == pytest.approx(6.0, abs=0.1)


def test_mono_with_a_role(tmp_path: Path) -> None:
    path = tmp_path / "mono.flac"
    soundfile.write(path, np.concatenate([np.zeros(4000), voice(3.0), np.zeros(8000)]), RATE)
    events = events_of(vocal("analyze", path, "--role", "customer", "--notice", "--json"))
    (utterance,) = [event for event in events if event["type"] == "utterance"]
    assert utterance["emotion"] is not None
    events = events_of(vocal("analyze", path, "--role", "agent", "--notice", "--json"))
    assert all(event.get("emotion") is None for event in events)


def test_a_reader_that_stops_is_no_error() -> None:
    command = f"{sys.executable} -m vocal.cli analyze {call_path()} --json | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert result.stdout.startswith('{"type":"call_started"')
    assert "Traceback" not in result.stderr


def test_demo_names_its_report(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    result = vocal("demo", "--report", page, "--lang", "en")
    assert result.returncode == 0
    assert f"report: {page}" in result.stderr
    assert page.stat().st_size < 150_000


def test_demo_serves_the_staged_call_until_it_is_stopped() -> None:
    command = [sys.executable, "-m", "vocal.cli", "demo", "--port", "0", "--lang", "en"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as running:
        try:
            assert running.stdout is not None
            links = dict(
                line.rstrip("\n").split(" http://", 1) for line in (running.stdout.readline() for _ in range(4))
            )
            agent, coach, *_ = (f"http://{link}" for link in links.values())
            for link, page in ((agent, "/agent?lang=en"), (coach, "/coach?lang=en")):
                opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                assert opener.open(link, timeout=30.0).url.endswith(page)
                root = link.split("/login")[0]
                until = time.monotonic() + 30.0
                while not (calls := json.load(opener.open(f"{root}/v1/calls", timeout=30.0))):
                    assert time.monotonic() < until
                    time.sleep(0.1)
                assert (calls[0]["metadata"]["agent"] == "demo") == (page == "/agent?lang=en")
                reports = opener.open(f"{root}/reports?lang=en", timeout=30.0).read().decode()
                assert ("Your calls" in reports) == (page == "/agent?lang=en")
                assert "vocal serve --store" not in reports
                assert urllib.request.urlopen(link, timeout=30.0).url.endswith("/?failed=link")
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(30.0) == 0


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A folder with a store, and an account's answers that know of three calls as ann's and of one as bob's."""
    store, path = Store(tmp_path / "store"), tmp_path / "accounts.db"
    answers, access = Answers(path), Access(path)
    now = datetime.now(UTC) - timedelta(minutes=30)
    for number in range(4):
        began = now - timedelta(hours=number)
        name = f"c{number}"
        channels = (Channel(0, "agent"), Channel(1, "customer"))
        started = CallStarted(
            call=name,
            seq=0,
            at_s=0.0,
            started_at=began.isoformat(timespec="milliseconds"),
            transport="test",
            source="",
            channels=channels,
            metadata=Metadata(agent="A-1"),
        )
        ended = CallEnded(
            call=name,
            seq=1,
            at_s=60.0,
            reason="hangup",
            duration_s=60.0,
            conversation=TOTALS,
            satisfaction=None,
            moments=(),
            lost_share=0.0,
        )
        store(started)
        store(ended)
        answers.keep_own(name, "bob" if number == 3 else "ann")
    store.close()
    access.add(Principal("Ann Example", "agent", "ann", "Nord"), "a long password")
    answers.close()
    access.close()
    return tmp_path


def own_report_of(kept: Path, agent: str, password: str, *more: str) -> subprocess.CompletedProcess[str]:
    given = ("--store", kept / "store", "--accounts", kept / "accounts.db", "--format", "json", *more)
    command = [sys.executable, "-m", "vocal.cli", "report", "--agent", agent, *map(str, given)]
    return subprocess.run(
        command, input=password, capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parent
    )


def test_an_own_view_opens_with_the_agents_password_alone(kept: Path) -> None:
    result = own_report_of(kept, "ann", "a long password\n")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["calls"] == 3
    log = (kept / "accounts.db.audit.jsonl", kept / "store.audit.jsonl")
    assert any(path.exists() and "report.own" in path.read_text("utf-8") for path in log)
    for agent, password, code, said in (
        ("ann", "another password\n", 1, "name or password is wrong"),
        ("bob", "a long password\n", 2, "no account is this agent's"),
        ("Ann Example", "a long password\n", 2, "no account is this agent's"),
    ):
        refused = own_report_of(kept, agent, password)
        assert (refused.returncode, refused.stdout) == (code, "")
        assert said in refused.stderr


def test_a_call_that_is_not_shared_opens_with_its_agents_password_alone(kept: Path) -> None:
    where = ("--store", kept / "store", "--accounts", kept / "accounts.db", "--call", "c0", "--format", "json")
    closed = vocal("report", *where)
    assert is_one_line(closed, 2)
    assert "not shared by its agent" in closed.stderr
    result = own_report_of(kept, "ann", "a long password\n", "--call", "c0")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["call"] == "c0"
    others = own_report_of(kept, "ann", "a long password\n", "--call", "c3")
    assert (others.returncode, others.stdout) == (2, "")
    assert "no call of agent ann" in others.stderr
    answers = Answers(kept / "accounts.db")
    answers.share("c0", "ann", "", False)
    answers.close()
    assert vocal("report", *where).returncode == 0


def test_an_own_view_as_a_page_and_a_table(kept: Path) -> None:
    page = kept / "own.html"
    result = own_report_of(kept, "ann", "a long password\n", "--format", "html", "--out", str(page), "--lang", "en")
    assert result.returncode == 0, result.stderr
    assert "My own view" in page.read_text("utf-8")
    table = own_report_of(kept, "ann", "a long password\n", "--format", "csv", "--voice").stdout
    assert table.startswith("day,calls,")
    assert "loud_s" in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--agent", "ann", "--team", "Nord"), "stands for itself"),
        (("--agent", "ann", "--from", "2026-11-20", "--to", "2026-11-01"), "2026-11-20"),
        (("--agent", "ann", "--from", "2026-01-01", "--to", "2026-11-01"), "at most 31 days"),
        (("--agent", "ann", "--accounts", "nowhere.db"), "whose calls are whose"),
    ],
)
def test_an_own_view_that_cannot_be_is_one_line(kept: Path, arguments: tuple[str, ...], said: str) -> None:
    where = ("--store", kept / "store", *(() if "--accounts" in arguments else ("--accounts", kept / "accounts.db")))
    result = vocal("report", *arguments, *where)
    assert is_one_line(result, 2)
    assert said in result.stderr


def test_doctor_and_models() -> None:
    doctor = vocal("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "missing" not in doctor.stdout
    listed = vocal("models", "ls")
    assert "vocal-emotion" in listed.stdout
    checked = vocal("models", "check")
    assert checked.returncode == 0
    assert "keeps its contract" in checked.stdout


def test_models_check_tells_what_is_wrong(tmp_path: Path) -> None:
    result = vocal("models", "check", tmp_path)
    assert result.returncode == 1
    assert "wanted a model's folder" in result.stderr


def test_staged_calls_with_truth(shared_data: Path) -> None:
    """Loose floors on real voices; the figures themselves come from benchmarks/accuracy.py."""
    found, direction = [], []
    for truth_file in sorted((shared_data / "calls" / "staged").glob("*.json"))[:6]:
        truth = json.loads(truth_file.read_text())
        events = events_of(vocal("analyze", truth_file.with_suffix(".flac"), "--notice", "--json"))
        for channel, role in enumerate(("agent", "customer")):
            wanted = np.zeros(round(truth["seconds"] * 100) + 1, bool)
            got = wanted.copy()
            for span in truth["spans"]:
                if span["channel"] == channel:
                    wanted[round(span["start"] * 100) : round(span["end"] * 100)] = True
            for event in events:
                if event["type"] == "utterance" and event["role"] == role:
                    got[round(event["start_s"] * 100) : round(event["end_s"] * 100)] = True  # type: ignore[call-overload]
            found.append((got & wanted).sum() / wanted.sum())
        ended = events[-1]
        change = truth["mood_end"] - truth["mood_start"]
        if abs(change) > 0.5:
            direction.append(np.sign(ended["satisfaction"]["change"]) == np.sign(change))  # type: ignore[index]
        assert ended["conversation"]["non_talk_s"] == pytest.approx(  # type: ignore[index]
            sum(quiet["end"] - quiet["start"] for quiet in truth["dead_air"]), abs=2.0
        )
    assert np.mean(found) > 0.9
    assert np.mean(direction) > 0.5


def test_real_call(shared_data: Path) -> None:
    folder = shared_data / "calls" / "real"
    result = vocal(
        "analyze",
        "--agent",
        folder / "Auto_Repairs_40_UTC_agent.flac",
        "--customer",
        folder / "Auto_Repairs_40_UTC_caller.flac",
        "--json",
    )
    ended = events_of(result)[-1]
    assert ended["duration_s"] == pytest.approx(245.4, abs=0.2)
    assert ended["conversation"]["overlap_s"] < 5.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--reorder", "0.1"),
            "--reorder: TCP keeps the order of what is sent; wanted whip:http://",
        ),
        (("--dtx",), "--dtx: that is for WebRTC; wanted whip:http://HOST:PORT"),
        (("--connections", "2"), "--connections: that is for WebRTC"),
        (("--loss", "5"), "--loss: wanted a share, 0 to 1, got 5.0"),
        (("--jitter", "-1"), "--jitter: wanted 0 ms or more, got -1.0"),
        (("--drift", "1e6"), "--drift: wanted at most 10000 ppm"),
    ],
)
def test_replay_names_faults_that_cannot_be(options: tuple[str, ...], said: str) -> None:
    result = vocal("replay", call_path(), "--to", "ws://127.0.0.1:9", *options)
    assert result.returncode == 2
    assert said in result.stderr
