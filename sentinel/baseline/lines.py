"""Conduits as a person looks at them: one line for each pair and protocol, with what of it stays unseen in words.

The opening of a connection, before any payload names its protocol, belongs to the conduit that it opens; passing ports of one pair are one
line.  In: conduits.  Out: `Line`, in the order of client, server, protocol.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sentinel.baseline.stations import INDUSTRIAL, SERVICES
from sentinel.model.asset import Conduit
from sentinel.model.ids import AssetId

# What carries other packets, by conduit: an IP protocol, an Ethernet type or a registered port (IANA).
CARRIERS = {
    ("other_ip", 4): "IP in IP",
    ("other_ip", 41): "IPv6 in IP",
    ("other_ip", 47): "GRE",
    ("other_ethernet", 0x8847): "MPLS",
    ("other_ethernet", 0x8848): "MPLS",
    ("other_ethernet", 0x8864): "PPPoE",
    ("udp", 4789): "VXLAN",
    ("udp", 8472): "VXLAN",
    ("udp", 6081): "GENEVE",
    ("udp", 37008): "TZSP",
}
SEALED = {
    ("other_ip", 50): "ESP",
    ("udp", 4500): "ESP",
    ("udp", 51820): "WireGuard",
    ("other_ethernet", 0x88E5): "MACsec",
}  # and encrypts it


class Line(NamedTuple):
    client: AssetId
    server: AssetId
    protocol: str
    ports: tuple[int, ...]
    packets: int
    octets: int
    messages: int
    unread: int
    encrypted: int
    gaps: int
    operations: tuple[str, ...]

    @property
    def industrial(self) -> bool:
        return self.protocol in INDUSTRIAL

    @property
    def blind(self) -> tuple[str, ...]:
        """What is not seen of it."""
        said = list[str]()
        damaged = self.unread - self.encrypted
        if self.encrypted:
            said.append(f"{share(self.encrypted, self.messages)} encrypted")
        if damaged > 0:
            said.append(f"{share(damaged, self.messages)} unreadable")
        if self.industrial and not self.messages:
            said.append("not decoded")
        known = SERVICES.keys() | {port for kind, port in (*CARRIERS, *SEALED) if kind == self.protocol}
        if self.protocol in ("tcp", "udp") and self.octets and not known >= set(self.ports):
            said.append("unknown protocol")
        if sealed := sorted({SEALED[self.protocol, port] for port in self.ports if (self.protocol, port) in SEALED}):
            said.append(f"encrypted tunnel ({', '.join(sealed)})")
        if self.gaps:
            said.append(f"octets lost in {self.gaps} s")
        return tuple(said)

    @property
    def port(self) -> str:
        first = "" if self.ports[0] < 0 else str(self.ports[0])
        return first + (f" and {len(self.ports) - 1} more" if len(self.ports) > 1 else "")


def share(part: int, whole: int) -> str:
    """In per cent; never rounded to nothing, or to all, where it is neither."""
    per_cent = 100 * part / max(1, whole)
    if part and per_cent < 1:
        return "<1 %"
    return f"{per_cent:.0f} %" if part == whole or per_cent < 99 else f"{min(per_cent, 99.9):.1f} %"


def lines(conduits: Iterable[Conduit]) -> list[Line]:
    conduits = list(conduits)
    named = {(one.client, one.server, one.port): one.protocol for one in conduits if one.protocol in INDUSTRIAL}
    groups: dict[tuple[AssetId, AssetId, str], list[Conduit]] = {}
    for one in conduits:
        opens = named.get((one.client, one.server, one.port)) if one.protocol in ("tcp", "udp") and not one.octets else None
        groups.setdefault((one.client, one.server, opens or one.protocol), []).append(one)
    return [_line(*key, groups[key]) for key in sorted(groups)]


def _line(client: AssetId, server: AssetId, protocol: str, members: Sequence[Conduit]) -> Line:
    packets, octets, messages, unread, encrypted, gaps = (
        sum(getattr(one, name) for one in members) for name in ("packets", "octets", "messages", "unread", "encrypted", "gaps")
    )
    operations = tuple(sorted({operation for one in members for operation in one.operations}))
    ports = tuple(sorted({one.port for one in members}))
    return Line(client, server, protocol, ports, packets, octets, messages, unread, encrypted, gaps, operations)
