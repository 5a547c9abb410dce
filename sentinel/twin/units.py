"""The door to Pint: texts with units become SI numbers with a dimension.

In: "4.0 L/s +- 3 %", "80 degC", "1.2e-5 W/rpm^2".  Out: `Quantity` (SI value, SI standard deviation, `Dimension`).  `UnitError` says what
is wrong with the text; the caller knows the line.  Inside the twin everything is SI (K, m, m^3/s, W, rad/s, fractions for %).
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import pint

_AXES = ("[length]", "[mass]", "[time]", "[temperature]", "[current]", "[substance]", "[luminosity]")
_SYMBOLS = ("m", "kg", "s", "K", "A", "mol", "cd")
# names, small powers, * and /, one level of brackets: what Pint evaluates must stay small
_FACTOR = r"(?:[A-Za-zµ°Ω%_]+(?:\^-?[0-9](?:\.[0-9])?)?|1)"
_TERM = rf"(?:{_FACTOR}|\({_FACTOR}(?:[*/]{_FACTOR})*\))"
_UNIT = re.compile(rf"{_TERM}(?:[*/]{_TERM})*")
_MAX_UNIT_LENGTH = 40
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_QUANTITY = re.compile(rf"(?P<value>{_NUMBER})\s*(?P<unit>.*?)(?:\s*(?:\+-|±)\s*(?P<spread>{_NUMBER})\s*(?P<spread_unit>\S.*)?)?")


class UnitError(ValueError):
    """The text is no quantity, its unit is unknown, or it measures something else."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """Powers of the SI base units."""

    powers: tuple[Fraction, ...] = (Fraction(0),) * len(_AXES)

    def __mul__(self, other: "Dimension") -> "Dimension":
        return Dimension(tuple(a + b for a, b in zip(self.powers, other.powers, strict=True)))

    def __truediv__(self, other: "Dimension") -> "Dimension":
        return Dimension(tuple(a - b for a, b in zip(self.powers, other.powers, strict=True)))

    def root(self) -> "Dimension":
        return Dimension(tuple(a / 2 for a in self.powers))

    def __str__(self) -> str:
        return " ".join(f"{s}^{p}" if p != 1 else s for s, p in zip(_SYMBOLS, self.powers, strict=True) if p) or "1"


ONE = Dimension()


@dataclass(frozen=True, slots=True)
class Unit:
    """SI = value * scale + offset."""

    name: str
    dimension: Dimension
    scale: float
    offset: float = 0.0

    def to_si(self, value: float) -> float:
        return value * self.scale + self.offset

    def from_si(self, value: Any) -> Any:
        """A number or an array of them."""
        return (value - self.offset) / self.scale


@dataclass(frozen=True, slots=True)
class Quantity:
    value: float  # SI
    spread: float  # one standard deviation, SI
    unit: Unit  # as written


@cache
def _registry() -> "pint.UnitRegistry[Any]":
    return pint.UnitRegistry(cache_folder=None)


@cache
def unit(name: str) -> Unit:
    if name == "1":
        return Unit("1", ONE, 1.0)
    if len(name) > _MAX_UNIT_LENGTH or not _UNIT.fullmatch(name):
        raise UnitError(f"{name!r} is not a unit")
    registry = _registry()
    try:
        parsed = registry.parse_units(name)
        powers = registry.get_dimensionality(parsed)
        zero = registry.Quantity(0.0, parsed).to_base_units().magnitude
        scale = float(str(registry.get_base_units(parsed)[0]))
    except (
        pint.errors.PintError,
        AttributeError,
        ValueError,
        TypeError,
        ZeroDivisionError,
        OverflowError,
        SyntaxError,
        AssertionError,
    ) as error:
        raise UnitError(f"unit {name!r} is not known ({error})") from error
    if not set(powers) <= set(_AXES):
        raise UnitError(f"unit {name!r} is not made of SI base units")
    exponents = tuple(Fraction(str(powers.get(axis, 0))).limit_denominator(12) for axis in _AXES)
    # Pint's base of volume is m^3 by way of the litre's decimal definition: rounding to 15 digits takes its last-bit noise away
    return Unit(name, Dimension(exponents), float(f"{scale:.15g}"), float(zero))


def quantity(text: str, expected: str) -> Quantity:
    """A text "value unit [+- spread]" that must measure what `expected` (a unit) measures."""
    match = _QUANTITY.fullmatch(text.strip())
    wanted = unit(expected)
    if match is None:
        raise UnitError(f"expected a number with a unit like {expected!r}, found {text!r}")
    name = match["unit"].strip()
    if not name and wanted.dimension != ONE:
        raise UnitError(f"{text!r} has no unit, expected one like {expected!r}")
    given = unit(name or "1")
    if given.dimension != wanted.dimension:
        raise UnitError(f"{text!r} is in {given.dimension}, expected a unit like {expected!r} ({wanted.dimension})")
    value = given.to_si(float(match["value"]))
    if not abs(value) < 1e30:
        raise UnitError(f"{text!r} is not a sensible number")
    return Quantity(value, _spread(match, given, value), given)


def _spread(match: "re.Match[str]", given: Unit, value: float) -> float:
    if match["spread"] is None:
        return 0.0
    number, name = float(match["spread"]), (match["spread_unit"] or "").strip()
    if number < 0:
        raise UnitError(f"a spread cannot be negative: {match[0]!r}")
    if name == "%" and given.name != "%":
        if given.offset:
            raise UnitError(f"{match[0]!r}: a spread in % of a temperature has no meaning, give it in K")
        return abs(value) * number / 100.0
    own = unit(name) if name else given
    if own.dimension != given.dimension:
        raise UnitError(f"{match[0]!r}: the spread is in {own.dimension}, the value in {given.dimension}")
    return number * own.scale  # a difference: no offset
