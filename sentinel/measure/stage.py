"""A plant and its twin without sockets, in the plant's own time, as fast as the machine allows.

The plant is the reference plant: its own physics, controller, instruments and registers.  The twin hears of it what polls read: every tag,
every half second, as the registers round it.  The same seed and the same writes give the same bits.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sentinel.demo.physics import STEP_S
from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.wiring import Interface
from sentinel.model.observation import Readings
from sentinel.model.time import Instant, after
from sentinel.twin.compiled import Model
from sentinel.twin.learnt import Learnt
from sentinel.twin.snapshot import Snapshot
from sentinel.twin.sync import Sync

POLL_S = 0.5
BEGINNING = Instant(1_700_000_000_000_000_000)
Write = tuple[float, str, float]  # seconds from the start, tag, value in its unit
Distortion = Callable[[float, Mapping[str, float]], Mapping[str, float]]  # (plant's time in s, what was read) to what arrives


class Registers(Protocol):
    def put(self, tag: str, value: float) -> None: ...

    def value(self, tag: str) -> float: ...


class Plant(Protocol):
    """`step` lets it live for one scan."""

    @property
    def interface(self) -> Interface: ...

    @property
    def time_s(self) -> float: ...

    @property
    def registers(self) -> Registers: ...

    def step(self) -> None: ...

    def values(self) -> Mapping[str, float]: ...


P = TypeVar("P", bound=Plant)


class LivePlant(Generic[P]):
    """The plant alone: `run` lets it live, `write` changes a register between two scans."""

    def __init__(self, plant: P, writes: Sequence[Write] = ()) -> None:
        self.plant = plant
        self._writes = sorted(writes)

    @staticmethod
    def of_reference(seed: int, interface: Interface, writes: Sequence[Write] = ()) -> "LivePlant[ReferencePlant]":
        return LivePlant(ReferencePlant(seed=seed, interface=interface), writes)

    def scan(self) -> None:
        """Writes that are due, then one scan."""
        while self._writes and self._writes[0][0] <= self.plant.time_s:
            _, tag, value = self._writes.pop(0)
            self.plant.registers.put(tag, value)
        self.plant.step()

    def run(self, until_s: float) -> None:
        while self.plant.time_s < until_s:
            self.scan()


class Stage:
    """A live plant and the twin that follows it.  ``distort``: what somebody on the way makes of the readings; ``learnt``: as `Sync`."""

    def __init__(
        self,
        model: Model,
        live: LivePlant[Any],
        start: Instant = BEGINNING,
        members: int = 256,
        distort: Distortion | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        self.live = live
        self._distort = distort
        self.sync = Sync(model, members=members, learnt=learnt)
        self._start = start
        self._tags = tuple(tag.name for tag in live.plant.interface.tags.tags)
        self._polled_s = float("-inf")

    @property
    def now(self) -> Instant:
        return after(self._start, self.live.plant.time_s)

    def follow(self, until_s: float) -> None:
        """Plant and twin together; the twin begins to listen with the first call."""
        plant = self.live.plant
        while plant.time_s < until_s:
            self.live.scan()
            if plant.time_s - self._polled_s >= POLL_S - STEP_S / 2:
                self._polled_s = plant.time_s
                self.sync.observe(self._readings(), self.now)
            else:
                self.sync.advance(self.now)

    def write(self, tag: str, value: float) -> None:
        """One write that reaches the plant, and that the twin hears of as the wire tells it."""
        registers = self.live.plant.registers
        registers.put(tag, value)
        self.sync.write({tag: registers.value(tag)}, self.now)

    def fork(self) -> "Stage":
        """Another life of plant and twin from here on; what neither of them changes is shared."""
        shared = (self.sync.model, self.live.plant.interface)
        return copy.deepcopy(self, {id(one): one for one in shared})

    def snapshot(self) -> Snapshot:
        return self.sync.snapshot()

    def _readings(self) -> Readings:
        values: Mapping[str, float] = self.live.plant.values()
        if self._distort is not None:
            values = self._distort(self.live.plant.time_s, values)
        tags = [code for code, tag in enumerate(self._tags) if tag in values]
        at = [int(self.now)] * len(tags)
        return Readings.of(self._tags, time=at, seen=at, tag=tags, value=[values[self._tags[code]] for code in tags])
