"""What a command that reads long files says while it works: one line on standard error, rewritten, only on a terminal or for long work."""

import sys

from sentinel.clock import Clock
from sentinel.errors import InputError
from sentinel.model.observation import Heard
from sentinel.model.time import Instant, seconds_between

_EVERY_S = 60.0  # of packet time
_SHOWN_EVERY_S = 1.0


def first_instant(heard: Heard) -> Instant | None:
    """The earliest packet of what was heard; None where there is none."""
    times = [int(columns.time[0]) for columns in (heard.messages, heard.flows) if len(columns)]
    return Instant(min(times)) if times else None


class Meter:
    """Counts packet time and packets; on a terminal it shows them as they grow."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._first: Instant | None = None
        self._shown = 0.0
        self.packets = 0
        self.defects: list[str] = []  # of the file

    def reached(self, heard: Heard) -> None:
        self._first = self._first if self._first is not None else first_instant(heard)
        self.packets += int(heard.flows.packets.sum()) if len(heard.flows) else 0
        reached_s = seconds_between(self._first, heard.until) if self._first is not None else 0.0
        if sys.stderr.isatty() and reached_s - self._shown >= _EVERY_S:
            self._shown = reached_s
            print(f"\r{self._label}: {reached_s:.0f} s, {self.packets} packets", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._shown:
            print(file=sys.stderr)


class Patience:
    """For a search that may take long: says how it goes on, and ends it after so many seconds."""

    def __init__(self, limit_s: float, clock: Clock) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._begun_s = self._shown_s = clock.monotonic_s()
        self._is_shown = False

    def pause(self, rollouts: int) -> None:
        """Raises InputError when the time is over."""
        now_s = self._clock.monotonic_s()
        took_s = now_s - self._begun_s
        if took_s > self._limit_s:
            raise InputError(
                f"no result within {self._limit_s:g} s, after {rollouts} rollouts: allow more time (--limit), or ask for shorter "
                "stretches, a longer --every or less of the recording"
            )
        if sys.stderr.isatty() and now_s - self._shown_s >= _SHOWN_EVERY_S:
            self._shown_s, self._is_shown = now_s, True
            print(f"\rsearching: {rollouts} rollouts, {took_s:.0f} s of at most {self._limit_s:g} s", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._is_shown:
            print(file=sys.stderr)
