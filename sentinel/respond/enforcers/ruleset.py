"""The rule set of a quarantine as nft JSON documents (libnftables-json(5), schema 1), and what is in force read back from a listing.  Pure.

One own table, `inet sentinel_quarantine`, hooks forward and input at priority -150: before any site firewall, whose accept cannot overrule
a drop here, and whose own tables are never named.  Elements carry a kernel timeout, so that a cut ends with every process of ours dead, and
the action's id as comment, so that nothing has to be remembered elsewhere.

Cut addresses are also put into `once4` / `once6` for a day longer: TCP segments from or to them that belong to no connection that began
after the cut are dropped.  A session that was cut can therefore not go on when the cut ends, and no sysctl of the site has to be changed.
"""

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import Instant, after, seconds_between

TABLE = "sentinel_quarantine"
PRIORITY = -150  # netfilter's NF_IP_PRI_MANGLE; site firewalls filter at 0
MAX_CUTS = 1024  # per address family; the kernel refuses more
MEMORY_S = 24 * 3600  # how long after a cut its old sessions stay dead: Linux gives up an idle, kept-alive TCP session after 2 h 11 min
_HOOKS = {"forwarded": "forward", "received": "input"}
_COMMENT = re.compile(r"action ([0-9a-f]{1,64})")
_ACTION = re.compile(r"[0-9a-f]{1,64}")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A cut that the kernel enforces now.  ``action`` is None when somebody else put the element there."""

    target: AssetId
    action: ActionId | None
    expires: Instant
    packets: int


def setup(safety_pairs: Iterable[tuple[str, str]] = ()) -> Document:
    """Idempotent: makes table, sets and chains, writes the rules anew, leaves what is cut as it is."""
    commands: list[Document] = [{"add": {"table": {"family": "inet", "name": TABLE}}}]
    for version, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        commands.append(_add_set(f"cut{version}", kind, flags=["timeout"], size=MAX_CUTS, stmt=[{"counter": None}]))
        commands.append(_add_set(f"once{version}", kind, flags=["timeout"], size=4 * MAX_CUTS))
        commands.append(_add_set(f"pair{version}", [kind, kind]))
        commands.append({"flush": {"set": _named(f"pair{version}")}})
    for chain, hook in _HOOKS.items():
        commands.append({"add": {"chain": {**_named(chain), "type": "filter", "hook": hook, "prio": PRIORITY, "policy": "accept"}}})
        commands.append({"flush": {"chain": _named(chain)}})
        for version, protocol in (("4", "ip"), ("6", "ip6")):
            commands += [
                {"add": {"rule": {"family": "inet", "table": TABLE, "chain": chain, "expr": e}}} for e in _rules(version, protocol)
            ]
    for one, other in safety_pairs:
        first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
        if first.version != second.version:
            raise ValueError(f"safety pair {one}, {other}: two address families")
        pairs = [{"concat": [str(a), str(b)]} for a, b in ((first, second), (second, first))]
        commands.append({"add": {"element": {**_named(f"pair{first.version}"), "elem": pairs}}})
    return {"nftables": commands}


def cut(target: str, action: str, expires: Instant, now: Instant) -> Document:
    """Replaces the element of the same address in one transaction.  Raises ValueError on anything that is not one address and an id."""
    address = ipaddress.ip_address(target)
    if not _ACTION.fullmatch(action):
        raise ValueError(f"{action!r} is no action id")
    lasts_s = math.ceil(seconds_between(now, expires))
    if lasts_s < 1:
        raise ValueError("its time is over")
    elements = {
        "cut": {"val": str(address), "timeout": lasts_s, "comment": f"action {action}"},
        "once": {"val": str(address), "timeout": lasts_s + MEMORY_S},
    }
    commands: list[Document] = []
    for name, element in elements.items():
        target_set = _named(f"{name}{address.version}")
        commands += [{verb: {"element": {**target_set, "elem": [{"elem": element}]}}} for verb in ("add", "delete", "add")]
    return {"nftables": commands}


def release(target: str) -> Document:
    """Takes the address out of the cut, whether it is there or not; what it said before stays dead (`once`)."""
    address = ipaddress.ip_address(target)
    element = {**_named(f"cut{address.version}"), "elem": [str(address)]}
    return {"nftables": [{"add": {"element": element}}, {"delete": {"element": element}}]}


def in_force(listing: Mapping[str, Any], now: Instant) -> tuple[Held, ...]:
    """From `nft -j list table inet sentinel_quarantine`.  Raises ValueError when the listing is not what nft 1.x prints."""
    held = []
    try:
        for entry in listing["nftables"]:
            content = entry.get("set", {})
            if content.get("table") == TABLE and content.get("name") in ("cut4", "cut6"):
                held += [_held(item["elem"], now) for item in content.get("elem", ())]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"unexpected listing of {TABLE}: {error!r}") from error
    return tuple(sorted(held, key=lambda one: one.target))


def _held(element: Mapping[str, Any], now: Instant) -> Held:
    said = _COMMENT.fullmatch(str(element.get("comment", "")))
    return Held(
        target=AssetId(str(element["val"])),
        action=ActionId(said.group(1)) if said else None,
        expires=after(now, float(element.get("expires", 0))),
        packets=int(element.get("counter", {}).get("packets", 0)),
    )


def _rules(version: str, protocol: str) -> list[list[Document]]:
    source, target = _payload(protocol, "saddr"), _payload(protocol, "daddr")
    tcp = _match({"meta": {"key": "l4proto"}}, "tcp")
    no_opening = _match({"&": [_payload("tcp", "flags"), ["fin", "syn", "rst", "ack"]]}, "syn", "!=")
    rules = [[_match({"concat": [source, target]}, f"@pair{version}"), {"accept": None}]]
    for end in (source, target):
        cut_one, once = _match(end, f"@cut{version}"), _match(end, f"@once{version}")
        rules += [
            [cut_one, tcp, {"reject": {"type": "tcp reset"}}],
            [cut_one, {"drop": None}],
            [once, _match({"ct": {"key": "state"}}, "invalid", "in"), {"drop": None}],
            [once, _match({"ct": {"key": "state"}}, "new", "in"), no_opening, {"drop": None}],
        ]
    return rules


def _named(name: str) -> Document:
    return {"family": "inet", "table": TABLE, "name": name}


def _add_set(name: str, kind: str | Sequence[str], **more: Any) -> Document:
    return {"add": {"set": {**_named(name), "type": kind, **more}}}


def _payload(protocol: str, field: str) -> Document:
    return {"payload": {"protocol": protocol, "field": field}}


def _match(left: Document, right: str, operator: str = "==") -> Document:
    return {"match": {"op": operator, "left": left, "right": right}}
