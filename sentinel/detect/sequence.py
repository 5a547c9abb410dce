"""Sequence: requests of a channel that come out of their order; a step of a cycle left out, put in, played once more, or before its turn.

The order of each channel is learnt as an `automaton`.  A request may be one that its client sends, at an address that it uses and in its
rhythm: here only its place counts.  Of a place that held twice as often as any of its channel that seemed sure and broke while it was
learnt, one request out of it is enough; of the others, how many in ten seconds are news follows from how often places of the channel
broke, and from the plant's false-alarm budget.  Nothing is said across
octets that the sensor missed, nor across a pause longer than the channel made while it was learnt.

A channel of ten requests costs 12 kB while it is learnt, one of `MAX_SYMBOLS` 120 kB; to judge, some hundred octets a request.
"""

import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.automaton import BLOCK_NS, MAX_SYMBOLS, Automaton
from sentinel.detect.calibrate import Budget, threshold
from sentinel.detect.channel import Channel, Symbol, heard, holes
from sentinel.detect.evidence import asset, frames_of
from sentinel.detect.operations import is_write
from sentinel.detect.watched import watched
from sentinel.model.columns import Array, distinct, grouped
from sentinel.model.detection import Detection, Severity
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec

MAX_CHANNELS = 4096
MAX_CELLS = 4_000_000  # of all automata together, eight octets each
BUFFERED = 16_384  # requests that are learnt at once, and at most in a second: beyond, channels take turns
TURN_NS = 60 * NS_PER_S
MIN_BLOCKS = 6  # of ten seconds: what a client does when it is late, or its server is, is not seen in less
PAUSE_FACTOR, MIN_PAUSE_NS = 3, NS_PER_S
MAX_SOURCES = 16
_MISSED = -1  # in the place of a symbol: octets of the channel were missed
_NEITHER, _ITSELF, _BEFORE = 0, 1, 2  # of a step: what was heard last, nothing of it, its own request, or one that comes before it


class Rule(NamedTuple):
    """A step of an automaton by its names."""

    channel: int
    symbol: Symbol
    after: tuple[Symbol, ...]
    held: int
    is_firm: bool


@dataclass(slots=True)
class _Learnt:
    """A channel as one source hears it."""

    number: int = 0
    alphabet: dict[Symbol, int] = field(default_factory=dict)
    automaton: Automaton = field(default_factory=Automaton)


@dataclass(slots=True)
class _Trace:
    """As one source hears it: what was heard last of each rule, and of each channel when."""

    states: Array
    times: Array
    out: dict[int, tuple[int, int]] = field(default_factory=dict)  # of each channel: the block of time, and how many in it


class RequestOrder:
    spec: ClassVar[Spec] = Spec(
        name="sequence",
        summary="requests out of the order of their channel: steps left out, put in, played once more, or before their turn",
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T1692.001", "T1691.001"),
    )

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._learning: dict[tuple[str, Channel], _Learnt] = {}
        self._buffer = np.zeros((0, 4), np.int64)  # number, symbol, time, connection
        self._cells = 0
        self._turns: dict[str, tuple[int, int]] = {}  # of each source: how many, and the number of the present one
        self.set_apart = 0  # distinct requests of a second that were beyond the limits
        self._judge_by([], [], [])

    # -- learning --

    def learn(self, window: Window) -> None:
        keys, rows, which = heard(window)
        places = np.array([self._place(window.source, *key) for key in keys], np.int64).reshape(-1, 2)
        missed = holes(window)
        broken_off = [one.number for channel, one in self._of_source(window.source) if channel[:3] in missed] if missed else []
        self._miss(broken_off, window.start)  # and what else was heard of them in this second follows nothing
        if len(rows):
            at = places[which]
            kept = (at[:, 0] >= 0) & self._has_turn(window, at[:, 0]) & ~np.isin(at[:, 0], broken_off)
            rows, at = rows[kept], at[kept]
            self._keep(at[:, 0], at[:, 1], window.messages.time[rows], window.messages.flow[rows])
        if len(self._buffer) >= BUFFERED:
            self._learn_buffered()

    def _place(self, source: str, channel: Channel, symbol: Symbol) -> tuple[int, int]:
        """Numbers of channel and symbol; -1 where there is no room for them."""
        learnt = self._learning.get((source, channel))
        if learnt is None:
            if len(self._learning) >= MAX_CHANNELS:
                self.set_apart += 1
                return -1, -1
            learnt = self._learning[source, channel] = _Learnt(len(self._learning))
        code = learnt.alphabet.get(symbol)
        if code is None:
            size = len(learnt.alphabet)
            more = (size + 1) ** 3 - size**3
            if size >= MAX_SYMBOLS or self._cells + more > MAX_CELLS:
                self.set_apart += 1
                return -1, -1
            self._cells += more
            code = learnt.alphabet[symbol] = size
        return learnt.number, code

    def _of_source(self, heard_by: str) -> list[tuple[Channel, _Learnt]]:
        return [(channel, learnt) for (source, channel), learnt in self._learning.items() if source == heard_by]

    def _has_turn(self, window: Window, numbers: Array) -> Array:
        """Which requests are learnt; who has no turn loses his place."""
        parts = -(-len(numbers) // BUFFERED)
        turn = (parts, window.start // TURN_NS % parts)
        if turn != self._turns.get(window.source, (1, 0)):
            self._turns[window.source] = turn
            self._miss([one.number for _, one in self._of_source(window.source)], window.start)
        has_turn: Array = numbers % parts == turn[1]
        return has_turn

    def _miss(self, numbers: Sequence[int], at: int) -> None:
        if not numbers:
            return
        nothing = np.zeros(len(numbers), np.int64)
        self._keep(np.array(numbers, np.int64), nothing + _MISSED, nothing + at, nothing)

    def _keep(self, *columns: Array) -> None:
        self._buffer = np.concatenate((self._buffer, np.stack(columns, axis=1)))

    def _learn_buffered(self) -> None:
        numbers, symbols, times, connections = self._buffer.T
        self._buffer = self._buffer[:0].copy()
        automata = [learnt.automaton for learnt in self._learning.values()]
        first, which = distinct(numbers)
        for at, rows in zip(first.tolist(), grouped(which), strict=True):
            automaton, begin = automata[numbers[at]], 0
            for end in [*np.flatnonzero(symbols[rows] == _MISSED).tolist(), len(rows)]:
                part = rows[begin:end]
                automaton.learn(symbols[part], times[part], connections[part])
                if end < len(rows):
                    automaton.forget_place()
                begin = end + 1

    def activate(self) -> None:
        self._learn_buffered()
        best: dict[Channel, _Learnt] = {}  # of the source that heard most of it
        for (_, channel), learnt in self._learning.items():
            if channel not in best or learnt.automaton.heard > best[channel].automaton.heard:
                best[channel] = learnt
        chance = self._budget.probability_per_block(self.spec.name, BLOCK_NS / NS_PER_S, len(best))
        channels, limits, rules = list[Channel](), list[tuple[float, int]](), list[Rule]()
        for channel, learnt in best.items():
            limit, steps = threshold(learnt.automaton.blocks, chance), learnt.automaton.steps()
            if len(learnt.automaton.blocks) >= MIN_BLOCKS and math.isfinite(limit) and steps:
                symbols = [Symbol(*symbol) for symbol in learnt.alphabet]  # of a memory that was kept they are plain
                rules += [
                    Rule(len(channels), symbols[one], tuple(symbols[each] for each in after), held, firm)
                    for one, after, held, firm in steps
                ]
                channels.append(Channel(*channel))
                limits.append((limit, max(PAUSE_FACTOR * learnt.automaton.longest_pause_ns, MIN_PAUSE_NS)))
        self._learning.clear()
        self._judge_by(channels, limits, rules)

    def _judge_by(self, channels: list[Channel], limits: list[tuple[float, int]], rules: list[Rule]) -> None:
        self._channels, self._limits, self._rules = channels, limits, rules
        self._codes: dict[tuple[Channel, Symbol], int] = {}
        own: dict[int, int] = {}
        before: dict[int, list[int]] = defaultdict(list)  # of a request: the rules in which it comes before another
        for number, rule in enumerate(rules):
            channel = channels[rule.channel]
            own[self._codes.setdefault((channel, rule.symbol), len(self._codes))] = number
            for symbol in rule.after:
                before[self._codes.setdefault((channel, symbol), len(self._codes))].append(number)
        codes = range(len(self._codes))
        numbers = {channel: number for number, channel in enumerate(channels)}
        self._own = np.array([own.get(code, -1) for code in codes], np.int64)
        self._before = np.array([number for code in codes for number in before[code]], np.int64)
        self._starts = np.cumsum([0, *(len(before[code]) for code in codes)])
        self._channel_of = np.array([numbers[channel] for channel, _ in self._codes], np.int64)
        self._channel_of_rule = np.array([rule.channel for rule in rules], np.int64)
        self._firm = np.array([rule.is_firm for rule in rules], bool)
        self._commands = np.array([is_write(channels[rule.channel].protocol, rule.symbol.function) for rule in rules], bool)
        self._traces: OrderedDict[str, _Trace] = OrderedDict()

    # -- scoring --

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._rules:
            return ()
        trace = watched(self._traces, window.source, self._new_trace, MAX_SOURCES)
        keys, rows, which = heard(window)
        codes = np.array([self._codes.get(key, -1) for key in keys], np.int64)[which]
        known = codes >= 0
        rows, codes = rows[known], codes[known]
        self._pauses(trace, codes, window.messages.time[rows])
        places, rules = self._follow(trace, codes)
        missed = holes(window)
        if missed:
            gone = np.array([channel[:3] in missed for channel in self._channels])[self._channel_of_rule]
            trace.states[gone] = _NEITHER
            places, rules = places[~gone[rules]], rules[~gone[rules]]
        return self._news(window, trace, rows, codes, places, rules) if len(places) else ()

    def _new_trace(self) -> _Trace:
        return _Trace(np.full(len(self._rules), _NEITHER, np.int8), np.zeros(len(self._channels), np.int64))

    def _pauses(self, trace: _Trace, codes: Array, times: Array) -> None:
        """Whoever was away for longer than ever may begin anew, anywhere in his cycle."""
        channels, begins = self._channel_of[codes], np.zeros(len(self._channels), np.int64)
        begins[channels[::-1]] = times[::-1]  # of several the last that is written stays
        longest = np.array([pause for _, pause in self._limits], np.int64)
        away = (begins > 0) & (begins - trace.times > longest)
        trace.states[away[self._channel_of_rule]] = _NEITHER
        trace.times[channels] = times

    def _follow(self, trace: _Trace, codes: Array) -> tuple[Array, Array]:
        """(place among the codes, rule) of every request that came twice with nothing in between that comes before it, in order."""
        own = np.flatnonzero(self._own[codes] >= 0)
        counts = self._starts[codes + 1] - self._starts[codes]
        before = np.repeat(np.arange(len(codes)), counts)
        within = np.arange(len(before)) - np.repeat(np.cumsum(counts) - counts, counts)
        rules = np.concatenate((self._own[codes[own]], self._before[self._starts[codes[before]] + within]))
        places = np.concatenate((own, before))
        said = np.concatenate((np.full(len(own), _ITSELF, np.int8), np.full(len(before), _BEFORE, np.int8)))
        order = np.argsort(rules * max(len(codes), 1) + places)
        rules, places, said = rules[order], places[order], said[order]
        begins = np.r_[True, rules[1:] != rules[:-1]][: len(rules)]
        last = np.r_[np.int8(_NEITHER), said[:-1]][: len(rules)]
        last[begins] = trace.states[rules[begins]]
        ends = np.r_[begins[1:], True][: len(rules)]
        trace.states[rules[ends]] = said[ends]
        out = np.flatnonzero((said == _ITSELF) & (last == _ITSELF))
        out = out[np.argsort(places[out])]
        return places[out], rules[out]

    def _news(self, window: Window, trace: _Trace, rows: Array, codes: Array, places: Array, rules: Array) -> list[Detection]:
        found, block = [], window.start // BLOCK_NS
        first, which = distinct(self._channel_of_rule[rules])
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            number = int(self._channel_of_rule[rules[at]])
            firm = group[self._firm[rules[group]]]
            began, count = trace.out.get(number, (block, 0))
            count = len(group) - len(firm) + (count if began == block else 0)
            trace.out[number] = block, count
            limit = self._limits[number][0]
            told = group if count > limit else firm
            if len(told):
                worst = int(told[int(np.argmax(self._commands[rules[told]]))])  # the first command, else the first
                earlier = np.flatnonzero(self._channel_of[codes[: places[worst]]] == number)
                before = self._symbol(int(codes[earlier[-1]])) if len(earlier) else None
                measured = (float(len(firm)), 0.0) if len(firm) else (float(count), limit)
                found.append(self._detection(window, rows[places[told]], self._rules[rules[worst]], before, measured))
        return found

    def _symbol(self, code: int) -> Symbol:
        return list(self._codes)[code][1]

    def _detection(self, window: Window, rows: Array, rule: Rule, before: Symbol | None, measured: tuple[float, float]) -> Detection:
        """``measured``: how many requests out of their place, and how many are no news."""
        channel, messages, (count, limit) = self._channels[rule.channel], window.messages, measured
        symbol, after = rule.symbol.words(channel.protocol), " or ".join(each.words(channel.protocol) for each in rule.after)
        is_command = is_write(channel.protocol, rule.symbol.function)
        lacks_command = any(is_write(channel.protocol, each.function) for each in rule.after)
        frames = frames_of(messages.frame[rows])
        came = f", straight after {before.words(channel.protocol)}" if before else ""
        return Detection(
            detector=self.spec.name,
            title=f"{channel.client} sends {symbol} to {channel.server} out of order: {after} did not come first",
            seen=Instant(int(messages.time[rows[0]])),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(channel.client),
            target=asset(channel.server),
            cause=f"{'actor' if is_command else 'rhythm'}:{channel.client}",
            feature="command out of order" if is_command else "request out of order",
            observed=f"{symbol} twice without {after} in between",
            expected=f"{after} between two of them, as {rule.held} times in a row while learning",
            score=count,
            threshold=limit,
            why=f"{channel.client} sent {symbol} to {channel.server}, unit {channel.unit}{came}, and since it last did so not {after}, "
            f"which came in between {rule.held} times in a row while the baseline was learnt.  A step was left out, put in, played again, "
            f"or came before its turn; {count:g} such within 10 s, expected at most {limit:.3g}.",
            techniques=("T1692.001",) if is_command else ("T1691.001",) if lacks_command else (),
            severity=Severity.MEDIUM if is_command else Severity.LOW,
            confidence=0.6 if is_command else 0.4,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        return {
            "channels": [[*channel, limit, pause] for channel, (limit, pause) in zip(self._channels, self._limits, strict=True)],
            "rules": [
                [rule.channel, list(rule.symbol), [list(symbol) for symbol in rule.after], rule.held, rule.is_firm] for rule in self._rules
            ],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        channels, limits = list[Channel](), list[tuple[float, int]]()
        for client, server, port, protocol, unit, limit, pause in state["channels"]:
            channels.append(Channel(str(client), str(server), int(port), int(protocol), int(unit)))
            limits.append((float(limit), int(pause)))
        rules = [
            Rule(int(number), _symbol(symbol), tuple(map(_symbol, after)), int(held), bool(firm))
            for number, symbol, after, held, firm in state["rules"]
        ]
        if not all(0 <= rule.channel < len(channels) for rule in rules):
            raise ValueError("a rule is of a channel that is not there")
        self._judge_by(channels, limits, rules)


def _symbol(row: Sequence[Any]) -> Symbol:
    function, subfunction, low, high, subject = row
    return Symbol(int(function), int(subfunction), int(low), int(high), str(subject))
