"""The brain at work: what collectors deliver goes through the pure spine and comes out as kept findings, verdicts, rulings and proposals.

Three lanes.  The event loop carries frames, rulings and people's requests.  One worker thread (`think`) owns the analysis and the twin, so
that a held write never waits behind a batch of observations.  The records have their own writer.  A command that is held is judged before
it is kept: keeping costs a disk's time, and the collector holds it in its outbox until we acknowledge.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar, assert_never

from sentinel.brain.actions import Actions
from sentinel.brain.asking import Asking, Court
from sentinel.brain.backlog import lasting
from sentinel.brain.errands import Errands
from sentinel.brain.excerpting import Excerpts
from sentinel.brain.held import HeldCommands
from sentinel.brain.hours import Hours
from sentinel.brain.learning import Learning, Step
from sentinel.brain.parameters import Parameters
from sentinel.brain.recollection import Recollection
from sentinel.brain.stock import Stock
from sentinel.brain.tally import Tallies
from sentinel.clock import Clock
from sentinel.intake import Intake
from sentinel.model.action import Receipt
from sentinel.model.codec import to_jsonable
from sentinel.model.command import Command, Origin
from sentinel.model.detection import Detection
from sentinel.model.exchange import Polled, Presence
from sentinel.model.finding import Finding
from sentinel.model.observation import Counters, Heard, Outage, Readings, TurnedAway
from sentinel.model.record import SnapshotMark
from sentinel.model.spectrum import measured
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant, iso
from sentinel.model.verdict import Verdict
from sentinel.pipeline import Analysis
from sentinel.places import ENFORCER
from sentinel.ports import Outcome
from sentinel.records import Change, Records
from sentinel.respond.interlock import Rules
from sentinel.respond.playbook import Policy, advise, propose
from sentinel.settings import Settings
from sentinel.twin.estimate import state_readings
from sentinel.twin.snapshot import Snapshot
from sentinel.twin.sync import Sync

_TICK_S = 1.0
_INVENTORY_S = 5.0
_SWEEP_S = 3600.0
_SELF = "brain"  # the name that the supervisor gives to this process

log = logging.getLogger(__name__)
T = TypeVar("T")


class Cases(Protocol):
    async def keep(self, verdict: Verdict) -> object:
        """All that a verdict rests on, as evidence, where it is worth it."""


class Past(Protocol):
    def add(self, readings: Readings) -> None:
        """Never waits."""

    def counters(self) -> Counters: ...


class Brain:
    """`take` is the intake's sink; `run` keeps the clocks: ticks, learning, inventory, retention."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        analysis: Analysis,
        tags: TagMap,
        court: Court | None,
        sync: Sync | None,
        clock: Clock,
        rules: Rules,
        recollection: Recollection | None = None,
    ) -> None:
        self._settings = settings
        self._records = records
        self._analysis = analysis
        self._tags = tags
        self._court = court
        self._sync = sync
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spine")
        self._started = clock.now()
        self._enforcing = {ENFORCER, *(gate.name for gate in settings.gate)}
        self._tallies = Tallies()
        self._before = recollection or Recollection()
        self.stock = Stock(self._before, rules)
        self.hours = Hours(self._before.written)
        captures = [name for capture in settings.capture for name in capture.processes()]
        self.excerpts = Excerpts(records, captures, self._before.evidence)
        self._held = HeldCommands(self._before.held)
        self._errands = Errands()
        self._snapshot: Snapshot | None = None
        self._progress = analysis.progress()
        self.presences: dict[str, Presence] = {}  # the newest of each collector; one that was never there is not listed
        self.asking = Asking(court, tags, settings.gate, records, lambda: analysis.learning, self._judged, self.stock.is_new)
        self.intake: Intake | None = None  # set by the composition root, which needs `take` to build it
        self.actions: Actions | None = None
        self.cases: Cases | None = None  # None: verdicts are kept without what they rest on
        self.learning: Learning | None = None  # None: what judges is what the analysis was given
        self.parameters: Parameters | None = None  # None: what the twin learns ends with it
        self.past: Past | None = None  # None: no history is kept
        self._past_s = clock.monotonic_s()

    # what comes in

    async def take(self, value: Any) -> None:
        match value:
            case Heard():
                await self._heard(value)
            case Polled():
                await self._polled(value)
            case Command():
                await self._commanded(value)
            case Outcome():
                await self._settled(value)
            case Outage():
                if value.process == _SELF:  # its process was started then; heard again is it only now
                    value = dataclasses.replace(value, until=max(value.until, self._clock.now()))
                await self._records.kept(value)
                await self._audit(value.process, "process.outage", outcome="failed", reason=value.reason, since=iso(value.since))
                await self._found(await self.think(self._analysis.outage, value))
                if self.actions is not None and value.process in self._enforcing:
                    await self.actions.reassert()
            case TurnedAway():
                about = {"subject": value.subject, "reason": value.reason, "times": value.times}
                await self._audit(value.gate, "gate.turn_away", str(value.source), outcome="refused", **about)
                await self._found(await self.think(self._analysis.turned_away, value))
            case Receipt():
                await self._records.kept(value)
                await self._audit(value.enforcer, "enforcer.receipt", str(value.action), message=value.message)
            case Presence():
                self.presences[value.process] = value
            case _:
                assert_never(value)

    async def _heard(self, heard: Heard) -> None:
        def think() -> tuple[list[Finding], list[Command]]:
            findings = self._analysis.heard(heard)
            if self._sync is not None:
                for readings in self._analysis.take_readings():
                    self._sync.observe(readings, heard.until)
                    self._keep_past(readings)
            commands = self._held.without_echoes(self._analysis.take_commands())
            if self._sync is not None:
                for at, writes in lasting(commands):
                    self._sync.write(writes, at)
            return findings, commands

        findings, commands = await self.think(think)
        self._tallies.add(heard, len(commands))
        if commands:
            await self._records.kept(*commands)
        await self._found(findings)
        for command in commands:
            self.asking.later(command)

    async def _polled(self, polled: Polled) -> None:
        def think() -> list[Finding]:
            residuals: Readings | None = None
            forecasts: Readings | None = None
            self._keep_past(polled.readings)
            if self._sync is not None:
                self._sync.observe(measured(polled.readings), self._clock.now())
                if self._sync.health.is_in_step:
                    forecasts, residuals = self._sync.forecasts(), self._sync.residuals()
            return self._analysis.readings(polled.source, polled.readings, polled.until, residuals, forecasts)

        findings = await self.think(think)
        self._tallies.of(polled.source).readings += len(polled.readings)
        await self._found(findings)

    async def _commanded(self, command: Command) -> None:
        known = asyncio.Event()  # the spine has the command: only then can it place the verdict
        if command.origin is Origin.GATE:
            self._held.add(command)
            self._errands.send(self.asking.held(command, known), f"judge {command.id}")
        else:
            self.asking.later(command)
        self._tallies.of(command.origin).commands += 1
        self.hours.note(command.source, command.seen)
        try:
            await self._records.kept(command)
            await self._found(await self.think(self._analysis.command, command))
        finally:
            known.set()

    async def _judged(self, verdict: Verdict) -> None:
        """By the court, or once more by the wire tier."""
        await self._records.kept(verdict)
        if self.cases is not None:
            await self.cases.keep(verdict)
        again = {"refers": verdict.refers} if verdict.refers is not None else {}
        step = "command.replay" if again else "command.judge"
        await self._audit("court", step, str(verdict.command), outcome=verdict.judgement.value, reason=verdict.reason, **again)
        await self._found(await self.think(self._analysis.verdict, verdict))

    async def _settled(self, outcome: Outcome) -> None:
        if self._court is not None:
            self._court.settle(outcome)
        command = self._held.pop(outcome.command)
        if command is None:  # held before a restart: the spine has forgotten it too
            command = await asyncio.to_thread(self._records.find, Command, outcome.command)
            if command is not None:
                await self._found(await self.think(self._analysis.command, command))
        if outcome.forwarded and command is not None:
            await self.think(self._replicate, command, outcome.at)
        step = "command.forward" if outcome.forwarded else "command.refuse"
        details: dict[str, Any] = {"ruled": outcome.ruled, "held_ms": round(outcome.held_ms, 3), "reason": outcome.reason}
        await self._audit("gate", step, str(outcome.command), **details)
        await self._found(await self.think(self._analysis.outcome, outcome))

    def _replicate(self, command: Command, at: Instant) -> None:
        """The twin gets what the plant got, without waiting for the next reading of it."""
        writes = command.reached()
        if self._sync is not None and writes:
            self._sync.write(writes, at)

    def _keep_past(self, readings: Readings) -> None:
        if self.past is not None:
            self.past.add(readings)

    def _keep_states(self, snapshot: Snapshot) -> None:
        """The twin's states beside the tags, as far as they are to be believed: uncertain while the twin is not in step."""
        now_s = self._clock.monotonic_s()
        if self.past is None or self._sync is None or now_s - self._past_s < self._settings.history.states_every_s:
            return
        self._past_s = now_s
        self.past.add(state_readings(self._sync.model, snapshot))

    # what goes out

    async def _found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.stock.note(finding)
            verdict = await self.asking.gravest(finding)
            advice = None if self._analysis.learning else advise(finding, verdict, self.stock.conduits, self.stock.rules())
            kept = dataclasses.replace(finding, evidence=self.excerpts.of(finding), advice=advice)
            await self._records.kept(kept)
            if self.excerpts.wants(kept):
                self._errands.send(self.excerpts.fetch(kept), f"excerpt {kept.id}")
            await self._propose(kept, verdict)

    async def _propose(self, finding: Finding, verdict: Verdict | None) -> None:
        if self.actions is None or self._analysis.learning:
            return
        in_force = self.actions.in_force()
        await self.think(self.stock.take, self._analysis)
        policy = Policy(
            enforcer=self._settings.enforce.enforcer, lasts_s=self._settings.enforce.lasts_s, rules=self.stock.rules(), in_force=in_force
        )
        await self.actions.propose(propose(finding, verdict, self.stock.assets.values(), self.stock.conduits, self._clock.now(), policy))

    # the clocks

    async def run(self) -> None:
        """Until cancelled, or until a task of ours failed for a reason that is our bug."""
        await self.think(self._warm)
        await self._begin_learning()
        unsubscribe = self._records.subscribe(self._labelled)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ticks())
                group.create_task(self._inventory())
                group.create_task(self._errands.watch())
                group.create_task(self._take_up())
                group.create_task(self.asking.run())
        finally:
            unsubscribe()

    def _labelled(self, change: Change) -> None:
        """In the writer's thread.  What a person said of a finding reaches the fold: its table decides whether news may open it again."""
        if isinstance(change.value, Finding):
            self._thread.submit(self._analysis.labelled, change.value)

    async def _begin_learning(self) -> None:
        """Where a brain stood that was killed while it learnt, and whose baseline was refused, is said."""
        if self.learning is None:
            return
        outage, refused = await self.think(self.learning.begin)
        self._progress = await self.think(self._analysis.progress)
        self.stock.learnt_until = self.learning.learnt_until
        if outage is not None:
            await self.take(outage)
        for each in refused:
            await self._audit("sentinel", "baseline.refuse", outcome="failed", reason=each.why)
        await self._found(await self.think(self._analysis.told, refused))
        if self._analysis.learning:
            await self._audit("sentinel", "baseline.learn", lasts_s=self._settings.learning.lasts_s)

    def _warm(self) -> None:
        """What takes seconds the first time happens before the plant waits for it."""
        import sentinel.detect.pyod_models  # noqa: F401

    async def _take_up(self) -> None:
        """Commands that were kept, but not judged any more before a restart."""
        if self._court is not None:
            for command in self._before.unjudged:
                await self._found(await self.think(self._analysis.command, command))
                self.asking.later(command)

    async def _ticks(self) -> None:
        while True:
            now = self._clock.now()
            findings, snapshot, step = await self.think(self._tick, now, self.asking.unjudged())
            if snapshot is not None and self._court is not None:
                self._snapshot = snapshot
                self._keep_states(snapshot)
                self._court.keep(snapshot)
                if snapshot.health.is_in_step and self._court.connected.is_set():
                    self.asking.ready.set()
            if self.learning is not None:
                self.stock.learnt_until = self.learning.learnt_until
            if step.entry is not None:
                await self._audit("sentinel", step.entry[0], **step.entry[1])
            await self._found(findings)
            if tallies := self._tallies.drain(now):
                self._records.submit(*tallies)
            await asyncio.sleep(_TICK_S)

    def _tick(self, now: Instant, unjudged: Sequence[Detection]) -> tuple[list[Finding], Snapshot | None, Step]:
        snapshot, step = None, Step()
        if self._sync is not None:
            self._sync.advance(now)
            snapshot = self._sync.snapshot()
            if self.parameters is not None:
                self.parameters.follow(self._sync.learnt, now)
        findings = [*self._analysis.tick(now), *self._analysis.told(unjudged)]
        if self.learning is not None:
            step = self.learning.tick()
        self._progress = self._analysis.progress()
        return findings, snapshot, step

    async def _inventory(self) -> None:
        """Assets and conduits as they are known by now; retention once an hour."""
        swept = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(_INVENTORY_S)
            await self.think(self.stock.take, self._analysis)
            await self.stock.keep(self._records)
            if self._snapshot is not None:
                snapshot = self._snapshot
                mark = SnapshotMark(
                    digest=snapshot.fingerprint(), at=snapshot.at, model=snapshot.digest, in_step=snapshot.health.is_in_step
                )
                await self._records.kept(mark)
            if self._clock.monotonic_s() - swept > _SWEEP_S:
                swept = self._clock.monotonic_s()
                log.info("retention let go of %s", await asyncio.to_thread(self._records.sweep))

    # what others ask

    @property
    def snapshot(self) -> Snapshot | None:
        return self._snapshot

    def health(self) -> Mapping[str, Any]:
        learning = {**to_jsonable(self._progress), "lasts_s": self._settings.learning.lasts_s}
        learning["since_s"] = round(self.learning.elapsed_s(), 1) if self.learning is not None else 0.0
        processes = {name: {"present": one.present, "since": iso(one.at)} for name, one in sorted(self.presences.items())}
        intake = to_jsonable(self.intake.counters) if self.intake is not None else {}
        waiting = {
            "records": self._records.waiting(),
            "judging": self.asking.waiting(),
            "unjudged": self.asking.health(),
            "untaken_dropped": self._analysis.untaken_dropped,
        }
        past = to_jsonable(self.past.counters()) if self.past is not None else None
        told = {"started": iso(self._started), "learning": learning, "processes": processes, "intake": intake, "waiting": waiting}
        return {**told, "history": past, "wire": self.asking.replays.health() if self.asking.replays is not None else None}

    # small things

    async def think(self, work: Callable[..., T], *arguments: Any) -> T:
        """On the thread that owns the analysis and the twin."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _audit(self, actor: str, action: str, target: str = "", outcome: str = "ok", **details: Any) -> None:
        await asyncio.wrap_future(self._records.audit.append(actor, action, target, outcome, **details))

    def close(self) -> None:
        if self.learning is not None:
            self._thread.submit(self.learning.mark, self._clock.now())
        if self.parameters is not None and self._sync is not None:
            self._thread.submit(self.parameters.mark, self._sync.learnt, self._clock.now())
        self._thread.shutdown()
