"""Volume: floods of packets or connections.

Packets and new connections are counted in blocks of ten seconds per conversation; the limits come from the block sums that were learnt, by
the plant's false-alarm budget.  Conversations that were never learnt are held against fixed, generous limits, so a flood by a stranger is
seen without a baseline.  Connections that nobody is known for are counted per server too: forged senders open one each.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.calibrate import Budget, threshold
from sentinel.detect.evidence import ARP, TCP_SYN, asset, frames_of, service_of, service_words
from sentinel.detect.watched import watched
from sentinel.model.asset import is_group
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows
from sentinel.model.protocol import FlowKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

BLOCK_NS = 10 * NS_PER_S
MIN_CONNECTIONS = 100.0  # in ten seconds; the floor below which opening connections is no flood
MIN_PACKETS = 2000.0
MARGIN = 2.0  # a limit lies at least this far above the largest learnt block
MAX_BLOCKS_KEPT = 1024  # per conversation, about three hours

Key = tuple[str, str, str]  # client, server, service
MANY = "many assets"  # the client of a server's own sum


@dataclass(slots=True)
class _Volume:
    block: int = -1
    packets: float = 0.0
    connections: float = 0.0
    past_packets: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_BLOCKS_KEPT))
    past_connections: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_BLOCKS_KEPT))

    def add(self, block: int, packets: float, connections: float, *, keep: bool) -> None:
        """``keep``: the sums of past blocks are wanted, which is while learning."""
        if block != self.block:
            if self.block >= 0 and keep:
                self.past_packets.append(self.packets)
                self.past_connections.append(self.connections)
            self.block, self.packets, self.connections = block, 0.0, 0.0
        self.packets += packets
        self.connections += connections


class Volume:
    spec: ClassVar[Spec] = Spec(
        name="volume",
        summary="floods of packets or connections, against learnt block sums or fixed limits for strangers",
        stability=Stability.STABLE,
        config={"alarms_per_week": (1.0, "false alarms that the whole plant may give in a week")},
        attack=("T0814",),
    )

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._volumes: OrderedDict[Key, _Volume] = OrderedDict()
        self._learnt: OrderedDict[Key, _Volume] = OrderedDict()  # apart: what is judged is not always learnt
        self._limits: dict[Key, tuple[float, float]] = {}  # packets, connections in a block

    def learn(self, window: Window) -> None:
        self._count(window, self._learnt, keep=True)

    def activate(self) -> None:
        probability = self._budget.probability_per_block("volume", BLOCK_NS / NS_PER_S, 2 * max(len(self._learnt), 1))
        for key, volume in self._learnt.items():
            volume.add(-2, 0.0, 0.0, keep=True)  # ends the open block
            self._limits[key] = (
                _limit(volume.past_packets, probability, MIN_PACKETS),
                _limit(volume.past_connections, probability, MIN_CONNECTIONS),
            )
        self._learnt.clear()
        self._volumes.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        return self._floods(window, self._count(window, self._volumes, keep=False))

    def _count(self, window: Window, volumes: OrderedDict[Key, _Volume], *, keep: bool) -> dict[Key, Array]:
        """Adds the window to the block sums; the rows of each conversation."""
        flows, block = window.flows, window.start // BLOCK_NS
        rows_of = dict(_conversations(flows))
        servers: dict[Key, list[Array]] = defaultdict(list)
        for key, rows in rows_of.items():
            opened = (flows.from_client[rows] == 1) & ((flows.tcp_flags[rows] & TCP_SYN) != 0)
            watched(volumes, key, _Volume).add(block, float(flows.packets[rows].sum()), float(opened.sum()), keep=keep)
            if opened.any() and key not in self._limits:
                servers[MANY, key[1], key[2]].append(rows[opened])
        for key, parts in servers.items():
            rows = np.concatenate(parts)
            if len(parts) > 1 or key in volumes:
                watched(volumes, key, _Volume).add(block, 0.0, float(len(rows)), keep=keep)
                rows_of[key] = np.sort(rows)
        return rows_of

    def _floods(self, window: Window, rows_of: Mapping[Key, Array]) -> list[Detection]:
        flows, found = window.flows, []
        for key, rows in rows_of.items():
            volume = self._volumes.get(key)
            if volume is None:
                continue
            packets, connections = self._limits.get(key, (MIN_PACKETS, MIN_CONNECTIONS))
            learnt = key in self._limits
            if volume.connections > connections:
                found.append(self._flood(flows, rows, key, "connections", volume.connections, connections, learnt))
            elif volume.packets > packets and (learnt or _is_hollow(flows, rows)):
                found.append(self._flood(flows, rows, key, "packets", volume.packets, packets, learnt))
        return found

    def _flood(self, flows: Flows, rows: Array, key: Key, feature: str, observed: float, limit: float, learnt: bool) -> Detection:
        client, server, service = key
        frames = frames_of(flows.frame[rows])
        what = "new connections" if feature == "connections" else "packets"
        expected = f"at most {limit:.0f} {what} in 10 s" + (", from what was learnt" if learnt else ", the limit for strangers")
        return Detection(
            detector=self.spec.name,
            title=f"{client} floods {service_words(service)} of {server} with {what}",
            seen=Instant(int(flows.time[rows].min())),
            frame=frames[0] if frames else 0,
            frames=frames,
            source=None if client == MANY else asset(client),
            target=asset(server),
            cause=f"crowd:{server}" if client == MANY else f"actor:{client}",
            feature=f"flood of {feature}",
            observed=f"{observed:.0f} {what} within 10 s",
            expected=expected,
            score=observed,
            threshold=limit,
            why=f"{client} sent {server} {observed:.0f} {what} for {service_words(service)} within 10 s; expected {expected}.",
            techniques=("T0814",),
            severity=Severity.CRITICAL if feature == "connections" else Severity.HIGH,
            confidence=0.9 if feature == "connections" else 0.7,
        )

    def state(self) -> Mapping[str, Any]:
        return {"limits": [[list(key), list(limits)] for key, limits in sorted(self._limits.items())]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._limits = {(a, b, c): (float(packets), float(connections)) for (a, b, c), (packets, connections) in state["limits"]}
        self._volumes.clear()


def _limit(past: Sequence[float], probability: float, floor: float) -> float:
    calibrated = threshold(list(past), probability)
    largest = MARGIN * max(past, default=0.0)
    return max(floor, largest, calibrated if np.isfinite(calibrated) else 0.0)


def _is_hollow(flows: Flows, rows: Array) -> bool:
    """Packets that carry nothing: what a flood looks like, and a file transfer does not."""
    return bool(2 * int((flows.packets[rows] * (flows.octets[rows] == 0)).sum()) > int(flows.packets[rows].sum()))


@remembered
def _conversations(flows: Flows) -> dict[Key, Array]:
    rows = np.flatnonzero(~np.isin(flows.kind, ARP) & (flows.source >= 0) & (flows.target >= 0) & (flows.kind != FlowKind.OTHER_ETHERNET))
    if not len(rows):
        return {}
    first, which = distinct(flows.source[rows], flows.target[rows], flows.kind[rows], flows.port[rows], flows.from_client[rows])
    found: dict[Key, list[Array]] = defaultdict(list)
    for at, part in zip(rows[first].tolist(), grouped(which), strict=True):
        source, target = flows.names[flows.source[at]], flows.names[flows.target[at]]
        if is_group(target, flows.name_of(int(flows.target_mac[at]))):
            continue
        client, server = (source, target) if flows.from_client[at] else (target, source)
        found[client, server, service_of(int(flows.kind[at]), int(flows.port[at]))].append(rows[part])
    return {key: np.sort(np.concatenate(parts)) for key, parts in found.items()}
