"""Timing: conversations that fall silent, and polls that change their rhythm.

What may be silent for how long, and which period a request has, is learnt; requests without a regular period have none.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset, frames_of, listed, operation_words, service_words
from sentinel.detect.watched import watched
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Messages
from sentinel.model.protocol import MessageKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

MIN_ACTIVE_SLOTS = 20  # a conversation must have been heard in so many seconds before its silence means anything
SILENCE_FACTOR = 5.0
MIN_SILENCE_S = 10.0
SHORT_LEARNING_S = 120.0  # after so long a learning the longest pause may still double
RHYTHM_SAMPLES = 30  # repetitions of a request before its period is known; irregular ones have none
RHYTHM_RUN = 10  # intervals whose median is the period
RHYTHM_FACTOR = 3.0

Key = tuple[str, str, str]  # client, server, service
Symbol = tuple[str, str, int, int, int, int, int]  # client, server, protocol, unit, function, address, quantity


@dataclass(slots=True)
class _Presence:
    slots: int = 0
    last: int = 0
    longest_gap_s: float = 0.0
    heard_s: float = 0.0  # time between first and last, without changes of source
    reported: bool = False

    def hear(self, time: int) -> None:
        if self.slots and time > self.last:
            self.heard_s += (time - self.last) / NS_PER_S
            self.longest_gap_s = max(self.longest_gap_s, (time - self.last) / NS_PER_S)
        self.slots += 1
        self.last = max(self.last, time)
        self.reported = False


@dataclass(slots=True)
class _Rhythm:
    count: int = 0
    times: deque[int] = field(default_factory=lambda: deque(maxlen=RHYTHM_RUN + 1))
    fastest_s: float = float("inf")
    slowest_s: float = 0.0

    def hear(self, time: int) -> float | None:
        """The median of the last intervals, once there are enough: one pause is no change of rhythm."""
        self.count += 1
        self.times.append(time)
        return self.period()

    def hear_all(self, times: Array) -> None:
        self.count += len(times)
        self.times.extend(times[-(RHYTHM_RUN + 1) :].tolist())

    def period(self) -> float | None:
        if len(self.times) <= RHYTHM_RUN:
            return None
        times = list(self.times)
        gaps = sorted(later - earlier for earlier, later in pairwise(times))
        return (gaps[(RHYTHM_RUN - 1) // 2] + gaps[RHYTHM_RUN // 2]) / 2 / NS_PER_S


class Timing:
    spec: ClassVar[Spec] = Spec(
        name="timing",
        summary="conversations that fall silent, polls that change their rhythm",
        stability=Stability.STABLE,
        attack=("T0815", "T1691.002"),
    )

    def __init__(self) -> None:
        self._presence: OrderedDict[Key, _Presence] = OrderedDict()
        self._may_be_silent_s: dict[Key, float] = {}
        self._rhythms: OrderedDict[Symbol, _Rhythm] = OrderedDict()
        self._periods: dict[Symbol, tuple[float, float]] = {}  # fastest, slowest period, s
        self._last_window: dict[str, int] = {}
        self._active = False

    # -- learning --

    def learn(self, window: Window) -> None:
        if window.source not in self._last_window:  # another file or sensor: the time between them is nobody's silence
            for presence in self._presence.values():
                presence.last = window.start
            for rhythm in self._rhythms.values():
                rhythm.times.clear()
        self._last_window[window.source] = window.start
        for key, _, _ in _conduits(window.messages):
            watched(self._presence, key, _Presence).hear(window.start)
        learn_all([(watched(self._rhythms, symbol, _Rhythm), times) for symbol, times, _ in _symbols(window.messages)])

    def activate(self) -> None:
        for key, presence in self._presence.items():
            if presence.slots >= MIN_ACTIVE_SLOTS:
                doubt = 1.0 + SHORT_LEARNING_S / max(presence.heard_s, 1.0)
                self._may_be_silent_s[key] = doubt * max(MIN_SILENCE_S, SILENCE_FACTOR * presence.longest_gap_s)
        for symbol, rhythm in self._rhythms.items():
            if rhythm.count >= RHYTHM_SAMPLES and 0 < rhythm.slowest_s <= RHYTHM_FACTOR * rhythm.fastest_s:
                self._periods[symbol] = (rhythm.fastest_s, rhythm.slowest_s)
        self._begin()

    def _begin(self) -> None:
        self._presence.clear()
        self._rhythms.clear()
        self._last_window.clear()
        self._active = True

    # -- scoring --

    def score(self, window: Window) -> Sequence[Detection]:
        return [*self._silence(window), *self._rhythm_changes(window.messages)] if self._active else ()

    def _silence(self, window: Window) -> list[Detection]:
        if not len(window.messages) and not len(window.flows):
            return []
        previous = self._last_window.get(window.source, window.start)
        self._last_window[window.source] = window.start
        if window.start - previous > MIN_SILENCE_S * NS_PER_S:  # the source itself was away: nobody's silence
            for presence in self._presence.values():
                presence.last = max(presence.last, window.start)
        for key, _, _ in _conduits(window.messages):
            if key in self._may_be_silent_s:
                self._presence.setdefault(key, _Presence()).hear(window.start)
        silent: dict[str, list[tuple[Key, float]]] = defaultdict(list)
        for key, presence in self._presence.items():
            away = (window.start - presence.last) / NS_PER_S
            if not presence.reported and away > self._may_be_silent_s[key]:
                presence.reported = True
                silent[key[1]].append((key, away))
        return [self._fell_silent(window, server, keys) for server, keys in silent.items()]

    def _fell_silent(self, window: Window, server: str, keys: list[tuple[Key, float]]) -> Detection:
        (client, _, service), away = keys[0]
        limit = self._may_be_silent_s[keys[0][0]]
        who = listed(sorted({key[0] for key, _ in keys}))
        return Detection(
            detector=self.spec.name,
            title=f"{who} and {server} have fallen silent: no {service_words(service)} for {away:.0f} s",
            seen=window.start,
            source=asset(client),
            target=asset(server),
            cause=f"rhythm:{server}",
            feature="silence",
            observed=f"no message for {away:.0f} s",
            expected=f"a message at least every {limit:.0f} s, from what was learnt",
            score=away,
            threshold=limit,
            why=f"{who} polled {server} steadily while the baseline was learnt; now nothing was heard for {away:.0f} s.",
            techniques=("T1691.002", "T0815"),
            severity=Severity.MEDIUM,
            confidence=0.6,
        )

    def _rhythm_changes(self, messages: Messages) -> list[Detection]:
        changed: dict[str, list[tuple[Symbol, float, int]]] = defaultdict(list)
        for symbol, times, row in _symbols(messages):
            learnt = self._periods.get(symbol)
            if learnt is None:
                continue
            rhythm = watched(self._rhythms, symbol, _Rhythm)
            rhythm.hear_all(times)
            period = rhythm.period()
            if period is not None and not learnt[0] / RHYTHM_FACTOR <= period <= learnt[1] * RHYTHM_FACTOR:
                changed[symbol[0]].append((symbol, period, row))
        return [self._rhythm_change(messages, client, symbols) for client, symbols in changed.items()]

    def _rhythm_change(self, messages: Messages, client: str, symbols: list[tuple[Symbol, float, int]]) -> Detection:
        symbol, period, _ = symbols[0]
        fastest, slowest = self._periods[symbol]
        frames = frames_of(messages.frame[[row for *_, row in symbols]])
        words = operation_words(symbol[2], symbol[4])
        direction = "faster" if period < fastest else "slower"
        return Detection(
            detector=self.spec.name,
            title=f"{client} polls {symbol[1]} {direction} than it did: {words} every {period:.2g} s",
            seen=Instant(int(messages.time[symbols[0][2]])),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(client),
            target=asset(symbol[1]),
            cause=f"rhythm:{client}",
            feature="rhythm",
            observed=f"a period of {period:.3g} s",
            expected=f"{fastest:.3g} to {slowest:.3g} s, from what was learnt",
            score=max(fastest / max(period, 1e-9), period / slowest),
            threshold=RHYTHM_FACTOR,
            why=f"{client} sends {words} to {symbol[1]} every {period:.3g} s; learnt were {fastest:.3g} to {slowest:.3g} s.",
            severity=Severity.LOW,
            confidence=0.3,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        return {
            "silence": [[list(key), seconds] for key, seconds in sorted(self._may_be_silent_s.items())],
            "periods": [[list(symbol), list(period)] for symbol, period in sorted(self._periods.items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._may_be_silent_s = {(a, b, c): float(seconds) for (a, b, c), seconds in state["silence"]}
        self._periods = {(a, b, c, d, e, f, g): (float(low), float(high)) for (a, b, c, d, e, f, g), (low, high) in state["periods"]}
        self._begin()


def learn_all(heard: Sequence[tuple[_Rhythm, Array]]) -> None:
    """Every rhythm hears its times, and every period on the way counts; of all rhythms in one sort."""
    parts, runs, starts, at = [], [], [], 0
    for rhythm, times in heard:
        before, count = len(rhythm.times), len(times)
        parts += [np.array(rhythm.times, np.int64), times]
        periods = min(count, before + count - RHYTHM_RUN)  # those that end with a new time
        if periods > 0:
            runs.append((rhythm, periods))
            starts.append(np.arange(at + before + count - RHYTHM_RUN - periods, at + before + count - RHYTHM_RUN))
        at += before + count
        rhythm.hear_all(times)
    if not runs:
        return
    every = np.lib.stride_tricks.sliding_window_view(np.diff(np.concatenate(parts)), RHYTHM_RUN)
    gaps = np.sort(every[np.concatenate(starts)], axis=1)
    found = (gaps[:, (RHYTHM_RUN - 1) // 2] + gaps[:, RHYTHM_RUN // 2]) / 2 / NS_PER_S
    edges = np.cumsum([0, *(periods for _, periods in runs)])[:-1]
    limits = zip(np.minimum.reduceat(found, edges).tolist(), np.maximum.reduceat(found, edges).tolist(), strict=True)
    for (rhythm, _), (fastest_s, slowest_s) in zip(runs, limits, strict=True):
        rhythm.fastest_s, rhythm.slowest_s = min(rhythm.fastest_s, fastest_s), max(rhythm.slowest_s, slowest_s)


@remembered
def _conduits(messages: Messages) -> list[tuple[Key, int, int]]:
    """(conduit, first row, port) of what speaks an application protocol."""
    rows = np.flatnonzero((messages.client >= 0) & (messages.server >= 0))
    first, _ = distinct(messages.client[rows], messages.server[rows], messages.port[rows])
    return [
        (
            (messages.names[messages.client[row]], messages.names[messages.server[row]], f"tcp/{messages.port[row]}"),
            row,
            int(messages.port[row]),
        )
        for row in rows[first].tolist()
    ]


@remembered
def _symbols(messages: Messages) -> list[tuple[Symbol, Array, int]]:
    """(request, its times, its last row) of every distinct request."""
    rows = np.flatnonzero(
        (messages.kind == MessageKind.REQUEST) & (messages.client >= 0) & (messages.server >= 0) & (messages.address >= 0)
    )
    names = ("client", "server", "protocol", "unit", "function", "address", "quantity")
    columns = [getattr(messages, name)[rows] for name in names]
    first, which = distinct(*columns)
    found = []
    for at, group in zip(first.tolist(), grouped(which), strict=True):
        part = rows[group]
        client, server, protocol, unit, function, address, quantity = (int(column[at]) for column in columns)
        symbol = (messages.names[client], messages.names[server], protocol, unit, function, address, quantity)
        found.append((symbol, messages.time[part], int(part[-1])))
    return found
