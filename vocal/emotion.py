"""ONNX sessions, batches and what is made of their outputs. The one file that knows onnxruntime.

A model is a folder: `model.onnx`, `model.toml` (its contract), `vectors.npz` (what it gives for some rows) and CARD.md.
It is refused when checksum, operator set, inputs, outputs or the features it was made for differ from what the contract
says. The model that ships keeps the same contract as any other.
"""

import hashlib
import io
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.contract import (
    Categories,
    Centre,
    Dimensions,
    Functionals,
    Input,
    LogMel,
    Output,
    Trust,
    Voice,
    Waveform,
    models_folder,
    opset_of,
    read_contract,
)
from vocal.errors import ModelError, unknown
from vocal.types import Emotion, NoEstimate, Relative
from vocal.utterance import EmotionInput

BATCH = 16
"""Rows in each run of a model of fixed shapes, always: a row's result must not depend on how many came along."""

PLANE = {
    "anger": (0.05, 0.90),
    "boredom": (0.30, 0.20),
    "calm": (0.70, 0.20),
    "disgust": (0.10, 0.55),
    "fear": (0.10, 0.80),
    "happiness": (0.95, 0.80),
    "neutral": (0.50, 0.45),
    "sadness": (0.10, 0.20),
    "surprise": (0.60, 0.80),
}
"""Where a category stands, 0-1 with 0.5 neutral: valence, arousal (after Russell's circumplex, 1980)."""

VECTOR_TOLERANCE = 1e-3
SHARE_TOLERANCE, SUM_TOLERANCE = 1e-3, 0.01
SILENCE_DB = -100.0  # what the kernels give for a band without any power
LEAST_VARIANCE = 1e-7  # as the feature extractors of wav2vec2 models add it
STEPS_PER_S = round(1.0 / vk.HOP_S)

# What the own baseline must rise by for a term of stress to reach 1.
STRESS_F0_ST, STRESS_LEVEL_DB, STRESS_TEMPO_PCT = 5.0, 8.0, 35.0


def find_models() -> list[Path]:
    """The folders that hold a model, by name."""
    return sorted(contract.parent for contract in models_folder().glob("*/model.toml"))


def stress_of(valence: float, arousal: float, relative: Relative) -> tuple[float, dict[str, float]]:
    """Stress 0-1 and its terms: arousal with negative valence, and the rise of F0, level, tempo over the own baseline.

    The first term carries it; the rises add to it, never make it alone: a loud voice on a good day is not stress.
    """

    def rise(value: float | None, full: float) -> float:
        return min(1.0, max(0.0, (value or 0.0) / full))

    terms = {
        "arousal_negative": min(1.0, math.sqrt(max(0.0, arousal) * max(0.0, 1.0 - 2.0 * valence))),
        "f0_rise": rise(relative.f0_st, STRESS_F0_ST),
        "level_rise": rise(relative.level_db, STRESS_LEVEL_DB),
        "tempo_rise": rise(relative.tempo_pct, STRESS_TEMPO_PCT),
    }
    raised = (terms["f0_rise"] + terms["level_rise"] + terms["tempo_rise"]) / 3.0
    stress = terms["arousal_negative"] * (0.75 + 0.25 * raised)
    return round(stress, 3), {name: round(term, 3) for name, term in terms.items()}


class _Vector(NamedTuple):
    """What the graph is shown of one row, and what it gives, by the graph's names and without the batch axis."""

    shown: dict[str, NDArray[np.float32]]
    given: dict[str, NDArray[np.float32]]


class EmotionModel:
    """A model that keeps its contract, ready to estimate.

    folder: with model.toml and model.onnx; None for the model that ships. threads: for onnxruntime.

    Raises ModelError, one line, when it does not keep it: a checksum, operator set, input or output that is not the
    contract's, or a graph that cannot be run. It names what was wanted and what was found.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        self.folder = folder or models_folder() / "emotion"
        self.contract = read_contract(self.folder)
        self.name = f"{self.contract.name} {self.contract.version}"
        self._file = self.folder / "model.onnx"
        self._places = self._places_of_labels()
        self._session = self._load(threads)
        self.batch = BATCH if self.contract.is_fixed else 1
        self._check_inputs()
        self._check_outputs()
        try:
            self._run([self._show(_example(max(1.0, self.contract.least_s)))])
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{self._file}: onnxruntime cannot run it: {_first_line(error)}") from None

    @property
    def wants(self) -> frozenset[str]:
        """The kinds of input that it must be shown: "functionals", "centre", "trust", "log_mel", "waveform"."""
        return self.contract.wants

    # At the start

    def _load(self, threads: int) -> Any:
        # Its official builds report to their maker, under a number of this machine, unless this stands first.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime  # 0.1 s, only where emotion is inferred

        file, contract = self._file, self.contract
        try:
            raw = file.read_bytes()
        except FileNotFoundError:
            raise ModelError(f"{file}: no such file, though model.toml stands beside it") from None
        except OSError as error:
            raise ModelError(f"{file}: cannot be read: {error.strerror}") from None
        found, cut = hashlib.sha256(raw).hexdigest(), ""
        try:
            opset = opset_of(raw)
        except ValueError as error:
            opset, cut = None, str(error)
        if found != contract.sha256:
            got = f"wanted sha256 {contract.sha256[:12]}..., got {found[:12]}..."
            why = f"cut off or damaged: {cut}" if cut else "damaged or another"
            raise ModelError(f"{file}: {got}: the file is {why}")
        if cut:
            raise ModelError(f"{file}: onnxruntime cannot load it: no ONNX file: {cut}")
        if opset != contract.opset:
            raise ModelError(f"{file}: wanted opset {contract.opset}, got {opset}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{file}: onnxruntime cannot load it: {_first_line(error)}") from None

    def _places_of_labels(self) -> NDArray[np.float64] | None:
        """Valence and arousal of each label, (labels, 2), where the model does not say them itself."""
        if self.contract.dimensions is not None or self.contract.categories is None:
            return None
        places = PLANE | self.contract.plane
        for label in self.contract.categories[1].labels:
            if label not in places:
                wanted = f"[plane] {label} = [valence, arousal]"
                raise ModelError(f"{self.folder / 'model.toml'}: contract: wanted {wanted}, got no place for {label!r}")
        return np.array([places[label] for label in self.contract.categories[1].labels])

    def _check_inputs(self) -> None:
        nodes = {node.name: node for node in self._session.get_inputs()}
        for name in self.contract.inputs:
            if name not in nodes:
                raise ModelError(f"{self._file}: wanted the contract's input {name!r}, the graph has {list(nodes)}")
        batches = set()
        for name, node in nodes.items():
            if name not in self.contract.inputs:
                wanted = list(self.contract.inputs)
                raise ModelError(f"{self._file}: its input {name!r} is not in the contract, which names {wanted}")
            shape = _shape_of(self.contract.inputs[name])
            self._check_node("input", node, shape)
            batches.add(node.shape[0])
        sizes = {size for size in batches if isinstance(size, int)}
        if len(sizes) > 1 or (sizes and not self.contract.is_fixed and sizes != {1}):
            raise ModelError(f"{self._file}: wanted inputs of any number of rows, got {sorted(sizes)}")
        if sizes:
            (self.batch,) = sizes

    def _check_outputs(self) -> None:
        nodes = {node.name: node for node in self._session.get_outputs()}
        for name, output in self.contract.outputs.items():
            if name not in nodes:
                raise ModelError(f"{self._file}: {unknown('output', name, nodes)}")
            if nodes[name].shape:  # a graph need not say
                self._check_node("output", nodes[name], ("n", output.width))

    def _check_node(self, what: str, node: Any, wanted: Sequence[int | str]) -> None:
        if node.type != "tensor(float)":
            raise ModelError(f"{self._file}: {what} {node.name!r}: wanted tensor(float), got {node.type}")
        found = list(node.shape)
        fits = [size == want or not isinstance(size, int) for size, want in zip(found[1:], wanted[1:], strict=False)]
        if len(found) != len(wanted) or not all(fits):
            shapes = f"wanted shape {_shown(wanted)}, got {_shown(found)}"
            raise ModelError(f"{self._file}: {what} {node.name!r}: {shapes}")

    # What goes in and comes out

    def _show(self, row: EmotionInput) -> dict[str, NDArray[np.float32]]:
        """The graph's inputs for one stretch, without the batch axis."""
        shown: dict[str, NDArray[np.float32]] = {}
        for name, given in self.contract.inputs.items():
            match given:
                case Functionals():
                    shown[name] = row.functionals.astype(np.float32)
                case Centre():
                    shown[name] = row.centre.astype(np.float32)
                case Trust():
                    shown[name] = np.array([row.trust], np.float32)
                case LogMel():
                    assert row.mel is not None
                    shown[name] = _mel_rows(given, row.mel, row.mel_mean_db, self.contract.longest_s)
                case Waveform():
                    assert row.pcm is not None
                    shown[name] = _samples(given, row.pcm, self.contract.longest_s)
        return shown

    def _run(self, rows: list[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
        """The outputs that the contract names, (n, width), of rows that stand in one batch each time or alone."""
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.contract.outputs}
        for first in range(0, len(rows), self.batch):
            part = rows[first : first + self.batch]
            feed = {}
            for name in self.contract.inputs:
                feed[name] = np.zeros((self.batch, *part[0][name].shape), np.float32)
                for i, row in enumerate(part):
                    feed[name][i] = row[name]
            for name, values in zip(found, self._session.run(list(found), feed), strict=True):
                wanted = self.batch, self.contract.outputs[name].width
                if values.shape != wanted:
                    raise ModelError(f"{self._file}: output {name!r}: wanted shape {wanted}, got {values.shape}")
                found[name].append(values[: len(part)])
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def infer(self, inputs: Sequence[EmotionInput]) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs as they come, by name: (n, width) float32; NaN for a row that it cannot take.

        A row's result does not depend on who came along: rows are shown in batches of one size, or one by one where
        they may be of any length.
        """
        found = {name: np.full((len(inputs), o.width), np.nan, np.float32) for name, o in self.contract.outputs.items()}
        for first in range(0, len(inputs), self.batch):
            part = [self._show(row) for row in inputs[first : first + self.batch]]
            for i, outputs in enumerate(self._run_each(part)):
                for name, values in outputs.items():
                    found[name][first + i] = values
        return found

    def _run_each(self, rows: list[dict[str, NDArray[np.float32]]]) -> list[dict[str, NDArray[np.float32]]]:
        """Each row's outputs; none for one that the graph fails on, which must not take its neighbours with it."""
        try:
            outputs = self._run(rows)
        except Exception:  # onnxruntime has no common one
            return [{}] if len(rows) == 1 else [self._run_each([row])[0] for row in rows]
        return [{name: values[i] for name, values in outputs.items()} for i in range(len(rows))]

    def estimate(self, inputs: Sequence[EmotionInput], relatives: Sequence[Relative]) -> list[Emotion | NoEstimate]:
        """An Emotion for each stretch, or why there is none: a stretch shorter than the contract's `least_s`, one that
        its output of kind "voice" takes for none, or outputs that are no numbers or no probabilities."""
        asked = [i for i, row in enumerate(inputs) if row.seconds >= self.contract.least_s]
        found: list[Emotion | NoEstimate] = ["too_short"] * len(inputs)
        outputs = self.infer([inputs[i] for i in asked])
        for n, i in enumerate(asked):
            found[i] = self._emotion({name: values[n].tolist() for name, values in outputs.items()}, relatives[i])
        return found

    def _fault(self, row: dict[str, list[float]]) -> str:
        """What is wrong with one row of outputs, if anything."""
        for name, output in self.contract.outputs.items():
            values, shown = row[name], f"output {name!r}"
            if not all(map(math.isfinite, values)):
                return f"{shown}: wanted numbers, got {values[:8]}"
            is_share = isinstance(output, Voice) or (isinstance(output, Categories) and output.activation == "none")
            if is_share and not all(-SHARE_TOLERANCE <= value <= 1.0 + SHARE_TOLERANCE for value in values):
                return f"{shown}: wanted values from 0 to 1, got {[round(value, 3) for value in values]}"
            if is_share and isinstance(output, Categories) and abs(sum(values) - 1.0) > SUM_TOLERANCE:
                return f"{shown}: wanted probabilities that sum to 1, got a sum of {sum(values):.3f}"
        return ""

    def _emotion(self, row: dict[str, list[float]], relative: Relative) -> Emotion | NoEstimate:
        if self._fault(row):
            return "model"
        if (voice := self.contract.voice) is not None and row[voice[0]][0] < voice[1].least:
            return "not_voice"
        categories: dict[str, float] = {}
        confidence = self.contract.confidence or 0.0
        valence, arousal = 0.5, 0.5
        if (of_categories := self.contract.categories) is not None:
            name, output = of_categories
            probabilities = row[name] if output.activation == "none" else _softmax(row[name], output.temperature)
            # Three digits that count: small probabilities still stand in their order.
            categories = {label: float(f"{p:.3g}") for label, p in zip(output.labels, probabilities, strict=True)}
            confidence = max(probabilities)
            if self._places is not None:
                valence, arousal = (np.array(probabilities) @ self._places).tolist()
        if (of_dimensions := self.contract.dimensions) is not None:
            name, scale = of_dimensions
            on_scale = dict(zip(scale.names, row[name], strict=True))
            valence, arousal = (
                (on_scale[dimension] - scale.low) / (scale.high - scale.low) for dimension in ("valence", "arousal")
            )
        valence, arousal = (min(1.0, max(0.0, value)) for value in (valence, arousal))
        stress, terms = stress_of(valence, arousal, relative)
        return Emotion(
            valence=round(valence, 3),
            arousal=round(arousal, 3),
            stress=stress,
            stress_terms=terms,
            sentiment=round(2.0 * valence - 1.0, 3),
            categories=categories,
            confidence=round(min(1.0, confidence), 3),
            model=self.name,
        )

    # Test vectors

    def check(self) -> list[str]:
        """Run the model's own test vectors, and stretches of noise; what is wrong, a line each."""
        faults = []
        try:
            for number, vector in enumerate(self._vectors()):
                outputs = self._run([vector.shown])
                faults += [f"test vector {number}: {fault}" for fault in self._differences(outputs, vector)]
        except ModelError as error:
            faults.append(str(error))
        except Exception as error:
            faults.append(f"test vectors: onnxruntime cannot run them: {_first_line(error)}")
        examples = [_example(max(1.0, self.contract.least_s), seed) for seed in range(3)]
        together = self.infer(examples)
        for name, values in together.items():
            with np.errstate(invalid="ignore"):
                away = np.abs(self.infer(examples[1:2])[name][0] - values[1]).max()
            if away > VECTOR_TOLERANCE:
                faults.append(f"output {name!r}: a row's result depends on the other rows: differs by {away:.4f}")
        fault = self._fault({name: values[0].tolist() for name, values in together.items()})
        return faults + ([f"noise: {fault}"] if fault else [])

    @property
    def vectors(self) -> int:
        """How many test vectors stand beside the model. Raises ModelError where they cannot be read."""
        return len(self._vectors())

    def _differences(self, outputs: dict[str, NDArray[np.float32]], vector: _Vector) -> Iterator[str]:
        for name, values in outputs.items():
            with np.errstate(invalid="ignore"):  # no numbers differ from anything
                worst = float(np.abs(values[0] - vector.given[name]).max())
            if not worst <= VECTOR_TOLERANCE:
                yield f"{name} differs by {worst:.4f}, wanted at most {VECTOR_TOLERANCE}"
        if fault := self._fault({name: values[0].tolist() for name, values in outputs.items()}):
            yield fault

    def _vectors(self) -> list[_Vector]:
        """vectors.npz: arrays "0/INPUT" and "0/OUTPUT" of the first row, "1/..." of the second."""
        file = self.folder / "vectors.npz"
        if not file.exists():
            return []
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
                arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files}
        except Exception as error:  # zip, zlib and numpy each have their own
            raise ModelError(
                f"{file}: wanted arrays of test vectors, got a damaged file: {_first_line(error)}"
            ) from None
        shapes: dict[str, Sequence[int | str]] = {name: _shape_of(i)[1:] for name, i in self.contract.inputs.items()}
        shapes |= {name: (output.width,) for name, output in self.contract.outputs.items()}
        count = len({name.partition("/")[0] for name in arrays})
        wanted = {f"{number}/{name}": shape for number in range(count) for name, shape in shapes.items()}
        for name in wanted:
            if name not in arrays:
                raise ModelError(f"{file}: test vector {name.partition('/')[0]} lacks {name!r}")
        for name, array in arrays.items():
            if name not in wanted:
                raise ModelError(f"{file}: {unknown('array', name, wanted)}")
            fits = [
                isinstance(want, str) or size == want for size, want in zip(array.shape, wanted[name], strict=False)
            ]
            if array.ndim != len(wanted[name]) or not all(fits):
                raise ModelError(f"{file}: {name!r}: wanted shape {_shown(wanted[name])}, got {_shown(array.shape)}")
        return [
            _Vector(
                {name: arrays[f"{number}/{name}"] for name in self.contract.inputs},
                {name: arrays[f"{number}/{name}"] for name in self.contract.outputs},
            )
            for number in range(count)
        ]

    def describe(self) -> dict[str, str]:
        """What it is, for people: what it hears, what it gives, what one costs here. Runs it some times."""
        contract = self.contract
        inputs = [f"{name} as {_kind_of(i)} {_shown(_shape_of(i))}" for name, i in contract.inputs.items()]
        outputs = [f"{name} as {_kind_of(output)}" for name, output in contract.outputs.items()]
        for i, output in enumerate(contract.outputs.values()):
            match output:
                case Categories():
                    outputs[i] += f" {', '.join(output.labels)}"
                case Dimensions():
                    outputs[i] += f" {', '.join(output.names)} from {output.low:g} to {output.high:g}"
                case Voice():
                    outputs[i] += f" from {output.least:g}"
        count = self.vectors
        size_kb = self._file.stat().st_size / 1024
        return {
            "model": f"{self.name}, {contract.date}, {contract.licence}, opset {contract.opset}, {size_kb:.0f} kB",
            "hears": "; ".join(inputs),
            "gives": "; ".join(outputs),
            "cost": f"{self._cost_ms():.1f} ms for an utterance of 3 s",
            "vectors": f"{count} run" if count else "none: nothing says what this model should give (vectors.npz)",
        }

    def _cost_ms(self) -> float:
        """Of one utterance of 3 s, alone: the median of 5, or of as many as fit into 2 s."""
        example, taken = [_example(3.0)], [0.0]
        self.estimate(example, [Relative()])
        while len(taken) <= 5 and sum(taken) < 2000.0:
            before = time.perf_counter()
            self.estimate(example, [Relative()])
            taken.append(1000.0 * (time.perf_counter() - before))
        return float(np.median(taken[1:]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _shown(shape: Sequence[object]) -> str:
    return f"({', '.join(str(size or '?') for size in shape)})"


def _kind_of(part: Input | Output) -> str:
    return str(part.__struct_config__.tag)


def _shape_of(given: Input) -> tuple[int | str, ...]:
    """Of the graph's input; a name where any size will do."""
    match given:
        case Trust():
            return "n", 1
        case LogMel():
            return "n", given.steps or "steps", given.bands
        case Waveform():
            return "n", given.samples or "samples"
        case _:
            return "n", given.size


def _mel_rows(given: LogMel, mel: NDArray[np.float32], mean_db: float, longest_s: float) -> NDArray[np.float32]:
    """The last steps of a stretch, with silence before it where the model wants more."""
    steps = given.steps or round(longest_s * STEPS_PER_S)
    rows = mel[-steps:]
    if given.steps is not None and len(rows) < steps:
        rows = np.pad(rows, ((steps - len(rows), 0), (0, 0)), constant_values=SILENCE_DB)
    return rows - np.float32(mean_db) if given.level == "removed" else rows


def _samples(given: Waveform, pcm: NDArray[np.float32], longest_s: float) -> NDArray[np.float32]:
    """The last samples of a stretch, with zeros before it where the model wants more."""
    pcm = pcm[-round(longest_s * vk.RATE_HZ) :]
    if given.samples is not None:
        pcm = pcm[-round(given.samples * vk.RATE_HZ / given.rate_hz) :]
    if given.rate_hz != vk.RATE_HZ:
        import soxr  # only for models of another rate

        pcm = soxr.resample(pcm, vk.RATE_HZ, given.rate_hz, quality="HQ").astype(np.float32)
    if given.normalise == "utterance":
        wide = pcm.astype(np.float64)
        pcm = ((wide - wide.mean()) / np.sqrt(wide.var() + LEAST_VARIANCE)).astype(np.float32)
    if given.samples is not None:
        pcm = np.pad(pcm[-given.samples :], (max(0, given.samples - len(pcm)), 0))
    return pcm


def _softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp((logit - max(logits)) / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


def _example(seconds: float, seed: int = 1) -> EmotionInput:
    """A stretch of noise, to try a model on."""
    rng = np.random.default_rng(seed)
    steps = round(seconds * STEPS_PER_S)
    return EmotionInput(
        functionals=rng.normal(size=vk.FUNCTIONALS),
        centre=rng.normal(size=vk.FUNCTIONALS),
        trust=0.5,
        seconds=seconds,
        mel=rng.normal(-50.0, 10.0, (steps, vk.MEL_BANDS)).astype(np.float32),
        mel_mean_db=-35.0,
        pcm=(0.05 * rng.normal(size=steps * vk.HOP_SAMPLES)).astype(np.float32),
    )
