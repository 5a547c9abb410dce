"""The gate on the route: clients keep the server's address, the server sees the clients', and nothing passes when the gate is dead."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from collectors.gate import transparent
from sentinel.intake import Intake
from sentinel.model.command import Command
from sentinel.ports import Outcome, Ruling
from tests.e2e.bed import Bed, Running, need

pytestmark = pytest.mark.netns
WAIT_S = 20.0
GATE = "10.77.0.1:1502"


@dataclass
class Brain:
    """Forwards what comes from the operator, refuses the rest."""

    operator: str
    commands: list[Command] = field(default_factory=list)
    outcomes: asyncio.Queue[Outcome] = field(default_factory=asyncio.Queue)
    intake: Intake | None = None

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Command):
            self.commands.append(value)
            assert self.intake is not None
            await self.intake.rule(Ruling(command=value.id, forward=value.source == self.operator, reason="who it is"))
        elif isinstance(value, Outcome):
            self.outcomes.put_nowait(value)


@dataclass
class Road:
    bed: Bed
    brain: Brain
    gate: Running
    server: Running

    async def ask(self, node: str, *arguments: str) -> int:
        """mbpoll to the server's own address; 0 when it was answered well."""
        argv = ["mbpoll", "-m", "tcp", "-a", "1", "-1", "-q", "-o", "1", *arguments]
        return (await asyncio.to_thread(self.bed.run, node, *argv)).returncode

    async def read(self, node: str) -> int:
        return await self.ask(node, "-t", "4", "-r", "1", "-c", "8", self.bed.address("plc"))

    async def write(self, node: str, value: int) -> int:
        return await self.ask(node, "-t", "4", "-r", "2", self.bed.address("plc"), str(value))

    def opened(self) -> list[str]:
        return [line for line in self.server.lines if line.startswith("open ")]


def command(bed: Bed, *more: str) -> str:
    """What the documented command prints."""
    return bed.run("router", sys.executable, "-m", "collectors.gate.transparent", GATE, f"{bed.address('plc')}:502", *more).stdout


def carry_out(bed: Bed, script: str) -> None:
    done = bed.run("router", "sh", "-ec", script)
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def road(bed: Bed, tmp_path: Path) -> AsyncIterator[Road]:
    need("nft", "mbpoll")
    if reason := transparent.why_not():
        pytest.skip(reason)
    server = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    server.wait_for("ready")
    brain, socket_path, config = Brain(bed.address("hmi")), tmp_path / "run" / "intake.sock", tmp_path / "gate.json"
    told = {"intake": str(socket_path), "directory": str(tmp_path), "listen": GATE, "upstream": f"{bed.address('plc')}:502"}
    config.write_text(json.dumps(told | {"transparent": True, "deadline_ms": 5000.0, "observe": False}))
    async with Intake(socket_path, brain) as intake:
        brain.intake = intake
        gate = bed.python("router", "-m", "collectors", "gate", str(config))
        await asyncio.wait_for(intake.wait_present("gate"), WAIT_S)
        carry_out(bed, command(bed))
        yield Road(bed, brain, gate, server)
        await asyncio.to_thread(gate.stop)
    await asyncio.to_thread(server.stop)


async def test_the_server_sees_its_clients_and_only_what_they_may(road: Road) -> None:
    bed = road.bed
    assert await road.read("hmi") == 0
    assert await road.write("hmi", 7000) == 0
    assert road.server.wait_for("write ") == f"write 0600011b58 from {bed.address('hmi')}"
    assert await road.write("att", 6666) != 0
    assert await road.read("att") == 0
    outcomes = [await asyncio.wait_for(road.brain.outcomes.get(), WAIT_S) for _ in range(2)]
    assert [(one.forwarded, one.ruled) for one in outcomes] == [(True, True), (False, True)]
    assert [one.source for one in road.brain.commands] == [bed.address("hmi"), bed.address("att")]
    assert {one.target for one in road.brain.commands} == {bed.address("plc")}
    await asyncio.to_thread(road.server.stop)
    assert not [line for line in road.server.lines if line.startswith("write ") and bed.address("att") in line]
    assert set(road.opened()) == {f"open {bed.address('hmi')}", f"open {bed.address('att')}"}


async def test_a_dead_gate_lets_nothing_pass_until_somebody_takes_it_off_the_route(road: Road) -> None:
    assert await road.read("hmi") == 0
    road.gate.stop(signal.SIGKILL)
    before = road.opened()
    assert await road.read("hmi") != 0
    assert await road.write("hmi", 1) != 0
    assert road.opened() == before, "not one connection has reached the server"
    carry_out(road.bed, command(road.bed, "--remove"))
    assert await road.read("hmi") == 0, "the bypass"
    carry_out(road.bed, command(road.bed, "--remove"))  # twice does no harm


async def test_whoever_talks_to_the_gate_itself_is_refused(road: Road) -> None:
    host, _, port = GATE.partition(":")
    assert await road.ask("att", "-p", port, "-t", "4", "-r", "1", host) != 0
    assert not road.opened()


async def test_without_the_right_to_it_the_gate_says_so_and_does_not_start(tmp_path: Path) -> None:
    need("setpriv")
    config = tmp_path / "gate.json"
    told = {"intake": str(tmp_path / "s"), "directory": str(tmp_path), "listen": "127.0.0.1:0", "upstream": "127.0.0.10:502"}
    config.write_text(json.dumps(told | {"transparent": True}))
    argv = ["setpriv", "--bounding-set", "-net_admin,-net_raw", "--inh-caps", "-net_admin,-net_raw", sys.executable, "-m", "collectors"]
    process = await asyncio.create_subprocess_exec(*argv, "gate", str(config), stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert process.returncode == 2
    assert "transparent: " in said.decode().splitlines()[-1]
    assert "CAP_NET_ADMIN" in said.decode()
