"""Pages of a library are given back, and come again when they are asked for."""

import subprocess
import sys

from collectors.released import Mapping, mappings

SMAPS = """\
7f00-7f10 r-xp 00000000 08:01 42                         /lib/libllvmlite.so
Rss:                  12 kB
Anonymous:             0 kB
Swap:                  4 kB
VmFlags: rd ex mr mw me
7f10-7f20 rw-p 00000000 00:00 0
Rss:                   8 kB
Anonymous:             8 kB
Swap:                  0 kB
VmFlags: rd wr mr mw me
"""
RESIDENT = """
from collectors.capture.warm import warm
from collectors.released import COMPILER, _SMAPS, mappings, release
warm()
def resident():
    return sum(part.resident for part in mappings(_SMAPS.read_text()) if COMPILER in part.file and not part.writable)
after = resident()
import numba
numba.njit(lambda x: x + 1)(1)  # the compiler is still there for whoever needs it
used = resident()
print(after, used, release(), resident())
"""
# Like the columns of a block of packets, and the octets that go to the brain: made and freed many times, held for a while.
COLUMNS = """
import resource, sys
from collectors.released import retain
if sys.argv[1] == "retained":
    retain(32 << 20)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = []
    for size in 20 * [1 << 20, 3 << 20]:
        held = [*held[-2:], bytearray(size)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_what_the_kernel_tells_of_memory() -> None:
    assert list(mappings(SMAPS)) == [
        Mapping(0x7F00, 0x7F10, False, "/lib/libllvmlite.so", 12 * 1024, 4 * 1024),
        Mapping(0x7F10, 0x7F20, True, "", 8 * 1024, 8 * 1024),
    ]


def test_the_compiler_is_let_go_of_when_the_kernels_are_loaded_and_comes_back() -> None:
    told = subprocess.run([sys.executable, "-c", RESIDENT], check=True, capture_output=True, text=True, timeout=300)
    after_warm, in_use, released, left = map(int, told.stdout.split())
    assert after_warm < 4e6
    assert in_use > 10e6
    assert released > in_use - 4e6
    assert left < 4e6


def test_what_was_freed_is_used_again_and_no_page_comes_anew() -> None:
    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", COLUMNS, how], check=True, capture_output=True, text=True, timeout=60).stdout)

    assert faults("retained") < 100
    assert faults("as ever") > 1000
