"""What an FMU says of itself: modelDescription.xml of FMI 2.0 and 3.0, co-simulation.

In: the octets of a package.  Out: `Fmu`, with its variables, its abilities and where its machine code lies; nothing of it has been run.
`InputError` says why it cannot be used: another version, model exchange only, no binary for this machine, a description that contradicts
itself.  References: FMI 2.0.4, sections 2.2 and 4.3; FMI 3.0.2, sections 2.4 and 4.3.
"""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.errors import InputError
from sentinel.model.ids import Digest, digest
from sentinel.twin.archive import Archive, open_archive
from sentinel.twin.markup import Element, parse

MAX_VARIABLES = 100_000
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")  # becomes a file's name
# platform: (FMI 2 folder, FMI 3 folder, e_machine of the ELF header)
_PLATFORMS = {"x86_64": ("linux64", "x86_64-linux", 62), "aarch64": ("aarch64-linux", "aarch64-linux", 183)}
_REALS = {"Real": "real", "Float64": "real"}
_WHOLES = {"Integer": "int32", "Enumeration": "int32", "Int32": "int32", "Boolean": "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """``kind``: real, int32 or boolean: what the binding can exchange.  ``unit`` as the FMU's author wrote it, "" where none is given."""

    name: str
    reference: int
    kind: str
    causality: str  # input, output, parameter, local, independent ...
    variability: str
    initial: str
    start: float | None
    low: float | None
    high: float | None
    nominal: float
    unit: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fmu:
    """``token``: guid (FMI 2) or instantiation token (FMI 3).  ``library``: the member that holds the machine code."""

    source: str
    digest: Digest  # of the package
    version: int  # 2 or 3
    name: str
    token: str
    identifier: str
    generator: str
    library: str
    can_fork: bool  # its state can be taken and put back
    step_s: float | None
    variables: Mapping[str, Variable]
    unusable: tuple[str, ...]  # variables that are left out, each with the reason
    archive: Archive = field(repr=False, compare=False)

    def of_causality(self, *causalities: str) -> tuple[Variable, ...]:
        return tuple(one for one in self.variables.values() if one.causality in causalities)


def read_fmu(octets: bytes, source: str) -> Fmu:
    archive = open_archive(octets, source)
    root = parse(archive.read("modelDescription.xml"), f"{source}/modelDescription.xml")
    if root.name != "fmiModelDescription":
        root.fail("expected fmiModelDescription")
    version = {"2.0": 2, "3.0": 3}.get(root.attribute("fmiVersion")[:3])
    if version is None:
        root.fail(f"FMI {root.attributes['fmiVersion']}, expected 2.0 or 3.0")
    driven = root.first("CoSimulation")
    if driven is None:
        others = [one.name for one in root.children if one.name in {"ModelExchange", "ScheduledExecution"}]
        root.fail(f"offers {' and '.join(others) or 'no interface'}, not co-simulation: export it for co-simulation")
    if driven.attributes.get("needsExecutionTool") == "true":
        driven.fail("needs the tool that made it to be running")
    identifier = driven.attribute("modelIdentifier")
    if not _IDENTIFIER.fullmatch(identifier):
        driven.fail(f"modelIdentifier={identifier!r} is not the name of a library")
    variables, unusable = _variables(root, version)
    default = root.first("DefaultExperiment")
    step_s = default.number("stepSize") if default else None
    return Fmu(
        source=source,
        digest=digest(octets),
        version=version,
        name=root.attribute("modelName"),
        token=root.attribute("guid" if version == 2 else "instantiationToken"),
        identifier=identifier,
        generator=root.attributes.get("generationTool", ""),
        library=_library(archive, version, identifier),
        can_fork=driven.attributes.get("canGetAndSetFMUstate" if version == 2 else "canGetAndSetFMUState") in {"true", "1"},
        step_s=driven.number("fixedInternalStepSize") or (step_s if step_s and step_s > 0.0 else None),
        variables=variables,
        unusable=unusable,
        archive=archive,
    )


def _library(archive: Archive, version: int, identifier: str) -> str:
    machine = platform.machine()
    if machine not in _PLATFORMS:
        raise InputError(f"{archive.source}: no FMU is known to run on a {machine}")
    folders, expected = _PLATFORMS[machine][:2], _PLATFORMS[machine][2]
    name = f"binaries/{folders[version - 2]}/{identifier}.so"
    if name not in archive.members:
        there = sorted({one.split("/")[1] for one in archive.members if one.startswith("binaries/") and one.count("/") >= 2})
        has = f"it has {', '.join(there)}" if there else "it has none"
        more = "; it brings C sources: have its author compile them" if any(one.startswith("sources/") for one in archive.members) else ""
        raise InputError(f"{archive.source}: no machine code for {folders[version - 2]} ({name}), {has}{more}")
    head = archive.read(name)[:20]
    if head[:5] != b"\x7fELF\x02" or int.from_bytes(head[18:20], "little") != expected:
        raise InputError(f"{archive.source}: {name} is no machine code of a {machine}")
    return name


def _variables(root: Element, version: int) -> tuple[dict[str, Variable], tuple[str, ...]]:
    section = root.first("ModelVariables")
    if section is None:
        root.fail("has no ModelVariables")
    if len(section.children) > MAX_VARIABLES:
        section.fail(f"{len(section.children)} variables, expected at most {MAX_VARIABLES}")
    types = _declared_types(root, version)
    found: dict[str, Variable] = {}
    unusable: list[str] = []
    for entry in section.children:
        typed = next((one for one in entry.children if one.name in {*_REALS, *_WHOLES, "String"}), None) if version == 2 else entry
        name = entry.attribute("name")
        if typed is None:
            entry.fail("has no type")
        kind = (_REALS | _WHOLES).get(typed.name)
        if kind is None or (version == 3 and typed.name == "Enumeration"):
            unusable.append(f"{name} is a {typed.name}")
            continue
        if entry.first("Dimension"):
            unusable.append(f"{name} is an array")
            continue
        if name in found:
            entry.fail(f"{name!r} is declared twice")
        found[name] = _variable(entry, typed, types.get(typed.attributes.get("declaredType", ""), {}), kind)
    return found, tuple(unusable)


def _declared_types(root: Element, version: int) -> dict[str, dict[str, str]]:
    """Attributes by the name of a declared type."""
    path = ("TypeDefinitions", "SimpleType") if version == 2 else ("TypeDefinitions",)
    found = {}
    for section in root.all(*path):
        entries = [section] if version == 2 else section.children
        for entry in entries:
            inner = entry.children[0] if version == 2 and entry.children else entry
            found[entry.attributes.get("name", "")] = inner.attributes
    return found


def _variable(entry: Element, typed: Element, declared: Mapping[str, str], kind: str) -> Variable:
    merged = Element(typed.source, typed.line, typed.name, {**declared, **typed.attributes})
    reference = entry.attribute("valueReference")
    if not reference.isdigit() or int(reference) > 0xFFFFFFFF:
        entry.fail(f"valueReference={reference!r} is not one")
    causality = entry.attributes.get("causality", "local")
    variability = entry.attributes.get("variability", "continuous" if kind == "real" else "discrete")
    exact = causality in {"parameter"} or (causality not in {"input", "independent", "calculatedParameter"} and "start" in typed.attributes)
    start: float | None
    if kind == "boolean":
        start = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}.get(merged.attributes.get("start", ""))
    else:
        start = merged.number("start")
    return Variable(
        name=entry.attributes["name"],
        reference=int(reference),
        kind=kind,
        causality=causality,
        variability=variability,
        initial=entry.attributes.get("initial", "exact" if exact else "calculated"),
        start=start,
        low=merged.number("min") if kind != "boolean" else 0.0,
        high=merged.number("max") if kind != "boolean" else 1.0,
        nominal=merged.number("nominal") or 1.0,
        unit=merged.attributes.get("unit", ""),
        says=entry.attributes.get("description", ""),
    )
