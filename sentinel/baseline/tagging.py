"""A window with the values and the commands that its own messages carry, as far as a tag map knows them.

Tags are those of the plant's own servers: another one with the same unit or node is none of theirs.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from sentinel.baseline.nodes import node_commands, node_readings, of_servers
from sentinel.baseline.values import wire_commands, wire_readings
from sentinel.model.command import Command
from sentinel.model.ids import AssetId
from sentinel.model.observation import Details, Messages, Readings
from sentinel.model.tags import TagMap
from sentinel.model.window import Window

MAX_UNTAKEN = 100_000  # commands and reading batches that nobody fetched; the oldest go, counted


class Tagging:
    """``servers``: whose values and writes carry the plant's tags; none named = everybody's."""

    def __init__(self, tag_map: TagMap | None, servers: Iterable[AssetId] = (), max_untaken: int = MAX_UNTAKEN) -> None:
        self._tag_map = tag_map
        self._servers = frozenset(servers)
        self._max_untaken = max_untaken
        self._commands: list[Command] = []
        self._readings: list[Readings] = []
        self.untaken_dropped = 0

    def enriched(self, window: Window) -> tuple[Window, tuple[Command, ...]]:
        """Also the commands among its messages, in order of time.  Without a tag map values keep their wire's names, and there are none."""
        if not len(window.messages):
            return window, ()
        messages, details = self._of_plant(window)
        by_protocol = {"Modbus": wire_readings(messages, self._tag_map), "OPC UA": node_readings(details, self._tag_map)}
        seen = Readings.concat(list(by_protocol.values()))
        seen = seen.take(np.argsort(seen.seen, kind="stable"))
        commands: tuple[Command, ...] = ()
        if self._tag_map is not None:
            commands = _commands(messages, details, self._tag_map)
            self._keep(commands, seen)
        heard = Readings.concat([window.readings, seen])
        return replace(window, readings=heard, by_protocol=by_protocol, commands=(*window.commands, *commands)), commands

    def take_commands(self) -> list[Command]:
        """Those since the last call."""
        taken, self._commands = self._commands, []
        return taken

    def take_readings(self) -> list[Readings]:
        """Those since the last call."""
        taken, self._readings = self._readings, []
        return taken

    def _of_plant(self, window: Window) -> tuple[Messages, Details]:
        messages, details = window.messages, window.details
        if self._tag_map is None or not self._servers:
            return messages, details
        return messages.take(of_servers(messages, self._servers)), details.take(of_servers(details, self._servers))

    def _keep(self, commands: Iterable[Command], readings: Readings) -> None:
        self._commands += commands
        if len(readings):
            self._readings.append(readings)
        for kept in (self._commands, self._readings):
            excess = len(kept) - self._max_untaken
            if excess > 0:
                del kept[:excess]
                self.untaken_dropped += excess


def _commands(messages: Messages, details: Details, tag_map: TagMap) -> tuple[Command, ...]:
    found = (*wire_commands(messages, tag_map), *node_commands(messages, details, tag_map))
    return tuple(sorted(found, key=lambda command: command.seen))
