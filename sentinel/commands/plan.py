"""`sentinel plan scheduling FILE`: plans a shop, prints the plan, draws it."""

import argparse
import gzip
import os
import sys
import zlib
from pathlib import Path
from typing import Any

from sentinel.errors import InputError
from sentinel.model.codec import to_jsonable
from sentinel.model.plan import Plan

SUMMARY = "plan a job shop: schedule, objective, bound and gap"
_MAX_OCTETS = 8 * 1024 * 1024
_STATUS = {"optimal": 0, "feasible": 0, "infeasible": 1, "unknown": 1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    scheduling = kinds.add_parser("scheduling", help="a flexible job shop with due dates")
    scheduling.add_argument(
        "file", type=Path, metavar="FILE", help="YAML, JSON, or a standard job-shop or flexible-job-shop instance (.gz too)"
    )
    scheduling.add_argument(
        "--time-limit",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="the search ends after this with the best plan found (default: %(default)g)",
    )
    scheduling.add_argument(
        "--workers", type=int, default=0, metavar="N", help="parallel searches; 1 = equal plans for equal files (default: one per core)"
    )
    scheduling.add_argument("--seed", type=int, default=0, metavar="N", help="of the search (default: %(default)s)")
    scheduling.add_argument("--plant", type=Path, metavar="PLANT", help="plant file: the setpoints that operations write become commands")
    scheduling.add_argument("--json", action="store_true", help="the plan as one JSON object")
    scheduling.add_argument("--svg", type=Path, metavar="FILE", help="write a Gantt picture")


def run(args: argparse.Namespace) -> int:
    """0 with a plan, 1 when there is none; raises InputError or ConfigError for what is wrong with the files."""
    from sentinel.optimise.gantt import draw
    from sentinel.optimise.instances import read
    from sentinel.optimise.scheduling import MAX_WORKERS, SchedulingPlanner, Search

    shop = read(_text(args.file), args.file.name)
    search = Search(time_limit_s=args.time_limit, workers=args.workers or min(MAX_WORKERS, os.cpu_count() or 1), seed=args.seed)
    plan = SchedulingPlanner(search, _setpoints(args.plant) if args.plant else None).plan(shop)
    if args.svg and plan.decisions:
        _write(args.svg, draw(shop, plan))
    if args.json:
        import json

        print(json.dumps(to_jsonable(plan), sort_keys=True, ensure_ascii=False))
    else:
        _tell(plan)
    return _STATUS[plan.status]


def _setpoints(path: Path) -> Any:
    from sentinel.clock import SystemClock
    from sentinel.model.ids import AssetId
    from sentinel.optimise.setpoints import Setpoints
    from sentinel.twin.plant import load_plant

    return Setpoints(tags=load_plant(path).tags, source=AssetId("planner"), target=AssetId("plant"), now=SystemClock().now())


def _text(path: Path) -> str:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as source:
            octets = source.read(_MAX_OCTETS + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(octets) > _MAX_OCTETS:
        raise InputError(f"{path}: more than {_MAX_OCTETS} octets")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file: {error}") from error


def _write(path: Path, picture: str) -> None:
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    print(f"picture: {path}", file=sys.stderr)


def _tell(plan: Plan) -> None:
    if plan.objective is None:
        print(f"{plan.status}: {plan.reason}")
        return
    unit = "" if plan.unit == "1" else f" {plan.unit}"
    print(f"{plan.status}: objective {plan.objective:g}{unit}, bound {plan.bound:g}, gap {plan.gap:.2%}, {plan.solve_s:.2f} s")
    print(plan.reason)
    widest = max(len(row["machine"]) for row in plan.decisions)
    print(f"{'start':>8} {'end':>8}  {'machine':<{widest}}  job / operation")
    for row in plan.decisions:
        writes = "".join(f"  {tag} = {value:g}" for tag, value in row.get("writes", {}).items())
        print(f"{row['start']:>8} {row['end']:>8}  {row['machine']:<{widest}}  {row['job']} / {row['operation']}{writes}")
    for command in plan.commands:
        sets = ", ".join(f"{write.tag} = {write.value:g} {write.unit}" for write in command.writes)
        print(f"needs {command.operation}: {sets} (not judged here; the court judges it when the plan is asked for by the API)")
