import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.access.policy import PERMISSIONS, Denial, Grant, Party, Permission, Request, Role, permit
from sentinel.model.action import ActionKind
from sentinel.model.ids import Digest

ALICE, BOB = Party(name="alice", key=Digest("a" * 64)), Party(name="bob", key=Digest("b" * 64))

# What each role may do, written out once more by hand: a change of the table must be meant.
MATRIX = {
    Role.VIEWER: {
        "assets.read", "observations.read", "findings.read", "commands.read", "verdicts.read", "actions.read", "events.read", "twin.read",
        "baseline.read", "plans.read",
    },
    Role.ANALYST: {
        "assets.read", "observations.read", "findings.read", "findings.label", "evidence.read", "commands.read", "verdicts.read",
        "actions.read", "events.read", "twin.read", "baseline.read", "twin.what_if",
    },
    Role.RESPONDER: {
        "assets.read", "observations.read", "findings.read", "evidence.read", "commands.read", "verdicts.read", "actions.read",
        "actions.request", "actions.reject", "actions.release", "events.read", "twin.read", "baseline.read",
    },
    Role.APPROVER: {
        "assets.read", "observations.read", "findings.read", "evidence.read", "commands.read", "verdicts.read", "actions.read",
        "actions.approve", "actions.reject", "actions.release", "events.read", "twin.read", "baseline.read",
    },
    Role.ENGINEER: {
        "assets.read", "observations.read", "findings.read", "commands.read", "verdicts.read", "actions.read", "events.read", "twin.read",
        "baseline.read", "twin.what_if", "plans.read", "plans.run", "baseline.promote", "baseline.teach",
    },
    Role.ADMIN: {"audit.read", "audit.verify", "people.read", "people.invite", "people.revoke"},
}  # fmt: skip
EVERYONE = {"me.read", "health.read", "capabilities.read", "docs.read"}


def asked(permission: Permission, *roles: Role, who: Party = BOB, by: Party | None = ALICE) -> Grant | Denial:
    return permit(Request(who=who, roles=frozenset(roles), permission=permission, kind=ActionKind.QUARANTINE, requested_by=by))


@pytest.mark.parametrize(("role", "permission"), list(itertools.product(Role, Permission)))
def test_role_by_permission(role: Role, permission: Permission) -> None:
    answer = asked(permission, role)
    assert isinstance(answer, Grant) == (permission in MATRIX[role] | EVERYONE)
    if isinstance(answer, Grant):
        assert answer.role is role
    else:
        assert permission in answer.reason


def test_the_table_knows_every_permission() -> None:
    assert set(PERMISSIONS) == set(Permission)


roles_st = st.frozensets(st.sampled_from(Role))
parties_st = st.builds(Party, name=st.sampled_from(["alice", "Alice", "bob"]), key=st.sampled_from([ALICE.key, BOB.key]))
requests_st = st.builds(
    Request,
    who=parties_st,
    roles=roles_st,
    permission=st.sampled_from(Permission),
    kind=st.none() | st.sampled_from(ActionKind),
    requested_by=st.none() | parties_st,
)


@given(requests_st)
def test_nobody_without_a_role_of_the_table_is_let_in(request: Request) -> None:
    answer = permit(request)
    if isinstance(answer, Grant):
        assert answer.role in request.roles & PERMISSIONS[request.permission]
    else:
        assert answer.reason


@given(requests_st)
def test_whoever_approves_is_another_person_with_another_key(request: Request) -> None:
    if request.permission is Permission.ACTIONS_APPROVE and isinstance(permit(request), Grant):
        assert request.requested_by is not None
        assert request.requested_by.name.casefold() != request.who.name.casefold()
        assert request.requested_by.key != request.who.key
        assert not (request.kind is ActionKind.QUARANTINE and Role.ADMIN in request.roles)


@given(roles=roles_st, more=roles_st, permission=st.sampled_from([p for p in Permission if p is not Permission.ACTIONS_APPROVE]))
def test_more_roles_never_take_away_except_from_the_approver(roles: frozenset[Role], more: frozenset[Role], permission: Permission) -> None:
    if isinstance(asked(permission, *roles), Grant):
        assert isinstance(asked(permission, *roles, *more), Grant)


@given(requests_st)
def test_the_answer_is_the_same_for_the_same_request(request: Request) -> None:
    assert permit(request) == permit(request)


@pytest.mark.parametrize(
    ("who", "by", "roles", "says"),
    [
        (ALICE, ALICE, {Role.APPROVER, Role.RESPONDER}, "alice requested this action: another person must approve it"),
        (Party(name="ALICE", key=BOB.key), ALICE, {Role.APPROVER}, "another person"),
        (Party(name="bob", key=ALICE.key), ALICE, {Role.APPROVER}, "the key that bob uses"),
        (BOB, Party(name="alice", key=Digest("")), {Role.APPROVER}, "not known with which key"),
        (BOB, None, {Role.APPROVER}, "only an action that somebody has requested"),
        (BOB, ALICE, {Role.APPROVER, Role.ADMIN}, "an admin cannot approve a quarantine"),
        (BOB, ALICE, set(), "needs the role approver; bob holds no role"),
    ],
)
def test_why_an_approval_is_denied(who: Party, by: Party | None, roles: set[Role], says: str) -> None:
    answer = asked(Permission.ACTIONS_APPROVE, *roles, who=who, by=by)
    assert isinstance(answer, Denial)
    assert says in answer.reason
