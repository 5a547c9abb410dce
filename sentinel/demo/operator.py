"""The operator as a process: `python -m sentinel.demo.operator CONFIG.json`.

In: an `OperatorConfig` as JSON.  Out: an HMI's traffic over one Modbus/TCP connection: reads in a fixed rhythm, writes in a routine that
repeats every 13 s, and on stdout a line {"event": "write"} for each of them, {"event": "lost"} for each request without a right answer,
{"event": "tally"} every 5 s and {"event": "summary"} at the end (SIGTERM, SIGINT or `duration_s`).  Nothing is tried twice: what got no
right answer is lost, and counted.
"""

import argparse
import asyncio
import ipaddress
import logging
import signal
import sys
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from sentinel.clock import Clock, SystemClock
from sentinel.demo.habits import CYCLE_S, Habit, routine
from sentinel.demo.lines import endpoint, fail, read_config, say
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.errors import ConfigError, SentinelError
from sentinel.model.modbus import operation
from sentinel.model.tags import ModbusPoint, Table

TALLY_S = 5.0
_KEPT_LATENCIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorConfig:
    server: str = "127.0.0.2:1502"
    source: str = "127.0.0.20"
    plant: str = str(PLANT_FILE)
    seed: int = 1
    poll_ms: float = 250.0  # process values each time; setpoints, coils and alarms in turn
    timeout_ms: float = 1000.0
    duration_s: float = 0.0  # 0 = until it is told to stop
    writes: bool = True
    hurry: float = 1.0  # how much faster than usual the routine runs

    def __post_init__(self) -> None:
        endpoint("server", self.server)
        try:
            ipaddress.IPv4Address(self.source)
        except ValueError as error:
            raise ConfigError("source", f"{self.source!r} is not an IPv4 address") from error
        if not 0.1 <= self.hurry <= 100:
            raise ConfigError("hurry", f"{self.hurry} is not within 0.1 and 100")
        if not 50 <= self.poll_ms <= 10_000 or not 10 <= self.timeout_ms <= 60_000 or self.duration_s < 0:
            raise ConfigError("poll_ms, timeout_ms, duration_s", "are out of their bounds (50 to 10000, 10 to 60000, 0 or more)")


@dataclass(slots=True)
class Tally:
    requests: int = 0
    answers: int = 0
    writes: int = 0
    connects: int = 0
    skipped_polls: int = 0
    lost: Counter[str] = field(default_factory=Counter)  # by reason
    read_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))
    write_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_LATENCIES))

    def report(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "answers": self.answers,
            "writes": self.writes,
            "operator_lost": sum(self.lost.values()),
            "lost": dict(self.lost),
            "reconnects": max(self.connects - 1, 0),
            "skipped_polls": self.skipped_polls,
            "read_ms": _quantiles(self.read_ms),
            "write_ms": _quantiles(self.write_ms),
        }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


class Operator:
    def __init__(self, config: OperatorConfig, interface: Interface, clock: Clock) -> None:
        self._config = config
        self._interface = interface
        self._clock = clock
        self._client: AsyncModbusTcpClient | None = None
        self._extents = {table: self._extent(table) for table in Table}
        self.tally = Tally()
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # a dead server is counted here, not printed there

    def _extent(self, table: Table) -> int:
        points = [tag.modbus for tag in self._interface.tags.tags if tag.modbus and tag.modbus.table is table]
        return max((point.address + point.registers for point in points), default=0)

    async def run(self, stop: asyncio.Event) -> None:
        period = self._config.poll_ms / 1000
        start = self._clock.monotonic_s()
        told, poll, habits = start, 0, routine(self._config.seed)
        at_s, habit, values = next(habits)
        at_s /= self._config.hurry
        while not stop.is_set():
            await self._poll(poll)
            poll += 1
            while self._config.writes and at_s < poll * period and not stop.is_set():
                await _until(stop, start + at_s - self._clock.monotonic_s())
                await self._write(habit, values)
                at_s, habit, values = next(habits)
                at_s /= self._config.hurry
            now = self._clock.monotonic_s()
            if now - told >= TALLY_S:
                told = now
                say("tally", at_ns=self._clock.now(), **self.tally.report())
            if self._config.duration_s and now - start >= self._config.duration_s:
                return
            late = int((now - start) / period) - poll
            if late > 0:
                self.tally.skipped_polls += late
                poll += late
            await _until(stop, start + poll * period - self._clock.monotonic_s())

    def close(self) -> None:
        if self._client:
            self._client.close()

    async def _poll(self, number: int) -> None:
        unit, extents = self._interface.unit, self._extents
        await self._ask(4, lambda client: client.read_input_registers(0, count=extents[Table.INPUT], device_id=unit), extents[Table.INPUT])
        match number % 4:
            case 1:
                await self._ask(
                    3, lambda client: client.read_holding_registers(0, count=extents[Table.HOLDING], device_id=unit), extents[Table.HOLDING]
                )
            case 2:
                await self._ask(1, lambda client: client.read_coils(0, count=extents[Table.COIL], device_id=unit), extents[Table.COIL])
            case 3:
                await self._ask(
                    2, lambda client: client.read_discrete_inputs(0, count=extents[Table.DISCRETE], device_id=unit), extents[Table.DISCRETE]
                )

    async def _write(self, habit: Habit, values: Sequence[float]) -> None:
        points: list[ModbusPoint] = []
        for name in habit.tags:
            point = self._interface.tags.by_name[name].modbus
            if point is None:
                raise ConfigError(f"tag {name}", "has no Modbus point; the operator writes it")
            points.append(point)
        raw = [word for point, value in zip(points, values, strict=True) for word in point.encode(value)]
        at, unit, single = points[0].address, self._interface.unit, len(raw) == 1
        if points[0].is_bit:
            function, bits = (5 if single else 15), [bool(word) for word in raw]
            answer, ms = await self._ask(
                function,
                lambda client: client.write_coil(at, bits[0], device_id=unit) if single else client.write_coils(at, bits, device_id=unit),
            )
        else:
            function = 6 if single else 16
            answer, ms = await self._ask(
                function,
                lambda client: (
                    client.write_register(at, raw[0], device_id=unit) if single else client.write_registers(at, raw, device_id=unit)
                ),
            )
        say(
            "write",
            at_ns=self._clock.now(),
            says=habit.says,
            operation=operation(function),
            tags=dict(zip(habit.tags, (round(value, 6) for value in values), strict=True)),
            answer=answer,
            ms=round(ms, 3),
        )

    async def _ask(
        self, function: int, request: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]], expected: int = 0
    ) -> tuple[str, float]:
        """One request; "ok" or why it is lost, and how many ms that took."""
        tally, is_write = self.tally, function in (5, 6, 15, 16)
        tally.requests += 1
        tally.writes += is_write
        began = self._clock.monotonic_s()
        answer = await self._exchange(function, request, expected)
        ms = (self._clock.monotonic_s() - began) * 1000
        if answer == "ok":
            tally.answers += 1
            (tally.write_ms if is_write else tally.read_ms).append(ms)
        else:
            tally.lost[answer] += 1
            say("lost", at_ns=self._clock.now(), operation=operation(function), answer=answer, ms=round(ms, 3))
        return answer, ms

    async def _exchange(self, function: int, request: Callable[[AsyncModbusTcpClient], Awaitable[ModbusPDU]], expected: int) -> str:
        client = await self._connected()
        if client is None:
            return "no connection"
        try:
            response = await request(client)
        except ModbusException:
            lost = "timeout" if client.connected else "connection lost"
            client.close()
            self._client = None
            return lost
        if response.isError():
            return f"exception {response.exception_code}"
        held = len(response.registers) if function in (3, 4) else len(response.bits) if function in (1, 2) else 0
        return "ok" if response.function_code == function and held >= expected else "wrong answer"

    async def _connected(self) -> AsyncModbusTcpClient | None:
        if self._client is not None and self._client.connected:
            return self._client
        host, port = endpoint("server", self._config.server)
        client = AsyncModbusTcpClient(
            host, port=port, source_address=(self._config.source, 0), timeout=self._config.timeout_ms / 1000, retries=0, reconnect_delay=0
        )
        if not await client.connect():
            client.close()
            self._client = None
            return None
        self.tally.connects += 1
        self._client = client
        return client


async def _until(stop: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _process(config: OperatorConfig) -> None:
    stop, clock = asyncio.Event(), SystemClock()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    operator = Operator(config, read_interface(Path(config.plant)), clock)
    say("started", at_ns=clock.now(), server=config.server, source=config.source, cycle_s=CYCLE_S)
    try:
        await operator.run(stop)
    finally:
        operator.close()
        say("summary", at_ns=clock.now(), **operator.tally.report())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel demo operator", description="An operator's HMI: polls and writes in routine ways.")
    parser.add_argument("config", type=Path, help="JSON file; its keys are those of `OperatorConfig`")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_process(read_config(options.config, OperatorConfig)))
    except SentinelError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
