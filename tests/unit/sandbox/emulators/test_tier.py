"""The wire tier as a process: captured octets on a real pymodbus server in a namespace of its own, judged; hostile cases and their ends."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from sandbox.client import CourtClient
from sandbox.config import NO_NAMESPACE
from sentinel.clock import SystemClock
from sentinel.model.command import Command, Origin
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.attempts import ATTEMPTS
from tests.unit.sandbox.conftest import NOW, PLANT, START_S, CourtProcess, command, end, in_step, start_court
from tests.unit.sandbox.emulators.test_modbus import adu

pytestmark = pytest.mark.netns
CAPTURED = str(Path(__file__).with_name("captured_case.py"))
DIALECT = "modbus-serial"
Play = Callable[..., Awaitable[Verdict]]


def frame(octets: bytes, operation: str = "write_single_register", origin: Origin = Origin.GATE) -> Command:
    asked = command({}, origin=origin, operation=operation)
    return replace(asked, octets=octets.hex(), target=asked.target)


def declared(directory: Path) -> Path:
    text = PLANT.read_text()
    assert "modbus: {unit: 1, port: 502}" in text
    path = directory / "plant.yaml"
    path.write_text(text.replace("modbus: {unit: 1, port: 502}", f"modbus: {{unit: 1, port: 502, dialect: {DIALECT}}}"))
    return path


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where anybody might write who gets there."""
    directory = tmp_path_factory.mktemp("outside")
    directory.chmod(0o777)
    return directory


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[tuple[CourtProcess, Snapshot]]:
    """One for all tests: what a case does must not reach the next."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    directory = tmp_path_factory.mktemp("wire")
    plant = declared(directory)
    running = start_court(directory, program=(sys.executable, CAPTURED), extra=(str(outside),), plant=str(plant))
    yield running, in_step(initial(compile_model(load_plant(plant)), 256, at=NOW))
    end(running)


@pytest.fixture
async def play(tier: tuple[CourtProcess, Snapshot]) -> AsyncIterator[Play]:
    client = CourtClient(tier[0].socket, SystemClock(), held_patience_s=START_S, patience_s=START_S)
    connection = asyncio.create_task(client.run())

    async def played(octets: bytes, operation: str = "write_single_register", origin: Origin = Origin.GATE) -> Verdict:
        async with asyncio.timeout(START_S):
            await client.connected.wait()
        client.keep(tier[1])
        return await client.judge(frame(octets, operation, origin))

    yield played
    connection.cancel()
    await asyncio.gather(connection, return_exceptions=True)


@pytest.mark.parametrize(
    ("octets", "judgement", "says"),
    [
        (adu("06000004e2"), Judgement.SAFE, "it answers 0001000000060106000004e2 and sets LIC101.SP = 1.25"),
        (adu("0600000780"), Judgement.UNSAFE, "it answers 000100000006010600000780 and sets LIC101.SP = 1.92"),
        (adu("0500050000"), Judgement.UNSAFE, "sets P301.RUN = 0"),
        (adu("5a0001"), Judgement.UNDECIDED, "it answers 00010000000301da01 and sets nothing"),
        (adu("0300000002"), Judgement.UNDECIDED, "and sets nothing"),
        (adu("06004d0780"), Judgement.UNDECIDED, "sets holding 77 = 1920"),
        (adu("0600000780")[:9], Judgement.UNDECIDED, "it stays silent and sets nothing"),
    ],
)
async def test_what_a_frame_does_to_the_device_is_judged(play: Play, octets: bytes, judgement: Judgement, says: str) -> None:
    verdict = await play(octets)
    assert verdict.judgement is judgement, verdict.reason
    assert f"the emulated device (dialect {DIALECT}): " in verdict.evidence[0]
    assert says in verdict.evidence[0]


async def test_what_was_only_heard_is_played_as_it_was_sent_whatever_it_looks_like(play: Play) -> None:
    hidden = bytes.fromhex("5a00 0000 0006 01 06 0000 0780")
    held, heard = await play(hidden), await play(hidden, origin=Origin.WIRE)
    assert "sets LIC101.SP = 1.92" in held.evidence[0]
    assert "answers 00000000000301da01 and sets nothing" in heard.evidence[0]


async def test_a_malformed_write_that_this_dialect_carries_out_is_unsafe_and_says_what_it_hangs_on(play: Play) -> None:
    verdict = await play(adu("1000000001030780"))
    assert verdict.judgement is Judgement.UNSAFE
    assert "would set nothing: the verdict hangs on the dialect" in verdict.evidence[1]
    assert "standard" in verdict.evidence[1]
    safe = await play(adu("0600000780", unit=55))
    assert safe.judgement is Judgement.UNDECIDED
    assert "speaks openplc or libmodbus or pymodbustcp would set LIC101.SP = 1.92" in safe.evidence[1]


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_nothing_gets_out_of_a_case(play: Play, tier: tuple[CourtProcess, Snapshot], outside: Path, attempt: str) -> None:
    verdict = await play(adu("06000004e2"), attempt)
    assert verdict.reason.startswith("refused: "), f"{attempt}: {verdict.reason}"
    assert list(outside.iterdir()) == []
    assert tier[0].process.poll() is None


@pytest.mark.parametrize(
    ("deed", "says"),
    [
        ("loop without end", "the case gave nothing within 1 s"),
        ("say nothing", "the case gave nothing within 1 s"),
        ("say a little and wait", "the case gave nothing within 1 s"),
        ("say too much", "the case gave no verdict: "),
        ("say nonsense", "the case gave no verdict: Verdict: a probability outside 0 to 1"),
        ("raise", "the case failed: ValueError: an accident"),
    ],
)
async def test_whatever_a_case_does_the_next_one_is_judged(play: Play, deed: str, says: str) -> None:
    assert (await play(adu("06000004e2"))).judgement is Judgement.SAFE
    began_s = monotonic()
    verdict = await play(adu("06000004e2"), deed)
    assert monotonic() - began_s < 5.0
    assert verdict.judgement is Judgement.UNDECIDED
    assert verdict.reason.startswith(f"the court could not judge: {says}")
    assert (await play(adu("06000004e2"))).judgement is Judgement.SAFE


@pytest.mark.parametrize("octets", ["", "zz", "00" * 5000])
async def test_what_cannot_be_played_is_refused(tier: tuple[CourtProcess, Snapshot], octets: str) -> None:
    client = CourtClient(tier[0].socket, SystemClock(), held_patience_s=START_S, patience_s=START_S)
    connection = asyncio.create_task(client.run())
    async with asyncio.timeout(START_S):
        await client.connected.wait()
    client.keep(tier[1])
    verdict = await client.judge(replace(frame(b""), octets=octets))
    connection.cancel()
    assert verdict.judgement is Judgement.UNDECIDED
    assert "the frame that came with the command" in verdict.reason


def test_without_the_right_to_a_namespace_it_is_off_and_says_so(tmp_path: Path) -> None:
    tier = start_court(tmp_path, program=(sys.executable, CAPTURED), extra=("no rights",), members=16)
    said = tier.said()
    assert tier.process.returncode == NO_NAMESPACE
    assert "no network namespace to be had: Operation not permitted" in said
    assert "Wire replay is off" in said
    assert not tier.socket.exists()


def test_a_dialect_that_nobody_knows_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(PLANT.read_text().replace("port: 502}", "port: 502, dialect: klingon}"))
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", "plant", "check", str(path)], capture_output=True, text=True, check=False, timeout=START_S
    )
    assert done.returncode != 0
    assert "klingon" in done.stderr + done.stdout
    assert "modbus-serial" in done.stderr + done.stdout
