from sentinel.detect.novelty import Novelty
from sentinel.detect.operations import OperationBook, Spans
from sentinel.model.detection import Detection, Severity
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, STRANGER, flow, mac_of, polling, request, window

OTHER_PLC = "10.0.0.11"


def _learnt(*more: Window) -> Novelty:
    novelty = Novelty()
    for second in range(10):
        novelty.learn(polling(second))
    for each in more:
        novelty.learn(each)
    novelty.activate()
    return novelty


def _one(novelty: Novelty, window_: Window) -> Detection:
    (found,) = novelty.score(window_)
    return found


def test_nothing_is_new_before_there_is_a_baseline() -> None:
    assert Novelty().score(window(0, [request(0, client=STRANGER, function=6)], [flow(0, source=STRANGER)])) == ()


def test_a_stranger_who_reads_is_grave_and_one_who_writes_graver() -> None:
    read = _one(_learnt(), window(20, [request(20.1, client=STRANGER, frame=9)]))
    write = _one(_learnt(), window(20, [request(20.1, client=STRANGER, function=16, frame=9)]))
    assert (read.severity, write.severity) == (Severity.HIGH, Severity.CRITICAL)
    assert read.cause == write.cause == f"actor:{STRANGER}"
    assert (read.frame, read.frames, read.target) == (9, (9,), PLC)
    assert "T1692.001" in write.techniques
    assert f"only {MASTER} spoke to {PLC}" in write.expected


def test_a_new_connection_alone_is_less_than_one_that_carries_commands() -> None:
    knock = _one(_learnt(), window(20, flow_rows=[flow(20, source=STRANGER, octets=0, tcp_flags=2)]))
    speak = _one(_learnt(), window(20, flow_rows=[flow(20, source=STRANGER)]))
    assert (knock.severity, speak.severity) == (Severity.MEDIUM, Severity.HIGH)


def test_a_known_server_that_becomes_a_master_is_told() -> None:
    found = _one(_learnt(), window(20, flow_rows=[flow(20, source=PLC, target=OTHER_PLC)]))
    assert (found.severity, found.cause, found.feature) == (Severity.HIGH, f"actor:{PLC}", "turned client")
    assert "it only answered others" in found.expected
    assert _one(_learnt(), window(20, flow_rows=[flow(20, target=OTHER_PLC)])).feature == "conversation"  # who asks one asks another


def test_what_a_client_does_to_its_other_servers_is_no_news() -> None:
    other = window(10, [request(10, server=OTHER_PLC, address=50, quantity=2)], [flow(10, target=OTHER_PLC)])
    novelty = _learnt(other)
    assert novelty.score(window(20, [request(20, address=50, quantity=2)])) == []


def test_a_write_to_polled_addresses_by_their_client_is_a_small_habit() -> None:
    polled = _one(_learnt(), window(20, [request(20, function=6, address=2, quantity=1)]))
    elsewhere = _one(_learnt(), window(20, [request(20, function=6, address=900, quantity=1)]))
    assert (polled.severity, elsewhere.severity) == (Severity.LOW, Severity.MEDIUM)
    assert polled.cause == elsewhere.cause == f"habit:{MASTER}"


def test_many_new_habits_are_no_longer_small() -> None:
    novelty = _learnt()
    found = [_one(novelty, window(20 + i, [request(20 + i, address=100 + 10 * i, quantity=1)])) for i in range(25)]
    assert found[0].severity is Severity.LOW
    assert found[-1].severity is Severity.MEDIUM


def test_known_assets_may_greet_everybody_and_strangers_are_introduced() -> None:
    everybody = {"target": "10.0.0.255", "target_mac": "ff:ff:ff:ff:ff:ff", "port": 138}
    assert _learnt().score(window(20, flow_rows=[flow(20, source=PLC, **everybody)])) == []
    found = _one(_learnt(), window(20, flow_rows=[flow(20, source=STRANGER, **everybody)]))
    assert (found.severity, found.target) == (Severity.LOW, None)
    another_address = flow(20, source="fe80::1", source_mac=mac_of(PLC), **everybody)
    assert _learnt().score(window(20, flow_rows=[another_address])) == []


def test_one_who_tries_many_servers_is_one_actor_and_visits_are_apart() -> None:
    many = [flow(20, source=PLC, target=f"10.0.0.{i}", port=445) for i in range(30, 36)]
    few = [flow(20, source=PLC, target=MASTER, port=445), flow(20, source=PLC, target="10.0.0.31", port=445)]
    assert [found.cause for found in _learnt().score(window(20, flow_rows=many))] == [f"actor:{PLC}"]
    assert {found.cause for found in _learnt().score(window(20, flow_rows=few))} == {f"contact:{PLC}>{MASTER}", f"contact:{PLC}>10.0.0.31"}


def test_negotiated_ports_of_a_pair_are_one_service() -> None:
    data = [window(10 + i, flow_rows=[flow(10 + i, target=OTHER_PLC, port=40_000 + i)]) for i in range(4)]
    assert _learnt(*data).score(window(20, flow_rows=[flow(20, target=OTHER_PLC, port=41_000)])) == []


def test_spans_join_and_stay_bounded() -> None:
    spans = Spans()
    for low in (10, 0, 5):
        spans.add(low, low + 4)
    assert spans.spans == [(0, 14)]
    assert spans.cover(3, 12)
    for low in range(0, 4000, 10):
        spans.add(low, low)
    assert len(spans.spans) <= 256
    assert spans.cover(3990, 3990)


def test_a_book_of_operations_comes_back_from_its_rows() -> None:
    book = OperationBook()
    book.add((MASTER, PLC, 1, 1, 3, -1), (0, 9))
    again = OperationBook(book.rows())
    assert again.knows((MASTER, PLC, 1, 1, 3, -1), (4, 5))
    assert not again.knows((MASTER, PLC, 1, 1, 3, -1), (8, 12))
    assert again.touches((MASTER, PLC, 1, 1, 6, -1), (4, 4))
