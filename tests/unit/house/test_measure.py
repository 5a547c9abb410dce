import json
import subprocess
import sys

import pytest

from sentinel.measure import modbus, opcua
from tests.counterparts import NODE_MODULES

pytestmark = pytest.mark.alone
KEYS = ["read_added_ms_p50", "read_added_ms_p99", "write_held_ms_p50", "write_held_ms_p99", "requests", "wrong_answers"]


def test_the_gate_answers_rightly_and_in_time_with_a_real_court_behind_it() -> None:
    if not modbus.is_installed():
        pytest.skip("libmodbus5 is not installed")
    arguments = ["--json", "--reads", "300", "--writes", "40", "--seconds", "0.5", "--rate", "400"]
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", "bench", "gate", *arguments], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert list(report)[: len(KEYS)] == KEYS
    assert report["wrong_answers"] == report["safe_writes_refused"] == 0
    assert report["requests"] == 2 * 500 + 50 + 200
    assert report["writes_refused"] == 4
    assert 0 < report["read_added_ms_p50"] < 0.3
    assert 0 < report["write_held_ms_p99"] < 100


def test_the_opcua_gate_answers_rightly_with_a_real_court_behind_it() -> None:
    if reason := opcua.why_not(NODE_MODULES):
        pytest.skip(reason)
    arguments = ["--protocol", "opcua", "--mode", "SignAndEncrypt", "--node-modules", str(NODE_MODULES)]
    arguments += ["--json", "--reads", "100", "--writes", "20", "--seconds", "0.5", "--rate", "200"]
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", "bench", "gate", *arguments], capture_output=True, text=True, check=False, timeout=150
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert done.returncode == int(report["wrong_answers"] > 0)
    assert list(report)[: len(KEYS)] == KEYS
    assert report["wrong_answers"] == report["safe_writes_refused"], "a court that is late on a busy machine is not the gate's mistake"
    assert report["requests"] == 2 * 300 + 30 + 100
    assert report["writes_refused"] == 2
