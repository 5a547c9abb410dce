"""Frames in a stream: how they are found, lost, found again, and paired."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.wire.modbus import StreamDecoder
from collectors.wire.modbus.layout import PENDING_PER_FLOW, SEGMENT_OCTETS
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import Instant
from tests.unit.collectors.capture.frames import adu, read, registers, rows_of, write
from tests.unit.collectors.wire.streams import decode, segment


def test_several_frames_in_a_segment_are_several_rows() -> None:
    m = decode((True, read(1) + write(2, 5, 7) + read(3)), (False, registers(3) + registers(1)))
    assert list(m.transaction) == [1, 2, 3, 3, 1]
    assert list(m.kind) == [MessageKind.REQUEST] * 3 + [MessageKind.RESPONSE] * 2
    assert list(m.latency[3:]) == [1_000_000, 1_000_000]


def test_the_newest_of_equal_transactions_is_answered() -> None:
    m = decode((True, read(1, address=10)), (True, read(1, address=20)), (False, registers(1)))
    assert (m.address[2], m.latency[2]) == (20, 1_000_000)


def test_a_response_without_a_request_says_so() -> None:
    m = decode((False, registers(9)))
    assert (m.address[0], m.latency[0], m.defect[0]) == (-1, -1, Defect.UNSOLICITED)
    twice = decode((True, read(9)), (False, registers(9)), (False, registers(9)))
    assert list(twice.defect) == [Defect.NONE, Defect.NONE, Defect.UNSOLICITED]


def test_forgotten_requests_are_counted() -> None:
    decoder = StreamDecoder(1)
    decoder.decode([segment(read(i)) for i in range(PENDING_PER_FLOW + 3)])
    assert decoder.forgotten == 3
    m = decoder.decode([segment(registers(0), False), segment(registers(PENDING_PER_FLOW + 2), False)])
    assert list(m.defect) == [Defect.UNSOLICITED, Defect.NONE]


def test_requests_of_a_connection_that_is_over_are_nobodys() -> None:
    decoder = StreamDecoder(1)
    decoder.decode([segment(read(number)) for number in range(PENDING_PER_FLOW)])
    decoder.close(0, Instant(1))
    messages = decoder.decode([segment(read(PENDING_PER_FLOW), flow=1), segment(registers(3), from_client=False, flow=1)])
    assert decoder.forgotten == 0
    assert list(messages.latency) == [-1, -1]
    assert messages.defect[1] == Defect.UNSOLICITED


def test_garbage_is_one_row_and_the_next_frame_is_found() -> None:
    m = decode((True, read(1)), (True, bytes.fromhex("deadbeefdeadbeef0102030405")), (True, write(2, 5, 7)))
    assert list(m.defect) == [Defect.NONE, Defect.GARBAGE, Defect.NONE]
    assert m.pdu(1) == bytes.fromhex("deadbeefdeadbeef")
    assert (m.function[1], m.transaction[1], m.unit[1]) == (-1, -1, -1)
    assert m.function[2] == 6


def test_the_most_rows_that_a_segment_can_hold_find_room() -> None:
    """The shortest frame and one octet that fits none, in turn: two rows for nine octets."""
    turns = SEGMENT_OCTETS // 9
    m = decode((True, (adu(1, b"\x07") + b"\x55") * turns))
    assert list(m.defect) == [Defect.NONE, Defect.GARBAGE] * (turns - 1) + [Defect.NONE]
    assert (m.pdu(0), m.pdu(2 * turns - 2)) == (b"\x07", b"\x07")


def test_a_foreign_protocol_identifier_is_a_frame_with_a_defect() -> None:
    m = decode((True, adu(1, b"\x03\x00\x00\x00\x01", protocol=7) + read(2)))
    assert list(m.defect) == [Defect.BAD_PROTOCOL_ID, Defect.NONE]
    assert list(m.function) == [3, 3]


@pytest.mark.parametrize("length", [0, 1, 300, 65535])
def test_an_impossible_length_is_a_row_and_the_next_frame_is_found(length: int) -> None:
    m = decode((True, adu(1, b"\x03\x00\x00\x00\x01", length=length) + write(2, 5, 7)))
    assert list(m.defect) == [Defect.BAD_LENGTH, Defect.NONE]
    assert list(m.function) == [3, 6]


@pytest.mark.parametrize("length", [2, 4, 7, 20])
def test_a_length_that_the_fields_contradict_hides_no_frame(length: int) -> None:
    """A server that reads fields answers the write behind it; so it must be a row, whatever the header says."""
    m = decode((True, adu(1, b"\x03\x00\x00\x00\x01", length=length) + write(2, 5, 7)))
    assert [int(f) for f in m.function] == [3, 6]
    assert list(m.defect) == [Defect.BAD_LENGTH, Defect.NONE]


def test_octets_behind_the_fields_belong_to_the_frame_where_no_header_shows() -> None:
    m = decode((True, adu(1, bytes.fromhex("2b0e030100"))), (True, adu(2, bytes.fromhex("2b0e030100"))), (True, read(3)))
    assert list(m.transaction) == [1, 2, 3]
    assert list(m.defect) == [Defect.BAD_LENGTH, Defect.BAD_LENGTH, Defect.NONE]


def test_real_servers_answer_longer_than_the_standard_allows() -> None:
    m = decode((True, read(1, count=126)), (False, registers(1, tuple(range(126)))), (True, read(2)))
    assert [Defect(d) for d in m.defect] == [Defect.BAD_COUNT, Defect.BAD_LENGTH, Defect.NONE]
    assert m.value_octets[1] == 252


def test_what_a_stream_begins_and_does_not_end_is_reported() -> None:
    m = decode((True, write(1, 5, 7)[:-1]), close=True)
    assert (m.defect[0], m.function[0], m.address[0], m.pdu(0)) == (Defect.TRUNCATED, 6, 5, b"\x06\x00\x05\x00")
    assert decode((True, b"\x00\x01\x00"), close=True).defect[0] == Defect.TRUNCATED
    assert len(decode((True, read(1)), close=True)) == 1


def test_connections_are_apart_and_bounded() -> None:
    decoder = StreamDecoder(2)
    m = decoder.decode([segment(read(1)[:5], flow=10), segment(read(2), flow=11), segment(read(1)[5:], flow=10)])
    assert [(int(f), int(t)) for f, t in zip(m.flow, m.transaction, strict=True)] == [(11, 2), (10, 1)]
    with pytest.raises(ValueError, match="more than 2"):
        decoder.decode([segment(b"", flow=12)])
    decoder.close(11, Instant(0))
    assert len(decoder.decode([segment(read(3), flow=12)])) == 1
    assert len(decoder.close(99, Instant(0))) == 0


CODES = st.integers(0, 255)
SOUND = st.one_of(
    st.builds(read, st.integers(0, 65535), st.integers(0, 65000), st.integers(1, 125)),
    st.builds(write, st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535)),
    st.builds(
        lambda t, v: adu(t, struct.pack(">BHHB", 16, 3, len(v) // 2, len(v)) + v),
        st.integers(0, 9),
        st.binary(min_size=2, max_size=40).filter(lambda v: len(v) % 2 == 0),
    ),
)
UNSOUND = st.one_of(
    st.binary(max_size=30),
    st.builds(
        adu,
        st.integers(0, 65535),
        st.binary(min_size=1, max_size=20),
        CODES,
        st.sampled_from([0, 0, 1]),
        st.one_of(st.none(), st.integers(0, 400), st.just(65535)),
    ),
)


@settings(max_examples=150)
@given(parts=st.lists(st.tuples(st.booleans(), st.one_of(SOUND, SOUND, UNSOUND)), max_size=12), seed=st.integers(0, 2**32))
def test_any_cutting_of_the_streams_gives_the_same_rows(parts: list[tuple[bool, bytes]], seed: int) -> None:
    """Whole, octet by octet, and at random places; each direction keeps its order, and so does whose turn it is."""
    chance = random.Random(seed)
    runs: list[tuple[bool, bytes]] = []
    for from_client, octets in parts:
        if runs and runs[-1][0] == from_client:
            runs[-1] = (from_client, runs[-1][1] + octets)
        else:
            runs.append((from_client, octets))

    def cut(size_of: object) -> list[dict[str, object]]:
        pieces = []
        for at, (from_client, octets) in enumerate(runs):
            rest = octets
            while rest:
                size = size_of() if callable(size_of) else len(rest)
                pieces.append(segment(rest[:size], from_client, time=at))
                rest = rest[size:]
        decoder = StreamDecoder(1)
        rows = rows_of(decoder.decode(pieces))
        return rows + rows_of(decoder.close(0, Instant(len(runs))))

    whole = cut(None)
    assert cut(lambda: 1) == whole
    assert cut(lambda: chance.randint(1, 30)) == whole


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=300)), max_size=8))
def test_any_octets_are_bounded_and_never_raise(parts: list[tuple[bool, bytes]]) -> None:
    m = decode(*parts, close=True)
    total = sum(len(octets) for _, octets in parts)
    assert len(m) <= total // 8 + 2
    assert int(m.pdu_octets.sum()) <= total
    for row in range(len(m)):
        assert m.value_start[row] + m.value_octets[row] <= m.pdu_start[row] + m.pdu_octets[row]
