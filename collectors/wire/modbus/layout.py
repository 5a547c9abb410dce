"""Record layouts and limits of the Modbus kernels.

`OUT` has the columns of `Messages`, under the same names and as long as the most rows that wait to be handed over; codes point into the
caller's name table.
"""

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.model.modbus import MAX_ADU_OCTETS
from sentinel.model.observation import Messages

Records = NDArray[Any]

MESSAGE_ROWS = 111_000  # no power of two: columns that begin in one cache set would drive each other out
OUT = np.dtype([(name, dtype, (MESSAGE_ROWS,)) for name, dtype in Messages.dtypes().items()], align=True)

# One direction of a connection.  What is left of a cut frame waits in a row of the carry matrix, which ends with its owner.
STREAM = np.dtype(
    [
        ("requests", "i8"),  # that took a place of their own in `PENDING`
        ("carried", "i4"),  # octets that wait
        ("carry", "i4"),  # their row in the carry matrix, + 1; 0 = none was needed yet
        ("skip", "i4"),  # octets of a frame whose middle was not heard: to be passed over
        ("optional", "i4"),  # octets that belong to the last frame by one of its two lengths, and not by the other
        ("mode", "u1"),
        ("tries", "u1"),  # starts that fitted nothing, on a connection that was joined in its middle
        ("doubt", "u1"),  # octets that fit no frame are expected here, and are no row of their own
        ("blemish", "u1"),  # the `Defect` of the next row: what it follows was not heard, or was sent twice and differently; 0 = none
        ("joined", "u1"),  # heard from its middle on, or with a gap: the other side's responses may lack their requests
    ],
    align=True,
)

# A request that waits for its response, or the memory of one that was answered.  One row per place: a client that waits for each answer
# touches the first one only.
PENDING = np.dtype(
    [
        ("time", "i8"),
        ("transaction", "i4"),
        ("subfunction", "i4"),
        ("address", "i4"),
        ("quantity", "i4"),
        ("value", "i4"),  # of functions 5 and 6, whose response is an echo
        ("function", "u1"),
        ("state", "u1"),
    ],
    align=True,
)

# What the kernels count and how far they have written.
TALLY = np.dtype(
    [
        ("rows", "i8"),
        ("pool", "i8"),
        ("forgotten", "i8"),  # requests that lost their place to a newer one before an answer came
        ("skipped", "i8"),  # octets that fitted no frame, or waited for their frame's rest until others needed their place
        ("carry_at", "i8"),  # the row of the carry matrix that is given away next
    ],
    align=True,
)

# What a caller says about the octets that it feeds.
SOURCE = np.dtype(
    [
        ("time", "i8"),
        ("frame", "i8"),
        ("flow", "i8"),
        ("client", "i4"),
        ("server", "i4"),
        ("source_mac", "i4"),
        ("target_mac", "i4"),
        ("port", "i4"),
        ("client_port", "i4"),
    ],
    align=True,
)

PENDING_PER_FLOW = 16  # a client may have that many requests open (Messaging guide 4.3.2: "NumberMaxOfClientTransaction", 1 to 16)
CARRY_OCTETS = 288  # the longest frame that is taken, and its header
OWNER_OCTETS = 4  # of a row: its stream, from 1; 0 = it was never needed
CARRIES = 1 << 15  # streams that may wait for the rest of a frame at once; of more, the one that took its row first loses it
LENGTH_SLACK = 8  # real servers send up to 261 octets (see the docstring of `stream`)
MAX_LENGTH_FIELD = MAX_ADU_OCTETS - 6 + LENGTH_SLACK
JOIN_TRIES = 8
SEGMENT_OCTETS = 65536  # of one segment at most
SCRATCH_OCTETS = SEGMENT_OCTETS + CARRY_OCTETS
LEAST_FRAME_OCTETS = 4  # of a serial frame: unit, function code and CRC; an MBAP header alone is longer
# The most rows that so many octets complete: a run of garbage is one row, at least one octet, and only a frame ends it; one frame before
# and one behind them may be reported as cut.
ROWS_PER_FEED = 2 * (SCRATCH_OCTETS // (LEAST_FRAME_OCTETS + 1) + 1) + 2
GARBAGE_OCTETS = 8  # of a run that fits no frame: kept as evidence, one row per run; they may be those of the frame behind it, too
POOL_PER_FEED = 2 * (SCRATCH_OCTETS + CARRY_OCTETS)

CACHE_LINE_OCTETS = 64

UNDECIDED, SYNCED, HUNTING, FOREIGN = 0, 1, 2, 3
FREE, OPEN, ANSWERED = 0, 1, 2


def zeros(rows: int, dtype: Any) -> Records:
    """Rows of a table of which mostly a small part is used: each page comes with its first use, and no larger ones than the smallest."""
    octets = mmap.mmap(-1, max(1, rows * dtype.itemsize), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    octets.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(octets, dtype, rows)


class State:
    """The tables for so many connections at once.  Memory is touched only where a connection carries Modbus."""

    def __init__(self, flows: int) -> None:
        self.streams: Records = zeros(2 * flows, STREAM)
        carries, row = min(2 * flows, CARRIES), CARRY_OCTETS + OWNER_OCTETS
        self.carry: Records = zeros(carries * row, np.dtype("u1")).reshape(carries, row)
        self.pending: Records = zeros(PENDING_PER_FLOW * flows, PENDING).reshape(PENDING_PER_FLOW, flows)
        self.scratch: Records = np.zeros(SCRATCH_OCTETS, np.uint8)
        self.tally: Records = np.zeros(1, TALLY)
        self.source: Records = np.zeros(1, SOURCE)
