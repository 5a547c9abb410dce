"""Recognition by the first payloads, whatever a sender does to them."""

import struct

import pytest

from collectors.capture.packets import PacketBatch
from collectors.wire import SERVER_PORTS
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


NEGOTIATION = b"\x00\x00\x05\xdc\x06\x14" + bytes(range(0x21, 0x31)) + b"\x00\x00\x00\xe6sntrup761x25519-sha512@openssh.com" + bytes(400)
OFFICE = {
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1\r\n", NEGOTIATION),
    "smb": (b"\0\0\0\x54\xfeSMB\x40\0" + bytes(74), b"\0\0\0\x2f\xffSMB\x72" + bytes(42)),
    "tls": (b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + bytes(range(250)), b"\x17\x03\x03\x00\x28" + bytes(range(40))),
    "http": (b"GET /index.html HTTP/1.1\r\nHost: plc\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "rpc over tcp": (b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00" + bytes(56),),
    "ldap": (b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00",),
    "postgres": (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"),
    "remote desktop": (b"\x03\x00\x00\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0", b"\x03\x00\x00\x0c\x02\xf0\x80\x04\x01\x00\x01\x00"),
    "text": (b"hello world, how are you today?\n", b"height=104;help=h\n"),
    "zeros": (bytes(60), bytes(1400)),
}


@pytest.mark.parametrize("name", OFFICE)
@pytest.mark.parametrize("port", [wire_port for wire_port in SERVER_PORTS if wire_port != 502] + [50_000])
def test_what_offices_speak_is_no_industrial_protocol_on_any_port(port: int, name: str) -> None:
    """On a registered port either: 2222 is where secure shells like to listen beside EtherNet/IP."""
    assert recognised(port, *OFFICE[name]) is Protocol.UNKNOWN


def read_and_write(read: int, write: int, octets: int) -> bytes:
    return adu(1, struct.pack(">BHHHHB", 23, 3, read, 14, write, octets) + bytes(octets))


def test_a_first_request_that_reads_and_writes_registers_is_modbus_on_any_port() -> None:
    assert recognised(5020, read_and_write(2, 3, 6)) is Protocol.MODBUS


@pytest.mark.parametrize(("read", "write", "octets"), [(0, 3, 6), (126, 3, 6), (2, 0, 0), (2, 122, 244), (2, 3, 4)])
def test_counts_that_no_server_takes_convince_nobody(read: int, write: int, octets: int) -> None:
    """Modbus Application Protocol 1.1b3, 6.17."""
    assert recognised(5020, read_and_write(read, write, octets)) is Protocol.UNKNOWN
