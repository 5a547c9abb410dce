"""Exponential, logarithm and power as expression graphs: the same bits on every processor, which no mathematical library promises.

They are made of the graph's own operations, which IEEE 754 fixes, and of three that only move bits (`Op.SCALE`, `Op.EXPONENT`,
`Op.SIGNIFICAND`).  Reduction by multiples of ln 2 in two parts (Cody and Waite 1980), then a power series that is cut where its rest is
below the rounding.  Arguments are plain numbers (`DimensionError` otherwise).  Within 2 units in the last place of the true value;
`power` within 2 + 2 |exponent * ln base|.

NaN stays NaN.  `exponential` is infinite above 709 and 0 below -708: no subnormal numbers.  `logarithm` is minus infinity of what is not
a positive normal number, so `power` of it with a positive exponent is 0, as `root` is: an amount may touch zero within a step.
"""

import math
import sys

from sentinel.twin.expression import DimensionError, Expression, Op, constant, greater, where
from sentinel.twin.units import ONE

HIGHEST, LOWEST = 709.0, -708.0
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits of ln 2: its product with an exponent is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")  # the rest
ROUNDER = 1.5 * 2.0**52  # what is added to it loses its fraction; `Op.SCALE` takes the sum
_EXPONENTIAL = [1.0 / math.factorial(n) for n in range(13, 1, -1)]  # |r| <= ln(2)/2: the rest is below 5e-18
_LOGARITHM = [2.0 / n for n in range(23, 1, -2)]  # |s| <= 0.1716: the rest is below 4e-20


def exponential(x: Expression) -> Expression:
    _plain("exponential", x)
    inside = where(greater(x, HIGHEST), HIGHEST, where(greater(constant(LOWEST), x), LOWEST, x))
    rounded = inside * (1.0 / math.log(2.0)) + ROUNDER
    twos = rounded - ROUNDER
    rest = (inside - twos * _LN2_HIGH) - twos * _LN2_LOW
    value = 1.0 + (rest + rest * rest * _series(_EXPONENTIAL, rest))
    scaled = value * Expression(Op.SCALE, ONE, (rounded,))
    return where(greater(x, HIGHEST), math.inf, where(greater(constant(LOWEST), x), 0.0, scaled))


def logarithm(x: Expression) -> Expression:
    """Natural."""
    _plain("logarithm", x)
    exponent, significand = Expression(Op.EXPONENT, ONE, (x,)), Expression(Op.SIGNIFICAND, ONE, (x,))
    is_large = greater(significand, math.sqrt(2.0))
    twos = where(is_large, exponent + 1.0, exponent)
    near_one = where(is_large, significand * 0.5, significand)
    ratio = Expression(Op.DIVIDE, ONE, (near_one - 1.0, near_one + 1.0))
    square = ratio * ratio
    small = twos * _LN2_LOW + ratio * square * _series(_LOGARITHM, square)
    value = twos * _LN2_HIGH + (ratio + ratio + small)
    finite = value + (x - x)  # what is not a number stays so
    above = where(greater(x, sys.float_info.max), x, finite)
    return where(greater(constant(sys.float_info.min), x), -math.inf, above)


def power(base: Expression, exponent: Expression | float) -> Expression:
    """Both plain numbers; the base positive."""
    if isinstance(exponent, Expression):
        _plain("power", exponent)
    return exponential(logarithm(base) * exponent)


def _series(coefficients: list[float], x: Expression) -> Expression:
    """Horner's scheme, highest power first."""
    result = constant(coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def _plain(what: str, x: Expression) -> None:
    if x.dimension != ONE:
        raise DimensionError(f"the {what} of {x.dimension} has no meaning, expected a plain number")
