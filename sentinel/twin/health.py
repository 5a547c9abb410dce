"""How far the twin is in step: per tag the recent root mean square of innovations, and a grade for the whole.

In: normalised innovations (reading minus forecast, in standard deviations) as they come, and the time.  Out: `Health`.  An innovation here
is taken against a forecast that ran freely for up to half a minute, so a reading that the filter would follow step by step still shows.
Two more reasons to disbelieve a tag need no forecast: it shows no life (`vitality`), or it is watched by an invariant and was never read.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sentinel.model.time import Instant, seconds_between
from sentinel.twin.snapshot import Deviation, Grade, Health
from sentinel.twin.vitality import Vitality

MEMORY_S = 8.0  # of the mean square
DEVIATES = 3.0  # standard deviations, root mean square: chance alone exceeds it once in a plant's life
RECOVERS = 2.0  # below this a tag that deviated is believed again
SILENT_S = 10.0  # without a usable reading
LOST_SHARE = 0.34  # of the tags that have ever spoken: when more of them deviate or are silent, it is the twin that is wrong
SETTLING_S = 5.0  # of agreement before the twin counts as in step
PROBATION_S = 30.0  # after a new beginning the tags that deviated before it are not believed for so long
FROZEN_S = 20.0  # a tag that deviates and has not changed for so long is frozen
CAP = 30.0  # one absurd reading must not mark a tag for minutes


@dataclass(slots=True)
class _Track:
    square: float = 1.0
    updated: Instant | None = None  # last usable reading
    tested: Instant | None = None  # last innovation
    deviates: bool = False
    since: Instant | None = None  # it deviates
    value: float | None = None
    changed: Instant | None = None  # when the raw value last changed
    probation: bool = False  # it deviated before the last reset
    refused: str | None = None  # why the last reading could not be used
    life: Vitality | None = None


@dataclass(slots=True)
class Monitor:
    """Grades.  ``reset`` begins anew: after a gap, a step of the clock, or when the twin was lost.

    ``ranges``: of the tags whose life is watched.  ``needed``: tags without which the envelope is not seen.  ``instruments``: tags
    whose noise is their own.
    """

    tags: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    needed: Collection[str] = ()
    instruments: Collection[str] = ()
    _tracks: dict[str, _Track] = field(default_factory=dict)
    _health: Health = field(default_factory=lambda: Health(grade=Grade.LOST, reason="nothing has been read yet"))
    _began: Instant | None = None  # when innovations began to be taken

    @property
    def health(self) -> Health:
        return self._health

    def reset(self, reason: str, at: Instant) -> None:
        for track in self._tracks.values():
            track.probation = track.deviates or (track.probation and not self._is_settled(PROBATION_S, at))
            track.square, track.deviates, track.since, track.tested = 1.0, False, None, None
            track.updated = at  # silence counts from now
        self._began = None
        self._enter(Grade.LOST, reason, (), at)

    def take(self, tag: str, innovation: float, at: Instant) -> None:
        track = self._track(tag)
        gap = SILENT_S if track.tested is None else max(seconds_between(track.tested, at), 0.0)
        keep = math.exp(-max(gap, 0.05) / MEMORY_S)
        track.square = keep * track.square + (1.0 - keep) * min(innovation * innovation, CAP * CAP)
        track.deviates = track.square > (RECOVERS if track.deviates else DEVIATES) ** 2
        track.since = (track.since or at) if track.deviates else None
        track.tested = at
        self._began = self._began or at

    def heard(self, tag: str, value: float, at: Instant, *, rests: bool = False) -> None:
        """A usable reading; `take` follows once there is a forecast to hold it against.  ``rests``: nothing moves it at the moment."""
        track = self._track(tag)
        if rests or tag not in self.ranges:
            track.life = None
        else:
            track.life = track.life or Vitality(*self.ranges[tag], is_instrument=tag in self.instruments)
            track.life.heard(value, at)
        if value != track.value or track.changed is None:
            track.value, track.changed = value, at
        track.updated, track.refused = at, None

    def refuse(self, tag: str, why: str) -> None:
        self._track(tag).refused = why

    def deviates(self, tag: str, at: Instant) -> bool:
        track = self._tracks.get(tag)
        return track is not None and (track.deviates or (track.life is not None and track.life.complaint(at) is not None))

    def _track(self, tag: str) -> _Track:
        """Not `setdefault`, which would make one for each reading."""
        track = self._tracks.get(tag)
        if track is None:
            track = self._tracks[tag] = _Track()
        return track

    def _is_frozen(self, track: _Track, at: Instant) -> bool:
        return track.changed is not None and seconds_between(track.changed, at) >= FROZEN_S

    def longest_deviation_s(self, at: Instant) -> float:
        """Of tags that are alive: a frozen one does not become right by waiting."""
        alive = [track for track in self._tracks.values() if not self._is_frozen(track, at)]
        return max((seconds_between(track.since, at) for track in alive if track.since is not None), default=0.0)

    def _is_settled(self, seconds: float, at: Instant) -> bool:
        return self._began is not None and seconds_between(self._began, at) >= seconds

    def speaks(self, tag: str, at: Instant) -> bool:
        track = self._tracks.get(tag)
        return track is not None and track.updated is not None and seconds_between(track.updated, at) <= SILENT_S

    @property
    def distances(self) -> dict[str, float]:
        return {tag: math.sqrt(track.square) for tag, track in self._tracks.items() if track.updated is not None}

    def judge(self, at: Instant) -> Health:
        known = [tag for tag in self.tags if tag in self._tracks]
        deviations: list[Deviation] = []
        silent = 0
        for tag in known:
            track = self._tracks[tag]
            if track.updated is None or seconds_between(track.updated, at) > SILENT_S:
                silent += 1
                why = track.refused or f"no usable reading for more than {SILENT_S:g} s"
                deviations.append(Deviation(tag=tag, distance=None, why=why))
            elif track.deviates:
                far = math.sqrt(track.square)
                why = f"{far:.1f} standard deviations from the forecast"
                if self._is_frozen(track, at) and track.changed is not None:
                    why += f", unchanged for {seconds_between(track.changed, at):.0f} s"
                deviations.append(Deviation(tag=tag, distance=round(far, 2), why=why))
            elif track.life is not None and (lifeless := track.life.complaint(at)):
                deviations.append(Deviation(tag=tag, distance=round(math.sqrt(track.square), 2), why=lifeless))
            elif track.probation and not self._is_settled(PROBATION_S, at):
                deviations.append(Deviation(tag=tag, distance=round(math.sqrt(track.square), 2), why="it deviated until a moment ago"))
        unread = sorted(set(self.needed) - set(known))
        deviations += [Deviation(tag=tag, distance=None, why="it has never been read, and an invariant watches it") for tag in unread]
        self._grade(known, deviations, silent, at)
        return self._health

    def _grade(self, known: list[str], deviations: list[Deviation], silent: int, at: Instant) -> None:
        names = ", ".join(deviation.tag for deviation in deviations)
        if not known:
            self._enter(Grade.LOST, "nothing has been read yet", (), at)
        elif silent == len(known):
            self._enter(Grade.LOST, f"no tag has been read for {SILENT_S:g} s", tuple(deviations), at)
        elif len(deviations) > LOST_SHARE * len(known):
            self._enter(Grade.LOST, f"{len(deviations)} of {len(known)} tags contradict the twin: {names}", tuple(deviations), at)
        elif not self._is_settled(SETTLING_S, at):
            if self._health.grade is not Grade.LOST:
                self._enter(Grade.LOST, "finding the plant's state", tuple(deviations), at)
        elif deviations:
            self._enter(Grade.DEGRADED, f"{names}: not in step with the readings", tuple(deviations), at)
        else:
            self._enter(Grade.IN_STEP, f"{len(known)} tags agree with the forecast", (), at)

    def _enter(self, grade: Grade, reason: str, deviations: tuple[Deviation, ...], at: Instant) -> None:
        since = self._health.since if self._health.grade is grade and self._health.since is not None else at
        self._health = Health(grade=grade, reason=reason, deviations=deviations, since=since)
