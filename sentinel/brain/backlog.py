"""What was only heard and waits for the court: bounded, fair between sources, and exact about what is never judged.

In: commands as they are heard (`put`).  Out: the next one to judge (`take`), and what was not judged (`drain`).  Pure.
A court judges some tens of commands a second; somebody may write ten thousand.  Sources take turns, so that his flood costs another one's
write a judgement and no more.  Of a source of which many wait, the same write is judged once; of several values to one address the lowest,
the highest and the newest: the ends, lest a harmless value hide a harmful one, and what the plant has got.  Where more wait than its
share, its oldest is passed over.  Every command stands in the records, whatever becomes of it here.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sentinel.model.command import Command
from sentinel.model.detection import Detection, Severity
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant
from sentinel.twin.sync import SLOT_NS

MANY = 64  # of one source: below, each of its commands is judged by itself
MAX_OF_SOURCE = 256  # older ones would meet a plant that has gone on: the court knows the last eight seconds
KEPT_OF_PLACE = 3
MAX_SOURCES = 64  # with a queue of their own; addresses can be forged, so that further new ones share one

Place = tuple[AssetId, str, int | None, tuple[str, ...]]  # target, operation, unit, addresses


@dataclass(slots=True, eq=False)
class _Slot:
    command: Command
    repeats: int = 0  # the same write, judged with it


@dataclass(slots=True)
class _Queue:
    slots: "deque[_Slot]" = field(default_factory=deque)
    places: dict[Place, list[_Slot]] = field(default_factory=dict)


@dataclass(slots=True)
class Unjudged:
    """Of one source, or of all that share a queue (None), since it was last told of.  ``since``: the first one's time."""

    source: AssetId | None
    since: Instant
    superseded: int = 0  # another value followed before the court came to them
    dropped: int = 0  # too many waited

    def detection(self) -> Detection:
        count, who = self.superseded + self.dropped, self.source or "many new addresses"
        return Detection(
            detector="backlog",
            title=f"Blind spot: writes of {who} are heard faster than the court judges them",
            seen=self.since,
            source=self.source,
            cause=f"unjudged:{self.source or 'many'}",
            feature="commands not judged",
            observed=f"{count} writes",
            expected="every write that is heard is judged",
            score=float(count),
            threshold=1.0,
            why=f"Of what {who} wrote, {count} commands were heard and never judged: {self.superseded} were followed by another value "
            f"before the court came to them, {self.dropped} were too many.  All of them are in the records.",
            severity=Severity.MEDIUM,
            confidence=1.0,
        )


class Backlog:
    """``is_new``: the baseline has not heard of this source before, as far as it knows."""

    def __init__(self, is_new: Callable[[AssetId], bool] = lambda _: False) -> None:
        self._is_new = is_new
        self._queues: OrderedDict[AssetId | None, _Queue] = OrderedDict()  # whose turn it is comes first
        self._unjudged: dict[AssetId | None, Unjudged] = {}
        self.repeated = self.superseded = self.dropped = 0  # since the start

    def __len__(self) -> int:
        return sum(len(queue.slots) for queue in self._queues.values())

    def put(self, command: Command) -> None:
        key = self._key(command.source)
        queue = self._queues.setdefault(key, _Queue())
        alike = queue.places.setdefault(_place(command), [])
        if len(queue.slots) >= MANY and alike:
            same = next((slot for slot in alike if _values(slot.command) == _values(command)), None)
            if same is not None:
                same.repeats += 1
                self.repeated += 1
                same.command = command
                return
            if len(alike) >= KEPT_OF_PLACE:
                self._supersede(key, alike, command)
                return
        if len(queue.slots) >= MAX_OF_SOURCE:
            oldest = queue.slots.popleft()
            _forget(queue, oldest)
            self._count(key, oldest, superseded=False)
            alike = queue.places.setdefault(_place(command), [])
        slot = _Slot(command)
        alike.append(slot)
        queue.slots.append(slot)

    def take(self) -> Command | None:
        """The next source's oldest; None when nothing waits."""
        if not self._queues:
            return None
        key, queue = self._queues.popitem(last=False)
        slot = queue.slots.popleft()
        _forget(queue, slot)
        if queue.slots:
            self._queues[key] = queue
        return slot.command

    def drain(self) -> list[Detection]:
        """What was not judged since the last call."""
        told, self._unjudged = [one.detection() for one in self._unjudged.values()], {}
        return told

    def _key(self, source: AssetId) -> AssetId | None:
        if source in self._queues or (len(self._queues) < MAX_SOURCES and not self._is_new(source)):
            return source
        return source if len(self._queues) < MAX_SOURCES // 2 else None

    def _supersede(self, key: AssetId | None, alike: list[_Slot], command: Command) -> None:
        """The newcomer takes the place of the oldest that is neither the lowest nor the highest of them all."""
        ordered = sorted([*(slot.command for slot in alike), command], key=_values)
        ends = (ordered[0], ordered[-1])
        slot = min((slot for slot in alike if slot.command not in ends), key=lambda slot: slot.command.seen)
        self._count(key, slot, superseded=True)
        slot.command, slot.repeats = command, 0

    def _count(self, key: AssetId | None, slot: _Slot, *, superseded: bool) -> None:
        """It and what was to be judged with it."""
        unjudged = self._unjudged.setdefault(key, Unjudged(key, slot.command.seen))
        count = 1 + slot.repeats
        self.repeated -= slot.repeats
        self.superseded += count if superseded else 0
        self.dropped += 0 if superseded else count
        unjudged.superseded += count if superseded else 0
        unjudged.dropped += 0 if superseded else count


def _forget(queue: _Queue, slot: _Slot) -> None:
    place = _place(slot.command)
    queue.places[place].remove(slot)
    if not queue.places[place]:
        del queue.places[place]


def _place(command: Command) -> Place:
    return command.target, command.operation, command.unit, tuple(write.point for write in command.writes)


def _values(command: Command) -> tuple[tuple[float, ...], str]:
    """What tells two writes to the same place apart, and which of them is lower: numbers, and octets where there are none."""
    numbers = tuple(write.raw for write in command.writes if write.raw is not None)
    return numbers, command.octets if len(numbers) < len(command.writes) or not numbers else ""


def lasting(commands: Iterable[Command]) -> list[tuple[Instant, dict[str, float]]]:
    """What of a batch the twin takes over, in order of time: a value that another one of its tag follows within one step never lasted."""
    kept: list[tuple[Instant, dict[str, float]]] = []
    followed: set[tuple[int, str]] = set()
    for command in sorted(commands, key=lambda command: command.seen)[::-1]:
        step = command.seen // SLOT_NS
        writes = {tag: value for tag, value in command.reached().items() if (step, tag) not in followed}
        followed |= {(step, tag) for tag in writes}
        if writes:
            kept.append((command.seen, writes))
    return kept[::-1]
