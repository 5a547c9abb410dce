"""Every finding can be recomputed from its evidence: the excerpt of each attack, judged by the baseline that judged then, leads to the same
detections; what cannot come again stands in one table with the reason, and nothing stands there that does come again.
"""

import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from collectors.capture.replay import replay
from sentinel.detect.catalogue import CATALOGUE
from sentinel.model.finding import Finding
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.pipeline import Analysis
from sentinel.recompute import BEYOND, Outcome, Recomputed, recomputed
from tests.attack_traffic import BEHIND_TIME, CALDERA_MODBUS, HMI, LEARNT_S, OPCUA, PLC, STRANGER, Packet, UaTalk, capture, ordinary, timed
from tests.data import data_file
from tests.excerpts import excerpts, judged
from tests.unit.collectors.capture.frames import (
    ACK,
    ATTACKER,
    SERVER,
    START,
    SYN,
    Talk,
    adu,
    arp,
    read,
    registers,
    write,
)
from tests.unit.collectors.wire.opcua_bodies import activate

ATTACK_S = LEARNT_S + 2


def _at(seconds: float) -> int:
    return START + round(seconds * 1e9)


def _port_scan(step_s: float) -> list[Packet]:
    packets = []
    for number in range(40):
        talk = Talk(client=STRANGER, cport=50000 + number, sport=1000 + number, syn=False)
        talk.raw(0, b"", SYN, ack=0)
        packets += timed(talk, ATTACK_S + number * step_s)
    return packets


def _unit_scan() -> list[Packet]:
    talk = Talk(client=STRANGER, cport=50000)
    for unit in range(1, 30):
        talk.ask(read(unit, unit=unit))
    return timed(talk, ATTACK_S, 100.0)


def _address_walk() -> list[Packet]:
    talk = Talk(client=STRANGER, cport=50000)
    for address in range(40):
        talk.ask(read(address, address=address, count=1))
        talk.answer(registers(address, (1,)))
    return timed(talk, ATTACK_S, 100.0)


def _slow_sweep() -> list[Packet]:
    """The known client, point after point that it never wrote, five seconds apart."""
    talk, packets = Talk(client=HMI, cport=43000), []
    for number in range(8):
        talk.ask(write(number, 100 + 7 * number, 1))
        talk.answer(write(number, 100 + 7 * number, 1))
        packets += timed(talk, ATTACK_S + 5 * number)
    return packets


def _spoofed() -> list[Packet]:
    """Whose address this is, said by somebody else, beside its owner."""
    own = [(_at(ATTACK_S + n), arp(2, SERVER, PLC, HMI)) for n in range(3)]
    return own + [(_at(ATTACK_S + 0.5 + n), arp(2, ATTACKER, PLC, HMI)) for n in range(3)]


def _changed_copy() -> list[Packet]:
    talk = Talk(client=HMI, cport=43000)
    talk.raw(0, write(1, 7, 50))
    talk.raw(0, write(1, 7, 5000), macs=(ATTACKER, SERVER))
    return timed(talk, ATTACK_S)


def _flood() -> list[Packet]:
    talk = Talk(client=STRANGER, cport=50000)
    for number in range(5000):
        talk.raw(0, b"", ACK, shift=number)
    return timed(talk, ATTACK_S)


def _connections() -> list[Packet]:
    packets = []
    for number in range(300):
        talk = Talk(client=STRANGER, cport=50000 + number, syn=False)
        talk.raw(0, b"", SYN, ack=0)
        packets += timed(talk, ATTACK_S + number * 0.01)
    return packets


def _other_device() -> list[Packet]:
    """Exchanged, and once more when the first time is told no more."""

    def says(name: bytes, at_s: float, port: int) -> list[Packet]:
        talk = Talk(client=HMI, cport=port)
        talk.ask(adu(1, b"\x2b\x0e\x01\x00"))
        talk.answer(adu(1, b"\x2b\x0e\x01\x01\x00\x00\x01\x00" + bytes([len(name)]) + name))
        return timed(talk, at_s)

    return says(b"Acme", 5.0, 43000) + says(b"Apex", ATTACK_S, 43001) + says(b"Aero", ATTACK_S + 1000, 43002)


def _password() -> list[Packet]:
    ua = UaTalk(HMI, 52000)
    ua.ask("CreateSession", ATTACK_S)
    ua.ask("ActivateSession", ATTACK_S, activate("operator", b"secret")[BEHIND_TIME:])
    return timed(ua.talk, ATTACK_S)


def _goes_dark() -> list[Packet]:
    talk, packets = Talk(client=HMI, sport=1502, cport=43000), []
    for second in range(20):
        talk.ask(read(second))
        talk.answer(registers(second))
        packets += timed(talk, 1.0 + second)
    for second in range(20):
        talk.ask(bytes((7 * n + second) % 251 for n in range(120)))
        talk.answer(bytes((5 * n + second) % 251 for n in range(120)))
        packets += timed(talk, ATTACK_S + second)
    return packets


def _telnet() -> list[Packet]:
    talk = Talk(client=STRANGER, cport=50000, sport=23)
    talk.answer(b"login: ")
    return timed(talk, ATTACK_S)


def _stop() -> list[Packet]:
    talk = Talk(client=HMI, cport=43000)
    talk.ask(adu(1, struct.pack(">BHH", 8, 4, 0)))
    return timed(talk, ATTACK_S)


def _holes() -> list[Packet]:
    """The sensor misses an answer a second."""
    talk, packets = Talk(client=HMI, cport=43000), []
    for second in range(15):
        talk.ask(read(second))
        talk.seqs[1] += 13
        talk.raw(0, b"", ACK)
        talk.answer(registers(second))
        packets += timed(talk, ATTACK_S + second)
    return packets


def _tags_written() -> list[Packet]:
    """By a stranger, within its range and beyond."""
    talk = Talk(client=STRANGER, cport=50000)
    for number, value in enumerate((60, 50_000)):
        talk.ask(write(number, 7, value))
        talk.answer(write(number, 7, value))
    return timed(talk, ATTACK_S, 300.0)


def _reading_beyond() -> list[Packet]:
    talk = Talk(client=HMI, cport=43000)
    talk.ask(read(1, address=0, count=4))
    talk.answer(registers(1, (9000, 2, 3, 4)))
    return timed(talk, ATTACK_S)


PLANT = TagMap(
    (
        Tag(name="LT1", role=TagRole.PROCESS_VALUE, unit="cm", low=0, high=100, modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=0)),
        Tag(
            name="LC1.SP",
            role=TagRole.SETPOINT,
            unit="cm",
            low=0,
            high=100,
            writable=True,
            modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=7),
        ),
    )
)
MORE: Mapping[str, Callable[[], list[Packet]]] = {
    "port scan": lambda: _port_scan(0.01),
    "slow port scan": lambda: _port_scan(0.4),
    "unit scan": _unit_scan,
    "address walk": _address_walk,
    "slow write sweep": _slow_sweep,
    "spoofed address": _spoofed,
    "changed copy": _changed_copy,
    "flood": _flood,
    "flood of connections": _connections,
    "other device": _other_device,
    "password in clear": _password,
    "conduit goes dark": _goes_dark,
    "telnet": _telnet,
    "listen only": _stop,
    "sensor misses answers": _holes,
}
TAGGED: Mapping[str, Callable[[], list[Packet]]] = {"tags written": _tags_written, "reading beyond its range": _reading_beyond}
CASES: Mapping[str, Callable[[], list[Packet]]] = {
    **{f"Caldera, {name}": ability.packets for name, ability in CALDERA_MODBUS.items()},
    **{f"OPC UA, {name}, {client}": partial(attack.packets, client) for name, attack in OPCUA.items() for client in (HMI, STRANGER)},
    **MORE,
    **TAGGED,
}
Told = list[tuple[Finding, list[Recomputed]]]


def again(path: Path, learn_s: float, directory: Path, tag_map: TagMap | None = None) -> Told:
    findings, baseline = judged(path, learn_s, tag_map)
    excerpt, told = directory / "excerpt.pcapng", []
    for finding, octets in excerpts(path, findings):
        excerpt.write_bytes(octets)
        told.append((finding, recomputed(finding, replay(excerpt), Analysis(tag_map=tag_map, baseline=baseline))))
    return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    directory, told = tmp_path_factory.mktemp("recompute"), {}
    for name, make in CASES.items():
        path = capture(directory / "attack.pcap", ordinary(60) + make())
        told[name] = again(path, LEARNT_S, directory, PLANT if name in TAGGED else None)
    return told


def differing(told: Told) -> list[str]:
    return [
        f"{one.detection.detector}, {one.detection.feature}: {one.reason}" for _, of in told for one in of if one.outcome is Outcome.DIFFERS
    ]


@pytest.mark.parametrize("name", CASES)
def test_a_finding_comes_again_from_its_excerpt(name: str, told: dict[str, Told]) -> None:
    assert told[name]
    assert not differing(told[name])


def test_what_does_not_come_again_stands_in_the_table_and_nothing_else_does(told: dict[str, Told]) -> None:
    answers = [one for each in told.values() for _, of in each for one in of]
    of = {outcome: {one.detection.detector for one in answers if one.outcome is outcome} for outcome in Outcome}
    assert set(CATALOGUE) <= of[Outcome.SAME] | set(BEYOND)
    assert not (of[Outcome.SAME] - of[Outcome.BEYOND]) & set(BEYOND)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "learn_s"),
    [
        ("network/modbus-lemay/characterization_modbus_6RTU_with_operate.pcap", 270.0),
        ("network/modbus-lemay/CnC_uploading_exe_modbus_6RTU_with_operate.snap160.pcap", 60.0),
        ("network/modbus-modsentinel/run1_mitm_injection.pcap", 60.0),
    ],
)
def test_findings_of_public_captures_come_again(name: str, learn_s: float, tmp_path: Path) -> None:
    told = again(data_file(name), learn_s, tmp_path)
    assert told
    assert not differing(told)
