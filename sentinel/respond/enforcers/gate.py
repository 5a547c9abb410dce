"""Quarantine in the inline gates: a gate refuses a cut address new connections and closes those it has.  Needs no privileges.

In: approved actions.  Out: one receipt for all gates.  A gate that is away, silent or refuses makes it "not enforced", and the gates that
had already cut let go again: a receipt never speaks of half a cut.
A cut that is in force is asked for again after an outage.  Then a gate that is away has cut before: dead it lets nobody pass, and it comes
back with its cuts from a file.  The others do not let go for it; the receipt is applied, and not verified.
"""

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Protocol

from sentinel.clock import Clock
from sentinel.errors import PermanentError, SentinelError
from sentinel.model.action import Action, ActionState, Receipt
from sentinel.model.exchange import QuarantineOrder, ReleaseOrder
from sentinel.model.ids import ActionId
from sentinel.model.time import after
from sentinel.ports import Spec, Stability

TIMEOUT_S = 5.0


class Gates(Protocol):
    """What reaches the gate processes by their names: the intake."""

    async def quarantine(self, process: str, order: QuarantineOrder) -> Receipt: ...

    async def release(self, process: str, order: ReleaseOrder) -> Receipt: ...


class GateEnforcer:
    """Raises ValueError without a gate."""

    spec: ClassVar[Spec] = Spec(
        name="gate",
        summary="the inline gate refuses and closes the connections of an address",
        stability=Stability.STABLE,
        config={"timeout_s": (TIMEOUT_S, "how long to wait for each gate's receipt")},
    )

    def __init__(self, gates: Gates, names: Sequence[str], clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        if not names:
            raise ValueError("quarantine by gates needs at least one gate")
        self._gates = gates
        self._names = tuple(names)
        self._clock = clock
        self._timeout_s = timeout_s

    async def apply(self, action: Action) -> Receipt:
        began = self._clock.monotonic_s()
        expires = action.expires if action.expires is not None else after(self._clock.now(), action.lasts_s)
        order = QuarantineOrder(action=action.id, target=action.target, expires=expires)
        stands = action.state is ActionState.APPLIED
        answers = await asyncio.gather(*(self._cut(name, order, stands) for name in self._names))
        problems = [f"{name}: {answer.message}" for name, answer in zip(self._names, answers, strict=True) if not answer.applied]
        if not problems:
            message = "; ".join(f"{name}: {answer.message}" for name, answer in zip(self._names, answers, strict=True))
            return self._receipt(action.id, True, all(answer.verified for answer in answers), message, began)
        undo = [name for name, answer in zip(self._names, answers, strict=True) if answer.applied]
        let_go = await asyncio.gather(*(self._let_go(name, action) for name in undo))
        problems += [
            f"{name} could not let go again: {answer.message}" for name, answer in zip(undo, let_go, strict=True) if not answer.applied
        ]
        return self._receipt(action.id, False, False, f"not enforced: {'; '.join(problems)}", began)

    async def release(self, action: Action) -> Receipt:
        began = self._clock.monotonic_s()
        answers = await asyncio.gather(*(self._let_go(name, action) for name in self._names))
        released = all(answer.applied for answer in answers)
        told = "; ".join(f"{name}: {answer.message}" for name, answer in zip(self._names, answers, strict=True))
        verified = released and all(answer.verified for answer in answers)
        return self._receipt(action.id, released, verified, told if released else f"not released: {told}", began)

    async def _cut(self, name: str, order: QuarantineOrder, stands: bool) -> Receipt:
        began = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._gates.quarantine(name, order)
        except (TimeoutError, SentinelError, OSError) as error:
            if stands and not isinstance(error, PermanentError):
                return self._receipt(order.action, True, False, f"away, with what it has cut ({self._problem(error)})", began)
            return self._failed(order, error, began)

    async def _let_go(self, name: str, action: Action) -> Receipt:
        began = self._clock.monotonic_s()
        order = ReleaseOrder(action=action.id, target=action.target)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._gates.release(name, order)
        except (TimeoutError, SentinelError, OSError) as error:
            return self._failed(order, error, began)

    def _failed(self, order: QuarantineOrder | ReleaseOrder, error: Exception, began: float) -> Receipt:
        return self._receipt(order.action, False, False, self._problem(error), began)

    def _problem(self, error: Exception) -> str:
        return f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)

    def _receipt(self, action: ActionId, applied: bool, verified: bool, message: str, began: float) -> Receipt:
        return Receipt(
            action=action,
            enforcer=self.spec.name,
            applied=applied,
            verified=verified,
            at=self._clock.now(),
            message=message,
            took_ms=(self._clock.monotonic_s() - began) * 1000,
        )
