"""The poller against a real pymodbus server."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors.outbox import Outbox
from collectors.poll.modbus import PollConfig, Poller
from sentinel.clock import SystemClock
from sentinel.errors import ConfigError
from sentinel.intake import Intake
from sentinel.model.exchange import Polled
from sentinel.model.protocol import Quality
from sentinel.model.tags import ModbusPoint, Table, Tag, TagRole

WAIT_S = 10.0


def tag(name: str, table: Table, address: int, **more: Any) -> Tag:
    point = ModbusPoint(unit=1, table=table, address=address, **more)
    return Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9, modbus=point)


TAGS = (
    tag("LEVEL", Table.INPUT, 0, scale=0.001),
    tag("SP", Table.HOLDING, 4, scale=0.01),
    tag("RUN", Table.COIL, 1),
    tag("TRIP", Table.DISCRETE, 0),
)


@asynccontextmanager
async def device(
    port: int = 0, refused: int | None = None, values: tuple[int, ...] | list[int] = (1500, 1, 2, 3, 250, 5, 6, 7)
) -> AsyncIterator[tuple[int, list[int]]]:
    """(port, the function codes that arrive)."""
    functions: list[int] = []

    async def action(function: int, start: int, address: int, count: int, registers: Any, values: Any) -> ExcCodes | None:
        functions.append(function)
        return ExcCodes.ILLEGAL_ADDRESS if refused is not None and address <= refused < address + count else None

    bits = SimData(0, values=[False, True] * 8, datatype=DataType.BITS)
    registers = SimData(0, values=list(values), datatype=DataType.REGISTERS)
    simulated = SimDevice(1, simdata=([bits], [bits], [registers], [registers]), action=action)
    server = ModbusTcpServer(simulated, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1], functions
    finally:
        await server.shutdown()


class Keeper:
    def __init__(self) -> None:
        self.polled: list[Polled] = []
        self._changed = asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if isinstance(value, Polled):
            self.polled.append(value)
            async with self._changed:
                self._changed.notify_all()

    async def until(self, condition: Callable[[dict[str, tuple[float, int]]], bool]) -> dict[str, tuple[float, int]]:
        """The next round of readings that fits: tag to value and quality."""

        def latest() -> dict[str, tuple[float, int]]:
            readings = self.polled[-1].readings
            return {
                str(name): (float(v), int(q)) for name, v, q in zip(readings.decoded("tag"), readings.value, readings.quality, strict=True)
            }

        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: bool(self.polled) and condition(latest()))
        return latest()


@asynccontextmanager
async def polling(directory: Path, port: int, tags: tuple[Tag, ...] = TAGS) -> AsyncIterator[tuple[Keeper, Poller]]:
    keeper, stop, socket_path = Keeper(), asyncio.Event(), directory / "intake.sock"
    config = PollConfig(intake=str(socket_path), server=f"127.0.0.1:{port}", period_s=0.02, requests_per_s=1000.0, tags=tags)
    async with Intake(socket_path, keeper):
        outbox = Outbox(socket_path, config.name)
        poller = Poller(config, outbox, SystemClock())
        tasks = [asyncio.create_task(outbox.run()), asyncio.create_task(poller.run(stop))]
        try:
            yield keeper, poller
        finally:
            stop.set()
            await asyncio.wait_for(tasks[1], WAIT_S)
            tasks[0].cancel()
            await asyncio.wait(tasks)


async def test_tags_arrive_in_engineering_units_and_only_reads_are_sent(tmp_path: Path) -> None:
    async with device() as (port, functions), polling(tmp_path, port) as (keeper, poller):
        got = await keeper.until(lambda rows: len(rows) == 4)
        assert got == {"LEVEL": (1.5, 0), "SP": (2.5, 0), "RUN": (1.0, 0), "TRIP": (0.0, 0)}
        await keeper.until(lambda _: len(keeper.polled) >= 3)
        assert poller.counters.accepted >= 12
    assert set(functions) == {1, 2, 3, 4}
    untils = [value.until for value in keeper.polled]
    assert untils == sorted(untils)


async def test_a_device_that_is_away_gives_bad_readings_until_it_is_back(tmp_path: Path) -> None:
    bad = [Quality.BAD] * 4
    async with device() as (port, _):
        pass
    async with polling(tmp_path, port) as (keeper, poller):
        away = await keeper.until(lambda rows: [quality for _, quality in rows.values()] == bad)
        assert all(math.isnan(value) for value, _ in away.values())
        async with device(port):
            await keeper.until(lambda rows: rows["LEVEL"] == (1.5, 0))
        await keeper.until(lambda rows: rows["LEVEL"][1] == Quality.BAD)
        async with device(port):
            await keeper.until(lambda rows: rows["LEVEL"] == (1.5, 0))
        assert poller.counters.failed >= 2


async def test_a_gap_that_the_device_refuses_is_read_around(tmp_path: Path) -> None:
    tags = (tag("A", Table.HOLDING, 0), tag("B", Table.HOLDING, 4))
    async with device(refused=2) as (port, _), polling(tmp_path, port, tags) as (keeper, poller):
        await keeper.until(lambda rows: rows == {"A": (1500.0, 0), "B": (250.0, 0)})
        assert poller.counters.refused == 1


async def test_a_number_that_is_none_is_never_called_good(tmp_path: Path) -> None:
    tags = tuple(tag(f"N{at}", Table.HOLDING, at, type="float32") for at in (0, 2, 4))
    async with device(values=[0x7F80, 0, 0xFF80, 0, 0x7FC0, 0, 0, 0]) as (port, _), polling(tmp_path, port, tags) as (keeper, _):
        got = await keeper.until(lambda rows: len(rows) == 3)
    assert all(math.isnan(value) and quality == Quality.BAD for value, quality in got.values()), "infinity, minus infinity, not a number"


async def test_whatever_a_device_answers_the_poller_goes_on(tmp_path: Path) -> None:
    """Garbage, lying lengths, foreign numbers, trickles, closed connections; then the device behaves."""
    chance = random.Random(20261126)
    asked = asyncio.Queue[bytes]()

    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.read(260):
                asked.put_nowait(request)
                answer = bytearray(request[:7] + bytes((request[7], 2, 0, 1)))
                answer[5] = len(answer) - 6
                for _ in range(chance.randrange(1, 4)):
                    answer[chance.randrange(len(answer))] = chance.randrange(256)
                writer.write(bytes(answer[: chance.randrange(1, len(answer) + 1)]) if chance.random() < 0.5 else chance.randbytes(300))
                if chance.random() < 0.5:
                    break
            writer.close()
        except ConnectionError:
            return

    liar = await asyncio.start_server(lie, "127.0.0.1", 0)
    port = liar.sockets[0].getsockname()[1]
    async with polling(tmp_path, port) as (keeper, poller):
        for _ in range(6):
            await asyncio.wait_for(asked.get(), WAIT_S)
        liar.close()
        await liar.wait_closed()
        async with device(port):
            await keeper.until(lambda rows: rows["LEVEL"] == (1.5, 0))
    assert poller.counters.failed > 0


@pytest.mark.parametrize(
    ("key", "value", "where"),
    [
        ("server", "plc:502", "server"),
        ("period_s", 0.0, "period_s"),
        ("requests_per_s", 0.0, "requests_per_s"),
        ("period_s", 0.05, "period_s"),
        ("tags", (), "tags"),
    ],
)
def test_a_wrong_configuration_says_where(key: str, value: Any, where: str) -> None:
    options = {"intake": "i", "server": "127.0.0.1:502", "tags": TAGS, key: value}
    with pytest.raises(ConfigError) as caught:
        PollConfig(**options)
    assert caught.value.where == where
