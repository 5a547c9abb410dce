"""What a command that reads long files says while it works: one line on standard error, rewritten, only on a terminal or for long work."""

import sys

from sentinel.model.observation import Heard
from sentinel.model.time import Instant, seconds_between

_EVERY_S = 60.0  # of packet time


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
