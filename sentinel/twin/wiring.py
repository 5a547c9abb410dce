"""Components become equations: wires and signals are followed, variables resolved on demand, algebraic loops found by name.

In: `Part`s (placed components) and what drives them.  Out: per part its states, derivatives, stops and variables as expressions;
`ConfigError` at the part's line when the wiring makes no sense.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sentinel.twin.component import Kind
from sentinel.twin.document import Entry
from sentinel.twin.expression import Expression, Op, leaf, maximum, total, where
from sentinel.twin.units import ONE, Quantity, unit

Drive = Callable[[str], Expression]  # a controller's or tag's name -> what it says, SI


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A component of the plant file."""

    name: str
    kind: Kind
    entry: Entry
    parameters: Mapping[str, Quantity]
    starts: Mapping[str, Quantity]
    wires: Mapping[str, str]
    signals: Mapping[str, str]


@dataclass(slots=True)
class Wiring:
    parts: Mapping[str, Part]
    drive: Drive
    trips: Mapping[str, tuple[str, ...]]  # part -> interlocks that trip it
    _variables: dict[tuple[str, str], Expression] = field(default_factory=dict)
    _open: list[tuple[str, str]] = field(default_factory=list)  # being resolved: a name that comes again is a loop

    def part(self, name: str) -> "PlacedPart":
        return PlacedPart(self, self.parts[name])

    def variable(self, part: Part, name: str) -> Expression:
        """A state or variable of a part."""
        if name in part.kind.states:
            return leaf(Op.STATE, f"{part.name}.{name}", unit(part.kind.states[name].unit).dimension)
        key = (part.name, name)
        if key in self._open:
            chain = " -> ".join(".".join(link) for link in (*self._open[self._open.index(key) :], key))
            part.entry.fail(f"algebraic loop: {chain}; something with a state must stand between them")
        if key not in self._variables:
            self._open.append(key)
            declared = part.kind.variables[name]
            expression = declared.equation(self.part(part.name))
            if expression.dimension != unit(declared.unit).dimension:
                part.entry.fail(f"{name} comes out in {expression.dimension}, declared {declared.unit!r}")
            self._variables[key] = expression
            self._open.pop()
        return self._variables[key]

    def derivative(self, part: Part, state: str) -> Expression:
        return part.kind.derivatives[state](self.part(part.name))

    def start(self, part: Part, state: str) -> Expression:
        declared = part.kind.states[state]
        if isinstance(declared.start, str):
            given = part.starts[declared.start]
            return Expression(Op.CONSTANT, given.unit.dimension, value=given.value)
        return declared.start(self.part(part.name))

    def stops(self, part: Part, state: str) -> tuple[Expression | None, Expression | None]:
        own = self.part(part.name)
        low, high = part.kind.states[state].stops
        return (low(own) if low else None, high(own) if high else None)

    def collected(self, part: Part, collector: str) -> Expression:
        """The sum of what is given to a collector, in the order of the plant file."""
        gifts = [
            give.equation(self.part(giver.name))
            for giver in self.parts.values()
            for give in giver.kind.gives
            if give.collector == collector and giver.wires[give.wire] == part.name
        ]
        return total(gifts, unit(part.kind.collects[collector]).dimension)


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """`component.Own` for a part in its wiring."""

    wiring: Wiring
    of: Part

    def state(self, name: str) -> Expression:
        return self.wiring.variable(self.of, name)

    def variable(self, name: str) -> Expression:
        return self.wiring.variable(self.of, name)

    def parameter(self, name: str) -> Expression:
        """A parameter that is known exactly is a constant: the compiler folds it."""
        given = self.of.parameters[name]
        if given.spread == 0.0:
            return Expression(Op.CONSTANT, given.unit.dimension, value=given.value)
        return leaf(Op.PARAMETER, f"{self.of.name}.{name}", given.unit.dimension)

    def signal(self, name: str) -> Expression:
        driven = self.wiring.drive(self.of.signals[name])
        if not self.of.kind.signals[name].is_mode:
            return driven
        runs = where(driven, 1.0, 0.0)
        interlocks = self.wiring.trips.get(self.of.name, ())
        if not interlocks:
            return runs
        tripped = leaf(Op.TRIPPED, interlocks[0], runs.dimension)
        for other in interlocks[1:]:
            tripped = maximum(tripped, leaf(Op.TRIPPED, other, runs.dimension))
        return runs * (1.0 - tripped)

    def collected(self, name: str) -> Expression:
        return self.wiring.collected(self.of, name)

    def wired(self, name: str) -> "PlacedPart":
        return self.wiring.part(self.of.wires[name])


def no_wiring() -> Wiring:
    """Of a plant without components of ours."""
    return Wiring({}, lambda name: leaf(Op.INPUT, name, ONE), {})
