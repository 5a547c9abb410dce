"""A small expression graph that knows dimensions: the one description of a component that the engine compiles and the checks read.

Nodes are immutable; every operator checks its dimensions when the node is made (`DimensionError`), so a graph that exists is consistent.
Values are SI.  There is no branch, only `where`: all members of an ensemble take the same path.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from sentinel.twin.units import ONE, Dimension, unit

EXPONENT_BIAS, FRACTION_BITS = 1023, 52  # of an IEEE 754 double
EXPONENT_MASK, FRACTION_MASK = (1 << 11) - 1, (1 << FRACTION_BITS) - 1


class DimensionError(ValueError):
    """Two quantities of different kind were added or compared."""


class Op(StrEnum):
    CONSTANT = "constant"
    STATE = "state"
    PARAMETER = "parameter"
    INPUT = "input"  # a writable tag
    INTEGRAL = "integral"  # of a controller
    OUTPUT = "output"  # of a controller: what it drives
    TRIPPED = "tripped"  # an interlock at the last scan, 1 or 0
    STEP = "step"  # seconds since the last scan
    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    MINIMUM = "min"
    MAXIMUM = "max"
    ROOT = "sqrt"  # of max(x, 0)
    INVERSE_ROOT = "1/sqrt"  # of max(x, 0); of 0 a number so large that no state is valid after it
    MAGNITUDE = "abs"
    GREATER = ">"  # 1 or 0
    WHERE = "where"  # a if condition > 0.5 else b
    SCALE = "scale"  # 2^n of what `elementary` rounded to n, -1022 to 1023
    EXPONENT = "exponent"  # the power of two of a positive normal number
    SIGNIFICAND = "significand"  # the number without it, from 1 to 2


LEAVES = frozenset({Op.CONSTANT, Op.STATE, Op.PARAMETER, Op.INPUT, Op.INTEGRAL, Op.OUTPUT, Op.TRIPPED, Op.STEP})

# the seed is at most 3.5 % wrong, then 8.8e-4, 5.8e-7, 5.1e-13; the first two constants lie above 1.5 so that both signs of it are as large
INVERSE_ROOT_SEED = 0x5FE6ED2102DCBFDA
INVERSE_ROOT_STEPS = (1.5008789, 1.5000005796884, 1.5)


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """`name` of a leaf is "T101.level", "P101.max_flow", "LIC101.SP", "LIC101"; `value` is a constant's."""

    op: Op
    dimension: Dimension
    arguments: tuple["Expression", ...] = ()
    name: str = ""
    value: float = 0.0

    @property
    def is_fixed(self) -> bool:
        """Made of constants and parameters only: the same at every step."""
        if self.op in LEAVES:
            return self.op in {Op.CONSTANT, Op.PARAMETER}
        return all(argument.is_fixed for argument in self.arguments)

    @property
    def negated(self) -> "Expression | None":
        """What this is the negative of, if it is one."""
        zero = self.op is Op.SUBTRACT and self.arguments[0].op is Op.CONSTANT and self.arguments[0].value == 0.0
        return self.arguments[1] if zero else None

    def __add__(self, other: "Expression | float") -> "Expression":
        other = _expression(other)
        _agree(Op.ADD, self, other)
        return self - other.negated if other.negated is not None else _same(Op.ADD, self, other)

    def __radd__(self, other: float) -> "Expression":
        return _expression(other) + self

    def __sub__(self, other: "Expression | float") -> "Expression":
        return _same(Op.SUBTRACT, self, _expression(other))

    def __rsub__(self, other: float) -> "Expression":
        return _expression(other) - self

    def __mul__(self, other: "Expression | float") -> "Expression":
        other = _expression(other)
        return Expression(Op.MULTIPLY, self.dimension * other.dimension, (self, other))

    def __rmul__(self, other: float) -> "Expression":
        return _expression(other) * self

    def __truediv__(self, other: "Expression | float") -> "Expression":
        other = _expression(other)
        if other.is_fixed and self.op is not Op.CONSTANT:
            # dividing by what never changes is a product with a reciprocal that is computed once
            return self * Expression(Op.DIVIDE, ONE / other.dimension, (_expression(1.0), other))
        if other.op is Op.ROOT:
            return self * Expression(Op.INVERSE_ROOT, ONE / other.dimension, other.arguments)
        return Expression(Op.DIVIDE, self.dimension / other.dimension, (self, other))

    def __rtruediv__(self, other: float) -> "Expression":
        return _expression(other) / self

    def __neg__(self) -> "Expression":
        return Expression(Op.SUBTRACT, self.dimension, (Expression(Op.CONSTANT, self.dimension), self))


def constant(value: float, unit_name: str = "1") -> Expression:
    given = unit(unit_name)
    return Expression(Op.CONSTANT, given.dimension, value=given.to_si(value))


def leaf(op: Op, name: str, dimension: Dimension) -> Expression:
    return Expression(op, dimension, name=name)


def minimum(a: Expression | float, b: Expression | float) -> Expression:
    return _same(Op.MINIMUM, _expression(a), _expression(b))


def maximum(a: Expression | float, b: Expression | float) -> Expression:
    return _same(Op.MAXIMUM, _expression(a), _expression(b))


def clip(x: Expression, low: Expression | float, high: Expression | float) -> Expression:
    return minimum(maximum(x, low), high)


def root(x: Expression) -> Expression:
    """Square root of what is positive, 0 below: a level may touch zero within a step."""
    return Expression(Op.ROOT, x.dimension.root(), (x,))


def magnitude(x: Expression) -> Expression:
    return Expression(Op.MAGNITUDE, x.dimension, (x,))


def greater(a: Expression, b: Expression | float) -> Expression:
    b = _expression(b)
    _agree(">", a, b)
    return Expression(Op.GREATER, ONE, (a, b))


def where(condition: Expression, a: Expression | float, b: Expression | float) -> Expression:
    a, b = _expression(a), _expression(b)
    _agree("where", a, b)
    if condition.dimension != ONE:
        raise DimensionError(f"a condition must be a plain number, not {condition.dimension}")
    return Expression(Op.WHERE, a.dimension, (condition, a, b))


def total(parts: Iterable[Expression], dimension: Dimension) -> Expression:
    """The sum, in order; zero of that dimension when there is nothing to add."""
    result: Expression | None = None
    for part in parts:
        if part.dimension != dimension:
            raise DimensionError(f"{part.dimension} cannot be added to {dimension}")
        result = part if result is None else result + part
    return result if result is not None else Expression(Op.CONSTANT, dimension)


def walk(roots: Iterable[Expression], known: Container[int] = frozenset()) -> Iterator[Expression]:
    """Every node once, arguments before what uses them; not those whose id is `known`, nor what only they use."""
    seen: set[int] = set()
    for start in roots:
        stack = [(start, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in seen or id(node) in known:
                continue
            if ready or not node.arguments:
                seen.add(id(node))
                yield node
            else:
                stack.append((node, True))
                stack.extend((argument, False) for argument in reversed(node.arguments))


def leaves(roots: Iterable[Expression], op: Op) -> frozenset[str]:
    return frozenset(node.name for node in walk(roots) if node.op is op)


def inverse_root(x: Any) -> Any:
    """1 / sqrt(max(x, 0)) to 6e-13 by Newton's method from the halved exponent (Moroz et al., Fast calculation of inverse square root with
    the use of magic constant, Computer Physics Communications 228, 2018).

    Made of operations that every processor rounds alike, and without the slow ones.
    """
    positive = np.where(x > 0.0, x, 0.0)
    y, half = (INVERSE_ROOT_SEED - (positive.view(np.int64) >> 1)).view(np.float64), 0.5 * positive
    for constant_term in INVERSE_ROOT_STEPS:
        y = y * (constant_term - (half * y) * y)
    return y


_EVALUATE: dict[Op, Callable[..., Any]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUBTRACT: lambda a, b: a - b,
    Op.MULTIPLY: lambda a, b: a * b,
    Op.DIVIDE: lambda a, b: a / b,
    Op.MINIMUM: lambda a, b: np.where(a < b, a, b),
    Op.MAXIMUM: lambda a, b: np.where(a > b, a, b),
    Op.ROOT: lambda a: np.sqrt(np.where(a > 0.0, a, 0.0)),
    Op.INVERSE_ROOT: inverse_root,
    Op.MAGNITUDE: np.abs,
    Op.GREATER: lambda a, b: np.where(a > b, 1.0, 0.0),
    Op.WHERE: lambda c, a, b: np.where(c > 0.5, a, b),
    Op.SCALE: lambda a: ((_bits(a) + EXPONENT_BIAS) << FRACTION_BITS).view(np.float64),
    Op.EXPONENT: lambda a: ((_bits(a) >> FRACTION_BITS) & EXPONENT_MASK).astype(np.float64) - EXPONENT_BIAS,
    Op.SIGNIFICAND: lambda a: ((_bits(a) & FRACTION_MASK) | (EXPONENT_BIAS << FRACTION_BITS)).view(np.float64),
}


def _bits(value: Any) -> Any:
    return np.asarray(value, np.float64).view(np.int64)


def evaluate(roots: Iterable[Expression], value_of: Callable[[Expression], Any]) -> list[Any]:
    """The plain meaning of a graph, in numpy: what the compiled engine must equal to the last bit.  `value_of` gives the leaves."""
    roots = list(roots)
    values: dict[int, Any] = {}
    for node in walk(roots):
        if node.op is Op.CONSTANT:
            values[id(node)] = node.value
        elif node.op in LEAVES:
            values[id(node)] = value_of(node)
        else:
            values[id(node)] = _EVALUATE[node.op](*(values[id(argument)] for argument in node.arguments))
    return [values[id(node)] for node in roots]


def _expression(value: "Expression | float") -> Expression:
    return value if isinstance(value, Expression) else Expression(Op.CONSTANT, ONE, value=float(value))


def _agree(what: str, a: Expression, b: Expression) -> None:
    if a.dimension != b.dimension:
        raise DimensionError(f"{a.dimension} {what} {b.dimension} has no meaning")


def _same(op: Op, a: Expression, b: Expression) -> Expression:
    _agree(op, a, b)
    return Expression(op, a.dimension, (a, b))
