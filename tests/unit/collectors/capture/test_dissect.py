"""Evidence as a person reads it."""

from pathlib import Path

import pytest

from collectors.capture.dissect import MAX_FRAMES, dissect, main
from collectors.capture.packets import ETHERNET, LINUX_SLL, RAW
from collectors.capture.replay import to_pcap
from sentinel.errors import InputError
from tests.unit.collectors.capture.frames import START, Talk, adu, read, write
from tests.unit.collectors.wire.opcua_bodies import Conversation, node, number, results
from tests.unit.collectors.wire.opcua_bodies import write as wrote


def stored(path: Path, packets: list[bytes], link: int = ETHERNET) -> Path:
    path.write_bytes(to_pcap([(START + i, len(packet), packet) for i, packet in enumerate(packets)], link))
    return path


def test_layers_and_fields_are_named(tmp_path: Path) -> None:
    talk = Talk()
    talk.ask(write(1, 0x1234, 0x5678))
    text = dissect(stored(tmp_path / "a.pcap", talk.packets))
    assert text.count("\nframe ") == 3
    assert "ModbusPDU06" in text or "Write Single Register" in text
    assert "10.0.0.2" in text
    assert "0x1234" in text
    assert "0x5678" in text


def test_what_the_sensor_hears_stands_below(tmp_path: Path) -> None:
    """Of what scapy does not know: the second unit of a segment, other ports, OPC UA."""
    talk = Talk(sport=5020)
    talk.ask(read(1, 5) + write(2, 7, 9))
    talk.answer(adu(1, b"\x83\x02"))
    text = dissect(stored(tmp_path / "a.pcap", talk.packets))
    assert "  modbus request read_holding_registers, transaction 1, unit 1, address 5, quantity 2\n" in text
    assert "  modbus request write_single_register, transaction 2, unit 1, address 7, quantity 1, values 9\n" in text
    assert "  modbus exception read_holding_registers, transaction 1, unit 1, address 5, quantity 2, exception 2, after 1e-06 ms\n" in text
    spoken = Conversation().ask("Write", wrote((node("LIC101.SP"), number(2.5)))).answer("Write", results(0x80340000))
    talk = Talk(sport=4841)
    for from_client, octets in spoken.parts:
        talk.send(0 if from_client else 1, octets)
    text = dissect(stored(tmp_path / "b.pcap", talk.packets))
    assert "  opcua request Write, transaction 2\n    value_written ns=2;s=LIC101.SP 2.5\n" in text
    assert "    write_result ns=2;s=LIC101.SP status 80340000\n" in text
    assert "opcua request hello" in text


def test_a_name_that_would_command_the_terminal_does_not(tmp_path: Path) -> None:
    talk = Talk(sport=4841)
    for from_client, octets in Conversation().ask("Write", wrote((node("a\x1b[2J\nframe 9"), number(2.5)))).parts:
        talk.send(0 if from_client else 1, octets)
    text = dissect(stored(tmp_path / "a.pcap", talk.packets))
    assert "value_written ns=2;s=a\ufffd[2J\ufffdframe 9 2.5\n" in text
    assert "\x1b" not in text


def test_octets_that_no_layer_takes_are_shown_as_octets(tmp_path: Path) -> None:
    garbage = [bytes([i]) * i for i in range(1, 30)]
    for link in (ETHERNET, LINUX_SLL, RAW):
        assert dissect(stored(tmp_path / f"{link}.pcap", garbage, link)).count("frame ") >= 29


def test_bounded(tmp_path: Path) -> None:
    text = dissect(stored(tmp_path / "a.pcap", [b"\x00" * 20] * (MAX_FRAMES + 5)))
    assert "5 further frames are not shown" in text


def test_what_is_no_capture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"no capture at all")
    with pytest.raises(InputError):
        dissect(tmp_path / "x")
    assert main([str(tmp_path / "x")]) == 2
    assert "is no capture" in capsys.readouterr().err
