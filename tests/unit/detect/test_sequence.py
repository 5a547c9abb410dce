"""Frames of every kind that white lists and rhythm let pass, out of their place; and what is no such thing."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect import sequence
from sentinel.detect.automaton import MAX_SYMBOLS
from sentinel.detect.memory import freeze, thaw
from sentinel.detect.sequence import RequestOrder
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Messages
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Defect, Protocol, Topic
from sentinel.model.time import Instant
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, STRANGER, at, details, flow, request, window

READ, COIL, REGISTER = (3, 0, 4), (5, 7, 1), (6, 9, 1)  # function, address, quantity
LEVEL, STATE = (4, 20, 2), (1, 0, 8)
CYCLE = (STATE, READ, LEVEL)
LEARN_S = 300


def _second(second: int, asked: Sequence[tuple[int, int, int]], flow_rows: Sequence[dict[str, Any]] = (), **more: Any) -> Window:
    rows = [
        request(second + 0.1 + 0.05 * place, function=function, address=address, quantity=quantity, frame=100 * second + place + 1, **more)
        for place, (function, address, quantity) in enumerate(asked)
    ]
    return window(second, rows, flow_rows)


def _life(seconds: Iterable[int]) -> Iterator[Window]:
    """A cycle a second; every third second the client selects an output and operates it, a second later; now and then an operator acts."""
    for second in seconds:
        more = [[COIL], [REGISTER], []][second % 3]
        operator = [(6, 40, 1)] if second % 41 == 0 else []
        yield _second(second, [*operator, STATE, READ, *more, LEVEL])


def _learnt() -> RequestOrder:
    detector = RequestOrder()
    for lived in _life(range(LEARN_S)):
        detector.learn(lived)
    detector.activate()
    return detector


@pytest.fixture(scope="module")
def rest() -> bytes:
    return to_octets(Baseline(detectors={"sequence": _learnt().state()}))


@pytest.fixture
def judge(rest: bytes) -> RequestOrder:
    detector = RequestOrder()
    detector.restore(from_octets(rest).detectors["sequence"])
    return detector


def _said(detector: RequestOrder, windows: Iterable[Window]) -> list[Detection]:
    return [found for lived in windows for found in detector.score(lived)]


def test_ordinary_life_is_silent_wherever_the_capture_begins(judge: RequestOrder) -> None:
    assert _said(judge, [_second(1000, [LEVEL, STATE, READ, LEVEL]), *_life(range(1002, 1600))]) == []


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ([STATE, LEVEL], "read holding registers (3) at 0 to 3"),
        ([STATE, READ, STATE, READ, LEVEL], "read input registers (4) at 20 to 21"),
        ([STATE, LEVEL, READ], "read holding registers (3) at 0 to 3"),
        ([STATE, READ, LEVEL, LEVEL], "read holding registers (3) at 0 to 3"),
    ],
    ids=["left_out", "part_played_again", "swapped", "put_in"],
)
def test_a_step_out_of_its_place_is_told(judge: RequestOrder, asked: list[tuple[int, int, int]], missing: str) -> None:
    assert _said(judge, _life(range(1002, 1010))) == []
    found = _said(judge, [_second(1010, asked), *_life(range(1011, 1040))])
    assert found
    assert {(one.cause, one.feature, one.severity) for one in found} == {(f"rhythm:{MASTER}", "request out of order", Severity.LOW)}
    assert f"{missing} did not come first" in found[0].title
    assert found[0].score > found[0].threshold
    assert found[0].seen // 10**9 == 1_700_001_010
    assert 101_000 < found[0].frame <= 101_010
    assert "times in a row" in found[0].expected


def test_an_operation_that_was_not_selected_is_a_command_without_its_cause(judge: RequestOrder) -> None:
    """Selected at 1002 and operated at 1003, as ever; at 1004 operated once more."""
    assert _said(judge, _life(range(1002, 1004))) == []
    (found,) = _said(judge, [_second(1004, [STATE, READ, REGISTER, LEVEL])])
    assert (found.feature, found.cause, found.severity) == ("command out of order", f"actor:{MASTER}", Severity.MEDIUM)
    assert found.techniques == ("T1692.001",)
    assert "write single register (6) at 9" in found.title
    assert "write single coil (5) at 7 did not come first" in found.title
    assert "straight after read holding registers (3) at 0 to 3" in found.why


def test_an_operator_who_acts_at_any_time_is_no_news(judge: RequestOrder) -> None:
    odd = [_second(1020 + 3 * n, [(6, 40, 1), STATE, (6, 40, 1), READ, COIL, LEVEL, (6, 40, 1)]) for n in range(2)]
    assert _said(judge, [*_life(range(1002, 1020)), odd[0], *_life([1021, 1022]), odd[1], *_life(range(1024, 1060))]) == []


def test_nothing_is_said_across_octets_that_were_missed(judge: RequestOrder) -> None:
    missed = [flow(1010.2, defect=Defect.STREAM_GAP)]
    assert _said(judge, [*_life(range(1002, 1010)), _second(1010, [STATE, LEVEL], missed), *_life(range(1011, 1040))]) == []


def test_an_order_is_learnt_in_spite_of_octets_that_are_missed() -> None:
    """A step every half minute, with the hole that it left."""
    detector, missed = RequestOrder(), [flow(0.2, defect=Defect.STREAM_GAP)]
    for second in range(300):
        detector.learn(_second(second, [STATE, LEVEL], missed) if second % 30 == 20 else _second(second, CYCLE))
    detector.activate()
    assert [(rule[-1], rule[3] >= 200) for rule in detector.state()["rules"]] == [(True, True)] * 3
    assert {limit for *_, limit, _ in detector.state()["channels"]} == {0.0}


def test_a_client_that_was_away_may_begin_anew(judge: RequestOrder) -> None:
    broken_off = [*_life(range(1002, 1010)), _second(1010, [STATE, READ])]
    assert _said(judge, [*broken_off, *_life(range(1020, 1040)), _second(1040, [STATE, READ])]) == []
    assert _said(judge, _life([1041])), "but not one that goes on"


def test_a_copy_that_contradicts_is_nobodys_request(judge: RequestOrder) -> None:
    copied = _second(1010, [STATE, READ, READ, LEVEL])
    defects = copied.messages.defect.copy()
    defects[2] = Defect.CONTRADICTING_COPY
    again = Window(source=copied.source, start=copied.start, end=copied.end, messages=copied.messages.take(slice(None)))
    again.messages.defect[:] = defects
    assert _said(judge, [*_life(range(1002, 1010)), again, *_life(range(1011, 1020))]) == []


def test_two_sensors_that_hear_the_same_do_not_disturb_each_other(judge: RequestOrder) -> None:
    def twice() -> Iterator[Window]:
        for lived in _life(range(1002, 1040)):
            yield lived
            yield Window(source="other", start=lived.start, end=lived.end, messages=lived.messages)

    assert _said(judge, twice()) == []


def test_where_the_order_broke_while_it_was_learnt_one_more_is_no_news() -> None:
    """A client that leaves out a step every half minute, after the order had seemed sure."""
    detector = RequestOrder()
    for second in range(900):
        detector.learn(_second(second, [STATE, LEVEL] if second > 300 and second % 30 == 0 else CYCLE))
    detector.activate()
    assert _said(detector, (_second(s, [STATE, LEVEL] if s % 30 == 0 else CYCLE) for s in range(1000, 1300))) == []


def test_learning_goes_on_after_a_restart() -> None:
    whole, first, second = RequestOrder(), RequestOrder(), RequestOrder()
    lived = list(_life(range(LEARN_S)))
    for each in lived:
        whole.learn(each)
    for each in lived[:170]:
        first.learn(each)
    kept = from_octets(to_octets(Baseline(detectors={"sequence": freeze(first)}))).detectors["sequence"]
    thaw(second, kept)
    for each in lived[170:]:
        second.learn(each)
    whole.activate()
    second.activate()
    assert second.state() == whole.state()
    assert len(whole.state()["rules"]) == 5


@pytest.mark.parametrize(("seconds", "found"), [(58, 0), (70, 3)])
def test_less_than_a_minute_makes_no_order(seconds: int, found: int) -> None:
    detector = RequestOrder()
    for second in range(seconds):
        detector.learn(_second(second, CYCLE))
    detector.activate()
    assert len(detector.state()["rules"]) == found


def test_beyond_so_many_requests_a_second_channels_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients, six requests a second, of which four are learnt: each has every other minute."""
    monkeypatch.setattr(sequence, "BUFFERED", 4)
    detector = RequestOrder()
    for second in range(400):
        asked = [_second(second, CYCLE, client=client).messages for client in (MASTER, STRANGER)]
        detector.learn(Window(source="sensor", start=Instant(at(second)), end=Instant(at(second + 1)), messages=Messages.concat(asked)))
    heard = [one.automaton.heard for one in detector._learning.values()]
    assert sum(heard) <= 400 * 3
    assert min(heard) > 100 * 3
    detector.activate()
    assert len(detector.state()["channels"]) == 2
    assert {limit for *_, limit, _ in detector.state()["channels"]} == {0.0}


def test_a_flood_of_requests_and_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "MAX_CHANNELS", 50)
    detector = RequestOrder()
    detector.learn(window(0, [request(0.1, function=3, address=number) for number in range(500)]))
    detector.learn(window(1, [request(1.1, client=f"10.1.{number // 200}.{number % 200}") for number in range(200)]))
    assert detector.set_apart == 500 - MAX_SYMBOLS + 200 - 49
    assert len(detector._learning) == 50
    detector.activate()


def test_a_baseline_whose_rules_have_no_channel_is_refused() -> None:
    state = dict(_learnt().state())
    with pytest.raises(ValueError, match="channel"):
        RequestOrder().restore({**state, "channels": []})


WRITE, CALL, BROWSE = SERVICES["Write"][0], SERVICES["Call"][0], SERVICES["Browse"][0]


def _session(second: int, asked: Sequence[tuple[int, str]]) -> Window:
    """OPC UA requests with the node that each writes or calls."""
    rows, told = [], []
    for place, (function, node) in enumerate(asked):
        row = request(
            second + 0.1 * (place + 1),
            protocol=Protocol.OPCUA,
            port=4840,
            function=function,
            unit=-1,
            address=-1,
            quantity=-1,
            transaction=place,
        )
        rows.append(row)
        if node:
            topic = Topic.VALUE_WRITTEN if function == WRITE else Topic.METHOD_CALLED
            told.append(
                {
                    **{name: row[name] for name in ("time", "transaction", "client", "server", "port", "protocol", "function")},
                    "topic": topic,
                    "subject": node,
                }
            )
    return window(second, rows, details=details(*told))


def test_a_node_is_written_before_its_permissive() -> None:
    """The same service thrice: what is written makes the order."""
    usual = [(BROWSE, ""), (WRITE, "ns=2;s=Permissive"), (WRITE, "ns=2;s=Start"), (CALL, "ns=2;s=Reset")]
    detector = RequestOrder()
    for second in range(100):
        detector.learn(_session(second, usual))
    detector.activate()
    assert _said(detector, (_session(second, usual) for second in range(200, 300))) == []
    (found,) = _said(detector, [_session(300, [usual[0], *usual[2:]])])
    assert "Write (673) of ns=2;s=Start" in found.title
    assert "Write (673) of ns=2;s=Permissive did not come first" in found.title
    assert (found.source, found.target, found.severity) == (MASTER, PLC, Severity.MEDIUM)


def test_what_cannot_be_read_and_how_sessions_begin_has_no_order() -> None:
    detector = RequestOrder()
    opening = [(-1, ""), (SERVICES["CreateSession"][0], ""), (SERVICES["ActivateSession"][0], "")]
    for second in range(100):
        detector.learn(_session(second, opening))
    detector.activate()
    assert detector.state() == {"channels": [], "rules": []}


def test_a_message_in_chunks_is_one_request() -> None:
    """However many chunks it takes."""
    detector = RequestOrder()
    for second in range(100):
        detector.learn(_session(second, [(BROWSE, ""), (CALL, "")]))
    detector.activate()
    rows = [
        request(300.1 + 0.1 * place, protocol=Protocol.OPCUA, port=4840, function=function, unit=-1, address=-1, quantity=-1, **chunk)
        for place, (function, chunk) in enumerate(
            [
                (BROWSE, {"pdu_start": 0, "pdu_octets": 4}),
                (BROWSE, {"pdu_start": 0, "pdu_octets": 4}),
                (BROWSE, {"pdu_start": 4, "pdu_octets": 4}),
                (CALL, {"pdu_start": 4, "pdu_octets": 4}),
            ]
        )
    ]
    lived = [_session(299, [(BROWSE, ""), (CALL, "")]), window(300, rows, pool=b"MSGCMSGF"), _session(301, [(BROWSE, ""), (CALL, "")])]
    assert _said(detector, lived) == []
    assert _said(detector, [_session(302, [(BROWSE, ""), (BROWSE, "")])])


def test_a_stranger_has_no_order_and_is_others_business(judge: RequestOrder) -> None:
    assert _said(judge, [_second(1000, [REGISTER, REGISTER, READ], client=STRANGER)]) == []
