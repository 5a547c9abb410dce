"""The frame as evidence: do the octets say what was read from them?

The ear that decoded the command is another process, and a decoder can be fooled; here, shut off from everything, the octets are decoded
once more.
"""

from sentinel.model.command import Command, Origin
from sentinel.model.modbus import MAX_ADU_OCTETS, MBAP_OCTETS, writes_of
from sentinel.model.tags import TagMap


def contradiction(command: Command, tags: TagMap) -> str | None:
    """Only Modbus frames that are there are compared; what was held is an application data unit, what was only heard never is one."""
    if command.protocol != "modbus" or not command.octets or command.unit is None:
        return None
    try:
        octets = bytes.fromhex(command.octets)
    except ValueError:
        return "the frame that came with the command is not hexadecimal"
    if len(octets) > MAX_ADU_OCTETS:
        return f"the frame that came with the command has {len(octets)} octets, more than the protocol allows"
    pdu = octets[MBAP_OCTETS:] if command.origin is not Origin.WIRE and _is_adu(octets) else octets
    written = writes_of(tags, command.unit, pdu)
    claimed = {(write.point, write.raw) for write in command.writes}
    if written is None or {(write.point, write.raw) for write in written} != claimed:
        return "the frame says something else than what was read from it"
    return None


def adu_of(command: Command) -> bytes:
    """The frame as it stood on the wire.  What was only heard is kept without its MBAP header, which says nothing that is not known:
    transaction identifiers mean nothing to a server.  It gets a header whatever it looks like, for its sender has chosen the looks.
    Raises ValueError for what is not hexadecimal."""
    octets = bytes.fromhex(command.octets)
    if command.origin is not Origin.WIRE or command.unit is None or not octets:
        return octets
    return bytes(4) + (1 + len(octets)).to_bytes(2, "big") + bytes((command.unit,)) + octets


def _is_adu(octets: bytes) -> bool:
    """MBAP header: protocol identifier 0, and a length that counts the rest."""
    return len(octets) > MBAP_OCTETS and octets[2:4] == b"\0\0" and int.from_bytes(octets[4:6], "big") == len(octets) - 6
