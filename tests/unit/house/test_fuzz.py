"""The kernels in their Python form (`tests.fuzz`): in a process of its own, since they are no compiled ones any more there."""

import subprocess
import sys
from pathlib import Path

from tests.data import ROOT

FORM = """
import numpy as np
from tests.fuzz.form import Table
from collectors.compiled import move

def refuses(error, work):
    try:
        work()
    except error:
        return True
    return False

rows = np.zeros(2, np.dtype([("small", "u1"), ("word", "u8")]))
row, octets = Table(rows)[1], np.zeros(8, np.uint8)
row.small += 255
print(rows["small"].tolist(), type(row.small), type(row.word))
print(refuses(IndexError, lambda: Table(rows)[-1]), refuses(IndexError, lambda: Table(rows)[2].small))
print(refuses(OverflowError, lambda: setattr(row, "small", 256)), refuses(OverflowError, lambda: setattr(row, "small", -1)))
print(refuses(IndexError, lambda: move(octets, 4, octets, 0, 5)), refuses(IndexError, lambda: move(octets, 0, octets, -1, 2)))
"""
SEEDS = """
import sys
from pathlib import Path
from tests.fuzz.__main__ import TARGETS as NAMED
from tests.fuzz.targets import TARGETS, lay_seeds

assert tuple(TARGETS) == NAMED
for target, make in TARGETS.items():
    directory = Path(sys.argv[1]) / target
    directory.mkdir()
    lay_seeds(target, directory)
    take = make()
    seeds = sorted(directory.iterdir())
    for seed in seeds:
        take(seed.read_bytes())
    print(target, len(seeds))
"""


def told(program: str, *arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_what_a_compiled_kernel_would_wrap_is_an_error() -> None:
    assert told(FORM) == ["[0, 255] <class 'int'> <class 'numpy.uint64'>", "True True", "True True", "True True"]


def test_every_target_takes_what_speaks_its_protocol_properly(tmp_path: Path) -> None:
    lines = told(SEEDS, str(tmp_path))
    assert [line.rpartition(" ")[0] for line in lines] == ["packets", "modbus", "unknown port", "opcua", "names", "files"]
    assert all(int(line.rpartition(" ")[2]) >= 2 for line in lines)
