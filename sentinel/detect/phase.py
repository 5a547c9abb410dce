"""A phase: how long a mode, a state or a setpoint stays at one value before the next one."""

import math
from dataclasses import dataclass, field

import numpy as np

from sentinel.detect.response import MISSING, MISSING_NS, changed_at, later
from sentinel.model.columns import Array
from sentinel.model.time import NS_PER_S

MAX_VALUES = 16  # that one tag may have had: with more it is no phase that it shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """``began``, ``ended``: ns UTC, as nearly as its readings tell."""

    value: float
    following: float
    began: int
    ended: int

    @property
    def lasted_s(self) -> float:
        return max(self.ended - self.began, 1) / NS_PER_S


@dataclass(slots=True)
class PhaseReader:
    """Takes the readings of one tag in order and gives its phases, but for those whose beginning or end is not known."""

    value: float = math.nan
    began: int | None = None
    read: int = 0
    pace: int = 0  # ns between readings, where it is read though it stands
    known: set[float] = field(default_factory=set)

    @property
    def is_free(self) -> bool:
        return len(self.known) > MAX_VALUES

    def stands(self, first: int, last: int, count: int, value: float) -> bool:
        """Are these readings, all the same, no news?  Then they are taken, and most of the work is saved."""
        if value != self.value or not self.read < first <= last < first + MISSING_NS:
            return False
        if self.pace and first - self.read > MISSING * self.pace + MISSING_NS:
            return False
        self.pace = (last - first) // (count - 1) if count > 1 else last - self.read
        self.read = last
        return True

    def take(self, times: Array, values: Array) -> list[Phase]:
        if self.is_free:
            return []
        times, values = later(times, values, self.read)
        if not len(times):
            return []
        found: list[Phase] = []
        same = values == np.concatenate(([self.value], values[:-1]))
        between = np.diff(times, prepend=self.read)
        pace = self.pace or (int(between[same][0]) if same.any() else 0)
        if pace and int(between.max()) > MISSING * pace + MISSING_NS:
            self.pace = pace
            same[:] = False  # one by one
        done = 0
        for place in np.flatnonzero(~same).tolist():
            self._stands(times[done:place])
            time, value = int(times[place]), float(values[place])
            at = changed_at(time, self.read, self.pace) if self.read else None
            if value == self.value:
                self.began = self.began if at is not None else None  # it may have been another in between
            else:
                if self.began is not None and at is not None:
                    found.append(Phase(value=self.value, following=value, began=self.began, ended=at))
                self.value, self.began = value, at
                self.known.add(value)
                if len(self.known) > MAX_VALUES:
                    return []
            self.read, done = time, place + 1
        self._stands(times[done:])
        return found

    def _stands(self, times: Array) -> None:
        """Readings of the same value."""
        if len(times):
            self.pace = int(times[-1]) - (int(times[-2]) if len(times) > 1 else self.read)
            self.read = int(times[-1])
