"""Certificates one behind the other in, their octets out, and whether their issuers lead back into the chain.  X.690, 8.1; RFC 5280, 4.1.

Only as much of the structure is read as says where a certificate ends, whose it is and who issued it.  Nothing is verified here.
"""

MAX_CERTIFICATES = 64  # of one chain; what comes behind is left
MAX_ATTRIBUTES = 16  # of one name
_SEQUENCE, _SET, _INTEGER, _VERSION, _OBJECT = 0x30, 0x31, 0x02, 0xA0, 0x06
_ATTRIBUTES = {3: "CN", 6: "C", 7: "L", 8: "ST", 10: "O", 11: "OU"}  # 2.5.4.x (RFC 4519)
_ENCODINGS = {12: "utf-8", 19: "ascii", 20: "latin-1", 22: "ascii", 30: "utf-16-be"}  # UTF8, printable, teletex, IA5, BMP string


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


def subject_of(certificate: bytes) -> str:
    """Whose it says it is, as RFC 4514 writes a name, in the certificate's order; "" = no certificate, or nothing we can read."""
    try:
        subject, _ = names(certificate)
    except ValueError:
        return ""
    said, at = list[str](), 0
    while at < len(subject) and len(said) < MAX_ATTRIBUTES:
        try:
            tag, start, at = element(subject, at, len(subject))
            if tag != _SET:
                break
            _, start, end = element(subject, start, at)
            tag, start, behind = element(subject, start, end)
            kind = subject[start:behind] if tag == _OBJECT else b""
            tag, start, end = element(subject, behind, end)
        except ValueError:
            break
        name = _ATTRIBUTES.get(kind[2]) if len(kind) == 3 and kind[:2] == b"\x55\x04" else None
        if name and tag in _ENCODINGS:
            said.append(f"{name}={subject[start:end].decode(_ENCODINGS[tag], 'replace')}")
    return ", ".join(said)


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
