"""What somebody has tried to write, as the court is told of it."""

from sandbox.protocol import MAX_STEPS
from sandbox.tried import MAX_TAGS, STEPS_PER_TAG, Tried
from sentinel.model.command import Origin
from sentinel.model.ids import CommandId
from sentinel.model.time import after
from sentinel.ports import Outcome
from tests.unit.sandbox.conftest import NOW, command


def test_memory_is_bounded_per_tag_and_noise_cannot_push_a_drift_out() -> None:
    tried = Tried()
    for number in range(40):
        tried.note(command({"LIC101.SP": 1 + number / 100}, origin=Origin.WIRE, seen=after(NOW, number)))
    for number in range(MAX_TAGS - 1):
        tried.note(command({f"N{number}": 1.0}, origin=Origin.WIRE, seen=after(NOW, 100 + number)))
    steps = tried.before(command({"LIC101.SP": 1.5}))
    assert len(steps) == MAX_STEPS
    assert [step.value for step in steps if step.tag == "LIC101.SP"] == [1 + number / 100 for number in range(40 - STEPS_PER_TAG, 40)]
    tried.note(command({"one more": 1.0}, origin=Origin.WIRE, seen=after(NOW, 2000)))
    assert "LIC101.SP" not in {step.tag for step in tried.before(command({"LIC101.SP": 1.5}))}


def test_a_held_write_has_reached_the_plant_only_when_it_was_forwarded() -> None:
    tried = Tried()
    tried.note(command({"LIC101.SP": 1.2}, origin=Origin.WIRE, name="heard"))
    for name, forwarded in (("passed", True), ("refused", False)):
        tried.note(command({"LIC101.SP": 1.3}, origin=Origin.GATE, name=name))
        tried.settle(Outcome(command=CommandId(name), forwarded=forwarded, ruled=True, held_ms=5.0, reason="", at=NOW))
    tried.note(command({"LIC101.SP": 1.9}, origin=Origin.API, name="only asked"))
    assert [step.applied for step in tried.before(command({"LIC101.SP": 1.5}))] == [True, True, False]
