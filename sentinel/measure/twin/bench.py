"""``sentinel bench twin [--json]``: how long the engine takes to live a component plant ahead, and what that is worth.

A plant of ``--states`` states (`plants`) is read, compiled and rolled out ``--rounds`` times: ``wall_ms`` is the median, ``best_ms`` the
best, ``build_s`` all from the text to the model with its error bound.  ``error`` is the engine's own step-halving error, the largest over
all tags, as a share of the tag's range.  ``member_hour_ms`` is one member for an hour, ``sync_ms`` the median of estimator updates of 256
members in each of which every measured tag was read.  What ends in ``cpu_ms`` is the processor's time in the same runs (of rollouts the
best, of updates the median): on a machine that others use it says what the code costs.  Then the same equations go through numpy,
numba, scipy and, as an FMU, through our own loop and FMPy's (`exported`), once, and their results are held against ours.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sentinel.clock import Clock, SystemClock
from sentinel.measure.twin.exported import fmu_rivals
from sentinel.measure.twin.following import updates_ms
from sentinel.measure.twin.plants import METHOD, STEP_S, plant_text
from sentinel.measure.twin.rivals import SOLVERS, Rival, numba_plain, numpy_batched, scipy_solver
from sentinel.twin.engine import Model, Snapshot, compile_model, initial, rollout
from sentinel.twin.ensemble import DEFAULT_MEMBERS
from sentinel.twin.plant import load_plant
from sentinel.twin.reader import METHODS

HOUR_S = 3600.0
UPDATES = 300


def measure(members: int, horizon_s: float, states: int, method: str, step_s: float, rounds: int, compares: bool) -> dict[str, Any]:
    """Raises ValueError on sizes that the engine refuses."""
    clock = SystemClock()
    text = plant_text(states, method, step_s)
    begun = clock.monotonic_s()
    model = compile_model(load_plant(text))
    built_s = clock.monotonic_s() - begun
    start = initial(model, members)
    writes = {one.tag: 1.4 for one in model.inputs if one.tag == "LIC011.SP"}
    took, worked = _times(lambda: rollout(model, start, writes, horizon_s), rounds, clock)
    one = initial(model, 1)
    hour, _ = _times(lambda: rollout(model, one, writes, HOUR_S), rounds, clock)
    updates, update_work = updates_ms(model, DEFAULT_MEMBERS, UPDATES, clock)
    spans = {output.tag: output.high - output.low for output in model.outputs}
    error, tag = max((error / spans[tag], tag) for tag, error in model.error.items())
    return {
        "members": members,
        "states": len(model.states),
        "horizon_s": horizon_s,
        "wall_ms": statistics.median(took),
        "best_ms": min(took),
        "cpu_ms": min(worked),
        "build_s": built_s,
        "error": error,
        "error_tag": tag,
        "member_hour_ms": statistics.median(hour),
        "sync_ms": statistics.median(updates),
        "sync_cpu_ms": statistics.median(update_work),
        "method": method,
        "step_s": step_s,
        "parameters": len(model.plant.parameters),
        "controllers": len(model.plant.controllers),
        "invariants": len(model.invariants),
        "measured": len(model.plant.sensors),
        "processor": model.kernel.processor,
        "compared": {name: asdict(rival) for name, rival in _compared(model, start, writes, horizon_s, clock).items()} if compares else {},
    }


def _times(run: Callable[[], object], rounds: int, clock: Clock) -> tuple[list[float], list[float]]:
    """Milliseconds, elapsed and of the processor alone; the first run fetches code and pages and does not count."""
    run()
    took, worked = [], []
    for _ in range(rounds):
        begun, idle = clock.monotonic_s(), time.thread_time()
        run()
        worked.append(1e3 * (time.thread_time() - idle))
        took.append(1e3 * (clock.monotonic_s() - begun))
    return took, worked


def _compared(model: Model, start: Snapshot, writes: dict[str, float], horizon_s: float, clock: Clock) -> dict[str, Rival]:
    ours = rollout(model, start, writes, horizon_s)
    rivals = {
        "numpy": numpy_batched(model, start, writes, ours, horizon_s, clock),
        "numba": numba_plain(model, start, writes, ours, horizon_s, clock),
    }
    rivals |= fmu_rivals(model, start, writes, ours, horizon_s, clock)
    return rivals | {f"scipy {solver}": scipy_solver(model, start, horizon_s, solver, clock, rollout) for solver in SOLVERS}


def _table(report: dict[str, Any]) -> str:
    compared = report["compared"]
    lines = [
        f"{name:16} {value:.4g}" if isinstance(value, float) else f"{name:16} {value}"
        for name, value in report.items()
        if name != "compared"
    ]
    if compared:
        lines += ["", f"{'':16} {'members':>8} {'ms':>10} {'ms/member':>10} {'build s':>8} {'difference':>10}"]
        ours = {"members": report["members"], "wall_ms": report["wall_ms"], "build_s": report["build_s"], "difference": 0.0}
        for name, one in {"sentinel": ours, **compared}.items():
            each = one["wall_ms"] / one["members"]
            lines.append(
                f"{name:16} {one['members']:8} {one['wall_ms']:10.2f} {each:10.4f} {one['build_s']:8.2f} {one['difference']:10.1e}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench twin", description="How long the twin takes to live a plant ahead.")
    parser.add_argument("--members", type=int, default=1000, help="futures at once (default: %(default)s)")
    parser.add_argument("--horizon", type=float, default=600.0, help="seconds of plant time (default: %(default)g)")
    parser.add_argument("--states", type=int, default=50, help="of the plant (default: %(default)s)")
    parser.add_argument("--method", choices=METHODS, default=METHOD, help="of integration (default: %(default)s)")
    parser.add_argument("--step", type=float, default=STEP_S, help="of integration, seconds (default: %(default)g)")
    parser.add_argument("--rounds", type=int, default=20, help="of each measurement (default: %(default)s)")
    parser.add_argument("--alone", action="store_true", help="without the comparisons")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    given = parser.parse_args(arguments)
    try:
        report = measure(given.members, given.horizon, given.states, given.method, given.step, given.rounds, not given.alone)
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(report) if given.json else _table(report))
    return 0
