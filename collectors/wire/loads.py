"""Numbers out of octets, big-endian unless the name says otherwise.  Signed 64-bit results: kernels mix them with -1 for "none".

Indices are made unsigned: a signed one could count from the end, and what is checked for that is no longer one load for the compiler.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel

Octets = Any  # numpy uint8 array


@kernel(inline=True)
def byte(octets: Octets, at: int) -> int:
    number: Any = np.int64(octets[np.uint64(at)])
    return number


@kernel(inline=True)
def word16(octets: Octets, at: int) -> int:
    return (byte(octets, at) << 8) | byte(octets, at + 1)


@kernel(inline=True)
def word32(octets: Octets, at: int) -> int:
    return (word16(octets, at) << 16) | word16(octets, at + 2)


@kernel(inline=True)
def little16(octets: Octets, at: int) -> int:
    return byte(octets, at) | (byte(octets, at + 1) << 8)


@kernel(inline=True)
def little32(octets: Octets, at: int) -> int:
    return little16(octets, at) | (little16(octets, at + 2) << 16)


@kernel(inline=True)
def word64(octets: Octets, at: int) -> Any:
    """Unsigned: what is hashed or compared, not calculated with."""
    return (np.uint64(word32(octets, at)) << np.uint64(32)) | np.uint64(word32(octets, at + 4))
