"""`sentinel inventory`: what a capture shows of the plant, for a person and for a program."""

import json
from pathlib import Path

import pytest

from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from sentinel.cli import main
from tests.data import data_file
from tests.unit.collectors.capture.frames import MS, START, Talk, adu, ethernet, ip4, read, registers, tcp, write


def capture(path: Path) -> Path:
    talk = Talk()
    talk.ask(read(1, address=10, count=2))
    talk.answer(registers(1, (7, 65535)))
    talk.ask(write(2, 5, 9))
    talk.answer(adu(2, bytes.fromhex("0600050009")))
    talk.ask(bytes.fromhex("deadbeefdeadbeef"))
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(talk.packets)], ETHERNET))
    return path


def test_one_object_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", str(capture(tmp_path / "a.pcap")), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(asset["id"], asset["kind"], asset["level"]) for asset in shown["assets"]] == [
        ("10.0.0.2", "controller", 1),
        ("10.0.0.1", "operator station", 2),
    ]
    assert shown["assets"][0]["first_seen"].endswith("Z")
    by_protocol = {conduit["protocol"]: conduit for conduit in shown["conduits"]}
    assert by_protocol["modbus"]["operations"] == ["read_holding_registers", "write_single_register"]
    covered = shown["coverage"]
    assert covered["packets"] == 8 == covered["decoded"] + covered["recognised"] + covered["unknown"]
    assert (covered["messages"], covered["unread"], covered["refused"], covered["repeated"]) == (5, 1, 0, 0)


def test_a_mirror_port_that_delivers_twice_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once = capture(tmp_path / "a.pcap").read_bytes()
    (tmp_path / "b.pcap").write_bytes(once + once[24:])  # the copies, with their own times: within the clock's last second
    assert main(["inventory", str(tmp_path / "b.pcap"), "--json"]) == 0
    covered = json.loads(capsys.readouterr().out)["coverage"]
    assert (covered["messages"], covered["repeated"]) == (5, 8)


def test_packets_that_carry_others_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a switch sends what it mirrors."""
    packets = [
        ethernet(
            ip4(b"\0\0\x65\x58" + ethernet(ip4(tcp(read(1), 4000, 502, 1, 1, 24), "10.0.0.1", "10.0.0.2")), "192.0.2.1", "192.0.2.2", 47)
        )
    ]
    packets.append(ethernet(ip4(bytes(60), "192.0.2.1", "192.0.2.2", 50)))
    path = tmp_path / "a.pcap"
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(packets)], ETHERNET))
    assert main(["inventory", str(path), "--json"]) == 0
    covered = json.loads(capsys.readouterr().out)["coverage"]
    assert [covered[share] for share in ("packets", "decoded", "carrying", "unknown")] == [3, 1, 1, 1]
    assert main(["inventory", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1 packets carry others" in out
    assert "encrypted tunnel (ESP)" in out


def test_what_a_tunnel_carries_counts_in_its_own_conduit_and_what_nobody_could_open_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = ethernet(ip4(tcp(read(1), 4000, 502, 1, 1, 24), "10.0.0.1", "10.0.0.2"))
    bodies = [
        b"\0\0\x65\x58" + inner,
        b"\0\0\x65\x58" + inner.replace(b"\0\x01\0\0\0\x06", b"\0\x02\0\0\0\x06"),
        b"\0\0\x80\x9b" + bytes(60),
    ]
    packets = [ethernet(ip4(body, "192.0.2.1", f"192.0.2.{2 + (at == 2)}", 47)) for at, body in enumerate(bodies)]
    path = tmp_path / "a.pcap"
    path.write_bytes(to_pcap([(START + at * MS, len(octets), octets) for at, octets in enumerate(packets)], ETHERNET))
    assert main(["inventory", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    covered = shown["coverage"]
    assert [covered[share] for share in ("packets", "decoded", "carrying", "unopened", "unknown")] == [5, 2, 3, 1, 0]
    assert {(one["client"], one["protocol"]): one["packets"] for one in shown["conduits"]}["10.0.0.1", "modbus"] == 2
    assert main(["inventory", str(path)]) == 0
    out = capsys.readouterr().out
    assert "of 3 packets 66.7 % are in decoded protocols" in out
    assert "3 packets carry others, of which those of 2 count in their own conduits" in out


def test_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", str(capture(tmp_path / "a.pcap"))]) == 0
    out = capsys.readouterr().out
    assert "controller" in out
    assert "writes (write_single_register) to 1 server" in out
    assert "of 5 messages 1 could not be read" in out


def test_what_is_no_capture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"no capture")
    assert main(["inventory", str(path)]) == 2
    assert "expected a pcap" in capsys.readouterr().err


def test_a_picture_beside_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inventory", str(capture(tmp_path / "a.pcap")), "--picture", str(tmp_path / "a.svg")]) == 0
    assert "20 % unreadable" in capsys.readouterr().out
    picture = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert 'data-of="conduit 10.0.0.1 10.0.0.2 modbus"' in picture
    assert "20 % unreadable" in picture


@pytest.mark.data
@pytest.mark.parametrize(("name", "gaps"), [("s4x15/Advantech.pcap", [10, 13]), ("modbus-iti/ModbusTCP.pcap", [])])
def test_what_a_capture_lost_is_told_by_conduit(name: str, gaps: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    """In one of them tshark marks 58 acknowledgements of segments that were not captured, in the other none."""
    assert main(["inventory", str(data_file(f"network/{name}")), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert sorted(conduit["gaps"] for conduit in shown["conduits"] if conduit["gaps"]) == gaps
