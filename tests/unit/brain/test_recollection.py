import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.brain.recollection import UNJUDGED_S, Recollection
from sentinel.clock import ManualClock
from sentinel.errors import ConfigError
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command, Origin
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId, CommandId, Digest, FindingId, VerdictId
from sentinel.model.record import Label
from sentinel.model.time import NS_PER_S, Instant, after
from sentinel.model.verdict import Judgement, Verdict
from sentinel.places import Places
from sentinel.records import Records
from sentinel.settings import Settings

CLOCK = ManualClock()
NOW = CLOCK.now()
OPERATOR, SERVER, SCANNER = AssetId("10.0.0.20"), AssetId("10.0.0.10"), AssetId("10.0.0.66")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    kept = Records(tmp_path, CLOCK)
    yield kept
    kept.close()


def command(name: str, ago_s: float, origin: Origin = Origin.GATE) -> Command:
    return Command(
        id=CommandId(name), origin=origin, seen=after(NOW, -ago_s), source=OPERATOR, target=SERVER, protocol="modbus",
        operation="write_single_register", writes=(), frame=Digest("0" * 64),
    )  # fmt: skip


def finding(name: str, state: FindingState, evidence: Digest | None = None, techniques: tuple[str, ...] = ()) -> Finding:
    return Finding(
        id=FindingId(name), cause=f"actor:{SCANNER}", title=name, state=state, severity=Severity.HIGH, confidence=0.9, first_seen=NOW,
        last_seen=NOW, first_frame=1, frames=(1,), frame_count=1, assets=(SCANNER,), why=("because",), evidence=evidence,
        techniques=techniques,
    )  # fmt: skip


def test_only_young_commands_without_a_verdict_are_judged_again(records: Records) -> None:
    judged, fresh, old = command("judged", 3), command("fresh", 2, Origin.WIRE), command("old", UNJUDGED_S + 1)
    asked = command("asked", 1, Origin.API)
    verdict = Verdict(id=VerdictId("v"), command=judged.id, judgement=Judgement.SAFE, reason="harmless", judged=NOW)
    records.keep(judged, fresh, old, asked, verdict)
    recollection = Recollection.of(records, NOW)
    assert recollection.unjudged == (fresh,)
    assert recollection.held == (old, judged)


def test_the_hours_in_which_each_source_wrote_come_back(records: Records) -> None:
    hour = NOW // (3600 * NS_PER_S)
    records.keep(command("now", 0), command("again", 0.5, Origin.WIRE), command("before", 7200))
    assert Recollection.of(records, NOW).written == {OPERATOR: {hour, hour - 2}}


def test_open_findings_come_back_with_their_evidence_and_their_scanners(records: Records) -> None:
    evidence = Digest("e" * 64)
    records.keep(finding("open", FindingState.OPEN, evidence, ("T0846",)), finding("closed", FindingState.CLOSED))
    recollection = Recollection.of(records, NOW)
    assert [one.id for one in recollection.findings] == ["open"]
    assert recollection.evidence == {"open": evidence}
    assert recollection.scanners == {SCANNER}


def test_what_a_person_wants_quiet_comes_back_until_its_end(records: Records) -> None:
    for name, until in (("quiet", 60.0), ("over", -60.0), ("told again", 60.0)):
        records.keep(finding(name, FindingState.OPEN))
        quiet = Label(finding=FindingId(name), state=FindingState.DISMISSED, by="anna", at=after(NOW, -90.0), quiet_until=after(NOW, until))
        records.keep(quiet)
    records.keep(Label(finding=FindingId("told again"), state=FindingState.DISMISSED, by="anna", at=NOW))
    (kept,) = Recollection.of(records, NOW).findings
    assert (kept.id, kept.quiet_until) == ("quiet", after(NOW, 60.0))


def test_who_was_known_before_a_restart_is_no_newcomer_after_it(records: Records) -> None:
    earlier, later = after(NOW, -1000), after(NOW, -1)
    records.keep(
        Asset(id=OPERATOR, mac="02:00:00:00:00:01", roles=("client",), first_seen=earlier, last_seen=earlier),
        Asset(id=SERVER, first_seen=earlier, last_seen=earlier),
        Conduit(
            client=OPERATOR,
            server=SERVER,
            protocol="modbus",
            port=502,
            first_seen=earlier,
            last_seen=earlier,
            messages=7,
            operations=("read_coils",),
        ),
    )
    recollection = Recollection.of(records, NOW)
    heard = Asset(id=OPERATOR, roles=("server",), protocols=("modbus",), first_seen=later, last_seen=later)
    found = {asset.id: asset for asset in recollection.with_assets([heard])}
    assert found.keys() == {OPERATOR, SERVER}
    operator = found[OPERATOR]
    assert (operator.first_seen, operator.last_seen, operator.mac) == (earlier, later, "02:00:00:00:00:01")
    assert (operator.roles, operator.protocols) == (("client", "server"), ("modbus",))
    talk = Conduit(client=OPERATOR, server=SERVER, protocol="modbus", port=502, first_seen=later, last_seen=later, messages=2)
    talk = dataclasses.replace(talk, unread=1, packets=4, operations=("write_single_coil",))
    other = dataclasses.replace(talk, port=503)
    conduits = {conduit.port: conduit for conduit in recollection.with_conduits([talk, other])}
    assert (conduits[502].first_seen, conduits[502].messages) == (earlier, 9)
    assert (conduits[502].unread, conduits[502].packets) == (1, 4)
    assert conduits[502].operations == ("read_coils", "write_single_coil")
    assert conduits[503] == other


def places(directory: Path) -> Places:
    made = Places.of(Settings(), directory / "sentinel.toml")
    made.make()
    return made


def test_a_directory_has_one_appliance(tmp_path: Path) -> None:
    claimed = places(tmp_path)
    with claimed.claimed(), pytest.raises(ConfigError, match="runs already"), claimed.claimed():
        pass


def test_only_an_appliance_that_was_not_asked_to_end_is_missed(tmp_path: Path) -> None:
    claimed = places(tmp_path)
    claimed.records.mkdir()
    (claimed.records / "records.db").touch()
    with claimed.claimed() as killed:
        assert killed is None
    with claimed.claimed() as killed:
        assert killed is None
    with pytest.raises(asyncio.CancelledError), claimed.claimed():
        raise asyncio.CancelledError
    with claimed.claimed() as killed:
        assert isinstance(killed, int)
        assert Instant(0) < killed <= (claimed.run / "claim").stat().st_mtime_ns + NS_PER_S
