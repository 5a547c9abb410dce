"""``sentinel inventory``: who is in a capture, what each seems to be and on which ISA-95 level, who talks to whom, what stays unread.

Passive: nothing is asked on any network.  What an asset is, is suggested from what it does, with the reason; vendor, product and
firmware are what the device says of itself (Modbus 43/14, OPC UA sessions and BuildInfo, EtherNet/IP and BACnet answers).
"""

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from collectors.capture.replay import replay
from collectors.wire import CATALOGUE
from sentinel.baseline.inventory import with_stations
from sentinel.baseline.lines import CARRIERS, Line, lines
from sentinel.baseline.picture import draw_network
from sentinel.drawing.raster import check_name, save
from sentinel.model.asset import Asset, Conduit
from sentinel.model.codec import to_jsonable
from sentinel.model.observation import Counters
from sentinel.model.time import iso
from sentinel.pipeline import Analysis
from sentinel.progress import Meter

SUMMARY = "list the assets and conduits of a capture, and what of it stays unread"
_DECODED = frozenset(wire.spec.name for wire in CATALOGUE if wire.decoded)
_RECOGNISED = frozenset(wire.spec.name for wire in CATALOGUE)
_OPERATIONS_SHOWN = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pcap or pcapng file")
    parser.add_argument("--json", action="store_true", help="one object: assets, conduits, coverage")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg|png", help="also draw it there: levels, assets, conduits, blind spots")


def run(args: argparse.Namespace) -> int:
    if args.picture is not None:
        check_name(args.picture)
    meter, counters = Meter(f"reading {args.file.name}"), Counters()
    analysis = Analysis(judging_only=True, detectors=())
    for heard in replay(args.file, defects=meter.defects):
        analysis.heard(heard)
        meter.reached(heard)
        counters = heard.counters
    analysis.flush()
    meter.done()
    conduits = sorted(analysis.conduits, key=lambda one: (one.client, one.server, one.protocol, one.port))
    assets = sorted(with_stations(analysis.assets, conduits), key=lambda one: (one.level is None, one.level, one.id))
    covered = coverage(conduits, counters)
    if args.picture is not None:
        save(draw_network(assets, conduits, f"Network of {args.file.name}"), args.picture)
    if args.json:
        shown = {"assets": [_shown(one) for one in assets], "conduits": [_shown(one) for one in conduits], "coverage": covered}
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    else:
        sys.stdout.write("\n".join(as_text(assets, conduits, covered)) + "\n")
    for defect in meter.defects:
        print(f"{args.file}: {defect}", file=sys.stderr)
    return 0


def coverage(conduits: Iterable[Conduit], counters: Counters) -> dict[str, int]:
    """Packets by how far they were understood, messages by whether they could be read; ``refused`` packets belong to no conduit.  What a
    ``carrying`` one carries is counted as a packet of its own, in the conduit of its own addresses, unless it was ``unopened``."""
    shares = dict.fromkeys(("packets", "decoded", "recognised", "carrying", "unknown", "messages", "unread", "refused", "dropped"), 0)
    for conduit in conduits:
        share = "decoded" if conduit.protocol in _DECODED else "recognised" if conduit.protocol in _RECOGNISED else "unknown"
        if (conduit.protocol, conduit.port) in CARRIERS:
            share = "carrying"
        shares[share] += conduit.packets
        shares["packets"] += conduit.packets
        shares["messages"] += conduit.messages
        shares["unread"] += conduit.unread
    return shares | {"refused": counters.refused, "dropped": counters.dropped, "repeated": counters.repeated, "unopened": counters.unopened}


def as_text(assets: Sequence[Asset], conduits: Sequence[Conduit], covered: dict[str, int]) -> list[str]:
    told = [f"{len(assets)} assets"]
    told += _table(
        ("level", "kind", "address", "hardware", "protocols", "says it is", "first seen", "last seen", "because"),
        [_asset_row(one) for one in assets],
    )
    listed = lines(conduits)
    told += ["", f"{len(listed)} conduits"]
    told += _table(
        ("client", "server", "protocol", "port", "packets", "messages", "blind spots", "operations"), [_conduit_row(one) for one in listed]
    )
    opened = max(0, covered["carrying"] - covered["unopened"])  # understood as far as what they carry is
    read = covered["packets"] - opened
    whole = max(1, read)
    decoded, recognised, unknown = (f"{100 * covered[share] / whole:.1f} %" for share in ("decoded", "recognised", "unknown"))
    told += [
        "",
        f"of {read} packets {decoded} are in decoded protocols, {recognised} in recognised ones, {unknown} in others",
        f"of {covered['messages']} messages {covered['unread']} could not be read;"
        f" {covered['refused']} packets were not understood, {covered['dropped']} dropped",
        f"{covered['repeated']} packets were heard a second time",
    ]
    if covered["carrying"]:
        told.append(f"{covered['carrying']} packets carry others, of which those of {opened} count in their own conduits")
    return told


def _asset_row(asset: Asset) -> tuple[str, ...]:
    said = asset.identity
    identity = " ".join(part for part in (said.vendor, said.product, said.firmware) if part) if said else ""
    level = "" if asset.level is None else str(asset.level)
    times = (f"{iso(instant)[:19]}Z" for instant in (asset.first_seen, asset.last_seen))
    return level, asset.kind or "", asset.id, asset.mac or "", " ".join(asset.protocols), identity, *times, asset.because or ""


def _conduit_row(one: Line) -> tuple[str, ...]:
    more = len(one.operations) - _OPERATIONS_SHOWN
    operations = " ".join(one.operations[:_OPERATIONS_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return one.client, one.server, one.protocol, one.port, str(one.packets), str(one.messages), ", ".join(one.blind), operations


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]


def _shown(one: Asset | Conduit) -> dict[str, Any]:
    row: dict[str, Any] = _with_times(to_jsonable(one))
    return row | {"claims": [_with_times(claim) for claim in row["claims"]]} if isinstance(one, Asset) else row


def _with_times(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: iso(row[name]) for name in ("first_seen", "last_seen")}
