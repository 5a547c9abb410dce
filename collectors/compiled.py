"""Compiled kernels: functions over columns that numba turns into machine code once and keeps on disk.

The cache lies in a directory named by a digest of every file that defines kernels or record layouts, because numba itself notices only
a change of the file that holds the outermost function.  A baked cache in a place that cannot be written (a read-only image) is copied to
a private temporary directory, since numba ignores a cache that it cannot write.  `SENTINEL_KERNEL_CACHE` names another place.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])

_ROOT = Path(__file__).resolve().parent
_ROOMS = ("wire", "capture")
_MARKS = ("@kernel", "np.dtype(")  # what makes a file part of the digest
_CONSTANTS = (  # files whose values kernels have frozen in them
    _ROOT / "wire" / "__init__.py",
    *(_ROOT.parent / "sentinel" / "model" / name for name in ("protocol.py", "modbus.py", "observation.py", "time.py")),
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
    """Compile without the interpreter lock and without allocation; ``inline`` for what runs once per packet from one place."""

    def compile_(python_function: F) -> F:
        before = config.CACHE_DIR
        config.CACHE_DIR = str(cache_directory())
        try:
            compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=inline, _nrt=False)(python_function)
        finally:
            config.CACHE_DIR = before
        return compiled

    return compile_(function) if function is not None else compile_
