import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.respond.enforcers.__main__ import main
from tests.unit.respond.values import enforcer_config


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "Invalid JSON"),
        (json.dumps(enforcer_config(tables=["site"])), "tables: Unexpected keyword argument"),
        (json.dumps(enforcer_config(never_cut=["plc.example"])), "'plc.example' is not one IP address"),
        (json.dumps(enforcer_config(max_lasts_s=1e9)), "max_lasts_s: more than 0 and at most 86400 s"),
        (json.dumps(enforcer_config(max_lasts_s="long")), "max_lasts_s: Input should be a valid number"),
        (json.dumps({"socket": "x"}), "journal"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_line(tmp_path: Path, content: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "enforcer.json"
    config.write_text(content)
    assert main([str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_it_needs_its_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main([]) == 2
    assert main([str(tmp_path / "none.json")]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a capability away: needs root")
def test_without_the_capability_it_does_not_start(tmp_path: Path) -> None:
    config = tmp_path / "enforcer.json"
    config.write_text(json.dumps(enforcer_config(socket=str(tmp_path / "s"), journal=str(tmp_path / "j"))))
    leash = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    done = subprocess.run(
        [*leash, sys.executable, "-m", "sentinel.respond.enforcers", str(config)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "needs CAP_NET_ADMIN" in done.stderr
