"""Where an asset's values lie on the wire, as its Asset Interfaces Description says (IDTA 02017, versions 1.0 and 1.1).

In: a submodel as `shell.Node`.  Out: `Point`s, each a tag with its Modbus registers or its OPC UA node, and what could not be used.  The
words of a form are those of the W3C's Web of Things bindings for Modbus (modv_...) and OPC UA.  What the description leaves open is
named: the scale of a register is nothing that it can say.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from sentinel.model.tags import Table, TagRole
from sentinel.twin.shell import Node
from sentinel.twin.units import UnitError, unit

MEANING = "AssetInterfacesDescription"
_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_TABLES = {"coil": Table.COIL, "discreteinput": Table.DISCRETE, "holdingregister": Table.HOLDING, "inputregister": Table.INPUT}
# Modbus Application Protocol 1.1b3, 6: function codes, and the names that the binding gives them
_FUNCTIONS = {
    "1": (Table.COIL, False), "readcoil": (Table.COIL, False), "5": (Table.COIL, True), "writesinglecoil": (Table.COIL, True),
    "15": (Table.COIL, True), "writemultiplecoils": (Table.COIL, True),
    "2": (Table.DISCRETE, False), "readdiscreteinput": (Table.DISCRETE, False),
    "3": (Table.HOLDING, False), "readholdingregisters": (Table.HOLDING, False), "6": (Table.HOLDING, True),
    "writesingleholdingregister": (Table.HOLDING, True),
    "16": (Table.HOLDING, True), "writemultipleholdingregisters": (Table.HOLDING, True),
    "4": (Table.INPUT, False), "readinputregisters": (Table.INPUT, False),
}  # fmt: skip
_TYPES = {
    "float": "float32", "unsignedshort": "uint16", "short": "int16", "unsignedint": "uint32", "int": "int32", "integer": "int32",
}  # fmt: skip
_REACH = {"uint16": (0.0, 65535.0), "int16": (-32768.0, 32767.0), "uint32": (0.0, 2.0**32 - 1), "int32": (-(2.0**31), 2.0**31 - 1)}
_WIDE = 1e9  # a range for a number of which nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    name: str
    role: TagRole
    unit: str
    low: float
    high: float
    is_writable: bool
    says: str
    modbus: dict[str, object] | None = None  # as a plant file writes it
    opcua: str | None = None


@dataclass(slots=True)
class Description:
    """`points` so far, and `left` for a person."""

    points: dict[str, Point]
    left: list[str]
    ports: set[int]

    def read(self, submodel: Node) -> None:
        for interface in submodel.children:
            base = interface.text("EndpointMetadata", "base")
            scheme = urlsplit(base).scheme.lower() if base.isprintable() else ""
            properties = interface.child("InteractionMetadata", "properties")
            if properties is None:
                continue
            if scheme not in {"modbus+tcp", "opc.tcp"}:
                self.left.append(f"{interface.name}: {scheme or 'no'} interface, Modbus over TCP and OPC UA are read here")
                continue
            for name, one in _leaves(properties, ""):
                try:
                    point = _modbus(name, one, interface) if scheme == "modbus+tcp" else _opcua(name, one, base)
                except ValueError as error:
                    self.left.append(f"{interface.name}.{name}: {error}")
                    continue
                self._take(point, one)
                if scheme == "modbus+tcp" and (port := urlsplit(base).port):
                    self.ports.add(port)

    def _take(self, point: Point, one: Node) -> None:
        """The same value by two interfaces, or read by one form and written by another, is one tag."""
        other = self.points.get(point.name)
        if other is None:
            self.points[point.name] = point
        elif (other.modbus is None) != (point.modbus is None):
            kept, more = (other, point) if other.modbus else (point, other)
            self.points[point.name] = Point(
                **{field: getattr(kept, field) for field in ("name", "role", "unit", "low", "high", "is_writable", "says", "modbus")},
                opcua=more.opcua,
            )
        else:
            self.left.append(f"{point.name}: is described twice, the first is kept")
        if one.child("min_max") is None and point.role not in {TagRole.MODE, TagRole.STATUS}:
            self.left.append(f"{point.name}: no range (min_max) is given, {point.low:g} to {point.high:g} is written")
        if point.modbus and one.child("forms", "modv_zeroBasedAddressing") is None:
            self.left.append(f"{point.name}: whether addresses begin at 0 or at 1 is not said, 0 is taken")
        if point.modbus and str(point.modbus.get("type", "")).endswith(("16", "32")) and point.modbus.get("type") != "float32":
            self.left.append(f"{point.name}: a whole number's scale is nothing that the description says, 1 is written")


def _leaves(properties: Node, above: str) -> Iterator[tuple[str, Node]]:
    """Properties of objects are named with the object's name before theirs."""
    for one in properties.children:
        name = _NAME.sub("_", f"{above}{one.text('key') or one.name}")
        nested = one.child("properties")
        if nested is not None and one.child("forms") is None:
            yield from _leaves(nested, f"{name}.")
        else:
            yield name or "_", one


def _common(name: str, one: Node, is_bit: bool, is_writable: bool, reach: tuple[float, float]) -> dict[str, object]:
    given = one.text("unit")
    try:
        measure = unit(given).name if given else "1"
    except UnitError as error:
        raise ValueError(f"its unit: {error}") from error
    span = one.child("min_max")
    low, high = reach
    if span is not None:
        low, high = float(span.low or low), float(span.high or high)
    if not -1e30 < low < high < 1e30:
        raise ValueError(f"its range {low:g} to {high:g} is none")
    role = (TagRole.MODE if is_writable else TagRole.STATUS) if is_bit else TagRole.SETPOINT if is_writable else TagRole.PROCESS_VALUE
    return {
        "name": name, "role": role, "unit": measure, "low": low, "high": high, "is_writable": is_writable, "says": one.text("title")
    }  # fmt: skip


def _modbus(name: str, one: Node, interface: Node) -> Point:
    """Raises ValueError: what is missing or contradicts itself."""
    form, endpoint = one.child("forms"), interface.child("EndpointMetadata")
    if form is None or endpoint is None:
        raise ValueError("no form says how it is read")

    def said(word: str) -> str:
        return (form.text(word) or endpoint.text(word)).lower()

    function, entity = said("modv_function"), said("modv_entity")
    if function and function not in _FUNCTIONS:
        raise ValueError(f"function {function!r} is not one that reads or writes a value")
    table = _FUNCTIONS[function][0] if function else _TABLES.get(entity)
    if table is None or (entity and _TABLES.get(entity) is not table):
        raise ValueError(f"modv_entity {entity!r} and modv_function {function!r} name no table")
    is_writable = bool(function) and _FUNCTIONS[function][1]
    href = urlsplit(form.text("href"))
    parts = [part for part in f"{urlsplit(endpoint.text('base')).path}/{href.path}".split("/") if part]
    if not parts or not all(part.isdecimal() for part in parts) or len(parts) > 2:
        raise ValueError(f"href {form.text('href')!r}: expected UNIT/ADDRESS or ADDRESS")
    address = int(parts[-1])
    address -= said("modv_zeroBasedAddressing") == "false"
    if not 0 <= address <= 65535:
        raise ValueError(f"address {address} is outside 0 to 65535")
    point: dict[str, object] = {"table": table.value, "address": address}
    if len(parts) == 2:
        point["unit"] = int(parts[0])
        if int(parts[0]) > 255:
            raise ValueError(f"unit {parts[0]} is outside 0 to 255")
    if table in {Table.COIL, Table.DISCRETE}:
        return Point(modbus=point, **_common(name, one, True, is_writable, (0.0, 1.0)))  # type: ignore[arg-type]
    quantity = parse_qs(href.query).get("quantity", [""])[0]
    kind = _register_type(said("modv_type"), one.text("type"), quantity)
    point["type"] = kind
    if said("modv_mostSignificantByte") == "false":
        raise ValueError("the less significant octet of a register comes first: no tag can say that")
    if said("modv_mostSignificantWord") == "false" and kind.endswith("32"):
        point["word_order"] = "little"
    return Point(modbus=point, **_common(name, one, False, is_writable, _REACH.get(kind, (-_WIDE, _WIDE))))  # type: ignore[arg-type]


def _register_type(declared: str, kind: str, quantity: str) -> str:
    registers = {"": None, "1": 1, "2": 2}.get(quantity, 0)
    if registers == 0:
        raise ValueError(f"{quantity} registers, expected 1 or 2")
    bare = declared.rpartition(":")[2]
    if bare and bare not in _TYPES:
        raise ValueError(f"modv_type {declared!r} is no type of a tag: {', '.join(_TYPES)}")
    if bare:
        found = _TYPES[bare]
    elif registers == 2:
        found = "float32" if kind == "number" else "int32"
    else:
        found = "uint16"
    if registers is not None and registers != (2 if found.endswith("32") else 1):
        raise ValueError(f"{registers} registers do not hold a {found}")
    return found


def _opcua(name: str, one: Node, base: str) -> Point:
    form = one.child("forms")
    href = form.text("href") if form else ""
    found = parse_qs(urlsplit(href).query, separator="&").get("id", [])
    node = unquote(found[0]) if found else unquote(href.lstrip("/")) if re.match(r"/?(ns|nsu|i|s|g)=", href) else ""
    if not re.fullmatch(r"(ns=\d+;)?[isgb]=\S.*", node):
        raise ValueError(f"href {href!r} names no node by a namespace index, such as ns=2;s=LT101, at {base[:80]}")
    is_bit, kind = one.text("type") == "boolean", one.text("type")
    reach = (0.0, 1.0) if is_bit else (-_WIDE, _WIDE)
    if kind not in {"", "boolean", "number", "integer"}:
        raise ValueError(f"a {kind} is no value of a tag")
    return Point(opcua=node, **_common(name, one, is_bit, False, reach))  # type: ignore[arg-type]
