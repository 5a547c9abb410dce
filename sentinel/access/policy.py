"""permit: may this person do this?  A pure decision over data: `PERMISSIONS` and the two-person rules.

In: a `Request`.  Out: a `Grant` that names the role it rests on, or a `Denial` that says why.  What is not in the table is denied.
No role implies another (IEC 62443-3-3 SR 2.1); dual approval after SR 2.1 RE 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.action import ActionKind
from sentinel.model.ids import Digest


class Role(StrEnum):
    VIEWER = "viewer"  # looks
    ANALYST = "analyst"  # labels findings, opens evidence
    RESPONDER = "responder"  # asks for actions
    APPROVER = "approver"  # agrees to them
    ENGINEER = "engineer"  # asks the twin and the planners
    ADMIN = "admin"  # people, certificates, the audit log; never a quarantine


class Permission(StrEnum):
    ASSETS_READ = "assets.read"
    OBSERVATIONS_READ = "observations.read"
    FINDINGS_READ = "findings.read"
    FINDINGS_LABEL = "findings.label"
    EVIDENCE_READ = "evidence.read"
    COMMANDS_READ = "commands.read"
    VERDICTS_READ = "verdicts.read"
    ACTIONS_READ = "actions.read"
    ACTIONS_REQUEST = "actions.request"
    ACTIONS_APPROVE = "actions.approve"
    ACTIONS_REJECT = "actions.reject"
    ACTIONS_RELEASE = "actions.release"
    EVENTS_READ = "events.read"
    TWIN_READ = "twin.read"
    TWIN_WHAT_IF = "twin.what_if"
    BASELINE_READ = "baseline.read"
    BASELINE_PROMOTE = "baseline.promote"
    BASELINE_TEACH = "baseline.teach"
    PLANS_READ = "plans.read"
    PLANS_RUN = "plans.run"
    AUDIT_READ = "audit.read"
    AUDIT_VERIFY = "audit.verify"
    PEOPLE_READ = "people.read"
    PEOPLE_INVITE = "people.invite"
    PEOPLE_REVOKE = "people.revoke"
    ME_READ = "me.read"
    HEALTH_READ = "health.read"
    CAPABILITIES_READ = "capabilities.read"
    DOCS_READ = "docs.read"


_EVERYONE = frozenset(Role)
_OPERATIONS = frozenset({Role.VIEWER, Role.ANALYST, Role.RESPONDER, Role.APPROVER, Role.ENGINEER})

PERMISSIONS: Mapping[Permission, frozenset[Role]] = {
    Permission.ASSETS_READ: _OPERATIONS,
    Permission.OBSERVATIONS_READ: _OPERATIONS,
    Permission.FINDINGS_READ: _OPERATIONS,
    Permission.FINDINGS_LABEL: frozenset({Role.ANALYST}),
    Permission.EVIDENCE_READ: frozenset({Role.ANALYST, Role.RESPONDER, Role.APPROVER}),
    Permission.COMMANDS_READ: _OPERATIONS,
    Permission.VERDICTS_READ: _OPERATIONS,
    Permission.ACTIONS_READ: _OPERATIONS,
    Permission.ACTIONS_REQUEST: frozenset({Role.RESPONDER}),
    Permission.ACTIONS_APPROVE: frozenset({Role.APPROVER}),
    Permission.ACTIONS_REJECT: frozenset({Role.RESPONDER, Role.APPROVER}),
    Permission.ACTIONS_RELEASE: frozenset({Role.RESPONDER, Role.APPROVER}),
    Permission.EVENTS_READ: _OPERATIONS,
    Permission.TWIN_READ: _OPERATIONS,
    Permission.TWIN_WHAT_IF: frozenset({Role.ENGINEER, Role.ANALYST}),
    Permission.BASELINE_READ: _OPERATIONS,
    Permission.BASELINE_PROMOTE: frozenset({Role.ENGINEER}),  # asks; an approver agrees
    Permission.BASELINE_TEACH: frozenset({Role.ENGINEER}),
    Permission.PLANS_READ: frozenset({Role.VIEWER, Role.ENGINEER}),
    Permission.PLANS_RUN: frozenset({Role.ENGINEER}),
    Permission.AUDIT_READ: frozenset({Role.ADMIN}),
    Permission.AUDIT_VERIFY: frozenset({Role.ADMIN}),
    Permission.PEOPLE_READ: frozenset({Role.ADMIN}),
    Permission.PEOPLE_INVITE: frozenset({Role.ADMIN}),
    Permission.PEOPLE_REVOKE: frozenset({Role.ADMIN}),
    Permission.ME_READ: _EVERYONE,
    Permission.HEALTH_READ: _EVERYONE,
    Permission.CAPABILITIES_READ: _EVERYONE,
    Permission.DOCS_READ: _EVERYONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A person by name and by key: two names with one key are one person, and so are two keys with one name.  Empty key = unknown."""

    name: str
    key: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``requested_by`` and ``kind`` are those of the action that is to be approved."""

    who: Party
    roles: frozenset[Role]
    permission: Permission
    kind: ActionKind | None = None
    requested_by: Party | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    role: Role


@dataclass(frozen=True, slots=True)
class Denial:
    reason: str


def permit(request: Request) -> Grant | Denial:
    allowed = PERMISSIONS.get(request.permission, frozenset())
    held = sorted(request.roles & allowed)
    if not held:
        wanted = " or ".join(sorted(allowed)) or "that nobody holds"
        return Denial(
            f"{request.permission} needs the role {wanted}; {request.who.name} holds {', '.join(sorted(request.roles)) or 'no role'}"
        )
    if request.permission is Permission.ACTIONS_APPROVE and (refusal := _second_person(request)):
        return Denial(refusal)
    return Grant(held[0])


def _second_person(request: Request) -> str | None:
    """Why this person is not the second one, or None."""
    asker = request.requested_by
    if request.kind is None or asker is None:
        return "only an action that somebody has requested can be approved"
    if request.kind is ActionKind.QUARANTINE and Role.ADMIN in request.roles:
        return "an admin cannot approve a quarantine"
    if asker.name.casefold() == request.who.name.casefold():
        return f"{request.who.name} requested this action: another person must approve it"
    if not asker.key:
        return "it is not known with which key this action was requested: nobody can be told apart from whoever did"
    if asker.key == request.who.key:
        return f"this action was requested with the key that {request.who.name} uses: another person must approve it"
    return None
