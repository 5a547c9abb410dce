"""`sentinel bench oracle`: what equals tshark is counted, what differs has its reason, and what we did not hear is missing."""

import json
import shutil
from pathlib import Path

import pytest

from collectors.capture import oracle
from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from sentinel.cli import main
from tests.conformance.tshark import need_tshark
from tests.data import data_file
from tests.unit.collectors.capture.frames import MS, START, Talk, read, registers, write
from tests.unit.collectors.capture.test_tunnels import TUNNELS

_ETHERNET_OCTETS = 14


def capture(path: Path, talk: Talk) -> Path:
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    return path


def answered(port: int = 502) -> Talk:
    talk = Talk(sport=port)
    for number in range(1, 4):
        talk.ask(read(number, address=number, count=2))
        talk.answer(registers(number))
    talk.ask(write(9, 5, 7) + read(10))
    return talk


def compared(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, dict[str, int]]]:
    need_tshark()
    assert main(["bench", "oracle", str(path), "--json"]) == 0
    found: dict[str, dict[str, dict[str, int]]] = json.loads(capsys.readouterr().out)
    return found


def test_equal_units_match(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compared(capture(tmp_path / "a.pcap", answered()), capsys)
    assert found["modbus"] == {"matched": 8, "missing": 0, "extra": 0}


UNTOLD = ("erspan 3 of ip", "mpls pseudowire")  # which tshark opens only where it is told what they carry


@pytest.mark.parametrize("name", sorted(TUNNELS.keys() - set(UNTOLD)))
def test_units_in_tunnels_match(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = answered()
    talk.packets = [TUNNELS[name](packet[_ETHERNET_OCTETS:]) for packet in talk.packets]
    assert compared(capture(tmp_path / "a.pcap", talk), capsys)["modbus"] == {"matched": 8, "missing": 0, "extra": 0}


def test_another_port_is_extra_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = capture(tmp_path / "a.pcap", answered(port=5020))
    found = compared(path, capsys)
    assert found["modbus"] == {"matched": 0, "missing": 0, "extra": 8}
    assert list(found["files"][str(path)]["modbus"]["extra_reasons"]) == ["not on the registered port, by which tshark goes"]


def test_a_unit_that_we_read_otherwise_is_missing_and_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_tshark()
    path = capture(tmp_path / "a.pcap", answered())
    said = oracle.ours(path)
    first = min(said)
    said[first] = [shown._replace(address=shown.address + 1) for shown in said[first]]
    monkeypatch.setattr(oracle, "ours", lambda _: said)
    found = oracle.compare(path)
    assert (found["matched"], found["missing"], found["extra"]) == (7, 1, 1)
    assert found["missing_reasons"] == {oracle.UNEXPLAINED: {"units": 1, "frames": [first.frame]}}


def test_without_tshark_or_a_capture_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("tshark"):
        (tmp_path / "no.pcap").write_bytes(b"no capture")
        assert main(["bench", "oracle", str(tmp_path / "no.pcap")]) == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["bench", "oracle", str(capture(tmp_path / "a.pcap", answered()))]) == 2
    assert "apt-get install tshark" in capsys.readouterr().err


# file: (matched, missing, extra) as of tshark 4.0.17
REAL = {
    "modbus-lemay/channel_4d_12s.zip": (15642, 0, 0),
    "modbus-modsentinel/run1_no_attack.pcap": (19159, 0, 0),
    "modbus-modsentinel/run1_mitm_injection.pcap": (18599, 1, 1564),
    "modbus-iti/modbus_test_data_part1.pcap": (35, 10, 11),
    "modbus-parsers/icsnpp_modbus_example.pcap": (48, 0, 0),
    "s4x15/Advantech.pcap": (196, 0, 3),
    "s7comm/Plant1_S7comm.pcap": (0, 0, 0),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_captures_differ_only_for_reasons(name: str, tmp_path: Path) -> None:
    need_tshark()
    found = oracle.compare(oracle.opened(data_file(f"network/{name}"), tmp_path))
    assert (found["matched"], found["missing"], found["extra"]) == REAL[name]
    for kind in ("missing_reasons", "extra_reasons"):
        reasons = found[kind]
        assert isinstance(reasons, dict)
        assert oracle.UNEXPLAINED not in reasons
