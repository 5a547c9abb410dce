"""The kernels' cache: complete after warming, found again, and harmless where it cannot be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collectors import compiled
from collectors.capture.warm import warm
from tests.data import ROOT

COUNT = """
import sys
from collectors import compiled
from collectors.capture import bench, dissect, live, replay
from collectors.capture.warm import warm
from numba.core.dispatcher import Dispatcher
warm()
modules = [module for name, module in sys.modules.items() if name.startswith("collectors")]
kernels = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)}
print(len(kernels), sum(sum(each.stats.cache_misses.values()) for each in kernels.values()), compiled.cache_directory())
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


def counted(*before: str, **environment: str) -> tuple[int, int, Path]:
    """(kernels, how many of them were compiled, cache directory) of a process of its own."""
    command = [*before, sys.executable, "-c", COUNT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False, cwd=ROOT, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-2000:]
    kernels, misses, directory = done.stdout.split()
    return int(kernels), int(misses), Path(directory)


def test_warming_leaves_nothing_to_compile() -> None:
    warm()
    kernels, misses, directory = counted()
    assert kernels > 40
    assert misses == 0
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


def test_a_cache_that_cannot_be_written_is_copied_to_a_private_place(tmp_path: Path) -> None:
    """numba alone would compile everything anew at each start."""
    sealed, baked = baked_and_sealed(tmp_path)
    _, misses, directory = counted(*sealed, SENTINEL_KERNEL_CACHE=str(baked))
    assert misses == 0
    private = directory.parent
    assert private.name.startswith("sentinel-kernels-")
    assert private.stat().st_mode & 0o077 == 0
    shutil.rmtree(private)


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


def test_loading_kernels_loads_no_linear_algebra() -> None:
    """numba looks for a BLAS that no kernel needs; it must still find it where somebody else does."""
    program = (
        "import sys, numpy, numba; from collectors.capture import live; print('scipy.linalg' in sys.modules);"
        "print(numba.njit(lambda a: numpy.dot(a, a))(numpy.eye(2)).sum())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=170, check=True, cwd=ROOT)
    assert done.stdout.split() == ["False", "2.0"]


def test_every_file_with_kernels_is_part_of_the_digest() -> None:
    root = Path(compiled.__file__).parent
    importing = {path for room in ("capture", "wire") for path in (root / room).rglob("*.py") if "import kernel" in path.read_text()}
    assert importing <= set(compiled.sources())
