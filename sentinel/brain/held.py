"""Commands that a gate holds or has just held: until their outcome comes, and for as long as a sensor may hear them again."""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from sentinel.model.command import Command
from sentinel.model.ids import CommandId
from sentinel.model.time import seconds_between

_HELD = 4096
_RECENT, _ECHO_S = 8192, 2.0  # held commands that an echo may be of: more in so short a time pass no gate


class HeldCommands:
    """``recent``: of before a restart, oldest first."""

    def __init__(self, recent: Iterable[Command] = ()) -> None:
        self._recent: deque[Command] = deque(recent, maxlen=_RECENT)
        self._held: OrderedDict[CommandId, Command] = OrderedDict()

    def add(self, command: Command) -> None:
        self._held[command.id] = command
        self._recent.append(command)
        while len(self._held) > _HELD:
            self._held.popitem(last=False)

    def pop(self, command: CommandId) -> Command | None:
        """Its outcome has come."""
        return self._held.pop(command, None)

    def without_echoes(self, heard: Iterable[Command]) -> list[Command]:
        """May be called from another thread than `add`."""
        held = tuple(self._recent)
        return [command for command in heard if not is_echo(command, held)]


def is_echo(command: Command, recent: Sequence[Command]) -> bool:
    """What the gate held is heard again on both of its sides, with the same writes: one command, judged once.  ``recent``: oldest first."""
    for held in reversed(recent):
        age_s = seconds_between(held.seen, command.seen)
        if age_s >= _ECHO_S:
            return False  # and so are all that were held before
        ends = {held.source, held.target} & {command.source, command.target}
        if age_s > -_ECHO_S and ends and (held.operation, held.unit, held.writes) == (command.operation, command.unit, command.writes):
            return True
    return False
