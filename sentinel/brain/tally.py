"""What each source has delivered, second by second, as `Tally` records.

In: batches as they arrive.  Out: the tallies since the last time (`Tallies.drain`).
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from sentinel.model.observation import Counters, Heard
from sentinel.model.record import Tally
from sentinel.model.time import NS_PER_S, Instant


@dataclass(slots=True)
class Count:
    """What one source has delivered since the last tally."""

    messages: int = 0
    packets: int = 0
    octets: int = 0
    readings: int = 0
    commands: int = 0
    defects: int = 0
    counters: Counters = Counters()


def grown(before: Counters, now: Counters) -> Counters:
    """What a sensor counted since; everything, where it began anew."""
    if now.accepted < before.accepted:
        return now
    return _counters(lambda name: getattr(now, name) - getattr(before, name))


def added(one: Counters, other: Counters) -> Counters:
    return _counters(lambda name: getattr(one, name) + getattr(other, name))


def _counters(value: Callable[[str], int]) -> Counters:
    return Counters(**{field.name: value(field.name) for field in dataclasses.fields(Counters)})


class Tallies:
    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}
        self._told: dict[str, Counters] = {}  # by the sensors, since each of them began

    def of(self, source: str) -> Count:
        return self._counts.setdefault(source, Count())

    def add(self, heard: Heard, commands: int) -> None:
        count = self.of(heard.source)
        count.messages += len(heard.messages)
        count.packets += int(heard.flows.packets.sum())
        count.octets += int(heard.flows.octets.sum())
        count.defects += int((heard.messages.defect > 0).sum() + (heard.flows.defect > 0).sum())
        count.commands += commands
        before, self._told[heard.source] = self._told.get(heard.source, Counters()), heard.counters
        count.counters = added(count.counters, grown(before, heard.counters))

    def drain(self, now: Instant) -> list[Tally]:
        """Of the second that ``now`` lies in."""
        done, self._counts = self._counts, {}
        start = Instant(now - now % NS_PER_S)
        names = [one.name for one in dataclasses.fields(Count)]
        return [
            Tally(source=source, start=start, **{name: getattr(count, name) for name in names}) for source, count in sorted(done.items())
        ]
