"""Sources: one tag, read in two ways, that is not the same.

A value comes to us over several roads: a Modbus answer on the wire, an OPC UA notification, a poll of our own.  Whoever changes one of them
has to change them all, at the same moment.  Each pair of sources of a tag is compared reading by reading; how far they may lie apart (the
process moves between two polls, registers round) was learnt, and its limit comes from the plant's false-alarm budget.  Told is what lasts
for `RUN` comparisons, and once.  Which of the two lies a third one says: another road, or the twin's forecast of the tag, which is a
witness and accuses nobody by itself.  Where nobody else has read it, that is for who looks at the instrument.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.calibrate import Budget, threshold
from sentinel.detect.evidence import listed
from sentinel.detect.limits import by_tag
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Readings
from sentinel.model.tags import TagMap
from sentinel.model.time import NS_PER_S
from sentinel.model.window import Window
from sentinel.ports import Spec

PAIRED_NS = 2 * NS_PER_S  # readings that lie further apart are not compared
RUN = 5  # comparisons in a row beyond the limit
BLOCK = 30  # comparisons, of which the largest difference counts
MARGIN = 2.0  # a limit lies at least this far above the largest difference that was learnt
RESOLUTION = 0.005  # of the tag's span: what rounding may differ by
MAX_BLOCKS = 1024  # of each pair
MAX_TAGS, MAX_SOURCES = 2_000, 8  # under watch; sources of one tag
_KEPT = 8  # readings of each source
MAX_NAMED = 64
TWIN = "the twin"
CONTRADICTS = 2  # comparisons in a row beyond the limit, of a witness
WITNESS_NS = 10 * NS_PER_S  # what it said before is none of this

Pair = tuple[str, str, str]  # tag, one source, the other, in the order of their names


class _Compared(NamedTuple):
    at: int  # ns UTC
    pair: Pair
    first: float
    second: float


@dataclass(slots=True)
class _Voice:
    times: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT))
    values: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT))


@dataclass(slots=True)
class _Apart:
    """The largest difference of each block that was learnt, and the block that is being filled."""

    blocks: list[float] = field(default_factory=list)
    largest: float = 0.0
    count: int = 0
    begun: int = 0  # ns UTC
    ended: int = 0

    @property
    def block_s(self) -> float:
        return (self.ended - self.begun) / NS_PER_S / max(len(self.blocks), 1)

    def take(self, difference: float, at: int) -> None:
        self.begun, self.ended = self.begun or at, at
        self.largest, self.count = max(self.largest, difference), self.count + 1
        if self.count == BLOCK:
            self.blocks.append(self.largest)
            self.largest, self.count = 0.0, 0
            del self.blocks[:-MAX_BLOCKS]


class Sources:
    spec: ClassVar[Spec] = Spec(
        name="sources",
        summary="tags that are read in two ways, by protocol or by poll, and are not the same",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T1692.002", "T0832"),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map, self._budget = tag_map, budget or Budget()
        self._voices: dict[str, dict[str, _Voice]] = {}
        self._apart: dict[Pair, _Apart] = {}
        self._allowed: dict[Pair, float] = {}
        self._runs: dict[Pair, int] = defaultdict(int)  # comparisons in a row beyond the limit
        self._compared_at: dict[Pair, int] = {}  # when last
        self._active = False
        self.unwatched = 0  # readings of tags and sources beyond the limits

    def _compared(self, window: Window) -> list[_Compared]:
        return [each for source, readings in _told(window) for each in self._against_others(source, readings)]

    def _against_others(self, source: str, readings: Readings) -> Iterator[_Compared]:
        for tag, rows in by_tag(readings).items():
            if self._tag_map is None or tag not in self._tag_map.by_name:
                continue
            voices = self._voices.get(tag)
            if voices is None:
                if len(self._voices) >= MAX_TAGS:
                    self.unwatched += len(rows)
                    continue
                voices = self._voices[tag] = {}
            voice = voices.get(source)
            if voice is None:
                if len(voices) >= MAX_SOURCES:
                    self.unwatched += len(rows)
                    continue
                voice = voices[source] = _Voice()
            newest = rows[int(np.argmax(readings.seen[rows]))]
            at, value = int(readings.seen[newest]), float(readings.value[newest])
            if voice.times and at <= voice.times[-1]:  # late, or sent twice
                continue
            voice.times.append(at)
            voice.values.append(value)
            for other, its in voices.items():
                if other != source and (found := _nearest(its, at)) is not None:
                    is_first = source < other
                    pair = (tag, source, other) if is_first else (tag, other, source)
                    yield _Compared(at, pair, *((value, found) if is_first else (found, value)))

    def learn(self, window: Window) -> None:
        for at, pair, first, second in self._compared(window):
            self._apart.setdefault(pair, _Apart()).take(abs(first - second), at)

    def activate(self) -> None:
        for pair, apart in self._apart.items():
            chance = self._budget.probability_per_block(self.spec.name, apart.block_s, len(self._apart))
            allowed = threshold(apart.blocks, chance)
            if math.isfinite(allowed):
                self._allowed[pair] = max(allowed, MARGIN * max(apart.blocks)) + self._rounding(pair[0])
        self._apart.clear()
        self._compared_at.clear()
        self._voices.clear()
        self._active = True

    def _rounding(self, tag: str) -> float:
        known = self._tag_map.by_name.get(tag) if self._tag_map else None
        return RESOLUTION * (known.high - known.low) if known else 0.0

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._active:
            return ()
        begins: list[_Compared] = []
        for each in self._compared(window):
            allowed = self._allowed.get(each.pair)
            if allowed is None:
                continue
            beyond = abs(each.first - each.second) > allowed
            self._runs[each.pair] = self._runs[each.pair] + 1 if beyond else 0
            self._compared_at[each.pair] = each.at
            if self._runs[each.pair] == RUN and TWIN not in each.pair[1:]:
                begins.append(each)
        return [self._detection(window, begins)] if begins else ()

    def _agrees(self, tag: str, source: str, witness: str, at: int) -> bool | None:
        """None: it says nothing, or nothing clear."""
        pair = (tag, min(source, witness), max(source, witness))
        compared_at = self._compared_at.get(pair)
        if compared_at is None or abs(at - compared_at) > WITNESS_NS or 0 < self._runs[pair] < CONTRADICTS:
            return None
        return not self._runs[pair]

    def _liar(self, compared: _Compared) -> tuple[str, str] | None:
        """Which of two is contradicted by a third one that agrees with the other, and that witness; None when nobody can say."""
        tag, *both = compared.pair
        for witness in sorted(self._voices[tag].keys() - set(both), key=lambda each: (each == TWIN, each)):
            said = [self._agrees(tag, source, witness, compared.at) for source in both]
            if set(said) == {True, False}:
                return both[said.index(False)], witness
        return None

    def _detection(self, window: Window, begins: Sequence[_Compared]) -> Detection:
        worst = max(begins, key=lambda each: (abs(each.first - each.second) / self._allowed[each.pair], each.pair))
        (tag, one, other), allowed = worst.pair, self._allowed[worst.pair]
        tags = list(dict.fromkeys(each.pair[0] for each in begins))
        apart = abs(worst.first - worst.second)
        told = f"{tag} is {worst.first:.4g} by {one} and {worst.second:.4g} by {other}"
        lies = self._liar(worst)
        judged = "One of the two is changed on its way, or at its source."
        if lies is not None:
            believed = one if lies[0] == other else other
            judged = f"{lies[1][:1].upper()}{lies[1][1:]} sides with {believed}: {lies[0]} is changed on its way, or at its source."
        return Detection(
            detector=self.spec.name,
            title=f"Two sources do not agree on {listed(tags)}: {told}" + (f"; {lies[0]} is not to be believed" if lies else ""),
            seen=window.start,
            tags=tuple(tags[:MAX_NAMED]),
            cause="process:plant",
            feature="sources disagree",
            observed=f"{apart:.4g} apart ({tag})",
            expected=f"at most {allowed:.4g}, from what was learnt",
            score=apart / allowed,
            threshold=1.0,
            why=f"{told}, {RUN} readings in a row; while learning they were never {allowed:.4g} apart.  {judged}",
            techniques=("T1692.002", "T0832"),
            severity=Severity.HIGH,
            confidence=0.85 if lies else 0.7,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        return {"allowed": [[*pair, limit] for pair, limit in sorted(self._allowed.items())]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._allowed = {(str(tag), str(one), str(other)): float(limit) for tag, one, other, limit in state["allowed"]}
        self._active = True


def _told(window: Window) -> Iterator[tuple[str, Readings]]:
    """(source, what it says): by protocol where they were heard on the wire, else those of a poll."""
    if window.by_protocol:
        yield from ((f"{protocol} on the wire ({window.source})", readings) for protocol, readings in window.by_protocol.items())
    else:
        yield window.source, window.readings
    if len(window.forecasts):
        yield TWIN, window.forecasts


def _nearest(voice: _Voice, at: int) -> float | None:
    """Its value nearest in time, None where there is none within `PAIRED_NS`."""
    away, value = min(
        ((abs(time - at), value) for time, value in zip(voice.times, voice.values, strict=True)), default=(PAIRED_NS + 1, 0.0)
    )
    return value if away <= PAIRED_NS else None
