"""What detectors say about rows: their frames, who speaks, and the words for it."""

import ipaddress
from collections.abc import Iterable
from typing import Any

import numpy as np

from sentinel.model import opcua
from sentinel.model.columns import Array
from sentinel.model.detection import Detection
from sentinel.model.ids import AssetId
from sentinel.model.modbus import operation
from sentinel.model.protocol import FlowKind, Protocol

ARP = (FlowKind.ARP_REQUEST, FlowKind.ARP_REPLY)
TCP_SYN = 0x02
_KINDS = {int(kind): kind.name.lower() for kind in FlowKind}
PROTOCOL_NAMES = {
    Protocol.UNKNOWN: "an unknown protocol",
    Protocol.MODBUS: "Modbus",
    Protocol.OPCUA: "OPC UA",
    Protocol.MODBUS_RTU_TCP: "Modbus RTU over TCP",
    Protocol.ENIP: "EtherNet/IP",
    Protocol.S7COMM: "S7comm",
    Protocol.DNP3: "DNP3",
    Protocol.IEC104: "IEC 104",
    Protocol.BACNET: "BACnet",
    Protocol.GOOSE: "GOOSE",
    Protocol.MMS: "MMS",
    Protocol.MODBUS_ASCII: "Modbus ASCII over TCP",
    Protocol.S7COMM_PLUS: "S7comm-plus",
    Protocol.PROFINET: "PROFINET",
    Protocol.HART_IP: "HART-IP",
    Protocol.FINS: "FINS",
    Protocol.ADS: "ADS",
    Protocol.MQTT: "MQTT",
}
_BY_NUMBER = {int(protocol): words for protocol, words in PROTOCOL_NAMES.items()}
# IANA service names and port numbers of what matters in a plant
INDUSTRIAL_PORTS = {
    102: "ISO-on-TCP (S7comm, MMS)",
    502: "Modbus",
    802: "Modbus Security",
    2222: "EtherNet/IP I/O",
    2404: "IEC 104",
    4840: "OPC UA",
    9600: "FINS",
    18245: "GE SRTP",
    20000: "DNP3",
    34964: "PROFINET",
    44818: "EtherNet/IP",
    47808: "BACnet",
}
REMOTE_PORTS = {
    21: "FTP", 22: "SSH", 23: "telnet", 80: "HTTP", 135: "DCE/RPC", 139: "NetBIOS", 443: "HTTPS", 445: "SMB", 3389: "RDP",
    5900: "VNC", 5985: "WinRM",
}  # fmt: skip
_CHUNKS = {
    int(opcua.MessageType.HELLO): "hello",
    int(opcua.MessageType.ACKNOWLEDGE): "acknowledge",
    int(opcua.MessageType.ERROR): "error",
    int(opcua.MessageType.REVERSE_HELLO): "reverse hello",
    int(opcua.MessageType.OPEN): "opening of a secured channel",
    int(opcua.MessageType.CLOSE): "end of a secured channel",
    int(opcua.MessageType.MESSAGE): "encrypted message",
}
DNS_PORT = 53
QUIET_PORTS = {
    53: "DNS", 67: "DHCP", 68: "DHCP", 123: "NTP", 137: "NetBIOS names", 138: "NetBIOS datagrams", 319: "PTP", 320: "PTP",
    546: "DHCPv6", 547: "DHCPv6", 1900: "SSDP", 5353: "mDNS", 5355: "LLMNR",
}  # fmt: skip
EPHEMERAL_PORT = 49152  # RFC 6335, 6: the dynamic range


def frames_of(frames: Array) -> tuple[int, ...]:
    """Sorted, each once, without the zero of what was heard without a capture."""
    return tuple(int(frame) for frame in np.unique(frames) if frame)


def counted_detection(detector: str, *, frames: tuple[int, ...], score: float, **given: Any) -> Detection:
    """A detection that begins with its first frame, and whose score is what was counted."""
    return Detection(detector=detector, frame=frames[0] if frames else 0, frames=frames, score=score, observed=f"{score:g}", **given)


def is_local(asset: str) -> bool:
    """True for a hardware address and for what RFC 1918, 3927 and 4193 keep inside; public addresses reach beyond the site."""
    try:
        return not ipaddress.ip_address(asset).is_global
    except ValueError:
        return True


def asset(name: str | None) -> AssetId:
    return AssetId(name or "unknown")


def service_of(kind: int, port: int) -> str:
    """A service's key: "tcp/502", "udp/137", "ethernet/0x88b8"; the ports of the dynamic range count as one."""
    if kind in (FlowKind.TCP, FlowKind.UDP):
        name = _KINDS[kind]
        return f"{name}/dynamic" if port >= EPHEMERAL_PORT else f"{name}/{port}"
    if kind == FlowKind.OTHER_ETHERNET:
        return f"ethernet/0x{port:04x}"
    return f"ip/{port}" if kind == FlowKind.OTHER_IP else _KINDS.get(kind, f"kind {kind}")


def service_words(service: str) -> str:
    """How a person calls it: "Modbus (tcp/502)"."""
    kind, _, number = service.partition("/")
    if number.isdigit():
        port = int(number)
        name = INDUSTRIAL_PORTS.get(port) or (REMOTE_PORTS if kind == "tcp" else QUIET_PORTS).get(port)
        if name:
            return f"{name} ({service})"
    return {"icmp": "ping (ICMP)"}.get(kind, service)


def industrial_port(service: str) -> bool:
    _, _, number = service.partition("/")
    return number.isdigit() and int(number) in INDUSTRIAL_PORTS


def protocol_words(protocol: int) -> str:
    return _BY_NUMBER.get(protocol, f"protocol {protocol}")


def operation_words(protocol: int, function: int, subfunction: int = -1) -> str:
    if protocol in (Protocol.MODBUS, Protocol.MODBUS_RTU_TCP):
        name = operation(function).replace("_", " ")
        return f"{name} ({function}/{subfunction})" if subfunction >= 0 else f"{name} ({function})"
    if protocol == Protocol.OPCUA:
        if function < 0:
            return f"{protocol_words(protocol)} {_CHUNKS.get(subfunction, 'message that cannot be read')}"
        return f"{protocol_words(protocol)} {opcua.operation(function)} ({function})"
    return f"{protocol_words(protocol)} service {function}"


def counted(number: int, noun: str) -> str:
    """ "1 message", "3 messages"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(items: Iterable[str], limit: int = 4) -> str:
    """ "a, b, c and 7 more"."""
    texts = list(items)
    if len(texts) <= limit:
        return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)
    return f"{', '.join(texts[:limit])} and {len(texts) - limit} more"
