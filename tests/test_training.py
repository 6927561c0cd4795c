"""The emotion model's training, on a manifest of one's own."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from signals import RATE_HZ, voice

from vocal.emotion import EmotionModel

TRAIN = Path(__file__).parent.parent / "models/train/emotion.py"


def train(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TRAIN, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def write(folder: Path, rows: list[dict[str, str]]) -> Path:
    manifest = folder / "mine.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three speakers; who is angry speaks twice as fast, who is sad half as fast."""
    folder = tmp_path_factory.mktemp("own")
    rows = []
    for speaker, f0_hz in (("a", 100.0), ("b", 150.0), ("c", 210.0)):
        for emotion, rate in (("anger", 7.0), ("neutral", 4.0), ("sadness", 2.0)):
            for number in range(4):
                path = f"{speaker}-{emotion}-{number}.wav"
                signal = voice(2.5, f0_hz, rate, seed=len(rows))
                soundfile.write(folder / path, signal, RATE_HZ)
                rows.append({"path": path, "speaker": speaker, "emotion": emotion})
    rows.append({"path": "gone.wav", "speaker": "c", "emotion": "elation"})
    return write(folder, rows)


def test_a_manifest_becomes_a_model_that_keeps_its_contract(manifest: Path, tmp_path: Path) -> None:
    given = ["--manifest", manifest, "--lines", 3, "--landmarks", 60, "--folds", tmp_path / "folds"]
    first = train(*given, "--out", tmp_path / "one")
    assert first.returncode == 0, first.stderr
    assert "1 lines of other emotions than anger" in first.stderr
    model = EmotionModel(tmp_path / "one")
    assert model.check() == []
    assert model.contract.licence == "as the recordings allow"
    told = json.loads((tmp_path / "one/training.json").read_text())
    assert set(told["categories"]) == {"anger", "neutral", "sadness"}
    assert told["utterances"] > 30
    assert told["left_out_speaker"]["first utterance"]["uar"] > 0.8
    assert sorted(folder.name for folder in (tmp_path / "folds").iterdir()) == ["a", "b", "c"]
    again = train(*given, "--out", tmp_path / "two")
    assert again.returncode == 0, again.stderr
    one, two = (np.load(tmp_path / name / "vectors.npz") for name in ("one", "two"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_manifest_without_its_columns_or_files_is_refused(tmp_path: Path) -> None:
    bad = write(tmp_path, [{"path": "a.wav", "emotion": "anger"}])
    assert "missing: speaker" in train("--manifest", bad, "--out", tmp_path / "m").stderr
    gone = write(tmp_path, [{"path": "a.wav", "speaker": "s", "emotion": "anger"}])
    assert "1 without a file: ['a.wav']" in train("--manifest", gone, "--out", tmp_path / "m").stderr
