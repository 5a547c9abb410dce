"""The packet index: the one interface at which every source of packets meets the kernels."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentinel.model.observation import I4, I8, U1, U2

U4 = NDArray[np.uint32]

# Link types (www.tcpdump.org/linktypes.html) that are understood.
NULL, ETHERNET, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2 = 0, 1, 101, 108, 113, 228, 229, 276
RAW_ALIASES = (12, 14)  # DLT_RAW of some systems, written as it is
LINK_TYPES = (NULL, ETHERNET, RAW, LOOP, LINUX_SLL, IPV4, IPV6, LINUX_SLL2, *RAW_ALIASES)

MAX_PACKET_OCTETS = 262_144  # no capture library writes longer records; a longer one is a lie


class Packets(NamedTuple):
    """What kernels read of a batch."""

    octets: U1
    off: I8
    cap: I4
    wire: I4
    time: I8
    frame: I8
    link: U2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PacketBatch:
    """Packets in the order in which they were captured; ``octets`` holds all of them, one array has an entry per packet each.

    ``octets`` must be writable and contiguous (so that kernels are compiled once), ``off + cap`` must lie within it: ValueError.
    """

    octets: U1
    off: I8  # of the packet's first octet
    cap: I4  # captured octets
    wire: I4  # octets on the wire
    time: I8  # ns UTC
    frame: I8  # ordinal in the source, from 1
    link: U2  # link type
    vlan: U4  # outer tag that the kernel took off: TPID << 16 | TCI; 0 = none
    iface: U2

    def __post_init__(self) -> None:
        if self.octets.dtype != np.uint8 or not (self.octets.flags.writeable and self.octets.flags.c_contiguous):
            raise ValueError("PacketBatch.octets must be writable, contiguous octets")
        columns: dict[str, Any] = {name: getattr(self, name) for name in DTYPES}
        for name, array in columns.items():
            if array.dtype != DTYPES[name] or array.shape != self.off.shape or not array.flags.c_contiguous:
                raise ValueError(f"PacketBatch.{name} must be contiguous {DTYPES[name]}, one per packet")
        if len(self.off) and (self.off.min() < 0 or self.cap.min() < 0 or (self.off + self.cap).max() > len(self.octets)):
            raise ValueError("PacketBatch: a packet lies outside of the octets")

    def __len__(self) -> int:
        return len(self.off)

    @property
    def columns(self) -> Packets:
        return Packets(self.octets, self.off, self.cap, self.wire, self.time, self.frame, self.link)

    def slice(self, start: int, end: int) -> "PacketBatch":
        return PacketBatch(octets=self.octets, **{name: getattr(self, name)[start:end] for name in DTYPES})

    @classmethod
    def of(cls, packets: list[bytes], times: list[int], *, link: int = ETHERNET, first_frame: int = 1) -> "PacketBatch":
        """From whole packets, as a test or a stored excerpt has them."""
        sizes = np.array([len(packet) for packet in packets], np.int32)
        count = len(packets)
        return cls(
            octets=np.frombuffer(bytearray(b"".join(packets)), np.uint8),
            off=np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])[:count].copy(),
            cap=sizes,
            wire=sizes.copy(),
            time=np.array(times, np.int64),
            frame=np.arange(first_frame, first_frame + count, dtype=np.int64),
            link=np.full(count, link, np.uint16),
            vlan=np.zeros(count, np.uint32),
            iface=np.zeros(count, np.uint16),
        )


DTYPES: dict[str, Any] = {
    "off": np.dtype("i8"),
    "cap": np.dtype("i4"),
    "wire": np.dtype("i4"),
    "time": np.dtype("i8"),
    "frame": np.dtype("i8"),
    "link": np.dtype("u2"),
    "vlan": np.dtype("u4"),
    "iface": np.dtype("u2"),
}
