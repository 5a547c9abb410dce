"""Attack coverage: every published attack of two lists, as traffic of our own making through the real decoder, is found and named.

The first list is the Modbus plugin of MITRE's Caldera for OT (github.com/mitre/modbus, abilities and their techniques as of 2026-11).  The
second is the twelve unique attacks of a public OPC UA exploitation framework (github.com/claroty/opcua-exploit-framework), and the session
flood.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel.commands.replay import analyse
from sentinel.detect.attack import checked
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from tests.attack_traffic import CALDERA_MODBUS, HMI, LEARNT_S, OPCUA, PLC, STRANGER, Packet, busy_client, capture, ordinary, timed
from tests.unit.collectors.capture.frames import Talk, adu, read, registers, write
from tests.unit.detect.test_logins import REJECTED, logging_in

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


@pytest.mark.parametrize("client", [HMI, STRANGER], ids=["known_client", "stranger"])
def test_passwords_that_are_tried_out_are_one_finding(client: str, tmp_path: Path) -> None:
    """Its own connections, its refusals and what they add up to rest on one cause."""
    tries = [(LEARNT_S + 2 + 2 * number, "operator", REJECTED) for number in range(9)]
    found = findings_of(capture(tmp_path / "guessed.pcap", ordinary(60) + logging_in(client, tries)))
    (guessed,) = [one for one in found if any(d.detector == "logins" for d in one.detections)]
    assert (guessed.cause, guessed.severity >= Severity.HIGH, "T0859" in guessed.techniques) == (f"actor:{client}", True, True)
    assert [one.title for one in found if one.severity >= Severity.MEDIUM] == [guessed.title]


CYCLE_S, LESSON_S = 1.0, 90.0
Asked = list[tuple[bytes, bytes]]


def _cycle(number: int) -> Asked:
    """Selects an output, operates it, and looks what became of it."""
    select, operate = write(10 * number, 20, 1), write(10 * number + 1, 21, 1)
    return [(select, select), (operate, operate), (read(10 * number + 2, address=20, count=2), registers(10 * number + 2, (1, 1)))]


def _cycles(odd: Callable[[Asked], Asked]) -> Iterator[Packet]:
    talk = Talk(client=HMI)
    for number in range(round(LESSON_S) + 30):
        asked = _cycle(number)
        for question, reply in odd(asked) if number == round(LESSON_S) + 10 else asked:
            talk.ask(question)
            talk.answer(reply)
        yield from timed(talk, 0.1 + number * CYCLE_S)


@pytest.mark.parametrize(
    ("odd", "technique"),
    [
        (lambda asked: asked[1:], "T1692.001"),
        (lambda asked: [asked[0], asked[2]], "T1691.001"),
        (lambda asked: [*asked, (adu(7, asked[1][0][7:]), adu(7, asked[1][0][7:]))], "T1692.001"),
        (lambda asked: [asked[1], asked[0], asked[2]], "T1692.001"),
    ],
    ids=["not_selected", "not_operated", "operated_twice", "operated_before"],
)
def test_one_request_out_of_its_place_that_all_lists_allow_is_the_only_finding(
    odd: Callable[[Asked], Asked], technique: str, tmp_path: Path
) -> None:
    found = list(analyse(capture(tmp_path / "odd.pcap", list(_cycles(odd))), learn_until_s=LESSON_S)[0])
    (one,) = [each for each in found if any(d.detector == "sequence" for d in each.detections)]
    assert found == [one]
    assert technique in one.techniques
    assert {HMI, PLC} <= set(one.assets)
    checked(one.techniques, "sequence")


def test_the_same_cycles_without_it_are_silent(tmp_path: Path) -> None:
    assert analyse(capture(tmp_path / "even.pcap", list(_cycles(lambda asked: asked))), learn_until_s=LESSON_S)[0] == []
