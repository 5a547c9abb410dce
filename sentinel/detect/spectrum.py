"""Spectrum: does a machine still sound as it did?  A bearing is heard minutes before it is warm.

In: readings whose tags are features of a sensor's spectrum (`sentinel.model.spectrum`), a frame of them at a time.  Each sensor has a
model of its own, with modes of its own, and an equal part of this detector's share of the false-alarm budget.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import WEEK_S, Budget
from sentinel.detect.evidence import listed
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.spectrum import is_feature, sensor_and_feature
from sentinel.model.tags import TagMap
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec

if TYPE_CHECKING:
    from sentinel.detect.process_model import Memory
    from sentinel.detect.spectrum_model import SpectrumModel

MAX_SENSORS = 64
MAX_FEATURES = 128  # of one sensor
MAX_FRAMES = 20_000  # kept of one sensor while learning; beyond, every second run of frames is dropped
RUN_FRAMES = 64
_NAMED = 0.5  # of the largest deviation: a band that is this far off too is named with it


@dataclass(slots=True)
class _Sensor:
    """``features``: their names, in the order of the columns.  ``frames``, ``times`` only while learning."""

    features: tuple[str, ...]
    frames: list[Array] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    model: "SpectrumModel | None" = None
    memories: "list[Memory]" = field(default_factory=list)


class Spectrum:
    spec: ClassVar[Spec] = Spec(
        name="spectrum",
        summary="vibration and sound: band energies and modulation of each sensor, in each mode of its machine",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0831", "T0879"),
    )

    def __init__(self, _tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._sensors: dict[str, _Sensor] = {}

    def learn(self, window: Window) -> None:
        for name, features, times, frames in _frames(window.readings):
            if name not in self._sensors:
                if len(self._sensors) >= MAX_SENSORS:
                    continue
                self._sensors[name] = _Sensor(features)
            sensor = self._sensors[name]
            if sensor.features != features:  # another sampling rate: what was learnt of it is of no use
                sensor.features, sensor.frames, sensor.times = features, [], []
            sensor.frames += list(frames)
            sensor.times += times.tolist()
            if len(sensor.frames) > MAX_FRAMES:
                kept = [place for place in range(len(sensor.frames)) if place // RUN_FRAMES % 2 == 0]
                sensor.frames, sensor.times = [sensor.frames[i] for i in kept], [sensor.times[i] for i in kept]

    def activate(self) -> None:
        if not self._sensors:
            return
        from sentinel.detect.spectrum_model import SpectrumModel

        share = self._budget.probability_per_block(self.spec.name, WEEK_S / 100.0) * 100.0 / len(self._sensors)
        for sensor in self._sensors.values():
            model = SpectrumModel()
            rows, times = np.array(sensor.frames), np.array(sensor.times, np.int64)
            sensor.frames, sensor.times = [], []
            frame_s = float(np.median(np.diff(times))) / NS_PER_S if len(times) > 1 else 1.0
            try:
                model.fit(rows, share, max(frame_s, 1e-3))
            except ValueError:  # too little was heard: there is nothing to compare with
                continue
            sensor.model, sensor.memories = model, model.memories()

    def score(self, window: Window) -> Sequence[Detection]:
        found = []
        for name, features, times, frames in _frames(window.readings):
            sensor = self._sensors.get(name)
            if sensor is None or sensor.model is None or sensor.features != features:
                continue
            ratio = sensor.model.score(frames, sensor.memories).ratio
            worst = int(ratio.argmax())
            if ratio[worst] > 1.0:
                found.append(self._detection(name, sensor, sensor.model, Instant(int(times[worst])), frames[worst], float(ratio[worst])))
        return found

    def _detection(self, name: str, sensor: _Sensor, model: "SpectrumModel", seen: Instant, frame: Array, ratio: float) -> Detection:
        furthest = model.furthest(frame)[:3]
        named = [(i, off) for i, off in furthest if abs(off) >= _NAMED * abs(furthest[0][1])]
        told = listed(f"{sensor.features[i]} is {frame[i]:.3g} instead of {model.usual(frame, i):.3g}" for i, _ in named)
        return Detection(
            detector=self.spec.name,
            title=f"{name} does not sound as usual: {listed(sensor.features[i] for i, _ in named)}",
            seen=seen,
            tags=(name,),
            cause=f"process:{name}",
            feature="spectrum",
            observed=f"{ratio:.2f} times the limit",
            expected="at most the limit that held-out normal frames gave",
            score=ratio,
            threshold=1.0,
            why=f"{name} sounds {ratio:.1f} times as unlike itself as normal frames ever did: {told} (dB; shapes as logarithms).",
            techniques=("T0879",),
            severity=Severity.MEDIUM,
            confidence=0.6,
        )

    def state(self) -> Mapping[str, Any]:
        learnt = {name: sensor for name, sensor in sorted(self._sensors.items()) if sensor.model is not None}
        state: dict[str, Any] = {"sensors": list(learnt), "features": [list(sensor.features) for sensor in learnt.values()]}
        for number, sensor in enumerate(learnt.values()):
            assert sensor.model is not None
            state |= {f"sensor{number}_{key}": array for key, array in sensor.model.arrays().items()}
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        if not state["sensors"]:
            return
        from sentinel.detect.spectrum_model import SpectrumModel

        for number, (name, features) in enumerate(zip(state["sensors"], state["features"], strict=True)):
            head = f"sensor{number}_"
            model = SpectrumModel.of({key.removeprefix(head): array for key, array in state.items() if key.startswith(head)})
            if len(features) != len(model.spread):
                raise ValueError(f"the spectrum of {name} and its list of features differ in length")
            self._sensors[str(name)] = _Sensor(tuple(map(str, features)), model=model, memories=model.memories())

    # -- over a restart --

    def lasting(self) -> Mapping[str, Any]:
        """The offsets that follow drift, of each sensor in each of its modes."""
        kept: dict[str, Any] = {}
        for name, sensor in sorted(self._sensors.items()):
            modes = [(number, memory.course) for number, memory in enumerate(sensor.memories) if memory.course is not None]
            kept |= {f"{number} {name}": [course.offset.tolist(), course.trend.tolist()] for number, course in modes}
        return {"modes": kept}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        from sentinel.detect.process_model import Memory
        from sentinel.detect.upkeep import Course

        found: dict[tuple[str, int], Memory] = {}
        for key, (offset, trend) in kept["modes"].items():
            number, name = int(key.partition(" ")[0]), key.partition(" ")[2]
            sensor = self._sensors.get(name)
            if sensor is None or sensor.model is None or not 0 <= number < len(sensor.model.models):
                raise ValueError(f"there is no mode {number} of {name}")
            found[name, number] = Memory(course=Course.going_on(offset, trend, sensor.model.models[number].bounds))
        for (name, number), memory in found.items():
            self._sensors[name].memories[number] = memory


def _frames(readings: Readings) -> list[tuple[str, tuple[str, ...], Array, Array]]:
    """(sensor, features, times, frames x features) of whole frames: every feature of a sensor, at one time, good and finite."""
    codes = {code: sensor_and_feature(tag) for code, tag in enumerate(readings.names) if tag and is_feature(tag)}
    if not codes:
        return []
    rows = np.flatnonzero(np.isin(readings.tag, list(codes)) & (readings.quality == Quality.GOOD) & np.isfinite(readings.value))
    heard: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows.tolist():
        sensor, feature = codes[int(readings.tag[row])]
        heard.setdefault(sensor, {}).setdefault(int(readings.time[row]), {})[feature] = float(readings.value[row])
    found = []
    for sensor, by_time in sorted(heard.items()):
        features = tuple(sorted({feature for values in by_time.values() for feature in values}))
        whole = [(time, values) for time, values in sorted(by_time.items()) if len(values) == len(features)]
        if whole and len(features) <= MAX_FEATURES:
            frames = np.array([[values[feature] for feature in features] for _, values in whole])
            found.append((sensor, features, np.array([time for time, _ in whole], np.int64), frames))
    return found
