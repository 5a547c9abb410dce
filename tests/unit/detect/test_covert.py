"""Data hidden in the last digits of process values."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from sentinel.detect.covert import MAX_RANGES, READINGS, SHAPES, CovertChannel, Digits, carriers
from sentinel.detect.memory import freeze, thaw
from sentinel.model.detection import Detection
from sentinel.model.protocol import MessageKind
from tests.observations import MASTER, PLC, answer, request, window

Numbers = np.ndarray[Any, Any]


def level(readings: int = READINGS) -> Numbers:
    """A tank that fills and empties."""
    return np.round(5000 + 2500 * np.sin(np.arange(readings) / 40)).astype(np.int64)


def hidden(shape: Digits, seed: int = 1, readings: int = READINGS) -> Numbers:
    """The same tank, whose last digits somebody uses."""
    whole = 10**shape.digits
    return level(readings) // whole * whole + np.random.default_rng(seed).integers(0, 2**shape.bits, readings)


def told(columns: list[Numbers], a_second: int = 4, **more: Any) -> Iterator[Detection]:
    detector = CovertChannel()
    words = np.stack(columns, axis=1)
    for second, block in enumerate(np.split(words, range(a_second, len(words), a_second))):
        octets = 2 * words.shape[1]
        rows = [
            answer(
                second + i / 10,
                frame=second * a_second + i + 1,
                quantity=words.shape[1],
                value_start=i * octets,
                value_octets=octets,
                **more,
            )
            for i in range(len(block))
        ]
        yield from detector.score(window(second, rows, pool=block.astype(">u2").tobytes()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_channel_is_found_beside_an_honest_register_and_says_how_much_it_carries(shape: Digits) -> None:
    (found,) = told([level(), hidden(shape), level()[::-1]])
    assert (found.source, found.target, found.techniques) == (PLC, MASTER, ("T0869",))
    assert "holding 1 of unit 1" in found.title
    assert "holding 0" not in found.title
    assert f"the last {shape.digits} digits of 1 registers" == found.feature
    assert f"some {shape.bits / 8 * 4:.1f} octets a second" in found.title
    assert found.frame == READINGS
    assert found.frames[-1] == READINGS


def test_a_channel_that_is_written_comes_from_the_client() -> None:
    (found,) = told([hidden(Digits(3, 9))], kind=MessageKind.REQUEST, function=16)
    assert (found.source, found.target) == (MASTER, PLC)


@pytest.mark.parametrize(
    "measured",
    [
        level,
        lambda: np.random.default_rng(2).integers(0, 65536, READINGS),
        lambda: np.random.default_rng(3).integers(0, 4096, READINGS),  # a converter of twelve bits that hears nothing but noise
        lambda: np.round(np.random.default_rng(4).normal(2256, 100, READINGS)).astype(np.int64),
        lambda: np.arange(READINGS) * 31 % 8192,  # a counter of thirteen bits
        lambda: np.arange(READINGS) * 17 % 60,  # the seconds of a clock
        lambda: np.repeat(hidden(Digits(2, 6)), 2)[:READINGS],  # half as many are not enough
    ],
)
def test_what_a_plant_says_is_no_channel(measured: Callable[[], Numbers]) -> None:
    assert list(told([measured()])) == []


def test_a_word_above_the_edge_ends_the_suspicion() -> None:
    values = hidden(Digits(2, 6))
    assert carriers(values[:, None]) == {0: Digits(2, 6)}
    values[7] = 5399
    assert carriers(values[:, None]) == {}


def test_what_is_watched_is_bounded() -> None:
    detector = CovertChannel()
    for second in range(3):
        rows = [
            request(second, function=6, address=second * MAX_RANGES + i, quantity=1, value_octets=2, value_start=0)
            for i in range(MAX_RANGES)
        ]
        detector.score(window(second, rows, pool=b"\x12\x34"))
    assert len(detector._waiting) == MAX_RANGES
    assert detector._waiting_words == MAX_RANGES


def test_what_waits_is_no_part_of_what_was_learnt() -> None:
    detector = CovertChannel()
    detector.score(window(0, [answer(0, quantity=1, value_octets=2, value_start=0)], pool=b"\x12\x34"))
    assert detector._waiting_words == 1
    kept = freeze(detector)
    assert kept["tree"] == {}
    thaw(detector, kept)
    assert detector._waiting_words == 1
