"""Arrow schemas of what is kept, read off `vocal.types` and `vocal.record`: one definition for wire and store."""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
from msgspec import inspect

from vocal.record import CallRecord
from vocal.types import CallEnded, CallStarted, Conversation, Cue, Event, Mood, Notice, Utterance

K = TypeVar("K", bound=msgspec.Struct)
EVENTS: tuple[type[Event], ...] = (CallStarted, Utterance, Mood, Conversation, Cue, Notice, CallEnded)
KINDS: tuple[type[msgspec.Struct], ...] = (*EVENTS, CallRecord)


def kind_name(kind: type[msgspec.Struct]) -> str:
    """An event's type on the wire; `calls` for the records."""
    return "calls" if kind is CallRecord else str(kind.__struct_config__.tag)


def _arrow_type(kind: inspect.Type) -> tuple[Any, bool]:
    """Arrow type and whether it may be null."""
    match kind:
        case inspect.UnionType(types=parts):
            (one,) = [part for part in parts if not isinstance(part, inspect.NoneType)]
            return _arrow_type(one)[0], True
        case inspect.StructType(cls=cls):
            return pa.struct(_fields(cls)), False
        case inspect.DictType(key_type=key, value_type=value):
            return pa.map_(_arrow_type(key)[0], _arrow_type(value)[0]), False
        case inspect.VarTupleType(item_type=item):
            return pa.list_(_arrow_type(item)[0]), False
        case inspect.TupleType(item_types=items):
            return pa.list_(_arrow_type(items[0])[0], len(items)), False
        case inspect.FloatType():
            return pa.float64(), False
        case inspect.IntType():
            return pa.int64(), False
        case inspect.BoolType():
            return pa.bool_(), False
        case inspect.StrType() | inspect.LiteralType():
            return pa.string(), False
    raise TypeError(f"no Arrow type for {kind!r}")


def _fields(struct: type[msgspec.Struct]) -> list[Any]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    found = []
    for field in info.fields:
        kind, nullable = _arrow_type(field.type)
        found.append(pa.field(field.encode_name, kind, nullable))
    return found


@cache
def schema_of(kind: type[msgspec.Struct]) -> Any:
    """The Arrow schema of one kind."""
    return pa.schema(_fields(kind), metadata={"vocal.kind": kind_name(kind), "vocal.v": "1"})


def table_of(kind: type[msgspec.Struct], events: Sequence[msgspec.Struct]) -> Any:
    """Events, or records, of one kind as an Arrow table."""
    schema = schema_of(kind)
    rows = [msgspec.to_builtins(event) for event in events]
    columns = [pa.array([_as_arrow(row[field.name], field.type) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _as_arrow(value: Any, kind: Any) -> Any:
    """Arrow takes a map as a list of pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(key, _as_arrow(item, kind.item_type)) for key, item in value.items()]
    if pa.types.is_struct(kind):
        return {field.name: _as_arrow(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_as_arrow(item, kind.value_type) for item in value]
    return value


def rows_of(kind: type[K], table: Any) -> list[K]:
    """The events, or records, that `table_of` made a table of."""
    tag = {} if kind is CallRecord else {"type": kind_name(kind)}
    return [msgspec.convert({**row, **tag}, kind) for row in table.to_pylist(maps_as_pydicts="strict")]
