import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.model.codec import CodecError
from sentinel.model.time import Instant
from sentinel.twin.engine import Model, initial
from sentinel.twin.snapshot import MAGIC, Deviation, Grade, Health, Snapshot

HEALTH = Health(
    grade=Grade.DEGRADED, reason="T1 is silent", deviations=(Deviation(tag="T1", distance=None, why="silent"),), since=Instant(7)
)


def small() -> Snapshot:
    return Snapshot(
        at=Instant(1_700_000_000_000_000_001), digest="ab" * 32, states=np.arange(6.0).reshape(2, 3), controllers=np.ones((2, 2)),
        parameters=np.zeros((2, 0)), inputs=np.array([1.5]), trusted=True, health=HEALTH,
    )  # fmt: skip


def test_octets_come_back_as_the_same_snapshot(model: Model) -> None:
    for one in (small(), initial(model, 256)):
        again = Snapshot.from_octets(one.to_octets())
        assert again.to_octets() == one.to_octets()
        assert (again.at, again.digest, again.trusted, again.health) == (one.at, one.digest, one.trusted, one.health)
        assert np.array_equal(again.states, one.states)
        assert again.fingerprint() == one.fingerprint()


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().states[0, 0] = 5.0


def forged(**changes: object) -> bytes:
    octets = small().to_octets()
    size = int.from_bytes(octets[8:12], "big")
    header = json.loads(octets[12 : 12 + size]) | changes
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(4, "big") + text + octets[12 + size :]


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "do not begin"),
        (b"PK\x03\x04" + bytes(40), "do not begin"),
        (MAGIC + b"\xff\xff\xff\xff", "length does not fit"),
        (small().to_octets()[:-1], "does not fit the shapes"),
        (small().to_octets() + b"\0", "does not fit the shapes"),
        (forged(at="now"), "wrong kind"),
        (forged(trusted=1), "wrong kind"),
        (forged(shapes={"states": [2, 3], "controllers": [2, 2], "parameters": [2, 0]}), "header"),
        (forged(shapes={"states": [1, 6], "controllers": [2, 2], "parameters": [2, 0], "inputs": [1]}), "different numbers of members"),
        (forged(shapes={"states": [2, -3], "controllers": [2, 2], "parameters": [2, 0], "inputs": [1]}), "out of bounds"),
        (forged(shapes={"states": [2**40, 2**40], "controllers": [2, 2], "parameters": [2, 0], "inputs": [1]}), "out of bounds"),
        (forged(health={"grade": "splendid", "reason": "", "since": None, "deviations": []}), "splendid"),
        (forged(health={"grade": "lost", "reason": "", "since": None, "deviations": [["a", "far", ""]]}), "not a number"),
    ],
)
def test_forged_octets_are_refused(octets: bytes, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        Snapshot.from_octets(octets)


def test_numbers_that_are_not_finite_are_refused() -> None:
    octets = replace(small(), inputs=np.array([np.nan])).to_octets()
    with pytest.raises(CodecError, match="not finite"):
        Snapshot.from_octets(octets)


@settings(max_examples=100)
@given(st.data())
def test_any_damage_is_a_codec_error_or_a_snapshot(data: st.DataObject) -> None:
    octets = bytearray(small().to_octets())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = Snapshot.from_octets(bytes(octets))
    except CodecError:
        return
    assert np.isfinite(again.states).all()


def test_members_are_taken_from_the_front() -> None:
    assert small().take(1).states.tolist() == [[0.0, 1.0, 2.0]]
    with pytest.raises(ValueError, match="members"):
        small().take(3)
    with pytest.raises(ValueError, match="different numbers"):
        replace(small(), controllers=np.ones((3, 2)))
