"""``sentinel demo``: the whole road in front of your eyes, or one member of its cast alone."""

import argparse
import asyncio
import dataclasses
import importlib
import json
import shutil
import signal
import socket
import sys
from pathlib import Path

from sentinel.clock import SystemClock
from sentinel.demo import topology
from sentinel.demo.attacks import CASES
from sentinel.errors import ConfigError
from sentinel.story import Result, Story, Tell, prepare, settings_for, stage_for

SUMMARY = "the appliance beside the reference plant, an operator and an attacker"
_PORT = 8443
_MARK = "sentinel-demo"  # lies in a directory that a demo made and a later one may remove


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="tell the story unattended and exit: 0 only if all went well")
    parser.add_argument("--json", action="store_true", help="print only the figures, as one JSON object; implies --once")
    parser.add_argument("--case", choices=sorted(CASES), default="setpoint", help="what the attacker does (default: %(default)s)")
    parser.add_argument("--learn", type=float, default=35.0, metavar="SECONDS", help="how long the baseline learns (default: %(default)g)")
    parser.add_argument("--directory", type=Path, default=Path("var/demo"), help="records, logs, certificates (default: %(default)s)")
    parser.add_argument("--no-root", action="store_true", help="stay on loopback although network namespaces could be had")
    cast = parser.add_subparsers(
        dest="actor", metavar="ACTOR", help="one of the cast alone: plant, operator or attacker, with its own options"
    )
    for name in ("plant", "operator", "attacker"):
        actor = cast.add_parser(name, help=f"only the {name}", add_help=False)
        actor.add_argument("rest", nargs=argparse.REMAINDER)


def run(args: argparse.Namespace) -> int:
    if args.actor:
        module = importlib.import_module(f"sentinel.demo.{args.actor}")
        status: int = module.main(args.rest)
        return status
    args.once = args.once or args.json
    directory = _fresh(args.directory)
    why_not = "it was not wanted" if args.no_root else topology.why_not()
    tell: Tell = _silent if args.json else _narrate
    if why_not:
        tell(f"On loopback, the inline gate enforces; no passive capture and no nftables, for {why_not}.")
    else:
        tell("In network namespaces of its own: captured passively, enforced by nftables.")
    result = asyncio.run(_play(args, directory, why_not is None, tell))
    if args.json:
        print(json.dumps({**dataclasses.asdict(result), "good": result.is_good}))
    elif result.problem:
        print(f"sentinel demo: {result.problem}", file=sys.stderr)
    return 0 if result.is_good else 1


async def _play(args: argparse.Namespace, directory: Path, routed: bool, tell: Tell) -> Result:
    stop = asyncio.Event()
    playing = asyncio.current_task()
    assert playing is not None

    def end() -> None:
        """The first Ctrl-C ends the waiting at the end; before that it ends the story."""
        if args.once or stop.is_set() or not story.waits:
            playing.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with stage_for(routed) as setting:
        settings = settings_for(setting, free_port(), args.learn)
        places = prepare(directory, settings)
        story = Story(places, settings, setting, SystemClock(), tell, args.case)
        return await story.run(None if args.once else stop)


def _fresh(directory: Path) -> Path:
    """An empty directory; one that no demo made is never emptied."""
    if directory.exists():
        if not (directory / _MARK).exists() and any(directory.iterdir()):
            raise ConfigError(str(directory), "is not empty and was not made by a demo; name another with --directory")
        shutil.rmtree(directory)
    directory.mkdir(parents=True, mode=0o700)
    (directory / _MARK).touch()
    return directory.absolute()


def free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Narrator:
    """Lines with the time since the start; a line that begins with a carriage return replaces the one before (progress)."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._began_s = self._clock.monotonic_s()
        self._open = False

    def __call__(self, line: str) -> None:
        stamp = f"{self._clock.monotonic_s() - self._began_s:6.1f} s  "
        if line.startswith("\r"):
            if sys.stdout.isatty():
                print(f"\r{stamp}{line[1:]}", end="", flush=True)
                self._open = True
            return
        print(f"{chr(10) if self._open else ''}{stamp}{line}", flush=True)
        self._open = False


_narrate = _Narrator()


def _silent(line: str) -> None:
    del line
