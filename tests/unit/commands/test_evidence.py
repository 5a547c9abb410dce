import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.capture.pcapng import Packet, to_pcapng
from sentinel.baseline import store
from sentinel.brain.anchors import Anchors
from sentinel.clock import ManualClock, SystemClock
from sentinel.commands import evidence
from sentinel.errors import InputError
from sentinel.model.time import Instant
from sentinel.records import Records
from tests.attack_traffic import CALDERA_MODBUS, LEARNT_S, capture, ordinary
from tests.excerpts import excerpts, judged
from tests.unit.access.test_seal import an_authority
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


@pytest.fixture
def attacked(site: Path) -> Path:
    """A finding with its excerpt, and the sealed anchor that judged, made while the capture was learnt."""
    ability = CALDERA_MODBUS["write multiple registers"]
    found, baseline = judged(capture(site / "attack.pcap", ordinary(50) + ability.packets()), LEARNT_S)
    ((finding, octets),) = excerpts(site / "attack.pcap", found)
    records = Records(site / "box" / "records", SystemClock())
    records.keep(replace(finding, evidence=records.keep_excerpt(octets).digest))
    records.close()
    clock = ManualClock(Instant(baseline.learnt_until))
    anchors = Anchors(site / "box", an_authority(site / "box" / "authority", clock))
    anchors.keep(baseline, "sentinel", clock.now())
    (site / "name").write_text(finding.id)
    return site


def test_a_finding_is_recomputed_from_its_excerpt_and_the_sealed_baseline(attacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = (attacked / "name").read_text()
    assert run(attacked, name, "--recompute") == 0
    said = capsys.readouterr().out
    assert "10.0.0.66 writes to 10.0.0.2" in said
    assert "the same: novelty, foreign write\n" in said
    assert "differs" not in said
    digest = next(line.removeprefix("sha256 ") for line in said.splitlines() if line.startswith("sha256 "))
    with pytest.raises(InputError, match="what is recomputed is a finding"):
        run(attacked, digest, "--recompute")


def test_a_baseline_that_knows_the_stranger_does_not_lead_there(attacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, other = judged(attacked / "attack.pcap", 45.0)
    store.save(other, attacked / "other.npz")
    assert run(attacked, (attacked / "name").read_text(), "--recompute", "--baseline", str(attacked / "other.npz")) == 1
    assert "differs: novelty, foreign write: the excerpt does not lead to it" in capsys.readouterr().out


def test_the_baseline_is_the_one_that_judged_then(attacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Promoted since: the one before is taken.  Promoted twice since: it is gone, and that is said."""
    _, other = judged(attacked / "attack.pcap", 45.0)
    clock, name = ManualClock(Instant(other.learnt_until)), (attacked / "name").read_text()
    clock.advance(60.0)
    anchors = Anchors(attacked / "box", an_authority(attacked / "box" / "authority", clock))
    anchors.keep(other, "rita", clock.now())
    assert run(attacked, name, "--recompute") == 0
    anchors.keep(replace(other, windows=1), "rita", clock.now())
    with pytest.raises(InputError, match="which is not kept here: name it with --baseline"):
        run(attacked, name, "--recompute")
