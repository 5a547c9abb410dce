"""A court to measure: in a process of its own, locked in, with clients that wait long enough to hear how long it takes."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.client import CourtClient, Familiarity
from sentinel.clock import Clock
from sentinel.demo.wiring import Interface
from sentinel.measure.stage import Stage
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.ids import AssetId, digest
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.ports import Outcome

_START_S = 60.0
_PATIENCE = 5.0  # times the limit of a case
_SOURCE, _PLC = AssetId("192.0.2.7"), AssetId("192.0.2.1")  # RFC 5737: nobody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    socket: Path
    clock: Clock
    patience_s: float

    @asynccontextmanager
    async def client(self) -> AsyncIterator[CourtClient]:
        """One that remembers nothing yet: what was written to another plant, or in another life of this one, is none of its past."""
        client = CourtClient(self.socket, self.clock, lambda _: Familiarity(), held_patience_s=self.patience_s, patience_s=self.patience_s)
        connection = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(_START_S):
                await client.connected.wait()
            yield client
        finally:
            connection.cancel()


@asynccontextmanager
async def in_session(plant: Path, members: int, horizon_s: float, clock: Clock, case_limit_s: float = 1.0) -> AsyncIterator[Court]:
    """``case_limit_s``: what a case may take of the processor; who asks waits five times as long."""
    with tempfile.TemporaryDirectory(prefix="sentinel-court-") as directory:
        socket, config = Path(directory, "court.sock"), Path(directory, "court.json")
        told = {"plant": str(plant), "socket": str(socket), "members": members, "horizon_s": horizon_s, "case_limit_s": case_limit_s}
        config.write_text(json.dumps(told))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sandbox", str(config), stderr=asyncio.subprocess.DEVNULL)
        try:
            yield Court(socket=socket, clock=clock, patience_s=_PATIENCE * case_limit_s)
        finally:
            process.terminate()
            await process.wait()


def command(interface: Interface, origin: Origin, seen: Instant, tag: str, value: float) -> Command:
    write = TagWrite(tag=tag, point=tag, raw=value, value=value, unit=interface.tags.by_name[tag].unit)
    frame = digest(tag, repr(value))
    return Command(
        id=command_id(seen, _SOURCE, _PLC, frame),
        origin=origin,
        seen=seen,
        source=_SOURCE,
        target=_PLC,
        protocol="modbus",
        operation="write",
        writes=(write,),
        frame=frame,
    )


async def timed(client: CourtClient, clock: Clock, asked: Command) -> tuple[Verdict, float]:
    """(verdict, ms until it was there)."""
    began_s = clock.monotonic_s()
    verdict = await client.judge(asked)
    return verdict, 1000.0 * (clock.monotonic_s() - began_s)


def forward(client: CourtClient, stage: Stage, asked: Command, verdict: Verdict, took_ms: float) -> None:
    """The plant gets it, and court and twin hear that it did."""
    client.settle(Outcome(command=asked.id, forwarded=True, ruled=True, held_ms=took_ms, reason=verdict.reason, at=stage.now))
    for write in asked.writes:
        assert write.tag is not None
        assert write.value is not None
        stage.write(write.tag, write.value)
