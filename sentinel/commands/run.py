"""``sentinel run``: the appliance in the foreground, until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import signal
from pathlib import Path

from sentinel import settings as configuration
from sentinel.clock import SystemClock
from sentinel.model.time import Instant
from sentinel.places import Places
from sentinel.processes import processes, reporting
from sentinel.settings import Settings
from sentinel.supervisor import Supervisor

SUMMARY = "run the appliance: brain, court, collectors and enforcer, each watched and restarted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("sentinel.toml"),
        help="settings file (default: %(default)s); `sentinel sample-config` prints one",
    )


def run(args: argparse.Namespace) -> int:
    settings = configuration.read(args.config)
    places = Places.of(settings, args.config)
    places.make()
    with places.claimed() as killed:
        asyncio.run(_run(settings, places, killed))
    return 0


async def _run(settings: Settings, places: Places, killed: Instant | None) -> None:
    clock = SystemClock()
    async with reporting(places, clock, killed) as report:
        supervisor = Supervisor(processes(settings, places), places.logs, clock, report)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, supervisor.stop)
        print(f"sentinel: {settings.appliance.name} on https://{settings.api.host}:{settings.api.port}, logs in {places.logs}", flush=True)
        await supervisor.run()
