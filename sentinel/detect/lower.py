"""Below the application: which hardware address speaks for which asset, frames that are relayed, and copies that contradict each other.

Works from the first minute: the hardware addresses heard in an asset's first minute are its own until a baseline says otherwise (a
sensor on both sides of a router hears two), but two that claim one address by ARP contradict each other at once.  A hardware address
that spoke for many assets while the baseline was learnt is a router and may go on doing so; nobody becomes one afterwards.  Virtual
router addresses (RFC 5798, HSRP) move by design.
"""

import ipaddress
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import ARP, asset, frames_of, listed
from sentinel.detect.watched import watched
from sentinel.model.asset import is_group_address
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

ROUTER_ADDRESSES = 3
GRACE_NS = 60 * NS_PER_S
MAX_BINDINGS = 100_000
MAX_TAKEN = 256  # addresses remembered of one impostor
_VIRTUAL = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f")


@dataclass(slots=True)
class _Foreign:
    """What one hardware address does with addresses that are not its own."""

    speaks_for: set[str] = field(default_factory=set)
    receives_for: set[str] = field(default_factory=set)

    def take(self, address: str, speaks: bool) -> None:
        if len(self.speaks_for) + len(self.receives_for) < MAX_TAKEN:
            (self.speaks_for if speaks else self.receives_for).add(address)

    @property
    def addresses(self) -> list[str]:
        return sorted(self.speaks_for | self.receives_for)


class Lower:
    spec: ClassVar[Spec] = Spec(
        name="lower",
        summary="hardware addresses that speak or listen for somebody else, and frames that were changed on the way",
        stability=Stability.STABLE,
        attack=("T0830", "T1692.001", "T1692.002", "T0832"),
    )

    def __init__(self) -> None:
        self._owners: dict[str, set[str]] = defaultdict(set)  # address: its hardware addresses
        self._owned: dict[str, set[str]] = defaultdict(set)  # hardware address: its addresses, as learnt
        self._bindings = 0
        self._first_heard: dict[str, int] = {}  # of addresses that no baseline knows
        self._foreign: OrderedDict[str, _Foreign] = OrderedDict()
        self._active = False

    def learn(self, window: Window) -> None:
        for address, mac, _, _ in _pairs(window.flows):
            self._bind(address, mac)

    def activate(self) -> None:
        self._active = True
        self._foreign.clear()

    def _bind(self, address: str, mac: str) -> bool:
        """False when the table is full."""
        if mac in self._owners.get(address, ()):
            return True
        if self._bindings >= MAX_BINDINGS:
            return False
        self._bindings += 1
        self._owners[address].add(mac)
        if not self._active:
            self._owned[mac].add(address)
        return True

    def score(self, window: Window) -> Sequence[Detection]:
        found = []
        suspects: dict[str, list[tuple[str, Array, bool]]] = defaultdict(list)
        for address, mac, rows, speaks in _pairs(window.flows):
            owners = self._owners.get(address)
            if not owners:
                if speaks and self._bind(address, mac):  # nobody is the owner of an address because it was asked for
                    self._first_heard[address] = window.start
            elif mac in owners:
                continue
            elif window.start - self._first_heard.get(address, -GRACE_NS) < GRACE_NS and not _claims(window.flows, rows, speaks):
                self._bind(address, mac)
            elif len(self._owned.get(mac, ())) < ROUTER_ADDRESSES and not mac.startswith(_VIRTUAL):
                suspects[mac].append((address, rows, speaks))
        for mac, addresses in suspects.items():
            found.append(self._impostor(window.flows, mac, addresses))
        return [*found, *self._tampering(window)]

    def _impostor(self, flows: Flows, mac: str, addresses: list[tuple[str, Array, bool]]) -> Detection:
        foreign = watched(self._foreign, mac, _Foreign)
        for address, _, speaks in addresses:
            foreign.take(address, speaks)
        rows = np.unique(np.concatenate([part for _, part, _ in addresses]))
        frames = frames_of(flows.frame[rows])
        taken = foreign.addresses
        own = sorted(self._owned.get(mac, ()))
        known_as = f"{mac} ({listed(own)})" if own else mac
        rightful = listed(f"{address} belongs to {listed(sorted(self._owners[address]))}" for address in taken)
        relays = len(taken) > 1
        by_arp = bool(np.isin(flows.kind[rows], ARP).any())
        if relays:
            title, severity = (
                f"{known_as} stands between {listed(taken)}: their frames pass through it (adversary in the middle)",
                Severity.CRITICAL,
            )
        elif foreign.speaks_for:
            title, severity = f"{known_as} speaks as {taken[0]}, which belongs to another machine", Severity.HIGH
        else:
            title, severity = f"Frames for {taken[0]} go to {known_as}, which is not its hardware address", Severity.HIGH
        how = "claims by ARP" if by_arp else "receives the frames of" if not foreign.speaks_for else "sends frames in the name of"
        return Detection(
            detector=self.spec.name,
            title=title,
            seen=Instant(int(flows.time[rows[0]])),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=asset(own[0] if own else mac),
            target=asset(addresses[0][0]),
            cause=f"link:{mac}",
            feature="relay" if relays else "binding",
            observed=f"{mac} {how} {listed(taken)}",
            expected=rightful,
            score=float(len(taken)),
            threshold=0.0,
            why=f"{mac} {how} {listed(taken)}; {rightful}.",
            techniques=("T0830",),
            severity=severity,
            confidence=0.95 if relays else 0.8 if self._active else 0.6,
        )

    def _tampering(self, window: Window) -> list[Detection]:
        messages, flows = window.messages, window.flows
        groups: dict[tuple[str, str, str], list[tuple[int, int, int]]] = defaultdict(
            list
        )  # (mac, from, to): (time, frame, message kind or -1)
        for row in np.flatnonzero(messages.defect == Defect.CONTRADICTING_COPY).tolist():
            client, server = messages.name_of(int(messages.client[row])) or "?", messages.name_of(int(messages.server[row])) or "?"
            kind = int(messages.kind[row])
            pair = (client, server) if kind == MessageKind.REQUEST else (server, client)
            mac = messages.name_of(int(messages.source_mac[row])) or "?"
            groups[mac, *pair].append((int(messages.time[row]), int(messages.frame[row]), kind))
        for row in np.flatnonzero(flows.defect == Defect.CONTRADICTING_COPY).tolist():
            pair = (flows.name_of(int(flows.source[row])) or "?", flows.name_of(int(flows.target[row])) or "?")
            mac = flows.name_of(int(flows.source_mac[row])) or "?"
            groups[mac, *pair].append((int(flows.time[row]), int(flows.frame[row]), -1))
        found = []
        for (mac, sender, receiver), copies in groups.items():
            kinds = {kind for *_, kind in copies}
            what = (
                "commands"
                if MessageKind.REQUEST in kinds
                else "answers"
                if kinds & {MessageKind.RESPONSE, MessageKind.EXCEPTION}
                else "octets"
            )
            frames = tuple(sorted({frame for _, frame, _ in copies if frame}))
            found.append(
                Detection(
                    detector=self.spec.name,
                    title=f"{what.capitalize()} from {sender} to {receiver} are changed on the way by {mac}",
                    seen=Instant(min(time for time, *_ in copies)),
                    frame=frames[0] if frames else 0,
                    frames=frames,
                    source=asset(mac),
                    target=asset(receiver),
                    cause=f"tamper:{mac}",
                    feature=f"changed {what}",
                    observed=f"{len(copies)} segments were sent twice with different content, the second time by {mac}",
                    expected="a retransmission repeats its octets (RFC 9293, 3.8)",
                    score=float(len(copies)),
                    threshold=0.0,
                    why=f"The same TCP octets from {sender} to {receiver} came twice with different content; {mac} sent the changed copy.",
                    techniques=("T0830", "T1692.001") if what == "commands" else ("T0830", "T1692.002", "T0832"),
                    severity=Severity.CRITICAL,
                    confidence=0.9,
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        owners: dict[str, list[str]] = defaultdict(list)
        for mac, addresses in sorted(self._owned.items()):
            for address in addresses:
                owners[address].append(mac)
        return {"owners": dict(sorted(owners.items()))}

    def restore(self, state: Mapping[str, Any]) -> None:
        for address, macs in state["owners"].items():
            for mac in macs:
                self._bind(address, mac)
        self.activate()


@remembered
def _pairs(flows: Flows) -> list[tuple[str, str, Array, bool]]:
    """Distinct (address, hardware address, rows, does it speak), senders first; only addresses above Ethernet, no groups."""
    found: dict[tuple[str, str, bool], Array] = {}
    if not len(flows):
        return []
    for name, mac_name, speaks in (("source", "source_mac", True), ("target", "target_mac", False)):
        addresses, macs = getattr(flows, name), getattr(flows, mac_name)
        wanted = (addresses >= 0) & (macs >= 0)
        if not speaks:
            wanted &= ~np.isin(flows.kind, ARP)
        rows = np.flatnonzero(wanted)
        first, which = distinct(addresses[rows], macs[rows])
        for row, part in zip(rows[first].tolist(), grouped(which), strict=True):
            address, mac = flows.names[addresses[row]], flows.names[macs[row]]
            if not is_group_address(mac) and _is_unicast(address):
                found[address, mac, speaks] = rows[part]
    return [(address, mac, rows, speaks) for (address, mac, speaks), rows in found.items()]


def _claims(flows: Flows, rows: Array, speaks: bool) -> bool:
    return speaks and bool(np.isin(flows.kind[rows], ARP).any())


def _is_unicast(address: str) -> bool:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (known.is_multicast or known.is_unspecified or known.is_loopback or address.endswith(".255"))
