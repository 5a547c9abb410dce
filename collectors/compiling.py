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

from collectors.compiled import Inline, Kernel, move, prefetch

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
def _move(typing_context: Any, target: Any, to: Any, octets: Any, at: Any, size: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, begin, source, start, count = arguments
        target_octets = builder.gep(make_array(signature.args[0])(context, builder, into).data, [begin])
        source_octets = builder.gep(make_array(signature.args[2])(context, builder, source).data, [start])
        _move_octets(builder, target_octets, source_octets, count)
        return context.get_dummy_value()

    return types.void(target, types.int64, octets, types.int64, types.int64), generate


_SHORT_OCTETS = (16, 8, 4)


def _move_octets(builder: ir.IRBuilder, target: Any, source: Any, count: Any) -> None:
    """Mostly a dozen octets: two words that overlap hold 4 to 32 of them, without a call."""
    done = builder.append_basic_block("moved")
    for octets in _SHORT_OCTETS:
        fits = builder.and_(builder.icmp_signed(">=", count, count.type(octets)), builder.icmp_signed("<=", count, count.type(2 * octets)))
        short, other = builder.append_basic_block("short"), builder.append_basic_block("other")
        builder.cbranch(fits, short, other)
        builder.position_at_end(short)
        word = ir.IntType(8 * octets).as_pointer()
        last = builder.sub(count, count.type(octets))
        words = [builder.load(builder.bitcast(builder.gep(source, [place]), word), align=1) for place in (count.type(0), last)]
        for place, value in zip((count.type(0), last), words, strict=True):
            builder.store(value, builder.bitcast(builder.gep(target, [place]), word), align=1)
        builder.branch(done)
        builder.position_at_end(other)
    cgutils.raw_memmove(builder, target, source, count, 1)
    builder.branch(done)
    builder.position_at_end(done)


_INLINE = {prefetch: _prefetch, move: _move}


@typeof_impl.register(Inline)  # type: ignore[untyped-decorator]
def _typeof_inline(called: Inline, context: Any) -> Any:
    return numba.core.registry.cpu_target.typing_context.resolve_value_type(_INLINE[called])
