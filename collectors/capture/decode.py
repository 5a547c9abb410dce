"""Link layer to transport layer, one record per packet; stateless.

Nothing is believed that the captured octets do not hold: every read is guarded by the end of the capture, header lengths and total
lengths are held against it, chains of VLAN tags and IPv6 extension headers are bounded.  What contradicts itself keeps the kind as far
down as it could be understood, a defect, and no payload.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.copies import likeness_of
from collectors.capture.flows import hash_key
from collectors.capture.packets import ETHERNET, IPV4, IPV6, LINUX_SLL, LINUX_SLL2, LOOP, NULL, RAW
from collectors.capture.tables import FAMILY_IP4, FAMILY_IP6, FAMILY_MAC, MAX_EXTENSION_HEADERS, MAX_VLAN_TAGS, NO_MAC, UNREADABLE
from collectors.compiled import kernel
from collectors.wire.announced import BACNET_PORT, ENIP_PORT
from collectors.wire.loads import byte, word16, word32, word64
from collectors.wire.modbus.layout import SEGMENT_OCTETS
from sentinel.model.protocol import Defect, FlowKind

Table = Any

_TCP, _UDP, _ICMP = int(FlowKind.TCP), int(FlowKind.UDP), int(FlowKind.ICMP)
_ARP_REQUEST, _ARP_REPLY = int(FlowKind.ARP_REQUEST), int(FlowKind.ARP_REPLY)
_OTHER_IP, _OTHER_ETHERNET = int(FlowKind.OTHER_IP), int(FlowKind.OTHER_ETHERNET)
_TRUNCATED, _BAD_LENGTH, _FRAGMENT = int(Defect.TRUNCATED), int(Defect.BAD_LENGTH), int(Defect.FRAGMENT)

_IP4, _IP6, _ARP = 0x0800, 0x86DD, 0x0806
_VLAN, _QINQ, _QINQ_OLD = 0x8100, 0x88A8, 0x9100
_HSR, _R_TAG = 0x892F, 0xF1C1  # IEC 62439-3, 5.7; IEEE 802.1CB, 7.8: four octets each, the type behind them
_PRP, _RCT_OCTETS = 0x88FB, 6  # the redundancy control trailer (IEC 62439-3, 4.1.10)
_FIRST_ETHERTYPE = 0x0600  # below it the field is a length (IEEE 802.3, 3.2.6)
_UNKNOWN_TYPE = -1


@kernel(inline=True)
def word48(octets: Table, at: int) -> Any:
    """Read as eight octets: behind a hardware address there are always two more."""
    return word64(octets, at) >> np.uint64(16)


@kernel(inline=True)
def read_link(head: Table, octets: Table, at: int, end: int, link: int) -> tuple[int, int]:
    """(where the network layer begins, its Ethernet type); (-1, -1) where there is none."""
    if link == ETHERNET:
        if end - at < 14:
            return -1, _UNKNOWN_TYPE
        head.target_mac = word48(octets, at)
        head.source_mac = word48(octets, at + 6)
        kind = word16(octets, at + 12)
        at += 14
    elif link == LINUX_SLL:
        if end - at < 16:
            return -1, _UNKNOWN_TYPE
        if word16(octets, at + 4) == 6:
            head.source_mac = word48(octets, at + 6)
        kind = word16(octets, at + 14)
        at += 16
    elif link == LINUX_SLL2:
        if end - at < 20:
            return -1, _UNKNOWN_TYPE
        if byte(octets, at + 11) == 6:
            head.source_mac = word48(octets, at + 12)
        kind = word16(octets, at)
        at += 20
    elif link in (NULL, LOOP):
        if end - at < 4:
            return -1, _UNKNOWN_TYPE
        family = max(byte(octets, at), byte(octets, at + 3))  # the writer's byte order is not known; families are small
        at += 4
        if family == 2:
            return at, _IP4
        return (at, _IP6) if family in (10, 24, 28, 30) else (-1, _UNKNOWN_TYPE)
    elif link in (RAW, 12, 14, IPV4, IPV6):
        if end - at < 1:
            return -1, _UNKNOWN_TYPE
        version = byte(octets, at) >> 4
        if version == 4:
            return at, _IP4
        return (at, _IP6) if version == 6 else (-1, _UNKNOWN_TYPE)
    else:
        return -1, _UNKNOWN_TYPE
    for _ in range(MAX_VLAN_TAGS):
        if kind in (_VLAN, _QINQ, _QINQ_OLD):
            if end - at < 4:
                return -1, _UNKNOWN_TYPE
            kind = word16(octets, at + 2)
            at += 4
        elif kind in (_HSR, _R_TAG):
            if end - at < 6:
                return -1, _UNKNOWN_TYPE
            kind = word16(octets, at + 4)
            at += 6
        else:
            break
    return at, kind


@kernel
def has_trailer(octets: Table, at: int, end: int) -> bool:
    """Does PRP's trailer end the frame, whose payload begins ``at``?  It names one of the two networks and the octets of the payload."""
    if end - at < _RCT_OCTETS or word16(octets, end - 2) != _PRP:
        return False
    says = word16(octets, end - 4)
    return says >> 12 in (0xA, 0xB) and says & 0xFFF == end - at


@kernel
def is_redundant(octets: Table, at: int, end: int, link: int) -> bool:
    """Does the frame in ``octets[at:end]`` say that a network sends it along two paths?"""
    if link != ETHERNET:
        return False
    at += 12
    for _ in range(MAX_VLAN_TAGS):
        if end - at < 2:
            return False
        kind = word16(octets, at)
        if kind in (_HSR, _R_TAG):
            return True
        if kind not in (_VLAN, _QINQ, _QINQ_OLD):
            break
        at += 4
    return has_trailer(octets, at + 2, end)


@kernel
def read_arp(head: Table, octets: Table, at: int, end: int) -> bool:
    """Ethernet and IPv4 only (RFC 826); anything else stays an Ethernet frame of type 0806."""
    if end - at < 28 or word32(octets, at) != 0x00010800 or word16(octets, at + 4) != 0x0604:
        return False
    operation = word16(octets, at + 6)
    if operation not in (1, 2):
        return False
    head.kind = _ARP_REQUEST if operation == 1 else _ARP_REPLY
    head.family = FAMILY_IP4
    head.source_mac = word48(octets, at + 8)
    head.source_lo = np.uint64(word32(octets, at + 14))
    head.target_lo = np.uint64(word32(octets, at + 24))
    head.proto = -1
    return True


@kernel(inline=True)
def read_ip4(head: Table, octets: Table, at: int, end: int, wire_end: int) -> tuple[int, int, int]:
    """(transport offset, its octets on the wire, IP protocol); the offset is -1 where there is no transport layer to read."""
    if end - at < 20 or byte(octets, at) >> 4 != 4:
        return -1, 0, -1
    size = (byte(octets, at) & 15) * 4
    total = word16(octets, at + 2)
    head.kind = _OTHER_IP
    head.family = FAMILY_IP4
    head.source_lo = np.uint64(word32(octets, at + 12))
    head.target_lo = np.uint64(word32(octets, at + 16))
    protocol = byte(octets, at + 9)
    head.proto = protocol
    if total == 0:  # segmentation offload: the sending machine captured before the length was known
        total = wire_end - at
    if size < 20 or total < size or at + total > wire_end:
        head.defect = _BAD_LENGTH
        return -1, 0, protocol
    head.payload_wire = total - size
    if word16(octets, at + 6) & 0x3FFF:
        head.defect = _FRAGMENT
        head.payload = at
        return -1, 0, protocol
    if end - at < size:
        head.defect = _TRUNCATED
        return -1, 0, protocol
    return at + size, total - size, protocol


@kernel
def read_ip6(head: Table, octets: Table, at: int, end: int, wire_end: int) -> tuple[int, int, int]:
    """As `read_ip4`; walks at most MAX_EXTENSION_HEADERS (RFC 8200, 4)."""
    if end - at < 40 or byte(octets, at) >> 4 != 6:
        return -1, 0, -1
    total = word16(octets, at + 4)
    protocol = byte(octets, at + 6)
    head.kind = _OTHER_IP
    head.family = FAMILY_IP6
    head.source_hi = word64(octets, at + 8)
    head.source_lo = word64(octets, at + 16)
    head.target_hi = word64(octets, at + 24)
    head.target_lo = word64(octets, at + 32)
    head.proto = protocol
    at += 40
    if total == 0:
        total = wire_end - at
    if at + total > wire_end:
        head.defect = _BAD_LENGTH
        return -1, 0, protocol
    stop = at + total
    head.payload_wire = total
    for _ in range(MAX_EXTENSION_HEADERS):
        if protocol not in (0, 43, 44, 51, 60, 135, 139, 140):
            return at, stop - at, protocol
        if end - at < 8:
            head.defect = _TRUNCATED
            return -1, 0, protocol
        if protocol == 44 and word16(octets, at + 2) & 0xFFF9:
            head.proto = byte(octets, at)
            head.defect = _FRAGMENT
            head.payload = at
            return -1, 0, protocol
        size = 8
        if protocol == 51:
            size = (byte(octets, at + 1) + 2) * 4
        elif protocol != 44:
            size = (byte(octets, at + 1) + 1) * 8
        protocol = byte(octets, at)
        head.proto = protocol
        at += size
        if at > stop:
            head.defect = _BAD_LENGTH
            return -1, 0, protocol
        head.payload_wire = stop - at
    head.defect = _BAD_LENGTH  # a chain that long serves nobody but an evader
    return -1, 0, protocol


@kernel(inline=True)
def read_transport(head: Table, octets: Table, at: int, size: int, end: int, protocol: int) -> None:
    """``size`` octets on the wire from ``at`` on, captured up to ``end``."""
    if protocol == 6:
        if size < 20 or end - at < 20:
            head.defect = _BAD_LENGTH if size < 20 else _TRUNCATED
            return
        header = (byte(octets, at + 12) >> 4) * 4
        if header < 20 or header > size:
            head.defect = _BAD_LENGTH
            return
        head.kind = _TCP
        head.seq = word32(octets, at + 4)
        head.ack = word32(octets, at + 8)
        head.flags = byte(octets, at + 13)
    elif protocol == 17:
        if size < 8 or end - at < 8:
            head.defect = _BAD_LENGTH if size < 8 else _TRUNCATED
            return
        header = 8
        length = word16(octets, at + 4)
        if length != 0:
            if length < 8 or length > size:
                head.defect = _BAD_LENGTH
                return
            size = length
        head.kind = _UDP
    elif protocol in (1, 58):
        head.kind = _ICMP
        head.proto = -1
        return
    else:
        return
    head.proto = -1
    head.source_port = word16(octets, at)
    head.target_port = word16(octets, at + 2)
    head.payload = at + header
    head.payload_wire = size - header
    head.payload_cap = max(0, min(end - at - header, size - header, SEGMENT_OCTETS))  # only offload without a length has more
    if head.payload_cap < head.payload_wire:
        head.defect = _TRUNCATED


@kernel(inline=True)
def place(head: Table, keys: Table) -> None:
    """Which conversation, and which side of it.  Without a branch: nobody can guess which side sends next."""
    source_hi, source_lo, source_port = head.source_hi, head.source_lo, head.source_port
    target_hi, target_lo, target_port = head.target_hi, head.target_lo, head.target_port
    is_b = (source_hi > target_hi) | (
        (source_hi == target_hi) & ((source_lo > target_lo) | ((source_lo == target_lo) & (source_port > target_port)))
    )
    swap = np.uint64(0) - np.uint64(is_b)
    hi, lo, port = (source_hi ^ target_hi) & swap, (source_lo ^ target_lo) & swap, np.uint64(source_port ^ target_port) & swap
    head.side = np.uint8(is_b)
    head.hash = hash_key(
        keys,
        source_hi ^ hi,
        source_lo ^ lo,
        np.uint64(source_port) ^ port,
        target_hi ^ hi,
        target_lo ^ lo,
        np.uint64(target_port) ^ port,
        head.kind,
        head.proto,
    )


@kernel
def decode(heads: Table, packets: Any, first: int, count: int, keys: Table) -> tuple[int, int, int]:
    """Fill ``heads[:count]`` from ``packets`` (`collectors.capture.packets.Packets`) ``first`` on.

    How many are fragments, whose ``payload`` is the header that says so; how many come from a port on which devices announce themselves;
    how many are no TCP segments, among which may be what carries a packet.
    """
    fragments, announcing, others, octets = 0, 0, 0, packets.octets
    for i in range(count):
        head = heads[i]
        row = np.uint64(first + i)
        at = packets.off[row]
        end = at + packets.cap[row]
        wire_end = at + max(packets.wire[row], packets.cap[row])
        head.source_hi = np.uint64(0)
        head.source_lo = np.uint64(0)
        head.target_hi = np.uint64(0)
        head.target_lo = np.uint64(0)
        head.source_mac = NO_MAC
        head.target_mac = NO_MAC
        head.seq = 0
        head.ack = 0
        head.payload = at
        head.payload_cap = 0
        head.payload_wire = 0
        head.source_port = 0
        head.target_port = 0
        head.proto = -1
        head.flags = 0
        head.likeness = np.uint64(0)
        head.kind = UNREADABLE
        head.family = 0
        head.defect = 0
        head.flow = 0
        network, kind = read_link(head, octets, at, end, packets.link[row])
        if network < 0:
            continue
        transport, size, protocol = -1, 0, -1
        if kind == _IP4:
            transport, size, protocol = read_ip4(head, octets, network, end, wire_end)
        elif kind == _IP6:
            transport, size, protocol = read_ip6(head, octets, network, end, wire_end)
        elif kind == _ARP:
            read_arp(head, octets, network, end)
        if transport >= 0:
            read_transport(head, octets, transport, size, end, protocol)
            if head.source_port in (ENIP_PORT, BACNET_PORT):
                announcing += 1
        elif head.kind == UNREADABLE:
            head.kind = _OTHER_ETHERNET
            head.family = FAMILY_MAC
            head.source_lo = head.source_mac
            head.target_lo = head.target_mac
            head.proto = kind if kind >= _FIRST_ETHERTYPE else -1
            if wire_end == end and has_trailer(octets, network, end):  # not of IP, whose own length says where it ends
                end -= _RCT_OCTETS
                wire_end = end
            head.payload_wire = wire_end - network
            head.payload = network
            head.payload_cap = end - network
            if kind in (_IP4, _IP6):
                head.defect = _BAD_LENGTH
        elif head.defect == _FRAGMENT:
            fragments += 1
        others += head.kind != _TCP
        place(head, keys)
        head.likeness = likeness_of(head, octets, network, transport, end, keys)
    return fragments, announcing, others
