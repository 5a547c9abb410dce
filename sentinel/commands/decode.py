"""``sentinel decode``: every protocol data unit of a capture, one line or one Parquet row each, in the order in which they were completed.
In Parquet what two assets say to each other lies together within each row group, in that order; sorting by ``frame`` gives it for all.

Field names are stable; what a unit does not have, or what is not known, is null:

``ts`` capture time of the frame that completed the unit, RFC 3339 with nanoseconds (Parquet: an instant in UTC); ``frame`` its number from
1; ``src`` and ``dst`` the sender's and the receiver's address; ``protocol``; ``kind`` request, response or exception; ``unit`` Modbus unit
identifier; ``transaction`` the protocol's own number; ``function`` and ``operation``, its number and the standard's name; ``subfunction``;
``address`` from 0 and ``quantity``, a response's are its request's; ``values`` coils and registers as numbers; ``exception`` its code;
``latency_ms`` from the request to the response; ``defect`` what is wrong with the octets.  With ``--octets`` also ``pdu``, the unit
itself: in hexadecimal, in Parquet as it is.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from collectors.capture.replay import replay
from collectors.wire import CATALOGUE, Wire
from sentinel.errors import InputError
from sentinel.model.observation import Messages
from sentinel.model.parquet import Coded, Field, Known, Lists, Octets, rows_of, to_table, write_parquet
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import NS_PER_MS, iso

SUMMARY = "print every protocol data unit of a capture file"
JSON_LINES, PARQUET = "jsonl", "parquet"
PDU = "pdu"
_FUNCTION_BITS = 24  # function codes and service identifiers are shorter
FIELDS: dict[str, str] = {
    "ts": "instant",
    "frame": "int64",
    "src": "text",
    "dst": "text",
    "protocol": "text",
    "kind": "text",
    "unit": "int16",
    "transaction": "int64",
    "function": "int32",
    "operation": "text",
    "subfunction": "int32",
    "address": "int32",
    "quantity": "int32",
    "values": "list<uint16>",
    "exception": "int16",
    "latency_ms": "float32",
    "defect": "text",
}
_EXACT = {"latency_ms": "float64"}  # as text it costs nothing
_DECODED: Mapping[str, Wire] = {wire.spec.name: wire for wire in CATALOGUE if wire.decoded}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pcap or pcapng file")
    parser.add_argument("--protocol", choices=tuple(_DECODED), help="only this one's units, in any framing (default: all)")
    parser.add_argument("--format", choices=(JSON_LINES, PARQUET), default=JSON_LINES, help="default: jsonl")
    parser.add_argument("--octets", action="store_true", help="the unit's own octets too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    if args.format == PARQUET and args.out is None:
        raise InputError("--format parquet is no text: name a file with --out")
    defects: list[str] = []
    wires = [wire for name, wire in _DECODED.items() if args.protocol in (None, name, wire.framing_of)]
    types = FIELDS | ({} if args.format == PARQUET else _EXACT) | ({PDU: "octets"} if args.octets else {})
    tables = (table_of(heard.messages, wires, types) for heard in replay(args.file, defects=defects))
    if args.format == PARQUET:
        with args.out.open("wb") as out:
            write_parquet(tables, types, out, ends=("src", "dst"))
    elif args.out is not None:
        with args.out.open("w", encoding="utf-8") as text:
            write_lines(tables, text)
    else:
        write_lines(tables, sys.stdout)
    for defect in defects:
        print(f"{args.file}: {defect}", file=sys.stderr)
    return 0


def write_lines(tables: Iterable[Any], out: IO[str]) -> None:
    for row in (row for table in tables for row in rows_of(table)):
        row["ts"] = f"{iso(row['ts'])[:-1]}{row['ts'] % 1000:03d}Z"
        if PDU in row:
            row[PDU] = row[PDU].hex()
        out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def table_of(messages: Messages, wires: Sequence[Wire], types: Mapping[str, str] = FIELDS) -> Any:
    """The units of these protocols, as `write_parquet` takes them."""
    m = messages.take(np.isin(messages.protocol, [int(wire.protocol) for wire in wires]))
    is_request = m.kind == MessageKind.REQUEST
    fields: dict[str, Field] = {
        "ts": Known(m.time),
        "frame": Known(m.frame, m.frame > 0),
        "src": Coded(np.where(is_request, m.client, m.server), m.names),
        "dst": Coded(np.where(is_request, m.server, m.client), m.names),
        "protocol": Coded(m.protocol, _places({int(wire.protocol): wire.spec.name for wire in wires})),
        "kind": Coded(m.kind, _places({int(kind): kind.name.lower() for kind in MessageKind})),
        "operation": _operations(m, wires),
        "values": _values(m, wires),
        "exception": Known(m.exception, m.kind == MessageKind.EXCEPTION),
        "latency_ms": Known(m.latency / NS_PER_MS, m.latency >= 0),
        "defect": Coded(np.where(m.defect > 0, m.defect.astype(np.int32), -1), _places({int(one): one.name.lower() for one in Defect})),
    }
    for name in ("unit", "transaction", "function", "subfunction", "address", "quantity"):
        numbers = getattr(m, name)
        fields[name] = Known(numbers, numbers >= 0)
    if PDU in types:
        fields[PDU] = Octets(m.pdu_octets, m.pool[_spread(m.pdu_start, m.pdu_octets)])
    return to_table(fields, types)


def _places(names: Mapping[int, str]) -> list[str]:
    """By number, with the gaps filled."""
    return [names.get(number, "") for number in range(max(names) + 1)]


def _operations(m: Messages, wires: Sequence[Wire]) -> Field:
    """Each function that occurs is named once."""
    pairs = m.protocol.astype(np.int64) << _FUNCTION_BITS | np.maximum(m.function, 0)
    distinct, codes = np.unique(pairs, return_inverse=True)
    by_number = {int(wire.protocol): wire for wire in wires}
    names = []
    for pair in distinct.tolist():
        operation = by_number[pair >> _FUNCTION_BITS].operation
        names.append(operation(pair & ((1 << _FUNCTION_BITS) - 1)) if operation else "")
    return Coded(np.where(m.function >= 0, codes, -1), names)


def _values(m: Messages, wires: Sequence[Wire]) -> Field:
    counts, known = np.zeros(len(m), np.int64), np.zeros(len(m), np.bool_)
    parts: list[tuple[Any, Any]] = []
    for wire in wires:
        rows = np.flatnonzero((m.protocol == wire.protocol) & (m.value_octets > 0)) if wire.values else np.zeros(0, np.int64)
        if wire.values and len(rows):
            given = m.take(rows)
            counts[rows], items = wire.values(given.function, given.quantity, given.value_start, given.value_octets, given.pool)
            known[rows] = True
            parts.append((rows, items))
    joined = np.zeros(int(counts.sum()), np.uint16)
    begins = np.cumsum(counts) - counts
    for rows, items in parts:
        joined[_spread(begins[rows], counts[rows])] = items
    return Lists(counts, joined, known)


def _spread(starts: Any, sizes: Any) -> Any:
    """start, start + 1, … of each run, one after the other."""
    sizes = sizes.astype(np.int64)
    return np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
