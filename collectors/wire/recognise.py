"""Which application protocol does a first payload speak?  By port and by magic octets, without state.

Protocols that are only recognised have their place in the catalogue and their test here; one that is decoded has a package of its own.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32, word16
from sentinel.model.protocol import Protocol

Octets = Any

PROBES = 8  # payloads of a conversation that are looked at for every protocol; OPC UA may begin later
PROBE_OCTETS = 6  # the shortest that tells anything (an APCI of IEC 60870-5-104): what is shorter uses no probe up
GOOSE_ETHERTYPE = 0x88B8  # IEC 61850-8-1

_UNKNOWN = int(Protocol.UNKNOWN)
_OPCUA, _ENIP, _S7COMM, _DNP3 = int(Protocol.OPCUA), int(Protocol.ENIP), int(Protocol.S7COMM), int(Protocol.DNP3)
_IEC104, _BACNET, _GOOSE, _MMS = int(Protocol.IEC104), int(Protocol.BACNET), int(Protocol.GOOSE), int(Protocol.MMS)


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
    """An encapsulation header of CIP Volume 2, 2-3.1, on its registered ports."""
    if port not in (44818, 2222) or size < 24:
        return False
    command = little16(octets, at)
    return command in (0x00, 0x04, 0x63, 0x64, 0x65, 0x66, 0x6F, 0x70, 0x72, 0x73)


@kernel
def is_dnp3(octets: Octets, at: int, size: int) -> bool:
    """A data link header of IEEE 1815, 9.2: start 0564, length 5 to 255."""
    return size >= 10 and byte(octets, at) == 0x05 and byte(octets, at + 1) == 0x64 and byte(octets, at + 2) >= 5


@kernel
def is_iec104(octets: Octets, at: int, size: int, port: int) -> bool:
    """An APCI of IEC 60870-5-104, 5: start 68, length 4 to 253."""
    return port == 2404 and size >= 6 and byte(octets, at) == 0x68 and 4 <= byte(octets, at + 1) <= 253


@kernel
def on_tpkt(octets: Octets, at: int, size: int) -> int:
    """S7comm or MMS behind RFC 1006 TPKT and a COTP data unit (ISO 8073, 13.7)."""
    if size < 8 or byte(octets, at) != 3 or byte(octets, at + 1) != 0 or byte(octets, at + 4) != 2 or byte(octets, at + 5) != 0xF0:
        return _UNKNOWN
    first = byte(octets, at + 7)
    if first in (0x32, 0x72):
        return _S7COMM
    return _MMS if first in (0x01, 0x0D) else _UNKNOWN  # session: give tokens, connect


@kernel
def is_bacnet(octets: Octets, at: int, size: int) -> bool:
    """A BVLC header of ANSI/ASHRAE 135, annex J.2: type 81, length of the datagram."""
    return size >= 4 and byte(octets, at) == 0x81 and byte(octets, at + 1) <= 0x0C and word16(octets, at + 2) == size


@kernel
def recognise_tcp(octets: Octets, at: int, size: int, port: int) -> int:
    if is_opcua(octets, at, size):
        return _OPCUA
    if is_dnp3(octets, at, size):
        return _DNP3
    if is_enip(octets, at, size, port):
        return _ENIP
    if is_iec104(octets, at, size, port):
        return _IEC104
    return on_tpkt(octets, at, size)


@kernel
def recognise_udp(octets: Octets, at: int, size: int, port: int) -> int:
    if is_bacnet(octets, at, size):
        return _BACNET
    if is_dnp3(octets, at, size):
        return _DNP3
    return _ENIP if is_enip(octets, at, size, port) else _UNKNOWN


@kernel
def recognise_ethernet(ethertype: int) -> int:
    return _GOOSE if ethertype == GOOSE_ETHERTYPE else _UNKNOWN
