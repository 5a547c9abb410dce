"""Memory that a process has used up: a library's pages that nobody will run again are given back, what will be used again is kept.

The compiler behind the kernels is 150 MB of program, of which loading them touches half.  Nothing is lost: what is asked for again, the
kernel of the system reads again from the file.
Columns of some megabytes that come and go many times a second are the other way round: each page that is given back and had anew is
cleared by the kernel of the system first, which costs a capture more than writing it.
"""

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMPILER = "libllvmlite"
_SMAPS = Path("/proc/self/smaps")  # proc(5)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = 32 << 20  # that the C library keeps at all (DEFAULT_MMAP_THRESHOLD_MAX)


class Mapping(NamedTuple):
    """A part of this process's memory: ``resident`` octets of it are there, ``own`` of them differ from the file."""

    start: int
    end: int
    writable: bool
    file: str
    resident: int
    own: int


def mappings(text: str) -> Iterator[Mapping]:
    head, figures = list[str](), dict[str, int]()
    for line in text.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            head = words
        elif words[0] == "VmFlags:":
            start, end = (int(place, 16) for place in head[0].split("-"))
            own = figures["Anonymous:"] + figures["Swap:"]
            yield Mapping(start, end, "w" in head[1], head[5] if len(head) > 5 else "", figures["Rss:"], own)
        else:
            figures[words[0]] = int(words[1]) * 1024


def release(library: str = COMPILER) -> int:
    """How many octets of a library's mapped file were given back; only parts that are as the file is, and cannot be written."""
    if not _SMAPS.exists():
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    released = 0
    for part in mappings(_SMAPS.read_text(encoding="utf-8", errors="replace")):
        if library in part.file and not part.writable and part.own == 0 and part.resident:
            if libc.madvise(part.start, part.end - part.start, mmap.MADV_DONTNEED):
                raise OSError(ctypes.get_errno(), f"madvise of {part.file}")
            released += part.resident
    return released


def retain(octets: int) -> None:
    """Of what is freed up to so many octets are kept for what is allocated next.  Nothing happens where the C library cannot do it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not (mallopt(_TRIM_THRESHOLD, octets) and mallopt(_MMAP_THRESHOLD, _LARGEST)):
        raise ValueError(f"the C library does not keep {octets} octets")
