"""The plant's interface as `plant.yaml` declares it: which tags there are, and which registers and nodes carry them.

In: a plant file, of which only `tags` and the Modbus unit are read.  Out: an `Interface`.  Raises ConfigError "file: where" on a tag that
cannot be bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sentinel.errors import ConfigError
from sentinel.model.tags import ModbusPoint, OnDeadline, Table, Tag, TagMap, TagRole

PLANT_FILE = Path(__file__).with_name("plant.yaml")
_POINT_KEYS = {"table", "address", "type", "scale", "offset", "word_order"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    tags: TagMap
    starts: Mapping[str, float]  # values of writable tags at start-up
    unit: int  # Modbus unit identifier


def read_interface(path: Path = PLANT_FILE) -> Interface:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (both are safe)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("tags"), dict):
        raise ConfigError(str(path), "has no section `tags`")
    try:
        unit = int((document.get("modbus") or {}).get("unit", 1))
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: modbus", "its unit is not a number") from error
    tags, starts = [], {}
    for name, entry in document["tags"].items():
        try:
            tags.append(_tag(str(name), entry, unit))
            if "start" in entry:
                starts[str(name)] = float(entry["start"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}: tags.{name}", f"cannot be bound: {error!r}") from error
    try:
        tag_map = TagMap(tuple(tags))
    except ValueError as error:
        raise ConfigError(f"{path}: tags", str(error)) from error
    return Interface(tags=tag_map, starts=starts, unit=unit)


def _tag(name: str, entry: Mapping[str, Any], unit: int) -> Tag:
    low, high = entry["range"]
    point = None
    if "modbus" in entry:
        wiring = entry["modbus"]
        if unknown := set(wiring) - _POINT_KEYS - {"unit"}:
            raise ValueError(f"unknown key {sorted(unknown)[0]!r} under modbus")
        point = ModbusPoint(
            unit=int(wiring.get("unit", unit)),
            table=Table(wiring["table"]),
            address=int(wiring["address"]),
            type=str(wiring.get("type", "uint16")),
            scale=float(wiring.get("scale", 1.0)),
            offset=float(wiring.get("offset", 0.0)),
            word_order=str(wiring.get("word_order", "big")),
        )
    return Tag(
        name=name,
        role=TagRole(entry["role"]),
        unit=str(entry["unit"]),
        low=float(low),
        high=float(high),
        doc=str(entry.get("says", "")),
        writable=bool(entry.get("writable", False)),
        safety=bool(entry.get("safety", False)),
        on_deadline=OnDeadline(entry.get("on_deadline", "refuse")),
        modbus=point,
        opcua=entry.get("opcua"),
    )
