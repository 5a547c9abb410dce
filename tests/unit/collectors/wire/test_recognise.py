"""Recognition by the first payloads, whatever a sender does to them."""

import struct

import pytest

from collectors.capture.packets import PacketBatch
from sentinel.model.protocol import Protocol
from tests.unit.collectors.capture.frames import MS, START, Talk, adu, hear

HELLO = bytes.fromhex("48454c46 20000000 00000000 ffff0000 ffff0000 00000000 00000000 00000000")
MESSAGE = bytes.fromhex("4d534746 18000000 01000000 01000000 02000000 02000000")
IEC104_STARTDT = bytes.fromhex("680407000000")


def recognised(port: int, *payloads: bytes) -> Protocol:
    talk = Talk(sport=port)
    for octets in payloads:
        talk.ask(octets)
    _, flows, _ = hear(PacketBatch.of(talk.packets, [START + at * MS for at in range(len(talk.packets))]))
    return Protocol(max(flows.protocol.tolist()))


@pytest.mark.parametrize(("port", "octets", "protocol"), [(4840, HELLO, Protocol.OPCUA), (2404, IEC104_STARTDT, Protocol.IEC104)])
def test_the_shortest_first_payloads(port: int, octets: bytes, protocol: Protocol) -> None:
    assert recognised(port, octets) is protocol


def test_a_first_message_in_crumbs_blinds_nobody() -> None:
    """Crumbs tell nothing and use no probe up: the next message that comes whole is recognised."""
    assert recognised(48010, *(HELLO[at : at + 1] for at in range(len(HELLO))), MESSAGE) is Protocol.OPCUA


@pytest.mark.parametrize("size", [6, 1400])
def test_a_conversation_that_was_joined_inside_a_long_message_is_recognised_at_the_next(size: int) -> None:
    rest = [bytes([0x5A]) * size] * 40
    assert recognised(48010, *rest, MESSAGE) is Protocol.OPCUA


def read_and_write(read: int, write: int, octets: int) -> bytes:
    return adu(1, struct.pack(">BHHHHB", 23, 3, read, 14, write, octets) + bytes(octets))


def test_a_first_request_that_reads_and_writes_registers_is_modbus_on_any_port() -> None:
    assert recognised(5020, read_and_write(2, 3, 6)) is Protocol.MODBUS


@pytest.mark.parametrize(("read", "write", "octets"), [(0, 3, 6), (126, 3, 6), (2, 0, 0), (2, 122, 244), (2, 3, 4)])
def test_counts_that_no_server_takes_convince_nobody(read: int, write: int, octets: int) -> None:
    """Modbus Application Protocol 1.1b3, 6.17."""
    assert recognised(5020, read_and_write(read, write, octets)) is Protocol.UNKNOWN
