"""Runs that are kept, and compared: what changed is seen, what did not is not made up."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import vocal_kernels as vk
from hypothesis import given
from hypothesis import strategies as st
from test_cli import vocal
from vocal.benchmarks import calls, machine, results, speed
from vocal.benchmarks.clock import Timed
from vocal.benchmarks.compare import Change, compare, doubts
from vocal.benchmarks.results import Run
from vocal.benchmarks.rows import Row, timed

from vocal.contract import models_folder
from vocal.errors import InputError

FAST = Row("front end", "channels a core", "208 channels", "vocal", 3600.0, "channels")


def a_run(*rows: Row, **changes: object) -> Run:
    made = Run(
        started_at=results.now(),
        machine=machine.machine(),
        versions={},
        commit="",
        settings={},
        rows=rows,
        is_whole=True,
    )
    return msgspec.structs.replace(made, **changes)


def one(old: Row, new: Row) -> Change:
    (change,) = compare(a_run(old), a_run(new))
    return change


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    row = timed("p", "n", "c", "vocal", Timed((0.5, 0.25, 0.3), 1.2), lambda s: 10.0 / s, "1/s", 30.0)
    assert row.value == 40.0
    kept = a_run(row, FAST, data={"a.wav": "0"}, others={"speed": 0.01})
    results.write(kept, tmp_path / "run.json")
    assert results.read(tmp_path / "run.json") == kept
    assert not list(tmp_path.glob("*.half"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "wanted what `vocal bench --save` wrote"), ('{"format": 7}', "format 1, got 7"), ("[]", "wanted what")],
)
def test_what_is_no_run_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(InputError, match=said):
        results.read(tmp_path / "old.json")
    result = vocal("bench", "accuracy", "calls", "--compare", tmp_path / "old.json")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_exact_figures_are_compared_as_they_are() -> None:
    right = Row("mood", "start and end", "staged", "vocal", 0.91, "r")
    assert one(right, right).verdict == "same"
    assert one(right, msgspec.structs.replace(right, value=0.905)).verdict == "worse"
    assert one(right, msgspec.structs.replace(right, value=0.92)).verdict == "better"
    wrong = Row("tempo", "error", "staged", "vocal", 0.45, "syll/s", better="lower")
    assert one(wrong, msgspec.structs.replace(wrong, value=0.5)).verdict == "worse"
    nothing = Row("speech", "false utterances", "tones", "vocal", 0.0, "1/h", better="lower")
    assert one(nothing, nothing).verdict == "same"
    assert one(nothing, msgspec.structs.replace(nothing, value=3.0)).verdict == "worse"
    size = Row("cost", "operations", "a frame", "vocal", 100.0, "FLOP", better="neither")
    assert one(size, msgspec.structs.replace(size, value=120.0)).verdict == "other"


def test_what_only_one_run_has_is_named() -> None:
    other = msgspec.structs.replace(FAST, who="silero alone")
    assert [change.verdict for change in compare(a_run(FAST, other), a_run(FAST))] == ["same", "gone"]
    assert [change.verdict for change in compare(a_run(FAST), a_run(FAST, other))] == ["same", "new"]


def at_pace(rng: np.random.Generator, cost_s: float, pace: float) -> Row:
    times = tuple((cost_s / pace * (1.0 + 0.04 * rng.random(5))).tolist())
    return timed("p", "n", "c", "vocal", Timed(times, pace), lambda s: 1.0 / s, "1/s")


@given(st.integers(0, 10**6), st.floats(0.5, 2.0), st.floats(0.5, 2.0))
def test_the_machines_pace_is_not_the_codes(seed: int, before: float, after: float) -> None:
    rng = np.random.default_rng(seed)
    assert one(at_pace(rng, 1.0, before), at_pace(rng, 1.0, after)).verdict == "same"
    assert one(at_pace(rng, 1.0, before), at_pace(rng, 1.4, after)).verdict == "worse"
    assert one(at_pace(rng, 1.4, before), at_pace(rng, 1.0, after)).verdict == "better"


def test_doubts_are_named() -> None:
    old = a_run(FAST, versions={"numpy": "1"}, settings={"quick": "yes"}, data={"a": "0", "b": "1"})
    new = a_run(FAST, versions={"numpy": "2"}, settings={"quick": "no"}, data={"a": "9", "b": "1"}, is_whole=False)
    said = " | ".join(doubts(old, new))
    for part in (
        "numpy 1 -> 2",
        "quick yes -> no",
        "1 recordings are not the same, such as a",
        "did not come to its end",
    ):
        assert part in said
    assert doubts(old, old) == []
    assert "another machine" in doubts(old, a_run(machine=machine.Machine("Other", 64, 1.0, "", "")))[0]


def channels() -> Run:
    speech = np.random.default_rng(1).normal(0.0, 0.05, 30 * vk.RATE_HZ).astype(np.float32)
    rows = [row for row in speed.many_channels(speech, (208,)) if row.name == "channels a core"]
    assert rows
    return a_run(*rows)


def test_a_slowed_kernel_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    vk.warmup()
    old, advance = channels(), vk.Crew.advance

    def slowed(*given: object) -> None:
        for _ in range(3):
            advance(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(speed.vk.Crew, "advance", slowed)
    assert {change.verdict for change in compare(old, channels())} == {"worse"}


def worsened(folder: Path) -> Path:
    """The model that ships, which now takes arousal for valence."""
    shutil.copytree(models_folder() / "emotion", folder)
    contract = folder / "model.toml"
    text = contract.read_text("utf-8")
    names = '["valence", "arousal"]'
    assert names in text
    contract.write_text(text.replace(names, '["arousal", "valence"]'), "utf-8")
    return folder


def test_a_worsened_model_is_seen(tmp_path: Path) -> None:
    models = (None, worsened(tmp_path / "model"))
    old, new = (a_run(*(r for r in calls.rows(None, None, one) if isinstance(r, Row))) for one in models)
    found = {(change.new.part, change.verdict) for change in compare(old, new) if change.new}
    assert ("satisfaction", "worse") in found
    assert {verdict for part, verdict in found if part in ("boundaries", "tempo")} == {"same"}


def test_the_command_keeps_compares_and_keeps_within_its_budget(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "deep" / "new.json"
    assert vocal("bench", "accuracy", "calls", "--save", old).returncode == 0
    result = vocal("bench", "accuracy", "calls", "--save", new, "--compare", old)
    assert result.returncode == 0, result.stderr
    assert "figures are the same" in result.stderr
    kept = results.read(new)
    assert kept.is_whole
    assert kept.rows == results.read(old).rows
    assert kept.versions["numpy"] == np.__version__
    short = vocal("bench", "accuracy", "calls", "--budget", "0.001", "--save", new)
    assert short.returncode == 0
    assert "not measured: rest of accuracy: the budget was spent" in short.stderr
    kept = results.read(new)
    assert (len(kept.rows), kept.is_whole) == (1, False)
    changed = vocal("bench", "accuracy", "calls", "--budget", "0.001", "--compare", old)
    assert changed.returncode == 1
    assert "gone" in changed.stderr
    assert vocal("bench", "accuracy", "--budget", "0").returncode == 2


def test_others_work_is_told_from_our_own(tmp_path: Path) -> None:
    """To the CPU second, so that it holds however busy the machine is."""
    import os
    import subprocess
    import sys
    import time

    told = tmp_path / "cpu_s"
    burn = (
        "import pathlib, time\n"
        "while time.process_time() < 1.0: pass\n"
        f"part = pathlib.Path({str(told)!r}).with_suffix('.part')\n"
        f"part.write_text(str(time.process_time())); part.rename({str(told)!r})"
    )

    def busy_s() -> float:
        fields = Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]
        return sum(int(one) for place, one in enumerate(fields) if place not in (3, 4)) / os.sysconf("SC_CLK_TCK")

    def seconds(work: Callable[[], object]) -> tuple[float, float, float]:
        """Of others, as told; of the burner; of all."""
        told.unlink(missing_ok=True)
        before_s, begun_s = busy_s(), time.monotonic()
        with machine.Others() as others:
            work()
            while not told.exists():
                time.sleep(0.02)
        wall_s = time.monotonic() - begun_s
        burnt_s = float(told.read_text("ascii"))
        return others.share * wall_s * (os.cpu_count() or 1), burnt_s, busy_s() - before_s

    theirs_s, burnt_s, all_s = seconds(lambda: subprocess.run([sys.executable, "-c", burn], check=True))
    assert theirs_s <= all_s - burnt_s + 0.15
    # A process that nobody here started: its parent has gone.
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
    theirs_s, burnt_s, _ = seconds(lambda: subprocess.run([sys.executable, "-c", orphan], check=True))
    assert theirs_s >= 0.9 * burnt_s - 0.15


def test_an_interval_is_what_two_runs_may_differ_by() -> None:
    once = Row("capacity", "CPU", "100 calls", "vocal", 1.0, "cores", better="lower", repeats=(1.0,))
    assert once.interval == (pytest.approx(0.9), pytest.approx(1.1))
    assert msgspec.structs.replace(once, repeats=()).interval is None
    unsure = msgspec.structs.replace(once, repeats=(0.8, 0.9, 1.0, 1.1, 1.2))
    assert unsure.spread == pytest.approx(3.0 * 1.4826 * 1.206 * 0.1)
    busy = msgspec.structs.replace(once, others=0.4, grain=0.05)
    assert busy.interval == (pytest.approx(0.45), pytest.approx(1.55))
    waiting = msgspec.structs.replace(busy, waited=0.9)
    assert waiting.interval == (pytest.approx(0.9), pytest.approx(1.1))


def test_what_others_took_is_not_the_codes() -> None:
    quiet = Row("capacity", "tick p99", "100 calls", "vocal", 8.0, "ms", better="lower", repeats=(8.0,))
    slow = msgspec.structs.replace(quiet, value=12.0, repeats=(12.0,))
    assert one(quiet, slow).verdict == "worse"
    busy = msgspec.structs.replace(slow, others=0.4)
    assert one(quiet, busy).verdict == one(busy, quiet).verdict == "same"
    assert one(quiet, msgspec.structs.replace(busy, value=40.0)).verdict == "worse"


def test_less_than_can_be_read_off_is_no_difference() -> None:
    nothing = Row("capacity", "late ticks", "100 calls", "vocal", 0.0, "%", better="lower", repeats=(0.0,), grain=1.0)
    assert one(nothing, msgspec.structs.replace(nothing, value=0.8)).verdict == "same"
    assert one(nothing, msgspec.structs.replace(nothing, value=1.5)).verdict == "worse"
    assert one(msgspec.structs.replace(nothing, value=1.5), nothing).verdict == "better"


@pytest.mark.parametrize("count", [3, 4, 5, 9])
def test_the_spread_of_few_repeats_is_that_of_many(count: int) -> None:
    """On the mean over many draws, so that it is what it is called."""
    rng = np.random.default_rng(count)
    draws = rng.normal(10.0, 1.0, (400, count))
    rows = [Row("p", "n", "c", "vocal", 10.0, "s", repeats=tuple(some)) for some in draws.tolist()]
    assert np.mean([row.spread for row in rows]) == pytest.approx(3.0, rel=0.25)


def test_what_others_did_lately_and_that_all_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds alone, ten in which others had every core, and then two minutes of nothing at all."""
    cores = machine.os.cpu_count() or 1
    others = machine.Others()
    others._looks = [(float(at_s), max(0.0, at_s - 10.0) * cores, 0.0) for at_s in range(21)]
    monkeypatch.setattr(machine, "_spent", lambda: (21.0, 11.0 * cores, 0.0))
    assert others.share == pytest.approx(0.5)
    assert others.share_since(10.0) == pytest.approx(1.0)
    assert others.share_since(5.5) == pytest.approx(11.0 / 16.0)
    assert others.stood_s == pytest.approx(1.0 - machine.LOOK_S)
    others._looks.append((140.0, 11.0 * cores, 0.0))
    assert others.stood_s == pytest.approx(120.0 - machine.LOOK_S)
