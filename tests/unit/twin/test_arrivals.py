"""What arrives waits for its slot, in any order; what cannot be used says why, and nothing is lost uncounted."""

import math

from sentinel.model.observation import Counters, Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag, TagRole
from sentinel.twin.arrivals import ANYTHING, Arrivals, within

LEVEL = Tag(name="LT1", role=TagRole.PROCESS_VALUE, unit="m", low=0.0, high=2.0)


def arrivals(most: int = 100) -> Arrivals:
    return Arrivals({"LT1": within(LEVEL), "LIC1.SP": ANYTHING}, {"LT1": LEVEL}, most)


def readings(*rows: tuple[int, str, float, Quality]) -> Readings:
    names = tuple(dict.fromkeys(tag for _, tag, _, _ in rows))
    times = [at for at, _, _, _ in rows]
    codes = [names.index(tag) for _, tag, _, _ in rows]
    values, qualities = [value for _, _, value, _ in rows], [quality for *_, quality in rows]
    return Readings.of(names, time=times, seen=times, tag=codes, value=values, quality=qualities)


def test_the_latest_reading_of_each_tag_is_due_once_in_whatever_order_it_came() -> None:
    waiting = arrivals()
    given = readings((7, "LT1", 1.2, Quality.GOOD), (3, "LT1", 1.0, Quality.GOOD), (5, "LIC1.SP", 9.0, Quality.UNCERTAIN))
    assert list(waiting.read(given, -math.inf, 10.0)) == []
    due = waiting.due(6)
    assert {tag: (one.value, one.is_uncertain) for tag, one in due.items()} == {"LT1": (1.0, False), "LIC1.SP": (9.0, True)}
    assert waiting.due(6) == {}
    assert waiting.earliest(99) == 7
    waiting.forget(8)
    assert waiting.counters == Counters(accepted=3, refused=0, dropped=1)


def test_what_cannot_be_used_says_why() -> None:
    waiting = arrivals()
    rows = [(5, "LT1", 2.2, Quality.GOOD), (5, "LT1", math.nan, Quality.GOOD), (5, "LT1", 1.0, Quality.BAD), (1, "LT1", 1.0, Quality.GOOD)]
    refused = list(waiting.read(readings(*rows, (11, "LT1", 1.0, Quality.GOOD), (5, "XT9", 1.0, Quality.GOOD)), 2.0, 10.0))
    assert refused == [
        ("LT1", "2.2 m is outside its range"),
        ("LT1", "its value is not a number"),
        ("LT1", "its quality is bad"),
        ("LT1", "it comes too late"),
    ], "one from the future, and one of an unknown tag, say nothing"
    assert waiting.counters.refused == 6


def test_the_oldest_are_dropped_and_counted() -> None:
    waiting = arrivals(most=2)
    list(waiting.read(readings(*((at, "LT1", at / 10.0, Quality.GOOD) for at in (9, 4, 6))), -math.inf, 10.0))
    for at in (1, 2, 3):
        waiting.write({"LIC1.SP": float(at)}, at)
    assert waiting.earliest(99) == 6
    assert waiting.written(3) == [{"LIC1.SP": 2.0}]
    assert waiting.written(9) == [{"LIC1.SP": 3.0}]
    assert waiting.counters.dropped == 2
