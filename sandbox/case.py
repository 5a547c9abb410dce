"""A case: a command before the court, what it would set, and what stands around it."""

from dataclasses import dataclass
from math import isclose

from sandbox.protocol import Context
from sandbox.replay import Replay, current
from sentinel.model.command import Command
from sentinel.twin.engine import Writes
from sentinel.twin.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``before`` reached the plant after the snapshot was taken.  ``unknown`` are points that the tag map or the twin does not know.

    ``instead``: a write that repeats what stands already is compared with the value that stood before it, where that is remembered;
    else the second of two equal writes would always look harmless.
    """

    command: Command
    snapshot: Snapshot
    context: Context
    before: Writes
    writes: Writes
    instead: Writes
    unknown: tuple[str, ...]


def open_case(command: Command, snapshot: Snapshot, replay: Replay, context: Context) -> Case:
    inputs = {one.tag.name for one in replay.plant.inputs}
    writes: dict[str, float] = {}
    unknown: list[str] = []
    for write in command.writes:
        if write.tag is not None and write.tag in inputs and write.value is not None:
            writes[write.tag] = write.value
        else:
            unknown.append(f"{write.point} ({write.tag})" if write.tag else write.point)
    landed = [step for step in context.steps if step.applied and step.tag in inputs]
    before = {step.tag: step.value for step in landed if step.seen > snapshot.at and step.tag not in writes}
    standing = current(replay.plant, snapshot, before)
    repeated = {tag for tag, value in writes.items() if isclose(standing[tag], value)}
    instead = {step.tag: step.value for step in landed if step.tag in repeated and not isclose(step.value, writes[step.tag])}
    return Case(command=command, snapshot=snapshot, context=context, before=before, writes=writes, instead=instead, unknown=tuple(unknown))
