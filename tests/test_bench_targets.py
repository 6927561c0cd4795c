"""What is aimed at stands in one file: every number is used, no other is, and a user's file takes its place."""

import ast
import copy
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest
import tiny_corpora
from test_cli import vocal
from vocal.benchmarks import accuracy, pitch, speech, targets
from vocal.benchmarks.asked import Asked
from vocal.benchmarks.rows import FLOORS, Row

from vocal.contract import models_folder
from vocal.errors import ConfigError

FOLDER = targets.SHIPPED.parent


@pytest.fixture(autouse=True)
def _shipped() -> Iterator[None]:
    yield
    targets.use(None)


def others(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_the_longest_end_of_a_condition_counts() -> None:
    assert targets.target("tempo", "articulation rate, r", "TIMIT, clean") == 0.88
    assert targets.target("tempo", "articulation rate, r", "TIMIT, babble 10 dB") is None
    assert targets.target("tempo", "articulation rate, r", "unclean") is None
    assert targets.target("emotion: correctness", "UAR, 4 classes", "emodb") == 0.9
    assert targets.target("emotion: correctness", "UAR, 4 classes", "emodb, speaker-normalised") == 0.95
    assert targets.target("emotion: correctness", "UAR, 4 classes", "emodb, in call") is None
    assert targets.limit("capacity", "calls refused") == 0.0
    with pytest.raises(KeyError):
        targets.target("capacity", "calls refusd")


def test_a_file_need_have_only_what_differs(tmp_path: Path) -> None:
    targets.use(others(tmp_path, "capacity: {tick p99: 15}\ntempo: {'articulation rate, r': {clean: 0.5}}\n"))
    assert targets.limit("capacity", "tick p99") == 15.0
    assert targets.limit("capacity", "packets lost by us") == 0.0
    assert targets.target("tempo", "articulation rate, r", "clean") == 0.5
    assert targets.target("tempo", "articulation rate, r", "white 10 dB") == 0.8
    targets.use(None)
    assert targets.limit("capacity", "tick p99") == 20.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("capcity: {tick p99: 15}", "unknown part 'capcity'; did you mean 'capacity'?"),
        ("capacity: {tick p9: 15}", "capacity: unknown figure 'tick p9'; did you mean 'tick p99'?"),
        ("pitch: {FFE: {clean: 9}}", "pitch: FFE: unknown condition 'clean'; did you mean 'EMO-DB, every third file"),
        ("pitch: {FFE: 9}", "pitch: FFE: wanted condition: ..., of EMO-DB, every third file, clean"),
        ("capacity: {tick p99: fast}", "capacity: tick p99: wanted a number, got 'fast'"),
        ("capacity: {tick p99: yes}", "capacity: tick p99: wanted a number, got True"),
        ("capacity: {tick p99: .nan}", "capacity: tick p99: wanted a number, got nan"),
        ("capacity: {tick p99: {clean: 3}}", "capacity: tick p99: wanted a number, got {'clean': 3}"),
        ("capacity: 20", "capacity: wanted figure: ..., of calls carried"),
        ("- 20", "wanted part: ..., of front end"),
        ("", "wanted part: ..., of front end, end to end, capacity"),
        ("capacity: {", "wanted YAML: while parsing"),
        ("1: {a: 2}", "unknown part '1'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = others(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        targets.use(path)
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)
    assert targets.limit("capacity", "tick p99") == 20.0  # the shipped ones hold


def test_wrong_files_end_the_command_at_once(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    for path, said in (
        (tmp_path / "gone.yaml", "No such file"),
        (others(tmp_path, "capacity: {a: 1}"), "unknown figure"),
    ):
        result = vocal("bench", "accuracy", "calls", "--targets", path, "--html", page)
        assert (result.returncode, page.exists()) == (2, False)
        assert f"{path}:" in result.stderr
        assert said in result.stderr
        assert "Traceback" not in result.stderr


# --- every number is used, and no other ------------------------------------------------------------------------------


def numbered(whole: targets.Targets) -> targets.Targets:
    """Each number another, and none twice."""
    count, found = 0, copy.deepcopy(whole)
    for figures in found.values():
        for figure, aim in figures.items():
            for condition in aim if isinstance(aim, dict) else ("",):
                count += 1
                if isinstance(aim, dict):
                    aim[condition] = 0.001 * count
                else:
                    figures[figure] = 0.001 * count
    return found


def leaves(part: str, whole: targets.Targets) -> dict[float, str]:
    """Which figure and condition each number of a part belongs to."""
    return {
        number: f"{figure}, {condition}"
        for figure, aim in whole[part].items()
        for condition, number in (aim.items() if isinstance(aim, dict) else {"": aim}.items())
    }


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[targets.Targets, list[Row]]:
    """All of accuracy on small corpora, with numbers of our own to reach."""
    data = tiny_corpora.write(tmp_path_factory.mktemp("corpora"))
    folds = tmp_path_factory.mktemp("folds")
    for speaker in tiny_corpora.SPEAKERS:
        (folds / f"emodb-{speaker}").symlink_to(models_folder() / "emotion")
    changed = numbered(targets.shipped())
    path = folds / "mine.yaml"
    path.write_bytes(msgspec.yaml.encode(changed))
    targets.use(path)
    rows = list(accuracy.rows(Asked(("accuracy",), (), data, False, folds), lambda _: None, []))
    return changed, [row for row in rows if isinstance(row, Row)]


def test_accuracy_has_its_targets_from_the_file(measured: tuple[targets.Targets, list[Row]]) -> None:
    changed, rows = measured
    for part in ("pitch", "speech", "tempo", "level", "clarity", "emotion: correctness", "satisfaction"):
        known = leaves(part, changed)
        found = {row.target for row in rows if row.part == part and row.target is not None}
        assert found <= set(known), part
        missing = {known[number] for number in set(known) - found}
        if part == "pitch" and find_spec("parselmouth") is None:
            # Praat says where EMO-DB's voices are, and a line that it is missing stands in their place.
            missing = {name for name in missing if "EMO-DB" not in name}
        assert missing == set(), part
    aimed = {row.part for row in rows if row.target is not None}
    assert aimed <= set(changed)
    assert {row.who for row in rows if row.target is not None} == {"vocal"}


def test_every_topic_has_a_floor(measured: tuple[targets.Targets, list[Row]]) -> None:
    _, rows = measured
    for part, names in (
        ("pitch", {"FFE", "GPE20", "miss", "false voiced"}),
        ("speech", {"AUC", "best F1", "false utterances"}),
        ("tempo", {"articulation rate, error", "over the labelled span, error"}),
        ("level", {"active level, error", "loudness, error"}),
        ("clarity", {"falls", "fall in all"}),
        (
            "emotion: correctness",
            {"UAR, 4 classes", "anger AUC", "arousal AUC"},
        ),
        ("boundaries", {"speech time found", "silence taken for speech"}),
        (
            "conversation",
            {"talk_share", "overlap_s", "interruptions", "non_talk_s", "longest_monologue_s", "median_gap_s"},
        ),
        ("satisfaction", {"start and end", "direction of change"}),
        ("moments", {"pain: precision", "pain: recall"}),
        (
            "loss",
            {"F0, from the undisturbed", "tempo, from the undisturbed", "mood, from the undisturbed", "lost, told"},
        ),
    ):
        floors = {row.name for row in rows if row.part == part and row.who in FLOORS}
        assert names <= floors, part
        ours = {(row.name, row.condition, row.unit) for row in rows if row.part == part and row.who == "vocal"}
        theirs = {(row.name, row.condition, row.unit) for row in rows if row.part == part and row.who in FLOORS}
        assert theirs <= ours, part  # each stands beside the figure that it is the floor of


def test_floors_are_what_they_say(measured: tuple[targets.Targets, list[Row]]) -> None:
    """Worked out by hand where that can be done."""
    _, rows = measured
    found = {(row.part, row.name, row.condition): row.value for row in rows if row.who in FLOORS}
    assert {value for (_, name, _), value in found.items() if name == "AUC"} == {0.5}
    assert found["speech", "false utterances", "dialling"] == pytest.approx(3600 / speech.BOUNDARY.longest_steps * 100)
    assert found["pitch", "miss", "fda_ue, clean"] == 0.0
    assert found["pitch", "false voiced", "fda_ue, clean"] == 100.0
    assert found["clarity", "falls", "loss"] == pytest.approx(0.5, abs=0.05)
    assert found["clarity", "fall in all", "loss"] == pytest.approx(0.0, abs=0.1)
    assert found["boundaries", "speech time found", "staged"] == 1.0
    assert found["boundaries", "silence taken for speech", "staged"] == 1.0
    assert found["satisfaction", "direction of change", "staged, voices trained on, 3 calls"] == pytest.approx(2 / 3)
    assert found["loss", "lost, told", "undisturbed"] == 0.0
    assert found["loss", "lost, told", "10 % lost"] == pytest.approx(-10.0, abs=2.0)
    loud, quiet = (found["level", "loudness, error", f"sine997_0dBFS{name}.pcm"] for name in ("", ".26LKFS"))
    assert loud - quiet == pytest.approx(26.0 - 3.01)  # their mean lies below both


def test_a_floor_is_no_peer_to_beat() -> None:
    judged = {
        "vocal": pitch.Wrong(10.0, 1.0, 10.0, 1.0, 1.0),
        "constant": pitch.Wrong(0.0, 0.0, 0.0, 0.0, 0.0),
        "RAPT": pitch.Wrong(12.0, 1.0, 10.0, 1.0, 1.0),
    }
    ours = {
        row.name: row.target for row in pitch._rows("a, clean", judged) if isinstance(row, Row) and row.who == "vocal"
    }
    assert ours["FFE"] == 12.0


def calls_of(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            yield name, node


PLACES = {"Row": 6, "timed": 7, "_row": 4, "_measured": 6, "_told": 3, "Limit": 3}
"""Where each takes its target."""


def test_no_row_has_a_number_of_its_own_to_reach() -> None:
    seen = 0
    for path in FOLDER.glob("*.py"):
        for name, call in calls_of(ast.parse(path.read_text())):
            if name not in PLACES:
                continue
            seen += 1
            given = [one.value for one in call.keywords if one.arg == "target"]
            given += call.args[PLACES[name] : PLACES[name] + 1]
            for one in given:
                assert not (isinstance(one, ast.Constant) and one.value is not None), f"{path.name}, line {call.lineno}"
    assert seen > 60


def test_every_figure_with_a_number_is_asked_for_by_its_name() -> None:
    """Also those of parts that are not run here."""
    said: set[str] = set()
    for path in FOLDER.glob("*.py"):
        said |= {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
    made = {f"cheaper than {who}" for who in ("asyncio", "uvloop")}
    made |= {f"{name}, {what}" for name in ("articulation rate", "over the labelled span") for what in ("r", "error")}
    for part, figures in targets.shipped().items():
        assert part in said
        assert set(figures) - made <= said, part


def test_the_command_takes_other_numbers(tmp_path: Path) -> None:
    mine = others(tmp_path, "clarity: {falls: 0.25}\nlevel: {'loudness, error': 0.002}\n")
    data = tiny_corpora.write(tmp_path)
    result = vocal("bench", "accuracy", "level", "--data", data, "--targets", mine, "--json")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["target"] for row in rows if row["who"] == "vocal" and row["unit"] == "LU"} == {0.002}
    assert {row["target"] for row in rows if row["who"] == "vocal" and row["unit"] == "dB"} == {0.1}
    assert {row["target"] for row in rows if row["who"] != "vocal"} == {None}


def test_the_help_names_the_file() -> None:
    said = "".join(vocal("bench", "--help", COLUMNS="400").stdout.split())
    assert "".join(str(targets.SHIPPED).split()) in said
