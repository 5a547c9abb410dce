"""Tags and where the wire carries them: Modbus registers and OPC UA nodes bound to named, scaled values (ISA-5.1 names)."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sentinel.model.command import TagWrite

MAX_UNNAMED = 64  # coils without a name that are told one by one: a request may set 1,968, and its octets tell them all


class TagRole(StrEnum):
    PROCESS_VALUE = "process_value"
    SETPOINT = "setpoint"
    OUTPUT = "output"  # what a controller drives: a valve position, a speed
    MODE = "mode"  # auto or manual, run or stop
    LIMIT = "limit"  # alarm and interlock limits
    ALARM = "alarm"
    STATUS = "status"


class Table(StrEnum):
    """The four Modbus data models (Modbus Application Protocol 1.1b3, 4.3)."""

    COIL = "coil"
    DISCRETE = "discrete"
    INPUT = "input"
    HOLDING = "holding"


class OnDeadline(StrEnum):
    """What becomes of a held write without a verdict at its deadline, or with an undecided one."""

    FORWARD = "forward"
    REFUSE = "refuse"
    ASK = "ask"  # refused, and people are asked whether the same write may pass once


_FORMATS = {"uint16": ">H", "int16": ">h", "uint32": ">I", "int32": ">i", "float32": ">f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModbusPoint:
    unit: int
    table: Table
    address: int  # from 0
    type: str = "uint16"  # uint16 int16 uint32 int32 float32; ignored for coils and discrete inputs
    scale: float = 1.0  # engineering value = raw * scale + offset
    offset: float = 0.0
    word_order: str = "big"  # "big" = most significant register first

    @property
    def is_bit(self) -> bool:
        return self.table in (Table.COIL, Table.DISCRETE)

    @property
    def registers(self) -> int:
        return 1 if self.is_bit else struct.calcsize(_FORMATS[self.type]) // 2

    def decode(self, octets: bytes) -> tuple[float, float]:
        """(raw, engineering value) of this point's register octets in wire order."""
        if self.word_order == "little":
            octets = b"".join(octets[i : i + 2] for i in range(len(octets) - 2, -1, -2))
        raw = float(struct.unpack(_FORMATS[self.type], octets)[0])
        return raw, raw * self.scale + self.offset

    def encode(self, value: float) -> tuple[int, ...]:
        """Registers (or one 0/1 for a bit) that carry an engineering value; out of range is clipped to what the type can say."""
        if self.is_bit:
            return (int(value != 0),)
        raw = (value - self.offset) / self.scale
        if self.type == "float32":
            octets = struct.pack(">f", raw)
        else:
            bits, signed = int(self.type.lstrip("uint")), not self.type.startswith("u")
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
            octets = struct.pack(_FORMATS[self.type], min(max(round(raw), low), high))
        words = struct.unpack(f">{len(octets) // 2}H", octets)
        return words if self.word_order == "big" else words[::-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    name: str
    role: TagRole
    unit: str  # engineering unit; "1" = dimensionless
    low: float  # engineered range: what an instrument or an operator's screen allows
    high: float
    doc: str = ""
    writable: bool = False
    safety: bool = False  # safety-instrumented: never held, never written by us
    on_deadline: OnDeadline = OnDeadline.REFUSE
    modbus: ModbusPoint | None = None
    opcua: str | None = None  # node id as text, "ns=2;s=LT101"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A process value that is made to follow a setpoint; ``mode``: the tag that reads 0 while it does not (manual, stopped)."""

    name: str
    setpoint: str
    process_value: str
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class TagMap:
    """All tags of a plant, found by name, register or node.  Raises ValueError on a name or a point that is bound twice, and on a loop of
    tags that are none."""

    tags: tuple[Tag, ...]
    loops: tuple[Loop, ...] = ()
    by_name: Mapping[str, Tag] = field(init=False)
    by_point: Mapping[tuple[int, Table, int], Tag] = field(init=False)  # every register that a tag covers
    by_node: Mapping[str, Tag] = field(init=False)

    def __post_init__(self) -> None:
        names: dict[str, Tag] = {}
        points: dict[tuple[int, Table, int], Tag] = {}
        nodes: dict[str, Tag] = {}
        for tag in self.tags:
            if tag.name in names:
                raise ValueError(f"tag {tag.name} is declared twice")
            names[tag.name] = tag
            if tag.modbus:
                for address in range(tag.modbus.address, tag.modbus.address + tag.modbus.registers):
                    other = points.setdefault((tag.modbus.unit, tag.modbus.table, address), tag)
                    if other is not tag:
                        raise ValueError(f"{tag.modbus.table} {address} of unit {tag.modbus.unit} is both {other.name} and {tag.name}")
            if tag.opcua and nodes.setdefault(tag.opcua, tag) is not tag:
                raise ValueError(f"node {tag.opcua} is both {nodes[tag.opcua].name} and {tag.name}")
        for loop in self.loops:
            if unknown := {loop.setpoint, loop.process_value, loop.mode or loop.setpoint} - names.keys():
                raise ValueError(f"loop {loop.name} has no tag {min(unknown)}")
        object.__setattr__(self, "by_name", names)
        object.__setattr__(self, "by_point", points)
        object.__setattr__(self, "by_node", nodes)

    def bit_writes(self, unit: int, address: int, bits: Iterable[bool]) -> tuple[TagWrite, ...]:
        """What coils would be set to: all that have a name, and the first `MAX_UNNAMED` of those that have none."""
        writes, unnamed = [], 0
        for at, bit in enumerate(bits, start=address):
            tag = self.by_point.get((unit, Table.COIL, at))
            unnamed += tag is None
            if tag is None and unnamed > MAX_UNNAMED:
                continue
            writes.append(TagWrite(tag=tag.name if tag else None, point=f"coil {at}", raw=float(bit), value=float(bit), unit="1"))
        return tuple(writes)

    def register_writes(self, unit: int, address: int, octets: bytes) -> tuple[TagWrite, ...]:
        """What register octets in wire order would set.  A tag that is only partly covered stays unknown: its value is."""
        writes, at, end = [], address, address + len(octets) // 2
        while at < end:
            tag = self.by_point.get((unit, Table.HOLDING, at))
            point = tag.modbus if tag else None
            start = 2 * (at - address)
            if tag and point and point.address == at and at + point.registers <= end:
                raw, value = point.decode(octets[start : start + 2 * point.registers])
                writes.append(TagWrite(tag=tag.name, point=f"holding {at}", raw=raw, value=value, unit=tag.unit))
                at += point.registers
            else:
                raw = float(int.from_bytes(octets[start : start + 2], "big"))
                writes.append(TagWrite(tag=None, point=f"holding {at}", raw=raw))
                at += 1
        return tuple(writes)
