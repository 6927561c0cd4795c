"""Saved runs put together: nothing is lost, what does not belong together is said, and the table says the rows."""

from pathlib import Path

import msgspec
import pytest
from test_bench_compare import a_run
from test_cli import vocal
from vocal.benchmarks import results
from vocal.benchmarks.drawings import Confusion, Course, Curve
from vocal.benchmarks.machine import Machine
from vocal.benchmarks.page import page
from vocal.benchmarks.results import Skipped, merged
from vocal.benchmarks.rows import Row
from vocal.benchmarks.table import markdown

FAST = Row("front end", "channels a core", "208 channels, tick by tick", "vocal", 3600.0, "channels", 3500.0)
PEER = Row("front end", "vocal's channels to theirs", "a minute of speech", "openSMILE eGeMAPS", 45.0, "ratio", 50.0)
F0 = Row("pitch", "FFE", "EMO-DB, clean", "vocal", 8.1, "%", 10.0, "lower")
THEIRS = msgspec.structs.replace(F0, who="swift-f0", value=10.0, target=None)
WORSE = msgspec.structs.replace(F0, who="RAPT", value=11.8, target=None)
DRAWN = (
    Curve("roc", "EMO-DB", "vocal", [(0.0, 0.0), (1.0, 1.0)]),
    Confusion("EMO-DB", "vocal", ("anger", "neutral"), [[0.9, 0.1], [0.2, 0.8]]),
    Course("F0", "st", "% lost", {"vocal": [(0.0, 0.1), (5.0, 0.12)]}),
)


def limit(name: str, condition: str, value: float, target: float = 20.0, better: str = "lower") -> Row:
    return Row("capacity", name, condition, "vocal", value, "ms", target, better, (value,))  # type: ignore[arg-type]


def test_drawings_are_kept_with_a_run(tmp_path: Path) -> None:
    kept = a_run(FAST, drawings=DRAWN)
    results.write(kept, tmp_path / "run.json")
    assert results.read(tmp_path / "run.json") == kept


def test_parts_measured_one_after_the_other_are_one_run() -> None:
    speed = a_run(FAST, others={"speed": 0.2}, settings={"parts": "speed", "quick": "no"}, data={"a": "0"})
    accuracy = a_run(
        F0, THEIRS, others={"accuracy": 0.0}, settings={"parts": "accuracy", "quick": "no"}, data={"a": "0", "b": "1"},
        drawings=DRAWN, skipped=(Skipped("level", "no data"),),
    )  # fmt: skip
    both = merged([speed, accuracy])
    assert both.rows == (FAST, F0, THEIRS)
    assert both.others == {"speed": 0.2, "accuracy": 0.0}
    assert both.settings == {"parts": "speed; accuracy", "quick": "no"}
    assert both.data == {"a": "0", "b": "1"}
    assert (both.drawings, both.skipped, both.doubts, both.is_whole) == (DRAWN, accuracy.skipped, (), True)
    assert merged([speed]) == speed


def test_what_does_not_belong_together_is_said_on_the_page() -> None:
    first = a_run(FAST, F0, commit="aaa", versions={"numpy": "1"}, settings={"parts": "speed"})
    second = a_run(
        msgspec.structs.replace(F0, value=9.0), commit="bbb", versions={"numpy": "2"}, settings={"parts": "accuracy"},
        machine=Machine("Other", 64, 1.0, "Linux", "3.11"), is_whole=False, started_at="9999-01-01T00:00:00",
    )  # fmt: skip
    both = merged([first, second])
    assert both.rows == (FAST, second.rows[0])
    assert not both.is_whole
    said = " | ".join(both.doubts)
    shown = page(both)
    for part in ("another machine", "numpy 1 -> 2", "commit aaa -> bbb", "did not come to its end", "1 figures"):
        assert part in said
        assert part.replace("->", "-&gt;") in shown
    assert f"{len(both.doubts)} reasons for doubt" in shown
    assert "Doubt:" in markdown(both)


def test_the_table_says_target_value_peer_and_whether_it_is_reached() -> None:
    run = a_run(FAST, PEER, F0, THEIRS, WORSE, commit="abc", others={"speed": 0.4})
    lines = markdown(run).splitlines()
    (fast,) = [line for line in lines if "208 channels" in line]
    assert fast.endswith("| 3600 channels | ≥ 3500 |  | ✓ |")
    (peer,) = [line for line in lines if "openSMILE" in line]
    assert peer.endswith("(openSMILE eGeMAPS), a minute of speech | 45 ratio | ≥ 50 |  | ✗ |")
    (pitch,) = [line for line in lines if "FFE" in line]
    assert pitch.endswith("| 8.1 % | ≤ 10 | swift-f0 10 | ✓ |")
    assert f"Measured {run.started_at[:10]}" in lines[-1]
    assert "commit abc" in lines[-1]
    assert "speed 40 %" in lines[-1]
    assert all(line.count("|") == 6 for line in lines if line.startswith("|"))


def test_many_conditions_are_one_line_that_counts() -> None:
    rows = [msgspec.structs.replace(F0, condition=f"line {n}", value=5.0 + n) for n in range(10)]
    (line,) = [one for one in markdown(a_run(*rows)).splitlines() if "FFE" in one]
    assert "10 conditions" in line
    assert "5 to 14 %" in line
    assert "6 of 10" in line


def test_counts_on_the_way_are_not_in_the_table_and_no_target_is_missing() -> None:
    carried = Row("capacity", "calls carried", "by SIP", "vocal", 200.0, "calls", 1000.0, repeats=(200.0,))
    tried = [limit("tick p99", f"{n} calls by SIP", float(n)) for n in (100, 200, 400)]
    rest = Row("clarity", "falls", "noise", "vocal", 1.0, "share", 1.0)
    text = markdown(a_run(carried, *tried, rest))
    assert "200 calls by SIP" in text
    assert "100 calls by SIP" not in text
    assert "400 calls by SIP" not in text
    assert "Of 3 further targets 1 are reached." in text


def test_the_command_makes_table_and_page_of_saved_runs(tmp_path: Path) -> None:
    results.write(a_run(FAST, settings={"parts": "speed"}), tmp_path / "a.json")
    results.write(a_run(F0, THEIRS, settings={"parts": "accuracy"}), tmp_path / "b.json")
    made = vocal("bench", "page", tmp_path / "a.json", tmp_path / "b.json", "--html", tmp_path / "out.html")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("| what | measured | target |")
    html = (tmp_path / "out.html").read_text("utf-8")
    assert "208 channels" in html
    assert "swift-f0" in html


@pytest.mark.parametrize(
    ("asked", "said"),
    [((), "wanted saved runs: vocal bench page RUN.json"), (("/nowhere.json",), "/nowhere.json: cannot be read")],
)
def test_wrong_use_of_the_page_is_named(asked: tuple[str, ...], said: str) -> None:
    result = vocal("bench", "page", *asked)
    assert result.returncode != 0
    assert said in result.stderr
    assert "Traceback" not in result.stderr
