"""A trained machine as a model's folder: model.onnx, model.toml, its contract, and vectors.npz to check it by."""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import vocal_kernels as vk
from corpus import PLANE, Corpus
from machine import FAR, STEEP, WIDTH, Machine
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def graph(machine: Machine, categories: list[str]) -> onnx.ModelProto:
    """functionals, centre (n, FUNCTIONALS), trust (n, 1) -> categories, valence_arousal, voice."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, value: Any, kind: type = np.float32) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    position = vk.IS_POSITION
    own = node("Mul", [node("Sub", ["functionals", "centre"], "away"), "trust"], "trusted")
    own = node("Mul", [own, constant("own_scale", np.where(position, machine.scale, 0.0))], "own")
    seen = node("Sub", ["functionals", constant("mean", machine.mean)], "off")
    seen = node("Mul", [seen, constant("seen_scale", np.where(position, 0.0, machine.scale))], "seen")
    z = node("Clip", [node("Add", [own, seen], "both"), constant("low", -FAR), constant("high", FAR)], "z")
    near = machine.landmarks.astype(np.float32)
    constant("landmarks_16", machine.landmarks, np.float16)
    landmarks = node("Cast", ["landmarks_16"], "landmarks", to=TensorProto.FLOAT)
    factor = WIDTH / vk.FUNCTIONALS
    # -WIDTH / d (|z|^2 + |landmark|^2 - 2 z landmark), at most 0
    square = constant("square", -factor * (near * near).sum(1))
    across = node("Gemm", [z, landmarks, square], "across", alpha=2 * factor, transB=1)
    size = node("ReduceSumSquare", [z], "size", axes=[1], keepdims=1)
    size = node("Mul", [size, constant("factor", factor)], "sized")
    k = node("Exp", [node("Min", [node("Sub", [across, size], "apart"), constant("zero", 0.0)], "held")], "k")
    node("ReduceMean", [k], "voice", axes=[1], keepdims=1)
    f = node("Tanh", [node("MatMul", [k, constant("mixing", STEEP * machine.mixing)], "mixed")], "f")
    votes = node("MatMul", [f, constant("voting", machine.sharp * machine.voting)], "votes")
    node("Softmax", [votes], "categories", axis=1)
    plane = constant("plane", np.array([PLANE[name] for name in categories]))
    node("MatMul", ["categories", plane], "valence_arousal")
    given = {"functionals": vk.FUNCTIONALS, "centre": vk.FUNCTIONALS, "trust": 1}
    found = {"categories": len(categories), "valence_arousal": 2, "voice": 1}
    made = helper.make_graph(
        nodes,
        "emotion",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in given.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in found.items()],
        weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="vocal")
    model.ir_version = 9
    onnx.checker.check_model(model)
    return model


def contract(raw: bytes, corpus: Corpus, name: str, version: str, licence: str, nearest: float) -> str:
    """model.toml; docs/models.md has the keys."""
    return f"""# The contract of model.onnx beside it: the engine refuses a file that does not keep it.
name = "{name}"
version = "{version}"
date = "{date.today().isoformat()}"
licence = "{licence}"
sha256 = "{hashlib.sha256(raw).hexdigest()}"
opset = {OPSET}

[inputs.functionals]
kind = "functionals"
size = {vk.FUNCTIONALS}

[inputs.centre]
kind = "centre"
size = {vk.FUNCTIONALS}

[inputs.trust]
kind = "trust"

[outputs.categories]
kind = "categories"
labels = {json.dumps(corpus.categories)}

[outputs.valence_arousal]
kind = "dimensions"
names = ["valence", "arousal"]

[outputs.voice]
kind = "voice"
least = {nearest:.3f}

[training]
corpora = {json.dumps(sorted(set(corpus.corpora.tolist())))}
utterances = {corpus.size}
speakers = {len(np.unique(corpus.speakers))}
lines = {len(corpus.functionals)}
"""


def vectors(machine: Machine, corpus: Corpus) -> dict[str, NDArray[np.float32]]:
    """What the graph is shown of two rows, and what the machine gives for them without onnxruntime."""
    arrays: dict[str, NDArray[np.float32]] = {}
    for number, (row, trust) in enumerate(((0, 0.0), (corpus.size // 2, 0.6))):
        x = corpus.functionals[0, 0, row].astype(np.float64)
        centre = corpus.functionals[0, 0, row - 1].astype(np.float64)
        shown = x[None], centre[None], np.array([[trust]])
        p = machine.probabilities(*shown)[0]
        plane = p @ np.array([PLANE[name] for name in corpus.categories])
        named = {"functionals": x, "centre": centre, "trust": [trust], "categories": p, "valence_arousal": plane}
        named["voice"] = machine.votes(*shown)[1]
        arrays |= {f"{number}/{name}": np.asarray(value, np.float32) for name, value in named.items()}
    return arrays


def export(
    machine: Machine, out: Path, corpus: Corpus, version: str, licence: str, nearest: float, name: str = "vocal-emotion"
) -> None:
    """nearest: rows farther from all that was heard in training are no voice that can be judged."""
    out.mkdir(parents=True, exist_ok=True)
    raw = graph(machine, corpus.categories).SerializeToString()
    (out / "model.onnx").write_bytes(raw)
    (out / "model.toml").write_text(contract(raw, corpus, name, version, licence, nearest), "utf-8")
    np.savez_compressed(out / "vectors.npz", **vectors(machine, corpus))
