"""Arrow schemas of what is kept, read off `vocal.types` and `vocal.record`: one definition for wire and store.

Rows become columns, and columns rows, a column at a time: 100,000 records are seconds that way, not minutes.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import inspect

from vocal.errors import StoreError
from vocal.record import CallRecord
from vocal.types import (
    SCHEMA_VERSION,
    CallEnded,
    CallStarted,
    Conversation,
    Cue,
    Event,
    Mood,
    Notice,
    Utterance,
)

K = TypeVar("K", bound=msgspec.Struct)
EVENTS: tuple[type[Event], ...] = (CallStarted, Utterance, Mood, Conversation, Cue, Notice, CallEnded)
KINDS: tuple[type[msgspec.Struct], ...] = (*EVENTS, CallRecord)
_KIND, _VERSION = b"vocal.kind", b"vocal.v"


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


@cache
def _info(struct: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return info.fields


def _fields(struct: type[msgspec.Struct]) -> list[Any]:
    return [pa.field(field.encode_name, *_arrow_type(field.type)) for field in _info(struct)]


@cache
def schema_of(kind: type[msgspec.Struct]) -> Any:
    """The Arrow schema of one kind."""
    return pa.schema(_fields(kind), metadata={_KIND: kind_name(kind), _VERSION: str(SCHEMA_VERSION)})


# Rows to columns


def table_of(kind: type[msgspec.Struct], rows: Sequence[msgspec.Struct]) -> Any:
    """Events, or records, of one kind as an Arrow table."""
    schema = schema_of(kind)
    columns = [_column([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: Sequence[Any], kind: Any) -> Any:
    if pa.types.is_struct(kind):
        is_null = [value is None for value in values]
        fields = [_column([_part(value, field) for value in values], field.type) for field in kind]
        return pa.StructArray.from_arrays(fields, fields=list(kind), mask=pa.array(is_null) if any(is_null) else None)
    if pa.types.is_fixed_size_list(kind):
        items = [item for value in values for item in value]
        return pa.FixedSizeListArray.from_arrays(_column(items, kind.value_type), type=kind)
    if pa.types.is_list(kind):
        items = [item for value in values for item in value]
        return pa.ListArray.from_arrays(_offsets(values), _column(items, kind.value_type), type=kind)
    if pa.types.is_map(kind):
        keys = _column([key for value in values for key in value], kind.key_type)
        items = _column([item for value in values for item in value.values()], kind.item_type)
        return pa.MapArray.from_arrays(_offsets(values), keys, items)
    return pa.array(values, kind)


def _part(value: Any, field: Any) -> Any:
    if value is not None:
        return getattr(value, field.name)
    return None if field.nullable else blank(field.type)


def _offsets(values: Iterable[Any]) -> Any:
    return pa.array(accumulate((len(value) for value in values), initial=0), pa.int32())


def blank(kind: Any) -> Any:
    """What stands where nothing is known and null may not stand."""
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return {} if pa.types.is_map(kind) else ()
    return {pa.string(): "", pa.float64(): 0.0, pa.int64(): 0, pa.bool_(): False}[kind]


# Columns to rows


def rows_of(kind: type[K], table: Any) -> list[K]:
    """The events, or records, that `table_of` made a table of."""
    names = [field.encode_name for field in _info(kind)]
    columns = [_values(_whole(table[field.encode_name]), field.type) for field in _info(kind)]
    return [kind(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _whole(column: Any) -> Any:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _values(array: Any, kind: inspect.Type) -> list[Any]:
    match kind:
        case inspect.UnionType(types=parts):
            (one,) = [part for part in parts if not isinstance(part, inspect.NoneType)]
            values = _values(array, one)
            if array.null_count:
                for index in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)):
                    values[index] = None
            return values
        case inspect.StructType(cls=cls):
            columns = [_values(part, field.type) for part, field in zip(array.flatten(), _info(cls), strict=True)]
            return [cls(*row) for row in zip(*columns, strict=True)] if columns else []
        case inspect.DictType(key_type=key, value_type=value):
            pairs = list(zip(_values(array.keys, key), _values(array.items, value), strict=True))
            return [dict(pairs[start:end]) for start, end in _bounds(array)]
        case inspect.VarTupleType(item_type=item):
            items = _values(array.values, item)
            return [tuple(items[start:end]) for start, end in _bounds(array)]
        case inspect.TupleType(item_types=types):
            items = _values(array.flatten(), types[0])
            return [tuple(items[start : start + len(types)]) for start in range(0, len(items), len(types))]
        case inspect.FloatType() | inspect.IntType() | inspect.BoolType():
            filled = array.fill_null(False if pa.types.is_boolean(array.type) else 0) if array.null_count else array
            return list(filled.to_numpy(zero_copy_only=False).tolist())
    return list(array.to_pylist())


def _bounds(array: Any) -> Iterable[tuple[int, int]]:
    offsets = array.offsets.to_numpy().tolist()
    return pairwise(offsets)


# Tables that others wrote, or an older Vocal


def check_schema(kind: type[msgspec.Struct], schema: Any, where: str) -> str | None:
    """Why a file's schema is none of `kind`'s, None where it is. Raises StoreError for one newer than this Vocal."""
    metadata = schema.metadata or {}
    name, version = metadata.get(_KIND), metadata.get(_VERSION, b"").decode(errors="replace")
    if name is None or not version.isdigit():
        return "a Parquet file, but not of this store"
    if int(version) > SCHEMA_VERSION:
        raise StoreError(
            f"{where}: written in version {version} of the store's schema, and this Vocal reads up to "
            f"{SCHEMA_VERSION}: wanted a newer Vocal"
        )
    if name.decode(errors="replace") != kind_name(kind):
        return f"wanted {kind_name(kind)}, and it holds {name.decode(errors='replace')}"
    return None


def as_now(kind: type[msgspec.Struct], table: Any, columns: Sequence[str] | None = None) -> Any:
    """A table that an older Vocal wrote, with the columns of now; what it did not know is null, or the default.

    Raises pyarrow.ArrowException where a column is of quite another type.
    """
    schema = schema_of(kind)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns], metadata=schema.metadata)
    if table.schema.equals(schema):
        return table.replace_schema_metadata(schema.metadata)
    defaults = {field.encode_name: field.default for field in _info(kind)}
    made = []
    for field in schema:
        if field.name in table.column_names:
            made.append(_aligned(_whole(table[field.name]), field))
        else:
            default = defaults[field.name]
            value = blank(field.type) if default in (None, msgspec.NODEFAULT) and not field.nullable else default
            made.append(_column([None if value is msgspec.NODEFAULT else value] * table.num_rows, field.type))
    return pa.Table.from_arrays(made, schema=schema)


def _aligned(array: Any, field: Any) -> Any:
    kind = field.type
    if array.type.equals(kind):
        return array
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        held = dict(zip((part.name for part in array.type), array.flatten(), strict=True))
        parts = [
            _aligned(held[part.name], part)
            if part.name in held
            else _column([None if part.nullable else blank(part.type)] * len(array), part.type)
            for part in kind
        ]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null() if array.null_count else None)
    if pa.types.is_list(kind) and pa.types.is_list(array.type):
        return pa.ListArray.from_arrays(array.offsets, _aligned(array.values, kind.value_field), type=kind)
    return array.cast(kind)
