"""XML that others wrote, as a small tree that remembers its lines.

In: octets.  Out: `Element`s with local names (prefixes and namespaces fall away).  Refused: document types, and with them entities,
external or growing; more elements, depth or attributes than a description has use for.  `InputError` says "source:line".
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from sentinel.errors import InputError

MAX_OCTETS = 1 << 26
MAX_ELEMENTS = 500_000
MAX_DEPTH = 64
MAX_ATTRIBUTES = 64
_SEPARATOR = "\n"  # between namespace and name: stands in neither


@dataclass(slots=True)
class Element:
    source: str
    line: int
    name: str
    attributes: dict[str, str]
    text: str = ""
    children: "list[Element]" = field(default_factory=list)

    def fail(self, problem: str) -> NoReturn:
        raise InputError(f"{self.source}:{self.line}: {self.name}: {problem}")

    def all(self, *path: str) -> "Iterator[Element]":
        """The descendants along this path of names."""
        for child in self.children:
            if child.name == path[0]:
                yield from child.all(*path[1:]) if len(path) > 1 else (child,)

    def first(self, *path: str) -> "Element | None":
        return next(self.all(*path), None)

    def text_of(self, *path: str) -> str:
        """The text at the end of a path, stripped; "" where there is none."""
        found = self.first(*path)
        return found.text.strip() if found else ""

    def attribute(self, name: str) -> str:
        if name not in self.attributes:
            self.fail(f"attribute {name!r} is missing")
        return self.attributes[name]

    def number(self, name: str) -> float | None:
        """An attribute that is a finite number, None where it is missing."""
        if name not in self.attributes:
            return None
        try:
            number = float(self.attributes[name])
        except ValueError:
            self.fail(f"{name}={self.attributes[name]!r} is no number")
        if not abs(number) < float("inf"):
            self.fail(f"{name}={self.attributes[name]!r} is not finite")
        return number


def parse(octets: bytes, source: str) -> Element:
    if len(octets) > MAX_OCTETS:
        raise InputError(f"{source}: larger than {MAX_OCTETS} octets")
    return _Builder(source).build(octets)


class _Builder:
    def __init__(self, source: str) -> None:
        self.source = source
        self.parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.buffer_text = True
        self.open: list[Element] = []
        self.root: Element | None = None
        self.count = 0

    def build(self, octets: bytes) -> Element:
        try:
            self.parser.Parse(octets, True)
        except expat.ExpatError as error:
            raise InputError(f"{self.source}:{error.lineno}: not XML: {expat.ErrorString(error.code)}") from error
        assert self.root is not None  # a document without an element is not XML
        return self.root

    def _refuse(self, problem: str) -> NoReturn:
        raise InputError(f"{self.source}:{self.parser.CurrentLineNumber}: {problem}")

    def _doctype(self, *_: object) -> None:
        self._refuse("a document type, and so entities, have no place here")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.open) >= MAX_DEPTH or len(attributes) > MAX_ATTRIBUTES:
            self._refuse(f"more than {MAX_ELEMENTS} elements, {MAX_DEPTH} levels or {MAX_ATTRIBUTES} attributes")
        local = {key.rpartition(_SEPARATOR)[2]: value for key, value in attributes.items()}
        element = Element(self.source, self.parser.CurrentLineNumber, name.rpartition(_SEPARATOR)[2], local)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def _end(self, _: str) -> None:
        self.open.pop()

    def _text(self, text: str) -> None:
        self.open[-1].text += text
