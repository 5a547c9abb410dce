"""Strokes: does an actuator still move as fast as it did?  A valve that is 2 % faster is found within a few strokes.

Every measured tag of the plant file that travels between rests is an actuator; opening and closing are watched apart.  The logarithm of
the rate is freed of what the load explains: the measured tag that learning found it to follow, if there is one.  What remains goes
through a CUSUM whose limit keeps the plant's false-alarm budget over all actuators and strokes together.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import WEEK_S, Budget
from sentinel.detect.change import Change
from sentinel.detect.limits import by_tag
from sentinel.detect.stroke import Stroke, StrokeReader
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Detector, Spec

SMALLEST = math.log(1.02)  # the change of rate to find
MAX_ACTUATORS = 2048  # directions count apart
MAX_LEARNT = 200  # strokes kept while learning, of one direction; the newest, as many as anchor the baseline
MAX_LOADS = 64  # measured tags that may explain a rate, in the order of the plant file
MIN_FOR_LOAD = 30  # strokes before a load is looked for
LOAD_DOUBT = 4.0  # a correlation this many times its chance deviation is a load
MIN_STROKES_PER_WEEK = 1.0
_MOVING = frozenset({TagRole.PROCESS_VALUE, TagRole.OUTPUT})

Direction = tuple[str, str]  # tag, "opens" or "closes"
Follows = tuple[str, float, float]  # what values follow, by how much per unit, around which mean


@dataclass(slots=True)
class _Actuator:
    """``load``: the tag that the rate follows, and by how much per unit around its mean; ``learnt`` (rate, loads) only while learning."""

    change: Change = field(default_factory=lambda: Change(SMALLEST))
    load: Follows | None = None
    strokes_per_week: float = 0.0
    learnt: list[tuple[float, Array]] = field(default_factory=list)

    def value(self, rate: float, loads: Mapping[str, int], around: Array) -> float:
        value = math.log(abs(rate))
        if self.load is not None and self.load[0] in loads:
            tag, slope, mean = self.load
            now = float(around[loads[tag]])
            value -= slope * (now - mean) if math.isfinite(now) else 0.0
        return value


class Strokes:
    spec: ClassVar[Spec] = Spec(
        name="strokes",
        summary="valves and other actuators whose strokes became faster or slower, by the slope of each ramp and a CUSUM",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0831", "T0879"),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map = tag_map
        self._budget = budget or Budget()
        self._readers: dict[str, StrokeReader] = {}
        self._actuators: dict[Direction, _Actuator] = {}
        measured = [tag.name for tag in (tag_map.tags if tag_map else ()) if tag.role in _MOVING]
        self._loads = {name: place for place, name in enumerate(measured[:MAX_LOADS])}
        self._latest = np.full(len(self._loads), np.nan)  # the newest value of each of them
        self._heard: tuple[int, int] | None = None  # from, until, while learning
        self._active = False
        self._read: tuple[str, Instant, list[tuple[str, Stroke, Array]]] | None = None  # the window that was scored last

    def learn(self, window: Window) -> None:
        self._take(window, self._strokes(window))

    def learn_beside(self, judge: Detector, window: Window) -> None:
        """Samples are read once: reading them is most of the work, and tells the same to whoever asks."""
        if isinstance(judge, Strokes) and judge._read is not None and judge._read[:2] == (window.source, window.start):
            self._take(window, judge._read[2])
        else:
            self.learn(window)

    def _take(self, window: Window, strokes: Sequence[tuple[str, Stroke, Array]]) -> None:
        self._heard = (self._heard[0] if self._heard else window.start, window.end)
        for tag, stroke, around in strokes:
            actuator = self._actuator(tag, stroke)
            if actuator is not None:
                actuator.learnt.append((stroke.rate, around))
                del actuator.learnt[:-MAX_LEARNT]

    def activate(self) -> None:
        weeks = (self._heard[1] - self._heard[0]) / NS_PER_S / WEEK_S if self._heard else 0.0
        for actuator in self._actuators.values():
            actuator.load = _load(actuator.learnt, self._loads)
            actuator.strokes_per_week = len(actuator.learnt) / weeks if weeks > 0 else 0.0
            for rate, around in actuator.learnt:
                actuator.change.take(actuator.value(rate, self._loads, around), math.inf)
            actuator.change.restart()
            actuator.learnt.clear()
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._active:
            return ()
        found, strokes = [], self._strokes(window)
        self._read = (window.source, window.start, strokes)
        for tag, stroke, around in strokes:
            actuator = self._actuator(tag, stroke)
            if actuator is None:
                continue
            total, limit = actuator.change.take(actuator.value(stroke.rate, self._loads, around), self._run_length())
            if total > limit:
                found.append(self._detection(tag, stroke, actuator, around, total, limit))
                actuator.change.restart()
        return found

    def _run_length(self) -> float:
        """Strokes of the whole plant between two false alarms."""
        a_week = sum(max(actuator.strokes_per_week, MIN_STROKES_PER_WEEK) for actuator in self._actuators.values())
        return a_week / (self._budget.alarms_per_week * self._budget.shares.get(self.spec.name, 1.0))

    def _strokes(self, window: Window) -> list[tuple[str, Stroke, Array]]:
        """In the order in which they ended, with what the other tags read then."""
        if self._tag_map is None or not len(window.readings):
            return []
        found = []
        for tag, rows in by_tag(window.readings).items():
            known = self._tag_map.by_name.get(tag)
            if known is None or known.role not in _MOVING or known.high <= known.low:
                continue
            if tag not in self._readers and len(self._readers) >= MAX_ACTUATORS:
                continue
            reader = self._readers.setdefault(tag, StrokeReader(span=known.high - known.low))
            found += [(tag, stroke) for stroke in reader.take(window.readings.seen[rows], window.readings.value[rows])]
            if tag in self._loads:
                self._latest[self._loads[tag]] = float(window.readings.value[rows[-1]])
        found.sort(key=lambda pair: (pair[1].ended, pair[0]))
        return [(tag, stroke, self._around(tag)) for tag, stroke in found]

    def _around(self, tag: str) -> Array:
        """What the others read now: nothing explains itself."""
        around: Array = self._latest.copy()
        if tag in self._loads:
            around[self._loads[tag]] = np.nan
        return around

    def _actuator(self, tag: str, stroke: Stroke) -> _Actuator | None:
        key = (tag, "opens" if stroke.rate > 0 else "closes")
        if key not in self._actuators and len(self._actuators) >= MAX_ACTUATORS:
            return None
        return self._actuators.setdefault(key, _Actuator())

    def _detection(self, tag: str, stroke: Stroke, actuator: _Actuator, around: Array, total: float, limit: float) -> Detection:
        change = actuator.change
        usual, now = math.exp(change.mean), math.exp(actuator.value(stroke.rate, self._loads, around))
        verb = "opens" if stroke.rate > 0 else "closes"
        direction = "faster" if change.up >= change.down else "slower"
        freed = f", freed of what {actuator.load[0]} explains" if actuator.load else ""
        return Detection(
            detector=self.spec.name,
            title=f"{tag} {verb} {direction} than it did",
            seen=Instant(stroke.ended),
            tags=(tag,),
            cause=f"process:{tag}",
            feature=f"stroke rate: {verb} {direction}",
            observed=f"{100 * now:.4g} % of its span per second, over {change.begun} strokes",
            expected=f"{100 * usual:.4g} % +- {100 * usual * change.deviation:.2g} %, from {change.count} strokes{freed}",
            score=total,
            threshold=limit,
            why=f"{tag} {verb} with {100 * now:.4g} % of its span per second, usually {100 * usual:.4g} %{freed}; over the last "
            f"{change.begun} strokes it adds up to {total:.1f} standard deviations, the limit is {limit:.1f}.",
            techniques=("T0831",),
            severity=Severity.MEDIUM,
            confidence=0.6,
        )

    def state(self) -> Mapping[str, Any]:
        rows = []
        for key, each in sorted(self._actuators.items()):
            change = each.change
            rows.append([*key, change.count, change.mean, change.squares, each.strokes_per_week, list(each.load) if each.load else None])
        return {"actuators": rows}

    def restore(self, state: Mapping[str, Any]) -> None:
        for tag, verb, count, mean, squares, a_week, load in state["actuators"]:
            change = Change(SMALLEST, int(count), float(mean), float(squares))
            follows = (str(load[0]), float(load[1]), float(load[2])) if load else None
            self._actuators[tag, verb] = _Actuator(change, follows, float(a_week))
        self._active = True

    # -- over a restart --

    def lasting(self) -> Mapping[str, Any]:
        """The sums of every CUSUM, and what it has compared with since: a drift of weeks adds up over restarts too."""
        return {"actuators": [[*key, *each.change.standing()] for key, each in sorted(self._actuators.items())]}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Directions that the anchor does not know begin where they stood as well."""
        found = {}
        for tag, verb, *standing in kept["actuators"][:MAX_ACTUATORS]:
            known = self._actuators.get((str(tag), str(verb)), _Actuator())
            found[str(tag), str(verb)] = replace(known, change=known.change.going_on(standing))
        self._actuators |= found


def _load(learnt: Sequence[tuple[float, Array]], names: Mapping[str, int]) -> Follows | None:
    """The tag that the logarithm of the rate follows."""
    if len(learnt) < MIN_FOR_LOAD or not names:
        return None
    return followed(np.log(np.abs([rate for rate, _ in learnt])), np.array([around for _, around in learnt]), names)


def followed(values: Array, table: Array, names: Mapping[str, int]) -> Follows | None:
    """What values follow most clearly of the columns of a table, the slope and that column's mean; None where nothing is clear."""
    if len(values) < MIN_FOR_LOAD:
        return None
    best: tuple[float, Follows] | None = None
    for name, place in sorted(names.items()):
        loads = table[:, place]
        spread = float(loads.std())
        if not spread > 1e-9 * max(1.0, float(np.abs(loads).max())) or values.std() <= 0:  # also where it was not heard throughout
            continue
        slope = float(((loads - loads.mean()) * (values - values.mean())).mean()) / spread**2
        clear = abs(slope) * spread / float(values.std())
        if clear > LOAD_DOUBT / math.sqrt(len(values)) and (best is None or clear > best[0]):
            best = (clear, (name, slope, float(loads.mean())))
    return best[1] if best else None
