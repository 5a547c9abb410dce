"""What mirror ports and carriers put around packets: opened, nested, cut, in fragments, and what is none."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.capture.packets import PacketBatch
from collectors.capture.tunnels import MAX_DEPTH
from sentinel.model.protocol import Defect, FlowKind
from tests.unit.collectors.capture.frames import ACK, MS, PSH, START, batch_of, ethernet, hear, ip4, ip6, read, registers, rows_of, tcp, udp

A4, B4, MIRROR, SENSOR = "10.0.0.1", "10.0.0.2", "192.0.2.1", "192.0.2.2"
ASKS = ip4(tcp(read(7), 40000, 502, 1, 1, PSH | ACK), A4, B4)
ANSWERS = ip4(tcp(registers(7), 502, 40000, 1, 13, PSH | ACK), B4, A4)


def over_ip(payload: bytes, protocol: int) -> bytes:
    return ethernet(ip4(payload, MIRROR, SENSOR, protocol))


def gre(payload: bytes, kind: int, flags: int = 0) -> bytes:
    optional = bytes(4 * ((flags >> 15 & 1) + (flags >> 13 & 1) + (flags >> 12 & 1)))
    return over_ip(struct.pack(">HH", flags, kind) + optional + payload, 47)


def labels(*numbers: int) -> bytes:
    return b"".join(struct.pack(">I", number << 12 | (at == len(numbers) - 1) << 8 | 64) for at, number in enumerate(numbers))


def over_udp(payload: bytes, port: int) -> bytes:
    return over_ip(udp(payload, 50_000, port), 17)


def vxlan(frame: bytes) -> bytes:
    return over_udp(b"\x08\0\0\0\0\x12\x34\0" + frame, 4789)


def ppp(packet: bytes, kind: int = 0x0021) -> bytes:
    return ethernet(struct.pack(">BBHHH", 0x11, 0, 9, len(packet) + 2, kind) + packet, 0x8864)


def framed(packet: bytes) -> bytes:
    return ethernet(packet, tags=[(0x8100, 7)])


TUNNELS: dict[str, Callable[[bytes], bytes]] = {
    "gre": lambda packet: gre(packet, 0x0800),
    "gre with check sum, key and number": lambda packet: gre(packet, 0x0800, 0xB000),
    "gre bridged": lambda packet: gre(framed(packet), 0x6558, 0x2000),
    "gre over ip 6": lambda packet: ethernet(ip6(struct.pack(">HH", 0, 0x0800) + packet, "fd00::1", "fd00::2", 47), 0x86DD),
    "gre behind options": lambda packet: ethernet(ip4(struct.pack(">HH", 0, 0x0800) + packet, MIRROR, SENSOR, 47, options=bytes(8))),
    "gre behind tags": lambda packet: ethernet(ip4(b"\0\0\x08\0" + packet, MIRROR, SENSOR, 47), tags=[(0x88A8, 3), (0x8100, 4)]),
    "erspan 1": lambda packet: gre(framed(packet), 0x88BE),
    "erspan 2": lambda packet: gre(struct.pack(">HHI", 0x1064, 0x0001, 0) + framed(packet), 0x88BE, 0x1000),
    "erspan 3": lambda packet: gre(struct.pack(">HHIHH", 0x2064, 1, 5, 0, 0) + framed(packet), 0x22EB, 0x1000),
    "erspan 3 with a sub-header": lambda packet: gre(struct.pack(">HHIHHQ", 0x2064, 1, 5, 0, 1, 0) + framed(packet), 0x22EB, 0x1000),
    "erspan 3 of ip": lambda packet: gre(struct.pack(">HHIHH", 0x2064, 1, 5, 0, 2 << 10) + packet, 0x22EB, 0x1000),
    "vxlan": lambda packet: vxlan(framed(packet)),
    "geneve": lambda packet: over_udp(struct.pack(">BBHI", 2, 0, 0x6558, 0x123400) + bytes(8) + framed(packet), 6081),
    "tzsp": lambda packet: over_udp(b"\1\0\0\1" + b"\x0a\1\xd0\0\1" + framed(packet), 37008),
    "mpls": lambda packet: ethernet(labels(16, 17, 18) + packet, 0x8847),
    "mpls pseudowire": lambda packet: ethernet(labels(16) + bytes(4) + framed(packet), 0x8847),
    "mpls over gre": lambda packet: gre(labels(16) + packet, 0x8847),
    "pppoe": ppp,
    "ip in ip": lambda packet: over_ip(packet, 4),
    "vxlan in erspan": lambda packet: gre(struct.pack(">HHI", 0x1064, 1, 0) + vxlan(framed(packet)), 0x88BE, 0x1000),
    "mpls in vxlan in gre": lambda packet: gre(vxlan(ethernet(labels(5) + packet, 0x8847)), 0x6558),
}  # fmt: skip


@pytest.mark.parametrize("name", TUNNELS)
def test_what_a_tunnel_carries_is_heard_like_what_comes_without(name: str) -> None:
    carried = batch_of([TUNNELS[name](ASKS), TUNNELS[name](ANSWERS)])
    messages, flows, sensor = hear(carried)
    plain, _, _ = hear(batch_of([ethernet(ASKS), ethernet(ANSWERS)]))
    assert [messages.pdu(i) for i in range(2)] == [plain.pdu(i) for i in range(2)]
    assert (messages.frame.tolist(), messages.latency.tolist()) == ([1, 2], [-1, MS])
    assert messages.decoded("client") == plain.decoded("client")
    nested = 1 + name.count(" in ") * (name != "ip in ip")
    assert (sensor.counts["tunnels_opened"], sensor.counts["tunnels_unread"]) == (2 * nested, 0)
    assert flows.packets.sum() == 2 * (1 + nested), "who tunnels stays to be seen"


def test_a_packet_without_a_tunnel_is_heard_once() -> None:
    _, flows, sensor = hear(batch_of([ethernet(ASKS), vxlan(framed(ANSWERS)), ethernet(ASKS)]))
    assert (sensor.counts["tunnels_opened"], sensor.counts["duplicates"]) == (1, 1)
    assert flows.packets[flows.kind == FlowKind.TCP].sum() == 2


@given(st.lists(st.sampled_from(sorted(TUNNELS)), max_size=6), st.sets(st.integers(1, 6), max_size=3))
def test_rows_do_not_depend_on_batches(names: list[str], cuts: set[int]) -> None:
    packets = [TUNNELS[name](ASKS if at % 2 else ANSWERS) for at, name in enumerate(names)]
    whole, pieces = hear(batch_of(packets)), hear(batch_of(packets), [min(cut, len(packets)) for cut in cuts])
    assert (rows_of(whole[0]), rows_of(whole[1])) == (rows_of(pieces[0]), rows_of(pieces[1]))


def test_a_mirror_that_cuts_what_it_copies() -> None:
    """An ERSPAN header says so; what is missing is a gap, not a lie of the sender."""
    whole = ip4(tcp(b"".join(read(i) for i in range(8)), 40000, 502, 1, 1, PSH | ACK), A4, B4)
    cut = gre(struct.pack(">HHI", 0x1064, 0x0401, 0) + ethernet(whole)[:100], 0x88BE, 0x1000)
    messages, flows, _ = hear(batch_of([cut, gre(struct.pack(">HHI", 0x1064, 1, 0) + ethernet(ANSWERS), 0x88BE, 0x1000)]))
    assert Defect.TRUNCATED in flows.defect.tolist()
    assert Defect.BAD_LENGTH not in flows.defect.tolist()
    assert messages.pdu(0) == read(0)[7:]


def fragments(packet: bytes, protocol: int, size: int, source: str, target: str, name: int) -> list[bytes]:
    parts = []
    for start in range(0, len(packet), size):
        part = bytearray(ip4(packet[start : start + size], source, target, protocol, flags=start // 8 | (start + size < len(packet)) << 13))
        part[4:6] = name.to_bytes(2, "big")
        parts.append(bytes(part))
    return parts


def test_a_mirror_in_fragments() -> None:
    """A mirrored frame of full size does not fit the mirror's own network."""
    around = b"\x10\0\x88\xbe" + bytes(4) + struct.pack(">HHI", 0x1064, 1, 0)
    packets = [
        ethernet(part) for at, one in enumerate((ASKS, ANSWERS)) for part in fragments(around + ethernet(one), 47, 32, MIRROR, SENSOR, at)
    ]
    messages, _, sensor = hear(batch_of(packets))
    assert [messages.pdu(i) for i in range(len(messages))] == [read(7)[7:], registers(7)[7:]]
    assert (sensor.counts["datagrams_joined"], sensor.counts["tunnels_opened"]) == (2, 2)


def test_fragments_in_a_mirror_and_a_tunnel_in_these() -> None:
    inside = [
        part
        for at, one in enumerate((ASKS, ANSWERS))
        for part in fragments(b"\0\0\x08\0" + one, 47, 24, "198.51.100.1", "198.51.100.2", at)
    ]
    messages, _, sensor = hear(batch_of([vxlan(ethernet(part)) for part in inside]))
    assert [messages.pdu(i) for i in range(len(messages))] == [read(7)[7:], registers(7)[7:]]
    assert sensor.counts["tunnels_opened"] == len(inside) + 2


def test_an_endless_tunnel_ends() -> None:
    packet = ASKS
    for _ in range(20):
        packet = ip4(packet, MIRROR, SENSOR, 4)
    messages, _, sensor = hear(batch_of([ethernet(packet)]))
    assert (len(messages), sensor.counts["tunnels_opened"]) == (0, MAX_DEPTH)


NONE = {
    "gre 1": over_ip(b"\x30\x01\x88\x0b" + bytes(60), 47),
    "gre with a route": over_ip(b"\x40\0\x08\0" + bytes(60), 47),
    "gre of something else": gre(bytes(60), 0x809B),
    "gre cut": over_ip(b"\0\0", 47),
    "vxlan without a network": over_udp(bytes(60), 4789),
    "geneve 1": over_udp(b"\x40\0\x65\x58" + bytes(60), 6081),
    "tzsp that keeps alive": over_udp(b"\1\4\0\1\1", 37008),
    "tzsp without an end": over_udp(b"\1\0\0\1" + bytes(60), 37008),
    "labels without an end": ethernet(bytes(60), 0x8847),
    "labels before something else": ethernet(labels(16) + b"\x90" + bytes(60), 0x8847),
    "ppp of its own control": ppp(bytes(60), 0xC021),
}


@pytest.mark.parametrize("name", NONE)
def test_what_cannot_be_opened_is_counted(name: str) -> None:
    messages, flows, sensor = hear(batch_of([NONE[name]]))
    assert (len(messages), len(flows)) == (0, 1)
    assert (sensor.counts["tunnels_opened"], sensor.counts["tunnels_unread"]) == (0, 1)


@given(st.sampled_from(sorted(TUNNELS)), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4), st.integers(14, 200))
def test_any_octets_within_tunnels(name: str, changes: list[tuple[int, int]], size: int) -> None:
    packet = bytearray(TUNNELS[name](ASKS))
    for at, octet in changes:
        packet[at % len(packet)] = octet
    cut = bytes(packet[:size])
    batch = PacketBatch.of([cut, bytes(packet)], [START, START + MS])
    batch.wire[0] = len(packet)
    hear(batch)
