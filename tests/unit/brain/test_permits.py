"""A doubtful write passes once when two people say so, and never otherwise."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.brain.actions import Actions
from sentinel.brain.permits import LASTS_S, MAX_ASKED, MAX_ASKED_OF_SOURCE, Permits
from sentinel.model.action import Action, ActionKind, ActionState
from sentinel.model.command import Command, TagWrite
from sentinel.model.ids import ActionId, AssetId, CommandId
from sentinel.model.verdict import Judgement
from sentinel.respond.lifecycle import MAX_PERMIT_WAIT_S
from tests.unit.brain.test_actions import Watched
from tests.unit.brain.test_ruling import DOUBT, TAGS, command

SURE = [replace(DOUBT, judgement=Judgement.SAFE), replace(DOUBT, judgement=Judgement.UNSAFE)]


def asked(name: str = "c", source: str = "192.0.2.7", raw: float = 1.0, tag: str | None = "ask") -> Command:
    write = TagWrite(tag=tag, point="holding 0", raw=raw, value=raw)
    return replace(command(), id=CommandId(name), source=AssetId(source), writes=(write,))


class Desk(Watched):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.permits = Permits(TAGS, self.records, self.clock)
        self.actions = Actions(self.records, {"permit": self.permits}, self.clock, lambda _: "nobody of this plant may be cut")
        self.running = asyncio.create_task(self.actions.run())

    async def granted(self, one: Command) -> ActionId:
        await self.records.kept(one)
        proposal = self.permits.proposal(one, DOUBT)
        assert proposal is not None
        return await self.agreed(proposal)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.running.cancel()
    await asyncio.gather(desk.running, return_exceptions=True)
    desk.records.close()


async def test_the_same_write_passes_once(desk: Desk) -> None:
    assert desk.permits.take(asked(), DOUBT) is None
    action = await desk.granted(asked())
    kept = desk.records.find(Action, action)
    assert kept is not None
    assert (kept.kind, kept.target, kept.command) == (ActionKind.PERMIT, "192.0.2.7", "c")
    assert desk.actions.in_force() == frozenset(), "nobody is cut by it"
    for other in (asked(raw=2.0), asked(source="192.0.2.8"), replace(asked(), unit=2), replace(asked(), operation="mask_write_register")):
        assert desk.permits.take(other, DOUBT) is None
    for verdict in SURE:
        assert desk.permits.take(asked(), verdict) is None, "the court decides where it can"
    assert desk.permits.take(asked("again"), DOUBT) == action
    assert desk.permits.take(asked("and again"), DOUBT) is None
    await desk.actions.release(action, "sentinel")
    await desk.until(action, ActionState.RELEASED)


async def test_it_ends_with_its_time_and_with_a_person_s_word(desk: Desk) -> None:
    await desk.granted(asked())
    desk.clock.advance(LASTS_S)
    assert desk.permits.take(asked(), DOUBT) is None
    action = await desk.granted(asked("another", raw=3.0))
    await desk.actions.release(action, "anna")
    await desk.until(action, ActionState.RELEASED)
    assert desk.permits.take(asked(raw=3.0), DOUBT) is None


async def test_after_a_restart_nobody_knows_whether_it_was_used(desk: Desk) -> None:
    kept = desk.records.find(Action, await desk.granted(asked()))
    assert kept is not None
    assert (await desk.permits.apply(kept)).applied, "asked again after somebody else's outage"
    begun_anew = Permits(TAGS, desk.records, desk.clock)
    receipt = await begun_anew.apply(kept)
    assert not receipt.applied
    assert "not known whether it was used" in receipt.message
    assert begun_anew.take(asked(), DOUBT) is None


async def test_who_may_be_asked_about_and_how_often(desk: Desk) -> None:
    for verdict in SURE:
        assert desk.permits.proposal(asked(), verdict) is None
    for tag in ("refuse", "forward", None):
        assert desk.permits.proposal(asked(tag=tag), DOUBT) is None
    for number in range(MAX_ASKED):
        one = asked(f"c{number}", source=f"192.0.2.{number // MAX_ASKED_OF_SOURCE}", raw=float(number))
        assert desk.permits.proposal(one, DOUBT) is not None
        assert desk.permits.proposal(replace(one, id=CommandId("again")), DOUBT) is None, "people are asked already"
    assert desk.permits.passed_over == 0
    assert desk.permits.proposal(asked(source="192.0.2.0", raw=99.0), DOUBT) is None
    assert desk.permits.proposal(asked(source="192.0.2.99"), DOUBT) is None
    assert desk.permits.passed_over == 2
    desk.clock.advance(MAX_PERMIT_WAIT_S)
    assert desk.permits.proposal(asked(source="192.0.2.99"), DOUBT) is not None
