"""The live benchmark: everything that was sent is accounted for, by one process or by several."""

import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), ("--no-recent", "--mix", "mixed")], ids=" ".join)
def test_every_packet_is_accounted_for(arguments: tuple[str, ...]) -> None:
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root")
    command = [sys.executable, "-m", "sentinel", "bench", "live", "--json", "--packets", "20000", "--rate", "20000", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["sent"] >= 20_000
    assert report["lost"] == 0
    assert report["heard"] + report["dropped"] == report["sent"]
    assert report["pdus"] > (0 if report["dropped"] else 8_000)
    assert report["cpu_ns"] == report["user_ns"] + report["system_ns"] > 0
