"""What OPC UA bodies tell: values with their nodes, calls, who logs in; and what hostile ones cost."""

import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.wire.opcua import services
from collectors.wire.opcua.body import is_utf8
from collectors.wire.opcua.details import BodyReader, node_text
from collectors.wire.opcua.nodes import NODE_SETS, WAYS, make_memory
from collectors.wire.opcua.session import facts
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Defect, Topic
from tests.unit.collectors.wire.opcua_bodies import (
    EPOCH_TICKS,
    Conversation,
    activate,
    answering,
    asking,
    call,
    data_value,
    extension,
    many,
    monitor,
    node,
    number,
    published,
    read,
    results,
    values,
    write,
)
from tests.unit.collectors.wire.test_opcua import SECURED, acknowledge, hello, message, opened, text

LEVEL, SETPOINT = node("LT101"), node("LIC101.SP")


def told(details: Details, topic: Topic) -> list[tuple[str | None, float]]:
    rows = details.topic == topic
    return list(zip(details.take(rows).decoded("subject"), details.number[rows].tolist(), strict=True))


def test_what_was_read_bears_the_names_of_its_request() -> None:
    spoken = Conversation().ask("Read", read(LEVEL, node(7, 0), SETPOINT))
    spoken.answer(
        "Read", values(data_value(number(1.5), 0x40000000, EPOCH_TICKS + 5), data_value(b"\x01\x01"), data_value(b"\x06" + b"\xff" * 4))
    )
    _, details = spoken.heard()
    assert told(details, Topic.VALUE_READ) == [("ns=2;s=LT101", 1.5), ("i=7", 1.0), ("ns=2;s=LIC101.SP", -1.0)]
    assert list(details.status) == [0x40000000, 0, 0]
    assert list(details.stamped) == [500, -1, -1]


BUILD = b"".join(text(said) for said in (b"urn:acme", b"Acme", b"UA server", b"2.1.0", b"77")) + bytes(8)
SAID = [(Topic.VENDOR, "Acme"), (Topic.PRODUCT, "UA server"), (Topic.FIRMWARE, "2.1.0"), (Topic.BUILD, "77")]


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [
        (node(2264, 0), b"\x0c" + text(b"2.1.0"), [(Topic.FIRMWARE, "2.1.0")]),
        (b"\x02\0\0" + struct.pack("<I", 2262), b"\x0c" + text("Größe".encode()), [(Topic.VENDOR, "Größe")]),
        (node(2260, 0), b"\x16" + extension(340, BUILD), SAID),
        (node(2256, 0), b"\x16" + extension(864, bytes(20) + BUILD), SAID),
        (node(2256, 0), b"\x16" + extension(864, bytes(19)), []),
        (node(2260, 0), b"\x16" + extension(340, BUILD[:20]), [(Topic.VENDOR, "Acme")]),
        (node(2260, 0), b"\x16" + extension(340), []),
        (node(2261, 0), b"\x0c" + text(b"urn:acme"), []),
        (node(2264, 0), b"\x0c" + text(None), []),
        (node(2264, 0), b"\x0c" + text(b"x" * 500), []),
        (node(2264, 1), b"\x0c" + text(b"2.1.0"), []),
        (node("2264", 0), b"\x0c" + text(b"2.1.0"), []),
    ],
)  # fmt: skip
def test_what_a_server_says_it_is(asked: bytes, answered: bytes, expected: list[tuple[int, str]]) -> None:
    """In single nodes, in its BuildInfo, in the status that holds it; beside values, which stay what they are."""
    spoken = Conversation().ask("Read", read(LEVEL, asked, SETPOINT))
    _, details = spoken.answer("Read", values(data_value(number(1.5)), data_value(answered), data_value(number(2.5)))).heard()
    assert told(details, Topic.VALUE_READ) == [("ns=2;s=LT101", 1.5), ("ns=2;s=LIC101.SP", 2.5)]
    said = [(int(topic), words) for topic, words in zip(details.topic, details.decoded("text"), strict=True) if words]
    assert said == expected


def test_a_write_and_its_result() -> None:
    spoken = (
        Conversation().ask("Write", write((SETPOINT, number(2.5)), (LEVEL, b"\x0c" + text(b"off")))).answer("Write", results(0, 0x80340000))
    )
    _, details = spoken.heard()
    written = told(details, Topic.VALUE_WRITTEN)
    assert written[0] == ("ns=2;s=LIC101.SP", 2.5)
    assert written[1][0] == "ns=2;s=LT101"
    assert np.isnan(written[1][1])
    assert [(name, int(status)) for name, status in zip(details.decoded("subject"), details.status, strict=True)][2:] == [
        ("ns=2;s=LIC101.SP", 0),
        ("ns=2;s=LT101", 0x80340000),
    ]


def test_published_values_are_named_by_their_handles() -> None:
    spoken = Conversation().ask("CreateMonitoredItems", monitor(5, (1, LEVEL), (2, SETPOINT)))
    spoken.ask("Publish", asking() + many([])).answer("Publish", published(5, (2, data_value(number(3.0))), (1, data_value(number(4.0)))))
    spoken.ask("Publish", asking() + many([])).answer("Publish", published(6, (1, data_value(number(9.0)))))
    reader = BodyReader(7)
    details = reader.read(spoken.messages())
    assert told(details, Topic.VALUE_PUBLISHED) == [("ns=2;s=LIC101.SP", 3.0), ("ns=2;s=LT101", 4.0)]
    assert reader.counts["opcua_values_unnamed"] == 1


def subscribed(flow: int, place: bytes, client: str = "10.0.0.1") -> Messages:
    return Conversation(flow=flow).ask("CreateMonitoredItems", monitor(5, (1, place))).messages(client)


def published_on(reader: BodyReader, flow: int, client: str = "10.0.0.1") -> list[tuple[str | None, float]]:
    spoken = Conversation(flow=flow).ask("Publish", asking() + many([])).answer("Publish", published(5, (1, data_value(number(4.0)))))
    return told(reader.read(spoken.messages(client)), Topic.VALUE_PUBLISHED)


def test_a_subscription_outlives_its_connection() -> None:
    """A client that comes back on a new connection goes on with it; another client's handles are its own."""
    reader = BodyReader(7)
    reader.read(subscribed(0, LEVEL))
    assert published_on(reader, 1) == [("ns=2;s=LT101", 4.0)]
    assert published_on(reader, 2, client="10.0.0.9") == []
    assert reader.counts["opcua_values_unnamed"] == 1


def test_a_handle_on_which_connections_differ_names_nothing_on_a_third() -> None:
    """Else whoever shares the client's address could give its values other names."""
    reader = BodyReader(7)
    reader.read(subscribed(0, LEVEL))
    reader.read(subscribed(1, SETPOINT))
    assert published_on(reader, 0) == [("ns=2;s=LT101", 4.0)]
    assert published_on(reader, 1) == [("ns=2;s=LIC101.SP", 4.0)]
    assert published_on(reader, 2) == []


SIGNED = [(b"Basic128Rsa15", 20), (b"Basic256", 20), (SECURED[43:], 32), (b"Aes128_Sha256_RsaOaep", 32), (b"ECC_nistP384", 48)]


@pytest.mark.parametrize(("policy", "octets"), SIGNED)
def test_a_signed_message_in_several_chunks_is_read_whole(policy: bytes, octets: int) -> None:
    """Each chunk ends with a signature (OPC 10000-6, 6.7.2.5), which is no part of the body."""
    channel = [(side, opened(0, b"http://opcfoundation.org/UA/SecurityPolicy#" + policy)) for side in (True, False)]
    body = write((SETPOINT, number(2.5)), (LEVEL, number(3.5)))
    for cut in range(1, len(body), 7):
        spoken = Conversation([(True, hello()), (False, acknowledge()), *channel], signature=b"\xa5" * octets)
        messages, details = spoken.ask("Write", body[:cut], b"C").more(True, body[cut:]).heard()
        assert told(details, Topic.VALUE_WRITTEN) == [("ns=2;s=LIC101.SP", 2.5), ("ns=2;s=LT101", 3.5)]
        assert messages.defect.tolist() == [Defect.NONE] * 6


def test_a_call_names_its_method() -> None:
    _, details = Conversation().ask("Call", call(LEVEL, node("Reset"), number(7.0), b"\x0c" + text(b"now"))).heard()
    assert told(details, Topic.METHOD_CALLED) == [("ns=2;s=Reset", 7.0)]


def test_a_write_in_several_chunks_is_read_whole() -> None:
    body = write((SETPOINT, number(2.5)), (LEVEL, number(3.5)))
    for cut in range(1, len(body)):
        spoken = Conversation().ask("Write", body[:cut], b"C").more(True, body[cut:])
        assert told(spoken.heard()[1], Topic.VALUE_WRITTEN) == [("ns=2;s=LIC101.SP", 2.5), ("ns=2;s=LT101", 3.5)]


def test_what_its_sender_gave_up_says_nothing() -> None:
    spoken = Conversation().ask("Write", write((SETPOINT, number(2.5))), b"C").more(True, struct.pack("<I", 0x80000000) + text(None), b"A")
    spoken.ask("Write", write((LEVEL, number(3.5))), same=True)
    assert told(spoken.heard()[1], Topic.VALUE_WRITTEN) == [("ns=2;s=LT101", 3.5)]


@pytest.mark.parametrize("nested", [b"\x98" + struct.pack("<i", 1), b"\x97" + struct.pack("<i", 1) + b"\x01"])
@pytest.mark.parametrize(("levels", "defect"), [(40, Defect.NONE), (300, Defect.BAD_VALUE)])
def test_a_nested_bomb_is_a_defect(nested: bytes, levels: int, defect: Defect) -> None:
    messages, details = Conversation().ask("Write", write((SETPOINT, nested * levels + number(1.0)))).heard()
    assert Defect(messages.defect[-1]) is defect
    assert len(told(details, Topic.VALUE_WRITTEN)) == (defect is Defect.NONE)


@pytest.mark.parametrize(
    "body",
    [
        asking() + struct.pack("<i", 1_000_000),
        asking() + many([SETPOINT + struct.pack("<I", 13) + text(None) + b"\x01\x8b" + struct.pack("<i", 2_000_000_000)]),
        asking() + many([SETPOINT])[:-2],
        asking()[:9],
    ],
)
def test_a_length_that_lies_is_a_defect(body: bytes) -> None:
    messages, details = Conversation().ask("Write", body).heard()
    assert Defect(messages.defect[-1]) is Defect.BAD_LENGTH
    assert not len(details)


_TEXTS = [
    (b"Druck \xc3\xbc", True), (b"\xe2\x82\xac" * 5, True), (b"\xf0\x9f\x98\x80", True), (b"\xf4\x8f\xbf\xbf", True), (b"", True),
    (b"plain ascii of more than eight octets\xff", False), (b"\xc0\xaf", False), (b"\xe0\x9f\xbf", False), (b"\xed\xa0\x80", False),
    (b"\xf0\x8f\x80\x80", False), (b"\xf4\x90\x80\x80", False), (b"\xf5\x80\x80\x80", False), (b"\x80", False), (b"\xe2\x82", False),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "is_text"), _TEXTS)
def test_a_text_that_is_no_utf8_is_a_defect_and_octets_are_not(octets: bytes, is_text: bool) -> None:
    expected = Defect.NONE if is_text else Defect.BAD_TEXT
    named = struct.pack("<BH", 3, 2) + text(octets)
    for body in (write((named, number(1.0))), write((SETPOINT, b"\x0c" + text(octets))), write((SETPOINT, b"\x15\x02" + text(octets)))):
        assert Conversation().ask("Write", body).messages().defect[-1] == Defect.NONE, "before the body is read"
        messages, _ = Conversation().ask("Write", body).heard()
        assert Defect(messages.defect[-1]) is expected
    messages, _ = Conversation().ask("Write", write((SETPOINT, b"\x0f" + text(octets)))).heard()
    assert Defect(messages.defect[-1]) is Defect.NONE
    session = asking() + text(octets) + text(b"product") + b"\x02" + text(b"name") + struct.pack("<I", 1) + text(None) * 2 + many([])
    messages, details = Conversation().ask("CreateSession", session).heard()
    assert Defect(messages.defect[-1]) is expected
    assert (details.topic == Topic.CLIENT_APPLICATION).sum() == 1


@given(
    st.binary(max_size=40)
    | st.text(max_size=20).map(str.encode)
    | st.builds(lambda a, b: a.encode() + b, st.text(max_size=9), st.binary(max_size=3))
)
def test_what_is_utf8_is_what_the_standard_library_takes(octets: bytes) -> None:
    try:
        octets.decode()
        taken = True
    except UnicodeDecodeError:
        taken = False
    assert is_utf8(np.frombuffer(b"\xff" + octets + b"\xff", np.uint8), 1, 1 + len(octets)) is taken


def test_a_password_that_everybody_can_read_is_told_and_never_kept() -> None:
    messages, details = Conversation().ask("ActivateSession", activate("anna", b"open sesame")).heard()
    (row,) = np.flatnonzero(details.topic == Topic.IDENTITY)
    assert (details.name_of(int(details.subject[row])), details.name_of(int(details.text[row])), details.number[row]) == (
        "username",
        "anna",
        1.0,
    )
    assert b"sesame" not in messages.pool.tobytes()
    assert not any("sesame" in name for name in details.names)
    _, details = Conversation().ask("ActivateSession", activate("anna", b"\x5a" * 64, b"http://www.w3.org/2001/04/xmlenc#rsa-oaep")).heard()
    assert details.number[details.topic == Topic.IDENTITY].tolist() == [0.0]


def test_a_password_that_is_cut_is_not_kept_either() -> None:
    whole = activate("anna", b"open sesame")
    octets = bytearray(message(SERVICES["ActivateSession"][0], 2, 2, rest=whole[: whole.index(b"sesame") + 4]))
    facts(memoryview(octets), SERVICES["ActivateSession"][0], True)
    assert b"open" not in octets
    assert b"sesa" not in octets


def test_who_opens_and_what_it_says_of_itself() -> None:
    about = text(b"urn:hmi") + text(b"urn:maker") + b"\x02" + text(b"HMI 4") + struct.pack("<I", 1) + text(None) * 2 + many([])
    body = asking() + about + text(None) * 3 + text(b"nonce") + text(None) + struct.pack("<dI", 60000.0, 0)
    _, details = Conversation().ask("CreateSession", body).heard()
    said = {
        (Topic(t), details.name_of(s), details.name_of(x)) for t, s, x in zip(details.topic, details.subject, details.text, strict=True)
    }
    assert said == {(Topic.CLIENT_APPLICATION, "urn:hmi", "HMI 4")}


def test_what_is_remembered_is_bounded() -> None:
    assert sum(table.nbytes for table in make_memory(7)) <= 2_000_000


def test_more_nodes_than_there_is_room_for_are_forgotten_and_counted() -> None:
    spoken = Conversation()
    for first in range(0, 3 * WAYS * NODE_SETS, 200):
        spoken.ask("Read", read(*(struct.pack("<BHI", 2, 2, which) for which in range(first, first + 200))))
    reader = BodyReader(7)
    reader.read(spoken.messages())
    assert reader.counts["opcua_nodes_forgotten"] > WAYS * NODE_SETS
    spoken = Conversation().ask("Read", read(LEVEL)).answer("Read", values(data_value(number(1.5))))
    assert told(reader.read(spoken.messages()), Topic.VALUE_READ) == [("ns=2;s=LT101", 1.5)]


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"\x00\x55", "i=85"),
        (b"\x01\x02\x10\x00", "ns=2;i=16"),
        (b"\x02\x03\x00\x10\x00\x01\x00", "ns=3;i=65552"),
        (node("a"), "ns=2;s=a"),
        (b"\x04\x01\x00" + bytes(range(16)), "ns=1;g=03020100-0504-0706-0809-0a0b0c0d0e0f"),
        (b"\x05\x01\x00" + text(b"\xff\x00"), "ns=1;b=/wA="),
        (b"\x03\x01\x00" + text(b"\xff"), "ns=1;s=\ufffd"),
    ],
)
def test_node_ids_are_written_as_the_standard_does(octets: bytes, said: str) -> None:
    assert node_text(octets) == said


BODIES = (
    read(LEVEL, SETPOINT),
    values(data_value(number(1.0), 0, EPOCH_TICKS), data_value(b"\x98" + struct.pack("<i", 2) + number(1.0) * 2)),
    write((SETPOINT, number(2.0)), (LEVEL, b"\xcb" + many([bytes(8)]) + many([struct.pack("<i", 1)]))),
    call(LEVEL, node("Reset"), number(1.0)),
    monitor(5, (1, LEVEL)),
    published(5, (1, data_value(number(1.0)))),
    activate("anna", b"open"),
    answering() + many([]),
    asking() + extension(641, bytes(9)) + struct.pack("<I?", 1, False) + many([LEVEL + text(None) + b"\0\0" + text(None) * 2]),
)
FUNCTIONS = sorted({*services.READABLE, 446, 449, 461, 464, 467, 431, 425})


@st.composite
def talk(draw: st.DrawFn) -> Messages:
    """Rows whose bodies are right, cut, altered or made up, in one or several chunks."""
    parts = list(Conversation().parts)
    for at in range(draw(st.integers(1, 12))):
        octets = bytearray(draw(st.sampled_from(BODIES) | st.binary(max_size=200)))
        for _ in range(draw(st.integers(0, 3))):
            if octets:
                octets[draw(st.integers(0, len(octets) - 1))] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x98]))
        if draw(st.booleans()):
            del octets[draw(st.integers(0, len(octets))) :]
        final = draw(st.sampled_from([b"F", b"F", b"C", b"A"]))
        parts.append(
            (
                draw(st.booleans()),
                message(draw(st.sampled_from(FUNCTIONS)), at + 2, draw(st.integers(2, 4)), final=final, rest=bytes(octets)),
            )
        )
    spoken = Conversation()
    spoken.parts = parts
    return spoken.messages()


def same(a: Details, b: Details) -> bool:
    columns = [name for name in Details.dtypes() if name not in Details.coded_fields()]
    return all(np.array_equal(getattr(a, name), getattr(b, name), equal_nan=name == "number") for name in columns) and all(
        a.decoded(name) == b.decoded(name) for name in Details.coded_fields()
    )


@given(talk(), st.lists(st.integers(0, 30), max_size=4))
@settings(max_examples=300)
def test_any_bodies_in_any_batches_give_the_same_details(messages: Messages, cuts: list[int]) -> None:
    whole, pieces = BodyReader(7), BodyReader(7)
    edges = [0, *sorted(min(cut, len(messages)) for cut in cuts), len(messages)]
    parts = [messages.take(slice(low, high)) for low, high in pairwise(edges)]
    found = Details.concat([pieces.read(part.take(np.arange(len(part)))) for part in parts])
    assert same(whole.read(messages.take(np.arange(len(messages)))), found)
    assert whole.counts == pieces.counts
