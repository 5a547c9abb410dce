"""The estimator: readings in, an ensemble in step with the plant out, and an honest word on how well.

An ensemble Kalman filter corrects states, controller integrals and (slowly, within their declared spreads and wear) parameters; writable
tags are replicated.  Beside it run free copies that are never corrected: readings are tested against them, and a tag that fails the test no
longer corrects.

Time comes in by `now` and by the readings' time of receipt; nothing here reads a clock.  The same calls give the same bits.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sentinel.model.observation import Counters, Readings
from sentinel.model.time import NS_PER_S, Instant, seconds_between
from sentinel.twin.acquisition import find_state
from sentinel.twin.arrivals import ANYTHING, Arrivals, Reading, within
from sentinel.twin.assimilation import Assimilation
from sentinel.twin.engine import Model
from sentinel.twin.ensemble import Ensemble, Spreads, Writes, check_writes, initial
from sentinel.twin.health import Monitor
from sentinel.twin.learnt import Learnt, Memory
from sentinel.twin.sensing import Forecast, Sensing, Sureness
from sentinel.twin.shadows import Shadows
from sentinel.twin.snapshot import Grade, Health, Snapshot
from sentinel.twin.wear import Wear

F8 = NDArray[np.float64]

SLOT_NS = NS_PER_S // 10  # readings of one slot correct together
MAX_GAP_S = 30.0  # a longer one is a step of the clock or an outage: the twin begins anew instead of running after it
MAX_BACK_S = 2.0  # `advance` takes a larger step back for a step of the clock
LATE_S = 2.0  # an older reading is refused
MAX_PENDING = 20_000  # readings, and writes
MAX_RESIDUALS = 20_000
RING = 120  # trusted snapshots, one a second
ACQUIRE_S = 2.0  # readings are gathered so long before the twin is set to them
REACQUIRE_S = 15.0  # a lost twin tries again, not more often
RECONSIDER_S = 60.0  # a tag that deviated so long may be right after all: the twin is set to the readings again
WIDEST = 0.5  # of a tag's range, standard deviation of its forecast: what is as wide as the instrument agrees with every reading


class Sync:
    """Keeps a twin in step: `observe` what was read, `advance` the time, take a `snapshot`.

    ``learnt``: what `learnt` of an earlier one of this plant said.  A plant wears on while nobody looks, and does not mend by it: begun
    with what is declared alone, a twin of a worn plant takes minutes to learn again what it had known, and doubts every write meanwhile.
    """

    def __init__(self, model: Model, seed: int | None = None, members: int = 256, learnt: Learnt | None = None) -> None:
        self.model = model
        seed = model.plant.seed if seed is None else seed
        self._chance = np.random.Generator(np.random.PCG64([seed, 1]))
        self._start = initial(model, members, seed)
        self._spreads = Spreads.of(model.plant)
        start = Ensemble.from_snapshot(model, self._start)
        self._sensing = Sensing.of(model, start)
        self._filter = Assimilation(model, self._sensing, self._spreads, start, self._chance)
        self._forecast = Forecast(model, self._sensing.tags)
        self._shadows = Shadows(self._sensing, self._forecast, WIDEST)
        self._sureness = Sureness(self._sensing)
        self._memory = Memory(Wear.of(model.plant), learnt)
        self._inputs = model.input_rows
        self._measured = {sensor.tag.name for sensor in model.plant.sensors}
        tags = model.plant.tags.by_name
        usable = dict.fromkeys(self._inputs, ANYTHING) | {one.tag.name: within(one.tag) for one in model.plant.sensors}
        self._arrivals = Arrivals(usable, tags, MAX_PENDING)
        self.monitor = Monitor(
            self._sensing.tags,
            {tag: (tags[tag].low, tags[tag].high) for tag in self._sensing.tags},
            {one.tag.name for one in model.plant.invariants} & self._measured,
            self._sensing.instruments,
        )
        self._at: Instant | None = None
        self._gathered: dict[str, float] = {}
        self._acquiring_since: int | None = None
        self._last_acquired: int | None = None
        self._residuals: deque[tuple[int, str, float]] = deque(maxlen=MAX_RESIDUALS)
        self._forecasts: deque[tuple[int, str, float]] = deque(maxlen=MAX_RESIDUALS)
        self._ring: deque[Snapshot] = deque(maxlen=RING)

    # -- what goes out

    @property
    def health(self) -> Health:
        return self.monitor.health

    @property
    def at(self) -> Instant | None:
        """The plant time that the twin has reached; None before the first call."""
        return self._at

    @property
    def counters(self) -> Counters:
        """Of readings."""
        return self._arrivals.counters

    def snapshot(self) -> Snapshot:
        """The ensemble now; trusted only while the twin is in step.

        What a loop puts out is read, and a loop that is taken to manual stays where that stands.  So all members share it, as the mean of
        what each puts out for itself, which follows the noise of its own state.
        """
        health, at = self.health, Instant(0) if self._at is None else self._at
        main = self._filter.main
        main, members = replace(main, controllers=main.controllers.copy()), main.members
        for row, controller in enumerate(self.model.plant.controllers):
            if self.monitor.speaks(controller.op, at):
                main.controllers[2 * row + 1] = main.controllers[2 * row + 1, :members].mean()
        return main.snapshot(at, trusted=health.is_in_step, health=health)

    def trusted(self) -> tuple[Snapshot, ...]:
        """The last two minutes' trusted snapshots, one a second, oldest first."""
        return tuple(self._ring)

    def residuals(self) -> Readings:
        """Since the last call: reading minus a forecast up to half a minute old, in standard deviations, at the reading's time."""
        return _taken(self._residuals)

    def forecasts(self) -> Readings:
        """Since the last call: such a forecast itself, in the units of its tag."""
        return _taken(self._forecasts)

    def parameters(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over members, in declared spreads: what the twin has learnt about each."""
        now = Learnt.of(self._filter.known)
        named = zip(self.model.plant.parameters, now.mean, now.spread, strict=True)
        return {one.name: (float(mean), float(spread)) for one, mean, spread in named}

    @property
    def learnt(self) -> Learnt | None:
        """The parameters as they were when the twin was last trusted; None before, and once it had to be found anew in spite of them."""
        return self._memory.learnt

    # -- what comes in

    def observe(self, readings: Readings, now: Instant) -> None:
        """Readings as they arrived, in any order; brings the twin to `now`, or leaves it where it is when it is already further."""
        # a reading may be of a new time after the clock stepped back: then it is not late
        oldest = self._at - LATE_S * NS_PER_S if self._at is not None and now > self._at - MAX_GAP_S * NS_PER_S else -math.inf
        for tag, why in self._arrivals.read(readings, oldest, now + LATE_S * NS_PER_S):
            if tag in self._sensing.rows:
                self.monitor.refuse(tag, why)
        self._reach(now, MAX_GAP_S)

    def write(self, writes: Writes, now: Instant) -> None:
        """Writes that were seen to reach the plant, in the tags' units.  Raises ValueError like `rollout`."""
        check_writes(self.model, writes)
        self._arrivals.write(writes, int(now))
        self._reach(now, MAX_GAP_S)

    def advance(self, now: Instant) -> None:
        """To `now`.  A step of the clock or a long gap is not integrated: the twin begins anew and says so."""
        self._reach(now, MAX_BACK_S)

    # -- time

    def _reach(self, now: Instant, back_s: float) -> None:
        if self._at is None:
            oldest = self._arrivals.earliest(int(now))
            self._begin(Instant(max(oldest, int(now - MAX_GAP_S * NS_PER_S))), "finding the plant's state")
        assert self._at is not None
        gap_s = seconds_between(self._at, now)
        if gap_s < -back_s:
            self._begin(now, f"the clock stepped back by {-gap_s:.0f} s")
        elif gap_s > MAX_GAP_S:
            self._begin(now, f"a gap or a step of the clock of {gap_s:.0f} s")
        while self._at + SLOT_NS <= now:
            self._slot(Instant(self._at + SLOT_NS))
        self.monitor.judge(self._at)
        self._reconsider()
        if self.health.is_in_step and (not self._ring or self._at // NS_PER_S > self._ring[-1].at // NS_PER_S):
            self._ring.append(self.snapshot())
            self._memory.remember(self._filter.known, self._at)

    def _begin(self, at: Instant, reason: str) -> None:
        first = at // SLOT_NS * SLOT_NS
        self._arrivals.forget(first - SLOT_NS)
        self._ring.clear()
        self._at = Instant(first)
        self._last_acquired = None
        self._acquire(reason)

    def _reconsider(self) -> None:
        """When it may be the twin that is wrong, it is set to the readings again; the health says so until they agree for a while."""
        assert self._at is not None
        health, since = self.health, self._last_acquired
        if self._acquiring_since is not None or since is None:
            return
        if health.grade is Grade.LOST and seconds_between(since, self._at) > REACQUIRE_S:
            if any(one.distance is not None for one in health.deviations):  # silence says nothing against what was learnt
                self._memory.forget()
            self._acquire(health.reason)
        elif health.grade is Grade.DEGRADED and seconds_between(since, self._at) > RECONSIDER_S:
            stale_s = self.monitor.longest_deviation_s(self._at)
            if stale_s > RECONSIDER_S:
                self._memory.forget()
                self._acquire(f"{health.reason} for {stale_s:.0f} s: finding the plant's state anew")

    def _acquire(self, reason: str) -> None:
        assert self._at is not None
        self._gathered.clear()
        self._shadows.clear()
        self._sureness.begin()
        self._acquiring_since = int(self._at)
        self.monitor.reset(reason, self._at)

    def _slot(self, end: Instant) -> None:
        """One tenth of a second further: inputs as written or read, forecast, test, correct."""
        assert self._at is not None
        span_s = seconds_between(self._at, end)
        self._at = end
        for writes in self._arrivals.written(end):
            self._replicate(writes)
        observed = self._replicated(self._arrivals.due(end), end)
        if self._acquiring_since is not None:
            self._gather(observed, end)
            return
        main = self._filter.main
        predicted = self._forecast.run(main, span_s)
        self._sureness.follow(predicted[:, : main.members].mean(axis=1), span_s)
        read = [(self._sensing.rows[tag], max(seconds_between(one.at, end), 0.0), one.is_uncertain) for tag, one in observed.items()]
        sigmas = dict(zip(observed, self._sureness.sigmas(read), strict=True))
        self._test(observed, sigmas, span_s, end)
        if observed:
            self._correct(observed, sigmas, predicted)
        self._filter.disturb(span_s)

    def _replicated(self, latest: dict[str, Reading], end: Instant) -> dict[str, Reading]:
        """Writable tags are taken over; what remains is to be held against a forecast.  A controller's output is taken over in manual,
        and a measurement in automatic."""
        driven = self._sensing.driven
        self._replicate({tag: one.value for tag, one in latest.items() if tag in self._inputs and tag not in driven})
        manual = {tag: one.value for tag, one in latest.items() if tag in driven and not self._filter.is_auto(driven[tag])}
        self._replicate(manual)
        for tag, one in latest.items():
            if tag in self._sensing.rows:
                self.monitor.heard(tag, one.value, end, rests=tag in manual)
        return {tag: one for tag, one in latest.items() if tag in self._sensing.rows and tag not in manual}

    def _replicate(self, writes: Mapping[str, float]) -> None:
        if writes:
            self._filter.main.write(writes)
            self._shadows.write(writes)

    # -- finding the state

    def _gather(self, observed: Mapping[str, Reading], end: Instant) -> None:
        if not self._gathered and not observed:
            self._acquiring_since = int(end)  # the wait begins with the first reading
            return
        assert self._acquiring_since is not None
        self._gathered |= {tag: reading.value for tag, reading in observed.items()}
        if self._gathered.keys() >= self._measured or seconds_between(self._acquiring_since, end) >= ACQUIRE_S:
            self._set()
            self._acquiring_since = None
            self._last_acquired = int(end)

    def _set(self) -> None:
        """States to what was read, controllers to what holds the plant there, parameters to what was declared, or learnt before a gap."""
        found = Ensemble.from_snapshot(self.model, self._start)
        assert self._at is not None
        self._memory.look(self._at)
        learnt = self._memory.learnt
        if learnt is not None:
            found.parameters[:] = self._spreads.values_at(learnt.moved(self._spreads.scores_of(found.parameters), self._memory.lowest))
        found.inputs[:] = self._filter.main.inputs
        found.states[:] = self._filter.main.states.mean(axis=1, keepdims=True)
        find_state(self.model, self._sensing, self._forecast, found, self._gathered, self._chance)
        self._filter.set(found)

    # -- following

    def _correct(self, observed: Mapping[str, Reading], sigmas: Mapping[str, float], predicted: F8) -> None:
        """By what is believed of what was read."""
        assert self._at is not None
        at, monitor = self._at, self.monitor
        believed = {tag: sigmas[tag] for tag in observed if not monitor.deviates(tag, at)}
        unread = np.array([not monitor.speaks(one.op, at) for one in self.model.plant.controllers], bool)
        self._filter.correct({tag: one.value for tag, one in observed.items()}, believed, predicted, unread, self._memory.lowest)

    def _test(self, observed: Mapping[str, Reading], sigmas: Mapping[str, float], span_s: float, end: Instant) -> None:
        """Readings against the older shadow, which has heard none of them."""
        self._shadows.advance(span_s)
        for tag, (innovation, shown) in self._shadows.innovations(observed, sigmas).items():
            self.monitor.take(tag, innovation, end)
            self._residuals.append((observed[tag].at, tag, innovation))
            if not math.isnan(shown):
                self._forecasts.append((observed[tag].at, tag, shown))
        self._shadows.renew(self._filter.main)


def _taken(rows: deque[tuple[int, str, float]]) -> Readings:
    """All of them; the deque is empty afterwards."""
    taken = list(rows)
    rows.clear()
    codes = {tag: code for code, tag in enumerate(dict.fromkeys(tag for _, tag, _ in taken))}
    times = [at for at, _, _ in taken]
    return Readings.of(
        tuple(codes), time=times, seen=times, tag=[codes[tag] for _, tag, _ in taken], value=[value for _, _, value in taken]
    )
