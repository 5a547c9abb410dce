"""The walk over capture records: octets of a pcap or pcapng file in, rows of the packet index out.

Kernels that stop at what they cannot take: at the end of the octets (NEED_MORE), when the rows are full (FULL), at a record whose length
cannot be true (SPOILT), at a block that is no packet (OTHER_BLOCK).  ``state`` says how many rows there are, where the walk stopped
and how many octets the next record needs, and carries the last packet's time to the next walk.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.capture.packets import MAX_PACKET_OCTETS
from collectors.compiled import kernel, natural, prefetch
from collectors.wire.loads import little16, little32, word16, word32
from collectors.wire.modbus.layout import CACHE_LINE_OCTETS
from sentinel.model.time import NS_PER_S

Table = Any

NEED_MORE, FULL, SPOILT, OTHER_BLOCK = 0, 1, 2, 3
_COUNT, _CONSUMED, _WANTED, _LAST_TIME = range(4)

INTERFACE = np.dtype([("link", "i8"), ("snap", "i8"), ("exponent", "i8"), ("is_binary", "i8"), ("offset_s", "i8")], align=True)

_AHEAD_OCTETS = 1024  # behind a record, that are asked for before the walk is there: a small packet, and its header, reach over two lines
_ENHANCED_PACKET, _SIMPLE_PACKET, _OLD_PACKET = 6, 3, 2


class Columns(NamedTuple):
    off: NDArray[np.int64]
    cap: NDArray[np.int32]
    wire: NDArray[np.int32]
    time: NDArray[np.int64]
    link: NDArray[np.uint16]
    iface: NDArray[np.uint16]


class Rows:
    """Output of a walk, used again for each."""

    def __init__(self, packets: int) -> None:
        self.arrays = Columns(
            off=np.zeros(packets, np.int64),
            cap=np.zeros(packets, np.int32),
            wire=np.zeros(packets, np.int32),
            time=np.zeros(packets, np.int64),
            link=np.zeros(packets, np.uint16),
            iface=np.zeros(packets, np.uint16),
        )
        self.untagged = np.zeros(packets, np.uint32)  # a file keeps every VLAN tag in the packet
        self.state = np.zeros(4, np.int64)

    def begin_section(self) -> None:
        """Nothing is known of the times of another one."""
        self.state[_LAST_TIME] = 0

    @property
    def count(self) -> int:
        return int(self.state[_COUNT])

    @property
    def consumed(self) -> int:
        return int(self.state[_CONSUMED])

    @property
    def wanted(self) -> int:
        return int(self.state[_WANTED])


@kernel(inline=True)
def word(octets: Table, at: int, is_big: bool) -> int:
    return word32(octets, at) if is_big else little32(octets, at)


@kernel(inline=True)
def half(octets: Table, at: int, is_big: bool) -> int:
    return word16(octets, at) if is_big else little16(octets, at)


@kernel(inline=True)
def add_row(rows: Any, count: int, off: int, cap: int, wire: int, time: int, link: int, iface: int) -> None:
    row = natural(count)
    rows.off[row] = off
    rows.cap[row] = cap
    rows.wire[row] = min(max(wire, cap), MAX_PACKET_OCTETS)
    rows.time[row] = time
    rows.link[row] = link
    rows.iface[row] = iface


@kernel
def walk_pcap(octets: Table, start: int, end: int, is_big: bool, tick_ns: int, link: int, rows: Any, state: Table) -> int:
    """Records of a pcap file: seconds, fraction, captured length, length on the wire, octets."""
    at, count, status, wanted = start, 0, NEED_MORE, 16
    while end - at >= 16:
        if count >= len(rows.off):
            status = FULL
            break
        prefetch(octets, at, _AHEAD_OCTETS)
        prefetch(octets, at, _AHEAD_OCTETS + CACHE_LINE_OCTETS)
        cap = word(octets, at + 8, is_big)
        if cap > MAX_PACKET_OCTETS:
            status = SPOILT
            break
        if end - at - 16 < cap:
            wanted = 16 + cap
            break
        time = word(octets, at, is_big) * NS_PER_S + word(octets, at + 4, is_big) * tick_ns
        add_row(rows, count, at + 16, cap, word(octets, at + 12, is_big), time, link, 0)
        count += 1
        at += 16 + cap
    state[_COUNT] = count
    state[_CONSUMED] = at
    state[_WANTED] = wanted
    return status


@kernel
def to_ns(high: int, low: int, interface: Table) -> int:
    """A pcapng time stamp in units of the interface's resolution; wraps like any 64-bit counter when it lies."""
    ticks = (high << 32) | low
    n = interface.exponent
    if interface.is_binary:
        whole = ticks >> n
        rest = ticks & ((1 << n) - 1)
        if n > 30:
            rest >>= n - 30
            n = 30
        return (whole + interface.offset_s) * NS_PER_S + ((rest * NS_PER_S) >> n)
    scale = 1
    if n <= 9:
        for _ in range(9 - n):
            scale *= 10
        return ticks * scale + interface.offset_s * NS_PER_S
    for _ in range(n - 9):
        scale *= 10
    return ticks // scale + interface.offset_s * NS_PER_S


@kernel
def walk_pcapng(octets: Table, start: int, end: int, is_big: bool, interfaces: Table, known: int, rows: Any, state: Table) -> int:
    """Packet blocks in a row; a packet of an interface that was never described is one of an unknown link type."""
    at, count, status, wanted = start, 0, NEED_MORE, 12
    while end - at >= 12:
        if count >= len(rows.off):
            status = FULL
            break
        kind = word(octets, at, is_big)
        if kind not in (_ENHANCED_PACKET, _SIMPLE_PACKET, _OLD_PACKET):
            status = OTHER_BLOCK
            break
        size = word(octets, at + 4, is_big)
        least = 16 if kind == _SIMPLE_PACKET else 32
        if size < least or size % 4 != 0 or size > 2 * MAX_PACKET_OCTETS:
            status = SPOILT
            break
        if end - at < size:
            wanted = size
            break
        iface = 0
        if kind == _SIMPLE_PACKET:
            wire = word(octets, at + 8, is_big)
            cap = min(wire, size - 16)
            if known > 0 and interfaces[0].snap > 0:
                cap = min(cap, interfaces[0].snap)
            off, time = at + 12, state[_LAST_TIME]
        else:
            iface = word(octets, at + 8, is_big) if kind == _ENHANCED_PACKET else half(octets, at + 8, is_big)
            cap = word(octets, at + 20, is_big)
            wire = word(octets, at + 24, is_big)
            off = at + 28
            if cap > size - 32:
                status = SPOILT
                break
            time = 0
            if iface < known:
                time = max(0, to_ns(word(octets, at + 12, is_big), word(octets, at + 16, is_big), interfaces[iface]))
            state[_LAST_TIME] = time
        link = interfaces[iface].link if iface < known else 0xFFFF
        add_row(rows, count, off, cap, wire, time, link, min(iface, 0xFFFF))
        count += 1
        at += size
    state[_COUNT] = count
    state[_CONSUMED] = at
    state[_WANTED] = wanted
    return status
