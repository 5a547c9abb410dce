"""Where the symbols of a process picture lie and how its lines run: layered from left to right, no two boxes overlap, lines are orthogonal.

In: `Node`s with sizes, directed `Edge`s between those of the process, and `Signal`s between one of these and a node in the row above it or
below it.  Out: a `Layout`: a place per node, a path per edge and signal.  Equal input in equal order gives an equal layout.  Method of
Sugiyama, Tagawa and Toda (IEEE SMC 11, 1981): cycles broken, longest-path layers, barycentre ordering.  Every line has a track of its own
in the gap beside its column, and one above or below all columns where it does not lead to the next one: no line runs through a box.
"""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

Point = tuple[float, float]
Path = tuple[Point, ...]

GAP_X, GAP_Y = 56.0, 30.0  # pixels between columns, beside their tracks, and between boxes of a column
_TRACK = 9.0  # pixels between two lines that run side by side
_APART, _SHIFTS = 2.5, 40  # pixels: a line into the row stands apart from those beside the columns; so far a node may move for it
_SWEEPS = 12  # of the barycentre ordering; it settles in fewer for plants of some hundred components


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    name: str
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    tail: str
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    part: str  # a node of the process
    logic: str  # a node of the row above or below


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Paths in the order of the edges and signals: from the tail's side to the head's, from the part's side to the logic's."""

    width: float
    height: float
    places: Mapping[str, Placed]
    edges: tuple[Path, ...]
    signals: tuple[Path, ...]


def layers_of(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """By longest path from the left; an edge that closes a cycle is turned round for this."""
    onward: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        if edge.tail != edge.head:
            onward[edge.tail].append(edge.head)
    state: dict[str, int] = {}  # 1 = on the way, 2 = done
    forward: dict[str, set[str]] = {name: set() for name in names}
    finished: list[str] = []
    for first in names:
        if first in state:
            continue
        state[first] = 1
        stack = [(first, iter(onward[first]))]
        while stack:
            name, following = stack[-1]
            after = next(following, None)
            if after is None:
                state[name] = 2
                finished.append(name)
                stack.pop()
            elif state.get(after) == 1:
                forward[after].add(name)
            else:
                forward[name].add(after)
                if after not in state:
                    state[after] = 1
                    stack.append((after, iter(onward[after])))
    layer = dict.fromkeys(names, 0)
    for name in reversed(_sorted(names, forward, finished)):
        for after in forward[name]:
            layer[after] = max(layer[after], layer[name] + 1)
    for name in finished:  # who has nothing before it stands directly left of what it feeds
        followers = forward[name]
        if followers and not any(name in forward[other] for other in names):
            layer[name] = min(layer[after] for after in followers) - 1
    return layer


def _sorted(names: Sequence[str], forward: Mapping[str, set[str]], finished: Sequence[str]) -> list[str]:
    """Heads before tails: depth-first once more, now that there is no cycle."""
    order: list[str] = []
    seen: set[str] = set()
    for first in finished:
        stack = [(first, False)]
        while stack:
            name, ready = stack.pop()
            if ready:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((after, False) for after in sorted(forward[name], key=names.index) if after not in seen)
    return order


def arrange(
    nodes: Sequence[Node], edges: Sequence[Edge], above: Sequence[Node] = (), below: Sequence[Node] = (), signals: Sequence[Signal] = ()
) -> Layout:
    """Raises KeyError on a line to a node that is not there."""
    columns = _ordered([node.name for node in nodes], edges)
    tracks = _Tracks.of(columns, edges, signals, {node.name for node in above})
    sizes = {node.name: node for node in nodes}
    tops = _tops(columns, edges, sizes, tracks)
    highest = min(tops.values(), default=0.0)
    tallest = max((node.height for node in above), default=0.0)
    top = tallest + _bus(tracks.buses[True])
    floor = top + max((y + sizes[name].height for name, y in tops.items()), default=0.0) - highest
    bottom = floor + _bus(tracks.buses[False])
    places: dict[str, Placed] = {}
    channels: list[tuple[float, float]] = []  # per column: where the tracks after it begin, and those before it
    left = 0.0
    for number, column in enumerate(columns):
        width = max(sizes[name].width for name in column)
        left += GAP_X / 2 + _TRACK * tracks.before.get(number, 0)
        channels.append((left + width + GAP_X / 4, left - GAP_X / 4))
        for name in column:
            node, y = sizes[name], top + tops[name] - highest
            places[name] = Placed(x=left + (width - node.width) / 2, y=y, width=node.width, height=node.height)
        left += width + GAP_X / 2 + _TRACK * tracks.after.get(number, 0)
    right = max(
        left,
        _row(above, signals, places, tracks, channels, lambda node: tallest - node.height),
        _row(below, signals, places, tracks, channels, lambda _: bottom),
    )
    route = _Route(places, tracks, channels, top, floor)
    return Layout(
        width=right,
        height=bottom + max((node.height for node in below), default=0.0),
        places=places,
        edges=tuple(route.edge(index, edge) for index, edge in enumerate(edges)),
        signals=tuple(route.signal(index, signal) for index, signal in enumerate(signals)),
    )


def _tops(columns: Sequence[Sequence[str]], edges: Sequence[Edge], sizes: Mapping[str, Node], tracks: "_Tracks") -> dict[str, float]:
    """Each box where its lines from the left come in straight, as far as the boxes above it allow."""
    tops: dict[str, float] = {}
    for column in columns:
        free = -math.inf
        for name in column:
            height, wanted = sizes[name].height, []
            for index, edge in enumerate(edges):
                if edge.head == name and ("edge", index) not in tracks.bus:
                    there = tops[edge.tail] + sizes[edge.tail].height * tracks.share("edge", index, "right")
                    wanted.append(there - height * tracks.share("edge", index, "left"))
            straight = sum(wanted) / len(wanted) if wanted else max(free, 0.0)
            tops[name] = max(free, straight)
            free = tops[name] + height + GAP_Y
    return tops


def _bus(tracks: int) -> float:
    """Height of the lines that run above or below all columns."""
    return GAP_Y + _TRACK * tracks if tracks else GAP_Y


def _row(
    nodes: Sequence[Node],
    signals: Sequence[Signal],
    places: dict[str, Placed],
    tracks: "_Tracks",
    channels: Sequence[tuple[float, float]],
    y_of: Callable[[Node], float],
) -> float:
    """Side by side, each as near to what it is wired to as those before it allow; says where the row ends."""
    wanted = {}
    for node in nodes:
        ends = [channels[tracks.columns[one.part][0]][0] for one in signals if one.logic == node.name]
        wanted[node.name] = sum(ends) / len(ends) - node.width / 2 if ends else 0.0
    taken = [first + _TRACK * track for number, (first, _) in enumerate(channels) for track in range(tracks.after.get(number, 0))]
    right = 0.0
    for node in sorted(nodes, key=lambda one: wanted[one.name]):
        x = max(right + GAP_X / 4, wanted[node.name])
        ports = [node.width * tracks.share("signal", i, "logic") for i, one in enumerate(signals) if one.logic == node.name]
        clear = (x + shift for shift in range(_SHIFTS) if all(abs(x + shift + port - line) > _APART for port in ports for line in taken))
        x = next(clear, x)
        places[node.name] = Placed(x=x, y=y_of(node), width=node.width, height=node.height)
        right = x + node.width
    return right + GAP_X / 4


def _ordered(names: Sequence[str], edges: Sequence[Edge]) -> list[list[str]]:
    layer = layers_of(names, edges)
    lowest = min(layer.values(), default=0)
    columns: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) - lowest + 1)]
    for name in names:
        columns[layer[name] - lowest].append(name)
    beside: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        beside[edge.tail].append(edge.head)
        beside[edge.head].append(edge.tail)
    rank = {name: row - (len(column) - 1) / 2 for column in columns for row, name in enumerate(column)}
    for _ in range(_SWEEPS):
        for column in columns:
            column.sort(key=lambda name: sum(map(rank.__getitem__, beside[name])) / len(beside[name]) if beside[name] else rank[name])
            rank.update({name: row - (len(column) - 1) / 2 for row, name in enumerate(column)})
    return columns


@dataclass(slots=True)
class _Tracks:
    """Which track each line has: right of its part's column, left of its head's, above (True) or below (False) all columns."""

    columns: Mapping[str, tuple[int, int]]  # part -> (column, row)
    after: dict[int, int] = field(default_factory=dict)  # column -> tracks used
    before: dict[int, int] = field(default_factory=dict)
    buses: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    out: dict[tuple[str, int], int] = field(default_factory=dict)  # ("edge" or "signal", its number) -> track
    back: dict[int, int] = field(default_factory=dict)
    bus: dict[tuple[str, int], tuple[bool, int]] = field(default_factory=dict)
    ports: dict[tuple[str, int, str], tuple[int, int]] = field(default_factory=dict)  # with the side -> which of how many

    @staticmethod
    def of(columns: Sequence[Sequence[str]], edges: Sequence[Edge], signals: Sequence[Signal], above: Set[str]) -> "_Tracks":
        tracks = _Tracks({name: (number, row) for number, column in enumerate(columns) for row, name in enumerate(column)})
        for index, edge in enumerate(edges):
            tail, head = tracks.columns[edge.tail][0], tracks.columns[edge.head][0]
            tracks.out["edge", index] = _next(tracks.after, tail)
            if head != tail + 1:
                tracks.back[index] = _next(tracks.before, head)
                tracks.bus["edge", index] = (True, _next(tracks.buses, True))
        for index, signal in enumerate(signals):
            tracks.out["signal", index] = _next(tracks.after, tracks.columns[signal.part][0])
            is_above = signal.logic in above
            tracks.bus["signal", index] = (is_above, _next(tracks.buses, is_above))
        tracks._share_sides(edges, signals)
        return tracks

    def share(self, kind: str, index: int, side: str) -> float:
        """How far along its side of a box a line ends, 0 to 1."""
        number, of = self.ports[kind, index, side]
        return (number + 1) / (of + 1)

    def _share_sides(self, edges: Sequence[Edge], signals: Sequence[Signal]) -> None:
        """On a side of a box: what leads up is above, what leads down below, in between by the row that it leads to."""
        right: dict[str, list[tuple[float, str, int]]] = {}
        left: dict[str, list[tuple[float, str, int]]] = {}
        logic: dict[str, list[tuple[float, str, int]]] = {}
        for index, edge in enumerate(edges):
            over = ("edge", index) in self.bus
            right.setdefault(edge.tail, []).append((-1.0 if over else self.columns[edge.head][1], "edge", index))
            left.setdefault(edge.head, []).append((-1.0 if over else self.columns[edge.tail][1], "edge", index))
        for index, signal in enumerate(signals):
            is_above, track = self.bus["signal", index]
            right.setdefault(signal.part, []).append((-1000.0 if is_above else 1000.0, "signal", index))
            logic.setdefault(signal.logic, []).append((self.columns[signal.part][0] + 1e-3 * track, "signal", index))
        for side, boxes in (("right", right), ("left", left), ("logic", logic)):
            for lines in boxes.values():
                for number, (_, kind, index) in enumerate(sorted(lines)):
                    self.ports[kind, index, side] = (number, len(lines))


def _next(used: dict[Any, int], key: Any) -> int:
    used[key] = used.get(key, 0) + 1
    return used[key] - 1


@dataclass(frozen=True, slots=True)
class _Route:
    places: Mapping[str, Placed]
    tracks: _Tracks
    channels: Sequence[tuple[float, float]]
    top: float
    floor: float

    def edge(self, index: int, edge: Edge) -> Path:
        start, end = self._beside("edge", index, "right", edge.tail), self._beside("edge", index, "left", edge.head)
        out = self._out("edge", index, edge.tail)
        if ("edge", index) not in self.tracks.bus:
            return (start, end) if abs(start[1] - end[1]) < 0.1 else (start, (out, start[1]), (out, end[1]), end)
        back = self.channels[self.tracks.columns[edge.head][0]][1] - _TRACK * self.tracks.back[index]
        over = self._across("edge", index)
        return (start, (out, start[1]), (out, over), (back, over), (back, end[1]), end)

    def signal(self, index: int, signal: Signal) -> Path:
        start = self._beside("signal", index, "right", signal.part)
        out, across = self._out("signal", index, signal.part), self._across("signal", index)
        place = self.places[signal.logic]
        x = place.x + place.width * self.tracks.share("signal", index, "logic")
        y = place.y + place.height if self.tracks.bus["signal", index][0] else place.y
        return (start, (out, start[1]), (out, across), (x, across), (x, y))

    def _beside(self, kind: str, index: int, side: str, name: str) -> Point:
        place = self.places[name]
        return place.x + (place.width if side == "right" else 0.0), place.y + place.height * self.tracks.share(kind, index, side)

    def _out(self, kind: str, index: int, name: str) -> float:
        return self.channels[self.tracks.columns[name][0]][0] + _TRACK * self.tracks.out[kind, index]

    def _across(self, kind: str, index: int) -> float:
        is_above, track = self.tracks.bus[kind, index]
        return self.top - GAP_Y / 2 - _TRACK * track if is_above else self.floor + GAP_Y / 2 + _TRACK * track
