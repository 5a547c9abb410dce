"""Record layouts and limits of the OPC UA kernels; rows, pool, tally and source are those of `collectors.wire.modbus.layout`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Records = NDArray[Any]

# One direction of a connection.  Of a chunk that comes in several segments, the head lies in a row of the carry matrix; of one that is
# longer than that, as much as is kept lies in a row of ``long``, while there is one to be had.
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
        ("most", "i8"),  # octets of one chunk that the other side said it takes; 0 = it was not heard to say so
        ("long", "i2"),  # its row there, from 1; 0 = none
        ("policy", "u1"),
        ("doubt", "u1"),  # octets that fit no chunk are expected here, and are no row of their own
        ("blemish", "u1"),  # as that of Modbus
        ("joined", "u1"),  # heard from its middle on, or with a gap
    ],
    align=True,
)

# A request that waits for its response.
PENDING = np.dtype([("time", "i8"), ("request", "i8"), ("waits", "i8")], align=True)

UNKNOWN, CLEAR, SEALED = 0, 1, 2  # what a channel's security policy leaves to be read

PENDING_PER_FLOW = 64  # publish requests wait by the dozen
KEPT_OCTETS = 8192  # of a chunk, in the pool: two hundred values with their times
SHORT_OCTETS = 64  # of one for which there is no long row: its numbers and its service
LONG_CHUNKS = 96  # that come in several segments, at once


class State:
    """The tables for so many connections at once.  Memory is touched only where a connection speaks OPC UA."""

    def __init__(self, flows: int) -> None:
        self.streams: Records = np.zeros(2 * flows, STREAM)
        self.carry: Records = np.zeros((2 * flows, SHORT_OCTETS), np.uint8)
        self.long: Records = np.zeros((LONG_CHUNKS, KEPT_OCTETS), np.uint8)
        self.long_owners: Records = np.zeros(LONG_CHUNKS, np.int32)  # the stream, from 1; 0 = free
        self.pending: Records = np.zeros((flows, PENDING_PER_FLOW), PENDING)

    def tables(self) -> tuple[Records, Records, Records, Records, Records]:
        """In the order in which `stream.feed` takes them."""
        return self.streams, self.carry, self.long, self.long_owners, self.pending
