"""`python -m sentinel.respond.enforcers CONFIG.json`: the enforcing process, until it is asked to end.  Cuts stay in force without it."""

import asyncio
import signal
import sys
from pathlib import Path

from sentinel.clock import SystemClock
from sentinel.errors import ConfigError, SentinelError
from sentinel.model.codec import CodecError, from_json
from sentinel.respond.enforcers.journal import Journal
from sentinel.respond.enforcers.privileges import keep_only_net_admin
from sentinel.respond.enforcers.service import Config, Door, Service, listen


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m sentinel.respond.enforcers CONFIG.json", file=sys.stderr)
        return 2
    try:
        asyncio.run(_serve(_read(Path(arguments[0]))))
    except (SentinelError, OSError) as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return 2
    return 0


def _read(path: Path) -> Config:
    try:
        return from_json(Config, path.read_bytes())
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except CodecError as error:
        raise ConfigError(str(path), str(error)) from error


async def _serve(config: Config) -> None:
    clock = SystemClock()
    journal = Journal(Path(config.journal), clock)
    listener = listen(config)
    keep_only_net_admin()
    service = Service(config, journal, clock)
    await service.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    watching = asyncio.create_task(service.watch())
    async with await asyncio.start_unix_server(Door(service, config, journal), sock=listener):
        print(f"enforcer: ready, {len(await service.in_force())} addresses are cut", flush=True)
        await asyncio.wait({watching, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()
    watching.cancel()
    journal.write("end")
    journal.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
