"""model.toml and model.onnx are held against each other when the model is loaded: each mismatch in one line."""

import re
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
import vocal_kernels as vk
from graphs import (
    ABOUT,
    CATEGORIES,
    DIMENSIONS,
    FUNCTIONALS,
    LOG_MEL,
    SIGNAL,
    Graph,
    of_functionals,
    of_mel,
    of_signal,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

from vocal.contract import (
    Categories,
    Contract,
    Dimensions,
    Functionals,
    LogMel,
    Voice,
    Waveform,
    opset_of,
    read_contract,
)
from vocal.emotion import EmotionModel
from vocal.errors import ModelError

SURE = "confidence = 0.6"
SHARES = FUNCTIONALS + CATEGORIES
PLACES = SIGNAL + DIMENSIONS


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        EmotionModel(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_a_contract_is_read_as_it_is_written(tmp_path: Path) -> None:
    contract = read_contract(write(tmp_path, of_signal(), PLACES, extra=f"{SURE}\nlongest_s = 6"))
    assert contract.inputs == {"signal": Waveform(16000, "utterance", None)}
    assert contract.outputs == {"logits": Dimensions(["arousal", "dominance", "valence"], 0.0, 1.0)}
    assert (contract.confidence, contract.longest_s, contract.opset) == (0.6, 6.0, 17)
    assert contract.wants == {"waveform"}
    assert not contract.is_fixed


def test_contracts_in_the_guide_can_be_followed(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
    examples = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "model.toml").write_text(example, "utf-8")
        assert read_contract(tmp_path).wants
    for part in (Contract, Functionals, LogMel, Waveform, Categories, Dimensions, Voice):
        for key in part.__struct_fields__:
            assert f"`{key}`" in guide or key in ("inputs", "outputs", "plane", "training"), key


@pytest.mark.parametrize(
    ("contract", "extra", "wanted"),
    [
        (SHARES, "licenze = 'x'", "contract: unknown key 'licenze'; did you mean 'licence'?"),
        (SHARES + "labls = []", "", "[outputs.p]: unknown key 'labls'; did you mean 'labels'?"),
        (SHARES.replace('"functionals"', '"functional"'), "", "unknown kind 'functional'; did you mean 'functionals'?"),
        (SHARES.replace('"categories"', '"dimension"'), "", "unknown kind 'dimension'; did you mean 'dimensions'?"),
        (SHARES.replace('kind = "categories"\n', ""), "", "wanted kind = 'categories' or 'dimensions' or 'voice', got"),
        (SHARES.replace(str(vk.FUNCTIONALS), "88"), "", "made for 88 functionals, this version measures 1312"),
        (LOG_MEL.replace(str(vk.MEL_BANDS), "80") + CATEGORIES, "", "made for 80 mel bands, this version measures 24"),
        (LOG_MEL + 'level = "off"\n' + CATEGORIES, "", "wanted level 'kept' or 'removed', got 'off'"),
        (LOG_MEL + "steps = 0\n" + CATEGORIES, "", "wanted steps above 0, got 0"),
        (LOG_MEL + 'steps = "all"\n' + CATEGORIES, "", "Expected `int | null`, got `str` - at `$.steps`"),
        (PLACES.replace("16000", "44100"), SURE, "wanted rate_hz 8000 or 16000, got 44100"),
        (PLACES.replace('"utterance"', '"layer"'), SURE, "wanted normalise 'none' or 'utterance', got 'layer'"),
        (PLACES.replace('"dominance"', '"power"'), SURE, "'valence' or 'arousal' or 'dominance', got 'power'"),
        (PLACES.replace(', "valence"', ""), SURE, "wanted valence and arousal among the names"),
        (PLACES + "low = 1", SURE, "wanted low below high, got 1.0 and 1.0"),
        (PLACES, "", "without categories wanted a constant confidence from 0 to 1, got None"),
        (PLACES, "confidence = 1.5", "without categories wanted a constant confidence from 0 to 1, got 1.5"),
        (SHARES, SURE, "confidence is for a model without categories"),
        (SHARES + 'activation = "sigmoid"', "", "wanted activation 'none' or 'softmax', got 'sigmoid'"),
        (SHARES + "temperature = 2.0", "", 'temperature is for activation = "softmax"'),
        (SHARES.replace('"neutral"', '"anger"'), "", "wanted two labels or more, each once"),
        (SHARES.replace('"neutral"', '"contempt"'), "", "wanted [plane] contempt = [valence, arousal]"),
        (SHARES + "[plane]\nangr = [0.1, 0.9]", "", "[plane]: unknown label 'angr'; did you mean 'anger'?"),
        (SHARES + "[plane]\nanger = [-1.0, 0.9]", "", "wanted valence and arousal of 'anger' from 0 to 1"),
        (PLACES + "[plane]\nanger = [0.1, 0.9]", SURE, "[plane] is for a model with categories"),
        (SHARES + CATEGORIES.replace(".p]", ".q]"), "", "wanted each kind of output once"),
        (SHARES, "least_s = 16.0", "wanted least_s below longest_s"),
        (SHARES, "longest_s = 60.0", "and that at most 15, got 0.0 and 60.0"),
        (CATEGORIES, "", "missing required field `inputs`"),
        (FUNCTIONALS + "[outputs]", "", "wanted an input, and an output of categories or dimensions"),
        (FUNCTIONALS + '[outputs.p]\nkind = "voice"', "", "wanted an input, and an output of categories or dimensions"),
        ("", "inputs = 3", "wanted tables [inputs.NAME], got 3"),
        ("[inputs]\nsignal = 3", "", "[inputs.signal]: wanted a table with a kind, got 3"),
        ("[training", "", "not a model's contract"),
    ],
)
def test_a_contract_that_cannot_be_followed(tmp_path: Path, contract: str, extra: str, wanted: str) -> None:
    assert wanted in refusal(write(tmp_path, of_functionals(), contract, extra=extra))


def test_each_missing_key_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, of_functionals(), SHARES)
    text = (folder / "model.toml").read_text()
    for line in [*ABOUT.splitlines(), "opset = 17"]:
        (folder / "model.toml").write_text(text.replace(line + "\n", ""))
        assert f"missing required field `{line.split()[0]}`" in refusal(folder)


def test_a_truncated_file(tmp_path: Path) -> None:
    folder = write(tmp_path, of_functionals(), SHARES)
    raw = (folder / "model.onnx").read_bytes()
    for size in (0, 1, 40, len(raw) // 2, len(raw) - 1):
        (folder / "model.onnx").write_bytes(raw[:size])
        said = refusal(folder)
        assert "wanted sha256" in said
        assert size == 0 or "cut off" in said


def test_a_wrong_checksum(tmp_path: Path) -> None:
    assert "wanted sha256 000000000000..., got" in refusal(write(tmp_path, of_functionals(), SHARES, sha256="0" * 64))


def test_a_wrong_opset(tmp_path: Path) -> None:
    assert "wanted opset 17, got 15" in refusal(write(tmp_path, of_functionals(opset=15), SHARES))
    EmotionModel(write(tmp_path, of_functionals(opset=15), SHARES, opset=15))


def test_an_opset_that_onnxruntime_does_not_know(tmp_path: Path) -> None:
    folder = write(tmp_path, of_functionals(opset=500), SHARES, opset=500)
    assert "onnxruntime cannot load it" in refusal(folder)


def test_other_inputs(tmp_path: Path) -> None:
    folder = write(tmp_path, of_functionals(name="features"), SHARES)
    assert "wanted the contract's input 'functionals', the graph has ['features']" in refusal(folder)
    g = Graph()
    g("Softmax", g("Add", "functionals", "more"), to="p", axis=1)
    two = {"functionals": ["n", vk.FUNCTIONALS], "more": ["n", vk.FUNCTIONALS]}
    folder = write(tmp_path, g.model(two, {"p": ["n", vk.FUNCTIONALS]}), SHARES)
    assert "its input 'more' is not in the contract, which names ['functionals']" in refusal(folder)


def identity(shape: list[int | str], kind: int = onnx.TensorProto.FLOAT) -> onnx.ModelProto:
    g = Graph()
    g.nodes.append(onnx.helper.make_node("Cast", ["functionals"], ["p"], to=onnx.TensorProto.FLOAT))
    return g.model({"functionals": shape}, {"p": shape}, kind=kind)


def test_inputs_of_another_width_rank_or_type(tmp_path: Path) -> None:
    def said(model: onnx.ModelProto) -> str:
        return refusal(write(tmp_path, model, SHARES))

    wanted = f"input 'functionals': wanted shape (n, {vk.FUNCTIONALS}), got "
    assert wanted + "(n, 88)" in said(identity(["n", 88]))
    assert wanted + f"(n, 1, {vk.FUNCTIONALS})" in said(identity(["n", 1, vk.FUNCTIONALS]))
    assert "wanted tensor(float), got tensor(double)" in said(
        identity(["n", vk.FUNCTIONALS], kind=onnx.TensorProto.DOUBLE)
    )
    assert "output 'p': wanted shape (n, 3)" in said(identity(["n", vk.FUNCTIONALS]))
    # A graph that does not say how much it gives is tried.
    g = Graph()
    g("Compress", "functionals", g.weight(np.ones(5, bool)), to="p", axis=1)
    model = g.model({"functionals": ["n", vk.FUNCTIONALS]}, {"p": ["n", "some"]})
    assert "output 'p': wanted shape (16, 3), got (16, 5)" in said(model)


def test_lengths_that_differ(tmp_path: Path) -> None:
    folder = write(tmp_path, of_signal(16000), PLACES, extra=SURE)
    assert "input 'signal': wanted shape (n, samples), got (batch, 16000)" in refusal(folder)
    folder = write(tmp_path, of_mel(200), LOG_MEL + "steps = 300\n" + CATEGORIES)
    assert "input 'mel': wanted shape (n, 300, 24), got (n, 200, 24)" in refusal(folder)


def test_rows_that_are_counted_by_the_graph(tmp_path: Path) -> None:
    EmotionModel(write(tmp_path, of_signal(batch=1), PLACES, extra=SURE))
    folder = write(tmp_path, of_signal(batch=4), PLACES, extra=SURE)
    assert "wanted inputs of any number of rows, got [4]" in refusal(folder)
    EmotionModel(write(tmp_path, of_signal(8000, batch=4), SIGNAL + "samples = 8000\n" + DIMENSIONS, extra=SURE))


def test_other_outputs(tmp_path: Path) -> None:
    folder = write(tmp_path, of_signal(), PLACES.replace("outputs.logits", "outputs.logit"), extra=SURE)
    assert "unknown output 'logit'; did you mean 'logits'?" in refusal(folder)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    folder = write(tmp_path, of_functionals(width=4), SHARES)
    assert "output 'p': wanted shape (n, 3), got (n, 4)" in refusal(folder)


def test_a_graph_that_cannot_run(tmp_path: Path) -> None:
    g = Graph()
    flat = g("Reshape", "signal", g.weight(np.array([-1, 7])))
    g("Slice", flat, g.weight(np.array([0])), g.weight(np.array([3])), g.weight(np.array([1])), to="logits")
    folder = write(tmp_path, g.model({"signal": ["n", "time"]}, {"logits": ["m", 3]}), PLACES, extra=SURE)
    assert "onnxruntime cannot run it" in refusal(folder)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_opsets(raw: bytes) -> None:
    with suppress(ValueError):
        opset_of(raw)


@given(st.integers(1, 2**40), st.booleans())
def test_the_opset_is_that_of_the_default_domain(version: int, named: bool) -> None:
    opsets = [onnx.helper.make_opsetid("com.microsoft", 1), onnx.helper.make_opsetid("ai.onnx" * named, version)]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []), opset_imports=opsets)
    assert opset_of(model.SerializeToString()) == version
    assert opset_of(onnx.ModelProto(ir_version=9).SerializeToString()) is None
