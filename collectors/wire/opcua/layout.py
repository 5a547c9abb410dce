"""Record layouts and limits of the OPC UA kernels; rows, pool, tally and source are those of `collectors.wire.modbus.layout`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Records = NDArray[Any]

# One direction of a connection.  The head of a chunk that is not whole yet lies in a row of the carry matrix.
STREAM = np.dtype(
    [
        ("carried", "i8"),  # octets of the chunk that are kept
        ("passed", "i8"),  # octets of the chunk that were heard
        ("size", "i8"),  # that its header announces; 0 = the header is not whole
        ("skip", "i8"),  # octets of a chunk whose middle was not heard: to be passed over
        ("sequence", "i8"),  # of the last chunk; -1 = none
        ("request", "i8"),  # request number of the message whose chunks follow each other; -1 = none
        ("service", "i8"),  # of that message; -1 = not known
        ("asked", "i8"),  # requests that came this way
        ("policy", "u1"),
        ("doubt", "u1"),  # octets that fit no chunk are expected here, and are no row of their own
        ("after_gap", "u1"),  # the next row follows octets that were not heard
        ("joined", "u1"),  # heard from its middle on, or with a gap
    ],
    align=True,
)

# A request that waits for its response.
PENDING = np.dtype([("time", "i8"), ("request", "i8"), ("waits", "i8")], align=True)

UNKNOWN, CLEAR, SEALED = 0, 1, 2  # what a channel's security policy leaves to be read

PENDING_PER_FLOW = 64  # publish requests wait by the dozen
KEPT_OCTETS = 4096  # of a chunk, in the pool: a hundred values with their times


class State:
    """The tables for so many connections at once.  Memory is touched only where a connection speaks OPC UA."""

    def __init__(self, flows: int) -> None:
        self.streams: Records = np.zeros(2 * flows, STREAM)
        self.carry: Records = np.zeros((2 * flows, KEPT_OCTETS), np.uint8)
        self.pending: Records = np.zeros((flows, PENDING_PER_FLOW), PENDING)
