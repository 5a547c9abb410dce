"""Single instructions and expression graphs as LLVM vector code, eight members per lane.

Only IEEE operations that every processor rounds alike are emitted (add, subtract, multiply, divide, square root, compare, select), without
fast-math and without fused multiply-add: the same snapshot gives the same bits on every machine.
"""

import struct
from collections.abc import Callable, Sequence

from sentinel.twin.expression import (
    EXPONENT_BIAS,
    EXPONENT_MASK,
    FRACTION_BITS,
    FRACTION_MASK,
    INVERSE_ROOT_SEED,
    INVERSE_ROOT_STEPS,
    Expression,
    Op,
    walk,
)
from sentinel.twin.machine import LANES, VEC

MASK = f"<{LANES} x i1>"
_WHOLE = f"<{LANES} x i64>"
_COMPARISONS = {Op.MINIMUM: "olt", Op.MAXIMUM: "ogt"}
_BINARY = {Op.ADD: "fadd", Op.SUBTRACT: "fsub", Op.MULTIPLY: "fmul", Op.DIVIDE: "fdiv"}

Leaf = Callable[[Expression], str]  # the name of the value that a leaf of the graph has


class Instructions:
    """The lines of one function as they are put down.  Every method returns the name of the value that it made."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def put(self, instruction: str) -> str:
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {instruction}")
        return name

    def raw(self, line: str) -> None:
        self.lines.append(line)

    def constant(self, value: float) -> str:
        return f"splat (double 0x{struct.pack('>d', value).hex().upper()})"

    def binary(self, what: str, a: str, b: str) -> str:
        return self.put(f"{what} {VEC} {a}, {b}")

    def compare(self, how: str, a: str, b: str) -> str:
        return self.put(f"fcmp {how} {VEC} {a}, {b}")

    def select(self, mask: str, a: str, b: str) -> str:
        return self.put(f"select {MASK} {mask}, {VEC} {a}, {VEC} {b}")

    def address(self, pointer: str, row: int) -> str:
        """Of a group's lanes in a row."""
        offset = self.put(f"mul i64 %stride, {row}")
        at = self.put(f"add i64 {offset}, %lane")
        return self.put(f"getelementptr double, ptr {pointer}, i64 {at}")

    def load(self, pointer: str, row: int) -> str:
        return self.put(f"load {VEC}, ptr {self.address(pointer, row)}, align 8")

    def store(self, value: str, pointer: str, row: int) -> None:
        self.raw(f"  store {VEC} {value}, ptr {self.address(pointer, row)}, align 8")

    def splat(self, scalar: str) -> str:
        one = self.put(f"insertelement {VEC} poison, double {scalar}, i64 0")
        return self.put(f"shufflevector {VEC} {one}, {VEC} poison, <{LANES} x i32> zeroinitializer")

    # -- expressions

    def expressions(self, roots: Sequence[Expression], leaf: Leaf) -> list[str]:
        values: dict[int, str] = {}
        return [self.expression(root, leaf, values) for root in roots]

    def expression(self, root: Expression, leaf: Leaf, values: dict[int, str]) -> str:
        """`values` keeps what is known already, by node."""
        for node in walk([root], values):
            values[id(node)] = self._node(node, [values[id(argument)] for argument in node.arguments], leaf)
        return values[id(root)]

    def _node(self, node: Expression, given: list[str], leaf: Leaf) -> str:
        op = node.op
        if op is Op.CONSTANT:
            return self.constant(node.value)
        if op in _BINARY:
            return self.binary(_BINARY[op], *given)
        if op in _COMPARISONS:
            return self.select(self.compare(_COMPARISONS[op], *given), *given)
        if op is Op.ROOT:
            positive = self.select(self.compare("ogt", given[0], "zeroinitializer"), given[0], "zeroinitializer")
            return self.put(f"call {VEC} @llvm.sqrt.v{LANES}f64({VEC} {positive})")
        if op is Op.INVERSE_ROOT:
            return self._inverse_root(given[0])
        if op is Op.MAGNITUDE:
            return self.put(f"call {VEC} @llvm.fabs.v{LANES}f64({VEC} {given[0]})")
        if op is Op.GREATER:
            return self.select(self.compare("ogt", *given), self.constant(1.0), "zeroinitializer")
        if op is Op.WHERE:
            return self.select(self.compare("ogt", given[0], self.constant(0.5)), given[1], given[2])
        if op in {Op.SCALE, Op.EXPONENT, Op.SIGNIFICAND}:
            return self._bits(op, given[0])
        return leaf(node)

    def _inverse_root(self, x: str) -> str:
        """As `expression.inverse_root` says it: a third of what a square root and a division keep the divider busy for."""
        positive = self.select(self.compare("ogt", x, "zeroinitializer"), x, "zeroinitializer")
        bits = self.put(f"bitcast {VEC} {positive} to {_WHOLE}")
        guess = self.put(f"sub {_WHOLE} splat (i64 {INVERSE_ROOT_SEED}), {self.put(f'lshr {_WHOLE} {bits}, splat (i64 1)')}")
        y, half = self.put(f"bitcast {_WHOLE} {guess} to {VEC}"), self.binary("fmul", positive, self.constant(0.5))
        for constant_term in INVERSE_ROOT_STEPS:
            square = self.binary("fmul", self.binary("fmul", half, y), y)
            y = self.binary("fmul", y, self.binary("fsub", self.constant(constant_term), square))
        return y

    def _bits(self, op: Op, value: str) -> str:
        """What moves bits and rounds nothing; only add, shift, and, or: all that vector units of every age have."""
        bits = self.put(f"bitcast {VEC} {value} to {_WHOLE}")

        def whole(what: str, a: str, b: int) -> str:
            return self.put(f"{what} {_WHOLE} {a}, splat (i64 {b})")

        if op is Op.SCALE:
            bits = whole("shl", whole("add", bits, EXPONENT_BIAS), FRACTION_BITS)
        elif op is Op.SIGNIFICAND:
            bits = whole("or", whole("and", bits, FRACTION_MASK), EXPONENT_BIAS << FRACTION_BITS)
        else:  # below 2^52 a whole number is the fraction of 2^52 + itself
            exponent = whole("and", whole("lshr", bits, FRACTION_BITS), EXPONENT_MASK)
            bits = whole("or", exponent, (EXPONENT_BIAS + FRACTION_BITS) << FRACTION_BITS)
        number = self.put(f"bitcast {_WHOLE} {bits} to {VEC}")
        return number if op is not Op.EXPONENT else self.binary("fsub", number, self.constant(2.0**FRACTION_BITS + EXPONENT_BIAS))

    def joined(self, how: str, masks: Sequence[str]) -> str:
        """In pairs, so that no long chain of dependent instructions arises."""
        while len(masks) > 1:
            pairs = [self.put(f"{how} {MASK} {a}, {b}") for a, b in zip(masks[0::2], masks[1::2], strict=False)]
            masks = [*pairs, *masks[len(masks) // 2 * 2 :]]
        return masks[0] if masks else f"splat (i1 {'true' if how == 'and' else 'false'})"
