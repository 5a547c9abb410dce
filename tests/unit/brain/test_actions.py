import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sentinel.brain.actions import Actions
from sentinel.clock import ManualClock
from sentinel.errors import TransientError
from sentinel.model.action import Action, ActionKind, ActionState, Receipt
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import after
from sentinel.records import Records
from sentinel.respond.lifecycle import RefusedError

WAIT_S = 10.0


class Wire:
    """An enforcer that keeps a list of who is cut; ``broken`` makes it unreachable."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.cut, self.broken = clock, set[AssetId](), False
        self.asked, self.called = asyncio.Event(), asyncio.Event()

    async def apply(self, action: Action) -> Receipt:
        return self._receipt(action, self.cut.add)

    async def release(self, action: Action) -> Receipt:
        return self._receipt(action, self.cut.discard)

    def _receipt(self, action: Action, change: Callable[[AssetId], None]) -> Receipt:
        self.asked.set()
        if self.broken:
            raise TransientError("nobody there")
        change(action.target)
        self.called.set()
        return Receipt(action=action.id, enforcer="wire", applied=True, verified=True, at=self.clock.now(), message="done")


class Watched:
    """Records, and who waits for what becomes of an action in them."""

    actions: Actions

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.records = Records(directory, self.clock)
        self.changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.records.subscribe(lambda _: loop.call_soon_threadsafe(self.changed.set))

    async def until(self, action: ActionId, state: ActionState) -> Action:
        async with asyncio.timeout(WAIT_S):
            while True:
                self.changed.clear()
                found = self.records.find(Action, action)
                if found is not None and found.state is state:
                    return found
                await self.changed.wait()

    async def agreed(self, proposal: Action) -> ActionId:
        """One person asks, another approves, and it is in force."""
        await self.actions.propose([proposal])
        await self.actions.request(proposal.id, "rita")
        await self.actions.approve(proposal.id, "anna")
        await self.until(proposal.id, ActionState.APPLIED)
        return proposal.id


class Desk(Watched):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.wire = Wire(self.clock)
        self.forbidden: str | None = None
        self.actions = Actions(self.records, {"wire": self.wire}, self.clock, lambda _: self.forbidden)  # type: ignore[dict-item]

    def proposal(self, name: str = "a1") -> Action:
        now = self.clock.now()
        return Action(
            id=ActionId(name), kind=ActionKind.QUARANTINE, target=AssetId("10.0.0.66"), reason="test", enforcer="wire", dry_run=False,
            lasts_s=60.0, proposed=now, changed=now,
        )  # fmt: skip


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    running = asyncio.create_task(desk.actions.run())
    yield desk
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    desk.records.close()


async def test_two_people_cut_and_one_lets_go(desk: Desk) -> None:
    action = desk.proposal()
    await desk.actions.propose([action])
    await desk.actions.request(action.id, "rita")
    with pytest.raises(RefusedError, match="another person"):
        await desk.actions.approve(action.id, "Rita")
    assert desk.wire.cut == set()
    await desk.actions.approve(action.id, "anna")
    applied = await desk.until(action.id, ActionState.APPLIED)
    assert desk.wire.cut == {"10.0.0.66"}
    assert (applied.requested_by, applied.approved_by) == ("rita", "anna")
    assert desk.actions.in_force() == {"10.0.0.66"}
    await desk.actions.release(action.id, "rita")
    await desk.until(action.id, ActionState.RELEASED)
    assert desk.wire.cut == set()
    steps = [entry.action for entry in reversed(desk.records.audit.page(limit=100))]
    assert steps == [
        "action.propose",
        "action.request",
        "action.approve",
        "action.apply",
        "action.applied",
        "action.release",
        "action.released",
    ]
    assert desk.records.audit.verify().broken is None


async def test_an_enforcer_that_is_away_means_failed_and_says_so(desk: Desk) -> None:
    desk.wire.broken = True
    await desk.actions.propose([desk.proposal()])
    await desk.actions.request(ActionId("a1"), "rita")
    await desk.actions.approve(ActionId("a1"), "anna")
    failed = await desk.until(ActionId("a1"), ActionState.FAILED)
    assert failed.note == "not enforced: nobody there"


async def test_what_may_not_be_cut_by_now_is_not_cut(desk: Desk) -> None:
    await desk.actions.propose([desk.proposal()])
    await desk.actions.request(ActionId("a1"), "rita")
    desk.forbidden = "it is the last operator station"
    await desk.actions.approve(ActionId("a1"), "anna")
    rejected = await desk.until(ActionId("a1"), ActionState.REJECTED)
    assert "last operator station" in (rejected.note or "")
    await desk.actions.propose([desk.proposal("a2")])
    with pytest.raises(RefusedError, match="last operator station"):
        await desk.actions.request(ActionId("a2"), "rita")


async def test_a_proposal_that_people_moved_on_is_not_set_back(desk: Desk) -> None:
    await desk.actions.propose([desk.proposal()])
    await desk.actions.request(ActionId("a1"), "rita")
    await desk.actions.propose([desk.proposal()])
    await desk.until(ActionId("a1"), ActionState.REQUESTED)
    with pytest.raises(LookupError):
        await desk.actions.request(ActionId("none"), "rita")


@pytest.mark.parametrize("state", [ActionState.APPROVED, ActionState.APPLYING, ActionState.APPLIED])
async def test_a_restart_goes_on_where_it_stood(tmp_path: Path, state: ActionState) -> None:
    desk = Desk(tmp_path)
    kept = dataclasses.replace(desk.proposal(), state=state, requested_by="rita", approved_by="anna")
    if state is not ActionState.APPROVED:
        kept = dataclasses.replace(kept, expires=desk.clock.now() + 10**9)
    desk.records.keep(kept)
    running = asyncio.create_task(desk.actions.run())
    await desk.until(kept.id, ActionState.APPLIED)
    await asyncio.wait_for(desk.wire.called.wait(), WAIT_S)
    assert desk.wire.cut == {"10.0.0.66"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    desk.records.close()


async def test_what_is_over_lapses(desk: Desk) -> None:
    await desk.actions.propose([desk.proposal()])
    await desk.actions.request(ActionId("a1"), "rita")
    await desk.actions.approve(ActionId("a1"), "anna")
    await desk.until(ActionId("a1"), ActionState.APPLIED)
    desk.clock.advance(61)
    await desk.until(ActionId("a1"), ActionState.EXPIRED)


@pytest.mark.parametrize("state", [ActionState.APPLYING, ActionState.APPLIED, ActionState.RELEASING])
async def test_an_enforcer_that_comes_back_after_us_does_not_make_an_action_fail(tmp_path: Path, state: ActionState) -> None:
    desk = Desk(tmp_path)
    desk.wire.broken = True
    kept = dataclasses.replace(
        desk.proposal(), state=state, requested_by="rita", approved_by="anna", expires=after(desk.clock.now(), 1000.0)
    )
    desk.records.keep(kept)
    running = asyncio.create_task(desk.actions.run())
    await asyncio.wait_for(desk.wire.asked.wait(), WAIT_S)
    desk.wire.broken = False
    await desk.until(kept.id, ActionState.RELEASED if state is ActionState.RELEASING else ActionState.APPLIED)
    await asyncio.wait_for(desk.wire.called.wait(), WAIT_S)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    desk.records.close()


async def test_after_an_enforcer_was_away_an_action_in_force_is_applied_again_or_says_that_it_is_lost(desk: Desk) -> None:
    await desk.actions.propose([desk.proposal()])
    await desk.actions.request(ActionId("a1"), "rita")
    await desk.actions.approve(ActionId("a1"), "anna")
    await desk.until(ActionId("a1"), ActionState.APPLIED)
    desk.wire.cut.clear()  # it forgot
    desk.wire.called.clear()
    await desk.actions.reassert()
    await asyncio.wait_for(desk.wire.called.wait(), WAIT_S)
    assert desk.wire.cut == {"10.0.0.66"}
    desk.wire.broken = True
    desk.wire.asked.clear()
    await desk.actions.reassert()
    await asyncio.wait_for(desk.wire.asked.wait(), WAIT_S)
    desk.clock.advance(21.0)  # nobody waits for ever
    lost = await desk.until(ActionId("a1"), ActionState.FAILED)
    assert lost.note == "not enforced: nobody there"
