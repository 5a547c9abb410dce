"""Values that Modbus messages carry, by who asked whom for which range: what gathers readings and what looks into their digits both start
from it.  Modbus Application Protocol 1.1b3, 6.1 to 6.4, 6.6, 6.12."""

from typing import NamedTuple

import numpy as np

from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, MessageKind, Protocol

READS = (1, 2, 3, 4)
REGISTER_WRITES = (6, 16)
_MODBUS = (Protocol.MODBUS, Protocol.MODBUS_RTU_TCP)


class Carried(NamedTuple):
    """``client`` and ``server`` are codes of the messages' names; ``octets`` of values in each of the ``rows``, which are in order."""

    client: int
    server: int
    unit: int
    function: int
    address: int
    quantity: int
    octets: int
    rows: Array


@remembered
def carried(messages: Messages) -> list[Carried]:
    """Of well-formed read responses and register writes, in the order of their first messages."""
    m = messages
    reads = (m.kind == MessageKind.RESPONSE) & (m.function >= READS[0]) & (m.function <= READS[-1])
    writes = (m.kind == MessageKind.REQUEST) & ((m.function == REGISTER_WRITES[0]) | (m.function == REGISTER_WRITES[1]))
    rows = np.flatnonzero(
        (reads | writes)
        & np.isin(m.protocol, _MODBUS)
        & (m.defect == Defect.NONE)
        & (m.value_octets > 0)
        & (m.address >= 0)
        & (m.quantity > 0)
    )
    keys = [getattr(m, name)[rows] for name in ("client", "server", "unit", "function", "address", "quantity", "value_octets")]
    first, which = distinct(*keys)
    columns = [key[first].tolist() for key in keys]
    return [
        Carried(client, server, unit, function, address, quantity, octets, rows[group])
        for client, server, unit, function, address, quantity, octets, group in zip(*columns, grouped(which), strict=True)
    ]
