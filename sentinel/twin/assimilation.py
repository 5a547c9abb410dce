"""The members that follow the plant: readings correct their states, controller integrals and (slowly) parameters; drift keeps them apart.

In: forecasts of a slot and what was read in it.  Out: the ensemble, corrected in place, and its parameters as standard scores.  It is an
ensemble Kalman filter (`correction`); which quantity a reading may correct says `Sensing.gains`.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.compiled import Model
from sentinel.twin.correction import correct, padded
from sentinel.twin.ensemble import PARAMETER_LIMIT, Ensemble, Spreads
from sentinel.twin.sensing import Sensing

F8 = NDArray[np.float64]

OUTLIER = 6.0  # standard deviations: the filter skips such a reading, the test counts it
PARAMETER_FLOOR = 0.25  # of the declared spread: what is left of doubt however long the twin has listened
PARAMETER_GROWTH = 1.01  # per correction, at most: the bound on inflation
INTEGRAL_DRIFT = 3e-4  # of full output per square root of a second: what a controller does that is not modelled


class Assimilation:
    """`main` is the ensemble, `scores` its parameters in declared spreads; lanes beyond its members repeat the first one."""

    def __init__(self, model: Model, sensing: Sensing, spreads: Spreads, start: Ensemble, chance: np.random.Generator) -> None:
        self._model, self._sensing, self._spreads, self._chance = model, sensing, spreads, chance
        self._rows: F8 = np.zeros((sensing.gains.shape[1], padded(start.members)))  # as the columns of `gains`
        self._anomaly: F8 = np.zeros((len(model.plant.parameters), start.members))
        self.set(start)

    def set(self, main: Ensemble) -> None:
        self.main = main
        self.scores: F8 = self._spreads.scores_of(main.parameters)

    @property
    def known(self) -> F8:
        """The members' scores."""
        return self.scores[:, : self.main.members]

    def is_auto(self, controller: int) -> bool:
        tag = self._model.plant.controllers[controller].auto_tag
        return bool(self.main.inputs[self._model.input_rows[tag]] > 0.5)

    def correct(
        self, read: Mapping[str, float], believed: Mapping[str, float], predicted: F8, unread: NDArray[np.bool_], lowest: F8
    ) -> None:
        """All readings of a slot, one after the other; the parameters move as standard scores, not below the column ``lowest``.

        ``read``: by tag, in its unit.  ``believed``: standard deviations, SI, of those that correct.  ``unread``: controllers whose output
        nobody reads.
        """
        plant, main, sensing, members = self._model.plant, self.main, self._sensing, self.main.members
        n, c, p = len(plant.states), len(plant.controllers), len(plant.parameters)
        rows = self._rows[:, :members]
        rows[:n], rows[n : n + c] = main.states[:, :members], main.controllers[0::2, :members]
        rows[n + c : n + c + p], rows[n + c + p :] = self.known, predicted[:, :members]
        manual = np.array([not self.is_auto(row) for row in range(c)], bool)
        taken = [sensing.rows[tag] for tag in believed]
        gains = sensing.gains[taken]
        gains[:, n : n + c][:, manual & ~unread] = 0.0  # it is known, not estimated
        values = np.array([sensing.units[row].to_si(read[tag]) for tag, row in zip(believed, taken, strict=True)])
        variances = np.array([sigma**2 for sigma in believed.values()])
        correct(self._rows, members, gains, n + c + p + np.array(taken, np.int64), values, variances, OUTLIER)
        for tag, row in sensing.driven.items():
            if manual[row] and unread[row]:
                shifted = main.controllers[2 * row + 1, :members] + rows[n + row] - main.controllers[2 * row, :members]
                main.controllers[2 * row + 1, :members] = np.clip(shifted, 0.0, 1.0)
            elif tag in read:
                main.controllers[2 * row + 1, :members] = np.clip(rows[n + c + p + sensing.rows[tag]], 0.0, 1.0)
        main.states[:, :members], main.controllers[0::2, :members] = rows[:n], rows[n : n + c]
        self._move(rows[n + c : n + c + p], lowest)

    def _move(self, scores: F8, lowest: F8) -> None:
        """Parameters to where they were corrected to; doubt about them that has shrunk below its floor grows again."""
        members = self.main.members
        mean = scores.mean(axis=1, keepdims=True)
        anomaly = np.subtract(scores, mean, out=self._anomaly)
        spread = np.sqrt(np.einsum("ij,ij->i", anomaly, anomaly)[:, None] / members)
        growth = np.clip(PARAMETER_FLOOR / np.maximum(spread, 1e-12), 1.0, PARAMETER_GROWTH)
        anomaly *= growth
        anomaly += mean
        np.maximum(anomaly, lowest, out=anomaly)  # `clip` takes longer where a bound is a column
        np.minimum(anomaly, PARAMETER_LIMIT, out=self.scores[:, :members])
        self.scores[:, members:] = self.scores[:, :1]
        self._spreads.values_at(self.scores, out=self.main.parameters)

    def disturb(self, span_s: float) -> None:
        main, members = self.main, self.main.members
        main.states += self._noise(self._sensing.drift[:, None], len(main.states), span_s)
        self._sensing.hold(main.states)
        main.controllers[0::2] += self._noise(INTEGRAL_DRIFT, len(self._model.plant.controllers), span_s)
        main.states[:, members:] = main.states[:, :1]
        main.controllers[:, members:] = main.controllers[:, :1]

    def _noise(self, spread: F8 | float, rows: int, span_s: float) -> F8:
        """Even noise of a spread per square root of a second: after a few slots its sum is normal, and it costs a fifth of normal noise."""
        noise = self._chance.random((rows, self.main.stride))
        noise -= 0.5
        noise *= 2.0 * math.sqrt(3.0 * span_s) * spread
        return noise
