"""``sentinel bench replay``: how long the wire tier takes to play a captured frame to the emulated device and to judge what it set.

The tier in a process of its own; frames are writes of every kind, sound and malformed, harmless and harmful, one after the other, each
with the court's verdict on what was read from it, as in an appliance.  ``--unread``: as if nothing could be read from any.  Times are end
to end over its socket: fork, network namespace, server, lock-down, replay, `--members` futures, answer; and, because a crowded machine
makes them long, the mean time of the processor that a case took.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.client import CourtClient
from sandbox.config import CourtConfig
from sandbox.judge import judge
from sandbox.protocol import Request
from sandbox.replay import Replay
from sentinel.clock import Clock, SystemClock
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.errors import TransientError
from sentinel.measure.courtroom import command
from sentinel.model.command import Command, Origin
from sentinel.model.ids import digest
from sentinel.model.modbus import MBAP_OCTETS, writes_of
from sentinel.model.verdict import Verdict
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade, Health

_START_S = 120.0
_WARM = 3
_SNAPSHOT_EVERY = 20  # cases: about one a second
GOAL_P95_MS = 60.0


def frames(seed: int, count: int, interface: Interface) -> list[bytes]:
    """ADUs: functions 5, 6, 16, 22 and 90, one in five of them malformed in a way on which devices differ."""
    chance = random.Random(f"replay {seed}")  # noqa: S311
    made = []
    for number in range(count):
        value = chance.choice((chance.randrange(1000, 1300), 1950))
        pdu = chance.choice(
            (
                bytes((5, 0, 0)) + chance.choice((b"\xff\x00", b"\0\0", b"\x12\x34")),
                bytes((6, 0, 0)) + value.to_bytes(2, "big"),
                bytes((16, 0, 0, 0, 2))
                + chance.choice((b"\x04", b"\x04", b"\x04", b"\x02"))
                + value.to_bytes(2, "big")
                + (800).to_bytes(2, "big"),
                bytes((22, 0, 0)) + b"\xff\xf0" + chance.randrange(16).to_bytes(2, "big"),
                bytes((90, 0, chance.randrange(256))),
            )
        )
        made.append(number.to_bytes(2, "big") + bytes(2) + (1 + len(pdu)).to_bytes(2, "big") + bytes((interface.unit,)) + pdu)
    return made


def asked(interface: Interface, clock: Clock, adu: bytes, is_read: bool) -> Command:
    """``is_read``: with the writes that an ear can name."""
    writes = writes_of(interface.tags, adu[6], adu[MBAP_OCTETS:]) if is_read else None
    seen = command(interface, Origin.GATE, clock.now(), "LIC101.SP", 1.2)
    return replace(seen, writes=writes or (), octets=adu.hex(), unit=adu[6], frame=digest(adu))


async def measure(cases: int, seed: int, members: int, plant: Path, is_read: bool = True) -> dict[str, Any]:
    """Raises TransientError where the tier is off."""
    clock, interface, model = SystemClock(), read_interface(plant), compile_model(load_plant(plant))
    with tempfile.TemporaryDirectory(prefix="sentinel-wire-") as directory:
        told, socket = Path(directory, "wire.json"), Path(directory, "wire.sock")
        client, terms = CourtClient(socket, clock), CourtConfig(plant=plant, socket=socket, members=members)
        court = Replay(model=model, members=members, horizon_s=terms.horizon_s)
        told.write_text(json.dumps({"plant": str(plant), "socket": str(socket), "members": members}))
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "sandbox.emulators", str(told), stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(_START_S):
                while b"in session" not in (line := await process.stderr.readline()):
                    if not line:
                        raise TransientError("the wire tier is off: see its last words above")
                    print(line.decode().rstrip(), file=sys.stderr)
            connection = asyncio.create_task(client.run())
            await client.connected.wait()
            health = Health(grade=Grade.IN_STEP, reason="bench")
            times: list[float] = []
            verdicts: list[Verdict] = []
            for number, adu in enumerate(frames(seed, cases + _WARM, interface)):
                if number % _SNAPSHOT_EVERY == 0:
                    snapshot = replace(initial(model, members, at=clock.now()), trusted=True, health=health)
                    client.keep(snapshot)
                request = Request(command=asked(interface, clock, adu, is_read), snapshot=snapshot.fingerprint())
                first = judge(request.command, snapshot, court, request.context, terms.thresholds, terms.seed, clock.now())
                began_s = clock.monotonic_s()
                verdict = await client.again(first, request, snapshot)
                took_ms = 1000.0 * (clock.monotonic_s() - began_s)
                if number >= _WARM:
                    times.append(took_ms)
                    verdicts.append(verdict)
            connection.cancel()
            computed_ms = _children_ms(process.pid) / (cases + _WARM)
        finally:
            process.terminate()
            await process.wait()
    judged = Counter(verdict.judgement.value for verdict in verdicts)
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return {
        "replay_ms_p50": round(float(p50), 3),
        "replay_ms_p95": round(float(p95), 3),
        "replay_ms_p99": round(float(p99), 3),
        "goal_ms_p95": GOAL_P95_MS,
        "case_cpu_ms_mean": round(computed_ms, 3),
        "cases": len(times),
        "played": sum(any("emulated device" in line for line in verdict.evidence) for verdict in verdicts),
        "hang_on_dialect": sum("dialect, which" in verdict.reason for verdict in verdicts),
        **{judgement: judged[judgement] for judgement in ("safe", "unsafe", "undecided")},
    }


def _children_ms(process: int) -> float:
    """Time of the processor that a process's ended children have had (proc(5): cutime and cstime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return 1000.0 * (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench replay", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=200, help="frames that are played (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the frames (default: %(default)s)")
    parser.add_argument("--members", type=int, default=256, help="futures per rollout (default: %(default)s)")
    parser.add_argument("--unread", action="store_true", help="nothing is read from the frames: the tier judges them all by itself")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    try:
        result = asyncio.run(measure(given.cases, given.seed, given.members, PLANT_FILE, not given.unread))
    except TransientError as error:
        parser.exit(os.EX_UNAVAILABLE, f"sentinel bench replay: {error}\n")
    print(json.dumps(result) if given.json else "\n".join(f"{name:16} {value}" for name, value in result.items()))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
