"""Packets that others carry: heads of a batch in, those heads with one more behind each tunnel packet out, for what it carries.

Mirror ports deliver what they hear in ERSPAN (draft-foschiano-erspan), VXLAN (RFC 7348), GENEVE (RFC 8926), TZSP or plain GRE (RFC 2784,
2890); carriers and sites between them use MPLS (RFC 3032, pseudowires by RFC 4385), PPPoE (RFC 2516) and IP in IP (RFC 2003, 4213).
The packet that carries stays a row of its own, so that who tunnels is seen; what it carries has its frame and time.  A tunnel within a
tunnel is opened MAX_DEPTH deep.  Conversations are told apart by their own addresses, not by the tunnel they came in.
An ordinary packet costs one look at its head.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from collections.abc import Callable
from typing import Any

import numpy as np

from collectors.capture.decode import decode, read_ip4, read_ip6, read_link
from collectors.capture.packets import DTYPES, ETHERNET, MAX_PACKET_OCTETS, RAW, PacketBatch
from collectors.capture.tables import BATCH_PACKETS, HEAD, NO_MAC
from collectors.compiled import Words, kernel
from collectors.wire.loads import byte, word16
from sentinel.model.observation import U1
from sentinel.model.protocol import Defect, FlowKind

Records = Any
Join = Callable[[Records, PacketBatch, int, int], U1]

MAX_DEPTH = 4  # a mirror of an overlay that carries a pseudowire needs three
MAX_LABELS = 8
MAX_TAGS = 32  # of TZSP
_UDP, _OTHER_IP, _OTHER_ETHERNET = int(FlowKind.UDP), int(FlowKind.OTHER_IP), int(FlowKind.OTHER_ETHERNET)
_NONE, _TRUNCATED = int(Defect.NONE), int(Defect.TRUNCATED)
_IP_IN_IP, _IP6_IN_IP, _GRE = 4, 41, 47  # IP protocols
_IP4, _IP6, _BRIDGED = 0x0800, 0x86DD, 0x6558
_MPLS, _MPLS_GROUP, _PPPOE = 0x8847, 0x8848, 0x8864
_ERSPAN_2, _ERSPAN_3 = 0x88BE, 0x22EB  # of type I as well
_VXLAN, _VXLAN_OLD, _GENEVE, _TZSP = 4789, 8472, 6081, 37008  # UDP ports; the second is what Linux takes unless told otherwise
_PPP_IP4, _PPP_IP6, _PPP_MPLS = 0x0021, 0x0057, 0x0281
NOTHING = -1


@kernel
def find_tunnels(heads: Records, count: int, places: Any) -> int:
    """How many of ``heads[:count]`` may carry a packet; ``places`` says which."""
    found = 0
    for i in range(count):
        head = heads[i]
        if head.kind == _UDP:
            carries = head.target_port in (_VXLAN, _VXLAN_OLD, _GENEVE, _TZSP)
        elif head.kind == _OTHER_IP:
            carries = head.proto in (_IP_IN_IP, _IP6_IN_IP, _GRE)
        else:
            carries = head.kind == _OTHER_ETHERNET and head.proto in (_MPLS, _MPLS_GROUP, _PPPOE)
        if carries and head.defect in (_NONE, _TRUNCATED):
            places[found] = i
            found += 1
    return found


@kernel
def behind_labels(octets: Any, at: int, end: int) -> tuple[int, int]:
    """(where it begins, link type) of what an MPLS label stack carries; (NOTHING, 0) = it does not say."""
    for _ in range(MAX_LABELS):
        if end - at < 5:
            return NOTHING, 0
        is_last = byte(octets, at + 2) & 1
        at += 4
        if is_last:
            first = byte(octets, at) >> 4
            if first == 0:  # a control word, as pseudowires have it
                return at + 4, ETHERNET
            return (at, RAW) if first in (4, 6) else (NOTHING, 0)
    return NOTHING, 0


@kernel
def behind_gre(octets: Any, at: int, end: int) -> tuple[int, int]:
    """As `behind_labels`, of a GRE packet."""
    if end - at < 4:
        return NOTHING, 0
    flags, kind = word16(octets, at), word16(octets, at + 2)
    if flags & 0x4007:  # source routes, other versions
        return NOTHING, 0
    at += 4 + 4 * (flags >> 15 & 1) + 4 * (flags >> 13 & 1) + 4 * (flags >> 12 & 1)
    if kind in (_IP4, _IP6):
        return at, RAW
    if kind == _BRIDGED:
        return at, ETHERNET
    if kind in (_MPLS, _MPLS_GROUP):
        return behind_labels(octets, at, end)
    if kind == _ERSPAN_2:
        return (at + 8 if flags & 0x1000 else at), ETHERNET  # type I has neither number nor header
    if kind == _ERSPAN_3 and end - at >= 12:
        says = word16(octets, at + 10)
        return at + (20 if says & 1 else 12), RAW if says >> 10 & 31 == 2 else ETHERNET
    return NOTHING, 0


@kernel
def is_shortened(octets: Any, at: int, end: int) -> bool:
    """Does an ERSPAN header say that the mirror cut the packet?"""
    if end - at < 4 or word16(octets, at + 2) not in (_ERSPAN_2, _ERSPAN_3):
        return False
    flags = word16(octets, at)
    if word16(octets, at + 2) == _ERSPAN_2 and not flags & 0x1000:
        return False
    at += 4 + 4 * (flags >> 15 & 1) + 4 * (flags >> 13 & 1) + 4 * (flags >> 12 & 1)
    return end - at >= 4 and byte(octets, at + 2) & 4 != 0


@kernel
def behind_ports(octets: Any, at: int, end: int, port: int) -> tuple[int, int]:
    """As `behind_labels`, of a datagram to ``port``."""
    if end - at < 8:
        return NOTHING, 0
    if port in (_VXLAN, _VXLAN_OLD):
        return (at + 8, ETHERNET) if byte(octets, at) & 0x08 and byte(octets, at + 7) == 0 else (NOTHING, 0)
    if port == _GENEVE:
        kind, behind = word16(octets, at + 2), at + 8 + 4 * (byte(octets, at) & 0x3F)
        if byte(octets, at) >> 6 or kind not in (_BRIDGED, _IP4, _IP6):
            return NOTHING, 0
        return behind, ETHERNET if kind == _BRIDGED else RAW
    if byte(octets, at) != 1 or byte(octets, at + 1) > 1 or word16(octets, at + 2) != 1:  # TZSP of Ethernet
        return NOTHING, 0
    at += 4
    for _ in range(MAX_TAGS):
        if end - at < 2:
            break
        tag = byte(octets, at)
        if tag == 1:
            return at + 1, ETHERNET
        at += 1 if tag == 0 else 2 + byte(octets, at + 1)
    return NOTHING, 0


@kernel
def behind_session(octets: Any, at: int, end: int) -> tuple[int, int]:
    """As `behind_labels`, of a PPPoE session."""
    if end - at < 8 or word16(octets, at) != 0x1100:
        return NOTHING, 0
    kind = word16(octets, at + 6)
    if kind == _PPP_MPLS:
        return behind_labels(octets, at + 8, end)
    return (at + 8, RAW) if kind in (_PPP_IP4, _PPP_IP6) else (NOTHING, 0)


@kernel
def open_tunnels(
    heads: Records, scratch: Records, octets: Any, places: Any, found: int, caps: Any, links: Any, off: Any, cap: Any, wire: Any, link: Any
) -> int:
    """Of ``found`` heads that may carry a packet, those that do: their ``places``, and where the packet lies, in ``off`` to ``link``.

    ``caps`` and ``links`` are of the packets that carry, one for each of ``heads``.
    """
    opened = 0
    for which in range(found):
        i = places[which]
        head = heads[i]
        at, size, protocol = head.payload, head.payload_wire, head.proto
        end = at + head.payload_cap
        if head.kind == _OTHER_IP:  # its head says where the packet begins, not where what it carries does
            stop = at + caps[i]
            network, kind = read_link(scratch[0], octets, at, stop, links[i])
            far = at + MAX_PACKET_OCTETS
            if kind == _IP4:
                at, size, protocol = read_ip4(scratch[0], octets, network, stop, far)
            else:
                at, size, protocol = read_ip6(scratch[0], octets, network, stop, far)
            end = min(stop, at + size)
        inner, form, is_cut = at, RAW, False
        if head.kind == _UDP:
            inner, form = behind_ports(octets, at, end, head.target_port)
        elif head.kind == _OTHER_ETHERNET:
            if protocol == _PPPOE:
                inner, form = behind_session(octets, at, end)
            else:
                inner, form = behind_labels(octets, at, end)
        elif protocol == _GRE and at >= 0:
            inner, form = behind_gre(octets, at, end)
            is_cut = is_shortened(octets, at, end)
        if inner < 0 or inner >= end:
            continue
        places[opened] = i
        off[opened] = inner
        cap[opened] = end - inner
        wire[opened] = MAX_PACKET_OCTETS if is_cut else max(end, at + size) - inner
        link[opened] = form
        opened += 1
    return opened


class Tunnels:
    """``join`` puts fragments together, as `fragments.Reassembler` does."""

    def __init__(self, keys: Any, join: Join) -> None:
        self._keys, self._join = Words(keys), join
        self._places = np.zeros(BATCH_PACKETS, np.int64)
        self._scratch: Records = np.zeros(1, HEAD)
        self._scratch["source_mac"] = self._scratch["target_mac"] = NO_MAC
        self.counts = dict.fromkeys(("tunnels_opened", "tunnels_unread"), 0)

    def find(self, heads: Records | Words, count: int) -> int:
        """How many of ``heads[:count]`` may carry a packet: what `opened` is to be asked about."""
        return find_tunnels(heads, count, self._places)

    def opened(self, heads: Records, octets: U1, batch: PacketBatch, first: int, count: int) -> tuple[Records, U1, Any]:
        """(heads with those of carried packets among them, the octets in which they lie, for each its packet's place in ``batch``), of
        ``heads[:count]``, the packets ``first`` on."""
        parts, rows = [heads[:count].copy()], [np.arange(first, first + count)]
        outer, base = batch.slice(first, first + count), 0
        for _ in range(MAX_DEPTH):
            found = self.find(parts[-1], len(parts[-1]))
            if not found:
                break
            carried, places = self._carried(parts[-1], octets, found, outer, base)
            if not len(carried):
                break
            inner: Records = np.zeros(len(carried), HEAD)
            fragments, _, _ = decode(Words(inner), Words(carried.columns), 0, len(carried), self._keys)
            base = 0
            if fragments and (whole := self._join(inner, carried, 0, len(carried))) is not octets:
                base = len(octets)
                inner["payload"] += base
                octets = np.concatenate([octets, whole])
            rows.append(rows[-1][places])
            parts.append(inner)
            outer = carried
        order = np.argsort(np.concatenate(rows), kind="stable")
        return np.concatenate(parts)[order], octets, np.concatenate(rows)[order]

    def _carried(self, heads: Records, octets: U1, found: int, outer: PacketBatch, base: int) -> tuple[PacketBatch, Any]:
        """What ``found`` of ``heads``, the packets of ``outer``, carry, and in which of them it lies."""
        caps, links = outer.cap, outer.link
        if octets is not outer.octets:  # datagrams that were put together lie behind the packets
            joined = heads["payload"] >= base + int((outer.off + caps).max() - outer.off.min())
            caps, links = np.where(joined, len(octets) - heads["payload"], caps), np.where(joined, RAW, links)
        lies: dict[str, Any] = {name: np.zeros(found, DTYPES[name]) for name in ("off", "cap", "wire", "link")}
        wide = caps.astype(np.int64), links.astype(np.int64)
        count = open_tunnels(heads, self._scratch, octets, self._places, found, *wide, *lies.values())
        self.counts["tunnels_opened"] += count
        self.counts["tunnels_unread"] += found - count
        places = self._places[:count].copy()
        return PacketBatch(
            octets=octets,
            **{name: column[:count] for name, column in lies.items()},
            **{name: getattr(outer, name)[places] for name in ("time", "frame", "vlan", "iface")},
        ), places
