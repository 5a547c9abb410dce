"""A plant file drafted from an Asset Administration Shell: tags from its interfaces, and the FMU that it may bring as the model.

In: octets of an AASX, JSON or XML file.  Out: `Draft`: the text of a plant file, the FMU's octets, and what a person has still to look at.
Nothing is invented: controllers, invariants and safety marks are the plant's own to add.
"""

from dataclasses import dataclass

import yaml

from sentinel.errors import InputError
from sentinel.model.ids import digest
from sentinel.twin.fmu import Fmu, Variable, read_fmu
from sentinel.twin.foreign import bare
from sentinel.twin.interfaces import MEANING, Description, Point
from sentinel.twin.shell import Node, Shell, read_shell
from sentinel.twin.units import UnitError, unit

_SIMULATION = "SimulationModels"  # in the semantic id of IDTA 02005


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    text: str
    fmu: bytes | None
    points: int
    left: tuple[str, ...]


def draft(octets: bytes, source: str, fmu_name: str) -> Draft:
    """``fmu_name``: how the plant file will call the FMU.  Raises InputError where there is nothing that could be used."""
    shell = read_shell(octets, source)
    described = Description({}, [], set())
    found: tuple[Fmu, bytes] | None = None
    for submodel in shell.submodels:
        if MEANING in submodel.meaning or submodel.name.startswith(MEANING):
            described.read(submodel)
        elif _SIMULATION in submodel.meaning or submodel.name.startswith(_SIMULATION):
            found = found or _model(shell, submodel, described.left)
        else:
            described.left.append(f"submodel {submodel.name or '?'}: says nothing of tags or models")
    points = _placed(described)
    if not points and found is None:
        raise InputError(f"{source}: no interface and no simulation model that could be used{_why(described.left)}")
    top: dict[str, object] = {"plant": shell.name}
    if described.ports:
        top["modbus"] = {"port": min(described.ports)}
        if len(described.ports) > 1:
            described.left.append(f"Modbus ports {sorted(described.ports)}: a plant file has one, the first is written")
    if found is not None:
        top["model"] = {"fmu": fmu_name, "sha256": str(digest(found[1]))}
        points = points or _of_fmu(found[0])
    else:
        top["components"] = {}
    top["tags"] = {one.name: _entry(one, found[0] if found else None, described.left) for one in points}
    text = yaml.safe_dump(top, sort_keys=False, default_flow_style=None, width=140, allow_unicode=True)
    return Draft(text=text, fmu=found[1] if found else None, points=len(points), left=tuple(described.left))


def _why(left: list[str]) -> str:
    return f": {'; '.join(left[:3])}" if left else ""


def _model(shell: Shell, submodel: Node, left: list[str]) -> tuple[Fmu, bytes] | None:
    """The first FMU that can be used; why the others cannot."""
    for node in submodel.walk():
        if node.kind != "file" or not node.value:
            continue
        if not node.value.lower().endswith(".fmu") and "fmu" not in node.content.lower():
            continue
        try:
            octets = shell.file(node.value)
            return read_fmu(octets, node.value), octets
        except InputError as error:
            left.append(f"{submodel.name}.{node.name}: {error}")
    left.append(f"{submodel.name}: brings no FMU that could be used")
    return None


def _placed(described: Description) -> list[Point]:
    """Where two tags would lie in one place the first is kept."""
    taken: dict[tuple[object, ...], str] = {}
    kept = []
    for point in described.points.values():
        places: list[tuple[object, ...]] = [("node", point.opcua)] if point.opcua else []
        if point.modbus:
            width = 2 if str(point.modbus.get("type", "")).endswith("32") else 1
            start = point.modbus["address"]
            assert isinstance(start, int)
            places += [(point.modbus.get("unit"), point.modbus["table"], at) for at in range(start, start + width)]
        if other := next((taken[place] for place in places if place in taken), None):
            described.left.append(f"{point.name}: lies where {other} lies, and is left out")
            continue
        taken.update(dict.fromkeys(places, point.name))
        kept.append(point)
    return kept


def _of_fmu(fmu: Fmu) -> list[Point]:
    """Without interfaces the FMU's own inputs and outputs are the tags."""
    return [
        Point(name=tag.name, role=tag.role, unit=tag.unit, low=tag.low, high=tag.high, is_writable=tag.writable, says=tag.doc)
        for tag in bare(fmu).plant.tags.tags
    ]


def _entry(point: Point, fmu: Fmu | None, left: list[str]) -> dict[str, object]:
    entry: dict[str, object] = {"role": point.role.value, "unit": point.unit, "range": [point.low, point.high]}
    if point.is_writable:
        entry["writable"] = True
    if point.modbus:
        entry["modbus"] = point.modbus
    if point.opcua:
        entry["opcua"] = point.opcua
    if point.says:
        entry["says"] = point.says
    if fmu is not None:
        variable = fmu.variables.get(point.name)
        why = "the FMU has no variable of this name" if variable is None else _unfit(variable, point)
        if variable is None or why:
            left.append(f"{point.name}: {why}: the model does not move with it")
        else:
            entry["of"] = variable.name
            if point.is_writable and variable.start is None:
                entry["start"] = point.low
                left.append(f"{point.name}: the FMU says no start, {point.low:g} is written")
    return entry


def _unfit(variable: Variable, point: Point) -> str | None:
    if (variable.causality == "input") != point.is_writable or variable.causality not in {"input", "output", "local"}:
        return f"it is {'written' if point.is_writable else 'read'} on the wire and a {variable.causality} of the FMU"
    if not point.is_writable and variable.kind != "real":
        return "it is no real number in the FMU"
    try:
        fits = not variable.unit or unit(variable.unit).dimension == unit(point.unit).dimension
    except UnitError:
        fits = True  # of a unit that is not known the tag's own is taken
    return None if fits else f"it is in {point.unit!r} on the wire and in {variable.unit!r} in the FMU"
