"""Packets as pcapng (draft-ietf-opsawg-pcapng): the blocks of a whole batch by a kernel, those of an excerpt one by one with comments.

Little-endian, times in nanoseconds.  A VLAN tag that the kernel took off stands again where it stood: behind the two addresses.
"""

# mypy: disable-error-code="no-any-return"
# Tables are numpy arrays of machine words, which have no static types; the compiler infers and checks the real ones.

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from collectors.capture.packets import MAX_PACKET_OCTETS, PacketBatch
from collectors.compiled import kernel, move

BLOCK_OCTETS = 32  # of an enhanced packet block, beside the packet
_TAG_OCTETS, _MACS_OCTETS = 4, 12
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_UNKNOWN_LENGTH = (1 << 64) - 1
_COMMENT, _USER_APPLICATION, _NAME, _RESOLUTION = 1, 4, 2, 9
_NANOSECONDS = 9
_MAX_TEXT_OCTETS = 4096
_HEAD = struct.Struct("<II")
_NAME_AT = 16  # of an interface block: its options

Interfaces = Sequence[tuple[str, int]]  # name and link type, by number


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    frame: int  # ordinal in its source
    time: int  # ns UTC
    wire: int  # octets on the wire
    interface: tuple[str, int]  # name and link type
    octets: bytes
    note: str = ""  # what was done to it


def section(comment: str = "") -> bytes:
    body = struct.pack("<IHHQ", _BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH)
    return _block(_SECTION, body + _options((_COMMENT, comment.encode()), (_USER_APPLICATION, b"Sentinel")))


def interface(name: str, link: int) -> bytes:
    body = struct.pack("<HHI", link, 0, MAX_PACKET_OCTETS)
    return _block(_INTERFACE, body + _options((_NAME, name.encode()), (_RESOLUTION, bytes([_NANOSECONDS]))))


def to_pcapng(packets: Sequence[Packet], comment: str) -> bytes:
    """One section; its interfaces are those of the packets, in the order in which they come up."""
    numbers = {one: number for number, one in enumerate(dict.fromkeys(packet.interface for packet in packets))}
    parts = [section(comment), *(interface(*one) for one in numbers)]
    for packet in packets:
        size = len(packet.octets)
        words = (numbers[packet.interface], packet.time >> 32, packet.time & 0xFFFF_FFFF, size, max(packet.wire, size))
        text = f"frame {packet.frame}" + (f": {packet.note}" if packet.note else "")
        parts.append(_block(_PACKET, struct.pack("<5I", *words) + _padded(packet.octets) + _options((_COMMENT, text.encode()))))
    return b"".join(parts)


def interfaces_of(head: bytes) -> list[tuple[str, int]]:
    """Those at the beginning of a file that was written here; what is cut or strange ends the list."""
    found: list[tuple[str, int]] = []
    at = 0
    while at + 8 <= len(head):
        kind, size = _HEAD.unpack_from(head, at)
        if kind not in (_SECTION, _INTERFACE) or size < 12 or size % 4 or at + size > len(head):
            break
        if kind == _INTERFACE:
            link, _, _, option, length = struct.unpack_from("<HHIHH", head, at + 8)
            name = head[at + _NAME_AT + 4 : at + _NAME_AT + 4 + length] if option == _NAME else b""
            found.append((name.decode(errors="replace"), link))
        at += size
    return found


def with_tag(octets: bytes, vlan: int) -> bytes:
    """Put the VLAN tag back that the kernel took off."""
    if not vlan or len(octets) < _MACS_OCTETS:
        return octets
    return octets[:_MACS_OCTETS] + vlan.to_bytes(_TAG_OCTETS, "big") + octets[_MACS_OCTETS:]


def room_for(batch: PacketBatch) -> int:
    """Octets that `lay_batch` takes at most."""
    return int(batch.cap.sum()) + (BLOCK_OCTETS + _TAG_OCTETS + 4) * len(batch)


def lay_batch(batch: PacketBatch, out: Any) -> int:
    """Packet blocks of all of them into ``out``, 32-bit words with `room_for` octets; how many octets they take.  Allocates nothing."""
    return lay_packets(batch.octets, batch.off, batch.cap, batch.wire, batch.time, batch.vlan, batch.iface, out, out.view(np.uint8))


@kernel
def lay_packets(octets: Any, off: Any, cap: Any, wire: Any, time: Any, vlan: Any, iface: Any, words: Any, out: Any) -> int:
    at = 0
    for i in range(len(off)):
        size = cap[i]
        tag = _TAG_OCTETS if vlan[i] and size >= _MACS_OCTETS else 0
        padded = (size + tag + 3) & ~3
        word = at >> 2
        words[word] = _PACKET
        words[word + 1] = BLOCK_OCTETS + padded
        words[word + 2] = iface[i]
        words[word + 3] = time[i] >> 32
        words[word + 4] = time[i] & 0xFFFF_FFFF
        words[word + 5] = size + tag
        words[word + 6] = max(wire[i], size) + tag
        if padded:
            words[word + 6 + (padded >> 2)] = 0  # what pads the packet
        start, to = off[i], at + 28
        if tag:
            move(out, to, octets, start, _MACS_OCTETS)
            for place in range(_TAG_OCTETS):
                out[to + _MACS_OCTETS + place] = (vlan[i] >> (24 - 8 * place)) & 0xFF
            start, to, size = start + _MACS_OCTETS, to + _MACS_OCTETS + _TAG_OCTETS, size - _MACS_OCTETS
        move(out, to, octets, start, size)
        words[word + 7 + (padded >> 2)] = BLOCK_OCTETS + padded
        at += BLOCK_OCTETS + padded
    return at


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return _HEAD.pack(kind, size) + body + size.to_bytes(4, "little")


def _options(*options: tuple[int, bytes]) -> bytes:
    given = [(code, value[:_MAX_TEXT_OCTETS]) for code, value in options if value]
    return b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in given) + bytes(4)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
