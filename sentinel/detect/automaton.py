"""The automaton of one channel: which request comes only after which other, learnt from the order in which they were heard.

In: the requests of a channel as small numbers, in order.  Out: `Step`, one for each request that is bound to a place: between two of it one
of its predecessors was heard, every time.  A cycle of polls (Goldenberg and Wool 2013) is a ring of such steps; cycles of other periods
that run through it (the statechart of Kleinmann and Wool) are rings beside it, for nothing is said of requests that are in neither; a
handshake is a step without a period, and a request that ends one of two phases has two predecessors.  What an operator does at any time
gets no place, and disturbs nobody else's.

A place is no chance: were the order random, as often as it held it would have held with a probability of `CHANCE` at most.  One that
broke while learning counts again after it has held twice as long as ever before it broke; how often such places broke is told as blocks,
from which a threshold can be made for those of their symbols.

Requests over connections of their own have no order among each other, however regular they seem: two timers drift apart one day.  Only
those that one connection carried, or that come over a new connection each time, one after the other, are of one program.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sentinel.model.columns import Array, distinct
from sentinel.model.time import NS_PER_S

MAX_SYMBOLS = 24  # of one channel: 120 kB while it learns; what comes later is set apart
CHANCE = 1e-6  # of an order that held by luck
MIN_HELD = 20  # repetitions
MARGIN = 2  # times the longest that an order held before it broke
BLOCK_NS = 10 * NS_PER_S
MAX_BLOCKS = 1024
_APART = 1 << 40
_SHORTEST, _LONGEST = 64, 512  # requests that are taken at once, by what is known before them


class Step(NamedTuple):
    """Between two of ``symbol`` one of ``after`` is heard; so it was ``held`` times in a row.  ``is_firm``: twice as often as any place of
    the channel that broke."""

    symbol: int
    after: tuple[int, ...]
    held: int
    is_firm: bool


def _zeros(dimensions: int, dtype: type) -> Array:
    return np.zeros((0,) * dimensions, dtype)


@dataclass(slots=True)
class Automaton:
    """``held``, ``broken``: how often in a row one of two (or one, on the diagonal) came between two of a symbol, now and at most before
    it once did not; ``away``: how many requests before the newest of a symbol each other one lay; ``joined``: followed each other on one
    connection; ``connections``: that carried a symbol."""

    counts: Array = field(default_factory=lambda: _zeros(1, np.int64))
    last: Array = field(default_factory=lambda: _zeros(1, np.int64))  # place of the newest, -1 = none
    away: Array = field(default_factory=lambda: _zeros(2, np.int64))
    held: Array = field(default_factory=lambda: _zeros(3, np.int32))
    broken: Array = field(default_factory=lambda: _zeros(3, np.int32))
    joined: Array = field(default_factory=lambda: _zeros(2, bool))
    connections: Array = field(default_factory=lambda: _zeros(1, np.int64))
    heard: int = 0
    blocks: list[int] = field(default_factory=list)  # places that broke in each block of time
    block: int = 0
    breaks: int = 0
    longest_broken: int = 0  # how often in a row a place had held that then broke
    newest: int = 0  # ns UTC
    longest_pause_ns: int = 0

    def grow(self, symbols: int) -> None:
        """A symbol that is new was never between two of any other: with it, another held as often as alone."""
        old, more = len(self.counts), symbols - len(self.counts)
        if more <= 0:
            return
        self.counts = np.pad(self.counts, (0, more))
        self.last = np.pad(self.last, (0, more), constant_values=-1)
        self.connections = np.pad(self.connections, (0, more))
        self.away, self.joined = np.pad(self.away, (0, more)), np.pad(self.joined, (0, more))
        for name in ("held", "broken"):
            before: Array = getattr(self, name)
            after = np.pad(before, ((0, more),) * 3)
            alone = before[:, range(old), range(old)]
            after[:old, old:, :old] = alone[:, None, :]
            after[:old, :old, old:] = alone[:, :, None]
            setattr(self, name, after)

    def learn(self, symbols: Array, times: Array, connections: Array) -> None:
        """Requests of this channel, in order; ``times`` in ns UTC, ``connections`` by number."""
        if not len(symbols):
            return
        self.grow(int(symbols.max()) + 1)
        self.block = self.block or int(times[0]) // BLOCK_NS
        if self.newest:
            self.longest_pause_ns = max(self.longest_pause_ns, int(times[0]) - self.newest)
        self.longest_pause_ns = max(self.longest_pause_ns, int(np.diff(times).max(initial=0)))
        self._join(symbols, connections)
        begin = 0
        while begin < len(symbols):
            end = begin + min(max(self.heard // 4, _SHORTEST), _LONGEST)
            self._take(symbols[begin:end], times[begin:end])
            begin = end
        self._reach(int(times[-1]))
        self.newest = int(times[-1])

    def forget_place(self) -> None:
        """What comes next does not follow what came last: something in between was not heard, or for a while nothing."""
        self.last[:] = -1
        if self.block:
            self._end_block()
        self.block = self.newest = 0

    def _join(self, symbols: Array, connections: Array) -> None:
        order = np.lexsort((np.arange(len(symbols)), connections))
        said, by = symbols[order], connections[order]
        goes_on = by[1:] == by[:-1]
        self.joined[said[:-1][goes_on], said[1:][goes_on]] = True
        first, _ = distinct(symbols, connections)
        self.connections += np.bincount(symbols[first], minlength=len(self.counts))

    def _programs(self) -> Array:
        """Which symbols are of one program, both ways."""
        brief = 2 * self.connections >= self.counts
        one = self.joined | self.joined.T | (brief[:, None] & brief[None, :])
        for through in range(len(one)):
            one = one | (one[:, through, None] & one[None, through, :])
        return one

    def _take(self, symbols: Array, times: Array) -> None:
        count, width = len(symbols), len(self.counts)
        at = np.arange(count)
        newest = np.full((count + 1, width), -1)
        newest[0] = self.last
        newest[at + 1, symbols] = self.heard + at
        np.maximum.accumulate(newest, axis=0, out=newest)
        before, self.last = newest[:-1], newest[-1].copy()
        own = before[at, symbols]
        again = np.flatnonzero(own >= 0)
        if len(again):
            missed = before[again] <= own[again, None]
            self._count_broken(symbols[again], missed, times[again])
            self._follow(symbols[again], missed, self.heard + again[:, None] - before[again])
        self.counts += np.bincount(symbols, minlength=width)
        self.heard += count

    def _count_broken(self, symbols: Array, missed: Array, times: Array) -> None:
        """Of what had a place before these came."""
        if self.held.max() < MIN_HELD:
            return
        one, other = (each[symbols] for each in self._chosen())
        at = np.arange(len(symbols))
        broke = (one >= 0) & missed[at, one] & missed[at, other]
        lasted = self.held[symbols[broke], one[broke], other[broke]]
        self.longest_broken = max(self.longest_broken, int(lasted.max(initial=0)))
        for time in times[broke].tolist():
            self._reach(time)
            self.breaks += 1

    def _follow(self, symbols: Array, missed: Array, away: Array) -> None:
        """Of all symbols at once: their occurrences one symbol after the other, each symbol's numbered from `_APART` times its place."""
        order = np.argsort(symbols, kind="stable")
        symbols, missed, away = symbols[order], missed[order], away[order]
        begins = np.flatnonzero(np.r_[True, symbols[1:] != symbols[:-1]])
        which = np.cumsum(np.r_[True, symbols[1:] != symbols[:-1]]) - 1
        at = np.arange(len(symbols)) - begins[which] + _APART * which
        start = _APART * which[:, None, None] - 1 - self.held[symbols]
        both = missed[:, :, None] & missed[:, None, :]
        upto = np.maximum.accumulate(np.where(both, at[:, None, None], start), axis=0)
        previous = np.concatenate((start[:1], upto[:-1]))
        previous[begins] = start[begins]
        lasted = np.where(both, at[:, None, None] - previous - 1, 0)
        ends, own = np.r_[begins[1:], len(symbols)] - 1, symbols[begins]
        self.broken[own] = np.maximum(self.broken[own], np.maximum.reduceat(lasted, begins, axis=0))
        self.held[own] = at[ends, None, None] - upto[ends]
        self.away[own] = np.where(missed[ends], self.away[own], away[ends])

    def _needed(self) -> Array:
        """How often each order has to hold before it counts: the rarer what has to come between, the sooner; between programs never."""
        counts = self.counts.astype(np.float64)
        either = counts[:, None] + counts[None, :]
        np.fill_diagonal(either, counts)
        odds = either[None, :, :] / np.maximum(counts, 1.0)[:, None, None]
        luck = np.log(np.maximum(odds, 1e-12) / (1.0 + odds))
        needed = np.maximum(np.ceil(math.log(CHANCE) / luck), MIN_HELD)
        program = self._programs()
        needed[~(program[:, :, None] & program[:, None, :])] = np.inf
        return needed

    def _reach(self, time: int) -> None:
        """Blocks that have ended by then are closed."""
        block = time // BLOCK_NS
        if block > self.block:
            self._end_block(min(block - self.block - 1, MAX_BLOCKS))
        self.block = max(block, self.block)

    def _end_block(self, empty: int = 0) -> None:
        """And so many empty ones behind it."""
        self.blocks += [self.breaks, *([0] * empty)]
        del self.blocks[:-MAX_BLOCKS]
        self.breaks = 0

    def _chosen(self) -> tuple[Array, Array]:
        """Of each symbol the one or two that come before it, -1 where it has no place: of all orders that hold one symbol rather than
        two, the rarest, and the nearest."""
        size, counts = len(self.counts), self.counts.astype(np.float64)
        own = np.arange(size)
        fits = self.held >= np.maximum(self._needed(), MARGIN * self.broken)
        fits[own, own, :] = fits[own, :, own] = False
        pair = ~np.eye(size, dtype=bool)
        rate = np.round((counts[:, None] + counts[None, :] * pair) / np.maximum(counts, 1.0)[:, None, None])
        away = self.away[:, :, None] + self.away[:, None, :] * pair
        worth = np.where(fits, (pair * (1.0 + rate.max()) + rate) * (1.0 + away.max()) + away, np.inf).reshape(size, -1)
        best = worth.argmin(axis=1)
        has_place = np.isfinite(worth[own, best])
        return np.where(has_place, best // size, -1), np.where(has_place, best % size, -1)

    def steps(self) -> list[Step]:
        """One for each symbol that has a place."""
        if self.held.max(initial=0) < MIN_HELD:
            return []
        found = []
        for symbol, (one, other) in enumerate(zip(*(each.tolist() for each in self._chosen()), strict=True)):
            if one >= 0:
                held = int(self.held[symbol, one, other])
                found.append(Step(symbol, (one,) if one == other else (one, other), held, held >= MARGIN * self.longest_broken))
        return found
