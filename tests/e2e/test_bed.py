"""The bed and its counterparts themselves: what later tests take for granted."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.counterparts import need_node_opcua
from tests.e2e.bed import SUPERVISION, Bed, Running, missing, need

pytestmark = pytest.mark.netns
PROGRAMS = Path(__file__).resolve().parent / "programs"


def spaces() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=10, check=True).stdout


def server(bed: Bed) -> Running:
    running = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    running.wait_for("ready")
    return running


def test_every_frame_is_mirrored_once(bed: Bed) -> None:
    need("mbpoll", "tcpdump")
    plc = server(bed)
    ears = [bed.start("sensor", "tcpdump", "-lnei", name, "tcp", "port", "502") for name in bed.interfaces("sensor")]
    for ear in ears:
        ear.wait_for("listening")
    done = bed.run("hmi", *["mbpoll", "-m", "tcp", "-1", "-t", "4", "-r", "10", bed.address("plc"), "77"])
    assert done.returncode == 0, done.stdout
    plc.wait_for("write 060009004d from 10.77.0.20")
    for ear in ears:
        ear.wait_for(lambda line: "10.78.0.10.502 >" in line and "[F.]" in line)
        ear.wait_for("Flags [.]")  # the last acknowledgement
        ear.stop(signal.SIGINT)
        frames = [re.sub(r"^\S+ ", "", line) for line in ear.lines if " > " in line]
        assert len(frames) == len(set(frames)) >= 9
        assert "0 packets dropped by kernel" in ear.lines


def test_one_more_machine_can_be_attached(bed: Bed) -> None:
    need("mbpoll")
    server(bed)
    assert bed.attach("laptop", SUPERVISION, 99) == "10.77.0.99"
    assert bed.run("laptop", *["mbpoll", "-1", "-q", "-m", "tcp", "-t", "3", bed.address("plc")]).returncode == 0


def test_a_scanner_finds_the_server(bed: Bed) -> None:
    need("nmap")
    server(bed)
    scan = bed.run("att", *["nmap", "-n", "-Pn", "-sT", "-p", "502", "--script", "modbus-discover", bed.address("plc")], timeout_s=60)
    assert "502/tcp open  modbus" in scan.stdout
    assert "LMB3" in scan.stdout


def test_opc_ua_between_two_foreign_ends(bed: Bed, tmp_path: Path) -> None:
    modules = {"NODE_PATH": str(need_node_opcua(pytest.skip)), "HOME": str(tmp_path)}
    address = bed.address("opc")
    node = ("node", str(PROGRAMS / "opcua_server.js"), address, "4840", str(tmp_path / "server"), "LT101=1.2", "LIC101.SP=1.0")
    plant = bed.start("opc", *node, environment=modules)
    plant.wait_for("ready", 60)
    url = f"opc.tcp://{address}:4840/plant"
    steps = ("ns=2;s=LT101", "ns=2;s=LIC101.SP=1.25", "ns=2;s=LIC101.SP")
    for mode in ("None", "SignAndEncrypt"):
        client = bed.start(
            "hmi", "node", str(PROGRAMS / "opcua_client.js"), url, mode, str(tmp_path / "client"), *steps, environment=modules
        )
        assert client.process.wait(60) == 0, client.lines
        assert [line for line in client.lines if "ns=2;" in line] == [
            "ns=2;s=LT101 = 1.2",
            "wrote ns=2;s=LIC101.SP",
            "ns=2;s=LIC101.SP = 1.25",
        ]
    plant.wait_for("LIC101.SP = 1.25")


def test_a_bed_is_gone_when_it_is_closed() -> None:
    need()
    with Bed() as built:
        held = built.start("hmi", "cat", "/dev/zero")
        assert built.tag in spaces()
    assert built.tag not in spaces()
    assert held.process.poll() is not None


def test_the_bed_of_a_killed_test_is_swept_by_the_next() -> None:
    if reason := missing():
        pytest.skip(reason)
    leave = "import os; from tests.e2e.bed import Bed; bed = Bed().__enter__(); print(bed.tag, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", leave], capture_output=True, text=True, timeout=60, check=False, cwd=PROGRAMS.parents[2])
    tag = done.stdout.strip()
    assert tag in spaces()
    with Bed() as built:
        assert f"sn{os.getpid()}x" in built.tag
        assert tag not in spaces()
