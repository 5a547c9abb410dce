"""Link to transport layer: where a payload lies, and what is said of packets that contradict themselves."""

import struct
from typing import Any

import pytest

from collectors.capture.packets import ETHERNET, LINUX_SLL, LINUX_SLL2, LOOP, NULL, RAW, PacketBatch
from collectors.capture.tables import MAX_EXTENSION_HEADERS, MAX_VLAN_TAGS
from sentinel.model.protocol import Defect, FlowKind, Protocol
from tests.unit.collectors.capture.frames import ACK, MS, PSH, START, arp, batch_of, ethernet, hear, ip4, ip6, mac, read, rows_of, tcp, udp

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
SEGMENT = tcp(read(1), 40000, 502, 1, 1, PSH | ACK)
PACKET4 = ip4(SEGMENT, A4, B4)


def hear_one(packet: bytes, link: int = ETHERNET) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    messages, flows, _ = hear(batch_of([packet], link=link))
    return rows_of(messages), rows_of(flows)


CARRIERS: dict[str, tuple[bytes, int]] = {
    "ethernet": (ethernet(PACKET4), ETHERNET),
    "padded": (ethernet(PACKET4 + b"\xee" * 6), ETHERNET),
    "dot1q": (ethernet(PACKET4, tags=[(0x8100, 5)]), ETHERNET),
    "qinq": (ethernet(PACKET4, tags=[(0x88A8, 5), (0x8100, 6)]), ETHERNET),
    "most tags": (ethernet(PACKET4, tags=[(0x8100, 1)] * MAX_VLAN_TAGS), ETHERNET),
    "hsr": (mac("02:00:00:00:00:02") + mac("02:00:00:00:00:01") + struct.pack(">HHHH", 0x892F, 0, 7, 0x0800) + PACKET4, ETHERNET),
    "ip options": (ethernet(ip4(SEGMENT, A4, B4, options=b"\x01" * 8)), ETHERNET),
    "tcp options": (ethernet(ip4(tcp(read(1), 40000, 502, 1, 1, PSH | ACK, options=b"\x01" * 12), A4, B4)), ETHERNET),
    "offloaded": (ethernet(ip4(SEGMENT, A4, B4, total=0)), ETHERNET),
    "ipv6": (ethernet(ip6(SEGMENT, A6, B6), 0x86DD), ETHERNET),
    "hop by hop": (ethernet(ip6(bytes([6, 0]) + bytes(6) + SEGMENT, A6, B6, 0), 0x86DD), ETHERNET),
    "atomic fragment": (ethernet(ip6(bytes([6, 0]) + bytes(6) + SEGMENT, A6, B6, 44), 0x86DD), ETHERNET),
    "authentication": (ethernet(ip6(bytes([6, 1]) + bytes(10) + SEGMENT, A6, B6, 51), 0x86DD), ETHERNET),
    "sll": (struct.pack(">HHH", 0, 1, 6) + mac("02:00:00:00:00:01") + b"\0\0" + struct.pack(">H", 0x0800) + PACKET4, LINUX_SLL),
    "sll2": (struct.pack(">HHIHBB", 0x0800, 0, 3, 1, 0, 6) + mac("02:00:00:00:00:01") + b"\0\0" + PACKET4, LINUX_SLL2),
    "raw": (PACKET4, RAW),
    "raw ipv6": (ip6(SEGMENT, A6, B6), RAW),
    "null": (struct.pack("<I", 2) + PACKET4, NULL),
    "null, big-endian": (struct.pack(">I", 2) + PACKET4, NULL),
    "loop ipv6": (struct.pack(">I", 24) + ip6(SEGMENT, A6, B6), LOOP),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_one_message_by_every_carrier(carrier: str) -> None:
    messages, flows = hear_one(*CARRIERS[carrier])
    assert [(row["function"], row["pdu"]) for row in messages] == [(3, read(1)[7:])]
    six = carrier in ("ipv6", "raw ipv6", "hop by hop", "atomic fragment", "authentication", "loop ipv6")
    assert (messages[0]["client"], messages[0]["server"]) == ((A6, B6) if six else (A4, B4))
    source = "02:00:00:00:00:01" if CARRIERS[carrier][1] in (ETHERNET, LINUX_SLL, LINUX_SLL2) else None
    target = "02:00:00:00:00:02" if CARRIERS[carrier][1] == ETHERNET else None
    assert (messages[0]["source_mac"], messages[0]["target_mac"]) == (source, target)
    assert [(row["kind"], row["port"], row["octets"], row["defect"]) for row in flows] == [(FlowKind.TCP, 502, 12, Defect.NONE)]


@pytest.mark.parametrize(
    ("packet", "kind", "port", "defect"),
    [
        (ethernet(ip4(SEGMENT, A4, B4, flags=0x2000)), FlowKind.OTHER_IP, 6, Defect.FRAGMENT),
        (ethernet(ip4(SEGMENT, A4, B4, flags=0x0010)), FlowKind.OTHER_IP, 6, Defect.FRAGMENT),
        (ethernet(ip6(bytes([6, 0, 0, 1]) + bytes(4) + SEGMENT, A6, B6, 44), 0x86DD), FlowKind.OTHER_IP, 6, Defect.FRAGMENT),
        (ethernet(ip4(SEGMENT, A4, B4, total=1500)), FlowKind.OTHER_IP, 6, Defect.BAD_LENGTH),
        (ethernet(ip4(SEGMENT, A4, B4, total=8)), FlowKind.OTHER_IP, 6, Defect.BAD_LENGTH),
        (ethernet(b"\x41" + PACKET4[1:]), FlowKind.OTHER_IP, 6, Defect.BAD_LENGTH),
        (ethernet(b"\x55" + PACKET4[1:]), FlowKind.OTHER_ETHERNET, 0x0800, Defect.BAD_LENGTH),
        (ethernet(ip4(SEGMENT[:12] + b"\xf0" + SEGMENT[13:], A4, B4)), FlowKind.OTHER_IP, 6, Defect.BAD_LENGTH),
        (ethernet(ip4(SEGMENT[:12], A4, B4)), FlowKind.OTHER_IP, 6, Defect.BAD_LENGTH),
        (ethernet(ip4(udp(b"abc", 1, 2)[:4] + b"\xff\xff" + b"\0\0abc", A4, B4, 17)), FlowKind.OTHER_IP, 17, Defect.BAD_LENGTH),
        (
            ethernet(ip6((bytes([0, 0]) + bytes(6)) * (MAX_EXTENSION_HEADERS + 1), A6, B6, 0), 0x86DD),
            FlowKind.OTHER_IP,
            0,
            Defect.BAD_LENGTH,
        ),
        (ethernet(ip4(b"\x08\0\0\0", A4, B4, 1)), FlowKind.ICMP, -1, Defect.NONE),
        (ethernet(ip6(b"\x80\0\0\0", A6, B6, 58), 0x86DD), FlowKind.ICMP, -1, Defect.NONE),
        (ethernet(ip4(b"gre?", A4, B4, 47)), FlowKind.OTHER_IP, 47, Defect.NONE),
        (ethernet(b"\x01" * 40, 0x88B8), FlowKind.OTHER_ETHERNET, 0x88B8, Defect.NONE),
        (ethernet(b"\x42\x42\x03" + bytes(40), 0x0026), FlowKind.OTHER_ETHERNET, -1, Defect.NONE),
        (ethernet(PACKET4, tags=[(0x8100, 1)] * (MAX_VLAN_TAGS + 1)), FlowKind.OTHER_ETHERNET, 0x8100, Defect.NONE),
    ],
)
def test_what_is_not_understood_keeps_its_place(packet: bytes, kind: FlowKind, port: int, defect: Defect) -> None:
    messages, flows = hear_one(packet)
    assert not messages
    assert [(row["kind"], row["port"], row["defect"], row["packets"]) for row in flows] == [(kind, port, defect, 1)]


def test_arp_packets_are_rows_of_their_own() -> None:
    claim = arp(2, "02:00:00:00:00:66", A4, B4)
    messages, flows, _ = hear(batch_of([arp(1, "02:00:00:00:00:01", A4, B4), claim, claim], step=10 * MS))
    assert not len(messages)
    rows = rows_of(flows)
    assert [(row["kind"], row["source"], row["target"], row["from_client"]) for row in rows] == [
        (FlowKind.ARP_REQUEST, A4, B4, 1),
        (FlowKind.ARP_REPLY, A4, B4, 0),
        (FlowKind.ARP_REPLY, A4, B4, 0),
    ]
    assert [row["source_mac"] for row in rows] == ["02:00:00:00:00:01", "02:00:00:00:00:66", "02:00:00:00:00:66"]
    assert {row["target_mac"] for row in rows} == {"ff:ff:ff:ff:ff:ff"}
    assert [row["frame"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(
    ("payload", "port", "protocol"),
    [
        (b"HELF" + struct.pack("<I", 40) + bytes(32), 48010, Protocol.OPCUA),
        (b"\x05\x64\x05\xc9\x01\x00\x00\x00\xde\x8e", 20001, Protocol.DNP3),
        (b"\x05\x64\x05\xc9\x01\x00\x00\x00\xaa\xbb", 20001, Protocol.UNKNOWN),
        (b"\x65\x00\x04\x00" + bytes(24), 44818, Protocol.ENIP),
        (b"\x65\x00\x04\x00" + bytes(24), 44819, Protocol.UNKNOWN),
        (b"\x68\x04\x07\x00\x00\x00", 2404, Protocol.IEC104),
        (b"\x03\x00\x00\x0c\x02\xf0\x80\x32\x01\x00\x00\x00", 102, Protocol.S7COMM),
        (b"\x03\x00\x00\x0c\x02\xf0\x80\x0d\x01\x00\x00\x00", 102, Protocol.MMS),
        (b"GET / HTTP/1.1\r\n\r\n", 80, Protocol.UNKNOWN),
    ],
)
def test_other_protocols_are_recognised(payload: bytes, port: int, protocol: Protocol) -> None:
    messages, flows = hear_one(ethernet(ip4(tcp(payload, 50000, port, 1, 1, PSH | ACK), A4, B4)))
    assert [row["protocol"] for row in messages] == ([protocol] if protocol is Protocol.OPCUA else [])
    assert flows[0]["protocol"] == protocol


def test_datagrams_and_frames_are_recognised() -> None:
    bacnet = ethernet(ip4(udp(b"\x81\x0b\x00\x08\x01\x20\xff\xff", 47808, 47808), A4, B4, 17))
    assert hear_one(bacnet)[1][0]["protocol"] == Protocol.BACNET
    assert hear_one(ethernet(bytes(60), 0x88B8))[1][0]["protocol"] == Protocol.GOOSE


def test_too_short_for_a_header_is_refused_and_counted() -> None:
    _, flows, sensor = hear(batch_of([b"", b"\x00" * 13, ethernet(b"")[:13]]))
    assert not len(flows)
    assert sensor.counts["unreadable"] == 3


def test_a_batch_refuses_packets_that_lie_outside() -> None:
    good = PacketBatch.of([b"abc"], [START])
    columns: dict[str, Any] = {name: getattr(good, name) for name in ("off", "wire", "time", "frame", "link", "vlan", "iface")}
    with pytest.raises(ValueError, match="outside"):
        PacketBatch(octets=good.octets, cap=good.cap + 1, **columns)
