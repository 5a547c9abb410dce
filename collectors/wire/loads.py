"""Numbers out of octets, big-endian unless the name says otherwise.  Signed 64-bit results: kernels mix them with -1 for "none".

Indices are made unsigned: a signed one could count from the end, and what is checked for that is no longer one load for the compiler.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import big16, big32, big64, kernel, small16, small32

Octets = Any  # numpy uint8 array


@kernel(inline=True)
def byte(octets: Octets, at: int) -> int:
    number: Any = np.int64(octets[np.uint64(at)])
    return number


@kernel(inline=True)
def word16(octets: Octets, at: int) -> int:
    return big16(octets, at)


@kernel(inline=True)
def word32(octets: Octets, at: int) -> int:
    return big32(octets, at)


@kernel(inline=True)
def little16(octets: Octets, at: int) -> int:
    return small16(octets, at)


@kernel(inline=True)
def little32(octets: Octets, at: int) -> int:
    return small32(octets, at)


@kernel(inline=True)
def word64(octets: Octets, at: int) -> Any:
    """Unsigned: what is hashed or compared, not calculated with."""
    return big64(octets, at)
