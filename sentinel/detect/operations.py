"""Operations and the address ranges they were used on: what a client is known to do, and how far something new lies from it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sentinel.model import opcua
from sentinel.model.protocol import Protocol

MODBUS = (Protocol.MODBUS, Protocol.MODBUS_RTU_TCP)
_TABLE_OF = {
    1: "coil",
    5: "coil",
    15: "coil",
    2: "discrete",
    3: "holding",
    6: "holding",
    16: "holding",
    22: "holding",
    23: "holding",
    4: "input",
}
_MODBUS_READS = frozenset({1, 2, 3, 4, 7, 11, 12, 17, 20, 24})
_MODBUS_WRITES = frozenset({5, 6, 15, 16, 21, 22, 23})

Conduit = tuple[str, str, str]  # client, server, service: "tcp/502"
Operation = tuple[str, str, int, int, int, int]  # client, server, protocol, unit, function, subfunction
MAX_SPANS = 256  # per operation; beyond, the nearest spans are joined


def is_write(protocol: int, function: int) -> bool:
    if protocol in MODBUS:
        return function in _MODBUS_WRITES
    return protocol == Protocol.OPCUA and function in opcua.WRITES


def is_read(protocol: int, function: int) -> bool:
    """False also for what is neither: diagnostics, identification, programming, what nobody can read."""
    if protocol in MODBUS:
        return function in _MODBUS_READS
    return protocol == Protocol.OPCUA and function >= 0 and function not in opcua.WRITES


def is_unread(protocol: int, function: int) -> bool:
    """What was asked is not known: the channel is encrypted, or the message belongs to no service."""
    return protocol == Protocol.OPCUA and function < 0


def table_of(protocol: int, function: int) -> str | None:
    return _TABLE_OF.get(function) if protocol in MODBUS else None


@dataclass(slots=True)
class Spans:
    """Closed address intervals, sorted and disjoint; adjoining ones are one."""

    spans: list[tuple[int, int]] = field(default_factory=list)

    def cover(self, low: int, high: int) -> bool:
        return any(start <= low and high <= end for start, end in self.spans)

    def add(self, low: int, high: int) -> None:
        if self.cover(low, high):
            return
        joined: list[tuple[int, int]] = []
        for start, end in sorted([*self.spans, (low, high)]):
            if joined and start <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        while len(joined) > MAX_SPANS:
            nearest = min(range(len(joined) - 1), key=lambda i: joined[i + 1][0] - joined[i][1])
            joined[nearest : nearest + 2] = [(joined[nearest][0], joined[nearest + 1][1])]
        self.spans = joined

    def words(self) -> str:
        return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in self.spans[:4]) + (
            " and more" if len(self.spans) > 4 else ""
        )


def span_of(address: int, quantity: int) -> tuple[int, int] | None:
    """The addresses that a request touches; None where its protocol has none."""
    return None if address < 0 else (address, address + max(quantity, 1) - 1)


class OperationBook:
    """Which operations were used by whom on whom, and on which addresses."""

    def __init__(self, rows: Iterable[tuple[Operation, list[tuple[int, int]]]] = ()) -> None:
        self._spans: dict[Operation, Spans] = {}
        self._roles: dict[tuple[str, int, int, int], Spans] = {}  # client, protocol, function, subfunction: on whatever server
        self._tables: dict[tuple[str, str, int, str], Spans] = {}  # client, server, unit, table
        for operation, spans in rows:
            self.add(operation, None)
            for low, high in spans:
                self.add(operation, (low, high))

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, operation: Operation, span: tuple[int, int] | None) -> None:
        client, server, protocol, unit, function, subfunction = operation
        targets = [
            self._spans.setdefault(operation, Spans()),
            self._roles.setdefault((client, protocol, function, subfunction), Spans()),
        ]
        table = table_of(protocol, function)
        if table:
            targets.append(self._tables.setdefault((client, server, unit, table), Spans()))
        if span:
            for spans in targets:
                spans.add(*span)

    def knows(self, operation: Operation, span: tuple[int, int] | None) -> bool:
        known = self._spans.get(operation)
        return known is not None and (span is None or known.cover(*span))

    def in_role(self, operation: Operation, span: tuple[int, int] | None) -> bool:
        """The client does the same to other servers, or to this one's other units."""
        client, _, protocol, _, function, subfunction = operation
        known = self._roles.get((client, protocol, function, subfunction))
        return known is not None and (span is None or known.cover(*span))

    def touches(self, operation: Operation, span: tuple[int, int] | None) -> bool:
        """The client is known to use these very addresses, by whatever function."""
        client, server, protocol, unit, function, _ = operation
        table = table_of(protocol, function)
        known = self._tables.get((client, server, unit, table)) if table else None
        return known is not None and span is not None and known.cover(*span)

    def usual(self, operation: Operation) -> str | None:
        known = self._spans.get(operation)
        return known.words() if known else None

    def functions_of(self, client: str, server: str) -> list[tuple[int, int]]:
        return sorted({(protocol, function) for c, s, protocol, _, function, _ in self._spans if (c, s) == (client, server)})

    def rows(self) -> list[tuple[Operation, list[tuple[int, int]]]]:
        return [(operation, self._spans[operation].spans) for operation in sorted(self._spans)]
