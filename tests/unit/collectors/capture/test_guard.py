"""No kernel reads outside of a packet, whatever its octets claim."""

import subprocess
import sys

import pytest

from tests.data import ROOT


@pytest.mark.parametrize("seed", [1, 20261124])
def test_mutated_packets_before_a_guard_page(seed: int) -> None:
    command = [sys.executable, "-m", "tests.unit.collectors.capture.guard", str(seed), "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-2000:]}"
    taken, rows = map(int, done.stdout.split())
    assert taken > 5000
    assert rows > 100
