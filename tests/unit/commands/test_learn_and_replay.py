import argparse
import json
import socket
import struct
from pathlib import Path

import pytest

from collectors.capture.replay import to_pcap
from sentinel.commands import learn
from sentinel.commands import replay as replay_command
from sentinel.errors import InputError
from sentinel.model.time import NS_PER_S

MASTER, PLC, STRANGER = "10.0.0.1", "10.0.0.10", "10.0.0.66"
_START = 1_700_000_000 * NS_PER_S


def _packet(
    source: str, target: str, source_port: int, target_port: int, sequence: int, acknowledged: int, flags: int, data: bytes = b""
) -> bytes:
    """Ethernet, IPv4 and TCP around some octets; checksums are left zero, as offloading network cards do."""
    macs = bytes([2, 0, 0, 0, 0, int(target.rsplit(".", 1)[1])]) + bytes([2, 0, 0, 0, 0, int(source.rsplit(".", 1)[1])])
    tcp = struct.pack(">HHIIBBHHH", source_port, target_port, sequence, acknowledged, 5 << 4, flags, 8192, 0, 0) + data
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, socket.inet_aton(source), socket.inet_aton(target))
    return macs + b"\x08\x00" + ip + tcp


def _read(transaction: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, 0, 4)


def _answer(transaction: int) -> bytes:
    return struct.pack(">HHHBBB4H", transaction, 0, 11, 1, 3, 8, 1, 2, 3, 4)


class _Client:
    """One connection that polls."""

    def __init__(self, address: str, port: int) -> None:
        self._here, self._port, self._sent, self._received, self._transaction = address, port, 1, 1, 0

    def poll(self, second: float) -> list[tuple[int, bytes]]:
        self._transaction += 1
        question, reply = _read(self._transaction), _answer(self._transaction)
        there = _packet(self._here, PLC, self._port, 502, self._sent, self._received, 0x18, question)
        self._sent += len(question)
        back = _packet(PLC, self._here, 502, self._port, self._received, self._sent, 0x18, reply)
        self._received += len(reply)
        return [(_START + round(second * NS_PER_S), there), (_START + round((second + 0.01) * NS_PER_S), back)]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A minute of polling; from second 40 on a stranger reads too."""
    master, stranger = _Client(MASTER, 40_000), _Client(STRANGER, 50_000)
    packets = [packet for second in range(60) for packet in master.poll(second)]
    packets += [packet for second in range(40, 60) for packet in stranger.poll(second + 0.5)]
    path = tmp_path / "plant.pcap"
    path.write_bytes(to_pcap([(time, len(octets), octets) for time, octets in sorted(packets)], 1))
    return path


def _run(command: object, *arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    status: int = command.run(parser.parse_args([str(argument) for argument in arguments]))  # type: ignore[attr-defined]
    return status


def test_learn_then_replay_tells_the_stranger(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline, out = tmp_path / "plant.baseline", tmp_path / "findings.jsonl"
    assert _run(learn, capture, "--until", "30", "--out", baseline) == 0
    assert "learnt 30 s of traffic between 2 assets" in capsys.readouterr().err
    assert _run(replay_command, capture, "--baseline", baseline, "--format", "jsonl", "--out", out) == 0
    (line,) = [json.loads(text) for text in out.read_text().splitlines()]
    assert {"first_frame", "frames", "first_seen", "title", "techniques", "severity", "assets", "why", "frame_count"} <= set(line)
    assert (line["first_frame"], line["severity"], line["assets"]) == (83, "high", [STRANGER, PLC])
    assert 40.4 < line["first_seen_s"] < 40.6
    assert "1 finding" in capsys.readouterr().err


def test_twice_is_the_same_octets_and_learning_on_the_way_tells_the_same(capture: Path, tmp_path: Path) -> None:
    outs = [tmp_path / f"{i}.jsonl" for i in range(3)]
    baseline = tmp_path / "plant.baseline"
    _run(learn, capture, "--until", "30", "--out", baseline)
    _run(replay_command, capture, "--learn-until", "30", "--format", "jsonl", "--out", outs[0])
    _run(replay_command, capture, "--learn-until", "30", "--format", "jsonl", "--out", outs[1])
    _run(replay_command, capture, "--baseline", baseline, "--format", "jsonl", "--out", outs[2])
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes() != b""


def test_text_is_for_people(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(replay_command, capture, "--learn-until", "30") == 0
    told = capsys.readouterr().out
    assert told.startswith("HIGH         40.500 s  frame 83      10.0.0.66 reads 10.0.0.10 without being one of its known clients")


@pytest.mark.parametrize("octets", [b"", b"garbage that is no capture", b"\xd4\xc3\xb2\xa1"])
def test_what_is_no_capture_or_no_baseline_is_said(octets: bytes, tmp_path: Path, capture: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(octets)
    with pytest.raises(InputError, match="odd"):
        _run(replay_command, odd)
    with pytest.raises(InputError, match="not a baseline file"):
        _run(replay_command, capture, "--baseline", odd)


def test_nothing_to_learn_from_is_said(capture: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--until 0"):
        _run(learn, capture, "--until", "0", "--out", tmp_path / "b")
    with pytest.raises(InputError, match="--learn-until -1"):
        _run(replay_command, capture, "--learn-until", "-1")


def test_several_captures_teach_one_baseline(capture: Path, tmp_path: Path) -> None:
    baseline, out = tmp_path / "plant.baseline", tmp_path / "findings.jsonl"
    assert _run(learn, capture, capture, "--out", baseline) == 0
    _run(replay_command, capture, "--baseline", baseline, "--format", "jsonl", "--out", out)
    assert out.read_text() == ""
