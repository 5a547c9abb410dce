import pytest

from sentinel.detect.protocol import MIN_EXCEPTIONS, ProtocolChecks
from sentinel.detect.scans import MIN_ARP_TARGETS, MIN_STEPS, MIN_TARGETS, MIN_UNITS, Scans
from sentinel.model.protocol import Defect, FlowKind, MessageKind
from tests.observations import MASTER, PLC, STRANGER, answer, flow, request, window


def test_a_port_scan_is_many_services_in_little_time() -> None:
    rows = [flow(0, source=STRANGER, port=port, tcp_flags=2, octets=0, frame=port) for port in range(1, MIN_TARGETS + 1)]
    (found,) = Scans().score(window(0, flow_rows=rows))
    assert (found.cause, found.score, found.frame) == (f"actor:{STRANGER}", MIN_TARGETS, 1)
    assert Scans().score(window(0, flow_rows=rows[1:])) == []


def test_services_tried_over_minutes_are_no_scan() -> None:
    scans = Scans()
    for second in range(0, 300, 10):
        row = flow(second, source=MASTER, port=second + 1, tcp_flags=2, octets=0)
        assert scans.score(window(second, flow_rows=[row])) == []


def test_an_arp_scan_asks_for_many() -> None:
    rows = [flow(0, source=STRANGER, target=f"10.0.1.{i}", kind=FlowKind.ARP_REQUEST, port=-1) for i in range(MIN_ARP_TARGETS)]
    (found,) = Scans().score(window(0, flow_rows=rows))
    assert found.techniques == ("T0846", "T0846.002")


def test_a_unit_scan_tries_many_units() -> None:
    (found,) = Scans().score(window(0, [request(0.01 * unit, unit=unit) for unit in range(MIN_UNITS)]))
    assert found.feature == "unit scan"


@pytest.mark.parametrize(("step", "quantity", "found"), [(1, 1, True), (10, 10, False), (0, 1, False)])
def test_a_walk_through_addresses_goes_step_by_step(step: int, quantity: int, found: bool) -> None:
    rows = [request(0.01 * i, address=i * step, quantity=quantity) for i in range(MIN_STEPS + 1)]
    assert bool(Scans().score(window(0, rows))) is found


def test_what_was_usual_while_learning_is_no_scan() -> None:
    scans = Scans()
    rows = [request(0.01 * unit, unit=unit) for unit in range(MIN_UNITS)]
    scans.learn(window(0, rows))
    scans.activate()
    assert scans.score(window(50, [request(50 + 0.01 * unit, unit=unit) for unit in range(MIN_UNITS)])) == []


def test_a_walk_downwards_is_a_walk_and_to_and_fro_is_none() -> None:
    down = [request(0.01 * i, address=500 - i, quantity=1, frame=i + 1) for i in range(MIN_STEPS)]
    assert [found.feature.partition(":")[0] for found in Scans().score(window(0, down))] == ["address scan"]
    scans = Scans()
    for second in range(2 * MIN_STEPS):
        assert scans.score(window(second, [request(second, address=500 + second % 2, quantity=1)])) == []


def test_malformed_messages_blame_their_sender() -> None:
    (one,) = ProtocolChecks().score(window(0, [answer(0, defect=Defect.BAD_LENGTH, frame=3)]))
    assert (one.source, one.target, one.cause, one.frames) == (PLC, MASTER, f"protocol:{PLC}", (3,))


@pytest.mark.parametrize("defect", [Defect.TRUNCATED, Defect.STREAM_GAP, Defect.UNSOLICITED])
def test_what_the_sensor_missed_is_nobodys_fault(defect: Defect) -> None:
    assert ProtocolChecks().score(window(0, [answer(0, defect=defect)])) == []


def test_a_storm_of_exceptions_needs_number_and_share() -> None:
    refused = [answer(0.01 * i, client=STRANGER, kind=MessageKind.EXCEPTION, exception=2, frame=i + 1) for i in range(MIN_EXCEPTIONS)]
    served = [answer(0.5 + 0.01 * i, client=STRANGER) for i in range(MIN_EXCEPTIONS)]
    (found,) = ProtocolChecks().score(window(0, refused))
    assert (found.score, found.threshold, found.source) == (MIN_EXCEPTIONS, MIN_EXCEPTIONS, STRANGER)
    assert ProtocolChecks().score(window(0, [*refused, *served])) == []
    assert ProtocolChecks().score(window(0, refused[1:])) == []
