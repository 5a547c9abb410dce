from sentinel.clock import ManualClock
from sentinel.model.finding import Finding, FindingState
from sentinel.model.record import Tally
from sentinel.model.time import Instant
from sentinel.records import Records, retention
from sentinel.records.retention import BOUNDS, DAY_S, Bound
from sentinel.records.shelves import CATALOGUE
from tests.unit.records.values import finding


def test_every_shelf_is_bounded() -> None:
    assert set(BOUNDS) == set(CATALOGUE)


def test_old_tallies_go(records: Records, clock: ManualClock) -> None:
    records.keep(Tally(source="gate", start=clock.now()))
    clock.advance(15 * DAY_S)
    records.keep(Tally(source="gate", start=clock.now()))
    assert records.sweep() == {"tallies": 1}
    assert [tally.start for tally in records.each(Tally)] == [clock.now()]


def test_an_open_finding_does_not_grow_too_old(records: Records, clock: ManualClock) -> None:
    records.keep(finding("open", last_seen=clock.now()), finding("closed", last_seen=clock.now(), state=FindingState.CLOSED))
    clock.advance(400 * DAY_S)
    assert records.sweep() == {"findings": 1}
    assert [one.id for one in records.each(Finding)] == ["open"]


def test_beyond_the_count_the_oldest_go_whatever_their_state(records: Records, clock: ManualClock) -> None:
    records.keep(*(finding(f"f{i}", last_seen=Instant(clock.now() + i)) for i in range(10)))
    bounds = {Finding: Bound(age_s=DAY_S, rows=4, over=("closed",))}
    removed = records._writer.submit(lambda connection: retention.sweep(connection, clock.now(), bounds)).result()
    assert removed == {"findings": 6}
    assert [one.id for one in records.each(Finding)] == ["f6", "f7", "f8", "f9"]


def test_the_audit_log_is_never_shortened(records: Records, clock: ManualClock) -> None:
    records.audit.append("alice", "x").result()
    clock.advance(20 * 366 * DAY_S)
    records.sweep()
    assert records.audit.verify().rows == 1
