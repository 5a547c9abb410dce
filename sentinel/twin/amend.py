"""Parameters of a plant file changed in place: only the numbers move; comments, order and everything else stay as a person wrote them.

In: a `Plant` and, by parameter name, value and spread in its unit.  Out: the new text, which has been read again: it differs from the old
plant in these parameters and in nothing else.  Raises ConfigError with "file:line" where a number is not written so that it can be changed.
"""

import re
from collections.abc import Mapping

from sentinel.errors import ConfigError
from sentinel.twin.document import Entry
from sentinel.twin.plant import Plant, load_plant
from sentinel.twin.units import Unit

_DIGITS = 1e-4  # what five digits of a value may be off


def amend(plant: Plant, changes: Mapping[str, tuple[float, float]]) -> str:
    lines = plant.text.splitlines(keepends=True)
    known = {one.name: one for one in plant.parameters}
    for name, (value, spread) in changes.items():
        part, _, key = name.partition(".")
        _replace(lines, plant.parts[part].entry.map()[key], key, written(known[name].unit, value, spread))
    text = "".join(lines)
    _check(plant, load_plant(text), changes)
    return text


def written(unit: Unit, value: float, spread: float) -> str:
    """As a plant file writes it: "0.2557 m^2 +- 1.1 %"; a temperature's spread in kelvin."""
    name = "" if unit.name == "1" else f" {unit.name}"
    if unit.offset:
        return f"{value:.5g}{name} +- {spread * unit.scale:.2g} K"
    if unit.name == "%" or value == 0.0:
        return f"{value:.5g}{name} +- {spread:.2g}{name}"
    return f"{value:.5g}{name} +- {100.0 * spread / abs(value):.2g} %"


def _replace(lines: list[str], entry: Entry, key: str, new: str) -> None:
    """The first value of this key on the line where it is declared; the value stands there or, quoted or not, on the next."""
    at = entry.line - 1
    found = "".join(lines[at : at + 2])
    pattern = re.compile(rf"(?<![\w.-])({re.escape(key)}\s*:\s*[\"']?){re.escape(entry.text())}")
    matches = [one for one in pattern.finditer(found) if one.start() < len(lines[at])]
    if len(matches) != 1:
        entry.fail(f"{len(matches)} places on this line could be meant, expected one: write each component on a line of its own")
    changed = found[: matches[0].start()] + matches[0][1] + new + found[matches[0].end() :]
    lines[at : at + 2] = changed.splitlines(keepends=True)


def _check(before: Plant, after: Plant, changes: Mapping[str, tuple[float, float]]) -> None:
    old, new = ({one.name: one for one in plant.parameters} for plant in (before, after))
    for name in old:
        value, spread = old[name].value, old[name].spread
        if name in changes:
            value, spread = old[name].unit.to_si(changes[name][0]), changes[name][1] * old[name].unit.scale
        one = new.get(name)
        if one is None or abs(one.value - value) > _DIGITS * abs(value) or abs(one.spread - spread) > 0.1 * spread:
            raise ConfigError("plant", f"{name} cannot be changed where it is written")
