"""The TOML file: read once, refused as a whole when anything in it is not understood, with the line; the sample; settings as a file."""

import difflib
import re
import tomllib
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sentinel.errors import ConfigError
from sentinel.settings.site import Settings

_HINTS = get_type_hints(Settings)
_SEVERAL: dict[str, type] = {name: get_args(hint)[0] for name, hint in _HINTS.items() if get_origin(hint) is tuple}
_SINGLE: dict[str, type] = {name: hint for name, hint in _HINTS.items() if name not in _SEVERAL}


def read(path: Path) -> Settings:
    """Raises ConfigError "file:line" on a syntax error, an unknown section or key (with the nearest name), or a value of the wrong kind."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(str(path), "there is no such file; `sentinel sample-config` prints one to begin with") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"is not a text file: {error}") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Settings:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{where}:{found.group(1) if found else '?'}", str(error)) from error
    known = _SINGLE | _SEVERAL
    built: dict[str, Any] = {}
    for section, content in document.items():
        line = _line_of(text, section)
        if section not in known:
            raise ConfigError(f"{where}:{line}", f"unknown section [{section}]{_nearest(section, known)}")
        several = section in _SEVERAL
        tables = content if isinstance(content, list) else [content]
        if several != isinstance(content, list) or not all(isinstance(table, dict) for table in tables):
            form = f"[[{section}]]" if several else f"[{section}]"
            raise ConfigError(f"{where}:{line}", f"{section} is written as {form}")
        parts = tuple(_section(section, known[section], table, text, where, index) for index, table in enumerate(tables))
        built[section] = parts if several else parts[0]
    try:
        return Settings(**built)
    except ConfigError as error:
        raise ConfigError(where, f"{error.where}: {error.problem}") from error


def _section(section: str, kind: type, table: dict[str, Any], text: str, where: str, index: int) -> Any:
    names = [f.name for f in _options(kind)]
    for key in table:
        if key not in names:
            raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", f"unknown key {key!r} in [{section}]{_nearest(key, names)}")
    try:
        value: Any = TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", f"{section}.{key}: {first['msg']}") from error
    for f in _options(kind):
        if problem := _misfit(f, getattr(value, f.name)):
            raise ConfigError(f"{where}:{_line_of(text, section, f.name, index)}", f"{section}.{f.name} is {problem}")
    return value


def _misfit(f: Field[Any], given: Any) -> str:
    among, within = f.metadata["among"], f.metadata["within"]
    if among and given not in among:
        return f"{given!r}, not one of {', '.join(among)}"
    if within and not within[0] <= given <= within[1]:
        return f"{given:g}, not between {within[0]:g} and {within[1]:g}"
    return ""


def _options(kind: type) -> list[Field[Any]]:
    """A section's own options, then those that it shares with others."""
    own = kind.__annotations__
    return sorted(fields(kind), key=lambda f: f.name not in own)


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), 1, 0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _line_of(text: str, section: str, key: str | None = None, index: int = 0) -> int:
    """Where a person finds it: the section's header, or the key below the header's (index + 1)th occurrence."""
    header, seen = None, -1
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if match := re.match(r"\[\[?\s*([^\]\s]+)\s*\]\]?", stripped):
            inside = match.group(1) == section
            seen += inside
            header = number if inside and seen == index else None if header is None or key is not None else header
        elif key is not None and header is not None and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*=", stripped):
            return number
        if key is None and header is not None:
            return header
    return header or 1


def sample() -> str:
    """A complete file: every option with its sentence, defaults commented out."""
    lines = ["# Settings of a Sentinel appliance.  What is commented out is the default."]
    for section, kind in (_SINGLE | _SEVERAL).items():
        lines += ["", f"# {kind.__doc__}"]
        several = section in _SEVERAL
        lines.append(f"#[[{section}]]" if several else f"[{section}]")
        for f in _options(kind):
            lines.append(f"# {f.metadata['doc']}")
            lines.append(f"#{f.name} = {_toml(f.default)}")
    return "\n".join(lines) + "\n"


def write(settings: Settings) -> str:
    """The settings as a file, only what differs from the defaults: what the demo hands to the appliance."""
    lines: list[str] = []
    for section in (*_SINGLE, *_SEVERAL):
        value = getattr(settings, section)
        for part in value if section in _SEVERAL else (value,):
            lines.append(f"[[{section}]]" if section in _SEVERAL else f"[{section}]")
            lines += [f"{f.name} = {_toml(getattr(part, f.name))}" for f in fields(part) if getattr(part, f.name) != f.default]
            lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
