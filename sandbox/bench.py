"""`python -m sandbox.bench [--json]`: how long a decision takes, end to end over the court's socket, in a court that has locked itself in.

Half of the writes are safe, half are unsafe; snapshots change as often as the twin makes them.  Prints the median and the 99th percentile,
beside what the same court needs when it is asked for nothing (a refusal), which is the cost of the road alone.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sandbox.client import CourtClient
from sentinel.clock import SystemClock
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.ids import AssetId, CommandId, Digest
from sentinel.model.tags import TagRole
from sentinel.model.verdict import Judgement
from sentinel.twin.engine import Model, compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade, Health, Snapshot

_START_S = 60.0
_PER_SNAPSHOT = 10  # decisions: a busy second
_REFERENCE = Path(__file__).resolve().parent.parent / "sentinel" / "demo" / "plant.yaml"


async def measure(plant: Path, members: int, horizon_s: float, decisions: int) -> dict[str, float]:
    clock = SystemClock()
    model = compile_model(load_plant(plant))
    with tempfile.TemporaryDirectory() as directory:
        socket, config = Path(directory, "court.sock"), Path(directory, "court.json")
        config.write_text(json.dumps({"plant": str(plant), "socket": str(socket), "members": members, "horizon_s": horizon_s}))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sandbox", str(config))
        client = CourtClient(socket, clock, held_patience_s=5.0)
        connection = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(_START_S):
                await client.connected.wait()
            return await _measure(client, clock, model, members, decisions)
        finally:
            connection.cancel()
            process.terminate()
            await process.wait()


async def _measure(client: CourtClient, clock: SystemClock, model: Model, members: int, decisions: int) -> dict[str, float]:
    setpoints = [one.tag for one in model.plant.inputs if one.tag.role is TagRole.SETPOINT]
    health = Health(grade=Grade.IN_STEP, reason="bench")
    start = replace(initial(model, members, at=clock.now()), trusted=True, health=health)
    taken: list[float] = []
    road: list[float] = []
    counts = dict.fromkeys(Judgement, 0)
    for number in range(decisions):
        if number % _PER_SNAPSHOT == 0:
            client.keep(_aged(start, number))
        tag = setpoints[number // 2 % len(setpoints)]
        value = tag.high + (tag.high - tag.low) if number % 2 else (tag.low + tag.high) / 2.0
        write = TagWrite(tag=tag.name, point="bench", raw=value, value=value, unit=tag.unit)
        before_s = clock.monotonic_s()
        verdict = await client.judge(_command(number, clock, (write,)))
        taken.append(1000.0 * (clock.monotonic_s() - before_s))
        counts[verdict.judgement] += 1
        before_s = clock.monotonic_s()
        await client.judge(_command(number, clock, ()))
        road.append(1000.0 * (clock.monotonic_s() - before_s))
    return {
        "decisions": float(decisions),
        **{str(judgement): float(count) for judgement, count in counts.items()},
        "decision_ms_p50": float(np.percentile(taken, 50)),
        "decision_ms_p99": float(np.percentile(taken, 99)),
        "road_ms_p50": float(np.percentile(road, 50)),
        "road_ms_p99": float(np.percentile(road, 99)),
    }


def _aged(start: Snapshot, number: int) -> Snapshot:
    """A snapshot that the court has not seen."""
    return replace(start, states=start.states * (1.0 + 1e-9 * number))


def _command(number: int, clock: SystemClock, writes: tuple[TagWrite, ...]) -> Command:
    return Command(
        id=CommandId(f"bench-{number}"),
        origin=Origin.API,
        seen=clock.now(),
        source=AssetId("192.0.2.7"),
        target=AssetId("192.0.2.1"),
        protocol="opcua",
        operation="write",
        writes=writes,
        frame=Digest(""),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.bench", description="Measures how long the court takes to decide.")
    parser.add_argument("--plant", type=Path, default=_REFERENCE)
    parser.add_argument("--members", type=int, default=256)
    parser.add_argument("--horizon-s", type=float, default=600.0)
    parser.add_argument("--decisions", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    result = asyncio.run(measure(chosen.plant, chosen.members, chosen.horizon_s, chosen.decisions))
    if chosen.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:18} {value:8.2f}" for name, value in result.items()))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
