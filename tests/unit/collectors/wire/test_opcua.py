"""Message chunks in a stream: how they are found, lost, found again, named and paired.  Clauses of OPC 10000-6."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.wire.modbus import Segment
from collectors.wire.modbus.layout import POOL_PER_FEED, ROWS_PER_FEED, SEGMENT_OCTETS
from collectors.wire.opcua.decoder import ConnectionDecoder
from collectors.wire.opcua.layout import KEPT_OCTETS, PENDING_PER_FLOW
from sentinel.model.observation import Messages
from sentinel.model.opcua import SERVICE_FAULT, SERVICES, MessageType
from sentinel.model.protocol import Defect, MessageKind, Protocol
from sentinel.model.time import Instant
from tests.unit.collectors.capture.frames import Talk, hear, rows_of
from tests.unit.collectors.wire.streams import segment

NONE = b"http://opcfoundation.org/UA/SecurityPolicy#None"
SECURED = b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
READ, WRITE, PUBLISH = SERVICES["Read"], SERVICES["Write"], SERVICES["Publish"]
OPENING = SERVICES["OpenSecureChannel"]


def chunk(kind: bytes, body: bytes, final: bytes = b"F", size: int | None = None) -> bytes:
    return kind + final + struct.pack("<I", 8 + len(body) if size is None else size) + body


def text(octets: bytes | None) -> bytes:
    return struct.pack("<i", -1) if octets is None else struct.pack("<i", len(octets)) + octets


def hello() -> bytes:
    return chunk(b"HEL", struct.pack("<5I", 0, 65536, 65536, 0, 0) + text(b"opc.tcp://plc:4840"))


def acknowledge() -> bytes:
    return chunk(b"ACK", struct.pack("<5I", 0, 65536, 65536, 0, 0))


def named(service: int) -> bytes:
    return struct.pack("<BBH", 1, 0, service)


def opened(service: int, policy: bytes = NONE, sequence: int = 1, request: int = 1, certificate: bytes = b"certificate") -> bytes:
    if policy != NONE:
        return chunk(b"OPN", struct.pack("<I", 7) + text(policy) + text(certificate) + text(b"thumbprint") + b"\x5a" * 64)
    return chunk(
        b"OPN", struct.pack("<I", 7) + text(policy) + text(None) * 2 + struct.pack("<II", sequence, request) + named(service) + bytes(20)
    )


def message(service: int, sequence: int, request: int, *, kind: bytes = b"MSG", final: bytes = b"F", rest: bytes = bytes(64)) -> bytes:
    return chunk(kind, struct.pack("<IIII", 7, 9, sequence, request) + (named(service) if service else b"") + rest, final)


def decode(*parts: tuple[bool, bytes], close: bool = False) -> Messages:
    """(from_client, octets) parts, a millisecond apart."""
    decoder = ConnectionDecoder()
    pieces = [segment(octets, from_client, time=at * 1_000_000) for at, (from_client, octets) in enumerate(parts)]
    messages = [decoder.decode(pieces)]
    if close:
        messages.append(decoder.close(Instant(len(parts) * 1_000_000)))
    return Messages.concat(messages)


HANDSHAKE = ((True, hello()), (False, acknowledge()), (True, opened(OPENING[0])), (False, opened(OPENING[1])))


def test_a_conversation_from_hello_to_close() -> None:
    m = decode(
        *HANDSHAKE,
        (True, message(READ[0], 2, 2) + message(WRITE[0], 3, 3)),
        (False, message(WRITE[1], 2, 3) + message(SERVICE_FAULT, 3, 2)),
        (True, message(452, 4, 4, kind=b"CLO")),
    )
    assert set(m.protocol.tolist()) == {Protocol.OPCUA}
    assert list(m.function) == [-1, -1, 446, 449, 631, 673, 676, 397, 452]
    assert list(m.subfunction) == [MessageType.HELLO, MessageType.ACKNOWLEDGE, *[-1] * 7]
    assert list(m.transaction) == [-1, -1, 1, 1, 2, 3, 3, 2, 4]
    assert list(m.latency) == [-1, -1, -1, 1_000_000, -1, -1, 1_000_000, 1_000_000, -1]
    assert [MessageKind(k) for k in m.kind[-3:]] == [MessageKind.RESPONSE, MessageKind.EXCEPTION, MessageKind.REQUEST]
    assert not m.defect.any()
    assert m.pdu(4) == message(READ[0], 2, 2)


def test_an_encrypted_channel_is_recognised_and_not_read() -> None:
    sealed = chunk(b"MSG", struct.pack("<II", 7, 9) + b"\x5a\x01\x77" * 30)
    opening = ((True, opened(OPENING[0], SECURED)), (False, opened(OPENING[1], SECURED)))
    m = decode(*HANDSHAKE[:2], *opening, (True, sealed), (False, sealed))
    assert list(m.function) == [-1] * 6
    assert list(m.transaction) == [-1] * 6
    assert list(m.subfunction[2:]) == [MessageType.OPEN] * 2 + [MessageType.MESSAGE] * 2
    assert not m.defect.any()


def test_a_channel_that_is_signed_only_is_read() -> None:
    opening = ((True, opened(OPENING[0], SECURED)), (False, opened(OPENING[1], SECURED)))
    m = decode(*HANDSHAKE[:2], *opening, (True, message(WRITE[0], 52, 2)), (False, message(WRITE[1], 52, 2)))
    assert list(m.function[4:]) == [673, 676]
    assert m.latency[5] == 1_000_000
    assert not m.defect.any()


def test_without_its_opening_only_a_known_service_is_believed() -> None:
    m = decode((True, message(READ[0], 700, 12)), (True, message(4711, 701, 13)), (False, message(READ[1], 80, 12)))
    assert list(m.function) == [631, -1, 634]
    assert list(m.transaction) == [12, -1, 12]
    assert list(m.latency) == [-1, -1, 2_000_000]


def test_chunks_of_a_message_bear_its_service() -> None:
    answer = message(PUBLISH[1], 2, 2, final=b"C") + message(0, 3, 2, final=b"C") + message(0, 4, 2, final=b"F") + message(READ[1], 5, 3)
    m = decode(*HANDSHAKE, (True, message(PUBLISH[0], 2, 2) + message(READ[0], 3, 3)), (False, answer))
    assert list(m.function[4:]) == [826, 631, 829, 829, 829, 634]
    assert list(m.latency[6:]) == [1_000_000] * 4
    assert not m.defect.any()


def test_a_message_that_was_aborted_has_no_service_of_its_own() -> None:
    m = decode(*HANDSHAKE, (True, message(WRITE[0], 2, 2, final=b"C") + message(0, 3, 2, final=b"A") + message(READ[0], 4, 3)))
    assert list(m.function[4:]) == [673, -1, 631]
    assert not m.defect.any()


@pytest.mark.parametrize(
    ("octets", "defect"),
    [
        (message(WRITE[0], 9, 2), Defect.BAD_VALUE),  # a sequence number that does not follow (6.7.2.4)
        (message(4711, 2, 2), Defect.UNKNOWN_FUNCTION),
        (chunk(b"MSG", bytes(8)), Defect.BAD_LENGTH),  # no room for its sequence header
        (chunk(b"HEL", bytes(8)), Defect.BAD_LENGTH),
        (b"\xde\xad\xbe\xef" * 4, Defect.GARBAGE),
        (chunk(b"OPN", struct.pack("<I", 7) + text(b"?") + text(None) * 2 + bytes(30)), Defect.BAD_VALUE),
        (hello()[:-1], Defect.TRUNCATED),
        (hello()[:5], Defect.TRUNCATED),
    ],
)
def test_what_is_wrong_is_a_row(octets: bytes, defect: Defect) -> None:
    m = decode(*HANDSHAKE, (True, octets), close=True)
    assert [Defect(d) for d in m.defect] == [Defect.NONE] * 4 + [defect]


def test_garbage_is_one_row_and_the_next_message_is_found() -> None:
    m = decode(*HANDSHAKE, (True, b"\xde\xad" * 9 + message(READ[0], 2, 2) + message(READ[0], 3, 3)))
    assert list(m.defect[4:]) == [Defect.GARBAGE, Defect.NONE, Defect.NONE]
    assert m.pdu(4) == b"\xde\xad" * 4


def test_a_response_without_a_request_says_so() -> None:
    m = decode(*HANDSHAKE, (False, message(READ[1], 2, 77)))
    assert (m.latency[4], m.defect[4]) == (-1, Defect.UNSOLICITED)


def test_sequence_numbers_may_begin_anew_at_their_end() -> None:
    late = [message(READ[0], number, 1) for number in (4294966271 + 1000, 1)]
    m = decode(*HANDSHAKE[:2], (True, opened(OPENING[0], sequence=4294966271 + 999)), (True, b"".join(late)))
    assert not m.defect.any()


def test_what_is_kept_of_a_long_message_is_bounded() -> None:
    m = decode(*HANDSHAKE, (True, message(WRITE[0], 2, 2, rest=bytes(100_000)) + message(READ[0], 3, 3, rest=bytes(30))))
    assert list(m.pdu_octets[4:]) == [KEPT_OCTETS, 58]
    assert list(m.function[4:]) == [673, 631]


def test_a_chunk_that_is_longer_than_its_receiver_takes_is_marked() -> None:
    long = message(WRITE[0], 2, 2, rest=bytes(65536))
    m = decode(*HANDSHAKE, (True, long), (True, message(READ[0], 3, 3)))
    assert list(zip(m.transaction[4:], m.defect[4:], strict=True)) == [(2, Defect.BAD_LENGTH), (3, Defect.NONE)]
    unheard = decode((True, long))
    assert unheard.defect.tolist() == [Defect.NONE]


def test_a_server_that_calls_its_client() -> None:
    """Reverse connect (7.1.3): who opens the connection is the server, and stands there in every row from then on."""
    reverse = chunk(b"RHE", text(b"urn:plc") + text(b"opc.tcp://plc:4840"))
    m = decode((True, reverse), (False, hello()), (True, acknowledge()), (False, message(READ[0], 1, 1)), (True, message(READ[1], 1, 1)))
    assert [MessageKind(k) for k in m.kind] == [
        MessageKind.RESPONSE, MessageKind.REQUEST, MessageKind.RESPONSE, MessageKind.REQUEST, MessageKind.RESPONSE,
    ]  # fmt: skip
    assert set(m.decoded("client")) == {"10.0.0.2"}
    assert m.latency[4] == 1_000_000


def test_many_publish_requests_wait() -> None:
    asked = b"".join(message(PUBLISH[0], 2 + i, 2 + i) for i in range(PENDING_PER_FLOW))
    m = decode(*HANDSHAKE, (True, asked), (False, message(PUBLISH[1], 2, 2)))
    assert (m.latency[-1], m.defect[-1]) == (1_000_000, Defect.NONE)


def test_the_sensor_hears_it_on_any_port_with_frames_and_losses() -> None:
    talk = Talk(sport=48010)
    for from_client, octets in HANDSHAKE:
        talk.send(0 if from_client else 1, octets)
    talk.ask(message(READ[0], 2, 2))
    talk.seqs[1] += 20  # the first part of the answer is not heard
    talk.answer(message(READ[1], 2, 2)[20:])
    talk.ask(message(WRITE[0], 3, 3))
    talk.answer(message(WRITE[1], 3, 3))
    talk.raw(0, message(WRITE[0], 3, 3, rest=b"x" * 64), shift=-len(message(WRITE[0], 3, 3)))
    talk.finish()
    m, flows, _ = hear(talk.batch())
    assert set(flows.protocol.tolist()) <= {Protocol.UNKNOWN, Protocol.OPCUA}
    assert [int(frame) for frame in m.frame] == [4, 5, 6, 7, 8, 10, 11, 12]
    assert list(m.function) == [-1, -1, 446, 449, 631, 673, 676, 673]
    assert list(m.defect[-3:]) == [Defect.NONE, Defect.STREAM_GAP, Defect.CONTRADICTING_COPY]
    assert set(m.port.tolist()) == {48010}


def test_a_chunk_that_was_cut_before_its_number_is_no_break_in_the_numbers() -> None:
    talk = Talk(sport=4840)
    for from_client, octets in HANDSHAKE:
        talk.send(0 if from_client else 1, octets)
    asked = message(READ[0], 2, 2)
    talk.ask(asked[:14])
    talk.seqs[0] += len(asked) - 14
    talk.answer(message(READ[1], 2, 2))
    talk.ask(message(WRITE[0], 3, 3) + message(READ[0], 4, 4))
    m, _, _ = hear(talk.batch())
    asked_rows = m.take(m.kind == MessageKind.REQUEST)
    assert list(asked_rows.function[2:]) == [-1, 673, 631]
    assert list(asked_rows.defect[2:]) == [Defect.TRUNCATED, Defect.NONE, Defect.NONE]


SOUND = st.one_of(
    st.builds(
        message,
        st.sampled_from([*READ, *WRITE, *PUBLISH, SERVICE_FAULT, 4711]),
        st.integers(0, 2**32 - 1),
        st.integers(0, 9),
        final=st.sampled_from([b"F", b"F", b"C", b"A"]),
        rest=st.integers(0, 700).map(bytes),
    ),
    st.sampled_from([hello(), acknowledge(), opened(OPENING[0]), opened(OPENING[1]), opened(OPENING[0], SECURED)]),
)
UNSOUND = st.one_of(
    st.binary(max_size=40),
    st.builds(
        chunk,
        st.sampled_from([b"HEL", b"ERR", b"RHE", b"OPN", b"MSG", b"CLO", b"XYZ"]),
        st.binary(max_size=60),
        st.sampled_from([b"F", b"C", b"A", b"X"]),
        st.one_of(st.none(), st.integers(0, 200), st.just(2**31)),
    ),
)


@settings(max_examples=150)
@given(parts=st.lists(st.tuples(st.booleans(), st.one_of(SOUND, SOUND, UNSOUND)), max_size=12), seed=st.integers(0, 2**32))
def test_any_cutting_of_the_streams_gives_the_same_rows(parts: list[tuple[bool, bytes]], seed: int) -> None:
    """Whole, octet by octet, and at random places; each direction keeps its order, and so does whose turn it is."""
    chance = random.Random(seed)

    def cut(size_of: object) -> list[dict[str, object]]:
        pieces: list[Segment] = []
        for at, (from_client, octets) in enumerate(parts):
            rest = octets
            while rest:
                size = size_of() if callable(size_of) else len(rest)
                pieces.append(segment(rest[:size], from_client, time=at))
                rest = rest[size:]
        decoder = ConnectionDecoder()
        return rows_of(decoder.decode(pieces)) + rows_of(decoder.close(Instant(len(parts))))

    whole = cut(None)
    assert cut(lambda: 1) == whole
    assert cut(lambda: chance.randint(1, 30)) == whole


DENSEST = b"\xff" + chunk(b"MSG", b"")  # an octet that fits no chunk, and the shortest chunk


def test_the_densest_rows_fit_the_room_that_is_kept_for_them() -> None:
    m = decode((True, (DENSEST * (SEGMENT_OCTETS // len(DENSEST) + 1))[:SEGMENT_OCTETS]), close=True)
    assert 2 * SEGMENT_OCTETS // len(DENSEST) - 2 <= len(m) <= ROWS_PER_FEED
    assert int(m.pdu_octets.sum()) <= SEGMENT_OCTETS <= POOL_PER_FEED


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.one_of(st.binary(max_size=300), st.just(DENSEST), UNSOUND)), max_size=8))
def test_any_octets_are_bounded_and_never_raise(parts: list[tuple[bool, bytes]]) -> None:
    m = decode(*parts, close=True)
    total = sum(len(octets) for _, octets in parts)
    assert len(m) <= 2 * (total // 9 + 1) + 2
    assert int(m.pdu_octets.sum()) <= total
