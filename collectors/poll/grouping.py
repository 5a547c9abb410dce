"""Which reads fetch all tags of a device: neighbouring points of one table share a request (Application Protocol V1.1b3, 6.1 to 6.4).

Pure.  In: tags.  Out: reads, and out of a read's octets the tags' values.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sentinel.model.tags import Table, Tag

MAX_BITS, MAX_REGISTERS = 2000, 125
GAP = 8  # points that may be read for nothing between two wanted ones: cheaper than a second request


@dataclass(frozen=True, slots=True)
class Read:
    unit: int
    table: Table
    address: int
    count: int
    tags: tuple[Tag, ...]

    def values(self, points: list[bool] | list[int]) -> Iterator[tuple[Tag, float]]:
        """Engineering values; NaN where the answer is shorter than was asked for."""
        for tag in self.tags:
            assert tag.modbus is not None
            start = tag.modbus.address - self.address
            own = points[start : start + tag.modbus.registers]
            if len(own) < tag.modbus.registers:
                yield tag, math.nan
            elif tag.modbus.is_bit:
                yield tag, float(own[0])
            else:
                yield tag, tag.modbus.decode(b"".join(int(word).to_bytes(2, "big") for word in own))[1]


def reads_of(tags: Iterable[Tag], gap: int = GAP) -> tuple[Read, ...]:
    """As few reads as the gap allows, in order of unit, table and address."""
    pointed = sorted((tag for tag in tags if tag.modbus), key=_place)
    reads: list[Read] = []
    for tag in pointed:
        point = tag.modbus
        assert point is not None
        limit = MAX_BITS if point.is_bit else MAX_REGISTERS
        end = point.address + point.registers
        last = reads[-1] if reads else None
        is_near = (
            last is not None and (last.unit, last.table) == (point.unit, point.table) and point.address - last.address - last.count <= gap
        )
        if last is not None and is_near and end - last.address <= limit:
            reads[-1] = Read(last.unit, last.table, last.address, max(last.count, end - last.address), (*last.tags, tag))
        else:
            reads.append(Read(point.unit, point.table, point.address, point.registers, (tag,)))
    return tuple(reads)


def _place(tag: Tag) -> tuple[int, str, int]:
    assert tag.modbus is not None
    return tag.modbus.unit, tag.modbus.table, tag.modbus.address
