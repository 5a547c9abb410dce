"""How the demo's processes are told what to do and how they tell what they did: a JSON file in, JSON lines out."""

import dataclasses
import difflib
import ipaddress
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

from sentinel.errors import ConfigError

T = TypeVar("T")

_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts"}


def say(event: str, **fields: Any) -> None:
    """One line on stdout, at once: a person or the demo's narrator is waiting for it."""
    print(json.dumps({"event": event, **fields}, separators=(", ", ": ")), flush=True)


def read_config(path: Path, kind: type[T]) -> T:
    """A JSON object as the dataclass ``kind``.  Raises ConfigError on an unknown key or a value of the wrong kind."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(str(path), f"is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(str(path), "is not a JSON object")
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in document.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{path}: {key}", f"unknown key; {hint}")
        sample = known[key].default
        if isinstance(sample, tuple):
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif isinstance(sample, bool) or isinstance(value, bool):
            fits = isinstance(sample, bool) and isinstance(value, bool)
        elif isinstance(sample, float):
            fits = isinstance(value, (int, float))
        else:
            fits = isinstance(value, type(sample))
        if not fits:
            raise ConfigError(f"{path}: {key}", f"{value!r} is not {_KINDS[type(sample)]}")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in document.items()})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.where}", error.problem) from error


def endpoint(where: str, text: str) -> tuple[str, int]:
    """ "address:port" of a numeric IPv4 address.  Raises ConfigError."""
    address, _, port = text.rpartition(":")
    try:
        return str(ipaddress.IPv4Address(address)), _port(port)
    except ValueError as error:
        raise ConfigError(where, f"{text!r} is not an IPv4 address:port") from error


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 0xFFFF:
        raise ValueError(text)
    return port


def fail(error: Exception) -> int:
    """The last line of a process that cannot do what it was asked; its exit status."""
    print(f"sentinel demo: {error}", file=sys.stderr, flush=True)
    return 2
