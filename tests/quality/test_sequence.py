"""The order of requests on the captures of others: silent where they are clean, and one step out of its place is found.

Learnt on the first part of each, judged on the rest; the attacks are ours: one request of a cycle left out, put in once more, or before its
turn.  All of them are requests that the client sends, over its own connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from collectors.capture.replay import replay
from sentinel.baseline.gather import Gather
from sentinel.detect.channel import heard
from sentinel.detect.sequence import RequestOrder
from sentinel.model.detection import Detection
from sentinel.model.window import Window
from tests.data import data_file

pytestmark = pytest.mark.data

LEMAY = "network/modbus-lemay/characterization_modbus_6RTU_with_operate.pcap"
# capture: seconds that are learnt, and until when it is clean
CLEAN = {LEMAY: (230, 270), "network/modbus-iti/ModbusTCP.pcap": (65, 85)}


@cache
def _windows(name: str) -> tuple[Window, ...]:
    gather, found = Gather("x"), list[Window]()
    for told in replay(data_file(name)):
        found += gather.hear(told)
    return (*found, *gather.flush())


def _part(name: str, since_s: float, until_s: float) -> list[Window]:
    first = _windows(name)[0].start
    return [lived for lived in _windows(name) if since_s * 1e9 <= lived.start - first and lived.end - first <= until_s * 1e9]


@cache
def _rest(name: str) -> dict[str, object]:
    learner = RequestOrder()
    for lived in _part(name, 0, CLEAN[name][0]):
        learner.learn(lived)
    learner.activate()
    return dict(learner.state())


def _said(name: str, windows: Sequence[Window]) -> list[Detection]:
    judge = RequestOrder()
    judge.restore(_rest(name))
    return [found for lived in windows for found in judge.score(lived)]


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_capture_is_silent(name: str) -> None:
    learn_s, until_s = CLEAN[name]
    assert len(_rest(name)["rules"]) >= 2  # type: ignore[arg-type]
    assert _said(name, _part(name, learn_s, until_s)) == []


def _left_out(order: list[int], place: int) -> list[int]:
    return order[:place] + order[place + 1 :]


def _put_in(order: list[int], place: int) -> list[int]:
    return [*order[:place], order[place], *order[place:]]


def _swapped(order: list[int], place: int) -> list[int]:
    return [*order[:place], order[place + 1], order[place], *order[place + 2 :]]


def _asked(lived: Window, client: str, server: str) -> list[int]:
    keys, rows, which = heard(lived)
    return [row for row, key in zip(rows.tolist(), which.tolist(), strict=True) if keys[key][0][:2] == (client, server)]


@pytest.mark.parametrize("change", [_left_out, _put_in, _swapped])
@pytest.mark.parametrize("unit", range(101, 107))
def test_one_step_out_of_its_place_in_a_cycle_of_ten_seconds_is_found(unit: int, change: Callable[[list[int], int], list[int]]) -> None:
    """Three polls of each of six units, one after the other, every time over a new connection."""
    windows = _part(LEMAY, *CLEAN[LEMAY])
    master, server = "192.168.1.100", f"192.168.1.{unit}"
    asked_of = [_asked(lived, master, server) if lived.start - windows[0].start > 15e9 else [] for lived in windows]
    number, asked = next((number, rows) for number, rows in enumerate(asked_of) if len(rows) >= 2)
    messages = windows[number].messages
    order = change(asked, 0)
    others = [row for row in range(len(messages)) if row not in asked]
    changed = messages.take(np.array([*order, *others]))
    times = np.sort(np.r_[messages.time, messages.time[:1]])[: len(changed)]
    windows[number] = replace(windows[number], messages=replace(changed, time=times))
    found = _said(LEMAY, windows)
    assert found
    assert {one.target for one in found} == {server}
    assert all(one.seen >= windows[number].start for one in found)
