"""``sentinel decode``: every protocol data unit of a capture, one line or one Parquet row each, in the order in which they were completed.

Field names are stable; what a unit does not have, or what is not known, is null:

``ts`` capture time of the frame that completed the unit, RFC 3339 with nanoseconds (Parquet: an instant in UTC); ``frame`` its number from
1; ``src`` and ``dst`` the sender's and the receiver's address; ``protocol``; ``kind`` request, response or exception; ``unit`` Modbus unit
identifier; ``transaction`` the protocol's own number; ``function`` and ``operation``, its number and the standard's name; ``subfunction``;
``address`` from 0 and ``quantity``, a response's are its request's; ``values`` coils and registers as numbers; ``exception`` its code;
``latency_ms`` from the request to the response; ``defect`` what is wrong with the octets; ``pdu`` the octets in hexadecimal.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from collectors.capture.replay import replay
from collectors.wire import CATALOGUE, Wire
from sentinel.errors import InputError
from sentinel.model.codec import write_parquet
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import NS_PER_MS, iso

SUMMARY = "print every protocol data unit of a capture file"
JSON_LINES, PARQUET = "jsonl", "parquet"
FIELDS: Mapping[str, str] = {
    "ts": "instant",
    "frame": "int64",
    "src": "string",
    "dst": "string",
    "protocol": "string",
    "kind": "string",
    "unit": "int32",
    "transaction": "int64",
    "function": "int32",
    "operation": "string",
    "subfunction": "int32",
    "address": "int32",
    "quantity": "int32",
    "values": "list<int32>",
    "exception": "int32",
    "latency_ms": "float64",
    "defect": "string",
    "pdu": "string",
}
_DECODED: Mapping[str, Wire] = {wire.spec.name: wire for wire in CATALOGUE if wire.decoded}

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pcap or pcapng file")
    parser.add_argument("--protocol", choices=tuple(_DECODED), help="only this one's units (default: all)")
    parser.add_argument("--format", choices=(JSON_LINES, PARQUET), default=JSON_LINES, help="default: jsonl")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    if args.format == PARQUET and args.out is None:
        raise InputError("--format parquet is no text: name a file with --out")
    defects: list[str] = []
    wires = [wire for name, wire in _DECODED.items() if args.protocol in (None, name)]
    batches = (rows_of(heard.messages, wires) for heard in replay(args.file, defects=defects))
    if args.format == PARQUET:
        with args.out.open("wb") as out:
            write_parquet(batches, FIELDS, out)
    elif args.out is not None:
        with args.out.open("w", encoding="utf-8") as text:
            write_lines(batches, text)
    else:
        write_lines(batches, sys.stdout)
    for defect in defects:
        print(f"{args.file}: {defect}", file=sys.stderr)
    return 0


def write_lines(batches: Iterable[Sequence[Row]], out: IO[str]) -> None:
    for row in (row for batch in batches for row in batch):
        line = {**row, "ts": f"{iso(row['ts'])[:-1]}{row['ts'] % 1000:03d}Z"}
        out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def rows_of(messages: Messages, wires: Sequence[Wire]) -> list[Row]:
    by_number = {int(wire.protocol): wire for wire in wires}
    return list(_rows(messages, by_number))


def _rows(m: Messages, wires: Mapping[int, Wire]) -> Iterator[Row]:
    for at in range(len(m)):
        wire = wires.get(int(m.protocol[at]))
        if wire is None:
            continue
        kind, function, quantity, latency = (int(column[at]) for column in (m.kind, m.function, m.quantity, m.latency))
        ends = m.name_of(int(m.client[at])), m.name_of(int(m.server[at]))
        octets = m.value(at)
        yield {
            "ts": int(m.time[at]),
            "frame": int(m.frame[at]) or None,
            "src": ends[kind != MessageKind.REQUEST],
            "dst": ends[kind == MessageKind.REQUEST],
            "protocol": wire.spec.name,
            "kind": MessageKind(kind).name.lower(),
            "unit": _known(m.unit[at]),
            "transaction": _known(m.transaction[at]),
            "function": _known(function),
            "operation": wire.operation(function) if wire.operation and function >= 0 else None,
            "subfunction": _known(m.subfunction[at]),
            "address": _known(m.address[at]),
            "quantity": _known(quantity),
            "values": wire.values(function, quantity, octets) if wire.values and octets else None,
            "exception": int(m.exception[at]) if kind == MessageKind.EXCEPTION else None,
            "latency_ms": latency / NS_PER_MS if latency >= 0 else None,
            "defect": Defect(int(m.defect[at])).name.lower() if m.defect[at] else None,
            "pdu": m.pdu(at).hex(),
        }


def _known(number: Any) -> int | None:
    return int(number) if number >= 0 else None
