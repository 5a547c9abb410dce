"""The same frames, heard live and read from a file, give the same findings, byte for byte."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from sentinel import cli
from sentinel.baseline import store
from sentinel.commands.replay import analyse, json_line
from sentinel.intake import Intake
from sentinel.model.observation import Heard
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from tests.data import data_file
from tests.e2e.bed import Bed, need

pytestmark = [pytest.mark.netns, pytest.mark.data]
PATIENCE_S = 60.0  # a cold start compiles the kernels
FRAMES = 3000
PACE = 4.0  # times as fast as it was recorded


class Spine:
    """The brain's part of it: what the capture delivers goes through the analysis as it comes."""

    def __init__(self, analysis: Analysis) -> None:
        self.analysis, self.packets, self.came = analysis, 0, asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Heard):
            async with self.came:
                self.analysis.heard(value)
                self.packets += int(value.flows.packets.sum())
                self.came.notify_all()

    async def until(self, packets: int) -> None:
        async with asyncio.timeout(PATIENCE_S), self.came:
            await self.came.wait_for(lambda: self.packets >= packets)


async def test_live_and_replayed_findings_are_equal(bed: Bed, tmp_path: Path) -> None:
    need("tcpreplay", "tcpdump")
    clean = data_file("network/modbus-lemay/CnC_uploading_exe_modbus_6RTU_with_operate.snap160.pcap")
    attack = data_file("network/modbus-lemay/characterization_modbus_6RTU_with_operate.pcap")
    baseline, recorded, port = tmp_path / "baseline.npz", tmp_path / "recorded.pcap", bed.interfaces("sensor")[0]
    assert cli.main(["learn", str(clean), "--until", "40", "--out", str(baseline)]) == 0
    spine = Spine(Analysis(baseline=store.load(baseline)))
    config = tmp_path / "capture.json"
    config.write_text(json.dumps({"intake": str(tmp_path / "run" / "intake.sock"), "interfaces": [port]}))
    async with Intake(tmp_path / "run" / "intake.sock", spine) as intake:
        capture = bed.python("sensor", "-m", "collectors", "capture", str(config))
        await asyncio.wait_for(intake.wait_present("capture"), PATIENCE_S)
        dump = bed.start(
            "sensor",
            "tcpdump",
            "-i",
            port,
            "-n",
            "--immediate-mode",
            "--time-stamp-precision=nano",
            "-U",
            "-B",
            "16384",
            "-w",
            str(recorded),
        )
        dump.wait_for("listening on")
        send = ["tcpreplay", "-q", "-i", "eth0", "-x", str(PACE), "-L", str(FRAMES), str(attack)]
        sent = await asyncio.to_thread(bed.run, "att", *send, timeout_s=PATIENCE_S)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        await spine.until(FRAMES)
        dump.stop(signal.SIGINT)
        await asyncio.to_thread(capture.stop)
    spine.analysis.flush()
    replayed, start, meter = analyse(recorded, baseline)
    assert meter.packets == spine.packets >= FRAMES
    heard = sorted(spine.analysis.findings, key=lambda finding: (finding.first_seen, finding.first_frame, finding.id))
    assert [json_line(finding, Instant(start)) for finding in heard] == [json_line(finding, Instant(start)) for finding in replayed]
    assert any("without being one of its known clients" in finding.title for finding in replayed)
