"""The emulated controller, without a socket: what it answers, what it sets, and how dialects differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.emulators.modbus import MAX_ANSWER_OCTETS, Device, Memory, cells_of
from sentinel.demo.wiring import PLANT_FILE
from sentinel.model.dialect import DIALECTS
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.twin.plant import load_plant

TAGS = load_plant(PLANT_FILE).tags
ALL = frozenset(DIALECTS)
LEVEL = {"LIC101.SP": 1.92}
ON = {"P101.RUN": 1.0}


def adu(pdu: str, *, unit: int = 1, protocol: int = 0, number: int = 1) -> bytes:
    octets = bytes.fromhex(pdu)
    return number.to_bytes(2, "big") + protocol.to_bytes(2, "big") + (1 + len(octets)).to_bytes(2, "big") + bytes((unit,)) + octets


def played(dialect: str, octets: bytes, values: dict[str, float] | None = None) -> tuple[str, dict[str, float | None], bool]:
    """(answer PDUs, what is set, whether the connection is ended)."""
    device = Device(Memory(cells_of(TAGS, 1, values or {}), 1), 1, DIALECTS[dialect])
    answers, pdus = device.receive(octets), []
    while answers:
        size = 6 + int.from_bytes(answers[4:6], "big")
        pdus.append(answers[7:size].hex())
        answers = answers[size:]
    return " ".join(pdus), {write.tag or write.point: write.value for write in device.memory.writes(TAGS)}, device.closed


@pytest.mark.parametrize(
    ("octets", "acting", "sets"),
    [
        (adu("0600000780"), ALL, LEVEL),
        (adu("10000000010207 80".replace(" ", "")), ALL, LEVEL),
        (adu("050000ff00"), ALL, ON),
        (adu("0500001234"), {"openplc", "pymodbus", "pymodbustcp", "modbus-serial"}, ON),
        (adu("1000000001030780"), {"modbus-serial"}, LEVEL),
        (adu("16000000ff0700"), ALL - {"openplc", "pymodbustcp", "modbus-serial"}, {"LIC101.SP": 1.968}),
        (adu("17000000010000000102" + "0780"), ALL - {"openplc", "modbus-serial"}, LEVEL),
        (adu("0600000780", unit=55), {"openplc", "libmodbus", "pymodbustcp"}, LEVEL),
        (adu("0600000780", protocol=7), {"openplc", "libmodbus", "modbus-serial"}, LEVEL),
        (adu("030000000a") + adu("0600000780", number=2), ALL - {"pymodbus"}, LEVEL),
        (adu("5a0001"), frozenset(), {}),
        (adu("8600000780"), frozenset(), {}),
        (adu("0000000780"), frozenset(), {}),
        (adu("06ffff0780"), ALL, {"holding 65535": None}),
        (adu("10ffff0002040780" + "0780"), frozenset(), {}),
    ],
)
def test_who_does_what(octets: bytes, acting: frozenset[str], sets: dict[str, float | None]) -> None:
    standing = {"LIC101.SP": 1.2}
    found = {name: played(name, octets, standing)[1] for name in DIALECTS}
    assert {name for name, set_there in found.items() if set_there} == acting
    for name in acting:
        assert found[name] == pytest.approx(sets), name


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("0600000780", "0600000780"),
        ("0300000001", "030204b0"),
        ("0300000000", "8303"),
        ("03000000fb", "8303"),
        ("0500001234", "8503"),
        ("5a0001", "da01"),
        ("8601", "8601"),
        ("0400000001", "04020320"),
    ],
)
def test_what_a_standard_device_answers(pdu: str, answer: str) -> None:
    assert played("standard", adu(pdu), {"LIC101.SP": 1.2, "LT101": 0.8})[0] == answer


def test_a_tag_of_which_one_register_is_set_is_set_as_a_whole() -> None:
    wide = Tag(
        name="WIDE",
        role=TagRole.SETPOINT,
        unit="m",
        low=0.0,
        high=9.0,
        modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=4, type="float32"),
    )
    memory = Memory(cells_of(TagMap((wide,)), 1, {"WIDE": 1.5}), 1)
    Device(memory, 1, DIALECTS["standard"]).receive(adu("0600044000"))
    ((name, value),) = ((write.tag, write.value) for write in memory.writes(TagMap((wide,))))
    assert (name, value) == ("WIDE", 2.0)


@given(octets=st.binary(max_size=600), dialect=st.sampled_from(sorted(DIALECTS)), cut=st.integers(0, 600))
def test_no_soup_breaks_it_and_chunks_do_not_matter(octets: bytes, dialect: str, cut: int) -> None:
    soup = adu("0600000780") + octets
    whole, parts = (Device(Memory({}, 1), 1, DIALECTS[dialect]) for _ in range(2))
    answers = whole.receive(soup)
    assert len(answers) <= MAX_ANSWER_OCTETS
    if not DIALECTS[dialect].first_only:  # for which the segment is what counts
        assert parts.receive(soup[:cut]) + parts.receive(soup[cut:]) == answers
        assert whole.memory.written == parts.memory.written


@given(st.lists(st.binary(min_size=1, max_size=253), max_size=8), st.sampled_from(sorted(DIALECTS)))
def test_well_framed_requests_of_any_content_are_answered_in_order(pdus: list[bytes], dialect: str) -> None:
    device = Device(Memory({}, 1), 1, DIALECTS[dialect])
    for number, pdu in enumerate(pdus):
        answer = device.receive(adu(pdu.hex(), number=number))
        assert answer[:2] == number.to_bytes(2, "big")
        assert answer[7] & 0x7F == pdu[0] & 0x7F
