"""The only reader of the wall clock.  Rooms take a `Clock`; tests hand in a manual one."""

import time
from typing import Protocol

from sentinel.model.time import NS_PER_S, Instant


class Clock(Protocol):
    def now(self) -> Instant:
        """UTC; may step when the machine's clock is set."""

    def monotonic_s(self) -> float:
        """For durations and deadlines; never steps."""


class SystemClock:
    def now(self) -> Instant:
        return Instant(time.time_ns())

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """Stands still until it is told to move."""

    def __init__(self, start: int = 1_700_000_000 * NS_PER_S) -> None:
        self._now = start
        self._start = start

    def now(self) -> Instant:
        return Instant(self._now)

    def monotonic_s(self) -> float:
        return (self._now - self._start) / NS_PER_S

    def advance(self, seconds: float) -> None:
        self._now += round(seconds * NS_PER_S)
