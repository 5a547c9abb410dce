"""What is played to the emulated device once more: nothing safe, not more than may wait, each under the name of the first verdict."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from sandbox.protocol import Request
from sentinel.brain.replays import MAX_WAITING, Replays
from sentinel.clock import ManualClock
from sentinel.model.command import Command, Origin
from sentinel.model.ids import CommandId, VerdictId
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, command, model, snapshot

__all__ = ["model", "snapshot"]  # fixtures of the court's own tests
FIRST = Verdict(id=VerdictId("v"), command=CommandId("c-1"), judgement=Judgement.UNDECIDED, reason="no name", judged=NOW)
TRIED = command({}, octets="000100000004015a0001")


@dataclass
class Bench:
    """Knows every case, and says of each that it was played."""

    snapshot: Snapshot
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        return (Request(command=TRIED, snapshot=self.snapshot.fingerprint()), self.snapshot) if verdict == FIRST.id else None

    async def again(self, first: Verdict, request: Request, snapshot: Snapshot) -> Verdict:
        return replace(first, id=VerdictId("again"), refers=first.id)


@pytest.fixture
def replays(snapshot: Snapshot) -> Replays:
    bench = Bench(snapshot)
    bench.connected.set()
    return Replays(bench, bench, ManualClock())


async def test_an_undecided_command_is_played_and_its_verdict_handed_on(replays: Replays) -> None:
    told: asyncio.Queue[Verdict] = asyncio.Queue()
    running = asyncio.create_task(replays.run(told.put))
    replays.offer(TRIED, FIRST)
    assert (await told.get()).refers == FIRST.id
    running.cancel()
    assert replays.health() == {"present": True, "played": 1, "passed_over": 0}


@pytest.mark.parametrize(
    ("asked", "verdict"),
    [
        (TRIED, replace(FIRST, judgement=Judgement.SAFE)),
        (TRIED, replace(FIRST, id=VerdictId("of no court"))),
        (replace(TRIED, octets=""), FIRST),
        (replace(TRIED, protocol="opcua"), FIRST),
        (replace(TRIED, origin=Origin.PLANNER), FIRST),
    ],
    ids=["safe", "not the court's", "no octets", "no device", "never tried"],
)
def test_what_has_no_evidence_value_is_not_played(replays: Replays, asked: Command, verdict: Verdict) -> None:
    replays.offer(asked, verdict)
    assert replays._waiting.empty()
    assert replays.passed_over == 0


def test_a_flood_and_a_tier_that_is_off_are_counted(replays: Replays) -> None:
    for _ in range(MAX_WAITING + 3):
        replays.offer(TRIED, FIRST)
    assert replays.passed_over == 3
    replays.tier.connected.clear()
    replays.offer(TRIED, FIRST)
    assert replays.passed_over == 4
