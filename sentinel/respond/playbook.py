"""The playbook: what to propose about a finding, and what to tell the people who decide.

In: a finding, its gravest verdict or None, the assets and every conduit that was heard, the time.  Out: proposed quarantines (mostly none
or one), each with its rehearsal; one that the interlock forbids comes out rejected, with the reason, so that the analyst sees it was
thought of.  An action's id depends on finding and target alone: a finding that grows is proposed under the same id, and whoever keeps
actions adds an id only once.  Raises nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from sentinel.model.action import Action, ActionKind, ActionState
from sentinel.model.asset import Asset, Conduit
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import ActionId, AssetId, short_id
from sentinel.model.time import Instant
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.respond.interlock import Rules, canonical, controllers, refusal, stations, unusable
from sentinel.respond.lifecycle import DEFAULT_LASTS_S
from sentinel.respond.rehearse import rehearse

# ATT&CK for ICS v19.  Man-in-the-middle (T0830) is missing on purpose: its actor's address is borrowed, and cutting it would finish the
# attacker's work.
NEW_MASTER = {"T0848": "rogue master", "T1692.001": "unauthorised command message"}
_SETTLED = frozenset({FindingState.DISMISSED, FindingState.CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """``enforcer``, ``lasts_s``: of the site's settings.  ``in_force``: targets that an action in force or under way cuts already."""

    enforcer: str = "dry_run"
    lasts_s: float = DEFAULT_LASTS_S
    rules: Rules = field(default_factory=Rules)
    in_force: frozenset[AssetId] = frozenset()


def propose(
    finding: Finding,
    verdict: Verdict | None,
    assets: Collection[Asset],
    conduits: Collection[Conduit],
    now: Instant,
    policy: Policy = Policy(),
) -> tuple[Action, ...]:
    actor = finding.assets[0] if finding.assets else None
    if actor is None or finding.state in _SETTLED or unusable(actor):
        return ()
    reason = _reason(finding, verdict, actor, conduits, policy.rules)
    if reason is None or canonical(actor) in {canonical(target) for target in policy.in_force}:
        return ()
    protects = _protected(finding, actor, conduits, policy.rules)
    refused = refusal(actor, policy.rules, assets, conduits, now, policy.in_force)
    action = Action(
        id=ActionId(short_id("action", finding.id, ActionKind.QUARANTINE, canonical(actor))),
        kind=ActionKind.QUARANTINE,
        state=ActionState.REJECTED if refused else ActionState.PROPOSED,
        target=actor,
        protects=protects,
        finding=finding.id,
        reason=reason,
        enforcer=policy.enforcer,
        dry_run=policy.enforcer == "dry_run",
        lasts_s=policy.lasts_s,
        proposed=now,
        changed=now,
        rehearsal=rehearse(actor, protects, conduits, now, refused),
        note=f"the interlock forbids it: {refused}" if refused else None,
    )
    return (action,)


def advise(finding: Finding, verdict: Verdict | None, conduits: Collection[Conduit], rules: Rules) -> str | None:
    """What to do where a cut is the wrong answer: one sentence for the analyst, or None."""
    actor = finding.assets[0] if finding.assets else None
    if actor is None or verdict is None or not _is_mistake(verdict, actor, conduits, rules):
        return None
    effect = f"the write would end in: {verdict.reason}" if verdict.judgement is Judgement.UNSAFE else f"the court says: {verdict.reason}"
    return f"Talk to whoever sits at {actor}: it looks like a mistake, not an attack; {effect}"


def _reason(finding: Finding, verdict: Verdict | None, actor: AssetId, conduits: Collection[Conduit], rules: Rules) -> str | None:
    if verdict is not None:
        if _is_mistake(verdict, actor, conduits, rules):
            return None
        if verdict.judgement is Judgement.UNSAFE:
            return f"{actor} sent a command that is judged unsafe: {verdict.reason}"
        if verdict.intent is Intent.TARGETED:
            return f"{actor} acts with a target: {'; '.join(verdict.evidence) or verdict.reason}"
    if canonical(actor) in stations(rules, conduits) or finding.severity < Severity.MEDIUM:
        return None
    named = [f"{name} ({technique})" for technique, name in NEW_MASTER.items() if technique in finding.techniques]
    return f"{actor} is no known operator station and acts as one: {', '.join(named)}" if named else None


def _is_mistake(verdict: Verdict, actor: AssetId, conduits: Collection[Conduit], rules: Rules) -> bool:
    return verdict.intent is Intent.MISTAKE and canonical(actor) in stations(rules, conduits)


def _protected(finding: Finding, actor: AssetId, conduits: Collection[Conduit], rules: Rules) -> tuple[AssetId, ...]:
    """The controllers among the finding's assets, else those that the actor was heard talking to."""
    known = controllers(rules, conduits)
    named = [asset for asset in finding.assets[1:] if canonical(asset) in known]
    if not named:
        named = [
            conduit.server for conduit in conduits if canonical(conduit.client) == canonical(actor) and canonical(conduit.server) in known
        ]
    return tuple(sorted(set(named)))
