"""`sentinel plant check FILE`: reads a plant file as the appliance would, compiles its twin, and says what came out.
`sentinel plant draw FILE`: the process as a picture (SVG or PNG), to standard output or into a file.
`sentinel plant import FILE.aasx --out FILE.yaml`: a plant file from an Asset Administration Shell: its tags, and the FMU that it brings.
`sentinel plant identify FILE --history DIRECTORY`: what a recording says about its uncertain parameters; `--out` writes them.  With
`--no-model` a twin of low trust from tags and a recording alone.

An FMU, or a plant file that names one, is tried.  The check of components prints states, tags and invariants, the integration
error of the declared step, and how long building and a rollout take.  Exit status 2 with "file:line" and what was expected when the file is
wrong; 1 when the nominal plant breaks its own envelope.

Identifying changes nothing by itself: a person reads the table, and whoever adopts the written file has a new model with a new digest.
Exit status 1, and nothing written, when the identified parameters do not follow better than the declared ones.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from sandbox.fmu.client import DEADLINE_S, futures_of
from sentinel import history
from sentinel.clock import Clock, SystemClock
from sentinel.commands.history import instant
from sentinel.drawing.raster import save
from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.progress import Patience
from sentinel.twin.amend import amend
from sentinel.twin.archive import read_package
from sentinel.twin.arx_fit import fit
from sentinel.twin.compiled import Modelled
from sentinel.twin.described import describe, told
from sentinel.twin.document import read_document
from sentinel.twin.draft import draft
from sentinel.twin.engine import Model, Rollout, compile_model, initial, rollout
from sentinel.twin.flowsheet import draw
from sentinel.twin.foreign import is_foreign, load_foreign
from sentinel.twin.identify import Identification, Identified, identify
from sentinel.twin.plant import Plant, load_plant
from sentinel.twin.question import duration_s
from sentinel.twin.recorded import readings_of_csv
from sentinel.twin.whatif import Ahead

SUMMARY = "check a plant file: units, wiring, envelope, accuracy and speed of its twin; draw it; identify its parameters"
_ROLLOUTS = 5  # the median is shown
_MAX_CSV_OCTETS = 1 << 28
_WRITTEN_FLOOR = 0.25  # of the declared spread: the twin's equations leave things out that no recording of its own kind shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="read a plant file and compile its twin")
    check.add_argument("file", type=Path, metavar="FILE", help="the plant file (YAML), or an FMU")
    check.add_argument("--members", type=int, default=256, metavar="N", help="members of the rollout (256)")
    check.add_argument("--horizon", type=float, default=600.0, metavar="S", help="plant time of the rollout (600)")
    drawn = actions.add_parser("draw", help="draw the process")
    drawn.add_argument("file", type=Path, metavar="FILE", help="the plant file (YAML)")
    drawn.add_argument("--out", type=Path, metavar="FILE.svg|png", help="where the picture goes (default: standard output, as SVG)")
    imported = actions.add_parser("import", help="draft a plant file from an Asset Administration Shell")
    imported.add_argument("file", type=Path, metavar="FILE", help="AASX package, or a shell as JSON or XML (version 3)")
    imported.add_argument("--out", type=Path, required=True, metavar="FILE.yaml", help="the plant file; an FMU goes beside it")
    identified = actions.add_parser("identify", help="fit the uncertain parameters to a recording")
    identified.add_argument("file", type=Path, metavar="FILE", help="the plant file (YAML)")
    recording = identified.add_mutually_exclusive_group(required=True)
    recording.add_argument("--history", type=Path, metavar="DIRECTORY", help="an appliance's history")
    recording.add_argument("--csv", type=Path, metavar="FILE.csv", help="time,tag,value as `sentinel history --format csv` prints")
    identified.add_argument("--from", dest="since", default="1h", metavar="TIME", help="of the history: a time, or 10m for ago (1h)")
    identified.add_argument("--to", dest="until", default="0s", metavar="TIME", help="likewise (now)")
    identified.add_argument("--stretch", default="15m", metavar="TIME", help="the twin runs freely for at most so long (15m)")
    identified.add_argument("--every", default="2s", metavar="TIME", help="readings of such a span are averaged (2s)")
    identified.add_argument(
        "--no-model", action="store_true", help="fit the tags alone: a twin of low trust, whatever components there are"
    )
    identified.add_argument("--tags", metavar="TAG,TAG", help="with --no-model: of which process values (all that were read)")
    identified.add_argument("--limit", default="15m", metavar="TIME", help="give up after that (15m)")
    identified.add_argument("--out", type=Path, metavar="FILE.yaml", help="the plant file with these parameters and nothing else changed")


def run(args: argparse.Namespace) -> int:
    if args.action == "identify":
        return _identify(args)
    if args.action == "import":
        return _import(args.file, args.out)
    if args.action == "draw":
        return _draw(args.file, args.out)
    return _check_foreign(args.file, args.members, args.horizon) if is_foreign(args.file) else _check(args)


def _draw(file: Path, out: Path | None) -> int:
    document = draw(load_plant(file))
    if out is None:
        print(document, end="")
    else:
        save(document, out)
    return 0


def _write(out: Path, content: str | bytes) -> None:
    try:
        out.write_bytes(content if isinstance(content, bytes) else content.encode())
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error


def _import(file: Path, out: Path) -> int:
    model = out.with_suffix(".fmu")
    found = draft(read_package(file), file.name, model.name)
    for target in (out, *([model] if found.fmu else ())):
        if target.exists():
            raise InputError(f"{target}: is there already; nothing is overwritten")
    if found.fmu:
        _write(model, found.fmu)
    _write(out, found.text)
    if found.fmu:
        load_foreign(out)  # refused here, with its line, rather than at the first question
    print(f"{out}: {found.points} tags" + (f", computed by {model.name}" if found.fmu else ", no model: components are to be added"))
    for line in found.left:
        print(f"to look at: {line}")
    return 0


def _identify(args: argparse.Namespace) -> int:
    if args.out is not None and args.out.exists():
        raise InputError(f"{args.out}: is there already; nothing is overwritten")
    if args.no_model:
        return _identify_alone(args)
    plant = load_plant(args.file)
    patience = Patience(duration_s(args.limit), SystemClock())
    try:
        found = identify(
            compile_model(plant), _recording(args, plant.tags.by_name), duration_s(args.every), duration_s(args.stretch), patience.pause
        )
    finally:
        patience.done()
    for line in (*_parameters(found), "", *_fits(found)):
        print(line)
    if not found.is_better:
        why = "they follow no better than the declared ones" if found.converged else f"the search did not end in {found.iterations} steps"
        print(f"nothing is to be adopted: {why}")
        return 1
    if args.out is not None:
        changes = {one.name: (one.value, max(one.spread, _WRITTEN_FLOOR * one.declared_spread)) for one in found.adoptable}
        _write(args.out, amend(plant, changes))
        kept = [one.name for one in found.parameters if one not in found.adoptable]
        print(f"{args.out}: {len(changes)} parameters changed; as declared: {', '.join(kept) or 'none'}")
    return 0


def _recording(args: argparse.Namespace, tags: Collection[str]) -> Readings:
    if args.csv is not None:
        try:
            if args.csv.stat().st_size > _MAX_CSV_OCTETS:
                raise InputError(f"{args.csv}: larger than {_MAX_CSV_OCTETS} octets")
            with args.csv.open(encoding="utf-8", newline="") as stream:
                return readings_of_csv(stream, str(args.csv))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{args.csv}: cannot be read: {error}") from error
    now = SystemClock().now()
    found = history.read(args.history, tags, instant(args.since, now), instant(args.until, now))
    for defect in found.defects:
        print(f"sentinel plant identify: passed over {defect}", file=sys.stderr)
    return found.readings


def _parameters(found: Identification) -> Iterable[str]:
    yield f"{found.samples} samples in {found.stretches} stretches; {found.iterations} steps of the search"
    yield ""
    width = max(len(one.name) for one in found.parameters)
    yield f"{'parameter':<{width}}  {'declared':>22}  {'identified':>22}  unit"
    for one in found.parameters:
        yield (
            f"{one.name:<{width}}  {one.declared:>11.5g} +- {one.declared_spread:<7.2g}  "
            f"{one.value:>11.5g} +- {one.spread:<7.2g}  {one.unit.name:<10}  {_remark(one)}"
        )


def _remark(one: Identified) -> str:
    left = f"{one.verdict}, {100 * one.left:.0f} % of its spread is left"
    return f"{left}; not to be told from {one.together}" if one.together else left


def _fits(found: Identification) -> Iterable[str]:
    over = "stretches that were held out" if found.is_held_out else "the stretches that were fitted: too few to hold one out"
    if found.left_out:
        yield f"left out, since no parameters within what is declared explain them with the others: {', '.join(found.left_out)}"
    yield f"distance of readings from the twin over {over}, in standard deviations"
    yield f"{'tag':<12}  {'declared':>9}  {'identified':>10}"
    for one in found.fits:
        yield f"{one.tag:<12}  {one.declared:9.3f}  {one.identified:10.3f}"


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


def _envelope(model: Modelled, outcome: Rollout) -> Iterable[str]:
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


# -- models of others


def _check_foreign(file: Path, members: int, horizon_s: float) -> int:
    """Run as a question would run it."""
    model, clock = load_foreign(file), SystemClock()
    for line in describe(model):
        print(line)
    begun = clock.monotonic_s()
    try:
        asked = Ahead(start=model.initial(members), schedules=[[]], horizon_s=horizon_s, record=(), record_every_s=model.step_s)
        (alone,) = futures_of(model, DEADLINE_S)(asked)
    except ValueError as error:
        raise InputError(str(error)) from error
    took_s = clock.monotonic_s() - begun
    for line in _envelope(model, alone):
        print(line)
    print(f"{members} members x {horizon_s:g} s in {1000 * took_s:.0f} ms, its process included; model {model.digest[:16]}")
    return 0 if alone.valid.all() and (alone.robustness[:, 0] >= 0.0).all() else 1


def _identify_alone(args: argparse.Namespace) -> int:
    """Without a model: the file names the tags."""
    document = read_document(args.file)
    names = [name for name, _ in document.map(None, ("tags",))["tags"].entries()]
    found = fit(document, _recording(args, names), args.tags.split(",") if args.tags else ())
    for line in told(found):
        print(line)
    if not found.is_better:
        print("nothing is to be adopted: the guess that nothing changes is as good")
        return 1
    if args.out is not None:
        _write(args.out, found.text)
        load_foreign(args.out)
        print(f"{args.out}: {len(found.tags)} tags, marked as of low trust")
    return 0
