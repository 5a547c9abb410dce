"""Finding the plant's state from its first readings: what an ensemble that knows only the plant file is set to.

In: a model's tables, an ensemble with the inputs as they are and states as well as they are known, and one reading per tag.  Out: the same
ensemble with states that explain the readings and controllers that hold the plant there.  Parameters stay as they are: one moment cannot
tell a wrong parameter from a wrong state.

States that a tag shows are set to it; the others begin widely spread and are corrected by all process values in several weaker passes,
because outputs are not linear in them (ensemble smoother with multiple data assimilation; Emerick and Reynolds, Computers & Geosciences 55,
2013).  Outputs are set before integrals: an inner loop's setpoint is the output of its outer one.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.compiled import Model
from sentinel.twin.correction import correct, padded
from sentinel.twin.ensemble import Ensemble
from sentinel.twin.expression import evaluate
from sentinel.twin.sensing import Forecast, Sensing

F8 = NDArray[np.float64]

PASSES = 4  # each with so many times the variance: together they say as much as one
UNSEEN = 0.05  # standard deviation of a state that no tag shows, of its value
UNKNOWN_OUTPUT = 0.1  # of a controller's output that nobody reads, as a fraction
_EVERY = math.inf  # standard deviations: the plant may be anywhere, so no reading is too far from what is known
_NOW_S = 1e-3  # an ensemble that is not advanced says nothing; nothing of a plant moves in a millisecond


def find_state(
    model: Model, sensing: Sensing, forecast: Forecast, ensemble: Ensemble, readings: Mapping[str, float], chance: np.random.Generator
) -> None:
    """`readings` in the tags' units."""
    _spread(sensing, ensemble, readings, chance)
    _explain(sensing, forecast, ensemble, readings)
    _hold(model, ensemble, readings, chance)


def _spread(sensing: Sensing, ensemble: Ensemble, readings: Mapping[str, float], chance: np.random.Generator) -> None:
    for row, state in enumerate(ensemble.states):
        noise = chance.standard_normal(ensemble.stride)
        tag = sensing.shows.get(row)
        if tag is not None and tag in readings:
            at = sensing.rows[tag]
            state[:] = sensing.units[at].to_si(readings[tag]) + sensing.accuracy[at] * noise
        else:
            state[:] = state.mean() * (1.0 + UNSEEN * noise)
    sensing.hold(ensemble.states)


def _explain(sensing: Sensing, forecast: Forecast, ensemble: Ensemble, readings: Mapping[str, float]) -> None:
    members, states = ensemble.members, len(ensemble.states)
    tags = [tag for tag in readings if tag in sensing.rows and tag not in sensing.driven]
    taken = np.array([sensing.rows[tag] for tag in tags], np.int64)
    values = np.array([sensing.units[row].to_si(readings[tag]) for tag, row in zip(tags, taken.tolist(), strict=True)])
    outputs = sensing.gains.shape[1] - len(sensing.tags)
    gains = np.hstack([sensing.gains[taken, :states], sensing.gains[taken, outputs:]])
    gains[:, [row for row, tag in sensing.shows.items() if tag in readings]] = 0.0  # known already: a wrong parameter must not move them
    rows: F8 = np.zeros((states + len(sensing.tags), padded(members)))
    for _ in range(PASSES):
        rows[:states, :members] = ensemble.states[:, :members]
        rows[states:, :members] = forecast.run(ensemble.copy(), _NOW_S)[:, :members]
        correct(rows, members, gains, states + taken, values, PASSES * sensing.accuracy[taken] ** 2, _EVERY)
        ensemble.states[:, :members] = rows[:states, :members]
        sensing.hold(ensemble.states)
    ensemble.states[:, members:] = ensemble.states[:, :1]


def _hold(model: Model, ensemble: Ensemble, readings: Mapping[str, float], chance: np.random.Generator) -> None:
    plant, controllers = model.plant, ensemble.controllers
    for row, controller in enumerate(plant.controllers):
        here = model.input_rows[controller.op]
        output = np.full(ensemble.stride, ensemble.inputs[here])
        if controller.op in readings:
            output[:] = plant.inputs[here].unit.to_si(readings[controller.op])
        else:
            output += UNKNOWN_OUTPUT * chance.standard_normal(ensemble.stride)
        controllers[2 * row + 1] = np.clip(output, 0.0, 1.0)
    for row, controller in enumerate(plant.controllers):
        controllers[2 * row] = controllers[2 * row + 1] - evaluate([controller.proportional], ensemble.value_of)[0]
