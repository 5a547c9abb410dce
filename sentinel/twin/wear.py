"""What service does to a plant: parameters that lose a share of their value, hour by hour, until something is overhauled.

In: a plant file's ``wear`` and how long the twin has followed its plant.  Out: how low the score of each parameter may lie by then.  The
declared spread is of the plant as it was built; what lies outside it at first sight is not worn but wrongly described, and is not believed.
Only what a twin has seen go, no faster than it can, is wear.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.ensemble import PARAMETER_LIMIT
from sentinel.twin.plant import Plant

F8 = NDArray[np.float64]

WORN = 0.25  # what has lost more than this share is not worn, but broken


@dataclass(frozen=True, slots=True, eq=False)
class Wear:
    """Columns, a row for each parameter.  Those that wear are positive, so that their scores are logarithms."""

    per_s: F8  # share of the value
    relative: F8  # spread; of one that does not wear it does not count

    @staticmethod
    def of(plant: Plant) -> "Wear":
        worn = [(one.wear_per_s, one.spread / one.value) if one.wear_per_s else (0.0, 1.0) for one in plant.parameters]
        per_s, relative = np.array(worn).reshape(-1, 2).T
        return Wear(per_s[:, None], relative[:, None])

    def lowest(self, service_s: float) -> F8:
        lost = np.minimum(self.per_s * max(service_s, 0.0), WORN)
        low: F8 = np.log1p(-lost) / self.relative - PARAMETER_LIMIT
        return low
