"""What a component is: a table of parameters, states, wires, signals and equations.  One kind per file in `components`.

Equations are functions of `Own`, the component's view of itself and of what it is wired to; they return expressions in SI.  They are
resolved on demand, so an algebraic loop is found by name.  ``bounds`` of a state are physical: a member that leaves them is not valid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.twin.expression import Expression


class Own(Protocol):
    """A component as its own equations see it."""

    def state(self, name: str) -> Expression: ...
    def parameter(self, name: str) -> Expression: ...
    def variable(self, name: str) -> Expression: ...
    def signal(self, name: str) -> Expression:
        """0 to 1 for a mode (0 while tripped); a fraction for a controller's output."""

    def collected(self, name: str) -> Expression:
        """The sum of what other components give to this collector."""

    def wired(self, name: str) -> "Own":
        """The component at the other end of a wire."""


Equation = Callable[[Own], Expression]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    unit: str
    says: str
    default: str | None = None  # None = the plant file must give it
    positive: bool = True
    wears: str | None = None  # the key of the plant file that gives the share that it loses in service


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    unit: str
    says: str
    bounds: tuple[float, float]  # in `unit`
    start: Equation | str  # where it begins: an equation, or the key of the plant file that gives it
    stops: tuple[Equation | None, Equation | None] = (None, None)  # it rests against these: a rim, an end switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    unit: str
    says: str
    equation: Equation


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What the component at the other end must offer: states or variables by unit, collectors by unit."""

    says: str
    offers: Mapping[str, str] = field(default_factory=dict)
    collects: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A controller's output or a tag that drives the component.  A component with a mode signal can be tripped by an interlock."""

    unit: str
    says: str
    is_mode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Give:
    """What flows over a wire into a collector at its other end; positive is into the other."""

    wire: str
    collector: str
    equation: Equation


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Conservation: sum of content * d(state)/dt = source + collected - given.  The contract suite holds every kind to it."""

    unit: str  # "m^3/s" for volume, "W" for heat
    content: Mapping[str, Equation] = field(default_factory=dict)
    source: Equation | None = None  # from the world outside the plant
    collects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    name: str
    says: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    states: Mapping[str, State] = field(default_factory=dict)
    derivatives: Mapping[str, Equation] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    wires: Mapping[str, Wire] = field(default_factory=dict)
    signals: Mapping[str, Signal] = field(default_factory=dict)
    collects: Mapping[str, str] = field(default_factory=dict)  # collector -> unit
    gives: tuple[Give, ...] = ()
    balance: Balance | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        starts = tuple(state.start for state in self.states.values() if isinstance(state.start, str))
        return (*self.parameters, *starts, *self.wires, *self.signals)

    @property
    def required(self) -> tuple[str, ...]:
        optional = {name for name, parameter in self.parameters.items() if parameter.default is not None}
        return tuple(key for key in self.keys if key not in optional)

    def unit_of(self, name: str) -> str | None:
        """Of a state or variable; None when there is none of that name."""
        if name in self.states:
            return self.states[name].unit
        return self.variables[name].unit if name in self.variables else None
