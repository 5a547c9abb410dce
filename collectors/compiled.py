"""Kernels: functions over columns, turned into machine code once and kept on disk as object files.

A kernel that Python calls looks for its object file and loads it; only where there is none is the compiler loaded (`collectors.compiling`,
numba) and the file written.  So a start loads no compiler, and a baked cache may lie where nothing can be written.  The files lie in a
directory named by a digest of everything that shapes them: every file that defines kernels or record layouts, numba, the processor.
`SENTINEL_KERNEL_CACHE` names another place for it, `NUMBA_CPU_NAME` and `NUMBA_CPU_FEATURES` another processor.

An entry takes machine words in a row: of an array the seven that numba's form of one has (two owners, both none; elements; octets of one;
address) with shape and strides, of a whole number itself, of a tuple its parts.
"""

import ctypes
import hashlib
import json
import logging
import os
import struct
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar, cast, overload

import llvmlite.binding as llvm
import numpy as np

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent
_ROOMS = ("wire", "capture")
_MARKS = ("@kernel", "np.dtype(")  # what makes a file part of the digest
_CONSTANTS = (  # files whose values kernels have frozen in them, and those that shape the object files
    Path(__file__).resolve(),
    _ROOT / "compiling.py",
    _ROOT / "wire" / "__init__.py",
    *(_ROOT.parent / "sentinel" / "model" / name for name in ("protocol.py", "modbus.py", "opcua.py", "observation.py", "time.py")),
)
_C_ORDER, _F_ORDER, _WRITABLE = 0x1, 0x2, 0x400  # of ``ndarray.flags.num``
_WORD_BITS = 64
_MOST_RESULTS = 16

compiled_here = 0  # kernels that this process had to compile


def sources() -> tuple[Path, ...]:
    files = (path for room in _ROOMS for path in sorted((_ROOT / room).rglob("*.py")))
    return (*(path for path in files if any(mark in path.read_text(encoding="utf-8") for mark in _MARKS)), *_CONSTANTS)


def processor() -> tuple[str, str]:
    """(name, features) of the machine that code is made for, as numba finds them."""
    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = llvm.get_host_cpu_features().flatten() if name is None else ""
    return llvm.get_host_cpu_name() if name is None else name, features


@cache
def cache_directory() -> Path:
    """Where object files are looked for; it may be missing, and it need not be writable."""
    sha = hashlib.sha256("\n".join((metadata.version("numba"), *processor())).encode())
    for path in sources():
        sha.update(path.read_bytes())
    return Path(os.environ.get("SENTINEL_KERNEL_CACHE") or _ROOT / "__pycache__") / f"kernels-{sha.hexdigest()[:16]}"


@overload
def kernel(function: F) -> F: ...


@overload
def kernel(*, inline: bool) -> Callable[[F], F]: ...


def kernel(function: F | None = None, *, inline: bool = False) -> F | Callable[[F], F]:
    """Compile without the interpreter lock and without allocation.

    ``inline`` for what runs for every packet: a call that is none passes each table as seven words on the stack.
    """

    def compile_(python_function: F) -> F:
        return cast("F", Kernel(python_function, inline))

    return compile_(function) if function is not None else compile_


class Words:
    """An argument that is laid out once, for kernels that are called with the same tables again and again."""

    def __init__(self, value: Any) -> None:
        self.value = value  # keeps the tables
        words: list[int] = []
        kinds: list[Any] = []
        _lay(value, words, kinds)
        self.octets = struct.pack(f"{len(words)}q", *words)
        self.kind = _kind(tuple(kinds))


class _Kind:
    """The kinds of laid-out arguments: equal by what they are, compared by their digest."""

    def __init__(self, kinds: tuple[Any, ...]) -> None:
        self._text = repr(kinds)
        self._hash = hash(self._text)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Kind) and self._text == other._text

    def __repr__(self) -> str:
        return self._text


_kind = cache(_Kind)


class Kernel:
    """Called from Python it runs its object file's entry; called by another kernel it becomes part of that one's.

    Takes arrays, whole numbers, tuples of them, and `Words`.  Raises TypeError for anything else, RuntimeError when the kernel raised.
    """

    def __init__(self, function: Callable[..., Any], inline: bool) -> None:
        self.function, self.inline = function, inline
        self.dispatcher: Any = None  # the compiler's form of it
        self.__doc__, self.__name__, self.__module__ = function.__doc__, function.__name__, function.__module__
        self._entries: dict[tuple[Any, ...], tuple[Callable[..., int], Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        octets, words, kinds = b"", list[int](), list[Any]()
        for argument in arguments:
            if type(argument) is Words:
                octets += struct.pack(f"{len(words)}q", *words) + argument.octets
                words.clear()
                kinds.append(argument.kind)
            else:
                _lay(argument, words, kinds)
        key = tuple(kinds)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._load(arguments, key)
        run, told = entry
        results = (ctypes.c_int64 * _MOST_RESULTS)()
        status = run(octets + struct.pack(f"{len(words)}q", *words), results)
        if status:
            raise RuntimeError(f"{self.__module__}.{self.__name__} ended with status {status}")
        return _told(told, results[0]) if isinstance(told, str) else tuple(map(_told, told, results))

    def _load(self, arguments: tuple[Any, ...], kinds: tuple[Any, ...]) -> tuple[Callable[..., int], Any]:
        name = f"{self.__module__}.{self.__name__}"
        symbol = "k" + hashlib.sha256(f"{name} {self.inline} {kinds!r}".encode()).hexdigest()[:24]
        path = cache_directory() / f"{name}-{symbol}.o"
        kept = _kept(path)
        if kept is None:
            kept = self._compile(arguments, symbol)
            _keep(path, *kept)
        told, code = kept
        return _entry(code, symbol), told

    def _compile(self, arguments: tuple[Any, ...], symbol: str) -> tuple[Any, bytes]:
        global compiled_here  # noqa: PLW0603  a count for whoever asks whether the cache was complete
        from collectors.compiling import compile_kernel

        compiled_here += 1
        return compile_kernel(self, tuple(each.value if isinstance(each, Words) else each for each in arguments), symbol)


class Inline:
    """What kernels call that the compiler writes itself; Python cannot call it."""


prefetch: Any = Inline()
"""``prefetch(table, index, inside)``: ask for the cache line ``inside`` octets behind the start of a table's row, which is needed soon.
Never faults."""
move: Any = Inline()
"""``move(target, to, octets, at, size)``: ``target[to:to + size] = octets[at:at + size]``, as the C library does it; the caller has checked
both."""
natural: Any = Inline()
"""``natural(number)``: the same number, which the caller knows, and the compiler from here on, not to be negative: of an index that may be,
it is looked at each time whether it counts from the end."""
big16: Any = Inline()
big32: Any = Inline()
big64: Any = Inline()
small16: Any = Inline()
small32: Any = Inline()
small64: Any = Inline()
"""``big32(octets, at)``: the number in four octets, the greatest first, by one load; ``small32``: the smallest first.  Of 64 bits unsigned,
of fewer an int64.  The caller has checked that they are there."""
fold: Any = Inline()
"""``fold(a, b)``: the two halves of the 128 bits of ``a * b``, exclusive-or; all three uint64."""


def _lay(value: Any, words: list[int], kinds: list[Any]) -> None:
    kind = type(value)
    if kind is np.ndarray:
        flags = value.flags.num
        words += (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
        kinds += (value.dtype, value.ndim, "C" if flags & _C_ORDER else "F" if flags & _F_ORDER else "A", flags & _WRITABLE)
    elif kind is bool:
        words.append(value)
        kinds.append("bool")
    elif kind is int:
        words.append(_signed(value))
        kinds.append("uint64" if value >> (_WORD_BITS - 1) == 1 else "int64")
    elif isinstance(value, np.integer):
        words.append(_signed(int(value)))
        kinds.append(value.dtype)
    elif isinstance(value, tuple):
        kinds.append((kind.__name__, len(value)))
        for part in value:
            _lay(part, words, kinds)
    else:
        raise TypeError(f"a kernel takes arrays, whole numbers and tuples of them, not {kind.__name__}")


def _signed(value: int) -> int:
    return value - (1 << _WORD_BITS) if value >> (_WORD_BITS - 1) == 1 else value


def _told(kind: str, word: int) -> Any:
    if kind == "none":
        return None
    if kind == "boolean":
        return bool(word)
    return word % (1 << _WORD_BITS) if kind == "unsigned" else word


def _kept(path: Path) -> tuple[Any, bytes] | None:
    """(what comes back, the object file); None where there is none that is whole: over another one LLVM would end the process."""
    try:
        digest, _, rest = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if digest != hashlib.sha256(rest).hexdigest().encode():
        return None
    told, _, code = rest.partition(b"\n")
    return json.loads(told), code


def _keep(path: Path, told: Any, code: bytes) -> None:
    """For the next start; where the place cannot be written every start compiles it anew."""
    rest = json.dumps(told).encode() + b"\n" + code
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as made:
            made.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
        Path(made.name).chmod(0o644)
        Path(made.name).replace(path)
    except OSError as error:
        _warn_once(path.parent, error.strerror)


@cache
def _warn_once(directory: Path, why: str | None) -> None:
    log.warning("%s: %s; every start compiles the kernels anew, which takes minutes", directory, why)


@cache
def _engine() -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), llvm.Target.from_default_triple().create_target_machine(jit=True))


def _entry(code: bytes, symbol: str) -> Callable[..., int]:
    engine = _engine()
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    # releases the interpreter lock while it runs
    return ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_char_p, ctypes.c_void_p)(engine.get_function_address(symbol))
