"""What uses up a server, and who tries out its outputs: the limits, what is usual, and what the octets of a request say."""

import struct
from dataclasses import replace

import pytest

from sentinel.detect.brute_force import MIN_POINTS, MIN_TURNS, BruteForce
from sentinel.detect.exhaustion import FLOODS, MAX_UNANSWERED, Exhaustion, stamped
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import MessageKind, Protocol
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, messages, request, window

_HEADER = b"MSGF" + struct.pack("<5I", 100, 7, 9, 1, 1) + b"\x01\x00" + struct.pack("<H", SERVICES["CloseSession"][0])
_TICKS = 116_444_736_000_000_000 + 17_000_000_000_000_000  # 1_700_000_000 s after 1970


def asks(second: int, service: str, count: int, **more: object) -> list[dict[str, object]]:
    what = {"protocol": Protocol.OPCUA, "port": 4840, "function": SERVICES[service][0], "address": -1, "quantity": -1, "unit": -1, **more}
    return [request(second + 0.001 * i, frame=i + 1, pdu_octets=8, **what) for i in range(count)]


def padded(second: int, rows: list[dict[str, object]]) -> Window:
    """The rows with the head of a whole message in the pool."""
    plain = window(second, rows)
    messages = type(plain.messages).of(
        names=plain.messages.names,
        pool=b"MSGF\x64\x00\x00\x00",
        **{name: getattr(plain.messages, name) for name in plain.messages.dtypes()},
    )
    return replace(plain, messages=messages)


@pytest.mark.parametrize(("feature", "service"), [("session flood", "CreateSession"), ("method call flood", "Call")])
def test_a_flood_begins_above_its_limit(feature: str, service: str) -> None:
    limit = FLOODS[feature][1]
    assert Exhaustion().score(padded(0, asks(0, service, limit))) == []
    (found,) = Exhaustion().score(padded(0, asks(0, service, limit + 1)))
    assert (found.feature, found.score, found.threshold, found.source, found.target) == (feature, limit + 1, limit, MASTER, PLC)


def test_what_is_usual_while_learning_stays_quiet() -> None:
    detector, many = Exhaustion(), FLOODS["session flood"][1] + 10
    detector.learn(padded(0, asks(0, "CreateSession", many)))
    detector.activate()
    assert detector.score(padded(20, asks(20, "CreateSession", many))) == []


def test_a_sensor_that_hears_one_direction_finds_nobody_starving() -> None:
    many = asks(0, "Write", MAX_UNANSWERED + 20)
    assert Exhaustion().score(padded(0, many)) == []
    reply = asks(0, "Write", 1, kind=MessageKind.RESPONSE)[0] | {"function": SERVICES["Write"][1]}
    assert [found.feature for found in Exhaustion().score(padded(0, [reply, *many]))] == ["unanswered requests"]


@pytest.mark.parametrize(
    "token", [b"\x00\x00", b"\x01\x00\x05\x00", b"\x02\x00\x00" + bytes(4), b"\x04\x00\x00" + bytes(16), b"\x05\x00\x00\x03\x00\x00\x00abc"]
)
def test_the_time_of_a_request_is_read_behind_any_token(token: bytes) -> None:
    whole = _HEADER + token + struct.pack("<q", _TICKS) + bytes(12)
    assert stamped(whole) == 1_700_000_000 * 10**9
    assert all(stamped(whole[:size]) is None for size in range(len(_HEADER) + len(token) + 8))


@pytest.mark.parametrize("token", [b"\x03\x00\x00\xff\xff\xff\x7f", b"\x77", b"\x05\x00\x00\xff\xff\xff\xff"])
def test_octets_that_carry_no_time_give_none_or_a_number(token: bytes) -> None:
    assert stamped(_HEADER + token) is None


def writes(second: int, points: list[int]) -> list[dict[str, object]]:
    return [request(second + 0.001 * i, frame=i + 1, function=6, address=point, quantity=1) for i, point in enumerate(points)]


def test_point_after_point_is_a_sweep_and_known_points_are_work() -> None:
    detector = BruteForce()
    detector.learn(window(0, writes(0, list(range(20)))))
    detector.activate()
    assert detector.score(window(1, writes(1, list(range(20))))) == []
    assert detector.score(window(2, writes(2, list(range(50, 50 + MIN_POINTS - 1))))) == []
    (found,) = detector.score(window(3, writes(3, [70])))
    assert (found.feature, found.score, found.techniques) == ("write sweep", MIN_POINTS, ("T0806",))
    assert detector.score(window(90, writes(90, [71]))) == [], "a minute later it begins anew"


def test_one_point_turned_over_and_over_is_told() -> None:
    detector = BruteForce()
    detector.activate()
    rows = [row | {"value_octets": 1, "value_start": i % 2} for i, row in enumerate(writes(0, [5] * (MIN_TURNS + 1)))]
    found = detector.score(replace(window(0), messages=messages(*rows, pool=b"\x00\x01")))
    assert [(one.feature, one.score) for one in found] == [("write repetition", MIN_TURNS)]
