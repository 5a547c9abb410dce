"""A gate process that is killed again and again while writes pass to a server that is not ours: what is recorded is what was done."""

import asyncio
import contextlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.topology import loopback
from sentinel.intake import Intake
from sentinel.model.command import Command
from sentinel.ports import Outcome, Ruling
from tests.e2e.programs import libmodbus_server
from tests.unit.collectors.gate.plant import WAIT_S, write

LIVES, CLIENTS = 6, 4


class Brain:
    """Rules at once, and keeps everything."""

    def __init__(self, path: Path) -> None:
        self.commands: dict[str, Command] = {}
        self.outcomes: list[Outcome] = []
        self.intake = Intake(path, self._keep)
        self._changed = asyncio.Condition()

    async def _keep(self, value: Any) -> None:
        if isinstance(value, Command):
            self.commands[value.id] = value
            await self.intake.rule(Ruling(command=value.id, forward=True, reason="safe"))
        elif isinstance(value, Outcome):
            self.outcomes.append(value)
            async with self._changed:
                self._changed.notify_all()

    async def all_settled(self) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.outcomes) >= len(self.commands))


async def write_until_cut(gate: tuple[str, int], values: "Iterator[int]", answered: list[int], enough: asyncio.Event, count: int) -> None:
    """One client: each value once, whatever becomes of it; sets ``enough`` when ``count`` answers have come in all."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection(*gate)
        try:
            for value in values:
                request = write(value % 65536, 0, value)
                writer.write(request)
                assert await reader.readexactly(12) == request
                answered.append(value)
                if len(answered) >= count:
                    enough.set()
        finally:
            writer.close()


@pytest.mark.timeout(90)
async def test_nothing_is_applied_twice_and_nothing_that_was_applied_is_missing_from_the_records(tmp_path: Path) -> None:
    if libmodbus_server.library() is None:
        pytest.skip("libmodbus5 is not installed")
    setting, chance = loopback(usual_ports=False), random.Random(20261126)
    plant, gate = ((host, int(port)) for host, _, port in (end.rpartition(":") for end in (setting.plant_modbus, setting.gate)))
    program = ["-u", "-m", "tests.e2e.programs.libmodbus_server", plant[0], str(plant[1])]
    server = await asyncio.create_subprocess_exec(sys.executable, *program, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    assert await asyncio.wait_for(server.stdout.readline(), WAIT_S) == b"ready\n"
    brain, config = Brain(tmp_path / "run" / "intake.sock"), tmp_path / "gate.json"
    told = {"intake": str(tmp_path / "run" / "intake.sock"), "directory": str(tmp_path), "listen": setting.gate}
    config.write_text(json.dumps(told | {"upstream": setting.plant_modbus, "observe": False, "deadline_ms": 5000.0}))
    values, answered = iter(range(1, 60_000)), list[int]()
    try:
        async with brain.intake:
            for _ in range(LIVES):
                life = await asyncio.create_subprocess_exec(sys.executable, "-m", "collectors", "gate", str(config))
                await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
                enough, count = asyncio.Event(), len(answered) + chance.randrange(1, 60)
                clients = [asyncio.create_task(write_until_cut(gate, values, answered, enough, count)) for _ in range(CLIENTS)]
                await asyncio.wait_for(enough.wait(), WAIT_S)
                life.kill()
                await life.wait()
                await asyncio.wait_for(asyncio.gather(*clients), WAIT_S)
                await asyncio.wait_for(brain.intake.wait_absent("gate"), WAIT_S)
            life = await asyncio.create_subprocess_exec(sys.executable, "-m", "collectors", "gate", str(config))
            await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
            await brain.all_settled()
            life.terminate()
            assert await asyncio.wait_for(life.wait(), WAIT_S) == 0
    finally:
        server.terminate()
        said = (await asyncio.wait_for(server.communicate(), WAIT_S))[0].decode().splitlines()
    applied = Counter(int(line.split()[1][6:], 16) for line in said if line.startswith("write "))
    recorded = {outcome.command: outcome.forwarded for outcome in brain.outcomes}
    forwarded = {int(command.writes[0].raw) for command in brain.commands.values() if recorded[command.id]}
    assert len(answered) >= LIVES
    assert set(applied.values()) == {1}
    assert set(answered) <= applied.keys()
    assert applied.keys() <= forwarded, "the records may claim too much, never too little"
    assert len(recorded) == len(brain.outcomes) == len(brain.commands), "each command has one outcome"
