"""The contract of every kind in the catalogue, checked by its being listed.

Each kind is placed between neighbours that are made from its own declaration: whatever a wire asks for, a neighbour offers as a state that
stands still; whatever it collects, a neighbour gives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from sentinel.model.ids import Digest
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.twin.compiled import Input as Shown
from sentinel.twin.compiled import Model
from sentinel.twin.component import Give, Kind, Signal, State
from sentinel.twin.components import CATALOGUE
from sentinel.twin.document import Entry
from sentinel.twin.engine import Health, Snapshot, rollout
from sentinel.twin.expression import Expression, Op, evaluate, leaf, total
from sentinel.twin.kernel import build
from sentinel.twin.plant import Input, Plant, StateEquation, UncertainParameter
from sentinel.twin.snapshot import Grade
from sentinel.twin.units import Dimension, Quantity, unit
from sentinel.twin.wiring import Part, Wiring

KINDS = pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.name)
MOVING = pytest.mark.parametrize("kind", [kind for kind in CATALOGUE if kind.states], ids=lambda kind: kind.name)
_ENTRY = Entry("contract", 1, "part", {})


def typical(dimension_of: str) -> float:
    """A value of ordinary size, SI."""
    measure = unit(dimension_of)
    return 320.0 if measure.dimension == unit("K").dimension else measure.to_si(1.0)


def standing(unit_name: str) -> State:
    measure = unit(unit_name)
    return State(unit=unit_name, says="stands still", bounds=(-1e12, 1e12), start=nothing(measure.dimension))


def nothing(dimension: Dimension) -> Callable[[object], Expression]:
    return lambda _: Expression(Op.CONSTANT, dimension)


@dataclass
class Bench:
    """A kind among its neighbours."""

    kind: Kind
    wiring: Wiring
    part: Part
    gifts: tuple[tuple[str, str], ...]  # (input, collector)

    @staticmethod
    def of(kind: Kind) -> "Bench":
        parts: dict[str, Part] = {}
        for key, wire in kind.wires.items():
            states = {name: standing(unit_name) for name, unit_name in wire.offers.items()}
            still = {name: nothing(unit(u).dimension / unit("s").dimension) for name, u in wire.offers.items()}
            neighbour = Kind(name=f"at {key}", says="neighbour", states=states, derivatives=still, collects=wire.collects)
            parts[f"N-{key}"] = Part(name=f"N-{key}", kind=neighbour, entry=_ENTRY, parameters={}, starts={}, wires={}, signals={})
        gifts = []
        for collector, unit_name in kind.collects.items():
            source = f"G-{collector}"
            giver = Kind(
                name=f"gives {collector}",
                says="neighbour",
                signals={"gift": Signal(unit=unit_name, says="what it gives")},
                gives=(Give(wire="to", collector=collector, equation=lambda own: own.signal("gift")),),
            )
            parts[source] = Part(
                name=source, kind=giver, entry=_ENTRY, parameters={}, starts={}, wires={"to": "X"}, signals={"gift": f"gift {collector}"}
            )
            gifts.append((f"gift {collector}", unit_name))
        units = {f"signal {key}": signal.unit for key, signal in kind.signals.items()} | dict(gifts)
        own = Part(
            name="X",
            kind=kind,
            entry=_ENTRY,
            parameters={key: Quantity(typical(declared.unit), 1e-9, unit(declared.unit)) for key, declared in kind.parameters.items()},
            starts={s.start: Quantity(typical(s.unit), 0.0, unit(s.unit)) for s in kind.states.values() if isinstance(s.start, str)},
            wires={key: f"N-{key}" for key in kind.wires},
            signals={key: f"signal {key}" for key in kind.signals},
        )
        parts["X"] = own
        wiring = Wiring(parts, lambda name: leaf(Op.INPUT, name, unit(units[name]).dimension), {})
        return Bench(kind, wiring, own, tuple(gifts))


def somewhere(seed: int) -> Callable[[Expression], float]:
    """A value for every leaf, of ordinary size for its dimension."""
    chance = np.random.default_rng(seed)
    values: dict[tuple[Op, str], float] = {}

    def value_of(node: Expression) -> float:
        key = (node.op, node.name)
        if key not in values:
            scale = 300.0 if node.dimension == unit("K").dimension else 1.0
            values[key] = float(scale * chance.uniform(0.2, 1.5))
        return values[key]

    return value_of


@KINDS
def test_every_equation_has_the_dimension_it_declares(kind: Kind) -> None:
    bench = Bench.of(kind)
    assert set(kind.derivatives) == set(kind.states), "every state moves by an equation"
    own = bench.wiring.part("X")
    for name, state in kind.states.items():
        dimension = unit(state.unit).dimension
        assert bench.wiring.derivative(bench.part, name).dimension == dimension / unit("s").dimension
        assert bench.wiring.start(bench.part, name).dimension == dimension
        for stop in bench.wiring.stops(bench.part, name):
            assert stop is None or stop.dimension == dimension
        assert state.bounds[0] < state.bounds[1]
    for name, variable in kind.variables.items():
        assert own.variable(name).dimension == unit(variable.unit).dimension
    for give in kind.gives:
        assert give.equation(own).dimension == unit(kind.wires[give.wire].collects[give.collector]).dimension
    for parameter in kind.parameters.values():
        unit(parameter.unit)


@KINDS
def test_nothing_is_made_or_lost(kind: Kind) -> None:
    balance = kind.balance
    moves_matter = bool(kind.gives or kind.collects)
    assert (balance is not None) == moves_matter, "a kind that gives or collects declares its balance"
    if balance is None:
        return
    bench = Bench.of(kind)
    own = bench.wiring.part("X")
    dimension = unit(balance.unit).dimension
    content = [factor(own) * bench.wiring.derivative(bench.part, name) for name, factor in balance.content.items()]
    source = [balance.source(own)] if balance.source else []
    collected = [bench.wiring.collected(bench.part, name) for name in balance.collects]
    given = [give.equation(own) for give in kind.gives]
    left, right = total(content, dimension), total([*source, *collected], dimension) - total(given, dimension)
    for seed in range(20):
        values = evaluate([left, right], somewhere(seed))
        assert values[0] == pytest.approx(values[1], rel=1e-9, abs=1e-9)


def model_of(bench: Bench, step_s: float, method: str = "rk4") -> Model:
    """The part and its neighbours as a plant of their own; every signal and gift is an input."""
    states = tuple(
        StateEquation(
            name=f"{part.name}.{name}",
            unit=unit(state.unit),
            derivative=bench.wiring.derivative(part, name),
            start=bench.wiring.start(part, name),
            stops=bench.wiring.stops(part, name),
            bounds=(unit(state.unit).to_si(state.bounds[0]), unit(state.unit).to_si(state.bounds[1])),
        )
        for part in bench.wiring.parts.values()
        for name, state in part.kind.states.items()
    )
    units = {f"signal {key}": signal.unit for key, signal in bench.kind.signals.items()} | dict(bench.gifts)
    tags = tuple(Tag(name=n, role=TagRole.SETPOINT, unit=u, low=-1e9, high=1e9, writable=True) for n, u in units.items())
    plant = Plant(
        name="contract", title="", seed=0, text=bench.kind.name, method=method, step_s=step_s, parts=bench.wiring.parts,
        wiring=bench.wiring, parameters=uncertain(bench), states=states, controllers=(), interlocks=(), invariants=(), sensors=(),
        inputs=tuple(Input(tag=tag, unit=unit(tag.unit), start=0.0) for tag in tags), tags=TagMap(tags),
    )  # fmt: skip
    return Model(
        plant=plant, digest=Digest("contract"), kernel=build(plant, []), states=tuple(s.name for s in states),
        inputs=tuple(Shown(tag=t.name, unit=t.unit, role=t.role) for t in tags), outputs=(), invariants=(), step_s=step_s,
    )  # fmt: skip


def uncertain(bench: Bench) -> tuple[UncertainParameter, ...]:
    return tuple(
        UncertainParameter(name=f"X.{key}", value=given.value, spread=given.spread, positive=True, unit=given.unit)
        for key, given in bench.part.parameters.items()
    )


def start_of(model: Model, states: list[float], inputs: dict[str, float]) -> Snapshot:
    plant = model.plant
    return Snapshot(
        at=0, digest=model.digest, states=np.array([states]), controllers=np.zeros((1, 0)),
        parameters=np.array([[one.value for one in plant.parameters]]),
        inputs=np.array([inputs[one.tag.name] for one in plant.inputs]), trusted=True, health=Health(grade=Grade.IN_STEP, reason=""),
    )  # fmt: skip


def typical_states(model: Model) -> list[float]:
    result = []
    for state in model.plant.states:
        dimension = state.unit.dimension
        value = 320.0 if dimension == unit("K").dimension else 0.4 * state.unit.to_si(1.0)
        result.append(value)
    return result


@MOVING
@pytest.mark.parametrize(("method", "order"), [("heun", 2), ("rk3", 3), ("rk4", 4)])
def test_halving_the_step_converges_at_the_order_of_the_method(kind: Kind, method: str, order: int) -> None:
    """Measured over one second in which signals stand a little off from rest, away from every stop."""
    bench = Bench.of(kind)

    def final(step_s: float) -> np.ndarray:
        model = model_of(bench, step_s, method)
        states = typical_states(model)
        inputs = {one.tag.name: one.unit.from_si(0.43 if one.unit.name == "%" else typical(one.unit.name)) for one in model.plant.inputs}
        # no travel limit, no stop: a stem that starts 3 % off its demand
        return rollout(model, start_of(model, states, inputs), {}, 1.0).final.states[0]

    exact = final(1.0 / 1024)
    coarse, fine = (np.abs(final(step) - exact).max() / np.abs(exact).max() for step in (1.0 / 4, 1.0 / 8))
    assert coarse < 1e-12 or fine < coarse / 2 ** (order - 0.6)


@MOVING
def test_states_stay_at_their_stops_and_within_their_bounds(kind: Kind) -> None:
    bench = Bench.of(kind)
    model = model_of(bench, 0.5)
    parameters = {one.name: one.value for one in model.plant.parameters}

    def value_of(node: Expression) -> float:
        return parameters[node.name]

    chance = np.random.default_rng(1)
    for _ in range(8):
        states = typical_states(model)
        inputs = {}
        for one in model.plant.inputs:
            most = 100.0 if one.unit.name == "%" else 1.0
            inputs[one.tag.name] = float(chance.choice([0.0, most, most / 2.0]))
        run = rollout(model, start_of(model, states, inputs), {}, 200.0)
        assert run.valid.all()
        values = dict(zip(model.states, run.final.states[0], strict=True))
        for state in model.plant.states:
            limits = [None if stop is None else evaluate([stop], value_of)[0] for stop in state.stops]
            assert limits[0] is None or values[state.name] >= limits[0]
            assert limits[1] is None or values[state.name] <= limits[1]


def test_a_kind_has_one_name() -> None:
    assert len({kind.name for kind in CATALOGUE}) == len(CATALOGUE)
    assert all(kind.says for kind in CATALOGUE)
