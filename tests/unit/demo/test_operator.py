"""The operator against real servers: a good one, one that refuses, one that falls silent, one that hangs up."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from sentinel.demo.habits import HABITS
from tests.unit.demo.conftest import PATIENCE_S, Served

Start = Callable[..., Any]


async def test_one_cycle_shows_every_habit_and_loses_nothing(start: Start, served: Served) -> None:
    operator = await start("operator", server=served.endpoint, source="127.0.0.20", poll_ms=50.0, hurry=10.0)
    said = [await operator.until("write") for _ in HABITS]
    assert [line["says"] for line in said] == [habit.says for habit in HABITS]
    assert {line["operation"] for line in said} == {
        "write_single_register",
        "write_single_coil",
        "write_multiple_coils",
        "write_multiple_registers",
    }
    assert await operator.end() == 0
    summary = operator.lines[-1]
    assert summary["event"] == "summary"
    assert summary["operator_lost"] == 0
    assert summary["requests"] == summary["answers"] > 20
    assert summary["writes"] >= len(HABITS)
    assert summary["read_ms"]["p50"] > 0
    assert served.service.memory.writes >= len(HABITS)
    assert served.plant.registers.value("SIC301.SP") == 6000 or summary["writes"] > len(HABITS)


async def test_the_same_seed_does_the_same(start: Start, served: Served) -> None:
    tags = []
    for _ in range(2):
        operator = await start("operator", server=served.endpoint, poll_ms=50.0, hurry=50.0, seed=4)
        tags.append([(await operator.until("write"))["tags"] for _ in range(12)])
        await operator.end()
    assert tags[0] == tags[1]


async def test_it_comes_from_its_own_address_and_ends_by_itself(start: Start) -> None:
    peers: asyncio.Queue[str] = asyncio.Queue()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.put_nowait(writer.get_extra_info("peername")[0])
        await reader.read(1)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        operator = await start("operator", server=f"127.0.0.1:{port}", source="127.0.0.21", poll_ms=50.0, timeout_ms=100.0, duration_s=0.5)
        assert await asyncio.wait_for(peers.get(), PATIENCE_S) == "127.0.0.21"
        assert await operator.finish() == 0
    summary = operator.lines[-1]
    assert summary["operator_lost"] == summary["requests"] > 0
    assert set(summary["lost"]) <= {"connection lost", "timeout", "no connection"}


async def test_a_refused_write_is_lost_and_said(start: Start, served: Served) -> None:
    """A plant without coils and setpoints: reads and writes of them are refused."""
    for cells in served.plant.registers.tables.values():
        cells.clear()
    operator = await start("operator", server=served.endpoint, poll_ms=50.0, hurry=50.0)
    lost = await operator.until("lost")
    assert lost["answer"] == "exception 2"
    assert (await operator.until("write"))["answer"] == "exception 2"
    await operator.end()
    assert operator.lines[-1]["operator_lost"] == operator.lines[-1]["requests"]


async def test_silence_is_a_timeout_and_it_comes_back(start: Start) -> None:
    """The first connection never answers; the second answers each read with what was asked for."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        silent = connections == 1
        while request := await reader.read(300):
            if not silent:
                count = int.from_bytes(request[10:12], "big")
                octets = 2 * count if request[7] in (3, 4) else (count + 7) // 8
                writer.write(request[:4] + (octets + 3).to_bytes(2, "big") + request[6:8] + bytes([octets]) + bytes(octets))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        operator = await start("operator", server=f"127.0.0.1:{port}", poll_ms=100.0, timeout_ms=500.0, duration_s=1.8, writes=False)
        assert await operator.finish() == 0
    summary = operator.lines[-1]
    assert summary["lost"] == {"timeout": 1}
    assert summary["reconnects"] == 1
    assert summary["skipped_polls"] >= 1
    assert summary["answers"] == summary["requests"] - 1 > 5


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"source": "hmi"}, "source"),
        ({"poll_ms": 1.0}, "poll_ms"),
        ({"hurry": 0.0}, "hurry"),
        ({"server": "127.0.0.1"}, "server"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_status_two(start: Start, config: dict[str, Any], says: str) -> None:
    operator = await start("operator", **config)
    error = (await operator.process.communicate())[1].decode()
    assert operator.process.returncode == 2
    assert says in error
    assert error.count("\n") == 1
