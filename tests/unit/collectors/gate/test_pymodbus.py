"""Behind the gate a server that answers only the first request of a segment (pymodbus 3.16): what clients sent apart must arrive apart."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors.gate.config import GateConfig
from sentinel.model.command import Command
from sentinel.ports import Ruling
from tests.unit.collectors.gate.plant import TAGS, WAIT_S, Bed, Brain, Recorder, gate_running, read, write


@asynccontextmanager
async def bed(directory: Path, rules: Callable[[Command], bool | None]) -> AsyncIterator[tuple[Bed, Brain]]:
    device = SimDevice(1, simdata=[SimData(0, values=[0] * 16, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    brain = Brain(directory / "intake.sock", rules)
    config = GateConfig(
        intake=str(directory / "intake.sock"),
        directory=str(directory),
        listen="127.0.0.1:0",
        upstream=f"127.0.0.1:{port}",
        deadline_ms=60_000.0,
        observe=False,
        tags=TAGS,
    )
    try:
        async with brain.intake, gate_running(config) as gate:
            await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
            standing = Bed(gate, Recorder(), brain)
            try:
                yield standing, brain
            finally:
                await standing.close()
    finally:
        await server.shutdown()


async def test_what_waited_behind_a_held_write_reaches_the_server_one_by_one(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None) as (plant, brain):
        client = await plant.client()
        client.send(write(1, 0, 7))
        await brain.until(lambda: brain.of(Command))
        passed = asyncio.Queue[bytes]()
        plant.gate.tap = lambda _flow, from_client, octets: passed.put_nowait(octets) if from_client else None
        for transaction in (2, 3, 4):
            client.send(read(transaction))
            assert await asyncio.wait_for(passed.get(), WAIT_S) == read(transaction), "each in a segment of its own"
        await brain.intake.rule(Ruling(command=brain.of(Command)[0].id, forward=True, reason="safe"))
        assert await client.receive() == write(1, 0, 7)
        assert [(await client.receive())[:2] for _ in range(3)] == [b"\0\2", b"\0\3", b"\0\4"]


async def test_a_pymodbus_client_sees_no_difference(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda command: command.writes[0].raw < 100) as (plant, _):
        host, port = plant.gate.address
        client = AsyncModbusTcpClient(host, port=port, timeout=WAIT_S, retries=0)
        assert await client.connect()
        try:
            assert not (await client.write_register(5, 42, device_id=1)).isError()
            assert (await client.write_register(5, 4200, device_id=1)).exception_code == 4
            assert (await client.read_holding_registers(5, count=2, device_id=1)).registers == [42, 0]
        finally:
            client.close()
