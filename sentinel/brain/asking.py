"""The court is asked, the gate is answered, people are asked where the court does not decide.

In: commands, held ones at once (`held`) and heard ones in their turn (`later`).  Out: rulings to the gate, verdicts to ``judged``,
proposals of permits, and offers to the wire tier.  The newest verdicts are remembered, for findings are weighed by them again and again.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from sentinel.brain.actions import Actions
from sentinel.brain.backlog import Backlog
from sentinel.brain.permits import Permits
from sentinel.brain.ruling import ruling_for, unknown_choice
from sentinel.intake import Intake
from sentinel.model.command import Command, Origin
from sentinel.model.detection import Detection
from sentinel.model.finding import Finding
from sentinel.model.ids import ActionId, AssetId, VerdictId
from sentinel.model.tags import TagMap
from sentinel.model.verdict import GRAVITY, Verdict
from sentinel.ports import Outcome, Ruling
from sentinel.records import Records
from sentinel.respond.lifecycle import RefusedError
from sentinel.settings import Gate
from sentinel.twin.snapshot import Snapshot

_BACK_S = 20.0  # after a start the court and a twin in step are waited for so long, where nothing is held meanwhile
_JUDGING_AT_ONCE = 32  # commands seen on the wire that wait for the court; the rest wait in the backlog
_VERDICTS = 4096

log = logging.getLogger(__name__)
Judged = Callable[[Verdict], Awaitable[None]]


class Court(Protocol):
    connected: asyncio.Event

    def keep(self, snapshot: Snapshot) -> None: ...

    def settle(self, outcome: Outcome) -> None: ...

    async def judge(self, command: Command) -> Verdict: ...

    async def completed(self, verdict: Verdict) -> Verdict: ...

    async def run(self) -> None: ...


class Replays(Protocol):
    def offer(self, command: Command, verdict: Verdict) -> None:
        """Never waits."""

    async def run(self, told: Callable[[Verdict], Awaitable[None]]) -> None: ...

    def health(self) -> Mapping[str, object]: ...


class Asking:
    """Without a ``court`` nothing is judged: the gate takes each tag's declared choice.  ``ready`` is set once the twin is in step."""

    def __init__(
        self,
        court: Court | None,
        tags: TagMap,
        gates: Sequence[Gate],
        records: Records,
        learning: Callable[[], bool],
        judged: Judged,
        is_new: Callable[[AssetId], bool] = lambda _: False,
    ) -> None:
        self._court, self._tags, self._gates, self._records = court, tags, gates, records
        self._learning, self._tell = learning, judged
        self._backlog = Backlog(is_new)
        self._filled = asyncio.Event()
        self._verdicts: OrderedDict[VerdictId, Verdict] = OrderedDict()
        self.ready = asyncio.Event()
        self.intake: Intake | None = None  # this and what follows is set by the composition root
        self.actions: Actions | None = None
        self.replays: Replays | None = None  # None: no octets are played to an emulated device
        self.permits: Permits | None = None  # None: nobody is asked

    def later(self, command: Command) -> None:
        self._backlog.put(command)
        self._filled.set()

    def waiting(self) -> int:
        return len(self._backlog)

    def unjudged(self) -> list[Detection]:
        """What was heard and passed over since the last call."""
        return self._backlog.drain()

    def health(self) -> Mapping[str, int]:
        """Of what was only heard, since the start."""
        return {"judged_with_another": self._backlog.repeated, "superseded": self._backlog.superseded, "dropped": self._backlog.dropped}

    async def run(self) -> None:
        """What is not held, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.replays is not None:
                group.create_task(self.replays.run(self._judged))
            for _ in range(_JUDGING_AT_ONCE):
                group.create_task(self._judge_seen())

    async def _judge_seen(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ready.wait(), _BACK_S)
        while True:
            while (command := self._backlog.take()) is None:
                self._filled.clear()
                await self._filled.wait()
            if self._court is not None:
                await self._complete(command, await self._court.judge(command), None)

    async def held(self, command: Command, known: asyncio.Event) -> None:
        """``known``: the spine has the command; only then can it place the verdict."""
        if self._court is None:
            return
        verdict = await self._court.judge(command)
        permit = None
        if self.intake is not None:
            permit = self.permits.take(command, verdict) if self.permits is not None else None
            await self.intake.rule(self._ruling(command, verdict, permit))
        await self._complete(command, verdict, permit, known)

    def _ruling(self, command: Command, verdict: Verdict, permit: ActionId | None) -> Ruling:
        if permit is not None:
            return Ruling(command=command.id, forward=True, reason=f"undecided, and permitted once by action {permit}")
        unknown = unknown_choice(self._gates, command.target)
        return ruling_for(command, verdict, self._tags, learning=self._learning(), unknown=unknown)

    async def _complete(self, command: Command, verdict: Verdict, permit: ActionId | None, known: asyncio.Event | None = None) -> None:
        assert self._court is not None
        verdict = await self._court.completed(verdict)
        if known is not None:
            await known.wait()
        await self._judged(verdict)
        await self._ask(command, verdict, permit)
        if self.replays is not None:
            self.replays.offer(command, verdict)

    async def _judged(self, verdict: Verdict) -> None:
        self._remember(verdict)
        await self._tell(verdict)

    async def _ask(self, command: Command, verdict: Verdict, used: ActionId | None) -> None:
        """People, about a held write that is not decided; what they have answered once ends with its use."""
        if self.permits is None or self.actions is None or command.origin is not Origin.GATE:
            return
        if used is not None:
            try:
                await self.actions.release(used, "sentinel")
            except RefusedError as error:  # its time has just ended
                log.info("permit %s: %s", used, error)
        elif not self._learning() and (proposal := self.permits.proposal(command, verdict)):
            await self.actions.propose([proposal])

    async def gravest(self, finding: Finding) -> Verdict | None:
        """Of the verdicts that a finding names."""
        for key in finding.verdicts:
            if key not in self._verdicts:  # of before a restart
                kept = await asyncio.to_thread(self._records.find, Verdict, key)
                if kept is not None:
                    self._remember(kept)
        verdicts = [self._verdicts[key] for key in finding.verdicts if key in self._verdicts]
        return max(verdicts, key=lambda verdict: GRAVITY[verdict.judgement], default=None)

    def _remember(self, verdict: Verdict) -> None:
        self._verdicts[verdict.id] = verdict
        while len(self._verdicts) > _VERDICTS:
            self._verdicts.popitem(last=False)
