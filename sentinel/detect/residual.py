"""Residual: is the whole process where it usually is?  One PyOD detector over all tags of a second together.

Its features are the residuals against the twin where windows carry them, else the readings themselves; each tag keeps its last value
for up to `HOLD_S`.  Learning keeps rows; activation fits on the first 70 %, sets the threshold on the rest by the plant's false-alarm
budget, then fits on all.  The score is smoothed, so one odd second is no alarm.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import Budget, block_maxima, threshold
from sentinel.detect.evidence import listed
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import NS_PER_S
from sentinel.model.window import Window
from sentinel.ports import Spec

if TYPE_CHECKING:
    from sentinel.detect.pyod_models import MSPC

HOLD_S = 30.0  # a tag that was not read for longer is missing, and the second is not judged
MIN_ROWS = 120
MAX_ROWS = 20_000  # of the learning phase; older rows are thinned to every second one
MAX_TAGS = 512
HELD_OUT = 0.3
BLOCK_S = 10.0
SETTLING_S = 600.0  # readings go where a write sends them; only residuals know that it was told so
SMOOTHING = 0.3  # EWMA weight of the newest second
MIN_THRESHOLD = 3.0  # standard deviations per tag
_PROCESS_ROLES = frozenset({TagRole.PROCESS_VALUE, TagRole.OUTPUT})


class Residual:
    spec: ClassVar[Spec] = Spec(
        name="residual",
        summary="all process values of a second together, against their learnt joint distribution (PyOD, Mahalanobis)",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0831", "T0832", "T1692.002"),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map = tag_map
        self._budget = budget or Budget()
        self._last: dict[str, tuple[int, float]] = {}
        self._uses_residuals = False
        self._rows: list[tuple[int, dict[str, float]]] = []
        self._tags: list[str] = []
        self._model: MSPC | None = None
        self._threshold = math.inf
        self._smoothed: float | None = None
        self._last_write = 0

    def _follow(self, window: Window) -> bool:
        """Take the newest value of every tag; did the window carry any?"""
        if len(window.residuals) and not self._uses_residuals and self._model is None:
            self._uses_residuals = True
            self._last.clear()
            self._rows.clear()
        columns = window.residuals if self._uses_residuals else window.readings
        taken = False
        for tag, time, value in _newest(columns):
            if self._is_process(tag) and (tag in self._last or len(self._last) < MAX_TAGS):
                self._last[tag] = (time, value)
                taken = True
        return taken

    def _is_process(self, tag: str) -> bool:
        """Only tags of the plant file that measure or drive the process; a setpoint that an operator moves is no anomaly."""
        known = self._tag_map.by_name.get(tag) if self._tag_map else None
        return known is not None and known.role in _PROCESS_ROLES

    def learn(self, window: Window) -> None:
        if self._follow(window):
            self._rows.append(
                (window.start, {tag: value for tag, (time, value) in self._last.items() if window.end - time <= HOLD_S * NS_PER_S})
            )
            if len(self._rows) > MAX_ROWS:
                self._rows = self._rows[::2]

    def activate(self) -> None:
        tags = (
            sorted(set.intersection(*(set(row) for _, row in self._rows[len(self._rows) // 10 :]))) if len(self._rows) >= MIN_ROWS else []
        )
        if len(tags) < 2:
            self._rows.clear()
            return
        from sentinel.detect.pyod_models import MSPC

        kept = [(time, [row[tag] for tag in tags]) for time, row in self._rows if all(tag in row for tag in tags)]
        times, values = np.array([time for time, _ in kept]), np.array([row for _, row in kept])
        floor = np.array([_resolution(values[:, i]) / math.sqrt(12.0) for i in range(len(tags))])
        cut = int(len(values) * (1.0 - HELD_OUT))
        trial = MSPC(floor=floor).partial_fit(values[:cut])
        scores = _smooth(trial.decision_function(values[cut:]))
        maxima = block_maxima(times[cut:], scores, int(BLOCK_S * NS_PER_S))
        limit = threshold(maxima, self._budget.probability_per_block("residual", BLOCK_S))
        self._threshold = max(MIN_THRESHOLD, 1.2 * float(maxima.max()), limit if math.isfinite(limit) else 0.0)
        self._model, self._tags = MSPC(floor=floor).partial_fit(values), tags
        self._rows.clear()
        self._last.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        self._last_write = max([self._last_write, *(command.seen for command in window.commands)])
        if self._model is None or not self._follow(window):
            return ()
        fresh = {tag: value for tag, (time, value) in self._last.items() if window.end - time <= HOLD_S * NS_PER_S}
        if any(tag not in fresh for tag in self._tags):
            return ()
        row = np.array([fresh[tag] for tag in self._tags])
        now = float(self._model.decision_function(row[None, :])[0])
        self._smoothed = now if self._smoothed is None else SMOOTHING * now + (1.0 - SMOOTHING) * self._smoothed
        settled = self._uses_residuals or window.end - self._last_write > SETTLING_S * NS_PER_S
        if self._smoothed <= self._threshold or not settled:
            return ()
        shares = self._model.contributions(row)
        worst = [int(i) for i in np.argsort(-shares, kind="stable")[:3] if shares[i] > 0.1] or [int(np.argmax(shares))]
        told = listed(
            f"{self._tags[i]} = {row[i]:.4g} (usually {self._model.mean[i]:.4g} +- {self._model.deviation[i]:.2g})" for i in worst
        )
        named = listed(self._tags[i] for i in worst)
        kind = "residuals against the twin" if self._uses_residuals else "readings"
        return (
            Detection(
                detector=self.spec.name,
                title=f"The process is not where it usually is: {named}",
                seen=window.start,
                tags=tuple(self._tags[i] for i in worst),
                cause="process:plant",
                feature="joint distance",
                observed=f"{self._smoothed:.2f} standard deviations per tag",
                expected=f"at most {self._threshold:.2f}, from held-out normal seconds",
                score=self._smoothed,
                threshold=self._threshold,
                why=f"The {kind} of {len(self._tags)} tags together are {self._smoothed:.1f} standard deviations per tag off: {told}.",
                techniques=("T0831",),
                severity=Severity.MEDIUM,
                confidence=0.5,
            ),
        )

    def state(self) -> Mapping[str, Any]:
        if self._model is None:
            return {"tags": []}
        return {"tags": self._tags, "threshold": self._threshold, "uses_residuals": self._uses_residuals, **self._model.arrays()}

    def restore(self, state: Mapping[str, Any]) -> None:
        if not state["tags"]:
            return
        from sentinel.detect.pyod_models import MSPC

        self._tags = [str(tag) for tag in state["tags"]]
        self._threshold, self._uses_residuals = float(state["threshold"]), bool(state["uses_residuals"])
        self._model = MSPC.of({name: state[name] for name in ("mean", "scatter", "floor", "count")})
        if len(self._model.mean) != len(self._tags):
            raise ValueError("the process model and its list of tags differ in length")


def _newest(readings: Readings) -> list[tuple[str, int, float]]:
    """(tag, time of receipt, value) of the last good reading of each tag."""
    rows = np.flatnonzero((readings.tag >= 0) & (readings.quality == Quality.GOOD) & np.isfinite(readings.value))
    last = {int(readings.tag[row]): row for row in rows.tolist()}
    return [(readings.names[code], int(readings.seen[row]), float(readings.value[row])) for code, row in last.items()]


def _smooth(scores: Array) -> Array:
    smoothed = np.empty(len(scores))
    level = float(scores[0]) if len(scores) else 0.0
    for i, score in enumerate(scores.tolist()):
        level = SMOOTHING * score + (1.0 - SMOOTHING) * level
        smoothed[i] = level
    return smoothed


def _resolution(values: Array) -> float:
    """The smallest step between different values: what the instrument or its register can tell apart."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if len(steps) else 0.0
