"""The default enforcer: says what it would do, has nft check the rule set where that is possible, changes nothing.

A receipt with applied=True speaks of the dry run: it went through.  ``verified`` is never true, since nothing is in force; the action's own
``dry_run`` says so too.
"""

from typing import ClassVar

from sentinel.clock import Clock
from sentinel.errors import PermanentError, SentinelError
from sentinel.model.action import Action, ActionKind, Receipt
from sentinel.model.time import Instant, after, iso
from sentinel.ports import Spec, Stability
from sentinel.respond.enforcers import netfilter, ruleset
from sentinel.respond.interlock import address_of, unusable


class DryRunEnforcer:
    spec: ClassVar[Spec] = Spec(name="dry_run", summary="only says what it would do", stability=Stability.STABLE)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def apply(self, action: Action) -> Receipt:
        began, now = self._clock.monotonic_s(), self._clock.now()
        expires = action.expires if action.expires is not None else after(now, action.lasts_s)
        if action.kind is not ActionKind.QUARANTINE:
            return self._receipt(action, False, f"dry run: {action.kind} is nothing that it knows", began)
        if problem := unusable(action.target):
            return self._receipt(action, False, f"dry run: {problem}", began)
        try:
            checked = await self._check(action, expires, now)
        except ValueError as error:
            return self._receipt(action, False, f"dry run: {error}", began)
        would = f"would cut {action.target} until {iso(expires)}, ending {len(action.rehearsal.cut)} known conversations"
        return self._receipt(action, True, f"dry run: {would}; {checked}; nothing was changed", began)

    async def release(self, action: Action) -> Receipt:
        message = f"dry run: would release {action.target}; nothing was changed"
        return self._receipt(action, True, message, self._clock.monotonic_s())

    @staticmethod
    async def _check(action: Action, expires: Instant, now: Instant) -> str:
        document = ruleset.setup()
        document["nftables"] += ruleset.cut(str(address_of(action.target)), action.id, expires, now)["nftables"]
        try:
            await netfilter.apply(document, check_only=True)
        except PermanentError as error:
            return f"nft could not check the rule set ({error})"
        except SentinelError as error:
            return f"the rule set is unchecked ({error})"
        return "nft accepts the rule set"

    def _receipt(self, action: Action, applied: bool, message: str, began: float) -> Receipt:
        took_ms = (self._clock.monotonic_s() - began) * 1000
        return Receipt(
            action=action.id,
            enforcer=self.spec.name,
            applied=applied,
            verified=False,
            at=self._clock.now(),
            message=message,
            took_ms=took_ms,
        )
