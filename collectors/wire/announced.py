"""What devices tell of themselves in one datagram of its own: EtherNet/IP ListIdentity replies and BACnet I-Am.

In: the payload of a packet.  Out: facts for `sentinel.model.observation.Details`.  Nothing is believed that the octets do not hold.
"""

from typing import Any, NamedTuple

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16
from sentinel.model.protocol import Protocol, Topic

ENIP_PORT, BACNET_PORT = 44818, 47808
_LIST_IDENTITY, _HEADER, _IDENTITY_ITEM = 0x63, 24, 0x0C  # CIP Volume 2, 2-4.4
_ITEM_HEAD, _SOCKET = 6, 16  # count, type and length; socket address behind the protocol version
_I_AM = b"\x10\x00"  # unconfirmed request, service 0 (ANSI/ASHRAE 135, 16.10)
_HAS_DESTINATION, _HAS_SOURCE, _IS_NETWORK_MESSAGE = 0x20, 0x08, 0x80  # of an NPDU (6.2.2)
# The registries' numbers of makers that are met most; another one is named by its number.
_CIP_VENDORS = {
    1: "Rockwell Automation/Allen-Bradley", 26: "Festo", 47: "Omron", 90: "HMS Industrial Networks", 108: "Beckhoff Automation",
    161: "Mitsubishi Electric", 243: "Schneider Automation", 256: "Turck", 283: "Hilscher", 562: "Phoenix Contact",
}  # fmt: skip
_BACNET_VENDORS = {
    2: "Trane", 5: "Johnson Controls", 7: "Siemens", 8: "Delta Controls", 10: "Schneider Electric", 16: "Carrier", 17: "Honeywell",
    24: "Automated Logic", 35: "Reliable Controls", 36: "Tridium", 127: "ABB", 222: "WAGO", 364: "Distech Controls",
    415: "Beckhoff Automation",
}  # fmt: skip


class Announced(NamedTuple):
    topic: Topic
    text: str


@kernel(inline=True)
def may_announce(octets: Any, at: int, size: int, source_port: int) -> bool:
    """The first octets of a payload that `announced` may find something in."""
    if source_port == ENIP_PORT:
        return size > _HEADER + _ITEM_HEAD and little16(octets, at) == _LIST_IDENTITY
    return source_port == BACNET_PORT and 16 <= size <= 64 and byte(octets, at) == 0x81 and byte(octets, at + 4) == 1


def announced(octets: bytes, source_port: int) -> tuple[Protocol, list[Announced]]:
    """Empty where it is no whole announcement."""
    if source_port == ENIP_PORT:
        return Protocol.ENIP, list_identity(octets)
    return Protocol.BACNET, i_am(octets)


def list_identity(octets: bytes) -> list[Announced]:
    """The first item's vendor, product, revision and serial number."""
    at = _HEADER + _ITEM_HEAD
    if octets[8:12] != bytes(4) or len(octets) < at or int.from_bytes(octets[_HEADER + 2 : _HEADER + 4], "little") != _IDENTITY_ITEM:
        return []
    end = at + int.from_bytes(octets[at - 2 : at], "little")
    at += 2 + _SOCKET
    if end > len(octets) or at + 15 > end or at + 15 + octets[at + 14] > end:
        return []
    vendor = int.from_bytes(octets[at : at + 2], "little")
    name = octets[at + 15 : at + 15 + octets[at + 14]].decode("latin-1")
    return [
        Announced(Topic.VENDOR, _CIP_VENDORS.get(vendor, f"CIP vendor {vendor}")),
        Announced(Topic.PRODUCT, name),
        Announced(Topic.FIRMWARE, f"{octets[at + 6]}.{octets[at + 7]:03d}"),
        Announced(Topic.SERIAL, f"{int.from_bytes(octets[at + 10 : at + 14], 'little'):08x}"),
    ]


def i_am(octets: bytes) -> list[Announced]:
    """Vendor and device number; a device behind a router is not who sends it, and is left out."""
    if len(octets) < 6 or int.from_bytes(octets[2:4], "big") != len(octets) or octets[5] & (_HAS_SOURCE | _IS_NETWORK_MESSAGE):
        return []
    at = 6
    if octets[5] & _HAS_DESTINATION:
        at += 4 + (octets[8] if len(octets) > 8 else 0)
    if octets[at : at + 2] != _I_AM:
        return []
    values = list[tuple[int, int]]()  # application tag, value
    at += 2
    while at < len(octets) and len(values) < 4:
        tag, size = octets[at] >> 4, octets[at] & 7
        if octets[at] & 8 or size > 4 or at + 1 + size > len(octets):
            return []
        values.append((tag, int.from_bytes(octets[at + 1 : at + 1 + size], "big")))
        at += 1 + size
    if [tag for tag, _ in values] != [12, 2, 9, 2] or values[0][1] >> 22 != 8:  # an object identifier, of a device
        return []
    device, vendor = values[0][1] & 0x3F_FFFF, values[3][1]
    return [
        Announced(Topic.NAME, f"device {device}"),
        Announced(Topic.VENDOR, _BACNET_VENDORS.get(vendor, f"BACnet vendor {vendor}")),
    ]
