"""Which application protocol does a first payload speak?  By its own octets on any port, without state.

What a protocol's header fixes is asked for whole: magic octets, lengths that fit the payload, closed sets of commands, check sums.  Where
that could come about by chance in other traffic, only the registered port is believed.  Protocols that are only recognised have their
place in the catalogue and their test here; one that is decoded has a package of its own.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32, word16, word32
from collectors.wire.serial import is_ascii_frame, is_rtu_frame
from sentinel.model.protocol import Protocol

Octets = Any

PROBES = 8  # payloads of a conversation that are looked at for every protocol; OPC UA may begin later
PROBE_OCTETS = 6  # the shortest that tells anything (an APCI of IEC 60870-5-104): what is shorter uses no probe up
GOOSE_ETHERTYPE = 0x88B8  # IEC 61850-8-1
PROFINET_ETHERTYPE = 0x8892  # IEC 61158-6-10: DCP, alarms and cyclic data

_UNKNOWN = int(Protocol.UNKNOWN)
_OPCUA, _ENIP, _S7COMM, _DNP3 = int(Protocol.OPCUA), int(Protocol.ENIP), int(Protocol.S7COMM), int(Protocol.DNP3)
_IEC104, _BACNET, _GOOSE, _MMS = int(Protocol.IEC104), int(Protocol.BACNET), int(Protocol.GOOSE), int(Protocol.MMS)
_S7COMM_PLUS, _PROFINET, _HART_IP = int(Protocol.S7COMM_PLUS), int(Protocol.PROFINET), int(Protocol.HART_IP)
_FINS, _ADS, _MQTT = int(Protocol.FINS), int(Protocol.ADS), int(Protocol.MQTT)
_RTU, _ASCII = int(Protocol.MODBUS_RTU_TCP), int(Protocol.MODBUS_ASCII)


@kernel
def is_opcua(octets: Octets, at: int, size: int) -> bool:
    """A message header of OPC UA Part 6, 7.1.2.2: type, chunk, little-endian size."""
    if size < 8 or byte(octets, at + 3) not in (70, 67, 65):  # F C A
        return False
    kind = (word16(octets, at) << 8) | byte(octets, at + 2)
    known = kind in (0x48454C, 0x41434B, 0x455252, 0x524845, 0x4F504E, 0x434C4F, 0x4D5347)  # HEL ACK ERR RHE OPN CLO MSG
    length = little32(octets, at + 4)
    return known and 8 <= length <= 1 << 24


@kernel
def is_enip(octets: Octets, at: int, size: int, port: int) -> bool:
    """An encapsulation header of CIP Volume 2, 2-3.1, or a connected I/O packet, 2-6.3.2."""
    if size < 18:
        return False
    if word32(octets, at) == 0x02000280 and word16(octets, at + 4) == 0x0800 and little16(octets, at + 14) == 0x00B1:
        return True
    if size < 24:
        return False
    command, is_whole = little16(octets, at), little16(octets, at + 2) == size - 24
    if little32(octets, at + 20) != 0 or little32(octets, at + 8) not in (0, 1, 2, 3, 0x64, 0x65, 0x69):  # options, status
        return False
    if port in (44818, 2222):  # several messages, or a part of one; zeros alone say nothing
        return command in (0x04, 0x63, 0x64, 0x65, 0x66, 0x6F, 0x70, 0x72, 0x73) or (command == 0 and is_whole)
    if not is_whole:
        return False
    if command == 0x65:
        return size == 28 and little32(octets, at + 24) == 1  # protocol version 1, no options
    if command in (0x6F, 0x70):
        return size >= 34 and little32(octets, at + 24) == 0  # interface handle of CIP, a timeout, at least two items
    return command in (0x04, 0x63, 0x64) and (size == 24 or (size >= 26 and 1 <= little16(octets, at + 24) <= 16))


@kernel
def dnp3_sum(octets: Octets, at: int, size: int) -> int:
    """IEEE 1815, 9.2.4.1.7."""
    value = 0
    for i in range(size):
        value ^= byte(octets, at + i)
        for _ in range(8):
            value = (value >> 1) ^ (0xA6BC if value & 1 else 0)
    return ~value & 0xFFFF


@kernel
def is_dnp3(octets: Octets, at: int, size: int, port: int) -> bool:
    """A data link header of IEEE 1815, 9.2: start 0564, length 5 to 255, and its check sum but on the registered port."""
    if size < 10 or word16(octets, at) != 0x0564 or byte(octets, at + 2) < 5:
        return False
    return port == 20000 or dnp3_sum(octets, at, 8) == little16(octets, at + 8)


@kernel
def is_asdu(octets: Octets, at: int, most: int) -> bool:
    """Type identification, those above 127 for private use, and cause of transmission (IEC 60870-5-101, 7.2.1 and 7.2.3)."""
    return 1 <= byte(octets, at) <= most and 1 <= byte(octets, at + 2) & 0x3F <= 47


@kernel
def is_iec104(octets: Octets, at: int, size: int, port: int) -> bool:
    """IEC 60870-5-104, 5: APCIs, start 68, length 4 to 253, each right in its control field; on its port the first is enough."""
    end = at + size
    while at < end:
        if end - at < 6 or byte(octets, at) != 0x68:
            return False
        length, first = byte(octets, at + 1), byte(octets, at + 2)
        if not 4 <= length <= 253 or byte(octets, at + 4) & 1:
            return False
        if first & 3 == 3:
            if length != 4 or first not in (0x07, 0x0B, 0x13, 0x23, 0x43, 0x83) or byte(octets, at + 3) or word16(octets, at + 4):
                return False
        elif first & 1:
            if length != 4 or first != 1 or byte(octets, at + 3):
                return False
        elif length < 13 or (end - at >= 9 and not is_asdu(octets, at + 6, 255 if port == 2404 else 127)):
            return False
        at += 2 + length
        if port == 2404:
            return True
    return at == end


@kernel
def on_tpkt(octets: Octets, at: int, size: int) -> int:
    """S7comm or MMS behind RFC 1006 TPKT and a COTP data unit (ISO 8073, 13.7)."""
    if size < 8 or word16(octets, at) != 0x0300 or word16(octets, at + 2) < 8 or word16(octets, at + 4) != 0x02F0:
        return _UNKNOWN
    first, second = byte(octets, at + 7), byte(octets, at + 8) if size >= 9 else -1
    if first == 0x32:
        return _S7COMM if second in (1, 2, 3, 7) else _UNKNOWN  # job, acknowledgement with or without data, user data
    if first == 0x72:
        return _S7COMM_PLUS if second in (1, 2, 3, 0xFE) else _UNKNOWN  # versions; FE: keep alive
    return _MMS if first in (0x01, 0x0D) else _UNKNOWN  # session: give tokens, connect


@kernel
def is_bacnet(octets: Octets, at: int, size: int) -> bool:
    """A BVLC header of ANSI/ASHRAE 135, annex J.2: type 81, length of the datagram."""
    return size >= 4 and byte(octets, at) == 0x81 and byte(octets, at + 1) <= 0x0C and word16(octets, at + 2) == size


@kernel
def is_hart_ip(octets: Octets, at: int, size: int, port: int) -> bool:
    """A message header of FieldComm TS20085, 10: version 1, kind, what it is about, status, number, length of the whole."""
    if size < 8 or byte(octets, at) != 1 or word16(octets, at + 6) != size or byte(octets, at + 1) not in (0, 1, 2, 15):
        return False
    about = byte(octets, at + 2)
    if port == 5094:
        return about <= 3 or about == 128
    if about == 0:  # to open a session: who, and for how long it may be idle
        return size == 13
    if about in (1, 2):  # to close it, to keep it
        return size == 8
    return about == 3 and size >= 13 and byte(octets, at + 8) & 7 in (1, 2, 6)  # a token-passing frame begins with its delimiter


@kernel
def is_fins(octets: Octets, at: int, size: int) -> bool:
    """OMRON W342, 7-4: the header of FINS/TCP."""
    return size >= 16 and word32(octets, at) == 0x46494E53 and 8 <= word32(octets, at + 4) <= 4096 and word32(octets, at + 8) <= 6


@kernel
def is_fins_datagram(octets: Octets, at: int, size: int, port: int) -> bool:
    """OMRON W227, 4: control field, reserved 0, gateways, networks to 127, and a command of a known class."""
    if size < 12 or byte(octets, at) & 0x3E or byte(octets, at) < 0x80 or byte(octets, at + 1) or byte(octets, at + 2) not in (2, 7):
        return False
    if byte(octets, at + 3) > 127 or byte(octets, at + 6) > 127 or byte(octets, at + 10) not in (1, 2, 3, 4, 5, 6, 7, 12, 32, 33, 34, 35):
        return False
    return port == 9600 or (byte(octets, at + 5) == 0 and byte(octets, at + 8) == 0)  # from CPU unit to CPU unit


@kernel
def is_ads(octets: Octets, at: int, size: int) -> bool:
    """Beckhoff AMS/TCP: two reserved octets, length; target and source; command, request or response, length of the data."""
    if size < 38 or word16(octets, at) != 0 or byte(octets, at + 23) > 0 or not 1 <= byte(octets, at + 22) <= 9:
        return False
    length = little32(octets, at + 2)
    return little16(octets, at + 24) in (4, 5) and 32 <= length <= 1 << 20 and little32(octets, at + 26) == length - 32


@kernel
def is_mqtt(octets: Octets, at: int, size: int, port: int) -> bool:
    """OASIS MQTT 3.1.1 and 5.0, 3.1: a CONNECT that names the protocol and its version; on its port any packet, 2.2, that ends here."""
    length, header = 0, 1
    while header < 5 and header < size:
        octet = byte(octets, at + header)
        length |= (octet & 0x7F) << 7 * (header - 1)
        header += 1
        if octet < 0x80:
            break
    kind = byte(octets, at) >> 4
    if byte(octets, at) == 0x10 and size >= header + 9 and length >= 10:
        name = at + header
        if word32(octets, name) == 0x00044D51:  # four octets, "MQTT"
            return word16(octets, name + 4) == 0x5454 and byte(octets, name + 6) & 0x7F in (4, 5)
        old = word32(octets, name) == 0x00064D51 and word32(octets, name + 4) == 0x49736470  # six octets, "MQIsdp"
        return old and byte(octets, name + 8) & 0x7F == 3
    if port != 1883 or not 2 <= kind <= 14 or header + length != size:
        return False
    if kind == 3:  # a topic, and what is published under it
        return length > 2 and 0 < word16(octets, at + header) <= length - 2
    return byte(octets, at) & 15 in (0, 2)


@kernel
def recognise_tcp(octets: Octets, at: int, size: int, port: int) -> int:
    if is_opcua(octets, at, size):
        return _OPCUA
    if is_dnp3(octets, at, size, port):
        return _DNP3
    if is_enip(octets, at, size, port):
        return _ENIP
    if is_iec104(octets, at, size, port):
        return _IEC104
    if is_fins(octets, at, size):
        return _FINS
    if is_ads(octets, at, size):
        return _ADS
    if is_hart_ip(octets, at, size, port):
        return _HART_IP
    if is_mqtt(octets, at, size, port):
        return _MQTT
    if is_ascii_frame(octets, at, size):
        return _ASCII
    if is_rtu_frame(octets, at, size):
        return _RTU
    return on_tpkt(octets, at, size)


@kernel
def recognise_udp(octets: Octets, at: int, size: int, port: int) -> int:
    if is_bacnet(octets, at, size):
        return _BACNET
    if is_dnp3(octets, at, size, port):
        return _DNP3
    if is_enip(octets, at, size, port):
        return _ENIP
    if is_hart_ip(octets, at, size, port):
        return _HART_IP
    if is_fins_datagram(octets, at, size, port):
        return _FINS
    return _ADS if size >= 12 and word32(octets, at) == 0x03661471 else _UNKNOWN  # discovery of routes


@kernel
def recognise_ethernet(ethertype: int) -> int:
    if ethertype == PROFINET_ETHERTYPE:
        return _PROFINET
    return _GOOSE if ethertype == GOOSE_ETHERTYPE else _UNKNOWN
