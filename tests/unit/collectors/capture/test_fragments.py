"""IP fragments: one datagram from its parts in any order, and what lies, contradicts or never ends."""

import struct
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.capture.fragments import MAX_A_SECOND, MAX_DATAGRAMS, MAX_PARTS, WAIT_NS
from collectors.capture.packets import PacketBatch
from collectors.capture.sensor import Sensor
from sentinel.model.protocol import Defect, FlowKind
from tests.unit.collectors.capture.frames import ACK, PSH, START, batch_of, ethernet, hear, ip4, ip6, read, rows_of, tcp, udp

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"
READS = b"".join(read(i) for i in range(1, 9))
SEGMENT = tcp(READS, 40000, 502, 1, 1, PSH | ACK)
CUTS = (0, 24, 72, len(SEGMENT))


def part(version: int, start: int, end: int, body: bytes = SEGMENT, *, is_last: bool | None = None, name: int = 1, proto: int = 6) -> bytes:
    """Octets ``start`` to ``end`` of a datagram, as a frame."""
    more = start + len(body[start:end]) < len(body) if is_last is None else not is_last
    if version == 4:
        packet = bytearray(ip4(body[start:end], A4, B4, proto, flags=start // 8 | more << 13))
        packet[4:6] = name.to_bytes(2, "big")
        return ethernet(bytes(packet))
    return ethernet(ip6(struct.pack(">BBHI", proto, 0, start | more, name) + body[start:end], A6, B6, 44), 0x86DD)


def parts(version: int) -> list[bytes]:
    return [part(version, a, b) for a, b in pairwise(CUTS)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_one_datagram_from_parts_in_any_order(version: int, order: tuple[int, ...]) -> None:
    frames = parts(version)
    messages, flows, sensor = hear(batch_of([frames[i] for i in order]))
    assert [messages.pdu(i) for i in range(len(messages))] == [read(i)[7:] for i in range(1, 9)]
    assert set(messages.frame.tolist()) == {3}
    rows = rows_of(flows)
    assert [(row["kind"], row["port"], row["packets"], row["defect"], row["frame"]) for row in rows] == [
        (FlowKind.OTHER_IP, 6, 2, Defect.FRAGMENT, 1),
        (FlowKind.TCP, 502, 1, Defect.NONE, 3),
    ]
    assert (rows[1]["octets"], rows[1]["source_mac"]) == (len(READS), "02:00:00:00:00:01")
    assert (sensor.counts["datagrams_joined"], sensor.counts["datagrams_unfinished"]) == (1, 0)


@given(st.sets(st.integers(1, 6), max_size=3), st.integers(0, 3), st.sampled_from([4, 6]))
def test_rows_do_not_depend_on_batches(cuts: set[int], before: int, version: int) -> None:
    plain = [ethernet(ip4(udp(bytes([i]) * 30, 9, 10 + i), A4, B4, 17)) for i in range(4)]
    packets = [*plain[:before], *parts(version), *plain[before:]]
    whole, pieces = hear(batch_of(packets)), hear(batch_of(packets), cuts)
    assert len(whole[0]) == 8
    assert (rows_of(whole[0]), rows_of(whole[1])) == (rows_of(pieces[0]), rows_of(pieces[1]))


def test_a_datagram_over_udp_and_the_packets_around_it_keep_their_octets() -> None:
    body = udp(b"\x81\x0b\x00\x28\x01\x20\xff\xff" + bytes(32), 47808, 47808)
    around = ethernet(ip4(tcp(read(7), 40001, 502, 1, 1, PSH | ACK), A4, B4))
    messages, flows, _ = hear(batch_of([around, part(4, 0, 16, body, proto=17), part(4, 16, 99, body, proto=17), around]))
    assert [messages.pdu(i) for i in range(len(messages))] == [read(7)[7:]]
    assert [(row["kind"], row["octets"]) for row in rows_of(flows) if row["port"] == 47808] == [(FlowKind.UDP, 40)]


def test_the_same_part_twice_is_no_contradiction() -> None:
    first, second, third = parts(4)
    messages, _, sensor = hear(batch_of([first, first, second, third]))
    assert (len(messages), sensor.counts["fragments_contradicting"]) == (8, 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("forged_at", [1, 2])
def test_what_came_first_wins_and_the_contradiction_is_evidence(version: int, forged_at: int) -> None:
    forged = SEGMENT[:24] + bytes(len(SEGMENT) - 24)
    frames = parts(version)
    frames = [*frames[:2], part(version, 24, 72, forged), frames[2]] if forged_at == 1 else [*frames[:2], part(version, 64, 999, forged)]
    messages, flows, sensor = hear(batch_of(frames))
    heard = [messages.pdu(i) for i in range(len(messages))]
    assert heard[:4] == [read(i)[7:] for i in range(1, 5)]
    assert Defect.CONTRADICTING_COPY in flows.defect.tolist()
    assert (sensor.counts["fragments_contradicting"], sensor.counts["datagrams_joined"]) == (1, 1)


LIES = {
    "beyond a datagram": part(4, 0, 64, is_last=False)[:20] + b"\x3f\xff" + part(4, 0, 64, is_last=False)[22:],
    "no multiple of eight": part(4, 0, 61, is_last=False),
    "behind its own end": part(4, 96, 112, is_last=False),
    "another end": part(4, 64, 88, is_last=True),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_part_is_refused_and_the_datagram_is_still_read(lie: str) -> None:
    first, second, third = parts(4)
    last = part(4, 72, 96, SEGMENT[:96]) if lie in ("behind its own end", "another end") else third
    messages, flows, sensor = hear(batch_of([first, last, LIES[lie], second]))
    assert len(messages) >= 6
    assert [row["defect"] for row in rows_of(flows)] == [Defect.BAD_LENGTH, Defect.NONE]
    assert sensor.counts["fragments_refused"] == 1


def test_a_part_that_the_capture_cut_is_refused() -> None:
    first, second, third = parts(4)
    messages, _, sensor = hear(batch_of([first, second[:-8], third]))
    assert not len(messages)
    assert (sensor.counts["datagrams_unfinished"], sensor.counts["datagrams_joined"]) == (1, 0)


def test_what_never_ends_is_given_up() -> None:
    first, second, third = parts(4)
    late = PacketBatch.of([first, second, third], [START, START + WAIT_NS, START + WAIT_NS + 1])
    messages, _, sensor = hear(late)
    assert not len(messages)
    assert sensor.counts["datagrams_unfinished"] == 2


def test_a_flood_of_beginnings_and_of_parts_is_bounded() -> None:
    flood = [part(4, 0, 24, name=name) for name in range(2, MAX_DATAGRAMS + 2)]
    sensor = Sensor("test", seed=7)
    messages, _, _ = hear(batch_of([parts(4)[0], *flood, *parts(4)[1:]], step=1000), sensor=sensor)
    assert not len(messages)
    assert sensor.counts["datagrams_unfinished"] == MAX_DATAGRAMS + 2  # ours made room, and its second part began it anew
    sensor = Sensor("test", seed=7)
    hear(batch_of([part(6, 16 * i, 16 * i + 8, bytes(9000)) for i in range(MAX_PARTS + 5)], step=1000), sensor=sensor)
    assert sensor.counts["fragments_refused"] == 5


def test_a_flood_of_fragments_costs_a_bounded_time_and_is_counted() -> None:
    lonely = part(4, 0, 24, is_last=False)
    flood = [lonely] * (MAX_A_SECOND + 40)
    batch = PacketBatch.of(flood, [START + i for i in range(len(flood))])
    sensor = Sensor("test")
    sensor.feed(batch)
    assert sensor.counts["fragments_passed_over"] == 40
    later = [part(4, a, b, name=2) for a, b in pairwise(CUTS)]
    sensor.feed(PacketBatch.of(later, [START + 2_000_000_000 + i for i in range(3)]))
    assert sensor.counts["datagrams_joined"] == 1, "the next second is heard again"
