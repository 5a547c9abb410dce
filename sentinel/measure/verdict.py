"""``sentinel bench verdict``: how well and how fast the court judges, against what really happens in the reference plant's own physics.

A court in a process of its own, locked in, judges random single writes and sequences over its socket, from snapshots of a twin that has
followed a plant with parameters of its own (`trials`).  Then the same trials are lived through by the plant (`truth`).  A sequence counts
as unsafe when one of its writes is; the court hears of the ones before.  Times are end to end over the socket.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sandbox.client import CourtClient
from sentinel.clock import Clock, SystemClock
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.measure import eastman
from sentinel.measure.courtroom import Court, command, forward, in_session, timed
from sentinel.measure.scores import score
from sentinel.measure.stage import LivePlant, Stage, Write
from sentinel.measure.trials import LISTEN_S, SETTLE_S, TRIALS_PER_PLANT, Group, Trial, draw
from sentinel.measure.truth import Limit, Truth, counts_of, limits_of, truths
from sentinel.model.command import Origin
from sentinel.model.verdict import GRAVITY, Judgement, Verdict
from sentinel.twin.compiled import Model
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """Which plant is tried."""

    plant: Path
    live: Callable[[int, Interface, Sequence[Write]], LivePlant[Any]]
    draw: Callable[[int, int, Interface], Group]
    truths: Callable[[Group, tuple[Limit, ...], float], tuple[Truth, ...]]
    settle_s: float
    listen_s: float
    horizon_s: float
    case_limit_s: float


VENUES = {
    "reference": Venue(
        plant=PLANT_FILE,
        live=LivePlant.of_reference,
        draw=draw,
        truths=truths,
        settle_s=SETTLE_S,
        listen_s=LISTEN_S,
        horizon_s=600.0,
        case_limit_s=1.0,
    ),
    "tep": Venue(
        plant=eastman.PLANT,
        live=eastman.live,
        draw=eastman.draw,
        truths=eastman.truths,
        settle_s=eastman.SETTLE_S,
        listen_s=eastman.LISTEN_S,
        horizon_s=1200.0,
        case_limit_s=5.0,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    kind: str
    verdict: Verdict
    took_ms: tuple[float, ...]  # of each decision


@dataclass(frozen=True, slots=True)
class _Hearing:
    """Judges trials.  A plant is followed once, and each sequence goes on from there in a life of its own, before a client of its own."""

    venue: Venue
    model: Model
    interface: Interface
    court: Court
    clock: Clock

    async def try_group(self, group: Group) -> list[Tried]:
        stage = self._stage(group)
        async with self.court.client() as client:
            client.keep(stage.snapshot())
            tried = [await self._single(client, stage, trial) for trial in group.trials if len(trial.steps) == 1]
        for trial in group.trials:
            if len(trial.steps) > 1:
                async with self.court.client() as client:
                    tried.append(await self._sequence(client, stage.fork(), trial))
        return tried

    def _stage(self, group: Group) -> Stage:
        live = self.venue.live(group.seed, self.interface, group.history)
        live.run(self.venue.settle_s - self.venue.listen_s)
        stage = Stage(self.model, live)
        stage.follow(self.venue.settle_s)
        return stage

    async def _single(self, client: CourtClient, stage: Stage, trial: Trial) -> Tried:
        _, tag, value = trial.steps[0]
        verdict, took_ms = await timed(client, self.clock, command(self.interface, Origin.API, stage.now, tag, value))
        return Tried(kind=trial.kind, verdict=verdict, took_ms=(took_ms,))

    async def _sequence(self, client: CourtClient, stage: Stage, trial: Trial) -> Tried:
        """Until the court refuses one; what it does not refuse reaches the plant."""
        times: list[float] = []
        worst: Verdict | None = None
        for at_s, tag, value in trial.steps:
            stage.follow(self.venue.settle_s + at_s)
            client.keep(stage.snapshot())
            asked = command(self.interface, Origin.GATE, stage.now, tag, value)
            verdict, took_ms = await timed(client, self.clock, asked)
            times.append(took_ms)
            if worst is None or GRAVITY[verdict.judgement] >= GRAVITY[worst.judgement]:
                worst = verdict
            if verdict.judgement is Judgement.UNSAFE:
                break
            forward(client, stage, asked, verdict, took_ms)
        assert worst is not None
        return Tried(kind=trial.kind, verdict=worst, took_ms=tuple(times))


async def judged(groups: Sequence[Group], model: Model, venue: Venue, members: int, horizon_s: float, tell: Tell) -> list[list[Tried]]:
    clock = SystemClock()
    async with in_session(venue.plant, members, horizon_s, clock, venue.case_limit_s) as court:
        hearing = _Hearing(venue, model, read_interface(venue.plant), court, clock)
        tried = []
        for group in groups:
            tried.append(await hearing.try_group(group))
            tell(f"judged {len(tried)} of {len(groups)} plants")
        return tried


def lived(groups: Sequence[Group], model: Model, venue: Venue, horizon_s: float, workers: int, tell: Tell) -> list[tuple[Truth, ...]]:
    limits = (*limits_of(model.plant.invariants), *counts_of(model.plant.invariants))
    found: list[tuple[Truth, ...]] = []
    with ProcessPoolExecutor(workers) as pool:
        for truth in pool.map(venue.truths, groups, [limits] * len(groups), [horizon_s] * len(groups)):
            found.append(truth)
            tell(f"lived through {len(found)} of {len(groups)} plants")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench verdict", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=200, help="rounded up to whole plants of ten (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--plant", choices=VENUES, default="reference", help="which is tried (default: %(default)s)")
    parser.add_argument("--members", type=int, default=256, help="futures per rollout (default: %(default)s)")
    parser.add_argument("--horizon-s", type=float, help="how far ahead (default: the plant's own, 600 or 1200)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that live the plants (default: %(default)s)")
    parser.add_argument("--wrong", action="store_true", help="list every verdict that was not right on standard error")
    parser.add_argument("--each", type=Path, metavar="FILE", help="write a JSON line of every trial: what came of it, what the court said")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    venue = VENUES[given.plant]
    horizon_s = venue.horizon_s if given.horizon_s is None else given.horizon_s
    model, interface = compile_model(load_plant(venue.plant)), read_interface(venue.plant)
    groups = [venue.draw(number, given.seed, interface) for number in range(-(-given.trials // TRIALS_PER_PLANT))]
    tried = asyncio.run(judged(groups, model, venue, given.members, horizon_s, _tell))
    real = lived(groups, model, venue, horizon_s, given.workers, _tell)
    rows = [row for group, some, truth in zip(groups, tried, real, strict=True) for row in zip(group.trials, some, truth, strict=True)]
    if given.each:
        seeds = [group.seed for group in groups for _ in group.trials]
        given.each.write_text("".join(f"{json.dumps(_told(*row) | {'plant': seed})}\n" for seed, row in zip(seeds, rows, strict=True)))
    if given.wrong:
        print("\n".join(_wrong(*row) for row in rows if not _is_right(*row[1:])), file=sys.stderr)
    result = _figures(rows)
    if given.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:18} {_shown(value)}" for name, value in result.items()))
    return os.EX_OK


Row = tuple[Trial, Tried, Truth]


def _shown(value: float | tuple[float, float] | None) -> str:
    if isinstance(value, tuple):
        return f"{value[0]:10.4f} to {value[1]:.4f}"
    return "         -" if value is None else f"{value:10.4f}"


def _figures(rows: Sequence[Row]) -> dict[str, float | tuple[float, float] | None]:
    scores = score([row[1].verdict for row in rows], [row[2] for row in rows], [len(row[0].steps) == 1 for row in rows])
    times = [took for row in rows for took in row[1].took_ms]
    p50, p99 = np.percentile(times, (50, 99))
    return {**asdict(scores), "decision_ms_p50": float(p50), "decision_ms_p99": float(p99), "trials": len(rows), "decisions": len(times)}


def _is_right(tried: Tried, truth: Truth) -> bool:
    return tried.verdict.judgement is (Judgement.UNSAFE if truth.is_harmful else Judgement.SAFE)


def _wrong(trial: Trial, tried: Tried, truth: Truth) -> str:
    steps = ", ".join(f"{tag} = {value:g} at {at_s:.0f} s" for at_s, tag, value in trial.steps)
    return f"{trial.kind}: {steps}\n  really: {truth.why or 'harmless'}\n  {tried.verdict.judgement}: {tried.verdict.reason}"


def _told(trial: Trial, tried: Tried, truth: Truth) -> dict[str, Any]:
    verdict = tried.verdict
    return {
        "kind": trial.kind,
        "steps": trial.steps,
        "is_right": _is_right(tried, truth),
        "really": truth.why,
        "really_s": truth.time_s,
        "judgement": verdict.judgement,
        "reason": verdict.reason,
        "invariant": verdict.invariant,
        "time_to_violation_s": verdict.time_to_violation_s,
        "took_ms": tried.took_ms,
    }


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}    ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
