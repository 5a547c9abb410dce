"""Packets in which devices tell what they are, among others: where they come does not depend on batches, and a flood costs little."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.capture.announcements import MAX_PER_SECOND
from collectors.capture.replay import replay
from collectors.capture.sensor import Sensor
from sentinel.model.observation import Details
from tests.data import data_file
from tests.unit.collectors.capture.frames import Talk, batch_of, ethernet, ip4, read, registers, tcp, udp
from tests.unit.collectors.wire.test_announced import i_am, identity

Row = tuple[int, str | None, str | None, str | None]


def told(details: Details) -> list[Row]:
    return list(zip(details.frame.tolist(), details.decoded("server"), details.decoded("client"), details.decoded("text"), strict=True))


def mixture() -> list[bytes]:
    talk, out = Talk(), list[bytes]()
    for number in range(20):
        talk.ask(read(number))
        talk.answer(registers(number))
        out += talk.packets
        talk.packets.clear()
        out.append(ethernet(ip4(udp(identity(b"device %d" % number), 44818, 50000), "10.0.0.7", "10.0.0.1", 17)))
    out.append(ethernet(ip4(udp(i_am(), 47808, 47808), "10.0.0.8", "10.0.0.255", 17)))
    out.append(ethernet(ip4(tcp(identity(b"over TCP"), 44818, 50001, 1, 1, 0x18), "10.0.0.9", "10.0.0.1")))
    return out


@settings(max_examples=20)
@given(st.lists(st.integers(0, 60), max_size=8))
def test_any_batching_gives_the_same_rows(cuts: list[int]) -> None:
    batch = batch_of(mixture())
    sensor = Sensor("test", seed=7)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(batch)), len(batch)]
    rows = [row for a, b in pairwise(edges) for row in told(sensor.feed(batch.slice(a, b)).details)]
    whole = told(Sensor("test", seed=7).feed(batch).details)
    assert rows == whole
    assert [text for _, server, _, text in whole if server == "10.0.0.8"] == ["device 1234", "Schneider Electric"]
    assert len(whole) == 20 * 4 + 2 + 4


def test_a_flood_is_read_in_part_and_the_rest_counted() -> None:
    flood = [ethernet(ip4(udp(identity(), 44818, 50000), f"10.0.{i // 250}.{i % 250}", "10.0.0.1", 17)) for i in range(500)]
    sensor = Sensor("test", seed=7)
    details = sensor.feed(batch_of(flood, step=1000)).details
    assert len(details) == 4 * MAX_PER_SECOND
    assert sensor.counts["announcements_passed_over"] == 500 - MAX_PER_SECOND


@pytest.mark.data
def test_real_devices_say_who_they_are() -> None:
    """As tshark reads the same frames."""
    heard = [heard.details for heard in replay(data_file("network/enip-cl5000/suricata-verify_enip_cip_example.pcap"))]
    said = [row for details in heard for row in told(details) if row[0] == 372]
    assert [text for *_, text in said] == ["Rockwell Automation/Allen-Bradley", "1756-ENBT/A", "4.003", "00524d8e"]
    heard = [heard.details for heard in replay(data_file("network/protocol-id-ndpi/bacnet.pcap"))]
    assert {text for details in heard for *_, text in told(details)} >= {"device 0", "BACnet vendor 260"}
