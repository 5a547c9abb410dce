import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.wire.opcua.certificates import MAX_CERTIFICATES, chain, is_loop, subject_of
from collectors.wire.opcua.details import BodyReader
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Topic
from tests.unit.collectors.wire.certificates import issued
from tests.unit.collectors.wire.test_opcua import SECURED, acknowledge, decode, hello, opened

ROOT = issued("root", by="root")


@pytest.mark.parametrize(
    ("certificates", "loops"),
    [
        ([ROOT], False),
        ([issued("plant", by="root"), ROOT], False),
        ([issued("station", by="plant"), issued("plant", by="root")], False),
        ([issued("a", by="b"), issued("b", by="a")], True),
        ([issued("a", by="b"), issued("b", by="c"), issued("c", by="b")], True),
        ([issued("station", by="root"), ROOT, issued("a", by="b"), issued("b", by="a")], False),
        ([b"\x30\x00", issued("a", by="b"), issued("b", by="a")], False),
    ],
)
def test_a_chain_is_taken_apart_and_followed(certificates: list[bytes], loops: bool) -> None:
    assert chain(b"".join(certificates)) == certificates
    assert is_loop(certificates) is loops


def test_what_is_cut_or_endless_is_left() -> None:
    assert chain(ROOT + ROOT[:-1]) == [ROOT]
    assert chain(b"certificate") == []
    assert len(chain(b"\x30\x00" * 5000)) == MAX_CERTIFICATES


@given(st.binary(max_size=300) | st.builds(lambda cut, more: ROOT[:cut] + more, st.integers(0, len(ROOT)), st.binary(max_size=40)))
def test_any_octets_are_taken_apart_or_left(octets: bytes) -> None:
    found = chain(octets)
    assert octets.startswith(b"".join(found))
    is_loop(found or [octets])


def test_the_sensor_tells_whose_chain_it_is() -> None:
    certificates = issued("a", by="b") + issued("b", by="a")
    asked, told = SERVICES["OpenSecureChannel"]
    talk = [(True, hello()), (False, acknowledge()), (True, opened(asked, SECURED, certificate=certificates))]
    details = BodyReader(7).read(decode(*talk, (False, opened(told, SECURED, certificate=ROOT))))
    rows = [
        (Topic(topic), details.name_of(subject), details.name_of(text))
        for topic, subject, text in zip(details.topic.tolist(), details.subject.tolist(), details.text.tolist(), strict=True)
        if topic in (Topic.CERTIFICATE, Topic.CERTIFICATE_CHAIN)
    ]
    assert rows == [
        (Topic.CERTIFICATE, hashlib.sha256(issued("a", by="b")).hexdigest(), "client"),
        (Topic.CERTIFICATE_CHAIN, "client", "loop"),
        (Topic.CERTIFICATE, hashlib.sha256(ROOT).hexdigest(), "server"),
    ]


def test_whose_a_certificate_says_it_is() -> None:
    assert subject_of(issued("Pump station", by="root")) == "CN=Pump station"


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_octets_make_a_name_fail(noise: bytes, at: int) -> None:
    whole = issued("Pump station", by="root")
    subject_of(noise)
    subject_of(whole[:at])
    subject_of(whole[:at] + noise + whole[at + len(noise) :])
