"""The kernels' cache: complete after warming, found again, and harmless where it cannot be written or was spoilt."""

import os
import shutil
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from collectors import compiled
from collectors.capture.flows import mix
from collectors.capture.streams import distance
from collectors.capture.warm import warm
from collectors.wire.loads import little16, word64
from collectors.wire.modbus.pdu import is_public
from tests.data import ROOT

COUNT = """
import sys
from collectors import compiled
from collectors.capture import bench, dissect, live, replay
from collectors.capture.warm import warm
warm()
modules = [module for name, module in sys.modules.items() if name.startswith("collectors")]
kernels = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, compiled.Kernel)}
print(len(kernels), compiled.compiled_here, "numba" in sys.modules, compiled.cache_directory())
"""
START = """
import time
from collectors.capture import live, sensor, warm
warm.warm()
sensor.Sensor("first")
print(time.process_time())
"""
LOAD = """
import time
import numba
print(time.process_time())
"""
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'


def counted(*before: str, **environment: str) -> tuple[int, int, bool, Path]:
    """(kernels, how many of them were compiled, was the compiler loaded, cache directory) of a process of its own."""
    command = [*before, sys.executable, "-c", COUNT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=ROOT, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    kernels, misses, loaded, directory = done.stdout.split()
    return int(kernels), int(misses), loaded == "True", Path(directory)


def asked(cache: Path) -> tuple[str, int]:
    """(what a kernel says, how many were compiled for it) in a process of its own."""
    program = (
        "import numpy as np; from collectors import compiled; from collectors.wire.modbus.pdu import parse_request;"
        "print(parse_request(np.array([3, 0, 1, 0, 2], np.uint8), 0, 5), compiled.compiled_here, sep=';')"
    )
    places = {**os.environ, "SENTINEL_KERNEL_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=170, check=True, cwd=ROOT, env=places)
    said, _, misses = done.stdout.partition(";")
    return said, int(misses)


def test_warming_leaves_nothing_to_compile() -> None:
    warm()
    kernels, misses, is_loaded, directory = counted()
    assert kernels > 40
    assert misses == 0
    assert not is_loaded
    assert directory == compiled.cache_directory()


def baked_and_sealed(tmp_path: Path) -> tuple[tuple[str, ...], Path]:
    """(command in front, cache) of a process that finds a warm cache where it cannot write, as in a read-only image."""
    warm()
    baked = tmp_path / "baked"
    shutil.copytree(compiled.cache_directory(), baked / compiled.cache_directory().name)
    sealed = ("unshare", "--mount", "sh", "-c", READ_ONLY, str(baked))
    if subprocess.run([*sealed, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, for a mount namespace")
    return sealed, baked


def test_a_cache_that_cannot_be_written_is_read_where_it_lies(tmp_path: Path) -> None:
    sealed, baked = baked_and_sealed(tmp_path)
    _, misses, is_loaded, directory = counted(*sealed, SENTINEL_KERNEL_CACHE=str(baked))
    assert misses == 0
    assert not is_loaded
    assert directory.parent == baked


def test_where_nothing_can_be_kept_kernels_are_compiled_and_run(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file, where a directory would have to be made")
    assert asked(tmp_path / "kept") == ("(-1, 1, 2, 0, 0, 0)", 1)


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_file_that_was_cut_or_spoilt_is_compiled_anew(tmp_path: Path, cut: int) -> None:
    made = asked(tmp_path)
    assert made == ("(-1, 1, 2, 0, 0, 0)", 1)
    (file,) = tmp_path.rglob("*.o")
    whole = file.read_bytes()
    file.write_bytes(whole[:cut] if cut else whole[:-1] + bytes([whole[-1] ^ 1]))
    assert asked(tmp_path) == made
    assert file.read_bytes() == whole
    assert asked(tmp_path) == (made[0], 0)


@pytest.mark.alone
def test_the_first_packet_can_be_taken_within_a_second(tmp_path: Path) -> None:
    """From a baked cache that cannot be written.  A second is what it may take where loading the compiler alone takes 0.36 s: processor
    time of both, in turns, so that no machine is too slow and none too fast for it.  ``bench decode`` gives the seconds."""
    sealed, baked = baked_and_sealed(tmp_path)
    places = {**os.environ, "SENTINEL_KERNEL_CACHE": str(baked), "TMPDIR": str(tmp_path)}
    ratios = [
        processor_s([*sealed, sys.executable, "-c", START], places) / processor_s([sys.executable, "-c", LOAD], places) for _ in range(5)
    ]
    assert sorted(ratios)[1] < 1.0 / 0.36


def processor_s(command: list[str], places: dict[str, str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=True, cwd=ROOT, env=places)
    return float(done.stdout)


class Whole(IntEnum):
    TWO = 2


@pytest.mark.parametrize("wrong", [1.0, None, "a", b"a", [1], np.float64(1), np.zeros(1, np.float64)[0], Whole.TWO])
def test_what_a_kernel_does_not_take_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match="a kernel takes arrays, whole numbers"):
        distance(wrong, 0)


def test_words_travel_unchanged_in_both_directions() -> None:
    assert distance(0, (1 << 32) - 1) == 1
    assert distance((1 << 32) - 1, 0) == -1
    assert mix(np.uint64((1 << 64) - 1)) == 0xB4D055FCF2CBBD7B
    assert is_public(3) is True
    assert is_public(9) is False
    assert little16(np.array([1, 0x80], np.uint8), 0) == 0x8001
    assert little16(np.array([9, 1, 9, 0x80], np.uint8)[1::2], 0) == 0x8001  # an array with strides
    assert word64(np.full(8, 0xFF, np.uint8), 0) == (1 << 64) - 1


MOVED = """
import numpy as np
from collectors.compiled import kernel, move

@kernel
def moved(target, to, octets, at, size):
    move(target, to, octets, at, size)

octets = np.arange(1, 101, dtype=np.uint8)
for size in range(71):
    for to in {0, 1, 27, 28, 29, 30, 67, 68, 69, 100 - size} & set(range(101 - size)):
        for at in {0, 3, 28, 67, 68, 69, 100 - size} & set(range(101 - size)):
            target = np.full(100, 200, np.uint8)
            moved(target, to, octets, at, size)
            expected = [200] * to + list(range(at + 1, at + 1 + size)) + [200] * (100 - to - size)
            assert target.tolist() == expected, (size, to, at)
"""


def test_octets_are_moved_and_their_neighbours_stay(tmp_path: Path) -> None:
    places = {**os.environ, "SENTINEL_KERNEL_CACHE": str(tmp_path)}
    (tmp_path / "moved.py").write_text(MOVED)  # a compiler asks for the source
    subprocess.run([sys.executable, str(tmp_path / "moved.py")], timeout=170, check=True, cwd=ROOT, env={**places, "PYTHONPATH": str(ROOT)})


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kept").write_text("a file, where a directory would have to be made")
    for name in ("one", "other"):
        compiled._keep(tmp_path / "kept" / "kernels" / name, "none", b"code")
    (told,) = caplog.records
    assert "every start compiles the kernels anew" in told.getMessage()
    assert str(tmp_path) in told.getMessage()


def test_loading_kernels_loads_no_compiler() -> None:
    program = "import sys; from collectors.capture import live, sensor; print({'numba', 'scipy', 'cffi'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=170, check=True, cwd=ROOT)
    assert done.stdout == "set()\n"


def test_every_file_with_kernels_is_part_of_the_digest() -> None:
    root = Path(compiled.__file__).parent
    importing = {path for room in ("capture", "wire") for path in (root / room).rglob("*.py") if "import kernel" in path.read_text()}
    assert importing <= set(compiled.sources())
