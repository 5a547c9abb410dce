"""A plant file as a tree that remembers its lines, so that every complaint names one.

In: YAML text (maps, lists, scalars; no anchors, no tags, no duplicate keys, bounded size and depth).  Out: `Entry`, or `ConfigError` with
"file:line", what was found and what was expected.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from sentinel.errors import ConfigError

MAX_OCTETS = 1 << 20
MAX_DEPTH = 12  # a plant file needs four


@dataclass(frozen=True, slots=True)
class Entry:
    """A scalar, a list or a map, with the line it begins on."""

    source: str
    line: int
    path: str  # "components.T101.area"
    value: "str | list[Entry] | dict[str, Entry]"

    def fail(self, problem: str) -> NoReturn:
        raise ConfigError(f"{self.source}:{self.line}", f"{self.path}: {problem}" if self.path else problem)

    def text(self, expected: str = "a text") -> str:
        if not isinstance(self.value, str):
            self.fail(f"expected {expected}, found a {'list' if isinstance(self.value, list) else 'map'}")
        return self.value

    def number(self) -> float:
        text = self.text("a number")
        try:
            number = float(text)
        except ValueError:
            self.fail(f"expected a number, found {text!r}")
        if not abs(number) < float("inf"):
            self.fail(f"expected a finite number, found {text!r}")
        return number

    def whole(self, low: int, high: int) -> int:
        number = self.number()
        if number != int(number) or not low <= number <= high:
            self.fail(f"expected a whole number from {low} to {high}, found {self.value!r}")
        return int(number)

    def truth(self) -> bool:
        text = self.text("true or false")
        if text not in {"true", "false"}:
            self.fail(f"expected true or false, found {text!r}")
        return text == "true"

    def one_of(self, names: Iterable[str], what: str) -> str:
        names, text = tuple(names), self.text(what)
        if text not in names:
            self.fail(f"unknown {what} {text!r}{nearest(text, names)}")
        return text

    def items(self) -> "list[Entry]":
        if not isinstance(self.value, list):
            self.fail("expected a list")
        return self.value

    def entries(self) -> "Iterator[tuple[str, Entry]]":
        return iter(self.map().items())

    def map(self, allowed: Iterable[str] | None = None, required: Iterable[str] = ()) -> "dict[str, Entry]":
        if not isinstance(self.value, dict):
            self.fail("expected a map")
        if allowed is not None:
            known = (*allowed, *required)
            for key, entry in self.value.items():
                if key not in known:
                    entry.fail(f"unknown key {key!r}{nearest(key, known)}")
        for key in required:
            if key not in self.value:
                self.fail(f"key {key!r} is missing")
        return self.value


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error text: the nearest known name, or the known ones when they are few."""
    names = sorted({str(one) for one in known})
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f", did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 12 else ""


def read_document(file: Path) -> Entry:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), f"cannot be read: {error}") from error
    return parse_document(text, str(file))


def parse_document(text: str, source: str) -> Entry:
    if len(text.encode()) > MAX_OCTETS:
        raise ConfigError(source, f"larger than {MAX_OCTETS} octets")
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ConfigError(f"{source}:{getattr(event.start_mark, 'line', 0) + 1}", "anchors and aliases are not used in plant files")
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = getattr(error.problem_mark, "line", 0) + 1
        raise ConfigError(f"{source}:{line}", f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(source, f"not YAML: {error}") from error
    if node is None:
        raise ConfigError(source, "empty")
    return _entry(node, source, "", 0)


def _entry(node: yaml.Node, source: str, path: str, depth: int) -> Entry:
    line = node.start_mark.line + 1
    if depth > MAX_DEPTH:
        raise ConfigError(f"{source}:{line}", "nested too deeply")
    if isinstance(node, yaml.ScalarNode):
        return Entry(source, line, path, node.value)
    if isinstance(node, yaml.SequenceNode):
        return Entry(source, line, path, [_entry(item, source, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)])
    entries: dict[str, Entry] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{source}:{key.start_mark.line + 1}", "a key must be a text")
        name = f"{path}.{key.value}" if path else key.value
        if key.value in entries:
            raise ConfigError(f"{source}:{key.start_mark.line + 1}", f"{name} is declared twice, first on line {entries[key.value].line}")
        value = _entry(item, source, name, depth + 1)
        # a key says where a thing is declared; its value may begin a line later
        entries[key.value] = Entry(source, key.start_mark.line + 1, name, value.value)
    return Entry(source, line, path, entries)
