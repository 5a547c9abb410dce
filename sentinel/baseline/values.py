"""Values on the wire: read responses become readings, write requests become commands.

Without a tag map a register is named by where it lives ("10.0.0.10 unit 1 holding 6") and its raw word is the value; with one, only
what the map knows is taken, decoded and scaled.  Modbus Application Protocol 1.1b3, 6.1 to 6.4 (coils packed from the lowest bit,
registers big-endian).
"""

from dataclasses import replace

import numpy as np

from sentinel.model.carried import carried
from sentinel.model.columns import Array, ordered
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.ids import AssetId, digest
from sentinel.model.modbus import EXCEPTION_BIT, OPERATIONS, WRITES, operation, writes_of
from sentinel.model.observation import Messages, Readings
from sentinel.model.protocol import Defect, MessageKind, Protocol, Quality
from sentinel.model.tags import ModbusPoint, Table, TagMap
from sentinel.model.time import Instant

TABLES = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_MODBUS = (Protocol.MODBUS, Protocol.MODBUS_RTU_TCP)
_UNDEFINED = (Defect.NONE, Defect.UNKNOWN_FUNCTION)  # user-defined codes are well-formed
_NAMED = frozenset({5, 6, 15, 16, 23})  # writes whose points and values the request itself says
_NUMPY_TYPES = {"uint16": ">u2", "int16": ">i2", "uint32": ">u4", "int32": ">i4", "float32": ">f4"}


def wire_readings(messages: Messages, tag_map: TagMap | None = None) -> Readings:
    """One row per value that a well-formed Modbus read response carries, in the order of the messages."""
    names: dict[str, int] = {}
    found: list[tuple[Array, Array, Array]] = []  # message rows, name codes, values
    for _, server, unit, function, address, quantity, octets, members in carried(messages):
        table = TABLES.get(function)
        if table is None:  # a write: what it sets is no reading
            continue
        is_bit = table in (Table.COIL, Table.DISCRETE)
        if octets != ((quantity + 7) // 8 if is_bit else 2 * quantity):
            continue
        raw = messages.pool[messages.value_start[members][:, None] + np.arange(octets)]
        place = f"{messages.name_of(server)} unit {unit} {table}"
        for name, values in _decoded(raw, place, unit, table, address, quantity, tag_map):
            code = names.setdefault(name, len(names))
            found.append((members, np.full(len(members), code, np.int32), values))
    if not found:
        return Readings.empty()
    at_rows = np.concatenate([part[0] for part in found])
    order = ordered(at_rows)
    times = messages.time[at_rows[order]]
    return Readings(
        names=tuple(names),
        time=times,
        seen=times,
        tag=np.concatenate([part[1] for part in found])[order],
        value=np.concatenate([part[2] for part in found])[order],
        quality=np.full(len(order), Quality.GOOD, np.uint8),
    )


def _decoded(
    raw: Array, place: str, unit: int, table: Table, address: int, quantity: int, tag_map: TagMap | None
) -> list[tuple[str, Array]]:
    """(name, float values per message) of the points inside one read range."""
    if table in (Table.COIL, Table.DISCRETE):
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, :quantity].astype(np.float64)
        if tag_map is None:
            return [(f"{place} {address + i}", bits[:, i]) for i in range(quantity)]
        tags = ((i, tag_map.by_point.get((unit, table, address + i))) for i in range(quantity))
        return [(tag.name, bits[:, i]) for i, tag in tags if tag]
    if tag_map is None:
        words = raw.view(">u2").astype(np.float64)
        return [(f"{place} {address + i}", words[:, i]) for i in range(quantity)]
    points = []
    for i in range(quantity):
        tag = tag_map.by_point.get((unit, table, address + i))
        if tag and tag.modbus and tag.modbus.address == address + i and i + tag.modbus.registers <= quantity:
            points.append((tag.name, _scaled(raw[:, 2 * i : 2 * (i + tag.modbus.registers)], tag.modbus)))
    return points


def _scaled(octets: Array, point: ModbusPoint) -> Array:
    if point.word_order == "little":
        octets = octets.reshape(len(octets), -1, 2)[:, ::-1].reshape(octets.shape)
    values = np.ascontiguousarray(octets).view(_NUMPY_TYPES[point.type])[:, 0].astype(np.float64)
    scaled: Array = values * point.scale + point.offset
    return scaled


def heard_command(
    messages: Messages, row: int, pdu: bytes, protocol: str, named: str, writes: tuple[TagWrite, ...], unit: int | None = None
) -> Command:
    """A request as a command of origin WIRE; ``pdu``: its octets; ``named``: its operation, as the standard calls it."""
    seen = Instant(int(messages.time[row]))
    source, target = (AssetId(messages.name_of(int(code)) or "unknown") for code in (messages.client[row], messages.server[row]))
    frame = digest(pdu)
    return Command(
        id=command_id(seen, source, target, frame),
        origin=Origin.WIRE,
        seen=seen,
        source=source,
        target=target,
        protocol=protocol,
        operation=named,
        unit=unit,
        writes=writes,
        frame=frame,
        frame_number=int(messages.frame[row]),
        octets=pdu.hex(),
    )


def wire_commands(messages: Messages, tag_map: TagMap) -> tuple[Command, ...]:
    """Write requests as commands of origin WIRE: they have reached the server already, which may be heard to refuse them.

    Also requests whose writes cannot be named: of functions that the standard does not define (what a device makes of one is its own
    affair), of files and of masks.
    """
    function = messages.function
    rows = np.flatnonzero(
        np.isin(messages.protocol, _MODBUS)
        & (messages.kind == MessageKind.REQUEST)
        & (
            (np.isin(function, tuple(WRITES)) & (messages.defect == Defect.NONE))
            | ((function > 0) & (function < EXCEPTION_BIT) & ~np.isin(function, tuple(OPERATIONS)) & np.isin(messages.defect, _UNDEFINED))
        )
    )
    commands = []
    refused = _refused(messages)
    for row in rows.tolist():
        pdu, unit = messages.pdu(row), int(messages.unit[row])
        writes = writes_of(tag_map, unit, pdu) or ()
        if not pdu or (not writes and pdu[0] in _NAMED):
            continue
        if refused and _exchange(messages, row) in refused:
            writes = tuple(replace(write, refused=True) for write in writes)
        commands.append(heard_command(messages, row, pdu, "modbus", operation(int(messages.function[row])), writes, unit))
    return tuple(commands)


def _refused(m: Messages) -> set[tuple[int, int, int, int]]:
    """What was answered with an exception."""
    rows = np.flatnonzero(np.isin(m.protocol, _MODBUS) & (m.kind == MessageKind.EXCEPTION) & (m.latency >= 0))
    return {_exchange(m, row) for row in rows.tolist()}


def _exchange(m: Messages, row: int) -> tuple[int, int, int, int]:
    """(flow, transaction, unit, function), the same for a request and its answer; without a transaction number, when it was asked."""
    number = int(m.transaction[row])
    if number < 0:
        number = max(0, int(m.latency[row])) - int(m.time[row])
    return (int(m.flow[row]), number, int(m.unit[row]), int(m.function[row]))
