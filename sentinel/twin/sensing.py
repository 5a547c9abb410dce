"""What the estimator watches: process values and controller outputs, how surely each is read, and what each may correct.

In: a `Model`.  Out: `Sensing`, tables that never change; and `Forecast`, which advances an ensemble and says what would be read at its end.
All numbers are SI; rows are observed tags in the order of `Sensing.tags`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.compiled import Model
from sentinel.twin.ensemble import Ensemble, Recorder, Watch
from sentinel.twin.expression import Op, evaluate, leaves
from sentinel.twin.filter import blocks
from sentinel.twin.tagging import DEFAULT_ACCURACY
from sentinel.twin.units import Unit

F8 = NDArray[np.float64]

PARAMETER_GAIN = 0.2  # of the filter's own: slow, so that a transient is not taken for a change of the plant
MODEL_ERROR = 0.005  # of the span: what equations of this kind leave out over half a minute
DRIFT = 0.0005  # of the span per square root of a second: disturbances that are not modelled
SENSOR_LAG_S = 2.0  # a transmitter may lag so far behind
UNSEEN_DRIFT = 1e-4  # the same of a state that no tag shows: of where it starts, or of its range where that is nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensing:
    """`gains`: rows of observed tags by columns of what they may correct (states, integrals, parameter scores, observed tags), 0 to 1.
    `shows`: state row to the observed tag that reads it directly.  `driven`: output tag to its controller's row.
    """

    tags: tuple[str, ...]
    rows: dict[str, int]
    units: tuple[Unit, ...]
    spans: F8  # of the tags' ranges, SI
    accuracy: F8
    tolerance: F8
    gains: F8
    drift: F8
    shows: dict[int, str]
    driven: dict[str, int]
    instruments: frozenset[str]
    limits: tuple[F8, F8]  # of each state, as columns: stops and physical bounds

    @staticmethod
    def of(model: Model, start: Ensemble) -> "Sensing":
        plant = model.plant
        tags = plant.tags.by_name
        outputs = {one.tag: one for one in model.outputs}
        controllers = {controller.name: row for row, controller in enumerate(plant.controllers)}
        driven = {one.tag.name: controllers[one.controller] for one in plant.inputs if one.controller}
        accuracy = {one.tag.name: one.accuracy for one in plant.sensors}
        accuracy |= {name: DEFAULT_ACCURACY * (tags[name].high - tags[name].low) for name in driven}
        names = tuple(accuracy)
        units = tuple(outputs[name].measure for name in names)
        spans = np.array([measure.scale * (tags[name].high - tags[name].low) for name, measure in zip(names, units, strict=True)])
        states = {state.name: row for row, state in enumerate(plant.states)}
        shows = {states[one.expression.name]: one.tag.name for one in plant.sensors if one.expression.op is Op.STATE}
        rows = {name: row for row, name in enumerate(names)}
        moved = {state.name for state in plant.states if leaves([state.derivative], Op.OUTPUT)}
        limits = []
        for state in plant.states:
            low, high = state.stops
            lowest = -math.inf if low is None else float(np.max(evaluate([low], start.value_of)[0]))
            highest = math.inf if high is None else float(np.min(evaluate([high], start.value_of)[0]))
            limits.append((max(lowest, state.bounds[0]), min(highest, state.bounds[1])))
        starts = np.abs(start.states).mean(axis=1).tolist()
        drift = [
            DRIFT * spans[rows[shows[row]]] if row in shows else UNSEEN_DRIFT * (starts[row] or high - low)
            for row, (low, high) in enumerate(limits)
        ]
        in_states, in_controllers, in_parameters, in_outputs = blocks(plant, [outputs[name].expression for name in names])
        column = in_outputs.reshape(-1, 1)
        gains = np.hstack(
            [in_states == column, in_controllers == column, PARAMETER_GAIN * (in_parameters == column), in_outputs == column]
        ).astype(np.float64)
        return Sensing(
            tags=names,
            rows=rows,
            units=units,
            spans=spans,
            accuracy=np.array([measure.scale * accuracy[name] for name, measure in zip(names, units, strict=True)]),
            tolerance=MODEL_ERROR * spans,
            gains=gains,
            drift=np.array(drift),
            shows=shows,
            driven=driven,
            instruments=frozenset(one.tag.name for one in plant.sensors if one.expression.name not in moved),
            limits=(np.array([[low] for low, _ in limits]), np.array([[high] for _, high in limits])),
        )

    def hold(self, states: F8) -> None:
        """States back to where they can be."""
        np.clip(states, *self.limits, out=states)


class Sureness:
    """How surely each tag is read: what moves fast is read less surely, because its transmitter lags behind."""

    def __init__(self, sensing: Sensing) -> None:
        self._accuracy: list[float] = sensing.accuracy.tolist()
        self._means: F8 | None = None  # of the forecasts, SI
        self._rates: F8 = np.zeros(len(sensing.tags))

    def begin(self) -> None:
        """With the next forecast: what moved before says nothing of it."""
        self._means = None

    def follow(self, means: F8, span_s: float) -> None:
        if self._means is not None:
            self._rates = np.maximum(np.abs(means - self._means) / span_s, self._rates * math.exp(-span_s / SENSOR_LAG_S))
        self._means = means

    def sigmas(self, read: Iterable[tuple[int, float, bool]]) -> list[float]:
        """Standard deviations, SI.  ``read``: row, seconds for which it has waited, and whether its source calls it uncertain."""
        rates = self._rates.tolist()
        found = []
        for row, late_s, is_uncertain in read:
            sigma = math.hypot(self._accuracy[row], (SENSOR_LAG_S + late_s) * rates[row])
            found.append(2.0 * sigma if is_uncertain else sigma)
        return found


class Forecast:
    """Advances ensembles and says what would be read at their end: rows in the order of `tags`."""

    def __init__(self, model: Model, tags: tuple[str, ...]) -> None:
        self._model = model
        self._recorder = Recorder.of(model, tags, 0, 0, 1)

    def run(self, ensemble: Ensemble, span_s: float) -> F8:
        """(tags, lanes) at the end; lanes beyond the last group that holds a member say nothing."""
        steps = max(1, math.ceil(span_s / self._model.step_s - 1e-9))
        predicted = np.zeros((1, len(self._recorder.tags), ensemble.stride))
        recorder = replace(self._recorder, buffer=predicted, every=steps, first=steps)
        ensemble.advance(steps, span_s / steps, 0.0, Watch.fresh(self._model, ensemble.stride), recorder)
        ended: F8 = predicted[0]
        return ended
