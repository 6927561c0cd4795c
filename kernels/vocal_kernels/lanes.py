"""A row of a block as one value: 16 float32 side by side, one a channel.

Numba's own loops over a last axis of 16 stay scalar as soon as several rows are read and written, because the compiler
cannot prove that the rows are apart. So a row is a type of its own here, a machine vector, and `+ - * /` between rows
(or a row and a number) are single instructions on all 16 channels. Inside jitted code only:

    row = load(block, i)              # block: (rows, 16) float32, C-contiguous
    store(block, i, row * 0.5 + splat(1.0))
"""

import operator
from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import errors, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

LANES = 16

_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_INTS = ir.VectorType(ir.IntType(32), LANES)
_HALVES = ir.VectorType(ir.IntType(16), 2 * LANES)
_FLAGS = ("contract", "reassoc", "nsz", "arcp")


def _features() -> str:
    """What the kernels are compiled for, as Numba takes it from its settings or from the machine."""
    if numba.config.CPU_NAME == "generic" or numba.config.CPU_FEATURES is not None:
        return numba.config.CPU_FEATURES or ""
    return str(binding.get_host_cpu_features().flatten())


TAKES_PAIRS = "+avx512bf16" in _features().split(",")
"""Whether `add_products` of pairs is an instruction here."""


class Row(types.Type):
    def __init__(self) -> None:
        super().__init__(name="vocal_kernels.Row")


row_type = Row()


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_FLOATS, [ir.Constant(ir.FloatType(), value)] * LANES)


def _ints(value: int) -> ir.Constant:
    return ir.Constant(_INTS, [ir.Constant(ir.IntType(32), value)] * LANES)


def _splat(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    scalar = context.cast(builder, value, kind, types.float32)
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(_FLOATS, ir.Undefined), _ints(0))


def _as_row(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return value if isinstance(kind, Row) else _splat(context, builder, kind, value)


def _is_operand(kind: Any) -> bool:
    return isinstance(kind, (Row, types.Number, types.Literal))


def _arithmetic(symbol: Any, emit: str) -> None:
    class Template(AbstractTemplate):
        key = symbol

        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and any(isinstance(a, Row) for a in args) and all(_is_operand(a) for a in args):
                return signature(row_type, *(a if isinstance(a, Row) else types.float64 for a in args))
            return None

    infer_global(symbol)(Template)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        left, right = (_as_row(context, builder, k, a) for k, a in zip(sig.args, args, strict=True))
        return getattr(builder, emit)(left, right, flags=_FLAGS)

    for kinds in ((Row, Row), (Row, types.Float), (types.Float, Row)):
        lower_builtin(symbol, *kinds)(lower)


for _symbol, _emit in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_symbol, _emit)


def _row_function(arity: int, emit: Any) -> Any:
    """An intrinsic of `arity` rows or numbers that gives a row; `emit(builder, *rows)`."""

    def typing(context: Any, *kinds: Any) -> Any:
        sig = row_type(*(k if isinstance(k, Row) else types.float64 for k in kinds))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return emit(builder, *(_as_row(context, builder, k, a) for k, a in zip(sig.args, args, strict=True)))

        return sig, codegen

    if arity == 1:
        return intrinsic(lambda typingctx, a: typing(typingctx, a))
    if arity == 2:
        return intrinsic(lambda typingctx, a, b: typing(typingctx, a, b))
    return intrinsic(lambda typingctx, a, b, c, d: typing(typingctx, a, b, c, d))


def _call(builder: Any, name: str, *rows: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(rows))
    return builder.call(builder.module.declare_intrinsic(name, fnty=kind), rows)


def _select(builder: Any, test: str, a: Any, b: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(test, a, b), x, y)


def _polynomial(builder: Any, x: Any, coefficients: tuple[float, ...]) -> Any:
    total = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        total = builder.fadd(builder.fmul(total, x, flags=_FLAGS), _constant(coefficient), flags=_FLAGS)
    return total


# Chebyshev interpolation of log2(m) / (m - 1) over [1, 2], error of log2 under 2e-6; and of 2^f over [-1/2, 1/2],
# relative error under 2e-7. Highest power first.
LOG2 = (0.02001665, -0.21472671, 0.987327011, -2.54075114, 4.02280508, -4.14027521, 3.30829731)
EXP2 = (0.00133908634, 0.00967603192, 0.0555035711, 0.240221075, 0.693147188, 1.00000008)


def _log2(builder: Any, x: Any) -> Any:
    """Exponent from the bits, mantissa by polynomial; for x >= 2^-126."""
    bits = builder.bitcast(x, _INTS)
    exponent = builder.sub(builder.lshr(bits, _ints(23)), _ints(127))
    mantissa = builder.bitcast(builder.or_(builder.and_(bits, _ints(0x007FFFFF)), _ints(0x3F800000)), _FLOATS)
    over = builder.fsub(mantissa, _constant(1.0), flags=_FLAGS)
    return builder.fadd(
        builder.sitofp(exponent, _FLOATS),
        builder.fmul(over, _polynomial(builder, mantissa, LOG2), flags=_FLAGS),
        flags=_FLAGS,
    )


def _exp2(builder: Any, x: Any) -> Any:
    """Exponent into the bits, the rest by polynomial; x is held within [-126, 126]."""
    held = _call(
        builder, "llvm.minnum.v16f32", _call(builder, "llvm.maxnum.v16f32", x, _constant(-126.0)), _constant(126.0)
    )
    whole = _call(builder, "llvm.rint.v16f32", held)
    part = _polynomial(builder, builder.fsub(held, whole, flags=_FLAGS), EXP2)
    exponent = builder.shl(builder.fptosi(whole, _INTS), _ints(23))
    return builder.bitcast(builder.add(builder.bitcast(part, _INTS), exponent), _FLOATS)


def _rounded(builder: Any, x: Any) -> Any:
    """The bits of x rounded to the nearest number whose lower 16 bits are 0, to the even one of two; x finite."""
    bits = builder.bitcast(x, _INTS)
    odd = builder.and_(builder.lshr(bits, _ints(16)), _ints(1))
    up = builder.add(builder.add(bits, odd), _ints(0x7FFF))
    return builder.bitcast(builder.and_(up, _ints(0xFFFF0000)), _FLOATS)


def _pair(builder: Any, x: Any, y: Any) -> Any:
    """Both rounded to bfloat16, channel by channel beside each other."""
    rounded = builder.call(
        builder.module.declare_intrinsic(
            "llvm.x86.avx512bf16.cvtne2ps2bf16.512", fnty=ir.FunctionType(_HALVES, [_FLOATS, _FLOATS])
        ),
        (y, x),
    )
    order = [ir.Constant(ir.IntType(32), half * LANES + lane) for lane in range(LANES) for half in range(2)]
    mask = ir.Constant(ir.VectorType(ir.IntType(32), 2 * LANES), order)
    return builder.bitcast(builder.shuffle_vector(rounded, rounded, mask), _FLOATS)


splat = _row_function(1, lambda b, x: x)
sqrt = _row_function(1, lambda b, x: _call(b, "llvm.sqrt.v16f32", x))
absolute = _row_function(1, lambda b, x: _call(b, "llvm.fabs.v16f32", x))
log2 = _row_function(1, _log2)
exp2 = _row_function(1, _exp2)
maximum = _row_function(2, lambda b, x, y: _select(b, ">", x, y, x, y))
minimum = _row_function(2, lambda b, x, y: _select(b, "<", x, y, x, y))
rounded = _row_function(1, _rounded)
pair = _row_function(2, _pair)
where_greater = _row_function(4, lambda b, p, q, x, y: _select(b, ">", p, q, x, y))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index_kind: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    wide = context.cast(builder, index, index_kind, types.int64)
    start = builder.gep(data, [builder.mul(wide, ir.Constant(ir.IntType(64), LANES))])
    return builder.bitcast(start, _FLOATS.as_pointer())


def _check_rows(array: Any) -> None:
    is_rows = isinstance(array, types.Array) and (array.dtype, array.ndim, array.layout) == (types.float32, 2, "C")
    if not is_rows:
        raise errors.TypingError(f"wanted a C-contiguous float32 array (rows, {LANES}), got {array}")


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Row `index` of a C-contiguous float32 array whose last axis is 16. Not checked: the caller keeps the bounds."""
    _check_rows(array)
    sig = row_type(array, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        return builder.load(place, align=4)

    return sig, codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, row: Any) -> Any:
    """Write `row` as row `index` of such an array."""
    _check_rows(array)
    sig = types.void(array, types.int64, row)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], sig.args[1], args[1])
        builder.store(args[2], place, align=4)
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def add_products(typingctx: Any, total: Any, pairs: Any, weights: Any, index: Any) -> Any:
    """total + x * v + y * w, of a `pair` of rows x and y, and v and w as bfloat16 in the bits of weights[index]: one
    instruction of AVX512-BF16, so only where `TAKES_PAIRS`."""
    sig = row_type(row_type, row_type, weights, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total, pairs, weights, index = args
        data = context.make_array(sig.args[2])(context, builder, weights).data
        both = builder.load(builder.bitcast(builder.gep(data, [index]), ir.IntType(32).as_pointer()))
        one = builder.insert_element(ir.Constant(_INTS, ir.Undefined), both, ir.Constant(ir.IntType(32), 0))
        all_ = builder.shuffle_vector(one, ir.Constant(_INTS, ir.Undefined), _ints(0))
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _INTS, _INTS])
        function = builder.module.declare_intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", fnty=kind)
        return builder.call(function, (total, builder.bitcast(pairs, _INTS), all_))

    return sig, codegen


@intrinsic
def pointer(typingctx: Any, address: Any) -> Any:
    """Where an array lies, from its address, for `numba.carray`. The caller keeps the array alive."""
    sig = types.voidptr(types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return sig, codegen
