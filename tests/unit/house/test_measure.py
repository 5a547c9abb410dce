import json
import subprocess
import sys

import pytest

from collectors.gate import bench

KEYS = {"read_added_ms_p50", "read_added_ms_p99", "write_held_ms_p50", "write_held_ms_p99", "requests", "wrong_answers"}


@pytest.mark.parametrize("counterpart", ["libmodbus", "pymodbus"])
def test_the_gate_answers_rightly_and_in_time(counterpart: str) -> None:
    if counterpart == "libmodbus" and not bench.has_libmodbus():
        pytest.skip("libmodbus5 is not installed")
    arguments = ["--json", "--reads", "300", "--writes", "50", "--seconds", "0.5", "--rate", "400", "--server", counterpart]
    done = subprocess.run(
        [sys.executable, "-m", "collectors.gate.bench", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.keys() >= KEYS
    assert report["server"].startswith(counterpart)
    assert report["wrong_answers"] == 0
    assert report["requests"] == 2 * 500 + 60 + 200
    assert 0 < report["read_added_ms_p50"] < 0.3
    assert 0 < report["write_held_ms_p99"] < 100
