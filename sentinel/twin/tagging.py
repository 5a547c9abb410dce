"""The `tags` section: names, units, ranges, where the wire has them.  Out: `TagMap`, and per tag what it measures and where it starts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sentinel.model.tags import Loop, ModbusPoint, OnDeadline, Table, Tag, TagMap, TagRole
from sentinel.twin.control import Controller
from sentinel.twin.document import Entry
from sentinel.twin.units import Unit, UnitError, unit
from sentinel.twin.wiring import Part

DEFAULT_MODBUS_UNIT = 1
DEFAULT_ACCURACY = 0.0025  # of the engineered span: class 0.25, a usual transmitter
_KEYS = ("role", "unit", "range", "modbus", "opcua", "of", "says", "writable", "on_deadline", "start", "safety", "accuracy")
_REGISTER_TYPES = ("uint16", "int16", "uint32", "int32", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEntry:
    """A tag, what it measures, and where it starts; `accuracy` is one standard deviation of its reading, in its unit."""

    tag: Tag
    unit: Unit
    entry: Entry
    of: Entry | None
    start: float | None
    accuracy: float


def read_tags(section: Entry, modbus: Entry | None) -> tuple[TagMap, Mapping[str, TagEntry]]:
    modbus_unit = DEFAULT_MODBUS_UNIT
    if modbus is not None:
        given = modbus.map({"unit", "port", "dialect"})
        modbus_unit = given["unit"].whole(0, 255) if "unit" in given else DEFAULT_MODBUS_UNIT
        if "port" in given:
            given["port"].whole(1, 65535)
    entries = {name: _tag(name, entry, modbus_unit) for name, entry in section.entries()}
    points: dict[tuple[int, Table, int], str] = {}
    nodes: dict[str, str] = {}
    for name, read in entries.items():
        point, node = read.tag.modbus, read.tag.opcua
        for address in range(point.address, point.address + point.registers) if point else ():
            assert point is not None
            if (other := points.setdefault((point.unit, point.table, address), name)) != name:
                read.entry.fail(f"{point.table} {address} of unit {point.unit} already belongs to {other}")
        if node and (other := nodes.setdefault(node, name)) != name:
            read.entry.fail(f"node {node} already belongs to {other}")
    return TagMap(tuple(read.tag for read in entries.values())), entries


def _tag(name: str, entry: Entry, modbus_unit: int) -> TagEntry:
    keys = entry.map(_KEYS, ("role", "unit", "range"))
    role = TagRole(keys["role"].one_of(TagRole, "role"))
    try:
        tag_unit = unit(keys["unit"].text())
    except UnitError as error:
        keys["unit"].fail(str(error))
    span = [item.number() for item in keys["range"].items()]
    if len(span) != 2 or not span[0] < span[1]:
        keys["range"].fail("expected [low, high] with low < high")
    low, high = span
    writable = "writable" in keys and keys["writable"].truth()
    point = _point(keys["modbus"], modbus_unit) if "modbus" in keys else None
    if point is not None and writable and point.table not in {Table.COIL, Table.HOLDING}:
        keys["modbus"].fail(f"a writable tag must be a coil or a holding register, not {point.table}")
    start = keys["start"].number() if "start" in keys else None
    if start is not None and not low <= start <= high:
        keys["start"].fail(f"{start:g} is outside the range {low:g} to {high:g}")
    if role is TagRole.PROCESS_VALUE and writable:
        entry.fail("a process value cannot be writable")
    accuracy = keys["accuracy"].number() if "accuracy" in keys else DEFAULT_ACCURACY * (high - low)
    if not accuracy > 0.0:
        keys["accuracy"].fail("must be more than 0")
    on_deadline = OnDeadline(keys["on_deadline"].one_of(OnDeadline, "choice")) if "on_deadline" in keys else OnDeadline.REFUSE
    tag = Tag(
        name=name,
        role=role,
        unit=tag_unit.name,
        low=low,
        high=high,
        doc=keys["says"].text() if "says" in keys else "",
        writable=writable,
        safety="safety" in keys and keys["safety"].truth(),
        on_deadline=on_deadline,
        modbus=point,
        opcua=keys["opcua"].text() if "opcua" in keys else None,
    )
    return TagEntry(tag=tag, unit=tag_unit, entry=entry, of=keys.get("of"), start=start, accuracy=accuracy)


def loops(controllers: Iterable[Controller], parts: Iterable[Part], entries: Mapping[str, TagEntry]) -> tuple[Loop, ...]:
    """What follows a setpoint tag: what controllers hold (but inside a cascade), and what a component's own drive does, as far as a tag
    measures the very thing that the setpoint asks for."""
    found = [
        Loop(name=one.name, setpoint=one.sp, process_value=one.pv, mode=one.auto_tag)
        for one in controllers
        if entries[one.sp].tag.role is TagRole.SETPOINT
    ]
    measured = {read.of.text(): name for name, read in entries.items() if read.of is not None}
    for part in parts:
        runs = next((part.signals[key] for key, signal in part.kind.signals.items() if signal.is_mode), None)
        for key, signal in part.signals.items():
            value = measured.get(f"{part.name}.{key}")
            if value is not None and signal in entries and entries[signal].tag.role is TagRole.SETPOINT:
                found.append(Loop(name=part.name, setpoint=signal, process_value=value, mode=runs if runs in entries else None))
    return tuple(found)


def _point(entry: Entry, modbus_unit: int) -> ModbusPoint:
    keys = entry.map(("type", "scale", "offset", "word_order", "unit"), ("table", "address"))
    table = Table(keys["table"].one_of(Table, "table"))
    scale = keys["scale"].number() if "scale" in keys else 1.0
    if scale == 0.0:
        keys["scale"].fail("a scale of 0 loses the value")
    return ModbusPoint(
        unit=keys["unit"].whole(0, 255) if "unit" in keys else modbus_unit,
        table=table,
        address=keys["address"].whole(0, 65535),
        type=keys["type"].one_of(_REGISTER_TYPES, "register type") if "type" in keys else "uint16",
        scale=scale,
        offset=keys["offset"].number() if "offset" in keys else 0.0,
        word_order=keys["word_order"].one_of(("big", "little"), "word order") if "word_order" in keys else "big",
    )
