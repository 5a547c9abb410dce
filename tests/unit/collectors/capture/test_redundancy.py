"""Networks that send everything twice: rings (HSR), pairs of networks (PRP) and paths (IEEE 802.1CB) are heard through, and their second
packets are copies, whatever they carry."""

import struct
from collections.abc import Callable

import pytest

from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from sentinel.model.protocol import FlowKind
from tests.unit.collectors.capture.frames import MS, START, Talk, ethernet, hear, ip4, read, registers, udp
from tests.unit.collectors.capture.test_copies import DATAGRAMS, GOOSE, copies, heard, numbered_mixed, unframed

Carrier = Callable[[bytes, int, int], bytes]  # of a frame, its number and its path


def ring(frame: bytes, number: int, path: int) -> bytes:
    """The tag of HSR (IEC 62439-3, 5.7.2)."""
    size = len(frame) - 14 + 6
    return frame[:12] + struct.pack(">HHH", 0x892F, path << 12 | size & 0xFFF, number & 0xFFFF) + frame[12:]


def seamless(frame: bytes, number: int, path: int) -> bytes:
    """The R-TAG (IEEE 802.1CB, 7.8), behind the tag of the path's own VLAN."""
    return frame[:12] + struct.pack(">HHHHH", 0x8100, 100 + path, 0xF1C1, 0, number & 0xFFFF) + frame[12:]


def paired(frame: bytes, number: int, path: int) -> bytes:
    """PRP's trailer behind what is padded (IEC 62439-3, 4.1.10)."""
    whole = frame.ljust(54, b"\0")
    return whole + struct.pack(">HHH", number & 0xFFFF, (0xA + path) << 12 | len(whole) - 14 + 6, 0x88FB)


CARRIERS = (ring, seamless, paired)


def twice(frames: list[bytes], times: list[int], carry: Carrier, apart_ns: int = MS) -> PacketBatch:
    sent = [
        (time + path * apart_ns, carry(frame, n, path))
        for n, (frame, time) in enumerate(zip(frames, times, strict=True))
        for path in (0, 1)
    ]
    sent.sort(key=lambda packet: packet[0])
    return PacketBatch.of([frame for _, frame in sent], [time for time, _ in sent], link=ETHERNET)


def redundant(sensor: Sensor) -> int:
    """Copies that the network makes on purpose; there are no others."""
    assert copies(sensor)[:2] == (0, 0)
    return sensor.counts["duplicates_redundant"]


@pytest.mark.parametrize("carry", CARRIERS)
def test_both_paths_give_the_rows_of_a_network_that_sends_once(carry: Carrier) -> None:
    once = numbered_mixed(11)
    frames = [once.octets[a : a + n].tobytes() for a, n in zip(once.off.tolist(), once.cap.tolist(), strict=True)]
    messages, flows, _ = heard(once)
    both, both_flows, sensor = heard(twice(frames, once.time.tolist(), carry))
    assert unframed(both) == unframed(messages)
    assert unframed(both_flows) == unframed(flows)
    assert redundant(sensor) == len(frames)


@pytest.mark.parametrize("carry", CARRIERS)
@pytest.mark.parametrize("frame", [*DATAGRAMS, ethernet(GOOSE, 0x88B8)])
def test_what_is_no_tcp_is_one_record_of_its_own_size(frame: bytes, carry: Carrier) -> None:
    _, flows, sensor = hear(twice([frame], [START], carry))
    _, plain, _ = hear(PacketBatch.of([frame.ljust(54, b"\0")] if carry is paired else [frame], [START], link=ETHERNET))
    assert redundant(sensor) == 1
    assert unframed(flows) == unframed(plain)


def test_a_trailer_that_names_another_size_is_none() -> None:
    frame = ethernet(GOOSE, 0x88B8)
    _, flows, _ = hear(PacketBatch.of([frame + struct.pack(">HHH", 1, 0xA000 | 7, 0x88FB)], [START], link=ETHERNET))
    assert [(int(kind), int(octets)) for kind, octets in zip(flows.kind, flows.octets, strict=True)] == [
        (FlowKind.OTHER_ETHERNET, len(GOOSE) + 6)
    ]


def test_a_payload_that_looks_like_a_trailer_hides_nothing() -> None:
    """Whoever writes the last octets of a datagram could else shorten what we hear of it."""
    payload = read(1) + struct.pack(">HHH", 1, 0xA000 | (20 + 8 + 12 + 6), 0x88FB)
    _, flows, _ = hear(PacketBatch.of([ethernet(ip4(udp(payload, 1000, 502), "10.0.0.1", "10.0.0.2", 17))], [START], link=ETHERNET))
    assert not flows.defect.any()
    assert flows.octets.tolist() == [len(payload)]


@pytest.mark.parametrize("carry", CARRIERS)
def test_a_request_and_its_answer_by_both_paths_are_one_each(carry: Carrier) -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.answer(registers(1))
    messages, _, sensor = hear(twice(talk.packets, [START + MS * 10 * place for place in range(len(talk.packets))], carry))
    assert messages.transaction.tolist() == [1, 1]
    assert not messages.defect.any()
    assert redundant(sensor) == len(talk.packets)


def test_what_a_tunnel_carries_is_redundant_where_its_packet_is() -> None:
    inner = ethernet(ip4(udp(b"carried", 9, 9), "10.0.0.1", "10.0.0.2", 17))
    packet = ethernet(ip4(b"\0\0\x65\x58" + inner, "192.0.2.1", "192.0.2.2", 47))
    messages, flows, sensor = hear(twice([packet], [START], ring))
    assert (len(messages), flows.packets.tolist()) == (0, [1, 1])
    assert redundant(sensor) == 2
