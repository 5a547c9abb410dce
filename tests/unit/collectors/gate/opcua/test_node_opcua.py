"""The gate between a server and a client whose stack is node-opcua, which shares nothing with asyncua or with us."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.certificates import Certificates
from sentinel.clock import SystemClock
from sentinel.model.command import Command
from tests.counterparts import need_node_opcua
from tests.unit.collectors.gate.opcua.stage import gate_before

PROGRAMS = Path(__file__).parents[4] / "e2e" / "programs"
SLOW_S = 90.0


async def node(directory: Path, *argv: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "NODE_PATH": str(need_node_opcua(pytest.skip)), "HOME": str(directory)}
    piped = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec("node", *argv, stdout=piped, stderr=asyncio.subprocess.STDOUT, env=environment)


async def line_with(process: asyncio.subprocess.Process, word: str) -> str:
    assert process.stdout is not None
    while word not in (line := (await asyncio.wait_for(process.stdout.readline(), SLOW_S)).decode()):
        assert line, f"ended before it said {word!r}"
    return line.strip()


@asynccontextmanager
async def plant(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    argv = (str(PROGRAMS / "opcua_server.js"), "127.0.0.1", str(port), str(directory / "server"), "SP=1.0", "LT=2.0")
    process = await node(directory, *argv)
    try:
        await line_with(process, "ready")
        yield process
    finally:
        process.kill()
        await process.communicate()


async def client(directory: Path, gate: int, mode: str, *steps: str) -> tuple[int | None, str]:
    url = f"opc.tcp://127.0.0.1:{gate}/plant"
    process = await node(directory, str(PROGRAMS / "opcua_client.js"), url, mode, str(directory / "client"), *steps)
    said, _ = await asyncio.wait_for(process.communicate(), SLOW_S)
    return process.returncode, said.decode()


def is_low(command: Command) -> bool:
    return all(write.value is not None and write.value < 10 for write in command.writes)


@pytest.mark.timeout(300)
async def test_reads_writes_and_refusals_without_security_and_with(tmp_path: Path, free_port: int) -> None:
    pki = tmp_path / "pki"
    Certificates(pki, "gate", "gate", "127.0.0.1", SystemClock())
    async with plant(tmp_path, free_port), gate_before(free_port, tmp_path, is_low, patience_s=60.0) as (gate, brain):
        status, said = await client(tmp_path, gate.address[1], "None", "ns=2;s=SP=3.5", "ns=2;s=SP")
        assert (status, "ns=2;s=SP = 3.5" in said) == (0, True), said
        status, said = await client(tmp_path, gate.address[1], "None", "ns=2;s=SP=12")
        assert (status, "write ns=2;s=SP: BadUserAccessDenied" in said) == (1, True), said

        status, said = await client(tmp_path, gate.address[1], "SignAndEncrypt", "ns=2;s=SP")
        assert status == 1, "nobody trusts it yet"
        own = {"server": "certificate.pem", "client": "client_certificate.pem"}
        for whose, name in own.items():
            (pki / "trusted" / f"{whose}.pem").write_bytes((tmp_path / whose / "own" / "certs" / name).read_bytes())
    async with plant(tmp_path, free_port), gate_before(free_port, tmp_path, is_low, patience_s=60.0) as (gate, brain):
        for mode in ("Sign", "SignAndEncrypt"):
            status, said = await client(tmp_path, gate.address[1], mode, "ns=2;s=SP=4.5", "ns=2;s=SP")
            assert (status, "ns=2;s=SP = 4.5" in said) == (0, True), said
            status, said = await client(tmp_path, gate.address[1], mode, "ns=2;s=SP=12")
            assert (status, "write ns=2;s=SP: BadUserAccessDenied" in said) == (1, True), said
        assert [outcome.forwarded for outcome in await brain.outcomes(4)] == [True, False, True, False]


@pytest.mark.timeout(180)
async def test_a_subscription_goes_on_while_a_write_is_held(tmp_path: Path, free_port: int) -> None:
    async with plant(tmp_path, free_port), gate_before(free_port, tmp_path, lambda _: None, deadline_ms=30_000.0) as (gate, brain):
        url = f"opc.tcp://127.0.0.1:{gate.address[1]}/plant"
        watch = await node(tmp_path, str(PROGRAMS / "opcua_client.js"), url, "None", str(tmp_path / "one"), "ns=2;s=LT@100", "ns=2;s=SP=5")
        try:
            await brain.until(lambda: brain.of(Command))
            directly = f"opc.tcp://127.0.0.1:{free_port}/plant"
            other = await node(tmp_path, str(PROGRAMS / "opcua_client.js"), directly, "None", str(tmp_path / "two"), "ns=2;s=LT=7.25")
            await line_with(watch, "ns=2;s=LT = 7.25")
            await asyncio.wait_for(other.communicate(), SLOW_S)
        finally:
            watch.kill()
            await watch.communicate()
