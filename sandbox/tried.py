"""The writes that somebody has tried on each tag, as the court is told of them: bounded, and the tags of the command at hand come first."""

from collections import OrderedDict, deque

from sandbox.protocol import MAX_STEPS, Step
from sentinel.model.command import Command, Origin
from sentinel.model.ids import CommandId
from sentinel.ports import Outcome

STEPS_PER_TAG = 16  # per tag, so that noise on other tags cannot push a slow drift out of memory
MAX_TAGS = 1024  # the one longest unwritten is forgotten


class Tried:
    def __init__(self) -> None:
        self._steps: OrderedDict[str, deque[tuple[CommandId, Step]]] = OrderedDict()

    def note(self, command: Command) -> None:
        """What is only asked ("what if") or planned has not been tried."""
        if command.origin not in (Origin.WIRE, Origin.GATE):
            return
        for write in command.writes:
            if write.tag is None or write.value is None:
                continue
            step = Step(seen=command.seen, source=command.source, tag=write.tag, value=write.value, applied=command.origin is Origin.WIRE)
            self._steps.setdefault(write.tag, deque(maxlen=STEPS_PER_TAG)).append((command.id, step))
            self._steps.move_to_end(write.tag)
            while len(self._steps) > MAX_TAGS:
                self._steps.popitem(last=False)

    def settle(self, outcome: Outcome) -> None:
        """What became of a held write: only a forwarded one counts as having reached the plant."""
        for steps in self._steps.values():
            for place, (command, step) in enumerate(steps):
                if command == outcome.command:
                    applied = Step(seen=step.seen, source=step.source, tag=step.tag, value=step.value, applied=outcome.forwarded)
                    steps[place] = (command, applied)

    def before(self, command: Command) -> tuple[Step, ...]:
        """Oldest first; the tags of this command first to keep, then the latest of the others."""
        mine = {write.tag for write in command.writes}
        steps = [step for tag, kept in self._steps.items() if tag in mine for _, step in kept]
        others = sorted((step for tag, kept in self._steps.items() if tag not in mine for _, step in kept), key=lambda step: step.seen)
        room = max(0, MAX_STEPS - len(steps))
        return tuple(sorted(steps[-MAX_STEPS:] + others[len(others) - min(room, len(others)) :], key=lambda step: step.seen))
