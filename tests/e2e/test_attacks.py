"""Published attacks over real connections, against servers that none of us wrote: each is found and named, by what a capture hears."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sentinel.detect.attack import checked
from sentinel.intake import Intake
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.observation import Heard
from sentinel.pipeline import Analysis
from tests.attack_traffic import CALDERA_MODBUS, OPCUA
from tests.counterparts import NODE_MODULES
from tests.e2e.bed import ROOT, SUPERVISION, Bed, need
from tests.e2e.programs.attacker import sources_of

pytestmark = [pytest.mark.netns, pytest.mark.timeout(170)]
PROGRAMS = ROOT / "tests/e2e/programs"
PATIENCE_S = 60.0
LEARNT_S = 10  # of ordinary life
FIRST = 100  # the last octet of the first attack's source


class Judged:
    """What one capture process delivers, judged as it comes."""

    def __init__(self) -> None:
        self.analysis = Analysis()
        self._came = asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Heard):
            async with self._came:
                self.analysis.heard(value)
                self._came.notify_all()

    async def until(self, missing: Any, what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S), self._came:
                await self._came.wait_for(lambda: not missing())
        except TimeoutError:
            pytest.fail(f"{what}: {missing()}")

    def of(self, source: str) -> list[Finding]:
        return [finding for finding in self.analysis.findings if finding.assets and finding.assets[0] == source]


def unfound(judged: Judged, sources: dict[str, str]) -> dict[str, list[Any]]:
    """The attacks that are not found and named, each with what is known of their sources."""
    left: dict[str, list[Any]] = {}
    for name, source in sources.items():
        findings = judged.of(source)
        if name in CALDERA_MODBUS:
            wanted = checked((CALDERA_MODBUS[name].technique,), name)[0]
            is_named = any(one.severity >= Severity.HIGH and wanted in one.techniques for one in findings)
        else:
            attack = OPCUA[name]
            said = [one for finding in findings for one in finding.detections if one.feature == attack.feature]
            is_named = any(checked((attack.technique,), name)[0] in one.techniques for one in said)
        if not is_named:
            left[name] = [(one.title, one.techniques, [detection.feature for detection in one.detections]) for one in findings]
    return left


async def test_every_published_attack_against_real_servers_is_found_and_named(bed: Bed, tmp_path: Path) -> None:
    need("mbpoll", "node")
    if not (NODE_MODULES / "node-opcua").exists():
        pytest.skip("node-opcua is not installed; `python -m tests.counterparts` installs it")
    sources = sources_of(SUPERVISION.prefix, FIRST)
    script = "".join(f"ip address add {source}/24 dev eth0; " for source in sources.values())
    assert bed.run("att", "sh", "-c", script).returncode == 0
    config, intake_path, node = tmp_path / "capture.json", tmp_path / "run" / "intake.sock", {"NODE_PATH": str(NODE_MODULES)}
    config.write_text(json.dumps({"intake": str(intake_path), "interfaces": [bed.interfaces("sensor")[0]]}))
    judged = Judged()
    async with Intake(intake_path, judged) as intake:
        bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502").wait_for("ready")
        opc = bed.address("opc")
        tags = ("node", str(PROGRAMS / "opcua_server.js"), opc, "4840", str(tmp_path / "server"), "SP=1.0")
        bed.start("opc", *tags, environment=node).wait_for("ready", PATIENCE_S)
        bed.python("sensor", "-m", "collectors", "capture", str(config))
        await asyncio.wait_for(intake.wait_present("capture"), PATIENCE_S)
        bed.start("hmi", *["mbpoll", "-m", "tcp", "-a", "1", "-t", "3", "-r", "1", "-c", "8", "-l", "200", bed.address("plc")])
        watch = (
            "node",
            str(PROGRAMS / "opcua_client.js"),
            f"opc.tcp://{opc}:4840/plant",
            "None",
            str(tmp_path / "client"),
            "ns=2;s=SP@500",
        )
        bed.start("hmi", *watch, environment=node).wait_for("connected", PATIENCE_S)
        await judged.until(lambda: max(0, LEARNT_S - judged.analysis.progress().windows), "seconds of ordinary life are missing")
        judged.analysis.activate()
        target = (f"{bed.address('plc')}:502", f"{opc}:4840", SUPERVISION.prefix, str(FIRST))
        attacker = bed.python("att", "-m", "tests.e2e.programs.attacker", *target)
        await asyncio.to_thread(attacker.wait_for, "done", PATIENCE_S)
        await judged.until(lambda: unfound(judged, sources), "not found and named: " + "\n".join(attacker.lines))
    assert judged.of(bed.address("hmi")) == [], "ordinary life goes on unnoticed"
