"""Inventory: which assets are there and which conduits join them, as the windows show it.  Bounded; what does not fit is counted."""

from dataclasses import replace

import numpy as np

from sentinel.model.asset import Asset, Conduit, is_group
from sentinel.model.columns import distinct
from sentinel.model.ids import AssetId
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import FlowKind, Protocol
from sentinel.model.time import Instant
from sentinel.model.window import Window

MAX_ASSETS = 65_536  # a flood with forged sources must not fill the memory
MAX_CONDUITS = 262_144
_SPOKEN = {int(protocol): (protocol.name.lower(),) for protocol in Protocol if protocol is not Protocol.UNKNOWN}
_KINDS = {int(kind): kind.name.lower() for kind in FlowKind}
_ARP = (FlowKind.ARP_REQUEST, FlowKind.ARP_REPLY)


class Inventory:
    def __init__(self) -> None:
        self._assets: dict[AssetId, Asset] = {}
        self._conduits: dict[tuple[AssetId, AssetId, str, int], Conduit] = {}
        self.refused = 0

    @property
    def assets(self) -> tuple[Asset, ...]:
        return tuple(self._assets.values())

    @property
    def conduits(self) -> tuple[Conduit, ...]:
        return tuple(self._conduits.values())

    def observe(self, window: Window) -> None:
        self._hear(window.messages)
        flows = window.flows
        if not len(flows):
            return
        first, which = distinct(flows.source, flows.target, flows.kind, flows.port, flows.from_client, flows.protocol)
        last = np.zeros(len(first), np.int64)
        np.maximum.at(last, which, flows.last)
        for index, row in enumerate(first.tolist()):
            self._row(flows, row, Instant(int(last[index])))

    def _hear(self, messages: Messages) -> None:
        """An ear without packets, such as the gate, tells of conversations by their messages alone."""
        if not len(messages):
            return
        first, which = distinct(messages.client, messages.server, messages.protocol, messages.port)
        count = np.bincount(which)
        last = np.zeros(len(first), np.int64)
        np.maximum.at(last, which, messages.time)
        for index, row in enumerate(first.tolist()):
            client, server = messages.name_of(int(messages.client[row])), messages.name_of(int(messages.server[row]))
            spoken = _SPOKEN.get(int(messages.protocol[row]), ())
            if client is None or server is None or not spoken:
                continue
            seen, until = Instant(int(messages.time[row])), Instant(int(last[index]))
            self._asset(AssetId(client), None, ("client",), spoken, seen, until)
            self._asset(AssetId(server), None, ("server",), spoken, seen, until)
            self._conduit((AssetId(client), AssetId(server), spoken[0], int(messages.port[row])), seen, until, int(count[index]))

    def _row(self, flows: Flows, row: int, last: Instant) -> None:
        source = flows.name_of(int(flows.source[row]))
        if source is None:
            return
        seen, mac = Instant(int(flows.time[row])), flows.name_of(int(flows.source_mac[row]))
        from_client = bool(flows.from_client[row])
        spoken = _SPOKEN.get(int(flows.protocol[row]), ())
        is_arp = int(flows.kind[row]) in _ARP
        self._asset(AssetId(source), mac, () if is_arp else ("client" if from_client else "server",), spoken, seen, last)
        target = flows.name_of(int(flows.target[row]))
        if is_arp or target is None or is_group(target, flows.name_of(int(flows.target_mac[row]))):
            return
        client, server = (source, target) if from_client else (target, source)
        kind = spoken[0] if spoken else _KINDS.get(int(flows.kind[row]), "unknown")
        self._conduit((AssetId(client), AssetId(server), kind, int(flows.port[row])), seen, last, 0)

    def _asset(
        self, asset: AssetId, mac: str | None, roles: tuple[str, ...], spoken: tuple[str, ...], seen: Instant, last: Instant
    ) -> None:
        known = self._assets.get(asset)
        if known is None:
            if len(self._assets) >= MAX_ASSETS:
                self.refused += 1
                return
            known = Asset(id=asset, mac=mac, first_seen=seen, last_seen=last)
        self._assets[asset] = replace(
            known,
            mac=known.mac or mac,
            roles=tuple(sorted({*known.roles, *roles})),
            protocols=tuple(sorted({*known.protocols, *spoken})),
            last_seen=max(known.last_seen, last),
        )

    def _conduit(self, key: tuple[AssetId, AssetId, str, int], seen: Instant, last: Instant, messages: int) -> None:
        client, server, protocol, port = key
        known = self._conduits.get(key)
        if known is None:
            if len(self._conduits) >= MAX_CONDUITS:
                self.refused += 1
                return
            known = Conduit(client=client, server=server, protocol=protocol, port=port, first_seen=seen, last_seen=last)
        self._conduits[key] = replace(known, last_seen=max(known.last_seen, last), messages=known.messages + messages)
