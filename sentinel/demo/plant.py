"""The plant as a process: `python -m sentinel.demo.plant CONFIG.json [--watch]`.

In: a `PlantConfig` as JSON.  Out: a Modbus/TCP server and an OPC UA server over one running plant, in real time (or `speed` times that).
On stdout a line {"event": "ready"} once both listen, one {"event": "outcome"} for each damage, and with `--watch` one {"event": "state"} a
second.  Ends on SIGTERM or SIGINT with status 0; status 2 and one line on stderr where the configuration is wrong or an address is taken.
"""

import argparse
import asyncio
import dataclasses
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinel.clock import Clock, SystemClock
from sentinel.demo.lines import endpoint, fail, read_config, say
from sentinel.demo.modbus_server import ModbusService
from sentinel.demo.opcua_server import OpcuaService
from sentinel.demo.physics import STEP_S
from sentinel.demo.simulation import DEFAULT_SEED, ReferencePlant, summary
from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.errors import ConfigError, SentinelError

_CATCH_UP_SCANS = 20  # more than this behind (a stopped process, a full machine): the plant's time stands still instead
_PUBLISH_S = 0.2
_WATCH_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantConfig:
    modbus: str = "127.0.0.10:1502"  # address:port; port 0 = any free
    opcua: str = "127.0.0.10:14840"  # empty = no OPC UA server
    plant: str = str(PLANT_FILE)
    seed: int = DEFAULT_SEED
    noise: bool = True
    speed: float = 1.0  # plant seconds per second
    watch: bool = False

    def __post_init__(self) -> None:
        endpoint("modbus", self.modbus)
        if self.opcua:
            endpoint("opcua", self.opcua)
        if not 0.1 <= self.speed <= 100:
            raise ConfigError("speed", f"{self.speed} is not within 0.1 and 100")


async def run(config: PlantConfig, clock: Clock, stop: asyncio.Event) -> None:
    plant = ReferencePlant(seed=config.seed, noise=config.noise, interface=read_interface(Path(config.plant)))
    modbus = ModbusService(plant.registers)
    opcua = OpcuaService(plant.registers, plant.interface.tags, clock)
    try:
        host, port = await modbus.start(*endpoint("modbus", config.modbus))
        url = await _start_opcua(opcua, config.opcua)
        say("ready", at_ns=clock.now(), modbus=f"{host}:{port}", opcua=url, seed=config.seed)
        await _live(plant, modbus, opcua, config, clock, stop)
    finally:
        await modbus.stop()
        await opcua.stop()
    say("summary", at_ns=clock.now(), modbus_writes=modbus.memory.writes, opcua_writes=opcua.writes, **summary(plant))


async def _start_opcua(opcua: OpcuaService, listen: str) -> str:
    if not listen:
        return ""
    try:
        return await opcua.start(*endpoint("opcua", listen))
    except OSError as error:
        raise ConfigError("opcua", f"cannot listen on {listen}: {error}") from error


async def _live(
    plant: ReferencePlant, modbus: ModbusService, opcua: OpcuaService, config: PlantConfig, clock: Clock, stop: asyncio.Event
) -> None:
    period = STEP_S / config.speed
    due, publish_at, watch_at, told = clock.monotonic_s() + period, 0.0, 0.0, 0
    while not stop.is_set():
        now = clock.monotonic_s()
        if now - due > _CATCH_UP_SCANS * period:
            due = now
        while due <= now:
            plant.step()
            due += period
        for outcome in plant.outcomes[told:]:
            say("outcome", at_ns=clock.now(), **dataclasses.asdict(outcome))
        told = len(plant.outcomes)
        if now >= publish_at:
            publish_at = now + _PUBLISH_S
            await opcua.publish()
        if config.watch and now >= watch_at:
            watch_at = now + _WATCH_S
            say("state", at_ns=clock.now(), modbus_writes=modbus.memory.writes, opcua_writes=opcua.writes, **summary(plant))
        await _until(stop, max(due - clock.monotonic_s(), 0.0))


async def _until(stop: asyncio.Event, seconds: float) -> None:
    """A pause that ends early when the process is asked to."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def _process(config: PlantConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(config, SystemClock(), stop)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel demo plant", description="The reference plant behind Modbus/TCP and OPC UA.")
    parser.add_argument("config", type=Path, nargs="?", help="JSON file; without it the built-in addresses")
    parser.add_argument("--watch", action="store_true", help="one line of state a second")
    options = parser.parse_args(arguments)
    try:
        config = read_config(options.config, PlantConfig) if options.config else PlantConfig()
        asyncio.run(_process(dataclasses.replace(config, watch=config.watch or options.watch)))
    except SentinelError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
