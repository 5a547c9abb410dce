"""Moves actions along their life: proposals in, people's steps in, enforcement and expiry out.

Every step is kept before the next one begins, so that after a kill the life goes on where it stood: what was approved is applied, what was
being applied or released is done again (enforcers are idempotent), what is over lapses.  Each step is one entry in the audit log.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping

from sentinel.clock import Clock
from sentinel.errors import TransientError
from sentinel.model.action import Action, ActionKind, ActionState, BlastRadius, Receipt
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import iso
from sentinel.ports import Enforcer
from sentinel.records import Records
from sentinel.respond import lifecycle
from sentinel.respond.lifecycle import FINAL, IN_FORCE, RefusedError

_SWEEP_S = 1.0
_ENFORCE_S = 30.0
_RECONNECT_S = 20.0  # after a start of ours or of theirs enforcing processes may take so long to be reached: their absence proves nothing
_BRAIN = "sentinel"

log = logging.getLogger(__name__)


class Actions:
    """``refusal`` is asked again before anything is applied, ``rehearse`` when somebody asks for it: what may never be cut, and what a cut
    would end, may have changed since the proposal.  Both are asked about cuts alone."""

    def __init__(
        self,
        records: Records,
        enforcers: Mapping[str, Enforcer],
        clock: Clock,
        refusal: Callable[[AssetId], str | None] = lambda _: None,
        rehearse: Callable[[Action], BlastRadius] | None = None,
    ) -> None:
        self._records = records
        self._enforcers = enforcers
        self._clock = clock
        self._refusal = refusal
        self._rehearse = rehearse
        self._cutting = {action.id: action.target for state in IN_FORCE for action in self._in_state(state) if _cuts(action)}
        self._turn = asyncio.Lock()
        self._patience_s: dict[ActionId, float] = {}  # taken up after a start: not given up before
        self._work: asyncio.Queue[ActionId] = asyncio.Queue()

    def in_force(self) -> frozenset[AssetId]:
        """Targets that an action on its way or in force cuts already."""
        return frozenset(self._cutting.values())

    async def propose(self, proposals: Iterable[Action]) -> None:
        """An id that is known already stays as it is: people may have moved it on."""
        async with self._turn:
            for action in proposals:
                if await asyncio.to_thread(self._records.find, Action, action.id) is None:
                    await self._keep(action, _BRAIN, "action.propose")

    async def request(self, action: ActionId, by: str, lasts_s: float | None = None) -> Action:
        async with self._turn:
            found = await self._find(action)
            if refused := self._forbidden(found):
                raise RefusedError(f"the interlock forbids it: {refused}")
            if self._rehearse is not None and _cuts(found):
                found = dataclasses.replace(found, rehearsal=self._rehearse(found))
            return await self._keep(lifecycle.request(found, by, self._clock.now(), lasts_s), by, "action.request")

    async def approve(self, action: ActionId, by: str) -> Action:
        async with self._turn:
            approved = await self._keep(lifecycle.approve(await self._find(action), by, self._clock.now()), by, "action.approve")
        self._work.put_nowait(action)
        return approved

    async def reject(self, action: ActionId, by: str, reason: str) -> Action:
        async with self._turn:
            return await self._keep(lifecycle.reject(await self._find(action), by, self._clock.now(), reason), by, "action.reject")

    async def release(self, action: ActionId, by: str) -> Action:
        async with self._turn:
            releasing = await self._keep(lifecycle.begin_release(await self._find(action), by, self._clock.now()), by, "action.release")
        self._work.put_nowait(action)
        return releasing

    async def reassert(self) -> None:
        """An enforcing process was away: what is in force is applied again, and an action that is not in force any more says so."""
        await self._take_up(*sorted(IN_FORCE))

    async def _take_up(self, *states: ActionState) -> None:
        until_s = self._clock.monotonic_s() + _RECONNECT_S
        for state in states:
            for action in await asyncio.to_thread(self._in_state, state):
                self._patience_s[action.id] = until_s
                self._work.put_nowait(action.id)

    async def run(self) -> None:
        """Until cancelled: take up what was left, enforce what is asked, let lapse what is over."""
        await self._take_up(ActionState.APPROVED, *sorted(IN_FORCE))
        while True:
            try:
                async with asyncio.timeout(_SWEEP_S):
                    action_id = await self._work.get()
            except TimeoutError:
                await self._sweep()
                continue
            async with self._turn:
                await self._enforce(await self._find(action_id))

    async def _enforce(self, action: Action) -> None:
        """One action, whatever state a restart may have left it in."""
        now = self._clock.now()
        lapsed = lifecycle.lapse(action, now)
        if lapsed is not action:
            await self._keep(lapsed, _BRAIN, "action.expire")
            return
        if action.state is ActionState.APPROVED:
            if refused := self._forbidden(action):
                await self._keep(lifecycle.reject(action, _BRAIN, now, f"the interlock forbids it: {refused}"), _BRAIN, "action.reject")
                return
            action = await self._keep(lifecycle.begin(action, now), _BRAIN, "action.apply")
        if action.state is ActionState.RELEASING:
            receipt = await self._receipt(action, release=True)
            done = lifecycle.record_release(action, receipt)
        elif action.state is ActionState.APPLYING:
            receipt = await self._receipt(action, release=False)
            done = lifecycle.record(action, receipt)
        elif action.state is ActionState.APPLIED:  # after a restart: apply again, for the enforcer may have been away too
            receipt = await self._receipt(action, release=False)
            done = action if receipt.applied else lifecycle.lost(action, receipt.at, receipt.message)
        else:
            return
        if not receipt.applied and self._clock.monotonic_s() < self._patience_s.get(action.id, 0.0):
            asyncio.get_running_loop().call_later(_SWEEP_S, self._work.put_nowait, action.id)
            return
        self._patience_s.pop(action.id, None)
        await self._records.kept(receipt)
        await self._keep(done, action.enforcer, f"action.{done.state.value}", outcome="ok" if receipt.applied else "failed")

    async def _receipt(self, action: Action, *, release: bool) -> Receipt:
        """An enforcer that is away, slow or refusing gives a receipt that says so; the action is then failed, not enforced."""
        began = self._clock.monotonic_s()
        try:
            enforcer = self._enforcer(action.enforcer)
            async with asyncio.timeout(_ENFORCE_S):
                return await (enforcer.release(action) if release else enforcer.apply(action))
        except (TransientError, TimeoutError, OSError) as error:
            problem = str(error) or f"no receipt within {_ENFORCE_S:.0f} s"
            log.warning("%s of action %s: %s", "release" if release else "apply", action.id, problem)
            return Receipt(
                action=action.id,
                enforcer=action.enforcer,
                applied=False,
                verified=False,
                at=self._clock.now(),
                message=f"{'not released' if release else 'not enforced'}: {problem}",
                took_ms=1000 * (self._clock.monotonic_s() - began),
            )

    def _forbidden(self, action: Action) -> str | None:
        return self._refusal(action.target) if _cuts(action) else None

    def _enforcer(self, name: str) -> Enforcer:
        if name not in self._enforcers:
            raise TransientError(f"this appliance has no enforcer {name!r}")
        return self._enforcers[name]

    async def _sweep(self) -> None:
        now = self._clock.now()
        for state in set(ActionState) - FINAL:
            for action in await asyncio.to_thread(self._in_state, state):
                if lifecycle.lapse(action, now) is not action:
                    self._work.put_nowait(action.id)

    def _in_state(self, state: ActionState) -> list[Action]:
        return list(self._records.each(Action, where={"state": state.value}))

    async def _find(self, action: ActionId) -> Action:
        found = await asyncio.to_thread(self._records.find, Action, action)
        if found is None:
            raise LookupError(f"no action {action}")
        return found

    async def _keep(self, action: Action, by: str, step: str, outcome: str = "ok") -> Action:
        details = {"state": action.state.value, "asset": action.target, "enforcer": action.enforcer, "dry_run": action.dry_run}
        if action.expires is not None:
            details["expires"] = iso(action.expires)
        if action.note:
            details["note"] = action.note
        await asyncio.wrap_future(self._records.audit.append(by, step, str(action.id), outcome, **details))
        if action.state in IN_FORCE and _cuts(action):
            self._cutting[action.id] = action.target
        else:
            self._cutting.pop(action.id, None)
        await self._records.kept(action)  # after its audit entry: nobody sees a state that the log does not explain
        return action


def _cuts(action: Action) -> bool:
    return action.kind is ActionKind.QUARANTINE
