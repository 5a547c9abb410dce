"""``sentinel describe``: what this appliance consists of, as the parts describe themselves."""

import argparse
import json

from sentinel.catalogue import capabilities
from sentinel.errors import InputError
from sentinel.model.codec import to_jsonable

SUMMARY = "list every protocol, detector, twin component, enforcer and planner with its options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", nargs="?", metavar="ROOM", help="only this room's parts: wire, detect, twin, respond or optimise")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    known = capabilities()
    if args.room is not None and args.room not in known:
        raise InputError(f"there is no room {args.room!r}; rooms are {', '.join(known)}")
    rooms = {room: specs for room, specs in known.items() if args.room in (None, room)}
    if args.json:
        print(json.dumps({room: [to_jsonable(spec) for spec in specs] for room, specs in rooms.items()}, indent=2))
        return 0
    for room, specs in rooms.items():
        print(room)
        for spec in specs:
            techniques = f"  [{', '.join(spec.attack)}]" if spec.attack else ""
            print(f"  {spec.name:<24} {spec.stability:<12} {spec.summary}{techniques}")
            for option, (default, doc) in spec.config.items():
                print(f"  {'':<24} {option} = {default!r}: {doc}")
    return 0
