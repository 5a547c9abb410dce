import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.capture.pcapng import Packet, to_pcapng
from sentinel.clock import SystemClock
from sentinel.commands import evidence
from sentinel.errors import InputError
from sentinel.records import Records
from tests.unit.api.appliance import a_finding
from tests.unit.collectors.capture.frames import Talk, write


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sentinel.toml").write_text('[appliance]\ndirectory = "box"\n')
    return tmp_path


@pytest.fixture
def octets() -> bytes:
    talk = Talk()
    talk.ask(write(1, 0x1234, 0x5678))
    frame = talk.packets[-1]
    return to_pcapng([Packet(frame=7, time=1_700_000_000_000_000_000, wire=len(frame), interface=("plant", 1), octets=frame)], "finding f1")


def run(site: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    evidence.add_arguments(parser)
    return evidence.run(parser.parse_args([*arguments, "--config", str(site / "sentinel.toml")]))


def test_the_packets_of_a_finding(site: Path, octets: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    records = Records(site / "box" / "records", SystemClock())
    capture = records.keep_excerpt(octets)
    records.keep(a_finding(evidence=capture.digest), a_finding("f2"))
    lost = records.keep_excerpt(b"lost")
    records.keep(replace(lost, dropped=lost.at))
    records.evidence_file(lost.digest).unlink()
    records.close()
    assert run(site, "f1", "--tree") == 0
    said = capsys.readouterr().out
    assert f"pcapng of {len(octets)} octets" in said
    assert f"sha256 {hashlib.sha256(octets).hexdigest()}\n{site}/box/records/evidence/" in said
    assert "frame 1: 66 octets" in said
    assert "0x1234" in said
    assert run(site, capture.digest, "--out", str(site / "copy.pcapng")) == 0
    assert (site / "copy.pcapng").read_bytes() == octets
    for name, why in (("f2", "has no evidence"), ("nobody", "neither a finding nor an excerpt"), (lost.digest, "was dropped on 20")):
        with pytest.raises(InputError, match=why):
            run(site, name)


def test_without_an_appliance(site: Path) -> None:
    with pytest.raises(InputError, match="there is no such database"):
        run(site, "f1")
