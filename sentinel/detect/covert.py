"""Covert channels in process values: somebody puts numbers of his own into the last digits of registers, and a reader takes them out
again.  To a protocol analyser these are readings like any other (Lemay and Fernandez, "Providing SCADA Network Data Sets for Intrusion
Detection Research", CSET 2016, tell of such a channel and give no way to see it).

Who hides b bits in the last d decimal digits uses 2^b of 10^d numbers: 64 of 100, 512 of 1,000, 8,192 of 10,000.  The remainders then fill
all of that range from one reading to the next, and never once step over its edge.  What a plant measures does not do this: it moves
steadily from reading to reading, and no edge of its own lies at a power of two and a power of ten at once.  Needs no baseline.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.evidence import asset, frames_of, listed
from sentinel.model.carried import carried
from sentinel.model.columns import Array
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Messages
from sentinel.model.tags import Table
from sentinel.model.time import NS_PER_S
from sentinel.model.window import Window
from sentinel.ports import Spec

READINGS = 256  # of one range, each unlike the one before: looked at together
MAX_PER_WINDOW = 32  # of one range: the first ones, one after the other
MAX_RANGES = 2048  # under watch, and
MAX_WORDS = 1 << 22  # that wait to be enough, of all ranges together: 8 MB; the range longest unheard is forgotten
MAX_LIKENESS = 0.5  # correlation of a remainder with the next; what is measured is polled faster than it moves, and lies near 1
BINS = 16  # of the numbers that a channel uses; 16 readings in each, on average
MIN_IN_BIN = 4  # a measured value lies about its mean, and seldom far from it
MIN_UNDER_THE_EDGE = 16  # of a register, in the two uppermost bins
MIN_EVIDENCE = 24  # of these, of all registers together: that none is above is chance once in 2^24
_FRAMES = 64  # of evidence

_READ = {3: Table.HOLDING, 4: Table.INPUT}
_TABLES = {**_READ, 6: Table.HOLDING, 16: Table.HOLDING}

Range = tuple[str, str, int, int, int, int]  # client, server, unit, function, first address, registers


class Digits(NamedTuple):
    """The last ``digits`` of a number, of which a channel uses ``bits`` bits."""

    digits: int
    bits: int


SHAPES = (Digits(2, 6), Digits(3, 9), Digits(4, 13))  # one digit is a state, a mode or a bit field more often than not


class _Waiting:
    """Readings of a range since the last look at it, each unlike the one before: one row of ``words`` a reading."""

    def __init__(self, registers: int) -> None:
        self.words = np.zeros((0, registers), np.uint16)
        self.frames = self.times = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.words)

    def add(self, words: Array, frames: Array, times: Array) -> None:
        before = self.words[-1:] if len(self) else words[:1] ^ 1
        is_new = (np.concatenate([before, words[:-1]]) != words).any(axis=1)
        self.words = np.concatenate([self.words, words[is_new]])
        self.frames = np.concatenate([self.frames, frames[is_new]])
        self.times = np.concatenate([self.times, times[is_new]])


class CovertChannel:
    spec: ClassVar[Spec] = Spec(name="covert_channel", summary="data hidden in the last digits of process values", attack=("T0869",))

    def __init__(self) -> None:
        self._waiting: OrderedDict[Range, _Waiting] = OrderedDict()
        self._waiting_words = 0

    def learn(self, window: Window) -> None:
        """Nothing to learn: what is hidden from the first day on is hidden."""

    def activate(self) -> None:
        """Nothing to fix, as above."""

    def score(self, window: Window) -> Sequence[Detection]:
        m = window.messages
        found = []
        for place, rows in _ranges(m):
            waiting = self._waiting.pop(place, None) or _Waiting(place[-1])
            before = waiting.words.size
            words = m.pool[m.value_start[rows][:, None] + np.arange(2 * place[-1])].view(">u2").astype(np.uint16)
            waiting.add(words, m.frame[rows], m.time[rows])
            if len(waiting) < READINGS:
                self._waiting[place] = waiting
                self._waiting_words += waiting.words.size - before
            else:
                self._waiting_words -= before
                if carrying := carriers(waiting.words):
                    found.append(self._detection(place, carrying, waiting, window))
            while self._waiting_words > MAX_WORDS or len(self._waiting) > MAX_RANGES:
                self._waiting_words -= self._waiting.popitem(last=False)[1].words.size
        return found

    def _detection(self, place: Range, carrying: Mapping[int, Digits], waiting: _Waiting, window: Window) -> Detection:
        client, server, unit, function, address, _ = place
        table = _TABLES[function]
        shape = max(carrying.values())
        registers = listed([f"{table} {address + register}" for register in carrying], 3)
        lasted_ns = max(1, int(waiting.times[-1] - waiting.times[0]))
        octets_a_s = sum(one.bits for one in carrying.values()) / 8 * (len(waiting) - 1) * NS_PER_S / lasted_ns
        giver, taker = (server, client) if function in _READ else (client, server)
        return Detection(
            detector=self.spec.name,
            title=f"Data hidden in values that {giver} gives {taker}: {registers} of unit {unit}, some {octets_a_s:.1f} octets a second",
            seen=window.start,
            frame=int(waiting.frames[-1]),
            frames=frames_of(waiting.frames[-_FRAMES:]),
            source=asset(giver),
            target=asset(taker),
            cause=f"channel:{min(client, server)} {max(client, server)}",
            feature=f"the last {shape.digits} digits of {len(carrying)} registers",
            observed=f"{len(waiting)} readings, each unlike the one before, over all of 0 to {2**shape.bits - 1} and never above",
            expected="values that move steadily, and last digits of every kind",
            score=float(len(carrying)),
            threshold=1.0,
            why=f"Whoever puts {shape.bits} bits into the last {shape.digits} decimal digits of a value uses the numbers below"
            f" {2**shape.bits} and no other; a measured value knows no such edge.  What {taker} does with these values, and what runs on"
            f" {giver}, should be looked at.",
            techniques=self.spec.attack,
            severity=Severity.HIGH,
            confidence=0.9,
        )

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to bring back, as above."""


def carriers(readings: Array) -> dict[int, Digits]:
    """Which registers, by their place in the range, carry data, and in how many digits.

    ``readings``: one row per reading, one column per register, as unsigned words.
    """
    found: dict[int, Digits] = {}
    evidence = 0
    for shape in SHAPES:
        edge = 2**shape.bits
        rest = readings.astype(np.int64) % 10**shape.digits
        for register in np.flatnonzero((rest < edge).all(axis=0)).tolist():
            values = rest[:, register]
            counts = np.bincount(values * BINS // edge, minlength=BINS)
            under = int(counts[-2:].sum())
            if (
                register not in found
                and counts.min() >= MIN_IN_BIN
                and under >= MIN_UNDER_THE_EDGE
                and abs(_likeness(values)) < MAX_LIKENESS
            ):
                found[register] = shape
                evidence += under
    return dict(sorted(found.items())) if evidence >= MIN_EVIDENCE else {}


def _likeness(values: Array) -> float:
    """The correlation of each value with the next."""
    centred = values - values.mean()
    return float(centred[:-1] @ centred[1:] / (centred @ centred))


def _ranges(m: Messages) -> list[tuple[Range, Array]]:
    """What is read and written together, with the rows of its first messages in this window."""
    return [
        (
            (m.name_of(one.client) or "", m.name_of(one.server) or "", one.unit, one.function, one.address, one.quantity),
            one.rows[:MAX_PER_WINDOW],
        )
        for one in carried(m)
        if one.octets == 2 * one.quantity and one.function in _TABLES
    ]
