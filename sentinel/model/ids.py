"""Identities.  All of them are derived from content, never from chance, so that a replayed capture names things alike."""

import hashlib
from typing import NewType

AssetId = NewType("AssetId", str)
"""An asset's address as the wire shows it: an IP address, or a MAC address where the asset speaks no IP."""

CommandId = NewType("CommandId", str)
FindingId = NewType("FindingId", str)
VerdictId = NewType("VerdictId", str)
ActionId = NewType("ActionId", str)

Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal."""

_ID_HEX_DIGITS = 16  # 64 bits: a plant makes far fewer than 2**32 findings, so a collision stays below 1e-9


def digest(*parts: bytes | str) -> Digest:
    """SHA-256 over length-prefixed parts, so that ("ab", "c") and ("a", "bc") differ."""
    pieces = []
    for part in parts:
        octets = part.encode() if isinstance(part, str) else part
        pieces += [len(octets).to_bytes(8, "big"), octets]
    return Digest(hashlib.sha256(b"".join(pieces)).hexdigest())


def short_id(*parts: bytes | str) -> str:
    return digest(*parts)[:_ID_HEX_DIGITS]
