"""Scans: somebody looks for whoever is there and what it answers to.  Needs no baseline; one quiets what is usual here.

Distinct services, addresses and units are counted per client over the last ten seconds of packet time; a walk through data addresses is a
run of reads that each go one step further than the one before.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import TCP_SYN, asset, counted_detection, frames_of, listed, operation_words
from sentinel.detect.operations import is_read
from sentinel.detect.usual import Once, Usual
from sentinel.model.columns import Array, distinct, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import FlowKind, MessageKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

HORIZON_NS = 10 * NS_PER_S
MIN_TARGETS = 15  # different (server, port) that one client tries in ten seconds
MIN_ARP_TARGETS = 20
MIN_UNITS = 12  # different units of one server
MIN_STEPS = 16  # reads that each go one step further than the one before
MAX_WATCHED = 4096  # clients or pairs under watch; the one longest unheard is forgotten
MAX_THINGS = 100_000  # of all of them together

_Walk = tuple[str, str, int, int]  # client, server, protocol, function


class _Recent:
    """Distinct things per subject over the horizon; bounded."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Any, dict[Any, int]] = OrderedDict()
        self._size = 0

    def note(self, subject: Any, thing: Any, time: int) -> None:
        things = self._seen.setdefault(subject, {})
        self._size += thing not in things
        things.pop(thing, None)
        things[thing] = time
        self._seen.move_to_end(subject)
        if len(things) > MAX_WATCHED:
            del things[next(iter(things))]
            self._size -= 1
        while len(self._seen) > MAX_WATCHED or (self._size > MAX_THINGS and len(self._seen) > 1):
            _, forgotten = self._seen.popitem(last=False)
            self._size -= len(forgotten)

    def count(self, subject: Any, now: int) -> int:
        things = self._seen.get(subject, {})
        for thing in [thing for thing, time in things.items() if time < now - HORIZON_NS]:
            del things[thing]
            self._size -= 1
        return len(things)

    def of(self, subject: Any) -> list[Any]:
        return list(self._seen.get(subject, {}))


class Scans:
    spec: ClassVar[Spec] = Spec(
        name="scans",
        summary="scans of ports, hardware addresses, units and data addresses",
        stability=Stability.STABLE,
        attack=("T0846", "T0846.001", "T0846.002", "T0861", "T0888", "T0801"),
    )

    def __init__(self) -> None:
        self._targets, self._arp_targets, self._units = _Recent(), _Recent(), _Recent()
        self._steps: OrderedDict[_Walk, tuple[int, int, int]] = OrderedDict()  # (last address, length, direction)
        self._usual, self._once = Usual(), Once()

    def learn(self, window: Window) -> None:
        self._usual.learn(self._once.of(window, self._find))

    def activate(self) -> None:
        self._targets, self._arp_targets, self._units = _Recent(), _Recent(), _Recent()
        self._steps.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        return self._usual.without(self._once.of(window, self._find))

    def _find(self, window: Window) -> list[Detection]:
        return [
            *self._port_scans(window.flows, window.end),
            *self._arp_scans(window.flows, window.end),
            *self._unit_scans(window.messages, window.end),
            *self._address_scans(window.messages),
        ]

    def _port_scans(self, flows: Flows, now: int) -> list[Detection]:
        rows = np.flatnonzero(
            np.isin(flows.kind, (FlowKind.TCP, FlowKind.UDP)) & (flows.from_client == 1) & (flows.source >= 0) & (flows.target >= 0)
        )
        tcp_open = (flows.kind[rows] != FlowKind.TCP) | ((flows.tcp_flags[rows] & TCP_SYN) != 0) | (flows.octets[rows] == 0)
        rows = rows[tcp_open]
        first, _ = distinct(flows.source[rows], flows.target[rows], flows.kind[rows], flows.port[rows])
        for row in rows[first].tolist():
            thing = (flows.names[flows.target[row]], int(flows.kind[row]), int(flows.port[row]))
            self._targets.note(flows.names[flows.source[row]], thing, int(flows.time[row]))
        found = []
        for code in np.unique(flows.source[rows]).tolist():
            client = flows.names[code]
            count = self._targets.count(client, now)
            if count < MIN_TARGETS:
                continue
            members = rows[flows.source[rows] == code]
            servers = sorted({server for server, _, _ in self._targets.of(client)})
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{client} scans {listed(servers, 2)}: {count} services tried in 10 s",
                    seen=Instant(int(flows.time[members[0]])),
                    frames=frames_of(flows.frame[members]),
                    source=asset(client),
                    target=asset(servers[0]) if len(servers) == 1 else None,
                    cause=f"actor:{client}",
                    feature="port scan",
                    expected=f"fewer than {MIN_TARGETS} services of other assets tried in 10 s",
                    score=float(count),
                    threshold=float(MIN_TARGETS),
                    why=f"{client} tried {count} different services of {listed(servers)} within 10 s.",
                    techniques=("T0846.001",),
                    severity=Severity.HIGH,
                    confidence=0.8,
                )
            )
        return sorted(found, key=lambda detection: (detection.seen, detection.frame))

    def _arp_scans(self, flows: Flows, now: int) -> list[Detection]:
        rows = np.flatnonzero(
            (flows.kind == FlowKind.ARP_REQUEST) & (flows.source >= 0) & (flows.target >= 0) & (flows.source != flows.target)
        )
        for row in rows.tolist():
            self._arp_targets.note(flows.names[flows.source[row]], flows.names[flows.target[row]], int(flows.time[row]))
        found = []
        for code in dict.fromkeys(flows.source[rows].tolist()):
            client = flows.names[code]
            count = self._arp_targets.count(client, now)
            if count < MIN_ARP_TARGETS:
                continue
            members = rows[flows.source[rows] == code]
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{client} asks by ARP for {count} addresses in 10 s: it looks for whoever is there",
                    seen=Instant(int(flows.time[members[0]])),
                    frames=frames_of(flows.frame[members]),
                    source=asset(client),
                    cause=f"actor:{client}",
                    feature="ARP scan",
                    expected=f"fewer than {MIN_ARP_TARGETS} addresses asked for in 10 s",
                    score=float(count),
                    threshold=float(MIN_ARP_TARGETS),
                    why=f"{client} asked by ARP for {count} different addresses within 10 s.",
                    techniques=("T0846", "T0846.002"),
                    severity=Severity.MEDIUM,
                    confidence=0.8,
                )
            )
        return found

    def _unit_scans(self, messages: Messages, now: int) -> list[Detection]:
        pairs: dict[tuple[str, str], int] = {}
        for pair, unit, time, row in _units(messages):
            self._units.note(pair, unit, time)
            pairs.setdefault(pair, row)
        found = []
        for pair, row in pairs.items():
            count = self._units.count(pair, now)
            if count < MIN_UNITS:
                continue
            rows = _addressed(messages)
            members = rows[(messages.client[rows] == messages.client[row]) & (messages.server[rows] == messages.server[row])]
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{pair[0]} tries {count} unit identifiers on {pair[1]}: it looks for devices behind it",
                    seen=Instant(int(messages.time[row])),
                    frames=frames_of(messages.frame[members]),
                    source=asset(pair[0]),
                    target=asset(pair[1]),
                    cause=f"protocol:{pair[0]}",
                    feature="unit scan",
                    expected=f"fewer than {MIN_UNITS} units of one server in 10 s",
                    score=float(count),
                    threshold=float(MIN_UNITS),
                    why=f"{pair[0]} addressed {count} different units of {pair[1]} within 10 s.",
                    techniques=("T0846", "T0888"),
                    severity=Severity.MEDIUM,
                    confidence=0.6,
                )
            )
        return found

    def _address_scans(self, messages: Messages) -> list[Detection]:
        runs: dict[_Walk, list[int]] = defaultdict(list)
        for key, address, row in _short_reads(messages):
            last, steps, onward = self._steps.pop(key, (address, 1, 0))
            step = address - last
            if 1 <= abs(step) <= 2:  # upwards or downwards; to and fro begins anew
                steps, onward = (steps + 1 if step * onward >= 0 else 2), step
            elif step:
                steps, onward = 1, 0
            self._steps[key] = (address, steps, onward)
            if len(self._steps) > MAX_WATCHED:
                self._steps.popitem(last=False)
            if steps >= MIN_STEPS:
                runs[key].append(row)
        found = []
        for (client, server, protocol, function), members in runs.items():
            _, steps, _ = self._steps[client, server, protocol, function]
            words = operation_words(protocol, function)
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{client} walks through the addresses of {server} one by one ({words})",
                    seen=Instant(int(messages.time[members[0]])),
                    frames=frames_of(messages.frame[members]),
                    source=asset(client),
                    target=asset(server),
                    cause=f"protocol:{client}",
                    feature=f"address scan: {words}",
                    expected="polls that repeat, in blocks",
                    score=float(steps),
                    threshold=float(MIN_STEPS),
                    why=f"{client} read {steps} addresses of {server} one after the other, each by its own {words}.",
                    techniques=("T0861", "T0801"),
                    severity=Severity.MEDIUM,
                    confidence=0.7,
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        return self._usual.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual.restore(state)
        self.activate()


def _addressed(messages: Messages) -> Array:
    """Requests to a unit."""
    return np.flatnonzero((messages.kind == MessageKind.REQUEST) & (messages.unit >= 0) & (messages.client >= 0) & (messages.server >= 0))


@remembered
def _units(messages: Messages) -> list[tuple[tuple[str, str], int, int, int]]:
    """((client, server), unit, time, row) of the first request to each unit."""
    rows = _addressed(messages)
    first, _ = distinct(messages.client[rows], messages.server[rows], messages.unit[rows])
    found = []
    for row in rows[first].tolist():
        pair = messages.names[messages.client[row]], messages.names[messages.server[row]]
        found.append((pair, int(messages.unit[row]), int(messages.time[row]), row))
    return found


@remembered
def _short_reads(messages: Messages) -> list[tuple[_Walk, int, int]]:
    """(who walks, address, row) of the first read of each address that asks for one or two of them."""
    rows = np.flatnonzero(
        (messages.kind == MessageKind.REQUEST)
        & (messages.address >= 0)
        & (messages.quantity <= 2)
        & (messages.client >= 0)
        & (messages.server >= 0)
    )
    first, _ = distinct(*(getattr(messages, name)[rows] for name in ("client", "server", "protocol", "function", "address")))
    found = []
    for row in rows[first].tolist():
        protocol, function = int(messages.protocol[row]), int(messages.function[row])
        if is_read(protocol, function):
            who = messages.names[messages.client[row]], messages.names[messages.server[row]], protocol, function
            found.append((who, int(messages.address[row]), row))
    return found
