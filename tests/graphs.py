"""Small random graphs with the signatures of models that people bring, each a folder with its contract."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import vocal_kernels as vk
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]
ABOUT = 'name = "small"\nversion = "1"\ndate = "2026-01-01"\nlicence = "CC0-1.0"\n'
FUNCTIONALS = f'[inputs.functionals]\nkind = "functionals"\nsize = {vk.FUNCTIONALS}\n'
CATEGORIES = '[outputs.p]\nkind = "categories"\nlabels = ["anger", "neutral", "happiness"]\n'
LOG_MEL = f'[inputs.mel]\nkind = "log_mel"\nbands = {vk.MEL_BANDS}\n'
SIGNAL = '[inputs.signal]\nkind = "waveform"\nrate_hz = 16000\nnormalise = "utterance"\n'
DIMENSIONS = '[outputs.logits]\nkind = "dimensions"\nnames = ["arousal", "dominance", "valence"]\n'


class Graph:
    """Nodes and weights as they are written down."""

    def __init__(self, seed: int = 1) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def __call__(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        to = to or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [to], **attributes))
        return to

    def weight(self, value: Any) -> str:
        value = np.asarray(value)
        name = f"weight{len(self.weights)}"
        kept = value.astype(np.float32) if value.dtype.kind == "f" else value
        self.weights.append(numpy_helper.from_array(kept, name))
        return name

    def random(self, *shape: int, size: float = 0.1) -> str:
        return self.weight(self._rng.normal(0.0, size, shape))

    def model(
        self, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], opset: int = 17, kind: int = TensorProto.FLOAT
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(name, kind, list(shape)) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in outputs.items()],
            self.weights,
        )
        opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 9
        return model


def write(
    folder: Path, model: onnx.ModelProto, contract: str, sha256: str = "", opset: int = 17, extra: str = ""
) -> Path:
    """A model's folder; extra: keys at the top of its contract."""
    folder.mkdir(exist_ok=True)
    raw = model.SerializeToString()
    (folder / "model.onnx").write_bytes(raw)
    top = f'{ABOUT}sha256 = "{sha256 or hashlib.sha256(raw).hexdigest()}"\nopset = {opset}\n{extra}\n'
    (folder / "model.toml").write_text(top + contract, "utf-8")
    return folder


def of_functionals(softmax: bool = True, width: int = 3, opset: int = 17, name: str = "functionals") -> onnx.ModelProto:
    """Functionals to the probabilities (or logits) of `width` categories, and one more output that nobody asked for."""
    g = Graph()
    g("Gemm", name, g.random(vk.FUNCTIONALS, width, size=2e-4), to="logits")
    if softmax:
        g("Softmax", "logits", to="p", axis=1)
    else:
        g("Identity", "logits", to="p")
    g("Neg", "logits", to="other")
    return g.model({name: ["n", vk.FUNCTIONALS]}, {"other": ["n", width], "p": ["n", width]}, opset)


def of_mel(steps: int | None = None, width: int = 3) -> onnx.ModelProto:
    """Mel levels, their mean over the steps, and probabilities."""
    g = Graph(2)
    mean = g("ReduceMean", g("Mul", "mel", g.weight(np.float32(0.02))), axes=[1], keepdims=0)
    g("Softmax", g("Gemm", mean, g.random(vk.MEL_BANDS, width, size=0.2)), to="p", axis=1)
    return g.model({"mel": ["n", steps or "steps", vk.MEL_BANDS]}, {"p": ["n", width]})


def of_signal(samples: int | None = None, channels: int = 8, batch: int | str = "batch") -> onnx.ModelProto:
    """As wav2vec2 models are exported: `signal` (batch, samples) through strided convolutions to pooled `hidden_states`
    and three `logits`: arousal, dominance, valence."""
    g = Graph(3)
    y = g("Unsqueeze", "signal", g.weight(np.array([1])))
    first = g("Relu", g("Conv", y, g.random(channels, 1, 10, size=0.4), kernel_shape=[10], strides=[5]))
    second = g("Relu", g("Conv", first, g.random(channels, channels, 8, size=0.2), kernel_shape=[8], strides=[4]))
    g("ReduceMean", second, to="hidden_states", axes=[2], keepdims=0)
    place = g("Sigmoid", g("Gemm", "hidden_states", g.random(channels, 3, size=2.0)))
    g("Identity", place, to="logits")
    outputs: dict[str, Shape] = {"hidden_states": [batch, channels], "logits": [batch, 3]}
    return g.model({"signal": [batch, samples or "time"]}, outputs)
