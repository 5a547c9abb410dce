"""Polls a Modbus/TCP server for the plant file's tags: four reading functions and nothing else.

In: a `PollConfig`.  Out: one `Polled` per period.  `time` of a reading is its receipt, for Modbus carries no time of its own.
Requests to the device are spaced, so that a plant of many tags never sees a burst.  A server that refuses a read that spans a gap
(exception 2) is asked without gaps from then on.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from collectors.endpoint import address_of
from collectors.outbox import Outbox
from collectors.pause import pause
from collectors.poll.grouping import Read, reads_of
from collectors.poll.rows import polled
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, TransientError
from sentinel.model.modbus import ILLEGAL_DATA_ADDRESS
from sentinel.model.observation import Counters
from sentinel.model.protocol import Quality
from sentinel.model.tags import Table, Tag

# With the library's defaults (3 s, 3 retries) a link that is down blocks one request for 12 s; the delay would rise to 300 s.
TIMEOUT_S = 1.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.1, 2.0
FAREWELL_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollConfig:
    name: str = "poll-modbus"
    intake: str  # the brain's socket
    server: str  # address:port
    period_s: float = 1.0
    source: str = ""  # own address
    requests_per_s: float = 50.0  # to the device, at most
    tags: tuple[Tag, ...]

    def __post_init__(self) -> None:
        address_of("server", self.server)
        if not 0.01 <= self.period_s <= 86_400:
            raise ConfigError("period_s", f"{self.period_s!r} is not between 0.01 and 86400")
        if not 0.1 <= self.requests_per_s <= 10_000:
            raise ConfigError("requests_per_s", f"{self.requests_per_s!r} is not between 0.1 and 10000")
        reads = len(reads_of(self.tags))
        if not reads:
            raise ConfigError("tags", "no tag has a Modbus address")
        if reads / self.requests_per_s > self.period_s:
            raise ConfigError("period_s", f"{reads} requests at {self.requests_per_s:g} per second do not fit into {self.period_s:g} s")


class Device:
    """The client, reduced to what reads."""

    def __init__(self, config: PollConfig) -> None:
        self._host, self._port = address_of("server", config.server)
        self._source = (config.source, 0) if config.source else None
        self._client: AsyncModbusTcpClient | None = None

    @property
    def is_connected(self) -> bool:
        return self._client is not None and self._client.connected

    async def connect(self) -> bool:
        """A fresh client each time: one that lost its link would go on believing in it."""
        self.close()
        self._client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=TIMEOUT_S, retries=0, reconnect_delay=0, source_address=self._source
        )
        try:
            return bool(await asyncio.wait_for(self._client.connect(), 2 * TIMEOUT_S))
        except (OSError, TimeoutError):
            return False

    async def read(self, read: Read) -> Any:
        """Raises ModbusException when there is no answer; an exception response is an answer."""
        assert self._client is not None
        functions: dict[Table, Callable[..., Awaitable[Any]]] = {
            Table.COIL: self._client.read_coils,
            Table.DISCRETE: self._client.read_discrete_inputs,
            Table.INPUT: self._client.read_input_registers,
            Table.HOLDING: self._client.read_holding_registers,
        }
        return await functions[read.table](read.address, count=read.count, device_id=read.unit)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Poller:
    def __init__(self, config: PollConfig, outbox: Outbox, clock: Clock) -> None:
        self._config, self._outbox, self._clock = config, outbox, clock
        self._device = Device(config)
        self._reads = reads_of(config.tags)
        self._free_s = 0.0  # when the next request may go
        self._retry_s = 0.0  # when the next connection may be tried
        self._delay_s = FIRST_DELAY_S
        self._accepted = self._refused = self._dropped = self._failed = 0

    @property
    def counters(self) -> Counters:
        """accepted: reads answered; refused: by an exception; dropped: periods that came too late; failed: reads without an answer."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped, failed=self._failed)

    async def run(self, stop: asyncio.Event) -> None:
        due_s = self._clock.monotonic_s()
        try:
            while not stop.is_set():
                await self._round()
                due_s += self._config.period_s
                late = int(max(0.0, self._clock.monotonic_s() - due_s) // self._config.period_s)
                self._dropped += late
                due_s += late * self._config.period_s
                await pause(stop, due_s - self._clock.monotonic_s())
        finally:
            self._device.close()

    async def _round(self) -> None:
        rows: list[tuple[int, str, float, Quality]] = []
        for read in self._reads:
            values = await self._values(read)
            now = self._clock.now()
            for tag, value in values:
                is_known = math.isfinite(value)  # a float32 register may hold infinity
                rows.append((now, tag.name, value if is_known else math.nan, Quality.GOOD if is_known else Quality.BAD))
        try:
            await self._outbox.readings(polled(self._config.name, self._clock.now(), rows, self.counters))
        except TransientError as error:
            log.warning("readings are lost: %s", error)

    async def _values(self, read: Read) -> list[tuple[Tag, float]]:
        unknown = [(tag, math.nan) for tag in read.tags]
        if not await self._reach():
            self._failed += 1
            return unknown
        await self._space()
        try:
            answer = await self._device.read(read)
        except (ModbusException, OSError) as error:
            self._failed += 1
            self._lose(error)
            return unknown
        if answer.isError():
            self._refused += 1
            if answer.exception_code == ILLEGAL_DATA_ADDRESS:
                self._narrow(read)
            return unknown
        self._accepted += 1
        return list(read.values(answer.bits if read.table in (Table.COIL, Table.DISCRETE) else answer.registers))

    async def _reach(self) -> bool:
        if self._device.is_connected:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_s:
            return False
        if await self._device.connect():
            self._delay_s = FIRST_DELAY_S
            return True
        self._lose("no connection")
        return False

    def _lose(self, reason: object) -> None:
        log.warning("%s is away: %s", self._config.server, reason)
        self._device.close()
        self._retry_s = self._clock.monotonic_s() + self._delay_s
        self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    async def _space(self) -> None:
        wait_s = self._free_s - self._clock.monotonic_s()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._free_s = self._clock.monotonic_s() + 1 / self._config.requests_per_s

    def _narrow(self, read: Read) -> None:
        narrow = reads_of(read.tags, gap=0)
        if len(narrow) > 1:
            log.info("%s %d to %d cannot be read at once", read.table, read.address, read.address + read.count - 1)
            self._reads = tuple(part for known in self._reads for part in (narrow if known is read else (known,)))


async def run(config: PollConfig, stop: asyncio.Event) -> None:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it logs its last packets, the plant's values, at error level
    clock = SystemClock()
    outbox = Outbox(Path(config.intake), config.name, clock=clock)
    async with outbox.open(FAREWELL_S):
        await Poller(config, outbox, clock).run(stop)
