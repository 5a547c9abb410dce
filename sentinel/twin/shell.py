"""Asset Administration Shells that others made: AASX packages, and the same as JSON or XML (IDTA 01001 and 01005, version 3).

In: octets.  Out: `Shell`: its submodels as `Node`s, told alike whichever way they were written, and the files that came with them.
`InputError` says what is wrong; a package is read as warily as `archive` reads any, and nothing in it is followed to the outside.
"""

import json
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.errors import InputError
from sentinel.twin.archive import Archive, open_archive
from sentinel.twin.markup import MAX_OCTETS, Element, parse

MAX_NODES = 100_000
MAX_DEPTH = 32
_ORIGIN, _SPECIFICATION = "/relationships/aasx-origin", "/relationships/aas-spec"  # ends of OPC relationship types
_RELATIONS = "_rels/.rels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A submodel or an element of one.  ``kind``: "property", "file", "range", "submodelElementCollection" ...; ``value``: of a property or
    file; ``low`` and ``high``: of a range.  ``meaning``: the keys of its semantic ids, joined by spaces."""

    kind: str
    name: str
    meaning: str
    value: str = ""
    low: str = ""
    high: str = ""
    content: str = ""  # type of a file
    children: "tuple[Node, ...]" = ()

    def child(self, *names: str) -> "Node | None":
        """Along a path of names."""
        found: Node | None = self
        for name in names:
            found = next((one for one in found.children if one.name == name), None) if found else None
        return found

    def text(self, *names: str) -> str:
        found = self.child(*names)
        return found.value.strip() if found else ""

    def walk(self) -> "Iterator[Node]":
        yield self
        for one in self.children:
            yield from one.walk()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    name: str  # of the first shell, or of the file
    submodels: tuple[Node, ...]
    source: str
    archive: Archive | None = field(repr=False, compare=False)

    def file(self, path: str) -> bytes:
        """A file that an element of it names."""
        if self.archive is None:
            raise InputError(f"{self.source}: {path!r} did not come with it: files come with an AASX package only")
        return self.archive.read(posixpath.normpath(path.removeprefix("file://")).lstrip("/"))


def read_shell(octets: bytes, source: str) -> Shell:
    """The first octets tell what it is, not the file's name."""
    if octets[:2] != b"PK":
        return _environment(octets, source, None, source)
    archive = open_archive(octets, source)
    origins = _related(archive, _RELATIONS, _ORIGIN)
    specifications = [
        path
        for origin in origins
        for path in _related(archive, posixpath.join(posixpath.dirname(origin), f"_rels/{posixpath.basename(origin)}.rels"), _SPECIFICATION)
    ]
    if not specifications:
        raise InputError(f"{source}: no AASX package: its relationships lead to no Asset Administration Shell")
    shells = [_environment(archive.read(path, MAX_OCTETS), f"{source}/{path}", archive, source) for path in dict.fromkeys(specifications)]
    return Shell(name=shells[0].name, submodels=tuple(one for shell in shells for one in shell.submodels), source=source, archive=archive)


def _related(archive: Archive, relations: str, kind: str) -> list[str]:
    """Members that a relationships part leads to (ECMA-376-2, 6.5)."""
    if relations not in archive.members:
        return []
    base = posixpath.dirname(posixpath.dirname(relations))
    found = []
    for one in parse(archive.read(relations, MAX_OCTETS), f"{archive.source}/{relations}").all("Relationship"):
        if one.attribute("Type").endswith(kind) and one.attributes.get("TargetMode") != "External":
            target = one.attribute("Target")
            found.append(posixpath.normpath(target.lstrip("/") if target.startswith("/") else posixpath.join(base, target)))
    return found


def _environment(octets: bytes, where: str, archive: Archive | None, source: str) -> Shell:
    if len(octets) > MAX_OCTETS:
        raise InputError(f"{where}: larger than {MAX_OCTETS} octets")
    counted = _Count(where)
    if octets.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        root = parse(octets, where)
        if root.name != "environment":
            root.fail("expected an environment of version 3")
        names = [one.text_of("idShort") for one in root.all("assetAdministrationShells", "assetAdministrationShell")]
        submodels = tuple(_of_xml(one, counted) for one in root.all("submodels", "submodel"))
    else:
        told = _told(octets, where)
        names = [str(one.get("idShort", "")) for one in _maps(told.get("assetAdministrationShells"))]
        submodels = tuple(_of_json(one, "submodel", counted) for one in _maps(told.get("submodels")))
    return Shell(name=next((name for name in names if name), "asset"), submodels=submodels, source=source, archive=archive)


class _Count:
    def __init__(self, where: str) -> None:
        self.where, self.count = where, 0

    def one(self, depth: int) -> None:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise InputError(f"{self.where}: more than {MAX_NODES} elements or {MAX_DEPTH} levels")


# -- JSON


def _told(octets: bytes, where: str) -> Mapping[str, Any]:
    try:
        told = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: neither XML nor JSON: {error}") from error
    if not isinstance(told, dict):
        raise InputError(f"{where}: expected an environment, found a {type(told).__name__}")
    return told


def _maps(given: Any) -> list[Mapping[str, Any]]:
    """What is not as the standard has it is no element."""
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _of_json(told: Mapping[str, Any], kind: str, counted: _Count, depth: int = 0) -> Node:
    counted.one(depth)
    meant = [told.get("semanticId"), *_maps(told.get("supplementalSemanticIds"))]
    keys = [str(key.get("value", "")) for one in meant if isinstance(one, dict) for key in _maps(one.get("keys"))]
    value = told.get("value")
    inner = _maps(told.get("submodelElements") or told.get("statements") or value)
    return Node(
        kind=kind,
        name=str(told.get("idShort", "")),
        meaning=" ".join(keys),
        value=value if isinstance(value, str) else "",
        low=str(told.get("min", "")),
        high=str(told.get("max", "")),
        content=str(told.get("contentType", "")),
        children=tuple(_of_json(one, _lowered(str(one.get("modelType", ""))), counted, depth + 1) for one in inner),
    )


def _lowered(name: str) -> str:
    return name[:1].lower() + name[1:]


# -- XML


def _of_xml(element: Element, counted: _Count, depth: int = 0) -> Node:
    counted.one(depth)
    value = element.first("value")
    inner = element.first("submodelElements") or element.first("statements") or value
    ids = [*element.all("semanticId"), *element.all("supplementalSemanticIds", "reference")]
    keys = [key.text_of("value") for one in ids for key in one.all("keys", "key")]
    return Node(
        kind=element.name,
        name=element.text_of("idShort"),
        meaning=" ".join(keys),
        value=value.text.strip() if value is not None and not value.children else "",
        low=element.text_of("min"),
        high=element.text_of("max"),
        content=element.text_of("contentType"),
        children=tuple(_of_xml(one, counted, depth + 1) for one in inner.children) if inner else (),
    )
