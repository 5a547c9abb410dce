"""Evidence as a person reads it."""

from pathlib import Path

import pytest

from collectors.capture.dissect import MAX_FRAMES, dissect, main
from collectors.capture.packets import ETHERNET, LINUX_SLL, RAW
from collectors.capture.replay import to_pcap
from sentinel.errors import InputError
from tests.unit.collectors.capture.frames import START, Talk, write


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
