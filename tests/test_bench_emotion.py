"""`vocal bench accuracy emotion`: its figures on cases worked out by hand, and the whole of it on voices made here."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import soundfile
from signals import voice
from test_bench_compare import a_run
from test_cli import vocal
from vocal.benchmarks import emotion, emotional, scores
from vocal.benchmarks.corpora import generator
from vocal.benchmarks.drawings import Confusion, Curve
from vocal.benchmarks.emotional import Item, coded, lines, mulaw, read_table
from vocal.benchmarks.hearing import Answers, by_span, running
from vocal.benchmarks.page import page
from vocal.benchmarks.results import Skipped
from vocal.benchmarks.rows import Row

from vocal.errors import InputError

LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
FOUR = ("anger", "happiness", "neutral", "sadness")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_uar_weighs_classes_not_recordings() -> None:
    truth = np.array(["a"] * 8 + ["b"] * 2)
    guess = np.array(["a"] * 8 + ["a", "b"])
    assert scores.uar(truth, guess) == pytest.approx((1.0 + 0.5) / 2)
    guess[0] = ""  # no answer is wrong
    assert scores.uar(truth, guess) == pytest.approx((7 / 8 + 0.5) / 2)
    assert scores.recalls(truth, guess, ("a", "b")).tolist() == [[7 / 8, 0.0], [0.5, 0.5]]


def test_f1_by_its_counts() -> None:
    truth = np.array([1, 1, 1, 0, 0], bool)
    guess = np.array([1, 1, 0, 1, 0], bool)
    precision, recall = 2 / 3, 2 / 3
    assert scores.f1(truth, guess) == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores.f1(truth, ~truth) == 0.0
    assert scores.f1(truth, truth) == 1.0


def naive_auc(truth: np.ndarray, score: np.ndarray) -> float:
    pairs = [(p > n) + 0.5 * (p == n) for p in score[truth] for n in score[~truth]]
    return float(np.mean(pairs))


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth = np.append(rng.random(18) < 0.4, [True, False])
        score = rng.integers(0, 6, 20) / 5.0  # ties
        assert scores.auc(truth, score) == pytest.approx(naive_auc(truth, score))


def test_the_roc_encloses_its_area() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(60) < 0.5
    score = np.round(truth + rng.normal(size=60), 1)
    x, y = (np.array(column) for column in zip(*scores.roc(truth, score), strict=True))
    assert (x[0], y[0], x[-1], y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2)) == pytest.approx(scores.auc(truth, score))


def test_concordance_falls_with_an_offset_that_correlation_does_not_see() -> None:
    a = np.array([0.1, 0.4, 0.5, 0.9])
    assert scores.ccc(a, a) == pytest.approx(1.0)
    assert scores.ccc(a, a + 0.3) == pytest.approx(2 * a.var() / (2 * a.var() + 0.09))
    assert scores.ccc(a, 1 - a) < 0
    assert scores.rank_correlation(a, a**3) == pytest.approx(1.0)
    assert scores.ranks(np.array([2.0, 1.0, 2.0])).tolist() == [2.5, 1.0, 2.5]


def test_calibration_error_by_hand() -> None:
    sure = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([1, 1, 1, 0, 1, 0], bool)
    bins = scores.reliability(sure, right)
    assert [(round(b.sure, 2), b.right, b.answers) for b in bins] == [(0.55, 0.5, 2), (0.95, 0.75, 4)]
    assert scores.calibration_error(bins) == pytest.approx(4 / 6 * 0.2 + 2 / 6 * 0.05)
    assert scores.calibration_error(scores.reliability(np.ones(4), np.ones(4, bool))) == 0.0


# --- what is said of recordings --------------------------------------------------------------------------------------


def an_item(emotion: str, i: int) -> Item:
    return Item("c", "de", Path(f"{i}.wav"), f"c/{i % 3}", "fm"[i % 2], emotion, "", np.nan, np.nan)


def truths(n: int = 420) -> list[Item]:
    return [an_item(LABELS[i % 7], i) for i in range(n)]


def knowing(items: list[Item]) -> Answers:
    """A model that is always right."""
    p = np.array([[0.94 if label == item.emotion else 0.01 for label in LABELS] for item in items])
    arousal = np.array([0.9 if item.emotion in emotional.HIGH else 0.1 for item in items])
    return Answers(LABELS, p, p.max(axis=1), arousal, np.full(len(items), 0.5))


def shuffled(given: Answers) -> Answers:
    order = np.random.default_rng(3).permutation(len(given.sure))
    return Answers(given.labels, *(values[order] for values in given[1:]))


def figures(items: list[Item], given: Answers) -> dict[str, float]:
    return {name: value for name, value, _ in emotion.measures(items, emotion.of_answers(given, LABELS))}


def test_figures_fall_when_the_model_is_worse() -> None:
    items = truths()
    best, worse = figures(items, knowing(items)), figures(items, shuffled(knowing(items)))
    assert set(best.values()) == {1.0}
    for name, chance in (("UAR, own classes", 1 / 7), ("UAR, 4 classes", 1 / 4), ("anger AUC", 0.5)):
        assert worse[name] == pytest.approx(chance, abs=0.12)
    assert worse["anger F1"] < 0.3
    assert worse["arousal UAR"] == pytest.approx(0.5, abs=0.1)


def test_random_answers_are_near_chance() -> None:
    items = truths(2100)
    priors = dict.fromkeys(LABELS, 1 / 7)
    found = figures(items, emotion.random_answers(len(items), priors, generator("random")))
    assert found["UAR, own classes"] == pytest.approx(1 / 7, abs=0.03)
    assert found["UAR, 4 classes"] == pytest.approx(1 / 4, abs=0.04)
    assert found["anger AUC"] == pytest.approx(1 / 2, abs=0.05)
    skewed = emotion.random_answers(3000, {"anger": 0.8, "neutral": 0.2}, generator("skewed"))
    assert np.mean(skewed.p.argmax(axis=1) == 0) == pytest.approx(0.8, abs=0.03)


def test_what_is_not_answered_is_wrong_in_its_own_row() -> None:
    items = truths(70)
    given = knowing(items)
    for values in given[1:]:
        values[:14] = np.nan  # two of each label
    found = figures(items, given)
    assert found["answered"] == pytest.approx(0.8)
    assert found["UAR, 4 classes"] == 1.0
    assert found["UAR, 4 classes, no answer is wrong"] == pytest.approx(0.8)


def test_a_class_that_is_never_said_is_missed() -> None:
    items = truths(70)
    given = knowing(items)
    given.p[:, LABELS.index("boredom")] = 0.0
    given.p[[item.emotion == "boredom" for item in items], LABELS.index("sadness")] = 0.9
    assert figures(items, given)["UAR, own classes"] == pytest.approx(6 / 7)


def test_dimensions_are_held_against_who_judged_them() -> None:
    items = [item._replace(arousal=a) for item, a in zip(truths(40), np.linspace(0, 1, 40), strict=True)]
    given = knowing(items)._replace(arousal=np.linspace(0, 1, 40))
    assert {name: value for name, value, _ in emotion.dimensions(items, given)} == pytest.approx(
        {"arousal CCC, 40 judged": 1.0}
    )


# --- the table and the lines -----------------------------------------------------------------------------------------


def write_table(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "emotion.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["corpus", "language", "path", "speaker", "gender", "emotion", "intensity"])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora of two speakers each, four emotions, one sentence each and sixteen bits."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    heights = {"anger": 1.5, "happiness": 1.4, "neutral": 1.0, "sadness": 0.9}
    for corpus, language in (("one", "de"), ("two", "en")):
        for speaker, (gender, f0_hz) in enumerate((("m", 110.0), ("f", 190.0))):
            for i, (label, height) in enumerate(heights.items()):
                for take in range(3):
                    name = f"{corpus}-{speaker}-{label}-{take}.wav"
                    seed = 100 * speaker + 10 * i + take
                    sound = voice(1.6, f0_hz * height, 4.0 + height, seed=seed)
                    soundfile.write(folder / name, np.pad(sound, 2000), 8000)
                    rows.append(
                        {
                            "corpus": corpus,
                            "language": language,
                            "path": name,
                            "speaker": f"{corpus}/{speaker}",
                            "gender": gender,
                            "emotion": label,
                            "intensity": "normal" if take else "strong",
                        }
                    )
    write_table(folder, rows)
    return folder


def test_lines_of_the_table_without_recordings_are_named(tiny: Path, tmp_path: Path) -> None:
    rows = [{"corpus": "c", "language": "de", "path": "gone.wav", "speaker": "s", "gender": "f", "emotion": "anger"}]
    write_table(tmp_path, rows)
    with pytest.raises(InputError, match=r"1 of 1 recordings are not there: gone\.wav"):
        read_table(tmp_path)
    assert len(read_table(tiny).items) == 48


def test_labels_of_no_known_meaning_are_counted(tmp_path: Path) -> None:
    common = {"corpus": "c", "language": "de", "path": "a.wav", "speaker": "s", "gender": "f"}
    write_table(tmp_path, [{**common, "emotion": label} for label in ("anger", "hangry", "hangry")])
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    items, (left_out,) = read_table(tmp_path)
    assert len(items) == 1
    assert left_out.what == "emotion: 2 recordings"
    assert left_out.why.startswith(f"{tmp_path / 'emotion.csv'}: wanted an emotion of anger, boredom")
    assert left_out.why.endswith("got hangry (2)")


def test_columns_that_lack_are_named(tmp_path: Path) -> None:
    (tmp_path / "emotion.csv").write_text("corpus,path\nc,a.wav\n")
    with pytest.raises(InputError, match="missing: language, speaker, gender, emotion"):
        read_table(tmp_path)


@pytest.mark.parametrize("line", lines([voice(1.0)]).kept, ids=lambda line: line.name)
def test_a_line_keeps_the_time_of_a_voice(line: emotional.Line) -> None:
    spoken = emotional.at_level(emotional.band(voice(2.0))).astype(np.float32)
    heard = line.send(spoken, np.random.default_rng(1))
    assert heard.shape == spoken.shape
    assert heard.dtype == np.float32
    assert np.isnan(heard).any() == line.name.endswith("lost")
    assert np.corrcoef(spoken, np.nan_to_num(heard))[0, 1] > 0.75


def test_mulaw_by_the_standard() -> None:
    # 16-bit values that G.711 says the codes 0x80, 0xf0, 0xff and 0x00 stand for.
    for coded_value in (32124, 120, 0, -32124):
        assert mulaw(np.array([coded_value / 32768]))[0] * 32768 == pytest.approx(coded_value, abs=1)


def test_a_codec_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> object:
        raise LookupError("libopus")

    monkeypatch.setattr(emotional, "coded", none)
    kept, missing = lines([])
    assert not [line.name for line in kept if line.name.startswith(("Opus", "AMR", "everyday"))]
    assert Skipped("emotion: lines, Opus 8 kbit/s", "FFmpeg has no libopus here") in missing
    assert coded is not none


def test_a_running_call_knows_which_recording_is_where() -> None:
    signal, spans = running([voice(1.0), voice(2.0)])
    assert len(signal) == 8000 * 5
    assert spans == [(1.0, 2.0), (3.0, 5.0)]

    class Told:
        utterances = ()

    assert by_span(Told(), spans) == [[], []]  # type: ignore[arg-type]


# --- all of it -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, object]], str]:
    out = tmp_path_factory.mktemp("page") / "deep" / "bench.html"
    result = vocal("bench", "accuracy", "emotion", "--data", tiny, "--json", "--html", out)
    assert result.returncode == 0, result.stderr
    for folder in ("noise", "kerstin_de"):
        assert f"not measured: emotion: what {folder} tells: {tiny}: missing in it: {folder}" in result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()], out.read_text("utf-8")


def test_every_part_gives_figures(run: tuple[list[dict[str, object]], str]) -> None:
    rows, _ = run
    found: dict[object, set[object]] = {}
    for row in rows:
        found.setdefault(row["part"], set()).add(row["condition"])
    assert {"one", "one, in call", "one, speaker-normalised", "two"} <= found["emotion: correctness"]
    assert "one, Opus 12 kbit/s" in found["emotion: lines"]
    assert {"one, women", "one, men", "language en"} <= found["emotion: fairness"]
    assert {"one", "two, in call"} <= found["emotion: calibration"]
    assert {"one", "one, running"} <= found["emotion: false alarms"]
    assert {"silence, 4 clips", "tones, 8 clips"} <= found["emotion: not speech"]
    assert "on disk" in found["emotion: cost"]
    assert all(np.isfinite(float(str(row["value"]))) for row in rows)


def test_silence_and_tones_have_no_emotion(run: tuple[list[dict[str, object]], str]) -> None:
    rows, _ = run
    claimed = {
        row["condition"]: row["value"]
        for row in rows
        if row["part"] == "emotion: not speech" and row["name"] == "an emotion is claimed"
    }
    assert claimed["silence, 4 clips"] == 0.0
    assert claimed["tones, 8 clips"] == 0.0


def is_well_formed(html: str) -> None:
    ElementTree.fromstring(html.split("</style></head>", 1)[1].rsplit("</html>", 1)[0])
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_the_page_is_whole(run: tuple[list[dict[str, object]], str]) -> None:
    _, html = run
    is_well_formed(html)
    for words in ("Reasons for doubt", "Anger against the rest", "Is the confidence true?", "What is taken for what"):
        assert words in html
    assert 'id="part-emotion-cost"' in html


def test_a_page_of_rows_alone() -> None:
    row = Row("speed", "channels <a core>", "a minute", "vocal", 3600.0, "channels", 3500.0)
    html = page(a_run(row, msgspec.structs.replace(row, who="openSMILE", value=70.0, target=None)))
    is_well_formed(html)
    assert "1 of 1 targets are reached" in html
    assert "channels &lt;a core&gt;" in html
    assert "Reasons for doubt" not in html


def test_a_page_draws_what_it_is_given() -> None:
    rows = [Row("emotion: correctness", "anger AUC", "c", who, 0.7, "share") for who in ("vocal", "random")]
    drawings = [
        Curve("roc", "c", "vocal", [(0.0, 0.0), (0.5, 0.9), (1.0, 1.0)]),
        Confusion("c", "vocal", ("anger", "neutral"), [[0.75, 0.25], [0.5, 0.5]]),
    ]
    html = page(msgspec.structs.replace(a_run(*rows), drawings=tuple(drawings)))
    is_well_formed(html)
    assert "M0 1000L500 100L1000 0L1000 0" in html
    assert ">75</td>" in html


# --- wrong use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("accuracy", "emotion"), 1, "emotion: wanted --data DIR, a folder of corpora with emotion.csv in it"),
        (("accuracy", "mood"), 2, "mood: wanted a topic of pitch, speech"),
        (("speed", "emotion"), 2, "topics are of accuracy"),
        (("speed", "--html", "/proc/nothing/a.html"), 2, "cannot be written"),
    ],
)
def test_wrong_use_is_named(arguments: tuple[str, ...], code: int, said: str) -> None:
    result = vocal("bench", *arguments)
    assert result.returncode == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    result = vocal("bench", "accuracy", "emotion", "--data", tmp_path, "--html", tmp_path / "a.html")
    assert result.returncode == 1
    for said in (result.stderr, (tmp_path / "a.html").read_text("utf-8")):
        assert "missing in it: emotion.csv" in said


# --- the peers, where they are installed -----------------------------------------------------------------------------


@pytest.fixture
def machine() -> Callable[..., object]:
    pytest.importorskip("sklearn")
    from vocal.benchmarks.emotion_peers import Machine

    return Machine


def test_a_machine_learns_what_can_be_learnt(machine: Callable[..., object]) -> None:
    rng = np.random.default_rng(4)
    truth = np.array(["a", "b", "c"] * 40)
    speakers = np.repeat([f"s{i}" for i in range(6)], 20)
    x = rng.normal(size=(120, 30)).astype(np.float32)
    x[:, 0] += 6 * (truth == "a")
    x[:, 1] += 6 * (truth == "b")
    inside = np.flatnonzero(speakers != "s5")
    made: emotion.Machine = machine(x, inside, truth, speakers)  # type: ignore[assignment]
    guess = np.array(made.classes)[made.scores(x).argmax(axis=1)]
    assert scores.uar(truth[speakers == "s5"], guess[speakers == "s5"]) > 0.7
    nonsense: emotion.Machine = machine(x, inside, rng.permutation(truth), speakers)  # type: ignore[assignment]
    guess = np.array(nonsense.classes)[nonsense.scores(x).argmax(axis=1)]
    assert scores.uar(truth[speakers == "s5"], guess[speakers == "s5"]) < 0.65


def test_speakers_are_brought_to_one_centre() -> None:
    from vocal.benchmarks.emotion_peers import by_speaker

    x = np.random.default_rng(5).normal(3, 2, (40, 3)).astype(np.float32)
    speakers = np.repeat(["a", "b"], 20)
    for speaker in "ab":
        own = by_speaker(x, speakers)[speakers == speaker]
        assert np.allclose(own.mean(axis=0), 0, atol=1e-5)
        assert np.allclose(own.std(axis=0), 1, atol=1e-3)
