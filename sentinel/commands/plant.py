"""`sentinel plant check FILE`: reads a plant file as the appliance would, compiles its twin, and says what came out.
`sentinel plant draw FILE`: the process as a picture (SVG), to standard output or into a file.

The check prints components, states, tags and invariants, the integration error of the declared step, and how long building and a rollout
take.  Exit status 2 with "file:line" and what was expected when the file is wrong; 1 when the nominal plant breaks its own envelope.
"""

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sentinel.clock import Clock, SystemClock
from sentinel.errors import InputError
from sentinel.twin.engine import Model, Rollout, compile_model, initial, rollout
from sentinel.twin.flowsheet import draw
from sentinel.twin.plant import Plant, load_plant

SUMMARY = "check a plant file: units, wiring, envelope, accuracy and speed of its twin; or draw it"
_ROLLOUTS = 5  # the median is shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read a plant file and compile its twin")
    check.add_argument("file", type=Path, metavar="FILE", help="the plant file (YAML)")
    check.add_argument("--members", type=int, default=256, metavar="N", help="members of the rollout (256)")
    check.add_argument("--horizon", type=float, default=600.0, metavar="S", help="plant time of the rollout (600)")
    drawn = actions.add_parser("draw", help="draw the process")
    drawn.add_argument("file", type=Path, metavar="FILE", help="the plant file (YAML)")
    drawn.add_argument("--out", type=Path, metavar="FILE.svg", help="where the picture goes (default: standard output)")


def run(args: argparse.Namespace) -> int:
    return _draw(args.file, args.out) if args.action == "draw" else _check(args)


def _draw(file: Path, out: Path | None) -> int:
    picture = draw(load_plant(file))
    if out is None:
        print(picture, end="")
        return 0
    try:
        out.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    return 0


def _check(args: argparse.Namespace) -> int:
    clock = SystemClock()
    begun = clock.monotonic_s()
    plant = load_plant(args.file)
    model = compile_model(plant)
    built_s = clock.monotonic_s() - begun
    outcome, took_s = _measure(model, args.members, args.horizon, clock)
    for line in (*_describe(plant, model), *_envelope(model, outcome)):
        print(line)
    print(f"built in {built_s:.2f} s ({model.kernel.processor} code); ", end="")
    print(f"{args.members} members x {args.horizon:g} s in {1000 * took_s:.1f} ms; model {model.digest[:16]}")
    return 0 if outcome.valid.all() and (outcome.robustness[:, 0] >= 0.0).all() else 1


def _measure(model: Model, members: int, horizon_s: float, clock: Clock) -> tuple[Rollout, float]:
    try:
        start = initial(model, members)
        times = []
        for _ in range(_ROLLOUTS):
            begun = clock.monotonic_s()
            outcome = rollout(model, start, {}, horizon_s)
            times.append(clock.monotonic_s() - begun)
    except ValueError as error:
        raise InputError(str(error)) from error
    return outcome, sorted(times)[_ROLLOUTS // 2]


def _describe(plant: Plant, model: Model) -> Iterable[str]:
    yield f"{plant.title} ({plant.name})"
    yield ""
    yield f"components ({len(plant.parts)})"
    for part in plant.parts.values():
        ends = [f"{key} {name}" for key, name in {**part.wires, **part.signals}.items()]
        yield f"  {part.name:<8} {part.kind.name:<14} {', '.join(ends)}"
    yield f"controllers: {', '.join(c.name for c in plant.controllers) or 'none'}"
    yield f"interlocks:  {', '.join(i.name for i in plant.interlocks) or 'none'}"
    yield ""
    yield f"states ({len(plant.states)}), {len(plant.parameters)} uncertain parameters"
    start = initial(model, 1)
    for row, state in enumerate(plant.states):
        yield f"  {state.name:<20} {state.unit.from_si(start.states[0, row]):10.4g} {state.unit.name} at start"
    yield ""
    roles = Counter(str(tag.role) for tag in plant.tags.tags)
    yield f"tags ({len(plant.tags.tags)}): {', '.join(f'{count} {role}' for role, count in roles.items())}"
    unmodelled = sorted({t.name for t in plant.tags.tags if t.writable} - {one.tag for one in model.inputs})
    yield f"  writable but not modelled: {', '.join(unmodelled) or 'none'}"
    yield ""
    yield f"integration: {plant.method}, step {plant.step_s:g} s; largest difference to half the step over ten minutes of setpoint changes"
    for output in model.outputs:
        if output.tag in model.error:
            share = model.error[output.tag] / (output.high - output.low)
            yield f"  {output.tag:<12} {model.error[output.tag]:10.3g} {output.unit:<6} {100 * share:8.4f} % of span"


def _envelope(model: Model, outcome: Rollout) -> Iterable[str]:
    yield ""
    yield f"invariants ({len(model.invariants)}), with the plant left alone"
    for row, one in enumerate(model.invariants):
        sign = "<=" if one.is_upper else ">="
        unit = "starts" if one.counts else one.unit
        rule = f"{one.tag} {sign} {one.limit:g} {unit}"
        distances = outcome.robustness[row, outcome.valid]
        left = (
            "no valid member" if not len(distances) else f"nominal {outcome.robustness[row, 0]:.4g}, worst {np.min(distances):.4g} {unit}"
        )
        yield f"  {one.name:<18} {rule:<22} {one.severity:<9} distance: {left}"
    if not outcome.valid.all():
        yield f"  {int((~outcome.valid).sum())} of {len(outcome.valid)} members left the physical bounds"
    yield ""
