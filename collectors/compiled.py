"""Compiled kernels: functions over columns that numba turns into machine code once and keeps on disk.

The cache lies in a directory named by a digest of every file that defines kernels or record layouts, because numba itself notices only
a change of the file that holds the outermost function.  A baked cache in a place that cannot be written (a read-only image) is copied to
a private temporary directory, since numba ignores a cache that it cannot write.  `SENTINEL_KERNEL_CACHE` names another place.
"""

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

# numba looks whether these are there, for functions that no kernel uses: 0.25 s and 16 MB of every start.
for _unused, _asking in (("scipy.linalg", "numba.np.arraymath"), ("cffi", "numba.core.typing.cffi_utils")):
    if _unused not in sys.modules:
        sys.modules[_unused] = None  # type: ignore[assignment]
        importlib.import_module(_asking)
        del sys.modules[_unused]

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent
_ROOMS = ("wire", "capture")
_MARKS = ("@kernel", "np.dtype(")  # what makes a file part of the digest
_CONSTANTS = (  # files whose values kernels have frozen in them
    Path(__file__).resolve(),
    _ROOT / "wire" / "__init__.py",
    *(_ROOT.parent / "sentinel" / "model" / name for name in ("protocol.py", "modbus.py", "opcua.py", "observation.py", "time.py")),
)


def sources() -> tuple[Path, ...]:
    files = (path for room in _ROOMS for path in sorted((_ROOT / room).rglob("*.py")))
    return (*(path for path in files if any(mark in path.read_text(encoding="utf-8") for mark in _MARKS)), *_CONSTANTS)


@cache
def cache_directory() -> Path:
    """The directory that numba reads and writes; it exists and is writable."""
    sha = hashlib.sha256(numba.__version__.encode())
    for path in sources():
        sha.update(path.read_bytes())
    name = f"kernels-{sha.hexdigest()[:16]}"
    baked = Path(os.environ.get("SENTINEL_KERNEL_CACHE") or _ROOT / "__pycache__") / name
    try:
        baked.mkdir(parents=True, exist_ok=True)
        writable = os.access(baked, os.W_OK)
    except OSError:
        writable = False
    if writable:
        return baked
    private = Path(tempfile.mkdtemp(prefix="sentinel-kernels-")) / name  # within mode 0700: the cache is executable content
    if baked.is_dir():
        shutil.copytree(baked, private)
    else:
        private.mkdir()
    return private


@overload
def kernel(function: F) -> F: ...


@overload
def kernel(*, inline: bool) -> Callable[[F], F]: ...


def kernel(function: F | None = None, *, inline: bool = False) -> F | Callable[[F], F]:
    """Compile without the interpreter lock and without allocation.

    ``inline`` for what runs for every packet: a call that is none passes each table as seven words on the stack.
    """

    def compile_(python_function: F) -> F:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(cache_directory())
        try:
            compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=inline, _nrt=False)(python_function)
        finally:
            config.CACHE_DIR = before
        return compiled

    return compile_(function) if function is not None else compile_


_PREFETCH = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, *3 * [cgutils.int32_t]])  # address, to write, locality, data
_TO_WRITE, _EVERY_CACHE, _DATA = 1, 3, 1


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, table: Any, index: Any, inside: Any) -> Any:
    """For kernels: ask for the cache line ``inside`` octets behind the start of a table's row, which is needed soon.  Never faults."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])
        row = builder.bitcast(builder.gep(array.data, [arguments[1]]), cgutils.voidptr_t)
        address = builder.gep(row, [arguments[2]])
        hint = builder.module.declare_intrinsic("llvm.prefetch", (cgutils.voidptr_t,), _PREFETCH)
        builder.call(hint, [address, *(cgutils.int32_t(number) for number in (_TO_WRITE, _EVERY_CACHE, _DATA))])
        return context.get_dummy_value()

    return types.void(table, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def move(typing_context: Any, target: Any, to: Any, octets: Any, at: Any, size: Any) -> Any:
    """For kernels: ``target[to:to + size] = octets[at:at + size]``, as the C library does it; the caller has checked both."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        into, begin, source, start, count = arguments
        target_octets = builder.gep(make_array(signature.args[0])(context, builder, into).data, [begin])
        source_octets = builder.gep(make_array(signature.args[2])(context, builder, source).data, [start])
        cgutils.raw_memmove(builder, target_octets, source_octets, count, 1)
        return context.get_dummy_value()

    return types.void(target, types.int64, octets, types.int64, types.int64), generate
