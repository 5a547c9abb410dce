"""What may never be cut, whoever asks and whoever approves.

In: a target, the site's rules, and what is known of assets and conduits.  Out: the reason of the refusal, or None.  The playbook asks it
before proposing, the API before a request; the enforcing process asks its own copy (``is_cuttable``, ``Rules.never_cut``) again.
"""

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sentinel.model.asset import Asset, Conduit
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant, seconds_between

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

STATION_ALIVE_S = 15 * 60.0  # a station that was silent for longer is no replacement for the one that would be cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the site declares.  Conduits first seen after ``learnt_until`` make nobody a controller or an operator station: an attacker
    must not be able to talk itself onto the list.  None = everything heard so far counts."""

    never_cut: frozenset[AssetId] = frozenset()
    appliance: frozenset[AssetId] = frozenset()  # our own addresses
    controllers: frozenset[AssetId] = frozenset()  # the plant's own, beside those that the conduits show
    operators: frozenset[AssetId] = frozenset()  # empty = the clients that the conduits show
    safety: frozenset[AssetId] = frozenset()  # beside the assets that are marked as safety-instrumented
    learnt_until: Instant | None = None


def canonical(asset: str) -> str:
    """One spelling per address: an IPv4-mapped IPv6 address is the IPv4 address.  What is no IP address stays as it is."""
    try:
        return str(address_of(asset))
    except ValueError:
        return asset.strip().lower()


def unusable(target: str) -> str | None:
    """Why an address can never be a target, whatever the site's rules say."""
    try:
        address = address_of(target)
    except ValueError:
        return f"{target!r} is not one IP address: enforcers cut addresses"
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return f"{target} is bound to an interface: enforcers cut plain addresses"
    if address.is_unspecified or address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
        return f"{target} is no single asset's address"
    return None


def controllers(rules: Rules, conduits: Iterable[Conduit]) -> frozenset[str]:
    """The plant's servers: declared, or servers of a learnt conduit."""
    known = {canonical(conduit.server) for conduit in conduits if _is_learnt(conduit, rules)}
    return frozenset(known | {canonical(asset) for asset in rules.controllers})


def stations(rules: Rules, conduits: Collection[Conduit]) -> frozenset[str]:
    """The operator stations: declared, or clients of a learnt conduit that are neither servers themselves nor the appliance."""
    if rules.operators:
        return frozenset(canonical(asset) for asset in rules.operators)
    own = {canonical(asset) for asset in rules.appliance}
    servers = controllers(rules, conduits)
    clients = {canonical(conduit.client) for conduit in conduits if _is_learnt(conduit, rules)}
    return frozenset(clients - servers - own)


def refusal(
    target: AssetId,
    rules: Rules,
    assets: Collection[Asset],
    conduits: Collection[Conduit],
    now: Instant,
    in_force: Collection[AssetId] = (),
) -> str | None:
    """``in_force``: targets that are cut already; they are no replacement for the last station."""
    if reason := unusable(target):
        return reason
    name = canonical(target)
    if name in {canonical(asset) for asset in rules.appliance}:
        return f"{target} is the appliance itself"
    if name in {canonical(asset) for asset in rules.safety} or any(asset.safety and canonical(asset.id) == name for asset in assets):
        return f"{target} is safety-instrumented"
    if name in {canonical(asset) for asset in rules.never_cut}:
        return f"{target} is on the site's list of what is never cut"
    if name in controllers(rules, conduits):
        return f"{target} is a controller of the plant: cut who talks to it, not the controller"
    operators = stations(rules, conduits)
    if name in operators:
        cut = {canonical(asset) for asset in in_force}
        others = sorted(other for other in operators - {name} - cut if _is_alive(other, assets, conduits, now))
        if not others:
            return f"{target} is the last operator station: nobody could run the plant"
    return None


def address_of(asset: str) -> Address:
    address = ipaddress.ip_address(asset.strip())
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_learnt(conduit: Conduit, rules: Rules) -> bool:
    return rules.learnt_until is None or conduit.first_seen <= rules.learnt_until


def _is_alive(station: str, assets: Collection[Asset], conduits: Collection[Conduit], now: Instant) -> bool:
    heard = [asset.last_seen for asset in assets if canonical(asset.id) == station]
    heard += [conduit.last_seen for conduit in conduits if canonical(conduit.client) == station]
    return any(seconds_between(seen, now) <= STATION_ALIVE_S for seen in heard)
