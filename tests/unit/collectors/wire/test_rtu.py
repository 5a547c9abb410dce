"""Modbus RTU over TCP: the same rows as Modbus/TCP from frames that only a CRC tells apart."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerRTU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors.wire.modbus.layout import SEGMENT_OCTETS
from sentinel.baseline.values import wire_commands
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, MessageKind, Protocol
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from tests.unit.collectors.capture.frames import Talk, adu, batch_of, hear, rows_of, write

SOMEWHERE = 51234
WAIT_S = 10.0
READ, WORDS = bytes.fromhex("03000a0002"), bytes.fromhex("0304000700ff")
WRITE = bytes.fromhex("0600050009")
REFUSED = bytes.fromhex("8602")
Part = tuple[int, bytes]  # side (0 = client), octets


def frame(pdu: bytes, unit: int = 1) -> bytes:
    octets = bytes([unit]) + pdu
    return octets + FramerRTU.compute_CRC(octets).to_bytes(2, "big")  # pymodbus gives it with its octets in the order of the wire


def talk_of(*parts: Part, port: int = SOMEWHERE, syn: bool = True) -> Talk:
    talk = Talk(sport=port, syn=syn)
    for side, octets in parts:
        talk.send(side, octets)
    return talk


def heard(*parts: Part, port: int = SOMEWHERE, syn: bool = True) -> Messages:
    return hear(talk_of(*parts, port=port, syn=syn).batch())[0]


def said(m: Messages) -> list[tuple[str, int, str]]:
    kinds, defects = map(MessageKind, m.kind.tolist()), map(Defect, m.defect.tolist())
    return [(kind.name, function, defect.name) for kind, function, defect in zip(kinds, m.function.tolist(), defects, strict=True)]


EXCHANGES: list[tuple[bytes, bytes]] = [
    (READ, WORDS),
    (bytes.fromhex("0100130013"), bytes.fromhex("0103cd6b05")),
    (bytes.fromhex("05000aff00"), bytes.fromhex("05000aff00")),
    (WRITE, REFUSED),
    (bytes.fromhex("0f0013000a02cd01"), bytes.fromhex("0f0013000a")),
    (bytes.fromhex("1000010002 04000a0102"), bytes.fromhex("1000010002")),
    (bytes.fromhex("160004 00f20025"), bytes.fromhex("160004 00f20025")),
    (bytes.fromhex("1700030002000e000204 00ff00ff"), bytes.fromhex("1704 00fe0acd")),
    (bytes.fromhex("08000aa537"), bytes.fromhex("08000aa537")),
    (bytes.fromhex("2b0e0100"), bytes.fromhex("2b0e01010000 01 00 04 61636d65")),
    (bytes.fromhex("5a0002"), bytes.fromhex("5a00fe0102")),
    (bytes.fromhex("07"), bytes.fromhex("076d")),
]


@pytest.mark.parametrize("port", [SOMEWHERE, 502])
def test_units_are_read_as_those_of_modbus_tcp(port: int) -> None:
    """Every column but the transaction number, which a serial line has not."""
    serial = [(side, frame(pdu)) for exchange in EXCHANGES for side, pdu in enumerate(exchange)]
    in_tcp = [(side, adu(number, pdu)) for number, exchange in enumerate(EXCHANGES) for side, pdu in enumerate(exchange)]
    ours, theirs = heard(*serial, port=port), heard(*in_tcp, port=port)
    assert set(ours.protocol) == {Protocol.MODBUS_RTU_TCP}
    assert set(ours.transaction) == {-1}
    assert len(ours) == 2 * len(EXCHANGES)
    rows = [rows_of(m) for m in (ours, theirs)]
    for row in (*rows[0], *rows[1]):
        del row["protocol"], row["transaction"]
    assert rows[0] == rows[1]


async def test_what_pymodbus_speaks() -> None:
    """A real client and a real server of serial frames in TCP; their octets as the client sent and received them."""
    device = SimDevice(1, simdata=[SimData(0, values=[0] * 16, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, framer=FramerType.RTU, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    parts: list[Part] = []

    def trace(is_sent: bool, octets: bytes) -> bytes:
        if octets:
            parts.append((0 if is_sent else 1, octets))
        return octets

    host, port = server.transport.sockets[0].getsockname()
    client = AsyncModbusTcpClient(host, port=port, framer=FramerType.RTU, timeout=WAIT_S, retries=0, trace_packet=trace)
    try:
        assert await client.connect()
        assert not (await client.write_registers(2, [7, 65535], device_id=1)).isError()
        assert (await client.read_holding_registers(2, count=2, device_id=1)).registers == [7, 65535]
        assert (await client.read_holding_registers(500, count=2, device_id=1)).exception_code == 2
    finally:
        client.close()
        await server.shutdown()
    m = heard(*parts)
    assert said(m) == [
        ("REQUEST", 16, "NONE"), ("RESPONSE", 16, "NONE"), ("REQUEST", 3, "NONE"), ("RESPONSE", 3, "NONE"),
        ("REQUEST", 3, "NONE"), ("EXCEPTION", 3, "NONE"),
    ]  # fmt: skip
    assert [m.value(row) for row in (0, 3)] == [b"\0\7\xff\xff"] * 2
    assert (m.exception[5], m.address[5]) == (2, 500)
    assert (m.latency[[1, 3, 5]] > 0).all()


def test_frames_share_segments_and_segments_share_frames() -> None:
    three = frame(READ) + frame(WRITE, 2) + frame(READ, 3)
    m = heard((0, frame(READ)), (1, frame(WORDS)), (0, three[:11]), (0, three[11:13]), (0, three[13:]))
    assert m.function.tolist() == [3, 3, 3, 6, 3]
    assert m.unit.tolist() == [1, 1, 1, 2, 3]


def test_a_wrong_crc_is_a_defect_and_nothing_is_read_out_of_it() -> None:
    wrong = frame(WRITE)[:-1] + bytes([frame(WRITE)[-1] ^ 1])
    m = heard((0, frame(READ)), (1, frame(WORDS)), (0, wrong), (0, frame(WRITE)))
    assert said(m)[2:] == [("REQUEST", -1, "BAD_CHECK"), ("REQUEST", 6, "NONE")]
    assert (m.unit[2], m.address[2], m.value_octets[2], m.pdu(2)) == (-1, -1, 0, wrong)


def test_garbage_is_one_row_and_the_next_frame_is_found() -> None:
    m = heard((0, frame(READ)), (0, bytes.fromhex("ff5a5a5affffff0000000000")), (0, frame(WRITE)))
    assert said(m) == [("REQUEST", 3, "NONE"), ("REQUEST", -1, "GARBAGE"), ("REQUEST", 6, "NONE")]
    assert m.pdu(1) == bytes.fromhex("ff5a5a5affffff00")


def test_what_waits_behind_a_torn_frame_is_found_at_the_end() -> None:
    torn = frame(bytes.fromhex("1000010010 20") + bytes(32))[:9]
    m = heard((0, frame(READ)), (0, torn), (0, frame(WRITE)))
    assert said(m) == [("REQUEST", 3, "NONE"), ("REQUEST", -1, "TRUNCATED"), ("REQUEST", 6, "NONE")]


def test_octets_that_were_not_heard_begin_the_search_anew() -> None:
    talk = talk_of((0, frame(READ)), (1, frame(WORDS)))
    talk.seqs[0] += 5
    talk.ask(frame(WRITE))
    talk.raw(1, b"", 16)
    talk.answer(frame(REFUSED))
    assert said(hear(talk.batch())[0])[2:] == [("REQUEST", 6, "STREAM_GAP"), ("EXCEPTION", 6, "NONE")]


def test_an_answer_belongs_to_the_newest_request_of_its_unit() -> None:
    later = bytes.fromhex("0300140002")
    m = heard((0, frame(READ)), (0, frame(later)), (0, frame(READ, 2)), (1, frame(WORDS)), (1, frame(WORDS)), (1, frame(WORDS, 2)))
    assert m.address[3:].tolist() == [20, -1, 10]
    assert m.defect[3:].tolist() == [Defect.NONE, Defect.UNSOLICITED, Defect.NONE]


def test_the_side_that_answers_is_the_server_whoever_opened_the_connection() -> None:
    m = heard((0, frame(WORDS)), (1, frame(READ)), (0, frame(WORDS)))
    assert [(row["kind"], row["client"], row["server"]) for row in rows_of(m)[1:]] == [
        (MessageKind.REQUEST, "10.0.0.2", "10.0.0.1"),
        (MessageKind.RESPONSE, "10.0.0.2", "10.0.0.1"),
    ]
    assert m.latency[2] > 0


def test_a_contradicting_copy_is_shown_and_changes_nothing() -> None:
    talk = talk_of((0, frame(READ)), (1, frame(WORDS)), (0, frame(WRITE)))
    talk.raw(0, frame(bytes.fromhex("0600050999")), shift=-8)
    talk.answer(frame(WRITE))
    m = hear(talk.batch())[0]
    assert said(m)[2:] == [("REQUEST", 6, "NONE"), ("REQUEST", 6, "CONTRADICTING_COPY"), ("RESPONSE", 6, "NONE")]


@pytest.mark.parametrize("port", [SOMEWHERE, 502])
def test_a_serial_frame_hides_no_modbus_tcp_behind_it(port: int) -> None:
    m = heard((0, frame(READ)), (0, write(1, 5, 9)), (1, write(1, 5, 9)), port=port)
    assert [(row["protocol"], row["function"]) for row in rows_of(m)] == [
        (Protocol.MODBUS_RTU_TCP, 3), (Protocol.MODBUS, 6), (Protocol.MODBUS, 6),
    ]  # fmt: skip
    assert (m.address[1], m.latency[2] > 0) == (5, True)


def test_the_most_rows_that_a_segment_can_hold_find_room() -> None:
    """The shortest frame and one octet that fits none, in turn: two rows for five octets."""
    turns = SEGMENT_OCTETS // 5 - 20
    m = heard((0, frame(READ)), (0, (frame(b"\x07") + b"\xff") * turns))
    assert m.defect.tolist() == [Defect.NONE] + [Defect.NONE, Defect.GARBAGE] * (turns - 1) + [Defect.NONE, Defect.TRUNCATED]


def test_writes_are_commands_and_only_the_refused_one_has_not_reached_the_plant() -> None:
    point = ModbusPoint(unit=1, table=Table.HOLDING, address=5, scale=0.001)
    tags = TagMap((Tag(name="SP", role=TagRole.SETPOINT, unit="m", low=0, high=2, modbus=point),))
    other = bytes.fromhex("0600050190")
    commands = wire_commands(heard((0, frame(WRITE)), (1, frame(REFUSED)), (0, frame(other)), (1, frame(other))), tags)
    assert [(command.protocol, command.operation, command.unit) for command in commands] == [("modbus", "write_single_register", 1)] * 2
    assert [command.reached() for command in commands] == [{}, {"SP": 0.4}]


SOUND: list[Part] = [(side, frame(pdu, unit)) for exchange in EXCHANGES for unit in (1, 17) for side, pdu in enumerate(exchange)]


def torn(part: Part, at: int, bit: int) -> Part:
    side, octets = part
    at %= len(octets)
    return side, octets[:at] + bytes([octets[at] ^ 1 << bit]) + octets[at + 1 :]


UNSOUND = st.one_of(
    st.tuples(st.integers(0, 1), st.binary(min_size=1, max_size=40)),
    st.builds(torn, st.sampled_from(SOUND), st.integers(0, 300), st.integers(0, 7)),
    st.builds(lambda part, size: (part[0], part[1][: 1 + size % len(part[1])]), st.sampled_from(SOUND), st.integers(0, 300)),
)


def cut(parts: list[Part], chance: random.Random | None, largest: int) -> list[dict[str, object]]:
    """Rows of the parts in one piece each, or in random ones; when and in which packet they were heard left out."""
    pieces: list[Part] = [(0, frame(READ)), (1, frame(WORDS))]
    for side, octets in parts:
        rest = octets
        while rest:
            size = chance.randint(1, largest) if chance else len(rest)
            pieces.append((side, rest[:size]))
            rest = rest[size:]
    rows = rows_of(hear(batch_of(talk_of(*pieces).packets, step=0))[0])
    for row in rows:
        del row["frame"]
    return rows


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(SOUND), st.sampled_from(SOUND), UNSOUND), max_size=12), seed=st.integers(0, 2**32))
def test_any_cutting_of_the_streams_gives_the_same_rows(parts: list[Part], seed: int) -> None:
    chance, runs = random.Random(seed), list[Part]()
    for side, octets in parts:
        if runs and runs[-1][0] == side:
            runs[-1] = (side, runs[-1][1] + octets)
        else:
            runs.append((side, octets))
    whole = cut(runs, None, 0)
    assert cut(runs, chance, 1) == whole
    assert cut(runs, chance, 30) == whole


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(SOUND), UNSOUND), max_size=12))
def test_junk_makes_no_sense_and_hides_no_frame_of_the_standard(parts: list[Part]) -> None:
    """What is read was sent with its CRC; and every whole frame behind whatever junk is read."""
    last = (0, frame(struct.pack(">BHHBHH", 16, 400, 2, 4, 1, 2), 200))
    rows = cut([*parts, last], None, 0)
    sent = b"".join(octets for _, octets in parts) + last[1]
    for row in rows[2:]:
        if row["function"] != -1:
            octets = bytes([row["unit"]]) + row["pdu"]  # type: ignore[list-item, operator]
            assert octets + FramerRTU.compute_CRC(octets).to_bytes(2, "big") in sent
    assert any((row["address"], row["quantity"], row["unit"]) == (400, 2, 200) for row in rows)
