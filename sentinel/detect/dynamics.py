"""Dynamics: does a loop still answer as it did, and does a phase still last as long?

Loops are those of the plant file: a setpoint, and the process value that is made to follow it.  Each step response gives a dead time, an
overshoot and a settling time, per loop and direction, freed of what the step's size or its start explains.  Modes, states and setpoints of
the plant file that stay at each value for a regular time are phases; what an operator chooses freely is none.  Without a plant file nothing
tells which value follows which, and nothing is watched.  All of it goes through CUSUMs that keep the plant's false-alarm budget together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.calibrate import WEEK_S, Budget
from sentinel.detect.change import MIN_BEFORE, Change
from sentinel.detect.feature import EXPLAIN, FEATURES, NAMED, PHASE, Watched, highest, smallest_of
from sentinel.detect.limits import Stretch, stretches
from sentinel.detect.phase import PhaseReader
from sentinel.detect.response import LONGEST_S, ResponseReader
from sentinel.detect.strokes import MIN_FOR_LOAD, followed
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Readings
from sentinel.model.tags import Loop, TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant, iso
from sentinel.model.window import Window
from sentinel.ports import Detector, Spec

MAX_LOOPS, MAX_TAGS, MAX_WATCHED = 2048, 4096, 4096  # loops, tags with phases, CUSUMs
MAX_LEARNT = 200  # values kept while learning, of one CUSUM; the newest, as many as anchor it
IRREGULAR = 0.1  # standard deviation of the logarithm of a phase's time: beyond it somebody chooses
OVERDUE = 5.0  # times the usual settling time: then a step has not settled
MIN_OVERDUE_S = 60.0
MIN_A_WEEK = 1.0
_NOTHING = (np.zeros(0, np.int64), Stretch(0, math.nan, math.nan, math.nan, math.nan, 0, 0, 0.0))
_PHASED = frozenset({TagRole.MODE, TagRole.STATUS, TagRole.SETPOINT})

Key = tuple[str, str, str]  # feature; loop or tag; "up" or "down", or the values of a phase and of the next one


class _Value(NamedTuple):
    """``around``: what may explain it, as `EXPLAIN`; of a phase nothing does."""

    key: Key
    value: float  # as the feature says
    at: int
    around: tuple[float, float]


class Dynamics:
    spec: ClassVar[Spec] = Spec(
        name="dynamics",
        summary="control loops whose dead time, overshoot or settling time changed, and phases that last longer or less long",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0831", "T0836"),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map = tag_map
        self._budget = budget or Budget()
        phased = [tag.name for tag in (tag_map.tags if tag_map else ()) if tag.role in _PHASED]
        self._phased = tuple(phased[:MAX_TAGS])
        self._readers: dict[str, ResponseReader] = {}
        self._phases: dict[str, PhaseReader] = {}
        self._watched: dict[Key, Watched] = {}
        self._heard: tuple[int, int] | None = None  # from, until, while learning
        self._active = False
        self._read: tuple[str, Instant, list[_Value]] | None = None  # the window that was scored last

    def learn(self, window: Window) -> None:
        self._take(window, self._values(window))

    def learn_beside(self, judge: Detector, window: Window) -> None:
        """Readings are read once, as strokes are."""
        if isinstance(judge, Dynamics) and judge._read is not None and judge._read[:2] == (window.source, window.start):
            self._take(window, judge._read[2])
        else:
            self.learn(window)

    def _take(self, window: Window, values: Iterable[_Value]) -> None:
        self._heard = (self._heard[0] if self._heard else window.start, window.end)
        for each in values:
            watched = self._known(each.key)
            if watched is not None:
                watched.learnt.append((each.value, *each.around))
                del watched.learnt[:-MAX_LEARNT]

    def activate(self) -> None:
        weeks = (self._heard[1] - self._heard[0]) / NS_PER_S / WEEK_S if self._heard else 0.0
        for key, watched in list(self._watched.items()):
            rows, feature = np.array(watched.learnt), FEATURES[key[0]]
            if key[0] == PHASE and (len(rows) < MIN_BEFORE or float(rows[:, 0].std(ddof=1)) > IRREGULAR):
                del self._watched[key]
                continue
            if key[0] != PHASE and len(rows) >= MIN_FOR_LOAD:
                watched.follows = followed(rows[:, 0], rows[:, 1:], EXPLAIN)
            watched.a_week = len(rows) / weeks if weeks > 0 else 0.0
            values = [watched.freed(value, around) for value, *around in watched.learnt]
            for value in values:
                watched.take(feature, value, math.inf)
            watched.floor = highest(feature, watched.change, values)
            watched.change.restart()
            watched.learnt.clear()
        self._expect()
        self._active = True

    def _expect(self) -> None:
        """From now on a step that does not settle is told, once it is overdue: later than any that learning saw unsettled."""
        usual: dict[str, float] = {}
        for (feature, name, _), watched in self._watched.items():
            if feature == "settling time" and watched.change.count >= MIN_BEFORE:
                usual[name] = max(usual.get(name, 0.0), math.exp(watched.change.mean))
        for name, settling_s in usual.items():
            reader = self._reader(name)
            reader.longest_s = min(max(OVERDUE * settling_s, 2.0 * reader.unsettled_s, MIN_OVERDUE_S), LONGEST_S)
            reader.tells_overdue = True

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._active:
            return ()
        found, values = [], self._values(window)
        self._read = (window.source, window.start, values)
        for each in values:
            watched = self._watched.get(each.key) if each.key[0] == PHASE else self._known(each.key)
            if watched is None:
                continue
            freed = watched.freed(each.value, each.around)
            total, limit = watched.take(FEATURES[each.key[0]], freed, self._run_length())
            watched.since = each.at if watched.change.begun <= 1 else watched.since
            if total > limit:
                found.append(self._detection(each, freed, watched, total, limit))
                watched.change.restart()
        return found

    def _known(self, key: Key) -> Watched | None:
        if key not in self._watched and len(self._watched) >= MAX_WATCHED:
            return None
        return self._watched.setdefault(key, Watched())

    def _run_length(self) -> float:
        """Values of the whole plant between two false alarms."""
        a_week = sum(max(watched.a_week, MIN_A_WEEK) for watched in self._watched.values())
        return a_week / (self._budget.alarms_per_week * self._budget.shares.get(self.spec.name, 1.0))

    # -- what the readings tell --

    def _reader(self, name: str) -> ResponseReader:
        if name not in self._readers:
            self._readers[name] = ResponseReader(span=0.0)
        return self._readers[name]

    def _values(self, window: Window) -> list[_Value]:
        """In the order in which they ended."""
        if self._tag_map is None or not len(window.readings):
            return []
        parts, readings = stretches(window.readings), window.readings
        found: list[_Value] = []
        written = {write.tag: command.seen for command in window.commands for write in command.writes}
        for loop in self._tag_map.loops[:MAX_LOOPS]:
            if loop.setpoint in parts or loop.process_value in parts:
                found += self._of_loop(loop, parts, readings, written.get(loop.setpoint, 0))
        for tag in self._phased:
            part = parts.get(tag)
            if part is None or (reader := self._phases.setdefault(tag, PhaseReader())).is_free:
                continue
            rows, heard = part
            if heard.low == heard.high and reader.stands(heard.first_time, heard.last_time, heard.readings, heard.low):
                continue
            for phase in reader.take(readings.seen[rows], readings.value[rows]):
                key = (PHASE, tag, f"{phase.value:.12g} > {phase.following:.12g}")
                found.append(_Value(key, math.log(phase.lasted_s), phase.ended, (0.0, 0.0)))
        found.sort(key=lambda each: (each.at, each.key))
        return found

    def _of_loop(self, loop: Loop, parts: Mapping[str, tuple[Array, Stretch]], readings: Readings, written: int) -> list[_Value]:
        assert self._tag_map is not None
        reader, value = self._reader(loop.name), self._tag_map.by_name[loop.process_value]
        reader.span, reader.written = value.high - value.low, max(reader.written, written)
        asked, rows, mode = (parts.get(tag or "", _NOTHING) for tag in (loop.setpoint, loop.process_value, loop.mode))
        if mode is not _NOTHING:
            reader.is_in_force = mode[1].low > 0.0 or mode[1].high < 0.0
        heard, (at, values) = asked[1], (readings.seen[rows[0]], readings.value[rows[0]])
        if heard.low == heard.high and reader.stands(heard.first_time, heard.last_time, heard.readings, heard.low):
            reader.rests(at, values)
            return []
        found = []
        for one in reader.take(readings.seen[asked[0]], readings.value[asked[0]], at, values):
            way, around = "up" if one.size > 0 else "down", (math.log(abs(one.size)), one.start)
            for name, measured in (("dead time", one.dead_s), ("overshoot", one.overshoot), ("settling time", one.settling_s)):
                value_ = math.log(measured) if FEATURES[name].is_log else measured
                found.append(_Value((name, loop.name, way), value_, one.ended, around))
        return found

    # -- what is said of it --

    def _detection(self, told: _Value, freed: float, watched: Watched, total: float, limit: float) -> Detection:
        (name, about, way), change, feature = told.key, watched.change, FEATURES[told.key[0]]
        is_more = change.up >= change.down
        direction = feature.more if is_more else feature.less
        loop = next((one for one in self._tag_map.loops if one.name == about), None) if self._tag_map and name != PHASE else None
        tag = loop.process_value if loop else about
        what = f"{about}'s step {way}" if loop else f"{about} at {way.partition(' > ')[0]}, before {way.partition(' > ')[2]},"
        usual, now = (math.exp(change.mean), math.exp(freed)) if feature.is_log else (change.mean, freed)
        spread = change.deviation * (usual if feature.is_log else 1.0)
        explained = f", freed of what {NAMED[watched.follows[0]]} explains" if watched.follows else ""
        now_, usual_, spread_ = (feature.words(number) for number in (now, usual, spread))
        said = "time" if name == PHASE else name
        return Detection(
            detector=self.spec.name,
            title=f"{what} {direction}",
            seen=Instant(told.at),
            tags=(tag,),
            cause=f"process:{tag}",
            feature=f"{name}: {direction.removesuffix(' than it did')}",
            observed=f"{said} {now_}, over {change.begun} of them since {iso(Instant(watched.since))}",
            expected=f"{usual_} +- {spread_}, from {change.count} of them{explained}",
            score=total,
            threshold=limit,
            why=f"{what} {direction}: its {said} is {now_}, usually {usual_}{explained}; over the last {change.begun} it adds "
            f"up to {total:.1f} standard deviations, the limit is {limit:.1f}; off since {iso(Instant(watched.since))}.",
            techniques=feature.techniques,
            severity=Severity.MEDIUM,
            confidence=0.5,
        )

    # -- at rest, and over a restart --

    def state(self) -> Mapping[str, Any]:
        rows = []
        for key, each in sorted(self._watched.items()):
            follows = list(each.follows) if each.follows else None
            rows.append([*key, each.change.count, each.change.mean, each.change.squares, each.a_week, each.floor, follows])
        overdue = [[name, each.longest_s] for name, each in sorted(self._readers.items()) if each.tells_overdue]
        return {"watched": rows, "overdue": overdue}

    def restore(self, state: Mapping[str, Any]) -> None:
        for feature, about, way, count, mean, squares, a_week, floor, kept in state["watched"]:
            change = Change(smallest_of(FEATURES[feature], float(mean)), int(count), float(mean), float(squares))
            follows = (str(kept[0]), float(kept[1]), float(kept[2])) if kept else None
            if follows and follows[0] not in EXPLAIN:
                raise ValueError(f"nothing follows {follows[0]}")
            self._watched[feature, about, way] = Watched(change, follows, float(a_week), float(floor))
        for name, longest_s in state["overdue"]:
            self._reader(str(name)).longest_s, self._reader(str(name)).tells_overdue = float(longest_s), True
        self._active = True

    def lasting(self) -> Mapping[str, Any]:
        """The sums of every CUSUM, what it has compared with since, and since when they add up."""
        return {"watched": [[*key, *each.change.standing(), each.since] for key, each in sorted(self._watched.items())]}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Directions that the anchor does not know begin where they stood as well; phases that it does not know are none."""
        found: dict[Key, tuple[Change, int]] = {}
        for feature, about, way, *standing, since in kept["watched"][:MAX_WATCHED]:
            known = self._watched.get((feature, about, way), None if feature == PHASE else Watched())
            if known is None or feature not in FEATURES:
                raise ValueError(f"{feature} of {about} is nothing that is watched")
            found[feature, str(about), str(way)] = (known.change.going_on(standing), int(since))
        for key, (change, since) in found.items():
            watched = self._watched.setdefault(key, Watched())
            watched.change, watched.since = change, since
