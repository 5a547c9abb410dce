"""Which verdicts leave a case behind, and that it is the sealed truth of what the court was told."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from sandbox.casefile import CaseFile, Terms, rerun
from sandbox.emulators import case
from sandbox.judge import judge
from sandbox.protocol import Request
from sandbox.replay import Replay
from sentinel.access import seal
from sentinel.access.authority import Authority
from sentinel.brain.cases import EVERY_S, Cases
from sentinel.clock import ManualClock
from sentinel.model.ids import VerdictId
from sentinel.model.record import Excerpt
from sentinel.model.verdict import Judgement, Verdict
from sentinel.records import Records
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, PLANT, command, model, snapshot

__all__ = ["model", "snapshot"]  # fixtures of the court's own tests
TERMS = Terms(members=256, horizon_s=120.0)


@dataclass
class Court:
    """Remembers what it was told, as the client of a court does."""

    replay: Replay
    told: dict[VerdictId, tuple[Request, Snapshot]] = field(default_factory=dict)

    def judge(self, writes: dict[str, float], snapshot: Snapshot, name: str) -> Verdict:
        request = Request(command=command(writes, seen=NOW, name=name), snapshot=snapshot.fingerprint())
        verdict = judge(request.command, snapshot, self.replay, request.context, TERMS.thresholds, TERMS.seed, NOW)
        self.told[verdict.id] = (request, snapshot)
        return verdict

    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        return self.told.get(verdict)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def records(tmp_path: Path, clock: ManualClock) -> Iterator[Records]:
    made = Records(tmp_path / "records", clock)
    yield made
    made.close()


@pytest.fixture
def court(snapshot: Snapshot, request: pytest.FixtureRequest) -> Court:
    return Court(Replay(model=request.getfixturevalue("model"), members=TERMS.members, horizon_s=TERMS.horizon_s))


@pytest.fixture
def cases(court: Court, records: Records, clock: ManualClock, tmp_path: Path) -> Cases:
    authority = Authority(tmp_path / "authority", clock.now())
    authority.server_certificate("sentinel", (), clock.now())
    return Cases(court, PLANT.read_text(), TERMS, authority.seal, records, clock)


async def test_an_unsafe_verdict_leaves_a_sealed_case(
    cases: Cases, court: Court, records: Records, clock: ManualClock, snapshot: Snapshot
) -> None:
    verdict = court.judge({"SIC301.SP": 9500.0}, snapshot, "one")
    excerpt = await cases.keep(verdict)
    assert excerpt is not None
    assert (excerpt.kind, excerpt.of) == ("case", verdict.id)
    assert records.page(Excerpt, where={"of": verdict.id, "kind": "case"}).items == (excerpt,)
    kept = CaseFile.from_octets(records.evidence(excerpt.digest) or b"")
    assert kept.verdict == verdict
    assert rerun(kept) == verdict
    assert kept.seal is not None
    assert seal.check(kept.statement, kept.seal.signature, kept.seal.signer, clock.now())


async def test_what_is_safe_or_was_not_the_court_s_leaves_none(cases: Cases, court: Court, snapshot: Snapshot) -> None:
    safe = court.judge({"LIC101.SP": 1.21}, snapshot, "one")
    assert safe.judgement is Judgement.SAFE
    assert await cases.keep(safe) is None
    assert await cases.keep(replace(safe, id=VerdictId("foreign"), judgement=Judgement.UNDECIDED)) is None
    assert cases.passed_over == 0


async def test_a_flood_leaves_one_a_second_and_a_count(cases: Cases, court: Court, clock: ManualClock, snapshot: Snapshot) -> None:
    verdicts = [court.judge({"SIC301.SP": 9500.0 + number}, snapshot, f"{number}") for number in range(4)]
    assert [await cases.keep(verdict) is not None for verdict in verdicts] == [True, False, False, False]
    assert cases.passed_over == 3
    clock.advance(EVERY_S)
    assert await cases.keep(verdicts[3]) is not None


async def test_what_the_wire_tier_says_leaves_a_case_beside_the_court_s_and_comes_again_from_it(
    cases: Cases, court: Court, records: Records, snapshot: Snapshot
) -> None:
    first = court.judge({"LIC101.SP": 1.9}, snapshot, "one")
    request, _ = court.told[first.id]
    played = replace(request, command=replace(request.command, octets="000100000006010600000780"), refers=first.id)
    scene = case.Scene(snapshot=snapshot, values=case.image(court.replay, snapshot), replay=court.replay)
    again = case.rehear(played, scene, TERMS.thresholds, TERMS.seed, NOW)
    assert (again.refers, again.judgement) == (first.id, Judgement.UNSAFE)
    assert again.id != first.id
    cases.wire = Court(court.replay, {again.id: (played, snapshot)})
    kept = [await cases.keep(verdict) for verdict in (first, again)]
    assert [excerpt.of for excerpt in kept if excerpt is not None] == [first.id, again.id]
    assert kept[1] is not None
    assert rerun(CaseFile.from_octets(records.evidence(kept[1].digest) or b"")) == again
