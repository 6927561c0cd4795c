"""ONNX sessions, batches and the model's contract. The one file that knows onnxruntime.

A model is a folder: `model.onnx`, `model.toml` (its contract) and CARD.md. It is refused when checksum, inputs, outputs
or the features it was made for differ from what the contract says.
"""

import hashlib
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vocal_kernels as vk
from numpy.typing import NDArray

from vocal.errors import ModelError
from vocal.types import Emotion, Relative
from vocal.utterance import EmotionInput

BATCH = 16
"""Rows in each run, always: a row's result must not depend on how many came along."""

INPUTS = {"functionals": vk.FUNCTIONALS, "centre": vk.FUNCTIONALS, "trust": 1}

# What the own baseline must rise by for a term of stress to reach 1.
STRESS_F0_ST, STRESS_LEVEL_DB, STRESS_TEMPO_PCT = 5.0, 8.0, 35.0


def models_folder() -> Path:
    """Where models lie: in the package as installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def find_models() -> list[Path]:
    """The folders that hold a model, by name."""
    return sorted(contract.parent for contract in models_folder().glob("*/model.toml"))


def read_contract(folder: Path) -> dict[str, Any]:
    """model.toml of a model's folder."""
    try:
        return tomllib.loads((folder / "model.toml").read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: wanted a model's folder with model.toml and model.onnx") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{folder / 'model.toml'}: not a model's contract: {error}") from None


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


class EmotionModel:
    """A model that keeps its contract, ready to estimate.

    Raises ModelError, one line, when it does not: it names what was wanted and what was found.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        import onnxruntime  # 0.1 s, only where emotion is inferred

        self.folder = folder or models_folder() / "emotion"
        self.contract = read_contract(self.folder)
        file = self.folder / "model.onnx"
        try:
            weights = file.read_bytes()
            wanted = self.contract["sha256"]
            self.name = f"{self.contract['name']} {self.contract['version']}"
            self.labels: list[str] = list(self.contract["output"]["labels"])
            made_for = self.contract["input"]["functionals"]
        except FileNotFoundError:
            raise ModelError(f"{file}: no such file, though model.toml stands beside it") from None
        except (KeyError, TypeError) as error:
            raise ModelError(f"{self.folder / 'model.toml'}: the contract lacks {error}") from None
        found = hashlib.sha256(weights).hexdigest()
        if found != wanted:
            raise ModelError(
                f"{file}: wanted sha256 {wanted[:12]}..., got {found[:12]}...: the file is damaged or another"
            )
        if made_for != vk.FUNCTIONALS:
            raise ModelError(f"{file}: made for {made_for} functionals, this version measures {vk.FUNCTIONALS}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{file}: onnxruntime cannot load it: {str(error).splitlines()[0][:120]}") from None
        self._check_shapes(file)

    def _check_shapes(self, file: Path) -> None:
        found = {node.name: node.shape[-1] for node in self._session.get_inputs()}
        if found != INPUTS:
            raise ModelError(f"{file}: wanted inputs {INPUTS}, got {found}")
        outputs = {node.name: node.shape[-1] for node in self._session.get_outputs()}
        wanted = {"categories": len(self.labels), "valence_arousal": 2}
        if outputs != wanted:
            raise ModelError(f"{file}: wanted outputs {wanted}, got {outputs}")

    def infer(self, inputs: Sequence[EmotionInput]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Category probabilities (n, labels) and valence, arousal (n, 2), all 0-1."""
        n = len(inputs)
        rows = -(-n // BATCH) * BATCH
        functionals = np.zeros((rows, vk.FUNCTIONALS), np.float32)
        centre = np.zeros((rows, vk.FUNCTIONALS), np.float32)
        trust = np.zeros((rows, 1), np.float32)
        for i, row in enumerate(inputs):
            functionals[i], centre[i], trust[i] = row.functionals, row.centre, row.trust
        categories = np.empty((rows, len(self.labels)), np.float32)
        plane = np.empty((rows, 2), np.float32)
        for first in range(0, rows, BATCH):
            part = slice(first, first + BATCH)
            feed = {"functionals": functionals[part], "centre": centre[part], "trust": trust[part]}
            categories[part], plane[part] = self._session.run(["categories", "valence_arousal"], feed)
        return categories[:n], plane[:n]

    def estimate(self, inputs: Sequence[EmotionInput], relatives: Sequence[Relative]) -> list[Emotion]:
        """An Emotion for each stretch."""
        if not inputs:
            return []
        categories, plane = self.infer(inputs)
        return [self._emotion(*row) for row in zip(categories.tolist(), plane.tolist(), relatives, strict=True)]

    def _emotion(self, categories: list[float], plane: list[float], relative: Relative) -> Emotion:
        valence, arousal = plane
        stress, terms = stress_of(valence, arousal, relative)
        return Emotion(
            valence=round(valence, 3),
            arousal=round(arousal, 3),
            stress=stress,
            stress_terms=terms,
            sentiment=round(2.0 * valence - 1.0, 3),
            categories={label: round(p, 3) for label, p in zip(self.labels, categories, strict=True)},
            confidence=round(max(categories), 3),
            model=self.name,
        )

    def check(self) -> list[str]:
        """Run the contract's own test vectors; what differs, a line each."""
        faults = []
        for number, vector in enumerate(self.contract.get("vectors", [])):
            given = EmotionInput(np.array(vector["functionals"]), np.array(vector["centre"]), float(vector["trust"]))
            categories, plane = self.infer([given])
            for name, got in (("categories", categories[0]), ("valence_arousal", plane[0])):
                worst = float(np.abs(got - np.array(vector[name])).max())
                if not worst <= 1e-3:
                    faults.append(f"test vector {number}: {name} differs by {worst:.4f}, wanted at most 0.001")
        return faults
