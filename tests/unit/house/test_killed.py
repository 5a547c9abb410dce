"""Court or gate are killed while they hold a write, for each choice that a tag can declare, over both protocols.

Court, gate and server are processes.  The client gets its protocol's answer or a reset, the server is written once or not at all, and what
became of the write is in the records.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox.client import CourtClient
from sentinel.brain.asking import Asking
from sentinel.clock import SystemClock
from sentinel.demo.topology import loopback
from sentinel.intake import Intake
from sentinel.model.codec import to_jsonable
from sentinel.model.command import Command
from sentinel.model.tags import OnDeadline, Tag, TagMap
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Outcome
from sentinel.records import Records
from sentinel.twin.engine import Model, initial
from tests.e2e.appliance import descendants
from tests.e2e.programs import libmodbus_server
from tests.unit.collectors.gate import plant as modbus
from tests.unit.collectors.gate.opcua import stage as opcua
from tests.unit.collectors.gate.plant import WAIT_S
from tests.unit.sandbox.conftest import START_S, CourtProcess, end, in_step, model, start_court

__all__ = ["model"]  # a fixture of the court's own tests
HELD_S = 60.0  # nothing in these tests waits so long
PATIENCE_S = 2.0  # where no other court comes
VALUE = 7
pytestmark = pytest.mark.timeout(90)


class Line(Protocol):
    """One protocol: a server that counts what is written to it, and a client that writes `VALUE` once."""

    module: str
    upstream: str
    tag: Tag

    async def begin(self, gate: tuple[str, int]) -> None: ...

    async def answer(self) -> str:
        """ok, refused, or reset."""

    async def written(self) -> int:
        """How often `VALUE` has reached the server.  Ends it."""


class ModbusLine:
    module, tag = "gate", modbus.tag("SP", 0)

    def __init__(self, upstream: str, server: asyncio.subprocess.Process) -> None:
        self.upstream, self._server = upstream, server

    async def begin(self, gate: tuple[str, int]) -> None:
        self._reader, self._writer = await asyncio.open_connection(*gate)
        self._writer.write(modbus.write(1, 0, VALUE))

    async def answer(self) -> str:
        try:
            answer = await asyncio.wait_for(self._reader.readexactly(9), WAIT_S)
        except (ConnectionResetError, asyncio.IncompleteReadError):
            return "reset"
        finally:
            self._writer.close()
        return "refused" if answer == modbus.adu(1, b"\x86\x04") else "ok"

    async def written(self) -> int:
        self._server.terminate()
        said = (await asyncio.wait_for(self._server.communicate(), WAIT_S))[0].decode().splitlines()
        return sum(line.startswith("write ") for line in said)


class OpcuaLine:
    module, tag = "gate-opcua", opcua.tag("SP")

    def __init__(self, server: opcua.Server) -> None:
        self.upstream, self._server = f"127.0.0.1:{server.port}", server

    async def begin(self, gate: tuple[str, int]) -> None:
        self._client = await opcua.Raw.with_session(gate)
        self._client.send(673, opcua.writes(opcua.one_write("SP", VALUE)))

    async def answer(self) -> str:
        try:
            answer = await self._client.answer()
        except (ConnectionResetError, asyncio.IncompleteReadError):
            return "reset"
        finally:
            self._client.close()
        statuses = [answer.result] if answer.result else answer.statuses
        return {(0,): "ok", (0x801F0000,): "refused"}[tuple(statuses)]

    async def written(self) -> int:
        """A node holds what was written last: it begins with another value, and nobody else writes."""
        direct = await opcua.Raw.with_session(("127.0.0.1", self._server.port))
        found = (await direct.ask(631, opcua.read("SP"))).number
        direct.close()
        return int(found == VALUE)


@dataclass
class Bench:
    """The brain's part of the road: intake, the court's client, and what follows from its verdicts."""

    intake: Intake
    court: CourtClient
    asking: Asking
    commands: list[Command]
    outcomes: list[Outcome]
    verdicts: list[Verdict]
    changed: asyncio.Condition

    async def until(self, found: list[Any], within_s: float = WAIT_S) -> Any:
        async with asyncio.timeout(within_s), self.changed:
            await self.changed.wait_for(lambda: found)
        return found[0]


@asynccontextmanager
async def bench(directory: Path, tags: TagMap, socket: Path, patience_s: float = HELD_S) -> AsyncIterator[Bench]:
    commands, outcomes, verdicts = list[Command](), list[Outcome](), list[Verdict]()
    changed, held, known = asyncio.Condition(), set[asyncio.Task[None]](), asyncio.Event()
    known.set()

    async def keep(kept: list[Any], value: Any) -> None:
        kept.append(value)
        async with changed:
            changed.notify_all()

    async def take(value: Any) -> None:
        if isinstance(value, Command):
            held.add(asyncio.create_task(asking.held(value, known)))
            await keep(commands, value)
        elif isinstance(value, Outcome):
            await keep(outcomes, value)

    clock = SystemClock()
    records = Records(directory / "records", clock)
    court = CourtClient(socket, clock, held_patience_s=patience_s)
    asking = Asking(court, tags, (), records, lambda: False, lambda verdict: keep(verdicts, verdict))
    asking.intake = Intake(directory / "run" / "intake.sock", take)
    connection = asyncio.create_task(court.run())
    try:
        async with asking.intake:
            yield Bench(asking.intake, court, asking, commands, outcomes, verdicts, changed)
    finally:
        connection.cancel()
        await asyncio.gather(connection, *held, return_exceptions=True)
        records.close()


@asynccontextmanager
async def gate_process(line: Line, bench: Bench, directory: Path, tag: Tag, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    told = {
        "intake": str(directory / "run" / "intake.sock"),
        "directory": str(directory),
        "listen": address,
        "upstream": line.upstream,
        "tags": [to_jsonable(tag)],
        "observe": False,
        "deadline_ms": 1000 * HELD_S,
    }
    config = directory / "gate.json"
    config.write_text(json.dumps(told))
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "collectors", line.module, str(config))
    try:
        await asyncio.wait_for(bench.intake.wait_present("gate"), WAIT_S)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), WAIT_S)


@asynccontextmanager
async def frozen(bench: Bench, court: CourtProcess, model: Model) -> AsyncIterator[list[int]]:
    """The court's processes, all of which stand still once it is in session and has a snapshot."""
    async with asyncio.timeout(START_S):
        await bench.court.connected.wait()
    bench.court.keep(in_step(initial(model, 256, at=SystemClock().now())))
    tree = [court.process.pid, *descendants(court.process.pid)]
    for pid in tree:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield tree
    finally:
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def address() -> str:
    return loopback(usual_ports=False).gate


@pytest.fixture(scope="module")
def opcua_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[opcua.Server]:
    port = int(loopback(usual_ports=False).plant_modbus.rpartition(":")[2])
    with opcua.asyncua_server(port, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=["modbus", "opcua"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    if request.param == "opcua":
        server = request.getfixturevalue("opcua_server")
        direct = await opcua.Raw.with_session(("127.0.0.1", server.port))
        assert (await direct.ask(673, opcua.writes(opcua.one_write("SP", 1.0)))).statuses == [0]
        direct.close()
        yield OpcuaLine(server)
        return
    if libmodbus_server.library() is None:
        pytest.skip("libmodbus5 is not installed")
    upstream = loopback(usual_ports=False).plant_modbus
    host, _, port = upstream.rpartition(":")
    program = ["-u", "-m", "tests.e2e.programs.libmodbus_server", host, port]
    process = await asyncio.create_subprocess_exec(sys.executable, *program, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), WAIT_S) == b"ready\n"
    yield ModbusLine(upstream, process)
    if process.returncode is None:
        process.kill()
        await process.wait()


@pytest.fixture
def court(tmp_path: Path) -> Iterator[CourtProcess]:
    running = start_court(tmp_path)
    yield running
    end(running)


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


@pytest.mark.parametrize("choice", list(OnDeadline))
async def test_a_court_that_is_killed_leaves_a_held_write_to_its_tags_choice(
    line: Line, court: CourtProcess, model: Model, tmp_path: Path, address: str, choice: OnDeadline
) -> None:
    tag = replace(line.tag, on_deadline=choice)
    async with (
        bench(tmp_path, TagMap((tag,)), court.socket, PATIENCE_S) as brain,
        frozen(brain, court, model) as tree,
        gate_process(line, brain, tmp_path, tag, address),
    ):
        await line.begin(host_and_port(address))
        await brain.until(brain.commands)
        assert brain.outcomes == []
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        assert await line.answer() == ("ok" if choice is OnDeadline.FORWARD else "refused")
        outcome, verdict = await brain.until(brain.outcomes), await brain.until(brain.verdicts)
        assert await line.written() == (1 if choice is OnDeadline.FORWARD else 0)
    assert (outcome.forwarded, outcome.ruled) == (choice is OnDeadline.FORWARD, True)
    assert outcome.reason.startswith("undecided, " + ("people are asked" if choice is OnDeadline.ASK else "by declared choice"))
    assert (verdict.judgement, verdict.command) == (Judgement.UNDECIDED, outcome.command)
    assert verdict.reason.startswith(("the court went away", "the connection to the court broke"))
    assert verdict.reason.endswith("and no other answered within 2000 ms")
    assert len(brain.commands) == len(brain.outcomes) == 1


async def test_a_write_that_outlives_its_court_is_judged_by_the_next_one(
    line: Line, court: CourtProcess, model: Model, tmp_path: Path, address: str
) -> None:
    """Where it comes within the deadline: the tag's choice, which would let it pass, is not taken."""
    tag = replace(line.tag, name="LIC101.SP", on_deadline=OnDeadline.FORWARD)
    async with bench(tmp_path, TagMap((tag,)), court.socket) as brain, gate_process(line, brain, tmp_path, tag, address):
        async with frozen(brain, court, model) as tree:
            await line.begin(host_and_port(address))
            await brain.until(brain.commands)
            for pid in tree:
                os.kill(pid, signal.SIGKILL)
        again = start_court(tmp_path)
        try:
            outcome, verdict = await brain.until(brain.outcomes, START_S), await brain.until(brain.verdicts)
            assert await line.answer() == "refused"
            assert await line.written() == 0
        finally:
            end(again)
    assert (outcome.forwarded, outcome.ruled) == (False, True)
    assert (verdict.judgement, verdict.invariant) == (Judgement.UNSAFE, "T101-overfill")
    assert len(brain.commands) == len(brain.outcomes) == 1


@pytest.mark.parametrize("choice", list(OnDeadline))
async def test_a_gate_that_is_killed_resets_the_client_and_has_done_nothing(
    line: Line, court: CourtProcess, model: Model, tmp_path: Path, address: str, choice: OnDeadline
) -> None:
    """The court stands still, so that the write is held when the gate goes; what it did not do is told by the next one."""
    tag = replace(line.tag, on_deadline=choice)
    async with bench(tmp_path, TagMap((tag,)), court.socket) as brain, frozen(brain, court, model):
        async with gate_process(line, brain, tmp_path, tag, address) as gate:
            await line.begin(host_and_port(address))
            await brain.until(brain.commands)
            gate.kill()
            assert await line.answer() == "reset"
            await asyncio.wait_for(brain.intake.wait_absent("gate"), WAIT_S)
        assert brain.outcomes == []
        async with gate_process(line, brain, tmp_path, tag, address):
            outcome = await brain.until(brain.outcomes)
            assert await line.written() == 0
    assert (outcome.forwarded, outcome.ruled, outcome.command) == (False, False, brain.commands[0].id)
    assert len(brain.commands) == len(brain.outcomes) == 1
