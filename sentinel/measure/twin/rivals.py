"""The same plant computed otherwise: numpy over all members at once, plain numba member by member, scipy's solvers for one member.

In: a model and a snapshot.  Out: how long each took, and how far its final states are from ours.  One source text, written from the graph
that the engine compiles, serves all of them, so they compute the same equations, scans and invariants; only square roots that divide are
written as such.  Invariants that count starts are left out: the plants measured here have none.
"""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from sentinel.clock import Clock
from sentinel.twin.elementary import ROUNDER
from sentinel.twin.engine import Model, Rollout, Snapshot
from sentinel.twin.ensemble import Ensemble
from sentinel.twin.expression import LEAVES, Expression, Op, walk

F8 = NDArray[np.float64]
Solver = Literal["RK45", "LSODA", "BDF"]
SOLVERS: tuple[Solver, ...] = ("RK45", "LSODA", "BDF")

_FORMS = {
    Op.MINIMUM: "minimum({0}, {1})",
    Op.MAXIMUM: "maximum({0}, {1})",
    Op.ROOT: "sqrt(maximum({0}, 0.0))",
    Op.INVERSE_ROOT: "1.0 / sqrt(maximum({0}, 0.0))",
    Op.MAGNITUDE: "absolute({0})",
    Op.GREATER: "where({0} > {1}, 1.0, 0.0)",
    Op.WHERE: "where({0} > 0.5, {1}, {2})",
    Op.SCALE: "scale({0})",
    Op.EXPONENT: "exponent({0})",
    Op.SIGNIFICAND: "significand({0})",
}
_NUMPY: Mapping[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("minimum", "maximum", "sqrt", "absolute", "where")},
    "scale": lambda rounded: np.ldexp(1.0, np.asarray(rounded - ROUNDER, np.int64)),
    "exponent": lambda a: np.frexp(a)[1] - 1.0,
    "significand": lambda a: 2.0 * np.frexp(a)[0],
}
# stage times and weights of each method (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.1)
STAGES = {
    "heun": ((1.0,), (0.5, 0.5)),
    "rk3": ((1.0 / 3.0, 2.0 / 3.0), (0.25, 0.0, 0.75)),
    "rk4": ((0.5, 0.5, 1.0), (1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """`difference`: of final states from ours, the largest, as a share of the state's own size; `members` of them were run."""

    members: int
    wall_ms: float
    build_s: float
    difference: float


@dataclass(frozen=True, slots=True)
class Task:
    """What a rival is given: rows of quantities (a column per member), SI."""

    model: Model
    start: Snapshot
    writes: Mapping[str, float]
    horizon_s: float
    ours: Rollout

    def arrays(self) -> "tuple[F8, F8, F8, F8]":
        """States, controllers, parameters, inputs."""
        ensemble = Ensemble.from_snapshot(self.model, self.start)
        ensemble.write(self.writes)
        rows = (ensemble.states, ensemble.controllers, ensemble.parameters)
        states, controllers, parameters = (np.ascontiguousarray(one[:, : ensemble.members]) for one in rows)
        return states, controllers, parameters, ensemble.inputs

    def difference(self, states: F8) -> float:
        ours = self.ours.final.states[: states.shape[1]].T
        return float((np.abs(states - ours) / np.maximum(np.abs(ours), 1e-9)).max())


def numpy_batched(model: Model, start: Snapshot, writes: Mapping[str, float], ours: Rollout, horizon_s: float, clock: Clock) -> Rival:
    task = Task(model, start, writes, horizon_s, ours)
    begun = clock.monotonic_s()
    functions = _functions(model, _NUMPY, lambda f: f)
    built_s = clock.monotonic_s() - begun
    x, c, p, u = task.arrays()
    trips, distances = np.zeros((len(model.plant.interlocks), x.shape[1])), np.zeros((len(model.invariants), x.shape[1]))
    slopes = [np.empty_like(x) for _ in STAGES[model.plant.method][1]]
    times, weights = STAGES[model.plant.method]
    worst, crossed = np.full(distances.shape, np.inf), np.full(distances.shape, np.inf)
    begun = clock.monotonic_s()
    for step in range(round(horizon_s / model.step_s)):
        functions["scan"](x, c, trips, p, u, model.step_s)
        at = x
        for stage, slope in enumerate(slopes):
            functions["rates"](at, c, trips, p, u, model.step_s, slope)
            if stage < len(times):
                at = x + times[stage] * model.step_s * slope
        x = x + model.step_s * sum((w * slope for w, slope in zip(weights, slopes, strict=True) if w), np.zeros(()))
        functions["hold"](x, c, trips, p, u, model.step_s)
        functions["watch"](x, c, trips, p, u, model.step_s, distances)
        np.minimum(worst, distances, out=worst)
        crossed = np.where((distances < 0.0) & np.isinf(crossed), step * model.step_s, crossed)
    took_s = clock.monotonic_s() - begun
    return Rival(members=x.shape[1], wall_ms=1e3 * took_s, build_s=built_s, difference=task.difference(x))


def numba_plain(model: Model, start: Snapshot, writes: Mapping[str, float], ours: Rollout, horizon_s: float, clock: Clock) -> Rival:
    """Every member for itself, in a compiled loop over arrays: what one writes who does not think of vectors."""
    task = Task(model, start, writes, horizon_s, ours)
    x, c, p, u = (np.ascontiguousarray(rows.T) for rows in task.arrays())
    begun = clock.monotonic_s()
    advance = _numba_loop(model)
    advance(x[:1].copy(), c[:1].copy(), p[:1], u, 1)
    built_s = clock.monotonic_s() - begun
    begun = clock.monotonic_s()
    advance(x, c, p, u, round(horizon_s / model.step_s))
    took_s = clock.monotonic_s() - begun
    return Rival(members=len(x), wall_ms=1e3 * took_s, build_s=built_s, difference=task.difference(np.ascontiguousarray(x.T)))


def scipy_solver(model: Model, start: Snapshot, horizon_s: float, solver: Solver, clock: Clock, run: Callable[..., Rollout]) -> Rival:
    """One member with every controller in manual, so that the plant is one smooth equation; its rates are compiled by numba."""
    writes = {one.auto_tag: 0.0 for one in model.plant.controllers} | {one.op: 60.0 for one in model.plant.controllers}
    task = Task(model, start.take(1), writes, horizon_s, run(model, start.take(1), writes, horizon_s))
    columns = [rows[:, 0] if rows.ndim == 2 else rows for rows in task.arrays()]
    x, c, p, u = (np.ascontiguousarray(rows) for rows in columns)
    begun = clock.monotonic_s()
    functions = _numba_functions(model)
    trips, slope = np.zeros(len(model.plant.interlocks)), np.empty_like(x)
    functions["scan"](x, c, trips, p, u, model.step_s)
    functions["rates"](x, c, trips, p, u, model.step_s, slope)
    built_s = clock.monotonic_s() - begun

    def rates(_: float, at: F8) -> F8:
        functions["rates"](at, c, trips, p, u, model.step_s, slope)
        return slope.copy()

    begun = clock.monotonic_s()
    solved = solve_ivp(rates, (0.0, horizon_s), x, solver, rtol=1e-4, atol=1e-7)
    took_s = clock.monotonic_s() - begun
    return Rival(members=1, wall_ms=1e3 * took_s, build_s=built_s, difference=task.difference(solved.y[:, -1:]))


def _numba_functions(model: Model) -> dict[str, Any]:
    import numba

    def compiled(function: Callable[..., Any]) -> Any:
        return numba.njit(function, error_model="numpy")

    names = {
        "minimum": compiled(lambda a, b: a if a < b else b),
        "maximum": compiled(lambda a, b: a if a > b else b),
        "where": compiled(lambda condition, a, b: a if condition else b),
        "sqrt": np.sqrt,
        "absolute": np.abs,
        "scale": compiled(lambda rounded: math.ldexp(1.0, int(rounded - ROUNDER))),
        "exponent": compiled(lambda a: math.frexp(a)[1] - 1.0),
        "significand": compiled(lambda a: 2.0 * math.frexp(a)[0]),
    }
    return _functions(model, names, compiled)


def _numba_loop(model: Model) -> Callable[..., None]:
    import numba

    functions = _numba_functions(model)
    scan, rates, hold, watch = (functions[name] for name in ("scan", "rates", "hold", "watch"))
    n, interlocks, invariants, step_s = len(model.states), len(model.plant.interlocks), len(model.invariants), model.step_s
    times = np.array([*STAGES[model.plant.method][0], 0.0])
    weights = np.array(STAGES[model.plant.method][1])

    def advance(states: F8, controllers: F8, parameters: F8, u: F8, steps: int) -> None:
        trips, distances, at = np.zeros(interlocks), np.zeros(invariants), np.empty(n)
        slopes = np.empty((len(weights), n))
        for member in range(len(states)):
            x, c, p = states[member], controllers[member], parameters[member]
            worst, crossed = np.full(invariants, np.inf), np.full(invariants, np.inf)
            for step in range(steps):
                scan(x, c, trips, p, u, step_s)
                at[:] = x
                for stage in range(len(weights)):
                    rates(at, c, trips, p, u, step_s, slopes[stage])
                    for row in range(n):
                        at[row] = x[row] + times[stage] * step_s * slopes[stage, row]
                for stage in range(len(weights)):
                    for row in range(n):
                        x[row] += weights[stage] * step_s * slopes[stage, row]
                hold(x, c, trips, p, u, step_s)
                watch(x, c, trips, p, u, step_s, distances)
                for row in range(invariants):
                    worst[row] = min(worst[row], distances[row])
                    if distances[row] < 0.0 and np.isinf(crossed[row]):
                        crossed[row] = step * step_s

    result: Callable[..., None] = numba.njit(advance, error_model="numpy")
    return result


def statements(model: Model) -> dict[str, list[str]]:
    """`scan`, `rates`, `hold` and `watch` as assignments over x, c, trip, p, u, dt and out, from the plant's graph."""
    plant = model.plant
    scans = [expression for controller in plant.controllers for expression in controller.scan()]
    held = [
        (f"x[{row}]", form, stop)
        for row, one in enumerate(plant.states)
        for form, stop in zip(("maximum", "minimum"), one.stops, strict=True)
    ]
    distances = [one.expression for one in plant.invariants]
    limits = [one.unit.to_si(one.limit) for one in plant.invariants]
    write = _Writer(model)
    return {
        "scan": [
            *(line for row, one in enumerate(plant.interlocks) for line in write([one.tripped], [f"trip[{row}] = {{}}"])),
            *write(scans, [f"c[{row}] = {{}}" for row in range(len(scans))]),
        ],
        "rates": write([one.derivative for one in plant.states], [f"out[{row}] = {{}}" for row in range(len(plant.states))]),
        "hold": [line for where, form, stop in held if stop is not None for line in write([stop], [f"{where} = {form}({where}, {{}})"])],
        "watch": write(
            distances,
            [
                f"out[{row}] = {limits[row]!r} - {{}}" if one.is_upper else f"out[{row}] = {{}} - {limits[row]!r}"
                for row, one in enumerate(plant.invariants)
            ],
        ),
    }


def _functions(model: Model, names: Mapping[str, Any], wrap: Callable[[Callable[..., Any]], Any]) -> dict[str, Any]:
    """Those statements as functions over `names`."""
    result: dict[str, Any] = {}
    for name, lines in statements(model).items():
        head = f"def {name}(x, c, trip, p, u, dt{', out' if name in {'rates', 'watch'} else ''}):\n"
        space = {**names, "inf": math.inf}  # a constant of the graph, as `repr` writes it
        exec(head + textwrap.indent("\n".join(lines or ["pass"]), "    "), space)  # noqa: S102 - our own text, from our own graph
        result[name] = wrap(space[name])
    return result


class _Writer:
    """Statements that compute expressions and put them where they belong."""

    def __init__(self, model: Model) -> None:
        plant = model.plant
        controllers = {one.name: row for row, one in enumerate(plant.controllers)}
        self.places: dict[tuple[Op, str], str] = {(Op.STEP, ""): "dt"}
        self.places |= {(Op.STATE, one.name): f"x[{row}]" for row, one in enumerate(plant.states)}
        self.places |= {(Op.PARAMETER, one.name): f"p[{row}]" for row, one in enumerate(plant.parameters)}
        self.places |= {(Op.INPUT, one.tag.name): f"u[{row}]" for row, one in enumerate(plant.inputs)}
        self.places |= {(Op.INTEGRAL, name): f"c[{2 * row}]" for name, row in controllers.items()}
        self.places |= {(Op.OUTPUT, name): f"c[{2 * row + 1}]" for name, row in controllers.items()}
        self.places |= {(Op.TRIPPED, one.name): f"trip[{row}]" for row, one in enumerate(plant.interlocks)}

    def __call__(self, roots: Sequence[Expression], targets: Sequence[str]) -> list[str]:
        names: dict[int, str] = {}
        lines = []
        for node in walk(roots):
            if node.op is Op.CONSTANT:
                names[id(node)] = repr(node.value)
            elif node.op in LEAVES:
                names[id(node)] = self.places[node.op, node.name]
            else:
                names[id(node)] = f"v{len(names)}"
                given = [names[id(argument)] for argument in node.arguments]
                form = _FORMS.get(node.op, f"{{0}} {node.op} {{1}}")
                lines.append(f"{names[id(node)]} = {form.format(*given)}")
        return [*lines, *(target.format(names[id(root)]) for root, target in zip(roots, targets, strict=True))]
