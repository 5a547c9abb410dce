"""What somebody who chooses every packet can do to a stream: no forged packet hides what follows it, a server's real octets are heard, and
what contradicts itself is marked.  Each trick is played to both protocols."""

import struct
from collections.abc import Callable
from typing import NamedTuple

import pytest

from collectors.capture.tables import HELD_PER_STREAM, WINDOW_OCTETS
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Defect
from tests.unit.collectors.capture.frames import ACK, FIN, PSH, RST, SYN, Talk, batch_of, hear, write
from tests.unit.collectors.wire.test_opcua import HANDSHAKE, message

URG = 32
MODBUS, OPCUA = 502, 4840


def modbus(number: int) -> bytes:
    return write(number, 5, number)


def opcua(number: int) -> bytes:
    """The channel's opening bears number 1."""
    return message(SERVICES["Write"][0], number, number, rest=bytes(63) + bytes([number]))


UNITS = {MODBUS: modbus, OPCUA: opcua}
Unit = Callable[[int], bytes]
Trick = Callable[[Talk, Unit], None]


def conversation(port: int, *, isn: int = 1000, cport: int = 40_000, server_isn: int | None = None) -> Talk:
    talk = Talk(sport=port, isn=isn, cport=cport, syn=False)
    if server_isn is not None:
        talk.seqs[1] = server_isn
    talk.raw(0, b"", SYN, ack=0)
    talk.seqs[0] += 1
    talk.raw(1, b"", SYN | ACK)
    talk.seqs[1] += 1
    if port == OPCUA:
        for from_client, octets in HANDSHAKE:
            talk.send(0 if from_client else 1, octets)
    return talk


def halves(talk: Talk, unit: bytes, between: Callable[[], None]) -> None:
    """A unit in two segments, and what comes between them."""
    talk.ask(unit[:6])
    between()
    talk.ask(unit[6:])


def other(unit: bytes) -> bytes:
    """The same with other last octets."""
    return unit[:-2] + b"\xee\xee"


def another_content(talk: Talk, unit: Unit) -> None:
    """The server drops the first for its checksum, hop limit or time stamp (PAWS), none of which we believe to know."""
    talk.raw(0, other(unit(2)))
    talk.ask(unit(2))


def another_beginning(talk: Talk, unit: Unit) -> None:
    talk.raw(0, other(unit(2)[:6]))
    talk.ask(unit(2))


def reset_beside(talk: Talk, unit: Unit) -> None:
    halves(talk, unit(2), lambda: talk.raw(0, b"", RST, shift=100))


def reset_from_the_server(talk: Talk, unit: Unit) -> None:
    halves(talk, unit(2), lambda: talk.raw(1, b"", RST, shift=-1))


def reset_that_dies_on_its_way(talk: Talk, unit: Unit) -> None:
    halves(talk, unit(2), lambda: talk.raw(0, b"", RST))


def end_that_dies_on_its_way(talk: Talk, unit: Unit) -> None:
    def ends() -> None:
        talk.raw(0, b"", FIN | ACK)
        talk.raw(1, b"", FIN | ACK)

    halves(talk, unit(2), ends)


def urgent_octet(talk: Talk, unit: Unit) -> None:
    """A server that takes urgent data out of band does not read the first octet as part of the stream (RFC 6093, 3.1)."""
    octets = b"!" + unit(2)
    talk.raw(0, octets, URG | PSH | ACK)
    talk.seqs[0] += len(octets)


def opening_within(talk: Talk, unit: Unit) -> None:
    halves(talk, unit(2), lambda: talk.raw(0, b"", SYN, shift=50_000_000, ack=0))


def answered_opening_within(talk: Talk, unit: Unit) -> None:
    halves(talk, unit(2), lambda: talk.raw(1, b"", SYN | ACK, shift=50_000_000))


def far_ahead(talk: Talk, unit: Unit) -> None:
    for place in range(HELD_PER_STREAM + 1):
        talk.raw(0, unit(9), shift=500_000 + 10_000 * place)
    talk.ask(unit(2))


def far_and_back(talk: Talk, unit: Unit) -> None:
    talk.raw(0, unit(9), shift=2 * WINDOW_OCTETS)
    talk.raw(0, unit(9), shift=WINDOW_OCTETS // 2)
    talk.ask(unit(2))


def acknowledged_ahead(talk: Talk, unit: Unit) -> None:
    """An acknowledgement that the server never gave, so that a hole is given up at once."""
    talk.raw(1, b"", ACK, ack=talk.seqs[0] + 900_000)
    talk.raw(0, unit(9), shift=len(unit(2)))
    talk.ask(unit(2))


class Case(NamedTuple):
    trick: Trick
    marks: frozenset[Defect] = frozenset()  # some row bears each
    counted: str = ""
    heard: tuple[int, ...] = (2, 3, 4)  # each in one row, with its own octets


CASES = (
    Case(another_content, frozenset({Defect.CONTRADICTING_COPY}), "contradictions"),
    Case(another_beginning, frozenset({Defect.CONTRADICTING_COPY}), "contradictions", heard=(3, 4)),
    Case(reset_beside, counted="endings_doubted"),
    Case(reset_from_the_server, counted="endings_doubted"),
    Case(reset_that_dies_on_its_way),
    Case(end_that_dies_on_its_way),
    Case(urgent_octet, frozenset({Defect.GARBAGE}), heard=(4,)),
    Case(opening_within, counted="openings_doubted"),
    Case(answered_opening_within, counted="openings_doubted"),
    Case(far_ahead, frozenset({Defect.STREAM_GAP}), "gaps"),
    Case(far_and_back, frozenset({Defect.STREAM_GAP}), "gaps"),
    Case(acknowledged_ahead, frozenset({Defect.STREAM_GAP}), "gaps"),
)


@pytest.mark.parametrize("port", UNITS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.trick.__name__)
def test_no_trick_hides_a_unit(case: Case, port: int) -> None:
    unit, talk = UNITS[port], conversation(port)
    case.trick(talk, unit)
    for number in (3, 4):
        talk.ask(unit(number))
        talk.raw(1, b"", ACK)
    messages, flows, sensor = hear(talk.batch())
    heard = [(int(t), messages.pdu(row)) for row, t in enumerate(messages.transaction) if messages.flow[row] == 0]
    for number in case.heard:
        assert heard.count((number, unit(number)[7 if port == MODBUS else 0 :])) == 1
    assert case.marks <= {Defect(d) for d in (*messages.defect, *flows.defect)}
    if not case.marks:
        assert not messages.defect[messages.transaction >= 2].any()
    assert not case.counted or sensor.counts[case.counted] > 0


@pytest.mark.parametrize("port", UNITS)
@pytest.mark.parametrize("is_ended", [True, False])
def test_the_same_numbers_again_are_no_repetition(port: int, is_ended: bool) -> None:
    """Who chooses its first number anew for the same ports can have its second connection look like the first, octet by octet."""
    unit, both = UNITS[port], list[bytes]()
    for server_isn in (6000, 900_000):
        talk = conversation(port, server_isn=server_isn)
        talk.ask(unit(2))
        talk.raw(1, b"", ACK)
        if is_ended:
            talk.finish()
        both += talk.packets
    messages, _, _ = hear(batch_of(both, step=10_000_000))
    told = [(int(flow), Defect(d)) for flow, t, d in zip(messages.flow, messages.transaction, messages.defect, strict=True) if t == 2]
    assert told == [(0, Defect.NONE), (1, Defect.NONE)]


def test_a_new_connection_that_is_never_answered_in_our_hearing_begins_with_its_first_octets() -> None:
    first, second = conversation(MODBUS), conversation(MODBUS, isn=700_000_000)
    first.ask(modbus(1))
    second.ask(modbus(2))
    heard = [packet for place, packet in enumerate(second.packets) if place != 1]  # without its SYN, ACK
    messages, _, _ = hear(batch_of(first.packets + heard))
    assert list(zip(messages.transaction, messages.flow, messages.defect, strict=True)) == [(1, 0, Defect.NONE), (2, 1, Defect.NONE)]


def test_a_refused_opening_that_is_tried_again_is_one_connection() -> None:
    talk = Talk(syn=False)
    for _ in range(2):
        talk.raw(0, b"", SYN, ack=0)
        talk.packets.append(talk.frame(1, b"", RST | ACK, seq=0, ack=talk.seqs[0] + 1))
    talk.raw(0, b"", SYN, ack=0)
    talk.seqs[0] += 1
    talk.raw(1, b"", SYN | ACK)
    talk.seqs[1] += 1
    talk.ask(modbus(1))
    talk.answer(modbus(1))
    messages, _, sensor = hear(talk.batch())
    assert list(zip(messages.transaction, messages.flow, messages.defect, strict=True)) == [(1, 0, Defect.NONE)] * 2
    assert sensor.counts["openings_doubted"] == 0


def test_octets_in_the_first_segment() -> None:
    talk = Talk(syn=False)
    talk.raw(0, modbus(1), SYN, ack=0)
    talk.seqs[0] += 1 + len(modbus(1))
    talk.raw(1, b"", SYN | ACK)
    talk.seqs[1] += 1
    talk.ask(modbus(2))
    messages, _, _ = hear(talk.batch())
    assert list(zip(messages.transaction, messages.defect, strict=True)) == [(1, Defect.NONE), (2, Defect.NONE)]


def test_both_sides_open_at_once() -> None:
    talk = Talk(syn=False)
    talk.raw(0, b"", SYN, ack=0)
    talk.raw(1, b"", SYN, ack=0)
    talk.seqs = [number + 1 for number in talk.seqs]
    for side in (0, 1):
        talk.raw(side, b"", SYN | ACK, shift=-1)
    talk.ask(modbus(1))
    talk.answer(modbus(1))
    messages, _, sensor = hear(talk.batch())
    assert list(messages.transaction) == [1, 1]
    assert not messages.defect.any()
    assert sensor.counts["openings_doubted"] == 0


@pytest.mark.parametrize("isn", [2**32 - 40, 2**31 - 40])
def test_the_numbers_wrap_within_units(isn: int) -> None:
    talk = conversation(MODBUS, isn=isn)
    for number in range(1, 9):
        talk.ask(modbus(number)[:7])
        talk.ask(modbus(number)[7:])
    messages, _, sensor = hear(talk.batch())
    assert list(messages.transaction) == list(range(1, 9))
    assert not messages.defect.any()
    assert sensor.counts["gaps"] == 0


@pytest.mark.parametrize("size", [100_000, 1 << 24])
@pytest.mark.parametrize("heard_from", [0, 7])
def test_a_chunk_that_lies_about_its_size_swallows_nothing(size: int, heard_from: int) -> None:
    """More than the server said it takes, or, where that was not heard, than any takes."""
    talk = conversation(OPCUA)
    talk.ask(opcua(2))
    lie = bytearray(opcua(3))
    lie[4:8] = struct.pack("<I", size)
    talk.ask(bytes(lie))
    for number in (4, 5):
        talk.ask(opcua(number))
    messages, _, _ = hear(batch_of(talk.packets[heard_from:]))
    rows = [(int(t), Defect(d)) for t, d in zip(messages.transaction, messages.defect, strict=True) if t >= 3]
    assert [transaction for transaction, _ in rows] == [3, 4, 5]
    assert rows[0][1] == Defect.TRUNCATED
    assert rows[2][1] == Defect.NONE


def test_a_forged_beginning_swallows_nothing() -> None:
    """It says less than the server takes: only that its octets were sent twice and differently tells."""
    talk = conversation(OPCUA)
    lie = bytearray(opcua(2))
    lie[4:8] = struct.pack("<I", 60_000)
    talk.raw(0, bytes(lie))
    for number in (2, 3, 4):
        talk.ask(opcua(number))
    messages, _, _ = hear(talk.batch())
    told = [(int(t), Defect(d)) for t, d in zip(messages.transaction, messages.defect, strict=True) if t > 1]
    assert told == [(2, Defect.CONTRADICTING_COPY), (2, Defect.TRUNCATED), (3, Defect.STREAM_GAP), (4, Defect.NONE)]


def test_chunk_numbers_that_begin_anew_are_marked_once() -> None:
    talk = conversation(OPCUA)
    talk.ask(opcua(40))
    for number in (2, 3, 4):
        talk.ask(opcua(number))
    messages, _, _ = hear(talk.batch())
    defects = {int(t): Defect(d) for t, d in zip(messages.transaction, messages.defect, strict=True)}
    assert [defects[number] for number in (2, 3, 4)] == [Defect.BAD_VALUE, Defect.NONE, Defect.NONE]
