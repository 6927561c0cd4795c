"""`vocal bench`: what it says of signals whose truth is known, and that it says it in one form; nothing is timed."""

import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from test_cli import vocal
from vocal.benchmarks import calls, pitch, speech
from vocal.benchmarks.corpora import alaw, at_level, band
from vocal.benchmarks.results import Skipped
from vocal.benchmarks.rows import Row

from vocal.types import Satisfaction


def test_f0_errors_are_counted() -> None:
    reference = np.array([0.0, 0.0, 100.0, 100.0, 200.0, 200.0, 200.0, 200.0])
    found = np.array([0.0, 90.0, 0.0, 100.0, 200.0 * 2 ** (10 / 1200), 400.0, 200.0, 200.0])
    wrong = pitch.compare(reference, found)
    assert wrong.ffe == pytest.approx(100 * 3 / 8)
    assert wrong.gpe20 == pytest.approx(100 / 5)
    assert wrong.miss == pytest.approx(100 / 6)
    assert wrong.false_voiced == pytest.approx(50)


def test_auc_of_what_is_known() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0, np.nan])
    assert speech.tell(truth, np.array([0.1, 0.2, 0.3, 0.4, 0.0])).auc == 1.0
    assert speech.tell(truth, np.array([0.4, 0.3, 0.2, 0.1, 0.9])).auc == 0.0
    assert speech.tell(truth, np.full(5, 0.5)).auc == 0.5
    assert speech.tell(truth, np.full(5, 0.5)).best_f1 == pytest.approx(2 / 3)


def test_the_line_is_a_telephone() -> None:
    t = np.arange(32000) / 8000
    for hz, db in ((100.0, -39.2), (1000.0, 0.0), (300.0, -3.0), (3400.0, -3.0)):
        passed = band(np.sin(2 * np.pi * hz * t))[8000:24000]
        assert 10 * np.log10(2 * (passed**2).mean()) == pytest.approx(db, abs=0.2)
    loud = at_level(np.sin(2 * np.pi * 500.0 * t))
    assert 10 * np.log10((loud**2).mean()) == pytest.approx(-26.0, abs=0.2)
    assert np.abs(alaw(loud) - loud).max() < 0.02 * np.abs(loud).max()


TRUTH = {
    "seconds": 40.0,
    "dead_air": [{"start": 30.0, "end": 36.0}],
    "spans": [
        {"channel": channel, "start": start, "end": end, "mood": mood}
        for channel, start, end, mood in (
            (1, 0.0, 4.0, -1.0),
            (0, 4.0, 6.0, 1.0),  # the agent's: nothing of it counts
            (1, 6.0, 10.0, -0.5),
            (1, 10.0, 14.0, 0.0),
            (1, 14.0, 16.0, 0.0),
            (1, 16.0, 18.0, 1.0),
            (1, 20.0, 24.0, 1.0),
        )
    ],
}


@pytest.mark.parametrize(
    ("kind", "told", "wanted"),
    [
        ("positive", [(16.0, 24.0)], (1, 1, 1, 1)),
        ("positive", [(10.0, 18.5)], (0, 1, 1, 1)),  # most of it is neutral
        ("positive", [(4.0, 6.0)], (0, 1, 0, 1)),
        ("positive", [], (0, 0, 0, 1)),
        ("pain", [(0.0, 10.0), (31.0, 36.0)], (2, 2, 2, 2)),
        ("pain", [(0.0, 3.0), (22.0, 24.0)], (1, 2, 1, 2)),
    ],
)
def test_moments_are_held_against_the_truth(
    kind: str, told: list[tuple[float, float]], wanted: tuple[int, ...]
) -> None:
    known = calls.MomentTruth(TRUTH)
    assert known.judge(kind, told) == wanted
    assert known.judge(kind, told, 40.0) == wanted  # once around
    moved = known.judge(kind, [(start + 5.0, end + 5.0) for start, end in told], 35.0)
    assert moved == wanted


def test_a_low_that_eases_is_held_against_the_truth() -> None:
    assert calls.eases(TRUTH, (10.0, 16.0))
    assert not calls.eases(TRUTH, (6.0, 14.0))
    assert not calls.eases(TRUTH, (20.0, 24.0))  # long after


def test_a_conversation_is_measured_by_hand() -> None:
    spans = (
        (0, 0.0, 4.0),
        (1, 3.5, 6.0),  # cuts in
        (1, 8.0, 9.0),  # the same turn
        (0, 10.0, 11.0),
        (1, 10.4, 10.7),  # mhm
        (0, 20.0, 22.0),  # another turn: the pause before it is too long
        (1, 22.5, 23.0),
    )
    truth = {
        "spans": [{"channel": channel, "start": start, "end": end} for channel, start, end in spans],
        "talkover": [{"by": 1, "start": 3.5, "end": 4.0}],
        "dead_air": [{"start": 11.0, "end": 20.0}],
        "backchannels": [{"by": 1, "start": 10.4, "end": 10.7}],
    }
    found = calls.measured(truth)
    assert found["talk_share"] == pytest.approx({"agent": 7.0 / 11.3, "customer": 4.3 / 11.3})
    assert found["overlap_s"] == {"": 0.5}
    assert found["interruptions"] == {"agent": 0, "customer": 1}
    assert found["non_talk_s"] == {"": 9.0}
    assert found["longest_monologue_s"] == pytest.approx({"agent": 4.0, "customer": 5.5})
    assert found["median_gap_s"] == pytest.approx({"agent": 1.0, "customer": 0.0})
    assert set(found) == set(calls.MEASURES)


def told(start: float, end: float) -> SimpleNamespace:
    intervals = {"start": (start - 1.0, start + 1.0), "end": (end - 1.0, end + 1.0)}
    said = Satisfaction(start, end, end - start, intervals, {})
    return SimpleNamespace(ended=SimpleNamespace(satisfaction=said))


def test_satisfaction_is_held_against_the_truth() -> None:
    """By hand: 1, 5.5 and 10 of the journey are -1, 0 and 1 of the truth."""
    moods = ((-1.0, 1.0), (0.0, -1.0), (0.0, 1.0))
    answers = ((1.5, 9.5), (5.0, 3.0), (5.5, 5.0))
    judged = [
        (told(*said), {"mood_start": start, "mood_end": end}) for said, (start, end) in zip(answers, moods, strict=True)
    ]
    rows = list(calls.satisfaction(judged, "a"))  # type: ignore[arg-type]
    found = {(row.name, row.who, row.unit): row.value for row in rows if isinstance(row, Row)}
    wanted, got = np.array([1.0, 10.0, 5.5, 1.0, 5.5, 10.0]), np.array([1.5, 9.5, 5.0, 3.0, 5.5, 5.0])
    assert found["start and end", "vocal", "points error"] == pytest.approx((0.5 + 0.5 + 0.5 + 2.0 + 0.0 + 5.0) / 6)
    assert found["start and end", "always the mean", "points error"] == pytest.approx(np.abs(wanted - 5.5).mean())
    assert found["start and end", "vocal", "r"] == pytest.approx(np.corrcoef(wanted, got)[0, 1])
    assert found["in its interval", "vocal", "share"] == pytest.approx(4 / 6)
    assert found["direction of change", "vocal", "share"] == pytest.approx(2 / 3)
    assert found["direction of change", "constant", "share"] == pytest.approx(2 / 3)
    silent = SimpleNamespace(ended=SimpleNamespace(satisfaction=None))
    (skipped,) = calls.satisfaction([(silent, judged[0][1])], "a")  # type: ignore[list-item]
    assert skipped == Skipped("satisfaction of 1 of 1 calls, a", "nothing was inferred of the customer")


def test_moments_of_the_staged_calls_are_those_of_the_truth(shared_data: Path) -> None:
    """With voices the model knows, which is what the conversation makes of it, not how well voices are understood."""
    import vocal as package

    judged = [(package.analyze(path, notice=True), truth) for path, truth in calls.truths(shared_data / "calls/staged")]
    found = {(row.name, row.who): row.value for row in calls.moments(judged, "staged")}
    for kind, precision, recall in (("positive", 0.9, 0.7), ("pain", 0.9, 0.7)):
        assert found[f"{kind}: precision", "vocal"] >= precision
        assert found[f"{kind}: recall", "vocal"] >= recall
        assert found[f"{kind}: precision", "vocal"] > found[f"{kind}: precision", "random"] + 0.3


def test_a_row_says_whether_its_target_is_reached() -> None:
    row = Row("speed", "channels a core", "a minute", "vocal", 3600.0, "channels", 3500.0)
    assert row.reached is True
    assert msgspec.structs.replace(row, better="lower").reached is False
    assert msgspec.structs.replace(row, target=None).reached is None
    assert json.loads(row.as_json())["reached"] is True


def test_bench_of_the_demo_call() -> None:
    result = vocal("bench", "accuracy", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {"part", "name", "condition", "who", "value", "unit", "target", "reached"} == set(rows[0])
    assert {row["name"] for row in rows if row["part"] == "moments"} >= {"positive: precision", "pain: recall"}
    found = {row["name"]: row["value"] for row in rows if row["part"] == "boundaries"}
    assert found["speech time found"] > 0.9


def test_bench_names_what_is_wrong() -> None:
    result = vocal("bench", "accuracy", "--data", "/nowhere")
    assert result.returncode == 2
    assert "--data /nowhere: wanted a folder of corpora" in result.stderr


def test_bench_names_the_corpora_that_are_missing(tmp_path: Path) -> None:
    (tmp_path / "emodb").mkdir()
    result = vocal("bench", "accuracy", "--data", tmp_path)
    assert result.returncode == 1
    for topic, missing in (("pitch", "fda_ue"), ("tempo", "timit_nltk"), ("calls", "calls/staged")):
        said = f"not measured: accuracy {topic}: {tmp_path}: wanted a folder of corpora with "
        (line,) = (line for line in result.stderr.splitlines() if line.startswith(said))
        assert line.endswith(f"missing in it: {missing}")
    assert "Traceback" not in result.stderr


def test_bench_without_corpora_says_which_topics_want_some() -> None:
    result = vocal("bench", "accuracy", "emotion", "level", "calls", "--json")
    assert result.returncode == 0, result.stderr
    assert "not measured: accuracy emotion: wanted --data DIR, a folder of corpora with emotion.csv" in result.stderr
    assert "not measured: accuracy level: wanted --data DIR" in result.stderr
    assert {json.loads(line)["part"] for line in result.stdout.splitlines()} >= {"boundaries", "satisfaction"}
