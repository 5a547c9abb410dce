"""Drift: how far what is learnt now lies from the anchor, and since when.

*Levels* are learnt with an anchor: mean and deviation of every tag.  While it judges, a `Drift` takes the same tags in blocks of an hour,
and adds up by how many of the anchor's deviations each block's mean is off (a two-sided CUSUM): a tag that is one deviation off for a day,
or three for five hours, has drifted; so has one that walks there slowly, for the anchor does not walk with it.  Nothing here judges.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinel.model.columns import remembered
from sentinel.model.observation import SLOT_NS, Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import Instant

MAX_TAGS = 20_000
BLOCK_NS = 3600 * SLOT_NS
MIN_IN_BLOCK = 30  # readings; a block with fewer says nothing of its hour
REFERENCE, LIMIT = 0.5, 12.0  # deviations of the anchor: half of what is to be found, and a day of it
_FARTHEST = 10.0  # deviations that one block may add
_SHARE = 0.01  # of the mean: the least deviation, for tags that stood still while the anchor was learnt
_TINY = 1e-6


@remembered
def _moments(readings: Readings) -> list[tuple[str, int, float, float]]:
    """(tag, count, mean, squares about it) of the good readings of each."""
    rows = np.flatnonzero((readings.tag >= 0) & (readings.quality == Quality.GOOD) & np.isfinite(readings.value))
    codes, which = np.unique(readings.tag[rows], return_inverse=True)
    values, counts = readings.value[rows], np.bincount(which, minlength=len(codes))
    means = np.bincount(which, values, len(codes)) / counts
    squares = np.bincount(which, (values - means[which]) ** 2, len(codes))
    names = [readings.names[code] for code in codes.tolist()]
    return list(zip(names, counts.tolist(), means.tolist(), squares.tolist(), strict=True))


class Levels:
    """Mean and deviation of every tag, over all that was learnt."""

    def __init__(self) -> None:
        self._moments: dict[str, tuple[int, float, float]] = {}  # count, mean, sum of squares about it

    def learn(self, readings: Readings) -> None:
        for tag, added, middle, about in _moments(readings) if len(readings) else ():
            count, mean, squares = self._moments.get(tag, (0, 0.0, 0.0))
            if not count and len(self._moments) >= MAX_TAGS:
                continue
            total, shift = count + added, middle - mean
            self._moments[tag] = total, mean + shift * added / total, squares + about + shift * shift * count * added / total

    def of(self, tag: str) -> tuple[float, float] | None:
        """(mean, deviation), the latter never zero."""
        known = self._moments.get(tag)
        if known is None:
            return None
        count, mean, squares = known
        return mean, max(math.sqrt(squares / max(count - 1, 1)), _SHARE * abs(mean), _TINY)

    def apart(self, anchor: "Levels") -> float:
        """The largest distance between the means of a tag that both know, in the anchor's deviations."""
        known = [(mean, at) for tag, (_, mean, _) in self._moments.items() if (at := anchor.of(tag)) is not None]
        return max((abs(mean - middle) / deviation for mean, (middle, deviation) in known), default=0.0)

    def state(self) -> dict[str, Any]:
        tags = sorted(self._moments)
        return {"tags": tags, "moments": np.array([self._moments[tag] for tag in tags], np.float64).reshape(len(tags), 3)}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "Levels":
        """Raises KeyError, TypeError or ValueError for what is no such state."""
        made = cls()
        for tag, (count, mean, squares) in zip(state["tags"], state["moments"].tolist(), strict=True):
            made._moments[str(tag)] = int(count), float(mean), float(squares)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """``level``: its mean in the newest hour; ``anchor``: the learnt one; ``deviations``: how far apart, in the anchor's; ``since``: when
    it began to be off and has been since."""

    tag: str
    anchor: float
    level: float
    deviations: float
    since: Instant


@dataclass(slots=True)
class _Walk:
    up: float = 0.0
    down: float = 0.0
    up_since: int = 0
    down_since: int = 0
    level: float = math.nan  # of the newest block
    count: float = 0.0  # of the open block, as below
    total: float = 0.0

    def close(self, block_start: int, anchor: tuple[float, float]) -> None:
        if self.count >= MIN_IN_BLOCK:
            self.level = self.total / self.count
            off = min(max((self.level - anchor[0]) / anchor[1], -_FARTHEST), _FARTHEST)
            self.up_since = self.up_since if self.up > 0.0 else block_start
            self.down_since = self.down_since if self.down > 0.0 else block_start
            self.up, self.down = (min(max(0.0, each - REFERENCE), 2.0 * LIMIT) for each in (self.up + off, self.down - off))
        self.count = self.total = 0.0


class Drift:
    def __init__(self, anchor: Levels) -> None:
        self.anchor = anchor
        self._walks: dict[str, _Walk] = {}
        self._block = 0

    def take(self, readings: Readings, at: Instant) -> bool:
        """``at``: the start of their window.  True when an hour has ended: there may be news."""
        block = at // BLOCK_NS
        ended = block > self._block > 0
        if ended:
            for tag, walk in self._walks.items():
                known = self.anchor.of(tag)
                if known is not None:
                    walk.close(self._block * BLOCK_NS, known)
        self._block = max(block, self._block)
        for tag, count, mean, _ in _moments(readings) if len(readings) else ():
            if self.anchor.of(tag) is not None:  # a tag that the anchor does not know has nothing to drift from
                walk = self._walks.setdefault(tag, _Walk())
                walk.count += count
                walk.total += count * mean
        return ended

    def moved(self) -> tuple[Moved, ...]:
        """The farthest first."""
        found = []
        for tag, walk in self._walks.items():
            known = self.anchor.of(tag)
            if known is None or max(walk.up, walk.down) < LIMIT:
                continue
            since = walk.up_since if walk.up >= walk.down else walk.down_since
            off = (walk.level - known[0]) / known[1]
            found.append(Moved(tag=tag, anchor=known[0], level=walk.level, deviations=off, since=Instant(since)))
        return tuple(sorted(found, key=lambda each: (-abs(each.deviations), each.tag)))

    def state(self) -> dict[str, Any]:
        tags = sorted(self._walks)
        rows = [
            [w.up, w.down, w.up_since // SLOT_NS, w.down_since // SLOT_NS, w.level, w.count, w.total]
            for w in (self._walks[tag] for tag in tags)
        ]
        return {"tags": tags, "walks": np.array(rows, np.float64).reshape(len(tags), 7), "block": self._block}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what is no such state."""
        walks = {}
        for tag, (up, down, up_since, down_since, level, count, total) in zip(state["tags"], state["walks"].tolist(), strict=True):
            walks[str(tag)] = _Walk(up, down, int(up_since) * SLOT_NS, int(down_since) * SLOT_NS, level, count, total)
        self._walks, self._block = walks, int(state["block"])


# what a baseline lists: (detector, key, how a person calls one); of operations only what is done, not its addresses
_LISTED = (
    ("novelty", "assets", "asset"),
    ("novelty", "conduits", "conversation"),
    ("novelty", "operations", "operation"),
    ("writers", "writers", "writer"),
    ("writers", "written", "written point"),
)
LISTING = frozenset(detector for detector, _, _ in _LISTED)
MAX_ADDED = 1000


def listed(detectors: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """What the states of a baseline's detectors list, as a person reads it."""
    found = set()
    for detector, key, word in _LISTED:
        for item in detectors.get(detector, {}).get(key, ()):
            parts = item[0] if key == "operations" else [item] if isinstance(item, str) else item
            found.add(f"{word} {' '.join(map(str, parts))}")
    return found
