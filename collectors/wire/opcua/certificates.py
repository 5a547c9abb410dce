"""Certificates one behind the other in, their octets out, and whether their issuers lead back into the chain.  X.690, 8.1; RFC 5280, 4.1.

Only as much of the structure is read as says where a certificate ends, whose it is and who issued it.  Nothing is verified here.
"""

MAX_CERTIFICATES = 64  # of one chain; what comes behind is left
_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0


def element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(tag, where its content begins, where it ends) of the element at ``at``.  Raises ValueError where there is none."""
    if at + 2 > end:
        raise ValueError("no element")
    tag, length, start = octets[at], octets[at + 1], at + 2
    if length & 0x80:
        more = length & 0x7F
        if not 0 < more <= 4 or start + more > end:
            raise ValueError("no length")
        length, start = int.from_bytes(octets[start : start + more], "big"), start + more
    if start + length > end:
        raise ValueError("cut")
    return tag, start, start + length


def chain(octets: bytes) -> list[bytes]:
    """The certificates as far as they are whole."""
    found, at = list[bytes](), 0
    while at < len(octets) and len(found) < MAX_CERTIFICATES:
        try:
            tag, _, end = element(octets, at, len(octets))
        except ValueError:
            break
        if tag != _SEQUENCE:
            break
        found.append(octets[at:end])
        at = end
    return found


def names(certificate: bytes) -> tuple[bytes, bytes]:
    """(subject, issuer), as they are encoded.  Raises ValueError where the octets are no certificate."""
    _, at, end = element(certificate, 0, len(certificate))
    _, at, end = element(certificate, at, end)  # what is signed
    tag, _, behind = element(certificate, at, end)
    parts, at = list[bytes](), behind if tag == _VERSION else at
    for expected in (_INTEGER, *[_SEQUENCE] * 4):  # serial number, algorithm, issuer, validity, subject
        tag, start, at_next = element(certificate, at, end)
        if tag != expected:
            raise ValueError("no certificate")
        parts.append(certificate[start:at_next])
        at = at_next
    return parts[4], parts[2]


def is_loop(certificates: list[bytes]) -> bool:
    """Does who follows the issuers from the first certificate on come back, and never to one that issued itself?"""
    issuers = dict[bytes, bytes]()
    for one in reversed(certificates):
        try:
            subject, issuer = names(one)
        except ValueError:
            continue
        issuers[subject] = issuer
    try:
        at, _ = names(certificates[0])
    except ValueError:
        return False
    for _ in range(len(issuers) + 1):
        if at not in issuers or issuers[at] == at:
            return False
        at = issuers[at]
    return True
