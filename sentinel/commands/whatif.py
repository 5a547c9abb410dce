"""`sentinel whatif`: what would happen if these tags were set, a thousand futures at once, beside the futures in which nothing is done.

Starts from a snapshot of a running appliance (`GET /twin/snapshot`), else from the plant file's own start.  One combination of values is
told in full; a grid of them is told a row each.  Exit status 0 when every invariant is kept in every member of every future asked for,
1 when not, 2 when the question cannot be put, 3 when nothing breaks but the model is of low trust: then that is no proof.
"""

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sandbox.fmu.client import futures_of
from sentinel.drawing.raster import check_name, save
from sentinel.errors import InputError
from sentinel.model.codec import CodecError, to_jsonable
from sentinel.model.time import iso
from sentinel.twin.arx import Arx
from sentinel.twin.bands import draw
from sentinel.twin.engine import Model, Snapshot, compile_model, initial
from sentinel.twin.foreign import Foreign, is_foreign, load_foreign
from sentinel.twin.plant import load_plant
from sentinel.twin.question import AT_THE_DESK, Question, duration_s, read_setting
from sentinel.twin.snapshot import MAX_MEMBERS
from sentinel.twin.whatif import Answer, Future, Live, Outcome, Watching, ask, said_of

SUMMARY = "what would happen if these tags were set: bands, broken invariants, time to violation"
DEFAULT_MEMBERS = 1000
UNDECIDED = 3
_MAX_SNAPSHOT_OCTETS = 1 << 28
_NEVER = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plant", type=Path, required=True, metavar="FILE", help="the plant file (YAML), or an FMU")
    parser.add_argument("--snapshot", type=Path, metavar="FILE", help="where the plant is, from GET /twin/snapshot; else the file's start")
    parser.add_argument(
        "--set",
        action="append",
        required=True,
        dest="settings",
        metavar="TAG=VALUE[@TIME]",
        help="may be given several times; with a unit ('60 degC'), as a list (1.2,1.3) or range (1.0:1.6:7), coming later (@90s)",
    )
    parser.add_argument("--horizon", default="10m", metavar="TIME", help="how far to look: 90s, 10m, 2h (default: %(default)s)")
    parser.add_argument(
        "--members", type=int, metavar="N", help=f"futures per combination (default: {DEFAULT_MEMBERS}, or all of the snapshot)"
    )
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="whose band is shown; default: what the invariants watch")
    parser.add_argument("--patience", default="60s", metavar="TIME", help="an FMU that takes longer is ended (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="the answer as one JSON object, with the bands over time")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg|png", help="draw the bands")


def run(args: argparse.Namespace) -> int:
    if args.picture is not None:
        check_name(args.picture)
    model, live = _model(args)
    question = Question(
        settings=tuple(read_setting(text, model) for text in args.settings),
        horizon_s=duration_s(args.horizon),
        members=args.members,
        tags=tuple(args.tag),
    )
    answer = ask(model, _start(args, model), question, AT_THE_DESK, live)
    if args.picture is not None:
        save(draw(answer), args.picture)
    if args.json:
        print(json.dumps(to_jsonable(answer), sort_keys=True, ensure_ascii=False, allow_nan=False))
    else:
        for line in tell(answer):
            print(line)
    if not all(future.keeps_everything for future in answer.futures):
        return 1
    return UNDECIDED if answer.is_low_trust else 0


def _model(args: argparse.Namespace) -> tuple[Model | Foreign | Arx, Live | None]:
    """And who lives it ahead, where our engine does not."""
    if not is_foreign(args.plant):
        return compile_model(load_plant(args.plant)), None
    model = load_foreign(args.plant)
    return model, futures_of(model, duration_s(args.patience))


def _start(args: argparse.Namespace, model: Model | Foreign | Arx) -> Snapshot:
    if args.snapshot is None:
        members = DEFAULT_MEMBERS if args.members is None else args.members
        if not 1 <= members <= MAX_MEMBERS:
            raise InputError(f"members: {members}, expected 1 to {MAX_MEMBERS}")
        return model.initial(members) if isinstance(model, Foreign | Arx) else initial(model, members)
    try:
        with args.snapshot.open("rb") as file:
            octets = file.read(_MAX_SNAPSHOT_OCTETS + 1)
    except OSError as error:
        raise InputError(f"{args.snapshot}: cannot be read: {error.strerror}") from error
    if len(octets) > _MAX_SNAPSHOT_OCTETS:
        raise InputError(f"{args.snapshot}: more than {_MAX_SNAPSHOT_OCTETS} octets")
    try:
        return Snapshot.from_octets(octets)
    except CodecError as error:
        raise InputError(f"{args.snapshot}: {error}") from error


# -- for a person


def tell(answer: Answer) -> Iterable[str]:
    start = "from the plant file's own start" if answer.at == 0 else f"from {iso(answer.at)}, {answer.grade.value.replace('_', ' ')}"
    yield f"{answer.plant}: {_time(answer.horizon_s)} ahead, {answer.members} members, {start}"
    for caveat in answer.caveats:
        yield f"mind: {caveat}"
    yield ""
    yield from _one(answer, answer.futures[0]) if len(answer.futures) == 1 else _grid(answer)


def _one(answer: Answer, future: Future) -> Iterable[str]:
    yield f"IF   {said_of(future)}"
    yield f"THEN {_verdict(answer, future)}"
    yield ""
    rows = [("invariant", "limit", "broken", "if nothing", "10 % by", "half by", "margin", "5 % margin")]
    outcomes = list(zip(answer.invariants, future.outcomes, answer.nothing.outcomes, strict=True))
    outcomes.sort(key=lambda row: _badness(row[0], row[1]))
    for one, with_, without in outcomes:
        limit = f"{one.tag} {'<=' if one.is_upper else '>='} {one.limit:g} {one.unit}"
        rows.append(
            (
                one.name,
                limit,
                _share(with_),
                _share(without),
                _time_or_never(with_.early_s),
                _time_or_never(with_.median_s),
                _figure(with_.margin),
                _figure(with_.margin_low),
            )
        )
    yield from _table(rows, left=2)
    if future.bands:
        yield ""
        yield from _table(list(_ends(answer, future)), left=2)


def _ends(answer: Answer, future: Future) -> Iterable[tuple[str, ...]]:
    yield "tag", "unit", "at the end", "5 to 95 %", "if nothing", "5 to 95 %"
    for axis, band in zip(answer.axes, future.bands, strict=True):
        alone = next((other for other in answer.nothing.bands if other.tag == axis.tag), None)
        aside = (f"{alone.median[-1]:.4g}", f"{alone.low[-1]:.4g} to {alone.high[-1]:.4g}") if alone else ("", "")
        yield axis.tag, axis.unit, f"{band.median[-1]:.4g}", f"{band.low[-1]:.4g} to {band.high[-1]:.4g}", *aside


def _verdict(answer: Answer, future: Future) -> str:
    if not future.valid:
        return "no member stays within what is physically possible: the twin cannot say"
    lost = f"; {answer.members - future.valid} members leave what is physically possible" if future.valid < answer.members else ""
    if not future.broken:
        worst = max(one.broken_at_most for one in future.outcomes) if future.outcomes else 0.0
        if answer.is_low_trust:
            return f"undecided: no invariant breaks in {future.valid} members, which proves nothing with this model{lost}"
        return f"every invariant is kept in all {future.valid} members (each breaks in at most {100 * worst:.2g} %, 95 % confidence){lost}"
    broken = [one.name for one, outcome in zip(answer.invariants, future.outcomes, strict=True) if outcome.broken]
    anyway = f", {_percent(future.broken_anyway)} of all would without it" if future.broken_anyway else ", none would without it"
    return f"{', '.join(broken)} broken in {_percent(future.broken)} of members{anyway}{lost}"


def _grid(answer: Answer) -> Iterable[str]:
    """A row per combination; times and margin are those of its worst invariant."""
    rows: list[tuple[str, ...]] = [("if", "broken", "worst invariant", "10 % by", "half by", "margin", "5 % margin")]
    for future in (answer.nothing, *answer.futures):
        if not future.valid or not future.outcomes:
            rows.append((said_of(future), "?", "no valid member" if not future.valid else "none declared", *[_NEVER] * 4))
            continue
        one, outcome = min(zip(answer.invariants, future.outcomes, strict=True), key=lambda pair: _badness(*pair))
        margin = [f"{_figure(value)} {one.unit}" for value in (outcome.margin, outcome.margin_low)]
        times = [_time_or_never(outcome.early_s), _time_or_never(outcome.median_s)]
        rows.append((said_of(future), _percent(future.broken), one.name, *times, *margin))
    yield from _table(rows, left=1)


def _badness(one: Watching, outcome: Outcome) -> tuple[float, float, float]:
    """What sorts the worst first: how many break it, how soon, how near the others come; margins compare by the range of their tags."""
    soon = math.inf if outcome.early_s is None else outcome.early_s
    return -outcome.broken, soon, (outcome.margin_low or 0.0) / one.span


def _table(rows: Sequence[tuple[str, ...]], left: int) -> Iterable[str]:
    """Columns as wide as their widest cell; the first ``left`` ones are names, the others figures."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _share(outcome: Outcome) -> str:
    return "kept" if not outcome.broken else _percent(outcome.broken)


def _percent(share: float) -> str:
    """Never rounded to none or to all: one member of a thousand is not none."""
    if share in {0.0, 1.0}:
        return f"{100 * share:.0f} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def _figure(value: float | None) -> str:
    return _NEVER if value is None else f"{value:.3g}"


def _time_or_never(seconds: float | None) -> str:
    return _NEVER if seconds is None else _time(seconds)


def _time(seconds: float) -> str:
    if seconds < 120.0:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, rest = divmod(minutes, 60)
    return f"{hours} h" + (f" {rest} min" if rest else "")
