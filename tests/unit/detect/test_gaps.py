"""Conduits of which the sensor misses octets."""

from typing import Any

from sentinel.detect.gaps import MIN_GAPS, WITHIN_NS, Gaps
from sentinel.model.observation import SLOT_NS
from sentinel.model.protocol import Defect, Protocol
from tests.observations import MASTER, PLC, flow, window


def hole(second: int, **more: Any) -> dict[str, Any]:
    return flow(second, frame=second + 1, **({"defect": Defect.STREAM_GAP, "protocol": Protocol.MODBUS} | more))


def test_a_mirror_port_that_loses_packets_is_told() -> None:
    detector = Gaps()
    said = [list(detector.score(window(second, flow_rows=[hole(second)]))) for second in range(MIN_GAPS)]
    assert said[:-1] == [[]] * (MIN_GAPS - 1)
    (found,) = said[-1]
    assert (found.source, found.target, found.frames) == (MASTER, PLC, (MIN_GAPS,))
    assert "port 502" in found.title


def test_both_directions_are_one_conduit() -> None:
    rows = [hole(0), *(hole(0, source=PLC, target=MASTER, from_client=0) for _ in range(MIN_GAPS - 1))]
    assert len(Gaps().score(window(0, flow_rows=rows))) == 1


def test_a_hole_now_and_then_and_what_is_not_industrial_is_no_news() -> None:
    detector, rare = Gaps(), WITHIN_NS // SLOT_NS // (MIN_GAPS - 1)
    assert [found for second in range(0, 20 * rare, rare) for found in detector.score(window(second, flow_rows=[hole(second)]))] == []
    for second in range(9):
        rows = [hole(second, protocol=Protocol.UNKNOWN), hole(second, defect=Defect.TRUNCATED, port=503)]
        assert list(detector.score(window(second, flow_rows=rows))) == []
