"""model.toml as values: what a model's file is, what it wants to hear, what it gives, and how that is to be read.

    [inputs.signal]                      [outputs.logits]
    kind = "waveform"                    kind = "dimensions"
    rate_hz = 16000                      names = ["arousal", "dominance", "valence"]

The tables are named as the graph names its inputs and outputs. docs/models.md explains each key. Beside the contract:
what of a file can be told without onnxruntime, its operator set.
"""

import math
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import vocal_kernels as vk

from vocal.errors import ModelError, unknown

LONGEST_S = vk.LONGEST_S
"""No stretch is longer, so no model can ask for more."""


def _one_of(key: str, given: object, wanted: Collection[object]) -> None:
    if given not in wanted:
        raise ValueError(f"wanted {key} {' or '.join(repr(one) for one in wanted)}, got {given!r}")


def _is_measured(what: str, given: int, measured: int) -> None:
    if given != measured:
        raise ValueError(f"made for {given} {what}, this version measures {measured}")


def _is_positive(key: str, given: float | None) -> None:
    if given is not None and not 0 < given < math.inf:
        raise ValueError(f"wanted {key} above 0, got {given!r}")


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the contract."""


class Functionals(_Part, frozen=True, tag_field="kind", tag="functionals"):
    """`vocal_kernels.functionals` of the stretch: (n, size), size = FUNCTIONALS."""

    size: int

    def __post_init__(self) -> None:
        _is_measured("functionals", self.size, vk.FUNCTIONALS)


class Centre(_Part, frozen=True, tag_field="kind", tag="centre"):
    """The running centre of the speaker's earlier utterances in the call: (n, size), size = FUNCTIONALS."""

    size: int

    def __post_init__(self) -> None:
        _is_measured("functionals", self.size, vk.FUNCTIONALS)


class Trust(_Part, frozen=True, tag_field="kind", tag="trust"):
    """How far the centre may be trusted: (n, 1), 0 nothing heard yet, to 1."""


class LogMel(_Part, frozen=True, tag_field="kind", tag="log_mel"):
    """Band levels each 10 ms: (n, steps, bands), bands = MEL_BANDS, in dBov.

    steps: of a model of fixed length; else every stretch comes as long as it is. level: "removed" takes off the mean
    level of the stretch's speech, so that gain drops out.
    """

    bands: int
    steps: int | None = None
    level: str = "kept"

    def __post_init__(self) -> None:
        _is_measured("mel bands", self.bands, vk.MEL_BANDS)
        _is_positive("steps", self.steps)
        _one_of("level", self.level, ("kept", "removed"))


class Waveform(_Part, frozen=True, tag_field="kind", tag="waveform"):
    """Samples, full scale 1: (n, samples).

    rate_hz: 8000, or 16000, to which the line's 8 kHz are resampled. normalise: "utterance" for zero mean and unit
    variance of each stretch. samples: of a model of fixed length.
    """

    rate_hz: int
    normalise: str = "none"
    samples: int | None = None

    def __post_init__(self) -> None:
        _one_of("rate_hz", self.rate_hz, (8000, 16000))
        _one_of("normalise", self.normalise, ("none", "utterance"))
        _is_positive("samples", self.samples)


class Categories(_Part, frozen=True, tag_field="kind", tag="categories"):
    """Probabilities, or with activation = "softmax" logits, in the order of `labels`: (n, labels)."""

    labels: list[str]
    activation: str = "none"
    temperature: float = 1.0

    @property
    def width(self) -> int:
        return len(self.labels)

    def __post_init__(self) -> None:
        _one_of("activation", self.activation, ("none", "softmax"))
        _is_positive("temperature", self.temperature)
        if self.activation == "none" and self.temperature != 1.0:
            raise ValueError('temperature is for activation = "softmax"')
        if len(set(self.labels)) != len(self.labels) or len(self.labels) < 2:
            raise ValueError(f"wanted two labels or more, each once, got {self.labels}")


class Dimensions(_Part, frozen=True, tag_field="kind", tag="dimensions"):
    """Places on scales from `low` to `high`, in the order of `names`: (n, names). Dominance is not used."""

    names: list[str]
    low: float = 0.0
    high: float = 1.0

    @property
    def width(self) -> int:
        return len(self.names)

    def __post_init__(self) -> None:
        for name in self.names:
            _one_of("names of", name, ("valence", "arousal", "dominance"))
        if len(set(self.names)) != len(self.names) or not {"valence", "arousal"} <= set(self.names):
            raise ValueError(f"wanted valence and arousal among the names, each once, got {self.names}")
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"wanted low below high, got {self.low} and {self.high}")


class Voice(_Part, frozen=True, tag_field="kind", tag="voice"):
    """How surely the stretch is a voice that can be judged at all, 0-1: (n, 1). Below `least` nothing is estimated."""

    least: float = 0.5
    width = 1

    def __post_init__(self) -> None:
        if not 0 <= self.least <= 1:
            raise ValueError(f"wanted least from 0 to 1, got {self.least}")


Input = Functionals | Centre | Trust | LogMel | Waveform
Output = Categories | Dimensions | Voice


class Contract(_Part, frozen=True):
    """All of model.toml. Read it with `read_contract`.

    sha256 and opset: of model.onnx, its checksum and the version of its default operator set. least_s: a shorter
    stretch gets no estimate; longest_s: of a longer one its last part is shown. confidence: 0-1, of a model without
    categories, which cannot say itself how sure it is. plane: label = [valence, arousal], 0-1, of a model without
    dimensions.
    training: what it was made from, for people to read; any keys.
    """

    name: str
    version: str
    date: str
    licence: str
    sha256: str
    opset: int
    inputs: dict[str, Input]
    outputs: dict[str, Output]
    least_s: float = 0.0
    longest_s: float = LONGEST_S
    confidence: float | None = None
    plane: dict[str, tuple[float, float]] = {}
    training: dict[str, Any] = {}

    @property
    def categories(self) -> tuple[str, Categories] | None:
        """The graph's name of that output, and how it is to be read."""
        return _only(self.outputs, Categories)

    @property
    def dimensions(self) -> tuple[str, Dimensions] | None:
        return _only(self.outputs, Dimensions)

    @property
    def voice(self) -> tuple[str, Voice] | None:
        return _only(self.outputs, Voice)

    @property
    def wants(self) -> frozenset[str]:
        """The kinds of its inputs."""
        return frozenset(str(given.__struct_config__.tag) for given in self.inputs.values())

    @property
    def is_fixed(self) -> bool:
        """Whether every stretch is shown in the same shape, so that many can be shown at once."""
        lengths = [given.steps if isinstance(given, LogMel) else given.samples for given in self._sounds]
        return None not in lengths

    @property
    def _sounds(self) -> list[LogMel | Waveform]:
        return [given for given in self.inputs.values() if isinstance(given, (LogMel, Waveform))]


T = TypeVar("T", Categories, Dimensions, Voice)


def _only(outputs: dict[str, Output], kind: type[T]) -> tuple[str, T] | None:
    return next(((name, output) for name, output in outputs.items() if isinstance(output, kind)), None)


_KINDS: dict[str, dict[str, type[_Part]]] = {
    "inputs": {str(kind.__struct_config__.tag): kind for kind in (Functionals, Centre, Trust, LogMel, Waveform)},
    "outputs": {str(kind.__struct_config__.tag): kind for kind in (Categories, Dimensions, Voice)},
}


def read_contract(folder: Path) -> Contract:
    """model.toml of a model's folder.

    Raises ModelError, one line, when there is none, or for a key, a kind or a value that no contract has.
    """
    file = folder / "model.toml"
    try:
        given = tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(f"{folder}: wanted a model's folder with model.toml and model.onnx") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{file}: not a model's contract: {error}") from None
    where = f"{file}: contract"
    _check_keys(where, given, Contract.__struct_fields__)
    for part, kinds in _KINDS.items():
        tables = given.get(part, {})
        if not isinstance(tables, dict):
            raise ModelError(f"{where}: wanted tables [{part}.NAME], got {tables!r}")
        for name, table in tables.items():
            _check_table(f"{where} [{part}.{name}]", table, kinds)
    try:
        contract = msgspec.convert(given, Contract)
    except msgspec.ValidationError as error:
        raise ModelError(f"{where}: {error}") from None
    _check_whole(where, contract)
    return contract


def _check_keys(where: str, given: dict[str, Any], wanted: tuple[str, ...]) -> None:
    for key in given:
        if key not in wanted:
            raise ModelError(f"{where}: {unknown('key', key, wanted)}")


def _check_table(where: str, table: object, kinds: dict[str, type[_Part]]) -> None:
    if not isinstance(table, dict):
        raise ModelError(f"{where}: wanted a table with a kind, got {table!r}")
    kind = table.get("kind")
    if kind is None:
        raise ModelError(f"{where}: wanted kind = {' or '.join(map(repr, kinds))}, got none")
    if kind not in kinds:
        raise ModelError(f"{where}: {unknown('kind', str(kind), kinds)}")
    _check_keys(where, {key: value for key, value in table.items() if key != "kind"}, kinds[kind].__struct_fields__)
    try:
        msgspec.convert(table, kinds[kind])
    except msgspec.ValidationError as error:
        raise ModelError(f"{where}: {error}") from None


def _check_whole(where: str, contract: Contract) -> None:
    """What no table can tell by itself."""
    kinds = [type(output) for output in contract.outputs.values()]
    if not contract.inputs or (contract.categories is None and contract.dimensions is None):
        found = f"{len(contract.inputs)} inputs and outputs {list(contract.outputs)}"
        raise ModelError(f"{where}: wanted an input, and an output of categories or dimensions, got {found}")
    if len(set(kinds)) != len(kinds):
        raise ModelError(f"{where}: wanted each kind of output once, got {[kind.__name__.lower() for kind in kinds]}")
    if not 0 <= contract.least_s < contract.longest_s <= LONGEST_S:
        found = f"{contract.least_s} and {contract.longest_s}"
        raise ModelError(f"{where}: wanted least_s below longest_s, and that at most {LONGEST_S:g}, got {found}")
    if contract.categories is None and not 0 <= (-1.0 if contract.confidence is None else contract.confidence) <= 1:
        sure = contract.confidence
        raise ModelError(f"{where}: without categories wanted a constant confidence from 0 to 1, got {sure}")
    if contract.categories is not None and contract.confidence is not None:
        raise ModelError(f"{where}: confidence is for a model without categories")
    if contract.plane and (contract.categories is None or contract.dimensions is not None):
        raise ModelError(f"{where}: [plane] is for a model with categories and without dimensions")
    for label, place in contract.plane.items():
        if contract.categories is not None and label not in contract.categories[1].labels:
            raise ModelError(f"{where} [plane]: {unknown('label', label, contract.categories[1].labels)}")
        if not all(0 <= value <= 1 for value in place):
            raise ModelError(f"{where} [plane]: wanted valence and arousal of {label!r} from 0 to 1, got {place}")


# ModelProto of onnx.proto: repeated OperatorSetIdProto opset_import = 8, with string domain = 1 and int64 version = 2.
_OPSET_IMPORT, _DOMAIN, _VERSION = 8, 1, 2


def opset_of(raw: bytes) -> int | None:
    """The version of the default operator set that an ONNX file was written for; None where it names none.

    Reads the outermost fields of the protobuf and steps over the graph. Raises ValueError where the file ends early or
    is no protobuf.
    """
    found = None
    for field, value in _fields(memoryview(raw)):
        if field == _OPSET_IMPORT and isinstance(value, memoryview):
            entry = dict(_fields(value))
            version = entry.get(_VERSION)
            if bytes(entry.get(_DOMAIN) or b"") in (b"", b"ai.onnx") and isinstance(version, int):
                found = version
    return found


def _fields(raw: memoryview) -> list[tuple[int, int | memoryview]]:
    """Number and value of each field of a protobuf message; what is longer than a varint stays as bytes."""
    found: list[tuple[int, int | memoryview]] = []
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        match key & 7:
            case 0:
                value, at = _varint(raw, at)
                found.append((key >> 3, value))
                continue
            case 1:
                size = 8
            case 2:
                size, at = _varint(raw, at)
            case 5:
                size = 4
            case wire:
                raise ValueError(f"byte {at}: a field of type {wire} is no part of ONNX")
        if at + size > len(raw):
            raise ValueError(f"ends at byte {len(raw)}, within a field that needs {at + size}")
        found.append((key >> 3, raw[at : at + size]))
        at += size
    return found


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise ValueError(f"ends at byte {len(raw)}, within a number")
        value |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:
            return value, at
    raise ValueError(f"byte {at}: a number of more than 10 bytes")


def models_folder() -> Path:
    """Where models lie: in the package as installed, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"
