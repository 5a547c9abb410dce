"""What the court is told at start: one JSON file, refused as a whole when anything in it is not understood.

And the octets by which it tells its warden how far it is: ready, a case begun, a case ended.
"""

import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sentinel.errors import ConfigError

READY, BEGIN, END = b"R", b"+", b"-"
NO_NAMESPACE = 3  # exit status of a wire tier on a machine that gives no network namespace: it would be no other the next time
MAX_MEMBERS = 4096
MAX_HORIZON_S = 24 * 3600.0
_BOUNDS = {"members": (16, MAX_MEMBERS), "horizon_s": (1.0, MAX_HORIZON_S), "seed": (0, 2**63 - 1), "case_limit_s": (0.1, 600.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When a verdict falls.  Added risk is the share of futures that break with the command and hold without it (`risk.added`)."""

    unsafe_above: float = 0.2  # lower confidence bound of the added risk
    safe_below: float = 0.02  # upper confidence bound; 0 of 256 futures bounds it at 0.0143
    confidence: float = 0.95  # two-sided, exact (Clopper and Pearson, 1934)
    margin: float = 0.01  # of the tag's range: what must remain to the limit in 95 of 100 futures
    valid_members: float = 0.8  # share of members that must come through the rollout
    stale_s: float = 30.0  # a snapshot that is older than this, seen from the command, says nothing about it
    breach: float = 0.03  # of the tag's range: how far past a trip limit the worst case must go to count as a lost defence


@dataclass(frozen=True, slots=True, kw_only=True)
class CourtConfig:
    plant: Path
    socket: Path
    members: int = 256
    horizon_s: float = 600.0
    seed: int = 0
    case_limit_s: float = 1.0  # of the processor; a case that takes longer ends the court, and a new one takes the next case
    thresholds: Thresholds = Thresholds()


def read(path: Path) -> CourtConfig:
    """Raises ConfigError with the key's path."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"cannot be read as JSON: {error}") from error
    return parse(document, str(path))


def parse(document: Any, where: str) -> CourtConfig:
    given = _known(document, CourtConfig, where)
    for key in ("plant", "socket"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise ConfigError(f"{where}: {key}", "a path is needed")
        given[key] = Path(given[key]).absolute()
    thresholds = _known(given.pop("thresholds", {}), Thresholds, f"{where}: thresholds")
    for key, value in thresholds.items():
        top = 86400.0 if key == "stale_s" else 1.0
        _number(value, 0.0, top, f"{where}: thresholds.{key}")
    for key, (low, high) in _BOUNDS.items():
        if key in given:
            _number(given[key], low, high, f"{where}: {key}")
            if key in ("members", "seed") and not isinstance(given[key], int):
                raise ConfigError(f"{where}: {key}", f"{given[key]!r} is not a whole number")
    return CourtConfig(**given, thresholds=Thresholds(**thresholds))


def _known(table: Any, kind: type, where: str) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(where, f"a table of keys is needed, not {type(table).__name__}")
    names = [field.name for field in fields(kind)]
    for key in table:
        if key not in names:
            close = difflib.get_close_matches(key, names, 1, 0.4)
            nearest = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
            raise ConfigError(f"{where}: {key}", f"unknown key; {nearest}")
    return dict(table)


def _number(value: Any, low: float, high: float, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(where, f"{value!r} is not a number from {low:g} to {high:g}")
