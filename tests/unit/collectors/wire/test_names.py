"""Protocols by their own octets on any port; and none where another one speaks."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadHoldingRegistersResponse, WriteMultipleRegistersRequest

from sentinel.model.protocol import Protocol
from tests.unit.collectors.capture.frames import Talk, batch_of, ethernet, hear, ip4, udp

SOMEWHERE = 51234
RTU, ASCII = FramerRTU(DecodePDU(False)), FramerAscii(DecodePDU(False))
UNITS = [
    ReadHoldingRegistersRequest(address=10, count=2, dev_id=17),
    ReadHoldingRegistersResponse(registers=[7, 65535], dev_id=17),
    WriteMultipleRegistersRequest(address=1, registers=[1, 2, 3], dev_id=1),
]


def enip(command: int, body: bytes = b"", session: int = 0, status: int = 0) -> bytes:
    return struct.pack("<HHII8sI", command, len(body), session, status, b"sentinel", 0) + body


def tpkt(unit: bytes) -> bytes:
    return b"\x03\x00" + (7 + len(unit)).to_bytes(2, "big") + b"\x02\xf0\x80" + unit


IN_TCP = [
    (Protocol.ENIP, enip(0x65, b"\x01\x00\x00\x00")),  # to register a session
    (Protocol.ENIP, enip(0x6F, bytes(6) + b"\x02\x00" + bytes(4) + b"\xb2\x00\x06\x00\x0e\x03\x20\x01\x24\x01", 7)),
    (Protocol.ENIP, enip(0x63)),
    (Protocol.S7COMM, tpkt(bytes.fromhex("32010000ccc100080000f0000001000103c0"))),
    (Protocol.S7COMM_PLUS, tpkt(bytes.fromhex("720100203100 0004ca0000000100000120"))),
    (Protocol.MMS, tpkt(bytes.fromhex("0db2050613010016010214020002"))),
    (Protocol.MMS, tpkt(bytes.fromhex("01000100611a30180201"))),
    (Protocol.IEC104, bytes.fromhex("680407000000")),
    (Protocol.IEC104, bytes.fromhex("680e0000000064010600010000000014")),
    (Protocol.HART_IP, bytes.fromhex("010000000001000d01000ea600")),
    (Protocol.HART_IP, bytes.fromhex("010003000002000d0200000002")),
    (Protocol.FINS, bytes.fromhex("46494e530000000c000000000000000000000000")),
    (Protocol.ADS, bytes.fromhex("000020000000c0a8000a010153030a01020301010080040004000000000000000000 01000000")),
    (Protocol.MQTT, bytes.fromhex("101000044d5154540402003c000474657374")),
    (Protocol.MQTT, bytes.fromhex("10ff0100044d5154540584003c") + bytes(60)),  # a part of one that is longer
    (Protocol.MQTT, bytes.fromhex("101200064d51497364700302003c000474657374")),
    *((Protocol.MODBUS_RTU_TCP, RTU.buildFrame(unit)) for unit in UNITS),
    *((Protocol.MODBUS_ASCII, ASCII.buildFrame(unit)) for unit in UNITS),
]
IN_UDP = [
    (Protocol.BACNET, bytes.fromhex("810b000c0120ffff00ff1008")),
    (Protocol.ENIP, enip(0x63)),
    (Protocol.ENIP, bytes.fromhex("0200 0280 0800 01000000 05000000 b100 0800 0100000000000000")),
    (Protocol.HART_IP, bytes.fromhex("010000000001000d01000ea600")),
    (Protocol.FINS, bytes.fromhex("80000200010000630001010182006400000a")),
    (Protocol.ADS, bytes.fromhex("0366147100000000010000000a0102030101")),
]


def named_in_tcp(payload: bytes, port: int = SOMEWHERE) -> Protocol:
    talk = Talk(sport=port)
    talk.ask(payload)
    return Protocol(max(hear(talk.batch())[1].protocol.tolist()))


def named_in_udp(payload: bytes, port: int = SOMEWHERE) -> Protocol:
    frame = ethernet(ip4(udp(payload, 50000, port), "10.0.0.1", "10.0.0.2", 17))
    return Protocol(max(hear(batch_of([frame]))[1].protocol.tolist()))


def dnp3_sum(octets: bytes) -> int:
    """IEEE 1815, 9.2.4.1.7, bit by bit over the polynomial as it is written there."""
    value = 0
    for octet in octets:
        for bit in range(8):
            out = (value & 1) ^ (octet >> bit & 1)
            value = value >> 1 ^ (0xA6BC if out else 0)
    return value ^ 0xFFFF


@pytest.mark.parametrize(("protocol", "payload"), IN_TCP)
def test_a_first_payload_names_its_protocol_on_any_port(protocol: Protocol, payload: bytes) -> None:
    assert named_in_tcp(payload) is protocol


@pytest.mark.parametrize(("protocol", "payload"), IN_UDP)
def test_a_datagram_names_its_protocol_on_any_port(protocol: Protocol, payload: bytes) -> None:
    assert named_in_udp(payload) is protocol


def test_a_link_header_is_dnp3_by_its_check_sum_or_on_its_port() -> None:
    header = bytes.fromhex("056405c001000004")
    whole = header + dnp3_sum(header).to_bytes(2, "little")
    wrong = header + (dnp3_sum(header) ^ 1).to_bytes(2, "little")
    assert [named_in_tcp(whole), named_in_tcp(wrong), named_in_tcp(wrong, 20000)] == [Protocol.DNP3, Protocol.UNKNOWN, Protocol.DNP3]


def test_ethernet_types() -> None:
    frames = [ethernet(bytes.fromhex("fefe0500"), 0x8892), ethernet(bytes(60), 0x88B8, source="02:00:00:00:00:09")]
    assert hear(batch_of(frames))[1].protocol.tolist() == [Protocol.PROFINET, Protocol.GOOSE]


def test_a_client_of_mqtt_that_is_connected_already_is_known_by_its_port() -> None:
    ping, publish = bytes.fromhex("c000"), bytes.fromhex("3105000161") + b"on"
    assert [named_in_tcp(each, port) for each in (publish, publish[:-1]) for port in (1883, SOMEWHERE)] == [
        Protocol.MQTT,
        *[Protocol.UNKNOWN] * 3,
    ]
    assert named_in_tcp(ping + bytes(4), 1883) is Protocol.UNKNOWN
    assert named_in_tcp(bytes.fromhex("101000044d5154540602003c000474657374")) is Protocol.UNKNOWN  # a version that is none


@pytest.mark.parametrize("frame", [RTU.buildFrame(UNITS[0]), ASCII.buildFrame(UNITS[0])])
def test_a_serial_frame_with_another_octet_names_nothing(frame: bytes) -> None:
    for at in range(len(frame)):
        changed = frame[:at] + bytes([frame[at] ^ 0x04]) + frame[at + 1 :]
        assert named_in_tcp(changed) is Protocol.UNKNOWN
    assert named_in_tcp(frame[:-1]) is Protocol.UNKNOWN
    assert named_in_tcp(frame + b"\x00") is Protocol.UNKNOWN


OFFICE = {
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(range(150)),
    "HTTP": b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "SMB": bytes.fromhex("00000054ff534d4272000000001843c8") + bytes(72),
    "SMB2": bytes.fromhex("00000068fe534d4240000100") + bytes(96),
    "RDP": bytes.fromhex("0300001302f08004010001"),
    "RDP connect": bytes.fromhex("0300002722e00000000000436f6f6b69653a206d737473686173683d610d0a0100080003000000"),
    "LDAP": bytes.fromhex("300c020101600702010304008000"),
    "Kerberos": bytes.fromhex("0000006c6a6a3068a103020105a20302010a"),
    "DNS in TCP": bytes.fromhex("001d123401000001000000000000076578616d706c6503636f6d0000010001"),
    "SIP": b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
    "SMTP": b"220 mail ESMTP\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n",
    "H.225": bytes.fromhex("030000210802120805"),
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
    "text of digits": b":0011223344\r\n",
}
OFFICE_DATAGRAMS = {
    "DNS": bytes.fromhex("123401000001000000000000076578616d706c6503636f6d0000010001"),
    "NTP": bytes.fromhex("e30006ec") + bytes(44),
    "SNMP": bytes.fromhex("302602010104067075626c6963a019020101020100020100300e300c06082b060102010101000500"),
    "DHCP": bytes.fromhex("0101060012345678") + bytes(240),
    "RADIUS": bytes.fromhex("01000014") + bytes(16),
    "RTP": bytes.fromhex("80000207a1b2c3d45e6f7a8b") + bytes(range(160)),
    "STUN": bytes.fromhex("000100082112a442") + bytes(20),
    "QUIC": bytes.fromhex("c00000000108") + bytes(range(120)),
    "NetBIOS": bytes.fromhex("8001011000010000000000002046484641") + bytes(33),
    "zeros": bytes(64),
}


@pytest.mark.parametrize("name", OFFICE)
def test_what_an_office_speaks_has_no_name_here(name: str) -> None:
    assert named_in_tcp(OFFICE[name]) is Protocol.UNKNOWN


@pytest.mark.parametrize("name", OFFICE_DATAGRAMS)
def test_what_an_office_sends_has_no_name_here(name: str) -> None:
    assert named_in_udp(OFFICE_DATAGRAMS[name]) is Protocol.UNKNOWN


@settings(max_examples=50)
@given(st.binary(max_size=300), st.sampled_from([SOMEWHERE, 102, 2222, 2404, 4840, 5094, 9600, 20000, 44818, 47808, 48898]))
def test_any_octets_on_any_port(payload: bytes, port: int) -> None:
    """Never raises; what is named begins as its protocol does."""
    named_in_udp(payload, port)
    named = named_in_tcp(payload, port)
    assert named is Protocol.UNKNOWN or len(payload) >= 6
