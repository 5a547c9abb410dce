"""At which time of day each source writes: one that has for weeks, and now does at an hour at which it never did, does something new.

In: every command, and at a start the hours of those that the records still hold.  Out: for how many days the source has written without
ever doing so at this time of day.  An hour to either side counts as the same: people are late, and clocks change twice a year.  What was
written today makes no hour usual, or a second write would excuse the first.  Hours are UTC's.  Bounded: of more than MAX_SOURCES the one
that was heard of first is forgotten.
"""

from collections.abc import Iterable, Mapping

from sentinel.model.ids import AssetId
from sentinel.model.time import NS_PER_S, Instant

HOUR_NS = 3600 * NS_PER_S
MIN_DAYS = 7  # a week has every shift and every weekday in it
MIN_HOURS = 20  # in which it wrote: of one that hardly ever writes every hour is a new one
MAX_SOURCES = 1024
_DAY_HOURS = 24
_LATE = 1  # hours


class _Habit:
    """``first``: of each hour of the day, the first day on which something was written then; -1 = none."""

    def __init__(self, hour: int) -> None:
        self.began = hour
        self.newest = -1
        self.hours = 0
        self.first = [-1] * _DAY_HOURS

    def note(self, hour: int) -> None:
        day, of_day = divmod(hour, _DAY_HOURS)
        self.hours += hour != self.newest
        self.newest = hour
        self.began = min(self.began, hour)
        if self.first[of_day] < 0 or day < self.first[of_day]:
            self.first[of_day] = day


class Hours:
    """``past``: the whole hours since 1970 in which each source wrote."""

    def __init__(self, past: Mapping[AssetId, Iterable[int]] | None = None) -> None:
        self._habits: dict[AssetId, _Habit] = {}
        for source, hours in (past or {}).items():
            for hour in sorted(hours):
                self._note(source, hour)

    def note(self, source: AssetId, at: Instant) -> None:
        self._note(source, at // HOUR_NS)

    def _note(self, source: AssetId, hour: int) -> None:
        habit = self._habits.get(source)
        if habit is None:
            habit = self._habits[source] = _Habit(hour)
            if len(self._habits) > MAX_SOURCES:
                del self._habits[next(iter(self._habits))]
        habit.note(hour)

    def days_without(self, source: AssetId, at: Instant) -> int:
        """For so many days it has written, and never at this time of day; 0 = it has, or too little is known of it."""
        habit, hour = self._habits.get(source), at // HOUR_NS
        if habit is None or habit.hours < MIN_HOURS:
            return 0
        days = (hour - habit.began) // _DAY_HOURS
        if days < MIN_DAYS:
            return 0
        for near in range(hour - _LATE, hour + _LATE + 1):
            day, of_day = divmod(near, _DAY_HOURS)
            if 0 <= habit.first[of_day] < day:
                return 0
        return days
