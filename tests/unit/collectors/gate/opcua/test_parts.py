"""The gate's parts without sockets: what they make of any octets, of any cutting, and of what was tampered with."""

import struct
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.certificates import MAX_REJECTED, Certificates
from collectors.gate.opcua import opening
from collectors.gate.opcua.binary import DecodingError, Reader, request_header, response_header, service_of
from collectors.gate.opcua.channel import Channel, Sequence, Token
from collectors.gate.opcua.judgement import Course, judge, nodes_of
from collectors.gate.opcua.opening import peer_of
from collectors.gate.opcua.policies import POLICIES, Keys, Mode
from collectors.gate.opcua.rewriting import Face, endpoints
from collectors.gate.opcua.transport import ChannelError, Splitter
from sentinel.clock import SystemClock
from sentinel.errors import ConfigError
from sentinel.model.tags import OnDeadline, TagMap
from tests.unit.collectors.gate.opcua.stage import TAGS, double, node, one_write, tag, text, writes
from tests.unit.collectors.gate.opcua.stage import request_header as header

NODES = nodes_of(TagMap((*TAGS, replace(tag("ZERO"), opcua="ns=0;i=85"))))


def write_request(parameters: bytes) -> bytes:
    return b"\x01\x00" + struct.pack("<H", 673) + header() + parameters


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"\x00\x55", "i=85"),
        (b"\x01\x00\x55\x00", "i=85"),
        (b"\x02\x00\x00\x55\x00\x00\x00", "i=85"),  # the same node in three spellings
        (b"\x01\x02\x55\x00", "ns=2;i=85"),
        (node("LIC101.SP"), "ns=2;s=LIC101.SP"),
        (b"\x04\x01\x00" + bytes(range(16)), "ns=1;g=03020100-0504-0706-0809-0a0b0c0d0e0f"),
        (b"\x05\x01\x00" + text(b"\xff\x00"), "ns=1;b=ff00"),
    ],
)
def test_node_ids_have_one_text(octets: bytes, says: str) -> None:
    reader = Reader(octets)
    assert (reader.node(), reader.at) == (says, len(octets))


@pytest.mark.parametrize("spelling", [b"\x00\x55", b"\x01\x00\x55\x00", b"\x02\x00\x00\x55\x00\x00\x00"])
def test_a_tag_is_found_however_its_node_is_spelled(spelling: bytes) -> None:
    item = spelling + struct.pack("<I", 13) + text(None) + b"\x01" + double(2.0)
    judged = judge(NODES, write_request(writes(item)), OnDeadline.REFUSE)
    assert [write.tag for write in judged.writes] == ["ZERO"]


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (b"\x01" + double(2.5), 2.5),
        (b"\x01\x01\x01", 1.0),
        (b"\x01\x04" + struct.pack("<h", -7), -7.0),
        (b"\x01\x0a" + struct.pack("<f", 1.5), 1.5),
        (b"\x01" + double(float("nan")), None),
        (b"\x01" + double(float("inf")), None),
        (b"\x01\x0c" + text(b"on"), None),
        (b"\x01\x8b" + struct.pack("<i", 1) + struct.pack("<d", 1.0), None),  # an array
        (b"\x01\xcb" + struct.pack("<id", 1, 1.0) + struct.pack("<iI", 1, 1), None),
        (b"\x01\x16\x01\x00\x01\x00\x01" + text(b"body"), None),
        (b"\x3f" + double(2.0) + bytes(4 + 8 + 2 + 8 + 2), 2.0),  # with status and times
        (b"\x00", None),
    ],
)
def test_values(value: bytes, raw: float | None) -> None:
    item = node("SP") + struct.pack("<I", 13) + text(None) + value
    judged = judge(NODES, write_request(writes(item)), OnDeadline.FORWARD)
    assert judged.course is Course.HOLD
    assert [(write.raw, write.value) for write in judged.writes] == [(raw, raw)]


def test_a_part_of_an_array_is_no_value_of_the_tag() -> None:
    item = node("SP") + struct.pack("<I", 13) + text(b"0:1") + b"\x01" + double(2.0)
    (write,) = judge(NODES, write_request(writes(item)), OnDeadline.FORWARD).writes
    assert (write.tag, write.value) == (None, None)


def test_nesting_without_end_is_refused() -> None:
    item = node("SP") + struct.pack("<I", 13) + text(None) + b"\x01" + b"\x18" * 5000
    judged = judge(NODES, write_request(writes(item)), OnDeadline.FORWARD)
    assert (judged.course, judged.status) == (Course.REFUSE, 0x80080000)


@given(st.binary(max_size=300))
def test_any_octets_are_judged_or_cannot_be_read(octets: bytes) -> None:
    for body in (octets, write_request(octets), write_request(writes(one_write("SP", 1.0)))[: len(octets)]):
        service_of(body)
        try:
            judge(NODES, body, OnDeadline.REFUSE)
        except DecodingError:
            continue


@given(st.binary(max_size=300))
def test_any_octets_are_a_header_an_opening_or_an_error(octets: bytes) -> None:
    for reading in (request_header, response_header, lambda body: endpoints(Reader(body))):
        with suppress(DecodingError):
            reading(octets)
    for opened in (opening.read_envelope, opening.read_request, opening.read_response, peer_of):
        with suppress(ChannelError):
            opened(octets)


def pair(policy_uri: str | None, mode: Mode) -> tuple[Channel, Channel]:
    """A client's and a server's end."""
    policy = POLICIES[policy_uri] if policy_uri else None
    ends = Channel(5, policy, mode, Sequence(), serves=False), Channel(5, policy, mode, Sequence(), serves=True)
    renew(*ends, 1)
    return ends


def renew(client: Channel, server: Channel, number: int, *, whom: str = "both") -> None:
    one, other = bytes((number,)) * 32, bytes((number + 100,)) * 32
    policy = client.policy
    keys = (Keys(policy, one, other), Keys(policy, other, one)) if policy else (None, None)
    if whom in ("both", "server"):
        server.renew(Token(number, keys[1], keys[0]))
    if whom in ("both", "client"):
        client.renew(Token(number, keys[0], keys[1]))


def chunks_of(octets: bytes) -> list[bytes]:
    splitter = Splitter(frozenset({b"MSGF", b"MSGC"}))
    splitter.limit = 1 << 16
    return list(splitter.feed(octets))


MODES = [(None, Mode.NONE)] + [(uri, mode) for uri in POLICIES for mode in (Mode.SIGN, Mode.SIGN_AND_ENCRYPT)]


@pytest.mark.parametrize(("policy", "mode"), MODES)
@settings(max_examples=30)
@given(body=st.binary(max_size=40_000), cuts=st.lists(st.integers(0, 50_000), max_size=8))
def test_what_is_sealed_is_opened_in_any_cutting(policy: str | None, mode: Mode, body: bytes, cuts: list[int]) -> None:
    client, server = pair(policy, mode)
    octets = client.seal(9, body) + client.seal(10, b"next")
    splitter = Splitter(frozenset({b"MSGF", b"MSGC"}))
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    pieces = [octets[at:end] for at, end in pairwise(places)]
    found = [server.open(chunk)[0] for piece in pieces for chunk in splitter.feed(piece)]
    assert [(message.request, message.body) for message in found if message] == [(9, body), (10, b"next")]


@pytest.mark.parametrize(("policy", "mode"), MODES[1:])
def test_no_octet_of_a_secured_chunk_can_be_changed(policy: str, mode: Mode) -> None:
    sound = pair(policy, mode)[0].seal(9, b"set the level")
    for at in range(len(sound)):
        _, server = pair(policy, mode)
        changed = sound[:at] + bytes((sound[at] ^ 1,)) + sound[at + 1 :]
        try:
            opened = [server.open(chunk) for chunk in chunks_of(changed)]
        except ChannelError:
            continue
        assert (opened, 4 <= at < 8) == ([], True), "another length, and the rest never comes"


@pytest.mark.parametrize(("policy", "mode"), MODES)
def test_tokens_overlap(policy: str | None, mode: Mode) -> None:
    client, server = pair(policy, mode)
    renew(client, server, 2, whom="server")
    assert client.open(server.seal(1, b"old until the client uses the new"))[0] is not None
    assert server.open(client.seal(1, b"old"))[0] is not None
    renew(client, server, 2, whom="client")
    late = server.seal(2, b"an answer on its way")
    assert server.open(client.seal(2, b"new"))[0] is not None
    assert client.open(late)[0] is not None
    answer = server.seal(3, b"new")
    assert struct.unpack_from("<I", answer, 12)[0] == 2
    assert client.open(answer)[0] is not None


def test_openings_are_made_for_one_receiver(tmp_path: Path) -> None:
    one, other, third = (Certificates(tmp_path / name, "gate", name, "127.0.0.1", SystemClock()).own for name in ("a", "b", "c"))
    for policy in POLICIES.values():
        wrapped = opening.wrap(0, 3, 4, b"body" * 200, policy, one, peer_of(other.der))
        envelope = opening.read_envelope(wrapped)
        assert opening.unwrap(wrapped, envelope, other) == (3, 4, b"body" * 200)
        with pytest.raises(ChannelError):
            opening.unwrap(wrapped, envelope, third)
        for at in (len(wrapped) - 1, envelope.end, 9):
            changed = wrapped[:at] + bytes((wrapped[at] ^ 1,)) + wrapped[at + 1 :]
            with pytest.raises(ChannelError):
                opening.unwrap(changed, opening.read_envelope(changed), other)


def test_the_store_keeps_its_own_and_bounds_what_it_rejects(tmp_path: Path) -> None:
    store = Certificates(tmp_path / "a", "gate", "gate", "127.0.0.1", SystemClock())
    assert Certificates(tmp_path / "a", "gate", "gate", "127.0.0.1", SystemClock()).own.der == store.own.der
    assert (tmp_path / "a" / "own" / "key.pem").stat().st_mode & 0o077 == 0
    peer = peer_of(store.own.der)
    for number in range(MAX_REJECTED + 5):
        assert store.why_not(peer.certificate, peer.der + bytes((number,))) is not None
    assert len(list((tmp_path / "a" / "rejected").iterdir())) == MAX_REJECTED
    (tmp_path / "a" / "own" / "key.pem").write_text("no key")
    with pytest.raises(ConfigError):
        Certificates(tmp_path / "a", "gate", "gate", "127.0.0.1", SystemClock())


def test_urls_keep_their_path(tmp_path: Path) -> None:
    own = Certificates(tmp_path, "gate", "gate", "127.0.0.1", SystemClock()).own
    face = Face(own, b"gate:1", b"10.0.0.1:4840")
    assert face.inward(b"opc.tcp://gate:1/a/b?c") == b"opc.tcp://10.0.0.1:4840/a/b?c"
    assert face.outward(b"opc.tcp://plc") == b"opc.tcp://gate:1"
    assert face.outward(None) is None
