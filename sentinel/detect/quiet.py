"""Quiet: process values whose noise is far smaller than it ever was.

Whoever makes readings up, from a model, a table or a smooth curve, has to make up the noise of the transmitter too; a filter that somebody
switched on, or a gateway that interpolates, leaves it away.  A test of variance: the mean square of second differences (von Neumann 1941),
which a ramp leaves alone, over blocks of `BLOCK` readings, against the quietest blocks that were learnt, by the plant's false-alarm budget.
Nothing is said of a tag that was learnt at rest or too coarse to have noise, of values where it was never learnt, nor of readings that
come faster than they did.  Louder is not a matter of this detector: a disturbance is loud.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import WEEK_S, Budget, threshold
from sentinel.detect.evidence import listed
from sentinel.detect.limits import by_tag
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import NS_PER_S
from sentinel.model.window import Window
from sentinel.ports import Spec

BLOCK = 64  # readings: their variance is known to a fifth
QUIETER = 2.0  # times in standard deviation, against the quietest block that was learnt: what a budget allows at most
LIVELY = 0.6  # of the readings of a block move: a coarse register says nothing of its noise
PACE = 0.5  # of the shortest block that was learnt: faster readings of a slow process differ less
MAX_BLOCKS = 1024  # learnt, of each tag: eighteen hours at a reading a second; the newest ones
MAX_STREAMS = 2_000  # a tag as one source reads it
MAX_NAMED = 64


@dataclass(slots=True)
class _Stream:
    """The block that is being filled."""

    values: list[float] = field(default_factory=list)
    begun: int = 0  # ns UTC
    heard: int = 0
    is_quiet: bool = False

    def fill(self, seen: Array, value: Array) -> list[tuple[list[float], float]]:
        """Every block that is full now, and how many seconds it took."""
        latest = np.maximum.accumulate(np.append(self.heard, seen[:-1])) if len(seen) > 1 else self.heard
        fresh = seen > latest  # else late, or sent twice
        times, values = seen[fresh].tolist(), value[fresh].tolist()
        held, begun = self.values + values, [self.begun] * len(self.values) + times
        ends = range(BLOCK, len(held) + 1, BLOCK)
        full = [(held[end - BLOCK : end], (begun[end - 1] - begun[end - BLOCK]) / NS_PER_S) for end in ends]
        self.values = held[len(full) * BLOCK :]
        self.begun = begun[len(full) * BLOCK] if self.values else 0
        self.heard = max([self.heard, *times[-1:]])
        return full


@dataclass(slots=True)
class _Usual:
    """Of each block that was learnt: how quiet it was (minus the logarithm of its noise), its mean, how long it took."""

    quiet: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    shortest_s: float = math.inf
    is_unfit: bool = False  # it rested, or is too coarse

    def take(self, block: "_Block") -> None:
        self.is_unfit |= block.moved < LIVELY or block.noise <= 0.0
        if not self.is_unfit:
            self.quiet.append(-math.log(block.noise))
            self.means.append(block.mean)
            self.shortest_s = min(self.shortest_s, block.lasts_s)
            del self.quiet[:-MAX_BLOCKS], self.means[:-MAX_BLOCKS]


@dataclass(frozen=True, slots=True)
class _Block:
    noise: float  # standard deviation of second differences
    mean: float
    moved: float  # share of readings unlike the one before
    lasts_s: float


@dataclass(frozen=True, slots=True)
class _Limit:
    noise: float  # below it is too quiet
    usual: float  # the median of what was learnt
    low: float  # where the tag was while it was learnt
    high: float
    shortest_s: float


class Quiet:
    spec: ClassVar[Spec] = Spec(
        name="quiet",
        summary="process values that are far less noisy than they ever were, as readings are that somebody makes up",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T1692.002",),
    )

    def __init__(self, tag_map: TagMap | None = None, budget: Budget | None = None) -> None:
        self._tag_map, self._budget = tag_map, budget or Budget()
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._usual: dict[str, _Usual] = {}
        self._limits: dict[str, _Limit] = {}
        self._active = False
        self.unwatched = 0  # readings of streams beyond the limit

    def _blocks(self, window: Window) -> list[tuple[str, _Stream, _Block]]:
        """Those that the window fills."""
        filled: list[tuple[str, _Stream, list[float], float]] = []
        seen, value = window.readings.seen, window.readings.value
        for tag, rows in by_tag(window.readings).items():
            known = self._tag_map.by_name.get(tag) if self._tag_map else None
            if known is None or known.role is not TagRole.PROCESS_VALUE:
                continue
            stream = self._streams.get((window.source, tag))
            if stream is None:
                if len(self._streams) >= MAX_STREAMS:
                    self.unwatched += len(rows)
                    continue
                stream = self._streams[window.source, tag] = _Stream()
            filled += [(tag, stream, *full) for full in stream.fill(seen[rows], value[rows])]
        return [(tag, stream, block) for (tag, stream, *_), block in zip(filled, _measured(filled), strict=True)]

    def learn(self, window: Window) -> None:
        for tag, _, block in self._blocks(window):
            self._usual.setdefault(tag, _Usual()).take(block)

    def activate(self) -> None:
        fit = {tag: usual for tag, usual in self._usual.items() if usual.quiet and not usual.is_unfit}
        for tag, usual in fit.items():
            lasts_s = min(usual.shortest_s, WEEK_S)
            allowed = threshold(usual.quiet, self._budget.probability_per_block(self.spec.name, lasts_s, len(fit)))
            if math.isfinite(allowed):
                noise = math.exp(-max(allowed, max(usual.quiet) + math.log(QUIETER)))
                width = max(usual.means) - min(usual.means)
                low, high = min(usual.means) - width, max(usual.means) + width
                self._limits[tag] = _Limit(noise, math.exp(-float(np.median(usual.quiet))), low, high, usual.shortest_s)
        self._usual.clear()
        self._streams.clear()
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._active:
            return ()
        begins: dict[str, _Block] = {}
        for tag, stream, block in self._blocks(window):
            limit = self._limits.get(tag)
            if limit is None or not limit.low <= block.mean <= limit.high or block.lasts_s < PACE * limit.shortest_s:
                continue
            was_quiet, stream.is_quiet = stream.is_quiet, 0.0 < block.noise < limit.noise  # none at all: it stands still, see `liveness`
            if stream.is_quiet and not was_quiet:
                begins[tag] = block
        return [self._detection(window, begins)] if begins else ()

    def _detection(self, window: Window, begins: Mapping[str, _Block]) -> Detection:
        tags = list(begins)
        ratio, tag = max((self._limits[tag].usual / block.noise, tag) for tag, block in begins.items())
        told = f"{listed(tags)} {'have' if len(tags) > 1 else 'has'} lost {'their' if len(tags) > 1 else 'its'} noise"
        limit = self._limits[tag]
        return Detection(
            detector=self.spec.name,
            title=told,
            seen=window.start,
            tags=tuple(tags[:MAX_NAMED]),
            cause="process:plant",
            feature="too quiet",
            observed=f"{begins[tag].noise:.3g} from reading to reading ({tag})",
            expected=f"at least {limit.noise:.3g}, {limit.usual:.3g} as a rule",
            score=ratio,
            threshold=limit.usual / limit.noise,
            why=f"{told}: over {BLOCK} readings {tag} was {ratio:.1f} times as quiet as while it was learnt, though it goes on moving;"
            " readings that somebody makes up are like that, and so are those that a filter or a gateway makes smooth.",
            techniques=("T1692.002",),
            severity=Severity.MEDIUM,
            confidence=0.5,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        tags = sorted(self._limits)
        rows = [[each.noise, each.usual, each.low, each.high, each.shortest_s] for each in (self._limits[tag] for tag in tags)]
        return {"tags": tags, "limits": np.array(rows, np.float64).reshape(len(tags), 5)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._limits = {str(tag): _Limit(*row) for tag, row in zip(state["tags"], state["limits"].tolist(), strict=True)}
        self._active = True


def _measured(filled: Sequence[tuple[str, _Stream, list[float], float]]) -> list[_Block]:
    """Blocks of all tags at once."""
    if not filled:
        return []
    values = np.array([block for *_, block, _ in filled])
    noise = np.sqrt(np.mean(np.diff(values, 2, axis=1) ** 2, axis=1))
    moved = np.mean(np.diff(values, axis=1) != 0.0, axis=1)
    columns = (noise.tolist(), values.mean(axis=1).tolist(), moved.tolist(), [lasts_s for *_, lasts_s in filled])
    return [_Block(*block) for block in zip(*columns, strict=True)]
