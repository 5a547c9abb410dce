"""The compiler's side of the kernels: a Python function and the types of its arguments in, an object file's octets out.

Nothing here is loaded where every kernel is found on disk: numba is the larger part of a start and of a small process's memory.
numba compiles the function and what it calls into one module; of it only one entry stays visible.  The entry takes its arguments as machine
words in a row (see `collectors.compiled`), so that whoever loads the object needs to know nothing of numba.
"""

from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]
from numba.extending import intrinsic, typeof_impl
from numba.np.arrayobj import make_array

from collectors import compiled
from collectors.compiled import Inline, Kernel

_WORD = ir.IntType(64)
_STATUS = ir.IntType(32)


def compile_kernel(kernel: Kernel, arguments: tuple[Any, ...], symbol: str) -> tuple[Any, bytes]:
    """(what comes back, the object file) of ``kernel`` for arguments like these; ``symbol`` names its entry.

    What comes back is "signed", "unsigned", "boolean", "none", or a list of these.  Raises numba's errors for what it cannot compile.
    """
    with global_compiler_lock:
        dispatcher = _dispatcher(kernel)
        signature = tuple(numba.typeof(argument) for argument in arguments)
        codegen = dispatcher.targetctx.codegen()
        dispatcher.compile(signature)
        made = dispatcher.overloads[signature]
        made.library._ensure_finalized()
        module = llvm.parse_assembly(str(_entry(made, symbol)))
        module.link_in(made.library._final_module, preserve=True)
        for part in (*module.functions, *module.global_variables):
            if not part.is_declaration and part.name != symbol:
                part.linkage = "internal"
        passes, builder = codegen._module_pass_manager()
        passes.run(module, builder)
        return _told(made.signature.return_type), bytes(codegen._tm.emit_object(module))


def _dispatcher(kernel: Kernel) -> Any:
    """numba's form of a kernel; made when something that is compiled calls it."""
    if kernel.dispatcher is None:
        options = {"nogil": True, "error_model": "numpy", "forceinline": kernel.inline, "_nrt": False}
        made = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(kernel.function)
        made._compiler = _PartCompiler(kernel.function, made.targetdescr, made.targetoptions, made.locals, Compiler)
        made.add_overload = lambda part: made.overloads.__setitem__(tuple(part.signature.args), part)  # Python never calls it
        kernel.dispatcher = made
    return kernel.dispatcher


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """A part is linked; optimised and made machine code of is the whole, once."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _PartCompiler(_FunctionCompiler):  # type: ignore[misc]
    def _customize_flags(self, flags: Any) -> Any:
        flags.no_compile = True
        return flags

    def _compile_core(self, args: Any, return_type: Any) -> Any:
        made = super()._compile_core(args, return_type)._replace(entry_point=object())  # by which callers find it
        made.library.__class__ = _Library
        made.target_context.insert_user_function(made.entry_point, made.fndesc, [made.library])
        return made


@typeof_impl.register(Kernel)  # type: ignore[untyped-decorator]
def _typeof_kernel(kernel: Kernel, context: Any) -> Any:
    return types.Dispatcher(_dispatcher(kernel))


def _entry(made: Any, symbol: str) -> ir.Module:
    """``int32 symbol(int64 *words, int64 *results)``: the status is 0 unless the kernel raised."""
    context, native = made.target_context, made.fndesc
    module = ir.Module(symbol)
    module.triple, module.data_layout = llvm.get_process_triple(), made.target_context.codegen()._data_layout
    convention = context.call_conv.get_function_type(native.restype, native.argtypes)
    function = ir.Function(module, ir.FunctionType(_STATUS, [_WORD.as_pointer(), _WORD.as_pointer()]), symbol)
    builder = ir.IRBuilder(function.append_basic_block())
    words, results = function.args
    back, raised, *wanted = convention.args
    passed = []
    for place, kind in enumerate(wanted):
        word = builder.load(builder.gep(words, [_WORD(place)]))
        passed.append(builder.inttoptr(word, kind) if isinstance(kind, ir.PointerType) else _narrow(builder, word, kind))
    result = cgutils.alloca_once(builder, back.pointee, zfill=True)
    status = builder.call(
        ir.Function(module, convention, native.llvm_func_name), [result, cgutils.alloca_once(builder, raised.pointee), *passed]
    )
    told = _told(made.signature.return_type)
    if told != "none":
        value = builder.load(result)
        kinds = [told] if isinstance(told, str) else told
        for place, kind in enumerate(kinds):
            part = value if isinstance(told, str) else builder.extract_value(value, place)
            wide = part if part.type == _WORD else (builder.sext if kind == "signed" else builder.zext)(part, _WORD)
            builder.store(wide, builder.gep(results, [_WORD(place)]))
    builder.ret(status)
    return module


def _narrow(builder: ir.IRBuilder, word: Any, kind: Any) -> Any:
    if not isinstance(kind, ir.IntType):
        raise TypeError(f"kernels take arrays and whole numbers, not {kind}")
    return word if kind == _WORD else builder.trunc(word, kind)


def _told(kind: Any) -> Any:
    if isinstance(kind, types.BaseTuple):  # type: ignore[attr-defined]
        return [_told(part) for part in kind.types]
    if isinstance(kind, types.Boolean):
        return "boolean"
    if isinstance(kind, types.Integer):
        return "signed" if kind.signed else "unsigned"  # type: ignore[attr-defined]
    if isinstance(kind, types.IntegerLiteral):
        return "signed"
    if kind == types.none:
        return "none"
    raise TypeError(f"kernels give whole numbers back, not {kind}")


# --- what kernels call that is no kernel

_PREFETCH = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *3 * [cgutils.int32_t]])  # address, to write, locality, data
_TO_WRITE, _EVERY_CACHE, _DATA = 1, 3, 1


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(typing_context: Any, table: Any, index: Any, inside: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])
        row = builder.bitcast(builder.gep(array.data, [arguments[1]]), cgutils.voidptr_t)
        address = builder.gep(row, [arguments[2]])
        hint = builder.module.declare_intrinsic("llvm.prefetch", (cgutils.voidptr_t,), _PREFETCH)
        builder.call(hint, [address, *(cgutils.int32_t(number) for number in (_TO_WRITE, _EVERY_CACHE, _DATA))])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _natural(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.assume(builder.icmp_signed(">=", arguments[0], _WORD(0)))
        return arguments[0]

    return types.int64(types.int64), generate


_VECTOR_OCTETS = 16  # every processor of x86-64 and of ARM has them
_VECTOR = ir.VectorType(ir.IntType(8), _VECTOR_OCTETS)
_SHORT_OCTETS = 2 * _VECTOR_OCTETS


@intrinsic  # type: ignore[untyped-decorator]
def _move(typing_context: Any, target: Any, to: Any, octets: Any, at: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, begin, source, start, count = arguments
        target_array = make_array(signature.args[0])(context, builder, into)
        source_array = make_array(signature.args[2])(context, builder, source)
        target_octets, source_octets = builder.gep(target_array.data, [begin]), builder.gep(source_array.data, [start])
        short = [builder.icmp_signed("<=", count, _WORD(_SHORT_OCTETS))]
        for array, place in ((target_array, begin), (source_array, start)):  # what lies behind it is read, and written as it was
            short.append(builder.icmp_signed("<=", builder.add(place, _WORD(_SHORT_OCTETS)), array.nitems))
        is_short = builder.and_(short[0], builder.and_(*short[1:]))
        with builder.if_else(is_short) as (few, many):
            with few:
                _move_few(builder, target_octets, source_octets, count)
            with many:
                cgutils.raw_memmove(builder, target_octets, source_octets, count, 1)
        return context.get_dummy_value()

    return types.void(target, types.int64, octets, types.int64, types.int64), generate


def _move_few(builder: ir.IRBuilder, target: Any, source: Any, count: Any) -> None:
    """Up to _SHORT_OCTETS, without a branch: sizes change from packet to packet, and a wrong guess costs more than the octets."""
    octets = builder.trunc(count, _VECTOR.element)
    limit = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), octets, cgutils.int32_t(0))
    limit = builder.shuffle_vector(limit, limit, ir.Constant(ir.VectorType(cgutils.int32_t, _VECTOR_OCTETS), [0] * _VECTOR_OCTETS))
    places = [cgutils.intp_t(first) for first in range(0, _SHORT_OCTETS, _VECTOR_OCTETS)]
    parts = [[builder.bitcast(builder.gep(octets_, [place]), _VECTOR.as_pointer()) for octets_ in (target, source)] for place in places]
    loaded = [[builder.load(address, align=1) for address in part] for part in parts]
    for first, (address, _), (old, new) in zip(range(0, _SHORT_OCTETS, _VECTOR_OCTETS), parts, loaded, strict=True):
        numbers = ir.Constant(_VECTOR, list(range(first, first + _VECTOR_OCTETS)))
        builder.store(builder.select(builder.icmp_signed("<", numbers, limit), new, old), address, align=1)


def _load(octets_read: int, is_big: bool) -> Any:
    """A number of so many octets at any address."""
    word = ir.IntType(8 * octets_read)
    kind = types.uint64 if word == _WORD else types.int64

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, octets: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = make_array(signature.args[0])(context, builder, arguments[0])
            if octets.layout == "C":
                address = builder.bitcast(builder.gep(array.data, [arguments[1]]), word.as_pointer())
                number = builder.load(address, align=1)
            else:
                number = _gather(builder, array, arguments[1], word)
            if is_big:
                number = builder.bswap(number)
            return number if word == _WORD else builder.zext(number, _WORD)

        return kind(octets, types.int64), generate

    return load


def _gather(builder: ir.IRBuilder, array: Any, at: Any, word: Any) -> Any:
    """Octets that lie apart, the smallest first."""
    number, stride = word(0), builder.extract_value(array.strides, 0)
    for place in range(word.width // 8):
        octet = builder.load(builder.gep(array.data, [builder.mul(builder.add(at, _WORD(place)), stride)]))
        number = builder.or_(number, builder.shl(builder.zext(octet, word), word(8 * place)))
    return number


@intrinsic  # type: ignore[untyped-decorator]
def _fold(typing_context: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(2 * _WORD.width)
        product = builder.mul(*(builder.zext(word, wide) for word in arguments))
        return builder.xor(builder.trunc(product, _WORD), builder.trunc(builder.lshr(product, wide(_WORD.width)), _WORD))

    return types.uint64(types.uint64, types.uint64), generate


_INLINE = {compiled.prefetch: _prefetch, compiled.move: _move, compiled.natural: _natural, compiled.fold: _fold} | {
    getattr(compiled, f"{order}{8 * octets}"): _load(octets, order == "big") for order in ("big", "small") for octets in (2, 4, 8)
}


@typeof_impl.register(Inline)  # type: ignore[untyped-decorator]
def _typeof_inline(called: Inline, context: Any) -> Any:
    return numba.core.registry.cpu_target.typing_context.resolve_value_type(_INLINE[called])
