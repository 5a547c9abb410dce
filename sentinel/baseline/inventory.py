"""Inventory: which assets are there, which conduits join them and what passes there, as the windows show it.

Bounded; what does not fit is counted.  What an asset is, and its level, are suggested from its conduits when they are asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentinel.baseline.claims import Claims, identity_of
from sentinel.baseline.stations import INDUSTRIAL, suggest
from sentinel.model import modbus, opcua
from sentinel.model.asset import Asset, Conduit, is_group
from sentinel.model.columns import distinct
from sentinel.model.identity import sayings
from sentinel.model.ids import AssetId
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import Defect, FlowKind, MessageKind, Protocol
from sentinel.model.time import Instant
from sentinel.model.unread import is_encrypted, is_unread
from sentinel.model.window import Window

MAX_ASSETS = 65_536  # a flood with forged sources must not fill the memory
MAX_CONDUITS = 262_144
MAX_OPERATIONS = 64  # names per conduit: an attacker may try every code
_SPOKEN = {int(protocol): (protocol.name.lower(),) for protocol in Protocol if protocol is not Protocol.UNKNOWN}
_KINDS = {int(kind): kind.name.lower() for kind in FlowKind}
_ARP = (FlowKind.ARP_REQUEST, FlowKind.ARP_REPLY)
_MODBUS, _RTU, _OPCUA = int(Protocol.MODBUS), int(Protocol.MODBUS_RTU_TCP), int(Protocol.OPCUA)
_NAMES = {_MODBUS: modbus.operation, _RTU: modbus.operation, _OPCUA: opcua.operation}  # of a request's function

Join = tuple[AssetId, AssetId, str, int]


class Figures(NamedTuple):
    """What a conduit counts."""

    messages: int = 0
    unread: int = 0
    encrypted: int = 0
    packets: int = 0
    octets: int = 0
    gaps: int = 0


def with_stations(assets: Iterable[Asset], conduits: Iterable[Conduit]) -> tuple[Asset, ...]:
    """The assets, each with what it seems to be."""
    ends: dict[AssetId, list[Conduit]] = {}
    for conduit in conduits:
        for end in {conduit.client, conduit.server}:
            ends.setdefault(end, []).append(conduit)
    told = []
    for asset in assets:
        station = suggest(asset.id, ends.get(asset.id, ()))
        told.append(replace(asset, kind=station.kind, level=station.level, because=station.because) if station else asset)
    return tuple(told)


class Inventory:
    def __init__(self) -> None:
        self._assets: dict[AssetId, Asset] = {}
        self._conduits: dict[Join, Conduit] = {}
        self._claims = Claims()
        self._refused = 0

    @property
    def refused(self) -> int:
        """Assets, conduits and claims that found no place."""
        return self._refused + self._claims.refused

    @property
    def assets(self) -> tuple[Asset, ...]:
        return tuple(self._assets.values())

    @property
    def conduits(self) -> tuple[Conduit, ...]:
        return tuple(self._conduits.values())

    def is_controller(self, asset: AssetId) -> bool:
        """By what it does so far: it answers in an industrial protocol, and asks nobody (`stations` looks closer)."""
        known = self._assets.get(asset)
        return known is not None and known.roles == ("server",) and not INDUSTRIAL.isdisjoint(known.protocols)

    def observe(self, window: Window) -> None:
        self._hear(window.messages)
        self._see(window.flows)
        self._identify(window)

    def _see(self, flows: Flows) -> None:
        if not len(flows):
            return
        first, which = distinct(flows.source, flows.target, flows.kind, flows.port, flows.from_client, flows.protocol)
        last = np.zeros(len(first), np.int64)
        np.maximum.at(last, which, flows.last)
        heard = _latest(flows.source[first], last, len(flows.names))
        packets, octets, gaps = (
            np.bincount(which, weights).astype(np.int64) for weights in (flows.packets, flows.octets, flows.defect == Defect.STREAM_GAP)
        )
        for index, row in enumerate(first.tolist()):
            passed = Figures(packets=int(packets[index]), octets=int(octets[index]), gaps=int(gaps[index]))
            self._row(flows, row, Instant(int(heard[flows.source[row]])), Instant(int(last[index])), passed)

    def _hear(self, messages: Messages) -> None:
        """An ear without packets, such as the gate, tells of conversations by their messages alone."""
        if not len(messages):
            return
        first, which = distinct(messages.client, messages.server, messages.protocol, messages.port)
        count = np.bincount(which)
        unread, encrypted = (np.bincount(which, is_(messages)).astype(np.int64) for is_ in (is_unread, is_encrypted))
        last = np.zeros(len(first), np.int64)
        np.maximum.at(last, which, messages.time)
        asked = _latest(messages.client[first], last, len(messages.names))
        told = _latest(messages.server[first], last, len(messages.names))
        joins: dict[int, Join] = {}
        for index, row in enumerate(first.tolist()):
            client, server = messages.name_of(int(messages.client[row])), messages.name_of(int(messages.server[row]))
            spoken = _SPOKEN.get(int(messages.protocol[row]), ())
            if client is None or server is None or not spoken:
                continue
            seen, until = Instant(int(messages.time[row])), Instant(int(last[index]))
            self._asset(AssetId(client), None, ("client",), spoken, seen, Instant(int(asked[messages.client[row]])))
            self._asset(AssetId(server), None, ("server",), spoken, seen, Instant(int(told[messages.server[row]])))
            joins[index] = AssetId(client), AssetId(server), spoken[0], int(messages.port[row])
            heard = Figures(messages=int(count[index]), unread=int(unread[index]), encrypted=int(encrypted[index]))
            self._conduit(joins[index], seen, until, heard)
        self._note_operations(messages, which, joins)

    def _note_operations(self, messages: Messages, which: NDArray[np.int64], joins: Mapping[int, Join]) -> None:
        asked = np.flatnonzero((messages.kind == MessageKind.REQUEST) & (messages.function >= 0) & (messages.defect == 0))
        first, _ = distinct(which[asked], messages.function[asked])
        for row in asked[first].tolist():
            known = self._conduits.get(joins[int(which[row])]) if int(which[row]) in joins else None
            name = _NAMES.get(int(messages.protocol[row]))
            if known is None or name is None or len(known.operations) >= MAX_OPERATIONS:
                continue
            operations = tuple(sorted({*known.operations, name(int(messages.function[row]))}))
            if operations != known.operations:
                self._conduits[_join(known)] = replace(known, operations=operations)

    def _identify(self, window: Window) -> None:
        for said in sayings(window.messages, window.details):
            known = self._assets.get(said.asset)
            if known is None:
                continue
            claims = self._claims.taken(known.claims, said)
            self._assets[known.id] = replace(known, claims=claims, identity=identity_of(claims))

    def _row(self, flows: Flows, row: int, heard: Instant, last: Instant, passed: Figures) -> None:
        """``heard``: when the sender was heard last, ``last``: in this conversation."""
        source = flows.name_of(int(flows.source[row]))
        if source is None:
            return
        seen, mac = Instant(int(flows.time[row])), flows.name_of(int(flows.source_mac[row]))
        from_client = bool(flows.from_client[row])
        spoken = _SPOKEN.get(int(flows.protocol[row]), ())
        is_arp = int(flows.kind[row]) in _ARP
        self._asset(AssetId(source), mac, () if is_arp else ("client" if from_client else "server",), spoken, seen, heard)
        target = flows.name_of(int(flows.target[row]))
        if is_arp or target is None or is_group(target, flows.name_of(int(flows.target_mac[row]))):
            return
        client, server = (source, target) if from_client else (target, source)
        kind = spoken[0] if spoken else _KINDS.get(int(flows.kind[row]), "unknown")
        self._conduit((AssetId(client), AssetId(server), kind, int(flows.port[row])), seen, last, passed)

    def _asset(
        self, asset: AssetId, mac: str | None, roles: tuple[str, ...], spoken: tuple[str, ...], seen: Instant, last: Instant
    ) -> None:
        known = self._assets.get(asset)
        if known is None:
            if len(self._assets) >= MAX_ASSETS:
                self._refused += 1
                return
            known = Asset(id=asset, mac=mac, first_seen=seen, last_seen=last)
        elif (
            last <= known.last_seen
            and (known.mac or not mac)
            and all(role in known.roles for role in roles)
            and all(protocol in known.protocols for protocol in spoken)
        ):
            return
        self._assets[asset] = replace(
            known,
            mac=known.mac or mac,
            roles=tuple(sorted({*known.roles, *roles})),
            protocols=tuple(sorted({*known.protocols, *spoken})),
            last_seen=max(known.last_seen, last),
        )

    def _conduit(self, key: Join, seen: Instant, last: Instant, more: Figures) -> None:
        client, server, protocol, port = key
        known = self._conduits.get(key)
        if known is None:
            if len(self._conduits) >= MAX_CONDUITS:
                self._refused += 1
                return
            known = Conduit(client=client, server=server, protocol=protocol, port=port, first_seen=seen, last_seen=last)
        self._conduits[key] = Conduit(
            client=known.client,
            server=known.server,
            protocol=known.protocol,
            port=known.port,
            first_seen=known.first_seen,
            last_seen=max(known.last_seen, last),
            messages=known.messages + more.messages,
            unread=known.unread + more.unread,
            encrypted=known.encrypted + more.encrypted,
            packets=known.packets + more.packets,
            octets=known.octets + more.octets,
            gaps=known.gaps + more.gaps,
            operations=known.operations,
        )


def _latest(codes: NDArray[Any], times: NDArray[np.int64], names: int) -> NDArray[np.int64]:
    """By name, the latest of its times: an asset of many conversations is changed once a window."""
    latest = np.zeros(names + 1, np.int64)  # the last one is that of nobody, whose code is -1
    np.maximum.at(latest, codes, times)
    return latest


def _join(conduit: Conduit) -> Join:
    return conduit.client, conduit.server, conduit.protocol, conduit.port
