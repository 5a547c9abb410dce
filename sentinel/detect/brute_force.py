"""Brute force: one client writes to point after point, or turns one point over and over, within a minute (ATT&CK for ICS, T0806).

Single writes are looked at, for who means a block writes it at once.  What a client wrote while the baseline was learnt is its work; the
points beyond it are counted, and so are the changes of value at each.  Without a baseline the limits are wider.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.evidence import asset, counted_detection, frames_of
from sentinel.detect.operations import MODBUS, table_of
from sentinel.detect.watched import watched
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

HORIZON_NS = 60 * NS_PER_S
MIN_POINTS, MIN_POINTS_UNLEARNT = 4, 16  # that were never written before
MIN_TURNS, MIN_TURNS_UNLEARNT = 10, 60  # changes of value at one point, beyond twice what was learnt
MAX_PAIRS, MAX_POINTS, MAX_LEARNT = 4096, 512, 100_000
_WRITES = (5, 6)

Point = tuple[str, int]  # table, address


class _Write(NamedTuple):
    """``key``: client, server, point."""

    key: tuple[str, str, str, int]
    point: Point
    time: int
    value: bytes


@dataclass(slots=True)
class _Pair:
    points: OrderedDict[Point, int] = field(default_factory=OrderedDict)  # new ones, and when they were written last
    values: OrderedDict[Point, bytes] = field(default_factory=OrderedDict)
    turns: deque[tuple[int, Point]] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))


class BruteForce:
    spec: ClassVar[Spec] = Spec(
        name="brute_force",
        summary="single writes to point after point, or over and over to one",
        stability=Stability.STABLE,
        attack=("T0806",),
    )

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._learning: OrderedDict[tuple[str, str], _Pair] = OrderedDict()  # apart: what is judged is not always learnt
        self._learnt: dict[tuple[str, str, str, int], int] = {}  # client, server, point: most changes in the horizon
        self._active = False

    def learn(self, window: Window) -> None:
        for names, _, writes in _writers(window.messages):
            pair = watched(self._learning, names, _Pair, MAX_PAIRS)
            self._follow(pair, writes)
            turned = Counter(point for _, point in pair.turns)
            for key, point in {write.key: write.point for write in writes}.items():
                if key in self._learnt or len(self._learnt) < MAX_LEARNT:
                    self._learnt[key] = max(self._learnt.get(key, 0), turned[point])

    def activate(self) -> None:
        self._pairs.clear()
        self._learning.clear()
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        found = []
        for names, rows, writes in _writers(window.messages):
            pair = watched(self._pairs, names, _Pair, MAX_PAIRS)
            self._follow(pair, writes)
            points, turned = len(pair.points), Counter(point for _, point in pair.turns)
            limit = MIN_POINTS if self._active else MIN_POINTS_UNLEARNT
            if points >= limit:
                words = f"writes {points} points one by one that it never wrote before"
                found.append(self._detection(window.messages, names, rows, "write sweep", words, points, limit))
            for point in sorted(turned.keys() & {write.point for write in writes}):
                turns = turned[point]
                limit = 2 * self._learnt.get((*names, *point), 0) + (MIN_TURNS if self._active else MIN_TURNS_UNLEARNT)
                if turns >= limit:
                    words = f"turns {point[0]} {point[1]} {turns} times"
                    found.append(self._detection(window.messages, names, rows, "write repetition", words, turns, limit))
        return found

    def _follow(self, pair: _Pair, writes: "Sequence[_Write]") -> None:
        points, values = pair.points, pair.values
        for key, point, time, value in writes:
            if key not in self._learnt:
                points.pop(point, None)
                points[point] = time
                if len(points) > MAX_POINTS:
                    points.popitem(last=False)
            if values.pop(point, value) != value:
                pair.turns.append((time, point))
            values[point] = value
            if len(values) > MAX_POINTS:
                values.popitem(last=False)
        last = writes[-1].time
        for old in [point for point, time in pair.points.items() if time <= last - HORIZON_NS]:
            del pair.points[old]
        while pair.turns and pair.turns[0][0] <= last - HORIZON_NS:
            pair.turns.popleft()

    def _detection(
        self, messages: Messages, names: tuple[str, str], rows: Array, feature: str, words: str, score: int, limit: int
    ) -> Detection:
        client, server = names
        basis = "the baseline" if self._active else "no baseline yet"
        return counted_detection(
            self.spec.name,
            title=f"{client} tries out the outputs of {server}: it {words} within a minute",
            seen=Instant(int(messages.time[rows[0]])),
            frames=frames_of(messages.frame[rows]),
            source=asset(client),
            target=asset(server),
            cause=f"actor:{client}",
            feature=feature,
            expected=f"fewer than {limit} in 60 s ({basis})",
            score=float(score),
            threshold=float(limit),
            why=f"{client} {words} of {server} within 60 s; expected fewer than {limit} ({basis}).",
            techniques=("T0806",),
            severity=Severity.HIGH,
            confidence=0.8,
        )

    def state(self) -> Mapping[str, Any]:
        return {"learnt": [[*key, count] for key, count in sorted(self._learnt.items())]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._learnt = {(a, b, table, address): count for a, b, table, address, count in state["learnt"]}
        self.activate()


@remembered
def _writers(messages: Messages) -> list[tuple[tuple[str, str], Array, list[_Write]]]:
    """(client, server), rows and content of its single writes, in order.

    A copy that contradicts the original is somebody else's doing, and `lower`'s.
    """
    rows = np.flatnonzero(
        np.isin(messages.protocol, MODBUS)
        & (messages.kind == MessageKind.REQUEST)
        & (messages.defect != Defect.CONTRADICTING_COPY)
        & np.isin(messages.function, _WRITES)
        & (messages.address >= 0)
        & (messages.client >= 0)
        & (messages.server >= 0)
    )
    first, which = distinct(messages.client[rows], messages.server[rows])
    columns = (messages.client, messages.server, messages.protocol, messages.function, messages.address, messages.time)
    writes = []
    for row, client, server, protocol, function, address, time in zip(rows.tolist(), *(c[rows].tolist() for c in columns), strict=True):
        table = table_of(protocol, function) or "point"
        key = (messages.names[client], messages.names[server], table, address)
        writes.append(_Write(key, (table, address), time, messages.value(row)))
    return [
        (
            (messages.names[messages.client[rows[at]]], messages.names[messages.server[rows[at]]]),
            rows[group],
            [writes[place] for place in group.tolist()],
        )
        for at, group in zip(first.tolist(), grouped(which), strict=True)
    ]
