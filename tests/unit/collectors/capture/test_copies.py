"""A packet that a mirror port delivers twice is one record; what a sender sends again is no copy."""

import struct
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.capture.copies import digest
from collectors.capture.flows import hash_keys
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.replay import replay
from collectors.capture.sensor import Sensor
from collectors.capture.tables import MIRROR_NS
from sentinel.model.observation import SLOT_NS, Flows, Messages
from sentinel.model.protocol import Defect, FlowKind
from sentinel.model.time import Instant
from tests.data import data_file
from tests.unit.collectors.capture.frames import (
    ACK,
    CLIENT,
    MS,
    PSH,
    START,
    Talk,
    arp,
    ethernet,
    hear,
    ip4,
    ip6,
    mac,
    read,
    registers,
    rows_of,
    tcp,
    udp,
)
from tests.unit.collectors.capture.test_sensor import mixed

US = 1000
ROUTER, FAR = "02:00:00:00:00:aa", "02:00:00:00:00:bb"
GOOSE = bytes.fromhex("0001008c00000000") + bytes(range(132))
Change = Callable[[bytes], bytes]


def same(frame: bytes) -> bytes:
    return frame


def tagged(frame: bytes) -> bytes:
    return frame[:12] + struct.pack(">HH", 0x8100, 20) + frame[12:]


def padded(frame: bytes) -> bytes:
    return frame + bytes(4)


def routed(frame: bytes) -> bytes:
    """One hop on: other hardware addresses, hop limit less one, header checksum anew."""
    out = bytearray(mac(FAR) + mac(ROUTER) + frame[12:])
    if frame[12:14] == b"\x08\x00":
        out[22] -= 1
        out[24:26] = b"\xbe\xef"
    elif frame[12:14] == b"\x86\xdd":
        out[21] -= 1
    return bytes(out)


def numbered(frame: bytes, name: int) -> bytes:
    """With an identification of its own."""
    return frame[:18] + struct.pack(">H", name) + frame[20:]


def doubled(batch: PacketBatch, change: Change = same, after_ns: int = 300 * US) -> PacketBatch:
    """Every packet twice, the copy a while later: copies come among the packets that follow."""
    frames = [batch.octets[a : a + n].tobytes() for a, n in zip(batch.off.tolist(), batch.cap.tolist(), strict=True)]
    times = batch.time.tolist()
    copies_of = [(t + after_ns, change(f)) for t, f in zip(times, frames, strict=True)]
    both = sorted([*zip(times, frames, strict=True), *copies_of], key=lambda packet: packet[0])
    return PacketBatch.of([frame for _, frame in both], [time for time, _ in both], link=ETHERNET)


def unframed(columns: Messages | Flows, *, without: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """Rows without the numbers of their frames, which copies shift."""
    return [{name: value for name, value in row.items() if name not in {"frame", *without}} for row in rows_of(columns)]


def single(*frames: bytes, gap: int = MS) -> Sensor:
    return hear(PacketBatch.of(list(frames), [START + i * gap for i in range(len(frames))], link=ETHERNET))[2]


def copies(sensor: Sensor) -> tuple[int, int, int]:
    counts = sensor.counts
    return counts["duplicates"], counts["duplicates_relayed"], counts["retransmissions"]


def numbered_mixed(seed: int, connections: int = 6) -> PacketBatch:
    """As `mixed`, with the identifications that senders give."""
    plain = mixed(seed, connections)
    frames = [plain.octets[a : a + n].tobytes() for a, n in zip(plain.off.tolist(), plain.cap.tolist(), strict=True)]
    return PacketBatch.of([numbered(frame, i + 1) for i, frame in enumerate(frames)], plain.time.tolist(), link=ETHERNET)


def heard(batch: PacketBatch, cuts: Iterable[int] = ()) -> tuple[Messages, Flows, Sensor]:
    """As `hear`, until the same instant whatever was heard last: what the end of a capture cuts has its last time."""
    sensor = Sensor("test", seed=7)
    edges = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    parts = [sensor.feed(batch.slice(a, b)) for a, b in pairwise(edges)]
    parts.append(sensor.flush(Instant(START + 3600 * SLOT_NS)))
    parts.append(sensor.close())
    return Messages.concat([part.messages for part in parts]), Flows.concat([part.flows for part in parts]), sensor


@settings(max_examples=25, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([same, tagged, padded]), st.integers(0, MIRROR_NS), st.lists(st.integers(0, 200), max_size=6))
def test_a_doubled_capture_gives_the_rows_of_the_single_one(seed: int, change: Change, after_ns: int, cuts: list[int]) -> None:
    once = numbered_mixed(seed)
    messages, flows, plain = heard(once)
    twice, twice_flows, sensor = heard(doubled(once, change, after_ns), cuts)
    assert unframed(twice) == unframed(messages)
    assert unframed(twice_flows) == unframed(flows)
    assert copies(sensor) == (len(once), 0, plain.counts["retransmissions"])
    assert plain.counts["duplicates"] == 0


@settings(max_examples=25, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, MIRROR_NS))
def test_a_capture_before_and_behind_a_router_names_both_paths_and_each_message_once(seed: int, after_ns: int) -> None:
    once = numbered_mixed(seed)
    messages, flows, _ = heard(once)
    twice, twice_flows, sensor = heard(doubled(once, routed, after_ns))
    assert unframed(twice) == unframed(messages)
    assert sensor.counts["duplicates_relayed"] == len(once)
    own = [row for row in unframed(twice_flows) if row["source_mac"] != ROUTER]
    assert own == unframed(flows)
    assert len(own) < len(twice_flows)


@pytest.mark.parametrize("size", [*range(20), 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 127, 128, 129, 200])
def test_every_octet_and_the_size_count(size: int) -> None:
    keys, octets = hash_keys(7), np.arange(3, size + 4, dtype=np.uint8)
    octets[size:] = 0
    seen = {digest(keys, np.uint64(1), octets, 0, size), digest(keys, np.uint64(2), octets, 0, size)}
    seen |= {digest(keys, np.uint64(1), octets, 0, size + 1), digest(hash_keys(8), np.uint64(1), octets, 0, size)}
    for at in range(size):
        changed = octets.copy()
        changed[at] ^= 1
        seen.add(digest(keys, np.uint64(1), changed, 0, size))
    assert len(seen) == 4 + size


def test_a_retransmission_is_none() -> None:
    """Its sender gives it an identification of its own, however soon it comes; without one it comes later than a copy does."""
    talk = Talk()
    talk.ask(read(1))
    again = talk.packets[-1]
    assert copies(single(again, numbered(again, 2))) == (0, 0, 1)
    assert copies(single(again, again)) == (1, 0, 0)
    assert copies(single(again, again, gap=MIRROR_NS + 1)) == (0, 0, 1)
    assert copies(single(again, numbered(again, 2), numbered(again, 2), again)) == (2, 0, 1)


@pytest.mark.parametrize(("at", "octet"), [(38, 0x77), (47, 0x11), (50, 0x31)])
def test_what_differs_in_number_flag_or_checksum_is_none(at: int, octet: int) -> None:
    one = ethernet(ip4(tcp(read(1), 40000, 502, 7, 9, PSH | ACK), "10.0.0.1", "10.0.0.2"))
    other = one[:at] + bytes([one[at] ^ octet]) + one[at + 1 :]
    assert copies(single(one, other))[0] == 0


def test_a_forged_copy_is_none() -> None:
    """Whoever keeps every number of a packet, and its checksum, and changes the value within, hides nothing."""
    talk = Talk()
    talk.ask(registers(1, (1, 2)))
    forged = talk.packets[-1][:-1] + b"\x63"
    talk.packets.append(forged)
    messages, _, sensor = hear(PacketBatch.of(talk.packets, [START + i * MS for i in range(len(talk.packets))], link=ETHERNET))
    assert sensor.counts["contradictions"] == 1
    assert messages.defect.tolist()[-1] == Defect.CONTRADICTING_COPY


DATAGRAMS = [
    ethernet(ip4(udp(b"\x81\x0b\x00\x0c\x01\x20\xff\xff\x00\xff\x10\x08", 47808, 47808), "10.0.0.1", "10.0.0.255", 17)),
    ethernet(ip6(udp(b"datagram without a checksum", 9, 9), "fd00::1", "fd00::2", 17), 0x86DD),
    ethernet(ip4(b"\x08\x00\x12\x34\x00\x01\x00\x01" + bytes(24), "10.0.0.1", "10.0.0.2", 1)),
    ethernet(ip4(b"a protocol that nobody reads", "10.0.0.1", "10.0.0.2", 47)),
    ethernet(ip6(b"the same", "fd00::1", "fd00::2", 89), 0x86DD),
    ethernet(GOOSE, 0x88B8, target="01:0c:cd:01:00:01"),
    ethernet(b"\x42\x42\x03" + bytes(35), 38),
]


@pytest.mark.parametrize("frame", DATAGRAMS)
@pytest.mark.parametrize("change", [same, tagged, padded])
def test_what_is_no_tcp_is_counted_once(frame: bytes, change: Change) -> None:
    _, flows, sensor = hear(PacketBatch.of([frame, change(frame)], [START, START + MS], link=ETHERNET))
    assert copies(sensor) == (1, 0, 0)
    assert flows.packets.tolist() == [1]


@pytest.mark.parametrize("frame", DATAGRAMS)
def test_another_last_octet_or_a_later_time_is_another_packet(frame: bytes) -> None:
    other = frame[:-1] + bytes([frame[-1] ^ 0x55])
    assert copies(single(frame, other, gap=0))[0] == 0
    assert copies(single(frame, frame, gap=MIRROR_NS + 1))[0] == 0


def test_an_arp_packet_is_one_row_and_its_repetition_another() -> None:
    asks = arp(1, CLIENT, "10.0.0.1", "10.0.0.2")
    batch = PacketBatch.of([asks, tagged(asks), asks], [START, START + MS, START + 200 * MS], link=ETHERNET)
    _, flows, sensor = hear(batch)
    assert flows.kind.tolist() == [FlowKind.ARP_REQUEST] * 2
    assert copies(sensor) == (1, 0, 0)


def test_a_copy_in_the_next_second_opens_no_row() -> None:
    frame = DATAGRAMS[0]
    at = (START // SLOT_NS + 1) * SLOT_NS
    _, flows, sensor = hear(PacketBatch.of([frame, frame], [at - US, at + US], link=ETHERNET))
    assert (flows.packets.tolist(), copies(sensor)) == ([1], (1, 0, 0))


def test_fragments_that_come_twice_are_one_datagram() -> None:
    segment = udp(bytes(range(64)), 9, 9)
    parts = [
        numbered(ethernet(ip4(segment[a:b], "10.0.0.1", "10.0.0.2", 17, flags=a // 8 | (b < 72) << 13)), 9) for a, b in ((0, 32), (32, 72))
    ]
    batch = PacketBatch.of([parts[0], parts[0], parts[1], parts[1]], [START + i * US for i in range(4)], link=ETHERNET)
    _, flows, sensor = hear(batch)
    assert sum(flows.packets.tolist()) == 2
    assert copies(sensor)[0] == 2


@given(st.lists(st.binary(max_size=90), max_size=12))
def test_any_octets_twice(frames: list[bytes]) -> None:
    """Nothing raises, and rows are those of the single capture, whatever the frames are."""
    distinct = [ethernet(frame, kind) for kind, frame in enumerate(dict.fromkeys(frames), 0x0800)]
    once = PacketBatch.of(distinct, [START + i * MS for i in range(len(distinct))], link=ETHERNET)
    _, flows, _ = hear(once)
    _, twice, _ = hear(doubled(once))
    assert unframed(twice) == unframed(flows)


def test_a_real_capture_without_a_mirror_has_none() -> None:
    last = list(replay(data_file("network/modbus-iti/modbus_test_data_part1.pcap")))[-1]
    assert last.counters.repeated == 0
