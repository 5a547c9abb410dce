"""Rows of `USE`: what one message says of one node.  OPC 10000-6, 5.2.2, for how values are encoded.

Kernels of the service sets take the uses that are there, write further ones behind them, and give back how many there are.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, little32
from collectors.wire.opcua.body import (
    BOOLEAN,
    DATA_VALUE,
    DOUBLE,
    FIXED,
    MASK_SOURCE,
    MASK_STATUS,
    MASK_VALUE,
    STATUS,
    after,
    after_text,
    after_values,
    count_at,
    little64,
    number_bits,
    trailer_octets,
)
from collectors.wire.opcua.nodes import PART_OCTETS

Table = Any  # a numpy record array, or octets

USE = np.dtype(
    [
        ("message", "i8"),  # its row
        ("node", "i8"),  # its row in `Memory.nodes`; NONE = not told
        ("made", "i8"),  # so that a row which holds another node by now is noticed
        ("bits", "i8"),  # the number, as `number_bits` gives it
        ("stamped", "i8"),  # the source's time, 100 ns since 1601; 0 = not told
        ("status", "i8"),  # StatusCode; -1 = not told
        ("topic", "u1"),
        ("type", "u1"),  # built-in type of a scalar number; 0 = no number
    ],
    align=True,
)
USES = 8_192
MOST_USES = PART_OCTETS  # of one message: each takes an octet at least
ROOM = USES + MOST_USES
VALUE_ATTRIBUTE = 13  # attribute id (OPC 10000-6, A.1)


@kernel
def add_use(m: Any, uses: Table, said: int, message: int, topic: int, node: int) -> int:
    """``said`` uses are there already."""
    use = uses[said]
    use.message = message
    use.topic = topic
    use.node = node
    use.made = m.nodes[node].made if node >= 0 else 0
    use.bits = 0
    use.stamped = 0
    use.type = 0
    use.status = -1
    return said + 1


@kernel
def take_number(use: Table, octets: Table, at: int, end: int) -> None:
    """The number of the variant that begins here; an array or a text has none."""
    if at + 1 <= end:
        kind = byte(octets, at)
        if (BOOLEAN <= kind <= DOUBLE or kind == STATUS) and after(at + 1, FIXED[kind], end) >= 0:
            use.type = kind
            use.bits = number_bits(octets, at + 1, kind)


@kernel
def take_data_value(use: Table, octets: Table, at: int, end: int, stack: Table) -> int:
    """Number, status and time of a DataValue; the place behind it (OPC 10000-6, 5.2.2.17)."""
    behind = after_values(octets, at, end, DATA_VALUE, 1, stack)
    if behind < 0:
        return behind
    mask = byte(octets, at)
    if mask & MASK_VALUE:
        take_number(use, octets, at + 1, behind)
    p = behind - trailer_octets(mask)
    use.status = 0
    if mask & MASK_STATUS:
        use.status = little32(octets, p)
        p += 4
    if mask & MASK_SOURCE:
        use.stamped = little64(octets, p)
    return behind


@kernel
def after_list(octets: Table, at: int, end: int, kind: int, stack: Table) -> int:
    count = count_at(octets, at, end)
    return after_values(octets, at + 4, end, kind, count, stack) if count >= 0 else count


@kernel
def after_read_value(octets: Table, at: int, end: int) -> int:
    """Behind the attribute of a ReadValueId: index range and data encoding."""
    return after_text(octets, after(after_text(octets, at, end), 2, end), end)
