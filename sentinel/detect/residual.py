"""Residual: is the whole process where it usually is?  One `ProcessModel` over all tags of a second together.

Its features are the residuals against the twin where windows carry them, else the readings themselves; each tag keeps its last value
for up to `HOLD_S`.  Learning keeps rows; activation fits the model, which sets its own limits on held-out rows by the plant's
false-alarm budget.  After a write the readings go where they were sent: what deviates then is said in a lower voice, but it is said.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import WEEK_S, Budget
from sentinel.detect.evidence import listed
from sentinel.model.columns import Array, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import NS_PER_S
from sentinel.model.window import Window
from sentinel.ports import Spec

if TYPE_CHECKING:
    from sentinel.detect.process_model import Memory, ProcessModel

HOLD_S = 30.0  # a tag that was not read for longer is missing: the second is judged by the others
MIN_PRESENT = 0.5  # of the tags; when no more than these are read, the second is not judged
DRIFT_TOLD = 0.5  # of the farthest offset
MIN_ROWS = 150
MAX_ROWS = 20_000  # of the learning phase, some 80 MB; beyond, every second run of rows is dropped
RUN_ROWS = 64  # rows that stay together when some are dropped: a model of neighbours needs neighbours
MAX_TAGS = 512
ROW_S = 1.0  # a window
SETTLING_S = 600.0  # readings go where a write sends them; only residuals know that it was told so
_NAMED = 0.3  # of the largest deviation: a tag that is this far off too is named with it
_FEATURES = {"tag": "relation between tags", "distance": "joint distance", "level": "joint level"}
_PROCESS_ROLES = frozenset({TagRole.PROCESS_VALUE, TagRole.OUTPUT})


class Residual:
    spec: ClassVar[Spec] = Spec(
        name="residual",
        summary="all process values of a second together: each against the others and the last seconds, and all of them jointly",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0831", "T0832", "T1692.002"),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map = tag_map
        self._budget = budget or Budget()
        self._last: dict[str, tuple[int, float]] = {}
        self._uses_residuals = False
        self._columns: dict[str, int] = {}  # of the rows that are kept while learning
        self._rows: list[Array] = []  # NaN = not read; a row knows the columns that were there at its time
        self._tags: list[str] = []
        self._model: ProcessModel | None = None
        self._memory: Memory | None = None
        self._last_row = 0
        self._last_write = 0
        self._told_drift: set[str] = set()

    def _follow(self, window: Window) -> bool:
        """Take the newest value of every tag; did the window carry any?"""
        if len(window.residuals) and not self._uses_residuals and self._model is None:
            self._uses_residuals = True
            self._last.clear()
            self._rows.clear()
            self._columns.clear()
        columns = window.residuals if self._uses_residuals else window.readings
        taken = False
        for tag, time, value in _newest(columns):
            known = self._last.get(tag)
            if known is not None and 0 < known[0] - time <= HOLD_S * NS_PER_S:  # it came late: what is known is newer
                continue
            if self._is_process(tag) and (known is not None or len(self._last) < MAX_TAGS):
                self._last[tag] = (time, value)
                taken = True
        return taken

    def _is_process(self, tag: str) -> bool:
        """Only tags of the plant file that measure or drive the process; a setpoint that an operator moves is no anomaly."""
        known = self._tag_map.by_name.get(tag) if self._tag_map else None
        return known is not None and known.role in _PROCESS_ROLES

    def learn(self, window: Window) -> None:
        if not self._follow(window):
            return
        for tag in self._last:
            self._columns.setdefault(tag, len(self._columns))
        row = np.full(len(self._columns), np.nan)
        for tag, (time, value) in self._last.items():
            if window.end - time <= HOLD_S * NS_PER_S:
                row[self._columns[tag]] = value
        self._rows.append(row)
        if len(self._rows) > MAX_ROWS:
            self._rows = [kept for place, kept in enumerate(self._rows) if place // RUN_ROWS % 2 == 0]

    def activate(self) -> None:
        rows = np.full((len(self._rows), len(self._columns)), np.nan)
        for place, row in enumerate(self._rows):
            rows[place, : len(row)] = row
        names = list(self._columns)
        self._rows.clear()
        self._columns.clear()
        self._last.clear()
        if len(rows) < MIN_ROWS:
            return
        steady = np.isfinite(rows[len(rows) // 10 :]).all(axis=0)  # the first tenth may still be without its slowest tags
        order = sorted(np.flatnonzero(steady).tolist(), key=lambda column: names[column])
        rows = rows[:, order]
        rows = rows[np.isfinite(rows).all(axis=1)]
        tags = [names[column] for column in order]
        from sentinel.detect.process_model import LIVE, Memory, ProcessModel

        model = ProcessModel(LIVE)
        resolution = np.array([_resolution(rows[:, column]) for column in range(len(tags))])
        share = self._budget.probability_per_block("residual", WEEK_S / 100.0) * 100.0  # alarms in a week
        try:
            model.fit(rows, share, ROW_S, resolution=resolution)
        except ValueError:  # too little varies: there is no joint behaviour to learn
            return
        self._model, self._tags, self._memory = model, tags, Memory()

    def score(self, window: Window) -> Sequence[Detection]:
        self._last_write = max([self._last_write, *(command.seen for command in window.commands)])
        if self._model is None or self._memory is None or not self._follow(window):
            return ()
        fresh = {tag: value for tag, (time, value) in self._last.items() if window.end - time <= HOLD_S * NS_PER_S}
        row = np.array([fresh.get(tag, np.nan) for tag in self._tags])
        if np.isfinite(row[self._model.tags]).mean() <= MIN_PRESENT:
            return ()
        if window.start - self._last_row > HOLD_S * NS_PER_S:  # after a pause there is no past to go by
            self._memory = self._memory.resumed()
        self._last_row = window.start
        judged = self._model.score(row[None, :], memory=self._memory)
        ratio = float(judged.ratio[0])
        found = [self._detection(window, row, ratio, int(judged.parts[0].argmax()))] if ratio > 1.0 else []
        return [*found, *self._drifted(window)]

    def _drifted(self, window: Window) -> list[Detection]:
        """Tags that have walked half the way that recalibration may follow them; each is told once."""
        assert self._model is not None
        assert self._memory is not None
        share = self._model.drift(self._memory)
        tags = [self._tags[place] for place in self._model.tags[np.abs(share) >= DRIFT_TOLD].tolist()]
        fresh = [tag for tag in tags if tag not in self._told_drift]
        self._told_drift.update(fresh)
        if not fresh:
            return []
        far = float(np.abs(share).max())
        return [
            Detection(
                detector=self.spec.name,
                title=f"{listed(fresh)} drifted slowly away from what was learnt",
                seen=window.start,
                tags=tuple(fresh),
                cause="process:drift",
                feature="distance from the learnt anchor",
                observed=f"{far:.0%} of the offset that may be followed",
                expected=f"less than {DRIFT_TOLD:.0%}",
                score=far,
                threshold=DRIFT_TOLD,
                why=f"The readings of {listed(fresh)} walked away from the others for weeks, slowly enough to be followed: an instrument "
                "that wants calibrating, wear, or somebody who has time.",
                techniques=("T1692.002",),
                severity=Severity.LOW,
                confidence=0.4,
            )
        ]

    def _detection(self, window: Window, row: Array, ratio: float, part: int) -> Detection:
        assert self._model is not None
        assert self._memory is not None
        kind, tag, weight = self._model.statistic(part)
        expected, off = self._model.explain(self._memory)
        places = self._model.tags.tolist()
        order = np.argsort(-np.abs(off), kind="stable")[:3].tolist()
        worst = [i for i in order if abs(off[i]) >= _NAMED * abs(off[order[0]]) and np.isfinite(row[places[i]])]
        if tag is not None:  # the tag whose limit was passed comes first, also where smoothing found it
            worst = [places.index(tag), *(i for i in worst if places[i] != tag)][:3]
        named = [self._tags[places[i]] for i in worst]
        told = listed(
            f"{name} = {row[places[i]]:.4g} where the others say {expected[i]:.4g}, {abs(off[i]):.1f} of its usual deviations off"
            for name, i in zip(named, worst, strict=True)
        )
        over = "at once" if weight == 1.0 else f"over the last {round(2.0 / weight)} s"
        settled = self._uses_residuals or window.end - self._last_write > SETTLING_S * NS_PER_S
        source = "residuals against the twin" if self._uses_residuals else "readings"
        return Detection(
            detector=self.spec.name,
            title=f"The process is not where it usually is: {listed(named)}",
            seen=window.start,
            tags=tuple(named),
            cause="process:plant",
            feature=_FEATURES[kind],
            observed=f"{ratio:.2f} times the limit, {over}",
            expected="at most the limit that held-out normal seconds gave",
            score=ratio,
            threshold=1.0,
            why=f"The {source} of {len(self._tags)} tags deviate {over}, {ratio:.1f} times as far as normal seconds ever did: {told}.",
            techniques=("T0831",),
            severity=Severity.MEDIUM if settled else Severity.LOW,
            confidence=0.5 if settled else 0.3,
        )

    def state(self) -> Mapping[str, Any]:
        if self._model is None:
            return {"tags": []}
        return {"tags": self._tags, "uses_residuals": self._uses_residuals, **self._model.arrays()}

    def restore(self, state: Mapping[str, Any]) -> None:
        if not state["tags"]:
            return
        from sentinel.detect.process_model import LIVE, Memory, ProcessModel

        self._tags, self._uses_residuals = [str(tag) for tag in state["tags"]], bool(state["uses_residuals"])
        model = ProcessModel.of(state, LIVE)
        if len(model.tags) and int(model.tags.max()) >= len(self._tags):
            raise ValueError("the process model and its list of tags differ in length")
        self._model, self._memory = model, Memory()

    def lasting(self) -> Mapping[str, Any]:
        """The offsets that follow drift, and of which tags it was told."""
        course = self._memory.course if self._memory is not None else None
        if self._model is None or course is None:
            return {"tags": []}
        names = [self._tags[place] for place in self._model.tags.tolist()]
        return {"tags": names, "offset": course.offset, "trend": course.trend, "told": sorted(self._told_drift)}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        if not kept["tags"] or self._model is None:
            return
        from sentinel.detect.process_model import Memory
        from sentinel.detect.upkeep import Course

        if list(kept["tags"]) != [self._tags[place] for place in self._model.tags.tolist()]:
            raise ValueError("the offsets are those of other tags")
        course = Course.going_on(kept["offset"], kept["trend"], self._model.bounds)
        self._memory, self._told_drift = Memory(course=course), {str(tag) for tag in kept["told"]}


@remembered
def _newest(readings: Readings) -> list[tuple[str, int, float]]:
    """(tag, time of receipt, value) of the last good reading of each tag."""
    rows = np.flatnonzero((readings.tag >= 0) & (readings.quality == Quality.GOOD) & np.isfinite(readings.value))
    last = dict(zip(readings.tag[rows].tolist(), rows.tolist(), strict=True))
    newest = np.array(list(last.values()), np.int64)
    seen, values = readings.seen[newest].tolist(), readings.value[newest].tolist()
    return [(readings.names[code], time, value) for code, time, value in zip(last, seen, values, strict=True)]


def _resolution(values: Array) -> float:
    """The smallest step between different values: what the instrument or its register can tell apart."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if len(steps) else 0.0
