"""The twin in plain numpy: the same graph, read instead of compiled.  Slow, obvious, and equal to the last bit."""

from typing import Any

import numpy as np

from sentinel.twin.engine import Model, Snapshot
from sentinel.twin.ensemble import Ensemble
from sentinel.twin.expression import Expression, Op, evaluate


class NumpyTwin:
    def __init__(self, model: Model, snapshot: Snapshot, writes: dict[str, float] | None = None) -> None:
        self.plant = model.plant
        self.ensemble = Ensemble.from_snapshot(model, snapshot)
        self.ensemble.write(writes or {})
        self.trips = {one.name: 0.0 for one in self.plant.interlocks}
        self.dt = model.step_s
        self._states = {state.name: row for row, state in enumerate(self.plant.states)}
        self._controllers = {one.name: row for row, one in enumerate(self.plant.controllers)}

    def value_of(self, node: Expression, states: Any) -> Any:
        match node.op:
            case Op.STATE:
                return states[self._states[node.name]]
            case Op.TRIPPED:
                return self.trips[node.name]
            case Op.STEP:
                return self.dt
            case Op.INTEGRAL:
                return self.ensemble.controllers[2 * self._controllers[node.name]]
            case _:
                return self.ensemble.value_of(node)

    def evaluate(self, roots: list[Expression], states: Any) -> list[Any]:
        return evaluate(roots, lambda node: self.value_of(node, states))

    def rates(self, states: Any) -> Any:
        lanes = self.ensemble.stride
        return np.array([np.broadcast_to(x, lanes) for x in self.evaluate([s.derivative for s in self.plant.states], states)])

    def scan(self) -> None:
        states = self.ensemble.states
        for one in self.plant.interlocks:
            self.trips[one.name] = self.evaluate([one.tripped], states)[0]
        scans = [expression for controller in self.plant.controllers for expression in controller.scan()]
        for row, value in enumerate(self.evaluate(scans, states)):
            self.ensemble.controllers[row] = value

    def step(self) -> None:
        self.scan()
        x, dt = self.ensemble.states, self.dt
        if self.plant.method == "heun":
            k1 = self.rates(x)
            moved = x + (dt * 0.5) * (k1 + self.rates(x + dt * k1))
        elif self.plant.method == "rk3":
            k1 = self.rates(x)
            k2 = self.rates(x + (dt * (1.0 / 3.0)) * k1)
            k3 = self.rates(x + (dt * (2.0 / 3.0)) * k2)
            moved = x + (dt * 0.25) * (k1 + 3.0 * k3)
        else:
            half = dt * 0.5
            k1 = self.rates(x)
            k2 = self.rates(x + half * k1)
            k3 = self.rates(x + half * k2)
            k4 = self.rates(x + dt * k3)
            inner = k2 + k3
            moved = x + (dt * (1.0 / 6.0)) * ((k1 + k4) + (inner + inner))
        for row, state in enumerate(self.plant.states):
            low, high = state.stops
            if low is not None:
                moved[row] = np.maximum(moved[row], self.evaluate([low], moved)[0])
            if high is not None:
                moved[row] = np.minimum(moved[row], self.evaluate([high], moved)[0])
        self.ensemble.states[:] = moved
