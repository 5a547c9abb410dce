"""Made-up traffic: the same every time, right in every field, and heard as it was meant."""

import io
from pathlib import Path

import numpy as np
import pytest

from collectors.capture.files import CaptureFile
from collectors.capture.replay import read_frames
from collectors.capture.sensor import Sensor
from collectors.capture.traffic import Options, main, write_traffic
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import Defect, MessageKind, Protocol


def written(options: Options) -> bytes:
    out = io.BytesIO()
    write_traffic(out, options)
    return out.getvalue()


def heard(path: Path) -> tuple[Messages, Flows, dict[str, int]]:
    sensor = Sensor("traffic", seed=1)
    parts = [sensor.feed(batch) for batch in CaptureFile(path)]
    parts.append(sensor.close())
    return Messages.concat([h.messages for h in parts]), Flows.concat([h.flows for h in parts]), sensor.counts


def internet_sum(octets: bytes) -> int:
    """RFC 1071 over octets that hold their own checksum: 0xFFFF when it is right."""
    total = sum(int.from_bytes(octets[i : i + 2].ljust(2, b"\0"), "big") for i in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_same_options_give_the_same_octets() -> None:
    assert written(Options(5000, seed=3)) == written(Options(5000, seed=3))
    assert written(Options(5000, seed=3)) != written(Options(5000, seed=4))


@pytest.mark.parametrize("mix", ["modbus", "mixed"])
def test_every_checksum_and_length_is_right(tmp_path: Path, mix: str) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(written(Options(3000, mix)))
    _, frames = read_frames(path)
    assert len(frames) >= 3000
    for frame in frames:
        total = int.from_bytes(frame[16:18], "big")
        assert len(frame) == max(60, 14 + total)
        segment = frame[34 : 14 + total]
        assert internet_sum(frame[14:34]) == 0xFFFF
        assert internet_sum(frame[26:34] + b"\0\x06" + len(segment).to_bytes(2, "big") + segment) == 0xFFFF


def test_the_sensor_hears_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(written(Options(30_000, connections=100)))
    messages, flows, counts = heard(path)
    assert set(messages.defect.tolist()) == {Defect.NONE}
    assert set(flows.defect.tolist()) == {Defect.NONE}
    assert counts["gaps"] == counts["contradictions"] == counts["octets_skipped"] == counts["requests_forgotten"] == 0
    answers = messages.kind != MessageKind.REQUEST
    assert (messages.latency[answers] > 0).all()
    assert int(answers.sum()) * 2 == len(messages)
    assert {3, 6} == set(messages.function.tolist())
    assert (messages.kind == MessageKind.EXCEPTION).any()
    assert len(set(messages.flow.tolist())) > 100  # connections end, and others begin


def test_the_mix_holds_other_protocols(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(written(Options(20_000, "mixed", connections=100)))
    messages, flows, _ = heard(path)
    assert set(messages.defect.tolist()) == {Defect.NONE}
    assert set(flows.protocol.tolist()) == {Protocol.UNKNOWN, Protocol.MODBUS, Protocol.OPCUA}
    services = set(messages.function[messages.protocol == Protocol.OPCUA].tolist())
    assert services == {-1, 446, 449, 631, 634}
    answers = np.isin(messages.function, (449, 634))
    assert (messages.latency[answers] > 0).all()


def test_the_command_writes_a_file_and_refuses_nonsense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.pcap"
    assert main(["--packets", "1000", "--out", str(path)]) == 0
    assert f"{path.stat().st_size} octets" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--packets", "0", "--out", str(path)])
