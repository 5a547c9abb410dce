"""One message chunk: its kind, its numbers, its service.  Every read is guarded by the octets that are kept of it.

Clauses are those of OPC 10000-6.  All numbers are little-endian (5.2.2.2).
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32, word16
from collectors.wire.opcua.layout import CLEAR, SEALED, UNKNOWN
from sentinel.model.opcua import MAX_MESSAGE_OCTETS, REQUESTS, RESPONSES, MessageType

Octets = Any  # numpy uint8 array

_HELLO, _ACKNOWLEDGE, _ERROR = int(MessageType.HELLO), int(MessageType.ACKNOWLEDGE), int(MessageType.ERROR)
_REVERSE_HELLO, _OPEN, _CLOSE = int(MessageType.REVERSE_HELLO), int(MessageType.OPEN), int(MessageType.CLOSE)
_MESSAGE = int(MessageType.MESSAGE)
_REQUESTS, _RESPONSES = np.array(REQUESTS), np.array(RESPONSES)

FINAL, CONTINUED, ABORTED = 70, 67, 65  # F, C, A
_NO_POLICY = np.frombuffer(b"#None", np.uint8)  # how the uri of the policy without security ends (OPC 10000-7)
_SIGNATURES = (  # octets by which a policy signs each chunk (OPC 10000-7, 6.6: HMAC with SHA-1, -256, -384; Poly1305), by its uri's end
    (b"#Basic128Rsa15", 20),
    (b"#Basic256", 20),
    (b"#Basic256Sha256", 32),
    (b"#Aes128_Sha256_RsaOaep", 32),
    (b"#Aes256_Sha256_RsaPss", 32),
    (b"#ECC_nistP256", 32),
    (b"#ECC_brainpoolP256r1", 32),
    (b"#ECC_nistP384", 48),
    (b"#ECC_brainpoolP384r1", 48),
    (b"#ECC_curve25519", 16),
    (b"#ECC_curve448", 16),
)
_ENDS = np.array([list(name.ljust(24, b"\0")) for name, _ in _SIGNATURES], np.uint8)
_END_OCTETS = np.array([len(name) for name, _ in _SIGNATURES])
_SIGNED_BY = np.array([octets for _, octets in _SIGNATURES])


@kernel
def type_of(octets: Octets, at: int) -> int:
    """MessageType of the header that begins here, or 0."""
    kind = (word16(octets, at) << 8) | byte(octets, at + 2)
    if kind == 0x4D5347:
        return _MESSAGE
    if kind == 0x4F504E:
        return _OPEN
    if kind == 0x434C4F:
        return _CLOSE
    if kind == 0x48454C:
        return _HELLO
    if kind == 0x41434B:
        return _ACKNOWLEDGE
    if kind == 0x455252:
        return _ERROR
    return _REVERSE_HELLO if kind == 0x524845 else 0


@kernel
def may_begin(octets: Octets, at: int, there: int) -> bool:
    """Could a header begin with these octets, as far as they go?"""
    if there >= 3:
        return type_of(octets, at) != 0
    first = byte(octets, at)
    if there == 1:
        return first in (0x48, 0x41, 0x45, 0x52, 0x4F, 0x43, 0x4D)  # H A E R O C M
    return word16(octets, at) in (0x4845, 0x4143, 0x4552, 0x5248, 0x4F50, 0x434C, 0x4D53)  # HE AC ER RH OP CL MS


@kernel
def garbage_octets(octets: Octets, at: int) -> int:
    """How many of the 8 octets from here on, the first of which begins no header, surely belong to none."""
    for i in range(1, 8):
        if may_begin(octets, at + i, 8 - i):
            return i
    return 8


@kernel
def smallest(kind: int) -> int:
    """Octets of the shortest message of this type, with empty strings (7.1.2.3 to 7.1.2.6, 6.7.2)."""
    if kind == _HELLO:
        return 32
    if kind == _ACKNOWLEDGE:
        return 28
    if kind in (_ERROR, _REVERSE_HELLO):
        return 16
    return 32 if kind == _OPEN else 24


@kernel
def is_header(octets: Octets, at: int) -> bool:
    """Type, chunk type and size of 8 octets fit each other (7.1.2.2); only MSG may come in several chunks."""
    kind = type_of(octets, at)
    chunk = byte(octets, at + 3)
    if kind == 0 or not (chunk == FINAL or (kind == _MESSAGE and chunk in (CONTINUED, ABORTED))):
        return False
    return 8 <= little32(octets, at + 4) <= MAX_MESSAGE_OCTETS


@kernel
def signed32(octets: Octets, at: int) -> int:
    """A length; -1 is null (5.2.2.4)."""
    number = little32(octets, at)
    return number - (1 << 32) if number >= 1 << 31 else number


@kernel
def read_policy(octets: Octets, at: int, kept: int) -> tuple[int, int]:
    """(policy, where the sequence header begins or -1) of an OPN chunk (6.7.2.3)."""
    if kept < 16:
        return UNKNOWN, -1
    length = signed32(octets, at + 12)
    place = 16 + length
    if length < 5 or place > kept:
        return UNKNOWN, -1
    for i in range(5):
        if byte(octets, at + place - 5 + i) != _NO_POLICY[i]:
            return SEALED, -1
    for _ in range(2):  # certificate and thumbprint
        if place + 4 > kept:
            return CLEAR, -1
        place += 4 + max(0, signed32(octets, at + place))
    return CLEAR, place if place + 8 <= kept else -1


@kernel
def signature_octets(octets: Octets, at: int, kept: int) -> int:
    """Of each later chunk of the channel that this OPN chunk opens; 0 where its policy is none, or none that we know."""
    length = signed32(octets, at + 12) if kept >= 16 else -1
    if length < 0 or 16 + length > kept:
        return 0
    behind = at + 16 + length
    for which in range(len(_SIGNED_BY)):
        size = _END_OCTETS[which]
        is_same = size <= length
        for i in range(size):
            is_same = is_same and byte(octets, behind - size + i) == _ENDS[which, i]
        if is_same:
            return _SIGNED_BY[which]
    return 0


@kernel
def read_service(octets: Octets, at: int, kept: int) -> int:
    """The numeric node id in namespace 0 that begins here, or -1 (5.2.2.9)."""
    if kept < 2:
        return -1
    form = byte(octets, at)
    if form == 0:
        return byte(octets, at + 1)
    if form == 1 and kept >= 4 and byte(octets, at + 1) == 0:
        return little16(octets, at + 2)
    if form == 2 and kept >= 7 and little16(octets, at + 1) == 0 and little32(octets, at + 3) < 1 << 31:
        return little32(octets, at + 3)
    return -1


@kernel
def is_request_service(service: int) -> bool:
    for known in _REQUESTS:  # noqa: SIM110  a generator cannot be compiled
        if known == service:
            return True
    return False


@kernel
def is_response_service(service: int) -> bool:
    for known in _RESPONSES:  # noqa: SIM110  a generator cannot be compiled
        if known == service:
            return True
    return False
