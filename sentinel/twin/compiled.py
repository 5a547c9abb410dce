"""A compiled plant as values: what it takes in, what it shows, what it watches, and its machine code.

In: a `Plant`.  Out: `Model`, immutable, whose digest names plant file and engine.  Units here are the tags' own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.model.ids import Digest
from sentinel.model.tags import TagRole
from sentinel.twin.expression import Expression, Op, leaf
from sentinel.twin.kernel import Kernel
from sentinel.twin.plant import Plant
from sentinel.twin.units import Unit, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A writable tag that moves something in the twin."""

    tag: str
    unit: str
    role: TagRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What a rollout can record: a process value, an alarm, or a controller's output."""

    tag: str
    unit: str
    low: float
    high: float
    role: TagRole
    measure: Unit
    expression: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An invariant as the engine watches it, in the order of the rows of `Rollout.robustness`."""

    name: str
    tag: str
    limit: float  # in `unit`
    is_upper: bool
    unit: str
    severity: str
    impact: str | None  # ATT&CK technique id
    says: str
    counts: bool = False  # starts of what the tag runs, not its value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A compiled plant.  ``error``: per output tag the step-halving error, the largest difference in its unit between this step and half
    of it over ten minutes of setpoint changes."""

    plant: Plant
    digest: Digest
    kernel: Kernel
    states: tuple[str, ...]  # "T101.level"
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    invariants: tuple[Watched, ...]
    step_s: float
    error: Mapping[str, float] = field(default_factory=dict)

    @property
    def caveats(self) -> tuple[str, ...]:
        """None: what it leaves out stands in the plant file's spreads."""
        return ()

    @property
    def is_low_trust(self) -> bool:
        """Whether what it finds to be kept proves nothing."""
        return False

    @property
    def output_rows(self) -> Mapping[str, int]:
        return {output.tag: row for row, output in enumerate(self.outputs)}

    @property
    def input_rows(self) -> Mapping[str, int]:
        return {given.tag: row for row, given in enumerate(self.inputs)}


class Modelled(Protocol):
    """What questions and writes need to know of a model, whoever computes it: the face of `Model`."""

    @property
    def plant(self) -> Plant: ...
    @property
    def digest(self) -> Digest: ...
    @property
    def inputs(self) -> tuple[Input, ...]: ...
    @property
    def outputs(self) -> tuple[Output, ...]: ...
    @property
    def invariants(self) -> tuple[Watched, ...]: ...
    @property
    def step_s(self) -> float: ...
    @property
    def input_rows(self) -> Mapping[str, int]: ...
    @property
    def output_rows(self) -> Mapping[str, int]: ...
    @property
    def caveats(self) -> tuple[str, ...]: ...
    @property
    def is_low_trust(self) -> bool: ...


def outputs_of(plant: Plant) -> tuple[Output, ...]:
    tags = plant.tags.by_name
    measured: list[tuple[str, Unit, Expression]] = [(sensor.tag.name, sensor.unit, sensor.expression) for sensor in plant.sensors]
    alarms = [(one.alarm, unit("1"), one.condition) for one in plant.interlocks if one.alarm]
    driven = [
        (given.tag.name, given.unit, leaf(Op.OUTPUT, given.controller, given.unit.dimension)) for given in plant.inputs if given.controller
    ]
    return tuple(
        Output(
            tag=name,
            unit=measure.name,
            low=tags[name].low,
            high=tags[name].high,
            role=tags[name].role,
            measure=measure,
            expression=expression,
        )
        for name, measure, expression in (*measured, *alarms, *driven)
    )


def watched_of(plant: Plant) -> tuple[Watched, ...]:
    return tuple(
        Watched(
            name=one.name,
            tag=one.tag.name,
            limit=one.limit,
            is_upper=one.is_upper,
            unit=one.tag.unit,
            severity=one.severity.name.lower(),
            impact=one.impact,
            says=one.says,
            counts=one.counts,
        )
        for one in plant.invariants
    )
