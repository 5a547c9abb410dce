"""Waveforms from arrays of a real asyncua server: the same features as from a file of the same samples, and refusals that say why."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.waveform.read import checked
from collectors.waveform.watch import rows_of
from sentinel.errors import ConfigError, InputError
from sentinel.intake import Intake
from sentinel.model.time import NS_PER_S
from tests.unit.collectors.poll.test_opcua import PROGRAM, WAIT_S, Keeper, free_port, process
from tests.unit.collectors.waveform.machine import RATE_HZ, sound

SERVER = """
import asyncio, json, logging, sys
from asyncua import Server, ua
logging.disable(logging.CRITICAL)

async def serve(port):
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:test")
    rate = await server.nodes.objects.add_variable(ua.NodeId("RATE", index), "RATE", 16000.0)
    wave = await server.nodes.objects.add_variable(ua.NodeId("WAVE", index), "WAVE", [0.0], ua.VariantType.Float)
    async with server:
        print("serving", flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            await wave.write_value(ua.DataValue(ua.Variant(json.loads(line), ua.VariantType.Float)))
            print("written", flush=True)

asyncio.run(serve(int(sys.argv[1])))
"""


@asynccontextmanager
async def device(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    async with process("-c", SERVER, str(port), stdin=pipe, stdout=pipe) as child:
        assert child.stdout
        assert await asyncio.wait_for(child.stdout.readline(), WAIT_S) == b"serving\n"
        yield child


async def write(child: asyncio.subprocess.Process, samples: Any) -> None:
    assert child.stdin
    assert child.stdout
    child.stdin.write(json.dumps(np.asarray(samples).tolist()).encode() + b"\n")
    assert await asyncio.wait_for(child.stdout.readline(), WAIT_S) == b"written\n"


@pytest.mark.parametrize("rate", [{"rate_hz": float(RATE_HZ)}, {"rate_node": "ns=2;s=RATE"}], ids=["told", "asked"])
async def test_an_array_gives_the_readings_that_a_file_would(tmp_path: Path, rate: dict[str, Any]) -> None:
    keeper, port, intake, config = Keeper(), free_port(), tmp_path / "intake.sock", tmp_path / "wave.json"
    options = {"intake": str(intake), "url": f"opc.tcp://127.0.0.1:{port}/", "node": "ns=2;s=WAVE", "sensor": "P101", "frame_s": 0.25}
    config.write_text(json.dumps({**options, "period_ms": 50.0, **rate}))
    heard = sound(1.0, seed=4).astype(np.float32)
    file = rows_of(checked("file", RATE_HZ, heard), "P101", 0.25, 0)
    async with Intake(intake, keeper), device(port) as server, process("-m", "collectors", "waveform-opcua", str(config)) as subscriber:
        await write(server, heard)  # what the node held before is too short, and refused
        await keeper.until(lambda: len(keeper.rows) >= len(file))
        subscriber.terminate()
        assert await asyncio.wait_for(subscriber.wait(), WAIT_S) == 0
    assert keeper.rows == [(tag, pytest.approx(value, abs=1e-9)) for _, tag, value, _ in file]
    times = sorted({time for time, _ in keeper.stamps})
    assert [later - first for first, later in pairwise(times)] == [NS_PER_S // 4] * 3
    assert all(time <= seen for time, seen in keeper.stamps)


def test_what_is_no_waveform_is_refused() -> None:
    """In a process of its own: asyncua never shares one with scapy, and the tests have both."""
    program = f"""
import json
from asyncua import ua
from collectors.poll.waveforms import MAX_SAMPLES, Arrays, WaveformConfig
from sentinel.errors import ConfigError, InputError
given = dict(intake="i", sensor="P101", url="opc.tcp://h:1/", node="ns=2;s=W", rate_hz=1000.0)
arrays, said = Arrays(WaveformConfig(**given)), []
good, bad = ua.StatusCode(0), ua.StatusCode(0x80000000)
for value in (1.0, None, [], [1.0] * 999, [float("nan")] * 1000, ["x"], [1.0] * (MAX_SAMPLES + 1), [[1.0]] * 1000, [10**400] * 1000):
    variant = ua.Variant(0.0)
    object.__setattr__(variant, "Value", value)  # as it may come from the wire, whatever the library would write
    try:
        arrays.rows("samples", ua.DataValue(variant, good), 0)
    except {InputError.__name__} as error:
        said.append(str(error))
try:
    arrays.rows("samples", ua.DataValue(ua.Variant([1.0]), bad), 0)
except {InputError.__name__} as error:
    said.append(str(error))
for change in (dict(rate_hz=0.0), dict(node="W"), dict(url="http://h"), dict(sensor=""), dict(frame_s=0.0), dict(period_ms=1.0),
               dict(rate_node="?")):
    try:
        WaveformConfig(**{{**given, **change}})
    except {ConfigError.__name__} as error:
        said.append(error.where)
print(json.dumps(said))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=WAIT_S)
    said = json.loads(done.stdout)
    numbers = "no array of numbers"
    reasons = ["no array", "no array", "shape", "less than a frame", "not finite", numbers, "no array", "2 dimensions", numbers, "good"]
    assert len(said) == len(reasons) + 7
    assert all(reason in each for reason, each in zip(reasons, said, strict=False)), said
    assert said[len(reasons) :] == ["rate_hz", "node", "url", "sensor", "frame_s", "period_ms", "rate_node"]


def test_it_brings_asyncua_and_no_scapy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "waveform-opcua"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['asyncua']"
