"""A step response: readings of a setpoint and of what follows it become steps, and each step a dead time, an overshoot, a settling time.

A step begins where the setpoint moves while its loop is quiet: the setpoint has stood for a while, and the process value rests at it.  It
is abandoned where the setpoint moves again, the loop is taken out of force, or readings are missing.  The dead time is where a line through
the first part of the way meets its beginning (least squares, as a stroke's slope), so that it does not hang on one noisy sample; where
the answer is quick at first and slow then, that is a little before the step.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from sentinel.model.columns import Array
from sentinel.model.time import NS_PER_S

QUIET_NS = 10 * NS_PER_S  # that a setpoint has stood for before it steps
MIN_STEP = 0.002  # of the process value's span: a smaller step tells nothing
MIN_NOISES = 12.0  # standard deviations of the process value at rest, likewise
MIN_REST, MAX_REST = 8, 64  # samples before a step: of fewer nothing is known, more are forgotten
MAX_UNREAD = 16  # windows that are looked at together
RESTS = 0.1  # of the step: so near its setpoint, and so steady, a process value rests
BAND = 0.05  # of the step, around the new setpoint: the usual band of a settling time
SMOOTH = 0.01  # of the step: noise of what is held against the band
MAX_SMOOTH = 8  # samples
NOISES = 3.0  # standard deviations of that, beyond the band
LOW, HIGH = 0.1, 0.4  # of the way, for the line
MAX_RISE = 4096  # samples of it: what takes longer is no step
STAYS_NS, STAYS = 5 * NS_PER_S, 1.0  # within the band; as a share of the time it took to come there
MISSING, MISSING_NS = 5.0, 2 * NS_PER_S  # intervals between readings, and time, without any: some are missing
LONGEST_S = 7200.0  # a response that has not settled by then is none, where nothing is known of the loop
_CURVE = math.sqrt(math.pi / 2.0) / math.sqrt(6.0)  # standard deviation of white noise by the mean size of its second differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """``began``, ``ended``: ns UTC.  ``size``: of the step, ``start``: where the setpoint stood, both in the tag's unit.  ``overshoot``:
    beyond the new setpoint, as a share of the step.  One that is overdue has not settled, or not even moved, for at least so long."""

    began: int
    ended: int
    size: float
    start: float
    dead_s: float
    overshoot: float
    settling_s: float


@dataclass(slots=True)
class ResponseReader:
    """Takes the readings of one loop in order and gives its responses; any batching gives the same ones."""

    span: float
    longest_s: float = LONGEST_S
    is_in_force: bool = True  # else what happens is nobody's response
    tells_overdue: bool = False  # what takes longer than ``longest_s`` is a response, too
    setpoint: float = math.nan
    read: int = 0  # the newest reading of the setpoint
    pace: int = 0  # ns between its readings, where it is read though it stands
    moved: int = 0
    written: int = 0  # the newest write of it
    times: Array = field(default_factory=lambda: np.zeros(0, np.int64))  # the newest of the process value
    values: Array = field(default_factory=lambda: np.zeros(0))
    resolution: float = math.inf  # the smallest difference of two process values so far
    unsettled_s: float = 0.0  # how long, at most, a step was under way that the setpoint's next move ended
    unread: list[tuple[Array, Array]] = field(default_factory=list)  # since, while nothing happened
    step: "_Step | None" = None

    def stands(self, first: int, last: int, count: int, value: float) -> bool:
        """Are these readings of the setpoint, all the same, no news?  Then they are taken, and most of the work is saved."""
        if self.step is not None or value != self.setpoint or not self.read < first <= last:
            return False
        self.pace = (last - first) // (count - 1) if count > 1 else last - self.read
        self.read = last
        return True

    def rests(self, times: Array, values: Array) -> None:
        """Process values while the setpoint stands and no step is under way."""
        self.unread.append((times[-MAX_REST:], values[-MAX_REST:]))
        if len(self.unread) >= MAX_UNREAD:
            self._look()

    def _look(self) -> None:
        if self.unread:
            times, values = (np.concatenate(columns) for columns in zip(*self.unread, strict=True))
            self.unread.clear()
            self._rests(*later(times, values, int(self.times[-1]) if len(self.times) else 0))

    def take(self, asked_at: Array, asked: Array, times: Array, values: Array) -> list[Response]:
        """Setpoints and process values of a while, with their times in ns."""
        self._look()
        asked_at, asked = later(asked_at, asked, self.read)
        times, values = later(times, values, int(self.times[-1]) if len(self.times) else 0)
        found: list[Response] = []
        done = heard = kept = 0
        for place, after in self._moves(asked_at, asked):
            cut = int(np.searchsorted(times, asked_at[place]))
            if self.step is not None:
                found += self._under_way(times[done:cut], values[done:cut])
            if self.step is not None:
                self.unsettled_s = max(self.unsettled_s, (self.step.last - self.step.began) / NS_PER_S)
                self.step = None
            self._heard(asked_at[heard:place], asked[heard:place])
            done, heard = cut, place
            if after >= QUIET_NS:
                self._rests(times[kept:cut], values[kept:cut])
                kept = cut
                found += self._begin(int(asked_at[place]), float(asked[place]))
            self.moved = int(asked_at[place])
        if self.step is not None:
            found += self._under_way(times[done:], values[done:])
        self._rests(times[kept:], values[kept:])
        self._heard(asked_at[heard:], asked[heard:])
        return found

    def _moves(self, asked_at: Array, asked: Array) -> list[tuple[int, int]]:
        """(place, ns since the move before) of the setpoint's moves that matter; of a setpoint that keeps moving, hardly any."""
        if not len(asked) or (asked[0] == self.setpoint and (asked == self.setpoint).all()):
            return []
        before = np.concatenate(([self.setpoint], asked[:-1]))
        places = np.flatnonzero((asked != before) & ~np.isnan(before))
        if not len(places):
            return []
        after = np.diff(asked_at[places], prepend=self.moved)
        quiet = after >= QUIET_NS
        matters = quiet | np.concatenate(([True], quiet[:-1]))
        matters[-1] = True  # since when it stands
        return list(zip(places[matters].tolist(), after[matters].tolist(), strict=True))

    def _heard(self, asked_at: Array, asked: Array) -> None:
        """Up to the last of them."""
        if not len(asked):
            return
        if len(asked) > 1 and asked[-1] == asked[-2]:  # as nearly always
            self.pace = int(asked_at[-1]) - int(asked_at[-2])
            self.read, self.setpoint = int(asked_at[-1]), float(asked[-1])
            return
        repeats = np.flatnonzero(asked == np.concatenate(([self.setpoint], asked[:-1])))
        if len(repeats):
            last = int(repeats[-1])
            self.pace = int(asked_at[last]) - (int(asked_at[last - 1]) if last else self.read)
        self.read, self.setpoint = int(asked_at[-1]), float(asked[-1])

    def _rests(self, times: Array, values: Array) -> None:
        if len(times) >= MAX_REST:
            self.times, self.values = times[-MAX_REST:].copy(), values[-MAX_REST:].copy()
        elif len(times):
            self.times = np.concatenate((self.times, times))[-MAX_REST:]
            self.values = np.concatenate((self.values, values))[-MAX_REST:]

    def _begin(self, seen: int, asked: float) -> list[Response]:
        """The setpoint was read to be another at ``seen``: written at a known time, or at any since it was read last."""
        began = changed_at(seen, self.read, self.pace)
        if self.read < self.written <= seen:
            began = self.written
        if began is None:
            return []
        before = int(np.searchsorted(self.times, began, side="right"))
        size = asked - self.setpoint
        if before < MIN_REST or abs(size) < MIN_STEP * self.span or not self.is_in_force:
            return []
        between = np.diff(self.times[:before])
        missing = MISSING * float(np.median(between)) + MISSING_NS
        gaps = np.flatnonzero(between > missing)
        since = int(np.searchsorted(self.times, (began + self.moved) // 2))  # before, it may have been on its way
        rest = self.values[max(int(gaps[-1]) + 1 if len(gaps) else 0, since) : before]
        if len(rest) < MIN_REST or seen - int(self.times[before - 1]) > missing:
            return []
        self._differ(self.values)
        step = self.resolution if math.isfinite(self.resolution) else 0.0
        noise, count = max(_CURVE * float(np.abs(np.diff(rest, 2)).mean()), step / math.sqrt(12.0)), len(rest) // 2
        level, drift = float(rest.mean()), float(rest[-count:].mean() - rest[:count].mean())
        if max(abs(level - self.setpoint), abs(drift)) > RESTS * abs(size) or abs(size) < MIN_NOISES * max(noise, float(rest.std())):
            return []
        share = noise / abs(size)
        smooth = min(max(math.ceil((share / SMOOTH) ** 2), 1), MAX_SMOOTH)
        self.step = _Step(
            began=began,
            size=size,
            start=self.setpoint,
            rest=level,
            band=BAND + max(NOISES * share / math.sqrt(smooth), 0.5 * step / abs(size)),
            smooth=smooth,
            missing=round(missing),
            last=int(self.times[before - 1]),
        )
        return self._under_way(self.times[before:], self.values[before:])

    def _differ(self, values: Array) -> None:
        between = np.abs(np.diff(values))
        self.resolution = min(self.resolution, float(np.min(between, where=between > 0.0, initial=math.inf)))

    def _under_way(self, times: Array, values: Array) -> list[Response]:
        if not self.is_in_force:
            self.step = None
        if self.step is None or not len(times):
            return []
        self._differ(values)
        ended, response = self.step.take(times.tolist(), values.tolist(), round(self.longest_s * NS_PER_S))
        if ended:
            self.step = None
        is_told = response is not None and (self.tells_overdue or response.settling_s < self.longest_s)
        return [response] if response is not None and is_told else []


@dataclass(slots=True)
class _Step:
    """One under way; ways are shares of its size, from the old setpoint to the new one."""

    began: int
    size: float
    start: float
    rest: float
    band: float
    smooth: int
    missing: int  # ns
    last: int
    rise: list[tuple[int, float]] = field(default_factory=list)  # until `HIGH` of the way is done
    has_risen: bool = False
    newest: list[float] = field(default_factory=list)  # ways beyond the new setpoint
    off: float = -1.0  # their mean
    peak: float = 0.0
    entered: float = 0.0  # the band, ns; 0 = is outside

    def take(self, times: list[int], values: list[float], longest: int) -> tuple[bool, Response | None]:
        """(has it ended, the response if it is one)."""
        for time, value in zip(times, values, strict=True):
            if time - self.last > self.missing or len(self.rise) >= MAX_RISE:
                return True, None
            way = (value - self.rest) / self.size
            if not self.has_risen:
                self.rise.append((time, way))
                self.has_risen = way >= HIGH
            self.newest.append((value - self.start) / self.size - 1.0)
            if len(self.newest) > self.smooth:
                del self.newest[0]
            off, before = sum(self.newest) / len(self.newest), self.off
            self.peak = max(self.peak, off)
            if abs(off) > self.band:
                self.entered = 0.0
            elif not self.entered:
                share = (abs(before) - self.band) / (abs(before) - abs(off)) if abs(before) > self.band else 0.0
                self.entered = self.last + share * (time - self.last)
            self.off, self.last = off, time
            took = time - self.began
            if self.entered and self.has_risen and time - self.entered >= max(STAYS_NS, STAYS * (self.entered - self.began)):
                return True, self._response(time, (self.entered - self.began) / NS_PER_S)
            if took > longest:
                return True, self._response(time, took / NS_PER_S)
        return False, None

    def _response(self, time: int, settling_s: float) -> Response | None:
        dead_s = self._dead_s() if self.has_risen else settling_s
        if dead_s is None:
            return None
        return Response(
            began=self.began,
            ended=time,
            size=self.size,
            start=self.start,
            dead_s=dead_s,
            overshoot=self.peak,
            settling_s=max(settling_s, 1e-3),
        )

    def _dead_s(self) -> float | None:
        """Where the line through the beginning of the way stands at its beginning; None where it does not rise."""
        at = np.array([time - self.began for time, _ in self.rise]) / NS_PER_S
        way = np.array([way for _, way in self.rise])
        below = np.flatnonzero(way < LOW)
        first = int(below[-1]) if len(below) else 0
        at, way = at[first:], way[first:]
        if len(at) < 2:
            return None
        centred = at - at.mean()
        slope = float((centred * way).sum() / (centred * centred).sum())
        return float(at.mean() - way.mean() / slope) if slope > 0.0 else None


def later(times: Array, values: Array, than: int) -> tuple[Array, Array]:
    """Each later than the one before: what comes late replaces nothing, and a copy is none."""
    if not len(times) or (times[0] > than and (len(times) == 1 or bool((times[1:] > times[:-1]).all()))):
        return times, values
    kept = times > np.maximum.accumulate(np.concatenate(([than], times[:-1])))
    return times[kept], values[kept]


def changed_at(seen: int, read: int, pace: int) -> int | None:
    """When something changed that reads otherwise at ``seen`` than at ``read``: the middle between two polls, ``pace`` ns apart.  What was
    never read twice is told as it changes.  None where readings between are missing."""
    if pace and seen - read > MISSING * pace + MISSING_NS:
        return None
    return seen - min(pace, seen - read) // 2
