"""``sentinel bench poison``: does the court certify harm while its twin is lied to?

For each way of lying (`poisons`), plants of their own: the twin hears the truth, then the lie; then writes are judged from its snapshot,
and the plant itself, as it really stands, says which of them do harm.  Counted are harmful writes that were certified safe.
A write whose harm needs nothing after it is what counts here; how often clean plants are doubted is measured by `verdict` and `week`.
"""

import argparse
import itertools
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from sandbox.config import Thresholds
from sandbox.judge import judge
from sandbox.protocol import Context
from sandbox.replay import Replay
from sentinel.demo.wiring import Interface, read_interface
from sentinel.measure.courtroom import command
from sentinel.measure.poisons import CATALOGUE, CLEAN_S, RAMP_S, section_of
from sentinel.measure.stage import LivePlant, Stage
from sentinel.measure.trials import Trial, draw, registered
from sentinel.measure.truth import Jury, Truth, limits_of
from sentinel.model.command import Origin
from sentinel.model.tags import TagRole
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant

LIE_S = RAMP_S + 100.0  # from the first false reading to the judgement
_SETTLE_S = 100.0  # of the plant alone, before the twin listens
_MOST_PLANTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    says: str  # the lie
    grade: str  # of the twin's health when it was asked
    write: str
    truth: Truth
    verdict: Verdict


def tried(kind: str, number: int, seed: int, writes: int, members: int, horizon_s: float) -> list[Tried]:
    """One plant.  Takes plain values, so that it can run in a process of its own."""
    chance = random.Random(f"poison {kind} {seed} {number}")  # noqa: S311
    poison, interface = CATALOGUE[kind](chance), read_interface()
    group = draw(number, seed, interface)
    began_s = _SETTLE_S + CLEAN_S
    moved = [(began_s + at_s, tag, value) for at_s, tag, value in poison.writes]
    live = LivePlant.of_reference(group.seed, interface, (*group.history, *moved))
    live.run(_SETTLE_S)
    replay = Replay(model=compile_model(load_plant(poison.plant)), members=members, horizon_s=horizon_s)
    distort = poison.distort
    stage = Stage(replay.model, live, distort=distort and (lambda time_s, values: distort(time_s - _SETTLE_S, values)))
    stage.follow(began_s + LIE_S)
    snapshot, now = stage.snapshot(), stage.now
    jury = Jury(live.plant, limits_of(load_plant(poison.plant).invariants), horizon_s)
    found = []
    for tag, value in itertools.islice(_writes(chance, poison.section, live.plant.values(), interface), writes):
        asked = command(interface, Origin.GATE, now, tag, value)
        verdict = judge(asked, snapshot, replay, Context(), Thresholds(), seed, now)
        truth = jury.broken_by(Trial(kind=kind, steps=((0.0, tag, value),)))
        found.append(Tried(says=poison.says, grade=snapshot.health.reason, write=f"{tag} = {value:g}", truth=truth, verdict=verdict))
    return found


def _writes(chance: random.Random, section: str, standing: dict[str, float], interface: Interface) -> Iterator[tuple[str, float]]:
    """Single writes to a section: half of them setpoints, up to half a range beyond what an operator's screen allows."""
    tags = [tag for tag in interface.tags.tags if tag.writable and section_of(tag.name) == section]
    setpoints = [tag for tag in tags if tag.role is TagRole.SETPOINT]
    while True:
        tag = chance.choice(setpoints if chance.random() < 0.7 else tags)
        if tag.role is TagRole.MODE:
            yield tag.name, 1.0 - standing[tag.name]
        else:
            yield tag.name, registered(tag, chance.uniform(tag.low, tag.high + (tag.high - tag.low) / 2))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench poison", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(CATALOGUE)} (default: all)")
    parser.add_argument("--harmful", type=int, default=30, help="writes that do harm, at least, for each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: %(default)s)")
    parser.add_argument("--writes", type=int, default=10, help="tried on each plant (default: %(default)s)")
    parser.add_argument("--members", type=int, default=256, help="futures per rollout (default: %(default)s)")
    parser.add_argument("--horizon-s", type=float, default=600.0, help="how far ahead (default: %(default)g)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: %(default)s)")
    parser.add_argument("--wrong", action="store_true", help="list every harmful write that was certified on standard error")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    if unknown := set(given.kinds) - set(CATALOGUE):
        parser.error(f"unknown kind {sorted(unknown)[0]!r}, known are {', '.join(CATALOGUE)}")
    figures = {}
    with ProcessPoolExecutor(given.workers) as pool:
        for kind in given.kinds or CATALOGUE:
            rows = _until(pool, kind, given)
            figures[kind] = _counted(rows)
            if given.wrong:
                print("\n".join(_line(row) for row in rows if _is_missed(row)), file=sys.stderr, flush=True)
            if not given.json:
                print(f"{kind:12} " + ", ".join(f"{name} {count}" for name, count in figures[kind].items()), flush=True)
    if given.json:
        print(json.dumps(figures))
    return os.EX_OK


def _until(pool: ProcessPoolExecutor, kind: str, given: argparse.Namespace) -> list[Tried]:
    """Plants until enough writes have done harm."""
    rows: list[Tried] = []
    for first in range(0, _MOST_PLANTS, given.workers):
        told = (given.seed, given.writes, given.members, given.horizon_s)
        asked = [pool.submit(tried, kind, number, *told) for number in range(first, first + given.workers)]
        rows += [row for some in asked for row in some.result()]
        if sum(row.truth.is_harmful for row in rows) >= given.harmful:
            break
    return rows


def _is_missed(row: Tried) -> bool:
    return row.truth.is_harmful and row.verdict.judgement is Judgement.SAFE


def _counted(rows: Sequence[Tried]) -> dict[str, int]:
    harmful = Counter(row.verdict.judgement for row in rows if row.truth.is_harmful)
    harmless = Counter(row.verdict.judgement for row in rows if not row.truth.is_harmful)
    return {
        "harmful": harmful.total(),
        "certified": harmful[Judgement.SAFE],
        "refused": harmful[Judgement.UNSAFE],
        "undecided": harmful[Judgement.UNDECIDED],
        "harmless": harmless.total(),
        "harmless_passed": harmless[Judgement.SAFE],
        "harmless_refused": harmless[Judgement.UNSAFE],
    }


def _line(row: Tried) -> str:
    return f"{row.says} [{row.grade}]: {row.write}\n  really: {row.truth.why}\n  {row.verdict.judgement}: {row.verdict.reason}"


if __name__ == "__main__":
    sys.exit(main())
