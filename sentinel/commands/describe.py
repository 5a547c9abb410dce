"""``sentinel describe``: what this appliance consists of, as the parts describe themselves."""

import argparse
import json

from sentinel.catalogue import capabilities
from sentinel.model.codec import to_jsonable

SUMMARY = "list every detector, enforcer, planner, protocol and twin component with its options"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("room", nargs="?", help="only this room's parts")
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def run(args: argparse.Namespace) -> int:
    rooms = {room: specs for room, specs in capabilities().items() if args.room in (None, room)}
    if args.json:
        print(json.dumps({room: [to_jsonable(spec) for spec in specs] for room, specs in rooms.items()}, indent=2))
        return 0
    for room, specs in rooms.items():
        print(f"{room}")
        for spec in specs:
            techniques = f"  [{', '.join(spec.attack)}]" if spec.attack else ""
            print(f"  {spec.name:<24} {spec.stability:<12} {spec.summary}{techniques}")
            for option, (default, doc) in spec.config.items():
                print(f"  {'':<24} {option} = {default!r}: {doc}")
    return 0
