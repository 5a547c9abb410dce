"""Readings and writes as they arrive, in any order, until the twin comes to their slot: bounded, and every loss is counted.

In: readings with their time of receipt, and by when they must have been received.  Out: what is due by the end of a slot, and for each
reading that cannot be used a word on why.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sentinel.model.observation import Counters, Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag
from sentinel.twin.ensemble import Writes

OUTSIDE = 0.05  # of the span: a reading further outside its range is a broken instrument
ANYTHING = (-sys.float_info.max, sys.float_info.max)
_NOTHING = (math.inf, -math.inf)


class Reading(NamedTuple):
    at: int
    tag: str
    value: float
    is_uncertain: bool


def within(tag: Tag) -> tuple[float, float]:
    margin = OUTSIDE * (tag.high - tag.low)
    return tag.low - margin, tag.high + margin


class Arrivals:
    """``usable``: by tag, what its readings may be.  ``most``: readings that wait, and writes."""

    def __init__(self, usable: Mapping[str, tuple[float, float]], tags: Mapping[str, Tag], most: int) -> None:
        self._usable, self._tags, self._most = usable, tags, most
        self._readings: list[Reading] = []
        self._writes: list[tuple[int, Writes]] = []
        self._accepted = self._refused = self._dropped = 0

    @property
    def counters(self) -> Counters:
        """Of readings."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped)

    def read(self, readings: Readings, oldest: float, latest: float) -> Iterator[tuple[str, str]]:
        """Each tag whose reading is refused, with the reason; a reading from the future says nothing of its tag."""
        seen, values, qualities = readings.seen.tolist(), readings.value.tolist(), readings.quality.tolist()
        for at, tag, value, quality in zip(seen, readings.decoded("tag"), values, qualities, strict=True):
            low, high = self._usable.get(tag or "", _NOTHING)
            if tag is not None and low <= value <= high and quality != Quality.BAD and oldest <= at <= latest:
                self._accepted += 1
                self._readings.append(Reading(at, tag, value, quality == Quality.UNCERTAIN))
            else:
                self._refused += 1
                if tag is not None and at <= latest and tag in self._usable:
                    yield tag, self._why(tag, value, quality)
        if len(self._readings) > self._most:
            self._readings.sort(key=lambda reading: reading.at)
            self._dropped += len(self._readings) - self._most
            self._readings = self._readings[-self._most :]

    def write(self, writes: Writes, at: int) -> None:
        if len(self._writes) == self._most:
            self._writes.pop(0)
            self._dropped += 1
        self._writes.append((at, dict(writes)))

    def earliest(self, otherwise: int) -> int:
        return min((reading.at for reading in self._readings), default=otherwise)

    def forget(self, until: int) -> None:
        """Readings from before."""
        known = [reading for reading in self._readings if reading.at >= until]
        self._dropped += len(self._readings) - len(known)
        self._readings = known

    def written(self, end: int) -> list[Writes]:
        """What is due, in the order in which it came; no more than once."""
        due = [writes for at, writes in self._writes if at < end]
        self._writes = [one for one in self._writes if one[0] >= end]
        return due

    def due(self, end: int) -> dict[str, Reading]:
        """The latest reading of each tag from before the end; no more than once."""
        due = sorted((reading for reading in self._readings if reading.at < end), key=lambda reading: (reading.at, reading.tag))
        self._readings = [reading for reading in self._readings if reading.at >= end]
        return {reading.tag: reading for reading in due}

    def _why(self, tag: str, value: float, quality: int) -> str:
        low, high = self._usable[tag]
        if quality == Quality.BAD:
            return "its quality is bad"
        if not math.isfinite(value):
            return "its value is not a number"
        if not low <= value <= high:
            return f"{value:g} {self._tags[tag].unit} is outside its range"
        return "it comes too late"
