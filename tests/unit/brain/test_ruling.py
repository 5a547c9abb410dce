"""What follows from a verdict at the gate: one rule, and what the plant file and the gate's settings declare for doubt."""

from dataclasses import replace

import pytest

from sentinel.brain.ruling import ruling_for, unknown_choice
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.ids import AssetId, CommandId, Digest, VerdictId
from sentinel.model.tags import OnDeadline, Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.model.verdict import Judgement, Verdict
from sentinel.settings import Gate

FORWARD, REFUSE = OnDeadline.FORWARD, OnDeadline.REFUSE
TAGS = TagMap(
    tuple(
        Tag(name=choice.value, role=TagRole.SETPOINT, unit="1", low=0.0, high=1.0, writable=True, on_deadline=choice)
        for choice in OnDeadline
    )
)
DOUBT = Verdict(id=VerdictId("v"), command=CommandId("c"), judgement=Judgement.UNDECIDED, reason="who knows", judged=Instant(0))


def command(*tags: str | None) -> Command:
    return Command(
        id=CommandId("c"),
        origin=Origin.GATE,
        seen=Instant(0),
        source=AssetId("192.0.2.7"),
        target=AssetId("192.0.2.1"),
        protocol="modbus",
        operation="write_multiple_registers",
        writes=tuple(TagWrite(tag=tag, point="holding 0", raw=1.0) for tag in tags),
        frame=Digest(""),
    )


@pytest.mark.parametrize(
    ("written", "unknown", "forward"),
    [
        (("forward",), REFUSE, True),
        (("refuse",), FORWARD, False),
        (("forward", "refuse"), FORWARD, False),
        ((None,), FORWARD, True),
        ((None,), REFUSE, False),
        (("forward", None), FORWARD, True),
        (("forward", None), REFUSE, False),
        (("refuse", None), FORWARD, False),
        ((), FORWARD, True),  # a function whose points have no name
        ((), REFUSE, False),
        (("a tag of another plant",), FORWARD, True),
    ],
)
def test_doubt_follows_what_is_declared(written: tuple[str | None, ...], unknown: OnDeadline, forward: bool) -> None:
    ruling = ruling_for(command(*written), DOUBT, TAGS, learning=False, unknown=unknown)
    assert ruling.forward is forward
    assert "by declared choice: who knows" in ruling.reason


@pytest.mark.parametrize(
    ("written", "unknown", "says"),
    [
        (("ask",), REFUSE, "people are asked"),
        (("ask", "forward"), REFUSE, "people are asked"),
        (("ask", "refuse"), FORWARD, "by declared choice"),
        (("ask", None), REFUSE, "by declared choice"),
    ],
)
def test_what_asks_is_refused_meanwhile(written: tuple[str | None, ...], unknown: OnDeadline, says: str) -> None:
    ruling = ruling_for(command(*written), DOUBT, TAGS, learning=False, unknown=unknown)
    assert not ruling.forward
    assert says in ruling.reason


@pytest.mark.parametrize(("judgement", "forward"), [(Judgement.SAFE, True), (Judgement.UNSAFE, False)])
@pytest.mark.parametrize("learning", [True, False])
def test_a_judgement_needs_no_declared_choice(judgement: Judgement, forward: bool, learning: bool) -> None:
    verdict = replace(DOUBT, judgement=judgement)
    assert ruling_for(command("refuse"), verdict, TAGS, learning=learning, unknown=FORWARD).forward is forward


def test_while_learning_doubt_alone_refuses_nothing() -> None:
    assert ruling_for(command("refuse", None), DOUBT, TAGS, learning=True).forward


def gate(upstream: str, unknown: str) -> Gate:
    return Gate(name=upstream, upstream=upstream, unknown_tag=unknown)


@pytest.mark.parametrize(
    ("gates", "choice"),
    [
        ((), REFUSE),
        ((gate("192.0.2.1:502", "forward"),), FORWARD),
        ((gate("[::ffff:192.0.2.1]:502", "forward"),), FORWARD),
        ((gate("192.0.2.2:502", "forward"),), REFUSE),
        ((gate("192.0.2.2:502", "refuse"), gate("192.0.2.1:502", "forward")), FORWARD),
        ((gate("192.0.2.1:502", "refuse"), gate("192.0.2.1:503", "forward")), REFUSE),
    ],
)
def test_unknown_addresses_are_its_own_gate_s_choice(gates: tuple[Gate, ...], choice: OnDeadline) -> None:
    assert unknown_choice(gates, AssetId("192.0.2.1")) is choice
