"""Attack coverage: every published attack of two lists, as traffic of our own making through the real decoder, is found and named.

The first list is the Modbus plugin of MITRE's Caldera for OT (github.com/mitre/modbus, abilities and their techniques as of 2026-11).  The
second is the twelve unique attacks of a public OPC UA exploitation framework (github.com/claroty/opcua-exploit-framework), and the session
flood.
"""

from pathlib import Path

import pytest

from sentinel.commands.replay import analyse
from sentinel.detect.attack import checked
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from tests.attack_traffic import CALDERA_MODBUS, HMI, LEARNT_S, OPCUA, PLC, STRANGER, busy_client, capture, ordinary

# what an attack does beside what it is named for
_BESIDE = {
    "session flood": {"channel flood"},  # every session comes over a channel of its own
    "subscription flood": {"monitored item flood"},
    "calls left behind": {"unanswered requests"},
}


def findings_of(path: Path) -> list[Finding]:
    return list(analyse(path, learn_until_s=LEARNT_S)[0])


@pytest.mark.parametrize("name", CALDERA_MODBUS)
def test_an_ability_of_caldera_for_ot_is_found_and_named(name: str, tmp_path: Path) -> None:
    ability = CALDERA_MODBUS[name]
    (found,) = findings_of(capture(tmp_path / "attack.pcap", ordinary(50) + ability.packets()))
    assert {STRANGER, PLC} <= set(found.assets)
    assert found.severity >= Severity.HIGH
    assert found.frames[0] > 0
    assert checked((ability.technique,), name)[0] in found.techniques, found.techniques
    checked(found.techniques, name)


@pytest.mark.parametrize("client", [HMI, STRANGER], ids=["known_client", "stranger"])
@pytest.mark.parametrize("name", OPCUA)
def test_a_class_of_attacks_on_opc_ua_is_found_and_named(name: str, client: str, tmp_path: Path) -> None:
    attack = OPCUA[name]
    found = [one for one in findings_of(capture(tmp_path / "attack.pcap", ordinary(50) + attack.packets(client))) if client in one.assets]
    named = [detection for one in found for detection in one.detections if detection.feature == attack.feature]
    assert named, [(d.feature, d.why) for one in found for d in one.detections]
    assert (named[0].source, named[0].target, attack.technique in named[0].techniques) == (client, PLC, True)
    assert named[0].score > named[0].threshold or attack.feature == "session closed under calls"
    others = {d.feature for one in found for d in one.detections if d.detector == "exhaustion"} - {attack.feature}
    assert others <= _BESIDE.get(name, set()), "it is named as what it is"


@pytest.mark.parametrize("client", [HMI, STRANGER], ids=["known_client", "stranger"])
def test_a_busy_start_is_no_exhaustion(client: str, tmp_path: Path) -> None:
    found = findings_of(capture(tmp_path / "busy.pcap", ordinary(50) + busy_client(client)))
    assert not [d.feature for one in found for d in one.detections if d.detector == "exhaustion"]


def test_ordinary_life_is_silent(tmp_path: Path) -> None:
    assert findings_of(capture(tmp_path / "normal.pcap", ordinary(90))) == []
