"""An action's life as one table, and the rules of who may move it.

In: an action, who asks, when (ns UTC).  Out: the changed action.  Raises `RefusedError` when the table, the interlock's refusal or the
two-person rule (IEC 62443-3-3 SR 2.1 RE 4, dual approval) forbids the step; the action that was handed in is never changed.
"""

import math
import unicodedata
from dataclasses import replace
from enum import StrEnum

from sentinel.errors import SentinelError
from sentinel.model.action import Action, ActionKind, ActionState, Receipt
from sentinel.model.ids import ActionId, short_id
from sentinel.model.time import Instant, after, iso, seconds_between

DEFAULT_LASTS_S = 3600.0
MAX_LASTS_S = 24 * 3600.0  # a cut that must stay longer belongs into the site's own firewall
MAX_WAIT_S = 24 * 3600.0  # a proposal, request or approval that nobody followed up
MAX_PERMIT_WAIT_S = 900.0  # the plant has gone on since: a write that still matters is tried again


class RefusedError(SentinelError):
    """The step is not allowed; the text says why, for the person who asked."""


class Event(StrEnum):
    REQUEST = "request"
    APPROVE = "approve"
    REJECT = "reject"
    APPLY = "apply"
    CONFIRM = "confirm"
    FAIL = "fail"
    RELEASE = "release"
    CONFIRM_RELEASE = "confirm release"
    EXPIRE = "expire"


S = ActionState
TABLE: dict[ActionState, dict[Event, ActionState]] = {
    S.PROPOSED: {Event.REQUEST: S.REQUESTED, Event.REJECT: S.REJECTED, Event.EXPIRE: S.EXPIRED},
    S.REQUESTED: {Event.APPROVE: S.APPROVED, Event.REJECT: S.REJECTED, Event.EXPIRE: S.EXPIRED},
    S.APPROVED: {Event.APPLY: S.APPLYING, Event.REJECT: S.REJECTED, Event.EXPIRE: S.EXPIRED},
    S.APPLYING: {Event.CONFIRM: S.APPLIED, Event.FAIL: S.FAILED, Event.RELEASE: S.RELEASING, Event.EXPIRE: S.EXPIRED},
    S.APPLIED: {Event.RELEASE: S.RELEASING, Event.FAIL: S.FAILED, Event.EXPIRE: S.EXPIRED},
    # a release that failed leaves the action in force
    S.RELEASING: {Event.CONFIRM_RELEASE: S.RELEASED, Event.FAIL: S.APPLIED, Event.EXPIRE: S.EXPIRED},
    S.FAILED: {},
    S.RELEASED: {},
    S.EXPIRED: {},
    S.REJECTED: {},
}
FINAL = frozenset(state for state, events in TABLE.items() if not events)
IN_FORCE = frozenset({S.APPLYING, S.APPLIED, S.RELEASING})  # the enforcer may be cutting


def step(state: ActionState, event: Event) -> ActionState:
    try:
        return TABLE[state][event]
    except KeyError:
        possible = ", ".join(TABLE[state]) or "nothing: this is its end"
        raise RefusedError(f"an action that is {state} cannot take the step {event!s}; possible: {possible}") from None


def request(action: Action, by: str, now: Instant, lasts_s: float | None = None) -> Action:
    """``lasts_s`` replaces the proposed duration."""
    if action.rehearsal.refused:
        raise RefusedError(f"the interlock forbids it: {action.rehearsal.refused}")
    lasts_s = check_duration(action.lasts_s if lasts_s is None else lasts_s)
    return replace(_moved(action, Event.REQUEST, now, None), requested_by=_person(by), lasts_s=lasts_s)


def approve(action: Action, by: str, now: Instant) -> Action:
    moved = _moved(action, Event.APPROVE, now, None)
    if action.requested_by is None or _same_person(by, action.requested_by):
        raise RefusedError(f"{_person(by)} asked for this action; another person must approve it")
    return replace(moved, approved_by=_person(by))


def reject(action: Action, by: str, now: Instant, reason: str) -> Action:
    return _moved(action, Event.REJECT, now, f"rejected by {_person(by)}: {reason}")


def begin(action: Action, now: Instant) -> Action:
    """The last check before the enforcer is called; from here on the time runs."""
    if action.requested_by is None or action.approved_by is None or _same_person(action.requested_by, action.approved_by):
        raise RefusedError("an action needs one person who asks and another who approves")
    if action.rehearsal.refused:
        raise RefusedError(f"the interlock forbids it: {action.rehearsal.refused}")
    return replace(_moved(action, Event.APPLY, now, None), expires=after(now, check_duration(action.lasts_s)))


def record(action: Action, receipt: Receipt) -> Action:
    """The enforcer's answer to apply."""
    _of(action, receipt)
    return _moved(action, Event.CONFIRM if receipt.applied else Event.FAIL, receipt.at, receipt.message)


def begin_release(action: Action, by: str, now: Instant) -> Action:
    """One person is enough to end a cut: it only gives back what was there."""
    return _moved(action, Event.RELEASE, now, f"released by {_person(by)}")


def record_release(action: Action, receipt: Receipt) -> Action:
    _of(action, receipt)
    return _moved(action, Event.CONFIRM_RELEASE if receipt.applied else Event.FAIL, receipt.at, receipt.message)


def lost(action: Action, now: Instant, reason: str) -> Action:
    """An action in force that the enforcer, asked again, no longer knows: failed, not enforced."""
    return _moved(action, Event.FAIL, now, reason)


def lapse(action: Action, now: Instant) -> Action:
    """The same action, or the expired one when its time is over.  The enforcing kernel or gate ends the cut by itself."""
    if action.state in FINAL:
        return action
    if action.expires is not None:
        return _moved(action, Event.EXPIRE, now, f"its time ended at {iso(action.expires)}") if now >= action.expires else action
    wait_s = MAX_PERMIT_WAIT_S if action.kind is ActionKind.PERMIT else MAX_WAIT_S
    if seconds_between(action.proposed, now) >= wait_s:
        return _moved(action, Event.EXPIRE, now, f"nobody took it further for {wait_s / 3600:g} h")
    return action


def renew(action: Action, now: Instant) -> Action:
    """A new proposal for the same target and reason, once the old one has ended; it needs its own two people."""
    if action.state not in FINAL:
        raise RefusedError(f"it is still {action.state}; only an action that has ended is renewed")
    return replace(
        action,
        id=ActionId(short_id("renewal", action.id)),
        state=ActionState.PROPOSED,
        proposed=now,
        changed=now,
        requested_by=None,
        approved_by=None,
        expires=None,
        note=f"renews {action.id}",
    )


def check_duration(lasts_s: float) -> float:
    if not (math.isfinite(lasts_s) and 0 < lasts_s <= MAX_LASTS_S):
        raise RefusedError(f"an action lasts more than 0 and at most {MAX_LASTS_S:.0f} s, not {lasts_s:g} s")
    return lasts_s


def _moved(action: Action, event: Event, now: Instant, note: str | None) -> Action:
    return replace(action, state=step(action.state, event), changed=now, note=note)


def _of(action: Action, receipt: Receipt) -> None:
    if receipt.action != action.id:
        raise RefusedError(f"a receipt of action {receipt.action} says nothing about {action.id}")


def _person(by: str) -> str:
    name = by.strip()
    if not name:
        raise RefusedError("whoever asks or approves needs a name")
    return name


def _same_person(one: str, other: str) -> bool:
    """Names that differ only in case, width or surrounding space are one person."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()
