"""``sentinel decode``: every protocol data unit of a capture, one line or one Parquet row each, in the order in which they were completed.
In Parquet what two assets say to each other lies together within each row group, in that order; sorting by ``frame`` gives it for all.

Field names are stable; what a unit does not have, or what is not known, is null:

``ts`` capture time of the frame that completed the unit, RFC 3339 with nanoseconds (Parquet: an instant in UTC); ``frame`` its number from
1; ``src`` and ``dst`` the sender's and the receiver's address; ``protocol``; ``kind`` request, response or exception; ``unit`` Modbus unit
identifier; ``transaction`` the protocol's own number; ``function`` and ``operation``, its number and the standard's name; ``subfunction``;
``address`` from 0 and ``quantity``, a response's are its request's; ``values`` coils and registers as numbers; ``exception`` its code;
``latency_ms`` from the request to the response; ``defect`` what is wrong with the octets.  With ``--octets`` also ``pdu``, the unit
itself: in hexadecimal, in Parquet as it is.

With ``--details`` what the units' bodies tell, one line for each fact instead: ``ts``, ``frame``, ``client``, ``server``, ``protocol``,
``transaction``, ``function`` and ``operation`` as above; ``topic`` what kind of fact (`sentinel.model.protocol.Topic`, in small letters);
``subject`` a node id, or what the topic says; ``text``; ``number`` a scalar value; ``status`` the StatusCode; ``stamped`` the source's own
time.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import numpy as np

from collectors.capture.replay import replay
from collectors.wire import CATALOGUE, Wire
from sentinel.errors import InputError
from sentinel.model.observation import Details, Heard, Messages
from sentinel.model.parquet import ROWS_PER_GROUP, Coded, Field, Known, Lists, Octets, rows_of, to_table, write_parquet
from sentinel.model.protocol import Defect, MessageKind, Protocol, Topic
from sentinel.model.time import NS_PER_MS, iso
from sentinel.progress import Meter

SUMMARY = "print every protocol data unit of a capture file"
JSON_LINES, PARQUET = "jsonl", "parquet"
PDU = "pdu"
_FEW_FUNCTIONS = 1 << 16  # function codes and service identifiers are less
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
DETAILS: dict[str, str] = {
    "ts": "instant",
    "frame": "int64",
    "client": "text",
    "server": "text",
    "protocol": "text",
    "transaction": "int64",
    "function": "int32",
    "operation": "text",
    "topic": "text",
    "subject": "text",
    "text": "text",
    "number": "float64",
    "status": "int64",
    "stamped": "instant",
}
_EXACT = {"latency_ms": "float64"}  # as text it costs nothing
_DECODED: Mapping[str, Wire] = {wire.spec.name: wire for wire in CATALOGUE if wire.decoded}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="pcap or pcapng file; - for standard input")
    names = [wire.spec.name for wire in CATALOGUE]
    parser.add_argument("--protocol", choices=names, metavar="NAME", help=f"only this one's units, in any framing: {', '.join(_DECODED)}")
    parser.add_argument("--format", choices=(JSON_LINES, PARQUET), default=JSON_LINES, help="default: jsonl")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--octets", action="store_true", help="the unit's own octets too")
    shown.add_argument(
        "--details", action="store_true", help="what bodies tell (nodes, values, who logs in, what devices are), a line each"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there instead of to standard output")


def run(args: argparse.Namespace) -> int:
    if args.format == PARQUET and args.out is None:
        raise InputError("--format parquet is no text: name a file with --out")
    if args.protocol not in (None, *_DECODED):
        raise InputError(
            f"{args.protocol} is recognised, not decoded: `sentinel inventory` shows who speaks it; decoded: {', '.join(_DECODED)}"
        )
    wires = [wire for name, wire in _DECODED.items() if args.protocol in (None, name, wire.framing_of)]
    reading: _Reading[Any]
    if args.details:
        types, is_heard = DETAILS, wires if args.protocol else CATALOGUE  # devices name themselves in protocols that are only recognised
        reading = _Reading[Details](args, lambda heard: heard.details, lambda details: table_of_details(details, is_heard))
    else:
        types = FIELDS | ({} if args.format == PARQUET else _EXACT) | ({PDU: "octets"} if args.octets else {})
        reading = _Reading[Messages](args, lambda heard: heard.messages, lambda messages: table_of(messages, wires, types))
    try:
        if args.format == PARQUET:
            with args.out.open("wb") as out:
                write_parquet(reading.tables(), types, out)
        elif args.out is not None:
            with args.out.open("w", encoding="utf-8") as text:
                write_lines(reading.tables(), text)
        else:
            write_lines(reading.tables(), sys.stdout)
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{args.out or 'standard output'}: {error.strerror or error}") from error
    for line in reading.remarks():
        print(f"{args.file}: {line}", file=sys.stderr)
    return 0


Rows = TypeVar("Rows", Messages, Details)


class _Reading(Generic[Rows]):
    """A capture as tables, and what is to be said of it afterwards."""

    def __init__(self, args: argparse.Namespace, part: Callable[[Heard], Rows], table: Callable[[Rows], Any]) -> None:
        self._file = args.file
        self._part: Callable[[Heard], Rows] = part
        self._table: Callable[[Rows], Any] = table
        self._is_grouped = args.format == PARQUET
        self._meter = Meter(f"reading {args.file.name}") if args.out is not None or not sys.stdout.isatty() else None
        self._defects: list[str] = []
        self._rows = 0
        self._spoken = Counter[int]()  # packets by protocol

    def tables(self) -> Iterator[Any]:
        for part in grouped(self._parts()) if self._is_grouped else self._parts():
            table = self._table(part)
            self._rows += table.num_rows
            yield table

    def _parts(self) -> Iterator[Rows]:
        for heard in replay(self._file, defects=self._defects):
            for protocol in np.unique(heard.flows.protocol).tolist():
                self._spoken[protocol] += int(heard.flows.packets[heard.flows.protocol == protocol].sum())
            if self._meter is not None:
                self._meter.reached(heard)
            yield self._part(heard)
        if self._meter is not None:
            self._meter.done()

    def remarks(self) -> list[str]:
        if self._rows:
            return self._defects
        said = ", ".join(f"{count} of {Protocol(protocol).name.lower()}" for protocol, count in self._spoken.most_common())
        return [*self._defects, f"nothing to show; packets: {said or 'none'}"]


def write_lines(tables: Iterable[Any], out: IO[str]) -> None:
    for row in (row for table in tables for row in rows_of(table)):
        for name in ("ts", "stamped"):
            if row.get(name) is not None:
                row[name] = f"{iso(row[name])[:-1]}{row[name] % 1000:03d}Z"
        if PDU in row:
            row[PDU] = row[PDU].hex()
        out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def grouped(parts: Iterable[Rows]) -> Iterator[Rows]:
    """Row groups of about ROWS_PER_GROUP.  Within each the rows of one pair, whichever way round, lie together and in order: what one pair
    says resembles itself, and takes two thirds of the room."""
    waiting = list[Rows]()
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= ROWS_PER_GROUP:
            yield _by_pair(type(part).concat(waiting))
            waiting.clear()
    if any(map(len, waiting)):
        yield _by_pair(type(waiting[0]).concat(waiting))


def _by_pair(rows: Rows) -> Rows:
    one, other = rows.client.astype(np.int64) + 1, rows.server.astype(np.int64) + 1
    names = len(rows.names) + 1
    pairs = np.minimum(one, other) * names + np.maximum(one, other)
    few = names * names <= 1 << 16  # small numbers are sorted in one go over their digits
    return rows.take(np.argsort(pairs.astype(np.uint16) if few else pairs, kind="stable"))


def table_of_details(details: Details, wires: Sequence[Wire]) -> Any:
    """What these protocols' bodies tell, as `write_parquet` takes it."""
    d = details.take(np.isin(details.protocol, [int(wire.protocol) for wire in wires]))
    fields: dict[str, Field] = {
        "ts": Known(d.time),
        "frame": Known(d.frame, d.frame > 0),
        "protocol": Coded(d.protocol, _places({int(wire.protocol): wire.spec.name for wire in wires})),
        "operation": _operations(d, wires),
        "topic": Coded(d.topic, _places({int(topic): topic.name.lower() for topic in Topic})),
        "number": Known(d.number, np.isfinite(d.number)),
    }
    for name in ("client", "server", "subject", "text"):
        fields[name] = Coded(getattr(d, name), d.names)
    for name in ("transaction", "function", "status", "stamped"):
        fields[name] = Known(getattr(d, name), getattr(d, name) >= 0)
    return to_table(fields, DETAILS)


def table_of(messages: Messages, wires: Sequence[Wire], types: Mapping[str, str] = FIELDS) -> Any:
    """The units of these protocols, as `write_parquet` takes them."""
    is_asked = np.isin(messages.protocol, [int(wire.protocol) for wire in wires])
    m = messages if is_asked.all() else messages.take(is_asked)
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


def _operations(m: Messages | Details, wires: Sequence[Wire]) -> Field:
    """Each function that occurs is named once."""
    codes, names = np.full(len(m), -1, np.int32), list[str]()
    for wire in wires:
        rows = np.flatnonzero((m.protocol == wire.protocol) & (m.function >= 0))
        functions = m.function[rows]
        if wire.operation is None or not len(rows):
            continue
        if functions.max() < _FEW_FUNCTIONS:  # all but lies
            occurs = np.bincount(functions, minlength=1) > 0
            distinct, places = np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[functions]
        else:
            distinct, places = np.unique(functions, return_inverse=True)
        codes[rows] = len(names) + places
        names += map(wire.operation, distinct.tolist())
    return Coded(codes, names)


def _values(m: Messages, wires: Sequence[Wire]) -> Field:
    counts, known = np.zeros(len(m), np.int64), np.zeros(len(m), np.bool_)
    parts: list[tuple[Any, Any]] = []
    for wire in wires:
        rows = np.flatnonzero((m.protocol == wire.protocol) & (m.value_octets > 0)) if wire.values else np.zeros(0, np.int64)
        if wire.values and len(rows):
            counts[rows], items = wire.values(m.function[rows], m.quantity[rows], m.value_start[rows], m.value_octets[rows], m.pool)
            known[rows] = True
            parts.append((rows, items))
    if len(parts) == 1:
        return Lists(counts, parts[0][1], known)
    joined = np.zeros(int(counts.sum()), np.uint16)
    begins = np.cumsum(counts) - counts
    for rows, items in parts:
        joined[_spread(begins[rows], counts[rows])] = items
    return Lists(counts, joined, known)


def _spread(starts: Any, sizes: Any) -> Any:
    """start, start + 1, … of each run, one after the other."""
    sizes = sizes.astype(np.int64)
    return np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(int(sizes.sum()))
