from hypothesis import given
from hypothesis import strategies as st

from sentinel.baseline import gather as gather_module
from sentinel.baseline.gather import Gather
from sentinel.model.codec import to_arrow
from sentinel.model.observation import Heard
from sentinel.model.time import Instant
from sentinel.model.window import Window
from tests.observations import MASTER, STRANGER, at, flow, heard, messages, readings, request


def _content(windows: list[Window]) -> list[tuple[int, int, list[object]]]:
    return [
        (
            window.start,
            window.end,
            [
                window.messages.time.tolist(),
                window.messages.decoded("client"),
                [window.messages.pdu(row) for row in range(len(window.messages))],
                window.flows.time.tolist(),
                window.flows.decoded("source"),
            ],
        )
        for window in windows
    ]


@given(
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from([MASTER, STRANGER])), max_size=40),
    st.lists(st.floats(0, 22), max_size=8),
)
def test_any_batching_gives_the_same_windows(rows: list[tuple[float, str]], cuts: list[float]) -> None:
    rows = sorted(rows)
    edges = [*sorted(cuts), 30.0]
    pool = bytes(range(40))
    pieces, begin = [], 0.0
    for end in edges:
        part = [(index, row) for index, row in enumerate(rows) if begin <= row[0] < end]
        heard_part = Heard(
            source="sensor",
            until=Instant(at(end)),
            messages=messages(*[request(s, client=who, pdu_start=i, pdu_octets=1) for i, (s, who) in part], pool=pool),
            flows=heard(end, (), [flow(s, source=who) for _, (s, who) in part]).flows,
        )
        pieces.append(heard_part)
        begin = end
    whole, chunked = Gather("sensor"), Gather("sensor")
    at_once = messages(*[request(s, client=who, pdu_start=i, pdu_octets=1) for i, (s, who) in enumerate(rows)], pool=pool)
    everything = Heard(
        source="sensor", until=Instant(at(30)), messages=at_once, flows=heard(30, (), [flow(s, source=who) for s, who in rows]).flows
    )
    assert _content([w for piece in pieces for w in chunked.hear(piece)]) == _content(whole.hear(everything))
    assert chunked.late_rows == 0


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    gather = Gather("sensor")
    assert gather.hear(heard(1.9, [request(0.5), request(1.5)]))[0].start == at(0)
    assert gather.hear(heard(1.99)) == []
    assert [window.start for window in gather.hear(heard(2.0))] == [at(1)]
    assert gather.flush() == []


def test_an_edge_cuts_its_slot_in_two() -> None:
    gather = Gather("sensor", edge=Instant(at(1.25)))
    windows = gather.hear(heard(3, [request(1.2), request(1.3)]))
    assert [(window.start, window.end) for window in windows] == [(at(1), at(1.25)), (at(1.25), at(2))]


def test_late_rows_join_the_oldest_open_slot_and_are_counted() -> None:
    gather = Gather("sensor")
    gather.hear(heard(5, [request(4.5)]))
    windows = gather.hear(heard(7, [request(1.0), request(5.5)]))
    assert gather.late_rows == 1
    assert [len(window.messages) for window in windows] == [2]


def test_a_standing_watermark_does_not_fill_the_memory() -> None:
    limit, gather_module.MAX_HELD_ROWS = gather_module.MAX_HELD_ROWS, 10
    try:
        gather = Gather("sensor")
        windows = gather.hear(heard(0, [request(second) for second in range(15)]))
    finally:
        gather_module.MAX_HELD_ROWS = limit
    assert len(windows) == 5
    assert gather.early_windows == 5


def test_what_stays_open_does_not_keep_the_pools_of_closed_windows() -> None:
    gather = Gather("sensor")
    for second in range(50):
        rows = [request(second + 0.5, pdu_start=0, pdu_octets=100), request(second + 1.2, pdu_start=100, pdu_octets=100)]
        closed = gather.hear(Heard(source="sensor", until=Instant(at(second + 1)), messages=messages(*rows, pool=bytes(200))))
        assert all(len(to_arrow(window.messages)) < 20_000 for window in closed)


def test_readings_are_gathered_by_their_time_of_receipt() -> None:
    gather = Gather("poller")
    of_the_twin = readings((0.2, "LT101", 0.5)), readings((1.2, "LT101", 1.0))
    windows = gather.read(readings((0.2, "LT101", 1.0), (1.2, "LT101", 1.1)), Instant(at(2)), *of_the_twin)
    assert [len(window.readings) for window in windows] == [1, 1]
    assert [len(window.residuals) for window in windows] == [1, 0]
    assert [len(window.forecasts) for window in windows] == [0, 1]
    assert windows[0].source == "poller"
