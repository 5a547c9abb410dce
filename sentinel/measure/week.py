"""``sentinel bench week``: does the court let a plant's people work?  A simulated week of routine, every write of it held and judged.

The plant lives the whole week, with its own physics, compiled; the twin listens, at the appliance's pace, from `LISTEN_S` before people do
something until they are done.  A write that the court refuses does not reach the plant; whether it was rightly refused is asked of the
plant itself: left alone with the write for the court's horizon, does it leave its envelope?
"""

import argparse
import asyncio
import copy
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sandbox.client import CourtClient
from sentinel.clock import Clock, SystemClock
from sentinel.demo.leap import leap
from sentinel.demo.physics import STEP_S
from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.week import DAY_S, Doing, week
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.measure.courtroom import command, forward, in_session, timed
from sentinel.measure.stage import POLL_S, LivePlant, Stage
from sentinel.measure.truth import Limit, limits_of
from sentinel.model.command import Origin
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.compiled import Model
from sentinel.twin.engine import compile_model
from sentinel.twin.learnt import Learnt
from sentinel.twin.plant import load_plant

LISTEN_S = 90.0


@dataclass(slots=True)
class Week:
    """What became of the writes."""

    writes: int = 0
    refused_rightly: int = 0
    refused_wrongly: int = 0
    undecided: int = 0
    times_ms: list[float] = field(default_factory=list)

    def says(self) -> str:
        wrongly, rightly = self.refused_wrongly, self.refused_rightly
        return f"{self.writes} writes, refused {wrongly} wrongly and {rightly} rightly, {self.undecided} undecided"


class Watch(Stage):
    """Keeps the appliance's pace: the twin moves with each poll, and to the moment of each write; between two polls the plant is alone."""

    def follow(self, until_s: float) -> None:
        plant = self.live.plant
        while plant.time_s < until_s:
            due_s = max(self._polled_s + POLL_S - STEP_S / 2, plant.time_s + STEP_S / 2)
            leap(plant, min(due_s, until_s))
            if plant.time_s >= due_s:
                self._polled_s = plant.time_s
                self.sync.observe(self._readings(), self.now)
            else:
                self.sync.advance(self.now)


@dataclass(slots=True)
class _Diary:
    model: Model
    interface: Interface
    limits: tuple[Limit, ...]
    client: CourtClient
    clock: Clock
    horizon_s: float
    lists_wrong: bool  # at once, on standard error
    found: Week = field(default_factory=Week)

    async def live(self, seed: int, doings: Sequence[Doing]) -> Week:
        live = LivePlant.of_reference(seed, self.interface)
        learnt: Learnt | None = None
        for number, doing in enumerate(doings):
            leap(live.plant, doing.at_s - LISTEN_S)
            watch = Watch(self.model, live, learnt=learnt)
            await self._do(doing, watch)
            learnt = watch.sync.learnt  # between two doings the appliance's twin goes on following; this one only keeps what it knew
            _tell(f"{number + 1} of {len(doings)}, day {doing.at_s / DAY_S:.1f}: {doing.says}")
            if self.lists_wrong and (number + 1 == len(doings) or doings[number + 1].at_s // DAY_S > doing.at_s // DAY_S):
                print(f"day {doing.at_s // DAY_S + 1:.0f} has ended: {self.found.says()}", file=sys.stderr, flush=True)
        return self.found

    async def _do(self, doing: Doing, stage: Stage) -> None:
        for after_s, tag, value in doing.writes:
            stage.follow(doing.at_s + after_s)
            if doing.overhauls and after_s == doing.writes[-1][0]:
                stage.live.plant.physics.overhaul()
            self.client.keep(stage.snapshot())
            asked = command(self.interface, Origin.GATE, stage.now, tag, value)
            verdict, took_ms = await timed(self.client, self.clock, asked)
            self.found.writes += 1
            self.found.times_ms.append(took_ms)
            if verdict.judgement is Judgement.UNSAFE:
                self._refused(doing, stage, tag, value, verdict)
            else:
                if verdict.judgement is Judgement.UNDECIDED:
                    self.found.undecided += 1
                    self._wrong(doing, tag, value, verdict)
                forward(self.client, stage, asked, verdict, took_ms)

    def _refused(self, doing: Doing, stage: Stage, tag: str, value: float, verdict: Verdict) -> None:
        if self._leaves_its_envelope(stage.live.plant, tag, value):
            self.found.refused_rightly += 1
        else:
            self.found.refused_wrongly += 1
            self._wrong(doing, tag, value, verdict)

    def _wrong(self, doing: Doing, tag: str, value: float, verdict: Verdict) -> None:
        """A person was kept from it, or left in doubt about it, without need."""
        if self.lists_wrong:
            line = f"day {doing.at_s / DAY_S:.2f}, {doing.says}: {tag} = {value:g}\n  {verdict.judgement}: {verdict.reason}"
            print(line, file=sys.stderr, flush=True)

    def _leaves_its_envelope(self, plant: ReferencePlant, tag: str, value: float) -> bool:
        tried = copy.deepcopy(plant)
        tried.registers.put(tag, value)
        until_s = tried.time_s + self.horizon_s
        while tried.time_s < until_s:
            tried.step()
            if any((tried.truth[one.tag] > one.limit) == one.is_upper for one in self.limits) or len(tried.outcomes) > len(plant.outcomes):
                return True
        return False


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<100}", end="", file=sys.stderr, flush=True)


async def _measure(days: int, seed: int, members: int, horizon_s: float, lists_wrong: bool) -> Week:
    clock, plant = SystemClock(), load_plant(PLANT_FILE)
    async with in_session(PLANT_FILE, members, horizon_s, clock) as court, court.client() as client:
        diary = _Diary(compile_model(plant), read_interface(), limits_of(plant.invariants), client, clock, horizon_s, lists_wrong)
        return await diary.live(seed, week(seed, days))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench week", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--days", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the plant and of what its people do (default: %(default)s)")
    parser.add_argument("--members", type=int, default=256, help="futures per rollout (default: %(default)s)")
    parser.add_argument("--horizon-s", type=float, default=600.0, help="how far ahead (default: %(default)g)")
    parser.add_argument(
        "--wrong", action="store_true", help="list on standard error what is refused wrongly or left undecided, and each day"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    found = asyncio.run(_measure(given.days, given.seed, given.members, given.horizon_s, given.wrong))
    p50, p99 = np.percentile(found.times_ms, (50, 99))
    result = {
        "days": given.days,
        "writes": found.writes,
        "refused_wrongly": found.refused_wrongly,
        "refused_rightly": found.refused_rightly,
        "undecided": round(found.undecided / found.writes, 4),
        "decision_ms_p50": round(float(p50), 3),
        "decision_ms_p99": round(float(p99), 3),
    }
    print(json.dumps(result) if given.json else "\n".join(f"{name:16} {value:10}" for name, value in result.items()))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
