"""What an analysis holds grows neither with the traffic nor with time: ten times the messages and readings of the same conversations and
tags, or more than twice as many seconds of them, need no more memory."""

import gc
import tracemalloc

import pytest

from sentinel.model.observation import Heard
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from tests.observations import MASTER, PLC, answer, at, flow, flows, messages, readings, request

_LEARNT_S, _SETTLED_S, _LATER_S = 20, 50, 110  # by 50 s every horizon that detectors look back on is full
_SLACK_OCTETS = 64 * 1024
_TAGS = TagMap(tuple(Tag(name=f"T{place}", role=TagRole.PROCESS_VALUE, unit="1", low=0.0, high=100.0) for place in range(8)))


def _second(second: int, times: int) -> tuple[Heard, list[tuple[float, str, float]]]:
    rows, values = [], []
    for place in range(times):
        now = second + place / times
        rows += [request(now, address=8 * (place % 4)), answer(now + 0.001, address=8 * (place % 4))]
        values += [(now, tag.name, 50.0 + ((second * 7 + place * 3 + number) % 11)) for number, tag in enumerate(_TAGS.tags)]
    passed = [flow(second, packets=2 * times), flow(second + 0.001, source=PLC, target=MASTER, from_client=0, packets=2 * times)]
    return Heard(source="sensor", until=Instant(at(second + 1)), messages=messages(*rows), flows=flows(*passed)), values


def _held(times: int) -> tuple[int, int]:
    """Octets after `_SETTLED_S` and after `_LATER_S`."""
    gc.collect()
    tracemalloc.start()
    try:
        analysis, sizes = Analysis(tag_map=_TAGS), []
        for second in range(_LATER_S):
            if second == _LEARNT_S:
                analysis.activate()
            heard, values = _second(second, times)
            analysis.heard(heard)
            analysis.readings("poll", readings(*values), Instant(at(second + 1)))
            analysis.take_commands()
            analysis.take_readings()
            del heard, values
            if second in (_SETTLED_S, _LATER_S - 1):
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    return sizes[0], sizes[1]


@pytest.fixture(scope="module")
def held() -> dict[int, tuple[int, int]]:
    _held(1)  # what is loaded on first use belongs to nobody
    return {times: _held(times) for times in (1, 10)}


def test_it_does_not_grow_with_time(held: dict[int, tuple[int, int]]) -> None:
    for settled, later in held.values():
        assert later - settled < _SLACK_OCTETS


def test_ten_times_the_traffic_needs_no_more(held: dict[int, tuple[int, int]]) -> None:
    assert held[10][1] - held[1][1] < _SLACK_OCTETS
