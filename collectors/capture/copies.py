"""One packet heard twice: a mirror port that copies both ends of a conversation, or several VLANs, delivers it within milliseconds again.

A copy has another VLAN tag, another redundancy tag or trailer (PRP, HSR, IEEE 802.1CB), or, behind a router or a relay, other hardware
addresses, hop limit and header checksum.  What it keeps is its
*likeness*: conversation, direction, identification (RFC 791, 3.2), and every octet from the transport layer on.  A retransmission has an
identification of its own, and comes later than any copy (MIRROR_NS).  A copy is counted and changes nothing else; one with another octet is
no copy, and is compared with the first by `streams`.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.tables import FAMILY_IP4, FAMILY_IP6, MIRROR_NS, RECENT_PACKETS
from collectors.compiled import fold, kernel, natural, small64
from collectors.wire.loads import byte, word16
from sentinel.model.protocol import FlowKind

Table = Any
Word = Any  # numpy uint64

FIRST, SAME_PATH, RELAYED = 0, 1, 2

_TCP, _UDP = int(FlowKind.TCP), int(FlowKind.UDP)
_ARP_REQUEST, _ARP_REPLY = int(FlowKind.ARP_REQUEST), int(FlowKind.ARP_REPLY)
_ARP_OCTETS, _IP4_OCTETS, _IP6_OCTETS = 28, 20, 40
_ODD = np.uint64(0x9E3779B97F4A7C15)
_LANE_OCTETS = 16


@kernel(inline=True)
def weigh(keys: Table, lane: int, octets: Table, at: int) -> Word:
    """Sixteen octets as one product (the idea of UMAC's NH, RFC 4418, 5.2.2): each lane has two words of the key for itself."""
    return fold(small64(octets, at) ^ keys[np.uint64(lane)], small64(octets, at + 8) ^ keys[np.uint64(lane + 1)])


@kernel
def weigh_few(keys: Table, octets: Table, at: int, end: int) -> Word:
    """Fewer than sixteen octets."""
    if end - at >= 8:
        return fold(small64(octets, at) ^ keys[0], small64(octets, end - 8) ^ keys[1])
    word = np.uint64(0)
    for place in range(at, end):
        word = (word << np.uint64(8)) | np.uint64(byte(octets, place))
    return fold(word ^ keys[0], keys[1])


@kernel(inline=True)
def digest(keys: Table, value: Word, octets: Table, at: int, end: int) -> Word:
    """Of ``octets[at:end]`` and a value.  Up to 64 octets, most frames, take one road of four products that overlap: nothing to guess
    for the processor, and none waits for another."""
    size = end - at
    if size < _LANE_OCTETS:
        return fold(value ^ np.uint64(size) ^ keys[8], weigh_few(keys, octets, at, end) ^ keys[9])
    last = end - _LANE_OCTETS
    while end - at > 4 * _LANE_OCTETS:
        lanes = weigh(keys, 0, octets, at) + weigh(keys, 2, octets, at + 16) + weigh(keys, 4, octets, at + 32)
        value = fold(value ^ keys[8], (lanes + weigh(keys, 6, octets, at + 48)) ^ keys[9])
        at += 4 * _LANE_OCTETS
    lanes = weigh(keys, 0, octets, min(at, last)) + weigh(keys, 2, octets, min(at + 16, last)) + weigh(keys, 4, octets, min(at + 32, last))
    return fold(value ^ np.uint64(size) ^ keys[8], (lanes + weigh(keys, 6, octets, last)) ^ keys[9])


@kernel
def without_padding(octets: Table, at: int, end: int) -> int:
    """The end without zeros: how much a frame is padded depends on its tags."""
    while end > at and byte(octets, end - 1) == 0:
        end -= 1
    return end


@kernel(inline=True)
def likeness_of(head: Table, octets: Table, network: int, transport: int, end: int, keys: Table) -> Word:
    """Never 0.  ``network`` and ``transport``: where those layers begin, the latter -1 where it was not read."""
    value = head.hash ^ (np.uint64(head.side) << np.uint64(63))
    if head.kind in (_ARP_REQUEST, _ARP_REPLY):
        return digest(keys, head.target_mac, octets, network, network + _ARP_OCTETS) | np.uint64(1)
    if head.family == FAMILY_IP4:  # identification and place among fragments
        value ^= np.uint64(word16(octets, network + 4)) << np.uint64(40) ^ np.uint64(word16(octets, network + 6)) << np.uint64(16)
    if head.kind in (_TCP, _UDP):
        return digest(keys, value, octets, transport, min(end, head.payload + head.payload_cap)) | np.uint64(1)
    at = network
    if transport >= 0:
        at = transport
    elif head.family == FAMILY_IP4:
        at = network + _IP4_OCTETS
    elif head.family == FAMILY_IP6:
        at = network + _IP6_OCTETS
    if head.payload_wire > 0:  # what lies behind an IP packet, padding or a trailer, differs between copies
        total = 0
        if head.family == FAMILY_IP4:
            total = word16(octets, network + 2)
        elif head.family == FAMILY_IP6 and word16(octets, network + 4) > 0:
            total = _IP6_OCTETS + word16(octets, network + 4)
        end = min(end, network + total) if total > 0 else end
    return digest(keys, value, octets, at, without_padding(octets, at, end)) | np.uint64(1)


@kernel(inline=True)
def place_of(head: Table) -> int:
    """Where a packet is remembered, or behind it: two of a kind lie in one cache line."""
    return int(np.int64(head.likeness)) & (RECENT_PACKETS - 2)


@kernel(inline=True)
def weigh_copy(recent: Table, head: Table, time: int) -> int:
    """FIRST, which is remembered; or a copy: SAME_PATH under the hardware addresses of the first, RELAYED under others."""
    path = head.source_mac * _ODD ^ head.target_mac
    at = natural(place_of(head))
    one, older = recent[at], recent[at + 1]
    if one.likeness == head.likeness and abs(time - one.time) <= MIRROR_NS:
        return SAME_PATH if one.path == path else RELAYED
    if older.likeness == head.likeness and abs(time - older.time) <= MIRROR_NS:
        return SAME_PATH if older.path == path else RELAYED
    older.likeness = one.likeness
    older.path = one.path
    older.time = one.time
    one.likeness = head.likeness
    one.path = path
    one.time = time
    return FIRST
