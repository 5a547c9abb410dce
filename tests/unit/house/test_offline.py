"""A capture of the reference plant, replayed with its plant file: the write of a stranger is judged on the twin."""

import json
import socket
import struct
from pathlib import Path

import pytest

from collectors.capture.replay import to_pcap
from sentinel import cli
from sentinel.demo.simulation import simulate
from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.model.tags import Table
from sentinel.model.time import NS_PER_S

PLC, OPERATOR, STRANGER = "10.0.0.10", "10.0.0.20", "10.0.0.66"
START = 1_700_000_000 * NS_PER_S
READS = {4: Table.INPUT, 3: Table.HOLDING, 1: Table.COIL}
PERIOD_S, ATTACK_S, END_S = 0.5, 30.0, 34.0


class Client:
    """One TCP connection to the PLC, as packets."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port, self.sent, self.received, self.transaction = address, port, 1, 1, 0

    def exchange(self, at_s: float, request: bytes, answer: bytes) -> list[tuple[int, bytes]]:
        self.transaction += 1
        there, back = (struct.pack(">HHHB", self.transaction, 0, len(pdu) + 1, 1) + pdu for pdu in (request, answer))
        first = self._packet(self.address, PLC, self.port, 502, self.sent, self.received, there)
        self.sent += len(there)
        second = self._packet(PLC, self.address, 502, self.port, self.received, self.sent, back)
        self.received += len(back)
        return [(START + round(at_s * NS_PER_S), first), (START + round((at_s + 0.002) * NS_PER_S), second)]

    @staticmethod
    def _packet(source: str, target: str, source_port: int, target_port: int, sequence: int, acknowledged: int, data: bytes) -> bytes:
        tcp = struct.pack(">HHIIBBHHH", source_port, target_port, sequence, acknowledged, 5 << 4, 0x18, 8192, 0, 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, socket.inet_aton(source), socket.inet_aton(target))
        macs = b"".join(bytes([2, 0, 0, 0, 0, int(address.rsplit(".", 1)[1])]) for address in (target, source))
        return macs + b"\x08\x00" + ip + tcp


def polled(client: Client, at_s: float, values: dict[str, float]) -> list[tuple[int, bytes]]:
    """Every input, holding register and coil of the plant, as a panel reads them."""
    packets = []
    for place, (function, table) in enumerate(READS.items()):
        points = {tag.modbus.address: (tag.name, tag.modbus) for tag in INTERFACE.tags.tags if tag.modbus and tag.modbus.table is table}
        count = max(points) + 1
        raw = [points[address][1].encode(values[points[address][0]])[0] for address in range(count)]
        if table is Table.COIL:
            octets = sum(bit << place for place, bit in enumerate(raw)).to_bytes((count + 7) // 8, "little")
        else:
            octets = struct.pack(f">{count}H", *raw)
        request = struct.pack(">BHH", function, 0, count)
        packets += client.exchange(at_s + 0.01 * place, request, bytes([function, len(octets)]) + octets)
    return packets


INTERFACE = read_interface(PLANT_FILE)


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute of polling; then a stranger writes the level setpoint of T101 up to the rim."""
    recording = simulate(END_S, writes=[(ATTACK_S, "LIC101.SP", 1.95)], rate_hz=round(1 / PERIOD_S))
    operator, stranger = Client(OPERATOR, 40_000), Client(STRANGER, 50_000)
    packets: list[tuple[int, bytes]] = []
    for row, at_s in enumerate(recording.time_s):
        packets += polled(operator, float(at_s), {tag: float(series[row]) for tag, series in recording.values.items()})
    write = struct.pack(">BHH", 6, 0, 1950)
    packets += stranger.exchange(ATTACK_S, write, write)
    path = tmp_path_factory.mktemp("capture") / "reference.pcap"
    path.write_bytes(to_pcap([(time, len(octets), octets) for time, octets in sorted(packets)], 1))
    return path


def test_the_stranger_s_write_is_judged_on_the_twin(capture: Path, tmp_path: Path) -> None:
    out = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for path in out:
        arguments = ["replay", str(capture), "--learn-until", "25", "--plant", str(PLANT_FILE), "--format", "jsonl", "--out", str(path)]
        assert cli.main(arguments) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    findings = [json.loads(line) for line in out[0].read_text().splitlines()]
    judged = [finding for finding in findings if finding["verdicts"]]
    assert [finding["assets"][0] for finding in judged] == [STRANGER]
    assert judged[0]["severity"] == "critical"
    assert "would rise above 1.60 m" in judged[0]["title"]
    assert "T0836" in judged[0]["techniques"]


def test_without_a_plant_file_nothing_is_judged(capture: Path, tmp_path: Path) -> None:
    out = tmp_path / "plain.jsonl"
    assert cli.main(["replay", str(capture), "--learn-until", "25", "--format", "jsonl", "--out", str(out)]) == 0
    findings = [json.loads(line) for line in out.read_text().splitlines()]
    assert findings
    assert not any(finding["verdicts"] for finding in findings)
