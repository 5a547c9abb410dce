"""A running Modbus server over a plant's registers, and the demo's processes as children."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel.demo.modbus_server import ModbusService
from sentinel.demo.simulation import ReferencePlant

PATIENCE_S = 20.0


class Served:
    """A plant that stands still behind a listening server."""

    def __init__(self, plant: ReferencePlant, service: ModbusService, host: str, port: int) -> None:
        self.plant = plant
        self.service = service
        self.host = host
        self.port = port

    @property
    def endpoint(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    plant = ReferencePlant()
    service = ModbusService(plant.registers)
    host, port = await service.start("127.0.0.1", 0)
    yield Served(plant, service, host, port)
    await service.stop()


class Child:
    """A process of the demo and its JSON lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def until(self, event: str) -> dict[str, Any]:
        """The next line of this event; fails when the process ends before."""
        assert self.process.stdout
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S)
            assert line, f"ended before {event!r}: {self.lines[-3:]}"
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]

    async def end(self) -> int:
        """Asks it to stop (if it still runs), reads what is left, returns its status."""
        if self.process.returncode is None:
            self.process.terminate()
        return await self.finish()

    async def finish(self) -> int:
        assert self.process.stdout
        rest = await asyncio.wait_for(self.process.stdout.read(), PATIENCE_S)
        self.lines += [json.loads(line) for line in rest.splitlines()]
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)

    def all(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """start("plant", modbus=..., prefix=(...)) runs `python -m sentinel.demo.plant` with that configuration."""
    children: list[Child] = []

    async def begin(module: str, *, prefix: tuple[str, ...] = (), **config: Any) -> Child:
        path = tmp_path / f"{module}-{len(children)}.json"
        path.write_text(json.dumps(config))
        process = await asyncio.create_subprocess_exec(
            *prefix,
            sys.executable,
            "-W",
            "error",
            "-m",
            f"sentinel.demo.{module}",
            str(path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        children.append(Child(process))
        return children[-1]

    yield begin
    for child in children:
        if child.process.returncode is None:
            child.process.kill()
        await child.process.communicate()
