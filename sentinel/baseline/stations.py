"""What an asset is, and on which ISA-95 level it stands, by what it does: a suggestion with its reason, for a person to confirm.

In: an asset and the conduits at whose ends it is.  Out: kind, level, reason.  Only what the wire shows is used: who answers, who asks, who
writes, who programs.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sentinel.model import modbus, opcua
from sentinel.model.asset import Conduit
from sentinel.model.ids import AssetId
from sentinel.model.protocol import Protocol

INDUSTRIAL = frozenset(protocol.name.lower() for protocol in Protocol if protocol is not Protocol.UNKNOWN)
_WRITES = frozenset(modbus.OPERATIONS[code] for code in modbus.WRITES) | frozenset(opcua.operation(service) for service in opcua.WRITES)
_PROGRAMMING = frozenset({"write_file_record", "diagnostics", "AddNodes", "AddReferences", "DeleteNodes", "DeleteReferences"})
SERVICES = {53: "DNS", 67: "DHCP", 88: "Kerberos", 123: "NTP", 389: "LDAP", 514: "syslog"}  # IANA; what a site's own servers answer


class Station(NamedTuple):
    kind: str
    level: int
    because: str


def suggest(asset: AssetId, conduits: Sequence[Conduit]) -> Station | None:
    """None where nothing was heard that would tell."""
    industrial = [conduit for conduit in conduits if conduit.protocol in INDUSTRIAL and conduit.client != conduit.server]
    if not industrial:
        return _elsewhere(asset, conduits)
    asked_by = sorted({conduit.client for conduit in industrial if conduit.server == asset})
    asks = sorted({conduit.server for conduit in industrial if conduit.client == asset})
    spoken = ", ".join(sorted({conduit.protocol for conduit in industrial}))
    if asked_by and asks:
        return Station("gateway", 2, f"answers {_count(asked_by, 'client')} and itself asks {_count(asks, 'server')} ({spoken})")
    if asked_by and spoken == "opcua":
        return Station(
            "server", 2, f"answers {_count(asked_by, 'client')} in OPC UA alone: a controller's own server, or one above controllers"
        )
    if asked_by:
        return Station("controller", 1, f"answers {_count(asked_by, 'client')} ({spoken}) and asks nobody")
    if not asks:
        return None
    used = {operation for conduit in industrial for operation in conduit.operations}
    if programming := sorted(used & _PROGRAMMING):
        return Station("engineering station", 2, f"uses {', '.join(programming)} on {_count(asks, 'server')}")
    if writing := sorted(used & _WRITES):
        return Station("operator station", 2, f"writes ({', '.join(writing)}) to {_count(asks, 'server')}")
    if used:
        return Station("historian", 3, f"only reads, from {_count(asks, 'server')}")
    return Station("client", 2, f"asks {_count(asks, 'server')} ({spoken}, not decoded)")


def _elsewhere(asset: AssetId, conduits: Sequence[Conduit]) -> Station | None:
    """Of who speaks nothing industrial with others: what the network itself lives on, and programs that talk on one machine."""
    if alone := sorted({conduit.protocol for conduit in conduits if conduit.protocol in INDUSTRIAL}):
        return Station("server", 2, f"server and client on one machine ({', '.join(alone)})")
    services = {SERVICES[conduit.port] for conduit in conduits if conduit.server == asset and conduit.port in SERVICES and conduit.octets}
    return Station("network server", 3, f"answers {', '.join(sorted(services))}") if services else None


def _count(them: Sequence[AssetId], what: str) -> str:
    return f"{len(them)} {what}{'s' if len(them) > 1 else ''}"
