"""Starts the appliance's processes, watches them, starts them again, and reports every outage to the brain.

In: a list of `Process`.  Out: running children, one log file each, and an `Outage` for each child that ended without being asked to, but
for one that says it cannot be on this machine.
The supervisor holds no data and listens nowhere.  It dies with its terminal or its init system; its children then end with it
(PR_SET_PDEATHSIG), and the next start finds everything that was acknowledged in the records.
"""

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sentinel.clock import Clock
from sentinel.errors import ConfigError, SentinelError
from sentinel.model.observation import Outage

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 5.0
_STEADY_S = 30.0  # a child that lived this long starts again with the first delay
_TERMINATE_S = 5.0
_LAST_WORDS_OCTETS = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    name: str
    argv: Sequence[str]
    namespace: str = ""  # network namespace, by its name under /run/netns
    environment: Mapping[str, str] = field(default_factory=dict)
    final: frozenset[int] = frozenset()  # exit statuses by which it says that this machine has no place for it


Report = Callable[[Outage], Awaitable[None]]


class Supervisor:
    """``report`` is called for each outage, once its process runs again."""

    def __init__(self, processes: Sequence[Process], logs: Path, clock: Clock, report: Report) -> None:
        self._processes = processes
        self._logs = logs
        self._clock = clock
        self._report = report
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items() if child.returncode is None}

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; children are asked to end, then killed.  Raises ConfigError for an unknown namespace, before it starts anything."""
        for name in {process.namespace for process in self._processes if process.namespace}:
            os.close(_open_namespace(name))
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with asyncio.TaskGroup() as group:
            for process in self._processes:
                group.create_task(self._keep(process), name=f"supervise {process.name}")

    async def _keep(self, process: Process) -> None:
        delay, outage_since, reason = _FIRST_DELAY_S, None, ""
        while not self._stopping.is_set():
            started = self._clock.monotonic_s()
            try:
                child = await self._start(process)
            except (SentinelError, OSError, subprocess.SubprocessError) as error:  # what is missing now may come back
                outage_since, reason = outage_since or self._clock.now(), f"cannot be started: {error}"
                log.warning("sentinel: %s %s", process.name, reason)
                await self._pause(delay)
                delay = min(delay * 2, _LONGEST_DELAY_S)
                continue
            self._children[process.name] = child
            if outage_since is not None:
                await self._report(Outage(process=process.name, since=outage_since, until=self._clock.now(), reason=reason))
            ended, stopped = asyncio.create_task(child.wait()), asyncio.create_task(self._stopping.wait())
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not ended.done():
                await _end(child)
                await ended
                return
            outage_since, reason = self._clock.now(), _why(child.returncode or 0, self._log_of(process))
            if child.returncode in process.final:
                log.warning("sentinel: %s %s; the appliance goes on without it", process.name, reason)
                return
            log.warning("sentinel: %s %s; it is started again", process.name, reason)
            if self._clock.monotonic_s() - started > _STEADY_S:
                delay = _FIRST_DELAY_S
            await self._pause(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _log_of(self, process: Process) -> Path:
        return self._logs / f"{process.name}.log"

    async def _start(self, process: Process) -> asyncio.subprocess.Process:
        file = self._log_of(process)
        if file.exists() and file.stat().st_size:
            file.replace(file.with_suffix(".log.1"))
        namespace = _open_namespace(process.namespace) if process.namespace else None
        try:
            with file.open("wb") as sink:
                return await asyncio.create_subprocess_exec(
                    *process.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=sink,
                    stderr=sink,
                    env={**os.environ, **process.environment},
                    start_new_session=True,
                    preexec_fn=lambda: _enter(namespace),
                )
        finally:
            if namespace is not None:
                os.close(namespace)


def _open_namespace(name: str) -> int:
    try:
        return os.open(f"/run/netns/{name}", os.O_RDONLY)
    except OSError as error:
        raise ConfigError(f"namespace {name!r}", f"cannot be entered: {error.strerror}") from error


def _enter(namespace: int | None) -> None:
    """Between fork and exec: end with the supervisor, leave no core file with plant data, enter the namespace."""
    import resource

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if namespace is not None and libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


async def _end(child: asyncio.subprocess.Process) -> None:
    child.terminate()
    try:
        await asyncio.wait_for(child.wait(), _TERMINATE_S)
    except TimeoutError:
        child.kill()


def _why(status: int, log_file: Path) -> str:
    """With its last words, where it ended by itself."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    with log_file.open("rb") as said:
        said.seek(max(0, log_file.stat().st_size - _LAST_WORDS_OCTETS))
        lines = said.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"ended with status {status}: {last}"


def python(*arguments: str) -> tuple[str, ...]:
    """The interpreter that runs us, isolated from user site packages and with warnings visible in the log."""
    return (sys.executable, "-s", *arguments)
