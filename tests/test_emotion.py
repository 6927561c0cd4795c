"""The model keeps its contract, and one that does not is refused with a reason."""

import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import vocal_kernels as vk
from numpy.typing import NDArray
from signals import voice

from vocal.contract import models_folder
from vocal.emotion import BATCH, EmotionModel, find_models, stress_of
from vocal.errors import ModelError
from vocal.types import Emotion, Relative
from vocal.utterance import EmotionInput


@cache
def of_voices() -> list[NDArray[np.float64]]:
    """Functionals of 40 voices."""
    found = []
    for rows in vk.extract([voice(3.0, 90.0 + 5 * seed, seed=seed) for seed in range(40)]):
        functionals = np.zeros(vk.FUNCTIONALS)
        assert vk.functionals(rows, functionals) >= vk.LEAST_STEPS
        found.append(functionals)
    return found


def an_input(seed: int) -> EmotionInput:
    trust = float(np.random.default_rng(seed).uniform())
    return EmotionInput(of_voices()[seed], of_voices()[seed - 1], trust, 3.0)


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    return EmotionModel()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(models_folder() / "emotion", tmp_path / "emotion"))


def test_the_model_that_ships_keeps_its_contract(model: EmotionModel) -> None:
    assert models_folder() / "emotion" in find_models()
    assert model.check() == []
    assert model.vectors == 2
    assert (model.folder / "CARD.md").is_file()
    assert (model.folder / "model.onnx").stat().st_size < 10_000_000


def test_probabilities_sum_to_one_and_stay_in_range(model: EmotionModel) -> None:
    for emotion in model.estimate([an_input(seed) for seed in range(40)], [Relative()] * 40):
        assert isinstance(emotion, Emotion)
        assert sum(emotion.categories.values()) == pytest.approx(1.0, abs=0.01)
        assert all(0.0 <= v <= 1.0 for v in (emotion.valence, emotion.arousal, emotion.stress, emotion.confidence))
        assert emotion.sentiment == pytest.approx(2 * emotion.valence - 1, abs=0.002)


def test_what_is_like_no_voice_is_not_judged(model: EmotionModel) -> None:
    rng = np.random.default_rng(1)
    given = EmotionInput(10.0 * rng.normal(size=vk.FUNCTIONALS), np.zeros(vk.FUNCTIONALS), 0.0, 3.0)
    assert model.estimate([given], [Relative()]) == ["not_voice"]


def test_a_result_does_not_depend_on_the_batch(model: EmotionModel) -> None:
    inputs = [an_input(seed) for seed in range(2 * BATCH + 3)]
    together = model.infer(inputs)
    for i in (0, BATCH, 2 * BATCH + 2):
        alone = model.infer([inputs[i]])
        for output in ("categories", "valence_arousal"):
            assert np.array_equal(together[output][i], alone[output][0])


def test_the_centre_counts_only_as_far_as_it_is_trusted(model: EmotionModel) -> None:
    one = an_input(1)

    def inferred(row: EmotionInput) -> NDArray[np.float32]:
        return model.infer([row])["categories"]

    untrusted = inferred(one._replace(trust=0.0))
    assert np.array_equal(untrusted, inferred(one._replace(trust=0.0, centre=one.centre + 3.0)))
    assert not np.allclose(untrusted, inferred(one._replace(trust=0.9)))


def test_stress_needs_a_negative_voice() -> None:
    loud = Relative(level_db=8.0, f0_st=5.0, tempo_pct=35.0)
    happy, terms = stress_of(0.9, 0.9, loud)
    assert happy == 0.0
    assert terms["level_rise"] == 1.0
    assert stress_of(0.1, 0.9, Relative())[0] > 0.5
    assert stress_of(0.1, 0.9, loud)[0] > stress_of(0.1, 0.9, Relative())[0]
    assert stress_of(0.1, 0.1, Relative())[0] < stress_of(0.1, 0.9, Relative())[0]


def test_a_damaged_file_is_refused(copy: Path) -> None:
    file = copy / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"wanted sha256 .* cut off .* ends at byte"):
        EmotionModel(copy)


def test_a_wrong_checksum_is_refused(copy: Path) -> None:
    contract = copy / "model.toml"
    contract.write_text(contract.read_text().replace('sha256 = "', 'sha256 = "00'))
    with pytest.raises(ModelError, match=r"wanted sha256 00"):
        EmotionModel(copy)


def rewrite(copy: Path, model: onnx.ModelProto) -> None:
    import hashlib

    raw = model.SerializeToString()
    (copy / "model.onnx").write_bytes(raw)
    contract = (copy / "model.toml").read_text()
    digest = hashlib.sha256(raw).hexdigest()
    (copy / "model.toml").write_text(re.sub(r'sha256 = "\w+"', f'sha256 = "{digest}"', contract))


def test_other_inputs_are_refused(copy: Path) -> None:
    model = onnx.load(copy / "model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    rewrite(copy, model)
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it.*[Ii]ncompatible"):
        EmotionModel(copy)


def test_labels_that_do_not_fit_are_refused(copy: Path) -> None:
    contract = copy / "model.toml"
    contract.write_text(contract.read_text().replace('"anger", ', ""))
    with pytest.raises(ModelError, match=r"output 'categories': wanted shape \(n, 6\), got \(n, 7\)"):
        EmotionModel(copy)


def test_other_features_are_refused(copy: Path) -> None:
    contract = copy / "model.toml"
    contract.write_text(contract.read_text().replace(f"size = {vk.FUNCTIONALS}\n", "size = 88\n"))
    with pytest.raises(ModelError, match=f"made for 88 functionals, this version measures {vk.FUNCTIONALS}"):
        EmotionModel(copy)


def test_no_onnx_at_all_is_refused(copy: Path) -> None:
    import hashlib

    (copy / "model.onnx").write_bytes(b"not a model")
    contract = (copy / "model.toml").read_text()
    old = contract.split('sha256 = "')[1].split('"')[0]
    (copy / "model.toml").write_text(contract.replace(old, hashlib.sha256(b"not a model").hexdigest()))
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        EmotionModel(copy)


@pytest.mark.parametrize("body", ["", "name = 3", "[inputs.functionals]\nsize = 1", "[["])
def test_a_broken_contract_is_refused(copy: Path, body: str) -> None:
    (copy / "model.toml").write_text(body)
    with pytest.raises(ModelError, match="contract"):
        EmotionModel(copy)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        EmotionModel(tmp_path / "nowhere")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match=r"model\.onnx: wanted a model's folder"):
        EmotionModel(tmp_path / "model.onnx")


def test_vectors_that_differ_are_told(copy: Path) -> None:
    vectors = dict(np.load(copy / "vectors.npz"))
    np.savez(copy / "vectors.npz", **(vectors | {"1/trust": np.array([0.1])}))
    (fault, *_) = EmotionModel(copy).check()
    assert re.match(r"test vector 1: \w+ differs by 0\.\d+, wanted at most 0\.001", fault)
