"""One command, heard on both sides of the gate that holds it, is one command."""

from dataclasses import replace

import pytest

from sentinel.brain.held import HeldCommands
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.ids import AssetId, CommandId, Digest
from sentinel.model.time import NS_PER_S, Instant

HELD = Command(
    id=CommandId("c"),
    origin=Origin.GATE,
    seen=Instant(100 * NS_PER_S),
    source=AssetId("192.0.2.7"),
    target=AssetId("192.0.2.1"),
    protocol="modbus",
    operation="write_single_register",
    unit=1,
    writes=(TagWrite(tag=None, point="holding 0", raw=7.0),),
    frame=Digest(""),
)


@pytest.mark.parametrize(
    ("change", "is_echo"),
    [
        ({}, True),
        ({"source": AssetId("192.0.2.9")}, True),  # the gate's own side
        ({"source": AssetId("192.0.2.9"), "target": AssetId("192.0.2.8")}, False),
        ({"writes": ()}, False),
        ({"unit": 2}, False),
        ({"operation": "write_multiple_registers"}, False),
        ({"seen": Instant(103 * NS_PER_S)}, False),
        ({"seen": Instant(99 * NS_PER_S)}, True),  # another clock
        ({"seen": Instant(97 * NS_PER_S)}, False),
    ],
)
def test_an_echo_is_what_was_held_just_now(change: dict[str, object], is_echo: bool) -> None:
    held = HeldCommands()
    held.add(HELD)
    heard = replace(HELD, id=CommandId("heard"), origin=Origin.WIRE, **change)  # type: ignore[arg-type]
    assert held.without_echoes([heard]) == ([] if is_echo else [heard])


def test_an_outcome_comes_once_and_those_of_before_a_restart_still_echo() -> None:
    held = HeldCommands([HELD])
    assert held.pop(HELD.id) is None
    assert held.without_echoes([HELD]) == []
    held.add(HELD)
    assert held.pop(HELD.id) == HELD
    assert held.pop(HELD.id) is None
