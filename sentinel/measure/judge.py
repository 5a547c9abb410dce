"""The brain of a measurement, reduced to what a held write waits for: the intake, the court, and the brain's own rule of what follows.

    python -m sentinel.measure.judge DIRECTORY MEMBERS

In DIRECTORY lie the sockets; the gate is called "gate".  The twin is the reference plant's, trusted and in step, with a new snapshot each
second as the twin makes them.  Says `ready` once the court is in session, a snapshot is there and the gate is connected; ends on SIGTERM.
"""

import asyncio
import gc
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sandbox.client import CourtClient
from sentinel.brain.ruling import ruling_for
from sentinel.clock import SystemClock
from sentinel.demo.wiring import PLANT_FILE
from sentinel.intake import Intake
from sentinel.model.command import Command
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade, Health

INTAKE, COURT, GATE = "intake.sock", "court.sock", "gate"
_START_S = 60.0
_SNAPSHOT_S = 1.0


async def judge(directory: Path, members: int) -> None:
    clock, model = SystemClock(), compile_model(load_plant(PLANT_FILE))
    court = CourtClient(directory / COURT, clock)
    judging: set[asyncio.Task[None]] = set()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)

    async def rule(command: Command) -> None:
        verdict = await court.judge(command)
        await intake.rule(ruling_for(command, verdict, model.plant.tags, learning=False))
        await court.completed(verdict)

    async def take(value: Any) -> None:
        if isinstance(value, Command):
            task = asyncio.create_task(rule(value))
            judging.add(task)
            task.add_done_callback(judging.discard)

    health = Health(grade=Grade.IN_STEP, reason="bench")
    async with Intake(directory / INTAKE, take) as intake:
        connection = asyncio.create_task(court.run())
        async with asyncio.timeout(_START_S):
            await court.connected.wait()
            await intake.wait_present(GATE)
        ready = False
        while not ended.is_set():
            court.keep(replace(initial(model, members, at=clock.now()), trusted=True, health=health))
            if not ready:
                gc.collect()
                gc.freeze()  # as the brain does
                print("ready", flush=True)
                ready = True
            with_news = asyncio.create_task(ended.wait())
            await asyncio.wait({with_news}, timeout=_SNAPSHOT_S)
            with_news.cancel()
        connection.cancel()


if __name__ == "__main__":
    asyncio.run(judge(Path(sys.argv[1]), int(sys.argv[2])))
