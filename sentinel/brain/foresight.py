"""What people may ask of the twin and of the planners, as the API's ports: state, health, what-if, plans whose writes the court judges.

Nothing here reaches the plant.
"""

import asyncio
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sentinel.clock import Clock
from sentinel.errors import InputError, TransientError
from sentinel.model.codec import to_jsonable
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.ids import AssetId, digest
from sentinel.model.plan import Plan
from sentinel.model.tags import TagMap
from sentinel.model.time import iso
from sentinel.model.verdict import Judgement, Verdict
from sentinel.optimise import instances
from sentinel.optimise.catalogue import CATALOGUE
from sentinel.optimise.setpoints import Setpoints
from sentinel.ports import Spec, Verifier
from sentinel.records import Records
from sentinel.twin.engine import Model
from sentinel.twin.estimate import estimates
from sentinel.twin.question import OVER_THE_API, Question, Setting, value_of, writable
from sentinel.twin.snapshot import Snapshot
from sentinel.twin.whatif import Answer, ask, without_bands

MAX_ASKING = 1  # questions at once: each may take a core for some seconds
MAX_PLANNING = 1  # searches at once: each may take a core for as long as its time limit, and the brain needs the other


Wanted = tuple[str, Sequence[float | str], float]  # tag, values as numbers in its unit or texts with one, seconds from now


class Newest(Protocol):
    @property
    def snapshot(self) -> Snapshot | None: ...


class Foresight:
    def __init__(self, newest: Newest, court: Verifier, model: Model, tags: TagMap, records: Records, clock: Clock) -> None:
        self._newest = newest
        self._court = court
        self._model = model
        self._tags = tags
        self._records = records
        self._clock = clock
        self._asking = 0

    def state(self) -> Mapping[str, Any]:
        snapshot = self._snapshot()
        states = {
            name: {"value": _finite(np.mean(column)), "spread": _finite(np.std(column))}
            for name, column in zip(self._model.states, snapshot.states.T, strict=True)
        }
        inputs = {
            one.tag: {"value": _finite(value), "unit": one.unit} for one, value in zip(self._model.inputs, snapshot.inputs, strict=True)
        }
        return {"at": iso(snapshot.at), "members": snapshot.members, "states": states, "inputs": inputs, "trusted": snapshot.trusted}

    def health(self) -> Mapping[str, Any]:
        return {"model": self._model.digest, "error": dict(self._model.error), **to_jsonable(self._snapshot().health)}

    async def what_if(self, writes: Mapping[str, float], by: str) -> Verdict:
        unknown = [tag for tag in writes if tag not in self._tags.by_name]
        if unknown:
            raise InputError(f"the plant file has no tag {', '.join(unknown)}")
        tags = [self._tags.by_name[tag] for tag in writes]
        now, source, target = self._clock.now(), AssetId(by), AssetId("twin")
        frame = digest("what-if", *(f"{tag}={value!r}" for tag, value in sorted(writes.items())))
        command = Command(
            id=command_id(now, source, target, frame),
            origin=Origin.API,
            seen=now,
            source=source,
            target=target,
            protocol="api",
            operation="what_if",
            writes=tuple(
                TagWrite(tag=tag.name, point=tag.name, raw=writes[tag.name], value=writes[tag.name], unit=tag.unit) for tag in tags
            ),
            frame=frame,
        )
        verdict = await self._court.judge(command)
        await self._records.kept(command, verdict)
        return verdict

    def snapshot(self) -> bytes:
        return self._snapshot().to_octets()

    def live(self) -> Mapping[str, Any]:
        snapshot = self._snapshot()
        tags = {
            one.tag: {key: value for key, value in to_jsonable(one).items() if key != "tag"} for one in estimates(self._model, snapshot)
        }
        health = to_jsonable(snapshot.health)
        return {"at": iso(snapshot.at), "members": snapshot.members, "trusted": snapshot.trusted, "health": health, "tags": tags}

    async def futures(self, wanted: Sequence[Wanted], horizon_s: float, members: int | None, tags: Sequence[str], bands: bool) -> Answer:
        """Nobody is judged and nothing is kept: this is a look ahead.  Raises TransientError while `MAX_ASKING` questions are worked at."""
        settings = tuple(self._setting(number, *one) for number, one in enumerate(wanted))
        question = Question(settings=settings, horizon_s=horizon_s, members=members, tags=tuple(tags))
        snapshot = self._snapshot()
        if self._asking >= MAX_ASKING:
            raise TransientError("another question is being worked at; ask again when it is answered")
        self._asking += 1
        try:
            answer = await asyncio.to_thread(ask, self._model, snapshot, question, OVER_THE_API)
        finally:
            self._asking -= 1
        return answer if bands else without_bands(answer)

    def _setting(self, number: int, tag: str, values: Sequence[float | str], at_s: float) -> Setting:
        try:
            known = writable(tag, self._model)
            numbers = tuple(value_of(value, known) if isinstance(value, str) else float(value) for value in values)
        except InputError as error:
            raise InputError(f"settings[{number}]: {error}") from error
        return Setting(tag=tag, values=numbers, at_s=at_s)

    def _snapshot(self) -> Snapshot:
        snapshot = self._newest.snapshot
        if snapshot is None:
            raise TransientError("the twin has no state yet: it waits for its first readings")
        return snapshot


class Planning:
    """A plan's commands are judged like any other; the verdicts stand beside the plan's commands in the records.

    Raises TransientError while `MAX_PLANNING` searches are under way: what is asked for meanwhile does not pile up.
    """

    def __init__(self, records: Records, court: Verifier | None, tags: TagMap, clock: Clock) -> None:
        self._records = records
        self._court = court
        self._tags = tags
        self._clock = clock
        self._searching = 0

    def kinds(self) -> Sequence[Spec]:
        return [planner.spec for planner in CATALOGUE.values()]

    async def plan(self, kind: str, problem: Mapping[str, Any], by: str) -> Plan:
        if self._searching >= MAX_PLANNING:
            raise TransientError("a plan is being made already; ask again when it is done")
        self._searching += 1
        try:
            plan = await asyncio.to_thread(self._solve, kind, problem, by)
        finally:
            self._searching -= 1
        if plan.commands:
            await self._records.kept(*plan.commands)
            if self._court is not None:
                verdicts = [await self._court.judge(command) for command in plan.commands]
                await self._records.kept(*verdicts)
                doubts = [verdict.reason for verdict in verdicts if verdict.judgement is not Judgement.SAFE]
                if doubts:
                    plan = dataclasses.replace(plan, reason="; ".join(filter(None, (plan.reason, *doubts))))
        return plan

    def _solve(self, kind: str, problem: Mapping[str, Any], by: str) -> Plan:
        setpoints = Setpoints(tags=self._tags, source=AssetId(by), target=AssetId("plant"), now=self._clock.now())
        return CATALOGUE[kind](setpoints=setpoints if self._tags.tags else None).plan(instances.from_document(dict(problem), "problem"))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
