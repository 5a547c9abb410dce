"""An attacker has taken over the judge of a real court: nothing he tries reaches anything, and the next case is judged by a court again."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest

from sandbox.client import CourtClient
from sentinel.clock import SystemClock
from sentinel.model.command import Origin
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.attempts import ATTEMPTS
from tests.unit.sandbox.conftest import START_S, CourtProcess, command, end, start_court

pytestmark = pytest.mark.netns
CAPTURED = str(Path(__file__).with_name("captured_court.py"))
Ask = Callable[[str], Awaitable[Verdict]]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CourtProcess, Path]]:
    """One court for all attempts: who does not get out is there for the next."""
    directory = tmp_path_factory.mktemp("captured")
    outside = directory / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    court = start_court(directory, program=(sys.executable, CAPTURED), extra=(str(outside),))
    yield court, outside
    end(court)


@pytest.fixture
async def ask(captured: tuple[CourtProcess, Path], snapshot: Snapshot) -> AsyncIterator[Ask]:
    client = CourtClient(captured[0].socket, SystemClock(), patience_s=START_S)
    connection = asyncio.create_task(client.run())

    async def asked(operation: str) -> Verdict:
        async with asyncio.timeout(START_S):
            await client.connected.wait()
        client.keep(snapshot)
        return await client.judge(command({"LIC101.SP": 1.25}, origin=Origin.WIRE, operation=operation))

    yield asked
    connection.cancel()


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_nothing_gets_out(ask: Ask, captured: tuple[CourtProcess, Path], attempt: str) -> None:
    verdict = await ask(attempt)
    assert verdict.reason.startswith("refused: "), f"{attempt}: {verdict.reason}"
    assert list(captured[1].iterdir()) == []
    assert captured[0].process.poll() is None


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("say nonsense", "the court's answer is not one: Verdict: a probability outside 0 to 1"),
        ("speak of another", "the court's answer is not one: Verdict: it is about command 'another'"),
        ("say what breaks a terminal", "the court's answer is not one: Verdict: a text that is too long or holds control characters"),
        ("say too much", "the court does not speak the protocol: "),
    ],
)
async def test_what_it_answers_is_hostile_and_the_next_case_is_judged(ask: Ask, answer: str, says: str) -> None:
    verdict = await ask(answer)
    assert verdict.judgement is Judgement.UNDECIDED
    assert verdict.reason.startswith(says)
    assert (await ask("write_single_register")).judgement is Judgement.SAFE


@pytest.mark.parametrize("deed", ["loop without end", "wait without end"])
async def test_a_case_that_never_ends_costs_a_second_and_the_next_is_judged(
    tmp_path: Path, connect: Callable[[Path], Awaitable[CourtClient]], snapshot: Snapshot, deed: str
) -> None:
    court = start_court(tmp_path, program=(sys.executable, CAPTURED), extra=(str(tmp_path),))
    client = await connect(court.socket)
    client.keep(snapshot)
    began_s = monotonic()
    verdict = await client.judge(command({"LIC101.SP": 1.25}, origin=Origin.API, operation=deed))
    took_s = monotonic() - began_s
    assert verdict.judgement is Judgement.UNDECIDED
    assert "the court went away" in verdict.reason
    assert took_s < 5.0  # one second: of the processor, or of the wall where it computes nothing
    async with asyncio.timeout(START_S):
        await client.connected.wait()
    again = await client.judge(command({"LIC101.SP": 1.25}, origin=Origin.API, name="c-2"))
    assert again.judgement is Judgement.SAFE, again.reason
    assert court.process.poll() is None
    end(court)
    assert court.process.returncode == 0
