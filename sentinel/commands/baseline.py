"""``sentinel baseline``: what judges, by whom and since when, what is learnt beside it, and how far the two have drifted apart.

Reads the files of the appliance, which may run meanwhile, and checks their seals; what was learnt last is as old as its checkpoint.
Changes nothing.  Exit status 1 when a seal does not hold.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel import settings as configuration
from sentinel.access.authority import ROOT
from sentinel.brain.anchors import ANCHOR, CANDIDATE, CHECKPOINT, Kept, look
from sentinel.brain.learning import account
from sentinel.candidate import Candidate
from sentinel.detect.catalogue import detectors
from sentinel.errors import InputError
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant, iso
from sentinel.places import Places

SUMMARY = "show what judges, what is learnt beside it, and the drift between the two"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("sentinel.toml"), help="settings file (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one object instead of text")


def run(args: argparse.Namespace) -> int:
    settings = configuration.read(args.config)
    places = Places.of(settings, args.config)
    trusted = places.authority / ROOT
    if not trusted.exists():
        raise InputError(f"{trusted}: there is no such authority; was the appliance ever started with these settings?")
    refused: list[str] = []

    def kept(name: str) -> Kept | None:
        try:
            return look(places.directory / name, trusted.read_bytes())
        except InputError as error:
            refused.append(str(error))
            return None

    anchor, offered, checkpoint = kept(ANCHOR), kept(CANDIDATE), kept(CHECKPOINT)
    candidate = None
    if anchor is not None:
        tags = _tags(places) if settings.appliance.plant else None
        candidate = Candidate(anchor[0], lambda: detectors(tags))
        if checkpoint is not None:
            candidate.resume(checkpoint[0].detectors)
    state = "active" if anchor is not None else "learning"
    shown = account(state, anchor[1] if anchor else None, candidate, offered[1] if offered else None, refused)
    if anchor is not None:
        shown["anchor"] |= {name: getattr(anchor[0], name) for name in ("windows", "learnt_from", "learnt_until")}
    shown["checkpoint"] = checkpoint[1].at if checkpoint is not None else None
    if checkpoint is not None and anchor is None:
        shown["learning"] = {"windows": checkpoint[0].windows, "elapsed_s": checkpoint[0].notes.get("elapsed_s")}
    sys.stdout.write(json.dumps(shown, indent=2, allow_nan=False) + "\n" if args.json else "\n".join(as_text(shown)) + "\n")
    return 1 if refused else 0


def _tags(places: Places) -> TagMap:
    from sentinel.twin.plant import load_plant

    return load_plant(places.plant).tags


def as_text(shown: Mapping[str, Any]) -> list[str]:
    lines = [f"refused: {reason}" for reason in shown["refused"]]
    anchor, candidate, offered = shown["anchor"], shown["candidate"], shown["offered"]
    if anchor is None:
        learning = shown.get("learning")
        return [*lines, f"learning: {learning['windows']} windows so far" if learning else "learning: nothing is kept yet"]
    lines.append(f"judging: {anchor['digest'][:12]}, by {anchor['by']}, since {_when(anchor['at'])}")
    lines.append(f"         {anchor['windows']} windows, {_when(anchor['learnt_from'])} to {_when(anchor['learnt_until'])}")
    if candidate is None or not candidate["windows"]:
        lines.append("beside it: nothing is learnt yet")
    else:
        lines.append(
            f"beside it: {candidate['windows']} windows, {_when(candidate['learnt_from'])} to {_when(candidate['learnt_until'])}; "
            f"{candidate['withheld']} were not learnt"
        )
        lines.append(f"apart:   {candidate['apart']:.2f} deviations at most; {len(candidate['drift'])} tags drifted")
        for one in candidate["drift"]:
            off = f"{one['level']:.4g} instead of {one['anchor']:.4g}, {one['deviations']:+.1f} deviations"
            lines.append(f"  {one['tag']}: {off}, since {_when(one['since'])}")
        lines.append(f"new:     {len(candidate['added'])} things became usual")
        lines += [f"  {one['what']}, since {_when(one['since'])}" for one in candidate["added"]]
    if offered is not None:
        lines.append(
            f"waiting: {offered['digest'][:12]}, put forward by {offered['by']} at {_when(offered['at'])}, action {offered['action']}"
        )
    return lines


def _when(instant: int) -> str:
    return iso(Instant(instant))
