"""Assets and conduits as IEC 62443-3-2 names them: what is there, and who talks to whom."""

import re
from dataclasses import dataclass

from sentinel.model.ids import AssetId
from sentinel.model.time import Instant

_GROUP_IP = re.compile(r"2(2[4-9]|3[0-9])\.[0-9.]+$|255\.255\.255\.255$|ff[0-9a-f]{2}:", re.IGNORECASE)  # RFC 5771, RFC 4291, 2.7
_GROUP_MAC = re.compile(r"[0-9a-f][13579bdf]:", re.IGNORECASE)


def is_group_address(mac: str | None) -> bool:
    """Broadcast and multicast hardware addresses: the lowest bit of the first octet is set (IEEE 802, 8.2)."""
    return mac is not None and _GROUP_MAC.match(mac) is not None


def is_group(address: str | None, mac: str | None) -> bool:
    """Is a receiver everybody or many?  By its hardware address, or by its own where a capture has no hardware addresses."""
    return is_group_address(mac) or (address is not None and _GROUP_IP.match(address) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device says of itself; nobody has checked it."""

    vendor: str | None = None
    product: str | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that a device said of itself, how and from when to when; nobody has checked it."""

    what: str  # vendor, product, firmware, model, serial, name, application, certificate …
    text: str
    by: str  # "modbus unit 1", "opcua port 4840", "enip port 44818"
    first_seen: Instant
    last_seen: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    id: AssetId
    mac: str | None = None
    roles: tuple[str, ...] = ()  # client, server
    protocols: tuple[str, ...] = ()
    first_seen: Instant
    last_seen: Instant
    kind: str | None = None  # suggested from what it does: controller, gateway, engineering station, operator station, historian
    level: int | None = None  # ISA-95 level 0 to 4, suggested likewise; None = unknown
    because: str | None = None  # of both
    identity: Identity | None = None  # out of the claims, by now
    claims: tuple[Claim, ...] = ()  # in the order in which they were first heard; what it said before stays
    safety: bool = False  # safety-instrumented: never a target of an action
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduit:
    """A client, a server, and the protocol that they speak.

    ``operations`` are the standard's names of what the client asked for.  Where the sensor is blind: of all ``messages`` so many could not
    be read (``unread``: encrypted, cut or no unit at all; ``encrypted``: for the first reason); ``packets`` with ``octets`` of payload
    passed in a protocol that is recognised only, or not even that; and in so many seconds (``gaps``, each direction for itself) octets
    were missed that their receiver had acknowledged, or that nobody sent again: they were lost on the way to us.
    """

    client: AssetId
    server: AssetId
    protocol: str
    port: int
    first_seen: Instant
    last_seen: Instant
    messages: int = 0
    unread: int = 0
    packets: int = 0
    octets: int = 0
    encrypted: int = 0
    gaps: int = 0
    operations: tuple[str, ...] = ()
