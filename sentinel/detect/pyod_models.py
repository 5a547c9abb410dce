"""The only door to PyOD: one detector of ours on its `BaseDetector`, and its state as plain arrays.

`MSPC` scores by the Mahalanobis distance over all components of the shrunk correlation matrix (multivariate statistical process
control).  Its moments merge exactly and in any order (Chan, Golub, LeVeque 1983), so it learns in batches and rests as a few arrays.
PyOD's contamination is not used: thresholds come from `calibrate`.  Importing PyOD takes seconds and some 200 MB: import this module
only when there is something to fit or to score.
"""

from typing import Any, Self

import numpy as np
from pyod.models.base import BaseDetector

from sentinel.model.columns import Array


class MSPC(BaseDetector):  # type: ignore[misc]
    """``floor``: the smallest standard deviation of each feature, e.g. its resolution / sqrt(12), so that constants divide by something."""

    def __init__(self, contamination: float = 1e-3, shrink: float = 1e-2, floor: Array | None = None) -> None:
        super().__init__(contamination=contamination)
        self.shrink = shrink
        self.floor = floor
        self.count = 0
        self.mean: Array = np.zeros(0)
        self.scatter: Array = np.zeros((0, 0))

    def partial_fit(self, rows: Array) -> Self:
        """Rows x features, finite."""
        added, mean = len(rows), rows.mean(axis=0)
        scatter = (rows - mean).T @ (rows - mean)
        if self.count:
            shift = mean - self.mean
            scatter = self.scatter + scatter + np.outer(shift, shift) * (self.count * added / (self.count + added))
            mean = self.mean + shift * (added / (self.count + added))
        self.count += added
        self.mean, self.scatter = mean, scatter
        self._invert()
        return self

    def _invert(self) -> None:
        covariance = self.scatter / max(self.count - 1, 1)
        floor = np.zeros(len(self.mean)) if self.floor is None else self.floor
        self.deviation = np.maximum(np.sqrt(np.diag(covariance)), np.maximum(floor, 1e-9))
        correlation = covariance / np.outer(self.deviation, self.deviation)
        np.fill_diagonal(correlation, 1.0)  # what a floor adds is noise of the feature alone
        correlation = (1.0 - self.shrink) * correlation + self.shrink * np.eye(len(correlation))
        weights, vectors = np.linalg.eigh(correlation)
        self.precision = (vectors / np.maximum(weights, 1e-9)) @ vectors.T

    def fit(self, X: Array, y: Any = None) -> Self:  # noqa: N803 - PyOD's own names
        self._set_n_classes(y)
        self.count = 0
        self.partial_fit(np.asarray(X, np.float64))
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Array) -> Array:  # noqa: N803
        """Distance in standard deviations, per feature: sqrt(D2 / features)."""
        z = (np.asarray(X, np.float64) - self.mean) / self.deviation
        squared = np.einsum("ij,jk,ik->i", z, self.precision, z)
        distance: Array = np.sqrt(np.maximum(squared, 0.0) / len(self.mean))
        return distance

    def contributions(self, row: Array) -> Array:
        """Each feature's share of a row's distance, by reconstruction (Alcala and Qin 2009); sums to 1."""
        z = (row - self.mean) / self.deviation
        shares = (self.precision @ z) ** 2 / np.diag(self.precision)
        total = float(shares.sum())
        normed: Array = shares / total if total > 0 else np.zeros(len(shares))
        return normed

    def arrays(self) -> dict[str, Array]:
        floor = np.zeros(len(self.mean)) if self.floor is None else self.floor
        return {"mean": self.mean, "scatter": self.scatter, "floor": floor, "count": np.array([self.count], np.int64)}

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> Self:
        model = cls(floor=arrays["floor"])
        model.mean, model.scatter, model.count = arrays["mean"], arrays["scatter"], int(arrays["count"][0])
        size = len(model.mean)
        if model.scatter.shape != (size, size) or model.floor is None or len(model.floor) != size:
            raise ValueError("the arrays of a process model do not fit together")
        model._invert()
        return model


def plain(rows: Array, seed: int) -> BaseDetector:
    """An isolation forest as PyOD gives it, for comparison; no detector of ours uses it.  Rows x features, finite."""
    from pyod.models.iforest import IForest

    return IForest(random_state=seed).fit(rows)
