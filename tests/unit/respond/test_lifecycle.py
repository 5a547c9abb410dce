import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.action import Action, ActionState, BlastRadius
from sentinel.model.time import after
from sentinel.respond import lifecycle
from sentinel.respond.lifecycle import FINAL, IN_FORCE, TABLE, Event, RefusedError
from tests.unit.respond.values import NOW, action, receipt

S = ActionState


def approved() -> Action:
    return lifecycle.approve(lifecycle.request(action(), "ada", NOW), "bob", NOW)


def test_the_whole_road() -> None:
    applying = lifecycle.begin(approved(), NOW)
    assert applying.expires == after(NOW, 60)
    applied = lifecycle.record(applying, receipt(True))
    assert (applied.state, applied.requested_by, applied.approved_by, applied.note) == (S.APPLIED, "ada", "bob", "said")
    assert lifecycle.lapse(applied, after(NOW, 59.9)) is applied
    assert lifecycle.lapse(applied, after(NOW, 60)).state is S.EXPIRED
    releasing = lifecycle.begin_release(applied, "ada", NOW)
    assert lifecycle.record_release(releasing, receipt(True)).state is S.RELEASED
    assert lifecycle.record_release(releasing, receipt(False)).state is S.APPLIED  # it is still in force
    assert lifecycle.lost(applied, NOW, "the kernel knows nothing of it").state is S.FAILED


def test_not_enforced_is_failed() -> None:
    assert lifecycle.record(lifecycle.begin(approved(), NOW), receipt(False)).state is S.FAILED


@pytest.mark.parametrize("by", ["ada", "ADA ", " Ada", "ａｄａ"])
def test_one_person_cannot_do_both(by: str) -> None:
    requested = lifecycle.request(action(), "ada", NOW)
    with pytest.raises(RefusedError, match="another person must approve"):
        lifecycle.approve(requested, by, NOW)


def test_nobody_is_nobody() -> None:
    with pytest.raises(RefusedError, match="needs a name"):
        lifecycle.request(action(), "  ", NOW)
    with pytest.raises(RefusedError, match="one person who asks and another"):
        lifecycle.begin(action(S.APPROVED, requested_by="ada", approved_by="Ada"), NOW)


def test_the_interlock_stops_a_request() -> None:
    with pytest.raises(RefusedError, match="last operator station"):
        lifecycle.request(action(rehearsal=BlastRadius(refused="it is the last operator station")), "ada", NOW)


@pytest.mark.parametrize("lasts_s", [0, -1, 86401, float("nan"), float("inf")])
def test_durations_have_a_limit(lasts_s: float) -> None:
    with pytest.raises(RefusedError, match="at most 86400 s"):
        lifecycle.request(action(), "ada", NOW, lasts_s)
    with pytest.raises(RefusedError, match="at most 86400 s"):
        lifecycle.begin(action(S.APPROVED, requested_by="ada", approved_by="bob", lasts_s=lasts_s), NOW)


def test_what_nobody_follows_up_lapses() -> None:
    for waiting in (S.PROPOSED, S.REQUESTED, S.APPROVED):
        assert lifecycle.lapse(action(waiting), after(NOW, 86399)).state is waiting
        assert lifecycle.lapse(action(waiting), after(NOW, 86400)).state is S.EXPIRED


def test_a_receipt_of_another_action_changes_nothing() -> None:
    with pytest.raises(RefusedError, match="says nothing about"):
        lifecycle.record(lifecycle.begin(approved(), NOW), receipt(True, "other"))


def test_a_renewed_action_needs_its_own_two_people() -> None:
    ended = lifecycle.lapse(lifecycle.record(lifecycle.begin(approved(), NOW), receipt(True)), after(NOW, 61))
    again = lifecycle.renew(ended, after(NOW, 62))
    assert (again.state, again.requested_by, again.approved_by, again.expires) == (S.PROPOSED, None, None, None)
    assert again.id != ended.id
    assert again == lifecycle.renew(ended, after(NOW, 62))
    with pytest.raises(RefusedError, match="still proposed"):
        lifecycle.renew(again, NOW)


def test_the_table_is_closed() -> None:
    assert set(TABLE) == set(ActionState)
    assert {S.FAILED, S.RELEASED, S.EXPIRED, S.REJECTED} == FINAL
    reached = {state for events in TABLE.values() for state in events.values()}
    assert reached == set(ActionState) - {S.PROPOSED}


@given(st.lists(st.sampled_from(list(Event)), max_size=12))
def test_no_walk_reaches_force_without_approval(events: list[Event]) -> None:
    state, was_requested, was_approved = S.PROPOSED, False, False
    for event in events:
        try:
            state = lifecycle.step(state, event)
        except RefusedError as refused:
            assert str(state) in str(refused)  # noqa: PT017  the walk goes on
            continue
        was_requested |= event is Event.REQUEST
        was_approved |= event is Event.APPROVE and was_requested
        assert state not in IN_FORCE or was_approved
