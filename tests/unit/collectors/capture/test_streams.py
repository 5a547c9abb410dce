"""TCP as a sensor hears it: repeated, reordered, overlapping, contradicting, lost, cut."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.capture.packets import PacketBatch
from collectors.capture.sensor import Sensor
from collectors.capture.tables import HELD_PER_STREAM, HISTORIES, HISTORY_OCTETS
from collectors.wire.modbus.layout import CARRIES, SEGMENT_OCTETS
from sentinel.model.protocol import Defect, MessageKind, Protocol
from tests.unit.collectors.capture.frames import (
    ACK,
    ATTACKER,
    CLIENT,
    FIN,
    PSH,
    RST,
    SERVER,
    SYN,
    Talk,
    batch_of,
    ethernet,
    hear,
    ip4,
    read,
    registers,
    rows_of,
    tcp,
    write,
)


def transactions(talk: Talk) -> list[int]:
    return [int(t) for t in hear(talk.batch())[0].transaction]


def test_a_conversation() -> None:
    talk = Talk()
    talk.ask(read(1, address=5))
    talk.answer(registers(1))
    talk.finish()
    messages, flows, _ = hear(talk.batch())
    rows = rows_of(messages)
    assert [row["kind"] for row in rows] == [MessageKind.REQUEST, MessageKind.RESPONSE]
    assert [(row["client"], row["server"], row["port"], row["flow"], row["frame"]) for row in rows] == [
        ("10.0.0.1", "10.0.0.2", 502, 0, 4),
        ("10.0.0.1", "10.0.0.2", 502, 0, 5),
    ]
    assert (rows[1]["address"], rows[1]["latency"]) == (5, 1_000_000)
    assert [(row["from_client"], row["packets"], row["tcp_flags"]) for row in rows_of(flows)] == [
        (1, 4, SYN | ACK | PSH | FIN),
        (0, 3, SYN | ACK | PSH | FIN),
    ]


def test_repeated_segments_are_heard_once() -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.raw(0, read(1), shift=-12)
    talk.ask(read(2))
    talk.raw(0, read(1) + read(2) + read(3), shift=-24)  # repeats both, and goes on
    assert transactions(talk) == [1, 2, 3]


def test_reordered_segments_are_put_in_order() -> None:
    talk = Talk()
    talk.raw(0, read(3), shift=24)
    talk.raw(0, read(2), shift=12)
    talk.raw(0, read(1))
    messages, _, sensor = hear(talk.batch())
    assert list(messages.transaction) == [1, 2, 3]
    assert list(messages.frame) == [6, 5, 4]  # each row names the frame that holds its octets
    assert sensor.counts["gaps"] == 0


def test_the_first_copy_wins_also_where_segments_overlap() -> None:
    stream = read(1) + write(2, 5, 7) + read(3)
    other = read(1) + write(2, 5, 9) + read(3)
    talk = Talk()
    talk.raw(0, stream[6:30], shift=6)  # waits
    talk.raw(0, other[:36])  # fills the hole; its other content of what waits is ignored
    messages, flows, sensor = hear(talk.batch())
    assert messages.value(1) == b"\x00\x07"
    assert list(messages.transaction) == [1, 2, 3]
    assert sensor.counts["contradictions"] == 1
    assert Defect.CONTRADICTING_COPY in flows.defect


def test_a_relayed_copy_with_other_octets_is_seen() -> None:
    """As in a man-in-the-middle capture: every frame is heard twice, and the second time the written value is another."""
    talk = Talk()
    talk.raw(0, write(1, 6, 50), macs=(CLIENT, ATTACKER))
    talk.raw(0, write(1, 6, 20), macs=(ATTACKER, SERVER))
    talk.seqs[0] += 12
    talk.raw(1, write(1, 6, 20), macs=(SERVER, ATTACKER))
    talk.raw(1, write(1, 6, 50), macs=(ATTACKER, CLIENT))
    messages, flows, sensor = hear(talk.batch())
    rows = rows_of(messages)
    assert [(row["kind"], row["value"], row["defect"], row["source_mac"]) for row in rows] == [
        (MessageKind.REQUEST, b"\x00\x32", Defect.NONE, CLIENT),
        (MessageKind.REQUEST, b"\x00\x14", Defect.CONTRADICTING_COPY, ATTACKER),
        (MessageKind.RESPONSE, b"\x00\x14", Defect.BAD_VALUE, SERVER),  # echoes what was not asked
        (MessageKind.RESPONSE, b"\x00\x32", Defect.CONTRADICTING_COPY, ATTACKER),
    ]
    assert {(row["source_mac"], row["target_mac"]): row["defect"] for row in rows_of(flows)} == {
        (CLIENT, SERVER): Defect.NONE,
        (SERVER, CLIENT): Defect.NONE,
        (CLIENT, ATTACKER): Defect.NONE,
        (ATTACKER, SERVER): Defect.CONTRADICTING_COPY,
        (SERVER, ATTACKER): Defect.NONE,
        (ATTACKER, CLIENT): Defect.CONTRADICTING_COPY,
    }
    assert sensor.counts["contradictions"] == 2


def test_a_faithful_relay_is_rows_of_its_own_and_no_messages() -> None:
    talk = Talk()
    talk.raw(0, read(1), macs=(CLIENT, ATTACKER))
    talk.raw(0, read(1), macs=(ATTACKER, SERVER))
    messages, flows, sensor = hear(talk.batch())
    assert len(messages) == 1
    assert (ATTACKER, SERVER) in {(row["source_mac"], row["target_mac"]) for row in rows_of(flows)}
    assert sensor.counts["contradictions"] == 0


def test_keep_alive_probes_contradict_nothing() -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.raw(0, b"\xff", shift=-1)
    _, _, sensor = hear(talk.batch())
    assert sensor.counts["contradictions"] == 0


def test_octets_older_than_the_history_are_counted_not_compared() -> None:
    talk = Talk()
    for i in range(60):
        talk.ask(read(i))
    talk.raw(0, write(0, 1, 1), shift=-720)
    _, _, sensor = hear(talk.batch())
    assert HISTORY_OCTETS < 720
    assert sensor.counts["contradictions"] == 0
    assert sensor.counts["octets_unchecked"] == 12


@pytest.mark.parametrize(("others", "contradictions", "unchecked"), [(HISTORIES - 1, 1, 0), (HISTORIES, 0, 12)])
def test_more_streams_than_have_a_history_cost_the_oldest_its_own(others: int, contradictions: int, unchecked: int) -> None:
    talk = Talk()
    talk.ask(read(1))
    begun = len(talk.packets)
    talk.raw(0, write(0, 1, 1), shift=-12)
    flood = [ethernet(ip4(tcp(b"x", 1024 + i % 60_000, 9999, 1, 0, ACK), f"10.1.{i // 60_000}.1", "10.0.0.9", 6)) for i in range(others)]
    _, _, sensor = hear(batch_of(talk.packets[:begun] + flood + talk.packets[begun:], step=10))
    assert sensor.counts["contradictions"] == contradictions
    assert sensor.counts["octets_unchecked"] == unchecked


@pytest.mark.parametrize(("others", "skipped", "defect"), [(CARRIES - 1, 0, Defect.NONE), (CARRIES, 9, Defect.STREAM_GAP)])
def test_more_streams_than_may_wait_for_the_rest_of_a_frame_cost_the_oldest_what_it_waits_with(
    others: int, skipped: int, defect: Defect
) -> None:
    talk = Talk()
    talk.ask(read(1)[:9])
    begun = len(talk.packets)
    talk.ask(read(1)[9:] + read(2))
    flood = [
        ethernet(ip4(tcp(read(1)[:9], 1024 + i % 60_000, 502, 1, 0, ACK), f"10.1.{i // 60_000}.1", "10.0.0.9", 6)) for i in range(others)
    ]
    sensor = Sensor("s", seed=1)
    messages = sensor.feed(batch_of(talk.packets[:begun] + flood + talk.packets[begun:], step=10)).messages
    assert sensor.counts["octets_skipped"] >= skipped
    assert (sensor.counts["octets_skipped"] > 0) == (skipped > 0)
    assert (int(messages.transaction[-1]), Defect(int(messages.defect[-1]))) == (2, Defect.NONE if not skipped else defect)
    assert len(messages) == (2 if not skipped else 1)


def test_a_hole_is_given_up_when_the_receiver_acknowledges_past_it() -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.seqs[0] += 12  # a request that was not heard
    talk.ask(read(3))
    before = len(talk.packets)
    talk.answer(registers(2))
    messages, flows, sensor = hear(talk.batch())
    assert [(int(t), int(f), Defect(d)) for t, f, d in zip(messages.transaction, messages.frame, messages.defect, strict=True)] == [
        (1, 4, Defect.NONE),
        (3, before, Defect.STREAM_GAP),
        (2, before + 1, Defect.STREAM_GAP),  # nobody can say what it answers
    ]
    assert sensor.counts["gaps"] == 1
    assert Defect.STREAM_GAP in flows.defect


def test_a_frame_that_the_hole_broke_is_cut_and_the_next_is_found() -> None:
    stream = read(1) + write(2, 5, 7) + read(3)
    talk = Talk()
    talk.raw(0, stream[:20])
    talk.raw(0, stream[24:], shift=24)
    talk.seqs[0] += 36
    talk.raw(1, b"", ACK)
    messages, _, _ = hear(talk.batch())
    assert list(messages.transaction) == [1, 2, 3]
    assert list(messages.defect) == [Defect.NONE, Defect.TRUNCATED, Defect.NONE]  # the hole's end is known: no doubt about the third


def test_what_waits_is_delivered_when_too_much_waits_and_at_the_end() -> None:
    talk = Talk()
    for i in range(HELD_PER_STREAM + 3):
        talk.raw(0, read(i), shift=12 * (i + 1), ack=0)
    messages, _, sensor = hear(talk.batch())
    assert sorted(messages.transaction) == list(range(HELD_PER_STREAM + 3))
    assert sensor.counts["held_refused"] == 0
    last = Talk()
    last.raw(0, read(5), shift=12)
    assert transactions(last) == [5]


def test_joined_in_the_middle() -> None:
    talk = Talk(syn=False)
    talk.answer(registers(1))
    talk.ask(read(2))
    talk.answer(registers(2))
    messages, _, _ = hear(talk.batch())
    assert list(messages.defect) == [Defect.STREAM_GAP, Defect.NONE, Defect.NONE]
    assert {row["client"] for row in rows_of(messages)} == {"10.0.0.1"}
    halfway = Talk(syn=False)
    halfway.ask(registers(1)[5:])  # the rest of a frame
    halfway.ask(read(2))
    assert transactions(halfway) == [2]


def test_any_port_and_either_side_may_speak_modbus() -> None:
    elsewhere = Talk(sport=15020)
    elsewhere.ask(read(1))
    elsewhere.answer(registers(1))
    messages, flows, _ = hear(elsewhere.batch())
    assert (len(messages), set(messages.port.tolist())) == (2, {15020})
    assert Protocol.MODBUS in flows.protocol
    reverse = Talk(cport=30000, sport=15020)  # the device dials out, and answers
    reverse.answer(read(1))
    reverse.ask(registers(1))
    rows = rows_of(hear(reverse.batch())[0])
    assert [(row["kind"], row["client"], row["server"], row["port"]) for row in rows] == [
        (MessageKind.REQUEST, "10.0.0.2", "10.0.0.1", 30000),
        (MessageKind.RESPONSE, "10.0.0.2", "10.0.0.1", 30000),
    ]


def test_other_traffic_is_no_modbus() -> None:
    talk = Talk(sport=8080)
    for _ in range(5):
        talk.ask(b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n")
        talk.answer(bytes(200))
    messages, flows, _ = hear(talk.batch())
    assert not len(messages)
    assert not flows.protocol.any()


def test_the_same_ports_again_are_another_connection() -> None:
    first, second = Talk(isn=1000), Talk(isn=900_000)
    first.ask(read(1))
    second.ask(read(2))
    messages, _, _ = hear(batch_of(first.packets + second.packets))
    assert [(int(t), int(f)) for t, f in zip(messages.transaction, messages.flow, strict=True)] == [(1, 0), (2, 1)]


def test_a_reset_ends_what_was_begun() -> None:
    talk = Talk()
    talk.ask(write(1, 5, 7)[:10])
    talk.raw(1, b"", RST)
    messages, _, _ = hear(talk.batch())
    assert [(int(f), Defect(d)) for f, d in zip(messages.function, messages.defect, strict=True)] == [(6, Defect.TRUNCATED)]


def test_data_behind_a_forged_reset_is_still_heard() -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.raw(0, b"", RST, shift=3)
    talk.ask(write(2, 5, 7))
    assert transactions(talk) == [1, 2]


def test_sequence_numbers_wrap() -> None:
    talk = Talk(isn=2**32 - 20)
    for i in range(5):
        talk.ask(read(i))
        talk.answer(registers(i))
    assert transactions(talk) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("cap", [54, 58, 61, 62, 64, 66, 70])
def test_snap_length_cuts_frames_not_the_stream(cap: int) -> None:
    talk = Talk()
    for i in range(3):
        talk.ask(write(i, 5, 7))
        talk.raw(1, b"", ACK)
    batch = talk.batch()
    cut = PacketBatch(
        octets=batch.octets,
        cap=np.minimum(batch.cap, cap).astype(np.int32),
        **{name: getattr(batch, name) for name in ("off", "wire", "time", "frame", "link", "vlan", "iface")},
    )
    messages, flows, sensor = hear(cut)
    heard = cap - 54
    if heard >= 12:
        assert list(messages.defect) == [Defect.NONE] * 3
    elif heard:
        assert [int(size) for size in messages.pdu_octets] == [heard if heard < 8 else heard - 7] * 3
        assert set(messages.defect.tolist()) == {Defect.TRUNCATED}
        assert Defect.TRUNCATED in flows.defect
    else:
        assert not len(messages)
    assert sensor.counts["held_refused"] == 0


def test_a_packet_longer_than_ip_can_say_is_heard_as_far_as_a_segment_goes() -> None:
    """Segmentation offload leaves the total length 0 (the kernel's BIG TCP up to half a megaoctet): the octets behind are a gap."""
    talk = Talk()
    talk.ask(write(1, 5, 7)[:10])  # waits: what follows is put behind it
    segment = tcp(write(1, 5, 7)[10:] + write(2, 5, 7) * 16_000, 40000, 502, talk.seqs[0], talk.seqs[1], PSH | ACK)
    messages, flows, sensor = hear(batch_of([*talk.packets, ethernet(ip4(segment, "10.0.0.1", "10.0.0.2", total=0))]))
    whole = (SEGMENT_OCTETS - 2) // 12
    assert len(messages) == 1 + whole + 1
    assert list(messages.defect) == [Defect.NONE] * (1 + whole) + [Defect.TRUNCATED]
    assert Defect.TRUNCATED in flows.defect
    assert sensor.counts["packets"] == 5


def chop(stream: bytes, chance: random.Random, largest: int) -> list[tuple[int, bytes]]:
    pieces, at = [], 0
    while at < len(stream):
        size = chance.randint(1, largest)
        pieces.append((at, stream[at : at + size]))
        at += size
    return pieces


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), largest=st.integers(1, 40), six=st.booleans())
def test_any_segmentation_repetition_and_order_gives_the_same_messages(seed: int, largest: int, six: bool) -> None:
    """Requests only, so that no acknowledgement gives up a hole that a later packet still fills."""
    chance = random.Random(seed)
    ends = {"client": "fd00::1", "server": "fd00::2"} if six else {}
    stream = b"".join(write(i, chance.randrange(100), chance.randrange(65536)) for i in range(12))
    plain = Talk(**ends)  # type: ignore[arg-type]
    plain.raw(0, stream)
    expected = [(row["transaction"], row["pdu"], row["defect"]) for row in rows_of(hear(plain.batch())[0])]
    assert len(expected) == 12
    pieces = chop(stream, chance, largest)
    pieces += [piece for piece in pieces if chance.random() < 0.2]
    for i in range(len(pieces) - 1):
        if chance.random() < 0.3:
            pieces[i], pieces[i + 1] = pieces[i + 1], pieces[i]
    talk = Talk(**ends)  # type: ignore[arg-type]
    for shift, piece in pieces:
        talk.raw(0, piece, shift=shift)
    messages, _, sensor = hear(talk.batch())
    assert [(row["transaction"], row["pdu"], row["defect"]) for row in rows_of(messages)] == expected
    assert sensor.counts["contradictions"] == sensor.counts["gaps"] == 0


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.02, 0.1, 0.3]))
def test_loss_corrupts_no_row(seed: int, loss: float) -> None:
    """Rows that are not marked are the true ones; what is missing is missing or marked."""
    chance = random.Random(seed)
    talk, truth = Talk(), {}
    for i in range(40):
        asked = write(i, i, chance.randrange(65536))
        truth[i] = asked[7:]
        talk.ask(asked)
        talk.answer(asked)
    kept = talk.packets[:3] + [packet for packet in talk.packets[3:] if chance.random() >= loss]
    messages, _, _ = hear(batch_of(kept))
    for row in rows_of(messages):
        if row["defect"] in (Defect.NONE, Defect.STREAM_GAP, Defect.UNSOLICITED):
            assert row["pdu"] == truth[int(str(row["transaction"]))]
