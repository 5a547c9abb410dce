"""From the first learning to a promoted candidate and back, over the files, the actions and the two people of one appliance."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sentinel.access.authority import Authority
from sentinel.baseline import store
from sentinel.baseline.anchor import Kind, sealed
from sentinel.brain.actions import Actions
from sentinel.brain.anchors import ANCHOR, CANDIDATE, CHECKPOINT, Anchors
from sentinel.brain.learning import CHECKPOINT_S, WEEK_S, Learning
from sentinel.commands import baseline as command
from sentinel.detect.catalogue import detectors
from sentinel.model.action import ActionState
from sentinel.model.ids import ActionId
from sentinel.model.observation import Outage
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.pipeline import Analysis
from sentinel.respond.lifecycle import MAX_LASTS_S, RefusedError
from sentinel.settings import Learning as Settings
from tests.observations import at, flow, heard, readings, request
from tests.unit.brain.test_actions import Watched

_TAGS = TagMap((Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0.0, high=2.0),))
_SETTINGS = Settings(lasts_s=60.0, quarantine_s=30.0)


def polls(since: int, until: int, function: int = 3) -> Any:
    seconds = range(since, until)
    return heard(until, [request(s + 0.1, function=function) for s in seconds], [flow(s + 0.1) for s in seconds])


async def at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


class Life(Watched):
    """One life of the brain; `again` is the next one, over the same files."""

    def __init__(self, directory: Path, settings: Settings = _SETTINGS) -> None:
        super().__init__(directory)
        self.directory = directory
        self.begin(settings)

    def begin(self, settings: Settings = _SETTINGS) -> tuple[Outage | None, list[str]]:
        authority = Authority(self.directory / "authority", self.clock.now())
        authority.server_certificate("sentinel", (), self.clock.now())
        self.authority, self.anchors = authority, Anchors(self.directory, authority)
        self.analysis = Analysis(tag_map=_TAGS, detectors=detectors(_TAGS), fresh=lambda: detectors(_TAGS))
        anchor = self.anchors.at_start(self.clock.now())
        if anchor is not None:
            self.analysis.restore(anchor[0])
        self.learning = Learning(self.analysis, self.anchors, settings, self.clock, at_once, anchor)
        outage, refused = self.learning.begin()
        self.actions = Actions(self.records, {self.learning.spec.name: self.learning}, self.clock)
        return outage, [each.why for each in refused]

    def learnt(self) -> None:
        """The first anchor, and a minute of a candidate that uses another function beside it."""
        self.analysis.heard(polls(0, 60))
        self.clock.advance(60)
        assert self.learning.tick().entry == ("baseline.activate", {"windows": 60, "withheld": 0, "assets": 2})
        self.analysis.heard(polls(60, 120, function=4))

    def digest(self) -> str:
        kept = self.anchors.read(ANCHOR)
        assert kept is not None
        return kept[1].digest

    async def promoted(self) -> ActionId:
        return await self.agreed(await self.learning.offer("rita"))


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    life = Life(tmp_path)
    running: Iterable[asyncio.Task[None]] = [asyncio.create_task(life.actions.run())]
    yield life
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    life.records.close()


async def test_two_people_promote_a_candidate_and_one_takes_it_back(life: Life) -> None:
    life.learnt()
    first = life.digest()
    shown = await life.learning.shown()
    assert (shown["state"], shown["anchor"]["digest"], shown["candidate"]["windows"]) == ("drifting", first, 60)
    assert shown["candidate"]["added"] == [], "told at the end of each hour"
    action = await life.promoted()
    second = life.digest()
    assert second != first
    shown = await life.learning.shown()
    assert (shown["anchor"]["by"], shown["anchor"]["previous"], shown["candidate"]["windows"]) == ("rita and anna", first, 0)
    assert life.begin() == (None, []), "and so after a restart"
    assert life.digest() == second
    running = asyncio.create_task(life.actions.run())
    await life.actions.release(action, "anna")
    await life.until(action, ActionState.RELEASED)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert life.digest() == first


async def test_a_promotion_stays_when_the_time_to_take_it_back_is_over(life: Life) -> None:
    life.learnt()
    action = await life.promoted()
    promoted = life.digest()
    life.clock.advance(MAX_LASTS_S + 1)
    await life.until(action, ActionState.EXPIRED)
    assert life.digest() == promoted


async def test_what_is_promoted_is_what_people_saw(life: Life) -> None:
    life.learnt()
    action = await life.learning.offer("rita")
    await life.actions.propose([action])
    await life.actions.request(action.id, "rita")
    life.analysis.heard(polls(120, 150))
    before, second = life.digest(), await life.learning.offer("mallory")
    assert second.id != action.id
    await life.actions.approve(action.id, "anna")
    await life.until(action.id, ActionState.FAILED)
    assert life.digest() == before


async def test_a_candidate_stays_in_quarantine(life: Life) -> None:
    with pytest.raises(RefusedError, match="no candidate"):
        await life.learning.offer("rita")
    life.analysis.heard(polls(0, 60))
    life.clock.advance(60)
    life.learning.tick()
    life.analysis.heard(polls(60, 80))
    with pytest.raises(RefusedError, match="stays in quarantine for 30 s"):
        await life.learning.offer("rita")


async def test_killed_while_it_learns_it_goes_on(life: Life) -> None:
    life.analysis.heard(polls(0, 30))
    life.clock.advance(30)
    life.learning.tick()
    life.clock.advance(1000)  # dead
    outage, refused = life.begin()
    assert outage is not None
    assert (outage.reason, refused) == ("learning was interrupted and goes on where it stood", [])
    assert (life.analysis.progress().windows, life.learning.elapsed_s()) == (30, 30.0)
    life.analysis.heard(polls(1030, 1060))
    life.clock.advance(30)
    assert life.learning.tick().entry == ("baseline.activate", {"windows": 60, "withheld": 0, "assets": 2})
    assert life.anchors.read(CHECKPOINT) is None


async def test_killed_beside_the_anchor_the_candidate_goes_on(life: Life) -> None:
    life.learnt()
    life.clock.advance(CHECKPOINT_S)
    life.learning.tick()
    assert life.begin() == (None, [])
    assert life.analysis.candidate is not None
    assert life.analysis.candidate.windows == 60


async def test_a_forged_checkpoint_teaches_nothing(life: Life) -> None:
    life.analysis.heard(polls(0, 30))
    life.clock.advance(30)
    life.learning.tick()
    store.save(life.analysis.checkpoint(), life.directory / CHECKPOINT)
    outage, (refused,) = life.begin()
    assert outage is not None
    assert outage.reason == "learning was interrupted and begins anew"
    assert "is not sealed by this appliance" in refused
    assert life.analysis.progress().windows == 0


async def test_a_checkpoint_of_before_the_anchor_is_forgotten(life: Life) -> None:
    """Killed after the anchor was kept, before the checkpoint went: no blame, no news."""
    life.analysis.heard(polls(0, 30))
    life.learning.mark(life.clock.now())
    before = (life.directory / CHECKPOINT).read_bytes()
    life.clock.advance(60)
    life.learning.tick()
    (life.directory / CHECKPOINT).write_bytes(before)
    assert life.begin() == (None, [])
    assert not (life.directory / CHECKPOINT).exists()


async def test_a_checkpoint_that_nobody_understands_any_more_is_an_outage_of_learning(life: Life) -> None:
    life.learnt()
    kept, at_ = store.Baseline(detectors={"candidate": {}}, notes={"state": "active"}), life.clock.now()
    life.anchors.mark(kept, at_)
    outage, refused = life.begin()
    assert outage is not None
    assert "learning begins anew: the candidate's checkpoint cannot be read" in outage.reason
    assert refused == []


def wandering(life: Life, weeks: int, level: float) -> None:
    """One reading every ten minutes for so many weeks, and a second of polls with each."""
    for step in range(round(weeks * WEEK_S / 600)):
        second = _NOW[0] = _NOW[0] + 600
        life.analysis.readings(
            "poll", readings(*((second + i / 10, "LT101", level + 0.01 * (i % 5 + step % 3)) for i in range(10))), at(second + 1)
        )  # type: ignore[arg-type]


_NOW = [0]


async def test_without_people_only_what_stays_near_what_they_approved(tmp_path: Path) -> None:
    """A small walk in every candidate: each lies within the cap of the one before, and the walk as a whole does not."""
    _NOW[0] = 0
    settings = Settings(lasts_s=60.0, quarantine_s=WEEK_S, promote_within=0.2)
    life = Life(tmp_path, settings)
    try:
        wandering(life, 1, 1.0)
        life.clock.advance(60)
        life.learning.tick()
        promoted = []
        for week in range(12):
            wandering(life, 1, 1.0 + 0.002 * week)  # an eighth of a deviation: within the cap, week by week
            life.clock.advance(WEEK_S)
            step = life.learning.tick()
            promoted.append(step.entry is not None and step.entry[0] == "baseline.promote")
        assert any(promoted[:6]), "what stays near the anchor judges by itself"
        assert not any(promoted[9:]), "a deviation off in all, whatever the steps were"
        kept = life.anchors.read(ANCHOR)
        assert kept is not None
        assert kept[0].notes["approved_until"] < life.analysis.progress().learnt_s * 1e9 + at(0)
    finally:
        life.records.close()


def test_the_command_shows_what_judges_and_refuses_what_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str], life: Life) -> None:
    life.learnt()
    life.learning.mark(life.clock.now())
    life.anchors.offer(store.Baseline(detectors={}), "rita", life.clock.now())
    file = tmp_path / "sentinel.toml"
    file.write_text('[appliance]\ndirectory = "."\n')
    arguments = _parsed(file)
    assert command.run(arguments) == 0
    told = capsys.readouterr().out
    assert f"judging: {life.digest()[:12]}, by sentinel" in told
    assert "beside it: 60 windows" in told
    assert "put forward by rita" in told
    kept = life.anchors.read(ANCHOR)
    assert kept is not None
    theirs = Authority(tmp_path / "theirs", life.clock.now())
    theirs.server_certificate("sentinel", (), life.clock.now())
    store.save(sealed(kept[0], kept[1], theirs.seal), tmp_path / ANCHOR)
    assert kept[1].kind is Kind.ANCHOR
    assert command.run(arguments) == 1
    assert "its seal does not hold" in capsys.readouterr().out
    assert (tmp_path / ANCHOR).exists(), "looking changes nothing"
    assert (tmp_path / CANDIDATE).exists()


def _parsed(file: Path) -> Any:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--config", str(file)])
