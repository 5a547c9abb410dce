"""How a machine sounds while all is well: one `ProcessModel` for each of its modes, over features of short frames.

Modes are found, not told: what was learnt is cut in two along its main direction as long as the halves lie clearly apart (Ashman's D of
their means above `APART`) and both are long enough to learn from.  A frame is judged in the mode whose centre is nearest.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from sentinel.detect.process_model import BLOCK_ROWS, Memory, ProcessModel, Ratios, Shape
from sentinel.model.columns import Array

APART = 4.0  # two normal distributions are told apart from 2 on
MAX_MODES = 8
MIN_ROWS = 10 * BLOCK_ROWS  # of a mode that is cut off
_ROUNDS = 50
_SHAPE = Shape(lags=0, tag_scales=(1.0, 0.2), distance_scales=(1.0, 0.3, 0.1), level_scales=(0.2,))


class SpectrumModel:
    """``fit`` then ``score``.  Rows are features of frames of equal length, finite."""

    def __init__(self) -> None:
        self.centres: Array = np.zeros((0, 0))
        self.spread: Array = np.zeros(0)
        self.models: list[ProcessModel] = []

    def fit(self, rows: Array, false_alarms_per_week: float, row_s: float) -> None:
        """Raises ValueError where there is nothing to learn from."""
        if rows.ndim != 2 or len(rows) < 5 * BLOCK_ROWS or not np.isfinite(rows).all():
            raise ValueError(f"a spectrum is learnt from at least {5 * BLOCK_ROWS} frames of finite features")
        self.spread = np.maximum(rows.std(axis=0), 1e-6)
        parts = _modes(rows / self.spread, np.arange(len(rows)))
        self.centres = np.array([(rows[part] / self.spread).mean(axis=0) for part in parts])
        self.models = []
        for part in parts:
            model = ProcessModel(_SHAPE)
            model.fit(rows[part], false_alarms_per_week * len(part) / len(rows), row_s)
            self.models.append(model)

    def modes(self, rows: Array) -> Array:
        """Of each row, the mode that it is judged in."""
        away = ((rows[:, None, :] / self.spread - self.centres[None]) ** 2).sum(axis=2)
        nearest: Array = away.argmin(axis=1)
        return nearest

    def score(self, rows: Array, memories: list[Memory] | None = None) -> Ratios:
        """``memories``: one per mode, of the frames before; else a recording begins."""
        memories = memories or self.memories()
        mode = self.modes(rows)
        parts = np.zeros((len(rows), max((len(model.limits) for model in self.models), default=0)))
        for number, (model, memory) in enumerate(zip(self.models, memories, strict=True)):
            own = np.flatnonzero(mode == number)
            if len(own):
                parts[own, : len(model.limits)] = model.score(rows[own], memory=memory).parts
        return Ratios(ratio=parts.max(axis=1, initial=0.0), parts=parts)

    def memories(self) -> list[Memory]:
        return [Memory() for _ in self.models]

    @property
    def calm(self) -> float:
        return max((model.calm for model in self.models), default=1.0)

    def line_at(self, share: float) -> float:
        return max((model.line_at(share) for model in self.models), default=1.0)

    def furthest(self, row: Array) -> list[tuple[int, float]]:
        """(feature, by how many of its usual deviations it is off its mode's mean), the largest first."""
        model = self.models[int(self.modes(row[None])[0])]
        off = (row[model.tags] - model.mean) / model.deviation
        return [(int(model.tags[i]), float(off[i])) for i in np.argsort(-np.abs(off), kind="stable").tolist()]

    def usual(self, row: Array, feature: int) -> float:
        """What the feature is in the mode of this row."""
        model = self.models[int(self.modes(row[None])[0])]
        return float(model.mean[model.tags.tolist().index(feature)])

    # -- at rest --

    def arrays(self) -> dict[str, Array]:
        found: dict[str, Array] = {"centres": self.centres, "spread": self.spread}
        for number, model in enumerate(self.models):
            found |= {f"mode{number}_{key}": array for key, array in model.arrays().items()}
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, Any]) -> Self:
        """Raises KeyError or ValueError where the arrays are not those of a model."""
        model = cls()
        model.centres, model.spread = arrays["centres"], arrays["spread"]
        if model.centres.ndim != 2 or not 1 <= len(model.centres) <= MAX_MODES or model.centres.shape[1:] != model.spread.shape:
            raise ValueError("the centres of a spectrum's modes do not fit together")
        for number in range(len(model.centres)):
            head = f"mode{number}_"
            own = {key.removeprefix(head): array for key, array in arrays.items() if key.startswith(head)}
            model.models.append(ProcessModel.of(own, _SHAPE))
            if int(model.models[-1].tags.max(initial=0)) >= len(model.spread):
                raise ValueError("a mode of a spectrum knows more features than there are")
        return model


def _modes(rows: Array, part: Array, room: int = MAX_MODES) -> Sequence[Array]:
    """Disjoint parts of ``part``, at most ``room``, each in its order."""
    if room < 2 or len(part) < 2 * MIN_ROWS:
        return [part]
    own = rows[part]
    centred = own - own.mean(axis=0)
    along = centred @ np.linalg.svd(centred[:: max(1, len(centred) // 2000)], full_matrices=False)[2][0]
    upper = _halves(along)
    low, high = along[~upper], along[upper]
    if min(len(low), len(high)) < MIN_ROWS:
        return [part]
    apart = np.sqrt(2.0) * abs(high.mean() - low.mean()) / np.sqrt(low.var() + high.var() + 1e-12)
    if apart < APART:
        return [part]
    left = _modes(rows, part[~upper], room - 1)
    return [*left, *_modes(rows, part[upper], room - len(left))]


def _halves(along: Array) -> Array:
    """Two means in one dimension (Lloyd): which values belong to the upper one."""
    cut = float(along.mean())
    for _ in range(_ROUNDS):
        upper = along > cut
        if upper.all() or not upper.any():
            break
        new = float(along[upper].mean() + along[~upper].mean()) / 2.0
        if new == cut:
            break
        cut = new
    return np.asarray(along > cut)
