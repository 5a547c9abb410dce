"""The reference plant's twin as the court sees it, and courts as real processes."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir

import pytest

from sandbox.client import CourtClient, Familiarity
from sandbox.replay import Replay
from sentinel.clock import SystemClock
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.ids import AssetId, CommandId, Digest
from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.engine import Model, compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Deviation, Grade, Health, Snapshot

ROOT = Path(__file__).resolve().parents[3]
PLANT = ROOT / "sentinel" / "demo" / "plant.yaml"
NOW = Instant(1_800_000_000 * NS_PER_S)
START_S = 60.0
NOBODY = 65534


@pytest.fixture(scope="session")
def model() -> Model:
    return compile_model(load_plant(PLANT))


@pytest.fixture(scope="session")
def snapshot(model: Model) -> Snapshot:
    return in_step(initial(model, 256, at=NOW))


@pytest.fixture(scope="session")
def replay(model: Model) -> Replay:
    return Replay(model=model, members=256, horizon_s=600.0)


def in_step(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, trusted=True, health=Health(grade=Grade.IN_STEP, reason="every reading fits"))


def degraded(snapshot: Snapshot, tag: str) -> Snapshot:
    off = Deviation(tag=tag, distance=6.0, why="reads too high")
    return replace(snapshot, trusted=False, health=Health(grade=Grade.DEGRADED, reason=f"{tag} reads too high", deviations=(off,)))


def lost(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, trusted=False, health=Health(grade=Grade.LOST, reason="nothing has been read for 60 s"))


def command(
    writes: dict[str, float],
    *,
    origin: Origin = Origin.GATE,
    seen: Instant = NOW,
    source: str = "10.0.0.66",
    octets: str = "",
    name: str = "c-1",
    operation: str = "write_multiple_registers",
) -> Command:
    return Command(
        id=CommandId(name),
        origin=origin,
        seen=seen,
        source=AssetId(source),
        target=AssetId("10.0.0.10"),
        protocol="modbus",
        operation=operation,
        unit=1,
        writes=tuple(TagWrite(tag=tag, point="holding 0", raw=value, value=value) for tag, value in writes.items()),
        frame=Digest("f" * 64),
        octets=octets,
    )


def open_to_all(directory: Path) -> None:
    """Another user may write here, and finds the way."""
    directory.chmod(0o777)
    for parent in directory.parents:
        if parent.is_relative_to(gettempdir()) and parent != Path(gettempdir()):
            parent.chmod(0o755)


@dataclass
class CourtProcess:
    process: subprocess.Popen[str]
    socket: Path

    def said(self) -> str:
        """What it wrote until it ended."""
        _, text = self.process.communicate(timeout=START_S)
        return text


def environment() -> dict[str, str]:
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(ROOT), *packages])}


STARTED: list[CourtProcess] = []


def start_court(
    directory: Path, *, program: tuple[str, ...] = (sys.executable, "-m", "sandbox"), extra: tuple[str, ...] = (), **config: object
) -> CourtProcess:
    socket = directory / "court.sock"
    path = directory / "court.json"
    path.write_text(json.dumps({"plant": str(PLANT), "socket": str(socket), **config}))
    process = subprocess.Popen([*program, str(path), *extra], stderr=subprocess.PIPE, text=True, env=environment(), cwd=directory)
    STARTED.append(CourtProcess(process, socket))
    return STARTED[-1]


def end(court: CourtProcess) -> None:
    court.process.terminate()
    with contextlib.suppress(ValueError):  # what it said has been read already
        court.process.communicate(timeout=START_S)


@pytest.fixture(scope="session")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CourtProcess]:
    """One court for all tests that only talk to it."""
    running = start_court(tmp_path_factory.mktemp("court"))
    yield running
    end(running)


@pytest.fixture(autouse=True)
def no_court_outlives_its_test() -> Iterator[None]:
    """A test that fails half-way leaves no process to whichever test the collector of garbage comes to next."""
    before = len(STARTED)  # the session's own court is among these: wider fixtures are made first
    yield
    for court in STARTED[before:]:
        end(court)
    del STARTED[before:]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., "asyncio.Future[CourtClient]"]]:
    """Clients of a court's socket that are connected, and are gone after the test; with what is known of who writes."""
    tasks: list[asyncio.Task[None]] = []

    async def connected(socket: Path, known: Familiarity = Familiarity()) -> CourtClient:  # noqa: B008  frozen
        client = CourtClient(socket, SystemClock(), lambda _: known, held_patience_s=5.0)
        tasks.append(asyncio.create_task(client.run()))
        async with asyncio.timeout(START_S):
            await client.connected.wait()
        return client

    yield connected  # type: ignore[misc]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="session")
def as_nobody() -> tuple[str, ...]:
    """How to start Python as a user without any right; the interpreter must be readable for that user."""
    if os.geteuid() != 0:
        return (sys.executable,)
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to give up root")
    drop = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    for interpreter in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        if shutil.which(interpreter):
            tried = subprocess.run(
                [*drop, interpreter, "-c", "import numpy, pydantic, sandbox"], env=environment(), cwd="/", capture_output=True, check=False
            )
            if tried.returncode == 0:
                return (*drop, interpreter)
    pytest.skip("no interpreter that an unprivileged user could start")
